//! `tonghop agent`: a folder whose files of reports are sent, answered and put away.
//!
//! Where a file is says how far it has come: in the folder itself it waits, in `sending/` it is on its way, in `done/` or
//! `refused/` it has its answer. The client's spool knows the reports of a file under a name made of the file's content. So
//! the agent may be killed at any moment: what it finds in `sending/` it takes up again, and sends nothing twice.

mod answer;
mod folder;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io,
    pin::Pin,
    time::Duration,
};

use client::{Client, Config, Event, Events, Progress, SendError, Service, Trouble};
use domain::Catalogue;
use tokio::{signal::unix, time::Instant};

use crate::{
    Ended, args, check,
    output::{Failure, Output, both},
    peer::Peer,
    report_file::{self, File, Format},
    submit::{
        batch::{self, Batch},
        unopened, unspooled,
    },
};

use self::{
    answer::{Answer, Fate},
    folder::{Folder, Text},
};

/// Files that are on their way at a time.
const AT_A_TIME: usize = 200;
/// How soon after a report is finished its file is looked at.
const SOON: Duration = Duration::from_millis(100);
/// What the agent's batches are called, apart from those of others.
const OURS: &str = "agent-";

/// Somebody who wants the agent to stop.
type Interrupt<'a> = Pin<&'a mut (dyn Future<Output = ()> + 'a)>;

pub(crate) async fn run(args: &args::Agent, output: &Output) -> Result<Ended, Failure> {
    let mut terminated = unix::signal(unix::SignalKind::terminate())
        .map_err(|error| Failure::caused("không khởi động được", "cannot start", &error))?;
    let mut interrupted = Box::pin(async {
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => {
                // Without a handler the signal ends the process, which is as good.
                if stopped.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            _ = terminated.recv() => {}
        }
    });
    watch(args, output, interrupted.as_mut()).await
}

/// Watches the folder until somebody stops it, or with `--once` until every file has its answer.
async fn watch(args: &args::Agent, output: &Output, interrupt: Interrupt<'_>) -> Result<Ended, Failure> {
    let folder = Folder::open(&args.folder)?;
    let args::Agent { collector, query, credentials, give_up_after, spool, .. } = args;
    let config = Config::new(collector, spool).asking(query).with(credentials.into());
    let config = Config { give_up_after: *give_up_after, ..config };
    let (client, events) = Client::watched(config).await.map_err(|error| unopened(&error))?;
    let catalogue = args.catalogue.as_deref().map(check::load).transpose()?;
    let (collector, query) = (Peer::collector(collector, credentials), Peer::query(query, credentials));
    let peers = Peers { collector, query, away: Vec::new() };
    let mut agent = Agent {
        args,
        output,
        folder,
        client,
        peers,
        catalogue,
        files: BTreeMap::new(),
        is_any_refused: false,
        is_tidy: false,
        stuck: BTreeSet::new(),
        strange: BTreeSet::new(),
    };
    let ended = agent.run(events, interrupt).await;
    agent.client.shutdown().await;
    ended
}

/// The services, and which of them the user knows to be away.
struct Peers {
    collector: Peer,
    query: Peer,
    away: Vec<Service>,
}

/// A file in `sending/`.
#[derive(Debug, Default)]
struct Sending {
    /// The name of its batch, once it is spooled.
    batch: Option<String>,
    /// Whether it was said why it cannot be read or spooled yet.
    is_told: bool,
    /// Whether it cannot be read at the moment.
    is_stuck: bool,
}

/// What a look has left to do.
#[derive(Debug, Default)]
struct Left {
    /// Files that are not taken yet.
    waiting: usize,
    /// Files that cannot be taken.
    stuck: usize,
}

/// Whether an agent that is to end by itself has nothing left to do. What is stuck stays where it is: the next agent tries again.
fn ended(files: &BTreeMap<OsString, Sending>, left: &Left, is_any_refused: bool) -> Option<Ended> {
    let is_over = left.waiting == 0 && files.values().all(|file| file.is_stuck);
    let is_good = files.is_empty() && left.stuck == 0 && !is_any_refused;
    is_over.then_some(if is_good { Ended::Well } else { Ended::Badly })
}

fn unmoved(name: &OsStr, error: &io::Error) -> Failure {
    let shown = name.to_string_lossy();
    Failure::caused(&format!("không chuyển được tệp {shown}"), &format!("cannot move {shown}"), error)
}

struct Agent<'a> {
    args: &'a args::Agent,
    output: &'a Output,
    folder: Folder,
    client: Client,
    peers: Peers,
    catalogue: Option<Catalogue>,
    files: BTreeMap<OsString, Sending>,
    is_any_refused: bool,
    /// Whether nothing is left in the spool of files that were put away by an agent before.
    is_tidy: bool,
    /// Files that could not be moved when the agent last looked.
    stuck: BTreeSet<OsString>,
    /// Files that it then did not take for files of reports.
    strange: BTreeSet<OsString>,
}

impl Agent<'_> {
    async fn run(&mut self, mut events: Events, mut interrupt: Interrupt<'_>) -> Result<Ended, Failure> {
        let left = self.folder.sending().map_err(|error| unreadable(&error))?;
        self.files = left.into_iter().map(|name| (name, Sending::default())).collect();
        self.spool_all().await?;
        self.is_tidy = self.forget_orphans().await?;
        let mut told = None;
        loop {
            let left = match self.look().await {
                Ok(left) => {
                    told = None;
                    left
                }
                // A network share that is away for a moment, a disk that is full: whoever stays looks again.
                Err(failure) if !self.args.once => {
                    if told.replace(failure.message.en.clone()).as_ref() != Some(&failure.message.en) {
                        self.output.remark(&failure.message);
                    }
                    Left::default()
                }
                Err(failure) => return Err(failure),
            };
            if self.args.once
                && let Some(ended) = ended(&self.files, &left, self.is_any_refused)
            {
                return Ok(ended);
            }
            let mut next_look = Instant::now() + self.args.every;
            loop {
                tokio::select! {
                    biased;
                    () = interrupt.as_mut() => {
                        return Ok(if self.args.once { Ended::Interrupted } else { Ended::Well });
                    }
                    () = tokio::time::sleep_until(next_look) => break,
                    event = events.next() => match event {
                        Some(Event::Finished(_, outcome)) => {
                            next_look = next_look.min(Instant::now() + SOON);
                            if outcome.answer().is_some() {
                                self.is_there(Service::Query);
                            }
                        }
                        Some(Event::Acknowledged(..)) => self.is_there(Service::Collector),
                        Some(Event::Trouble(trouble)) => self.trouble(&trouble),
                        Some(_) => {}
                        None => return Ok(Ended::Interrupted),
                    },
                }
            }
        }
    }

    /// Takes what is ready, puts away what is finished and spools what is not: there may be room for it now.
    async fn look(&mut self) -> Result<Left, Failure> {
        let underway = self.files.values().filter(|file| !file.is_stuck).count();
        let room = AT_A_TIME.saturating_sub(underway);
        let looked = self.folder.take(self.args.quiet_for, room).map_err(|error| unreadable(&error))?;
        self.tell_stuck(&looked.stuck);
        self.tell_strange(looked.strange);
        self.files.extend(looked.taken.into_iter().map(|name| (name, Sending::default())));
        // Also those that a look took which then failed.
        for name in self.folder.sending().map_err(|error| unreadable(&error))? {
            self.files.entry(name).or_default();
        }
        let spooled: Vec<(OsString, String)> =
            self.files.iter().filter_map(|(name, file)| Some((name.clone(), file.batch.clone()?))).collect();
        for (name, batch) in spooled {
            if self.client.unfinished(&batch).await.map_err(|error| unspooled(&error.into()))? == 0 {
                self.finish(name, batch).await?;
            }
        }
        self.spool_all().await?;
        if !self.is_tidy {
            self.is_tidy = self.forget_orphans().await?;
        }
        // One of the same name as one that cannot be read waits for somebody to mend that.
        let is_stuck = |name: &OsString| self.files.get(name).is_some_and(|file| file.is_stuck);
        let blocked = looked.waiting.iter().filter(|name| is_stuck(name)).count();
        Ok(Left { waiting: looked.waiting.len() - blocked, stuck: looked.stuck.len() + blocked })
    }

    /// Says once of each file that it is not sent.
    fn tell_strange(&mut self, strange: BTreeSet<OsString>) {
        for name in strange.difference(&self.strange) {
            let shown = name.to_string_lossy();
            self.output.remark(&both(
                format!(
                    "không gửi {shown}: chỉ gửi các tệp .csv, .json, .jsonl, .ndjson (trong Excel: lưu thành CSV UTF-8)"
                ),
                format!(
                    "{shown} is not sent: only files .csv, .json, .jsonl, .ndjson are (in Excel: save as CSV UTF-8)"
                ),
            ));
        }
        self.strange = strange;
    }

    /// Says once of each file that it cannot be moved.
    fn tell_stuck(&mut self, stuck: &[(OsString, io::Error)]) {
        for (name, error) in stuck {
            if !self.stuck.contains(name) {
                self.output.remark(&unmoved(name, error).message);
            }
        }
        self.stuck = stuck.iter().map(|(name, _)| name.clone()).collect();
    }

    /// Spools the files that are not spooled yet.
    async fn spool_all(&mut self) -> Result<(), Failure> {
        let new: Vec<OsString> =
            self.files.iter().filter(|(_, file)| file.batch.is_none()).map(|(name, _)| name.clone()).collect();
        for name in new {
            self.spool(name.clone()).await?;
            // There is no room for it in the spool: others would be read for nothing.
            if self.files.get(&name).is_some_and(|file| file.batch.is_none() && !file.is_stuck) {
                break;
            }
        }
        Ok(())
    }

    /// Reads a file and spools its reports. One that cannot be read is answered at once.
    async fn spool(&mut self, name: OsString) -> Result<(), Failure> {
        let shown = name.to_string_lossy().into_owned();
        let text = match self.read(&name) {
            Ok(Text::Words(text)) => text,
            Ok(Text::TooLarge) => {
                return self.put_away(&name, &Answer::of_sentence(&shown, &report_file::too_large()));
            }
            Ok(Text::NotUtf8) => return self.put_away(&name, &Answer::of_sentence(&shown, &report_file::not_utf8())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody has taken it away.
                self.files.remove(&name);
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        // Only names with one of the endings are taken.
        let Some(format) = Format::of_name(&shown) else { return Ok(()) };
        let batch = format!("{OURS}{}", batch::name(format, &text));
        let reports = match report_file::read(format, &text, self.catalogue.as_ref()) {
            Ok(File { reports, .. }) => reports,
            Err(faults) => {
                let known = self.client.batch(&batch).await.map_err(|error| unspooled(&error.into()))?;
                if known.is_empty() {
                    return self.put_away(&name, &Answer::of_faults(&shown, &faults));
                }
                // It could be read when it was spooled: the catalogue is another now.
                self.files.insert(name, Sending { batch: Some(batch), ..Sending::default() });
                return Ok(());
            }
        };
        if reports.is_empty() {
            return self.put_away(&name, &Answer::of_sentence(&shown, &report_file::empty()));
        }
        let Batch { to_send, .. } = batch::of(&reports);
        match self.client.send_batch(&batch, to_send).await {
            Ok(()) => {
                if let Some(file) = self.files.get_mut(&name) {
                    *file = Sending { batch: Some(batch), ..Sending::default() };
                }
            }
            Err(error @ SendError::TooLarge(_)) => {
                return self.put_away(&name, &Answer::of_sentence(&shown, &unspooled(&error).message));
            }
            Err(error @ SendError::Full(_)) => {
                // There is room when others are finished.
                self.tell_once(&name, &unspooled(&error));
            }
            Err(error) => return Err(unspooled(&error)),
        }
        Ok(())
    }

    /// Answers a file whose reports all have their fates.
    async fn finish(&mut self, name: OsString, batch: String) -> Result<(), Failure> {
        let shown = name.to_string_lossy().into_owned();
        let read = self.read(&name);
        let Some(format) = Format::of_name(&shown) else { return Ok(()) };
        let read = match read {
            Ok(Text::Words(text)) if batch == format!("{OURS}{}", batch::name(format, &text)) => {
                report_file::read(format, &text, self.catalogue.as_ref())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.remove(&name);
                return self.forget(&batch).await;
            }
            Err(_) => return Ok(()),
            // Somebody has written to it after it was taken: what it says now is to be sent as well.
            Ok(_) => {
                self.files.insert(name, Sending::default());
                return self.forget(&batch).await;
            }
        };
        let reports = read.as_ref().map_or(&[][..], |file| &file.reports);
        let Batch { to_send, refused } = batch::of(reports);
        let mut fates: BTreeMap<usize, Fate> =
            refused.into_iter().map(|(index, refusal)| (index, Fate::refused(refusal))).collect();
        for member in self.client.batch(&batch).await.map_err(|error| unspooled(&error.into()))? {
            let Ok(index) = usize::try_from(member.number) else { continue };
            match member.progress {
                Some(Progress::Finished(outcome)) => fates.insert(index, Fate { id: Some(member.id), outcome }),
                Some(_) => return Ok(()),
                None => fates.insert(index, Fate { id: Some(member.id), ..Fate::refused(batch::reused()) }),
            };
        }
        if fates.len() < reports.len() {
            // The spool has forgotten it: it may be years old.
            self.client.send_batch(&batch, to_send).await.map_err(|error| unspooled(&error))?;
            return Ok(());
        }
        let answer = match &read {
            Ok(File { reports, .. }) => Answer::of(&shown, reports, &fates.into_values().collect::<Vec<_>>()),
            Err(faults) => Answer::of_sent(&shown, faults, &fates),
        };
        self.put_away(&name, &answer)?;
        self.forget(&batch).await
    }

    /// Puts a file where it belongs, with its answer beside it.
    fn put_away(&mut self, name: &OsString, answer: &Answer) -> Result<(), Failure> {
        let moved = self.folder.put_away(name, answer).map_err(|error| unmoved(name, &error))?;
        self.is_any_refused |= !answer.is_good();
        self.files.remove(name);
        let of_output = || answer.line(&moved, self.output);
        self.output.result(|| answer.summary(&moved), of_output);
        Ok(())
    }

    /// Forgets a batch, unless another file says the same.
    async fn forget(&self, batch: &str) -> Result<(), Failure> {
        if self.files.values().any(|file| file.batch.as_deref() == Some(batch)) {
            return Ok(());
        }
        self.client.forget_batch(batch).await.map_err(|error| unspooled(&error.into()))
    }

    /// Forgets the batches of files that were put away before the spool could be told. None, and false, while a file cannot be read: a
    /// batch may be its, and once forgotten its reports would go out again under new ids.
    async fn forget_orphans(&self) -> Result<bool, Failure> {
        if self.files.values().any(|file| file.batch.is_none()) {
            return Ok(false);
        }
        let batches = self.client.batches().await.map_err(|error| unspooled(&error.into()))?;
        for batch in batches.iter().filter(|batch| batch.starts_with(OURS)) {
            if self.client.unfinished(batch).await.map_err(|error| unspooled(&error.into()))? == 0 {
                self.forget(batch).await?;
            }
        }
        Ok(true)
    }

    /// What a file says. That it cannot be read at the moment is noted, and said once.
    fn read(&mut self, name: &OsString) -> io::Result<Text> {
        let read = self.folder.read(name);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::NotFound
        {
            let shown = name.to_string_lossy();
            let failure = Failure::caused(&format!("không đọc được {shown}"), &format!("cannot read {shown}"), error);
            self.tell_once(name, &failure);
        }
        if let Some(file) = self.files.get_mut(name) {
            file.is_stuck = read.is_err();
        }
        read
    }

    fn tell_once(&mut self, name: &OsString, failure: &Failure) {
        if let Some(file) = self.files.get_mut(name)
            && !std::mem::replace(&mut file.is_told, true)
        {
            self.output.remark(&failure.message);
        }
    }

    fn is_there(&mut self, service: Service) {
        self.peers.away.retain(|away| *away != service);
    }

    /// Says once who is away.
    fn trouble(&mut self, trouble: &Trouble) {
        let Peers { collector, query, away } = &mut self.peers;
        let peer = |service: Service| match service {
            Service::Collector => &*collector,
            Service::Query => &*query,
        };
        let (service, failure) = match trouble {
            Trouble::Unreachable { service, source } => (Some(*service), peer(*service).unreachable(&**source)),
            Trouble::Silent(service) => (Some(*service), peer(*service).silent()),
            Trouble::Answered { service, status } => (Some(*service), peer(*service).refused(status)),
            Trouble::Spool(error) => (None, Failure::caused("không ghi được hàng đợi gửi", "the spool fails", error)),
            // It will be there again, or not be reached.
            Trouble::BrokeOff { .. } => return,
        };
        if service.is_some_and(|service| away.contains(&service)) {
            return;
        }
        away.extend(service);
        self.output.remark(&both(
            format!("{}; sẽ thử lại", failure.message.vi),
            format!("{}; trying again", failure.message.en),
        ));
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::caused("không đọc được thư mục", "cannot read the folder", error)
}
