//! The reply table: each code with its HTTP status and text (the
//! texts are those of Splunk's "Troubleshoot HTTP Event Collector" page).

use serde_json::{Value, json};

use crate::receiver::Reply;

/// Splunk's true reply for a code of the table.
///
/// # Panics
/// If the table has no such code: 0–27 exist.
pub fn reply(code: u8) -> Reply {
    let (status, text) = row(code);
    Reply::json(status, &json!({ "text": text, "code": code }))
}

/// The reply for a code, with `invalid-event-number`.
pub(super) fn at_event(code: u8, number: usize) -> Reply {
    with(code, "invalid-event-number", &json!(number))
}

/// The reply for a code, with the id of its acknowledgement.
pub(super) fn with_ack(code: u8, id: u64) -> Reply {
    with(code, "ackId", &json!(id))
}

fn with(code: u8, key: &str, value: &Value) -> Reply {
    let (status, text) = row(code);
    Reply::json(status, &json!({ "text": text, "code": code, key: value }))
}

fn row(code: u8) -> (u16, &'static str) {
    match code {
        0 => (200, "Success"),
        1 => (403, "Token disabled"),
        2 => (401, "Token is required"),
        3 => (401, "Invalid authorization"),
        4 => (403, "Invalid token"),
        5 => (400, "No data"),
        6 => (400, "Invalid data format"),
        7 => (400, "Incorrect index"),
        8 => (500, "Internal server error"),
        9 => (503, "Server is busy"),
        10 => (400, "Data channel is missing"),
        11 => (400, "Invalid data channel"),
        12 => (400, "Event field is required"),
        13 => (400, "Event field cannot be blank"),
        14 => (400, "ACK is disabled"),
        15 => (400, "Error in handling indexed fields"),
        16 => (400, "Query string authorization is not enabled"),
        17 => (200, "HEC is healthy"),
        18 => (503, "HEC is unhealthy, queues are full"),
        19 => (503, "HEC is unhealthy, ack service unavailable"),
        20 => (503, "HEC is unhealthy, queues are full, ack service unavailable"),
        21 => (400, "Invalid token"),
        22 => (400, "Token disabled"),
        23 => (503, "Server is shutting down"),
        24 => (200, "Queue at capacity"),
        25 => (200, "ACK channel at capacity"),
        26 => (429, "Queue at capacity"),
        27 => (429, "ACK channel at capacity"),
        other => panic!("Splunk has no reply code {other}"),
    }
}
