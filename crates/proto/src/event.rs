//! Verdicts between the domain and the messages of the stream VERDICTS.

use domain::{
    CatalogueVersion, Content, ContentDigest, DataSetCode, Key, Note, OrgUnitCode, Report, Revision, SubmissionId,
    Timestamp, Values,
    settle::{Accepted, Claim, Judged, Origin, Position, Provenance, Rejected},
};

use prost::Message as _;

use crate::{
    packed,
    pb::event::v1 as pb,
    report::{read_violations, violations},
};

/// A field of a judged batch that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field `{0}` of a verdict is malformed")]
pub struct MalformedVerdict(&'static str);

/// One report's part of a [`pb::SubmittedBatch`]: such parts, one after the other, are the message of all of them.
#[must_use]
pub fn encode_submitted(report: &pb::SubmittedReport) -> Vec<u8> {
    const REPORTS: u32 = 1; // the field's number in SubmittedBatch
    let mut part = Vec::with_capacity(report.encoded_len() + 8);
    prost::encoding::message::encode(REPORTS, report, &mut part);
    part
}

/// Tells the bytes of a submitted report from others, for one that cannot be read.
#[must_use]
pub fn digest_of(report: &crate::pb::report::v1::Report) -> ContentDigest {
    ContentDigest::of_bytes(&report.encode_to_vec())
}

/// Packs a verdict that lets a report count. The batch says where it comes from and by which catalogue it was judged.
#[must_use]
pub fn encode_accepted(accepted: &Accepted) -> pb::AcceptedReport {
    let Accepted { provenance, report, digest, on_time, warnings } = accepted;
    let Provenance { origin, received_at, principal, catalogue: _, position: _ } = provenance;
    let Report { submission_id, key: Key { data_set, period, org_unit }, revision, content } = report;
    let cells = content.values().map_or(&[][..], Values::as_slice);
    let notes = content.values().map_or(&[][..], Values::notes);
    let note = |Note { cell, text }: &Note| pb::Note {
        cell: u32::try_from(*cell).unwrap_or(u32::MAX),
        text: text.to_string(),
    };
    let (present, values) = packed::pack(cells.iter().copied());
    pb::AcceptedReport {
        log_index: origin.index,
        received_at_micros: received_at.unix_micros(),
        principal: principal.to_string(),
        submission_id: submission_id.0.as_bytes().to_vec(),
        data_set: data_set.to_string(),
        period: period.to_string(),
        org_unit: org_unit.to_string(),
        revision: revision.get(),
        digest: digest.0.to_vec(),
        withdrawn: matches!(content, Content::Withdrawn),
        present,
        values,
        cells: u32::try_from(cells.len()).unwrap_or(u32::MAX),
        warnings: violations(warnings),
        warnings_omitted: warnings.omitted(),
        on_time: Some(*on_time),
        notes: notes.iter().map(note).collect(),
        traceparent: String::new(),
    }
}

/// Packs a verdict that keeps a report from counting.
#[must_use]
pub fn encode_rejected(rejected: &Rejected) -> pb::RejectedReport {
    let Rejected { provenance, claim, digest, violations: found } = rejected;
    let Provenance { origin, received_at, principal, catalogue: _, position: _ } = provenance;
    let Claim { submission_id, data_set, period, org_unit, revision } = claim;
    pb::RejectedReport {
        log_index: origin.index,
        received_at_micros: received_at.unix_micros(),
        principal: principal.to_string(),
        submission_id: submission_id.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default(),
        data_set: data_set.clone(),
        period: period.clone(),
        org_unit: org_unit.clone(),
        revision: *revision,
        digest: digest.0.to_vec(),
        violations: violations(found),
        violations_omitted: found.omitted(),
    }
}

/// Unpacks the judged batches of the message at a position of the log of verdicts.
///
/// # Errors
/// Names the field that is malformed.
pub fn decode(batches: Vec<pb::JudgedBatch>, position: Position) -> Result<Vec<Judged>, MalformedVerdict> {
    let reports = batches.iter().map(|batch| batch.accepted.len() + batch.rejected.len()).sum();
    let mut judged = Vec::with_capacity(reports);
    for batch in batches {
        decode_batch(batch, position, &mut judged)?;
    }
    Ok(judged)
}

fn decode_batch(batch: pb::JudgedBatch, position: Position, judged: &mut Vec<Judged>) -> Result<(), MalformedVerdict> {
    let pb::JudgedBatch { log_sequence, catalogue_version, accepted, rejected } = batch;
    let catalogue = CatalogueVersion::new(&catalogue_version);
    let provenance = |index, received_at_micros, principal: String| Provenance {
        origin: Origin { sequence: log_sequence, index },
        received_at: Timestamp::from_unix_micros(received_at_micros),
        principal: principal.into(),
        catalogue: catalogue.clone(),
        position,
    };
    for report in accepted {
        judged.push(decode_accepted(report, &provenance).map(Judged::Accepted)?);
    }
    for report in rejected {
        judged.push(decode_rejected(report, &provenance).map(Judged::Rejected)?);
    }
    Ok(())
}

fn decode_accepted(
    report: pb::AcceptedReport,
    provenance: &impl Fn(u32, i64, String) -> Provenance,
) -> Result<Accepted, MalformedVerdict> {
    let pb::AcceptedReport {
        log_index,
        received_at_micros,
        principal,
        submission_id,
        data_set,
        period,
        org_unit,
        revision,
        digest,
        withdrawn,
        present,
        values,
        cells,
        warnings,
        warnings_omitted,
        on_time,
        notes,
        traceparent: _,
    } = report;
    let note = |pb::Note { cell, text }| Note { cell: cell as usize, text: text.into() };
    let notes = notes.into_iter().map(note).collect();
    let content = if withdrawn {
        Content::Withdrawn
    } else {
        Content::Values(Values::with_notes(packed::unpack(&present, &values, cells).map_err(MalformedVerdict)?, notes))
    };
    let key = Key {
        data_set: DataSetCode::new(&data_set).map_err(|_| MalformedVerdict("data_set"))?,
        period: period.parse().map_err(|_| MalformedVerdict("period"))?,
        org_unit: OrgUnitCode::new(&org_unit).map_err(|_| MalformedVerdict("org_unit"))?,
    };
    let report = Report {
        submission_id: read_submission_id(&submission_id)?.ok_or(MalformedVerdict("submission_id"))?,
        key,
        revision: Revision::new(revision).map_err(|_| MalformedVerdict("revision"))?,
        content,
    };
    Ok(Accepted {
        provenance: provenance(log_index, received_at_micros, principal),
        report,
        digest: read_digest(&digest)?,
        on_time: on_time.unwrap_or(!withdrawn),
        warnings: read_violations(warnings, warnings_omitted),
    })
}

fn decode_rejected(
    report: pb::RejectedReport,
    provenance: &impl Fn(u32, i64, String) -> Provenance,
) -> Result<Rejected, MalformedVerdict> {
    let pb::RejectedReport {
        log_index,
        received_at_micros,
        principal,
        submission_id,
        data_set,
        period,
        org_unit,
        revision,
        digest,
        violations,
        violations_omitted,
    } = report;
    let claim = Claim { submission_id: read_submission_id(&submission_id)?, data_set, period, org_unit, revision };
    Ok(Rejected {
        provenance: provenance(log_index, received_at_micros, principal),
        claim,
        digest: read_digest(&digest)?,
        violations: read_violations(violations, violations_omitted),
    })
}

fn read_submission_id(bytes: &[u8]) -> Result<Option<SubmissionId>, MalformedVerdict> {
    match bytes {
        [] => Ok(None),
        bytes => uuid::Uuid::from_slice(bytes)
            .map(|id| Some(SubmissionId(id)))
            .map_err(|_| MalformedVerdict("submission_id")),
    }
}

fn read_digest(bytes: &[u8]) -> Result<ContentDigest, MalformedVerdict> {
    bytes.try_into().map(ContentDigest).map_err(|_| MalformedVerdict("digest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_a_row_are_a_batch() {
        let report = |principal: &str| pb::SubmittedReport {
            report: None,
            received_at_micros: 5,
            principal: principal.to_owned(),
            traceparent: String::new(),
        };
        let reports = vec![report("a"), report("b"), report("")];
        let parts: Vec<u8> = reports.iter().flat_map(encode_submitted).collect();
        assert_eq!(parts, pb::SubmittedBatch { reports }.encode_to_vec());
    }

    #[test]
    fn values_survive_packing() {
        let cells: Vec<Option<i64>> = (0..19).map(|place| (place % 3 != 1).then_some(place * 1000 - 5)).collect();
        let accepted = Accepted {
            provenance: Provenance {
                origin: Origin { sequence: 7, index: 3 },
                received_at: Timestamp::from_unix_micros(1_669_000_000_000_001),
                principal: "commune-31498".into(),
                catalogue: CatalogueVersion::new("2022.1-0011"),
                position: Position(99),
            },
            report: Report {
                submission_id: SubmissionId(uuid::Uuid::from_u128(42)),
                key: Key {
                    data_set: "identity".parse().unwrap(),
                    period: "202211".parse().unwrap(),
                    org_unit: "31498".parse().unwrap(),
                },
                revision: Revision::new(2).unwrap(),
                content: Content::Values(Values::with_notes(cells, vec![Note { cell: 3, text: "Mạng chậm".into() }])),
            },
            on_time: true,
            digest: ContentDigest([9; 16]),
            warnings: domain::Violations::default(),
        };
        let batch = |accepted| {
            vec![pb::JudgedBatch {
                log_sequence: 7,
                catalogue_version: "2022.1-0011".to_owned(),
                accepted: vec![accepted],
                rejected: vec![],
            }]
        };
        let packed = encode_accepted(&accepted);
        assert_eq!(decode(batch(packed.clone()), Position(99)), Ok(vec![Judged::Accepted(accepted)]));

        let withdrawn = pb::AcceptedReport { withdrawn: true, values: vec![], ..packed.clone() };
        for (report, is_on_time) in [(&packed, true), (&withdrawn, false)] {
            let older = pb::AcceptedReport { on_time: None, ..report.clone() };
            let read = decode(batch(older), Position(99)).unwrap();
            let [Judged::Accepted(read)] = &read[..] else { panic!("{read:?}") };
            assert_eq!(read.on_time, is_on_time, "before there were deadlines");
        }

        let too_few = pb::AcceptedReport { values: packed.values[1..].to_vec(), ..packed.clone() };
        assert_eq!(decode(batch(too_few), Position(99)), Err(MalformedVerdict("values")));
        let other_length = pb::AcceptedReport { cells: 40, ..packed };
        assert_eq!(decode(batch(other_length), Position(99)), Err(MalformedVerdict("present")));
    }
}
