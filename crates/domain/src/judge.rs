//! Judging: from what somebody claims to a report, or to everything that is wrong with it.
//!
//! [`read`] looks everything up and needs only the catalogue; the collector uses it to refuse at once what can never
//! count. [`judge`] adds the data set's rules; the validator uses it, and its word is the verdict.

use crate::{
    CELL_LIMIT, Catalogue, Content, ContentDigest, Key, Period, Reason, Report, Revision, Severity, SubmissionId,
    UnitIx, Vintage, Violation, Violations,
    catalogue::{Cell, DataSet, ValueType},
    draft::{Draft, DraftValue, Given},
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
        /// What is odd about it without stopping it.
        warnings: Violations,
    },
    /// It may not, for these reasons.
    Rejected(Violations),
}

/// Judges a claimed report by the catalogue and the rules of its data set.
#[must_use]
pub fn judge(catalogue: &Catalogue, draft: &Draft<'_>) -> Verdict {
    let (report, data_set) = match read(catalogue, draft) {
        Ok(read) => read,
        Err(violations) => return Verdict::Rejected(violations),
    };
    let mut violations = Violations::default();
    if let Content::Values(values) = &report.content {
        for rule in data_set.rules() {
            if let Some(message) = rule.check(values, None) {
                let (reason, field) = (Reason::RuleBroken, rule.id.clone());
                violations.push(Violation { reason, severity: rule.severity, field, message });
            }
        }
    }
    if violations.has_error() {
        return Verdict::Rejected(violations);
    }
    let digest = ContentDigest::of(data_set, &report.key, &report.content);
    Verdict::Accepted { report, digest, warnings: violations }
}

/// Reads a claimed report: everything it names exists, is of the right type and may be reported by that unit.
///
/// # Errors
/// With every violation found.
pub fn read<'c>(catalogue: &'c Catalogue, draft: &Draft<'_>) -> Result<(Report, &'c DataSet), Violations> {
    let mut violations = Violations::default();
    let submission_id = read_submission_id(draft.submission_id, &mut violations);
    let revision = read_revision(draft.revision, &mut violations);
    let data_set = find_data_set(catalogue, draft.data_set, &mut violations);
    let period = data_set.and_then(|data_set| read_period(data_set, draft.period, &mut violations));
    let (Some(data_set), Some(period)) = (data_set, period) else { return Err(violations) };

    let vintage = catalogue.vintage(data_set, period);
    let unit = find_unit(vintage, draft.org_unit, period, &mut violations);
    if let Some(unit) = unit {
        refuse_other_levels(catalogue, data_set, vintage, unit, &mut violations);
    }
    let content = read_content(catalogue, data_set, vintage, unit, draft, &mut violations);
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

/// Finds the unit with a code in the tree of a period; that there is none is told of the field `org_unit`.
pub fn find_unit(vintage: &Vintage, code: &str, period: Period, violations: &mut Violations) -> Option<UnitIx> {
    let found = vintage.find(code);
    if found.is_none() {
        let code = shown(code);
        violations.error(
            Reason::OrgUnitUnknown,
            "org_unit",
            format!("Không có đơn vị mã “{code}” vào ngày cuối kỳ {period}."),
            format!("no org unit has the code `{code}` on the last day of {period}"),
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
    let levels_vi = data_set.levels().iter().map(|level| name(level).name_vi.as_str()).collect::<Vec<_>>().join(", ");
    let levels_en = data_set.levels().iter().map(|level| name(level).code.as_str()).collect::<Vec<_>>().join(", ");
    let (code, own) = (&vintage.unit(unit).code, name(vintage.unit(unit).level));
    violations.error(
        Reason::LevelNotReporting,
        "org_unit",
        format!(
            "Biểu mẫu “{}” do cấp {levels_vi} báo cáo; “{code}” là đơn vị cấp {}.",
            data_set.name_vi(),
            own.name_vi
        ),
        format!("`{}` is reported by {levels_en}; `{code}` is a {}", data_set.code(), own.code),
    );
}

fn read_content(
    catalogue: &Catalogue,
    data_set: &DataSet,
    vintage: &Vintage,
    unit: Option<UnitIx>,
    draft: &Draft<'_>,
    violations: &mut Violations,
) -> Content {
    if draft.withdrawn {
        if !draft.values.is_empty() {
            violations.error(
                Reason::WithdrawalWithValues,
                "values",
                "Báo cáo rút lại không được kèm số liệu.",
                "a withdrawal carries no values; leave them out, or leave out `withdrawn`",
            );
        }
        return Content::Withdrawn;
    }
    let cells = data_set.cells();
    if draft.values.is_empty() {
        violations.error(
            Reason::ValuesMissing,
            "values",
            "Báo cáo không có số liệu nào; nếu muốn rút báo cáo, hãy đặt withdrawn.",
            "there is no value; to take a report back set `withdrawn`",
        );
    }
    if draft.values.len() > cells.len() {
        violations.error(
            Reason::ValuesTooMany,
            "values",
            format!(
                "Báo cáo có {} số liệu, biểu mẫu “{}” chỉ có {} ô.",
                draft.values.len(),
                data_set.name_vi(),
                cells.len()
            ),
            format!("there are {} values; `{}` has {} cells", draft.values.len(), data_set.code(), cells.len()),
        );
        return Content::Withdrawn; // not looked at: the report is refused whatever its values are
    }
    let mut values = vec![None; cells.len()];
    // A cell is named once, also where what is first given for it is wrong.
    let mut named = vec![false; cells.len()];
    for (place, given) in draft.values.iter().enumerate() {
        let Some(at) = find_cell(data_set, place, given) else {
            let name = if given.option.is_empty() {
                shown(given.element)
            } else {
                format!("{}[{}]", shown(given.element), shown(given.option))
            };
            violations.error(
                Reason::CellUnknown,
                format!("values[{place}]"),
                format!("Biểu mẫu “{}” không có ô số liệu {name}.", data_set.name_vi()),
                format!("`{}` has no cell {name}", data_set.code()),
            );
            continue;
        };
        let cell = &cells[at];
        if std::mem::replace(&mut named[at], true) {
            violations.error(
                Reason::CellRepeated,
                format!("values[{place}]"),
                format!("Ô “{cell}” ({}) có nhiều hơn một giá trị.", cell.element.name_vi),
                format!("{cell} is given more than once"),
            );
            continue;
        }
        if let Some(unit) = unit.filter(|unit| !catalogue.fills(cell, vintage, *unit)) {
            let level = catalogue.level(vintage.unit(unit).level);
            violations.error(
                Reason::CellNotForLevel,
                format!("values[{place}]"),
                format!("Đơn vị cấp {} không báo cáo ô “{cell}” ({}).", level.name_vi, cell.element.name_vi),
                format!("a {} does not report {cell}", level.code),
            );
            continue;
        }
        match read_number(cell, given.given) {
            Ok(number) => values[at] = Some(number),
            Err(refused) => refused.tell(cell, place, violations),
        }
    }
    Content::Values(values.into())
}

/// Senders mostly keep the form's order: try the cell in the same place before looking it up.
fn find_cell(data_set: &DataSet, place: usize, given: &DraftValue<'_>) -> Option<usize> {
    let named = |cell: &Cell| {
        cell.element.code.as_str() == given.element
            && cell.option.as_ref().map_or("", |option| option.code.as_str()) == given.option
    };
    if data_set.cells().get(place).is_some_and(named) {
        Some(place)
    } else {
        data_set.find_cell(given.element, given.option)
    }
}

/// Why a value does not fit its cell.
enum Refused {
    Type,
    Negative,
    Decimals,
    TooLarge,
}

impl Refused {
    fn tell(&self, cell: &Cell, place: usize, violations: &mut Violations) {
        let name = &cell.element.name_vi;
        let (reason, vi, en) = match self {
            Self::Type => {
                let (vi, en) = match cell.element.value_type {
                    ValueType::Count | ValueType::Signed => ("một số nguyên", "an integer"),
                    ValueType::Decimal(_) => {
                        ("một số thập phân, viết với dấu chấm: 92.3", "a decimal number, written with a point: 92.3")
                    }
                    ValueType::Flag => ("có hoặc không (flag)", "a flag, true or false"),
                    ValueType::Date => ("một ngày, viết 2022-06-01", "a day, written 2022-06-01"),
                    ValueType::Text => ("văn bản (text)", "text"),
                };
                (Reason::ValueTypeWrong, format!("Ô “{cell}” ({name}) phải là {vi}."), format!("{cell} takes {en}"))
            }
            Self::Negative => (
                Reason::ValueOutOfRange,
                format!("Ô “{cell}” ({name}) không được âm."),
                format!("{cell} may not be negative"),
            ),
            Self::Decimals => {
                let places = cell.element.value_type.decimals();
                (
                    Reason::ValueOutOfRange,
                    format!("Ô “{cell}” ({name}) có tối đa {places} chữ số thập phân."),
                    format!("{cell} has at most {places} decimals"),
                )
            }
            Self::TooLarge => (
                Reason::ValueOutOfRange,
                format!("Ô “{cell}” ({name}) quá lớn: tối đa {CELL_LIMIT} sau khi bỏ dấu thập phân."),
                format!("{cell} is too large: at most {CELL_LIMIT} without its decimal point"),
            ),
        };
        violations.error(reason, format!("values[{place}]"), vi, en);
    }
}

/// A given value as its cell keeps it.
fn read_number(cell: &Cell, given: Given<'_>) -> Result<i64, Refused> {
    let value_type = cell.element.value_type;
    let number = match (value_type, given) {
        (ValueType::Flag, Given::Flag(flag)) => return Ok(i64::from(flag)),
        (ValueType::Count | ValueType::Signed, Given::Integer(number)) => number,
        (ValueType::Decimal(places), Given::Integer(number)) => {
            number.checked_mul(10_i64.pow(u32::from(places))).ok_or(Refused::TooLarge)?
        }
        (ValueType::Decimal(places), Given::Decimal(text)) => scaled(text, places)?,
        _ => return Err(Refused::Type),
    };
    if number < 0 && value_type != ValueType::Signed {
        return Err(Refused::Negative);
    }
    if number.unsigned_abs() > CELL_LIMIT.unsigned_abs() {
        return Err(Refused::TooLarge);
    }
    Ok(number)
}

/// `92.3` with one place is 923. Digits, at most one point, a leading minus: nothing else is a number.
fn scaled(text: &str, places: u8) -> Result<i64, Refused> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) || digits.ends_with('.') {
        return Err(Refused::Type);
    }
    let places = usize::from(places);
    if decimals.len() > places {
        return Err(Refused::Decimals);
    }
    let number: i64 = format!("{whole}{decimals:0<places$}").parse().map_err(|_| Refused::TooLarge)?;
    Ok(if negative { -number } else { number })
}

/// A sender's text as it is shown back: bounded, and without control characters.
fn shown(text: &str) -> String {
    const LIMIT: usize = 40;
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(LIMIT).collect();
    if text.chars().count() > LIMIT {
        shown.push('…');
    }
    shown
}

impl Violations {
    /// Whether a violation of that reason is listed.
    #[must_use]
    pub fn contains(&self, reason: Reason) -> bool {
        self.list().iter().any(|violation| violation.reason == reason && violation.severity == Severity::Error)
    }
}
