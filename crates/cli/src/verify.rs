//! `tonghop verify`: every total recomputed from the reports, by SQL that knows nothing of the fold.

use serde_json::{Value, json};
use store::{
    Store, StoreConfig,
    verify::{Mismatch, Verification},
};

use crate::{
    Ended,
    args::Verify,
    number::count,
    output::{Failure, Output, both, without_secrets},
};

pub(crate) async fn run(args: &Verify, output: &Output) -> Result<Ended, Failure> {
    let store = open(&args.database.config()?).await?;
    let verification = recompute(&store).await?;
    store.close().await;
    Ok(tell(&verification, output))
}

/// Recomputes every total.
pub(crate) async fn recompute(store: &Store) -> Result<Verification, Failure> {
    let verified = store.verify().await;
    verified.map_err(|error| Failure::caused("không kiểm tra được", "cannot verify", &error))
}

/// Says what was found.
pub(crate) fn tell(verification: &Verification, output: &Output) -> Ended {
    if verification.mismatches == 0 {
        output.result(|| object(verification), || said(verification, output));
        Ended::Well
    } else {
        output.complaint(|| object(verification), || said(verification, output));
        Ended::Badly
    }
}

/// The database.
pub(crate) async fn open(config: &StoreConfig) -> Result<Store, Failure> {
    Store::connect("cli", config).await.map_err(|error| {
        let url = without_secrets(&config.url);
        Failure::caused(
            &format!("không kết nối được tới PostgreSQL tại {url}"),
            &format!("cannot connect to PostgreSQL at {url}"),
            &error,
        )
    })
}

fn object(verification: &Verification) -> Value {
    let Verification { totals_checked, mismatches, listed, wrong: _, reports, position } = verification;
    let listed: Vec<Value> = listed
        .iter()
        .map(|Mismatch { data_set, period, org_unit, level, stored, recomputed }| {
            json!({
                "data_set": data_set, "period": period, "org_unit": org_unit, "level": level,
                "stored": stored, "recomputed": recomputed,
            })
        })
        .collect();
    json!({
        "totals_checked": totals_checked, "reports": reports, "log_position": position.0,
        "mismatches": mismatches, "listed": listed,
    })
}

fn said(verification: &Verification, output: &Output) -> String {
    let Verification { totals_checked, mismatches, listed, wrong: _, reports, position } = verification;
    let mut text = String::new();
    for Mismatch { data_set, period, org_unit, level, stored, recomputed } in listed {
        text.push_str(&format!("{data_set} {period} {org_unit} {level}\n"));
        for (vi, en, numbers) in [("đang lưu", "stored", stored), ("tính lại", "recomputed", recomputed)] {
            text.push_str(&format!("  {}: {numbers}\n", output.lang().of(vi, en)));
        }
    }
    let (totals, reports, position) = (count(*totals_checked), count(*reports), position.0);
    let verdict = if *mismatches == 0 {
        both(
            format!("đã tính lại {totals} số tổng hợp từ {reports} báo cáo, đến vị trí {position}: tất cả đều khớp"),
            format!("{totals} totals recomputed from {reports} reports, up to position {position}: all agree"),
        )
    } else {
        let differ = count(*mismatches);
        both(
            format!(
                "đã tính lại {totals} số tổng hợp từ {reports} báo cáo, đến vị trí {position}: {differ} không khớp"
            ),
            format!("{totals} totals recomputed from {reports} reports, up to position {position}: {differ} differ"),
        )
    };
    text + &output.say(&verdict)
}

#[cfg(test)]
mod tests {
    use domain::settle::Position;

    use super::*;
    use crate::{args::Lang, output::tests::captured};

    #[test]
    fn mismatches_are_listed_and_counted() {
        let mismatch = Mismatch {
            data_set: "identity".to_owned(),
            period: "202211".to_owned(),
            org_unit: "94".to_owned(),
            level: "commune".to_owned(),
            stored: "2 {7} {2}".to_owned(),
            recomputed: "2 {8} {2}".to_owned(),
        };
        let verification = Verification {
            totals_checked: 1500,
            mismatches: 1,
            listed: vec![mismatch],
            wrong: vec![("identity".parse().unwrap(), "202211".parse().unwrap())],
            reports: 1300,
            position: Position(9),
        };
        let (output, _) = captured(false, Lang::En);
        assert_eq!(
            said(&verification, &output),
            "identity 202211 94 commune\n  stored: 2 {7} {2}\n  recomputed: 2 {8} {2}\n\
             1.500 totals recomputed from 1.300 reports, up to position 9: 1 differ"
        );
        assert_eq!(object(&verification)["listed"][0]["recomputed"], "2 {8} {2}");
    }
}
