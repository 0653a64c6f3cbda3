//! The text of a rule's check, `2 * svc_online[*] + 1 <= sum(svc_total)`, taken apart. Whether its cells exist is
//! another's question.
//!
//! ```text
//! check      = given | comparison                        `when` is written likewise
//! given      = "given" "(" own ")"
//! comparison = expression ("<=" | "<" | "=" | ">=" | ">") expression
//! expression = ["-"] term {("+" | "-") term}
//! term       = factor {"*" factor}                       of the factors at most one is cells
//! factor     = whole number | cells | "prev" "(" cells ")"
//! cells      = own | "sum" "(" element ")"
//! own        = element | element "[" option "]" | element "[*]"
//! ```

use domain::rule::{Comparison, Of};

/// Words that stand before a parenthesis, and so are no data elements.
pub(crate) const FUNCTIONS: [&str; 3] = ["sum", "prev", "given"];

/// A check, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check<'t> {
    /// That two sides compare as said.
    Compare(Condition<'t>),
    /// That a cell is given.
    Given(Cells<'t>),
}

/// Two sides and how they must compare.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Condition<'t> {
    pub(crate) left: Expression<'t>,
    pub(crate) comparison: Comparison,
    pub(crate) right: Expression<'t>,
}

/// A sum.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expression<'t> {
    pub(crate) terms: Vec<Term<'t>>,
    pub(crate) constant: i64,
}

/// Cells and what they are multiplied by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Term<'t> {
    pub(crate) factor: i64,
    pub(crate) cells: Cells<'t>,
}

/// The cells of a data element that a term names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cells<'t> {
    pub(crate) element: &'t str,
    pub(crate) which: Which<'t>,
    /// Of the report itself, or of the unit's report for the period just before.
    pub(crate) of: Of,
    /// Where the name begins, in characters from 1.
    pub(crate) column: usize,
}

/// Which of a data element's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which<'t> {
    /// `element`: its one cell.
    Only,
    /// `element[option]`
    Option(&'t str),
    /// `element[*]`: each option's in turn.
    Each,
    /// `sum(element)`: those of all options, added.
    All,
}

/// Why a text is no check.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {mistake}")]
pub(crate) struct CheckError {
    /// In characters from 1.
    column: usize,
    mistake: Mistake,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Mistake {
    #[error("expected {wanted}, found {found}")]
    Unexpected { wanted: &'static str, found: String },
    #[error("cells may be multiplied by whole numbers only, not by cells")]
    CellsTimesCells,
    #[error("numbers in a check are whole: no decimals, no grouping")]
    NotWhole,
    #[error("the number is too large")]
    TooLarge,
    #[error("write prev(sum(…)): prev stands outside")]
    PrevInside,
    #[error("there is one period before: prev is written once")]
    PrevTwice,
    #[error("given(…) stands alone: it is no number")]
    GivenInside,
    #[error("given(…) is about a cell of this report: write given(data element)")]
    GivenOther,
}

const FACTOR: &str = "a data element, sum(…), prev(…) or a whole number";
const COMPARISONS: [(&str, Comparison); 5] = [
    // `<=` before `<`, or it would never be seen.
    ("<=", Comparison::AtMost),
    ("<", Comparison::Less),
    (">=", Comparison::AtLeast),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl<'t> Check<'t> {
    /// Takes a check's text apart.
    ///
    /// # Errors
    /// At the first column where the text is no check.
    pub(crate) fn parse(text: &'t str) -> Result<Self, CheckError> {
        let mut parser = Parser { text, at: 0 };
        let (check, after) = match parser.given()? {
            Some(cells) => (Self::Given(cells), "the end"),
            None => (Self::Compare(parser.condition()?), "+, -, * or the end"),
        };
        parser.skip_spaces();
        if parser.at < text.len() { Err(parser.unexpected(after)) } else { Ok(check) }
    }
}

/// A factor of a term.
enum Factor<'t> {
    Number(i64),
    Cells(Cells<'t>),
}

struct Parser<'t> {
    text: &'t str,
    /// The next byte.
    at: usize,
}

impl<'t> Parser<'t> {
    /// The cell in `given(…)`; none where the text begins otherwise.
    fn given(&mut self) -> Result<Option<Cells<'t>>, CheckError> {
        let start = self.at;
        self.skip_spaces();
        if self.take_name() != "given" {
            self.at = start;
            return Ok(None);
        }
        self.expect("(", "( and a data element after `given`")?;
        let column = self.next_column();
        match self.take_name() {
            "" => Err(self.unexpected("a data element")),
            "prev" | "sum" => Err(CheckError { column, mistake: Mistake::GivenOther }),
            element => {
                let which = self.option()?;
                self.expect(")", ") after the data element")?;
                Ok(Some(Cells { element, which, of: Of::This, column }))
            }
        }
    }

    fn condition(&mut self) -> Result<Condition<'t>, CheckError> {
        let left = self.expression()?;
        let Some((_, comparison)) = COMPARISONS.into_iter().find(|(sign, _)| self.eat(sign)) else {
            return Err(self.unexpected("+, -, * or one of <= < = >= >"));
        };
        let right = self.expression()?;
        Ok(Condition { left, comparison, right })
    }

    fn expression(&mut self) -> Result<Expression<'t>, CheckError> {
        let mut sum = Expression::default();
        let mut sign = if self.eat("-") { -1 } else { 1 };
        loop {
            let start = self.next_column();
            let (factor, cells) = self.term()?;
            match cells {
                Some(cells) => sum.terms.push(Term { factor: sign * factor, cells }),
                None => {
                    let constant = sum.constant.checked_add(sign * factor);
                    sum.constant = constant.ok_or(CheckError { column: start, mistake: Mistake::TooLarge })?;
                }
            }
            sign = if self.eat("+") {
                1
            } else if self.eat("-") {
                -1
            } else {
                return Ok(sum);
            };
        }
    }

    /// The product of a term's numbers, never negative, and its cells.
    fn term(&mut self) -> Result<(i64, Option<Cells<'t>>), CheckError> {
        let (mut product, mut cells) = (1_i64, None);
        loop {
            let column = self.next_column();
            let refuse = |mistake| CheckError { column, mistake };
            match self.factor()? {
                Factor::Number(number) => {
                    product = product.checked_mul(number).ok_or(refuse(Mistake::TooLarge))?;
                }
                Factor::Cells(_) if cells.is_some() => return Err(refuse(Mistake::CellsTimesCells)),
                Factor::Cells(named) => cells = Some(named),
            }
            if !self.eat("*") {
                return Ok((product, cells));
            }
        }
    }

    fn factor(&mut self) -> Result<Factor<'t>, CheckError> {
        let column = self.next_column();
        let digits = self.take_while(|c| c.is_ascii_digit());
        if !digits.is_empty() {
            if self.text[self.at..].starts_with(['.', ',']) {
                return Err(CheckError { column, mistake: Mistake::NotWhole });
            }
            let number = digits.parse().map_err(|_| CheckError { column, mistake: Mistake::TooLarge })?;
            return Ok(Factor::Number(number));
        }
        self.cells(Of::This).map(Factor::Cells)
    }

    fn cells(&mut self, of: Of) -> Result<Cells<'t>, CheckError> {
        let column = self.next_column();
        let refuse = |mistake| CheckError { column, mistake };
        match self.take_name() {
            "" => Err(self.unexpected(FACTOR)),
            "given" => Err(refuse(Mistake::GivenInside)),
            "prev" if of == Of::Previous => Err(refuse(Mistake::PrevTwice)),
            "prev" => {
                self.expect("(", "( and a data element after `prev`")?;
                let cells = self.cells(Of::Previous)?;
                self.expect(")", ") after what is of the period before")?;
                Ok(cells)
            }
            "sum" => {
                self.expect("(", "( and a data element after `sum`")?;
                let inner = self.next_column();
                let element = match self.take_name() {
                    "" => return Err(self.unexpected("a data element")),
                    "prev" => return Err(CheckError { column: inner, mistake: Mistake::PrevInside }),
                    element => element,
                };
                self.expect(")", ") after the data element")?;
                Ok(Cells { element, which: Which::All, of, column })
            }
            element => Ok(Cells { element, which: self.option()?, of, column }),
        }
    }

    /// What stands in brackets after a data element, if there are any.
    fn option(&mut self) -> Result<Which<'t>, CheckError> {
        if !self.eat("[") {
            return Ok(Which::Only);
        }
        self.skip_spaces();
        let option = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let which = match option {
            "" => self.expect("*", "an option or *").map(|()| Which::Each)?,
            option => Which::Option(option),
        };
        self.expect("]", "] after the option")?;
        Ok(which)
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    /// Takes a sign, spaces before it left out, if it comes next.
    fn eat(&mut self, sign: &str) -> bool {
        self.skip_spaces();
        let found = self.text[self.at..].starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn expect(&mut self, sign: &str, wanted: &'static str) -> Result<(), CheckError> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(wanted)) }
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn take_name(&mut self) -> &'t str {
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// The column of what comes next.
    fn next_column(&mut self) -> usize {
        self.skip_spaces();
        self.text[..self.at].chars().count() + 1
    }

    fn unexpected(&mut self, wanted: &'static str) -> CheckError {
        let column = self.next_column();
        let found = self.text[self.at..].chars().next().map_or("the end".to_owned(), |c| format!("`{c}`"));
        CheckError { column, mistake: Mistake::Unexpected { wanted, found } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term<'t>(factor: i64, element: &'t str, which: Which<'t>, column: usize) -> Term<'t> {
        Term { factor, cells: Cells { element, which, of: Of::This, column } }
    }

    fn condition(text: &str) -> Condition<'_> {
        match Check::parse(text).unwrap() {
            Check::Compare(condition) => condition,
            Check::Given(cells) => panic!("{cells:?}"),
        }
    }

    #[test]
    fn a_check_of_all_parts_is_taken_apart() {
        assert_eq!(
            condition("- a + 2*b[s-1] * 3 - 4 >= sum( c )-5*2 + d[*]"),
            Condition {
                left: Expression {
                    terms: vec![term(-1, "a", Which::Only, 3), term(6, "b", Which::Option("s-1"), 9)],
                    constant: -4
                },
                comparison: Comparison::AtLeast,
                right: Expression {
                    terms: vec![term(1, "c", Which::All, 27), term(1, "d", Which::Each, 42)],
                    constant: -10
                },
            }
        );
    }

    #[test]
    fn every_comparison_is_read() {
        for (sign, comparison) in COMPARISONS {
            assert_eq!(condition(&format!("a{sign}1")).comparison, comparison, "{sign}");
        }
    }

    #[test]
    fn the_period_before_is_named() {
        let named = |text| {
            let Condition { left, .. } = condition(text);
            let Cells { element, which, of, column } = left.terms[0].cells;
            (element, which, of, column)
        };
        assert_eq!(named("prev(a) <= 1"), ("a", Which::Only, Of::Previous, 6));
        assert_eq!(named("2 * prev( a[s1] ) <= 1"), ("a", Which::Option("s1"), Of::Previous, 11));
        assert_eq!(named("prev(a[*]) <= 1"), ("a", Which::Each, Of::Previous, 6));
        assert_eq!(named("prev(sum(a)) <= 1"), ("a", Which::All, Of::Previous, 6));
    }

    #[test]
    fn a_cell_may_have_to_be_given() {
        let given = |which, column| Check::Given(Cells { element: "a", which, of: Of::This, column });
        assert_eq!(Check::parse(" given( a ) "), Ok(given(Which::Only, 9)));
        assert_eq!(Check::parse("given(a[*])"), Ok(given(Which::Each, 7)));
        assert_eq!(condition("given_away <= 1").left.terms, [term(1, "given_away", Which::Only, 1)]);
    }

    #[test]
    fn mistakes_are_told_with_their_column() {
        let mistake = |text| Check::parse(text).unwrap_err().to_string();
        let factor = format!("expected {FACTOR}");
        assert_eq!(mistake(""), format!("column 1: {factor}, found the end"));
        assert_eq!(mistake("a <= "), format!("column 6: {factor}, found the end"));
        assert_eq!(mistake("a == b"), format!("column 4: {factor}, found `=`"));
        assert_eq!(mistake("2 * (a + b) <= c"), format!("column 5: {factor}, found `(`"));
        assert_eq!(mistake("a - -1 <= c"), format!("column 5: {factor}, found `-`"));
        assert_eq!(mistake("số <= b"), "column 2: expected +, -, * or one of <= < = >= >, found `ố`");
        assert_eq!(mistake("a ≤ b"), "column 3: expected +, -, * or one of <= < = >= >, found `≤`");
        assert_eq!(mistake("a + b"), "column 6: expected +, -, * or one of <= < = >= >, found the end");
        assert_eq!(mistake("a <= b <= c"), "column 8: expected +, -, * or the end, found `<`");
        assert_eq!(mistake("2a <= b"), "column 2: expected +, -, * or one of <= < = >= >, found `a`");
        assert_eq!(mistake("a[] <= b"), "column 3: expected an option or *, found `]`");
        assert_eq!(mistake("a[s1 <= b"), "column 6: expected ] after the option, found `<`");
        assert_eq!(mistake("sum <= b"), "column 5: expected ( and a data element after `sum`, found `<`");
        assert_eq!(mistake("sum(a[*]) <= b"), "column 6: expected ) after the data element, found `[`");
        assert_eq!(mistake("a <= sum(prev(a))"), "column 10: write prev(sum(…)): prev stands outside");
        assert_eq!(mistake("a <= prev(prev(a))"), "column 11: there is one period before: prev is written once");
        assert_eq!(mistake("a <= prev()"), format!("column 11: {factor}, found `)`"));
        assert_eq!(mistake("a <= prev(a + b)"), "column 13: expected ) after what is of the period before, found `+`");
        assert_eq!(mistake("a <= prev"), "column 10: expected ( and a data element after `prev`, found the end");
        assert_eq!(mistake("a <= given(b)"), "column 6: given(…) stands alone: it is no number");
        assert_eq!(mistake("given(a) + 1 <= b"), "column 10: expected the end, found `+`");
        assert_eq!(mistake("given()"), "column 7: expected a data element, found `)`");
        assert_eq!(
            mistake("given(prev(a))"),
            "column 7: given(…) is about a cell of this report: write given(data element)"
        );
        assert_eq!(mistake("a <= b * c"), "column 10: cells may be multiplied by whole numbers only, not by cells");
        assert_eq!(mistake("1.5 * a <= b"), "column 1: numbers in a check are whole: no decimals, no grouping");
        assert_eq!(mistake("a <= 99999999999999999999"), "column 6: the number is too large");
        assert_eq!(mistake("a <= 9999999999 * 9999999999"), "column 19: the number is too large");
        assert_eq!(mistake("a <= 9223372036854775807 + 1"), "column 28: the number is too large");
    }
}
