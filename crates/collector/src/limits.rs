//! What one sender may have of a collector, so that none takes it from the others.

use std::{sync::Arc, time::Duration};

use access::Principal;
use domain::{Message, access::PrincipalName};
use runtime::quota::{Part, Rates, Shares};
use tokio::sync::Semaphore;

use crate::{Limits, refused::Refused};

/// After how long a sender may try again whose places are all taken.
const PAUSE: Duration = Duration::from_millis(500);

/// What each sender has.
#[derive(Debug)]
pub(crate) struct Quotas {
    reports: Rates<PrincipalName>,
    streams: Shares<PrincipalName>,
    in_flight: Shares<PrincipalName>,
}

/// A sender asks for more than that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OverQuota {
    /// Who.
    pub(crate) sender: PrincipalName,
    /// The stable reason.
    pub(crate) reason: &'static str,
    /// What of, and how much there is.
    pub(crate) message: Message,
    /// After how long to come again.
    pub(crate) retry_after: Duration,
}

impl Quotas {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            reports: Rates::of(limits.reports_per_second_of_one, limits.reports_at_once_of_one),
            streams: Shares::of(limits.max_streams_of_one),
            in_flight: Shares::of(limits.max_in_flight_of_one),
        }
    }

    /// Counts a report that came alone. It is refused when it comes too soon.
    pub(crate) fn report(&self, sender: &Principal) -> Result<(), Refused> {
        let a_second = self.reports.a_second();
        self.reports.take(&sender.name).map_err(|pause| {
            let message = Message {
                vi: format!(
                    "Bạn đang gửi quá {a_second} báo cáo mỗi giây; hãy gửi lại sau giây lát với cùng mã lần gửi."
                ),
                en: format!("you send more than {a_second} reports a second; send again under the same submission id"),
            };
            over(sender, "TOO_MANY_REPORTS", message, pause)
        })
    }

    /// Waits until a stream may bring a report, and counts it: what comes too fast is read more slowly.
    pub(crate) async fn next_report(&self, sender: &Principal) {
        while let Err(pause) = self.reports.take(&sender.name) {
            tokio::time::sleep(pause).await;
        }
    }

    /// A place for one more stream.
    pub(crate) fn stream(&self, sender: &Principal) -> Result<Part, Refused> {
        self.streams.try_take(&sender.name).ok_or_else(|| {
            let most = self.streams.most();
            let message = Message {
                vi: format!("Bạn đã đạt giới hạn {most} luồng gửi đang mở; hãy dùng các luồng đang mở."),
                en: format!("you have {most} streams open, the most there may be; use those"),
            };
            over(sender, "TOO_MANY_STREAMS", message, PAUSE)
        })
    }

    /// A place for one more report in flight.
    pub(crate) fn in_flight(&self, sender: &Principal) -> Result<Part, Refused> {
        self.in_flight.try_take(&sender.name).ok_or_else(|| {
            let most = self.in_flight.most();
            let message = Message {
                vi: format!(
                    "Bạn đã đạt giới hạn {most} báo cáo đang chờ ghi; hãy gửi lại sau giây lát với cùng mã lần gửi."
                ),
                en: format!(
                    "{most} reports of yours are in flight, the most there may be; send again under the same submission id"
                ),
            };
            over(sender, "TOO_MANY_OF_YOURS_IN_FLIGHT", message, PAUSE)
        })
    }

    /// All places of a sender for reports in flight, for a stream to wait for them.
    pub(crate) fn places(&self, sender: &Principal) -> Arc<Semaphore> {
        self.in_flight.whose(&sender.name)
    }
}

fn over(sender: &Principal, reason: &'static str, message: Message, retry_after: Duration) -> Refused {
    Refused::OverQuota(OverQuota { sender: sender.name.clone(), reason, message, retry_after })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use access::Credential;
    use runtime::{Clock as _, SystemClock};

    use super::*;

    fn sender(name: &str) -> Principal {
        let credential = Credential::Token("1".to_owned());
        Principal { name: name.parse().unwrap(), credential, vouched_by: String::new(), expires: SystemClock.now() }
    }

    #[test]
    fn each_sender_has_a_share_and_is_told_when_it_is_taken() {
        let limits = Limits {
            max_in_flight_of_one: 1,
            max_streams_of_one: 1,
            reports_per_second_of_one: NonZeroU32::MIN,
            reports_at_once_of_one: NonZeroU32::MIN,
            ..Limits::default()
        };
        let quotas = Quotas::of(&limits);
        let (one, other) = (sender("one"), sender("other"));
        let reason = |refused: Refused| match refused {
            Refused::OverQuota(OverQuota { sender, reason, retry_after, .. }) if retry_after > Duration::ZERO => {
                (sender.to_string(), reason)
            }
            refused => panic!("{refused:?}"),
        };
        let of_one = |reason| ("one".to_owned(), reason);

        quotas.report(&one).unwrap();
        assert_eq!(reason(quotas.report(&one).unwrap_err()), of_one("TOO_MANY_REPORTS"));
        quotas.report(&other).unwrap();

        let stream = quotas.stream(&one).unwrap();
        assert_eq!(reason(quotas.stream(&one).unwrap_err()), of_one("TOO_MANY_STREAMS"));
        drop(stream);
        let _stream = quotas.stream(&one).unwrap();

        let place = quotas.places(&one).try_acquire_owned().unwrap();
        assert_eq!(reason(quotas.in_flight(&one).unwrap_err()), of_one("TOO_MANY_OF_YOURS_IN_FLIGHT"));
        let _other = quotas.in_flight(&other).unwrap();
        drop(place);
        let _place = quotas.in_flight(&one).unwrap();
    }
}
