//! `tonghop replay`: totals are made anew from the reports, compared, and put in the place of those that are wrong.

use std::sync::Arc;

use aggregator::replay::{Replay, ReplayError, Replayed};
use domain::{Catalogue, Timestamp};
use messaging::{Connection, Partitions};
use runtime::{Clock as _, SystemClock};
use serde_json::{Value, json};
use store::{Store, audit::Operated};

use crate::{
    Ended, args,
    number::count,
    output::{Failure, Output, both},
    partner, verify,
};

pub(crate) async fn run(args: &args::Replay, output: &Output) -> Result<Ended, Failure> {
    let store = verify::open(&args.database.config()?).await?;
    let found = verify::recompute(&store).await?;
    let ended = verify::tell(&found, output);
    if !args.swap || found.wrong.is_empty() {
        store.close().await;
        return Ok(ended);
    }
    let connection = partner::connect(&args.nats.config()?).await?;
    let tools = Tools::open(&store, &connection).await?;
    let periods: Vec<_> = found.wrong.iter().map(|(data_set, period)| format!("{data_set} {period}")).collect();
    let detail = json!({ "totals": found.mismatches, "periods": periods });
    let replay = tools.replay(&store, &args.by.principal, "replay", &detail);
    let done = replay.correct(&found.wrong).await.map_err(|error| cannot(&error))?;
    connection.close().await;
    output.result(|| object(&done), || said(&done, output));
    // What the reconciler knows of wrong totals is over.
    let after = store.reconcile(None, Timestamp::from(SystemClock.now())).await.map_err(|error| {
        Failure::caused(
            "số tổng hợp đã được sửa, nhưng không so sánh lại được",
            "the totals were put right, and cannot be compared again",
            &error,
        )
    })?;
    store.close().await;
    Ok(verify::tell(&after, output))
}

/// What it takes to change totals besides the database.
pub(crate) struct Tools {
    connection: Connection,
    catalogue: Arc<Catalogue>,
    partitions: Partitions,
}

impl Tools {
    /// The catalogue in use, as it was provisioned, and the partitions.
    pub(crate) async fn open(store: &Store, connection: &Connection) -> Result<Self, Failure> {
        let none = || Failure::new(both("chưa có danh mục nào được thiết lập", "no catalogue was provisioned"));
        let cannot_read = |error: &dyn std::error::Error| {
            Failure::caused("không đọc được danh mục", "cannot read the catalogue", error)
        };
        let version = store.current_catalogue().await.map_err(|error| cannot_read(&error))?.ok_or_else(none)?;
        let files = store.catalogue_files(&version).await.map_err(|error| cannot_read(&error))?.ok_or_else(none)?;
        let loaded = catalogue::load_files(files).map_err(|faults| cannot_read(&faults))?;
        let partitions = connection.partitions().await.map_err(|error| cannot(&error))?;
        Ok(Self { connection: connection.clone(), catalogue: Arc::new(loaded.catalogue), partitions })
    }

    pub(crate) fn replay<'a>(
        &'a self,
        store: &'a Store,
        principal: &'a str,
        command: &'a str,
        detail: &'a Value,
    ) -> Replay<'a> {
        Replay {
            store,
            connection: &self.connection,
            catalogue: &self.catalogue,
            partitions: self.partitions,
            now: Timestamp::from(SystemClock.now()),
            operated: Operated { principal, command, detail },
        }
    }
}

/// Failure to change totals.
pub(crate) fn failed(error: &ReplayError) -> Failure {
    cannot(error)
}

fn cannot(error: &dyn std::error::Error) -> Failure {
    Failure::caused("không sửa được số tổng hợp", "the totals cannot be changed", error)
}

pub(crate) fn object(Replayed { units, untold }: &Replayed) -> Value {
    json!({ "units": units, "untold": untold })
}

pub(crate) fn said(Replayed { units, untold }: &Replayed, output: &Output) -> String {
    let (units, untold) = (count(*units), count(*untold));
    output.say(&both(
        format!("đã ghi phiên bản mới cho số tổng hợp của {units} đơn vị; {untold} không có trong danh mục hiện hành nên không công bố"),
        format!("the totals of {units} units have a new version; {untold} are not in the catalogue in use and are not published"),
    ))
}
