//! The OpenAPI 3.1 document of the API, put together from the table of routes, what each route says of itself ([`super::doc`]), and the
//! schemas that derive from the types of answers and bodies.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use toktra_siem_platform::Registry;
use toktra_siem_store::Scope;

use super::answer;
use super::doc::{Answer, Body, Content, Doc, JSON, Param, SchemaOf, Tag};
use super::guard::Access;
use super::routes::{self, Route};
use super::state::AppState;

mod examples;
mod faults;
pub(super) mod page;
pub(super) mod platforms;
mod tidy;

use examples::Example;
use faults::Faults;

/// `GET /openapi.json`.
pub(super) async fn show(State(state): State<AppState>) -> Response {
    let written = state.document.get_or_init(|| document(&state.app.parts.registry).to_string().into());
    answer::bytes(StatusCode::OK, written.clone())
}

/// What this route says of itself.
pub(super) mod doc {
    use serde_json::{Map, Value};

    use crate::doc::{Doc, Tag};

    pub(crate) fn show() -> Doc {
        Doc::new("getOpenApi", Tag::Service, "Show this document")
            .ok::<Map<String, Value>>("The OpenAPI 3.1 document of this API.")
    }
}

/// The whole document.
pub fn document(registry: &Registry) -> Value {
    let mut writer = Writer::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (route, doc) in routes::documented() {
        let operation = writer.operation(&route, &doc);
        paths.entry(route.path).or_default().insert(route.method.as_str().to_ascii_lowercase(), operation);
    }
    let mut document = json!({
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Toktra SIEM",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This server." }],
        "security": [{ BEARER: [] }],
        "tags": tags(),
        "paths": paths,
    });
    document["components"] = writer.components();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.extend(platforms::definitions(registry));
    }
    platforms::fill(&mut document, registry);
    tidy::words(&mut document);
    document
}

const ABOUT: &str = include_str!("openapi/about.md");
/// The name of the only security scheme.
const BEARER: &str = "bearer";

/// Groups that have a route.
fn tags() -> Vec<Value> {
    let used: Vec<Tag> = routes::documented().iter().map(|(_, doc)| doc.tag).collect();
    let tags = Tag::ALL.iter().filter(|tag| used.contains(tag));
    tags.map(|tag| json!({ "name": tag.name(), "description": tag.about() })).collect()
}

/// Collects what operations share.
struct Writer {
    /// Schemas of what is written.
    answers: SchemaGenerator,
    /// Schemas of what is read: the same type may look otherwise there, by its defaults.
    requests: SchemaGenerator,
    faults: Faults,
}

impl Writer {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            answers: settings.clone().for_serialize().into_generator(),
            requests: settings.for_deserialize().into_generator(),
            faults: Faults::default(),
        }
    }

    fn answer(&mut self, schema: SchemaOf) -> Value {
        let mut schema = schema(&mut self.answers).to_value();
        tidy::answer(&mut schema);
        schema
    }

    fn request(&mut self, schema: SchemaOf) -> Value {
        let mut schema = schema(&mut self.requests).to_value();
        tidy::request(&mut schema);
        schema
    }

    fn operation(&mut self, route: &Route, doc: &Doc) -> Value {
        let mut operation = json!({
            "operationId": doc.id,
            "tags": [doc.tag.name()],
            "summary": doc.summary,
            "security": security(route.access),
        });
        let about = [doc.about, demand(route.access)].into_iter().filter(|text| !text.is_empty());
        let about = about.collect::<Vec<_>>().join("\n\n");
        if !about.is_empty() {
            operation["description"] = about.into();
        }
        let parameters = self.parameters(route, doc);
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = &doc.body {
            operation["requestBody"] = self.body(body, examples::of(doc.id));
        }
        let mut responses: Map<String, Value> = self.faults.of(route, doc);
        for answer in &doc.answers {
            let example = examples::answered(doc.id, answer.status.as_u16());
            responses.insert(answer.status.as_str().to_owned(), self.response(route, answer, example));
        }
        operation["responses"] = responses.into();
        operation
    }

    fn parameters(&mut self, route: &Route, doc: &Doc) -> Vec<Value> {
        let mut parameters: Vec<Value> = path_parameters(route.path);
        for Param { place, name, about, schema } in &doc.params {
            let schema = self.request(*schema);
            parameters.push(json!({ "name": name, "in": place, "description": about, "schema": schema }));
        }
        if !matches!(route.access, Access::Open | Access::Platform) {
            parameters.push(json!({ "$ref": "#/components/parameters/org_id" }));
        }
        parameters
    }

    fn body(&mut self, Body { about, required, contents }: &Body, example: Option<&Example>) -> Value {
        let mut content: Map<String, Value> = contents
            .iter()
            .map(|Content { media, schema }| ((*media).to_owned(), json!({ "schema": self.request(*schema) })))
            .collect();
        if let (Some(json), Some(request)) =
            (content.get_mut(JSON), example.and_then(|example| example.request.as_ref()))
        {
            json["example"] = request.clone();
        }
        json!({ "description": about, "required": required, "content": content })
    }

    fn response(&mut self, route: &Route, answer: &Answer, example: Option<&Example>) -> Value {
        let mut content: Map<String, Value> = answer
            .contents
            .iter()
            .map(|Content { media, schema }| ((*media).to_owned(), json!({ "schema": self.answer(*schema) })))
            .collect();
        if let (Some(json), Some(example)) = (content.get_mut(JSON), example) {
            json["example"] = example.answer.clone();
        }
        let mut response = json!({ "description": answer.about, "content": content });
        let mut headers = faults::limit_headers(route.access);
        for (name, about) in &answer.headers {
            headers.insert((*name).to_owned(), json!({ "description": about, "schema": { "type": "string" } }));
        }
        if !headers.is_empty() {
            response["headers"] = headers.into();
        }
        response
    }

    fn components(mut self) -> Value {
        let responses = self.faults.take(&mut self.answers);
        let mut schemas = definitions(&mut self.requests, tidy::request);
        // Where a type is both read and written, what is written counts; a test holds the two to be the same.
        schemas.extend(definitions(&mut self.answers, tidy::answer));
        json!({
            "schemas": schemas,
            "responses": responses,
            "headers": faults::headers(),
            "parameters": {
                "org_id": {
                    "name": "org_id",
                    "in": "query",
                    "description": "The org that is meant. A key of an org may leave it out, and can name its own only. A platform key, \
                                    which belongs to none, names one.",
                    "schema": { "type": "string", "format": "uuid" },
                },
            },
            "securitySchemes": {
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or the token of a session: `Authorization: Bearer <key>`. What each route demands of it \
                                    stands there as its scope; `admin` includes the scopes of an org, `platform` all of them, for every \
                                    org. The session of an admin has the scope `admin`, that of a viewer `siem:read`.",
                },
            },
        })
    }
}

fn definitions(generator: &mut SchemaGenerator, tidy: fn(&mut Value)) -> Map<String, Value> {
    let mut definitions = generator.take_definitions(true);
    definitions.values_mut().for_each(tidy);
    definitions
}

/// The scope that a route demands.
fn scope(access: Access) -> Option<Scope> {
    match access {
        Access::Open | Access::Session => None,
        Access::Events => Some(Scope::EventsWrite),
        Access::Org(scope) => Some(scope),
        Access::Keys => Some(Scope::Admin),
        Access::Platform => Some(Scope::Platform),
    }
}

/// The sentence about it.
fn demand(access: Access) -> &'static str {
    match access {
        Access::Open => "Needs no credentials.",
        Access::Events => "Needs the scope `events:write`.",
        Access::Org(Scope::SiemRead) => "Needs the scope `siem:read`.",
        Access::Org(Scope::SiemWrite) => "Needs the scope `siem:write`.",
        Access::Keys | Access::Org(_) => "Needs the scope `admin`.",
        Access::Platform => "Needs a platform key.",
        Access::Session => "Needs a session.",
    }
}

/// The scope in the terms of OpenAPI.
fn security(access: Access) -> Value {
    match (access, scope(access)) {
        (_, Some(scope)) => json!([{ BEARER: [scope.as_str()] }]),
        (Access::Session, None) => json!([{ BEARER: [] }]),
        (_, None) => json!([]),
    }
}

/// The ids in a path: what stands before each says what it is the id of.
fn path_parameters(path: &str) -> Vec<Value> {
    let mut before = "";
    let mut found = Vec::new();
    for segment in path.split('/') {
        if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let what = match before {
                "api-keys" => "API key",
                "deliveries" => "delivery",
                other => other.strip_suffix('s').unwrap_or(other),
            };
            found.push(json!({
                "name": name,
                "in": "path",
                "required": true,
                "description": format!("The id of the {what}."),
                "schema": { "type": "string", "format": "uuid" },
            }));
        }
        before = segment;
    }
    found
}

#[cfg(test)]
mod tests;
