//! Which report goes out next, and which is sent again. It does not know the time: the shell brings it, as the time since
//! the command began.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

use tonic::Code;

use crate::peer;

/// The longest pause before a report is sent again, unless the collector asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause where the collector asks for none.
const USUAL_PAUSE: Duration = Duration::from_secs(1);

/// What to do with a report that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It can never count as it is.
    Refuse,
    /// Send it again after that pause.
    Again(Duration),
}

/// Decides by the collector's word. `retry_after` is the pause it asks for, `refusals` how many times the report was
/// refused before: the pause doubles with each.
pub(super) fn decide(code: Code, retry_after: Option<Duration>, refusals: u32) -> Next {
    let base = match retry_after {
        Some(pause) => pause,
        None if peer::may_pass(code) => USUAL_PAUSE,
        None => return Next::Refuse,
    };
    let doubled = base.saturating_mul(1_u32.checked_shl(refusals).unwrap_or(u32::MAX));
    Next::Again(doubled.min(LONGEST_PAUSE.max(base)))
}

/// A report's place in the file, from 0.
pub(super) type Index = usize;

/// Reports on their way. Each is either ready, pausing, in flight or settled.
#[derive(Debug)]
pub(super) struct Queue {
    give_up_after: Duration,
    ready: VecDeque<Index>,
    pausing: BinaryHeap<Reverse<(Duration, Index)>>,
    /// By place in the stream.
    in_flight: BTreeMap<u64, Index>,
    /// The next place in the stream.
    next_place: u64,
    /// When each was first sent.
    first_sent: Vec<Option<Duration>>,
    refusals: Vec<u32>,
    unsettled: usize,
}

impl Queue {
    pub(super) fn new(reports: usize, give_up_after: Duration) -> Self {
        Self {
            give_up_after,
            ready: (0..reports).collect(),
            pausing: BinaryHeap::new(),
            in_flight: BTreeMap::new(),
            next_place: 0,
            first_sent: vec![None; reports],
            refusals: vec![0; reports],
            unsettled: reports,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.unsettled == 0
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a report could go out now.
    pub(super) fn has_ready(&mut self, now: Duration) -> bool {
        while let Some(Reverse((due, index))) = self.pausing.peek().copied() {
            if due > now {
                break;
            }
            self.pausing.pop();
            self.ready.push_back(index);
        }
        !self.ready.is_empty()
    }

    /// The report that goes out now; it is in flight.
    pub(super) fn take(&mut self, now: Duration) -> Option<Index> {
        if !self.has_ready(now) {
            return None;
        }
        let index = self.ready.pop_front()?;
        self.first_sent[index].get_or_insert(now);
        self.in_flight.insert(self.next_place, index);
        self.next_place += 1;
        Some(index)
    }

    /// When the next report that pauses is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.pausing.peek().map(|Reverse((due, _))| *due)
    }

    /// The report that the receipt for a place in the stream is for; none where nothing is awaited for that place. It must
    /// then be settled or sent again.
    pub(super) fn answered(&mut self, place: u64) -> Option<Index> {
        self.in_flight.remove(&place)
    }

    /// Nothing more is to be done for a report.
    pub(super) fn settle(&mut self) {
        self.unsettled -= 1;
    }

    /// How many times a report was refused so far.
    pub(super) fn refusals(&self, index: Index) -> u32 {
        self.refusals[index]
    }

    /// A report is sent again after a pause, or given up and settled: then this is false.
    pub(super) fn again(&mut self, index: Index, now: Duration, pause: Duration) -> bool {
        self.refusals[index] = self.refusals[index].saturating_add(1);
        if self.is_late(index, now + pause) {
            self.settle();
            return false;
        }
        self.pausing.push(Reverse((now + pause, index)));
        true
    }

    /// The stream is gone: what was in flight goes out again, last and in the same order, and places begin anew. Gives back
    /// those that are given up.
    pub(super) fn broken(&mut self, now: Duration) -> Vec<Index> {
        self.next_place = 0;
        let in_flight: Vec<Index> = std::mem::take(&mut self.in_flight).into_values().collect();
        let (late, again): (Vec<Index>, Vec<Index>) =
            in_flight.into_iter().partition(|index| self.is_late(*index, now));
        self.ready.extend(again);
        self.unsettled -= late.len();
        late
    }

    /// All that is left is given up; gives it back in the file's order, and apart from it what was never sent.
    pub(super) fn abandon(&mut self) -> (Vec<Index>, Vec<Index>) {
        self.unsettled = 0;
        let pausing = std::mem::take(&mut self.pausing).into_iter().map(|Reverse((_, index))| index);
        let in_flight = std::mem::take(&mut self.in_flight).into_values();
        let mut left: Vec<Index> =
            std::mem::take(&mut self.ready).into_iter().chain(pausing).chain(in_flight).collect();
        left.sort_unstable();
        left.into_iter().partition(|index| self.first_sent[*index].is_some())
    }

    fn is_late(&self, index: Index, then: Duration) -> bool {
        let since = self.first_sent[index].unwrap_or(then);
        then.saturating_sub(since) > self.give_up_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_may_be_sent_again_is_and_each_time_later() {
        let half = Duration::from_millis(500);
        for (code, retry_after, refusals, expected) in [
            (Code::InvalidArgument, None, 0, Next::Refuse),
            (Code::OutOfRange, None, 0, Next::Refuse),
            (Code::PermissionDenied, None, 3, Next::Refuse),
            (Code::ResourceExhausted, Some(half), 0, Next::Again(half)),
            (Code::ResourceExhausted, Some(half), 1, Next::Again(seconds(1))),
            (Code::ResourceExhausted, Some(half), 60, Next::Again(seconds(30))),
            (Code::Unavailable, Some(seconds(60)), 4, Next::Again(seconds(60))),
            (Code::Unavailable, None, 0, Next::Again(seconds(1))),
            (Code::Unknown, None, 2, Next::Again(seconds(4))),
            // The collector's word goes before the code.
            (Code::FailedPrecondition, Some(half), 0, Next::Again(half)),
        ] {
            assert_eq!(decide(code, retry_after, refusals), expected, "for {code:?} {retry_after:?} {refusals}");
        }
    }

    #[test]
    fn a_report_pauses_and_is_given_up_in_time() {
        let mut queue = Queue::new(1, seconds(10));
        assert_eq!(queue.take(seconds(100)), Some(0));
        assert_eq!(queue.answered(0), Some(0));
        assert!(queue.again(0, seconds(101), seconds(2)));
        assert_eq!((queue.take(seconds(102)), queue.next_due()), (None, Some(seconds(103))));
        assert_eq!(queue.take(seconds(103)), Some(0));
        assert_eq!((queue.answered(1), queue.refusals(0)), (Some(0), 1), "it has a new place in the stream");
        assert!(queue.again(0, seconds(108), seconds(2)), "ten seconds are not more than ten");
        assert_eq!(queue.take(seconds(110)), Some(0));
        queue.answered(2);
        assert!(!queue.again(0, seconds(110), seconds(1)) && queue.is_done());
    }

    #[test]
    fn a_broken_stream_sends_again_what_was_in_flight_and_nothing_else() {
        let mut queue = Queue::new(4, seconds(10));
        let sent: Vec<_> = (0..3).filter_map(|_| queue.take(seconds(0))).collect();
        assert_eq!((sent, queue.in_flight()), (vec![0, 1, 2], 3));
        assert_eq!(queue.answered(1), Some(1));
        assert_eq!(queue.answered(1), None, "one receipt is enough");
        queue.settle();
        assert!(queue.broken(seconds(1)).is_empty());
        let sent: Vec<_> = (0..9).filter_map(|_| queue.take(seconds(2))).collect();
        assert_eq!(sent, [3, 0, 2], "those that may have broken it come last");
        assert_eq!(queue.answered(0), Some(3), "places begin anew");
        queue.settle();
        assert_eq!(queue.broken(seconds(11)), [0, 2]);
        assert!(queue.is_done());
    }

    #[test]
    fn without_patience_nothing_is_sent_again() {
        let mut queue = Queue::new(2, Duration::ZERO);
        queue.take(seconds(0));
        queue.answered(0);
        assert!(!queue.again(0, seconds(0), seconds(1)));
        assert_eq!(queue.abandon(), (vec![], vec![1]), "what was never sent is told apart");
        assert!(queue.is_done());
    }
}
