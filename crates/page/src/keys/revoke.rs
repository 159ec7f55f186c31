//! Revoking an API key, which asks first.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use toktra_siem_app::keys;
use toktra_siem_wire::ApiKey;

use super::{KEYS, Told as _, key};
use crate::answer::Result;
use crate::frame::{Frame, Notice, Section};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/keys/revoke.html")]
struct RevokePage {
    frame: Frame,
    key: ApiKey,
}

/// `GET /api-keys/{id}/revoke`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    let key = key(&visitor, &id).await?;
    visitor.page(&RevokePage { frame: visitor.frame(format!("Revoke {}", key.name), Section::Keys), key })
}

/// `POST /api-keys/{id}/revoke`.
pub(crate) async fn revoke(visitor: Visitor, Path(id): Path<String>) -> Result<Response> {
    let key = key(&visitor, &id).await?;
    keys::revoke(visitor.app(), visitor.caller(), key.id).await?;
    let done = format!("{} ({}…) was revoked. Whatever still uses it is refused from now on.", key.name, key.prefix);
    Ok(visitor.go_with(KEYS, Notice::done(done)))
}
