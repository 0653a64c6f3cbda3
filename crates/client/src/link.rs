//! Connections to the services, and what their refusals mean.

use std::{future::Future, sync::Arc, time::Duration};

use proto::pb::{
    collector::v1::Refusal,
    report::v1::{Severity, Violation},
};
use tonic::{Code, Response, Status, transport::Endpoint};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{Channel, Credentials, OpenError, Service, Trouble};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a single answer may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The longest pause that a service is obeyed in asking for.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// The way to a service.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    service: Service,
    endpoint: Endpoint,
    credentials: Credentials,
}

impl Link {
    pub(crate) fn to(service: Service, url: &str, credentials: &Credentials) -> Result<Self, OpenError> {
        let bad = |_| OpenError::Address(url.to_owned());
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(bad)?;
        if endpoint.uri().scheme_str() != Some("https") || endpoint.uri().host().is_none() {
            return Err(OpenError::Address(url.to_owned()));
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_WITHIN)
            // A line that was cut without a word is noticed in seconds.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .user_agent(concat!("tonghop-client/", env!("CARGO_PKG_VERSION")))
            .map_err(bad)?;
        Ok(Self { service, endpoint, credentials: credentials.clone() })
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Channel, Trouble> {
        let connected = self.credentials.connect(self.endpoint.clone()).await;
        connected.map_err(|source| Trouble::Unreachable { service: self.service, source: Arc::new(source) })
    }

    /// The answer to a call, within bounded time.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Trouble> {
        match tokio::time::timeout(ANSWER_WITHIN, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Trouble::Answered { service: self.service, status }),
            Err(_) => Err(Trouble::Silent(self.service)),
        }
    }
}

impl Trouble {
    /// The pause that the service asked for.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Answered { status, .. } | Self::BrokeOff { status: Some(status), .. } => {
                retry_after(&status.get_error_details()).unwrap_or_default()
            }
            _ => Duration::ZERO,
        }
    }
}

fn retry_after(details: &ErrorDetails) -> Option<Duration> {
    let pause = details.retry_info()?.retry_delay?;
    Some(pause.min(LONGEST_ASKED))
}

/// The pause that a refusal asks for, where sending again may help; none where the report can never count.
pub(crate) fn again_after(refusal: &Refusal) -> Option<Duration> {
    let asked = refusal.retry_after.and_then(|pause| Duration::try_from(pause).ok());
    match asked {
        Some(pause) => Some(pause.min(LONGEST_ASKED)),
        None if is_final(Code::from_i32(refusal.code)) => None,
        None => Some(Duration::ZERO),
    }
}

/// Whether the same report will be answered with this for ever.
fn is_final(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        // A report that is too large.
        | Code::OutOfRange
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::Unauthenticated => false,
    }
}

/// The answer to a single report as a stream would have it; none where it says nothing about the report.
pub(crate) fn refusal(status: &Status) -> Option<Refusal> {
    let details = status.get_error_details();
    let info = details.error_info();
    // What is too large or malformed is refused before the service sees it, without its details.
    if info.is_none() && !matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) {
        return None;
    }
    let vietnamese = details.localized_message().filter(|message| message.locale.starts_with("vi"));
    Some(Refusal {
        code: status.code().into(),
        reason: info.map_or_else(|| code_name(status.code()).to_owned(), |info| info.reason.clone()),
        message_vi: vietnamese.map(|message| message.message.clone()).unwrap_or_default(),
        message_en: status.message().to_owned(),
        violations: violations(&details),
        retry_after: retry_after(&details).map(proto::duration),
    })
}

/// What a status says field by field: `REASON: English / Vietnamese` of `report.field`.
fn violations(details: &ErrorDetails) -> Vec<Violation> {
    let fields = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
    let violation = |field: &tonic_types::FieldViolation| {
        let (reason, words) = field.description.split_once(": ")?;
        let (en, vi) = words.split_once(" / ").unwrap_or((words, words));
        Some(Violation {
            reason: reason.to_owned(),
            severity: Severity::Error.into(),
            field: field.field.strip_prefix("report.").unwrap_or(&field.field).to_owned(),
            message_vi: vi.to_owned(),
            message_en: en.to_owned(),
        })
    };
    fields.iter().filter_map(violation).collect()
}

/// A code as the standard spells it, as far as reports are refused with it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::OutOfRange => "OUT_OF_RANGE",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final_unless_a_pause_is_asked_for_or_the_code_may_pass() {
        let half = Duration::from_millis(500);
        for (code, retry_after, expected) in [
            (Code::InvalidArgument, None, None),
            (Code::OutOfRange, None, None),
            (Code::PermissionDenied, None, None),
            (Code::ResourceExhausted, Some(half), Some(half)),
            (Code::Unavailable, None, Some(Duration::ZERO)),
            (Code::Unknown, None, Some(Duration::ZERO)),
            // The collector's word goes before the code.
            (Code::FailedPrecondition, Some(half), Some(half)),
            // A pause of a year would be none of its business.
            (Code::Unavailable, Some(LONGEST_ASKED * 9000), Some(LONGEST_ASKED)),
        ] {
            let retry_after = retry_after.map(proto::duration);
            let refusal = Refusal { code: code.into(), retry_after, ..Refusal::default() };
            assert_eq!(again_after(&refusal), expected, "for {code:?} {retry_after:?}");
        }
    }

    #[test]
    fn an_answer_to_a_single_report_is_a_refusal_only_where_it_speaks_of_the_report() {
        assert_eq!(
            refusal(&Status::out_of_range("too large")).map(|refusal| refusal.reason).as_deref(),
            Some("OUT_OF_RANGE")
        );
        for elsewhere in
            [Status::unimplemented(""), Status::permission_denied("a proxy's word"), Status::unavailable("")]
        {
            assert_eq!(refusal(&elsewhere), None);
        }
        let mut details = ErrorDetails::new();
        details.set_error_info("ORG_UNIT_UNKNOWN", "tonghop.v1", []);
        details.add_bad_request_violation("report.org_unit", "ORG_UNIT_UNKNOWN: no such unit / không có đơn vị");
        details.set_localized_message("vi-VN", "không có đơn vị");
        let refused =
            refusal(&Status::with_error_details(Code::InvalidArgument, "report.org_unit: no such unit", details));
        let refused = refused.unwrap();
        assert_eq!((refused.reason.as_str(), refused.message_vi.as_str()), ("ORG_UNIT_UNKNOWN", "không có đơn vị"));
        let violation = &refused.violations[0];
        let said = [&violation.reason, &violation.field, &violation.message_vi, &violation.message_en];
        assert_eq!(said, ["ORG_UNIT_UNKNOWN", "org_unit", "không có đơn vị", "no such unit"]);
    }

    #[test]
    fn an_address_is_told_from_what_is_none() {
        let to = |url| Link::to(Service::Collector, url, &Credentials::default());
        assert!(to("https://127.0.0.1:50051").is_ok());
        for bad in ["127.0.0.1:50051", "http://h:1", "ftp://h:1", "", "/x"] {
            assert!(matches!(to(bad), Err(OpenError::Address(_))), "for {bad:?}");
        }
    }
}
