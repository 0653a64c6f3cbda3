//! The only place of the services that asks the operating system for the time.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use time::OffsetDateTime;

/// Says what time it is.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is told to ask")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(Mutex<OffsetDateTime>);

impl ManualClock {
    /// Stands at `now`.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves to `now`, forwards or backwards.
    pub fn set(&self, now: OffsetDateTime) {
        *self.hand() = now;
    }

    /// Moves forwards by `step`.
    pub fn advance(&self, step: Duration) {
        *self.hand() += step;
    }

    fn hand(&self) -> MutexGuard<'_, OffsetDateTime> {
        self.0.lock().expect("no holder of the clock's hand panics")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.hand()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(datetime!(2026-01-31 23:59:59 UTC));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), datetime!(2026-02-01 00:00 UTC));
        clock.set(datetime!(2025-12-31 00:00 UTC));
        assert_eq!(clock.now(), datetime!(2025-12-31 00:00 UTC));
    }

    #[test]
    fn the_system_clock_speaks_utc() {
        assert!(SystemClock.now().offset().is_utc());
    }
}
