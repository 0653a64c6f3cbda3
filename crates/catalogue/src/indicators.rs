//! `indicators.csv`: what is computed from totals, 100 × numerator ÷ denominator.

use std::collections::HashMap;

use domain::{
    IndicatorCode,
    catalogue::{DataSetParts, Indicator, SpaceAggregation, ValueType},
};
use serde::Deserialize;

use crate::{
    csv_file,
    data_elements::{Element, Elements},
    data_sets::cells_of,
    fault::{Faults, Place, filled, parsed},
    files::{Files, INDICATORS},
};

const COLUMNS: [&str; 6] = ["code", "name_vi", "name_en", "family", "numerator", "denominator"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    code: String,
    name_vi: String,
    name_en: String,
    family: String,
    numerator: String,
    denominator: String,
}

/// Gives each data set the indicators of which it has both parts. `whole` is whether all data sets were read: if not, one
/// that nobody has may be one of theirs.
pub(crate) fn read(
    files: &Files,
    elements: &Elements,
    data_sets: &mut [DataSetParts],
    whole: bool,
    faults: &mut Faults,
) {
    let Some(file) = files.text(INDICATORS, faults) else { return };
    let mut seen: HashMap<String, Place<'_>> = HashMap::new();
    for (place, row) in csv_file::rows::<Row>(file, &COLUMNS, faults) {
        let Row { code, name_vi, name_en, family, numerator, denominator } = row;
        filled(place, [("name_vi", &name_vi), ("name_en", &name_en), ("family", &family)], faults);
        if let Some(earlier) = seen.insert(code.clone(), place) {
            faults.add(place, format!("indicator `{code}` is defined twice; first {earlier}"));
        }
        let code: Option<IndicatorCode> = parsed((place, "code"), &code, faults);
        let parts = [("numerator", &numerator), ("denominator", &denominator)].map(|(column, name)| {
            let element = elements.find(place, name, faults)?;
            is_part(place, column, element, faults).then_some(element)
        });
        let (Some(code), [Some(numerator), Some(denominator)]) = (code, parts) else { continue };
        if !fit(place, numerator, denominator, faults) {
            continue;
        }
        let mut used = false;
        for data_set in &mut *data_sets {
            for (numerator, denominator) in pairs(data_set, numerator, denominator) {
                used = true;
                let option = data_set.cells[numerator].option.clone();
                let (name_vi, name_en) = (name_vi.clone(), name_en.clone());
                let indicator = Indicator { code: code.clone(), option, name_vi, name_en, numerator, denominator };
                data_set.indicators.push(indicator);
            }
        }
        if !used && whole {
            let (numerator, denominator) = (&numerator.element.code, &denominator.element.code);
            let what =
                format!("no data set has cells of both `{numerator}` and `{denominator}`; put them into one form");
            faults.add(place, what);
        }
    }
}

/// Whether a data element is a number of which totals can be divided.
fn is_part(place: Place<'_>, column: &str, element: &Element, faults: &mut Faults) -> bool {
    let what = match (element.element.value_type, element.element.space_aggregation) {
        (ValueType::Flag, _) => "is a flag",
        (ValueType::Date, _) => "is a day",
        (ValueType::Text, _) => "is words",
        (_, SpaceAggregation::Mean) => "is averaged",
        _ => return true,
    };
    faults.add(place, format!("{column} `{}` {what}; an indicator divides sums of numbers", element.element.code));
    false
}

/// Whether one can be divided by the other wherever both are.
fn fit(place: Place<'_>, numerator: &Element, denominator: &Element, faults: &mut Faults) -> bool {
    let before = faults.count();
    let (one, other) = (&numerator.element, &denominator.element);
    if one.code == other.code {
        faults.add(place, format!("numerator and denominator are both `{}`; the one is a part of the other", one.code));
    }
    let adds = |additive| if additive { "is added up over org units" } else { "is not" };
    let additive = [one, other].map(|element| element.space_aggregation.is_additive());
    if additive[0] != additive[1] {
        let what = format!(
            "`{}` {} and `{}` {}: give both the same space_agg",
            one.code,
            adds(additive[0]),
            other.code,
            adds(additive[1])
        );
        faults.add(place, what);
    }
    if numerator.options != denominator.options {
        let by = |element: &Element| match &element.options {
            Some(list) => format!("`{}` is broken down by {list}", element.element.code),
            None => format!("`{}` is not broken down", element.element.code),
        };
        faults.add(place, format!("{} and {}; both are by one list, or neither is", by(numerator), by(denominator)));
    }
    faults.count() == before
}

/// The cells of both in one data set, per option where they have any.
fn pairs(data_set: &DataSetParts, numerator: &Element, denominator: &Element) -> Vec<(usize, usize)> {
    let cells = |element: &Element| cells_of(data_set, element.element.code.as_str()).collect::<Vec<_>>();
    let denominators = cells(denominator);
    let option = |place: usize| data_set.cells[place].option.as_ref().map(|option| &option.code);
    let paired = cells(numerator).into_iter().filter_map(|numerator| {
        let denominator = denominators.iter().find(|place| option(**place) == option(numerator))?;
        Some((numerator, *denominator))
    });
    paired.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble;

    fn read(rows: &str) -> Result<Vec<Indicator>, String> {
        let mut files = Files::sample();
        files.edit(
            "data_elements.csv",
            "served,",
            "bought,Mua,Bought,meal,count,flow,sum,sum,meal,school,kinds\nserved,",
        );
        files.edit(
            "data_elements.csv",
            "served,",
            "rooms,Phòng,Rooms,meal,count,stock,last,none,room,school,\nserved,",
        );
        files.edit(
            "data_elements.csv",
            "served,",
            "heat,Nhiệt,Heat,meal,decimal:1,flow,none,mean,degree,school,\nserved,",
        );
        files.edit("data_elements.csv", "served,", "clean,Sạch,Clean,meal,flag,stock,last,coverage,,school,\nserved,");
        files.edit(
            "data_sets/meals.toml",
            "    { element = \"weight\" },\n",
            "    { element = \"weight\" },\n    { element = \"bought\" },\n    { element = \"heat\" },\n",
        );
        files.set(INDICATORS, &format!("{}\n{rows}", COLUMNS.join(",")));
        let loaded = assemble(&files, Faults::default()).map_err(|faults| faults.to_string())?;
        Ok(loaded.catalogue.data_sets()[0].indicators().to_vec())
    }

    fn faults(numerator: &str, denominator: &str) -> String {
        read(&format!("rate,Tỷ lệ,Rate,meal,{numerator},{denominator}\n")).unwrap_err()
    }

    #[test]
    fn an_indicator_is_of_the_forms_that_have_both_parts() {
        let [rate] = &read("rate,Tỷ lệ,Rate,meal,weight,served\n").unwrap()[..] else { panic!("one indicator") };
        assert_eq!((rate.numerator, rate.denominator, rate.option.is_none()), (3, 0, true));
        assert_eq!((rate.code.as_str(), rate.name_vi.as_str(), rate.name_en.as_str()), ("rate", "Tỷ lệ", "Rate"));
    }

    #[test]
    fn an_indicator_of_options_is_one_for_each() {
        let [rice, soup] = &read("rate,Tỷ lệ,Rate,meal,bought,by_kind\n").unwrap()[..] else {
            panic!("one a kind")
        };
        assert_eq!((rice.numerator, rice.denominator), (4, 1));
        assert_eq!((soup.numerator, soup.denominator), (5, 2));
        assert_eq!(soup.option.as_ref().unwrap().name_en, "Soup");
    }

    #[test]
    fn parts_are_numbers_that_add_up_alike() {
        let told = |parts: (&str, &str), what: &str| {
            assert_eq!(faults(parts.0, parts.1), format!("indicators.csv:2: {what}"));
        };
        told(("meals", "served"), "unknown data element `meals`; define it in data_elements.csv");
        told(("clean", "served"), "numerator `clean` is a flag; an indicator divides sums of numbers");
        told(("served", "day"), "denominator `day` is a day; an indicator divides sums of numbers");
        told(("note", "served"), "numerator `note` is words; an indicator divides sums of numbers");
        told(("served", "heat"), "denominator `heat` is averaged; an indicator divides sums of numbers");
        told(
            ("served", "rooms"),
            "`served` is added up over org units and `rooms` is not: give both the same space_agg",
        );
        told(
            ("by_kind", "served"),
            "`by_kind` is broken down by kinds and `served` is not broken down; both are by one list, or neither is",
        );
        told(("served", "served"), "numerator and denominator are both `served`; the one is a part of the other");
    }

    #[test]
    fn wrong_rows_are_told() {
        assert_eq!(
            read("rate,Tỷ lệ,,meal,weight,served\nrate,Tỷ lệ,Rate,meal,weight,served\nra te,Tỷ lệ,Rate,meal,weight,served\n")
                .unwrap_err(),
            "indicators.csv:2: name_en is empty; every name_en needs a text\n\
             indicators.csv:3: indicator `rate` is defined twice; first on line 2\n\
             indicators.csv:4: code `ra te` must be 1 to 64 characters of A-Z, a-z, 0-9, '_' or '-'"
        );
    }

    #[test]
    fn some_form_has_both_parts() {
        let mut files = Files::sample();
        files.edit("data_sets/meals.toml", "    { element = \"weight\" },\n", "");
        let fault = "indicators.csv:2: no data set has cells of both `weight` and `served`; put them into one form";
        assert_eq!(assemble(&files, Faults::default()).unwrap_err().to_string(), fault);
        // A form that could not be read may be the one.
        files.edit("data_sets/meals.toml", "gregorian", "julian");
        assert!(!assemble(&files, Faults::default()).unwrap_err().to_string().contains("indicators.csv"));
    }
}
