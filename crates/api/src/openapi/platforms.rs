//! The schemas of connectors' settings, made of the descriptors of the platforms. Types mark with `x-platforms` where something stands for
//! each platform; here the mark gives way to it.

use serde_json::{Map, Value, json};
use toktra_siem_platform::descriptor::{Descriptor, Field, Kind};
use toktra_siem_platform::{Registry, group};

/// What stands in the place of something for each platform.
pub(crate) const MARK: &str = "x-platforms";

/// Text without control characters that is not blank.
const LABEL: &str = r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$";

/// Puts what the mark stands for in its place, everywhere in `value`.
pub(super) fn fill(value: &mut Value, registry: &Registry) {
    match value {
        Value::Array(items) => {
            let marked = items.iter().position(|item| item.get(MARK).is_some());
            if let Some(at) = marked {
                let mark = items[at][MARK].as_str().unwrap_or_default().to_owned();
                items.splice(at..=at, registry.descriptors().map(|platform| of(&mark, platform)));
            }
            for item in items {
                fill(item, registry);
            }
        }
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, registry)),
        _ => {}
    }
}

/// What a mark stands for.
fn of(mark: &str, platform: &Descriptor) -> Value {
    let (id, about) = (platform.id.as_str(), format!("{}.", platform.covers));
    let tagged = |config: String| {
        json!({
            "description": about,
            "type": "object",
            "properties": { "platform": { "type": "string", "const": id }, "config": reference(&config) },
            "required": ["platform", "config"],
        })
    };
    match mark {
        "view" => tagged(format!("{}Settings", name(platform))),
        "new" => tagged(new_name(platform)),
        "draft" => {
            let mut schema = tagged(change_name(platform));
            schema["required"] = json!(["platform"]);
            schema
        }
        "change" => {
            let mut schema = reference(&change_name(platform));
            schema["description"] = format!("Of a connector to {}.", platform.covers).into();
            schema
        }
        _ => json!({ "type": "string", "const": id, "description": about }),
    }
}

/// The schemas that they refer to.
pub(super) fn definitions(registry: &Registry) -> Map<String, Value> {
    let mut definitions = Map::new();
    for platform in registry.descriptors() {
        let (label, fields) = (platform.covers, || registry.fields(platform.id));
        let view = shape(&format!("Settings of a connector to {label}."), fields(), &view, |field| {
            !field.is_secret() && (field.is_always_required() || field.default.is_some())
        });
        definitions.insert(format!("{}Settings", name(platform)), view);
        let new =
            shape(&format!("Settings of a new connector to {label}."), fields(), &input, Field::is_always_required);
        definitions.insert(new_name(platform), closed(new));
        let change =
            shape(&format!("Settings of a connector to {label} that are to change."), fields(), &input, |_| false);
        definitions.entry(change_name(platform)).or_insert(closed(change));
    }
    definitions
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// `acme_hec` is `AcmeHec`.
fn name(platform: &Descriptor) -> String {
    let capital =
        |word: &str| word.char_indices().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c }).collect();
    platform.id.as_str().split('_').map(capital).collect::<Vec<String>>().concat()
}

/// Where nothing is required, a new connector takes what a change takes.
fn is_one(platform: &Descriptor) -> bool {
    !platform.fields.iter().any(Field::is_always_required)
}

fn new_name(platform: &Descriptor) -> String {
    if is_one(platform) { format!("{}Input", name(platform)) } else { format!("New{}", name(platform)) }
}

fn change_name(platform: &Descriptor) -> String {
    if is_one(platform) { format!("{}Input", name(platform)) } else { format!("{}Change", name(platform)) }
}

fn shape<'f>(
    about: &str,
    fields: impl Iterator<Item = &'f Field>,
    of: &dyn Fn(&Field) -> Value,
    required: impl Fn(&Field) -> bool,
) -> Value {
    let fields: Vec<&Field> = fields.collect();
    let mut properties = Map::new();
    for field in &fields {
        match group::path(field.name) {
            None => {
                properties.insert(field.name.to_owned(), of(field));
            }
            Some((group, inner)) => {
                let group = properties
                    .entry(group)
                    .or_insert_with(|| object(group, of(field).get("type").is_some_and(Value::is_array)));
                group["properties"][inner] = of(field);
            }
        }
    }
    let required: Vec<&str> = fields.iter().filter(|field| required(field)).map(|field| field.name).collect();
    let mut schema = json!({ "description": about, "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// Settings that stand in an object of their own.
fn object(name: &str, nullable: bool) -> Value {
    let about = format!("Settings of `{name}`, member by member.");
    let kind = if nullable { json!(["object", "null"]) } else { json!("object") };
    json!({ "description": about, "type": kind, "properties": {} })
}

fn closed(mut schema: Value) -> Value {
    for group in schema["properties"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        if group.get("properties").is_some() {
            group["additionalProperties"] = false.into();
        }
    }
    schema["additionalProperties"] = false.into();
    schema
}

/// A setting as answers show it.
fn view(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::Secret(_) | Kind::SecretUrl(_) | Kind::Headers => reference("Secret"),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number { .. } => json!({ "type": "integer", "minimum": 0 }),
        Kind::Choice { words, read: None } => {
            json!({ "type": "string", "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
        }
        Kind::Url(_) | Kind::Text(_) | Kind::Pem(_) | Kind::Choice { .. } => json!({ "type": "string" }),
    };
    schema["description"] = field.help.into();
    schema
}

/// A setting as it is given; `null` stands for the default, where there may be one.
fn input(field: &Field) -> Value {
    let kind = |kind: &str| if field.is_always_required() { json!(kind) } else { json!([kind, "null"]) };
    let mut schema = match field.kind {
        Kind::Flag => json!({ "type": kind("boolean") }),
        Kind::Number { min, max } => json!({ "type": kind("integer"), "minimum": min, "maximum": max }),
        Kind::Choice { words, read: None } => {
            let words = words.iter().map(|(word, _)| json!(word));
            let null = (!field.is_always_required()).then_some(Value::Null);
            json!({ "type": kind("string"), "enum": words.chain(null).collect::<Vec<_>>() })
        }
        Kind::Url(_) => json!({ "type": kind("string"), "minLength": 1, "examples": ["https://siem.example:8088"] }),
        Kind::Secret(_) | Kind::SecretUrl(_) => json!({ "type": kind("string"), "minLength": 1, "writeOnly": true }),
        Kind::Headers => json!({
            "type": if field.is_always_required() { json!(["object", "string"]) } else { json!(["object", "string", "null"]) },
            "additionalProperties": { "type": "string" },
            "writeOnly": true,
            "examples": [{ "X-Api-Key": "your-key" }],
        }),
        Kind::Text(_) if field.pattern.is_none() && field.max_length.is_some() => {
            json!({ "type": kind("string"), "minLength": 1, "pattern": LABEL })
        }
        Kind::Text(_) | Kind::Choice { .. } | Kind::Pem(_) => json!({ "type": kind("string") }),
    };
    if let Some(most) = field.max_length {
        schema["maxLength"] = most.into();
    }
    if let Some(pattern) = field.pattern {
        schema["pattern"] = pattern.into();
    }
    let default = field.default.map(|default| format!(" By default `{default}`.")).unwrap_or_default();
    schema["description"] = format!("{}{default}", field.help).into();
    schema
}
