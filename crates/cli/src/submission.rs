//! `tonghop submission`: what became of a submission.

use domain::Message;
use proto::pb::{
    query::v1::{Fate, GetSubmissionRequest, GetSubmissionResponse, query_service_client::QueryServiceClient},
    report::v1::{Severity, Violation},
};
use serde_json::{Value, json};

use crate::{
    Ended, args,
    number::{count, local_time, rfc3339},
    output::{Failure, Output, both},
    peer::Peer,
};

pub(crate) async fn run(args: &args::Submission, output: &Output) -> Result<Ended, Failure> {
    let peer = Peer::query(&args.query, &args.credentials);
    let mut client = QueryServiceClient::new(peer.connect().await?);
    let answer = peer.answer(client.get_submission(GetSubmissionRequest { submission_id: args.id.clone() })).await?;
    output.result(|| object(&answer), || said(&answer, output));
    Ok(Ended::Well)
}

/// A fate's stable name, and its word in both languages.
pub(crate) fn fate_words(fate: Fate) -> (&'static str, &'static str, &'static str) {
    match fate {
        Fate::Unspecified => ("unspecified", "không rõ", "unspecified"),
        Fate::Accepted => ("accepted", "được chấp nhận", "accepted"),
        Fate::Rejected => ("rejected", "bị từ chối", "rejected"),
        Fate::Duplicate => ("duplicate", "trùng lặp", "duplicate"),
        Fate::Superseded => ("superseded", "đã có lần sửa mới hơn", "superseded"),
    }
}

/// A violation as JSON has it.
pub(crate) fn violation_object(violation: &Violation) -> Value {
    let Violation { reason, severity: _, field, message_vi, message_en } = violation;
    json!({
        "reason": reason, "severity": severity(violation).0, "field": field,
        "message_vi": message_vi, "message_en": message_en,
    })
}

/// A violation's stable name of severity, and its word in both languages.
fn severity(violation: &Violation) -> (&'static str, &'static str, &'static str) {
    match violation.severity() {
        Severity::Warning => ("warning", "cảnh báo", "warning"),
        // What is not known is not taken lightly.
        Severity::Error | Severity::Unspecified => ("error", "lỗi", "error"),
    }
}

/// `field: warning RULE_BROKEN: sentence`
pub(crate) fn violation_line(violation: &Violation, output: &Output) -> String {
    let Violation { reason, severity: _, field, message_vi, message_en } = violation;
    let (_, vi, en) = severity(violation);
    let separator = if field.is_empty() { "" } else { ": " };
    format!("{field}{separator}{} {reason}: {}", output.lang().of(vi, en), output.lang().of(message_vi, message_en))
}

/// How many violations are not told, where some are not: lists are bounded.
pub(crate) fn more_violations(omitted: i32) -> Option<Message> {
    (omitted > 0).then(|| both(format!("và {omitted} điểm khác"), format!("and {omitted} more")))
}

/// The fate of a submission as JSON has it.
pub(crate) fn object(answer: &GetSubmissionResponse) -> Value {
    let GetSubmissionResponse {
        submission_id,
        fate: _,
        org_unit,
        data_set,
        period,
        revision,
        violations,
        violations_omitted,
        received_at,
        log_sequence,
        log_index,
        counts,
        current_revision,
        repeated,
    } = answer;
    json!({
        "submission_id": submission_id,
        "fate": fate_words(answer.fate()).0,
        "org_unit": org_unit, "data_set": data_set, "period": period, "revision": revision,
        "violations": violations.iter().map(violation_object).collect::<Vec<_>>(),
        "violations_omitted": violations_omitted,
        "received_at": received_at.map(|at| rfc3339(at.seconds, at.nanos)),
        "log_sequence": log_sequence, "log_index": log_index,
        "counts": counts, "current_revision": current_revision, "repeated": repeated,
    })
}

fn said(answer: &GetSubmissionResponse, output: &Output) -> String {
    let say = |vi: String, en: String| output.say(&both(vi, en));
    let (_, vi, en) = fate_words(answer.fate());
    let GetSubmissionResponse { submission_id, org_unit, data_set, period, revision, .. } = answer;
    let mut lines = vec![
        format!("{submission_id}: {}", output.lang().of(vi, en)),
        format!("  {org_unit} {data_set} {period}, {} {revision}", output.lang().of("lần sửa", "revision")),
    ];
    if let Some(at) = answer.received_at {
        let at = local_time(at.seconds, at.nanos);
        let (sequence, index) = (answer.log_sequence, answer.log_index);
        lines.push(format!(
            "  {}",
            say(
                format!("nhận lúc {at}, vị trí {sequence}.{index}"),
                format!("received at {at} (Vietnam), position {sequence}.{index}")
            )
        ));
    }
    lines.push(format!(
        "  {}",
        match (answer.counts, answer.current_revision) {
            (true, _) => say("đang được tính".to_owned(), "counts at present".to_owned()),
            (false, Some(current)) => say(
                format!("không được tính; lần sửa {current} đang được tính"),
                format!("does not count; revision {current} does")
            ),
            (false, None) => say(
                "không được tính; chưa có lần sửa nào được tính".to_owned(),
                "does not count, and no other revision does".to_owned()
            ),
        }
    ));
    if answer.repeated > 0 {
        let times = count(answer.repeated);
        lines.push(format!("  {}", say(format!("đã gửi lại {times} lần"), format!("sent {times} more times"))));
    }
    lines.extend(answer.violations.iter().map(|violation| format!("  {}", violation_line(violation, output))));
    lines.extend(more_violations(answer.violations_omitted).map(|more| format!("  {}", output.say(&more))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::Lang, output::tests::captured};

    fn rejected() -> GetSubmissionResponse {
        let violation = Violation {
            reason: "RULE_BROKEN".to_owned(),
            severity: Severity::Error.into(),
            field: "online_at_most_received".to_owned(),
            message_vi: "nhiều hơn".to_owned(),
            message_en: "more".to_owned(),
        };
        GetSubmissionResponse {
            submission_id: "0192f0c1-2b3c-7d4e-8f50-112233445566".to_owned(),
            fate: Fate::Rejected.into(),
            org_unit: "31498".to_owned(),
            data_set: "identity".to_owned(),
            period: "202211".to_owned(),
            revision: 2,
            violations: vec![violation],
            violations_omitted: 3,
            current_revision: Some(1),
            repeated: 1,
            ..GetSubmissionResponse::default()
        }
    }

    #[test]
    fn a_rejection_is_told_with_its_reasons() {
        let (output, _) = captured(false, Lang::En);
        assert_eq!(
            said(&rejected(), &output),
            "0192f0c1-2b3c-7d4e-8f50-112233445566: rejected\n  31498 identity 202211, revision 2\n  \
             does not count; revision 1 does\n  sent 1 more times\n  \
             online_at_most_received: error RULE_BROKEN: more\n  and 3 more"
        );
        let object = object(&rejected());
        assert_eq!((&object["fate"], &object["violations"][0]["severity"]), (&json!("rejected"), &json!("error")));
    }
}
