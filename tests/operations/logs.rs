//! Log lines are written as `deploy/LOGGING.md` says.

use std::{collections::BTreeSet, path::Path};

const GUIDE: &str = include_str!("../../deploy/LOGGING.md");

/// The crates whose lines are in the logs of the services.
const SERVICES: [&str; 9] =
    ["runtime", "messaging", "store", "catalogue", "access", "collector", "validator", "aggregator", "query"];

/// A log line in a source.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    message: String,
    fields: Vec<String>,
}

/// The log lines of a source: the arguments of each macro, up to the message.
fn lines(source: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        for (at, call) in source.match_indices(&format!("tracing::{level}!(")) {
            let mut line = Line::default();
            for argument in arguments(&source[at + call.len()..]) {
                let argument = argument.trim();
                if let Some(message) = argument.strip_prefix('"') {
                    message.trim_end_matches('"').clone_into(&mut line.message);
                    break;
                }
                let field = argument.split('=').next().unwrap_or_default().trim().trim_start_matches(['%', '?']);
                if !field.is_empty() {
                    line.fields.push(field.to_owned());
                }
            }
            lines.push(line);
        }
    }
    lines
}

/// The arguments of a macro whose opening parenthesis was read.
fn arguments(rest: &str) -> Vec<&str> {
    let (mut depth, mut in_text, mut escaped, mut from) = (0_u32, false, false, 0);
    let mut arguments = Vec::new();
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(&rest[from..at]);
                from = at + 1;
            }
            ')' => {
                arguments.push(&rest[from..at]);
                break;
            }
            _ => {}
        }
    }
    arguments
}

fn sources(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push((entry.display().to_string(), std::fs::read_to_string(&entry).unwrap()));
        }
    }
}

#[test]
fn lines_are_written_as_the_guide_says() {
    let fields = GUIDE.split("| field | what |").nth(1).unwrap().lines();
    let listed: BTreeSet<_> =
        fields.filter_map(|row| row.strip_prefix("| `")?.split_once('`')).map(|(field, _)| field.to_owned()).collect();
    let mut found = Vec::new();
    for krate in SERVICES {
        sources(&super::repository().join("crates").join(krate).join("src"), &mut found);
    }
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (path, source) in &found {
        for line in lines(source) {
            let Line { message, fields } = &line;
            let starts_well = message.starts_with(|c: char| c.is_lowercase() || c == '{')
                || ["NATS", "PostgreSQL"].iter().any(|name| message.starts_with(name));
            if message.is_empty() || !starts_well || message.ends_with('.') {
                wrong.push(format!("{path}: {message:?} is no sentence as the guide wants it"));
            }
            // The name of the program and a signal: as many sentences as there are of them.
            if message.replace("{name}", "").replace("{signal}", "").contains('{') {
                wrong.push(format!("{path}: {message:?} is not always the same"));
            }
            wrong.extend(
                fields
                    .iter()
                    .filter(|field| !listed.contains(*field))
                    .map(|field| format!("{path}: the field {field:?} of {message:?} is not in deploy/LOGGING.md")),
            );
            used.extend(fields.iter().cloned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(used.len() > 20, "{used:?}");
}

#[test]
fn a_line_is_read_as_it_is_written() {
    let source = r#"
        tracing::warn!(%partition, error = &*error as &dyn std::error::Error, tries = f(1, "a)"), "it broke; {tries} again");
        tracing::info!("plain");
    "#;
    let line = |message: &str, fields: &[&str]| Line {
        message: message.to_owned(),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    assert_eq!(lines(source), [line("it broke; {tries} again", &["partition", "error", "tries"]), line("plain", &[])]);
}
