//! Who is silent past the deadline: of each form, in the newest period whose deadline has passed.

use domain::{Catalogue, DataSetCode, LevelCode, OrgUnitCode, Period, Timestamp, catalogue::DataSet};
use time::OffsetDateTime;

use crate::Shared;

/// A level that should have reported.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Due {
    data_set: DataSetCode,
    period: Period,
    /// Whose totals say who reported.
    nation: OrgUnitCode,
    level: LevelCode,
    expected: u32,
}

/// The levels that should have reported by now: one period a form and level, unless it is closed already.
fn due(catalogue: &Catalogue, now: Timestamp) -> Vec<Due> {
    let mut due = Vec::new();
    for data_set in catalogue.data_sets() {
        for &(level, _) in &data_set.schedule().deadlines {
            let Some(period) = newest_due(catalogue, data_set, level, now) else { continue };
            if catalogue.closes_at(data_set, period).is_some_and(|closed| closed <= now) {
                continue;
            }
            let vintage = catalogue.vintage(data_set, period);
            let nation = vintage.root();
            let expected = catalogue.expected(data_set, vintage, nation);
            if let Some((_, expected)) = expected.into_iter().find(|(of, _)| *of == level) {
                due.push(Due {
                    data_set: data_set.code().clone(),
                    period,
                    nation: vintage.unit(nation).code.clone(),
                    level: catalogue.level(level).code.clone(),
                    expected,
                });
            }
        }
    }
    due
}

fn newest_due(catalogue: &Catalogue, data_set: &DataSet, level: domain::LevelIx, now: Timestamp) -> Option<Period> {
    let today = OffsetDateTime::from(now).checked_to_offset(catalogue.utc_offset())?.date();
    let mut period = Period::containing(data_set.period_type(), data_set.calendar(), today)?;
    // A deadline may be later than the next period's end, not later than that of dozens.
    for _ in 0..64 {
        if catalogue.deadline(data_set, period, level, false)? <= now {
            return Some(period);
        }
        period = period.previous()?;
    }
    None
}

/// Tells how many units should have reported, and how many have not.
pub(crate) async fn look(shared: &Shared, now: Timestamp) -> Result<(), store::StoreError> {
    let catalogues = shared.versions.known();
    for Due { data_set, period, nation, level, expected } in due(catalogues.current(), now) {
        let reported = shared.store.reported(&data_set, period, &nation, &level).await?;
        let missing = u64::from(expected).saturating_sub(reported);
        let labels = [("data_set", data_set.to_string()), ("level", level.to_string())];
        metrics::gauge!("tonghop_expected_units", &labels).set(f64::from(expected));
        metrics::gauge!("tonghop_overdue_units", &labels).set(missing as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// Goal: a form is due from the instant of its deadline on, and until then the period before it is.
    #[test]
    fn a_period_is_due_from_its_deadline_on() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06");
        let catalogue = catalogue::load(&dir).unwrap().catalogue;
        let identity_at = |now: OffsetDateTime| {
            let due = due(&catalogue, Timestamp::from(now));
            let of = |due: Due| {
                (due.data_set.as_str() == "identity")
                    .then(|| (due.period.to_string(), due.level.to_string(), due.expected))
            };
            due.into_iter().filter_map(of).collect::<Vec<_>>()
        };
        // Months of this form end on the 14th; its communes have three days more.
        let deadline = datetime!(2022-11-17 17:00 UTC);
        let found = identity_at(deadline - time::Duration::SECOND);
        assert_eq!(found, [("202210".to_owned(), "commune".to_owned(), 10_599)]);
        assert_eq!(identity_at(deadline), [("202211".to_owned(), "commune".to_owned(), 10_599)]);
    }
}
