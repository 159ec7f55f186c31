//! Rotating a connector's signing secret without a request that receivers cannot verify: for a while both secrets sign (interface.md,
//! "HTTP", `…/signing-secret/rotate`).

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::view::SecretView;
use toktra_siem_store::{ConnectorRecord, ConnectorSave, KeptKind, Resume, Rotation};

use super::precondition::IfMatch;
use super::secrets::{self, Secrets};
use super::{Ready, load, save, show};
use crate::error::{ApiError, Result};
use crate::named::InOrg;
use crate::object::{Member, Object};
use crate::shown;
use crate::state::AppState;

/// How long both secrets sign where the request does not say (interface.md).
const DEFAULT_GRACE: Duration = Duration::from_hours(24);
/// The longest that both may sign.
const MAX_GRACE: Duration = Duration::from_hours(30 * 24);

/// A change of the signing secret that has begun.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RotationBegun")]
pub(super) struct RotatingView {
    /// The connector.
    connector_id: ConnectorId,
    /// The secret that receivers know.
    signing_secret: SecretView,
    /// The secret that takes over. Its `value` is shown here, and never again.
    signing_secret_next: SecretView,
    /// When it does, unless it is activated before.
    until: Timestamp,
}

/// A change of the signing secret that has ended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RotationEnded")]
pub(super) struct ActivatedView {
    /// The connector.
    connector_id: ConnectorId,
    /// The secret that signs alone now.
    signing_secret: SecretView,
}

/// Begins a rotation; the answer shows the new secret, once.
pub(crate) async fn rotate(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    let condition = IfMatch::of(request.headers())?;
    let (grace, given) = read(Object::read(&state, request).await?)?;
    let made = given.is_none();
    let next = given.unwrap_or_else(|| state.parts.random.secret());
    let until = state.parts.clock.now().plus(grace);
    let begin = |record: &ConnectorRecord| {
        if !secrets::has(record, SIGNING_SECRET) {
            return Err(ApiError::conflict(
                "This connector signs with SIEM_SIGNING_SECRET, which the environment rotates: set SIEM_SIGNING_SECRET_NEXT there, or \
                 give the connector a `signing_secret` of its own first.",
            ));
        }
        if record.rotation.is_some() {
            return Err(ApiError::conflict(
                "A rotation is under way. Activate the next secret, or wait for the end of its grace period, before the next one.",
            ));
        }
        let mut secrets = Secrets::of(record);
        secrets.set(&state, &record.connector, SIGNING_SECRET_NEXT, &next);
        Ok(ready("connector.signing_secret.rotate", record, secrets, Some(Rotation { until })))
    };
    let saved = save(&state, &caller, org, id, &condition, begin).await?;
    if made {
        shown::keep(&state, &caller, KeptKind::SigningSecret, id, &next).await;
    }
    let record = load(&state, org, id).await?;
    let view = RotatingView {
        connector_id: id,
        signing_secret: secrets::signing_view(&state, &record, SIGNING_SECRET),
        signing_secret_next: SecretView::once(&next),
        until,
    };
    Ok(show(StatusCode::OK, saved.connector.revision, &view))
}

/// Ends a rotation: from now on the new secret signs alone.
pub(crate) async fn activate(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    let condition = IfMatch::of(request.headers())?;
    Object::read(&state, request).await?.finish()?;
    let end = |record: &ConnectorRecord| {
        if !secrets::has(record, SIGNING_SECRET_NEXT) {
            return Err(ApiError::conflict("No rotation is under way. Begin one with `…/signing-secret/rotate`."));
        }
        let mut secrets = Secrets::of(record);
        secrets.activate_next();
        Ok(ready("connector.signing_secret.activate", record, secrets, None))
    };
    let saved = save(&state, &caller, org, id, &condition, end).await?;
    let record = load(&state, org, id).await?;
    let signing_secret = secrets::signing_view(&state, &record, SIGNING_SECRET);
    Ok(show(StatusCode::OK, saved.connector.revision, &ActivatedView { connector_id: id, signing_secret }))
}

fn ready(action: &'static str, record: &ConnectorRecord, secrets: Secrets, rotation: Option<Rotation>) -> Ready {
    let value = ConnectorSave {
        connector: record.connector.clone(),
        expected: None,
        secrets: Some(secrets.into_sealed()),
        rotation: Some(rotation),
        resume: Resume::default(),
    };
    Ready { action, value }
}

/// The grace period and the new secret, as far as the request says.
fn read(mut object: Object) -> Result<(Duration, Option<SecretString>)> {
    let grace = match object.value("grace_seconds") {
        None | Some(Value::Null) => DEFAULT_GRACE,
        Some(value) => {
            let given = value.as_u64().map(Duration::from_secs).filter(|grace| *grace <= MAX_GRACE);
            given.unwrap_or_else(|| {
                object.fault("grace_seconds", Wrong::range(0, MAX_GRACE.as_secs()));
                DEFAULT_GRACE
            })
        }
    };
    let given = match object.secret("signing_secret") {
        Member::Value(secret) => Some(secret),
        Member::Null | Member::Absent => None,
    };
    object.finish()?;
    Ok((grace, given))
}
