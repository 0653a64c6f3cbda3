//! `tonghop status`: the whole pipeline in one screen, and what is wrong with it.

use std::collections::BTreeMap;

use domain::{Message, Timestamp, settle::Position};
use messaging::{Connection, Judging, Partition, Partitions, StreamState};
use runtime::{Clock as _, SystemClock, health::is_serving};
use serde_json::{Value, json};
use store::{
    PartitionState, State, Store,
    verify::{ReconciledAll, Reconciliation},
};

use crate::{
    Ended,
    args::Status,
    number::{count, instant_local, instant_rfc3339},
    output::{Failure, Output, both, chain},
    partner,
    table::{Align, render},
    verify,
};

/// From how many seconds on being behind is bad news: the alerts' own bound.
const BEHIND: u64 = 300;
/// From how many percent on a stream is too full: the alerts' own bound.
const FULL: u64 = 70;
/// From how many seconds on the totals' last recomputation is too old: the alerts' own bound, a day and two hours.
const OLD: u64 = 93_600;
/// The checks that services make, as their admin ports name them.
const CHECKS: [&str; 2] = ["nats", "database"];

/// A service, as its admin port says.
struct Service {
    admin: String,
    /// None where nobody answers.
    ready: Option<bool>,
    checks: Vec<(&'static str, bool)>,
    error: Option<String>,
}

/// Everything that is shown.
struct Pipeline {
    services: Vec<Service>,
    streams: Vec<StreamState>,
    judging: Judging,
    state: State,
    reconciliation: Reconciliation,
    /// When the oldest verdict of each partition came in that is not counted; none where all are.
    uncounted: Vec<Option<Timestamp>>,
    now: Timestamp,
}

pub(crate) async fn run(args: &Status, output: &Output) -> Result<Ended, Failure> {
    let (nats, database) = (args.nats.config()?, args.database.config()?);
    let mut services = Vec::with_capacity(args.admin.len());
    for admin in &args.admin {
        services.push(service(admin).await);
    }
    let connection = partner::connect(&nats).await?;
    let store = verify::open(&database).await?;
    let pipeline = look(services, &connection, &store).await.map_err(|error| {
        Failure::caused("không xem được tình trạng hệ thống", "cannot see how the pipeline stands", &*error)
    })?;
    store.close().await;
    connection.close().await;

    let problems = pipeline.problems();
    output.result(|| pipeline.object(&problems), || pipeline.said(&problems, output));
    Ok(if problems.is_empty() { Ended::Well } else { Ended::Badly })
}

async fn service(admin: &str) -> Service {
    let mut service = Service { admin: admin.to_owned(), ready: None, checks: Vec::new(), error: None };
    match is_serving(admin, "").await {
        Ok(ready) => service.ready = Some(ready.unwrap_or_default()),
        Err(error) => {
            service.error = Some(chain(&error));
            return service;
        }
    }
    for check in CHECKS {
        // A service that does not make the check does not know it.
        if let Ok(Some(well)) = is_serving(admin, check).await {
            service.checks.push((check, well));
        }
    }
    service
}

async fn look(
    services: Vec<Service>,
    connection: &Connection,
    store: &Store,
) -> Result<Pipeline, Box<dyn std::error::Error>> {
    let partitions = connection.partitions().await?;
    let (state, reconciliation) = (store.state().await?, store.reconciliation().await?);
    let mut uncounted = Vec::with_capacity(state.partitions.len());
    for counted in &state.partitions {
        uncounted.push(match find(partitions, counted.partition) {
            Some(partition) => connection.verdict_after(partition, counted.position).await?,
            None => None,
        });
    }
    let (streams, judging) = (connection.streams().await?, connection.judging().await?);
    let now = Timestamp::from(SystemClock.now());
    Ok(Pipeline { services, streams, judging, state, reconciliation, uncounted, now })
}

fn find(partitions: Partitions, number: u16) -> Option<Partition> {
    partitions.all().find(|partition| partition.number() == number)
}

impl Pipeline {
    fn behind(&self, oldest: Option<Timestamp>) -> u64 {
        let micros = oldest.map_or(0, |oldest| self.now.unix_micros().saturating_sub(oldest.unix_micros()));
        u64::try_from(micros / 1_000_000).unwrap_or_default()
    }

    /// For how many seconds the totals were not recomputed at once; where they never were, since there can be any.
    fn not_recomputed(&self) -> u64 {
        self.behind(Some(self.reconciliation.all.map_or(self.reconciliation.made_at, |all| all.at)))
    }

    /// By how many seconds the aggregators are behind.
    fn counting_behind(&self) -> u64 {
        self.behind(self.uncounted.iter().copied().flatten().min())
    }

    /// The partitions that nobody works on.
    fn idle(&self) -> Vec<String> {
        let idle = self.state.partitions.iter().filter(|counted| counted.held_by.is_none());
        idle.map(|counted| counted.partition.to_string()).collect()
    }

    /// How many partitions each holder works on.
    fn holders(&self) -> BTreeMap<String, usize> {
        let mut holders = BTreeMap::new();
        for holder in self.state.partitions.iter().filter_map(|counted| counted.held_by.as_ref()) {
            let address = holder.address.as_deref().unwrap_or("?");
            *holders.entry(format!("{address} (pid {})", holder.pid)).or_default() += 1;
        }
        holders
    }

    /// What somebody should look at.
    fn problems(&self) -> Vec<Message> {
        let mut problems = Vec::new();
        for Service { admin, ready, error, .. } in &self.services {
            match (ready, error) {
                (Some(true), _) => {}
                (_, Some(error)) => problems.push(both(
                    format!("dịch vụ tại {admin} không trả lời: {error}"),
                    format!("the service at {admin} does not answer: {error}"),
                )),
                _ => problems.push(both(
                    format!("dịch vụ tại {admin} chưa sẵn sàng; lý do ở {admin}/readyz"),
                    format!("the service at {admin} is not ready; {admin}/readyz says why"),
                )),
            }
        }
        for stream in self.streams.iter().filter(|stream| percent(stream) >= FULL && stream.name != "FATES") {
            let (name, percent) = (stream.name, percent(stream));
            problems
                .push(both(format!("luồng {name} đã đầy {percent} %"), format!("stream {name} is {percent} % full")));
        }
        let judging = self.behind(self.judging.oldest);
        if judging > BEHIND {
            problems.push(both(
                format!("việc kiểm tra báo cáo chậm {} giây", count(judging)),
                format!("judging is {} s behind", count(judging)),
            ));
        }
        let counting = self.counting_behind();
        if counting > BEHIND {
            problems.push(both(
                format!("việc cộng số liệu chậm {} giây", count(counting)),
                format!("counting is {} s behind", count(counting)),
            ));
        }
        let idle = self.idle();
        if !idle.is_empty() {
            let idle = idle.join(", ");
            problems.push(both(
                format!("không dịch vụ nào phụ trách phân vùng {idle}"),
                format!("nobody works on partition {idle}"),
            ));
        }
        if self.state.quarantined > 0 {
            let messages = count(self.state.quarantined);
            problems.push(both(
                format!("{messages} thông điệp đang bị cách ly"),
                format!("{messages} messages are in quarantine"),
            ));
        }
        let wrong = self.reconciliation.mismatches;
        if wrong > 0 {
            let wrong = count(wrong);
            problems.push(both(
                format!("{wrong} tổng không khớp với các báo cáo; `tonghop verify` liệt kê, `tonghop replay --swap` sửa lại"),
                format!("{wrong} totals are not what their reports add up to; `tonghop verify` lists them, `tonghop replay --swap` puts them right"),
            ));
        }
        if self.not_recomputed() > OLD {
            let hours = count(self.not_recomputed() / 3_600);
            problems.push(match self.reconciliation.all {
                Some(_) => both(
                    format!("đã {hours} giờ chưa tính lại toàn bộ các tổng"),
                    format!("the totals were last recomputed {hours} hours ago"),
                ),
                None => both(
                    "các tổng chưa được tính lại lần nào".to_owned(),
                    "the totals were never recomputed".to_owned(),
                ),
            });
        }
        problems
    }

    /// The totals' last recomputations, in words.
    fn recomputed(&self, word: impl Fn(&str, &str) -> String) -> Vec<Vec<String>> {
        let Reconciliation { all, latest, mismatches, made_at: _ } = &self.reconciliation;
        let wrong = |mismatches: u64| [word("sai", "wrong"), count(mismatches)];
        let mut rows = Vec::new();
        match all {
            None => {
                rows.push(vec![word("chưa tính lại toàn bộ các tổng", "all totals not recomputed yet"), "–".to_owned()])
            }
            Some(ReconciledAll { at, totals, mismatches }) => {
                let at = instant_local(*at);
                let what = word(&format!("tính lại mọi tổng lúc {at}"), &format!("all totals recomputed {at}"));
                rows.push([what, count(*totals)].into_iter().chain(wrong(*mismatches)).collect());
            }
        }
        if let Some(latest) = latest.filter(|latest| all.is_none_or(|all| all.at < *latest)) {
            let at = instant_local(latest);
            let what = word(&format!("tính lại từng kỳ, gần nhất {at}"), &format!("a period at a time, last {at}"));
            rows.push([what, String::new()].into_iter().chain(wrong(*mismatches)).collect());
        }
        rows
    }

    fn object(&self, problems: &[Message]) -> Value {
        let Self { services, streams, judging, state, reconciliation, uncounted, now: _ } = self;
        let all = reconciliation.all.map(|ReconciledAll { at, totals, mismatches }| {
            json!({ "at": instant_rfc3339(at), "totals": totals, "mismatches": mismatches })
        });
        let services = services.iter().map(|Service { admin, ready, checks, error }| {
            let checks: serde_json::Map<_, _> =
                checks.iter().map(|(check, well)| ((*check).to_owned(), json!(well))).collect();
            json!({ "admin": admin, "ready": ready.unwrap_or_default(), "checks": checks, "error": error })
        });
        let streams = streams.iter().map(|stream| {
            json!({
                "stream": stream.name, "messages": stream.messages, "bytes": stream.bytes,
                "max_bytes": stream.max_bytes, "last": stream.last,
            })
        });
        let partitions = state.partitions.iter().zip(uncounted).map(|(counted, oldest)| {
            let PartitionState { partition, position: Position(position), held_by } = counted;
            json!({
                "partition": partition, "position": position, "behind_seconds": self.behind(*oldest),
                "held_by": held_by.as_ref().map(|holder| json!({ "pid": holder.pid, "address": holder.address })),
            })
        });
        let problems = problems.iter().map(|Message { vi, en }| json!({ "vi": vi, "en": en }));
        json!({
            "services": services.collect::<Vec<_>>(),
            "streams": streams.collect::<Vec<_>>(),
            "judging": {
                "waiting": judging.waiting, "in_hand": judging.in_hand, "redelivered": judging.redelivered,
                "behind_seconds": self.behind(judging.oldest),
            },
            "counting": { "behind_seconds": self.counting_behind(), "partitions": partitions.collect::<Vec<_>>() },
            "reconciliation": {
                "all": all, "latest": reconciliation.latest.map(instant_rfc3339), "mismatches": reconciliation.mismatches,
                "is_old": self.not_recomputed() > OLD,
            },
            "outbox": state.outbox,
            "quarantined": state.quarantined,
            "database_bytes": state.bytes,
            "problems": problems.collect::<Vec<_>>(),
        })
    }

    fn said(&self, problems: &[Message], output: &Output) -> String {
        let word = |vi: &str, en: &str| output.lang().of(vi, en);
        let mut text = String::new();
        if !self.services.is_empty() {
            let rows: Vec<_> = self.services.iter().map(|service| service_row(service, output)).collect();
            text += &format!("{}\n{}", word("dịch vụ", "services"), indented(&render(&[Align::Left; 3], &rows)));
        }
        let rows: Vec<_> = self.streams.iter().map(stream_row).collect();
        let aligned = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right];
        text += &format!("{}\n{}", word("luồng", "streams"), indented(&render(&aligned, &rows)));

        let seconds = |seconds: u64| format!("{} s", count(seconds));
        let Judging { waiting, in_hand, oldest, .. } = &self.judging;
        let mut rows = vec![
            vec![
                word("chờ kiểm tra", "to be judged"),
                count(*waiting + *in_hand),
                word("chậm", "behind"),
                seconds(self.behind(*oldest)),
            ],
            vec![
                word("phân vùng còn phải cộng", "partitions to be counted"),
                format!("{}/{}", self.uncounted.iter().flatten().count(), self.uncounted.len()),
                word("chậm", "behind"),
                seconds(self.counting_behind()),
            ],
            vec![word("lô sự kiện chờ phát", "batches of events to be published"), count(self.state.outbox)],
            vec![word("thông điệp bị cách ly", "messages in quarantine"), count(self.state.quarantined)],
            vec![word("cơ sở dữ liệu", "database"), size(self.state.bytes)],
        ];
        rows.extend(self.recomputed(word));
        for (holder, partitions) in self.holders() {
            rows.push(vec![word("phụ trách phân vùng", "works on partitions"), count(partitions as u64), holder]);
        }
        text += &render(&[Align::Left, Align::Right, Align::Left, Align::Right], &rows);
        match problems {
            [] => text + &word("không có gì bất thường", "nothing is wrong"),
            problems => {
                let lines: Vec<_> = problems.iter().map(|problem| format!("! {}", output.say(problem))).collect();
                text + &lines.join("\n")
            }
        }
    }
}

fn service_row(Service { admin, ready, checks, error }: &Service, output: &Output) -> Vec<String> {
    let (vi, en) = match ready {
        Some(true) => ("sẵn sàng", "ready"),
        Some(false) => ("chưa sẵn sàng", "not ready"),
        None => ("không trả lời", "no answer"),
    };
    let checks = checks.iter().map(|(check, well)| format!("{check} {}", if *well { "✓" } else { "✗" }));
    vec![
        admin.clone(),
        output.lang().of(vi, en),
        error.clone().unwrap_or_else(|| checks.collect::<Vec<_>>().join("  ")),
    ]
}

fn stream_row(stream: &StreamState) -> Vec<String> {
    let StreamState { name, messages, bytes, max_bytes, .. } = stream;
    vec![
        (*name).to_owned(),
        count(*messages),
        size(*bytes),
        format!("/ {}", size(*max_bytes)),
        format!("{} %", percent(stream)),
    ]
}

fn percent(stream: &StreamState) -> u64 {
    let percent = u128::from(stream.bytes) * 100 / u128::from(stream.max_bytes.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

/// Bytes in the largest unit of which there are ten or more.
fn size(bytes: u64) -> String {
    let (unit, divisor) = match bytes {
        0..10_240 => ("B", 0),
        10_240..10_485_760 => ("KiB", 10),
        10_485_760..10_737_418_240 => ("MiB", 20),
        _ => ("GiB", 30),
    };
    format!("{} {unit}", count(bytes >> divisor))
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::Lang, output::tests::captured};
    use store::Holder;

    fn pipeline() -> Pipeline {
        let held_by = Some(Holder { pid: 7, address: Some("10.0.0.5".to_owned()) });
        let counted = |partition, held_by| PartitionState { partition, position: Position(5), held_by };
        Pipeline {
            services: vec![Service {
                admin: "http://h:9090".to_owned(),
                ready: Some(true),
                checks: vec![("nats", true)],
                error: None,
            }],
            streams: vec![StreamState {
                name: "REPORTS",
                messages: 1_500,
                bytes: 3 << 30,
                max_bytes: 8 << 30,
                last: 9,
            }],
            judging: Judging { waiting: 0, in_hand: 0, redelivered: 0, oldest: None },
            state: State {
                partitions: vec![counted(0, held_by.clone()), counted(1, held_by)],
                outbox: 0,
                oldest_unpublished: None,
                quarantined: 0,
                bytes: 20 << 20,
                archived: None,
                archive_failures: 0,
                replication_lag: None,
            },
            reconciliation: Reconciliation {
                all: Some(ReconciledAll { at: Timestamp::from_unix_micros(0), totals: 1_234, mismatches: 0 }),
                latest: Some(Timestamp::from_unix_micros(60_000_000)),
                mismatches: 0,
                made_at: Timestamp::from_unix_micros(-1_000_000),
            },
            uncounted: vec![None, Some(Timestamp::from_unix_micros(88_000_000))],
            now: Timestamp::from_unix_micros(100_000_000),
        }
    }

    #[test]
    fn one_screen_says_how_everything_stands() {
        let (output, _) = captured(false, Lang::En);
        let pipeline = pipeline();
        assert_eq!(
            pipeline.said(&pipeline.problems(), &output),
            "services\n  http://h:9090  ready  nats ✓\n\
             streams\n  REPORTS  1.500  3.072 MiB  / 8.192 MiB  37 %\n\
             to be judged                                       0  behind             0 s\n\
             partitions to be counted                         1/2  behind            12 s\n\
             batches of events to be published                  0\n\
             messages in quarantine                             0\n\
             database                                      20 MiB\n\
             all totals recomputed 1970-01-01 07:00:00      1.234  wrong                0\n\
             a period at a time, last 1970-01-01 07:01:00          wrong                0\n\
             works on partitions                                2  10.0.0.5 (pid 7)\n\
             nothing is wrong"
        );
    }

    /// Goal: each thing that an alert would tell of is told, and nothing else.
    #[test]
    fn what_is_wrong_is_said() {
        let told = |spoil: &dyn Fn(&mut Pipeline)| {
            let mut pipeline = pipeline();
            spoil(&mut pipeline);
            pipeline.problems().into_iter().map(|problem| problem.en).collect::<Vec<_>>()
        };
        assert_eq!(told(&|_| {}), Vec::<String>::new());
        assert_eq!(
            told(&|pipeline| pipeline.services[0].ready = Some(false)),
            ["the service at http://h:9090 is not ready; http://h:9090/readyz says why"]
        );
        assert_eq!(told(&|pipeline| pipeline.streams[0].bytes = 6 << 30), ["stream REPORTS is 75 % full"]);
        let long_ago = Some(Timestamp::from_unix_micros(-300_000_000));
        assert_eq!(told(&|pipeline| pipeline.judging.oldest = long_ago), ["judging is 400 s behind"]);
        assert_eq!(told(&|pipeline| pipeline.uncounted[0] = long_ago), ["counting is 400 s behind"]);
        assert_eq!(told(&|pipeline| pipeline.state.partitions[1].held_by = None), ["nobody works on partition 1"]);
        assert_eq!(told(&|pipeline| pipeline.state.quarantined = 2), ["2 messages are in quarantine"]);
        let wrong = told(&|pipeline| pipeline.reconciliation.mismatches = 3);
        assert!(matches!(&wrong[..], [wrong] if wrong.starts_with("3 totals are not what their reports")), "{wrong:?}");
        let after = |hours: i64| Timestamp::from_unix_micros(hours * 3_600_000_000);
        let at = |hours| move |pipeline: &mut Pipeline| (pipeline.now, pipeline.uncounted) = (after(hours), Vec::new());
        assert_eq!(told(&at(26)), Vec::<String>::new());
        assert_eq!(told(&at(27)), ["the totals were last recomputed 27 hours ago"]);
        let never = |hours| {
            move |pipeline: &mut Pipeline| {
                at(hours)(pipeline);
                (pipeline.reconciliation.all, pipeline.reconciliation.latest) = (None, None);
            }
        };
        assert_eq!(told(&never(25)), Vec::<String>::new(), "it has not been there for long");
        assert_eq!(told(&never(27)), ["the totals were never recomputed"]);
        let (output, _) = captured(false, Lang::En);
        let mut pipeline = pipeline();
        never(1)(&mut pipeline);
        assert!(
            pipeline.said(&[], &output).contains("all totals not recomputed yet"),
            "{}",
            pipeline.said(&[], &output)
        );
        assert_eq!(pipeline.object(&[])["reconciliation"]["all"], Value::Null);
    }
}
