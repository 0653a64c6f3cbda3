//! What must hold after a load of reports, whatever happened on the way.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use proto::pb::query::v1::{Fate, GetSubmissionResponse, GetTotalsRequest};

use crate::{Events, Load, Sent, Services, World, sums_of};

/// Questions asked at a time.
const AT_A_TIME: usize = 8;

/// Everything that was acknowledged has exactly one fate, the right one; and every total, by the load's own arithmetic, by
/// `verify`, by the query service and by the events of TOTALS, is the same.
pub async fn all_is_well(world: &World, services: &Services, events: &Events, load: &Load, sent: &Sent) {
    world.quiet().await;
    fates(world, services, load, sent).await;
    totals(world, services, events, load).await;
    services.assert_quiet();
}

async fn fates(world: &World, services: &Services, load: &Load, sent: &Sent) {
    let acknowledged = load.reports.len();
    assert_eq!(sent.acknowledged.len(), acknowledged);
    let places: BTreeSet<_> = sent.acknowledged.values().map(|kept| (kept.log_sequence, kept.log_index)).collect();
    assert_eq!(places.len(), acknowledged, "no two reports have one place in the log");
    let mut deliveries: BTreeMap<&str, i64> = BTreeMap::new();
    for report in load.reports.iter() {
        *deliveries.entry(&report.submission_id).or_default() += 1;
    }

    let told = ask(deliveries.keys().map(|id| (*id).to_owned()).collect(), async |id: String| {
        (id.clone(), services.submission(&id).await.unwrap())
    })
    .await;
    let counting: BTreeSet<_> = load.counting().into_values().map(|report| report.submission_id.as_str()).collect();
    let mut settled = 0;
    for (id, GetSubmissionResponse { fate, counts, repeated, .. }) in &told {
        let entries = repeated + 1;
        // What was kept without its sender hearing of it was sent again, and is a duplicate.
        assert!(
            entries >= deliveries[id.as_str()],
            "{id} has {entries} fates for {} deliveries",
            deliveries[id.as_str()]
        );
        settled += entries;
        assert_eq!(*counts, counting.contains(id.as_str()), "{id}");
        let fate = Fate::try_from(*fate).unwrap();
        let right = match load.broken.contains(id) {
            true => fate == Fate::Rejected,
            false => fate == Fate::Accepted || (fate == Fate::Superseded && !counts),
        };
        assert!(right, "{id} is {fate:?}");
    }
    let ledger = world.store.fate_counts().await.unwrap().settled();
    assert_eq!(ledger, settled, "the ledger has no report that was not sent");
    assert!(ledger <= i64::try_from(sent.deliveries).unwrap(), "{ledger} fates for {} deliveries", sent.deliveries);
    if sent.deliveries == acknowledged {
        assert_eq!(ledger, i64::try_from(acknowledged).unwrap(), "each acknowledged report has exactly one fate");
    }
}

async fn totals(world: &World, services: &Services, events: &Events, load: &Load) {
    let expected = load.totals();
    let verified = world.verified().await;
    let with_totals = expected.keys().filter(|(_, _, unit)| load.has_units_below(unit)).count();
    assert!(verified.totals_checked >= u64::try_from(with_totals / 2).unwrap(), "{verified:?}");
    let answers = ask(expected.keys().cloned().collect(), async |(data_set, period, org_unit)| {
        let mut reader = services.reader();
        reader
            .get_totals(GetTotalsRequest { org_unit, data_set, period, ..Default::default() })
            .await
            .unwrap()
            .into_inner()
            .totals
            .unwrap()
    })
    .await;
    for totals in &answers {
        let unit = &totals.org_unit.as_ref().unwrap().code;
        let sums = &expected[&(totals.data_set.clone(), totals.period.clone(), unit.clone())];
        assert_eq!(&sums_of(totals), sums, "{} {} {unit}", totals.data_set, totals.period);
        if load.has_units_below(unit) && totals.version > 0 {
            events.agree_with(totals).await;
        }
    }
    let nation = answers.iter().filter(|totals| totals.org_unit.as_ref().unwrap().code == "VN").collect::<Vec<_>>();
    assert!(nation.len() >= 4 && nation.iter().all(|totals| totals.version > 0), "{nation:?}");
}

/// Asks all questions, some at a time.
async fn ask<Q, A>(questions: Vec<Q>, one: impl AsyncFn(Q) -> A) -> Vec<A> {
    stream::iter(questions).map(|question| one(question)).buffer_unordered(AT_A_TIME).collect().await
}
