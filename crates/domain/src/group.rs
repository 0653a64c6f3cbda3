//! Groups: options that are counted together, by the days on which they belong together.

use time::Date;

use crate::{
    catalogue::CellGroup,
    fold::{Overflow, Tally},
};

/// What the cells of a group add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTotal {
    /// The sum; none where no unit gave a value for any of the cells.
    pub sum: Option<i64>,
    /// How many values are in it.
    pub contributing: i64,
    /// How many cells belong to the group.
    pub cells: usize,
}

impl CellGroup {
    /// The places of the cells that belong to the group on a day.
    pub fn cells_on(&self, day: Date) -> impl Iterator<Item = usize> {
        let on_day = self.members.iter().filter(move |member| {
            member.valid_from.is_none_or(|from| from <= day) && member.valid_to.is_none_or(|to| day < to)
        });
        on_day.map(|member| member.cell)
    }

    /// What the cells that belong to the group on a day add up to.
    ///
    /// # Errors
    /// When the sum leaves the range of an `i64`: many options of totals that are all near the limit.
    pub fn total(&self, day: Date, totals: &Tally) -> Result<GroupTotal, Overflow> {
        let mut group = GroupTotal { sum: None, contributing: 0, cells: 0 };
        for cell in self.cells_on(day) {
            group.cells += 1;
            let Some(value) = totals.given(cell) else { continue };
            group.sum = Some(group.sum.unwrap_or(0).checked_add(value).ok_or(Overflow)?);
            group.contributing = group.contributing.checked_add(totals.contributions(cell)).ok_or(Overflow)?;
        }
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{CategoryOption, GroupMember},
        form::tally,
    };
    use time::macros::date;

    /// The essential services the police are in charge of: s01 to s11, and since 1 October 2025 two that were others' before.
    fn police() -> CellGroup {
        let since_directive_24 = Some(date!(2025 - 10 - 01));
        let members = (0..11)
            .map(|cell| GroupMember { cell, valid_from: None, valid_to: None })
            .chain([14, 20].map(|cell| GroupMember { cell, valid_from: since_directive_24, valid_to: None }));
        CellGroup {
            element: "svc_online".parse().unwrap(),
            group: CategoryOption { code: "police".parse().unwrap(), name_vi: String::new(), name_en: String::new() },
            members: members.collect(),
        }
    }

    /// Goal: eleven services until the directive and thirteen from its day on, and whoever asks about a day gets that day's.
    #[test]
    fn the_police_have_eleven_services_and_then_thirteen() {
        // Each service has 100 applications more than the one before, from 2 units each.
        let mut totals = tally(&(1..=25).map(|number| Some(number * 100)).collect::<Vec<_>>());
        totals.contributing.fill(2);
        let before = police().total(date!(2025 - 09 - 30), &totals).unwrap();
        assert_eq!(before, GroupTotal { sum: Some(6_600), contributing: 22, cells: 11 }); // 100 × 11 × 12 ÷ 2
        let after = police().total(date!(2025 - 10 - 01), &totals).unwrap();
        assert_eq!(after, GroupTotal { sum: Some(10_200), contributing: 26, cells: 13 }); // and 1,500 and 2,100
    }

    #[test]
    fn a_cell_that_left_belongs_until_the_day_before() {
        let mut group = police();
        group.members[0].valid_to = Some(date!(2023 - 01 - 01));
        assert_eq!(group.cells_on(date!(2022 - 12 - 31)).count(), 11);
        assert_eq!(group.cells_on(date!(2023 - 01 - 01)).next(), Some(1));
    }

    #[test]
    fn a_group_that_nobody_gave_a_value_for_is_absent() {
        let group = police().total(date!(2022 - 11 - 14), &tally(&[None; 25])).unwrap();
        assert_eq!(group, GroupTotal { sum: None, contributing: 0, cells: 11 });
        let zero = police().total(date!(2022 - 11 - 14), &tally(&[Some(0)])).unwrap();
        assert_eq!((zero.sum, zero.contributing), (Some(0), 1), "a form from before the other options");
    }

    #[test]
    fn a_sum_that_does_not_fit_is_told_and_not_wrapped() {
        let day = date!(2022 - 11 - 14);
        assert_eq!(police().total(day, &tally(&[Some(i64::MAX), Some(1)])), Err(Overflow));
        let fits = police().total(day, &tally(&[Some(i64::MAX), Some(i64::MIN)])).unwrap();
        assert_eq!(fits.sum, Some(-1));
    }
}
