//! A platform that is only registered: made up here, outside of the product, and there everywhere by itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use toktra_siem::commands::{self, Cli, run};
use toktra_siem_config::Environment;
use toktra_siem_core::connector::{Compression, Settings};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{EventId, PlatformId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::destination::{
    Batch, BatchLimits, Destination, EncodeError, Encoded, HeaderText, Reply, Verdict,
};
use toktra_siem_platform::reply::Endpoint;
use toktra_siem_platform::{BuildError, Descriptor, Field, Plan, Platform, Registry, body};
use toktra_siem_testkit::poll::until;
use toktra_siem_testkit::prelude::*;

const ID: PlatformId = PlatformId::fixed("acme_hec");
const TOKEN: &str = "acme-canary-token-0123456789";

struct Acme(Descriptor);

impl Acme {
    fn new() -> Self {
        Self(Descriptor {
            leads_to: "Acme's collector",
            needs: &["a token of Acme"],
            preparation: "In Acme: Settings → Tokens.",
            example: "--acme-hec-url https://acme.company.com --token-file token",
            search_place: "In Acme: Search",
            fields: vec![
                Field::url("url", "URL").required().help("Base URL of the collector."),
                Field::secret("token", "Token").required().help("The token."),
                Field::choice("tier", "Tier", &[("gold", "Gold"), ("silver", "Silver")])
                    .default("silver")
                    .help("Which tier takes it."),
                Field::flag("compact", "Compact", false).help("Whether events are compacted."),
                Field::number("shard", "Shard", 1, 9).default("3").help("Which shard keeps it."),
            ],
            ..Descriptor::new(ID, "Acme HEC")
        })
    }
}

impl Platform for Acme {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        let token = plan.secret("token")?;
        let text = |name: &str| plan.settings.text(name).unwrap_or_default().to_owned();
        Ok(Box::new(Collector {
            url: format!("{}/ingest", text("url")),
            authorization: body::authorization("Acme", token),
            tier: text("tier"),
            shard: plan.settings.config["shard"].to_string(),
            endpoint: Endpoint {
                name: "Acme HEC",
                key: "acme_hec",
                address: "The URL is probably wrong.".into(),
                redactor: plan.redactor,
            },
        }))
    }

    fn search(&self, settings: &Settings, event: EventId) -> String {
        format!("tier={} id={event}", settings.text("tier").unwrap_or_default())
    }
}

struct Collector {
    url: String,
    authorization: HeaderText,
    tier: String,
    shard: String,
    endpoint: Endpoint,
}

impl Destination for Collector {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: 100, bytes: 500_000, overhead: 0 }
    }

    fn cost(&self, event: &StoredEvent) -> usize {
        event.payload.len() + 1
    }

    fn encode(&self, batch: Batch<'_>, _now: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Events(events) = batch else { return Err(EncodeError::WrongBatch { expected: "events" }) };
        let mut lines = Vec::new();
        for event in events {
            lines.extend_from_slice(&event.payload);
            lines.push(b'\n');
        }
        let headers = vec![
            ("authorization".into(), self.authorization.clone()),
            ("content-type".into(), body::NDJSON),
            (format!("x-acme-{}", self.tier).into(), HeaderText::Plain(self.shard.clone().into())),
        ];
        let request = body::request(&self.url, headers, lines, Compression::None)?;
        Ok(Encoded { request: Some(request), omitted: Vec::new() })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        match reply.status {
            200 => Verdict::delivered(sent, None),
            _ => self.endpoint.by_status(reply, sent, now),
        }
    }
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<(HeaderMap, String)>>>);

impl Received {
    async fn listen(&self) -> String {
        async fn take(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
            let known = headers.get("authorization").is_some_and(|value| value == format!("Acme {TOKEN}").as_str());
            if known {
                received.0.lock().push((headers, String::from_utf8_lossy(&body).into_owned()));
            }
            if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/ingest", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    /// How many requests brought this text, with this header.
    fn with(&self, text: &str, header: &str) -> usize {
        let seen = self.0.lock();
        seen.iter().filter(|(headers, body)| body.contains(text) && headers.contains_key(header)).count()
    }
}

/// The platforms of the product, and this one.
fn registry() -> Registry {
    Registry::standard().with(Acme::new())
}

/// What a command wrote.
async fn command(base: &str, arguments: &[&str]) -> String {
    command_of(registry(), base, arguments, &[]).await
}

/// The same of a program that knows these platforms, with `more` in its environment.
pub(crate) async fn command_of(registry: Registry, base: &str, arguments: &[&str], more: &[(&str, &str)]) -> String {
    let cli = Cli::of([&["toktra-siem"], arguments].concat(), &registry).unwrap();
    let (mut stdin, mut stdout, mut stderr) = (&b""[..], Vec::new(), Vec::new());
    let mut world = commands::World {
        environment: Environment::of([&[("TOKTRA_SIEM_URL", base), ("TOKTRA_SIEM_API_KEY", API_KEY)], more].concat()),
        registry,
        stdin: &mut stdin,
        stdin_terminal: false,
        stdout: &mut stdout,
        terminal: false,
        stderr: &mut stderr,
        stderr_terminal: false,
        nowhere: false,
    };
    run(cli, &mut world).await.unwrap();
    String::from_utf8(stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acme_hec_needs_nothing_but_its_folder() {
    let received = Received::default();
    let collector = received.listen().await;
    // What it needs is in the environment.
    let variables = [
        ("SIEM_SIGNING_SECRET", "a-signing-secret-of-the-default-org"),
        ("SIEM_ACME_HEC_URL", &collector),
        ("SIEM_ACME_HEC_TOKEN", TOKEN),
        ("SIEM_ACME_HEC_TIER", "gold"),
        ("SIEM_ACME_HEC_SHARD", "7"),
    ];
    let world = World::whole(registry(), &variables).await;

    it_is_told(&world).await;
    let id = the_api_takes_it(&world, &collector).await;
    it_delivers(&world, &received, &id).await;
    the_page_shows_it(&Tab::at(&world.base), &world, &collector).await;
    the_command_line_takes_it(&world.base, &world, &collector, world.directory.path()).await;
    world.ends().await;
}

async fn it_is_told(client: &Client) {
    let platforms = client.read("/v1/siem/platforms").await;
    let acme = platforms["items"].as_array().unwrap().iter().find(|item| item["id"] == "acme_hec").unwrap().clone();
    assert_eq!((&acme["label"], &acme["streams"]), (&json!("Acme HEC"), &json!(["events"])));
    let field = |name: &str| {
        let fields = acme["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).unwrap().clone()
    };
    assert_eq!((&field("token")["kind"], &field("token")["secret"]), (&json!("secret"), &json!(true)));
    assert_eq!(field("tier")["limits"]["values"], json!(["gold", "silver"]));
    assert_eq!(field("shard")["limits"], json!({ "minimum": 1, "maximum": 9 }));
    assert_eq!((&field("compact")["default"], &field("url")["required"]), (&json!(false), &json!(true)));
    let document = client.read("/openapi.json").await;
    let new = &document["components"]["schemas"]["NewAcmeHec"];
    assert_eq!(new["required"], json!(["url", "token"]));
    let described = client.read("/v1/siem/connectors").await["items"][0].clone();
    assert_eq!(described["name"], "Acme HEC (environment)");
    assert_eq!((&described["config"]["tier"], &described["config"]["shard"]), (&json!("gold"), &json!(7)));
}

async fn the_api_takes_it(client: &Client, collector: &str) -> String {
    let path = "/v1/siem/connectors";
    let body = |config: Value| json!({ "name": "Acme", "platform": "acme_hec", "config": config });
    let wrong = json!({ "url": "ftp://x", "tier": "tin", "compact": "yes", "shard": 10, "other": 1 });
    let refused = client.post(path, &body(wrong)).await.expect_status(422).json();
    let pointers: Vec<&str> =
        refused["error"]["fields"].as_array().unwrap().iter().map(|f| f["pointer"].as_str().unwrap()).collect();
    let expected =
        ["/config/other", "/config/url", "/config/tier", "/config/compact", "/config/shard", "/config/token"];
    assert_eq!(pointers, expected);
    let given = json!({ "url": collector, "token": TOKEN, "compact": true });
    let made = client.make(path, &body(given)).await;
    let shown = json!({
        "url": collector, "token": { "set": true, "hint": "…6789" }, "tier": "silver", "compact": true, "shard": 3,
        "compression": "none", "max_in_flight": 16,
    });
    assert_eq!(made["config"], shown);
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let changed = client.change(&one, &json!({ "config": { "shard": 5, "tier": null } })).await;
    assert_eq!(changed["config"]["shard"], 5);
    let elsewhere = json!({ "config": { "url": "https://evil.example" } });
    let refused = client.patch(&one, &elsewhere).await.expect_status(422).json();
    assert_eq!(refused["error"]["fields"][0]["pointer"], "/config/token");
    assert_eq!(client.read(&one).await["platform"], "acme_hec");
    client.change(&one, &json!({ "active": true })).await;
    made.id()
}

async fn it_delivers(client: &Client, received: &Received, id: &str) {
    let one = format!("/v1/siem/connectors/{id}");
    let tested = client.call(&format!("{one}/test"), &json!({})).await;
    assert_eq!(tested["delivered"], true, "{tested}");
    assert_eq!(tested["search"], format!("tier=silver id={}", tested["event_id"].as_str().unwrap()));
    assert_eq!(received.with("test_connection", "x-acme-silver"), 1);
    let wrong = json!({ "config": { "token": "another-token" } });
    let refused = client.call(&format!("{one}/test"), &wrong).await;
    assert!(refused.to_string().contains("Acme HEC answered 401"), "{refused}");

    let event = json!({ "event_type": "anomaly", "severity": "high", "summary": "an anomaly for acme" });
    let posted = client.begin("/v1/events", &event).await;
    let event = posted["events"][0]["event_id"].text();
    until("both connectors brought the event, each with the header of its settings", async || {
        let brought = (received.with(&event, "x-acme-silver"), received.with(&event, "x-acme-gold"));
        (brought == (1, 1)).then_some(())
    })
    .await;
    until("the history tells of it", async || {
        let path = format!("{one}/deliveries?status=delivered&trigger=live");
        let listed = client.read(&path).await;
        (listed["items"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    let metrics = client.get("/metrics").await.expect_status(200).text();
    for figure in ["toktra_siem_attempts_total", "toktra_siem_stream_delivered_events_total"] {
        let told = metrics.lines().any(|line| line.starts_with(figure) && line.contains("platform=\"acme_hec\""));
        assert!(told, "{figure}: {metrics}");
    }
}

async fn the_page_shows_it(tab: &Tab, client: &Client, collector: &str) {
    tab.log_in(ADMIN).await;
    let form = tab.get("/integrations/siem/new?platform=acme_hec").await.expect_status(200).text();
    for input in ["url", "token", "tier", "compact", "shard"] {
        assert!(form.contains(&format!("name=\"acme_hec_{input}\"")), "{input}: {form}");
    }
    assert!(
        form.contains("<option value=\"gold\"")
            && form.contains("value=\"acme_hec\"")
            && form.contains("Acme HEC</span>"),
        "{form}"
    );
    let pasted = format!("curl -H 'Authorization: Bearer {TOKEN}' -H 'X-Odd: 1' {collector}");
    let fields = [("platform", "acme_hec"), ("pasted", pasted.as_str())];
    let understood = tab.post("/integrations/siem/normalise", &fields).await.expect_status(200).json();
    assert_eq!(understood["fields"], json!({ "acme_hec_token": TOKEN, "acme_hec_url": collector }));
    assert_eq!(understood["not_understood"], json!(["the header x-odd"]));
    let mut fields = vec![
        ("platform", "acme_hec"),
        ("name", "Acme by page"),
        ("acme_hec_url", collector),
        ("acme_hec_token", TOKEN),
        ("acme_hec_tier", "gold"),
        ("acme_hec_shard", "12"),
        ("compression", "none"),
    ];
    let refused = tab.post("/integrations/siem/new", &fields).await.expect_status(422).text();
    assert!(refused.contains("id=\"acme_hec_shard-fault\">Enter a whole number from 1 to 9."), "{refused}");
    assert!(!refused.contains(TOKEN));
    fields[5].1 = "2";
    let place = tab.post("/integrations/siem/new", &fields).await.expect_status(303);
    let place = place.header("location").unwrap().to_owned();
    let page = tab.get(&format!("{place}/settings")).await.expect_status(200).text();
    assert!(page.contains("Acme HEC") && page.contains("Gold") && page.contains("Set, ends in …6789"), "{page}");
    let edit = tab.get(&format!("{place}/edit")).await.expect_status(200).text();
    assert!(edit.contains("name=\"acme_hec_shard\"") && edit.contains("value=\"2\""), "{edit}");
    let fields = [
        ("revision", "1"),
        ("name", "Acme by page"),
        ("acme_hec_url", collector),
        ("acme_hec_token", ""),
        ("acme_hec_tier", "silver"),
        ("acme_hec_compact", "on"),
        ("acme_hec_shard", ""),
        ("compression", "gzip"),
    ];
    tab.post(&format!("{place}/edit"), &fields).await.expect_status(303);
    let id = place.rsplit('/').next().unwrap();
    let saved = client.read(&format!("/v1/siem/connectors/{id}")).await["config"].clone();
    let expected = (json!("silver"), json!(true), json!(3), json!("gzip"));
    assert_eq!(
        (saved["tier"].clone(), saved["compact"].clone(), saved["shard"].clone(), saved["compression"].clone()),
        expected
    );
    assert!(tab.get("/integrations/siem").await.expect_status(200).text().contains(", Acme HEC<"));
}

async fn the_command_line_takes_it(base: &str, client: &Client, collector: &str, directory: &std::path::Path) {
    let token = directory.join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let token = token.display().to_string();
    let add = ["connector", "add", "acme_hec", "--acme-hec-url", collector, "--token-file", &token];
    let more = ["--tier", "gold", "--compact", "--shard", "4", "--name", "Acme by command", "--test"];
    let said = command(base, &[&add[..], &more[..]].concat()).await;
    assert!(said.contains("The test event arrived."), "{said}");
    assert!(command(base, &["connector", "list"]).await.contains("acme_hec"));
    let exported = command(base, &["connector", "export"]).await;
    assert!(exported.contains("platform: acme_hec") && exported.contains("shard: 4"), "{exported}");
    let file = directory.join("connectors.yaml");
    let described = format!(
        "connectors:\n  - name: Acme by file\n    platform: acme_hec\n    active: false\n    config:\n      url: {collector}\n      \
         token: {{file: token}}\n      shard: 8\n"
    );
    std::fs::write(&file, described).unwrap();
    let file = file.display().to_string();
    command(base, &["connector", "apply", "-f", &file]).await;
    let again = command(base, &["connector", "apply", "-f", &file, "--dry-run"]).await;
    let listed = client.read("/v1/siem/connectors").await;
    let made = listed["items"].as_array().unwrap().iter().find(|one| one["name"] == "Acme by file").unwrap().clone();
    assert_eq!((&made["config"]["shard"], &made["config"]["tier"]), (&json!(8), &json!("silver")), "{again}");
}
