//! The schemas of events, as their readers get them. Readers ignore fields that they do not know, so that there may be new ones;
//! what we publish has none that is not in the schema.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

/// The JSON Schema of a kind of event.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    /// The schema itself.
    pub text: Value,
}

impl Schema {
    /// That of events about totals.
    #[must_use]
    pub fn totals() -> Self {
        Self::read("totals.v1.json")
    }

    /// That of events about fates.
    #[must_use]
    pub fn fates() -> Self {
        Self::read("fates.v1.json")
    }

    /// The folder with the document that describes the topics.
    #[must_use]
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/asyncapi")
    }

    fn read(name: &str) -> Self {
        let text = std::fs::read(Self::folder().join("schemas").join(name)).unwrap();
        let text: Value = serde_json::from_slice(&text).unwrap();
        jsonschema::meta::validate(&text).unwrap();
        let mut strict = text.clone();
        closed(&mut strict);
        let validator = jsonschema::options().should_validate_formats(true).build(&strict).unwrap();
        Self { validator, text }
    }

    /// What is wrong with an event.
    #[must_use]
    pub fn faults(&self, event: &Value) -> Vec<String> {
        let faults = self.validator.iter_errors(event);
        let mut faults: Vec<_> = faults.map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        // To a schema 1.0 is an integer.
        floats(event, &mut faults);
        faults
    }

    /// Fails unless the bytes are an event with nothing wrong.
    pub fn check(&self, event: &[u8]) {
        let event: Value = serde_json::from_slice(event).unwrap();
        let faults = self.faults(&event);
        assert!(faults.is_empty(), "{faults:#?} in {event:#}");
    }
}

/// Refuses what a schema does not name.
fn closed(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(closed),
        Value::Object(parts) => {
            parts.values_mut().for_each(closed);
            if parts.get("properties").is_some_and(|properties| properties.is_object()) {
                let before = parts.insert("additionalProperties".to_owned(), Value::Bool(false));
                assert!(before.is_none(), "readers may get fields that they do not know: {parts:?}");
            }
        }
        _ => {}
    }
}

fn floats(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Number(number) if number.is_f64() => found.push(format!("{number} is a float")),
        Value::Array(values) => values.iter().for_each(|value| floats(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| floats(value, found)),
        _ => {}
    }
}
