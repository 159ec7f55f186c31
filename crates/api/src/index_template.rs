//! `POST …/index-template`: puts the built-in template of a platform that has one in place now (product spec, "Elasticsearch index template").

use axum::extract::State;
use toktra_siem_app::{App, Caller, index_template};
use toktra_siem_core::ids::ConnectorId;

use crate::answer::{Answer, ok};
use crate::extract::{Given, OnlyId};

/// `POST …/{id}/index-template`.
pub(super) async fn apply(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    Given(body): Given,
) -> Answer {
    ok(&index_template::apply(&app, &caller, id, body).await?)
}

/// What this route says of itself.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    pub(crate) fn apply() -> Doc {
        Doc::new("applyIndexTemplate", Tag::Connectors, "Put the index template in place")
            .once()
            .about(
                "Creates or updates the built-in template of a connector whose platform has one at its cluster, now.",
            )
            .optional_body::<wire::NoMembers>("Nothing.")
            .ok::<wire::IndexTemplate>("What became of it.")
            .error(409, Code::Conflict, "The connector is of a platform that has no index template.")
            .error(502, Code::Unavailable, "The cluster could not be reached, or its answer was no use.")
    }
}
