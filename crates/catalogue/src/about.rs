//! `catalogue.toml`: what the catalogue is.

use serde::Deserialize;
use toml::Spanned;

use crate::{
    fault::{Faults, filled},
    files::{ABOUT, Files},
    toml_file::TomlFile,
};

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
}

/// What the catalogue is, and its version without the fingerprint.
pub(crate) fn read(files: &Files, faults: &mut Faults) -> Option<(About, String)> {
    let file = files.text(ABOUT, faults)?;
    let Row { name, title_vi, title_en, version, time_zone } = TomlFile::open(file, faults)?.rest(faults)?;
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
    // Which zones exist only the time zone database knows; an empty or mistyped word is caught here.
    if !(is_word(time_zone.get_ref(), "_-+/") && time_zone.get_ref().contains('/')) {
        let what = format!("time_zone `{}` must be a name such as Asia/Ho_Chi_Minh", time_zone.get_ref());
        faults.add(file.place(time_zone.span().start), what);
    }
    let [name, title_vi, title_en, time_zone] = [name, title_vi, title_en, time_zone].map(Spanned::into_inner);
    Some((About { name, title_vi, title_en, time_zone }, version.into_inner()))
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
            "catalogue.toml:5: time_zone `Hanoi` must be a name such as Asia/Ho_Chi_Minh"
        );
        assert_eq!(faults("Sample", " "), "catalogue.toml:3: title_en is empty; every title_en needs a text");
    }

    #[test]
    fn keys_must_be_the_known_ones() {
        assert_eq!(
            faults("title_vi", "titel_vi"),
            "catalogue.toml:2: unknown field `titel_vi`, expected one of `name`, `title_vi`, `title_en`, `version`, `time_zone`"
        );
    }
}
