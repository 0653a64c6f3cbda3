//! A report's way from a sender to the national total.

use proto::pb::{
    collector::v1::submit_stream_response::Outcome,
    query::v1::{CellTotal, ListChildTotalsRequest, Totals, WatchTotalsRequest},
};
use tests::{Events, Sums, World, flag, int, level, organisation, report, sum, sums_of};

/// Goal: a report that is acknowledged moves the totals of every unit above it, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_reaches_every_total_above_it() {
    let world = World::start().await;
    let services = world.services().await;
    // Two communes of one district of Sóc Trăng, one of another province. Powers of ten show a double count.
    for (unit, value) in [("31498", 1), ("31501", 10), ("00001", 100)] {
        services.submit(&report(unit, 1, vec![int("id_eligible_citizens", value)])).await.unwrap();
    }
    world.settled(3).await;
    let total = |unit: &'static str| {
        let services = &services;
        async move {
            let totals = services.totals(unit, "identity", "202211").await;
            let communes = level(&totals, "commune").clone();
            (sum(&totals, "commune", "id_eligible_citizens"), communes.reported, communes.expected)
        }
    };
    assert_eq!(total("VN").await, (Some(111), 3, 10_599));
    assert_eq!(total("94").await, (Some(11), 2, 109));
    assert_eq!(total("01").await, (Some(100), 1, 579));
    assert_eq!(total("31498").await, (Some(1), 1, 1));
    assert_eq!(total("79").await.0, None, "absent is not zero");
    let verified = world.verified().await;
    assert!(verified.totals_checked >= 5, "{verified:?}");
    services.assert_quiet();
}

/// Level, reported, expected, how many have a task force, tasks assigned.
type Line = (String, i64, i64, Option<i64>, Option<i64>);

/// Goal: a form that four levels report has a total for each level. Flags count how many say yes; what is kept and not
/// added stays with the unit that said it.
#[tokio::test(flavor = "multi_thread")]
async fn each_reporting_level_has_its_own_total() {
    let world = World::start().await;
    let services = world.services().await;
    let says = |yes, tasks| vec![flag("org_task_force_established", yes), int("org_plan_tasks_assigned", tasks)];
    let hamlets = |yes, tasks, hamlets| [says(yes, tasks), vec![int("org_hamlets_total", hamlets)]].concat();
    let reports = [
        organisation("31498", 1, hamlets(true, 3, 10)),
        organisation("31501", 1, hamlets(false, 40, 200)),
        organisation("941", 1, says(true, 500)),
        organisation("942", 1, says(true, 6_000)),
        organisation("94", 1, [says(true, 70_000), vec![int("org_inspections", 9)]].concat()),
        organisation("BCA", 1, says(true, 800_000)),
    ];
    for report in &reports {
        services.submit(report).await.unwrap();
    }
    world.settled(6).await;

    let tasks = "org_plan_tasks_assigned";
    let lines = |totals: &Totals| -> Vec<Line> {
        let line = |of: &proto::pb::query::v1::LevelTotals| {
            let cell = |element| sum(totals, &of.level, element);
            (of.level.clone(), of.reported, of.expected, cell("org_task_force_established"), cell(tasks))
        };
        totals.levels.iter().map(line).collect()
    };
    let line = |level: &str, reported, expected, flags, tasks| (level.to_owned(), reported, expected, flags, tasks);
    let nation = services.totals("VN", "organisation", "2022Q4").await;
    let [ministry, province, district, commune] = &lines(&nation)[..] else { panic!("four levels: {nation:?}") };
    assert_eq!(*ministry, line("ministry", 1, 23, Some(1), None));
    assert_eq!(*province, line("province", 1, 63, Some(1), None));
    assert_eq!(*district, line("district", 2, 705, Some(2), None));
    assert_eq!(*commune, line("commune", 2, 10_599, Some(1), None));
    assert_eq!(sum(&nation, "commune", "org_hamlets_total"), Some(210));
    assert_eq!(sum(&nation, "province", "org_inspections"), Some(9));

    let province = services.totals("94", "organisation", "2022Q4").await;
    assert_eq!(
        lines(&province),
        [
            line("province", 1, 1, Some(1), Some(70_000)),
            line("district", 2, 11, Some(2), None),
            line("commune", 2, 109, Some(1), None)
        ]
    );
    let district = services.totals("941", "organisation", "2022Q4").await;
    assert_eq!(lines(&district), [line("district", 1, 1, Some(1), Some(500)), line("commune", 2, 10, Some(1), None)]);
    let commune = services.totals("31501", "organisation", "2022Q4").await;
    assert_eq!(lines(&commune), [line("commune", 1, 1, Some(0), Some(40))]);
    assert_eq!(lines(&services.totals("BCA", "organisation", "2022Q4").await)[0].4, Some(800_000));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: the island district of Hoàng Sa has no communes and reports in their stead; it adds up with them and is
/// counted as what it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_island_district_stands_in_for_its_communes() {
    let world = World::start().await;
    let services = world.services().await;
    let submitted = report("498", 1, vec![int("id_eligible_citizens", 7_000)]);
    services.submit(&submitted).await.unwrap();
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    let refused = services.submit(&report("490", 1, vec![int("id_eligible_citizens", 90_000)])).await.unwrap_err();
    assert!(refused.message().contains("report.org_unit"), "a district with communes does not report: {refused:?}");
    world.settled(2).await;

    let nation = services.totals("VN", "identity", "202211").await;
    assert_eq!(sum(&nation, "district", "id_eligible_citizens"), Some(7_000));
    assert_eq!(sum(&nation, "commune", "id_eligible_citizens"), Some(1));
    let city = services.totals("48", "identity", "202211").await;
    let islands = level(&city, "district");
    assert_eq!((islands.reported, islands.expected), (1, 1));
    assert_eq!(sum(&city, "commune", "id_eligible_citizens"), None);
    let island = services.totals("498", "identity", "202211").await;
    assert_eq!(sum(&island, "district", "id_eligible_citizens"), Some(7_000));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: the totals of the units directly below, page by page, add up to those of the unit above.
#[tokio::test(flavor = "multi_thread")]
async fn children_add_up_to_their_parent() {
    let world = World::start().await;
    let services = world.services().await;
    let communes = tests::OrgUnits::read();
    let communes = communes.below("94", "commune");
    let mut reports: Vec<_> = (1..)
        .zip(&communes)
        .map(|(number, code)| report(code, 1, vec![int("id_eligible_citizens", 1_000_003 * number)]))
        .collect();
    reports.pop(); // one has not reported
    let receipts = services.submit_all(&reports).await;
    assert!(receipts.iter().all(|receipt| matches!(receipt, Outcome::Acknowledgement(_))));
    world.settled(108).await;

    let mut children: Vec<Totals> = Vec::new();
    let mut question = ListChildTotalsRequest {
        org_unit: "94".into(),
        data_set: "identity".into(),
        period: "202211".into(),
        page_size: 4,
        page_token: String::new(),
    };
    let mut pages = 0;
    loop {
        let page = services.reader().list_child_totals(question.clone()).await.unwrap().into_inner();
        pages += 1;
        assert!(page.totals.len() <= 4);
        children.extend(page.totals);
        if page.next_page_token.is_empty() {
            break;
        }
        question.page_token = page.next_page_token;
    }
    assert_eq!((pages, children.len()), (3, 11));
    let codes: Vec<_> = children.iter().map(|child| child.org_unit.as_ref().unwrap().code.clone()).collect();
    assert!(codes.is_sorted(), "{codes:?}");
    let mut added = Sums::new();
    for child in children.iter().map(sums_of) {
        for (level, (reported, cells)) in child {
            let to = added.entry(level).or_default();
            to.0 += reported;
            for (cell, (sum, contributing)) in cells {
                let to = to.1.entry(cell).or_default();
                *to = (to.0 + sum, to.1 + contributing);
            }
        }
    }
    let parent = services.totals("94", "identity", "202211").await;
    assert_eq!(added, sums_of(&parent));
    let expected = |totals: &Totals| level(totals, "commune").expected;
    assert_eq!(children.iter().map(expected).sum::<i64>(), expected(&parent));
    assert_eq!(sum(&parent, "commune", "id_eligible_citizens"), Some(1_000_003 * (108 * 109 / 2)));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: a stream has one receipt for each of its reports; a refused one does not keep those around it from counting.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_one_receipt_a_report() {
    let world = World::start().await;
    let services = world.services().await;
    let good = |unit, value| report(unit, 1, vec![int("id_eligible_citizens", value)]);
    let bad = report("31504", 1, vec![int("id_eligible_citizen", 100), flag("id_card_target_met", true)]);
    let reports = [good("31498", 1), good("31501", 10), bad, good("31507", 1_000), good("31510", 10_000)];
    let receipts = services.submit_all(&reports).await;
    let mut places = std::collections::BTreeSet::new();
    for (place, (receipt, report)) in receipts.iter().zip(&reports).enumerate() {
        match receipt {
            Outcome::Acknowledgement(acknowledgement) => {
                assert_eq!(acknowledgement.submission_id, report.submission_id);
                assert!(places.insert((acknowledgement.log_sequence, acknowledgement.log_index)));
            }
            Outcome::Refusal(refusal) => {
                assert_eq!((place, refusal.code, refusal.reason.as_str()), (2, 3, "CELL_UNKNOWN"));
                assert_eq!(refusal.violations.len(), 1);
                assert_eq!(refusal.violations[0].field, "values[0]");
                assert!(refusal.message_vi.contains("id_eligible_citizen") && refusal.retry_after.is_none());
            }
        }
    }
    assert_eq!(places.len(), 4);
    world.settled(4).await;
    let nation = services.totals("VN", "identity", "202211").await;
    assert_eq!(sum(&nation, "commune", "id_eligible_citizens"), Some(11_011));
    assert_eq!(sum(&nation, "commune", "id_card_target_met"), None, "nothing of a refused report counts");
    services.assert_quiet();
}

/// Goal: whoever follows totals, by watching or on TOTALS, sees them move version by version, with the numbers that
/// GetTotals answers.
#[tokio::test(flavor = "multi_thread")]
async fn followers_see_every_version() {
    let world = World::start().await;
    let services = world.services().await;
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    let followers = async || {
        let stream = async_nats::jetstream::new(client.clone()).get_stream("TOTALS").await.unwrap();
        stream.cached_info().state.consumer_count
    };
    assert_eq!(followers().await, 0, "nobody watches: nothing is followed");
    let question = WatchTotalsRequest { org_unit: "94".into(), data_set: "identity".into(), period: "202211".into() };
    let mut watch = services.reader().watch_totals(question).await.unwrap().into_inner();
    let snapshot = watch.message().await.unwrap().unwrap().totals.unwrap();
    assert_eq!((snapshot.version, sum(&snapshot, "commune", "id_eligible_citizens")), (0, None));
    let is_followed = async || if followers().await == 1 { Ok(()) } else { Err("nobody follows TOTALS") };
    tests::eventually("the query service follows", is_followed).await;
    let events = Events::follow(&world).await;

    for revision in 1..=6 {
        let value = 10_i64.pow(u32::try_from(revision).unwrap());
        services.submit(&report("31498", revision, vec![int("id_eligible_citizens", value)])).await.unwrap();
        let moved =
            tokio::time::timeout(tests::PATIENCE, watch.message()).await.unwrap().unwrap().unwrap().totals.unwrap();
        assert_eq!((moved.version, sum(&moved, "commune", "id_eligible_citizens")), (revision, Some(value)));
        for unit in ["941", "94", "VN"] {
            let answer = services.totals(unit, "identity", "202211").await;
            assert_eq!(answer.version, revision);
            assert_eq!(sum(&answer, "commune", "id_eligible_citizens"), Some(value));
            events.agree_with(&answer).await;
        }
    }
    world.settled(6).await;
    let (nation, district) = ("totals.v1.national.VN.identity.202211", "totals.v1.district.941.identity.202211");
    let of_its_own = |subject: &String| subject.ends_with(".202211");
    let own: Vec<_> = events.subjects().into_iter().filter(of_its_own).collect();
    assert_eq!(own, [district, nation, "totals.v1.province.94.identity.202211"]);
    // The quarter, the half-year, the year and `latest` besides.
    assert_eq!(events.subjects().len(), 5 * own.len());
    for subject in events.subjects() {
        assert_eq!(events.versions(&subject), [1, 2, 3, 4, 5, 6], "{subject}");
    }
    let event = events.last(nation).unwrap();
    assert_eq!((&*event.specversion, &*event.kind), ("1.0", "vn.tonghop.totals.v1"));
    let cause = (event.data.cause.reports, event.data.previous_version);
    let [moved_by] = &event.data.cause.listed[..] else { panic!("{event:?}") };
    assert_eq!((cause, moved_by.org_unit.as_str(), moved_by.revision.0), ((1, 5), "31498", 6));
    let answer = services.totals("VN", "identity", "202211").await;
    assert_eq!(event.data.log_position, answer.log_position);
    let cell = |cell: &CellTotal| (cell.data_element.clone(), cell.sum);
    let given: Vec<_> = level(&answer, "commune").cells.iter().map(cell).filter(|(_, sum)| sum.is_some()).collect();
    assert_eq!(given, [("id_eligible_citizens".to_owned(), Some(1_000_000))]);
    services.assert_quiet();
}
