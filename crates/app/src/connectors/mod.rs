//! `/v1/siem/connectors`: making, showing, changing and removing connectors.

use serde_json::json;
use toktra_siem_base::vault::SIGNING_SECRET;
use toktra_siem_core::connector::{Connector, Credentials, ManagedBy, Settings};
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong};
use toktra_siem_core::ids::{ConnectorId, OrgId, Revision};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::links::{at_fault, open_credentials, options};
use toktra_siem_egress::Trust;
use toktra_siem_platform::view::SecretView;
use toktra_siem_store::{AuditQuery, Change, ConnectorRecord, ConnectorSave, KeptKind, Saved, Scope, StoreError};
use toktra_siem_wire as wire;

use crate::query::Position;
use crate::{App, Caller, Object, Query, Refusal, Result, secrets as kept};

pub mod compare;
mod draft;
pub(crate) mod filter;
mod patch;
mod precondition;
pub(crate) mod secrets;
pub mod signing;
pub mod test_delivery;
mod view;

use draft::Draft;
pub(crate) use draft::required_platform;
pub use filter::parse as parse_filter;
pub use precondition::{IfMatch, tag};
use secrets::{Secrets, Signing};

/// What the API calls this in its messages.
pub(crate) const CONNECTOR: &str = "connector";
/// What the audit log calls that one was deleted.
pub(crate) const DELETED: &str = "connector.delete";
/// Saves that are tried where somebody else saves at the same moment.
const TRIES: usize = 4;

fn failed(error: StoreError) -> Refusal {
    Refusal::store(CONNECTOR, error)
}

/// A connector of the org, as stored.
pub(crate) async fn load(app: &App, org: OrgId, id: ConnectorId) -> Result<ConnectorRecord> {
    app.parts.store.connector(org, id).await.map_err(failed)
}

fn name_taken() -> Refusal {
    let mut refusal = Refusal::conflict("The org has a connector of this name already. Choose another name.");
    refusal.problem.fields =
        vec![FieldFault::of("name", Wrong::new(FaultCode::Conflict, "another connector has this name"))];
    refusal
}

/// Who says what a connector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The API.
    Api,
    /// File or environment, which describe it.
    Environment,
    /// File or environment did, and do not any more: it is off, and what waits for it is kept until somebody decides.
    Nobody,
}

impl Owner {
    fn of(app: &App, connector: &Connector) -> Self {
        match connector.managed_by {
            ManagedBy::Api => Self::Api,
            ManagedBy::Environment if app.parts.described.contains(&connector.id) => Self::Environment,
            ManagedBy::Environment => Self::Nobody,
        }
    }

    /// A connector of the environment is changed there, not here.
    fn may_change(self) -> Result<()> {
        match self {
            Self::Api => Ok(()),
            Self::Environment => Err(read_only()),
            Self::Nobody => Err(Refusal::conflict(
                "This connector was made by the environment, which does not describe it any more: it is off, and what waits for it is \
                 kept. Delete it, or set its SIEM_… variables (or its section of toktra-siem.toml) again and restart the service.",
            )),
        }
    }

    /// What the environment describes would be there again after the next start.
    fn may_remove(self) -> Result<()> {
        match self {
            Self::Api | Self::Nobody => Ok(()),
            Self::Environment => Err(read_only()),
        }
    }
}

fn read_only() -> Refusal {
    Refusal::conflict(
        "This connector is managed by the environment and read-only here. Change or remove its SIEM_… variables (or its section of \
         toktra-siem.toml) and restart the service.",
    )
}

/// The org's connectors.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::Connector>> {
    let paging = query.paging();
    query.finish()?;
    let all = app.parts.store.connectors(caller.org(Scope::SiemRead)?).await.map_err(failed)?;
    let position = |record: &ConnectorRecord| Position(record.connector.created_at, record.connector.id.0);
    paging.page(all, position, |record| Ok(view::connector(app, record)))
}

/// One connector.
pub async fn get(app: &App, caller: &Caller, id: ConnectorId) -> Result<wire::Connector> {
    let record = load(app, caller.org(Scope::SiemRead)?, id).await?;
    Ok(view::connector(app, &record))
}

/// Makes a connector.
pub async fn create(app: &App, caller: &Caller, object: Object) -> Result<wire::Connector> {
    let org = caller.org(Scope::SiemWrite)?;
    let draft = draft::read(&app.parts.registry, object)?;
    check_targets(app, &draft.settings, &draft.credentials, Trust::default()).await?;
    check_tls(app, &draft.settings, &draft.credentials)?;
    let now = app.parts.clock.now();
    let (record, signing) = assemble(app, org, draft, now);
    let mut view = view::connector(app, &record);
    let id = record.connector.id;
    let audit = caller.audit(now, "connector.create", id, json!({ "after": view }));
    let saved = match app.parts.store.create_connector(org, Change { value: record, audit }).await {
        Err(StoreError::Conflict(_)) => return Err(name_taken()),
        outcome => outcome.map_err(failed)?,
    };
    app.parts.dispatch.connector_changed(org, id);
    if let Some(signing) = signing.filter(|signing| signing.generated) {
        kept::keep(app, caller, KeptKind::SigningSecret, id, &signing.secret).await;
        view.signing_secret = SecretView::once(&signing.secret);
    }
    // What the store decides at a save.
    let Connector { revision, created_at, updated_at, .. } = saved.connector;
    Ok(wire::Connector { revision, created_at, updated_at, ..view })
}

/// The connector that a draft asks for, and its signing secret where it gets one of its own. Nothing is stored.
fn assemble(app: &App, org: OrgId, draft: Draft, now: Timestamp) -> (ConnectorRecord, Option<Signing>) {
    let connector = Connector {
        id: ConnectorId(app.parts.random.uuid_v7(now)),
        org,
        name: draft.name,
        settings: draft.settings,
        filter: draft.filter,
        active: draft.active,
        activated: draft.active,
        managed_by: ManagedBy::Api,
        revision: Revision(1),
        created_at: now,
        updated_at: now,
    };
    let signing = secrets::signing_of_new(app, org, draft.signing_secret);
    let mut secrets = Secrets::default();
    secrets.set_credentials(app, &connector, &draft.credentials);
    if let Some(signing) = &signing {
        secrets.set(app, &connector, SIGNING_SECRET, &signing.secret);
    }
    (ConnectorRecord { connector, secrets: secrets.into_sealed(), rotation: None }, signing)
}

/// Changes a connector: members that are given replace, absent ones stay.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: ConnectorId,
    condition: &IfMatch,
    object: Object,
) -> Result<wire::ConnectorChanged> {
    let org = caller.org(Scope::SiemWrite)?;
    let patch = patch::read(&app.parts.registry, object)?;
    let saved = save(app, caller, org, id, condition, |record| patch.apply(app, record)).await?;
    let record = load(app, org, id).await?;
    let connector = view::connector(app, &record);
    Ok(wire::ConnectorChanged { connector, backlog: saved.backlog, skipped: saved.skipped })
}

/// A change that is ready to be saved.
struct Ready {
    action: &'static str,
    value: ConnectorSave,
}

impl Ready {
    /// The connector as it would be stored, laid over `record`.
    fn over(&self, record: &ConnectorRecord) -> ConnectorRecord {
        ConnectorRecord {
            connector: self.value.connector.clone(),
            secrets: self.value.secrets.clone().unwrap_or_else(|| record.secrets.clone()),
            rotation: self.value.rotation.unwrap_or(record.rotation),
        }
    }
}

/// Reads the connector, lets `change` say what it is to become, checks where it leads, and saves. Where somebody else saved in between
/// and the request does not insist on a revision, it is done again on what is there then.
async fn save(
    app: &App,
    caller: &Caller,
    org: OrgId,
    id: ConnectorId,
    condition: &IfMatch,
    change: impl Fn(&ConnectorRecord) -> Result<Ready>,
) -> Result<Saved> {
    let mut tries = 0;
    loop {
        let record = load(app, org, id).await?;
        Owner::of(app, &record.connector).may_change()?;
        let revision = record.connector.revision;
        condition.check(revision)?;
        let ready = change(&record)?;
        let after = ready.over(&record);
        let Ready { action, mut value } = ready;
        if value.connector.settings != record.connector.settings {
            check_targets(app, &value.connector.settings, &Credentials::none(), Trust::default()).await?;
        }
        check_change(app, &record, &after)?;
        value.expected = Some(revision);
        let mut detail = json!({ "before": view::connector(app, &record), "after": view::connector(app, &after) });
        secrets::told(app, &record, &after, &mut detail);
        let audit = caller.audit(app.parts.clock.now(), action, id, detail);
        match app.parts.store.save_connector(org, Change { value, audit }).await {
            Ok(saved) => {
                app.parts.dispatch.connector_changed(org, id);
                return Ok(saved);
            }
            Err(StoreError::Conflict(_)) => {
                tries += 1;
                let moved = load(app, org, id).await?.connector.revision != revision;
                if !moved {
                    return Err(name_taken());
                }
                if tries == TRIES {
                    return Err(Refusal::conflict("Others keep saving this connector at the same moment. Try again."));
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Removes a connector. Answers how many undelivered events were given up with it.
pub async fn delete(
    app: &App,
    caller: &Caller,
    id: ConnectorId,
    condition: &IfMatch,
) -> Result<wire::ConnectorRemoved> {
    let org = caller.org(Scope::SiemWrite)?;
    let record = load(app, org, id).await?;
    Owner::of(app, &record.connector).may_remove()?;
    condition.check(record.connector.revision)?;
    let detail = json!({ "before": view::connector(app, &record) });
    let audit = caller.audit(app.parts.clock.now(), DELETED, id, detail);
    let expected = condition.insists().then_some(record.connector.revision);
    let discarded = match app.parts.store.delete_connector(org, id, expected, audit).await {
        Err(StoreError::Conflict(_)) if expected.is_some() => return Err(Refusal::stale()),
        outcome => outcome.map_err(failed)?,
    };
    app.parts.dispatch.connector_removed(org, id).await;
    Ok(wire::ConnectorRemoved { discarded })
}

/// What a connector was called when it was deleted, and when that was, as far as the audit log still says so.
pub(crate) async fn former(app: &App, org: OrgId, id: ConnectorId) -> Result<Option<(String, Timestamp)>, StoreError> {
    let query = AuditQuery {
        action: Some(DELETED.to_owned()),
        object: Some(id.to_string()),
        limit: 1,
        ..AuditQuery::default()
    };
    let page = app.parts.store.audit(org, query).await?;
    let deleted = page.items.first().map(|(_, entry)| entry);
    Ok(deleted.and_then(|entry| Some((entry.detail["before"]["name"].as_str()?.to_owned(), entry.at))))
}

/// Refuses certificates and keys that could not be used: it makes what would be used, and sends nothing.
fn check_tls(app: &App, settings: &Settings, credentials: &Credentials) -> Result<()> {
    let Err(failure) = app.parts.transport.endpoint(options(settings, credentials, Trust::default())) else {
        return Ok(());
    };
    let field = at_fault(settings, &failure);
    Err(Refusal::invalid(vec![FieldFault::new(format!("/config/{field}"), failure.cause().message)]))
}

/// The same of a change, if it changes anything of these: what was stored before it could be checked keeps nobody from changing the rest. Secrets
/// that do not open are told of elsewhere.
fn check_change(app: &App, before: &ConnectorRecord, after: &ConnectorRecord) -> Result<()> {
    let (old, new) = (&before.connector.settings, &after.connector.settings);
    let key = |record| secrets::sealed(record, "tls_client_key").cloned();
    let names = ["tls_ca", "tls_fingerprint", "tls_server_name", "tls_client_cert"];
    if names.iter().all(|name| old.text(name) == new.text(name)) && key(before) == key(after) {
        return Ok(());
    }
    match open_credentials(&app.parts.vault, after) {
        Ok(credentials) => check_tls(app, new, &credentials),
        Err(_) => Ok(()),
    }
}

/// Refuses settings that lead where the server does not connect to (server-side request forgery). A name that does not resolve passes; it is
/// judged when it is dialled.
async fn check_targets(app: &App, settings: &Settings, credentials: &Credentials, trust: Trust) -> Result<()> {
    for url in app.parts.registry.targets(settings, credentials) {
        app.parts.transport.check(url.as_str(), trust).await?;
    }
    Ok(())
}
