//! Rotating a connector's signing secret.

use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn a_rotation_shows_the_new_secret_once_and_ends_with_activation() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "x").await;
    let path = format!("/v1/siem/connectors/{}", connector["id"].as_str().unwrap());
    let rotate = format!("{path}/signing-secret/rotate");
    let activate = format!("{path}/signing-secret/activate");
    insta::assert_json_snapshot!("nothing_to_activate", shown(&world.post(&activate, &json!({})).await));

    let rotated = world.post(&rotate, &json!({})).await;
    insta::assert_json_snapshot!("rotated", shown(&rotated));
    let secret = rotated.json()["signing_secret_next"]["value"].text();
    let during = world.get(&path).await;
    assert!(!during.text().contains(&secret));
    assert_eq!(during.json()["rotation"]["until"], "2025-01-16T10:30:00.000Z", "24 h by default");
    insta::assert_json_snapshot!("rotating_twice", shown(&world.post(&rotate, &json!({})).await));

    let hint = format!("…{}", &secret[secret.len() - 4..]);
    let activated = world.call(&activate, &json!({})).await;
    assert_eq!(activated["signing_secret"], json!({ "set": true, "hint": hint }));
    let after = world.get(&path).await.json();
    assert_eq!((&after["signing_secret"]["hint"], &after["rotation"]), (&json!(hint), &Value::Null));
}

#[tokio::test]
async fn grace_and_secret_can_be_given_within_bounds() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "x").await;
    let rotate = format!("/v1/siem/connectors/{}/signing-secret/rotate", connector["id"].as_str().unwrap());
    for body in [json!({ "grace_seconds": -1 }), json!({ "grace_seconds": 99_999_999 }), json!({ "grace": "1h" })] {
        world.post(&rotate, &body).await.expect_status(422);
    }
    let body = json!({ "grace_seconds": 60, "signing_secret": "chosen-elsewhere-9999" });
    let rotated = world.call(&rotate, &body).await;
    assert_eq!(rotated["until"], "2025-01-15T10:31:00.000Z");
    assert_eq!(rotated["signing_secret_next"]["hint"], "…9999");
}

#[tokio::test]
async fn the_operators_secret_is_rotated_in_the_environment() {
    let world = World::here_with(Options { signing_secret: Some("operator-secret"), ..Options::default() }).await;
    let connector = world.idle_connector(&world, "x").await;
    let rotate = format!("/v1/siem/connectors/{}/signing-secret/rotate", connector["id"].as_str().unwrap());
    insta::assert_json_snapshot!("rotated_elsewhere", shown(&world.post(&rotate, &json!({})).await));
}
