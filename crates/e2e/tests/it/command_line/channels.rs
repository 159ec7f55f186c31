//! Notification channels by the command line: made, tested, changed, removed, and applied from files; and what somebody knows of a connector.

use toktra_siem_fake::ReceiverOptions;
use toktra_siem_fake::slack::Slack;
use toktra_siem_testkit::prelude::*;

const HOOK: &str = "http://127.0.0.1:9/canary-of-a-url";

#[tokio::test]
async fn a_channel_is_made_tested_changed_and_removed() {
    let slack = Slack::start(ReceiverOptions::default()).await.unwrap();
    let world = World::start().await;
    world.done(&["channel", "list"]).await.says(&["nobody is told"]);
    let said = world
        .run(&["channel", "add", "slack", "--url-file", "-", "--name", "SOC"], slack.url().as_bytes())
        .await
        .done();
    said.says(&["Made: SOC (slack)", "toktra-siem channel test \"SOC\""]);
    world.done(&["channel", "test", "SOC"]).await.says(&["Slack answered 200"]);
    assert_eq!((slack.requests().len(), slack.violations().len()), (1, 0));
    world.done(&["channel", "update", "SOC", "--name", "Ops", "--event", "down,recovered"]).await.says(&["Saved: Ops"]);
    let told = world.done(&["channel", "get", "Ops"]).await;
    told.says(&["down, recovered", "set (http://127.0.0.1", "kind"]);
    assert!(!told.stdout.contains("SecretOfTheWebhook"), "{}", told.stdout);
    world.done(&["channel", "disable", "Ops"]).await.says(&["Saved: Ops (off)"]);
    world.done(&["channel", "enable", "Ops"]).await.says(&["Saved: Ops ("]);

    let missing = world.run(&["channel", "add", "slack"], "").await;
    missing.ends(2).complains(&["--url-file FILE", "NOTIFY_SLACK_URL"]);
    let wrong = world.run(&["channel", "add", "email", "--to", "soc@company.com,nobody"], "").await;
    wrong.ends(1).complains(&["(422)"]);
    world
        .done(&["channel", "add", "email", "--to", "soc@company.com", "--to", "jo@company.com"])
        .await
        .says(&["Made: E-mail"]);
    world.done(&["channel", "update", "E-mail", "--set", "to=soc@company.com,kim@company.com"]).await;
    world.done(&["channel", "get", "E-mail"]).await.says(&["soc@company.com, kim@company.com"]);
    let failed = world.run(&["channel", "test", "E-mail"], "").await;
    failed.ends(1).complains(&["was not taken"]);

    let made = world.run_with(&[("NOTIFY_WEBHOOK_URL", HOOK)], &["channel", "add", "webhook"], "").await.done();
    made.says(&["Its signing secret, shown only now", "whsec_"]);
    let anew = world.done(&["channel", "update", "Webhook", "--reset", "signing_secret"]).await;
    anew.says(&["Its signing secret, shown only now", "whsec_"]);
    assert_ne!(anew.stdout.lines().find(|l| l.contains("whsec_")), made.stdout.lines().find(|l| l.contains("whsec_")));
    world.run(&["channel", "delete", "Ops"], "").await.ends(2).complains(&["nobody is told through it any more"]);
    world.done(&["channel", "delete", "Ops", "--yes"]).await.says(&["Deleted: Ops."]);
    let left = world.done(&["channel", "list", "--json"]).await.json();
    assert_eq!(left.as_array().unwrap().len(), 2);
    world.run(&["channel", "get", "Ops"], "").await.ends(2).complains(&["There is no notification channel named"]);
    world.end().await;
}

#[tokio::test]
async fn channels_as_code_are_applied_once_and_a_file_without_them_touches_none() {
    let (world, place) = (World::start().await, tempfile::tempdir().unwrap());
    let file = place.path().join("channels.yaml");
    let text = "channels:
  - name: Hook
    kind: webhook
    config: {url: {env: HOOK}}
    events: [down]
  - name: Mail
    kind: email
    config: {to: [soc@company.com]}
    active: false
";
    std::fs::write(&file, text).unwrap();
    let apply = async |more: &[&str]| {
        let arguments = [&["connector", "apply", "-f", file.to_str().unwrap()][..], more].concat();
        world.run_with(&[("HOOK", HOOK)], &arguments, "").await
    };
    let dry = apply(&["--dry-run"]).await;
    assert_eq!(dry.code, Some(3), "{}", dry.stderr);
    dry.says(&["+ channel Hook (webhook)", "+ channel Mail (email)", "2 to add"]);
    assert!(!dry.stdout.contains("canary"), "{}", dry.stdout);
    let said = apply(&[]).await.done();
    said.says(&["Made: channel Hook", "Its signing secret, shown only now", "Made: channel Mail"]);
    apply(&["--prune"]).await.done().says(&["No changes: 2 as described."]);
    let exported = world.done(&["connector", "export"]).await.stdout;
    assert!(exported.contains("url: {env: HOOK_URL}") && !exported.contains("canary"), "{exported}");

    std::fs::write(&file, "connectors: []\n").unwrap();
    apply(&["--prune"]).await.done().says(&["No changes: 0"]);
    std::fs::write(&file, text.split("  - name: Mail").next().unwrap().replace("[down]", "[down, recovered]")).unwrap();
    let said = apply(&[]).await.done();
    said.says(&["~ channel Hook (webhook)", "events: down → down, recovered", "Saved: channel Hook.", "channel Mail."]);
    let said = apply(&["--prune", "--json"]).await.done().json();
    assert_eq!((&said["steps"][0]["action"], &said["steps"][0]["done"]["deleted"]), (&json!("delete"), &json!(true)));
    world.end().await;
}

/// A rotated secret is written, however it ends.
#[tokio::test]
async fn a_channels_secret_that_ends_like_the_stored_one_is_written_and_then_nothing_is_left_to_do() {
    let (world, place) = (World::start().await, tempfile::tempdir().unwrap());
    let file = place.path().join("channels.yaml");
    let write = |[url, signing, key]: [&str; 3]| {
        let text = format!(
            "channels:
  - name: Hook
    kind: webhook
    config: {{url: 'http://127.0.0.1:9/{url}-4444', signing_secret: {signing}-signing-secret-4444}}
  - name: Duty
    kind: pagerduty
    config: {{url: 'http://127.0.0.1:9', routing_key: {key}456789abcdef0123456789abcdef0}}
"
        );
        std::fs::write(&file, text).unwrap();
    };
    let apply = async |more: &[&str]| {
        let arguments = [&["connector", "apply", "-f", file.to_str().unwrap()][..], more].concat();
        world.run(&arguments, "").await
    };
    let mut secrets = ["one"; 3];
    write(secrets);
    apply(&[]).await.done();
    for (at, member) in ["config.url", "config.signing_secret", "config.routing_key"].into_iter().enumerate() {
        secrets[at] = "two";
        write(secrets);
        let dry = apply(&["--dry-run", "--json"]).await.with_code(3).json();
        let steps = dry["steps"].as_array().unwrap();
        let found: Vec<&Value> =
            steps.iter().flat_map(|step| step["members"].as_array().unwrap()).map(|found| &found["member"]).collect();
        assert_eq!(found, [member], "{dry}");
        apply(&[]).await.done().says(&["1 to change", "(another)"]);
        apply(&[]).await.done().says(&["No changes: 2 as described."]);
    }
    world.end().await;
}

#[tokio::test]
async fn somebody_acknowledges_a_connector_and_takes_it_back() {
    let (world, splunk) = (World::start().await, splunk().await);
    world.connect_with(&splunk, json!({ "name": "Prod" })).await;
    let say = ["connector", "acknowledge", "Prod", "--note", "CHG-123", "--until"];
    world.done(&[&say[..], &["4h"]].concat()).await.says(&["Prod is acknowledged until", "CHG-123"]);
    world.done(&["connector", "health"]).await.says(&["acknowledged until", "CHG-123"]);
    world.run(&[&say[..], &["90d"]].concat(), "").await.ends(1).complains(&["at most 30 days"]);
    world.run(&say[..5], "").await.ends(2);
    world.done(&["connector", "acknowledge", "Prod", "--end"]).await.says(&["told of Prod again"]);
    assert!(!world.done(&["connector", "health"]).await.stdout.contains("CHG-123"));
    world.end().await;
}
