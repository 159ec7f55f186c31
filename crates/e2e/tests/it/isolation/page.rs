//! A sample for each route of the page. Add a line with your route.

use toktra_siem_testkit::prelude::*;

use super::line::{Line, on};

pub(super) fn lines() -> Vec<Line> {
    const SPLUNK: &[(&str, &str)] = &[
        ("platform", "splunk"),
        ("name", "sample"),
        ("splunk_hec_url", "https://siem.example:8088"),
        ("splunk_hec_token", "00000000-1111-2222-3333-444444444444"),
    ];
    const EDITED: &[(&str, &str)] = &[
        ("platform", "splunk"),
        ("name", "renamed"),
        ("splunk_hec_url", "https://siem.example:8088"),
        ("splunk_hec_token", "another-token-of-a-sample"),
        ("revision", "1"),
    ];
    const PERSON: &[(&str, &str)] =
        &[("name", "Di"), ("email", "di@sample.example"), ("role", "viewer"), ("how", "made-up")];
    const DELIVERIES: &[&str] = &["event_id={event}", "job={job}", "connector={splunk}", "cursor={delivery_cursor}"];
    vec![
        on("GET /").empty(),
        on("GET /assets/{file}").plain("missing").empty(),
        on("GET /login").empty(),
        on("POST /login").form(&[("email", "admin@sample.example"), ("password", "a wrong password")]).reads(),
        on("POST /logout").last(),
        on("GET /setup/{token}").plain("unknown").empty(),
        on("POST /setup/{token}").plain("unknown").reads(),
        on("GET /welcome/{token}").plain("unknown").empty(),
        on("POST /appearance").form(&[("theme", "light")]).reads(),
        on("GET /account").shows(&["org_name"]),
        on("GET /shortcuts").empty(),
        on("GET /integrations/siem").shows(&["splunk", "splunk_name", "datadog"]),
        on("GET /live?view=/jobs/{job}/live").shows(&["splunk_name"]),
        on("GET /integrations/siem/live").shows(&["splunk", "splunk_name"]),
        on("GET /integrations/siem/new").empty(),
        on("GET /integrations/siem/part").shows(&["splunk_name"]),
        on("GET /integrations/siem/bulk?active=false").shows(&["splunk_name"]),
        on("POST /integrations/siem/new").form(SPLUNK),
        on("POST /integrations/siem/normalise")
            .form(&[("platform", "splunk"), ("pasted", "https://x.example")])
            .reads(),
        on("GET /integrations/siem/filter/preview").empty(),
        on("GET /integrations/siem/{id}/edit").of("splunk").shows(&["splunk_name"]),
        on("POST /integrations/siem/{id}/edit").of("splunk").form(EDITED),
        on("POST /integrations/siem/setup").form(SPLUNK).reads(),
        on("POST /integrations/siem/test").form(SPLUNK).unlogged(),
        on("POST /integrations/siem/{id}/test").of("splunk").unlogged(),
        on("GET /integrations/siem/{id}").of("splunk").shows(&["splunk_name", "cause", "note"]),
        on("GET /integrations/siem/{id}/live").of("splunk").shows(&["cause"]),
        on("GET /integrations/siem/{id}/setup").of("splunk").shows(&["splunk_name"]),
        on("GET /integrations/siem/{id}/settings").of("splunk").shows(&["splunk_name"]),
        on("GET /integrations/siem/{id}/signing").of("splunk").shows(&["splunk_name"]),
        on("GET /integrations/siem/{id}/charts").of("splunk").empty(),
        on("GET /integrations/siem/{id}/resume").of("elasticsearch").shows(&["elasticsearch_name"]),
        on("POST /integrations/siem/{id}/active")
            .of("elasticsearch")
            .form(&[("active", "true"), ("resume", "backlog")]),
        on("POST /integrations/siem/{id}/index-template").of("elasticsearch"),
        on("POST /integrations/siem/{id}/signing-secret/rotate").of("datadog"),
        on("GET /integrations/siem/{id}/signing-secret/activate").of("elasticsearch").shows(&["elasticsearch_name"]),
        on("POST /integrations/siem/{id}/signing-secret/activate").of("datadog"),
        on("POST /integrations/siem/{id}/signing-secret/cancel").of("elasticsearch"),
        on("GET /integrations/siem/{id}/delete").of("splunk").shows(&["splunk_name"]),
        on("POST /integrations/siem/{id}/delete").of("splunk").last(),
        on("GET /integrations/siem/{id}/deliveries")
            .of("splunk")
            .also(&["event_id={event}", "job={job}", "cursor={delivery_cursor}"])
            .shows(&["delivery", "failed", "splunk_name"]),
        on("GET /integrations/siem/{id}/deliveries/export?format=csv").of("splunk").shows(&["delivery", "cause"]),
        on("GET /deliveries").also(DELIVERIES).shows(&["delivery", "failed", "splunk_name"]),
        on("GET /deliveries/export?format=ndjson")
            .also(&["connector={splunk}", "job={job}"])
            .shows(&["delivery", "cause"]),
        on("GET /deliveries/{id}").of("failed").shows(&["splunk_name", "cause", "failed_event"]),
        on("GET /deliveries/{id}/attempts/{number}/request").number("1").of("failed").shows(&["failed_event"]),
        on("GET /deliveries/{id}/live").of("failed").shows(&["cause"]),
        on("POST /deliveries/{id}/redeliver").of("delivery"),
        on("GET /integrations/siem/{id}/redeliver-failed").of("splunk").shows(&["splunk_name"]),
        on("POST /integrations/siem/{id}/redeliver-failed").of("splunk").form(&[("from", ""), ("to", "")]),
        on("GET /integrations/siem/{id}/replay").of("splunk").shows(&["splunk_name"]),
        on("POST /integrations/siem/{id}/replay").of("splunk").form(&[("from", ""), ("to", "")]),
        on("GET /integrations/siem/{id}/discard").of("splunk").shows(&["splunk_name"]),
        on("POST /integrations/siem/{id}/discard").of("splunk").form(&[("from", ""), ("to", "")]),
        on("GET /integrations/siem/{id}/jobs")
            .of("splunk")
            .also(&["cursor={job_cursor}"])
            .shows(&["job", "splunk_name"]),
        on("GET /jobs").also(&["cursor={job_cursor}", "connector={splunk}"]).shows(&["job", "first_job"]),
        on("GET /jobs/{id}").of("job").shows(&["splunk_name"]),
        on("GET /jobs/{id}/live").of("job").shows(&[]),
        on("POST /jobs/{id}/cancel").of("job"),
        on("GET /events").also(&["id={event}", "cursor={event_cursor}"]).shows(&["event", "failed_event"]),
        on("GET /events/{id}").of("event").shows(&["delivery", "splunk_name"]),
        on("GET /events/{id}/live").of("event").shows(&["delivery", "splunk_name"]),
        on("GET /verify").empty(),
        on("POST /verify").form(&[("body", "{}"), ("header", "x"), ("secret", "a secret of a sample")]).reads(),
        on("GET /api-keys").also(&["cursor={key_cursor}"]).shows(&["key", "key_name"]),
        on("GET /api-keys/new").empty(),
        on("POST /api-keys/new").form(&[("name", "sample"), ("scope", "siem:read"), ("lifetime", "30")]),
        on("GET /api-keys/{id}/revoke").of("key").shows(&["key_name"]),
        on("POST /api-keys/{id}/revoke").of("key").last(),
        on("POST /secrets/{id}/reveal").of("secret"),
        on("GET /users").also(&["cursor={user_cursor}"]).shows(&["user", "user_email"]),
        on("GET /users/new").empty(),
        on("POST /users/new").form(PERSON),
        on("GET /users/{id}").of("user").shows(&["user_email", "user_name"]),
        on("POST /users/{id}").of("user").form(&[
            ("name", "renamed"),
            ("email", "renamed@sample.example"),
            ("role", "viewer"),
        ]),
        on("POST /users/{id}/password").of("user").form(&[("how", "made-up")]),
        on("GET /users/{id}/delete").of("user").shows(&["user_name"]),
        on("POST /users/{id}/delete").of("user").last(),
        on("GET /notifications").shows(&["channel", "channel_name"]),
        on("GET /notifications/new").empty(),
        on("POST /notifications/new").form(&[
            ("kind", "email"),
            ("name", "sample"),
            ("email_to", "jo@sample.example"),
            ("forward", "all"),
            ("active", "on"),
        ]),
        on("GET /notifications/{id}").of("channel").shows(&["channel_name"]),
        on("POST /notifications/{id}").of("channel").form(&[("name", "renamed"), ("forward", "all")]),
        on("POST /notifications/{id}/test").of("channel"),
        on("GET /notifications/{id}/delete").of("channel").shows(&["channel_name"]),
        on("POST /notifications/{id}/delete").of("channel").last(),
        on("GET /integrations/siem/{id}/acknowledge").of("splunk").shows(&["splunk_name", "note"]),
        on("POST /integrations/siem/{id}/acknowledge").of("splunk").form(&[("note", "CHG-123"), ("ends", "1h")]),
        on("POST /integrations/siem/{id}/acknowledge/end").of("splunk"),
        on("POST /integrations/siem/bulk").form(&[("active", "false"), ("id", "{datadog}")]),
        on("POST /account/password").form(&[("current", PASSWORD), ("new", "another long passphrase")]).last(),
        on("GET /audit").also(&["object={splunk}", "actor={admin}", "cursor={audit_cursor}"]).shows(&["splunk", "key"]),
    ]
}
