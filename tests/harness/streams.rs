//! A look at the streams through NATS's own monitoring.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{World, eventually, small_topology};

/// What a stream holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Messages.
    pub messages: u64,
    /// The sequence number of the last one.
    pub last: u64,
}

/// Submitted batches that are not done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// No validator has them yet.
    pub waiting: u64,
    /// A validator has them, and has not said that their verdicts are durable.
    pub being_judged: u64,
}

impl World {
    /// What NATS says about JetStream.
    async fn jetstream(&self) -> Result<Value, String> {
        let ask = async {
            let url = self.nats.monitoring_url();
            let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
            stream.write_all(b"GET /jsz?streams=1&consumers=1 HTTP/1.0\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = ask.await.map_err(|error| error.to_string())?;
        let body = answer.split_once("\r\n\r\n").ok_or("no body")?.1;
        serde_json::from_str(body).map_err(|error| error.to_string())
    }

    /// A stream's state and the validators' backlog.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn stream(&self, name: &str) -> Result<(StreamState, Backlog), String> {
        let jetstream = self.jetstream().await?;
        let accounts = jetstream["account_details"].as_array().into_iter().flatten();
        let mut streams = accounts.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
        let stream = streams.find(|stream| stream["name"] == name).ok_or_else(|| format!("no {name}: {jetstream}"))?;
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let state =
            StreamState { messages: number(&stream["state"]["messages"]), last: number(&stream["state"]["last_seq"]) };
        let consumers = stream["consumer_detail"].as_array().into_iter().flatten();
        let validator = consumers.into_iter().find(|consumer| consumer["name"] == "validator");
        let backlog = validator.map(|validator| Backlog {
            waiting: number(&validator["num_pending"]),
            being_judged: number(&validator["num_ack_pending"]),
        });
        Ok((state, backlog.unwrap_or_default()))
    }

    /// Waits until nothing is on its way: every submitted batch is judged, every verdict counted, every event published.
    pub async fn quiet(&self) {
        eventually("the pipeline is empty", || async {
            let (_, backlog) = self.stream("REPORTS").await?;
            let (verdicts, _) = self.stream("VERDICTS").await?;
            let mut counted = 0;
            for partition in 0..small_topology().partitions {
                let progress = self.store.progress(partition).await.map_err(|error| format!("{error:?}"))?;
                counted = counted.max(progress.0);
            }
            let unpublished = self.store.outbox_length().await.map_err(|error| format!("{error:?}"))?;
            let all_counted = verdicts.messages == 0 || counted == verdicts.last;
            if backlog == Backlog::default() && all_counted && unpublished == 0 {
                return Ok(());
            }
            Err(format!("{backlog:?}, {verdicts:?}, counted up to {counted}, {unpublished} unpublished"))
        })
        .await;
    }
}
