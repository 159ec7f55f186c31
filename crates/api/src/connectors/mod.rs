//! `/v1/siem/connectors`: making, showing, changing and removing connectors.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{ETAG, HeaderMap, HeaderValue, LOCATION};
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use toktra_siem_base::vault::SIGNING_SECRET;
use toktra_siem_core::connector::{Connector, Credentials, ManagedBy, Settings};
use toktra_siem_core::ids::{ConnectorId, OrgId, Revision};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::Trust;
use toktra_siem_platform::view::SecretView;
use toktra_siem_store::{Change, ConnectorRecord, ConnectorSave, KeptKind, Saved, StoreError};

use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::InOrg;
use super::object::Object;
use super::query::{Position, Query};
use super::state::AppState;
use super::{answer, shown};

pub(super) mod doc;
mod draft;
pub(super) mod filter;
mod patch;
mod precondition;
mod secrets;
pub(super) mod signing;
pub(super) mod test_delivery;
mod view;

use draft::Draft;
pub use filter::parse as parse_filter;
use precondition::IfMatch;
use secrets::{Secrets, Signing};
use view::ChangedView;

/// What the API calls this in its messages.
pub(super) const CONNECTOR: &str = "connector";
/// Saves that are tried where somebody else saves at the same moment.
const TRIES: usize = 4;

fn failed(error: StoreError) -> ApiError {
    ApiError::store(CONNECTOR, error)
}

/// A connector of the org, as stored.
pub(super) async fn load(state: &AppState, org: OrgId, id: ConnectorId) -> Result<ConnectorRecord> {
    state.parts.store.connector(org, id).await.map_err(failed)
}

fn name_taken() -> ApiError {
    ApiError::conflict("The org has a connector of this name already. Choose another name.")
}

/// Who says what a connector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The API.
    Api,
    /// File or environment, which describe it.
    Environment,
    /// File or environment did, and do not any more: it is off, and what waits for it is kept until somebody decides.
    Nobody,
}

impl Owner {
    fn of(state: &AppState, connector: &Connector) -> Self {
        match connector.managed_by {
            ManagedBy::Api => Self::Api,
            ManagedBy::Environment if state.parts.described.contains(&connector.id) => Self::Environment,
            ManagedBy::Environment => Self::Nobody,
        }
    }

    /// A connector of the environment is changed there, not here.
    fn may_change(self) -> Result<()> {
        match self {
            Self::Api => Ok(()),
            Self::Environment => Err(read_only()),
            Self::Nobody => Err(ApiError::conflict(
                "This connector was made by the environment, which does not describe it any more: it is off, and what waits for it is \
                 kept. Delete it, or set its SIEM_… variables (or its section of toktra-siem.toml) again and restart the service.",
            )),
        }
    }

    /// What the environment describes would be there again after the next start.
    fn may_remove(self) -> Result<()> {
        match self {
            Self::Api | Self::Nobody => Ok(()),
            Self::Environment => Err(read_only()),
        }
    }
}

fn read_only() -> ApiError {
    ApiError::conflict(
        "This connector is managed by the environment and read-only here. Change or remove its SIEM_… variables (or its section of \
         toktra-siem.toml) and restart the service.",
    )
}

/// An answer that shows a connector, with its `ETag`.
fn show(status: StatusCode, revision: Revision, view: &impl Serialize) -> Response {
    let mut response = answer::json(status, view);
    if let Ok(tag) = HeaderValue::try_from(precondition::tag(revision)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The org's connectors.
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let mut query = Query::of(request.uri());
    let paging = query.paging();
    query.finish()?;
    let all = state.parts.store.connectors(caller.org()?).await.map_err(failed)?;
    let position = |record: &ConnectorRecord| Position(record.connector.created_at, record.connector.id.0);
    let list = paging.page(all, position, |record| Ok(view::connector(&state, record)))?;
    Ok(answer::json(StatusCode::OK, &list))
}

/// One connector.
pub(super) async fn get(State(state): State<AppState>, InOrg { org, id, .. }: InOrg<ConnectorId>) -> Result<Response> {
    let record = load(&state, org, id).await?;
    Ok(show(StatusCode::OK, record.connector.revision, &view::connector(&state, &record)))
}

/// Makes a connector.
pub(super) async fn create(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let org = caller.org()?;
    let draft = draft::read(&state.parts.registry, Object::read(&state, request).await?)?;
    check_targets(&state, &draft.settings, &draft.credentials, Trust::default()).await?;
    let now = state.parts.clock.now();
    let (record, signing) = assemble(&state, org, draft, now);
    let mut view = view::connector(&state, &record);
    let id = record.connector.id;
    let audit = caller.audit(now, "connector.create", id, json!({ "after": view }));
    let saved = match state.parts.store.create_connector(org, Change { value: record, audit }).await {
        Err(StoreError::Conflict(_)) => return Err(name_taken()),
        outcome => outcome.map_err(failed)?,
    };
    state.parts.dispatch.connector_changed(org, id);
    if let Some(signing) = signing.filter(|signing| signing.generated) {
        shown::keep(&state, &caller, KeptKind::SigningSecret, id, &signing.secret).await;
        view.signing_secret = SecretView::once(&signing.secret);
    }
    view.stamp(&saved.connector);
    let mut response = show(StatusCode::CREATED, saved.connector.revision, &view);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/siem/connectors/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The connector that a draft asks for, and its signing secret where it gets one of its own. Nothing is stored.
fn assemble(state: &AppState, org: OrgId, draft: Draft, now: Timestamp) -> (ConnectorRecord, Option<Signing>) {
    let connector = Connector {
        id: ConnectorId(state.parts.random.uuid_v7(now)),
        org,
        name: draft.name,
        settings: draft.settings,
        filter: draft.filter,
        active: draft.active,
        managed_by: ManagedBy::Api,
        revision: Revision(1),
        created_at: now,
        updated_at: now,
    };
    let signing = secrets::signing_of_new(state, org, draft.signing_secret);
    let mut secrets = Secrets::default();
    secrets.set_credentials(state, &connector, &draft.credentials);
    if let Some(signing) = &signing {
        secrets.set(state, &connector, SIGNING_SECRET, &signing.secret);
    }
    (ConnectorRecord { connector, secrets: secrets.into_sealed(), rotation: None }, signing)
}

/// Changes a connector: members that are given replace, absent ones stay.
pub(super) async fn change(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    let condition = IfMatch::of(request.headers())?;
    let patch = patch::read(&state.parts.registry, Object::read(&state, request).await?)?;
    let saved = save(&state, &caller, org, id, &condition, |record| patch.apply(&state, record)).await?;
    let record = load(&state, org, id).await?;
    let connector = view::connector(&state, &record);
    let view = ChangedView { connector, backlog: saved.backlog, skipped: saved.skipped };
    Ok(show(StatusCode::OK, record.connector.revision, &view))
}

/// A change that is ready to be saved.
struct Ready {
    action: &'static str,
    value: ConnectorSave,
}

impl Ready {
    /// The connector as it would be stored, laid over `record`.
    fn over(&self, record: &ConnectorRecord) -> ConnectorRecord {
        ConnectorRecord {
            connector: self.value.connector.clone(),
            secrets: self.value.secrets.clone().unwrap_or_else(|| record.secrets.clone()),
            rotation: self.value.rotation.unwrap_or(record.rotation),
        }
    }
}

/// Reads the connector, lets `change` say what it is to become, checks where it leads, and saves. Where somebody else saved in between
/// and the request does not insist on a revision, it is done again on what is there then.
async fn save(
    state: &AppState,
    caller: &Caller,
    org: OrgId,
    id: ConnectorId,
    condition: &IfMatch,
    change: impl Fn(&ConnectorRecord) -> Result<Ready>,
) -> Result<Saved> {
    let mut tries = 0;
    loop {
        let record = load(state, org, id).await?;
        Owner::of(state, &record.connector).may_change()?;
        let revision = record.connector.revision;
        condition.check(revision)?;
        let ready = change(&record)?;
        let after = ready.over(&record);
        let Ready { action, mut value } = ready;
        if value.connector.settings != record.connector.settings {
            check_targets(state, &value.connector.settings, &Credentials::none(), Trust::default()).await?;
        }
        value.expected = Some(revision);
        let detail = json!({ "before": view::connector(state, &record), "after": view::connector(state, &after) });
        let audit = caller.audit(state.parts.clock.now(), action, id, detail);
        match state.parts.store.save_connector(org, Change { value, audit }).await {
            Ok(saved) => {
                state.parts.dispatch.connector_changed(org, id);
                return Ok(saved);
            }
            Err(StoreError::Conflict(_)) => {
                tries += 1;
                let moved = load(state, org, id).await?.connector.revision != revision;
                if !moved {
                    return Err(name_taken());
                }
                if tries == TRIES {
                    return Err(ApiError::conflict("Others keep saving this connector at the same moment. Try again."));
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// What a removal did.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Removed {
    /// Events that were given up with the connector.
    discarded: u64,
}

/// Removes a connector. Answers how many undelivered events were given up with it.
pub(super) async fn delete(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<ConnectorId>,
    headers: HeaderMap,
) -> Result<Response> {
    let condition = IfMatch::of(&headers)?;
    let record = load(&state, org, id).await?;
    Owner::of(&state, &record.connector).may_remove()?;
    condition.check(record.connector.revision)?;
    let detail = json!({ "before": view::connector(&state, &record) });
    let audit = caller.audit(state.parts.clock.now(), "connector.delete", id, detail);
    let expected = condition.insists().then_some(record.connector.revision);
    let discarded = match state.parts.store.delete_connector(org, id, expected, audit).await {
        Err(StoreError::Conflict(_)) if expected.is_some() => return Err(ApiError::stale()),
        outcome => outcome.map_err(failed)?,
    };
    state.parts.dispatch.connector_changed(org, id);
    Ok(answer::json(StatusCode::OK, &Removed { discarded }))
}

/// Refuses settings that lead where the server does not connect to (threats.md, "SSRF"). A name that does not resolve passes; it is
/// judged when it is dialled.
async fn check_targets(state: &AppState, settings: &Settings, credentials: &Credentials, trust: Trust) -> Result<()> {
    for url in state.parts.registry.targets(settings, credentials) {
        state.parts.transport.check(url.as_str(), trust).await?;
    }
    Ok(())
}
