//! Where a unit's totals stand: what is stored about it, as far as it is the unit that is asked about.

use domain::{
    Catalogue, Catalogues, LevelCode, Period, Timestamp,
    catalogue::{DataSet, Target},
    fold::{Overflow, Tally},
    recount::{self, Own, RecountError},
    target::Asked,
    window,
};
use store::{OwnReport, StoredTotal, UnitTotals};
use time::Date;

use crate::question::Question;

/// A unit's totals, before they are put into words.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) question: Question,
    /// By reporting level.
    pub(crate) tallies: Vec<(LevelCode, Tally)>,
    pub(crate) version: i64,
    pub(crate) changed_at: Option<Timestamp>,
    /// What is asked about, as targets see it.
    pub(crate) asked: Asked,
    /// Whether it is how they stood once. Such totals are not held against targets.
    pub(crate) is_past: bool,
}

impl State {
    /// Of what is stored about the unit. `reports` are those that the unit has for the periods of a longer one, if that is
    /// asked about and there is nothing below the unit: it has no totals of its own, its reports are its totals. Each is added
    /// by the catalogue it was judged by.
    pub(crate) fn new(
        catalogues: &Catalogues,
        question: Question,
        stored: UnitTotals,
        mut reports: Vec<OwnReport>,
    ) -> Result<Self, RecountError> {
        let catalogue = catalogues.current();
        let UnitTotals { levels, version, changed_at, own } = stored;
        let (data_set, unit) = (question.data_set(catalogue), question.unit(catalogue));
        let (tallies, version, changed_at) = if unit.is_leaf() {
            if !question.is_window(catalogue) {
                reports.extend(own);
            }
            let of = question.of(catalogue);
            let is_own = |report: &OwnReport| recount::is_own(catalogues, of, as_own(report));
            let is_own = reports.iter().map(is_own).collect::<Result<Vec<_>, _>>()?;
            let mut places = is_own.into_iter();
            reports.retain(|_| places.next().unwrap_or(false));
            reports.sort_by_key(|report| report.period);
            let tallies = recount::own_totals(catalogues, of, &reports.iter().map(as_own).collect::<Vec<_>>())?;
            // Each change of a report is a change of what they add up to.
            let version = reports.iter().map(|report| report.version).sum();
            (tallies, version, reports.iter().map(|report| report.received_at).max())
        } else {
            (levels, version, changed_at)
        };
        let as_of = window::as_of(catalogue, data_set, question.period, changed_at);
        let asked = Asked { period: question.period, as_of };
        Ok(Self { question, tallies, version, changed_at, asked, is_past: false })
    }

    /// The targets that the totals are held against.
    pub(crate) fn targets<'c>(&self, catalogue: &'c Catalogue) -> impl Iterator<Item = &'c Target> + use<'c> {
        let (data_set, asked, is_past) = (self.question.data_set(catalogue), self.asked, self.is_past);
        let unit = &self.question.unit(catalogue).code;
        data_set.targets().iter().filter(move |target| !is_past && target.applies(data_set, unit, asked))
    }

    /// The data set and the days, from the first (none: from the beginning) to the last, whose totals the targets look back
    /// to; none without a target.
    pub(crate) fn looks_back<'c>(&self, catalogue: &'c Catalogue) -> Option<(&'c DataSet, Option<Date>, Date)> {
        let data_set = self.question.data_set(catalogue);
        let first = self.targets(catalogue).map(|target| target.looks_back_to(data_set, self.asked)).min()?;
        Some((data_set, first, self.asked.as_of))
    }
}

/// A unit's totals of a data set's own periods, by reporting level; the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<(Period, LevelCode, Tally)>);

impl Series {
    /// Of a unit with units below it.
    pub(crate) fn of_totals(catalogue: &Catalogue, question: Question, totals: Vec<StoredTotal>) -> Self {
        let totals = totals.into_iter().map(|total| (total.period, total.level, total.tally));
        Self::new(catalogue, question, totals.collect())
    }

    /// Of a unit with nothing below it.
    pub(crate) fn of_reports(catalogue: &Catalogue, question: Question, reports: &[OwnReport]) -> Self {
        let level = &catalogue.level(question.unit(catalogue).level).code;
        let data_set = question.data_set(catalogue);
        let totals = reports.iter().filter_map(|report| {
            let tally = tally_of(data_set, report)?;
            Some((report.period, level.clone(), tally))
        });
        Self::new(catalogue, question, totals.collect())
    }

    /// Of the one period that is asked about, one of the data set's own.
    pub(crate) fn of_one(catalogue: &Catalogue, question: Question, stored: &UnitTotals) -> Self {
        if question.unit(catalogue).is_leaf() {
            return Self::of_reports(catalogue, question, stored.own.as_slice());
        }
        let totals = stored.levels.iter().map(|(level, tally)| (question.period, level.clone(), tally.clone()));
        Self::new(catalogue, question, totals.collect())
    }

    /// What was reported under the unit's code when that was another unit's is left out.
    fn new(catalogue: &Catalogue, question: Question, mut totals: Vec<(Period, LevelCode, Tally)>) -> Self {
        totals.retain(|(period, _, _)| question.has_come_from(catalogue, *period));
        totals.sort_by_key(|(period, _, _)| *period);
        Self(totals)
    }

    /// One level's.
    pub(crate) fn of_level(&self, level: &LevelCode) -> Vec<(Period, Tally)> {
        let of_level = self.0.iter().filter(|(_, of, _)| of == level);
        of_level.map(|(period, _, tally)| (*period, tally.clone())).collect()
    }

    /// All levels' together.
    pub(crate) fn overall(&self) -> Result<Vec<(Period, Tally)>, Overflow> {
        let mut overall: Vec<(Period, Tally)> = Vec::new();
        for (period, _, tally) in &self.0 {
            match overall.last_mut() {
                Some((last, sum)) if last == period => sum.add(tally)?,
                _ => overall.push((*period, tally.clone())),
            }
        }
        Ok(overall)
    }
}

fn as_own(report: &OwnReport) -> Own<'_> {
    let OwnReport { period, values, on_time, warned, version: _, received_at: _, catalogue } = report;
    Own { period: *period, values: values.as_ref(), on_time: *on_time, warned: *warned, catalogue }
}

/// A report as the totals of its own period: what its unit says, also in the cells that are kept and not added. None where
/// it is withdrawn.
fn tally_of(data_set: &DataSet, report: &OwnReport) -> Option<Tally> {
    let values = report.values.as_ref()?;
    let mut tally = Tally { reported: 1, ..Tally::zero(data_set.cells().len()) };
    (tally.on_time, tally.warned) = (i64::from(report.on_time), i64::from(report.warned));
    for place in 0..data_set.cells().len() {
        if let Some(value) = values.get(place) {
            tally.sums[place] = value;
            tally.contributing[place] = 1;
        }
    }
    Some(tally)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::{question::Asked, tiny};
    use domain::{CatalogueVersion, Values};

    /// A report of so many cells of `services`, that came in on a day of November 2022 and changed so often.
    pub(crate) fn report(period: &str, values: Option<&[(usize, i64)]>, day: i64, version: i64) -> OwnReport {
        let numbers = |given: &[(usize, i64)]| {
            let mut numbers = vec![None; tiny::CELLS];
            for (cell, number) in given {
                numbers[*cell] = Some(*number);
            }
            Values::from(numbers)
        };
        OwnReport {
            period: period.parse().unwrap(),
            values: values.map(numbers),
            on_time: values.is_some(),
            warned: false,
            version,
            received_at: Timestamp::from_unix_micros((1_667_260_800 + (day - 1) * 86_400) * 1_000_000),
            catalogue: tiny::catalogue().version().clone(),
        }
    }

    fn question(catalogue: &Catalogue, org_unit: &str, period: &str) -> Question {
        Question::read(catalogue, Asked { org_unit, data_set: "services", period }).unwrap()
    }

    #[test]
    fn a_leafs_reports_of_a_longer_period_are_its_total() {
        let catalogue = tiny::catalogue();
        let reports = || {
            vec![
                report("202209", Some(&[(tiny::RECEIVED_S01, 1_000)]), 1, 50),
                report("202211", Some(&[(tiny::RECEIVED_S01, 7), (tiny::PEOPLE, 12)]), 20, 2),
                report("202210", Some(&[(tiny::RECEIVED_S01, 5), (tiny::PEOPLE, 10)]), 5, 1),
                report("202212", None, 9, 2),
                report("202301", Some(&[(tiny::RECEIVED_S01, 2_000)]), 1, 70),
            ]
        };
        let state = |period| {
            let question = question(&catalogue, "00001", period);
            State::new(&tiny::catalogues(), question, UnitTotals::default(), reports()).unwrap()
        };
        let quarter = state("2022Q4");
        let [(level, tally)] = &quarter.tallies[..] else { panic!("{quarter:?}") };
        assert_eq!((level.as_str(), tally.reported, tally.on_time), ("commune", 1, 0));
        let cell = |cell| (tally.given(cell), tally.contributions(cell));
        assert_eq!(cell(tiny::RECEIVED_S01), (Some(12), 2), "a flow is added");
        assert_eq!(cell(tiny::PEOPLE), (Some(12), 1), "of a level the latest counts");
        // A withdrawal is a change as well.
        assert_eq!((quarter.version, quarter.changed_at), (5, Some(reports()[1].received_at)));
        assert_eq!(state("2022").version, 55);
        let nothing = state("2021");
        assert_eq!((nothing.tallies.len(), nothing.version, nothing.changed_at), (0, 0, None));
    }

    /// Goal: codes were given anew at the reform, so what 00001 reported before it is another commune's.
    #[test]
    fn reports_under_the_same_code_of_another_unit_do_not_count() {
        let catalogue = tiny::catalogue();
        let reports = || {
            vec![
                report("202506", Some(&[(tiny::RECEIVED_S01, 100)]), 1, 1),
                report("202507", Some(&[(tiny::RECEIVED_S01, 3)]), 2, 1),
            ]
        };
        let received = |period| {
            let question = question(&catalogue, "00001", period);
            let state = State::new(&tiny::catalogues(), question, UnitTotals::default(), reports()).unwrap();
            state.tallies.first().map(|(_, tally)| tally.given(tiny::RECEIVED_S01).unwrap())
        };
        assert_eq!(received("2025"), Some(3));
        assert_eq!(received("2025S1"), Some(100));
        assert_eq!((received("latest20000101"), received("latest20250701")), (Some(100), Some(3)));
        let series = Series::of_reports(&catalogue, question(&catalogue, "00001", "2025"), &reports());
        let periods: Vec<_> = series.0.iter().map(|(period, _, _)| period.to_string()).collect();
        assert_eq!(periods, ["202507"]);
    }

    /// Goal: a report that was judged when codes were not said to have been given anew goes on counting as the same commune's.
    #[test]
    fn each_report_of_a_leaf_is_added_by_the_catalogue_it_was_judged_by() {
        let mut catalogues = tiny::catalogues();
        catalogues.add(Arc::new(tiny::catalogue_of("tiny-0", None)));
        let june = report("202506", Some(&[(tiny::RECEIVED_S01, 100), (tiny::PEOPLE, 7)]), 1, 1);
        let earlier = OwnReport { catalogue: CatalogueVersion::new("tiny-0"), ..june.clone() };
        let july = report("202507", Some(&[(tiny::RECEIVED_S01, 3)]), 2, 1);
        let year = |reports: [&OwnReport; 2]| {
            let question = question(catalogues.current(), "00001", "2025");
            let reports = reports.map(Clone::clone).to_vec();
            let state = State::new(&catalogues, question, UnitTotals::default(), reports).unwrap();
            let cells = [tiny::RECEIVED_S01, tiny::PEOPLE].map(|cell| state.tallies[0].1.given(cell));
            (cells, state.tallies[0].1.reported, state.version)
        };
        assert_eq!(year([&july, &june]), ([Some(3), None], 1, 1));
        assert_eq!(year([&july, &earlier]), ([Some(103), Some(7)], 1, 2));
    }

    #[test]
    fn levels_of_a_series_are_added_by_period() {
        let catalogue = tiny::catalogue();
        let total = |period: &str, level: &str, people| StoredTotal {
            data_set: "services".parse().unwrap(),
            period: period.parse().unwrap(),
            org_unit: "01".parse().unwrap(),
            level: level.parse().unwrap(),
            tally: tally_of(
                catalogue.find_data_set("services").unwrap(),
                &report(period, Some(&[(tiny::PEOPLE, people)]), 1, 1),
            )
            .unwrap(),
            version: 1,
        };
        let totals =
            vec![total("202211", "commune", 3), total("202210", "commune", 20), total("202211", "district", 100)];
        let series = Series::of_totals(&catalogue, question(&catalogue, "01", "202211"), totals);
        let people = |totals: Vec<(Period, Tally)>| -> Vec<(String, Option<i64>)> {
            totals.iter().map(|(period, tally)| (period.to_string(), tally.given(tiny::PEOPLE))).collect()
        };
        let (october, november) = ("202210".to_owned(), "202211".to_owned());
        assert_eq!(people(series.overall().unwrap()), [(october, Some(20)), (november.clone(), Some(103))]);
        assert_eq!(people(series.of_level(&"district".parse().unwrap())), [(november, Some(100))]);
    }
}
