//! Judging: from what somebody claims to a report, or to everything that is wrong with it.
//!
//! [`read`] looks everything up and needs only the catalogue and the instant the report came in; the collector uses it to
//! refuse at once what can never count. [`weigh`] adds what needs to know more: rules, the unit's history, closed periods.
//! The validator does both, and its word is the verdict.

mod content;

use time::{Date, OffsetDateTime};

use crate::{
    Catalogue, Content, ContentDigest, Key, Message, Period, PeriodType, Reason, Report, Revision, Severity,
    SubmissionId, Timestamp, UnitIx, Values, Vintage, Violation, Violations,
    catalogue::{DataSet, ValueType},
    draft::Draft,
    judge::content::Form,
    number::{ENGLISH, VIETNAMESE},
    outlier,
    words::shown,
};

/// The verdict on a claimed report.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may count.
    Accepted {
        /// The report.
        report: Report,
        /// What tells its content from another.
        digest: ContentDigest,
        /// Whether it has values and came in before the deadline; also where there is no deadline.
        on_time: bool,
        /// What is odd about it without stopping it.
        warnings: Violations,
    },
    /// It may not, for these reasons.
    Rejected(Violations),
}

/// What weighing a report needs to know besides the report.
#[derive(Clone, Copy, Debug)]
pub struct Context<'h> {
    /// When the collector took the report.
    pub received_at: Timestamp,
    /// What counts for the unit in the period just before, where anything does.
    pub previous: Option<&'h Values>,
    /// What counts for the unit in earlier periods, newest first. The first [`outlier::MOST`] are looked at.
    pub history: &'h [Values],
    /// Whether the period, should it be closed, was opened again for the unit when the report came in.
    pub is_reopened: bool,
}

impl Context<'_> {
    /// Of a report about whose unit nothing is known.
    #[must_use]
    pub const fn at(received_at: Timestamp) -> Self {
        Self { received_at, previous: None, history: &[], is_reopened: false }
    }
}

/// How many earlier reports of a unit weighing one of its reports looks at: none where nothing in the form looks back.
#[must_use]
pub fn history_of_interest(data_set: &DataSet) -> usize {
    if !data_set.outliers().is_empty() {
        outlier::MOST
    } else {
        usize::from(data_set.rules().iter().any(|rule| rule.looks_back()))
    }
}

/// Whether a period is closed at an instant, unless somebody opened it again.
#[must_use]
pub fn is_closed(catalogue: &Catalogue, data_set: &DataSet, period: Period, at: Timestamp) -> bool {
    catalogue.closes_at(data_set, period).is_some_and(|closes_at| at >= closes_at)
}

/// Weighs a report that [`read`] has read.
///
/// A rule that looks back and an outlier only ever warn: what is stored depends on the order of arrival, and whether a report
/// counts may not.
#[must_use]
pub fn weigh(catalogue: &Catalogue, data_set: &DataSet, report: Report, context: &Context<'_>) -> Verdict {
    let mut violations = Violations::default();
    if !context.is_reopened {
        refuse_closed(catalogue, data_set, report.key.period, context.received_at, &mut violations);
    }
    if let Content::Values(values) = &report.content {
        let vintage = catalogue.vintage(data_set, report.key.period);
        let unit = vintage.find(report.key.org_unit.as_str());
        // Of a unit whose level does not fill one of its cells a rule asks what the unit may not say.
        let fills = |cell: usize| {
            unit.zip(data_set.cells().get(cell)).is_none_or(|(unit, cell)| catalogue.fills(cell, vintage, unit))
        };
        for rule in data_set.rules() {
            if let Some(message) = rule.check(values, context.previous).filter(|_| rule.cells().all(fills)) {
                let severity = if rule.looks_back() { Severity::Warning } else { rule.severity };
                let (reason, field) = (Reason::RuleBroken, rule.id.clone());
                violations.push(Violation { reason, severity, field, message });
            }
        }
        for place in data_set.outliers() {
            warn_of_outlier(data_set, *place, values, context.history, &mut violations);
        }
    }
    if violations.has_error() {
        return Verdict::Rejected(violations);
    }
    let on_time =
        report.content.values().is_some() && is_on_time(catalogue, data_set, &report.key, context.received_at);
    let digest = ContentDigest::of(data_set, &report.key, &report.content);
    Verdict::Accepted { report, digest, on_time, warnings: violations }
}

fn refuse_closed(
    catalogue: &Catalogue,
    data_set: &DataSet,
    period: Period,
    received_at: Timestamp,
    violations: &mut Violations,
) {
    let closes_at = catalogue.closes_at(data_set, period).filter(|closes_at| received_at >= *closes_at);
    let Some(closes_at) = closes_at else { return };
    // It closes at midnight: the day that ends then is the last on which it was open.
    let day = day_of(catalogue, closes_at).previous_day().unwrap_or(Date::MIN);
    violations.error(
        Reason::PeriodClosed,
        "period",
        format!(
            "Kỳ {period} của biểu mẫu “{}” đã đóng sau ngày {}; hãy đề nghị cấp trên mở lại kỳ này.",
            data_set.name_vi(),
            day_vi(day)
        ),
        format!("{period} of `{}` was closed after {day}; ask for it to be opened again", data_set.code()),
    );
}

/// Whether an instant is before the deadline for a unit's report, where it has one.
pub(crate) fn is_on_time(catalogue: &Catalogue, data_set: &DataSet, key: &Key, at: Timestamp) -> bool {
    let vintage = catalogue.vintage(data_set, key.period);
    let Some(unit) = vintage.find(key.org_unit.as_str()).map(|unit| vintage.unit(unit)) else { return true };
    let deadline = catalogue.deadline(data_set, key.period, unit.level, unit.is_leaf());
    deadline.is_none_or(|deadline| at < deadline)
}

fn warn_of_outlier(data_set: &DataSet, place: usize, values: &Values, history: &[Values], violations: &mut Violations) {
    let (Some(value), Some(cell)) = (values.get(place), data_set.cells().get(place)) else { return };
    let decimals = u32::from(cell.element.value_type.decimals());
    let earlier = history.iter().take(outlier::MOST).filter_map(|earlier| earlier.get(place));
    let Some(usual) = outlier::usual(earlier, 10_i64.saturating_pow(decimals)) else { return };
    if usual.contains(&value) {
        return;
    }
    // A count that can be as low as nothing can be no lower.
    let low = if cell.element.value_type == ValueType::Signed { *usual.start() } else { (*usual.start()).max(0) };
    let [value_vi, low_vi, high_vi] = [value, low, *usual.end()].map(|number| VIETNAMESE.write(number, decimals));
    let [value_en, low_en, high_en] = [value, low, *usual.end()].map(|number| ENGLISH.write(number, decimals));
    violations.push(Violation {
        reason: Reason::Outlier,
        severity: Severity::Warning,
        field: cell.to_string(),
        message: Message {
            vi: format!(
                "{}{}: {value_vi} khác thường so với các kỳ trước của đơn vị (thường từ {low_vi} đến {high_vi}); hãy kiểm tra lại.",
                cell.element.name_vi,
                cell.option.as_ref().map_or(String::new(), |option| format!(" – {}", option.name_vi))
            ),
            en: format!(
                "{cell}: {value_en} is unlike the unit's earlier values, by which {low_en} to {high_en} is usual; please check"
            ),
        },
    });
}

/// The day of an instant at the place whose days are meant; the last of the year 9999 where it would be later.
#[must_use]
pub fn day_of(catalogue: &Catalogue, instant: Timestamp) -> Date {
    OffsetDateTime::from(instant).checked_to_offset(catalogue.utc_offset()).map_or(Date::MAX, OffsetDateTime::date)
}

/// `09/06/2023`
pub(crate) fn day_vi(day: Date) -> String {
    format!("{:02}/{:02}/{}", day.day(), u8::from(day.month()), day.year())
}

/// Reads a claimed report that the collector took at an instant: everything it names exists, is of the right type and may be
/// reported by that unit, and its period has begun.
///
/// # Errors
/// With every violation found.
pub fn read<'c>(
    catalogue: &'c Catalogue,
    draft: &Draft<'_>,
    received_at: Timestamp,
) -> Result<(Report, &'c DataSet), Violations> {
    let mut violations = Violations::default();
    let submission_id = read_submission_id(draft.submission_id, &mut violations);
    let revision = read_revision(draft.revision, &mut violations);
    let data_set = find_data_set(catalogue, draft.data_set, &mut violations);
    let period = data_set.and_then(|data_set| read_period(data_set, draft.period, &mut violations));
    let Some(data_set) = data_set else { return Err(violations) };
    let today = day_of(catalogue, received_at);
    let Some(period) = period else {
        // Which unit is meant depends on the period; what its cells may hold does not.
        Form { catalogue, data_set, vintage: catalogue.tree().on(today), unit: None, today }
            .read(draft, &mut violations);
        return Err(violations);
    };

    refuse_early(catalogue, data_set, period, received_at, &mut violations);
    let vintage = catalogue.vintage(data_set, period);
    let unit = find_unit(vintage, draft.org_unit, data_set, period, &mut violations);
    if let Some(unit) = unit {
        refuse_other_levels(catalogue, data_set, vintage, unit, &mut violations);
    }
    let content = Form { catalogue, data_set, vintage, unit, today }.read(draft, &mut violations);
    match (submission_id, revision, unit) {
        (Some(submission_id), Some(revision), Some(unit)) if violations.is_empty() => {
            let org_unit = vintage.unit(unit).code.clone();
            let key = Key { data_set: data_set.code().clone(), period, org_unit };
            Ok((Report { submission_id, key, revision, content }, data_set))
        }
        _ => Err(violations),
    }
}

/// What is wrong with a request that holds no report.
#[must_use]
pub fn no_report() -> Violations {
    let mut violations = Violations::default();
    violations.error(Reason::ReportMissing, "", "Yêu cầu không có báo cáo.", "there is no report in the request");
    violations
}

/// Reads a submission id; what is wrong is told of the field `submission_id`.
pub fn read_submission_id(text: &str, violations: &mut Violations) -> Option<SubmissionId> {
    let id = uuid::Uuid::try_parse(text).ok().filter(|id| !id.is_nil());
    if id.is_none() {
        violations.error(
            Reason::SubmissionIdMalformed,
            "submission_id",
            "Mã lần gửi phải là một UUID, ví dụ 0192f0c1-2b3c-7d4e-8f50-112233445566.",
            "must be a UUID such as 0192f0c1-2b3c-7d4e-8f50-112233445566",
        );
    }
    id.map(SubmissionId)
}

fn read_revision(number: i64, violations: &mut Violations) -> Option<Revision> {
    let revision = Revision::new(number).ok();
    if revision.is_none() {
        violations.error(
            Reason::RevisionOutOfRange,
            "revision",
            format!("Lần sửa {number} không hợp lệ: phải là số từ 0 đến {}.", Revision::MOST),
            format!("{number} is no revision; one is 0 to {}", Revision::MOST),
        );
    }
    revision
}

/// Finds the data set with a code; that there is none is told of the field `data_set`.
pub fn find_data_set<'c>(catalogue: &'c Catalogue, code: &str, violations: &mut Violations) -> Option<&'c DataSet> {
    let found = catalogue.find_data_set(code);
    if found.is_none() {
        let known =
            catalogue.data_sets().iter().map(|data_set| data_set.code().as_str()).collect::<Vec<_>>().join(", ");
        violations.error(
            Reason::DataSetUnknown,
            "data_set",
            format!("Không có biểu mẫu “{}”. Các biểu mẫu hiện có: {known}.", shown(code)),
            format!("there is no data set `{}`; there are {known}", shown(code)),
        );
    }
    found
}

/// Reads a period for which a data set is reported; what is wrong is told of the field `period`.
pub fn read_period(data_set: &DataSet, text: &str, violations: &mut Violations) -> Option<Period> {
    let (kind, example) = (data_set.period_type(), data_set.period_type().example());
    match text.parse::<Period>() {
        Ok(period) if period.kind() == kind => Some(period),
        Ok(period) => {
            violations.error(
                Reason::PeriodTypeWrong,
                "period",
                format!(
                    "Biểu mẫu “{}” báo cáo theo {} (ví dụ {example}), không theo {}.",
                    data_set.name_vi(),
                    kind.name_vi(),
                    period.kind().name_vi()
                ),
                format!(
                    "`{}` is reported by {kind} (such as {example}), {period} is a {}",
                    data_set.code(),
                    period.kind()
                ),
            );
            None
        }
        Err(error) => {
            violations.error(
                Reason::PeriodMalformed,
                "period",
                format!(
                    "Kỳ báo cáo “{}” không hợp lệ; biểu mẫu này báo cáo theo {}, ví dụ {example}.",
                    shown(text),
                    kind.name_vi()
                ),
                format!(
                    "`{}` is no period: {error}; this data set is reported by {kind}, such as {example}",
                    shown(text)
                ),
            );
            None
        }
    }
}

fn refuse_early(
    catalogue: &Catalogue,
    data_set: &DataSet,
    period: Period,
    received_at: Timestamp,
    violations: &mut Violations,
) {
    if received_at >= catalogue.starts_at(data_set, period) {
        return;
    }
    let first = period.span(data_set.calendar()).first;
    violations.error(
        Reason::PeriodNotStarted,
        "period",
        format!(
            "Kỳ {period} của biểu mẫu “{}” chưa bắt đầu: từ ngày {} mới báo cáo được.",
            data_set.name_vi(),
            day_vi(first)
        ),
        format!("{period} of `{}` has not begun; it is reported from {first} on", data_set.code()),
    );
}

/// Finds the unit with a code in the tree of a period; that there is none is told of the field `org_unit`.
pub fn find_unit(
    vintage: &Vintage,
    code: &str,
    data_set: &DataSet,
    period: Period,
    violations: &mut Violations,
) -> Option<UnitIx> {
    let found = vintage.find(code);
    if found.is_none() {
        let (code, last) = (shown(code), period.span(data_set.calendar()).last);
        // `latest` has no last day.
        let (vi, en) = match period.kind() {
            PeriodType::Latest => (format!("trong cây đơn vị của {period}"), format!("in the tree of {period}")),
            _ => (
                format!("vào ngày {}, ngày cuối kỳ {period}", day_vi(last)),
                format!("on {last}, the last day of {period}"),
            ),
        };
        violations.error(
            Reason::OrgUnitUnknown,
            "org_unit",
            format!("Không có đơn vị mã “{code}” {vi}; hãy dùng mã đơn vị của ngày đó."),
            format!("no org unit has the code `{code}` {en}; use the unit's code of then"),
        );
    }
    found
}

fn refuse_other_levels(
    catalogue: &Catalogue,
    data_set: &DataSet,
    vintage: &Vintage,
    unit: UnitIx,
    violations: &mut Violations,
) {
    if catalogue.reports(data_set, vintage, unit) {
        return;
    }
    let name = |level| catalogue.level(level);
    let levels_vi = data_set.levels().iter().map(|level| name(level).in_sentence_vi()).collect::<Vec<_>>().join("; ");
    let levels_en = data_set.levels().iter().map(|level| name(level).code.as_str()).collect::<Vec<_>>().join(", ");
    let (code, own) = (&vintage.unit(unit).code, name(vintage.unit(unit).level));
    violations.error(
        Reason::LevelNotReporting,
        "org_unit",
        format!("Biểu mẫu “{}” do {levels_vi} báo cáo; “{code}” thuộc {}.", data_set.name_vi(), own.in_sentence_vi()),
        format!("`{}` is reported by {levels_en}; `{code}` is a {}", data_set.code(), own.code),
    );
}

impl Violations {
    /// Whether a violation of that reason is listed.
    #[must_use]
    pub fn contains(&self, reason: Reason) -> bool {
        self.list().iter().any(|violation| violation.reason == reason && violation.severity == Severity::Error)
    }
}
