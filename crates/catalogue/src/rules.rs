//! The rules of a data set: what their checks name is looked up among its cells, and a rule over `[*]` becomes one rule
//! for each option.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use domain::{
    Message, OptionCode, Severity,
    catalogue::{Cell, ValueType},
    rule::{self, Comparison, Linear, Of, Rule, Term},
};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    fault::{Faults, Place, filled, listed, one_of, parsed},
    files::TextFile,
    rule_text::{self, Cells, Check, Condition, Expression, Which},
};

const SEVERITIES: [(&str, Severity); 2] = [("error", Severity::Error), ("warning", Severity::Warning)];

/// A `[[rule]]` of a data set's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleRow {
    id: Spanned<String>,
    severity: Spanned<String>,
    when: Option<Spanned<String>>,
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
    let RuleRow { id, severity, when, check, message_vi, message_en } = row;
    let place = |text: &Spanned<String>| file.place(text.span().start);
    // A rule's name is made of what codes are made of.
    parsed::<OptionCode>((place(&id), "id"), id.get_ref(), faults);
    let severity_place = place(&severity);
    let severity = one_of((severity_place, "severity"), severity.get_ref(), &SEVERITIES, faults);
    let texts = || when.iter().map(|when| (Part::When, when)).chain([(Part::Check, &check)]);
    let refuse = |part: Part, error: &dyn fmt::Display, faults: &mut Faults| {
        for (_, text) in texts().filter(|(of, _)| *of == part) {
            faults.add(place(text), format!("{part} of rule `{}`: {error}", id.get_ref()));
        }
    };
    let mut parts = Vec::new();
    for (part, text) in texts() {
        match Check::parse(text.get_ref()) {
            Ok(check) => parts.push((part, check)),
            Err(error) => refuse(part, &error, faults),
        }
    }
    let whole = parts.len() == texts().count();
    let shown = Shown {
        sides: !parts.iter().any(|(part, check)| *part == Part::Check && matches!(check, Check::Given(_))),
        option: !whole || parts.iter().flat_map(|(_, check)| named(check)).any(|cells| cells.which == Which::Each),
    };
    for (key, message) in [("message_vi", &message_vi), ("message_en", &message_en)] {
        filled(place(message), [(key, message.get_ref())], faults);
        check_placeholders((place(message), key), message.get_ref(), shown, faults);
    }
    let looks_back = parts.iter().flat_map(|(_, check)| named(check)).any(|cells| cells.of == Of::Previous);
    if looks_back && severity == Some(Severity::Error) {
        let what = format!(
            "rule `{}` names prev(…), so its severity must be warning: a report is not rejected for what an earlier one says",
            id.get_ref()
        );
        faults.add(severity_place, what);
    }
    let (Some(cells), true) = (cells, whole) else { return Vec::new() };
    let message = Message { vi: message_vi.get_ref().clone(), en: message_en.get_ref().clone() };
    // A wrong severity is told, and must not hide a wrong check.
    let template = Template { id: id.get_ref(), severity: severity.unwrap_or(Severity::Error), parts, message };
    template.expand(cells).unwrap_or_else(|errors| {
        for (part, error) in errors {
            refuse(part, &error, faults);
        }
        Vec::new()
    })
}

/// The two texts of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    When,
    Check,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::When => "when",
            Self::Check => "check",
        })
    }
}

/// All cells a check names.
fn named<'t>(check: &Check<'t>) -> Vec<Cells<'t>> {
    match check {
        Check::Given(cells) => vec![*cells],
        Check::Compare(Condition { left, right, .. }) => {
            left.terms.iter().chain(&right.terms).map(|term| term.cells).collect()
        }
    }
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
    #[error(
        "column {column}: `{element}` holds {what}, which cannot be compared; given({element}) asks whether there is any"
    )]
    NoNumber { column: usize, element: String, what: &'static str },
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
    /// Its check, after when it applies.
    parts: Vec<(Part, Check<'t>)>,
    message: Message,
}

impl Template<'_> {
    /// The rule, or one for each option.
    fn expand(self, cells: &[Cell]) -> Result<Vec<Rule>, Vec<(Part, RuleError)>> {
        let form = Form::new(cells);
        // What is written [*] last stands in the check, if it does at all.
        let each = self.parts.iter().rev().flat_map(|(_, check)| named(check)).find(|cells| cells.which == Which::Each);
        form.check_names(&self.parts, each)?;
        let options: Vec<Option<usize>> = match each {
            None => vec![None],
            Some(each) => form.places(each.element).iter().copied().map(Some).collect(),
        };
        options.into_iter().map(|option| self.rule(&form, option).map_err(|error| vec![error])).collect()
    }

    /// The rule, for the option of the cell at a place where it has `[*]`.
    fn rule(&self, form: &Form<'_>, option: Option<usize>) -> Result<Rule, (Part, RuleError)> {
        let option = option.and_then(|place| form.cells[place].option.as_ref());
        let code = option.map_or("", |option| option.code.as_str());
        let (mut when, mut check, mut decimals) = (None, None, 0);
        for (part, text) in &self.parts {
            let checked = form.check(text, code).map_err(|error| (*part, error))?;
            match (part, checked) {
                (Part::When, (rule::Check::Compare(condition), _)) => when = Some(condition),
                // Whatever a cell's value is, it equals itself; where there is none the comparison does not hold.
                (Part::When, (rule::Check::Given(cell), _)) => {
                    let itself = || Linear { terms: vec![Term { factor: 1, cell, of: Of::This }], constant: 0 };
                    let condition = rule::Condition { left: itself(), comparison: Comparison::Equal, right: itself() };
                    when = Some(condition);
                }
                (Part::Check, (demanded, places)) => (check, decimals) = (Some(demanded), places),
            }
        }
        let check = check.ok_or((Part::Check, RuleError::Empty))?;
        let rule = Rule {
            id: option.map_or_else(|| self.id.to_owned(), |option| format!("{}[{}]", self.id, option.code)),
            severity: self.severity,
            when,
            check,
            decimals,
            message: Message {
                vi: self.message.vi.replace("{option}", option.map_or("", |option| &option.name_vi)),
                en: self.message.en.replace("{option}", option.map_or("", |option| &option.name_en)),
            },
        };
        let mut levels: Vec<_> = rule.cells().take(1).flat_map(|place| form.cells[place].levels.iter()).collect();
        levels.retain(|level| rule.cells().all(|place| form.cells[place].levels.contains(*level)));
        if levels.is_empty() { Err((Part::Check, RuleError::NoLevel)) } else { Ok(rule) }
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

    /// Whether every name is one of the data set's cells, and used as such. `each` is one written `[*]`.
    fn check_names(&self, parts: &[(Part, Check<'_>)], each: Option<Cells<'_>>) -> Result<(), Vec<(Part, RuleError)>> {
        let mut errors = Vec::new();
        for (part, check) in parts {
            for cells in named(check) {
                errors.extend(self.check_cells(cells, check).err().map(|error| (*part, error)));
                if let Some(each) = each.filter(|_| cells.which == Which::Each) {
                    errors.extend(self.compare_options(each.element, cells).err().map(|error| (*part, error)));
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_cells(&self, cells: Cells<'_>, check: &Check<'_>) -> Result<(), RuleError> {
        let Cells { element: name, which, column, .. } = cells;
        let element = name.to_owned();
        let Some(first) = self.places(name).first() else { return Err(RuleError::NoCell { column, element }) };
        let no_number = match self.cells[*first].element.value_type {
            ValueType::Text => Some("words"),
            ValueType::Date => Some("days"),
            ValueType::Count | ValueType::Signed | ValueType::Decimal(_) | ValueType::Flag => None,
        };
        if let (Check::Compare(_), Some(what)) = (check, no_number) {
            return Err(RuleError::NoNumber { column, element, what });
        }
        let options = self.options(name);
        match which {
            Which::Only if options.is_empty() => Ok(()),
            Which::Only => Err(RuleError::NeedsOption { column, element }),
            _ if options.is_empty() => Err(RuleError::NoOptions { column, element }),
            Which::Option(option) if !options.contains(&option) => {
                Err(RuleError::UnknownOption { column, element, option: option.to_owned(), options: listed(options) })
            }
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

    /// A check over cells by their places, and the decimals of its two sides. `each` is the option where cells are written
    /// `element[*]`.
    fn check(&self, check: &Check<'_>, each: &str) -> Result<(rule::Check, u8), RuleError> {
        let places = named(check).into_iter().flat_map(|cells| self.chosen(cells, each));
        let Condition { left, comparison, right } = match check {
            Check::Given(_) => {
                return places.last().map(|place| (rule::Check::Given(place), 0)).ok_or(RuleError::Empty);
            }
            Check::Compare(condition) => condition,
        };
        let decimals = places.map(|place| self.cells[place].element.value_type.decimals()).max().unwrap_or(0);
        let condition = rule::Condition {
            left: self.linear(left, each, decimals)?,
            comparison: *comparison,
            right: self.linear(right, each, decimals)?,
        };
        if condition.left.terms.is_empty() && condition.right.terms.is_empty() {
            return Err(RuleError::Empty);
        }
        Ok((rule::Check::Compare(condition), decimals))
    }

    /// One side, each cell once, with everything brought to `decimals`.
    fn linear(&self, side: &Expression<'_>, each: &str, decimals: u8) -> Result<Linear, RuleError> {
        let scaled = |number: i64, places: u8| {
            let scale = 10_i64.checked_pow(u32::from(decimals - places))?;
            number.checked_mul(scale)
        };
        // A cell of this report and the same cell of the one before are two.
        let mut factors: BTreeMap<(usize, bool), (Of, i64)> = BTreeMap::new();
        for Term { factor, cell, of } in side.terms.iter().flat_map(|term| self.terms(term, each)) {
            let factor = scaled(factor, self.cells[cell].element.value_type.decimals());
            let (_, sum) = factors.entry((cell, of == Of::Previous)).or_insert((of, 0));
            *sum = factor.and_then(|factor| sum.checked_add(factor)).ok_or(RuleError::TooLarge)?;
        }
        let terms = factors.into_iter().map(|((cell, _), (of, factor))| Term { factor, cell, of });
        Ok(Linear {
            terms: terms.filter(|term| term.factor != 0).collect(),
            constant: scaled(side.constant, 0).ok_or(RuleError::TooLarge)?,
        })
    }

    /// A term for each of the cells that a term of the text names.
    fn terms(&self, term: &rule_text::Term<'_>, each: &str) -> Vec<Term> {
        let rule_text::Term { factor, cells } = *term;
        self.chosen(cells, each).map(|cell| Term { factor, cell, of: cells.of }).collect()
    }
}

/// What can be put in the place of placeholders. Whether a rule is per option is not known where one of its texts cannot be
/// read; then it is taken to be.
#[derive(Clone, Copy)]
struct Shown {
    sides: bool,
    option: bool,
}

/// Refuses `{…}` that nothing will be put in the place of.
fn check_placeholders((place, key): (Place<'_>, &str), message: &str, shown: Shown, faults: &mut Faults) {
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
            "left" | "right" if shown.sides => {}
            "left" | "right" => {
                faults.add(place, format!("{key} has {{{name}}}, but given(…) has no sides"));
            }
            "option" if shown.option => {}
            "option" => faults.add(place, format!("{key} has {{option}}, but the rule has no [*]")),
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
    use domain::rule::{Check, Condition};

    use super::*;
    use crate::{assemble, files::Files};

    /// The rules of the sample's data set, with its `[[rule]]` replaced.
    fn rules(text: &str) -> Result<Vec<Rule>, String> {
        let mut files = Files::sample();
        let file = files.text("data_sets/meals.toml", &mut Faults::default()).unwrap().text;
        let cells =
            file.split_once("[[rule]]").unwrap().0.replace("levels = [\"school\"]", "levels = [\"school\", \"city\"]");
        let cells = cells.replace("]\n\n", "    { element = \"note\" }, { element = \"day\" },\n]\n\n");
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
        told(
            "served <= note",
            "column 11: `note` holds words, which cannot be compared; given(note) asks whether there is any",
        );
        told(
            "served <= day",
            "column 11: `day` holds days, which cannot be compared; given(day) asks whether there is any",
        );
        let given = |cell: &str| rules(&rule(&format!("given({cell})")).replace(['{', '}'], "")).unwrap_err();
        let told_of = "data_sets/meals.toml:16: check of rule `r`: column 7:";
        assert_eq!(given("meals"), format!("{told_of} the data set has no cell of `meals`"));
        assert_eq!(given("served[*]"), format!("{told_of} `served` has no options: write served"));
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
        told("served <== 1", "column 10: expected a data element, sum(…), prev(…) or a whole number, found `=`");
    }

    #[test]
    fn the_period_before_is_another_cell() {
        let text = rule("served - prev(served) <= 2 * prev(sum(by_kind)) + prev(served)");
        let rule = &rules(&text).unwrap()[0];
        let before = |factor, cell| Term { factor, cell, of: Of::Previous };
        assert!(rule.looks_back());
        assert_eq!(sides(rule).left.terms, [term(1, 0), before(-1, 0)]);
        assert_eq!(sides(rule).right.terms, [before(1, 0), before(2, 1), before(2, 2)]);
    }

    #[test]
    fn a_rule_that_looks_back_warns() {
        assert_eq!(
            rules(&rule("served >= prev(served)").replace("warning", "error")).unwrap_err(),
            "data_sets/meals.toml:15: rule `r` names prev(…), so its severity must be warning: a report is not rejected \
             for what an earlier one says"
        );
    }

    #[test]
    fn a_cell_may_have_to_be_given() {
        let text = rule("given(by_kind[*])").replace("{left}", "{option}").replace("{right}", "b");
        let rules = rules(&text.replace("check", "when = \"weight > 2\"\ncheck")).unwrap();
        assert_eq!(rules.iter().map(|rule| &rule.check).collect::<Vec<_>>(), [&Check::Given(1), &Check::Given(2)]);
        let when = rules[1].when.as_ref().unwrap();
        assert_eq!((&when.left.terms[..], when.right.constant), (&[term(1, 3)][..], 20), "in the weight's decimals");
        assert_eq!(rules[1].message, Message { vi: "Canh".to_owned(), en: "b".to_owned() });
    }

    #[test]
    fn a_rule_may_apply_when_a_cell_is_given() {
        let text = rule("served >= 5").replace("check", "when = \"given(day)\"\ncheck");
        let rule = &rules(&text).unwrap()[0];
        let says = |served, day| rule.check(&vec![served, None, None, None, None, day].into(), None).is_some();
        assert!(says(Some(4), Some(20_250_701)));
        assert!(!says(Some(4), None) && !says(Some(5), Some(20_250_701)));
    }

    #[test]
    fn a_wrong_when_is_told_on_its_line() {
        let with = |when: &str, check: &str| {
            rules(&rule(check).replace("check", &format!("when = \"{when}\"\ncheck"))).unwrap_err()
        };
        assert_eq!(
            with("meals = 1", "served <= 1"),
            "data_sets/meals.toml:16: when of rule `r`: column 1: the data set has no cell of `meals`"
        );
        assert_eq!(
            with("served = ", "served <= meals"),
            "data_sets/meals.toml:16: when of rule `r`: column 10: expected a data element, sum(…), prev(…) or a whole \
             number, found the end"
        );
        assert_eq!(
            with("1 = 1", "served <= 1"),
            "data_sets/meals.toml:16: when of rule `r`: names no cell, or only cells that cancel out"
        );
        assert_eq!(
            with("served = 1", "given(weight)"),
            "data_sets/meals.toml:18: message_vi has {left}, but given(…) has no sides\n\
             data_sets/meals.toml:19: message_en has {right}, but given(…) has no sides"
        );
    }

    #[test]
    fn every_wrong_name_of_a_check_is_told() {
        assert_eq!(fault("a <= b").lines().count(), 2);
    }

    #[test]
    fn options_of_both_sides_are_the_same() {
        let mut files = Files::sample();
        files.remove("indicators.csv");
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
             data_sets/meals.toml:17: message_vi has {option}, but the rule has no [*]\n\
             data_sets/meals.toml:17: message_vi has {lft}; the placeholders are {left}, {right} and, with [*], {option}\n\
             data_sets/meals.toml:18: message_en has a brace without its other half; a placeholder is {left} or {right}"
        );
        let twice = rule("served <= 1") + &rule("served <= 2");
        assert_eq!(rules(&twice).unwrap_err(), "data_sets/meals.toml:20: rule `r` is defined twice; first on line 14");
    }
}
