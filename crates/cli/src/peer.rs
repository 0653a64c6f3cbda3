//! The services that are talked to: connecting, waiting for an answer, and what they refuse, in words.

use std::{error::Error, future::Future, io, time::Duration};

use client::{Channel, Distrust, Unconnected};
use domain::Message;
use tonic::{Code, Response, Status, transport::Endpoint};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    args,
    output::{Failure, Field, both, chain},
};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a single answer may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A service at a URL.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    name: Message,
    url: String,
    credentials: client::Credentials,
}

impl Peer {
    pub(crate) fn collector(url: &str, credentials: &args::Credentials) -> Self {
        let name = both("dịch vụ tiếp nhận báo cáo", "the collector");
        Self { name, url: url.to_owned(), credentials: credentials.into() }
    }

    pub(crate) fn query(url: &str, credentials: &args::Credentials) -> Self {
        let name = both("dịch vụ tra cứu", "the query service");
        Self { name, url: url.to_owned(), credentials: credentials.into() }
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Channel, Failure> {
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(|error| self.unreachable(&error))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_WITHIN)
            // A line that was cut without a word is noticed in seconds.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .user_agent(concat!("tonghop/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| self.unreachable(&error))?;
        self.credentials.connect(endpoint).await.map_err(|error| self.unreachable(&error))
    }

    /// The answer to a call, within bounded time.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(ANSWER_WITHIN, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.refused(&status)),
            Err(_) => Err(self.silent()),
        }
    }

    /// That nobody is there, and why.
    pub(crate) fn unreachable(&self, error: &(dyn Error + 'static)) -> Failure {
        if let Some(distrust) = Distrust::of(error) {
            return self.distrusted(distrust);
        }
        let why = match refusal_of_the_system(error) {
            Some(io::ErrorKind::ConnectionRefused) => both("không có dịch vụ nào ở địa chỉ này", "connection refused"),
            Some(io::ErrorKind::TimedOut) => both("không trả lời", "no answer"),
            _ => both(chain(error), chain(error)),
        };
        let reason = "UNREACHABLE".to_owned();
        // A file that is missing will not come by itself, nor will a wrong one become right.
        let may_pass = !matches!(
            error.downcast_ref(),
            Some(Unconnected::Unreadable { .. } | Unconnected::NoToken(_) | Unconnected::Unusable(_))
        );
        Failure { reason, may_pass, ..Failure::new(self.unconnected(&why)) }
    }

    fn unconnected(&self, why: &Message) -> Message {
        let Self { name, url, .. } = self;
        both(
            format!("không kết nối được tới {} tại {url}: {}", name.vi, why.vi),
            format!("cannot connect to {} at {url}: {}", name.en, why.en),
        )
    }

    /// That one does not believe the other. It will not pass by itself.
    fn distrusted(&self, distrust: Distrust) -> Failure {
        let vi = match distrust {
            Distrust::Authority => {
                "chứng thư của máy chủ do một nơi cấp mà máy này không tin cậy; hãy kiểm tra --ca (TONGHOP_CA)"
            }
            Distrust::Name => "chứng thư của máy chủ không cấp cho tên trong địa chỉ này",
            Distrust::Expired => "chứng thư của máy chủ đã hết hạn, hoặc đồng hồ của máy này sai",
            Distrust::NotTls => "ở địa chỉ này không phải dịch vụ dùng TLS",
            Distrust::OwnExpired => "máy chủ báo chứng thư của bạn (--cert) đã hết hạn; hãy xin cấp lại",
            Distrust::OwnRefused => "máy chủ không chấp nhận chứng thư của bạn (--cert)",
        };
        let hint = match distrust {
            Distrust::Authority => " (see --ca, TONGHOP_CA)",
            Distrust::OwnExpired | Distrust::OwnRefused => " (see --cert, TONGHOP_CERT)",
            Distrust::Name | Distrust::Expired | Distrust::NotTls => "",
        };
        let message = self.unconnected(&both(vi, format!("{distrust}{hint}")));
        Failure { reason: "NOT_TRUSTED".to_owned(), may_pass: false, ..Failure::new(message) }
    }

    /// That nothing was heard for too long.
    pub(crate) fn silent(&self) -> Failure {
        let Self { name, url, .. } = self;
        let seconds = ANSWER_WITHIN.as_secs();
        let message = both(
            format!("{} tại {url} không trả lời trong {seconds} giây", name.vi),
            format!("{} at {url} did not answer within {seconds} s", name.en),
        );
        Failure { reason: "DEADLINE_EXCEEDED".to_owned(), may_pass: true, ..Failure::new(message) }
    }

    /// What a status says, with all of its details.
    pub(crate) fn refused(&self, status: &Status) -> Failure {
        if let Some(distrust) = Distrust::of(status) {
            return self.distrusted(distrust);
        }
        let details = status.get_error_details();
        // A status without details was not made by the service: the line broke, or somebody else answers there.
        let message = match details.error_info() {
            Some(_) => both(vietnamese(&details), status.message()),
            None if status.source().is_some() => {
                let Self { name, url, .. } = self;
                let why = chain(status.source().unwrap_or(status));
                both(
                    format!("kết nối tới {} tại {url} bị đứt, hoặc ở đó không phải dịch vụ gRPC: {why}", name.vi),
                    format!("the connection to {} at {url} broke, or no gRPC service is there: {why}", name.en),
                )
            }
            None => {
                let said = if status.message().is_empty() { status.code().description() } else { status.message() };
                let Self { name, url, .. } = self;
                both(
                    format!("{} tại {url} báo lỗi {}: {said}", name.vi, code_name(status.code())),
                    format!("{} at {url} answered {}: {said}", name.en, code_name(status.code())),
                )
            }
        };
        let fields = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
        let fields =
            fields.iter().map(|field| Field { field: field.field.clone(), description: field.description.clone() });
        Failure {
            reason: reason(&details, status.code()),
            message,
            fields: fields.collect(),
            may_pass: may_pass(status.code()),
        }
    }
}

/// The kind of the I/O error at the bottom of an error, if there is one.
fn refusal_of_the_system(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut found = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let mut next = error.source();
    while let Some(source) = next {
        found = source.downcast_ref::<io::Error>().map(io::Error::kind).or(found);
        next = source.source();
    }
    found
}

/// The Vietnamese sentence of a status.
pub(crate) fn vietnamese(details: &ErrorDetails) -> String {
    let message = details.localized_message().filter(|message| message.locale.starts_with("vi"));
    message.map(|message| message.message.clone()).unwrap_or_default()
}

/// The stable reason of a status; its code's name where it has none.
pub(crate) fn reason(details: &ErrorDetails, code: Code) -> String {
    details.error_info().map_or_else(|| code_name(code).to_owned(), |info| info.reason.clone())
}

/// Whether the same call may succeed later.
pub(crate) fn may_pass(code: Code) -> bool {
    match code {
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// A status code as the standard spells it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use domain::{Reason, Severity, Violation, Violations};

    use super::*;

    #[tokio::test]
    async fn nobody_there_is_one_clear_sentence_with_the_url() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", taken.local_addr().unwrap());
        drop(taken);
        let failure = Peer::collector(&url, &args::Credentials::default()).connect().await.unwrap_err();
        assert_eq!(failure.message.en, format!("cannot connect to the collector at {url}: connection refused"));
        assert!(failure.message.vi.contains(&url));
        assert!(failure.may_pass);
    }

    #[test]
    fn a_status_of_ours_is_told_with_its_reason_fields_and_both_languages() {
        let violation = |field: &str| Violation {
            reason: Reason::OrgUnitUnknown,
            severity: Severity::Error,
            field: field.to_owned(),
            message: both("không có đơn vị", "no such unit"),
        };
        let mut violations = Violations::from(violation("org_unit"));
        violations.push(violation("period"));
        let failure =
            Peer::query("https://h:1", &args::Credentials::default()).refused(&proto::status::invalid(&violations));
        assert_eq!(failure.reason, "ORG_UNIT_UNKNOWN");
        assert_eq!(failure.message, both("không có đơn vị", "org_unit: no such unit (and 1 more)"));
        let fields: Vec<&str> = failure.fields.iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["org_unit", "period"]);
        assert!(!failure.may_pass);
    }

    #[tokio::test]
    async fn somebody_who_does_not_speak_grpc_is_told_of_in_one_sentence() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(tokio::io::AsyncWriteExt::write_all(&mut stream, b"INFO {}\r\n").await);
            }
        });
        let peer = Peer::query(&url, &args::Credentials::default());
        let failure = match peer.connect().await {
            Err(failure) => failure,
            Ok(channel) => {
                let mut client = proto::pb::query::v1::query_service_client::QueryServiceClient::new(channel);
                peer.answer(client.get_totals(proto::pb::query::v1::GetTotalsRequest::default())).await.unwrap_err()
            }
        };
        assert!(failure.message.en.contains(&url) && failure.message.en.ends_with("does not speak TLS"), "{failure:?}");
        assert_eq!(failure.reason, "NOT_TRUSTED");
    }

    #[test]
    fn a_status_of_somebody_else_is_told_with_who_answered() {
        let failure = Peer::query("https://h:1", &args::Credentials::default()).refused(&Status::unimplemented(""));
        let expected =
            "the query service at https://h:1 answered UNIMPLEMENTED: Operation is not implemented or not supported";
        assert_eq!((failure.reason.as_str(), failure.message.en.as_str()), ("UNIMPLEMENTED", expected));
    }
}
