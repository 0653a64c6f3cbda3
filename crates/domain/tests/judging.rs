//! Each way a report can be wrong, one off either side where there is a bound.

#![expect(clippy::unwrap_used, reason = "a test whose example cannot be made has failed")]

use std::sync::LazyLock;

use domain::{
    CELL_LIMIT, Calendar, Catalogue, CatalogueVersion, Content, LevelIx, Message, OrgTree, PeriodType, Reason,
    Revision, Severity, Timestamp, UnitVersion, Values, Violations,
    catalogue::{
        CategoryOption, Cell, DataElement, DataSet, DataSetParts, Level, Measure, Schedule, SpaceAggregation,
        TimeAggregation, ValueType,
    },
    draft::{Dense, Draft, DraftValue, Given},
    judge::{Context, Verdict, history_of_interest, no_report, read, weigh},
    number::PLAIN,
    rule::{Check, Comparison, Condition, Linear, Of, Rule, Term},
};
use time::macros::{date, datetime};

const NATION: LevelIx = LevelIx::new(0);
const DISTRICT: LevelIx = LevelIx::new(1);
const COMMUNE: LevelIx = LevelIx::new(2);

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(make);

fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}

/// VN, district 900 with commune 90001 (until 15 November 2022), island district 901 with nothing below it.
fn make() -> Catalogue {
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
    let side = |cell, of| Linear { terms: vec![Term { factor: 1, cell, of }], constant: 0 };
    let compare = |left, right| Check::Compare(Condition { left, comparison: Comparison::AtMost, right });
    let rule = |id: &str, severity| Rule {
        id: id.to_owned(),
        severity,
        when: None,
        check: compare(side(0, Of::This), side(1, Of::This)),
        decimals: 0,
        message: Message { vi: "{left} lớn hơn {right}".to_owned(), en: "{left} is more than {right}".to_owned() },
    };
    let growing = Rule {
        check: compare(side(1, Of::Previous), side(1, Of::This)),
        // Said to be an error; what is stored decides nothing.
        ..rule("whole_grows", Severity::Error)
    };
    let few = || {
        vec![
            cell("part", ValueType::Count, None, &[COMMUNE]),
            cell("whole", ValueType::Count, None, &[COMMUNE]),
            cell("change", ValueType::Signed, None, &[COMMUNE]),
            cell("hours", ValueType::Decimal(1), None, &[COMMUNE]),
            cell("done", ValueType::Flag, None, &[COMMUNE]),
            cell("by_service", ValueType::Count, Some("s01"), &[COMMUNE]),
            cell("by_service", ValueType::Count, Some("s02"), &[DISTRICT]),
            cell("note", ValueType::Text, None, &[COMMUNE]),
            cell("since", ValueType::Date, None, &[COMMUNE]),
        ]
    };
    let data_set = |code: &str, cells, rules, schedule, outliers| {
        DataSet::new(DataSetParts {
            code: code.parse().unwrap(),
            name_vi: code.to_owned(),
            name_en: code.to_owned(),
            period_type: PeriodType::Month,
            calendar: Calendar::Decree09,
            longer_periods: domain::window::kinds(PeriodType::Month).collect(),
            levels: [COMMUNE].into_iter().collect(),
            cells,
            rules,
            schedule,
            groups: Vec::new(),
            outliers,
            indicators: Vec::new(),
            targets: Vec::new(),
        })
        .unwrap()
    };
    let part_at_most_whole = || vec![rule("part_at_most_whole", Severity::Error)];
    let open = Schedule::default;
    let timed = Schedule { deadlines: vec![(COMMUNE, 5)], closes_after: Some(30) };
    let unlike = Schedule { deadlines: vec![(COMMUNE, 5), (DISTRICT, 7)], closes_after: None };
    let data_sets = vec![
        data_set("strict", few(), part_at_most_whole(), open(), Vec::new()),
        data_set("mild", few(), vec![rule("odd", Severity::Warning)], open(), Vec::new()),
        data_set("timed", few(), part_at_most_whole(), timed, Vec::new()),
        data_set("later_islands", few(), Vec::new(), unlike, Vec::new()),
        data_set("growing", few(), vec![growing], open(), Vec::new()),
        data_set("watched", few(), Vec::new(), open(), vec![0, 3]),
        data_set(
            "huge",
            (0..1_000).map(|place| cell(&format!("c{place}"), ValueType::Count, None, &[COMMUNE])).collect(),
            Vec::new(),
            open(),
            Vec::new(),
        ),
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
        dense: None,
    }
}

/// A good report whose values are packed by the catalogue in use, instead of those it has.
fn packed<'a>(present: &'a [u8], values: &'a [i64]) -> Draft<'a> {
    Draft { values: Vec::new(), dense: Some(Dense { catalogue_version: "test", present, values }), ..good() }
}

/// In December 2022: November, from 15 October to 14 November, is over.
const DECEMBER: Timestamp = at(datetime!(2022-12-01 08:00 +7));

const fn at(instant: time::OffsetDateTime) -> Timestamp {
    Timestamp::from_unix_micros(instant.unix_timestamp() * 1_000_000 + instant.microsecond() as i64)
}

/// The validator's way: read, then weigh.
fn judge(catalogue: &Catalogue, draft: &Draft<'_>, context: &Context<'_>) -> Verdict {
    match read(catalogue, draft, context.received_at) {
        Ok((report, data_set)) => weigh(catalogue, data_set, report, context),
        Err(violations) => Verdict::Rejected(violations),
    }
}

fn verdict(draft: &Draft<'_>) -> Verdict {
    judge(catalogue(), draft, &Context::at(DECEMBER))
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
    assert_eq!(stored(values), [None, None, Some(-4), Some(923), Some(1), Some(0), None, None, None]);
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

/// What is unknown is told with what there is.
#[test]
fn a_refusal_says_what_would_be_known() {
    let told = |draft: &Draft<'_>| violations(draft).list()[0].message.clone();
    let island = told(&Draft { org_unit: "90001", period: "202212", ..good() });
    assert!(island.en.contains("on 2022-12-14, the last day of 202212"), "{island:?}");
    assert!(island.vi.contains("vào ngày 14/12/2022, ngày cuối kỳ 202212"), "{island:?}");
    let of_cell = |element, option| {
        told(&Draft { values: vec![DraftValue { element, option, given: Given::Integer(1) }], ..good() })
    };
    let without = of_cell("by_service", "");
    assert!(
        without.en.ends_with("has no cell by_service: it is given by option, such as by_service[s01]"),
        "{without:?}"
    );
    assert!(without.vi.ends_with("hãy nêu nhóm, ví dụ by_service[s01]."), "{without:?}");
    assert!(of_cell("whole", "s01").en.ends_with("has no cell whole[s01]; there is whole"));
    assert!(of_cell("hole", "").en.ends_with("has no cell hole"));
}

#[test]
fn the_form_is_kept() {
    one(&Draft { values: Vec::new(), ..good() }, Reason::ValuesMissing, "values");
    one(&Draft { withdrawn: true, ..good() }, Reason::WithdrawalWithValues, "values");
    let twice = vec![value("whole", Given::Integer(1)), value("whole", Given::Integer(1))];
    one(&Draft { values: twice, ..good() }, Reason::CellRepeated, "values[1]");
    one(&Draft { values: vec![value("whole", Given::Integer(1)); 10], ..good() }, Reason::ValuesTooMany, "values");
}

/// Each packed value goes to the cell whose bit is set, and is there what it would be by name.
#[test]
fn dense_values_are_read_as_they_were_meant() {
    let stored = |draft: Draft<'_>| match verdict(&draft) {
        Verdict::Accepted { report, .. } => report.content.values().unwrap().as_slice().to_vec(),
        Verdict::Rejected(violations) => panic!("{violations:?}"),
    };
    let all = packed(&[0b0011_1111, 0b1], &[5, 1_000, -4, 923, 1, 0, 20_220_601]);
    assert_eq!(
        stored(all.clone()),
        [Some(5), Some(1_000), Some(-4), Some(923), Some(1), Some(0), None, None, Some(20_220_601)]
    );
    let note = vec![value("note", Given::Text("Mạng chậm"))];
    assert_eq!(stored(Draft { values: note, ..all.clone() })[7], Some(0), "words stand beside");
    let whole = || vec![value("whole", Given::Integer(9))];
    assert_eq!(stored(Draft { values: whole(), ..packed(&[0b100, 0], &[7]) })[..3], [None, Some(9), Some(7)]);

    // A layout is as good as the catalogue's version, that which the form had before it grew as well.
    let strict = catalogue().find_data_set("strict").unwrap();
    let before = |count: usize| {
        let cells = strict.cells()[..count].to_vec();
        DataSet::new(DataSetParts { cells, ..strict.parts().clone() }).unwrap().layout().to_string()
    };
    let by = |version: &str, present: &[u8], values: &[i64]| {
        let draft = packed(present, values);
        reasons_or_values(&Draft { dense: draft.dense.map(|of| Dense { catalogue_version: version, ..of }), ..draft })
    };
    assert_eq!(by(&strict.layout().to_string(), &[0b11, 0], &[1, 2]).unwrap()[..2], [Some(1), Some(2)]);
    for count in 2..=8 {
        assert_eq!(by(&before(count), &[0b11], &[1, 2]).unwrap()[..3], [Some(1), Some(2), None], "{count} cells");
    }
    let refused = |reason, field: &str| Err(vec![(reason, field.to_owned())]);
    assert_eq!(by(&before(3), &[0b1001], &[1, 2]), refused(Reason::DenseMalformed, "dense.present"), "no fourth cell");
    let elsewhere = catalogue().find_data_set("mild").unwrap().layout().to_string();
    for foreign in ["", "Test", "test2", &elsewhere, "0123456789abcdef", "căn cước 079123456789"] {
        assert_eq!(by(foreign, &[0b11, 0], &[1, 2]), refused(Reason::CatalogueUnknown, "dense.catalogue_version"));
    }
    let Err(told) = read(
        catalogue(),
        &Draft { dense: Some(Dense { catalogue_version: "079123456789", ..Dense::default() }), ..good() },
        DECEMBER,
    ) else {
        panic!("it is refused")
    };
    let Message { vi, en } = &told.list()[0].message;
    for message in [vi, en] {
        assert!(message.contains("test") && message.contains(&strict.layout().to_string()), "{message}");
        assert!(!message.contains("079123456789"), "{message}");
    }
}

/// The numbers that are kept, or the reasons with the fields they name.
fn reasons_or_values(draft: &Draft<'_>) -> Result<Vec<Option<i64>>, Vec<(Reason, String)>> {
    match verdict(draft) {
        Verdict::Accepted { report, .. } => Ok(report.content.values().unwrap().as_slice().to_vec()),
        Verdict::Rejected(_) => Err(reasons(draft)),
    }
}

#[test]
fn what_is_wrong_with_dense_values_is_told() {
    for (present, values, field) in [
        (&[0b11][..], &[1, 2][..], "dense.present"),
        (&[], &[1], "dense.present"),
        (&[0b11, 0, 0], &[1, 2], "dense.present"),
        (&[0b11, 0b10], &[1, 2, 3], "dense.present"),
        (&[0b11, 0], &[1], "dense.values"),
        (&[0b11, 0], &[1, 2, 3], "dense.values"),
    ] {
        one(&packed(present, values), Reason::DenseMalformed, field);
    }
    // What does not fit its cell is told with the cell's name.
    let cell = |place: usize, number: i64| {
        let mut present = [0, 0];
        present[place / 8] = 1 << (place % 8);
        let told = violations(&packed(&present, &[number]));
        let [told] = told.list() else { panic!("{told:?}") };
        let name = catalogue().find_data_set("strict").unwrap().cells()[place].to_string();
        assert!(told.message.vi.contains(&name) && told.message.en.contains(&name), "{told:?}");
        assert_eq!(told.field, "dense.values[0]");
        told.reason
    };
    assert_eq!(cell(0, -1), Reason::ValueOutOfRange);
    assert_eq!(cell(1, CELL_LIMIT + 1), Reason::ValueOutOfRange);
    assert_eq!(cell(2, i64::MIN), Reason::ValueOutOfRange);
    assert_eq!(cell(3, i64::MAX), Reason::ValueOutOfRange);
    for flag in [-1, 2] {
        assert_eq!(cell(4, flag), Reason::ValueTypeWrong);
    }
    assert_eq!(cell(6, 1), Reason::CellNotForLevel);
    assert_eq!(cell(7, 0), Reason::ValueTypeWrong, "words are given by name");
    for day in [-20_220_601, 0, 20_220_230, 20_221_301, 202_206_010, i64::MAX] {
        assert_eq!(cell(8, day), Reason::ValueTypeWrong, "{day}");
    }
    for day in [18_991_231, 20_221_202] {
        assert_eq!(cell(8, day), Reason::ValueOutOfRange, "{day}");
    }

    let twice = vec![value("whole", Given::Integer(1))];
    one(&Draft { values: twice, ..packed(&[0b10, 0], &[1]) }, Reason::CellRepeated, "values[0]");
    one(&packed(&[0, 0], &[]), Reason::ValuesMissing, "values");
    one(&Draft { withdrawn: true, ..packed(&[0b10, 0], &[1]) }, Reason::WithdrawalWithValues, "dense");
    one(&Draft { withdrawn: true, dense: Some(Dense::default()), ..good() }, Reason::WithdrawalWithValues, "values");
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

/// What a sender wrote is shown back within bounds and without control characters, and not at all where it may be somebody's
/// number: messages are kept.
#[test]
fn a_sender_s_text_is_shown_back_bounded() {
    let text = format!("a\0b\n{}", "ạ".repeat(10_000));
    let found = violations(&Draft { data_set: &text, ..good() });
    assert!(found.list()[0].message.en.len() < 300, "{found:?}");
    assert!(!found.list()[0].message.en.contains(char::is_control));
    let id = "079123456789";
    let values = vec![DraftValue { element: id, option: id, given: Given::Text(id) }, value("whole", Given::Text(id))];
    for draft in [
        Draft { data_set: id, ..good() },
        Draft { period: id, org_unit: id, values: values.clone(), ..good() },
        Draft { org_unit: id, values: values.clone(), ..good() },
        Draft { values: vec![value("note", Given::Text(id))], ..good() },
    ] {
        let found = violations(&draft);
        assert!(!found.is_empty() && !format!("{found:?}").contains(id), "{found:?}");
    }
}

#[test]
fn words_are_kept_beside_the_numbers_and_days_as_numbers() {
    let values = vec![
        value("since", Given::Date("2022-06-01")),
        value("note", Given::Text(" Thie\u{302}\u{301}u ma\u{301}y\r\nở 3 ấp ")),
    ];
    let Verdict::Accepted { report, .. } = verdict(&Draft { values, ..good() }) else { panic!("it is accepted") };
    let kept = report.content.values().unwrap();
    assert_eq!((kept.get(7), kept.get(8)), (Some(0), Some(20_220_601)));
    let [note] = kept.notes() else { panic!("one note: {kept:?}") };
    assert_eq!((note.cell, &*note.text), (7, "Thiếu máy\nở 3 ấp"));
}

#[test]
fn blank_words_are_absent() {
    let blank = || value("note", Given::Text(" \n "));
    let values = vec![value("whole", Given::Integer(1)), blank()];
    let Verdict::Accepted { report, .. } = verdict(&Draft { values, ..good() }) else { panic!("it is accepted") };
    let kept = report.content.values().unwrap();
    assert!(kept.get(7).is_none() && kept.notes().is_empty());
    one(&Draft { values: vec![blank()], ..good() }, Reason::ValuesMissing, "values");
}

/// The same words are the same content, however their sender's keyboard composes letters, and other words are another.
#[test]
fn words_are_part_of_the_content() {
    let digest = |text: &str| match verdict(&Draft { values: vec![value("note", Given::Text(text))], ..good() }) {
        Verdict::Accepted { digest, .. } => digest,
        Verdict::Rejected(violations) => panic!("{violations:?}"),
    };
    assert_eq!(digest("máy"), digest("ma\u{301}y "));
    assert_ne!(digest("máy"), digest("may"));
}

#[test]
fn days_are_real_and_not_to_come() {
    let day = |text| Draft { values: vec![value("since", Given::Date(text))], ..good() };
    for text in ["2022-12-01", "2020-02-29", "1900-01-01"] {
        assert!(matches!(verdict(&day(text)), Verdict::Accepted { .. }), "{text}");
    }
    for text in ["2022-12-02", "2099-01-01", "1899-12-31", "0022-06-01"] {
        one(&day(text), Reason::ValueOutOfRange, "values[0]");
    }
    for text in
        ["", "2022-02-29", "2022-13-01", "2022-00-01", "2022-06-1", "01/06/2022", "+022-06-01", "２０２２-06-01"]
    {
        one(&day(text), Reason::ValueTypeWrong, "values[0]");
    }
    // It is tomorrow in Vietnam when it is 17 o'clock in Greenwich.
    let context = |instant| Context::at(at(instant));
    let judged = |instant| judge(catalogue(), &day("2022-12-02"), &context(instant));
    assert!(matches!(judged(datetime!(2022-12-01 16:59:59 UTC)), Verdict::Rejected(_)));
    assert!(matches!(judged(datetime!(2022-12-01 17:00 UTC)), Verdict::Accepted { .. }));
}

#[test]
fn a_period_is_not_reported_before_it_begins() {
    let judged = |instant| judge(catalogue(), &good(), &Context::at(at(instant)));
    let Verdict::Rejected(early) = judged(datetime!(2022-10-14 23:59:59.999999 +7)) else { panic!("it is early") };
    assert_eq!((early.list().len(), early.list()[0].reason), (1, Reason::PeriodNotStarted));
    assert!(early.list()[0].message.vi.contains("15/10/2022"), "{early:?}");
    assert!(matches!(judged(datetime!(2022-10-15 00:00 +7)), Verdict::Accepted { .. }));
}

/// November's deadline in `timed` is the end of 19 November, and it closes at the end of 14 December.
#[test]
fn late_is_accepted_and_closed_is_not() {
    let on_time = |draft: &Draft<'_>, instant, is_reopened| {
        let context = Context { is_reopened, ..Context::at(at(instant)) };
        match judge(catalogue(), draft, &context) {
            Verdict::Accepted { on_time, .. } => Ok(on_time),
            Verdict::Rejected(violations) => {
                Err(violations.list().iter().map(|violation| violation.reason).collect::<Vec<_>>())
            }
        }
    };
    let report = Draft { data_set: "timed", ..good() };
    let withdrawal = Draft { withdrawn: true, values: Vec::new(), ..report.clone() };
    let broken =
        Draft { values: vec![value("part", Given::Integer(2)), value("whole", Given::Integer(1))], ..report.clone() };
    let deadline = datetime!(2022-11-20 00:00 +7);
    assert_eq!(on_time(&report, datetime!(2022-11-19 23:59:59.999999 +7), false), Ok(true));
    assert_eq!(on_time(&report, deadline, false), Ok(false));
    assert_eq!(on_time(&withdrawal, datetime!(2022-11-19 00:00 +7), false), Ok(false), "a withdrawal is never on time");
    let closing = datetime!(2022-12-15 00:00 +7);
    assert_eq!(on_time(&report, datetime!(2022-12-14 23:59:59.999999 +7), false), Ok(false));
    assert_eq!(on_time(&report, closing, false), Err(vec![Reason::PeriodClosed]));
    assert_eq!(on_time(&withdrawal, closing, false), Err(vec![Reason::PeriodClosed]));
    assert_eq!(on_time(&broken, closing, false), Err(vec![Reason::PeriodClosed, Reason::RuleBroken]), "all at once");
    assert_eq!(on_time(&report, closing, true), Ok(false), "opened again");
    assert_eq!(on_time(&withdrawal, closing, true), Ok(false));
    assert_eq!(on_time(&good(), datetime!(2099-01-01 00:00 +7), false), Ok(true), "no deadline, never closed");
    // An island district has the communes' deadline unless districts have one of their own.
    let island = |data_set| Draft { data_set, org_unit: "901", ..good() };
    assert_eq!(on_time(&island("timed"), deadline, false), Ok(false));
    assert_eq!(on_time(&island("later_islands"), deadline, false), Ok(true));
    assert_eq!(on_time(&island("later_islands"), datetime!(2022-11-22 00:00 +7), false), Ok(false));
}

fn warnings(draft: &Draft<'_>, context: &Context<'_>) -> Vec<(Reason, String, String)> {
    match judge(catalogue(), draft, context) {
        Verdict::Accepted { warnings, .. } => {
            let told = warnings.list().iter();
            assert!(told.clone().all(|warning| warning.severity == Severity::Warning));
            told.map(|told| (told.reason, told.field.clone(), told.message.vi.clone())).collect()
        }
        Verdict::Rejected(violations) => panic!("{violations:?}"),
    }
}

/// What is stored depends on the order of arrival: it may warn, and never decides whether a report counts.
#[test]
fn a_rule_that_looks_back_warns_whatever_its_severity() {
    let draft = Draft { data_set: "growing", ..good() };
    let previous = |whole| Values::from(vec![None, whole]);
    let told = |values: &Values| warnings(&draft, &Context { previous: Some(values), ..Context::at(DECEMBER) });
    assert_eq!(told(&previous(Some(6))), [(Reason::RuleBroken, "whole_grows".to_owned(), "6 lớn hơn 5".to_owned())]);
    assert_eq!(told(&previous(Some(5))), []);
    assert_eq!(told(&previous(None)), []);
    assert_eq!(told(&Values::from(Vec::new())), [], "a report from before the form had the cell");
    assert_eq!(warnings(&draft, &Context::at(DECEMBER)), []);
}

#[test]
fn a_value_unlike_the_units_own_is_told_with_what_is_usual() {
    let history: Vec<Values> =
        [1_000, 1_020, 1_040, 1_060, 1_080, 1_100].map(|part| Values::from(vec![Some(part), None, None, None])).into();
    let context = Context { history: &history, ..Context::at(DECEMBER) };
    let told = |part| {
        let values = vec![value("part", Given::Integer(part)), value("hours", Given::Integer(500))];
        warnings(&Draft { data_set: "watched", values, ..good() }, &context)
    };
    // 1050 ± 3.5 · 30 ÷ 0.6745
    assert_eq!(told(1_205), []);
    assert_eq!(told(895), []);
    let message = "part: 1.206 khác thường so với các kỳ trước của đơn vị (thường từ 895 đến 1.205); hãy kiểm tra lại.";
    assert_eq!(told(1_206), [(Reason::Outlier, "part".to_owned(), message.to_owned())]);
    assert_eq!(told(894).len(), 1);
    let few = Context { history: &history[1..], ..context };
    let draft = Draft { data_set: "watched", values: vec![value("part", Given::Integer(9_999))], ..good() };
    assert_eq!(warnings(&draft, &few), [], "five periods say nothing of what is usual");
    assert_eq!(warnings(&Draft { withdrawn: true, values: Vec::new(), ..draft }, &context), []);
}

#[test]
fn history_is_asked_for_only_where_something_looks_back() {
    let interest = |code| history_of_interest(catalogue().find_data_set(code).unwrap());
    assert_eq!(["strict", "growing", "watched"].map(interest), [0, 1, 12]);
}

#[test]
fn ten_faults_are_ten_violations_and_a_thousand_are_cut_and_counted() {
    let names: Vec<String> = (0..1_000).map(|place| format!("c{place}")).collect();
    let faulty = |count: usize| {
        let values = names[..count].iter().map(|name| value(name, Given::Integer(-1))).collect();
        let found = violations(&Draft { data_set: "huge", values, ..good() });
        (found.list().len(), found.omitted())
    };
    assert_eq!(faulty(10), (10, 0));
    assert_eq!(faulty(100), (100, 0));
    assert_eq!(faulty(101), (100, 1));
    assert_eq!(faulty(1_000), (100, 900));
    // More values than the form has cells are refused without a look at them.
    let values = vec![value("hole", Given::Nothing); 1_000_000];
    one(&Draft { data_set: "huge", values, ..good() }, Reason::ValuesTooMany, "values");
}

/// Every reason, a report that is refused or warned for it and nothing else, and where it arises if not here.
mod reasons_are_documented {
    use super::*;

    enum Arises {
        /// From this report, taken at that instant.
        Judged(Draft<'static>, Timestamp),
        /// In a test of that name, whose text is given.
        Tested(&'static str, &'static str),
    }

    fn of_values(values: Vec<DraftValue<'static>>) -> Arises {
        Arises::Judged(Draft { values, ..good() }, DECEMBER)
    }

    fn of_value(element: &'static str, given: Given<'static>) -> Arises {
        of_values(vec![value(element, given)])
    }

    fn arises(reason: Reason) -> Arises {
        let draft = |draft| Arises::Judged(draft, DECEMBER);
        match reason {
            Reason::ReportMissing => Arises::Tested(include_str!("judging.rs"), "a_request_without_a_report"),
            Reason::SubmissionIdReused | Reason::RevisionConflict => {
                Arises::Tested(include_str!("../../../tests/end_to_end/fates.rs"), "what_was_said_first_stands")
            }
            Reason::NotGranted => Arises::Tested(
                include_str!("../../../tests/end_to_end/access.rs"),
                "only_what_a_collector_sealed_is_judged_and_it_is_asked_again_who_may",
            ),
            Reason::SubmissionIdMalformed => draft(Draft { submission_id: "1", ..good() }),
            Reason::DataSetUnknown => draft(Draft { data_set: "lax", ..good() }),
            Reason::PeriodMalformed => draft(Draft { period: "2022-11", ..good() }),
            Reason::PeriodTypeWrong => draft(Draft { period: "2022Q4", ..good() }),
            Reason::PeriodNotStarted => Arises::Judged(good(), at(datetime!(2022-10-14 12:00 +7))),
            Reason::PeriodClosed => {
                Arises::Judged(Draft { data_set: "timed", ..good() }, at(datetime!(2022-12-15 00:00 +7)))
            }
            Reason::OrgUnitUnknown => draft(Draft { org_unit: "90009", ..good() }),
            Reason::LevelNotReporting => {
                draft(Draft { org_unit: "900", values: Vec::new(), withdrawn: true, ..good() })
            }
            Reason::RevisionOutOfRange => draft(Draft { revision: -1, ..good() }),
            Reason::ValuesMissing => of_values(Vec::new()),
            Reason::ValuesTooMany => of_values(vec![value("whole", Given::Integer(1)); 10]),
            Reason::CatalogueUnknown => {
                draft(Draft { dense: Some(Dense { catalogue_version: "yesterday's", ..Dense::default() }), ..good() })
            }
            Reason::DenseMalformed => draft(packed(&[0b11, 0], &[5])),
            Reason::WithdrawalWithValues => draft(Draft { withdrawn: true, ..good() }),
            Reason::CellUnknown => of_value("hole", Given::Integer(1)),
            Reason::CellRepeated => of_values(vec![value("whole", Given::Integer(1)); 2]),
            Reason::CellNotForLevel => {
                of_values(vec![DraftValue { element: "by_service", option: "s02", given: Given::Integer(1) }])
            }
            Reason::ValueTypeWrong => of_value("whole", Given::Text("gần 5")),
            Reason::ValueOutOfRange => of_value("whole", Given::Integer(-1)),
            Reason::TextTooLong => of_value("note", Given::Text(include_str!("judging.rs"))),
            Reason::TextMalformed => of_value("note", Given::Text("a\tb")),
            Reason::TextPersonalData => of_value("note", Given::Text("liên hệ 0912.345.678")),
            Reason::RuleBroken => of_values(vec![value("part", Given::Integer(2)), value("whole", Given::Integer(1))]),
            Reason::Outlier => {
                draft(Draft { data_set: "watched", values: vec![value("part", Given::Integer(1_000_000))], ..good() })
            }
        }
    }

    #[test]
    fn each_arises_alone() {
        let history = vec![Values::from(vec![Some(5)]); 6];
        for reason in Reason::ALL {
            match arises(*reason) {
                Arises::Tested(text, name) => assert!(text.contains(&format!("fn {name}()")), "{reason}: {name}"),
                Arises::Judged(draft, received_at) => {
                    let context = Context { history: &history, ..Context::at(received_at) };
                    let found = match judge(catalogue(), &draft, &context) {
                        Verdict::Rejected(violations) => violations,
                        Verdict::Accepted { warnings, .. } => warnings,
                    };
                    let [violation] = found.list() else { panic!("{reason}: {found:?}") };
                    assert_eq!(violation.reason, *reason);
                    assert!(!violation.message.vi.is_empty() && !violation.message.en.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_request_without_a_report() {
        let found = no_report();
        assert_eq!((found.list().len(), found.list()[0].reason), (1, Reason::ReportMissing));
    }

    /// The rows of the first or second table.
    fn rows(table: usize) -> Vec<Vec<&'static str>> {
        let text = include_str!("../REASONS.md").split("\n## ").nth(table).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// Goal: what the collector says beside violations is listed in its words, each with the test in which it is said.
    #[test]
    fn passing_refusals_have_their_rows() {
        let said = include_str!("../../collector/src/refused.rs");
        let tests = [
            ("limits", include_str!("../../../tests/end_to_end/limits.rs")),
            ("shutdown", include_str!("../../../tests/end_to_end/shutdown.rs")),
        ];
        let rows = rows(1);
        for row in &rows {
            let [code, en, vi, test] = row[..] else { panic!("{row:?}") };
            let code = code.replace('`', "\"");
            for words in [&code, &format!("\"{en}\""), &format!("\"{vi}\"")] {
                assert!(said.contains(words), "the collector does not say {words}");
            }
            let (file, name) = test.trim_matches('`').split_once("::").unwrap();
            let (_, text) = tests.iter().find(|(known, _)| *known == file).unwrap();
            let body = text.split(&format!("fn {name}()")).nth(1).unwrap_or_else(|| panic!("no {test}"));
            assert!(body.split("\n}").next().unwrap().contains(&code), "{test} does not expect {code}");
        }
        assert_eq!(rows.len(), said.matches("Some((\n").count(), "each refusal of the collector's has its row");
    }

    /// Each has its row, in order, with what to do in both languages; there is no other row.
    #[test]
    fn each_has_its_row() {
        let rows = rows(0);
        let codes: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(codes, Reason::ALL.iter().map(|reason| reason.code()).collect::<Vec<_>>());
        for row in &rows {
            assert!(row.len() == 4 && row.iter().all(|column| !column.is_empty()), "{row:?}");
        }
    }
}

mod anything {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        let known = vec![
            "",
            "90002",
            "901",
            "VN",
            "strict",
            "mild",
            "timed",
            "watched",
            "growing",
            "202211",
            "2022Q4",
            "part",
            "whole",
            "hours",
            "note",
            "since",
            "by_service",
            "s01",
            "-1.5",
            "2022-06-01",
            "2022-02-30",
        ];
        prop_oneof![
            6 => prop::sample::select(known).prop_map(str::to_owned),
            1 => any::<String>(),
            1 => hard(),
        ]
    }

    /// What programs stumble over: zero bytes, emoji, heaps of accents, digits of all kinds, and much of it.
    fn hard() -> impl Strategy<Value = String> {
        let pieces = vec![
            "\0",
            "😀",
            "👨‍👩‍👧",
            "\u{301}",
            "\u{323}",
            "ệ",
            "e\u{302}\u{323}",
            "\u{202e}",
            "\u{200b}",
            "079",
            "123.",
            "+84",
            "０",
            "⑫",
            "½",
            "ﷺ",
            "\u{1d160}",
            "@",
            "a@b.vn",
            " ",
            "-",
            "\r\n",
            "\t",
            "\u{feff}",
            "\u{10ffff}",
        ];
        let piece = prop::sample::select(pieces);
        (prop::collection::vec(piece, 0..20), prop_oneof![9 => 1..4_usize, 1 => 1_000..3_000_usize])
            .prop_map(|(pieces, times)| pieces.concat().repeat(times))
    }

    /// A packed value of the cell at a place of the usual form, mostly one that fits it; none where it is absent.
    fn number(place: usize) -> impl Strategy<Value = Option<i64>> {
        let fits = match place {
            0 => (0..600_i64).boxed(),
            4 => (0..2_i64).boxed(),
            8 => prop::sample::select(vec![19_000_101, 20_220_601, 20_221_201]).boxed(),
            _ => (0..CELL_LIMIT).boxed(),
        };
        let wild = prop_oneof![
            -2..3_i64,
            CELL_LIMIT - 1..CELL_LIMIT + 2,
            -CELL_LIMIT - 1..-CELL_LIMIT + 2,
            18_991_230..19_000_103_i64,
            20_220_228..20_221_332_i64,
            i64::MIN + 1..i64::MAX,
        ];
        // Words are never packed, and the cell before them is the districts'.
        let fit = if place == 6 || place == 7 { 0 } else { 20 };
        prop_oneof![10 => Just(None), fit => fits.prop_map(Some), 1 => wild.prop_map(Some)]
    }

    /// The same by name: text of a number or a day, where that is how it is given.
    fn as_text(cell: &Cell, number: i64) -> String {
        match cell.element.value_type {
            ValueType::Date => format!("{:04}-{:02}-{:02}", number / 10_000, number / 100 % 100, number % 100),
            value_type => PLAIN.write(number, u32::from(value_type.decimals())),
        }
    }

    fn by_name<'a>(cell: &'a Cell, number: i64, text: &'a str) -> DraftValue<'a> {
        let given = match cell.element.value_type {
            ValueType::Decimal(_) => Given::Decimal(text),
            ValueType::Flag if number == 0 || number == 1 => Given::Flag(number == 1),
            ValueType::Date if (0..100_000_000).contains(&number) => Given::Date(text),
            _ => Given::Integer(number),
        };
        let option = cell.option.as_ref().map_or("", |option| option.code.as_str());
        DraftValue { element: cell.element.code.as_str(), option, given }
    }

    proptest! {
        /// The same report, given by name and packed, gets the same verdict: the same numbers and the same digest, or the
        /// same violations of the same values.
        #[test]
        fn is_judged_alike_by_name_and_packed(
            numbers in (0..9).map(number).collect::<Vec<_>>(),
            data_set in prop::sample::select(vec!["strict", "mild", "timed", "watched", "growing"]),
            org_unit in prop::sample::select(vec!["90002", "90002", "901", "900", "90009"]),
            note in prop::sample::select(vec!["", "", "Mạng chậm", "a\tb"]),
            withdrawn in prop::bool::weighted(0.05),
            by_layout in any::<bool>(),
        ) {
            let form = catalogue().find_data_set(data_set).unwrap();
            let given: Vec<(usize, i64)> =
                numbers.iter().enumerate().filter_map(|(at, number)| Some((at, (*number)?))).collect();
            let texts: Vec<String> = given.iter().map(|(at, number)| as_text(&form.cells()[*at], *number)).collect();
            let cells = given.iter().zip(&texts).map(|((at, number), text)| by_name(&form.cells()[*at], *number, text));
            // Words come last here, and a cell that is wrong otherwise is not given twice.
            let note = Some(note).filter(|note| !note.is_empty() && numbers[7].is_none());
            let note: Vec<_> = note.map(|note| value("note", Given::Text(note))).into_iter().collect();
            let withdrawn = withdrawn && !given.is_empty() && note.is_empty();
            let named = Draft {
                data_set,
                org_unit,
                withdrawn,
                values: cells.chain(note.iter().copied()).collect(),
                ..good()
            };

            let mut present = [0_u8; 2];
            for (at, _) in &given {
                present[at / 8] |= 1 << (at % 8);
            }
            let values: Vec<i64> = given.iter().map(|(_, number)| *number).collect();
            let layout = form.layout().to_string();
            let catalogue_version = if by_layout { &layout } else { "test" };
            let dense = Some(Dense { catalogue_version, present: &present, values: &values });
            let dense = Draft { values: note, dense, ..named.clone() };

            // By the place of the words among what is given by name, which differs.
            let told = |violations: &Violations, note: &str| -> Vec<_> {
                let told = violations.list().iter().map(|told| {
                    let field = match told.field.as_str() {
                        field if field == note => "note",
                        "dense" => "values",
                        field => field.trim_start_matches("dense."),
                    };
                    // How a value is written is told for the form it is in.
                    let message = Some(&told.message).filter(|_| told.reason != Reason::ValueTypeWrong);
                    (told.reason, field.to_owned(), message.cloned())
                });
                told.collect()
            };
            match [&named, &dense].map(|draft| judge(catalogue(), draft, &Context::at(DECEMBER))) {
                [Verdict::Rejected(named), Verdict::Rejected(dense)] => {
                    let note = format!("values[{}]", given.len());
                    prop_assert_eq!(told(&named, &note), told(&dense, "values[0]"));
                }
                [named, dense] => prop_assert_eq!(named, dense),
            }
        }

        /// Packed values are taken only where it is certain which cell each is for.
        #[test]
        fn is_refused_where_bits_and_values_differ(
            present in prop::collection::vec(any::<u8>(), 0..4),
            last in 0..4_u8,
            values in prop::collection::vec(0..2_i64, 0..10),
        ) {
            let present: Vec<u8> = present.into_iter().chain([last]).collect();
            let marked: u32 = present.iter().map(|byte| byte.count_ones()).sum();
            let fits = present.len() == 2 && last <= 1 && marked as usize == values.len();
            prop_assert_eq!(
                matches!(read(catalogue(), &packed(&present, &values), DECEMBER), Err(told) if told.contains(Reason::DenseMalformed)),
                !fits
            );
        }

        /// Nothing a sender can say makes judging panic; whatever is rejected is rejected for a reason; and what is told of
        /// it is bounded, however much was said.
        #[test]
        fn is_judged(
            texts in [text(), text(), text(), text()],
            revision in any::<i64>(),
            withdrawn in any::<bool>(),
            cells in prop::collection::vec((text(), text(), 0..7_u8, any::<i64>(), text()), 0..12),
            received_at in prop_oneof![Just(DECEMBER.unix_micros()), any::<i64>()],
            is_reopened in any::<bool>(),
            history in prop::collection::vec(prop::collection::vec(any::<Option<i64>>(), 0..12), 0..14),
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
                    4 => Given::Date(text),
                    _ => Given::Integer(*number),
                },
            });
            let values = values.collect();
            let draft = Draft { submission_id, org_unit, data_set, period, revision, withdrawn, values, dense: None };
            let history: Vec<Values> = history.into_iter().map(Values::from).collect();
            let received_at = Timestamp::from_unix_micros(received_at);
            let context = Context { previous: history.first(), history: &history, is_reopened, received_at };
            let told = match judge(catalogue(), &draft, &context) {
                Verdict::Accepted { warnings, report, .. } => {
                    prop_assert!(!warnings.has_error());
                    for note in report.content.values().map_or(&[][..], Values::notes) {
                        prop_assert!(note.text.chars().count() <= domain::words::MOST_CHARACTERS);
                        prop_assert!(!note.text.contains('\0'));
                        prop_assert_eq!(domain::words::read(&note.text), Ok(note.text.clone()));
                    }
                    warnings
                }
                Verdict::Rejected(violations) => {
                    prop_assert!(violations.has_error());
                    violations
                }
            };
            prop_assert!(told.list().len() <= Violations::LIMIT);
            for violation in told.list() {
                prop_assert!(violation.field.len() <= 40 && violation.message.vi.len() <= 1_000, "{:?}", violation);
            }
        }

        /// Words that are kept are kept as they are when they are read again.
        #[test]
        fn is_kept_in_one_form(text in prop_oneof![any::<String>(), hard()]) {
            if let Ok(kept) = domain::words::read(&text) {
                prop_assert_eq!(domain::words::read(&kept), Ok(kept.clone()));
            }
        }
    }
}
