//! Kills in the middle of a stream of reports: nothing that was acknowledged is lost, nothing is counted twice.

use tests::{Events, Load, Sending, Services, World, checks::all_is_well, eventually};

const REPORTS: usize = 3_000;

/// A world at work on a load.
struct Scene {
    world: World,
    services: Services,
    events: Events,
    load: Load,
    sending: Sending,
}

impl Scene {
    async fn start(seed: u64) -> Self {
        let world = World::start().await;
        let services = world.services().await;
        let events = Events::follow(&world).await;
        let load = Load::of(REPORTS, seed);
        let sending = services.send(&load.reports);
        Self { world, services, events, load, sending }
    }

    /// Lets some reports go and waits until the first of them are acknowledged.
    async fn under_way(&self, more: usize) {
        let before = self.sending.acknowledged_now();
        self.sending.allow(more);
        self.sending.acknowledged(before + 1).await;
    }

    /// Sends the rest; then all must be well.
    async fn finish(self) -> usize {
        assert!(self.sending.acknowledged_now() < REPORTS, "the last kill was before the end");
        let sent = self.sending.finish().await;
        all_is_well(&self.world, &self.services, &self.events, &self.load, &sent).await;
        sent.broken.len()
    }
}

/// Whether reports are acknowledged that have no fate. Whoever settles them is frozen or dead while we look.
async fn is_behind(world: &World, sending: &Sending) -> bool {
    let acknowledged = i64::try_from(sending.acknowledged_now()).unwrap();
    // A connection from before PostgreSQL was killed is found broken by whoever uses it first.
    world.store.fate_counts().await.is_ok_and(|counts| acknowledged > counts.settled())
}

/// Senders do not notice that a service is gone that is none of theirs.
async fn acknowledged_all_the_same(sending: &Sending) {
    let before = sending.acknowledged_now();
    sending.allow(100);
    sending.acknowledged(before + 100).await;
}

/// Goal: a validator that dies with batches in hand leaves them to the next one; one that dies right after it has said
/// that it is done with a batch has made its verdicts durable before. No report has two verdicts that matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_validator_is_killed_four_times() {
    let mut scene = Scene::start(1).await;
    for round in 0..4 {
        scene.under_way(500).await;
        let Scene { world, services, sending, .. } = &mut scene;
        let in_hand = async || world.stream("REPORTS").await.unwrap().1.being_judged;
        if round % 2 == 0 {
            services.validator.kill_at_work(async || in_hand().await > 0).await;
        } else {
            // So that what is judged is not counted, and lost if its verdict is.
            services.aggregator.freeze_at_work(async || is_behind(world, sending).await).await;
            services.validator.kill_at_work(async || in_hand().await == 0).await;
            services.aggregator.thaw();
        }
        services.validator.assert_quiet();
        acknowledged_all_the_same(sending).await;
        assert!(is_behind(world, sending).await);
        services.validator = world.service("validator").await;
    }
    assert_eq!(scene.finish().await, 0, "no stream broke");
}

/// Goal: an aggregator that dies with a batch in hand, in a transaction or between the transaction and its events, counts
/// it once when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_is_killed_three_times() {
    let mut scene = Scene::start(2).await;
    for _ in 0..3 {
        scene.under_way(700).await;
        let Scene { world, services, sending, .. } = &mut scene;
        services.aggregator.kill_at_work(async || is_behind(world, sending).await).await;
        services.aggregator.assert_quiet();
        acknowledged_all_the_same(sending).await;
        assert!(is_behind(world, sending).await);
        services.aggregator = world.service("aggregator").await;
    }
    assert_eq!(scene.finish().await, 0, "no stream broke");
}

/// Goal: when a collector dies its senders send again what it had not acknowledged, under the same ids, and whatever it
/// had kept without saying so is not counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_killed_twice() {
    let mut scene = Scene::start(3).await;
    for _ in 0..2 {
        scene.under_way(900).await;
        let Scene { world, services, sending, .. } = &mut scene;
        services.collector.kill_at_work(async || sending.in_flight() > 0).await;
        services.collector.assert_quiet();
        let before = sending.acknowledged_now();
        let collector = world.service("collector").await;
        services.replace_collector(collector).await;
        sending.acknowledged(before + 1).await;
    }
    assert!(scene.finish().await >= 2, "both kills broke a stream");
}

/// Goal: when NATS dies nothing it acknowledged is lost, and when it is back everybody goes on without being restarted.
#[tokio::test(flavor = "multi_thread")]
async fn nats_is_killed() {
    let mut scene = Scene::start(4).await;
    for _ in 0..2 {
        scene.under_way(900).await;
        let Scene { world, sending, .. } = &mut scene;
        eventually("reports are in flight when NATS stands still", || async {
            world.nats.pause().unwrap();
            if sending.in_flight() > 0 {
                return Ok(());
            }
            world.nats.resume().unwrap();
            Err("none is")
        })
        .await;
        world.nats.kill_hard().await.unwrap();
        let before = sending.acknowledged_now();
        world.nats.restart().await.unwrap();
        sending.acknowledged(before + 1).await;
    }
    scene.finish().await;
}

/// Goal: when PostgreSQL dies with a batch uncounted, it is counted once when PostgreSQL is back; nobody is restarted and
/// senders do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed() {
    let mut scene = Scene::start(5).await;
    for _ in 0..2 {
        scene.under_way(900).await;
        let Scene { world, services, sending, .. } = &mut scene;
        services.aggregator.freeze_at_work(async || is_behind(world, sending).await).await;
        world.postgres.kill_hard().await.unwrap();
        services.aggregator.thaw();
        acknowledged_all_the_same(sending).await;
        world.postgres.restart().await.unwrap();
    }
    assert_eq!(scene.finish().await, 0, "no stream broke");
}
