//! `connector add`: a connector by options, one set for each platform.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::{FilterOptions, said_of, trial};
use crate::client::OrgOptions;
use crate::output::{Output, cell};
use crate::{CliError, World, secret};

/// Exit codes of these commands.
const EXIT_CODES: &str = "Exit codes: 0 made; 1 it failed, the server refused, or with --test the test event was not delivered; 2 wrong \
                          usage. Where it is not 0, no connector was made.";

/// For which platform.
#[derive(Debug, Subcommand)]
pub enum AddCommand {
    /// Make a connector to Splunk's HTTP Event Collector
    ///
    /// In Splunk: Settings → Data inputs → HTTP Event Collector → New Token; allow it the index alone.
    ///
    /// Example: toktra-siem connector add splunk --hec-url https://splunk.company.com:8088 --hec-token-file token --test --active
    #[command(after_help = EXIT_CODES)]
    Splunk(SplunkOptions),
    /// Make a connector to Datadog's logs and metrics
    ///
    /// In Datadog: Organization Settings → API Keys; the site is in the address bar.
    ///
    /// Example: toktra-siem connector add datadog --site datadoghq.eu --key-file key --test --active
    #[command(after_help = EXIT_CODES)]
    Datadog(DatadogOptions),
    /// Make a connector to Elasticsearch or OpenSearch
    ///
    /// Least privilege: create_doc and auto_configure on the indices, manage_index_templates unless --no-template.
    ///
    /// Example: toktra-siem connector add elasticsearch --endpoint https://es.company.com:9200 --key-file key --test --active
    #[command(after_help = EXIT_CODES)]
    Elasticsearch(ElasticsearchOptions),
}

/// What all platforms have.
#[derive(Debug, Args)]
pub(super) struct CommonOptions {
    /// Its name, unique within the org [default: the platform's]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    filter: FilterOptions,
    /// Whether request bodies are compressed [default: none]
    #[arg(long, value_parser = ["none", "gzip"])]
    compression: Option<String>,
    /// A certificate authority (PEM) that is trusted instead of the public ones
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Requests of a stream under way at a time [default: 16]
    #[arg(long, value_name = "COUNT")]
    max_in_flight: Option<u16>,
    /// The signing secret, in a file or on standard input (-) [default: one is made, and shown once]
    #[arg(long, value_name = "FILE")]
    signing_secret_file: Option<PathBuf>,
    /// Switch it on at once
    #[arg(long)]
    active: bool,
    /// Deliver a test event first, and make the connector only if that arrives
    #[arg(long)]
    test: bool,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// A connector to Splunk.
#[derive(Debug, Args)]
pub struct SplunkOptions {
    /// Base URL of Splunk's HTTP Event Collector, with its port
    #[arg(long, value_name = "URL")]
    hec_url: String,
    /// The HEC token, in a file or on standard input (-) [default: SIEM_SPLUNK_HEC_TOKEN]
    #[arg(long, value_name = "FILE")]
    hec_token_file: Option<PathBuf>,
    /// The index to write to [default: toktra]
    #[arg(long)]
    index: Option<String>,
    /// The sourcetype of every event [default: toktra:security]
    #[arg(long)]
    sourcetype: Option<String>,
    /// Count an event as delivered only when Splunk has indexed it; the token needs the same switch
    #[arg(long)]
    indexer_ack: bool,
    #[command(flatten)]
    common: CommonOptions,
}

/// A connector to Datadog.
#[derive(Debug, Args)]
pub struct DatadogOptions {
    /// The site, as in the address bar [default: datadoghq.com]
    #[arg(long)]
    site: Option<String>,
    /// A base URL that replaces both Datadog hosts: proxies, tests
    #[arg(long, value_name = "URL")]
    intake: Option<String>,
    /// The API key, in a file or on standard input (-) [default: SIEM_DATADOG_API_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The `service` of every log entry [default: toktra]
    #[arg(long)]
    service: Option<String>,
    /// Send no counts as metrics
    #[arg(long)]
    no_metrics: bool,
    /// The metric is `<prefix>.events` [default: toktra.security]
    #[arg(long, value_name = "PREFIX")]
    metric_prefix: Option<String>,
    #[command(flatten)]
    common: CommonOptions,
}

/// A connector to Elasticsearch or OpenSearch.
#[derive(Debug, Args)]
pub struct ElasticsearchOptions {
    /// Base URL of the cluster
    #[arg(long, value_name = "URL", required_unless_present = "cloud_id", conflicts_with = "cloud_id")]
    endpoint: Option<String>,
    /// The Cloud id of an Elastic Cloud deployment
    #[arg(long, value_name = "ID")]
    cloud_id: Option<String>,
    /// An API key, encoded or as id:key, in a file or on standard input (-) [default: SIEM_ELASTICSEARCH_API_KEY]
    #[arg(long, value_name = "FILE", conflicts_with = "username")]
    key_file: Option<PathBuf>,
    /// A user name, where there is no API key
    #[arg(long)]
    username: Option<String>,
    /// That user's password, in a file or on standard input (-) [default: SIEM_ELASTICSEARCH_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Daily indices are `<prefix>-YYYY.MM.DD` [default: toktra-security-events]
    #[arg(long, value_name = "PREFIX")]
    index_prefix: Option<String>,
    /// Do not put the index template in place
    #[arg(long)]
    no_template: bool,
    #[command(flatten)]
    common: CommonOptions,
}

pub(super) async fn run(command: AddCommand, world: &mut World<'_>) -> Result<(), CliError> {
    let mut config = Config::default();
    let (platform, name, common) = match command {
        AddCommand::Splunk(options) => {
            config.text("hec_url", Some(options.hec_url));
            let token = secret::given(options.hec_token_file.as_deref(), "SIEM_SPLUNK_HEC_TOKEN", world)?;
            config.secret(
                "hec_token",
                Some(token.ok_or_else(|| missing("HEC token", "--hec-token-file", "SIEM_SPLUNK_HEC_TOKEN"))?),
            );
            config.text("index", options.index);
            config.text("sourcetype", options.sourcetype);
            config.flag("indexer_ack", options.indexer_ack, true);
            ("splunk", "Splunk", options.common)
        }
        AddCommand::Datadog(options) => {
            config.text("site", options.site);
            config.text("url", options.intake);
            let key = secret::given(options.key_file.as_deref(), "SIEM_DATADOG_API_KEY", world)?;
            config.secret(
                "api_key",
                Some(key.ok_or_else(|| missing("Datadog API key", "--key-file", "SIEM_DATADOG_API_KEY"))?),
            );
            config.text("service", options.service);
            config.flag("send_metrics", options.no_metrics, false);
            config.text("metric_prefix", options.metric_prefix);
            ("datadog", "Datadog", options.common)
        }
        AddCommand::Elasticsearch(options) => {
            config.text("url", options.endpoint);
            config.text("cloud_id", options.cloud_id);
            if options.username.is_some() {
                let password = secret::given(options.password_file.as_deref(), "SIEM_ELASTICSEARCH_PASSWORD", world)?;
                config.secret("password", password);
            } else {
                // None at all is right for a cluster without security.
                config.secret(
                    "api_key",
                    secret::given(options.key_file.as_deref(), "SIEM_ELASTICSEARCH_API_KEY", world)?,
                );
            }
            config.text("username", options.username);
            config.text("index_prefix", options.index_prefix);
            config.flag("manage_template", options.no_template, false);
            ("elasticsearch", "Elasticsearch", options.common)
        }
    };
    let body = body(platform, name, config, &common, world)?;
    save(body, &common, world).await
}

fn missing(what: &str, option: &str, variable: &str) -> CliError {
    CliError::Usage(format!(
        "A {what} is needed: {option} FILE (\"-\" reads it from standard input), or the variable {variable}."
    ))
}

/// The members of `config` that were given.
#[derive(Default)]
struct Config(Map<String, Value>);

impl Config {
    fn text(&mut self, name: &str, text: Option<String>) {
        self.0.extend(text.map(|text| (name.to_owned(), Value::from(text))));
    }

    fn secret(&mut self, name: &str, secret: Option<SecretString>) {
        self.text(name, secret.map(|secret| secret.expose_secret().to_owned()));
    }

    /// `value` where the switch was given.
    fn flag(&mut self, name: &str, given: bool, value: bool) {
        if given {
            self.0.insert(name.to_owned(), value.into());
        }
    }
}

fn body(
    platform: &str,
    name: &str,
    mut config: Config,
    common: &CommonOptions,
    world: &mut World<'_>,
) -> Result<Value, CliError> {
    config.text("compression", common.compression.clone());
    config.0.extend(common.max_in_flight.map(|count| ("max_in_flight".to_owned(), Value::from(count))));
    if let Some(path) = &common.tls_ca {
        let read = std::fs::read_to_string(path);
        let pem = read.map_err(|error| CliError::Usage(format!("{} cannot be read: {error}.", path.display())))?;
        config.text("tls_ca", Some(pem));
    }
    let mut body = json!({
        "name": common.name.as_deref().unwrap_or(name),
        "platform": platform,
        "config": config.0,
        "active": common.active,
    });
    if let Some(filter) = common.filter.given() {
        body["filter"] = filter;
    }
    if let Some(file) = &common.signing_secret_file {
        body["signing_secret"] = secret::read(file, world)?.expose_secret().into();
    }
    Ok(body)
}

async fn save(body: Value, common: &CommonOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = common.server.client(world)?;
    if common.test {
        let tested = client.post("/v1/siem/connectors/test", &body).await?;
        if tested["delivered"] != true {
            return trial::show(&tested, common.output, world);
        }
    }
    let made = client.post("/v1/siem/connectors", &body).await?;
    let id = cell(&made, "id");
    let undo = async || client.delete(&format!("/v1/siem/connectors/{id}"), None).await.map(drop);
    let said = |out: &mut dyn Write| {
        writeln!(out, "Made: {}, id {id}.", said_of(&made))?;
        if common.test {
            writeln!(out, "The test event arrived.")?;
        }
        if let Some(secret) = made["signing_secret"]["value"].as_str() {
            writeln!(out, "\nIts signing secret, shown only now:\n\n    {secret}\n")?;
        }
        if made["active"] != true {
            let name = cell(&made, "name");
            writeln!(out, "It is off. Switch it on with: toktra-siem connector enable \"{name}\"")?;
        }
        Ok(())
    };
    common.output.made(world, &format!("the connector {id}"), &made, said, undo).await
}
