//! `tonghop reports`: who reported what, in time or late, with which words and warnings.

use proto::pb::{
    query::v1::{ListReportsRequest, ReportFilter, UnitReport, query_service_client::QueryServiceClient},
    report::v1::{Value as CellValue, value},
};
use serde_json::{Value, json};

use crate::{
    Ended, args,
    number::{count, local_time, rfc3339},
    output::{Failure, Output, both},
    peer::Peer,
    submission::{violation_line, violation_object},
    totals::{Names, name, unit},
};

/// Units asked for at a time.
const PAGE: i32 = 500;

pub(crate) async fn run(args: &args::Reports, output: &Output) -> Result<Ended, Failure> {
    let names = Names::load(args.catalogue.as_deref(), output)?;
    let args::Which { query, credentials, org_unit, data_set, period } = &args.which;
    let filter = match args.only {
        None => ReportFilter::All,
        Some(args::Only::Warnings) => ReportFilter::WithWarnings,
        Some(args::Only::Notes) => ReportFilter::WithNotes,
        Some(args::Only::Late) => ReportFilter::Late,
        Some(args::Only::Missing) => ReportFilter::NotReported,
    };
    let peer = Peer::query(query, credentials);
    let mut client = QueryServiceClient::new(peer.connect().await?);
    let (mut listed, mut page_token) = (0_usize, String::new());
    loop {
        let request = ListReportsRequest {
            org_unit: org_unit.clone(),
            data_set: data_set.clone(),
            period: period.clone(),
            filter: filter.into(),
            page_size: PAGE,
            page_token,
        };
        let page = peer.answer(client.list_reports(request)).await?;
        for report in &page.reports {
            output.result(|| object(report), || said(report, &names, output));
            listed += 1;
        }
        page_token = page.next_page_token;
        // A page may be empty and not be the last.
        if page_token.is_empty() || output.is_closed() {
            break;
        }
    }
    if output.is_json() {
        output.result(|| json!({ "summary": { "units": listed } }), String::new);
    } else {
        let units = count(listed);
        output.remark(&both(format!("{units} đơn vị"), format!("{units} units")));
    }
    Ok(Ended::Well)
}

/// A report as JSON has it.
pub(crate) fn object(report: &UnitReport) -> Value {
    let UnitReport { org_unit, reported, revision, received_at, on_time, values, warnings, warnings_omitted } = report;
    json!({
        "org_unit": org_unit.as_ref().map(unit),
        "reported": reported, "revision": revision,
        "received_at": received_at.map(|at| rfc3339(at.seconds, at.nanos)), "on_time": on_time,
        "values": values.iter().map(value_object).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(violation_object).collect::<Vec<_>>(), "warnings_omitted": warnings_omitted,
    })
}

pub(crate) fn value_object(CellValue { data_element, option, value }: &CellValue) -> Value {
    let value = match value {
        None => Value::Null,
        Some(value::Value::Integer(number)) => json!(number.to_string()),
        Some(value::Value::Flag(flag)) => json!(flag),
        Some(value::Value::Decimal(text) | value::Value::Text(text) | value::Value::Date(text)) => json!(text),
    };
    json!({ "data_element": data_element, "option": option, "value": value })
}

/// A line for the unit, then one for each warning and for each cell with words.
pub(crate) fn said(report: &UnitReport, names: &Names, output: &Output) -> String {
    let lang = output.lang();
    let unit = report.org_unit.clone().unwrap_or_default();
    let mut parts = vec![format!("{} {} ({})", unit.code, unit.name, names.level(&unit.level, output))];
    match (report.revision, report.received_at) {
        (Some(revision), Some(at)) => {
            parts.push(format!("{} {revision}", lang.of("lần sửa", "revision")));
            parts.push(local_time(at.seconds, at.nanos));
            parts.push(match (report.reported, report.on_time) {
                (false, _) => lang.of("đã rút", "withdrawn"),
                (true, true) => lang.of("đúng hạn", "on time"),
                (true, false) => lang.of("muộn", "late"),
            });
        }
        _ => parts.push(lang.of("chưa báo cáo", "not reported")),
    }
    let mut lines = vec![parts.join("  ")];
    lines.extend(report.warnings.iter().map(|warning| format!("  {}", violation_line(warning, output))));
    if report.warnings_omitted > 0 {
        let more = report.warnings_omitted;
        let more = both(format!("và {more} cảnh báo khác"), format!("and {more} more warnings"));
        lines.push(format!("  {}", output.say(&more)));
    }
    for CellValue { data_element, option, value } in &report.values {
        if let Some(value::Value::Text(words)) = value {
            // What a sender wrote does not move the cursor.
            let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            lines.push(format!("  {}: {words}", name(data_element, option)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proto::pb::{
        query::v1::OrgUnit,
        report::v1::{Severity, Violation},
    };

    use super::*;
    use client::fake::Fake;

    use crate::{args::Lang, output::tests::captured};

    fn report(code: &str) -> UnitReport {
        let org_unit = OrgUnit { code: code.to_owned(), name: "Xã A".to_owned(), level: "commune".to_owned() };
        UnitReport { org_unit: Some(org_unit), ..UnitReport::default() }
    }

    /// With a value of each kind, and a warning.
    fn late(code: &str) -> UnitReport {
        let value = |element: &str, value| CellValue {
            data_element: element.to_owned(),
            option: String::new(),
            value: Some(value),
        };
        let warning = Violation {
            reason: "RULE_BROKEN".to_owned(),
            severity: Severity::Warning.into(),
            field: "fell".to_owned(),
            message_vi: "giảm".to_owned(),
            message_en: "it fell".to_owned(),
        };
        UnitReport {
            reported: true,
            revision: Some(2),
            received_at: Some(proto::timestamp(domain::Timestamp::from_unix_micros(1_667_779_200_000_000))),
            values: vec![
                value("rec_total", value::Value::Integer(412)),
                value("rate", value::Value::Decimal("92.3".to_owned())),
                value("met", value::Value::Flag(true)),
                value("opened", value::Value::Date("2022-11-05".to_owned())),
                value("note", value::Value::Text("thiếu\u{1b}máy".to_owned())),
            ],
            warnings: vec![warning],
            warnings_omitted: 4,
            ..report(code)
        }
    }

    fn args(query: String, only: Option<args::Only>) -> args::Reports {
        let [org_unit, data_set, period] = ["94", "identity", "202211"].map(str::to_owned);
        args::Reports {
            which: args::Which { query, credentials: args::fake_credentials(), org_unit, data_set, period },
            only,
            catalogue: None,
        }
    }

    #[test]
    fn a_report_is_a_line_and_its_words_and_warnings_stand_below() {
        let (output, _) = captured(false, Lang::En);
        let said = |report: &UnitReport| said(report, &Names::none(), &output);
        assert_eq!(
            said(&late("31498")),
            "31498 Xã A (commune)  revision 2  2022-11-07 07:00:00  late\n  \
             fell: warning RULE_BROKEN: it fell\n  and 4 more warnings\n  note: thiếu máy"
        );
        let in_time =
            UnitReport { on_time: true, warnings: vec![], warnings_omitted: 0, values: vec![], ..late("31498") };
        assert!(said(&in_time).ends_with("2022-11-07 07:00:00  on time"));
        let withdrawn = UnitReport { reported: false, ..in_time };
        assert!(said(&withdrawn).ends_with("  withdrawn"));
        assert_eq!(said(&report("31501")), "31501 Xã A (commune)  not reported");
    }

    #[tokio::test]
    async fn all_pages_are_listed_also_after_an_empty_one() {
        let fake = Fake::default();
        fake.state().pages = vec![vec![late("31498")], vec![], vec![report("31501")]];
        let (output, written) = captured(true, Lang::En);
        let url = fake.clone().serve().await;
        assert_eq!(run(&args(url, Some(args::Only::Late)), &output).await, Ok(Ended::Well));
        let (stdout, stderr) = written();
        assert_eq!(stderr, "");
        let objects: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second, summary] = &objects[..] else { panic!("{objects:?}") };
        let values: Vec<&Value> = first["values"].as_array().unwrap().iter().map(|value| &value["value"]).collect();
        let words = json!("thiếu\u{1b}máy");
        assert_eq!(values, [&json!("412"), &json!("92.3"), &json!(true), &json!("2022-11-05"), &words]);
        assert_eq!(
            (&first["reported"], &first["on_time"], &first["revision"]),
            (&json!(true), &json!(false), &json!(2))
        );
        assert_eq!((&first["warnings"][0]["severity"], &first["warnings_omitted"]), (&json!("warning"), &json!(4)));
        assert_eq!((&second["org_unit"]["code"], &second["revision"]), (&json!("31501"), &Value::Null));
        assert_eq!(*summary, json!({ "summary": { "units": 2 } }));
        let asked: Vec<_> =
            fake.state().listed.iter().map(|asked| (asked.filter(), asked.page_token.clone())).collect();
        let expected = ["", "1", "2"].map(|token| (ReportFilter::Late, token.to_owned()));
        assert_eq!(asked, expected);
    }

    #[tokio::test]
    async fn people_are_told_how_many_there_were() {
        let fake = Fake::default();
        fake.state().pages = vec![vec![report("31498"), report("31501")]];
        let (output, written) = captured(false, Lang::Vi);
        assert_eq!(run(&args(fake.serve().await, None), &output).await, Ok(Ended::Well));
        let (stdout, stderr) = written();
        assert_eq!(stdout, "31498 Xã A (commune)  chưa báo cáo\n31501 Xã A (commune)  chưa báo cáo\n");
        assert_eq!(stderr, "2 đơn vị\n");
    }
}
