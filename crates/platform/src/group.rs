//! Settings that stand in an object within `config`. A field is called by its path, `search.token`; wherever people and programs meet the
//! settings it is a member of an object, `{"search": {"token": …}}`. In a store, where settings are flat, it has the name of the field.

use serde_json::{Map, Value};
use toktra_siem_core::fault::{Wrong, segment};

use crate::descriptor::Field;

/// The object that a field stands in, and its name there; `None` for a member of `config` itself.
pub fn path(name: &str) -> Option<(&str, &str)> {
    name.split_once('.')
}

/// The JSON pointer of a field in a request body.
pub fn pointer(name: &str) -> String {
    let parts: String = name.split('.').map(segment).collect();
    format!("/config{parts}")
}

/// The name of the field at a JSON pointer, without `/config/` in front.
pub fn at(pointer: &str) -> String {
    pointer.replace('/', ".")
}

/// The value of a field, whether the settings are nested or not.
pub fn member<'c>(config: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    config.get(name).or_else(|| path(name).and_then(|(group, inner)| config.get(group)?.get(inner)))
}

/// The settings as answers show them and bodies hold them, from settings by the names of their fields.
pub fn nested(flat: Map<String, Value>) -> Map<String, Value> {
    let mut config = Map::new();
    for (name, value) in flat {
        let Some((group, inner)) = path(&name) else {
            config.insert(name, value);
            continue;
        };
        if let Value::Object(group) = config.entry(group).or_insert_with(|| Value::Object(Map::new())) {
            group.insert(inner.to_owned(), value);
        }
    }
    config
}

/// The settings by the names of their fields, from a body; with what is wrong with an object, by its name. `null` in the place of an object
/// stands for `null` in each of its members. What belongs to no field stays, to be refused by its name.
pub fn flat<'f>(
    config: &Map<String, Value>,
    fields: &(impl Iterator<Item = &'f Field> + Clone),
) -> (Map<String, Value>, Vec<(String, Wrong)>) {
    let (mut flat, mut wrong) = (Map::new(), Vec::new());
    for (name, value) in config {
        let inner = fields.clone().filter_map(|field| path(field.name).filter(|(group, _)| group == name));
        let group = inner.clone().next().is_some();
        match value {
            Value::Object(members) if group => {
                flat.extend(members.iter().map(|(inner, value)| (format!("{name}.{inner}"), value.clone())));
            }
            Value::Null if group => {
                flat.extend(inner.map(|(group, inner)| (format!("{group}.{inner}"), Value::Null)));
            }
            _ if group => wrong.push((name.clone(), Wrong::malformed("an object, or null"))),
            // A path is no name that a member may have.
            _ if path(name).is_some() => wrong.push((name.clone(), "is not a setting: give an object".into())),
            _ => {
                flat.insert(name.clone(), value.clone());
            }
        }
    }
    (flat, wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            other => panic!("{other} is an object"),
        }
    }

    #[test]
    fn what_is_nested_is_flat_by_the_names_of_the_fields_and_back() {
        let fields = [Field::text("a", "A"), Field::text("g.x", "X"), Field::secret("g.y", "Y")];
        let config = object(json!({ "a": "1", "g": { "x": "2", "z": 3 } }));
        let (by_name, wrong) = flat(&config, &fields.iter());
        assert_eq!((&by_name, wrong.len()), (&object(json!({ "a": "1", "g.x": "2", "g.z": 3 })), 0));
        assert_eq!((nested(by_name), member(&config, "g.x")), (config.clone(), Some(&json!("2"))));
        let (cleared, _) = flat(&object(json!({ "g": null })), &fields.iter());
        assert_eq!(cleared, object(json!({ "g.x": null, "g.y": null })));
        for bad in [json!({ "g": "x" }), json!({ "g.x": "x" })] {
            let (_, wrong) = flat(&object(bad), &fields.iter());
            assert_eq!(wrong.len(), 1);
        }
        assert_eq!((pointer("g.x").as_str(), at("g/x").as_str()), ("/config/g/x", "g.x"));
    }
}
