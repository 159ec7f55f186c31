//! What the HTTP Event Collector answers, and what each of its codes means (Splunk's documentation, "Troubleshoot HTTP Event Collector").

use serde::Deserialize;
use serde_json::Value;

use crate::destination::Reply;

/// The management port answers in XML: `<response><messages><msg type="WARN">call not properly authenticated</msg>…`.
pub(super) fn is_splunkd(reply: &Reply) -> bool {
    let start = String::from_utf8_lossy(&reply.body[..reply.body.len().min(512)]);
    start.contains("<response>") && start.contains("<msg type=")
}

/// Whether the body of a 2xx says that it is none: a code that is neither HEC's success nor the status again, or a failure by its name.
pub(super) fn says_otherwise(reply: &Reply) -> bool {
    let Ok(Value::Object(answer)) = serde_json::from_slice(&reply.body) else { return false };
    let is = |name: &str, wrong: fn(&Value) -> bool| answer.get(name).is_some_and(wrong);
    let success = [0, u64::from(reply.status)];
    answer.get("code").and_then(number).is_some_and(|code| !success.contains(&code))
        || ["success", "ok"].into_iter().any(|name| is(name, |success| *success == Value::Bool(false)))
        || ["status", "result"].into_iter().any(|name| is(name, is_failure))
        || ["error", "errors"].into_iter().any(|name| {
            is(name, |error| match error {
                Value::Null | Value::Bool(false) => false,
                Value::Number(count) => count.as_u64() != Some(0),
                Value::String(text) => !text.is_empty(),
                Value::Array(list) => !list.is_empty(),
                Value::Object(members) => !members.is_empty(),
                Value::Bool(true) => true,
            })
        })
}

/// A number, also if it was written as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether it is a word for failure, such as `error` or `Failed`.
fn is_failure(value: &Value) -> bool {
    let word = value.as_str().unwrap_or_default().to_ascii_lowercase();
    ["error", "fail", "failed", "failure", "rejected", "refused"].contains(&word.as_str())
}

/// HEC's answer. Every member is read leniently: a number that is none must not hide the code.
#[derive(Deserialize)]
pub(super) struct Answer {
    code: Option<Value>,
    #[serde(rename = "invalid-event-number")]
    invalid_event_number: Option<Value>,
    /// Under which it confirms later.
    #[serde(rename = "ackId")]
    pub(super) ack_id: Option<Value>,
}

impl Answer {
    /// The answer, if it is in HEC's form.
    pub(super) fn read(reply: &Reply) -> Option<Self> {
        serde_json::from_slice(&reply.body).ok()
    }

    /// HEC's code.
    pub(super) fn code(&self) -> Option<u64> {
        self.code.as_ref()?.as_u64()
    }

    /// The number of the event that it names.
    pub(super) fn number(&self) -> Option<usize> {
        self.invalid_event_number.as_ref()?.as_u64().and_then(|n| usize::try_from(n).ok())
    }
}

/// What a code means for the batch.
#[derive(Clone, Copy)]
pub(super) enum Class {
    Accepted { slow_down: bool },
    Held,
    Retry,
    BadEvent,
    WrongIndex,
    NoData,
}

/// The reply table (Splunk's documentation, "Troubleshoot HTTP Event Collector"): the class of each code, the end of its cause's code, and why with the
/// next step, for which the receiver has its own words in the place of what stands in braces.
pub(super) fn meaning(code: u64) -> Option<(Class, &'static str, &'static str)> {
    const DISABLED: &str = "this HEC token is disabled. {enable}";
    const UNKNOWN: &str =
        "it does not know this HEC token. It was probably deleted, or belongs to another {name}. {token}";
    const UNHEALTHY: &str = "its HTTP Event Collector is unhealthy, probably because its queues are full. Sending goes on by \
                             itself; if this lasts, look at {behind}.";
    const MALFORMED: &str = "it could not read this event. Other events are not held up by it; look at the event, and \
                             deliver it again once the cause is gone.";
    Some(match code {
        0 => (Class::Accepted { slow_down: false }, "0_success", ""),
        24 => (Class::Accepted { slow_down: true }, "24_queue_near_capacity", ""),
        25 => (Class::Accepted { slow_down: true }, "25_ack_channel_near_capacity", ""),
        1 => (Class::Held, "1_token_disabled", DISABLED),
        22 => (Class::Held, "22_token_disabled", DISABLED),
        4 => (Class::Held, "4_invalid_token", UNKNOWN),
        21 => (Class::Held, "21_invalid_token", UNKNOWN),
        2 => (
            Class::Held,
            "2_token_required",
            "the request arrived without a token. A proxy in between probably removes the Authorization header: let it \
             pass, then test again.",
        ),
        3 => (
            Class::Held,
            "3_invalid_authorization",
            "it could not read the token. It was probably pasted incompletely, or a proxy rewrites the Authorization \
             header: enter the token again, then test.",
        ),
        5 => (
            Class::NoData,
            "5_no_data",
            "the request arrived without events. This is our fault, or that of a proxy which drops the body. Look at the \
             proxy, and deliver the events again.",
        ),
        6 => (Class::BadEvent, "6_invalid_data_format", MALFORMED),
        12 => (Class::BadEvent, "12_event_field_required", MALFORMED),
        13 => (Class::BadEvent, "13_event_field_blank", MALFORMED),
        15 => (Class::BadEvent, "15_indexed_fields", MALFORMED),
        7 => (
            Class::WrongIndex,
            "7_incorrect_index",
            "it refuses the index. It probably does not exist, or this token may not write to it. {index}",
        ),
        8 => (
            Class::Retry,
            "8_internal_error",
            "it met an internal error. Sending goes on by itself; if this lasts, look into {log}.",
        ),
        9 => (Class::Retry, "9_busy", "it is busy. Sending goes on by itself; if this lasts, {behind} cannot keep up."),
        10 => (
            Class::Held,
            "10_channel_missing",
            "this token has indexer acknowledgement on, and the connector does not use it. {untick}",
        ),
        11 => (
            Class::Held,
            "11_channel_invalid",
            "it does not accept the acknowledgement channel. A proxy in between probably changes the \
             X-Splunk-Request-Channel header: let it pass, then test again.",
        ),
        14 => (
            Class::Held,
            "14_ack_disabled",
            "indexer acknowledgement is off for this token, so nothing can be confirmed. {tick}",
        ),
        16 => (
            Class::Held,
            "16_query_string_auth",
            "it found a token in the address. The HEC URL probably holds one: remove everything after the port, then test \
             again.",
        ),
        18 => (Class::Retry, "18_unhealthy_queues_full", UNHEALTHY),
        19 => (Class::Retry, "19_unhealthy_ack_unavailable", UNHEALTHY),
        20 => (Class::Retry, "20_unhealthy", UNHEALTHY),
        23 => (Class::Retry, "23_shutting_down", "it is shutting down. Sending goes on by itself once it is back."),
        26 => (
            Class::Retry,
            "26_queue_full",
            "its queue is full. Sending goes on by itself; if this lasts, {behind} cannot keep up.",
        ),
        27 => (
            Class::Retry,
            "27_ack_channel_full",
            "its acknowledgement channel is full. Sending goes on by itself; if this lasts, {behind} cannot keep up.",
        ),
        _ => return None,
    })
}
