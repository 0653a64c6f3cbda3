//! What was done to the keys directory: a chain of its own, in a file beside the keys that sign.
//!
//! `tonghop auth` works where no database can be reached. So it writes what it does to `authority/operated.log`, which nobody but
//! the operator can: a line each, with a hash over it and the line before, as the rows of the database have.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use access::{Layout, Locked};
use domain::Timestamp;
use serde_json::Value;
use store::audit::{AuditEntry, AuditFault, Chains, Head, line, link};
use time::OffsetDateTime;

use super::anchor::{hex, unhex};
use crate::output::{Failure, both};

/// The chain's name.
pub(crate) const CHAIN: &str = "keys";

/// A line, with what it says of itself.
struct Written {
    head: Head,
    micros: i64,
    /// Who, which command, and with what.
    entry: String,
}

impl Written {
    fn read(line: &str) -> Option<Self> {
        let (number, rest) = line.split_once('\t')?;
        let (micros, rest) = rest.split_once('\t')?;
        let (entry, hash) = rest.rsplit_once('\t')?;
        let hash = unhex(hash)?.try_into().ok()?;
        let head = Head { chain: CHAIN.to_owned(), number: number.parse().ok()?, hash };
        Some(Self { head, micros: micros.parse().ok()?, entry: format!("{entry}\n") })
    }

    /// What its hash is over, beside the hash before.
    fn stated(&self) -> String {
        stated(self.head.number, self.micros, &self.entry)
    }
}

fn stated(number: u64, micros: i64, entry: &str) -> String {
    format!("{CHAIN}\t{number}\t{micros}\t0\n{entry}")
}

/// Writes down what is about to be done to the keys directory. What cannot be written down is not done.
pub(crate) fn operated(
    layout: &Layout,
    principal: &str,
    command: &str,
    detail: &Value,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let written = append(layout, &line(&[principal, command, &detail.to_string()]), now);
    written.map_err(|error| {
        let (vi, en) = (
            "không ghi được vào nhật ký của thư mục khóa, nên không thực hiện",
            "the log of the keys directory cannot be written, so it is not done",
        );
        Failure::caused(vi, en, &*error)
    })
}

fn append(layout: &Layout, entry: &str, now: OffsetDateTime) -> Result<(), Box<dyn std::error::Error>> {
    let path = layout.operated_log();
    let _locked = Locked::keys(layout)?;
    let bytes = bytes(&path)?;
    // What was not written to its end was not done. Counted in bytes: what somebody else put there need not be text, and stays.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (number, hash) = match String::from_utf8_lossy(&bytes[..whole]).lines().last() {
        None => (0, Vec::new()),
        Some(last) => {
            let last = Written::read(last).ok_or_else(|| {
                let path = path.display();
                format!("{path}: its last line is not as it was written; move the file to a safe place, and a new one begins")
            })?;
            (last.head.number, last.head.hash.to_vec())
        }
    };
    let (number, micros) = (number + 1, Timestamp::from(now).unix_micros());
    let hash = link(&hash, &stated(number, micros, entry));
    let line = format!("{number}\t{micros}\t{}\t{}\n", entry.trim_end_matches('\n'), hex(&hash));
    let mut file = File::options().create(true).append(true).mode(0o600).open(&path)?;
    file.set_len(whole as u64)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    if number == 1 {
        File::open(layout.of("authority"))?.sync_all()?;
    }
    Ok(())
}

/// The file; nothing where there is none yet.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Without a line at the end that was not written to its end.
fn complete(content: &str) -> &str {
    content.rfind('\n').map_or("", |end| &content[..=end])
}

/// The chain: where it ends, and what is wrong with it, beside what was anchored of it.
pub(crate) fn check(layout: &Layout, anchors: &[Head]) -> Result<(Vec<Head>, Vec<AuditFault>), Failure> {
    let content = read(layout)?;
    let mut chains = Chains::default();
    for (number, line) in (1..).zip(complete(&content).lines()) {
        // What is no line of ours has no hash that fits.
        let no_line = || Written {
            head: Head { chain: CHAIN.to_owned(), number, hash: [0; 32] },
            micros: 0,
            entry: String::new(),
        };
        let written = Written::read(line).unwrap_or_else(no_line);
        let stated = written.stated();
        let anchored = anchors.iter().find(|anchor| anchor.number == written.head.number).map(|anchor| anchor.hash);
        chains.add(written.head, &stated, anchored);
    }
    Ok(chains.end(anchors))
}

/// The last line, for an anchor; none where nothing was done yet.
pub(crate) fn head(layout: &Layout) -> Result<Option<Head>, Failure> {
    let content = read(layout)?;
    Ok(complete(&content).lines().last().and_then(Written::read).map(|written| written.head))
}

/// Every line, the newest first.
pub(crate) fn entries(layout: &Layout) -> Result<Vec<AuditEntry>, Failure> {
    let content = read(layout)?;
    let lines = complete(&content).lines().rev().filter_map(Written::read);
    let entries = lines.map(|Written { head: Head { chain, number, .. }, micros, entry }| AuditEntry {
        chain,
        number,
        at: Timestamp::from_unix_micros(micros),
        fields: entry.trim_end_matches('\n').split('\t').map(str::to_owned).collect(),
    });
    Ok(entries.collect())
}

fn read(layout: &Layout) -> Result<String, Failure> {
    let path = layout.operated_log();
    let name = path.display();
    if !layout.of("authority").is_dir() {
        return Err(Failure::new(both(
            format!("{name}: không có thư mục này"),
            format!("{name}: there is no such directory"),
        )));
    }
    bytes(&path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| Failure::caused(&format!("không đọc được {name}"), &format!("cannot read {name}"), &error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 20:00 UTC);

    fn keys() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        fs::create_dir(layout.of("authority")).unwrap();
        (dir, layout)
    }

    /// Goal: what somebody put into the file stays as it is, to be looked at, also where it is no text.
    #[test]
    fn what_is_no_text_stays_where_it_is() {
        let (_dir, layout) = keys();
        let done = || operated(&layout, "lan", "grant", &json!({}), NOW).unwrap();
        done();
        done();
        let path = layout.operated_log();
        let mut damaged = fs::read(&path).unwrap();
        damaged[30] = 0xff;
        fs::write(&path, &damaged).unwrap();
        done();
        let now = fs::read(&path).unwrap();
        assert_eq!(now[..damaged.len()], damaged);
        assert_eq!(now[damaged.len()..].iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_ne!(now[damaged.len()], 0);
    }

    /// Goal: whatever is changed, taken out or put in is found, and so is an end that was cut off, beside an anchor.
    #[test]
    fn what_is_done_to_the_file_is_seen() {
        let (_dir, layout) = keys();
        let done = |who, what| operated(&layout, who, what, &json!({ "why": "mất\tmáy\n" }), NOW).unwrap();
        for (who, what) in [("lan", "grant"), ("lan", "issue token"), ("minh", "revoke"), ("lan", "ungrant")] {
            done(who, what);
        }
        let path = layout.operated_log();
        let whole = fs::read_to_string(&path).unwrap();
        let anchor = head(&layout).unwrap().unwrap();
        assert_eq!((anchor.number, whole.lines().count()), (4, 4));
        let faults = |content: &str| {
            fs::write(&path, content).unwrap();
            check(&layout, std::slice::from_ref(&anchor)).unwrap().1
        };
        let chain = || CHAIN.to_owned();
        assert_eq!(faults(&whole), []);
        assert_eq!(entries(&layout).unwrap()[1].fields, ["minh", "revoke", r#"{"why":"mất\tmáy\n"}"#]);
        let changed = AuditFault::Changed { chain: chain(), number: 3 };
        assert_eq!(faults(&whole.replace("minh", "lan")), std::slice::from_ref(&changed));
        assert_eq!(faults(&whole.replace("3\t1", "3\t2")), [changed]);
        let lines: Vec<&str> = whole.lines().collect();
        let of = |kept: &[usize]| kept.iter().map(|line| format!("{}\n", lines[*line])).collect::<String>();
        assert_eq!(faults(&of(&[0, 2, 3])), [AuditFault::Missing { chain: chain(), number: 2 }]);
        assert_eq!(faults(&of(&[0, 1, 1, 2, 3])).len(), 1);
        assert_eq!(faults(&of(&[0, 1, 2])), [AuditFault::Cut { chain: chain(), ends: 3, anchored: 4 }]);
        assert_eq!(faults(&format!("nonsense\n{whole}"))[0], AuditFault::Changed { chain: chain(), number: 1 });

        // Anew, with hashes that fit.
        fs::remove_file(&path).unwrap();
        (0..4).for_each(|_| done("lan", "grant"));
        let (_, anew) = check(&layout, std::slice::from_ref(&anchor)).unwrap();
        assert_eq!(anew, [AuditFault::Replaced { chain: chain(), number: 4 }]);
    }

    #[test]
    fn what_was_not_written_to_its_end_was_not_done() {
        let (_dir, layout) = keys();
        let done = || operated(&layout, "lan", "grant", &json!({}), NOW);
        done().unwrap();
        let path = layout.operated_log();
        let torn = fs::read_to_string(&path).unwrap() + "2\t17";
        fs::write(&path, &torn).unwrap();
        assert_eq!(check(&layout, &[]).unwrap().1, []);
        done().unwrap();
        assert_eq!((check(&layout, &[]).unwrap().1, entries(&layout).unwrap().len()), (Vec::new(), 2));
        fs::write(&path, format!("{torn}\n")).unwrap();
        assert!(done().unwrap_err().message.en.contains("its last line is not as it was written"));
    }
}
