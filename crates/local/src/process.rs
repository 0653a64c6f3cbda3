//! Child processes that end when we do.
//!
//! Three things keep a server from outliving us. Dropping a [`Process`] ends it. If we are killed, the kernel signals it:
//! `setpriv --pdeathsig` asks for that, inside the child, after the change of user that would cancel it. And since the
//! kernel watches the *thread* that started the child, each child has a keeper thread that lives as long as it does.
//! Without setpriv (util-linux 2.33 or later) only the first remains.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::tools::ToolError;
use crate::workdir::WorkdirError;

/// Recovery of a large store after a kill takes a while; a server that says nothing for this long is stuck.
const READY_WITHIN: Duration = Duration::from_secs(120);
const POLL_EVERY: Duration = Duration::from_millis(5);
/// How long a server may take to end in an orderly way before it is killed.
const ORDERLY_WITHIN: Duration = Duration::from_secs(30);
/// How long the kernel may take to end a killed process, which can be inside a slow fsync.
const KILLED_WITHIN: Duration = Duration::from_secs(30);
const LOG_TAIL_BYTES: u64 = 4096;

/// Why a private server did not start, stop or take a signal.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is no program to run.
    #[error("cannot find the program of a private server")]
    Tool(#[from] ToolError),
    /// There is no place for its files.
    #[error("cannot prepare the directory of a private server")]
    Workdir(#[from] WorkdirError),
    /// A program could not be started.
    #[error("cannot start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program that prepares a server's directory failed.
    #[error("{program} failed ({status}):\n{stderr}")]
    Prepare {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The server ended instead of getting ready.
    #[error("{name} ended before it was ready ({status}); the end of its log:\n{log}")]
    Ended {
        /// The server.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it logged since this start.
        log: String,
    },
    /// The server runs but did not get ready in time. It was killed.
    #[error("{name} was not ready after {} s; the end of its log:\n{log}", READY_WITHIN.as_secs())]
    NotReady {
        /// The server.
        name: &'static str,
        /// The end of what it logged since this start.
        log: String,
    },
    /// The server runs on with the configuration it had; its log says why.
    #[error("{name} does not take its new configuration; its log is {}", log.display())]
    NotReloaded {
        /// The server.
        name: &'static str,
        /// The file with its log.
        log: PathBuf,
    },
    /// A signal could not be sent.
    #[error("cannot send a signal to {name}")]
    Signal {
        /// The server.
        name: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A running server process. Dropping it ends the process and waits for its end.
#[derive(Debug)]
pub(crate) struct Process(Arc<Child>);

/// What to start, and how to end it.
pub(crate) struct Launch<'a> {
    /// For messages.
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    /// Receives what the server says, after what is there.
    pub(crate) log: &'a Path,
    /// Ends it and its children at once; nobody needs its data any more.
    pub(crate) quit: Signal,
}

impl Process {
    /// Starts a server and waits until `ready` says yes for its process id.
    pub(crate) fn start(launch: Launch<'_>, ready: impl Fn(u32) -> bool) -> Result<Self, ServerError> {
        let Launch { name, mut command, log, quit } = launch;
        let spawn_error = |source| ServerError::Spawn { program: name.to_owned(), source };
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(spawn_error)?;
        let logged_before = output.metadata().map_err(spawn_error)?.len();
        // The server and its children share this lock; see `is_held`.
        output.try_lock().map_err(|error| spawn_error(error.into()))?;
        command.stderr(output.try_clone().map_err(spawn_error)?).stdout(output);
        // A terminal sends Ctrl-C to our whole group; the servers must outlive our orderly shutdown.
        command.process_group(0);
        let process = Self(Child::spawn(name, command, quit).map_err(spawn_error)?);

        let deadline = Instant::now() + READY_WITHIN;
        while !ready(process.pid()) {
            if let Some(status) = process.0.wait(POLL_EVERY) {
                return Err(ServerError::Ended { name, status, log: tail(log, logged_before) });
            }
            if Instant::now() > deadline {
                return Err(ServerError::NotReady { name, log: tail(log, logged_before) });
            }
        }
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends `signal`; nothing happens if the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        self.0.signal(signal)
    }

    /// Sends `signal`, lets the process end in its own time within a bound, then kills it; done after its end.
    pub(crate) fn end(&self, signal: Signal) -> impl Future<Output = Result<(), ServerError>> + use<> {
        let child = Arc::clone(&self.0);
        blocking(move || child.end(signal))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.0.end(self.0.quit) {
            tracing::warn!(%error, "a private server may still be running");
        }
    }
}

/// The process of a server that can be started again. The last owner ends it.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<Mutex<Process>>);

impl Current {
    pub(crate) fn new(process: Process) -> Self {
        Self(Arc::new(Mutex::new(process)))
    }

    /// The process that runs now, or the last one that did.
    pub(crate) fn get(&self) -> MutexGuard<'_, Process> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it as [`Process::end`] does.
    pub(crate) async fn end(&self, signal: Signal) -> Result<(), ServerError> {
        let ending = self.get().end(signal);
        ending.await
    }

    /// Another process takes its place.
    pub(crate) fn replace(&self, process: Process) {
        *self.get() = process;
    }

    /// Has a thread start the server again whenever it has ended, for as long as anybody owns both it and the plan: what Docker does
    /// for containers that are to be restarted. Whoever then ends the server and starts it again as well does it beside this thread.
    pub(crate) fn keep_running<P: Send + Sync + 'static>(
        &self,
        plan: &Arc<P>,
        launch: impl Fn(&P) -> Result<Process, ServerError> + Send + 'static,
    ) {
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        const AGAIN: Duration = Duration::from_secs(1);
        let (process, plan) = (Arc::downgrade(&self.0), Arc::downgrade(plan));
        thread::spawn(move || {
            // The plan first: its directory is not to go before the process.
            while let Some((plan, current)) = plan.upgrade().zip(process.upgrade().map(Self)) {
                let mut pause = LOOK_EVERY;
                // Not in the condition below, which would hold the lock for as long as the server starts.
                let ended = current.get().0.wait(Duration::ZERO);
                if let Some(status) = ended {
                    tracing::warn!(ended = %status, "a private server ended; starting it again");
                    match launch(&plan) {
                        Ok(process) => current.replace(process),
                        Err(error) => {
                            tracing::warn!(%error, "a private server does not start; trying again");
                            pause = AGAIN;
                        }
                    }
                }
                drop(current);
                drop(plan);
                thread::sleep(pause);
            }
        });
    }
}

#[derive(Debug)]
struct Child {
    name: &'static str,
    pid: Pid,
    quit: Signal,
    ended: Arc<Ended>,
}

/// How the process ended, once it has been reaped and its process id may belong to someone else.
#[derive(Debug, Default)]
struct Ended {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Ended {
    fn status(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Child {
    fn spawn(name: &'static str, command: Command, quit: Signal) -> io::Result<Arc<Self>> {
        let ended = Arc::new(Ended::default());
        let (started, report) = mpsc::sync_channel(1);
        let keeper = thread::Builder::new().name(format!("{name} keeper"));
        let theirs = Arc::clone(&ended);
        keeper.spawn(move || keep(command, &started, &theirs))?;
        let pid = report.recv().map_err(io::Error::other)??;
        Ok(Arc::new(Self { name, pid, quit, ended }))
    }

    fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        // While we hold this the keeper cannot reap, so the process id is still the child's.
        let status = self.ended.status();
        if status.is_some() {
            return Ok(());
        }
        let sent = rustix::process::kill_process(self.pid, signal);
        sent.map_err(|errno| ServerError::Signal { name: self.name, source: errno.into() })
    }

    fn wait(&self, bound: Duration) -> Option<ExitStatus> {
        let running = |status: &mut Option<ExitStatus>| status.is_none();
        let waited = self.ended.changed.wait_timeout_while(self.ended.status(), bound, running);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn end(&self, signal: Signal) -> Result<(), ServerError> {
        self.signal(signal)?;
        // A paused process takes no signal but SIGKILL until it continues.
        self.signal(Signal::CONT)?;
        if self.wait(ORDERLY_WITHIN).is_none() {
            tracing::warn!(server = self.name, "a private server does not end when asked to, and is killed");
            self.signal(Signal::KILL)?;
            self.wait(KILLED_WITHIN);
        }
        Ok(())
    }
}

/// The keeper thread: it must live exactly as long as the child.
fn keep(mut command: Command, started: &mpsc::SyncSender<io::Result<Pid>>, ended: &Ended) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            // The receiver waits for exactly this.
            let _ = started.send(Err(error));
            return;
        }
    };
    // It holds the log open, whose lock tells whether the server does.
    drop(command);
    let pid = Pid::from_child(&child);
    let _ = started.send(Ok(pid));
    // Waits but does not reap: until it is reaped, its process id cannot become another process's.
    let _ = rustix::io::retry_on_intr(|| {
        rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    });
    let mut status = ended.status();
    *status = Some(child.wait().unwrap_or_default());
    ended.changed.notify_all();
}

/// Whether any process of a server with this log lives, even one whose parent is gone. The kernel gives the lock up when
/// the last of them has given up its memory and its files.
pub(crate) fn is_held(log: &Path) -> bool {
    File::open(log).is_ok_and(|log| matches!(log.try_lock(), Err(TryLockError::WouldBlock)))
}

/// A command for `program`, to which the kernel sends `signal` (`KILL`, `QUIT`) when the thread that starts it ends.
pub(crate) fn bound_to_us(signal: &str, program: &Path) -> Command {
    let setpriv = |program: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", signal, "--"]).arg(program);
        command
    };
    let mut probe = setpriv(Path::new("true"));
    if probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return setpriv(program);
    }
    tracing::debug!("without `setpriv --pdeathsig`, private servers survive if this process is killed");
    Command::new(program)
}

/// Runs `command` to its end. The thread must not be one that ends before it.
pub(crate) fn run(program: &str, command: &mut Command) -> Result<Output, ServerError> {
    let output = command.output().map_err(|source| ServerError::Spawn { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(ServerError::Prepare { program: program.to_owned(), status: output.status, stderr })
}

/// Does slow work where it does not hold up the runtime. The work goes on if the future is dropped.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What was logged since the log was `since` bytes long, the last of it.
fn tail(log: &Path, since: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let from = since.max(fs::metadata(log)?.len().saturating_sub(LOG_TAIL_BYTES));
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(
        |error| format!("({} cannot be read: {error})", log.display()),
        |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned(),
    )
}
