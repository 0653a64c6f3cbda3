//! Answers: what is stored about a unit, in the words of the catalogue and the wire.

use domain::{
    Catalogue, Values,
    catalogue::{Cell, DataSet},
    fold::Tally,
    settle::{Claim, Fate, Origin, Position},
};
use proto::pb::query::v1 as pb;
use store::{Submission, UnitTotals};

use crate::question::Question;

/// The totals of the unit that was asked about; `expected` has a count for each level of the catalogue.
pub(crate) fn totals(
    catalogue: &Catalogue,
    question: Question,
    expected: &[u32],
    stored: UnitTotals,
    up_to: Position,
) -> pb::Totals {
    let UnitTotals { levels, own_report, version, own_version, changed_at, own_received_at } = stored;
    let (data_set, unit) = (question.data_set(catalogue), question.unit(catalogue));
    let own_level = &catalogue.level(unit.level).code;
    // A unit with nothing below it has no totals of its own: its report is its total.
    let (tallies, version, changed_at) = if unit.is_leaf() {
        let own = own_report.map(|values| (own_level.clone(), tally(data_set, &values)));
        (own.into_iter().collect(), own_version, own_received_at)
    } else {
        (levels, version, changed_at)
    };
    let levels = catalogue.levels().iter().zip(expected).filter_map(|(level, expected)| {
        let tally = tallies.iter().find(|(code, _)| *code == level.code).map(|(_, tally)| tally);
        (tally.is_some() || *expected > 0).then(|| pb::LevelTotals {
            level: level.code.to_string(),
            reported: tally.map_or(0, |tally| tally.reported),
            expected: i64::from(*expected),
            cells: data_set.cells().iter().enumerate().map(|(place, cell)| cell_total(cell, place, tally)).collect(),
        })
    });
    pb::Totals {
        org_unit: Some(pb::OrgUnit {
            code: unit.code.to_string(),
            name: unit.name.clone(),
            level: own_level.to_string(),
        }),
        data_set: data_set.code().to_string(),
        period: question.period.to_string(),
        levels: levels.collect(),
        version,
        log_position: up_to.0,
        catalogue_version: catalogue.version().to_string(),
        changed_at: changed_at.map(proto::timestamp),
    }
}

/// One report as a tally: what its unit says, also in the cells that are kept and not added.
fn tally(data_set: &DataSet, values: &Values) -> Tally {
    let mut tally = Tally { reported: 1, ..Tally::zero(data_set.cells().len()) };
    for place in 0..data_set.cells().len() {
        if let Some(value) = values.get(place) {
            tally.sums[place] = value;
            tally.contributing[place] = 1;
        }
    }
    tally
}

/// A total that was stored before the data set got a cell has no place for it: nobody gave it a value.
fn cell_total(cell: &Cell, place: usize, tally: Option<&Tally>) -> pb::CellTotal {
    let contributing = tally.and_then(|tally| tally.contributing.get(place)).copied().unwrap_or(0);
    let sum = tally.and_then(|tally| tally.sums.get(place)).copied();
    pb::CellTotal {
        data_element: cell.element.code.to_string(),
        option: cell.option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
        sum: sum.filter(|_| contributing > 0),
        decimals: u32::from(cell.element.value_type.decimals()),
        contributing,
    }
}

/// What became of the submission of that id.
pub(crate) fn submission(submission_id: String, found: Submission) -> pb::GetSubmissionResponse {
    let Submission { claim, fate, violations, received_at, origin, repeated, current_revision, counts } = found;
    let Claim { submission_id: _, data_set, period, org_unit, revision } = claim;
    let Origin { sequence, index } = origin;
    let fate = match fate {
        Fate::Accepted => pb::Fate::Accepted,
        Fate::Rejected => pb::Fate::Rejected,
        Fate::Duplicate => pb::Fate::Duplicate,
        Fate::Superseded => pb::Fate::Superseded,
    };
    pb::GetSubmissionResponse {
        submission_id,
        fate: fate.into(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{expected::Expected, tiny};
    use domain::Timestamp;

    fn answer(org_unit: &str, stored: UnitTotals) -> pb::Totals {
        let catalogue = tiny::catalogue();
        let question = Question::read(&catalogue, tiny::asked(org_unit)).unwrap();
        totals(&catalogue, question, Expected::count(&catalogue).of(question), stored, Position(42))
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
                own_version: 3,
                changed_at: Some(Timestamp::from_unix_micros(5_000_000)),
                own_received_at: Some(Timestamp::from_unix_micros(1)),
                ..UnitTotals::default()
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
            own_report: values.map(Values::from),
            own_version: 2,
            own_received_at: Some(Timestamp::from_unix_micros(3_000_000)),
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
}
