//! Connectors of the environment: they deliver from the start, signed; what waits for one survives its variables being gone.

use serde_json::{Value, json};
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_fake::verify;
use toktra_siem_testkit::poll;
use toktra_siem_testkit::server::{ServerProcess, ServerSetup};

use crate::serve::setup;

const TOKEN: &str = "a-hec-token-of-some-length";
const SECRET: &str = "a-signing-secret-of-some-length";

fn described(splunk: &Splunk) -> ServerSetup {
    setup()
        .env("SIEM_SPLUNK_HEC_URL", splunk.base_url())
        .env("SIEM_SPLUNK_HEC_TOKEN", TOKEN)
        .env("SIEM_SIGNING_SECRET", SECRET)
}

async fn post(server: &ServerProcess) {
    let event = json!({ "event_type": "lockout", "severity": "critical" });
    server.client().begin("/v1/events", &event).await;
}

async fn connector(server: &ServerProcess) -> Value {
    server.client().read("/v1/siem/connectors").await["items"][0].clone()
}

#[tokio::test]
async fn events_arrive_signed_and_no_log_holds_a_secret() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let setup = described(&splunk);
    let server = setup.start().await;
    post(&server).await;
    splunk.wait_for_events(1).await;
    let request = splunk.requests().pop().unwrap();
    verify::signature(&request, SECRET).unwrap();
    verify::webhook(&request, SECRET, None).unwrap();
    let shown = connector(&server).await;
    assert_eq!((&shown["name"], &shown["active"]), (&json!("Splunk (environment)"), &json!(true)));
    let log = server.whole_log();
    assert!(!log.contains(TOKEN) && !log.contains(SECRET), "{log}");
    server.stop().await;
    assert!(splunk.violations().is_empty());
}

#[tokio::test]
async fn without_its_variables_it_is_off_and_with_them_again_it_delivers_what_waited() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let mut setup = described(&splunk);
    let server = setup.start().await;
    let first = connector(&server).await;
    post(&server).await;
    splunk.wait_for_events(1).await;
    server.stop().await;

    setup = setup.without_env("SIEM_SPLUNK_HEC_URL").without_env("SIEM_SPLUNK_HEC_TOKEN");
    let server = setup.start().await;
    let off = connector(&server).await;
    assert_eq!((&off["id"], &off["active"]), (&first["id"], &json!(false)));
    post(&server).await;
    server.stop().await;

    setup = setup.env("SIEM_SPLUNK_HEC_URL", splunk.base_url()).env("SIEM_SPLUNK_HEC_TOKEN", TOKEN);
    let server = setup.start().await;
    splunk.wait_for_events(2).await;
    assert_eq!(connector(&server).await["id"], first["id"]);
    server.stop().await;
    assert!(splunk.event_ids().values().all(|times| *times == 1));
}

#[tokio::test]
async fn without_its_variables_it_may_be_removed_and_with_them_again_it_begins_anew() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let mut setup = described(&splunk);
    let server = setup.start().await;
    let first = connector(&server).await;
    let path = format!("/v1/siem/connectors/{}", first["id"].as_str().unwrap());
    server.client().delete(&path).await.expect_status(409);
    server.stop().await;

    setup = setup.without_env("SIEM_SPLUNK_HEC_URL").without_env("SIEM_SPLUNK_HEC_TOKEN");
    let server = setup.start().await;
    post(&server).await;
    server.client().patch(&path, &json!({ "active": true })).await.expect_status(409);
    let removed = server.client().remove(&path).await;
    assert_eq!(removed, json!({ "discarded": 1 }));
    server.stop().await;

    setup = setup.env("SIEM_SPLUNK_HEC_URL", splunk.base_url()).env("SIEM_SPLUNK_HEC_TOKEN", TOKEN);
    let server = setup.start().await;
    assert_eq!(connector(&server).await["id"], first["id"]);
    post(&server).await;
    splunk.wait_for_events(1).await;
    server.stop().await;
    assert_eq!(splunk.events().len(), 1, "what was given up with the connector stays so");
}

#[tokio::test]
async fn without_a_signing_secret_it_sends_unsigned_and_says_so() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let setup = described(&splunk).without_env("SIEM_SIGNING_SECRET");
    let server = setup.start().await;
    post(&server).await;
    splunk.wait_for_events(1).await;
    assert!(!splunk.requests().pop().unwrap().headers.contains_key("x-toktra-signature"));
    poll::until("the log says so", async || server.whole_log().contains("UNSIGNED").then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn a_file_describes_it_as_well() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("siem.toml");
    let file = format!(
        "[splunk]\nhec_url = \"{}\"\nhec_token = \"{TOKEN}\"\n[splunk.filter]\nseverity = [\"critical\"]\n",
        splunk.base_url()
    );
    std::fs::write(&path, file).unwrap();
    let setup = setup().env("TOKTRA_SIEM_CONFIG", path.as_os_str());
    let server = setup.start().await;
    let passed_by = json!({ "event_type": "lockout", "severity": "low" });
    server.client().begin("/v1/events", &passed_by).await;
    post(&server).await;
    splunk.wait_for_events(1).await;
    assert_eq!(connector(&server).await["filter"], json!({ "severity": ["critical"] }));
    server.stop().await;
    assert_eq!(splunk.events().len(), 1);
}
