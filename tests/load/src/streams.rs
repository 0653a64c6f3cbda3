//! How much is in the streams, as the NATS server tells over HTTP.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A stream at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// The number of the last message.
    pub(crate) last: u64,
    /// Bytes held.
    pub(crate) bytes: u64,
}

/// All streams, by name.
pub(crate) async fn levels(monitoring: &str) -> anyhow::Result<BTreeMap<String, Level>> {
    let host = monitoring.strip_prefix("http://").context("NATS tells its statistics over http://")?;
    let mut tcp = TcpStream::connect(host).await?;
    let request = format!("GET /jsz?accounts=true&streams=true HTTP/1.0\r\nHost: {host}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    tcp.take(16 << 20).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    anyhow::ensure!(head.split(' ').nth(1) == Some("200"), "NATS answers {head}");
    Ok(read(&serde_json::from_str(body)?))
}

fn read(answer: &serde_json::Value) -> BTreeMap<String, Level> {
    let accounts = answer["account_details"].as_array().into_iter().flatten();
    let streams = accounts.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
    let level = |stream: &serde_json::Value| {
        let number = |name: &str| stream["state"][name].as_u64().unwrap_or(0);
        Some((stream["name"].as_str()?.to_owned(), Level { last: number("last_seq"), bytes: number("bytes") }))
    };
    streams.filter_map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_every_account_are_found() {
        let stream = |name: &str, last: u64| serde_json::json!({"name": name, "state": {"last_seq": last, "bytes": 5}});
        let answer = serde_json::json!({"account_details": [
            {"name": "A", "stream_detail": [stream("REPORTS", 3)]}, {"name": "B"},
            {"name": "C", "stream_detail": [stream("TOTALS", 9)]},
        ]});
        let level = |last| Level { last, bytes: 5 };
        assert_eq!(read(&answer), [("REPORTS".to_owned(), level(3)), ("TOTALS".to_owned(), level(9))].into());
    }
}
