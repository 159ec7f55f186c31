//! `/v1/api-keys`: who may call. A key is shown once; what is kept is its hash. Nobody can grant what they do not have.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::{Value, json};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::{ApiKeyId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_identity::api_keys;
use toktra_siem_store::{ApiKeyRecord, Change, KeptKind, Scope, StoreError};

use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::OnlyId;
use super::object::{Member, Object};
use super::query::{Position, Query};
use super::state::AppState;
use super::{answer, shown, words};

/// What the API calls this in its messages.
const KEY: &str = "API key";

fn failed(error: StoreError) -> ApiError {
    ApiError::store(KEY, error)
}

/// An API key, without the key itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
struct KeyView {
    /// Identifies it; not the key itself.
    id: ApiKeyId,
    /// The org that it belongs to; `null` for a platform key.
    org_id: Option<OrgId>,
    /// For people.
    name: String,
    /// The first characters of the key, by which it can be recognised.
    prefix: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// When it was made.
    created_at: Timestamp,
    /// Who made it; `null` where that was not recorded yet.
    created_by: Option<String>,
    /// From when on it is refused; `null` for never.
    expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; `null` where it never was.
    last_used_at: Option<Timestamp>,
}

fn view(key: &ApiKeyRecord) -> KeyView {
    let ApiKeyRecord { id, org, name, prefix, scopes, created_at, expires_at, created_by, last_used_at, .. } =
        key.clone();
    KeyView { id, org_id: org, name, prefix, scopes, created_at, created_by, expires_at, last_used_at }
}

/// An API key that was just made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKeyMade")]
struct MadeView<'a> {
    #[serde(flatten)]
    record: KeyView,
    /// The key itself. It is shown here, and never again.
    key: &'a str,
}

/// The keys that the caller may see: those of the org, and for platform keys the platform keys as well.
async fn visible(state: &AppState, caller: &Caller) -> Result<Vec<ApiKeyRecord>> {
    let mut all = match caller.named_org() {
        Some(org) => state.parts.store.keys(org).await.map_err(failed)?,
        None => Vec::new(),
    };
    if caller.principal.is_platform() {
        all.extend(state.parts.store.platform_keys().await.map_err(failed)?);
    }
    Ok(all)
}

/// One of the keys that the caller may see.
async fn seen(state: &AppState, caller: &Caller, id: ApiKeyId) -> Result<ApiKeyRecord> {
    let key = visible(state, caller).await?.into_iter().find(|key| key.id == id);
    key.ok_or_else(|| ApiError::not_found(KEY))
}

/// The keys of the org, and for platform keys the platform keys as well.
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let mut query = Query::of(request.uri());
    let paging = query.paging();
    query.finish()?;
    let all = visible(&state, &caller).await?;
    let list = paging.page(all, |key| Position(key.created_at, key.id.0), |key| Ok(view(key)))?;
    Ok(answer::json(StatusCode::OK, &list))
}

/// One of them.
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Caller,
    OnlyId(id): OnlyId<ApiKeyId>,
) -> Result<Response> {
    let key = seen(&state, &caller, id).await?;
    Ok(answer::json(StatusCode::OK, &view(&key)))
}

/// Makes a key: of the org, or a platform key where `platform` is among its scopes. The answer is the only place that shows it.
pub(super) async fn create(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let now = state.parts.clock.now();
    let mut object = Object::read(&state, request).await?;
    let name = object.name(true);
    let scopes = scopes(&mut object);
    let expires_at = expiry(&mut object, now);
    object.finish()?;
    if let Some(scope) = scopes.iter().find(|scope| !caller.principal.may(**scope)) {
        let word = words::scope(*scope);
        return Err(ApiError::forbidden(format!("Nobody can grant `{word}` who does not have it.")));
    }
    let org = if scopes.contains(&Scope::Platform) { None } else { Some(caller.org()?) };
    let (key, record) = api_keys::make(&*state.parts.random, now, org, name.unwrap_or_default(), scopes);
    let record = ApiKeyRecord { expires_at, created_by: Some(caller.principal.name.clone()), ..record };
    let view = view(&record);
    let audit = caller.audit(now, "api_key.create", record.id, json!({ "after": view }));
    state.parts.store.create_key(Change { value: record, audit }).await.map_err(failed)?;
    shown::keep(&state, &caller, KeptKind::ApiKey, view.id, &key).await;
    Ok(answer::json(StatusCode::CREATED, &MadeView { record: view, key: key.expose_secret() }))
}

fn scopes(object: &mut Object) -> Vec<Scope> {
    const EXPECTED: &str = "must be a list of events:write, siem:read, siem:write, admin, platform";
    let value = object.value("scopes");
    let given = value.as_ref().and_then(Value::as_array).filter(|given| !given.is_empty());
    let read =
        given.and_then(|given| given.iter().map(|word| words::read(word.as_str()?)).collect::<Option<Vec<Scope>>>());
    let Some(mut scopes) = read else {
        object.fault("scopes", EXPECTED);
        return Vec::new();
    };
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

fn expiry(object: &mut Object, now: Timestamp) -> Option<Timestamp> {
    let Member::Value(text) = object.text("expires_at") else { return None };
    let time = words::read::<Timestamp>(&text).filter(|time| *time > now);
    if time.is_none() {
        object.fault("expires_at", Wrong::malformed("a time in the future in RFC 3339, such as 2030-01-15T10:30:00Z"));
    }
    time
}

/// That it is revoked.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Revoked {
    /// Always `true`.
    revoked: bool,
}

/// Revokes a key. It is refused from the next request on.
pub(super) async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    OnlyId(id): OnlyId<ApiKeyId>,
) -> Result<Response> {
    let key = seen(&state, &caller, id).await?;
    let audit = caller.audit(state.parts.clock.now(), "api_key.revoke", id, json!({ "before": view(&key) }));
    match key.org {
        Some(org) => state.parts.store.revoke_key(org, id, audit).await,
        None => state.parts.store.revoke_platform_key(id, audit).await,
    }
    .map_err(failed)?;
    state.keys.forget();
    Ok(answer::json(StatusCode::OK, &Revoked { revoked: true }))
}

/// What these routes say of themselves.
pub(super) mod doc {
    use schemars::JsonSchema;
    use toktra_siem_core::time::Timestamp;
    use toktra_siem_store::Scope;

    use super::super::doc::{Doc, Name, Tag};
    use super::super::error::Code;
    use super::super::query::List;
    use super::{KeyView, MadeView, Revoked};

    /// A new API key.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct NewKey {
        /// For people.
        name: Name,
        /// What it may do. With `platform` among them it belongs to no org.
        #[schemars(length(min = 1))]
        scopes: Vec<Scope>,
        /// From when on it is refused, in the future; without it, never.
        expires_at: Option<Timestamp>,
    }

    pub(crate) fn list() -> Doc {
        Doc::new("listApiKeys", Tag::Keys, "List API keys")
            .about("The keys of the org; a platform key sees the platform keys as well.")
            .paged()
            .ok::<List<KeyView>>("A page of keys, oldest first.")
    }

    pub(crate) fn create() -> Doc {
        Doc::new("createApiKey", Tag::Keys, "Make an API key")
            .once()
            .about("Nobody can grant a scope that they do not have themselves.")
            .body::<NewKey>("The key.")
            .created::<MadeView<'_>>("The key was made. This answer is the only one that shows it.")
            .error(403, Code::Forbidden, "A scope is asked for that the caller does not have.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getApiKey", Tag::Keys, "Show an API key").ok::<KeyView>("The key, without itself.")
    }

    pub(crate) fn revoke() -> Doc {
        Doc::new("revokeApiKey", Tag::Keys, "Revoke an API key")
            .ok::<Revoked>("The key is refused from the next request on.")
    }
}
