//! `tonghop explain`: the reports that a total is made of.

use proto::pb::query::v1::{
    CellName, Contribution, ListContributionsRequest, query_service_client::QueryServiceClient,
};
use serde_json::{Value, json};

use crate::{
    Ended, args,
    number::{count, grouped, local_time, plain, rfc3339},
    output::{Failure, Output, both},
    peer::Peer,
    totals::unit,
};

/// Contributions asked for at a time.
const PAGE: i32 = 500;

pub(crate) async fn run(args: &args::Explain, output: &Output) -> Result<Ended, Failure> {
    let args::Explain { which: args::Which { query, credentials, org_unit, data_set, period }, cell, level, as_of } =
        args;
    let peer = Peer::query(query, credentials);
    let mut client = QueryServiceClient::new(peer.connect().await?);
    let (mut listed, mut added, mut page_token) = (0_i64, 0_i128, String::new());
    let mut period = period.clone();
    let (sum, decimals, contributing) = loop {
        let request = ListContributionsRequest {
            org_unit: org_unit.clone(),
            data_set: data_set.clone(),
            period: period.clone(),
            cell: Some(cell_name(cell)),
            level: level.clone().unwrap_or_default(),
            as_of: as_of.as_ref().map(args::AsOf::wire),
            page_size: PAGE,
            page_token,
        };
        let page = peer.answer(client.list_contributions(request)).await?;
        for contribution in &page.contributions {
            output.result(|| object(contribution, page.decimals), || said(contribution, page.decimals, output));
            (listed, added) = (listed + 1, added + i128::from(contribution.value));
        }
        page_token = page.next_page_token;
        // Which one `latest` is may change between two pages.
        period = page.period;
        // A page may be empty and not be the last.
        if page_token.is_empty() || output.is_closed() {
            break (page.sum, page.decimals, page.contributing);
        }
    };
    let adds_up = added == i128::from(sum.unwrap_or(0)) && listed == contributing;
    if output.is_json() {
        let total = sum.map(|sum| plain(sum, decimals));
        let summary = json!({ "total": total, "contributing": contributing, "listed": listed, "adds_up": adds_up });
        output.result(|| json!({ "summary": summary }), String::new);
    } else {
        let (total, reports) = (sum.map_or("–".to_owned(), |sum| grouped(sum, decimals)), count(listed));
        output.remark(&both(
            format!("{reports} báo cáo, tổng {total}"),
            format!("{reports} reports, which add up to {total}"),
        ));
    }
    if adds_up || output.is_closed() {
        return Ok(Ended::Well);
    }
    Err(Failure::new(both(
        format!("các báo cáo cộng lại không bằng số tổng hợp: {listed} thay vì {contributing} báo cáo"),
        format!("the reports do not add up to the total: {listed} reports, not {contributing}"),
    )))
}

/// `svc_online[s03]` taken apart.
fn cell_name(name: &str) -> CellName {
    let (data_element, option) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((element, option)) => (element, option),
        None => (name, ""),
    };
    CellName { data_element: data_element.to_owned(), option: option.to_owned() }
}

/// A contribution as JSON has it.
fn object(contribution: &Contribution, decimals: u32) -> Value {
    let Contribution {
        org_unit,
        period,
        revision,
        submission_id,
        principal,
        received_at,
        log_sequence,
        log_index,
        value,
    } = contribution;
    json!({
        "org_unit": org_unit.as_ref().map(unit), "period": period, "revision": revision,
        "submission_id": submission_id, "principal": principal,
        "received_at": received_at.map(|at| rfc3339(at.seconds, at.nanos)),
        "log_sequence": log_sequence, "log_index": log_index, "value": plain(*value, decimals),
    })
}

/// `31498 Xã A  202211  1.205  lần sửa 2  2022-11-07 07:00:00  người gửi`
fn said(contribution: &Contribution, decimals: u32, output: &Output) -> String {
    let unit = contribution.org_unit.clone().unwrap_or_default();
    let mut parts = vec![
        format!("{} {}", unit.code, unit.name),
        contribution.period.clone(),
        grouped(contribution.value, decimals),
        format!("{} {}", output.lang().of("lần sửa", "revision"), contribution.revision),
    ];
    parts.extend(contribution.received_at.map(|at| local_time(at.seconds, at.nanos)));
    // What a sender is called does not move the cursor.
    let principal: String = contribution.principal.chars().filter(|c| !c.is_control()).collect();
    parts.extend(Some(principal).filter(|principal| !principal.is_empty()));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use proto::pb::query::v1::{ListContributionsResponse, OrgUnit};

    use super::*;
    use client::fake::Fake;

    use crate::{args::Lang, output::tests::captured};

    fn page(values: &[i64], sum: Option<i64>) -> ListContributionsResponse {
        let contribution = |value: &i64| Contribution {
            org_unit: Some(OrgUnit { code: "31498".to_owned(), name: "Xã A".to_owned(), level: "commune".to_owned() }),
            period: "202211".to_owned(),
            revision: 2,
            principal: "soc-trang".to_owned(),
            received_at: Some(proto::timestamp(domain::Timestamp::from_unix_micros(1_667_779_200_000_000))),
            value: *value,
            ..Contribution::default()
        };
        let contributions = values.iter().map(contribution).collect();
        ListContributionsResponse { contributions, sum, decimals: 1, contributing: 3, ..Default::default() }
    }

    fn args(query: String) -> args::Explain {
        let [org_unit, data_set, period] = ["94", "identity", "202211"].map(str::to_owned);
        let which = args::Which { query, credentials: args::fake_credentials(), org_unit, data_set, period };
        args::Explain { which, cell: "svc_online[s03]".to_owned(), level: None, as_of: Some(args::AsOf::Position(7)) }
    }

    #[tokio::test]
    async fn all_pages_are_listed_and_added_up() {
        let fake = Fake::default();
        fake.state().contributions =
            vec![page(&[10_000], Some(10_925)), page(&[], Some(10_925)), page(&[900, 25], Some(10_925))];
        let (output, written) = captured(false, Lang::En);
        assert_eq!(run(&args(fake.clone().serve().await), &output).await, Ok(Ended::Well));
        let (stdout, stderr) = written();
        let line = "31498 Xã A  202211  1.000,0  revision 2  2022-11-07 07:00:00  soc-trang";
        assert_eq!((stdout.lines().next(), stdout.lines().count()), (Some(line), 3));
        assert_eq!(stderr, "3 reports, which add up to 1.092,5\n");
        let asked = &fake.state().explained;
        assert_eq!((asked.len(), asked[2].page_token.as_str()), (3, "2"));
        assert_eq!(asked[0].cell, Some(CellName { data_element: "svc_online".to_owned(), option: "s03".to_owned() }));
        assert_eq!(asked[1].as_of, Some(args::AsOf::Position(7).wire()));
    }

    #[tokio::test]
    async fn what_does_not_add_up_is_told() {
        let fake = Fake::default();
        fake.state().contributions = vec![page(&[1, 2, 4], Some(6))];
        let (output, written) = captured(true, Lang::En);
        assert!(run(&args(fake.serve().await), &output).await.is_err());
        let summary: Value = serde_json::from_str(written().0.lines().last().unwrap()).unwrap();
        assert_eq!((&summary["summary"]["adds_up"], &summary["summary"]["total"]), (&json!(false), &json!("0.6")));
    }
}
