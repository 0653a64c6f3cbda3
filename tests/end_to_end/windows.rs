//! Totals of longer periods, by hand.

use proto::pb::{query::v1::Totals, report::v1::Report};
use tests::{Events, Services, World, int, report};

const COLLECTED: &str = "id_card_records_collected";
const NEW: &str = "id_card_records_collected_new";

/// A running count and what was new, of a month.
fn cards(org_unit: &str, period: &str, revision: i64, collected: i64, new: i64) -> Report {
    let values = vec![int(COLLECTED, collected), int(NEW, new)];
    Report { period: period.to_owned(), ..report(org_unit, revision, values) }
}

fn taken_back(org_unit: &str, period: &str, revision: i64) -> Report {
    Report { period: period.to_owned(), ..tests::withdrawal(org_unit, revision) }
}

/// The running count, what was new, and how many communes have reported.
type Cards = (Option<i64>, Option<i64>, i64);

fn read(totals: &Totals) -> Cards {
    let cell = |name| tests::sum(totals, "commune", name);
    (cell(COLLECTED), cell(NEW), tests::level(totals, "commune").reported)
}

async fn of(services: &Services, unit: &str, period: &str) -> Cards {
    read(&services.totals(unit, "identity", period).await)
}

/// Goal: in a quarter, a half-year, a year and `latest` the new ones are added up and each commune's own latest running
/// count is taken, also where months are missing; a correction, a withdrawal and a month that comes late put it right.
#[tokio::test(flavor = "multi_thread")]
async fn longer_periods_take_what_happened_and_each_units_latest() {
    let world = World::start().await;
    let services = world.services().await;
    let events = Events::follow(&world).await;
    // Of the three months of the quarter each commune lacks one or two.
    let first = [
        cards("31498", "202210", 1, 100, 10),
        cards("31498", "202212", 1, 150, 50),
        cards("31501", "202210", 1, 200, 20),
        cards("31501", "202211", 1, 210, 10),
        cards("00001", "202211", 1, 5, 5),
    ];
    let steps: [(&[Report], [Cards; 3]); 6] = [
        // 150 + 210 + 5 and 10 + 50 + 20 + 10 + 5 in the nation; the province has the first two; then the first alone.
        (&first, [(Some(365), Some(95), 3), (Some(360), Some(90), 2), (Some(150), Some(60), 1)]),
        (
            &[cards("31498", "202212", 2, 149, 49)],
            [(Some(364), Some(94), 3), (Some(359), Some(89), 2), (Some(149), Some(59), 1)],
        ),
        // A month that comes late and is not the latest adds what was new in it.
        (
            &[cards("31498", "202211", 1, 120, 20)],
            [(Some(364), Some(114), 3), (Some(359), Some(109), 2), (Some(149), Some(79), 1)],
        ),
        // When the latest is taken back, the one before it is.
        (
            &[taken_back("31498", "202212", 3)],
            [(Some(335), Some(65), 3), (Some(330), Some(60), 2), (Some(120), Some(30), 1)],
        ),
        // One that is not the latest takes only what was new in it along.
        (
            &[taken_back("31501", "202210", 2)],
            [(Some(335), Some(45), 3), (Some(330), Some(40), 2), (Some(120), Some(30), 1)],
        ),
        (
            &[taken_back("31498", "202210", 2), taken_back("31498", "202211", 2)],
            [(Some(215), Some(15), 2), (Some(210), Some(10), 1), (None, None, 0)],
        ),
    ];
    let mut sent = 0;
    for (reports, [nation, province, commune]) in steps {
        for report in reports {
            services.submit(report).await.unwrap();
        }
        sent += i64::try_from(reports.len()).unwrap();
        world.settled(sent).await;
        for period in ["2022Q4", "2022S2", "2022", "latest"] {
            assert_eq!(of(&services, "VN", period).await, nation, "{period} after {sent}");
            assert_eq!(of(&services, "94", period).await, province, "{period} after {sent}");
            assert_eq!(of(&services, "31498", period).await, commune, "{period} after {sent}");
            events.agree_with(&services.totals("VN", "identity", period).await).await;
        }
        world.verified().await;
    }
    assert_eq!(of(&services, "VN", "202211").await, (Some(215), Some(15), 2), "the month stands by itself");
    assert_eq!(of(&services, "VN", "202210").await, (None, None, 0));
    services.assert_quiet();
}

/// Goal: in the year of the reform the nation has what happened before it and after it, and of running counts those of the
/// units that are there at its end; codes that were given anew are not taken for the units that had them; `latest` begins
/// anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_reaches_across_the_reform() {
    let world = World::start().await;
    let services = world.services().await;
    // A code that was a commune's before the reform and is another's since, under another province.
    let (before, since) = (time::macros::date!(2025 - 06 - 30), time::macros::date!(2025 - 07 - 01));
    let tree = world.catalogue.tree();
    let province = |day, code: &str| {
        let vintage = tree.on(day);
        let path: Vec<_> = vintage.with_ancestors(vintage.find(code)?).collect();
        Some(vintage.unit(path[path.len() - 2]).code.to_string())
    };
    let code = "31507";
    let (old, new) = (province(before, code).unwrap(), province(since, code).unwrap());
    assert_eq!((old.as_str(), new.as_str()), ("94", "92"));

    // June ends on the 14th, July on 14 July.
    services.submit(&cards(code, "202506", 1, 1_000, 10)).await.unwrap();
    services.submit(&cards(code, "202507", 1, 5_000, 30)).await.unwrap();
    world.settled(2).await;
    world.verified().await;
    assert_eq!(of(&services, "VN", "202506").await, (Some(1_000), Some(10), 1));
    assert_eq!(of(&services, &old, "202506").await, (Some(1_000), Some(10), 1));
    assert_eq!(of(&services, &new, "202507").await, (Some(5_000), Some(30), 1));
    assert_eq!(of(&services, "VN", "2025").await, (Some(5_000), Some(40), 1));
    assert_eq!(of(&services, &new, "2025").await, (Some(5_000), Some(30), 1));
    assert_eq!(of(&services, code, "2025").await, (Some(5_000), Some(30), 1));
    let latest = services.totals("VN", "identity", "latest").await;
    assert_eq!(latest.period, "latest20250701");
    assert_eq!(read(&latest), (Some(5_000), Some(30), 1));
    assert_eq!(tests::level(&latest, "commune").expected, 3_321);
    services.assert_quiet();
}
