//! Judging a batch: from reports as they were submitted to messages with verdicts, by partition.

use std::collections::BTreeMap;

use domain::{
    Catalogue, ContentDigest, SubmissionId, Timestamp,
    judge::{self, Verdict},
    settle::{self, Accepted, Claim, Origin, Position, Provenance, Rejected},
};
use messaging::{Outgoing, Partition, Partitions, Submitted, accepted_message, quarantined_message, rejected_message};
use proto::{
    event::{digest_of, encode_accepted, encode_rejected},
    pb::{
        event::v1::{AcceptedReport, JudgedBatch, QuarantinedMessage, RejectedReport, SubmittedBatch, SubmittedReport},
        report::v1::Report,
    },
};

/// The most bytes of verdicts in one message: far below what NATS takes. A batch of reports with a hundred violations each
/// needs several.
const MESSAGE_BYTES: usize = 256 * 1024;

/// The most bytes of a quarantined message that are kept.
const QUARANTINED_BYTES: usize = 64 * 1024;

/// The messages with the verdicts on a batch. The same batch gives the same messages.
pub(crate) fn verdicts(catalogue: &Catalogue, partitions: Partitions, submitted: &Submitted) -> Vec<Outgoing> {
    match &submitted.batch {
        Ok(batch) => judge_batch(catalogue, partitions, submitted.sequence, batch),
        Err(error) => {
            let payload = submitted.payload();
            tracing::error!(sequence = submitted.sequence, subject = submitted.subject, bytes = payload.len(), %error, "a submitted batch cannot be read; it is quarantined");
            let message = QuarantinedMessage {
                log_sequence: submitted.sequence,
                subject: submitted.subject.clone(),
                error: error.to_string(),
                payload: payload[..payload.len().min(QUARANTINED_BYTES)].to_vec(),
                payload_length: payload.len() as u64,
            };
            // Any partition will do, but always the same one.
            vec![quarantined_message(partitions.of(""), &message)]
        }
    }
}

/// The verdicts on a batch's reports that go to one partition.
#[derive(Default)]
struct Judged {
    accepted: Vec<AcceptedReport>,
    rejected: Vec<RejectedReport>,
}

fn judge_batch(catalogue: &Catalogue, partitions: Partitions, sequence: u64, batch: &SubmittedBatch) -> Vec<Outgoing> {
    let mut judged: BTreeMap<Partition, Judged> = BTreeMap::new();
    for (index, submitted) in (0..).zip(&batch.reports) {
        let SubmittedReport { report, received_at_micros, principal } = submitted;
        let provenance = Provenance {
            origin: Origin { sequence, index },
            received_at: Timestamp::from_unix_micros(*received_at_micros),
            principal: Claim::cut(principal).into(),
            catalogue: catalogue.version().clone(),
            position: Position::default(), // JetStream gives it
        };
        let data_set = report.as_ref().map_or("", |report| report.data_set.as_str());
        let judged = judged.entry(partitions.of(data_set)).or_default();
        match judge_report(catalogue, report.as_ref(), provenance) {
            settle::Judged::Accepted(accepted) => judged.accepted.push(encode_accepted(&accepted)),
            settle::Judged::Rejected(rejected) => judged.rejected.push(encode_rejected(&rejected)),
        }
    }
    let mut messages = Vec::new();
    for (partition, Judged { accepted, rejected }) in judged {
        let batch = |accepted, rejected| JudgedBatch {
            log_sequence: sequence,
            catalogue_version: catalogue.version().to_string(),
            accepted,
            rejected,
        };
        for (part, accepted) in parts(accepted, proto::encoded_len).into_iter().enumerate() {
            messages.push(accepted_message(partition, part, &batch(accepted, Vec::new())));
        }
        for (part, rejected) in parts(rejected, proto::encoded_len).into_iter().enumerate() {
            messages.push(rejected_message(partition, part, &batch(Vec::new(), rejected)));
        }
    }
    messages
}

fn judge_report(catalogue: &Catalogue, report: Option<&Report>, provenance: Provenance) -> settle::Judged {
    let violations = match report {
        None => judge::no_report(),
        // The collector has set the revision; whoever got past it without one is refused for it.
        Some(report) => match judge::judge(catalogue, &proto::report::draft(report, -1)) {
            Verdict::Accepted { report, digest, warnings } => {
                return settle::Judged::Accepted(Accepted { provenance, report, digest, on_time: true, warnings });
            }
            Verdict::Rejected(violations) => violations,
        },
    };
    settle::Judged::Rejected(Rejected {
        provenance,
        claim: report.map(claim).unwrap_or_default(),
        digest: report.map_or(ContentDigest::of_bytes(&[]), digest_of),
        violations,
    })
}

/// What a report that cannot count claims to be about, in its sender's words, cut to a bound.
fn claim(report: &Report) -> Claim {
    Claim {
        submission_id: uuid::Uuid::try_parse(&report.submission_id).ok().map(SubmissionId),
        data_set: Claim::cut(&report.data_set),
        period: Claim::cut(&report.period),
        org_unit: Claim::cut(&report.org_unit),
        revision: report.revision.unwrap_or(-1),
    }
}

/// Cuts a list into runs that fit a message each.
fn parts<T>(list: Vec<T>, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut parts, mut bytes): (Vec<Vec<T>>, usize) = (Vec::new(), usize::MAX);
    for item in list {
        let more = bytes_of(&item);
        match parts.last_mut() {
            Some(part) if bytes + more <= MESSAGE_BYTES => {
                part.push(item);
                bytes += more;
            }
            _ => {
                parts.push(vec![item]);
                bytes = more;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_everything_in_order_and_fit() {
        let sizes = [100_000, 100_000, 100_000, 300_000, 1, 1];
        let cut = parts(sizes.to_vec(), |size| *size);
        assert_eq!(cut, [vec![100_000, 100_000], vec![100_000], vec![300_000], vec![1, 1]]);
        assert!(parts(Vec::<usize>::new(), |size| *size).is_empty());
    }
}
