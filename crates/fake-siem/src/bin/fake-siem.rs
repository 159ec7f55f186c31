//! One fake receiver as a process of its own: the sink of the benchmark and of the kill harness.
//!
//! The first line on standard output is JSON with its address. Lines on standard input command it (`counts`,
//! `violations`, `held`, `down`, `up`, `status <code>`, `healthy`, `stop`); each is answered with one JSON line. SIGTERM and Ctrl-C end it as well.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use toktra_siem_fake::datadog::{self, Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{self, Credentials, Elasticsearch, ElasticsearchOptions, Flavour};
use toktra_siem_fake::splunk::{self, Dialect, Splunk, SplunkOptions};
use toktra_siem_fake::webhook::{self, Login, Shape, Webhook, WebhookOptions};
use toktra_siem_fake::{Behaviour, Receiver, ReceiverOptions, Recording, Reply, Rules, Tls};

/// A strict fake SIEM.
#[derive(Parser)]
struct Arguments {
    /// Whose API to speak.
    #[arg(long, value_enum)]
    platform: Platform,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The HEC token, Datadog API key, encoded Elasticsearch API key, or bearer token that is valid.
    #[arg(long)]
    token: String,
    /// Append each accepted event to this file, one a line.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Only count events, without parsing them: for benchmarks.
    #[arg(long, conflicts_with = "record")]
    counts: bool,
    /// Splunk indexes that the token may write to.
    #[arg(long, value_delimiter = ',', default_value = "toktra")]
    indexes: Vec<String>,
    /// Which receiver of HEC to be: splunk, logscale, cribl, edge_processor or otel.
    #[arg(long, default_value = "splunk", value_parser = dialect)]
    dialect: Dialect,
    /// What a request to the webhook holds: event, array or lines.
    #[arg(long, default_value = "event", value_parser = shape)]
    shape: Shape,
    /// Switch Splunk's indexer acknowledgement on.
    #[arg(long)]
    acks: bool,
    /// Serve HTTPS with this certificate chain (PEM file).
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of `--tls-cert` (PEM file).
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Platform {
    Splunk,
    Datadog,
    Elasticsearch,
    Serverless,
    Opensearch,
    Webhook,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let receiver = receiver_options(&arguments)?;
    let token = arguments.token.clone();
    match arguments.platform {
        Platform::Splunk => {
            let (indexes, acks) = (arguments.indexes.clone(), arguments.acks);
            let dialect = arguments.dialect;
            let options = SplunkOptions { indexes, acks, dialect, receiver, ..SplunkOptions::new(token) };
            run(Splunk::start(options).await?, &[splunk::Endpoint::Event]).await
        }
        Platform::Datadog => {
            let options = DatadogOptions { receiver, ..DatadogOptions::new(token) };
            run(Datadog::start(options).await?, &[datadog::Endpoint::Logs, datadog::Endpoint::Series]).await
        }
        Platform::Elasticsearch => elasticsearch(Flavour::Elasticsearch, token, receiver).await,
        Platform::Serverless => elasticsearch(Flavour::Serverless, token, receiver).await,
        Platform::Opensearch => elasticsearch(Flavour::OpenSearch, token, receiver).await,
        Platform::Webhook => {
            let (login, shape) = (Login::Bearer(token), arguments.shape);
            let options = WebhookOptions { login, shape, receiver, ..WebhookOptions::default() };
            run(Webhook::start(options).await?, &[webhook::Endpoint::Hook]).await
        }
    }
}

fn dialect(word: &str) -> Result<Dialect, String> {
    Dialect::ALL.into_iter().find(|dialect| dialect.word() == word).ok_or_else(|| "no such receiver".to_owned())
}

fn shape(word: &str) -> Result<Shape, String> {
    match word {
        "event" => Ok(Shape::Event),
        "array" => Ok(Shape::Array),
        "lines" => Ok(Shape::Lines),
        _ => Err("must be event, array or lines".to_owned()),
    }
}

async fn elasticsearch(flavour: Flavour, token: String, receiver: ReceiverOptions) -> anyhow::Result<()> {
    let credentials = Credentials::ApiKey(token);
    let options = ElasticsearchOptions { credentials, receiver, ..ElasticsearchOptions::new(flavour) };
    run(Elasticsearch::start(options).await?, &[elasticsearch::Endpoint::Bulk]).await
}

fn receiver_options(arguments: &Arguments) -> anyhow::Result<ReceiverOptions> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => Some(Tls { cert_pem: read(cert)?, key_pem: read(key)? }),
        _ => None,
    };
    let recording = if arguments.counts { Recording::Counts } else { Recording::Ids };
    Ok(ReceiverOptions { listen: arguments.listen, tls, recording, record_file: arguments.record.clone() })
}

/// Announces the address and obeys until it is told to stop.
async fn run<R: Rules>(receiver: Receiver<R>, endpoints: &[R::Endpoint]) -> anyhow::Result<()> {
    say(&json!({ "address": receiver.address().to_string(), "base_url": receiver.base_url() }))?;
    let mut commands = commands();
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = terminated.recv() => break,
            interrupted = tokio::signal::ctrl_c() => { interrupted?; break }
            Some(command) = commands.recv() => {
                if command == "stop" {
                    break;
                }
                say(&obey(&receiver, endpoints, &command).await?)?;
            }
        }
    }
    say(&serde_json::to_value(receiver.counts())?)?;
    receiver.stop().await;
    Ok(())
}

async fn obey<R: Rules>(receiver: &Receiver<R>, endpoints: &[R::Endpoint], command: &str) -> anyhow::Result<Value> {
    match command.split_whitespace().collect::<Vec<_>>()[..] {
        ["counts"] => return Ok(serde_json::to_value(receiver.counts())?),
        ["violations"] => {
            let rules: Vec<String> = receiver.violations().into_iter().map(|violation| violation.rule).collect();
            return Ok(json!({ "violations": rules }));
        }
        ["held"] => return Ok(json!({ "held": receiver.held() })),
        ["down"] => receiver.down().await,
        ["up"] => receiver.up()?,
        ["healthy"] => receiver.healthy(),
        ["status", code] => match code.parse::<u16>() {
            Ok(code @ 200..=599) => {
                for endpoint in endpoints {
                    receiver.always(*endpoint, Behaviour::reply(Reply::empty(code)));
                }
            }
            _ => return Ok(json!({ "error": "`status` takes an HTTP status from 200 to 599" })),
        },
        _ => return Ok(json!({ "error": "known: counts, violations, held, down, up, status <code>, healthy, stop" })),
    }
    Ok(json!({ "done": command }))
}

/// Standard input's lines. Its end only means that there are no more commands.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // A thread of its own, because reading standard input cannot be interrupted; it ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line.trim().to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn say(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
