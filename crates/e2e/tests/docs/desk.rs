//! The desk of whoever reads a page and does what it says: the built program and a few tools by their usual names, and strict fakes in the place of the SIEMs
//! that its examples name.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;
use toktra_siem_fake::ReceiverOptions;
use toktra_siem_fake::datadog::{Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{Credentials, Elasticsearch, ElasticsearchOptions, Flavour};
use toktra_siem_fake::slack::Slack;
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_fake::webhook::{Login, Webhook, WebhookOptions};
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

/// The credentials of the examples. The fakes take these and no others.
const HEC_TOKEN: &str = "your-hec-token";
const DATADOG_KEY: &str = "your-datadog-api-key";
const HOOK_TOKEN: &str = "your-token";
const ELASTICSEARCH_KEY: &str = "eW91ci1pZDp5b3VyLWFwaS1rZXk=";
/// The operator's key, where a page makes none itself.
pub(crate) const API_KEY: &str = "the-key-of-whoever-reads-the-documentation";

/// The fakes, the directories, and how the addresses of the examples lead to them.
pub(crate) struct Desk {
    pub(crate) siems: Siems,
    /// Where webhooks of the examples lead.
    pub(crate) hook: Webhook,
    /// A Slack that takes the messages.
    pub(crate) slack: Slack,
    /// Where the server of the page listens.
    pub(crate) address: String,
    /// Where a proxy of the page listens.
    proxy: String,
    directory: TempDir,
}

impl Desk {
    /// Everything that a page needs; `None` after saying what is missing.
    pub(crate) async fn new() -> Option<Self> {
        let tools = [
            ("curl", real::CURL.path()),
            ("jq", real::JQ.path()),
            ("openssl", real::OPENSSL.path()),
            ("python3", real::PYTHON.path()),
            ("node", real::NODE.path()),
        ];
        let mut found = Vec::new();
        for (name, path) in tools {
            found.push((name, path?));
        }
        let directory = tempfile::Builder::new().prefix("toktra-siem-docs-").tempdir().expect("a temporary directory");
        for name in ["bin", "home", "steps"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let credentials = Credentials::ApiKey(ELASTICSEARCH_KEY.to_owned());
        let elasticsearch = ElasticsearchOptions { credentials, ..ElasticsearchOptions::new(Flavour::Elasticsearch) };
        let siems = Siems {
            splunk: Splunk::start(SplunkOptions::new(HEC_TOKEN)).await.expect("a fake Splunk"),
            datadog: Datadog::start(DatadogOptions::new(DATADOG_KEY)).await.expect("a fake Datadog"),
            elasticsearch: Elasticsearch::start(elasticsearch).await.expect("a fake Elasticsearch"),
        };
        let login = Login::Bearer(HOOK_TOKEN.to_owned());
        let hook = WebhookOptions { path: "/security".to_owned(), login, ..WebhookOptions::default() };
        let hook = Webhook::start(hook).await.expect("a fake receiver");
        let slack = Slack::start(ReceiverOptions::default()).await.expect("a fake Slack");
        let desk = Self { siems, hook, slack, address: free_address(), proxy: free_address(), directory };
        desk.provide(&found);
        Some(desk)
    }

    /// What the page says, and what is run instead. This is the whole table: nothing else of a page is touched.
    fn substitutions(&self) -> [(&'static str, String); 9] {
        let datadog = self.siems.datadog.base_url();
        [
            ("127.0.0.1:8080", self.address.clone()),
            ("9088", self.proxy.rsplit(':').next().unwrap_or_default().to_owned()),
            ("https://splunk.company.com:8088", self.siems.splunk.base_url()),
            ("https://es.company.com:9200", self.siems.elasticsearch.base_url()),
            ("https://hooks.company.com", self.hook.base_url()),
            // A site stands for two hosts, and only `url` replaces both.
            (r#""site": "datadoghq.eu""#, format!(r#""url": "{datadog}""#)),
            ("SIEM_DATADOG_SITE=datadoghq.eu", format!("SIEM_DATADOG_URL={datadog}")),
            ("site: datadoghq.eu", format!("url: {datadog}")),
            ("https://hooks.slack.com/services/T000/B000/XXXX", self.slack.url()),
        ]
    }

    /// A block as it is run.
    pub(crate) fn played(&self, text: &str) -> String {
        self.substitutions().iter().fold(text.to_owned(), |text, (shown, real)| text.replace(shown, real))
    }

    /// What was written while running, as the page would show it.
    pub(crate) fn shown(&self, text: &str) -> String {
        let plain = self.substitutions();
        plain[..5].iter().fold(text.to_owned(), |text, (shown, real)| text.replace(real, shown))
    }

    /// Where the page is at home.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Where its blocks and their output are.
    pub(crate) fn steps(&self) -> PathBuf {
        self.directory.path().join("steps")
    }

    /// The process id of the `serve` or `demo` that was started last.
    pub(crate) fn pid(&self) -> String {
        fs::read_to_string(self.steps().join("pid")).unwrap_or_default().trim().to_owned()
    }

    /// The environment of the page's shell.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let bin = self.directory.path().join("bin");
        vec![
            ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display())),
            ("HOME", self.home().display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TOKTRA_SIEM_LISTEN", self.address.clone()),
            ("TOKTRA_SIEM_URL", format!("http://{}", self.address)),
            ("TOKTRA_SIEM_API_KEY", API_KEY.to_owned()),
            // The fakes are on loopback, and speak plain HTTP.
            ("TOKTRA_SIEM_EGRESS_ALLOW", "127.0.0.0/8".to_owned()),
        ]
    }

    /// The programs that pages name. Each is a script, so that a page's `cargo run` takes no compiler, a `curl` that is refused fails, and
    /// the process of a server is known.
    fn provide(&self, tools: &[(&str, PathBuf)]) {
        let built = program();
        let pid = self.steps().join("pid");
        let served =
            format!("case \"${{1-}}\" in serve|demo) echo $$ >'{}' ;; esac\nexec '{built}' \"$@\"", pid.display());
        self.script("toktra-siem", &served);
        self.script(
            "cargo",
            "[ \"$1\" = run ] || { echo \"the documentation's test knows no cargo $1\" >&2; exit 1; }\n\
             while [ \"$1\" != -- ]; do shift; done; shift; exec toktra-siem \"$@\"",
        );
        for (name, path) in tools {
            let more = if *name == "curl" { " --fail-with-body" } else { "" };
            self.script(name, &format!("exec '{}'{more} \"$@\"", path.display()));
        }
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.directory.path().join("bin").join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(path).expect("a new file");
        write!(file, "#!/bin/sh\n{text}\n").expect("it takes a few lines");
    }
}
