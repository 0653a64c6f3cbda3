//! A question about totals: what the caller named, looked up.

use domain::{
    Catalogue, DataSetCode, OrgUnit, OrgUnitCode, Period, Reason, UnitIx, Vintage, Violations, catalogue::DataSet,
    judge, recount::Of, window,
};

use crate::{caller::Caller, refused::Refused};

/// What the caller named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) org_unit: &'a str,
    pub(crate) data_set: &'a str,
    pub(crate) period: &'a str,
}

/// A unit, data set and period that exist, as places in the catalogue: a watch keeps it for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// The data set's place in [`Catalogue::data_sets`].
    pub(crate) data_set: usize,
    /// One of the data set's own, or a longer one.
    pub(crate) period: Period,
    /// The place in the tree's vintages of the one that reports the period.
    pub(crate) vintage: usize,
    pub(crate) unit: UnitIx,
}

impl Question {
    /// Looks up what the caller named: a unit and a period for which there are totals.
    pub(crate) fn read(catalogue: &Catalogue, asked: Asked<'_>) -> Result<Self, Refused> {
        Self::look_up(catalogue, asked, |data_set, violations| {
            window::read_period(catalogue, data_set, asked.period, violations)
        })
    }

    /// Looks up what the caller named: a unit and a period for which there are reports.
    pub(crate) fn of_reports(catalogue: &Catalogue, asked: Asked<'_>) -> Result<Self, Refused> {
        Self::look_up(catalogue, asked, |data_set, violations| judge::read_period(data_set, asked.period, violations))
    }

    /// Looks up what the caller named, for a period that was found out otherwise.
    pub(crate) fn of_period(catalogue: &Catalogue, asked: Asked<'_>, period: Period) -> Result<Self, Refused> {
        // The form must have what the caller called it.
        Self::look_up(catalogue, asked, |data_set, violations| {
            window::read_period(catalogue, data_set, asked.period, violations).map(|_| period)
        })
    }

    fn look_up(
        catalogue: &Catalogue,
        asked: Asked<'_>,
        read_period: impl FnOnce(&DataSet, &mut Violations) -> Option<Period>,
    ) -> Result<Self, Refused> {
        let mut violations = Violations::default();
        let find = || {
            let data_set = judge::find_data_set(catalogue, asked.data_set, &mut violations)?;
            let period = read_period(data_set, &mut violations)?;
            let vintage = catalogue.vintage(data_set, period);
            let unit = judge::find_unit(vintage, asked.org_unit, data_set, period, &mut violations)?;
            Some(Self {
                data_set: catalogue.data_sets().iter().position(|candidate| std::ptr::eq(candidate, data_set))?,
                period,
                vintage: catalogue.tree().vintages().iter().position(|candidate| std::ptr::eq(candidate, vintage))?,
                unit,
            })
        };
        let question = find().ok_or_else(|| refusal(asked, violations))?;
        // Unit tests look up without a caller.
        if !cfg!(test) {
            Caller::current()?.may_read(catalogue, &question)?;
        }
        Ok(question)
    }

    /// The data set that the caller named.
    pub(crate) fn data_set_of<'c>(catalogue: &'c Catalogue, code: &str) -> Result<&'c DataSet, Refused> {
        let mut violations = Violations::default();
        let found = judge::find_data_set(catalogue, code, &mut violations);
        found.ok_or_else(|| refusal(Asked { org_unit: "", data_set: code, period: "" }, violations))
    }

    /// Whether a longer period is asked about, made of the data set's own.
    pub(crate) fn is_window(&self, catalogue: &Catalogue) -> bool {
        window::is_window(self.data_set(catalogue), self.period)
    }

    /// Whether the unit asked about is the very one that had its code in an earlier (or the same) one of the data set's own
    /// periods, and that period ends no later than the one asked about.
    pub(crate) fn has_come_from(&self, catalogue: &Catalogue, period: Period) -> bool {
        let data_set = self.data_set(catalogue);
        if period.kind() != data_set.period_type() || data_set.last_day(period) > data_set.last_day(self.period) {
            return false;
        }
        if self.period.kind() == domain::PeriodType::Latest {
            return self.is_made_of(catalogue, period); // one tree: one unit for each code
        }
        let then = catalogue.vintage(data_set, period).find(self.unit(catalogue).code.as_str());
        then.is_some_and(|then| catalogue.counts_at(data_set, then, period, self.period) == (self.unit, true))
    }

    /// Whether the period asked about is made of one of the data set's own, by the catalogue in use.
    fn is_made_of(&self, catalogue: &Catalogue, period: Period) -> bool {
        let data_set = self.data_set(catalogue);
        period == self.period || catalogue.windows(data_set, period).contains(&self.period)
    }

    /// The totals that are asked about.
    pub(crate) fn of<'c>(&self, catalogue: &'c Catalogue) -> Of<'c> {
        Of { data_set: self.data_set(catalogue).code(), period: self.period, org_unit: &self.unit(catalogue).code }
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

    fn reports(org_unit: &str, period: &str) -> Result<Question, Refused> {
        Question::of_reports(&tiny::catalogue(), Asked { org_unit, data_set: "identity", period })
    }

    #[test]
    fn the_tree_of_the_periods_last_day_is_asked() {
        let catalogue = tiny::catalogue();
        let before = Question::read(&catalogue, tiny::asked("011")).unwrap();
        assert_eq!(before.unit(&catalogue).code.as_str(), "011");
        assert_eq!(before.data_set(&catalogue).code().as_str(), "identity");
        // After the reform there are no districts.
        assert!(matches!(read("011", "identity", "202507"), Err(Refused::Unknown(_))));
        assert!(matches!(read("011", "identity", "2025"), Err(Refused::Unknown(_))));
        assert!(matches!(read("011", "identity", "latest"), Err(Refused::Unknown(_))), "the newest tree's");
        assert!(read("011", "identity", "2025Q2").is_ok() && read("011", "identity", "latest20000101").is_ok());
    }

    /// Goal: codes were given anew at the reform, so 00001 of after it is another unit; the province, whose row goes
    /// on over that day, is the same, and so is the root.
    #[test]
    fn a_unit_comes_from_earlier_periods_until_codes_were_given_anew() {
        let catalogue = tiny::catalogue();
        let came = |org_unit, asked, from: &str| {
            let asked = Asked { org_unit, data_set: "identity", period: asked };
            Question::read(&catalogue, asked).unwrap().has_come_from(&catalogue, from.parse().unwrap())
        };
        assert!(
            came("00001", "202211", "202211") && came("00001", "202211", "202201") && came("011", "2022", "202112")
        );
        assert!(!came("00001", "202211", "202212"), "that is later");
        assert!(!came("00001", "2025", "202506") && came("00001", "2025", "202507"));
        assert!(came("01", "2025", "202506") && came("VN", "2025", "202506"));
        assert!(!came("00001", "latest", "202506") && came("00001", "latest", "202507"));
        assert!(came("00001", "latest20000101", "202506") && !came("00001", "latest20000101", "202507"));
        assert!(!came("VN", "2022", "2022Q4"), "no period of its own");
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
            (read("VN", "identity", "2022W45"), Reason::PeriodTypeWrong, "period"),
            (read("VN", "identity", "latest20250702"), Reason::PeriodMalformed, "period"),
            (reports("VN", "2022Q4"), Reason::PeriodTypeWrong, "period"),
        ] {
            let Err(Refused::Malformed(violations)) = result else { panic!("{result:?}") };
            let [violation] = violations.list() else { panic!("{violations:?}") };
            assert_eq!((violation.reason, violation.field.as_str()), (reason, field));
        }
    }
}
