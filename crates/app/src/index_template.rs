//! `POST …/index-template`: puts the built-in template of a platform that has one in place now (product spec, "Elasticsearch index template").

use http::StatusCode;
use serde_json::json;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_store::Scope;
use toktra_siem_wire as wire;

use crate::connectors::{CONNECTOR, load};
use crate::{App, Caller, Code, Object, Refusal, Result, TemplateFailure, TemplateReport};

/// Creates or updates the template. What the cluster refuses is told as it is: it is for a person to act on.
pub async fn apply(app: &App, caller: &Caller, id: ConnectorId, body: Object) -> Result<wire::IndexTemplate> {
    let org = caller.org(Scope::SiemWrite)?;
    body.finish()?;
    let record = load(app, org, id).await?;
    let having = app.parts.registry.descriptors().filter(|platform| platform.prepared.is_some());
    let having = having.map(|platform| platform.label).collect::<Vec<_>>().join(", ");
    let report = app.parts.dispatch.apply_template(org, id).await.map_err(|failure| match failure {
        TemplateFailure::Unsupported => Refusal::conflict(format!(
            "A {} connector has no index template; only {} connectors have one.",
            record.connector.settings.platform, having
        )),
        TemplateFailure::Endpoint(cause) => Refusal::new(
            StatusCode::BAD_GATEWAY,
            Code::Unavailable,
            format!("The template was not put in place: {cause}"),
        ),
        TemplateFailure::Store(error) => Refusal::store(CONNECTOR, error),
    })?;
    let detail = json!({ "after": { "template": report.template, "warning": report.warning } });
    let audit = caller.audit(app.parts.clock.now(), "connector.index_template", id, detail);
    app.parts.store.log(Some(org), audit).await.map_err(|error| Refusal::store(CONNECTOR, error))?;
    tracing::info!(connector = %id, actor = caller.principal.name, template = report.template, "index template applied on request");
    let TemplateReport { template, warning } = report;
    Ok(wire::IndexTemplate { applied: warning.is_none(), template, warning })
}
