//! The configuration that is shipped has every key there is, and what it shows of each is understood.

use std::{collections::BTreeSet, fs};

use runtime::{ServiceConfig, config::load};

/// A line of a sample: a key, given or shown, in its table.
fn keys(sample: &str) -> BTreeSet<String> {
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in sample.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = format!("{}.", name.trim_end_matches(']'));
            // A table is a key of the one it is in.
            keys.insert(name.trim_end_matches(']').to_owned());
        } else if let Some((key, _)) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.insert(format!("{table}{key}"));
        }
    }
    keys
}

/// What a table takes, as the refusal of a key that is none says it.
fn taken<C: ServiceConfig>(sample: &str, table: &str) -> Vec<String> {
    let header = format!("[{table}]\n");
    let asked = if table.is_empty() {
        format!("nothing_of_the_kind = 1\n{sample}")
    } else {
        sample.replace(&header, &format!("{header}nothing_of_the_kind = 1\n"))
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), asked).unwrap();
    let refused = load::<C>(file.path()).err().expect("a key that is none is refused").to_string();
    let (_, expected) = refused.split_once(", expected ").unwrap_or_else(|| panic!("{table}: {refused}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn check<C: ServiceConfig>(service: &str) {
    let path = tests::catalogue_dir().join(format!("../../config/{service}.toml"));
    let sample = fs::read_to_string(path).unwrap();
    let has = keys(&sample);
    let tables = has.iter().filter(|key| sample.contains(&format!("[{key}]\n"))).map(String::as_str);
    let mut takes = BTreeSet::new();
    for table in [""].into_iter().chain(tables) {
        let place = if table.is_empty() { String::new() } else { format!("{table}.") };
        takes.extend(taken::<C>(&sample, table).into_iter().map(|key| format!("{place}{key}")));
    }
    assert_eq!(has, takes, "{service}.toml has every key, and no other");

    let shown = sample.lines().map(|line| match line.strip_prefix("# ") {
        Some(key) if keys(key).len() == 1 => key,
        _ => line,
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), shown.collect::<Vec<_>>().join("\n")).unwrap();
    assert!(
        load::<C>(file.path()).is_ok(),
        "{service}.toml: {:?}",
        load::<C>(file.path()).err().map(|e| e.to_string())
    );
}

#[test]
fn the_samples_have_every_key_and_what_they_show_is_understood() {
    check::<collector::Config>("collector");
    check::<validator::Config>("validator");
    check::<aggregator::Config>("aggregator");
    check::<query::Config>("query");
}
