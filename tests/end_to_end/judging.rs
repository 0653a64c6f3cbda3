//! Judging by what is stored: rules that look back, values unlike a unit's own, closed periods that are opened again.

use std::sync::Arc;

use domain::{
    Catalogue, Message, PeriodType, Severity, Timestamp,
    catalogue::{DataSet, DataSetParts, Schedule},
    rule::{Check, Comparison, Condition, Linear, Of, Rule, Term},
};
use messaging::ConnectionConfig;
use proto::pb::{
    query::v1::{Fate, GetReportRequest, GetSubmissionResponse},
    report::v1::{Report, Value, value},
};
use runtime::{Clock as _, Shutdown, SystemClock, telemetry::TelemetryConfig};
use store::{EarlierThan, Reopen, ReopenError, StoreConfig};
use tests::{World, dense, eventually, flag, int, level, organisation, report, sum, tonghop, withdrawal};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_types::StatusExt as _;

/// The shipped catalogue, but of `identity` only that eligible citizens may not become fewer and are watched, and quarters close ten days after their
/// last.
fn watchful(shipped: &Catalogue) -> Catalogue {
    let data_sets = shipped.data_sets().iter().map(|data_set| {
        let is_identity = data_set.code().as_str() == "identity";
        let side = |of| Linear { terms: vec![Term { factor: 1, cell: 0, of }], constant: 0 };
        let grows = Rule {
            id: "eligible_grow".to_owned(),
            severity: Severity::Warning,
            when: None,
            check: Check::Compare(Condition {
                left: side(Of::Previous),
                comparison: Comparison::AtMost,
                right: side(Of::This),
            }),
            decimals: 0,
            message: Message { vi: "{left} > {right}".to_owned(), en: "{left} > {right}".to_owned() },
        };
        let rules = if is_identity { vec![grows] } else { data_set.rules().to_vec() };
        let is_quarterly = data_set.period_type() == PeriodType::Quarter;
        DataSet::new(DataSetParts {
            schedule: Schedule { closes_after: Some(10).filter(|_| is_quarterly), ..data_set.schedule().clone() },
            rules,
            outliers: if is_identity { vec![0] } else { Vec::new() },
            ..data_set.parts().clone()
        })
        .unwrap()
    });
    let (version, levels, tree) = (shipped.version().clone(), shipped.levels().to_vec(), shipped.tree().clone());
    Catalogue::new(version, levels, tree, data_sets.collect(), shipped.utc_offset())
}

/// A validator in this process that judges by a catalogue of ours.
async fn validator(world: &World) -> (JoinHandle<()>, Shutdown) {
    let config = validator::Config {
        catalogue: tests::catalogue_dir(),
        access: world.keys.access(),
        admin: runtime::admin::AdminConfig::default(),
        nats: ConnectionConfig::to(world.nats.url()),
        store: StoreConfig::to(world.postgres.url()),
        workers: validator::Config::default_workers(),
        telemetry: TelemetryConfig::default(),
    };
    let validator = validator::Validator::start(&config, Arc::new(watchful(&world.catalogue))).await.unwrap();
    let shutdown = Shutdown::new();
    (tokio::spawn(validator.run(shutdown.clone())), shutdown)
}

fn citizens(period: &str, number: i64) -> Report {
    Report { period: period.to_owned(), ..report("31498", 1, vec![int("id_eligible_citizens", number)]) }
}

fn reasons(told: &GetSubmissionResponse) -> Vec<&str> {
    told.violations.iter().map(|violation| violation.reason.as_str()).collect()
}

/// Goal: a report is held against what the unit reported before, with warnings that stop nothing; while PostgreSQL is away
/// judging waits, and what was acknowledged meanwhile gets the same verdict afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn history_warns_and_is_waited_for() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    services.validator.terminate();
    services.validator.ended().await;
    let (judging, shutdown) = validator(&world).await;

    for (period, number) in [
        ("202204", 1_000),
        ("202205", 1_020),
        ("202206", 1_040),
        ("202207", 1_060),
        ("202208", 1_080),
        ("202209", 1_100),
    ] {
        let report = citizens(period, number);
        services.submit(&report).await.unwrap();
        let told = services.fate(&report.submission_id).await;
        assert_eq!((told.fate(), reasons(&told)), (Fate::Accepted, vec![]), "{period}");
    }
    let earlier = |period: &str, most| EarlierThan {
        data_set: "identity".parse().unwrap(),
        org_unit: "31498".parse().unwrap(),
        period: period.parse().unwrap(),
        most,
    };
    let answers =
        world.store.earlier(&[earlier("202209", 2), earlier("202204", 9), earlier("202301", 12)]).await.unwrap();
    let periods: Vec<Vec<String>> =
        answers.iter().map(|answer| answer.iter().map(|earlier| earlier.period.to_string()).collect()).collect();
    assert_eq!(periods[0], ["202208", "202207"]);
    assert_eq!((periods[1].len(), periods[2].len()), (0, 6));
    assert_eq!(answers[0][0].values.get(0), Some(1_080));

    let fallen = citizens("202210", 1_099);
    services.submit(&fallen).await.unwrap();
    let told = services.fate(&fallen.submission_id).await;
    assert_eq!((told.fate(), reasons(&told)), (Fate::Accepted, vec!["RULE_BROKEN"]));
    assert_eq!(told.violations[0].message_vi, "1.100 > 1.099");

    // Judging needs PostgreSQL now; the sender does not.
    world.postgres.kill_hard().await.unwrap();
    let unlike = citizens("202211", 1_000_000);
    services.submit(&unlike).await.unwrap();
    eventually("the report is taken, and waits", || async {
        let (_, backlog) = world.stream("REPORTS").await?;
        if backlog.waiting == 0 && backlog.being_judged > 0 { Ok(()) } else { Err(format!("{backlog:?}")) }
    })
    .await;
    assert!(!judging.is_finished());
    world.postgres.restart().await.unwrap();
    let told = services.fate(&unlike.submission_id).await;
    assert_eq!((told.fate(), told.counts, reasons(&told)), (Fate::Accepted, true, vec!["OUTLIER"]));
    assert_eq!(told.violations[0].field, "id_eligible_citizens");

    // What was withdrawn is no history.
    let withdrawn = Report { period: "202210".to_owned(), ..withdrawal("31498", 2) };
    services.submit(&withdrawn).await.unwrap();
    assert_eq!(services.fate(&withdrawn.submission_id).await.fate(), Fate::Accepted);
    // A connection that was used within the last second is not asked whether it outlived the server.
    let question = [earlier("202211", 1)];
    let answers = eventually("the database answers", || world.store.earlier(&question)).await;
    assert_eq!(answers[0][0].period.to_string(), "202209");

    let totals = services.totals("VN", "identity", "202211").await;
    assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), Some(1_000_000));
    world.verified().await;
    shutdown.request();
    judging.await.unwrap();
    for service in [&services.collector, &services.query] {
        service.assert_quiet();
    }
}

/// Goal: a closed period takes nothing, neither reports nor withdrawals, until it is opened again by a command that is kept;
/// then it takes those of the units it was opened for.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_period_is_opened_again_by_a_command_that_is_kept() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.validator.terminate();
    services.validator.ended().await;
    let (judging, shutdown) = validator(&world).await;
    let team = |unit| organisation(unit, 1, vec![flag("org_task_force_established", true)]);
    let fate = async |report: Report| {
        services.submit(&report).await.unwrap();
        services.fate(&report.submission_id).await
    };

    let closed = fate(team("31498")).await;
    assert_eq!((closed.fate(), reasons(&closed)), (Fate::Rejected, vec!["PERIOD_CLOSED"]));
    let withdrawn = Report { withdrawn: true, ..organisation("31498", 2, Vec::new()) };
    assert_eq!(reasons(&fate(withdrawn).await), ["PERIOD_CLOSED"]);

    let database = world.postgres.url();
    let until = SystemClock.now().date().next_day().and_then(|day| day.next_day()).unwrap().to_string();
    let reopen = async |code, more: &[&str]| {
        let arguments = ["reopen", "--json", "--database", &database, "--as", "lan"];
        tonghop(code, &[&arguments, more].concat()).await.object()
    };
    let named = ["--until", &until, "--reason", "mạng hỏng", "--data-set"];
    let of = |data_set, period, unit| [&named[..], &[data_set, "--period", period, "--org-unit", unit]].concat();
    for (data_set, period, unit, reason) in [
        ("elsewhere", "2022Q4", "94", "DATA_SET_UNKNOWN"),
        ("organisation", "202211", "94", "PERIOD_TYPE_WRONG"),
        ("organisation", "2022Q4", "99999", "ORG_UNIT_UNKNOWN"),
    ] {
        assert_eq!(reopen(1, &of(data_set, period, unit)).await["error"]["reason"], reason);
    }
    let opened = reopen(0, &of("organisation", "2022Q4", "94")).await;
    assert_eq!(
        (&opened["org_unit"], &opened["principal"], &opened["reason"]),
        (&"94".into(), &"lan".into(), &"mạng hỏng".into())
    );
    let listed = reopen(0, &["--list"]).await;
    assert_eq!(listed["reopenings"].as_array().unwrap(), &[opened]);

    let again = fate(team("31498")).await;
    assert_eq!((again.fate(), reasons(&again)), (Fate::Accepted, vec![]));
    assert_eq!(reasons(&fate(team("00001")).await), ["PERIOD_CLOSED"], "a commune of another province");
    assert_eq!(
        fate(report("00001", 1, vec![int("id_eligible_citizens", 1)])).await.fate(),
        Fate::Accepted,
        "never closed"
    );

    // Opened for all, and closed again at an instant.
    let reopen = |opened_at: i64, until: i64| Reopen {
        data_set: "organisation".parse().unwrap(),
        period: "2022Q4".parse().unwrap(),
        org_unit: None,
        until: Timestamp::from_unix_micros(until),
        reason: "test".to_owned(),
        principal: "lan".to_owned(),
        opened_at: Timestamp::from_unix_micros(opened_at),
    };
    let past = world.store.reopen(&reopen(0, 1)).await.unwrap();
    assert_eq!(past.org_unit.as_str(), "VN");
    assert_eq!(reasons(&fate(team("00001")).await), ["PERIOD_CLOSED"], "open for a microsecond of 1970");
    world.store.reopen(&reopen(0, i64::MAX)).await.unwrap();
    assert_eq!(fate(team("00001")).await.fate(), Fate::Accepted);
    let unknown = Reopen { data_set: "x".parse().unwrap(), ..reopen(0, 1) };
    assert!(matches!(world.store.reopen(&unknown).await, Err(ReopenError::DataSet(_))));

    eventually("the totals have both", || async {
        let totals = services.totals("VN", "organisation", "2022Q4").await;
        let both = sum(&totals, "commune", "org_task_force_established") == Some(2);
        if both { Ok(()) } else { Err(totals) }
    })
    .await;
    world.verified().await;
    shutdown.request();
    judging.await.unwrap();
    services.collector.assert_quiet();
    services.query.assert_quiet();
}

/// Goal: what is sent packed in the order of the form's cells, as the query service tells it, is judged, kept and counted like
/// what is sent by name, and is a duplicate of it; what is packed by a catalogue that nobody knows is refused at once.
#[tokio::test(flavor = "multi_thread")]
async fn dense_and_named_reports_count_alike() {
    let world = World::start().await;
    let services = world.services().await;
    let (identity, version) = services.form("identity").await;
    let (incidents, _) = services.form("incidents").await;
    let fate = async |report: &Report| {
        services.submit(report).await.unwrap();
        let told = services.fate(&report.submission_id).await;
        (told.fate(), reasons(&told).join(" "))
    };
    let fine = |fate| (fate, String::new());
    let given = |element: &str, value| Value { value: Some(value), ..int(element, 0) };
    let figures = |unit, eligible| {
        let met_on = given("id_card_target_met_on", value::Value::Date("2022-11-07".to_owned()));
        let numbers = vec![int("id_eligible_citizens", eligible), flag("id_card_target_met", true), met_on];
        report(unit, 1, [numbers, vec![int("id_cards_issued", 0), int("pop_records_total", 9_000)]].concat())
    };

    let named = figures("31498", 1_000_000_000);
    let by_layout = figures("31501", 2_000_000);
    let by_version = figures("31504", 3_000);
    assert_eq!(fate(&named).await, fine(Fate::Accepted));
    assert_eq!(fate(&dense(&by_layout, &identity, &identity.layout)).await, fine(Fate::Accepted));
    assert_eq!(fate(&dense(&by_version, &identity, &version)).await, fine(Fate::Accepted));
    for again in [dense(&named, &identity, &identity.layout), by_layout, by_version] {
        assert_eq!(fate(&again).await, fine(Fate::Duplicate), "{again:?}");
    }
    let kept = async |unit: &str| {
        let [org_unit, data_set, period] = [unit, "identity", "202211"].map(str::to_owned);
        let request = GetReportRequest { org_unit, data_set, period };
        services.reader().get_report(request).await.unwrap().into_inner().report.unwrap().values
    };
    let by_name = kept("31498").await;
    assert_eq!(by_name.len(), 5);
    for (unit, eligible) in [("31501", 2_000_000), ("31504", 3_000)] {
        assert_eq!(kept(unit).await, [&[int("id_eligible_citizens", eligible)], &by_name[1..]].concat());
    }
    let totals = services.totals("94", "identity", "202211").await;
    assert_eq!(level(&totals, "commune").reported, 3);
    assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), Some(1_002_003_000));

    // Numbers with decimals are packed without their point.
    let hours = given("infra_outage_hours", value::Value::Decimal("12.5".to_owned()));
    let (data_set, period) = ("incidents".to_owned(), "2022W45".to_owned());
    let outage = Report { data_set, period, ..report("31498", 1, vec![hours]) };
    assert_eq!(fate(&dense(&outage, &incidents, &incidents.layout)).await, fine(Fate::Accepted));
    assert_eq!(
        fate(&Report { submission_id: uuid::Uuid::now_v7().to_string(), ..outage }).await,
        fine(Fate::Duplicate)
    );

    let broken = report("31507", 1, vec![int("pop_records_total", 100), int("pop_records_verified", 900)]);
    let broken = dense(&broken, &identity, &identity.layout);
    assert_eq!(fate(&broken).await, (Fate::Rejected, "RULE_BROKEN".to_owned()));
    let foreign = dense(&figures("31507", 1), &identity, &incidents.layout);
    let refused = services.submit(&foreign).await.unwrap_err();
    let details = refused.get_error_details();
    assert_eq!(
        (refused.code(), details.error_info().unwrap().reason.as_str()),
        (Code::InvalidArgument, "CATALOGUE_UNKNOWN")
    );
    let fields = &details.bad_request().unwrap().field_violations;
    assert_eq!((fields.len(), fields[0].field.as_str()), (1, "report.dense.catalogue_version"));
    assert!(fields[0].description.contains(&identity.layout) && fields[0].description.contains(&version), "{fields:?}");
    world.verified().await;
    services.assert_quiet();
}
