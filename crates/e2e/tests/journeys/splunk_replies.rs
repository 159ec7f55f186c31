//! Every row of Splunk's reply table (Splunk's documentation, "Troubleshoot HTTP Event Collector"), and what proxies answer instead.

use toktra_siem_fake::splunk::{Endpoint, Fault, reply};
use toktra_siem_testkit::prelude::*;

use crate::replies::{Class, Row, walk_all};

fn coded(code: u8, class: Class, cause: &'static str) -> Row<Fault> {
    Row::reply(reply(code), class, cause)
}

fn table() -> Vec<Row<Fault>> {
    use Class::{Held, Rejected, Retried};
    vec![
        Row::delivered(Behaviour::strict(), 200),
        Row::delivered(Behaviour::fault(Fault::NearCapacity(24)), 200),
        Row::delivered(Behaviour::fault(Fault::NearCapacity(25)), 200),
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
        Row::reply(Reply::html(200, "Splunk Web"), Held, "splunk_not_hec"),
        Row::reply(Reply::json(200, &json!({ "code": 9, "text": "contradicts itself" })), Held, "splunk_not_hec"),
        Row::reply(Reply::empty(302).with_header("location", "http://127.0.0.1:9/login"), Held, "splunk_redirect"),
        Row::reply(Reply::html(404, "Not Found"), Held, "splunk_wrong_path"),
        Row::reply(Reply::html(415, "Unsupported Media Type"), Held, "splunk_http_415"),
        Row::reply(Reply::html(413, "Content-Length of request is too large"), Rejected, "splunk_too_large"),
        Row::reply(Reply::html(429, "Too Many Requests"), Retried, "splunk_busy"),
        Row::reply(Reply::html(502, "Bad Gateway"), Retried, "splunk_http_502"),
    ]
}

#[tokio::test]
async fn every_row_of_the_reply_table_does_what_it_says() {
    walk_all(table(), Endpoint::Event, splunk).await;
}
