//! Why somebody is not believed to be who they say.

use domain::Message;

/// Why credentials are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// There are none.
    #[error("no credentials")]
    Missing,
    /// They are not of this system, or not what they seem; how.
    #[error("invalid credentials: {0}")]
    Invalid(&'static str),
    /// They were good once.
    #[error("expired credentials")]
    Expired,
    /// They were taken back.
    #[error("revoked credentials")]
    Revoked,
}

impl Unauthenticated {
    /// The stable reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "CREDENTIALS_MISSING",
            Self::Invalid(_) => "CREDENTIALS_INVALID",
            Self::Expired => "CREDENTIALS_EXPIRED",
            Self::Revoked => "CREDENTIALS_REVOKED",
        }
    }

    /// The sentence for whoever is refused.
    #[must_use]
    pub fn message(self) -> Message {
        let (vi, en) = match self {
            Self::Missing => (
                "Chưa có chứng thư số hay mã truy cập; hãy kết nối bằng chứng thư số hoặc mã truy cập đã được cấp.",
                "no credentials; connect with the client certificate or the token that you were given".to_owned(),
            ),
            Self::Invalid(how) => (
                "Chứng thư số hoặc mã truy cập không hợp lệ; hãy kiểm tra lại tệp đang dùng hoặc liên hệ người quản trị hệ thống.",
                format!("the credentials are not valid: {how}"),
            ),
            Self::Expired => (
                "Chứng thư số hoặc mã truy cập đã hết hạn; hãy đề nghị người quản trị hệ thống cấp lại.",
                "the credentials have expired; ask the system's operator for new ones".to_owned(),
            ),
            Self::Revoked => (
                "Chứng thư số hoặc mã truy cập đã bị thu hồi; hãy liên hệ người quản trị hệ thống.",
                "the credentials have been revoked; ask the system's operator".to_owned(),
            ),
        };
        Message { vi: vi.to_owned(), en }
    }
}
