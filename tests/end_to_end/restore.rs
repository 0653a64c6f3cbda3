//! The page `deploy/BACKUP.md`: every command of it is run, and afterwards nothing is lost.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use sqlx::{AssertSqlSafe, PgPool};
use tests::{Events, PATIENCE, Services, World, eventually, int, program, report, sum};
use tokio::process::Command;

/// The page's blocks of commands, by the heading that they stand under.
fn page() -> BTreeMap<String, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/BACKUP.md");
    let page = fs::read_to_string(path).unwrap();
    let (mut blocks, mut heading) = (BTreeMap::<_, Vec<_>>::new(), String::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(next) = line.strip_prefix("## ") {
            heading = next.to_owned();
        } else if line == "```sh" {
            let block = lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            blocks.entry(heading.clone()).or_default().push(block);
        }
    }
    blocks
}

/// Runs the page's commands at an operator's terminal.
struct Operator {
    page: BTreeMap<String, Vec<String>>,
    variables: Vec<(&'static str, String)>,
    path: String,
}

impl Operator {
    fn of(world: &World, dir: &Path) -> Self {
        fs::create_dir(dir.join("bin")).unwrap();
        program("tonghop", &dir.join("bin"));
        let inherited = std::env::var("PATH").unwrap();
        let programs = world.postgres.programs().display();
        let named = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let server = world.postgres.directory();
        let variables = vec![
            ("DATABASE", world.postgres.url()),
            ("PGDATA", server.join("data").to_str().unwrap().to_owned()),
            // The server's own account writes there.
            ("BACKUPS", server.join("backups").to_str().unwrap().to_owned()),
            // As whom operators run what changes something.
            ("NATS", world.nats.tls_url()),
            ("TONGHOP_NATS_CA", world.keys.layout().ca().to_str().unwrap().to_owned()),
            ("TONGHOP_NATS_SEED", world.keys.layout().nats_seed("provision").to_str().unwrap().to_owned()),
            ("KEYS", named("")),
            ("ANCHORS", named("anchors")),
            ("CATALOGUE", world.catalogue_dir.to_str().unwrap().to_owned()),
            (
                "TOPOLOGY",
                "--partitions 4 --reports-max-bytes 1GiB --verdicts-max-bytes 1GiB --totals-max-bytes 256MiB --fates-max-bytes 256MiB"
                    .to_owned(),
            ),
        ];
        Self { page: page(), variables, path: format!("{}:{programs}:{inherited}", named("bin")) }
    }

    /// Runs one of the blocks under a heading, and gives what it prints.
    async fn runs(&self, heading: &str, place: usize) -> String {
        let commands = &self.page[heading][place];
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", commands])
            .env("PATH", &self.path)
            .env("USER", "lan")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let ended = tokio::time::timeout(PATIENCE, shell.output()).await.unwrap_or_else(|_| panic!("{commands} ends"));
        let output = ended.unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{commands}: {out}{err}");
        out + &err
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.variables.push((name, value));
    }
}

const ONCE: &str = "Once: archive the write-ahead log";
const RESTORE: &str = "Restore to a moment";
const LOST: &str = "When NATS is lost as well";

async fn submit(services: &Services, unit: &str, revision: i64, value: i64) {
    services.submit(&report(unit, revision, vec![int("id_eligible_citizens", value)])).await.unwrap();
}

/// The versions of every subject grow, whatever happened; the last event of each says what the query service says.
async fn followers_are_right(services: &Services, events: &Events) {
    for subject in events.subjects() {
        let versions = events.versions(&subject);
        assert!(versions.is_sorted_by(|one, next| one < next), "{subject}: {versions:?}");
    }
    for unit in ["VN", "94", "941", "01", "001", "79", "760"] {
        let totals = services.totals(unit, "identity", "202211").await;
        // Where nothing was ever reported there is no event.
        if totals.version > 0 {
            events.agree_with(&totals).await;
        }
    }
}

async fn restored_to_a_moment(verdicts_are_lost: bool) {
    let mut world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut operator = Operator::of(&world, dir.path());
    operator.runs(ONCE, 0).await;
    let public_key = operator.runs(ONCE, 1).await.trim().to_owned();
    operator.set("PUBLIC_KEY", public_key);
    world.postgres.restart().await.unwrap();

    let services = world.services().await;
    let events = Events::follow(&world).await;
    submit(&services, "31498", 1, 1).await;
    submit(&services, "31501", 1, 10).await;
    world.settled(2).await;
    operator.runs("Every day: a base backup", 0).await;
    submit(&services, "00001", 1, 100).await;
    world.settled(3).await;
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    let until: String = sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(&database).await.unwrap();
    operator.set("UNTIL", until);
    // Corrections, and reports of units of which the restored database will know nothing at all.
    for (unit, revision, value) in [("31498", 2, 5), ("31501", 2, 50), ("26734", 1, 1_000)] {
        submit(&services, unit, revision, value).await;
        world.quiet().await;
    }
    world.settled(6).await;
    followers_are_right(&services, &events).await;
    let before = services.totals("VN", "identity", "202211").await;
    operator.runs("Every hour: an anchor", 0).await;
    operator.runs("Before planned work: archive what is there", 0).await;
    drop(services);
    database.close().await;

    world.postgres.stop().await.unwrap();
    operator.runs(RESTORE, 0).await;
    world.postgres.restart().await.unwrap();
    operator.runs(RESTORE, 1).await;
    // A connection from before is found broken by whoever uses it first.
    let counts = eventually("the database answers", || world.store.fate_counts()).await;
    assert_eq!(counts.settled(), 3, "it is as it was at the moment");
    if verdicts_are_lost {
        let client = async_nats::connect(world.nats.url()).await.unwrap();
        async_nats::jetstream::new(client).delete_stream("VERDICTS").await.unwrap();
        operator.runs(LOST, 0).await;
    }

    let mut hasty = world.service("aggregator").await;
    hasty.logged("counting broke off; starting over from what is stored").await;
    assert_eq!(world.store.fate_counts().await.unwrap().settled(), 3, "it does not count before it may");
    hasty.kill_hard().await;
    if verdicts_are_lost {
        operator.runs(LOST, 1).await;
    } else {
        operator.runs(RESTORE, 2).await;
    }

    let services = world.services().await;
    world.settled(6).await;
    world.quiet().await;
    let after = services.totals("VN", "identity", "202211").await;
    assert_eq!(sum(&after, "commune", "id_eligible_citizens"), Some(1_155), "nothing is lost, nothing counts twice");
    assert_eq!(after.levels, before.levels);
    assert!(after.version > before.version, "{} goes on after {}", after.version, before.version);
    followers_are_right(&services, &events).await;
    let epoch = |unit: &str| events.last(&format!("totals.v1.{unit}.identity.202211")).unwrap().data.epoch;
    assert_eq!([epoch("national.VN"), epoch("province.94"), epoch("district.760")], [2, 2, 2]);
    let checked = operator.runs(RESTORE, 3).await;
    assert!(checked.contains("anchored rows were lost when lan restored the database"), "{checked}");
    services.assert_quiet();
}

/// Goal: a database that is restored to a moment before a correction counts again what came since, and whoever follows is right in
/// the end, with versions that only grow. Before it is told of the restore, an aggregator does not count.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_counts_again_what_it_lost() {
    Box::pin(restored_to_a_moment(false)).await;
}

/// Goal: the same when the verdicts are lost with it: they are made again of the log of submitted reports.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_judged_is_judged_again_when_the_verdicts_are_lost_too() {
    Box::pin(restored_to_a_moment(true)).await;
}

/// Goal: streams that are lost under a sound database are made anew: every total is published again with its next version, nothing
/// counts twice, and what is submitted then counts.
#[tokio::test(flavor = "multi_thread")]
async fn lost_streams_are_made_anew() {
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let operator = Operator::of(&world, dir.path());
    let services = world.services().await;
    for (unit, value) in [("31498", 1), ("31501", 10), ("00001", 100)] {
        submit(&services, unit, 1, value).await;
        world.quiet().await;
    }
    world.settled(3).await;
    let before = services.totals("VN", "identity", "202211").await;
    drop(services);
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    for stream in ["VERDICTS", "TOTALS"] {
        context.delete_stream(stream).await.unwrap();
    }
    operator.runs(LOST, 0).await;
    let events = Events::follow(&world).await;
    operator.runs(LOST, 1).await;

    let services = world.services().await;
    world.quiet().await;
    let announced = services.totals("VN", "identity", "202211").await;
    assert_eq!((announced.version, &announced.levels), (before.version + 1, &before.levels));
    followers_are_right(&services, &events).await;
    world.settled(3).await;
    submit(&services, "31498", 2, 2).await;
    world.settled(4).await;
    let after = services.totals("VN", "identity", "202211").await;
    assert_eq!(sum(&after, "commune", "id_eligible_citizens"), Some(112));
    followers_are_right(&services, &events).await;
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    let stored = "SELECT count(*) FROM (SELECT DISTINCT data_set, period, org_unit FROM total) AS units";
    let units: i64 = sqlx::query_scalar(AssertSqlSafe(stored)).fetch_one(&database).await.unwrap();
    assert_eq!(i64::try_from(events.subjects().len()).unwrap(), units, "TOTALS has every total again");
    world.verified().await;
    services.assert_quiet();
}
