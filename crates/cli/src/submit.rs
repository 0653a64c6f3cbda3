//! `tonghop submit`: the reports of a file, sent and answered one by one.

mod fates;
mod queue;
mod send;
mod tell;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use runtime::{Clock, SystemClock};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{
    Ended, args, check,
    output::{Failure, Output, both},
    report_file::{self, File, FileReport, Format, MAX_BYTES},
};

use self::{
    send::{Interrupt, Left, Sender},
    tell::{Summary, Teller},
};

pub(crate) async fn run(args: &args::Submit, output: &Output) -> Result<Ended, Failure> {
    let name = args.file.display().to_string();
    let format = args.format.or_else(|| Format::of_name(&name)).ok_or_else(|| {
        Failure::new(both(
            format!("không rõ định dạng của tệp {name}; hãy thêm --format csv hoặc --format json"),
            format!("the format of {name} is not known; add --format csv or --format json"),
        ))
    })?;
    let text = text_of(&args.file).map_err(|error| {
        Failure::caused(&format!("không đọc được tệp {name}"), &format!("cannot read {name}"), &error)
    })?;
    let teller = Teller { file: &name, output };
    let catalogue = args.catalogue.as_deref().map(check::load).transpose()?;
    let File { mut reports, remarks } = match report_file::read(format, &text, catalogue.as_ref()) {
        Ok(file) => file,
        Err(faults) => {
            teller.faults(&faults);
            return Ok(Ended::Badly);
        }
    };
    teller.remarks(&remarks);
    drop((text, catalogue));
    give_ids(&mut reports, &SystemClock);

    let mut interrupted = Box::pin(async {
        // Without a handler the signal ends the process, which is as good.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let mut interrupt: Interrupt<'_> = interrupted.as_mut();
    let mut summary = Summary { reports: reports.len(), ..Summary::default() };
    let sender = Sender::new(&args.collector, &reports, args.in_flight.get(), args.give_up_after, teller);
    let sent = sender.run(&mut interrupt, &mut summary).await;
    let ended = match (sent, &args.query) {
        (Ok(Left { interrupted: false, acknowledged }), Some(query)) if args.wait => {
            let reports = acknowledged.into_iter().map(|index| &reports[index]).collect();
            let asked = fates::ask(query, reports, args.give_up_after, teller, &mut interrupt, &mut summary).await;
            asked.map(|interrupted| summary.ended(interrupted))
        }
        (Ok(left), _) => Ok(summary.ended(left.interrupted)),
        (Err(failure), _) => Err(failure),
    };
    // What is known is told also when the rest failed.
    teller.summary(&summary);
    ended
}

/// The text of a file, or of standard input for `-`.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text)?
    } else {
        fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?
    };
    if read as u64 > MAX_BYTES {
        let message = format!("the file has more than {} MiB; split it", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Gives reports without a submission id one that grows with time.
fn give_ids(reports: &mut [FileReport], clock: &dyn Clock) {
    let context = ContextV7::new();
    for report in reports.iter_mut().filter(|report| report.report.submission_id.is_empty()) {
        let now = clock.now();
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let id = Uuid::new_v7(Timestamp::from_unix(&context, seconds, now.nanosecond()));
        report.report.submission_id = id.to_string();
    }
}
