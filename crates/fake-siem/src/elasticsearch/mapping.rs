//! The mapping of one index: explicit fields from the template, and dynamic ones that the first document fixes. A later
//! document that disagrees is refused alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Flavour;
use super::field::{self, Dynamic, Field, Misfit, declared, natural_type};

/// `index.mapping.total_fields.limit`, by default.
const FIELD_LIMIT: usize = 1000;
/// `index.mapping.depth.limit`, by default.
const DEPTH_LIMIT: usize = 20;

/// The fields of one index by full path.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    fields: BTreeMap<String, Field>,
    dynamic: Dynamic,
    detect_dates: bool,
    flavour: Flavour,
}

impl Mapping {
    /// The mapping that a template's `template.mappings` gives a new index; null where none applies.
    pub(super) fn of_template(mappings: &Value, flavour: Flavour) -> Self {
        let dynamic = Dynamic::declared(mappings).unwrap_or_default();
        // `date_detection` is on by default.
        let detect_dates = mappings["date_detection"] != Value::Bool(false);
        let mut mapping = Self { fields: BTreeMap::new(), dynamic, detect_dates, flavour };
        if let Some(properties) = mappings["properties"].as_object() {
            mapping.declare("", properties);
        }
        mapping
    }

    fn declare(&mut self, prefix: &str, properties: &Map<String, Value>) {
        for (name, definition) in properties {
            let path = join(prefix, name);
            let field = declared(definition);
            if let (Field::Object(_), Some(inner)) = (&field, definition["properties"].as_object()) {
                self.declare(&path, inner);
            }
            self.fields.insert(path, field);
        }
    }

    /// Fits a document in, fixing the type of its new fields; or says what does not fit and changes nothing.
    pub(super) fn fit(&mut self, id: &str, document: &Map<String, Value>) -> Result<(), Misfit> {
        let mut found = Vec::new();
        let mut trial = self.clone();
        trial.walk(id, "", document, &mut found)?;
        if !found.is_empty() && trial.fields.len() > FIELD_LIMIT {
            return Err(
                format!("Limit of total fields [{FIELD_LIMIT}] has been exceeded while adding new fields").into()
            );
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
    ) -> Result<(), Misfit> {
        for (name, value) in object {
            if let Some(wrong) = field::wrong_name(name) {
                return Err(format!("failed to parse: {wrong}").into());
            }
            let path = join(prefix, name);
            let deepest = field::deepest_array(self.flavour);
            if !self.is_flat(&path) && array_depth(value) > deepest {
                return Err(format!(
                    "The depth of the nested array field has exceeded the allowed limit of [{deepest}]."
                )
                .into());
            }
            if self.open_parents(id, prefix.len(), &path, found)? {
                for value in elements(value) {
                    self.visit(id, &path, value, found)?;
                }
            }
        }
        Ok(())
    }

    /// A dot in a name is a path: `{"a.b":1}` is `{"a":{"b":1}}`. Answers whether the last part is mapped at all.
    fn open_parents(&mut self, id: &str, prefix: usize, path: &str, found: &mut Vec<String>) -> Result<bool, Misfit> {
        for (dot, _) in path.match_indices('.').filter(|(dot, _)| *dot > prefix) {
            if !self.place(id, &path[..dot], Field::Object(None), &Value::Null, found)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn visit(&mut self, id: &str, path: &str, value: &Value, found: &mut Vec<String>) -> Result<(), Misfit> {
        let Some(natural) = natural_type(value, self.detect_dates) else { return Ok(()) };
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
    ) -> Result<bool, Misfit> {
        let Some(field) = self.fields.get(path) else {
            return match self.dynamic_below(path) {
                Dynamic::Ignored => Ok(false),
                Dynamic::Refused => {
                    Err(format!("mapping set to strict, dynamic introduction of [{path}] within [_doc] is not allowed")
                        .into())
                }
                Dynamic::Mapped => {
                    let is_object = matches!(natural, Field::Object(_));
                    if is_object && path.matches('.').count() + 2 > DEPTH_LIMIT {
                        let reason = format!(
                            "Limit of mapping depth [{DEPTH_LIMIT}] has been exceeded due to object field [{path}]"
                        );
                        return Err(Misfit { kind: Some("illegal_argument_exception"), reason });
                    }
                    self.fields.insert(path.to_owned(), natural);
                    found.push(path.to_owned());
                    Ok(is_object)
                }
            };
        };
        let failed = |kind: &str| -> Result<bool, Misfit> {
            Err(format!("failed to parse field [{path}] of type [{kind}] in document with id '{id}'").into())
        };
        match (field, &natural) {
            (Field::Object(_), Field::Object(_)) => Ok(true),
            (Field::Object(_), _) => Err(format!(
                "object mapping for [{path}] tried to parse field [{path}] as object, but found a concrete value"
            )
            .into()),
            (Field::Flat(flat), Field::Object(_)) => flat.takes(path, value).map(|()| false),
            (Field::Unchecked, _) => Ok(false),
            (Field::Flat(flat), _) => failed(flat.kind),
            // Not even `ignore_malformed` lets an object pass everywhere.
            (Field::Scalar(scalar), Field::Object(_)) => failed(scalar.name()),
            (Field::Scalar(scalar), _) => {
                if scalar.takes(path, value)? {
                    Ok(false)
                } else {
                    failed(scalar.name())
                }
            }
        }
    }

    /// What becomes of a field at `path` that is not mapped: as the nearest object around it says.
    fn dynamic_below(&self, path: &str) -> Dynamic {
        let mut parents = path.rmatch_indices('.').map(|(dot, _)| &path[..dot]);
        let said = |parent: &str| match self.fields.get(parent) {
            Some(Field::Object(dynamic)) => *dynamic,
            _ => None,
        };
        parents.find_map(said).unwrap_or(self.dynamic)
    }

    fn is_flat(&self, path: &str) -> bool {
        matches!(self.fields.get(path), Some(Field::Flat(_) | Field::Unchecked))
    }
}

/// How many arrays are around the innermost value, objects in between not counted.
fn array_depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(array_depth).max().unwrap_or(0),
        Value::Object(members) => members.values().map(array_depth).max().unwrap_or(0),
        _ => 0,
    }
}

pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The values of a field: an array is many values of the same field, nested arrays included.
fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().flat_map(elements).collect(),
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(mappings: &Value) -> Mapping {
        Mapping::of_template(mappings, Flavour::Elasticsearch)
    }

    fn untouched() -> Mapping {
        of(&Value::Null)
    }

    fn fit(mapping: &mut Mapping, document: &Value) -> Result<(), String> {
        mapping.fit("id", document.as_object().unwrap()).map_err(|misfit| misfit.reason)
    }

    #[test]
    fn the_first_document_fixes_the_type() {
        let mut mapping = untouched();
        fit(&mut mapping, &json!({ "details": { "limit": 3, "when": "2025-01-15" } })).unwrap();
        fit(&mut mapping, &json!({ "details": { "limit": "7", "note": "x" } })).unwrap();
        assert!(fit(&mut mapping, &json!({ "details": { "limit": "many" } })).unwrap_err().contains("[long]"));
        assert!(fit(&mut mapping, &json!({ "details": { "when": "soon" } })).unwrap_err().contains("[date]"));
        assert!(fit(&mut mapping, &json!({ "details": "text" })).unwrap_err().contains("concrete value"));
        assert!(fit(&mut mapping, &json!({ "details.note": { "a": 1 } })).unwrap_err().contains("[text]"));
    }

    #[test]
    fn a_refused_document_maps_nothing() {
        let mut mapping = of(&json!({ "properties": { "@timestamp": { "type": "date" } } }));
        assert!(fit(&mut mapping, &json!({ "new": 1, "@timestamp": "yesterday" })).is_err());
        fit(&mut mapping, &json!({ "new": "a text after all", "@timestamp": "2025-01-15T10:30:00.123Z" })).unwrap();
    }

    #[test]
    fn flat_fields_take_any_object_and_nothing_else() {
        let mut mapping = of(&json!({ "properties": { "tags": { "type": "flattened" } } }));
        fit(&mut mapping, &json!({ "tags": { "a": 1, "b": { "c": "x" } } })).unwrap();
        fit(&mut mapping, &json!({ "tags": { "a": "now a text" } })).unwrap();
        assert!(fit(&mut mapping, &json!({ "tags": "text" })).unwrap_err().contains("[flattened]"));
    }

    #[test]
    fn strict_and_crowded_mappings_refuse() {
        let mut strict = of(&json!({ "dynamic": "strict", "properties": {} }));
        assert!(fit(&mut strict, &json!({ "new": 1 })).unwrap_err().contains("strict"));
        let crowd: Map<String, Value> = (0..1001).map(|n| (format!("f{n}"), json!(n))).collect();
        assert!(untouched().fit("id", &crowd).unwrap_err().reason.contains("total fields"));
    }
}
