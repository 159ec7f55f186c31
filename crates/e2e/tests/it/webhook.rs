//! Webhooks on every face: what no other platform has, a URL that is a secret and headers of a person's own, is taken and told by the
//! environment, the page, the command line and connectors as code, and the values are shown by none.

use toktra_siem_fake::webhook::{Login, Shape};
use toktra_siem_platform::Registry;
use toktra_siem_testkit::poll::until;
use toktra_siem_testkit::prelude::*;

use crate::acme::command_of;

const KEY: &str = "canary-key-0123456789";
const PLACE: &str = "canary-path-0123456789";

async fn command(world: &World<Whole>, arguments: &[&str]) -> String {
    command_of(
        Registry::standard(),
        &world.base,
        arguments,
        &[("HOOK_KEY", KEY), ("HOOK_URL", "https://h.example/in?k=canary-path-0123456789")],
    )
    .await
}

fn asked(options: &mut toktra_siem_fake::webhook::WebhookOptions) {
    options.path = format!("/in/{PLACE}?k={PLACE}");
    options.login = Login::None;
    options.headers = vec![("x-api-key".to_owned(), KEY.to_owned())];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_urls_and_headers_are_taken_and_told_by_every_face_and_shown_by_none() {
    let environment = webhook_with(|options| {
        asked(options);
        options.shape = Shape::Lines;
    })
    .await;
    let hook = webhook_with(asked).await;
    let variables = [
        ("SIEM_SIGNING_SECRET", "a-signing-secret-of-the-default-org".to_owned()),
        ("SIEM_WEBHOOK_SECRET_URL", environment.url()),
        ("SIEM_WEBHOOK_HEADERS", format!("X-Api-Key: {KEY}")),
        ("SIEM_WEBHOOK_FORMAT", "lines".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::whole(Registry::standard(), &variables).await;
    let mut seen = Vec::new();

    let described = world.read("/v1/siem/connectors").await["items"][0].clone();
    assert_eq!(described["name"], "Webhook (environment)");
    let headers = json!({ "set": true, "hint": "X-Api-Key …6789" });
    assert_eq!(described["config"]["headers"], headers);
    assert_eq!(described["config"]["secret_url"]["origin"], environment.base_url());
    seen.push(described.to_string());

    let made = by_page(&Tab::at(&world.base), &hook, &mut seen).await;
    let posted = world.begin("/v1/events", &json!({ "event_type": "anomaly", "severity": "high" })).await;
    let event = posted["events"][0]["event_id"].text();
    until("both receivers have the event", async || {
        let have = [&environment, &hook].map(|fake| fake.event_ids().contains_key(&event));
        (have == [true, true]).then_some(())
    })
    .await;
    assert_eq!((environment.violations(), hook.violations()), (Vec::new(), Vec::new()));
    by_command(&world, &hook, &mut seen).await;
    as_code(&world, &mut seen).await;

    seen.push(world.read(&format!("/v1/siem/connectors/{made}")).await.to_string());
    seen.push(world.read("/v1/audit").await.to_string());
    seen.push(command(&world, &["connector", "export"]).await);
    for text in seen {
        assert!(!text.contains("canary"), "{text}");
    }
    world.ends().await;
}

async fn by_page(tab: &Tab, hook: &toktra_siem_fake::webhook::Webhook, seen: &mut Vec<String>) -> String {
    tab.log_in(ADMIN).await;
    let form = tab.get("/integrations/siem/new?platform=webhook").await.expect_status(200).text();
    assert!(form.contains("<textarea id=\"webhook_headers\"") && form.contains("id=\"webhook_secret_url\""), "{form}");
    let (url, lines) = (hook.url(), format!("X-Api-Key: {KEY}\r\n"));
    let mut fields = vec![
        ("platform", "webhook"),
        ("name", "Webhook by page"),
        ("webhook_address", "secret_url"),
        ("webhook_secret_url", url.as_str()),
        ("webhook_auth", "none"),
        ("webhook_headers", "X-Api-Key canary"),
        ("webhook_format", "event"),
        ("compression", "none"),
        ("active", "on"),
    ];
    let refused = tab.post("/integrations/siem/new", &fields).await.expect_status(422).text();
    assert!(refused.contains("id=\"webhook_headers-fault\">Has no colon in line 1"), "{refused}");
    seen.push(refused);
    fields[5].1 = lines.as_str();
    let place = tab.post("/integrations/siem/new", &fields).await.expect_status(303);
    let place = place.header("location").unwrap().to_owned();
    let page = tab.get(&format!("{place}/settings")).await.expect_status(200).text();
    let told = format!("Set, {}, ends in …6789", hook.base_url());
    assert!(page.contains("Set, X-Api-Key …6789") && page.contains(&told), "{page}");
    seen.push(page);
    let edit = tab.get(&format!("{place}/edit")).await.expect_status(200).text();
    assert!(edit.contains("Set, X-Api-Key …6789. Leave it empty to keep it, unless"), "{edit}");
    seen.push(edit);
    // Left empty they stay, and a minus sign takes the headers away.
    let kept = tab.post(&format!("{place}/edit"), &changed(&[("webhook_headers", "")])).await.expect_status(303);
    assert!(kept.header("location").is_some());
    assert!(tab.get(&format!("{place}/settings")).await.text().contains("Set, X-Api-Key …6789"));
    place.rsplit('/').next().unwrap().to_owned()
}

fn changed(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let fields = [
        ("revision", "1"),
        ("name", "Webhook by page"),
        ("webhook_address", "secret_url"),
        ("webhook_secret_url", ""),
        ("webhook_auth", "none"),
        ("webhook_format", "event"),
        ("compression", "none"),
    ];
    [&fields[..], more].concat()
}

async fn by_command(world: &World<Whole>, hook: &toktra_siem_fake::webhook::Webhook, seen: &mut Vec<String>) {
    let directory = world.directory.path();
    let file = |name: &str, text: String| {
        std::fs::write(directory.join(name), text).unwrap();
        directory.join(name).display().to_string()
    };
    let (url, headers) = (file("url", hook.url()), file("headers", format!("X-Api-Key: {KEY}\n")));
    let add = ["connector", "add", "webhook", "--secret-url-file", &url, "--headers-file", &headers];
    let said = command(world, &[&add[..], &["--name", "Webhook by command", "--test"]].concat()).await;
    assert!(said.contains("The test event arrived."), "{said}");
    seen.push(said);
    let shown = command(world, &["connector", "get", "Webhook by command"]).await;
    assert!(shown.contains("X-Api-Key …6789") && shown.contains(&hook.base_url()), "{shown}");
    seen.push(shown);
}

async fn as_code(world: &World<Whole>, seen: &mut Vec<String>) {
    let file = world.directory.path().join("hooks.yaml");
    let path = file.display().to_string();
    let apply = async |config: &str, more: &[&str]| {
        let text = format!(
            "connectors:\n  - name: Webhook by file\n    platform: webhook\n    active: false\n    config:\n{config}"
        );
        std::fs::write(&file, text).unwrap();
        command(world, &[&["connector", "apply", "-f", &path], more].concat()).await
    };
    let whole = "      secret_url: {env: HOOK_URL}\n      headers:\n        X-Api-Key: {env: HOOK_KEY}\n        X-Team: security\n";
    seen.push(apply(whole, &[]).await);
    let connectors = world.read("/v1/siem/connectors").await;
    let made = connectors["items"].list().iter().find(|one| one["name"] == "Webhook by file").unwrap().clone();
    assert_eq!(made["config"]["headers"]["hint"], "X-Api-Key …6789, X-Team");
    let nothing = apply(whole, &["--dry-run"]).await;
    assert!(nothing.contains("No changes: 1 as described."), "{nothing}");
    // What is left out stays as it is.
    let nothing = apply("      format: event\n", &["--dry-run"]).await;
    assert!(nothing.contains("No changes: 1 as described."), "{nothing}");
    let lines = apply("      format: lines\n", &[]).await;
    assert!(lines.contains("config.format"), "{lines}");
    let moved = apply("      url: https://h.example/shown\n      headers: {X-Api-Key: {env: HOOK_KEY}}\n", &[]).await;
    assert!(moved.contains("config.url"), "{moved}");
    let one = world.read(&format!("/v1/siem/connectors/{}", made.id())).await;
    assert_eq!(
        (&one["config"]["url"], &one["config"]["secret_url"]),
        (&json!("https://h.example/shown"), &Value::Null)
    );
    assert_eq!(one["config"]["headers"]["hint"], "X-Api-Key …6789");
    seen.extend([nothing, lines, moved]);
}
