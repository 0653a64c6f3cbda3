//! `catalogue.toml`: what the catalogue is.

use serde::Deserialize;
use time::{Date, UtcOffset, macros::offset};
use toml::Spanned;

use crate::{
    day,
    fault::{Faults, Place, filled, one_of},
    files::{ABOUT, Files},
    toml_file::TomlFile,
};

/// The time zones in which the days of a catalogue's periods may begin and end. Only such as do not change their clocks:
/// there a day begins at one offset from UTC all year.
const TIME_ZONES: [(&str, UtcOffset); 2] = [("Asia/Ho_Chi_Minh", offset!(+7)), ("Etc/UTC", offset!(UTC))];

/// What a catalogue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The short name: `de06`.
    pub name: String,
    /// The title in Vietnamese.
    pub title_vi: String,
    /// The title in English.
    pub title_en: String,
    /// The IANA name of the time zone in which the days of its periods begin and end: `Asia/Ho_Chi_Minh`.
    pub time_zone: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: Spanned<String>,
    title_vi: Spanned<String>,
    title_en: Spanned<String>,
    version: Spanned<String>,
    time_zone: Spanned<String>,
    #[serde(default)]
    recoded: Vec<Spanned<String>>,
}

/// What the file says.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) about: About,
    /// The version without the fingerprint.
    pub(crate) version: String,
    /// The offset of the time zone.
    pub(crate) utc_offset: UtcOffset,
    /// The days on which codes were given anew. Whether the tree changed on them is another's question.
    pub(crate) recoded: Vec<(Place<'a>, Date)>,
}

/// What the catalogue is.
pub(crate) fn read<'a>(files: &'a Files, faults: &mut Faults) -> Option<Head<'a>> {
    let file = files.text(ABOUT, faults)?;
    let Row { name, title_vi, title_en, version, time_zone, recoded } = TomlFile::open(file, faults)?.rest(faults)?;
    for (key, text) in [("name", &name), ("version", &version)] {
        if !is_word(text.get_ref(), "._-") {
            let what =
                format!("{key} `{}` must be 1 to 40 characters of A-Z, a-z, 0-9, '.', '_' or '-'", text.get_ref());
            faults.add(file.place(text.span().start), what);
        }
    }
    for (key, text) in [("title_vi", &title_vi), ("title_en", &title_en)] {
        filled(file.place(text.span().start), [(key, text.get_ref())], faults);
    }
    let place = file.place(time_zone.span().start);
    let utc_offset = one_of((place, "time_zone"), time_zone.get_ref(), &TIME_ZONES, faults);
    let recoded = recoded.iter().filter_map(|text| {
        let place = file.place(text.span().start);
        day::read((place, "recoded"), text.get_ref(), faults).map(|day| (place, day))
    });
    let recoded = recoded.collect();
    let [name, title_vi, title_en, time_zone] = [name, title_vi, title_en, time_zone].map(Spanned::into_inner);
    let about = About { name, title_vi, title_en, time_zone };
    Some(Head { about, version: version.into_inner(), utc_offset: utc_offset?, recoded })
}

fn is_word(text: &str, punctuation: &str) -> bool {
    (1..=40).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(from: &str, to: &str) -> String {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.edit(ABOUT, from, to);
        read(&files, &mut faults);
        faults.to_string()
    }

    #[test]
    fn wrong_values_are_told_with_their_line() {
        assert_eq!(
            faults("version = \"1\"", "version = \"1/2\""),
            "catalogue.toml:4: version `1/2` must be 1 to 40 characters of A-Z, a-z, 0-9, '.', '_' or '-'"
        );
        assert_eq!(
            faults("Asia/Ho_Chi_Minh", "Hanoi"),
            "catalogue.toml:5: time_zone `Hanoi` must be one of Asia/Ho_Chi_Minh, Etc/UTC"
        );
        assert_eq!(
            faults("\nversion", "\nrecoded = [\"2025-07-01\", \"1/7/2025\"]\nversion"),
            "catalogue.toml:4: recoded `1/7/2025` must be a day written as 2025-07-01"
        );
        assert_eq!(faults("Sample", " "), "catalogue.toml:3: title_en is empty; every title_en needs a text");
    }

    #[test]
    fn the_time_zone_gives_the_offset() {
        let mut files = Files::sample();
        let offset = |files: &Files| read(files, &mut Faults::default()).unwrap().utc_offset;
        assert_eq!(offset(&files), offset!(+7));
        files.edit(ABOUT, "Asia/Ho_Chi_Minh", "Etc/UTC");
        assert_eq!(offset(&files), UtcOffset::UTC);
    }

    #[test]
    fn keys_must_be_the_known_ones() {
        assert_eq!(
            faults("title_vi", "titel_vi"),
            "catalogue.toml:2: unknown field `titel_vi`, expected one of `name`, `title_vi`, `title_en`, `version`, `time_zone`, `recoded`"
        );
    }
}
