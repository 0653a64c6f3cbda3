//! Longer periods that are made of a data set's own, as they are asked about: which there are, and of which day the totals of
//! one are.

use time::{Date, Duration, OffsetDateTime};

use crate::{Catalogue, Period, PeriodType, Reason, Timestamp, Violations, catalogue::DataSet, judge};

/// The kinds of longer period that forms of a period type may have totals for, from the shortest to the longest; those
/// that they have unless their file says otherwise.
pub fn kinds(own: PeriodType) -> impl Iterator<Item = PeriodType> {
    let all = [PeriodType::Month, PeriodType::Quarter, PeriodType::HalfYear, PeriodType::Year, PeriodType::Latest];
    all.into_iter().filter(move |kind| *kind > own)
}

/// Reads a period that a data set has totals for: one of its own, or a longer one. `latest` is read as that of the newest
/// tree; that of another is named by the tree's first day. What is wrong is told of the field `period`.
pub fn read_period(
    catalogue: &Catalogue,
    data_set: &DataSet,
    text: &str,
    violations: &mut Violations,
) -> Option<Period> {
    let period = match text.parse::<Period>() {
        Ok(period) if text == PeriodType::Latest.as_str() => latest(catalogue).next().unwrap_or(period),
        Ok(period) => period,
        Err(_malformed) => return judge::read_period(data_set, text, violations),
    };
    if period.kind() == PeriodType::Latest && !latest(catalogue).any(|known| known == period) {
        let known: Vec<_> = latest(catalogue).map(|known| day_name(data_set, known)).collect();
        let known = known.join(", ");
        violations.error(
            Reason::PeriodMalformed,
            "period",
            format!("Cây đơn vị không thay đổi vào ngày ghi trong “{period}”; có thể hỏi: {known}."),
            format!("the tree of units did not change on the day that `{period}` names; there are {known}"),
        );
        return None;
    }
    if period.kind() == data_set.period_type() || data_set.longer_periods().contains(&period.kind()) {
        return Some(period);
    }
    let (own, wrong) = (data_set.period_type(), period.kind());
    let all = || std::iter::once(own).chain(data_set.longer_periods().iter().copied());
    let vi: Vec<_> = all().map(|kind| format!("{} ({})", kind.name_vi(), kind.example())).collect();
    let en: Vec<_> = all().map(|kind| format!("{kind} ({})", kind.example())).collect();
    violations.error(
        Reason::PeriodTypeWrong,
        "period",
        format!(
            "Biểu mẫu “{}” có số tổng hợp theo {}, không theo {}.",
            data_set.name_vi(),
            vi.join(", "),
            wrong.name_vi()
        ),
        format!("`{}` has totals by {}; {period} is a {wrong}", data_set.code(), en.join(", ")),
    );
    None
}

/// Everything since each time the tree changed its shape, the newest first.
pub fn latest(catalogue: &Catalogue) -> impl Iterator<Item = Period> {
    let mut all: Vec<_> =
        catalogue.tree().vintages().iter().map(|vintage| Period::latest_since(vintage.since())).collect();
    all.dedup();
    all.into_iter().rev()
}

/// The name of a `latest` that means no other: with its first day, also where that is the first there is.
fn day_name(data_set: &DataSet, latest: Period) -> String {
    let first = latest.span(data_set.calendar()).first;
    let day = Period::containing(PeriodType::Day, data_set.calendar(), first);
    day.map_or_else(|| latest.to_string(), |day| format!("{}{day}", PeriodType::Latest))
}

/// Whether a period is a longer one, made of the data set's own.
#[must_use]
pub fn is_window(data_set: &DataSet, period: Period) -> bool {
    period.kind() != data_set.period_type()
}

/// The day that the totals of a period are of: its last. Of `latest` the day on which they last changed, but not one after
/// the tree's last; its first where they never did.
#[must_use]
pub fn as_of(catalogue: &Catalogue, data_set: &DataSet, period: Period, changed_at: Option<Timestamp>) -> Date {
    if period.kind() != PeriodType::Latest {
        return data_set.last_day(period);
    }
    let span = period.span(data_set.calendar());
    let later = catalogue.tree().vintages().iter().map(crate::Vintage::since).filter(|since| *since > span.first);
    let last = later.min().map_or(span.last, |since| since - Duration::days(1));
    let changed = changed_at.map(|at| OffsetDateTime::from(at).to_offset(catalogue.utc_offset()).date());
    changed.map_or(span.first, |day| day.clamp(span.first, last))
}

/// A data set's own periods that end from a day on and not after the period in which another day lies, the newest first; so
/// many at most.
#[must_use]
pub fn own_periods(data_set: &DataSet, from: Option<Date>, to: Date, limit: usize) -> Vec<Period> {
    let newest = Period::containing(data_set.period_type(), data_set.calendar(), to);
    let all = std::iter::successors(newest, |period| period.previous());
    all.take_while(|period| from.is_none_or(|from| from <= data_set.last_day(*period))).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CatalogueVersion, LevelIx, OrgTree, UnitVersion,
        catalogue::{DataSetParts, SpaceAggregation, ValueType},
        form::{cell, flow, form},
    };
    use time::macros::{date, datetime, offset};

    const REFORM: Date = date!(2025 - 07 - 01);

    /// The nation with one commune, another since the reform.
    fn catalogue() -> Catalogue {
        let unit = |code: &str, parent: Option<&str>, valid_from, valid_to| UnitVersion {
            code: code.parse().unwrap(),
            name: String::new(),
            level: LevelIx::new(u8::from(parent.is_some())),
            kind: String::new(),
            parent: parent.map(|code| code.parse().unwrap()),
            valid_from,
            valid_to,
        };
        let rows = [
            unit("VN", None, None, None),
            unit("1", Some("VN"), None, Some(REFORM)),
            unit("2", Some("VN"), Some(REFORM), None),
        ];
        let tree = OrgTree::new(&rows, Vec::new()).unwrap();
        Catalogue::new(CatalogueVersion::new("1"), Vec::new(), tree, vec![], offset!(+7))
    }

    fn monthly() -> DataSet {
        form(vec![flow("received"), cell("stock", ValueType::Count, SpaceAggregation::Sum)])
    }

    fn period(text: &str) -> Period {
        text.parse().unwrap()
    }

    #[test]
    fn own_and_longer_periods_are_read_and_others_are_told_what_there_is() {
        let (catalogue, monthly) = (catalogue(), monthly());
        let read = |text| {
            let mut violations = Violations::default();
            let period = read_period(&catalogue, &monthly, text, &mut violations);
            let told = violations.list().first().map(|first| (first.reason, first.message.en.clone()));
            assert_eq!(period.is_none(), told.is_some());
            period.ok_or_else(|| told.unwrap())
        };
        for text in ["202211", "2022Q4", "2022S2", "2022", "latest20250701"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert_eq!(read("latest").unwrap().to_string(), "latest20250701", "the newest tree's");
        assert_eq!(
            read("latest20000101").unwrap().to_string(),
            "latest",
            "that of the tree whose beginning is not known"
        );
        let by = "has totals by month (202211), quarter (2022Q4), half_year (2022S2), year (2022), latest (latest)";
        assert_eq!(read("2022W45").unwrap_err(), (Reason::PeriodTypeWrong, format!("`form` {by}; 2022W45 is a week")));
        let (reason, message) = read("latest20250702").unwrap_err();
        assert_eq!(reason, Reason::PeriodMalformed);
        assert!(message.ends_with("there are latest20250701, latest20000101"), "{message}");
        assert_eq!(read("2022-11").unwrap_err().0, Reason::PeriodMalformed);
    }

    #[test]
    fn a_form_has_the_longer_periods_that_it_wants() {
        let catalogue = catalogue();
        let quarterly_too = DataSetParts { longer_periods: vec![PeriodType::Quarter], ..monthly().parts().clone() };
        let form = DataSet::new(quarterly_too).unwrap();
        assert_eq!(catalogue.windows(&form, period("202211")), [period("2022Q4")]);
        let read = |text| {
            let mut violations = Violations::default();
            let period = read_period(&catalogue, &form, text, &mut violations);
            period.ok_or_else(|| violations.list()[0].message.en.clone())
        };
        assert_eq!(read("2022Q4"), Ok(period("2022Q4")));
        for text in ["2022", "latest", "latest20250701"] {
            let message = read(text).unwrap_err();
            assert!(message.starts_with("`form` has totals by month (202211), quarter (2022Q4); "), "{message}");
        }
    }

    #[test]
    fn totals_are_of_the_periods_last_day_and_the_latest_of_the_day_they_changed() {
        let (catalogue, monthly) = (catalogue(), monthly());
        let as_of = |text, changed_at: Option<OffsetDateTime>| {
            super::as_of(&catalogue, &monthly, period(text), changed_at.map(Timestamp::from))
        };
        let evening = Some(datetime!(2025 - 08 - 31 17:00 UTC)); // midnight in Vietnam
        assert_eq!(as_of("2022Q4", evening), date!(2022 - 12 - 31));
        assert_eq!(as_of("latest20250701", evening), date!(2025 - 09 - 01));
        assert_eq!(as_of("latest20250701", None), REFORM);
        assert_eq!(as_of("latest", evening), date!(2025 - 06 - 30), "the last day of the old tree");
        assert_eq!(as_of("latest", Some(datetime!(2022 - 11 - 14 0:00 UTC))), date!(2022 - 11 - 14));
    }

    #[test]
    fn own_periods_go_back_to_the_first_that_ends_in_time() {
        let monthly = monthly();
        let names =
            |from, to, limit| own_periods(&monthly, from, to, limit).iter().map(Period::to_string).collect::<Vec<_>>();
        assert_eq!(names(Some(date!(2022 - 10 - 01)), date!(2022 - 12 - 31), 9), ["202212", "202211", "202210"]);
        assert_eq!(names(Some(date!(2022 - 10 - 31)), date!(2022 - 11 - 02), 9), ["202211", "202210"]);
        assert_eq!(names(None, date!(2022 - 02 - 01), 3), ["202202", "202201", "202112"]);
        assert_eq!(own_periods(&monthly, None, date!(2000 - 02 - 01), 9).len(), 2, "there is nothing before 2000");
    }
}
