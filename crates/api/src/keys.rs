//! `/v1/api-keys`: who may call. A key is shown once; what is kept is its hash. Nobody can grant what they do not have.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};
use crate::error::Code;

pub(super) fn list() -> Doc {
    Doc::new("listApiKeys", Tag::Keys, "List API keys")
        .about("The keys of the org; a platform key sees the platform keys as well.")
        .paged()
        .ok::<wire::List<wire::ApiKey>>("A page of keys, oldest first.")
}

pub(super) fn create() -> Doc {
    Doc::new("createApiKey", Tag::Keys, "Create an API key")
        .once()
        .about("Nobody can grant a scope that they do not have themselves.")
        .body::<wire::NewKey>("The key.")
        .created::<wire::ApiKeyMade>("The key was made. This answer is the only one that shows it.")
        .error(403, Code::Forbidden, "A scope is asked for that the caller does not have.")
}

pub(super) fn get() -> Doc {
    Doc::new("getApiKey", Tag::Keys, "Show an API key").ok::<wire::ApiKey>("The key, without itself.")
}

pub(super) fn revoke() -> Doc {
    Doc::new("revokeApiKey", Tag::Keys, "Revoke an API key")
        .ok::<wire::ApiKeyRevoked>("The key is refused from the next request on.")
}
