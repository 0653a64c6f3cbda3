//! Values as people and programs write them. What could be meant in two ways is refused.

use domain::Message;
use proto::pb::report::v1::value::Value;

use crate::output::both;

/// The value that a field of a CSV file stands for; the field is not empty.
pub(super) fn of_field(field: &str) -> Result<Value, Message> {
    if let Some(flag) = flag(field) {
        return Ok(Value::Flag(flag));
    }
    let digits = field.strip_prefix('-').unwrap_or(field);
    if all_digits(digits) {
        return integer(field);
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit())
        || !digits.chars().all(|c| c.is_ascii_digit() || is_separator(c))
    {
        return Err(both(
            format!("“{}” không phải số nguyên, số thập phân, có/không hay true/false", shown(field)),
            format!("`{}` is neither a whole number, a decimal number, có/không nor true/false", shown(field)),
        ));
    }
    match digits.split_once('.') {
        Some((whole, decimals)) if all_digits(whole) && all_digits(decimals) => {
            // One group of three may be thousands as Vietnam writes them. A group never begins with a zero.
            if whole.len() <= 3 && decimals.len() == 3 && !whole.starts_with('0') {
                return Err(both(
                    format!(
                        "“{field}” có thể là {whole}{decimals} hoặc {whole} phẩy {decimals}: hãy viết {whole}{decimals} nếu là số nguyên, hoặc dùng tệp JSON nếu là số thập phân"
                    ),
                    format!(
                        "`{field}` may be {whole}{decimals} or a number with three decimals: write {whole}{decimals} for the whole number, use JSON for the other"
                    ),
                ));
            }
            Ok(Value::Decimal(field.to_owned()))
        }
        _ => Err(separated(field)),
    }
}

/// Yes or no.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        // The second ones are the same words with accents as characters of their own.
        "true" | "có" | "co\u{301}" => Some(true),
        "false" | "không" | "kho\u{302}ng" => Some(false),
        _ => None,
    }
}

/// The value that a JSON number stands for, as it is written.
pub(super) fn of_number(literal: &str) -> Result<Value, Message> {
    if literal.contains(['e', 'E']) {
        return Err(both(
            format!("“{}”: hãy viết đầy đủ các chữ số, không dùng số mũ", shown(literal)),
            format!("`{}`: write all digits, without an exponent", shown(literal)),
        ));
    }
    if literal.contains('.') { Ok(Value::Decimal(literal.to_owned())) } else { integer(literal) }
}

/// The value that a JSON string stands for: a decimal number, else words.
pub(super) fn of_text(text: &str) -> Result<Value, Message> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
    if !numeric {
        return Ok(Value::Text(text.to_owned()));
    }
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    if all_digits(whole) && all_digits(decimals) { Ok(Value::Decimal(text.to_owned())) } else { Err(separated(text)) }
}

pub(super) fn integer(text: &str) -> Result<Value, Message> {
    text.parse().map(Value::Integer).map_err(|_| {
        both(format!("số “{}” quá lớn", shown(text)), format!("the number `{}` is too large", shown(text)))
    })
}

fn separated(text: &str) -> Message {
    both(
        format!(
            "“{}”: hãy viết số không có dấu phân cách hàng nghìn, phần thập phân sau dấu chấm: 1205627, 92.3",
            shown(text)
        ),
        format!("`{}`: write numbers without grouping, and decimals after a point: 1205627, 92.3", shown(text)),
    )
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_separator(c: char) -> bool {
    matches!(c, '.' | ',' | '\'') || c.is_whitespace()
}

/// A text of the file as it is shown back: bounded, and without control characters.
pub(super) fn shown(text: &str) -> String {
    const LIMIT: usize = 40;
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(LIMIT).collect();
    if text.chars().count() > LIMIT {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.to_owned())
    }

    #[test]
    fn fields_of_a_csv_file_are_read_as_they_are_meant() {
        for (field, value) in [
            ("0", Value::Integer(0)),
            ("1205627", Value::Integer(1_205_627)),
            ("-3", Value::Integer(-3)),
            ("02", Value::Integer(2)),
            ("92.3", decimal("92.3")),
            ("-0.5", decimal("-0.5")),
            ("0.205", decimal("0.205")),
            ("1205.627", decimal("1205.627")),
            ("1.2050", decimal("1.2050")),
            ("true", Value::Flag(true)),
            ("FALSE", Value::Flag(false)),
            ("Có", Value::Flag(true)),
            ("co\u{301}", Value::Flag(true)),
            ("KHÔNG", Value::Flag(false)),
            ("kho\u{302}ng", Value::Flag(false)),
        ] {
            assert_eq!(of_field(field), Ok(value), "for {field:?}");
        }
    }

    #[test]
    fn fields_that_may_mean_two_things_are_refused() {
        for (field, expected) in [
            (
                "1.205",
                "`1.205` may be 1205 or a number with three decimals: write 1205 for the whole number, use JSON for the other",
            ),
            ("-12.000", "`-12.000` may be 12000 or"),
            ("1.205.627", "`1.205.627`: write numbers without grouping"),
            ("1,205,627", "`1,205,627`: write numbers without grouping"),
            ("1.205,6", "`1.205,6`: write numbers"),
            ("92,3", "`92,3`: write numbers"),
            ("1 205", "`1 205`: write numbers"),
            ("1\u{a0}205", "`1\u{a0}205`: write numbers"),
            ("1'205", "`1'205`: write numbers"),
            ("5.", "`5.`: write numbers"),
            ("99999999999999999999", "the number `99999999999999999999` is too large"),
            ("92.3%", "`92.3%` is neither"),
            (".5", "`.5` is neither"),
            ("+5", "`+5` is neither"),
            ("-", "`-` is neither"),
            ("1e3", "`1e3` is neither"),
            ("gần 100", "`gần 100` is neither"),
            ("yes", "`yes` is neither"),
            ("٣", "`٣` is neither"),
        ] {
            let message = of_field(field).unwrap_err();
            assert!(message.en.starts_with(expected), "{} does not start with {expected}", message.en);
            assert!(!message.vi.is_empty());
        }
    }

    #[test]
    fn numbers_and_strings_of_json_are_taken_digit_by_digit() {
        assert_eq!(of_number("-7"), Ok(Value::Integer(-7)));
        assert_eq!(of_number("92.30"), Ok(decimal("92.30")), "not by way of a floating-point number");
        assert!(of_number("1e3").unwrap_err().en.contains("without an exponent"));
        assert!(of_number("9223372036854775808").unwrap_err().en.contains("too large"));
        assert_eq!(of_text("92.3"), Ok(decimal("92.3")));
        assert_eq!(of_text("1.205"), Ok(decimal("1.205")), "JSON has one decimal point");
        assert_eq!(of_text("7"), Ok(decimal("7")));
        assert_eq!(of_text("thiếu máy"), Ok(Value::Text("thiếu máy".to_owned())));
        assert_eq!(of_text("2022-11-07"), Ok(Value::Text("2022-11-07".to_owned())));
        assert_eq!(of_text(""), Ok(Value::Text(String::new())));
        for refused in ["1.205.627", "1,205", "92,3", "5."] {
            assert!(of_text(refused).unwrap_err().en.contains("without grouping"), "for {refused}");
        }
    }
}
