//! A producer that posts events without pause, whatever happens to the server, and writes down what it was promised.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::watch;
use tokio::time::timeout;
use toktra_siem_testkit::client::Client;
use uuid::Uuid;

use crate::oracle::Oracle;
use crate::seed::Seed;

/// When a producer gives up waiting for an answer: a killed server does not always end its connections in a way that is noticed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the server is now; `None` while it is down.
pub type Whereabouts = watch::Receiver<Option<Client>>;

/// Posts single events and batches until `whereabouts` is closed. An unanswered request is not repeated: its events stay uncertain, so
/// that the oracle also knows what may have been stored.
///
/// # Panics
///
/// Where the server answers with something that a correct producer never sees.
pub async fn produce(mut seed: Seed, org: String, mut whereabouts: Whereabouts, oracle: Arc<Oracle>) {
    loop {
        let client = whereabouts.borrow_and_update().clone();
        let Some(client) = client else {
            if whereabouts.changed().await.is_err() {
                return;
            }
            continue;
        };
        let size = if seed.between(0, 3) == 0 { seed.between(2, 60) } else { 1 };
        let events: Vec<(String, Bytes)> = (0..size).map(|_| event(&mut seed, &org)).collect();
        let mut body = Vec::new();
        for (_, bytes) in &events {
            body.extend_from_slice(bytes);
            body.push(b'\n');
        }
        let headers = [("content-type", "application/x-ndjson")];
        let posted = client.try_send(Method::POST, "/v1/events", &headers, Bytes::from(body));
        match timeout(PATIENCE, posted).await {
            Ok(Ok(answer)) if answer.status == 202 => oracle.promised(events),
            // Refused before acceptance: backpressure, or the server is ending.
            Ok(Ok(answer)) if matches!(answer.status, 429 | 503) => oracle.uncertain(events),
            Ok(Ok(answer)) => panic!("unexpected answer {}: {}", answer.status, answer.text()),
            Ok(Err(_)) | Err(_) => oracle.uncertain(events),
        }
        if whereabouts.has_changed().is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// An event in its stored form, so that what arrives can be compared byte for byte.
fn event(seed: &mut Seed, org: &str) -> (String, Bytes) {
    let id = Uuid::from_u64_pair(seed.word(), seed.word()).to_string();
    let kinds = ["policy_violation", "anomaly", "budget_alert", "lockout"];
    let severities = ["low", "medium", "high", "critical"];
    let at =
        |seed: &mut Seed, of: &[&str]| of[usize::try_from(seed.between(0, of.len() as u64)).unwrap_or(0)].to_owned();
    let (kind, severity) = (at(seed, &kinds), at(seed, &severities));
    let (number, n) = (seed.word(), seed.word());
    let event = format!(
        concat!(
            r#"{{"event_id":"{}","event_type":"{}","severity":"{}","timestamp":"2025-01-15T10:30:00Z","org_id":"{}","#,
            r#""user_id":"u","user_email":"u@company.com","provider":"openai","model":"gpt-4","source":"toktra","#,
            r#""summary":"event number {} of a run","tags":{{"run":"kill"}},"details":{{"n":{}}}}}"#
        ),
        id, kind, severity, org, number, n
    );
    (id, Bytes::from(event))
}
