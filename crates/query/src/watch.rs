//! Watching: events of TOTALS say that something moved, PostgreSQL says what it is now.
//!
//! An event is a hint and no more. It comes after its change is committed, so whoever hears of it and then reads finds the
//! change; nothing depends on its content, or on every event arriving. A watcher hears at most "it moved" and not how
//! often, so one that is slow has nothing queued for it: when it comes back it reads the latest state.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::Catalogue;
use futures_util::{Stream, stream};
use messaging::{subjects, totals::TotalsFeed};
use proto::pb::query::v1 as pb;
use runtime::Shutdown;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use crate::{question::Question, read::Reader, refused::Refused};

/// Passes the events of one feed on to all watchers. It holds one entry for each subject that is watched.
#[derive(Debug)]
pub(crate) struct Hub {
    watched: Mutex<HashMap<String, watch::Sender<()>>>,
    slots: Arc<Semaphore>,
    /// Watchers read in turns, so that many of one busy unit cannot keep other questions from the database.
    turns: Semaphore,
}

impl Hub {
    /// A hub for so many watchers, of which so many read at a time.
    pub(crate) fn new(max_watchers: usize, reads_at_a_time: usize) -> Self {
        let slots = Arc::new(Semaphore::new(max_watchers.min(Semaphore::MAX_PERMITS)));
        Self { watched: Mutex::default(), slots, turns: Semaphore::new(reads_at_a_time) }
    }

    /// Hears of everything about a subject from now on.
    fn listen(self: &Arc<Self>, subject: String) -> Result<Listening, Refused> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Refused::TooManyWatchers)?;
        let news = self.lock().entry(subject.clone()).or_insert_with(|| watch::Sender::new(())).subscribe();
        Ok(Listening { hub: Arc::clone(self), subject, news, _slot: slot })
    }

    /// Tells those who listen that something about a subject moved.
    fn moved(&self, subject: &str) {
        if let Some(sender) = self.lock().get(subject) {
            sender.send_replace(());
        }
    }

    /// The map is whole after every line that changes it: a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes events on for ever.
pub(crate) async fn follow(mut feed: TotalsFeed, hub: &Hub) -> Infallible {
    loop {
        let (subject, _) = feed.next().await;
        hub.moved(&subject);
    }
}

/// One of those who listen. The last one about a subject takes its entry away.
#[derive(Debug)]
struct Listening {
    hub: Arc<Hub>,
    subject: String,
    news: watch::Receiver<()>,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut watched = self.hub.lock();
        // Nobody can begin to listen while the map is locked, and we are still counted ourselves.
        if watched.get(&self.subject).is_some_and(|sender| sender.receiver_count() == 1) {
            watched.remove(&self.subject);
        }
    }
}

/// The subject that has an event whenever the totals asked about move. A unit with nothing below it has no events: what
/// moves its report moves the totals of the unit above.
fn subject(catalogue: &Catalogue, question: Question) -> String {
    let vintage = question.vintage(catalogue);
    let unit = vintage.unit(question.unit);
    let told_of = unit.parent.filter(|_| unit.is_leaf()).map_or(unit, |parent| vintage.unit(parent));
    let level = &catalogue.level(told_of.level).code;
    subjects::totals(level, &told_of.code, question.data_set(catalogue).code(), question.period)
}

/// Follows the totals of one unit.
#[derive(Debug)]
pub(crate) struct Watcher {
    reader: Arc<Reader>,
    question: Question,
    listening: Listening,
    look_again_after: Duration,
    shutdown: Shutdown,
    /// The version that was sent last.
    sent: Option<i64>,
}

impl Watcher {
    /// Begins to listen; what moves from now on is not missed.
    pub(crate) fn new(
        reader: Arc<Reader>,
        hub: &Arc<Hub>,
        question: Question,
        look_again_after: Duration,
        shutdown: Shutdown,
    ) -> Result<Self, Refused> {
        let listening = hub.listen(subject(reader.catalogue(), question))?;
        Ok(Self { reader, question, listening, look_again_after, shutdown, sent: None })
    }

    /// The totals as they stand, then as they move, until the service goes away or the database does.
    pub(crate) fn stream(self) -> impl Stream<Item = Result<pb::Totals, Refused>> {
        stream::unfold(Some(self), async |watcher| {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(totals) => Some((Ok(totals), Some(watcher))),
                Err(refused) => Some((Err(refused), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<pb::Totals, Refused> {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            biased;
            () = shutdown.requested() => Err(Refused::ShuttingDown),
            totals = self.next_version() => totals,
        }
    }

    async fn next_version(&mut self) -> Result<pb::Totals, Refused> {
        loop {
            if self.sent.is_some() {
                // Nothing heard for so long may mean that NATS is away: look again in any case.
                drop(timeout(self.look_again_after, self.listening.news.changed()).await);
            }
            let totals = self.read().await?;
            // Another version, not a higher one: a database that was restored may have gone back.
            if self.sent.replace(totals.version) != Some(totals.version) {
                return Ok(totals);
            }
        }
    }

    async fn read(&mut self) -> Result<pb::Totals, Refused> {
        // Closed would mean that the hub is gone, and we hold it.
        let _turn = self.listening.hub.turns.acquire().await.ok();
        // What moved while we waited for our turn is in what we read now.
        self.listening.news.mark_unchanged();
        self.reader.totals(self.question).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{question::Asked, tiny};
    use futures_util::FutureExt as _;

    fn hub(max_watchers: usize) -> Arc<Hub> {
        Arc::new(Hub::new(max_watchers, 1))
    }

    #[test]
    fn a_unit_is_watched_by_its_own_subject_and_a_leaf_by_that_of_the_unit_above() {
        let catalogue = tiny::catalogue();
        let subject = |org_unit| subject(&catalogue, Question::read(&catalogue, tiny::asked(org_unit)).unwrap());
        assert_eq!(subject("VN"), "totals.v1.national.VN.identity.202211");
        assert_eq!(subject("011"), "totals.v1.district.011.identity.202211");
        assert_eq!(subject("00001"), "totals.v1.district.011.identity.202211");
        assert_eq!(subject("012"), "totals.v1.province.01.identity.202211", "the island has nothing below it");
    }

    #[test]
    fn a_longer_period_is_watched_by_its_own_name() {
        let catalogue = tiny::catalogue();
        let subject = |period| {
            let asked = Asked { org_unit: "00001", data_set: "identity", period };
            subject(&catalogue, Question::read(&catalogue, asked).unwrap())
        };
        assert_eq!(subject("2022Q4"), "totals.v1.district.011.identity.2022Q4");
        assert_eq!(subject("latest20000101"), "totals.v1.district.011.identity.latest", "as it is stored");
        assert_eq!(subject("latest"), "totals.v1.province.01.identity.latest20250701");
    }

    #[test]
    fn many_events_are_one_piece_of_news_to_those_who_listen() {
        let hub = hub(2);
        hub.moved("a");
        let mut a = hub.listen("a".to_owned()).unwrap();
        let mut b = hub.listen("b".to_owned()).unwrap();
        assert!(a.news.changed().now_or_never().is_none(), "what was before is in the snapshot");
        for _ in 0..1_000 {
            hub.moved("a");
        }
        assert!(a.news.changed().now_or_never().is_some());
        assert!(a.news.changed().now_or_never().is_none());
        assert!(b.news.changed().now_or_never().is_none());
    }

    #[test]
    fn watchers_are_bounded_and_leave_nothing_behind() {
        let hub = hub(2);
        let first = hub.listen("a".to_owned()).unwrap();
        let second = hub.listen("a".to_owned()).unwrap();
        assert_eq!(hub.listen("b".to_owned()).unwrap_err(), Refused::TooManyWatchers);
        drop(first);
        assert_eq!(hub.lock().len(), 1, "the second still listens");
        drop(second);
        assert_eq!(hub.lock().len(), 0);
        assert!(hub.listen("b".to_owned()).is_ok());
    }
}
