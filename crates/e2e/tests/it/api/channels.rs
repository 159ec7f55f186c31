//! `/v1/notification-channels`: what is refused, in words about channels, and the secret that is made for one.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

const CHANNELS: &str = "/v1/notification-channels";

fn hook(name: &str, url: &str) -> Value {
    json!({ "name": name, "kind": "webhook", "config": { "url": url } })
}

async fn refusal(client: &Client, body: &Value, status: u16) -> String {
    client.post(CHANNELS, body).await.expect_status(status).json()["error"]["message"].text()
}

#[tokio::test]
async fn a_refusal_speaks_of_channels_and_names_one_cause() {
    let world = World::here().await;
    for url in ["https://10.0.0.1/hook", "http://siem.example/hook", "https://169.254.169.254/hook"] {
        let message = refusal(&world, &hook("Inside", url), 403).await;
        let words = message.replace("TOKTRA_SIEM_EGRESS_ALLOW", "");
        assert!(!words.contains("onnector") && !words.contains("SIEM"), "{url}: {message}");
    }
    for number in 0..50 {
        world.make(CHANNELS, &hook(&format!("Hook {number}"), "https://siem.example/hook")).await;
    }
    let taken = refusal(&world, &hook("Hook 1", "https://siem.example/hook"), 409).await;
    assert_eq!(taken, "The org has a notification channel of this name already. Choose another name.");
    let full = refusal(&world, &hook("One more", "https://siem.example/hook"), 409).await;
    assert_eq!(
        full,
        "The org has 50 notification channels, and cannot have more. Delete one that is not needed, and try again."
    );
}

#[tokio::test]
async fn a_signing_secret_that_was_made_can_be_seen_once_again() {
    let world = World::here().await;
    let made = world.make(CHANNELS, &hook("Hook", "https://siem.example/hook")).await;
    let secret = made["config"]["signing_secret"]["value"].text();
    let reveal = async || {
        let listed = world.read("/v1/secrets").await["items"].list();
        let own = listed.iter().find(|one| one["object_id"] == made["id"])?;
        assert_eq!(own["kind"], "signing_secret");
        Some(format!("/v1/secrets/{}/reveal", own["id"].text()))
    };
    let path = reveal().await.expect("it is listed");
    assert_eq!(world.call(&path, &json!({})).await["secret"], json!(secret));
    assert_eq!(reveal().await, None, "once");
    let lines = world.audit(DEFAULT_ORG).await.0;
    let action = "notification_channel.signing_secret.reveal";
    assert_eq!(lines.iter().filter(|line| line.action == action && line.object == made.id()).count(), 1);
    // Another one is made instead of it, and shown; what was discarded is not shown any more.
    let again =
        world.change(&format!("{CHANNELS}/{}", made.id()), &json!({ "config": { "signing_secret": null } })).await;
    let other = again["config"]["signing_secret"]["value"].text();
    assert!(other.starts_with("whsec_") && other != secret, "another one");
    assert!(reveal().await.is_some());
    let own = json!({ "config": { "signing_secret": "a-secret-of-the-receivers-own" } });
    world.change(&format!("{CHANNELS}/{}", made.id()), &own).await;
    assert_eq!(reveal().await, None, "it signs nothing any more");
    world.change(&format!("{CHANNELS}/{}", made.id()), &json!({ "config": { "signing_secret": null } })).await;
    assert!(reveal().await.is_some());
    world.pass(Duration::from_mins(10));
    assert_eq!(reveal().await, None, "ten minutes are over");
}

#[tokio::test]
async fn a_secret_that_somebody_holds_is_compared_with_the_stored_one() {
    let world = World::here().await;
    let secret = "a-secret-of-the-receivers-own";
    let config = json!({ "url": "https://siem.example/hook/one-4444", "signing_secret": secret });
    let made = world.make(CHANNELS, &json!({ "name": "Hook", "kind": "webhook", "config": config })).await;
    let path = format!("{CHANNELS}/{}/compare-secrets", made.id());
    let differs = async |config: Value| {
        let answer = world.post(&path, &json!({ "config": config })).await.expect_status(200).json();
        answer["secrets_changed"].clone()
    };
    assert_eq!(differs(config.clone()).await, json!([]));
    assert_eq!(differs(json!({ "signing_secret": secret })).await, json!([]));
    assert_eq!(differs(json!({ "url": "https://siem.example/hook/two-4444" })).await, json!(["url"]));
    let both = json!({ "url": "https://siem.example/other-4444", "signing_secret": "another-secret-of-its-own" });
    assert_eq!(differs(both).await, json!(["signing_secret", "url"]));
    let lines = world.audit(DEFAULT_ORG).await.0;
    assert_eq!(lines.iter().filter(|line| line.object == made.id()).count(), 1, "nothing was changed");
    let limited = poll::until("whoever guesses is slowed down", async || {
        let answer = world.post(&path, &json!({ "config": { "signing_secret": "a-guess-of-it" } })).await;
        (answer.status == 429).then(|| answer.json())
    });
    let message = limited.await["error"]["message"].text();
    assert!(message.starts_with("The secrets of this notification channel were compared too often"), "{message}");
}
