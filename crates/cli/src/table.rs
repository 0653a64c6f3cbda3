//! Tables for a terminal.

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The longest text of a field; what is longer is cut.
const WIDEST: usize = 72;

/// Rows with columns as wide as they must be, two spaces between, none at the end of a line. Missing fields are empty.
pub(crate) fn render(columns: &[Align], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|field| cut(field)).collect()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|field| width(field)).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (align, wide)) in columns.iter().zip(&widths).enumerate() {
            let field = row.get(column).map_or("", String::as_str);
            let gap = " ".repeat(wide - width(field));
            let (before, after) = match align {
                Align::Left => ("", gap.as_str()),
                Align::Right => (gap.as_str(), ""),
            };
            for part in [if column == 0 { "" } else { "  " }, before, field, after] {
                line.push_str(part);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cut(field: &str) -> String {
    let clean = field.chars().map(|c| if c.is_control() { ' ' } else { c });
    if width(field) <= WIDEST { clean.collect() } else { clean.take(WIDEST - 1).chain(['…']).collect() }
}

/// Columns on the terminal. An accent that is a character of its own takes none.
fn width(text: &str) -> usize {
    text.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [row(&["Số thẻ", "1.205"]), row(&["Xã", "7"]), row(&["e\u{301}", "10", ""])];
        let expected = "Số thẻ  1.205\nXã          7\ne\u{301}          10\n";
        assert_eq!(render(&[Align::Left, Align::Right, Align::Left], &rows), expected);
    }

    #[test]
    fn what_is_too_long_is_cut_and_control_characters_are_not_passed_on() {
        let rows = [row(&["x".repeat(100).as_str()]), row(&["a\u{1b}[2Jb"])];
        let text = render(&[Align::Left], &rows);
        assert_eq!(text, format!("{}…\na [2Jb\n", "x".repeat(71)));
    }
}
