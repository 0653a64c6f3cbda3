//! FATES: what became of acknowledged reports, for the back offices of those who sent them.
//!
//! An event lists the reports of one province, data set and fate that were settled together. It is published after they are
//! settled, so that what it says is final. The query service answers for a single submission at any time.

use serde::{Deserialize, Serialize};

use crate::{
    Exact, Outgoing,
    cloud_event::{CloudEvent, EventData},
};

/// The event.
pub type FatesEvent = CloudEvent<FatesData>;

/// Reports of one province and data set that were settled together and had the same fate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FatesData {
    /// The unit directly below the nation that the reporting units are or belong to: a province, a ministry. `VN` for the
    /// nation's own reports, `_` where no unit has the code that a report names.
    pub province: String,
    /// The data set; `_` where there is none of the name that a report gives.
    pub data_set: String,
    /// What became of the reports: `ACCEPTED`, `REJECTED`, `DUPLICATE`, `SUPERSEDED`.
    pub fate: String,
    /// The position of the log of verdicts up to which everything is settled.
    pub log_position: u64,
    /// The reports, in the order in which they were settled.
    pub reports: Vec<ReportFate>,
}

/// An acknowledged report, and why it has its fate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportFate {
    /// The unit, in the sender's words.
    pub org_unit: String,
    /// The data set, in the sender's words.
    pub data_set: String,
    /// The period, in the sender's words.
    pub period: String,
    /// The sender's version number.
    pub revision: Exact,
    /// The sender's name for the submission; left out where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission_id: Option<String>,
    /// When the collector took it, RFC 3339.
    pub received_at: String,
    /// The catalogue it was judged by.
    pub catalogue_version: String,
    /// Where it stands in the log of submitted reports, as acknowledged: the message.
    pub log_sequence: u64,
    /// The place in that message.
    pub log_index: u32,
    /// Why it was rejected, or what is odd about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolationOf>,
    /// How many more violations there were. The query service lists a hundred.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub violations_omitted: u64,
}

/// One thing that is wrong with a report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViolationOf {
    /// The stable code.
    pub reason: String,
    /// `ERROR` or `WARNING`.
    pub severity: String,
    /// The field of the report, the rule or the cell.
    pub field: String,
    /// What is wrong and what would be right, in Vietnamese.
    pub message_vi: String,
    /// The same in English.
    pub message_en: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if takes a reference")]
fn is_zero(omitted: &u64) -> bool {
    *omitted == 0
}

impl EventData for FatesData {
    const KIND: &str = "vn.tonghop.fates.v1";
    const SCHEMA: &str = "urn:tonghop:schema:fates.v1#/$defs/data";
}

/// How many violations of a report are listed in an event.
pub const VIOLATIONS_LISTED: usize = 10;

/// The most bytes of an event: half of what a NATS server takes unless told otherwise.
const EVENT_LIMIT: usize = 512 << 10;

/// The messages that tell the fates of some reports: one, or as many as it takes to keep each within bounds.
///
/// # Errors
/// Never in practice: every part of an event has a JSON form.
pub fn messages(subject: &str, time: &str, data: FatesData) -> Result<Vec<Outgoing>, serde_json::Error> {
    let mut messages = Vec::with_capacity(1);
    let mut waiting = vec![data];
    while let Some(mut data) = waiting.pop() {
        // Parts of one batch are told apart by the first report in them.
        let first = data.reports.first().map_or((0, 0), |report| (report.log_sequence, report.log_index));
        let mark = format!("{}.{}.{}", data.log_position, first.0, first.1);
        let event = FatesEvent::new(subject.to_owned(), &mark, time.to_owned(), data);
        let message = event.message()?;
        if message.payload.len() <= EVENT_LIMIT {
            messages.push(message);
            continue;
        }
        data = event.data;
        if let [report] = &mut data.reports[..] {
            // Alone it would be too large: the ledger has its violations.
            let listed = u64::try_from(report.violations.len()).unwrap_or(u64::MAX);
            if listed == 0 {
                messages.push(message);
                continue;
            }
            report.violations_omitted += listed;
            report.violations.clear();
            waiting.push(data);
        } else {
            let rest = data.reports.split_off(data.reports.len() / 2);
            let first = std::mem::take(&mut data.reports);
            // The last is taken next.
            waiting.push(FatesData { reports: rest, ..data.clone() });
            waiting.push(FatesData { reports: first, ..data });
        }
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(place: u32, message: &str) -> ReportFate {
        ReportFate {
            org_unit: "31498".into(),
            data_set: "identity".into(),
            period: "202211".into(),
            revision: Exact(1),
            submission_id: None,
            received_at: "2022-11-20T08:00:00Z".into(),
            catalogue_version: "1".into(),
            log_sequence: 7,
            log_index: place,
            violations: vec![ViolationOf {
                reason: "RULE_BROKEN".into(),
                severity: "ERROR".into(),
                field: "rule".into(),
                message_vi: message.to_owned(),
                message_en: String::new(),
            }],
            violations_omitted: 0,
        }
    }

    fn told(reports: Vec<ReportFate>) -> Vec<FatesEvent> {
        let data = FatesData {
            province: "94".into(),
            data_set: "identity".into(),
            fate: "REJECTED".into(),
            log_position: 9,
            reports,
        };
        let messages = messages("reports.v1.94.identity.rejected", "2022-11-20T08:00:00Z", data).unwrap();
        assert!(messages.iter().all(|message| message.payload.len() <= EVENT_LIMIT));
        messages.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }

    #[test]
    fn an_event_has_a_bound_and_nothing_is_left_out() {
        let long = "\"".repeat(2_000);
        let events = told((0..1_000).map(|place| report(place, &long)).collect());
        assert!(events.len() > 4, "{} events", events.len());
        let places: Vec<_> =
            events.iter().flat_map(|event| &event.data.reports).map(|report| report.log_index).collect();
        assert_eq!(places, (0..1_000).collect::<Vec<_>>(), "in order");
        let mut ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
        ids.dedup();
        assert_eq!(ids.len(), events.len(), "each has its own id");
    }

    #[test]
    fn a_report_too_large_for_an_event_is_told_without_its_violations() {
        let events = told(vec![report(0, "short"), report(1, &"x".repeat(EVENT_LIMIT))]);
        let said =
            |event: &FatesEvent| (event.data.reports[0].violations.len(), event.data.reports[0].violations_omitted);
        assert_eq!(events.iter().map(said).collect::<Vec<_>>(), [(1, 0), (0, 1)]);
    }
}
