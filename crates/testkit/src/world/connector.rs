//! A connector, and what the API says of it.

use std::fmt;

use serde_json::{Value, json};

use crate::accounts::PLACES;
use crate::client::Client;
use crate::json::Json;

/// A connector that was made through the API.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its id.
    pub id: String,
    /// As it was shown when it was made or found.
    pub created: Value,
    client: Client,
}

/// Where the events of a stream are expected to be; what is not named is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The SIEM has them.
    pub delivered: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Parked.
    pub failed: u64,
    /// The filter passed them by.
    pub filtered: u64,
    /// On their way, or waiting.
    pub pending: u64,
    /// Given up by a person.
    pub discarded: u64,
    /// Damaged in the store before they were delivered.
    pub damaged: u64,
}

impl Account {
    /// Everything has arrived.
    pub fn delivered(events: u64) -> Self {
        Self { delivered: events, ..Self::default() }
    }

    /// As the API shows it.
    fn shown(&self, stream: &str) -> Value {
        let Self { delivered, rejected, failed, filtered, pending, discarded, damaged } = self;
        json!({
            "stream": stream, "accepted": delivered + rejected + failed + filtered + pending + discarded + damaged,
            "delivered": delivered, "rejected": rejected, "failed": failed, "expired": 0, "damaged": damaged, "discarded": discarded,
            "skipped": 0, "pending": pending, "filtered": filtered,
        })
    }
}

impl fmt::Display for Connector {
    /// Its id.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.id)
    }
}

impl Connector {
    /// One that is there, as the API shows it to `client`.
    pub fn of(shown: &Value, client: &Client) -> Self {
        Self { id: shown.id(), created: shown.clone(), client: client.clone() }
    }

    /// `below` the connector's path.
    pub fn path(&self, below: &str) -> String {
        format!("/v1/siem/connectors/{}{below}", self.id)
    }

    /// Saves a change; the answer.
    pub async fn patch(&self, body: Value) -> Value {
        self.client.change(&self.path(""), &body).await
    }

    /// Tests it, with a patch laid over it where there is one; the report.
    pub async fn test(&self, patch: Value) -> Value {
        self.client.call(&self.path("/test"), &patch).await
    }

    /// Asks for a job (`replay`, `redeliver-failed`, `discard`).
    pub async fn job(&self, kind: &str, body: Value) -> Value {
        self.client.begin(&self.path(&format!("/{kind}")), &body).await
    }

    /// The accounts of its streams, which add up.
    pub async fn accounts(&self) -> Vec<Value> {
        let answer = self.client.read(&self.path("/accounting")).await;
        assert_eq!(answer["adds_up"], true, "{answer}");
        let streams = answer["streams"].list();
        for stream in &streams {
            assert_eq!(
                PLACES.iter().map(|place| stream[place].number()).sum::<u64>(),
                stream["accepted"].number(),
                "{stream}"
            );
        }
        streams
    }

    /// Waits until its accounts are exactly these.
    pub async fn until_accounts(&self, streams: &[(&str, Account)]) {
        let expected: Vec<Value> = streams.iter().map(|(stream, account)| account.shown(stream)).collect();
        self.until_streams(&json!(expected).to_string(), |streams| streams == expected).await;
    }

    /// Waits until a stream's account is exactly this one.
    pub async fn until_account(&self, stream: &str, account: &Account) {
        let expected = account.shown(stream);
        self.until_streams(&expected.to_string(), |streams| streams.contains(&expected)).await;
    }

    /// Waits until its first stream has so many events in each of these places.
    pub async fn accounted(&self, wanted: &[(&str, u64)]) {
        let there = |stream: &Value| wanted.iter().all(|(place, count)| stream[place] == *count);
        self.until_streams(&format!("{wanted:?}"), |streams| there(&streams[0])).await;
    }

    /// Waits until nothing of it is pending or parked.
    pub async fn arrived(&self) {
        let none = |stream: &Value| stream["pending"] == 0 && stream["failed"] == 0;
        self.until_streams("nothing waits", |streams| streams.iter().all(none)).await;
    }

    async fn until_streams(&self, what: &str, there: impl Fn(&[Value]) -> bool) {
        let what = format!("the accounts of {} are {what}", self.created["name"]);
        let look = |shown: &Value| there(&shown["streams"].list()).then_some(());
        self.client.until(&what, &self.path("/accounting"), look).await;
        self.accounts().await;
    }

    /// Its deliveries, oldest first, as far as `query` (`stream=logs&trigger=live`) lets them through.
    pub async fn deliveries(&self, query: &str) -> Vec<Value> {
        let mut found = self.client.all(&self.path(&format!("/deliveries?limit=100&{query}"))).await;
        found.reverse();
        found
    }

    /// As [`Self::deliveries`], each with its attempts and events.
    pub async fn history(&self) -> Vec<Value> {
        let mut history = Vec::new();
        for delivery in self.deliveries("").await {
            history.push(self.delivery(&delivery.id()).await);
        }
        history
    }

    /// One delivery with its attempts and events.
    pub async fn delivery(&self, id: &str) -> Value {
        self.client.read(&format!("/v1/siem/deliveries/{id}")).await
    }

    /// Waits until there is exactly one delivery for `query`, and it is settled; with its attempts.
    pub async fn until_settled(&self, query: &str) -> Value {
        let path = self.path(&format!("/deliveries?limit=100&{query}"));
        let look = |found: &Value| {
            let found = found["items"].list();
            assert!(found.len() <= 1, "one delivery was expected: {found:?}");
            found.iter().find(|delivery| delivery["status"] != "pending").map(Json::id)
        };
        let id = self.client.until(&format!("a delivery is settled for {query}"), &path, look).await;
        self.delivery(&id).await
    }

    /// How it stands.
    pub async fn stands(&self) -> Value {
        self.client.read(&self.path("/health")).await
    }

    /// Waits until it stands so; its health then.
    pub async fn until_stands(&self, state: &str) -> Value {
        let what = format!("{} is {state}", self.created["name"]);
        self.client
            .until(&what, &self.path("/health"), |health| (health["state"] == state).then(|| health.clone()))
            .await
    }

    /// The health of one stream.
    pub async fn health(&self, stream: &str) -> Value {
        let health = self.stands().await;
        of_stream(&health, stream).unwrap_or_else(|| panic!("no stream {stream} in {health}"))
    }

    /// Waits until a stream's health is in this state.
    pub async fn until_health(&self, stream: &str, state: &str) {
        let look = |health: &Value| (of_stream(health, stream)?["state"] == state).then_some(());
        self.client.until(&format!("{stream} is {state}"), &self.path("/health"), look).await;
    }

    /// What became of an event in one of the connector's streams.
    pub async fn outcome(&self, stream: &str, event_id: &str) -> Value {
        let event = self.client.read(&format!("/v1/events/{event_id}")).await;
        self.outcome_in(&event, stream).unwrap_or_else(|| panic!("no outcome for {stream} in {event}"))
    }

    /// Waits until the outcome of an event is this word; with its cause and delivery.
    pub async fn until_outcome(&self, stream: &str, event_id: &str, outcome: &str) -> Value {
        let look = |event: &Value| self.outcome_in(event, stream).filter(|found| found["outcome"] == outcome);
        self.client.until(&format!("{event_id} is {outcome}"), &format!("/v1/events/{event_id}"), look).await
    }

    fn outcome_in(&self, event: &Value, stream: &str) -> Option<Value> {
        let ours = |shown: &Value| shown["connector_id"] == self.id.as_str() && shown["stream"] == stream;
        event["outcomes"].list().into_iter().find(ours)
    }
}

fn of_stream(health: &Value, stream: &str) -> Option<Value> {
    health["streams"].list().into_iter().find(|shown| shown["stream"] == stream)
}
