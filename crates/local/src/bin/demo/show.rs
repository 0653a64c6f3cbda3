//! Asking the query service, recomputing, and telling.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use client::{Channel, Credentials};
use domain::number::VIETNAMESE;
use hdrhistogram::Histogram;
use local::{Stack, send::Sent};
use proto::pb::query::v1::{GetTotalsRequest, Totals, query_service_client::QueryServiceClient};
use store::FateCounts;

use crate::{
    plan::{IDENTITY, ORGANISATION, Plan},
    watch::Counted,
};

/// Everything that happened.
pub(crate) struct Outcome<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) sent: Sent,
    pub(crate) fates: FateCounts,
    pub(crate) counted: Counted,
    /// From the first report sent to the national totals having all.
    pub(crate) burst: Duration,
    /// The same, with corrections and all else.
    pub(crate) total: Duration,
}

/// Shows totals, completeness and figures, verifies, and says whether all is exact.
pub(crate) async fn show(stack: &Stack, outcome: &Outcome<'_>, json: bool) -> anyhow::Result<bool> {
    let Outcome { plan, sent, fates, counted, burst, total } = outcome;
    let mut query = QueryServiceClient::new(stack.query.connect().await.context("connecting to the query service")?);
    let nation = totals(&mut query, "VN", IDENTITY).await?;
    for unit in ["VN", "94", "31498"] {
        print_totals(&totals(&mut query, unit, IDENTITY).await?);
    }
    print_completeness(&totals(&mut query, "VN", ORGANISATION).await?);

    let freshness = freshness(sent, counted)?;
    let first: i64 = plan.first_reports().values().sum();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = first as f64 / burst.as_secs_f64();
    println!("\n{} báo cáo trong {:.1} giây: {rate:.0} báo cáo/giây / reports per second", first, burst.as_secs_f64());
    let (ack, fresh) = (&sent.acknowledgement, &freshness);
    println!("xác nhận / acknowledgement: p50 {:.1} ms, p99 {:.1} ms", ms(ack, 0.5), ms(ack, 0.99));
    println!("độ tươi / freshness, submit to total event: p50 {:.1} ms, p99 {:.1} ms", ms(fresh, 0.5), ms(fresh, 0.99));
    println!(
        "gửi {} / sent, xác nhận {} / acknowledged, từ chối ngay {} / refused at once",
        sent.sent, sent.acknowledged, sent.refused
    );
    println!(
        "chấp nhận {} / accepted, bác {} / rejected, trùng {} / duplicate, bị thay {} / superseded",
        fates.accepted, fates.rejected, fates.duplicate, fates.superseded
    );

    let verification = stack.store.verify().await?;
    let national = sums(&nation);
    let exact = national == *plan.national();
    let verified = verification.mismatches == 0 && exact && fates.settled() == sent.acknowledged;
    println!(
        "kiểm tra / verify: {0} tổng tính lại từ {1} báo cáo, {2} sai khác / {0} totals recomputed from {1} reports, {2} differences",
        verification.totals_checked, verification.reports, verification.mismatches
    );
    for mismatch in &verification.listed {
        println!("  {mismatch:?}");
    }
    println!(
        "tổng cả nước so với phép tính của bên gửi / national total against the senders' own sums: {}",
        if exact { "đúng / exact" } else { "SAI / WRONG" }
    );

    if json {
        let communes = nation.levels.iter().find(|level| level.level == "commune").context("no communes")?;
        let object = serde_json::json!({
            "reports_sent": sent.sent,
            "acknowledged": sent.acknowledged,
            "refused": sent.refused,
            "accepted": fates.accepted,
            "rejected": fates.rejected,
            "duplicate": fates.duplicate,
            "superseded": fates.superseded,
            "communes_expected": communes.expected,
            "communes_reported": communes.reported,
            "national": national,
            "verified": verified,
            "totals_checked": verification.totals_checked,
            "mismatches": verification.mismatches,
            "seconds": burst.as_secs_f64(),
            "total_seconds": total.as_secs_f64(),
            "reports_per_second": rate,
            "ack_ms_p50": ms(ack, 0.5),
            "ack_ms_p99": ms(ack, 0.99),
            "freshness_ms_p50": ms(fresh, 0.5),
            "freshness_ms_p99": ms(fresh, 0.99),
        });
        println!("{object}");
    }
    Ok(verified)
}

async fn totals(
    query: &mut QueryServiceClient<Channel>,
    org_unit: &str,
    (data_set, period): (&str, &str),
) -> anyhow::Result<Totals> {
    let question = GetTotalsRequest {
        org_unit: org_unit.to_owned(),
        data_set: data_set.to_owned(),
        period: period.to_owned(),
        ..GetTotalsRequest::default()
    };
    query.get_totals(question).await?.into_inner().totals.context("an answer without totals")
}

/// Each cell's sum over all levels; a cell that nobody gave is left out.
fn sums(totals: &Totals) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for cell in totals.levels.iter().flat_map(|level| &level.cells) {
        if let Some(sum) = cell.sum {
            *sums.entry(cell.data_element.clone()).or_insert(0) += sum;
        }
    }
    sums
}

fn print_totals(totals: &Totals) {
    let unit = totals.org_unit.clone().unwrap_or_default();
    println!("\n{} {} — {} {}", unit.code, unit.name, totals.data_set, totals.period);
    for level in &totals.levels {
        println!(
            "  cấp / level {}: {}/{} đã báo cáo / reported",
            level.level,
            grouped(level.reported),
            grouped(level.expected)
        );
    }
    for (cell, sum) in sums(totals) {
        println!("  {cell:<32} {:>16}", grouped(sum));
    }
}

fn print_completeness(totals: &Totals) {
    println!("\n{} {} — VN", totals.data_set, totals.period);
    for level in &totals.levels {
        let task_forces = level.cells.iter().find(|cell| cell.data_element == "org_task_force_established");
        let yes = task_forces.and_then(|cell| cell.sum).map_or_else(|| "–".to_owned(), grouped);
        println!(
            "  {:<10} {:>6}/{:<6} đã báo cáo / reported, {} có Tổ công tác / with a task force",
            level.level,
            grouped(level.reported),
            grouped(level.expected),
            yes
        );
    }
}

fn grouped(number: i64) -> String {
    VIETNAMESE.write(number, 0)
}

/// From sending a report to the national event that has it, in microseconds. The topic says how many reports are in, not
/// which: the first sent are taken to be the first counted, which leaves the mean as it is.
fn freshness(sent: &Sent, counted: &Counted) -> anyhow::Result<Histogram<u64>> {
    let mut freshness = Histogram::new(3)?;
    for (form, steps) in counted {
        let mut times: Vec<_> = sent.at.iter().filter(|(name, _)| name.starts_with(form)).map(|(_, at)| *at).collect();
        times.sort_unstable();
        let mut steps = steps.iter();
        let mut step = steps.next();
        for (place, at) in (1..).zip(times) {
            while step.is_some_and(|(reported, _)| *reported < place) {
                step = steps.next();
            }
            let Some((_, counted)) = step else { break };
            freshness.record(u64::try_from(counted.saturating_duration_since(at).as_micros())?)?;
        }
    }
    Ok(freshness)
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1000.0
}

/// What to type while everything is running.
pub(crate) fn how_to_ask(stack: &Stack) {
    let (collector, query, database) = (&stack.collector.url, &stack.query.url, stack.postgres().address());
    let database = database.replace("://", "://tonghop_monitor@");
    let password = stack.keys().layout().postgres_password("monitor");
    let password = password.display();
    let Credentials { ca, certificate, .. } = &stack.query.credentials;
    let certificate = certificate.iter().flat_map(|files| [("CERT", &files.certificate), ("KEY", &files.key)]);
    let seed = stack.keys().layout().nats_seed("operator");
    let exports = ca.iter().map(|ca| ("CA", ca)).chain(certificate).chain([("NATS_SEED", &seed)]);
    let exports: String = exports.map(|(name, file)| format!("  export TONGHOP_{name}={file:?}\n")).collect();
    println!(
        "
Hệ thống đang chạy; Ctrl-C để dừng. / The system is running; Ctrl-C stops it.

{exports}  cargo run --release -p cli -- totals --query {query} VN identity 202211
  cargo run --release -p cli -- totals --query {query} 94 identity 202211 --children
  cargo run --release -p cli -- totals --query {query} VN identity 2022Q4
  cargo run --release -p cli -- reports --query {query} 94 identity 202211 --only warnings
  cargo run --release -p cli -- watch --query {query} VN identity 202211
  cargo run --release -p cli -- submit FILE --collector {collector}
  cargo run --release -p cli -- verify --database '{database}' --database-password-file '{password}'
  NATS: {}",
        stack.nats().tls_url()
    );
}
