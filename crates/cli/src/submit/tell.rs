//! What the sender is told of each report, as lines for people or as objects.

use proto::pb::{
    collector::v1::{Acknowledgement, Refusal},
    query::v1::{Fate, GetSubmissionResponse},
    report::v1::{self as pb, Violation},
};
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    Ended,
    number::{count, rfc3339},
    output::{Output, both},
    peer::code_name,
    report_file::{Fault, Faults, FileReport, Place},
    submission::{self, fate_words, violation_line, violation_object},
};

/// How many reports ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) reports: usize,
    pub(super) acknowledged: usize,
    pub(super) refused: usize,
    /// Sent and not answered, then given up or interrupted.
    pub(super) unknown: usize,
    /// Never sent, so certainly not kept.
    pub(super) not_sent: usize,
    pub(super) fates: Option<Fates>,
}

/// How many acknowledged reports had which fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) accepted: usize,
    pub(super) rejected: usize,
    pub(super) duplicate: usize,
    pub(super) superseded: usize,
    pub(super) undecided: usize,
}

impl Fates {
    /// Counts one; whether it is a fate.
    pub(super) fn count(&mut self, fate: Fate) -> bool {
        let counter = match fate {
            Fate::Accepted => &mut self.accepted,
            Fate::Rejected => &mut self.rejected,
            Fate::Duplicate => &mut self.duplicate,
            Fate::Superseded => &mut self.superseded,
            Fate::Unspecified => return false,
        };
        *counter += 1;
        true
    }
}

impl Summary {
    pub(super) fn ended(&self, interrupted: bool) -> Ended {
        let fates = self.fates.clone().unwrap_or_default();
        match interrupted {
            true => Ended::Interrupted,
            false if self.refused + self.unknown + self.not_sent + fates.rejected + fates.undecided > 0 => Ended::Badly,
            false => Ended::Well,
        }
    }
}

/// Tells of the reports of a file.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    pub(super) file: &'a str,
    pub(super) output: &'a Output,
}

impl Teller<'_> {
    /// What in the file cannot be read; nothing was sent.
    pub(super) fn faults(self, faults: &Faults) {
        for Fault { place, field, message } in faults.list() {
            self.output.complaint(
                || {
                    json!({ "fault": {
                        "line": place.line, "column": place.column, "field": field,
                        "message_vi": message.vi, "message_en": message.en,
                    } })
                },
                || {
                    let field = if field.is_empty() { String::new() } else { format!(" {field}") };
                    format!("{}:{place}{field}: {}", self.file, self.output.say(message))
                },
            );
        }
        let all = faults.list().len() as u64 + faults.omitted();
        self.output.complaint(
            || json!({ "summary": { "faults": all, "sent": 0 } }),
            || {
                let all = count(all);
                self.output.say(&both(
                    format!("tệp có {all} lỗi; chưa gửi báo cáo nào"),
                    format!("the file has {all} faults; nothing was sent"),
                ))
            },
        );
    }

    /// What is odd about how the file is written; it is sent all the same.
    pub(super) fn remarks(self, remarks: &Faults) {
        for Fault { place, field, message } in remarks.list() {
            let text = format!("{}:{place} {field}: {}", self.file, self.output.say(message));
            self.output.remark(&both(text.clone(), text));
        }
        if remarks.omitted() > 0 {
            let more = count(remarks.omitted());
            self.output.remark(&both(format!("và {more} chỗ khác như vậy"), format!("and {more} more like that")));
        }
    }

    pub(super) fn acknowledged(self, of: &FileReport, acknowledgement: &Acknowledgement) {
        let Acknowledgement { submission_id: _, revision, received_at, log_sequence, log_index } = acknowledgement;
        self.output.result(
            || {
                object(
                    of,
                    "acknowledged",
                    json!({
                        "revision": revision,
                        "received_at": received_at.map(|at| rfc3339(at.seconds, at.nanos)),
                        "log_sequence": log_sequence, "log_index": log_index,
                    }),
                )
            },
            || {
                let said = both(format!("đã nhận, lần sửa {revision}"), format!("acknowledged, revision {revision}"));
                self.line(of, &self.output.say(&said))
            },
        );
    }

    pub(super) fn refused(self, of: &FileReport, refusal: &Refusal) {
        let Refusal { code, reason, message_vi, message_en, violations, retry_after: _ } = refusal;
        self.output.complaint(
            || {
                object(
                    of,
                    "refused",
                    json!({
                        "code": code_name(Code::from_i32(*code)), "reason": reason,
                        "message_vi": message_vi, "message_en": message_en,
                        "violations": violations.iter().map(|violation| located(of, violation)).collect::<Vec<_>>(),
                    }),
                )
            },
            || {
                let lang = self.output.lang();
                let refused = lang.of("bị từ chối", "refused");
                match violations.as_slice() {
                    [] => self.line(of, &format!("{refused}: {reason}: {}", lang.of(message_vi, message_en))),
                    _ => self.violations(of, &refused, violations, 0),
                }
            },
        );
    }

    /// Nothing is known of the report: it may have been kept or not.
    pub(super) fn unknown(self, of: &FileReport) {
        self.output.complaint(
            || object(of, "unknown", json!({})),
            || {
                let said = self.output.say(&both(
                    "chưa rõ đã nhận hay chưa; hãy gửi lại với cùng mã lần gửi",
                    "not known to be kept; send again under the same submission id",
                ));
                self.line(of, &said)
            },
        );
    }

    /// The report was never sent. People see in the summary how many there are.
    pub(super) fn not_sent(self, of: &FileReport) {
        if self.output.is_json() {
            self.output.result(|| object(of, "not_sent", json!({})), String::new);
        }
    }

    pub(super) fn fate(self, of: &FileReport, answer: &GetSubmissionResponse) {
        let fate = answer.fate();
        let as_object = || object(of, fate_words(fate).0, submission::object(answer));
        let as_text = || {
            let (_, vi, en) = fate_words(fate);
            let word = self.output.lang().of(vi, en);
            if answer.violations.is_empty() {
                self.line(of, &word)
            } else {
                self.violations(of, &word, &answer.violations, answer.violations_omitted)
            }
        };
        match fate {
            Fate::Accepted | Fate::Duplicate if answer.violations.is_empty() => {
                // Good news is counted; a line for each would hide the bad.
                if self.output.is_json() {
                    self.output.result(as_object, String::new);
                }
            }
            _ => self.output.complaint(as_object, as_text),
        }
    }

    pub(super) fn undecided(self, of: &FileReport) {
        self.output.complaint(
            || object(of, "undecided", json!({})),
            || {
                let said =
                    self.output.say(&both("đã nhận nhưng chưa có kết quả", "acknowledged, its fate is not known yet"));
                self.line(of, &said)
            },
        );
    }

    pub(super) fn summary(self, summary: &Summary) {
        let Summary { reports, acknowledged, refused, unknown, not_sent, fates } = summary;
        self.output.result(
            || {
                let mut object = json!({
                    "reports": reports, "acknowledged": acknowledged, "refused": refused, "unknown": unknown,
                    "not_sent": not_sent,
                });
                if let Some(Fates { accepted, rejected, duplicate, superseded, undecided }) = fates {
                    object["fates"] = json!({
                        "accepted": accepted, "rejected": rejected, "duplicate": duplicate,
                        "superseded": superseded, "undecided": undecided,
                    });
                }
                json!({ "summary": object })
            },
            || {
                let [all, taken, refused, unknown] = [reports, acknowledged, refused, unknown].map(|n| count(*n));
                let mut counts = both(
                    format!("{all} báo cáo: đã nhận {taken}, từ chối {refused}, chưa rõ {unknown}"),
                    format!("{all} reports: {taken} acknowledged, {refused} refused, {unknown} unknown"),
                );
                if *not_sent > 0 {
                    let not_sent = count(*not_sent);
                    counts.vi.push_str(&format!(", chưa gửi {not_sent}"));
                    counts.en.push_str(&format!(", {not_sent} not sent"));
                }
                let mut text = self.output.say(&counts);
                if let Some(Fates { accepted, rejected, duplicate, superseded, undecided }) = fates {
                    let [a, r, d, s, u] = [accepted, rejected, duplicate, superseded, undecided].map(|n| count(*n));
                    text.push('\n');
                    text.push_str(&self.output.say(&both(
                        format!(
                            "kết quả: chấp nhận {a}, từ chối {r}, trùng lặp {d}, đã có lần sửa mới hơn {s}, chưa có {u}"
                        ),
                        format!("fates: {a} accepted, {r} rejected, {d} duplicate, {s} superseded, {u} undecided"),
                    )));
                }
                text
            },
        );
    }

    /// `reports.csv:2  31498 identity 202211  0192…: what is said`
    fn line(self, of: &FileReport, said: &str) -> String {
        let FileReport { place, report, .. } = of;
        let (unit, data_set, period) = (&report.org_unit, &report.data_set, &report.period);
        format!("{}:{}  {unit} {data_set} {period}  {}: {said}", self.file, place.line, report.submission_id)
    }

    /// The report, and below it a line for each violation with its place in the file, and for how many are not told.
    fn violations(self, of: &FileReport, said: &str, violations: &[Violation], omitted: i32) -> String {
        let mut text = self.line(of, said);
        for violation in violations {
            let line = violation_line(violation, self.output);
            text.push_str(&match value_of(of, violation) {
                Some((place, cell)) if cell == violation.field => format!("\n  {}:{place} {line}", self.file),
                Some((place, cell)) => format!("\n  {}:{place} {cell}, {line}", self.file),
                None => format!("\n  {}:{} {line}", self.file, of.place.line),
            });
        }
        if let Some(more) = submission::more_violations(omitted) {
            text.push_str(&format!("\n  {}", self.output.say(&more)));
        }
        text
    }
}

/// An object about a report of the file; `more` is an object as well.
pub(crate) fn object(of: &FileReport, outcome: &str, more: Value) -> Value {
    let FileReport { place, report, .. } = of;
    let mut object = json!({
        "line": place.line, "outcome": outcome, "submission_id": report.submission_id,
        "org_unit": report.org_unit, "data_set": report.data_set, "period": report.period,
    });
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// A violation with the place in the file that it is about.
pub(crate) fn located(of: &FileReport, violation: &Violation) -> Value {
    let mut object = violation_object(violation);
    if let Some((place, cell)) = value_of(of, violation) {
        object["line"] = place.line.into();
        object["column"] = place.column.into();
        object["cell"] = cell.into();
    }
    object
}

/// The place and cell of the value that a violation is about: its field is `values[3]`, `values[3].option`, or the cell's own
/// name.
pub(crate) fn value_of(of: &FileReport, violation: &Violation) -> Option<(Place, String)> {
    let values = &of.report.values;
    let index = match violation.field.strip_prefix("values[").and_then(|rest| rest.split_once(']')) {
        Some((index, _)) => index.parse().ok()?,
        None => values.iter().position(|value| cell_name(value) == violation.field)?,
    };
    Some((*of.values_at.get(index)?, cell_name(values.get(index)?)))
}

/// `rec_total`, `svc_online[s03]`
fn cell_name(value: &pb::Value) -> String {
    let option = if value.option.is_empty() { String::new() } else { format!("[{}]", value.option) };
    format!("{}{option}", value.data_element)
}
