//! Revisions for senders that do not number theirs.

use std::sync::atomic::{AtomicI64, Ordering};

use domain::Timestamp;

/// Gives revisions that grow with time: the microsecond, or one more than the last where the clock has not moved on.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    last: AtomicI64,
}

impl Revisions {
    pub(crate) fn next(&self, now: Timestamp) -> i64 {
        let now = now.unix_micros();
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        now.max(last.unwrap_or_default() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_grow_also_when_the_clock_stands_or_goes_back() {
        let revisions = Revisions::default();
        let given = [100, 100, 90, 200].map(|micros| revisions.next(Timestamp::from_unix_micros(micros)));
        assert_eq!(given, [100, 101, 102, 200]);
    }
}
