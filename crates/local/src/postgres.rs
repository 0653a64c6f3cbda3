//! A private PostgreSQL server.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::ports::on_free_port;
use crate::process::{Current, Launch, Process, ServerError, blocking, bound_to_us, is_held, run};
use crate::tools;
use crate::workdir::{Account, RunDir, Workdir, failed};

/// Loopback only, sized for a laptop; durability stays as PostgreSQL ships it.
const SETTINGS: [(&str, &str); 6] = [
    ("listen_addresses", "127.0.0.1"),
    // Its own directory, where only its account looks: a longer name would not fit.
    ("unix_socket_directories", "."),
    ("max_connections", "60"),
    ("max_wal_size", "2GB"),
    ("shared_buffers", "256MB"),
    ("timezone", "UTC"),
];
/// The longest path of a Unix socket on Linux, in bytes (`unix(7)`).
const LONGEST_SOCKET: usize = 107;
/// The name of the database and of its owner.
const DATABASE: &str = "tonghop";
/// How long the kernel may take to end killed children.
const ORPHANS_WITHIN: Duration = Duration::from_secs(30);

/// What may differ between private PostgreSQL servers.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// The directory with the certificate and key of the server. Without, connections are not encrypted.
    pub keys: Option<PathBuf>,
    /// Settings for this server, over our own: `("work_mem", "64MB")`.
    pub settings: Vec<(String, String)>,
}

/// A private PostgreSQL server with an empty database `tonghop`. Dropping it ends the server and deletes its data; that
/// may block for a moment.
pub struct PostgresServer {
    // Dropped in this order: the process ends before its directory is removed.
    process: Current,
    plan: Arc<Plan>,
}

impl PostgresServer {
    /// Starts a server and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// When there is no program, no place for its files, or the server does not get ready.
    pub async fn start(options: PostgresOptions) -> Result<Self, ServerError> {
        blocking(move || Self::start_blocking(options)).await
    }

    fn start_blocking(options: PostgresOptions) -> Result<Self, ServerError> {
        let workdir = Workdir::open()?;
        let programs = tools::postgres_programs(&workdir)?;
        let template = Template::open(&workdir, &programs)?;
        let run_dir = workdir.run_dir("postgres")?;
        template.copy_data_to(&run_dir)?;
        let mut settings = options.settings;
        if options.keys.is_some() {
            let tls = [("ssl", "on"), ("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")];
            settings.extend(tls.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let mut plan = Plan {
            program: programs.join("postgres"),
            account: workdir.account(),
            settings,
            keys: options.keys,
            password: template.password()?,
            port: 0,
            run_dir,
        };
        let process = on_free_port(|port| {
            plan.port = port;
            plan.launch()
        })?;
        Ok(Self { process: Current::new(process), plan: Arc::new(plan) })
    }

    /// Where clients connect that have a user of their own: `postgres://127.0.0.1:<port>/tonghop`.
    pub fn address(&self) -> String {
        format!("postgres://127.0.0.1:{}/{DATABASE}", self.plan.port)
    }

    /// Where clients on this machine connect that have a user of their own: `postgres://localhost:<port>/tonghop?host=<directory>`,
    /// by the Unix socket. None where its path is too long for one, or would have to be quoted.
    pub fn socket_address(&self) -> Option<String> {
        let directory = data_in(&self.plan.run_dir);
        let directory = directory.to_str().filter(|path| path.bytes().all(is_plain))?;
        let longest = LONGEST_SOCKET - "/.s.PGSQL.65535".len();
        let address = format!("postgres://localhost:{}/{DATABASE}?host={directory}", self.plan.port);
        (directory.len() <= longest).then_some(address)
    }

    /// Where clients connect: `postgres://tonghop:<password>@127.0.0.1:<port>/tonghop`, as superuser.
    pub fn url(&self) -> String {
        format!("postgres://{DATABASE}:{}@127.0.0.1:{}/{DATABASE}", self.plan.password, self.plan.port)
    }

    /// The same by the Unix socket, where there is one.
    pub fn url_beside(&self) -> String {
        let by_socket = self.socket_address();
        let user = format!("//{DATABASE}:{}@", self.plan.password);
        by_socket.map_or_else(|| self.url(), |address| address.replacen("//", &user, 1))
    }

    /// The directory of PostgreSQL's programs of the same version: `psql`, `pg_basebackup`.
    pub fn programs(&self) -> &Path {
        self.plan.program.parent().unwrap_or(Path::new("."))
    }

    /// The server's own directory, with its `log` and `data`.
    pub fn directory(&self) -> &Path {
        self.plan.run_dir.path()
    }

    /// The process id of the postmaster, of the last one if it has ended.
    pub fn pid(&self) -> u32 {
        self.process.get().pid()
    }

    /// Kills the postmaster and its children at once with SIGKILL, as a crash would. Returns after their end.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub async fn kill_hard(&self) -> Result<(), ServerError> {
        self.process.end(Signal::KILL).await?;
        let plan = Arc::clone(&self.plan);
        blocking(move || plan.kill_orphans()).await;
        Ok(())
    }

    /// Ends the server in an orderly way, disconnecting its clients. Its data stay for [`restart`](Self::restart) until
    /// it is dropped.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub async fn stop(&self) -> Result<(), ServerError> {
        self.process.end(Signal::INT).await
    }

    /// Starts the server again on the same port with the same data, and the keys as they are now, after ending it if it runs.
    ///
    /// # Errors
    ///
    /// When the server does not get ready; it can be restarted once more.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.stop().await?;
        let plan = Arc::clone(&self.plan);
        self.process.replace(blocking(move || plan.launch()).await?);
        Ok(())
    }

    /// Starts the server again whenever it ends from now on, by itself or because somebody kills it, on the same port with the same
    /// data. It ends when this is dropped, also where it is being started. Not to be used beside `stop`, `restart` and `kill_hard`, which it would
    /// work against.
    pub fn keep_running(&self) {
        self.process.keep_running(&self.plan, Plan::launch);
    }
}

impl fmt::Debug for PostgresServer {
    /// Leaves out the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresServer")
            .field("pid", &self.pid())
            .field("port", &self.plan.port)
            .field("directory", &self.directory())
            .finish_non_exhaustive()
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_')
}

/// All it takes to start the server, any number of times.
struct Plan {
    program: PathBuf,
    account: Option<Account>,
    settings: Vec<(String, String)>,
    keys: Option<PathBuf>,
    password: String,
    port: u16,
    run_dir: RunDir,
}

impl Plan {
    fn log(&self) -> PathBuf {
        self.run_dir.path().join("log")
    }

    fn launch(&self) -> Result<Process, ServerError> {
        let data = data_in(&self.run_dir);
        self.kill_orphans();
        if let Some(keys) = &self.keys {
            for name in ["server.pem", "server.key"] {
                give_key(&keys.join(name), &data.join(name), self.account)?;
            }
        }
        let mut command = command_as("QUIT", self.account, &self.program, &self.run_dir)?;
        command.arg("-c").arg(format!("cluster_name={}", self.run_dir.name()));
        command.arg("-D").arg(&data).args(["-p", &self.port.to_string()]);
        let own = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, value) in own.iter().chain(&self.settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log = self.log();
        // QUIT is an immediate shutdown: no checkpoint for data that are about to be deleted, but unlike KILL it takes the
        // children along, also those that are busy.
        Process::start(Launch { name: "postgres", command, log: &log, quit: Signal::QUIT }, |pid| is_ready(&data, pid))
    }

    /// Kills the children of a postmaster that was killed. Idle ones notice and end by themselves; one in the middle of a
    /// query works on to its end, and until then keeps a new server from starting on these data.
    fn kill_orphans(&self) {
        let deadline = Instant::now() + ORPHANS_WITHIN;
        while is_held(&self.log()) && Instant::now() < deadline {
            for orphan in titled(&format!("postgres: {}: ", self.run_dir.name())) {
                // It may have ended by itself in the meantime.
                let _ = kill_process(orphan, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Plan {
    /// The process has ended by now, but others than us may have killed it.
    fn drop(&mut self) {
        self.kill_orphans();
    }
}

/// The processes that show `title`, as PostgreSQL's children show the name of their cluster. On systems without `/proc`
/// there are none.
fn titled(title: &str) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let titled = processes.filter(|process| {
        fs::read(process.path().join("cmdline")).is_ok_and(|command_line| command_line.starts_with(title.as_bytes()))
    });
    titled.filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?)).collect()
}

/// The postmaster writes its process id and its state to this file; `pg_ctl` reads them the same way. It tells more
/// than a connection would, which another server could accept.
fn is_ready(data: &Path, pid: u32) -> bool {
    let Ok(content) = fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let mut lines = content.lines().map(str::trim);
    lines.next() == Some(&pid.to_string()) && lines.next_back() == Some("ready")
}

/// An initialised data directory with the database in it. Copying one takes a fraction of the time that making it does.
struct Template {
    directory: PathBuf,
}

impl Template {
    /// The template for these programs and their account, made unless an earlier call did.
    fn open(workdir: &Workdir, programs: &Path) -> Result<Self, ServerError> {
        let postgres = programs.join("postgres");
        let spawn_error = |source| ServerError::Spawn { program: "postgres".to_owned(), source };
        let version = tools::version_text(&postgres, workdir).map_err(spawn_error)?;
        let name: String =
            version.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let directory = workdir.templates().join(format!("{name}-uid-{}", workdir.owner_uid()));
        let _making = workdir.lock("templates")?;
        if !directory.exists() {
            let scratch = workdir.run_dir("initdb")?;
            initialise(workdir.account(), programs, &scratch)?;
            fs::rename(scratch.path().join("template"), &directory).map_err(failed("create", &directory))?;
        }
        Ok(Self { directory })
    }

    fn password(&self) -> Result<String, ServerError> {
        let path = self.directory.join("password");
        Ok(fs::read_to_string(&path).map_err(failed("read", &path))?)
    }

    fn copy_data_to(&self, run_dir: &RunDir) -> Result<(), ServerError> {
        let mut copy = bound_to_us("KILL", Path::new("cp"));
        // With owner and permissions: PostgreSQL insists on both.
        copy.arg("-a").arg(self.directory.join("data")).arg(data_in(run_dir)).stdin(run_dir.stdin()?);
        run("cp", &mut copy).map(drop)
    }
}

/// Makes `template/{data,password}` in `scratch`.
fn initialise(account: Option<Account>, programs: &Path, scratch: &RunDir) -> Result<(), ServerError> {
    let template = scratch.path().join("template");
    let data = template.join("data");
    let password = template.join("password");
    fs::create_dir(&template).map_err(failed("create", &template))?;
    fs::write(&password, format!("{:032x}", rand::random::<u128>())).map_err(failed("write", &password))?;
    fs::set_permissions(&password, Permissions::from_mode(0o600)).map_err(failed("close", &password))?;
    fs::set_permissions(&template, Permissions::from_mode(0o700)).map_err(failed("close", &template))?;
    if let Some(account) = account {
        account.own(&password)?;
        account.own(&template)?;
    }

    let mut initdb = command_as("KILL", account, &programs.join("initdb"), scratch)?;
    initdb.args(["--username", DATABASE, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]);
    initdb.args(["--no-instructions", "--pwfile"]).arg(&password).arg("-D").arg(&data);
    run("initdb", &mut initdb)?;

    let statement = scratch.path().join("create-database.sql");
    fs::write(&statement, format!("CREATE DATABASE {DATABASE};\n")).map_err(failed("write", &statement))?;
    let mut single = command_as("KILL", account, &programs.join("postgres"), scratch)?;
    single.args(["--single", "-D"]).arg(&data).arg("postgres");
    single.stdin(fs::File::open(&statement).map_err(failed("open", &statement))?);
    run("postgres --single", &mut single).map(drop)
}

/// Copies a key to where only the server's account reads it.
fn give_key(from: &Path, to: &Path, account: Option<Account>) -> Result<(), ServerError> {
    fs::copy(from, to).map_err(failed("copy", from))?;
    fs::set_permissions(to, Permissions::from_mode(0o600)).map_err(failed("close", to))?;
    Ok(account.map_or(Ok(()), |account| account.own(to))?)
}

fn data_in(run_dir: &RunDir) -> PathBuf {
    run_dir.path().join("data")
}

/// `program` to be run in `run_dir` as `account`; the kernel sends it `signal` when we die.
fn command_as(
    signal: &str,
    account: Option<Account>,
    program: &Path,
    run_dir: &RunDir,
) -> Result<Command, ServerError> {
    let mut command = bound_to_us(signal, program);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    // Our own working directory may be closed to the account.
    command.current_dir(run_dir.path()).stdin(run_dir.stdin()?);
    Ok(command)
}
