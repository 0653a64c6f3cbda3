//! Killing the parts of the local stack, one after the other, while reports are sent as fast as they go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use local::part::{Part, Who};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    mix::Purity,
    run::{Outcome, Pace, Runs, Until},
    send::Counts,
    world::{PATIENCE, World},
};

/// How often it is looked whether a part is there again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often the database is asked whether counting goes on: to count fates reads the whole ledger.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A part that was killed.
#[derive(Clone, Debug)]
pub(crate) struct Killed {
    part: String,
    /// From its end until its successor is ready.
    ready_again: Duration,
    /// From its end until reports have their fates that were acknowledged after that.
    counted_again: Duration,
}

impl Killed {
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "part": self.part,
            "ready_again_s": self.ready_again.as_secs_f64(),
            "counted_again_s": self.counted_again.as_secs_f64(),
        })
    }
}

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [ready, counted] = [self.ready_again, self.counted_again].map(|after| after.as_secs_f64());
        write!(f, "{}: sẵn sàng / ready after {ready:.2} s, đếm tiếp / counting after {counted:.2} s", self.part)
    }
}

impl Runs<'_> {
    /// Sends as `max` does while every part that is a process of its own is killed once, with a part of `lasting` before each and after
    /// the last.
    ///
    /// # Errors
    /// When a part does not come back, or something does not answer long after.
    pub(crate) async fn kill(&mut self, on_their_way: u64, lasting: Duration) -> anyhow::Result<Outcome> {
        let over = Arc::<AtomicBool>::default();
        let pace = Pace::Closed { on_their_way, until: Until::Told(Arc::clone(&over)) };
        let world = self.world;
        let counts = Arc::<Counts>::default();
        let killing = async {
            let killed = kill_all(world, &counts, lasting).await;
            over.store(true, Ordering::Relaxed);
            killed
        };
        let running = self.run_counting("kill", pace, Purity::Mixed, Arc::clone(&counts));
        let (outcome, killed) = tokio::try_join!(running, killing)?;
        // Nobody is the process any more whose time was taken at the beginning.
        Ok(Outcome { killed, parts: serde_json::Value::Null, ..outcome })
    }
}

async fn kill_all(world: &World, counts: &Counts, lasting: Duration) -> anyhow::Result<Vec<Killed>> {
    let names: Vec<String> = world.parts().into_iter().filter(is_a_process).map(|part| part.name).collect();
    let before = world.settled().await?.context("the local stack has a database")?;
    // Not while connections are still made.
    let began = Instant::now();
    while Counts::get(&counts.acknowledged) == 0 {
        anyhow::ensure!(began.elapsed() < PATIENCE, "no report is acknowledged");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let pause = lasting.div_f64((names.len() + 1) as f64);
    let mut killed = Vec::with_capacity(names.len());
    for name in names {
        tokio::time::sleep(pause).await;
        let others = || -> Vec<Part> { world.parts().into_iter().filter(|part| part.name != name).collect() };
        let stayed = others();
        killed.push(kill(world, counts, before, &name).await?);
        for (before, now) in stayed.iter().zip(others()) {
            anyhow::ensure!(before.who == now.who, "{} ended because {name} was killed", now.name);
        }
    }
    tokio::time::sleep(pause).await;
    Ok(killed)
}

fn is_a_process(part: &Part) -> bool {
    matches!(part.who, Who::Process(_) | Who::Family(_))
}

/// Kills a part, and waits until its successor is there and counting goes on. `before` is how many reports had their fates when the run
/// began.
async fn kill(world: &World, counts: &Counts, before: u64, name: &str) -> anyhow::Result<Killed> {
    let part = named(world, name)?;
    part.kill().with_context(|| format!("killing {name}"))?;
    let ended = Instant::now();
    while named(world, name)?.who == part.who {
        anyhow::ensure!(ended.elapsed() < PATIENCE, "{name} was killed and does not come back");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let ready_again = ended.elapsed();
    let acknowledged = || Counts::get(&counts.acknowledged);
    // What was acknowledged before may be beyond the part already.
    let until = acknowledged();
    while acknowledged() == until || world.settled().await?.is_none_or(|settled| settled - before <= until) {
        anyhow::ensure!(ended.elapsed() < PATIENCE, "{name} was killed and is back, and nothing new is counted");
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(Killed { part: name.to_owned(), ready_again, counted_again: ended.elapsed() })
}

/// The part of that name as it runs now.
fn named(world: &World, name: &str) -> anyhow::Result<Part> {
    world.parts().into_iter().find(|part| part.name == name).with_context(|| format!("{name} is gone"))
}
