//! What holds of the whole document.

use std::collections::BTreeSet;

use toktra_siem_platform::Registry;

use super::*;

/// Calls `see` with every object in `value`, and its JSON Pointer.
fn objects(value: &Value, at: &str, see: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            see(at, members);
            members.iter().for_each(|(name, member)| objects(member, &format!("{at}/{name}"), see));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| objects(item, &format!("{at}/{index}"), see));
        }
        _ => {}
    }
}

#[test]
fn the_document() {
    insta::assert_snapshot!("openapi", serde_json::to_string_pretty(&document(&Registry::standard())).unwrap());
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document(&Registry::standard());
    let mut used = BTreeSet::new();
    objects(&document, "", &mut |at, members| {
        if let Some(Value::String(reference)) = members.get("$ref") {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{at} refers to {reference}, which is not there");
            used.insert(pointer.to_owned());
        }
    });
    for kind in ["schemas", "responses", "headers", "parameters"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("/components/{kind}/{name}")), "nothing refers to {kind}/{name}");
        }
    }
}

#[test]
fn operations_have_names_of_their_own_and_say_what_they_do() {
    let mut ids = BTreeSet::new();
    for (route, doc) in routes::documented() {
        assert!(ids.insert(doc.id), "{} is the name of two operations", doc.id);
        assert!(doc.id.chars().all(|c| c.is_ascii_alphanumeric()), "{}", doc.id);
        assert!(!doc.answers.is_empty(), "{} {} has no answer", route.method, route.path);
        let texts = [doc.about]
            .into_iter()
            .chain(doc.answers.iter().map(|a| a.about))
            .chain(doc.faults.iter().map(|f| f.about));
        for text in texts.filter(|text| !text.is_empty()) {
            assert!(text.ends_with('.'), "{}: not a sentence: {text}", doc.id);
        }
        assert!(!doc.summary.ends_with('.'), "{}: not a title: {}", doc.id, doc.summary);
    }
}

#[test]
fn users_are_not_told_of_our_own_files_and_types() {
    let document = document(&Registry::standard());
    let mut inside = Vec::new();
    objects(&document, "", &mut |at, members| {
        let Some(Value::String(text)) = members.get("description") else { return };
        if [".md", "[`", "::", "product spec", "`None`", "`Some`", "nvariant"].iter().any(|word| text.contains(word)) {
            inside.push(format!("{at}: {text}"));
        }
    });
    assert!(inside.is_empty(), "{inside:#?}");
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "two types are called {name} without its number");
        assert!(!name.ends_with("View"), "`#[schemars(rename = …)]` is missing: {name}");
    }
}

#[test]
fn what_is_both_read_and_written_looks_the_same() {
    let mut writer = Writer::new();
    for (route, doc) in routes::documented() {
        writer.operation(&route, &doc);
    }
    let written = definitions(&mut writer.answers, tidy::answer);
    for (name, read) in definitions(&mut writer.requests, tidy::request) {
        assert_eq!(written.get(&name).unwrap_or(&read), &read, "{name}: make a type of its own for what is read");
    }
}

/// Whoever reads it, or makes a client or a fake server of it, sees what goes in and what comes out.
#[test]
fn every_body_and_every_answer_of_json_has_an_example() {
    let document = document(&Registry::standard());
    let has_none = |content: &Value| {
        let json = content.get(JSON);
        json.is_some_and(|json| json.get("example").is_none() && json.get("examples").is_none())
    };
    let mut without = Vec::new();
    for (route, doc) in routes::documented() {
        // This document has no place in itself.
        if route.path == "/openapi.json" {
            continue;
        }
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        if has_none(&operation["requestBody"]["content"]) {
            without.push(format!("{}: its body", doc.id));
        }
        let answers = operation["responses"].as_object().unwrap().iter();
        let good = answers.filter(|(status, answer)| status.starts_with('2') && has_none(&answer["content"]));
        without.extend(good.map(|(status, _)| format!("{}: its answer {status}", doc.id)));
    }
    assert!(without.is_empty(), "`e2e/tests/it/api/examples.rs` has no example of {without:#?}");
}
