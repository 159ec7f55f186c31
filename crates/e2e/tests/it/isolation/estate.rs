//! An org that owns one of everything: whatever a route names or lists is here, and each thing bears a text that occurs nowhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use toktra_siem_base::random::{Random as _, SystemRandom};
use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::ids::{DeliveryId, OrgId, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::traffic::{Traffic, bucket};
use toktra_siem_store::{JobStep, Open, Taken, TrafficRow};
use toktra_siem_testkit::prelude::*;
use uuid::Uuid;

use crate::api::history::{Past, happened};

/// What every text of the org named `tag` begins with. Nothing that a stranger is answered may hold that of the victim.
pub(super) fn mark(tag: &str) -> String {
    format!("canary-{tag}")
}

/// An org with one of everything.
pub(super) struct Estate {
    pub(super) org: OrgId,
    pub(super) mark: String,
    /// Ids and texts by name. Samples mean them as `{name}`. No stranger may learn one.
    pub(super) values: BTreeMap<&'static str, String>,
    /// What samples may mean as well, and what tells nothing by itself: cursors, which are often plain numbers.
    pub(super) loose: BTreeMap<&'static str, String>,
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}")).to_owned()
}

async fn create(client: &Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body).await;
    assert!(matches!(answer.status, 201 | 202), "{path}: {}", answer.text());
    answer.json()
}

/// A connector of each platform, on, with secrets of its own.
fn connectors(mark: &str, datadog_key: &str) -> [(&'static str, Value); 3] {
    [
        (
            "splunk",
            json!({ "hec_url": format!("https://siem.example:8088/{mark}"), "hec_token": format!("{mark}-hec-token"), "index": "x" }),
        ),
        ("datadog", json!({ "api_key": datadog_key })),
        (
            "elasticsearch",
            json!({
                "url": format!("https://siem.example:9200/{mark}"), "username": format!("{mark}-name"),
                "password": format!("{mark}-password"),
            }),
        ),
    ]
}

impl Estate {
    /// Makes the org named `tag`, with everything in it.
    pub(super) async fn make(world: &Here, tag: &str) -> Self {
        let mark = mark(tag);
        let org = world.tenant(&format!("{mark}-org")).await;
        let mut values = BTreeMap::from([("org", org.clone()), ("org_name", format!("{mark}-org"))]);
        let in_org = |path: &str| format!("{path}?org_id={org}");
        for (id, email, role) in [("admin", "admin_email", "admin"), ("user", "user_email", "viewer")] {
            let address = format!("{role}@{mark}.example");
            let body =
                json!({ "email": address, "name": format!("{mark}-{role}"), "role": role, "password": PASSWORD });
            values.insert(id, text(&create(world, &in_org("/v1/users"), &body).await, "id"));
            values.insert(email, address);
        }
        values.insert("user_name", format!("{mark}-viewer"));
        for (id, name) in [("spare_key", "spare"), ("key", "key")] {
            let body = json!({ "name": format!("{mark}-{name}"), "scopes": ["siem:read"] });
            values.insert(id, text(&create(world, &in_org("/v1/api-keys"), &body).await, "id"));
        }
        values.insert("key_name", format!("{mark}-key"));
        // A secret that was shown once, to the admin.
        let admin = world.login(&values["admin_email"]).await;
        let body = json!({ "name": format!("{mark}-shown"), "scopes": ["siem:read"] });
        admin.make("/v1/api-keys", &body).await;
        let shown = admin.read("/v1/secrets").await;
        values.insert("secret", text(&shown["items"][0], "id"));
        let (client, _) = world.key(&org, &["admin"]).await;
        // Datadog's keys have 32 hexadecimal digits: no room for a mark.
        values.insert("datadog_key", SystemRandom.uuid_v7(START).simple().to_string());
        for (platform, config) in connectors(&mark, &values["datadog_key"]) {
            let body = json!({
                "name": format!("{mark}-{platform}"), "platform": platform, "active": true, "config": config,
                "signing_secret": format!("{mark}-signing-secret"),
            });
            values.insert(platform, text(&create(&client, "/v1/siem/connectors", &body).await, "id"));
        }
        values.insert("splunk_name", format!("{mark}-splunk"));
        values.insert("elasticsearch_name", format!("{mark}-elasticsearch"));
        let body = json!({
            "name": format!("{mark}-channel"), "kind": "webhook", "active": false,
            "config": { "url": format!("https://siem.example/{mark}-hook"), "signing_secret": format!("{mark}-channel-secret") },
        });
        values.insert("channel", text(&create(&client, "/v1/notification-channels", &body).await, "id"));
        values.insert("channel_name", format!("{mark}-channel"));
        values.insert("note", format!("{mark}-note"));
        let known = json!({ "note": values["note"], "until": START.plus(Duration::from_hours(24)) });
        let path = format!("/v1/siem/connectors/{}/acknowledge", values["splunk"]);
        client.post(&path, &known).await.expect_status(200);
        let mut loose = BTreeMap::new();
        for (n, id) in
            ["event", "failed_event", "rejected_event", "pending_event", "last_event"].into_iter().enumerate()
        {
            let body = json!({
                "event_type": "anomaly", "severity": "low", "user_email": format!("{mark}-{n}@user.example"),
                "summary": format!("{mark}-summary-{n}"), "details": { "what": format!("{mark}-details-{n}") },
            });
            let posted = create(&client, "/v1/events", &body).await;
            let into = if id == "last_event" { &mut loose } else { &mut values };
            into.insert(id, text(&posted["events"][0], "event_id"));
        }
        let org: OrgId = org.parse().unwrap();
        let mut estate = Self { org, mark, values, loose };
        // One is paused, and its events wait.
        let paused = format!("/v1/siem/connectors/{}", estate.values["elasticsearch"]);
        client.change(&paused, &json!({ "active": false })).await;
        client.post(&format!("{paused}/signing-secret/rotate"), &json!({})).await.expect_status(200);
        estate.history(world).await;
        estate.jobs_and_cursors(world, &client).await;
        estate
    }

    /// Deliveries in several states, the events parked that two of them lost, and what flowed.
    async fn history(&mut self, world: &Here) {
        let stream = StreamId { connector: self.values["splunk"].parse().unwrap(), kind: StreamKind::Events };
        let states = [
            ("delivery", Status::Delivered),
            ("failed", Status::Failed),
            ("rejected", Status::Rejected),
            ("pending", Status::Pending),
        ];
        let (message, excerpt) = (format!("{}-cause", self.mark), format!("{}-excerpt", self.mark));
        for (seq, (name, status)) in (1..).zip(states) {
            let id = DeliveryId(SystemRandom.uuid_v7(START.plus(Duration::from_millis(seq))));
            let past = Past { org: self.org, stream, seq, id, status, message: &message, excerpt: &excerpt };
            happened(world, past).await;
            self.values.insert(name, id.to_string());
        }
        self.values.insert("cause", message);
        let traffic = Traffic { delivered: 7_654_321, lag: 12, ..Traffic::default() };
        world.store.add_traffic(vec![TrafficRow { stream, at: bucket(START), traffic }]).await.unwrap();
    }

    /// A delivery that a job has made.
    async fn replay(&mut self, world: &Here) {
        let stream = StreamId { connector: self.values["splunk"].parse().unwrap(), kind: StreamKind::Events };
        let job = world.store.job(self.org, self.values["job"].parse().unwrap()).await.unwrap();
        let id = DeliveryId(SystemRandom.uuid_v7(START.plus(Duration::from_millis(9))));
        let members = Members::from_ascending([Seq(1)]);
        let mut delivery = Delivery::new(id, self.org, stream, Trigger::Replay, members, START);
        (delivery.job, delivery.accounted) = (Some(job.id), false);
        let step = JobStep { id: job.id, from: job.cursor, to: Seq(1), passed: 0 };
        let (lease, _) = world.take_over(stream).await;
        let open = Open { deliveries: vec![delivery], taken: Taken::Beside, job: Some(step) };
        world.store.open(&lease, open).await.unwrap();
        self.values.insert("replayed", id.to_string());
    }

    async fn jobs_and_cursors(&mut self, world: &Here, client: &Client) {
        let splunk = format!("/v1/siem/connectors/{}", self.values["splunk"]);
        for (name, wish) in [("first_job", "redeliver-failed"), ("job", "replay")] {
            let job = create(client, &format!("{splunk}/{wish}"), &json!({})).await;
            self.values.insert(name, text(&job, "id"));
        }
        self.replay(world).await;
        for (name, list) in [
            ("event_cursor", "/v1/events"),
            ("connector_cursor", "/v1/siem/connectors"),
            ("delivery_cursor", "/v1/siem/deliveries"),
            ("job_cursor", "/v1/siem/jobs"),
            ("key_cursor", "/v1/api-keys"),
            ("user_cursor", "/v1/users"),
            ("audit_cursor", "/v1/audit"),
        ] {
            let page = client.read(&format!("{list}?limit=1")).await;
            self.loose.insert(name, text(&page, "next_cursor"));
        }
    }

    /// The same names for things that nobody owns.
    pub(super) fn ghost(&self) -> Self {
        let other = |value: &String| match value.parse::<Uuid>() {
            Ok(_) => SystemRandom.uuid_v7(START).to_string(),
            Err(_) => value.replace(&self.mark, &mark("nobody")),
        };
        let others = |values: &BTreeMap<&'static str, String>| values.iter().map(|(n, v)| (*n, other(v))).collect();
        let org = OrgId(SystemRandom.uuid_v7(START));
        let mut values: BTreeMap<_, _> = others(&self.values);
        values.insert("org", org.to_string());
        Self { org, mark: mark("nobody"), values, loose: others(&self.loose) }
    }

    /// `template` with every `{name}` replaced.
    pub(super) fn fill(&self, template: &str) -> String {
        let all = self.values.iter().chain(&self.loose);
        all.fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The reverse: every value replaced by its name. What is loose stays: strangers may have made it theirs.
    pub(super) fn blank(&self, text: &str) -> String {
        let replaced =
            |text: String, (name, value): (&&str, &String)| text.replace(value.as_str(), &format!("{{{name}}}"));
        self.values.iter().fold(text.to_owned(), replaced)
    }

    /// What of this org `text` tells, apart from what `request` says already and the values that are `known` by name.
    pub(super) fn told(&self, text: &str, request: &str, known: &[&str]) -> Vec<String> {
        let mut values: Vec<_> = self.values.iter().collect();
        // The longest first: some begin with others.
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let (mut rest, mut told) = (text.to_owned(), Vec::new());
        for (name, value) in values.into_iter().filter(|(_, value)| text.contains(value.as_str())) {
            rest = rest.replace(value.as_str(), "");
            if !known.contains(name) && !request.contains(value.as_str()) {
                told.push((*name).to_owned());
            }
        }
        let marked = rest.split_once(&self.mark).map(|(_, after)| after.chars().take(20).collect::<String>());
        told.extend(marked.map(|after| format!("`{}{after}`", self.mark)));
        told
    }
}
