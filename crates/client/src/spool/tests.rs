//! Goal: what the spool has taken is there whatever happens, and it takes no more than it may.

use std::{path::Path, time::Duration};

use proto::pb::{
    collector::v1::{Acknowledgement, Refusal},
    query::v1::{Fate, GetSubmissionResponse},
};
use tempfile::TempDir;

use super::*;
use crate::{Member, Outcome, Progress, Report, SendError, SubmissionId, clock::Millis};

const NOW: Millis = Millis(1_000_000);

fn report(unit: &str, number: i64) -> Report {
    Report::of(unit, "identity", "202211").value("a", number)
}

async fn open(path: &Path) -> Spool {
    Spool::open(path, Limits::default()).await.unwrap().0
}

/// A spool in a directory of its own.
async fn spool() -> (TempDir, Spool) {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&dir.path().join("spool")).await;
    (dir, spool)
}

async fn add(spool: &Spool, report: Report) -> SubmissionId {
    spool.run(move |rows| rows.add(report, NOW)).await.unwrap()
}

/// What a power cut now would leave on the disk.
async fn after_a_crash(dir: &TempDir) -> (TempDir, Spool) {
    let left = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
    }
    let spool = open(&left.path().join("spool")).await;
    (left, spool)
}

fn acknowledgement(revision: i64) -> Acknowledgement {
    Acknowledgement { revision, ..Acknowledgement::default() }
}

async fn note(spool: &Spool, place: Place, receipt: Receipt) -> Vec<Known> {
    spool.run(move |rows| rows.note(&[(place, receipt)], NOW)).await.unwrap()
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_taken() {
    let (dir, spool) = spool().await;
    let (one, two) = (add(&spool, report("1", 5)).await, add(&spool, report("2", 6)).await);
    let accepted =
        Outcome::Accepted(Box::new(GetSubmissionResponse { fate: Fate::Accepted.into(), ..Default::default() }));
    note(&spool, 1, Receipt::Finished(accepted.clone())).await;
    spool.run(|rows| rows.add_batch("b", vec![(7, report("3", 1))], NOW)).await.unwrap();

    let (_left, spool) = after_a_crash(&dir).await;
    let waiting = spool.run(|rows| rows.waiting(0, 10)).await.unwrap();
    assert_eq!(
        waiting.iter().map(|waiting| (waiting.place, waiting.lane.as_str())).collect::<Vec<_>>(),
        [(2, "2"), (3, "3")]
    );
    assert_eq!(waiting[0].id, two);
    let taken = spool.run(|rows| rows.take(&[2], NOW)).await.unwrap();
    assert_eq!((taken[0].1.submission_id.clone(), taken[0].1.org_unit.as_str()), (two.to_string(), "2"));
    let progress = spool.run(move |rows| rows.progress(one)).await.unwrap();
    assert_eq!(progress, Some(Progress::Finished(accepted)));
    let members = spool.run(|rows| rows.batch("b")).await.unwrap();
    assert!(matches!(members[..], [Member { number: 7, progress: Some(Progress::Spooled { sent: false }), .. }]));
}

#[tokio::test]
async fn a_report_is_there_once_under_its_id_and_no_other_content_is() {
    let (_dir, spool) = spool().await;
    let id = SubmissionId::fresh();
    for _ in 0..2 {
        assert_eq!(add(&spool, report("1", 5).under(id)).await, id);
    }
    let other = spool.run(move |rows| rows.add(report("1", 6).under(id), NOW)).await;
    assert!(matches!(other, Err(SendError::OtherContent(of)) if of == id), "{other:?}");
    assert_eq!(spool.run(|rows| rows.pending()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_spool_says_so_keeps_what_it_has_and_has_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { reports: 2, bytes: 1 << 20 };
    let (spool, thread) = Spool::open(&dir.path().join("spool"), limits).await.unwrap();
    let first = add(&spool, report("1", 1)).await;
    let batch = spool.run(|rows| rows.add_batch("b", vec![(0, report("2", 1)), (1, report("3", 1))], NOW)).await;
    assert!(matches!(batch, Err(SendError::Full(of)) if of == limits), "{batch:?}");
    assert_eq!(spool.run(|rows| rows.pending()).await.unwrap(), 1, "a batch is taken as a whole or not at all");
    let more = (0..3).map(|number| (number, report("4", 1))).collect();
    let batch = spool.run(move |rows| rows.add_batch("b", more, NOW)).await;
    assert!(matches!(batch, Err(SendError::TooLarge(_))), "{batch:?}");
    add(&spool, report("2", 1)).await;
    let full = spool.run(|rows| rows.add(report("3", 1), NOW)).await;
    assert!(matches!(full, Err(SendError::Full(_))), "{full:?}");
    note(&spool, 1, Receipt::Finished(Outcome::Refused(Box::default()))).await;
    assert!(spool.run(move |rows| rows.forget(first)).await.unwrap());
    add(&spool, report("3", 1)).await;

    drop(spool);
    thread.join().unwrap();
    let (spool, _thread) = Spool::open(&dir.path().join("spool"), limits).await.unwrap();
    let full = spool.run(|rows| rows.add(report("4", 1), NOW)).await;
    assert!(matches!(full, Err(SendError::Full(_))), "what is there is counted when it is opened: {full:?}");
    let (spool, _thread) = Spool::open(&dir.path().join("small"), Limits { reports: 9, bytes: 50 }).await.unwrap();
    let full = spool.run(|rows| rows.add(report("4", 1).value("note", "x".repeat(50).as_str()), NOW)).await;
    assert!(matches!(full, Err(SendError::Full(_))), "{full:?}");
}

#[tokio::test]
async fn another_who_opens_the_spool_is_refused_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let (first, thread) = Spool::open(&path, Limits::default()).await.unwrap();
    let second = Spool::open(&path, Limits::default()).await.map(drop);
    assert!(matches!(&second, Err(OpenError::InUse(at)) if *at == path), "{second:?}");
    drop(first);
    thread.join().unwrap();
    open(&path).await;
}

#[tokio::test]
async fn a_file_that_is_no_spool_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let words = dir.path().join("words");
    std::fs::write(&words, "org_unit,data_set\n".repeat(100)).unwrap();
    let refused = Spool::open(&words, Limits::default()).await.map(drop);
    assert!(matches!(refused, Err(OpenError::NotASpool(_))), "{refused:?}");
    assert!(std::fs::read_to_string(&words).unwrap().starts_with("org_unit"));

    let other = dir.path().join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    // As a program leaves it that is killed: with what it wrote last in the log.
    let (written, killed) = (dir.path().join("written"), dir.path().join("killed"));
    let connection = Connection::open(&written).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    for suffix in ["", "-wal"] {
        let [from, to] = [&written, &killed].map(|path| format!("{}{suffix}", path.display()));
        std::fs::copy(from, to).unwrap();
    }
    drop(connection);
    let files = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
        files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = files();
    for foreign in [other, killed] {
        let refused = Spool::open(&foreign, Limits::default()).await.map(drop);
        assert!(matches!(refused, Err(OpenError::NotASpool(_))), "{refused:?}");
        assert!(files() == before, "{} and what is beside it are as they were", foreign.display());
    }

    let newer = dir.path().join("newer");
    let (spool, thread) = Spool::open(&newer, Limits::default()).await.unwrap();
    drop(spool);
    thread.join().unwrap();
    Connection::open(&newer).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let refused = Spool::open(&newer, Limits::default()).await.map(drop);
    assert!(matches!(refused, Err(OpenError::TooNew { version: 99, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_job_that_fails_takes_nothing_of_its_neighbours_with_it() {
    let (dir, spool) = spool().await;
    let failing = || {
        spool.run(|rows| {
            rows.add(report("9", 9), NOW)?;
            Err::<(), _>(SendError::Full(Limits::NONE))
        })
    };
    // Asked for at the same time, so that they share a transaction or several.
    let adding: Vec<_> = (0..50).map(|number| spool.run(move |rows| rows.add(report("1", number), NOW))).collect();
    let (failed, added) = futures_util::future::join(
        futures_util::future::join_all((0..50).map(|_| failing())),
        futures_util::future::join_all(adding),
    )
    .await;
    assert!(failed.iter().all(Result::is_err) && added.iter().all(Result::is_ok));
    let (_left, spool) = after_a_crash(&dir).await;
    let waiting = spool.run(|rows| rows.waiting(0, 1000)).await.unwrap();
    assert_eq!(waiting.iter().filter(|waiting| waiting.lane == "1").count(), 50);
    assert_eq!(waiting.len(), 50);
}

#[tokio::test]
async fn a_batch_is_taken_once_and_its_reports_keep_their_ids() {
    let (_dir, spool) = spool().await;
    let id = SubmissionId::fresh();
    let batch = move || vec![(2, report("1", 1)), (5, report("2", 2).under(id)), (6, report("2", 3).under(id))];
    let mut ids = Vec::new();
    for _ in 0..2 {
        spool.run(move |rows| rows.add_batch("b", batch(), NOW)).await.unwrap();
        let members = spool.run(|rows| rows.batch("b")).await.unwrap();
        ids.push(
            members.iter().map(|member| (member.number, member.id, member.progress.is_some())).collect::<Vec<_>>(),
        );
    }
    assert_eq!(ids[0], ids[1], "taken again it is the same");
    assert_eq!((ids[0][1], ids[0][2]), ((5, id, true), (6, id, false)), "the last has other content");
    assert_eq!(spool.run(|rows| rows.unfinished("b")).await.unwrap(), 2);

    // The same submission in another batch.
    spool.run(move |rows| rows.add_batch("c", vec![(0, report("2", 2).under(id))], NOW)).await.unwrap();
    note(&spool, 2, Receipt::Finished(Outcome::Acknowledged(acknowledgement(1)))).await;
    spool.run(|rows| rows.forget_batch("b")).await.unwrap();
    assert_eq!(spool.run(|rows| rows.batches()).await.unwrap(), ["c"]);
    assert!(spool.run(move |rows| rows.progress(id)).await.unwrap().is_some(), "the other batch has it still");
    assert_eq!(spool.run(|rows| rows.pending()).await.unwrap(), 1, "what is not finished goes on");
    spool.run(|rows| rows.forget_batch("c")).await.unwrap();
    assert_eq!(spool.run(move |rows| rows.progress(id)).await.unwrap(), None);
}

#[tokio::test]
async fn outcomes_are_given_in_order_until_they_are_forgotten_or_old() {
    let (dir, spool) = spool().await;
    let ids = [add(&spool, report("1", 1)).await, add(&spool, report("2", 1)).await, add(&spool, report("3", 1)).await];
    let refused = || Receipt::Finished(Outcome::Refused(Box::new(Refusal { code: 3, ..Refusal::default() })));
    note(&spool, 2, refused()).await;
    note(&spool, 1, refused()).await;
    let next = async |spool: &Spool, after| {
        let next = spool.run(move |rows| rows.next_finished(after)).await.unwrap();
        next.map(|(number, id, _)| (number, id))
    };
    assert_eq!(next(&spool, 0).await, Some((1, ids[1])));
    assert_eq!(next(&spool, 1).await, Some((2, ids[0])));
    assert_eq!(next(&spool, 2).await, None);
    assert!(!spool.run(move |rows| rows.forget(ids[2])).await.unwrap(), "it is not finished");
    let (_left, spool) = after_a_crash(&dir).await;
    assert_eq!(next(&spool, 0).await, Some((1, ids[1])), "nobody has confirmed it");
    assert!(spool.run(move |rows| rows.forget(ids[1])).await.unwrap());
    assert_eq!(next(&spool, 0).await, Some((2, ids[0])));
    spool.run(|rows| rows.sweep(NOW)).await.unwrap();
    assert_eq!(next(&spool, 0).await, Some((2, ids[0])), "it is not that old");
    spool.run(|rows| rows.sweep(NOW.plus(Duration::from_secs(1)))).await.unwrap();
    assert_eq!(next(&spool, 0).await, None);
    assert_eq!(spool.run(|rows| rows.pending()).await.unwrap(), 1);
}

#[tokio::test]
async fn of_a_batch_nothing_is_swept_before_all_of_it_is_old() {
    let (_dir, spool) = spool().await;
    spool.run(|rows| rows.add_batch("b", vec![(0, report("1", 1)), (1, report("2", 1))], NOW)).await.unwrap();
    let later = NOW.plus(Duration::from_secs(60));
    let finish = async |place, at| {
        let receipts = [(place, Receipt::Finished(Outcome::Acknowledged(acknowledgement(1))))];
        spool.run(move |rows| rows.note(&receipts, at)).await.unwrap();
    };
    let left = async || {
        spool.run(move |rows| rows.sweep(NOW.plus(Duration::from_secs(1)))).await.unwrap();
        spool.run(|rows| rows.batch("b")).await.unwrap().len()
    };
    finish(1, NOW).await;
    assert_eq!(left().await, 2);
    finish(2, later).await;
    assert_eq!(left().await, 2);
    spool.run(move |rows| rows.sweep(later.plus(Duration::from_secs(1)))).await.unwrap();
    assert_eq!(left().await, 0);
}

#[tokio::test]
async fn a_report_that_is_pushed_again_keeps_the_revision_it_was_given() {
    let (_dir, spool) = spool().await;
    add(&spool, report("1", 5)).await;
    let known = note(&spool, 1, Receipt::Acknowledged(acknowledgement(42))).await;
    assert_eq!(known[0].pushed_again, 0);
    assert_eq!(spool.run(|rows| rows.waiting(0, 9)).await.unwrap(), []);
    assert_eq!(spool.run(|rows| rows.push_again(&[1])).await.unwrap()[0].place, 1);
    let taken = spool.run(|rows| rows.take(&[1], NOW)).await.unwrap();
    assert_eq!(taken[0].1.revision, Some(42));
    let known = note(&spool, 1, Receipt::Acknowledged(acknowledgement(42))).await;
    assert_eq!(known[0].pushed_again, 1);
}

#[tokio::test]
async fn what_is_given_up_says_how_far_it_came() {
    let (_dir, spool) = spool().await;
    for unit in ["1", "2", "3", "4"] {
        add(&spool, report(unit, 1)).await;
    }
    spool.run(|rows| rows.take(&[2, 3], NOW)).await.unwrap();
    note(&spool, 3, Receipt::Acknowledged(acknowledgement(1))).await;
    note(&spool, 4, Receipt::Finished(Outcome::Acknowledged(acknowledgement(1)))).await;
    let given_up = spool.run(|rows| rows.give_up(&[1, 2, 3, 4], NOW)).await.unwrap();
    let outcomes: Vec<_> = given_up.iter().map(|(_, outcome)| outcome.clone()).collect();
    let given_up = |sent, acknowledgement| Outcome::GivenUp { sent, acknowledgement };
    let expected = [given_up(false, None), given_up(true, None), given_up(true, Some(acknowledgement(1)))];
    assert_eq!(outcomes, expected);
    for (number, expected) in [(1, &expected[0]), (2, &expected[1]), (3, &expected[2])] {
        let kept = spool.run(move |rows| rows.next_finished(number)).await.unwrap().unwrap().2;
        assert_eq!(kept, *expected, "as it is read again");
    }
}
