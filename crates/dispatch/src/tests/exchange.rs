//! What an attempt keeps of what was sent and answered around the bodies.

use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::Trigger;

use super::*;
use crate::test_delivery::{Listener, TestOrder, run};

/// The same answer from a proxy that says what it was sent.
fn echoing(answer: Answer) -> Answer {
    let header = |name: &str, value: &'static str| (name.to_owned(), Bytes::from_static(value.as_bytes()));
    let headers = vec![header("server", "nginx"), header("x-sent", "Splunk token"), header("set-cookie", "a=b")];
    Ok(Reply { headers, ..answer? })
}

fn unreached() -> Answer {
    Err(Unreached { cause: Cause::new("network_refused", "refused"), misconfigured: false })
}

/// Of each attempt: whether its request is kept, and the headers of its answer.
fn kept(attempts: &[Attempt]) -> Vec<(bool, Value)> {
    attempts.iter().map(|attempt| (attempt.request.is_some(), json!(attempt.response_headers))).collect()
}

fn redacted() -> Value {
    json!([["server", "nginx"], ["x-sent", "Splunk [redacted]"], ["set-cookie", "[redacted]"]])
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_it_and_a_plain_success_does_not() {
    let mut bench = Bench::splunk().await;
    bench.answer([echoing(busy()), unreached(), echoing(success())]);
    bench.send(1).await;
    bench.pass(Duration::from_secs(4)).await;
    let (_, attempts) = bench.history().await.remove(0);
    assert_eq!(kept(&attempts), [(true, redacted()), (true, Value::Null), (false, Value::Null)]);
    let request = json!(attempts[0].request);
    assert_eq!((&request["method"], &request["url"]), (&json!("POST"), &json!(bench.seen()[0].url)));
    assert_eq!(request["headers"][0], json!(["authorization", "[redacted]"]));
    let names = request["headers"].to_string();
    assert!(names.contains("webhook-id") && names.contains("x-toktra-signature"), "{names}");
}

#[tokio::test(start_paused = true)]
async fn a_success_that_deserves_attention_keeps_it() {
    let mut bench = Bench::splunk().await;
    bench.answer([echoing(reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 1})))]);
    bench.send(2).await;
    bench.pass(Duration::from_secs(1)).await;
    let (_, attempts) = bench.history().await.remove(0);
    assert_eq!(kept(&attempts), [(true, redacted())]);
}

#[tokio::test(start_paused = true)]
async fn a_test_keeps_it_also_where_it_succeeds() {
    let bench = Bench::splunk().await;
    bench.answer([echoing(success())]);
    let stream = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
    let links = vec![(StreamKind::Events, bench.ctx.links.link(ORG, stream).await.unwrap())];
    let audit = AuditEntry { detail: json!({}), ..audit() };
    let order = TestOrder { links, kept: true, sample: None, audit, listener: Listener::default() };
    assert!(run(bench.ctx.clone(), order).await.unwrap().streams[0].delivered);
    let (delivery, attempts) = bench.history().await.remove(0);
    assert_eq!((delivery.trigger, kept(&attempts)), (Trigger::Test, vec![(true, redacted())]));
}

#[tokio::test(start_paused = true)]
async fn where_the_endpoint_could_not_be_prepared_nothing_was_sent() {
    let config = json!({"url": "https://elasticsearch.example:9200", "api_key": "a2V5OnNlY3JldA=="});
    let mut bench = Bench::new(ELASTICSEARCH, config).await;
    bench.otherwise(|_| unreached());
    bench.send(1).await;
    bench.pass(Duration::from_millis(100)).await;
    let (_, attempts) = bench.history().await.remove(0);
    assert_eq!(kept(&attempts), [(false, Value::Null)]);
    assert_eq!(attempts[0].cause.as_ref().unwrap().code, "network_refused");
}
