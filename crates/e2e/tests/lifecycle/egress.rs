//! Where connectors may not lead (server-side request forgery): what the API is given is refused in words, and nothing ever knocks at the canary.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use tokio::task::JoinSet;
use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_testkit::prelude::*;

const DATADOG_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A listener that nobody may connect to.
struct Canary(TcpListener);

impl Canary {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Nobody has connected so far.
    fn is_alone(&self) {
        let accepted = self.0.accept();
        let nobody = accepted.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(nobody, "somebody connected: {accepted:?}");
    }
}

/// Hosts that are this machine, its networks, or a cloud's metadata, however they are written.
const FORBIDDEN: [&str; 22] = [
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "2130706433",
    "0x7f000001",
    "0.0.0.0",
    "localhost",
    "localhost.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00::1]",
    "10.0.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
];

/// A connector's settings that lead to `url`, for each platform.
fn leading_to(url: &str) -> [(&'static str, Value); 3] {
    [
        ("splunk", json!({ "hec_url": url, "hec_token": CREDENTIAL })),
        ("datadog", json!({ "url": url, "api_key": DATADOG_KEY })),
        ("elasticsearch", json!({ "url": url, "username": "u", "password": "a-password" })),
    ]
}

fn refused(answer: &Answer, url: &str) {
    assert_eq!(answer.status, 403, "{url}: {}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "destination_forbidden", "{url}: {error}");
    assert!(error["message"].as_str().unwrap().ends_with('.'), "{error}");
    assert!(!answer.text().contains(CREDENTIAL) && !answer.text().contains("a-password"), "a secret was shown");
}

/// One connector for each platform, off, leading to a name that does not resolve.
async fn harmless(org: &Org) -> Vec<Connector> {
    let mut made = Vec::new();
    for (platform, config) in leading_to("https://siem.invalid") {
        made.push(org.connector(platform, config, json!({ "active": false })).await);
    }
    made
}

#[tokio::test]
async fn a_connector_of_the_api_leads_to_no_forbidden_address() {
    let canary = Canary::listen();
    let world = World::with(setup().without_env("TOKTRA_SIEM_EGRESS_ALLOW")).await;
    let made = harmless(&world).await;
    for host in FORBIDDEN {
        let url = format!("https://{host}:{}", canary.port());
        for ((platform, config), id) in leading_to(&url).into_iter().zip(&made) {
            let body = json!({ "name": "x", "platform": platform, "config": config, "active": true });
            refused(&world.post("/v1/siem/connectors", &body).await, &url);
            refused(&world.patch(&id.path(""), &json!({ "config": config })).await, &url);
        }
    }
    // Plain http is for addresses that the operator allows; what a name means is not known before it is dialled.
    for url in ["http://siem.invalid:8088", "http://203.0.113.1"] {
        let (platform, config) = leading_to(url)[0].clone();
        let body = json!({ "name": "x", "platform": platform, "config": config });
        refused(&world.post("/v1/siem/connectors", &body).await, url);
    }
    let list = world.read("/v1/siem/connectors").await;
    assert_eq!(list["items"].as_array().unwrap().len(), made.len(), "something was made");
    world.end().await;
    canary.is_alone();
}

#[tokio::test]
async fn the_operators_own_connector_may_reach_this_machine_but_never_the_clouds_metadata() {
    let splunk = splunk().await;
    let world = World::with(
        described(setup(), &[&splunk])
            .without_env("TOKTRA_SIEM_EGRESS_ALLOW")
            .env("SIEM_ELASTICSEARCH_URL", "http://169.254.169.254")
            .env("SIEM_ELASTICSEARCH_API_KEY", "aWRlbnRpdHk6c2VjcmV0LW9mLXRoZS1rZXk="),
    )
    .await;
    let connectors = world.connectors().await;
    let of = |platform: &str| connectors.iter().find(|connector| connector.created["platform"] == platform).unwrap();
    world.post_some(1).await;
    of("splunk").accounted(&[("delivered", 1)]).await;
    let health = of("elasticsearch").until_stands("misconfigured").await;
    assert_eq!(health["streams"][0]["last_error"]["cause"]["code"], "destination_forbidden", "{health}");
    let recorded = of("elasticsearch").history().await;
    let attempts = recorded.iter().flat_map(|delivery| delivery["attempts"].as_array().unwrap());
    for attempt in attempts {
        assert_eq!((&attempt["http_status"], &attempt["excerpt"]), (&Value::Null, &Value::Null), "{attempt}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_the_operator_allows_is_allowed_and_a_redirect_leads_nowhere() {
    let canary = Canary::listen();
    let splunk = splunk().await;
    let world = World::with(setup().env("TOKTRA_SIEM_EGRESS_ALLOW", "127.0.0.0/8,169.254.0.0/16")).await;
    let metadata = json!({ "hec_url": "http://169.254.169.254", "hec_token": CREDENTIAL });
    let body = json!({ "name": "x", "platform": "splunk", "config": metadata });
    refused(&world.post("/v1/siem/connectors", &body).await, "http://169.254.169.254");

    let connector = world.connect(&splunk).await;
    let elsewhere = format!("http://127.0.0.1:{}/services/collector/event", canary.port());
    splunk.always(Endpoint::Event, Behaviour::reply(Reply::empty(307).with_header("location", &elsewhere)));
    world.post_some(1).await;
    let health = connector.until_stands("misconfigured").await;
    assert_eq!(health["streams"][0]["last_error"]["cause"]["code"], "splunk_redirect", "{health}");
    splunk.healthy();
    connector.patch(json!({ "config": { "max_in_flight": 8 } })).await;
    world.all_arrived().await;
    world.end().await;
    canary.is_alone();
}

/// A receiver that reads a little of each request, says `start`, and then `again` for as long as somebody listens.
fn without_end(start: &'static str, again: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // They end with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let much = again.repeat(4_096);
                if stream.read(&mut [0; 4_096]).is_ok() && stream.write_all(start.as_bytes()).is_ok() {
                    while stream.write_all(much.as_bytes()).is_ok() {}
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn receivers_that_never_come_to_an_answer_are_given_up_and_hold_up_nobody() {
    let world = World::with(setup().env("TOKTRA_SIEM_EGRESS_ALLOW", "127.0.0.0/8")).await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (start, again) in [
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        ("", "HTTP/1.1 102 Processing\r\nX-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\n", "X-Padding: a\r\n"),
        (chunked, "0"),
    ] {
        let port = without_end(start, again);
        let config = json!({ "hec_url": format!("http://127.0.0.1:{port}"), "hec_token": CREDENTIAL });
        let mut tests = JoinSet::new();
        for _ in 0..8 {
            let (client, body) =
                (world.client.clone(), json!({ "name": "x", "platform": "splunk", "config": config.clone() }));
            tests.spawn(async move { client.post("/v1/siem/connectors/test", &body).await });
        }
        // Side by side with them.
        for _ in 0..50 {
            world.get("/healthz").await.expect_status(200);
        }
        while let Some(answer) = tests.join_next().await {
            let report = answer.unwrap().expect_status(200).json();
            assert_eq!(report["streams"][0]["cause"]["code"], "network_excess", "{again}: {report}");
        }
    }
    world.end().await;
}
