//! Connections: slow ones are closed, panics are answered, and the end lets requests in flight finish.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use toktra_siem_edge::Limits;

use toktra_siem_testkit::poll::PATIENCE;
use toktra_siem_testkit::prelude::*;

/// Everything that the peer sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

fn head(length: usize) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {BOOTSTRAP}\r\ncontent-length: {length}\r\n\
         content-type: application/json\r\n\r\n"
    )
}

#[tokio::test]
async fn health_and_readiness_need_no_key() {
    let world = World::here().await;
    insta::assert_json_snapshot!("healthz", shown(&world.anonymous().get("/healthz").await));
    insta::assert_json_snapshot!("readyz", shown(&world.anonymous().get("/readyz").await));
}

#[tokio::test]
async fn without_its_store_the_service_lives_but_is_not_ready() {
    let world = World::here().await;
    world.store.close().await.unwrap();
    insta::assert_json_snapshot!("not_ready", shown(&world.get("/readyz").await));
    let event = json!({ "event_type": "anomaly", "severity": "low" });
    let refused = world.post("/v1/events", &event).await.expect_status(503);
    assert_eq!((refused.header("retry-after"), &refused.json()["error"]["code"]), (Some("1"), &json!("unavailable")));
    world.get("/healthz").await.expect_status(200);
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let edge = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let world = World::here_with(Options { edge, ..Options::default() }).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost:").await.unwrap();
    assert!(!rest(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_and_closed() {
    let edge = Limits { body: Duration::from_millis(50), ..Limits::default() };
    let world = World::here_with(Options { edge, ..Options::default() }).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head(100).as_bytes()).await.unwrap();
    stream.write_all(b"{").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("bad_request"), "{answer}");
}

#[tokio::test]
async fn who_sends_a_refused_body_to_its_end_still_sees_the_answer() {
    let world = World::here().await;
    for (key, length, status) in [(BOOTSTRAP, 8 << 20, "413"), ("wrong", 3 << 20, "401")] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(head(length).replace(BOOTSTRAP, key).as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

#[tokio::test]
async fn who_takes_no_answers_is_given_up() {
    let edge = Limits { stall: Duration::from_millis(50), ..Limits::default() };
    let world = World::here_with(Options { edge, ..Options::default() }).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let requests = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let pushing = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    assert!(tokio::time::timeout(PATIENCE, pushing).await.is_ok(), "the server holds on to who takes nothing");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let edge = Limits { connections: 1, ..Limits::default() };
    let world = World::here_with(Options { edge, ..Options::default() }).await;
    let mut first = TcpStream::connect(world.address).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_ne!(first.read(&mut [0; 64]).await.unwrap(), 0, "the only place is taken");
    let waiting = tokio::spawn({
        let client = world.client.clone();
        async move { client.get("/healthz").await.status }
    });
    drop(first);
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test]
async fn a_panic_is_an_answer_that_tells_nothing_and_the_next_request_works() {
    let world = World::here().await;
    let id = world.idle_connector(&world, "x").await.id();
    world.dispatch.panics.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = world.post(&format!("/v1/siem/connectors/{id}/index-template"), &json!({})).await;
    insta::assert_json_snapshot!("panic", shown(&answer));
    world.get("/healthz").await.expect_status(200);
}

#[tokio::test]
async fn the_end_lets_a_request_in_flight_finish_and_takes_no_other() {
    let mut world = World::here().await;
    let body = r#"{"event_type":"anomaly","severity":"low"}"#;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(format!("{}{{", head(body.len())).as_bytes()).await.unwrap();
    // An answer on another connection shows that the server has had time to read the first one's head.
    let mut idle = TcpStream::connect(world.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_ne!(idle.read(&mut [0; 1024]).await.unwrap(), 0);
    world.shutdown.cancel();
    assert_eq!(idle.read(&mut [0; 64]).await.unwrap(), 0, "an idle connection is closed");
    stream.write_all(&body.as_bytes()[1..]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    (&mut world.serving).await.unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}
