//! Test delivery, as a person uses it: of settings before they are saved, of a connector that works or does not, after mending what was
//! wrong. What each mistake is answered with is in `it`'s `hints.rs`.

use toktra_siem_fake::datadog::{Endpoint as DatadogEndpoint, error_reply};
use toktra_siem_fake::splunk::{Endpoint, Splunk};
use toktra_siem_testkit::prelude::*;

fn stages(report: &Value) -> Vec<(String, bool)> {
    let stage = |stage: &Value| (stage["stage"].text(), stage["ok"].as_bool().unwrap());
    report["stages"].list().iter().map(stage).collect()
}

/// What the fake took of the test, as JSON.
fn taken(splunk: &Splunk, id: &str) -> Value {
    let events = splunk.events();
    let event = events.iter().find(|event| event.event_id.as_deref() == Some(id)).expect("the test event was taken");
    serde_json::from_slice(&event.event).unwrap()
}

#[tokio::test]
async fn settings_are_tried_before_they_are_saved_and_nothing_is_stored() {
    let (world, splunk) = (World::start().await, splunk().await);
    let org = world.org("Acme").await;
    let body = json!({ "name": "Splunk", "platform": "splunk", "config": splunk.config(), "active": true });
    let try_out = async |body: &Value| org.call("/v1/siem/connectors/test", body).await;
    let good = try_out(&body).await;
    assert_eq!(
        (&good["delivered"], &good["http_status"], &good["hint"]),
        (&json!(true), &json!(200), &Value::Null),
        "{good}"
    );
    assert_eq!(stages(&good), [("tcp".into(), true), ("http".into(), true), ("write".into(), true)], "{good}");
    assert_eq!(good["streams"][0]["delivery_id"], Value::Null);
    let id = good["event_id"].text();
    assert_eq!(good["search"], format!("index=toktra sourcetype=\"toktra:security\" event_id=\"{id}\""));
    let event = taken(&splunk, &id);
    assert_eq!((&event["event_type"], &event["severity"]), (&json!("test_connection"), &json!("low")), "{event}");
    assert_eq!((&event["source"], &event["tags"], &event["org_id"]), (&json!("toktra"), &json!({}), &json!(org.id)));
    assert!(
        event["event_id"].text().parse::<uuid::Uuid>().unwrap().get_version_num() == 7 && event["summary"].is_string()
    );

    let mut wrong = body.clone();
    wrong["config"]["hec_token"] = "not-the-token-at-all".into();
    let bad = try_out(&wrong).await;
    assert_eq!((&bad["delivered"], &bad["http_status"]), (&json!(false), &json!(403)), "{bad}");
    assert_eq!(stages(&bad)[2], ("write".into(), false));
    assert!(bad["hint"].text().starts_with("Splunk answered 403: it does not know this HEC token."), "{bad}");
    assert!(!bad.to_string().contains("not-the-token-at-all"), "{bad}");

    let connectors = org.read("/v1/siem/connectors").await;
    assert_eq!(connectors["total_count"], 0);
    let history = org.read("/v1/siem/deliveries").await;
    assert_eq!(history["items"], json!([]));
    org.get(&format!("/v1/events/{id}")).await.expect_status(404);
    assert_eq!(splunk.violations().len(), 1, "the wrong token alone");
    world.end_with(&[]).await;
}

#[tokio::test]
async fn a_success_closes_the_breaker_and_what_waited_is_delivered() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    splunk.set_token_enabled(false);
    let mut ids = vec![org.post_event(event("anomaly", "high")).await];
    connector.until_health("events", "misconfigured").await;
    ids.extend(org.post_events(&[event("lockout", "critical"), event("anomaly", "low")]).await);

    let refused = connector.test(json!({})).await;
    assert!(
        refused["hint"].text().starts_with("Splunk answered 403: this HEC token is disabled. In Splunk: Settings →"),
        "{refused}"
    );
    assert_eq!(connector.health("events").await["state"], "misconfigured");

    splunk.set_token_enabled(true);
    // With a patch it is another connector that works: this one stays as it is.
    let patched = connector.test(json!({ "config": { "sourcetype": "other" } })).await;
    assert_eq!((&patched["delivered"], &patched["streams"][0]["delivery_id"]), (&json!(true), &Value::Null));
    assert_eq!(connector.health("events").await["state"], "misconfigured");
    let test = connector.test(json!({})).await;
    assert_eq!(test["delivered"], true, "{test}");
    connector.until_account("events", &Account::delivered(3)).await;
    connector.until_health("events", "healthy").await;
    for id in &ids {
        connector.until_outcome("events", id, "delivered").await;
    }

    let id = test["event_id"].text();
    let found = connector.deliveries(&format!("event_id={id}")).await;
    let [delivery] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&delivery["trigger"], &delivery["status"]), (&json!("test"), &json!("delivered")), "{delivery}");
    assert_eq!(delivery["id"], test["streams"][0]["delivery_id"]);
    let detail = connector.delivery(&delivery.id()).await;
    assert_eq!(
        (&detail["events"][0]["event_id"], &detail["events"][0]["event_type"]),
        (&json!(id), &json!("test_connection"))
    );
    assert_eq!((&detail["event_count"], &detail["attempt_count"]), (&json!(1), &json!(1)), "{detail}");
    assert_eq!(detail["attempts"][0]["http_status"], 200);
    assert_eq!(connector.deliveries("trigger=test").await.len(), 2, "the refused one and this one");

    let shown = org.read(&format!("/v1/events/{id}")).await;
    assert_eq!((&shown["test"], &shown["sequence"], &shown["accepted_at"]), (&json!(true), &Value::Null, &Value::Null));
    let mut stored = shown["event"].clone();
    stored.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(stored, taken(&splunk, &id), "the very same event, but for what is not known");
    let outcome = &shown["outcomes"][0];
    assert_eq!((&outcome["outcome"], &outcome["delivery"]), (&json!("delivered"), &detail["id"]), "{shown}");
    let failed = refused["event_id"].text();
    let shown = org.read(&format!("/v1/events/{failed}")).await;
    assert_eq!(shown["outcomes"][0]["cause"]["code"], "splunk_1_token_disabled", "{shown}");
    let of_log = org.read(&format!("/v1/events/{}", ids[0])).await;
    assert_eq!(of_log["test"], false);
    world.end_with(&[(&connector, &[("events", Account::delivered(3))])]).await;
}

#[tokio::test]
async fn a_connector_that_is_off_and_one_of_the_environment_can_be_tried() {
    let splunk = splunk().await;
    let world = World::with(described(setup(), &[&splunk])).await;
    let off = json!({ "active": false, "name": "off", "signing_secret": "a-secret-of-our-own" });
    let off = world.connect_with(&splunk, off).await;
    assert_eq!(off.test(json!({})).await["delivered"], true);
    assert_eq!(off.health("events").await["state"], "off");
    let connectors = world.connectors().await;
    let known = connectors.iter().find(|connector| connector.created["managed_by"] == "environment").unwrap();
    let report = known.test(json!({})).await;
    assert_eq!(report["delivered"], true, "{report}");
    world.post(&known.path("/test"), &json!({ "config": { "index": "other" } })).await.expect_status(409);
    accepted(&splunk, 2).await;
    assert_eq!(splunk.violations(), []);
    world.end_with(&[(&off, &[("events", Account::default())]), (known, &[("events", Account::default())])]).await;
}

#[tokio::test]
async fn both_streams_of_datadog_are_tried_and_the_one_that_failed_stands_on_top() {
    let world = World::start().await;
    let datadog = datadog().await;
    let org = world.org("Acme").await;
    let connector = org.connect(&datadog).await;
    let good = connector.test(json!({})).await;
    assert_eq!((&good["delivered"], &good["streams"][1]["delivered"]), (&json!(true), &json!(true)), "{good}");
    let id = good["event_id"].text();
    assert_eq!(good["search"], format!("source:toktra @event_id:{id}"));
    assert_eq!(connector.deliveries(&format!("event_id={id}")).await.len(), 2);
    let points = datadog.points();
    assert!(
        points.iter().any(|point| point.series.tags.contains(&"event_type:test_connection".to_owned())),
        "{points:?}"
    );

    let refusal = Behaviour::reply(error_reply(DatadogEndpoint::Series, 403));
    datadog.always(DatadogEndpoint::Series, refusal);
    let half = connector.test(json!({})).await;
    assert_eq!((&half["delivered"], &half["http_status"]), (&json!(false), &json!(403)), "{half}");
    assert_eq!((&half["streams"][0]["delivered"], &half["streams"][1]["stream"]), (&json!(true), &json!("metrics")));
    let id = half["event_id"].text();
    assert_eq!(connector.outcome("logs", &id).await["outcome"], "delivered");
    assert_eq!(connector.outcome("metrics", &id).await["outcome"], "failed");
    connector.until_health("logs", "healthy").await;
    assert_eq!(datadog.violations(), []);
    let none = Account::default();
    world.end_with(&[(&connector, &[("logs", none.clone()), ("metrics", none)])]).await;
}

#[tokio::test]
async fn a_test_goes_on_to_its_end_where_nobody_waits_for_it() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict().answer_held(&gate)]);
    let path = connector.path("/test");
    let client = org.client.clone();
    let asking = tokio::spawn(async move { client.post(&path, &json!({})).await });
    gate.arrived(1).await;
    let [pending] = connector.deliveries("trigger=test").await.try_into().unwrap();
    assert_eq!(pending["status"], "pending", "it stands in the history before it is sent");
    asking.abort();
    gate.open();
    let delivery = connector.until_settled("trigger=test").await;
    assert_eq!((&delivery["id"], &delivery["status"]), (&pending["id"], &json!("delivered")), "{delivery}");
    world.end_with(&[(&connector, &[("events", Account::default())])]).await;
}

#[tokio::test]
async fn a_stage_is_told_while_the_siem_takes_its_time() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict().answer_held(&gate)]);
    let mut lines = org.post_for_lines(&connector.path("/test"), &json!({})).await;
    assert_eq!(lines.status, 200);
    let begun = lines.next().await.expect("the event");
    let connected = lines.next().await.expect("the first stage");
    assert_eq!((&connected["stream"], &connected["stage"]["stage"]), (&json!("events"), &json!("tcp")), "{connected}");
    gate.arrived(1).await;
    let pending = connector.deliveries("trigger=test").await;
    assert_eq!(pending[0]["status"], "pending", "Splunk has not answered yet: {pending:?}");
    gate.open();
    let rest = lines.rest().await;
    let [http, write, last] = rest.as_slice() else { panic!("{rest:?}") };
    let test = &last["test"];
    assert_eq!((&test["event_id"], &test["delivered"]), (&begun["event_id"], &json!(true)), "{last}");
    assert_eq!(test["stages"], json!([connected["stage"], http["stage"], write["stage"]]));
    world.end_with(&[(&connector, &[("events", Account::default())])]).await;
}

#[tokio::test]
async fn tests_that_hang_are_bounded_and_the_next_one_is_told() {
    let (world, splunk) = (World::start().await, splunk().await);
    let org = world.org("Acme").await;
    let gate = Gate::new();
    splunk.always(Endpoint::Event, Behaviour::strict().answer_held(&gate));
    let body = json!({ "name": "tried", "platform": "splunk", "config": splunk.config() });
    let ask = || {
        let (client, body) = (org.client.clone(), body.clone());
        tokio::spawn(async move { client.post("/v1/siem/connectors/test", &body).await })
    };
    let hanging: Vec<_> = (0..16).map(|_| ask()).collect();
    gate.arrived(16).await;
    let refused = ask().await.unwrap().expect_status(429);
    assert_eq!(refused.json()["error"]["code"], "queue_full");
    assert!(refused.header("retry-after").is_some());
    gate.open();
    for asked in hanging {
        assert_eq!(asked.await.unwrap().expect_status(200).json()["delivered"], true);
    }
    ask().await.unwrap().expect_status(200);
    world.end_with(&[]).await;
}

#[tokio::test]
async fn a_sample_of_each_type_is_sent_to_this_connector_alone_and_stands_in_no_account() {
    let (world, splunk, other) = (World::start().await, splunk().await, splunk().await);
    let org = world.org("Acme").await;
    // A filter that forwards none of them, and a connector that is off: samples are tests.
    let filter = json!({ "filter": { "severity": ["low"] }, "active": false });
    let connector = org.connect_with(&splunk, filter).await;
    org.connect_with(&other, json!({ "name": "Other" })).await;
    let tested = connector.test(json!({ "samples": true })).await;
    assert_eq!(tested["delivered"], true, "{tested}");
    let samples = tested["samples"].list();
    let types: Vec<_> = samples.iter().map(|sample| sample["event_type"].text()).collect();
    assert_eq!(types, ["policy_violation", "anomaly", "budget_alert", "lockout"]);
    assert_eq!(tested["event_id"], samples[0]["event_id"]);
    for sample in samples {
        let id = sample["event_id"].text();
        let event = taken(&splunk, &id);
        assert_eq!(
            (&event["event_type"], &event["tags"]["sample"]),
            (&sample["event_type"], &json!("true")),
            "{event}"
        );
        assert!(event["summary"].text().starts_with("Sample, not a real event: "), "{event}");
        assert!(!event["details"].as_object().unwrap().is_empty(), "{event}");
        assert!(sample["search"].text().contains(&id) && sample["delivered"] == true, "{sample}");
        let stands = org.read(&format!("/v1/events/{id}")).await;
        assert_eq!((&stands["event_type"], &stands["severity"]), (&event["event_type"], &event["severity"]));
        assert_eq!(
            (&stands["test"], &stands["sequence"], &stands["event"]["details"]),
            (&json!(true), &Value::Null, &event["details"])
        );
        let delivery = connector.delivery(&sample["streams"][0]["delivery_id"].text()).await;
        assert_eq!((&delivery["trigger"], &delivery["status"]), (&json!("test"), &json!("delivered")));
    }
    connector.accounted(&[]).await;
    let audit = org.read("/v1/audit?action=connector.test").await;
    let told: Vec<_> = audit["items"].list().iter().map(|line| line["detail"]["sample"].text()).collect();
    assert_eq!(told, ["lockout", "budget_alert", "anomaly", "policy_violation"], "{audit}");
    assert_eq!(other.event_ids().len(), 0);

    let path = connector.path("/test");
    let odd = org.post(&path, &json!({ "samples": "yes" })).await.expect_status(422).json();
    assert_eq!(odd["error"]["fields"][0]["pointer"], "/samples", "{odd}");
    let unsaved = with(splunk_body("Other"), "samples", true);
    org.post("/v1/siem/connectors/test", &unsaved).await.expect_status(422);
    assert_eq!(connector.test(json!({ "samples": false })).await["samples"], Value::Null);
    // What does not answer is asked once.
    let nowhere =
        json!({ "samples": true, "config": { "hec_url": "http://127.0.0.1:1", "hec_token": "a-token-of-mine" } });
    let lost = connector.test(nowhere).await;
    assert_eq!((&lost["delivered"], lost["samples"].list().len()), (&json!(false), 1), "{lost}");
    world.end().await;
}

#[tokio::test]
async fn a_type_that_the_siem_refuses_is_told_beside_those_that_it_took() {
    let (world, datadog) = (World::start().await, datadog().await);
    let connector = world.connect(&datadog).await;
    let said = world.run(&["connector", "test", &connector.created["name"].text(), "--samples"], "").await.with_code(0);
    assert_eq!(said.stdout.matches("✓ ").count(), 4, "{said:?}");
    datadog.script(DatadogEndpoint::Logs, [Behaviour::reply(error_reply(DatadogEndpoint::Logs, 403))]);
    let tested = connector.test(json!({ "samples": true })).await;
    let delivered: Vec<_> = tested["samples"].list().iter().map(|sample| sample["delivered"].clone()).collect();
    assert_eq!(delivered.iter().filter(|one| **one == json!(false)).count(), 1, "{tested}");
    assert_eq!(
        (&tested["delivered"], &tested["event_id"]),
        (&json!(false), &tested["samples"][0]["event_id"]),
        "{tested}"
    );
    world.end().await;
}
