//! Connectors by the command line: made, changed, applied from files, exported, removed; and the history that they leave.

use serde_json::{Value, json};
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::json::Json as _;
use toktra_siem_testkit::poll;
use toktra_siem_testkit::server::{API_KEY, ServerProcess};

use super::{Said, command, with_server};
use crate::serve::setup;

const TOKEN: &str = "a-hec-token-that-is-long-9876";

#[tokio::test]
async fn a_connector_is_made_used_looked_at_and_removed() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let setup = setup();
    let server = setup.start().await;
    let add =
        ["connector", "add", "splunk", "--hec-url", &splunk.base_url(), "--hec-token-file", "-", "--severity", "high"];
    let said = with_server(&server, &add, TOKEN.as_bytes()).await.done();
    assert!(
        said.stdout.contains("Made: Splunk (splunk, off)") && said.stdout.contains("shown only now"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains(TOKEN) && !said.stderr.contains(TOKEN));
    let taken = with_server(&server, &add, TOKEN.as_bytes()).await;
    assert_eq!(taken.code, Some(1));
    assert!(taken.stderr.contains("(409)"), "{}", taken.stderr);
    with_server(&server, &["connector", "enable", "Splunk"], b"").await.done();

    let event = br#"{"event_id":"0197a1b2-0000-7000-8000-000000000001","event_type":"anomaly","severity":"high"}"#;
    with_server(&server, &["event", "send"], event).await.done();
    splunk.wait_for_events(1).await;
    let get = ["event", "get", "0197a1b2-0000-7000-8000-000000000001"];
    let text = poll::until("the event is delivered", async || {
        let said = with_server(&server, &get, b"").await.done().stdout;
        said.contains("delivered").then_some(said)
    })
    .await;
    assert!(text.contains("Splunk     events  delivered"), "{text}");
    let deliveries =
        with_server(&server, &["delivery", "list", "--connector", "Splunk", "--json"], b"").await.done().json();
    let id = deliveries[0].id();
    let text = with_server(&server, &["delivery", "get", &id], b"").await.done().stdout;
    assert!(text.contains("0197a1b2-0000-7000-8000-000000000001") && text.contains("200"), "{text}");
    let health = with_server(&server, &["connector", "health"], b"").await.done().stdout;
    assert!(health.contains("healthy"), "{health}");
    let accounting = with_server(&server, &["connector", "accounting", "Splunk", "--json"], b"").await.done().json();
    assert_eq!((&accounting["adds_up"], &accounting["streams"][0]["delivered"]), (&json!(true), &json!(1)));

    let said = with_server(&server, &["connector", "rotate-secret", "Splunk", "--grace", "1h"], b"").await.done();
    assert!(said.stdout.contains("Both secrets sign until"), "{}", said.stdout);
    with_server(&server, &["connector", "activate-secret", "Splunk"], b"").await.done();
    let said = with_server(&server, &["connector", "template", "Splunk"], b"").await;
    assert!(said.code == Some(1) && said.stderr.contains("no index template"), "{}", said.stderr);

    with_server(&server, &["connector", "disable", "Splunk"], b"").await.done();
    with_server(&server, &["event", "send"], br#"{"event_type":"anomaly","severity":"high"}"#).await.done();
    let said = with_server(&server, &["connector", "delete", "Splunk"], b"").await;
    assert!(said.code == Some(2) && said.stderr.contains("discards 1 event that"), "{}", said.stderr);
    with_server(&server, &["connector", "delete", "Splunk", "--yes"], b"").await.done();
    let none = with_server(&server, &["connector", "list"], b"").await.done();
    assert!(none.stdout.contains("There are no connectors yet"), "{}", none.stdout);
    server.stop().await;
}

async fn apply(server: &ServerProcess, file: &std::path::Path, more: &[&str]) -> Said {
    let arguments = [&["connector", "apply", "-f", file.to_str().unwrap()][..], more].concat();
    let variables = [
        ("TOKTRA_SIEM_URL", server.base()),
        ("TOKTRA_SIEM_API_KEY", API_KEY),
        ("SPLUNK_PROD_HEC_TOKEN", TOKEN),
        ("ES_PASSWORD", "a-password-of-some-length"),
    ];
    command(&arguments, &variables, b"").await
}

async fn revisions(server: &ServerProcess) -> Vec<(Value, Value)> {
    let list = with_server(server, &["connector", "list", "--json"], b"").await.done().json();
    list.as_array()
        .unwrap()
        .iter()
        .map(|connector| (connector["name"].clone(), connector["revision"].clone()))
        .collect()
}

#[tokio::test]
async fn connectors_as_code_are_applied_once_and_again_without_a_revision() {
    let setup = setup()
        .env("SIEM_DATADOG_API_KEY", "0123456789abcdef0123456789abcdef")
        .env("SIEM_DATADOG_URL", "http://127.0.0.1:9");
    let (server, place) = (setup.start().await, tempfile::tempdir().unwrap());
    let file = place.path().join("connectors.yaml");
    std::fs::write(place.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let text = "connectors:
  - name: Splunk prod
    platform: splunk
    config:
      hec_url: http://127.0.0.1:9/
      hec_token: {file: token}
    filter: {severity: [critical, high]}
---
connectors:
  - name: Search
    platform: elasticsearch
    config: {url: 'http://127.0.0.1:9', username: toktra, password: {env: ES_PASSWORD}, index_prefix: audit}
    active: false
";
    std::fs::write(&file, text).unwrap();
    let dry = apply(&server, &file, &["--dry-run"]).await;
    assert_eq!(dry.code, Some(3), "{}", dry.stderr);
    assert!(
        dry.stdout.contains("+ Splunk prod") && dry.stdout.contains("2 to add") && !dry.stdout.contains(TOKEN),
        "{}",
        dry.stdout
    );
    assert_eq!(revisions(&server).await.len(), 1, "a dry run does nothing");
    let said = apply(&server, &file, &[]).await.done();
    assert!(said.stdout.contains("Made: Search") && said.stdout.contains("shown only now"), "{}", said.stdout);

    let before = revisions(&server).await;
    for more in [&["--dry-run"][..], &[], &["--prune"]] {
        let said = apply(&server, &file, more).await.done();
        assert!(said.stdout.starts_with("No changes: 2 as described."), "{}", said.stdout);
    }
    assert_eq!(revisions(&server).await, before, "nothing was saved");

    // What is exported is what is there.
    let exported = with_server(&server, &["connector", "export"], b"").await.done().stdout;
    assert!(exported.contains("SPLUNK_PROD_HEC_TOKEN") && !exported.contains(TOKEN), "{exported}");
    assert!(exported.contains("# Not here") && exported.contains("Datadog (environment)"), "{exported}");
    let again = place.path().join("exported.yaml");
    std::fs::write(&again, exported.replace("SEARCH_PASSWORD", "ES_PASSWORD")).unwrap();
    let said = apply(&server, &again, &["--dry-run", "--prune"]).await.done();
    assert!(said.stdout.starts_with("No changes: 2"), "{}", said.stdout);

    // One is changed, one goes; the environment's stays.
    std::fs::write(&file, text.split("---").next().unwrap().replace("[critical, high]", "[critical]")).unwrap();
    let said = apply(&server, &file, &[]).await.done();
    assert!(said.stdout.contains("filter.severity: high, critical → critical"), "{}", said.stdout);
    assert!(said.stdout.contains("left alone (--prune deletes them): Search."), "{}", said.stdout);
    let said = apply(&server, &file, &["--prune", "--json"]).await.done().json();
    assert_eq!((&said["steps"][0]["action"], &said["steps"][0]["name"]), (&json!("delete"), &json!("Search")));
    let names: Vec<_> = revisions(&server).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [json!("Datadog (environment)"), json!("Splunk prod")]);

    let owned = "connectors: [{name: Datadog (environment), platform: datadog, config: {api_key: x}}]";
    std::fs::write(&file, owned).unwrap();
    let said = apply(&server, &file, &["--prune"]).await;
    assert!(said.code == Some(2) && said.stderr.contains("described by the server's environment"), "{}", said.stderr);
    assert_eq!(revisions(&server).await.len(), 2, "nothing was done");
    server.stop().await;
}

#[tokio::test]
async fn keys_and_orgs_are_listed_made_and_taken_away() {
    let setup = setup();
    let server = setup.start().await;
    let org = with_server(&server, &["org", "create", "Acme", "--json"], b"").await.done().json();
    let id = org["id"].as_str().unwrap();
    let make =
        ["key", "create", "--url", server.base(), "--org", id, "--name", "acme", "--scope", "siem:read", "--json"];
    let key = with_server(&server, &make, b"").await.done().json();
    let secret = key["key"].as_str().unwrap();
    let list = with_server(&server, &["key", "list", "--org", id], b"").await.done();
    assert!(list.stdout.contains("acme") && !list.stdout.contains(secret), "{}", list.stdout);
    let as_acme = |arguments: &'static [&'static str]| {
        let variables = [("TOKTRA_SIEM_URL", server.base().to_owned()), ("TOKTRA_SIEM_API_KEY", secret.to_owned())];
        async move {
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            command(arguments, &variables, b"").await
        }
    };
    as_acme(&["connector", "list"]).await.done();
    let said = as_acme(&["org", "list"]).await;
    assert!(said.code == Some(1) && said.stderr.contains("(403)"), "{}", said.stderr);
    with_server(&server, &["key", "revoke", key["id"].as_str().unwrap(), "--org", id], b"").await.done();
    assert_eq!(as_acme(&["connector", "list"]).await.code, Some(1));
    let said = with_server(&server, &["org", "rename", id, "Acme Ltd"], b"").await.done();
    assert_eq!(said.stdout, "Renamed: Acme Ltd.\n");
    with_server(&server, &["org", "delete", id, "--yes"], b"").await.done();
    let list = with_server(&server, &["org", "list"], b"").await.done();
    assert!(!list.stdout.contains("Acme"), "{}", list.stdout);
    server.stop().await;
}
