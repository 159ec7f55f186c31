//! One connector's page: how it stands, its charts and settings, and the changes that it offers.

use std::time::Duration;

use toktra_siem_app::TemplateFailure;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{ConnectorId, StreamId, StreamKind};
use toktra_siem_core::traffic::{Traffic, bucket};
use toktra_siem_store::TrafficRow;
use toktra_siem_testkit::prelude::*;

fn elasticsearch(name: &str) -> Value {
    let config = json!({ "url": "https://siem.example:9200", "api_key": "dGhpcy1pcy1hLXNlY3JldA==" });
    json!({ "name": name, "platform": "elasticsearch", "active": true, "config": config })
}

fn datadog(name: &str) -> Value {
    let config = json!({ "site": "datadoghq.eu", "api_key": "0123456789abcdef0123456789abcdef" });
    json!({ "name": name, "platform": "datadog", "active": true, "config": config })
}

/// Makes a connector; where its page is.
async fn make(world: &Here, body: &Value) -> String {
    let made = world.make("/v1/siem/connectors", body).await;
    format!("/integrations/siem/{}", made["id"].as_str().unwrap())
}

/// A Splunk connector that is on.
async fn active(world: &Here, name: &str) -> String {
    let mut body = splunk_body(name);
    body["active"] = true.into();
    body["signing_secret"] = "a-signing-secret-of-some-length".into();
    make(world, &body).await
}

fn id_of(path: &str) -> ConnectorId {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

fn api(path: &str) -> String {
    format!("/v1/siem/connectors/{}", id_of(path))
}

async fn happen(world: &Here, events: u32) {
    for n in 0..events {
        let event = json!({ "event_type": "lockout", "severity": "high", "summary": format!("Event {n}") });
        world.begin("/v1/events", &event).await;
    }
}

async fn flowed(world: &Here, path: &str, minutes: u64, traffic: Traffic) {
    let stream = StreamId { connector: id_of(path), kind: StreamKind::Events };
    let at = bucket(START.plus(Duration::from_mins(minutes)));
    world.store.add_traffic(vec![TrafficRow { stream, at, traffic }]).await.unwrap();
}

/// Where the answer to a form leads, and what the next page says on top.
async fn led(tab: &Tab, answer: Answer) -> (String, String) {
    let to = answer.expect_status(303).header("location").unwrap().to_owned();
    let page = tab.get(&to).await.expect_status(200).text();
    let notice = page.split_once("<div class=\"notice").and_then(|(_, rest)| rest.split_once("<p>"));
    let notice = notice.and_then(|(_, rest)| rest.split_once("</p>")).map_or("", |(text, _)| text);
    (to, notice.replace("&quot;", "\""))
}

#[tokio::test]
async fn a_connector_that_delivers_shows_what_flowed_and_how_it_is_set_up() {
    let world = World::here().await;
    let path = active(&world, "Prod Splunk").await;
    let mut traffic = Traffic { delivered: 1204, failed: 3, rejected: 1, lag: 12, ..Traffic::default() };
    traffic.latency.add(Duration::from_millis(80), 1204);
    flowed(&world, &path, 0, traffic).await;
    world.pass(Duration::from_mins(4));
    let tab = Tab::of_admin(&world).await;
    insta::assert_snapshot!("connector_delivering", content(&tab.get(&path).await.expect_status(200)));
}

#[tokio::test]
async fn the_time_and_the_stream_of_the_charts_are_in_the_address() {
    let world = World::here().await;
    let path = make(&world, &datadog("Datadog EU")).await;
    let tab = Tab::of_viewer(&world).await;
    let page = tab.get(&format!("{path}?range=7d&stream=metrics")).await.expect_status(200).text();
    assert!(page.contains(&format!("href=\"{path}?range=30d&#38;stream=metrics\"")), "{page}");
    let chosen: Vec<&str> =
        page.split(" aria-current=\"true\">").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(chosen, ["Metrics", "7 days"]);
    let part = tab.part(&format!("{path}/charts?range=30d")).await.expect_status(200);
    insta::assert_snapshot!("charts_of_nothing", content(&part));
    tab.get(&format!("{path}?range=century&stream=nonsense")).await.expect_status(200);
}

#[tokio::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let world = World::here().await;
    let path = make(&world, &elasticsearch("SOC")).await;
    let tab = Tab::of_viewer(&world).await;
    let mut all = String::new();
    for tab_of in ["", "/deliveries", "/settings", "/signing"] {
        let page = content(&tab.get(&format!("{path}{tab_of}")).await.expect_status(200));
        assert!(!page.contains("method=\"post\"") && !page.contains("/delete\"") && !page.contains("/edit"), "{page}");
        all.push_str(&page);
    }
    assert!(all.contains("Set, ends in …") && all.contains("Index template"), "{all}");
    for change in [
        "active",
        "index-template",
        "signing-secret/rotate",
        "signing-secret/activate",
        "signing-secret/cancel",
        "delete",
    ] {
        tab.post(&format!("{path}/{change}"), &[]).await.expect_status(403);
    }
}

#[tokio::test]
async fn secrets_are_told_by_how_they_end() {
    let world = World::here().await;
    let path = active(&world, "x").await;
    let page = Tab::of_admin(&world).await.get(&format!("{path}/settings")).await.expect_status(200).text();
    assert!(page.contains("Set, ends in …4444"), "{page}");
    assert!(!page.contains("00000000-1111"), "the token itself is nowhere");
}

#[tokio::test]
async fn names_are_no_html() {
    let world = World::here().await;
    let path = active(&world, "<img src=x onerror=alert(1)>").await;
    let tab = Tab::of_admin(&world).await;
    for page in [path.clone(), format!("{path}/delete")] {
        let html = tab.get(&page).await.expect_status(200).text();
        assert!(!html.contains("<img") && html.contains("&#60;img"), "{html}");
    }
}

#[tokio::test]
async fn pausing_is_done_at_once_and_resuming_asks_what_becomes_of_what_waits() {
    let world = World::here().await;
    let path = active(&world, "Prod").await;
    let tab = Tab::of_admin(&world).await;
    let set = format!("{path}/active");

    let paused = led(&tab, tab.post(&set, &[("active", "false")]).await).await;
    assert_eq!(paused, (path.clone(), "“Prod” is paused. New events are queued until you resume.".to_owned()));
    let resumed = led(&tab, tab.post(&set, &[("active", "true")]).await).await;
    assert_eq!(resumed, (path.clone(), "“Prod” is on.".to_owned()), "nothing waited");

    tab.post(&set, &[("active", "false")]).await.expect_status(303);
    happen(&world, 3).await;
    insta::assert_snapshot!(
        "connector_paused_live",
        content(&tab.get(&path).await.expect_status(200)).split("<div id=\"test-run\"").next().unwrap().to_owned()
    );
    let asked = tab.post(&set, &[("active", "true")]).await.expect_status(303);
    let question = asked.header("location").unwrap().to_owned();
    assert_eq!(question, format!("{path}/resume"));
    insta::assert_snapshot!("connector_resume", content(&tab.get(&question).await.expect_status(200)));

    let skipped = led(&tab, tab.post(&set, &[("active", "true"), ("resume", "now")]).await).await;
    assert_eq!(skipped.1, "“Prod” is on, from now: 3 events that had waited were skipped.");
    tab.post(&set, &[("active", "false")]).await.expect_status(303);
    happen(&world, 1).await;
    let back = [("active", "true"), ("resume", "backlog"), ("back", "/integrations/siem")];
    let delivered = led(&tab, tab.post(&set, &back).await).await;
    assert_eq!(delivered.0, "/integrations/siem");
    assert_eq!(delivered.1, "“Prod” is on. 1 event that had waited is delivered beside the new ones.");
    let away = [("active", "true"), ("back", "https://evil.example/")];
    let answer = tab.post(&set, &away).await.expect_status(303);
    assert!(answer.header("location").unwrap().starts_with('/'), "nobody is led elsewhere");
}

#[tokio::test]
async fn what_was_never_on_starts_without_a_question() {
    let world = World::here().await;
    let path = make(&world, &splunk_body("New")).await;
    happen(&world, 2).await;
    let tab = Tab::of_admin(&world).await;
    let page = tab.get(&path).await.expect_status(200).text();
    assert!(page.contains("starts with the first event after that"), "{page}");
    assert!(page.contains("Not switched on yet") && !page.contains("wait"), "{page}");
    // However often it is saved before.
    let connector = path.rsplit('/').next().unwrap();
    let renamed = world.change(&format!("/v1/siem/connectors/{connector}"), &json!({ "name": "New" })).await;
    assert_eq!((&renamed["revision"], &renamed["activated"]), (&json!(2), &json!(false)));
    let page = tab.get(&path).await.expect_status(200).text();
    assert!(page.contains("Not switched on yet") && !page.contains("wait"), "{page}");
    let on = led(&tab, tab.post(&format!("{path}/active"), &[("active", "true")]).await).await;
    assert_eq!(on.1, "“New” is on, and starts with the next event.");
}

#[tokio::test]
async fn a_new_signing_secret_is_shown_once() {
    let world = World::here().await;
    let path = active(&world, "Prod").await;
    let tab = Tab::of_admin(&world).await;
    let rotate = format!("{path}/signing-secret/rotate");
    tab.get(&path).await.expect_status(200);
    let answer = tab.post(&rotate, &[("grace", "3600")]).await.expect_status(200);
    insta::assert_snapshot!("connector_rotated", content(&answer));
    let html = answer.text();
    let secret = html.split_once("data-copy=\"").unwrap().1.split('"').next().unwrap();
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let signing = format!("{path}/signing");
    let page = tab.get(&signing).await.expect_status(200).text();
    assert!(page.contains("Both sign until") && !page.contains(secret), "{page}");
    assert!(!tab.get(&path).await.expect_status(200).text().contains(secret));
    assert!(!world.is_on_disk(secret));
    let again = tab.post(&rotate, &[]).await.expect_status(409).text();
    assert!(again.contains("A rotation is under way"), "{again}");

    // Lost: begun anew, cancelled, or activated, which asks once.
    let anew = tab.post(&rotate, &[("replace", "true")]).await.expect_status(200).text();
    let secret = &*anew.split_once("data-copy=\"").unwrap().1.split('"').next().unwrap().to_owned();
    assert!(!html.contains(secret));
    let activate = format!("{path}/signing-secret/activate");
    let question = tab.get(&activate).await.expect_status(200).text();
    assert!(question.contains("Activate the new signing secret of Prod?"), "{question}");
    let ended = led(&tab, tab.post(&activate, &[]).await).await;
    assert_eq!(ended, (signing.clone(), "The new signing secret is now active. The old one is no longer used.".into()));
    tab.post(&rotate, &[]).await.expect_status(200);
    let cancelled = led(&tab, tab.post(&format!("{path}/signing-secret/cancel"), &[]).await).await;
    assert_eq!(
        cancelled,
        (signing.clone(), "The rotation was cancelled. The current secret goes on signing alone.".into())
    );
    assert!(!tab.get(&signing).await.text().contains("Both sign until"));
    tab.post(&format!("{path}/signing-secret/cancel"), &[]).await.expect_status(409);
    assert_eq!(tab.get(&activate).await.expect_status(303).header("location"), Some(&*signing));
    let shown = world.read(&api(&path)).await;
    assert_eq!(shown["signing_secret"]["hint"], json!(format!("…{}", &secret[secret.len() - 4..])));
}

#[tokio::test]
async fn the_index_template_is_put_in_place_or_its_refusal_told() {
    let world = World::here().await;
    let path = make(&world, &elasticsearch("SOC")).await;
    let tab = Tab::of_admin(&world).await;
    let apply = format!("{path}/index-template");
    let form = [("idempotency_key", "first")];
    let done = led(&tab, tab.post(&apply, &form).await).await;
    assert!(done.1.starts_with("The index template “toktra-security-events” is in place."), "{}", done.1);
    let cause = Cause::new("network_refused", "siem.example refuses connections.");
    *world.dispatch.failure.lock() = Some(TemplateFailure::Endpoint(cause));
    let again = led(&tab, tab.post(&apply, &form).await).await;
    assert_eq!(again, done, "a form that is sent twice is done once");
    let failed = led(&tab, tab.post(&apply, &[]).await).await;
    assert_eq!(failed.0, format!("{path}/settings"));
    assert!(failed.1.contains("siem.example refuses connections."), "{}", failed.1);
}

#[tokio::test]
async fn deleting_says_what_goes_with_it() {
    let world = World::here().await;
    let path = active(&world, "Prod").await;
    happen(&world, 12).await;
    let tab = Tab::of_admin(&world).await;
    let delete = format!("{path}/delete");
    insta::assert_snapshot!("connector_delete", content(&tab.get(&delete).await.expect_status(200)));
    let stale = tab.post(&delete, &[("revision", "7")]).await;
    assert_eq!(stale.status, 412, "{}", stale.text());
    let gone = led(&tab, tab.post(&delete, &[("revision", "1")]).await).await;
    assert_eq!(
        gone,
        ("/integrations/siem".to_owned(), "“Prod” was deleted, and 12 undelivered events discarded.".to_owned())
    );
    let missing = tab.get(&path).await.expect_status(404);
    assert!(missing.text().contains("Not found"));
    tab.part(&format!("{path}/live")).await.expect_status(404);
}

#[tokio::test]
async fn a_filter_is_tried_before_it_is_saved() {
    let (world, tab) = World::here_as_viewer().await;
    for (event_type, severity) in [("anomaly", "low"), ("anomaly", "high"), ("lockout", "high")] {
        world.begin("/v1/events", &json!({ "event_type": event_type, "severity": severity })).await;
    }
    let path = "/integrations/siem/filter/preview";
    let all = tab.part(path).await.expect_status(200).text();
    assert_eq!(all, "Would have forwarded 3 of the last 7 days&#39; 3 events.");
    let some = tab.part(&format!("{path}?severity=high&event_types=anomaly")).await.expect_status(200).text();
    assert_eq!(
        some,
        "Would have forwarded 1 of the last 7 days&#39; 3 events. Left out: 1 by severity (low), 1 by event type."
    );
    tab.part(&format!("{path}?severity=urgent")).await.expect_status(422);
}
