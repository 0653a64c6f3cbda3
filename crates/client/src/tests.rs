//! Goal: whatever the services do, each report is pushed until its fate is known, in order per unit and no faster than asked.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tempfile::TempDir;
use tokio::{net::TcpListener, time::Instant};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    Client, Config, Event, Events, OpenError, Outcome, Pace, Progress, Report, SubmissionId, Trouble,
    fake::{self, Does, Fake},
};

const PATIENCE: Duration = Duration::from_secs(30);
const QUICK: Pace = Pace { first: Duration::from_millis(5), longest: Duration::from_millis(50) };

/// A spool in a directory of its own.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    fn config(&self, url: &str) -> Config {
        Config { retry: QUICK, ask: QUICK, ..Config::new(url, self.spool()).asking(url).with(fake::credentials()) }
    }

    async fn client(&self, url: &str) -> Client {
        Client::open(self.config(url)).await.unwrap()
    }
}

fn report(unit: &str, number: i64) -> Report {
    Report::of(unit, "x", "2022").value("a", number)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes about in time")
}

async fn outcome(client: &Client, id: SubmissionId) -> Outcome {
    soon(client.outcome(id)).await.unwrap().unwrap()
}

/// Reads events until one of them is it.
async fn until<T>(events: &mut Events, is_it: impl Fn(Event) -> Option<T>) -> T {
    soon(async {
        loop {
            if let Some(found) = is_it(events.next().await.unwrap()) {
                return found;
            }
        }
    })
    .await
}

fn asking_for(pause: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(pause));
    Status::with_error_details(Code::Unavailable, "later", details)
}

/// An address where nobody is yet.
async fn nobody() -> (String, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (format!("https://{address}"), address)
}

#[tokio::test]
async fn every_report_has_its_outcome_whatever_becomes_of_it() {
    let (fake, home) = (Fake::default(), Home::new());
    let does = [("3", Does::Refuses), ("4", Does::Postpones(2)), ("5", Does::Breaks(2)), ("7", Does::Poisoned)];
    fake.state().does = does.map(|(unit, does)| (unit.to_owned(), does)).into();
    let url = fake.clone().serve().await;
    let client = home.client(&url).await;
    let mut sent = Vec::new();
    for unit in 1..=9 {
        sent.push(client.send(report(&unit.to_string(), 5)).await.unwrap());
    }
    let mut outcomes = std::collections::BTreeMap::new();
    for _ in 0..9 {
        let (id, outcome) = soon(client.next_outcome()).await.unwrap();
        assert!(outcomes.insert(id, outcome).is_none(), "each is given once");
    }
    let of = |unit: usize| &outcomes[&sent[unit - 1]];
    for unit in [1, 4, 5, 6, 8, 9] {
        assert!(matches!(of(unit), Outcome::Accepted(_)) && of(unit).is_good(), "{unit}: {:?}", of(unit));
    }
    assert!(matches!(of(2), Outcome::Rejected(_)) && !of(2).is_good());
    assert!(matches!(of(3), Outcome::Refused(_)) && of(3).violations()[0].reason == "VALUE_TYPE_WRONG");
    assert!(matches!(of(7), Outcome::Refused(refusal) if refusal.reason == "OUT_OF_RANGE"), "{:?}", of(7));
    assert_eq!(client.pending().await.unwrap(), 0);
    let seen: BTreeSet<_> = fake.state().seen.iter().cloned().collect();
    assert_eq!(seen.len(), 9, "a report that is sent again keeps its submission id");
}

#[tokio::test]
async fn the_reports_of_a_unit_arrive_in_order_although_the_first_is_put_off() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().does = [("1".to_owned(), Does::Postpones(3))].into();
    let url = fake.clone().serve().await;
    let client = home.client(&url).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(client.send(report("1", number)).await.unwrap().to_string());
        client.send(report("9", number)).await.unwrap();
    }
    for _ in 0..40 {
        soon(client.next_outcome()).await.unwrap();
    }
    let state = fake.state();
    let mut seen: Vec<&String> = state.seen.iter().filter(|(unit, _)| unit == "1").map(|(_, id)| id).collect();
    assert_eq!(seen.len(), 23, "the first came four times");
    seen.dedup();
    assert_eq!(seen, ids.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn no_report_is_sent_again_before_the_collector_wants_it() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().does = [("1".to_owned(), Does::Postpones(2))].into();
    fake.state().postpones_for = Duration::from_millis(300);
    fake.state().opens_with = [asking_for(Duration::from_millis(400))].into();
    let url = fake.clone().serve().await;
    let started = Instant::now();
    let client = home.client(&url).await;
    let id = client.send(report("1", 1)).await.unwrap();
    outcome(&client, id).await;
    let came: Vec<_> = fake.state().came.iter().map(|(at, _)| *at).collect();
    assert_eq!(came.len(), 3);
    assert!(came[0] - started >= Duration::from_millis(400), "the stream is opened when it was asked for");
    for pair in came.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(300), "{:?}", pair[1] - pair[0]);
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_pause_that_a_broken_stream_asked_for() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().does = [("1".to_owned(), Does::Breaks(1))].into();
    fake.state().breaks_with = Some(asking_for(Duration::from_millis(400)));
    let url = fake.clone().serve().await;
    let client = home.client(&url).await;
    let id = client.send(report("1", 1)).await.unwrap();
    assert!(outcome(&client, id).await.is_good());
    let came: Vec<_> = fake.state().came.iter().map(|(at, _)| *at).collect();
    assert!(came.len() == 2 && came[1] - came[0] >= Duration::from_millis(400), "{came:?}");
}

#[tokio::test]
async fn a_pause_that_was_asked_for_outlives_a_restart() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().does = [("1".to_owned(), Does::Postpones(1))].into();
    fake.state().postpones_for = Duration::from_secs(1);
    let url = fake.clone().serve().await;
    let (client, mut events) = Client::watched(home.config(&url)).await.unwrap();
    let id = client.send(report("1", 1)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Postponed(..)).then_some(())).await;
    client.shutdown().await;
    let client = home.client(&url).await;
    outcome(&client, id).await;
    let came: Vec<_> = fake.state().came.iter().map(|(at, _)| *at).collect();
    // The pause is kept in milliseconds.
    assert!(came.len() == 2 && came[1] - came[0] >= Duration::from_millis(990), "{came:?}");
}

#[tokio::test]
async fn the_query_service_is_asked_politely() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().answers_with = [asking_for(Duration::from_millis(500)), Status::unavailable("")].into();
    fake.state().not_found = 2;
    let url = fake.clone().serve().await;
    let client = home.client(&url).await;
    let id = client.send(report("1", 1)).await.unwrap();
    assert!(matches!(outcome(&client, id).await, Outcome::Accepted(_)));
    let asked = fake.state().asked.clone();
    assert_eq!(asked.len(), 5, "two errors, two times nothing, one fate");
    assert!(asked[1] - asked[0] >= Duration::from_millis(500));
    for pair in asked[2..].windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "the pause it asks for: {:?}", pair[1] - pair[0]);
    }
    assert_eq!(fake.state().seen.len(), 1, "not known yet is no reason to send again");
}

#[tokio::test]
async fn a_fate_that_is_not_told_keeps_nobody_else_waiting() {
    not_told(Status::internal("what is stored cannot be read")).await;
    not_told(Status::permission_denied("sent under another name, and no grant to read")).await;
}

async fn not_told(why: Status) {
    let (fake, home) = (Fake::default(), Home::new());
    let code = why.code();
    fake.state().unreadable = Some(("1".to_owned(), why));
    let an_hour = Duration::from_secs(3600);
    let url = fake.clone().serve().await;
    let config = Config { retry: Pace { first: an_hour, longest: an_hour }, ..home.config(&url) };
    let (client, mut events) = Client::watched(config).await.unwrap();
    let unreadable = client.send(report("1", 1)).await.unwrap();
    let is_told = |event| {
        matches!(event, Event::Trouble(Trouble::Answered { status, .. }) if status.code() == code).then_some(())
    };
    until(&mut events, is_told).await;
    let other = client.send(report("3", 1)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Finished(id, _) if id == other).then_some(())).await;
    drop(events);
    fake.state().unreadable = None;
    assert!(outcome(&client, unreadable).await.is_good(), "it is asked for again");
}

#[tokio::test]
async fn what_was_spooled_goes_on_after_a_restart_and_when_the_collector_comes() {
    let home = Home::new();
    let (url, address) = nobody().await;
    let (client, mut events) = Client::watched(home.config(&url)).await.unwrap();
    let id = client.send(report("1", 1)).await.unwrap();
    let unreachable = |event| matches!(event, Event::Trouble(Trouble::Unreachable { .. })).then_some(());
    until(&mut events, unreachable).await;
    assert_eq!(client.fate(id).await.unwrap(), Some(Progress::Spooled { sent: false }));
    client.shutdown().await;

    let (client, mut events) = Client::watched(home.config(&url)).await.unwrap();
    let second = client.send(report("1", 2)).await.unwrap();
    until(&mut events, unreachable).await;
    drop(events);
    let fake = Fake::default();
    fake.clone().serve_on(TcpListener::bind(address).await.unwrap());
    assert!(outcome(&client, id).await.is_good() && outcome(&client, second).await.is_good());
    let seen: Vec<_> = fake.state().seen.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(seen, [id.to_string(), second.to_string()]);

    assert!(client.forget(id).await.unwrap());
    client.shutdown().await;
    let client = home.client(&url).await;
    assert_eq!(soon(client.next_outcome()).await.unwrap().0, second, "what was not confirmed is given again");
    assert_eq!(client.outcome(id).await.unwrap(), None);
}

#[tokio::test]
async fn an_acknowledged_report_that_nobody_knows_is_pushed_again_as_it_was() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().known_after = 2;
    let url = fake.clone().serve().await;
    let config = Config { push_again_after: Duration::from_millis(300), ..home.config(&url) };
    let (client, mut events) = Client::watched(config).await.unwrap();
    let id = client.send(report("1", 1)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::PushedAgain(of) if of == id).then_some(())).await;
    drop(events);
    assert!(outcome(&client, id).await.is_good());
    let state = fake.state();
    assert_eq!(state.seen, [("1".to_owned(), id.to_string()), ("1".to_owned(), id.to_string())]);
    let (first, second) = (state.came[0], state.came[1]);
    assert!(second.0 - first.0 >= Duration::from_millis(300));
    assert_eq!((first.1, second.1), (None, Some(1)), "under the revision that it was acknowledged with");
}

#[tokio::test]
async fn who_is_killed_after_the_acknowledgement_asks_for_the_fate_afterwards() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().not_found = u32::MAX;
    let url = fake.clone().serve().await;
    let (client, mut events) = Client::watched(home.config(&url)).await.unwrap();
    let id = client.send(report("1", 1)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Acknowledged(..)).then_some(())).await;
    client.shutdown().await;
    fake.state().not_found = 0;
    let client = home.client(&url).await;
    assert!(outcome(&client, id).await.is_good());
    assert_eq!(fake.state().seen.len(), 1);
}

#[tokio::test]
async fn what_is_too_old_is_given_up_aloud() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    fake.state().not_found = u32::MAX;
    let url = fake.clone().serve().await;
    let client = Client::open(Config { give_up_after: Duration::from_millis(400), ..home.config(&url) }).await.unwrap();
    let sent = client.send(report("1", 1)).await.unwrap();
    let behind = client.send(report("1", 2)).await.unwrap();
    let acknowledged = client.send(report("2", 1)).await.unwrap();
    let given_up = outcome(&client, sent).await;
    assert_eq!(given_up, Outcome::GivenUp { sent: true, acknowledgement: None });
    assert!(!given_up.is_good());
    assert!(matches!(outcome(&client, behind).await, Outcome::GivenUp { acknowledgement: None, .. }));
    let given_up = outcome(&client, acknowledged).await;
    assert!(matches!(given_up, Outcome::GivenUp { sent: true, acknowledgement: Some(_) }), "{given_up:?}");
}

#[tokio::test]
async fn what_is_too_old_is_given_up_although_nobody_can_be_asked() {
    let (fake, home) = (Fake::default(), Home::new());
    let (nobody, _) = nobody().await;
    let config = home.config(&fake.serve().await).asking(nobody);
    let client = Client::open(Config { give_up_after: Duration::from_millis(400), ..config }).await.unwrap();
    let id = client.send(report("1", 1)).await.unwrap();
    let given_up = outcome(&client, id).await;
    assert!(matches!(given_up, Outcome::GivenUp { sent: true, acknowledgement: Some(_) }), "{given_up:?}");
}

#[tokio::test]
async fn without_a_query_service_an_acknowledgement_is_the_end() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().not_found = u32::MAX;
    let url = fake.clone().serve().await;
    let (client, mut events) = Client::watched(home.config(&url)).await.unwrap();
    let before = client.send(report("1", 1)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Acknowledged(..)).then_some(())).await;
    client.shutdown().await;
    let client = Client::open(Config { query: None, ..home.config(&url) }).await.unwrap();
    let id = client.send(report("1", 1)).await.unwrap();
    for id in [before, id] {
        assert!(matches!(outcome(&client, id).await, Outcome::Acknowledged(_)), "nobody can be asked");
    }
    client.shutdown().await;

    fake.state().not_found = 0;
    let client = home.client(&url).await;
    for id in [before, id] {
        // Until they are asked for they are not finished any more.
        assert!(matches!(outcome(&client, id).await, Outcome::Accepted(_)), "now somebody can");
    }
    assert_eq!(fake.state().seen.len(), 2, "nothing is sent again");
}

#[tokio::test]
async fn a_second_client_on_the_spool_is_refused_until_the_first_has_shut_down() {
    let home = Home::new();
    let (url, _) = nobody().await;
    let client = home.client(&url).await;
    client.send(report("1", 1)).await.unwrap();
    let second = Client::open(home.config(&url)).await.map(drop);
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    client.shutdown().await;
    assert_eq!(home.client(&url).await.pending().await.unwrap(), 1, "what is spooled stays");
}

#[tokio::test]
async fn thousands_of_reports_pass_through_a_small_window() {
    let (fake, home) = (Fake::default(), Home::new());
    let url = fake.clone().serve().await;
    let client = Client::open(Config { in_flight: 7, ..home.config(&url) }).await.unwrap();
    let reports = (0..3_000_u32).map(|unit| (unit, report(&(10 + unit).to_string(), 1))).collect();
    client.send_batch("b", reports).await.unwrap();
    for _ in 0..3_000 {
        assert!(soon(client.next_outcome()).await.unwrap().1.is_good());
    }
    assert_eq!((client.unfinished("b").await.unwrap(), fake.state().seen.len()), (0, 3_000));
}

/// That a stream is gone may be noticed first where the next report is to go out: it stays the next.
#[tokio::test(flavor = "multi_thread")]
async fn no_report_is_left_behind_where_streams_break_while_many_wait() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().does = (0..40).map(|unit| ((unit * 25).to_string(), Does::Breaks(1))).collect();
    let url = fake.clone().serve().await;
    let client = Client::open(Config { query: None, in_flight: 2_000, ..home.config(&url) }).await.unwrap();
    // Large ones: what is on its way fills what the connection takes at once.
    let large = |unit: u32| (unit, report(&unit.to_string(), 1).value(&"a".repeat(4_000), 1));
    let reports = (0..1_000).map(large).collect();
    client.send_batch("b", reports).await.unwrap();
    for _ in 0..1_000 {
        assert!(soon(client.next_outcome()).await.unwrap().1.is_good());
    }
}
