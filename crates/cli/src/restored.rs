//! `tonghop restored`: the database and what was published are brought together, after one of them was restored or made anew.

use messaging::{ReadError, RetryError};
use serde_json::json;

use crate::{
    Ended, args,
    number::count,
    output::{Failure, Output, both},
    partner, replay, verify,
};

pub(crate) async fn run(args: &args::Restored, output: &Output) -> Result<Ended, Failure> {
    let store = verify::open(&args.database.config()?).await?;
    let connection = partner::connect(&args.nats.config()?).await?;
    let tools = replay::Tools::open(&store, &connection).await?;
    let told = connection.all_told().await.map_err(|error: ReadError| {
        Failure::caused("không đọc được luồng TOTALS", "the stream TOTALS cannot be read", &error)
    })?;
    let heads = store
        .audit_heads()
        .await
        .map_err(|error| Failure::caused("không đọc được nhật ký kiểm toán", "the audit log cannot be read", &error))?;
    // What the log holds now is what was restored: anchors of more than that are of what was lost.
    let chains: serde_json::Map<_, _> = heads.into_iter().map(|head| (head.chain, head.number.into())).collect();
    let detail = json!({ "reason": args.reason, "judge_again_from": args.judge_again_from, "chains": chains });
    let replay = tools.replay(&store, &args.by.principal, "restored", &detail);
    let done = replay.bring_together(told).await.map_err(|error| replay::failed(&error))?;
    let again = match args.judge_again_from {
        None => 0,
        Some(from) => connection.retry_all(from).await.map_err(|error: RetryError| {
            Failure::caused("không xét lại được", "the log cannot be judged again", &error)
        })?,
    };
    store.close().await;
    connection.close().await;
    output.result(
        || json!({ "units": done.units, "untold": done.untold, "judged_again": again }),
        || {
            let again = count(again);
            let judged = both(format!("{again} thông điệp được xét lại"), format!("{again} messages are judged again"));
            format!("{}\n{}", replay::said(&done, output), output.say(&judged))
        },
    );
    Ok(Ended::Well)
}
