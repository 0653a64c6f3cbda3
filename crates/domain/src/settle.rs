//! Settling: which of the reports that come in count, and what that changes.
//!
//! A [`Book`] is opened with what is stored about the keys and submissions of a batch. Entries are settled one after
//! the other; each gets exactly one [`Fate`]. Closing the book gives the changes to write down.
//!
//! The outcome does not depend on the order of arrival: the highest revision of a key counts, the same revision with
//! the same content is a duplicate, with other content a conflict, and a lower one is superseded.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use rustc_hash::{FxHashMap, FxHashSet};
use time::Date;

use crate::{
    Catalogue, CatalogueVersion, Catalogues, ContentDigest, DataSetCode, Key, Message, OrgUnitCode, Period, Reason,
    Report, Severity, SubmissionId, Timestamp, Vintage, Violation, Violations,
    catalogue::{DataSet, TimeAggregation},
    fold::{Tally, TotalOf, fold},
    series::{Differences, Filed, Place, Turn},
    tree::UnitIx,
    words,
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
    /// Whether it has values and came in before the deadline. Of a report that counts: whether any of its revisions did.
    pub on_time: bool,
    /// What is odd about it. Of a report that was stored, only how much: the ledger lists it.
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

    /// What a sender said, cut to the bound; none of it where it looks like personal data, typed in a wrong place.
    #[must_use]
    pub fn said(text: &str) -> String {
        // What stands at the bound is looked at as a whole before it is cut.
        let beginning: String = text.chars().filter(|c| !c.is_control()).take(4 * Self::TEXT_LIMIT).collect();
        if words::personal_data(&beginning).is_some() { String::new() } else { Self::cut(&beginning) }
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

/// What the totals of one data set and period gain.
#[derive(Debug)]
pub struct Sheet<'c> {
    /// The catalogue by whose tree it is added.
    pub catalogue: &'c Catalogue,
    /// The form.
    pub data_set: &'c DataSet,
    /// The span: one of the data set's own, or a longer one.
    pub period: Period,
    /// The tree in force at its end.
    pub vintage: &'c Vintage,
    /// What is added to each total.
    pub deltas: FxHashMap<TotalOf, Tally>,
    /// What brought that about, in the order in which it was settled. The same report may occur several times in a row.
    pub causes: Vec<Cause>,
}

/// A report that added something to a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The unit whose totals it moves.
    pub unit: UnitIx,
    /// Whether it moves those of all units above as well.
    pub goes_up: bool,
    /// The report, by its place in the batch's [`Changes::ledger`].
    pub place: usize,
}

impl Cause {
    /// The units whose totals it moves.
    pub fn units(self, vintage: &Vintage) -> impl Iterator<Item = UnitIx> {
        vintage.with_ancestors(self.unit).take(if self.goes_up { usize::MAX } else { 1 })
    }
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
    /// The additions to totals. A total occurs in one of them.
    pub sheets: Vec<Sheet<'c>>,
}

/// Why a report could not be settled: what an accepted report names is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The catalogue it was judged by.
    #[error("an accepted report was judged by catalogue {0}, which was not provisioned")]
    Catalogue(CatalogueVersion),
    /// The data set is not in that catalogue.
    #[error("an accepted report names data set {1}, which its catalogue {0} has not")]
    DataSet(CatalogueVersion, DataSetCode),
    /// The unit is not in the tree of the period.
    #[error("an accepted report names org unit {1} for {2}, which its catalogue {0} has not")]
    OrgUnit(CatalogueVersion, OrgUnitCode, Period),
    /// The report has more cells than the data set.
    #[error("an accepted report for {data_set} has {given} cells, the form in its catalogue {version} has {cells}")]
    Cells {
        /// The catalogue.
        version: CatalogueVersion,
        /// The data set.
        data_set: DataSetCode,
        /// The report's cells.
        given: usize,
        /// The form's cells.
        cells: usize,
    },
}

/// A unit's reports of one form that a batch needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesOf {
    /// The form.
    pub data_set: DataSetCode,
    /// The unit.
    pub org_unit: OrgUnitCode,
    /// The first of the batch's periods.
    pub from: Period,
    /// The last of them, where reports for other periods do not matter: the form has no longer ones.
    pub to: Option<Period>,
    /// The catalogue that judged the batch's reports of it; none where several did.
    pub judged_by: Option<CatalogueVersion>,
}

/// The reports a batch needs to know: for each of its units and forms those for its own periods and, where the form has longer ones,
/// all later and the last that has values before them.
#[must_use]
pub fn needed<'a>(catalogues: &Catalogues, batch: impl IntoIterator<Item = &'a Accepted>) -> Vec<SeriesOf> {
    let mut needed: FxHashMap<(&DataSetCode, &OrgUnitCode), SeriesOf> = FxHashMap::default();
    for Accepted { provenance: Provenance { catalogue, .. }, report, .. } in batch {
        let Key { data_set, period, org_unit } = &report.key;
        let series = needed.entry((data_set, org_unit)).or_insert_with(|| SeriesOf {
            data_set: data_set.clone(),
            org_unit: org_unit.clone(),
            from: *period,
            to: Some(*period).filter(|_| !has_longer(catalogues, catalogue, data_set)),
            judged_by: Some(catalogue.clone()),
        });
        series.from = series.from.min(*period);
        series.to = series.to.map(|to| to.max(*period)).filter(|_| series.judged_by.as_ref() == Some(catalogue));
        series.judged_by = series.judged_by.take().filter(|version| version == catalogue);
    }
    needed.into_values().collect()
}

/// Whether a form has longer periods in a catalogue, as far as that is known.
fn has_longer(catalogues: &Catalogues, version: &CatalogueVersion, data_set: &DataSetCode) -> bool {
    let form = catalogues.find(version).and_then(|catalogue| catalogue.find_data_set(data_set.as_str()));
    form.is_none_or(|form| !form.longer_periods().is_empty())
}

/// Of the series that were needed those of which more must be known, with the first period that matters.
///
/// The report before the batch's is enough where it has every value whose latest counts: no older one's does then. That
/// holds within one catalogue. Where several judged the series they may have other cells and begin longer periods elsewhere,
/// so that the one before may not stand for those before it.
///
/// # Errors
/// When a report names what is not to be had.
pub fn needed_further(
    catalogues: &Catalogues,
    needed: &[SeriesOf],
    standing: &[Accepted],
) -> Result<Vec<SeriesOf>, SettleError> {
    let mut loaded: FxHashMap<(&DataSetCode, &OrgUnitCode), Vec<&Accepted>> = FxHashMap::default();
    for accepted in standing {
        let Key { data_set, org_unit, .. } = &accepted.report.key;
        loaded.entry((data_set, org_unit)).or_default().push(accepted);
    }
    let mut further = Vec::new();
    for series in needed {
        let Some(loaded) = loaded.get(&(&series.data_set, &series.org_unit)) else { continue };
        if series.to.is_some() {
            // What counts there may be from before the form gave up its longer periods.
            let has_longer = |of: &&Accepted| has_longer(catalogues, &of.provenance.catalogue, &series.data_set);
            if let Some(stored) = loaded.iter().copied().find(has_longer) {
                let Place { data_set, .. } = Place::find(catalogues, stored)?;
                let first = Period::containing_or_first(data_set.period_type(), data_set.calendar(), Date::MIN);
                further.extend(first.map(|from| SeriesOf { from, to: None, ..series.clone() }));
            }
            continue;
        }
        let before = loaded.iter().filter(|accepted| accepted.report.key.period < series.from);
        let Some(before) = before.max_by_key(|accepted| accepted.report.key.period) else { continue };
        let is_of_one = |accepted: &&Accepted| Some(&accepted.provenance.catalogue) == series.judged_by.as_ref();
        if loaded.iter().all(is_of_one) && has_every_latest(&Place::find(catalogues, before)?, before) {
            continue;
        }
        // The first day of any longer period that the one before lies in, by any catalogue.
        let period = before.report.key.period;
        let first = catalogues.all().filter_map(|catalogue| {
            let data_set = catalogue.find_data_set(series.data_set.as_str())?;
            let starts = catalogue.windows(data_set, period).into_iter();
            let first = starts.map(|window| window.span(data_set.calendar()).first).min()?;
            Period::containing_or_first(data_set.period_type(), data_set.calendar(), first)
        });
        if let Some(from) = first.min().filter(|first| *first < period) {
            further.push(SeriesOf { from, ..series.clone() });
        }
    }
    Ok(further)
}

/// Whether a report has a value in each cell of its unit whose latest value counts.
fn has_every_latest(place: &Place<'_>, accepted: &Accepted) -> bool {
    let Some(values) = accepted.report.content.values() else { return false };
    let Place { catalogue, data_set, period: _, tree, unit } = *place;
    data_set.cells().iter().enumerate().all(|(at, cell)| {
        cell.element.time_aggregation != TimeAggregation::Last
            || values.get(at).is_some()
            || !catalogue.fills(cell, tree, unit)
    })
}

/// A batch being settled. Knows what counts for every key and what every submission said.
#[derive(Debug)]
pub struct Book<'c> {
    catalogues: &'c Catalogues,
    standing: FxHashMap<DataSetCode, FxHashMap<OrgUnitCode, BTreeMap<Period, Standing<'c>>>>,
    known: FxHashMap<SubmissionId, ContentDigest>,
    settled: FxHashSet<Origin>,
    windows: FxHashMap<SheetName<'c>, Arc<[Period]>>,
    sheets: FxHashMap<SheetName<'c>, Sheet<'c>>,
    superseded: Vec<Superseded>,
    ledger: Vec<Settled>,
}

/// Catalogue version, data set and period.
type SheetName<'c> = (&'c str, &'c str, Period);

/// A report that counts, with what is looked up about it once: a long series is walked for each of its reports.
#[derive(Clone, Debug)]
struct Standing<'c> {
    accepted: Accepted,
    origin: StandingOrigin,
    place: Place<'c>,
    /// The longer periods it lies in.
    windows: Arc<[Period]>,
}

impl<'c> Standing<'c> {
    /// As it counts; none where it is withdrawn.
    fn filed(&self) -> Option<Filed<'_, 'c>> {
        let Accepted { report, on_time, warnings, .. } = &self.accepted;
        let warned = !warnings.is_empty() || warnings.omitted() > 0;
        let values = report.content.values()?;
        Some(Filed { place: self.place, values, on_time: *on_time, warned, windows: &self.windows })
    }
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

impl StandingOrigin {
    /// What is stored is not what stands any more.
    fn change(&mut self) {
        if *self == Self::Stored {
            *self = Self::Replacing;
        }
    }
}

impl<'c> Book<'c> {
    /// Opens a book with what is stored: the reports that count for the batch's keys and around them ([`needed`],
    /// [`needed_further`]), what the ledger has of its submissions, and which of its places in the log are settled already.
    ///
    /// # Errors
    /// When a stored report names what is not to be had.
    pub fn open(
        catalogues: &'c Catalogues,
        standing: Vec<Accepted>,
        known: Vec<Known>,
        settled: Vec<Origin>,
    ) -> Result<Self, SettleError> {
        let mut book = Self {
            catalogues,
            standing: FxHashMap::default(),
            settled: settled.into_iter().collect(),
            known: known.into_iter().map(|known| (known.submission_id, known.digest)).collect(),
            windows: FxHashMap::default(),
            sheets: FxHashMap::default(),
            superseded: Vec::new(),
            ledger: Vec::new(),
        };
        for accepted in standing {
            let key = accepted.report.key.clone();
            let standing = book.standing(accepted, StandingOrigin::Stored)?;
            book.series(&key).insert(key.period, standing);
        }
        Ok(book)
    }

    fn standing(&mut self, accepted: Accepted, origin: StandingOrigin) -> Result<Standing<'c>, SettleError> {
        let place = Place::find(self.catalogues, &accepted)?;
        let windows = || place.catalogue.windows(place.data_set, place.period).into();
        let windows = Arc::clone(self.windows.entry(sheet_name(place, place.period)).or_insert_with(windows));
        Ok(Standing { accepted, origin, place, windows })
    }

    /// What counts of a unit's reports of one form.
    fn series(&mut self, key: &Key) -> &mut BTreeMap<Period, Standing<'c>> {
        let of_form = self.standing.entry(key.data_set.clone()).or_default();
        of_form.entry(key.org_unit.clone()).or_default()
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
        let key = accepted.report.key.clone();
        let new = self.standing(accepted, StandingOrigin::New)?;
        let accepted = &new.accepted;
        let entry = |fate, violations| Settled {
            provenance: accepted.provenance.clone(),
            claim: Claim::of(&accepted.report),
            digest: accepted.digest,
            fate,
            violations,
        };

        if let Some(said) = self.known.get(&accepted.report.submission_id) {
            if *said != accepted.digest {
                self.enter(entry(Fate::Rejected, submission_id_reused().into()));
                return Ok(());
            }
            self.enter(entry(Fate::Duplicate, Violations::default()));
            return self.said_again(&key, new.accepted);
        }
        let Some(standing) = self.series(&key).get_mut(&key.period) else {
            self.enter(entry(Fate::Accepted, accepted.warnings.clone()));
            self.series(&key).insert(key.period, new);
            return self.turn(&key, None);
        };
        let counting = &standing.accepted;
        match accepted.report.revision.cmp(&counting.report.revision) {
            std::cmp::Ordering::Equal if accepted.digest == counting.digest => {
                self.enter(entry(Fate::Duplicate, Violations::default()));
                self.said_again(&key, new.accepted)
            }
            std::cmp::Ordering::Equal => {
                self.enter(entry(Fate::Rejected, revision_conflict(&accepted.report).into()));
                Ok(())
            }
            std::cmp::Ordering::Less => {
                self.enter(entry(Fate::Superseded, accepted.warnings.clone()));
                let (on_time, since) = (accepted.on_time, accepted.provenance.position);
                self.superseded.push(Superseded { accepted: new.accepted, since });
                self.was_on_time(&key, on_time)
            }
            std::cmp::Ordering::Greater => {
                let settled = entry(Fate::Accepted, accepted.warnings.clone());
                let since = accepted.provenance.position;
                let mut origin = standing.origin;
                origin.change();
                let replaced = std::mem::replace(standing, Standing { origin, ..new });
                standing.accepted.on_time |= replaced.accepted.on_time;
                self.enter(settled);
                self.turn(&key, Some(&replaced))?;
                self.superseded.push(Superseded { accepted: replaced.accepted, since });
                Ok(())
            }
        }
    }

    /// What came in on time shows that the unit was, in whatever order it and its repetitions are settled. A repetition that
    /// does so is kept among the revisions: totals as they stood are counted from those.
    fn said_again(&mut self, key: &Key, again: Accepted) -> Result<(), SettleError> {
        let standing = self.series(key).get(&key.period).map(|standing| &standing.accepted);
        if standing.is_some_and(|standing| !standing.on_time && again.report.revision <= standing.report.revision) {
            self.was_on_time(key, again.on_time)?;
            if again.on_time {
                let since = again.provenance.position;
                self.superseded.push(Superseded { accepted: again, since });
            }
        }
        Ok(())
    }

    /// Takes note that one of a key's revisions came in before the deadline, though it does not count itself.
    fn was_on_time(&mut self, key: &Key, on_time: bool) -> Result<(), SettleError> {
        let Some(standing) = self.series(key).get_mut(&key.period) else { return Ok(()) };
        if !on_time || standing.accepted.on_time {
            return Ok(());
        }
        let before = standing.clone();
        standing.accepted.on_time = true;
        standing.origin.change();
        self.turn(key, Some(&before))
    }

    fn enter(&mut self, settled: Settled) {
        // A submission that was rejected may be mended and sent again under its id.
        if let Some(id) = settled.claim.submission_id.filter(|_| settled.fate != Fate::Rejected) {
            self.known.entry(id).or_insert(settled.digest);
        }
        self.settled.insert(settled.provenance.origin);
        self.ledger.push(settled);
    }

    /// Adds to all totals what it means that a key's report was `before` and is what stands now. The newest entry of the
    /// ledger is why.
    fn turn(&mut self, key: &Key, before: Option<&Standing<'c>>) -> Result<(), SettleError> {
        let series = std::mem::take(self.series(key));
        let differences = differences(key.period, before, &series);
        *self.series(key) = series;
        let newest = self.ledger.len().saturating_sub(1);
        for (period, differences) in differences {
            for (place, entry, difference) in differences {
                let Sheet { data_set, vintage, deltas, causes, .. } = self.sheet(place, period);
                fold(deltas, data_set, vintage, entry, &difference);
                if !difference.is_zero() {
                    causes.push(Cause { unit: entry.unit, goes_up: true, place: newest });
                }
            }
        }
        Ok(())
    }

    /// Finds or opens the sheet of a period's totals, by the catalogue a report was judged by.
    fn sheet(&mut self, place: Place<'c>, period: Period) -> &mut Sheet<'c> {
        let Place { catalogue, data_set, .. } = place;
        let open = || Sheet {
            catalogue,
            data_set,
            period,
            vintage: place.vintage(period),
            deltas: FxHashMap::default(),
            causes: Vec::new(),
        };
        self.sheets.entry(sheet_name(place, period)).or_insert_with(open)
    }

    /// Closes the book: everything that must be written down.
    #[must_use]
    pub fn close(self) -> Changes<'c> {
        let mut changes = Changes { superseded: self.superseded, ledger: self.ledger, ..Changes::default() };
        let standing = self.standing.into_values().flat_map(FxHashMap::into_values).flat_map(BTreeMap::into_values);
        for Standing { accepted, origin, .. } in standing {
            match origin {
                StandingOrigin::Stored => {}
                StandingOrigin::Replacing => changes.replacing.push(accepted),
                StandingOrigin::New => changes.new.push(accepted),
            }
        }
        let version = self.catalogues.current().version();
        let mut sheets: Vec<_> = self.sheets.into_values().filter(|sheet| !sheet.deltas.is_empty()).collect();
        // What is current first: a total that several catalogues add to is named by it.
        sheets.sort_by_key(|sheet| sheet.catalogue.version() != version);
        for sheet in sheets {
            merge(&mut changes.sheets, sheet);
        }
        changes
    }
}

/// What it means for the totals of each period that a unit's report for one was `before` and is what the series has.
fn differences<'c>(
    period: Period,
    before: Option<&Standing<'c>>,
    series: &BTreeMap<Period, Standing<'c>>,
) -> Vec<(Period, Differences<'c>)> {
    let earlier: Vec<_> = series.range(..period).rev().filter_map(|(_, standing)| standing.filed()).collect();
    let later = series.range((Bound::Excluded(period), Bound::Unbounded));
    let later: Vec<_> = later.filter_map(|(_, standing)| standing.filed()).collect();
    let turn = Turn {
        period,
        before: before.and_then(Standing::filed),
        after: series.get(&period).and_then(Standing::filed),
        earlier: &earlier,
        later: &later,
    };
    let windows = turn.windows();
    let longer = windows.into_iter().map(|window| (window, turn.within(window)));
    std::iter::once((period, turn.own())).chain(longer).collect()
}

fn sheet_name<'c>(place: Place<'c>, period: Period) -> SheetName<'c> {
    (place.catalogue.version().as_str(), place.data_set.code().as_str(), period)
}

/// Adds a sheet to those that are there. Where another catalogue's sheet has the same totals, they go into that one, so that
/// each total occurs once.
fn merge<'c>(sheets: &mut Vec<Sheet<'c>>, mut sheet: Sheet<'c>) {
    let is_same =
        |other: &&mut Sheet<'c>| other.period == sheet.period && other.data_set.code() == sheet.data_set.code();
    for other in sheets.iter_mut().filter(is_same) {
        let same_total = |(unit, level): TotalOf| -> Option<TotalOf> {
            let unit = other.vintage.find(sheet.vintage.unit(unit).code.as_str())?;
            Some((unit, other.catalogue.find_level(sheet.catalogue.level(level).code.as_str())?))
        };
        let (there, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut sheet.deltas).into_iter().partition(|(total, _)| same_total(*total).is_some());
        let there: Vec<_> =
            there.into_iter().filter_map(|(total, delta)| same_total(total).map(|total| (total, delta))).collect();
        for (total, delta) in there {
            let sum = other.deltas.entry(total).or_insert_with(|| Tally::zero(delta.sums.len()));
            // Within the bounds of a batch: the stored total is where a sum could overflow.
            let added = sum.add(&delta);
            debug_assert!(added.is_ok(), "the differences of a batch fit");
        }
        sheet.deltas = rest.into_iter().collect();
        // The units above may be others there: each is named by itself.
        let moved = sheet.causes.iter().flat_map(|cause| {
            let there =
                cause.units(sheet.vintage).filter_map(|ix| other.vintage.find(sheet.vintage.unit(ix).code.as_str()));
            there.map(|unit| Cause { unit, goes_up: false, place: cause.place })
        });
        let moved: Vec<_> = moved.collect();
        other.causes.extend(moved);
        // A report that takes the place of one judged by another catalogue is in both: once, in its order, for whoever counts.
        other.causes.sort_by_key(|cause| cause.place);
    }
    if !sheet.deltas.is_empty() {
        sheets.push(sheet);
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
