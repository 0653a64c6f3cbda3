//! What a sender is told whose report was not taken.

use std::time::Duration;

use domain::{Message, Violations};
use proto::{pb::collector::v1::Refusal, status};
use tonic::{Code, Status};

use crate::publish::NotKept;

/// Why a report was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It can never count.
    Invalid(Violations),
    /// Too many are in flight.
    TooMany,
    /// It is not known to be kept.
    NotKept(NotKept),
    /// The collector is going away.
    ShuttingDown,
}

impl Refused {
    /// The code, stable reason, words and pause of a refusal that has nothing to do with what the report says.
    fn passing(&self) -> Option<(Code, &'static str, Message, Duration)> {
        let message = |vi: &str, en: &str| Message { vi: vi.to_owned(), en: en.to_owned() };
        match self {
            Self::Invalid(_) => None,
            Self::TooMany => Some((
                Code::ResourceExhausted,
                "TOO_MANY_IN_FLIGHT",
                message(
                    "Hệ thống đang nhận quá nhiều báo cáo; hãy gửi lại sau giây lát với cùng mã lần gửi.",
                    "too many reports are in flight; send again under the same submission id",
                ),
                Duration::from_millis(500),
            )),
            Self::NotKept(NotKept::LogFull) => Some((
                Code::Unavailable,
                "LOG_FULL",
                message(
                    "Kho lưu báo cáo đã đầy; hãy gửi lại sau với cùng mã lần gửi.",
                    "the log of reports is full; send again later under the same submission id",
                ),
                Duration::from_secs(30),
            )),
            Self::NotKept(NotKept::LogAway) => Some((
                Code::Unavailable,
                "LOG_UNAVAILABLE",
                message(
                    "Chưa ghi được báo cáo; hãy gửi lại sau giây lát với cùng mã lần gửi.",
                    "the report is not known to be kept; send again under the same submission id",
                ),
                Duration::from_secs(2),
            )),
            Self::ShuttingDown => Some((
                Code::Unavailable,
                "SHUTTING_DOWN",
                message(
                    "Máy chủ đang khởi động lại; hãy gửi lại sau giây lát với cùng mã lần gửi.",
                    "the collector is going away; send again under the same submission id",
                ),
                Duration::from_secs(1),
            )),
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match (&refused, refused.passing()) {
            (_, Some((code, reason, message, retry_after))) => {
                status::refusal(code, reason, &message, Some(retry_after))
            }
            (Refused::Invalid(violations), None) => status::invalid_report(violations),
            (_, None) => Self::internal("a refusal without words"),
        }
    }
}

/// The same, as a receipt carries it.
pub(crate) fn refusal(refused: &Refused) -> Refusal {
    if let Some((code, reason, Message { vi, en }, retry_after)) = refused.passing() {
        return Refusal {
            code: code.into(),
            reason: reason.to_owned(),
            message_vi: vi,
            message_en: en,
            violations: Vec::new(),
            retry_after: Some(proto::duration(retry_after)),
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
