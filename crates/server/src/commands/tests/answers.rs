//! What commands ask of the API, and what they make of its answers.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::responder::{Answer, Responder, answer, page, refusal};

pub(super) const ID: &str = "0197a1b2-0000-7000-8000-000000000001";
const ID_2: &str = "0197a1b2-0000-7000-8000-000000000002";
pub(super) const TIME: &str = "2025-01-15T10:30:00.000Z";

/// What stands there by default, with these members.
pub(super) fn with(mut whole: Value, members: &Value) -> Value {
    whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    whole
}

pub(super) fn splunk() -> Value {
    json!({
        "id": ID, "org_id": "0197a1b2-0000-7000-8000-00000000000a", "name": "Splunk", "platform": "splunk", "revision": 3,
        "config": {"hec_url": "https://splunk.company.com:8088", "hec_token": {"set": true, "hint": "…1234"}, "index": "toktra"},
        "filter": {"severity": ["high", "critical"]}, "signing_secret": {"set": true, "source": "SIEM_SIGNING_SECRET"},
        "active": true, "managed_by": "api", "created_at": "2025-01-15T10:30:00.000Z", "updated_at": "2025-01-15T10:30:00.000Z",
    })
}

fn datadog() -> Value {
    let own =
        json!({"id": ID_2, "name": "Datadog", "platform": "datadog", "active": false, "revision": 1, "config": {}});
    with(splunk(), &own)
}

fn connectors() -> (&'static str, Value) {
    ("GET /v1/siem/connectors?", page(&json!([splunk(), datadog()])))
}

#[tokio::test]
async fn connectors_are_found_by_name_or_id_and_shown() {
    let server =
        Responder::with(vec![connectors(), ("GET /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001", splunk())])
            .await;
    assert_snapshot!("connector_list", server.text(&["connector", "list"]).await);
    assert_snapshot!("connector_get", server.text(&["connector", "get", "Splunk"]).await);
    assert_eq!(server.text(&["connector", "get", ID]).await, server.text(&["connector", "get", "Splunk"]).await);
    let json: Value = serde_json::from_str(&server.text(&["connector", "list", "--json"]).await).unwrap();
    assert_eq!(json, json!([splunk(), datadog()]));
    let (code, text) = server.fails(&["connector", "get", "splonk"]).await;
    assert_eq!((code, text.contains("Did you mean \"Splunk\"?")), (2, true), "{text}");
    server.text(&["connector", "list", "--org", ID]).await;
    assert!(server.last("GET").line.ends_with(&format!("org_id={ID}")));
    assert!(server.last("GET").head.contains("authorization: bearer a-key"));
}

#[tokio::test]
async fn lists_are_read_to_their_end_and_no_further_than_wanted() {
    let org = |id: &str, name: &str, default: bool| json!({"id": id, "name": name, "is_default": default, "created_at": TIME});
    let line = |action: &str| {
        json!({
            "id": 1, "at": TIME, "actor": "a", "actor_kind": "user", "actor_id": ID, "action": action, "object": "o", "detail": {},
        })
    };
    let page = |items: Value, next: Option<&str>| {
        with(page(&items), &json!({"next_cursor": next, "has_more": next.is_some()}))
    };
    let server = Responder::with(vec![
        ("GET /v1/orgs?limit=100&cursor=c%2F1", page(json!([org(ID_2, "B", false)]), None)),
        ("GET /v1/orgs?limit=100", page(json!([org(ID, "A", true)]), Some("c/1"))),
        ("GET /v1/audit?limit=3", page(json!([line("x")]), Some("n"))),
        ("GET /v1/audit?limit=2&cursor=n", page(json!([line("y"), line("z")]), Some("m"))),
    ])
    .await;
    assert_snapshot!("org_list", server.text(&["org", "list"]).await);
    assert_snapshot!("audit_list", server.text(&["audit", "list", "--limit", "3"]).await);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_connector_is_made_with_secrets_from_files_or_variables_and_tested_before() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "a-hec-token\n").unwrap();
    let made = with(splunk(), &json!({"active": false, "signing_secret": {"set": true, "value": "s3cret"}}));
    let server =
        Responder::with(vec![("POST /v1/siem/connectors/test", tested(true)), ("POST /v1/siem/connectors", made)])
            .await;
    let token = token.to_str().unwrap();
    let arguments = [
        "connector",
        "add",
        "splunk",
        "--hec-url",
        "https://splunk:8088",
        "--hec-token-file",
        token,
        "--indexer-ack",
        "--severity",
        "high,critical",
        "--test",
    ];
    let text = server.text(&arguments).await;
    assert!(
        text.contains("s3cret") && text.contains("arrived") && text.contains("connector enable \"Splunk\""),
        "{text}"
    );
    let body = json!({
        "name": "Splunk", "platform": "splunk", "active": false,
        "config": {"hec_url": "https://splunk:8088", "hec_token": "a-hec-token", "indexer_ack": true},
        "filter": {"severity": ["high", "critical"], "event_types": []},
    });
    assert_eq!((server.seen()[0].json(), server.seen()[1].json()), (body.clone(), body));

    let arguments =
        ["connector", "add", "datadog", "--key-file", "-", "--site", "datadoghq.eu", "--no-metrics", "--active"];
    let (_, outcome) = server.run(&arguments, b"a-datadog-key").await;
    outcome.unwrap();
    let config = json!({"api_key": "a-datadog-key", "site": "datadoghq.eu", "send_metrics": false});
    assert_eq!(server.last("POST").json()["config"], config);

    let (code, text) = server.fails(&["connector", "add", "datadog"]).await;
    assert!(code == 2 && text.contains("--key-file") && text.contains("SIEM_DATADOG_API_KEY"), "{text}");
    let (code, _) = server.fails(&["connector", "add", "datadog", "--key-file", "/no/such/file"]).await;
    assert_eq!(code, 2);
}

#[tokio::test]
async fn a_connector_whose_test_fails_is_not_made() {
    let server = Responder::with(vec![(
        "POST /v1/siem/connectors/test",
        with(tested(false), &json!({"streams": [with_stream(tested(false), "events")]})),
    )])
    .await;
    let arguments = ["connector", "add", "elasticsearch", "--endpoint", "https://es:9200", "--test"];
    let (text, outcome) = server.run(&arguments, b"").await;
    assert_eq!(outcome.unwrap_err().code(), 1);
    assert!(text.contains("Copy the token again.") && server.seen().len() == 1, "{text}");
}

#[tokio::test]
async fn a_change_is_refused_where_somebody_else_was_first() {
    let server = Responder::start(|seen| match seen.line.split(' ').next() {
        Some("GET") => answer(200, &page(&json!([splunk(), datadog()]))),
        _ if seen.head.contains("if-match: \"3\"") => refusal(412, "It was changed in the meantime.", &json!([])),
        _ => answer(200, &with(datadog(), &json!({"active": true, "revision": 2, "backlog": 7, "skipped": 0}))),
    })
    .await;
    let (code, text) = server.fails(&["connector", "update", "Splunk", "--set", "index=main"]).await;
    assert!(code == 1 && text.contains("412") && text.contains("meantime"), "{text}");
    let text = server.text(&["connector", "enable", "Datadog"]).await;
    assert_eq!(text, "Saved: Datadog (datadog, on).\n7 events that waited will be delivered.\n");
    assert_eq!(server.last("PATCH").json(), json!({"active": true, "resume": "backlog"}));
    let arguments = [
        "connector",
        "update",
        "Datadog",
        "--set",
        "send_metrics=false",
        "--reset",
        "service",
        "--set-secret",
        "api_key=-",
        "--all-events",
    ];
    server.run(&arguments, b"key").await.1.unwrap();
    let config = json!({"send_metrics": false, "service": null, "api_key": "key"});
    assert_eq!(server.last("PATCH").json(), json!({"config": config, "filter": null}));
    assert_eq!(server.fails(&["connector", "update", "Datadog"]).await.0, 2);
}

#[tokio::test]
async fn deleting_says_what_is_lost_and_wants_a_yes() {
    let accounting = accounting(&json!({"accepted": 5, "pending": 3, "failed": 2}));
    let server = Responder::with(vec![
        connectors(),
        ("GET /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001/accounting", accounting),
        ("DELETE /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001", json!({"discarded": 5})),
    ])
    .await;
    let (code, text) = server.fails(&["connector", "delete", "Splunk"]).await;
    assert!(code == 2 && text.contains("discards 5 events") && text.contains("--yes"), "{text}");
    assert!(!server.seen().iter().any(|seen| seen.line.starts_with("DELETE")));
    let text = server.text(&["connector", "delete", "Splunk", "--yes"]).await;
    assert_eq!(text, "Deleted: Splunk; this discards 5 events that wait for it.\n");
}

/// The accounts of a connector with one stream.
pub(super) fn accounting(counts: &Value) -> Value {
    let none = json!({
        "stream": "events", "accepted": 0, "delivered": 0, "rejected": 0, "failed": 0, "expired": 0, "discarded": 0, "skipped": 0,
        "pending": 0, "filtered": 0,
    });
    json!({"connector_id": ID, "name": "Splunk", "adds_up": true, "streams": [with(none, counts)]})
}

/// A test of one stream.
pub(super) fn tested(delivered: bool) -> Value {
    let stages = json!([
        {"stage": "dns", "ok": true, "duration_ms": 3, "detail": "10.0.0.1"},
        {"stage": "http", "ok": delivered, "duration_ms": 120, "detail": if delivered { "HTTP 200" } else { "HTTP 403" }},
    ]);
    let stream = json!({
        "stream": "events", "delivery_id": null, "cause": null, "delivered": delivered, "http_status": if delivered { 200 } else { 403 }, "duration_ms": 130,
        "response": if delivered { json!("{\"text\":\"Success\",\"code\":0}") } else { json!("{\"text\":\"Invalid\u{1b} token\",\"code\":4}\n") },
        "stages": stages, "hint": if delivered { Value::Null } else { json!("Copy the token again.") },
    });
    let whole = json!({"event_id": ID, "search": format!("index=toktra event_id={ID}"), "streams": [stream]});
    with(stream, &whole)
}

fn with_stream(mut view: Value, stream: &str) -> Value {
    view["stream"] = json!(stream);
    view
}

#[tokio::test]
async fn a_test_is_told_stage_by_stage() {
    let mut two = tested(false);
    two["streams"] = json!([with_stream(tested(true), "logs"), with_stream(tested(false), "metrics")]);
    let path = "POST /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001/test";
    let server = Responder::with(vec![connectors(), (path, tested(true)), (path, tested(false)), (path, two)]).await;
    assert_snapshot!("test_delivered", server.text(&["connector", "test", "Splunk"]).await);
    assert_eq!(server.last("POST").json(), json!({}));
    let (text, outcome) = server.run(&["connector", "test", "Splunk", "--set", "index=x"], b"").await;
    assert_snapshot!("test_failed", text);
    assert_eq!(outcome.unwrap_err().code(), 1);
    assert_eq!(server.last("POST").json(), json!({"config": {"index": "x"}}));
    let (text, outcome) = server.run(&["connector", "test", "Splunk"], b"").await;
    assert_snapshot!("test_two_streams", text);
    assert!(outcome.is_err());
}

#[tokio::test]
async fn health_and_accounting_are_tables_and_exit_codes() {
    let health = |(name, stream, state, sentence): (&str, &str, &str, &str),
                  waits: u64,
                  lag: u64,
                  last: Option<&str>| {
        let rate = json!({"delivered": 0.0, "failed": 0.0});
        json!({
            "connector_id": ID, "name": name, "platform": "splunk", "active": true, "state": state, "sentence": sentence, "streams": [{
                "stream": stream, "state": state, "sentence": sentence, "lag_events": waits, "lag_seconds": lag, "last_success": last,
                "undelivered": {"total": waits, "waiting": waits, "pending": 0, "failed": 0}, "parked": {"failed": 0, "rejected": 0},
                "rates": {"last_5_minutes": rate, "last_hour": rate}, "last_error": null,
            }],
        })
    };
    let healthy = health(("Splunk", "events", "healthy", "It sends."), 0, 0, Some(TIME));
    let down = health(("Datadog", "logs", "degraded", "Nothing listens there."), 7, 90, None);
    let account =
        accounting(&json!({"accepted": 10, "delivered": 4, "rejected": 1, "failed": 1, "pending": 2, "filtered": 2}));
    let server = Responder::with(vec![
        connectors(),
        ("GET /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001/health", healthy.clone()),
        ("GET /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000002/health", down),
        ("GET /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001/accounting", account),
    ])
    .await;
    let (text, outcome) = server.run(&["connector", "health"], b"").await;
    assert_snapshot!("connector_health", text);
    let error = outcome.unwrap_err();
    assert!(error.code() == 1 && error.to_string().contains("Datadog"), "{error}");
    let json: Value = serde_json::from_str(&server.text(&["connector", "health", "Splunk", "--json"]).await).unwrap();
    assert_eq!(json, healthy);
    assert_snapshot!("connector_accounting", server.text(&["connector", "accounting", "Splunk"]).await);
}

pub(super) fn job(state: &str, processed: u64, failed: u64) -> Value {
    json!({
        "id": ID, "kind": "replay", "connector_id": ID, "state": state, "total": 10, "processed": processed, "delivered": processed - failed,
        "rejected": 0, "failed": failed, "discarded": 0, "created_by": "the bootstrap key", "created_at": "2025-01-15T10:30:00.000Z",
    })
}

#[tokio::test(start_paused = true)]
async fn a_replay_can_be_tried_begun_and_waited_for() {
    let replay = "POST /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001/replay";
    let status = "GET /v1/siem/jobs/0197a1b2-0000-7000-8000-000000000001";
    let server = Responder::with(vec![
        connectors(),
        (replay, json!({"dry_run": true, "total": 10})),
        (replay, job("waiting", 0, 0)),
        (replay, job("waiting", 0, 0)),
        (status, job("running", 5, 0)),
        (status, job("done", 10, 0)),
        (status, job("done", 10, 2)),
        (status, job("cancelled", 5, 0)),
    ])
    .await;
    let range = ["--from", "2025-01-15T10:00:00Z", "--to", "2025-01-15T12:00:00Z"];
    let text = server.text(&[&["delivery", "replay", "Splunk", "--dry-run"][..], &range].concat()).await;
    assert!(text.starts_with("10 events in question. Nothing was done"), "{text}");
    let asked = server.last("POST").json();
    assert_eq!(asked["dry_run"], true);
    assert!(asked["from"].as_str().unwrap().starts_with("2025-01-15T10:00:00"), "{asked}");
    let text = server.text(&["delivery", "replay", "Splunk"]).await;
    assert!(text.contains(&format!("job watch {ID}")), "{text}");
    assert_eq!(server.last("POST").json(), json!({}));
    let text = server.text(&["delivery", "replay", "Splunk", "--wait"]).await;
    assert_snapshot!("job_done", text);
    assert_eq!(server.fails(&["job", "watch", ID]).await.0, 3);
    let (code, text) = server.fails(&["job", "watch", ID]).await;
    assert!(code == 1 && text.contains("cancelled"), "{text}");
}

#[tokio::test]
async fn giving_up_events_wants_a_yes() {
    let server = Responder::with(vec![
        connectors(),
        ("POST /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001/discard", json!({"dry_run": true, "total": 4})),
        ("POST /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001/discard", job("waiting", 0, 0)),
    ])
    .await;
    let (code, text) = server.fails(&["delivery", "discard", "Splunk"]).await;
    assert!(code == 2 && text.contains("gives up 4 events") && text.contains("--yes"), "{text}");
    assert_eq!(server.last("POST").json(), json!({"dry_run": true}));
    server.text(&["delivery", "discard", "Splunk", "--yes"]).await;
    assert_eq!(server.last("POST").json(), json!({}));
}

pub(super) fn delivery() -> Value {
    json!({
        "id": ID, "connector_id": ID, "stream": "events", "trigger": "live", "status": "failed", "event_count": 2, "delivered": 0,
        "rejected": 0, "attempt_count": 3, "probe": false, "children": [], "created_at": "2025-01-15T10:30:00.000Z", "settled_at": "2025-01-15T10:30:03.000Z",
        "cause": {"code": "splunk.invalid_token", "message": "Splunk does not know the token."},
        "attempts": [{"number": 1, "at": "2025-01-15T10:30:00.000Z", "duration_ms": 12, "http_status": 403, "excerpt": "{\"code\":4}"}],
        "events": [{"event_id": ID, "event_type": "anomaly", "severity": "high", "timestamp": "2025-01-15T10:29:59.000Z", "test": false}],
    })
}

#[tokio::test]
async fn the_history_is_listed_shown_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.ndjson");
    let path = file.to_str().unwrap();
    let server = Responder::start(|seen| match seen.line.as_str() {
        line if line.starts_with("GET /v1/siem/connectors?") => answer(200, &page(&json!([splunk()]))),
        line if line.contains("/v1/siem/deliveries/") => answer(200, &delivery()),
        _ if seen.head.contains("accept: text/csv") => Answer {
            status: 200,
            headers: "content-type: text/csv; charset=utf-8\r\n".into(),
            body: "id,status\n1,failed\n".into(),
        },
        _ if seen.head.contains("accept: application/x-ndjson") => Answer {
            status: 200,
            headers: "content-type: application/x-ndjson\r\n".into(),
            body: "{\"id\":1}\n".repeat(3),
        },
        _ => answer(200, &page(&json!([delivery()]))),
    })
    .await;
    let list = [
        "delivery",
        "list",
        "--connector",
        "Splunk",
        "--status",
        "failed",
        "--limit",
        "5",
        "--from",
        "2025-01-15T10:30:00.000Z",
    ];
    assert_snapshot!("delivery_list", server.text(&list).await);
    let asked = server.seen().into_iter().find(|seen| seen.line.contains("/deliveries?")).unwrap().line;
    assert!(
        asked.starts_with(&format!(
            "GET /v1/siem/connectors/{ID}/deliveries?status=failed&from=2025-01-15T10%3A30%3A00"
        )),
        "{asked}"
    );
    assert!(asked.ends_with("limit=5"), "{asked}");
    assert_snapshot!("delivery_get", server.text(&["delivery", "get", ID]).await);

    assert_eq!(server.text(&["delivery", "export", "--format", "csv"]).await, "id,status\n1,failed\n");
    server.text(&["delivery", "export", "--output", path]).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"id\":1}\n".repeat(3));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
    let (code, text) = server.fails(&["delivery", "export", "--output", path]).await;
    assert!(code == 2 && text.contains("exists already"), "{text}");
}

#[tokio::test]
async fn a_server_that_exports_nothing_and_an_export_that_breaks_off_are_told() {
    let server = Responder::with(vec![("GET /v1/siem/deliveries", page(&json!([])))]).await;
    assert!(server.fails(&["delivery", "export"]).await.1.contains("older version"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.ndjson");
    let server = Responder::start(|_| {
        // Says that more follows than does.
        let headers = "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n".into();
        Answer { status: 200, headers, body: "9\r\n{\"id\":1}\n\r\n".into() }
    })
    .await;
    let (code, _) = server.fails(&["delivery", "export", "--output", file.to_str().unwrap()]).await;
    assert_eq!((code, std::fs::read_dir(dir.path()).unwrap().count()), (1, 0));
}

#[tokio::test]
async fn an_event_is_shown_with_its_outcomes() {
    let event = json!({
        "event_id": ID, "event_type": "anomaly", "severity": "high", "timestamp": "2025-01-15T10:30:00.000Z",
        "accepted_at": "2025-01-15T10:30:01.000Z", "sequence": 42, "test": false, "event": {"event_type": "anomaly"},
        "outcomes": [
            {
                "connector_id": ID, "connector_name": "Splunk", "connector_deleted": false, "stream": "events", "outcome": "delivered",
                "why": "Splunk took it.", "delivery": ID,
            },
            {
                "connector_id": "0197a1b2-0000-7000-8000-000000000009", "connector_deleted": true, "stream": "logs", "outcome": "filtered",
                "why": "Its severity is not among those listed.", "rule": "severity",
            },
        ],
    });
    let server = Responder::with(vec![connectors(), ("GET /v1/events/0197a1b2", event)]).await;
    assert_snapshot!("event_get", server.text(&["event", "get", ID]).await);
    let parsed = crate::commands::Cli::of(
        ["toktra-siem", "event", "get", "no-uuid"],
        &toktra_siem_platform::Registry::standard(),
    );
    assert!(parsed.is_err());
}

#[tokio::test]
async fn people_keys_and_orgs_are_managed() {
    let ada = json!({"id": ID, "email": "ada@company.com", "name": "Ada", "role": "admin", "created_at": TIME, "last_login_at": null});
    let acme = |name: &str| json!({"id": ID, "name": name, "is_default": false, "created_at": TIME});
    let server = Responder::with(vec![
        ("GET /v1/users", page(&json!([ada.clone()]))),
        ("POST /v1/users", ada.clone()),
        ("PATCH /v1/users/0197a1b2-0000-7000-8000-000000000001", ada.clone()),
        ("DELETE /v1/users/0197a1b2-0000-7000-8000-000000000001", json!({"deleted": true})),
        (
            "GET /v1/api-keys",
            page(&json!([{"id": ID, "name": "dashboard", "prefix": "tsk_abc", "scopes": ["siem:read", "admin"], "created_at": TIME}])),
        ),
        ("DELETE /v1/api-keys/0197a1b2-0000-7000-8000-000000000001", json!({"revoked": true})),
        ("POST /v1/orgs", acme("Acme")),
        ("GET /v1/orgs/0197a1b2-0000-7000-8000-000000000001", acme("Acme")),
        ("PATCH /v1/orgs/0197a1b2-0000-7000-8000-000000000001", acme("Acme Ltd")),
        ("DELETE /v1/orgs/0197a1b2-0000-7000-8000-000000000001", json!({"discarded": 0})),
    ])
    .await;
    assert_snapshot!("user_list", server.text(&["user", "list"]).await);
    let create = ["user", "create", "ada@company.com", "--role", "admin", "--password-file", "-"];
    server.run(&create, b"correct horse\n").await.1.unwrap();
    let body = json!({"email": "ada@company.com", "name": "ada", "role": "admin", "password": "correct horse"});
    assert_eq!(server.last("POST").json(), body);
    server.text(&["user", "update", "ADA@company.com", "--role", "viewer"]).await;
    assert_eq!(server.last("PATCH").json(), json!({"role": "viewer"}));
    assert_eq!(server.fails(&["user", "delete", "ada@company.com"]).await.0, 2);
    assert_eq!(server.text(&["user", "delete", "ada@company.com", "--yes"]).await, "Deleted: ada@company.com.\n");
    assert!(server.fails(&["user", "delete", "bob@company.com", "--yes"]).await.1.contains("nobody"));
    assert_snapshot!("key_list", server.text(&["key", "list"]).await);
    assert_eq!(server.text(&["key", "revoke", ID]).await, "Revoked.\n");
    server.text(&["org", "create", "Acme", "--id", ID]).await;
    assert_eq!(server.last("POST").json(), json!({"name": "Acme", "id": ID}));
    assert_eq!(server.text(&["org", "rename", ID, "Acme Ltd"]).await, "Renamed: Acme Ltd.\n");
    assert_eq!(server.fails(&["org", "delete", ID]).await.0, 2);
    assert_eq!(server.text(&["org", "delete", ID, "--yes"]).await, "Deleted: Acme.\n");
}

#[tokio::test]
async fn a_filter_is_previewed_as_given_or_as_a_connector_has_it() {
    let preview = json!({"days": 7, "since": TIME, "total": 10, "matching": 1, "by_event_type": [], "by_severity": [], "sample": [
        {"event_id": ID, "event_type": "anomaly", "severity": "high", "timestamp": "2025-01-15T10:30:00.000Z"}]});
    let server = Responder::with(vec![connectors(), ("POST /v1/siem/filter/preview", preview)]).await;
    assert_snapshot!("filter_preview", server.text(&["filter", "preview", "--severity", "high"]).await);
    assert_eq!(server.last("POST").json(), json!({"filter": {"severity": ["high"], "event_types": []}, "days": 7}));
    server.text(&["filter", "preview", "--connector", "Splunk", "--days", "1"]).await;
    assert_eq!(server.last("POST").json(), json!({"filter": {"severity": ["high", "critical"]}, "days": 1}));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_no_room_for_is_asked_again() {
    let tries = parking_lot::Mutex::new(0);
    let server = Responder::start(move |_| {
        *tries.lock() += 1;
        if *tries.lock() < 3 {
            return Answer { headers: "retry-after: 2\r\n".into(), ..refusal(429, "Too many requests.", &json!([])) };
        }
        answer(200, &page(&json!([])))
    })
    .await;
    assert!(server.text(&["connector", "list"]).await.contains("no connectors"));
    assert_eq!(server.seen().len(), 3);
}
