//! Everything that commonly goes wrong when a SIEM is connected, tried for real: a test delivery over sockets to a strict fake (or to
//! something that is none), and the hint that a person reads. All of them stand in one snapshot, `snapshots/it__hints__hints.snap`, to be
//! read from top to bottom.

use std::any::Any;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretBox;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_base::clock::{Clock as _, ManualClock};
use toktra_siem_base::random::SeededRandom;
use toktra_siem_base::vault::Vault;
use toktra_siem_core::connector::{Connector, ManagedBy};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::filter::{Filter, FilterTimeline};
use toktra_siem_core::ids::{ConnectorId, OrgId, PlatformId, Revision, StreamKind};
use toktra_siem_core::signing::{SignedRequest, SigningKeys};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::link::{Link, SendLimits, Sender, Sent};
use toktra_siem_dispatch::links::StoredLinks;
use toktra_siem_dispatch::node::Node;
use toktra_siem_dispatch::test_delivery::{Listener, StreamReport, TestOrder, TestReport, run};
use toktra_siem_dispatch::{Context, Timing};
use toktra_siem_egress::{EgressPolicy, Resolver, StageName, Transport};
use toktra_siem_fake::elasticsearch::{
    self, Credentials, Elasticsearch, ElasticsearchOptions, Fault, Flavour, ItemFault, Items, Privileges,
};
use toktra_siem_fake::splunk::{self, Splunk, SplunkOptions};
use toktra_siem_fake::{Behaviour, Log, Receiver, ReceiverOptions, Reply as Answer, Rules, Tls};
use toktra_siem_platform::Registry;
use toktra_siem_store::{AuditEntry, Change, ConnectorRecord, Memory, OrgRecord, Store};
use toktra_siem_telemetry::Telemetry;
use uuid::Uuid;

use certificates::{Authority, expired, server};

pub(crate) mod certificates;
mod datadog_scenes;

/// 2025-01-15T10:30:00Z.
const NOW: Timestamp = Timestamp(1_736_937_000_000);
const ORG: OrgId = OrgId(Uuid::from_u128(1));
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
/// Long enough for anything that answers at all, however busy the machine is.
const AMPLE: Duration = Duration::from_mins(10);

/// `siem.test` is this machine; other names are unknown, or nobody answers for them.
struct Names;

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "siem.test" => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
            "unanswered.test" => Err(io::Error::other("Temporary failure in name resolution")),
            _ => Err(io::Error::other("Name or service not known")),
        }
    }
}

/// Answers for a host that no test can listen on.
struct Scripted(Reply);

#[async_trait]
impl Sender for Scripted {
    async fn send(&self, _request: SignedRequest, _limits: SendLimits) -> Sent {
        Ok(self.0.clone()).into()
    }
}

/// One thing that goes wrong, or right.
struct Scene {
    title: &'static str,
    platform: PlatformId,
    config: Value,
    answer: Option<Reply>,
    /// When its time is over, because nothing more happens: without it there is plenty.
    hangs: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// What has to live as long as the test.
    keep: Box<dyn Any + Send>,
}

impl Scene {
    fn new(title: &'static str, platform: PlatformId, config: Value, keep: impl Any + Send) -> Self {
        Self { title, platform, config, answer: None, hangs: None, keep: Box::new(keep) }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.config[name] = value.into();
        self
    }

    /// Its time is over once `fake` has answered, or not answered, so many requests.
    fn hanging<R: Rules>(self, fake: Arc<Receiver<R>>, requests: usize, answers: usize) -> Self
    where
        Receiver<R>: 'static,
    {
        let hangs = async move {
            let answered = |log: &Log| log.requests.iter().filter(|request| request.status.is_some()).count();
            fake.wait_until(|log| log.requests.len() >= requests && answered(log) >= answers).await;
        };
        Self { hangs: Some(Box::pin(hangs)), ..self }
    }
}

fn splunk_at(title: &'static str, url: &str, keep: impl Any + Send) -> Scene {
    Scene::new(title, PlatformId::fixed("splunk"), json!({ "hec_url": url, "hec_token": TOKEN }), keep)
}

fn elasticsearch_at(title: &'static str, url: &str, keep: impl Any + Send) -> Scene {
    Scene::new(title, PlatformId::fixed("elasticsearch"), json!({ "url": url, "api_key": "aWQ6a2V5" }), keep)
}

async fn splunk(title: &'static str, set_up: impl FnOnce(&mut SplunkOptions)) -> (Scene, Arc<Splunk>) {
    let mut options = SplunkOptions::new(TOKEN);
    set_up(&mut options);
    let fake = Arc::new(Splunk::start(options).await.unwrap());
    let url = fake.base_url().replace("127.0.0.1", "siem.test");
    (splunk_at(title, &url, fake.clone()), fake)
}

/// A Splunk that answers every event like this.
async fn splunk_saying(title: &'static str, behaviour: Behaviour<splunk::Fault>) -> Scene {
    let (scene, fake) = splunk(title, |_| {}).await;
    fake.always(splunk::Endpoint::Event, behaviour);
    scene
}

async fn splunk_with_tls(title: &'static str, tls: Tls, trusted: Option<&str>) -> Scene {
    let receiver = ReceiverOptions { tls: Some(tls), ..ReceiverOptions::default() };
    let (scene, _) = splunk(title, |options| options.receiver = receiver).await;
    match trusted {
        Some(ca) => scene.with("tls_ca", ca),
        None => scene,
    }
}

async fn elasticsearch(title: &'static str, privileges: Privileges) -> (Scene, Arc<Elasticsearch>) {
    let credentials = Credentials::ApiKey("aWQ6a2V5".into());
    let options = ElasticsearchOptions { credentials, privileges, ..ElasticsearchOptions::new(Flavour::Elasticsearch) };
    let fake = Arc::new(Elasticsearch::start(options).await.unwrap());
    (elasticsearch_at(title, &fake.base_url(), fake.clone()), fake)
}

async fn elasticsearch_saying(
    title: &'static str,
    endpoint: elasticsearch::Endpoint,
    behaviour: Behaviour<Fault>,
) -> Scene {
    let (scene, fake) = elasticsearch(title, Privileges::default()).await;
    fake.always(endpoint, behaviour);
    scene
}

/// An Elasticsearch whose one item ends like this.
async fn item(title: &'static str, status: u16, kind: &str, reason: &str) -> Scene {
    let fault = ItemFault { items: Items::At(vec![0]), status, kind: kind.into(), reason: reason.into() };
    elasticsearch_saying(title, elasticsearch::Endpoint::Bulk, Behaviour::fault(Fault::Items(vec![fault]))).await
}

/// A port that reads what comes first, says this, and closes once the other side has.
async fn raw(said: &'static [u8]) -> (u16, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(said).await;
            let _ = stream.shutdown().await;
            // Drained, so that no reset overtakes what was said.
            while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
        }
    });
    (port, AbortOnDropHandle::new(task))
}

async fn splunk_scenes() -> Vec<Scene> {
    let html = |status, title| Behaviour::reply(Answer::html(status, title));
    let splunkd = r#"<?xml version="1.0" encoding="UTF-8"?><response><messages><msg type="WARN">call not properly authenticated</msg></messages></response>"#;
    let mut scenes = vec![splunk("Splunk: it works", |_| {}).await.0];
    scenes
        .push(splunk("Splunk: wrong token", |_| {}).await.0.with("hec_token", "00000000-0000-0000-0000-000000000000"));
    let (disabled, fake) = splunk("Splunk: the token is disabled", |_| {}).await;
    fake.set_token_enabled(false);
    scenes.push(disabled);
    scenes.push(splunk("Splunk: wrong index", |options| options.indexes = vec!["main".into()]).await.0);
    scenes.push(splunk("Splunk: the token wants acknowledgement", |options| options.acks = true).await.0);
    scenes.push(splunk("Splunk: the token has no acknowledgement", |_| {}).await.0.with("indexer_ack", true));
    scenes.push(splunk("Splunk: acknowledged", |options| options.acks = true).await.0.with("indexer_ack", true));
    let (unconfirmed, fake) = splunk("Splunk: not indexed in time", |options| options.acks = true).await;
    fake.hold_acks(true);
    scenes.push(unconfirmed.with("indexer_ack", true).hanging(fake, 2, 2));
    let login = Answer::html(303, "See Other").with_header("location", "/en-US/account/login");
    scenes.push(splunk_saying("Splunk: the web port, which redirects", Behaviour::reply(login)).await);
    scenes.push(splunk_saying("Splunk: the web port, which shows a page", html(200, "Login")).await);
    let management = Answer::text(401, "text/xml; charset=UTF-8", splunkd);
    scenes.push(splunk_saying("Splunk: the management port", Behaviour::reply(management)).await);
    let (wrong_path, fake) = splunk("Splunk: wrong path", |_| {}).await;
    scenes.push(wrong_path.with("hec_url", format!("{}/hec", fake.base_url())));
    scenes.push(splunk_saying("Splunk: a proxy's login page", html(403, "Access denied")).await);
    scenes.push(splunk_saying("Splunk: a gateway without a Splunk", html(502, "Bad Gateway")).await);
    scenes.push(splunk_saying("Splunk: a proxy that wants a login", html(407, "Proxy Authentication Required")).await);
    let busy = splunk::reply(9);
    scenes.push(splunk_saying("Splunk: busy", Behaviour::reply(busy)).await);
    let (silent, fake) = splunk("Splunk: no answer", |_| {}).await;
    fake.always(splunk::Endpoint::Event, Behaviour::never());
    scenes.push(silent.hanging(fake, 1, 0));
    scenes.push(splunk_saying("Splunk: closed without an answer", Behaviour::close()).await);
    let nginx = html(400, "The plain HTTP request was sent to HTTPS port");
    scenes.push(splunk_saying("Splunk: http to a proxy that speaks https", nginx).await);
    scenes
}

async fn connection_scenes() -> Vec<Scene> {
    let (acme, other) = (Authority::new("Acme Root CA"), Authority::new("Other Root CA"));
    let mut scenes = Vec::new();
    // The alert that a TLS server sends where it is spoken to in plain text.
    let (port, keep) = raw(b"\x15\x03\x01\x00\x02\x02\x46").await;
    scenes.push(splunk_at("Connection: http to a port that speaks TLS", &format!("http://siem.test:{port}"), keep));
    let (port, keep) = raw(b"").await;
    scenes.push(elasticsearch_at(
        "Connection: http to Elasticsearch that speaks TLS",
        &format!("http://siem.test:{port}"),
        keep,
    ));
    let (port, keep) = raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    scenes.push(splunk_at("Connection: https to a port that speaks http", &format!("https://siem.test:{port}"), keep));
    let (port, keep) = raw(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    scenes.push(splunk_at("Connection: another service", &format!("http://siem.test:{port}"), keep));
    let trusted = Some(acme.pem());
    scenes.push(splunk_with_tls("Certificate: it works", server(&acme, "siem.test"), trusted.as_deref()).await);
    scenes.push(splunk_with_tls("Certificate: issued by a company's own CA", server(&acme, "siem.test"), None).await);
    let foreign =
        splunk_with_tls("Certificate: issued by another CA", server(&other, "siem.test"), trusted.as_deref()).await;
    scenes.push(foreign);
    scenes.push(splunk_with_tls("Certificate: self-signed", certificates::self_signed("siem.test"), None).await);
    scenes.push(splunk_with_tls("Certificate: expired", expired(&acme, "siem.test"), trusted.as_deref()).await);
    scenes.push(splunk_with_tls("Certificate: wrong host", server(&acme, "splunk.internal"), trusted.as_deref()).await);
    let (refused, fake) = splunk("Connection: refused", |_| {}).await;
    fake.down().await;
    scenes.push(refused);
    scenes.push(splunk_at("Connection: unknown host", "https://splnuk.test:8088", ()));
    scenes.push(splunk_at("Connection: the DNS server does not answer", "https://unanswered.test:8088", ()));
    scenes.push(splunk_at("Connection: Splunk's web port, nothing there", "https://splnuk.test:8000", ()));
    scenes.push(elasticsearch_at("Connection: Kibana's port, nothing there", "https://elsatic.test:5601", ()));
    let cloud = json!({ "cloud_id": "prod:Y2xvdWQudGVzdCRhYmMkZGVm", "api_key": "aWQ6a2V5" });
    scenes.push(Scene::new("Connection: a Cloud ID that leads nowhere", PlatformId::fixed("elasticsearch"), cloud, ()));
    scenes
}

async fn elasticsearch_scenes() -> Vec<Scene> {
    use elasticsearch::Endpoint::{Bulk, Root, Template};
    let all = Privileges::default();
    let index = "toktra-security-events-2025.01.15";
    let json = |status, body: Value| Behaviour::reply(Answer::json(status, &body));
    let mut scenes = vec![elasticsearch("Elasticsearch: it works", all).await.0];
    scenes.push(elasticsearch("Elasticsearch: wrong API key", all).await.0.with("api_key", "eDp5"));
    let reader = Privileges { create_doc: false, ..all };
    scenes.push(elasticsearch("Elasticsearch: no privilege to write", reader).await.0);
    let least = Privileges { monitor: false, manage_index_templates: false, create_doc: true, read: false };
    scenes.push(elasticsearch("Elasticsearch: no privilege for templates", least).await.0);
    let refusal = elasticsearch::error_reply(
        403,
        "security_exception",
        "action [indices:data/write/bulk] is unauthorized for API key id [abc] of user [elastic] on indices [toktra-security-events-*], \
         this action is granted by the index privileges [create_doc,create,index,write,all]",
    );
    scenes.push(elasticsearch_saying("Elasticsearch: bulk refused as a whole", Bulk, Behaviour::reply(refusal)).await);
    let kibana = json(404, json!({ "statusCode": 404, "error": "Not Found", "message": "Not Found" }));
    scenes.push(elasticsearch_saying("Elasticsearch: Kibana answers", Bulk, kibana).await);
    let (wrong_path, fake) = elasticsearch("Elasticsearch: wrong path", all).await;
    scenes.push(wrong_path.with("url", format!("{}/es", fake.base_url())));
    scenes.push(
        elasticsearch_saying("Elasticsearch: a web page", Bulk, Behaviour::reply(Answer::html(200, "Sign in"))).await,
    );
    scenes.push(item("Elasticsearch: the index is closed", 400, "index_closed_exception", "closed").await);
    let alias = format!(
        "no write index is defined for alias [{index}]. The write index may be explicitly disabled using is_write_index=false"
    );
    scenes.push(item("Elasticsearch: an alias without a write index", 400, "illegal_argument_exception", &alias).await);
    let missing = format!("no such index [{index}] and [action.auto_create_index] is [false]");
    scenes.push(item("Elasticsearch: the index is not created", 404, "index_not_found_exception", &missing).await);
    let blocked = format!("index [{index}] blocked by: [FORBIDDEN/8/index write (api)];");
    scenes.push(item("Elasticsearch: the index is blocked", 403, "cluster_block_exception", &blocked).await);
    let full = ItemFault::flood_stage(Items::At(vec![0]));
    let full = Behaviour::fault(Fault::Items(vec![full]));
    scenes.push(elasticsearch_saying("Elasticsearch: the disk is at its flood stage", Bulk, full).await);
    let pipeline = "pipeline with id [security] does not exist";
    scenes.push(item("Elasticsearch: a missing pipeline", 400, "illegal_argument_exception", pipeline).await);
    let mapping = "[1:300] failed to parse field [details] of type [long] in document";
    scenes.push(item("Elasticsearch: another mapping", 400, "document_parsing_exception", mapping).await);
    let stored = ItemFault { items: Items::At(vec![0]), status: 201, kind: String::new(), reason: String::new() };
    let stored = Behaviour::fault(Fault::Items(vec![stored]));
    scenes.push(elasticsearch_saying("Elasticsearch: the failure store", Bulk, stored).await);
    let starting = json(
        503,
        json!({ "error": { "type": "master_not_discovered_exception", "reason": "no master" }, "status": 503 }),
    );
    scenes.push(elasticsearch_saying("Elasticsearch: the cluster is starting", Root, starting).await);
    let priority = elasticsearch::error_reply(
        400,
        "illegal_argument_exception",
        "multiple templates with the same priority [500]",
    );
    scenes.push(
        elasticsearch_saying("Elasticsearch: another template in the way", Template, Behaviour::reply(priority)).await,
    );
    scenes
}

/// A store with the org, and everything that sends.
struct Bench {
    links: StoredLinks,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    random: Arc<SeededRandom>,
}

impl Bench {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let of_store = clock.clone();
        let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::new(move || of_store.now())));
        let org = OrgRecord { id: ORG, name: "Acme".into(), is_default: true, created_at: NOW };
        store.create_org(Change { value: org, audit: audit() }).await.unwrap();
        let random = Arc::new(SeededRandom::new(7));
        let links = StoredLinks {
            store: store.clone(),
            vault: Arc::new(Vault::new(&SecretBox::new(Box::new([7; 32])), &[], random.clone())),
            registry: Registry::standard(),
            transport: Arc::new(Transport::with_resolver(EgressPolicy::default(), Arc::new(Names))),
            signing: SigningKeys { current: Some("a-signing-secret".into()), next: None },
            default_org: ORG,
        };
        Self { links, store, clock, random }
    }

    fn record(&self, scene: &Scene) -> ConnectorRecord {
        let (settings, credentials) = self.links.registry.parse_new(scene.platform, &scene.config).unwrap();
        let connector = Connector {
            id: ConnectorId(Uuid::from_u128(2)),
            org: ORG,
            name: scene.title.into(),
            settings,
            filter: Filter::default(),
            active: false,
            activated: false,
            // So that loopback and http are allowed.
            managed_by: ManagedBy::Environment,
            revision: Revision(1),
            created_at: NOW,
            updated_at: NOW,
        };
        let seal = |(field, secret): (&str, &_)| self.links.vault.seal(ORG, connector.id, field, secret);
        let secrets = credentials.parts().map(seal).collect();
        ConnectorRecord { connector, secrets, rotation: None }
    }

    async fn test(&self, scene: &Scene) -> TestReport {
        let record = self.record(scene);
        let settings = &record.connector.settings;
        let enabled = |kind: &StreamKind| settings.sends(*kind);
        let links = settings.streams().iter().copied().filter(enabled).map(|kind| {
            let mut link: Link = self.links.assemble(record.clone(), FilterTimeline::default(), kind).unwrap();
            if let Some(answer) = &scene.answer {
                link.sender = Arc::new(Scripted(answer.clone()));
            }
            (kind, link)
        });
        let order = TestOrder {
            links: links.collect(),
            kept: false,
            sample: None,
            audit: audit(),
            listener: Listener::default(),
        };
        let links = StoredLinks {
            store: self.store.clone(),
            vault: self.links.vault.clone(),
            registry: Registry::standard(),
            transport: self.links.transport.clone(),
            signing: SigningKeys::default(),
            default_org: ORG,
        };
        let (store, clock, random) = (self.store.clone(), self.clock.clone(), self.random.clone());
        let node = Node::join(store, clock, random, "test".into()).await.unwrap();
        let telemetry = Arc::new(Telemetry::new(self.clock.clone(), &Registry::standard()));
        let (store, clock, random) = (self.store.clone(), self.clock.clone(), self.random.clone());
        let context = Context::new(store, node, clock, random, Arc::new(links), Registry::standard(), telemetry);
        let context = Context { timing: Timing { test: AMPLE, ..Timing::default() }, ..context };
        run(Arc::new(context), order).await.unwrap()
    }
}

fn audit() -> AuditEntry {
    let (actor, action, object) = ("test".into(), "connector.test".to_owned(), String::new());
    AuditEntry { at: NOW, actor, action, object, detail: json!({}) }
}

/// The ports of this run, and this program's ids, replaced by words.
fn steady(text: &str, scene: &Scene, report: &TestReport) -> String {
    let mut text = text.replace(&report.event_id.to_string(), "EVENT_ID");
    for shown in report.streams.iter().filter_map(|stream| stream.certificate.as_ref()) {
        text = text.replace(&shown.fingerprint, "FINGERPRINT");
    }
    for member in ["hec_url", "url"] {
        let url = scene.config[member].as_str().and_then(|url| url::Url::parse(url).ok());
        if let Some(port) = url.and_then(|url| url.port()).filter(|port| *port > 10_000) {
            text = text.replace(&format!(":{port}"), ":PORT");
        }
    }
    text
}

fn told(text: &mut String, scene: &Scene, report: &TestReport) {
    writeln!(text, "## {}", scene.title).unwrap();
    for stream in &report.streams {
        let StreamReport { http_status, cause, stages, hint, response, .. } = stream;
        let word = if stream.delivered { "delivered" } else { "not delivered" };
        let status = http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
        let code = cause.as_ref().map_or("", |cause| &cause.code);
        let passed: Vec<String> = stages
            .iter()
            .map(|stage| format!("{}{}", if stage.ok { "" } else { "✗ " }, format!("{:?}", stage.name).to_lowercase()))
            .collect();
        writeln!(text, "{}: {word} · {status} · {} · {code}", stream.stream, passed.join(", ")).unwrap();
        writeln!(text, "{}\n", steady(hint.as_deref().unwrap_or("(nothing to say)"), scene, report)).unwrap();
        assert!(!response.as_deref().unwrap_or_default().contains(TOKEN), "{response:?}");
        assert!(stream.delivered || hint.is_some(), "{}: a failure without a hint", scene.title);
        let http = stages.iter().any(|stage| stage.name == StageName::Http && stage.ok);
        assert_eq!(http, stages.iter().any(|stage| stage.name == StageName::Write), "{stages:?}");
        assert_eq!(stages.iter().all(|stage| stage.ok), stream.delivered || stages.is_empty(), "{stages:?}");
    }
}

/// Lets the time of a test pass, once nothing more happens in it.
async fn over(hangs: impl Future<Output = ()>) {
    hangs.await;
    tokio::time::pause();
    tokio::time::advance(AMPLE).await;
    tokio::time::resume();
}

#[tokio::test]
async fn hints() {
    let bench = Bench::new().await;
    let mut scenes = splunk_scenes().await;
    scenes.extend(connection_scenes().await);
    scenes.extend(datadog_scenes::all().await);
    scenes.extend(elasticsearch_scenes().await);
    let mut text = String::new();
    for scene in &mut scenes {
        let hangs = scene.hangs.take();
        let report = match hangs {
            None => bench.test(scene).await,
            Some(hangs) => tokio::join!(bench.test(scene), over(hangs)).0,
        };
        told(&mut text, scene, &report);
    }
    insta::assert_snapshot!("hints", text);
    drop(scenes.into_iter().map(|scene| scene.keep).collect::<Vec<_>>());
}
