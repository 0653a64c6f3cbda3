//! Goal: a process stops as its operator expects. Starts `examples/worker.rs`, signals it, and reads what it says and
//! returns.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// More than any step takes on a machine busy with a build.
const PATIENCE: Duration = Duration::from_secs(30);

const QUICK: &str = "last_piece = '1ms'\ndrain_timeout = '20s'\n[telemetry]\nformat = 'json'\n";
const STUCK: &str = "last_piece = '1h'\ndrain_timeout = '2h'\n[telemetry]\nformat = 'text'\n";
const LATE: &str = "last_piece = '1h'\ndrain_timeout = '1ms'\n[telemetry]\nformat = 'compact'\n";

/// A running example, killed when dropped.
struct Worker {
    child: Child,
    stderr: Receiver<String>,
    _config: tempfile::NamedTempFile,
}

impl Worker {
    fn start(config: &str, arguments: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), config).expect("writing the configuration");
        // With few open files, as a login or a container has them.
        let mut child = Command::new("sh")
            .args(["-c", r#"ulimit -S -n 256; exec "$0" "$@""#])
            .arg(example())
            .arg("--config")
            .arg(file.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example is built by `cargo test`, unless a single test target was asked for");
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let (line, stderr) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, stderr, _config: file }
    }

    fn wait_for_line(&self, part: &str) -> String {
        loop {
            let line =
                self.stderr.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no line with {part:?}: {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the worker is there to be signalled");
    }

    /// The exit code and the lines not yet waited for.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let mut lines = Vec::new();
        // The end of its stderr is the end of the process: it has no children.
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the worker does not end; it said {lines:#?}"),
            }
        }
        let mut stdout = String::new();
        self.child.stdout.take().expect("stdout is piped").read_to_string(&mut stdout).expect("reading stdout");
        assert_eq!(stdout, "", "stdout is not for logs");
        (self.child.wait().expect("the worker ended").code(), lines)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It fails when the worker has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds examples before it runs tests, in the directory beside theirs.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("examples/worker")
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_with_0() {
    let worker = Worker::start(QUICK, &[]);
    worker.wait_for_line("working");
    worker.signal(Signal::TERM);
    worker.wait_for_line("finishing the last piece");
    worker.wait_for_line("finished the last piece");
    let (code, lines) = worker.end();
    assert_eq!(code, Some(0));
    assert!(lines.last().expect("a last line").contains(r#""message":"worker stopped""#), "{lines:#?}");
}

#[test]
fn it_opens_as_many_files_as_it_may() {
    let worker = Worker::start(QUICK, &[]);
    worker.wait_for_line("working");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.child.id())).expect("its limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("that of open files");
    let [soft, hard] = [3, 4].map(|column| files.split_whitespace().nth(column).expect("a number"));
    assert_eq!(soft, hard);
}

#[test]
fn a_second_signal_exits_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let worker = Worker::start(STUCK, &[]);
        worker.wait_for_line("working");
        worker.signal(Signal::INT);
        worker.wait_for_line("finishing the last piece");
        worker.signal(second);
        assert_eq!(worker.end().0, Some(code));
    }
}

#[test]
fn a_drain_that_takes_too_long_is_an_error_told_once_with_its_causes() {
    let causes = "the last piece is lost: work was still in flight 1ms after shutdown was requested";
    for (format, said) in [("compact", format!("error={causes}")), ("json", format!(r#""error":"{causes}""#))] {
        let worker = Worker::start(&LATE.replace("compact", format), &[]);
        worker.wait_for_line("working");
        worker.signal(Signal::TERM);
        let error = worker.wait_for_line("ERROR");
        assert!(error.contains(&said), "{error}");
        assert_eq!(worker.end(), (Some(1), vec![]));
    }
}

#[test]
fn an_unknown_key_is_named_and_exits_with_2() {
    for arguments in [&[][..], &["--check-config"]] {
        let (code, lines) = Worker::start(&format!("drain_timout = '20s'\n{QUICK}"), arguments).end();
        assert_eq!(code, Some(2));
        let [line] = &lines[..] else { panic!("one line, not {lines:#?}") };
        assert!(line.starts_with("worker: ") && line.contains(": line 1: key `drain_timout`: unknown field"), "{line}");
    }
}

#[test]
fn checking_a_good_configuration_says_nothing_and_exits_with_0() {
    assert_eq!(Worker::start(QUICK, &["--check-config"]).end(), (Some(0), vec![]));
}
