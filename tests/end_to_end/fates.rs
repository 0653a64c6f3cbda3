//! What becomes of an acknowledged report: accepted, rejected, duplicate or superseded, and never two of them.

use proto::pb::{
    query::v1::{Fate, GetSubmissionResponse},
    report::v1::{Report, Severity, Value, value},
};
use store::FateCounts;
use tests::{Services, World, flag, int, organisation, report, sum, withdrawal};
use tonic::Code;
use tonic_types::StatusExt as _;

fn citizens(unit: &str, revision: i64, number: i64) -> Report {
    report(unit, revision, vec![int("id_eligible_citizens", number)])
}

fn again_as_another(report: &Report) -> Report {
    Report { submission_id: uuid::Uuid::now_v7().to_string(), ..report.clone() }
}

async fn nation(services: &Services) -> Option<i64> {
    sum(&services.totals("VN", "identity", "202211").await, "commune", "id_eligible_citizens")
}

/// Submits and waits for the fate.
async fn settle(world: &World, services: &Services, report: &Report) -> GetSubmissionResponse {
    let before = world.store.fate_counts().await.unwrap().settled();
    services.submit(report).await.unwrap();
    world.settled(before + 1).await;
    services.submission(&report.submission_id).await.unwrap()
}

fn reasons(response: &GetSubmissionResponse) -> Vec<&str> {
    response.violations.iter().map(|violation| violation.reason.as_str()).collect()
}

/// Goal: a report that breaks a rule is acknowledged, does not count, and says why in both languages; one that is only odd
/// counts, and says what is odd.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_is_told_in_vietnamese_and_english() {
    let world = World::start().await;
    let services = world.services().await;
    let broken = organisation("31498", 3, vec![int("org_hamlets_total", 7), int("org_hamlets_with_team", 1_234_567)]);
    let rejected = settle(&world, &services, &broken).await;
    assert_eq!(rejected.fate(), Fate::Rejected);
    assert_eq!(
        (rejected.org_unit.as_str(), rejected.data_set.as_str(), rejected.period.as_str()),
        ("31498", "organisation", "2022Q4")
    );
    assert_eq!((rejected.revision, rejected.counts, rejected.current_revision), (3, false, None));
    let [violation] = &rejected.violations[..] else { panic!("{rejected:?}") };
    assert_eq!((violation.reason.as_str(), violation.field.as_str()), ("RULE_BROKEN", "hamlets_with_team_at_most_all"));
    assert_eq!(violation.severity(), Severity::Error);
    assert!(violation.message_vi.contains("(1.234.567)") && violation.message_vi.contains("(7)"), "{violation:?}");
    assert!(violation.message_en.contains("(1,234,567)"), "{violation:?}");
    assert!(violation.message_vi.contains("lớn hơn tổng số"), "{violation:?}");
    assert!(violation.message_en.contains("exceed all hamlets"), "{violation:?}");

    let odd = report("31498", 1, vec![int("id_eligible_citizens", 5), int("id_card_records_collected", 6)]);
    let accepted = settle(&world, &services, &odd).await;
    assert_eq!((accepted.fate(), accepted.counts, reasons(&accepted)), (Fate::Accepted, true, vec!["RULE_BROKEN"]));
    assert_eq!(accepted.violations[0].severity(), Severity::Warning);

    let totals = services.totals("VN", "organisation", "2022Q4").await;
    assert_eq!((totals.version, sum(&totals, "commune", "org_hamlets_total")), (0, None));
    // What was rejected may be mended and sent again under its id.
    let mended = Report { values: vec![int("org_hamlets_total", 7), int("org_hamlets_with_team", 6)], ..broken };
    let accepted = settle(&world, &services, &mended).await;
    assert_eq!((accepted.fate(), accepted.counts), (Fate::Accepted, true));
    let totals = services.totals("VN", "organisation", "2022Q4").await;
    assert_eq!(sum(&totals, "commune", "org_hamlets_with_team"), Some(6));
    assert_eq!(
        world.store.fate_counts().await.unwrap(),
        FateCounts { accepted: 2, rejected: 1, ..FateCounts::default() }
    );
    world.verified().await;
    services.assert_quiet();
}

/// Goal: a report with ten faults learns of all ten at once, each with its field, and nothing of it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn ten_faults_are_told_at_once() {
    let world = World::start().await;
    let services = world.services().await;
    let given = |element: &str, value| Value { data_element: element.to_owned(), option: String::new(), value };
    let report = Report {
        submission_id: "not-a-uuid".to_owned(),
        ..report(
            "99999",
            -1,
            vec![
                int("id_eligible_citizens", -5),
                int("id_eligible_citizens", 5),
                int("id_card_target_met", 1),
                flag("id_cards_issued", true),
                int("no_such_cell", 1),
                int("id_pin_notified", i64::MAX),
                given("eid_l2_collected", Some(value::Value::Decimal("8.1026".to_owned()))),
                Value { option: "s03".to_owned(), ..int("pop_records_total", 1) },
                int("pop_records_verified", 1),
            ],
        )
    };
    let status = services.submit(&report).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let found: Vec<_> = details
        .bad_request()
        .unwrap()
        .field_violations
        .iter()
        .map(|field| (field.field.as_str(), field.description.split(':').next().unwrap_or_default()))
        .collect();
    let expected = [
        ("report.submission_id", "SUBMISSION_ID_MALFORMED"),
        ("report.revision", "REVISION_OUT_OF_RANGE"),
        ("report.org_unit", "ORG_UNIT_UNKNOWN"),
        ("report.values[0]", "VALUE_OUT_OF_RANGE"),
        ("report.values[1]", "CELL_REPEATED"),
        ("report.values[2]", "VALUE_TYPE_WRONG"),
        ("report.values[3]", "VALUE_TYPE_WRONG"),
        ("report.values[4]", "CELL_UNKNOWN"),
        ("report.values[5]", "VALUE_OUT_OF_RANGE"),
        ("report.values[6]", "VALUE_TYPE_WRONG"),
        ("report.values[7]", "CELL_UNKNOWN"),
    ];
    assert_eq!(found, expected);
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("SUBMISSION_ID_MALFORMED", "tonghop.v1"));
    assert_eq!(info.metadata["violations"], "11");
    let localized = details.localized_message().unwrap();
    assert_eq!(localized.locale, "vi-VN");
    assert!(localized.message.contains("UUID"));
    assert!(details.retry_info().is_none(), "trying again is of no use");
    world.quiet().await;
    assert_eq!(world.stream("REPORTS").await.unwrap().0.messages, 0, "nothing of it is kept");
    services.assert_quiet();
}

/// Goal: saying the same again changes nothing; saying something else under the same revision or the same submission id is
/// rejected with the reason, and what was said first stands.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_first_stands() {
    let world = World::start().await;
    let services = world.services().await;
    let first = citizens("31498", 5, 1_000_000);
    assert_eq!(settle(&world, &services, &first).await.fate(), Fate::Accepted);

    let repeated = settle(&world, &services, &first).await;
    assert_eq!((repeated.fate(), repeated.repeated, repeated.counts), (Fate::Accepted, 1, true));
    let twin = settle(&world, &services, &again_as_another(&first)).await;
    assert_eq!((twin.fate(), twin.counts, twin.current_revision), (Fate::Duplicate, false, Some(5)));

    let conflict = settle(&world, &services, &citizens("31498", 5, 20_000_000)).await;
    assert_eq!((conflict.fate(), reasons(&conflict)), (Fate::Rejected, vec!["REVISION_CONFLICT"]));
    assert!(!conflict.violations[0].message_vi.is_empty() && !conflict.violations[0].message_en.is_empty());

    let reused = Report { submission_id: first.submission_id.clone(), ..citizens("31501", 1, 300_000_000) };
    services.submit(&reused).await.unwrap();
    world.settled(5).await;
    let told = services.submission(&first.submission_id).await.unwrap();
    assert_eq!(
        (told.fate(), reasons(&told)),
        (Fate::Rejected, vec!["SUBMISSION_ID_REUSED"]),
        "the last that is no repetition"
    );

    assert_eq!(nation(&services).await, Some(1_000_000));
    let counts = FateCounts { accepted: 1, rejected: 2, duplicate: 2, superseded: 0 };
    assert_eq!(world.store.fate_counts().await.unwrap(), counts);
    assert_eq!(services.totals("VN", "identity", "202211").await.version, 1, "the total moved once");
    world.verified().await;
    services.assert_quiet();
}

/// Goal: the highest revision counts, whatever the order of arrival; a withdrawal takes a report out of every total, and a
/// revision after it brings the unit back.
#[tokio::test(flavor = "multi_thread")]
async fn the_highest_revision_counts() {
    let world = World::start().await;
    let services = world.services().await;
    let other = citizens("31501", 1, 7);
    settle(&world, &services, &other).await;
    let second = citizens("31498", 2, 200);
    settle(&world, &services, &second).await;
    assert_eq!(nation(&services).await, Some(207));

    let late = settle(&world, &services, &citizens("31498", 1, 100_000)).await;
    assert_eq!((late.fate(), late.counts, late.current_revision), (Fate::Superseded, false, Some(2)));
    let unmoved = services.totals("VN", "identity", "202211").await;
    assert_eq!((unmoved.version, sum(&unmoved, "commune", "id_eligible_citizens")), (2, Some(207)));

    let correction = settle(&world, &services, &citizens("31498", 3, 3_000)).await;
    assert_eq!((correction.fate(), correction.counts), (Fate::Accepted, true));
    assert_eq!(nation(&services).await, Some(3_007));
    let replaced = services.submission(&second.submission_id).await.unwrap();
    assert_eq!((replaced.fate(), replaced.counts, replaced.current_revision), (Fate::Accepted, false, Some(3)));

    let taken_back = settle(&world, &services, &withdrawal("31498", 4)).await;
    assert_eq!((taken_back.fate(), taken_back.counts), (Fate::Accepted, true));
    for (unit, left, reported) in [("VN", Some(7), 1), ("94", Some(7), 1), ("941", Some(7), 1), ("31498", None, 0)] {
        let totals = services.totals(unit, "identity", "202211").await;
        assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), left, "{unit}");
        assert_eq!(tests::level(&totals, "commune").reported, reported, "{unit}");
    }
    world.verified().await;
    settle(&world, &services, &withdrawal("31501", 2)).await;
    assert_eq!(nation(&services).await, None, "withdrawn is absent, not zero");

    let late = settle(&world, &services, &citizens("31498", 3, 3_000)).await;
    assert_eq!((late.fate(), late.current_revision), (Fate::Superseded, Some(4)), "a withdrawal is a revision");
    settle(&world, &services, &citizens("31498", 5, 50_000)).await;
    assert_eq!(nation(&services).await, Some(50_000));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: a sender that does not number its reports is right as well: the later report counts, and the late retry of an
/// earlier one does not bring the old value back.
#[tokio::test(flavor = "multi_thread")]
async fn reports_without_a_revision_count_in_the_order_they_were_taken() {
    let world = World::start().await;
    let services = world.services().await;
    let unnumbered = |number| Report { revision: None, ..citizens("31498", 0, number) };
    let (first, second) = (unnumbered(1_000), unnumbered(20_000));
    // One after the other: verdicts on two that are on their way together may come in either order.
    let first_given = services.submit(&first).await.unwrap().revision;
    world.settled(1).await;
    let second_given = services.submit(&second).await.unwrap().revision;
    world.settled(2).await;
    assert!(first_given < second_given, "{first_given} {second_given}");
    let retry_given = services.submit(&first).await.unwrap().revision;
    assert!(second_given < retry_given, "{second_given} {retry_given}");
    world.settled(3).await;
    assert_eq!(nation(&services).await, Some(20_000));
    let told = services.submission(&first.submission_id).await.unwrap();
    assert_eq!((told.fate(), told.counts, told.repeated), (Fate::Accepted, false, 1));
    assert_eq!(told.current_revision, Some(second_given));
    let counts = FateCounts { accepted: 2, duplicate: 1, ..FateCounts::default() };
    assert_eq!(world.store.fate_counts().await.unwrap(), counts);
    world.verified().await;
    services.assert_quiet();
}
