//! Delivery history, a delivery, and jobs, in a browser, against a server that really delivered.

use serde_json::{Value, json};
use toktra_siem_fake::splunk::{Endpoint, Splunk, SplunkOptions, reply};
use toktra_siem_fake::{Behaviour, Reply};
use toktra_siem_testkit::browser::Page;
use toktra_siem_testkit::poll;
use toktra_siem_testkit::server::{ServerProcess, ServerSetup};

use crate::support::{browser, looks_right_everywhere, server};

const EMAIL: &str = "ada@company.example";
const PASSWORD: &str = "canary horse battery staple";
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const SCRIPT: &str = "<script>document.title=1</script><img src=x onerror=document.title=1>";

/// A server with a connector whose history has a bit of everything: taken, refused, and taken at the third attempt.
struct Stage {
    server: ServerProcess,
    connector: String,
    splunk: Splunk,
    _setup: ServerSetup,
}

impl Stage {
    async fn start() -> Self {
        let setup = server().env("TOKTRA_SIEM_ADMIN_EMAIL", EMAIL).env("TOKTRA_SIEM_ADMIN_PASSWORD", PASSWORD);
        let server = setup.start().await;
        let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
        let config = json!({ "hec_url": splunk.base_url(), "hec_token": TOKEN });
        let body = json!({ "name": "Prod Splunk", "platform": "splunk", "config": config, "active": true });
        let made = server.client().post("/v1/siem/connectors", &body).await.expect_status(201).json();
        let stage = Self { server, connector: made["id"].as_str().unwrap().to_owned(), splunk, _setup: setup };
        stage.post(&json!({ "event_type": "lockout", "severity": "critical" }), "delivered").await;
        let hostile = Reply::json(400, &json!({ "text": SCRIPT, "code": 6 }));
        stage.splunk.script(Endpoint::Event, [Behaviour::reply(hostile)]);
        stage.post(&json!({ "event_type": "anomaly", "severity": "low" }), "rejected").await;
        stage.splunk.script(Endpoint::Event, [Behaviour::reply(reply(9)), Behaviour::reply(reply(9))]);
        stage.post(&json!({ "event_type": "policy_violation", "severity": "high" }), "delivered").await;
        stage
    }

    /// Posts an event and waits until it has come to this outcome.
    async fn post(&self, event: &Value, outcome: &str) {
        let posted = self.server.client().post("/v1/events", event).await.expect_status(202).json();
        let path = format!("/v1/events/{}", posted["events"][0]["event_id"].as_str().unwrap());
        poll::until(&format!("the event is {outcome}"), async || {
            let answer = self.server.client().get(&path).await.expect_status(200).json();
            (answer["outcomes"][0]["outcome"] == outcome).then_some(())
        })
        .await;
    }

    /// Opens a page as an admin.
    async fn open(&self, page: &Page, path: &str) {
        page.reduced_motion().await;
        page.goto(&format!("{}/login", self.server.base())).await;
        page.fill("#email", EMAIL).await;
        page.fill("#password", PASSWORD).await;
        page.press("Enter").await;
        page.wait_for_url("/integrations/siem").await;
        page.goto(&format!("{}{path}", self.server.base())).await;
    }

    fn path(&self, below: &str) -> String {
        format!("/integrations/siem/{}/{below}", self.connector)
    }
}

#[tokio::test]
async fn the_history_looks_right_everywhere() {
    let Some((_browser, page)) = browser().await else { return };
    let stage = Stage::start().await;
    stage.open(&page, &stage.path("deliveries")).await;
    page.wait_for_text("table", "Rejected").await;
    looks_right_everywhere(&page, "history").await;
    page.goto(&format!("{}/deliveries?status=pending", stage.server.base())).await;
    looks_right_everywhere(&page, "history-none").await;
    page.goto(&format!("{}/deliveries?status=rejected", stage.server.base())).await;
    page.click("tbody tr .row-link").await;
    page.wait_for_text("dialog h3", "Attempts").await;
    looks_right_everywhere(&page, "delivery-sheet").await;
    page.reload().await;
    page.wait_for_text("h1", "Delivery to Prod Splunk").await;
    let answered = json!(SCRIPT).to_string();
    let shown = page.texts("pre").await;
    assert!(
        shown.iter().any(|text| text.contains(answered.trim_matches('"'))),
        "what the SIEM answered is text: {shown:?}"
    );
    assert!(page.title().await.starts_with("Delivery to Prod Splunk"), "and no script of it ran");
    looks_right_everywhere(&page, "delivery").await;
    stage.server.stop().await;
}

#[tokio::test]
async fn jobs_look_right_everywhere() {
    let Some((_browser, page)) = browser().await else { return };
    let stage = Stage::start().await;
    for wish in ["redeliver-failed", "replay", "discard"] {
        stage.open(&page, &stage.path(wish)).await;
        page.wait_for(".preview button").await;
        looks_right_everywhere(&page, wish).await;
    }
    page.goto(&format!("{}{}", stage.server.base(), stage.path("replay?from="))).await;
    page.click(".preview button").await;
    page.wait_for_text(".badge", "Done").await;
    looks_right_everywhere(&page, "job").await;
    page.goto(&format!("{}{}", stage.server.base(), stage.path("jobs"))).await;
    looks_right_everywhere(&page, "jobs").await;
    stage.server.stop().await;
}

#[tokio::test]
async fn a_filter_applies_as_one_chooses_and_back_takes_it_back() {
    let Some((_browser, page)) = browser().await else { return };
    let stage = Stage::start().await;
    stage.open(&page, "/deliveries").await;
    page.wait_for_text("tbody", "Delivered").await;
    page.select("#status", "rejected").await;
    page.wait_for_url("?status=rejected").await;
    page.wait_gone("tbody .badge.good").await;
    assert_eq!(page.texts("tbody tr").await.len(), 1);
    page.click("h1").await;
    page.press("/").await;
    assert!(page.active_element().await.starts_with("input#event_id"), "{}", page.active_element().await);
    page.fill("#event_id", "nonsense").await;
    page.press("Enter").await;
    page.wait_for_text("#event_id-fault", "not a UUID").await;
    assert_eq!(page.value("#event_id").await, "nonsense", "what was typed is still there");
    page.back().await;
    page.wait_for_text("tbody", "Rejected").await;
    page.back().await;
    page.wait_for_text("tbody", "Delivered").await;
    page.assert_quiet_except(&["422"]).await;
    stage.server.stop().await;
}

#[tokio::test]
async fn a_delivery_opens_over_the_history_and_closes_again() {
    let Some((_browser, page)) = browser().await else { return };
    let stage = Stage::start().await;
    stage.open(&page, "/deliveries?status=rejected").await;
    page.wait_for("tbody tr").await;
    page.eval("window.still = true;").await;
    for close in ["Escape", "button", "back"] {
        page.click("tbody tr .row-link").await;
        page.wait_for_text("dialog h2", "Delivery to Prod Splunk").await;
        page.wait_for_url("/deliveries/").await;
        match close {
            "back" => page.back().await,
            "button" => page.click("dialog [data-close]").await,
            key => page.press(key).await,
        }
        page.wait_gone("dialog").await;
        page.wait_for_url("/deliveries?status=rejected").await;
        assert_eq!(page.eval("return window.still === true;").await, json!(true), "{close} loads nothing again");
        page.wait_for("tbody tr .row-link:focus").await;
    }
    page.assert_quiet().await;
    stage.server.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_delivered_again_after_a_preview() {
    let Some((_browser, page)) = browser().await else { return };
    let stage = Stage::start().await;
    stage.open(&page, &stage.path("redeliver-failed")).await;
    page.wait_for_text(".verdict", "1 event").await;
    page.eval("const to = document.getElementById('to'); to.value = '2025-01-01T00:00'; to.dispatchEvent(new Event('change', { bubbles: true }));").await;
    page.wait_for_text(".preview", "No event that was accepted in this range is parked").await;
    page.click("a[href$='?from=']").await;
    page.click(".preview button").await;
    page.wait_for_text("h1", "Redelivery of what failed").await;
    page.wait_for_text(".badge", "Done").await;
    page.wait_gone("#job form").await;
    page.click("a[href^='/deliveries?job=']").await;
    page.wait_for_text("tbody", "Redelivery").await;
    page.assert_quiet().await;
    stage.server.stop().await;
}

#[tokio::test]
async fn all_of_it_works_without_javascript() {
    let Some((_browser, page)) = browser().await else { return };
    let stage = Stage::start().await;
    page.without_javascript().await;
    stage.open(&page, "/deliveries").await;
    page.select("#status", "rejected").await;
    page.click(".filters button").await;
    page.wait_for_url("/deliveries?status=rejected").await;
    page.click("tbody tr .row-link").await;
    page.wait_for_text("h1", "Delivery to Prod Splunk").await;
    page.click("form[action$='/redeliver'] button").await;
    page.wait_for_text("h1", "Redelivery").await;
    page.goto(&format!("{}{}", stage.server.base(), stage.path("replay"))).await;
    page.click("form.filters button").await;
    page.wait_for_text(".verdict", "3 events").await;
    page.click(".preview button").await;
    page.wait_for_text("h1", "Replay").await;
    stage.server.stop().await;
}
