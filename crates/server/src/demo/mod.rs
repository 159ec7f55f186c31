//! `toktra-siem demo`: the main job, live, in one process. The server and strict fake SIEMs start on loopback, realistic events are
//! posted through the API as Toktra's backend would post them, and every arrival is printed with its signature verified by the
//! receiver's own code. Nothing to install; everything is kept in a temporary directory that goes with the process.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toktra_siem_base::random::{Random as _, SystemRandom};
use toktra_siem_cli::client::Client;
use toktra_siem_config::{Config, Environment, Values};
use toktra_siem_fake::datadog::{Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{Elasticsearch, ElasticsearchOptions, Flavour};
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_identity::first_login::{OneTimeLink, Welcome};
use toktra_siem_identity::passwords;
use toktra_siem_page::tour::{Receiver, Tour};
use toktra_siem_wire::{Accepted, Connector};

use crate::service::Service;

mod samples;
mod watch;

use watch::{Posted, Watch};

/// Who is logged in. The domain is nobody's.
const ADMIN: &str = "demo@example.com";

/// How a demo goes.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Events a second.
    pub rate: f64,
    /// Ends after this many events have been posted and delivered everywhere.
    pub events: Option<usize>,
    /// Ends after this time.
    pub duration: Option<Duration>,
}

/// The connector that works and can be changed, and the one that somebody can repair. Both lead to the practice receiver.
const PRACTICE: &str = "Practice Splunk";
const BROKEN: &str = "Broken Splunk";

/// The fake SIEMs.
struct Siems {
    splunk: Arc<Splunk>,
    /// For connectors that people change and add. What arrives there is not told.
    practice: Arc<Splunk>,
    datadog: Arc<Datadog>,
    elasticsearch: Arc<Elasticsearch>,
}

/// Runs the demo until `asked` completes, or what the options say has happened, and shows it on `out`. Where that fails it ends, and the error
/// is the [`std::io::Error`] of the output.
pub async fn run(
    options: DemoOptions,
    asked: impl Future<Output = ()> + Send,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let random = SystemRandom;
    let (key, secret, token) = (random.secret(), random.secret(), random.secret());
    let directory = tempfile::Builder::new().prefix("toktra-siem-demo-").tempdir()?;
    let siems = Siems::start(&token).await.context("the fake SIEMs could not start")?;
    let password = passwords::made_up(&random);
    let (welcome, link) = OneTimeLink::new(&random);
    let config = config(&options, directory.path(), &siems, [&key, &secret, &token, &password])?;
    let entrance = Welcome { link, email: ADMIN.to_owned(), password: password.clone() };
    let service = Service::start_with(config, Some((entrance, siems.tour(&token)))).await?;
    let base = format!("http://{}", service.address());
    let link = format!("{}/welcome/{}", service.page(), welcome.expose_secret());
    let introduced = write(out, &(introduction(&link, &password) + &api(&base, [&key, &token], &siems)));

    let posted = Posted::default();
    let stop = CancellationToken::new();
    let (lines, mut arrivals) = mpsc::unbounded_channel();
    let watches = siems.watch(&secret, &posted, &lines);
    let client = Client::new(&base, key.clone())?;
    let shown = {
        let story = async {
            siems.furnish(&client, &token).await?;
            tell(&options, &client, &siems, &posted).await
        };
        let (stop, service) = (stop.clone(), service.run_until(stop.clone().cancelled_owned()));
        let shown = show(introduced, &mut arrivals, out);
        let guide = async {
            let told = tokio::select! {
                told = story => told,
                () = asked => Ok(()),
                failed = shown => failed,
            };
            stop.cancel();
            told
        };
        let (told, ended) = tokio::join!(guide, service);
        ended?;
        told
    };
    for watch in watches {
        watch.abort();
    }
    let rest: String = std::iter::from_fn(|| arrivals.try_recv().ok()).collect();
    let summary = summary(&siems, posted.lock().len());
    siems.stop().await;
    shown?;
    Ok(write(out, &(rest + &summary))?)
}

/// Shows what arrives, after what was `introduced`. Ends where it cannot.
async fn show(
    introduced: std::io::Result<()>,
    arrivals: &mut mpsc::UnboundedReceiver<String>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    introduced?;
    while let Some(line) = arrivals.recv().await {
        write(out, &line)?;
    }
    Ok(())
}

fn write(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Posts events, one after another, at the asked rate.
async fn tell(options: &DemoOptions, client: &Client, siems: &Siems, posted: &Posted) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut ticker = tokio::time::interval(Duration::from_secs_f64(1.0 / options.rate.clamp(0.01, 1_000.0)));
    let mut n = 0;
    loop {
        if options.duration.is_some_and(|limit| started.elapsed() >= limit) {
            return Ok(());
        }
        if options.events.is_some_and(|limit| n >= limit) {
            siems.received(n).await;
            return Ok(());
        }
        ticker.tick().await;
        let mut event = samples::sample(n, &SystemRandom);
        let id = SystemRandom
            .uuid_v7(toktra_siem_base::clock::Clock::now(&toktra_siem_base::clock::SystemClock))
            .to_string();
        event["event_id"] = serde_json::json!(id);
        posted.lock().insert(id, Instant::now());
        client.post::<Accepted>("/v1/events", &event).await.context("an event could not be posted")?;
        n += 1;
    }
}

impl Siems {
    async fn start(token: &SecretString) -> std::io::Result<Self> {
        let token = token.expose_secret();
        Ok(Self {
            splunk: Arc::new(Splunk::start(SplunkOptions::new(token)).await?),
            practice: Arc::new(Splunk::start(SplunkOptions::new(token)).await?),
            datadog: Arc::new(Datadog::start(DatadogOptions::new(token)).await?),
            elasticsearch: Arc::new(Elasticsearch::start(ElasticsearchOptions::new(Flavour::Elasticsearch)).await?),
        })
    }

    /// What the page shows for those who want to try it.
    fn tour(&self, token: &SecretString) -> Tour {
        let receiver = |name: &str, url: String| Receiver {
            name: name.to_owned(),
            url,
            credential: token.expose_secret().to_owned(),
        };
        let receivers = vec![
            receiver("Practice (Splunk HEC)", self.practice.base_url()),
            receiver("Splunk", self.splunk.base_url()),
            receiver("Datadog", self.datadog.base_url()),
            Receiver {
                credential: "None needed".to_owned(),
                ..receiver("Elasticsearch", self.elasticsearch.base_url())
            },
        ];
        Tour { receivers, practice: PRACTICE.to_owned(), broken: BROKEN.to_owned() }
    }

    /// Makes the connectors that people can change: one that works, and one whose token is wrong.
    async fn furnish(&self, client: &Client, token: &SecretString) -> anyhow::Result<()> {
        for (name, token) in [(PRACTICE, token.expose_secret()), (BROKEN, "00000000-0000-0000-0000-000000000000")] {
            let config = json!({ "hec_url": self.practice.base_url(), "hec_token": token });
            let body = json!({ "name": name, "platform": "splunk", "config": config, "active": true });
            let made = client.post::<Connector>("/v1/siem/connectors", &body).await;
            made.with_context(|| format!("the connector {name} could not be added"))?;
        }
        Ok(())
    }

    fn watch(
        &self,
        secret: &SecretString,
        posted: &Posted,
        lines: &mpsc::UnboundedSender<String>,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let secret = secret.expose_secret();
        let watch = |name| Watch { name, secret: secret.to_owned(), posted: posted.clone(), lines: lines.clone() };
        vec![
            tokio::spawn(watch("Splunk").follow(self.splunk.clone())),
            tokio::spawn(watch("Datadog").follow(self.datadog.clone())),
            tokio::spawn(watch("Datadog").follow_points(self.datadog.clone())),
            tokio::spawn(watch("Elasticsearch").follow(self.elasticsearch.clone())),
        ]
    }

    /// Waits until each of them has `events` (Datadog's metrics come on their own, every ten seconds).
    async fn received(&self, events: usize) {
        self.splunk.wait_until(|log| log.events.len() >= events).await;
        self.elasticsearch.wait_until(|log| log.events.len() >= events).await;
        self.datadog.wait_until(|log| log.events.len() >= events).await;
    }

    async fn stop(self) {
        self.splunk.down().await;
        self.practice.down().await;
        self.datadog.down().await;
        self.elasticsearch.down().await;
    }
}

/// The server's configuration: what an operator would put into the environment.
fn config(
    options: &DemoOptions,
    directory: &Path,
    siems: &Siems,
    [key, secret, token, password]: [&SecretString; 4],
) -> anyhow::Result<Config> {
    let variables: HashMap<&str, String> = HashMap::from([
        ("TOKTRA_SIEM_LISTEN", options.listen.to_string()),
        ("TOKTRA_SIEM_DATA_DIR", directory.join("data").display().to_string()),
        ("TOKTRA_SIEM_API_KEY", key.expose_secret().to_owned()),
        ("TOKTRA_SIEM_ADMIN_EMAIL", ADMIN.to_owned()),
        ("TOKTRA_SIEM_ADMIN_PASSWORD", password.expose_secret().to_owned()),
        // Whoever tries it connects to the fakes of this process.
        ("TOKTRA_SIEM_EGRESS_ALLOW", "127.0.0.0/8".to_owned()),
        ("SIEM_SIGNING_SECRET", secret.expose_secret().to_owned()),
        ("SIEM_SPLUNK_HEC_URL", siems.splunk.base_url()),
        ("SIEM_SPLUNK_HEC_TOKEN", token.expose_secret().to_owned()),
        ("SIEM_DATADOG_URL", siems.datadog.base_url()),
        ("SIEM_DATADOG_API_KEY", token.expose_secret().to_owned()),
        ("SIEM_ELASTICSEARCH_URL", siems.elasticsearch.base_url()),
    ]);
    Ok(Config::from_values(Values::default().read_environment(&Environment::of(variables)))?)
}

/// The page first: it is what there is to see.
fn introduction(link: &str, password: &SecretString) -> String {
    format!(
        "\
Toktra SIEM demo: the server and fake SIEMs in this process. Nothing leaves this machine, nothing is left behind.

Open this link; it logs you in, once:

  {link}

In another browser, log in as {ADMIN} with the password {}

",
        password.expose_secret()
    )
}

fn api(base: &str, [key, token]: [&SecretString; 2], siems: &Siems) -> String {
    let (key, token) = (key.expose_secret(), token.expose_secret());
    format!(
        "  API             {base}
  API key         {key}
  Splunk          {}   (fake HEC, index toktra)
  Datadog         {}   (fake intake, logs and metrics)
  Elasticsearch   {}   (fake node)
  Practice        {}   (fake HEC for connectors that you add)
  HEC token       {token}   (also the API key of the fake Datadog)

Post an event of your own from another terminal, and watch it arrive below:

  curl -s {base}/v1/events -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{\"event_type\":\"lockout\",\"severity\":\"critical\",\"summary\":\"My first event\"}}'

See how the connectors stand, and what was delivered:

  curl -s {base}/v1/siem/connectors -H 'Authorization: Bearer {key}'
  curl -s {base}/v1/siem/deliveries -H 'Authorization: Bearer {key}'

Ctrl-C ends it. What arrives, with the time since it was posted:

",
        siems.splunk.base_url(),
        siems.datadog.base_url(),
        siems.elasticsearch.base_url(),
        siems.practice.base_url(),
    )
}

fn summary(siems: &Siems, posted: usize) -> String {
    let points = siems.datadog.points().iter().fold(0.0, |sum, point| sum + point.value);
    let violations =
        siems.splunk.violations().len() + siems.datadog.violations().len() + siems.elasticsearch.violations().len();
    format!(
        "\n{posted} events posted. Splunk holds {}, Datadog {} log entries and metric points for {points} events, Elasticsearch {} \
         documents. Breaches of a platform's rules: {violations}.\n",
        siems.splunk.read(|log| log.events.len()),
        siems.datadog.read(|log| log.events.len()),
        siems.elasticsearch.documents().values().map(std::collections::BTreeMap::len).sum::<usize>(),
    )
}
