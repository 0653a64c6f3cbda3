//! The client that a local system holds.

use std::{sync::Arc, thread};

use tokio::{
    sync::{Mutex, Notify, mpsc, watch},
    task::JoinHandle,
};

use crate::{
    Config, Event, Limits, MalformedId, Member, OpenError, Outcome, Progress, Report, Service, SpoolError,
    SubmissionId,
    ask::Asking,
    clock::Millis,
    deliver::{Delivery, Saying, Shared},
    link::Link,
    spool::Spool,
};

/// Events that are kept for a listener who is slow.
const EVENTS: usize = 1024;

/// Why a report was not taken into the spool. Nothing of it is there then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// The spool is full: nothing is lost, and there is room again when reports are finished and forgotten.
    #[error("the spool is full: it takes {} reports and {} bytes", .0.reports, .0.bytes)]
    Full(Limits),
    /// A batch that would not fit into an empty spool.
    #[error("the batch is larger than the spool, which takes {} reports and {} bytes", .0.reports, .0.bytes)]
    TooLarge(Limits),
    /// The spool has a report of other content under this id.
    #[error("{0} is the id of a report of other content")]
    OtherContent(SubmissionId),
    /// The report's own id is none.
    #[error(transparent)]
    MalformedId(#[from] MalformedId),
    /// The spool does not work.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Pushes reports, and does not forget one. See the [crate's documentation](crate).
///
/// Dropping it stops it as [`shutdown`](Self::shutdown) does, without waiting until the spool's file is free.
#[derive(Debug)]
pub struct Client {
    spool: Spool,
    wake: Arc<Notify>,
    finished: watch::Receiver<u64>,
    /// The number of the outcome that was given last.
    given: Mutex<i64>,
    tasks: Vec<JoinHandle<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a client does and meets with, as it happens.
///
/// Whoever has this must keep reading it or drop it: the client waits for its listener.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event; none when the client has stopped.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Client {
    /// Opens the spool and goes on with what is in it.
    ///
    /// # Errors
    /// When the spool cannot be opened, above all because another process has it, or an address is malformed. That a service
    /// is not there is no error.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        Self::start(config, Saying(None)).await
    }

    /// The same, telling everything that happens.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn watched(config: Config) -> Result<(Self, Events), OpenError> {
        let (events, told) = mpsc::channel(EVENTS);
        Ok((Self::start(config, Saying(Some(events))).await?, Events(told)))
    }

    async fn start(config: Config, saying: Saying) -> Result<Self, OpenError> {
        let collector = Link::to(Service::Collector, &config.collector, &config.credentials)?;
        let query =
            config.query.as_deref().map(|url| Link::to(Service::Query, url, &config.credentials)).transpose()?;
        let (spool, thread) = Spool::open(&config.spool, config.limits).await?;
        let (finished, see_finished) = watch::channel(0);
        let shared = Shared {
            config: Arc::new(config),
            spool: spool.clone(),
            saying,
            wake: Arc::new(Notify::new()),
            finished: Arc::new(finished),
        };
        let wake = Arc::clone(&shared.wake);
        let (again, see_again) = mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        let ask = match query {
            Some(link) => {
                let (ask, news) = mpsc::unbounded_channel();
                let known = spool
                    .run(|rows| {
                        rows.ask_for_finished()?;
                        rows.known()
                    })
                    .await?;
                let asking = Asking::new(shared.clone(), link, known, news, again);
                tasks.push(tokio::spawn(asking.run()));
                Some(ask)
            }
            None => {
                spool.run(|rows| rows.finish_known(Millis::now())).await?;
                None
            }
        };
        tasks.push(tokio::spawn(Delivery::new(shared, collector, ask, see_again).run()));
        Ok(Self { spool, wake, finished: see_finished, given: Mutex::new(0), tasks, thread: Some(thread) })
    }

    /// Takes a report. When this gives back its id, the report is on disk and will be pushed until its fate is known,
    /// whatever happens to this process.
    ///
    /// A report without a submission id gets one. Sending a report again under the id that it has does nothing.
    ///
    /// # Errors
    /// When the report is not in the spool: [`SendError`] says why.
    pub async fn send(&self, report: impl Into<Report>) -> Result<SubmissionId, SendError> {
        let report = report.into();
        let id = self.spool.run(move |rows| rows.add(report, Millis::now())).await?;
        self.wake.notify_one();
        Ok(id)
    }

    /// Takes the reports of a batch, all of them or none, each with a number of the caller's own. A number that the batch
    /// has already is left as it is, with its id: so whoever does not know whether a batch was taken sends it again, under
    /// the same name, until it is [forgotten](Self::forget_batch).
    ///
    /// A report whose id belongs to a report of other content is not taken; [`Member::progress`] says so.
    ///
    /// # Errors
    /// When nothing of it is in the spool.
    pub async fn send_batch(&self, batch: &str, reports: Vec<(u32, Report)>) -> Result<(), SendError> {
        let batch = batch.to_owned();
        self.spool.run(move |rows| rows.add_batch(&batch, reports, Millis::now())).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// How far a report has come; none where the spool does not have it.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn fate(&self, id: SubmissionId) -> Result<Option<Progress>, SpoolError> {
        self.spool.run(move |rows| rows.progress(id)).await
    }

    /// What became of a report, as soon as it is known; none where the spool does not have it. For a report or two: who waits
    /// for many takes [`next_outcome`](Self::next_outcome).
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn outcome(&self, id: SubmissionId) -> Result<Option<Outcome>, SpoolError> {
        let mut finished = self.finished.clone();
        loop {
            finished.borrow_and_update();
            match self.fate(id).await? {
                None => return Ok(None),
                Some(Progress::Finished(outcome)) => return Ok(Some(outcome)),
                Some(_) => finished.changed().await.map_err(|_| SpoolError::Closed)?,
            }
        }
    }

    /// The next report that is finished, in the order in which they were. Each is given once; after a restart those are given
    /// again that were not [forgotten](Self::forget).
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn next_outcome(&self) -> Result<(SubmissionId, Outcome), SpoolError> {
        let mut given = self.given.lock().await;
        let mut finished = self.finished.clone();
        loop {
            finished.borrow_and_update();
            let after = *given;
            if let Some((number, id, outcome)) = self.spool.run(move |rows| rows.next_finished(after)).await? {
                *given = number;
                return Ok((id, outcome));
            }
            finished.changed().await.map_err(|_| SpoolError::Closed)?;
        }
    }

    /// Confirms the outcome of a report: the spool forgets it. Whether there was one; a report that is not finished stays.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub async fn forget(&self, id: SubmissionId) -> Result<bool, SpoolError> {
        self.spool.run(move |rows| rows.forget(id)).await
    }

    /// The reports of a batch, by number; none where there is no such batch.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn batch(&self, batch: &str) -> Result<Vec<Member>, SpoolError> {
        let batch = batch.to_owned();
        self.spool.run(move |rows| rows.batch(&batch)).await
    }

    /// How many reports of a batch are not finished.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn unfinished(&self, batch: &str) -> Result<u64, SpoolError> {
        let batch = batch.to_owned();
        self.spool.run(move |rows| rows.unfinished(&batch)).await
    }

    /// The names of the batches that are not forgotten.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn batches(&self) -> Result<Vec<String>, SpoolError> {
        self.spool.run(|rows| rows.batches()).await
    }

    /// Forgets a batch and the outcomes of its reports. Those that are not finished are pushed all the same.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub async fn forget_batch(&self, batch: &str) -> Result<(), SpoolError> {
        let batch = batch.to_owned();
        self.spool.run(move |rows| rows.forget_batch(&batch)).await
    }

    /// How many reports are not finished.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn pending(&self) -> Result<u64, SpoolError> {
        self.spool.run(|rows| rows.pending()).await
    }

    /// Stops. What is spooled stays, and goes on when the spool is opened again. When this is done, it can be.
    pub async fn shutdown(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            drop(task.await);
        }
        let thread = self.thread.take();
        // The last handle on the spool goes, and its thread ends.
        drop(self);
        if let Some(thread) = thread {
            drop(tokio::task::spawn_blocking(move || drop(thread.join())).await);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
