//! Totals that are wrong are noticed, and put right while services go on.

use messaging::{Partitions, Topology};
use sqlx::{AssertSqlSafe, PgPool};
use tests::{
    Events, Load, Ran, World, checks::all_is_well, eventually, flag, int, organisation, report, small_nats,
    small_topology, tonghop,
};

async fn falsify(world: &World, statements: &[&str]) {
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    for statement in statements {
        let rows = sqlx::query(AssertSqlSafe(*statement)).execute(&database).await.unwrap().rows_affected();
        assert!(rows > 0, "{statement}");
    }
}

/// Replays as operators do.
async fn replay(world: &World, code: i32, more: &[&str]) -> Ran {
    let as_provision = world.as_provision();
    let given = as_provision.iter().map(String::as_str);
    tonghop(code, &["replay"].into_iter().chain(given).chain(more.iter().copied()).collect::<Vec<_>>()).await
}

/// Goal: a reconciler recomputes one period after the other, and not everything at once while the database is new: it finds nothing where
/// nothing is wrong, counts what is and says which, and counts nothing any more when a replay has put it right.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_total_is_noticed_by_itself() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.aggregator.kill_hard().await;
    let often = "[limits]\nreconcile_every = \"50ms\"\n";
    services.aggregator = world.service_with("aggregator", often).await;
    for (unit, value) in [("31498", 1), ("00001", 100)] {
        services.submit(&report(unit, 1, vec![int("id_eligible_citizens", value)])).await.unwrap();
    }
    world.settled(2).await;
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    eventually("a period is recomputed by itself", async || {
        let checked = "SELECT count(*) FROM reconciliation WHERE data_set = 'identity' AND totals > 0";
        match sqlx::query_scalar::<_, i64>(checked).fetch_one(&database).await.unwrap() {
            0 => Err(0),
            some => Ok(some),
        }
    })
    .await;
    assert!(world.store.reconciliation().await.unwrap().all.is_none());
    assert_eq!(world.store.mismatches().await.unwrap(), 0);
    services.assert_quiet();

    // Whichever comes next.
    falsify(&world, &["UPDATE total SET sums[1] = sums[1] + 1 WHERE org_unit = '94'"]).await;
    services.aggregator.logged("a total is not what its reports add up to; `tonghop replay` puts it right").await;
    let mismatches = async |right: bool| {
        eventually("the number of wrong totals is known", async || match world.store.mismatches().await.unwrap() {
            known if (known == 0) == right => Ok(known),
            other => Err(other),
        })
        .await
    };
    assert!((1..=5).contains(&mismatches(false).await));
    replay(&world, 0, &["--swap"]).await;
    mismatches(true).await;
}

/// Goal: a replay finds what is wrong and changes nothing unless told to; then everything is right, and whoever follows is told by
/// the next version, in a new epoch. Once more there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_puts_totals_right_and_tells_followers() {
    let world = World::start().await;
    let services = world.services().await;
    let events = Events::follow(&world).await;
    for (unit, value) in [("31498", 1), ("31501", 10), ("00001", 100)] {
        services.submit(&report(unit, 1, vec![int("id_eligible_citizens", value)])).await.unwrap();
    }
    world.settled(3).await;
    let before = services.totals("94", "identity", "202211").await;
    events.agree_with(&before).await;
    let wrong = [
        "UPDATE total SET sums[1] = sums[1] + 7, reported = reported + 1 WHERE org_unit = '94' AND period = '202211'",
        "DELETE FROM total WHERE org_unit = '001' AND period = '202211'",
        "UPDATE total SET contributing[1] = contributing[1] + 1 WHERE org_unit = 'VN' AND period = 'latest'",
    ];
    falsify(&world, &wrong).await;
    let url = world.postgres.url();
    let found = replay(&world, 1, &["--json"]).await.object();
    assert_eq!(found["mismatches"], 3);
    assert_eq!(world.store.verify().await.unwrap().mismatches, 3, "nothing was changed");

    let swapped = replay(&world, 0, &["--swap", "--as", "lan", "--json"]).await;
    assert_eq!(swapped.objects()[1], serde_json::json!({"units": 3, "untold": 0}));
    world.verified().await;
    let after =
        eventually("the query service hears of it", async || match services.totals("94", "identity", "202211").await {
            totals if totals.version == before.version + 1 => Ok(totals),
            other => Err(other.version),
        })
        .await;
    assert_eq!(after.levels, before.levels);
    for unit in ["94", "001", "VN"] {
        events.agree_with(&services.totals(unit, "identity", "202211").await).await;
    }
    events.agree_with(&services.totals("VN", "identity", "latest").await).await;
    let versions = |subject: &str| {
        let versions = events.versions(subject);
        assert!(versions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{subject}: {versions:?}");
        events.last(subject).unwrap().data
    };
    let lost = versions("totals.v1.district.001.identity.202211");
    assert_eq!((lost.version, lost.epoch, lost.cause.reports), (2, 2, 0));

    services.submit(&report("31498", 2, vec![int("id_eligible_citizens", 5)])).await.unwrap();
    world.settled(4).await;
    let counted = services.totals("94", "identity", "202211").await;
    assert_eq!(counted.version, after.version + 1);
    events.agree_with(&counted).await;
    assert_eq!(versions("totals.v1.province.94.identity.202211").epoch, 2);
    let nothing = replay(&world, 0, &["--swap", "--json"]).await.object();
    assert_eq!(nothing["mismatches"], 0);
    let audited = tonghop(0, &["audit", "show", "--principal", "lan", "--database", &url, "--json"]).await.object();
    assert_eq!(audited["fields"][1], "replay");
    world.verified().await;
    services.assert_quiet();
}

/// Goal: a replay amid a load of reports and corrections loses none and doubles none, and everything agrees afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_amid_a_load_loses_nothing() {
    const REPORTS: usize = 1_500;
    let world = World::start().await;
    let services = world.services().await;
    let events = Events::follow(&world).await;
    let load = Load::of(REPORTS, 51);
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    let sending = services.send(&load.reports);
    for share in 1..=2 {
        sending.allow(REPORTS / 2 * share);
        sending.acknowledged(REPORTS / 4 * share).await;
        eventually("the nation has a total", async || {
            let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM total WHERE org_unit = 'VN'");
            match count.fetch_one(&database).await.unwrap() {
                0 => Err("nothing is counted"),
                _ => Ok(()),
            }
        })
        .await;
        falsify(&world, &["UPDATE total SET sums[1] = sums[1] + 1 WHERE org_unit = 'VN'"]).await;
        replay(&world, 0, &["--swap"]).await;
    }
    sending.allow(REPORTS);
    let sent = sending.finish().await;
    all_is_well(&world, &services, &events, &load, &sent).await;
}

/// Goal: whoever has a form in a transaction, for minutes it may be, keeps no other form from being counted: nobody waits for him with
/// the only turn in hand. Afterwards what had to wait is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_replayed_keeps_no_other_waiting() {
    let topology = Topology { partitions: 32, ..small_topology() };
    let partition = |form| Partitions::new(topology.partitions).unwrap().of(form).number();
    assert_ne!(partition("identity"), partition("organisation"));
    let world = World::with(topology.clone(), small_nats()).await;
    let mut services = world.services().await;
    services.aggregator.kill_hard().await;
    services.aggregator = world.service_with("aggregator", "[limits]\ntransactions = 1\n").await;
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    let mut replaying = database.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM partition_progress WHERE partition = $1 FOR UPDATE");
    lock.bind(i32::from(partition("identity"))).execute(&mut *replaying).await.unwrap();
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    services.aggregator.logged("counting broke off; starting over from what is stored").await;
    let says =
        vec![flag("org_task_force_established", true), int("org_plan_tasks_assigned", 3), int("org_hamlets_total", 10)];
    services.submit(&organisation("31498", 1, says)).await.unwrap();
    world.settled(1).await;
    let waiting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_locks WHERE NOT granted");
    assert_eq!(waiting.fetch_one(&database).await.unwrap(), 0);
    replaying.rollback().await.unwrap();
    world.settled(2).await;
}
