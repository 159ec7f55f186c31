//! A sample for each route of the API. Add a line with your route.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

use super::line::{Line, on};

pub(super) fn lines() -> Vec<Line> {
    const FILES: &[&str] = &["text/csv", "application/x-ndjson"];
    vec![
        on("GET /healthz").empty(),
        on("GET /readyz").empty(),
        on("GET /metrics").public(&["splunk", "datadog", "elasticsearch"]).empty(),
        on("GET /openapi.json").empty(),
        on("GET /docs").empty(),
        on("GET /docs/style.css").empty(),
        on("POST /v1/events")
            .unlogged()
            .json(json!({ "event_type": "anomaly", "severity": "low" }))
            .also_json(json!({ "event_type": "anomaly", "severity": "low", "org_id": "{org}" }))
            .also_json(json!({ "event_type": "anomaly", "severity": "low", "event_id": "{last_event}" })),
        on("GET /v1/events").also(&["cursor={event_cursor}"]).shows(&["event", "failed_event"]),
        on("GET /v1/events/{event_id}").of("event").shows(&["delivery", "splunk"]),
        on("GET /v1/siem/platforms").empty(),
        on("GET /v1/siem/connectors").also(&["cursor={connector_cursor}"]).shows(&[
            "splunk",
            "datadog",
            "elasticsearch",
        ]),
        on("POST /v1/siem/connectors").json(splunk_body("sample")),
        on("POST /v1/siem/connectors/test").json(splunk_body("sample")).unlogged(),
        on("GET /v1/siem/connectors/{id}").of("splunk").shows(&["splunk_name"]),
        on("PATCH /v1/siem/connectors/{id}").of("splunk").json(json!({ "name": "renamed" })),
        on("POST /v1/siem/connectors/{id}/test").of("splunk").json(json!({})).unlogged(),
        on("POST /v1/siem/connectors/{id}/compare-secrets").of("splunk").json(json!({})).empty().reads(),
        on("POST /v1/siem/connectors/{id}/signing-secret/rotate").of("splunk").json(json!({})),
        on("POST /v1/siem/connectors/{id}/signing-secret/cancel").of("elasticsearch").json(json!({})),
        on("POST /v1/siem/connectors/{id}/signing-secret/activate").of("splunk").json(json!({})),
        on("POST /v1/siem/connectors/{id}/index-template").of("elasticsearch").json(json!({})),
        on("GET /v1/siem/connectors/{id}/deliveries")
            .of("splunk")
            .also(&["event_id={event}", "job={job}", "cursor={delivery_cursor}"])
            .accepts(FILES)
            .shows(&["delivery", "failed"]),
        on("GET /v1/siem/connectors/{id}/setup").of("splunk").empty(),
        on("POST /v1/siem/setup").json(json!({ "platform": "splunk" })).reads(),
        on("GET /v1/siem/connectors/{id}/health").of("splunk").shows(&["cause", "note"]),
        on("GET /v1/siem/connectors/{id}/accounting").of("splunk").empty(),
        on("GET /v1/siem/connectors/{id}/traffic").of("splunk").empty(),
        on("GET /v1/siem/health").shows(&["splunk", "cause", "note"]),
        on("GET /v1/siem/traffic").shows(&["splunk"]),
        on("GET /v1/siem/accounting").shows(&["splunk"]),
        on("POST /v1/siem/filter/preview").json(json!({ "filter": {}, "days": 3 })).shows(&["event"]).reads(),
        on("POST /v1/siem/connectors/{id}/redeliver-failed").of("splunk").json(json!({})),
        on("POST /v1/siem/connectors/{id}/replay").of("splunk").json(json!({})),
        on("POST /v1/siem/connectors/{id}/discard").of("splunk").json(json!({})),
        on("GET /v1/siem/deliveries")
            .also(&["event_id={event}", "job={job}", "cursor={delivery_cursor}"])
            .accepts(FILES)
            .shows(&["delivery", "failed", "rejected", "pending", "replayed"]),
        on("GET /v1/siem/deliveries/{id}").of("failed").shows(&["splunk", "cause", "failed_event"]),
        on("GET /v1/siem/deliveries/{id}/attempts/{number}/request").number("1").of("failed").shows(&["failed_event"]),
        on("POST /v1/siem/deliveries/{id}/redeliver").of("delivery").json(json!({})),
        on("POST /v1/siem/connectors/{id}/acknowledge")
            .of("splunk")
            .json(json!({ "note": "CHG-123", "until": START.plus(Duration::from_hours(1)) })),
        on("DELETE /v1/siem/connectors/{id}/acknowledge").of("splunk"),
        on("GET /v1/notification-channels").shows(&["channel", "channel_name"]),
        on("POST /v1/notification-channels")
            .json(json!({ "name": "another", "kind": "email", "config": { "to": ["jo@sample.example"] } })),
        on("GET /v1/notification-channels/{id}").of("channel").shows(&["channel_name"]),
        on("PATCH /v1/notification-channels/{id}").of("channel").json(json!({ "name": "renamed" })),
        on("POST /v1/notification-channels/{id}/compare-secrets").of("channel").json(json!({})).empty().reads(),
        on("POST /v1/notification-channels/{id}/test").of("channel").json(json!({})),
        on("DELETE /v1/notification-channels/{id}").of("channel"),
        on("GET /v1/siem/jobs").also(&["connector={splunk}", "cursor={job_cursor}"]).shows(&["job", "first_job"]),
        on("GET /v1/siem/jobs/{id}").of("job").shows(&["splunk"]),
        on("DELETE /v1/siem/jobs/{id}").of("job"),
        on("DELETE /v1/siem/connectors/{id}").of("splunk"),
        on("GET /v1/orgs").shows(&["org", "org_name"]),
        on("POST /v1/orgs").json(json!({ "name": "another" })),
        on("GET /v1/orgs/{id}").of("org").shows(&["org_name"]),
        on("PATCH /v1/orgs/{id}").of("org").json(json!({ "name": "renamed" })),
        on("DELETE /v1/orgs/{id}").of("org"),
        on("GET /v1/api-keys").also(&["cursor={key_cursor}"]).shows(&["key", "key_name", "spare_key"]),
        on("POST /v1/api-keys").json(json!({ "name": "another", "scopes": ["siem:read"] })),
        on("GET /v1/api-keys/{id}").of("key").shows(&["key_name"]),
        on("DELETE /v1/api-keys/{id}").of("key"),
        on("GET /v1/secrets").empty(),
        on("POST /v1/secrets/{id}/reveal").of("secret").json(json!({})),
        on("GET /v1/users").also(&["cursor={user_cursor}"]).shows(&["user", "user_email", "admin"]),
        on("POST /v1/users")
            .json(json!({ "email": "di@sample.example", "name": "Di", "role": "viewer", "password": PASSWORD })),
        on("GET /v1/users/{id}").of("user").shows(&["user_email", "user_name"]),
        on("PATCH /v1/users/{id}").of("user").json(json!({ "name": "renamed" })),
        on("DELETE /v1/users/{id}").of("user"),
        on("POST /v1/sessions").json(json!({ "email": "{admin_email}", "password": PASSWORD })).last(),
        on("GET /v1/sessions/current").shows(&["org", "org_name"]),
        on("DELETE /v1/sessions/current").last(),
        on("POST /v1/sessions/current/password")
            .json(json!({ "current": PASSWORD, "new": "another long passphrase" }))
            .last(),
        on("GET /v1/audit")
            .also(&["object={splunk}", "actor={admin}", "cursor={audit_cursor}"])
            .shows(&["splunk", "key"]),
    ]
}
