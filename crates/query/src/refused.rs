//! Refusals: why a question is not answered, and how that is said.

use std::{num::NonZeroU32, time::Duration};

use access::Unauthenticated;
use domain::{Message, Reason, SubmissionId, Violation, Violations, access::PrincipalName};
use proto::status;
use runtime::grpc::Unbelieved;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a question is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Nobody knows who asks.
    Unauthenticated(Unauthenticated),
    /// Whoever asks may not see it.
    NotGranted(Message),
    /// Whoever asks does so too often.
    TooOften {
        /// Who.
        caller: PrincipalName,
        /// How often they may.
        a_second: NonZeroU32,
        /// After how long to come again.
        retry_after: Duration,
    },
    /// A field is not what it should be.
    Malformed(Violations),
    /// A field names what does not exist.
    Unknown(Violations),
    /// The page is to have fewer than one unit, or more than the limit.
    PageSize {
        /// What was asked for.
        asked: i32,
        /// The most there may be.
        max: u16,
    },
    /// The page token is not one that was given for this list.
    PageToken,
    /// There is no such filter of reports.
    Filter(i32),
    /// What was asked for exceeds a limit or does not fit together.
    Invalid {
        /// The stable reason.
        reason: &'static str,
        /// The field of the request.
        field: String,
        /// What is wrong.
        message: Message,
    },
    /// A position is asked about that the log has not reached.
    BeyondLog {
        /// What was asked for.
        asked: u64,
        /// Where the log stands.
        stands: u64,
    },
    /// The ledger has no such submission; it may be on its way.
    SubmissionUnknown(SubmissionId),
    /// There are as many watchers as may be.
    TooManyWatchers,
    /// A watcher did not read for too long.
    NotRead,
    /// PostgreSQL does not answer.
    DatabaseAway,
    /// What PostgreSQL holds cannot be read.
    DatabaseMalformed,
    /// The service is going away.
    ShuttingDown,
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let say = |vi: &str, en: &str| Message { vi: vi.to_owned(), en: en.to_owned() };
        match refused {
            Refused::Unauthenticated(refused) => {
                runtime::metrics::refused("query", refused.reason());
                status::refusal(Code::Unauthenticated, refused.reason(), &refused.message(), None)
            }
            Refused::NotGranted(message) => {
                runtime::metrics::refused("query", Reason::NotGranted.code());
                status::refusal(Code::PermissionDenied, Reason::NotGranted.code(), &message, None)
            }
            Refused::TooOften { caller, a_second, retry_after } => {
                let vi = format!("Bạn đang hỏi quá {a_second} lần mỗi giây; hãy hỏi lại sau giây lát.");
                let en = format!("you make more than {a_second} calls a second; ask again in a moment");
                status::over_quota("TOO_MANY_CALLS", &Message { vi, en }, retry_after, caller.as_str())
            }
            Refused::Malformed(violations) => status::invalid(&violations),
            Refused::Unknown(violations) => {
                let invalid = status::invalid(&violations);
                Status::with_error_details(Code::NotFound, invalid.message(), invalid.get_error_details())
            }
            Refused::PageSize { asked, max } => {
                let vi = format!("Mỗi trang có từ 1 đến {max} đơn vị (0: theo mặc định), không phải {asked}.");
                let en = format!("{asked} is out of range; a page has 1 to {max} units, 0 for the default");
                invalid("PAGE_SIZE_OUT_OF_RANGE", "page_size", &Message { vi, en })
            }
            Refused::PageToken => {
                let message = say(
                    "Mã trang không thuộc danh sách này; hãy bắt đầu lại từ trang đầu.",
                    "this token was not given for what is asked here; begin at the first page",
                );
                invalid("PAGE_TOKEN_INVALID", "page_token", &message)
            }
            Refused::Filter(asked) => {
                let vi = format!("Không có cách lọc báo cáo số {asked}.");
                let en = format!("there is no filter {asked} of reports");
                invalid("FILTER_UNKNOWN", "filter", &Message { vi, en })
            }
            Refused::Invalid { reason, field, message } => invalid(reason, &field, &message),
            Refused::BeyondLog { asked, stands } => {
                let vi = format!("Số liệu mới tính đến vị trí {stands}, chưa tới {asked}; hãy hỏi lại sau giây lát.");
                let en = format!("the log is counted up to position {stands}, not up to {asked} yet");
                passing(Code::OutOfRange, "AS_OF_BEYOND_LOG", &Message { vi, en }, 1)
            }
            Refused::SubmissionUnknown(id) => {
                let vi = format!("Chưa biết kết quả của lần gửi {id}; nếu vừa gửi, hãy hỏi lại sau giây lát.");
                let en = format!("nothing is known of submission {id}; if it was just sent, ask again");
                passing(Code::NotFound, "SUBMISSION_UNKNOWN", &Message { vi, en }, 1)
            }
            Refused::TooManyWatchers => {
                let message = say(
                    "Đang có quá nhiều luồng theo dõi, của mọi người hoặc của riêng bạn; hãy thử lại sau.",
                    "there are too many watches already, of all or of yours; try again later",
                );
                passing(Code::ResourceExhausted, "TOO_MANY_WATCHERS", &message, 10)
            }
            Refused::NotRead => {
                let message = say(
                    "Luồng theo dõi không được đọc quá lâu nên đã bị ngắt; hãy theo dõi lại với mã tiếp tục.",
                    "the watch was not read for too long; watch again with the resume token",
                );
                passing(Code::DeadlineExceeded, "WATCH_NOT_READ", &message, 1)
            }
            Refused::DatabaseAway => {
                let message =
                    say("Chưa đọc được số liệu; hãy thử lại sau giây lát.", "the totals cannot be read now; try again");
                passing(Code::Unavailable, "DATABASE_UNAVAILABLE", &message, 2)
            }
            Refused::DatabaseMalformed => {
                let message = say(
                    "Hệ thống gặp lỗi khi đọc số liệu; hãy báo cho người quản trị.",
                    "what is stored cannot be read; tell the operator",
                );
                status::refusal(Code::Internal, "DATABASE_MALFORMED", &message, None)
            }
            Refused::ShuttingDown => {
                let message =
                    say("Máy chủ đang khởi động lại; hãy thử lại sau giây lát.", "the server is going away; ask again");
                passing(Code::Unavailable, "SHUTTING_DOWN", &message, 1)
            }
        }
    }
}

impl Refused {
    /// What was asked for exceeds a limit or does not fit together.
    pub(crate) fn invalid(reason: &'static str, field: impl Into<String>, vi: String, en: String) -> Self {
        Self::Invalid { reason, field: field.into(), message: Message { vi, en } }
    }

    /// The same, of a field that is inside another.
    pub(crate) fn within(self, path: &str) -> Self {
        self.renamed(|field| format!("{path}{field}"))
    }

    /// The same, of fields that the caller knows by other names.
    pub(crate) fn renamed(self, rename: impl Fn(&str) -> String) -> Self {
        let renamed = |violations: &Violations| {
            let mut renamed = Violations::default();
            for violation in violations.list() {
                renamed.push(Violation { field: rename(&violation.field), ..violation.clone() });
            }
            renamed
        };
        match self {
            Self::Malformed(violations) => Self::Malformed(renamed(&violations)),
            Self::Unknown(violations) => Self::Unknown(renamed(&violations)),
            Self::Invalid { reason, field, message } => Self::Invalid { reason, field: rename(&field), message },
            other => other,
        }
    }
}

/// A refusal that another try may escape.
fn passing(code: Code, reason: &str, message: &Message, retry_after_seconds: u64) -> Status {
    status::refusal(code, reason, message, Some(Duration::from_secs(retry_after_seconds)))
}

/// Why a caller's certificate is not believed, as the gate would say it.
pub(crate) fn unbelieved(why: Unbelieved) -> Unauthenticated {
    match why {
        Unbelieved::Expired => Unauthenticated::Expired,
        Unbelieved::Foreign => Unauthenticated::Invalid("the certificate was not issued by this system"),
    }
}

/// A refusal for a reason that reports do not know, in the form that `proto::status::invalid` gives to those they do.
fn invalid(reason: &str, field: &str, message: &Message) -> Status {
    let mut details = status::refusal(Code::InvalidArgument, reason, message, None).get_error_details();
    details.add_bad_request_violation(field, format!("{reason}: {} / {}", message.en, message.vi));
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {}", message.en), details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_reason_and_field_in_both_languages() {
        let status = Status::from(Refused::PageSize { asked: -1, max: 1_000 });
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "PAGE_SIZE_OUT_OF_RANGE");
        assert_eq!(details.error_info().unwrap().domain, status::ERROR_DOMAIN);
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "page_size");
        assert!(details.localized_message().unwrap().message.contains("không phải -1"));
        assert!(details.retry_info().is_none());
    }

    #[test]
    fn what_does_not_exist_is_told_as_a_field_that_is_wrong_is() {
        let mut violations = Violations::default();
        domain::judge::find_data_set(&crate::tiny::catalogue(), "identity2", &mut violations);
        let (malformed, unknown) =
            (Status::from(Refused::Malformed(violations.clone())), Status::from(Refused::Unknown(violations)));
        assert_eq!((malformed.code(), unknown.code()), (Code::InvalidArgument, Code::NotFound));
        assert_eq!(unknown.message(), malformed.message());
        let details = unknown.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "DATA_SET_UNKNOWN");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "data_set");
        assert!(details.localized_message().unwrap().message.starts_with("Không có biểu mẫu"));
    }

    #[test]
    fn what_may_pass_says_when_to_come_again() {
        for (refused, code) in [
            (Refused::SubmissionUnknown(SubmissionId(uuid::Uuid::nil())), Code::NotFound),
            (Refused::TooManyWatchers, Code::ResourceExhausted),
            (Refused::DatabaseAway, Code::Unavailable),
            (Refused::ShuttingDown, Code::Unavailable),
        ] {
            let status = Status::from(refused);
            assert_eq!(status.code(), code);
            assert!(status.get_error_details().retry_info().is_some(), "{status:?}");
        }
    }
}
