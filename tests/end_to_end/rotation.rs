//! Keys that sign are changed while everything runs: what they signed is good until they are retired, and not a moment longer than it
//! takes to be noticed.

use access::{grants, seal::Sealer};
use client::Credentials;
use domain::access::{Action, Grant};
use messaging::{Outgoing, Publisher, subjects};
use proto::pb::{collector::v1::SubmitRequest, event::v1::SubmittedReport, report::v1::Report};
use tests::{Caller, World, eventually, int, report, tonghop};
use time::macros::date;
use tonic::Status;
use tonic_types::StatusExt as _;

const SENDER: &str = "tinh-94";

/// A world in which [`SENDER`] may report for province 94.
async fn world() -> World {
    let world = World::start().await;
    let grant = Grant {
        principal: SENDER.parse().unwrap(),
        action: Action::Submit,
        org_unit: Some("94".parse().unwrap()),
        data_sets: None,
        from: date!(2020 - 01 - 01),
        until: None,
    };
    assert_eq!(grants::add(world.keys.layout(), vec![grant]).unwrap(), 1);
    world
}

fn citizens(org_unit: &str) -> Report {
    report(org_unit, 1, vec![int("id_eligible_citizens", 10)])
}

async fn submit(caller: &Caller, report: &Report) -> Result<(), Status> {
    let request = SubmitRequest { report: Some(report.clone()) };
    caller.sender.clone().submit(request).await.map(|_| ())
}

/// Waits until a service has noticed, and gives the stable reason.
async fn becomes_refused(caller: &Caller, report: &Report) -> String {
    eventually("it is refused", async || match submit(caller, report).await {
        Ok(()) => Err("it is taken"),
        Err(status) => Ok(status.get_error_details().error_info().unwrap().reason.clone()),
    })
    .await
}

/// What `tonghop auth …` prints.
async fn auth(world: &World, code: i32, command: &[&str]) -> serde_json::Value {
    let keys = world.keys.layout().dir().to_str().unwrap();
    let ran = tonghop(code, &[&["auth"], command, &["--keys", keys, "--json"]].concat()).await;
    ran.object()
}

/// The ids of the keys that sign something: those of before, and the one that signs.
async fn keys(world: &World, signs: &str) -> (Vec<String>, String) {
    let listed = auth(world, 0, &["list", "keys"]).await;
    let of = |current: bool| {
        let keys = listed["keys"].as_array().unwrap().iter();
        let keys = keys.filter(move |key| key["signs"] == signs && key["is_current"] == current);
        keys.map(|key| key["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    (of(false), of(true).pop().unwrap())
}

/// Goal: tokens of the old key are good beside those of the new one, and worthless once it is retired, also on a connection that
/// stands.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_tokens_is_changed() {
    let world = world().await;
    let services = world.services().await;
    let with_token = async || services.with(&world.keys.token(SENDER).unwrap()).await;
    let old = with_token().await;
    submit(&old, &citizens("31498")).await.unwrap();
    let (none, first) = keys(&world, "tokens").await;
    assert_eq!(none, Vec::<String>::new());
    let refused = auth(&world, 1, &["retire", "tokens", &first]).await;
    assert!(refused["error"]["message_en"].as_str().unwrap().contains("signs still"), "{refused}");

    let second = auth(&world, 0, &["rotate", "tokens"]).await["id"].as_str().unwrap().to_owned();
    assert_eq!(keys(&world, "tokens").await, (vec![first.clone()], second));
    let new = with_token().await;
    let report = citizens("31501");
    eventually("the new key is known", || submit(&new, &report)).await;
    submit(&old, &citizens("31504")).await.unwrap();
    auth(&world, 0, &["retire", "tokens", &first]).await;
    assert_eq!(becomes_refused(&old, &citizens("31504")).await, "CREDENTIALS_INVALID");
    submit(&new, &citizens("31507")).await.unwrap();
    services.assert_quiet();
}

/// Goal: a collector takes up its new seal by itself; what it sealed before counts until the old one is retired, and is put aside after.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_seals_is_changed() {
    let world = world().await;
    let mut services = world.services().await;
    let old = Sealer::open(&world.keys.layout().seal_key()).unwrap();
    let sealed_before = async |org_unit: &str| {
        let submitted = SubmittedReport {
            report: Some(citizens(org_unit)),
            received_at_micros: 1_700_000_000_000_000,
            principal: SENDER.to_owned(),
            traceparent: String::new(),
        };
        let payload = proto::event::encode_submitted(&submitted);
        let (seal, message_id) = (old.seal(&payload).unwrap(), uuid::Uuid::now_v7().to_string());
        let subject = subjects::submitted(0);
        let message = Outgoing { subject, message_id, content_type: None, payload: payload.into() };
        Publisher::new(world.connection.clone()).publish_sealed(&message, &seal).await.unwrap();
    };
    sealed_before("31498").await;
    world.settled(1).await;
    let (_, first) = keys(&world, "seal").await;
    auth(&world, 0, &["rotate", "seal"]).await;
    services.collector.logged("another key seals from now on").await;
    let sender = services.as_principal(SENDER).await;
    submit(&sender, &citizens("31501")).await.unwrap();
    sealed_before("31504").await;
    world.settled(3).await;

    auth(&world, 0, &["retire", "seal", &first]).await;
    eventually("the old seal is not believed", async || {
        sealed_before("31507").await;
        let told = "a submitted batch cannot be read; it is quarantined";
        if services.validator.said(told) > 0 { Ok(()) } else { Err("it is") }
    })
    .await;
    submit(&sender, &citizens("31510")).await.unwrap();
    world.quiet().await;
    // Those that came before the validator had noticed are good, and one submission each.
    let counts = world.store.fate_counts().await.unwrap();
    assert!(counts.accepted >= 4 && counts.rejected == 0, "{counts:?}");
    services.collector.assert_quiet();
    services.aggregator.logged("a message could not be read; it is kept in quarantine").await;
}

/// Goal: certificates of the old authority are good beside those of the new one. The servers' are made anew when everybody has the new
/// authority's, and only then can the old one be retired: then whoever shows a certificate of it is refused, and everything else
/// goes on, also over new connections to NATS and PostgreSQL. Nothing of ours is restarted.
#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_changed() {
    let mut world = world().await;
    let services = world.services().await;
    // As they were handed out: with the authority of that day.
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(world.keys.layout().ca(), ca.path()).unwrap();
    let before = Credentials { ca: Some(ca.path().to_owned()), ..world.keys.credentials(SENDER).unwrap() };
    let old = services.with(&before).await;
    submit(&old, &citizens("31498")).await.unwrap();
    let (_, first) = keys(&world, "ca").await;
    auth(&world, 0, &["rotate", "ca"]).await;

    let report = citizens("31501");
    let after = world.keys.credentials(SENDER).unwrap();
    eventually("certificates of the new authority are believed", async || {
        let channel =
            services.collector.door().with(after.clone()).connect().await.map_err(|error| error.to_string())?;
        let mut sender = proto::pb::collector::v1::collector_service_client::CollectorServiceClient::new(channel);
        let request = SubmitRequest { report: Some(report.clone()) };
        sender.submit(request).await.map_err(|status| status.to_string())
    })
    .await;
    submit(&services.with(&before).await, &citizens("31504")).await.unwrap();
    let refused = auth(&world, 1, &["retire", "ca", &first]).await;
    let why = refused["error"]["message_en"].as_str().unwrap();
    assert!(why.contains("server.pem is a certificate of") && why.contains("auth init --renew"), "{why}");

    let made = auth(&world, 0, &["init", "--renew"]).await["made"].clone();
    assert_eq!(made.as_array().unwrap().len(), 2 * 4 + 2, "servers and operator: {made}");
    world.nats.reload().await.unwrap();
    world.postgres.restart().await.unwrap();
    auth(&world, 0, &["retire", "ca", &first]).await;
    assert_eq!(becomes_refused(&old, &citizens("31504")).await, "CREDENTIALS_INVALID");

    // Who believes the new authority alone, and is believed.
    let new = world.keys.credentials(SENDER).unwrap();
    let caller = eventually("the servers show certificates of the new authority", async || {
        let [collector, query] = [&services.collector, &services.query].map(|service| service.door().with(new.clone()));
        query.connect().await.map_err(|error| error.to_string())?;
        collector.connect().await.map_err(|error| error.to_string())
    })
    .await;
    let sender = proto::pb::collector::v1::collector_service_client::CollectorServiceClient::new(caller);
    world.nats.restart().await.unwrap();
    world.postgres.restart().await.unwrap();
    let report = citizens("31507");
    eventually("reports are taken", async || {
        sender.clone().submit(SubmitRequest { report: Some(report.clone()) }).await.map(|_| ())
    })
    .await;
    eventually("and counted", async || match world.store.fate_counts().await {
        // While it was not refused yet, the same was reported again.
        Ok(counts) if counts.accepted == 4 && counts.rejected == 0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    world.verified().await;
}
