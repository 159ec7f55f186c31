//! The mapping of one index: explicit fields from the template, and dynamic ones that the first document fixes. A later
//! document that disagrees is refused alone.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use serde_json::{Map, Value};

/// `index.mapping.total_fields.limit`, by default.
const FIELD_LIMIT: usize = 1000;
/// The longest term in bytes that an index can hold.
const LONGEST_TERM: usize = 32_766;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Object,
    /// `flattened` or `flat_object`: any object, whatever is in it.
    Flat(String),
    Scalar(Scalar),
    /// A type, or `enabled: false`, for which this fake has no rule.
    Unchecked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Date,
    Text,
    Keyword,
    Long,
    Float,
    Boolean,
}

impl Scalar {
    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Text => "text",
            Self::Keyword => "keyword",
            Self::Long => "long",
            Self::Float => "float",
            Self::Boolean => "boolean",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Date => is_date(value),
            Self::Text | Self::Keyword => true,
            // Numbers in strings are coerced, fractions of a long are cut off: `coerce` is on by default.
            Self::Long | Self::Float => match value {
                Value::Number(_) => true,
                Value::String(text) => text.trim().parse::<f64>().is_ok(),
                _ => false,
            },
            Self::Boolean => match value {
                Value::Bool(_) => true,
                Value::String(text) => ["true", "false", ""].contains(&text.as_str()),
                _ => false,
            },
        }
    }
}

/// What becomes of fields that are not mapped yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Dynamic {
    #[default]
    Mapped,
    Ignored,
    Refused,
}

/// The fields of one index by full path.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping {
    fields: BTreeMap<String, Field>,
    dynamic: Dynamic,
}

impl Mapping {
    /// The mapping that a template's `template.mappings` gives a new index.
    pub(super) fn of_template(mappings: &Value) -> Self {
        let dynamic = match &mappings["dynamic"] {
            Value::String(word) if word == "strict" => Dynamic::Refused,
            Value::String(word) if word == "false" => Dynamic::Ignored,
            Value::Bool(false) => Dynamic::Ignored,
            _ => Dynamic::Mapped,
        };
        let mut mapping = Self { fields: BTreeMap::new(), dynamic };
        if let Some(properties) = mappings["properties"].as_object() {
            mapping.declare("", properties);
        }
        mapping
    }

    fn declare(&mut self, prefix: &str, properties: &Map<String, Value>) {
        for (name, definition) in properties {
            let path = join(prefix, name);
            let field = declared(definition);
            if let (Field::Object, Some(inner)) = (&field, definition["properties"].as_object()) {
                self.declare(&path, inner);
            }
            self.fields.insert(path, field);
        }
    }

    /// Fits a document in, fixing the type of its new fields; or says what does not fit and changes nothing.
    pub(super) fn fit(&mut self, id: &str, document: &Map<String, Value>) -> Result<(), String> {
        let mut found = Vec::new();
        let mut trial = self.clone();
        trial.walk(id, "", document, &mut found)?;
        if !found.is_empty() && trial.fields.len() > FIELD_LIMIT {
            return Err(format!("Limit of total fields [{FIELD_LIMIT}] has been exceeded while adding new fields"));
        }
        if !found.is_empty() {
            *self = trial;
        }
        Ok(())
    }

    fn walk(
        &mut self,
        id: &str,
        prefix: &str,
        object: &Map<String, Value>,
        found: &mut Vec<String>,
    ) -> Result<(), String> {
        for (name, value) in object {
            let path = join(prefix, name);
            if self.open_parents(id, prefix.len(), &path, found)? {
                for value in elements(value) {
                    self.visit(id, &path, value, found)?;
                }
            }
        }
        Ok(())
    }

    /// A dot in a name is a path: `{"a.b":1}` is `{"a":{"b":1}}`. Answers whether the last part is mapped at all.
    fn open_parents(&mut self, id: &str, prefix: usize, path: &str, found: &mut Vec<String>) -> Result<bool, String> {
        for (dot, _) in path.match_indices('.').filter(|(dot, _)| *dot > prefix) {
            if !self.place(id, &path[..dot], Field::Object, &Value::Null, found)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn visit(&mut self, id: &str, path: &str, value: &Value, found: &mut Vec<String>) -> Result<(), String> {
        let Some(natural) = natural_type(value) else { return Ok(()) };
        if !self.place(id, path, natural, value, found)? {
            return Ok(());
        }
        match value {
            Value::Object(inner) => self.walk(id, path, inner, found),
            _ => Ok(()),
        }
    }

    /// Checks a value against its field, or makes the field. Answers whether what is inside the value is mapped too.
    fn place(
        &mut self,
        id: &str,
        path: &str,
        natural: Field,
        value: &Value,
        found: &mut Vec<String>,
    ) -> Result<bool, String> {
        let Some(field) = self.fields.get(path) else {
            return match self.dynamic {
                Dynamic::Ignored => Ok(false),
                Dynamic::Refused => {
                    Err(format!("mapping set to strict, dynamic introduction of [{path}] within [_doc] is not allowed"))
                }
                Dynamic::Mapped => {
                    let is_object = natural == Field::Object;
                    self.fields.insert(path.to_owned(), natural);
                    found.push(path.to_owned());
                    Ok(is_object)
                }
            };
        };
        let failed = |kind: &str| format!("failed to parse field [{path}] of type [{kind}] in document with id '{id}'");
        match (field, &natural) {
            (Field::Object, Field::Object) => Ok(true),
            (Field::Object, _) => Err(format!(
                "object mapping for [{path}] tried to parse field [{path}] as object, but found a concrete value"
            )),
            (Field::Flat(_), Field::Object) | (Field::Unchecked, _) => Ok(false),
            (Field::Flat(kind), _) => Err(failed(kind)),
            (Field::Scalar(scalar), Field::Object) => Err(failed(scalar.name())),
            (Field::Scalar(Scalar::Keyword), _) if value.as_str().is_some_and(|text| text.len() > LONGEST_TERM) => {
                Err(format!("Document contains at least one immense term in field=\"{path}\""))
            }
            (Field::Scalar(scalar), _) if scalar.takes(value) => Ok(false),
            (Field::Scalar(scalar), _) => Err(failed(scalar.name())),
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The values of a field: an array is many values of the same field, nested arrays included.
fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().flat_map(elements).collect(),
        other => vec![other],
    }
}

fn declared(definition: &Value) -> Field {
    if definition["enabled"] == Value::Bool(false) {
        return Field::Unchecked;
    }
    match definition["type"].as_str() {
        None | Some("object") => Field::Object,
        Some(kind @ ("flattened" | "flat_object")) => Field::Flat(kind.to_owned()),
        Some("date") => Field::Scalar(Scalar::Date),
        // With `ignore_above` a long value is left out of the index instead of refused.
        Some("keyword") if definition["ignore_above"].is_null() => Field::Scalar(Scalar::Keyword),
        Some("text" | "match_only_text" | "keyword" | "wildcard" | "constant_keyword") => Field::Scalar(Scalar::Text),
        Some("long" | "integer" | "short" | "byte") => Field::Scalar(Scalar::Long),
        Some("double" | "float" | "half_float" | "scaled_float") => Field::Scalar(Scalar::Float),
        Some("boolean") => Field::Scalar(Scalar::Boolean),
        Some(_) => Field::Unchecked,
    }
}

/// The type that dynamic mapping gives a value; `None` for null, which maps nothing.
fn natural_type(value: &Value) -> Option<Field> {
    let scalar = match value {
        Value::Null | Value::Array(_) => return None,
        Value::Object(_) => return Some(Field::Object),
        Value::Bool(_) => Scalar::Boolean,
        Value::Number(number) if number.is_f64() => Scalar::Float,
        Value::Number(_) => Scalar::Long,
        // `date_detection` is on by default.
        Value::String(text) if is_iso_date(text) => Scalar::Date,
        Value::String(_) => Scalar::Text,
    };
    Some(Field::Scalar(scalar))
}

/// `strict_date_optional_time||epoch_millis`, the default format.
fn is_date(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::String(text) => is_iso_date(text) || text.parse::<i64>().is_ok(),
        _ => false,
    }
}

fn is_iso_date(text: &str) -> bool {
    let plausible = text.len() >= 10 && text.as_bytes()[4] == b'-' && !text.contains(' ');
    let separated = text.len() == 10 || text.as_bytes().get(10) == Some(&b'T');
    plausible
        && separated
        && (text.parse::<jiff::Timestamp>().is_ok() || text.parse::<DateTime>().is_ok() || text.parse::<Date>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fit(mapping: &mut Mapping, document: &Value) -> Result<(), String> {
        mapping.fit("id", document.as_object().unwrap())
    }

    #[test]
    fn the_first_document_fixes_the_type() {
        let mut mapping = Mapping::default();
        fit(&mut mapping, &json!({ "details": { "limit": 3, "when": "2025-01-15" } })).unwrap();
        fit(&mut mapping, &json!({ "details": { "limit": "7", "note": "x" } })).unwrap();
        assert!(fit(&mut mapping, &json!({ "details": { "limit": "many" } })).unwrap_err().contains("[long]"));
        assert!(fit(&mut mapping, &json!({ "details": { "when": "soon" } })).unwrap_err().contains("[date]"));
        assert!(fit(&mut mapping, &json!({ "details": "text" })).unwrap_err().contains("concrete value"));
        assert!(fit(&mut mapping, &json!({ "details.note": { "a": 1 } })).unwrap_err().contains("[text]"));
    }

    #[test]
    fn a_refused_document_maps_nothing() {
        let mut mapping = Mapping::of_template(&json!({ "properties": { "@timestamp": { "type": "date" } } }));
        assert!(fit(&mut mapping, &json!({ "new": 1, "@timestamp": "yesterday" })).is_err());
        fit(&mut mapping, &json!({ "new": "a text after all", "@timestamp": "2025-01-15T10:30:00.123Z" })).unwrap();
    }

    #[test]
    fn flat_fields_take_any_object_and_nothing_else() {
        let mut mapping = Mapping::of_template(&json!({ "properties": { "tags": { "type": "flattened" } } }));
        fit(&mut mapping, &json!({ "tags": { "a": 1, "b": { "c": "x" } } })).unwrap();
        fit(&mut mapping, &json!({ "tags": { "a": "now a text" } })).unwrap();
        assert!(fit(&mut mapping, &json!({ "tags": "text" })).unwrap_err().contains("[flattened]"));
    }

    #[test]
    fn strict_and_crowded_mappings_refuse() {
        let mut strict = Mapping::of_template(&json!({ "dynamic": "strict", "properties": {} }));
        assert!(fit(&mut strict, &json!({ "new": 1 })).unwrap_err().contains("strict"));
        let crowd: Map<String, Value> = (0..1001).map(|n| (format!("f{n}"), json!(n))).collect();
        assert!(Mapping::default().fit("id", &crowd).unwrap_err().contains("total fields"));
    }
}
