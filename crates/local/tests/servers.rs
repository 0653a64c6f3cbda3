//! Private servers keep their promises: same port and data after a crash, nothing left behind, and they work on a
//! machine that has none installed, as root, and below a directory that only root may enter.
//!
//! What depends on the environment or on the death of the process that owns the servers is tried in a second process:
//! this program again, running only [`hold_servers`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use local::{NatsOptions, NatsServer, PostgresOptions, PostgresServer, part::Part};
use sqlx::{Connection, PgConnection};

/// Far more than anything here takes, so that only what hangs fails.
const BOUND: Duration = Duration::from_secs(120);
/// Tells [`hold_servers`] where to write what it started.
const REPORT_VARIABLE: &str = "TONGHOP_TEST_REPORT";

#[tokio::test(flavor = "multi_thread")]
async fn nats_keeps_its_port_and_its_messages_when_killed() {
    let mut server = NatsServer::start(NatsOptions::default()).await.unwrap();
    let (url, first_pid) = (server.url(), server.pid());
    assert_eq!(process_group(first_pid), first_pid, "a terminal's Ctrl-C would reach the server");
    let stream = create_stream(&url).await;
    publish(&url, "before the crash").await;

    server.kill_hard().await.unwrap();
    assert!(!is_alive(first_pid));
    assert!(async_nats::connect(&url).await.is_err());
    server.restart().await.unwrap();

    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), first_pid);
    let mut stream = jetstream::new(async_nats::connect(&url).await.unwrap()).get_stream(stream).await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);

    server.stop().await.unwrap();
    server.restart().await.unwrap();
    publish(&url, "after a stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_kept_running_come_back_when_somebody_kills_them() {
    let nats = NatsServer::start(NatsOptions::default()).await.unwrap();
    let postgres = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    nats.keep_running();
    postgres.keep_running();
    let _busy = keep_busy(&postgres.url()).await;
    for _ in 0..2 {
        let (first_nats, first_postgres) = (nats.pid(), postgres.pid());
        for part in [format!("nats={first_nats}"), format!("postgres={first_postgres}")] {
            Part::parse(&part).unwrap().kill().unwrap();
        }
        eventually("others have taken their place", || nats.pid() != first_nats && postgres.pid() != first_postgres)
            .await;
        async_nats::connect(nats.url()).await.unwrap();
        PgConnection::connect(&postgres.url()).await.unwrap();
    }
    let (last_nats, last_postgres, directory) = (nats.pid(), postgres.pid(), nats.directory().to_owned());
    drop((nats, postgres));
    eventually("they end with their owner", || !is_alive(last_nats) && !is_alive(last_postgres)).await;
    eventually("and leave nothing", || !directory.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_syncs_always_and_limits_what_streams_reserve() {
    let server = NatsServer::start(NatsOptions { max_file_store: 1 << 20, ..NatsOptions::default() }).await.unwrap();
    let configuration = fs::read_to_string(server.directory().join("nats.conf")).unwrap();
    assert!(configuration.contains("sync_interval: always"), "{configuration}");

    let client = async_nats::connect(server.url()).await.unwrap();
    assert_eq!(client.server_info().max_payload, 1 << 20);
    let too_large = stream::Config {
        name: "LARGE".into(),
        subjects: vec!["large".into()],
        max_bytes: 2 << 20,
        ..Default::default()
    };
    assert!(jetstream::new(client).create_stream(too_large).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_nats_answers_nothing_until_it_is_resumed() {
    let server = NatsServer::start(NatsOptions::default()).await.unwrap();
    server.pause().unwrap();
    eventually("it is stopped", || process_state(server.pid()) == Some('T')).await;
    let mut connecting = tokio::spawn(async_nats::connect(server.url()));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut connecting).await.is_err(), "it answered");

    server.resume().unwrap();
    connecting.await.unwrap().unwrap();

    server.pause().unwrap();
    let pid = server.pid();
    drop(server);
    assert!(!is_alive(pid), "a paused server must end as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_its_port_and_its_data_when_killed() {
    let mut server = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    let (url, first_pid) = (server.url(), server.pid());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE kept (name text)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES ('Xã Tân Hội')").execute(&mut connection).await.unwrap();

    let _busy = keep_busy(&url).await;
    let backends = children(first_pid);
    server.kill_hard().await.unwrap();
    assert!(!is_alive(first_pid));
    eventually("its busy children are gone as well", || !backends.iter().copied().any(is_alive)).await;
    server.restart().await.unwrap();

    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), first_pid);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT name FROM kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(name, "Xã Tân Hội");

    server.stop().await.unwrap();
    assert!(PgConnection::connect(&url).await.is_err());
    server.restart().await.unwrap();
    PgConnection::connect(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_durable_and_checked_and_takes_options() {
    let settings = vec![("work_mem".to_owned(), "12MB".to_owned())];
    let server = PostgresServer::start(PostgresOptions { settings, ..PostgresOptions::default() }).await.unwrap();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    for (name, expected) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
        ("max_wal_size", "2GB"),
        ("work_mem", "12MB"),
    ] {
        let value: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut connection).await.unwrap();
        assert_eq!(value, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_asks_for_its_password() {
    let server = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    let (before, after) = server.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let password = before.rsplit_once(':').unwrap().1.to_owned();
    assert!(!format!("{server:?}").contains(&password));

    let wrong = format!("{}@{after}", before.replace(&password, "guess"));
    assert!(PgConnection::connect(&wrong).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_servers_leave_neither_processes_nor_files() {
    let nats = NatsServer::start(NatsOptions::default()).await.unwrap();
    let postgres = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    let mut pids = vec![nats.pid(), postgres.pid()];
    pids.extend(children(postgres.pid()));
    assert!(pids.len() > 4, "a postmaster has children: {pids:?}");
    let directories = [nats.directory().to_owned(), postgres.directory().to_owned()];

    let panicked = tokio::spawn(async move {
        let _servers = (nats, postgres);
        panic!("this panic is part of the test");
    });
    assert!(panicked.await.unwrap_err().is_panic());

    eventually("all processes are gone", || !pids.iter().copied().any(is_alive)).await;
    assert!(!directories.iter().any(|directory| directory.exists()), "{directories:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_die_with_a_killed_owner_and_the_next_start_sweeps_their_files() {
    let place = Place::new("killed-owner");
    let mut owner = Owner::start(&place, &[]);
    let held = owner.servers().await;
    let _busy = keep_busy(&held.postgres_url).await;
    let mut pids = vec![held.nats_pid, held.postgres_pid];
    pids.extend(children(held.postgres_pid));
    assert!(pids.len() > 4 && pids.iter().copied().all(is_alive), "{pids:?}");

    owner.kill();

    eventually("all processes are gone", || !pids.iter().copied().any(is_alive)).await;
    assert!(held.nats_directory.exists() && held.postgres_directory.exists());
    let mut next = Owner::start(&place, &[]);
    let second = next.servers().await;
    assert!(!held.nats_directory.exists() && !held.postgres_directory.exists());
    assert!(second.nats_directory.exists() && second.postgres_directory.exists());
}

/// As on a fresh machine, and as several test processes do: both want what neither has yet.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_not_installed_are_fetched_once() {
    let place = Place::new("fetched");
    let mut owners =
        [Owner::start(&place, &[("TONGHOP_TOOLS", "fetch")]), Owner::start(&place, &[("TONGHOP_TOOLS", "fetch")])];
    for owner in &mut owners {
        let held = owner.servers().await;
        for pid in [held.nats_pid, held.postgres_pid] {
            let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
            assert!(program.starts_with(held.base().join("tools")), "{}", program.display());
        }
    }
    let [first, second] = owners.map(|mut owner| {
        owner.kill();
        fs::read_to_string(&owner.log).unwrap()
    });
    let fetches = format!("{first}{second}").matches("fetching a server").count();
    assert_eq!(fetches, 2, "one of each\n{first}\n{second}");

    let mut later = Owner::start(&place, &[("TONGHOP_TOOLS", "fetch"), ("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", "")]);
    later.servers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_run_below_a_directory_that_only_we_may_enter() {
    let place = Place::new("private");
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o700)).unwrap();

    let mut owner = Owner::start(&place, &[("TONGHOP_TOOLS", "fetch")]);
    let held = owner.servers().await;

    let root = rustix::process::geteuid().is_root();
    assert_eq!(held.postgres_directory.starts_with("/var/tmp"), root, "{held:?}");
    assert_ne!(owner_of(Path::new(&format!("/proc/{}", held.postgres_pid))), 0);
}

/// Not a test of its own: the second process of the tests above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by other tests, waits to be killed"]
async fn hold_servers() {
    let report = PathBuf::from(std::env::var_os(REPORT_VARIABLE).expect("only another test can start this"));
    tracing_subscriber::fmt().with_env_filter("local=debug").with_ansi(false).with_writer(std::io::stderr).init();
    let started = Instant::now();
    let nats = NatsServer::start(NatsOptions::default()).await.unwrap();
    tracing::debug!(target: "local", ms = started.elapsed().as_millis(), "NATS is up");
    let started = Instant::now();
    let postgres = PostgresServer::start(PostgresOptions::default()).await.unwrap();
    tracing::debug!(target: "local", ms = started.elapsed().as_millis(), "PostgreSQL is up");
    PgConnection::connect(&postgres.url()).await.unwrap();
    async_nats::connect(nats.url()).await.unwrap();

    let (nats_directory, postgres_directory) = (nats.directory().display(), postgres.directory().display());
    let lines =
        format!("{}\n{}\n{nats_directory}\n{postgres_directory}\n{}\n", nats.pid(), postgres.pid(), postgres.url());
    let unfinished = report.with_extension("unfinished");
    fs::write(&unfinished, lines).unwrap();
    fs::rename(&unfinished, &report).unwrap();
    std::future::pending::<()>().await;
}

/// A fresh directory for servers, removed at the end with what was put elsewhere on its behalf.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A second process that owns servers.
struct Owner {
    process: Child,
    report: PathBuf,
    log: PathBuf,
    held: Option<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    nats_pid: u32,
    postgres_pid: u32,
    nats_directory: PathBuf,
    postgres_directory: PathBuf,
    postgres_url: String,
}

impl Held {
    fn base(&self) -> &Path {
        self.nats_directory.ancestors().nth(2).unwrap()
    }
}

impl Owner {
    fn start(place: &Place, variables: &[(&str, &str)]) -> Self {
        let number = fs::read_dir(&place.0).unwrap().count();
        let (report, log) = (place.0.join(format!("{number}.report")), place.0.join(format!("{number}.log")));
        let output = fs::File::create(&log).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hold_servers", "--ignored", "--nocapture"])
            .env(REPORT_VARIABLE, &report)
            .env("TONGHOP_LOCAL_DIR", place.0.join("local"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { process, report, log, held: None }
    }

    /// Waits until both servers are up.
    async fn servers(&mut self) -> Held {
        eventually("the second process reports its servers", || {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("{status}: {}", fs::read_to_string(&self.log).unwrap());
            }
            self.report.exists()
        })
        .await;
        let report = fs::read_to_string(&self.report).unwrap();
        let lines: Vec<&str> = report.lines().collect();
        let held = Held {
            nats_pid: lines[0].parse().unwrap(),
            postgres_pid: lines[1].parse().unwrap(),
            nats_directory: lines[2].into(),
            postgres_directory: lines[3].into(),
            postgres_url: lines[4].into(),
        };
        self.held.insert(held).clone()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.kill();
        // What lay in the place itself goes with it.
        if let Some(base) = self.held.as_ref().map(Held::base).filter(|base| base.starts_with("/var/tmp")) {
            let _ = fs::remove_dir_all(base);
        }
    }
}

async fn create_stream(url: &str) -> &'static str {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    let config = stream::Config { name: "KEPT".into(), subjects: vec!["kept".into()], ..Default::default() };
    context.create_stream(config).await.unwrap();
    "KEPT"
}

async fn publish(url: &str, text: &'static str) {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    context.publish("kept", text.into()).await.unwrap().await.unwrap();
}

/// Starts a query that does not end by itself, and waits until it runs.
async fn keep_busy(url: &str) -> tokio::task::JoinHandle<()> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    let busy = tokio::spawn(async move {
        let endless = "SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) AS numbers";
        sqlx::query(endless).execute(&mut connection).await.unwrap_err();
    });
    let pid = u32::try_from(pid).unwrap();
    eventually("the query runs", || process_state(pid) == Some('R')).await;
    busy
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The fields of `/proc/<pid>/stat` from the state on, which come after the name in parentheses.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
}

fn process_state(pid: u32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// A dead process that nobody has waited for yet is not alive.
fn is_alive(pid: u32) -> bool {
    process_state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

fn process_group(pid: u32) -> u32 {
    stat(pid).unwrap()[2].parse().unwrap()
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| stat(pid).is_some_and(|fields| fields[1] == parent.to_string())).collect()
}

fn owner_of(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap())
}
