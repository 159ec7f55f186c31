//! The API stays compatible: whatever its document promised before the crates were cut is promised still. Additions are welcome; a route, a
//! parameter, a member or a status that is gone, and a request that needs more than before, are not.
//!
//! `fixtures/openapi/before-the-cut.json` is `GET /openapi.json` of commit fa2724b without its texts and examples. Replace it only when a
//! release breaks compatibility on purpose.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use toktra_siem_api::openapi;

/// Who makes the values that a schema describes: a client may go on sending what it sent, and must find what it found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Request,
    Answer,
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    /// Pairs of named schemas of which nothing is lost, or that are being compared further out.
    kept: BTreeSet<(String, String, Side)>,
}

impl<'a> Comparison<'a> {
    fn resolved(document: &'a Value, mut schema: &'a Value) -> (&'a Value, Option<&'a str>) {
        let mut name = None;
        while let Some(reference) = schema["$ref"].as_str() {
            schema = document.pointer(&reference[1..]).unwrap_or(&Value::Null);
            name = Some(reference);
        }
        (schema, name)
    }

    /// What `new` lacks of `old`.
    fn schema(&mut self, at: &str, old: &'a Value, new: &'a Value, side: Side) -> Vec<String> {
        let ((old, old_name), (new, new_name)) = (Self::resolved(self.old, old), Self::resolved(self.new, new));
        let pair = old_name.zip(new_name).map(|(old, new)| (old.to_owned(), new.to_owned(), side));
        if pair.as_ref().is_some_and(|pair| !self.kept.insert(pair.clone())) {
            return Vec::new();
        }
        let lost = self.resolved_schema(at, old, new, side);
        if let Some(pair) = pair.filter(|_| !lost.is_empty()) {
            self.kept.remove(&pair);
        }
        lost
    }

    fn resolved_schema(&mut self, at: &str, old: &'a Value, new: &'a Value, side: Side) -> Vec<String> {
        let mut lost = Vec::new();
        let variants = variants(old);
        if !variants.is_empty() {
            let others = self::variants(new);
            let others = if others.is_empty() { vec![new] } else { others };
            for (n, variant) in variants.into_iter().enumerate() {
                let tries: Vec<_> =
                    others.iter().map(|other| self.schema(&format!("{at}|{n}"), variant, other, side)).collect();
                if tries.iter().all(|lost| !lost.is_empty()) {
                    lost.extend(tries.into_iter().min_by_key(Vec::len).unwrap_or_default());
                }
            }
        }
        let gone = types(old).difference(&types(new)).cloned().collect::<Vec<_>>();
        if !gone.is_empty() && !types(new).is_empty() {
            lost.push(format!("{at}: no longer {gone:?}"));
        }
        for word in words(old).difference(&words(new)).filter(|_| !words(new).is_empty()) {
            lost.push(format!("{at}: the word {word} is gone"));
        }
        for (name, schema) in members(old).into_iter().flatten() {
            let at = format!("{at}/{name}");
            match members(new).map(|after| after.get(name)) {
                Some(Some(other)) => lost.extend(self.schema(&at, schema, other, side)),
                Some(None) => lost.push(format!("{at}: gone")),
                None => {}
            }
        }
        let (needed, needs) = (required(old), required(new));
        match side {
            Side::Request => lost.extend(needs.difference(&needed).map(|name| format!("{at}/{name}: is required now"))),
            Side::Answer => {
                lost.extend(needed.difference(&needs).map(|name| format!("{at}/{name}: is not always there now")));
            }
        }
        if old["items"].is_object() && new["items"].is_object() {
            lost.extend(self.schema(&format!("{at}[]"), &old["items"], &new["items"], side));
        }
        lost
    }

    fn content(&mut self, at: &str, old: &'a Value, new: &'a Value, side: Side) -> Vec<String> {
        let mut lost = Vec::new();
        for (media, content) in old["content"].as_object().into_iter().flatten() {
            let at = format!("{at} {media}");
            match new["content"].get(media) {
                Some(other) => lost.extend(self.schema(&at, &content["schema"], &other["schema"], side)),
                None => lost.push(format!("{at}: gone")),
            }
        }
        lost
    }

    fn operation(&mut self, at: &str, old: &'a Value, new: &'a Value) -> Vec<String> {
        let mut lost = Vec::new();
        let (before, after) = (parameters(self.old, old), parameters(self.new, new));
        for (key, parameter) in &before {
            match after.iter().find(|(other, _)| other == key) {
                Some((_, other)) => {
                    lost.extend(self.schema(
                        &format!("{at} {key}"),
                        &parameter["schema"],
                        &other["schema"],
                        Side::Request,
                    ));
                }
                None => lost.push(format!("{at}: the parameter {key} is gone")),
            }
        }
        for (key, parameter) in &after {
            if parameter["required"] == true && !before.iter().any(|(other, _)| other == key) {
                lost.push(format!("{at}: the parameter {key} is required now"));
            }
        }
        let body = |document: &'a Value, operation: &'a Value| Self::resolved(document, &operation["requestBody"]).0;
        lost.extend(self.content(at, body(self.old, old), body(self.new, new), Side::Request));
        for (status, answer) in old["responses"].as_object().into_iter().flatten() {
            let (at, answer) = (format!("{at} → {status}"), Self::resolved(self.old, answer).0);
            match new["responses"].get(status) {
                Some(other) => {
                    lost.extend(self.content(&at, answer, Self::resolved(self.new, other).0, Side::Answer));
                }
                None => lost.push(format!("{at}: gone")),
            }
        }
        lost
    }

    fn all(&mut self) -> Vec<String> {
        let (old, new) = (self.old, self.new);
        let mut lost = Vec::new();
        for (path, methods) in old["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                match new["paths"][path].get(method) {
                    Some(other) => lost.extend(self.operation(&format!("{method} {path}"), operation, other)),
                    None => lost.push(format!("{method} {path}: gone")),
                }
            }
        }
        lost
    }
}

fn members(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

fn variants(schema: &Value) -> Vec<&Value> {
    ["oneOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten().collect()
}

fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => BTreeSet::from([text.clone()]),
        Value::Array(list) => list.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect(),
        _ => BTreeSet::new(),
    }
}

fn types(schema: &Value) -> BTreeSet<String> {
    texts(&schema["type"])
}

fn words(schema: &Value) -> BTreeSet<String> {
    let mut words = texts(&schema["enum"]);
    words.extend(texts(&schema["const"]));
    words
}

fn required(schema: &Value) -> BTreeSet<String> {
    texts(&schema["required"])
}

/// Parameters by where they stand and name.
fn parameters<'a>(document: &'a Value, operation: &'a Value) -> Vec<(String, &'a Value)> {
    let listed = operation["parameters"].as_array().into_iter().flatten();
    listed
        .map(|parameter| {
            let parameter = Comparison::resolved(document, parameter).0;
            (format!("{} {}", parameter["in"], parameter["name"]), parameter)
        })
        .collect()
}

fn lost(old: &Value, new: &Value) -> Vec<String> {
    Comparison { old, new, kept: BTreeSet::new() }.all()
}

fn before() -> Value {
    serde_json::from_str(include_str!("../../../fixtures/openapi/before-the-cut.json")).expect("the fixture is JSON")
}

#[test]
fn nothing_that_was_promised_is_gone() {
    let lost = lost(&before(), &openapi::document(&toktra_siem_platform::Registry::standard()));
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// What is told, and what was done to the document for it.
type Harm = (&'static str, fn(&mut Value));

#[test]
fn what_is_taken_away_is_noticed() {
    let old = before();
    assert_eq!(lost(&old, &old), Vec::<String>::new());
    let harms: [Harm; 5] = [
        ("get /v1/events: gone", |new| {
            new["paths"]["/v1/events"].as_object_mut().unwrap().remove("get");
        }),
        ("\"limit\" is gone", |new| {
            new["paths"]["/v1/users"]["get"]["parameters"] = Value::Array(Vec::new());
        }),
        ("/event_id: gone", |new| {
            new["components"]["schemas"]["AcceptedEvent"]["properties"].as_object_mut().unwrap().remove("event_id");
        }),
        ("is required now", |new| {
            new["components"]["schemas"]["NewOrg"]["required"] = serde_json::json!(["name", "region"]);
        }),
        ("the word critical is gone", |new| {
            new["components"]["schemas"]["Severity"]["oneOf"].as_array_mut().unwrap().pop();
        }),
    ];
    for (told, harm) in harms {
        let mut new = old.clone();
        harm(&mut new);
        let lost = lost(&old, &new);
        assert!(lost.iter().any(|line| line.contains(told)), "{told}: {lost:?}");
    }
}
