//! Where private servers keep what they fetch, make and write.
//!
//! ```text
//! .local/
//!   tools/       servers fetched through pip, a directory for each version
//!   templates/   initialised PostgreSQL data directories, copied for each server
//!   run/         a directory for each running server and each unfinished installation
//!   *.lock       held while one of the above is being made
//! ```
//!
//! PostgreSQL refuses to run as root. For root it runs under another account, which must be able to reach everything
//! here; where it cannot (a checkout below `/root`, say) the same layout lives in `/var/tmp` instead.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Overrides where the directory lies.
const DIRECTORY_VARIABLE: &str = "TONGHOP_LOCAL_DIR";
/// Who PostgreSQL runs as when we are root, first choice first.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];
/// Held by the owner of a run directory and, through their standard input, by the servers running in it.
const OWNER_LOCK: &str = "owner.lock";

/// Why there is no place for a server's files.
#[derive(Debug, thiserror::Error)]
pub enum WorkdirError {
    /// The file system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done, as in "cannot create".
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Another user could change what lies there.
    #[error(
        "{} is not a directory that only this user can write to, so nothing in it is trusted; remove it, or set \
         TONGHOP_LOCAL_DIR to a directory of your own",
        .0.display()
    )]
    Untrusted(PathBuf),
    /// We are root, and there is nobody else to run PostgreSQL as.
    #[error("PostgreSQL does not run as root, and this machine has neither an account `postgres` nor `nobody`")]
    NoAccount,
}

/// The account servers run as when we are root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to run PostgreSQL as, `None` when our own will do.
    fn for_servers() -> Result<Option<Self>, WorkdirError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let found = ACCOUNTS.iter().find_map(|name| Some(Self { uid: id("-u", name)?, gid: id("-g", name)? }));
        found.map(Some).ok_or(WorkdirError::NoAccount)
    }

    /// Makes `command` run as this account, without our supplementary groups.
    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives `path` to this account.
    pub(crate) fn own(self, path: &Path) -> Result<(), WorkdirError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(failed("change the owner of", path))
    }

    fn can_enter(self, directory: &Path) -> bool {
        let mut test = Command::new("test");
        self.apply(&mut test);
        test.arg("-x").arg(directory).status().is_ok_and(|status| status.success())
    }
}

fn id(which: &str, name: &str) -> Option<u32> {
    // `id` asks the name service switch, which knows accounts that /etc/passwd does not.
    let output = Command::new("id").args([which, name]).stderr(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// The directory everything lies in, and the account that can reach it.
#[derive(Debug)]
pub(crate) struct Workdir {
    base: PathBuf,
    account: Option<Account>,
}

impl Workdir {
    /// Opens `TONGHOP_LOCAL_DIR` or else the workspace's `.local`; in `/var/tmp` if that one cannot serve.
    pub(crate) fn open() -> Result<Self, WorkdirError> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let wanted = std::env::var_os(DIRECTORY_VARIABLE).map_or_else(|| workspace.join(".local"), PathBuf::from);
        let wanted = fs::canonicalize(&wanted).or_else(|_| std::path::absolute(&wanted)).unwrap_or(wanted);
        let workdir = Self { base: wanted, account: Account::for_servers()? };
        let reason = match workdir.lay_out() {
            Ok(()) if workdir.account.is_none_or(|account| account.can_enter(&workdir.base.join("run"))) => {
                return Ok(workdir);
            }
            Ok(()) => "the account PostgreSQL runs as cannot enter it".to_owned(),
            Err(error) => error.to_string(),
        };
        let fallback = Self { base: fallback_for(&workdir.base), ..workdir };
        tracing::debug!(wanted = %workdir.base.display(), used = %fallback.base.display(), reason, "private servers keep their files elsewhere");
        make_directory(&fallback.base)?;
        check_trusted(&fallback.base)?;
        fallback.lay_out()?;
        Ok(fallback)
    }

    /// The account servers must run as, `None` when our own will do.
    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    /// Who owns what servers write, for names of things that cannot be shared between users.
    pub(crate) fn owner_uid(&self) -> u32 {
        self.account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid)
    }

    /// Where fetched servers lie.
    pub(crate) fn tools(&self) -> PathBuf {
        self.base.join("tools")
    }

    /// Where initialised data directories lie.
    pub(crate) fn templates(&self) -> PathBuf {
        self.base.join("templates")
    }

    /// Waits for the lock `name`, which is held until the returned file is dropped.
    pub(crate) fn lock(&self, name: &str) -> Result<File, WorkdirError> {
        let path = self.base.join(name).with_extension("lock");
        let file = open_lock(&path)?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(file)
    }

    /// Makes a directory for a server or an installation, after sweeping those whose owners died.
    ///
    /// The name starts with `purpose` and our process id. Others may enter it, and read what they know the name of.
    pub(crate) fn run_dir(&self, purpose: &str) -> Result<RunDir, WorkdirError> {
        // Nobody sweeps while a new directory does not carry its owner's lock yet.
        let _sweeping = self.lock("run")?;
        let run = self.base.join("run");
        sweep(&run)?;
        let prefix = format!("{purpose}-{}-", process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(&run).map_err(failed("write to", &run))?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o711))
            .map_err(failed("open up", directory.path()))?;
        let path = directory.path().join(OWNER_LOCK);
        let lock = open_lock(&path)?;
        lock.lock().map_err(failed("lock", &path))?;
        Ok(RunDir { directory, lock })
    }

    fn lay_out(&self) -> Result<(), WorkdirError> {
        if let Some(parent) = self.base.parent() {
            fs::create_dir_all(parent).map_err(failed("create", parent))?;
        }
        for directory in [self.base.clone(), self.base.join("run"), self.tools(), self.templates()] {
            make_directory(&directory)?;
        }
        // One file opened for writing tells whether the directory is ours to use.
        open_lock(&self.base.join("run.lock")).map(drop)
    }
}

/// A server's or an installation's own directory, removed when dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    directory: TempDir,
    lock: File,
}

impl RunDir {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its name, which no other directory here has.
    pub(crate) fn name(&self) -> &str {
        self.path().file_name().and_then(OsStr::to_str).unwrap_or_default()
    }

    /// The standard input for a program working in this directory: empty, and it carries the owner's lock, so that the
    /// directory is not swept while the program or any child of it lives, even after we are gone.
    pub(crate) fn stdin(&self) -> Result<Stdio, WorkdirError> {
        let lock = self.lock.try_clone().map_err(failed("share the lock of", self.path()))?;
        Ok(lock.into())
    }
}

/// Removes every directory in `run` whose lock nobody holds. A lock outlives its owner by no instant and cannot be
/// mistaken for another's, as a process id can.
fn sweep(run: &Path) -> Result<(), WorkdirError> {
    for entry in fs::read_dir(run).map_err(failed("list", run))? {
        let path = entry.map_err(failed("list", run))?.path();
        let stale = match File::open(path.join(OWNER_LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Its owner died before it was locked, or in the middle of removing it.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !stale {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::debug!(path = %path.display(), "removed what a dead process left behind"),
            // Another user's, or its owner is removing it at this moment: it is in nobody's way.
            Err(error) => tracing::debug!(path = %path.display(), %error, "left a stale directory where it is"),
        }
    }
    Ok(())
}

/// Our place for the files of `base` in a directory that every account can reach.
fn fallback_for(base: &Path) -> PathBuf {
    let digest = Sha256::digest(base.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/var/tmp").join(format!("tonghop-{}-{name}", rustix::process::geteuid()))
}

/// Anyone can make a directory in /var/tmp under the name we would use, and wait for us to run what they put there.
fn check_trusted(directory: &Path) -> Result<(), WorkdirError> {
    let metadata = fs::symlink_metadata(directory).map_err(failed("examine", directory))?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let closed = metadata.permissions().mode() & 0o022 == 0;
    if metadata.is_dir() && ours && closed { Ok(()) } else { Err(WorkdirError::Untrusted(directory.to_owned())) }
}

/// Makes `directory` if it is not there, enterable by all whatever the umask.
pub(crate) fn make_directory(directory: &Path) -> Result<(), WorkdirError> {
    match fs::create_dir(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o755)).map_err(failed("open up", directory)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("create", directory)(error)),
    }
}

fn open_lock(path: &Path) -> Result<File, WorkdirError> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed("open", path))
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkdirError {
    move |source| WorkdirError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workdir() -> (TempDir, Workdir) {
        let parent = tempfile::tempdir().unwrap();
        let workdir = Workdir { base: parent.path().join("local"), account: None };
        workdir.lay_out().unwrap();
        (parent, workdir)
    }

    #[test]
    fn a_new_run_directory_sweeps_the_dead_and_spares_the_living() {
        let (_parent, workdir) = workdir();
        let living = workdir.run_dir("living").unwrap();
        let dead = workdir.base.join("run/nats-1-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(OWNER_LOCK), "").unwrap();

        let newcomer = workdir.run_dir("newcomer").unwrap();

        assert!(!dead.exists());
        assert!(living.path().exists());
        assert!(newcomer.path().exists());
    }

    #[test]
    fn a_program_holds_the_directory_it_works_in_after_its_owner_is_gone() {
        let (_parent, workdir) = workdir();
        let run_dir = workdir.run_dir("orphan").unwrap();
        let mut orphan = Command::new("sleep").arg("60").stdin(run_dir.stdin().unwrap()).spawn().unwrap();
        // What a killed owner leaves: the directory stays, its own handle on the lock closes.
        let path = run_dir.directory.keep();
        drop(run_dir.lock);

        drop(workdir.run_dir("first").unwrap());
        let spared = path.exists();
        orphan.kill().unwrap();
        orphan.wait().unwrap();
        drop(workdir.run_dir("second").unwrap());

        assert!(spared, "swept while its server was alive");
        assert!(!path.exists(), "not swept after its server died");
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        check_trusted(directory.path()).unwrap();

        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(check_trusted(directory.path()), Err(WorkdirError::Untrusted(_))));

        let link = tempfile::tempdir().unwrap().path().with_extension("link");
        std::os::unix::fs::symlink("/usr", &link).unwrap();
        let refused = check_trusted(&link);
        fs::remove_file(&link).unwrap();
        assert!(matches!(refused, Err(WorkdirError::Untrusted(_))));
    }
}
