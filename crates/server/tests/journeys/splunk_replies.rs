//! Every row of Splunk's reply table (destinations.md, "Splunk HTTP Event Collector"), and what proxies answer instead, each from the
//! outside: attempts, history, outcome, health, and the way back.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};
use toktra_siem_fake::splunk::{Endpoint, Fault, reply};
use toktra_siem_fake::{Behaviour, Reply};

use crate::splunk::fake;
use crate::support::{Account, Connector, Stage, accepted, event, requested, text};

/// What a reply to a single event leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// In, with one attempt.
    Delivered,
    /// Three attempts, then parked; the endpoint counts as down.
    Retried,
    /// Three attempts, then parked; a person has to act.
    Held,
    /// One attempt, and given up for good.
    Rejected,
}

struct Row {
    behaviour: Behaviour<Fault>,
    http: u16,
    class: Class,
    /// The code of the cause; empty where there is none.
    cause: &'static str,
}

fn coded(code: u8, class: Class, cause: &'static str) -> Row {
    other(reply(code), class, cause)
}

fn other(reply: Reply, class: Class, cause: &'static str) -> Row {
    Row { http: reply.status.as_u16(), behaviour: Behaviour::reply(reply), class, cause }
}

fn near_capacity(code: u8) -> Row {
    Row { http: 200, behaviour: Behaviour::fault(Fault::NearCapacity(code)), class: Class::Delivered, cause: "" }
}

fn table() -> Vec<Row> {
    use Class::{Held, Rejected, Retried};
    vec![
        Row { http: 200, behaviour: Behaviour::strict(), class: Class::Delivered, cause: "" },
        near_capacity(24),
        near_capacity(25),
        coded(1, Held, "splunk_1_token_disabled"),
        coded(4, Held, "splunk_4_invalid_token"),
        coded(2, Held, "splunk_2_token_required"),
        coded(3, Held, "splunk_3_invalid_authorization"),
        coded(5, Rejected, "splunk_5_no_data"),
        coded(6, Rejected, "splunk_6_invalid_data_format"),
        coded(12, Rejected, "splunk_12_event_field_required"),
        coded(13, Rejected, "splunk_13_event_field_blank"),
        coded(15, Rejected, "splunk_15_indexed_fields"),
        coded(7, Held, "splunk_7_incorrect_index"),
        coded(10, Held, "splunk_10_channel_missing"),
        coded(11, Held, "splunk_11_channel_invalid"),
        coded(14, Held, "splunk_14_ack_disabled"),
        coded(16, Held, "splunk_16_query_string_auth"),
        coded(8, Retried, "splunk_8_internal_error"),
        coded(9, Retried, "splunk_9_busy"),
        coded(18, Retried, "splunk_18_unhealthy_queues_full"),
        coded(19, Retried, "splunk_19_unhealthy_ack_unavailable"),
        coded(20, Retried, "splunk_20_unhealthy"),
        coded(23, Retried, "splunk_23_shutting_down"),
        coded(21, Held, "splunk_21_invalid_token"),
        coded(22, Held, "splunk_22_token_disabled"),
        coded(26, Retried, "splunk_26_queue_full"),
        coded(27, Retried, "splunk_27_ack_channel_full"),
        // What stands in front of Splunk, or in its place, answers in HTML and with statuses of its own.
        other(Reply::html(200, "Splunk Web"), Held, "splunk_not_hec"),
        other(Reply::json(200, &json!({ "code": 9, "text": "contradicts itself" })), Held, "splunk_not_hec"),
        other(Reply::empty(302).with_header("location", "http://127.0.0.1:9/login"), Held, "splunk_redirect"),
        other(Reply::html(404, "Not Found"), Held, "splunk_wrong_path"),
        other(Reply::html(415, "Unsupported Media Type"), Held, "splunk_http_415"),
        other(Reply::html(413, "Content-Length of request is too large"), Rejected, "splunk_too_large"),
        other(Reply::html(429, "Too Many Requests"), Retried, "splunk_busy"),
        other(Reply::html(502, "Bad Gateway"), Retried, "splunk_http_502"),
    ]
}

#[tokio::test]
async fn every_row_of_the_reply_table_does_what_it_says() {
    let stage = Rc::new(Stage::start().await);
    // Rows wait most of the time; they wait together.
    let walks = async {
        let mut rows = JoinSet::new();
        for row in table() {
            let stage = Rc::clone(&stage);
            rows.spawn_local(async move { walk(&stage, row).await });
        }
        rows.join_all().await
    };
    let ended = LocalSet::new().run_until(walks).await;
    let accounts: Vec<_> =
        ended.iter().map(|(connector, account)| (connector, [("events", account.clone())])).collect();
    let expected: Vec<(&Connector, &[(&str, Account)])> =
        accounts.iter().map(|(connector, streams)| (*connector, &streams[..])).collect();
    Rc::into_inner(stage).unwrap().end(&expected).await;
}

/// One row, with an org, a connector and a Splunk of its own.
async fn walk(stage: &Stage, row: Row) -> (Connector, Account) {
    let Row { behaviour, http, class, cause } = row;
    let name = if cause.is_empty() { format!("{behaviour:?}") } else { cause.to_owned() };
    let splunk = fake().await;
    splunk.always(Endpoint::Event, behaviour);
    let org = stage.org(&name.chars().take(60).collect::<String>()).await;
    let connector = org.splunk(&splunk).await;
    let id = org.post_one(event("anomaly", "high")).await;

    let attempts = if matches!(class, Class::Held | Class::Retried) { 3 } else { 1 };
    requested(&splunk, attempts).await;
    let delivery = connector.until_settled("trigger=live").await;
    assert_attempts(&delivery, attempts, http, cause);
    let (status, outcome, health) = match class {
        Class::Delivered => ("delivered", "delivered", "healthy"),
        Class::Retried => ("failed", "failed", "degraded"),
        Class::Held => ("failed", "failed", "misconfigured"),
        Class::Rejected => ("rejected", "rejected", "healthy"),
    };
    assert_eq!(delivery["status"], status, "{name}: {delivery}");
    let fate = connector.until_outcome("events", &id, outcome).await;
    connector.until_health("events", health).await;
    match class {
        Class::Delivered => {
            assert_eq!(fate["delivery"], delivery["id"]);
            (connector, Account::delivered(1))
        }
        Class::Rejected => {
            assert_eq!(fate["cause"], delivery["cause"]);
            assert_eq!(splunk.counts().requests, 1, "{name}: a rejected event is not sent again");
            (connector, Account { rejected: 1, ..Account::default() })
        }
        Class::Retried | Class::Held => {
            assert_eq!(fate["cause"]["code"], cause);
            assert_comes_back(&connector, &splunk, &id).await;
            (connector, Account::delivered(1))
        }
    }
}

/// The platform accepts again: a probe finds out by itself, and delivers what was parked.
async fn assert_comes_back(connector: &Connector, splunk: &toktra_siem_fake::splunk::Splunk, id: &str) {
    splunk.healthy();
    accepted(splunk, 1).await;
    let fate = connector.until_outcome("events", id, "delivered").await;
    let probe = connector.delivery(&text(&fate["delivery"])).await;
    assert_eq!((&probe["trigger"], &probe["probe"]), (&json!("recovery"), &json!(true)));
    connector.until_health("events", "healthy").await;
    assert_eq!(splunk.violations(), []);
}

/// Attempts are recorded as they were: number, status, cause; the second after 1 s, the third after 2 s.
fn assert_attempts(delivery: &Value, attempts: u64, http: u16, cause: &str) {
    let shown = delivery["attempts"].as_array().unwrap();
    assert_eq!((shown.len() as u64, &delivery["attempt_count"]), (attempts, &json!(attempts)), "{delivery}");
    for (number, attempt) in (1..).zip(shown) {
        assert_eq!((&attempt["number"], &attempt["http_status"]), (&json!(number), &json!(http)), "{delivery}");
        let code = attempt["cause"]["code"].as_str().unwrap_or_default();
        assert_eq!(code, cause, "{delivery}");
    }
    assert_eq!(delivery["cause"]["code"].as_str().unwrap_or_default(), cause);
    for (pair, pause) in shown.windows(2).zip([1_000, 2_000]) {
        let waited = started(&pair[1]) - started(&pair[0]) - pair[0]["duration_ms"].as_i64().unwrap();
        // Times are shown in whole milliseconds, so that each of the three may be one short.
        assert!(waited >= pause - 3, "only {waited} ms before the next attempt: {delivery}");
    }
}

fn started(attempt: &Value) -> i64 {
    text(&attempt["at"]).parse::<jiff::Timestamp>().unwrap().as_millisecond()
}
