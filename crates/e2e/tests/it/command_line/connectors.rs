//! Connectors by the command line: made, changed, applied from files, exported, removed; and the history that they leave.

use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn a_connector_is_made_used_looked_at_and_removed() {
    let splunk = splunk().await;
    let world = World::start().await;
    let add =
        ["connector", "add", "splunk", "--hec-url", &splunk.base_url(), "--hec-token-file", "-", "--severity", "high"];
    let said = world.run(&add, CREDENTIAL.as_bytes()).await.done();
    said.says(&["Made: Splunk (splunk, off)", "shown only now"]);
    assert!(!said.stdout.contains(CREDENTIAL) && !said.stderr.contains(CREDENTIAL));
    let taken = world.run(&add, CREDENTIAL.as_bytes()).await;
    taken.ends(1).complains(&["(409)"]);
    world.done(&["connector", "enable", "Splunk"]).await;

    let event = br#"{"event_id":"0197a1b2-0000-7000-8000-000000000001","event_type":"anomaly","severity":"high"}"#;
    world.run(&["event", "send"], event).await.done();
    splunk.wait_for_events(1).await;
    let get = ["event", "get", "0197a1b2-0000-7000-8000-000000000001"];
    let text = poll::until("the event is delivered", async || {
        let said = world.done(&get).await.stdout;
        said.contains("delivered").then_some(said)
    })
    .await;
    assert!(text.contains("Splunk     events  delivered"), "{text}");
    let deliveries = world.done(&["delivery", "list", "--connector", "Splunk", "--json"]).await.json();
    let id = deliveries[0].id();
    let text = world.done(&["delivery", "get", &id]).await.stdout;
    assert!(text.contains("0197a1b2-0000-7000-8000-000000000001") && text.contains("200"), "{text}");
    let health = world.done(&["connector", "health"]).await.stdout;
    assert!(health.contains("healthy"), "{health}");
    let accounting = world.done(&["connector", "accounting", "Splunk", "--json"]).await.json();
    assert_eq!((&accounting["adds_up"], &accounting["streams"][0]["delivered"]), (&json!(true), &json!(1)));

    let said = world.done(&["connector", "rotate-secret", "Splunk", "--grace", "1h"]).await;
    said.says(&["Both secrets sign until"]);
    world.done(&["connector", "activate-secret", "Splunk"]).await;
    let said = world.run(&["connector", "template", "Splunk"], "").await;
    said.ends(1).complains(&["no index template"]);

    world.done(&["connector", "disable", "Splunk"]).await;
    world.run(&["event", "send"], br#"{"event_type":"anomaly","severity":"high"}"#).await.done();
    let said = world.run(&["connector", "delete", "Splunk"], "").await;
    said.ends(2).complains(&["discards 1 event that"]);
    world.done(&["connector", "delete", "Splunk", "--yes"]).await;
    let none = world.done(&["connector", "list"]).await;
    none.says(&["There are no connectors yet"]);
    world.end().await;
}

async fn apply(world: &World, file: &std::path::Path, more: &[&str]) -> Said {
    let arguments = [&["connector", "apply", "-f", file.to_str().unwrap()][..], more].concat();
    let secrets = [("SPLUNK_PROD_HEC_TOKEN", CREDENTIAL), ("ES_PASSWORD", "a-password-of-some-length")];
    world.run_with(&secrets, &arguments, "").await
}

async fn revisions(world: &World) -> Vec<(Value, Value)> {
    let list = world.done(&["connector", "list", "--json"]).await.json();
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
    let (world, place) = (World::with(setup).await, tempfile::tempdir().unwrap());
    let file = place.path().join("connectors.yaml");
    std::fs::write(place.path().join("token"), format!("{CREDENTIAL}\n")).unwrap();
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
    let dry = apply(&world, &file, &["--dry-run"]).await;
    assert_eq!(dry.code, Some(3), "{}", dry.stderr);
    dry.says(&["+ Splunk prod", "2 to add"]);
    assert!(!dry.stdout.contains(CREDENTIAL), "{}", dry.stdout);
    assert_eq!(revisions(&world).await.len(), 1, "a dry run does nothing");
    let said = apply(&world, &file, &[]).await.done();
    said.says(&["Made: Search", "shown only now"]);

    let before = revisions(&world).await;
    for more in [&["--dry-run"][..], &[], &["--prune"]] {
        let said = apply(&world, &file, more).await.done();
        assert!(said.stdout.starts_with("No changes: 2 as described."), "{}", said.stdout);
    }
    assert_eq!(revisions(&world).await, before, "nothing was saved");

    // What is exported is what is there.
    let exported = world.done(&["connector", "export"]).await.stdout;
    assert!(exported.contains("SPLUNK_PROD_HEC_TOKEN") && !exported.contains(CREDENTIAL), "{exported}");
    assert!(exported.contains("# Not here") && exported.contains("Datadog (environment)"), "{exported}");
    let again = place.path().join("exported.yaml");
    std::fs::write(&again, exported.replace("SEARCH_PASSWORD", "ES_PASSWORD")).unwrap();
    let said = apply(&world, &again, &["--dry-run", "--prune"]).await.done();
    assert!(said.stdout.starts_with("No changes: 2"), "{}", said.stdout);

    // One is changed, one goes; the environment's stays.
    std::fs::write(&file, text.split("---").next().unwrap().replace("[critical, high]", "[critical]")).unwrap();
    let said = apply(&world, &file, &[]).await.done();
    said.says(&["filter.severity: high, critical → critical"]);
    said.says(&["left alone (--prune deletes them): Search."]);
    let said = apply(&world, &file, &["--prune", "--json"]).await.done().json();
    assert_eq!((&said["steps"][0]["action"], &said["steps"][0]["name"]), (&json!("delete"), &json!("Search")));
    let names: Vec<_> = revisions(&world).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [json!("Datadog (environment)"), json!("Splunk prod")]);

    let owned = "connectors: [{name: Datadog (environment), platform: datadog, config: {api_key: x}}]";
    std::fs::write(&file, owned).unwrap();
    let said = apply(&world, &file, &["--prune"]).await;
    said.ends(2).complains(&["described by the server's environment"]);
    assert_eq!(revisions(&world).await.len(), 2, "nothing was done");
    world.end().await;
}

/// A rotated secret is written, however it ends.
#[tokio::test]
async fn a_secret_that_ends_like_the_stored_one_is_written_and_then_nothing_is_left_to_do() {
    let (world, place) = (World::start().await, tempfile::tempdir().unwrap());
    let file = place.path().join("connectors.yaml");
    let write = |[token, search, signing, url, bearer, header]: [&str; 6]| {
        let text = format!(
            "connectors:
  - name: Splunk
    platform: splunk
    config:
      hec_url: http://127.0.0.1:9/
      hec_token: {token}-token-of-deliveries-4444
      search: {{url: 'http://127.0.0.1:8', token: {search}-token-that-searches-4444}}
    signing_secret: {signing}-signing-secret-4444
  - name: Webhook
    platform: webhook
    config:
      secret_url: http://127.0.0.1:9/hooks/{url}-secret-part-4444
      token: {bearer}-token-of-a-bearer-4444
      headers: {{X-Api-Key: {header}-value-of-a-header-4444}}
"
        );
        std::fs::write(&file, text).unwrap();
    };
    let mut secrets = ["one"; 6];
    write(secrets);
    apply(&world, &file, &[]).await.done();
    let members = [
        "config.hec_token",
        "config.search.token",
        "signing_secret",
        "config.secret_url",
        "config.token",
        "config.headers",
    ];
    for (at, member) in members.into_iter().enumerate() {
        secrets[at] = "two";
        write(secrets);
        let dry = apply(&world, &file, &["--dry-run", "--json"]).await.with_code(3).json();
        let steps = dry["steps"].as_array().unwrap();
        let found: Vec<&Value> =
            steps.iter().flat_map(|step| step["members"].as_array().unwrap()).map(|found| &found["member"]).collect();
        assert_eq!(found, [member], "{dry}");
        apply(&world, &file, &[]).await.done().says(&["1 to change", "(another)"]);
        let said = apply(&world, &file, &[]).await.done();
        assert!(said.stdout.starts_with("No changes: 2 as described."), "{member}: {}", said.stdout);
    }
    let changes = world.list("/v1/audit?action=connector.").await;
    assert_eq!(changes.len(), 8, "a comparison leaves no line: {changes:?}");
    let connectors = world.list("/v1/siem/connectors").await;
    let connector = connectors.iter().find(|connector| connector["name"] == "Splunk").unwrap();
    let path = format!("/v1/siem/connectors/{}/compare-secrets", connector.id());
    let guess = json!({ "config": { "hec_token": "a-guess" } });
    let answer = world.post(&path, &guess).await.expect_status(200).json();
    assert_eq!(answer, json!({ "secrets_changed": ["hec_token"] }));
    let mut guesses = 0;
    while world.post(&path, &guess).await.status == 200 {
        guesses += 1;
        assert!(guesses < 60, "whoever guesses is not slowed down");
    }
    world.end().await;
}

#[tokio::test]
async fn keys_and_orgs_are_listed_made_and_taken_away() {
    let world = World::start().await;
    let org = world.done(&["org", "create", "Acme", "--json"]).await.json();
    let id = org["id"].as_str().unwrap();
    let make =
        ["key", "create", "--url", world.base(), "--org", id, "--name", "acme", "--scope", "siem:read", "--json"];
    let key = world.done(&make).await.json();
    let secret = key["key"].as_str().unwrap();
    let list = world.done(&["key", "list", "--org", id]).await;
    list.says(&["acme"]);
    assert!(!list.stdout.contains(secret), "{}", list.stdout);
    let as_acme = |arguments: &'static [&'static str]| {
        let variables = [("TOKTRA_SIEM_URL", world.base().to_owned()), ("TOKTRA_SIEM_API_KEY", secret.to_owned())];
        async move {
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            command(arguments, &variables, b"").await
        }
    };
    as_acme(&["connector", "list"]).await.done();
    let said = as_acme(&["org", "list"]).await;
    said.ends(1).complains(&["(403)"]);
    world.done(&["key", "revoke", key["id"].as_str().unwrap(), "--org", id]).await;
    assert_eq!(as_acme(&["connector", "list"]).await.code, Some(1));
    let said = world.done(&["org", "rename", id, "Acme Ltd"]).await;
    assert_eq!(said.stdout, "Renamed: Acme Ltd.\n");
    world.done(&["org", "delete", id, "--yes"]).await;
    let list = world.done(&["org", "list"]).await;
    assert!(!list.stdout.contains("Acme"), "{}", list.stdout);
    world.end().await;
}
