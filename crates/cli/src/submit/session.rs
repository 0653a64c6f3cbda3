//! One run of the command: what the client says of the reports of a file, told to the sender and counted.

use std::{collections::HashMap, future::Future, pin::Pin, time::Duration};

use client::{
    Acknowledgement, Event, Events, GetSubmissionResponse, Member, Outcome, Progress, Service, SubmissionId, Trouble,
};
use proto::pb::query::v1::Fate;
use tokio::time::Instant;

use super::{
    batch,
    tell::{Fates, Summary, Teller},
};
use crate::{
    output::{Failure, both},
    peer::Peer,
    report_file::FileReport,
};

/// For how long a service that could not be asked is taken to be away still.
const STILL_SO: Duration = Duration::from_secs(60);

/// Ctrl-C, once it comes.
pub(super) type Interrupt<'a> = Pin<&'a mut (dyn Future<Output = ()> + 'a)>;

/// Where the services are, for what is said of them.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    pub(super) collector: Peer,
    pub(super) query: Option<Peer>,
}

/// How far a report of the file has come in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It was not sent.
    Nothing,
    /// It was not sent, and is not waited for: one of the same unit that goes before it is late.
    Behind,
    /// It was sent first at that time, and not answered.
    Sent(Instant),
    /// It was not answered in time, and told as unknown. It may be answered yet.
    Unknown,
    /// It is acknowledged; its fate is waited for.
    Acknowledged,
    /// Its outcome is told.
    All,
}

/// Follows the reports of a file until each is told of.
pub(super) struct Session<'a> {
    peers: Peers,
    reports: &'a [FileReport],
    by_id: HashMap<SubmissionId, Vec<usize>>,
    /// Of the reports of a unit one is under way at a time.
    by_unit: HashMap<&'a str, Vec<usize>>,
    told: Vec<Told>,
    /// How many are neither acknowledged nor refused nor given up, and are waited for.
    unanswered: usize,
    /// How many acknowledged ones wait for their fates.
    undecided: usize,
    patience: Duration,
    teller: Teller<'a>,
    summary: &'a mut Summary,
    /// When the collector last said anything.
    last_heard: Instant,
    /// Since when fates are all that is waited for.
    asking_since: Option<Instant>,
    /// Why the query service could not be asked the last time.
    unasked: Option<(Failure, Instant)>,
    /// Whether the sender knows that somebody cannot be reached.
    is_quiet: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        peers: Peers,
        reports: &'a [FileReport],
        patience: Duration,
        teller: Teller<'a>,
        summary: &'a mut Summary,
    ) -> Self {
        if peers.query.is_some() {
            summary.fates = Some(Fates::default());
        }
        let mut by_unit: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, FileReport { report, .. }) in reports.iter().enumerate() {
            by_unit.entry(&report.org_unit).or_default().push(index);
        }
        Self {
            peers,
            reports,
            by_id: HashMap::new(),
            by_unit,
            told: vec![Told::Nothing; reports.len()],
            unanswered: reports.len(),
            undecided: 0,
            patience,
            teller,
            summary,
            last_heard: Instant::now(),
            asking_since: None,
            unasked: None,
            is_quiet: false,
        }
    }

    /// Tells what is known of the file's batch from before this run.
    pub(super) fn begin(&mut self, members: Vec<Member>) {
        for Member { number, id, progress } in members {
            let Some(index) = usize::try_from(number).ok().filter(|index| *index < self.reports.len()) else {
                continue;
            };
            let Some(progress) = progress else {
                self.refused(index, &batch::reused());
                continue;
            };
            self.by_id.entry(id).or_default().push(index);
            match progress {
                Progress::Spooled { sent: false } => {}
                Progress::Spooled { sent: true } => self.told[index] = Told::Sent(self.last_heard),
                Progress::Acknowledged(acknowledgement) => self.acknowledged(index, &acknowledgement),
                Progress::Finished(outcome) => self.finished(index, &outcome),
            }
        }
    }

    /// Follows what happens until every report is told of, patience is at its end or Ctrl-C comes; whether that came. What
    /// is left then is told as well; gives back of how many reports it was not the outcome that was told.
    pub(super) async fn run(
        mut self,
        mut events: Events,
        interrupt: &mut Interrupt<'_>,
    ) -> (Result<bool, Failure>, usize) {
        let ended = self.follow(&mut events, interrupt).await;
        for (index, told) in self.told.iter().enumerate() {
            let of = &self.reports[index];
            match told {
                Told::Nothing | Told::Behind => {
                    self.summary.not_sent += 1;
                    self.teller.not_sent(of);
                }
                Told::Sent(_) => {
                    self.summary.unknown += 1;
                    self.teller.unknown(of);
                }
                Told::Acknowledged => {
                    // Where sending has failed nobody was waiting for fates yet.
                    if let Some(fates) = &mut self.summary.fates {
                        fates.undecided += 1;
                        self.teller.undecided(of);
                    }
                }
                Told::Unknown | Told::All => {}
            }
        }
        (ended, self.told.iter().filter(|told| **told != Told::All).count())
    }

    async fn follow(&mut self, events: &mut Events, interrupt: &mut Interrupt<'_>) -> Result<bool, Failure> {
        loop {
            if self.unanswered == 0 {
                let since = *self.asking_since.get_or_insert_with(Instant::now);
                if self.undecided == 0 {
                    return Ok(false);
                }
                let is_over = since.elapsed() >= self.patience;
                let is_hopeless =
                    |failure: &Failure, at: Instant| !failure.may_pass || (is_over && at.elapsed() < STILL_SO);
                match self.unasked.take_if(|(failure, at)| is_hopeless(failure, *at)) {
                    Some((failure, _)) => return Err(failure),
                    None if is_over => return Ok(false),
                    None => {}
                }
            }
            let until = self.asking_since.filter(|_| self.unanswered == 0).map(|since| since + self.patience);
            tokio::select! {
                biased;
                () = interrupt.as_mut() => return Ok(true),
                event = events.next() => match event {
                    Some(event) => self.event(event)?,
                    None => return Ok(false),
                },
                () = tokio::time::sleep_until(until.unwrap_or(self.last_heard)), if until.is_some() => {}
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Sent(id) => {
                for index in self.of(id) {
                    // The one before it was answered after all.
                    self.unanswered += usize::from(self.told[index] == Told::Behind);
                    if matches!(self.told[index], Told::Nothing | Told::Behind) {
                        self.told[index] = Told::Sent(Instant::now());
                    }
                }
            }
            Event::Postponed(id, pause) => {
                self.heard();
                for index in self.of(id) {
                    self.late(index, pause);
                }
            }
            Event::Acknowledged(id, acknowledgement) => {
                self.heard();
                for index in self.of(id) {
                    self.acknowledged(index, &acknowledgement);
                }
            }
            Event::Finished(id, outcome) => {
                match outcome {
                    Outcome::Refused(_) | Outcome::Acknowledged(_) => self.heard(),
                    _ => self.unasked = None,
                }
                for index in self.of(id) {
                    self.finished(index, &outcome);
                }
            }
            Event::PushedAgain(_) => {}
            Event::Trouble(trouble) => self.trouble(&trouble)?,
        }
        Ok(())
    }

    fn of(&self, id: SubmissionId) -> Vec<usize> {
        self.by_id.get(&id).cloned().unwrap_or_default()
    }

    fn heard(&mut self) {
        (self.last_heard, self.is_quiet) = (Instant::now(), false);
    }

    /// A report that will not be answered within patience is told as unknown, and those that wait for it are not waited for.
    fn late(&mut self, index: usize, pause: Duration) {
        if let Told::Sent(first) = self.told[index]
            && first.elapsed() + pause > self.patience
        {
            self.told[index] = Told::Unknown;
            self.unanswered -= 1;
            self.summary.unknown += 1;
            self.teller.unknown(&self.reports[index]);
            let unit = self.reports[index].report.org_unit.as_str();
            for behind in self.by_unit.get(unit).into_iter().flatten() {
                if self.told[*behind] == Told::Nothing {
                    self.told[*behind] = Told::Behind;
                    self.unanswered -= 1;
                }
            }
        }
    }

    /// Whether the report still waited for an answer.
    fn answered(&mut self, index: usize, told: Told) -> bool {
        let before = std::mem::replace(&mut self.told[index], told);
        match before {
            Told::Nothing | Told::Sent(_) => self.unanswered -= 1,
            Told::Behind => {}
            Told::Unknown | Told::Acknowledged | Told::All => self.told[index] = before,
        }
        matches!(before, Told::Nothing | Told::Sent(_) | Told::Behind)
    }

    fn acknowledged(&mut self, index: usize, acknowledgement: &Acknowledgement) {
        let is_asked_for = self.peers.query.is_some();
        if self.answered(index, if is_asked_for { Told::Acknowledged } else { Told::All }) {
            self.undecided += usize::from(is_asked_for);
            self.summary.acknowledged += 1;
            self.teller.acknowledged(&self.reports[index], acknowledgement);
        }
    }

    fn refused(&mut self, index: usize, refusal: &client::Refusal) {
        if self.answered(index, Told::All) {
            self.summary.refused += 1;
            self.teller.refused(&self.reports[index], refusal);
        }
    }

    /// Tells of a report that cannot be sent.
    pub(super) fn refused_here(&mut self, refused: &[(usize, client::Refusal)]) {
        refused.iter().for_each(|(index, refusal)| self.refused(*index, refusal));
    }

    fn finished(&mut self, index: usize, outcome: &Outcome) {
        match outcome {
            Outcome::Refused(refusal) => self.refused(index, refusal),
            Outcome::Acknowledged(acknowledgement) => self.acknowledged(index, acknowledgement),
            Outcome::Accepted(answer)
            | Outcome::Rejected(answer)
            | Outcome::Duplicate(answer)
            | Outcome::Superseded(answer) => self.fate(index, answer),
            Outcome::GivenUp { sent: _, acknowledgement: Some(acknowledgement) } => {
                self.acknowledged(index, acknowledgement);
                if self.decided(index) {
                    if let Some(fates) = &mut self.summary.fates {
                        fates.undecided += 1;
                    }
                    self.teller.undecided(&self.reports[index]);
                }
            }
            Outcome::GivenUp { sent, acknowledgement: None } => {
                if self.answered(index, Told::All) {
                    let of = &self.reports[index];
                    if *sent {
                        self.summary.unknown += 1;
                        self.teller.unknown(of);
                    } else {
                        self.summary.not_sent += 1;
                        self.teller.not_sent(of);
                    }
                }
            }
        }
    }

    /// Whether the report still waited for its fate.
    fn decided(&mut self, index: usize) -> bool {
        let waited = self.told[index] == Told::Acknowledged;
        if waited {
            self.told[index] = Told::All;
            self.undecided -= 1;
        }
        waited
    }

    fn fate(&mut self, index: usize, answer: &GetSubmissionResponse) {
        let GetSubmissionResponse { submission_id, revision, received_at, log_sequence, log_index, .. } =
            answer.clone();
        // That of an earlier run is not known any more, and stands in the answer.
        self.acknowledged(index, &Acknowledgement { submission_id, revision, received_at, log_sequence, log_index });
        if answer.fate() == Fate::Unspecified || !self.decided(index) {
            return;
        }
        if let Some(fates) = &mut self.summary.fates {
            fates.count(answer.fate());
        }
        self.teller.fate(&self.reports[index], answer);
    }

    /// Goes on, unless that is of no use or patience is at its end.
    fn trouble(&mut self, trouble: &Trouble) -> Result<(), Failure> {
        let (service, failure) = match trouble {
            Trouble::Spool(error) => {
                return Err(Failure::caused("không ghi được hàng đợi gửi", "the spool fails", error));
            }
            Trouble::BrokeOff { heard: true, .. } => (Service::Collector, None),
            Trouble::BrokeOff { heard: false, .. } => (Service::Collector, Some(self.peers.collector.silent())),
            Trouble::Unreachable { service, source } => {
                (*service, self.peer(*service).map(|peer| peer.unreachable(&**source)))
            }
            Trouble::Silent(service) => (*service, self.peer(*service).map(Peer::silent)),
            Trouble::Answered { service, status } => (*service, self.peer(*service).map(|peer| peer.refused(status))),
        };
        if service == Service::Query {
            self.unasked = failure.map(|failure| (failure, Instant::now()));
            return Ok(());
        }
        (0..self.told.len()).for_each(|index| self.late(index, Duration::ZERO));
        if self.unanswered == 0 {
            return Ok(());
        }
        match failure {
            None => self.is_quiet = false,
            Some(failure) if !failure.may_pass || self.last_heard.elapsed() >= self.patience => return Err(failure),
            // Whoever breaks a stream off is there.
            Some(_) if matches!(trouble, Trouble::BrokeOff { .. }) => {}
            Some(failure) => {
                if !self.is_quiet {
                    let seconds = self.patience.as_secs();
                    self.teller.output.remark(&both(
                        format!("{}; sẽ thử lại trong {seconds} giây", failure.message.vi),
                        format!("{}; trying again for {seconds} s", failure.message.en),
                    ));
                }
                self.is_quiet = true;
            }
        }
        Ok(())
    }

    fn peer(&self, service: Service) -> Option<&Peer> {
        match service {
            Service::Collector => Some(&self.peers.collector),
            Service::Query => self.peers.query.as_ref(),
        }
    }
}
