//! `tonghop watch`: a line each time the totals of a unit move.

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use proto::pb::query::v1::{Totals, WatchTotalsRequest, query_service_client::QueryServiceClient};
use runtime::Backoff;
use serde_json::json;

use crate::{
    Ended, args,
    number::{count, grouped, local_time},
    output::{Failure, Output, both},
    peer::Peer,
    totals::{name_of, object},
};

/// The most cells that a line names; the rest is counted.
const NAMED: usize = 6;

pub(crate) async fn run(args: &args::Watch, output: &Output) -> Result<Ended, Failure> {
    let mut interrupted = Box::pin(async {
        // Without a handler the signal ends the process, which is as good.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    follow(args, interrupted.as_mut(), output).await
}

/// Follows until `interrupt` is ready, enough lines were printed, or nobody reads them.
async fn follow(
    args: &args::Watch,
    mut interrupt: Pin<&mut (dyn Future<Output = ()> + '_)>,
    output: &Output,
) -> Result<Ended, Failure> {
    let peer = Peer::query(&args.which.query, &args.which.credentials);
    let mut watcher = Watcher { lines: 0, last: None, count: args.count.unwrap_or(u64::MAX) };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let lines = watcher.lines;
        let ended = tokio::select! {
            biased;
            () = interrupt.as_mut() => break,
            ended = watcher.stream(&peer, &args.which, output) => ended,
        };
        match ended {
            Ok(()) => break,
            // Once it has worked, it will again.
            Err(failure) if failure.may_pass && watcher.lines > 0 => {
                output.remark(&both(
                    format!("{}; đang kết nối lại", failure.message.vi),
                    format!("{}; connecting again", failure.message.en),
                ));
            }
            Err(failure) => return Err(failure),
        }
        if watcher.lines > lines {
            backoff.reset();
        }
        tokio::select! {
            () = interrupt.as_mut() => break,
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
    if output.is_json() {
        output.result(|| json!({ "summary": { "lines": watcher.lines } }), String::new);
    }
    Ok(Ended::Well)
}

struct Watcher {
    lines: u64,
    last: Option<Totals>,
    count: u64,
}

impl Watcher {
    /// Prints what comes on one stream; ends well when enough was printed.
    async fn stream(&mut self, peer: &Peer, which: &args::Which, output: &Output) -> Result<(), Failure> {
        let args::Which { query: _, credentials: _, org_unit, data_set, period } = which;
        let mut client = QueryServiceClient::new(peer.connect().await?);
        let request =
            WatchTotalsRequest { org_unit: org_unit.clone(), data_set: data_set.clone(), period: period.clone() };
        let mut stream = peer.answer(client.watch_totals(request)).await?;
        loop {
            let answer = stream.message().await.map_err(|status| peer.refused(&status))?;
            let Some(answer) = answer else {
                let message = both("dịch vụ tra cứu đã ngắt luồng", "the query service ended the stream");
                return Err(Failure { may_pass: true, ..Failure::new(message) });
            };
            let totals = answer.totals.unwrap_or_default();
            // After a new connection the first answer may be one that was seen.
            if self.last.as_ref().is_some_and(|last| last.version == totals.version) {
                continue;
            }
            output.result(|| object(&totals), || line(self.last.as_ref(), &totals, output));
            self.last = Some(totals);
            self.lines += 1;
            if self.lines >= self.count || output.is_closed() {
                return Ok(());
            }
        }
    }
}

/// `2022-11-07 07:00:00  v17  commune 108/109  rec_total 1.205.627 (+12)`
fn line(last: Option<&Totals>, totals: &Totals, output: &Output) -> String {
    let time = totals
        .changed_at
        .map_or_else(|| output.say(&both("chưa có báo cáo", "no report yet")), |at| local_time(at.seconds, at.nanos));
    let mut parts = vec![time, format!("v{}", totals.version)];
    for level in &totals.levels {
        parts.push(format!("{} {}/{}", level.level, count(level.reported), count(level.expected)));
    }
    let Some(last) = last else { return parts.join("  ") };
    let before: BTreeMap<(&str, String), Option<i64>> = last
        .levels
        .iter()
        .flat_map(|level| level.cells.iter().map(|cell| ((level.level.as_str(), name_of(cell)), cell.sum)))
        .collect();
    let mut moved = 0;
    for level in &totals.levels {
        for cell in &level.cells {
            let name = name_of(cell);
            let was = before.get(&(level.level.as_str(), name.clone())).copied().flatten();
            if was == cell.sum {
                continue;
            }
            moved += 1;
            if moved > NAMED {
                continue;
            }
            let now = cell.sum.map_or("–".to_owned(), |sum| grouped(sum, cell.decimals));
            let change = cell.sum.unwrap_or(0).saturating_sub(was.unwrap_or(0));
            let sign = if change < 0 { "" } else { "+" };
            let of_level = if totals.levels.len() > 1 { format!(" {}", level.level) } else { String::new() };
            parts.push(format!("{name}{of_level} {now} ({sign}{})", grouped(change, cell.decimals)));
        }
    }
    if moved > NAMED {
        let more = moved - NAMED;
        parts.push(output.say(&both(format!("và {more} ô khác"), format!("and {more} more"))));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use client::fake::Fake;

    use super::*;
    use crate::{
        args::Lang,
        output::tests::captured,
        totals::tests::{cell, totals},
    };

    #[test]
    fn a_line_says_what_has_moved() {
        let (output, _) = captured(false, Lang::En);
        let first = totals();
        assert_eq!(line(None, &first, &output), "2022-11-07 07:00:00  v17  province 0/1  commune 108/109");
        let mut second = totals();
        second.version = 18;
        second.levels[0].cells[0].sum = Some(5);
        second.levels[1].cells[1].sum = None;
        assert_eq!(
            line(Some(&first), &second, &output),
            "2022-11-07 07:00:00  v18  province 0/1  commune 108/109  rec_total province 5 (+5)  svc_online[s03] commune – (-92,3)"
        );
    }

    fn of(url: String, count: Option<u64>) -> args::Watch {
        let [org_unit, data_set, period] = ["94", "online_services", "202211"].map(str::to_owned);
        args::Watch {
            which: args::Which { query: url, credentials: args::fake_credentials(), org_unit, data_set, period },
            count,
        }
    }

    fn version(version: i64) -> Totals {
        Totals { version, ..totals() }
    }

    #[tokio::test]
    async fn a_broken_stream_is_opened_again_and_nothing_is_printed_twice() {
        let fake = Fake::default();
        fake.state().watched = [vec![version(17), version(18)], vec![version(18), version(20)]].into();
        let args = of(fake.serve().await, Some(3));
        let (output, written) = captured(true, Lang::En);
        assert_eq!(follow(&args, pin!(pending()), &output).await, Ok(Ended::Well));
        let (stdout, stderr) = written();
        let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let versions: Vec<_> = lines[..3].iter().map(|line| line["version"].as_i64().unwrap()).collect();
        assert_eq!((versions, &lines[3]), (vec![17, 18, 20], &json!({ "summary": { "lines": 3 } })));
        assert!(stderr.contains("going away; connecting again"), "{stderr}");
    }

    #[tokio::test]
    async fn ctrl_c_ends_well_and_what_never_worked_is_not_tried_again() {
        let fake = Fake::default();
        fake.state().watched = [vec![version(17)]].into();
        let args = of(fake.serve().await, None);
        let (output, written) = captured(false, Lang::En);
        let refused = follow(&args, pin!(pending()), &output).await.unwrap_err();
        assert_eq!(refused.reason, "NOT_FOUND", "the first stream broke, the second is refused");
        assert_eq!(written().0.lines().count(), 1);
        assert_eq!(follow(&args, pin!(std::future::ready(())), &output).await, Ok(Ended::Well));
    }

    #[test]
    fn many_moves_are_counted() {
        let with = |sum| {
            let mut totals = totals();
            totals.levels.truncate(1);
            totals.levels[0].cells = (0..9).map(|n| cell(&format!("c{n}"), "", Some(sum), 0)).collect();
            totals
        };
        let (output, _) = captured(false, Lang::En);
        let text = line(Some(&with(1)), &with(3), &output);
        assert!(text.ends_with("c4 3 (+2)  c5 3 (+2)  and 3 more"), "{text}");
    }
}
