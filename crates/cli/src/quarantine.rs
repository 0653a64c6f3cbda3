//! `tonghop quarantine`: messages that could not be read, until somebody has mended why.

use domain::Timestamp;
use messaging::RetryError;
use runtime::{Clock as _, SystemClock};
use serde_json::{Value, json};
use store::{Kept, Quarantined, Store, StoreError};

use crate::{
    Ended,
    args::{QuarantineClose, QuarantineCommand, QuarantineList, QuarantineRetry, QuarantineShow},
    audit,
    number::{count, instant_local, instant_rfc3339},
    output::{Failure, Output, both},
    partner, verify,
};

/// The bytes that are shown to people.
const SHOWN: usize = 512;

pub(crate) async fn run(command: &QuarantineCommand, output: &Output) -> Result<Ended, Failure> {
    match command {
        QuarantineCommand::List(args) => list(args, output).await,
        QuarantineCommand::Show(args) => show(args, output).await,
        QuarantineCommand::Retry(args) => retry(args, output).await,
        QuarantineCommand::Close(args) => close(args, output).await,
    }
}

fn cannot_read(error: &StoreError) -> Failure {
    Failure::caused("không đọc được khu cách ly", "the quarantine cannot be read", error)
}

async fn list(args: &QuarantineList, output: &Output) -> Result<Ended, Failure> {
    let store = verify::open(&args.database.config()?).await?;
    let kept = store.quarantine(&[], args.all, args.most).await.map_err(|error| cannot_read(&error))?;
    store.close().await;
    for kept in &kept {
        output.result(|| object(kept), || said(kept, output));
    }
    if kept.is_empty() {
        output.remark(&both("khu cách ly trống", "the quarantine is empty"));
    }
    Ok(Ended::Well)
}

async fn find(store: &Store, ids: &[i64]) -> Result<Vec<Kept>, Failure> {
    let most = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let found = store.quarantine(ids, true, most).await.map_err(|error| cannot_read(&error))?;
    if let Some(id) = ids.iter().find(|id| found.iter().all(|kept| kept.id != **id)) {
        return Err(Failure::new(both(
            format!("không có thông điệp {id} trong khu cách ly"),
            format!("there is no message {id} in quarantine"),
        )));
    }
    Ok(found)
}

async fn show(args: &QuarantineShow, output: &Output) -> Result<Ended, Failure> {
    let store = verify::open(&args.database.config()?).await?;
    let found = find(&store, &[args.id]).await?;
    store.close().await;
    for kept in &found {
        let payload = &kept.message.payload;
        let all = || payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        output.result(
            || {
                let mut object = object(kept);
                object["payload_hex"] = all().into();
                object
            },
            || {
                let shown = payload[..payload.len().min(SHOWN)].escape_ascii();
                format!("{}\n{shown}", said(kept, output))
            },
        );
    }
    Ok(Ended::Well)
}

async fn retry(args: &QuarantineRetry, output: &Output) -> Result<Ended, Failure> {
    let store = verify::open(&args.database.config()?).await?;
    let connection = partner::connect(&args.nats.config()?).await?;
    let found = find(&store, &args.ids).await?;
    audit::operated(&store, &args.by.principal, "quarantine retry", &json!({ "ids": args.ids })).await?;
    let mut ended = Ended::Well;
    for Kept { id, message, .. } in &found {
        let retried = connection.retry(&message.subject, message.log_sequence).await;
        if let Err(error) = retried {
            ended = Ended::Badly;
            let failure = failure(*id, &error);
            output.complaint(
                || json!({ "id": id, "retried": false, "error": failure.message.en }),
                || output.say(&failure.message),
            );
            continue;
        }
        let now = Timestamp::from(SystemClock.now());
        store.quarantine_retried(*id, &args.by.principal, now).await.map_err(|error| cannot_read(&error))?;
        output.result(
            || json!({ "id": id, "retried": true }),
            || {
                output.say(&both(
                    format!("thông điệp {id} đang được xét lại"),
                    format!("message {id} is being judged again"),
                ))
            },
        );
    }
    store.close().await;
    connection.close().await;
    Ok(ended)
}

async fn close(args: &QuarantineClose, output: &Output) -> Result<Ended, Failure> {
    let store = verify::open(&args.database.config()?).await?;
    find(&store, &args.ids).await?;
    audit::operated(&store, &args.by.principal, "quarantine close", &json!({ "ids": args.ids })).await?;
    let now = Timestamp::from(SystemClock.now());
    for id in &args.ids {
        store.quarantine_closed(*id, &args.by.principal, now).await.map_err(|error| cannot_read(&error))?;
        output.result(
            || json!({ "id": id, "closed": true }),
            || output.say(&both(format!("thông điệp {id} đã được đóng"), format!("message {id} is closed"))),
        );
    }
    store.close().await;
    Ok(Ended::Well)
}

fn failure(id: i64, error: &RetryError) -> Failure {
    match error {
        RetryError::Gone(sequence) => Failure::new(both(
            format!("thông điệp {id}: nhật ký không còn giữ số {sequence}; người gửi phải gửi lại"),
            format!("message {id}: the log does not have {sequence} any more; its senders must send again"),
        )),
        other => {
            let (vi, en) =
                (format!("thông điệp {id} chưa xét lại được"), format!("message {id} cannot be judged again yet"));
            Failure::caused(&vi, &en, other)
        }
    }
}

fn object(kept: &Kept) -> Value {
    let Kept {
        id,
        message: Quarantined { log_sequence, subject, error, payload, .. },
        found_at,
        retried_at,
        retried_by,
        closed,
        settled,
    } = kept;
    let (closed_by, closed_at) = closed.as_ref().map(|(by, at)| (by, instant_rfc3339(*at))).unzip();
    json!({
        "id": id, "found_at": instant_rfc3339(*found_at), "subject": subject, "log_sequence": log_sequence, "error": error,
        "bytes": payload.len(), "retried_at": retried_at.map(instant_rfc3339), "retried_by": retried_by, "settled": settled,
        "closed_at": closed_at, "closed_by": closed_by,
    })
}

fn said(kept: &Kept, output: &Output) -> String {
    let Kept {
        id,
        message: Quarantined { log_sequence, subject, error, .. },
        found_at,
        retried_at,
        retried_by,
        closed,
        settled,
    } = kept;
    let mut text = format!("{id}  {}  {subject} {log_sequence}: {error}", instant_local(*found_at));
    if let (Some(at), Some(by)) = (retried_at, retried_by) {
        let at = instant_local(*at);
        let again = both(format!("{by} cho xét lại lúc {at}"), format!("judged again at {at} by {by}"));
        text.push_str(&format!("  {}", output.say(&again)));
    }
    if let Some((by, at)) = closed {
        let at = instant_local(*at);
        let done = both(format!("{by} đã đóng lúc {at}"), format!("closed at {at} by {by}"));
        text.push_str(&format!("  {}", output.say(&done)));
    }
    if *settled > 0 {
        let settled = count(*settled);
        let done = both(format!("{settled} báo cáo đã có kết quả"), format!("{settled} reports have their fates"));
        text.push_str(&format!("  {}", output.say(&done)));
    }
    text
}
