//! `/v1/secrets`: secrets that the service made and showed once. Whoever had one made can see it once again within ten minutes, and nobody
//! else: an answer that got lost on its way, or a page that was closed too early, is no reason to begin anew.

use axum::extract::{Path, State};
use toktra_siem_app::{App, Caller, secrets};

use crate::answer::{Answer, ok};
use crate::extract::{Given, NoQuery};

/// `GET /v1/secrets`.
pub(super) async fn list(State(app): State<App>, caller: Caller, _: NoQuery) -> Answer {
    ok(&secrets::list(&app, &caller).await?)
}

/// `POST /v1/secrets/{id}/reveal`.
pub(super) async fn reveal(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
    Given(body): Given,
) -> Answer {
    ok(&secrets::reveal(&app, &caller, &id, body).await?)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};

    pub(crate) fn list() -> Doc {
        Doc::new("listShownSecrets", Tag::Keys, "List secrets that can be shown again")
            .about(
                "API keys, signing secrets and passwords that the service made for the caller in the last ten minutes.",
            )
            .ok::<wire::ShownSecrets>("The secrets, without the secrets themselves.")
    }

    pub(crate) fn reveal() -> Doc {
        Doc::new("revealSecret", Tag::Keys, "Show a secret once again")
            .about("Once, and only to whoever had it made. The audit log has a line of it.")
            .optional_body::<wire::NoMembers>("Nothing, or an empty object.")
            .ok::<wire::SecretShownAgain>("The secret.")
    }
}
