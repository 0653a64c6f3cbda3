//! A question about totals: what the caller named, looked up.

use domain::{
    Catalogue, DataSetCode, OrgUnit, OrgUnitCode, Period, Reason, UnitIx, Vintage, Violations, catalogue::DataSet,
    judge,
};

use crate::refused::Refused;

/// What the caller named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) org_unit: &'a str,
    pub(crate) data_set: &'a str,
    pub(crate) period: &'a str,
}

/// A unit, data set and period that exist, as places in the catalogue: a watch keeps it for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The data set's place in [`Catalogue::data_sets`].
    pub(crate) data_set: usize,
    pub(crate) period: Period,
    /// The place in the tree's vintages of the one that reports the period.
    pub(crate) vintage: usize,
    pub(crate) unit: UnitIx,
}

impl Question {
    /// Looks up what the caller named.
    pub(crate) fn read(catalogue: &Catalogue, asked: Asked<'_>) -> Result<Self, Refused> {
        let mut violations = Violations::default();
        Self::look_up(catalogue, asked, &mut violations).ok_or_else(|| refusal(asked, violations))
    }

    fn look_up(catalogue: &Catalogue, asked: Asked<'_>, violations: &mut Violations) -> Option<Self> {
        let data_set = judge::find_data_set(catalogue, asked.data_set, violations)?;
        let period = judge::read_period(data_set, asked.period, violations)?;
        let vintage = catalogue.vintage(data_set, period);
        let unit = judge::find_unit(vintage, asked.org_unit, period, violations)?;
        Some(Self {
            data_set: catalogue.data_sets().iter().position(|candidate| std::ptr::eq(candidate, data_set))?,
            period,
            vintage: catalogue.tree().vintages().iter().position(|candidate| std::ptr::eq(candidate, vintage))?,
            unit,
        })
    }

    pub(crate) fn data_set<'c>(&self, catalogue: &'c Catalogue) -> &'c DataSet {
        &catalogue.data_sets()[self.data_set]
    }

    pub(crate) fn vintage<'c>(&self, catalogue: &'c Catalogue) -> &'c Vintage {
        &catalogue.tree().vintages()[self.vintage]
    }

    pub(crate) fn unit<'c>(&self, catalogue: &'c Catalogue) -> &'c OrgUnit {
        self.vintage(catalogue).unit(self.unit)
    }
}

/// A code that could exist and does not is not found; what could not even be a code, or a period, is malformed.
fn refusal(asked: Asked<'_>, violations: Violations) -> Refused {
    let could_exist = match violations.list().first().map(|first| first.reason) {
        Some(Reason::DataSetUnknown) => DataSetCode::new(asked.data_set).is_ok(),
        Some(Reason::OrgUnitUnknown) => OrgUnitCode::new(asked.org_unit).is_ok(),
        _ => false,
    };
    if could_exist { Refused::Unknown(violations) } else { Refused::Malformed(violations) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    fn read(org_unit: &str, data_set: &str, period: &str) -> Result<Question, Refused> {
        Question::read(&tiny::catalogue(), Asked { org_unit, data_set, period })
    }

    #[test]
    fn the_tree_of_the_periods_last_day_is_asked() {
        let catalogue = tiny::catalogue();
        let before = Question::read(&catalogue, tiny::asked("011")).unwrap();
        assert_eq!(before.unit(&catalogue).code.as_str(), "011");
        assert_eq!(before.data_set(&catalogue).code().as_str(), "identity");
        // After the reform there are no districts.
        assert!(matches!(read("011", "identity", "202507"), Err(Refused::Unknown(_))));
    }

    #[test]
    fn what_does_not_exist_is_unknown_and_what_cannot_exist_is_malformed() {
        for (result, reason, field) in [
            (read("VN", "identity2", "202211"), Reason::DataSetUnknown, "data_set"),
            (read("99", "identity", "202211"), Reason::OrgUnitUnknown, "org_unit"),
        ] {
            let Err(Refused::Unknown(violations)) = result else { panic!("{result:?}") };
            let [violation] = violations.list() else { panic!("{violations:?}") };
            assert_eq!((violation.reason, violation.field.as_str()), (reason, field));
        }
        for (result, reason, field) in [
            (read("VN", "", "202211"), Reason::DataSetUnknown, "data_set"),
            (read("VN", "a.b", "202211"), Reason::DataSetUnknown, "data_set"),
            (read("V N", "identity", "202211"), Reason::OrgUnitUnknown, "org_unit"),
            (read("VN", "identity", "2022-11"), Reason::PeriodMalformed, "period"),
            (read("VN", "identity", "2022Q4"), Reason::PeriodTypeWrong, "period"),
        ] {
            let Err(Refused::Malformed(violations)) = result else { panic!("{result:?}") };
            let [violation] = violations.list() else { panic!("{violations:?}") };
            assert_eq!((violation.reason, violation.field.as_str()), (reason, field));
        }
    }
}
