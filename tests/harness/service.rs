//! A service as a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use client::{Channel, Credentials};
use local::Door;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
};

use crate::PATIENCE;

/// What a service logs when it is ready to work.
const READY: [(&str, &str); 4] = [
    ("collector", "taking reports"),
    ("validator", "judging reports"),
    ("aggregator", "took leases"),
    ("query", "answering questions"),
];

/// A running service. It is killed when dropped.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    child: Child,
    log: watch::Receiver<Vec<serde_json::Value>>,
    credentials: Credentials,
}

impl Service {
    /// What it logs when it is ready to work; an aggregator is ready when it holds a lease.
    pub(crate) fn ready(name: &str) -> &'static str {
        READY.iter().find(|(known, _)| *known == name).map(|(_, ready)| *ready).unwrap()
    }

    /// Starts a service and waits until it says that it is ready.
    pub(crate) async fn start(
        name: &'static str,
        config: &str,
        dir: &Path,
        ready: &str,
        credentials: &Credentials,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let home = dir.join(format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&home).unwrap();
        let program = program(name, &home);
        let file = home.join("config.toml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(program)
            .arg("--config")
            .arg(file)
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();

        let (sender, log) = watch::channel(Vec::new());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // A line that is no JSON is a panic's, or an error in the configuration: an error in any case.
                let line = serde_json::from_str(&line)
                    .unwrap_or_else(|_| serde_json::json!({"level": "ERROR", "fields": {"message": line}}));
                sender.send_modify(|log: &mut Vec<serde_json::Value>| log.push(line));
            }
        });
        let mut service = Self { name, child, log, credentials: credentials.clone() };
        service.logged(ready).await;
        service.logged("the admin port answers").await;
        service
    }

    /// Waits for a line of the log.
    pub async fn logged(&mut self, message: &str) {
        let name = self.name;
        let said = |log: &Vec<serde_json::Value>| log.iter().any(|line| message_of(line) == Some(message));
        let waited = matches!(tokio::time::timeout(PATIENCE, self.log.wait_for(said)).await, Ok(Ok(_)));
        assert!(waited, "{name} never said {message:?}: {:#?}", self.log.borrow());
    }

    /// How often a message was logged.
    #[must_use]
    pub fn said(&self, message: &str) -> usize {
        self.log.borrow().iter().filter(|line| message_of(line) == Some(message)).count()
    }

    /// Fails if it logged anything at level ERROR, or panicked.
    pub fn assert_quiet(&self) {
        assert_eq!(self.errors(), Vec::<serde_json::Value>::new(), "{} is not quiet", self.name);
    }

    /// The lines at level ERROR.
    #[must_use]
    pub fn errors(&self) -> Vec<serde_json::Value> {
        self.log.borrow().iter().filter(|line| line["level"] == "ERROR").cloned().collect()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        let log = self.log.borrow();
        let address =
            log.iter().find_map(|line| line["fields"]["address"].as_str().or_else(|| line["address"].as_str()));
        format!("https://{}", address.unwrap())
    }

    /// Where whoever watches it asks: the URL of its admin port.
    #[must_use]
    pub fn admin(&self) -> String {
        let log = self.log.borrow();
        let address = log.iter().find_map(|line| line["fields"]["admin"].as_str().or_else(|| line["admin"].as_str()));
        format!("http://{}", address.unwrap())
    }

    /// The way to it, for somebody who may send and read everything.
    #[must_use]
    pub fn door(&self) -> Door {
        Door { url: self.address(), credentials: self.credentials.clone() }
    }

    /// A connection to it, of the same.
    pub async fn channel(&self) -> Channel {
        self.door().connect().await.unwrap()
    }

    /// Kills it as a power cut would: no handler runs.
    pub async fn kill_hard(&mut self) {
        self.child.kill().await.unwrap();
        self.heard_out().await;
    }

    /// Kills it at a moment when it is at work. It is frozen while we look, so it is killed in the state that was seen.
    pub async fn kill_at_work(&mut self, at_work: impl AsyncFn() -> bool) {
        self.freeze_at_work(at_work).await;
        self.kill_hard().await;
    }

    /// Freezes it at a moment when it is at work.
    pub async fn freeze_at_work(&self, at_work: impl AsyncFn() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.freeze();
            if at_work().await {
                return;
            }
            self.thaw();
            assert!(tokio::time::Instant::now() < deadline, "{} is never found at work", self.name);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops it where it stands; its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to stop, as an operator would.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended and gives its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{} does not end: {:#?}", self.name, self.log.borrow())).unwrap();
        self.heard_out().await;
        status.code()
    }

    /// Waits until the last line of one that has ended is read.
    async fn heard_out(&mut self) {
        let closed = tokio::time::timeout(PATIENCE, self.log.wait_for(|_| false)).await;
        assert!(matches!(closed, Ok(Err(_))), "the log of {} ends", self.name);
    }
}

fn message_of(line: &serde_json::Value) -> Option<&str> {
    line["fields"]["message"].as_str().or_else(|| line["message"].as_str())
}

/// The program `service` of this package, which Cargo builds beside the tests; it goes by the name it is called by.
pub fn program(name: &str, home: &Path) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().join("service");
    assert!(built.exists(), "{} is not there: run the tests through Cargo", built.display());
    let program = home.join(name);
    std::os::unix::fs::symlink(built, &program).unwrap();
    program
}
