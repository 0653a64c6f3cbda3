//! Verification finds what is wrong: otherwise it is worth nothing that it finds nothing.

use sqlx::{AssertSqlSafe, PgPool};
use tests::{World, int, report, tonghop};

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

/// The units whose totals are wrong.
async fn wrong(world: &World) -> Vec<String> {
    let verification = world.store.verify().await.unwrap();
    assert_eq!(verification.mismatches, u64::try_from(verification.listed.len()).unwrap());
    for mismatch in &verification.listed {
        let of = (mismatch.data_set.as_str(), mismatch.period.as_str(), mismatch.level.as_str());
        assert_eq!(of, ("identity", "202211", "commune"));
        assert_ne!(mismatch.stored, mismatch.recomputed);
    }
    verification.listed.into_iter().map(|mismatch| mismatch.org_unit).collect()
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
    assert_eq!((verified.totals_checked, verified.reports), (5, 3));

    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    execute(&database, &KEEP).await;
    let change = "UPDATE total SET sums[1] = sums[1] + 1 WHERE org_unit = '94'";
    let lose = "DELETE FROM total WHERE org_unit = '001'";
    let make_up = "INSERT INTO total SELECT data_set, period, '79', level, reported, sums, contributing, version, position, \
                   changed_at FROM total WHERE org_unit = '01'";
    let restate = "UPDATE report SET cells[place] = cells[place] + 1 FROM cell WHERE org_unit = '31498' \
                   AND cell.data_set = report.data_set AND data_element = 'id_eligible_citizens'";
    let only_a_count = "UPDATE total SET contributing[1] = contributing[1] + 1 WHERE org_unit = '941'";
    let only_reported = "UPDATE total SET reported = reported + 1 WHERE org_unit = 'VN'";
    let lose_a_report = "DELETE FROM report WHERE org_unit = '00001'";
    for (deeds, found) in [
        (&[change, lose, make_up][..], &["001", "79", "94"][..]),
        (&[restate], &["94", "941", "VN"]),
        (&[only_a_count], &["941"]),
        (&[only_reported], &["VN"]),
        (&[lose_a_report], &["001", "01", "VN"]),
    ] {
        for deed in deeds {
            assert_eq!(execute(&database, &[deed]).await, 1, "{deed}");
        }
        assert_eq!(wrong(&world).await, found, "{deeds:?}");
        let ran = tonghop(1, &["verify", "--database", &world.postgres.url(), "--json"]).await;
        assert_eq!(ran.object()["mismatches"], found.len());
        execute(&database, &BRING_BACK).await;
        assert_eq!(world.verified().await, verified);
    }
    services.assert_quiet();
}
