//! `GET /v1/siem/platforms`: what can be connected, and what each platform wants to know. Whoever makes a form, a command line or a script of
//! it needs to know no platform.

use axum::extract::State;
use toktra_siem_app::{App, Caller, platforms};

use crate::answer::{Answer, ok};
use crate::extract::NoQuery;

/// `GET /v1/siem/platforms`.
pub(super) async fn list(State(app): State<App>, caller: Caller, _: NoQuery) -> Answer {
    ok(&platforms::list(&app, &caller)?)
}

/// What this route says of itself.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};

    pub(crate) fn list() -> Doc {
        Doc::new("listPlatforms", Tag::Connectors, "List the platforms that can be connected")
            .about("Each with its settings: what they take, whether they are secret or required, their defaults and limits.")
            .ok::<wire::Platforms>("Every platform.")
    }
}
