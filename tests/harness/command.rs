//! The command `tonghop` as its users run it.

use std::{fs, path::PathBuf, process::Stdio};

use client::Credentials;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{PATIENCE, eventually, service::program};

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ran {
    /// The objects on standard output, one a line and nothing else.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        let object = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        self.stdout.lines().map(object).collect()
    }

    /// The one object on standard output.
    #[must_use]
    pub fn object(&self) -> Value {
        let objects = self.objects();
        let [object] = &objects[..] else { panic!("one object: {self:#?}") };
        object.clone()
    }
}

/// Where a command that runs writes its standard error.
const STDERR: &str = "stderr";

/// A command that runs. It is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    home: TempDir,
}

impl Running {
    /// Starts `tonghop` with these credentials and arguments, and none else from the environment.
    #[must_use]
    pub fn tonghop(credentials: &Credentials, arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let stderr = fs::File::create(home.path().join(STDERR)).unwrap();
        let child = command(&home, Some(credentials), arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, home }
    }

    /// Waits until it has written this to standard error.
    pub async fn says(&self, words: &str) {
        eventually(&format!("the command says {words:?}"), || async {
            let said = fs::read_to_string(self.home.path().join(STDERR)).unwrap();
            if said.contains(words) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// Kills it as a power cut would; it must not have ended by itself.
    pub async fn kill_hard(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it was still at work");
        self.child.kill().await.unwrap();
    }
}

fn command(home: &TempDir, credentials: Option<&Credentials>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("tonghop", home.path()));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TONGHOP_")) {
        command.env_remove(name);
    }
    command.envs(credentials.map(environment).into_iter().flatten());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What tells programs of these credentials.
pub fn environment(Credentials { ca, certificate, token }: &Credentials) -> Vec<(&'static str, PathBuf)> {
    let of = |name: &'static str, file: Option<&PathBuf>| file.map(|file| (name, file.clone()));
    let certificate = certificate.as_ref();
    let all = [
        of("TONGHOP_CA", ca.as_ref()),
        of("TONGHOP_CERT", certificate.map(|files| &files.certificate)),
        of("TONGHOP_KEY", certificate.map(|files| &files.key)),
        of("TONGHOP_TOKEN_FILE", token.as_ref()),
    ];
    all.into_iter().flatten().collect()
}

/// Runs `tonghop` with these arguments, and none from the environment, until it ends; it must end with this exit code.
pub async fn tonghop(code: i32, arguments: &[&str]) -> Ran {
    run(code, None, arguments).await
}

/// The same with credentials.
pub async fn tonghop_with(credentials: &Credentials, code: i32, arguments: &[&str]) -> Ran {
    run(code, Some(credentials), arguments).await
}

async fn run(code: i32, credentials: Option<&Credentials>, arguments: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(&home, credentials, arguments);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("tonghop {arguments:?} does not end")).unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let ran = Ran { stdout, stderr };
    assert_eq!(output.status.code(), Some(code), "tonghop {arguments:?}: {ran:#?}");
    ran
}
