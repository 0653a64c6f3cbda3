//! No more is taken in than is counted, once counting is behind: what is taken in beyond that would only wait longer, and everything
//! that comes after it too.
//!
//! Aggregators tell what they count. While it was received less than half of the limit ago, or nobody tells anything, everything is
//! taken: reports gather in the log while nothing is counted, that is what it is for. Otherwise as many are let in as were counted in
//! the last seconds, times the limit over how far behind they are. So counting comes to be behind by about the limit, with several
//! collectors by as many times the limit, and when there is much to catch up with a part is still let in. They are let in evenly: as
//! many at once as one transaction counted would go from stage to stage together, and all but one would wait.
//!
//! Streams and calls of a single report wait in lines of their own, and each has half of the turns, or what the other leaves. In one
//! line thousands of callers would each have as many turns as a stream, on which a province sends for all of its communes.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::Timestamp;
use messaging::{Connection, progress::Progress};
use runtime::Clock;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, timeout},
};

use crate::metrics::NUMBERS;

/// What was told so long ago is forgotten.
const LATELY: Duration = Duration::from_secs(5);
/// How often more are let in.
const TICK: Duration = Duration::from_millis(20);
/// For how long a single report waits for its turn: some ticks.
const A_MOMENT: Duration = Duration::from_millis(50);
/// The part of what is counted that is let in at least: a backlog of hours must not keep everybody out.
const LEAST_PART: f64 = 0.25;
/// So many are let in a second at least: where little goes on, one old report is no backlog.
const LEAST: f64 = 100.0;

/// How many reports may be let in.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: Duration,
    is_behind: AtomicBool,
    /// The turns of streams, one for each report, while counting is behind.
    streams: Semaphore,
    /// Those of calls of a single report.
    singles: Semaphore,
}

impl Pace {
    /// Counting may be behind by that much.
    pub(crate) fn of(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit,
            is_behind: AtomicBool::new(false),
            streams: Semaphore::new(0),
            singles: Semaphore::new(0),
        })
    }

    /// Lets a single report in, if that may be within a moment: those who only looked would find nothing while others wait, who go first.
    pub(crate) async fn enter_soon(&self) -> bool {
        timeout(A_MOMENT, self.turn(&self.singles)).await.is_ok()
    }

    /// Lets the next report of a stream in, as soon as may be.
    pub(crate) async fn enter(&self) {
        self.turn(&self.streams).await;
    }

    /// A turn, in the order in which they come.
    async fn turn(&self, line: &Semaphore) {
        if self.is_behind.load(Ordering::Relaxed) {
            // Never closed.
            if let Ok(permit) = line.acquire().await {
                permit.forget();
            }
        }
    }

    /// Follows what aggregators tell, until the connection is closed.
    pub(crate) async fn follow(self: Arc<Self>, connection: Connection, clock: Arc<dyn Clock>) {
        let mut feed = match connection.progress().await {
            Ok(feed) => feed,
            Err(error) => {
                tracing::warn!(%error, "how far counting is cannot be heard; everything is taken");
                return;
            }
        };
        let mut counting = Counting::default();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut looked, mut due) = (Instant::now(), 0.0);
        loop {
            tokio::select! {
                told = feed.next() => match told {
                    Some(progress) => counting.hear(progress, clock.now().into(), Instant::now()),
                    None => break,
                },
                _ = tick.tick(), if !counting.is_silent() => {
                    let (now, before) = (Instant::now(), looked);
                    looked = now;
                    due = self.adapt(counting.lately(now), now - before, due);
                }
            }
        }
        self.open();
    }

    /// Lets in what is due after that time, and gives the parts of reports that are left.
    fn adapt(&self, Lately { behind, a_second }: Lately, after: Duration, due: f64) -> f64 {
        NUMBERS.behind_seconds.set(behind.as_secs_f64());
        if behind <= self.limit / 2 {
            self.open();
            return 0.0;
        }
        if !self.is_behind.swap(true, Ordering::Relaxed) {
            // What is left from the last time.
            for line in self.lines() {
                line.forget_permits(usize::MAX);
            }
        }
        let rate = let_in(a_second, behind, self.limit);
        let due = due + rate * after.as_secs_f64();
        // Nobody brings more at once than in a quarter of a second, whoever did not come before.
        let [streams, singles] = self.lines().map(|line| (rate / 8.0 - line.available_permits() as f64).max(0.0));
        let to_streams = streams.min(due - singles.min(due / 2.0));
        let parts = [to_streams, singles.min(due - to_streams)];
        for (line, part) in self.lines().into_iter().zip(parts) {
            line.add_permits(whole(part));
        }
        parts.map(f64::fract).iter().sum()
    }

    fn lines(&self) -> [&Semaphore; 2] {
        [&self.streams, &self.singles]
    }

    fn open(&self) {
        if self.is_behind.swap(false, Ordering::Relaxed) {
            // Whoever waits goes on; nobody looks at what is left.
            for line in self.lines() {
                line.add_permits(Semaphore::MAX_PERMITS / 2);
            }
        }
    }
}

/// How many are let in a second where so many are counted that far behind.
fn let_in(a_second: f64, behind: Duration, limit: Duration) -> f64 {
    (a_second * limit.div_duration_f64(behind).max(LEAST_PART)).max(LEAST)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no more than are counted in a second")]
fn whole(due: f64) -> usize {
    due as usize
}

/// What was told lately: when, how many were counted, how far behind.
#[derive(Debug, Default)]
struct Counting(VecDeque<(Instant, u64, Duration)>);

/// What that comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lately {
    /// How long before it was counted a report was received.
    behind: Duration,
    /// How many are counted a second.
    a_second: f64,
}

impl Counting {
    fn is_silent(&self) -> bool {
        self.0.is_empty()
    }

    fn hear(&mut self, progress: Progress, now: Timestamp, at: Instant) {
        let micros = now.unix_micros().saturating_sub(progress.received_at_micros);
        let behind = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        self.0.push_back((at, progress.counted, behind));
    }

    fn lately(&mut self, now: Instant) -> Lately {
        while self.0.front().is_some_and(|(at, _, _)| now.saturating_duration_since(*at) >= LATELY) {
            self.0.pop_front();
        }
        let Some((since, _, _)) = self.0.front() else { return Lately::default() };
        let counted: u64 = self.0.iter().map(|(_, counted, _)| counted).sum();
        let waited: f64 = self.0.iter().map(|(_, counted, behind)| *counted as f64 * behind.as_secs_f64()).sum();
        // After a silence little was told so far.
        let within = now.saturating_duration_since(*since).max(LATELY / 5);
        Lately {
            behind: Duration::try_from_secs_f64(waited / counted.max(1) as f64).unwrap_or_default(),
            a_second: counted as f64 / within.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn of_streams(pace: &Pace) -> usize {
        (0..50_000).take_while(|_| pace.enter().now_or_never().is_some()).count()
    }

    fn come_in(pace: &Pace) -> usize {
        let singles = (0..50_000).take_while(|_| pace.turn(&pace.singles).now_or_never().is_some());
        singles.count() + of_streams(pace)
    }

    #[test]
    fn everything_is_let_in_until_counting_is_behind_and_again_after_it() {
        let (pace, tenth) = (Pace::of(LIMIT), Duration::from_millis(100));
        let adapt = |behind, a_second| pace.adapt(Lately { behind, a_second }, tenth, 0.0);
        assert_eq!(come_in(&pace), 100_000);
        adapt(LIMIT, 10_000.0);
        assert_eq!(come_in(&pace), 1_000);
        adapt(LIMIT * 2, 10_000.0);
        assert_eq!(come_in(&pace), 500);
        for _ in 0..10 {
            adapt(LIMIT * 1_000, 40_000.0);
        }
        assert_eq!(come_in(&pace), 2_500, "a quarter, and no more at once than in a quarter of a second");
        adapt(LIMIT * 1_000, 1.0);
        assert_eq!(come_in(&pace), 10);
        assert_eq!(pace.adapt(Lately { behind: LIMIT, a_second: 1_000.0 }, Duration::from_micros(500), 0.25), 0.75);
        let mut waiting = Box::pin(pace.enter());
        assert!(waiting.as_mut().now_or_never().is_none());
        adapt(LIMIT / 2, 10_000.0);
        assert!(waiting.now_or_never().is_some(), "whoever waits goes on");
        assert_eq!(come_in(&pace), 100_000);
        adapt(LIMIT, 10_000.0);
        assert_eq!(come_in(&pace), 1_000, "what is left from the last time does not count");
    }

    #[tokio::test(start_paused = true)]
    async fn streams_and_single_reports_have_half_of_the_turns_each_or_what_the_others_leave() {
        let (pace, behind) = (Pace::of(LIMIT), Lately { behind: LIMIT, a_second: 1_000.0 });
        let tick = || pace.adapt(behind, Duration::from_millis(2), 0.0);
        assert!(pace.enter_soon().await, "nothing is behind");
        tick();
        assert_eq!(come_in(&pace), 2);
        assert!(!pace.enter_soon().await, "none is let in within a moment");
        let mut singles: Vec<_> = (0..3).map(|_| Box::pin(pace.enter_soon())).collect();
        let mut stream = Box::pin(pace.enter());
        assert!(singles.iter_mut().all(|single| single.as_mut().now_or_never().is_none()));
        assert!(stream.as_mut().now_or_never().is_none());
        tick();
        assert!(stream.as_mut().now_or_never().is_some(), "however many single reports wait");
        let are_in: Vec<_> = singles.iter_mut().map(|single| single.as_mut().now_or_never()).collect();
        assert_eq!(are_in, [Some(true), None, None], "and the first of those");
        // Single reports that do not come leave their turns to streams, once as many have gathered as may come at once.
        for _ in 0..1_000 {
            tick();
        }
        assert_eq!(of_streams(&pace), 125);
        // A task may take only so much at a time.
        tokio::task::yield_now().await;
        tick();
        assert_eq!(of_streams(&pace), 2);
    }

    #[test]
    fn what_was_told_lately_decides() {
        let (mut counting, now) = (Counting::default(), Instant::now());
        let (at, second) = (Timestamp::from_unix_micros(9_000_000), Duration::from_secs(1));
        assert_eq!(counting.lately(now), Lately::default());
        let told = |counted, received_at_micros| Progress { partition: 1, counted, received_at_micros };
        counting.hear(told(300, 5_000_000), at, now);
        counting.hear(told(100, 9_500_000), at, now);
        assert_eq!(counting.lately(now), Lately { behind: 3 * second, a_second: 400.0 });
        counting.hear(told(400, 8_000_000), at, now + 4 * second);
        assert_eq!(counting.lately(now + 4 * second), Lately { behind: 2 * second, a_second: 200.0 });
        assert_eq!(counting.lately(now + LATELY), Lately { behind: second, a_second: 400.0 });
        assert_eq!(counting.lately(now + 2 * LATELY), Lately::default());
        assert!(counting.is_silent());
    }
}
