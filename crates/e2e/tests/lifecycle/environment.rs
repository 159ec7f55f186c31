//! Connectors of the environment, all three platforms at once: there from the start, read-only, with ids and cursors that survive
//! restarts and the absence of their variables.

use serde_json::{Value, json};
use toktra_siem_fake::datadog::{Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{Credentials, Elasticsearch, ElasticsearchOptions, Flavour};
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_fake::{Recorded, verify};
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::poll;
use toktra_siem_testkit::server::ServerSetup;

use crate::support::{TOKEN, accounts, all_add_up, connectors, path, post_some, setup};

const DATADOG_KEY: &str = "0123456789abcdef0123456789abcdef";
const ELASTICSEARCH_KEY: &str = "aWRlbnRpdHk6c2VjcmV0LW9mLXRoZS1rZXk=";
const SECRET: &str = "a-signing-secret-of-some-length";
const NEXT_SECRET: &str = "the-signing-secret-after-that-one";

/// What describes the three connectors.
const VARIABLES: [&str; 6] = [
    "SIEM_SPLUNK_HEC_URL",
    "SIEM_SPLUNK_HEC_TOKEN",
    "SIEM_DATADOG_URL",
    "SIEM_DATADOG_API_KEY",
    "SIEM_ELASTICSEARCH_URL",
    "SIEM_ELASTICSEARCH_API_KEY",
];

struct Platforms {
    splunk: Splunk,
    datadog: Datadog,
    elasticsearch: Elasticsearch,
}

impl Platforms {
    async fn start() -> Self {
        let mut elasticsearch = ElasticsearchOptions::new(Flavour::Elasticsearch);
        elasticsearch.credentials = Credentials::ApiKey(ELASTICSEARCH_KEY.to_owned());
        Self {
            splunk: Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap(),
            datadog: Datadog::start(DatadogOptions::new(DATADOG_KEY)).await.unwrap(),
            elasticsearch: Elasticsearch::start(elasticsearch).await.unwrap(),
        }
    }

    fn described(&self, setup: ServerSetup) -> ServerSetup {
        let (splunk, datadog, elasticsearch) =
            (self.splunk.base_url(), self.datadog.base_url(), self.elasticsearch.base_url());
        let values = [&splunk, TOKEN, &datadog, DATADOG_KEY, &elasticsearch, ELASTICSEARCH_KEY];
        VARIABLES.into_iter().zip(values).fold(setup, |setup, (name, value)| setup.env(name, value))
    }

    /// Waits until all three have these events, and asserts that they have no other and none twice.
    async fn have(&self, ids: &[String]) {
        let wanted: Vec<&String> = {
            let mut ids: Vec<&String> = ids.iter().collect();
            ids.sort();
            ids
        };
        self.splunk.wait_until(|log| log.event_ids.len() >= ids.len()).await;
        self.datadog.wait_until(|log| log.event_ids.len() >= ids.len()).await;
        self.elasticsearch.wait_until(|log| log.event_ids.len() >= ids.len()).await;
        for arrived in [self.splunk.event_ids(), self.datadog.event_ids(), self.elasticsearch.event_ids()] {
            assert_eq!(arrived.keys().collect::<Vec<_>>(), wanted);
            assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
        }
    }

    /// The requests that brought events, of every platform.
    fn requests(&self) -> Vec<Recorded> {
        let brings =
            |request: &Recorded| ["/services/collector/event", "/api/v2/logs", "/_bulk"].contains(&request.path());
        let all = [self.splunk.requests(), self.datadog.requests(), self.elasticsearch.requests()];
        all.into_iter().flatten().filter(brings).collect()
    }

    fn unharmed(&self) {
        let violations = [self.splunk.violations(), self.datadog.violations(), self.elasticsearch.violations()];
        assert!(violations.iter().all(Vec::is_empty), "{violations:?}");
    }
}

fn undescribed(setup: ServerSetup) -> ServerSetup {
    VARIABLES.into_iter().fold(setup, ServerSetup::without_env)
}

/// Id, platform and whether it is on, of every connector.
async fn shown(client: &Client) -> Vec<(Value, Value, Value)> {
    let shown = |connector: &Value| {
        assert_eq!(connector["managed_by"], "environment", "{connector}");
        (connector["id"].clone(), connector["platform"].clone(), connector["active"].clone())
    };
    let mut all: Vec<_> = connectors(client).await.iter().map(shown).collect();
    all.sort_by_key(|(_, platform, _)| platform.to_string());
    all
}

#[tokio::test]
async fn they_are_there_from_the_start_and_read_only() {
    let platforms = Platforms::start().await;
    let setup = platforms.described(setup()).env("SIEM_SIGNING_SECRET", SECRET).without_env("TOKTRA_SIEM_EGRESS_ALLOW");
    let server = setup.start().await;
    let client = server.client();
    let ids = post_some(client, 3).await;
    platforms.have(&ids).await;
    let shown = shown(client).await;
    let active: Vec<_> =
        shown.iter().map(|(_, platform, active)| (platform.as_str().unwrap(), active == true)).collect();
    assert_eq!(active, [("datadog", true), ("elasticsearch", true), ("splunk", true)]);
    for (id, _, _) in &shown {
        let path = path(id.as_str().unwrap());
        for refused in [
            client.patch(&path, &json!({ "active": false })).await,
            client.patch(&path, &json!({ "name": "mine" })).await,
            client.delete(&path).await,
            client.post(&format!("{path}/signing-secret/rotate"), &json!({})).await,
        ] {
            let error = refused.expect_status(409).json()["error"].clone();
            assert_eq!(error["code"], "conflict");
            assert!(error["message"].as_str().unwrap().contains("environment"), "{error}");
        }
    }
    for request in platforms.requests() {
        verify::signature(&request, SECRET).unwrap();
        verify::webhook(&request, SECRET, None).unwrap();
        assert!(!request.headers.contains_key(verify::SIGNATURE_NEXT));
    }
    let (log, list) = (server.whole_log(), client.get("/v1/siem/connectors").await.text());
    for secret in [TOKEN, DATADOG_KEY, ELASTICSEARCH_KEY, SECRET] {
        assert!(!log.contains(secret) && !list.contains(secret), "a secret was shown");
    }
    all_add_up(client).await;
    server.stop().await;
    platforms.unharmed();
}

#[tokio::test]
async fn ids_and_cursors_survive_restarts_and_the_absence_of_the_variables() {
    let platforms = Platforms::start().await;
    let mut setup = platforms.described(setup()).env("SIEM_SIGNING_SECRET", SECRET);
    let server = setup.start().await;
    let first = shown(server.client()).await;
    let mut ids = post_some(server.client(), 2).await;
    platforms.have(&ids).await;
    server.stop().await;

    let server = setup.start().await;
    assert_eq!(shown(server.client()).await, first);
    ids.extend(post_some(server.client(), 2).await);
    platforms.have(&ids).await;
    server.stop().await;

    setup = undescribed(setup);
    let server = setup.start().await;
    let off = shown(server.client()).await;
    for ((id, _, active), (before, ..)) in off.iter().zip(&first) {
        assert_eq!((id, active), (before, &json!(false)));
    }
    ids.extend(post_some(server.client(), 3).await);
    for (id, platform, _) in &off {
        let streams = accounts(server.client(), id.as_str().unwrap()).await;
        let kept = streams.iter().all(|stream| stream["pending"].as_i64() >= Some(3) && stream["accepted"] == 7);
        assert!(kept, "{platform}: {streams:?}");
    }
    assert!(server.whole_log().contains("the environment does not describe this connector any more"));
    server.kill().await;

    setup = platforms.described(setup);
    let server = setup.start().await;
    assert_eq!(shown(server.client()).await, first);
    platforms.have(&ids).await;
    all_add_up(server.client()).await;
    server.stop().await;
    platforms.unharmed();
}

#[tokio::test]
async fn without_a_signing_secret_they_send_unsigned_and_with_the_next_one_both_sign() {
    let platforms = Platforms::start().await;
    let mut setup = platforms.described(setup());
    let server = setup.start().await;
    let mut ids = post_some(server.client(), 1).await;
    platforms.have(&ids).await;
    for request in platforms.requests() {
        let signed = ["x-toktra-signature", "x-toktra-signature-next", "webhook-signature"];
        assert!(signed.iter().all(|name| !request.headers.contains_key(*name)), "{:?}", request.headers);
    }
    let told = async || (server.whole_log().matches("UNSIGNED").count() == 3).then_some(());
    poll::until("the log says so for each of them", told).await;
    for connector in connectors(server.client()).await {
        assert_eq!(connector["signing_secret"]["set"], false, "{connector}");
    }
    server.stop().await;
    let unsigned = platforms.requests().len();

    setup = setup.env("SIEM_SIGNING_SECRET", SECRET).env("SIEM_SIGNING_SECRET_NEXT", NEXT_SECRET);
    let server = setup.start().await;
    ids.extend(post_some(server.client(), 1).await);
    platforms.have(&ids).await;
    let requests = platforms.requests();
    let signed: Vec<_> = requests.iter().filter(|request| request.header(verify::SIGNATURE).is_some()).collect();
    assert_eq!(signed.len(), requests.len() - unsigned);
    for request in signed {
        verify::signature(request, SECRET).unwrap();
        verify::signature_next(request, NEXT_SECRET).unwrap();
        verify::webhook(request, SECRET, None).unwrap();
        verify::webhook(request, NEXT_SECRET, None).unwrap();
    }
    all_add_up(server.client()).await;
    server.stop().await;

    // A next secret alone makes no rotation.
    let setup = setup.without_env("SIEM_SIGNING_SECRET");
    let mut refused = setup.spawn();
    assert_eq!(refused.exited().await.code(), Some(2));
    let log = refused.whole_log();
    assert!(log.contains("SIEM_SIGNING_SECRET") && !log.contains(NEXT_SECRET), "{log}");
    platforms.unharmed();
}
