//! What journeys share: a running server, orgs with a key of their own, connectors, and the accounts at the end of each journey.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use toktra_siem_fake::datadog::Datadog;
use toktra_siem_fake::splunk::Splunk;
use toktra_siem_fake::{Receiver, Rules};
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::poll::{self, PATIENCE};
use toktra_siem_testkit::server::{ServerProcess, ServerSetup};

/// The credential that every fake of these journeys takes.
pub(crate) const CREDENTIAL: &str = "11111111-2222-3333-4444-555555555555";
/// Between two questions to the API: a key may ask 600 times a minute (interface.md, "HTTP").
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A running server, and the directory that it lives in.
pub(crate) struct Stage {
    pub(crate) server: ServerProcess,
    _setup: ServerSetup,
}

impl Stage {
    /// A server that has nothing but its default org.
    pub(crate) async fn start() -> Self {
        Self::with_settings(&[]).await
    }

    /// The same with these environment variables.
    pub(crate) async fn with_settings(variables: &[(&str, &str)]) -> Self {
        let setup = ServerSetup::new(env!("CARGO_BIN_EXE_toktra-siem-under-test"));
        let setup = variables.iter().fold(setup, |setup, (name, value)| setup.env(name, *value));
        Self { server: setup.start().await, _setup: setup }
    }

    /// The org that the first start made, seen with the bootstrap key.
    pub(crate) async fn default_org(&self) -> Org {
        let client = self.server.client().clone();
        let orgs = items(&client.get("/v1/orgs").await.expect_status(200).json());
        let found =
            orgs.iter().find(|org| org["is_default"] == true).unwrap_or_else(|| panic!("no default org: {orgs:?}"));
        Org { id: text(&found["id"]), client }
    }

    /// A new org.
    pub(crate) async fn org(&self, name: &str) -> Org {
        self.org_of(json!({ "name": name })).await
    }

    /// A new org, made from this body.
    pub(crate) async fn org_of(&self, body: Value) -> Org {
        let platform = self.server.client();
        let org = platform.post("/v1/orgs", &body).await.expect_status(201).json();
        let id = text(&org["id"]);
        let key = json!({ "name": "journey", "scopes": ["admin"] });
        let key = platform.post(&format!("/v1/api-keys?org_id={id}"), &key).await.expect_status(201).json();
        Org { client: platform.with_key(&text(&key["key"])), id }
    }

    /// The end of every journey: all connectors there are, and their accounts, are exactly the expected ones and add up; the log shows
    /// no error; the server stops gently.
    pub(crate) async fn end(self, expected: &[(&Connector, &[(&str, Account)])]) {
        for (connector, streams) in expected {
            for (stream, account) in *streams {
                connector.until_account(stream, account).await;
            }
        }
        self.assert_accounts(expected).await;
        let log = self.server.whole_log();
        assert!(!log.contains("ERROR"), "{log}");
        assert_eq!(self.server.stop().await.code(), Some(0));
    }

    async fn assert_accounts(&self, expected: &[(&Connector, &[(&str, Account)])]) {
        let mut found = Vec::new();
        let orgs = self.server.client().get("/v1/orgs?limit=100").await.expect_status(200).json();
        assert_eq!(orgs["has_more"], false, "this helper reads one page of orgs");
        for org in items(&orgs) {
            let list = format!("/v1/siem/connectors?limit=100&org_id={}", text(&org["id"]));
            for connector in items(&self.server.client().get(&list).await.expect_status(200).json()) {
                found.push((text(&connector["id"]), text(&org["id"])));
            }
        }
        let mut known: Vec<&str> = expected.iter().map(|(connector, _)| connector.id.as_str()).collect();
        let mut ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        known.sort_unstable();
        ids.sort_unstable();
        assert_eq!(ids, known, "every connector is accounted for");
        for (connector, streams) in expected {
            let accounting = connector.accounting().await;
            assert_eq!(accounting["adds_up"], true, "{accounting}");
            let shown: Vec<Value> = streams.iter().map(|(stream, account)| account.shown(stream)).collect();
            assert_eq!(accounting["streams"], json!(shown));
        }
    }
}

/// Where the events of a stream are expected to be; what is not named is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) delivered: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
    pub(crate) filtered: u64,
    pub(crate) pending: u64,
    pub(crate) discarded: u64,
}

impl Account {
    /// Everything has arrived.
    pub(crate) fn delivered(events: u64) -> Self {
        Self { delivered: events, ..Self::default() }
    }

    /// As the API shows it.
    fn shown(&self, stream: &str) -> Value {
        let Self { delivered, rejected, failed, filtered, pending, discarded } = self;
        json!({
            "stream": stream,
            "accepted": delivered + rejected + failed + filtered + pending + discarded,
            "delivered": delivered,
            "rejected": rejected,
            "failed": failed,
            "expired": 0,
            "discarded": discarded,
            "skipped": 0,
            "pending": pending,
            "filtered": filtered,
        })
    }
}

/// A tenant, seen with an admin key of its own.
pub(crate) struct Org {
    pub(crate) id: String,
    pub(crate) client: Client,
}

impl Org {
    /// Makes a connector and switches it on.
    pub(crate) async fn connector(&self, platform: &str, config: Value) -> Connector {
        self.connector_with(platform, config, json!({})).await
    }

    /// As [`Org::connector`], with further members of the request.
    pub(crate) async fn connector_with(&self, platform: &str, config: Value, more: Value) -> Connector {
        let mut body = json!({ "name": platform, "platform": platform, "config": config, "active": true });
        merge(&mut body, more);
        let created = self.client.post("/v1/siem/connectors", &body).await.expect_status(201).json();
        Connector { id: text(&created["id"]), created, client: self.client.clone() }
    }

    /// A connector that is there, as a list shows it.
    pub(crate) fn known(&self, shown: &Value) -> Connector {
        Connector { id: text(&shown["id"]), created: shown.clone(), client: self.client.clone() }
    }

    /// A Splunk connector to this fake.
    pub(crate) async fn splunk(&self, fake: &Splunk) -> Connector {
        self.connector("splunk", splunk_config(fake)).await
    }

    /// A Datadog connector to this fake.
    pub(crate) async fn datadog(&self, fake: &Datadog) -> Connector {
        self.connector("datadog", datadog_config(fake)).await
    }

    /// Posts events in one request; their ids in that order.
    pub(crate) async fn post(&self, events: &[Value]) -> Vec<String> {
        let answer = self.client.post("/v1/events", &json!(events)).await.expect_status(202).json();
        assert_eq!(answer["accepted"], json!(events.len()));
        items_of(&answer["events"]).iter().map(|event| text(&event["event_id"])).collect()
    }

    /// Posts one event; its id.
    pub(crate) async fn post_one(&self, event: Value) -> String {
        self.post(&[event]).await.remove(0)
    }

    /// The exact bytes of an event as it is stored.
    pub(crate) async fn stored(&self, event_id: &str) -> Bytes {
        #[derive(serde::Deserialize)]
        struct View<'a> {
            #[serde(borrow)]
            event: &'a serde_json::value::RawValue,
        }
        let answer = self.client.get(&format!("/v1/events/{event_id}")).await.expect_status(200);
        let view: View<'_> = serde_json::from_slice(&answer.body).expect("an event");
        Bytes::copy_from_slice(view.event.get().as_bytes())
    }
}

/// A connector, and what the API says of it.
pub(crate) struct Connector {
    pub(crate) id: String,
    /// The answer to its creation.
    pub(crate) created: Value,
    client: Client,
}

impl Connector {
    /// One that is there already, as the API shows it.
    pub(crate) fn of(shown: &Value, client: &Client) -> Self {
        Self { id: text(&shown["id"]), created: shown.clone(), client: client.clone() }
    }

    /// `path` below the connector.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/v1/siem/connectors/{}{below}", self.id)
    }

    /// Saves a change.
    pub(crate) async fn patch(&self, body: Value) {
        self.client.patch(&self.path(""), &body).await.expect_status(200);
    }

    /// Its whole accounting.
    pub(crate) async fn accounting(&self) -> Value {
        self.client.get(&self.path("/accounting")).await.expect_status(200).json()
    }

    /// Waits until a stream's account is this one.
    pub(crate) async fn until_account(&self, stream: &str, account: &Account) {
        let expected = account.shown(stream);
        let mut last = Value::Null;
        let reached = asked(async || {
            last = self.accounting().await;
            items_of(&last["streams"]).contains(&expected).then_some(())
        });
        let reached = reached.await;
        assert!(reached.is_some(), "waited in vain for {expected}\nin {last}");
    }

    /// Its deliveries, oldest first, as far as `query` (`stream=logs&trigger=live`) lets them through.
    pub(crate) async fn deliveries(&self, query: &str) -> Vec<Value> {
        let path = self.path(&format!("/deliveries?limit=100&{query}"));
        let page = self.client.get(&path).await.expect_status(200).json();
        assert_eq!(page["has_more"], false, "this helper reads one page of deliveries");
        let mut found = items(&page);
        found.reverse();
        found
    }

    /// Waits until there is exactly one delivery for `query`, and it is settled; with its attempts.
    pub(crate) async fn until_settled(&self, query: &str) -> Value {
        let settled = asked(async || {
            let found = self.deliveries(query).await;
            assert!(found.len() <= 1, "one delivery was expected: {found:?}");
            found.into_iter().find(|delivery| delivery["status"] != "pending")
        });
        let delivery = settled.await.unwrap_or_else(|| panic!("no delivery was settled for {query}"));
        self.delivery(&text(&delivery["id"])).await
    }

    /// One delivery with its attempts and events.
    pub(crate) async fn delivery(&self, id: &str) -> Value {
        self.client.get(&format!("/v1/siem/deliveries/{id}")).await.expect_status(200).json()
    }

    /// The health of one stream.
    pub(crate) async fn health(&self, stream: &str) -> Value {
        let health = self.client.get(&self.path("/health")).await.expect_status(200).json();
        let found = items_of(&health["streams"]).into_iter().find(|shown| shown["stream"] == stream);
        found.unwrap_or_else(|| panic!("no stream {stream} in {health}"))
    }

    /// Waits until a stream's health is in this state.
    pub(crate) async fn until_health(&self, stream: &str, state: &str) {
        let reached = asked(async || (self.health(stream).await["state"] == state).then_some(())).await;
        assert!(reached.is_some(), "{stream} was never {state}");
    }

    /// What became of an event in one of the connector's streams.
    pub(crate) async fn outcome(&self, stream: &str, event_id: &str) -> Value {
        let event = self.client.get(&format!("/v1/events/{event_id}")).await.expect_status(200).json();
        let of_stream = |shown: &Value| shown["connector_id"] == self.id.as_str() && shown["stream"] == stream;
        let found = items_of(&event["outcomes"]).into_iter().find(of_stream);
        found.unwrap_or_else(|| panic!("no outcome for {stream} in {event}"))
    }

    /// Waits until the outcome of an event is this word; with its cause and delivery.
    pub(crate) async fn until_outcome(&self, stream: &str, event_id: &str, outcome: &str) -> Value {
        let mut last = Value::Null;
        let reached = asked(async || {
            last = self.outcome(stream, event_id).await;
            (last["outcome"] == outcome).then_some(())
        });
        let reached = reached.await;
        assert!(reached.is_some(), "waited in vain until {event_id} is {outcome}: {last}");
        last
    }
}

/// Asks until there is an answer, or [`PATIENCE`] has passed.
async fn asked<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let paced = poll::within(PATIENCE, async || {
        let found = look().await;
        if found.is_none() {
            tokio::time::sleep(ASK_AGAIN).await;
        }
        found
    });
    paced.await
}

/// Waits until the fake has accepted `events` in all.
pub(crate) async fn accepted<R: Rules>(fake: &Receiver<R>, events: u64) {
    let enough = tokio::time::timeout(PATIENCE, fake.wait_for_events(events)).await;
    assert!(enough.is_ok(), "{events} events were expected: {:?} {:?}", fake.counts(), fake.violations());
}

/// Waits until `requests` have come to the fake in all, answered or not.
pub(crate) async fn requested<R: Rules>(fake: &Receiver<R>, requests: u64) {
    let enough = tokio::time::timeout(PATIENCE, fake.wait_for_requests(requests)).await;
    assert!(enough.is_ok(), "{requests} requests were expected: {:?}", fake.counts());
}

/// The fake met no breach of its platform's rules, and took in exactly these events, each once.
pub(crate) fn assert_each_once<R: Rules>(fake: &Receiver<R>, ids: &[String]) {
    assert_eq!(fake.violations(), []);
    let expected: BTreeMap<String, u64> = ids.iter().map(|id| (id.clone(), 1)).collect();
    assert_eq!(fake.event_ids(), expected);
}

/// The settings of a Splunk connector to this fake.
pub(crate) fn splunk_config(fake: &Splunk) -> Value {
    json!({ "hec_url": fake.base_url(), "hec_token": CREDENTIAL })
}

/// The settings of a Datadog connector to this fake.
pub(crate) fn datadog_config(fake: &Datadog) -> Value {
    json!({ "url": fake.base_url(), "api_key": CREDENTIAL })
}

/// An event with no more than it needs.
pub(crate) fn event(event_type: &str, severity: &str) -> Value {
    json!({ "event_type": event_type, "severity": severity })
}

/// The same with one more member.
pub(crate) fn with(mut value: Value, name: &str, member: impl Into<Value>) -> Value {
    value[name] = member.into();
    value
}

/// A string of the API's answer.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string was expected: {value}")).to_owned()
}

/// The members of an array of the API's answer.
pub(crate) fn items_of(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| panic!("an array was expected: {value}"))
}

fn items(list: &Value) -> Vec<Value> {
    items_of(&list["items"])
}

fn merge(body: &mut Value, more: Value) {
    let (Value::Object(body), Value::Object(more)) = (body, more) else { panic!("two objects were expected") };
    body.extend(more);
}
