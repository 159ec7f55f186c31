//! What has to be done so that the connectors are as the files describe them. Pure: what there is comes in, steps come out.
//!
//! A stored secret is never shown: the server compares it with the one of a file, and says which differ ([`Compared`]). Of a connector that it
//! has not compared, only the ends of the secrets are: where the hints differ, the secret is another.

use std::collections::{BTreeSet, HashMap};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use toktra_siem_app::connectors::parse_filter;
use toktra_siem_core::connector::{ManagedBy, Settings};
use toktra_siem_core::ids::{ConnectorId, PlatformId};
use toktra_siem_platform::descriptor::Kind;
use toktra_siem_platform::view::{SecretView, SettingsView};
use toktra_siem_platform::{Field, Registry, group};
use toktra_siem_wire::{
    ConnectorChange, FilterInput, GivenSecret, Name, NewConnector, NewSettings, SettingsChange, Word,
};

use super::channels;
use super::described::{Described, Fault, with_placeholder};
use crate::answer::Connector;
use crate::connector::{as_secret, forwarded, secret};
use crate::output::plain;

/// What is done with one connector.
#[derive(Debug)]
pub(super) enum Step {
    /// Make it.
    Add { members: Vec<Change>, body: NewConnector },
    /// Save it with these changes.
    Change { connector: Connector, members: Vec<Change>, patch: ConnectorChange },
    /// Remove it, and with it what `loss` says.
    Delete { connector: Connector, loss: String },
}

impl Step {
    /// The connector's name and platform.
    pub(super) fn of(&self) -> (&str, PlatformId) {
        match self {
            Self::Add { body, .. } => (&body.name.0, body.settings.platform),
            Self::Change { connector, .. } | Self::Delete { connector, .. } => {
                (&connector.name, connector.settings.platform)
            }
        }
    }
}

/// A member that becomes another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) member: String,
    /// `None` for what is made.
    pub(super) from: Option<String>,
    pub(super) to: String,
}

/// All steps.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Connectors that are as described.
    pub(super) unchanged: usize,
    /// Connectors that no file names and that stay.
    pub(super) others: Vec<String>,
    /// The same for notification channels.
    pub(super) channels: channels::Plan,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(super) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.channels.steps.is_empty()
    }
}

/// The secrets that differ from the stored ones, by connector, as the server has compared them.
pub(super) type Compared = HashMap<ConnectorId, BTreeSet<String>>;

/// The described secrets of which the connector has one already, for the server to compare.
pub(super) fn comparable(one: &Described, connector: &Connector, registry: &Registry) -> Option<ConnectorChange> {
    if connector.managed_by == ManagedBy::Environment || connector.settings.platform != one.platform {
        return None;
    }
    let there = |name: &str| as_secret(member(&connector.settings.config, name)).is_some_and(|view| view.set);
    let credentials =
        one.credentials.iter().filter(|(name, _)| registry.field(one.platform, name).is_some() && there(name));
    let config: Map<String, Value> =
        credentials.map(|(name, secret)| (name.clone(), secret.expose_secret().into())).collect();
    let signs = connector.signing_secret.set && connector.signing_secret.source.is_none();
    let secrets = ConnectorChange {
        config: (!config.is_empty()).then(|| SettingsChange(group::nested(config))),
        signing_secret: one.signing_secret.clone().filter(|_| signs).map(GivenSecret),
        ..ConnectorChange::default()
    };
    (secrets.config.is_some() || secrets.signing_secret.is_some()).then_some(secrets)
}

/// How far the plan may go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    /// Remove what no file names.
    pub(super) prune: bool,
    /// Write secrets that seem to be the same.
    pub(super) write_secrets: bool,
}

/// The plan from what is there to what is described; or what stands in its way.
pub(super) fn plan(
    described: &[Described],
    present: &[Connector],
    compared: &Compared,
    rules: Rules,
    registry: &Registry,
) -> Result<Plan, Vec<Fault>> {
    let (mut plan, mut faults) = (Plan::default(), Vec::new());
    for one in described {
        let step = match present.iter().find(|connector| connector.name == one.name) {
            None => add(one, registry).map(Some),
            Some(connector) => change(one, connector, compared.get(&connector.id), rules, registry),
        };
        match step {
            Ok(Some(step)) => plan.steps.push(step),
            Ok(None) => plan.unchanged += 1,
            Err(fault) => faults.push(fault),
        }
    }
    let own = present.iter().filter(|connector| connector.managed_by != ManagedBy::Environment);
    for connector in own.filter(|connector| !described.iter().any(|one| connector.name == one.name)) {
        if rules.prune {
            plan.steps.push(Step::Delete { connector: connector.clone(), loss: String::new() });
        } else {
            plan.others.push(connector.name.clone());
        }
    }
    if faults.is_empty() { Ok(plan) } else { Err(faults) }
}

fn add(one: &Described, registry: &Registry) -> Result<Step, Fault> {
    if let Some(secret) = one.lacks(registry) {
        let message = format!("`{secret}` is missing: there is no connector of this name yet, and a new one needs it");
        return Err(one.fault("/config", message));
    }
    let made = |member: String, to: String| Change { member, from: None, to };
    let mut members: Vec<Change> =
        one.config.iter().map(|(name, v)| made(format!("config.{name}"), short(v))).collect();
    let credential = |(name, secret): &(String, SecretString)| {
        made(format!("config.{name}"), hint(&view(registry, one.platform, name, secret)))
    };
    members.extend(one.credentials.iter().map(credential));
    let signing = |secret: &SecretString| made("signing_secret".to_owned(), hint(&SecretView::of(secret)));
    members.extend(one.signing_secret.iter().map(signing));
    let filter = json!(one.filter);
    members.extend(filter.as_object().into_iter().flatten().map(|(name, v)| made(format!("filter.{name}"), plain(v))));
    members.push(made("active".to_owned(), one.active.to_string()));
    let body = NewConnector {
        name: Name(one.name.clone()),
        settings: NewSettings { platform: one.platform, config: one.whole_config() },
        filter: Some(FilterInput::from(&one.filter)),
        signing_secret: one.signing_secret.clone().map(GivenSecret),
        active: one.active,
        resume: None,
    };
    Ok(Step::Add { members, body })
}

fn change(
    one: &Described,
    connector: &Connector,
    compared: Option<&BTreeSet<String>>,
    rules: Rules,
    registry: &Registry,
) -> Result<Option<Step>, Fault> {
    if connector.managed_by == ManagedBy::Environment {
        let message = "this connector is described by the server's environment, which alone changes it: take it out here, or there";
        return Err(one.fault("/name", message));
    }
    let platform = connector.settings.platform;
    if platform != one.platform {
        let message = format!("the connector of this name is for {platform}: delete it first, or choose another name");
        return Err(one.fault("/platform", message));
    }
    let Some(current) = settings_of(registry, platform, &connector.settings.config) else {
        return Err(
            one.fault("/name", "what the server says of this connector is not understood; is it of another version?")
        );
    };
    let mut found = Found { rules, registry, compared, members: Vec::new(), config: Map::new() };
    let mut patch = ConnectorChange::default();
    let wanted = with_kept_urls(registry, one, &current);
    found.settings(&current, &wanted);
    found.credentials(one, connector, &current, &wanted)?;
    if let Some(secret) = &one.signing_secret
        && found.differs("signing_secret", "signing_secret", Some(&connector.signing_secret), &SecretView::of(secret))
    {
        patch.signing_secret = Some(GivenSecret(secret.clone()));
    }
    if parse_filter(json!(connector.filter)).as_ref() != Ok(&one.filter) {
        let (before, after) = (forwarded(&connector.filter), forwarded(&Word::Known(one.filter.clone())));
        found.note("filter.severity", before.0, after.0);
        found.note("filter.event_types", before.1, after.1);
        patch.filter = Some(Some(FilterInput::from(&one.filter)));
    }
    if connector.active != one.active {
        found.note("active", connector.active.to_string(), one.active.to_string());
        patch.active = Some(one.active);
    }
    patch.config = (!found.config.is_empty()).then(|| SettingsChange(group::nested(found.config)));
    let same = matches!(patch, ConnectorChange { config: None, filter: None, signing_secret: None, active: None, .. });
    Ok((!same).then(|| Step::Change { connector: connector.clone(), members: found.members, patch }))
}

/// Settings as answers show them, without secrets, by the names of the fields.
pub(super) fn shown(registry: &Registry, settings: &Settings) -> Map<String, Value> {
    flat(registry, settings.platform, &SettingsView::of(registry, settings, |_| None).config)
}

/// What an answer shows, by the names of the fields.
fn flat(registry: &Registry, platform: PlatformId, shown: &Map<String, Value>) -> Map<String, Value> {
    group::flat(shown, &registry.fields(platform)).0
}

/// What may be told of a secret of a platform.
fn view(registry: &Registry, platform: PlatformId, name: &str, secret: &SecretString) -> SecretView {
    registry.field(platform, name).map_or_else(|| SecretView::of(secret), |field| field.view(secret))
}

/// The described settings, with what is shown of the URLs that are secrets and stay as they are.
fn with_kept_urls(registry: &Registry, one: &Described, current: &Settings) -> Settings {
    let mut wanted = one.settings.clone();
    for field in registry.fields(one.platform).filter(|field| matches!(field.kind, Kind::SecretUrl(_))) {
        let given = one.credentials.iter().any(|(name, _)| name == field.name);
        if !given && wanted.config.remove(field.name).is_some() {
            wanted.config.extend(current.config.get(field.name).map(|origin| (field.name.to_owned(), origin.clone())));
        }
    }
    wanted
}

/// The settings that an answer shows.
fn settings_of(registry: &Registry, platform: PlatformId, shown: &Map<String, Value>) -> Option<Settings> {
    let member = |(name, value): (&String, &Value)| match as_secret(value) {
        // Of a URL that is a secret the origin is shown, which tells where it leads.
        Some(secret) => secret.origin.map(|origin| (name.clone(), origin.into())),
        None => Some((name.clone(), value.clone())),
    };
    let members: Map<String, Value> = flat(registry, platform, shown).iter().filter_map(member).collect();
    let whole = with_placeholder(registry, platform, &members);
    registry.parse_new(platform, &group::nested(whole).into()).ok().map(|(settings, _)| settings)
}

/// Differences as they are found.
struct Found<'r> {
    rules: Rules,
    registry: &'r Registry,
    compared: Option<&'r BTreeSet<String>>,
    members: Vec<Change>,
    config: Map<String, Value>,
}

impl Found<'_> {
    fn note(&mut self, member: &str, from: String, to: String) {
        if from != to {
            self.members.push(Change { member: member.to_owned(), from: Some(from), to });
        }
    }

    fn settings(&mut self, current: &Settings, wanted: &Settings) {
        let (before, after) = (shown(self.registry, current), shown(self.registry, wanted));
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (before, after) = (member(&before, name), member(&after, name));
            if before != after {
                self.note(&format!("config.{name}"), short(before), short(after));
                // What is null again has its default.
                self.config.insert(name.clone(), after.clone());
            }
        }
    }

    fn credentials(
        &mut self,
        one: &Described,
        connector: &Connector,
        current: &Settings,
        wanted: &Settings,
    ) -> Result<(), Fault> {
        let shown = &connector.settings.config;
        let secret_of = |name: &str| as_secret(member(shown, name));
        let registry = self.registry;
        let fields = || registry.fields(one.platform);
        let stored = |name: &str| secret_of(name).is_some_and(|view| view.set);
        // A name that a credential goes with is a part of it.
        let part = |field: &&Field| field.when.is_some() && !field.is_secret() && self.goes_with_secret(one, field);
        let renamed = fields().filter(part).any(|field| member(shown, field.name) != member(&one.config, field.name));
        let moved = registry.target_changed(current, wanted) || renamed;
        let names: Vec<&str> = fields().filter(part).map(|field| field.name).collect();
        // A private key has no hint that would tell it from another: it goes with its certificate.
        let other_key = one.settings.text("tls_client_cert") != current.text("tls_client_cert");
        for (name, secret) in &one.credentials {
            let goes_along = moved || (other_key && name == "tls_client_key");
            let view = view(registry, one.platform, name, secret);
            if self.differs(name, &format!("config.{name}"), secret_of(name).as_ref(), &view) || goes_along {
                self.config.insert(name.clone(), secret.expose_secret().into());
                let when = registry.field(one.platform, name).and_then(|field| field.when);
                let together =
                    |name: &&&str| registry.field(one.platform, name).is_some_and(|field| field.when == when);
                for name in names.iter().filter(together) {
                    self.config.insert((*name).to_owned(), member(&one.config, name).clone());
                }
            }
        }
        let given = |name: &str| one.credentials.iter().any(|(given, _)| given == name);
        // A secret goes with the URL beside it, to which alone it is sent.
        for field in fields().filter(|field| field.is_secret() && stored(field.name) && !given(field.name)) {
            if self.is_left_alone(field, wanted) {
                self.note(
                    &format!("config.{}", field.name),
                    secret_of(field.name).as_ref().map_or_else(String::new, hint),
                    "not set".to_owned(),
                );
                self.config.insert(field.name.to_owned(), Value::Null);
            }
        }
        // There is none, and there is to be none.
        let platform = registry.get(one.platform);
        if let Some(name) = platform.and_then(|platform| platform.credential(&one.config))
            && platform.is_some_and(|platform| platform.needed(&one.config).is_empty())
            && registry.moved(current, wanted, name)
            && !fields().any(|field| field.is_secret() && group::path(field.name).is_none() && stored(field.name))
            && !given(name)
        {
            self.config.insert(name.to_owned(), Value::Null);
        }
        // What the server would refuse is found before anything is done, by the same rule: a stored secret goes to no other host unseen.
        let stored: Vec<&str> =
            fields().filter(|field| field.is_secret()).map(|f| f.name).filter(|name| stored(name)).collect();
        let patch = group::nested(self.config.clone());
        let missing = match registry.parse_patch(current, &stored, &patch.into()) {
            Err(faults) => faults.into_iter().find(|fault| fault.message.starts_with("is missing")),
            Ok(_) => None,
        };
        missing.map_or(Ok(()), |fault| {
            let name = group::at(fault.pointer.trim_start_matches("/config/"));
            Err(one.fault(&fault.pointer, format!("`{name}` {}", fault.message)))
        })
    }

    /// Whether a secret stands beside a URL that is to be there no more.
    fn is_left_alone(&self, secret: &Field, wanted: &Settings) -> bool {
        let Some((own, _)) = group::path(secret.name) else { return false };
        let beside = |field: &&Field| group::path(field.name).is_some_and(|(group, _)| group == own);
        let mut urls =
            self.registry.fields(wanted.platform).filter(beside).filter(|field| matches!(field.kind, Kind::Url(_)));
        urls.any(|url| wanted.text(url.name).is_none())
    }

    /// Whether a setting counts beside the same choice as a secret.
    fn goes_with_secret(&self, one: &Described, field: &Field) -> bool {
        self.registry.fields(one.platform).any(|other| other.is_secret() && other.when == field.when)
    }

    /// Whether a secret has to be written; noted where it has.
    fn differs(&mut self, name: &str, member: &str, shown: Option<&SecretView>, view: &SecretView) -> bool {
        let same = |shown: &SecretView| match self.compared {
            Some(changed) => !changed.contains(name),
            None => shown.hint == view.hint && shown.origin == view.origin,
        };
        let other = shown.is_none_or(|shown| !shown.set || shown.source.is_some() || !same(shown));
        if other || self.rules.write_secrets {
            let from = shown.map_or_else(|| "not set".to_owned(), hint);
            self.note(member, from, format!("{} ({})", hint(view), if other { "another" } else { "written again" }));
        }
        other || self.rules.write_secrets
    }
}

fn member<'m>(members: &'m Map<String, Value>, name: &str) -> &'m Value {
    group::member(members, name).unwrap_or(&Value::Null)
}

pub(super) fn hint(view: &SecretView) -> String {
    secret(view, ["", ""])
}

/// A value in a line: certificates are long.
fn short(value: &Value) -> String {
    let text = plain(value);
    if text.contains("-----BEGIN") { format!("a certificate of {} bytes", text.len()) } else { text }
}
