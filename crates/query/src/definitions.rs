//! The catalogue, in the words of the wire.

use domain::{
    Catalogue, Severity,
    catalogue::{CategoryOption, Cell, CellGroup, DataSet, Goal, Indicator, LevelSet, Target, ValueType},
    rule::Rule,
};
use proto::pb::{query::v1 as pb, report::v1 as report};

use crate::answer;

/// The catalogue with all of its data sets, or one.
pub(crate) fn catalogue(catalogue: &Catalogue, only: Option<&DataSet>) -> pb::GetCatalogueResponse {
    let is_meant = |data_set: &&DataSet| only.is_none_or(|only| only.code() == data_set.code());
    let days = |days: &[time::Date]| days.iter().map(ToString::to_string).collect();
    pb::GetCatalogueResponse {
        version: catalogue.version().to_string(),
        levels: (catalogue.levels().iter())
            .map(|level| pb::Level {
                code: level.code.to_string(),
                name_vi: level.name_vi.clone(),
                name_en: level.name_en.clone(),
            })
            .collect(),
        data_sets: catalogue.data_sets().iter().filter(is_meant).map(|of| data_set(catalogue, of)).collect(),
        tree_changed_on: days(catalogue.tree().changed_on()),
        codes_given_anew_on: days(catalogue.tree().recoded()),
    }
}

fn data_set(catalogue: &Catalogue, of: &DataSet) -> pb::DataSet {
    let schedule = of.schedule();
    let deadlines = schedule
        .deadlines
        .iter()
        .map(|(level, days)| pb::Deadline { level: catalogue.level(*level).code.to_string(), days: u32::from(*days) });
    pb::DataSet {
        code: of.code().to_string(),
        name_vi: of.name_vi().to_owned(),
        name_en: of.name_en().to_owned(),
        period_type: of.period_type().to_string(),
        calendar: of.calendar().to_string(),
        levels: levels(catalogue, of.levels()),
        deadlines: deadlines.collect(),
        closes_after: schedule.closes_after.map(u32::from),
        cells: of.cells().iter().map(|of| cell(catalogue, of)).collect(),
        groups: of.groups().iter().map(|group_of| group(of, group_of)).collect(),
        rules: of.rules().iter().map(rule).collect(),
        indicators: of.indicators().iter().map(|indicator_of| indicator(of, indicator_of)).collect(),
        targets: of.targets().iter().map(|target_of| target(of, target_of)).collect(),
        layout: of.layout().to_string(),
        longer_periods: of.longer_periods().iter().map(ToString::to_string).collect(),
    }
}

fn levels(catalogue: &Catalogue, levels: LevelSet) -> Vec<String> {
    // A set may have places that the catalogue does not.
    let known = levels.iter().filter_map(|level| catalogue.levels().get(level.get()));
    known.map(|level| level.code.to_string()).collect()
}

fn cell(catalogue: &Catalogue, of: &Cell) -> pb::Cell {
    let element = &of.element;
    let value_type = match element.value_type {
        ValueType::Count => "count",
        ValueType::Signed => "signed",
        ValueType::Decimal(_) => "decimal",
        ValueType::Flag => "flag",
        ValueType::Date => "date",
        ValueType::Text => "text",
    };
    pb::Cell {
        data_element: element.code.to_string(),
        name_vi: element.name_vi.clone(),
        name_en: element.name_en.clone(),
        option: of.option.as_ref().map(named),
        value_type: value_type.to_owned(),
        decimals: u32::from(element.value_type.decimals()),
        aggregation: answer::aggregation(element.space_aggregation).into(),
        time_aggregation: element.time_aggregation.as_str().to_owned(),
        unit_of_measure: element.unit_of_measure.clone(),
        levels: levels(catalogue, of.levels),
    }
}

fn named(of: &CategoryOption) -> pb::Named {
    pb::Named { code: of.code.to_string(), name_vi: of.name_vi.clone(), name_en: of.name_en.clone() }
}

fn group(data_set: &DataSet, of: &CellGroup) -> pb::Group {
    let day = |day: Option<time::Date>| day.map(|day| day.to_string()).unwrap_or_default();
    let members = of.members.iter().map(|member| pb::GroupMember {
        option: name(data_set, member.cell).option,
        valid_from: day(member.valid_from),
        valid_to: day(member.valid_to),
    });
    pb::Group { data_element: of.element.to_string(), group: Some(named(&of.group)), members: members.collect() }
}

fn rule(of: &Rule) -> pb::Rule {
    let severity = match of.severity {
        // A rule that looks back only warns.
        Severity::Error if !of.looks_back() => report::Severity::Error,
        _ => report::Severity::Warning,
    };
    pb::Rule {
        id: of.id.clone(),
        severity: severity.into(),
        message_vi: of.message.vi.clone(),
        message_en: of.message.en.clone(),
    }
}

fn indicator(data_set: &DataSet, of: &Indicator) -> pb::IndicatorDefinition {
    pb::IndicatorDefinition {
        code: of.code.to_string(),
        option: of.option.as_ref().map(named),
        name_vi: of.name_vi.clone(),
        name_en: of.name_en.clone(),
        numerator: Some(name(data_set, of.numerator)),
        denominator: Some(name(data_set, of.denominator)),
    }
}

fn target(data_set: &DataSet, of: &Target) -> pb::TargetDefinition {
    use pb::target_definition::Goal as Told;
    let goal = match of.goal {
        Goal::Value(number) => Told::Value(number),
        Goal::Of { share, cell } => Told::OfCell(pb::Share { hundredths: share, cell: Some(name(data_set, cell)) }),
        Goal::OfUnits { share } => Told::OfUnits(share),
    };
    pb::TargetDefinition {
        org_unit: of.org_unit.as_ref().map(ToString::to_string).unwrap_or_default(),
        period: of.period.map(|period| period.to_string()).unwrap_or_default(),
        cell: Some(name(data_set, of.cell)),
        goal: Some(goal),
        due: of.due.map(|day| day.to_string()).unwrap_or_default(),
    }
}

fn name(data_set: &DataSet, place: usize) -> pb::CellName {
    let cell = &data_set.cells()[place];
    pb::CellName {
        data_element: cell.element.code.to_string(),
        option: cell.option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    #[test]
    fn a_form_is_told_with_all_that_belongs_to_it() {
        let tiny = tiny::catalogue();
        let told = catalogue(&tiny, tiny.find_data_set("services"));
        assert_eq!(told.tree_changed_on, ["2025-07-01"]);
        assert_eq!(told.codes_given_anew_on, ["2025-07-01"]);
        let [services] = &told.data_sets[..] else { panic!("{told:?}") };
        assert_eq!((services.period_type.as_str(), services.levels.len()), ("month", 2));
        assert_eq!(services.deadlines, [pb::Deadline { level: "commune".to_owned(), days: 5 }]);
        let plan = &services.cells[tiny::PLAN];
        assert_eq!((plan.aggregation(), plan.time_aggregation.as_str()), (pb::Aggregation::None, "last"));
        assert_eq!(plan.levels, ["province"]);
        let members: Vec<_> = services.groups[0]
            .members
            .iter()
            .map(|member| (member.option.as_str(), member.valid_from.as_str()))
            .collect();
        assert_eq!(members, [("s01", ""), ("s02", "2025-07-01")]);
        assert_eq!(services.indicators[1].numerator.as_ref().unwrap().option, "s02");
        assert_eq!(services.targets[0].goal, Some(pb::target_definition::Goal::OfUnits(10_000)));
        assert_eq!((services.targets[1].org_unit.as_str(), services.targets[1].due.as_str()), ("01", "2022-11-20"));
        assert_eq!(catalogue(&tiny, None).data_sets.len(), 3);
    }
}
