//! `grants.csv`: who may do what.

use std::path::Path;

use domain::{
    DataSetCode,
    access::{Grant, Grants},
};
use time::{Date, format_description::BorrowedFormatItem, macros::format_description};

use crate::{
    FileError, Layout, Locked,
    file::{self, Readers},
};

pub(crate) const COLUMNS: [&str; 6] = ["principal", "action", "org_unit", "data_sets", "from", "until"];

/// What stands for all units or all data sets.
const ALL: &str = "*";

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

#[derive(serde::Serialize, serde::Deserialize)]
struct Row {
    principal: String,
    action: String,
    org_unit: String,
    data_sets: String,
    from: String,
    until: String,
}

/// Every grant of the keys directory, in the file's order.
///
/// # Errors
/// When the file cannot be read or a line of it is wrong.
pub fn read(layout: &Layout) -> Result<Vec<Grant>, FileError> {
    let path = layout.grants();
    parse(&path, &file::read(&path)?)
}

/// Adds grants, except those that are there already, and says how many it added.
///
/// # Errors
/// When the file cannot be read or written, or a line of it is wrong.
pub fn add(layout: &Layout, more: Vec<Grant>) -> Result<usize, FileError> {
    change(layout, |grants| {
        let before = grants.len();
        let known: std::collections::HashSet<[String; 6]> = grants.iter().map(fields).collect();
        grants.extend(more.into_iter().filter(|grant| !known.contains(&fields(grant))));
        grants.len() - before
    })
}

/// Takes away the grants for which `unwanted` says so, and says how many.
///
/// # Errors
/// When the file cannot be read or written, or a line of it is wrong.
pub fn remove(layout: &Layout, unwanted: impl Fn(&Grant) -> bool) -> Result<usize, FileError> {
    change(layout, |grants| {
        let before = grants.len();
        grants.retain(|grant| !unwanted(grant));
        before - grants.len()
    })
}

fn change(layout: &Layout, change: impl FnOnce(&mut Vec<Grant>) -> usize) -> Result<usize, FileError> {
    let _locked = Locked::keys(layout)?;
    let mut grants = read(layout)?;
    let changed = change(&mut grants);
    if changed > 0 {
        write(&layout.grants(), &grants)?;
    }
    Ok(changed)
}

pub(crate) fn write(path: &Path, grants: &[Grant]) -> Result<(), FileError> {
    file::write(path, Readers::All, file::csv_text(path, &COLUMNS, grants.iter().map(fields))?)
}

pub(crate) fn parse(path: &Path, text: &str) -> Result<Vec<Grant>, FileError> {
    let rows: Vec<(u64, Row)> = file::rows(path, text, &COLUMNS)?;
    rows.into_iter().map(|(line, row)| row.grant(path, line)).collect()
}

pub(crate) fn index(path: &Path, text: &str) -> Result<Grants, FileError> {
    Ok(parse(path, text)?.into_iter().collect())
}

fn fields(grant: &Grant) -> [String; 6] {
    let data_sets = grant
        .data_sets
        .as_ref()
        .map_or(ALL.to_owned(), |codes| codes.iter().map(DataSetCode::as_str).collect::<Vec<_>>().join(" "));
    [
        grant.principal.to_string(),
        grant.action.as_str().to_owned(),
        grant.org_unit.as_ref().map_or(ALL.to_owned(), ToString::to_string),
        data_sets,
        grant.from.to_string(),
        grant.until.map(|day| day.to_string()).unwrap_or_default(),
    ]
}

impl Row {
    fn grant(self, path: &Path, line: u64) -> Result<Grant, FileError> {
        let day = |column, text: &str| {
            file::field_by(path, line, column, text, "a day such as 2026-12-31", |text| Date::parse(text, DAY).ok())
        };
        let unless_all = |text: &str| (text != ALL).then(|| text.to_owned());
        let org_unit = unless_all(&self.org_unit).map(|code| file::field(path, line, "org_unit", &code)).transpose()?;
        let data_sets = match unless_all(&self.data_sets) {
            None => None,
            Some(codes) => {
                let codes = codes.split_whitespace().map(|code| file::field(path, line, "data_sets", code));
                let codes = codes.collect::<Result<Vec<DataSetCode>, _>>()?;
                let given = |_: &str| (!codes.is_empty()).then_some(());
                file::field_by(path, line, "data_sets", "", "* or codes with spaces between", given)?;
                Some(codes)
            }
        };
        let from = day("from", &self.from)?;
        let until = if self.until.is_empty() { None } else { Some(day("until", &self.until)?) };
        if let Some(until) = until {
            let wanted = "no earlier than from";
            file::field_by(path, line, "until", &self.until, wanted, |_| (from <= until).then_some(()))?;
        }
        Ok(Grant {
            principal: file::field(path, line, "principal", &self.principal)?,
            action: file::field(path, line, "action", &self.action)?,
            org_unit,
            data_sets,
            from,
            until,
        })
    }
}
