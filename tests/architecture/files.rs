//! Checks of the files that git tracks.

use std::collections::BTreeSet;

/// A file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Relative to the top of the repository.
    pub(crate) path: String,
    /// Empty for a file that is not text.
    pub(crate) text: String,
}

impl File {
    /// Whether this is our own Rust below `directory`.
    pub(crate) fn is_source_below(&self, directory: &str) -> bool {
        let generated = self.text.lines().next().is_some_and(|line| line.contains("@generated"));
        self.path.starts_with(directory) && self.path.ends_with(".rs") && !generated
    }
}

/// Directories without any source of ours: a rule about them would hold whatever happens.
pub(crate) fn empty<'a>(files: &[File], directories: impl Iterator<Item = &'a str>) -> Vec<String> {
    let empty = directories.filter(|directory| !files.iter().any(|file| file.is_source_below(directory)));
    empty.map(|directory| format!("the law speaks of {directory}, where no source is")).collect()
}

/// Forbidden words in the code, comments apart, below the path they are forbidden for.
pub(crate) fn spoken(files: &[File], law: &[(&str, &[&str])]) -> Vec<String> {
    let mut violations = Vec::new();
    for &(directory, words) in law {
        for file in files.iter().filter(|file| file.is_source_below(directory)) {
            for (line, text) in (1..).zip(file.text.lines()) {
                let code = text.split("//").next().unwrap_or_default();
                for word in words.iter().filter(|word| says(code, word)) {
                    violations.push(format!("{}:{line} says `{}`", file.path, word.trim()));
                }
            }
        }
    }
    violations
}

/// Whether `word` is in `code` and not just the end of a longer name: `respawn(` is not `spawn(`.
fn says(code: &str, word: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(in_name))
}

/// Files and directories that do not belong at the top of the repository.
pub(crate) fn strangers(files: &[File], expected: &[&str]) -> Vec<String> {
    let top: BTreeSet<_> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    let strangers = top.into_iter().filter(|name| !expected.contains(name));
    strangers.map(|name| format!("{name} does not belong at the top of the repository")).collect()
}

/// Crates below `crates/` without a README, or whose crate doc it is not.
pub(crate) fn undocumented(files: &[File]) -> Vec<String> {
    let text = |path: String| files.iter().find(|file| file.path == path).map(|file| &file.text);
    let manifests = files.iter().filter_map(|file| file.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"));
    let mut violations = Vec::new();
    for krate in manifests {
        if text(format!("crates/{krate}/README.md")).is_none() {
            violations.push(format!("{krate} has no README.md"));
        }
        // A crate that is only a program has no lib.rs.
        let mut roots = ["lib", "main"].into_iter().filter_map(|root| text(format!("crates/{krate}/src/{root}.rs")));
        if !roots.any(|root| root.contains(r#"#![doc = include_str!("../README.md")]"#)) {
            violations.push(format!("{krate} does not include its README.md as its crate doc"));
        }
    }
    violations
}

/// Files that name `places` of the machine they were written on.
pub(crate) fn homesick(files: &[File], places: &[&str]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files {
        for (line, text) in (1..).zip(file.text.lines()) {
            for place in places.iter().filter(|&&place| text.contains(place)) {
                violations.push(format!("{}:{line} names {place}", file.path));
            }
        }
    }
    violations
}

/// Cargo puts what follows `cargo ALIAS` behind the alias: a reader's `-- --json` after an alias that ends in `--` is `-- -- --json`,
/// which the program takes for a name.
pub(crate) fn swallowing(files: &[File]) -> Vec<String> {
    let config = files.iter().filter(|file| file.path == ".cargo/config.toml");
    let aliases = config.flat_map(|file| file.text.lines().filter(|line| line.trim_end_matches('"').ends_with(" --")));
    aliases.map(|line| format!("an alias ends in `--`: {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_rule_about_nothing_is_a_violation() {
        let files = [file("crates/store/src/lib.rs", ""), file("crates/proto/README.md", "")];
        let violations = empty(&files, ["crates/store/src/", "crates/proto/"].into_iter());
        assert_eq!(violations, ["the law speaks of crates/proto/, where no source is"]);
    }

    #[test]
    fn a_forbidden_word_is_a_violation_in_code_and_nowhere_else() {
        let law: &[(&str, &[&str])] = &[("crates/domain/src/", &["SystemTime", "fs::", "async ", "spawn("])];
        for (path, text, expected) in [
            (
                "crates/domain/src/a.rs",
                "\nlet t = std::time::SystemTime::now();",
                Some("crates/domain/src/a.rs:2 says `SystemTime`"),
            ),
            ("crates/domain/src/a.rs", "std::fs::read(path)", Some("crates/domain/src/a.rs:1 says `fs::`")),
            ("crates/domain/src/a/b.rs", "pub async fn wait() {}", Some("crates/domain/src/a/b.rs:1 says `async`")),
            ("crates/domain/src/a.rs", "tokio::spawn(work)", Some("crates/domain/src/a.rs:1 says `spawn(`")),
            ("crates/domain/src/a.rs", "pool.respawn(refs::ALL)", None),
            ("crates/domain/src/a.rs", "/// Never asks SystemTime.", None),
            ("crates/domain/src/a.rs", "// This file is @generated.\ntokio::spawn(work)", None),
            ("crates/domain/src/a.txt", "SystemTime", None),
            ("crates/store/src/a.rs", "SystemTime", None),
        ] {
            assert_eq!(spoken(&[file(path, text)], law), Vec::from_iter(expected), "for {path}: {text}");
        }
    }

    #[test]
    fn an_alias_that_swallows_what_its_reader_types_is_a_violation() {
        let found = |text| swallowing(&[file(".cargo/config.toml", text)]).len();
        assert_eq!(found("[alias]\nload = \"run --package load --\"\n"), 1);
        assert_eq!(found("[alias]\n# `cargo load -- --json`\nload = \"run --package load\"\n"), 0);
    }

    #[test]
    fn a_stranger_at_the_top_is_a_violation() {
        let files = [file("Cargo.toml", ""), file("crates/domain/src/lib.rs", ""), file("notes/todo.md", "")];
        let violations = strangers(&files, &["Cargo.toml", "crates"]);
        assert_eq!(violations, ["notes does not belong at the top of the repository"]);
    }

    #[test]
    fn a_crate_without_a_readme_as_its_doc_is_a_violation() {
        let manifest = file("crates/store/Cargo.toml", "");
        let readme = file("crates/store/README.md", "# store");
        let good = file("crates/store/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n");
        let bare = file("crates/store/src/main.rs", "//! See the README.\n");
        let (no_file, no_doc) = ("store has no README.md", "store does not include its README.md as its crate doc");
        assert_eq!(undocumented(&[manifest.clone(), readme.clone(), good]), Vec::<String>::new());
        assert_eq!(undocumented(&[manifest.clone(), readme, bare]), [no_doc]);
        assert_eq!(undocumented(&[manifest]), [no_file, no_doc]);
    }

    #[test]
    fn a_place_of_one_machine_is_a_violation() {
        let files = [file("deploy/README.md", "\nsee /opt/me/notes"), file(".ci/run", "cd /opt/")];
        assert_eq!(homesick(&files, &["/opt/me/"]), ["deploy/README.md:2 names /opt/me/"]);
    }
}
