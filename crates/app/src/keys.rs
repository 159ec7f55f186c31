//! `/v1/api-keys`: who may call. A key is shown once; what is kept is its hash. Nobody can grant what they do not have.

use serde_json::{Value, json};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::ApiKeyId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_identity::api_keys;
use toktra_siem_store::{ApiKeyRecord, Change, KeptKind, Scope, StoreError};
use toktra_siem_wire as wire;

use crate::object::{Member, Object};
use crate::query::{Position, Query};
use crate::{App, Caller, Refusal, Result, secrets};

/// What the API calls this in its messages.
const KEY: &str = "API key";

fn failed(error: StoreError) -> Refusal {
    Refusal::store(KEY, error)
}

fn view(key: &ApiKeyRecord) -> wire::ApiKey {
    let ApiKeyRecord { id, org, name, prefix, scopes, created_at, expires_at, created_by, last_used_at, .. } =
        key.clone();
    wire::ApiKey { id, org_id: org, name, prefix, scopes, created_at, created_by, expires_at, last_used_at }
}

/// The keys that the caller may see: those of the org, and for platform keys the platform keys as well.
async fn visible(app: &App, caller: &Caller) -> Result<Vec<ApiKeyRecord>> {
    let mut all = match caller.named_org() {
        Some(org) => app.parts.store.keys(org).await.map_err(failed)?,
        None => Vec::new(),
    };
    if caller.principal.is_platform() {
        all.extend(app.parts.store.platform_keys().await.map_err(failed)?);
    }
    Ok(all)
}

/// One of the keys that the caller may see.
async fn seen(app: &App, caller: &Caller, id: ApiKeyId) -> Result<ApiKeyRecord> {
    let key = visible(app, caller).await?.into_iter().find(|key| key.id == id);
    key.ok_or_else(|| Refusal::not_found(KEY))
}

/// The keys of the org, and for platform keys the platform keys as well.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::ApiKey>> {
    caller.needs(Scope::Admin)?;
    let paging = query.paging();
    query.finish()?;
    let all = visible(app, caller).await?;
    paging.page(all, |key| Position(key.created_at, key.id.0), |key| Ok(view(key)))
}

/// One of them.
pub async fn get(app: &App, caller: &Caller, id: ApiKeyId) -> Result<wire::ApiKey> {
    caller.needs(Scope::Admin)?;
    let key = seen(app, caller, id).await?;
    Ok(view(&key))
}

/// Makes a key: of the org, or a platform key where `platform` is among its scopes. The answer is the only place that shows it.
pub async fn create(app: &App, caller: &Caller, mut object: Object) -> Result<wire::ApiKeyMade> {
    caller.needs(Scope::Admin)?;
    let now = app.parts.clock.now();
    let name = object.name(true);
    let scopes = scopes(&mut object);
    let expires_at = expiry(&mut object, now);
    object.finish()?;
    if let Some(scope) = scopes.iter().find(|scope| !caller.principal.may(**scope)) {
        let word = scope.as_str();
        return Err(Refusal::forbidden(format!("Nobody can grant `{word}` who does not have it.")));
    }
    let org = if scopes.contains(&Scope::Platform) { None } else { Some(caller.org(Scope::Admin)?) };
    let (key, record) = api_keys::make(&*app.parts.random, now, org, name.unwrap_or_default(), scopes);
    let record = ApiKeyRecord { expires_at, created_by: Some(caller.principal.name.clone()), ..record };
    let view = view(&record);
    let audit = caller.audit(now, "api_key.create", record.id, json!({ "after": view }));
    app.parts.store.create_key(Change { value: record, audit }).await.map_err(failed)?;
    secrets::keep(app, caller, KeptKind::ApiKey, view.id, &key).await;
    Ok(wire::ApiKeyMade { record: view, key: wire::ShownOnce(key) })
}

fn scopes(object: &mut Object) -> Vec<Scope> {
    const EXPECTED: &str = "must be a list of events:write, siem:read, siem:write, admin, platform";
    let value = object.value("scopes");
    let given = value.as_ref().and_then(Value::as_array).filter(|given| !given.is_empty());
    let read = given
        .and_then(|given| given.iter().map(|word| crate::words::read(word.as_str()?)).collect::<Option<Vec<Scope>>>());
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
    let time = crate::words::read::<Timestamp>(&text).filter(|time| *time > now);
    if time.is_none() {
        object.fault("expires_at", Wrong::malformed("a time in the future in RFC 3339, such as 2030-01-15T10:30:00Z"));
    }
    time
}

/// Revokes a key. It is refused from the next request on.
pub async fn revoke(app: &App, caller: &Caller, id: ApiKeyId) -> Result<wire::ApiKeyRevoked> {
    caller.needs(Scope::Admin)?;
    let key = seen(app, caller, id).await?;
    let audit = caller.audit(app.parts.clock.now(), "api_key.revoke", id, json!({ "before": view(&key) }));
    match key.org {
        Some(org) => app.parts.store.revoke_key(org, id, audit).await,
        None => app.parts.store.revoke_platform_key(id, audit).await,
    }
    .map_err(failed)?;
    app.keys.forget();
    Ok(wire::ApiKeyRevoked { revoked: true })
}
