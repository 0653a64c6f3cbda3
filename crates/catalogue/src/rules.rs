//! The rules of a data set: what their checks name is looked up among its cells, and a rule over `[*]` becomes one rule
//! for each option.

use std::collections::{BTreeMap, HashMap};

use domain::{
    Message, OptionCode, Severity,
    catalogue::{Cell, ValueType},
    rule::{Condition, Linear, Of, Rule, Term},
};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    fault::{Faults, Place, filled, one_of, parsed},
    files::TextFile,
    rule_text::{Cells, Check, Expression, Which},
};

const SEVERITIES: [(&str, Severity); 2] = [("error", Severity::Error), ("warning", Severity::Warning)];

/// A `[[rule]]` of a data set's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleRow {
    id: Spanned<String>,
    severity: Spanned<String>,
    check: Spanned<String>,
    message_vi: Spanned<String>,
    message_en: Spanned<String>,
}

/// The rules. Where the data set's cells have a fault (`None`), only what does not depend on them is judged.
pub(crate) fn read(file: TextFile<'_>, rows: Vec<RuleRow>, cells: Option<&[Cell]>, faults: &mut Faults) -> Vec<Rule> {
    let mut seen: HashMap<String, Place<'_>> = HashMap::new();
    let mut rules = Vec::new();
    for row in rows {
        let place = file.place(row.id.span().start);
        if let Some(earlier) = seen.insert(row.id.get_ref().clone(), place) {
            faults.add(place, format!("rule `{}` is defined twice; first {earlier}", row.id.get_ref()));
        }
        rules.extend(read_rule(file, row, cells, faults));
    }
    rules
}

fn read_rule(file: TextFile<'_>, row: RuleRow, cells: Option<&[Cell]>, faults: &mut Faults) -> Vec<Rule> {
    let RuleRow { id, severity, check: text, message_vi, message_en } = row;
    let place = |text: &Spanned<String>| file.place(text.span().start);
    // A rule's name is made of what codes are made of.
    parsed::<OptionCode>((place(&id), "id"), id.get_ref(), faults);
    let severity = one_of((place(&severity), "severity"), severity.get_ref(), &SEVERITIES, faults);
    let check = Check::parse(text.get_ref());
    let per_option = check.as_ref().ok().map(|check| each(check).next().is_some());
    for (key, message) in [("message_vi", &message_vi), ("message_en", &message_en)] {
        filled(place(message), [(key, message.get_ref())], faults);
        check_placeholders((place(message), key), message.get_ref(), per_option, faults);
    }
    // A wrong severity is told, and must not hide a wrong check.
    let severity = severity.unwrap_or(Severity::Error);
    let rules = check.map_err(|error| vec![error.to_string()]).and_then(|check| {
        let Some(cells) = cells else { return Ok(Vec::new()) };
        let message = Message { vi: message_vi.into_inner(), en: message_en.into_inner() };
        let rule = Template { id: id.get_ref(), severity, check, message };
        rule.expand(cells).map_err(|errors| errors.iter().map(RuleError::to_string).collect())
    });
    rules.unwrap_or_else(|errors| {
        for error in errors {
            faults.add(place(&text), format!("check of rule `{}`: {error}", id.get_ref()));
        }
        Vec::new()
    })
}

/// The cells of a check that are written `element[*]`.
fn each<'c, 't>(check: &'c Check<'t>) -> impl Iterator<Item = Cells<'t>> + use<'c, 't> {
    named(check).filter(|cells| cells.which == Which::Each)
}

/// All cells a check names.
fn named<'c, 't>(check: &'c Check<'t>) -> impl Iterator<Item = Cells<'t>> + use<'c, 't> {
    check.left.terms.iter().chain(&check.right.terms).map(|term| term.cells)
}

/// Why a check does not fit the data set.
#[derive(Debug, thiserror::Error)]
enum RuleError {
    #[error("column {column}: the data set has no cell of `{element}`")]
    NoCell { column: usize, element: String },
    #[error(
        "column {column}: `{element}` has options: write {element}[*] for a rule per option, {element}[option] for one, \
         or sum({element})"
    )]
    NeedsOption { column: usize, element: String },
    #[error("column {column}: `{element}` has no options: write {element}")]
    NoOptions { column: usize, element: String },
    #[error("column {column}: `{element}` has no cell for the option `{option}`; its options are {options}")]
    UnknownOption { column: usize, element: String, option: String, options: String },
    #[error(
        "column {column}: `{element}[*]` is to have the same options as `{first}[*]`; only one of them has {difference}"
    )]
    OtherOptions { column: usize, element: String, first: String, difference: String },
    #[error("column {column}: `{element}` holds words, which cannot be compared")]
    Words { column: usize, element: String },
    #[error("names no cell, or only cells that cancel out")]
    Empty,
    #[error("no level fills all of its cells, so that it would never be judged")]
    NoLevel,
    #[error("its numbers are too large")]
    TooLarge,
}

/// A rule before it is expanded over options.
struct Template<'t> {
    id: &'t str,
    severity: Severity,
    check: Check<'t>,
    message: Message,
}

impl Template<'_> {
    /// The rule, or one for each option.
    fn expand(self, cells: &[Cell]) -> Result<Vec<Rule>, Vec<RuleError>> {
        let form = Form::new(cells);
        form.check_names(&self.check)?;
        let Some(first) = each(&self.check).next() else {
            return self.rule(&form, None).map(|rule| vec![rule]).map_err(|error| vec![error]);
        };
        let places = form.places(first.element).iter();
        places.map(|place| self.rule(&form, Some(*place)).map_err(|error| vec![error])).collect()
    }

    /// The rule, for the option of the cell at a place where its check has `[*]`.
    fn rule(&self, form: &Form<'_>, option: Option<usize>) -> Result<Rule, RuleError> {
        let Self { id, severity, check: Check { left, comparison, right }, message } = self;
        let option = option.and_then(|place| form.cells[place].option.as_ref());
        let code = option.map_or("", |option| option.code.as_str());
        let places = named(&self.check).flat_map(|cells| form.chosen(cells, code));
        let decimals = places.map(|place| form.cells[place].element.value_type.decimals()).max().unwrap_or(0);
        let rule = Rule {
            id: option.map_or_else(|| (*id).to_owned(), |option| format!("{id}[{}]", option.code)),
            severity: *severity,
            when: None,
            check: domain::rule::Check::Compare(Condition {
                left: form.linear(left, code, decimals)?,
                comparison: *comparison,
                right: form.linear(right, code, decimals)?,
            }),
            decimals,
            message: Message {
                vi: message.vi.replace("{option}", option.map_or("", |option| &option.name_vi)),
                en: message.en.replace("{option}", option.map_or("", |option| &option.name_en)),
            },
        };
        let mut levels: Vec<_> = rule.cells().take(1).flat_map(|place| form.cells[place].levels.iter()).collect();
        if levels.is_empty() {
            return Err(RuleError::Empty);
        }
        levels.retain(|level| rule.cells().all(|place| form.cells[place].levels.contains(*level)));
        if levels.is_empty() { Err(RuleError::NoLevel) } else { Ok(rule) }
    }
}

/// A data set's cells, and the places of each data element's.
struct Form<'a> {
    cells: &'a [Cell],
    by_element: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Form<'a> {
    fn new(cells: &'a [Cell]) -> Self {
        let mut by_element: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, cell) in cells.iter().enumerate() {
            by_element.entry(cell.element.code.as_str()).or_default().push(place);
        }
        Self { cells, by_element }
    }

    fn places(&self, element: &str) -> &[usize] {
        self.by_element.get(element).map_or(&[], Vec::as_slice)
    }

    /// The options that a data element has in this data set.
    fn options(&self, element: &str) -> Vec<&'a str> {
        let options = self.places(element).iter().filter_map(|place| self.cells[*place].option.as_ref());
        options.map(|option| option.code.as_str()).collect()
    }

    /// Whether every name of the check is one of the data set's cells, and used as such.
    fn check_names(&self, check: &Check<'_>) -> Result<(), Vec<RuleError>> {
        let mut errors = Vec::new();
        let first = each(check).next();
        for cells in named(check) {
            errors.extend(self.check_cells(cells).err());
            if let Some(first) = first.filter(|_| cells.which == Which::Each) {
                errors.extend(self.compare_options(first.element, cells).err());
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_cells(&self, Cells { element: name, which, column }: Cells<'_>) -> Result<(), RuleError> {
        let element = name.to_owned();
        let Some(first) = self.places(name).first() else { return Err(RuleError::NoCell { column, element }) };
        if self.cells[*first].element.value_type == ValueType::Text {
            return Err(RuleError::Words { column, element });
        }
        let options = self.options(name);
        match which {
            Which::Only if options.is_empty() => Ok(()),
            Which::Only => Err(RuleError::NeedsOption { column, element }),
            _ if options.is_empty() => Err(RuleError::NoOptions { column, element }),
            Which::Option(option) if !options.contains(&option) => Err(RuleError::UnknownOption {
                column,
                element,
                option: option.to_owned(),
                options: options.join(", "),
            }),
            Which::Option(_) | Which::Each | Which::All => Ok(()),
        }
    }

    fn compare_options(&self, first: &str, cells: Cells<'_>) -> Result<(), RuleError> {
        let (ours, theirs) = (self.options(cells.element), self.options(first));
        let mut difference: Vec<&str> = ours.iter().filter(|option| !theirs.contains(option)).copied().collect();
        difference.extend(theirs.iter().filter(|option| !ours.contains(option)));
        if difference.is_empty() || ours.is_empty() || theirs.is_empty() {
            return Ok(()); // no options at all is told for each name by itself
        }
        Err(RuleError::OtherOptions {
            column: cells.column,
            element: cells.element.to_owned(),
            first: first.to_owned(),
            difference: difference.join(", "),
        })
    }

    /// The places of the named cells; `each` is the option where they are written `element[*]`.
    fn chosen(&self, cells: Cells<'_>, each: &str) -> impl Iterator<Item = usize> {
        let option = match cells.which {
            Which::Only => Some(""),
            Which::Option(option) => Some(option),
            Which::Each => Some(each),
            Which::All => None,
        };
        let is_chosen = move |place: &usize| {
            let own = self.cells[*place].option.as_ref().map_or("", |option| option.code.as_str());
            option.is_none_or(|option| option == own)
        };
        self.places(cells.element).iter().copied().filter(is_chosen).collect::<Vec<_>>().into_iter()
    }

    /// One side, each cell once, with everything brought to `decimals`.
    fn linear(&self, side: &Expression<'_>, each: &str, decimals: u8) -> Result<Linear, RuleError> {
        let scaled = |number: i64, places: u8| {
            let scale = 10_i64.checked_pow(u32::from(decimals - places))?;
            number.checked_mul(scale)
        };
        let mut factors: BTreeMap<usize, i64> = BTreeMap::new();
        for term in &side.terms {
            for place in self.chosen(term.cells, each) {
                let factor = scaled(term.factor, self.cells[place].element.value_type.decimals());
                let sum = factors.entry(place).or_default();
                *sum = factor.and_then(|factor| sum.checked_add(factor)).ok_or(RuleError::TooLarge)?;
            }
        }
        factors.retain(|_, factor| *factor != 0);
        Ok(Linear {
            terms: factors.into_iter().map(|(cell, factor)| Term { factor, cell, of: Of::This }).collect(),
            constant: scaled(side.constant, 0).ok_or(RuleError::TooLarge)?,
        })
    }
}

/// Refuses `{…}` that nothing will be put in the place of. Whether the rule is per option is not known (`None`) where its
/// check cannot be read.
fn check_placeholders((place, key): (Place<'_>, &str), message: &str, per_option: Option<bool>, faults: &mut Faults) {
    let mut rest = message;
    while let Some(at) = rest.find(['{', '}']) {
        let name = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, after)) = name else {
            faults.add(
                place,
                format!("{key} has a brace without its other half; a placeholder is {{left}} or {{right}}"),
            );
            return;
        };
        match name {
            "left" | "right" => {}
            "option" if per_option != Some(false) => {}
            "option" => faults.add(place, format!("{key} has {{option}}, but the rule's check has no [*]")),
            other => {
                let what = format!(
                    "{key} has {{{other}}}; the placeholders are {{left}}, {{right}} and, with [*], {{option}}"
                );
                faults.add(place, what);
            }
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use domain::rule::{Check, Comparison};

    use super::*;
    use crate::{assemble, files::Files};

    /// The rules of the sample's data set, with its `[[rule]]` replaced.
    fn rules(text: &str) -> Result<Vec<Rule>, String> {
        let mut files = Files::sample();
        let file = files.text("data_sets/meals.toml", &mut Faults::default()).unwrap().text;
        let cells =
            file.split_once("[[rule]]").unwrap().0.replace("levels = [\"school\"]", "levels = [\"school\", \"city\"]");
        let cells = cells.replace("]\n\n", "    { element = \"note\" },\n]\n\n");
        files.set("data_sets/meals.toml", &format!("{cells}{text}"));
        let loaded = assemble(&files, Faults::default()).map_err(|faults| faults.to_string())?;
        Ok(loaded.catalogue.data_sets()[0].rules().to_vec())
    }

    /// A rule of which the check stands on line 16 of the file.
    fn rule(check: &str) -> String {
        format!(
            "[[rule]]\nid = \"r\"\nseverity = \"warning\"\ncheck = \"{check}\"\nmessage_vi = \"{{left}}\"\nmessage_en = \"{{right}}\"\n"
        )
    }

    fn term(factor: i64, cell: usize) -> Term {
        Term { factor, cell, of: Of::This }
    }

    fn sides(rule: &Rule) -> &Condition {
        match &rule.check {
            Check::Compare(condition) => condition,
            Check::Given(_) => panic!("{rule:?}"),
        }
    }

    fn fault(check: &str) -> String {
        rules(&rule(check)).unwrap_err()
    }

    #[test]
    fn a_rule_over_options_becomes_one_for_each() {
        let text =
            rule("2 * by_kind[*] < served + 1").replace("{left}", "{option}: {left}").replace("{right}", "{option}");
        let [rice, soup] = &rules(&text).unwrap()[..] else { panic!("one rule for each of the two kinds") };
        assert_eq!(
            *rice,
            Rule {
                id: "r[rice]".to_owned(),
                severity: Severity::Warning,
                when: None,
                check: Check::Compare(Condition {
                    left: Linear { terms: vec![term(2, 1)], constant: 0 },
                    comparison: Comparison::Less,
                    right: Linear { terms: vec![term(1, 0)], constant: 1 },
                }),
                decimals: 0,
                message: Message { vi: "Cơm: {left}".to_owned(), en: "Rice".to_owned() },
            }
        );
        assert_eq!((soup.id.as_str(), &sides(soup).left.terms[..]), ("r[soup]", &[term(2, 2)][..]));
        assert_eq!(soup.message, Message { vi: "Canh: {left}".to_owned(), en: "Soup".to_owned() });
    }

    #[test]
    fn sums_and_single_options_name_their_cells() {
        let rules = rules(&rule("sum(by_kind) - by_kind[rice] = served + served")).unwrap();
        assert_eq!(sides(&rules[0]).left.terms, [term(1, 2)], "rice cancels out");
        assert_eq!(sides(&rules[0]).right.terms, [term(2, 0)], "a cell named twice is one term");
    }

    #[test]
    fn cells_of_other_decimals_are_brought_to_one_scale() {
        let rules = rules(&rule("3 * weight <= 2 * served - 5")).unwrap();
        assert_eq!(rules[0].decimals, 1);
        assert_eq!(sides(&rules[0]).left, Linear { terms: vec![term(3, 3)], constant: 0 });
        assert_eq!(sides(&rules[0]).right, Linear { terms: vec![term(20, 0)], constant: -50 });
    }

    #[test]
    fn checks_that_do_not_fit_the_cells_are_told() {
        let told = |check: &str, what: &str| {
            assert_eq!(fault(check), format!("data_sets/meals.toml:16: check of rule `r`: {what}"));
        };
        told("served <= meals", "column 11: the data set has no cell of `meals`");
        told("served <= note", "column 11: `note` holds words, which cannot be compared");
        told(
            "by_kind <= served",
            "column 1: `by_kind` has options: write by_kind[*] for a rule per option, by_kind[option] for one, or sum(by_kind)",
        );
        told("served[*] <= 1", "column 1: `served` has no options: write served");
        told("sum(served) <= 1", "column 1: `served` has no options: write served");
        told(
            "by_kind[fish] <= served",
            "column 1: `by_kind` has no cell for the option `fish`; its options are rice, soup",
        );
        told("1 <= 2", "names no cell, or only cells that cancel out");
        told("served - served <= 2", "names no cell, or only cells that cancel out");
        told("weight <= 9223372036854775807", "its numbers are too large");
        told("served <== 1", "column 10: expected a data element, sum(data element) or a whole number, found `=`");
        told(
            "served <= prev(served)",
            "column 11: `prev(…)`, a value of the period before, is not supported yet: a check compares cells of one report",
        );
    }

    #[test]
    fn every_wrong_name_of_a_check_is_told() {
        assert_eq!(fault("a <= b").lines().count(), 2);
    }

    #[test]
    fn options_of_both_sides_are_the_same() {
        let mut files = Files::sample();
        files.edit("data_elements.csv", "meal,school,\n", "meal,school,kinds\n");
        files.edit("data_sets/meals.toml", "\"served\" }", "\"served\", options = [\"soup\"] }");
        files.edit("data_sets/meals.toml", "<= served", "<= served[*]");
        assert_eq!(
            assemble(&files, Faults::default()).unwrap_err().to_string(),
            "data_sets/meals.toml:15: check of rule `kinds_at_most_served`: column 15: `served[*]` is to have the same \
             options as `by_kind[*]`; only one of them has rice"
        );
    }

    #[test]
    fn a_rule_that_no_level_can_break_is_refused() {
        let mut files = Files::sample();
        files.edit("data_sets/meals.toml", "[\"school\"]", "[\"city\", \"school\"]");
        files.edit("data_sets/meals.toml", "\"weight\" }", "\"weight\", levels = [\"city\"] }");
        files.edit("data_sets/meals.toml", "by_kind[*] <= served", "by_kind[*] <= weight");
        assert_eq!(
            assemble(&files, Faults::default()).unwrap_err().to_string(),
            "data_sets/meals.toml:15: check of rule `kinds_at_most_served`: no level fills all of its cells, so that it \
             would never be judged"
        );
    }

    #[test]
    fn wrong_words_of_a_rule_are_told_with_their_lines() {
        let text = rule("served <= meals")
            .replace("\"r\"", "\"r 1\"")
            .replace("warning", "warn")
            .replace("{left}", "{option} {lft}")
            .replace("{right}", "{right");
        assert_eq!(
            rules(&text).unwrap_err(),
            "data_sets/meals.toml:14: id `r 1` must be 1 to 40 characters of A-Z, a-z, 0-9, '_' or '-'\n\
             data_sets/meals.toml:15: severity `warn` must be one of error, warning\n\
             data_sets/meals.toml:16: check of rule `r 1`: column 11: the data set has no cell of `meals`\n\
             data_sets/meals.toml:17: message_vi has {option}, but the rule's check has no [*]\n\
             data_sets/meals.toml:17: message_vi has {lft}; the placeholders are {left}, {right} and, with [*], {option}\n\
             data_sets/meals.toml:18: message_en has a brace without its other half; a placeholder is {left} or {right}"
        );
        let twice = rule("served <= 1") + &rule("served <= 2");
        assert_eq!(rules(&twice).unwrap_err(), "data_sets/meals.toml:20: rule `r` is defined twice; first on line 14");
    }
}
