//! What is wrong with the files, said with the place and what would be right.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the catalogue's directory.
    pub file: String,
    /// The line, from 1; none where the whole file is meant.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    /// `levels.csv:3: what is wrong`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what } = self;
        match line {
            Some(line) => write!(f, "{file}:{line}: {what}"),
            None => write!(f, "{file}: {what}"),
        }
    }
}

/// All that is wrong: up to [`Faults::LIMIT`] faults by file and line, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    list: Vec<Fault>,
    omitted: usize,
}

impl Faults {
    /// How many are listed; the rest is counted.
    pub const LIMIT: usize = 100;

    /// The faults.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// How many were left out of the list.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many faults there are, listed or not: by it a reader tells whether it has added any.
    pub(crate) fn count(&self) -> usize {
        self.list.len() + self.omitted
    }

    pub(crate) fn add(&mut self, place: Place<'_>, what: impl Into<String>) {
        if self.list.len() < Self::LIMIT {
            self.list.push(Fault { file: place.file.to_owned(), line: place.line, what: what.into() });
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn sorted(mut self) -> Self {
        self.list.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self
    }
}

impl fmt::Display for Faults {
    /// A line for each fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.list.iter().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

/// Where a fault is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    file: &'a str,
    line: Option<u64>,
}

impl<'a> Place<'a> {
    pub(crate) fn file(file: &'a str) -> Self {
        Self { file, line: None }
    }

    pub(crate) fn line(file: &'a str, line: u64) -> Self {
        Self { file, line: Some(line) }
    }

    /// Whether it is earlier in the same file.
    pub(crate) fn is_before(self, other: Self) -> bool {
        self.line < other.line
    }
}

impl fmt::Display for Place<'_> {
    /// `on line 3`, to be read beside a fault in the same file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "on line {line}"),
            None => f.write_str(self.file),
        }
    }
}

/// The value whose name is `text`; a fault that names all of them where there is none.
pub(crate) fn one_of<T: Copy>(
    (place, column): (Place<'_>, &str),
    text: &str,
    allowed: &[(&str, T)],
    faults: &mut Faults,
) -> Option<T> {
    let value = allowed.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if value.is_none() {
        let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
        faults.add(place, format!("{column} `{text}` must be one of {}", names.join(", ")));
    }
    value
}

/// The value a text stands for; its error becomes a fault.
pub(crate) fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
    (place, column): (Place<'_>, &str),
    text: &str,
    faults: &mut Faults,
) -> Option<T> {
    text.parse().map_err(|error| faults.add(place, format!("{column} `{text}` {error}"))).ok()
}

/// A fault for each text that is empty.
pub(crate) fn filled<const N: usize>(place: Place<'_>, columns: [(&str, &str); N], faults: &mut Faults) {
    for (column, _) in columns.iter().filter(|(_, text)| text.trim().is_empty()) {
        faults.add(place, format!("{column} is empty; every {column} needs a text"));
    }
}

/// Codes for a fault to name: `s01, s02 and 23 more`.
pub(crate) fn listed<'c>(codes: impl IntoIterator<Item = &'c str>) -> String {
    const MOST: usize = 30;
    let codes: Vec<&str> = codes.into_iter().collect();
    let shown = codes[..codes.len().min(MOST)].join(", ");
    if codes.len() > MOST { format!("{shown} and {} more", codes.len() - MOST) } else { shown }
}

/// Asserts that the one fault found is this.
#[cfg(test)]
pub(crate) fn found<T: fmt::Debug>(result: Result<T, Faults>, fault: &str) {
    let faults = result.unwrap_err();
    assert_eq!(faults.to_string(), fault);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_codes_are_cut() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert!(listed(["a"; 32]).ends_with("a, a and 2 more"));
    }

    #[test]
    fn faults_past_the_limit_are_counted() {
        let mut faults = Faults::default();
        for line in 1..=120 {
            faults.add(Place::line("levels.csv", line), "wrong");
        }
        assert_eq!((faults.list().len(), faults.omitted(), faults.count()), (100, 20, 120));
        let text = faults.to_string();
        assert!(text.starts_with("levels.csv:1: wrong\nlevels.csv:2: wrong\n"));
        assert!(text.ends_with("\nlevels.csv:100: wrong\nand 20 more"));
    }
}
