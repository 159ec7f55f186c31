//! `POST …/index-template`: puts the built-in template of a platform that has one in place now (product spec, "Elasticsearch index template").

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::ConnectorId;

use super::answer;
use super::connectors::{CONNECTOR, load};
use super::error::{ApiError, Code, Result};
use super::named::InOrg;
use super::object::Object;
use super::state::{AppState, TemplateFailure, TemplateReport};

/// Creates or updates the template. What the cluster refuses is told as it is: it is for a person to act on.
pub(super) async fn apply(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    Object::read(&state, request).await?.finish()?;
    let record = load(&state, org, id).await?;
    let having = state.parts.registry.descriptors().filter(|platform| platform.prepared.is_some());
    let having = having.map(|platform| platform.label).collect::<Vec<_>>().join(", ");
    let report = state.parts.dispatch.apply_template(org, id).await.map_err(|failure| match failure {
        TemplateFailure::Unsupported => ApiError::conflict(format!(
            "A {} connector has no index template; only {} connectors have one.",
            record.connector.settings.platform, having
        )),
        TemplateFailure::Endpoint(cause) => ApiError::new(
            StatusCode::BAD_GATEWAY,
            Code::Unavailable,
            format!("The template was not put in place: {cause}"),
        ),
        TemplateFailure::Store(error) => ApiError::store(CONNECTOR, error),
    })?;
    let detail = json!({ "after": { "template": report.template, "warning": report.warning } });
    let audit = caller.audit(state.parts.clock.now(), "connector.index_template", id, detail);
    state.parts.store.log(Some(org), audit).await.map_err(|error| ApiError::store(CONNECTOR, error))?;
    tracing::info!(connector = %id, actor = caller.principal.name, template = report.template, "index template applied on request");
    let TemplateReport { template, warning } = report;
    Ok(answer::json(StatusCode::OK, &AppliedView { applied: warning.is_none(), template, warning }))
}

/// What became of the index template.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IndexTemplate")]
struct AppliedView {
    /// Whether it is in place.
    applied: bool,
    /// Its name.
    template: String,
    /// Why the cluster refused it. Events are delivered all the same.
    warning: Option<Cause>,
}

/// What this route says of itself.
pub(super) mod doc {
    use super::super::doc::{Doc, NoMembers, Tag};
    use super::super::error::Code;
    use super::AppliedView;

    pub(crate) fn apply() -> Doc {
        Doc::new("applyIndexTemplate", Tag::Connectors, "Put the index template in place")
            .once()
            .about(
                "Creates or updates the built-in template of a connector whose platform has one at its cluster, now.",
            )
            .optional_body::<NoMembers>("Nothing.")
            .ok::<AppliedView>("What became of it.")
            .error(409, Code::Conflict, "The connector is of a platform that has no index template.")
            .error(502, Code::Unavailable, "The cluster could not be reached, or its answer was no use.")
    }
}
