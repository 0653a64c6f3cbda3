//! Each way a report can be wrong, one off either side where there is a bound.

#![expect(clippy::unwrap_used, reason = "a test whose example cannot be made has failed")]

use domain::{
    CELL_LIMIT, Calendar, Catalogue, CatalogueVersion, Content, LevelIx, Message, OrgTree, PeriodType, Reason,
    Revision, Severity, UnitVersion, Violations,
    catalogue::{
        CategoryOption, Cell, DataElement, DataSet, DataSetParts, Level, Measure, Schedule, SpaceAggregation,
        TimeAggregation, ValueType,
    },
    draft::{Draft, DraftValue, Given},
    judge::{Verdict, judge},
    rule::{Check, Comparison, Condition, Linear, Of, Rule, Term},
};
use time::macros::date;

const NATION: LevelIx = LevelIx::new(0);
const DISTRICT: LevelIx = LevelIx::new(1);
const COMMUNE: LevelIx = LevelIx::new(2);

/// VN, district 900 with commune 90001 (until 15 November 2022), island district 901 with nothing below it.
fn catalogue() -> Catalogue {
    let level = |code: &str, stands_in_for| Level {
        code: code.parse().unwrap(),
        name_vi: code.to_owned(),
        name_en: code.to_owned(),
        stands_in_for,
    };
    let unit = |code: &str, level, parent: Option<&str>, valid_to| UnitVersion {
        code: code.parse().unwrap(),
        name: code.to_owned(),
        level,
        kind: String::new(),
        parent: parent.map(|parent| parent.parse().unwrap()),
        valid_from: None,
        valid_to,
    };
    let tree = OrgTree::new(
        &[
            unit("VN", NATION, None, None),
            unit("900", DISTRICT, Some("VN"), None),
            unit("901", DISTRICT, Some("VN"), None),
            unit("90001", COMMUNE, Some("900"), Some(date!(2022 - 11 - 15))),
            unit("90002", COMMUNE, Some("900"), None),
        ],
        Vec::new(),
    );
    let cell = |code: &str, value_type, option: Option<&str>, levels: &[LevelIx]| Cell {
        element: DataElement {
            code: code.parse().unwrap(),
            name_vi: code.to_owned(),
            name_en: code.to_owned(),
            family: "test".to_owned(),
            value_type,
            measure: Measure::Stock,
            time_aggregation: TimeAggregation::Last,
            space_aggregation: SpaceAggregation::Sum,
            unit_of_measure: "thing".to_owned(),
        },
        option: option.map(|code| CategoryOption {
            code: code.parse().unwrap(),
            name_vi: String::new(),
            name_en: String::new(),
        }),
        levels: levels.iter().copied().collect(),
    };
    let rule = |id: &str, severity| Rule {
        id: id.to_owned(),
        severity,
        when: None,
        check: Check::Compare(Condition {
            left: Linear { terms: vec![Term { factor: 1, cell: 0, of: Of::This }], constant: 0 },
            comparison: Comparison::AtMost,
            right: Linear { terms: vec![Term { factor: 1, cell: 1, of: Of::This }], constant: 0 },
        }),
        decimals: 0,
        message: Message { vi: "{left} lớn hơn {right}".to_owned(), en: "{left} is more than {right}".to_owned() },
    };
    let data_set = |code: &str, rules| {
        DataSet::new(DataSetParts {
            code: code.parse().unwrap(),
            name_vi: code.to_owned(),
            name_en: code.to_owned(),
            period_type: PeriodType::Month,
            calendar: Calendar::Decree09,
            levels: [COMMUNE].into_iter().collect(),
            cells: vec![
                cell("part", ValueType::Count, None, &[COMMUNE]),
                cell("whole", ValueType::Count, None, &[COMMUNE]),
                cell("change", ValueType::Signed, None, &[COMMUNE]),
                cell("hours", ValueType::Decimal(1), None, &[COMMUNE]),
                cell("done", ValueType::Flag, None, &[COMMUNE]),
                cell("by_service", ValueType::Count, Some("s01"), &[COMMUNE]),
                cell("by_service", ValueType::Count, Some("s02"), &[DISTRICT]),
            ],
            rules,
            schedule: Schedule::default(),
            groups: Vec::new(),
            outliers: Vec::new(),
            indicators: Vec::new(),
            targets: Vec::new(),
        })
        .unwrap()
    };
    let data_sets = vec![
        data_set("strict", vec![rule("part_at_most_whole", Severity::Error)]),
        data_set("mild", vec![rule("odd", Severity::Warning)]),
    ];
    let levels = vec![level("national", None), level("district", Some(COMMUNE)), level("commune", None)];
    Catalogue::new(CatalogueVersion::new("test"), levels, tree.unwrap(), data_sets, time::macros::offset!(+7))
}

fn value<'a>(element: &'a str, given: Given<'a>) -> DraftValue<'a> {
    DraftValue { element, option: "", given }
}

fn good() -> Draft<'static> {
    Draft {
        submission_id: "0192f0c1-2b3c-7d4e-8f50-112233445566",
        org_unit: "90002",
        data_set: "strict",
        period: "202211",
        revision: 1,
        withdrawn: false,
        values: vec![value("part", Given::Integer(5)), value("whole", Given::Integer(5))],
    }
}

fn verdict(draft: &Draft<'_>) -> Verdict {
    judge(&catalogue(), draft)
}

fn violations(draft: &Draft<'_>) -> Violations {
    match verdict(draft) {
        Verdict::Rejected(violations) => violations,
        Verdict::Accepted { .. } => panic!("{draft:?} is accepted"),
    }
}

/// Every reason with the field it names.
fn reasons(draft: &Draft<'_>) -> Vec<(Reason, String)> {
    violations(draft).list().iter().map(|violation| (violation.reason, violation.field.clone())).collect()
}

fn one(draft: &Draft<'_>, reason: Reason, field: &str) {
    assert_eq!(reasons(draft), [(reason, field.to_owned())]);
}

fn stored(values: Vec<DraftValue<'_>>) -> Vec<Option<i64>> {
    match verdict(&Draft { values, ..good() }) {
        Verdict::Accepted { report, .. } => match report.content {
            Content::Values(values) => values.as_slice().to_vec(),
            Content::Withdrawn => panic!("it is no withdrawal"),
        },
        Verdict::Rejected(violations) => panic!("{violations:?}"),
    }
}

#[test]
fn a_good_report_is_read_as_it_was_meant() {
    let values = vec![
        DraftValue { element: "by_service", option: "s01", given: Given::Integer(0) },
        value("done", Given::Flag(true)),
        value("hours", Given::Decimal("92.3")),
        value("change", Given::Integer(-4)),
    ];
    assert_eq!(stored(values), [None, None, Some(-4), Some(923), Some(1), Some(0), None]);
    assert_eq!(stored(vec![value("hours", Given::Integer(7))])[3], Some(70));
    assert_eq!(stored(vec![value("hours", Given::Decimal("7"))])[3], Some(70));
}

#[test]
fn names_that_do_not_exist_are_told() {
    one(&Draft { submission_id: "", ..good() }, Reason::SubmissionIdMalformed, "submission_id");
    one(
        &Draft { submission_id: "00000000-0000-0000-0000-000000000000", ..good() },
        Reason::SubmissionIdMalformed,
        "submission_id",
    );
    one(&Draft { data_set: "lax", ..good() }, Reason::DataSetUnknown, "data_set");
    one(&Draft { period: "2022-11", ..good() }, Reason::PeriodMalformed, "period");
    one(&Draft { period: "2022Q4", ..good() }, Reason::PeriodTypeWrong, "period");
    one(&Draft { org_unit: "90009", ..good() }, Reason::OrgUnitUnknown, "org_unit");
    one(&Draft { revision: -1, ..good() }, Reason::RevisionOutOfRange, "revision");
    one(&Draft { revision: Revision::MOST + 1, ..good() }, Reason::RevisionOutOfRange, "revision");
    assert!(matches!(verdict(&Draft { revision: Revision::MOST, ..good() }), Verdict::Accepted { .. }));
}

/// November ends on the 14th by Decree 09: a unit that ends on the 15th still reports it, and December no more.
#[test]
fn the_units_of_the_last_day_report() {
    assert!(matches!(verdict(&Draft { org_unit: "90001", ..good() }), Verdict::Accepted { .. }));
    one(&Draft { org_unit: "90001", period: "202212", ..good() }, Reason::OrgUnitUnknown, "org_unit");
}

#[test]
fn a_level_reports_what_it_should_and_an_island_stands_in() {
    one(
        &Draft { org_unit: "VN", values: Vec::new(), withdrawn: true, ..good() },
        Reason::LevelNotReporting,
        "org_unit",
    );
    one(
        &Draft { org_unit: "900", values: Vec::new(), withdrawn: true, ..good() },
        Reason::LevelNotReporting,
        "org_unit",
    );
    assert!(matches!(verdict(&Draft { org_unit: "901", ..good() }), Verdict::Accepted { .. }));
    let other_level = DraftValue { element: "by_service", option: "s02", given: Given::Integer(1) };
    one(&Draft { values: vec![other_level], ..good() }, Reason::CellNotForLevel, "values[0]");
}

#[test]
fn values_that_do_not_fit_their_cells_are_told() {
    let refused = |element: &'static str, given| {
        let found = reasons(&Draft { values: vec![value(element, given)], ..good() });
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].0
    };
    assert_eq!(refused("whole", Given::Integer(-1)), Reason::ValueOutOfRange);
    assert_eq!(refused("whole", Given::Integer(CELL_LIMIT + 1)), Reason::ValueOutOfRange);
    assert_eq!(stored(vec![value("whole", Given::Integer(CELL_LIMIT))])[1], Some(CELL_LIMIT));
    assert_eq!(refused("change", Given::Integer(i64::MIN)), Reason::ValueOutOfRange);
    assert_eq!(refused("hours", Given::Integer(i64::MAX)), Reason::ValueOutOfRange);
    assert_eq!(refused("hours", Given::Decimal("99999999999999999999")), Reason::ValueOutOfRange);
    assert_eq!(refused("hours", Given::Decimal("1.25")), Reason::ValueOutOfRange);
    for text in ["", "1.", ".5", "1,5", "1e3", "NaN", "+1", " 1", "1.2.3"] {
        assert_eq!(refused("hours", Given::Decimal(text)), Reason::ValueTypeWrong, "{text:?}");
    }
    assert_eq!(refused("whole", Given::Decimal("5")), Reason::ValueTypeWrong);
    assert_eq!(refused("whole", Given::Flag(true)), Reason::ValueTypeWrong);
    assert_eq!(refused("done", Given::Integer(1)), Reason::ValueTypeWrong);
    assert_eq!(refused("whole", Given::Text("gần 5")), Reason::ValueTypeWrong);
    assert_eq!(refused("whole", Given::Nothing), Reason::ValueTypeWrong);
    assert_eq!(refused("hole", Given::Integer(1)), Reason::CellUnknown);
    assert_eq!(refused("by_service", Given::Integer(1)), Reason::CellUnknown, "without its option");
}

#[test]
fn the_form_is_kept() {
    one(&Draft { values: Vec::new(), ..good() }, Reason::ValuesMissing, "values");
    one(&Draft { withdrawn: true, ..good() }, Reason::WithdrawalWithValues, "values");
    let twice = vec![value("whole", Given::Integer(1)), value("whole", Given::Integer(1))];
    one(&Draft { values: twice, ..good() }, Reason::CellRepeated, "values[1]");
    one(&Draft { values: vec![value("whole", Given::Integer(1)); 8], ..good() }, Reason::ValuesTooMany, "values");
}

#[test]
fn a_rule_that_breaks_rejects_or_warns() {
    let values = || vec![value("part", Given::Integer(1_001)), value("whole", Given::Integer(1_000))];
    let found = violations(&Draft { values: values(), ..good() });
    let broken = &found.list()[0];
    assert_eq!((broken.reason, broken.field.as_str()), (Reason::RuleBroken, "part_at_most_whole"));
    assert_eq!(broken.message.vi, "1.001 lớn hơn 1.000");
    match verdict(&Draft { data_set: "mild", values: values(), ..good() }) {
        Verdict::Accepted { warnings, .. } => assert_eq!(warnings.list()[0].message.en, "1,001 is more than 1,000"),
        Verdict::Rejected(violations) => panic!("{violations:?}"),
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let values = vec![
        value("hole", Given::Integer(1)),
        value("whole", Given::Integer(-1)),
        value("done", Given::Integer(1)),
        value("whole", Given::Integer(-1)),
        value("hours", Given::Decimal("x")),
    ];
    let draft = Draft { submission_id: "1", org_unit: "900", revision: -1, values, ..good() };
    assert_eq!(violations(&draft).list().len(), 8);
}

/// What a sender wrote is shown back within bounds and without control characters.
#[test]
fn a_sender_s_text_is_shown_back_bounded() {
    let text = format!("a\0b\n{}", "ạ".repeat(10_000));
    let found = violations(&Draft { data_set: &text, ..good() });
    assert!(found.list()[0].message.en.len() < 300, "{found:?}");
    assert!(!found.list()[0].message.en.contains(char::is_control));
}

mod anything {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => prop::sample::select(vec!["", "90002", "901", "VN", "strict", "mild", "202211", "2022Q4", "part", "whole", "hours", "by_service", "s01", "-1.5"]).prop_map(str::to_owned),
            1 => any::<String>(),
        ]
    }

    proptest! {
        /// Nothing a sender can say makes judging panic, and whatever is rejected is rejected for a reason.
        #[test]
        fn is_judged(
            texts in [text(), text(), text(), text()],
            revision in any::<i64>(),
            withdrawn in any::<bool>(),
            cells in prop::collection::vec((text(), text(), 0..6_u8, any::<i64>(), text()), 0..10),
        ) {
            let [submission_id, org_unit, data_set, period] = &texts;
            let values = cells.iter().map(|(element, option, kind, number, text)| DraftValue {
                element,
                option,
                given: match kind {
                    0 => Given::Nothing,
                    1 => Given::Decimal(text),
                    2 => Given::Flag(*number > 0),
                    3 => Given::Text(text),
                    _ => Given::Integer(*number),
                },
            });
            let draft = Draft { submission_id, org_unit, data_set, period, revision, withdrawn, values: values.collect() };
            match verdict(&draft) {
                Verdict::Accepted { warnings, .. } => prop_assert!(!warnings.has_error()),
                Verdict::Rejected(violations) => prop_assert!(violations.has_error()),
            }
        }
    }
}
