//! `tonghop totals`: a unit's totals and completeness, and those of the units below it.

use std::path::Path;

use domain::{
    Catalogue,
    catalogue::{Cell, SpaceAggregation, ValueType},
};
use proto::pb::query::v1::{
    CellTotal, GetTotalsRequest, LevelTotals, ListChildTotalsRequest, OrgUnit, Totals,
    query_service_client::QueryServiceClient,
};
use serde_json::{Value, json};

use crate::{
    Ended, args,
    number::{count, grouped, local_time, mean, plain, rfc3339},
    output::{Failure, Output, both},
    peer::Peer,
    table::{Align, render},
};

/// Units asked for at a time.
const PAGE: i32 = 500;

/// What stands where no unit gave a value: absent is not zero.
const ABSENT: &str = "–";

pub(crate) async fn run(args: &args::Totals, output: &Output) -> Result<Ended, Failure> {
    let names = Names::load(args.catalogue.as_deref(), output)?;
    let args::Which { query, org_unit, data_set, period } = &args.which;
    let peer = Peer::query(query);
    let mut client = QueryServiceClient::new(peer.connect().await?);
    let request = GetTotalsRequest { org_unit: org_unit.clone(), data_set: data_set.clone(), period: period.clone() };
    let totals = peer.answer(client.get_totals(request)).await?.totals.unwrap_or_default();
    if let Some(cell) = args.cell.iter().find(|cell| cells_of(&totals).all(|known| name_of(known) != **cell)) {
        return Err(Failure::new(both(
            format!("biểu mẫu {data_set} không có ô số liệu {cell}; chạy lệnh không có --cell để xem các ô"),
            format!("data set {data_set} has no cell {cell}; without --cell the command shows all there are"),
        )));
    }
    let mut children = Vec::new();
    if args.children {
        let mut page_token = String::new();
        loop {
            let request = ListChildTotalsRequest {
                org_unit: org_unit.clone(),
                data_set: data_set.clone(),
                period: period.clone(),
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

/// The names that a catalogue has for levels and cells; codes without one.
struct Names(Option<Catalogue>);

impl Names {
    fn load(dir: Option<&Path>, output: &Output) -> Result<Self, Failure> {
        // With --json nobody sees the names.
        let Some(dir) = dir.filter(|_| !output.is_json()) else { return Ok(Self(None)) };
        let loaded = catalogue::load(dir).map_err(|faults| {
            let dir = dir.display();
            Failure::new(both(
                format!("danh mục trong {dir} có lỗi; hãy chạy tonghop catalogue check {dir}"),
                format!(
                    "the catalogue in {dir} has {} faults; run tonghop catalogue check {dir}",
                    faults.list().len() + faults.omitted()
                ),
            ))
        })?;
        Ok(Self(Some(loaded.catalogue)))
    }

    fn remark_other_version(&self, totals: &Totals, output: &Output) {
        let Some(catalogue) = &self.0 else { return };
        let (ours, theirs) = (catalogue.version().as_str(), &totals.catalogue_version);
        if ours != theirs {
            output.remark(&both(
                format!("tên gọi lấy từ danh mục {ours}, số liệu theo danh mục {theirs}"),
                format!("names are those of catalogue {ours}, numbers go by catalogue {theirs}"),
            ));
        }
    }

    fn level(&self, code: &str, output: &Output) -> String {
        let level = self.0.as_ref().and_then(|catalogue| Some(catalogue.level(catalogue.find_level(code)?)));
        level.map_or_else(|| code.to_owned(), |level| output.lang().of(&level.name_vi, &level.name_en))
    }

    fn cell(&self, data_set: &str, total: &CellTotal) -> Option<&Cell> {
        let data_set = self.0.as_ref()?.find_data_set(data_set)?;
        data_set.cells().get(data_set.find_cell(&total.data_element, &total.option)?)
    }

    /// The names of a cell's data element and option, in one language: both would not fit into a line.
    fn cell_names(&self, data_set: &str, total: &CellTotal, output: &Output) -> Option<(&str, Option<&str>)> {
        let Cell { element, option, .. } = self.cell(data_set, total)?;
        Some(if output.lang() == args::Lang::En {
            (&element.name_en, option.as_ref().map(|option| option.name_en.as_str()))
        } else {
            (&element.name_vi, option.as_ref().map(|option| option.name_vi.as_str()))
        })
    }
}

/// `svc_online[s03]`
pub(crate) fn name_of(cell: &CellTotal) -> String {
    if cell.option.is_empty() { cell.data_element.clone() } else { format!("{}[{}]", cell.data_element, cell.option) }
}

/// The cells of a data set, in its order. Every level has all of them.
fn cells_of(totals: &Totals) -> impl Iterator<Item = &CellTotal> {
    totals.levels.first().into_iter().flat_map(|level| &level.cells)
}

/// Totals as JSON has them.
pub(crate) fn object(totals: &Totals) -> Value {
    let Totals { org_unit, data_set, period, levels, version, log_position, catalogue_version, changed_at } = totals;
    let levels: Vec<Value> = levels
        .iter()
        .map(|LevelTotals { level, reported, expected, cells }| {
            let cells: Vec<Value> = cells
                .iter()
                .map(|CellTotal { data_element, option, sum, decimals, contributing }| {
                    json!({
                        "data_element": data_element, "option": option,
                        "value": sum.map(|sum| plain(sum, *decimals)), "sum": sum, "decimals": decimals,
                        "contributing": contributing,
                    })
                })
                .collect();
            json!({ "level": level, "reported": reported, "expected": expected, "cells": cells })
        })
        .collect();
    json!({
        "org_unit": org_unit.as_ref().map(|OrgUnit { code, name, level }| json!({ "code": code, "name": name, "level": level })),
        "data_set": data_set, "period": period, "levels": levels, "version": version, "log_position": log_position,
        "catalogue_version": catalogue_version,
        "changed_at": changed_at.map(|at| rfc3339(at.seconds, at.nanos)),
    })
}

/// Who has reported: `109/109`.
fn completeness(level: &LevelTotals) -> String {
    format!("{}/{}", count(level.reported), count(level.expected))
}

/// A cell's total as people read it.
fn value(cell: &CellTotal, level: &LevelTotals, known: Option<&Cell>) -> String {
    let Some(sum) = cell.sum else { return ABSENT.to_owned() };
    match known.map(|known| (known.element.space_aggregation, known.element.value_type)) {
        Some((SpaceAggregation::Mean, _)) => format!("≈ {}", mean(sum, cell.decimals, cell.contributing)),
        // How many say yes, out of how many should say.
        Some((SpaceAggregation::Coverage, ValueType::Flag)) => format!("{}/{}", count(sum), count(level.expected)),
        _ => grouped(sum, cell.decimals),
    }
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
    let levels = totals.levels.iter().map(|level| names.level(&level.level, output));
    let mut rows = vec![[lang.of("cấp báo cáo", "reporting level"), String::new()].into_iter().chain(levels).collect()];
    let completeness = totals.levels.iter().map(completeness);
    rows.push([lang.of("đã báo cáo", "reported"), String::new()].into_iter().chain(completeness).collect());
    rows.push(Vec::new());
    let mut last_element = None;
    for (place, cell) in cells_of(totals).enumerate() {
        let known = names.cell(&totals.data_set, cell);
        let values = totals.levels.iter().map(|level| match level.cells.get(place) {
            Some(cell) => value(cell, level, known),
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
    let columns: Vec<Align> =
        [Align::Left, Align::Left].into_iter().chain(totals.levels.iter().map(|_| Align::Right)).collect();
    text + &render(&columns, &rows)
}

/// A row for each unit below: who has reported at which level, and the cells that were asked for.
fn children_said(totals: &Totals, children: &[Totals], cells: &[String], names: &Names, output: &Output) -> String {
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
        header.extend(
            cells.iter().map(|cell| if levels.len() > 1 { format!("{cell}, {level_name}") } else { cell.clone() }),
        );
        columns.extend((0..=cells.len()).map(|_| Align::Right));
    }
    let mut rows = vec![header];
    for child in children {
        let unit = child.org_unit.clone().unwrap_or_default();
        let mut row = vec![unit.code, unit.name];
        for level in &levels {
            let Some(level) = child.levels.iter().find(|of| of.level == level.level) else {
                row.extend((0..=cells.len()).map(|_| ABSENT.to_owned()));
                continue;
            };
            row.push(completeness(level));
            row.extend(cells.iter().map(|name| {
                let cell = level.cells.iter().find(|cell| name_of(cell) == *name);
                cell.map_or(ABSENT.to_owned(), |cell| value(cell, level, names.cell(&child.data_set, cell)))
            }));
        }
        rows.push(row);
    }
    render(&columns, &rows)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{args::Lang, output::tests::captured};

    pub(crate) fn cell(name: &str, option: &str, sum: Option<i64>, decimals: u32) -> CellTotal {
        let (data_element, option) = (name.to_owned(), option.to_owned());
        CellTotal { data_element, option, sum, decimals, contributing: i64::from(sum.is_some()) * 2 }
    }

    pub(crate) fn totals() -> Totals {
        let level =
            |level: &str, reported, expected, cells| LevelTotals { level: level.to_owned(), reported, expected, cells };
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
        }
    }

    #[test]
    fn totals_are_a_table_with_a_column_for_each_level() {
        let (output, _) = captured(false, Lang::En);
        assert_eq!(
            said(&totals(), &Names(None), &output),
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
    fn coverage_is_out_of_all_that_should_say() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/catalogue/de06");
        let catalogue = catalogue::load(Path::new(dir)).unwrap().catalogue;
        let names = Names(Some(catalogue));
        let flag = cell("id_card_target_met", "", Some(87), 0);
        let level = LevelTotals { expected: 109, reported: 90, ..LevelTotals::default() };
        assert_eq!(value(&flag, &level, names.cell("identity", &flag)), "87/109");
        assert_eq!(value(&flag, &level, None), "87");
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
                levels: vec![LevelTotals { level: "commune".to_owned(), reported, expected: 10, cells }],
                ..totals()
            }
        };
        let (output, _) = captured(false, Lang::En);
        let children = [child("941", 10, Some(1_204)), child("942", 0, None)];
        assert_eq!(
            children_said(&totals(), &children, &["rec_total".to_owned()], &Names(None), &output),
            "code  unit       commune  rec_total\n\
             941   Huyện 941    10/10      1.204\n\
             942   Huyện 942     0/10          –\n"
        );
        let plain = children_said(&totals(), &children, &[], &Names(None), &output);
        assert!(plain.starts_with("code  unit       commune\n"), "{plain}");
    }

    #[test]
    fn json_says_absent_as_null_and_numbers_exactly() {
        let object = object(&totals());
        assert_eq!(object["levels"][0]["cells"][0]["value"], Value::Null);
        assert_eq!(object["levels"][1]["cells"][1]["value"], "92.3");
        assert_eq!(object["changed_at"], "2022-11-07T00:00:00Z");
    }
}
