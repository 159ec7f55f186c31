//! JSON Schema, as far as the document uses it. A keyword that is not known here fails the test instead of being passed over. An object
//! is closed: a member that no part of its schema names is a fault, although the document leaves answers open for later versions.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What of `value` does not fit `schema`, each with where it stands.
pub(super) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let known = Check { document }.value(schema, value, "", &mut faults);
    closed(value, &known, "", &mut faults);
    faults
}

/// Members that a schema names.
type Known = BTreeSet<String>;

fn closed(value: &Value, known: &Known, at: &str, faults: &mut Vec<String>) {
    let members = value.as_object().into_iter().flat_map(Map::keys);
    faults.extend(members.filter(|name| !known.contains(*name)).map(|name| format!("{at}/{name} is not documented")));
}

struct Check<'d> {
    document: &'d Value,
}

impl Check<'_> {
    /// Checks `value`, and says which of its members were named.
    fn value(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) -> Known {
        let mut known = Known::new();
        let Value::Object(keywords) = schema else {
            assert!(schema.is_boolean(), "no schema: {schema}");
            if schema == &Value::Bool(false) {
                faults.push(format!("{at} must not be there"));
            }
            known.extend(value.as_object().into_iter().flat_map(Map::keys).cloned());
            return known;
        };
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "description"
                | "default"
                | "examples"
                | "writeOnly"
                | "unevaluatedProperties"
                | "x-enum-descriptions" => {}
                "$ref" => known.extend(self.value(self.referred(wanted), value, at, faults)),
                "properties" => known.extend(self.properties(wanted, value, at, faults)),
                "additionalProperties" => known.extend(self.additional(keywords, wanted, value, at, faults)),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.whole(wanted, item, &format!("{at}/{index}"), faults);
                    }
                }
                "oneOf" | "anyOf" => known.extend(self.choice(keyword, wanted, value, at, faults)),
                "required" => {
                    let absent =
                        list(wanted).iter().filter(|name| value.is_object() && value.get(word(name)).is_none());
                    faults.extend(absent.map(|name| format!("{at}/{} is missing", word(name))));
                }
                _ => {
                    if !fits(keyword, wanted, value) {
                        faults.push(format!("{at} is {value}, against {keyword} {wanted}"));
                    }
                }
            }
        }
        known
    }

    /// A value of its own, with nothing beside its schema.
    fn whole(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let known = self.value(schema, value, at, faults);
        closed(value, &known, at, faults);
    }

    fn referred(&self, reference: &Value) -> &Value {
        let pointer = word(reference).strip_prefix('#').unwrap();
        self.document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"))
    }

    fn properties(&self, wanted: &Value, value: &Value, at: &str, faults: &mut Vec<String>) -> Known {
        let mut known = Known::new();
        for (name, schema) in wanted.as_object().unwrap() {
            let Some(member) = value.get(name) else { continue };
            let at = format!("{at}/{name}");
            // What stands beside a reference narrows what that says of the member, and need not say all of it.
            let before = faults.len();
            self.whole(schema, member, &at, faults);
            if schema.get("type").is_none() && schema.get("properties").is_some() {
                let kept: Vec<String> = faults.drain(before..).filter(|f| !f.ends_with("is not documented")).collect();
                faults.extend(kept);
            }
            known.insert(name.clone());
        }
        known
    }

    fn additional(
        &self,
        keywords: &Map<String, Value>,
        wanted: &Value,
        value: &Value,
        at: &str,
        faults: &mut Vec<String>,
    ) -> Known {
        let named = keywords.get("properties").and_then(Value::as_object);
        let mut known = Known::new();
        for (name, member) in value.as_object().into_iter().flatten() {
            if wanted != &Value::Bool(false) && named.is_none_or(|named| !named.contains_key(name)) {
                self.whole(wanted, member, &format!("{at}/{name}"), faults);
                known.insert(name.clone());
            }
        }
        known
    }

    fn choice(&self, keyword: &str, wanted: &Value, value: &Value, at: &str, faults: &mut Vec<String>) -> Known {
        let mut fitting = Vec::new();
        let mut told = Vec::new();
        for schema in list(wanted) {
            let mut wrong = Vec::new();
            let known = self.value(schema, value, at, &mut wrong);
            if wrong.is_empty() { fitting.push(known) } else { told.push(wrong.join("; ")) }
        }
        match fitting.len() {
            0 => faults.push(format!("{at} fits none of {}: {}", list(wanted).len(), told.join(" | "))),
            1 => {}
            many if keyword == "oneOf" => faults.push(format!("{at} fits {many} of what it must fit one of")),
            _ => {}
        }
        fitting.into_iter().flatten().collect()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Keywords about one value alone.
fn fits(keyword: &str, wanted: &Value, value: &Value) -> bool {
    let characters = value.as_str().map(|text| text.chars().count() as u64);
    let items = value.as_array().map(|items| items.len() as u64);
    match keyword {
        "type" => match wanted {
            Value::Array(types) => types.iter().any(|kind| is(word(kind), value)),
            kind => is(word(kind), value),
        },
        "const" => value == wanted,
        "enum" => list(wanted).contains(value),
        "minimum" => value.as_f64().is_none_or(|n| n >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|n| n <= wanted.as_f64().unwrap()),
        "minLength" => characters.is_none_or(|n| n >= wanted.as_u64().unwrap()),
        "maxLength" => characters.is_none_or(|n| n <= wanted.as_u64().unwrap()),
        "minItems" => items.is_none_or(|n| n >= wanted.as_u64().unwrap()),
        "maxItems" => items.is_none_or(|n| n <= wanted.as_u64().unwrap()),
        "format" => value.as_str().is_none_or(|text| match word(wanted) {
            "uuid" => text.len() == 36 && text.parse::<uuid::Uuid>().is_ok(),
            "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
            format => panic!("the format {format} is not known to the tests"),
        }),
        // Only bodies have patterns; Schemathesis holds the server to them.
        "pattern" => true,
        keyword => panic!("the keyword {keyword} is not known to the tests"),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        kind => panic!("the type {kind} is not known to the tests"),
    }
}

#[test]
fn finds_what_does_not_fit() {
    use serde_json::json;
    let document = json!({ "components": { "schemas": { "A": {
        "type": "object",
        "properties": { "n": { "type": ["integer", "null"], "minimum": 0 }, "e": { "type": "object", "properties": { "c": {}, "d": {} } } },
        "required": ["n"],
        "oneOf": [
            { "type": "object", "properties": { "k": { "const": "x" } }, "required": ["k"] },
            { "type": "object", "properties": { "k": { "const": "y" }, "l": { "type": "string" } }, "required": ["k"] },
        ],
    } } } });
    let schema =
        json!({ "$ref": "#/components/schemas/A", "properties": { "e": { "properties": { "c": { "enum": [1] } } } } });
    let found = |value| faults(&document, &schema, &value);
    assert_eq!(found(json!({ "n": null, "k": "y", "l": "", "e": { "c": 1, "d": 2 } })), Vec::<String>::new());
    for wrong in [
        json!({ "k": "x" }),
        json!({ "n": -1, "k": "x" }),
        json!({ "n": 1, "k": "x", "l": "" }),
        json!({ "n": 1, "k": "x", "e": { "c": 2 } }),
        json!({ "n": 1, "k": "x", "e": { "c": 1, "f": 2 } }),
        json!({ "n": 1, "k": "x", "other": 1 }),
    ] {
        assert_eq!(found(wrong.clone()).len(), 1, "{wrong}: {:?}", found(wrong.clone()));
    }
    assert!(!found(json!({ "n": 1, "k": "z" })).is_empty());
}
