//! Judging batches: from reports as they were submitted to messages with verdicts, by partition.

use std::{collections::BTreeMap, sync::Arc};

use access::Access;
use domain::{
    Catalogue, ContentDigest, Message, Reason, Severity, Timestamp, Violation, Violations,
    access::{Denied, Wish},
    catalogue::DataSet,
    judge::{self, Verdict},
    settle::{self, Accepted, Claim, Origin, Position, Provenance, Rejected},
};
use messaging::{Outgoing, Partition, Partitions, Submitted, accepted_message, quarantined_message, rejected_message};
use proto::{
    event::{digest_of, encode_accepted, encode_rejected},
    pb::{
        event::v1::{AcceptedReport, JudgedBatch, JudgedBatches, QuarantinedMessage, RejectedReport, SubmittedReport},
        report::v1::Report,
    },
};
use runtime::trace::Span;
use store::{Store, StoreError};

use crate::{
    metrics::NUMBERS,
    stored::{Questions, Stored},
};

/// The most bytes of verdicts in one message: half of what NATS takes. A batch of reports with a hundred violations each
/// needs several.
const MESSAGE_BYTES: usize = 512 * 1024;

/// The most bytes of a quarantined message that are kept.
const QUARANTINED_BYTES: usize = 64 * 1024;

/// What judging needs.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) access: Access,
    pub(crate) partitions: Partitions,
    pub(crate) store: Store,
}

/// A report that was read, and its form.
type Readable<'c> = Result<(domain::Report, &'c DataSet), Violations>;

/// The verdicts that go to one partition, each with the place in REPORTS of the batch that its report came in.
#[derive(Default)]
struct Judged {
    accepted: Vec<(u64, AcceptedReport)>,
    rejected: Vec<(u64, RejectedReport)>,
}

impl Judge {
    /// A message that no collector has sealed is no batch, whatever it holds.
    pub(crate) fn opened(&self, mut submitted: Submitted) -> Submitted {
        if let Err(error) = self.access.check_seal(submitted.seal.as_deref(), submitted.payload()) {
            submitted.batch = Err(error.to_string());
        }
        submitted
    }

    /// The messages with the verdicts on some batches: what goes to one partition goes there together, as each message costs its wait for the
    /// disk. PostgreSQL is asked once for all of them, and only where a report's form looks back or its period is closed.
    ///
    /// # Errors
    /// When PostgreSQL had to be asked and did not answer.
    pub(crate) async fn verdicts(&self, taken: &[Submitted]) -> Result<Vec<Outgoing>, StoreError> {
        let read: Vec<Vec<Readable<'_>>> = taken.iter().map(|submitted| self.read(submitted)).collect();
        let mut questions = Questions::default();
        for (submitted, read) in taken.iter().zip(&read) {
            for (submitted, read) in reports(submitted).iter().zip(read) {
                if let Ok((report, data_set)) = read {
                    questions.add(&self.catalogue, data_set, report, received_at(submitted));
                }
            }
        }
        let stored = questions.ask(&self.catalogue, &self.store).await?;
        let mut judged = BTreeMap::new();
        let mut messages = Vec::new();
        for (submitted, read) in taken.iter().zip(read) {
            match &submitted.batch {
                Ok(batch) => self.judge_batch(submitted.sequence, &batch.reports, read, &stored, &mut judged),
                Err(error) => messages.push(self.quarantined(submitted, error)),
            }
        }
        messages.extend(self.messages(judged));
        Ok(messages)
    }

    /// The reports of a batch, read; none where the bytes are no batch.
    fn read(&self, submitted: &Submitted) -> Vec<Readable<'_>> {
        let read = |submitted: &SubmittedReport| match &submitted.report {
            None => Err(judge::no_report()),
            // The collector has set the revision; whoever got past it without one is refused for it.
            Some(report) => judge::read(&self.catalogue, &proto::report::draft(report, -1), received_at(submitted))
                .and_then(|(report, data_set)| self.granted(submitted, report, data_set)),
        };
        reports(submitted).iter().map(read).collect()
    }

    /// The report, if whoever sent it may report for the unit. The collector has asked too; one that was broken into has not.
    fn granted<'c>(&self, submitted: &SubmittedReport, report: domain::Report, data_set: &'c DataSet) -> Readable<'c> {
        let wish = Wish::to_submit(&self.catalogue, data_set, &report.key, received_at(submitted));
        let allowed = match submitted.principal.parse() {
            Ok(principal) => self.access.might(&principal, &wish, self.catalogue.tree()),
            Err(_) => Err(Denied::Action),
        };
        let Err(denied) = allowed else { return Ok((report, data_set)) };
        let message: Message = denied.message(&Claim::cut(&submitted.principal), &wish);
        let (reason, severity, field) = (Reason::NotGranted, Severity::Error, "org_unit".to_owned());
        Err(Violation { reason, severity, field, message }.into())
    }

    fn quarantined(&self, submitted: &Submitted, error: &str) -> Outgoing {
        NUMBERS.quarantined.increment(1);
        let payload = submitted.payload();
        tracing::error!(sequence = submitted.sequence, subject = submitted.subject, bytes = payload.len(), %error, "a submitted batch cannot be read; it is quarantined");
        let message = QuarantinedMessage {
            log_sequence: submitted.sequence,
            subject: submitted.subject.clone(),
            error: error.to_owned(),
            payload: payload[..payload.len().min(QUARANTINED_BYTES)].to_vec(),
            payload_length: payload.len() as u64,
        };
        // Any partition will do, but always the same one.
        quarantined_message(self.partitions.of(""), &message)
    }

    fn judge_batch(
        &self,
        sequence: u64,
        reports: &[SubmittedReport],
        read: Vec<Readable<'_>>,
        stored: &Stored,
        judged: &mut BTreeMap<Partition, Judged>,
    ) {
        let version = self.catalogue.version();
        for (index, (submitted, read)) in (0..).zip(reports.iter().zip(read)) {
            let provenance = Provenance {
                origin: Origin { sequence, index },
                received_at: received_at(submitted),
                principal: Claim::cut(&submitted.principal).into(),
                catalogue: version.clone(),
                position: Position::default(), // JetStream gives it
            };
            let report = submitted.report.as_ref();
            let data_set = report.map_or("", |report| report.data_set.as_str());
            let judged = judged.entry(self.partitions.of(data_set)).or_default();
            match self.judge_report(report, read, stored, provenance) {
                settle::Judged::Accepted(accepted) => {
                    let step = Span::next("judge", &submitted.traceparent);
                    // Where nothing is recorded here, what comes after may be.
                    let traceparent = step.map_or_else(|| submitted.traceparent.clone(), |step| step.traceparent());
                    NUMBERS.accepted.increment(1);
                    judged.accepted.push((sequence, AcceptedReport { traceparent, ..encode_accepted(&accepted) }));
                }
                settle::Judged::Rejected(rejected) => {
                    NUMBERS.rejected.increment(1);
                    judged.rejected.push((sequence, encode_rejected(&rejected)));
                }
            }
        }
    }

    fn messages(&self, judged: BTreeMap<Partition, Judged>) -> Vec<Outgoing> {
        let batch = |log_sequence, accepted, rejected| JudgedBatch {
            log_sequence,
            catalogue_version: self.catalogue.version().to_string(),
            accepted,
            rejected,
        };
        let mut messages = Vec::new();
        for (partition, Judged { accepted, rejected }) in judged {
            for part in parts(accepted, |(_, report)| proto::encoded_len(report)) {
                let batches = by_batch(part, |sequence, accepted| batch(sequence, accepted, Vec::new()));
                messages.push(accepted_message(partition, &batches));
            }
            for part in parts(rejected, |(_, report)| proto::encoded_len(report)) {
                let batches = by_batch(part, |sequence, rejected| batch(sequence, Vec::new(), rejected));
                messages.push(rejected_message(partition, &batches));
            }
        }
        messages
    }

    fn judge_report(
        &self,
        report: Option<&Report>,
        read: Readable<'_>,
        stored: &Stored,
        provenance: Provenance,
    ) -> settle::Judged {
        let weighed = read.map(|(report, data_set)| {
            let context = stored.context(&self.catalogue, data_set, &report, provenance.received_at);
            judge::weigh(&self.catalogue, data_set, report, &context)
        });
        let violations = match weighed {
            Ok(Verdict::Accepted { report, digest, on_time, warnings }) => {
                return settle::Judged::Accepted(Accepted { provenance, report, digest, on_time, warnings });
            }
            Ok(Verdict::Rejected(violations)) | Err(violations) => violations,
        };
        settle::Judged::Rejected(Rejected {
            provenance,
            claim: report.map(proto::report::claim).unwrap_or_default(),
            digest: report.map_or(ContentDigest::of_bytes(&[]), digest_of),
            violations,
        })
    }
}

/// The reports of a batch; none where the bytes are no batch.
fn reports(submitted: &Submitted) -> &[SubmittedReport] {
    submitted.batch.as_ref().map_or(&[], |batch| &batch.reports)
}

fn received_at(submitted: &SubmittedReport) -> Timestamp {
    Timestamp::from_unix_micros(submitted.received_at_micros)
}

/// Puts together again what came in one batch.
fn by_batch<T>(judged: Vec<(u64, T)>, batch: impl Fn(u64, Vec<T>) -> JudgedBatch) -> JudgedBatches {
    let mut batches: Vec<(u64, Vec<T>)> = Vec::new();
    for (sequence, report) in judged {
        match batches.last_mut() {
            Some((of, reports)) if *of == sequence => reports.push(report),
            _ => batches.push((sequence, vec![report])),
        }
    }
    JudgedBatches { batches: batches.into_iter().map(|(sequence, reports)| batch(sequence, reports)).collect() }
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
    fn what_came_together_stays_together() {
        let report = |log_index| RejectedReport { log_index, ..RejectedReport::default() };
        let judged = vec![(7, report(0)), (7, report(1)), (9, report(0)), (7, report(2))];
        let batches =
            by_batch(judged, |log_sequence, rejected| JudgedBatch { log_sequence, rejected, ..JudgedBatch::default() });
        let places = |batch: &JudgedBatch| {
            (batch.log_sequence, batch.rejected.iter().map(|report| report.log_index).collect::<Vec<_>>())
        };
        let found: Vec<_> = batches.batches.iter().map(places).collect();
        assert_eq!(found, [(7, vec![0, 1]), (9, vec![0]), (7, vec![2])]);
    }

    #[test]
    fn parts_keep_everything_in_order_and_fit() {
        let sizes = [200_000, 200_000, 200_000, 600_000, 1, 1];
        let cut = parts(sizes.to_vec(), |size| *size);
        assert_eq!(cut, [vec![200_000, 200_000], vec![200_000], vec![600_000], vec![1, 1]]);
        assert!(parts(Vec::<usize>::new(), |size| *size).is_empty());
    }
}
