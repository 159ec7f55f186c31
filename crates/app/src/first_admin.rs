//! The first admin of a server that nobody can log in to yet. There is no route for it: only the page asks, for whoever holds the one-time
//! link ([`toktra_siem_identity::first_login`]), and it may do so until the default org has its first person.

use toktra_siem_store::{Actor, StoreError};
use toktra_siem_wire as wire;

use crate::{App, Object, Refusal, Result, users};

/// Whom the audit log names.
const ACTOR: &str = "first start";

/// Whether the default org has nobody yet.
pub async fn is_wanted(app: &App) -> std::result::Result<bool, StoreError> {
    Ok(app.parts.store.users(app.parts.default_org).await?.is_empty())
}

/// Adds the person whom `object` describes as `POST /v1/users` would have it. The caller holds the one-time link, and lets nobody else ask
/// at the same moment.
pub async fn create(app: &App, object: Object) -> Result<wire::User> {
    if !is_wanted(app).await.map_err(|error| Refusal::store("org", error))? {
        return Err(Refusal::conflict("Somebody has an account here already. Log in, or ask an admin for one."));
    }
    let (user, _) = users::add(app, app.parts.default_org, object, Actor::from(ACTOR)).await?;
    Ok(users::view(&user))
}
