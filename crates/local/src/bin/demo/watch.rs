//! Watching the national totals from outside: the events on the topic, as a downstream system gets them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use domain::{LevelCode, OrgUnitCode};
use local::Stack;
use messaging::{
    subjects,
    totals::{TotalsEvent, TotalsFeed},
};
use store::{FateCounts, Store};
use tokio::{task::JoinHandle, time::Instant};

use crate::plan::{IDENTITY, ORGANISATION};

/// By form: when the nation's total had how many reports.
pub(crate) type Counted = BTreeMap<&'static str, Vec<(i64, Instant)>>;

/// Notes when the national totals get where they must.
#[derive(Debug)]
pub(crate) struct Counting(JoinHandle<anyhow::Result<Counted>>);

impl Counting {
    /// Follows the events from now on, until each form's national total has that many reports.
    pub(crate) async fn start(stack: &Stack, mut missing: BTreeMap<&'static str, i64>) -> anyhow::Result<Self> {
        let national: LevelCode = stack.catalogue.levels().first().context("the catalogue has no levels")?.code.clone();
        let nation: OrgUnitCode = "VN".parse()?;
        let mut feed = TotalsFeed::of_unit_from_now(stack.connection.clone(), &national, &nation).await?;
        let forms = [IDENTITY, ORGANISATION]
            .into_iter()
            .map(|(code, period)| Ok((subjects::totals(&national, &nation, &code.parse()?, period.parse()?), code)));
        let forms: BTreeMap<String, &'static str> = forms.collect::<anyhow::Result<_>>()?;
        Ok(Self(tokio::spawn(async move {
            let mut counted = Counted::new();
            while !missing.is_empty() {
                let (subject, payload) = feed.next().await;
                let Some(form) = forms.get(&subject) else { continue };
                let event: TotalsEvent = serde_json::from_slice(&payload)?;
                let reported = event.data.levels.iter().map(|level| level.reported).sum();
                counted.entry(form).or_default().push((reported, Instant::now()));
                if missing.get(form).is_some_and(|all| reported >= *all) {
                    missing.remove(form);
                }
            }
            Ok(counted)
        })))
    }

    /// Waits until the national totals have everything.
    pub(crate) async fn finish(self) -> anyhow::Result<Counted> {
        tokio::time::timeout(Duration::from_secs(300), self.0)
            .await
            .context("the national totals never had every report")??
    }
}

/// Waits until every acknowledged report has its fate.
pub(crate) async fn settled(store: &Store, acknowledged: i64) -> anyhow::Result<FateCounts> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let fates = store.fate_counts().await?;
        if fates.settled() >= acknowledged {
            return Ok(fates);
        }
        anyhow::ensure!(Instant::now() < deadline, "{} of {acknowledged} reports have a fate", fates.settled());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
