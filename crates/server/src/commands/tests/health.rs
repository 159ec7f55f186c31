//! What `health` makes of the server's answers.

use serde_json::json;

use super::responder::{Responder, answer, refusal};

#[tokio::test]
async fn health_needs_no_key_and_tells_up_from_ready() {
    let server = Responder::start(|seen| match seen.line.as_str() {
        "GET /healthz" => answer(200, &json!({"status": "ok"})),
        _ => refusal(503, "The service cannot do this at the moment.", &json!([])),
    })
    .await;
    let (text, outcome) = server.run(&["health"], b"").await;
    assert_eq!((text.as_str(), outcome.unwrap_err().code()), ("It is up, but not ready.\n", 1));
    assert!(server.seen().iter().all(|seen| !seen.head.contains("authorization")));
}

#[tokio::test]
async fn health_tells_that_there_is_no_room_for_events() {
    for (shortage, told) in
        [("budget", "the disk budget is used up"), ("file_system", "the file system of its data is full")]
    {
        let server = Responder::start(move |_| answer(200, &json!({"status": "ready", "shortage": shortage}))).await;
        let text = server.text(&["health"]).await;
        assert_eq!(text, format!("It is up and delivers, but refuses new events: {told}.\n"));
        assert!(server.text(&["health", "--json"]).await.contains(&format!("\"shortage\": \"{shortage}\"")));
    }
}
