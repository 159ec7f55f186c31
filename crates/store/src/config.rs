//! Configuration: orgs, API keys, connectors with their revisions and sealed secrets, and who changed what.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toktra_siem_core::connector::{Connector, Resume};
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, OrgId, Revision};
use toktra_siem_core::people::{ActorKind, Scope};
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use crate::error::Result;
use crate::org::Page;

/// How often the use of a key or session is noted: a line written for every request would cost more than the request.
pub const USE_NOTED_EVERY: Duration = Duration::from_mins(1);

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrgRecord {
    /// Its id.
    pub id: OrgId,
    /// For people.
    pub name: String,
    /// Whether it is the one that `serve` made on first start.
    pub is_default: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An API key; the key itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKeyRecord {
    /// Identifies the record.
    pub id: ApiKeyId,
    /// `None` for a platform key.
    pub org: Option<OrgId>,
    /// For people.
    pub name: String,
    /// The first characters of the key, for recognising it.
    pub prefix: String,
    /// SHA-256 of the key (which has at least 192 random bits).
    #[serde(skip)]
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Who made it, as the audit log names them; `None` where that was not recorded yet.
    pub created_by: Option<String>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A secret as it is stored: only the server's vault can open it, and only for the same org, connector and field.
///
/// The field is part of the ciphertext's associated data, with one exception: the vault seals both signing secrets, the current and the
/// next, with the name [`Self::SIGNING`]. So the end of a rotation ([`ConfigStore::end_rotations`]) is a plain rename in the store,
/// which holds no key, and the secret still opens under its new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which secret of the connector: `hec_token`, `api_key`, `password`, `signing_secret`, `signing_secret_next`.
    pub field: String,
    /// Which encryption key sealed it.
    pub key_id: u32,
    /// Random, unique.
    pub nonce: Vec<u8>,
    /// With the authentication tag.
    pub ciphertext: Vec<u8>,
}

impl SealedSecret {
    /// The field of the signing secret that receivers know.
    pub const SIGNING: &'static str = "signing_secret";
    /// The field of the signing secret that takes over at the end of a rotation.
    pub const SIGNING_NEXT: &'static str = "signing_secret_next";
}

/// A rotation of the signing secret under way: both secrets sign until then; then the next one takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The end of the grace period.
    pub until: Timestamp,
}

/// A connector with what is stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorRecord {
    /// The connector.
    pub connector: Connector,
    /// Its secrets, sealed; in no particular order.
    pub secrets: Vec<SealedSecret>,
    /// Where its signing secret is being rotated.
    pub rotation: Option<Rotation>,
}

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Of what kind.
    pub kind: ActorKind,
    /// The name of the key, the e-mail address of the person, or which part of the service.
    pub name: String,
    /// The id of key or person. Names may be given twice; this is not.
    pub id: Option<Uuid>,
}

impl Actor {
    /// File and environment.
    pub fn environment() -> Self {
        Self { kind: ActorKind::Environment, name: "environment".to_owned(), id: None }
    }
}

/// A part of the service, by its name.
impl From<&str> for Actor {
    fn from(name: &str) -> Self {
        Self { kind: ActorKind::System, name: name.to_owned(), id: None }
    }
}

/// A line of the audit log. Written in the transaction of the change it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What was done: `connector.create`, `api_key.revoke` …
    pub action: String,
    /// To which object: its id.
    pub object: String,
    /// Before and after, secrets masked.
    pub detail: serde_json::Value,
}

impl AuditEntry {
    /// The line for a rotation that ended by itself. The stores write it, since they end it.
    pub fn rotation_ended(at: Timestamp, connector: ConnectorId, until: Timestamp) -> Self {
        let detail = json!({ "before": { "rotation": { "until": until } }, "after": { "rotation": null } });
        let (actor, action) = (Actor::from("rotation"), "connector.signing_secret.activate".to_owned());
        Self { at, actor, action, object: connector.to_string(), detail }
    }

    /// The line for secrets that were sealed with another key.
    pub fn resealed(at: Timestamp, connector: ConnectorId) -> Self {
        let (actor, action) = (Actor::from("encryption key"), "connector.reseal".to_owned());
        Self { at, actor, action, object: connector.to_string(), detail: json!({}) }
    }
}

/// Which lines of the audit log to list. Empty means all; pages go by number, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// By whom: the actor's name or id.
    pub actor: Option<String>,
    /// Whose action begins with this.
    pub action: Option<String>,
    /// About this object.
    pub object: Option<String>,
    /// At or after this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub to: Option<Timestamp>,
    /// Only those older than this one (the last of the page before).
    pub before: Option<u64>,
    /// At most this many.
    pub limit: usize,
}

/// A change of configuration by somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    /// What is to be stored.
    pub value: T,
    /// The line of the audit log.
    pub audit: AuditEntry,
}

/// What a save did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// As stored, with its new revision.
    pub connector: Connector,
    /// Switched on again with `resume: "backlog"`: events that wait behind the cursor or in backlog ranges, before the filter, at most over
    /// its streams. Else 0.
    pub backlog: u64,
    /// Switched on from now: events that were counted as skipped, at most over its streams. Else 0.
    pub skipped: u64,
}

/// What happens once in the life of a store, and not again when what it made is renamed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// The admin that file or environment describes was made, or somebody had their address already.
    EnvironmentAdmin,
    /// The first API key was handed out, or was not wanted.
    FirstKey,
}

impl Milestone {
    /// Its name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EnvironmentAdmin => "environment admin",
            Self::FirstKey => "first key",
        }
    }
}

/// What is the system's, or several orgs'. A use case that calls it asks first whether who calls may.
#[async_trait]
pub trait ConfigStore: Send + Sync {
    /// When the milestone was reached; `None` where it was not yet.
    async fn milestone(&self, milestone: Milestone) -> Result<Option<Timestamp>>;

    /// Records that the milestone is reached. Nothing happens where it was reached before.
    async fn reach(&self, milestone: Milestone, at: Timestamp) -> Result<()>;

    /// Makes an org. `Conflict` where the id exists, or where it is to be the default and there is one.
    async fn create_org(&self, change: Change<OrgRecord>) -> Result<()>;

    /// Renames an org. `NotFound` where it does not exist, as everywhere here.
    async fn rename_org(&self, org: OrgId, change: Change<String>) -> Result<()>;

    /// Removes an org with everything in it: keys, people and their sessions are gone at once. `Conflict` for the default org. How many
    /// undelivered events its connectors gave up, each counted as by [`crate::OrgStore::delete_connector`].
    async fn delete_org(&self, org: OrgId, audit: AuditEntry) -> Result<u64>;

    /// Every org, by creation.
    async fn orgs(&self) -> Result<Vec<OrgRecord>>;

    /// One org.
    async fn org(&self, org: OrgId) -> Result<OrgRecord>;

    /// The key with this hash, revoked ones left out. An expired one is found: refusing it is the caller's part.
    async fn key_by_hash(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRecord>>;

    /// Makes a key: of an org, or a platform key. `Conflict` where id or hash exist, `NotFound` where the org does not.
    async fn create_key(&self, change: Change<ApiKeyRecord>) -> Result<()>;

    /// The platform keys.
    async fn platform_keys(&self) -> Result<Vec<ApiKeyRecord>>;

    /// When the next key ends, of whichever org or of none: the first end after `now`.
    async fn next_key_end(&self, now: Timestamp) -> Result<Option<Timestamp>>;

    /// Revokes a platform key.
    async fn revoke_platform_key(&self, id: ApiKeyId, audit: AuditEntry) -> Result<()>;

    /// Notes that a key was used, unless that was noted within [`USE_NOTED_EVERY`]. Nothing happens where it is gone.
    async fn touch_key(&self, id: ApiKeyId, at: Timestamp) -> Result<()>;

    /// Writes a line that speaks of no change in the store: of an org, or of the whole service.
    async fn log(&self, org: Option<OrgId>, entry: AuditEntry) -> Result<()>;

    /// The audit log of what concerns no org: platform keys, and orgs that were removed.
    async fn platform_audit(&self, query: AuditQuery) -> Result<Page<(u64, AuditEntry)>>;

    /// Every connector of every org, by creation.
    async fn all_connectors(&self) -> Result<Vec<ConnectorRecord>>;

    /// Every version of a connector's filter: one per save.
    async fn timeline(&self, connector: ConnectorId) -> Result<FilterTimeline>;

    /// Ends rotations whose grace period is over (`until` is `now` or before): the next signing secret is renamed to the current one,
    /// which goes. No revision is made; each leaves its line in the audit log. The connectors that changed, by creation.
    async fn end_rotations(&self, now: Timestamp) -> Result<Vec<(OrgId, ConnectorId)>>;

    /// Replaces the sealed secrets of a connector without making a revision (after a change of the encryption key); leaves its line in
    /// the audit log.
    async fn reseal(&self, connector: ConnectorId, secrets: Vec<SealedSecret>) -> Result<()>;
}

/// The parts of a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorSave {
    /// The connector as it is to be; `revision`, `created_at` and `updated_at` are given by the store.
    pub connector: Connector,
    /// Only where this is its present revision (`If-Match`).
    pub expected: Option<Revision>,
    /// All of its secrets, or `None` to keep them.
    pub secrets: Option<Vec<SealedSecret>>,
    /// A rotation that begins, or `None` to keep what is.
    pub rotation: Option<Option<Rotation>>,
    /// Where it is being switched on.
    pub resume: Resume,
}
