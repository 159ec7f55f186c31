//! `/v1/secrets`: secrets that the service made and showed once. Whoever had one made can see it once again within ten minutes, and nobody
//! else: an answer that got lost on its way, or a page that was closed too early, is no reason to begin anew.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Kept, KeptKind, Scope};
use uuid::Uuid;

use super::error::{ApiError, Result};
use super::guard::Caller;
use super::object::Object;
use super::query::Query;
use super::state::AppState;
use super::{answer, once};

/// What the API calls this in its messages.
const SECRET: &str = "secret that can be shown again";
/// How long a secret can be shown again.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// What a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SecretKind {
    /// An API key.
    ApiKey,
    /// A signing secret of a connector.
    SigningSecret,
    /// A password that was made up for a user.
    Password,
}

impl SecretKind {
    fn of(kind: KeptKind) -> Option<Self> {
        match kind {
            KeptKind::Answer => None,
            KeptKind::ApiKey => Some(Self::ApiKey),
            KeptKind::SigningSecret => Some(Self::SigningSecret),
            KeptKind::Password => Some(Self::Password),
        }
    }

    /// What its owner has to be allowed to still.
    fn scope(self) -> Scope {
        match self {
            Self::SigningSecret => Scope::SiemWrite,
            Self::ApiKey | Self::Password => Scope::Admin,
        }
    }

    /// What the audit log calls it that it was shown again.
    fn action(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key.reveal",
            Self::SigningSecret => "connector.signing_secret.reveal",
            Self::Password => "user.password.reveal",
        }
    }
}

/// A secret that can be shown once again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ShownSecret")]
struct View {
    /// Identifies it; not the secret itself.
    id: Uuid,
    /// What it is.
    kind: SecretKind,
    /// The id of the API key, connector or user that it belongs to.
    object_id: String,
    /// When it was shown.
    shown_at: Timestamp,
    /// Until when it can be shown again.
    until: Timestamp,
}

/// The list of them.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShownSecrets")]
struct ListView {
    /// Oldest first.
    items: Vec<View>,
}

/// A secret that is shown again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SecretShownAgain")]
struct Again<'a> {
    #[serde(flatten)]
    about: View,
    /// The secret itself. It is not shown another time.
    secret: &'a str,
}

/// What `caller` can see again.
async fn visible(state: &AppState, caller: &Caller) -> Result<Vec<([u8; 32], View)>> {
    let kept = state.parts.store.kept_secrets(caller.principal.id, state.parts.clock.now()).await;
    let kept = kept.map_err(|error| ApiError::store(SECRET, error))?;
    let own = kept.into_iter().filter(|kept| kept.org.is_none() || kept.org == caller.named_org());
    let seen = own.filter_map(|kept| {
        let kind = SecretKind::of(kept.kind).filter(|kind| caller.principal.may(kind.scope()))?;
        let id = Uuid::from_slice(kept.id.get(..16)?).ok()?;
        Some((kept.id, View { id, kind, object_id: kept.about, shown_at: kept.at, until: kept.until }))
    });
    Ok(seen.collect())
}

/// Keeps a secret that is about to be shown to `caller` as that of `object`. Where that fails, it is shown all the same.
pub(super) async fn keep(
    state: &AppState,
    caller: &Caller,
    kind: KeptKind,
    object: impl ToString,
    secret: &SecretString,
) {
    let at = state.parts.clock.now();
    let mut id = [0; 32];
    id[..16].copy_from_slice(state.parts.random.uuid_v7(at).as_bytes());
    let (owner, org) = (caller.principal.id, caller.named_org());
    let sealed = Some(once::seal(state, owner, org, id, secret));
    let kept = Kept { id, owner, org, kind, about: object.to_string(), at, until: at.plus(KEPT_FOR), sealed };
    if let Err(error) = state.parts.store.keep(kept).await {
        tracing::warn!(%error, "a secret is shown, but could not be kept to be shown again");
    }
}

/// Those that the caller can see again.
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let items = visible(&state, &caller).await?.into_iter().map(|(_, view)| view).collect();
    Ok(answer::json(StatusCode::OK, &ListView { items }))
}

/// Shows one, for the last time.
pub(super) async fn reveal(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let wanted: Uuid = id.parse().map_err(|_| ApiError::not_found(SECRET))?;
    Object::read(&state, request).await?.finish()?;
    let found = visible(&state, &caller).await?.into_iter().find(|(_, view)| view.id == wanted);
    let (id, about) = found.ok_or_else(|| ApiError::not_found(SECRET))?;
    let (now, owner) = (state.parts.clock.now(), caller.principal.id);
    let audit = caller.audit(now, about.kind.action(), &about.object_id, json!({}));
    let taken = state.parts.store.take_kept(owner, id, audit).await.map_err(|error| ApiError::store(SECRET, error))?;
    let sealed = taken.sealed.ok_or_else(ApiError::internal)?;
    let secret = once::open(&state, owner, taken.org, &sealed)?;
    Ok(answer::json(StatusCode::OK, &Again { about, secret: secret.expose_secret() }))
}

/// What these routes say of themselves.
pub(super) mod doc {
    use super::super::doc::{Doc, NoMembers, Tag};
    use super::{Again, ListView};

    pub(crate) fn list() -> Doc {
        Doc::new("listShownSecrets", Tag::Keys, "List secrets that can be shown again")
            .about(
                "API keys, signing secrets and passwords that the service made for the caller in the last ten minutes.",
            )
            .ok::<ListView>("The secrets, without the secrets themselves.")
    }

    pub(crate) fn reveal() -> Doc {
        Doc::new("revealSecret", Tag::Keys, "Show a secret once again")
            .about("Once, and only to whoever had it made. The audit log has a line of it.")
            .optional_body::<NoMembers>("Nothing, or an empty object.")
            .ok::<Again<'static>>("The secret.")
    }
}
