//! What has to be done so that the connectors are as the files describe them. Pure: what there is comes in, steps come out.
//!
//! A stored secret is never shown, so that it cannot be compared with one of a file. What can is how it ends: where the hints differ,
//! the secret is another; where they are alike, or where a secret is too short for a hint, it is taken for the same.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use toktra_siem_app::connectors::parse_filter;
use toktra_siem_core::connector::Settings;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::view::{SecretView, SettingsView};
use toktra_siem_platform::{Field, Registry};

use super::described::{Described, Fault, with_placeholder};
use crate::output::{cell, plain};

/// What is done with one connector.
#[derive(Debug)]
pub(super) enum Step {
    /// Make it.
    Add { name: String, platform: PlatformId, members: Vec<Change>, body: Value },
    /// Save it with these changes.
    Change { connector: Value, members: Vec<Change>, patch: Value },
    /// Remove it.
    Delete { connector: Value },
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
    present: &[Value],
    rules: Rules,
    registry: &Registry,
) -> Result<Plan, Vec<Fault>> {
    let (mut plan, mut faults) = (Plan::default(), Vec::new());
    for one in described {
        let step = match present.iter().find(|connector| connector["name"] == one.name.as_str()) {
            None => add(one, registry).map(Some),
            Some(connector) => change(one, connector, rules, registry),
        };
        match step {
            Ok(Some(step)) => plan.steps.push(step),
            Ok(None) => plan.unchanged += 1,
            Err(fault) => faults.push(fault),
        }
    }
    let own = present.iter().filter(|connector| connector["managed_by"] != "environment");
    for connector in own.filter(|connector| !described.iter().any(|one| connector["name"] == one.name.as_str())) {
        if rules.prune {
            plan.steps.push(Step::Delete { connector: connector.clone() });
        } else {
            plan.others.push(cell(connector, "name"));
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
    members.extend(
        one.credentials.iter().map(|(name, secret)| made(format!("config.{name}"), hint(&secret_view(secret)))),
    );
    members
        .extend(one.signing_secret.iter().map(|secret| made("signing_secret".to_owned(), hint(&secret_view(secret)))));
    let filter = json!(one.filter);
    members.extend(filter.as_object().into_iter().flatten().map(|(name, v)| made(format!("filter.{name}"), plain(v))));
    members.push(made("active".to_owned(), one.active.to_string()));
    let mut body = json!({
        "name": one.name,
        "platform": one.platform,
        "config": one.whole_config(),
        "filter": filter,
        "active": one.active,
    });
    if let Some(secret) = &one.signing_secret {
        body["signing_secret"] = secret.expose_secret().into();
    }
    Ok(Step::Add { name: one.name.clone(), platform: one.platform, members, body })
}

fn change(one: &Described, connector: &Value, rules: Rules, registry: &Registry) -> Result<Option<Step>, Fault> {
    if connector["managed_by"] == "environment" {
        let message = "this connector is described by the server's environment, which alone changes it: take it out here, or there";
        return Err(one.fault("/name", message));
    }
    if connector["platform"] != one.platform.as_str() {
        let message = format!(
            "the connector of this name is for {}: delete it first, or choose another name",
            cell(connector, "platform")
        );
        return Err(one.fault("/platform", message));
    }
    let Some(current) = settings_of(registry, one.platform, &connector["config"]) else {
        return Err(
            one.fault("/name", "what the server says of this connector is not understood; is it of another version?")
        );
    };
    let mut found = Found { rules, registry, members: Vec::new(), config: Map::new(), patch: Map::new() };
    found.settings(&current, &one.settings);
    found.credentials(one, connector, &current)?;
    if let Some(secret) = &one.signing_secret
        && found.differs("signing_secret", &connector["signing_secret"], secret)
    {
        found.patch.insert("signing_secret".to_owned(), secret.expose_secret().into());
    }
    let filter = parse_filter(connector["filter"].clone()).unwrap_or_default();
    if filter != one.filter {
        for (member, before, after) in [
            ("filter.severity", json!(filter.severity), json!(one.filter.severity)),
            ("filter.event_types", json!(filter.event_types), json!(one.filter.event_types)),
        ] {
            found.note(member, all_or(&before), all_or(&after));
        }
        found.patch.insert("filter".to_owned(), json!(one.filter));
    }
    if connector["active"] != one.active {
        found.note("active", plain(&connector["active"]), one.active.to_string());
        found.patch.insert("active".to_owned(), one.active.into());
    }
    let Found { members, config, mut patch, .. } = found;
    if !config.is_empty() {
        patch.insert("config".to_owned(), config.into());
    }
    Ok((!patch.is_empty()).then(|| Step::Change { connector: connector.clone(), members, patch: patch.into() }))
}

/// Settings as answers show them, without secrets.
pub(super) fn shown(registry: &Registry, settings: &Settings) -> Value {
    json!(SettingsView::of(registry, settings, |_| None))["config"].take()
}

/// A secret as answers show it.
fn secret_view(secret: &SecretString) -> Value {
    json!(SecretView::of(secret))
}

/// The settings that an answer shows.
fn settings_of(registry: &Registry, platform: PlatformId, shown: &Value) -> Option<Settings> {
    let secret = |value: &Value| value["set"].is_boolean();
    let members = shown.as_object()?.iter().filter(|(_, value)| !secret(value));
    let members: Map<String, Value> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    let whole = with_placeholder(registry, platform, &members);
    registry.parse_new(platform, &whole.into()).ok().map(|(settings, _)| settings)
}

/// Differences as they are found.
struct Found<'r> {
    rules: Rules,
    registry: &'r Registry,
    members: Vec<Change>,
    config: Map<String, Value>,
    patch: Map<String, Value>,
}

impl Found<'_> {
    fn note(&mut self, member: &str, from: String, to: String) {
        if from != to {
            self.members.push(Change { member: member.to_owned(), from: Some(from), to });
        }
    }

    fn settings(&mut self, current: &Settings, wanted: &Settings) {
        let (before, after) = (shown(self.registry, current), shown(self.registry, wanted));
        let names =
            |view: &Value| view.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default();
        let mut all: Vec<String> = names(&before);
        all.extend(names(&after));
        all.sort();
        all.dedup();
        for name in all.into_iter().filter(|name| before[name] != after[name]) {
            self.note(&format!("config.{name}"), short(&before[&name]), short(&after[&name]));
            // What is null again has its default.
            self.config.insert(name.clone(), after[&name].clone());
        }
    }

    fn credentials(&mut self, one: &Described, connector: &Value, current: &Settings) -> Result<(), Fault> {
        let shown = &connector["config"];
        let registry = self.registry;
        let fields = || registry.fields(one.platform);
        let stored = fields().any(|field| field.is_secret() && shown[field.name]["set"] == true);
        // A name that a credential goes with is a part of it.
        let part = |field: &&Field| field.when.is_some() && !field.is_secret() && self.goes_with_secret(one, field);
        let renamed = fields().filter(part).any(|field| shown[field.name] != *member(one, field.name));
        let moved = registry.target_changed(current, &one.settings) || renamed;
        let names: Vec<&str> = fields().filter(part).map(|field| field.name).collect();
        // A private key has no hint that would tell it from another: it goes with its certificate.
        let other_key = one.settings.text("tls_client_cert") != current.text("tls_client_cert");
        for (name, secret) in &one.credentials {
            let goes_along = moved || (other_key && name == "tls_client_key");
            if self.differs(&format!("config.{name}"), &shown[name], secret) || goes_along {
                self.config.insert(name.clone(), secret.expose_secret().into());
                let when = registry.field(one.platform, name).and_then(|field| field.when);
                let together =
                    |name: &&&str| registry.field(one.platform, name).is_some_and(|field| field.when == when);
                for name in names.iter().filter(together) {
                    self.config.insert((*name).to_owned(), member(one, name).clone());
                }
            }
        }
        if moved && one.credentials.is_empty() {
            let platform = registry.get(one.platform);
            if stored || platform.is_some_and(|platform| platform.needed(&one.config).is_some()) {
                let message = "the credential is missing: with another host, site, certificate authority or user, a stored one is not sent \
                               along unseen";
                return Err(one.fault("/config", message));
            }
            // There is none, and there is to be none.
            if let Some(name) = platform.and_then(|platform| platform.credential(&one.config)) {
                self.config.insert(name.to_owned(), Value::Null);
            }
        }
        Ok(())
    }

    /// Whether a setting counts beside the same choice as a secret.
    fn goes_with_secret(&self, one: &Described, field: &Field) -> bool {
        self.registry.fields(one.platform).any(|other| other.is_secret() && other.when == field.when)
    }

    /// Whether a secret has to be written; noted where it has.
    fn differs(&mut self, member: &str, shown: &Value, secret: &SecretString) -> bool {
        let view = secret_view(secret);
        let other = shown["set"] != true || shown["source"].is_string() || shown["hint"] != view["hint"];
        if other {
            self.note(member, hint(shown), format!("{} (another)", hint(&view)));
        } else if self.rules.write_secrets {
            self.note(member, hint(shown), format!("{} (written again)", hint(&view)));
        }
        other || self.rules.write_secrets
    }
}

fn member<'d>(one: &'d Described, name: &str) -> &'d Value {
    one.config.get(name).unwrap_or(&Value::Null)
}

/// What is known of a secret, in a word or two.
fn hint(view: &Value) -> String {
    match (view["set"].as_bool(), view["hint"].as_str(), view["source"].as_str()) {
        (Some(true), Some(hint), _) => format!("set {hint}"),
        (Some(true), None, Some(source)) => format!("set by {source}"),
        (Some(true), None, None) => "set".to_owned(),
        _ => "not set".to_owned(),
    }
}

fn all_or(list: &Value) -> String {
    if list.as_array().is_none_or(Vec::is_empty) { "all".to_owned() } else { plain(list) }
}

/// A value in a line: certificates are long.
fn short(value: &Value) -> String {
    let text = plain(value);
    if text.contains("-----BEGIN") { format!("a certificate of {} bytes", text.len()) } else { text }
}
