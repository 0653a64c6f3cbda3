//! The names that a catalogue has for what an answer names by code.

use std::path::Path;

use domain::{Catalogue, catalogue::Cell};
use proto::pb::query::v1::{CellTotal, GroupTotal, Indicator, Totals};

use crate::{
    args, check,
    output::{Failure, Output, both},
};

/// The names that a catalogue has for levels and cells; codes without one.
pub(crate) struct Names(Option<Catalogue>);

impl Names {
    pub(crate) fn load(dir: Option<&Path>, output: &Output) -> Result<Self, Failure> {
        // With --json nobody sees the names.
        let Some(dir) = dir.filter(|_| !output.is_json()) else { return Ok(Self(None)) };
        Ok(Self(Some(check::load(dir)?)))
    }

    /// Without any names.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn remark_other_version(&self, totals: &Totals, output: &Output) {
        let Some(catalogue) = &self.0 else { return };
        let (ours, theirs) = (catalogue.version().as_str(), &totals.catalogue_version);
        if ours != theirs {
            output.remark(&both(
                format!("tên gọi lấy từ danh mục {ours}, số liệu theo danh mục {theirs}"),
                format!("names are those of catalogue {ours}, numbers go by catalogue {theirs}"),
            ));
        }
    }

    pub(crate) fn level(&self, code: &str, output: &Output) -> String {
        let level = self.0.as_ref().and_then(|catalogue| Some(catalogue.level(catalogue.find_level(code)?)));
        level.map_or_else(|| code.to_owned(), |level| output.lang().of(&level.name_vi, &level.name_en))
    }

    pub(crate) fn cell(&self, data_set: &str, total: &CellTotal) -> Option<&Cell> {
        let data_set = self.0.as_ref()?.find_data_set(data_set)?;
        data_set.cells().get(data_set.find_cell(&total.data_element, &total.option)?)
    }

    /// The names of a cell's data element and option, in one language: both would not fit into a line.
    pub(crate) fn cell_names(
        &self,
        data_set: &str,
        total: &CellTotal,
        output: &Output,
    ) -> Option<(&str, Option<&str>)> {
        let Cell { element, option, .. } = self.cell(data_set, total)?;
        Some(if output.lang() == args::Lang::En {
            (&element.name_en, option.as_ref().map(|option| option.name_en.as_str()))
        } else {
            (&element.name_vi, option.as_ref().map(|option| option.name_vi.as_str()))
        })
    }

    /// The name of an indicator with its option.
    pub(crate) fn indicator(&self, data_set: &str, of: &Indicator, output: &Output) -> Option<String> {
        let indicators = self.0.as_ref()?.find_data_set(data_set)?.indicators();
        let known = indicators.iter().find(|known| {
            let option = known.option.as_ref().map_or("", |option| option.code.as_str());
            known.code.as_str() == of.code && option == of.option
        })?;
        let (name, option) = if output.lang() == args::Lang::En {
            (&known.name_en, known.option.as_ref().map(|option| &option.name_en))
        } else {
            (&known.name_vi, known.option.as_ref().map(|option| &option.name_vi))
        };
        Some(option.map_or_else(|| name.clone(), |option| format!("{name}: {option}")))
    }

    /// The name of a group's data element with the group's.
    pub(crate) fn group(&self, data_set: &str, of: &GroupTotal, output: &Output) -> Option<String> {
        let data_set = self.0.as_ref()?.find_data_set(data_set)?;
        let known = data_set
            .groups()
            .iter()
            .find(|known| known.element.as_str() == of.data_element && known.group.code.as_str() == of.group)?;
        let element = &data_set.cells().get(known.members.first()?.cell)?.element;
        Some(if output.lang() == args::Lang::En {
            format!("{}: {}", element.name_en, known.group.name_en)
        } else {
            format!("{}: {}", element.name_vi, known.group.name_vi)
        })
    }
}
