//! `data_elements.csv`: the things that are counted.

use std::collections::{BTreeMap, HashMap};

use domain::{
    DataElementCode,
    catalogue::{DataElement, LevelSet, Measure, SpaceAggregation, TimeAggregation, ValueType},
};
use serde::Deserialize;

use crate::{
    csv_file,
    fault::{Faults, Place, filled, one_of, parsed},
    files::{DATA_ELEMENTS, Files},
    levels::Levels,
    options::OptionLists,
    rule_text::FUNCTIONS,
};

const COLUMNS: [&str; 11] = [
    "code",
    "name_vi",
    "name_en",
    "family",
    "value_type",
    "measure",
    "time_agg",
    "space_agg",
    "unit_of_measure",
    "levels",
    "options",
];

const VALUE_TYPES: [(&str, ValueType); 11] = [
    ("count", ValueType::Count),
    ("signed", ValueType::Signed),
    ("flag", ValueType::Flag),
    ("date", ValueType::Date),
    ("text", ValueType::Text),
    ("decimal:1", ValueType::Decimal(1)),
    ("decimal:2", ValueType::Decimal(2)),
    ("decimal:3", ValueType::Decimal(3)),
    ("decimal:4", ValueType::Decimal(4)),
    ("decimal:5", ValueType::Decimal(5)),
    ("decimal:6", ValueType::Decimal(6)),
];
const MEASURES: [(&str, Measure); 4] =
    [("stock", Measure::Stock), ("flow", Measure::Flow), ("cumulative", Measure::Cumulative), ("none", Measure::None)];
const TIME_AGGREGATIONS: [(&str, TimeAggregation); 3] =
    [("sum", TimeAggregation::Sum), ("last", TimeAggregation::Last), ("none", TimeAggregation::None)];
const SPACE_AGGREGATIONS: [(&str, SpaceAggregation); 5] = [
    ("sum", SpaceAggregation::Sum),
    ("coverage", SpaceAggregation::Coverage),
    ("mean", SpaceAggregation::Mean),
    ("none", SpaceAggregation::None),
    ("collect", SpaceAggregation::Collect),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    code: String,
    name_vi: String,
    name_en: String,
    family: String,
    value_type: String,
    measure: String,
    time_agg: String,
    space_agg: String,
    unit_of_measure: String,
    levels: String,
    options: Option<String>,
}

/// A data element as its file defines it.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) element: DataElement,
    /// The levels that can fill it.
    pub(crate) levels: LevelSet,
    /// The name of the list by which it is broken down.
    pub(crate) options: Option<String>,
}

/// The data elements by code; nothing under the code of one that has a fault.
#[derive(Debug)]
pub(crate) struct Elements(BTreeMap<String, Option<Element>>);

impl Elements {
    pub(crate) fn read(files: &Files, levels: &Levels<'_>, options: &OptionLists, faults: &mut Faults) -> Self {
        let mut elements = BTreeMap::new();
        let Some(file) = files.text(DATA_ELEMENTS, faults) else { return Self(elements) };
        let mut seen: HashMap<String, Place<'_>> = HashMap::new();
        for (place, row) in csv_file::rows::<Row>(file, &COLUMNS, faults) {
            let code = row.code.clone();
            if let Some(earlier) = seen.get(&code) {
                faults.add(place, format!("data element `{code}` is defined twice; first {earlier}"));
                continue;
            }
            seen.insert(code.clone(), place);
            let before = faults.count();
            let element = read_row(place, row, levels, options, faults).filter(|_| faults.count() == before);
            elements.insert(code, element);
        }
        Self(elements)
    }

    /// The data element with a code. Where there is none it is a fault; where the file defines it wrongly it was one.
    pub(crate) fn find(&self, place: Place<'_>, code: &str, faults: &mut Faults) -> Option<&Element> {
        match self.0.get(code) {
            Some(element) => element.as_ref(),
            None => {
                faults.add(place, format!("unknown data element `{code}`; define it in {DATA_ELEMENTS}"));
                None
            }
        }
    }
}

impl Elements {
    /// The name of the list by which a data element is broken down.
    pub(crate) fn list_of(&self, code: &str) -> Option<String> {
        self.0.get(code)?.as_ref()?.options.clone()
    }
}

fn read_row(
    place: Place<'_>,
    row: Row,
    levels: &Levels<'_>,
    options: &OptionLists,
    faults: &mut Faults,
) -> Option<Element> {
    let Row {
        code,
        name_vi,
        name_en,
        family,
        value_type,
        measure,
        time_agg,
        space_agg,
        unit_of_measure,
        levels: level_codes,
        options: list,
    } = row;
    filled(place, [("name_vi", &name_vi), ("name_en", &name_en), ("family", &family)], faults);
    let value_type = one_of((place, "value_type"), &value_type, &VALUE_TYPES, faults);
    let measure = one_of((place, "measure"), &measure, &MEASURES, faults);
    let time_aggregation = one_of((place, "time_agg"), &time_agg, &TIME_AGGREGATIONS, faults);
    let space_aggregation = one_of((place, "space_agg"), &space_agg, &SPACE_AGGREGATIONS, faults);
    let levels: LevelSet = level_codes.split('|').filter_map(|code| levels.find(place, code, faults)).collect();
    if let Some(list) = &list {
        options.find(place, list, faults);
    }
    let element = DataElement {
        code: read_code(place, &code, faults)?,
        name_vi,
        name_en,
        family,
        value_type: value_type?,
        measure: measure?,
        time_aggregation: time_aggregation?,
        space_aggregation: space_aggregation?,
        unit_of_measure,
    };
    check_aggregation(place, &element, faults);
    Some(Element { element, levels, options: list })
}

/// A code that a rule's text can name: a `-` in it would read as a minus, `sum(` and `prev(` as functions.
fn read_code(place: Place<'_>, code: &str, faults: &mut Faults) -> Option<DataElementCode> {
    if code.contains('-') || code.starts_with(|c: char| c.is_ascii_digit()) || FUNCTIONS.contains(&code) {
        let what = "must begin with a letter, have no '-', and be none of `sum`, `prev` and `given`, so that a rule can name it";
        faults.add(place, format!("code `{code}` {what}"));
        return None;
    }
    parsed((place, "code"), code, faults)
}

/// Refuses what would add up to nonsense.
fn check_aggregation(place: Place<'_>, element: &DataElement, faults: &mut Faults) {
    use {SpaceAggregation as Space, TimeAggregation as Time};
    let space_fits = match element.value_type {
        ValueType::Flag => matches!(element.space_aggregation, Space::Coverage | Space::None),
        ValueType::Date => element.space_aggregation == Space::None,
        ValueType::Text => element.space_aggregation == Space::Collect,
        ValueType::Count | ValueType::Signed | ValueType::Decimal(_) => {
            matches!(element.space_aggregation, Space::Sum | Space::Mean | Space::None)
        }
    };
    if !space_fits {
        let what = "space_agg must be coverage or none for a flag, none for a date, collect for a text, and sum, mean or none for a number";
        faults.add(place, what);
    }
    if (element.value_type == ValueType::Text) != (element.measure == Measure::None) {
        faults.add(place, "measure must be none for a text, and stock, flow or cumulative for all else");
    }
    let never_summed = matches!(element.measure, Measure::Stock | Measure::Cumulative | Measure::None);
    if never_summed && element.time_aggregation == Time::Sum {
        let what = "time_agg must be last or none unless measure is flow: periods of a stock or of a cumulative number \
                    cannot be added";
        faults.add(place, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &str) -> (Elements, Faults) {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.set(DATA_ELEMENTS, &format!("{}\n{rows}", COLUMNS.join(",")));
        let levels = Levels::read(&files, &mut faults).unwrap();
        let options = OptionLists::read(&files, &mut faults);
        (Elements::read(&files, &levels, &options, &mut faults), faults)
    }

    fn faults(rows: &str) -> String {
        read(rows).1.to_string()
    }

    #[test]
    fn every_kind_of_element_is_read() {
        let (elements, mut faults) = read(
            "n,Số,Number,f,decimal:2,cumulative,last,mean,hour,school|city,kinds\nt,Chữ,Text,f,text,none,none,collect,,city,\n",
        );
        let number = elements.find(Place::file("x"), "n", &mut faults).unwrap();
        assert_eq!(number.element.value_type, ValueType::Decimal(2));
        assert_eq!(number.element.measure, Measure::Cumulative);
        assert_eq!(number.element.time_aggregation, TimeAggregation::Last);
        assert_eq!(number.element.space_aggregation, SpaceAggregation::Mean);
        assert_eq!(number.levels.iter().count(), 2);
        assert_eq!(number.options.as_deref(), Some("kinds"));
        assert_eq!(elements.find(Place::file("x"), "t", &mut faults).unwrap().options, None);
        assert!(faults.is_empty());
    }

    #[test]
    fn every_wrong_word_of_a_row_is_told_with_the_allowed_ones() {
        assert_eq!(
            faults("n,Số,,f,number,level,mean,avg,meal,town|school,kind\n"),
            "data_elements.csv:2: name_en is empty; every name_en needs a text\n\
             data_elements.csv:2: value_type `number` must be one of count, signed, flag, date, text, decimal:1, decimal:2, decimal:3, decimal:4, decimal:5, decimal:6\n\
             data_elements.csv:2: measure `level` must be one of stock, flow, cumulative, none\n\
             data_elements.csv:2: time_agg `mean` must be one of sum, last, none\n\
             data_elements.csv:2: space_agg `avg` must be one of sum, coverage, mean, none, collect\n\
             data_elements.csv:2: unknown level `town`; the levels are city, school\n\
             data_elements.csv:2: unknown option list `kind`; the files in options/ are kinds"
        );
    }

    #[test]
    fn codes_are_unique_and_can_stand_in_a_rule() {
        let row = |code: &str| format!("{code},Số,Number,f,count,flow,sum,sum,meal,school,\n");
        assert_eq!(
            faults(&(row("n") + &row("n"))),
            "data_elements.csv:3: data element `n` is defined twice; first on line 2"
        );
        for code in ["a-b", "1a", "sum", "prev", "given"] {
            assert_eq!(
                faults(&row(code)),
                format!(
                    "data_elements.csv:2: code `{code}` must begin with a letter, have no '-', and be none of `sum`, \
                     `prev` and `given`, so that a rule can name it"
                )
            );
        }
        assert_eq!(
            faults(&row("số")),
            "data_elements.csv:2: code `số` must be 1 to 64 characters of A-Z, a-z, 0-9, '_' or '-'"
        );
    }

    #[test]
    fn sums_without_meaning_are_refused() {
        let flag = "space_agg must be coverage or none for a flag, none for a date, collect for a text, and sum, mean or none for a number";
        assert_eq!(faults("n,Có,Yes,f,flag,stock,last,sum,,school,\n"), format!("data_elements.csv:2: {flag}"));
        assert_eq!(
            faults("n,Số,Number,f,count,none,none,sum,,school,\n"),
            "data_elements.csv:2: measure must be none for a text, and stock, flow or cumulative for all else"
        );
        assert_eq!(
            faults("n,Số,Number,f,count,stock,sum,sum,,school,\n"),
            "data_elements.csv:2: time_agg must be last or none unless measure is flow: periods of a stock or of a \
             cumulative number cannot be added"
        );
    }

    #[test]
    fn an_element_with_a_fault_is_not_unknown() {
        let (elements, mut faults) = read("n,Số,Number,f,number,flow,sum,sum,meal,school,\n");
        let before = faults.count();
        assert!(elements.find(Place::file("x"), "n", &mut faults).is_none());
        assert_eq!(faults.count(), before);
        assert!(elements.find(Place::line("x", 1), "m", &mut faults).is_none());
        assert!(faults.to_string().ends_with("x:1: unknown data element `m`; define it in data_elements.csv"));
    }
}
