//! Rotating a connector's signing secret without a request that receivers cannot verify: for a while both secrets sign (`…/signing-secret/rotate`).

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::{ConnectorId, Revision};
use toktra_siem_platform::view::SecretView;
use toktra_siem_store::{ConnectorRecord, ConnectorSave, KeptKind, Resume, Rotation, Scope};
use toktra_siem_wire as wire;

use super::secrets::{self, Secrets};
use super::{IfMatch, Ready, load, save};
use crate::object::Member;
use crate::{App, Caller, Object, Refusal, Result, secrets as kept};

/// How long both secrets sign where the request does not say.
const DEFAULT_GRACE: Duration = Duration::from_hours(24);
/// The longest that both may sign.
const MAX_GRACE: Duration = Duration::from_hours(30 * 24);

/// Begins a rotation; the answer shows the new secret, once.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    id: ConnectorId,
    condition: &IfMatch,
    object: Object,
) -> Result<(Revision, wire::RotationBegun)> {
    let org = caller.org(Scope::SiemWrite)?;
    let Wish { grace, given, replace } = read(object)?;
    let made = given.is_none();
    let next = given.unwrap_or_else(|| app.parts.random.signing_secret());
    let until = app.parts.clock.now().plus(grace);
    let begin = |record: &ConnectorRecord| {
        if !secrets::has(record, SIGNING_SECRET) {
            return Err(Refusal::conflict(
                "This connector signs with SIEM_SIGNING_SECRET, which the environment rotates: set SIEM_SIGNING_SECRET_NEXT there, or \
                 give the connector a `signing_secret` of its own first.",
            ));
        }
        if record.rotation.is_some() && !replace {
            return Err(Refusal::conflict(
                "A rotation is under way. Activate the new secret, cancel the rotation with `…/signing-secret/cancel`, or begin anew with \
                 `\"replace\": true`, which discards the new secret and makes another.",
            ));
        }
        let mut secrets = Secrets::of(record);
        secrets.set(app, &record.connector, SIGNING_SECRET_NEXT, &next);
        Ok(ready("connector.signing_secret.rotate", record, secrets, Some(Rotation { until })))
    };
    let saved = save(app, caller, org, id, condition, begin).await?;
    if made {
        kept::keep(app, caller, KeptKind::SigningSecret, id, &next).await;
    }
    let record = load(app, org, id).await?;
    let view = wire::RotationBegun {
        connector_id: id,
        signing_secret: secrets::signing_view(app, &record, SIGNING_SECRET),
        signing_secret_next: SecretView::once(&next),
        until,
    };
    Ok((saved.connector.revision, view))
}

/// Cancels a rotation: the new secret is discarded, and the current one goes on signing alone.
pub async fn cancel(
    app: &App,
    caller: &Caller,
    id: ConnectorId,
    condition: &IfMatch,
    body: Object,
) -> Result<(Revision, wire::RotationEnded)> {
    end(app, caller, id, condition, body, ("connector.signing_secret.cancel", Secrets::discard_next)).await
}

/// Ends a rotation: from now on the new secret signs alone.
pub async fn activate(
    app: &App,
    caller: &Caller,
    id: ConnectorId,
    condition: &IfMatch,
    body: Object,
) -> Result<(Revision, wire::RotationEnded)> {
    end(app, caller, id, condition, body, ("connector.signing_secret.activate", Secrets::activate_next)).await
}

/// Ends a rotation in one way or the other: what the audit log calls it, and what becomes of the secrets.
async fn end(
    app: &App,
    caller: &Caller,
    id: ConnectorId,
    condition: &IfMatch,
    body: Object,
    (action, ending): (&'static str, fn(&mut Secrets)),
) -> Result<(Revision, wire::RotationEnded)> {
    let org = caller.org(Scope::SiemWrite)?;
    body.finish()?;
    let end = |record: &ConnectorRecord| {
        if !secrets::has(record, SIGNING_SECRET_NEXT) {
            return Err(Refusal::conflict("No rotation is under way. Begin one with `…/signing-secret/rotate`."));
        }
        let mut secrets = Secrets::of(record);
        ending(&mut secrets);
        Ok(ready(action, record, secrets, None))
    };
    let saved = save(app, caller, org, id, condition, end).await?;
    let record = load(app, org, id).await?;
    let signing_secret = secrets::signing_view(app, &record, SIGNING_SECRET);
    Ok((saved.connector.revision, wire::RotationEnded { connector_id: id, signing_secret }))
}

fn ready(action: &'static str, record: &ConnectorRecord, secrets: Secrets, rotation: Option<Rotation>) -> Ready {
    let value = ConnectorSave {
        connector: record.connector.clone(),
        expected: None,
        secrets: Some(secrets.into_sealed()),
        rotation: Some(rotation),
        resume: Resume::default(),
    };
    Ready { action, value }
}

/// What a request says of a rotation.
struct Wish {
    grace: Duration,
    /// The new secret, if the request brings one.
    given: Option<SecretString>,
    /// Whether it takes the place of one that is under way.
    replace: bool,
}

fn read(mut object: Object) -> Result<Wish> {
    let grace = match object.value("grace_seconds") {
        None | Some(Value::Null) => DEFAULT_GRACE,
        Some(value) => {
            let given = value.as_u64().map(Duration::from_secs).filter(|grace| *grace <= MAX_GRACE);
            given.unwrap_or_else(|| {
                object.fault("grace_seconds", Wrong::range(0, MAX_GRACE.as_secs()));
                DEFAULT_GRACE
            })
        }
    };
    let given = match object.secret("signing_secret") {
        Member::Value(secret) => Some(secret),
        Member::Null | Member::Absent => None,
    };
    let replace = object.flag("replace").unwrap_or(false);
    object.finish()?;
    Ok(Wish { grace, given, replace })
}
