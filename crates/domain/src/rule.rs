//! Validation rules as data: a comparison of two linear expressions over the cells of one report.

use crate::{
    Message, Severity,
    number::{ENGLISH, Notation, VIETNAMESE},
    report::Values,
};

/// How the two sides of a rule must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<=`
    AtMost,
    /// `<`
    Less,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

impl Comparison {
    fn holds(self, left: i128, right: i128) -> bool {
        match self {
            Self::AtMost => left <= right,
            Self::Less => left < right,
            Self::Equal => left == right,
            Self::AtLeast => left >= right,
            Self::Greater => left > right,
        }
    }
}

/// `2·a + b − 3`, with cells by their place in the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Factor and cell. A factor also brings its cell to the decimals of the whole expression.
    pub terms: Vec<(i64, usize)>,
    /// What is added, in the decimals of the whole expression.
    pub constant: i64,
}

impl Linear {
    /// The expression's value; none when one of its cells is absent.
    #[must_use]
    pub fn value(&self, values: &Values) -> Option<i128> {
        self.terms.iter().try_fold(i128::from(self.constant), |sum, (factor, cell)| {
            // |factor| < 2⁶³ and |value| ≤ 10¹⁴: no product and no sum of a form's cells leaves an i128.
            values.get(*cell).map(|value| sum + i128::from(*factor) * i128::from(value))
        })
    }
}

/// A rule of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name, unique in its data set.
    pub id: String,
    /// Whether a breach stops the report.
    pub severity: Severity,
    /// The left side.
    pub left: Linear,
    /// How it must compare with the right side.
    pub comparison: Comparison,
    /// The right side.
    pub right: Linear,
    /// Decimals of both sides' values.
    pub decimals: u8,
    /// What to tell the sender; `{left}` and `{right}` stand for the two values.
    pub message: Message,
}

impl Rule {
    /// The cells the rule looks at, by place.
    pub fn cells(&self) -> impl Iterator<Item = usize> {
        self.left.terms.iter().chain(&self.right.terms).map(|(_, cell)| *cell)
    }

    /// What the rule says of a report's values: nothing where it holds or a cell it needs is absent, else its message.
    #[must_use]
    pub fn check(&self, values: &Values) -> Option<Message> {
        let (left, right) = (self.left.value(values)?, self.right.value(values)?);
        if self.comparison.holds(left, right) {
            return None;
        }
        let fill = |template: &str, notation: Notation| {
            let write = |side| notation.write(side, u32::from(self.decimals));
            template.replace("{left}", &write(left)).replace("{right}", &write(right))
        };
        Some(Message { vi: fill(&self.message.vi, VIETNAMESE), en: fill(&self.message.en, ENGLISH) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_most() -> Rule {
        Rule {
            id: "online_at_most_total".to_owned(),
            severity: Severity::Error,
            left: Linear { terms: vec![(1, 0)], constant: 0 },
            comparison: Comparison::AtMost,
            right: Linear { terms: vec![(1, 1)], constant: 0 },
            decimals: 0,
            message: Message {
                vi: "trực tuyến ({left}) lớn hơn tổng số ({right})".into(),
                en: "online ({left}) above total ({right})".into(),
            },
        }
    }

    #[test]
    fn a_rule_holds_up_to_its_bound_and_breaks_one_above() {
        let check = |online, total| at_most().check(&Values::from(vec![online, total]));
        assert_eq!(check(Some(1000), Some(1000)), None);
        let broken = check(Some(1001), Some(1000)).unwrap();
        assert_eq!(broken.vi, "trực tuyến (1.001) lớn hơn tổng số (1.000)");
        assert_eq!(broken.en, "online (1,001) above total (1,000)");
    }

    #[test]
    fn an_absent_cell_is_not_zero() {
        assert_eq!(at_most().check(&Values::from(vec![Some(5), None])), None);
    }
}
