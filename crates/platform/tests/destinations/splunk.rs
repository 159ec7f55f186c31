//! Splunk: the golden request, the whole reply table, partial batches, acknowledgement.

use serde_json::json;
use toktra_siem_core::connector::{Compression, Credentials};
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_platform::destination::{Destination, Method, Receipt};
use toktra_siem_platform::registry::{BuildError, Registry};
use uuid::Uuid;

use crate::support::{
    NOW, SECRET, asking, causes, encode_all, golden_events, headers, in_full, inflate, org, reply, show,
    splunk_settings, stream,
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/splunk/", $name))
    };
}

fn splunk(indexer_ack: bool) -> Box<dyn Destination> {
    stream(&splunk_settings(indexer_ack), StreamKind::Events)
}

fn verdict(status: u16, body: &str, sent: usize) -> String {
    show(&splunk(false).classify(&reply(status, body), sent, NOW))
}

#[test]
fn makes_the_golden_request() {
    let request = encode_all(&*splunk(false), &golden_events());
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url, "https://splunk.company.com:8088/services/collector/event");
    assert_eq!(
        headers(&request),
        [("authorization", format!("secret: Splunk {SECRET}")), ("content-type", "application/json".into())]
    );
    assert_eq!(request.body, fixture!("request.ndjson"));
}

#[test]
fn compresses_where_asked_and_names_index_and_sourcetype_as_json() {
    let mut settings = splunk_settings(false);
    settings.compression = Compression::Gzip;
    settings.config["index"] = json!("sec\"urity");
    settings.config["sourcetype"] = json!("a\\b");
    let request = encode_all(&*stream(&settings, StreamKind::Events), &golden_events());
    assert_eq!(headers(&request)[2], ("content-encoding", "gzip".into()));
    let expected = fixture!("request.ndjson")
        .replace(r#""index":"toktra","event""#, r#""index":"sec\"urity","event""#)
        .replace("toktra:security", r"a\\b");
    assert_eq!(inflate(&request.body), expected.as_bytes());
}

#[test]
fn judges_every_row_of_the_reply_table() {
    let rows: &[(u16, &str, &str)] = &[
        (200, fixture!("replies/00-success.json"), "4 delivered | healthy"),
        (200, fixture!("replies/24-queue-is-at-capacity.json"), "4 delivered | slow down"),
        (200, fixture!("replies/25-ack-channel-is-at-capacity.json"), "4 delivered | slow down"),
        (403, fixture!("replies/01-token-disabled.json"), "held splunk_1_token_disabled"),
        (401, fixture!("replies/02-token-is-required.json"), "held splunk_2_token_required"),
        (401, fixture!("replies/03-invalid-authorization.json"), "held splunk_3_invalid_authorization"),
        (403, fixture!("replies/04-invalid-token.json"), "held splunk_4_invalid_token"),
        (400, fixture!("replies/05-no-data.json"), "4 refused splunk_5_no_data | healthy"),
        (
            400,
            fixture!("replies/06-invalid-data-format.json"),
            "1 delivered, 1 refused splunk_6_invalid_data_format, 2 unread | healthy",
        ),
        (
            400,
            fixture!("replies/07-incorrect-index.json"),
            "1 delivered, 3 held splunk_7_incorrect_index | misconfigured splunk_7_incorrect_index",
        ),
        (500, fixture!("replies/08-internal-server-error.json"), "retry splunk_8_internal_error"),
        (503, fixture!("replies/09-server-is-busy.json"), "retry splunk_9_busy"),
        (503, fixture!("replies/09-server-is-busy-partial.json"), "2 delivered, 2 retry splunk_9_busy | backoff"),
        (400, fixture!("replies/10-data-channel-is-missing.json"), "held splunk_10_channel_missing"),
        (400, fixture!("replies/11-invalid-data-channel.json"), "held splunk_11_channel_invalid"),
        (
            400,
            fixture!("replies/12-event-field-is-required.json"),
            "1 delivered, 1 refused splunk_12_event_field_required, 2 unread | healthy",
        ),
        (
            400,
            fixture!("replies/13-event-field-cannot-be-blank.json"),
            "1 delivered, 1 refused splunk_13_event_field_blank, 2 unread | healthy",
        ),
        (400, fixture!("replies/14-ack-is-disabled.json"), "held splunk_14_ack_disabled"),
        (
            400,
            fixture!("replies/15-error-in-handling-indexed-fields.json"),
            "1 delivered, 1 refused splunk_15_indexed_fields, 2 unread | healthy",
        ),
        (
            400,
            fixture!("replies/16-query-string-authorization-is-not-enabled.json"),
            "held splunk_16_query_string_auth",
        ),
        (503, fixture!("replies/18-hec-is-unhealthy-queues-are-full.json"), "retry splunk_18_unhealthy_queues_full"),
        (
            503,
            fixture!("replies/19-hec-is-unhealthy-ack-service-unavailable.json"),
            "retry splunk_19_unhealthy_ack_unavailable",
        ),
        (
            503,
            fixture!("replies/20-hec-is-unhealthy-queues-are-full-ack-service-unavailable.json"),
            "retry splunk_20_unhealthy",
        ),
        (400, fixture!("replies/21-invalid-token.json"), "held splunk_21_invalid_token"),
        (400, fixture!("replies/22-token-disabled.json"), "held splunk_22_token_disabled"),
        (503, fixture!("replies/23-server-is-shutting-down.json"), "retry splunk_23_shutting_down"),
        (429, fixture!("replies/26-queue-is-full.json"), "retry splunk_26_queue_full"),
        (429, fixture!("replies/27-ack-channel-is-full.json"), "retry splunk_27_ack_channel_full"),
    ];
    for (status, body, expected) in rows {
        let expected = in_full(expected, 4);
        assert_eq!(verdict(*status, body, 4), expected, "{body}");
    }
}

#[test]
fn judges_replies_that_are_not_hec_s() {
    let rows: &[(u16, &str, &str)] = &[
        (200, fixture!("replies/web-login.html"), "held splunk_not_hec"),
        (200, "", "4 delivered with splunk_not_in_hec_words | healthy"),
        (200, "OK", "4 delivered with splunk_not_in_hec_words | healthy"),
        (200, "{}", "4 delivered with splunk_not_in_hec_words | healthy"),
        (200, "{\"text\":\"Success\"", "4 delivered with splunk_not_in_hec_words | healthy"),
        (
            200,
            r#"{"status":"ok","code":200,"errors":[],"error":null}"#,
            "4 delivered with splunk_not_in_hec_words | healthy",
        ),
        (201, r#"{"text":"Success"}"#, "4 delivered with splunk_not_in_hec_words | healthy"),
        (200, r#"{"error":"no such table"}"#, "held splunk_not_hec"),
        (200, r#"{"errors":true}"#, "held splunk_not_hec"),
        (200, r#"{"success":false}"#, "held splunk_not_hec"),
        (200, r#"{"ok":false}"#, "held splunk_not_hec"),
        (200, r#"{"status":"Error","message":"disk full"}"#, "held splunk_not_hec"),
        (200, r#"{"result":"failure"}"#, "held splunk_not_hec"),
        (200, r#"{"text":"Invalid data format","code":"6"}"#, "held splunk_not_hec"),
        (200, r#"{"accepted":0,"errors":4}"#, "held splunk_not_hec"),
        (200, r#"{"accepted":4,"errors":0,"error":{}}"#, "4 delivered with splunk_not_in_hec_words | healthy"),
        (200, r#"{"status":"received","result":"created"}"#, "4 delivered with splunk_not_in_hec_words | healthy"),
        (200, r#"{"text":"HEC is healthy","code":17}"#, "held splunk_not_hec"),
        (200, r#"{"text":"Invalid data format","code":6}"#, "held splunk_not_hec"),
        (204, "", "4 delivered with splunk_not_in_hec_words | healthy"),
        (301, "", "held splunk_redirect"),
        (303, "<html>", "held splunk_redirect"),
        (400, "<html>Bad Request</html>", "split splunk_http_400 | healthy"),
        (400, "<html>The plain HTTP request was sent to HTTPS port</html>", "held splunk_tls_expected"),
        (400, "Client sent an HTTP request to an HTTPS server.\n", "held splunk_tls_expected"),
        (
            401,
            r#"<?xml?><response><messages><msg type="WARN">no</msg></messages></response>"#,
            "held splunk_management_port",
        ),
        (400, r#"{"text":"New refusal","code":99}"#, "split splunk_http_400 | healthy"),
        (401, "", "held splunk_http_401"),
        (403, "<html>Forbidden</html>", "held splunk_http_403"),
        (404, r#"{"text":"The requested URL was not found on this server.","code":404}"#, "held splunk_wrong_path"),
        (405, "", "held splunk_wrong_path"),
        (407, "", "held splunk_http_407"),
        (408, "", "retry splunk_http_408"),
        (413, fixture!("replies/413-too-large.html"), "split splunk_too_large | healthy"),
        (415, "<html>", "held splunk_http_415"),
        (418, "", "held splunk_http_418"),
        (429, "", "retry splunk_busy"),
        (500, "<html>", "retry splunk_http_500"),
        (502, "", "retry splunk_http_502"),
        (503, r#"{"text":"Success","code":0}"#, "retry splunk_http_503"),
        (504, "{\"text\":\"cut", "retry splunk_http_504"),
        (0, "", "retry splunk_no_http"),
        (999, "", "retry splunk_no_http"),
    ];
    for (status, body, expected) in rows {
        let expected = in_full(expected, 4);
        assert_eq!(verdict(*status, body, 4), expected, "{status} {body}");
    }
}

#[test]
fn strict_takes_nothing_but_splunk_s_own_words() {
    let mut settings = splunk_settings(false);
    settings.config["strict"] = json!(true);
    let strict = stream(&settings, StreamKind::Events);
    for (body, expected) in [
        (fixture!("replies/00-success.json"), "2 delivered | healthy"),
        ("OK", "2 held splunk_not_hec | misconfigured splunk_not_hec"),
        ("", "2 held splunk_not_hec | misconfigured splunk_not_hec"),
    ] {
        assert_eq!(show(&strict.classify(&reply(200, body), 2, NOW)), expected, "{body}");
    }
}

#[test]
fn an_event_number_that_cannot_be_right_is_not_trusted() {
    let body = |code: u32, number: &str| format!(r#"{{"text":"x","code":{code},"invalid-event-number":{number}}}"#);
    for number in ["3", "-1", "1.5", "\"1\"", "null", "18446744073709551616", "[]"] {
        assert_eq!(verdict(400, &body(6, number), 3), "split splunk_6_invalid_data_format | healthy", "{number}");
        assert_eq!(verdict(503, &body(9, number), 3), "3 retry splunk_9_busy | backoff", "{number}");
    }
    // Code 7 counts one too high: 3 of 3 is the last one, 4 is none.
    let held = "held splunk_7_incorrect_index | misconfigured splunk_7_incorrect_index";
    assert_eq!(verdict(400, &body(7, "3"), 3), format!("2 delivered, 1 {held}"));
    for number in ["0", "1", "4", "-1", "null"] {
        assert_eq!(verdict(400, &body(7, number), 3), format!("3 {held}"), "{number}");
    }
    assert_eq!(verdict(400, r#"{"text":"x","code":7}"#, 3), format!("3 {held}"));
    // The edges of a batch.
    assert_eq!(verdict(400, &body(6, "0"), 1), "1 refused splunk_6_invalid_data_format | healthy");
    assert_eq!(verdict(400, &body(6, "2"), 3), "2 delivered, 1 refused splunk_6_invalid_data_format | healthy");
    assert_eq!(verdict(400, &body(6, "0"), 3), "1 refused splunk_6_invalid_data_format, 2 unread | healthy");
    assert_eq!(verdict(503, &body(9, "0"), 3), "3 retry splunk_9_busy | backoff");
}

#[test]
fn honours_retry_after_in_partial_replies_too() {
    let reply = asking(reply(503, fixture!("replies/09-server-is-busy-partial.json")), "7");
    assert_eq!(show(&splunk(false).classify(&reply, 3, NOW)), "2 delivered, 1 retry splunk_9_busy | backoff 7s");
}

#[test]
fn says_what_happened_and_what_to_do() {
    let disabled = splunk(false).classify(&reply(403, fixture!("replies/01-token-disabled.json")), 1, NOW);
    assert_eq!(
        causes(&disabled)[0].message,
        "Splunk answered 403: this HEC token is disabled. In Splunk: Settings → Data inputs → HTTP Event Collector → enable \
         the token, then test again."
    );
    let index = splunk(false).classify(&reply(400, fixture!("replies/07-incorrect-index.json")), 1, NOW);
    assert!(causes(&index)[0].message.starts_with("Splunk answered 400: it refuses the index “toktra”."));
    let web = splunk(false).classify(&reply(200, fixture!("replies/web-login.html")), 1, NOW);
    assert!(causes(&web)[0].message.contains("web port"));
}

#[test]
fn asks_for_confirmation_on_a_stable_channel() {
    let splunk = splunk(true);
    let request = encode_all(&*splunk, &golden_events());
    let (name, channel) = headers(&request).pop().map(|(name, value)| (name.to_owned(), value)).unwrap();
    assert_eq!(name, "x-splunk-request-channel");
    assert_eq!(channel.parse::<Uuid>().unwrap().to_string(), channel);
    assert_eq!(headers(&encode_all(&*self::splunk(true), &golden_events())).pop().unwrap().1, channel);

    let accepted = splunk.classify(&reply(200, fixture!("replies/00-success-ack.json")), 3, NOW);
    assert_eq!(show(&accepted), "3 delivered | healthy");
    assert_eq!(accepted.confirm, Some(Receipt(json!({ "channel": channel, "id": 7 }))));
    let ack = |id: u64| Receipt(json!({ "channel": channel, "id": id }));
    let refs = [ack(0), ack(1), ack(7), ack(9), Receipt(json!({ "channel": "another", "id": 0 }))];
    let query = splunk.confirm(&refs).unwrap();
    assert_eq!(query.url, "https://splunk.company.com:8088/services/collector/ack");
    assert_eq!(query.body, r#"{"acks":[0,1,7,9]}"#);
    assert_eq!(
        headers(&query),
        [
            ("authorization", format!("secret: Splunk {SECRET}")),
            ("content-type", "application/json".into()),
            ("x-splunk-request-channel", channel.clone())
        ]
    );
    assert_eq!(splunk.confirmed(&reply(200, fixture!("replies/acks.json")), &refs).receipts, [ack(0), ack(7)]);
    for (status, body) in [(500, fixture!("replies/acks.json")), (200, "<html>"), (200, r#"{"acks":[true]}"#)] {
        assert_eq!(splunk.confirmed(&reply(status, body), &refs).receipts, [], "{status} {body}");
    }
    assert!(splunk.confirm(&[]).is_none());
    let many: Vec<Receipt> = (0..5_000).map(ack).collect();
    let query: serde_json::Value = serde_json::from_slice(&splunk.confirm(&many).unwrap().body).unwrap();
    assert_eq!(query["acks"].as_array().unwrap().len(), 1_000);
}

#[test]
fn stops_asking_where_acknowledgement_is_off() {
    let splunk = splunk(true);
    let never = |reply: &toktra_siem_platform::destination::Reply| splunk.confirmed(reply, &[]).never;
    let off = never(&reply(400, fixture!("replies/14-ack-is-disabled.json"))).unwrap();
    assert_eq!(off.code, "splunk_14_ack_disabled");
    assert_eq!(never(&reply(503, fixture!("replies/09-server-is-busy.json"))), None);
    assert_eq!(never(&reply(200, fixture!("replies/acks.json"))), None);
    let without_id = splunk.classify(&reply(200, fixture!("replies/00-success.json")), 2, NOW);
    assert_eq!((show(&without_id), without_id.confirm), ("2 delivered with splunk_no_ack_id | healthy".into(), None));
    let partial = splunk.classify(&reply(400, fixture!("replies/06-invalid-data-format.json")), 2, NOW);
    assert_eq!(
        show(&partial),
        "1 delivered with splunk_unconfirmed_head, 1 refused splunk_6_invalid_data_format | healthy"
    );
}

#[test]
fn is_built_only_with_its_own_credential_and_stream() {
    let settings = splunk_settings(false);
    let id = ConnectorId(Uuid::nil());
    let token = Credentials::of("hec_token", SECRET.to_owned());
    let of =
        |credentials: &Credentials, kind| Registry::standard().build(&settings, credentials, org(), id, kind).err();
    let platform = settings.platform;
    assert_eq!(of(&token, StreamKind::Events), None);
    assert_eq!(of(&token, StreamKind::Logs), Some(BuildError::Stream { platform, kind: StreamKind::Logs }));
    assert_eq!(of(&Credentials::none(), StreamKind::Events), Some(BuildError::Credentials));
}
