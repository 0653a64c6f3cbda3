//! A private NATS server with JetStream.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::ports::{free_port, on_free_port};
use crate::process::{Current, Launch, Process, ServerError, blocking, bound_to_us};
use crate::tools;
use crate::workdir::{RunDir, Workdir, failed};

/// A server on loopback that is alive answers sooner.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long reading a configuration again may take.
const RELOAD_WITHIN: Duration = Duration::from_secs(30);

/// Where the keys are, from the server's own directory.
const KEYS: &str = "keys";

/// What may differ between private NATS servers.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// How much all streams together may reserve and hold on disk, in bytes.
    pub max_file_store: u64,
    /// The keys of the server, with its accounts. Without, whoever reaches the server may do everything.
    pub keys: Option<PathBuf>,
    /// More of the server's configuration, in its own words.
    pub more: String,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self { max_file_store: 16 << 30, keys: None, more: String::new() }
    }
}

/// A private NATS server. Dropping it ends the server and deletes its streams; that may block for a moment.
#[derive(Debug)]
pub struct NatsServer {
    // Dropped in this order: the process ends before its directory is removed.
    process: Current,
    plan: Arc<Plan>,
}

impl NatsServer {
    /// Starts a server that syncs every message to disk before it acknowledges it, and waits until JetStream is ready.
    ///
    /// # Errors
    ///
    /// When there is no program, no place for its files, or the server does not get ready.
    pub async fn start(options: NatsOptions) -> Result<Self, ServerError> {
        blocking(move || Self::start_blocking(&options)).await
    }

    fn start_blocking(options: &NatsOptions) -> Result<Self, ServerError> {
        let workdir = Workdir::open()?;
        let program = tools::nats_server(&workdir)?;
        let mut plan = Plan { program, port: 0, monitoring_port: 0, run_dir: workdir.run_dir("nats")? };
        if let Some(keys) = &options.keys {
            // What the configuration includes, it names from where it lies itself.
            let link = plan.run_dir.path().join(KEYS);
            symlink(keys, &link).map_err(failed("link", &link))?;
        }
        let process = on_free_port(|port| {
            plan.port = port;
            plan.monitoring_port = free_port();
            plan.write_configuration(options)?;
            plan.launch()
        })?;
        Ok(Self { process: Current::new(process), plan: Arc::new(plan) })
    }

    /// Where clients connect: `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://{}", loopback(self.plan.port))
    }

    /// The same for clients that have the server's authority and a key: `tls://127.0.0.1:<port>`.
    pub fn tls_url(&self) -> String {
        format!("tls://{}", loopback(self.plan.port))
    }

    /// Where the server's statistics are: `http://127.0.0.1:<port>`, with paths such as `/jsz`.
    pub fn monitoring_url(&self) -> String {
        format!("http://{}", loopback(self.plan.monitoring_port))
    }

    /// The server's own directory, with its `log` and `nats.conf`.
    pub fn directory(&self) -> &Path {
        self.plan.run_dir.path()
    }

    /// The process id, of the last process if it has ended.
    pub fn pid(&self) -> u32 {
        self.process.get().pid()
    }

    /// Kills the server at once with SIGKILL, as a crash would. Returns after its end.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub async fn kill_hard(&self) -> Result<(), ServerError> {
        self.process.end(Signal::KILL).await
    }

    /// Freezes the server with SIGSTOP: its connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.process.get().signal(Signal::STOP)
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<(), ServerError> {
        self.process.get().signal(Signal::CONT)
    }

    /// Has the server read its configuration again with SIGHUP, twice: of an account that is new the first time brings its users, and
    /// only the second what it imports. Connections stay. Returns when it is done.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent, the log not be read, or the server does not take the configuration.
    pub async fn reload(&self) -> Result<(), ServerError> {
        for _ in 0..2 {
            let before = self.reloads()?;
            self.process.get().signal(Signal::HUP)?;
            let waited = tokio::time::timeout(RELOAD_WITHIN, async {
                while self.reloads()? == before {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(())
            });
            let not_reloaded = || ServerError::NotReloaded { name: "nats-server", log: self.log() };
            waited.await.unwrap_or_else(|_| Err(not_reloaded()))?;
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.plan.run_dir.path().join("log")
    }

    /// How often the server has said that it took its configuration again.
    fn reloads(&self) -> Result<usize, ServerError> {
        let path = self.log();
        let log = fs::read_to_string(&path).map_err(failed("read", &path))?;
        Ok(log.matches("Reloaded server configuration").count())
    }

    /// Ends the server in an orderly way. Its streams stay for [`restart`](Self::restart) until it is dropped.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub async fn stop(&self) -> Result<(), ServerError> {
        self.process.end(Signal::TERM).await
    }

    /// Starts the server again on the same port with the same streams, after ending it if it runs.
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

/// All it takes to start the server, any number of times.
#[derive(Debug)]
struct Plan {
    program: PathBuf,
    port: u16,
    monitoring_port: u16,
    run_dir: RunDir,
}

impl Plan {
    fn configuration_path(&self) -> PathBuf {
        self.run_dir.path().join("nats.conf")
    }

    fn write_configuration(&self, options: &NatsOptions) -> Result<(), ServerError> {
        let configuration = format!(
            "server_name: {:?}\n\
             listen: \"{}\"\n\
             http: \"{}\"\n\
             jetstream {{\n\
             \x20 store_dir: {:?}\n\
             \x20 max_file_store: {}\n\
             \x20 # An acknowledged message survives a power failure.\n\
             \x20 sync_interval: always\n\
             }}\n{}{}\n",
            self.run_dir.name(),
            loopback(self.port),
            loopback(self.monitoring_port),
            self.run_dir.path().join("jetstream"),
            options.max_file_store,
            options.keys.as_ref().map_or_else(String::new, |_| secured()),
            options.more,
        );
        let path = self.configuration_path();
        Ok(fs::write(&path, configuration).map_err(failed("write", &path))?)
    }

    fn launch(&self) -> Result<Process, ServerError> {
        let mut command = bound_to_us("KILL", &self.program);
        command.arg("--config").arg(self.configuration_path());
        command.stdin(self.run_dir.stdin()?).current_dir(self.run_dir.path());
        let log = self.run_dir.path().join("log");
        Process::start(Launch { name: "nats-server", command, log: &log, quit: Signal::KILL }, |_pid| self.is_ready())
    }

    /// It is this server that listens, not one that took the port before it, and its JetStream is up.
    fn is_ready(&self) -> bool {
        let name = format!("\"server_name\":{:?}", self.run_dir.name());
        let greeting = connect(self.port).and_then(|stream| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).ok().map(|_length| line)
        });
        greeting.is_some_and(|info| info.contains(&name)) && self.is_healthy().unwrap_or(false)
    }

    fn is_healthy(&self) -> Option<bool> {
        let mut stream = connect(self.monitoring_port)?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        Some(response.lines().next()?.contains(" 200 "))
    }
}

/// As in `deploy/nats/nats.conf`.
fn secured() -> String {
    format!(
        "tls {{\n\
         \x20 cert_file: \"{KEYS}/server.pem\"\n\
         \x20 key_file: \"{KEYS}/server.key\"\n\
         }}\n\
         include \"{KEYS}/accounts.conf\"\n"
    )
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&loopback(port), ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    Some(stream)
}
