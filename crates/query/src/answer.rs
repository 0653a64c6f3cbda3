//! Answers: what is stored about a unit, in the words of the catalogue and the wire.

use domain::{
    Catalogue, Content, Period, Report, Values,
    catalogue::{DataSet, Goal, Indicator, SpaceAggregation, Target},
    fold::{Overflow, Tally},
    settle::{Accepted, Claim, Fate, Origin, Position, Provenance},
};
use proto::pb::query::v1 as pb;
use store::{Revised, Standing, Submission};

use crate::{
    expected::Expected,
    question::Question,
    state::{Series, State},
};

/// The totals in words.
pub(crate) fn totals(
    catalogue: &Catalogue,
    expected: &Expected,
    state: &State,
    series: &Series,
    up_to: Position,
) -> Result<pb::Totals, Overflow> {
    let State { question, tallies, version, changed_at, asked: _, is_past: _ } = state;
    let (data_set, unit) = (question.data_set(catalogue), question.unit(catalogue));
    let zero = Tally::zero(data_set.cells().len());
    let own_level = &catalogue.level(unit.level).code;
    let of_level = |code| tallies.iter().find(|(of, _)| of == code).map(|(_, tally)| tally);
    let scribe = Scribe { catalogue, expected, state };

    let mut levels = Vec::new();
    let mut overall = zero.clone();
    for (place, (level, expected)) in catalogue.levels().iter().zip(expected.of(*question)).enumerate() {
        let tally = of_level(&level.code);
        if tally.is_none() && *expected == 0 {
            continue;
        }
        let totals = Totals { tally: tally.unwrap_or(&zero), series: &series.of_level(&level.code) };
        overall.add(totals.tally)?;
        levels.push(scribe.level(Place::Level(place), totals, totals)?);
    }
    let own = Totals { tally: of_level(own_level).unwrap_or(&zero), series: &series.of_level(own_level) };
    let all = Totals { tally: &overall, series: &series.overall()? };
    Ok(pb::Totals {
        org_unit: Some(org_unit(catalogue, *question)),
        data_set: data_set.code().to_string(),
        period: question.period.to_string(),
        levels,
        version: *version,
        log_position: up_to.0,
        catalogue_version: catalogue.version().to_string(),
        changed_at: changed_at.map(proto::timestamp),
        overall: Some(scribe.level(Place::Overall, all, own)?),
    })
}

/// Totals, and those of earlier periods that targets look back to.
#[derive(Clone, Copy)]
struct Totals<'a> {
    tally: &'a Tally,
    series: &'a [(Period, Tally)],
}

/// Whose totals are put into words.
#[derive(Clone, Copy)]
enum Place {
    /// Of the level at that place of the catalogue.
    Level(usize),
    /// Of all levels together.
    Overall,
}

impl Place {
    /// Of counts for each level of the catalogue, that which is meant.
    fn count(self, expected: &[u32]) -> i64 {
        match self {
            Self::Level(place) => expected.get(place).copied().map_or(0, i64::from),
            Self::Overall => expected.iter().copied().map(i64::from).sum(),
        }
    }
}

/// Puts totals into words.
struct Scribe<'a> {
    catalogue: &'a Catalogue,
    expected: &'a Expected,
    state: &'a State,
}

impl Scribe<'_> {
    /// `own` are the totals of the unit's own level: what is kept and not added is there alone.
    fn level(&self, place: Place, totals: Totals<'_>, own: Totals<'_>) -> Result<pb::LevelTotals, Overflow> {
        let Self { catalogue, expected, state } = *self;
        let question = state.question;
        let data_set = question.data_set(catalogue);
        let level = match place {
            Place::Level(place) => catalogue.levels().get(place).map(|level| &level.code),
            Place::Overall => None,
        };
        let deadline = level
            .and_then(|code| catalogue.find_level(code.as_str()))
            .filter(|_| !question.is_window(catalogue))
            .and_then(|level| {
                // Where a form is not for the level, who reports it there stands in for another.
                let stands_in = !data_set.levels().contains(level);
                catalogue.deadline(data_set, question.period, level, stands_in)
            });
        let groups = data_set.groups().iter().map(|group| {
            let total = group.total(state.asked.as_of, totals.tally)?;
            // All cells of a group are of one data element.
            let element = group.members.first().map(|member| &data_set.cells()[member.cell].element);
            Ok(pb::GroupTotal {
                data_element: group.element.to_string(),
                group: group.group.code.to_string(),
                sum: total.sum,
                decimals: element.map_or(0, |element| u32::from(element.value_type.decimals())),
                contributing: total.contributing,
                options: i32::try_from(total.cells).unwrap_or(i32::MAX),
                aggregation: aggregation(element.map_or(SpaceAggregation::Sum, |element| element.space_aggregation))
                    .into(),
            })
        });
        // A number that is to be reached is the unit's, a share also each level's.
        let is_held = |target: &&Target| match place {
            Place::Level(_) => target.is_share() && place.count(expected.of_cell(question, target.cell)) > 0,
            Place::Overall => true,
        };
        let targets = state.targets(catalogue).filter(is_held).map(|target| {
            let cells = match target.goal {
                Goal::Of { cell, .. } => [target.cell, cell],
                Goal::Value(_) | Goal::OfUnits { .. } => [target.cell; 2],
            };
            self.target(target, place, if cells.iter().all(|cell| is_added(data_set, *cell)) { totals } else { own })
        });
        Ok(pb::LevelTotals {
            level: level.map(ToString::to_string).unwrap_or_default(),
            reported: totals.tally.reported,
            expected: place.count(expected.of(question)),
            cells: (0..data_set.cells().len()).map(|cell| self.cell(cell, place, totals.tally)).collect(),
            on_time: totals.tally.on_time,
            warned: totals.tally.warned,
            deadline: deadline.map(proto::timestamp),
            indicators: (data_set.indicators().iter())
                .map(|of| indicator(data_set, of, if of.is_of_one_unit(data_set) { own } else { totals }.tally))
                .collect(),
            groups: groups.collect::<Result<_, _>>()?,
            targets: targets.collect::<Result<_, _>>()?,
        })
    }

    fn cell(&self, place: usize, whose: Place, tally: &Tally) -> pb::CellTotal {
        let question = self.state.question;
        let cell = &question.data_set(self.catalogue).cells()[place];
        pb::CellTotal {
            data_element: cell.element.code.to_string(),
            option: cell.option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
            sum: tally.given(place),
            decimals: u32::from(cell.element.value_type.decimals()),
            contributing: tally.contributions(place),
            aggregation: aggregation(cell.element.space_aggregation).into(),
            expected: whose.count(self.expected.of_cell(question, place)),
        }
    }

    fn target(&self, target: &Target, whose: Place, totals: Totals<'_>) -> Result<pb::Target, Overflow> {
        let State { question, asked, .. } = *self.state;
        let data_set = question.data_set(self.catalogue);
        let cell = &data_set.cells()[target.cell];
        let expected = whose.count(self.expected.of_cell(question, target.cell));
        let progress = target.progress(data_set, asked, totals.tally, expected, totals.series)?;
        Ok(pb::Target {
            data_element: cell.element.code.to_string(),
            option: cell.option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
            period: target.period.map(|period| period.to_string()).unwrap_or_default(),
            goal: progress.goal,
            value: progress.value,
            decimals: u32::from(cell.element.value_type.decimals()),
            achieved: progress.achieved.map(|percent| percent.to_string()),
            remaining: progress.remaining,
            reached: progress.reached,
            due: progress.due.map(|day| day.to_string()).unwrap_or_default(),
            reached_on: progress.reached_on.map(|day| day.to_string()).unwrap_or_default(),
            days: progress.days.map(|days| i32::try_from(days).unwrap_or(i32::MAX)),
        })
    }
}

fn org_unit(catalogue: &Catalogue, question: Question) -> pb::OrgUnit {
    let unit = question.unit(catalogue);
    let level = catalogue.level(unit.level).code.to_string();
    pb::OrgUnit { code: unit.code.to_string(), name: unit.name.clone(), level }
}

fn is_added(data_set: &DataSet, cell: usize) -> bool {
    data_set.cells()[cell].element.space_aggregation.is_additive()
}

pub(crate) fn aggregation(of: SpaceAggregation) -> pb::Aggregation {
    match of {
        SpaceAggregation::Sum => pb::Aggregation::Sum,
        SpaceAggregation::Coverage => pb::Aggregation::Coverage,
        SpaceAggregation::Mean => pb::Aggregation::Mean,
        SpaceAggregation::None => pb::Aggregation::None,
        SpaceAggregation::Collect => pb::Aggregation::Collect,
    }
}

fn indicator(data_set: &DataSet, indicator: &Indicator, tally: &Tally) -> pb::Indicator {
    let ratio = indicator.ratio(data_set, tally);
    let decimals = |cell: usize| u32::from(data_set.cells()[cell].element.value_type.decimals());
    pb::Indicator {
        code: indicator.code.to_string(),
        option: indicator.option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
        numerator: ratio.numerator,
        numerator_decimals: decimals(indicator.numerator),
        denominator: ratio.denominator,
        denominator_decimals: decimals(indicator.denominator),
        value: ratio.value.map(|percent| percent.to_string()),
    }
}

/// What a unit reports.
pub(crate) fn report(catalogue: &Catalogue, question: Question, standing: Option<Standing>) -> pb::UnitReport {
    let nothing = pb::UnitReport { org_unit: Some(org_unit(catalogue, question)), ..pb::UnitReport::default() };
    let Some(Standing { revision, received_at, on_time, values, warnings }) = standing else { return nothing };
    let data_set = question.data_set(catalogue);
    pb::UnitReport {
        reported: values.is_some(),
        revision: Some(revision.get()),
        received_at: Some(proto::timestamp(received_at)),
        on_time: on_time && values.is_some(),
        values: values.map(|values: Values| proto::report::values(data_set, &values)).unwrap_or_default(),
        warnings: proto::report::violations(&warnings),
        warnings_omitted: i32::try_from(warnings.omitted()).unwrap_or(i32::MAX),
        ..nothing
    }
}

/// A unit's report with its revisions.
pub(crate) fn revisions(
    catalogue: &Catalogue,
    question: Question,
    revisions: Vec<Revised>,
    omitted: i64,
    up_to: Position,
) -> pb::GetReportResponse {
    let standing = revisions.first().filter(|first| first.replaced_at.is_none()).map(|first| &first.accepted);
    let standing = standing.map(|accepted| Standing {
        revision: accepted.report.revision,
        received_at: accepted.provenance.received_at,
        on_time: accepted.on_time,
        values: accepted.report.content.values().cloned(),
        warnings: accepted.warnings.clone(),
    });
    pb::GetReportResponse {
        report: Some(report(catalogue, question, standing)),
        revisions: revisions.into_iter().map(|of| revision(question.data_set(catalogue), of)).collect(),
        revisions_omitted: omitted,
        log_position: up_to.0,
    }
}

fn revision(data_set: &DataSet, of: Revised) -> pb::Revision {
    let Revised { accepted, fate: became, replaced_at } = of;
    let Accepted { provenance, report, digest: _, on_time: _, warnings } = accepted;
    let Provenance { origin, received_at, principal, catalogue, position } = provenance;
    let Report { submission_id, key: _, revision, content } = report;
    pb::Revision {
        revision: revision.get(),
        submission_id: submission_id.to_string(),
        principal: principal.into(),
        received_at: Some(proto::timestamp(received_at)),
        log_sequence: origin.sequence,
        log_index: origin.index,
        fate: fate(became).into(),
        counts: replaced_at.is_none(),
        log_position: position.0,
        replaced_at: replaced_at.map(|position| position.0),
        catalogue_version: catalogue.to_string(),
        withdrawn: content == Content::Withdrawn,
        values: content.values().map(|values| proto::report::values(data_set, values)).unwrap_or_default(),
        warnings: proto::report::violations(&warnings),
        warnings_omitted: i32::try_from(warnings.omitted()).unwrap_or(i32::MAX),
    }
}

/// What became of the submission of that id.
pub(crate) fn submission(submission_id: String, found: Submission) -> pb::GetSubmissionResponse {
    let Submission { claim, principal: _, fate, violations, received_at, origin, repeated, current_revision, counts } =
        found;
    let Claim { submission_id: _, data_set, period, org_unit, revision } = claim;
    let Origin { sequence, index } = origin;
    pb::GetSubmissionResponse {
        submission_id,
        fate: self::fate(fate).into(),
        org_unit,
        data_set,
        period,
        revision,
        violations: proto::report::violations(&violations),
        violations_omitted: i32::try_from(violations.omitted()).unwrap_or(i32::MAX),
        received_at: Some(proto::timestamp(received_at)),
        log_sequence: sequence,
        log_index: index,
        counts,
        current_revision: current_revision.map(domain::Revision::get),
        repeated,
    }
}

fn fate(fate: Fate) -> pb::Fate {
    match fate {
        Fate::Accepted => pb::Fate::Accepted,
        Fate::Rejected => pb::Fate::Rejected,
        Fate::Duplicate => pb::Fate::Duplicate,
        Fate::Superseded => pb::Fate::Superseded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{question::Asked, state::tests::report as own_report, tiny};
    use domain::Timestamp;
    use proto::pb::report::v1::value::Value;
    use store::{OwnReport, StoredTotal, UnitTotals};

    fn answer(org_unit: &str, stored: UnitTotals) -> pb::Totals {
        answer_about(tiny::asked(org_unit), stored, Vec::new(), Vec::new())
    }

    fn answer_about(
        asked: Asked<'_>,
        stored: UnitTotals,
        reports: Vec<OwnReport>,
        series: Vec<StoredTotal>,
    ) -> pb::Totals {
        let catalogue = tiny::catalogue();
        let question = Question::read(&catalogue, asked).unwrap();
        let state = State::new(&tiny::catalogues(), question, stored, reports).unwrap();
        let series = Series::of_totals(&catalogue, question, series);
        totals(&catalogue, &Expected::count(&catalogue), &state, &series, Position(42)).unwrap()
    }

    /// Level, reported, expected, then sum and contributing of each cell.
    type Line<'a> = (&'a str, i64, i64, Vec<(Option<i64>, i64)>);

    fn lines(totals: &pb::Totals) -> Vec<Line<'_>> {
        let cells = |level: &pb::LevelTotals| level.cells.iter().map(|cell| (cell.sum, cell.contributing)).collect();
        totals.levels.iter().map(|level| (level.level.as_str(), level.reported, level.expected, cells(level))).collect()
    }

    const ABSENT: (Option<i64>, i64) = (None, 0);

    #[test]
    fn before_the_first_report_every_sum_is_absent_and_the_expected_are_counted() {
        let totals = answer("VN", UnitTotals::default());
        assert_eq!(lines(&totals), [("district", 0, 1, vec![ABSENT; 3]), ("commune", 0, 4, vec![ABSENT; 3])]);
        assert_eq!((totals.version, totals.log_position, totals.changed_at), (0, 42, None));
        assert_eq!(totals.catalogue_version, "tiny-1");
        let unit = totals.org_unit.unwrap();
        assert_eq!((unit.code.as_str(), unit.name.as_str(), unit.level.as_str()), ("VN", "Đơn vị VN", "national"));
    }

    #[test]
    fn stored_totals_are_listed_from_the_root_down_also_where_nobody_is_expected() {
        let stored = |reported, sums: [i64; 3], contributing: [i64; 3]| Tally {
            reported,
            on_time: 0,
            warned: 0,
            sums: sums.to_vec(),
            contributing: contributing.to_vec(),
        };
        let totals = answer(
            "01",
            UnitTotals {
                // A sum of values is zero, a sum of none is absent.
                levels: vec![
                    ("commune".parse().unwrap(), stored(2, [7, 925, 0], [2, 1, 2])),
                    ("province".parse().unwrap(), stored(1, [5, 0, 0], [1, 0, 0])),
                ],
                version: 9,
                changed_at: Some(Timestamp::from_unix_micros(5_000_000)),
                // A unit with units below it is not its own report.
                own: Some(own_report("202211", None, 1, 3)),
            },
        );
        let expected = [
            ("province", 1, 0, vec![(Some(5), 1), ABSENT, ABSENT]),
            ("district", 0, 1, vec![ABSENT; 3]),
            ("commune", 2, 2, vec![(Some(7), 2), (Some(925), 1), (Some(0), 2)]),
        ];
        assert_eq!(lines(&totals), expected);
        assert_eq!((totals.version, totals.changed_at.unwrap().seconds), (9, 5));
        let cells = &totals.levels[2].cells;
        let names: Vec<_> =
            cells.iter().map(|cell| (cell.data_element.as_str(), cell.option.as_str(), cell.decimals)).collect();
        assert_eq!(names, [("issued", "", 0), ("share", "", 1), ("met", "s03", 0)]);
    }

    #[test]
    fn a_leafs_report_is_its_total() {
        let own = |values: Option<Vec<Option<i64>>>| UnitTotals {
            own: Some(OwnReport {
                values: values.map(Values::from),
                received_at: Timestamp::from_unix_micros(3_000_000),
                ..own_report("202211", None, 1, 2)
            }),
            ..UnitTotals::default()
        };
        let totals = answer("00001", own(Some(vec![Some(0), None, Some(1)])));
        assert_eq!(lines(&totals), [("commune", 1, 1, vec![(Some(0), 1), ABSENT, (Some(1), 1)])]);
        assert_eq!((totals.version, totals.changed_at.unwrap().seconds), (2, 3));

        let island = answer("012", own(Some(vec![None, Some(3), None])));
        assert_eq!(lines(&island), [("district", 1, 1, vec![ABSENT, (Some(3), 1), ABSENT])]);

        let withdrawn = answer("00001", own(None));
        assert_eq!(lines(&withdrawn), [("commune", 0, 1, vec![ABSENT; 3])]);
        assert_eq!(withdrawn.version, 2, "a withdrawal is a change");
    }

    #[test]
    fn a_cell_that_came_later_is_absent_from_older_totals() {
        let older = Tally { sums: vec![4], contributing: vec![1], reported: 1, ..Tally::zero(0) };
        let stored = UnitTotals { levels: vec![("commune".parse().unwrap(), older)], ..UnitTotals::default() };
        assert_eq!(lines(&answer("021", stored)), [("commune", 1, 2, vec![(Some(4), 1), ABSENT, ABSENT])]);
    }

    /// Totals of `services` with some cells: cell, sum, how many values.
    fn services(reported: i64, cells: &[(usize, i64, i64)]) -> Tally {
        let mut tally = Tally { reported, ..Tally::zero(tiny::CELLS) };
        for (cell, sum, contributing) in cells {
            (tally.sums[*cell], tally.contributing[*cell]) = (*sum, *contributing);
        }
        tally
    }

    fn asked<'a>(org_unit: &'a str, period: &'a str) -> Asked<'a> {
        Asked { org_unit, data_set: "services", period }
    }

    /// Province 01 with its own report, its island's, and those of its two communes.
    fn province() -> UnitTotals {
        let communes = services(
            2,
            &[
                (tiny::RECEIVED_S01, 100, 2),
                (tiny::RECEIVED_S02, 50, 2),
                (tiny::ONLINE_S01, 75, 2),
                (tiny::PEOPLE, 150, 2),
                (tiny::MET, 1, 2),
                (tiny::NOTE, 0, 1),
            ],
        );
        let island = [(tiny::RECEIVED_S01, 20, 1), (tiny::ONLINE_S01, 5, 1), (tiny::PEOPLE, 30, 1), (tiny::MET, 1, 1)];
        let own = [(tiny::PEOPLE, 10, 1), (tiny::PLAN, 40, 1), (tiny::OPENED, 20_221_105, 1)];
        UnitTotals {
            levels: vec![
                ("province".parse().unwrap(), services(1, &own)),
                ("district".parse().unwrap(), services(1, &island)),
                ("commune".parse().unwrap(), Tally { on_time: 1, warned: 1, ..communes }),
            ],
            version: 4,
            ..UnitTotals::default()
        }
    }

    fn level<'t>(totals: &'t pb::Totals, level: &str) -> &'t pb::LevelTotals {
        totals.levels.iter().find(|of| of.level == level).unwrap()
    }

    #[test]
    fn all_levels_together_are_their_sum_and_say_how_each_cell_adds_up() {
        let totals = answer_about(asked("01", "202211"), province(), Vec::new(), Vec::new());
        let overall = totals.overall.as_ref().unwrap();
        assert_eq!((overall.level.as_str(), overall.reported, overall.expected), ("", 4, 4));
        assert_eq!((overall.on_time, overall.warned), (1, 1));
        let cell = |place: usize| {
            let cell = &overall.cells[place];
            (cell.sum, cell.contributing, cell.expected, cell.aggregation())
        };
        assert_eq!(cell(tiny::PEOPLE), (Some(190), 4, 4, pb::Aggregation::Sum));
        assert_eq!(
            cell(tiny::MET),
            (Some(2), 3, 3, pb::Aggregation::Coverage),
            "2 of 3: the province does not fill it"
        );
        assert_eq!(cell(tiny::PLAN), (Some(40), 1, 1, pb::Aggregation::None), "its own");
        assert_eq!(cell(tiny::NOTE), (Some(0), 1, 4, pb::Aggregation::Collect));
        assert_eq!(cell(tiny::OPENED), (Some(20_221_105), 1, 4, pb::Aggregation::None));
        let communes = level(&totals, "commune");
        assert_eq!((communes.on_time, communes.warned), (1, 1));
        // Five days after 30 November, at midnight in Vietnam.
        assert_eq!(communes.deadline.unwrap().seconds, 1_670_259_600);
        // A district without communes reports as one; provinces have no deadline, nor have all together.
        assert_eq!(level(&totals, "district").deadline, communes.deadline);
        assert_eq!((overall.deadline, level(&totals, "province").deadline), (None, None));
    }

    #[test]
    fn indicators_are_shares_of_sums_and_never_divide_a_sum_by_one_units_number() {
        let totals = answer_about(asked("01", "202211"), province(), Vec::new(), Vec::new());
        let indicators = |level: &pb::LevelTotals| -> Vec<(Option<i64>, Option<i64>, Option<String>)> {
            level.indicators.iter().map(|of| (of.numerator, of.denominator, of.value.clone())).collect()
        };
        let value = |text: &str| Some(text.to_owned());
        assert_eq!(
            indicators(level(&totals, "commune")),
            [(Some(75), Some(100), value("75.00")), (None, Some(50), None), (Some(150), None, None)]
        );
        assert_eq!(
            indicators(totals.overall.as_ref().unwrap()),
            [
                (Some(80), Some(120), value("66.67")), // not the mean of 75 and 25
                (None, Some(50), None),
                (Some(10), Some(40), value("25.00")), // the province's own people and its own plan
            ]
        );
        let first = &level(&totals, "commune").indicators[0];
        assert_eq!((first.code.as_str(), first.option.as_str()), ("online_rate", "s01"));
    }

    #[test]
    fn a_groups_options_are_those_of_the_periods_last_day() {
        let group = |period| {
            let stored = UnitTotals {
                levels: vec![(
                    "commune".parse().unwrap(),
                    services(1, &[(tiny::RECEIVED_S01, 100, 2), (tiny::RECEIVED_S02, 50, 2)]),
                )],
                ..UnitTotals::default()
            };
            let totals = answer_about(asked("VN", period), stored, Vec::new(), Vec::new());
            let [group] = &totals.overall.unwrap().groups[..] else { panic!("one group") };
            assert_eq!((group.data_element.as_str(), group.group.as_str()), ("received", "police"));
            (group.sum, group.contributing, group.options)
        };
        assert_eq!(group("202506"), (Some(100), 2, 1));
        assert_eq!(group("202507"), (Some(150), 4, 2));
        assert_eq!(group("2025"), (Some(150), 4, 2));
        assert_eq!(group("latest20000101"), (Some(100), 2, 1), "its tree ends before the change");
    }

    #[test]
    fn shares_are_held_against_each_level_and_numbers_against_all_together() {
        let october = |people| StoredTotal {
            data_set: "services".parse().unwrap(),
            period: "202210".parse().unwrap(),
            org_unit: "01".parse().unwrap(),
            level: "commune".parse().unwrap(),
            tally: services(2, &[(tiny::PEOPLE, people, 2)]),
            version: 1,
        };
        let totals = answer_about(asked("01", "202211"), province(), Vec::new(), vec![october(299)]);
        let [share] = &level(&totals, "commune").targets[..] else { panic!("{totals:?}") };
        assert_eq!((share.data_element.as_str(), share.period.as_str(), share.due.as_str()), ("met", "", "2022-11-30"));
        assert_eq!((share.goal, share.value, share.remaining, share.reached), (Some(2), Some(1), Some(1), false));
        assert_eq!((share.achieved.as_deref(), share.days), (Some("50.00"), None));
        assert!(level(&totals, "district").targets[0].reached);
        assert!(level(&totals, "province").targets.is_empty(), "the province does not fill the cell");

        let [share, number] = &totals.overall.as_ref().unwrap().targets[..] else { panic!("{totals:?}") };
        assert_eq!((share.goal, share.value), (Some(3), Some(2)));
        assert_eq!((number.period.as_str(), number.due.as_str()), ("2022", "2022-11-20"));
        assert_eq!((number.goal, number.value, number.remaining), (Some(300), Some(190), Some(110)));
        assert_eq!((number.achieved.as_deref(), number.days), (Some("63.33"), Some(-10)));

        let mut more = province();
        more.levels[2].1.sums[tiny::PEOPLE] = 265; // with the island's 30 and its own 10: 305
        let totals = answer_about(asked("01", "202211"), more, Vec::new(), vec![october(300)]);
        let number = &totals.overall.as_ref().unwrap().targets[1];
        assert_eq!((number.reached, number.reached_on.as_str(), number.days), (true, "2022-10-31", Some(20)));
        let other = answer_about(asked("02", "202211"), UnitTotals::default(), Vec::new(), Vec::new());
        assert_eq!(other.overall.unwrap().targets.len(), 1, "the number is province 01's");
    }

    #[test]
    fn a_longer_period_of_a_leaf_has_no_deadline_and_is_named_as_it_is_stored() {
        let reports = vec![own_report("202211", Some(&[(tiny::RECEIVED_S01, 7)]), 1, 3)];
        let totals = answer_about(asked("00001", "latest20000101"), UnitTotals::default(), reports, Vec::new());
        let communes = level(&totals, "commune");
        assert_eq!((totals.period.as_str(), totals.version, communes.reported), ("latest", 3, 1));
        assert_eq!((communes.on_time, communes.deadline), (0, None));
        assert_eq!(communes.cells[tiny::RECEIVED_S01].sum, Some(7));
    }

    #[test]
    fn a_report_is_told_with_its_values_its_words_and_what_is_odd() {
        let catalogue = tiny::catalogue();
        let question = Question::of_reports(&catalogue, asked("00001", "202211")).unwrap();
        let mut numbers = vec![None; tiny::CELLS];
        (numbers[tiny::PEOPLE], numbers[tiny::MET]) = (Some(12), Some(1));
        (numbers[tiny::NOTE], numbers[tiny::OPENED]) = (Some(0), Some(20_221_105));
        let notes = vec![domain::Note { cell: tiny::NOTE, text: "thiếu máy".into() }];
        let violation = domain::Violation {
            reason: domain::Reason::RuleBroken,
            severity: domain::Severity::Warning,
            field: "people_fall".to_owned(),
            message: domain::Message { vi: "giảm".to_owned(), en: "fell".to_owned() },
        };
        let standing = |values| Standing {
            revision: domain::Revision::new(2).unwrap(),
            received_at: Timestamp::from_unix_micros(7_000_000),
            on_time: true,
            values,
            warnings: violation.clone().into(),
        };
        let told = report(&catalogue, question, Some(standing(Some(Values::with_notes(numbers, notes)))));
        assert_eq!((told.reported, told.revision, told.on_time), (true, Some(2), true));
        assert_eq!(told.received_at.unwrap().seconds, 7);
        let values: Vec<_> =
            told.values.iter().map(|value| (value.data_element.as_str(), value.value.clone())).collect();
        assert_eq!(
            values,
            [
                ("people", Some(Value::Integer(12))),
                ("met", Some(Value::Flag(true))),
                ("note", Some(Value::Text("thiếu máy".to_owned()))),
                ("opened", Some(Value::Date("2022-11-05".to_owned()))),
            ]
        );
        assert_eq!((told.warnings.len(), told.warnings[0].field.as_str()), (1, "people_fall"));

        let identity = Question::of_reports(&catalogue, tiny::asked("00001")).unwrap();
        let told = report(&catalogue, identity, Some(standing(Some(Values::from(vec![None, Some(923), Some(0)])))));
        let values: Vec<_> = told.values.iter().map(|value| (value.option.as_str(), value.value.clone())).collect();
        assert_eq!(values, [("", Some(Value::Decimal("92.3".to_owned()))), ("s03", Some(Value::Flag(false)))]);

        let withdrawn = report(&catalogue, question, Some(standing(None)));
        assert_eq!((withdrawn.reported, withdrawn.revision, withdrawn.values.len()), (false, Some(2), 0));
        let never = report(&catalogue, question, None);
        assert_eq!((never.reported, never.revision, never.received_at), (false, None, None));
        assert_eq!(never.org_unit.unwrap().code, "00001");
    }
}
