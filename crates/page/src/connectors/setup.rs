//! What has to be there before a connector works, as text for whoever administers the SIEM: of a saved connector, a page; of what stands in the
//! form, a part of it, or a page for whoever has no script.

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use serde_json::json;
use toktra_siem_app::{Object, connectors, named, setup};
use toktra_siem_wire::{Connector, Setup};

use super::form::draft;
use super::form::faults::Faults;
use crate::answer::{self, Result};
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::show::{self, Html};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/connectors/setup.html")]
struct Part {
    setup: Setup,
    whole: bool,
}

#[derive(Template)]
#[template(path = "dashboard/connectors/setup_page.html")]
struct Page {
    frame: Frame,
    connector: Option<Connector>,
    setup: Setup,
    whole: bool,
}

/// `GET /integrations/siem/{id}/setup`.
pub(crate) async fn of_connector(visitor: Visitor, Path(id): Path<String>) -> Result {
    let connector = connectors::get(visitor.app(), visitor.caller(), named(&id)?).await?;
    let setup = setup::of_connector(visitor.app(), visitor.caller(), connector.id).await?;
    let frame = visitor.frame(format!("Set-up · {}", connector.name), Section::Connectors);
    visitor.page(&Page { frame, connector: Some(connector), setup, whole: true })
}

/// `POST /integrations/siem/setup`: of as much as stands in the form.
pub(crate) async fn of_form(visitor: Visitor, form: Form) -> Result {
    let registry = visitor.registry();
    let made = draft::creation(registry, &form);
    let body = json!({ "platform": made["platform"], "config": made["config"] });
    match setup::of_draft(visitor.app(), visitor.caller(), Object::of(&body)).await {
        Ok(setup) if visitor.by_script => answer::html(StatusCode::OK, &Part { setup, whole: false }),
        Ok(setup) => {
            let frame = visitor.frame("Set-up".to_owned(), Section::Connectors);
            visitor.page(&Page { frame, connector: None, setup, whole: true })
        }
        Err(refusal) if refusal.status.is_client_error() && visitor.by_script => {
            let platform = draft::platform(registry, form.text("platform"));
            let faults = Faults::of(registry, platform, &refusal);
            let sentence = faults.sentence("These settings have errors").unwrap_or(refusal.problem.message);
            answer::html(StatusCode::OK, &Refused { sentence, marks: faults.marks(registry)? })
        }
        Err(refusal) => Err(refusal.into()),
    }
}

#[derive(Template)]
#[template(source = "<p class=\"fault\">{{ sentence }}</p>{{ marks }}", ext = "html")]
struct Refused {
    sentence: String,
    marks: Html,
}
