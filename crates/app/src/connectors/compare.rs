//! `POST …/{id}/compare-secrets`: which of these secrets are others than those that are stored? Whoever describes connectors in files asks,
//! to know what there is to do. The secrets are compared here, and no digest of them leaves the server, so that nobody can try guesses
//! elsewhere; here only so many comparisons a minute are made for each connector.

use std::num::NonZeroU32;

use tokio::time::Instant;
use toktra_siem_base::vault::SIGNING_SECRET_NEXT;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_store::Scope;
use toktra_siem_wire as wire;

use super::{load, patch, secrets};
use crate::{App, Caller, Object, Refusal, Result};

/// Comparisons a minute with the secrets of one connector or notification channel. A pipeline makes one a run; who guesses wants more.
pub(crate) const A_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Compares the secrets in a change with the stored ones. Changes nothing.
pub async fn compare(app: &App, caller: &Caller, id: ConnectorId, object: Object) -> Result<wire::SecretsCompared> {
    let org = caller.org(Scope::SiemWrite)?;
    let patch = patch::read(&app.parts.registry, object)?;
    let record = load(app, org, id).await?;
    if let Some(after) = app.compared.take(id.0, Instant::now()).retry_after {
        return Err(Refusal::comparisons_limited("connector", after));
    }
    let after = patch.apply(app, &record)?.over(&record);
    // What a change of the signing secret takes along was not asked about.
    let asked = secrets::changed(app, &record, &after).into_iter().filter(|name| *name != SIGNING_SECRET_NEXT);
    Ok(wire::SecretsCompared { secrets_changed: asked.map(str::to_owned).collect() })
}
