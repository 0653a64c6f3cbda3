//! `tonghop totals`: a unit's totals and completeness, and those of the units below it.

mod names;
mod object;
mod value;

use proto::pb::query::v1::{
    CellTotal, GetTotalsRequest, LevelTotals, ListChildTotalsRequest, Totals, query_service_client::QueryServiceClient,
};

use self::value::{
    cell_value, group_name, group_value, indicator_name, indicator_value, punctuality, share, target_state,
};
pub(crate) use self::{
    names::Names,
    object::{object, unit},
    value::{ABSENT, completeness, name, name_of},
};
use crate::{
    Ended, args,
    number::{count, grouped, local_time},
    output::{Failure, Output, both},
    peer::Peer,
    table::{Align, render},
};

/// Units asked for at a time.
const PAGE: i32 = 250;

pub(crate) async fn run(args: &args::Totals, output: &Output) -> Result<Ended, Failure> {
    let names = Names::load(args.catalogue.as_deref(), output)?;
    let args::Which { query, credentials, org_unit, data_set, period } = &args.which;
    let peer = Peer::query(query, credentials);
    let mut client = QueryServiceClient::new(peer.connect().await?);
    let request = GetTotalsRequest {
        org_unit: org_unit.clone(),
        data_set: data_set.clone(),
        period: period.clone(),
        as_of: args.as_of.as_ref().map(args::AsOf::wire),
        ..GetTotalsRequest::default()
    };
    let totals = peer.answer(client.get_totals(request)).await?.totals.unwrap_or_default();
    if let Some(name) = args.cell.iter().find(|name| !has(&totals, name)) {
        return Err(Failure::new(both(
            format!("biểu mẫu {data_set} không có ô số liệu, nhóm hay chỉ số {name}; chạy lệnh không có --cell để xem"),
            format!(
                "data set {data_set} has no cell, group or indicator {name}; without --cell the command shows all there are"
            ),
        )));
    }
    let mut children = Vec::new();
    if args.children {
        let mut page_token = String::new();
        loop {
            let request = ListChildTotalsRequest {
                org_unit: org_unit.clone(),
                data_set: data_set.clone(),
                // Which one `latest` is may change between two questions.
                period: totals.period.clone(),
                page_size: PAGE,
                page_token,
            };
            let page = peer.answer(client.list_child_totals(request)).await?;
            children.extend(page.totals);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
    }
    names.remark_other_version(&totals, output);
    output.result(
        || {
            let mut object = object(&totals);
            if args.children {
                object["children"] = children.iter().map(self::object).collect();
            }
            object
        },
        || {
            let mut text = said(&totals, &names, output);
            if args.children {
                text.push('\n');
                text.push_str(&children_said(&totals, &children, &args.cell, &names, output));
            }
            text
        },
    );
    Ok(Ended::Well)
}

/// The cells of a data set, in its order. Every level has all of them.
fn cells_of(totals: &Totals) -> impl Iterator<Item = &CellTotal> {
    totals.levels.first().into_iter().flat_map(|level| &level.cells)
}

fn said(totals: &Totals, names: &Names, output: &Output) -> String {
    let lang = output.lang();
    let unit = totals.org_unit.clone().unwrap_or_default();
    let mut text = format!(
        "{} {} ({})  {} {}\n",
        unit.code,
        unit.name,
        names.level(&unit.level, output),
        totals.data_set,
        totals.period
    );
    let state = match totals.changed_at {
        None => output.say(&both("chưa có báo cáo nào", "no report yet")),
        // As they stood once they have no version.
        Some(at) if totals.version == 0 => {
            let (at, position) = (local_time(at.seconds, at.nanos), totals.log_position);
            output.say(&both(
                format!("như khi tính đến vị trí {position}; báo cáo mới nhất đến lúc {at}"),
                format!("as it stood at position {position}; the newest report came in at {at} (Vietnam)"),
            ))
        }
        Some(at) => {
            let (at, version, position) = (local_time(at.seconds, at.nanos), totals.version, totals.log_position);
            output.say(&both(
                format!("cập nhật lúc {at}, phiên bản {version}, đến vị trí {position}"),
                format!("changed at {at} (Vietnam), version {version}, up to position {position}"),
            ))
        }
    };
    text.push_str(&format!("{state}, {} {}\n\n", lang.of("danh mục", "catalogue"), totals.catalogue_version));
    if totals.levels.is_empty() {
        text.push_str(&output.say(&both("không có đơn vị nào phải báo cáo", "no unit is expected to report")));
        return text + "\n";
    }
    let shown = shown(totals);
    let mut rows = completeness_rows(&shown, names, output);
    rows.push(Vec::new());
    rows.extend(cell_rows(totals, &shown, names, output));
    rows.extend(computed_rows(totals, &shown, names, output));
    let columns: Vec<Align> =
        [Align::Left, Align::Left].into_iter().chain(shown.iter().map(|_| Align::Right)).collect();
    text.push_str(&render(&columns, &rows));
    text + &targets_said(totals, &shown, names, output)
}

/// The columns: the levels, and where there are several all of them together.
fn shown(totals: &Totals) -> Vec<&LevelTotals> {
    let overall = totals.overall.as_ref().filter(|_| totals.levels.len() > 1);
    totals.levels.iter().chain(overall).collect()
}

fn level_name(level: &LevelTotals, names: &Names, output: &Output) -> String {
    if level.level.is_empty() { output.lang().of("tất cả", "all") } else { names.level(&level.level, output) }
}

/// A row without a code of its own.
fn row(name: String, fields: impl Iterator<Item = String>) -> Vec<String> {
    [name, String::new()].into_iter().chain(fields).collect()
}

/// Who has reported, how many in time, and with how many warnings.
fn completeness_rows(shown: &[&LevelTotals], names: &Names, output: &Output) -> Vec<Vec<String>> {
    let lang = output.lang();
    let levels = shown.iter().map(|level| level_name(level, names, output));
    let mut rows = vec![row(lang.of("cấp báo cáo", "reporting level"), levels)];
    rows.push(row(lang.of("đã báo cáo", "reported"), shown.iter().map(|level| completeness(level))));
    if shown.iter().any(|level| level.deadline.is_some()) {
        rows.push(row(lang.of("đúng hạn", "on time"), shown.iter().map(|level| punctuality(level))));
    }
    if shown.iter().any(|level| level.warned > 0) {
        rows.push(row(lang.of("có cảnh báo", "with warnings"), shown.iter().map(|level| count(level.warned))));
    }
    rows
}

fn cell_rows(totals: &Totals, shown: &[&LevelTotals], names: &Names, output: &Output) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut last_element = None;
    for (place, cell) in cells_of(totals).enumerate() {
        let known = names.cell(&totals.data_set, cell);
        let values = shown.iter().map(|level| match level.cells.get(place) {
            Some(cell) => cell_value(cell, known, output),
            None => ABSENT.to_owned(),
        });
        let [name, code] = match names.cell_names(&totals.data_set, cell, output) {
            None => [name_of(cell), String::new()],
            Some((element, None)) => [element.to_owned(), name_of(cell)],
            Some((element, Some(option))) => {
                // A data element that is broken down is named once, above its options.
                if last_element != Some(&cell.data_element) {
                    rows.push(vec![element.to_owned(), cell.data_element.clone()]);
                }
                [format!("  {option}"), name_of(cell)]
            }
        };
        last_element = Some(&cell.data_element);
        rows.push([name, code].into_iter().chain(values).collect());
    }
    rows
}

/// Groups and indicators, after an empty row each.
fn computed_rows(totals: &Totals, shown: &[&LevelTotals], names: &Names, output: &Output) -> Vec<Vec<String>> {
    let (lang, data_set) = (output.lang(), totals.data_set.as_str());
    let Some(first) = shown.first() else { return Vec::new() };
    let named = |name: Option<String>, code: String| match name {
        None => [code, String::new()],
        Some(name) => [name, code],
    };
    let mut rows = Vec::new();
    for (place, group) in first.groups.iter().enumerate() {
        if place == 0 {
            rows.push(Vec::new());
        }
        let [name, code] = named(names.group(data_set, group, output), group_name(group));
        let options = group.options;
        let name = format!("{name} ({})", lang.of(&format!("{options} mục"), &format!("{options} options")));
        let values = shown.iter().map(|level| level.groups.get(place).map_or(ABSENT.to_owned(), group_value));
        rows.push([name, code].into_iter().chain(values).collect());
    }
    for (place, indicator) in first.indicators.iter().enumerate() {
        if place == 0 {
            rows.push(Vec::new());
        }
        let [name, code] = named(names.indicator(data_set, indicator, output), indicator_name(indicator));
        let values = shown.iter().map(|level| level.indicators.get(place).map_or(ABSENT.to_owned(), indicator_value));
        rows.push([name, code].into_iter().chain(values).collect());
    }
    rows
}

/// A row for each target: what is to be reached, how far it is, and whether that is in time.
fn targets_said(totals: &Totals, shown: &[&LevelTotals], names: &Names, output: &Output) -> String {
    let lang = output.lang();
    // Of a single level all together say the same, and more.
    let shown = if shown.len() > 1 { shown.to_vec() } else { totals.overall.iter().collect() };
    let mut rows = Vec::new();
    for level in shown {
        for target in &level.targets {
            let number =
                |number: Option<i64>| number.map_or(ABSENT.to_owned(), |number| grouped(number, target.decimals));
            let due = if target.due.is_empty() { ABSENT.to_owned() } else { target.due.clone() };
            rows.push(vec![
                name(&target.data_element, &target.option),
                level_name(level, names, output),
                number(target.goal),
                number(target.value),
                share(target.achieved.as_ref()),
                number(target.remaining),
                due,
                target_state(target, output),
            ]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let header = [
        ("mục tiêu", "target"),
        ("cấp", "level"),
        ("cần đạt", "goal"),
        ("hiện có", "now"),
        ("tỷ lệ", "achieved"),
        ("còn thiếu", "missing"),
        ("hạn", "due"),
        ("tình trạng", "state"),
    ];
    rows.insert(0, header.iter().map(|(vi, en)| lang.of(vi, en)).collect());
    let [left, right] = [Align::Left, Align::Right];
    format!("\n{}", render(&[left, left, right, right, right, right, left, left], &rows))
}

/// Whether the data set has a cell, a group or an indicator of that name.
pub(crate) fn has(totals: &Totals, name: &str) -> bool {
    let all = totals.levels.first().or(totals.overall.as_ref());
    all.is_some_and(|level| {
        level.cells.iter().any(|cell| name_of(cell) == name)
            || level.groups.iter().any(|group| group_name(group) == name)
            || level.indicators.iter().any(|indicator| indicator_name(indicator) == name)
    })
}

/// What a level has under a name: a cell's total, a group's, or an indicator.
pub(crate) fn under_name(data_set: &str, level: &LevelTotals, name: &str, names: &Names, output: &Output) -> String {
    let cell = level.cells.iter().find(|cell| name_of(cell) == name);
    let cell = cell.map(|cell| cell_value(cell, names.cell(data_set, cell), output));
    let group = || level.groups.iter().find(|group| group_name(group) == name).map(group_value);
    let indicator = || level.indicators.iter().find(|indicator| indicator_name(indicator) == name);
    let value = cell.or_else(group).or_else(|| indicator().map(|indicator| share(indicator.value.as_ref())));
    value.unwrap_or_else(|| ABSENT.to_owned())
}

/// A row for each unit below: who has reported at which level, and what was asked for by name.
fn children_said(totals: &Totals, children: &[Totals], wanted: &[String], names: &Names, output: &Output) -> String {
    let lang = output.lang();
    let levels: Vec<&LevelTotals> = totals
        .levels
        .iter()
        .filter(|level| children.iter().any(|child| child.levels.iter().any(|of| of.level == level.level)))
        .collect();
    let mut header = vec![lang.of("mã", "code"), lang.of("đơn vị", "unit")];
    let mut columns = vec![Align::Left, Align::Left];
    for level in &levels {
        let level_name = names.level(&level.level, output);
        header.push(level_name.clone());
        let of_level = |what: &str| if levels.len() > 1 { format!("{what}, {level_name}") } else { what.to_owned() };
        header.extend(level.deadline.map(|_| of_level(&lang.of("đúng hạn", "on time"))));
        header.extend(wanted.iter().map(|name| of_level(name)));
    }
    columns.resize(header.len(), Align::Right);
    let mut rows = vec![header];
    for child in children {
        let unit = child.org_unit.clone().unwrap_or_default();
        let mut row = vec![unit.code, unit.name];
        for level in &levels {
            let has_deadline = level.deadline.is_some();
            let Some(level) = child.levels.iter().find(|of| of.level == level.level) else {
                row.extend((0..=wanted.len() + usize::from(has_deadline)).map(|_| ABSENT.to_owned()));
                continue;
            };
            row.push(completeness(level));
            row.extend(has_deadline.then(|| punctuality(level)));
            row.extend(wanted.iter().map(|name| under_name(&child.data_set, level, name, names, output)));
        }
        rows.push(row);
    }
    render(&columns, &rows)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use proto::pb::query::v1::{Aggregation, GroupTotal, Indicator, OrgUnit, Target};
    use serde_json::{Value, json};

    use super::*;
    use client::fake::Fake;

    use crate::{args::Lang, output::tests::captured};

    pub(crate) fn cell(name: &str, option: &str, sum: Option<i64>, decimals: u32) -> CellTotal {
        let (data_element, option) = (name.to_owned(), option.to_owned());
        let contributing = i64::from(sum.is_some()) * 2;
        let aggregation = Aggregation::Sum.into();
        CellTotal { data_element, option, sum, decimals, contributing, aggregation, expected: 109 }
    }

    pub(crate) fn totals() -> Totals {
        let level = |level: &str, reported, expected, cells| LevelTotals {
            level: level.to_owned(),
            reported,
            expected,
            cells,
            ..LevelTotals::default()
        };
        Totals {
            org_unit: Some(OrgUnit {
                code: "94".to_owned(),
                name: "Sóc Trăng".to_owned(),
                level: "province".to_owned(),
            }),
            data_set: "online_services".to_owned(),
            period: "202211".to_owned(),
            levels: vec![
                level("province", 0, 1, vec![cell("rec_total", "", None, 0), cell("svc_online", "s03", None, 0)]),
                level(
                    "commune",
                    108,
                    109,
                    vec![cell("rec_total", "", Some(1_205_627), 0), cell("svc_online", "s03", Some(923), 1)],
                ),
            ],
            version: 17,
            log_position: 9,
            catalogue_version: "2022.1-ab".to_owned(),
            changed_at: Some(proto::timestamp(domain::Timestamp::from_unix_micros(1_667_779_200_000_000))),
            overall: None,
        }
    }

    /// The same with all that is computed, for one level and for all together.
    fn computed() -> Totals {
        let mut totals = totals();
        let share = Target {
            data_element: "met".to_owned(),
            goal: Some(109),
            value: Some(87),
            achieved: Some("79.82".to_owned()),
            remaining: Some(22),
            due: "2022-11-14".to_owned(),
            ..Target::default()
        };
        let number = Target {
            data_element: "rec_total".to_owned(),
            goal: Some(1_000_000),
            value: Some(1_205_627),
            achieved: Some("120.56".to_owned()),
            remaining: Some(0),
            reached: true,
            due: "2022-11-14".to_owned(),
            reached_on: "2022-10-14".to_owned(),
            days: Some(31),
            ..Target::default()
        };
        for (place, level) in totals.levels.iter_mut().enumerate() {
            let is_commune = place == 1;
            level.on_time = 100 * i64::from(is_commune);
            level.warned = 3 * i64::from(is_commune);
            level.deadline = is_commune.then(|| proto::timestamp(domain::Timestamp::from_unix_micros(0)));
            level.groups = vec![GroupTotal {
                data_element: "svc_online".to_owned(),
                group: "police".to_owned(),
                sum: is_commune.then_some(4_500),
                contributing: 1_188,
                options: 11,
                ..GroupTotal::default()
            }];
            level.indicators = vec![Indicator {
                code: "rec_rate".to_owned(),
                numerator: is_commune.then_some(1_205_627),
                denominator: is_commune.then_some(1_306_217),
                value: is_commune.then(|| "92.30".to_owned()),
                ..Indicator::default()
            }];
            level.targets = if is_commune { vec![share.clone()] } else { Vec::new() };
        }
        let mut overall = totals.levels[1].clone();
        (overall.level, overall.expected, overall.deadline) = (String::new(), 110, None);
        overall.targets.push(number);
        totals.overall = Some(overall);
        totals
    }

    #[test]
    fn totals_are_a_table_with_a_column_for_each_level() {
        let (output, _) = captured(false, Lang::En);
        assert_eq!(
            said(&totals(), &Names::none(), &output),
            "94 Sóc Trăng (province)  online_services 202211\n\
             changed at 2022-11-07 07:00:00 (Vietnam), version 17, up to position 9, catalogue 2022.1-ab\n\
             \n\
             reporting level    province    commune\n\
             reported                0/1    108/109\n\
             \n\
             rec_total                 –  1.205.627\n\
             svc_online[s03]           –       92,3\n"
        );
    }

    #[test]
    fn names_come_from_the_catalogue() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/catalogue/de06");
        let (output, _) = captured(false, Lang::Vi);
        let names = Names::load(Some(Path::new(dir)), &output).unwrap();
        let text = said(&totals(), &names, &output);
        assert!(text.contains("94 Sóc Trăng (Cấp tỉnh)"), "{text}");
        assert!(text.contains("Tổng số hồ sơ tiếp nhận trong kỳ "), "{text}");
        assert!(
            text.contains(
                "\nSố hồ sơ trực tuyến của dịch vụ công thiết yếu trong kỳ  svc_online\n  Đăng ký thường trú  "
            ),
            "{text}"
        );
        assert!(text.contains("  rec_total        "), "{text}");
    }

    #[test]
    fn what_is_computed_stands_below_the_cells_with_all_levels_together() {
        let (output, _) = captured(false, Lang::En);
        let text = said(&computed(), &Names::none(), &output);
        let (_, table) = text.split_once("\n\n").unwrap();
        assert_eq!(
            table,
            "reporting level                    province                      commune                          all\n\
             reported                                0/1                      108/109                      108/110\n\
             on time                                 0/0                      100/108                      100/108\n\
             with warnings                             0                            3                            3\n\
             \n\
             rec_total                                 –                    1.205.627                    1.205.627\n\
             svc_online[s03]                           –                         92,3                         92,3\n\
             \n\
             svc_online[police] (11 options)           –                        4.500                        4.500\n\
             \n\
             rec_rate                                  –  92,3% (1.205.627/1.306.217)  92,3% (1.205.627/1.306.217)\n\
             \n\
             target     level         goal        now  achieved  missing  due         state\n\
             met        commune        109         87    79,82%       22  2022-11-14  not reached\n\
             met        all            109         87    79,82%       22  2022-11-14  not reached\n\
             rec_total  all      1.000.000  1.205.627   120,56%        0  2022-11-14  reached on 2022-10-14, 31 days ahead\n"
        );
    }

    #[test]
    fn a_targets_state_is_told_in_words_of_both_languages() {
        let (output, _) = captured(false, Lang::Both);
        let state = |reached, day: &str, days| {
            let target = Target {
                goal: Some(2),
                value: Some(1),
                reached,
                reached_on: day.to_owned(),
                days,
                ..Target::default()
            };
            target_state(&target, &output)
        };
        assert_eq!(state(true, "", None), "đã đạt / reached");
        assert_eq!(
            state(true, "2022-10-14", Some(0)),
            "đạt ngày 2022-10-14, đúng hạn / reached on 2022-10-14, in time"
        );
        assert_eq!(
            state(true, "2022-10-14", Some(-3)),
            "đạt ngày 2022-10-14, muộn 3 ngày / reached on 2022-10-14, 3 days late"
        );
        assert_eq!(state(false, "", Some(-30)), "chưa đạt, quá hạn 30 ngày / not reached, 30 days late");
        assert_eq!(target_state(&Target::default(), &output), "chưa có số liệu / no figures yet");
    }

    #[test]
    fn a_cell_is_told_by_how_it_adds_up() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/catalogue/de06");
        let (output, _) = captured(false, Lang::En);
        let names = Names::load(Some(Path::new(dir)), &output).unwrap();
        let with = |aggregation: Aggregation, decimals| {
            let cell = cell("id_card_target_met", "", Some(87), decimals);
            let cell = CellTotal { aggregation: aggregation.into(), ..cell };
            cell_value(&cell, names.cell("identity", &cell), &output)
        };
        assert_eq!(with(Aggregation::Coverage, 0), "87/109", "of all that should say");
        assert_eq!(with(Aggregation::Mean, 1), "≈ 4,35");
        assert_eq!(with(Aggregation::Collect, 0), "2 units");
        assert_eq!([with(Aggregation::None, 1), with(Aggregation::Unspecified, 0)], ["8,7", "87"]);
    }

    #[test]
    fn units_below_are_compared() {
        let child = |code: &str, reported, sum| {
            let cells = vec![cell("rec_total", "", sum, 0), cell("svc_online", "s03", None, 0)];
            Totals {
                org_unit: Some(OrgUnit {
                    code: code.to_owned(),
                    name: format!("Huyện {code}"),
                    level: "district".to_owned(),
                }),
                levels: vec![LevelTotals {
                    level: "commune".to_owned(),
                    reported,
                    expected: 10,
                    cells,
                    ..computed().levels[1].clone()
                }],
                ..totals()
            }
        };
        let (output, _) = captured(false, Lang::En);
        let children = [child("941", 10, Some(1_204)), child("942", 0, None)];
        assert_eq!(
            children_said(&totals(), &children, &["rec_total".to_owned()], &Names::none(), &output),
            "code  unit       commune  rec_total\n\
             941   Huyện 941    10/10      1.204\n\
             942   Huyện 942     0/10          –\n"
        );
        let named = ["svc_online[police]", "rec_rate"].map(str::to_owned);
        assert_eq!(
            children_said(&computed(), &children[..1], &named, &Names::none(), &output),
            "code  unit       commune  on time  svc_online[police]  rec_rate\n\
             941   Huyện 941    10/10   100/10               4.500     92,3%\n"
        );
        let plain = children_said(&totals(), &children, &[], &Names::none(), &output);
        assert!(plain.starts_with("code  unit       commune\n"), "{plain}");
    }

    #[test]
    fn json_has_what_is_computed_in_plain_numbers() {
        let object = object(&computed());
        let overall = &object["overall"];
        assert_eq!(overall["level"], "");
        assert_eq!(
            overall["indicators"][0],
            json!({
                "code": "rec_rate", "option": "", "numerator": "1205627", "denominator": "1306217", "value": "92.30",
            })
        );
        assert_eq!(object["levels"][0]["indicators"][0]["value"], Value::Null);
        assert_eq!((&overall["groups"][0]["value"], &overall["groups"][0]["options"]), (&json!("4500"), &json!(11)));
        let target = &overall["targets"][1];
        assert_eq!(
            [&target["goal"], &target["achieved"], &target["days"], &target["period"]],
            [&json!("1000000"), &json!("120.56"), &json!(31), &Value::Null]
        );
        let communes = &object["levels"][1];
        assert_eq!([&communes["on_time"], &communes["warned"]], [&json!(100), &json!(3)]);
        assert_eq!((&communes["deadline"], &overall["deadline"]), (&json!("1970-01-01T00:00:00Z"), &Value::Null));
        let cell = &communes["cells"][0];
        assert_eq!((&cell["aggregation"], &cell["expected"]), (&json!("sum"), &json!(109)));
    }

    #[tokio::test]
    async fn a_name_that_nothing_has_is_refused_before_the_units_below_are_asked_for() {
        let fake = Fake::default();
        fake.state().totals = Some(computed());
        let [org_unit, data_set, period] = ["94", "online_services", "2022Q4"].map(str::to_owned);
        let which = args::Which {
            query: fake.serve().await,
            credentials: args::fake_credentials(),
            org_unit,
            data_set,
            period,
        };
        let args = args::Totals {
            which,
            children: true,
            cell: vec!["rec_rate".to_owned(), "rec".to_owned()],
            as_of: None,
            catalogue: None,
        };
        let (output, _) = captured(true, Lang::En);
        let refused = run(&args, &output).await.unwrap_err();
        assert!(refused.message.en.contains("no cell, group or indicator rec"), "{refused:?}");
    }

    #[test]
    fn json_says_absent_as_null_and_numbers_exactly() {
        let object = object(&totals());
        assert_eq!(object["levels"][0]["cells"][0]["value"], Value::Null);
        assert_eq!(object["levels"][1]["cells"][1]["value"], "92.3");
        assert_eq!(object["changed_at"], "2022-11-07T00:00:00Z");
    }
}
