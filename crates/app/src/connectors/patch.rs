//! The body that changes a connector: members that are given replace, absent ones stay; `config` is merged member by member.

use secrecy::SecretString;
use serde_json::Value;
use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};
use toktra_siem_core::connector::Settings;
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::Registry;
use toktra_siem_store::{ConnectorRecord, ConnectorSave, Resume};

use super::secrets::{self, Secrets};
use super::{Ready, draft, filter};
use crate::object::Member;
use crate::{App, Object, Refusal, Result};

/// A change as it was asked for.
pub(super) struct Patch {
    name: Option<String>,
    platform: Option<PlatformId>,
    config: Option<Value>,
    filter: Option<Filter>,
    signing_secret: Member<SecretString>,
    active: Option<bool>,
    resume: Resume,
}

/// Reads the body; what depends on the connector is judged by [`Patch::apply`].
pub(super) fn read(registry: &Registry, mut object: Object) -> Result<Patch> {
    let patch = Patch {
        name: object.name(false),
        platform: draft::platform(registry, &mut object),
        config: object.value("config"),
        filter: filter::read(&mut object),
        signing_secret: object.secret("signing_secret"),
        active: object.flag("active"),
        resume: object.word("resume", "backlog or now").unwrap_or_default(),
    };
    object.finish()?;
    Ok(patch)
}

/// Whether the platform has the streams of the connector, which stay.
fn fits(app: &App, settings: &Settings) -> bool {
    let descriptor = app.parts.registry.descriptor(settings.platform);
    descriptor.is_none_or(|descriptor| settings.streams().iter().all(|kind| descriptor.streams.contains(kind)))
}

impl Patch {
    /// The connector as it is to become.
    pub(super) fn apply(&self, app: &App, record: &ConnectorRecord) -> Result<Ready> {
        let mut connector = record.connector.clone();
        let mut secrets = Secrets::of(record);
        let mut faults = Vec::new();
        let unreadable = connector.settings.is_unreadable();
        if let Some(platform) = self.platform.filter(|_| unreadable) {
            connector.settings.platform = platform;
        }
        if unreadable && self.config.is_some() && !fits(app, &connector.settings) {
            let message =
                "platform: cannot be changed to one with other streams; delete this connector and make another";
            faults.push(FieldFault::new("/platform", message));
        } else if self.platform.is_some_and(|platform| platform != connector.settings.platform) {
            let message = "platform: cannot be changed; make another connector";
            faults.push(FieldFault::new("/platform", message));
        } else if let Some(patch) = &self.config {
            let stored: Vec<&str> = record.secrets.iter().map(|sealed| sealed.field.as_str()).collect();
            match app.parts.registry.parse_patch(&connector.settings.to_be_changed(), &stored, patch) {
                Ok((settings, changes)) => {
                    connector.settings = settings;
                    secrets.change(app, &connector, &changes);
                }
                Err(wrong) => faults.extend(wrong),
            }
        }
        let rotation = match &self.signing_secret {
            Member::Absent => None,
            Member::Value(secret) => {
                secrets.set(app, &connector, SIGNING_SECRET, secret);
                secrets.remove(SIGNING_SECRET_NEXT);
                Some(None)
            }
            Member::Null if secrets::falls_back(app, connector.org) => {
                secrets.remove(SIGNING_SECRET);
                secrets.remove(SIGNING_SECRET_NEXT);
                Some(None)
            }
            Member::Null => {
                let message =
                    "signing_secret: cannot be removed, since requests are always signed; give another, or rotate it";
                faults.push(FieldFault::new("/signing_secret", message));
                None
            }
        };
        if !faults.is_empty() {
            return Err(Refusal::invalid(faults));
        }
        if let Some(name) = &self.name {
            connector.name.clone_from(name);
        }
        if let Some(filter) = &self.filter {
            connector.filter.clone_from(filter);
        }
        connector.active = self.active.unwrap_or(connector.active);
        let sealed = secrets.into_sealed();
        let value = ConnectorSave {
            connector,
            expected: None,
            secrets: (sealed != record.secrets).then_some(sealed),
            rotation,
            resume: self.resume,
        };
        Ok(Ready { action: "connector.update", value })
    }
}
