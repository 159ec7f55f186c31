//! Test delivery, as a person uses it: of settings before they are saved, of a connector that works or does not, after mending what was
//! wrong. What each mistake is answered with is in `it`'s `hints.rs`.

use serde_json::{Value, json};
use toktra_siem_fake::datadog::{Datadog, DatadogOptions, Endpoint as DatadogEndpoint, error_reply};
use toktra_siem_fake::splunk::{Endpoint, Splunk};
use toktra_siem_fake::{Behaviour, Gate};

use crate::splunk::fake;
use crate::support::{
    Account, CREDENTIAL, Connector, Org, Stage, accepted, event, items_of, splunk_config, text, with,
};

impl Connector {
    /// Tests it, with a patch laid over it where there is one.
    async fn test(&self, org: &Org, patch: Value) -> Value {
        org.client.post(&self.path("/test"), &patch).await.expect_status(200).json()
    }
}

fn stages(report: &Value) -> Vec<(String, bool)> {
    let stage = |stage: &Value| (text(&stage["stage"]), stage["ok"].as_bool().unwrap());
    items_of(&report["stages"]).iter().map(stage).collect()
}

/// What the fake took of the test, as JSON.
fn taken(splunk: &Splunk, id: &str) -> Value {
    let events = splunk.events();
    let event = events.iter().find(|event| event.event_id.as_deref() == Some(id)).expect("the test event was taken");
    serde_json::from_slice(&event.event).unwrap()
}

#[tokio::test]
async fn settings_are_tried_before_they_are_saved_and_nothing_is_stored() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let body = json!({ "name": "Splunk", "platform": "splunk", "config": splunk_config(&splunk), "active": true });
    let try_out =
        async |body: &Value| org.client.post("/v1/siem/connectors/test", body).await.expect_status(200).json();
    let good = try_out(&body).await;
    assert_eq!(
        (&good["delivered"], &good["http_status"], &good["hint"]),
        (&json!(true), &json!(200), &Value::Null),
        "{good}"
    );
    assert_eq!(stages(&good), [("tcp".into(), true), ("http".into(), true), ("write".into(), true)], "{good}");
    assert_eq!(good["streams"][0]["delivery_id"], Value::Null);
    let id = text(&good["event_id"]);
    assert_eq!(good["search"], format!("index=toktra sourcetype=\"toktra:security\" event_id=\"{id}\""));
    let event = taken(&splunk, &id);
    assert_eq!((&event["event_type"], &event["severity"]), (&json!("test_connection"), &json!("low")), "{event}");
    assert_eq!((&event["source"], &event["tags"], &event["org_id"]), (&json!("toktra"), &json!({}), &json!(org.id)));
    assert!(
        text(&event["event_id"]).parse::<uuid::Uuid>().unwrap().get_version_num() == 7 && event["summary"].is_string()
    );

    let mut wrong = body.clone();
    wrong["config"]["hec_token"] = "not-the-token-at-all".into();
    let bad = try_out(&wrong).await;
    assert_eq!((&bad["delivered"], &bad["http_status"]), (&json!(false), &json!(403)), "{bad}");
    assert_eq!(stages(&bad)[2], ("write".into(), false));
    assert!(text(&bad["hint"]).starts_with("Splunk answered 403: it does not know this HEC token."), "{bad}");
    assert!(!bad.to_string().contains("not-the-token-at-all"), "{bad}");

    let connectors = org.client.get("/v1/siem/connectors").await.expect_status(200).json();
    assert_eq!(connectors["total_count"], 0);
    let history = org.client.get("/v1/siem/deliveries").await.expect_status(200).json();
    assert_eq!(history["items"], json!([]));
    org.client.get(&format!("/v1/events/{id}")).await.expect_status(404);
    assert_eq!(splunk.violations().len(), 1, "the wrong token alone");
    stage.end(&[]).await;
}

#[tokio::test]
async fn a_success_closes_the_breaker_and_what_waited_is_delivered() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let connector = org.splunk(&splunk).await;
    splunk.set_token_enabled(false);
    let mut ids = vec![org.post_one(event("anomaly", "high")).await];
    connector.until_health("events", "misconfigured").await;
    ids.extend(org.post(&[event("lockout", "critical"), event("anomaly", "low")]).await);

    let refused = connector.test(&org, json!({})).await;
    assert!(
        text(&refused["hint"]).starts_with("Splunk answered 403: this HEC token is disabled. In Splunk: Settings →"),
        "{refused}"
    );
    assert_eq!(connector.health("events").await["state"], "misconfigured");

    splunk.set_token_enabled(true);
    // With a patch it is another connector that works: this one stays as it is.
    let patched = connector.test(&org, json!({ "config": { "sourcetype": "other" } })).await;
    assert_eq!((&patched["delivered"], &patched["streams"][0]["delivery_id"]), (&json!(true), &Value::Null));
    assert_eq!(connector.health("events").await["state"], "misconfigured");
    let test = connector.test(&org, json!({})).await;
    assert_eq!(test["delivered"], true, "{test}");
    connector.until_account("events", &Account::delivered(3)).await;
    connector.until_health("events", "healthy").await;
    for id in &ids {
        connector.until_outcome("events", id, "delivered").await;
    }

    let id = text(&test["event_id"]);
    let found = connector.deliveries(&format!("event_id={id}")).await;
    let [delivery] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&delivery["trigger"], &delivery["status"]), (&json!("test"), &json!("delivered")), "{delivery}");
    assert_eq!(delivery["id"], test["streams"][0]["delivery_id"]);
    let detail = connector.delivery(&text(&delivery["id"])).await;
    assert_eq!(
        (&detail["events"][0]["event_id"], &detail["events"][0]["event_type"]),
        (&json!(id), &json!("test_connection"))
    );
    assert_eq!((&detail["event_count"], &detail["attempt_count"]), (&json!(1), &json!(1)), "{detail}");
    assert_eq!(detail["attempts"][0]["http_status"], 200);
    assert_eq!(connector.deliveries("trigger=test").await.len(), 2, "the refused one and this one");

    let shown = org.client.get(&format!("/v1/events/{id}")).await.expect_status(200).json();
    assert_eq!((&shown["test"], &shown["sequence"], &shown["accepted_at"]), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(shown["event"], taken(&splunk, &id), "the very same event");
    let outcome = &shown["outcomes"][0];
    assert_eq!((&outcome["outcome"], &outcome["delivery"]), (&json!("delivered"), &detail["id"]), "{shown}");
    let failed = text(&refused["event_id"]);
    let shown = org.client.get(&format!("/v1/events/{failed}")).await.expect_status(200).json();
    assert_eq!(shown["outcomes"][0]["cause"]["code"], "splunk_1_token_disabled", "{shown}");
    let of_log = org.client.get(&format!("/v1/events/{}", ids[0])).await.expect_status(200).json();
    assert_eq!(of_log["test"], false);
    stage.end(&[(&connector, &[("events", Account::delivered(3))])]).await;
}

#[tokio::test]
async fn a_connector_that_is_off_and_one_of_the_environment_can_be_tried() {
    let splunk = fake().await;
    let stage = Stage::with_settings(&[
        ("SIEM_SPLUNK_HEC_URL", splunk.base_url().as_str()),
        ("SIEM_SPLUNK_HEC_TOKEN", CREDENTIAL),
    ])
    .await;
    let org = stage.default_org().await;
    let off = json!({ "active": false, "name": "off" });
    let off =
        org.connector_with("splunk", splunk_config(&splunk), with(off, "signing_secret", "a-secret-of-our-own")).await;
    assert_eq!(off.test(&org, json!({})).await["delivered"], true);
    assert_eq!(off.health("events").await["state"], "off");
    let all = org.client.get("/v1/siem/connectors").await.expect_status(200).json();
    let of_environment =
        items_of(&all["items"]).into_iter().find(|shown| shown["managed_by"] == "environment").unwrap();
    let path = format!("/v1/siem/connectors/{}/test", text(&of_environment["id"]));
    let report = org.client.post(&path, &json!({})).await.expect_status(200).json();
    assert_eq!(report["delivered"], true, "{report}");
    org.client.post(&path, &json!({ "config": { "index": "other" } })).await.expect_status(409);
    accepted(&splunk, 2).await;
    assert_eq!(splunk.violations(), []);
    let known = org.known(&of_environment);
    stage.end(&[(&off, &[("events", Account::default())]), (&known, &[("events", Account::default())])]).await;
}

#[tokio::test]
async fn both_streams_of_datadog_are_tried_and_the_one_that_failed_stands_on_top() {
    let stage = Stage::start().await;
    let datadog = Datadog::start(DatadogOptions::new(CREDENTIAL)).await.unwrap();
    let org = stage.org("Acme").await;
    let connector = org.datadog(&datadog).await;
    let good = connector.test(&org, json!({})).await;
    assert_eq!((&good["delivered"], &good["streams"][1]["delivered"]), (&json!(true), &json!(true)), "{good}");
    let id = text(&good["event_id"]);
    assert_eq!(good["search"], format!("source:toktra @event_id:{id}"));
    assert_eq!(connector.deliveries(&format!("event_id={id}")).await.len(), 2);
    let points = datadog.points();
    assert!(
        points.iter().any(|point| point.series.tags.contains(&"event_type:test_connection".to_owned())),
        "{points:?}"
    );

    let refusal = Behaviour::reply(error_reply(DatadogEndpoint::Series, 403));
    datadog.always(DatadogEndpoint::Series, refusal);
    let half = connector.test(&org, json!({})).await;
    assert_eq!((&half["delivered"], &half["http_status"]), (&json!(false), &json!(403)), "{half}");
    assert_eq!((&half["streams"][0]["delivered"], &half["streams"][1]["stream"]), (&json!(true), &json!("metrics")));
    let id = text(&half["event_id"]);
    assert_eq!(connector.outcome("logs", &id).await["outcome"], "delivered");
    assert_eq!(connector.outcome("metrics", &id).await["outcome"], "failed");
    connector.until_health("logs", "healthy").await;
    assert_eq!(datadog.violations(), []);
    let none = Account::default();
    stage.end(&[(&connector, &[("logs", none.clone()), ("metrics", none)])]).await;
}

#[tokio::test]
async fn a_test_goes_on_to_its_end_where_nobody_waits_for_it() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let connector = org.splunk(&splunk).await;
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
    stage.end(&[(&connector, &[("events", Account::default())])]).await;
}

#[tokio::test]
async fn a_stage_is_told_while_the_siem_takes_its_time() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let connector = org.splunk(&splunk).await;
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict().answer_held(&gate)]);
    let mut lines = org.client.post_for_lines(&connector.path("/test"), &json!({})).await;
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
    stage.end(&[(&connector, &[("events", Account::default())])]).await;
}

#[tokio::test]
async fn tests_that_hang_are_bounded_and_the_next_one_is_told() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let gate = Gate::new();
    splunk.always(Endpoint::Event, Behaviour::strict().answer_held(&gate));
    let body = json!({ "name": "tried", "platform": "splunk", "config": splunk_config(&splunk) });
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
    stage.end(&[]).await;
}
