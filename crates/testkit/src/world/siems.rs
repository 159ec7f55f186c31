//! Fakes of the SIEMs, which all take the same credential, and what tests ask of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::timeout;
use toktra_siem_fake::datadog::{Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{Credentials, Elasticsearch, ElasticsearchOptions, Flavour};
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_fake::webhook::{Login, Webhook, WebhookOptions};
use toktra_siem_fake::{Receiver, Rules};

use super::{Connector, Org, World};
use crate::poll::PATIENCE;
use crate::server::ServerSetup;

/// What every fake takes as its token, API key or, for Elasticsearch, encoded key.
pub const CREDENTIAL: &str = "11111111-2222-3333-4444-555555555555";

/// A fake that a connector can lead to.
pub trait Siem {
    /// The id of its platform.
    fn platform(&self) -> &'static str;

    /// The settings that lead to it.
    fn config(&self) -> Value;

    /// The settings of the environment that lead to it.
    fn variables(&self) -> Vec<(&'static str, String)>;
}

impl Siem for Splunk {
    fn platform(&self) -> &'static str {
        "splunk"
    }

    fn config(&self) -> Value {
        json!({ "hec_url": self.base_url(), "hec_token": CREDENTIAL, "dialect": self.dialect().word() })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("SIEM_SPLUNK_HEC_URL", self.base_url()),
            ("SIEM_SPLUNK_HEC_TOKEN", CREDENTIAL.to_owned()),
            ("SIEM_SPLUNK_DIALECT", self.dialect().word().to_owned()),
        ]
    }
}

impl Siem for Datadog {
    fn platform(&self) -> &'static str {
        "datadog"
    }

    fn config(&self) -> Value {
        json!({ "url": self.base_url(), "api_key": CREDENTIAL })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("SIEM_DATADOG_URL", self.base_url()), ("SIEM_DATADOG_API_KEY", CREDENTIAL.to_owned())]
    }
}

impl Siem for Elasticsearch {
    fn platform(&self) -> &'static str {
        "elasticsearch"
    }

    fn config(&self) -> Value {
        json!({ "url": self.base_url(), "api_key": CREDENTIAL })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("SIEM_ELASTICSEARCH_URL", self.base_url()), ("SIEM_ELASTICSEARCH_API_KEY", CREDENTIAL.to_owned())]
    }
}

impl Siem for Webhook {
    fn platform(&self) -> &'static str {
        "webhook"
    }

    fn config(&self) -> Value {
        json!({ "url": self.url(), "token": CREDENTIAL })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("SIEM_WEBHOOK_URL", self.url()), ("SIEM_WEBHOOK_TOKEN", CREDENTIAL.to_owned())]
    }
}

/// A setup whose environment describes a connector to each of these.
pub fn described(setup: ServerSetup, siems: &[&dyn Siem]) -> ServerSetup {
    siems.iter().flat_map(|siem| siem.variables()).fold(setup, |setup, (name, value)| setup.env(name, value))
}

impl World {
    /// A server, an org of its own, a Splunk, and a connector from the one to the other.
    pub async fn with_splunk() -> (Self, Org, Splunk, Connector) {
        let (world, splunk) = (Self::start().await, splunk().await);
        let org = world.org("Acme").await;
        let connector = org.connect(&splunk).await;
        (world, org, splunk, connector)
    }

    /// From the next start on the environment describes a connector to each of these.
    pub fn describe(&mut self, siems: &[&dyn Siem]) {
        siems.iter().flat_map(|siem| siem.variables()).for_each(|(name, value)| self.set(name, value));
    }

    /// From the next start on the environment describes none of these.
    pub fn undescribe(&mut self, siems: &[&dyn Siem]) {
        siems.iter().flat_map(|siem| siem.variables()).for_each(|(name, _)| self.unset(name));
    }
}

/// A Splunk.
pub async fn splunk() -> Splunk {
    splunk_with(|_| {}).await
}

/// A Splunk that is set up otherwise.
pub async fn splunk_with(change: impl FnOnce(&mut SplunkOptions)) -> Splunk {
    let mut options = SplunkOptions::new(CREDENTIAL);
    change(&mut options);
    Splunk::start(options).await.unwrap()
}

/// A Datadog.
pub async fn datadog() -> Datadog {
    Datadog::start(DatadogOptions::new(CREDENTIAL)).await.unwrap()
}

/// An Elasticsearch.
pub async fn elasticsearch() -> Elasticsearch {
    elasticsearch_with(Flavour::Elasticsearch, |_| {}).await
}

/// An Elasticsearch that is set up otherwise.
pub async fn elasticsearch_with(flavour: Flavour, change: impl FnOnce(&mut ElasticsearchOptions)) -> Elasticsearch {
    let credentials = Credentials::ApiKey(CREDENTIAL.to_owned());
    let mut options = ElasticsearchOptions { credentials, ..ElasticsearchOptions::new(flavour) };
    change(&mut options);
    Elasticsearch::start(options).await.unwrap()
}

/// A webhook receiver that takes one event a request and the credential as a bearer token.
pub async fn webhook() -> Webhook {
    webhook_with(|_| {}).await
}

/// A webhook receiver that is set up otherwise.
pub async fn webhook_with(change: impl FnOnce(&mut WebhookOptions)) -> Webhook {
    let mut options = WebhookOptions { login: Login::Bearer(CREDENTIAL.to_owned()), ..WebhookOptions::default() };
    change(&mut options);
    Webhook::start(options).await.unwrap()
}

/// One fake of each platform.
#[expect(missing_docs, reason = "each is named after its platform")]
pub struct Siems {
    pub splunk: Splunk,
    pub datadog: Datadog,
    pub elasticsearch: Elasticsearch,
}

impl Siems {
    /// All of them.
    pub async fn start() -> Self {
        Self { splunk: splunk().await, datadog: datadog().await, elasticsearch: elasticsearch().await }
    }

    /// To describe them in the environment.
    pub fn all(&self) -> [&dyn Siem; 3] {
        [&self.splunk, &self.datadog, &self.elasticsearch]
    }

    /// Waits until all three have these events; they have no other, and none twice.
    pub async fn have(&self, ids: &[String]) {
        each_once(&self.splunk, ids).await;
        each_once(&self.datadog, ids).await;
        each_once(&self.elasticsearch, ids).await;
    }

    /// None of them met a breach of its platform's rules.
    #[track_caller]
    pub fn assert_unharmed(&self) {
        let violations = [self.splunk.violations(), self.datadog.violations(), self.elasticsearch.violations()];
        assert!(violations.iter().all(Vec::is_empty), "{violations:?}");
    }
}

/// Waits until the fake has accepted `events` in all.
pub async fn accepted<R: Rules>(fake: &Receiver<R>, events: u64) {
    let enough = timeout(PATIENCE, fake.wait_for_events(events)).await;
    assert!(enough.is_ok(), "{events} events were expected: {:?} {:?}", fake.counts(), fake.violations());
}

/// Waits until `requests` have come to the fake in all, answered or not.
pub async fn requested<R: Rules>(fake: &Receiver<R>, requests: u64) {
    let enough = timeout(PATIENCE, fake.wait_for_requests(requests)).await;
    assert!(enough.is_ok(), "{requests} requests were expected: {:?}", fake.counts());
}

/// Waits until the fake has taken in these events: exactly these, each once.
async fn each_once<R: Rules>(fake: &Receiver<R>, ids: &[String]) {
    let there = timeout(PATIENCE, fake.wait_until(|log| log.event_ids.len() >= ids.len())).await;
    assert!(there.is_ok(), "{} events were expected: {:?}", ids.len(), fake.counts());
    assert_each_once(fake, ids);
}

/// The fake met no breach of its platform's rules, and took in exactly these events, each once.
#[track_caller]
pub fn assert_each_once<R: Rules>(fake: &Receiver<R>, ids: &[String]) {
    assert_eq!(fake.violations(), []);
    let expected: BTreeMap<String, u64> = ids.iter().map(|id| (id.clone(), 1)).collect();
    assert_eq!(fake.event_ids(), expected);
}
