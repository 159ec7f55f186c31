//! From a stored connector to a worker's [`Link`]: its secrets are opened, its destination is built, and the way out is bound to whose
//! connector it is.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Mutex;
use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT, Vault, VaultError};
use toktra_siem_core::connector::{Connector, Credentials, ManagedBy, Settings};
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{OrgId, StreamId, StreamKind};
use toktra_siem_core::signing::SigningKeys;
use toktra_siem_egress::{EndpointOptions, Failure, FailureKind, Transport, Trust};
use toktra_siem_platform::Registry;
use toktra_siem_store::{ConnectorRecord, Store, StoreError};

use crate::link::{Link, LinkError, Links};

/// Only connectors of the environment may send unsigned (docs/signatures.md, "Which secret").
const UNSIGNED: &str = "it signs with SIEM_SIGNING_SECRET, which is not set any more. Set it again, or save the connector with a \
                        signing secret of its own; its events wait until then";

/// The settings are gone: the record was damaged.
const UNREADABLE: &str = "what is stored of its settings cannot be read any more. Save it again with all of its settings, or delete it; its events \
                          wait until then";

/// Makes links of what is stored.
pub struct StoredLinks {
    /// Where connectors are.
    pub store: Arc<dyn Store>,
    /// Opens their secrets.
    pub vault: Arc<Vault>,
    /// Which platforms there are.
    pub registry: Registry,
    /// The way out.
    pub transport: Arc<Transport>,
    /// `SIEM_SIGNING_SECRET` and the next one.
    pub signing: SigningKeys,
    /// The org whose connectors sign with them where they have no secret of their own.
    pub default_org: OrgId,
}

#[async_trait]
impl Links for StoredLinks {
    async fn link(&self, org: OrgId, stream: StreamId) -> Result<Link, LinkError> {
        let record = match self.store.connector(org, stream.connector).await {
            Err(StoreError::NotFound) => return Err(LinkError::Gone),
            other => other?,
        };
        let timeline = match self.store.timeline(stream.connector).await {
            Err(StoreError::Damaged(why)) => return Err(LinkError::Unusable(why)),
            other => other?,
        };
        self.assemble(record, timeline, stream.kind)
    }
}

impl StoredLinks {
    /// The link of one stream of a connector, whether it is stored like this or not.
    pub fn assemble(
        &self,
        record: ConnectorRecord,
        timeline: FilterTimeline,
        kind: StreamKind,
    ) -> Result<Link, LinkError> {
        let unusable = |error: &dyn std::fmt::Display| LinkError::Unusable(error.to_string());
        if record.connector.settings.is_unreadable() {
            return Err(LinkError::Unusable(UNREADABLE.to_owned()));
        }
        let credentials = open_credentials(&self.vault, &record).map_err(|e| unusable(&e))?;
        let keys = self.keys(&record).map_err(|e| unusable(&e))?;
        if keys.current.is_none() && record.connector.managed_by == ManagedBy::Api {
            return Err(LinkError::Unusable(UNSIGNED.to_owned()));
        }
        let connector = record.connector;
        let settings = &connector.settings;
        let destination = self.registry.build(settings, &credentials, connector.org, connector.id, kind);
        let endpoint = self
            .transport
            .endpoint(options(settings, &credentials, trust(&connector)))
            .map_err(|failure| unusable(&failure.cause().message))?;
        Ok(Link {
            destination: destination.map_err(|e| unusable(&e))?.into(),
            sender: Arc::new(endpoint),
            redactor: self.registry.redactor(settings, &credentials),
            ready: Mutex::default(),
            timeline,
            keys,
            connector,
        })
    }

    /// What the connector signs with: its own secrets, or the environment's where those apply (docs/signatures.md, "Which secret").
    fn keys(&self, record: &ConnectorRecord) -> Result<SigningKeys, VaultError> {
        let own = |field| open(&self.vault, record, field);
        let (current, next) = (own(SIGNING_SECRET)?, own(SIGNING_SECRET_NEXT)?);
        if current.is_some() {
            return Ok(SigningKeys { current, next });
        }
        let connector = &record.connector;
        let shares = connector.managed_by == ManagedBy::Environment || connector.org == self.default_org;
        Ok(if shares { self.signing.clone() } else { SigningKeys::default() })
    }
}

/// Whose connector it is, for the egress policy.
pub fn trust(connector: &Connector) -> Trust {
    Trust { operator_owned: connector.managed_by == ManagedBy::Environment }
}

/// What settings and credentials say of connecting.
pub fn options<'c>(settings: &'c Settings, credentials: &'c Credentials, trust: Trust) -> EndpointOptions<'c> {
    EndpointOptions {
        tls_ca: settings.text("tls_ca"),
        tls_fingerprint: settings.text("tls_fingerprint"),
        tls_server_name: settings.text("tls_server_name"),
        tls_client_cert: settings.text("tls_client_cert"),
        tls_client_key: credentials.get("tls_client_key"),
        trust,
    }
}

/// The setting that keeps an endpoint from being made with these.
pub fn at_fault(settings: &Settings, failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::BadClient(_) if settings.text("tls_client_cert").is_none() => "tls_client_cert",
        FailureKind::BadClient(_) => "tls_client_key",
        FailureKind::Tls(_) => "tls_server_name",
        _ if settings.text("tls_fingerprint").is_some() => "tls_fingerprint",
        _ => "tls_ca",
    }
}

/// The credentials of a connector.
pub fn open_credentials(vault: &Vault, record: &ConnectorRecord) -> Result<Credentials, VaultError> {
    let connector = &record.connector;
    let of_platform = |field: &str| field != SIGNING_SECRET && field != SIGNING_SECRET_NEXT;
    record
        .secrets
        .iter()
        .filter(|sealed| of_platform(&sealed.field))
        .map(|sealed| Ok((sealed.field.clone(), vault.open(connector.org, connector.id, sealed)?)))
        .collect()
}

fn open(vault: &Vault, record: &ConnectorRecord, field: &str) -> Result<Option<SecretString>, VaultError> {
    let sealed = record.secrets.iter().find(|sealed| sealed.field == field);
    sealed.map(|sealed| vault.open(record.connector.org, record.connector.id, sealed)).transpose()
}
