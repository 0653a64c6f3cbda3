//! What becomes of a report, and what a client says meanwhile.

use std::{fmt, sync::Arc, time::Duration};

use proto::pb::{
    collector::v1::{Acknowledgement, Refusal},
    query::v1::{Fate, GetSubmissionResponse},
    report::v1::Violation,
};
use tonic::Status;

use crate::{SpoolError, SubmissionId, Unconnected};

/// What became of a report.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It counts, or did until a later revision came.
    Accepted(Box<GetSubmissionResponse>),
    /// It does not count; the violations say why.
    Rejected(Box<GetSubmissionResponse>),
    /// The same content was counted before.
    Duplicate(Box<GetSubmissionResponse>),
    /// A higher revision was counted before.
    Superseded(Box<GetSubmissionResponse>),
    /// The collector did not take it and never will; the violations say why.
    Refused(Box<Refusal>),
    /// The collector has it on disk. Final only where there is no query service to ask what became of it: a client that has
    /// one asks, and tells that outcome as well.
    Acknowledged(Acknowledgement),
    /// Its time was over before its fate was known ([`give_up_after`](crate::Config::give_up_after)).
    GivenUp {
        /// Whether it was sent at all. If it was it may be counted; sending it again under its id is harmless.
        sent: bool,
        /// That the collector has it, if it said so.
        acknowledgement: Option<Acknowledgement>,
    },
}

impl Outcome {
    /// The outcome that an answer of the query service tells; none where it tells no fate.
    pub(crate) fn of(answer: GetSubmissionResponse) -> Option<Self> {
        let fate = answer.fate();
        let answer = Box::new(answer);
        match fate {
            Fate::Accepted => Some(Self::Accepted(answer)),
            Fate::Rejected => Some(Self::Rejected(answer)),
            Fate::Duplicate => Some(Self::Duplicate(answer)),
            Fate::Superseded => Some(Self::Superseded(answer)),
            Fate::Unspecified => None,
        }
    }

    /// What the query service said, where the fate is known.
    #[must_use]
    pub fn answer(&self) -> Option<&GetSubmissionResponse> {
        match self {
            Self::Accepted(answer) | Self::Rejected(answer) | Self::Duplicate(answer) | Self::Superseded(answer) => {
                Some(answer)
            }
            Self::Refused(_) | Self::Acknowledged(_) | Self::GivenUp { .. } => None,
        }
    }

    /// What is wrong with the report, or odd about it.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        match self {
            Self::Refused(refusal) => &refusal.violations,
            _ => self.answer().map_or(&[], |answer| &answer.violations),
        }
    }

    /// How many violations there are besides those that are told.
    #[must_use]
    pub fn violations_omitted(&self) -> i32 {
        self.answer().map_or(0, |answer| answer.violations_omitted)
    }

    /// Whether what the report says is in the totals, or was replaced by something newer: nothing is left to be done.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self {
            Self::Accepted(_) | Self::Duplicate(_) | Self::Superseded(_) | Self::Acknowledged(_) => true,
            Self::Rejected(_) | Self::Refused(_) | Self::GivenUp { .. } => false,
        }
    }
}

/// How far a report has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It is in the spool and not acknowledged.
    Spooled {
        /// Whether it was sent: then it may be kept, although nobody has said so.
        sent: bool,
    },
    /// The collector has it on disk; its fate is not known yet.
    Acknowledged(Acknowledgement),
    /// Nothing more will happen.
    Finished(Outcome),
}

/// A report of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The number that the sender gave it in the batch.
    pub number: u32,
    /// Its submission id.
    pub id: SubmissionId,
    /// How far it has come; none where it was not spooled, because its id belongs to a report of other content.
    pub progress: Option<Progress>,
}

/// Something that a client does or meets with. Nothing needs to be done about it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A report went out.
    Sent(SubmissionId),
    /// The collector asked for a report again, after that pause.
    Postponed(SubmissionId, Duration),
    /// The collector has a report on disk.
    Acknowledged(SubmissionId, Acknowledgement),
    /// Nobody knew an acknowledged report for long; it is sent again.
    PushedAgain(SubmissionId),
    /// Nothing more will happen to a report.
    Finished(SubmissionId, Outcome),
    /// Something is in the way; it is tried again.
    Trouble(Trouble),
}

/// One of the services that a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Takes reports.
    Collector,
    /// Knows what became of them.
    Query,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Collector => "the collector",
            Self::Query => "the query service",
        })
    }
}

/// What is in the way.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody can be reached at the address.
    #[error("cannot connect to {service}")]
    Unreachable {
        /// Who.
        service: Service,
        /// Why.
        source: Arc<Unconnected>,
    },
    /// Nothing was heard for too long.
    #[error("{0} does not answer")]
    Silent(Service),
    /// A call was answered with an error.
    #[error("{service} answers {status}")]
    Answered {
        /// Who.
        service: Service,
        /// The answer.
        status: Status,
    },
    /// A stream that was open ended before its time.
    #[error("the stream to the collector broke off")]
    BrokeOff {
        /// Whether receipts had come on it.
        heard: bool,
        /// How it ended, where that was told.
        status: Option<Status>,
    },
    /// The spool cannot be read or written.
    #[error("the spool fails")]
    Spool(#[from] SpoolError),
}
