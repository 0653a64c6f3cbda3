//! A service as a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
};
use tonic::transport::Channel;

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
}

impl Service {
    /// Starts a service and waits until it says that it is ready; an aggregator is ready when it holds a lease.
    pub(crate) async fn start(name: &'static str, config: &str, dir: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let home = dir.join(format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&home).unwrap();
        // The program goes by the name it is called by.
        let program = home.join(name);
        std::os::unix::fs::symlink(program_path(), &program).unwrap();
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
        let mut service = Self { name, child, log };
        let ready = READY.iter().find(|(known, _)| *known == name).map(|(_, ready)| *ready).unwrap();
        service.logged(ready).await;
        service
    }

    /// Waits for a line of the log.
    pub async fn logged(&mut self, message: &str) {
        let name = self.name;
        let said = |log: &Vec<serde_json::Value>| log.iter().any(|line| message_of(line) == Some(message));
        let waited = matches!(tokio::time::timeout(PATIENCE, self.log.wait_for(said)).await, Ok(Ok(_)));
        assert!(waited, "{name} never said {message:?}: {:#?}", self.log.borrow());
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
        format!("http://{}", address.unwrap())
    }

    /// A connection to it.
    pub async fn channel(&self) -> Channel {
        Channel::from_shared(self.address()).unwrap().connect().await.unwrap()
    }

    /// Kills it as a power cut would: no handler runs.
    pub async fn kill_hard(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, as an operator would.
    pub fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits until it has ended and gives its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap().code()
    }
}

fn message_of(line: &serde_json::Value) -> Option<&str> {
    line["fields"]["message"].as_str().or_else(|| line["message"].as_str())
}

/// The program `service` of this package, which Cargo builds beside the tests.
fn program_path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("service");
    assert!(program.exists(), "{} is not there: run the tests through Cargo", program.display());
    program
}
