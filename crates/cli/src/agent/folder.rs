//! The folder, and where in it a file is.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::answer::Answer;
use crate::{
    output::{Failure, both},
    report_file::{Format, MAX_BYTES},
};

const LOCK: &str = ".tonghop-agent.lock";
const SENDING: &str = "sending";
const DONE: &str = "done";
const REFUSED: &str = "refused";

/// A folder that is ours alone for as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// What each file that waits looked like, and since when.
    seen: HashMap<OsString, (Looks, Instant)>,
    /// The lock goes with it, however the process ends.
    _lock: File,
}

/// What changes while a file is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    size: u64,
    modified: Option<SystemTime>,
}

/// What looking into the folder has brought.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Files that are in `sending/` now.
    pub(super) taken: Vec<OsString>,
    /// Those that are still where they were, until they are quiet or there is room.
    pub(super) waiting: Vec<OsString>,
    /// Those that cannot be moved, and why.
    pub(super) stuck: Vec<(OsString, io::Error)>,
    /// Those that are no files of reports by their names, nor somebody's unfinished work.
    pub(super) strange: BTreeSet<OsString>,
}

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    Words(String),
    TooLarge,
    NotUtf8,
}

impl Folder {
    /// Takes possession of a folder.
    pub(super) fn open(root: &Path) -> Result<Self, Failure> {
        let shown = root.display();
        let unusable = |error: io::Error| {
            Failure::caused(
                &format!("không dùng được thư mục {shown}"),
                &format!("cannot use the folder {shown}"),
                &error,
            )
        };
        // The folder itself must be there: a name that is mistyped is not a new folder.
        for place in [SENDING, DONE, REFUSED] {
            match fs::create_dir(root.join(place)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
                _ => {}
            }
        }
        let lock = File::create(root.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), seen: HashMap::new(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let message = both(
                    format!("thư mục {shown} đang do một tonghop agent khác xử lý"),
                    format!("another tonghop agent is at work in the folder {shown}"),
                );
                Err(Failure { reason: "FOLDER_IN_USE".to_owned(), ..Failure::new(message) })
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The files that are on their way.
    pub(super) fn sending(&self) -> io::Result<Vec<OsString>> {
        let mut names: Vec<_> = files(&self.root.join(SENDING))?.files.into_iter().map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    /// Moves those files to `sending/` that have not changed for so long; at most so many.
    pub(super) fn take(&mut self, quiet_for: Duration, most: usize) -> io::Result<Looked> {
        let Found { files: mut waiting, strange } = files(&self.root)?;
        waiting.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut seen = std::mem::take(&mut self.seen);
        let (now, mut looked) = (Instant::now(), Looked { strange, ..Looked::default() });
        for (name, looks) in waiting {
            let since = seen.remove(&name).filter(|(before, _)| *before == looks).map_or(now, |(_, since)| since);
            let target = self.root.join(SENDING).join(&name);
            let is_ready = looked.taken.len() < most && now.duration_since(since) >= quiet_for;
            // One of the same name goes first.
            let moved = match target.try_exists() {
                Ok(false) if is_ready => fs::rename(self.root.join(&name), target).map(|()| true),
                there => there.map(|_| false),
            };
            match moved {
                Ok(true) => {
                    looked.taken.push(name);
                    continue;
                }
                Ok(false) => looked.waiting.push(name.clone()),
                // Somebody has taken it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Somebody else's, or open elsewhere: the others do not wait for it.
                Err(error) => looked.stuck.push((name.clone(), error)),
            }
            self.seen.insert(name, (looks, since));
        }
        Ok(looked)
    }

    /// What a file says that is on its way.
    pub(super) fn read(&self, name: &OsStr) -> io::Result<Text> {
        let mut bytes = Vec::new();
        File::open(self.root.join(SENDING).join(name))?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Ok(Text::TooLarge);
        }
        Ok(String::from_utf8(bytes).map_or(Text::NotUtf8, Text::Words))
    }

    /// Moves a file from `sending/` to where its answer says that it belongs; gives back where that is, as seen from the
    /// folder. The answer is there before the file is: if all ends in between, both are written again.
    pub(super) fn put_away(&self, name: &OsStr, answer: &Answer) -> io::Result<PathBuf> {
        let place = if answer.is_good() { DONE } else { REFUSED };
        let directory = self.root.join(place);
        let free = free_name(&directory, Path::new(&short(name)))?;
        write(&directory, &beside(&free, ".answer.txt"), answer.text())?;
        write(&directory, &beside(&free, ".answer.json"), &format!("{:#}\n", answer.object()))?;
        fs::rename(self.root.join(SENDING).join(name), directory.join(&free))?;
        for changed in [directory, self.root.join(SENDING)] {
            File::open(changed)?.sync_all()?;
        }
        Ok(Path::new(place).join(free))
    }
}

/// What lies in a directory that is not somebody's unfinished work.
#[derive(Default)]
struct Found {
    /// Files of reports, with their looks.
    files: Vec<(OsString, Looks)>,
    /// What else may have been meant to be sent.
    strange: BTreeSet<OsString>,
}

fn files(directory: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_unfinished(&name.to_string_lossy()) {
            continue;
        }
        match entry.metadata() {
            Ok(about) if about.is_file() && Format::of_name(&name.to_string_lossy()).is_some() => {
                found.files.push((name, Looks { size: about.len(), modified: about.modified().ok() }));
            }
            // What a link leads to may be anything.
            Ok(about) if about.is_file() || about.is_symlink() => drop(found.strange.insert(name)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part")
}

/// A name to which an answer's endings can be added: a directory takes 255 bytes.
fn short(name: &OsStr) -> OsString {
    const MOST: usize = 200;
    if name.len() <= MOST {
        return name.to_owned();
    }
    let path = Path::new(name);
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let stem = path.file_stem().unwrap_or(name).to_string_lossy();
    OsString::from(format!("{}.{ending}", &stem[..stem.floor_char_boundary(MOST)]))
}

/// The name itself, or where a file has it already, one with a number: `a.csv`, `a.2.csv`.
fn free_name(directory: &Path, name: &Path) -> io::Result<OsString> {
    let mut free = name.as_os_str().to_owned();
    let mut number = 1_u64;
    while directory.join(&free).try_exists()? {
        number += 1;
        free = name.file_stem().unwrap_or(name.as_os_str()).to_owned();
        free.push(format!(".{number}"));
        if let Some(ending) = name.extension() {
            free.push(".");
            free.push(ending);
        }
    }
    Ok(free)
}

fn beside(name: &OsStr, ending: &str) -> OsString {
    let mut beside = name.to_owned();
    beside.push(ending);
    beside
}

/// Writes a file so that it is there as a whole or not at all.
fn write(directory: &Path, name: &OsStr, text: &str) -> io::Result<()> {
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(".tmp");
    let unfinished = directory.join(unfinished);
    let mut file = File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, directory.join(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(directory: PathBuf) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_whole_files_of_reports_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path()).unwrap();
        for name in ["a.csv", "b.json", ".c.csv", "d.csv.tmp", "e.csv.part", "f.txt"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("g.csv")).unwrap();
        let quiet_for = Duration::from_millis(100);
        let looked = folder.take(quiet_for, 9).unwrap();
        assert_eq!((looked.taken, looked.waiting.len()), (vec![], 2), "they may be unfinished");
        std::thread::sleep(quiet_for);
        fs::write(dir.path().join("a.csv"), "xy").unwrap();
        let looked = folder.take(quiet_for, 9).unwrap();
        assert_eq!((looked.taken, looked.waiting.len()), (vec![OsString::from("b.json")], 1), "the other has grown");
        std::thread::sleep(quiet_for);
        assert_eq!(folder.take(quiet_for, 0).unwrap().taken, [""; 0], "when there is no room none is taken");
        assert_eq!(folder.take(quiet_for, 9).unwrap().taken, ["a.csv"]);
        fs::write(dir.path().join("a.csv"), "new").unwrap();
        assert_eq!(folder.take(Duration::ZERO, 9).unwrap().waiting, ["a.csv"], "the one before it is on its way");
        assert_eq!(folder.sending().unwrap(), ["a.csv", "b.json"]);
        assert_eq!(folder.read(OsStr::new("a.csv")).unwrap(), Text::Words("xy".to_owned()));
    }

    #[test]
    fn a_file_is_put_away_under_a_free_name_with_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path()).unwrap();
        let answer = Answer::of_sentence("a.csv", &both("sai", "wrong"));
        for expected in ["refused/a.csv", "refused/a.2.csv", "refused/a.3.csv"] {
            fs::write(dir.path().join("a.csv"), expected).unwrap();
            folder.take(Duration::ZERO, 1).unwrap();
            assert_eq!(folder.put_away(OsStr::new("a.csv"), &answer).unwrap(), Path::new(expected));
            assert_eq!(fs::read_to_string(dir.path().join(expected)).unwrap(), expected);
            let told = fs::read_to_string(dir.path().join(format!("{expected}.answer.json"))).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&told).unwrap()["file"], json!("a.csv"));
        }
        assert_eq!(names(dir.path().join("refused")).len(), 9);
        assert_eq!(names(dir.path().join("sending")).len(), 0);
    }

    #[test]
    fn a_file_with_a_long_name_is_put_away_with_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path()).unwrap();
        let name = format!("{}.csv", "báo cáo ".repeat(25));
        assert!((240..=255).contains(&name.len()));
        fs::write(dir.path().join(&name), "x").unwrap();
        assert_eq!(folder.take(Duration::ZERO, 1).unwrap().taken, [name.as_str()]);
        let put = folder.put_away(OsStr::new(&name), &Answer::of_sentence(&name, &both("sai", "wrong"))).unwrap();
        assert!(put.to_string_lossy().starts_with("refused/báo cáo ") && put.extension() == Some(OsStr::new("csv")));
        assert_eq!(names(dir.path().join("refused")).len(), 3);
    }

    #[test]
    fn a_folder_is_used_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(Folder::open(dir.path()).unwrap_err().reason, "FOLDER_IN_USE");
        drop(folder);
        assert!(Folder::open(dir.path()).is_ok());
        let missing = Folder::open(&dir.path().join("missing")).unwrap_err();
        assert!(missing.message.en.starts_with("cannot use the folder"), "{missing:?}");
    }
}
