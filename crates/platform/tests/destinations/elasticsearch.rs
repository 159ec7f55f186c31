//! Elasticsearch: the golden bulk, authorisation, the reply by request and by item.

use std::sync::Arc;

use toktra_siem_core::connector::{Compression, Credentials};
use toktra_siem_core::ids::{OrgId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::destination::{Destination, EndpointState, Reply, Verdict};

use crate::support::{
    NOW, SECRET, asking, causes, elasticsearch_settings, encode, encode_all, golden_events, headers, inflate, reply,
    show, stream, stream_with,
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/elasticsearch/", $name))
    };
}

fn elasticsearch() -> Box<dyn Destination> {
    stream(&elasticsearch_settings(true), StreamKind::Events)
}

fn verdict(status: u16, body: &str, sent: usize) -> String {
    show(&elasticsearch().classify(&reply(status, body), sent, NOW))
}

/// A bulk reply of one item.
fn item(status: u16, kind: &str, reason: &str) -> String {
    format!(
        r#"{{"took":1,"errors":true,"items":[{{"create":{{"_index":"i","_id":"x","status":{status},"error":{{"type":"{kind}","reason":"{reason}"}}}}}}]}}"#
    )
}

#[test]
fn makes_the_golden_bulk() {
    let request = encode_all(&*elasticsearch(), &golden_events());
    assert_eq!(request.url, "https://es.company.com:9200/_bulk");
    assert_eq!(
        headers(&request),
        [("content-type", "application/x-ndjson".into()), ("authorization", format!("secret: ApiKey {SECRET}"))]
    );
    assert_eq!(request.body, fixture!("request.ndjson"));
}

#[test]
fn authorises_by_key_password_or_not_at_all() {
    let mut settings = elasticsearch_settings(true);
    let password = Credentials::of("password", "open sesame".to_owned());
    let basic = encode_all(&*stream_with(&settings, &password, StreamKind::Events), &golden_events());
    // printf 'toktra:open sesame' | base64
    assert_eq!(headers(&basic)[1], ("authorization", "secret: Basic dG9rdHJhOm9wZW4gc2VzYW1l".into()));
    settings.compression = Compression::Gzip;
    let open = encode_all(&*stream_with(&settings, &Credentials::none(), StreamKind::Events), &golden_events());
    let names: Vec<_> = headers(&open).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["content-type", "content-encoding"]);
    assert_eq!(inflate(&open.body), fixture!("request.ndjson").as_bytes());
}

#[test]
fn the_same_event_of_two_orgs_makes_two_documents() {
    let one = golden_events().remove(0);
    let other = Arc::new(toktra_siem_core::event::StoredEvent {
        org: "00000000-0000-4000-8000-000000000001".parse::<OrgId>().unwrap(),
        ..(*one).clone()
    });
    let body = encode_all(&*elasticsearch(), &[one, other]).body;
    let text = std::str::from_utf8(&body).unwrap();
    let actions: Vec<&str> = text.lines().step_by(2).collect();
    assert_ne!(actions[0], actions[1]);
    assert!(actions[1].contains("00000000-0000-4000-8000-000000000001:0194693f-6c00-7000-8000-000000000001"));
}

#[test]
fn index_names_are_strict_at_any_time() {
    for (ms, day) in [(i64::MIN, "0000.01.01"), (i64::MAX, "9999.12.29"), (0, "1970.01.01"), (-1, "1969.12.31")] {
        let mut event = (*golden_events()[0]).clone();
        (event.event_time, event.accepted_at) = (Timestamp(ms), Timestamp(ms));
        let body = encode_all(&*elasticsearch(), &[event.into()]).body;
        let expected = format!(r#"{{"create":{{"_index":"toktra-security-events-{day}","#);
        assert!(body.starts_with(expected.as_bytes()), "{ms}: {body:?}");
    }
}

#[test]
fn events_that_were_old_when_they_were_accepted_share_the_index_of_that_day() {
    const HOUR: i64 = 3_600_000;
    let index = |happened: i64| {
        let mut event = (*golden_events()[0]).clone();
        event.event_time = Timestamp(happened);
        let body = String::from_utf8(encode_all(&*elasticsearch(), &[event.into()]).body.to_vec()).unwrap();
        body[44..][..10].to_owned()
    };
    // They are accepted at 10:30 on the 15th, whenever they are sent.
    for (hours, day) in
        [(0, "2025.01.15"), (-11, "2025.01.14"), (-48, "2025.01.13"), (-49, "2025.01.15"), (24, "2025.01.16")]
    {
        assert_eq!(index(NOW.0 + hours * HOUR), day, "{hours}");
    }
    let years = (1..25).map(|years| index(NOW.0 - years * 365 * 24 * HOUR));
    assert!(years.into_iter().all(|day| day == "2025.01.15"));
}

#[test]
fn a_damaged_event_is_omitted_and_costs_nothing() {
    let good = golden_events().remove(0);
    let mut damaged = (*good).clone();
    damaged.payload = damaged.payload.slice(1..);
    let events = [damaged.into(), good];
    let elasticsearch = elasticsearch();
    let encoded = encode(&*elasticsearch, &events);
    assert_eq!((encoded.omitted[0].position, encoded.omitted[0].cause.code.as_ref()), (0, "event_unreadable"));
    let cost: usize = events.iter().map(|event| elasticsearch.cost(event)).sum();
    assert_eq!(cost, encoded.request.unwrap().body.len());
    assert!(encode(&*elasticsearch, &events[..1]).request.is_none());
}

#[test]
fn judges_each_item_by_its_own_status() {
    let partial = elasticsearch().classify(&asking(reply(200, fixture!("replies/items.json")), "3"), 9, NOW);
    assert_eq!(
        show(&partial),
        "2 delivered, 2 retry elasticsearch_item_429, 1 rejected elasticsearch_mapper_parsing_exception, \
         1 rejected elasticsearch_document_parsing_exception, 1 delivered with elasticsearch_failure_store, \
         1 retry elasticsearch_item_503, 1 delivered | backoff 3s"
    );
    let reason = &causes(&partial)[1].message;
    assert!(reason.starts_with("Elasticsearch answered 400 for this event: "), "{reason}");
    assert!(
        reason.ends_with("“failed to parse field [policy_id] of type [keyword]: Can't get text on a START_OBJECT”"),
        "{reason}"
    );
    assert_eq!(verdict(200, fixture!("replies/all-created.json"), 3), "3 delivered | healthy");
    assert_eq!(
        verdict(200, fixture!("replies/flood-stage.json"), 2),
        "2 held elasticsearch_disk_flood_stage | misconfigured elasticsearch_disk_flood_stage"
    );
}

#[test]
fn judges_every_row_of_the_item_table() {
    let held = |code: &str| format!("1 held elasticsearch_{code} | misconfigured elasticsearch_{code}");
    let rejected = |code: &str| format!("1 rejected elasticsearch_{code} | healthy");
    let retry = |code: &str| format!("1 retry elasticsearch_{code} | backoff");
    let delivered = "1 delivered | healthy".to_owned();
    let rows: &[(u16, &str, &str, String)] = &[
        (200, "", "", delivered.clone()),
        (201, "", "", delivered.clone()),
        (409, "version_conflict_engine_exception", "document already exists", delivered),
        (429, "es_rejected_execution_exception", "", retry("item_429")),
        (429, "cluster_block_exception", "TOO_MANY_REQUESTS/12/disk usage", held("disk_flood_stage")),
        (408, "", "", retry("item_408")),
        (500, "", "", retry("item_500")),
        (503, "unavailable_shards_exception", "", retry("item_503")),
        (0, "", "", retry("item_0")),
        (302, "", "", retry("item_302")),
        (400, "mapper_parsing_exception", "failed to parse", rejected("mapper_parsing_exception")),
        (400, "document_parsing_exception", "failed to parse", rejected("document_parsing_exception")),
        (400, "illegal_argument_exception", "Limit of total fields [1000]", rejected("illegal_argument_exception")),
        (400, "Strict-Dynamic\\u001b Mapping", "", rejected("strict_dynamic__mapping")),
        (400, "", "", rejected("refused")),
        (413, "", "", rejected("refused")),
        (400, "validation_exception", "this cluster has [1000]/[1000] maximum shards open", held("index_unusable")),
        (400, "index_closed_exception", "closed", held("index_unusable")),
        (400, "illegal_argument_exception", "pipeline with id [p] does not exist", held("index_unusable")),
        (400, "illegal_argument_exception", "no write index is defined for alias [a].", held("index_unusable")),
        (401, "security_exception", "", held("forbidden")),
        (403, "security_exception", "action is unauthorized", held("forbidden")),
        (403, "cluster_block_exception", "FORBIDDEN/8/index write (api)", held("index_blocked")),
        (404, "index_not_found_exception", "no such index", held("index_missing")),
    ];
    for (status, kind, reason, expected) in rows {
        assert_eq!(&verdict(200, &item(*status, kind, reason), 1), expected, "{status} {kind} {reason}");
    }
}

#[test]
fn judges_the_whole_request() {
    let held = |code: &str| format!("2 held elasticsearch_{code} | misconfigured elasticsearch_{code}");
    let retry = |code: &str| format!("2 retry elasticsearch_{code} | backoff");
    let flooded = r#"{"error":{"type":"cluster_block_exception","reason":"blocked"},"status":429}"#;
    let rows: &[(u16, &str, String)] = &[
        (400, fixture!("replies/illegal-argument.json"), "split elasticsearch_http_400 | healthy".into()),
        (400, r#"{"error":"no handler found for uri [/x/_bulk] and method [POST]","status":400}"#, held("wrong_path")),
        (
            400,
            r#"remoteAddr: "127.0.0.1:1"; requestURI: /_bulk; unsupported path requested: "/_bulk""#,
            held("wrong_path"),
        ),
        (413, "", "split elasticsearch_too_large | healthy".into()),
        (401, fixture!("replies/security-exception.json"), held("http_401")),
        (403, fixture!("replies/security-exception.json"), held("forbidden")),
        (404, "", held("wrong_path")),
        (405, "", held("wrong_path")),
        (307, "", held("redirect")),
        (429, fixture!("replies/too-many-requests.json"), retry("busy")),
        (429, flooded, held("disk_flood_stage")),
        (408, "", retry("http_408")),
        (500, "", retry("http_500")),
        (502, "<html>", retry("http_502")),
        (503, "", retry("http_503")),
        (504, "", retry("http_504")),
        (200, "<!doctype html><title>Kibana</title>", held("unexpected_success")),
        (200, "OK", held("unexpected_success")),
        (200, "[1]", held("unexpected_success")),
        (200, r#"{"status":"success","data":{}}"#, held("unexpected_success")),
        (200, "", retry("unreadable_reply")),
        (200, "{\"took\":1,\"items\":[{\"create\":{\"status\":201}},", retry("unreadable_reply")),
        (200, "{}", retry("unreadable_reply")),
        (200, r#"{"items":{}}"#, retry("unreadable_reply")),
        (200, r#"{"items":[]}"#, retry("unreadable_reply")),
        (200, r#"{"items":[{"create":{"status":201}}]}"#, retry("unreadable_reply")),
        (200, r#"{"items":[{"create":{"status":201}},{}]}"#, retry("unreadable_reply")),
        (200, r#"{"items":[{"create":{"status":"201"}},{"create":{"status":201}}]}"#, retry("unreadable_reply")),
        (200, fixture!("replies/all-created.json"), retry("unreadable_reply")),
        (200, r#"{"items":[{"index":{"status":201}},{"create":{"status":201}}]}"#, "2 delivered | healthy".into()),
        (
            200,
            r#"{"items":[{"create":{"status":400,"error":"bare sentence"}},{"create":{"status":400,"error":[1]}}]}"#,
            "1 rejected elasticsearch_refused, 1 rejected elasticsearch_refused | healthy".into(),
        ),
    ];
    for (status, body, expected) in rows {
        assert_eq!(&verdict(*status, body, 2), expected, "{status} {body}");
    }
}

#[test]
fn a_reply_too_long_to_be_read_is_asked_for_in_halves() {
    let cut = Reply { truncated: true, ..reply(200, r#"{"items":[{"create":{"status":201}},{"create":{"sta"#) };
    let verdict = |sent| show(&elasticsearch().classify(&cut, sent, NOW));
    assert_eq!(verdict(2), "split elasticsearch_long_reply | healthy");
    assert_eq!(verdict(1), "1 retry elasticsearch_unreadable_reply | backoff");
}

#[test]
fn what_answers_in_its_place_is_named_and_a_redirect_says_where_it_points() {
    let said = |status: u16, kind: &str, headers: &[(&str, &str)], body: &str| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into())).collect();
        let (body, content_type) = (body.to_owned().into(), Some(kind.to_owned()));
        let reply = Reply { status, headers, content_type, body, ..Reply::default() };
        let Verdict { endpoint, .. } = elasticsearch().classify(&reply, 1, NOW);
        let EndpointState::Misconfigured(cause) = endpoint else { panic!("{endpoint:?}") };
        cause.message
    };
    let login = "https://login.example/?next=%2F_bulk";
    let redirect = said(302, "text/html", &[("location", login)], "<a>");
    assert!(redirect.contains(login) && redirect.contains("never followed"), "{redirect}");
    let json = said(200, "application/json; charset=utf-8", &[("server", "Grafana/11")], r#"{"message":"hello"}"#);
    assert!(json.contains("“application/json”") && json.contains("Grafana/11"), "{json}");
    let page = said(200, "text/html", &[("server", "nginx")], "<html>");
    assert!(page.contains("web page") && page.contains("nginx"), "{page}");
    for message in [redirect, json, page] {
        assert!(
            !message.contains("probably wrong") && !message.contains("Kibana"),
            "nothing that was not seen: {message}"
        );
    }
}
