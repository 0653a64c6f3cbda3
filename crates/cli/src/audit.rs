//! `tonghop audit`: who did what, and whether that is what was written down then.

mod anchor;
pub(crate) mod keys;

use std::{
    fs,
    io::{Read as _, Write as _},
};

use domain::{Message, Timestamp};
use runtime::{Clock as _, SystemClock};
use serde_json::{Value, json};
use store::{
    Store,
    audit::{AuditEntry, AuditFault, AuditFilter, AuditVerification, Head, Operated},
};
use time::OffsetDateTime;

use self::anchor::Anchor;
use crate::{
    Ended,
    args::{AuditAnchor, AuditChain, AuditCommand, AuditKey, AuditShow, AuditVerify},
    number::{count, instant_local, instant_rfc3339},
    output::{Failure, Output, both},
    verify,
};

/// Writes down what an operator is about to do. What cannot be written down is not done.
pub(crate) async fn operated(store: &Store, principal: &str, command: &str, detail: &Value) -> Result<(), Failure> {
    let operated = Operated { principal, command, detail };
    let written = store.audit_operated(&operated, Timestamp::from(SystemClock.now())).await;
    written.map_err(|error| {
        let (vi, en) = (
            "không ghi được vào nhật ký kiểm toán, nên không thực hiện",
            "the audit log cannot be written, so it is not done",
        );
        Failure::caused(vi, en, &error)
    })
}

pub(crate) async fn run(command: &AuditCommand, output: &Output) -> Result<Ended, Failure> {
    match command {
        AuditCommand::Verify(args) => check(args, output).await,
        AuditCommand::Show(args) => show(args, output).await,
        AuditCommand::Anchor(args) => add_anchor(args, output).await,
        AuditCommand::Key(args) => make_key(args, output),
    }
}

fn cannot_read(error: &dyn std::error::Error) -> Failure {
    Failure::caused("không đọc được nhật ký kiểm toán", "the audit log cannot be read", error)
}

async fn check(args: &AuditVerify, output: &Output) -> Result<Ended, Failure> {
    let mut anchors = match (&args.anchors, &args.public_key) {
        (Some(file), Some(key)) => anchor::read(file, key)?,
        _ => Vec::new(),
    };
    let of_keys = |head: &Head| head.chain == keys::CHAIN;
    let mut verification = AuditVerification::default();
    if let Some(layout) = args.logs.keys() {
        let heads = anchors.iter().flat_map(|anchor| &anchor.heads).filter(|head| of_keys(head)).cloned();
        (verification.heads, verification.faults) = keys::check(&layout, &heads.collect::<Vec<_>>())?;
    }
    if let Some(database) = args.logs.database()? {
        let store = verify::open(&database).await?;
        // The oldest first: each is told of what was lost by it and not by one before.
        for restore in restores(&store).await?.iter().rev() {
            let lost = restore.forget(&mut anchors);
            if lost > 0 {
                output.remark(&restore.told(lost));
            }
        }
        let heads = anchors.iter().flat_map(|anchor| &anchor.heads).filter(|head| !of_keys(head)).cloned();
        let found = store.audit_verify(&heads.collect::<Vec<_>>()).await.map_err(|error| cannot_read(&error))?;
        store.close().await;
        verification.fates = found.fates;
        verification.heads.extend(found.heads);
        verification.faults.extend(found.faults);
    }
    let (object, text) = (|| object(&verification, anchors.len()), || said(&verification, anchors.len(), output));
    if verification.faults.is_empty() {
        output.result(object, text);
        Ok(Ended::Well)
    } else {
        output.complaint(object, text);
        Ok(Ended::Badly)
    }
}

/// A restore of the database: what the chains held then, and who did it.
struct Restore {
    at: OffsetDateTime,
    principal: String,
    reason: String,
    chains: serde_json::Map<String, Value>,
}

/// The restores that the log tells of.
async fn restores(store: &Store) -> Result<Vec<Restore>, Failure> {
    let filter = AuditFilter {
        field: vec!["restored".to_owned()],
        chain: store::audit::OPERATED.to_owned(),
        most: u32::MAX,
        ..AuditFilter::default()
    };
    let entries = store.audit_entries(&filter).await.map_err(|error| cannot_read(&error))?;
    let restores = entries.into_iter().filter_map(|entry| {
        let [principal, command, detail] = &entry.fields[..] else { return None };
        let detail: Value = serde_json::from_str(detail).ok().filter(|_| command == "restored")?;
        let reason = detail["reason"].as_str().unwrap_or_default().to_owned();
        let chains = detail["chains"].as_object()?.clone();
        Some(Restore { at: entry.at.into(), principal: principal.clone(), reason, chains })
    });
    Ok(restores.collect())
}

impl Restore {
    /// Forgets what was anchored before it of rows that it did not bring back, and says how many that were.
    fn forget(&self, anchors: &mut [Anchor]) -> usize {
        let mut lost = 0;
        for anchor in anchors.iter_mut().filter(|anchor| anchor.at < self.at) {
            let before = anchor.heads.len();
            anchor.heads.retain(|head| {
                head.chain == keys::CHAIN
                    || self.chains.get(&head.chain).and_then(Value::as_u64).is_some_and(|ended| head.number <= ended)
            });
            lost += before - anchor.heads.len();
        }
        lost
    }

    fn told(&self, lost: usize) -> Message {
        let (at, principal, reason) = (instant_local(self.at.into()), &self.principal, &self.reason);
        both(
            format!("{lost} mốc neo thuộc phần đã mất khi {principal} khôi phục cơ sở dữ liệu lúc {at}: {reason}"),
            format!("{lost} anchored rows were lost when {principal} restored the database at {at}: {reason}"),
        )
    }
}

fn object(AuditVerification { heads, fates, faults }: &AuditVerification, anchors: usize) -> Value {
    let faults: Vec<_> =
        faults.iter().map(|fault| json!({ "fault": code(fault), "message": told(fault).en })).collect();
    let heads =
        heads.iter().map(|head| json!({ "chain": head.chain, "number": head.number, "hash": anchor::hex(&head.hash) }));
    json!({ "chains": heads.collect::<Vec<_>>(), "fates": fates, "anchors": anchors, "faults": faults })
}

fn said(AuditVerification { heads, fates, faults }: &AuditVerification, anchors: usize, output: &Output) -> String {
    let mut lines: Vec<String> = faults.iter().map(|fault| output.say(&told(fault))).collect();
    let rows = count(heads.iter().map(|head| head.number).sum::<u64>());
    let (chains, fates, wrong) = (heads.len(), count(*fates), faults.len());
    let (vi, en) = if faults.is_empty() {
        ("tất cả còn nguyên".to_owned(), "all is as it was written".to_owned())
    } else {
        (format!("{wrong} chỗ sai"), format!("{wrong} faults"))
    };
    lines.push(output.say(&both(
        format!("nhật ký kiểm toán: {chains} chuỗi, {rows} dòng, {fates} kết quả báo cáo, {anchors} mốc neo: {vi}"),
        format!("audit log: {chains} chains, {rows} rows, {fates} fates of reports, {anchors} anchors: {en}"),
    )));
    lines.join("\n")
}

fn code(fault: &AuditFault) -> &'static str {
    match fault {
        AuditFault::Missing { .. } => "MISSING",
        AuditFault::Changed { .. } => "CHANGED",
        AuditFault::Cut { .. } => "CUT",
        AuditFault::Replaced { .. } => "REPLACED",
        AuditFault::Ledger { .. } => "LEDGER_DIFFERS",
        AuditFault::Fates { .. } => "FATES_DIFFER",
    }
}

fn told(fault: &AuditFault) -> Message {
    match fault {
        AuditFault::Missing { chain, number } => {
            both(format!("chuỗi {chain}: thiếu dòng {number}"), format!("chain {chain}: row {number} is missing"))
        }
        AuditFault::Changed { chain, number } => {
            both(format!("chuỗi {chain}: dòng {number} đã bị sửa"), format!("chain {chain}: row {number} was changed"))
        }
        AuditFault::Cut { chain, ends, anchored } => both(
            format!("chuỗi {chain} kết thúc ở dòng {ends}, nhưng dòng {anchored} đã được neo: phần cuối đã bị cắt"),
            format!("chain {chain} ends at row {ends}, but row {anchored} was anchored: its end was cut off"),
        ),
        AuditFault::Replaced { chain, number } => both(
            format!("chuỗi {chain}: dòng {number} khác với dòng đã được neo: chuỗi đã bị viết lại"),
            format!("chain {chain}: row {number} is not the one that was anchored: the chain was written anew"),
        ),
        AuditFault::Ledger { chain, number, entry } => {
            let entry = entry.replace('\t', " ");
            both(
                format!("chuỗi {chain}, dòng {number}: sổ cái không khớp với mục đã ghi: {entry}"),
                format!("chain {chain}, row {number}: the ledger does not have it as it was written: {entry}"),
            )
        }
        AuditFault::Fates { ledger, chains } => both(
            format!("sổ cái có {} kết quả, các chuỗi có {}", count(*ledger), count(*chains)),
            format!("the ledger has {} fates, the chains have {}", count(*ledger), count(*chains)),
        ),
    }
}

async fn show(args: &AuditShow, output: &Output) -> Result<Ended, Failure> {
    let filter = AuditFilter {
        from: args.from,
        until: args.until,
        field: args.submission.map(|id| id.0.to_string()).into_iter().chain(args.principal.clone()).collect(),
        chain: args.only.map_or("", AuditChain::prefix).to_owned(),
        most: args.most,
    };
    let mut entries = Vec::new();
    if let Some(database) = args.logs.database()? {
        let store = verify::open(&database).await?;
        entries = store.audit_entries(&filter).await.map_err(|error| cannot_read(&error))?;
        store.close().await;
    }
    if let Some(layout) = args.logs.keys().filter(|_| matches!(args.only, None | Some(AuditChain::Operated))) {
        let within = |entry: &AuditEntry| {
            filter.from.is_none_or(|from| from <= entry.at)
                && filter.until.is_none_or(|until| entry.at < until)
                && filter.field.iter().all(|field| entry.fields.contains(field))
        };
        entries.extend(keys::entries(&layout)?.into_iter().filter(within));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        entries.truncate(usize::try_from(args.most).unwrap_or(usize::MAX));
    }
    for AuditEntry { chain, number, at, fields } in &entries {
        output.result(
            || json!({ "chain": chain, "number": number, "at": instant_rfc3339(*at), "fields": fields }),
            || format!("{}  {chain} {number}  {}", instant_local(*at), fields.join("  ")),
        );
    }
    if entries.is_empty() {
        output.remark(&both("không có mục nào", "there is no such entry"));
    }
    Ok(Ended::Well)
}

impl AuditChain {
    fn prefix(self) -> &'static str {
        match self {
            Self::Counted => "counted.",
            Self::Refused => store::audit::REFUSED,
            Self::Operated => store::audit::OPERATED,
        }
    }
}

async fn add_anchor(args: &AuditAnchor, output: &Output) -> Result<Ended, Failure> {
    let key = anchor::open_key(&args.key)?;
    let mut heads = Vec::new();
    if let Some(database) = args.logs.database()? {
        let store = verify::open(&database).await?;
        heads = store.audit_heads().await.map_err(|error| cannot_read(&error))?;
        store.close().await;
    }
    if let Some(layout) = args.logs.keys() {
        heads.extend(keys::head(&layout)?);
    }
    let line = anchor::sign(&key, &heads, &instant_rfc3339(Timestamp::from(SystemClock.now())));
    let name = args.file.display();
    let failed = |error| Failure::caused(&format!("không ghi được {name}"), &format!("cannot write {name}"), &error);
    let append = || {
        let mut file = fs::File::options().create(true).append(true).read(true).open(&args.file)?;
        let mut there = Vec::new();
        file.read_to_end(&mut there)?;
        // What was not written to its end, by a full disk, would spoil the line that follows.
        let whole = there.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    };
    append().map_err(failed)?;
    output.result(
        || line.clone(),
        || {
            let chains = heads.len();
            output
                .say(&both(format!("đã neo {chains} chuỗi vào {name}"), format!("{chains} chains anchored in {name}")))
        },
    );
    Ok(Ended::Well)
}

fn make_key(args: &AuditKey, output: &Output) -> Result<Ended, Failure> {
    let public = anchor::make_key(&args.file)?;
    output.result(|| json!({ "public_key": public }), || public.clone());
    Ok(Ended::Well)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::Lang, output::tests::captured};

    #[test]
    fn faults_are_named_with_their_row() {
        let verification = AuditVerification {
            faults: vec![
                AuditFault::Changed { chain: "counted.3".to_owned(), number: 7 },
                AuditFault::Cut { chain: "refused".to_owned(), ends: 4, anchored: 9 },
            ],
            ..AuditVerification::default()
        };
        let (output, _) = captured(false, Lang::En);
        assert_eq!(
            said(&verification, 2, &output),
            "chain counted.3: row 7 was changed\n\
             chain refused ends at row 4, but row 9 was anchored: its end was cut off\n\
             audit log: 0 chains, 0 rows, 0 fates of reports, 2 anchors: 2 faults"
        );
        assert_eq!(object(&verification, 2)["faults"][1]["fault"], "CUT");
    }
}
