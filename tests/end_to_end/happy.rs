//! A report's way from a sender to the national total.

use tests::{World, int, level, report, sum};

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
    for service in [&services.collector, &services.validator, &services.aggregator, &services.query] {
        assert_eq!(service.errors(), Vec::<serde_json::Value>::new());
    }
}
