//! The key that opens a server nobody has a key for yet, until it is handed out.

use std::io;
use std::path::Path;

use secrecy::SecretString;
use serde_json::json;
use toktra_siem_config::Config;
use toktra_siem_core::ids::ApiKeyId;
use toktra_siem_identity::api_keys;
use toktra_siem_store::{Actor, ApiKeyRecord, AuditEntry, Change, Milestone};

use super::data::read_private;
use super::{Base, StartError, explained};

/// The file of the data directory that it is written to if nobody looks at a terminal.
pub const FIRST_KEY_FILE: &str = "first-api-key";
/// Whom the audit log names for what is made at a first start.
pub(super) const FIRST_START: &str = "first start";

/// The key, which is nowhere else.
pub(super) struct FirstKey {
    pub(super) id: ApiKeyId,
    pub(super) key: SecretString,
}

impl Base {
    /// Makes the first key, once in the life of the data directory, and only where no other one is configured.
    pub(super) async fn first_key(&self, config: &Config) -> Result<Option<FirstKey>, StartError> {
        let now = self.clock.now();
        if self.store.milestone(Milestone::FirstKey).await?.is_some() {
            return Ok(None);
        }
        if config.api_key.is_some() || self.is_handed_out(&config.data_dir.join(FIRST_KEY_FILE)).await? {
            self.store.reach(Milestone::FirstKey, now).await?;
            return Ok(None);
        }
        let (org, name) = (Some(self.default_org), "first key".to_owned());
        let (key, record) = api_keys::make(&*self.random, now, org, name, api_keys::ORG_SCOPES.to_vec());
        let detail = json!({ "after": { "name": record.name, "prefix": record.prefix, "scopes": record.scopes } });
        let actor = Actor::from(FIRST_START);
        let record = ApiKeyRecord { created_by: Some(actor.name.clone()), ..record };
        let id = record.id;
        let (action, object) = ("api_key.create".to_owned(), id.to_string());
        let audit = AuditEntry { at: now, actor, action, object, detail };
        self.store.create_key(Change { value: record, audit }).await?;
        Ok(Some(FirstKey { id, key }))
    }

    /// Whether an earlier start was interrupted once its key was in `file`. Any other file is left for a person to look at.
    async fn is_handed_out(&self, file: &Path) -> Result<bool, StartError> {
        let key = match read_private(file) {
            Ok(key) => key,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                return Ok(false);
            }
            Err(error) => return Err(StartError::DataDir(explained(file, &error))),
        };
        Ok(self.store.key_by_hash(api_keys::hash(key.trim())).await?.is_some())
    }
}
