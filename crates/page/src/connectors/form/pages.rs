//! The form's pages: the empty one, that of a connector, and what a save comes to.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use toktra_siem_app::connectors::{self, IfMatch};
use toktra_siem_app::once::Earlier;
use toktra_siem_app::{Object, Refusal, named};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::ids::Revision;
use toktra_siem_wire::{Connector, ConnectorChanged};

use super::draft::{self, Shows, Values};
use super::faults::Faults;
use super::{FINGERPRINT, FormPage, Newer, Refused, Summary, linked, paste, preview, ticked};
use crate::answer::{self, Result};
use crate::error::PageError;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::show;
use crate::visitor::Visitor;

const RETARGET: HeaderName = HeaderName::from_static("hx-retarget");
const RESWAP: HeaderName = HeaderName::from_static("hx-reswap");
const PUSH: HeaderName = HeaderName::from_static("hx-push-url");

/// The page that shows the signing secret of a new connector, once.
#[derive(Template)]
#[template(path = "dashboard/connectors/created.html", blocks = ["page"])]
struct CreatedPage {
    frame: Frame,
    connector: Connector,
    secret: SecretString,
    tested: bool,
}

impl CreatedPage {
    fn secret(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// `GET /integrations/siem/new?platform=…`.
pub(crate) async fn new(visitor: Visitor, uri: Uri) -> Result {
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes());
    let page = FormPage {
        frame: visitor.frame("Add connector", Section::Connectors),
        stored: None,
        platform: draft::platform(visitor.registry(), query.text("platform")),
        name: String::new(),
        shows: Shows::of(visitor.registry()),
        values: Values::fresh(visitor.registry()),
        severity: Vec::new(),
        event_types: Vec::new(),
        // The product spec has it switched on by hand, once the test event was seen ("Save and activate").
        active: false,
        revision: String::new(),
        faults: Faults::default(),
        linked: None,
        summary: None,
        preview: preview::of(&visitor, &json!({})).await?,
    };
    visitor.page(&page)
}

/// `GET /integrations/siem/{id}/edit`, with `?tls_fingerprint=…` if a certificate is to be trusted.
pub(crate) async fn edit(visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result {
    let stored = load(&visitor, &id).await?;
    if stored.managed_by == ManagedBy::Environment {
        let text = format!(
            "“{}” comes from the environment and is read-only here. Change its SIEM_… variables, or its section of toktra-siem.toml, and restart \
             the service.",
            stored.name
        );
        return Ok(visitor.go_with(&place(&stored), Notice::failed(text)));
    }
    let words = |value: Value| serde_json::from_value::<Vec<String>>(value).unwrap_or_default();
    let mut values = Values::stored(visitor.registry(), &stored);
    // "Trust this certificate", from a test of the connector as it is stored.
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes());
    let linked = query.filled(FINGERPRINT).and_then(|given| linked::fill(&mut values, given));
    let page = FormPage {
        linked,
        frame: visitor.frame(format!("Edit {}", stored.name), Section::Connectors),
        platform: stored.settings.platform,
        name: stored.name.clone(),
        shows: Shows::of(visitor.registry()),
        values,
        severity: words(json!(stored.filter.severity)),
        event_types: words(json!(stored.filter.event_types)),
        active: stored.active,
        revision: stored.revision.0.to_string(),
        faults: Faults::default(),
        summary: None,
        preview: preview::of(&visitor, &json!(stored.filter)).await?,
        stored: Some(stored),
    };
    visitor.page(&page)
}

async fn load(visitor: &Visitor, id: &str) -> Result<Connector> {
    Ok(connectors::get(visitor.app(), visitor.caller(), named(id)?).await?)
}

fn place(connector: &Connector) -> String {
    format!("/integrations/siem/{}", connector.id)
}

/// `POST /integrations/siem/new`.
pub(crate) async fn create(visitor: Visitor, form: Form) -> Result {
    let body = draft::creation(visitor.registry(), &form);
    let doing = |app, caller, connector| async move { connectors::create(&app, &caller, connector).await };
    match visitor.once("connectors", &body, doing).await {
        Ok(connector) => created(&visitor, &form, connector),
        Err(refusal) if refusal.status.is_client_error() => {
            let platform = draft::platform(visitor.registry(), form.text("platform"));
            let faults = Faults::of(visitor.registry(), platform, &refusal);
            let summary = Summary { text: faults.sentence(NOT_SAVED).unwrap_or_default(), newer: None };
            refused(&visitor, &form, None, &refusal, faults, summary).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn created(visitor: &Visitor, form: &Form, mut connector: Connector) -> Result {
    let tested = form.has("tested");
    let Some(secret) = connector.signing_secret.value.take() else {
        let tail = if tested { "" } else { " It has not been tested: make a test delivery to be sure." };
        let told = paste::told(visitor.registry(), connector.settings.platform, form);
        let state = if connector.active { "on" } else { "off" };
        let text = format!("“{}” was added, and is {state}.{tail}{told}", connector.name);
        return Ok(visitor.go_with(&place(&connector), Notice::done(text)));
    };
    let path = place(&connector);
    let frame = visitor.frame(format!("{} was added", connector.name), Section::Connectors);
    let page = CreatedPage { frame, connector, secret, tested };
    if !visitor.by_script {
        return visitor.page(&page);
    }
    // In place of the form, without a redirect that would have to carry the secret: it is in no address and no cookie.
    let title = format!("<title>{} · Toktra SIEM</title>", show::escaped(&page.frame.title));
    let html = page.as_page().render().map_err(|error| PageError::broken(&error))?;
    let mut response = Response::new(axum::body::Body::from(format!("{title}{html}")));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(RETARGET, HeaderValue::from_static("#page"));
    headers.insert(RESWAP, HeaderValue::from_static("outerHTML show:top"));
    if let Ok(path) = HeaderValue::try_from(path) {
        headers.insert(PUSH, path);
    }
    Ok(response)
}

/// `POST /integrations/siem/{id}/edit`.
pub(crate) async fn save(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let stored = load(&visitor, &id).await?;
    let body = draft::change(visitor.registry(), &form, &stored);
    let follows = form.filled("overwrite").unwrap_or(form.text("revision"));
    // Anything else than a number is no revision that there is.
    let condition = IfMatch::revision(Revision(follows.parse().unwrap_or(0)));
    match connectors::change(visitor.app(), visitor.caller(), stored.id, &condition, Object::of(&body)).await {
        Ok(ConnectorChanged { connector: saved, .. }) => {
            let tail = if form.has("tested") {
                ""
            } else {
                " It has not been tested like this: make a test delivery to be sure."
            };
            let told = paste::told(visitor.registry(), saved.settings.platform, &form);
            Ok(visitor.go_with(&place(&saved), Notice::done(format!("“{}” was saved.{tail}{told}", saved.name))))
        }
        Err(refusal) if refusal.status == StatusCode::PRECONDITION_FAILED => {
            let newest = load(&visitor, &id).await?;
            let newer = Some(Newer { path: place(&newest), revision: newest.revision.0 });
            let text = "Not saved: somebody else saved this connector after you opened this page. What you typed is still here.".to_owned();
            refused(&visitor, &form, Some(newest), &refusal, Faults::default(), Summary { text, newer }).await
        }
        Err(refusal) if refusal.status.is_client_error() => {
            let faults = Faults::of(visitor.registry(), stored.settings.platform, &refusal);
            let summary = Summary { text: faults.sentence(NOT_SAVED).unwrap_or_default(), newer: None };
            refused(&visitor, &form, Some(stored), &refusal, faults, summary).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

const NOT_SAVED: &str = "Not saved";

/// The form once more: with what was typed, but for secrets; by htmx only what is wrong with it, so that those stay as well.
async fn refused(
    visitor: &Visitor,
    form: &Form,
    stored: Option<Connector>,
    refusal: &Refusal,
    faults: Faults,
    mut summary: Summary,
) -> Result {
    let platform = stored
        .as_ref()
        .map_or_else(|| draft::platform(visitor.registry(), form.text("platform")), |stored| stored.settings.platform);
    summary.text.push_str(&paste::told(visitor.registry(), platform, form));
    if visitor.by_script {
        let marks = faults.marks(visitor.registry())?;
        // What is sent next is another request, unless this one is still under way.
        let anew = Earlier::of(refusal) != Some(Earlier::UnderWay);
        let frame = anew.then(|| visitor.frame("", Section::Connectors));
        return answer::html(refusal.status, &Refused { summary: summary.html(), marks, frame });
    }
    if draft::holds_secrets(visitor.registry(), &paste::filled(visitor.registry(), platform, form)) {
        summary.text.push_str(" Secrets are never shown: type them once more.");
    }
    let title = stored.as_ref().map_or_else(|| "Add connector".to_owned(), |stored| format!("Edit {}", stored.name));
    let page = FormPage {
        frame: visitor.frame(title, Section::Connectors),
        platform,
        name: form.text("name").to_owned(),
        shows: Shows::of(visitor.registry()),
        values: Values::typed(visitor.registry(), form),
        severity: ticked(form, "severity"),
        event_types: ticked(form, "event_types"),
        active: form.has("active"),
        revision: form.text("revision").to_owned(),
        preview: preview::of(visitor, &draft::filter(form)).await.unwrap_or_default(),
        linked: None,
        faults,
        summary: Some(summary),
        stored,
    };
    answer::html(refusal.status, &page)
}

/// `POST /integrations/siem/normalise`: what was pasted into the form, understood. Answers JSON, since it is a script that puts
/// the values into the fields: a credential is never a part of HTML.
pub(crate) async fn normalise(visitor: Visitor, form: Form) -> Result {
    let registry = visitor.registry();
    let read = paste::read(registry, draft::platform(registry, form.text("platform")), form.raw("pasted"));
    let values: BTreeMap<&str, &str> =
        read.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = json!({
        "fields": values,
        "said": read.said,
        "understood": read.understood,
        "not_understood": read.not_understood,
    });
    let mut response = Response::new(axum::body::Body::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
