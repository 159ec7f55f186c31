//! `/v1/secrets`: secrets that the service made and showed once. Whoever had one made can see it once again within ten minutes, and nobody
//! else: an answer that got lost on its way, or a page that was closed too early, is no reason to begin anew.

use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use toktra_siem_core::ids::{ChannelId, ConnectorId, OrgId};
use toktra_siem_store::{Kept, KeptKind, Scope, StoreError};
use toktra_siem_wire as wire;
use uuid::Uuid;

use crate::{App, Caller, Named, Object, Refusal, Result, channels, connectors, once};

/// What the API calls this in its messages.
const SECRET: &str = "secret that can be shown again";
/// How long a secret can be shown again.
pub(crate) const SHOWN_FOR: Duration = Duration::from_mins(10);

/// The id of a secret that can be shown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownSecretId(pub Uuid);

impl FromStr for ShownSecretId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> std::result::Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl Named for ShownSecretId {
    const WORD: &'static str = SECRET;
}

/// What the API calls a kind of secret; `None` for what is no secret of its own.
fn kind_of(kept: KeptKind) -> Option<wire::SecretKind> {
    match kept {
        KeptKind::Answer => None,
        KeptKind::ApiKey => Some(wire::SecretKind::ApiKey),
        KeptKind::SigningSecret => Some(wire::SecretKind::SigningSecret),
        KeptKind::Password => Some(wire::SecretKind::Password),
    }
}

/// What the owner of a secret still has to be allowed to.
fn scope(kind: wire::SecretKind) -> Scope {
    match kind {
        wire::SecretKind::SigningSecret => Scope::SiemWrite,
        wire::SecretKind::ApiKey | wire::SecretKind::Password => Scope::Admin,
    }
}

/// What the audit log calls it that a secret was shown again.
fn action(kind: wire::SecretKind) -> &'static str {
    match kind {
        wire::SecretKind::ApiKey => "api_key.reveal",
        wire::SecretKind::SigningSecret => "connector.signing_secret.reveal",
        wire::SecretKind::Password => "user.password.reveal",
    }
}

/// What `caller` can see again.
async fn visible(app: &App, caller: &Caller) -> Result<Vec<([u8; 32], wire::ShownSecret)>> {
    let org = caller.org(Scope::SiemWrite)?;
    let kept = app.parts.store.kept_secrets(caller.principal.id, app.parts.clock.now()).await;
    let kept = kept.map_err(|error| Refusal::store(SECRET, error))?;
    let mut seen = Vec::new();
    for kept in kept.into_iter().filter(|kept| kept.org.is_none() || kept.org == caller.named_org()) {
        let kind = kind_of(kept.kind).filter(|kind| caller.principal.may(scope(*kind)));
        let (Some(kind), Some(Ok(id))) = (kind, kept.id.get(..16).map(Uuid::from_slice)) else { continue };
        if kind == wire::SecretKind::SigningSecret && !signs(app, caller, org, &kept).await? {
            continue;
        }
        let Kept { about: object_id, at: shown_at, until, .. } = kept;
        seen.push((kept.id, wire::ShownSecret { id, kind, object_id, shown_at, until }));
    }
    Ok(seen)
}

/// Whether a signing secret is still one of its connector or notification channel: one that was discarded, or replaced, would only mislead.
async fn signs(app: &App, caller: &Caller, org: OrgId, kept: &Kept) -> Result<bool> {
    let (Ok(id), Some(sealed)) = (kept.about.parse::<Uuid>(), &kept.sealed) else { return Ok(false) };
    // One that does not open says so when it is asked for.
    let Ok(secret) = once::open(app, caller.principal.id, kept.org, sealed) else { return Ok(true) };
    match app.parts.store.connector(org, ConnectorId(id)).await {
        Err(StoreError::NotFound) => channels::signs(app, org, ChannelId(id), &secret).await,
        found => {
            let record = found.map_err(|error| Refusal::store(SECRET, error))?;
            Ok(connectors::secrets::signs(app, &record, &secret))
        }
    }
}

/// Whether this is a notification channel of the org.
async fn is_channels(app: &App, caller: &Caller, object: &str) -> Result<bool> {
    let all = app.parts.store.channels(caller.org(Scope::SiemWrite)?).await;
    let all = all.map_err(|error| Refusal::store(SECRET, error))?;
    Ok(all.iter().any(|record| record.channel.id.to_string() == object))
}

/// Keeps a secret that is about to be shown to `caller` as that of `object`. Where that fails, it is shown all the same.
pub(crate) async fn keep(app: &App, caller: &Caller, kind: KeptKind, object: impl ToString, secret: &SecretString) {
    let at = app.parts.clock.now();
    let mut id = [0; 32];
    id[..16].copy_from_slice(app.parts.random.uuid_v7(at).as_bytes());
    let (owner, org) = (caller.principal.id, caller.named_org());
    let sealed = Some(once::seal(app, owner, org, id, secret));
    let kept = Kept { id, owner, org, kind, about: object.to_string(), at, until: at.plus(SHOWN_FOR), sealed };
    if let Err(error) = app.parts.store.keep(kept).await {
        tracing::warn!(%error, "a secret is shown, but could not be kept to be shown again");
    }
}

/// Those that the caller can see again.
pub async fn list(app: &App, caller: &Caller) -> Result<wire::ShownSecrets> {
    let items = visible(app, caller).await?.into_iter().map(|(_, view)| view).collect();
    Ok(wire::ShownSecrets { items })
}

/// Shows one, for the last time.
pub async fn reveal(app: &App, caller: &Caller, wanted: ShownSecretId, body: Object) -> Result<wire::SecretShownAgain> {
    let all = visible(app, caller).await?;
    body.finish()?;
    let found = all.into_iter().find(|(_, view)| view.id == wanted.0);
    let (id, about) = found.ok_or_else(|| Refusal::not_found(SECRET))?;
    let (now, owner) = (app.parts.clock.now(), caller.principal.id);
    let action = match about.kind {
        wire::SecretKind::SigningSecret if is_channels(app, caller, &about.object_id).await? => {
            "notification_channel.signing_secret.reveal"
        }
        kind => action(kind),
    };
    let audit = caller.audit(now, action, &about.object_id, json!({}));
    let taken = app.parts.store.take_kept(owner, id, audit).await.map_err(|error| Refusal::store(SECRET, error))?;
    let sealed = taken.sealed.ok_or_else(Refusal::internal)?;
    let secret = once::open(app, owner, taken.org, &sealed)?;
    Ok(wire::SecretShownAgain { about, secret: wire::ShownOnce(secret) })
}
