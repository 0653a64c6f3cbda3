//! `data_sets/*.toml`: the forms, one a file.

use std::collections::HashMap;

use domain::{
    Calendar, DataSetCode, LevelIx, PeriodType,
    catalogue::{CategoryOption, Cell, DataSetParts, LevelSet, Schedule, ValueType},
    window,
};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    data_elements::{Element, Elements},
    fault::{Faults, Place, filled, listed, parsed},
    files::{DATA_SETS, Files, TextFile},
    levels::Levels,
    option_groups::OptionGroups,
    options::OptionLists,
    rules::{self, RuleRow},
    toml_file::{Table, TomlFile},
};

/// A form with more cells than this is several forms.
const CELLS_LIMIT: usize = 1000;

/// The most sums of a unit's totals: cells times levels. An event of TOTALS holds all of them, and one takes up to 190 bytes
/// with its name: together three quarters of what a NATS server takes unless told otherwise. One too large for it would
/// never be published, and the partition would stand still.
const SUMS_LIMIT: usize = 4000;

/// A deadline or a closing later than a year after the period is a slip.
const DAYS_LIMIT: u16 = 366;

type Codes = Spanned<Vec<Spanned<String>>>;

/// A data set's file without its cells, deadlines and rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name_vi: Spanned<String>,
    name_en: Spanned<String>,
    period_type: Spanned<String>,
    calendar: Spanned<String>,
    longer_periods: Option<Codes>,
    levels: Codes,
    closes_after_days: Option<Spanned<u16>>,
    outliers: Option<Codes>,
}

/// An entry of `cells`: a data element with its options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CellRow {
    element: Spanned<String>,
    options: Option<Codes>,
    levels: Option<Codes>,
}

/// The definitions a form draws on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definitions<'a> {
    pub(crate) levels: &'a Levels<'a>,
    pub(crate) elements: &'a Elements,
    pub(crate) options: &'a OptionLists,
    pub(crate) groups: &'a OptionGroups<'a>,
}

/// The data sets that have no fault, without indicators and targets.
pub(crate) fn read(files: &Files, definitions: Definitions<'_>, faults: &mut Faults) -> Vec<DataSetParts> {
    let paths: Vec<(&str, &str)> = files.of(DATA_SETS).collect();
    if paths.is_empty() {
        faults.add(Place::file("data_sets"), "has no data set; a catalogue has at least one, data_sets/<code>.toml");
    }
    paths.into_iter().filter_map(|(code, path)| read_data_set(files, code, path, definitions, faults)).collect()
}

/// The places of a data element's cells in a data set.
pub(crate) fn cells_of<'d>(data_set: &'d DataSetParts, element: &'d str) -> impl Iterator<Item = usize> + 'd {
    let places = data_set.cells.iter().enumerate();
    places.filter(move |(_, cell)| cell.element.code.as_str() == element).map(|(place, _)| place)
}

fn read_data_set(
    files: &Files,
    code: &str,
    path: &str,
    definitions: Definitions<'_>,
    faults: &mut Faults,
) -> Option<DataSetParts> {
    let before = faults.count();
    let code = parsed::<DataSetCode>((Place::file(path), "the file's name without .toml"), code, faults);
    let mut table = TomlFile::open(files.text(path, faults)?, faults)?;
    let file = table.file;
    let cell_rows: Vec<(Place<'_>, CellRow)> = table.take_list("cells", faults);
    let rule_rows: Vec<(Place<'_>, RuleRow)> = table.take_list("rule", faults);
    let deadlines: Option<Table<'_, u16>> = table.take_table("deadlines", faults);
    let row: Option<Row> = table.rest(faults);
    let levels = row.as_ref().and_then(|row| level_set(file, &row.levels, definitions.levels, faults));
    let closes = row.as_ref().and_then(|row| row.closes_after_days.as_ref());
    let closes = closes.map(|days| (file.place(days.span().start), *days.get_ref()));
    let schedule = read_schedule(deadlines, closes, levels, definitions.levels, faults);

    let cells = read_cells(file, cell_rows, levels, definitions, faults).filter(|_| faults.count() == before);
    if cells.as_ref().is_some_and(Vec::is_empty) {
        faults.add(Place::file(path), "has no cells; a data set has at least one, cells = [{ element = \"…\" }]");
    }
    if let Some(cells) = cells.as_ref().filter(|cells| cells.len() > CELLS_LIMIT) {
        faults.add(Place::file(path), format!("has {} cells; {CELLS_LIMIT} is the limit", cells.len()));
    }
    let rules = rules::read(file, rule_rows.into_iter().map(|(_, row)| row).collect(), cells.as_deref(), faults);

    let Row {
        name_vi,
        name_en,
        period_type,
        calendar,
        longer_periods,
        levels: level_codes,
        closes_after_days: _,
        outliers,
    } = row?;
    let place = |text: &Spanned<String>| file.place(text.span().start);
    filled(place(&name_vi), [("name_vi", name_vi.get_ref())], faults);
    filled(place(&name_en), [("name_en", name_en.get_ref())], faults);
    let period_type = parsed::<PeriodType>((place(&period_type), "period_type"), period_type.get_ref(), faults);
    let calendar =
        calendar.get_ref().parse::<Calendar>().map_err(|error| faults.add(place(&calendar), error.to_string())).ok();
    let longer_periods = period_type.map(|own| read_longer_periods(file, longer_periods.as_ref(), own, faults));
    let (levels, cells) = (levels?, cells?);
    let outliers = outliers.map_or_else(Vec::new, |codes| read_outliers(file, &codes, &cells, faults));
    if faults.count() == before {
        for idle in levels.iter().filter(|level| !cells.iter().any(|cell| cell.levels.contains(*level))) {
            let what =
                format!("level {} fills none of the cells; take it out of levels", definitions.levels.code(idle));
            faults.add(file.place(level_codes.span().start), what);
        }
        let reporting = definitions.levels.with_standing_in(levels).iter().count();
        let sums = cells.len() * reporting;
        if sums > SUMS_LIMIT {
            let what = format!(
                "{} cells for {reporting} levels, with those that stand in for others, are {sums} sums in the totals of a unit; \
                 {SUMS_LIMIT} is the limit, make several forms of it",
                cells.len()
            );
            faults.add(file.place(level_codes.span().start), what);
        }
    }
    if faults.count() > before {
        return None;
    }
    let groups = definitions.groups.of_cells(&cells, |element| definitions.elements.list_of(element));
    Some(DataSetParts {
        code: code?,
        name_vi: name_vi.into_inner(),
        name_en: name_en.into_inner(),
        period_type: period_type?,
        calendar: calendar?,
        longer_periods: longer_periods?,
        levels,
        schedule,
        cells,
        groups,
        rules,
        outliers,
        indicators: Vec::new(),
        targets: Vec::new(),
    })
}

/// The kinds of longer period that have totals too: all there are, unless the file lists those it wants.
fn read_longer_periods(
    file: TextFile<'_>,
    listed: Option<&Codes>,
    own: PeriodType,
    faults: &mut Faults,
) -> Vec<PeriodType> {
    let Some(listed) = listed else { return window::kinds(own).collect() };
    let known: Vec<_> = window::kinds(own).map(PeriodType::as_str).collect();
    let mut kinds = Vec::new();
    for name in listed.get_ref() {
        let place = file.place(name.span().start);
        match window::kinds(own).find(|kind| kind.as_str() == name.get_ref()) {
            Some(kind) if kinds.contains(&kind) => {
                faults.add(place, format!("`{kind}` is listed twice in longer_periods"));
            }
            Some(kind) => kinds.push(kind),
            None => {
                let known = known.join("`, `");
                faults.add(
                    place,
                    format!("`{}` is no longer period of a form by the {own}; `{known}` are", name.get_ref()),
                );
            }
        }
    }
    kinds.sort_unstable();
    kinds
}

/// When reports come in. `levels` are those that report, none where they have a fault.
fn read_schedule(
    deadlines: Option<Table<'_, u16>>,
    closes: Option<(Place<'_>, u16)>,
    levels: Option<LevelSet>,
    names: &Levels<'_>,
    faults: &mut Faults,
) -> Schedule {
    let too_long = |(place, key, days): (Place<'_>, &str, u16), faults: &mut Faults| {
        if days > DAYS_LIMIT {
            faults.add(place, format!("{key} = {days} is more than a year; {DAYS_LIMIT} days is the limit"));
        }
    };
    let mut schedule = Schedule { deadlines: Vec::new(), closes_after: closes.map(|(_, days)| days) };
    if let Some((table, rows)) = deadlines {
        let before = faults.count();
        for (place, code, days) in rows {
            too_long((place, &code, days), faults);
            let Some(level) = names.find(place, &code, faults) else { continue };
            if let Some(levels) = levels.filter(|levels| !levels.contains(level)) {
                let what =
                    format!("level {code} does not report this data set; those that do are {}", names.codes(levels));
                faults.add(place, what);
            }
            if let Some((closing, days_open)) = closes.filter(|(_, days_open)| *days_open < days) {
                let what = format!(
                    "closes_after_days = {days_open} is before the deadline of level {code}, {days} days after the period; \
                     close on that day or later"
                );
                faults.add(closing, what);
            }
            schedule.deadlines.push((level, days));
        }
        // Decree 09/2019/NĐ-CP, article 8, wants one stated for each level that consolidates.
        let given: LevelSet = schedule.deadlines.iter().map(|(level, _)| *level).collect();
        let missing: LevelSet = levels.unwrap_or_default().iter().filter(|level| !given.contains(*level)).collect();
        if faults.count() == before && missing.iter().next().is_some() {
            let what = format!("[deadlines] has none for {}; give every level that reports one", names.codes(missing));
            faults.add(table, what);
        }
    }
    if let Some((place, days)) = closes {
        too_long((place, "closes_after_days", days), faults);
    }
    schedule.deadlines.sort_unstable_by_key(|(level, _)| *level);
    schedule
}

/// The cells of the data elements that are watched.
fn read_outliers(file: TextFile<'_>, codes: &Codes, cells: &[Cell], faults: &mut Faults) -> Vec<usize> {
    let mut outliers: Vec<usize> = Vec::new();
    for code in codes.get_ref() {
        let place = file.place(code.span().start);
        let code = code.get_ref();
        let own: Vec<usize> = (0..cells.len()).filter(|at| cells[*at].element.code.as_str() == code).collect();
        let Some(first) = own.first() else {
            faults.add(place, format!("outliers names `{code}`, of which the data set has no cell"));
            continue;
        };
        if matches!(cells[*first].element.value_type, ValueType::Flag | ValueType::Date | ValueType::Text) {
            faults.add(place, format!("outliers names `{code}`, which is no number"));
        } else if outliers.contains(first) {
            faults.add(place, format!("outliers names `{code}` twice"));
        } else {
            outliers.extend(own);
        }
    }
    outliers
}

/// The levels of a list; none where one of them is unknown, or there are none.
fn level_set(file: TextFile<'_>, codes: &Codes, levels: &Levels<'_>, faults: &mut Faults) -> Option<LevelSet> {
    if codes.get_ref().is_empty() {
        faults.add(file.place(codes.span().start), "levels names none; name at least one");
        return None;
    }
    let mut find = |code: &Spanned<String>| levels.find(file.place(code.span().start), code.get_ref(), faults);
    let found: Vec<Option<LevelIx>> = codes.get_ref().iter().map(&mut find).collect();
    found.into_iter().collect()
}

/// The cells in their order; none where one of them cannot be made. `levels` are the data set's, none where they have a
/// fault.
fn read_cells(
    file: TextFile<'_>,
    rows: Vec<(Place<'_>, CellRow)>,
    levels: Option<LevelSet>,
    definitions: Definitions<'_>,
    faults: &mut Faults,
) -> Option<Vec<Cell>> {
    let mut seen: HashMap<String, Place<'_>> = HashMap::new();
    let mut cells = Some(Vec::new());
    for (place, CellRow { element: code, options, levels: level_codes }) in rows {
        let Some(element) = definitions.elements.find(place, code.get_ref(), faults) else {
            cells = None;
            continue;
        };
        let own = level_codes.as_ref().map(|codes| level_set(file, codes, definitions.levels, faults));
        let levels = match (levels, own) {
            (None, _) | (_, Some(None)) => None,
            (Some(levels), own) => cell_levels(place, element, own.flatten(), levels, definitions, faults),
        };
        for option in cell_options(file, element, options.as_ref(), definitions.options, faults) {
            let cell = Cell { element: element.element.clone(), option, levels: levels.unwrap_or_default() };
            if let Some(earlier) = seen.insert(cell.to_string(), place) {
                faults.add(place, format!("cell {cell} occurs twice; first {earlier}"));
            }
            if let Some(cells) = &mut cells {
                cells.push(cell);
            }
        }
        cells = cells.filter(|_| levels.is_some());
    }
    cells
}

/// The levels that fill a cell: those named with it, or else the data element's as far as they report the data set.
fn cell_levels(
    place: Place<'_>,
    element: &Element,
    own: Option<LevelSet>,
    levels: LevelSet,
    definitions: Definitions<'_>,
    faults: &mut Faults,
) -> Option<LevelSet> {
    let code = &element.element.code;
    let common: LevelSet = element.levels.iter().filter(|level| levels.contains(*level)).collect();
    let names = |levels| definitions.levels.codes(levels);
    if common.iter().next().is_none() {
        let what = format!(
            "`{code}` is filled by {} and the data set reported by {}: no level is both",
            names(element.levels),
            names(levels)
        );
        faults.add(place, what);
        return None;
    }
    let Some(own) = own else { return Some(common) };
    let strangers: LevelSet = own.iter().filter(|level| !common.contains(*level)).collect();
    if strangers.iter().next().is_some() {
        let what = format!("`{code}` cannot be filled by {} here, only by {}", names(strangers), names(common));
        faults.add(place, what);
        return None;
    }
    Some(own)
}

/// The options of a data element's cells: those named with it, or else its whole list; one `None` where it has no list.
fn cell_options(
    file: TextFile<'_>,
    element: &Element,
    own: Option<&Codes>,
    lists: &OptionLists,
    faults: &mut Faults,
) -> Vec<Option<CategoryOption>> {
    let code = &element.element.code;
    let Some(name) = &element.options else {
        if let Some(own) = own {
            faults.add(file.place(own.span().start), format!("`{code}` has no option list; leave options out"));
        }
        return vec![None];
    };
    // The list's name was looked up where the data element is defined.
    let list = lists.find(Place::file(file.path), name, faults).unwrap_or_default();
    let Some(own) = own else { return list.iter().cloned().map(Some).collect() };
    if own.get_ref().is_empty() {
        faults.add(file.place(own.span().start), "options names none; name some, or leave it out for the whole list");
    }
    let mut chosen = Vec::new();
    for wanted in own.get_ref() {
        match list.iter().find(|option| option.code.as_str() == wanted.get_ref()) {
            Some(option) => chosen.push(Some(option.clone())),
            None => {
                let codes = listed(list.iter().map(|option| option.code.as_str()));
                let what = format!("unknown option `{}`; options/{name}.csv has {}", wanted.get_ref(), codes);
                faults.add(file.place(wanted.span().start), what);
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use domain::catalogue::DataSet;

    use super::*;
    use crate::assemble;

    const MEALS: &str = "data_sets/meals.toml";

    /// The sample with other texts in the form's file, and without what would be at fault for them in other files.
    fn edited<const N: usize>(edits: [(&str, &str); N]) -> Result<DataSet, String> {
        let mut files = Files::sample();
        files.remove("indicators.csv");
        for (from, to) in edits {
            files.edit(MEALS, from, to);
        }
        let loaded = assemble(&files, Faults::default()).map_err(|faults| faults.to_string())?;
        Ok(loaded.catalogue.data_sets()[0].clone())
    }

    fn fault<const N: usize>(edits: [(&str, &str); N]) -> String {
        edited(edits).unwrap_err()
    }

    fn cells(data_set: &DataSet) -> Vec<String> {
        data_set.cells().iter().map(Cell::to_string).collect()
    }

    #[test]
    fn an_element_brings_its_whole_list_and_the_file_its_code() {
        let data_set = edited([]).unwrap();
        assert_eq!(data_set.code().as_str(), "meals");
        assert_eq!((data_set.period_type(), data_set.calendar()), (PeriodType::Week, Calendar::Gregorian));
        assert_eq!(cells(&data_set), ["served", "by_kind[rice]", "by_kind[soup]", "weight"]);
    }

    #[test]
    fn longer_periods_are_all_there_are_or_those_that_are_listed() {
        use PeriodType::{HalfYear, Latest, Month, Quarter, Year};
        assert_eq!(edited([]).unwrap().longer_periods(), [Month, Quarter, HalfYear, Year, Latest]);
        let listing = |list: &str| {
            edited([("calendar = \"gregorian\"", &*format!("calendar = \"gregorian\"\nlonger_periods = {list}"))])
        };
        assert_eq!(listing(r#"["year", "month"]"#).unwrap().longer_periods(), [Month, Year]);
        assert_eq!(listing("[]").unwrap().longer_periods(), []);
        let told = listing(r#"["year", "day", "year"]"#).unwrap_err();
        assert!(told.contains("`day` is no longer period of a form by the week; `month`, `quarter`"), "{told}");
        assert!(told.contains("`year` is listed twice in longer_periods"), "{told}");
    }

    #[test]
    fn options_and_levels_of_a_cell_can_be_chosen() {
        let data_set = edited([
            ("\"by_kind\" }", "\"by_kind\", options = [\"soup\"] }"),
            ("[\"school\"]", "[\"city\", \"school\"]"),
            ("\"weight\" }", "\"weight\", levels = [\"city\"] }"),
        ])
        .unwrap();
        assert_eq!(cells(&data_set), ["served", "by_kind[soup]", "weight"]);
        let (city, school) = (LevelIx::new(0), LevelIx::new(1));
        assert!(data_set.cells()[2].levels.contains(city) && !data_set.cells()[2].levels.contains(school));
        assert!(!data_set.cells()[0].levels.contains(city), "meals are counted by schools alone");
    }

    #[test]
    fn wrong_words_are_told_with_their_lines() {
        assert_eq!(
            fault([("\"week\"", "\"weekly\""), ("gregorian", "julian"), ("\"Meals\"", "\"\"")]),
            "data_sets/meals.toml:2: name_en is empty; every name_en needs a text\n\
             data_sets/meals.toml:3: period_type `weekly` must be one of day, week, month, quarter, half_year, year\n\
             data_sets/meals.toml:4: `julian` is no calendar; `gregorian` and `decree09` are"
        );
        assert_eq!(
            fault([("[\"school\"]", "[\"town\"]")]),
            "data_sets/meals.toml:5: unknown level `town`; the levels are city, school"
        );
        assert_eq!(fault([("[\"school\"]", "[]")]), "data_sets/meals.toml:5: levels names none; name at least one");
        assert_eq!(
            fault([("name_vi", "ten_vi")]),
            "data_sets/meals.toml:1: unknown field `ten_vi`, expected one of `name_vi`, `name_en`, `period_type`, `calendar`, `longer_periods`, `levels`, `closes_after_days`, `outliers`"
        );
    }

    #[test]
    fn wrong_cells_are_told_with_their_lines() {
        assert_eq!(
            fault([("\"served\" }", "\"meals\" }"), ("\"weight\" }", "\"weight\", option = [] }")]),
            "data_sets/meals.toml:7: unknown data element `meals`; define it in data_elements.csv\n\
             data_sets/meals.toml:9: unknown field `option`, expected one of `element`, `options`, `levels`"
        );
        assert_eq!(
            fault([("\"weight\" }", "\"served\" }")]),
            "data_sets/meals.toml:9: cell served occurs twice; first on line 7"
        );
        assert_eq!(
            fault([("\"by_kind\" }", "\"by_kind\", options = [\"rice\", \"fish\"] }")]),
            "data_sets/meals.toml:8: unknown option `fish`; options/kinds.csv has rice, soup"
        );
        assert_eq!(
            fault([("\"by_kind\" }", "\"by_kind\", options = [] }")]),
            "data_sets/meals.toml:8: options names none; name some, or leave it out for the whole list"
        );
        assert_eq!(
            fault([("\"weight\" }", "\"weight\", options = [\"rice\"] }")]),
            "data_sets/meals.toml:9: `weight` has no option list; leave options out"
        );
    }

    #[test]
    fn levels_of_cells_must_fit() {
        assert_eq!(
            fault([("[\"school\"]", "[\"city\"]")]).lines().next().unwrap(),
            "data_sets/meals.toml:7: `served` is filled by school and the data set reported by city: no level is both"
        );
        assert_eq!(
            fault([("\"weight\" }", "\"weight\", levels = [\"city\"] }")]),
            "data_sets/meals.toml:9: `weight` cannot be filled by city here, only by school"
        );
        assert_eq!(
            fault([("[\"school\"]", "[\"city\", \"school\"]"), ("    { element = \"weight\" },\n", "")]),
            "data_sets/meals.toml:5: level city fills none of the cells; take it out of levels"
        );
    }

    const RULE: &str = "[[rule]]\nid = \"kinds";

    fn with_deadlines(text: &str) -> Result<DataSet, String> {
        edited([
            ("levels = [\"school\"]", "levels = [\"city\", \"school\"]"),
            (RULE, &format!("[deadlines]\n{text}\n{RULE}")),
        ])
    }

    #[test]
    fn each_level_has_its_deadline() {
        let schedule = with_deadlines("school = 2\ncity = 5\n").unwrap().schedule().clone();
        assert_eq!(schedule.deadlines, [(LevelIx::new(0), 5), (LevelIx::new(1), 2)]);
        assert_eq!(schedule.closes_after, None);
        let closing = edited([("\ncells", "\ncloses_after_days = 30\ncells")]).unwrap().schedule().clone();
        assert_eq!((closing.deadlines, closing.closes_after), (Vec::new(), Some(30)));
    }

    #[test]
    fn wrong_deadlines_are_told_with_their_lines() {
        assert_eq!(
            with_deadlines("school = 2\ntown = 3\n").unwrap_err(),
            "data_sets/meals.toml:14: unknown level `town`; the levels are city, school"
        );
        assert_eq!(
            with_deadlines("school = 367\ncity = \"5\"\n").unwrap_err(),
            "data_sets/meals.toml:13: school = 367 is more than a year; 366 days is the limit\n\
             data_sets/meals.toml:14: invalid type: string \"5\", expected u16"
        );
        assert_eq!(
            with_deadlines("school = 2\n").unwrap_err(),
            "data_sets/meals.toml:12: [deadlines] has none for city; give every level that reports one"
        );
        assert_eq!(
            fault([(RULE, &format!("[deadlines]\nschool = 2\ncity = 5\n{RULE}"))]),
            "data_sets/meals.toml:14: level city does not report this data set; those that do are school"
        );
        assert_eq!(
            fault(
                [("\ncells", "\ncloses_after_days = 3\ncells"), (RULE, &format!("[deadlines]\nschool = 4\n{RULE}")),]
            ),
            "data_sets/meals.toml:6: closes_after_days = 3 is before the deadline of level school, 4 days after the period; \
             close on that day or later"
        );
        assert_eq!(
            fault([("\ncells", "\ncloses_after_days = 400\ncells")]),
            "data_sets/meals.toml:6: closes_after_days = 400 is more than a year; 366 days is the limit"
        );
    }

    #[test]
    fn cells_are_watched_by_their_elements() {
        let watched = |codes: &str| edited([("\ncells", &format!("\noutliers = [{codes}]\ncells"))]);
        assert_eq!(watched("\"weight\", \"by_kind\"").unwrap().outliers(), [3, 1, 2]);
        assert_eq!(
            watched("\"meals\", \"served\", \"served\"").unwrap_err(),
            "data_sets/meals.toml:6: outliers names `meals`, of which the data set has no cell\n\
             data_sets/meals.toml:6: outliers names `served` twice"
        );
        assert_eq!(
            edited([
                ("\ncells", "\noutliers = [\"day\"]\ncells"),
                ("\"weight\" }", "\"weight\" },\n    { element = \"day\" }")
            ])
            .unwrap_err(),
            "data_sets/meals.toml:6: outliers names `day`, which is no number"
        );
    }

    #[test]
    fn a_data_set_has_cells_and_a_catalogue_data_sets() {
        let mut files = Files::sample();
        files.set(
            MEALS,
            "name_vi = \"a\"\nname_en = \"a\"\nperiod_type = \"day\"\ncalendar = \"gregorian\"\nlevels = [\"city\"]\n",
        );
        assert_eq!(
            assemble(&files, Faults::default()).unwrap_err().to_string(),
            "data_sets/meals.toml: has no cells; a data set has at least one, cells = [{ element = \"…\" }]"
        );
        files.remove(MEALS);
        assert_eq!(
            assemble(&files, Faults::default()).unwrap_err().to_string(),
            "data_sets: has no data set; a catalogue has at least one, data_sets/<code>.toml"
        );
        let text = "name_vi = \"a\"\n";
        files.set("data_sets/me als.toml", text);
        assert!(assemble(&files, Faults::default()).unwrap_err().to_string().contains(
            "data_sets/me als.toml: the file's name without .toml `me als` must be 1 to 40 characters of A-Z, a-z, 0-9, '_' or '-'"
        ));
    }

    #[test]
    fn too_many_cells_are_refused() {
        let mut files = Files::sample();
        let rows: String = (0..1001).map(|option| format!("o{option},Một,One\n")).collect();
        files.set("options/kinds.csv", &format!("code,name_vi,name_en\n{rows}"));
        files.remove("option_groups/kinds.csv");
        assert_eq!(
            assemble(&files, Faults::default()).unwrap_err().to_string(),
            "data_sets/meals.toml: has 1003 cells; 1000 is the limit"
        );
    }

    /// Five levels report, one of them in the place of another.
    #[test]
    fn totals_too_large_for_an_event_are_refused() {
        let of = |kinds: usize| {
            let mut files = Files::sample();
            files.set(
                "levels.csv",
                "code,name_vi,name_en,stands_in_for\ncity,Thành phố,City,\na,A,A,b\nb,B,B,\nc,C,C,\nd,D,D,\nschool,Trường,School,\n",
            );
            files.edit(
                "org_units.csv",
                "S1,Hoa Mai,school,,C,,",
                "A,A,a,,C,,\nB,B,b,,A,,\nCC,C,c,,B,,\nD,D,d,,CC,,\nS1,Hoa Mai,school,,D,,",
            );
            files.edit("data_elements.csv", "school,kinds", "b|c|d|school,kinds");
            files.edit(MEALS, "[\"school\"]", "[\"b\", \"c\", \"d\", \"school\"]");
            let rows: String = (0..kinds).map(|option| format!("o{option},Một,One\n")).collect();
            files.set("options/kinds.csv", &format!("code,name_vi,name_en\n{rows}"));
            files.remove("option_groups/kinds.csv");
            assemble(&files, Faults::default()).map(|_| ()).map_err(|faults| faults.to_string())
        };
        assert_eq!(of(798), Ok(()));
        assert_eq!(
            of(799).unwrap_err(),
            "data_sets/meals.toml:5: 801 cells for 5 levels, with those that stand in for others, are 4005 sums in the totals of \
             a unit; 4000 is the limit, make several forms of it"
        );
    }

    #[test]
    fn rules_are_not_looked_up_among_faulty_cells() {
        assert_eq!(
            fault([("\"served\" }", "\"serve\" }")]),
            "data_sets/meals.toml:7: unknown data element `serve`; define it in data_elements.csv"
        );
    }
}
