//! `levels.csv`: the levels of the tree, from the root down.

use domain::{
    LevelIx,
    catalogue::{Level, LevelSet},
};
use serde::Deserialize;

use crate::{
    csv_file,
    fault::{Faults, Place, filled, parsed},
    files::{Files, LEVELS},
};

const COLUMNS: [&str; 4] = ["code", "name_vi", "name_en", "stands_in_for"];

/// A set of levels is kept in 32 bits.
const LIMIT: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    code: String,
    name_vi: String,
    name_en: String,
    stands_in_for: Option<String>,
}

/// The levels, from the root down.
#[derive(Debug)]
pub(crate) struct Levels<'a> {
    list: Vec<Level>,
    /// Where each is defined.
    places: Vec<Place<'a>>,
}

impl<'a> Levels<'a> {
    /// The levels; none where the file has a fault.
    pub(crate) fn read(files: &'a Files, faults: &mut Faults) -> Option<Self> {
        let before = faults.count();
        let rows: Vec<(Place<'a>, Row)> = csv_file::rows(files.text(LEVELS, faults)?, &COLUMNS, faults);
        if rows.len() > LIMIT {
            faults.add(Place::file(LEVELS), format!("has {} levels; {LIMIT} is the limit", rows.len()));
            return None;
        }
        let codes: Vec<String> = rows.iter().map(|(_, row)| row.code.clone()).collect();
        let place_of = |code: &str| codes.iter().position(|known| known == code);
        let (mut list, mut places) = (Vec::new(), Vec::new());
        for (index, (place, Row { code, name_vi, name_en, stands_in_for })) in rows.into_iter().enumerate() {
            filled(place, [("name_vi", &name_vi), ("name_en", &name_en)], faults);
            if place_of(&code) < Some(index) {
                faults.add(place, format!("level `{code}` is defined twice"));
            }
            let stands_in_for = stands_in_for.and_then(|other| match place_of(&other) {
                Some(other) if other > index => u8::try_from(other).ok().map(LevelIx::new),
                _ => {
                    let below = codes[index + 1..].join(", ");
                    faults.add(place, format!("stands_in_for `{other}` must be a level below `{code}`: {below}"));
                    None
                }
            });
            let Some(code) = parsed((place, "code"), &code, faults) else { continue };
            list.push(Level { code, name_vi, name_en, stands_in_for });
            places.push(place);
        }
        if list.is_empty() && faults.count() == before {
            faults.add(Place::file(LEVELS), "has no level; the first row is the root's");
        }
        (faults.count() == before).then_some(Self { list, places })
    }

    /// The level with a code; a fault that names all of them where there is none.
    pub(crate) fn find(&self, place: Place<'_>, code: &str, faults: &mut Faults) -> Option<LevelIx> {
        let level = (0..).map(LevelIx::new).zip(&self.list).find(|(_, level)| level.code.as_str() == code);
        if level.is_none() {
            let codes: Vec<&str> = self.list.iter().map(|level| level.code.as_str()).collect();
            faults.add(place, format!("unknown level `{code}`; the levels are {}", codes.join(", ")));
        }
        level.map(|(level, _)| level)
    }

    pub(crate) fn code(&self, level: LevelIx) -> &str {
        self.list[level.get()].code.as_str()
    }

    /// The codes of a set of levels: `province, commune`.
    pub(crate) fn codes(&self, levels: LevelSet) -> String {
        levels.iter().map(|level| self.code(level)).collect::<Vec<_>>().join(", ")
    }

    /// A set of levels and those whose units may report in the place of theirs.
    pub(crate) fn with_standing_in(&self, levels: LevelSet) -> LevelSet {
        let reports = |(ix, level): &(LevelIx, &Level)| {
            levels.contains(*ix) || level.stands_in_for.is_some_and(|other| levels.contains(other))
        };
        (0..).map(LevelIx::new).zip(&self.list).filter(reports).map(|(ix, _)| ix).collect()
    }

    /// The levels with their places, from the root down.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (Place<'a>, LevelIx)> {
        self.places.iter().copied().zip((0..).map(LevelIx::new))
    }

    pub(crate) fn into_list(self) -> Vec<Level> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &str) -> (Option<Vec<Level>>, String) {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.set(LEVELS, &format!("code,name_vi,name_en,stands_in_for\n{rows}"));
        let levels = Levels::read(&files, &mut faults);
        (levels.map(Levels::into_list), faults.to_string())
    }

    #[test]
    fn a_level_may_stand_in_for_one_below() {
        let levels = read("district,Huyện,District,commune\ncommune,Xã,Commune,\n").0.unwrap();
        assert_eq!(levels[0].stands_in_for, Some(LevelIx::new(1)));
        assert_eq!(levels[1].stands_in_for, None);
    }

    #[test]
    fn a_level_may_not_stand_in_for_one_above_or_unknown() {
        assert_eq!(
            read("city,Tp,City,town\ndistrict,Huyện,District,city\ncommune,Xã,Commune,\n").1,
            "levels.csv:2: stands_in_for `town` must be a level below `city`: district, commune\n\
             levels.csv:3: stands_in_for `city` must be a level below `district`: commune"
        );
    }

    #[test]
    fn wrong_rows_are_refused() {
        assert_eq!(
            read("city,Tp,City,\ncity,Tp,,\n").1,
            "levels.csv:3: name_en is empty; every name_en needs a text\nlevels.csv:3: level `city` is defined twice"
        );
        assert_eq!(read("").1, "levels.csv: has no level; the first row is the root's");
        let many: String = (0..33).map(|level| format!("l{level},Cấp,Level,\n")).collect();
        assert_eq!(read(&many).1, "levels.csv: has 33 levels; 32 is the limit");
    }
}
