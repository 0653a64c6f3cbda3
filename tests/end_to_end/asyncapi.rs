//! The document that describes the topics says what is true.

use std::collections::BTreeSet;

use domain::settle::Fate;
use messaging::{
    EventData, Exact, fates,
    fates::{FatesData, FatesEvent},
    subjects,
    totals::{TotalsData, TotalsEvent},
};
use serde_json::{Value, json};
use tests::Schema;

fn document() -> Value {
    serde_json::from_slice(&std::fs::read(Schema::folder().join("asyncapi.json")).unwrap()).unwrap()
}

fn example(message: &str) -> Value {
    document()["components"]["messages"][message]["examples"][0]["payload"].clone()
}

/// The names of all properties that a schema defines.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                found.extend(properties.keys().cloned());
            }
            fields.values().for_each(|value| properties(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| properties(value, found)),
        _ => {}
    }
}

/// The names of all fields of a value.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) => {
            found.extend(all.keys().cloned());
            all.values().for_each(|value| fields(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

/// Goal: the examples of the document are events as they are published, with every field that there is.
#[test]
fn examples_are_events() {
    let (totals, moved) = (Schema::totals(), example("totals"));
    let (fates, settled) = (Schema::fates(), example("fates"));
    let event: TotalsEvent = serde_json::from_value(moved.clone()).unwrap();
    assert_eq!(serde_json::to_value(event).unwrap(), moved);
    let event: FatesEvent = serde_json::from_value(settled.clone()).unwrap();
    assert_eq!(serde_json::to_value(event).unwrap(), settled);
    for (schema, event) in [(&totals, &moved), (&fates, &settled)] {
        assert_eq!(schema.faults(event), Vec::<String>::new());
        let (mut defined, mut there) = (BTreeSet::new(), BTreeSet::new());
        properties(&schema.text, &mut defined);
        fields(event, &mut there);
        assert_eq!(defined, there, "a field in the schema that no event has, or the other way round");
    }
    assert!(!totals.faults(&settled).is_empty() && !fates.faults(&moved).is_empty());
    let of = |schema: &Schema| {
        let name = |field: &str| schema.text["properties"][field]["const"].as_str().unwrap().to_owned();
        assert!(name("dataschema").starts_with(schema.text["$id"].as_str().unwrap()));
        (name("type"), name("dataschema"))
    };
    assert_eq!(of(&totals), (TotalsData::KIND.to_owned(), TotalsData::SCHEMA.to_owned()));
    assert_eq!(of(&fates), (FatesData::KIND.to_owned(), FatesData::SCHEMA.to_owned()));
}

/// Goal: the schemas refuse what no event may be: unknown and missing fields, floats, integers that a double would round.
#[test]
fn schemas_refuse_what_no_event_may_be() {
    let schema = Schema::totals();
    let cell = "/data/levels/0/cells/0";
    let changed = |place: &str, value: Value| {
        let mut event = example("totals");
        *event.pointer_mut(place).unwrap() = value;
        event
    };
    for (place, good, bad) in [
        ("/data/version", json!(1), vec![json!(0), json!(1.0), json!("1"), json!(9_007_199_254_740_992_i64)]),
        ("/data/previous_version", json!(0), vec![json!(-1), json!(0.5), Value::Null]),
        ("/data/epoch", json!(1), vec![json!(0), json!("1"), Value::Null]),
        ("/data/levels/0/reported", json!(0), vec![json!(1e2), json!("108")]),
        (
            "/data/levels/0/cells/0/sum",
            json!(-9_007_199_254_740_991_i64),
            vec![json!(9_007_199_254_740_992_i64), json!(1.5)],
        ),
        ("/data/levels/0/cells/0/sum", json!("-9007199254740992"), vec![json!("12"), json!("1e20"), Value::Null]),
        ("/data/period", json!("latest20250701"), vec![json!("2022-11"), json!("2022Q5"), json!(202_211)]),
        ("/data/cause/listed/0/submission_id", json!(uuid::Uuid::nil().to_string()), vec![json!("x")]),
        (
            "/time",
            json!("2022-11-20T08:00:00Z"),
            vec![json!("2022-11-20 08:00:00"), json!("2022-11-20T08:00:00+07:00")],
        ),
        ("/specversion", json!("1.0"), vec![json!("0.3")]),
        (
            cell,
            json!({"data_element": "x", "sum": 0, "contributing": 1}),
            vec![
                json!({"data_element": "x", "sum": 0}),
                json!({"data_element": "x", "sum": 0, "contributing": 1, "average": 2}),
                json!({"data_element": "x", "sum": 0, "contributing": 0}),
            ],
        ),
    ] {
        assert_eq!(schema.faults(&changed(place, good)), Vec::<String>::new(), "{place}");
        for bad in bad {
            assert!(!schema.faults(&changed(place, bad.clone())).is_empty(), "{place} {bad}");
        }
    }
    for limit in [Exact::SAFE, Exact::SAFE + 1, i64::MAX, i64::MIN] {
        let sum = serde_json::to_value(Exact(limit)).unwrap();
        assert_eq!(schema.faults(&changed(&format!("{cell}/sum"), sum)), Vec::<String>::new(), "{limit}");
    }
    let listed =
        json!(vec![example("fates")["data"]["reports"][0]["violations"][0].clone(); fates::VIOLATIONS_LISTED + 1]);
    let mut event = example("fates");
    event["data"]["reports"][0]["violations"] = listed;
    assert!(!Schema::fates().faults(&event).is_empty());
}

/// Goal: the addresses in the document are the subjects that events are published on.
#[test]
fn addresses_are_subjects() {
    let channels = &document()["channels"];
    let filled = |channel: &str, values: &[&str]| {
        let parameters = channels[channel]["parameters"].as_object().unwrap();
        let mut address = channels[channel]["address"].as_str().unwrap().to_owned();
        for name in parameters.keys() {
            assert!(address.contains(&format!("{{{name}}}")), "{address} has no {name}");
        }
        for value in values {
            let (from, to) = (address.find('{').unwrap(), address.find('}').unwrap());
            address.replace_range(from..=to, value);
        }
        address
    };
    let (level, unit, data_set) = ("province".parse().unwrap(), "94".parse().unwrap(), "identity".parse().unwrap());
    let subject = subjects::totals(&level, &unit, &data_set, "202211".parse().unwrap());
    assert_eq!(filled("totals", &["province", "94", "identity", "202211"]), subject);
    let fates = channels["fates"]["parameters"]["fate"]["enum"].as_array().unwrap();
    let all = [Fate::Accepted, Fate::Rejected, Fate::Duplicate, Fate::Superseded];
    assert_eq!(fates.len(), all.len());
    for (name, fate) in fates.iter().zip(all) {
        let subject = subjects::fates(Some(&unit), Some(&data_set), fate);
        assert_eq!(filled("fates", &["94", "identity", name.as_str().unwrap()]), subject);
    }
    assert_eq!(filled("fates", &["_", "_", "rejected"]), subjects::fates(None, None, Fate::Rejected));
}
