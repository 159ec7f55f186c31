//! What derived schemas need before people and generators read them.

use serde_json::Value;

/// What the words of an `enum` mean, in their order; a member that several generators read.
pub(super) const MEANINGS: &str = "x-enum-descriptions";

/// A schema of what is written. A member that is not always there is left out instead of being `null`: so `skip_serializing_if` is used
/// everywhere here, which the derive cannot know.
pub(super) fn answer(schema: &mut Value) {
    each(schema, &mut |schema| {
        plain(schema);
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            let optional = properties.iter_mut().filter(|(name, _)| !required.iter().any(|r| r == name.as_str()));
            optional.for_each(|(_, property)| never_null(property));
        }
    });
}

/// A schema of what is read. That nothing is the default says nothing.
pub(super) fn request(schema: &mut Value) {
    each(schema, &mut |schema| {
        plain(schema);
        if let Value::Object(members) = schema
            && members.get("default").is_some_and(Value::is_null)
        {
            members.remove("default");
        }
    });
}

/// Applies `change` to `value` and everything in it that may be a schema.
fn each(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    change(value);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, change)),
        Value::Object(members) => {
            let schemas =
                members.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "example" | "examples" | "default"));
            schemas.for_each(|(_, member)| each(member, change));
        }
        _ => {}
    }
}

/// Takes away what only Rust knows: widths of integers, and the line breaks of doc comments.
fn plain(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if let Some(Value::String(format)) = members.get("format")
        && format.trim_start_matches('u').starts_with("int")
    {
        members.remove("format");
    }
    if let Some(Value::String(text)) = members.get_mut("description") {
        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// Makes one `enum` of every choice among words.
pub(super) fn words(document: &mut Value) {
    each(document, &mut one_list);
}

/// Makes one `enum` of a choice among words, because some generators make a type for each `const`. What the words mean stands beside them, in
/// the same order.
fn one_list(schema: &mut Value) {
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let (mut words, mut meanings) = (Vec::new(), Vec::new());
    for choice in choices {
        if choice["type"] != "string" {
            return;
        }
        let meaning = choice["description"].as_str().unwrap_or_default();
        let listed = choice["enum"].as_array().map_or(&[][..], Vec::as_slice);
        for word in choice.get("const").into_iter().chain(listed) {
            words.push(word.clone());
            meanings.push(Value::from(meaning.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    let Value::Object(members) = schema else { return };
    if words.is_empty() {
        return;
    }
    members.remove("oneOf");
    members.insert("type".to_owned(), "string".into());
    members.insert("enum".to_owned(), words.into());
    members.insert(MEANINGS.to_owned(), meanings.into());
}

fn never_null(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            members.extend(only);
        }
    }
}
