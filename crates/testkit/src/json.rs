//! Reading what the API answered: a member that is not what it should be fails the test, and the message shows what was there.

use serde_json::Value;

/// What tests take out of JSON.
pub trait Json {
    /// This string.
    fn text(&self) -> String;

    /// The string that is called `id`.
    fn id(&self) -> String;

    /// The members of this array.
    fn list(&self) -> Vec<Value>;

    /// This number, which is not negative.
    fn number(&self) -> u64;
}

impl Json for Value {
    #[track_caller]
    fn text(&self) -> String {
        self.as_str().unwrap_or_else(|| panic!("a string was expected: {self}")).to_owned()
    }

    #[track_caller]
    fn id(&self) -> String {
        self["id"].as_str().unwrap_or_else(|| panic!("no `id` in {self}")).to_owned()
    }

    #[track_caller]
    fn list(&self) -> Vec<Value> {
        self.as_array().cloned().unwrap_or_else(|| panic!("an array was expected: {self}"))
    }

    #[track_caller]
    fn number(&self) -> u64 {
        self.as_u64().unwrap_or_else(|| panic!("a number was expected: {self}"))
    }
}

/// Lays `more` over `body`: objects member by member, as far down as they go.
pub fn merge(body: &mut Value, more: Value) {
    match more {
        Value::Object(members) => {
            let body = body.as_object_mut().unwrap_or_else(|| panic!("an object was expected"));
            for (name, value) in members {
                let place = body.entry(name).or_insert_with(|| {
                    if value.is_object() { Value::Object(serde_json::Map::new()) } else { Value::Null }
                });
                merge(place, value);
            }
        }
        other => *body = other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_laid_over_a_body_leaves_its_other_members_alone() {
        let mut body = json!({ "name": "x", "config": { "url": "y", "index": 1 } });
        merge(&mut body, json!({ "config": { "index": 2, "more": { "z": [3] } }, "active": true }));
        let expected =
            json!({ "name": "x", "config": { "url": "y", "index": 2, "more": { "z": [3] } }, "active": true });
        assert_eq!(body, expected);
    }
}
