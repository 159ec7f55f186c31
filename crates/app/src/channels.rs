//! `/v1/notification-channels`: who is told when something is wrong.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use toktra_siem_base::vault::{Vault, VaultError};
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong};
use toktra_siem_core::ids::{ChannelId, ConnectorId, OrgId};
use toktra_siem_core::notice::{ChannelKind, Topic};
use toktra_siem_egress::Trust;
use toktra_siem_notify::{Descriptor, Field, Place, Settings, descriptor};
use toktra_siem_platform::endpoint;
use toktra_siem_platform::view::SecretView;
use toktra_siem_store::channels::MAX_CHANNELS;
use toktra_siem_store::{Change, Channel, ChannelRecord, KeptKind, Progress, Scope, SealedSecret, StoreError};
use toktra_siem_wire as wire;

use crate::object::Object;
use crate::query::{Position, Query};
use crate::users::text;
use crate::{App, Caller, Refusal, Result, secrets as kept};

/// What the API calls this in its messages.
const CHANNEL: &str = "notification channel";
/// What kinds are called, for messages.
const KINDS: &str = "one of email, slack, teams, pagerduty, webhook";
/// What topics are called, for messages.
const TOPICS: &str = "must be a list of at least one of down, misconfigured, recovered, expiring, stalled, certificate, key, silence, disk";
/// Test messages of an org in a minute: whoever may send them chooses who gets them.
pub(crate) const TESTS_A_MINUTE: NonZeroU32 = NonZeroU32::new(20).unwrap();

fn failed(error: StoreError) -> Refusal {
    match error {
        StoreError::Conflict(_) => Refusal::conflict(
            "Somebody else changed the notification channels at the same moment. Read them again, and repeat the change.",
        ),
        other => Refusal::store(CHANNEL, other),
    }
}

/// The secrets of a channel do not open.
fn unusable(error: &VaultError) -> Refusal {
    tracing::error!(%error, "the secret of a notification channel does not open");
    Refusal::conflict(format!("The notification channel cannot be used: {error}."))
}

/// Refuses one channel more than an org can have.
async fn check_number(app: &App, org: OrgId) -> Result<()> {
    let number = app.parts.store.channels(org).await.map_err(failed)?.len();
    if number < MAX_CHANNELS {
        return Ok(());
    }
    Err(Refusal::conflict(format!(
        "The org has {number} notification channels, and cannot have more. Delete one that is not needed, and try again."
    )))
}

/// Refuses a name that another channel of the org has.
async fn check_name(app: &App, org: OrgId, id: ChannelId, name: &str) -> Result<()> {
    let all = app.parts.store.channels(org).await.map_err(failed)?;
    if all.iter().all(|other| other.channel.name != name || other.channel.id == id) {
        return Ok(());
    }
    let mut refusal =
        Refusal::conflict("The org has a notification channel of this name already. Choose another name.");
    let wrong = Wrong::new(FaultCode::Conflict, "another notification channel has this name");
    refusal.problem.fields = vec![FieldFault::of("name", wrong)];
    Err(refusal)
}

/// The channels of the org.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::Channel>> {
    let paging = query.paging();
    query.finish()?;
    let all = app.parts.store.channels(caller.org(Scope::SiemRead)?).await.map_err(failed)?;
    let position = |record: &ChannelRecord| Position(record.channel.created_at, record.channel.id.0);
    paging.page(all, position, |record| Ok(view(app, record)))
}

/// One of them.
pub async fn get(app: &App, caller: &Caller, id: ChannelId) -> Result<wire::Channel> {
    let record = one(app, caller.org(Scope::SiemRead)?, id).await?;
    Ok(view(app, &record))
}

async fn one(app: &App, org: OrgId, id: ChannelId) -> Result<ChannelRecord> {
    let all = app.parts.store.channels(org).await.map_err(failed)?;
    all.into_iter().find(|record| record.channel.id == id).ok_or_else(|| Refusal::not_found(CHANNEL))
}

/// What a request says of a channel.
struct Given {
    name: Option<String>,
    events: Option<Vec<Topic>>,
    active: Option<bool>,
    config: Option<Map<String, Value>>,
}

impl Given {
    fn read(object: &mut Object, new: bool) -> Self {
        let name = object.name(new);
        let events = events(object);
        let active = object.flag("active");
        let config = match object.value("config") {
            Some(Value::Object(config)) => Some(config),
            Some(_) => {
                object.fault("config", Wrong::malformed("an object"));
                None
            }
            None => new.then(Map::new),
        };
        Self { name, events, active, config }
    }

    /// The settings, laid over those that are kept.
    fn settings(&self, object: &mut Object, kind: ChannelKind, kept: Option<&Settings>) -> Option<Settings> {
        let config = self.config.as_ref()?;
        let read = toktra_siem_notify::read(kind, config, kept);
        read.map_err(|faults| object.add(faults.into_iter().map(|fault| fault.under("/config")).collect())).ok()
    }
}

fn events(object: &mut Object) -> Option<Vec<Topic>> {
    let value = object.value("events")?;
    let given = value.as_array().filter(|given| !given.is_empty());
    let read = given.and_then(|given| given.iter().map(|word| crate::words::read(word.as_str()?)).collect());
    let Some(mut events): Option<Vec<Topic>> = read else {
        object.fault("events", TOPICS);
        return None;
    };
    events.sort_unstable();
    events.dedup();
    Some(events)
}

/// Makes a channel, which tells what happens from now on.
pub async fn create(app: &App, caller: &Caller, mut object: Object) -> Result<wire::Channel> {
    let org = caller.org(Scope::SiemWrite)?;
    let kind = text(&mut object, "kind", true).and_then(|text| {
        let kind: Option<ChannelKind> = crate::words::read(&text);
        if kind.is_none() {
            object.fault("kind", Wrong::not_one_of(&text, KINDS));
        }
        kind
    });
    let given = Given::read(&mut object, true);
    let settings = kind.and_then(|kind| given.settings(&mut object, kind, None));
    object.finish()?;
    let (Some(kind), Some(mut settings)) = (kind, settings) else { return Err(Refusal::internal()) };
    let made = toktra_siem_notify::made(kind, &settings, &*app.parts.random);
    settings.secrets.extend(made.clone().map(|(field, secret)| (field.to_owned(), secret)));
    check(app, kind, &settings).await?;
    let now = app.parts.clock.now();
    let channel = Channel {
        id: ChannelId(app.parts.random.uuid_v7(now)),
        org,
        name: given.name.unwrap_or_default(),
        kind,
        config: settings.config.clone(),
        events: given.events.unwrap_or_else(|| Topic::ALL.to_vec()),
        active: given.active.unwrap_or(true),
        created_at: now,
        updated_at: now,
    };
    check_name(app, org, channel.id, &channel.name).await?;
    check_number(app, org).await?;
    let secrets = sealed(app, &channel, &settings);
    let record = ChannelRecord { channel, secrets, told_to: 0, progress: Progress::default() };
    let mut view = view(app, &record);
    let audit = caller.audit(now, "notification_channel.create", view.id, json!({ "after": view }));
    app.parts.store.create_channel(org, Change { value: record, audit }).await.map_err(failed)?;
    show(app, caller, &mut view, made).await;
    Ok(view)
}

/// Shows a secret that was made, and keeps it for a while to be shown again.
async fn show(app: &App, caller: &Caller, view: &mut wire::Channel, made: Option<(&'static str, SecretString)>) {
    let Some((field, secret)) = made else { return };
    kept::keep(app, caller, KeptKind::SigningSecret, view.id, &secret).await;
    view.config.insert(field.to_owned(), json!(SecretView::once(&secret)));
}

/// Whether a channel of the org signs with this secret.
pub(crate) async fn signs(app: &App, org: OrgId, id: ChannelId, secret: &SecretString) -> Result<bool> {
    let all = app.parts.store.channels(org).await.map_err(failed)?;
    let found = all.iter().find(|record| record.channel.id == id);
    let settings = found.and_then(|record| open(&app.parts.vault, record).ok());
    let own = settings.as_ref().and_then(|settings| settings.secrets.get("signing_secret"));
    Ok(own.is_some_and(|own| own.expose_secret().as_bytes().ct_eq(secret.expose_secret().as_bytes()).into()))
}

/// Changes a channel. Fields in the request replace the stored ones; fields that are left out do not change, and neither do those inside
/// `config`. A channel that was failing is tried again at once.
pub async fn change(app: &App, caller: &Caller, id: ChannelId, mut object: Object) -> Result<wire::Channel> {
    let org = caller.org(Scope::SiemWrite)?;
    let before = one(app, org, id).await?;
    let kind = before.channel.kind;
    let given = Given::read(&mut object, false);
    let settings = match (&given.config, open(&app.parts.vault, &before)) {
        (None, _) => None,
        // What does not open has to be entered again; the rest is kept.
        (Some(_), kept) => {
            let config = before.channel.config.clone();
            let kept = kept.unwrap_or(Settings { config, ..Settings::default() });
            given.settings(&mut object, kind, Some(&kept))
        }
    };
    object.finish()?;
    let now = app.parts.clock.now();
    let mut after = ChannelRecord { channel: Channel { updated_at: now, ..before.channel.clone() }, ..before.clone() };
    let mut made = None;
    if let Some(mut settings) = settings {
        made = toktra_siem_notify::made(kind, &settings, &*app.parts.random);
        settings.secrets.extend(made.clone().map(|(field, secret)| (field.to_owned(), secret)));
        check(app, kind, &settings).await?;
        after.channel.config.clone_from(&settings.config);
        after.secrets = sealed(app, &after.channel, &settings);
    }
    after.channel.name = given.name.unwrap_or(after.channel.name);
    after.channel.events = given.events.unwrap_or(after.channel.events);
    after.channel.active = given.active.unwrap_or(after.channel.active);
    check_name(app, org, id, &after.channel.name).await?;
    let mut detail = json!({ "before": view(app, &before), "after": view(app, &after) });
    if given.config.is_some() && before.secrets != after.secrets {
        detail["credential_changed"] = true.into();
    }
    let audit = caller.audit(now, "notification_channel.update", id, detail);
    let change = Change { value: after, audit };
    app.parts.store.save_channel(org, before.channel.updated_at, change).await.map_err(failed)?;
    let mut view = get(app, caller, id).await?;
    show(app, caller, &mut view, made).await;
    Ok(view)
}

/// Compares the secrets in a change with the stored ones, and names those that differ. Changes nothing. What was said of connectors holds here
/// as well: no digest of a secret leaves the server, and only so many comparisons a minute are made for each channel.
pub async fn compare(app: &App, caller: &Caller, id: ChannelId, mut object: Object) -> Result<wire::SecretsCompared> {
    let org = caller.org(Scope::SiemWrite)?;
    let record = one(app, org, id).await?;
    let given = Given::read(&mut object, false);
    let stored = open(&app.parts.vault, &record).unwrap_or_else(|_| unopened(&record));
    let settings = given.settings(&mut object, record.channel.kind, Some(&stored));
    object.finish()?;
    if let Some(after) = app.compared.take(id.0, Instant::now()).retry_after {
        return Err(Refusal::comparisons_limited(CHANNEL, after));
    }
    let after = settings.map_or_else(|| stored.secrets.clone(), |settings| settings.secrets);
    let same = |name: &String| match (stored.secrets.get(name), after.get(name)) {
        (Some(old), Some(new)) => old.expose_secret().as_bytes().ct_eq(new.expose_secret().as_bytes()).into(),
        _ => false,
    };
    let names: BTreeSet<&String> = stored.secrets.keys().chain(after.keys()).collect();
    Ok(wire::SecretsCompared { secrets_changed: names.into_iter().filter(|name| !same(name)).cloned().collect() })
}

/// A channel's settings with empty secrets in place of those that do not open: whatever is given differs from them.
fn unopened(record: &ChannelRecord) -> Settings {
    let secrets = record.secrets.iter().map(|sealed| (sealed.field.clone(), SecretString::default()));
    Settings { config: record.channel.config.clone(), secrets: secrets.collect() }
}

/// Removes a channel.
pub async fn delete(app: &App, caller: &Caller, id: ChannelId) -> Result<wire::ChannelDeleted> {
    let org = caller.org(Scope::SiemWrite)?;
    let record = one(app, org, id).await?;
    let detail = json!({ "before": view(app, &record) });
    let audit = caller.audit(app.parts.clock.now(), "notification_channel.delete", id, detail);
    app.parts.store.delete_channel(org, id, audit).await.map_err(failed)?;
    Ok(wire::ChannelDeleted { deleted: true })
}

/// Sends a message through a channel that says that it is a test.
pub async fn test(app: &App, caller: &Caller, id: ChannelId, object: Object) -> Result<wire::ChannelTest> {
    let org = caller.org(Scope::SiemWrite)?;
    object.finish()?;
    let record = one(app, org, id).await?;
    if let Some(after) = app.tested.take(org.0, Instant::now()).retry_after {
        return Err(Refusal::channel_tests_limited(after));
    }
    let Channel { name, kind, .. } = &record.channel;
    let settings = open(&app.parts.vault, &record).map_err(|error| unusable(&error))?;
    let now = app.parts.clock.now();
    let audit = caller.audit(now, "notification_channel.test", id, json!({}));
    app.parts.store.log(Some(org), audit).await.map_err(failed)?;
    let place = place(app, org).await.map_err(failed)?;
    Ok(match app.parts.courier.test(id, name, *kind, &settings, &place, now).await {
        Ok(delivered) => {
            // What waits is told now, and not at the end of a pause.
            if record.progress.failing.is_some() {
                let progress = Progress { failing: None, ..record.progress };
                let kept = app.parts.store.told(id, record.channel.updated_at, record.told_to, progress).await;
                kept.map_err(failed)?;
            }
            wire::ChannelTest { sent: true, message: delivered.message, cause: None }
        }
        Err(not) => wire::ChannelTest { sent: false, message: not.cause.message.clone(), cause: Some(not.cause) },
    })
}

/// What the operator has to configure before anybody can be told through channels of this kind, in whole sentences; `None` if nothing.
pub fn unconfigured(app: &App, kind: ChannelKind) -> Option<&'static str> {
    let needs_mail = kind == ChannelKind::Email && !app.parts.sends_mail;
    needs_mail.then_some(
        "No mail can be sent yet, because no mail server is configured. Whoever runs the service sets TOKTRA_SIEM_SMTP_URL and \
         TOKTRA_SIEM_SMTP_FROM, and restarts it.",
    )
}

/// Where messages of the org come from.
pub async fn place(app: &App, org: OrgId) -> Result<Place, StoreError> {
    let name = app.parts.store.org(org).await?.name;
    Ok(Place { org: name, public_url: app.parts.public_url.clone() })
}

/// A channel's settings, its secrets open.
///
/// # Errors
///
/// If a secret was sealed with a key that is not configured any more.
pub fn open(vault: &Vault, record: &ChannelRecord) -> Result<Settings, VaultError> {
    let Channel { org, id, config, .. } = &record.channel;
    let secret = |sealed: &SealedSecret| Ok((sealed.field.clone(), vault.open(*org, ConnectorId(id.0), sealed)?));
    Ok(Settings {
        config: config.clone(),
        secrets: record.secrets.iter().map(secret).collect::<Result<_, VaultError>>()?,
    })
}

/// A channel's secrets, sealed anew.
///
/// # Errors
///
/// If one of them does not open.
pub fn seal_anew(vault: &Vault, record: &ChannelRecord) -> Result<Vec<SealedSecret>, VaultError> {
    Ok(seal(vault, &record.channel, &open(vault, record)?))
}

fn seal(vault: &Vault, channel: &Channel, settings: &Settings) -> Vec<SealedSecret> {
    let owner = ConnectorId(channel.id.0);
    settings.secrets.iter().map(|(field, secret)| vault.seal(channel.org, owner, field, secret)).collect()
}

fn sealed(app: &App, channel: &Channel, settings: &Settings) -> Vec<SealedSecret> {
    seal(&app.parts.vault, channel, settings)
}

/// Refuses what leads where the server does not connect to. A name that does not resolve passes; it is judged when it is dialled.
async fn check(app: &App, kind: ChannelKind, settings: &Settings) -> Result<()> {
    for field in descriptor(kind).fields.iter().filter(|field| field.url) {
        let secret = settings.secrets.get(field.name).map(|url| url.expose_secret().to_owned());
        let Some(url) = secret.or_else(|| settings.text(field.name).map(str::to_owned)) else { continue };
        app.parts.transport.check(&url, Trust::default()).await.map_err(|refusal| {
            let mut told = Refusal::from(refusal.clone());
            told.problem.message = toktra_siem_notify::forbidden(&refusal);
            told
        })?;
    }
    Ok(())
}

/// A channel as answers show it.
fn view(app: &App, record: &ChannelRecord) -> wire::Channel {
    let Channel { id, name, kind, config, events, active, created_at, updated_at, .. } = record.channel.clone();
    let failing = record.progress.failing.clone().map(|failing| wire::ChannelFailure {
        since: failing.since,
        attempts: failing.attempts,
        next_attempt_at: failing.next,
        cause: failing.cause,
    });
    let config = shown(app, record, descriptor(kind), config);
    let last_sent_at = record.progress.last_told;
    wire::Channel { id, name, kind, config, events, active, created_at, updated_at, last_sent_at, failing }
}

fn shown(app: &App, record: &ChannelRecord, of: &Descriptor, mut config: Map<String, Value>) -> Map<String, Value> {
    let open = open(&app.parts.vault, record);
    for field in of.fields.iter().filter(|field| field.secret) {
        let is_set = record.secrets.iter().any(|sealed| sealed.field == field.name);
        let view = match open.as_ref().map(|settings| settings.secrets.get(field.name)) {
            Ok(Some(secret)) => secret_view(field, secret),
            Ok(None) => SecretView::default(),
            Err(_) => SecretView { set: is_set, usable: Some(false), ..SecretView::default() },
        };
        config.insert(field.name.to_owned(), json!(view));
    }
    config
}

fn secret_view(field: &Field, secret: &SecretString) -> SecretView {
    let origin = if field.url { endpoint::origin(secret) } else { None };
    SecretView { origin, ..SecretView::of(secret) }
}
