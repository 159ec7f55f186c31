//! The command line as its users go through it: a connector tested and made, a filter tried, events sent, looked at and replayed, the
//! history exported, what cannot be delivered given up, and who did all that.

use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn a_connector_is_tested_before_it_is_made_and_afterwards_with_changes() {
    let (world, splunk) = (World::start().await, splunk().await);
    let base = splunk.base_url();
    let add = ["connector", "add", "splunk", "--hec-url", &base, "--hec-token-file", "-", "--test", "--active"];
    let refused = world.run(&add, "another-token-than-that-one").await.with_code(1);
    refused.says(&["✗ Not delivered", "Hint: "]);
    assert!(world.done(&["connector", "list"]).await.stdout.contains("no connectors"), "none was made");
    let made = world.run(&add, CREDENTIAL).await.with_code(0);
    made.says(&["The test event arrived.", "(splunk, on)"]);

    let said = world.done(&["connector", "test", "Splunk"]).await;
    said.says(&["✓ Delivered", "Find it with: index=toktra"]);
    let json = world.done(&["connector", "test", "Splunk", "--json"]).await.json();
    let event = json["event_id"].as_str().unwrap();
    assert!(splunk.event_ids().contains_key(event), "{json}");
    let said = world.run(&["connector", "test", "Splunk", "--set-secret", "hec_token=-"], "another-token").await;
    let said = said.with_code(1);
    said.says(&["✗  write"]);
    assert!(!said.stdout.contains("another-token"), "{}", said.stdout);
    world.done(&["connector", "test", "Splunk"]).await;
    world.end().await;
}

#[tokio::test]
async fn events_are_delivered_again_waited_for_and_exported() {
    let (world, splunk) = (World::start().await, splunk().await);
    let base = splunk.base_url();
    let add =
        ["connector", "add", "splunk", "--hec-url", &base, "--hec-token-file", "-", "--active", "--severity", "high"];
    world.run(&add, CREDENTIAL).await.with_code(0);
    let severity = |n: usize| if n.is_multiple_of(2) { "high" } else { "low" };
    let event = |n: usize| json!({ "event_type": "anomaly", "severity": severity(n) }).to_string();
    let lines = (0..20).map(event).collect::<Vec<_>>().join("\n");
    world.run(&["event", "import", "-"], &lines).await.with_code(0);
    splunk.wait_for_events(10).await;
    let preview = world.done(&["filter", "preview", "--connector", "Splunk", "--json"]).await.json();
    assert_eq!((preview["total"].as_u64(), preview["matching"].as_u64()), (Some(20), Some(10)), "{preview}");
    poll::until("the accounts say so", async || {
        let accounts = world.done(&["connector", "accounting", "Splunk", "--json"]).await.json();
        (accounts["streams"][0]["delivered"] == 10).then_some(())
    })
    .await;

    let dry = world.done(&["delivery", "replay", "Splunk", "--dry-run"]).await;
    assert!(dry.stdout.starts_with("10 events in question. Nothing was done"), "{}", dry.stdout);
    let job = world.done(&["delivery", "replay", "Splunk", "--from", "1h", "--wait", "--json"]).await.json();
    assert_eq!((job["state"].as_str(), job["delivered"].as_u64()), (Some("done"), Some(10)), "{job}");
    splunk.wait_for_events(20).await;
    let listed = world.done(&["delivery", "list", "--trigger", "replay", "--json"]).await.json();
    let delivery = listed[0]["id"].as_str().unwrap();
    let begun = world.done(&["delivery", "redeliver", delivery]).await;
    begun.says(&["toktra-siem job watch "]);
    let jobs = world.done(&["job", "list", "--connector", "Splunk", "--json"]).await.json();
    world.done(&["job", "watch", jobs[0]["id"].as_str().unwrap()]).await;
    splunk.wait_for_events(30).await;
    let text = world.done(&["job", "list"]).await.stdout;
    assert!(text.contains("replay") && text.contains("redeliver"), "{text}");

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("history.csv");
    world.done(&["delivery", "export", "--format", "csv", "--output", file.to_str().unwrap()]).await;
    let all = world.done(&["delivery", "list", "--limit", "1000", "--json"]).await.json();
    let csv = std::fs::read_to_string(&file).unwrap();
    assert_eq!(csv.lines().count(), all.as_array().unwrap().len() + 1, "{csv}");
    let lines = world.done(&["delivery", "export", "--trigger", "replay"]).await.stdout;
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["trigger"] == "replay"), "{lines}");
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_told_and_given_up_on_request() {
    let (world, splunk) = (World::start().await, splunk().await);
    let base = splunk.base_url();
    let add = ["connector", "add", "splunk", "--hec-url", &base, "--hec-token-file", "-", "--active"];
    world.run(&add, "another-token-than-that-one").await.with_code(0);
    world.run(&["event", "send"], "{\"event_type\":\"lockout\",\"severity\":\"high\"}").await.with_code(0);
    poll::until("the connector is not healthy", async || {
        let said = world.run(&["connector", "health"], "").await;
        (said.code == Some(1) && said.stderr.contains("Not healthy: Splunk")).then_some(())
    })
    .await;
    poll::until("the event is parked", async || {
        let accounts = world.done(&["connector", "accounting", "Splunk", "--json"]).await.json();
        (accounts["streams"][0]["failed"] == 1).then_some(())
    })
    .await;
    let asked = world.run(&["delivery", "discard", "Splunk"], "").await.with_code(2);
    asked.complains(&["gives up 1 event", "--yes"]);
    // A probe may have the event in hand at this very moment: then there is nothing to give up, and it is asked again.
    poll::until("the event is given up", async || {
        let job = world.done(&["delivery", "discard", "Splunk", "--yes", "--wait", "--json"]).await.json();
        (job["discarded"] == 1).then_some(())
    })
    .await;
    let accounts = world.done(&["connector", "accounting", "Splunk"]).await.stdout;
    assert!(accounts.contains("DISCARDED"), "{accounts}");
    world.end().await;
}

#[tokio::test]
async fn people_come_and_go_and_the_audit_log_says_by_whom() {
    let world = World::start().await;
    let create = ["user", "create", "ada@company.com", "--name", "Ada", "--role", "admin", "--password-file", "-"];
    let weak = world.run(&create, "short\n").await.with_code(1);
    weak.complains(&["password"]);
    assert!(!weak.stderr.contains("short\n"), "{}", weak.stderr);
    world.run(&create, "four unrelated words here\n").await.with_code(0);
    let text = world.done(&["user", "list"]).await.stdout;
    assert!(text.contains("ada@company.com  Ada   admin"), "{text}");
    world.done(&["user", "update", "ada@company.com", "--name", "Ada L."]).await;
    world.done(&["user", "delete", "ada@company.com", "--yes"]).await;
    assert!(world.done(&["user", "list"]).await.stdout.contains("There are no people yet"));
    let entries = world.done(&["audit", "list", "--action", "user.", "--json"]).await.json();
    let actions: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["user.delete", "user.update", "user.create"]);
    assert!(!entries.to_string().contains("unrelated"), "{entries}");
    world.end().await;
}
