//! The form's pages: the empty one, that of a connector, and what a save comes to.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use toktra_siem_app::connectors::{self, IfMatch};
use toktra_siem_app::once::Earlier;
use toktra_siem_app::{Code, Object, Refusal, named};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::ids::Revision;
use toktra_siem_wire::{Connector, ConnectorChanged};

use super::draft::{self, Shows, Values};
use super::faults::Faults;
use super::{FINGERPRINT, FormPage, Newer, Refused, Summary, linked, paste, preview, ticked};
use crate::answer::{self, Result};
use crate::connectors::one::{self, Card, active};
use crate::form::Form;
use crate::frame::{Notice, Section};
use crate::visitor::Visitor;

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
        only: false,
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
        only: !stored.filter.severity.is_empty() || !stored.filter.event_types.is_empty(),
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
    let made = match nothing_chosen(&form) {
        Some(refusal) => Err(refusal),
        None => visitor.once("connectors", &body, doing).await,
    };
    match made {
        Ok(connector) => created(&visitor, &form, connector).await,
        Err(refusal) if refusal.status.is_client_error() => {
            let platform = draft::platform(visitor.registry(), form.text("platform"));
            let faults = Faults::of(visitor.registry(), platform, &refusal);
            let summary = Summary { text: faults.sentence(NOT_SAVED).unwrap_or_default(), newer: None };
            refused(&visitor, &form, None, &refusal, faults, summary).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// A filter that is no filter.
fn nothing_chosen(form: &Form) -> Option<Refusal> {
    let fault = FieldFault::new("/filter", draft::nothing_chosen(form)?);
    let mut refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, fault.message.clone());
    refusal.problem.fields = vec![fault];
    Some(refusal)
}

/// What is said of the last test of a form, unless it arrived; `untested` if there was none.
fn tested(form: &Form, untested: &str) -> String {
    match form.text("tested") {
        "on" => String::new(),
        "failed" => " Its test delivery did not arrive: make another one to see why.".to_owned(),
        _ => format!(" {untested}: make a test delivery to be sure."),
    }
}

/// On to the connector's page, which shows a signing secret that was made: in this answer, so that no address and no cookie holds it.
async fn created(visitor: &Visitor, form: &Form, mut connector: Connector) -> Result {
    let tail = tested(form, "It has not been tested");
    let told = paste::told(visitor.registry(), connector.settings.platform, form);
    let state = if connector.active { "active" } else { "not active: switch it on to have it forward events" };
    let notice = Notice::done(format!("“{}” was added, and is {state}.{tail}{told}", connector.name));
    let path = place(&connector);
    match connector.signing_secret.value.take() {
        Some(secret) => one::with_secret(visitor, connector.id, Card::made(secret), notice).await,
        None => Ok(visitor.go_with(&path, notice)),
    }
}

/// `POST /integrations/siem/{id}/edit`.
pub(crate) async fn save(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let stored = load(&visitor, &id).await?;
    let mut body = draft::change(visitor.registry(), &form, &stored);
    // If events wait, somebody has to say what becomes of them: that is asked once everything else is saved.
    // A form from before an update of the service has no such box, which says nothing.
    let on = if form.has("has_active") { form.has("active") } else { stored.active };
    let asks = on && active::asks(&visitor, &stored).await?;
    if on != stored.active && !asks {
        body["active"] = on.into();
    }
    let follows = form.filled("overwrite").unwrap_or(form.text("revision"));
    // Anything else than a number is no revision that there is.
    let condition = IfMatch::revision(Revision(follows.parse().unwrap_or(0)));
    let changed = match nothing_chosen(&form) {
        Some(refusal) => Err(refusal),
        None => connectors::change(visitor.app(), visitor.caller(), stored.id, &condition, Object::of(&body)).await,
    };
    match changed {
        Ok(ConnectorChanged { connector: saved, .. }) => {
            let tail = tested(&form, "It has not been tested like this");
            let told = paste::told(visitor.registry(), saved.settings.platform, &form);
            let next = if asks { format!("{}/resume", place(&saved)) } else { place(&saved) };
            Ok(visitor.go_with(&next, Notice::done(format!("“{}” was saved.{tail}{told}", saved.name))))
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
        only: !draft::forwards_all(form),
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
