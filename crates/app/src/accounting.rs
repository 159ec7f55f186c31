//! Where every event is, as numbers that add up (`…/accounting`; invariant D1).

use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::invariant::Invariant;
use toktra_siem_store::{Scope, StoreError, StreamRecord};

use super::connectors::{CONNECTOR, load};
use toktra_siem_wire as wire;

use crate::{App, Caller, Refusal, Result};

fn accounts(app: &App, connector_id: ConnectorId, name: String, streams: &[StreamRecord]) -> wire::Accounting {
    let adds_up = streams.iter().all(|stream| stream.accounting().adds_up());
    if !adds_up {
        tracing::error!(connector = %connector_id, invariant = %Invariant::D1, "the accounts of a connector do not add up");
        app.parts.telemetry.violated(Invariant::D1);
    }
    wire::Accounting { connector_id, name, streams: streams.iter().map(account).collect(), adds_up }
}

fn account(stream: &StreamRecord) -> wire::StreamAccount {
    let accounting = stream.accounting();
    let counts = accounting.counts;
    wire::StreamAccount {
        stream: stream.id.kind,
        accepted: accounting.accepted,
        delivered: counts.delivered,
        rejected: counts.rejected,
        failed: counts.failed,
        expired: counts.expired,
        damaged: counts.damaged,
        discarded: counts.discarded,
        skipped: counts.skipped,
        pending: accounting.pending(),
        filtered: counts.filtered,
    }
}

fn failed(error: StoreError) -> Refusal {
    Refusal::store(CONNECTOR, error)
}

/// The accounts of one connector.
pub async fn of_connector(app: &App, caller: &Caller, id: ConnectorId) -> Result<wire::Accounting> {
    let org = caller.org(Scope::SiemRead)?;
    let record = load(app, org, id).await?;
    let streams = app.parts.store.connector_streams(org, id).await.map_err(failed)?;
    Ok(accounts(app, id, record.connector.name, &streams))
}

/// The accounts of all connectors of the org, in the order of their creation, on one page.
pub async fn of_all(app: &App, caller: &Caller) -> Result<wire::List<wire::Accounting>> {
    let all = app.parts.store.accounts(caller.org(Scope::SiemRead)?).await.map_err(failed)?;
    let items: Vec<wire::Accounting> = all
        .chunk_by(|a, b| a.0.id == b.0.id)
        .map(|chunk| {
            let (connector, _) = &chunk[0];
            let streams: Vec<StreamRecord> = chunk.iter().map(|(_, stream)| stream.clone()).collect();
            accounts(app, connector.id, connector.name.clone(), &streams)
        })
        .collect();
    Ok(wire::List::whole(items))
}
