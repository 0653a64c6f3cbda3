//! Reading figures back from the query service.

use anyhow::Context as _;
use domain::number::PLAIN;
use proto::pb::query::v1::{LevelTotals, Totals};

use crate::express::{Reading, rounded};

/// The figure, from the unit's totals of the periods asked about.
pub(crate) fn obtained(reading: &Reading, totals: &[Totals]) -> anyhow::Result<String> {
    let last = totals.last().context("nothing was asked")?;
    Ok(match reading {
        Reading::Sum(name) => {
            let (sum, decimals) = sum(totals.iter().map(overall), name)?;
            shortened(PLAIN.write(sum.context("no unit gave a value")?, decimals))
        }
        Reading::Coverage(name, level) => {
            let cell = cell(of_level(last, level)?, name)?;
            format!("{}/{}", cell.sum.context("no unit said yes or no")?, cell.expected)
        }
        Reading::Flag(name, level) => {
            let cell = cell(of_level(last, level)?, name)?;
            (cell.sum.context("the unit said neither yes nor no")? == 1).to_string()
        }
        Reading::Parts(part, whole) => {
            let written = |name| -> anyhow::Result<String> {
                let (sum, decimals) = sum(totals.iter().map(overall), name)?;
                Ok(PLAIN.write(sum.context("no unit gave a value")?, decimals))
            };
            format!("{}/{}", written(part)?, written(whole)?)
        }
        Reading::Ratio(top, bottom, decimals, levels) => {
            let chosen = || totals.iter().map(|totals| chosen(totals, levels.as_deref()));
            let all: Vec<&LevelTotals> = chosen().collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
            let part =
                |name| -> anyhow::Result<i64> { sum(all.iter().copied().map(Ok), name)?.0.context("a part is absent") };
            percent(rounded(part(top)?, part(bottom)?, *decimals), *decimals)?
        }
        Reading::Share(name, decimals, levels) => {
            let cells: Vec<Said> = chosen(last, levels.as_deref())?
                .into_iter()
                .map(|level| cell(level, name))
                .collect::<Result<_, _>>()?;
            let yes = cells.iter().filter_map(|cell| cell.sum).sum();
            percent(rounded(yes, cells.iter().map(|cell| cell.expected).sum(), *decimals), *decimals)?
        }
        Reading::Change(name) => {
            let value = |totals| sum(std::iter::once(overall(totals)), name)?.0.context("no unit gave a value");
            let first = totals.first().context("nothing was asked")?;
            (value(last)? - value(first)?).to_string()
        }
        Reading::Day(name) => {
            let digits = cell(overall(last)?, name)?.sum.context("the unit named no day")?.to_string();
            let at = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
            format!("{}-{}-{}", at(0..4), at(4..6), at(6..8))
        }
    })
}

fn overall(totals: &Totals) -> anyhow::Result<&LevelTotals> {
    totals.overall.as_ref().context("an answer without all levels together")
}

fn of_level<'t>(totals: &'t Totals, level: &str) -> anyhow::Result<&'t LevelTotals> {
    totals.levels.iter().find(|of| of.level == level).with_context(|| format!("no units of level {level} report"))
}

/// The totals of some levels, or of all together.
fn chosen<'t>(totals: &'t Totals, levels: Option<&[String]>) -> anyhow::Result<Vec<&'t LevelTotals>> {
    match levels {
        None => Ok(vec![overall(totals)?]),
        Some(levels) => levels.iter().map(|level| of_level(totals, level)).collect(),
    }
}

/// What an answer says of a cell or of a group of cells.
#[derive(Clone, Copy)]
struct Said {
    sum: Option<i64>,
    decimals: u32,
    expected: i64,
}

/// The cell with a name, `rec_total` or `svc_total[s03]`, or the group, `svc_total[residence]`.
fn cell(totals: &LevelTotals, name: &str) -> anyhow::Result<Said> {
    let (element, option) = name.strip_suffix(']').and_then(|name| name.split_once('[')).unwrap_or((name, ""));
    let cells = totals.cells.iter().filter(|cell| cell.data_element == element && cell.option == option);
    let groups = totals.groups.iter().filter(|group| group.data_element == element && group.group == option);
    let cells = cells.map(|cell| Said { sum: cell.sum, decimals: cell.decimals, expected: cell.expected });
    let groups = groups.map(|group| Said { sum: group.sum, decimals: group.decimals, expected: 0 });
    cells.chain(groups).next().with_context(|| format!("an answer without {name}"))
}

/// A cell added up; nothing where no unit gave a value.
fn sum<'t>(
    totals: impl Iterator<Item = anyhow::Result<&'t LevelTotals>>,
    name: &str,
) -> anyhow::Result<(Option<i64>, u32)> {
    let (mut sum, mut decimals) = (None, 0);
    for totals in totals {
        let cell = cell(totals?, name)?;
        decimals = cell.decimals;
        sum = match (sum, cell.sum) {
            (None, more) => more,
            (sum, None) => sum,
            (Some(sum), Some(more)) => Some(i64::checked_add(sum, more).context("the figure is too large")?),
        };
    }
    Ok((sum, decimals))
}

fn percent(value: Option<i64>, decimals: u32) -> anyhow::Result<String> {
    Ok(PLAIN.write(value.context("the denominator is zero")?, decimals))
}

/// Without zeros that only fill up the decimals.
fn shortened(number: String) -> String {
    match number.split_once('.') {
        None => number,
        Some((whole, after)) => {
            let after = after.trim_end_matches('0');
            if after.is_empty() { whole.to_owned() } else { format!("{whole}.{after}") }
        }
    }
}
