//! What a sender is told whose report was not taken.

use std::time::Duration;

use access::Unauthenticated;
use domain::{Message, Reason, Violations};
use proto::{pb::collector::v1::Refusal, status};
use runtime::grpc::Unbelieved;
use tonic::{Code, Status};

use crate::{limits::OverQuota, metrics, publish::NotKept};

/// Why a report was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It can never count.
    Invalid(Violations),
    /// Nobody knows who sends it.
    Unauthenticated(Unauthenticated),
    /// Whoever sends it may not send it.
    NotGranted(Message),
    /// Its sender asks for more than one may have.
    OverQuota(OverQuota),
    /// Too many are in flight.
    TooMany,
    /// Counting is behind, and all that may be let in is.
    Behind,
    /// It is not known to be kept.
    NotKept(NotKept),
    /// The collector is going away.
    ShuttingDown,
}

impl Refused {
    /// The stable reason: of a report that can never count, that of the first thing that is wrong with it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(violations) => violations.list().first().map_or("INVALID", |first| first.reason.code()),
            Self::OverQuota(quota) => quota.reason,
            other => other.words().map_or("UNKNOWN", |(_, reason, _, _)| reason),
        }
    }

    /// The code, stable reason, words and pause, where another try may help, of a refusal that has nothing to do with the report's
    /// values.
    fn words(&self) -> Option<(Code, &'static str, Message, Option<Duration>)> {
        let message = |vi: &str, en: &str| Message { vi: vi.to_owned(), en: en.to_owned() };
        match self {
            Self::Invalid(_) => None,
            Self::Unauthenticated(refused) => Some((Code::Unauthenticated, refused.reason(), refused.message(), None)),
            Self::NotGranted(message) => {
                Some((Code::PermissionDenied, Reason::NotGranted.code(), message.clone(), None))
            }
            Self::OverQuota(OverQuota { reason, message, retry_after, .. }) => {
                Some((Code::ResourceExhausted, reason, message.clone(), Some(*retry_after)))
            }
            Self::TooMany => Some((
                Code::ResourceExhausted,
                "TOO_MANY_IN_FLIGHT",
                message(
                    "Hệ thống đang nhận quá nhiều báo cáo; hãy gửi lại sau giây lát với cùng mã lần gửi.",
                    "too many reports are in flight; send again under the same submission id",
                ),
                Some(Duration::from_millis(500)),
            )),
            Self::Behind => Some((
                Code::ResourceExhausted,
                "COUNTING_BEHIND",
                message(
                    "Báo cáo đến nhanh hơn hệ thống tổng hợp kịp; hãy gửi lại sau giây lát với cùng mã lần gửi.",
                    "reports come faster than they are counted; send again under the same submission id",
                ),
                Some(Duration::from_millis(500)),
            )),
            Self::NotKept(NotKept::LogFull) => Some((
                Code::Unavailable,
                "LOG_FULL",
                message(
                    "Kho lưu báo cáo đã đầy; hãy gửi lại sau với cùng mã lần gửi.",
                    "the log of reports is full; send again later under the same submission id",
                ),
                Some(Duration::from_secs(30)),
            )),
            Self::NotKept(NotKept::LogAway) => Some((
                Code::Unavailable,
                "LOG_UNAVAILABLE",
                message(
                    "Chưa ghi được báo cáo; hãy gửi lại sau giây lát với cùng mã lần gửi.",
                    "the report is not known to be kept; send again under the same submission id",
                ),
                Some(Duration::from_secs(2)),
            )),
            Self::ShuttingDown => Some((
                Code::Unavailable,
                "SHUTTING_DOWN",
                message(
                    "Máy chủ đang khởi động lại; hãy gửi lại sau giây lát với cùng mã lần gửi.",
                    "the collector is going away; send again under the same submission id",
                ),
                Some(Duration::from_secs(1)),
            )),
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        metrics::refused(&refused);
        match (&refused, refused.words()) {
            (Refused::OverQuota(OverQuota { sender, reason, message, retry_after }), _) => {
                status::over_quota(reason, message, *retry_after, sender.as_str())
            }
            (_, Some((code, reason, message, retry_after))) => status::refusal(code, reason, &message, retry_after),
            (Refused::Invalid(violations), None) => status::invalid_report(violations),
            (_, None) => Self::internal("a refusal without words"),
        }
    }
}

/// The same, as a receipt carries it.
pub(crate) fn refusal(refused: &Refused) -> Refusal {
    metrics::refused(refused);
    if let Some((code, reason, Message { vi, en }, retry_after)) = refused.words() {
        return Refusal {
            code: code.into(),
            reason: reason.to_owned(),
            message_vi: vi,
            message_en: en,
            violations: Vec::new(),
            retry_after: retry_after.map(proto::duration),
        };
    }
    let violations = match refused {
        Refused::Invalid(violations) => proto::report::violations(violations),
        _ => Vec::new(),
    };
    let first = violations.first().cloned().unwrap_or_default();
    Refusal {
        code: Code::InvalidArgument.into(),
        reason: first.reason,
        message_vi: first.message_vi,
        message_en: first.message_en,
        violations,
        retry_after: None,
    }
}

/// Why a caller's certificate is not believed, as the gate would say it.
pub(crate) fn unbelieved(why: Unbelieved) -> Unauthenticated {
    match why {
        Unbelieved::Expired => Unauthenticated::Expired,
        Unbelieved::Foreign => Unauthenticated::Invalid("the certificate was not issued by this system"),
    }
}
