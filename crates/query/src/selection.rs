//! Which cells of a data set are asked about.

use domain::catalogue::DataSet;
use proto::pb::query::v1 as pb;

use crate::refused::Refused;

/// The cells that are asked about, by place; none for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection(Option<Vec<bool>>);

impl Selection {
    /// The cells that the caller named; all without any.
    pub(crate) fn read(data_set: &DataSet, names: &[pb::CellName]) -> Result<Self, Refused> {
        if names.is_empty() {
            return Ok(Self(None));
        }
        let mut chosen = vec![false; data_set.cells().len()];
        for (at, name) in names.iter().enumerate() {
            let pb::CellName { data_element, option } = name;
            let mut known = false;
            for (place, cell) in data_set.cells().iter().enumerate() {
                let is_option = option.is_empty() || cell.option.as_ref().is_some_and(|of| of.code.as_str() == option);
                if cell.element.code.as_str() == data_element && is_option {
                    (chosen[place], known) = (true, true);
                }
            }
            if !known {
                return Err(unknown(data_set, name, format!("cells[{at}]")));
            }
        }
        Ok(Self(Some(chosen)))
    }

    /// Leaves what was not asked about out of an answer: cells, the indicators and groups that need one of them, and the targets
    /// that one of them has to reach. A share of such a cell stays as the number that it is.
    pub(crate) fn apply(&self, data_set: &DataSet, totals: &mut pb::Totals) {
        let Some(chosen) = &self.0 else { return };
        let is_chosen = |place: usize| chosen.get(place).copied().unwrap_or(false);
        for level in totals.levels.iter_mut().chain(&mut totals.overall) {
            // All but targets stand in the order of the data set.
            keep(&mut level.cells, is_chosen);
            keep(&mut level.indicators, |place| {
                let of = data_set.indicators().get(place);
                of.is_some_and(|of| is_chosen(of.numerator) && is_chosen(of.denominator))
            });
            keep(&mut level.groups, |place| {
                let of = data_set.groups().get(place);
                of.is_some_and(|of| of.members.iter().all(|member| is_chosen(member.cell)))
            });
            level.targets.retain(|of| data_set.find_cell(&of.data_element, &of.option).is_some_and(is_chosen));
        }
    }
}

fn keep<T>(list: &mut Vec<T>, is_kept: impl Fn(usize) -> bool) {
    let mut place = 0..;
    list.retain(|_| place.next().is_some_and(&is_kept));
}

/// The place of the one cell that the caller named.
pub(crate) fn one(data_set: &DataSet, name: Option<&pb::CellName>, field: &str) -> Result<usize, Refused> {
    let nothing = pb::CellName::default();
    let name = name.unwrap_or(&nothing);
    let found = data_set.find_cell(&name.data_element, &name.option);
    found.ok_or_else(|| unknown(data_set, name, field.to_owned()))
}

fn unknown(data_set: &DataSet, name: &pb::CellName, field: String) -> Refused {
    let cut = |text: &str| text.chars().take(64).collect::<String>();
    let (element, option) = (cut(&name.data_element), cut(&name.option));
    let name = if option.is_empty() { element } else { format!("{element}[{option}]") };
    Refused::invalid(
        "CELL_UNKNOWN",
        field,
        format!("Biểu mẫu “{}” không có ô số liệu {name}.", data_set.name_vi()),
        format!("`{}` has no cell {name}", data_set.code()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    fn name(data_element: &str, option: &str) -> pb::CellName {
        pb::CellName { data_element: data_element.to_owned(), option: option.to_owned() }
    }

    #[test]
    fn a_data_element_is_all_its_options_and_what_is_unknown_is_told_with_its_place() {
        let catalogue = tiny::catalogue();
        let data_set = catalogue.find_data_set("services").unwrap();
        let read = |names: &[pb::CellName]| Selection::read(data_set, names);
        assert_eq!(read(&[]), Ok(Selection(None)));
        let Selection(Some(chosen)) = read(&[name("received", ""), name("online", "s02")]).unwrap() else { panic!() };
        let places: Vec<_> = (0..tiny::CELLS).filter(|place| chosen[*place]).collect();
        assert_eq!(places, [tiny::RECEIVED_S01, tiny::RECEIVED_S02, tiny::ONLINE_S02]);
        for unknown in [name("received", "s09"), name("", ""), name("people", "s01")] {
            let Err(Refused::Invalid { reason, field, .. }) = read(&[name("people", ""), unknown]) else { panic!() };
            assert_eq!((reason, field.as_str()), ("CELL_UNKNOWN", "cells[1]"));
        }
        assert_eq!(one(data_set, Some(&name("online", "s02")), "cell"), Ok(tiny::ONLINE_S02));
        assert!(one(data_set, Some(&name("online", "")), "cell").is_err(), "that is two");
        assert!(one(data_set, None, "cell").is_err());
    }
}
