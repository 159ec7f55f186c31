//! `GET …/{id}/setup` and `POST /v1/siem/setup`: the set-up steps of a connector, for the person who administers the SIEM, and a curl command
//! that sends its request again.

use std::sync::Arc;

use serde_json::json;
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::event::samples::test_event;
use toktra_siem_core::ids::{ConnectorId, EventId, StreamKind};
use toktra_siem_dispatch::links::open_credentials;
use toktra_siem_platform::prerequisite::Prerequisite;
use toktra_siem_platform::reproduce::Via;
use toktra_siem_store::{ConnectorRecord, Scope};
use toktra_siem_wire as wire;

use crate::connectors::{load, required_platform};
use crate::{App, Caller, Object, Refusal, Result};

/// Of a saved connector.
pub async fn of_connector(app: &App, caller: &Caller, id: ConnectorId) -> Result<wire::Setup> {
    let record = load(app, caller.org(Scope::SiemRead)?, id).await?;
    let settings = &record.connector.settings;
    let credentials = open_credentials(&app.parts.vault, &record).unwrap_or_else(|_| Credentials::none());
    let command = |kind: &StreamKind| Some(wire::Reproduce { stream: *kind, command: reproduce(app, &record, *kind)? });
    let reproduce = settings.streams().iter().filter_map(command).collect();
    Ok(wire::Setup { reproduce, ..view(app, settings, &credentials) })
}

/// Of one that is not saved yet: `platform`, and as much of `config` as is known.
#[expect(clippy::unused_async, reason = "asked like every other use case")]
pub async fn of_draft(app: &App, caller: &Caller, mut body: Object) -> Result<wire::Setup> {
    caller.org(Scope::SiemWrite)?;
    let registry = &app.parts.registry;
    let platform = required_platform(registry, &mut body);
    let config = body.value("config").unwrap_or_else(|| json!({}));
    let settings = platform.and_then(|platform| match registry.parse_partly(platform, &config) {
        Ok(settings) => Some(settings),
        Err(faults) => {
            body.add(faults);
            None
        }
    });
    body.finish()?;
    Ok(view(app, &settings.ok_or_else(Refusal::internal)?, &Credentials::none()))
}

fn view(app: &App, settings: &Settings, credentials: &Credentials) -> wire::Setup {
    let registry = &app.parts.registry;
    let addresses: Vec<String> = app.parts.transport.policy().addresses().collect();
    let all = registry.prerequisites(settings, credentials, &addresses, |url| via(app, url));
    let text = registry.letter(settings, &all);
    let step = |Prerequisite { title, text, commands }| wire::SetupStep { title, text, commands };
    wire::Setup { steps: all.into_iter().map(step).collect(), text, reproduce: Vec::new() }
}

/// The proxy that a URL is reached through.
fn via(app: &App, url: &str) -> Option<Via> {
    let (proxy, logs_in) = app.parts.transport.policy().via(url)?;
    Some(Via { address: proxy.to_string(), logs_in })
}

/// The command that sends one test event as a stream of the connector does. `None` if the connector cannot be used as it is.
pub(crate) fn reproduce(app: &App, record: &ConnectorRecord, kind: StreamKind) -> Option<String> {
    let credentials = open_credentials(&app.parts.vault, record).ok()?;
    let now = app.now();
    let id = EventId(app.parts.random.uuid_v7(now));
    let event = Arc::new(test_event(record.connector.org, now, id).ok()?);
    app.parts.registry.reproduce(&record.connector, &credentials, kind, &event, now, |url| via(app, url))
}
