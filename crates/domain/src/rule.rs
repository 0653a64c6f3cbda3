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

/// Whose value of a cell is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The report's own.
    This,
    /// That of the unit's report for the period just before.
    Previous,
}

/// A cell's value, taken so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// How many times. It also brings the cell to the decimals of the whole expression.
    pub factor: i64,
    /// The cell's place.
    pub cell: usize,
    /// Of which report.
    pub of: Of,
}

/// `2·a + b − 3`, with cells by their place in the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// What is added up.
    pub terms: Vec<Term>,
    /// What is added, in the decimals of the whole expression.
    pub constant: i64,
}

impl Linear {
    /// The expression's value; none when one of its cells is absent, or the previous report is and a cell of it is named.
    #[must_use]
    pub fn value(&self, values: &Values, previous: Option<&Values>) -> Option<i128> {
        self.terms.iter().try_fold(i128::from(self.constant), |sum, Term { factor, cell, of }| {
            let values = match of {
                Of::This => Some(values),
                Of::Previous => previous,
            };
            // |factor| < 2⁶³ and |value| ≤ 10¹²: no product and no sum of a form's cells leaves an i128.
            values?.get(*cell).map(|value| sum + i128::from(*factor) * i128::from(value))
        })
    }
}

/// Two expressions and how they must compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The left side.
    pub left: Linear,
    /// How it must compare with the right side.
    pub comparison: Comparison,
    /// The right side.
    pub right: Linear,
}

impl Condition {
    fn terms(&self) -> impl Iterator<Item = &Term> {
        self.left.terms.iter().chain(&self.right.terms)
    }

    fn sides(&self, values: &Values, previous: Option<&Values>) -> Option<(i128, i128)> {
        Some((self.left.value(values, previous)?, self.right.value(values, previous)?))
    }

    /// Whether it holds; none where a cell it needs is absent.
    #[must_use]
    pub fn holds(&self, values: &Values, previous: Option<&Values>) -> Option<bool> {
        self.sides(values, previous).map(|(left, right)| self.comparison.holds(left, right))
    }
}

/// What a rule demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// That two expressions compare as said. Says nothing where a cell it needs is absent.
    Compare(Condition),
    /// That the cell at a place is given.
    Given(usize),
}

/// A rule of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name, unique in its data set.
    pub id: String,
    /// Whether a breach stops the report.
    pub severity: Severity,
    /// When the rule applies at all; always where there is none.
    pub when: Option<Condition>,
    /// What it demands then.
    pub check: Check,
    /// Decimals of both sides' values.
    pub decimals: u8,
    /// What to tell the sender; `{left}` and `{right}` stand for the two values.
    pub message: Message,
}

impl Rule {
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let checked = match &self.check {
            Check::Compare(condition) => Some(condition),
            Check::Given(_) => None,
        };
        self.when.iter().chain(checked)
    }

    /// The cells the rule looks at, by place.
    pub fn cells(&self) -> impl Iterator<Item = usize> {
        let given = match self.check {
            Check::Compare(_) => None,
            Check::Given(cell) => Some(cell),
        };
        self.conditions().flat_map(Condition::terms).map(|term| term.cell).chain(given)
    }

    /// Whether the rule needs the unit's report for the period just before.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        self.conditions().flat_map(Condition::terms).any(|term| term.of == Of::Previous)
    }

    /// What the rule says of a report's values: nothing where it holds, does not apply or lacks a cell it needs, else its
    /// message. `previous` are the values of the unit's report for the period just before, where there is one.
    #[must_use]
    pub fn check(&self, values: &Values, previous: Option<&Values>) -> Option<Message> {
        if let Some(when) = &self.when
            && when.holds(values, previous) != Some(true)
        {
            return None;
        }
        let (left, right) = match &self.check {
            Check::Given(cell) => return values.get(*cell).is_none().then(|| self.message.clone()),
            Check::Compare(condition) => {
                let (left, right) = condition.sides(values, previous)?;
                if condition.comparison.holds(left, right) {
                    return None;
                }
                (left, right)
            }
        };
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

    fn side(cells: &[(usize, Of)]) -> Linear {
        Linear { terms: cells.iter().map(|(cell, of)| Term { factor: 1, cell: *cell, of: *of }).collect(), constant: 0 }
    }

    fn at_most() -> Rule {
        Rule {
            id: "online_at_most_total".to_owned(),
            severity: Severity::Error,
            when: None,
            check: Check::Compare(Condition {
                left: side(&[(0, Of::This)]),
                comparison: Comparison::AtMost,
                right: side(&[(1, Of::This)]),
            }),
            decimals: 0,
            message: Message {
                vi: "trực tuyến ({left}) lớn hơn tổng số ({right})".into(),
                en: "online ({left}) above total ({right})".into(),
            },
        }
    }

    #[test]
    fn a_rule_holds_up_to_its_bound_and_breaks_one_above() {
        let check = |online, total| at_most().check(&Values::from(vec![online, total]), None);
        assert_eq!(check(Some(1000), Some(1000)), None);
        let broken = check(Some(1001), Some(1000)).unwrap();
        assert_eq!(broken.vi, "trực tuyến (1.001) lớn hơn tổng số (1.000)");
        assert_eq!(broken.en, "online (1,001) above total (1,000)");
    }

    #[test]
    fn an_absent_cell_is_not_zero() {
        assert_eq!(at_most().check(&Values::from(vec![Some(5), None]), None), None);
    }

    #[test]
    fn the_period_before_is_compared_where_there_is_one() {
        let rule = Rule {
            check: Check::Compare(Condition {
                left: side(&[(0, Of::Previous)]),
                comparison: Comparison::AtMost,
                right: side(&[(0, Of::This)]),
            }),
            ..at_most()
        };
        assert!(rule.looks_back() && !at_most().looks_back());
        let check = |before: Option<i64>, now| {
            let before = before.map(|before| Values::from(vec![Some(before), None]));
            rule.check(&Values::from(vec![Some(now), None]), before.as_ref()).is_some()
        };
        assert!(!check(None, 5));
        assert!(!check(Some(5), 5));
        assert!(check(Some(6), 5));
    }

    #[test]
    fn a_rule_applies_when_its_condition_holds() {
        let rule = Rule {
            when: Some(Condition {
                left: side(&[(0, Of::This)]),
                comparison: Comparison::Equal,
                right: Linear { terms: Vec::new(), constant: 1 },
            }),
            check: Check::Given(1),
            ..at_most()
        };
        let check = |flag, given| rule.check(&Values::from(vec![flag, given]), None).is_some();
        assert!(check(Some(1), None));
        assert!(!check(Some(1), Some(0)));
        assert!(!check(Some(0), None) && !check(None, None));
    }
}
