//! A new version of the catalogue, while reports by the old one count.

use std::{fs, path::Path};

use proto::pb::query::v1::{
    AsOf, CellName, GetTotalsRequest, ListContributionsRequest, as_of, query_service_client::QueryServiceClient,
};
use tests::{Events, World, dense, eventually, int, report, small_topology, withdrawal};
use tonic_types::StatusExt as _;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            fs::copy(entry.path(), to).map(drop).unwrap()
        }
    }
}

/// Copies a catalogue with some files changed.
fn changed(to: &Path, edits: &[(&str, &str, &str)]) {
    copy(&tests::catalogue_dir(), to);
    for (file, old, new) in edits {
        let text = fs::read_to_string(to.join(file)).unwrap();
        assert!(text.contains(old), "{file} has no {old:?}");
        fs::write(to.join(file), text.replacen(old, new, 1)).unwrap();
    }
}

/// Goal: a new catalogue says that a commune lies in another district. What was reported by the old one stays where it was
/// counted; what is reported by the new one, a correction too, counts where the new one says; and each report and total can
/// be made again from the reports.
#[tokio::test(flavor = "multi_thread")]
async fn reports_count_by_the_catalogue_they_were_judged_by() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    let total = |totals| tests::sum(&totals, "commune", "id_eligible_citizens");
    for (unit, value) in [("31498", 1), ("31501", 10), ("31504", 100)] {
        services.submit(&report(unit, 1, vec![int("id_eligible_citizens", value)])).await.unwrap();
    }
    world.settled(3).await;
    let first = services.totals("941", "identity", "202211").await;
    assert_eq!(total(first.clone()), Some(111));

    let dir = tempfile::tempdir().unwrap();
    let rows = fs::read_to_string(tests::catalogue_dir().join("org_units.csv")).unwrap();
    let moved = |unit: &str| {
        let row = rows.lines().find(|row| row.starts_with(&format!("{unit},")) && row.contains(",941,")).unwrap();
        (row.to_owned(), row.replace(",941,", ",942,"))
    };
    let ((a, a_moved), (b, b_moved)) = (moved("31501"), moved("31504"));
    changed(dir.path(), &[("org_units.csv", &a, &a_moved), ("org_units.csv", &b, &b_moved)]);
    world.catalogue_dir = dir.path().to_owned();
    let done = world.provision(&small_topology()).await;
    assert!(done.catalogue_is_new && done.catalogue_version != first.catalogue_version, "{done:?}");
    for service in [&mut services.collector, &mut services.validator, &mut services.aggregator, &mut services.query] {
        service.kill_hard().await;
        service.assert_quiet();
    }
    let fresh = world.services().await;
    services.replace_all(fresh).await;

    world.verified().await;
    assert_eq!(total(services.totals("941", "identity", "202211").await), Some(111), "nothing has moved");
    // A correction of one that was moved, and a first report of another.
    services.submit(&report("31501", 2, vec![int("id_eligible_citizens", 20)])).await.unwrap();
    services.submit(&report("31507", 1, vec![int("id_eligible_citizens", 1_000)])).await.unwrap();
    world.settled(5).await;
    world.verified().await;
    for (unit, sum) in [("941", 1_101), ("942", 20), ("94", 1_121), ("VN", 1_121)] {
        for period in ["202211", "2022Q4", "latest"] {
            let totals = services.totals(unit, "identity", period).await;
            assert_eq!(totals.catalogue_version, done.catalogue_version);
            assert_eq!(total(totals), Some(sum), "{unit} {period}");
        }
    }
    assert_eq!(services.aggregator.said("loaded an earlier catalogue"), 1);
    // As it stood before the correction, with the commune where it lay then; also with one connection for everything.
    services.query.terminate();
    assert_eq!(services.query.ended().await, Some(0));
    services.query = world.service_with("query", "store.max_connections = 1").await;
    let mut reader = QueryServiceClient::new(services.query.channel().await);
    let as_of = Some(AsOf { state: Some(as_of::State::LogPosition(first.log_position)) });
    for (unit, sum) in [("941", Some(111)), ("942", None), ("94", Some(111))] {
        let [org_unit, data_set, period] = [unit, "identity", "2022Q4"].map(str::to_owned);
        let then = GetTotalsRequest { org_unit, data_set, period, as_of, ..GetTotalsRequest::default() };
        let then = reader.get_totals(then).await.unwrap().into_inner().totals.unwrap();
        assert_eq!(total(then), sum, "{unit}");
    }
    // And what they are made of now: 31501 counts in the other district, 31504 still where it was counted.
    for (unit, reports) in [("941", vec![("31498", 1), ("31504", 100), ("31507", 1_000)]), ("942", vec![("31501", 20)])]
    {
        let [org_unit, data_set, period] = [unit, "identity", "2022Q4"].map(str::to_owned);
        let cell = CellName { data_element: "id_eligible_citizens".to_owned(), option: String::new() };
        let request = ListContributionsRequest {
            org_unit,
            data_set,
            period,
            cell: Some(cell),
            ..ListContributionsRequest::default()
        };
        let page = reader.list_contributions(request).await.unwrap().into_inner();
        let given = page.contributions.iter().map(|of| (of.org_unit.as_ref().unwrap().code.as_str(), of.value));
        assert_eq!(given.collect::<Vec<_>>(), reports);
        assert_eq!(page.sum, Some(page.page_sum));
    }
    services.assert_quiet();
}

/// Goal: a form gets a cell more while reports are on their way that were packed by the catalogue before. They are judged as
/// they were meant, and who packs by the form's earlier layout is understood from then on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_packed_by_the_cells_of_yesterday_is_understood() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    let (before, version_before) = services.form("identity").await;
    let eligible = |unit, number| report(unit, 1, vec![int("id_eligible_citizens", number)]);
    services.validator.kill_hard().await;
    let on_its_way = dense(&eligible("31498", 1), &before, &version_before);
    services.submit(&on_its_way).await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let last = "    { element = \"link_bhyt_cards_integrated\", levels = [\"commune\"] },";
    let longer = format!("{last}\n    {{ element = \"infra_app_errors\" }},");
    changed(dir.path(), &[("data_sets/identity.toml", last, &longer)]);
    world.catalogue_dir = dir.path().to_owned();
    assert!(world.provision(&small_topology()).await.catalogue_is_new);
    for service in [&mut services.collector, &mut services.aggregator, &mut services.query] {
        service.kill_hard().await;
    }
    let fresh = world.services().await;
    services.replace_all(fresh).await;

    let (after, version_after) = services.form("identity").await;
    assert_eq!(after.cells.len(), before.cells.len() + 1);
    assert!(after.layout != before.layout && version_after != version_before);
    let refused = services.submit(&dense(&eligible("31501", 10), &before, &version_before)).await.unwrap_err();
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "CATALOGUE_UNKNOWN");
    services.submit(&dense(&eligible("31501", 10), &before, &before.layout)).await.unwrap();
    let more = report("31504", 1, vec![int("id_eligible_citizens", 100), int("infra_app_errors", 7)]);
    services.submit(&dense(&more, &after, &version_after)).await.unwrap();
    world.settled(3).await;
    let totals = services.totals("94", "identity", "202211").await;
    assert_eq!(tests::level(&totals, "commune").reported, 3);
    assert_eq!(tests::sum(&totals, "commune", "id_eligible_citizens"), Some(111));
    assert_eq!(tests::sum(&totals, "commune", "infra_app_errors"), Some(7));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: when a report that an earlier catalogue judged is taken back, whoever follows totals still has all of them: also the cells that only
/// the catalogue in use has. So it is while the aggregator still runs with the catalogue before.
#[tokio::test(flavor = "multi_thread")]
async fn events_have_every_cell_when_a_report_of_yesterday_is_taken_back() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;

    let dir = tempfile::tempdir().unwrap();
    let last = "    { element = \"link_bhyt_cards_integrated\", levels = [\"commune\"] },";
    let longer = format!("{last}\n    {{ element = \"infra_app_errors\" }},");
    changed(dir.path(), &[("data_sets/identity.toml", last, &longer)]);
    world.catalogue_dir = dir.path().to_owned();
    let done = world.provision(&small_topology()).await;
    services.collector.kill_hard().await;
    services.validator.kill_hard().await;
    services.replace_collector(world.service("collector").await).await;
    services.validator = world.service("validator").await;
    let events = Events::follow(&world).await;
    let more = vec![int("id_eligible_citizens", 100), int("infra_app_errors", 7)];
    services.submit(&report("31504", 1, more)).await.unwrap();
    world.settled(2).await;
    let cells = || {
        let event = events.last("totals.v1.national.VN.identity.202211");
        event.into_iter().flat_map(|event| event.data.levels).flat_map(|level| level.cells).collect::<Vec<_>>()
    };
    eventually("the nation's event has the new cell", async || {
        let cells = cells();
        cells.iter().any(|cell| cell.data_element == "infra_app_errors" && cell.sum.0 == 7).then_some(()).ok_or(cells)
    })
    .await;

    for service in [&mut services.collector, &mut services.validator, &mut services.aggregator, &mut services.query] {
        service.kill_hard().await;
    }
    let fresh = world.services().await;
    services.replace_all(fresh).await;
    services.submit(&withdrawal("31498", 2)).await.unwrap();
    world.settled(3).await;
    for unit in ["941", "94", "VN"] {
        for period in ["202211", "2022Q4", "latest"] {
            let totals = services.totals(unit, "identity", period).await;
            assert_eq!(tests::sum(&totals, "commune", "id_eligible_citizens"), Some(100), "{unit} {period}");
            assert_eq!(tests::sum(&totals, "commune", "infra_app_errors"), Some(7), "{unit} {period}");
            events.agree_with(&totals).await;
        }
    }
    let event = events.last("totals.v1.national.VN.identity.202211").unwrap();
    assert_eq!(event.data.catalogue_version, done.catalogue_version);
    assert_eq!((event.data.version, event.data.cause.reports), (3, 1));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: when a form gives up its longer periods, what was in them leaves them with its correction, and what comes after does not
/// enter them; the month has all, and the recomputation in SQL agrees.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_gives_up_its_longer_periods() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    let eligible = |unit, revision, number| report(unit, revision, vec![int("id_eligible_citizens", number)]);
    services.submit(&eligible("31498", 1, 5)).await.unwrap();
    services.submit(&eligible("31504", 1, 100)).await.unwrap();
    world.settled(2).await;
    let quarter = services.totals("94", "identity", "2022Q4").await;
    assert_eq!(tests::level(&quarter, "commune").reported, 2);

    let dir = tempfile::tempdir().unwrap();
    let calendar = "calendar = \"decree09\"\n";
    changed(dir.path(), &[("data_sets/identity.toml", calendar, &format!("{calendar}longer_periods = []\n"))]);
    world.catalogue_dir = dir.path().to_owned();
    assert!(world.provision(&small_topology()).await.catalogue_is_new);
    for service in [&mut services.collector, &mut services.validator, &mut services.aggregator, &mut services.query] {
        service.kill_hard().await;
    }
    let fresh = world.services().await;
    services.replace_all(fresh).await;
    services.submit(&eligible("31498", 2, 7)).await.unwrap();
    services.submit(&eligible("31501", 1, 10)).await.unwrap();
    world.settled(4).await;
    let totals = services.totals("94", "identity", "202211").await;
    assert_eq!(tests::level(&totals, "commune").reported, 3);
    assert_eq!(tests::sum(&totals, "commune", "id_eligible_citizens"), Some(117));
    let (data_set, quarter) = ("identity".parse().unwrap(), "2022Q4".parse().unwrap());
    let (province, level) = ("94".parse().unwrap(), "commune".parse().unwrap());
    let reported = world.store.reported(&data_set, quarter, &province, &level).await.unwrap();
    assert_eq!(reported, 1, "the one that was not corrected");
    world.verified().await;
    services.assert_quiet();
}

/// Goal: a catalogue that gives stored numbers another meaning is refused, and the one before it stays in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_moves_cells_or_periods_is_refused() {
    let world = World::start().await;
    let services = world.services().await;
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    let line = |element| format!("    {{ element = \"{element}\" }},\n");
    let (eligible, collected) = (line("id_eligible_citizens"), line("id_card_records_collected"));
    let (first, second) = (format!("{eligible}{collected}"), format!("{collected}{eligible}"));
    for (edit, why) in [
        (
            ("data_sets/identity.toml", first.as_str(), second.as_str()),
            "cell 1 of data set identity, id_eligible_citizens",
        ),
        (
            ("data_sets/identity.toml", "\"decree09\"", "\"gregorian\""),
            "data set identity was reported on by other periods",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        changed(dir.path(), &[edit]);
        let loaded = catalogue::load(dir.path()).unwrap();
        let clock = runtime::SystemClock;
        let refused =
            cli::provision::provision(&world.connection, &world.store, &small_topology(), &loaded, &clock).await;
        let told = refused.unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
    }
    world.verified().await;
    services.assert_quiet();
}

/// Goal: totals are kept by the level that reported; a catalogue in which that level is called otherwise would hide them, and is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_without_a_level_that_has_totals_is_refused() {
    let world = World::start().await;
    let services = world.services().await;
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    // As if communes had been called so when they reported.
    let database = sqlx::PgPool::connect(&world.postgres.url()).await.unwrap();
    sqlx::query("UPDATE total SET level = 'ward'").execute(&database).await.unwrap();
    let loaded = catalogue::load(&world.catalogue_dir).unwrap();
    let clock = runtime::SystemClock;
    let refused = cli::provision::provision(&world.connection, &world.store, &small_topology(), &loaded, &clock).await;
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("level ward has totals"), "{told}");
}
