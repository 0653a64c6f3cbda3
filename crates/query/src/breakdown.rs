//! Breakdowns: the units below a unit in the order of a number, with ranks.

use std::cmp::Ordering;

use domain::{
    Catalogue, UnitIx,
    catalogue::{DataSet, SpaceAggregation},
    fold::{Overflow, Tally},
    indicator::Percent,
};
use proto::pb::query::v1 as pb;

use crate::{
    page::{self, Sealed},
    question::Question,
    read::Reader,
    refused::Refused,
    selection,
    state::State,
};

/// Units whose numbers are read together.
const TOGETHER: usize = 1_000;

/// What units are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Code,
    /// The cell at a place.
    Cell(usize),
    /// The indicator at a place.
    Indicator(usize),
    Completeness,
}

impl Key {
    pub(crate) fn read(data_set: &DataSet, asked: Option<&pb::SortBy>) -> Result<Self, Refused> {
        match asked.and_then(|asked| asked.number.as_ref()) {
            None | Some(pb::sort_by::Number::Completeness(false)) => Ok(Self::Code),
            Some(pb::sort_by::Number::Completeness(true)) => Ok(Self::Completeness),
            Some(pb::sort_by::Number::Cell(name)) => {
                selection::one(data_set, Some(name), "sort_by.cell").map(Self::Cell)
            }
            Some(pb::sort_by::Number::Indicator(pb::IndicatorName { code, option })) => {
                let found = data_set.indicators().iter().position(|indicator| {
                    let of = indicator.option.as_ref().map_or("", |option| option.code.as_str());
                    indicator.code.as_str() == code && of == option
                });
                found.map(Self::Indicator).ok_or_else(|| {
                    Refused::invalid(
                        "INDICATOR_UNKNOWN",
                        "sort_by.indicator",
                        format!("Biểu mẫu “{}” không có chỉ số này.", data_set.name_vi()),
                        format!("`{}` has no such indicator", data_set.code()),
                    )
                })
            }
        }
    }

    /// As a token has it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Code => "code".to_owned(),
            Self::Cell(place) => format!("cell{place}"),
            Self::Indicator(place) => format!("indicator{place}"),
            Self::Completeness => "completeness".to_owned(),
        }
    }

    /// The number of a unit; none where it has none.
    fn number(self, catalogue: &Catalogue, state: &State, expected: i64) -> Result<Option<Number>, Overflow> {
        let data_set = state.question.data_set(catalogue);
        let mut all = Tally::zero(data_set.cells().len());
        for (_, tally) in &state.tallies {
            all.add(tally)?;
        }
        Ok(match self {
            Self::Code => None,
            Self::Completeness => {
                (expected > 0).then(|| Number::Fraction(i128::from(all.reported), i128::from(expected)))
            }
            Self::Cell(place) => {
                let is_mean = data_set.cells()[place].element.space_aggregation == SpaceAggregation::Mean;
                let of = if is_mean { all.contributions(place) } else { 1 };
                all.given(place).map(|sum| Number::Fraction(i128::from(sum), i128::from(of)))
            }
            Self::Indicator(place) => {
                let indicator = &data_set.indicators()[place];
                let own_level = &catalogue.level(state.question.unit(catalogue).level).code;
                let own = state.tallies.iter().find(|(of, _)| of == own_level).map(|(_, tally)| tally);
                let nothing = Tally::zero(data_set.cells().len());
                let totals = if indicator.is_of_one_unit(data_set) { own.unwrap_or(&nothing) } else { &all };
                indicator.ratio(data_set, totals).value.map(Number::Percent)
            }
        })
    }
}

/// What two units are compared by.
#[derive(Clone, Copy, Debug)]
enum Number {
    /// Dividend and divisor; the divisor is positive. Both come from an `i64`.
    Fraction(i128, i128),
    /// As it is shown.
    Percent(Percent),
}

impl Number {
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Fraction(a, of), Self::Fraction(b, per)) => (a * per).cmp(&(b * of)),
            (Self::Percent(a), Self::Percent(b)) => a.cmp(&b),
            // All numbers of a list are of one kind.
            (Self::Fraction(..), Self::Percent(_)) => Ordering::Less,
            (Self::Percent(_), Self::Fraction(..)) => Ordering::Greater,
        }
    }
}

/// Sorts units, given by code, and gives each its rank: 1, 2, 2, 4. Those without a number come last and have none.
fn rank(mut units: Vec<(UnitIx, Option<Number>)>, descending: bool) -> Vec<(UnitIx, Option<i64>)> {
    let compare = |a: Option<Number>, b: Option<Number>| match (a, b) {
        (Some(a), Some(b)) if descending => b.compare(a),
        (Some(a), Some(b)) => a.compare(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    // Stable: among equals the order of codes stays.
    units.sort_by(|(_, a), (_, b)| compare(*a, *b));
    let mut ranked = Vec::with_capacity(units.len());
    let mut last: Option<(Number, i64)> = None;
    for (place, (unit, number)) in (1..).zip(units) {
        let rank = number.map(|number| match last {
            Some((before, rank)) if before.compare(number) == Ordering::Equal => rank,
            _ => place,
        });
        last = number.zip(rank);
        ranked.push((unit, rank));
    }
    ranked
}

/// The units that are listed: those directly below, or those of a level at any depth. By code.
pub(crate) fn units(catalogue: &Catalogue, question: Question, level: &str) -> Result<Vec<UnitIx>, Refused> {
    if level.is_empty() {
        return Ok(question.unit(catalogue).children.clone());
    }
    let level = level_of(catalogue, level, "level")?;
    let vintage = question.vintage(catalogue);
    let below = vintage.subtree(question.unit).filter(|unit| *unit != question.unit);
    let mut units: Vec<_> = below.filter(|unit| vintage.unit(*unit).level == level).collect();
    units.sort_unstable(); // the places of a tree's units are by code
    Ok(units)
}

/// The level that the caller named.
pub(crate) fn level_of(catalogue: &Catalogue, code: &str, field: &str) -> Result<domain::LevelIx, Refused> {
    catalogue.find_level(code).ok_or_else(|| {
        let known: Vec<_> = catalogue.levels().iter().map(|level| level.code.as_str()).collect();
        let known = known.join(", ");
        Refused::invalid(
            "LEVEL_UNKNOWN",
            field,
            format!("Không có cấp này; các cấp là: {known}."),
            format!("there is no such level; there are {known}"),
        )
    })
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breakdown<'a> {
    pub(crate) question: Question,
    pub(crate) units: &'a [UnitIx],
    pub(crate) key: Key,
    pub(crate) descending: bool,
    /// All that was asked for, field by field.
    pub(crate) list: &'a [&'a str],
}

impl Reader {
    /// A page of a breakdown.
    pub(crate) async fn breakdown(
        &self,
        asked: Breakdown<'_>,
        token: &str,
        size: usize,
    ) -> Result<pb::ListBreakdownResponse, Refused> {
        let Breakdown { question, units, key, descending, list } = asked;
        let catalogue = self.catalogue();
        let vintage = question.vintage(catalogue);
        let code = |unit: UnitIx| vintage.unit(unit).code.as_str();
        let before = read_token(list, token)?;
        self.ask(async {
            let mut snapshot = self.store.snapshot().await?;
            let ranked = if key == Key::Code {
                let (mut ranked, down) = (units.iter().map(|unit| (*unit, None)).collect::<Vec<_>>(), descending);
                if down {
                    ranked.reverse();
                }
                ranked
            } else {
                let mut numbers = Vec::with_capacity(units.len());
                for units in units.chunks(TOGETHER) {
                    let questions: Vec<_> = units.iter().map(|unit| Question { unit: *unit, ..question }).collect();
                    let (states, _) = self.states(&mut snapshot, &questions).await?;
                    for state in states {
                        let number = key.number(catalogue, &state, self.expected(state.question))?;
                        numbers.push((state.question.unit, number));
                    }
                }
                rank(numbers, descending)
            };
            let order = order(&ranked, code);
            let (from, order_changed) = match before {
                None => (0, false),
                Some((last, was)) => {
                    let shown = ranked.iter().position(|(unit, _)| code(*unit) == last).ok_or(Refused::PageToken)?;
                    (shown + 1, was != order)
                }
            };
            let to = (from + size).min(ranked.len());
            let shown = ranked.get(from..to).unwrap_or_default();
            let questions: Vec<_> = shown.iter().map(|(unit, _)| Question { unit: *unit, ..question }).collect();
            let up_to = snapshot.position(self.partition(question.data_set(catalogue))).await?;
            let totals = self.read(&mut snapshot, &questions).await?;
            snapshot.end().await?;
            let last = shown.last().filter(|_| to < ranked.len());
            let next_page_token = last.map(|(unit, _)| Sealed::seal(list, &format!("{order:016x}{}", code(*unit))));
            let units = totals.into_iter().zip(shown);
            let units = units.map(|(totals, (_, rank))| pb::RankedTotals { totals: Some(totals), rank: *rank });
            Ok(pb::ListBreakdownResponse {
                units: units.collect(),
                next_page_token: next_page_token.unwrap_or_default(),
                log_position: up_to.0,
                order_changed,
            })
        })
        .await
    }
}

/// The last unit that was shown and the fingerprint of the order it was shown in; none for the first page.
fn read_token<'t>(list: &[&str], token: &'t str) -> Result<Option<(&'t str, u64)>, Refused> {
    if token.is_empty() {
        return Ok(None);
    }
    let (order, last) = Sealed::open(list, token)?.split_at_checked(16).ok_or(Refused::PageToken)?;
    let order = u64::from_str_radix(order, 16).map_err(|_| Refused::PageToken)?;
    Ok(Some((last, order)))
}

/// The fingerprint of an order with its ranks.
fn order<'a>(ranked: &[(UnitIx, Option<i64>)], code: impl Fn(UnitIx) -> &'a str) -> u64 {
    let ranks: Vec<_> = ranked.iter().map(|(_, rank)| rank.map(|rank| rank.to_string()).unwrap_or_default()).collect();
    let words: Vec<_> = ranked.iter().zip(&ranks).flat_map(|((unit, _), rank)| [code(*unit), rank.as_str()]).collect();
    page::fingerprint(&words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{question::Asked, tiny};

    fn ranks(numbers: &[Option<(i128, i128)>], descending: bool) -> Vec<(usize, Option<i64>)> {
        let catalogue = tiny::catalogue();
        let places: Vec<UnitIx> = catalogue.tree().vintages()[0].units().map(|(ix, _)| ix).collect();
        let units = numbers
            .iter()
            .zip(&places)
            .map(|(number, unit)| (*unit, number.map(|(dividend, divisor)| Number::Fraction(dividend, divisor))));
        rank(units.collect(), descending).iter().map(|(unit, rank)| (unit.get(), *rank)).collect()
    }

    #[test]
    fn equals_share_a_rank_and_who_has_no_number_has_none() {
        let numbers = [Some((5, 1)), None, Some((10, 2)), Some((9, 1)), Some((-1, 3)), Some((0, 1))];
        let up = [(4, Some(1)), (5, Some(2)), (0, Some(3)), (2, Some(3)), (3, Some(5)), (1, None)];
        assert_eq!(ranks(&numbers, false), up);
        let down = [(3, Some(1)), (0, Some(2)), (2, Some(2)), (5, Some(4)), (4, Some(5)), (1, None)];
        assert_eq!(ranks(&numbers, true), down);
        assert_eq!(ranks(&[Some((i128::from(i64::MAX), 3)), Some((i128::from(i64::MAX), 4))], false)[0].0, 1);
    }

    #[test]
    fn units_of_a_level_are_found_at_any_depth() {
        let catalogue = tiny::catalogue();
        let question = Question::read(&catalogue, Asked { org_unit: "VN", ..tiny::asked("VN") }).unwrap();
        let listed = |level| {
            let unit = |unit: &UnitIx| question.vintage(&catalogue).unit(*unit).code.to_string();
            units(&catalogue, question, level).map(|units| units.iter().map(unit).collect::<Vec<_>>())
        };
        assert_eq!(listed("").unwrap(), ["01", "02"]);
        assert_eq!(listed("district").unwrap(), ["011", "012", "021"]);
        assert_eq!(listed("national").unwrap(), Vec::<String>::new(), "not the unit itself");
        assert!(matches!(listed("ward"), Err(Refused::Invalid { reason: "LEVEL_UNKNOWN", .. })));
    }

    #[test]
    fn what_is_sorted_by_must_be_there() {
        let catalogue = tiny::catalogue();
        let data_set = catalogue.find_data_set("services").unwrap();
        let read = |number| Key::read(data_set, Some(&pb::SortBy { number: Some(number) }));
        let indicator = |code: &str, option: &str| {
            pb::sort_by::Number::Indicator(pb::IndicatorName { code: code.to_owned(), option: option.to_owned() })
        };
        assert_eq!(Key::read(data_set, None), Ok(Key::Code));
        assert_eq!(read(pb::sort_by::Number::Completeness(true)), Ok(Key::Completeness));
        assert_eq!(read(indicator("online_rate", "s02")), Ok(Key::Indicator(1)));
        assert!(matches!(
            read(indicator("online_rate", "")),
            Err(Refused::Invalid { reason: "INDICATOR_UNKNOWN", .. })
        ));
        let cell = pb::sort_by::Number::Cell(pb::CellName { data_element: "people".to_owned(), option: String::new() });
        assert_eq!(read(cell), Ok(Key::Cell(tiny::PEOPLE)));
    }
}
