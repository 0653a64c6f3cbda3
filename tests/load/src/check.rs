//! Whether it is right: what the query service answers and what the last events say against the generator's own sums, and what `verify`
//! recomputes.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use messaging::{Connection, totals};
use proto::pb::query::v1::{CellTotal, GetTotalsRequest, Totals, query_service_client::QueryServiceClient};
use store::{FateCounts, Store};
use tokio::time::Instant;

use crate::{
    mix::{Mix, Sent},
    model::{self, Sum},
    world::World,
};

/// Questions asked at a time.
const AT_A_TIME: usize = 8;
/// The query service may answer what it knew a moment ago.
const CATCHING_UP: Duration = Duration::from_secs(10);
/// Differences that are told; the rest is counted.
const TOLD: usize = 10;

/// What was compared, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Totals of the nation and of provinces that were compared with the generator's sums.
    pub(crate) compared: usize,
    /// Last events of the same totals that were compared; of a deployment none.
    pub(crate) events: usize,
    /// Totals that `verify` recomputed, and from how many reports; nothing without a database.
    pub(crate) recomputed: Option<(u64, u64)>,
    /// What is wrong, in words.
    pub(crate) wrong: Vec<String>,
}

/// Compares everything that was ever sent; that many reports were sent again.
///
/// # Errors
/// When the query service or the database does not answer.
pub(crate) async fn all(world: &World, mix: &Mix, again: u64) -> anyhow::Result<Checked> {
    let query = QueryServiceClient::new(world.query.connect().await.context("connecting to the query service")?);
    let tree = &mix.tree;
    // The nation, and what is directly below it.
    let wanted: Vec<usize> = (0..tree.above.len())
        .filter(|place| matches!(tree.above[*place].level.as_str(), "national" | "province"))
        .collect();
    let (mut checked, deadline) = (Checked::default(), Instant::now() + CATCHING_UP);
    for form in 0..mix.forms.len() {
        let sums = model::sums(mix, form, &wanted);
        let questions = sums.into_iter().map(|(place, sum)| {
            let question = GetTotalsRequest {
                org_unit: tree.above[place].code.clone(),
                data_set: mix.forms[form].data_set.to_owned(),
                period: mix.forms[form].period.clone(),
                ..GetTotalsRequest::default()
            };
            compare(query.clone(), question, sum, deadline)
        });
        let answers: Vec<Option<String>> =
            stream::iter(questions.collect::<Vec<_>>()).buffer_unordered(AT_A_TIME).try_collect().await?;
        checked.compared += answers.len();
        checked.wrong.extend(answers.into_iter().flatten());
    }
    if let Some(store) = &world.store {
        if world.is_ours() {
            checked.wrong.extend(all_fates(store, &mix.sent, i64::try_from(again)?, deadline).await?);
        }
        let found = store.verify().await.context("recomputing totals")?;
        checked.recomputed = Some((found.totals_checked, found.reports));
        if found.mismatches > 0 {
            checked.wrong.push(format!(
                "{} totals are not what their reports add up to: {:?}",
                found.mismatches,
                found.listed.first()
            ));
        }
        // Fates gather before they are published.
        while store.outbox_length().await? > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let unpublished = store.outbox_length().await?;
        if unpublished > 0 {
            checked.wrong.push(format!("the events of {unpublished} batches are not published"));
        }
    }
    if let (true, Some(connection)) = (world.is_ours(), &world.connection) {
        for form in 0..mix.forms.len() {
            let sums = model::sums(mix, form, &wanted).into_iter();
            let events = sums.map(|(place, sum)| compare_event(connection, mix, form, place, sum));
            let events: Vec<Option<String>> =
                stream::iter(events.collect::<Vec<_>>()).buffer_unordered(AT_A_TIME).try_collect().await?;
            checked.events += events.len();
            checked.wrong.extend(events.into_iter().flatten());
        }
    }
    let more = checked.wrong.len().saturating_sub(TOLD);
    if more > 0 {
        checked.wrong.truncate(TOLD);
        checked.wrong.push(format!("and {more} more"));
    }
    Ok(checked)
}

/// Refuses a deployment that has reports on the months that come first: theirs would be corrections, repetitions or conflicts, and no
/// sum would be what was sent.
///
/// # Errors
/// When it has, or the query service does not answer.
pub(crate) async fn is_new(world: &World, mix: &Mix) -> anyhow::Result<()> {
    let mut query = QueryServiceClient::new(world.query.connect().await.context("connecting to the query service")?);
    let nation = mix.tree.above.iter().find(|unit| unit.level == "national").context("a tree without a nation")?;
    for form in &mix.forms {
        let question = GetTotalsRequest {
            org_unit: nation.code.clone(),
            data_set: form.data_set.to_owned(),
            period: form.period.clone(),
            ..GetTotalsRequest::default()
        };
        let totals = query.get_totals(question).await?.into_inner().totals.unwrap_or_default();
        let reported: i64 = totals.levels.iter().map(|level| level.reported).sum();
        anyhow::ensure!(
            reported == 0,
            "{reported} units have reported {} for {} already; name a later year by --from",
            form.data_set,
            form.period
        );
    }
    Ok(())
}

/// What is wrong with what became of all reports, if anything stays wrong. Where some were kept twice, as many have a fate as were
/// acknowledged while some have none yet.
async fn all_fates(store: &Store, sent: &Sent, again: i64, deadline: Instant) -> anyhow::Result<Option<String>> {
    loop {
        let wrong = fates(&store.fate_counts().await?, sent, again);
        if wrong.is_none() || Instant::now() >= deadline {
            return Ok(wrong);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is wrong with what became of the reports: each has the fate that it must have, or one was lost or counted twice. Those that were
/// sent again may have been kept both times: then the second is a duplicate or, if it breaks a rule, rejected as the first was.
fn fates(found: &FateCounts, sent: &Sent, again: i64) -> Option<String> {
    let [duplicates, rejected] = [found.duplicate - sent.duplicates, found.rejected - sent.invalid];
    let is_right = found.accepted + found.superseded == sent.counting
        && duplicates >= 0
        && rejected >= 0
        && duplicates + rejected <= again;
    (!is_right).then(|| format!("the fates are {found:?} of what was sent, {sent:?}, {again} of it again"))
}

/// What is wrong with a unit's totals, if anything stays wrong.
async fn compare(
    mut query: QueryServiceClient<client::Channel>,
    question: GetTotalsRequest,
    sum: Sum,
    deadline: Instant,
) -> anyhow::Result<Option<String>> {
    loop {
        let totals =
            query.get_totals(question.clone()).await?.into_inner().totals.context("an answer without totals")?;
        let Some(wrong) = difference(answered(&totals), &sum) else { return Ok(None) };
        if Instant::now() >= deadline {
            let GetTotalsRequest { org_unit, data_set, period, .. } = question;
            return Ok(Some(format!("{org_unit} {data_set} {period}: {wrong}")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is wrong with the last event about a unit's totals, which everybody has who follows them.
async fn compare_event(
    connection: &Connection,
    mix: &Mix,
    form: usize,
    place: usize,
    sum: Sum,
) -> anyhow::Result<Option<String>> {
    let (unit, form) = (&mix.tree.above[place], &mix.forms[form]);
    let subject = format!("totals.v1.{}.{}.{}.{}", unit.level, unit.code, form.data_set, form.period);
    let wrong = match connection.last_totals(&subject).await? {
        None => Some("there is no event".to_owned()),
        Some(totals) => {
            let level = totals.levels.iter().find(|level| level.level == "commune");
            let cell = |cell: &totals::CellTotal| (cell.data_element.clone(), Some(cell.sum.0), cell.contributing);
            difference(level.map(|level| (level.reported, level.cells.iter().map(cell).collect())), &sum)
        }
    };
    Ok(wrong.map(|wrong| format!("the last event of {subject}: {wrong}")))
}

fn answered(totals: &Totals) -> Option<Found> {
    let level = totals.levels.iter().find(|level| level.level == "commune")?;
    let cell = |cell: &CellTotal| (cell.data_element.clone(), cell.sum, cell.contributing);
    Some((level.reported, level.cells.iter().map(cell).collect()))
}

/// How many communes have reported, and of each cell its name, its sum and how many gave a value.
type Found = (i64, Vec<(String, Option<i64>, i64)>);

fn difference(found: Option<Found>, sum: &Sum) -> Option<String> {
    let Some((reported, cells)) = found else { return Some("no totals of communes".to_owned()) };
    if reported != sum.reported {
        return Some(format!("{reported} communes have reported, of {} that sent", sum.reported));
    }
    if cells.len() != sum.cells.len() {
        return Some(format!("{} cells", cells.len()));
    }
    cells.iter().zip(sum.cells).find_map(|((name, found, contributing), wanted)| {
        let is_right = *found == Some(wanted) && *contributing == sum.reported;
        (!is_right).then(|| format!("{name} is {found:?} and not {wanted}"))
    })
}

#[cfg(test)]
mod tests {
    use proto::pb::query::v1::LevelTotals;

    use super::*;
    use crate::mix::CELLS;

    #[test]
    fn fates_are_what_was_sent() {
        let found = FateCounts { accepted: 90, rejected: 2, duplicate: 3, superseded: 5 };
        let sent = Sent { counting: 95, duplicates: 3, invalid: 2 };
        assert_eq!(fates(&found, &sent, 0), None);
        assert_eq!(fates(&FateCounts { duplicate: 5, ..found }, &sent, 2), None);
        assert_eq!(fates(&FateCounts { duplicate: 4, rejected: 3, ..found }, &sent, 2), None);
        assert!(fates(&FateCounts { duplicate: 5, rejected: 3, ..found }, &sent, 2).is_some());
        for wrong in [
            FateCounts { accepted: 91, ..found },
            FateCounts { rejected: 1, accepted: 91, ..found },
            FateCounts { duplicate: 4, superseded: 4, ..found },
        ] {
            assert!(fates(&wrong, &sent, 0).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn every_difference_is_seen() {
        let sum = Sum { reported: 2, cells: [7; CELLS] };
        let cell = CellTotal { sum: Some(7), contributing: 2, ..CellTotal::default() };
        let level = LevelTotals {
            level: "commune".to_owned(),
            reported: 2,
            cells: vec![cell; CELLS],
            ..LevelTotals::default()
        };
        let totals = Totals { levels: vec![level], ..Totals::default() };
        assert_eq!(difference(answered(&totals), &sum), None);
        let spoils: [fn(&mut LevelTotals); 5] = [
            |level| level.reported = 3,
            |level| level.cells[39].sum = Some(8),
            |level| level.cells[0].sum = None,
            |level| level.cells[20].contributing = 1,
            |level| level.cells.truncate(39),
        ];
        for spoil in spoils {
            let mut totals = totals.clone();
            spoil(&mut totals.levels[0]);
            assert!(difference(answered(&totals), &sum).is_some());
        }
        assert!(difference(answered(&Totals::default()), &sum).is_some());
    }
}
