//! Scaled integers as people and programs write them.

use crate::{CELL_LIMIT, catalogue::ValueType};

/// How a number is written: what groups its digits, if anything, and what stands before its decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notation {
    group: Option<char>,
    point: char,
}

/// `1.205.627,5`
pub const VIETNAMESE: Notation = Notation { group: Some('.'), point: ',' };
/// `1,205,627.5`
pub const ENGLISH: Notation = Notation { group: Some(','), point: '.' };
/// `1205627.5`
pub const PLAIN: Notation = Notation { group: None, point: '.' };

/// More decimals than any data element has.
const MOST_DECIMALS: u32 = 18;

/// More digits than [`CELL_LIMIT`] has; with so many an integer still fits an `i64`.
const MOST_DIGITS: usize = 18;

/// The longest text that is looked at for a number, in bytes.
const MOST_BYTES: usize = 64;

impl Notation {
    /// Writes an integer that is scaled by ten to the power of `decimals`, of which there are 18 at most.
    #[must_use]
    pub fn write(self, scaled: impl Into<i128>, decimals: u32) -> String {
        let (scaled, decimals) = (scaled.into(), decimals.min(MOST_DECIMALS) as usize);
        let mut digits = format!("{:0>width$}", scaled.unsigned_abs(), width = decimals + 1);
        let after = digits.split_off(digits.len() - decimals);
        let mut text = String::from(if scaled < 0 { "-" } else { "" });
        text.push_str(&self.grouped(&digits));
        if !after.is_empty() {
            text.push(self.point);
            text.push_str(&after);
        }
        text
    }

    /// Reads a number as people type it, for a cell of a type: the value, scaled by the type's decimals. What could be meant
    /// in two ways is refused, with what it may mean.
    ///
    /// Whole numbers are `1205627` or `1.205.627`; decimals stand after the point character: `92,3`. One group of three
    /// (`1.205`) is 1205 where only a whole number can be meant, and ambiguous where decimals can.
    ///
    /// # Errors
    /// When it is no such number, or none that the type takes.
    pub fn read(self, text: &str, value_type: ValueType) -> Result<i64, NumberError> {
        let (places, signed) = match value_type {
            ValueType::Count => (0, false),
            ValueType::Signed => (0, true),
            ValueType::Decimal(places) => (places, false),
            ValueType::Flag | ValueType::Date | ValueType::Text => return Err(NumberError::OtherType),
        };
        let written = self.take_apart(text).map_err(|error| if places == 0 { error.of_whole(self) } else { error })?;
        if written.negative && !signed {
            return Err(NumberError::Sign);
        }
        let decimals = written.decimals.as_deref().unwrap_or_default();
        if places == 0 && !decimals.is_empty() {
            return Err(NumberError::NotWhole { likely: self.whole_meant(&written) });
        }
        if places > 0 && written.may_be_decimal() {
            return Err(self.ambiguous(&written));
        }
        if decimals.len() > usize::from(places) {
            return Err(NumberError::Decimals { places });
        }
        let digits = format!("{}{decimals:0<places$}", written.whole, places = usize::from(places));
        let number: i64 = digits.parse().map_err(|_| NumberError::TooLarge)?;
        if number > CELL_LIMIT {
            return Err(NumberError::TooLarge);
        }
        Ok(if written.negative { -number } else { number })
    }

    /// Takes a number apart of which nothing but the notation is known.
    ///
    /// # Errors
    /// When it is none in this notation.
    pub fn take_apart(self, text: &str) -> Result<Written, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        if text.len() > MOST_BYTES {
            return Err(NumberError::NoNumber);
        }
        // U+2212 is the minus that word processors put in the hyphen's place.
        let (negative, digits) = match text.strip_prefix(['-', '\u{2212}']) {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if let Some(number) = digits.strip_suffix('%') {
            return Err(if is_numeric(number) { NumberError::Percent } else { NumberError::NoNumber });
        }
        if let Some(number) = digits.strip_prefix('+') {
            return Err(if is_numeric(number) { NumberError::Sign } else { NumberError::NoNumber });
        }
        if !is_numeric(digits) {
            return Err(NumberError::NoNumber);
        }
        if digits.contains(is_space) {
            return Err(NumberError::Spaces { likely: self.likely(negative, digits) });
        }
        let misplaced = || NumberError::Separators { likely: self.likely(negative, digits) };
        let (whole, decimals) = match digits.split_once(self.point) {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (digits, None),
        };
        if decimals.is_some_and(|decimals| !all_digits(decimals)) {
            return Err(misplaced());
        }
        let groups: Vec<&str> = self.group.map_or_else(|| vec![whole], |group| whole.split(group).collect());
        let well_grouped = match &groups[..] {
            [one] => all_digits(one),
            [first, rest @ ..] => {
                let three = |group: &&str| group.len() == 3 && all_digits(group);
                all_digits(first) && first.len() <= 3 && !first.starts_with('0') && rest.iter().all(three)
            }
            [] => false,
        };
        if !well_grouped {
            return Err(misplaced());
        }
        let whole = groups.concat();
        if whole.len() + decimals.map_or(0, str::len) > MOST_DIGITS {
            return Err(NumberError::TooLarge);
        }
        Ok(Written { negative, groups: groups.len(), whole, decimals: decimals.map(str::to_owned) })
    }

    /// The digits with this notation's groups; zeros in front are left out.
    fn grouped(self, digits: &str) -> String {
        let zeros = digits.len() - digits.trim_start_matches('0').len();
        let digits = &digits[zeros.min(digits.len().saturating_sub(1))..];
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (place, digit) in digits.chars().enumerate() {
            if let Some(group) = self.group.filter(|_| place > 0 && (digits.len() - place).is_multiple_of(3)) {
                text.push(group);
            }
            text.push(digit);
        }
        text
    }

    /// What digits with separators at the wrong places may be meant for, in this notation: the whole number of all digits,
    /// or a number with decimals after the last separator.
    fn likely(self, negative: bool, digits: &str) -> Vec<String> {
        // Nothing stands after what trails.
        let digits = digits.trim_end_matches(|c: char| !c.is_ascii_digit());
        let mut parts: Vec<&str> =
            digits.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let separators: Vec<char> = digits.chars().filter(|c| !c.is_ascii_digit()).collect();
        let sign = if negative { "-" } else { "" };
        let as_whole = format!("{sign}{}", self.grouped(&parts.concat()));
        let Some(last) = parts.pop().filter(|_| !parts.is_empty()) else { return vec![as_whole] };
        let as_decimal = format!("{sign}{}{}{last}", self.grouped(&parts.concat()), self.point);
        let spaces = separators.iter().all(|c| is_space(*c));
        let all_alike = separators.iter().all(|separator| Some(separator) == separators.first());
        match separators.len() {
            _ if spaces => vec![as_whole],
            // Digits grouped by threes as English does, or a group that went wrong.
            1 => vec![as_whole, as_decimal],
            _ if all_alike => vec![as_whole],
            // No space stands before decimals, and what groups in this notation groups where three digits follow.
            _ if separators.last().is_some_and(|last| is_space(*last)) => vec![as_whole],
            _ if last.len() == 3 && separators.last().copied() == self.group => vec![as_whole],
            // Separators of several kinds: the last stood before the decimals.
            _ => vec![as_decimal],
        }
    }

    /// What a number with decimals may be meant for where only whole ones are taken.
    fn whole_meant(self, written: &Written) -> Vec<String> {
        let decimals = written.decimals.as_deref().unwrap_or_default();
        let sign = if written.negative { "-" } else { "" };
        if decimals.bytes().all(|digit| digit == b'0') {
            return vec![format!("{sign}{}", self.grouped(&written.whole))];
        }
        // Three digits after it: as a group of thousands it would be right in English.
        let is_group = decimals.len() == 3 && written.groups == 1 && written.whole.len() <= 3;
        if is_group {
            vec![format!("{sign}{}", self.grouped(&format!("{}{decimals}", written.whole)))]
        } else {
            Vec::new()
        }
    }

    /// The two meanings of one group of three where decimals can be meant.
    #[must_use]
    pub fn ambiguous(self, written: &Written) -> NumberError {
        let (first, rest) = written.whole.split_at(written.whole.len().saturating_sub(3));
        let sign = if written.negative { "-" } else { "" };
        NumberError::Ambiguous {
            whole: format!("{sign}{}", written.whole),
            decimal: format!("{sign}{first}{}{rest}", self.point),
        }
    }
}

/// A number as somebody wrote it, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    negative: bool,
    groups: usize,
    whole: String,
    decimals: Option<String>,
}

impl Written {
    /// Whether it is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.decimals.is_none()
    }

    /// Whether it is one group of three, `1.205`, which a reader of another notation takes for decimals.
    #[must_use]
    pub fn may_be_decimal(&self) -> bool {
        self.groups == 2 && self.decimals.is_none()
    }

    /// Whether it begins with zeros that say nothing: `02`.
    #[must_use]
    pub fn has_leading_zeros(&self) -> bool {
        self.whole.len() > 1 && self.whole.starts_with('0')
    }

    /// As programs write it: `-1205627.5`.
    #[must_use]
    pub fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let decimals = self.decimals.as_ref().map_or(String::new(), |decimals| format!(".{decimals}"));
        format!("{sign}{}{decimals}", self.whole)
    }
}

/// Why a text is not a number that a cell takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// There is nothing.
    #[error("there is no number")]
    Empty,
    /// It holds something else than digits and separators.
    #[error("not a number")]
    NoNumber,
    /// A plus, or a minus where no number is negative.
    #[error("a sign where none belongs")]
    Sign,
    /// A per cent sign: the cell says what its number means.
    #[error("a per cent sign")]
    Percent,
    /// Digits with spaces between.
    #[error("spaces between the digits")]
    Spaces {
        /// What it may mean.
        likely: Vec<String>,
    },
    /// Separators that neither group digits by threes nor stand before decimals.
    #[error("separators where none belong")]
    Separators {
        /// What it may mean.
        likely: Vec<String>,
    },
    /// One group of three where decimals can be meant.
    #[error("may be {whole} or {decimal}")]
    Ambiguous {
        /// As a whole number, without groups.
        whole: String,
        /// As a number with three decimals.
        decimal: String,
    },
    /// Decimals where only whole numbers are taken.
    #[error("not a whole number")]
    NotWhole {
        /// What it may mean.
        likely: Vec<String>,
    },
    /// More decimals than the cell keeps.
    #[error("more than {places} decimals")]
    Decimals {
        /// How many it keeps.
        places: u8,
    },
    /// Beyond [`CELL_LIMIT`].
    #[error("too large")]
    TooLarge,
    /// The cell takes yes or no, a day or words.
    #[error("the cell takes no number")]
    OtherType,
}

impl NumberError {
    /// The same for a cell of whole numbers: a meaning with decimals is none there, unless there is no other.
    fn of_whole(mut self, notation: Notation) -> Self {
        if let Self::Spaces { likely } | Self::Separators { likely } = &mut self {
            let zeros = |decimals: &str| decimals.bytes().all(|digit| digit == b'0');
            // `1.205,627.0` is whole after all.
            for meant in likely.iter_mut() {
                if let Some((whole, decimals)) = meant.split_once(notation.point)
                    && zeros(decimals)
                {
                    *meant = whole.to_owned();
                }
            }
            if likely.iter().any(|meant| !meant.contains(notation.point)) {
                likely.retain(|meant| !meant.contains(notation.point));
            }
        }
        self
    }
}

/// Digits first, then digits and what people put between them.
fn is_numeric(text: &str) -> bool {
    let between = |c: char| matches!(c, '.' | ',' | '\'' | '’') || is_space(c);
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || between(c))
}

fn is_space(c: char) -> bool {
    c.is_whitespace() && !c.is_control()
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: ValueType = ValueType::Count;
    const SIGNED: ValueType = ValueType::Signed;

    fn read(text: &str, value_type: ValueType) -> Result<i64, NumberError> {
        VIETNAMESE.read(text, value_type)
    }

    #[test]
    fn numbers_are_written_as_each_reader_expects() {
        assert_eq!(VIETNAMESE.write(1_205_627, 0), "1.205.627");
        assert_eq!(VIETNAMESE.write(-120_562_705, 2), "-1.205.627,05");
        assert_eq!(ENGLISH.write(7, 1), "0.7");
        assert_eq!(ENGLISH.write(-1_000, 0), "-1,000");
        assert_eq!(PLAIN.write(12_056_275, 1), "1205627.5");
        assert_eq!(PLAIN.write(999, 0), "999");
        assert_eq!(VIETNAMESE.write(i64::MIN, 0), "-9.223.372.036.854.775.808");
    }

    #[test]
    fn numbers_are_read_as_vietnam_writes_them() {
        for (text, value_type, number) in [
            ("0", COUNT, 0),
            ("1205627", COUNT, 1_205_627),
            ("1.205.627", COUNT, 1_205_627),
            ("1.205", COUNT, 1_205),
            ("12.000", COUNT, 12_000),
            ("02", COUNT, 2),
            ("1.000.000.000.000", COUNT, CELL_LIMIT),
            ("-3", SIGNED, -3),
            ("\u{2212}1.205", SIGNED, -1_205),
            ("7", ValueType::Decimal(1), 70),
            ("92,3", ValueType::Decimal(1), 923),
            ("92,3", ValueType::Decimal(3), 92_300),
            ("0,205", ValueType::Decimal(3), 205),
            ("1.205,6", ValueType::Decimal(1), 12_056),
            ("1.205.627", ValueType::Decimal(1), 12_056_270),
            ("1205", ValueType::Decimal(1), 12_050),
        ] {
            assert_eq!(read(text, value_type), Ok(number), "{text:?} as {value_type:?}");
        }
    }

    #[test]
    fn what_may_be_meant_in_two_ways_is_refused_with_its_meanings() {
        let likely = |likely: &[&str]| likely.iter().map(|meant| (*meant).to_owned()).collect::<Vec<_>>();
        let separators = |meant: &[&str]| NumberError::Separators { likely: likely(meant) };
        let decimal = ValueType::Decimal(4);
        for (text, value_type, error) in [
            ("8.1026", COUNT, separators(&["81.026"])),
            ("8.1026", decimal, separators(&["81.026", "8,1026"])),
            ("1,205,627", COUNT, separators(&["1.205.627"])),
            ("1,205,627", decimal, separators(&["1.205.627"])),
            ("1.205,627.0", COUNT, separators(&["1.205.627"])),
            ("1.205,627.0", decimal, separators(&["1.205.627,0"])),
            ("1,205,627.5", decimal, separators(&["1.205.627,5"])),
            ("92.3", decimal, separators(&["923", "92,3"])),
            ("0.205", COUNT, separators(&["205"])),
            ("0.205", decimal, separators(&["205", "0,205"])),
            ("1205.627", COUNT, separators(&["1.205.627"])),
            ("1..205", COUNT, separators(&["1.205"])),
            ("5.", COUNT, separators(&["5"])),
            ("5,", decimal, separators(&["5"])),
            ("1'205", COUNT, separators(&["1.205"])),
            ("1.205", decimal, NumberError::Ambiguous { whole: "1205".to_owned(), decimal: "1,205".to_owned() }),
            ("1 205 627", COUNT, NumberError::Spaces { likely: likely(&["1.205.627"]) }),
            ("1.205 627", COUNT, NumberError::Spaces { likely: likely(&["1.205.627"]) }),
            ("1.234.000,", COUNT, separators(&["1.234.000"])),
            ("1 234.000", COUNT, NumberError::Spaces { likely: likely(&["1.234.000"]) }),
            ("1\u{a0}205", COUNT, NumberError::Spaces { likely: likely(&["1.205"]) }),
            ("92,3", COUNT, NumberError::NotWhole { likely: Vec::new() }),
            ("92,0", COUNT, NumberError::NotWhole { likely: likely(&["92"]) }),
            ("1,205", COUNT, NumberError::NotWhole { likely: likely(&["1.205"]) }),
            ("92,35", ValueType::Decimal(1), NumberError::Decimals { places: 1 }),
        ] {
            assert_eq!(read(text, value_type), Err(error), "{text:?} as {value_type:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (text, error) in [
            ("", NumberError::Empty),
            ("-", NumberError::NoNumber),
            (".5", NumberError::NoNumber),
            (",5", NumberError::NoNumber),
            ("gần 100", NumberError::NoNumber),
            ("trên 5", NumberError::NoNumber),
            ("5 nghìn", NumberError::NoNumber),
            ("1e3", NumberError::NoNumber),
            ("--5", NumberError::NoNumber),
            ("5-", NumberError::NoNumber),
            ("٣", NumberError::NoNumber),
            ("５", NumberError::NoNumber),
            ("NaN", NumberError::NoNumber),
            ("+5", NumberError::Sign),
            ("-5", NumberError::Sign),
            ("-0", NumberError::Sign),
            ("92,3%", NumberError::Percent),
            ("%", NumberError::NoNumber),
            ("100000000000001", NumberError::TooLarge),
            ("99999999999999999999", NumberError::TooLarge),
        ] {
            assert_eq!(read(text, COUNT), Err(error), "{text:?}");
        }
        assert_eq!(read(&"1".repeat(100_000), COUNT), Err(NumberError::NoNumber), "longer than any number");
        for value_type in [ValueType::Flag, ValueType::Date, ValueType::Text] {
            assert_eq!(read("5", value_type), Err(NumberError::OtherType));
        }
        assert_eq!(read("-0,5", ValueType::Decimal(1)), Err(NumberError::Sign));
        assert_eq!(read("1.000.000.000.000,1", ValueType::Decimal(1)), Err(NumberError::TooLarge));
    }

    /// Every number up to a bound and some beyond, written with and without groups, is read as itself.
    #[test]
    fn what_is_written_is_read_back() {
        let more = [999_999, 1_000_000, 1_205_627, CELL_LIMIT - 1, CELL_LIMIT];
        for number in (0..20_000).chain(more) {
            assert_eq!(read(&VIETNAMESE.write(number, 0), COUNT), Ok(number));
            assert_eq!(read(&PLAIN.write(number, 0), COUNT), Ok(number));
            assert_eq!(read(&VIETNAMESE.write(-number, 0), SIGNED), Ok(-number));
            assert_eq!(ENGLISH.read(&ENGLISH.write(number, 0), COUNT), Ok(number));
            assert_eq!(read(&VIETNAMESE.write(number, 1), ValueType::Decimal(1)), Ok(number));
        }
    }

    /// Every text of up to six of these characters is read as one number only, or refused: what is accepted is what
    /// writing the number gives again, but for groups and zeros.
    #[test]
    fn nothing_else_is_read() {
        let mut texts = vec![String::new()];
        for _ in 0..6 {
            let longer = texts.iter().flat_map(|text| ["1", "0", ".", ",", "-", " "].map(|c| format!("{text}{c}")));
            let longer: Vec<_> = longer.collect();
            texts = longer;
            for text in &texts {
                let Ok(number) = read(text, SIGNED) else { continue };
                let digits: String = text.chars().filter(|c| *c != '.').collect();
                assert_eq!(digits.parse(), Ok(number), "{text:?}");
                let grouped = VIETNAMESE.write(number, 0);
                assert!(!text.contains('.') || *text == grouped || *text == format!("-{grouped}"), "{text:?}");
            }
        }
    }

    #[test]
    fn a_number_of_no_known_type_is_taken_apart() {
        let plain = |text: &str| VIETNAMESE.take_apart(text).map(|written| written.plain());
        assert_eq!(plain("-1.205.627,50").as_deref(), Ok("-1205627.50"));
        assert_eq!(plain("007").as_deref(), Ok("007"));
        assert!(VIETNAMESE.take_apart("007").unwrap().has_leading_zeros());
        for none in ["0", "0,5", "10", "1.000"] {
            assert!(!VIETNAMESE.take_apart(none).unwrap().has_leading_zeros(), "{none}");
        }
        assert!(VIETNAMESE.take_apart("1.205").unwrap().may_be_decimal());
        assert!(!VIETNAMESE.take_apart("1.205.627").unwrap().may_be_decimal());
    }
}
