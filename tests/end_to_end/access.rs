//! Who may do what: strangers, revoked and ended rights, other people's units, and whoever gets past the collector.

use std::{
    fmt::Debug,
    future::Future,
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering},
};

use access::{
    Authority, grants,
    revocations::{self, Revocation, Subject},
    seal::Sealer,
};
use client::{CertificateFiles, Credentials};
use domain::{
    SubmissionId,
    access::{Action, Grant, PrincipalName},
    settle::Fate,
};
use messaging::{Outgoing, Publisher, subjects};
use proto::pb::{
    collector::v1::{SubmitRequest, SubmitStreamRequest, submit_stream_response::Outcome},
    event::v1::SubmittedReport,
    query::v1::{
        BatchGetTotalsRequest, CellName, GetCatalogueRequest, GetReportRequest, GetSeriesRequest, GetSeriesResponse,
        GetSubmissionRequest, GetTotalsRequest, ListBreakdownRequest, ListChildTotalsRequest, ListContributionsRequest,
        ListOrgUnitsRequest, ListReportsRequest, WatchManyRequest, WatchTotalsRequest,
    },
    report::v1::Report,
};
use runtime::{Clock as _, SystemClock};
use tests::{Caller, EVERYBODY, World, eventually, int, report, tonghop};
use time::{Date, Duration, macros::date};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

const LONG_AGO: Date = date!(2020 - 01 - 01);

fn citizens(org_unit: &str) -> Report {
    report(org_unit, 1, vec![int("id_eligible_citizens", 10)])
}

/// What a principal may do with a unit and all below it, for good.
fn grant(principal: &str, action: Action, org_unit: &str) -> Grant {
    Grant {
        principal: principal.parse().unwrap(),
        action,
        org_unit: Some(org_unit.parse().unwrap()),
        data_sets: None,
        from: LONG_AGO,
        until: None,
    }
}

fn granted(world: &World, more: Vec<Grant>) {
    let count = more.len();
    assert_eq!(grants::add(world.keys.layout(), more).unwrap(), count);
}

async fn submit(caller: &Caller, report: &Report) -> Result<(), Status> {
    let answer = caller.sender.clone().submit(SubmitRequest { report: Some(report.clone()) }).await?;
    assert!(answer.into_inner().acknowledgement.is_some());
    Ok(())
}

async fn totals(caller: &Caller, org_unit: &str) -> Result<(), Status> {
    caller.reader.clone().get_totals(asked(org_unit)).await.map(|_| ())
}

fn asked(org_unit: &str) -> GetTotalsRequest {
    GetTotalsRequest {
        org_unit: org_unit.to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        ..GetTotalsRequest::default()
    }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    assert!(details.localized_message().is_some(), "{status:?} says it in Vietnamese too");
    details.error_info().unwrap().reason.clone()
}

/// Fails unless it was refused for that reason, in these words.
fn refused<T: Debug>(answer: Result<T, Status>, code: Code, why: &str, words: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{status:?}");
    assert!(status.message().contains(words), "{status:?}");
}

fn not_granted<T: Debug>(answer: Result<T, Status>, words: &str) {
    refused(answer, Code::PermissionDenied, "NOT_GRANTED", words);
}

/// Waits until a service has seen what was changed: it is refused.
async fn becomes_refused<T: Debug, F: Future<Output = Result<T, Status>>>(attempt: impl Fn() -> F) -> Status {
    eventually("it is refused", || async {
        match attempt().await {
            Ok(answer) => Err(format!("{answer:?}")),
            Err(status) => Ok(status),
        }
    })
    .await
}

/// Waits until the audit log has each of these: the service that refused, why, and whose credentials or rights it was about, which is
/// empty where nobody has proved to be anybody. Everybody comes from this machine.
async fn written_down(world: &World, wanted: &[(&str, &str, &str)]) {
    let url = world.postgres.url();
    eventually("who was turned away is in the audit log", async || {
        let arguments = ["audit", "show", "--only", "refused", "--most", "10000", "--database", &url, "--json"];
        let entries = tonghop(0, &arguments).await.objects();
        let rows: Vec<Vec<String>> = entries
            .iter()
            .map(|entry| {
                entry["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap().to_owned()).collect()
            })
            .collect();
        let is_there = |(door, reason, principal): &(&str, &str, &str)| {
            rows.iter().any(|row| {
                let [_, who, why, .., service, peer, times] = &row[..] else { return false };
                (service == door, why == reason, who == principal, peer == "127.0.0.1", times != "0")
                    == (true, true, true, true, true)
            })
        };
        let missing: Vec<_> = wanted.iter().filter(|wanted| !is_there(wanted)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} in {rows:?}")) }
    })
    .await;
}

/// Goal: a commune reports for itself, a province for what is below it, each as far as its grant goes and no further; nothing
/// that was refused is in the log, and what was taken says who sent it.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_reports_for_whom_they_may() {
    let world = World::start().await;
    let province = || grant("tinh-94", Action::Submit, "94");
    granted(
        &world,
        vec![
            grant("xa-31498", Action::Submit, "31498"),
            province(),
            Grant { principal: "het-han".parse().unwrap(), until: Some(date!(2021 - 12 - 31)), ..province() },
            Grant { from: date!(2090 - 01 - 01), ..grant("chua-den", Action::Submit, "VN") },
            Grant {
                principal: "mot-bieu".parse().unwrap(),
                data_sets: Some(vec!["organisation".parse().unwrap()]),
                ..province()
            },
            grant("nguoi-doc", Action::Read, "94"),
        ],
    );
    let services = world.services().await;

    let commune = services.as_principal("xa-31498").await;
    let own = citizens("31498");
    submit(&commune, &own).await.unwrap();
    not_granted(submit(&commune, &citizens("31501")).await, "xa-31498 may not submit for org unit 31501");
    not_granted(submit(&commune, &citizens("00001")).await, "org unit 00001");

    let province = services.as_principal("tinh-94").await;
    let below = citizens("31501");
    submit(&province, &below).await.unwrap();
    let requests = ["31504", "00001"].map(|unit| SubmitStreamRequest { report: Some(citizens(unit)) });
    let mut receipts = province.sender.clone().submit_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut outcomes = [None, None];
    while let Some(receipt) = receipts.message().await.unwrap() {
        outcomes[usize::try_from(receipt.index).unwrap()] = receipt.outcome;
    }
    assert!(matches!(outcomes[0], Some(Outcome::Acknowledgement(_))), "{outcomes:?}");
    let Some(Outcome::Refusal(refusal)) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!((refusal.code, refusal.reason.as_str()), (i32::from(Code::PermissionDenied), "NOT_GRANTED"));
    assert!(refusal.message_vi.contains("“tinh-94” không được cấp quyền gửi báo cáo của đơn vị 00001"));

    for (principal, words) in [
        ("het-han", "the grant ended on 2021-12-31"),
        ("chua-den", "the grant begins on 2090-01-01"),
        ("mot-bieu", "may not submit data set identity for org unit 31498"),
        ("nguoi-doc", "has no grant to submit"),
        ("la-mat", "has no grant to submit"),
    ] {
        not_granted(submit(&services.as_principal(principal).await, &citizens("31498")).await, words);
    }
    not_granted(submit(&services.as_operator().await, &citizens("31498")).await, "operator has no grant to submit");

    // A grant that is given and taken while the collector runs.
    let caller = services.as_principal("den-sau").await;
    not_granted(submit(&caller, &citizens("31507")).await, "has no grant");
    granted(&world, vec![grant("den-sau", Action::Submit, "31507")]);
    let late = citizens("31507");
    eventually("the grant is in force", || submit(&caller, &late)).await;
    assert_eq!(grants::remove(world.keys.layout(), |grant| grant.principal.as_str() == "den-sau").unwrap(), 1);
    let taken = AtomicI64::new(0);
    let again = || async { submit(&caller, &late).await.inspect(|()| _ = taken.fetch_add(1, Ordering::Relaxed)) };
    assert_eq!(reason(&becomes_refused(again).await), "NOT_GRANTED");

    let repeated = taken.into_inner();
    world.settled(4 + repeated).await;
    let counts = world.store.fate_counts().await.unwrap();
    // The validator may hear of the change before the collector does: then what was still taken is rejected.
    let again = counts.duplicate + counts.rejected;
    assert_eq!((counts.accepted, again), (4, repeated), "and nothing else came into the log");
    for (report, sender) in [(&own, "xa-31498"), (&below, "tinh-94")] {
        let id = SubmissionId(report.submission_id.parse().unwrap());
        assert_eq!(world.store.submission(id, "").await.unwrap().unwrap().principal, sender);
    }
    services.assert_quiet();
}

/// Goal: who shows no credentials, or some that are foreign, expired or made up, gets no answer from either service.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_let_in() {
    let world = World::start().await;
    let services = world.services().await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let everybody: PrincipalName = EVERYBODY.parse().unwrap();
    let now = SystemClock.now();
    let day = Duration::days(1);

    // The handshake fails: of no use to anybody, whatever they are called.
    let stranger = local::Keys::make().unwrap();
    stranger.grant_all(EVERYBODY, &[Action::Submit, Action::Read]).unwrap();
    let foreign = Credentials { ca: world.credentials.ca.clone(), ..stranger.credentials(EVERYBODY).unwrap() };
    let old = Authority::open(world.keys.layout()).unwrap().issue_certificate(&everybody, day, now - 10 * day).unwrap();
    let certificate =
        CertificateFiles { certificate: file("old.pem", &old.certificate), key: file("old.key", &old.key) };
    let expired = Credentials { certificate: Some(certificate), ..world.credentials.clone() };
    for credentials in [&foreign, &expired] {
        for service in [&services.collector, &services.query] {
            let door = service.door().with(credentials.clone());
            // TLS 1.3 tells at the first call, not at the handshake, that a certificate is not believed.
            let answer = async {
                let channel = door.connect().await.map_err(|error| error.to_string())?;
                let mut reader = proto::pb::query::v1::query_service_client::QueryServiceClient::new(channel);
                reader.get_totals(asked("VN")).await.map_err(|status| {
                    assert_ne!(status.code(), Code::Unimplemented, "it came as far as the services");
                    status.to_string()
                })
            };
            assert!(answer.await.is_err());
        }
    }
    for (name, service) in [("collector", &services.collector), ("query", &services.query)] {
        for reason in ["CREDENTIALS_INVALID", "CREDENTIALS_EXPIRED"] {
            let counted = format!(r#"tonghop_access_refused_total{{service="{name}",reason="{reason}"}}"#);
            // The stranger reads of the refusal before it is counted.
            eventually("a refused certificate is counted", async || {
                let numbers = tests::metrics(&service.admin()).await;
                match numbers.get(&counted) {
                    Some(times) if *times >= 1.0 => Ok(()),
                    _ => Err(format!("{counted}: {numbers:#?}")),
                }
            })
            .await;
        }
    }

    let nobody = Credentials { certificate: None, ..world.credentials.clone() };
    let bearing = |name: &str, token: &str| Credentials { token: Some(file(name, token)), ..nobody.clone() };
    let issue = |keys: &local::Keys, when, audience| {
        let authority = Authority::open(keys.layout()).unwrap();
        authority.issue_token(&everybody, day, audience, when).unwrap().token
    };
    for (credentials, why) in [
        (nobody.clone(), "CREDENTIALS_MISSING"),
        (bearing("expired", &issue(&world.keys, now - 10 * day, None)), "CREDENTIALS_EXPIRED"),
        (bearing("foreign", &issue(&stranger, now, None)), "CREDENTIALS_INVALID"),
        (bearing("elsewhere", &issue(&world.keys, now, Some("vneid"))), "CREDENTIALS_INVALID"),
        (bearing("none", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmVyeWJvZHkifQ."), "CREDENTIALS_INVALID"),
    ] {
        let caller = services.with(&credentials).await;
        refused(submit(&caller, &citizens("31498")).await, Code::Unauthenticated, why, "credentials");
        refused(totals(&caller, "VN").await, Code::Unauthenticated, why, "credentials");
    }
    let good = services.with(&bearing("good", &issue(&world.keys, now, None))).await;
    submit(&good, &citizens("31498")).await.unwrap();
    totals(&good, "VN").await.unwrap();
    world.settled(1).await;
    // An expired token was once somebody's; of an expired certificate the handshake says nothing but that.
    for door in ["collector", "query"] {
        written_down(
            &world,
            &[
                (door, "CREDENTIALS_MISSING", ""),
                (door, "CREDENTIALS_INVALID", ""),
                (door, "CREDENTIALS_EXPIRED", ""),
                (door, "CREDENTIALS_EXPIRED", EVERYBODY),
            ],
        )
        .await;
    }
    services.assert_quiet();
}

/// Goal: what is revoked is refused soon, in a service that goes on running; streams that were open end, and say why.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_sent_away() {
    let world = World::start().await;
    granted(&world, vec![grant("tinh-94", Action::Submit, "94"), grant("tinh-94", Action::Read, "94")]);
    let services = world.services().await;
    let caller = services.as_principal("tinh-94").await;
    submit(&caller, &citizens("31498")).await.unwrap();
    let GetTotalsRequest { org_unit, data_set, period, .. } = asked("94");
    let question = WatchTotalsRequest { org_unit, data_set, period };
    let mut watch = caller.reader.clone().watch_totals(question).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let (reports, to_send) = tokio::sync::mpsc::channel(8);
    reports.send(SubmitStreamRequest { report: Some(citizens("31501")) }).await.unwrap();
    let to_send = tokio_stream::wrappers::ReceiverStream::new(to_send);
    let mut receipts = caller.sender.clone().submit_stream(to_send).await.unwrap().into_inner();
    assert!(matches!(receipts.message().await.unwrap().unwrap().outcome, Some(Outcome::Acknowledgement(_))));

    let revocation = Revocation::new(Subject::Principal, "tinh-94", SystemClock.now(), "the key was lost");
    assert!(revocations::add(world.keys.layout(), revocation).unwrap());
    let ending = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the watch ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!((ending.code(), reason(&ending).as_str()), (Code::Unauthenticated, "CREDENTIALS_REVOKED"));
    let again = citizens("31504");
    let status = becomes_refused(|| submit(&caller, &again)).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "CREDENTIALS_REVOKED"));
    refused(totals(&caller, "94").await, Code::Unauthenticated, "CREDENTIALS_REVOKED", "revoked");
    reports.send(SubmitStreamRequest { report: Some(citizens("31507")) }).await.unwrap();
    let ending = receipts.message().await.unwrap_err();
    assert_eq!(reason(&ending), "CREDENTIALS_REVOKED");
    // A new connection does not help.
    refused(
        totals(&services.as_principal("tinh-94").await, "94").await,
        Code::Unauthenticated,
        "CREDENTIALS_REVOKED",
        "",
    );
    let revoked = ["collector", "query"].map(|door| (door, "CREDENTIALS_REVOKED", "tinh-94"));
    written_down(&world, &revoked).await;
    services.assert_quiet();
}

/// Goal: a reader sees its unit and what is below, whatever it asks by; a watch ends with the grant.
#[tokio::test(flavor = "multi_thread")]
async fn readers_see_their_scope() {
    let world = World::start().await;
    granted(&world, vec![grant("tinh-94", Action::Read, "94"), grant("xa-00001", Action::Submit, "00001")]);
    let services = world.services().await;
    let sender = services.as_principal("xa-00001").await;
    let foreign = citizens("00001");
    submit(&sender, &foreign).await.unwrap();
    let own = citizens("31498");
    services.submit(&own).await.unwrap();
    world.settled(2).await;
    let reader = services.as_principal("tinh-94").await;
    for unit in ["94", "941", "31498"] {
        totals(&reader, unit).await.unwrap();
    }
    every_question(&reader, "94")
        .await
        .into_iter()
        .for_each(|(call, answer)| assert!(answer.is_ok(), "{call}: {answer:?}"));
    for unit in ["VN", "01", "00001"] {
        for (call, answer) in every_question(&reader, unit).await {
            let status = answer.expect_err(call);
            assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "NOT_GRANTED"), "{call}");
        }
    }
    written_down(&world, &[("query", "NOT_GRANTED", "tinh-94")]).await;
    let mixed = BatchGetTotalsRequest { questions: vec![asked("94"), asked("VN")] };
    not_granted(reader.reader.clone().batch_get_totals(mixed).await, "may not read for org unit VN");

    // Whoever sent a report hears what became of it, and nothing else; what forms and units there are is for all.
    let heard = async |caller: &Caller, report: &Report| {
        let question = GetSubmissionRequest { submission_id: report.submission_id.clone() };
        caller.reader.clone().get_submission(question).await.map(|_| ())
    };
    heard(&sender, &foreign).await.unwrap();
    heard(&reader, &own).await.unwrap();
    not_granted(heard(&reader, &foreign).await, "may not read for org unit 00001");
    not_granted(heard(&sender, &own).await, "xa-00001 has no grant to read");
    not_granted(totals(&sender, "00001").await, "xa-00001 has no grant to read");
    // Something else under another's id changes nothing for those whom the other concerns.
    submit(&sender, &Report { submission_id: own.submission_id.clone(), revision: Some(2), ..citizens("00001") })
        .await
        .unwrap();
    world.settled(3).await;
    heard(&reader, &own).await.unwrap();
    assert!(services.submission(&own.submission_id).await.unwrap().counts);
    sender.reader.clone().get_catalogue(GetCatalogueRequest::default()).await.unwrap();
    sender.reader.clone().list_org_units(ListOrgUnitsRequest::default()).await.unwrap();

    let GetTotalsRequest { org_unit, data_set, period, .. } = asked("94");
    let question = WatchTotalsRequest { org_unit, data_set, period };
    let mut watch = reader.reader.clone().watch_totals(question).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    assert_eq!(grants::remove(world.keys.layout(), |grant| grant.principal.as_str() == "tinh-94").unwrap(), 1);
    not_granted(watch.message().await, "tinh-94 has no grant to read");
    services.assert_quiet();
}

/// Goal: a unit that belonged to another before is shown to whoever reads the unit above it since then, and not what it was before.
#[tokio::test(flavor = "multi_thread")]
async fn a_series_begins_where_the_unit_came_to_the_readers_own() {
    let world = World::start().await;
    // Of district 219 until the end of 2024, of 224 since.
    granted(&world, vec![grant("huyen-224", Action::Read, "224")]);
    let services = world.services().await;
    let reader = services.as_principal("huyen-224").await;
    let series = GetSeriesRequest {
        org_unit: "07525".to_owned(),
        data_set: "identity".to_owned(),
        from: "202411".to_owned(),
        to: "202502".to_owned(),
        cells: Vec::new(),
    };
    let shown = |answer: Result<Response<GetSeriesResponse>, Status>| {
        let entries = answer.unwrap().into_inner().entries;
        entries.into_iter().map(|entry| (entry.period, entry.totals.is_some())).collect::<Vec<_>>()
    };
    let names = ["202411", "202412", "202501", "202502"].map(str::to_owned);
    let all = |shown: [bool; 4]| names.clone().into_iter().zip(shown).collect::<Vec<_>>();
    assert_eq!(shown(reader.reader.clone().get_series(series.clone()).await), all([false, false, true, true]));
    assert_eq!(shown(services.reader().get_series(series).await), all([true; 4]), "who reads everything");
    services.assert_quiet();
}

/// Every call that is about a unit, with what it answered.
async fn every_question(caller: &Caller, unit: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let Caller { reader, .. } = caller;
    let mut reader = reader.clone();
    let GetTotalsRequest { org_unit, data_set, period, .. } = asked(unit);
    let (u, d, p) = (|| org_unit.clone(), || data_set.clone(), || period.clone());
    let cell = CellName { data_element: "id_eligible_citizens".to_owned(), option: String::new() };
    let many = WatchManyRequest {
        org_units: vec![u()],
        data_sets: vec![d()],
        periods: vec![p()],
        ..WatchManyRequest::default()
    };
    let watch = WatchTotalsRequest { org_unit: u(), data_set: d(), period: p() };
    let latest = GetTotalsRequest { period: "latest".to_owned(), ..asked(unit) };
    let batch = BatchGetTotalsRequest { questions: vec![asked(unit)] };
    let children = ListChildTotalsRequest { org_unit: u(), data_set: d(), period: p(), ..Default::default() };
    let breakdown = ListBreakdownRequest {
        org_unit: u(),
        data_set: d(),
        period: p(),
        level: "commune".to_owned(),
        ..Default::default()
    };
    let series = GetSeriesRequest { org_unit: u(), data_set: d(), from: p(), to: p(), cells: Vec::new() };
    let contributions =
        ListContributionsRequest { org_unit: u(), data_set: d(), period: p(), cell: Some(cell), ..Default::default() };
    let reports = ListReportsRequest { org_unit: u(), data_set: d(), period: p(), ..Default::default() };
    let report = GetReportRequest { org_unit: u(), data_set: d(), period: p() };
    let named = GetTotalsRequest { cells: vec![], as_of: None, ..asked(unit) };
    vec![
        ("GetTotals", reader.get_totals(named).await.map(|_| ())),
        ("GetTotals latest", reader.get_totals(latest).await.map(|_| ())),
        ("BatchGetTotals", reader.batch_get_totals(batch).await.map(|_| ())),
        ("GetSeries", reader.get_series(series).await.map(|_| ())),
        ("ListChildTotals", reader.list_child_totals(children).await.map(|_| ())),
        ("ListBreakdown", reader.list_breakdown(breakdown).await.map(|_| ())),
        ("ListContributions", reader.list_contributions(contributions).await.map(|_| ())),
        ("WatchTotals", reader.watch_totals(watch).await.map(|_| ())),
        ("WatchMany", reader.watch_many(many).await.map(|_| ())),
        ("ListReports", reader.list_reports(reports).await.map(|_| ())),
        ("GetReport", reader.get_report(report).await.map(|_| ())),
    ]
}

fn batch(principal: &str, report: &Report) -> Outgoing {
    let submitted = SubmittedReport {
        report: Some(report.clone()),
        received_at_micros: 1_700_000_000_000_000,
        principal: principal.to_owned(),
        traceparent: String::new(),
    };
    Outgoing {
        subject: subjects::submitted(0),
        message_id: uuid::Uuid::now_v7().to_string(),
        content_type: None,
        payload: proto::event::encode_submitted(&submitted).into(),
    }
}

/// Goal: who publishes past the collectors is put aside, whatever it claims; who has taken over a collector can report for
/// nobody but those whom grants name.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_collector_sealed_is_judged_and_it_is_asked_again_who_may() {
    let world = World::start().await;
    granted(&world, vec![grant("xa-31498", Action::Submit, "31498")]);
    let services = world.services().await;
    let publisher = Publisher::new(world.connection.clone());

    publisher.publish(&batch(EVERYBODY, &citizens("31501"))).await.unwrap();
    let stranger = local::Keys::make().unwrap();
    let sealer = |keys: &local::Keys| Sealer::open(&keys.layout().seal_key()).unwrap();
    let message = batch(EVERYBODY, &citizens("31501"));
    let foreign = sealer(&stranger).seal(&message.payload).unwrap();
    publisher.publish_sealed(&message, &foreign).await.unwrap();
    let of_another = sealer(&world.keys).seal(b"another message").unwrap();
    publisher.publish_sealed(&batch(EVERYBODY, &citizens("31501")), &of_another).await.unwrap();

    let reports = ["31501", "31498", "31504", "31498"].map(citizens);
    for (principal, report) in ["xa-31498", "", "la-mat", "xa-31498"].into_iter().zip(&reports) {
        world.publish_sealed(&batch(principal, report)).await;
    }
    world.settled(4).await;
    for (report, fate) in reports.iter().zip([Fate::Rejected, Fate::Rejected, Fate::Rejected, Fate::Accepted]) {
        let id = SubmissionId(report.submission_id.parse().unwrap());
        let found = world.store.submission(id, "").await.unwrap().unwrap();
        assert_eq!(found.fate, fate, "{found:?}");
        let reasons: Vec<_> = found.violations.list().iter().map(|violation| violation.reason.code()).collect();
        assert_eq!(reasons, if fate == Fate::Rejected { vec!["NOT_GRANTED"] } else { vec![] });
    }
    let quarantined = "a submitted batch cannot be read; it is quarantined";
    let told: Vec<_> = services.validator.errors();
    assert_eq!((services.validator.said(quarantined), told.len()), (3, 3), "{told:?}");
    let told = serde_json::to_string(&told).unwrap();
    for why in ["has no seal", "a key that is not known", "seal is wrong"] {
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(
        tests::sum(&services.totals("VN", "identity", "202211").await, "commune", "id_eligible_citizens"),
        Some(10)
    );
    world.verified().await;
}
