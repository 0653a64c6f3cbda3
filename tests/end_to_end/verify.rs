//! Verification finds what is wrong: otherwise it is worth nothing that it finds nothing.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgPool};
use tests::{World, int, report, tonghop};

/// The period that is reported on, and the longer ones in which it counts.
const PERIODS: [&str; 5] = ["202211", "2022Q4", "2022S2", "2022", "latest"];
const ALL: u64 = PERIODS.len() as u64;

/// All that verification looks at, kept aside and brought back.
const KEEP: [&str; 2] = ["CREATE TABLE kept_total AS TABLE total", "CREATE TABLE kept_report AS TABLE report"];
const BRING_BACK: [&str; 3] =
    ["TRUNCATE total, report", "INSERT INTO total TABLE kept_total", "INSERT INTO report TABLE kept_report"];

async fn execute(database: &PgPool, statements: &[&str]) -> u64 {
    let mut rows = 0;
    for statement in statements {
        rows = sqlx::query(AssertSqlSafe(*statement)).execute(database).await.unwrap().rows_affected();
    }
    rows
}

/// How many totals are wrong, and of which units.
async fn wrong(world: &World) -> (u64, BTreeSet<String>) {
    let verification = world.store.verify().await.unwrap();
    assert_eq!(verification.mismatches, u64::try_from(verification.listed.len()).unwrap());
    for mismatch in &verification.listed {
        assert_eq!((mismatch.data_set.as_str(), mismatch.level.as_str()), ("identity", "commune"));
        assert!(PERIODS.contains(&mismatch.period.as_str()), "{mismatch:?}");
        assert_ne!(mismatch.stored, mismatch.recomputed);
    }
    (verification.mismatches, verification.listed.into_iter().map(|mismatch| mismatch.org_unit).collect())
}

/// Goal: verification finds a total that is wrong, missing or made up, by its name and nothing beside it; where the report
/// itself was changed, all that stand above it; and when all is as it was, nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_total_is_found() {
    let world = World::start().await;
    let services = world.services().await;
    for (unit, value) in [("31498", 1), ("31501", 10), ("00001", 100)] {
        services.submit(&report(unit, 1, vec![int("id_eligible_citizens", value)])).await.unwrap();
    }
    world.settled(3).await;
    let verified = world.verified().await;
    assert_eq!((verified.totals_checked, verified.reports), (5 * ALL, 3));

    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    execute(&database, &KEEP).await;
    let change = "UPDATE total SET sums[1] = sums[1] + 1 WHERE org_unit = '94' AND period = '2022Q4'";
    let lose = "DELETE FROM total WHERE org_unit = '001' AND period = '202211'";
    let make_up = "INSERT INTO total SELECT (made_up).* FROM (SELECT jsonb_populate_record(total, '{\"org_unit\": \"79\"}') \
                   AS made_up FROM total WHERE org_unit = '01' AND period = 'latest') AS made_up";
    let restate = "UPDATE report SET cells[place] = cells[place] + 1 FROM cell WHERE org_unit = '31498' \
                   AND cell.data_set = report.data_set AND data_element = 'id_eligible_citizens'";
    let only_a_count =
        "UPDATE total SET contributing[1] = contributing[1] + 1 WHERE org_unit = '941' AND period = '2022'";
    let only_reported = "UPDATE total SET reported = reported + 1 WHERE org_unit = 'VN' AND period = '2022S2'";
    let late = "UPDATE total SET on_time = on_time + 1 WHERE org_unit = 'VN' AND period = '202211'";
    let lose_a_report = "DELETE FROM report WHERE org_unit = '00001'";
    for (deeds, mismatches, found) in [
        (&[change, lose, make_up][..], 3, &["001", "79", "94"][..]),
        (&[restate], 3 * ALL, &["94", "941", "VN"]),
        (&[only_a_count], 1, &["941"]),
        (&[only_reported], 1, &["VN"]),
        (&[late], 1, &["VN"]),
        (&[lose_a_report], 3 * ALL, &["001", "01", "VN"]),
    ] {
        for deed in deeds {
            assert_eq!(execute(&database, &[deed]).await, 1, "{deed}");
        }
        let found = found.iter().map(|unit| (*unit).to_owned()).collect();
        assert_eq!(wrong(&world).await, (mismatches, found), "{deeds:?}");
        let ran = tonghop(1, &["verify", "--database", &world.postgres.url(), "--json"]).await;
        assert_eq!(ran.object()["mismatches"], mismatches);
        execute(&database, &BRING_BACK).await;
        assert_eq!(world.verified().await, verified);
    }
    services.assert_quiet();
}
