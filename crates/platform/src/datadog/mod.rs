//! Datadog: Logs v2 and Metrics v2.

use serde_json::{Map, Value};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::ids::{EventId, PlatformId, StreamKind};
use url::Url;

use crate::descriptor::{Checked, Descriptor, Field, FormChoice, Step};
use crate::destination::Destination;
use crate::facts::{self, Fact};
use crate::paste::{Pasted, Understood};
use crate::prerequisite::{Prerequisite, text};
use crate::registry::{BuildError, Plan, Platform};
use crate::reproduce::quoted;
use crate::search::Span;
use crate::{advice, endpoint};

mod intake;
mod logs;
mod metrics;
mod pasted;
mod search;

/// Datadog's sites with the region that each is for (Datadog's documentation, "Getting Started with Datadog Sites").
const SITES: &[(&str, &str)] = &[
    ("datadoghq.com", "US1 · datadoghq.com"),
    ("us3.datadoghq.com", "US3 · us3.datadoghq.com"),
    ("us5.datadoghq.com", "US5 · us5.datadoghq.com"),
    ("datadoghq.eu", "EU1 (Germany) · datadoghq.eu"),
    ("ap1.datadoghq.com", "AP1 (Japan) · ap1.datadoghq.com"),
    ("ap2.datadoghq.com", "AP2 (Australia) · ap2.datadoghq.com"),
    ("uk1.datadoghq.com", "UK1 · uk1.datadoghq.com"),
    ("ddog-gov.com", "US1-FED (Government) · ddog-gov.com"),
    ("us2.ddog-gov.com", "US2-FED (Government) · us2.ddog-gov.com"),
];
/// The choice in the form that is none of them.
const OTHER: &str = "other";

/// The platform.
pub struct Datadog(Descriptor);

impl Datadog {
    /// Its id.
    pub const ID: PlatformId = PlatformId::fixed("datadog");

    /// The platform.
    #[expect(clippy::new_without_default, reason = "there is nothing to choose")]
    pub fn new() -> Self {
        let descriptor = Descriptor::new(Self::ID, "Datadog");
        Self(Descriptor {
            leads_to: "Datadog's logs and metrics",
            icon: r#"<path class="mark" d="M2.5 9.5h2.25v4H2.5zm4.4-4h2.25v8H6.9zm4.35-3h2.25v11h-2.25z"/>"#,
            fields: fields(),
            choices: vec![FormChoice {
                name: "site",
                label: "Site",
                step: Step::Where,
                words: &[(OTHER, "Another: a proxy, or a URL of its own")],
            }],
            streams: &[StreamKind::Logs, StreamKind::Metrics],
            needs: &["your site, such as datadoghq.eu", "an API key (no application key)"],
            preparation: "In Datadog: Organization Settings → API Keys; the site is in the address bar.",
            example: "--site datadoghq.eu --key-file key",
            signs: pasted::SIGNS,
            search_place: "In Datadog: Logs → Search",
            opens: "Datadog",
            metrics_once: "Datadog takes points up to one hour old, and until then the service sends them again by itself",
            ..descriptor
        })
    }
}

fn fields() -> Vec<Field> {
    let own = vec![
        Field::choice("site", "Site", SITES)
            .read(site)
            .default("datadoghq.com")
            .target()
            .step(Step::Where)
            .help("The Datadog site, such as `datadoghq.eu`.")
            .hint("It stands in your browser's address bar in Datadog, behind “app.”: app.datadoghq.eu is the site datadoghq.eu."),
        Field::url("url", "URL")
            .read(base)
            .when("site", OTHER)
            .option("intake")
            .help("A base URL that replaces both Datadog hosts, for proxies and tests.")
            .hint("Takes the place of both of Datadog's hosts, for logs and for metrics: a proxy of yours, say."),
        Field::secret("api_key", "API key").read_secret(pasted::key)
            .required()
            .option("key-file")
            .help("The API key, from Organization Settings → API Keys.")
            .hint("In Datadog: Organization Settings → API Keys → New Key → copy the key, not its id. An application key is not needed."),
        Field::text("service", "Service")
            .default("toktra")
            .help("The `service` of every log entry.")
            .hint("The “service” of every log entry."),
        Field::flag("send_metrics", "Send metrics beside the logs", true)
            .option("no-metrics")
            .help("Whether counts by event type and severity are sent as metrics.")
            .hint("A count of events, tagged by type and severity, for monitors and dashboards. It has a health of its own."),
        Field::text("metric_prefix", "Metric prefix")
            .read(metric_prefix)
            .limits(193, Some(r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$"))
            .default("toktra.security")
            .help("The metric is `<prefix>.events`.")
            .hint("The metric is called <prefix>.events."),
    ];
    own.into_iter().chain(search::fields()).collect()
}

/// Reads a Datadog site. The address of any of its pages or intakes is understood as well, also of an org that has a host of its own
/// (`acme.datadoghq.com`).
fn site(text: &str) -> Checked {
    if let Some(site) = site_of(text) {
        return Ok(site.to_owned());
    }
    let sites = SITES.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
    Err(format!("is not a Datadog site; it is one of {sites}. For a proxy, give `url` instead"))
}

/// The site that a host, or the host of an address, belongs to.
fn site_of(text: &str) -> Option<&'static str> {
    let lower = text.trim().to_ascii_lowercase();
    let host = match lower.split_once("://") {
        Some(("http" | "https", _)) => Url::parse(&lower).ok()?.host_str()?.to_owned(),
        Some(_) => return None,
        None => lower.split(['/', ':', '?', '#']).next().unwrap_or_default().to_owned(),
    };
    let host = host.trim_end_matches('.');
    let belongs = |site: &str| host.strip_suffix(site).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    // The longest: `us5.datadoghq.com` is no host of `datadoghq.com`.
    SITES.iter().map(|(known, _)| *known).filter(|known| belongs(known)).max_by_key(|known| known.len())
}

/// A base URL that replaces both of Datadog's hosts. The path of an intake is cut off, because it is appended to every request; Datadog's own
/// hosts are named by their site.
fn base(text: &str) -> Checked {
    let mut url = endpoint::parse(text)?;
    if let Some(site) = site_of(url.as_str()) {
        return Err(format!(
            "is an address of Datadog's own; give `site` {site} instead, from which both hosts follow"
        ));
    }
    let path = url.path().to_owned();
    if let Some(above) = INTAKES.iter().find_map(|intake| path.strip_suffix(intake)) {
        url.set_path(above);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The paths of Datadog's intakes.
const INTAKES: [&str; 4] = ["/api/v2/logs", "/api/v2/series", "/v1/input", "/api/v1/series"];

/// Datadog's longest metric name (Datadog's documentation, "Custom Metrics", naming).
const MAX_METRIC_NAME: usize = 200;
/// What is appended to the metric prefix.
const METRIC_SUFFIX: &str = ".events";

/// The start of metric names: with [`METRIC_SUFFIX`] it must be a name that Datadog accepts.
fn metric_prefix(text: &str) -> Checked {
    let parts =
        text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let letter = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if parts && letter && text.len() + METRIC_SUFFIX.len() <= MAX_METRIC_NAME {
        return Ok(text.to_owned());
    }
    Err("must begin with a letter and hold only letters, digits and `_` in parts joined by single dots, at most 193 in all".to_owned())
}

impl Platform for Datadog {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn targets(&self, config: &Map<String, Value>, _credentials: &Credentials) -> Vec<String> {
        let text = |name| config.get(name).and_then(Value::as_str);
        match (text("url"), text("site")) {
            (Some(url), _) => vec![url.to_owned()],
            (None, site) => {
                ["http-intake.logs", "api"].map(|host| format!("https://{host}.{}", site.unwrap_or_default())).into()
            }
        }
    }

    fn place(&self, config: &Map<String, Value>) -> String {
        let text = |name| config.get(name).and_then(Value::as_str);
        text("url").map_or_else(|| text("site").unwrap_or_default().to_owned(), facts::host)
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        let (config, key) = (plan.config()?, plan.secret("api_key")?.clone());
        let Plan { settings, org, connector, kind, redactor, .. } = plan;
        let intake = intake::Intake::new(&config, &key, kind, settings.compression, redactor);
        Ok(match kind {
            StreamKind::Metrics => Box::new(metrics::Metrics::new(&config, intake, org, connector)),
            StreamKind::Logs | StreamKind::Events => {
                let search = search::Search::new(&config, &key, plan.credentials.get(search::KEY));
                Box::new(logs::Logs::new(&config, intake, search))
            }
        })
    }

    fn search(&self, settings: &Settings, event: EventId) -> String {
        match settings.text("service") {
            Some(service) if service != "toktra" => {
                format!("source:toktra service:{} @event_id:{event}", advice::bare_or_quoted(service))
            }
            _ => format!("source:toktra @event_id:{event}"),
        }
    }

    fn open_url(&self, settings: &Settings, events: &[EventId], span: Span) -> Option<String> {
        let web = match (settings.text("web_url"), settings.text("url")) {
            (Some(web), _) => web.to_owned(),
            // Behind a proxy nobody knows the site.
            (None, Some(_)) => return None,
            (None, None) => search::pages(settings.text("site")?),
        };
        Some(search::open_url(&web, events, span))
    }

    fn prerequisites(&self, config: &Map<String, Value>) -> Vec<Prerequisite> {
        let site = match text(config, "site") {
            "" => "<site>",
            site => site,
        };
        vec![
            Prerequisite::new(
                "Make an API key",
                "In Datadog: Organization Settings → API Keys → New Key, named toktra-siem. No application key is needed to send. Or by the \
                 API, with a key and an application key of an administrator:",
            )
            .with(format!(
                "curl -X POST {} \\\n  -H \"DD-API-KEY: $DD_API_KEY\" -H \"DD-APPLICATION-KEY: $DD_APP_KEY\" -H 'Content-Type: application/json' \
                 \\\n  -d '{{\"data\":{{\"type\":\"api_keys\",\"attributes\":{{\"name\":\"toktra-siem\"}}}}}}'",
                quoted(&format!("https://api.{site}/api/v2/api_keys"))
            )),
            Prerequisite::new(
                "Keep the events",
                format!(
                    "In Datadog: Logs → Configuration → Indexes. An index whose filter matches source:toktra service:{} has to take them, and no \
                     exclusion filter may drop them.",
                    advice::bare_or_quoted(text(config, "service"))
                ),
            ),
            Prerequisite::new(
                "An application key for searching, if test deliveries are to find their event",
                "In Datadog: Organization Settings → Application Keys → New Key, of somebody who may read the logs; its scope is logs_read_data \
                 alone.",
            ),
        ]
    }

    fn sent_back(&self, _config: &Map<String, Value>) -> Vec<String> {
        vec!["your site, such as datadoghq.eu".to_owned(), "the API key".to_owned()]
    }

    fn advice(&self, settings: &Settings, code: &str, _targets: &[Url]) -> Vec<String> {
        if matches!(code, "network_unknown_host" | "proxy_name_unknown") && settings.text("url").is_none() {
            let site = settings.text("site").unwrap_or_default();
            return vec![format!(
                "The host follows from the site {site}: compare it with the address bar of your Datadog."
            )];
        }
        if code == "tls_untrusted" && settings.text("tls_ca").is_none() {
            let said = "Datadog's own certificates are publicly trusted: a proxy that opens TLS connections is probably in between.";
            return vec![said.to_owned()];
        }
        Vec::new()
    }

    fn is_meant(&self, pasted: &Pasted) -> bool {
        pasted::is_meant(pasted)
    }

    fn understand(&self, pasted: &mut Pasted, understood: &mut Understood) {
        self.understood_of(pasted, understood);
    }

    fn facts(&self, config: &Map<String, Value>) -> Vec<Fact> {
        let text = |name| config.get(name).and_then(Value::as_str);
        let place = match text("url") {
            Some(url) => Fact::code("URL", url),
            None => Fact::code("Site", text("site").unwrap_or_default()),
        };
        let metric = if config.get("send_metrics") == Some(&Value::Bool(false)) {
            Fact::text("Metric", "Not sent")
        } else {
            Fact::code("Metric", format!("{}.events", text("metric_prefix").unwrap_or_default()))
        };
        let service = Fact::code("Service", text("service").unwrap_or_default());
        let mut all = vec![place, Fact::secret("API key", "api_key"), service, metric];
        all.extend(facts::of(&self.0.fields, config, &["web_url", search::KEY]));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_those_of_the_table() {
        for (pasted, read) in [
            ("datadoghq.com", "datadoghq.com"),
            (" https://app.datadoghq.eu/logs?x ", "datadoghq.eu"),
            ("us5.datadoghq.com", "us5.datadoghq.com"),
            ("https://us3.datadoghq.com/", "us3.datadoghq.com"),
            // An org with a host of its own.
            ("acme.datadoghq.com", "datadoghq.com"),
            ("https://acme.datadoghq.com/logs", "datadoghq.com"),
            ("https://acme.us5.datadoghq.com:443/", "us5.datadoghq.com"),
            ("http-intake.logs.us5.datadoghq.com", "us5.datadoghq.com"),
            ("https://api.ap1.datadoghq.com/api/v2/series", "ap1.datadoghq.com"),
            ("Trace.Agent.DatadogHQ.eu.", "datadoghq.eu"),
        ] {
            assert_eq!(site(pasted).unwrap(), read);
        }
        for wrong in [
            "xdatadoghq.com",
            "https://datadoghq.com@evil.example/",
            "https://evil.example?datadoghq.com",
            "ftp://datadoghq.com",
            "",
            "datadog.com",
            "evil.example/datadoghq.com",
            "datadoghq.com.evil.example",
            "EU1",
        ] {
            assert!(site(wrong).unwrap_err().contains("datadoghq.eu"), "{wrong}");
        }
    }

    #[test]
    fn the_path_of_an_intake_is_cut_and_datadogs_own_hosts_are_named_by_their_site() {
        for pasted in ["", "/", "/api/v2/logs", "/api/v2/series", "/v1/input"] {
            assert_eq!(base(&format!("https://proxy.company.com/dd{pasted}")).unwrap(), "https://proxy.company.com/dd");
        }
        let refused = base("https://http-intake.logs.datadoghq.eu/api/v2/logs").unwrap_err();
        assert!(refused.contains("`site` datadoghq.eu"), "{refused}");
    }

    #[test]
    fn metric_prefixes_make_valid_names_only() {
        for good in ["toktra.security", "a", "a_1.B2", &"a".repeat(193)] {
            assert_eq!(metric_prefix(good).unwrap(), *good);
        }
        for bad in ["", "1a", ".a", "a.", "a..b", "a-b", "é", "_a", &"a".repeat(194)] {
            assert!(metric_prefix(bad).is_err(), "{bad}");
        }
    }
}
