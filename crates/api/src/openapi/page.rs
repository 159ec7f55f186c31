//! `GET /docs`: the OpenAPI document as a page for people, made on the server. It needs no script, and nothing from anywhere else.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::answer;
use crate::doc::JSON;
use crate::error::ApiError;
use crate::routes;
use crate::state::AppState;
use toktra_siem_app::Refusal;

mod curl;
mod prose;
mod schemas;

use prose::prose;
use schemas::{Row, SchemaView};

/// `GET /docs`.
pub(crate) async fn show(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let written = state.page.get_or_init(|| match Page::of(&super::document(&state.app.parts.registry)).render() {
        Ok(page) => Some(page.into()),
        Err(error) => {
            tracing::error!(%error, "the reference page could not be written");
            None
        }
    });
    match written.clone() {
        Some(page) => {
            asset("text/html; charset=utf-8", at_home(&page, state.app.parts.public_url.as_deref(), &headers))
        }
        None => ApiError(Refusal::internal()).into_response(),
    }
}

/// Where examples lead as they are written.
const EXAMPLE: &str = "http://127.0.0.1:8080";

/// The page with examples that lead to where it was asked for: a pasted one must not send a key elsewhere.
fn at_home(page: &Bytes, public_url: Option<&str>, headers: &HeaderMap) -> Bytes {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    // As on the page: elsewhere than on this machine, a key goes nowhere without TLS.
    let local = |host: &str| ["127.", "localhost", "[::1]"].iter().any(|begin| host.starts_with(begin));
    let asked = host.map(|host| format!("{}://{host}", if local(host) { "http" } else { "https" }));
    let Some(home) = public_url.map(str::to_owned).or(asked) else { return page.clone() };
    String::from_utf8_lossy(page).replace(EXAMPLE, home.trim_end_matches('/')).into()
}

/// Whether this is a host and perhaps a port, and nothing that means something in HTML or in a shell.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
}

/// `GET /docs/style.css`.
pub(crate) async fn style() -> Response {
    const STYLE: &str = concat!(include_str!("../../assets/css/tokens.css"), include_str!("../../assets/docs.css"));
    asset("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes()))
}

/// The page may show itself and its style sheet, and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn asset(media: &'static str, body: Bytes) -> Response {
    let mut response = answer::bytes(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What these routes say of themselves.
pub(crate) mod doc {
    use http::StatusCode;

    use crate::doc::{Doc, Tag};

    pub(crate) fn show() -> Doc {
        Doc::new("getReference", Tag::Service, "Show the reference page").answer_in::<String>(
            StatusCode::OK,
            "text/html",
            "This document as a page for people.",
        )
    }

    pub(crate) fn style() -> Doc {
        Doc::new("getReferenceStyle", Tag::Service, "Show the reference page's style").answer_in::<String>(
            StatusCode::OK,
            "text/css",
            "The style sheet of the reference page.",
        )
    }
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    version: String,
    about: String,
    groups: Vec<Group>,
    codes: Vec<Row>,
    schemas: Vec<SchemaView>,
}

struct Group {
    name: String,
    anchor: String,
    about: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    curl: String,
    answers: Vec<Answer>,
    errors: Vec<Failure>,
}

struct Parameter {
    name: String,
    place: String,
    kind: String,
    about: String,
}

struct Body {
    about: String,
    required: bool,
    kinds: Vec<Shape>,
}

/// A media type, and what is in it.
struct Shape {
    media: String,
    kind: String,
    /// Its members, where they are told elsewhere under a name.
    schema: Option<SchemaView>,
}

struct Answer {
    status: String,
    about: String,
    kinds: Vec<Shape>,
    headers: Vec<Parameter>,
    example: Option<String>,
}

struct Failure {
    status: String,
    about: String,
}

impl Page {
    fn of(document: &Value) -> Self {
        let info = &document["info"];
        let groups = document["tags"].as_array().into_iter().flatten().map(|tag| Group::of(document, tag)).collect();
        Self {
            version: text(&info["version"]),
            about: prose(&text(&info["description"])),
            groups,
            codes: schemas::words(&document["components"]["schemas"]["ErrorCode"]),
            schemas: schemas::all(document),
        }
    }
}

impl Group {
    /// The operations come in the order of the table, which the document does not have.
    fn of(document: &Value, tag: &Value) -> Self {
        let name = text(&tag["name"]);
        let here = routes::documented().into_iter().filter(|(_, doc)| doc.tag.name() == name);
        let operations = here.map(|(route, _)| Operation::of(document, route.method.as_str(), route.path)).collect();
        Self {
            anchor: name.to_lowercase().replace(' ', "-"),
            about: prose(&text(&tag["description"])),
            operations,
            name,
        }
    }
}

impl Operation {
    fn of(document: &Value, method: &str, path: &str) -> Self {
        let operation = &document["paths"][path][method.to_ascii_lowercase()];
        let parameters = list(&operation["parameters"]).map(|p| Parameter::of(document, p)).collect();
        let (mut answers, mut errors) = (Vec::new(), Vec::new());
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let response = resolved(document, response);
            if status.starts_with('2') {
                answers.push(Answer::of(document, status, response));
            } else {
                errors.push(Failure { status: status.clone(), about: prose(&text(&response["description"])) });
            }
        }
        Self {
            id: text(&operation["operationId"]),
            method: method.to_owned(),
            path: path.to_owned(),
            summary: text(&operation["summary"]),
            about: prose(&text(&operation["description"])),
            parameters,
            body: operation.get("requestBody").map(|body| Body::of(document, body)),
            curl: curl::of(method, path, operation),
            answers,
            errors,
        }
    }
}

impl Parameter {
    fn of(document: &Value, parameter: &Value) -> Self {
        let parameter = resolved(document, parameter);
        Self {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            kind: schemas::kind(&parameter["schema"]),
            about: prose(&text(&parameter["description"])),
        }
    }
}

impl Body {
    fn of(document: &Value, body: &Value) -> Self {
        Self {
            about: prose(&text(&body["description"])),
            required: body["required"] == Value::Bool(true),
            kinds: kinds(document, &body["content"]),
        }
    }
}

impl Answer {
    fn of(document: &Value, status: &str, response: &Value) -> Self {
        // The limit's headers are everywhere, and told once at the top.
        let own =
            response["headers"].as_object().into_iter().flatten().filter(|(_, header)| header.get("$ref").is_none());
        let headers = own.map(|(name, header)| Parameter {
            name: name.clone(),
            place: "header".to_owned(),
            kind: schemas::kind(&header["schema"]),
            about: prose(&text(&header["description"])),
        });
        let example = response["content"][JSON].get("example");
        Self {
            status: status.to_owned(),
            about: prose(&text(&response["description"])),
            kinds: kinds(document, &response["content"]),
            headers: headers.collect(),
            example: example.map(pretty),
        }
    }
}

fn kinds(document: &Value, content: &Value) -> Vec<Shape> {
    let kind = |(media, content): (&String, &Value)| {
        let schema = &content["schema"];
        let named = schema["$ref"].as_str().map(|_| SchemaView::of("", resolved(document, schema)));
        Shape { media: media.clone(), kind: schemas::kind(schema), schema: named }
    };
    content.as_object().into_iter().flatten().map(kind).collect()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_lead_to_where_the_page_was_asked_for() {
        let page = Bytes::from_static(b"curl -sS http://127.0.0.1:8080/v1/events");
        let asked = |host: &'static str| HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        assert_eq!(at_home(&page, None, &asked("siem.lan:9000")), "curl -sS https://siem.lan:9000/v1/events");
        assert_eq!(at_home(&page, None, &asked("localhost:81")), "curl -sS http://localhost:81/v1/events");
        let public = Some("https://siem.company.com/");
        assert_eq!(at_home(&page, public, &asked("siem.lan:9000")), "curl -sS https://siem.company.com/v1/events");
        for odd in ["", "a\"><script>", "$(reboot)", "a b"] {
            assert_eq!(at_home(&page, None, &asked(odd)), page, "{odd}");
        }
    }

    #[test]
    fn every_operation_and_every_schema_is_on_the_page_and_every_link_leads_somewhere() {
        let document = super::super::document(&toktra_siem_platform::Registry::standard());
        let page = Page::of(&document).render().unwrap();
        for (route, doc) in routes::documented() {
            assert!(page.contains(&format!("id=\"{}\"", doc.id)), "{}", route.path);
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
        for link in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
        }
        assert!(
            !page.contains("<script") && !page.contains("style=\"") && !page.contains("://cdn"),
            "nothing from elsewhere"
        );
    }
}
