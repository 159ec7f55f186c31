//! A small company that is at work: people, four connectors in the states that connectors have, and events of which each came to another end.
//! Arranged by the API, so that a test begins where it is about something.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use toktra_siem_fake::Behaviour;
use toktra_siem_fake::datadog::{Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{
    Credentials, Elasticsearch, ElasticsearchOptions, Endpoint as ElasticsearchEndpoint, Fault, Flavour, ItemFault,
    Items,
};
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::browser::Page;
use toktra_siem_testkit::poll;
use toktra_siem_testkit::server::{ServerProcess, ServerSetup};

use crate::support::server;

/// Who sets everything up.
pub(crate) const ADMIN: &str = "ada@company.example";
/// Who only looks.
pub(crate) const VIEWER: &str = "vic@company.example";
/// Everybody's.
pub(crate) const PASSWORD: &str = "canary horse battery staple";
/// What every fake of a SIEM takes as token, API key or, for Elasticsearch, encoded key.
pub(crate) const CREDENTIAL: &str = "11111111-2222-3333-4444-555555555555";
/// Between two questions to the API: a key may ask 600 times a minute.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A server with people who can log in, and nothing else.
pub(crate) struct Office {
    pub(crate) server: ServerProcess,
    setup: ServerSetup,
}

impl Office {
    /// With an admin and a viewer.
    pub(crate) async fn start() -> Self {
        let setup = server().env("TOKTRA_SIEM_ADMIN_EMAIL", ADMIN).env("TOKTRA_SIEM_ADMIN_PASSWORD", PASSWORD);
        let server = setup.start().await;
        let office = Self { server, setup };
        office
            .made("/v1/users", &json!({ "email": VIEWER, "name": "Vic Jones", "role": "viewer", "password": PASSWORD }))
            .await;
        // As a company has it that works with this, and not as the environment makes it.
        let org = items(&office.get("/v1/orgs").await["items"]).remove(0);
        let users = items(&office.get("/v1/users").await["items"]);
        let admin = users.iter().find(|user| user["email"] == ADMIN).map(id);
        let admin = admin.unwrap_or_else(|| panic!("no admin in {users:?}"));
        for (path, name) in [("orgs", id(&org), "Northwind"), ("users", admin, "Ada Lovelace")]
            .map(|(of, id, name)| (format!("/v1/{of}/{id}"), name))
        {
            office.server.client().patch(&path, &json!({ "name": name })).await.expect_status(200);
        }
        office
    }

    /// Stops the server, does something to its data directory, and starts it again.
    pub(crate) async fn while_away(self, work: impl AsyncFnOnce(&Path)) -> Self {
        let Self { server, setup } = self;
        assert_eq!(server.stop().await.code(), Some(0));
        work(&setup.data_dir()).await;
        Self { server: setup.start().await, setup }
    }

    /// The address of a page.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.base())
    }

    /// Opens a page.
    pub(crate) async fn open(&self, page: &Page, path: &str) {
        page.goto(&self.at(path)).await;
    }

    /// Logs the admin in, as they do it themselves.
    pub(crate) async fn log_in(&self, page: &Page) {
        self.log_in_as(page, ADMIN).await;
    }

    /// Logs in whoever has this address.
    pub(crate) async fn log_in_as(&self, page: &Page, email: &str) {
        self.open(page, "/login").await;
        page.fill("#email", email).await;
        page.fill("#password", PASSWORD).await;
        page.click("form .primary").await;
        page.wait_for_url("/integrations/siem").await;
    }

    /// What the API shows.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.server.client().get(path).await.expect_status(200).json()
    }

    /// Makes something by the API; its id.
    pub(crate) async fn made(&self, path: &str, body: &Value) -> String {
        id(&self.server.client().post(path, body).await.expect_status(201).json())
    }

    /// Makes a connector and switches it on; its id.
    pub(crate) async fn connector(&self, name: &str, platform: &str, config: Value) -> String {
        let body = json!({ "name": name, "platform": platform, "config": config, "active": true });
        self.made("/v1/siem/connectors", &body).await
    }

    /// Posts events, as the application does that they are about; their ids.
    pub(crate) async fn post(&self, events: &[Value]) -> Vec<String> {
        let answer = self.server.client().post("/v1/events", &json!(events)).await.expect_status(202).json();
        items(&answer["events"]).iter().map(|event| text(&event["event_id"])).collect()
    }

    /// Waits until `look` finds something in what the API shows at `path`.
    pub(crate) async fn until<T>(&self, what: &str, path: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        let found = poll::within(poll::PATIENCE, async || {
            last = self.get(path).await;
            let found = look(&last);
            if found.is_none() {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            found
        });
        match found.await {
            Some(found) => found,
            None => panic!("waited in vain until {what}; last seen: {last}"),
        }
    }

    /// Waits until an event has come to this end at a connector; the delivery that brought it there, where there is one.
    pub(crate) async fn until_outcome(&self, connector: &str, event: &str, outcome: &str) -> String {
        let what = format!("event {event} is {outcome}");
        self.until(&what, &format!("/v1/events/{event}"), |shown| {
            let mut outcomes = items(&shown["outcomes"]).into_iter();
            let found = outcomes.find(|o| o["connector_id"] == connector && o["outcome"] == outcome)?;
            Some(found["delivery"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// The end of every test: nothing was written into the log that an operator would have to look after.
    pub(crate) async fn close(self) {
        let log = self.server.whole_log();
        assert!(!log.contains("ERROR"), "{log}");
        assert_eq!(self.server.stop().await.code(), Some(0));
    }
}

/// The company.
pub(crate) struct World {
    pub(crate) office: Office,
    pub(crate) splunk: Splunk,
    pub(crate) datadog: Datadog,
    pub(crate) elasticsearch: Elasticsearch,
    /// Refuses everything.
    pub(crate) _staging: Splunk,
    /// Delivers everything.
    pub(crate) prod: String,
    /// Elasticsearch, which refused one event for good.
    pub(crate) lake: String,
    /// Datadog, which is sent `high` and `critical` only.
    pub(crate) europe: String,
    /// Cannot deliver: its token is disabled.
    pub(crate) refused: String,
    /// Was never switched on.
    pub(crate) off: String,
    /// The events, one of each type, the oldest first. All are at `prod`; the first is what `lake` refused, and `europe` does not want.
    pub(crate) events: Vec<String>,
    /// The delivery that brought the first event to `prod`.
    pub(crate) delivered: String,
    /// The delivery whose event was rejected.
    pub(crate) rejected: String,
    /// The delivery that failed, after its last attempt.
    pub(crate) failed: String,
    /// A job that is done.
    pub(crate) job: String,
    /// An API key.
    pub(crate) key: String,
    /// The viewer.
    pub(crate) viewer: String,
}

impl World {
    /// Builds it.
    pub(crate) async fn build() -> Self {
        let office = Office::start().await;
        let (splunk, staging) = (splunk().await, splunk().await);
        let (datadog, elasticsearch) = (datadog().await, elasticsearch().await);
        staging.set_token_enabled(false);

        let prod = office.connector("Prod Splunk", "splunk", splunk_config(&splunk)).await;
        let lake = office.connector("Security lake", "elasticsearch", elasticsearch_config(&elasticsearch)).await;
        let refused = office.connector("Staging Splunk", "splunk", splunk_config(&staging)).await;
        let loud = json!({
            "name": "Datadog Europe", "platform": "datadog", "config": datadog_config(&datadog), "active": true,
            "filter": { "severity": ["high", "critical"] },
        });
        let europe = office.made("/v1/siem/connectors", &loud).await;
        let off = json!({ "name": "Old Splunk", "platform": "splunk", "config": splunk_config(&splunk) });
        let off = office.made("/v1/siem/connectors", &off).await;

        let bad = Fault::Items(vec![ItemFault::new(Items::At(vec![0]), 400)]);
        elasticsearch.script(ElasticsearchEndpoint::Bulk, [Behaviour::fault(bad)]);
        // The first goes alone, so that it is the one that is refused.
        let mut events = office.post(&[budget()]).await;
        let rejected = office.until_outcome(&lake, &events[0], "rejected").await;
        let delivered = office.until_outcome(&prod, &events[0], "delivered").await;
        events.extend(office.post(&[violation(), anomaly(), lockout()]).await);
        for event in &events[1..] {
            for connector in [&prod, &lake, &europe] {
                office.until_outcome(connector, event, "delivered").await;
            }
        }
        let failed = office.until_outcome(&refused, &events[0], "failed").await;

        let client = office.server.client();
        let test = client.post(&format!("/v1/siem/connectors/{prod}/test"), &json!({})).await.expect_status(200).json();
        assert_eq!(test["delivered"], true, "{test}");
        let from = office.get(&format!("/v1/events/{}", events[0])).await["accepted_at"].take();
        let replay = client.post(&format!("/v1/siem/connectors/{prod}/replay"), &json!({ "from": from })).await;
        let job = id(&replay.expect_status(202).json());
        office.until_done(&job).await;

        let key = json!({ "name": "Gateway, production", "scopes": ["events:write"] });
        let key = office.made("/v1/api-keys", &key).await;
        let users = office.get("/v1/users").await;
        let viewer = items(&users["items"]).into_iter().find(|user| user["email"] == VIEWER).map(|user| id(&user));
        let viewer = viewer.unwrap_or_else(|| panic!("no viewer in {users}"));
        Self {
            office,
            splunk,
            datadog,
            elasticsearch,
            _staging: staging,
            prod,
            lake,
            europe,
            refused,
            off,
            events,
            delivered,
            rejected,
            failed,
            job,
            key,
            viewer,
        }
    }
}

impl World {
    /// Some hundreds of events more, so that charts and histories show what they are made for.
    pub(crate) async fn busy_day(&self) {
        for round in 0..8 {
            let events: Vec<Value> =
                [violation(), anomaly(), lockout(), budget()].into_iter().cycle().take(31 + 7 * round).collect();
            let events = self.office.post(&events).await;
            for connector in [&self.prod, &self.lake] {
                self.office.until_outcome(connector, events.last().unwrap(), "delivered").await;
            }
        }
    }
}

impl Office {
    /// Waits until a job is done.
    pub(crate) async fn until_done(&self, job: &str) {
        let path = format!("/v1/siem/jobs/{job}");
        self.until("the job is done", &path, |job| (job["state"] == "done").then_some(())).await;
    }
}

/// A Splunk that knows [`CREDENTIAL`].
pub(crate) async fn splunk() -> Splunk {
    Splunk::start(SplunkOptions::new(CREDENTIAL)).await.unwrap()
}

/// A Datadog that knows [`CREDENTIAL`].
pub(crate) async fn datadog() -> Datadog {
    Datadog::start(DatadogOptions::new(CREDENTIAL)).await.unwrap()
}

/// An Elasticsearch that knows [`CREDENTIAL`].
pub(crate) async fn elasticsearch() -> Elasticsearch {
    let credentials = Credentials::ApiKey(CREDENTIAL.to_owned());
    let options = ElasticsearchOptions { credentials, ..ElasticsearchOptions::new(Flavour::Elasticsearch) };
    Elasticsearch::start(options).await.unwrap()
}

/// The settings that lead to this fake.
pub(crate) fn splunk_config(fake: &Splunk) -> Value {
    json!({ "hec_url": fake.base_url(), "hec_token": CREDENTIAL })
}

/// As [`splunk_config`].
pub(crate) fn datadog_config(fake: &Datadog) -> Value {
    json!({ "url": fake.base_url(), "api_key": CREDENTIAL })
}

/// As [`splunk_config`].
pub(crate) fn elasticsearch_config(fake: &Elasticsearch) -> Value {
    json!({ "url": fake.base_url(), "api_key": CREDENTIAL })
}

fn budget() -> Value {
    json!({
        "event_type": "budget_alert", "severity": "medium", "summary": "The sales team used 95 % of its budget for March",
        "details": { "spend": 950, "limit": 1000, "currency": "EUR" }, "tags": { "team": "sales" },
    })
}

/// The event that every test can post without further ado.
pub(crate) fn violation() -> Value {
    json!({
        "event_type": "policy_violation", "severity": "critical", "summary": "A customer list went into a chat",
        "user_email": "jo@company.example", "user_id": "u-1047", "provider": "openai", "model": "gpt-5", "policy_id": "no-customer-data",
        "details": { "rules": ["pii.email", "pii.iban"], "matches": 212, "action": { "blocked": true } },
        "tags": { "team": "sales", "region": "eu" },
    })
}

fn anomaly() -> Value {
    json!({
        "event_type": "anomaly", "severity": "high", "summary": "Forty times the usual number of requests at night",
        "user_email": "kim@company.example", "provider": "anthropic", "details": { "requests": 4120, "usual": 103 },
    })
}

fn lockout() -> Value {
    json!({ "event_type": "lockout", "severity": "high", "user_email": "kim@company.example", "details": { "reason": "anomaly" } })
}

/// A string of the API's answer.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string was expected: {value}")).to_owned()
}

/// The id of what the API shows.
pub(crate) fn id(shown: &Value) -> String {
    text(&shown["id"])
}

/// The members of an array of the API's answer.
pub(crate) fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| panic!("an array was expected: {value}"))
}
