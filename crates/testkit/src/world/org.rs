//! An org, seen with a key: events are posted, connectors made, and what becomes of both is waited for.

use std::ops::Deref;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Connector, Siem, World};
use crate::client::Client;
use crate::json::{Json as _, merge};

/// A tenant, seen with a key that may do everything in it.
#[derive(Debug, Clone)]
pub struct Org {
    /// Its id.
    pub id: String,
    /// With the key.
    pub client: Client,
}

impl Deref for Org {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl<S: Deref<Target = Org>> World<S> {
    /// The default org.
    pub fn default_org(&self) -> &Org {
        self
    }

    /// Makes an org, and a key of its own.
    pub async fn org(&self, name: &str) -> Org {
        self.org_of(json!({ "name": name })).await
    }

    /// Makes an org from this body, and a key of its own.
    pub async fn org_of(&self, body: Value) -> Org {
        let id = self.make("/v1/orgs", &body).await.id();
        let (client, _) = self.key(&id, &["admin"]).await;
        Org { id, client }
    }

    /// Makes an org; its id.
    pub async fn tenant(&self, name: &str) -> String {
        self.make("/v1/orgs", &json!({ "name": name })).await.id()
    }

    /// A client with a new key of `org` with these scopes, and the key's id.
    pub async fn key(&self, org: &str, scopes: &[&str]) -> (Client, String) {
        self.key_named("test key", org, scopes).await
    }

    /// As [`Self::key`], with this name.
    pub async fn key_named(&self, name: &str, org: &str, scopes: &[&str]) -> (Client, String) {
        let body = json!({ "name": name, "scopes": scopes });
        let made = self.make(&format!("/v1/api-keys?org_id={org}"), &body).await;
        (self.with_key(&made["key"].text()), made.id())
    }

    /// A person of the default org; their id.
    pub async fn person(&self, email: &str, role: &str) -> String {
        self.user(&self.id, email, role).await
    }

    /// A person of `org` with the password [`PASSWORD`](super::PASSWORD); their id.
    pub async fn user(&self, org: &str, email: &str, role: &str) -> String {
        let body = json!({ "email": email, "name": "Jo Doe", "role": role, "password": super::PASSWORD });
        self.make(&format!("/v1/users?org_id={org}"), &body).await.id()
    }
}

impl Org {
    /// The default org of the server, seen with the bootstrap key.
    pub async fn default_of(client: Client) -> Self {
        let orgs = client.list("/v1/orgs").await;
        let found = orgs.iter().find(|org| org["is_default"] == true);
        let id = found.unwrap_or_else(|| panic!("no default org: {orgs:?}")).id();
        Self { id, client }
    }

    /// Makes a connector to this fake, and switches it on.
    pub async fn connect(&self, siem: &impl Siem) -> Connector {
        self.connect_with(siem, json!({})).await
    }

    /// As [`Self::connect`], with `more` laid over the request.
    pub async fn connect_with(&self, siem: &impl Siem, more: Value) -> Connector {
        self.connector(siem.platform(), siem.config(), more).await
    }

    /// Makes a connector that is named after its platform, and switches it on; `more` is laid over the request.
    pub async fn connector(&self, platform: &str, config: Value, more: Value) -> Connector {
        let mut body = json!({ "name": platform, "platform": platform, "config": config, "active": true });
        merge(&mut body, more);
        self.known(&self.make("/v1/siem/connectors", &body).await)
    }

    /// A connector that is there, as the API shows it.
    pub fn known(&self, shown: &Value) -> Connector {
        Connector::of(shown, &self.client)
    }

    /// Every connector that the org has.
    pub async fn connectors(&self) -> Vec<Connector> {
        self.all("/v1/siem/connectors?limit=100").await.iter().map(|shown| self.known(shown)).collect()
    }

    /// Waits until no stream of any connector has anything pending or parked.
    pub async fn all_arrived(&self) {
        for connector in self.connectors().await {
            connector.arrived().await;
        }
    }

    /// Posts events in one request; their ids in that order.
    pub async fn post_events(&self, events: &[Value]) -> Vec<String> {
        let answer = self.begin("/v1/events", &json!(events)).await;
        let ids: Vec<String> = answer["events"].list().iter().map(|event| event["event_id"].text()).collect();
        assert_eq!(ids.len(), events.len(), "{answer}");
        ids
    }

    /// Posts one event; its id.
    pub async fn post_event(&self, event: Value) -> String {
        self.post_events(&[event]).await.remove(0)
    }

    /// Posts `count` plain events in one request; their ids.
    pub async fn post_some(&self, count: usize) -> Vec<String> {
        let numbered = |n| violation(json!({ "details": { "n": n } }));
        self.post_events(&(0..count).map(numbered).collect::<Vec<_>>()).await
    }

    /// The exact bytes of an event as Splunk gets it: as it is stored, but without what is not known, which Splunk would show as `null`.
    pub async fn stored_without_nulls(&self, event_id: &str) -> Bytes {
        let mut line = String::from_utf8(self.stored(event_id).await.to_vec()).unwrap();
        for name in ["user_id", "user_email", "provider", "model"] {
            line = line.replacen(&format!("\"{name}\":null,"), "", 1);
        }
        line.into()
    }

    /// The exact bytes of an event as it is stored.
    pub async fn stored(&self, event_id: &str) -> Bytes {
        #[derive(serde::Deserialize)]
        struct View<'a> {
            #[serde(borrow)]
            event: &'a serde_json::value::RawValue,
        }
        let answer = self.get(&format!("/v1/events/{event_id}")).await.expect_status(200);
        let view: View<'_> = serde_json::from_slice(&answer.body).unwrap();
        Bytes::copy_from_slice(view.event.get().as_bytes())
    }

    /// Waits until a job is in this state; the job then.
    pub async fn until_job(&self, job: &str, state: &str) -> Value {
        let path = format!("/v1/siem/jobs/{job}");
        self.until(&format!("the job is {state}"), &path, |job| (job["state"] == state).then(|| job.clone())).await
    }
}

/// An event with no more than it needs.
pub fn event(event_type: &str, severity: &str) -> Value {
    json!({ "event_type": event_type, "severity": severity })
}

/// An event that is valid, with what a test adds.
pub fn violation(more: Value) -> Value {
    let mut violation = event("policy_violation", "high");
    merge(&mut violation, more);
    violation
}

/// The same with one more member.
pub fn with(mut value: Value, name: &str, member: impl Into<Value>) -> Value {
    value[name] = member.into();
    value
}
