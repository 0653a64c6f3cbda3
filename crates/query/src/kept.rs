//! Answers that are kept while they are true.
//!
//! An answer says up to which position of the log it counts. It is true for as long as its partition stands there, in the same
//! epoch, and that is looked up for each question ([`crate::pulse`]): an answer from here is never older than its question.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use proto::{encoded::Encoded, pb::query::v1 as pb};
use store::Fence;
use tokio::sync::watch;

use crate::{pulse::Beat, question::Question, refused::Refused};

/// Totals that were answered, encoded once for all who ask.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) totals: pb::Totals,
    encoded: OnceLock<Encoded>,
    said: OnceLock<u64>,
}

impl Told {
    pub(crate) fn new(totals: pb::Totals) -> Self {
        Self { totals, encoded: OnceLock::new(), said: OnceLock::new() }
    }

    /// Tells apart answers that say something else, wherever the log stands. Of one version some may: a target that is reached by what other
    /// periods' reports say.
    pub(crate) fn said(&self) -> u64 {
        *self.said.get_or_init(|| {
            let totals = Some(pb::Totals { log_position: 0, ..self.totals.clone() });
            let mut hasher = DefaultHasher::new();
            Encoded::new(&pb::GetTotalsResponse { totals }).hash(&mut hasher);
            hasher.finish()
        })
    }

    /// The answer of `GetTotals`.
    pub(crate) fn encoded(&self) -> Encoded {
        let encode = || Encoded::new(&pb::GetTotalsResponse { totals: Some(self.totals.clone()) });
        self.encoded.get_or_init(encode).clone()
    }
}

/// What was answered.
#[derive(Clone, Debug)]
struct Answer {
    told: Arc<Told>,
    /// The look that had begun when it was read.
    read_after: u64,
    /// The epoch before it was read: one that began since makes it untrue.
    epoch: u64,
}

impl Answer {
    /// Whether it is as new as a look that found its partition at a position.
    fn is_true(&self, beat: &Beat, stands: Fence) -> bool {
        let stood = (self.told.totals.log_position, self.epoch);
        stood == (stands.position.0, stands.epoch) || self.read_after >= beat.number
    }
}

/// The answer to one question; one at a time reads it anew.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    answer: watch::Sender<Option<Answer>>,
    reading: tokio::sync::Mutex<()>,
}

impl Entry {
    /// The answer if it is as new as a look that found its partition at a position.
    fn answer(&self, beat: &Beat, stands: Fence) -> Option<Arc<Told>> {
        let answer = self.answer.borrow();
        answer.as_ref().filter(|answer| answer.is_true(beat, stands)).map(|answer| Arc::clone(&answer.told))
    }

    /// The answer, read where it is not there or not true any more. `begun` is the last look that has begun.
    pub(crate) async fn answer_or(
        &self,
        beat: &Beat,
        stands: Fence,
        begun: impl Fn() -> u64,
        read: impl AsyncFnOnce() -> Result<pb::Totals, Refused>,
    ) -> Result<Arc<Told>, Refused> {
        if let Some(told) = self.answer(beat, stands) {
            return Ok(told);
        }
        // One reads, and all others have the answer at the same moment: handed from one to the next, the last would wait for all
        // the others' answers to be sent. Where the one fails or is given up, the next reads.
        let mut answers = self.answer.subscribe();
        let is_true = |answer: &Option<Answer>| answer.as_ref().is_some_and(|answer| answer.is_true(beat, stands));
        let _alone = tokio::select! {
            biased;
            // The sender is ours: it cannot be gone.
            Ok(answer) = answers.wait_for(is_true) => {
                return answer.as_ref().map(|answer| Arc::clone(&answer.told)).ok_or(Refused::DatabaseAway);
            }
            alone = self.reading.lock() => alone,
        };
        // Somebody else may have read it meanwhile.
        if let Some(told) = self.answer(beat, stands) {
            return Ok(told);
        }
        let read_after = begun();
        let told = Arc::new(Told::new(read().await?));
        let answer = Answer { told: Arc::clone(&told), read_after, epoch: stands.epoch };
        self.answer.send_replace(Some(answer));
        Ok(told)
    }
}

/// The answers to the questions that were asked last.
#[derive(Debug)]
pub(crate) struct Kept {
    generations: Mutex<Generations>,
    /// How many of each of the two generations.
    most: usize,
}

/// When the young are many, the old ones that nobody asked for again are forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Question, Arc<Entry>>,
    old: HashMap<Question, Arc<Entry>>,
}

impl Kept {
    /// Keeps so many answers at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { generations: Mutex::default(), most: most.div_ceil(2) }
    }

    /// The place of a question's answer.
    pub(crate) fn entry(&self, question: Question) -> Arc<Entry> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        if let Some(entry) = young.get(&question) {
            return Arc::clone(entry);
        }
        let entry = old.remove(&question).unwrap_or_default();
        if young.len() >= self.most {
            *old = std::mem::take(young);
        }
        if self.most > 0 {
            young.insert(question, Arc::clone(&entry));
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pulse::Pulse, tiny};
    use domain::settle::Position;
    use futures_util::{FutureExt as _, future::join_all};
    use std::cell::Cell;
    use tokio::sync::Semaphore;

    fn question(org_unit: &str) -> Question {
        Question::read(&tiny::catalogue(), tiny::asked(org_unit)).unwrap()
    }

    #[test]
    fn answers_that_say_something_else_are_told_apart() {
        let reached = |value| pb::Totals {
            version: 3,
            levels: vec![pb::LevelTotals {
                targets: vec![pb::Target { value: Some(value), ..pb::Target::default() }],
                ..pb::LevelTotals::default()
            }],
            ..pb::Totals::default()
        };
        let said = |totals| Told::new(totals).said();
        assert_eq!(said(reached(5)), said(pb::Totals { log_position: 9, ..reached(5) }), "only the log moved");
        assert_ne!(said(reached(5)), said(reached(6)));
    }

    /// Goal: an answer is given again while its partition stands where it was read, and read again once that moved; one that was
    /// read after the question is good wherever the log stands by then.
    #[tokio::test]
    async fn an_answer_is_given_while_it_is_true() {
        let (pulse, entry, reads, log) = (Pulse::new(), Entry::default(), Cell::new(0), Cell::new(7));
        let read = async || {
            reads.set(reads.get() + 1);
            Ok(pb::Totals { log_position: log.get(), ..pb::Totals::default() })
        };
        let mut beat = Beat::at(1);
        let at = |position, epoch| Fence { position: Position(position), epoch };
        let ask = async |beat: &Beat, stands| {
            let told = entry.answer_or(beat, stands, || beat.number, read).await.unwrap();
            (told.totals.log_position, reads.get())
        };
        assert_eq!(pulse.begun(), 0);
        assert_eq!(ask(&beat, at(7, 1)).await, (7, 1));
        beat = Beat::at(2);
        assert_eq!(ask(&beat, at(7, 1)).await, (7, 1), "still true");
        log.set(9);
        beat = Beat::at(3);
        assert_eq!(ask(&beat, at(8, 1)).await, (9, 2), "it had moved, and then moved on");
        assert_eq!(ask(&Beat::at(3), at(8, 1)).await, (9, 2), "read after that look had begun");
        log.set(4);
        assert_eq!(ask(&Beat::at(4), at(4, 1)).await, (4, 3), "a database that was restored");
        assert_eq!(ask(&Beat::at(5), at(4, 2)).await, (4, 4), "totals that were put right");
        assert_eq!(ask(&Beat::at(6), at(4, 2)).await, (4, 4), "true again");
    }

    /// Goal: many who need an answer that is not true any more wait for one reading; where that is given up, another of them reads.
    #[tokio::test]
    async fn one_reads_for_all_who_wait_and_another_where_it_is_given_up() {
        let (entry, reads, gate) = (Entry::default(), Cell::new(0), Semaphore::new(0));
        let read = async || {
            reads.set(reads.get() + 1);
            gate.acquire().await.unwrap().forget();
            Ok(pb::Totals { log_position: 7, ..pb::Totals::default() })
        };
        let (beat, stands) = (Beat::at(1), Fence { position: Position(7), epoch: 1 });
        let ask = || entry.answer_or(&beat, stands, || 1, read);
        let mut given_up = Box::pin(ask());
        assert!(given_up.as_mut().now_or_never().is_none());
        let mut waiting = Box::pin(join_all((0..50).map(|_| ask())));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(reads.get(), 1, "by the first");
        drop(given_up);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(reads.get(), 2, "by one of the others");
        gate.add_permits(1);
        assert!(waiting.await.into_iter().all(|told| told.is_ok_and(|told| told.totals.log_position == 7)));
        assert_eq!(reads.get(), 2);
    }

    #[test]
    fn the_questions_asked_last_are_kept_and_no_more() {
        let kept = Kept::new(4);
        let first = kept.entry(question("VN"));
        for unit in ["01", "011", "012", "02"] {
            kept.entry(question(unit));
        }
        assert!(!Arc::ptr_eq(&first, &kept.entry(question("VN"))), "forgotten");
        let again = kept.entry(question("02"));
        kept.entry(question("021"));
        assert!(Arc::ptr_eq(&again, &kept.entry(question("02"))));
        let generations = kept.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 4);
    }
}
