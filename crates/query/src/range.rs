//! Series: the periods of a range, each with the unit that is meant.

use domain::{Catalogue, Period, PeriodType, Violations, window};

use crate::{
    question::{Asked, Question},
    refused::Refused,
};

/// The most periods of a series: a year of days with some to spare, 33 years of months.
pub(crate) const MOST: usize = 400;

/// What the caller named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range<'a> {
    pub(crate) org_unit: &'a str,
    pub(crate) data_set: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
}

/// The periods of a range, in order, each with the question to ask about it: none where the unit of the last period was not there,
/// or another had its code.
pub(crate) fn questions(catalogue: &Catalogue, range: Range<'_>) -> Result<Vec<(Period, Option<Question>)>, Refused> {
    let Range { org_unit, data_set, from, to } = range;
    let last =
        Question::read(catalogue, Asked { org_unit, data_set, period: to }).map_err(|refused| rename(refused, "to"))?;
    let of = last.data_set(catalogue);
    let mut violations = Violations::default();
    let first = window::read_period(catalogue, of, from, &mut violations);
    let Some(first) = first else { return Err(rename(Refused::Malformed(violations), "from")) };
    let to = last.period;
    if first.kind() != to.kind() || to.kind() == PeriodType::Latest {
        return Err(Refused::invalid(
            "RANGE_MIXED",
            "from",
            format!("“{from}” và “{to}” phải cùng loại kỳ và không phải kỳ mới nhất (latest)."),
            format!("`{from}` and `{to}` must be periods of one kind, and not `latest`"),
        ));
    }
    if first > to {
        return Err(Refused::invalid(
            "RANGE_REVERSED",
            "from",
            format!("Kỳ đầu {first} sau kỳ cuối {to}."),
            format!("{first} is after {to}"),
        ));
    }
    let periods = std::iter::successors(Some(to), |period| period.previous()).take_while(|period| *period >= first);
    let mut periods: Vec<Period> = periods.take(MOST + 1).collect();
    if periods.len() > MOST {
        return Err(Refused::invalid(
            "RANGE_TOO_LONG",
            "from",
            format!("Mỗi lần hỏi được nhiều nhất {MOST} kỳ."),
            format!("a series has {MOST} periods at most"),
        ));
    }
    periods.reverse();
    Ok(periods.into_iter().map(|period| (period, at(catalogue, last, period))).collect())
}

/// The question about the same unit in an earlier (or the same) period of the same kind.
fn at(catalogue: &Catalogue, last: Question, period: Period) -> Option<Question> {
    let data_set = last.data_set(catalogue);
    let vintage = catalogue.vintage(data_set, period);
    let place = catalogue.tree().vintages().iter().position(|candidate| std::ptr::eq(candidate, vintage))?;
    let unit = vintage.find(last.unit(catalogue).code.as_str())?;
    let (day, end) = (data_set.last_day(period), data_set.last_day(last.period));
    let is_same = catalogue.tree().continued(unit, day, end) == (last.unit, true);
    is_same.then_some(Question { period, vintage: place, unit, ..last })
}

/// What is wrong with a period is told of the field that named it.
fn rename(refused: Refused, field: &str) -> Refused {
    refused.renamed(|named| if named == "period" { field.to_owned() } else { named.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    fn series(org_unit: &str, from: &str, to: &str) -> Result<Vec<(String, bool)>, Refused> {
        let catalogue = tiny::catalogue();
        let found = questions(&catalogue, Range { org_unit, data_set: "identity", from, to })?;
        Ok(found.iter().map(|(period, question)| (period.to_string(), question.is_some())).collect())
    }

    #[test]
    fn every_period_is_there_once_and_in_order_over_the_end_of_a_year() {
        let names = |from, to| {
            let found = series("01", from, to).unwrap();
            found.into_iter().map(|(period, _)| period).collect::<Vec<_>>()
        };
        assert_eq!(names("202211", "202302"), ["202211", "202212", "202301", "202302"]);
        assert_eq!(names("2022Q4", "2023Q1"), ["2022Q4", "2023Q1"]);
        assert_eq!(names("202211", "202211"), ["202211"]);
    }

    /// Goal: codes were given anew at the reform, so the series of a commune with a new row does not go back over it, while that of
    /// the province, whose row goes on, and the nation's do.
    #[test]
    fn a_series_is_one_units() {
        let there = |org_unit| {
            let found = series(org_unit, "202505", "202508").unwrap();
            found.into_iter().map(|(_, there)| there).collect::<Vec<_>>()
        };
        assert_eq!(there("VN"), [true; 4]);
        assert_eq!(there("00001"), [false, false, true, true]);
        assert_eq!(there("01"), [true; 4]);
    }

    #[test]
    fn what_is_no_range_is_refused_with_its_field() {
        let reason = |from, to| match series("VN", from, to) {
            Err(Refused::Invalid { reason, .. }) => reason.to_owned(),
            Err(Refused::Malformed(violations)) => {
                let first = &violations.list()[0];
                format!("{} {}", first.field, first.reason.code())
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(reason("202212", "202211"), "RANGE_REVERSED");
        assert_eq!(reason("2022Q4", "202212"), "RANGE_MIXED");
        assert_eq!(reason("latest", "latest"), "RANGE_MIXED");
        assert_eq!(reason("200001", "203312"), "RANGE_TOO_LONG");
        assert_eq!(series("VN", "200001", "203304").unwrap().len(), 400);
        assert_eq!(reason("2022-11", "202212"), "from PERIOD_MALFORMED");
        assert_eq!(reason("202211", "2022W45"), "to PERIOD_TYPE_WRONG");
        assert!(matches!(series("99", "202211", "202212"), Err(Refused::Unknown(_))));
    }
}
