//! Where every event is, as numbers that add up (interface.md, `…/accounting`; invariant D1).

use axum::extract::State;
use toktra_siem_app::{App, Caller, accounting};
use toktra_siem_core::ids::ConnectorId;

use crate::answer::{Answer, ok};
use crate::extract::{NoQuery, OnlyId};

/// `GET …/{id}/accounting`.
pub(super) async fn of_connector(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<ConnectorId>) -> Answer {
    ok(&accounting::of_connector(&app, &caller, id).await?)
}

/// `GET /v1/siem/accounting`.
pub(super) async fn of_all(State(app): State<App>, caller: Caller, _: NoQuery) -> Answer {
    ok(&accounting::of_all(&app, &caller).await?)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};

    pub(crate) fn of_connector() -> Doc {
        Doc::new("getConnectorAccounting", Tag::Connectors, "Show a connector's accounting")
            .about("Where every event is. The counts always add up.")
            .ok::<wire::Accounting>("The counts of each stream.")
    }

    pub(crate) fn of_all() -> Doc {
        Doc::new("listConnectorAccounting", Tag::Connectors, "Show the accounting of all connectors")
            .about("Where every event is, for each connector, all of them on one page. The counts always add up.")
            .ok::<wire::List<wire::Accounting>>("The counts of each connector.")
    }
}
