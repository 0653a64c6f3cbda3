//! A downstream system: follows TOTALS and keeps the last event of each total.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use messaging::totals::{TotalsEvent, TotalsFeed};
use proto::pb::query::v1::Totals;

use crate::{Schema, World, eventually, sums_of, sums_of_event};

/// The events of TOTALS since the follower was started, by subject and in order.
#[derive(Debug)]
pub struct Events {
    seen: Arc<Mutex<BTreeMap<String, Vec<TotalsEvent>>>>,
    following: tokio::task::JoinHandle<()>,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Events {
    /// Follows from now on, for as long as the world's connection to NATS comes back.
    pub async fn follow(world: &World) -> Self {
        let mut feed = TotalsFeed::from_now(world.connection.clone()).await.unwrap();
        let seen: Arc<Mutex<BTreeMap<String, Vec<TotalsEvent>>>> = Arc::default();
        let keep = Arc::clone(&seen);
        let schema = Schema::totals();
        let following = tokio::spawn(async move {
            loop {
                let (subject, payload) = feed.next().await;
                schema.check(&payload);
                let event: TotalsEvent = serde_json::from_slice(&payload).unwrap();
                assert_eq!(event.subject, subject);
                keep.lock().unwrap().entry(subject).or_default().push(event);
            }
        });
        Self { seen, following }
    }

    /// The subjects that had events.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        self.seen.lock().unwrap().keys().cloned().collect()
    }

    /// The versions that a subject had, in order.
    #[must_use]
    pub fn versions(&self, subject: &str) -> Vec<i64> {
        let seen = self.seen.lock().unwrap();
        seen.get(subject).into_iter().flatten().map(|event| event.data.version).collect()
    }

    /// The last event of a subject.
    #[must_use]
    pub fn last(&self, subject: &str) -> Option<TotalsEvent> {
        self.seen.lock().unwrap().get(subject)?.last().cloned()
    }

    /// Waits for the event that says the same as an answer of the query service: version, sums, and who is expected.
    pub async fn agree_with(&self, totals: &Totals) {
        assert!(!self.following.is_finished(), "the follower goes on");
        let unit = totals.org_unit.as_ref().unwrap();
        let subject = format!("totals.v1.{}.{}.{}.{}", unit.level, unit.code, totals.data_set, totals.period);
        eventually("the last event agrees with the answer", || async {
            let event = self.last(&subject).ok_or_else(|| format!("no event on {subject}"))?;
            let says = (event.data.version, sums_of_event(&event.data));
            let answer = (totals.version, sums_of(totals));
            if says == answer { Ok(()) } else { Err(format!("{subject} says {says:?}, the answer is {answer:?}")) }
        })
        .await;
        let event = self.last(&subject).unwrap();
        let expected_by_event = event.data.levels.iter().map(|level| (&level.level, i64::from(level.expected)));
        let expected = totals.levels.iter().map(|level| (&level.level, level.expected));
        assert!(expected_by_event.eq(expected), "{subject}: {event:?} and {totals:?}");
    }
}
