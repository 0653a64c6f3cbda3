//! `tonghop submit`: the reports of a file, sent and answered one by one.

pub(crate) mod batch;
mod session;
pub(crate) mod tell;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use client::{Client, Config, Limits, OpenError, Pace, SendError};

use crate::{
    Ended, args, check,
    output::{Failure, Output, both},
    peer::Peer,
    report_file::{self, File, FileReport, Format, MAX_BYTES},
};

use self::{
    batch::Batch,
    session::{Interrupt, Peers, Session},
    tell::{Summary, Teller},
};

/// The pauses of somebody who waits at the screen.
const RETRY: Pace = Pace { first: Duration::from_millis(200), longest: Duration::from_secs(10) };
const ASK: Pace = Pace { first: Duration::from_millis(100), longest: Duration::from_secs(2) };

pub(crate) async fn run(args: &args::Submit, output: &Output) -> Result<Ended, Failure> {
    let name = args.file.display().to_string();
    let format = args.format.or_else(|| Format::of_name(&name)).ok_or_else(|| {
        Failure::new(both(
            format!("không rõ định dạng của tệp {name}; hãy thêm --format csv hoặc --format json"),
            format!("the format of {name} is not known; add --format csv or --format json"),
        ))
    })?;
    let text = text_of(&args.file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Failure::new(report_file::not_utf8()),
        io::ErrorKind::FileTooLarge => Failure::new(report_file::too_large()),
        _ => Failure::caused(&format!("không đọc được tệp {name}"), &format!("cannot read {name}"), &error),
    })?;
    let teller = Teller { file: &name, output };
    let catalogue = args.catalogue.as_deref().map(check::load).transpose()?;
    let File { reports, remarks } = match report_file::read(format, &text, catalogue.as_ref()) {
        Ok(file) => file,
        Err(faults) => {
            teller.faults(&faults);
            return Ok(Ended::Badly);
        }
    };
    teller.remarks(&remarks);
    if reports.is_empty() {
        return Err(Failure::new(report_file::empty()));
    }
    let batch = batch::name(format, &text);
    drop((text, catalogue));

    let mut interrupted = Box::pin(async {
        // Without a handler the signal ends the process, which is as good.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let mut interrupt: Interrupt<'_> = interrupted.as_mut();
    let mut summary = Summary { reports: reports.len(), ..Summary::default() };
    let sent = send(args, &batch, reports, teller, &mut interrupt, &mut summary).await;
    let ended = sent.map(|interrupted| summary.ended(interrupted));
    // What is known is told also when the rest failed.
    teller.summary(&summary);
    ended
}

/// Sends the reports of a file and tells what becomes of each; whether Ctrl-C came before the end.
async fn send(
    args: &args::Submit,
    batch: &str,
    mut reports: Vec<FileReport>,
    teller: Teller<'_>,
    interrupt: &mut Interrupt<'_>,
    summary: &mut Summary,
) -> Result<bool, Failure> {
    // It goes with the command: what is in it then was told as unknown or not sent.
    let passing = tempfile::tempdir();
    let passing = passing.map_err(|error| {
        Failure::caused("không tạo được hàng đợi gửi tạm thời", "cannot make a temporary spool", &error)
    })?;
    let (spool, limits) = match &args.spool {
        Some(spool) => (spool.clone(), Limits::default()),
        None => (passing.path().join("spool"), Limits::NONE),
    };
    let query = args.query.as_ref().filter(|_| args.wait);
    let config = Config {
        query: query.cloned(),
        credentials: (&args.credentials).into(),
        limits,
        in_flight: args.in_flight.get(),
        retry: RETRY,
        ask: ASK,
        ..Config::new(&args.collector, spool)
    };
    let (client, events) = Client::watched(config).await.map_err(|error| unopened(&error))?;
    if args.spool.is_some() {
        tell_of_others(&client, batch, teller.output).await?;
    }
    let Batch { to_send, refused } = batch::of(&reports);
    let (ended, untold) = match client.send_batch(batch, to_send).await {
        Err(error) => (Err(unspooled(&error)), None),
        Ok(()) => {
            let members = client.batch(batch).await.map_err(|error| unspooled(&error.into()))?;
            for member in &members {
                let report = usize::try_from(member.number).ok().and_then(|index| reports.get_mut(index));
                if let Some(FileReport { report, .. }) = report
                    && report.submission_id.is_empty()
                {
                    report.submission_id = member.id.to_string();
                }
            }
            let peers = Peers {
                collector: Peer::collector(&args.collector, &args.credentials),
                query: query.map(|url| Peer::query(url, &args.credentials)),
            };
            let mut session = Session::new(peers, &reports, args.give_up_after, teller, summary);
            session.refused_here(&refused);
            session.begin(members);
            let (ended, untold) = session.run(events, interrupt).await;
            (ended, Some(untold))
        }
    };
    match (&args.spool, untold) {
        (Some(_), Some(0)) => client.forget_batch(batch).await.map_err(|error| unspooled(&error.into()))?,
        (Some(spool), Some(left)) => {
            let spool = spool.display();
            teller.output.remark(&both(
                format!("{left} báo cáo còn trong hàng đợi {spool}; chạy lại cùng lệnh này để gửi tiếp"),
                format!("{left} reports stay in the spool {spool}; the same command goes on with them"),
            ));
        }
        (None, _) | (Some(_), None) => {}
    }
    client.shutdown().await;
    ended
}

/// Says how many reports of other files are still in the spool: whatever opens it sends them as well.
async fn tell_of_others(client: &Client, batch: &str, output: &Output) -> Result<(), Failure> {
    let mut others = 0;
    for other in client.batches().await.map_err(|error| unspooled(&error.into()))? {
        if other != batch {
            others += client.unfinished(&other).await.map_err(|error| unspooled(&error.into()))?;
        }
    }
    if others > 0 {
        output.remark(&both(
            format!("{others} báo cáo của các tệp khác còn trong hàng đợi cũng được gửi đi"),
            format!("{others} reports of other files, which were left in the spool, are sent as well"),
        ));
    }
    Ok(())
}

/// Why there is no client.
pub(crate) fn unopened(error: &OpenError) -> Failure {
    match error {
        OpenError::InUse(spool) => {
            let spool = spool.display();
            let message = both(
                format!("hàng đợi {spool} đang được một chương trình khác dùng"),
                format!("the spool {spool} is in use by another process"),
            );
            Failure { reason: "SPOOL_IN_USE".to_owned(), ..Failure::new(message) }
        }
        error => Failure::caused("không mở được hàng đợi gửi", "cannot open the spool", error),
    }
}

/// Why reports are not in the spool.
pub(crate) fn unspooled(error: &SendError) -> Failure {
    match error {
        SendError::Full(limits) | SendError::TooLarge(limits) => {
            let Limits { reports, bytes } = limits;
            let mib = bytes >> 20;
            let message = both(
                format!("hàng đợi gửi không đủ chỗ: nhiều nhất {reports} báo cáo và {mib} MiB"),
                format!("there is no room in the spool, which takes {reports} reports and {mib} MiB"),
            );
            Failure { reason: "SPOOL_FULL".to_owned(), ..Failure::new(message) }
        }
        error => Failure::caused("không ghi được hàng đợi gửi", "cannot write to the spool", error),
    }
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text)?
    } else {
        fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?
    };
    if read as u64 > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}
