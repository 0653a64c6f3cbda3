//! Violations as `jsonb`: `[{"reason": "RULE_BROKEN", "severity": "error", "field": …, "vi": …, "en": …}]`.

use domain::{Message, Reason, Severity, Violation, Violations};
use serde_json::{Value, json};

use crate::StoreError;

pub(crate) fn to_json(violations: &Violations) -> Option<String> {
    if violations.is_empty() {
        return None;
    }
    let list = violations.list().iter().map(|Violation { reason, severity, field, message: Message { vi, en } }| {
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        json!({"reason": reason.code(), "severity": severity, "field": field, "vi": vi, "en": en})
    });
    // jsonb cannot hold U+0000; no text of ours has one, and a sender's text is shown without control characters.
    Some(Value::Array(list.collect()).to_string())
}

pub(crate) fn from_json(json: Option<Value>, omitted: i32) -> Result<Violations, StoreError> {
    let malformed = StoreError::Malformed("violation");
    let list = match json {
        None => return Ok(Violations::default()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(malformed),
    };
    let list = list.iter().map(|violation| {
        let text = |name| violation.get(name).and_then(Value::as_str);
        Some(Violation {
            reason: Reason::from_code(text("reason")?)?,
            severity: if text("severity")? == "warning" { Severity::Warning } else { Severity::Error },
            field: text("field")?.to_owned(),
            message: Message { vi: text("vi")?.to_owned(), en: text("en")?.to_owned() },
        })
    });
    let list = list.collect::<Option<_>>().ok_or(malformed)?;
    Ok(Violations::restore(list, u32::try_from(omitted).unwrap_or(0)))
}
