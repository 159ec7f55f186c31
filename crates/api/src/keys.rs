//! `/v1/api-keys`: who may call. A key is shown once; what is kept is its hash. Nobody can grant what they do not have.

use axum::extract::State;
use toktra_siem_app::{App, Caller, Query, keys};
use toktra_siem_core::ids::ApiKeyId;

use crate::answer::{Answer, created, ok};
use crate::extract::{Given, NoQuery, OnlyId};

/// `GET /v1/api-keys`.
pub(super) async fn list(State(app): State<App>, caller: Caller, query: Query) -> Answer {
    ok(&keys::list(&app, &caller, query).await?)
}

/// `GET /v1/api-keys/{id}`.
pub(super) async fn get(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<ApiKeyId>) -> Answer {
    ok(&keys::get(&app, &caller, id).await?)
}

/// `POST /v1/api-keys`.
pub(super) async fn create(State(app): State<App>, caller: Caller, _: NoQuery, Given(key): Given) -> Answer {
    created(&keys::create(&app, &caller, key).await?)
}

/// `DELETE /v1/api-keys/{id}`.
pub(super) async fn revoke(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<ApiKeyId>) -> Answer {
    ok(&keys::revoke(&app, &caller, id).await?)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    pub(crate) fn list() -> Doc {
        Doc::new("listApiKeys", Tag::Keys, "List API keys")
            .about("The keys of the org; a platform key sees the platform keys as well.")
            .paged()
            .ok::<wire::List<wire::ApiKey>>("A page of keys, oldest first.")
    }

    pub(crate) fn create() -> Doc {
        Doc::new("createApiKey", Tag::Keys, "Make an API key")
            .once()
            .about("Nobody can grant a scope that they do not have themselves.")
            .body::<wire::NewKey>("The key.")
            .created::<wire::ApiKeyMade>("The key was made. This answer is the only one that shows it.")
            .error(403, Code::Forbidden, "A scope is asked for that the caller does not have.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getApiKey", Tag::Keys, "Show an API key").ok::<wire::ApiKey>("The key, without itself.")
    }

    pub(crate) fn revoke() -> Doc {
        Doc::new("revokeApiKey", Tag::Keys, "Revoke an API key")
            .ok::<wire::ApiKeyRevoked>("The key is refused from the next request on.")
    }
}
