//! `tonghop reopen`: a closed period is opened again, and it is kept who did it and why.

use domain::{Reason, Timestamp};
use runtime::{Clock as _, SystemClock};
use serde_json::{Value, json};
use store::{Reopen, ReopenError, Reopening};
use time::{Date, Time, macros::offset};

use crate::{
    Ended, args, audit,
    number::{instant_local, instant_rfc3339},
    output::{Failure, Output, both},
    verify,
};

pub(crate) async fn run(args: &args::Reopen, output: &Output) -> Result<Ended, Failure> {
    let store = verify::open(&args.database.config()?).await?;
    let ended = if args.list {
        let last = store.last_reopenings(args.most).await;
        let last = last.map_err(|error| Failure::caused("không đọc được", "cannot read", &error))?;
        list(&last, output);
        Ended::Well
    } else {
        let wanted = wanted(args, Timestamp::from(SystemClock.now()))?;
        audit::operated(&store, &wanted.principal, "reopen", &asked(&wanted)).await?;
        let reopening = store.reopen(&wanted).await.map_err(failure)?;
        output.result(|| object(&reopening), || said(&reopening, output));
        Ended::Well
    };
    store.close().await;
    Ok(ended)
}

/// What the command line asks for.
fn wanted(args: &args::Reopen, now: Timestamp) -> Result<Reopen, Failure> {
    let args::Reopen { data_set, period, org_unit, until, reason, principal, .. } = args;
    let (Some(data_set), Some(period), Some(until), Some(reason), Some(principal)) =
        (data_set, period, until, reason, principal)
    else {
        return Err(Failure::new(both("thiếu tham số", "an argument is missing")));
    };
    let until = end_of(*until).filter(|until| *until > now).ok_or_else(|| {
        let (vi, en) = (format!("ngày {until} đã qua"), format!("{until} is over"));
        Failure::new(both(vi, en))
    })?;
    Ok(Reopen {
        data_set: data_set.clone(),
        period: *period,
        org_unit: org_unit.clone(),
        until,
        reason: reason.clone(),
        principal: principal.clone(),
        opened_at: now,
    })
}

/// What the audit log keeps of it.
fn asked(Reopen { data_set, period, org_unit, until, reason, .. }: &Reopen) -> Value {
    json!({
        "data_set": data_set.as_str(), "period": period.to_string(), "org_unit": org_unit.as_ref().map(|unit| unit.as_str()),
        "until": instant_rfc3339(*until), "reason": reason,
    })
}

/// The instant at which a day ends in Vietnam.
fn end_of(day: Date) -> Option<Timestamp> {
    Some(Timestamp::from(day.next_day()?.with_time(Time::MIDNIGHT).assume_offset(offset!(+7))))
}

fn failure(error: ReopenError) -> Failure {
    let (reason, message) = match error {
        ReopenError::DataSet(code) => (
            Reason::DataSetUnknown,
            both(
                format!("danh mục hiện hành không có biểu mẫu {code}"),
                format!("the current catalogue has no data set {code}"),
            ),
        ),
        ReopenError::PeriodType { data_set, period_type } => (
            Reason::PeriodTypeWrong,
            both(
                format!("biểu mẫu {data_set} không báo cáo theo loại kỳ này mà theo {period_type}"),
                format!("data set {data_set} is reported by {period_type}"),
            ),
        ),
        ReopenError::OrgUnit(code, period) => (
            Reason::OrgUnitUnknown,
            both(
                format!("không có đơn vị mã {code} vào ngày cuối kỳ {period}"),
                format!("no org unit had the code {code} on the last day of {period}"),
            ),
        ),
        ReopenError::Store(error) => {
            return Failure::caused("không mở lại được", "cannot open it again", &error);
        }
    };
    Failure { reason: reason.to_string(), ..Failure::new(message) }
}

fn list(reopenings: &[Reopening], output: &Output) {
    output.result(
        || json!({ "reopenings": reopenings.iter().map(object).collect::<Vec<_>>() }),
        || match reopenings {
            [] => output.say(&both("chưa có kỳ nào được mở lại", "no period was opened again")),
            some => some.iter().map(|reopening| said(reopening, output)).collect::<Vec<_>>().join("\n"),
        },
    );
}

fn object(reopening: &Reopening) -> Value {
    let Reopening { id, data_set, period, org_unit, until, reason, principal, opened_at } = reopening;
    json!({
        "id": id, "data_set": data_set.as_str(), "period": period.to_string(), "org_unit": org_unit.as_str(),
        "until": instant_rfc3339(*until), "reason": reason, "principal": principal, "opened_at": instant_rfc3339(*opened_at),
    })
}

fn said(reopening: &Reopening, output: &Output) -> String {
    let Reopening { id, data_set, period, org_unit, until, reason, principal, opened_at } = reopening;
    let (until, opened_at) = (instant_local(*until), instant_local(*opened_at));
    let what = output.say(&both(
        format!("mở lại từ {opened_at} đến {until} bởi {principal}"),
        format!("open again from {opened_at} to {until}, by {principal}"),
    ));
    format!("{id}  {data_set} {period} {org_unit}: {what}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::Lang, output::tests::captured};

    #[test]
    fn it_is_open_to_the_end_of_the_day_in_vietnam() {
        let end = end_of(time::macros::date!(2026 - 12 - 31)).unwrap();
        assert_eq!(instant_rfc3339(end), "2026-12-31T17:00:00Z");
    }

    #[test]
    fn what_was_opened_is_told() {
        let reopening = Reopening {
            id: 7,
            data_set: "identity".parse().unwrap(),
            period: "202211".parse().unwrap(),
            org_unit: "94".parse().unwrap(),
            until: end_of(time::macros::date!(2026 - 12 - 31)).unwrap(),
            reason: "mạng hỏng".to_owned(),
            principal: "lan".to_owned(),
            opened_at: Timestamp::from_unix_micros(1_667_779_200_000_000),
        };
        let (output, written) = captured(false, Lang::En);
        list(&[], &output);
        list(std::slice::from_ref(&reopening), &output);
        assert_eq!(
            written().0,
            "no period was opened again\n7  identity 202211 94: open again from 2022-11-07 07:00:00 to 2027-01-01 00:00:00, by lan: mạng hỏng\n"
        );
        assert_eq!(object(&reopening)["until"], "2026-12-31T17:00:00Z");
    }
}
