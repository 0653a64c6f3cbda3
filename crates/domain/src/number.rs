//! Scaled integers as people and programs write them.

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

impl Notation {
    /// Writes an integer that is scaled by ten to the power of `decimals`, of which there are 18 at most.
    #[must_use]
    pub fn write(self, scaled: impl Into<i128>, decimals: u32) -> String {
        let (scaled, decimals) = (scaled.into(), decimals.min(MOST_DECIMALS) as usize);
        let mut digits = format!("{:0>width$}", scaled.unsigned_abs(), width = decimals + 1);
        let after = digits.split_off(digits.len() - decimals);
        let mut text = String::from(if scaled < 0 { "-" } else { "" });
        for (place, digit) in digits.chars().enumerate() {
            if let Some(group) = self.group.filter(|_| place > 0 && (digits.len() - place).is_multiple_of(3)) {
                text.push(group);
            }
            text.push(digit);
        }
        if !after.is_empty() {
            text.push(self.point);
            text.push_str(&after);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
