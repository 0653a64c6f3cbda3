//! Other systems on the topics, with a NATS client as anybody has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_nats::jetstream::{
    self, Message,
    consumer::{AckPolicy, DeliverPolicy, pull},
};
use domain::{Catalogue, settle::Fate};
use futures_util::StreamExt as _;
use messaging::{
    Outgoing,
    fates::FatesEvent,
    subjects,
    totals::{TotalsData, TotalsEvent},
};
use prost::Message as _;
use proto::pb::event::v1::{JudgedBatches, SubmittedBatch, SubmittedReport};
use sqlx::{Connection as _, PgConnection, Row as _};
use tests::{Load, Schema, World, checks::all_is_well, int, report, tonghop};

const REPORTS: usize = 1_500;

/// The stream's place of a message, and whether it says what it is.
fn place(message: &Message) -> u64 {
    let headers = message.headers.as_ref().unwrap();
    assert_eq!(headers.get("content-type").unwrap().as_str(), "application/cloudevents+json");
    message.info().unwrap().stream_sequence
}

/// A system that keeps the last event of each total, as the document tells it to.
struct Follower {
    schema: Schema,
    kept: BTreeMap<String, TotalsEvent>,
    /// What each version that came said, as it was published.
    said: BTreeMap<(String, i64), Vec<u8>>,
    /// The place of the last event that was kept.
    last: u64,
    /// The place of the last event that stood there when this began.
    stood: u64,
    /// Events that said nothing new.
    repeated: usize,
    /// Versions that were never seen, of subjects that were being followed.
    missed: i64,
}

impl Follower {
    fn new() -> Self {
        Self {
            schema: Schema::totals(),
            kept: BTreeMap::new(),
            said: BTreeMap::new(),
            last: 0,
            stood: 0,
            repeated: 0,
            missed: 0,
        }
    }

    /// Connects, reads from the beginning or some way back from where it was, until that is enough, and goes away.
    async fn follow(&mut self, world: &World, back: u64, enough: impl Fn(&Self) -> bool) {
        let client = async_nats::connect(world.nats.url()).await.unwrap();
        let deliver_policy = match self.last {
            0 => DeliverPolicy::LastPerSubject,
            last => DeliverPolicy::ByStartSequence { start_sequence: last + 1 - back },
        };
        let config = pull::Config {
            deliver_policy,
            // "The last of each subject" must be told of which.
            filter_subject: "totals.v1.>".to_owned(),
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer = jetstream::new(client.clone()).create_consumer_on_stream(config, "TOTALS").await.unwrap();
        if self.last == 0 {
            // What stands there may have any version, also where it is read when this comes back.
            let mut stream = jetstream::new(client.clone()).get_stream("TOTALS").await.unwrap();
            self.stood = stream.info().await.unwrap().state.last_sequence;
        }
        let mut messages = consumer.messages().await.unwrap();
        while !enough(self) {
            let message = tokio::time::timeout(tests::PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
            self.take(&message, place(&message) <= self.stood);
        }
        client.drain().await.unwrap();
    }

    fn take(&mut self, message: &Message, any_version: bool) {
        self.schema.check(&message.payload);
        let event: TotalsEvent = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(event.subject, message.subject.as_str());
        let TotalsData { version, previous_version, cause, .. } = &event.data;
        assert_eq!(*previous_version, version - 1, "no version is skipped when published");
        assert!(cause.reports > 0 && cause.listed.len() == cause.reports.min(3), "{event:?}");
        let said = self.said.insert((event.subject.clone(), *version), message.payload.to_vec());
        assert!(
            said.is_none_or(|said| said == *message.payload),
            "a version that comes again says the same: {event:?}"
        );
        self.last = self.last.max(place(message));
        let kept = self.kept.get(&event.subject).map(|kept| kept.data.version);
        if kept.is_some_and(|kept| kept >= *version) {
            self.repeated += 1;
            return;
        }
        if !(any_version && kept.is_none()) {
            self.missed += previous_version - kept.unwrap_or(0);
        }
        self.kept.insert(event.subject.clone(), event);
    }

    /// What the events say: by data set, period, unit and reporting level, counts, sums and contributions.
    fn totals(&self, catalogue: &Catalogue) -> BTreeMap<[String; 4], Total> {
        let mut totals = BTreeMap::new();
        for TotalsEvent { data, .. } in self.kept.values() {
            let cells = catalogue.find_data_set(&data.data_set).unwrap().cells();
            for level in &data.levels {
                let mut total = Total {
                    counts: [level.reported, level.on_time, level.warned],
                    sums: vec![0; cells.len()],
                    contributing: vec![0; cells.len()],
                };
                for given in &level.cells {
                    let is_it = |cell: &domain::catalogue::Cell| {
                        let option = cell.option.as_ref().map(|option| option.code.as_str());
                        cell.element.code.as_str() == given.data_element && option == given.option.as_deref()
                    };
                    let place = cells.iter().position(is_it).unwrap();
                    assert_eq!(cells[place].element.value_type.decimals(), given.decimals);
                    (total.sums[place], total.contributing[place]) = (given.sum.0, given.contributing);
                }
                if total.is_something() {
                    let name = [&data.data_set, &data.period, &data.org_unit, &level.level].map(String::clone);
                    totals.insert(name, total);
                }
            }
        }
        totals
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Total {
    counts: [i64; 3],
    sums: Vec<i64>,
    contributing: Vec<i64>,
}

impl Total {
    fn is_something(&self) -> bool {
        self.counts.iter().chain(&self.sums).chain(&self.contributing).any(|number| *number != 0)
    }
}

/// What the table `total` says, and the version of each unit's totals by their subject.
async fn stored(world: &World) -> (BTreeMap<[String; 4], Total>, BTreeMap<String, i64>) {
    let mut database = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let rows = sqlx::query(
        "SELECT data_set, period, org_unit, level, reported, on_time, warned, sums, contributing, version FROM total",
    );
    let (mut totals, mut versions) = (BTreeMap::new(), BTreeMap::new());
    for row in rows.fetch_all(&mut database).await.unwrap() {
        let name = [0, 1, 2, 3].map(|column| row.get::<String, _>(column));
        let total =
            Total { counts: [4, 5, 6].map(|column| row.get(column)), sums: row.get(7), contributing: row.get(8) };
        let [data_set, period, unit, _] = &name;
        let version = versions.entry(format!("{unit}.{data_set}.{period}")).or_insert(0);
        *version = row.get::<i64, _>(9).max(*version);
        if total.is_something() {
            totals.insert(name, total);
        }
    }
    (totals, versions)
}

/// A follower that comes late, goes away and comes back while reports, corrections and withdrawals come in and the aggregator
/// is killed. In the end it has what the database has. `history` is how many events of each total the stream keeps.
async fn rebuilds_the_database(history: i64) -> Follower {
    let world = World::start().await;
    let mut services = world.services().await;
    let events = tests::Events::follow(&world).await;
    let jetstream = jetstream::new(async_nats::connect(world.nats.url()).await.unwrap());
    let mut stream = jetstream.get_stream("TOTALS").await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_messages_per_subject = history;
    jetstream.update_stream(config).await.unwrap();

    let load = Load::of(REPORTS, 31);
    let sending = services.send(&load.reports);
    sending.allow(REPORTS / 3);
    sending.acknowledged(REPORTS / 3).await;
    world.quiet().await;
    let mut follower = Follower::new();
    let there = stream.info().await.unwrap().state.subjects_count;
    assert!(there > 100, "it comes late: {there} totals stand");

    sending.allow(REPORTS / 3);
    follower.follow(&world, 0, |follower| follower.kept.len() >= usize::try_from(there).unwrap() / 2).await;
    sending.acknowledged(REPORTS / 2).await;
    services.aggregator.kill_hard().await;
    services.aggregator = world.service("aggregator").await;
    let seen = follower.last;
    follower.follow(&world, 0, |follower| follower.last > seen + 200).await;
    sending.allow(REPORTS);
    let sent = sending.finish().await;
    all_is_well(&world, &services, &events, &load, &sent).await;
    let last = stream.info().await.unwrap().state.last_sequence;
    assert!(last > follower.last, "it was away");
    follower.follow(&world, 100, |follower| follower.last >= last).await;

    let (totals, versions) = stored(&world).await;
    assert!(totals.len() > 500, "{} totals", totals.len());
    assert!(totals.keys().any(|[_, period, ..]| period.starts_with("latest")));
    assert_eq!(follower.totals(&world.catalogue), totals);
    let kept = follower.kept.iter();
    let kept: BTreeMap<_, _> =
        kept.map(|(subject, event)| (subject.splitn(4, '.').last().unwrap().to_owned(), event.data.version)).collect();
    assert_eq!(kept, versions);
    services.assert_quiet();
    follower
}

/// Goal: whoever follows TOTALS as the document says, and was away at times, has exactly what the database has, for every
/// unit, period and longer period.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_rebuilds_the_database() {
    Box::pin(rebuilds_the_database(1)).await;
}

/// Goal: versions have no gaps as they are published. A stream that keeps every event shows each version once and in order to
/// whoever follows, also across a kill of the aggregator.
#[tokio::test(flavor = "multi_thread")]
async fn no_version_is_missing_or_reused() {
    let follower = Box::pin(rebuilds_the_database(-1)).await;
    // The last event that was kept comes again, and those before it.
    assert_eq!((follower.missed, follower.repeated > 0), (0, true));
}

/// All events of FATES, from the first.
async fn fates(world: &World) -> Vec<FatesEvent> {
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    let mut stream = jetstream::new(client).get_stream("FATES").await.unwrap();
    let there = stream.info().await.unwrap().state.messages;
    let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
    let mut messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let schema = Schema::fates();
    let mut events = Vec::new();
    for _ in 0..there {
        let message = tokio::time::timeout(tests::PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
        schema.check(&message.payload);
        let event: FatesEvent = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(event.subject, message.subject.as_str());
        assert!(place(&message) > 0);
        events.push(event);
    }
    events
}

/// Place in the log, fate, submission id and what the report says it is about.
type Told = ((i64, i32), (String, String, [String; 3]));

/// Goal: the back office of each province hears what became of each of its reports, and hears nothing of others'; also where
/// the aggregator is killed while fates wait to be published. What names no unit there is goes to nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn back_offices_hear_every_fate() {
    let world = World::start().await;
    let mut services = world.services().await;
    let events = tests::Events::follow(&world).await;
    let load = Load::of(REPORTS, 32);
    let sending = services.send(&load.reports);
    sending.allow(REPORTS * 2 / 3);
    // What is in the outbox may be published or not.
    services.aggregator.kill_at_work(async || world.store.outbox_length().await.unwrap() > 0).await;
    assert!(world.store.outbox_length().await.unwrap() > 0, "its events are there");
    services.aggregator.assert_quiet();
    services.aggregator = world.service("aggregator").await;
    let sent = sending.finish().await;
    all_is_well(&world, &services, &events, &load, &sent).await;
    let nobody = [
        report("99999", 1, vec![int("id_eligible_citizens", 1)]),
        proto::pb::report::v1::Report { data_set: "nothing".into(), ..report("31498", 1, vec![]) },
        proto::pb::report::v1::Report { period: "soon".into(), ..report("BCA", 1, vec![]) },
    ];
    let batch: Vec<u8> = nobody
        .iter()
        .map(|report| SubmittedReport {
            report: Some(report.clone()),
            received_at_micros: 1_669_000_000_000_000,
            principal: tests::EVERYBODY.into(),
            traceparent: String::new(),
        })
        .flat_map(|submitted| proto::event::encode_submitted(&submitted))
        .collect();
    let message = Outgoing {
        subject: subjects::submitted(0),
        message_id: "nobody".into(),
        content_type: None,
        payload: batch.into(),
    };
    world.publish_sealed(&message).await;
    world.quiet().await;
    let settled = i64::try_from(sent.acknowledged.len() + nobody.len()).unwrap();
    world.settled(settled).await;

    let mut told: BTreeMap<_, _> = BTreeMap::new();
    let mut where_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let events = fates(&world).await;
    for event in &events {
        let subject = format!("reports.v1.{}.{}.{}", event.data.province, event.data.data_set, event.data.fate);
        assert_eq!(
            event.subject,
            subject.to_lowercase().replace(&event.data.province.to_lowercase(), &event.data.province)
        );
        for report in &event.data.reports {
            let place = (i64::try_from(report.log_sequence).unwrap(), i32::try_from(report.log_index).unwrap());
            let about = [&report.org_unit, &report.data_set, &report.period].map(String::clone);
            let fate = (event.data.fate.clone(), report.submission_id.clone().unwrap_or_default(), about);
            // An event may come twice, and says the same then.
            let mark = (event.id.clone(), fate);
            let before = told.entry(place).or_insert_with(|| mark.clone());
            assert_eq!(*before, mark, "{place:?} is told in two events");
            let is_error = |why: &messaging::fates::ViolationOf| why.severity == "ERROR";
            assert_eq!(event.data.fate == "REJECTED", report.violations.iter().any(is_error), "{report:?}");
            assert!(report.violations.iter().all(|why| !why.message_vi.is_empty() && !why.message_en.is_empty()));
            let units = where_of.entry(event.data.province.clone()).or_default();
            units.insert(report.org_unit.clone());
        }
    }
    let mut database = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let rows = sqlx::query(
        "SELECT log_sequence, log_index, fate, coalesce(submission_id::text, ''), org_unit, data_set, period FROM submission",
    );
    let ledger: BTreeMap<_, _> = rows
        .fetch_all(&mut database)
        .await
        .unwrap()
        .iter()
        .map(|row| -> Told {
            ((row.get(0), row.get(1)), (row.get(2), row.get(3), [4, 5, 6].map(|column| row.get::<String, _>(column))))
        })
        .collect();
    let told: BTreeMap<_, _> = told.into_iter().map(|(place, (_, fate))| (place, fate)).collect();
    assert_eq!(told, ledger);
    assert!(events.len() < told.len() / 2, "{} events tell {} fates", events.len(), told.len());

    let units = tests::OrgUnits::read();
    let strangers = BTreeSet::from(["99999".to_owned()]);
    assert_eq!(where_of.remove(subjects::UNKNOWN), Some(strangers));
    assert_eq!(where_of.remove("BCA"), Some(BTreeSet::from(["BCA".to_owned()])));
    assert_eq!(where_of.len(), 6, "the provinces of the load");
    for (province, of_it) in &where_of {
        assert!(of_it.iter().all(|unit| units.upwards(unit).contains(&province.as_str())), "{province}: {of_it:?}");
    }
    let unknown_form = events.iter().find(|event| event.data.data_set == subjects::UNKNOWN).unwrap();
    assert_eq!(unknown_form.subject, "reports.v1.94._.rejected");
    services.assert_quiet();
}

/// The submissions in REPORTS, and those that VERDICTS judges. A message that none of our services writes fails: one without a
/// report, one that cannot be read, one on a subject of its own.
async fn logged(world: &World) -> (BTreeSet<String>, BTreeSet<String>) {
    let jetstream = jetstream::new(async_nats::connect(world.nats.url()).await.unwrap());
    let messages = async |name: &str| {
        let mut stream = jetstream.get_stream(name).await.unwrap();
        let state = stream.info().await.unwrap().state.clone();
        let mut messages = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            messages.push(stream.get_raw_message(sequence).await.unwrap());
        }
        messages
    };
    let (mut submitted, mut judged) = (BTreeSet::new(), BTreeSet::new());
    for message in messages("REPORTS").await {
        let batch = SubmittedBatch::decode(message.payload).unwrap();
        assert!(!batch.reports.is_empty(), "{}", message.subject);
        submitted.extend(batch.reports.into_iter().map(|submitted| submitted.report.unwrap().submission_id));
    }
    for message in messages("VERDICTS").await {
        assert!(message.subject.starts_with("reports.accepted."), "{}", message.subject);
        let id = |bytes: &[u8]| uuid::Uuid::from_slice(bytes).unwrap().to_string();
        for batch in JudgedBatches::decode(message.payload).unwrap().batches {
            assert!(!batch.accepted.is_empty() && batch.rejected.is_empty(), "{}", message.subject);
            judged.extend(batch.accepted.iter().map(|accepted| id(&accepted.submission_id)));
        }
    }
    (submitted, judged)
}

/// Goal: a partner of a province follows the totals of its province and what becomes of its reports, from the last event of
/// each total on and across its own absence, and can do nothing else, whatever it asks for.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_follows_its_province_and_nothing_else() {
    let world = World::start().await;
    let services = world.services().await;
    let catalogue = tests::catalogue_dir();
    let catalogue = catalogue.to_str().unwrap();
    let of_94 = ["--province", "94", "--fates", "--catalogue", catalogue];
    let layout = world.keys.layout().clone();
    let keys = &layout;
    let write = [&["nats", "partner", "--json", "--keys", keys.dir().to_str().unwrap()], &of_94[..]].concat();
    let seed = async || {
        let written = tonghop(0, &write).await.object();
        assert_eq!(written["partners"], serde_json::json!(["partner_94"]));
        std::fs::read_to_string(keys.nats_seed("partner_94")).unwrap()
    };
    let (seed, again) = (seed().await, seed().await);
    assert_eq!(seed, again, "a partner keeps its key");
    // The services go on meanwhile.
    world.nats.reload().await.unwrap();
    let partner = || {
        let options = async_nats::ConnectOptions::with_nkey(seed.trim().to_owned());
        options.add_root_certificates(keys.ca()).require_tls(true)
    };
    let nats = world.nats.url();
    let make = [&["nats", "consumers", "--json", "--nats", &nats], &of_94[..]].concat();
    for _ in 0..2 {
        let made = tonghop(0, &make).await.object();
        assert_eq!(made, serde_json::json!({ "consumer": "partner_94", "streams": ["TOTALS", "FATES"] }));
    }
    let mut ours = BTreeSet::new();
    let mut submit = async |unit: &str, revision, value| {
        let report = report(unit, revision, vec![int("id_eligible_citizens", value)]);
        services.submit(&report).await.unwrap();
        ours.insert(report.submission_id);
    };
    for (unit, value) in [("31498", 1), ("31501", 10), ("00001", 100)] {
        submit(unit, 1, value).await;
        submit(unit, 2, value).await;
    }
    world.settled(6).await;

    let as_partner = async || {
        let (told, heard) = tokio::sync::mpsc::unbounded_channel();
        let options = partner().event_callback(move |event| {
            let told = told.clone();
            async move {
                let _ = told.send(event.to_string());
            }
        });
        (options.connect(world.nats.tls_url()).await.unwrap(), heard)
    };
    // What a consumer has for it now, acknowledged.
    let read = async |stream: &str| {
        let (client, _) = as_partner().await;
        let jetstream = jetstream::with_prefix(client.clone(), "tonghop.API");
        let consumer: jetstream::consumer::PullConsumer =
            jetstream.get_consumer_from_stream("partner_94", stream).await.unwrap();
        let mut messages = consumer.batch().max_messages(500).expires(Duration::from_secs(1)).messages().await.unwrap();
        let mut subjects = BTreeSet::new();
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            let is_new = subjects.insert(message.subject.to_string());
            assert!(is_new || stream == "FATES", "{} came twice", message.subject);
            message.double_ack().await.unwrap();
        }
        client.drain().await.unwrap();
        subjects
    };
    let its_own: BTreeSet<String> = ["202211", "2022Q4", "2022S2", "2022"]
        .iter()
        .flat_map(|period| ["province.94", "district.941"].map(|unit| format!("totals.v1.{unit}.identity.{period}")))
        .collect();
    let seen = read("TOTALS").await;
    let without_latest = seen.iter().filter(|subject| !subject.contains(".latest")).cloned().collect();
    assert_eq!((&its_own, seen.len()), (&without_latest, its_own.len() + 2));
    // A first revision that is judged after its correction is superseded.
    let subject = |fate| subjects::fates(Some(&"94".parse().unwrap()), Some(&"identity".parse().unwrap()), fate);
    let (accepted, superseded) = (subject(Fate::Accepted), subject(Fate::Superseded));
    let mut fates = read("FATES").await;
    fates.remove(&superseded);
    assert_eq!(fates, [accepted].into());
    // While it was away another commune of a district reported, and one elsewhere.
    for unit in ["31504", "00004"] {
        submit(unit, 1, 1_000).await;
    }
    world.settled(8).await;
    assert_eq!(read("TOTALS").await, seen);
    assert_eq!(read("TOTALS").await, BTreeSet::new(), "all is acknowledged");
    tonghop(0, &[&make[..], &["--anew"]].concat()).await;
    assert_eq!(read("TOTALS").await, seen, "begun again");

    let (client, mut heard) = as_partner().await;
    let get = async |subject: &str| {
        let request = client.request(format!("tonghop.API.DIRECT.GET.TOTALS.{subject}"), "".into());
        tokio::time::timeout(Duration::from_secs(1), request).await.ok().and_then(Result::ok)
    };
    let answer = get("totals.v1.province.94.identity.202211").await.unwrap();
    let event: TotalsEvent = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(event.data.org_unit, "94");
    let refused = [
        "tonghop.API.DIRECT.GET.TOTALS.totals.v1.province.01.identity.202211",
        "tonghop.API.DIRECT.GET.TOTALS.totals.v1.national.VN.identity.202211",
        "tonghop.API.DIRECT.GET.TOTALS.totals.v1.district.001.identity.202211",
        "tonghop.API.DIRECT.GET.TOTALS",
        "tonghop.API.DIRECT.GET.REPORTS",
        "tonghop.API.STREAM.MSG.GET.TOTALS",
        "tonghop.API.STREAM.INFO.TOTALS",
        "tonghop.API.STREAM.CREATE.MINE",
        "tonghop.API.CONSUMER.CREATE.TOTALS.mine",
        "tonghop.API.CONSUMER.DURABLE.CREATE.TOTALS.mine",
        "tonghop.API.CONSUMER.DELETE.TOTALS.partner_94",
        "tonghop.API.CONSUMER.MSG.NEXT.REPORTS.validator",
        "$JS.API.STREAM.CREATE.MINE",
        "$JS.API.STREAM.DELETE.TOTALS",
        "$JS.API.CONSUMER.CREATE.VERDICTS.mine",
        "$JS.API.DIRECT.GET.TOTALS.totals.v1.province.94.identity.202211",
        "$JS.ACK.REPORTS.validator.1.1.1.1.1",
        "reports.submitted.0",
        "reports.accepted.0",
        "totals.v1.province.94.identity.202211",
        "anything",
    ];
    for subject in refused {
        client.publish_with_reply(subject, client.new_inbox(), "{}".into()).await.unwrap();
    }
    // What it may ask, with one of our subjects for the answer, brings nothing there.
    let reflected = "tonghop.API.CONSUMER.MSG.NEXT.TOTALS.partner_94";
    client.publish_with_reply(reflected, "reports.submitted.0", r#"{"batch":1,"no_wait":true}"#.into()).await.unwrap();
    let listening = ["totals.v1.>", "reports.>", "$JS.>", ">"];
    let mut subscriptions = Vec::new();
    for subject in listening {
        subscriptions.push(client.subscribe(subject).await.unwrap());
    }
    client.flush().await.unwrap();
    let mut violations = BTreeSet::new();
    while violations.len() < refused.len() + listening.len() {
        let told = tokio::time::timeout(tests::PATIENCE, heard.recv()).await;
        let told = told.unwrap_or_else(|_| panic!("not all is refused: {violations:#?}")).unwrap();
        if told.to_lowercase().contains("permissions violation") {
            violations.insert(told);
        }
    }
    submit("00007", 1, 1).await;
    world.settled(9).await;
    for (mut subscription, subject) in subscriptions.into_iter().zip(listening) {
        let message = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await;
        assert!(!matches!(message, Ok(Some(_))), "{subject}");
    }
    world.quiet().await;
    let (submitted, judged) = logged(&world).await;
    assert_eq!((&submitted, &judged), (&ours, &ours), "our own reports alone");
    world.verified().await;

    // A partner that is named no more is out.
    let (flag, of_01) = ("--province", "01");
    tonghop(0, &[&write[..write.len() - of_94.len()], &[flag, of_01, "--catalogue", catalogue]].concat()).await;
    world.nats.reload().await.unwrap();
    assert!(partner().connect(world.nats.tls_url()).await.is_err());
    services.assert_quiet();
}
