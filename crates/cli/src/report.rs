//! `tonghop report`: a unit's report with its revisions.

use proto::pb::query::v1::{
    Fate, GetReportRequest, GetReportResponse, Revision, query_service_client::QueryServiceClient,
};
use serde_json::{Value, json};

use crate::{
    Ended, args,
    number::{local_time, rfc3339},
    output::{Failure, Output, both},
    peer::Peer,
    reports::{self, value_object},
    submission::violation_object,
    totals::Names,
};

pub(crate) async fn run(args: &args::Report, output: &Output) -> Result<Ended, Failure> {
    let args::Which { query, credentials, org_unit, data_set, period } = &args.which;
    let peer = Peer::query(query, credentials);
    let mut client = QueryServiceClient::new(peer.connect().await?);
    let request = GetReportRequest { org_unit: org_unit.clone(), data_set: data_set.clone(), period: period.clone() };
    let answer = peer.answer(client.get_report(request)).await?;
    let names = Names::load(None, output)?;
    output.result(|| object(&answer), || said(&answer, &names, output));
    Ok(Ended::Well)
}

/// A report as JSON has it.
fn object(answer: &GetReportResponse) -> Value {
    let GetReportResponse { report, revisions, revisions_omitted, log_position } = answer;
    json!({
        "report": report.as_ref().map(reports::object),
        "revisions": revisions.iter().map(revision_object).collect::<Vec<_>>(),
        "revisions_omitted": revisions_omitted, "log_position": log_position,
    })
}

fn revision_object(of: &Revision) -> Value {
    let Revision {
        revision,
        submission_id,
        principal,
        received_at,
        log_sequence,
        log_index,
        fate: _,
        counts,
        log_position,
        replaced_at,
        catalogue_version,
        withdrawn,
        values,
        warnings,
        warnings_omitted,
    } = of;
    json!({
        "revision": revision, "submission_id": submission_id, "principal": principal,
        "received_at": received_at.map(|at| rfc3339(at.seconds, at.nanos)),
        "log_sequence": log_sequence, "log_index": log_index, "superseded": of.fate() == Fate::Superseded,
        "counts": counts, "log_position": log_position, "replaced_at": replaced_at,
        "catalogue_version": catalogue_version, "withdrawn": withdrawn,
        "values": values.iter().map(value_object).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(violation_object).collect::<Vec<_>>(), "warnings_omitted": warnings_omitted,
    })
}

/// The report as `tonghop reports` shows it, its values, then a line for each revision.
fn said(answer: &GetReportResponse, names: &Names, output: &Output) -> String {
    let lang = output.lang();
    let mut lines: Vec<String> = answer.report.iter().map(|report| reports::said(report, names, output)).collect();
    lines.extend(answer.report.iter().flat_map(|report| &report.values).map(|value| {
        let object = value_object(value);
        let text = object["value"].as_str().map_or_else(|| object["value"].to_string(), ToOwned::to_owned);
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("  {} = {text}", crate::totals::name(&value.data_element, &value.option))
    }));
    for revision in &answer.revisions {
        let mut parts = vec![format!("{} {}", lang.of("lần sửa", "revision"), revision.revision)];
        parts.extend(revision.received_at.map(|at| local_time(at.seconds, at.nanos)));
        let principal: String = revision.principal.chars().filter(|c| !c.is_control()).collect();
        parts.extend(Some(principal).filter(|principal| !principal.is_empty()));
        parts.push(match (revision.counts, revision.fate()) {
            (true, _) => lang.of("đang được tính", "counts"),
            (false, Fate::Superseded) => lang.of("đến sau một lần sửa cao hơn", "came after a higher one"),
            (false, _) => lang.of("đã được thay", "was replaced"),
        });
        if revision.withdrawn {
            parts.push(lang.of("rút báo cáo", "takes the report back"));
        }
        lines.push(parts.join("  "));
    }
    if answer.revisions_omitted > 0 {
        let more = answer.revisions_omitted;
        let more = both(format!("và {more} lần sửa trước đó"), format!("and {more} revisions before"));
        lines.push(output.say(&more));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proto::pb::{
        query::v1::{OrgUnit, UnitReport},
        report::v1::{Value as CellValue, value},
    };

    use super::*;
    use client::fake::Fake;

    use crate::{args::Lang, output::tests::captured};

    fn answer() -> GetReportResponse {
        let at = Some(proto::timestamp(domain::Timestamp::from_unix_micros(1_667_779_200_000_000)));
        let (data_element, value) = ("rec_total".to_owned(), Some(value::Value::Integer(412)));
        let values = vec![CellValue { data_element, option: String::new(), value }];
        let revision = |revision, fate: Fate, counts| Revision {
            revision,
            principal: "soc-trang".to_owned(),
            received_at: at,
            fate: fate.into(),
            counts,
            ..Revision::default()
        };
        let org_unit = OrgUnit { code: "31498".to_owned(), name: "Xã A".to_owned(), level: "commune".to_owned() };
        GetReportResponse {
            report: Some(UnitReport {
                org_unit: Some(org_unit),
                reported: true,
                revision: Some(3),
                received_at: at,
                values,
                ..UnitReport::default()
            }),
            revisions: vec![
                revision(3, Fate::Accepted, true),
                Revision { withdrawn: true, ..revision(2, Fate::Accepted, false) },
                revision(1, Fate::Superseded, false),
            ],
            revisions_omitted: 4,
            log_position: 9,
        }
    }

    #[tokio::test]
    async fn a_report_is_told_with_its_values_and_what_became_of_each_revision() {
        let fake = Fake::default();
        fake.state().report = Some(answer());
        let query = fake.serve_queries_alone().await;
        let [org_unit, data_set, period] = ["31498", "identity", "202211"].map(str::to_owned);
        let args = args::Report {
            which: args::Which { query, credentials: args::fake_credentials(), org_unit, data_set, period },
        };
        let (output, written) = captured(false, Lang::En);
        assert_eq!(run(&args, &output).await, Ok(Ended::Well));
        let at = "2022-11-07 07:00:00";
        assert_eq!(
            written().0,
            format!(
                "31498 Xã A (commune)  revision 3  {at}  late\n  rec_total = 412\nrevision 3  {at}  soc-trang  counts\n\
                 revision 2  {at}  soc-trang  was replaced  takes the report back\n\
                 revision 1  {at}  soc-trang  came after a higher one\nand 4 revisions before\n"
            )
        );
        let (output, written) = captured(true, Lang::En);
        assert_eq!(run(&args, &output).await, Ok(Ended::Well));
        let object: Value = serde_json::from_str(&written().0).unwrap();
        assert_eq!(object["revisions"][2]["superseded"], json!(true));
        assert_eq!(object["report"]["values"][0]["value"], json!("412"));
    }
}
