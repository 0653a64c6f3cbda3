//! `tonghop catalogue check`: what is wrong with the files of a catalogue.

use std::{collections::BTreeSet, path::Path};

use catalogue::{Faults, Loaded};
use domain::{Catalogue, catalogue::DataSet};
use serde_json::{Value, json};

use crate::{
    Ended,
    args::CatalogueCheck,
    number::count,
    output::{Failure, Output, both},
};

#[expect(clippy::unnecessary_wraps, reason = "every command answers alike")]
pub(crate) fn run(args: &CatalogueCheck, output: &Output) -> Result<Ended, Failure> {
    match catalogue::load(&args.dir) {
        Ok(loaded) => {
            output.result(|| summary(&loaded), || said(&loaded, output));
            Ok(Ended::Well)
        }
        Err(faults) => {
            output.complaint(|| listed(&faults), || faults.to_string());
            let all = faults.list().len() + faults.omitted();
            output.remark(&both(format!("danh mục có {all} lỗi"), format!("the catalogue has {all} faults")));
            Ok(Ended::Badly)
        }
    }
}

/// The catalogue in a directory with all that belongs to it, for who must tell what is wrong with it in full.
pub(crate) fn load_whole(dir: &Path) -> Result<Loaded, Failure> {
    catalogue::load(dir).map_err(|faults| {
        let dir = dir.display();
        Failure::new(both(
            format!("danh mục trong {dir} có lỗi:\n{faults}"),
            format!("the catalogue in {dir} has faults:\n{faults}"),
        ))
    })
}

/// The catalogue in a directory, for a command that only looks things up in it.
pub(crate) fn load(dir: &Path) -> Result<Catalogue, Failure> {
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
    Ok(loaded.catalogue)
}

/// How much there is of everything.
struct Counts {
    levels: usize,
    units: usize,
    data_sets: usize,
    /// Data elements that some data set asks for.
    data_elements: usize,
    cells: usize,
    rules: usize,
    /// Groups and indicators by their codes, of however many data elements and forms they are.
    groups: usize,
    indicators: usize,
    /// Targets of cells.
    targets: usize,
}

impl Counts {
    fn of(loaded: &Loaded) -> Self {
        let data_sets = loaded.catalogue.data_sets();
        let cells = || data_sets.iter().flat_map(DataSet::cells);
        let groups = data_sets.iter().flat_map(DataSet::groups);
        let indicators = data_sets.iter().flat_map(DataSet::indicators);
        Self {
            levels: loaded.catalogue.levels().len(),
            units: loaded.org_units.len(),
            data_sets: data_sets.len(),
            data_elements: cells().map(|cell| &cell.element.code).collect::<BTreeSet<_>>().len(),
            cells: cells().count(),
            rules: data_sets.iter().map(|data_set| data_set.rules().len()).sum(),
            groups: groups.map(|group| &group.group.code).collect::<BTreeSet<_>>().len(),
            indicators: indicators.map(|indicator| &indicator.code).collect::<BTreeSet<_>>().len(),
            targets: data_sets.iter().map(|data_set| data_set.targets().len()).sum(),
        }
    }
}

fn summary(loaded: &Loaded) -> Value {
    let counts = Counts::of(loaded);
    json!({
        "name": loaded.about.name,
        "version": loaded.catalogue.version().as_str(),
        "levels": counts.levels, "org_unit_rows": counts.units,
        "data_sets": counts.data_sets, "data_elements": counts.data_elements, "cells": counts.cells,
        "rules": counts.rules, "option_groups": counts.groups, "indicators": counts.indicators,
        "targets": counts.targets,
        "faults": [], "faults_omitted": 0,
    })
}

fn said(loaded: &Loaded, output: &Output) -> String {
    let Counts { levels, units, data_sets, data_elements, cells, rules, groups, indicators, targets } =
        Counts::of(loaded);
    let (name, version) = (&loaded.about.name, loaded.catalogue.version());
    let [units, cells, rules, targets] = [units, cells, rules, targets].map(count);
    output.say(&both(
        format!(
            "danh mục {name} {version}: không có lỗi; {levels} cấp, {units} dòng đơn vị, {data_sets} biểu mẫu, \
             {data_elements} chỉ tiêu báo cáo, {cells} ô số liệu, {rules} quy tắc, {groups} nhóm phân tổ, \
             {indicators} chỉ số, {targets} mục tiêu"
        ),
        format!(
            "catalogue {name} {version}: no faults; {levels} levels, {units} rows of org units, {data_sets} data sets, \
             {data_elements} data elements, {cells} cells, {rules} rules, {groups} option groups, \
             {indicators} indicators, {targets} targets"
        ),
    ))
}

fn listed(faults: &Faults) -> Value {
    let list: Vec<Value> = faults
        .list()
        .iter()
        .map(|fault| json!({ "file": fault.file, "line": fault.line, "what": fault.what }))
        .collect();
    json!({ "faults": list, "faults_omitted": faults.omitted() })
}
