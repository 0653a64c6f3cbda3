//! Another programme: school meals. A catalogue of its own, and not a line of code.

use std::path::Path;

use domain::{Calendar, Period, PeriodType};
use proto::pb::{
    query::v1::{AsOf, Fate, GetTotalsRequest, LevelTotals, ListReportsRequest, ReportFilter, as_of},
    report::v1::{Report, Value, value},
};
use runtime::{Clock as _, SystemClock};
use tests::{World, flag, int, small_topology};
use time::{Duration, UtcOffset};

fn value(data_element: &str, option: &str, value: value::Value) -> Value {
    Value { data_element: data_element.to_owned(), option: option.to_owned(), value: Some(value) }
}

fn decimal(data_element: &str, text: &str) -> Value {
    value(data_element, "", value::Value::Decimal(text.to_owned()))
}

fn of_kind(data_element: &str, kind: &str, number: i64) -> Value {
    value(data_element, kind, value::Value::Integer(number))
}

fn meals(org_unit: &str, period: Period, values: Vec<Value>) -> Report {
    Report { data_set: "weekly_meals".to_owned(), period: period.to_string(), ..tests::report(org_unit, 1, values) }
}

fn cell(totals: &LevelTotals, element: &str, option: &str) -> (Option<i64>, i64) {
    let found = totals.cells.iter().find(|cell| cell.data_element == element && cell.option == option).unwrap();
    (found.sum, found.contributing)
}

/// Goal: with another catalogue the same programs count another programme: decimals, means, days, words, groups that change
/// with the day, indicators, targets, deadlines and closing, a unit that stands in for the level below.
#[tokio::test(flavor = "multi_thread")]
async fn school_meals_are_counted_without_a_line_of_code() {
    let mut world = World::bare(local::NatsOptions { max_file_store: 4 << 30, ..local::NatsOptions::default() }).await;
    world.catalogue_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/catalogue/tests/fixtures/school_meals");
    world.provision(&small_topology()).await;
    let services = world.services().await;

    // The week that is under way is in time, one three weeks back is late, one ten weeks back is closed.
    let today = SystemClock.now().to_offset(UtcOffset::from_hms(7, 0, 0).unwrap()).date();
    let week = |back| Period::containing(PeriodType::Week, Calendar::Gregorian, today - Duration::weeks(back)).unwrap();
    let words = value("remarks", "", value::Value::Text("  Thiếu nước  ".to_owned()));
    let day = value("kitchen_inspected_on", "", value::Value::Date(today.to_string()));
    let first = meals(
        "A1",
        week(0),
        vec![
            int("pupils_present", 100),
            of_kind("meals_served", "lunch", 90),
            of_kind("meals_served", "breakfast", 50),
            of_kind("meals_planned", "lunch", 100),
            decimal("food_bought", "12.5"),
            decimal("food_wasted", "1.25"),
            flag("kitchen_inspected", true),
            day,
            decimal("drinking_water_ph", "7.2"),
        ],
    );
    let second = meals(
        "B1",
        week(0),
        vec![
            int("pupils_present", 40),
            of_kind("meals_served", "lunch", 40),
            decimal("food_bought", "7.5"),
            decimal("food_wasted", "0.75"),
            flag("kitchen_inspected", false),
            decimal("drinking_water_ph", "7.5"),
            words,
        ],
    );
    let (late, island) =
        (meals("A1", week(3), vec![int("pupils_present", 80)]), meals("DAO", week(0), vec![int("pupils_present", 5)]));
    for report in [&first, &second, &late, &island] {
        services.submit(report).await.unwrap();
    }
    world.settled(4).await;

    let totals = services.totals("HUE", "weekly_meals", &week(0).to_string()).await;
    let schools = tests::level(&totals, "school");
    assert_eq!((schools.reported, schools.expected, schools.on_time), (2, 2, 2));
    assert_eq!(cell(schools, "pupils_present", ""), (Some(140), 2));
    assert_eq!(cell(schools, "food_bought", ""), (Some(200), 2), "20.0 kg");
    assert_eq!(cell(schools, "food_wasted", ""), (Some(200), 2), "2.00 kg");
    assert_eq!(cell(schools, "kitchen_inspected", ""), (Some(1), 2));
    assert_eq!(cell(schools, "drinking_water_ph", ""), (Some(147), 2), "a mean of 7.35");
    assert_eq!(cell(schools, "kitchen_inspected_on", "").0, None, "days are not added");
    assert_eq!(cell(schools, "remarks", "").1, 1);
    let island = tests::level(&totals, "cluster");
    assert_eq!((island.reported, island.expected, cell(island, "pupils_present", "").0), (1, 1, Some(5)));
    let all = totals.overall.as_ref().unwrap();
    assert_eq!(cell(all, "pupils_present", ""), (Some(145), 3));
    let indicator = |code: &str| all.indicators.iter().find(|indicator| indicator.code == code).unwrap();
    assert_eq!(indicator("waste_rate").value.as_deref(), Some("10.00"), "2.00 of 20.0 kg");
    assert_eq!(indicator("served_rate").value.as_deref(), Some("130.00"), "130 of the 100 that were planned");
    let hot = all.groups.iter().find(|group| group.group == "hot").unwrap();
    assert_eq!((hot.sum, hot.options), (Some(180), 2), "breakfast is hot since October 2025");
    let inspected = all.targets.iter().find(|target| target.data_element == "kitchen_inspected").unwrap();
    assert_eq!((inspected.goal, inspected.value, inspected.reached), (Some(3), Some(1), false), "95.5 % of 3 units");

    let before = services.totals("HUE", "weekly_meals", &week(3).to_string()).await;
    assert_eq!((tests::level(&before, "school").reported, tests::level(&before, "school").on_time), (1, 0));
    let latest = services.totals("BAC", "weekly_meals", "latest").await;
    assert_eq!(cell(tests::level(&latest, "school"), "pupils_present", ""), (Some(220), 3), "100 + 40 + 80");
    let quarter = Period::containing(PeriodType::Quarter, Calendar::Gregorian, today).unwrap();
    let question = GetTotalsRequest {
        org_unit: "BAC".to_owned(),
        data_set: "weekly_meals".to_owned(),
        period: quarter.to_string(),
        ..GetTotalsRequest::default()
    };
    let refused = services.reader().get_totals(question).await.unwrap_err();
    assert!(refused.message().contains("latest"), "{refused:?}");
    let (form, _) = services.form("weekly_meals").await;
    assert_eq!(form.longer_periods, ["month", "latest"]);

    let question = ListReportsRequest {
        org_unit: "HUE".to_owned(),
        data_set: "weekly_meals".to_owned(),
        period: week(0).to_string(),
        filter: ReportFilter::WithNotes.into(),
        ..ListReportsRequest::default()
    };
    let listed = services.reader().list_reports(question).await.unwrap().into_inner().reports;
    let [noted] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(noted.org_unit.as_ref().unwrap().code, "B1");
    let said = noted.values.iter().find(|value| value.data_element == "remarks").unwrap();
    assert_eq!(said.value, Some(value::Value::Text("Thiếu nước".to_owned())));

    // Who was on time is judged again, by what had come in: nothing, the reports, and a correction beside them.
    let correction = Report { revision: Some(2), ..meals("A1", week(0), vec![int("pupils_present", 101)]) };
    services.submit(&correction).await.unwrap();
    world.settled(5).await;
    let now = services.totals("HUE", "weekly_meals", &week(0).to_string()).await;
    for (back, position, told) in [
        (0, 1, [0, 0]),
        (0, totals.log_position, [2, 2]),
        (0, now.log_position, [2, 2]),
        (3, 1, [0, 0]),
        (3, now.log_position, [1, 0]),
    ] {
        let question = GetTotalsRequest {
            org_unit: "HUE".to_owned(),
            data_set: "weekly_meals".to_owned(),
            period: week(back).to_string(),
            as_of: Some(AsOf { state: Some(as_of::State::LogPosition(position)) }),
            ..GetTotalsRequest::default()
        };
        let then = services.reader().get_totals(question).await.unwrap().into_inner().totals.unwrap();
        let schools = tests::level(&then, "school");
        assert_eq!([schools.reported, schools.on_time], told, "{back} weeks back at {position}");
    }
    let deadline = |level: &str| tests::level(&now, level).deadline.unwrap();
    assert_eq!(deadline("cluster"), deadline("school"), "the island stands in for a school");

    let closed = meals("B1", week(10), vec![int("pupils_present", 1)]);
    services.submit(&closed).await.unwrap();
    let told = services.fate(&closed.submission_id).await;
    assert_eq!((told.fate(), told.violations[0].reason.as_str()), (Fate::Rejected, "PERIOD_CLOSED"));
    world.settled(6).await;
    world.verified().await;
    services.assert_quiet();
}
