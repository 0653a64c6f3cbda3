//! Goal: the catalogue that ships loads, and says of the country what the statistics office says.

#![expect(clippy::unwrap_used, reason = "what is missing from the shipped catalogue fails the test")]

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use catalogue::Loaded;
use domain::{
    Calendar, OrgUnitCode, Period, PeriodType, Severity, Values, Vintage,
    catalogue::{Catalogue, Cell, CellGroup, DataSet, Goal, ValueType},
};
use time::{Date, macros::date};

static DE06: LazyLock<Loaded> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06");
    catalogue::load(&dir).unwrap_or_else(|faults| panic!("{faults}"))
});

fn de06() -> &'static Catalogue {
    &DE06.catalogue
}

fn data_set(code: &str) -> &'static DataSet {
    de06().find_data_set(code).unwrap()
}

/// How many units of a level there are on a day.
fn count(level: &str, day: Date) -> usize {
    let level = de06().find_level(level).unwrap();
    de06().tree().on(day).units().filter(|(_, unit)| unit.level == level).count()
}

/// How many units are expected to report, in the whole country, by level.
fn expected(data_set: &DataSet, period: &str) -> Vec<(&'static str, u32)> {
    let vintage = de06().vintage(data_set, period.parse().unwrap());
    let expected = de06().expected(data_set, vintage, vintage.root());
    expected.into_iter().map(|(level, count)| (de06().level(level).code.as_str(), count)).collect()
}

#[test]
fn the_tree_has_as_many_units_as_the_country() {
    let counts = |day| ["province", "district", "commune"].map(|level| count(level, day));
    assert_eq!(counts(date!(2022 - 10 - 01)), [63, 705, 10_599]);
    assert_eq!(counts(date!(2025 - 06 - 30)), [63, 696, 10_035]);
    assert_eq!(counts(date!(2025 - 07 - 01)), [34, 0, 3_321]);
    assert_eq!(count("ministry", date!(2022 - 10 - 01)), 23);
    assert_eq!(count("national", date!(2022 - 10 - 01)), 1);
    assert_eq!(DE06.org_units.len(), 15_402);
}

#[test]
fn five_island_districts_stand_in_for_communes_and_nobody_else() {
    let identity = data_set("identity");
    assert_eq!(expected(identity, "202211"), [("district", 5), ("commune", 10_599)]);
    let vintage = de06().vintage(identity, "202211".parse().unwrap());
    let commune = de06().find_level("commune").unwrap();
    let reporting =
        vintage.units().filter(|(ix, unit)| unit.level != commune && de06().reports(identity, vintage, *ix));
    let standing_in: Vec<&OrgUnitCode> = reporting.map(|(_, unit)| &unit.code).collect();
    assert_eq!(standing_in.iter().map(|code| code.as_str()).collect::<Vec<_>>(), ["318", "471", "498", "536", "755"]);
    // The month of July 2025 ends on 14 July: who exists then reports it.
    assert_eq!(expected(identity, "202507"), [("commune", 3_321)]);
}

#[test]
fn other_data_sets_are_reported_by_their_levels() {
    assert_eq!(
        expected(data_set("online_services"), "202211"),
        [("province", 63), ("district", 5), ("commune", 10_599)]
    );
    let organisation = expected(data_set("organisation"), "2022Q3");
    assert_eq!(organisation, [("ministry", 23), ("province", 63), ("district", 705), ("commune", 10_599)]);
}

#[test]
fn cells_are_the_forms() {
    let cells = |code| data_set(code).cells().iter().map(ToString::to_string).collect::<Vec<_>>();
    let counts: Vec<(&str, usize)> =
        de06().data_sets().iter().map(|data_set| (data_set.code().as_str(), data_set.cells().len())).collect();
    assert_eq!(
        counts,
        [
            ("awards", 2),
            ("campaign", 3),
            ("communication", 2),
            ("community_teams", 4),
            ("data_links", 9),
            ("digitisation", 4),
            ("finance", 2),
            ("identity", 17),
            ("identity_targets", 6),
            ("incidents", 2),
            ("information_security", 3),
            ("infrastructure", 3),
            ("online_services", 52),
            ("organisation", 14),
            ("portal_applications", 5),
            ("public_services", 33),
        ]
    );
    // Their places are where values are stored.
    let online = cells("online_services");
    assert_eq!(
        [&online[0], &online[2], &online[26], &online[51]],
        ["rec_total", "svc_total[s01]", "svc_total[s25]", "svc_online[s25]"]
    );
    assert_eq!(
        [&cells("identity")[13], &cells("organisation")[10]],
        ["pop_records_corrected", "org_police_units_engaged"]
    );
}

/// The rows of one of the catalogue's own files: of each the text under a column.
fn column(file: &str, column: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06").join(file);
    let mut reader = csv::Reader::from_path(path).unwrap();
    let at = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
    reader.records().map(|row| row.unwrap()[at].to_owned()).collect()
}

#[test]
fn every_data_element_is_in_a_form() {
    let elements = column("data_elements.csv", "code");
    // 71, and the three days that their checks ask for.
    assert_eq!(elements.len(), 74);
    let mut forms: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for data_set in de06().data_sets() {
        for cell in data_set.cells() {
            let of = forms.entry(cell.element.code.as_str()).or_default();
            if of.last() != Some(&data_set.code().as_str()) {
                of.push(data_set.code().as_str());
            }
        }
    }
    let without: Vec<&String> = elements.iter().filter(|code| !forms.contains_key(code.as_str())).collect();
    assert!(without.is_empty(), "{without:?}");
    // In two forms is only what two reporters count, or one of them by the day and by the month.
    let twice: Vec<(&str, Vec<&str>)> = forms.into_iter().filter(|(_, of)| of.len() > 1).collect();
    assert_eq!(
        twice,
        [
            ("eid_target_met", vec!["identity", "identity_targets"]),
            ("eid_target_met_on", vec!["identity", "identity_targets"]),
            ("id_card_records_collected", vec!["campaign", "identity"]),
            ("id_card_records_collected_new", vec!["campaign", "identity"]),
            ("id_card_target_met", vec!["identity", "identity_targets"]),
            ("id_card_target_met_on", vec!["identity", "identity_targets"]),
            ("rec_online", vec!["online_services", "portal_applications"]),
            ("rec_total", vec!["online_services", "portal_applications"]),
        ]
    );
}

#[test]
fn a_cell_is_filled_by_its_own_levels() {
    let organisation = data_set("organisation");
    let vintage = de06().vintage(organisation, "2022Q3".parse().unwrap());
    let fills = |cell: &str, unit: &str| {
        let cell = &organisation.cells()[organisation.find_cell(cell, "").unwrap()];
        de06().fills(cell, vintage, vintage.find(unit).unwrap())
    };
    // A commune, an island district, a district, a province, a ministry.
    let units = ["31498", "536", "941", "94", "BCA"];
    assert_eq!(units.map(|unit| fills("org_task_force_established", unit)), [true; 5]);
    assert_eq!(units.map(|unit| fills("org_hamlets_total", unit)), [true, true, false, false, false]);
    assert_eq!(units.map(|unit| fills("org_pilot_models_planned", unit)), [false, false, false, true, false]);
}

#[test]
fn rules_are_expanded_and_weighed() {
    let counts = |data_set: &DataSet| {
        let count = |severity| data_set.rules().iter().filter(|rule| rule.severity == severity).count();
        (data_set.code().as_str().to_owned(), count(Severity::Error), count(Severity::Warning))
    };
    let counts: Vec<(String, usize, usize)> = de06().data_sets().iter().map(counts).collect();
    let counts: Vec<(&str, usize, usize)> =
        counts.iter().map(|(code, errors, warnings)| (code.as_str(), *errors, *warnings)).collect();
    assert_eq!(
        counts,
        [
            ("awards", 0, 0),
            ("campaign", 2, 2),
            ("communication", 0, 0),
            ("community_teams", 1, 2),
            ("data_links", 0, 0),
            ("digitisation", 2, 0),
            ("finance", 0, 1),
            ("identity", 3, 16),
            ("identity_targets", 4, 0),
            ("incidents", 1, 0),
            ("information_security", 1, 0),
            ("infrastructure", 1, 0),
            ("online_services", 26, 1),
            ("organisation", 3, 2),
            ("portal_applications", 1, 1),
            ("public_services", 18, 6),
        ]
    );
    let looking_back: usize =
        de06().data_sets().iter().flat_map(DataSet::rules).filter(|rule| rule.looks_back()).count();
    assert_eq!(looking_back, 12);
    let rule =
        data_set("online_services").rules().iter().find(|rule| rule.id == "service_online_at_most_total[s03]").unwrap();
    assert!(rule.message.vi.starts_with("Đăng ký thường trú: "), "{}", rule.message.vi);
}

/// Values of some cells of a data set.
fn values(data_set: &DataSet, given: &[(&str, i64)]) -> Values {
    let mut values = vec![None; data_set.cells().len()];
    for (cell, value) in given {
        let place = data_set.cells().iter().position(|own| own.to_string() == *cell);
        values[place.unwrap_or_else(|| panic!("{cell}"))] = Some(*value);
    }
    values.into()
}

/// The rules of a data set that some values break, those of the period before given.
fn broken(code: &str, now: &[(&str, i64)], before: &[(&str, i64)]) -> Vec<&'static str> {
    let data_set = data_set(code);
    let (now, before) = (values(data_set, now), values(data_set, before));
    let broken = data_set.rules().iter().filter(|rule| rule.check(&now, Some(&before)).is_some());
    broken.map(|rule| rule.id.as_str()).collect()
}

#[test]
fn rules_of_the_identity_form_break_one_past_their_bound() {
    let identity = |now: &[(&str, i64)], before: &[(&str, i64)]| broken("identity", now, before);
    let eligible = |now, before| identity(&[("id_eligible_citizens", now)], &[("id_eligible_citizens", before)]);
    assert_eq!(eligible(10_500, 10_000), [""; 0]);
    assert_eq!(eligible(10_501, 10_000), ["eligible_rose_at_most_5_percent"]);
    assert_eq!(eligible(9_500, 10_000), [""; 0]);
    assert_eq!(eligible(9_499, 10_000), ["eligible_fell_at_most_5_percent"]);

    let records = ("id_card_records_collected", 100);
    let new = |new| identity(&[records, ("id_card_records_collected_new", new)], &[("id_card_records_collected", 90)]);
    assert_eq!(new(10), [""; 0]);
    assert_eq!(new(11), ["card_records_rose_by_new"]);
    for (cell, rule) in [
        ("id_card_records_collected", "card_records_not_fewer"),
        ("eid_l1_activated", "l1_not_fewer"),
        ("eid_l2_collected", "l2_not_fewer"),
        ("eid_accounts_activated", "accounts_not_fewer"),
    ] {
        assert_eq!(identity(&[(cell, 99)], &[(cell, 100)]), [rule]);
        assert_eq!(identity(&[(cell, 100)], &[(cell, 100)]), [""; 0]);
    }
    let met = |with: &[(&str, i64)]| identity(&[&[("id_card_target_met", 1), records], with].concat(), &[]);
    assert_eq!(met(&[("id_eligible_citizens", 100)]), ["card_target_met_on_given"]);
    let met_on = ("id_card_target_met_on", 20_230_609);
    assert_eq!(met(&[met_on, ("id_eligible_citizens", 101)]), ["card_target_met_by_records"]);
    assert_eq!(met(&[met_on, ("id_eligible_citizens", 100)]), [""; 0]);
    assert_eq!(identity(&[("id_card_target_met", 0), ("eid_target_met", 0)], &[]), [""; 0]);
    assert_eq!(identity(&[("eid_target_met", 1)], &[]), ["eid_target_met_on_given"]);
    assert_eq!(
        identity(&[("link_bhyt_cards_integrated", 6), ("id_cards_issued", 5)], &[]),
        ["health_insurance_at_most_issued"]
    );
}

#[test]
fn rules_of_the_other_forms_break_one_past_their_bound() {
    let now = |code, now: &[(&str, i64)]| broken(code, now, &[]);
    let set_up = ("org_task_force_established", 1);
    let dissolved = ("org_task_force_established", 0);
    assert_eq!(broken("organisation", &[dissolved], &[set_up]), ["task_force_dissolved_with_a_note"]);
    assert_eq!(broken("organisation", &[dissolved, ("note_difficulties", 0)], &[set_up]), [""; 0]);
    assert_eq!(broken("organisation", &[dissolved], &[dissolved]), [""; 0]);
    let plan = |assigned, completed| [("org_plan_tasks_assigned", assigned), ("org_plan_tasks_completed", completed)];
    assert_eq!(broken("organisation", &plan(26, 23), &plan(26, 24)), ["tasks_completed_not_fewer"]);
    assert_eq!(broken("organisation", &plan(30, 2), &plan(26, 24)), [""; 0], "another plan");

    assert_eq!(
        now("identity_targets", &[("id_card_target_met", 0), ("id_card_target_days_ahead", -3)]),
        ["days_ahead_of_a_target_met"]
    );
    assert_eq!(now("identity_targets", &[("id_card_target_days_ahead", 21)]), ["card_target_met_given"]);
    let met = [("id_card_target_met", 1), ("id_card_target_days_ahead", 21)];
    assert_eq!(now("identity_targets", &met), ["card_target_met_on_given"]);
    assert_eq!(now("identity_targets", &[&met[..], &[("id_card_target_met_on", 20_230_609)]].concat()), [""; 0]);
    assert_eq!(now("identity_targets", &[("eid_target_met", 1)]), ["eid_target_met_on_given"]);

    let teams = |members| now("community_teams", &[("cdt_teams", 10), ("cdt_members", members)]);
    assert_eq!(teams(9), ["members_at_least_teams", "at_least_2_members_a_team"]);
    assert_eq!(teams(19), ["at_least_2_members_a_team"]);
    assert_eq!((teams(20), teams(300)), (vec![], vec![]));
    assert_eq!(teams(301), ["at_most_30_members_a_team"]);

    let days = |days| now("campaign", &[("camp_duration_days[id_45_days]", days)]);
    assert_eq!(days(0), ["at_least_1_day[id_45_days]"]);
    assert_eq!((days(1), days(366)), (vec![], vec![]));
    assert_eq!(days(367), ["at_most_366_days[id_45_days]"]);

    let accounts = |total, new| {
        let now = [("dvc_accounts_total", total), ("dvc_accounts_new", new)];
        broken("portal_applications", &now, &[("dvc_accounts_total", 50)])
    };
    assert_eq!(accounts(60, 10), [""; 0]);
    assert_eq!(accounts(60, 9), ["accounts_rose_by_new"]);

    assert_eq!(now("digitisation", &[("digi_live", 1)]), ["live_since_given"]);
    assert_eq!(now("digitisation", &[("digi_live", 1), ("digi_live_since", 20_220_601)]), [""; 0]);
    // Hours are kept as tenths.
    assert_eq!(now("incidents", &[("infra_outage_hours", 1_680)]), [""; 0]);
    assert_eq!(now("incidents", &[("infra_outage_hours", 1_681)]), ["outage_at_most_the_week"]);

    for (code, less, more, rule) in [
        ("digitisation", "digi_done", "digi_eligible", "done_at_most_eligible"),
        ("infrastructure", "infra_staff_with_pc", "infra_staff_total", "staff_with_pc_at_most_all"),
        ("information_security", "sec_infosys_approved", "sec_infosys_total", "approved_at_most_all"),
        ("finance", "fin_disbursed", "fin_allocated", "disbursed_at_most_allocated"),
        ("portal_applications", "rec_online", "rec_total", "online_at_most_received"),
        ("public_services", "dvc_online_l3_l4", "tthc_published", "online_at_most_published"),
    ] {
        assert_eq!(now(code, &[(less, 7), (more, 7)]), [""; 0]);
        assert_eq!(now(code, &[(less, 8), (more, 7)]), [rule]);
    }
}

#[test]
fn lists_of_services_have_the_sizes_of_their_decisions() {
    let listed = |given: &[(&str, i64)]| {
        let given: Vec<(String, i64)> =
            given.iter().map(|(list, size)| (format!("dvc_list_total[{list}]"), *size)).collect();
        let given: Vec<(&str, i64)> = given.iter().map(|(cell, size)| (cell.as_str(), *size)).collect();
        broken("public_services", &given, &[])
    };
    assert_eq!(listed(&[("qd06", 25), ("qd06_police", 11), ("qd06_other", 14), ("qd422", 28)]), [""; 0]);
    assert_eq!(listed(&[("qd06", 25), ("qd06_police", 13), ("qd06_other", 12), ("qd422", 29)]), [""; 0]);
    assert_eq!(listed(&[("qd06", 24)]), ["essential_are_25"]);
    assert_eq!(listed(&[("qd06", 25), ("qd06_police", 11), ("qd06_other", 13)]), ["listed_of_police_and_others"]);
    assert_eq!(listed(&[("qd06_police", 10), ("qd06_other", 15)]), ["police_at_least_11", "others_at_most_14"]);
    assert_eq!(listed(&[("qd06_police", 14), ("qd06_other", 11)]), ["police_at_most_13", "others_at_least_12"]);
    assert_eq!(listed(&[("qd422", 27)]), ["decision_422_at_least_28"]);
    assert_eq!(listed(&[("qd422", 30)]), ["decision_422_at_most_29"]);

    let deployed = |given: &[(&str, i64)]| broken("public_services", given, &[]);
    // The nation in August 2022.
    let nation =
        [("dvc_list_deployed[qd06]", 21), ("dvc_list_deployed[qd06_police]", 11), ("dvc_list_total[qd06]", 25)];
    assert_eq!(deployed(&[&nation[..], &[("dvc_list_deployed[qd06_other]", 10)]].concat()), [""; 0]);
    assert_eq!(
        deployed(&[&nation[..], &[("dvc_list_deployed[qd06_other]", 9)]].concat()),
        ["deployed_of_police_and_others"]
    );
    assert_eq!(
        deployed(&[("dvc_list_deployed[qd422]", 29), ("dvc_list_total[qd422]", 28)]),
        ["deployed_at_most_listed[qd422]"]
    );
    let levels = [("dvc_essential_l3[qd06]", 10), ("dvc_essential_l4[qd06]", 12), ("dvc_list_deployed[qd06]", 21)];
    assert_eq!(deployed(&levels), ["levels_at_most_deployed[qd06]"]);
}

#[test]
fn indicators_are_nine() {
    assert_eq!(column("indicators.csv", "code").len(), 9);
    let mut found: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    for data_set in de06().data_sets() {
        for indicator in data_set.indicators() {
            let of = found.entry(indicator.code.as_str()).or_default();
            match of.last_mut().filter(|(code, _)| *code == data_set.code().as_str()) {
                Some((_, count)) => *count += 1,
                None => of.push((data_set.code().as_str(), 1)),
            }
        }
    }
    let found: Vec<(&str, Vec<(&str, usize)>)> = found.into_iter().collect();
    assert_eq!(
        found,
        [
            ("digi_rate", vec![("digitisation", 1)]),
            ("dvc_list_rate", vec![("public_services", 7)]),
            ("eid_activation_rate", vec![("identity", 1)]),
            ("id_card_coverage_rate", vec![("identity", 1)]),
            ("infra_pc_rate", vec![("infrastructure", 1)]),
            ("org_plan_completion_rate", vec![("organisation", 1)]),
            ("pop_clean_rate", vec![("identity", 1)]),
            ("rec_online_rate", vec![("online_services", 1), ("portal_applications", 1)]),
            ("svc_online_rate", vec![("online_services", 25)]),
        ]
    );
}

#[test]
fn eleven_services_of_the_police_are_thirteen_since_march_2025() {
    let online = data_set("online_services");
    let members = |element: &str, group: &str, period: &str| {
        let last = online.last_day(period.parse().unwrap());
        let is_it = |own: &&CellGroup| own.element.as_str() == element && own.group.code.as_str() == group;
        let group = online.groups().iter().find(is_it).unwrap();
        let valid = group.members.iter().filter(|member| {
            member.valid_from.is_none_or(|from| from <= last) && member.valid_to.is_none_or(|to| last < to)
        });
        valid.map(|member| online.cells()[member.cell].option.as_ref().unwrap().code.as_str()).collect::<Vec<_>>()
    };
    let count = |group, period| members("svc_total", group, period).len();
    // The month of February 2025 ends on the 14th, that of March on 14 March.
    assert_eq!(["202211", "202502", "202503", "202507"].map(|period| count("police", period)), [11, 11, 13, 13]);
    assert_eq!(["202211", "202502", "202503", "202507"].map(|period| count("other", period)), [14, 14, 12, 12]);
    assert_eq!(["202506", "202507"].map(|period| count("commune", period)), [0, 6]);
    assert_eq!(members("svc_online", "residence", "202211"), ["s03", "s04", "s05", "s06"]);
    assert_eq!(members("svc_online", "civil_status", "202211"), ["s12", "s13", "s14"]);
    assert_eq!(members("svc_online", "seal", "202211"), ["s10", "s11"]);
    assert_eq!(members("svc_total", "police", "202503")[11..], ["s15", "s21"]);
    assert_eq!(online.groups().len(), 12, "six groups of two data elements");
    assert!(de06().data_sets().iter().all(|data_set| data_set.groups().is_empty() || data_set.code() == online.code()));
}

#[test]
fn targets_are_the_programmes() {
    let goals = |code| {
        let data_set = data_set(code);
        let cell = |place: usize| data_set.cells()[place].to_string();
        let goal = |goal| match goal {
            Goal::Value(value) => value.to_string(),
            Goal::Of { share, cell: other } => format!("{share} of {}", cell(other)),
            Goal::OfUnits { share } => format!("{share} of units"),
        };
        data_set.targets().iter().map(|target| (cell(target.cell), goal(target.goal))).collect::<Vec<_>>()
    };
    let all = |data_set| goals(data_set).iter().map(|(cell, goal)| format!("{cell}: {goal}")).collect::<Vec<_>>();
    assert_eq!(
        all("organisation"),
        [
            "org_task_force_established: 10000 of units",
            "org_hamlets_with_team: 10000 of org_hamlets_total",
            "org_plan_issued: 10000 of units",
            "org_plan_tasks_completed: 10000 of org_plan_tasks_assigned",
            "org_pilot_models_deployed: 10000 of org_pilot_models_planned",
            "org_police_units_engaged: 10000 of units",
        ]
    );
    assert_eq!(goals("public_services").len(), 7);
    assert_eq!(all("public_services")[4], "dvc_list_deployed[qd422]: 10000 of dvc_list_total[qd422]");
    assert_eq!(all("information_security")[1], "sec_level_assessed: 10000 of units");
    assert_eq!((goals("infrastructure").len(), goals("community_teams").len(), goals("identity").len()), (2, 1, 4));
    let phu_tho = data_set("identity").targets().iter().find(|target| target.org_unit.is_some()).unwrap();
    assert_eq!((phu_tho.period, phu_tho.due), ("2023".parse().ok(), Some(date!(2023 - 06 - 30))));
}

#[test]
fn every_level_has_a_deadline_after_those_below() {
    let order = ["commune", "district", "province", "ministry", "national"];
    for data_set in de06().data_sets() {
        let days = |level: &str| {
            let level = de06().find_level(level)?;
            let deadlines = &data_set.schedule().deadlines;
            deadlines.iter().find(|(own, _)| *own == level).map(|(_, days)| *days)
        };
        let given: Vec<u16> = order.iter().filter_map(|level| days(level)).collect();
        assert_eq!(given.len(), data_set.levels().iter().count(), "{}", data_set.code());
        assert!(given.is_sorted() && given[0] >= 1, "{}: {given:?}", data_set.code());
        assert_eq!(data_set.schedule().closes_after, None);
    }
    // Decree 09/2019/NĐ-CP: the period ends on the 14th, provinces report by the end of the 25th, Hà Nội time.
    let organisation = data_set("organisation");
    let deadline = |level| {
        let level = de06().find_level(level).unwrap();
        de06().deadline(organisation, "2022Q4".parse().unwrap(), level, false).unwrap()
    };
    assert_eq!(deadline("province"), time::macros::datetime!(2022-12-26 00:00 +7).into());
    assert_eq!(deadline("commune"), time::macros::datetime!(2022-12-18 00:00 +7).into());
}

#[test]
fn a_code_is_another_unit_after_the_reform() {
    let (before, after) = (date!(2025 - 06 - 30), date!(2025 - 07 - 01));
    let yen_bai = de06().tree().on(before).find("15").unwrap();
    assert!(!de06().tree().continued(yen_bai, before, after).1);
}

/// A figure as the press published it.
#[derive(Clone, serde::Deserialize)]
struct Figure {
    id: String,
    indicator_code: String,
    dimension: String,
    unit_code: String,
    as_of: String,
    period_start: String,
    period_end: String,
    unit_of_measure: String,
    kind: String,
}

impl Figure {
    /// The days at which, or from and to which it holds.
    fn days(&self) -> (Date, Date) {
        let day = |text: &str| {
            let whole = if text.len() == 7 { format!("{text}-01") } else { text.to_owned() };
            Date::parse(&whole, &time::format_description::well_known::Iso8601::DATE).unwrap()
        };
        match (self.as_of.as_str(), self.period_start.as_str()) {
            (as_of, "") => (day(as_of), day(as_of)),
            (_, start) => (day(start), day(&self.period_end)),
        }
    }

    /// The option and the level of the reporters that it is about, where it says so.
    fn narrowed(&self) -> (Option<&str>, Vec<&str>) {
        let of_units = ["ministry", "province", "district", "commune"];
        let counts_units = self.kind == "coverage" && of_units.contains(&self.unit_of_measure.as_str());
        match self.dimension.split_once('=') {
            Some(("level", levels)) => (None, levels.split('+').collect()),
            Some((_, option)) => (Some(option), Vec::new()),
            None if counts_units => (None, vec![&self.unit_of_measure]),
            None => (None, Vec::new()),
        }
    }

    /// The data elements of which it is made.
    fn elements(&self, data_set: &DataSet) -> Vec<String> {
        let rate = data_set.indicators().iter().find(|indicator| indicator.code.as_str() == self.indicator_code);
        let named = |place: usize| data_set.cells()[place].element.code.to_string();
        match (rate, self.kind.as_str()) {
            (Some(rate), _) => vec![named(rate.numerator), named(rate.denominator)],
            (None, "date") => vec![format!("{}_since", self.indicator_code)],
            (None, _) => vec![self.indicator_code.clone()],
        }
    }

    /// Whether a data set's totals can say it: each cell is filled below the unit by the levels it is about, and its days
    /// are those of a period, of a longer one made of them, or of several years.
    fn is_said_by(&self, data_set: &DataSet) -> bool {
        let (first, last) = self.days();
        let kinds = [data_set.period_type(), PeriodType::Quarter, PeriodType::HalfYear, PeriodType::Year];
        let containing = |day| {
            let periods = kinds.iter().filter(|kind| **kind >= data_set.period_type());
            periods.filter_map(move |kind| Period::containing(*kind, data_set.calendar(), day)).collect::<Vec<_>>()
        };
        let whole_years = data_set.calendar() == Calendar::Gregorian && first.ordinal() == 1;
        let has_period = match self.kind.as_str() {
            "delta" if first != last => containing(first).iter().any(|period| data_set.last_day(*period) == first),
            _ => first == last || (whole_years && last.next_day().is_none_or(|day| day.ordinal() == 1)),
        };
        let vintage = de06().vintage(data_set, containing(last)[0]);
        let (option, levels) = self.narrowed();
        let is_filled = |element: &String| {
            let cells = data_set.cells().iter().filter(|cell| cell.element.code.as_str() == element);
            let mut cells = cells.filter(|cell| {
                option.is_none_or(|option| cell.option.as_ref().is_some_and(|own| own.code.as_str() == option))
            });
            cells.any(|cell| is_filled(cell, vintage, &self.unit_code, &levels))
        };
        has_period && self.elements(data_set).iter().all(is_filled)
    }
}

/// Whether units of each of the levels (of any, where there are none) fill a cell, in the subtree of a unit. What is not
/// added up the unit fills itself.
fn is_filled(cell: &Cell, vintage: &Vintage, unit: &str, levels: &[&str]) -> bool {
    let unit = vintage.find(unit).unwrap();
    let fill = |level: Option<&str>| {
        let of_level = |at| level.is_none_or(|level| de06().level(vintage.unit(at).level).code.as_str() == level);
        vintage.subtree(unit).any(|at| of_level(at) && de06().fills(cell, vintage, at))
    };
    if !cell.element.space_aggregation.is_additive() && cell.element.value_type != ValueType::Date {
        return de06().fills(cell, vintage, unit);
    }
    if levels.is_empty() { fill(None) } else { levels.iter().all(|level| fill(Some(level))) }
}

#[test]
fn every_published_figure_can_be_said() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/published_figures.csv");
    let figures: Vec<Figure> =
        csv::Reader::from_path(path).unwrap().into_deserialize().collect::<Result<_, _>>().unwrap();
    assert_eq!(figures.len(), 60);
    let unsaid: Vec<&str> = figures
        .iter()
        .filter(|figure| !de06().data_sets().iter().any(|data_set| figure.is_said_by(data_set)))
        .map(|figure| figure.id.as_str())
        .collect();
    assert!(unsaid.is_empty(), "{unsaid:?}");
    // What no form asks for cannot be said.
    let refused = |id: &str, change: fn(&mut Figure)| {
        let mut figure = figures.iter().find(|figure| figure.id == id).unwrap().clone();
        change(&mut figure);
        !de06().data_sets().iter().any(|data_set| figure.is_said_by(data_set))
    };
    assert!(refused("F000-01", |figure| figure.period_end = "2022-12-30".to_owned()));
    assert!(refused("F000-03", |figure| figure.dimension = "list=qd1".to_owned()));
    assert!(refused("F000-09", |figure| figure.unit_of_measure = "ministry".to_owned()));
    assert!(refused("F000-12", |figure| figure.unit_code = "31498".to_owned()));
    assert!(refused("F001-13", |figure| figure.period_start = "2021-12-30".to_owned()));
    assert!(refused("F001-14", |figure| figure.indicator_code = "dvc_sso_enabled".to_owned()));
}

#[test]
fn the_version_is_that_of_the_contents() {
    let version = de06().version().as_str();
    let fingerprint = version.strip_prefix("2022.1-").unwrap();
    assert!(fingerprint.len() == 8 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");
}
