//! How connectors stand: state, lag, rates and the last error of each stream (interface.md, `…/health`).

use axum::extract::State;
use toktra_siem_app::{App, Caller, health};
use toktra_siem_core::ids::ConnectorId;

use crate::answer::{Answer, ok};
use crate::extract::{NoQuery, OnlyId};

/// `GET …/{id}/health`.
pub(super) async fn of_connector(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<ConnectorId>) -> Answer {
    ok(&health::of_connector(&app, &caller, id).await?)
}

/// `GET /v1/siem/health`.
pub(super) async fn of_all(State(app): State<App>, caller: Caller, _: NoQuery) -> Answer {
    ok(&health::of_all(&app, &caller).await?)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};

    pub(crate) fn of_connector() -> Doc {
        Doc::new("getConnectorHealth", Tag::Connectors, "Show a connector's health")
            .about("Whether each stream works, how far it is behind, how fast events flow, and what last went wrong.")
            .ok::<wire::Health>("How it stands.")
    }

    pub(crate) fn of_all() -> Doc {
        Doc::new("listConnectorHealth", Tag::Connectors, "Show the health of all connectors")
            .about("The worst first, all of them on one page.")
            .ok::<wire::List<wire::Health>>("How they stand.")
    }
}
