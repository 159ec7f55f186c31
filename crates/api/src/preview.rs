//! `POST /v1/siem/filter/preview`: how many, and which, of the last days' events a filter would forward.

use axum::extract::State;
use toktra_siem_app::{App, Caller, preview};

use crate::answer::{Answer, ok};
use crate::extract::{Given, NoQuery};

/// `POST /v1/siem/filter/preview`.
pub(super) async fn preview(State(app): State<App>, caller: Caller, _: NoQuery, Given(trial): Given) -> Answer {
    ok(&preview::preview(&app, &caller, trial).await?)
}

/// What this route says of itself.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};

    pub(crate) fn preview() -> Doc {
        Doc::new("previewFilter", Tag::Connectors, "Try a filter")
            .about("How many, and which, of the last days' events it would have forwarded. Nothing is saved.")
            .optional_body::<wire::FilterTrial>("The filter.")
            .ok::<wire::FilterPreview>("What it would have done.")
    }
}
