//! Reading a connector's `filter` (product spec, "Filtering events").

use serde_json::Value;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::fault::{FieldFault, segment, shown};
use toktra_siem_core::filter::Filter;

use crate::Object;

/// The filter that a request gives, if it does; `null` means that everything is forwarded.
pub(crate) fn read(object: &mut Object) -> Option<Filter> {
    let value = object.value("filter")?;
    match parse(value) {
        Ok(filter) => Some(filter),
        Err(faults) => {
            object.add(faults);
            None
        }
    }
}

/// A filter as it is written, in the API and in files of connectors.
pub fn parse(value: Value) -> Result<Filter, Vec<FieldFault>> {
    let mut members = match value {
        Value::Null => return Ok(Filter::default()),
        Value::Object(members) => members,
        _ => return Err(vec![FieldFault::new("/filter", "filter: must be an object, or null to forward everything")]),
    };
    let mut faults = Vec::new();
    let filter = Filter {
        severity: words(members.remove("severity"), "severity", Severity::ALL, Severity::as_str, &mut faults),
        event_types: words(
            members.remove("event_types"),
            "event_types",
            EventType::ALL,
            EventType::as_str,
            &mut faults,
        ),
    };
    for name in members.keys().take(NAMED) {
        let message = format!("`{}` is not a member of a filter; known are severity, event_types", shown(name));
        faults.push(FieldFault::new(format!("/filter{}", segment(name)), message));
    }
    if faults.is_empty() { Ok(filter) } else { Err(faults) }
}

/// Faults of one kind that are named.
const NAMED: usize = 10;

/// A list of words, each once, in the order of their declaration.
fn words<T: Copy + PartialEq>(
    value: Option<Value>,
    name: &str,
    all: &[T],
    word: fn(T) -> &'static str,
    faults: &mut Vec<FieldFault>,
) -> Vec<T> {
    let given = match value {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(given)) => given,
        Some(_) => {
            faults.push(FieldFault::new(format!("/filter/{name}"), format!("{name}: must be a list")));
            return Vec::new();
        }
    };
    let is = |item: &Value, value: T| item.as_str() == Some(word(value));
    let listed = || all.iter().map(|v| word(*v)).collect::<Vec<_>>().join(", ");
    let unknown = given.iter().enumerate().filter(|(_, item)| !all.iter().any(|v| is(item, *v)));
    for (index, item) in unknown.take(NAMED) {
        let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
        let message = format!("{name}: `{}` is not one of {}", shown(&text), listed());
        faults.push(FieldFault::new(format!("/filter/{name}/{index}"), message));
    }
    all.iter().copied().filter(|v| given.iter().any(|item| is(item, *v))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_lists_of_words_and_names_what_is_wrong() {
        let filter = parse(json!({"severity": ["critical", "high", "high"], "event_types": []})).unwrap();
        assert_eq!(filter.severity, [Severity::High, Severity::Critical]);
        assert!(filter.event_types.is_empty());
        assert_eq!(parse(Value::Null).unwrap(), Filter::default());
        let own = parse(json!({"event_types": ["heartbeat", "connector_alert", "lockout"]})).unwrap();
        assert_eq!(own.event_types, [EventType::Lockout, EventType::Heartbeat, EventType::ConnectorAlert]);
        let faults = parse(json!({"severity": ["urgent"], "event_types": ["hartbeat", 1], "type": []})).unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/filter/severity/0", "/filter/event_types/0", "/filter/event_types/1", "/filter/type"]);
        assert!(parse(json!([])).is_err() && parse(json!({"severity": "high"})).is_err());
    }
}
