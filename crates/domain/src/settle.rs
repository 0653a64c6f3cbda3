//! Settling: which of the reports that come in count, and what that changes.
//!
//! A [`Book`] is opened with what is stored about the keys and submissions of a batch. Entries are settled one after
//! the other; each gets exactly one [`Fate`]. Closing the book gives the changes to write down.
//!
//! The outcome does not depend on the order of arrival: the highest revision of a key counts, the same revision with
//! the same content is a duplicate, with other content a conflict, and a lower one is superseded.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    Catalogue, CatalogueVersion, Content, ContentDigest, Key, Message, Period, Reason, Report, Severity, SubmissionId,
    Timestamp, UnitIx, Vintage, Violation, Violations,
    catalogue::DataSet,
    fold::{Change, Tally, TotalOf, fold},
};

/// Where a report stands in the log of submitted reports: its acknowledgement names it, and nothing else has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The sequence number of the message.
    pub sequence: u64,
    /// The place in the message, from 0.
    pub index: u32,
}

/// Where a verdict stands in the log of verdicts; totals say up to which position they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// What the pipeline knows about an acknowledged report besides what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Where it stands in the log of submitted reports.
    pub origin: Origin,
    /// When the collector took it.
    pub received_at: Timestamp,
    /// Who sent it.
    pub principal: Box<str>,
    /// The catalogue it was judged by.
    pub catalogue: CatalogueVersion,
    /// Where its verdict stands.
    pub position: Position,
}

/// A report that was judged fit to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The report.
    pub report: Report,
    /// Tells its content from another.
    pub digest: ContentDigest,
    /// Whether it has values and came in before the deadline.
    pub on_time: bool,
    /// What is odd about it.
    pub warnings: Violations,
}

/// A report that was judged unfit, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Where it comes from.
    pub provenance: Provenance,
    /// What it claimed to be about.
    pub claim: Claim,
    /// Tells its bytes from others.
    pub digest: ContentDigest,
    /// What is wrong.
    pub violations: Violations,
}

/// What a rejected report claimed to be about: the sender's words, cut to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The submission id, where it was one.
    pub submission_id: Option<SubmissionId>,
    /// The data set's code.
    pub data_set: String,
    /// The period's name.
    pub period: String,
    /// The org unit's code.
    pub org_unit: String,
    /// The revision.
    pub revision: i64,
}

impl Claim {
    /// The longest text that is kept, in bytes.
    pub const TEXT_LIMIT: usize = 64;

    /// A sender's text cut to the bound, at a character.
    #[must_use]
    pub fn cut(text: &str) -> String {
        // PostgreSQL's text cannot hold a zero byte, and the other control characters help nobody.
        let mut cut = String::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            if cut.len() + c.len_utf8() > Self::TEXT_LIMIT {
                break;
            }
            cut.push(c);
        }
        cut
    }

    /// What a readable report is about.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let Report { submission_id, key: Key { data_set, period, org_unit }, revision, content: _ } = report;
        Self {
            submission_id: Some(*submission_id),
            data_set: data_set.to_string(),
            period: period.to_string(),
            org_unit: org_unit.to_string(),
            revision: revision.get(),
        }
    }
}

/// A verdict, as it arrives to be settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Fit to count.
    Accepted(Accepted),
    /// Unfit.
    Rejected(Rejected),
}

impl Judged {
    /// Where the report comes from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        match self {
            Self::Accepted(accepted) => &accepted.provenance,
            Self::Rejected(rejected) => &rejected.provenance,
        }
    }

    /// The sender's name for the submission, where it could be read.
    #[must_use]
    pub fn submission_id(&self) -> Option<SubmissionId> {
        match self {
            Self::Accepted(accepted) => Some(accepted.report.submission_id),
            Self::Rejected(rejected) => rejected.claim.submission_id,
        }
    }
}

/// What became of an acknowledged report. It has exactly one fate, decided when it is settled and never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It counted, until a higher revision may have replaced it.
    Accepted,
    /// It did not count, for stated reasons.
    Rejected,
    /// It said again what had been said.
    Duplicate,
    /// A higher revision was there before it.
    Superseded,
}

impl Fate {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::Rejected => "REJECTED",
            Self::Duplicate => "DUPLICATE",
            Self::Superseded => "SUPERSEDED",
        }
    }

    /// The fate with a code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Accepted, Self::Rejected, Self::Duplicate, Self::Superseded].into_iter().find(|fate| fate.code() == code)
    }
}

/// An entry of the ledger: one acknowledged report and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Where it comes from.
    pub provenance: Provenance,
    /// What it was about.
    pub claim: Claim,
    /// Tells its content from another.
    pub digest: ContentDigest,
    /// What became of it.
    pub fate: Fate,
    /// Why, where it was rejected; what is odd about it, where it was accepted.
    pub violations: Violations,
}

/// A submission that is in the ledger already, with another fate than rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The submission.
    pub submission_id: SubmissionId,
    /// What it said.
    pub digest: ContentDigest,
}

/// A revision that counts no longer, or never did because a higher one was there first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The revision.
    pub accepted: Accepted,
    /// The position from which it does not count; its own where it never did.
    pub since: Position,
}

/// What one data set and period's tree gains.
#[derive(Debug)]
pub struct Sheet<'c> {
    /// The form.
    pub data_set: &'c DataSet,
    /// The span.
    pub period: Period,
    /// The tree in force at its end.
    pub vintage: &'c Vintage,
    /// What is added to each total.
    pub deltas: FxHashMap<TotalOf, Tally>,
}

/// What a settled batch changes.
#[derive(Debug, Default)]
pub struct Changes<'c> {
    /// Reports for keys that had none.
    pub new: Vec<Accepted>,
    /// Reports that take the place of another.
    pub replacing: Vec<Accepted>,
    /// Revisions that count no longer.
    pub superseded: Vec<Superseded>,
    /// One entry for each report of the batch that was not in the ledger.
    pub ledger: Vec<Settled>,
    /// The additions to totals.
    pub sheets: Vec<Sheet<'c>>,
}

/// Why a report could not be settled: the catalogue lacks what an accepted report names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The data set is not in this catalogue.
    #[error("an accepted report names data set {0}, which this catalogue has not; it was judged by another version")]
    DataSet(String),
    /// The unit is not in the tree of the period.
    #[error(
        "an accepted report names org unit {0} for {1}, which this catalogue has not; it was judged by another version"
    )]
    OrgUnit(String, String),
    /// The report has more cells than the data set.
    #[error(
        "an accepted report for {data_set} has {given} cells, this catalogue's form has {cells}; it was judged by another version"
    )]
    Cells {
        /// The data set.
        data_set: String,
        /// The report's cells.
        given: usize,
        /// The form's cells.
        cells: usize,
    },
}

/// A batch being settled. Knows what counts for every key and what every submission said.
#[derive(Debug)]
pub struct Book<'c> {
    catalogue: &'c Catalogue,
    standing: FxHashMap<Key, Standing>,
    known: FxHashMap<SubmissionId, ContentDigest>,
    settled: FxHashSet<Origin>,
    sheets: FxHashMap<(&'c str, Period), Sheet<'c>>,
    superseded: Vec<Superseded>,
    ledger: Vec<Settled>,
}

#[derive(Debug)]
struct Standing {
    accepted: Accepted,
    origin: StandingOrigin,
}

/// Tells what of a standing report is stored, and so what must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StandingOrigin {
    /// As it is.
    Stored,
    /// Another revision of its key.
    Replacing,
    /// Nothing.
    New,
}

impl<'c> Book<'c> {
    /// Opens a book with what is stored: the reports that count for the batch's keys, what the ledger has of its
    /// submissions, and which of its places in the log are settled already.
    #[must_use]
    pub fn open(catalogue: &'c Catalogue, standing: Vec<Accepted>, known: Vec<Known>, settled: Vec<Origin>) -> Self {
        let standing = standing
            .into_iter()
            .map(|accepted| (accepted.report.key.clone(), Standing { accepted, origin: StandingOrigin::Stored }));
        Self {
            catalogue,
            standing: standing.collect(),
            settled: settled.into_iter().collect(),
            known: known.into_iter().map(|known| (known.submission_id, known.digest)).collect(),
            sheets: FxHashMap::default(),
            superseded: Vec::new(),
            ledger: Vec::new(),
        }
    }

    /// Settles one verdict. One that is in the ledger already, because a validator judged its message twice, is passed over.
    ///
    /// # Errors
    /// When the report was judged by a catalogue that has what this one lacks; nothing of it is taken up then.
    pub fn settle(&mut self, judged: Judged) -> Result<(), SettleError> {
        if self.settled.contains(&judged.provenance().origin) {
            return Ok(());
        }
        match judged {
            Judged::Rejected(Rejected { provenance, claim, digest, violations }) => {
                self.enter(Settled { provenance, claim, digest, fate: Fate::Rejected, violations });
                Ok(())
            }
            Judged::Accepted(accepted) => self.settle_accepted(accepted),
        }
    }

    fn settle_accepted(&mut self, accepted: Accepted) -> Result<(), SettleError> {
        let sheet = self.sheet(&accepted.report.key)?;
        let unit = find_unit(&self.sheets[&sheet], &accepted.report)?;
        let entry = |fate, violations| Settled {
            provenance: accepted.provenance.clone(),
            claim: Claim::of(&accepted.report),
            digest: accepted.digest,
            fate,
            violations,
        };

        if let Some(said) = self.known.get(&accepted.report.submission_id) {
            let settled = if *said == accepted.digest {
                entry(Fate::Duplicate, Violations::default())
            } else {
                entry(Fate::Rejected, submission_id_reused().into())
            };
            self.enter(settled);
            return Ok(());
        }
        let Some(standing) = self.standing.get_mut(&accepted.report.key) else {
            self.enter(entry(Fate::Accepted, accepted.warnings.clone()));
            self.fold(sheet, unit, None, Some(&accepted.report.content));
            self.standing.insert(accepted.report.key.clone(), Standing { accepted, origin: StandingOrigin::New });
            return Ok(());
        };
        let counting = &standing.accepted;
        match accepted.report.revision.cmp(&counting.report.revision) {
            std::cmp::Ordering::Equal if accepted.digest == counting.digest => {
                self.enter(entry(Fate::Duplicate, Violations::default()));
            }
            std::cmp::Ordering::Equal => self.enter(entry(Fate::Rejected, revision_conflict(&accepted.report).into())),
            std::cmp::Ordering::Less => {
                self.enter(entry(Fate::Superseded, accepted.warnings.clone()));
                let since = accepted.provenance.position;
                self.superseded.push(Superseded { accepted, since });
            }
            std::cmp::Ordering::Greater => {
                let settled = entry(Fate::Accepted, accepted.warnings.clone());
                if standing.origin == StandingOrigin::Stored {
                    standing.origin = StandingOrigin::Replacing;
                }
                let since = accepted.provenance.position;
                let new = accepted.report.content.clone();
                let replaced = std::mem::replace(&mut standing.accepted, accepted);
                self.enter(settled);
                self.fold(sheet, unit, Some(&replaced.report.content), Some(&new));
                self.superseded.push(Superseded { accepted: replaced, since });
            }
        }
        Ok(())
    }

    fn enter(&mut self, settled: Settled) {
        // A submission that was rejected may be mended and sent again under its id.
        if let Some(id) = settled.claim.submission_id.filter(|_| settled.fate != Fate::Rejected) {
            self.known.entry(id).or_insert(settled.digest);
        }
        self.settled.insert(settled.provenance.origin);
        self.ledger.push(settled);
    }

    /// Finds or opens the sheet of a key's data set and period.
    fn sheet(&mut self, key: &Key) -> Result<(&'c str, Period), SettleError> {
        let catalogue = self.catalogue;
        let data_set = catalogue
            .find_data_set(key.data_set.as_str())
            .ok_or_else(|| SettleError::DataSet(key.data_set.to_string()))?;
        let name = (data_set.code().as_str(), key.period);
        self.sheets.entry(name).or_insert_with(|| Sheet {
            data_set,
            period: key.period,
            vintage: catalogue.vintage(data_set, key.period),
            deltas: FxHashMap::default(),
        });
        Ok(name)
    }

    fn fold(&mut self, sheet: (&'c str, Period), unit: UnitIx, old: Option<&Content>, new: Option<&Content>) {
        let change = Change { old: old.and_then(Content::values), new: new.and_then(Content::values) };
        if let Some(Sheet { data_set, vintage, deltas, .. }) = self.sheets.get_mut(&sheet) {
            fold(deltas, data_set, vintage, unit, change);
        }
    }

    /// Closes the book: everything that must be written down.
    #[must_use]
    pub fn close(self) -> Changes<'c> {
        let mut changes = Changes { superseded: self.superseded, ledger: self.ledger, ..Changes::default() };
        for Standing { accepted, origin } in self.standing.into_values() {
            match origin {
                StandingOrigin::Stored => {}
                StandingOrigin::Replacing => changes.replacing.push(accepted),
                StandingOrigin::New => changes.new.push(accepted),
            }
        }
        changes.sheets = self.sheets.into_values().filter(|sheet| !sheet.deltas.is_empty()).collect();
        changes
    }
}

fn find_unit(sheet: &Sheet<'_>, report: &Report) -> Result<UnitIx, SettleError> {
    let code = report.key.org_unit.as_str();
    let unit =
        sheet.vintage.find(code).ok_or_else(|| SettleError::OrgUnit(code.to_owned(), sheet.period.to_string()))?;
    let cells = sheet.data_set.cells().len();
    match report.content.values().map(|values| values.as_slice().len()) {
        // Fewer: judged before the form got more at its end. The rest is absent.
        Some(given) if given > cells => {
            Err(SettleError::Cells { data_set: sheet.data_set.code().to_string(), given, cells })
        }
        _ => Ok(unit),
    }
}

fn submission_id_reused() -> Violation {
    Violation {
        reason: Reason::SubmissionIdReused,
        severity: Severity::Error,
        field: "submission_id".to_owned(),
        message: Message {
            vi: "Mã lần gửi này đã dùng cho một báo cáo có nội dung khác; hãy gửi với một mã mới.".to_owned(),
            en: "this submission id was used for a report of other content; send with a new one".to_owned(),
        },
    }
}

fn revision_conflict(report: &Report) -> Violation {
    let (revision, unit) = (report.revision, &report.key.org_unit);
    Violation {
        reason: Reason::RevisionConflict,
        severity: Severity::Error,
        field: "revision".to_owned(),
        message: Message {
            vi: format!(
                "Lần sửa {revision} của đơn vị {unit} đã được ghi nhận với nội dung khác; để sửa, hãy gửi lần sửa cao hơn."
            ),
            en: format!(
                "revision {revision} of {unit} counts already with other content; to correct it send a higher revision"
            ),
        },
    }
}
