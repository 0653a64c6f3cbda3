//! Which report goes out next. It does not know the time: the shell brings it, as the time since the client was opened.
//!
//! Of the reports of one org unit, its *lane*, one is under way at a time, the earliest first; the next one goes out when it
//! is acknowledged, refused or given up. Lanes take turns.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    SubmissionId,
    clock::Millis,
    spool::{Place, Waiting},
};

/// After so many streams that broke while a report was the first without a receipt, the report is suspected.
const SUSPICIOUS: u32 = 3;

/// Reports that are to be sent. Each is waiting for its turn in its lane, taken, or in flight.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    reports: HashMap<Place, Entry>,
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes whose turn comes; one that has nothing to send by then is passed over.
    ready: VecDeque<Arc<str>>,
    pausing: BinaryHeap<Reverse<(Duration, Arc<str>)>>,
    /// By place in the stream.
    in_flight: BTreeMap<u64, Place>,
    /// The next place in the stream.
    next_in_stream: u64,
}

#[derive(Debug)]
struct Entry {
    id: SubmissionId,
    lane: Arc<str>,
    spooled_at: Millis,
    /// How many times the collector did not take it.
    postponed: u32,
    /// How many streams broke while it was the first without a receipt.
    broke: u32,
}

#[derive(Debug, Default)]
struct Lane {
    reports: BTreeSet<Place>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ready,
    PausingUntil(Duration),
    /// One of its reports is taken or in flight.
    Busy(Place),
}

impl Queue {
    /// A report more; `not_before` is when it may be sent.
    pub(crate) fn add(&mut self, report: Waiting, not_before: Duration) {
        let Waiting { place, id, lane, spooled_at, not_before: _ } = report;
        let lane: Arc<str> = lane.into();
        let entry = Entry { id, lane: Arc::clone(&lane), spooled_at, postponed: 0, broke: 0 };
        if self.reports.insert(place, entry).is_some() {
            return;
        }
        let of_lane = self.lanes.entry(Arc::clone(&lane)).or_default();
        let is_new = of_lane.reports.is_empty();
        of_lane.reports.insert(place);
        if is_new && not_before > Duration::ZERO {
            of_lane.state = State::PausingUntil(not_before);
            self.pausing.push(Reverse((not_before, lane)));
        } else if is_new {
            self.ready.push_back(lane);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn id(&self, place: Place) -> Option<SubmissionId> {
        self.reports.get(&place).map(|entry| entry.id)
    }

    /// Whether a report could go out now.
    pub(crate) fn has_ready(&mut self, now: Duration) -> bool {
        while let Some(Reverse((due, _))) = self.pausing.peek() {
            if *due > now {
                break;
            }
            let Some(Reverse((due, lane))) = self.pausing.pop() else { break };
            if let Some(of_lane) = self.lanes.get_mut(&lane)
                && of_lane.state == State::PausingUntil(due)
            {
                of_lane.state = State::Ready;
                self.ready.push_back(lane);
            }
        }
        while let Some(lane) = self.ready.front() {
            if self.lanes.get(lane).is_some_and(|lane| lane.state == State::Ready) {
                return true;
            }
            self.ready.pop_front();
        }
        false
    }

    /// The report that goes out now.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Place> {
        if !self.has_ready(now) {
            return None;
        }
        let lane = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&lane)?;
        let place = *lane.reports.first()?;
        lane.state = State::Busy(place);
        Some(place)
    }

    /// A report that was taken is in the stream.
    pub(crate) fn sent(&mut self, place: Place) {
        self.in_flight.insert(self.next_in_stream, place);
        self.next_in_stream += 1;
    }

    /// When the next lane that pauses is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.pausing.peek().map(|Reverse((due, _))| *due)
    }

    /// The report that a receipt for a place in the stream is for; none where nothing is awaited for that place. It must
    /// then be settled, postponed or put back.
    pub(crate) fn answered(&mut self, in_stream: u64) -> Option<Place> {
        self.in_flight.remove(&in_stream)
    }

    /// Nothing more is to be sent of a report: the next one of its lane may go.
    pub(crate) fn settle(&mut self, place: Place) {
        let Some(Entry { lane, .. }) = self.reports.remove(&place) else { return };
        let Some(of_lane) = self.lanes.get_mut(&lane) else { return };
        of_lane.reports.remove(&place);
        if of_lane.reports.is_empty() {
            self.lanes.remove(&lane);
        } else if of_lane.state == State::Busy(place) {
            of_lane.state = State::Ready;
            self.ready.push_back(lane);
        }
    }

    /// How many times the collector did not take a report.
    pub(crate) fn postponed(&self, place: Place) -> u32 {
        self.reports.get(&place).map_or(0, |entry| entry.postponed)
    }

    /// A report that was taken is to be sent again, and its lane waits for it until then.
    pub(crate) fn postpone(&mut self, place: Place, until: Duration) {
        let Some(entry) = self.reports.get_mut(&place) else { return };
        entry.postponed = entry.postponed.saturating_add(1);
        let lane = Arc::clone(&entry.lane);
        if let Some(of_lane) = self.lanes.get_mut(&lane) {
            of_lane.state = State::PausingUntil(until);
            self.pausing.push(Reverse((until, lane)));
        }
    }

    /// A report that was taken was not sent: it is the next again.
    pub(crate) fn put_back(&mut self, place: Place) {
        let Some(Entry { lane, .. }) = self.reports.get(&place) else { return };
        if let Some(of_lane) = self.lanes.get_mut(lane) {
            of_lane.state = State::Ready;
            self.ready.push_front(Arc::clone(lane));
        }
    }

    /// The stream is gone: what was in flight goes out again, last and in the same order, and places in the stream begin
    /// anew. Gives back the report that may have broken it, if one is suspected: it is the next.
    ///
    /// `heard` is whether receipts had come on the stream.
    pub(crate) fn broken(&mut self, heard: bool) -> Option<Place> {
        self.next_in_stream = 0;
        let in_flight: Vec<Place> = std::mem::take(&mut self.in_flight).into_values().collect();
        let first = *in_flight.first()?;
        for place in in_flight {
            let Some(Entry { lane, .. }) = self.reports.get(&place) else { continue };
            if let Some(of_lane) = self.lanes.get_mut(lane) {
                of_lane.state = State::Ready;
                self.ready.push_back(Arc::clone(lane));
            }
        }
        let entry = self.reports.get_mut(&first)?;
        entry.broke = entry.broke.saturating_add(1);
        if heard && entry.broke < SUSPICIOUS {
            return None;
        }
        entry.broke = 0;
        self.ready.push_front(Arc::clone(&entry.lane));
        Some(first)
    }

    /// The reports that were spooled before then and are not under way.
    pub(crate) fn expired(&self, before: Millis) -> Vec<Place> {
        let is_busy = |entry: &Entry, place: Place| {
            self.lanes.get(&entry.lane).is_some_and(|lane| lane.state == State::Busy(place))
        };
        let old = self.reports.iter().filter(|(place, entry)| entry.spooled_at < before && !is_busy(entry, **place));
        let mut old: Vec<Place> = old.map(|(place, _)| *place).collect();
        old.sort_unstable();
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const NOW: Duration = Duration::from_secs(100);

    /// Reports at places 1, 2, … of these lanes.
    fn queue(lanes: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for (place, lane) in (1..).zip(lanes) {
            queue.add(waiting(place, lane), Duration::ZERO);
        }
        queue
    }

    fn waiting(place: Place, lane: &str) -> Waiting {
        Waiting {
            place,
            id: SubmissionId::fresh(),
            lane: lane.to_owned(),
            spooled_at: Millis(place * 1000),
            not_before: Millis(0),
        }
    }

    /// Takes and sends all that may go.
    fn send(queue: &mut Queue, now: Duration) -> Vec<Place> {
        let taken: Vec<Place> = std::iter::from_fn(|| queue.take(now)).collect();
        taken.iter().for_each(|place| queue.sent(*place));
        taken
    }

    #[test]
    fn the_next_report_of_a_unit_waits_for_the_one_before_it_and_nobody_else_does() {
        let mut queue = queue(&["a", "a", "b", "a", "c"]);
        assert_eq!(send(&mut queue, NOW), [1, 3, 5]);
        assert_eq!(send(&mut queue, NOW), [], "nobody was answered");
        assert_eq!(queue.answered(1), Some(3));
        queue.settle(3);
        assert_eq!(send(&mut queue, NOW), [], "that was another unit");
        assert_eq!((queue.answered(0), queue.answered(0)), (Some(1), None), "one receipt is enough");
        queue.settle(1);
        assert_eq!(send(&mut queue, NOW), [2]);
        assert_eq!(queue.answered(3), Some(2));
        queue.postpone(2, NOW + seconds(5));
        assert_eq!(send(&mut queue, NOW + seconds(4)), [], "what was put off is not overtaken");
        assert_eq!(queue.next_due(), Some(NOW + seconds(5)));
        assert_eq!(send(&mut queue, NOW + seconds(5)), [2]);
        assert_eq!(queue.postponed(2), 1);
        queue.settle(2);
        assert_eq!(send(&mut queue, NOW + seconds(5)), [4]);
    }

    #[test]
    fn a_report_that_is_pushed_again_goes_before_the_later_ones_of_its_unit() {
        let mut queue = queue(&["a", "a", "a"]);
        assert_eq!(send(&mut queue, NOW), [1]);
        queue.settle(1);
        assert_eq!(send(&mut queue, NOW), [2]);
        queue.add(waiting(1, "a"), Duration::ZERO);
        assert_eq!(send(&mut queue, NOW), []);
        queue.settle(2);
        assert_eq!(send(&mut queue, NOW), [1]);
        queue.settle(1);
        assert_eq!(send(&mut queue, NOW), [3]);
        queue.settle(3);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_broken_stream_sends_again_what_was_in_flight_and_nothing_else() {
        let mut queue = queue(&["a", "b", "c", "d"]);
        let taken: Vec<Place> = (0..3).filter_map(|_| queue.take(NOW)).collect();
        assert_eq!(taken, [1, 2, 3]);
        queue.sent(1);
        queue.sent(2);
        queue.put_back(3);
        assert_eq!(queue.answered(0), Some(1));
        queue.settle(1);
        assert_eq!(queue.broken(true), None);
        assert_eq!(send(&mut queue, NOW), [3, 4, 2], "those that may have broken it come last");
        assert_eq!(queue.answered(0), Some(3), "places begin anew");
    }

    #[test]
    fn a_report_that_breaks_streams_is_found() {
        let mut queue = queue(&["a", "b"]);
        send(&mut queue, NOW);
        assert_eq!(queue.broken(false), Some(1), "no receipt came before it");
        assert_eq!(send(&mut queue, NOW), [1, 2]);
        for _ in 1..SUSPICIOUS {
            assert_eq!(queue.broken(true), None);
            send(&mut queue, NOW);
        }
        assert_eq!(queue.broken(true), Some(1));
        assert_eq!(queue.take(NOW), Some(1));
    }

    #[test]
    fn what_is_too_old_is_given_up_unless_it_is_under_way() {
        let mut queue = queue(&["a", "a", "b", "c", "d"]);
        queue.take(NOW);
        let old = queue.expired(Millis(3_001));
        assert_eq!(old, [2, 3]);
        old.into_iter().for_each(|place| queue.settle(place));
        assert_eq!(send(&mut queue, NOW), [4, 5]);
        [1, 4, 5].into_iter().for_each(|place| queue.settle(place));
        assert!(queue.is_empty() && !queue.has_ready(NOW));
    }

    #[test]
    fn what_was_put_off_before_a_restart_still_waits() {
        let mut queue = Queue::default();
        queue.add(waiting(1, "a"), NOW);
        queue.add(waiting(2, "a"), Duration::ZERO);
        assert_eq!(queue.take(NOW - seconds(1)), None);
        assert_eq!(queue.take(NOW), Some(1));
    }
}
