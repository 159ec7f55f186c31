//! `/v1/notification-channels`: who is told when something is wrong; and what somebody knows already, so that nobody is told of it again.

use std::num::NonZeroU32;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use toktra_siem_base::vault::{Vault, VaultError};
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong};
use toktra_siem_core::ids::{ChannelId, ConnectorId, OrgId};
use toktra_siem_core::notice::{Acknowledgement, ChannelKind, Topic};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::Trust;
use toktra_siem_notify::{Descriptor, Field, Place, Settings, descriptor};
use toktra_siem_platform::endpoint;
use toktra_siem_platform::view::SecretView;
use toktra_siem_store::{Change, Channel, ChannelRecord, Progress, Scope, SealedSecret, StoreError};
use toktra_siem_wire as wire;

use crate::connectors::{CONNECTOR, load};
use crate::object::{Member, Object};
use crate::query::{Position, Query};
use crate::users::text;
use crate::{App, Caller, Refusal, Result};

/// What the API calls this in its messages.
const CHANNEL: &str = "notification channel";
/// What kinds are called, for messages.
const KINDS: &str = "one of email, slack, teams, pagerduty, webhook";
/// What topics are called, for messages.
const TOPICS: &str = "must be a list of at least one of down, misconfigured, recovered, expiring, stalled, certificate, key, silence, disk";
/// Test messages of an org in a minute: whoever may send them chooses who gets them.
pub(crate) const TESTS_A_MINUTE: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// The longest that something is acknowledged.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);
/// The longest note, in characters.
const NOTE: usize = 200;

fn failed(error: StoreError) -> Refusal {
    match error {
        StoreError::Conflict(_) => Refusal::conflict(
            "Somebody else changed this notification channel at the same moment, or the org has 50 of them already. Read it again, and repeat \
             the change.",
        ),
        other => Refusal::store(CHANNEL, other),
    }
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
    let secrets = sealed(app, &channel, &settings);
    let record = ChannelRecord { channel, secrets, told_to: 0, progress: Progress::default() };
    let mut view = view(app, &record);
    let audit = caller.audit(now, "notification_channel.create", view.id, json!({ "after": view }));
    app.parts.store.create_channel(org, Change { value: record, audit }).await.map_err(failed)?;
    if let Some((field, secret)) = made {
        view.config.insert(field.to_owned(), json!(SecretView::once(&secret)));
    }
    Ok(view)
}

/// Changes a channel. Members that are given replace the stored ones; the others stay as they are, also those of `config`. It is tried again at
/// once.
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
    if let Some((field, secret)) = made {
        view.config.insert(field.to_owned(), json!(SecretView::once(&secret)));
    }
    Ok(view)
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
    let settings = open(&app.parts.vault, &record)?;
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

/// Says that somebody knows about a connector: until then nothing is told of it but that events are about to be lost.
pub async fn acknowledge(app: &App, caller: &Caller, id: ConnectorId, mut object: Object) -> Result<wire::Health> {
    let org = caller.org(Scope::SiemWrite)?;
    let now = app.parts.clock.now();
    let note = text(&mut object, "note", true).map(|text| text.trim().to_owned());
    if let Some(note) = &note {
        let length = note.chars().count();
        if length == 0 || length > NOTE || note.chars().any(char::is_control) {
            object.fault("note", Wrong::length(1, NOTE, "characters, all of them printable"));
        }
    }
    let until = until(&mut object, now);
    object.finish()?;
    let (Some(note), Some(until)) = (note, until) else { return Err(Refusal::internal()) };
    let known = Acknowledgement { note, until, by: caller.principal.name.clone(), at: now };
    say(app, caller, org, id, Some(known)).await
}

fn until(object: &mut Object, now: Timestamp) -> Option<Timestamp> {
    let text = match object.text("until") {
        Member::Value(text) => text,
        Member::Null => {
            object.fault("until", Wrong::null());
            return None;
        }
        Member::Absent => {
            if !object.faulted("until") {
                object.fault("until", Wrong::missing());
            }
            return None;
        }
    };
    let until = crate::words::read::<Timestamp>(&text).filter(|until| *until > now && *until <= now.plus(KNOWN_FOR));
    if until.is_none() {
        let expected = "a time in RFC 3339, in the future and at most 30 days away, such as 2030-01-15T10:30:00Z";
        object.fault("until", Wrong::malformed(expected));
    }
    until
}

/// Takes that back.
pub async fn take_back(app: &App, caller: &Caller, id: ConnectorId) -> Result<wire::Health> {
    let org = caller.org(Scope::SiemWrite)?;
    say(app, caller, org, id, None).await
}

async fn say(
    app: &App,
    caller: &Caller,
    org: OrgId,
    id: ConnectorId,
    known: Option<Acknowledgement>,
) -> Result<wire::Health> {
    load(app, org, id).await?;
    let action = if known.is_some() { "connector.acknowledge" } else { "connector.acknowledge.end" };
    let detail = json!({ "after": known });
    let audit = caller.audit(app.parts.clock.now(), action, id, detail);
    let change = Change { value: known, audit };
    app.parts.store.acknowledge(org, id, change).await.map_err(|error| Refusal::store(CONNECTOR, error))?;
    crate::health::of_connector(app, caller, id).await
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
    use secrecy::ExposeSecret as _;
    for field in descriptor(kind).fields.iter().filter(|field| field.url) {
        let secret = settings.secrets.get(field.name).map(|url| url.expose_secret().to_owned());
        let Some(url) = secret.or_else(|| settings.text(field.name).map(str::to_owned)) else { continue };
        app.parts.transport.check(&url, Trust::default()).await?;
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
