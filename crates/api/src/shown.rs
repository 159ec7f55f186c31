//! `/v1/secrets`: secrets that the service made and showed once. Whoever had one made can see it once again within ten minutes, and nobody
//! else: an answer that got lost on its way, or a page that was closed too early, is no reason to begin anew.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn list() -> Doc {
    Doc::new("listShownSecrets", Tag::Keys, "List secrets that can be shown again")
        .about("API keys, signing secrets and passwords that the service made for the caller in the last ten minutes.")
        .ok::<wire::ShownSecrets>("The secrets, without the secrets themselves.")
}

pub(super) fn reveal() -> Doc {
    Doc::new("revealSecret", Tag::Keys, "Show a secret once again")
        .about("Once, and only to whoever had it made. The audit log has a line of it.")
        .optional_body::<wire::NoMembers>("Nothing, or an empty object.")
        .ok::<wire::SecretShownAgain>("The secret.")
}
