//! The administrative tree, read from the catalogue's file by other code than the pipeline's.

use std::collections::BTreeMap;

/// The units of late 2022.
#[derive(Debug)]
pub struct OrgUnits(BTreeMap<String, Unit>);

#[derive(Debug)]
struct Unit {
    level: &'static str,
    parent: Option<String>,
}

const LEVELS: [&str; 5] = ["national", "ministry", "province", "district", "commune"];

impl OrgUnits {
    /// Reads `org_units.csv`: code, name, level, kind, parent, first day, first day no longer.
    #[must_use]
    pub fn read() -> Self {
        let text = std::fs::read_to_string(crate::catalogue_dir().join("org_units.csv")).unwrap();
        let mut units = BTreeMap::new();
        for line in text.lines().skip(1) {
            // The name and the kind may hold commas, so the last columns are counted from the right.
            let [to, from, parent, rest] = line.rsplitn(4, ',').collect::<Vec<_>>().try_into().unwrap();
            if from <= "2022-11-01" && (to.is_empty() || to > "2022-12-31") {
                let level = LEVELS.into_iter().find(|level| rest.contains(&format!(",{level},"))).unwrap();
                let parent = (!parent.is_empty()).then(|| parent.to_owned());
                let code = rest.split(',').next().unwrap().to_owned();
                assert!(units.insert(code, Unit { level, parent }).is_none(), "{line}");
            }
        }
        Self(units)
    }

    /// The unit's level.
    #[must_use]
    pub fn level(&self, code: &str) -> &'static str {
        self.0[code].level
    }

    /// The unit and all above it.
    #[must_use]
    pub fn upwards(&self, code: &str) -> Vec<&str> {
        let mut path = Vec::new();
        let mut next = self.0.get_key_value(code);
        while let Some((code, unit)) = next {
            path.push(code.as_str());
            next = unit.parent.as_deref().map(|parent| self.0.get_key_value(parent).unwrap());
        }
        path
    }

    /// Whether there are units below the unit.
    #[must_use]
    pub fn has_units_below(&self, code: &str) -> bool {
        self.0.values().any(|unit| unit.parent.as_deref() == Some(code))
    }

    /// The units of a level below a unit.
    #[must_use]
    pub fn below(&self, above: &str, level: &str) -> Vec<&str> {
        let of_level = self.0.iter().filter(|(_, unit)| unit.level == level).map(|(code, _)| code.as_str());
        of_level.filter(|code| self.upwards(code).contains(&above)).collect()
    }
}
