//! A small company that is at work: people, four connectors in the states that connectors have, and events of which each came to another end.
//! Arranged by the API, so that a test begins where it is about something.

use std::ops::Deref;

use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_fake::elasticsearch::{Endpoint, Fault, ItemFault, Items};
use toktra_siem_fake::splunk::Splunk;
use toktra_siem_testkit::prelude::*;

/// The company.
pub(crate) struct Company {
    pub(crate) world: World,
    pub(crate) siems: Siems,
    /// Refuses everything.
    _staging: Splunk,
    /// Delivers everything.
    pub(crate) prod: Connector,
    /// Elasticsearch, which refused one event for good.
    pub(crate) lake: Connector,
    /// Datadog, which is sent `high` and `critical` only.
    pub(crate) europe: Connector,
    /// Cannot deliver: its token is disabled.
    pub(crate) refused: Connector,
    /// Was never switched on.
    pub(crate) off: Connector,
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
    /// A notification channel.
    pub(crate) channel: String,
}

impl Deref for Company {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Company {
    /// Builds it, and opens an empty page; `None` after saying what is skipped.
    pub(crate) async fn build() -> Option<(Self, Page)> {
        let (world, page) = World::office().await?;
        let (siems, staging) = (Siems::start().await, splunk().await);
        staging.set_token_enabled(false);

        let named = |name: &str| json!({ "name": name });
        let prod = world.connect_with(&siems.splunk, named("Prod Splunk")).await;
        let lake = world.connect_with(&siems.elasticsearch, named("Security lake")).await;
        let refused = world.connect_with(&staging, named("Staging Splunk")).await;
        let loud = json!({ "name": "Datadog Europe", "filter": { "severity": ["high", "critical"] } });
        let europe = world.connect_with(&siems.datadog, loud).await;
        let off = world.connect_with(&siems.splunk, json!({ "name": "Old Splunk", "active": false })).await;

        let bad = Fault::Items(vec![ItemFault::new(Items::At(vec![0]), 400)]);
        siems.elasticsearch.script(Endpoint::Bulk, [Behaviour::fault(bad)]);
        // The first goes alone, so that it is the one that is refused.
        let mut events = world.post_events(&[budget()]).await;
        let ended = async |connector: &Connector, outcome| {
            connector.until_outcome("events", &events[0], outcome).await["delivery"].text()
        };
        let (rejected, delivered) = (ended(&lake, "rejected").await, ended(&prod, "delivered").await);
        let later = world.post_events(&[leak(), anomaly(), lockout()]).await;
        for event in &later {
            for (connector, stream) in [(&prod, "events"), (&lake, "events"), (&europe, "logs")] {
                connector.until_outcome(stream, event, "delivered").await;
            }
        }
        let failed = ended(&refused, "failed").await;
        events.extend(later);

        let test = prod.test(json!({})).await;
        assert_eq!(test["delivered"], true, "{test}");
        let from = world.read(&format!("/v1/events/{}", events[0])).await["accepted_at"].take();
        let job = prod.job("replay", json!({ "from": from })).await.id();
        world.until_job(&job, "done").await;
        let (_, key) = world.key_named("Gateway, production", &world.id, &["events:write"]).await;
        let users = world.list("/v1/users").await;
        let viewer = users.iter().find(|user| user["email"] == VIEWER).unwrap().id();
        let told = json!({ "name": "SOC on call", "kind": "email", "config": { "to": ["soc@company.example"] } });
        let channel = world.make("/v1/notification-channels", &told).await.id();
        let known = json!({ "note": "CHG-123", "until": SystemClock.now().plus(std::time::Duration::from_hours(1)) });
        world.call(&format!("/v1/siem/connectors/{europe}/acknowledge"), &known).await;
        let company = Self {
            _staging: staging,
            world,
            siems,
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
            channel,
        };
        Some((company, page))
    }

    /// As [`Self::build`], and the admin has logged in.
    pub(crate) async fn at_work() -> Option<(Self, Page)> {
        let (company, page) = Self::build().await?;
        company.log_in(&page).await;
        Some((company, page))
    }

    /// Some hundreds of events more, so that charts and histories show what they are made for.
    pub(crate) async fn busy_day(&self) {
        for round in 0..8 {
            let events: Vec<Value> =
                [leak(), anomaly(), lockout(), budget()].into_iter().cycle().take(31 + 7 * round).collect();
            let events = self.post_events(&events).await;
            for connector in [&self.prod, &self.lake] {
                connector.until_outcome("events", events.last().unwrap(), "delivered").await;
            }
        }
    }

    /// The end of a test.
    pub(crate) async fn end(self) {
        self.world.end().await;
    }
}

fn budget() -> Value {
    json!({
        "event_type": "budget_alert", "severity": "medium", "summary": "The sales team used 95 % of its budget for March",
        "details": { "spend": 950, "limit": 1000, "currency": "EUR" }, "tags": { "team": "sales" },
    })
}

/// The event that every test can post without further ado.
pub(crate) fn leak() -> Value {
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
