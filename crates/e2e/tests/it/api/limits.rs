//! What a client may not exceed: requests a minute, bytes of a body, memory for all bodies.

use std::num::NonZeroU32;

use toktra_siem_app::Limits;
use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn the_requests_of_a_key_are_counted_but_not_its_events() {
    let limits = Limits { requests_per_minute: NonZeroU32::new(5), ..Limits::default() };
    let world = World::here_with(Options { limits, ..Options::default() }).await;
    let (client, _) = world.key(&DEFAULT_ORG.to_string(), &["admin"]).await;
    for left in (0..5).rev() {
        let answer = client.get("/v1/siem/connectors").await.expect_status(200);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("5"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left.to_string().as_str()));
    }
    let refused = client.get("/v1/siem/connectors").await;
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert!(refused.header("x-ratelimit-reset").unwrap().parse::<i64>().unwrap() > START.as_secs());
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!("rate_limited")));
    let event = json!({ "event_type": "anomaly", "severity": "low" });
    for _ in 0..20 {
        let answer = client.post("/v1/events", &event).await.expect_status(202);
        assert_eq!(answer.header("x-ratelimit-limit"), None);
    }
    let (other, _) = world.key(&DEFAULT_ORG.to_string(), &["admin"]).await;
    other.get("/v1/siem/connectors").await.expect_status(200);
}

#[tokio::test]
async fn without_a_limit_requests_are_not_counted() {
    let limits = Limits { requests_per_minute: None, ..Limits::default() };
    let world = World::here_with(Options { limits, ..Options::default() }).await;
    for _ in 0..700 {
        let answer = world.get("/v1/siem/connectors").await.expect_status(200);
        assert_eq!(answer.header("x-ratelimit-limit"), None);
    }
}

#[tokio::test]
async fn a_body_up_to_the_limit_passes_and_one_byte_more_does_not() {
    let limits = Limits { event_body: 1000, body: 500, ..Limits::default() };
    let world = World::here_with(Options { limits, ..Options::default() }).await;
    let event = r#"{"event_type":"anomaly","severity":"low"}"#;
    let fits = format!("{event}{}", " ".repeat(1000 - event.len()));
    world.post_bytes("/v1/events", "application/json", fits.clone()).await.expect_status(202);
    world.post_gzip("/v1/events", "application/json", fits.as_bytes()).await.expect_status(202);
    let over = format!("{fits} ");
    let refused = world.post_bytes("/v1/events", "application/json", over.clone()).await;
    insta::assert_json_snapshot!("body_too_large", shown(&refused));
    world.post_gzip("/v1/events", "application/json", over.as_bytes()).await.expect_status(413);
    let long = json!({ "name": "x".repeat(600) });
    world.post("/v1/orgs", &long).await.expect_status(413);
}

#[tokio::test]
async fn a_bomb_is_refused_at_the_cap() {
    let world = World::here().await;
    let bomb = vec![b' '; 50_000_000];
    world.post_gzip("/v1/events", "application/json", &bomb).await.expect_status(413);
    let headers = [("content-type", "application/json"), ("content-encoding", "br")];
    let brotli = world.send(http::Method::POST, "/v1/events", &headers, "x".into()).await;
    insta::assert_json_snapshot!("unknown_encoding", shown(&brotli));
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let broken = world.send(http::Method::POST, "/v1/events", &headers, "x".into()).await;
    insta::assert_json_snapshot!("broken_gzip", shown(&broken));
}

#[tokio::test]
async fn bodies_that_do_not_fit_into_memory_are_answered_with_backpressure() {
    let default = toktra_siem_edge::Limits::default();
    let bodies = toktra_siem_edge::bodies::Bounds { all: 100 * 1024, ..default.bodies };
    let edge = toktra_siem_edge::Limits { bodies, ..default };
    let world = World::here_with(Options { edge, ..Options::default() }).await;
    let event = r#"{"event_type":"anomaly","severity":"low"}"#;
    let small = format!("{event}{}", " ".repeat(80 * 1024));
    world.post_bytes("/v1/events", "application/json", small).await.expect_status(202);
    let large = format!("{event}{}", " ".repeat(200 * 1024));
    let refused = world.post_bytes("/v1/events", "application/json", large).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    insta::assert_json_snapshot!("queue_full", shown(&refused));
}

#[tokio::test]
async fn a_large_batch_is_read_off_the_workers_and_answered_whole() {
    let world = World::here().await;
    let event = r#"{"event_type":"anomaly","severity":"low"}"#;
    let lines = format!("{event}\n").repeat(20_000);
    let answer = world.post_gzip("/v1/events", "application/x-ndjson", lines.as_bytes()).await;
    assert_eq!(answer.expect_status(202).json()["accepted"], 20_000);
}

#[tokio::test]
async fn an_org_over_its_backlog_is_held_back_until_its_connector_is_seen_to() {
    let limits = Limits { org_backlog: Some(5), ..Limits::default() };
    let world = World::here_with(Options { limits, ..Options::default() }).await;
    let event = json!({ "event_type": "anomaly", "severity": "low" });
    let several = |n: usize| json!(vec![event.clone(); n]);
    // Without a connector nothing is undelivered, however much there is.
    world.begin("/v1/events", &several(50)).await;
    let mut dead = splunk_body("dead");
    dead["active"] = json!(true);
    let dead = world.make("/v1/siem/connectors", &dead).await;
    poll::until("what was taken in before is not counted any more", async || {
        (world.post("/v1/events", &several(3)).await.status == 202).then_some(())
    })
    .await;
    world.begin("/v1/events", &several(2)).await;
    let refused = world.post("/v1/events", &event).await;
    assert_eq!(refused.header("retry-after"), Some("10"));
    insta::assert_json_snapshot!("backlog_full", shown(&refused));

    let other = world.tenant("other").await;
    let (client, _) = world.key(&other, &["events:write"]).await;
    client.begin("/v1/events", &several(9)).await;

    let path = format!("/v1/siem/connectors/{}", dead["id"].as_str().unwrap());
    world.change(&path, &json!({ "active": false })).await;
    poll::until("the org may post again", async || {
        (world.post("/v1/events", &event).await.status == 202).then_some(())
    })
    .await;
}
