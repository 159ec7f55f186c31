//! Canaries: every secret that the service is given, and three platforms that send their credential back wherever an answer has room for
//! it. None of it comes up again: in no answer of the API, no line of the log, no file.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use toktra_siem_fake::datadog::{self, Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{self, Credentials, Elasticsearch, ElasticsearchOptions, Flavour};
use toktra_siem_fake::splunk::{self, Splunk, SplunkOptions};
use toktra_siem_fake::webhook::{self, Webhook, WebhookOptions};
use toktra_siem_testkit::prelude::*;

const HEC_TOKEN: &str = "canary-hec-token-0123456789";
const DATADOG_KEY: &str = "canary0datadog0key0123456789abcd";
const ELASTICSEARCH_PASSWORD: &str = "canary \"password\" of elasticsearch";
const SIGNING: [&str; 2] = ["canary-signing-secret-0123456789", "canary-next-signing-secret-012345"];
const PERSON: &str = "canary horse battery staple";
const HOOK: &str = "canary-hook-key-0123456789";
const HOOK_SIGNING: &str = "canary-hook-signing-0123456789";
const ROUTING: &str = "canary0routing0key0123456789abcd";
const BOOTSTRAP: &str = "canary-bootstrap-key-0123456789abcdef";

/// An answer that refuses for now, and holds `credential` in its body, in values of headers, and as the name of one.
fn echo(credential: &str, header: &'static str) -> Reply {
    Reply::json(
        503,
        &json!({ "text": format!("you sent {header}"), "code": 9, "errors": [header], "error": { "reason": header } }),
    )
    .with_header("x-received-authorization", header)
    .with_header("authorization", header)
    .with_header("set-cookie", header)
    .with_header("x-debug", &format!("credential={credential}; sent={header}"))
    .with_header("location", &format!("https://login.example/?from={credential}"))
}

/// Every file below `directory`.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
    all
}

/// What every route shows that only reads, with these in the place of ids.
async fn everything(client: &Client, ids: &[(&str, &str)]) -> Vec<(String, String)> {
    let document = client.read("/openapi.json").await;
    let mut all = Vec::new();
    for (route, _) in document["paths"].as_object().unwrap().iter().filter(|(_, what)| what["get"].is_object()) {
        let mut path = route.clone();
        for (of, id) in ids {
            if let Some(rest) = route.strip_prefix(of).filter(|rest| rest.starts_with("/{")) {
                let after = rest[1..].find('/').map_or("", |at| &rest[1 + at..]);
                path = format!("{of}/{id}{after}");
            }
        }
        // Each delivery that is shown has a first attempt.
        let path = path.replace("{number}", "1");
        assert!(!path.contains('{'), "{route}: no id is known for it");
        let answer = poll::until(&format!("{path} is answered"), async || {
            let answer = client.get(&path).await;
            (answer.status != 429).then_some(answer)
        })
        .await;
        assert!([200, 403].contains(&answer.status), "{path}: {}", answer.text());
        all.push((path, format!("{:?}\n{}", answer.headers, answer.text())));
    }
    all
}

#[tokio::test]
async fn no_secret_comes_up_again() {
    let basic: &'static str = format!("Basic {}", BASE64.encode(format!("canary:{ELASTICSEARCH_PASSWORD}"))).leak();
    let mut options = ElasticsearchOptions::new(Flavour::Elasticsearch);
    options.credentials = Credentials::Basic("canary".into(), ELASTICSEARCH_PASSWORD.into());
    let splunk = Splunk::start(SplunkOptions::new(HEC_TOKEN)).await.unwrap();
    let datadog = Datadog::start(DatadogOptions::new(DATADOG_KEY)).await.unwrap();
    let elasticsearch = Elasticsearch::start(options).await.unwrap();
    let named = echo(HEC_TOKEN, "Splunk canary-hec-token-0123456789").with_header(HEC_TOKEN, "a name is echoed, too");
    splunk.always(splunk::Endpoint::Event, Behaviour::reply(named));
    for endpoint in [datadog::Endpoint::Logs, datadog::Endpoint::Series] {
        datadog.always(endpoint, Behaviour::reply(echo(DATADOG_KEY, DATADOG_KEY)));
    }
    elasticsearch.always(elasticsearch::Endpoint::Bulk, Behaviour::reply(echo(ELASTICSEARCH_PASSWORD, basic)));

    let mut world = World::with(
        setup()
            .api_key(BOOTSTRAP)
            .env("TOKTRA_SIEM_LOG_LEVEL", "debug")
            .env("TOKTRA_SIEM_ADMIN_EMAIL", "ada@company.example")
            .env("TOKTRA_SIEM_ADMIN_PASSWORD", PERSON),
    )
    .await;
    let mut answers = Vec::new();
    let made = async |platform: &str, config: Value| {
        world.connector(platform, config, json!({ "signing_secret": SIGNING[0] })).await
    };
    let ids = [
        made("splunk", json!({ "hec_url": splunk.base_url(), "hec_token": HEC_TOKEN })).await,
        made("datadog", json!({ "url": datadog.base_url(), "api_key": DATADOG_KEY })).await,
        made(
            "elasticsearch",
            json!({ "url": elasticsearch.base_url(), "username": "canary", "password": ELASTICSEARCH_PASSWORD }),
        )
        .await,
    ];
    let (key, token) = {
        let made = world.make("/v1/api-keys", &json!({ "name": "k", "scopes": ["siem:read"] })).await;
        let login = world.make("/v1/sessions", &json!({ "email": "ada@company.example", "password": PERSON })).await;
        (made, login["token"].text())
    };
    let secret_key = key["key"].text();

    let events = world.post_some(1).await;
    for id in &ids {
        id.accounted(&[("failed", 1)]).await;
        let rotation = json!({ "signing_secret": SIGNING[1] });
        // Its answer is the one place where a signing secret is shown, once.
        world.call(&id.path("/signing-secret/rotate"), &rotation).await;
        for accept in ["application/json", "application/x-ndjson"] {
            let headers = [("accept", accept), ("content-type", "application/json")];
            let test = world.send(Method::POST, &id.path("/test"), &headers, Bytes::from("{}")).await;
            assert!(test.text().contains("503"), "{}", test.text());
            answers.push((format!("a test of {} as {accept}", id.id), test.text()));
        }
    }
    let mut one = String::new();
    for id in &ids {
        let all = id.history().await;
        assert_eq!((&all[0]["trigger"], all[0]["attempts"].as_array().map(Vec::len)), (&json!("live"), Some(3)));
        assert_eq!(
            all.iter().filter(|delivery| delivery["trigger"] == "test" && delivery["stream"] != "metrics").count(),
            2
        );
        for delivery in all {
            for attempt in delivery["attempts"].as_array().unwrap() {
                assert_eq!(attempt["http_status"], 503, "{attempt}");
                let request = attempt["request"]["headers"].to_string();
                assert!(request.contains("[redacted]") && request.contains("webhook-id"), "{attempt}");
                for header in ["set-cookie", "authorization", "x-received-authorization"] {
                    assert!(
                        attempt["response_headers"].to_string().contains(&format!("[\"{header}\",\"[redacted]\"]")),
                        "{attempt}"
                    );
                }
                let debug = attempt["response_headers"].as_array().unwrap().iter().find(|pair| pair[0] == "x-debug");
                assert!(debug.unwrap()[1].as_str().unwrap().starts_with("credential=[redacted]; sent="), "{attempt}");
            }
            if delivery["attempt_count"] != 0 {
                delivery["id"].as_str().unwrap().clone_into(&mut one);
            }
            answers.push((format!("a delivery of {}", id.id), delivery.to_string()));
        }
    }
    // What is sent again is looked at, too: there the platform takes it.
    splunk.healthy();
    ids[0].test(json!({})).await;
    ids[0].accounted(&[("delivered", 1)]).await;
    let live = ids[0].history().await.remove(0).id();
    let asked = world.begin(&format!("/v1/siem/deliveries/{live}/redeliver"), &json!({})).await;
    let job = asked["id"].as_str().unwrap();
    world.until_job(job, "done").await;
    let again = ids[0].history().await;
    let again = again.iter().find(|delivery| delivery["trigger"] == "redelivery").unwrap();
    assert_eq!(again["attempts"][0]["http_status"], 200, "{again}");
    assert_eq!(again["attempts"][0]["request"]["headers"][0], json!(["authorization", "[redacted]"]), "{again}");

    // Channels, whose receivers send back what they were given as well.
    let path = format!("/hook?key={HOOK}");
    let hook = Webhook::start(WebhookOptions { path, ..WebhookOptions::default() }).await.unwrap();
    let told = hook.url();
    hook.always(webhook::Endpoint::Hook, Behaviour::reply(echo(HOOK, told.clone().leak())));
    hook.always(webhook::Endpoint::Other, Behaviour::reply(echo(ROUTING, ROUTING)));
    let mut channel = String::new();
    for (kind, config) in [
        ("webhook", json!({ "url": told, "signing_secret": HOOK_SIGNING })),
        ("slack", json!({ "url": told })),
        ("teams", json!({ "url": told })),
        ("pagerduty", json!({ "routing_key": ROUTING, "url": hook.base_url() })),
    ] {
        let made =
            world.make("/v1/notification-channels", &json!({ "name": kind, "kind": kind, "config": config })).await;
        channel = made.id();
        let test = world.post(&format!("/v1/notification-channels/{channel}/test"), &json!({})).await;
        answers.push((format!("a channel of {kind}"), format!("{made} {}", test.text())));
        assert_eq!(test.expect_status(200).json()["sent"], false);
    }
    assert!(hook.requests().len() >= 4);
    // Somebody is told of the connectors above as well, and the receiver says no.
    poll::until("a channel fails", async || {
        let channels = world.read("/v1/notification-channels").await;
        let all = channels["items"].list();
        all.iter().all(|channel| !channel["failing"].is_null()).then_some(())
    })
    .await;

    let users = world.read("/v1/users").await;
    let orgs = world.read("/v1/orgs").await;
    let known = [
        ("/v1/siem/connectors", ids[0].id.as_str()),
        ("/v1/siem/deliveries", &one),
        ("/v1/siem/jobs", job),
        ("/v1/notification-channels", &channel),
        ("/v1/events", &events[0]),
        ("/v1/orgs", orgs["items"][0]["id"].as_str().unwrap()),
        ("/v1/users", users["items"][0]["id"].as_str().unwrap()),
        ("/v1/api-keys", key["id"].as_str().unwrap()),
    ];
    answers.extend(everything(&world, &known).await);
    answers.extend(everything(&world.with_key(&token), &known).await);

    world.stop().await;
    answers.push(("the log".into(), world.log()));
    let places: Vec<(String, Vec<u8>)> =
        answers.into_iter().map(|(place, text)| (place, text.into_bytes())).chain(files(&world.data_dir())).collect();
    assert!(places.iter().any(|(_, bytes)| bytes.windows(10).any(|part| part == b"[redacted]")));
    let escaped = serde_json::to_string(ELASTICSEARCH_PASSWORD).unwrap();
    let secrets = [
        HEC_TOKEN,
        DATADOG_KEY,
        ELASTICSEARCH_PASSWORD,
        escaped.trim_matches('"'),
        &basic["Basic ".len()..],
        SIGNING[0],
    ]
    .into_iter()
    .chain([SIGNING[1], HOOK, HOOK_SIGNING, ROUTING, PERSON, BOOTSTRAP, &secret_key, &token]);
    for secret in secrets {
        for (place, bytes) in &places {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in {place}");
        }
    }
}
