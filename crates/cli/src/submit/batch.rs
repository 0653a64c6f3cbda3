//! The reports of a file as the client spools them: a batch that is named by the file's content, so that the same file is
//! the same batch.

use client::{Refusal, Report, Violation};
use domain::{ContentDigest, Violations, judge};
use proto::pb::report::v1::Severity;
use tonic::Code;

use crate::{
    output::both,
    report_file::{FileReport, Format},
};

/// The name of a file's batch.
pub(crate) fn name(format: Format, text: &str) -> String {
    let format = match format {
        Format::Csv => "csv",
        Format::Json => "json",
    };
    let ContentDigest(digest) = ContentDigest::of_bytes(text.as_bytes());
    digest.iter().fold(format!("{format}-"), |name, byte| format!("{name}{byte:02x}"))
}

/// The reports of a file by their places in the list.
pub(crate) struct Batch {
    /// Those that can be spooled.
    pub(crate) to_send: Vec<(u32, Report)>,
    /// Those that cannot: their ids are none.
    pub(crate) refused: Vec<(usize, Refusal)>,
}

/// The batch that the reports of a file are.
pub(crate) fn of(reports: &[FileReport]) -> Batch {
    let (mut to_send, mut refused) = (Vec::with_capacity(reports.len()), Vec::new());
    for (index, FileReport { report, .. }) in reports.iter().enumerate() {
        let mut violations = Violations::default();
        let is_good = report.submission_id.is_empty()
            || judge::read_submission_id(&report.submission_id, &mut violations).is_some();
        match u32::try_from(index) {
            Ok(number) if is_good => to_send.push((number, report.clone().into())),
            _ => refused.push((index, refusal(proto::report::violations(&violations)))),
        }
    }
    Batch { to_send, refused }
}

/// That a report's id was used before for a report of other content.
pub(crate) fn reused() -> Refusal {
    let message = both(
        "Mã lần gửi này đã dùng cho một báo cáo có nội dung khác; hãy gửi với mã lần gửi mới.",
        "the submission id was used for a report of other content; send under a new one",
    );
    refusal(vec![Violation {
        reason: domain::Reason::SubmissionIdReused.code().to_owned(),
        severity: Severity::Error.into(),
        field: "submission_id".to_owned(),
        message_vi: message.vi,
        message_en: message.en,
    }])
}

/// A refusal of ours, in the words of a collector.
fn refusal(violations: Vec<Violation>) -> Refusal {
    let Violation { reason, message_vi, message_en, .. } = violations.first().cloned().unwrap_or_default();
    Refusal { code: Code::InvalidArgument.into(), reason, message_vi, message_en, violations, retry_after: None }
}
