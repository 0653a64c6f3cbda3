//! What each of many may have at most: so many at a time ([`Shares`]), and so many a second ([`Rates`]).
//!
//! Both know only those who have or had something lately, so their memory is bounded by what is going on.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicU32, atomic::Ordering},
    time::Duration,
};

use governor::{Quota, RateLimiter, clock::MonotonicClock, state::keyed::HashMapStateStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A part of somebody's share; free again when it is dropped.
pub type Part = OwnedSemaphorePermit;

/// How many each may have at a time.
#[derive(Debug)]
pub struct Shares<K> {
    most: usize,
    known: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    /// Those who have something, and some who had.
    semaphores: HashMap<K, Weak<Semaphore>>,
    /// From how many on it is worth looking for those who have nothing any more.
    sweep_at: usize,
}

/// A table with fewer is not worth sweeping.
const FEW: usize = 64;

impl<K: Clone + Eq + Hash> Shares<K> {
    /// So many for each.
    #[must_use]
    pub fn of(most: usize) -> Self {
        Self { most, known: Mutex::new(Known { semaphores: HashMap::new(), sweep_at: FEW }) }
    }

    /// How many each may have.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Somebody's share, to take parts of. It stays the same while anybody holds it or a part of it.
    pub fn whose(&self, key: &K) -> Arc<Semaphore> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { semaphores, sweep_at } = &mut *known;
        if let Some(share) = semaphores.get(key).and_then(Weak::upgrade) {
            return share;
        }
        if semaphores.len() >= *sweep_at {
            semaphores.retain(|_, share| share.strong_count() > 0);
            *sweep_at = FEW.max(2 * semaphores.len());
        }
        let share = Arc::new(Semaphore::new(self.most));
        semaphores.insert(key.clone(), Arc::downgrade(&share));
        share
    }

    /// A part of somebody's share, if there is any left.
    pub fn try_take(&self, key: &K) -> Option<Part> {
        self.whose(key).try_acquire_owned().ok()
    }
}

/// How many each may do a second, and how many at once after a rest.
pub struct Rates<K: Clone + Eq + Hash> {
    limiter: RateLimiter<K, HashMapStateStore<K>, MonotonicClock>,
    a_second: NonZeroU32,
    asked: AtomicU32,
}

/// So often those are forgotten who have rested for long enough.
const FORGET_EVERY: u32 = 4_096;

impl<K: Clone + Eq + Hash> Rates<K> {
    /// So many a second, and so many at once.
    #[must_use]
    pub fn of(a_second: NonZeroU32, at_once: NonZeroU32) -> Self {
        let quota = Quota::per_second(a_second).allow_burst(at_once);
        Self { limiter: RateLimiter::hashmap_with_clock(quota, MonotonicClock), a_second, asked: AtomicU32::new(0) }
    }

    /// How many each may do a second.
    #[must_use]
    pub fn a_second(&self) -> NonZeroU32 {
        self.a_second
    }

    /// Somebody does one more.
    ///
    /// # Errors
    /// When it is too soon: how long they are to wait.
    pub fn take(&self, key: &K) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let clock = MonotonicClock;
        self.limiter.check_key(key).map_err(|early| early.wait_time_from(governor::clock::Clock::now(&clock)))
    }
}

impl<K: Clone + Eq + Hash> fmt::Debug for Rates<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("a_second", &self.a_second).field("known", &self.limiter.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_as_large_as_it_is_and_those_without_one_are_forgotten() {
        let shares = Shares::of(2);
        let held = [shares.try_take(&0), shares.try_take(&0)];
        assert!(held.iter().all(Option::is_some) && shares.try_take(&0).is_none());
        for other in 1..10_000 {
            assert!(shares.try_take(&other).is_some());
        }
        assert!(shares.known.lock().unwrap().semaphores.len() <= 2 * FEW);
        assert!(shares.try_take(&0).is_none(), "who holds something is not forgotten");
        drop(held);
        assert!(shares.try_take(&0).is_some());
    }

    #[test]
    fn a_rate_bites_each_alone_and_says_when_to_come_again() {
        let [one, three] = [1, 3].map(|number| NonZeroU32::new(number).unwrap());
        let rates = Rates::of(one, three);
        assert!((0..3).all(|_| rates.take(&"a").is_ok()));
        let pause = rates.take(&"a").unwrap_err();
        assert!(pause > Duration::ZERO && pause <= Duration::from_secs(1), "{pause:?}");
        assert_eq!(rates.take(&"b"), Ok(()));
    }

    #[test]
    fn those_who_rest_are_forgotten() {
        let often = NonZeroU32::new(1_000_000).unwrap();
        let rates = Rates::of(often, NonZeroU32::MIN);
        for key in 0..3 * FORGET_EVERY {
            assert_eq!(rates.take(&key), Ok(()));
        }
        std::thread::sleep(Duration::from_millis(1));
        rates.asked.store(0, Ordering::Relaxed);
        assert_eq!(rates.take(&0), Ok(()));
        assert_eq!(rates.limiter.len(), 1);
    }
}
