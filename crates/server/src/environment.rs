//! At the start, the connectors of environment and file are brought together with what is stored: made where they are new, saved where
//! something about them changed, switched off where they are gone (their backlog stays, and is there when they come back).

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use toktra_siem_app::brief::brief;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_base::vault::Vault;
use toktra_siem_config::{Config, ConfigError, EnvironmentConnector, Fault, Place};
use toktra_siem_core::connector::{Connector, Credentials, ManagedBy, Settings};
use toktra_siem_core::ids::{ConnectorId, OrgId, PlatformId, Revision};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::links::{at_fault, open_credentials, options};
use toktra_siem_egress::{EgressPolicy, Transport, Trust};
use toktra_siem_platform::Registry;
use toktra_siem_store::{
    Actor, AuditEntry, Change, ConnectorRecord, ConnectorSave, OrgRecord, Resume, SealedSecret, Store, StoreError,
};

/// What the first org is called.
const DEFAULT_ORG: &str = "Default";

/// What became of the environment's connector of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// It is new.
    Created,
    /// Something about it changed, or it came back.
    Updated,
    /// It is as it was.
    Unchanged,
    /// It is not described any more.
    SwitchedOff,
}

/// What reconciling works with.
pub struct Environs {
    /// Where connectors are stored.
    pub store: Arc<dyn Store>,
    /// Seals their credentials.
    pub vault: Arc<Vault>,
    /// For what is recorded.
    pub clock: Arc<dyn Clock>,
    /// For the id of the default org.
    pub random: Arc<dyn Random>,
    /// Which platforms there are.
    pub registry: Registry,
}

impl Environs {
    /// The default org; made on the very first start, which the flag tells.
    pub async fn default_org(&self) -> Result<(OrgId, bool), StoreError> {
        if let Some(org) = self.store.orgs().await?.into_iter().find(|org| org.is_default) {
            return Ok((org.id, false));
        }
        let now = self.clock.now();
        let id = OrgId(self.random.uuid_v7(now));
        let record = OrgRecord { id, name: DEFAULT_ORG.to_owned(), is_default: true, created_at: now };
        let audit = entry(now, "org.create", &id, json!({ "name": DEFAULT_ORG }));
        self.store.create_org(Change { value: record, audit }).await?;
        Ok((id, true))
    }

    /// Brings `described` together with what is stored in `org`. `signed`: whether there is a secret for them to sign with.
    pub async fn reconcile(
        &self,
        org: OrgId,
        described: &[EnvironmentConnector],
        signed: bool,
    ) -> Result<Vec<(PlatformId, Reconciled)>, StoreError> {
        let stored = self.store.connectors(org).await?;
        let mut outcomes = Vec::new();
        for platform in self.registry.ids() {
            let id = connector_id(org, platform);
            let record = stored.iter().find(|record| record.connector.id == id);
            let wanted = described.iter().find(|wanted| wanted.settings.platform == platform);
            let outcome = match (wanted, record) {
                (None, None) => continue,
                (Some(wanted), None) => self.create(org, id, wanted, &stored).await?,
                (Some(wanted), Some(record)) => self.update(wanted, record).await?,
                (None, Some(record)) => self.switch_off(record).await?,
            };
            self.tell(platform, outcome, wanted);
            outcomes.push((platform, outcome));
        }
        if !signed && !described.is_empty() {
            self.tell_unsigned(org).await?;
        }
        Ok(outcomes)
    }

    async fn tell_unsigned(&self, org: OrgId) -> Result<(), StoreError> {
        let all = self.store.connectors(org).await?.into_iter().map(|record| record.connector);
        for connector in all.filter(|one| one.active && one.managed_by == ManagedBy::Environment) {
            let Connector { id, name, .. } = connector;
            tracing::warn!(
                connector = %id,
                connector_name = name,
                "this connector has no signing secret and sends its requests unsigned: receivers cannot verify where they come \
                 from. Set SIEM_SIGNING_SECRET to a long random text, restart the service, and give the receivers the same text"
            );
        }
        Ok(())
    }

    async fn create(
        &self,
        org: OrgId,
        id: ConnectorId,
        wanted: &EnvironmentConnector,
        stored: &[ConnectorRecord],
    ) -> Result<Reconciled, StoreError> {
        let now = self.clock.now();
        let connector = Connector {
            id,
            org,
            name: free_name(&self.registry.label(wanted.settings.platform), stored),
            settings: wanted.settings.clone(),
            filter: wanted.filter.clone(),
            active: true,
            activated: false,
            managed_by: ManagedBy::Environment,
            revision: Revision(1),
            created_at: now,
            updated_at: now,
        };
        let audit = entry(now, "connector.create", &id, json!({ "after": view(&connector) }));
        let secrets = self.seal(&connector, &wanted.credentials);
        let record = ConnectorRecord { connector, secrets, rotation: None };
        self.store.create_connector(org, Change { value: record, audit }).await?;
        Ok(Reconciled::Created)
    }

    async fn update(&self, wanted: &EnvironmentConnector, record: &ConnectorRecord) -> Result<Reconciled, StoreError> {
        let present = &record.connector;
        let stored = open_credentials(&self.vault, record);
        let opens = stored.is_ok();
        let stored = stored.unwrap_or_else(|_| Credentials::none());
        let changed = differing(&stored, &wanted.credentials);
        let connector = Connector {
            // It keeps the streams that it was made with.
            settings: Settings { streams: present.settings.streams.clone(), ..wanted.settings.clone() },
            filter: wanted.filter.clone(),
            active: true,
            managed_by: ManagedBy::Environment,
            ..present.clone()
        };
        let secrets = (!opens || !changed.is_empty()).then(|| self.seal(&connector, &wanted.credentials));
        if secrets.is_none() && connector == *present {
            return Ok(Reconciled::Unchanged);
        }
        self.save(present, connector, secrets, &changed).await?;
        Ok(Reconciled::Updated)
    }

    async fn switch_off(&self, record: &ConnectorRecord) -> Result<Reconciled, StoreError> {
        let present = &record.connector;
        if !present.active {
            return Ok(Reconciled::Unchanged);
        }
        self.save(present, Connector { active: false, ..present.clone() }, None, &[]).await?;
        Ok(Reconciled::SwitchedOff)
    }

    async fn save(
        &self,
        before: &Connector,
        connector: Connector,
        secrets: Option<Vec<SealedSecret>>,
        changed: &[&str],
    ) -> Result<(), StoreError> {
        let mut detail =
            json!({ "before": view(before), "after": view(&connector), "credential_changed": secrets.is_some() });
        if !changed.is_empty() {
            detail["secrets_changed"] = json!(changed);
        }
        let audit = entry(self.clock.now(), "connector.update", &connector.id, detail);
        let org = connector.org;
        let save = ConnectorSave { connector, expected: None, secrets, rotation: None, resume: Resume::Backlog };
        self.store.save_connector(org, Change { value: save, audit }).await.map(drop)
    }

    fn seal(&self, connector: &Connector, credentials: &Credentials) -> Vec<SealedSecret> {
        let seal = |(field, secret): (&str, _)| self.vault.seal(connector.org, connector.id, field, secret);
        credentials.parts().map(seal).collect()
    }

    fn tell(&self, platform: PlatformId, outcome: Reconciled, wanted: Option<&EnvironmentConnector>) {
        let platform = platform.as_str();
        match outcome {
            Reconciled::Created => tracing::info!(platform, "a connector of the environment was made"),
            Reconciled::Updated => tracing::info!(platform, "a connector of the environment has changed and was saved"),
            Reconciled::SwitchedOff => tracing::warn!(
                platform,
                "the variables of this connector are gone: it was switched off, and what waits for it is kept. Set its \
                 variables again, or delete it through the API"
            ),
            Reconciled::Unchanged => tracing::debug!(platform, "a connector of the environment is as it was"),
        }
        let Some(wanted) = wanted else { return };
        if self.registry.plain_http(&wanted.settings) {
            tracing::warn!(
                platform,
                "this connector sends over plain http: credential and events travel unencrypted. Use https"
            );
        }
    }
}

/// Refuses connectors that cannot be used because of their certificates and keys: it makes what would be used, and sends nothing.
pub fn check(config: Config) -> Result<Config, ConfigError> {
    if config.connectors.is_empty() {
        return Ok(config);
    }
    let (transport, mut faults) = (Transport::new(EgressPolicy::default()), Vec::new());
    for EnvironmentConnector { settings, credentials, .. } in &config.connectors {
        let options = options(settings, credentials, Trust { operator_owned: true });
        if let Err(failure) = transport.endpoint(options) {
            let (platform, name) = (settings.platform, at_fault(settings, &failure));
            let variable = config.registry.field(platform, name).map(|field| field.variable(platform));
            let place = Place::Missing { variable: variable.unwrap_or_default(), key: format!("{platform}.{name}") };
            faults.push(Fault::new(place, failure.cause().message));
        }
    }
    if faults.is_empty() { Ok(config) } else { Err(ConfigError(faults)) }
}

/// The stable id of the environment's connector: the same org and platform give the same one at every start, so that its cursor and its
/// history go on. Shaped as a version 8 UUID (RFC 9562, "custom"), which is what a UUID from SHA-256 is.
pub fn connector_id(org: OrgId, platform: PlatformId) -> ConnectorId {
    let digest = Sha256::new_with_prefix(b"toktra-siem environment connector\0")
        .chain_update(org.0.as_bytes())
        .chain_update(platform.as_str())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    ConnectorId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// `Splunk (environment)`, with a number where somebody has taken that name.
fn free_name(platform: &str, stored: &[ConnectorRecord]) -> String {
    let plain = format!("{platform} (environment)");
    let numbered = (2..).map(|n| format!("{platform} (environment {n})"));
    let taken = |name: &String| stored.iter().any(|record| record.connector.name == *name);
    std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(plain)
}

/// The names of the secrets that one has and the other has not, or has as another.
fn differing<'c>(a: &'c Credentials, b: &'c Credentials) -> Vec<&'c str> {
    let mut names: Vec<&str> = a.parts().chain(b.parts()).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let value = |all: &Credentials, name| all.get(name).map(|secret| secret.expose_secret().to_owned());
    names.retain(|name| value(a, name) != value(b, name));
    names
}

/// A line of the audit log for what file and environment did.
pub(crate) fn entry(at: Timestamp, action: &str, object: &impl ToString, detail: serde_json::Value) -> AuditEntry {
    AuditEntry {
        at,
        actor: Actor::environment(),
        action: action.to_owned(),
        object: object.to_string(),
        detail: brief(detail),
    }
}

/// What the audit log keeps of a connector; its settings hold no secrets.
fn view(connector: &Connector) -> serde_json::Value {
    json!({
        "name": connector.name,
        "config": connector.settings,
        "filter": connector.filter,
        "active": connector.active,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use toktra_siem_core::event::Severity;
    use toktra_siem_store::Memory;

    use toktra_siem_platform::datadog::Datadog;
    use toktra_siem_platform::splunk::Splunk;

    use super::*;
    use toktra_siem_base::clock::ManualClock;
    use toktra_siem_base::random::SeededRandom;
    use toktra_siem_config::Environment;

    const SPLUNK: [(&str, &str); 2] =
        [("SIEM_SPLUNK_HEC_URL", "https://splunk.company.com:8088"), ("SIEM_SPLUNK_HEC_TOKEN", "your-hec-token")];

    fn environs() -> Environs {
        let clock = Arc::new(ManualClock::new(Timestamp(1_736_937_000_000)));
        let told = Arc::clone(&clock);
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
        let key = secrecy::SecretBox::new(Box::new([7; 32]));
        let vault = Arc::new(Vault::new(&key, &[], Arc::clone(&random)));
        let store = Arc::new(Memory::new(Arc::new(move || told.now())));
        Environs { store, vault, clock, random, registry: Registry::standard() }
    }

    fn described(variables: &[(&str, &str)]) -> Vec<EnvironmentConnector> {
        let values = Environment::of(variables.iter().copied());
        Config::load(None, &values).unwrap().connectors
    }

    async fn one(environs: &Environs, org: OrgId) -> ConnectorRecord {
        environs.store.connectors(org).await.unwrap().remove(0)
    }

    async fn reconcile(environs: &Environs, org: OrgId, variables: &[(&str, &str)]) -> Vec<Reconciled> {
        let outcomes = environs.reconcile(org, &described(variables), true).await.unwrap();
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    #[tokio::test]
    async fn the_default_org_is_made_once() {
        let environs = environs();
        let (org, made) = environs.default_org().await.unwrap();
        assert!(made);
        assert_eq!(environs.default_org().await.unwrap(), (org, false));
    }

    #[tokio::test]
    async fn a_connector_is_made_once_and_saved_only_where_something_about_it_changed() {
        let environs = environs();
        let (org, _) = environs.default_org().await.unwrap();
        assert_eq!(reconcile(&environs, org, &SPLUNK).await, [Reconciled::Created]);
        let first = one(&environs, org).await;
        assert_eq!((first.connector.name.as_str(), first.connector.active), ("Splunk (environment)", true));
        assert_eq!(first.connector.managed_by, ManagedBy::Environment);
        assert_eq!(first.connector.id, connector_id(org, Splunk::ID));
        assert_eq!(reconcile(&environs, org, &SPLUNK).await, [Reconciled::Unchanged]);
        assert_eq!(one(&environs, org).await, first);

        let [url, _] = SPLUNK;
        let token = ("SIEM_SPLUNK_HEC_TOKEN", "another-token");
        assert_eq!(reconcile(&environs, org, &[url, token]).await, [Reconciled::Updated]);
        let second = one(&environs, org).await;
        assert_eq!(second.connector.settings, first.connector.settings);
        let opened = open_credentials(&environs.vault, &second).unwrap();
        let Some(stored) = opened.get("hec_token") else { panic!("a token") };
        assert_eq!(stored.expose_secret(), "another-token");
        let audit = toktra_siem_store::AuditQuery { limit: 1, ..Default::default() };
        let (_, line) = environs.store.audit(org, audit).await.unwrap().items.remove(0);
        assert_eq!(line.detail["secrets_changed"], json!(["hec_token"]));

        let more = [url, token, ("SIEM_SPLUNK_INDEX", "audit"), ("SIEM_SPLUNK_FILTER_SEVERITY", "critical")];
        assert_eq!(reconcile(&environs, org, &more).await, [Reconciled::Updated]);
        let third = one(&environs, org).await;
        let splunk = &third.connector.settings;
        assert_eq!(splunk.text("index"), Some("audit"));
        assert_eq!(third.connector.filter.severity, [Severity::Critical]);
        assert_eq!(third.secrets, second.secrets);
    }

    #[tokio::test]
    async fn a_connector_that_is_not_described_any_more_is_switched_off_and_comes_back_as_the_same_one() {
        let environs = environs();
        let (org, _) = environs.default_org().await.unwrap();
        reconcile(&environs, org, &SPLUNK).await;
        let before = one(&environs, org).await.connector;
        assert_eq!(reconcile(&environs, org, &[]).await, [Reconciled::SwitchedOff]);
        assert!(!one(&environs, org).await.connector.active);
        assert_eq!(reconcile(&environs, org, &[]).await, [Reconciled::Unchanged]);
        assert_eq!(reconcile(&environs, org, &SPLUNK).await, [Reconciled::Updated]);
        let after = one(&environs, org).await.connector;
        assert_eq!((after.id, after.active), (before.id, true));
    }

    #[tokio::test]
    async fn credentials_that_do_not_open_any_more_are_sealed_anew_and_a_taken_name_is_passed_over() {
        let mut environs = environs();
        let (org, _) = environs.default_org().await.unwrap();
        reconcile(&environs, org, &SPLUNK).await;
        let key = secrecy::SecretBox::new(Box::new([8; 32]));
        environs.vault = Arc::new(Vault::new(&key, &[], Arc::clone(&environs.random)));
        assert_eq!(reconcile(&environs, org, &SPLUNK).await, [Reconciled::Updated]);
        assert!(open_credentials(&environs.vault, &one(&environs, org).await).is_ok());

        let taken = environs.store.connectors(org).await.unwrap();
        assert_eq!(free_name("Splunk", &taken), "Splunk (environment 2)");
        assert_eq!(free_name("Datadog", &taken), "Datadog (environment)");
    }

    #[test]
    fn ids_differ_by_org_and_platform_and_never_change() {
        let org = |n| OrgId(uuid::Uuid::from_u128(n));
        let id = connector_id(org(1), Splunk::ID);
        assert_eq!(id.to_string(), connector_id(org(1), Splunk::ID).to_string());
        assert_ne!(id, connector_id(org(2), Splunk::ID));
        assert_ne!(id, connector_id(org(1), Datadog::ID));
        insta::assert_snapshot!(id, @"b63e37bc-640f-8647-bd31-874c464a87eb");
    }
}
