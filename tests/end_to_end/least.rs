//! Each service may do what it does and nothing else: every NATS subject and every SQL statement that is not its own is
//! tried with its own key and password, on real servers.

use std::collections::BTreeSet;

use async_nats::{Client, ConnectOptions};
use local::{NatsOptions, NatsServer, PostgresOptions, PostgresServer};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use store::{Role, Store, StoreConfig, StoreError};
use tests::{World, int, report, small_topology};
use tokio::sync::mpsc::UnboundedReceiver;

/// Every subject that means something here. Who may publish on one is named beside it; nobody else may.
const SUBJECTS: &[(&str, &[&str])] = &[
    ("reports.submitted.0", &["collector"]),
    ("reports.submitted.retry", &["provision"]),
    ("audit.collector", &["collector"]),
    ("audit.query", &["query"]),
    ("reports.accepted.0", &["validator", "provision"]),
    ("reports.rejected.0", &["validator", "provision"]),
    ("reports.quarantined.0", &["validator"]),
    ("totals.v1.national.VN.identity.202211", &["aggregator"]),
    ("reports.v1.94.identity.accepted", &["aggregator"]),
    ("progress.counted", &["aggregator"]),
    ("probes.somebody", &[]),
    ("anything", &[]),
    ("$JS.API.STREAM.INFO.REPORTS", &["aggregator", "provision", "monitor"]),
    ("$JS.API.STREAM.INFO.VERDICTS", &["validator", "aggregator", "query", "provision", "monitor"]),
    ("$JS.API.STREAM.INFO.TOTALS", &["aggregator", "query", "provision", "monitor"]),
    ("$JS.API.STREAM.CREATE.MINE", &["provision"]),
    ("$JS.API.STREAM.UPDATE.REPORTS", &[]),
    ("$JS.API.STREAM.DELETE.REPORTS", &[]),
    ("$JS.API.STREAM.PURGE.REPORTS", &[]),
    ("$JS.API.STREAM.PURGE.TOTALS", &[]),
    ("$JS.API.STREAM.MSG.DELETE.REPORTS", &[]),
    ("$JS.API.STREAM.MSG.GET.REPORTS", &["validator", "provision", "monitor"]),
    ("$JS.API.STREAM.MSG.GET.VERDICTS", &["aggregator", "provision", "monitor"]),
    ("$JS.API.STREAM.MSG.GET.TOTALS", &[]),
    ("$JS.API.STREAM.SNAPSHOT.REPORTS", &[]),
    ("$JS.API.STREAM.RESTORE.REPORTS", &[]),
    ("$JS.API.DIRECT.GET.REPORTS", &[]),
    ("$JS.API.DIRECT.GET.TOTALS.totals.v1.national.VN.identity.202211", &["aggregator", "provision"]),
    ("$JS.API.CONSUMER.CREATE.REPORTS.mine", &["provision"]),
    ("$JS.API.CONSUMER.CREATE.REPORTS.mine.reports.submitted.0", &["provision"]),
    ("$JS.API.CONSUMER.CREATE.VERDICTS.mine.reports.accepted.0", &["aggregator", "provision"]),
    ("$JS.API.CONSUMER.CREATE.TOTALS.mine.totals.v1.>", &["query", "provision"]),
    ("$JS.API.CONSUMER.CREATE.AUDIT.mine.audit.*", &["aggregator", "provision"]),
    ("$JS.API.CONSUMER.DURABLE.CREATE.REPORTS.validator", &[]),
    ("$JS.API.CONSUMER.DELETE.REPORTS.validator", &[]),
    ("$JS.API.CONSUMER.PAUSE.REPORTS.validator", &[]),
    ("$JS.API.CONSUMER.INFO.REPORTS.validator", &["validator", "provision", "monitor"]),
    ("$JS.API.CONSUMER.MSG.NEXT.REPORTS.validator", &["validator", "provision"]),
    ("$JS.API.CONSUMER.MSG.NEXT.VERDICTS.some", &["aggregator"]),
    ("$JS.API.CONSUMER.MSG.NEXT.TOTALS.some", &["query", "provision"]),
    ("$JS.ACK.REPORTS.validator.1.1.1.1.1", &["validator"]),
    ("$JS.ACK.VERDICTS.some.1.1.1.1.1", &[]),
    ("$SYS.REQ.SERVER.PING", &[]),
];

/// What nobody but the operator may listen to.
const LISTENING: [&str; 7] = [">", "reports.>", "totals.>", "progress.>", "$JS.>", "_INBOX.>", "$SYS.>"];

/// A connection as somebody, and what the server says of it.
async fn connected(world: &World, who: &str) -> (Client, UnboundedReceiver<String>) {
    let (told, heard) = tokio::sync::mpsc::unbounded_channel();
    let seed = std::fs::read_to_string(world.keys.layout().nats_seed(who)).unwrap();
    let options = ConnectOptions::with_nkey(seed.trim().to_owned())
        .add_root_certificates(world.keys.layout().ca())
        .require_tls(true)
        .event_callback(move |event| {
            let told = told.clone();
            async move {
                let _ = told.send(event.to_string().to_lowercase());
            }
        });
    (options.connect(world.nats.tls_url()).await.unwrap(), heard)
}

/// Goal: no user can publish, ask or listen where it has no business; and what was tried changed nothing.
#[tokio::test(flavor = "multi_thread")]
async fn every_subject_that_is_not_its_own_is_refused_to_a_service() {
    let world = World::start().await;
    let services = world.services().await;
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    let before = [world.stream("REPORTS").await.unwrap(), world.stream("VERDICTS").await.unwrap()];

    for who in ["collector", "validator", "aggregator", "query", "provision", "monitor"] {
        let (client, mut heard) = connected(&world, who).await;
        let forbidden: Vec<_> = SUBJECTS.iter().filter(|(_, may)| !may.contains(&who)).map(|(name, _)| *name).collect();
        assert!(forbidden.len() > SUBJECTS.len() / 2);
        for subject in &forbidden {
            client.publish_with_reply(*subject, client.new_inbox(), "{}".into()).await.unwrap();
        }
        let mut subscriptions = Vec::new();
        for subject in LISTENING {
            subscriptions.push(client.subscribe(subject).await.unwrap());
        }
        client.flush().await.unwrap();
        let mut wanted: BTreeSet<String> = forbidden.iter().map(|name| format!("publish to \"{name}\"")).collect();
        wanted.extend(LISTENING.map(|name| format!("subscription to \"{name}\"")));
        let mut wanted: BTreeSet<_> = wanted.into_iter().map(|name| name.to_lowercase()).collect();
        while !wanted.is_empty() {
            let told = tokio::time::timeout(tests::PATIENCE, heard.recv()).await;
            let told = told.unwrap_or_else(|_| panic!("{who} is not refused {wanted:#?}")).unwrap();
            wanted.retain(|refused| !told.contains(refused));
        }
    }
    let after = [world.stream("REPORTS").await.unwrap(), world.stream("VERDICTS").await.unwrap()];
    assert_eq!(before, after);
    world.verified().await;
    services.assert_quiet();
}

/// Goal: a server whose clients must say who they are does not take those who do not, and nobody hears another's answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_does_not_get_in() {
    let world = World::start().await;
    let keys = world.keys.layout();
    let strict = NatsOptions { keys: Some(keys.of("nats")), ..NatsOptions::default() };
    let strict = NatsServer::start(strict).await.unwrap();
    let ca = || ConnectOptions::new().add_root_certificates(keys.ca()).require_tls(true);
    let connect = async |options: ConnectOptions| options.connect(strict.tls_url()).await.map(drop);
    assert!(async_nats::connect(strict.url()).await.is_err(), "without TLS");
    assert!(connect(ca()).await.is_err(), "without a key");
    let others = local::Keys::make().unwrap();
    let seed = |path| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let (own, foreign) = (seed(keys.nats_seed("query")), seed(others.layout().nats_seed("query")));
    assert!(connect(ca().nkey(foreign)).await.is_err(), "with somebody else's key");
    let other_ca = ConnectOptions::new().add_root_certificates(others.layout().ca()).require_tls(true);
    assert!(connect(other_ca.nkey(own.clone())).await.is_err(), "to a server of another authority");
    connect(ca().nkey(own)).await.unwrap();
}

/// What each role may do to each table, by first letter: select, insert, update, delete. Everything else is tried.
const TABLES: &[(&str, [&str; 4])] = &[
    //                      validator aggregator query monitor
    ("_sqlx_migrations", ["s", "s", "s", "s"]),
    ("catalogue_version", ["", "s", "", "s"]),
    ("catalogue_file", ["", "s", "s", "s"]),
    ("org_unit", ["", "s", "", "s"]),
    ("recoding", ["", "s", "", "s"]),
    ("data_set", ["", "s", "", "s"]),
    ("cell", ["", "s", "", "s"]),
    ("report", ["s", "siu", "s", "s"]),
    ("report_history", ["", "si", "s", "s"]),
    ("submission", ["", "si", "s", "s"]),
    ("total", ["", "siu", "s", "s"]),
    ("partition_progress", ["", "su", "s", "s"]),
    ("outbox", ["", "sid", "", "s"]),
    ("quarantine", ["", "si", "", "s"]),
    ("reopening", ["s", "", "s", "s"]),
    ("audit", ["", "si", "", "s"]),
    ("reconciliation", ["", "siud", "", "s"]),
    ("probe", ["", "siu", "", "s"]),
];
const ROLES: [Role; 4] = [Role::Validator, Role::Aggregator, Role::Query, Role::Monitor];

/// What no role of a service may do at all.
const NEVER: [&str; 12] = [
    "CREATE TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "DROP TABLE report_history",
    "ALTER TABLE report_history DISABLE TRIGGER ALL",
    "ALTER TABLE submission ADD COLUMN a int",
    "GRANT tonghop_provision TO tonghop_query",
    "SET ROLE tonghop_provision",
    "SET ROLE tonghop",
    "ALTER SYSTEM SET fsync = off",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
];

/// Goal: no service can change history, or touch what is not its own, whatever statement it sends.
#[tokio::test(flavor = "multi_thread")]
async fn every_statement_that_is_not_its_own_is_refused_to_a_service() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let tables = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'");
    let tables: BTreeSet<String> = tables.fetch_all(&mut superuser).await.unwrap().into_iter().collect();
    let listed: BTreeSet<_> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert_eq!(listed, tables, "for every table it is decided who may do what");

    for (place, role) in ROLES.into_iter().enumerate() {
        let password = std::fs::read_to_string(world.keys.layout().postgres_password(role.service())).unwrap();
        let address = world.postgres.address().replace("://", &format!("://{}:{}@", role.name(), password.trim()));
        let mut connection = PgConnection::connect(&address).await.unwrap();
        let mut statements: Vec<(bool, String)> = NEVER.iter().map(|never| (false, (*never).to_owned())).collect();
        for (table, may) in TABLES {
            let column = sqlx::query_scalar(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' LIMIT 1",
            );
            let column: String = column.bind(table).fetch_one(&mut superuser).await.unwrap();
            // An identity is never given.
            let has_identity = matches!(*table, "quarantine" | "reopening");
            let rows =
                if has_identity { "DEFAULT VALUES".to_owned() } else { format!("SELECT * FROM {table} LIMIT 0") };
            for (letter, statement) in [
                ('s', format!("SELECT 1 FROM {table} LIMIT 0")),
                ('i', format!("INSERT INTO {table} {rows}")),
                ('u', format!("UPDATE {table} SET {column} = {column} WHERE false")),
                ('d', format!("DELETE FROM {table} WHERE false")),
                ('t', format!("TRUNCATE {table}")),
            ] {
                // Whoever may add a row without values is refused for the values: that is not what is tried.
                if !(letter == 'i' && has_identity && may[place].contains('i')) {
                    statements.push((may[place].contains(letter), statement));
                }
            }
        }
        for (may, statement) in statements {
            let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(statement.clone()))).await;
            let code = done.err().map(|error| error.as_database_error().unwrap().code().unwrap().into_owned());
            let expected = if may { None } else { Some("42501".to_owned()) };
            assert_eq!(code, expected, "{role:?}: {statement}");
        }
        for (setting, expected) in [("lock_timeout", "15s"), ("idle_in_transaction_session_timeout", "1min")] {
            let value: String = sqlx::query_scalar("SELECT current_setting($1)")
                .bind(setting)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(value, expected, "{role:?}");
        }
    }
    let public: bool = sqlx::query_scalar(
        "SELECT has_database_privilege('public', current_database(), 'CONNECT') OR has_schema_privilege('public', 'public', 'USAGE')",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert!(!public, "who has no role here does not get in");
}

/// Goal: passwords are not what anybody could guess, not in the server's log, and changed by provisioning again.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_gets_in_with_its_password_over_tls_alone() {
    let world = World::start().await;
    let good = world.keys.postgres(Role::Query, &world.postgres);
    Store::open("query", &good).await.unwrap();
    let refused = async |config: StoreConfig| Store::connect("query", &config).await.map(drop).unwrap_err();
    let wrong = StoreConfig { password: Some(world.keys.layout().postgres_password("monitor")), ..good.clone() };
    refused(wrong).await;
    let others = local::Keys::make().unwrap();
    refused(StoreConfig { ca: Some(others.layout().ca()), ..good.clone() }).await;
    let missing = refused(StoreConfig { password: Some("/nowhere".into()), ..good.clone() }).await;
    assert_eq!(missing.to_string(), "cannot read the password in /nowhere");

    let path = world.keys.layout().postgres_password("query");
    let old = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, "another").unwrap();
    refused(good.clone()).await;
    cli::provision::roles(&world.store, world.keys.layout().dir()).await.unwrap();
    Store::open("query", &good).await.unwrap();
    let log = std::fs::read_to_string(world.postgres.directory().join("log")).unwrap();
    assert!(!log.contains(old.trim()) && !log.contains("another"), "{log}");
}

/// Goal: whoever provisions at the same time gets the same, with nothing made twice and nobody refused.
#[tokio::test(flavor = "multi_thread")]
async fn several_provision_at_once() {
    let world = World::bare(tests::small_nats()).await;
    let roles = async || cli::provision::roles(&world.store, world.keys.layout().dir()).await.unwrap();
    tokio::join!(roles(), roles(), roles());
    let topology = small_topology();
    let done = tokio::join!(world.provision(&topology), world.provision(&topology), world.provision(&topology));
    let made = [&done.0, &done.1, &done.2].map(|done| done.streams.made.len());
    assert_eq!(made.iter().sum::<usize>(), 6, "each stream once: {done:?}");
    assert_eq!([done.0, done.1, done.2].iter().filter(|done| done.catalogue_is_new).count(), 1);
    let services = world.services().await;
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    world.verified().await;
    services.assert_quiet();
}

/// Goal: a service works on its own schema and the next, and says what to do about any other, or about a database that would
/// lose what it acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_refuses_a_database_that_does_not_suit_it() {
    let world = World::bare(tests::small_nats()).await;
    let config = world.keys.postgres(Role::Query, &world.postgres);
    let open = async || Store::open("query", &config).await.map(drop);
    assert!(matches!(open().await, Err(StoreError::NotProvisioned)));
    world.provision(&small_topology()).await;
    open().await.unwrap();
    let mut superuser = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        SELECT max(version) + 1, 'newer', true, '', 0 FROM _sqlx_migrations";
    superuser.execute(newer).await.unwrap();
    open().await.unwrap();
    superuser.execute(newer).await.unwrap();
    let error = open().await.unwrap_err();
    assert!(error.to_string().contains("use a newer version"), "{error}");
    superuser.execute("DELETE FROM _sqlx_migrations WHERE version > 2").await.unwrap();
    let error = open().await.unwrap_err();
    assert!(error.to_string().contains("run `tonghop provision` of this version first"), "{error}");

    let settings = vec![("fsync".to_owned(), "off".to_owned())];
    let lossy = PostgresServer::start(PostgresOptions { settings, ..PostgresOptions::default() }).await.unwrap();
    let error = Store::open("query", &StoreConfig::to(lossy.url())).await.unwrap_err();
    assert_eq!(error.to_string(), "PostgreSQL would lose what it acknowledged: fsync is off; it must be on");
}
