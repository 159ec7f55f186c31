//! The webhook: the golden requests of its three bodies, what goes beside them, and the reply table.

use serde_json::{Value, json};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_platform::destination::{Destination, Method};
use toktra_siem_platform::registry::{BuildError, Registry};
use toktra_siem_platform::webhook::Webhook;
use uuid::Uuid;

use crate::support::{
    NOW, SECRET, asking, causes, encode_all, golden_events, headers, in_full, org, reply, show, stream_with,
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/webhook/", $name))
    };
}

const URL: &str = "https://hooks.company.com/in/";

fn read(config: &Value) -> (Settings, Credentials) {
    Registry::standard().parse_new(Webhook::ID, config).expect("settings")
}

fn webhook(mut config: Value) -> Box<dyn Destination> {
    if config["secret_url"].is_null() {
        config["url"] = URL.into();
    }
    let (settings, credentials) = read(&config);
    stream_with(&settings, &credentials, StreamKind::Events)
}

fn verdict(status: u16, body: &str, sent: usize) -> String {
    show(&webhook(json!({})).classify(&reply(status, body), sent, NOW))
}

#[test]
fn makes_the_golden_requests() {
    for (format, limit, kind, body) in [
        ("array", 500, "application/json", fixture!("request-array.json")),
        ("lines", 500, "application/x-ndjson", fixture!("request-lines.ndjson")),
    ] {
        let webhook = webhook(json!({ "format": format }));
        let request = encode_all(&*webhook, &golden_events());
        assert_eq!((request.method, request.url.as_str(), request.secret_url), (Method::Post, URL, false));
        assert_eq!(headers(&request), [("content-type", kind.into())]);
        assert_eq!(str::from_utf8(&request.body).unwrap(), body);
        assert_eq!((webhook.limits().events, webhook.limits().bytes), (limit, 450_000));
        let cost: usize = golden_events().iter().map(|event| webhook.cost(event)).sum();
        assert_eq!(cost + webhook.limits().overhead, body.len());
    }
    let single = webhook(json!({ "token": SECRET }));
    let request = encode_all(&*single, &golden_events()[..1]);
    assert_eq!(request.body, fixture!("request-event.json"));
    let token = ("authorization", format!("secret: Bearer {SECRET}"));
    assert_eq!(headers(&request), [token, ("content-type", "application/json".into())]);
    assert_eq!((single.limits().events, single.cost(&golden_events()[0])), (1, request.body.len()));
    assert_eq!(webhook(json!({ "format": "lines", "max_events": 7 })).limits().events, 7);
}

#[test]
fn logs_in_as_it_is_told_and_says_what_it_is_given() {
    let of = |config| {
        let request = encode_all(&*webhook(config), &golden_events()[..1]);
        let all = headers(&request).into_iter().map(|(name, value)| format!("{name}: {value}"));
        all.filter(|line| !line.starts_with("content-type")).collect::<Vec<_>>()
    };
    assert_eq!(
        of(json!({ "username": "toktra", "password": "p:w" })),
        ["authorization: secret: Basic dG9rdHJhOnA6dw=="]
    );
    let given = json!({ "X-Goog-Api-Key": "key", "x_team": "a b" });
    assert_eq!(of(json!({ "headers": given })), ["x-goog-api-key: secret: key", "x_team: secret: a b"]);
    // One of the person's own takes the place of the token.
    let own = json!({ "token": SECRET, "headers": "Authorization: Key 7" });
    assert_eq!(of(own), ["authorization: secret: Key 7"]);
    assert_eq!(of(json!({ "compression": "gzip" })), ["content-encoding: gzip"]);
}

#[test]
fn a_secret_url_is_marked_as_one_and_kept_as_it_is() {
    let url = "https://endpoint.sumologic.com/receiver/v1/http/ZaVnC4dhaV0==?k=hunter2";
    let (settings, credentials) = read(&json!({ "secret_url": url, "headers": "X-Key: 0123456789" }));
    assert_eq!(settings.text("secret_url"), Some("https://endpoint.sumologic.com"));
    assert!(!serde_json::to_string(&settings).unwrap().contains("ZaVn"));
    let request = encode_all(&*stream_with(&settings, &credentials, StreamKind::Events), &golden_events()[..1]);
    assert_eq!((request.url.as_str(), request.secret_url), (url, true));
    // An endpoint that echoes what it saw of the URL, or of the headers, is not quoted with it.
    let redactor = Registry::standard().redactor(&settings, &credentials);
    let echoed = "no such path /receiver/v1/http/ZaVnC4dhaV0==?k=hunter2 with 0123456789 (ZaVnC4dhaV0==)";
    let quoted = redactor.quote(echoed);
    for part in ["ZaVn", "hunter2", "0123"] {
        assert!(!quoted.contains(part), "{quoted}");
    }
    assert_eq!(
        Registry::standard().targets(&settings, &Credentials::none())[0].host_str(),
        Some("endpoint.sumologic.com")
    );
}

#[test]
fn judges_every_row_of_the_reply_table() {
    let rows: &[(u16, &str, &str)] = &[
        (200, fixture!("replies/200-ok.txt"), "4 delivered | healthy"),
        (200, r#"{"error":"whatever it says"}"#, "4 delivered | healthy"),
        (201, "", "4 delivered | healthy"),
        (202, "", "4 delivered | healthy"),
        (204, "", "4 delivered | healthy"),
        (200, fixture!("replies/200-page.html"), "4 delivered with webhook_web_page | healthy"),
        (301, "", "held webhook_redirect"),
        (307, "", "held webhook_redirect"),
        (400, fixture!("replies/400-unreadable.json"), "split webhook_http_400 | healthy"),
        (401, fixture!("replies/401-unauthorized.json"), "held webhook_http_401"),
        (403, "", "held webhook_http_403"),
        (404, fixture!("replies/404-not-found.html"), "held webhook_wrong_path"),
        (405, "", "held webhook_wrong_path"),
        (408, "", "retry webhook_http_408"),
        (410, fixture!("replies/410-gone.json"), "4 held webhook_gone | gone webhook_gone"),
        (413, fixture!("replies/413-too-large.json"), "split webhook_too_large | healthy"),
        (415, "", "held webhook_http_415"),
        (422, "", "split webhook_http_422 | healthy"),
        (429, fixture!("replies/429-too-many.json"), "retry webhook_busy"),
        (500, "", "retry webhook_http_500"),
        (502, "<html>", "retry webhook_http_502"),
        (503, fixture!("replies/503-unavailable.txt"), "retry webhook_http_503"),
        (504, "", "retry webhook_http_504"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(verdict(*status, body, 4), in_full(expected, 4), "{status} {body}");
    }
    let later = asking(reply(429, ""), "17");
    assert_eq!(show(&webhook(json!({})).classify(&later, 1, NOW)), "1 retry webhook_busy | backoff 17s");
}

#[test]
fn says_what_happened_and_what_to_do() {
    let said = |status, body| causes(&webhook(json!({})).classify(&reply(status, body), 1, NOW))[0].message.clone();
    assert_eq!(
        said(410, ""),
        "The receiver answered 410: it wants no more events, so none is sent any more, and it is not tried again by itself. Events wait. \
         Correct the URL or switch the connector off; saving it, or a test delivery that arrives, starts the flow again."
    );
    assert!(said(401, r#"{"message":"Unauthorized"}"#).ends_with("It said: “Unauthorized”"));
}

#[test]
fn is_built_only_with_what_it_needs() {
    let (settings, _) = read(&json!({ "secret_url": "https://hooks.company.com/x" }));
    let id = ConnectorId(Uuid::nil());
    let of =
        |credentials: &Credentials, kind| Registry::standard().build(&settings, credentials, org(), id, kind).err();
    assert_eq!(of(&Credentials::none(), StreamKind::Events), Some(BuildError::Credentials));
    let logs = BuildError::Stream { platform: Webhook::ID, kind: StreamKind::Logs };
    assert_eq!(of(&Credentials::none(), StreamKind::Logs), Some(logs));
}

/// What is wrong, by pointer, and the part of the sentence that tells it.
#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (config, pointer, part) in [
        (json!({}), "/config/url", "give `url` or `secret_url`"),
        (json!({ "url": URL, "secret_url": URL }), "/config/secret_url", "not both"),
        (json!({ "url": "https://h.example/?key=hunter2" }), "/config/url", "as `secret_url`"),
        (json!({ "secret_url": "ftp://h.example/hunter2" }), "/config/secret_url", "scheme"),
        (json!({ "secret_url": "https://u:hunter2@h.example" }), "/config/secret_url", "user name"),
        (json!({ "url": URL, "token": SECRET, "username": "u", "password": "p" }), "/config/token", "either `token`"),
        (json!({ "url": URL, "username": "u" }), "/config/password", "is missing"),
        (json!({ "url": URL, "headers": { "Host": "hunter2" } }), "/config/headers", "`host`"),
        (json!({ "url": URL, "format": "xml" }), "/config/format", "none of `event`, `array`, `lines`"),
        (json!({ "url": URL, "max_events": 0 }), "/config/max_events", "1 to 10000"),
    ] {
        let faults = Registry::standard().parse_new(Webhook::ID, &config).unwrap_err();
        assert_eq!(faults[0].pointer, pointer, "{config}: {faults:?}");
        assert!(faults[0].message.contains(part), "{config}: {}", faults[0].message);
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
    }
}

#[test]
fn another_target_wants_every_secret_anew_and_another_path_wants_none() {
    let registry = Registry::standard();
    let (current, _) =
        read(&json!({ "secret_url": "https://a.example/in/hunter2", "token": SECRET, "headers": "X: y" }));
    let stored = ["secret_url", "token", "headers"];
    let change = |patch: Value| match registry.parse_patch(&current, &stored, &patch) {
        Ok((settings, changes)) => {
            let names =
                changes.iter().map(|(name, secret)| format!("{name}{}", if secret.is_some() { "" } else { "-" }));
            let place = settings.text("url").or(settings.text("secret_url")).unwrap_or_default().to_owned();
            format!("{place}: {}", names.collect::<Vec<_>>().join(" "))
        }
        Err(faults) => faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>().join(" "),
    };
    assert_eq!(change(json!({ "max_events": 9 })), "https://a.example: ");
    assert_eq!(change(json!({ "secret_url": "https://a.example/other" })), "https://a.example: secret_url");
    assert_eq!(change(json!({ "secret_url": "https://b.example/in" })), "/config/token /config/headers");
    let all = json!({ "secret_url": "https://b.example/in", "headers": null, "token": "another-token" });
    assert_eq!(change(all), "https://b.example: headers- password- secret_url token");
    assert_eq!(change(json!({ "url": "https://a.example/shown" })), "https://a.example/shown: secret_url-");
    assert_eq!(change(json!({ "url": "https://b.example/shown" })), "/config/token /config/headers");
    assert_eq!(change(json!({ "secret_url": null })), "/config/url");
    assert_eq!(change(json!({ "tls_server_name": "c.example" })), "/config/secret_url /config/token /config/headers");
}

#[test]
fn what_is_pasted_is_understood() {
    let understood = |text: &str| {
        let said = Registry::standard().understand(Webhook::ID, text);
        let mut fields: Vec<String> = said.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.sort();
        format!("{} | {}", fields.join(" "), said.not_understood.join(", "))
    };
    assert_eq!(
        understood(
            "curl -X POST https://hooks.company.com/in/ -H 'Authorization: Bearer abcdef' -H 'Content-Type: application/json' -d '{}'"
        ),
        "auth=token token=abcdef url=https://hooks.company.com/in/ | "
    );
    assert_eq!(
        understood("https://endpoint4.collection.sumologic.com/receiver/v1/http/ZaVn=="),
        "address=secret_url secret_url=https://endpoint4.collection.sumologic.com/receiver/v1/http/ZaVn== url= | "
    );
    assert_eq!(
        understood("https://h.example/in?key=abc"),
        "address=secret_url secret_url=https://h.example/in?key=abc url= | "
    );
    assert_eq!(
        understood("curl -u toktra:pass -H 'X-Key: k7' https://h.example/in"),
        "auth=password headers=x-key: k7 password=pass url=https://h.example/in username=toktra | "
    );
}
