//! `tonghop catalogue check`: what is wrong with the files of a catalogue.

use catalogue::{Faults, Loaded};
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

/// How much there is of everything.
struct Counts {
    levels: usize,
    units: usize,
    data_sets: usize,
    cells: usize,
    rules: usize,
}

impl Counts {
    fn of(loaded: &Loaded) -> Self {
        let data_sets = loaded.catalogue.data_sets();
        Self {
            levels: loaded.catalogue.levels().len(),
            units: loaded.org_units.len(),
            data_sets: data_sets.len(),
            cells: data_sets.iter().map(|data_set| data_set.cells().len()).sum(),
            rules: data_sets.iter().map(|data_set| data_set.rules().len()).sum(),
        }
    }
}

fn summary(loaded: &Loaded) -> Value {
    let Counts { levels, units, data_sets, cells, rules } = Counts::of(loaded);
    json!({
        "name": loaded.about.name,
        "version": loaded.catalogue.version().as_str(),
        "levels": levels, "org_unit_rows": units, "data_sets": data_sets, "cells": cells, "rules": rules,
        "faults": [], "faults_omitted": 0,
    })
}

fn said(loaded: &Loaded, output: &Output) -> String {
    let Counts { levels, units, data_sets, cells, rules } = Counts::of(loaded);
    let (name, version) = (&loaded.about.name, loaded.catalogue.version());
    let (units, cells, rules) = (count(units), count(cells), count(rules));
    output.say(&both(
        format!(
            "danh mục {name} {version}: không có lỗi; {levels} cấp, {units} dòng đơn vị, {data_sets} biểu mẫu, {cells} ô số liệu, {rules} quy tắc"
        ),
        format!(
            "catalogue {name} {version}: no faults; {levels} levels, {units} rows of org units, {data_sets} data sets, {cells} cells, {rules} rules"
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
