//! Refusals as `google.rpc` statuses.

use std::time::Duration;

use domain::{Message, Violation, Violations};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The domain of every `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "tonghop.v1";

/// The status of a request that can never succeed as it is. At least one violation is expected.
///
/// The message is the first violation's, in English; `LocalizedMessage` has it in Vietnamese; `BadRequest` has all of
/// them, field by field, with `reason` and both languages in the description.
#[must_use]
pub fn invalid(violations: &Violations) -> Status {
    bad_request("", violations)
}

/// As [`invalid`], for a report that is a field of the request: `report.` goes before each field's path.
#[must_use]
pub fn invalid_report(violations: &Violations) -> Status {
    bad_request("report.", violations)
}

/// The most bytes of violations in a status, or one violation. A status travels in headers, in base64, and clients take 8 KiB of those:
/// with more the caller would read that the connection failed, and try again.
const MOST_BYTES: usize = 4 * 1024;

fn bad_request(prefix: &str, violations: &Violations) -> Status {
    // What is wrong with the report as a whole has no field of its own.
    let named = |field: &str| format!("{prefix}{field}").trim_end_matches('.').to_owned();
    let mut bytes = 0;
    let fields = violations.list().iter().map(|Violation { reason, field, message: Message { vi, en }, .. }| {
        FieldViolation::new(named(field), format!("{reason}: {en} / {vi}"))
    });
    let fields = fields.take_while(|told| {
        let is_first = bytes == 0;
        bytes += told.field.len() + told.description.len();
        is_first || bytes <= MOST_BYTES
    });
    let mut details = ErrorDetails::new();
    details.set_bad_request(fields.collect::<Vec<_>>());
    let Some(first) = violations.list().first() else { return Status::invalid_argument("the request is malformed") };
    let count = violations.list().len() + violations.omitted() as usize;
    let metadata = [("violations".to_owned(), count.to_string())];
    details.set_error_info(first.reason.code(), ERROR_DOMAIN, metadata);
    details.set_localized_message("vi-VN", &first.message.vi);
    let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
    Status::with_error_details(
        Code::InvalidArgument,
        format!("{}: {}{more}", named(&first.field), first.message.en),
        details,
    )
}

/// A status with a stable reason and a sentence in both languages; `retry_after` where trying again may help.
#[must_use]
pub fn refusal(code: Code, reason: &str, message: &Message, retry_after: Option<Duration>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, ERROR_DOMAIN, []);
    details.set_localized_message("vi-VN", &message.vi);
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, &message.en, details)
}

/// As [`refusal`] with `RESOURCE_EXHAUSTED`, for somebody who asks for more than their own share: `QuotaFailure` names them.
#[must_use]
pub fn over_quota(reason: &str, message: &Message, retry_after: Duration, principal: &str) -> Status {
    let status = refusal(Code::ResourceExhausted, reason, message, Some(retry_after));
    let mut details = status.get_error_details();
    details.add_quota_failure_violation(format!("principal:{principal}"), &message.en);
    Status::with_error_details(status.code(), status.message(), details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Reason, Severity};

    #[test]
    fn every_violation_is_told_with_its_field_and_the_first_gives_the_reason() {
        let violation = |reason, field: &str| Violation {
            reason,
            severity: Severity::Error,
            field: field.to_owned(),
            message: Message { vi: "sai".to_owned(), en: "wrong".to_owned() },
        };
        let mut violations = Violations::from(violation(Reason::PeriodTypeWrong, "period"));
        violations.push(violation(Reason::CellUnknown, "values[3]"));
        let status = invalid_report(&violations);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "report.period: wrong (and 1 more)");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "PERIOD_TYPE_WRONG");
        assert_eq!(details.localized_message().unwrap().message, "sai");
        let fields: Vec<_> =
            details.bad_request().unwrap().field_violations.iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["report.period", "report.values[3]"]);
    }

    #[test]
    fn what_is_wrong_in_many_places_fits_into_headers() {
        let violation = |cell: usize| Violation {
            reason: Reason::ValueTypeWrong,
            severity: Severity::Error,
            field: format!("values[{cell}]"),
            message: Message { vi: "sai ".repeat(40), en: "wrong ".repeat(40) },
        };
        let mut violations = Violations::from(violation(0));
        (1..100).for_each(|cell| violations.push(violation(cell)));
        let status = invalid_report(&violations);
        assert!(status.details().len() < 5 * 1024, "{} bytes", status.details().len());
        let details = status.get_error_details();
        assert!(details.bad_request().unwrap().field_violations.len() > 5);
        assert_eq!(details.error_info().unwrap().metadata["violations"], "100");
    }

    #[test]
    fn who_asks_for_more_than_their_share_is_named_and_told_when_to_come_again() {
        let message = Message { vi: "quá nhiều".to_owned(), en: "too many".to_owned() };
        let status = over_quota("TOO_MANY_CALLS", &message, Duration::from_millis(20), "commune-00004");
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "too many"));
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_CALLS");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(20)));
        assert_eq!(details.quota_failure().unwrap().violations[0].subject, "principal:commune-00004");
        assert_eq!(details.localized_message().unwrap().message, "quá nhiều");
    }
}
