//! Watching: events of TOTALS say that something moved, PostgreSQL says what it is now.
//!
//! Events are followed while somebody watches. An event is a hint and no more. It comes after its change is committed, so whoever hears of it and then reads finds the
//! change; nothing depends on its content, or on every event arriving. A watcher hears at most "it moved" and not how
//! often, so one that is slow has nothing queued for it: when it comes back it reads the latest state.
//!
//! A watch is a task with one message on its way to the caller. Meanwhile it waits, and what moves is marked. One whose caller
//! does not read is ended.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Catalogue, access::PrincipalName};
use futures_util::{Stream, stream};
use messaging::{Connection, subjects, totals::TotalsFeed};
use runtime::{Shutdown, quota::Shares};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, interval_at, sleep, timeout, timeout_at},
};

use crate::{Limits, caller::Caller, kept::Told, question::Question, read::Reader, refused::Refused};

/// Totals that are read together, and sent in one message.
pub(crate) const TOGETHER: usize = 50;

/// The most totals that one watch follows.
pub(crate) const MOST: usize = 1_000;

/// Passes the events of one feed on to all watchers. It holds one entry for each total that is watched by each of them.
#[derive(Debug)]
pub(crate) struct Hub {
    watched: Mutex<HashMap<String, Vec<Place>>>,
    /// Somebody began to watch.
    came: Notify,
    max_watchers: usize,
    slots: Arc<Semaphore>,
    totals: Arc<Semaphore>,
    slots_of_one: Shares<PrincipalName>,
    totals_of_one: Shares<PrincipalName>,
    /// Watchers read in turns, so that many of one busy unit cannot keep other questions from the database.
    turns: Semaphore,
}

/// A total that is watched: whose it is, and its place among all that he watches.
#[derive(Debug)]
struct Place {
    bell: Arc<Bell>,
    place: usize,
}

/// What a watcher hears: which of its totals moved, not how often.
#[derive(Debug, Default)]
struct Bell {
    moved: Mutex<BTreeSet<usize>>,
    rung: Notify,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, place: usize) {
        self.lock().insert(place);
        self.rung.notify_one();
    }
}

impl Hub {
    /// A hub for so many watchers with so many totals together, of which so many read at a time.
    pub(crate) fn new(max_watchers: usize, max_watched: usize, reads_at_a_time: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            watched: Mutex::default(),
            came: Notify::new(),
            max_watchers,
            slots: semaphore(max_watchers),
            totals: semaphore(max_watched),
            slots_of_one: Shares::of(max_watchers.div_ceil(2)),
            totals_of_one: Shares::of(max_watched.div_ceil(2)),
            turns: Semaphore::new(reads_at_a_time),
        }
    }

    /// How many watch.
    pub(crate) fn watchers(&self) -> usize {
        self.max_watchers.saturating_sub(self.slots.available_permits())
    }

    /// Hears of everything about some subjects from now on. Nobody has more than half of all there is to be had.
    fn listen(self: &Arc<Self>, subjects: Vec<String>, who: &PrincipalName) -> Result<Listening, Refused> {
        let count = u32::try_from(subjects.len()).map_err(|_| Refused::TooManyWatchers)?;
        let some = |of: Arc<Semaphore>, count| of.try_acquire_many_owned(count).map_err(|_| Refused::TooManyWatchers);
        let slots = [some(self.slots_of_one.whose(who), 1)?, some(Arc::clone(&self.slots), 1)?];
        let totals = [some(self.totals_of_one.whose(who), count)?, some(Arc::clone(&self.totals), count)?];
        let bell = Arc::<Bell>::default();
        let mut watched = self.lock();
        for (place, subject) in subjects.iter().enumerate() {
            watched.entry(subject.clone()).or_default().push(Place { bell: Arc::clone(&bell), place });
        }
        drop(watched);
        self.came.notify_one();
        Ok(Listening { hub: Arc::clone(self), subjects, bell, _slots: [slots, totals] })
    }

    /// Tells those who listen that something about a subject moved.
    fn moved(&self, subject: &str) {
        for Place { bell, place } in self.lock().get(subject).into_iter().flatten() {
            bell.ring(*place);
        }
    }

    /// Tells all who listen that everything may have moved.
    fn all_moved(&self) {
        for Place { bell, place } in self.lock().values().flatten() {
            bell.ring(*place);
        }
    }

    /// The map is whole after every line that changes it: a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Place>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long at most events are still followed when nobody watches any more: who broke off often comes again.
const LINGER: Duration = Duration::from_secs(30);

/// Passes events on for ever, while somebody watches: each total's events are much to hear for nobody.
pub(crate) async fn follow(connection: &Connection, hub: &Hub) -> Infallible {
    const PAUSE: Duration = Duration::from_secs(1);
    loop {
        hub.came.notified().await;
        if hub.watchers() == 0 {
            continue;
        }
        match TotalsFeed::subjects_from_now(connection.clone()).await {
            Ok(feed) => {
                // What moved between their first look and now is in no event that comes.
                hub.all_moved();
                pass_on(feed, hub).await;
            }
            // They look again by themselves now and then.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "events about totals cannot be followed; trying again"
                );
                hub.came.notify_one();
                sleep(PAUSE).await;
            }
        }
    }
}

/// Passes events on for as long as somebody watches, and a moment longer.
async fn pass_on(mut feed: TotalsFeed, hub: &Hub) {
    // Not at once: what makes the consumer would be dropped half-way, and JetStream keep one that nobody reads for a while.
    let mut look = interval_at(Instant::now() + LINGER, LINGER);
    loop {
        tokio::select! {
            (subject, _) = feed.next() => hub.moved(&subject),
            _ = look.tick() => if hub.watchers() == 0 {
                return;
            },
        }
    }
}

/// One of those who listen. It takes its entries away.
#[derive(Debug)]
struct Listening {
    hub: Arc<Hub>,
    subjects: Vec<String>,
    bell: Arc<Bell>,
    _slots: [[OwnedSemaphorePermit; 2]; 2],
}

impl Listening {
    /// The totals that moved since this was asked last.
    fn moved(&self) -> BTreeSet<usize> {
        std::mem::take(&mut *self.bell.lock())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut watched = self.hub.lock();
        for subject in &self.subjects {
            if let Some(places) = watched.get_mut(subject) {
                places.retain(|place| !Arc::ptr_eq(&place.bell, &self.bell));
                if places.is_empty() {
                    watched.remove(subject);
                }
            }
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

/// A total that moved.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) place: usize,
    pub(crate) told: Arc<Told>,
    /// Versions between this one and the last that was sent.
    pub(crate) passed_over: i64,
}

/// What a watch says.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) moved: Vec<Moved>,
    /// Whether everything was sent as it stood when the watch began.
    pub(crate) caught_up: bool,
}

/// Follows totals.
#[derive(Debug)]
pub(crate) struct Watcher {
    reader: Arc<Reader>,
    questions: Vec<Question>,
    listening: Listening,
    look_again_after: Duration,
    unread_for: Duration,
    shutdown: Shutdown,
    /// The versions that the caller has.
    known: Vec<Option<i64>>,
    /// What was said last, of what was read.
    said: Vec<Option<u64>>,
}

impl Watcher {
    /// Begins to listen; what moves from now on is not missed. `known` are the versions that the caller has, in the order of the
    /// questions.
    pub(crate) fn new(
        reader: Arc<Reader>,
        hub: &Arc<Hub>,
        questions: Vec<Question>,
        known: Vec<Option<i64>>,
        limits: &Limits,
        shutdown: Shutdown,
    ) -> Result<Self, Refused> {
        let subjects = questions.iter().map(|question| subject(reader.catalogue(), *question)).collect();
        let listening = hub.listen(subjects, &Caller::current()?.principal.name)?;
        let (look_again_after, unread_for) = (limits.look_again_after, limits.unread_for);
        let said = vec![None; questions.len()];
        Ok(Self { reader, questions, listening, look_again_after, unread_for, shutdown, known, said })
    }

    /// The totals as they stand, then as they move, until the service goes away or the database does, or nobody reads. `tell`
    /// makes the messages, in order.
    pub(crate) fn stream<T: Send + 'static>(
        self,
        mut tell: impl FnMut(News) -> T + Send + 'static,
    ) -> impl Stream<Item = Result<T, Refused>> {
        let caller = Caller::current();
        // One message on its way, and a place for the last word.
        let (outgoing, incoming) = mpsc::channel(2);
        tokio::spawn(async move {
            let Ok(last_word) = outgoing.clone().reserve_owned().await else { return };
            let (shutdown, reader, questions) =
                (self.shutdown.clone(), Arc::clone(&self.reader), self.questions.clone());
            let gone = async {
                match caller {
                    Ok(caller) => caller.gone(reader.catalogue(), &questions).await,
                    Err(refused) => refused,
                }
            };
            let refused = tokio::select! {
                biased;
                () = shutdown.requested() => Some(Refused::ShuttingDown),
                () = outgoing.closed() => None,
                refused = gone => Some(refused),
                refused = self.follow(&outgoing, &mut tell) => Some(refused),
            };
            if let Some(refused) = refused {
                last_word.send(Err(refused));
            }
        });
        stream::unfold(incoming, async |mut incoming| {
            let message: Result<T, Refused> = incoming.recv().await?;
            Some((message, incoming))
        })
    }

    /// Sends what moves. Gives back why it ends.
    async fn follow<T>(
        mut self,
        outgoing: &mpsc::Sender<Result<T, Refused>>,
        tell: &mut (impl FnMut(News) -> T + Send),
    ) -> Refused {
        let mut due: BTreeSet<usize> = (0..self.questions.len()).collect();
        let mut caught_up = false;
        let mut looked_at_all = Instant::now();
        loop {
            let parts = self.parts(&due);
            for (at, part) in (1..).zip(&parts) {
                let moved = match self.read(part).await {
                    Ok(moved) => moved,
                    Err(refused) => return refused,
                };
                let catches_up = !caught_up && at == parts.len();
                caught_up |= catches_up;
                if moved.is_empty() && !catches_up {
                    continue;
                }
                match timeout(self.unread_for, outgoing.send(Ok(tell(News { moved, caught_up })))).await {
                    Ok(Ok(())) => {}
                    // Where the caller has gone, nobody hears why.
                    Ok(Err(_)) | Err(_) => return Refused::NotRead,
                }
            }
            if due.len() == self.questions.len() {
                looked_at_all = Instant::now();
            }
            let look_again_at = looked_at_all + self.look_again_after;
            let rang = timeout_at(look_again_at, self.listening.bell.rung.notified()).await.is_ok();
            due = if rang && Instant::now() < look_again_at {
                // What moves while it is read is marked anew, and read again.
                self.listening.moved()
            } else {
                // NATS may be away; and of some changes there is no event, as of a number that is not added up: however much is heard
                // of the others, look again at all.
                (0..self.questions.len()).collect()
            };
        }
    }

    /// Places that are read together: of one data set.
    fn parts(&self, due: &BTreeSet<usize>) -> Vec<Vec<usize>> {
        let mut by_data_set: HashMap<usize, Vec<usize>> = HashMap::new();
        for place in due {
            by_data_set.entry(self.questions[*place].data_set).or_default().push(*place);
        }
        let mut parts: Vec<Vec<usize>> = by_data_set
            .into_values()
            .flat_map(|places| places.chunks(TOGETHER).map(<[usize]>::to_vec).collect::<Vec<_>>())
            .collect();
        parts.sort_unstable();
        parts
    }

    /// Those of some totals that the caller does not have as they stand: of another version, or that say something else.
    async fn read(&mut self, places: &[usize]) -> Result<Vec<Moved>, Refused> {
        // Closed would mean that the hub is gone, and we hold it.
        let _turn = self.listening.hub.turns.acquire().await.ok();
        let questions: Vec<_> = places.iter().map(|place| self.questions[*place]).collect();
        let answers = match questions[..] {
            // Whoever else asks about it shares the answer.
            [question] => vec![self.reader.totals(question).await?],
            _ => self
                .reader
                .read_alone(&questions)
                .await?
                .into_iter()
                .map(|totals| Arc::new(Told::new(totals)))
                .collect(),
        };
        let mut moved = Vec::new();
        for (place, told) in places.iter().zip(answers) {
            let (known, version) = (&mut self.known[*place], told.totals.version);
            let said_before = self.said[*place].replace(told.said());
            // Another version, not a higher one: a database that was restored may have gone back.
            if *known != Some(version) || said_before.is_some_and(|before| before != told.said()) {
                let passed_over = known.map_or(0, |known| (version - known - 1).max(0));
                *known = Some(version);
                moved.push(Moved { place: *place, told, passed_over });
            }
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{question::Asked, tiny};
    use futures_util::FutureExt as _;

    fn hub(max_watchers: usize) -> Arc<Hub> {
        Arc::new(Hub::new(max_watchers, 5, 1))
    }

    fn listen(hub: &Arc<Hub>, who: &str, subjects: &[&str]) -> Result<Listening, Refused> {
        hub.listen(subjects.iter().map(|subject| (*subject).to_owned()).collect(), &who.parse().unwrap())
    }

    fn is_rung(listening: &Listening) -> bool {
        listening.bell.rung.notified().now_or_never().is_some()
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
        let a = listen(&hub, "tinh-94", &["x", "a", "y"]).unwrap();
        let b = listen(&hub, "tinh-95", &["b"]).unwrap();
        assert!(!is_rung(&a), "what was before is in the snapshot");
        for _ in 0..1_000 {
            hub.moved("a");
        }
        hub.moved("y");
        assert!(is_rung(&a));
        assert_eq!(a.moved(), [1, 2].into());
        assert!(!is_rung(&a) && a.moved().is_empty() && !is_rung(&b));
    }

    #[test]
    fn what_moved_before_the_feed_began_is_looked_at_again() {
        let hub = hub(2);
        assert!(hub.came.notified().now_or_never().is_none(), "nobody watches: nothing is followed");
        let (a, b) = (listen(&hub, "tinh-94", &["x", "a"]).unwrap(), listen(&hub, "tinh-95", &["b"]).unwrap());
        assert!(hub.came.notified().now_or_never().is_some());
        hub.all_moved();
        assert!(is_rung(&a) && is_rung(&b));
        assert_eq!((a.moved(), b.moved()), ([0, 1].into(), [0].into()));
    }

    #[test]
    fn watchers_are_bounded_and_leave_nothing_behind() {
        let hub = hub(2);
        let first = listen(&hub, "tinh-94", &["a"]).unwrap();
        let second = listen(&hub, "tinh-95", &["a", "b", "a"]).unwrap();
        assert_eq!(listen(&hub, "tinh-96", &["b"]).unwrap_err(), Refused::TooManyWatchers);
        drop(first);
        assert_eq!(hub.lock().len(), 2, "the second still listens");
        assert_eq!(listen(&hub, "tinh-96", &["a", "b", "c"]).unwrap_err(), Refused::TooManyWatchers, "too many totals");
        drop(second);
        assert_eq!(hub.lock().len(), 0);
        assert!(listen(&hub, "tinh-96", &["a", "b", "c"]).is_ok());
    }

    #[test]
    fn nobody_has_more_than_half_of_the_watches() {
        let hub = hub(2);
        let first = listen(&hub, "tinh-94", &["a"]).unwrap();
        assert_eq!(listen(&hub, "tinh-94", &["a"]).unwrap_err(), Refused::TooManyWatchers);
        let other = listen(&hub, "tinh-95", &["a"]).unwrap();
        drop((first, other));
        let too_many = listen(&hub, "tinh-94", &["a", "b", "c", "d"]);
        assert_eq!(too_many.unwrap_err(), Refused::TooManyWatchers, "of the totals");
    }
}
