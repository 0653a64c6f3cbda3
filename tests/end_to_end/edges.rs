//! The edges of the system: connections that grow old, senders and readers who ask for more than their share, and peers that
//! do not believe each other.

use std::time::{Duration, Instant};

use client::{CertificateFiles, Credentials};
use domain::access::Action;
use proto::pb::collector::v1::{SubmitRequest, SubmitStreamRequest, submit_stream_response::Outcome};
use proto::pb::query::v1::GetTotalsRequest;
use tests::{Caller, Events, Load, World, checks::all_is_well, eventually, int, report, tonghop, tonghop_with};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Connections that live for less than a second.
const SHORT: &str = "grpc.limits.max_connection_age = \"500ms\"\ngrpc.limits.max_connection_age_grace = \"200ms\"";

/// Goal: a stream that outlives its connection is cut off; its sender goes on with another one, and every report counts once.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_connections_grow_old() {
    const STEPS: usize = 30;
    let world = World::start().await;
    let services = world.services_with(SHORT).await;
    let events = Events::follow(&world).await;
    let load = Load::of(10 * STEPS, 21);
    let sending = services.send(&load.reports);
    let pace = Duration::from_millis(100);
    for _ in 0..STEPS {
        sending.allow(10);
        tokio::time::sleep(pace).await;
    }
    let sent = sending.finish().await;
    assert!(!sent.broken.is_empty(), "no connection grew old");
    all_is_well(&world, &services, &events, &load, &sent).await;
}

/// Goal: whoever watches totals goes on when the connection has grown old, and misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlives_its_connection() {
    const VERSIONS: usize = 5;
    let world = World::start().await;
    let mut services = world.services().await;
    services.query = world.service_with("query", SHORT).await;
    let query = services.query.address();
    let count = VERSIONS.to_string();
    let watch = ["watch", "--query", &query, "VN", "identity", "202211", "--count", &count, "--json", "--lang", "en"];
    let watching = tonghop_with(&world.credentials, 0, &watch);
    let reporting = async {
        // However late it begins, and however many pass while it connects again.
        for revision in 1.. {
            let report = report("31498", revision, vec![int("id_eligible_citizens", revision)]);
            services.submit(&report).await.unwrap();
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    };
    let watched = tokio::select! {
        watched = watching => watched,
        () = reporting => unreachable!("there is always a next revision"),
    };
    let versions: Vec<_> = watched.objects().iter().filter_map(|line| line["version"].as_u64()).collect();
    assert!(versions.len() == VERSIONS && versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    assert!(watched.stderr.contains("connecting again"), "no connection grew old: {}", watched.stderr);
}

fn refused(status: &Status, expected: &str, principal: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, expected);
    assert_eq!(details.quota_failure().unwrap().violations[0].subject, format!("principal:{principal}"));
    let pause = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(pause > Duration::ZERO && pause <= Duration::from_secs(1), "{pause:?}");
    assert!(details.localized_message().unwrap().message.starts_with("Bạn "));
}

/// Goal: a sender who sends too fast, or opens too many streams, is told so and when to come again, or is read more slowly;
/// another notices nothing. So is a reader who asks too often.
#[tokio::test(flavor = "multi_thread")]
async fn one_does_not_take_from_the_others() {
    let world = World::start().await;
    for principal in ["greedy", "modest"] {
        world.keys.grant_all(principal, &[Action::Submit, Action::Read]).unwrap();
    }
    let limits =
        "limits.reports_per_second_of_one = 2\nlimits.reports_at_once_of_one = 3\nlimits.max_streams_of_one = 1";
    let mut services = world.services_with(limits).await;
    let limits = "limits.calls_per_second_of_one = 2\nlimits.calls_at_once_of_one = 3";
    services.query = world.service_with("query", limits).await;
    let (greedy, modest) = (services.as_principal("greedy").await, services.as_principal("modest").await);

    let submit = async |caller: &Caller, unit: &str| {
        let report = Some(report(unit, 1, vec![int("id_eligible_citizens", 1)]));
        caller.sender.clone().submit(SubmitRequest { report }).await
    };
    let mut taken = 0;
    let status = loop {
        match submit(&greedy, ["31498", "31501", "31504", "31507"][taken % 4]).await {
            Ok(_) => taken += 1,
            Err(status) => break status,
        }
        assert!(taken < 100, "nobody says anything");
    };
    refused(&status, "TOO_MANY_REPORTS", "greedy");
    submit(&modest, "31510").await.unwrap();

    let nothing = || tokio_stream::pending::<SubmitStreamRequest>();
    let open = greedy.sender.clone().submit_stream(nothing()).await.unwrap();
    let status = greedy.sender.clone().submit_stream(nothing()).await.unwrap_err();
    refused(&status, "TOO_MANY_STREAMS", "greedy");
    drop(open);

    let requests = (0..8).map(|revision| SubmitStreamRequest {
        report: Some(report("31513", revision, vec![int("id_eligible_citizens", 1)])),
    });
    let began = Instant::now();
    let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
    let mut receipts = modest.sender.clone().submit_stream(requests).await.unwrap().into_inner();
    let mut acknowledged = 0;
    while let Some(receipt) = receipts.message().await.unwrap() {
        assert!(matches!(receipt.outcome, Some(Outcome::Acknowledgement(_))), "{receipt:?}");
        acknowledged += 1;
    }
    assert_eq!(acknowledged, 8);
    assert!(began.elapsed() >= Duration::from_secs(2), "they were not slowed down");

    let ask = async |caller: &Caller| {
        let question = GetTotalsRequest {
            org_unit: "VN".to_owned(),
            data_set: "identity".to_owned(),
            period: "202211".to_owned(),
            ..GetTotalsRequest::default()
        };
        caller.reader.clone().get_totals(question).await
    };
    let status = loop {
        if let Err(status) = ask(&greedy).await {
            break status;
        }
    };
    refused(&status, "TOO_MANY_CALLS", "greedy");
    ask(&modest).await.unwrap();
    services.assert_quiet();
}

/// Goal: a token is as good as a certificate, and whoever does not believe, or is not believed, is told in one sentence what
/// is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_do_not_believe_each_other_are_told_why() {
    let (world, other) = (World::start().await, tests::World::start().await);
    let services = world.services().await;
    let address = services.query.address();
    let ask = ["totals", "--query", &address, "VN", "identity", "202211", "--json", "--lang", "en"];
    let totals = tonghop_with(&world.keys.token(tests::EVERYBODY).unwrap(), 0, &ask).await.object();
    assert_eq!(totals["data_set"], "identity");

    let of_other = Credentials { ca: other.credentials.ca.clone(), ..world.credentials.clone() };
    let stranger = Credentials { certificate: other.credentials.certificate.clone(), ..world.credentials.clone() };
    let nobody = Credentials { certificate: None, ..world.credentials.clone() };
    let nowhere = CertificateFiles { certificate: "/nowhere.pem".into(), key: "/nowhere.key".into() };
    let without_file = Credentials { certificate: Some(nowhere), ..world.credentials.clone() };
    for (credentials, reason, says) in [
        (of_other, "NOT_TRUSTED", "of an authority that is not known here (see --ca, TONGHOP_CA)"),
        (stranger, "NOT_TRUSTED", "it does not accept the client's certificate (see --cert, TONGHOP_CERT)"),
        (nobody, "CREDENTIALS_MISSING", ""),
        (without_file, "UNREACHABLE", "cannot read /nowhere.pem: No such file or directory"),
    ] {
        // The end of the connection may overtake the server's word on why (TLS 1.3 refuses after the client is done): then all that
        // can be told is that it broke. Not every time.
        let ran = eventually("it is told why", async || {
            let ran = tonghop_with(&credentials, 1, &ask).await;
            if ran.object()["error"]["reason"] == "CANCELLED" { Err(ran) } else { Ok(ran) }
        })
        .await;
        assert_eq!(ran.object()["error"]["reason"], reason, "{ran:?}");
        assert!(ran.stderr.contains(says) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
    let plain = address.replace("https://", "http://");
    let ran = tonghop(2, &["totals", "--query", &plain, "VN", "identity", "202211"]).await;
    assert!(ran.stderr.contains("must begin with https://"), "{}", ran.stderr);
    services.assert_quiet();
}
