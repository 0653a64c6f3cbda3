//! `tonghop series`: a unit's totals period by period.

use proto::pb::query::v1::{
    GetSeriesRequest, GetSeriesResponse, SeriesEntry, Totals, query_service_client::QueryServiceClient,
};
use serde_json::{Value, json};

use crate::{
    Ended, args,
    output::{Failure, Output, both},
    peer::Peer,
    table::{Align, render},
    totals::{self, ABSENT, Names, completeness},
};

pub(crate) async fn run(args: &args::Series, output: &Output) -> Result<Ended, Failure> {
    let names = Names::load(args.catalogue.as_deref(), output)?;
    let args::Series { query, credentials, org_unit, data_set, from, to, cell, catalogue: _ } = args;
    let peer = Peer::query(query, credentials);
    let mut client = QueryServiceClient::new(peer.connect().await?);
    let request = GetSeriesRequest {
        org_unit: org_unit.clone(),
        data_set: data_set.clone(),
        from: from.clone(),
        to: to.clone(),
        cells: Vec::new(),
    };
    let series = peer.answer(client.get_series(request)).await?;
    let there = series.entries.iter().find_map(|entry| entry.totals.as_ref());
    if let Some(name) = cell.iter().find(|name| there.is_some_and(|totals| !totals::has(totals, name))) {
        return Err(Failure::new(both(
            format!("biểu mẫu {data_set} không có ô số liệu, nhóm hay chỉ số {name}"),
            format!("data set {data_set} has no cell, group or indicator {name}"),
        )));
    }
    output.result(|| object(&series), || said(&series, cell, &names, output));
    Ok(Ended::Well)
}

/// A series as JSON has it; `null` where the unit was not there.
fn object(GetSeriesResponse { entries, log_position }: &GetSeriesResponse) -> Value {
    let entry = |SeriesEntry { period, totals }: &SeriesEntry| json!({ "period": period, "totals": totals.as_ref().map(totals::object) });
    json!({ "entries": entries.iter().map(entry).collect::<Vec<_>>(), "log_position": log_position })
}

/// A row for each period: who has reported, over all levels, and what was asked for by name.
fn said(series: &GetSeriesResponse, wanted: &[String], names: &Names, output: &Output) -> String {
    let lang = output.lang();
    let mut header = vec![lang.of("kỳ", "period"), lang.of("đã báo cáo", "reported")];
    header.extend(wanted.iter().cloned());
    let mut columns = vec![Align::Left];
    columns.resize(header.len(), Align::Right);
    let mut rows = vec![header];
    for SeriesEntry { period, totals } in &series.entries {
        let mut row = vec![period.clone()];
        match totals.as_ref().and_then(|Totals { overall, .. }| overall.as_ref()) {
            None => row.extend((0..=wanted.len()).map(|_| ABSENT.to_owned())),
            Some(overall) => {
                let data_set = totals.as_ref().map_or("", |totals| totals.data_set.as_str());
                row.push(completeness(overall));
                row.extend(wanted.iter().map(|name| totals::under_name(data_set, overall, name, names, output)));
            }
        }
        rows.push(row);
    }
    render(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::fake::Fake;

    use crate::{args::Lang, output::tests::captured, totals::tests::totals};

    fn args(query: String, cell: &[&str]) -> args::Series {
        let [org_unit, data_set, from, to] = ["94", "online_services", "202211", "202212"].map(str::to_owned);
        let cell = cell.iter().map(|name| (*name).to_owned()).collect();
        args::Series {
            query,
            credentials: args::fake_credentials(),
            org_unit,
            data_set,
            from,
            to,
            cell,
            catalogue: None,
        }
    }

    fn series() -> GetSeriesResponse {
        let mut there = totals();
        there.overall = Some(there.levels[1].clone());
        let entry = |period: &str, totals| SeriesEntry { period: period.to_owned(), totals };
        GetSeriesResponse { entries: vec![entry("202211", None), entry("202212", Some(there))], log_position: 9 }
    }

    #[tokio::test]
    async fn every_period_is_a_row_and_gaps_are_seen() {
        let fake = Fake::default();
        fake.state().series = Some(series());
        let url = fake.serve_queries_alone().await;
        let (output, written) = captured(false, Lang::En);
        assert_eq!(run(&args(url.clone(), &["rec_total"]), &output).await, Ok(Ended::Well));
        assert_eq!(
            written().0,
            "period  reported  rec_total\n202211         –          –\n202212   108/109  1.205.627\n"
        );
        let (output, written) = captured(true, Lang::En);
        assert_eq!(run(&args(url.clone(), &[]), &output).await, Ok(Ended::Well));
        let object: Value = serde_json::from_str(&written().0).unwrap();
        assert_eq!((&object["entries"][0]["totals"], &object["log_position"]), (&Value::Null, &json!(9)));
        assert_eq!(object["entries"][1]["totals"]["version"], json!(17));
        assert!(run(&args(url, &["rec_totl"]), &output).await.is_err());
    }
}
