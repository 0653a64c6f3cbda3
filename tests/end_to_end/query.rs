//! What the query service answers beside totals as they stand: as they stood, what they are made of, in order, over time, and
//! as they move.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use proto::pb::{
    query::v1::{
        AsOf, BatchGetTotalsRequest, CellName, Fate, GetCatalogueRequest, GetReportRequest, GetSeriesRequest,
        GetTotalsRequest, GetTotalsResponse, IndicatorName, LevelTotals, ListBreakdownRequest,
        ListContributionsRequest, ListContributionsResponse, ListOrgUnitsRequest, SortBy, Target, Totals,
        WatchManyRequest, WatchTotalsRequest, as_of, query_service_client::QueryServiceClient, sort_by,
    },
    report::v1::Report,
};
use sqlx::{Connection as _, PgConnection};
use tests::{Load, OrgUnits, Services, World, eventually, int, report, sum, withdrawal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const CITIZENS: &str = "id_eligible_citizens";
const COLLECTED: &str = "id_card_records_collected";
const NEW: &str = "id_card_records_collected_new";

fn citizens(unit: &str, revision: i64, number: i64) -> Report {
    report(unit, revision, vec![int(CITIZENS, number)])
}

fn of_month(month: &str, report: Report) -> Report {
    Report { period: month.to_owned(), ..report }
}

fn cell(data_element: &str) -> CellName {
    CellName { data_element: data_element.to_owned(), option: String::new() }
}

fn asked(org_unit: &str, period: &str) -> GetTotalsRequest {
    let (org_unit, data_set, period) = (org_unit.to_owned(), "identity".to_owned(), period.to_owned());
    GetTotalsRequest { org_unit, data_set, period, ..GetTotalsRequest::default() }
}

fn at(position: u64) -> Option<AsOf> {
    Some(AsOf { state: Some(as_of::State::LogPosition(position)) })
}

/// What is the same whenever it is told: all but how often it changed, when, and how far targets are.
fn numbers(mut totals: Totals) -> Totals {
    (totals.version, totals.changed_at) = (0, None);
    let forget = |level: &mut LevelTotals| level.targets.clear();
    totals.levels.iter_mut().chain(&mut totals.overall).for_each(forget);
    totals
}

async fn get(services: &Services, request: GetTotalsRequest) -> Result<Totals, Status> {
    let GetTotalsResponse { totals } = services.reader().get_totals(request).await?.into_inner();
    Ok(totals.unwrap())
}

/// The stable reason and the field that is at fault, if one is.
fn refusal(status: &Status) -> (Code, String, String) {
    let details = status.get_error_details();
    let reason = details.error_info().unwrap_or_else(|| panic!("{status:?}")).reason.clone();
    let field = details.bad_request().and_then(|bad| bad.field_violations.first());
    assert!(details.localized_message().is_some_and(|message| !message.message.is_empty()), "{status:?}");
    (status.code(), reason, field.map(|field| field.field.clone()).unwrap_or_default())
}

/// Goal: whatever was corrected, withdrawn or came too late, each answer that was once given is given again when asked for as of
/// its position; and what it was made of adds up to it.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_can_be_had_again_and_explained() {
    let world = World::start().await;
    let services = world.services().await;
    let values = |number: i64| vec![int(CITIZENS, 10 * number), int(COLLECTED, 7 * number), int(NEW, number)];
    // One unit corrects and takes back, in two months; a lower revision comes after a higher; another district; another province.
    let steps = [
        report("31498", 2, values(1_000)),
        of_month("202212", report("31498", 1, values(1_100))),
        report("31501", 1, values(20)),
        report("31498", 1, values(5)),
        report("31498", 3, values(1_001)),
        of_month("202212", withdrawal("31498", 2)),
        report("00001", 1, values(400_000)),
        withdrawal("31501", 2),
        of_month("202210", report("31498", 1, values(900))),
        report("31501", 3, values(21)),
        withdrawal("31498", 4),
    ];
    let questions: Vec<_> = ["VN", "94", "941", "31498"]
        .iter()
        .flat_map(|unit| ["202211", "202212", "2022Q4", "2022", "latest"].map(|period| asked(unit, period)))
        .collect();
    let mut remembered = Vec::new();
    for (number, report) in (1..).zip(&steps) {
        services.submit(report).await.unwrap();
        world.settled(number).await;
        for question in &questions {
            remembered.push((question.clone(), get(&services, question.clone()).await.unwrap()));
        }
    }
    world.verified().await;
    let warned = |month: &str| {
        let of_nation =
            remembered.iter().filter(|(question, _)| (&*question.org_unit, &*question.period) == ("VN", month));
        of_nation.map(|(_, totals)| totals.overall.as_ref().unwrap().warned).max().unwrap()
    };
    assert!(["202211", "202212"].map(warned).iter().any(|warned| *warned > 0), "some are odd");
    for (question, totals) in remembered {
        let then = GetTotalsRequest { as_of: at(totals.log_position), ..question.clone() };
        assert_eq!(numbers(get(&services, then).await.unwrap()), numbers(totals.clone()), "{question:?}");
        for name in [CITIZENS, NEW] {
            let told = totals.overall.as_ref().unwrap().cells.iter().find(|cell| cell.data_element == name).unwrap();
            let pages = explain(&services, &question, name, at(totals.log_position), 2).await;
            let given: Vec<i64> = pages.iter().flat_map(|page| &page.contributions).map(|of| of.value).collect();
            let added = (!given.is_empty()).then(|| given.iter().sum::<i64>());
            assert_eq!(
                (added, i64::try_from(given.len()).unwrap()),
                (told.sum, told.contributing),
                "{question:?} {name}"
            );
            assert!(pages.iter().all(|page| (page.sum, page.contributing) == (told.sum, told.contributing)));
        }
    }
    // Before the first report nothing is reported, at a position and at an instant.
    let instant =
        Some(AsOf { state: Some(as_of::State::Instant(proto::timestamp(domain::Timestamp::from_unix_micros(0)))) });
    for (as_of, log_position) in [(at(1), 1), (instant, 0)] {
        let nothing = get(&services, GetTotalsRequest { as_of, ..asked("VN", "202211") }).await.unwrap();
        let communes = tests::level(&nothing, "commune");
        assert_eq!((communes.reported, communes.expected), (0, 10_599));
        assert_eq!((nothing.log_position, sum(&nothing, "commune", CITIZENS)), (log_position, None));
    }
    services.assert_quiet();
}

/// Goal: `latest` of a state of the past is what was the latest then, by position and by instant, alone and in a batch; and an
/// explanation of it that was begun goes on by the name it was told.
#[tokio::test(flavor = "multi_thread")]
async fn the_latest_of_the_past_is_what_was_the_latest_then() {
    let world = World::start().await;
    let services = world.services().await;
    // The tree changed its shape in between.
    let (before, after) = (of_month("202506", citizens("31498", 1, 10)), of_month("202507", citizens("31507", 1, 7)));
    services.submit(&before).await.unwrap();
    world.settled(1).await;
    let then = get(&services, asked("VN", "latest")).await.unwrap();
    assert_eq!((then.period.as_str(), sum(&then, "commune", CITIZENS)), ("latest20250301", Some(10)));
    services.submit(&of_month("202506", citizens("31501", 1, 300))).await.unwrap();
    world.settled(2).await;
    let explained = ListContributionsRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "latest".to_owned(),
        cell: Some(cell(CITIZENS)),
        page_size: 1,
        ..ListContributionsRequest::default()
    };
    let begun = services.reader().list_contributions(explained.clone()).await.unwrap().into_inner();
    services.submit(&after).await.unwrap();
    world.settled(3).await;
    let now = get(&services, asked("VN", "latest")).await.unwrap();
    assert_eq!((now.period.as_str(), sum(&now, "commune", CITIZENS)), ("latest20250701", Some(7)));

    let received = services.submission(&before.submission_id).await.unwrap().received_at.unwrap();
    let states = [at(then.log_position), Some(AsOf { state: Some(as_of::State::Instant(received)) })];
    let questions = states.map(|as_of| GetTotalsRequest { as_of, ..asked("VN", "latest") });
    for question in &questions {
        assert_eq!(numbers(get(&services, question.clone()).await.unwrap()), numbers(then.clone()));
        let pages = explain(&services, question, CITIZENS, question.as_of, 10).await;
        assert_eq!((pages[0].period.as_str(), pages[0].sum, pages[0].page_sum), ("latest20250301", Some(10), 10));
    }
    let questions = [questions.to_vec(), vec![asked("VN", "latest"); 2]].concat();
    let batch = services.reader().batch_get_totals(BatchGetTotalsRequest { questions }).await.unwrap().into_inner();
    let told: Vec<_> = batch.totals.iter().map(|totals| totals.period.as_str()).collect();
    assert_eq!(told, ["latest20250301", "latest20250301", "latest20250701", "latest20250701"]);

    let page_token = begun.next_page_token;
    let rest = ListContributionsRequest { page_token, period: begun.period, ..explained.clone() };
    let rest = services.reader().list_contributions(rest).await.unwrap().into_inner();
    assert_eq!((rest.sum, begun.page_sum + rest.page_sum), (Some(310), 310));
    services.assert_quiet();
}

/// Goal: an instant means what had come in by then.
#[tokio::test(flavor = "multi_thread")]
async fn an_instant_is_what_had_come_in_by_then() {
    let world = World::start().await;
    let services = world.services().await;
    let mut received = Vec::new();
    for (revision, number) in [(1, 10), (2, 200), (3, 3_000)] {
        let report = citizens("31498", revision, number);
        services.submit(&report).await.unwrap();
        received.push(services.fate(&report.submission_id).await.received_at.unwrap());
    }
    for (instant, number) in received.iter().zip([10, 200, 3_000]) {
        for unit in ["VN", "31498"] {
            let as_of = Some(AsOf { state: Some(as_of::State::Instant(*instant)) });
            let then = get(&services, GetTotalsRequest { as_of, ..asked(unit, "202211") }).await.unwrap();
            assert_eq!((sum(&then, "commune", CITIZENS), then.changed_at), (Some(number), Some(*instant)));
        }
    }
    services.assert_quiet();
}

async fn explain(
    services: &Services,
    question: &GetTotalsRequest,
    name: &str,
    as_of: Option<AsOf>,
    page_size: i32,
) -> Vec<ListContributionsResponse> {
    let GetTotalsRequest { org_unit, data_set, period, .. } = question.clone();
    let mut request = ListContributionsRequest {
        org_unit,
        data_set,
        period,
        cell: Some(cell(name)),
        as_of,
        page_size,
        ..ListContributionsRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = services.reader().list_contributions(request.clone()).await.unwrap().into_inner();
        let of_the_page: i64 = page.contributions.iter().map(|of| of.value).sum();
        assert_eq!(page.page_sum, of_the_page);
        assert!(page.contributions.len() <= usize::try_from(page_size).unwrap());
        request.page_token.clone_from(&page.next_page_token);
        pages.push(page);
        if request.page_token.is_empty() {
            return pages;
        }
    }
}

/// Goal: a total is explained by hand: whose report gives what, of a flow each, of a running count the latest; and the pages go
/// on adding up to what the first one said while corrections come in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_total_is_explained_page_by_page_while_reports_come_in() {
    let world = World::start().await;
    let services = world.services().await;
    let cards = |unit: &str, month: &str, collected, new| {
        of_month(month, report(unit, 1, vec![int(COLLECTED, collected), int(NEW, new)]))
    };
    let first = [
        cards("31498", "202210", 100, 10),
        cards("31498", "202212", 150, 50),
        cards("31501", "202211", 210, 20),
        cards("00001", "202211", 5, 5),
    ];
    for report in &first {
        services.submit(report).await.unwrap();
    }
    world.settled(4).await;
    let (quarter, province) = (asked("VN", "2022Q4"), asked("94", "2022Q4"));
    let lines = |pages: &[ListContributionsResponse]| {
        let all = pages.iter().flat_map(|page| &page.contributions);
        all.map(|of| (of.org_unit.as_ref().unwrap().code.clone(), of.period.clone(), of.value)).collect::<Vec<_>>()
    };
    let line = |unit: &str, month: &str, value| (unit.to_owned(), month.to_owned(), value);
    let running = explain(&services, &province, COLLECTED, None, 10).await;
    assert_eq!(lines(&running), [line("31498", "202212", 150), line("31501", "202211", 210)]);
    assert_eq!((running[0].sum, running[0].contributing), (Some(360), 2));
    let new = explain(&services, &quarter, NEW, None, 1).await;
    let each = [
        line("00001", "202211", 5),
        line("31498", "202210", 10),
        line("31498", "202212", 50),
        line("31501", "202211", 20),
    ];
    assert_eq!(lines(&new), each);
    assert_eq!((new[0].sum, new[0].contributing, new.len()), (Some(85), 4, 4));
    let told = &new[1].contributions[0];
    assert_eq!((told.submission_id.as_str(), told.revision), (first[0].submission_id.as_str(), 1));
    let ledger = services.submission(&first[0].submission_id).await.unwrap();
    assert_eq!((told.log_sequence, told.received_at), (ledger.log_sequence, ledger.received_at));

    // Between the first page and the rest all is corrected, and another commune comes in.
    let request = ListContributionsRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "2022Q4".to_owned(),
        cell: Some(cell(NEW)),
        page_size: 1,
        ..ListContributionsRequest::default()
    };
    // An instant that is yet to come is the present, which goes on.
    let to_come = proto::timestamp(domain::Timestamp::from_unix_micros(i64::MAX));
    let to_come = Some(AsOf { state: Some(as_of::State::Instant(to_come)) });
    let mut begun = Vec::new();
    for as_of in [None, to_come] {
        let request = ListContributionsRequest { as_of, ..request.clone() };
        begun.push((request.clone(), services.reader().list_contributions(request).await.unwrap().into_inner()));
    }
    for report in &first {
        let corrected = Report { revision: Some(2), ..cards(&report.org_unit, &report.period, 1, 1) };
        services.submit(&corrected).await.unwrap();
    }
    services.submit(&cards("31504", "202211", 9, 9)).await.unwrap();
    world.settled(9).await;
    for (request, begun) in begun {
        let rest = ListContributionsRequest { page_size: 1_000, page_token: begun.next_page_token, ..request };
        let rest = services.reader().list_contributions(rest).await.unwrap().into_inner();
        assert_eq!(lines(std::slice::from_ref(&rest)), each[1..]);
        assert_eq!((rest.sum, rest.page_sum, rest.log_position), (Some(85), 80, begun.log_position));
    }
    let now = explain(&services, &quarter, NEW, None, 10).await;
    assert_eq!((now[0].sum, now[0].contributing), (Some(13), 5));
    assert_eq!(sum(&services.totals("VN", "identity", "2022Q4").await, "commune", NEW), Some(13));

    // A unit with nothing below it is explained by its own; a level that does not report has nothing.
    let own = explain(&services, &asked("31498", "2022Q4"), NEW, None, 10).await;
    assert_eq!(lines(&own), [line("31498", "202210", 1), line("31498", "202212", 1)]);
    let nothing = ListContributionsRequest { level: "province".to_owned(), ..request };
    let nothing = services.reader().list_contributions(nothing).await.unwrap().into_inner();
    assert_eq!((nothing.sum, nothing.contributing, nothing.contributions.len()), (None, 0, 0));
    services.assert_quiet();
}

/// Goal: a cell that few give is explained on full pages too, however many reports without it stand between them.
#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_few_give_fills_its_pages() {
    let world = World::start().await;
    let services = world.services().await;
    let org_units = OrgUnits::read();
    let communes: Vec<_> = org_units.below("94", "commune").into_iter().take(30).collect();
    for (place, unit) in communes.iter().enumerate() {
        let number = i64::try_from(place).unwrap() + 1;
        let given = if place % 28 == 0 { CITIZENS } else { NEW };
        services.submit(&report(unit, 1, vec![int(given, number)])).await.unwrap();
    }
    world.settled(30).await;
    let pages = explain(&services, &asked("VN", "202211"), CITIZENS, None, 1).await;
    let lines = pages.iter().map(|page| page.contributions.iter().map(|of| of.value).collect::<Vec<_>>());
    assert_eq!(lines.collect::<Vec<_>>(), [[1], [29]]);
    assert_eq!((pages[0].sum, pages[0].contributing), (Some(30), 2));
    services.assert_quiet();
}

/// Goal: also where a unit may have more reports than a page looks at, days of everything since the tree changed, the pages end and
/// add up.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_reported_by_day_is_explained() {
    let world = World::start().await;
    let services = world.services().await;
    let mut days = Vec::new();
    for (unit, day, number) in
        [("31498", "20221107", 1), ("31498", "20221108", 20), ("31501", "20221107", 300), ("31504", "20221109", 4_000)]
    {
        let values = vec![int(NEW, number)];
        let campaign = Report { data_set: "campaign".to_owned(), period: day.to_owned(), ..report(unit, 1, values) };
        services.submit(&campaign).await.unwrap();
        days.push((unit.to_owned(), day.to_owned(), number));
    }
    world.settled(4).await;
    let everything = GetTotalsRequest { data_set: "campaign".to_owned(), ..asked("VN", "latest") };
    let told = get(&services, everything.clone()).await.unwrap();
    assert_eq!(sum(&told, "commune", NEW), Some(4_321));
    for page_size in [1, 10] {
        let pages = explain(&services, &everything, NEW, None, page_size).await;
        let lines = pages.iter().flat_map(|page| &page.contributions);
        let lines = lines.map(|of| (of.org_unit.as_ref().unwrap().code.clone(), of.period.clone(), of.value));
        assert_eq!(lines.collect::<Vec<_>>(), days);
        assert_eq!((pages[0].sum, pages.iter().map(|page| page.page_sum).sum()), (Some(4_321), 4_321));
    }
    services.assert_quiet();
}

/// Goal: a breakdown has the order and the ranks that a person would give; its pages are one list, and say when the order is
/// another.
#[tokio::test(flavor = "multi_thread")]
async fn units_are_ranked_as_by_hand() {
    let world = World::start().await;
    let services = world.services().await;
    // Of district 941's communes the second and third are equal.
    let units = tests::OrgUnits::read();
    let communes: Vec<_> = units.below("941", "commune").into_iter().map(ToOwned::to_owned).collect();
    let [a, b, c, d, ..] = &communes[..] else { panic!("{communes:?}") };
    for (unit, number) in [(a, 5), (b, 70), (c, 70), (d, 900)] {
        services.submit(&citizens(unit, 1, number)).await.unwrap();
    }
    world.settled(4).await;
    let by = |number| Some(SortBy { number: Some(number) });
    let request = ListBreakdownRequest {
        org_unit: "941".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        sort_by: by(sort_by::Number::Cell(cell(CITIZENS))),
        descending: true,
        cells: vec![cell(CITIZENS)],
        page_size: 3,
        ..ListBreakdownRequest::default()
    };
    let list = async |request: &ListBreakdownRequest| {
        let page = services.reader().list_breakdown(request.clone()).await.unwrap().into_inner();
        let line = page.units.iter().map(|unit| {
            let totals = unit.totals.as_ref().unwrap();
            assert_eq!(totals.levels[0].cells.len(), 1, "only the cell that was asked about");
            (totals.org_unit.as_ref().unwrap().code.clone(), unit.rank, totals.levels[0].cells[0].sum)
        });
        (line.collect::<Vec<_>>(), page.next_page_token, page.order_changed, page.log_position)
    };
    let (first, token, changed, position) = list(&request).await;
    let line = |unit: &str, rank, sum| (unit.to_owned(), rank, sum);
    let expected = [line(d, Some(1), Some(900)), line(b, Some(2), Some(70)), line(c, Some(2), Some(70))];
    assert_eq!((first, changed), (expected.to_vec(), false));
    let next = ListBreakdownRequest { page_token: token.clone(), ..request.clone() };
    let (rest, _, changed, _) = list(&next).await;
    assert_eq!((&rest[0], &rest[1], changed), (&line(a, Some(4), Some(5)), &line(&communes[4], None, None), false));

    // The smallest gets the largest: the next page says that the order is another.
    services.submit(&citizens(a, 2, 1_000)).await.unwrap();
    world.settled(5).await;
    let (rest, _, changed, moved) = list(&next).await;
    assert!(changed && moved > position && rest[0].1.is_none(), "{rest:?}");

    // By completeness: the district that has reports before those that have none, over the nation, by level.
    let districts = ListBreakdownRequest {
        org_unit: "VN".to_owned(),
        level: "district".to_owned(),
        sort_by: by(sort_by::Number::Completeness(true)),
        page_size: 2,
        ..request.clone()
    };
    let (first, ..) = list(&districts).await;
    assert_eq!((first[0].0.as_str(), first[0].1, first[1].1), ("941", Some(1), Some(2)));
    let up =
        ListBreakdownRequest { descending: false, sort_by: None, page_size: 1, page_token: String::new(), ..request };
    assert_eq!(list(&up).await.0, [line(a, None, Some(1_000))], "by code, without ranks");
    let mut down = ListBreakdownRequest { descending: true, page_size: 4, ..up };
    let mut listed = Vec::new();
    while {
        let (page, token, changed, _) = list(&down).await;
        assert!(!changed);
        listed.extend(page.into_iter().map(|(unit, _, _)| unit));
        down.page_token = token;
        !down.page_token.is_empty()
    } {}
    assert!(listed.iter().eq(communes.iter().rev()), "codes go down: {listed:?}");
    services.assert_quiet();
}

/// Goal: a series has every period of its range, with gaps that can be seen, and a batch has the answers of one instant.
#[tokio::test(flavor = "multi_thread")]
async fn a_series_shows_its_gaps_and_a_batch_is_of_one_instant() {
    let world = World::start().await;
    let services = world.services().await;
    for (month, number) in [("202210", 1), ("202212", 20), ("202301", 300)] {
        services.submit(&of_month(month, citizens("31498", 1, number))).await.unwrap();
    }
    world.settled(3).await;
    let series = async |unit: &str, from: &str, to: &str| {
        let [org_unit, data_set, from, to] = [unit, "identity", from, to].map(ToOwned::to_owned);
        let cells = vec![cell(CITIZENS)];
        let request = GetSeriesRequest { org_unit, data_set, from, to, cells };
        let answer = services.reader().get_series(request).await.unwrap().into_inner();
        assert!(answer.log_position > 0);
        let line = answer.entries.into_iter().map(|entry| {
            let totals = entry.totals.unwrap();
            assert_eq!(totals.period, entry.period);
            let overall = totals.overall.unwrap();
            (entry.period, totals.version > 0, overall.expected, overall.cells[0].sum)
        });
        line.collect::<Vec<_>>()
    };
    let line = |period: &str, expected, sum: Option<i64>| (period.to_owned(), sum.is_some(), expected, sum);
    // Five island districts report what communes do.
    for (unit, expected) in [("VN", 10_604), ("31498", 1)] {
        let months = [("202210", Some(1)), ("202211", None), ("202212", Some(20)), ("202301", Some(300))];
        assert_eq!(series(unit, "202210", "202301").await, months.map(|(month, sum)| line(month, expected, sum)));
        let quarters = [("2022Q3", None), ("2022Q4", Some(20)), ("2023Q1", Some(300))];
        assert_eq!(series(unit, "2022Q3", "2023Q1").await, quarters.map(|(quarter, sum)| line(quarter, expected, sum)));
    }
    let questions = vec![
        asked("VN", "2022Q4"),
        GetTotalsRequest { data_set: "organisation".to_owned(), ..asked("94", "2022Q4") },
        GetTotalsRequest { as_of: at(1), ..asked("94", "202210") },
    ];
    let batch = services.reader().batch_get_totals(BatchGetTotalsRequest { questions }).await.unwrap().into_inner();
    let told: Vec<_> = batch.totals.iter().map(|totals| (totals.data_set.as_str(), totals.version > 0)).collect();
    // Reports that come together are one version.
    assert_eq!(told, [("identity", true), ("organisation", false), ("identity", false)]);
    assert_eq!(sum(&batch.totals[0], "commune", CITIZENS), Some(20));
    services.assert_quiet();
}

/// Goal: while reports are counted, what is asked together is of one instant: the nation is what its provinces add up to.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_together_is_of_one_instant() {
    const PROVINCES: [&str; 6] = ["94", "01", "48", "79", "22", "77"];
    let world = World::start().await;
    let services = world.services().await;
    let load = Load::of(3_000, 23);
    let sending = services.send(&load.reports);
    let asking = async {
        let mut instants = BTreeSet::new();
        loop {
            let units = ["VN"].into_iter().chain(PROVINCES);
            let questions = units.map(|unit| asked(unit, "202211")).collect();
            let asked = BatchGetTotalsRequest { questions };
            let totals = services.reader().batch_get_totals(asked).await.unwrap().into_inner().totals;
            let of_communes = |totals: &Totals| {
                let level = totals.levels.iter().find(|level| level.level == "commune").unwrap();
                let sums = level.cells.iter().map(|cell| i128::from(cell.sum.unwrap_or(0)));
                [i128::from(level.reported)].into_iter().chain(sums).collect::<Vec<_>>()
            };
            let [nation, provinces @ ..] = &totals[..] else { panic!("{totals:?}") };
            let mut added = vec![0; of_communes(nation).len()];
            for province in provinces {
                assert_eq!(province.log_position, nation.log_position);
                added.iter_mut().zip(of_communes(province)).for_each(|(sum, more)| *sum += more);
            }
            assert_eq!(of_communes(nation), added, "at {}", nation.log_position);
            instants.insert(nation.log_position);
            if instants.len() > 5 {
                return;
            }
        }
    };
    // A few at a time, so that there are many instants.
    let allowing = async {
        loop {
            sending.allow(5);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        asked = tokio::time::timeout(tests::PATIENCE, asking) => asked.expect("many instants are seen"),
        () = allowing => unreachable!("it goes on"),
    }
    sending.finish().await;
    services.assert_quiet();
}

/// Goal: a report is told with every revision, whoever sent it, and what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_told_with_its_revisions() {
    let world = World::start().await;
    let services = world.services().await;
    let revisions =
        [citizens("31498", 2, 20), citizens("31498", 1, 10), citizens("31498", 5, 50), withdrawal("31498", 6)];
    for (number, report) in (1..).zip(&revisions) {
        services.submit(report).await.unwrap();
        world.settled(number).await;
    }
    let request =
        GetReportRequest { org_unit: "31498".to_owned(), data_set: "identity".to_owned(), period: "202211".to_owned() };
    let answer = services.reader().get_report(request.clone()).await.unwrap().into_inner();
    let current = answer.report.unwrap();
    assert_eq!((current.reported, current.revision, current.values.len()), (false, Some(6), 0));
    let told: Vec<_> = answer
        .revisions
        .iter()
        .map(|of| (of.revision, of.fate(), of.counts, of.withdrawn, of.values.len(), of.replaced_at.is_some()))
        .collect();
    let (accepted, superseded) = (Fate::Accepted, Fate::Superseded);
    let expected = [
        (6, accepted, true, true, 0, false),
        (5, accepted, false, false, 1, true),
        (2, accepted, false, false, 1, true),
        (1, superseded, false, false, 1, true),
    ];
    assert_eq!(told, expected);
    let ids: Vec<_> = answer.revisions.iter().map(|of| of.submission_id.as_str()).collect();
    assert_eq!(ids, [3, 2, 0, 1].map(|place: usize| revisions[place].submission_id.as_str()));
    assert_eq!((answer.revisions_omitted, answer.log_position > 0), (0, true));
    let nothing = GetReportRequest { org_unit: "31501".to_owned(), ..request };
    let nothing = services.reader().get_report(nothing).await.unwrap().into_inner();
    assert_eq!((nothing.report.unwrap().revision, nothing.revisions.len()), (None, 0));
    services.assert_quiet();
}

/// Goal: a watch over several totals begins with how they stand, goes on where it broke off without telling again what has not
/// moved, and says how much it passed over; a reader sees the last state of each.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_taken_up_where_it_broke_off() {
    let world = World::start().await;
    let services = world.services().await;
    services.submit(&citizens("31498", 1, 10)).await.unwrap();
    world.settled(1).await;
    let request = WatchManyRequest {
        org_units: ["VN", "94", "01", "31498"].map(ToOwned::to_owned).to_vec(),
        data_sets: vec!["identity".to_owned()],
        periods: vec!["202211".to_owned(), "2022Q4".to_owned()],
        cells: vec![cell(CITIZENS)],
        resume_token: String::new(),
    };
    let mut stream = services.reader().watch_many(request.clone()).await.unwrap().into_inner();
    let name = |totals: &Totals| (totals.org_unit.as_ref().unwrap().code.clone(), totals.period.clone());
    let snapshot = stream.message().await.unwrap().unwrap();
    assert!(snapshot.caught_up && snapshot.moved.len() == 8 && snapshot.moved.iter().all(|of| of.passed_over == 0));
    // One total moves; everything above it is told, nothing else.
    services.submit(&citizens("31501", 1, 100)).await.unwrap();
    let mut seen = BTreeMap::new();
    let mut token = snapshot.resume_token;
    while seen.len() < 4 {
        let news = tokio::time::timeout(tests::PATIENCE, stream.message()).await.unwrap().unwrap().unwrap();
        for of in news.moved {
            let totals = of.totals.unwrap();
            seen.insert(name(&totals), sum(&totals, "commune", CITIZENS));
        }
        token = news.resume_token;
    }
    let both = |unit: &str| ["202211", "2022Q4"].map(|period| ((unit.to_owned(), period.to_owned()), Some(110)));
    assert_eq!(seen, both("VN").into_iter().chain(both("94")).collect());
    drop(stream);

    // While nobody watches, corrections flow.
    for revision in 2..=6 {
        services.submit(&citizens("31498", revision, 10 * revision)).await.unwrap();
        world.settled(revision + 1).await;
    }
    let resumed = WatchManyRequest { resume_token: token, ..request.clone() };
    let mut stream = services.reader().watch_many(resumed.clone()).await.unwrap().into_inner();
    let news = stream.message().await.unwrap().unwrap();
    let moved: Vec<_> = news.moved.iter().map(|of| (name(of.totals.as_ref().unwrap()).0, of.passed_over)).collect();
    let expected = ["VN", "VN", "94", "94", "31498", "31498"].map(|unit| (unit.to_owned(), 4));
    assert_eq!((moved, news.caught_up), (expected.to_vec(), true), "five versions, of which one is told");
    let last = sum(news.moved[0].totals.as_ref().unwrap(), "commune", CITIZENS);
    assert_eq!(last, Some(160));
    // Nothing has moved since: it is told that it is so.
    let again = WatchManyRequest { resume_token: news.resume_token.clone(), ..request.clone() };
    let mut stream = services.reader().watch_many(again).await.unwrap().into_inner();
    let news = stream.message().await.unwrap().unwrap();
    assert_eq!((news.moved.len(), news.caught_up), (0, true));

    let foreign = WatchManyRequest { periods: vec!["202212".to_owned(), "2022Q4".to_owned()], ..resumed };
    let refused = services.reader().watch_many(foreign).await.unwrap_err();
    assert_eq!(refusal(&refused).1, "RESUME_TOKEN_INVALID");
    services.assert_quiet();
}

/// Goal: who watches hears also of what changes with another month's reports: here by when a target was reached.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_changes_without_another_version() {
    let world = World::start().await;
    let services = world.services().await;
    let all_collected = |month| of_month(month, report("07888", 1, vec![int(CITIZENS, 100), int(COLLECTED, 100)]));
    services.submit(&all_collected("202306")).await.unwrap();
    world.settled(1).await;
    let (org_unit, data_set, period) = ("25".to_owned(), "identity".to_owned(), "202306".to_owned());
    let question = WatchTotalsRequest { org_unit, data_set, period };
    let mut stream = services.reader().watch_totals(question).await.unwrap().into_inner();
    let mut next = async || {
        let told = tokio::time::timeout(tests::PATIENCE, stream.message()).await.expect("it is told");
        let totals = told.unwrap().unwrap().totals.unwrap();
        let of_year = |target: &&Target| target.data_element == COLLECTED && target.period == "2023";
        let target = tests::level(&totals, "commune").targets.iter().find(of_year).unwrap();
        (totals.version, target.reached_on.clone())
    };
    let (version, reached_on) = next().await;
    assert_eq!(reached_on, "2023-06-14");
    services.submit(&all_collected("202305")).await.unwrap();
    assert_eq!(next().await, (version, "2023-05-14".to_owned()));
    services.assert_quiet();
}

/// Goal: a watch that nobody reads ends by itself, and its place is another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_nobody_reads_ends() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.query.terminate();
    assert_eq!(services.query.ended().await, Some(0));
    services.query = world.service_with("query", "limits.max_watchers = 1\nlimits.unread_for = \"1s\"").await;
    // The snapshot is more than the windows of HTTP/2 and what the server buffers.
    let endpoint = tonic::transport::Endpoint::from_shared(services.query.address()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut reader = QueryServiceClient::new(services.credentials().connect(endpoint).await.unwrap());
    let units = tests::OrgUnits::read();
    let all: Vec<_> = units.below("VN", "district").into_iter().take(700).map(ToOwned::to_owned).collect();
    let request = WatchManyRequest {
        org_units: all.clone(),
        data_sets: vec!["identity".to_owned()],
        periods: vec!["202211".to_owned()],
        ..WatchManyRequest::default()
    };
    let mut unread = reader.watch_many(request).await.unwrap().into_inner();
    let refused = reader.watch_totals(WatchTotalsRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
    });
    assert_eq!(refusal(&refused.await.unwrap_err()).1, "TOO_MANY_WATCHERS");
    // Its place is free once it has ended.
    let freed = eventually("the place of the watch is free", || {
        let mut reader = reader.clone();
        async move {
            let request = asked("VN", "202211");
            let GetTotalsRequest { org_unit, data_set, period, .. } = request;
            reader.watch_totals(WatchTotalsRequest { org_unit, data_set, period }).await
        }
    });
    drop(freed.await);
    let end = loop {
        match unread.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(refusal(&end).1, "WATCH_NOT_READ");
}

/// Goal: a state of the past that would be counted from more revisions than the service takes is refused, and smaller ones are
/// answered; what a total is made of has a limit of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_too_many_revisions_is_refused() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.query.terminate();
    assert_eq!(services.query.ended().await, Some(0));
    services.query = world.service_with("query", "limits.max_revisions = 3").await;
    let mut reader = QueryServiceClient::new(services.query.channel().await);
    for (unit, revision) in [("31498", 1), ("31498", 2), ("31501", 1)] {
        services.submit(&citizens(unit, revision, 10)).await.unwrap();
    }
    world.settled(3).await;
    let present = reader.get_totals(asked("VN", "202211")).await.unwrap().into_inner().totals.unwrap();
    assert_eq!(sum(&present, "commune", CITIZENS), Some(20));
    let then = |unit| GetTotalsRequest { as_of: at(present.log_position), ..asked(unit, "202211") };
    let refused = reader.get_totals(then("VN")).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::InvalidArgument, "AS_OF_TOO_LARGE".to_owned(), "period".to_owned()));
    let commune = reader.get_totals(then("31498")).await.unwrap().into_inner().totals.unwrap();
    assert_eq!(sum(&commune, "commune", CITIZENS), Some(10));
    let explained = ListContributionsRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        cell: Some(cell(CITIZENS)),
        ..ListContributionsRequest::default()
    };
    let explained = reader.list_contributions(explained).await.unwrap().into_inner();
    assert_eq!((explained.contributions.len(), explained.page_sum), (2, 20));
}

/// Goal: what is warm is never older than the question: each report that was counted is in the next answer, to every reader, while
/// many ask at a time.
#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_are_never_older_than_their_question() {
    let world = World::start().await;
    let services = world.services().await;
    for revision in 1..=30 {
        let report = citizens("31498", revision, revision);
        services.submit(&report).await.unwrap();
        services.fate(&report.submission_id).await;
        let answers =
            (0..20).map(|place| services.totals(["VN", "94", "941", "31498"][place % 4], "identity", "202211"));
        for totals in join_all(answers).await {
            assert_eq!((sum(&totals, "commune", CITIZENS), totals.version), (Some(revision), revision));
        }
    }
    services.assert_quiet();
}

/// Goal: where all connections are held by questions that wait for the database, what is kept is answered all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_answered_while_others_hold_the_connections() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.query.terminate();
    assert_eq!(services.query.ended().await, Some(0));
    services.query = world.service_with("query", "store.max_connections = 1").await;
    let mut reader = QueryServiceClient::new(services.query.channel().await);
    services.submit(&citizens("31498", 1, 10)).await.unwrap();
    world.settled(1).await;
    let first = reader.get_totals(asked("VN", "202211")).await.unwrap().into_inner().totals.unwrap();

    let mut database = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let mut lock = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE report_history IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let mut waiting = tokio::spawn({
        let (mut reader, as_of) = (reader.clone(), at(first.log_position));
        async move { reader.get_totals(GetTotalsRequest { as_of, ..asked("VN", "202211") }).await }
    });
    let mut watched = PgConnection::connect(&world.postgres.url()).await.unwrap();
    loop {
        let waits = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted");
        let waits: i64 = waits.fetch_one(&mut watched).await.unwrap();
        if waits > 0 {
            break;
        }
        assert!(!waiting.is_finished());
    }
    let again = tokio::select! {
        again = reader.get_totals(asked("VN", "202211")) => again.unwrap().into_inner().totals.unwrap(),
        held = &mut waiting => panic!("nobody was answered before {held:?}"),
    };
    assert_eq!(again, first);
    lock.rollback().await.unwrap();
    let then = waiting.await.unwrap().unwrap().into_inner().totals.unwrap();
    assert_eq!(sum(&then, "commune", CITIZENS), Some(10));
}

/// Goal: connections that the database closed while nobody asked are opened anew; who asks then does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_after_the_connections_broke_is_answered() {
    let world = World::start().await;
    let services = world.services().await;
    services.submit(&citizens("31498", 1, 10)).await.unwrap();
    world.settled(1).await;
    let mut reader = QueryServiceClient::new(services.query.channel().await);
    let first = reader.get_totals(asked("VN", "202211")).await.unwrap().into_inner().totals.unwrap();

    let mut database = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let broken = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = 'tonghop_query'",
    );
    let broken: i64 = broken.fetch_one(&mut database).await.unwrap();
    assert!(broken > 0);
    let again = reader.get_totals(asked("VN", "202211")).await.unwrap().into_inner().totals.unwrap();
    assert_eq!(again, first);
    services.assert_quiet();
}

/// Goal: what cannot be answered is refused with a stable reason, the field and a sentence in both languages.
#[tokio::test(flavor = "multi_thread")]
async fn every_bad_question_is_told_what_is_wrong() {
    let world = World::start().await;
    let services = world.services().await;
    services.submit(&citizens("31498", 1, 1)).await.unwrap();
    world.settled(1).await;
    let mut reader = services.reader();
    let told = |status: Status, code: Code, reason: &str, field: &str| {
        assert_eq!(refusal(&status), (code, reason.to_owned(), field.to_owned()));
    };
    let invalid = Code::InvalidArgument;

    let series = |from: &str, to: &str| {
        let [org_unit, data_set, from, to] = ["VN", "identity", from, to].map(ToOwned::to_owned);
        GetSeriesRequest { org_unit, data_set, from, to, cells: Vec::new() }
    };
    for (from, to, reason) in [
        ("202212", "202211", "RANGE_REVERSED"),
        ("2022", "202212", "RANGE_MIXED"),
        ("200001", "203312", "RANGE_TOO_LONG"),
        ("2022W01", "202211", "PERIOD_TYPE_WRONG"),
    ] {
        told(reader.get_series(series(from, to)).await.unwrap_err(), invalid, reason, "from");
    }
    let unknown = GetSeriesRequest { org_unit: "99".to_owned(), ..series("202211", "202212") };
    told(reader.get_series(unknown).await.unwrap_err(), Code::NotFound, "ORG_UNIT_UNKNOWN", "org_unit");

    let beyond = GetTotalsRequest { as_of: at(u64::MAX), ..asked("VN", "202211") };
    let refused = reader.get_totals(beyond).await.unwrap_err();
    let now = services.totals("VN", "identity", "202211").await.log_position;
    assert!(refused.message().contains(&now.to_string()), "{refused:?}");
    told(refused, Code::OutOfRange, "AS_OF_BEYOND_LOG", "");
    let cells = GetTotalsRequest { cells: vec![cell(CITIZENS), cell("id_cards")], ..asked("VN", "202211") };
    told(reader.get_totals(cells).await.unwrap_err(), invalid, "CELL_UNKNOWN", "cells[1]");

    for count in [0, 21] {
        let questions = vec![asked("VN", "202211"); count];
        let refused = reader.batch_get_totals(BatchGetTotalsRequest { questions }).await.unwrap_err();
        told(refused, invalid, "TOO_MANY_QUESTIONS", "questions");
    }
    let questions = vec![asked("VN", "202211"), asked("VN", "2022W45")];
    let refused = reader.batch_get_totals(BatchGetTotalsRequest { questions }).await.unwrap_err();
    told(refused, invalid, "PERIOD_TYPE_WRONG", "questions[1].period");

    let explained = ListContributionsRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        cell: Some(cell(CITIZENS)),
        ..ListContributionsRequest::default()
    };
    let no_cell = ListContributionsRequest { cell: None, ..explained.clone() };
    told(reader.list_contributions(no_cell).await.unwrap_err(), invalid, "CELL_UNKNOWN", "cell");
    let level = ListContributionsRequest { level: "ward".to_owned(), ..explained.clone() };
    told(reader.list_contributions(level).await.unwrap_err(), invalid, "LEVEL_UNKNOWN", "level");
    let size = ListContributionsRequest { page_size: 1_001, ..explained.clone() };
    told(reader.list_contributions(size).await.unwrap_err(), invalid, "PAGE_SIZE_OUT_OF_RANGE", "page_size");
    let garbled = ListContributionsRequest { page_token: "p1.1.1.1.31498.".to_owned(), ..explained };
    told(reader.list_contributions(garbled).await.unwrap_err(), invalid, "PAGE_TOKEN_INVALID", "page_token");

    let list = ListBreakdownRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        page_size: 1,
        ..ListBreakdownRequest::default()
    };
    let token = reader.list_breakdown(list.clone()).await.unwrap().into_inner().next_page_token;
    let foreign = ListBreakdownRequest { page_token: token, descending: true, ..list.clone() };
    told(reader.list_breakdown(foreign).await.unwrap_err(), invalid, "PAGE_TOKEN_INVALID", "page_token");
    let number = sort_by::Number::Indicator(IndicatorName { code: "rate".to_owned(), option: String::new() });
    let sorted = ListBreakdownRequest { sort_by: Some(SortBy { number: Some(number) }), ..list };
    told(reader.list_breakdown(sorted).await.unwrap_err(), invalid, "INDICATOR_UNKNOWN", "sort_by.indicator");

    let many = |count: usize| WatchManyRequest {
        org_units: vec!["31498".to_owned(); count],
        data_sets: vec!["identity".to_owned()],
        periods: vec!["202211".to_owned()],
        ..WatchManyRequest::default()
    };
    for count in [0, 1_001, 10_000] {
        let refused = reader.watch_many(many(count)).await.unwrap_err();
        assert!(refused.message().contains(&count.to_string()), "{refused:?}");
        told(refused, invalid, "WATCH_TOO_LARGE", "org_units");
    }
    let garbled = WatchManyRequest { resume_token: "0000000000000000.".to_owned(), ..many(2) };
    told(reader.watch_many(garbled).await.unwrap_err(), invalid, "RESUME_TOKEN_INVALID", "resume_token");

    let date = ListOrgUnitsRequest { date: "30/11/2022".to_owned(), ..ListOrgUnitsRequest::default() };
    told(reader.list_org_units(date).await.unwrap_err(), invalid, "DATE_MALFORMED", "date");
    let name = ListOrgUnitsRequest { name: "?".to_owned(), ..ListOrgUnitsRequest::default() };
    told(reader.list_org_units(name).await.unwrap_err(), invalid, "NAME_MALFORMED", "name");
    let data_set = GetCatalogueRequest { data_set: "identities".to_owned() };
    told(reader.get_catalogue(data_set).await.unwrap_err(), Code::NotFound, "DATA_SET_UNKNOWN", "data_set");
    let [org_unit, data_set, period] = ["VN", "identity", "2022"].map(ToOwned::to_owned);
    let longer = GetReportRequest { org_unit, data_set, period };
    told(reader.get_report(longer).await.unwrap_err(), invalid, "PERIOD_TYPE_WRONG", "period");
    services.assert_quiet();
}

/// Goal: the catalogue and the tree are told as they are, all pages of a list together; and a browser can ask, over HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_ask_and_the_catalogue_is_told() {
    let world = World::start().await;
    let services = world.services().await;
    let catalogue = services.reader().get_catalogue(GetCatalogueRequest::default()).await.unwrap().into_inner();
    assert_eq!(catalogue.version, world.catalogue.version().as_str());
    assert_eq!(catalogue.data_sets.len(), world.catalogue.data_sets().len());
    for (told, data_set) in catalogue.data_sets.iter().zip(world.catalogue.data_sets()) {
        assert_eq!((told.code.as_str(), told.cells.len()), (data_set.code().as_str(), data_set.cells().len()));
        assert_eq!((told.rules.len(), told.targets.len()), (data_set.rules().len(), data_set.targets().len()));
    }
    assert_eq!(catalogue.codes_given_anew_on, ["2025-07-01"]);
    let mut request = ListOrgUnitsRequest {
        date: "2022-11-30".to_owned(),
        level: "commune".to_owned(),
        page_size: 1_000,
        ..ListOrgUnitsRequest::default()
    };
    let mut communes = Vec::new();
    loop {
        let page = services.reader().list_org_units(request.clone()).await.unwrap().into_inner();
        communes.extend(page.org_units.into_iter().map(|unit| unit.code));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert!(communes.len() == 10_599 && communes.is_sorted(), "{}", communes.len());
    let named = ListOrgUnitsRequest { name: "SOC trăng".to_owned(), level: "province".to_owned(), ..request };
    let named = services.reader().list_org_units(named).await.unwrap().into_inner();
    assert_eq!(named.org_units.iter().map(|unit| unit.code.as_str()).collect::<Vec<_>>(), ["94"]);

    // A question in gRPC-Web, by hand: a flag, the length, the message; `VN` is its first field.
    let address = services.query.address();
    let host = address.trim_start_matches("https://");
    let mut stream = tests::shaken(&services.query.door(), "http/1.1").await;
    let message = b"\x0a\x02VN\x12\x08identity\x1a\x06202211";
    let head = format!(
        "POST /tonghop.query.v1.QueryService/GetTotals HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/grpc-web+proto\r\n\
         x-grpc-web: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        5 + message.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()]).await.unwrap();
    stream.write_all(message).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("application/grpc-web+proto") && text.contains("Việt Nam"), "{text}");
    assert!(text.contains("grpc-status:0"), "{text}");
    services.assert_quiet();
}
