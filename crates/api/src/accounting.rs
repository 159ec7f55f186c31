//! Where every event is, as numbers that add up (interface.md, `…/accounting`; invariant D1).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_core::invariant::Invariant;
use toktra_siem_store::{StoreError, StreamRecord};

use super::answer;
use super::connectors::{CONNECTOR, load};
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::InOrg;
use super::query::{List, Query};
use super::state::AppState;

/// The accounts of a connector.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Accounting")]
struct AccountsView {
    /// The connector.
    connector_id: ConnectorId,
    /// Its name.
    name: String,
    /// Its streams.
    streams: Vec<AccountView>,
    /// Whether `accepted` is the sum of the others in every stream. It always is; anything else is a bug, and logged as one.
    adds_up: bool,
}

/// Where the events of a stream are: each of them in exactly one place.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamAccount")]
struct AccountView {
    /// Which of the connector's streams.
    stream: StreamKind,
    /// Events accepted since the connector was made.
    accepted: u64,
    /// The platform has them.
    delivered: i64,
    /// Refused by the platform for good, and kept with its reason.
    rejected: i64,
    /// Parked after their delivery failed. They are sent again.
    failed: i64,
    /// Undelivered when their retention (for metrics, the hour for which their platform takes them) ended.
    expired: i64,
    /// Given up by a person.
    discarded: i64,
    /// Passed over when the connector was switched on "from now".
    skipped: i64,
    /// On their way, or waiting for their turn.
    pending: i64,
    /// Passed by according to the filter of their time.
    filtered: i64,
}

impl AccountsView {
    fn of(state: &AppState, connector_id: ConnectorId, name: String, streams: &[StreamRecord]) -> Self {
        let adds_up = streams.iter().all(|stream| stream.accounting().adds_up());
        if !adds_up {
            tracing::error!(connector = %connector_id, invariant = %Invariant::D1, "the accounts of a connector do not add up");
            state.parts.telemetry.violated(Invariant::D1);
        }
        Self { connector_id, name, streams: streams.iter().map(AccountView::of).collect(), adds_up }
    }
}

impl AccountView {
    fn of(stream: &StreamRecord) -> Self {
        let accounting = stream.accounting();
        let counts = accounting.counts;
        Self {
            stream: stream.id.kind,
            accepted: accounting.accepted,
            delivered: counts.delivered,
            rejected: counts.rejected,
            failed: counts.failed,
            expired: counts.expired,
            discarded: counts.discarded,
            skipped: counts.skipped,
            pending: accounting.pending(),
            filtered: counts.filtered,
        }
    }
}

fn failed(error: StoreError) -> ApiError {
    ApiError::store(CONNECTOR, error)
}

/// The accounts of one connector.
pub(super) async fn of_connector(
    State(state): State<AppState>,
    InOrg { org, id, .. }: InOrg<ConnectorId>,
) -> Result<Response> {
    let record = load(&state, org, id).await?;
    let streams = state.parts.store.connector_streams(org, id).await.map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &AccountsView::of(&state, id, record.connector.name, &streams)))
}

/// The accounts of all connectors of the org, in the order of their creation, on one page.
pub(super) async fn of_all(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let accounts = state.parts.store.accounts(caller.org()?).await.map_err(failed)?;
    let items: Vec<AccountsView> = accounts
        .chunk_by(|a, b| a.0.id == b.0.id)
        .map(|chunk| {
            let (connector, _) = &chunk[0];
            let streams: Vec<StreamRecord> = chunk.iter().map(|(_, stream)| stream.clone()).collect();
            AccountsView::of(&state, connector.id, connector.name.clone(), &streams)
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &List::whole(items)))
}

/// What these routes say of themselves.
pub(super) mod doc {
    use super::super::doc::{Doc, Tag};
    use super::super::query::List;
    use super::AccountsView;

    pub(crate) fn of_connector() -> Doc {
        Doc::new("getConnectorAccounting", Tag::Connectors, "Show a connector's accounting")
            .about("Where every event is. The counts always add up.")
            .ok::<AccountsView>("The counts of each stream.")
    }

    pub(crate) fn of_all() -> Doc {
        Doc::new("listConnectorAccounting", Tag::Connectors, "Show the accounting of all connectors")
            .about("Where every event is, for each connector, all of them on one page. The counts always add up.")
            .ok::<List<AccountsView>>("The counts of each connector.")
    }
}
