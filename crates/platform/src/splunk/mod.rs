//! Splunk, through its HTTP Event Collector.

use serde_json::{Map, Value};
use toktra_siem_core::connector::Settings;
use toktra_siem_core::ids::{EventId, PlatformId};
use url::Url;

use crate::descriptor::{Descriptor, Field, Kind};
use crate::destination::Destination;
use crate::endpoint;
use crate::facts::{self, Fact};
use crate::group;
use crate::paste::{Pasted, Understood};
use crate::prerequisite::Prerequisite;
use crate::read::Reader;
use crate::registry::{BuildError, Plan, Platform};
use crate::search::Span;

mod answer;
mod hec;
mod pasted;
mod prerequisites;
mod search;

/// The platform.
pub struct Splunk(Descriptor);

impl Splunk {
    /// Its id.
    pub const ID: PlatformId = PlatformId::fixed("splunk");

    /// The platform.
    #[expect(clippy::new_without_default, reason = "there is nothing to choose")]
    pub fn new() -> Self {
        let descriptor = Descriptor::new(Self::ID, "Splunk");
        Self(Descriptor {
            leads_to: "Splunk's HTTP Event Collector",
            icon: r#"<path class="mark" d="m3 3 10 5-10 5v-2.75L8.5 8 3 5.75z"/>"#,
            fields: fields(),
            needs: &[
                "the URL of the HTTP Event Collector, such as https://splunk.company.com:8088",
                "a HEC token that may write to the index “toktra”",
            ],
            preparation: "In Splunk: Settings → Data inputs → HTTP Event Collector → New Token; allow it the index alone.",
            example: "--hec-url https://splunk.company.com:8088 --hec-token-file token",
            signs: pasted::SIGNS,
            search_place: "In Splunk: Search & Reporting",
            opens: "Splunk",
            ..descriptor
        })
    }
}

fn fields() -> Vec<Field> {
    let own = vec![
        Field::url("hec_url", "HEC URL")
            .read(hec_url)
            .required()
            .help("Base URL of the HTTP Event Collector; `/services/collector/event` is appended.")
            .hint(
                "Base URL of the HTTP Event Collector, such as https://splunk.company.com:8088. Splunk Cloud: \
                 https://http-inputs-<stack>.splunkcloud.com. A URL with its collector path, or a whole curl example, can be pasted as it is.",
            ),
        Field { kind: Kind::Secret(pasted::token), ..Field::secret("hec_token", "HEC token") }
            .required()
            .help("The HTTP Event Collector token, from Settings → Data inputs → HTTP Event Collector.")
            .hint(
                "In Splunk: Settings → Data inputs → HTTP Event Collector → New Token, or Token Value of one that is there. Allow it the index \
                 “toktra” (or the one below).",
            ),
        Field::text("index", "Index")
            .default("toktra")
            .help("The index to write to; it has to exist.")
            .hint("It must exist in Splunk, and the token must be allowed to write to it."),
        Field::text("sourcetype", "Sourcetype").default("toktra:security").help("The sourcetype of every event."),
        Field::flag("indexer_ack", "Wait for indexer acknowledgement", false)
            .help("Whether a delivery waits for the indexer's acknowledgement; the token must have it switched on.")
            .hint(
                "An event counts as delivered once it is indexed. Only for a token that has “Enable indexer acknowledgement” ticked in Splunk.",
            ),
        Field::flag("strict", "Only Splunk's own answer is success", false)
            .help("Whether only `{\"text\":\"Success\",\"code\":0}` counts as delivered, and no other answer with a 2xx status.")
            .hint("Leave it off for receivers that speak HEC and answer in other words, such as “OK”."),
    ];
    own.into_iter().chain(search::fields()).collect()
}

const COLLECTOR: &str = "/services/collector";

/// A base URL. The path of a pasted collector URL (`/services/collector…`) is cut off, because it is appended to every request.
fn hec_url(text: &str) -> Result<String, String> {
    let mut url = endpoint::parse(text)?;
    let path = url.path().to_owned();
    if path.split('/').nth(2) == Some("app") || path.ends_with("/account/login") {
        return Err(
            "is an address of Splunk Web's pages; give that of the HTTP Event Collector, usually port 8088".to_owned()
        );
    }
    if let Some(at) = path.find(COLLECTOR)
        && matches!(path.as_bytes().get(at + COLLECTOR.len()), None | Some(b'/'))
    {
        url.set_path(&path[..at]);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl Platform for Splunk {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn read(&self, reader: &mut Reader<'_>) {
        reader.fields(&self.0.fields);
        search::together(reader);
    }

    fn needed(&self, config: &Map<String, Value>) -> Vec<&'static str> {
        let searches = group::member(config, search::URL).is_some_and(Value::is_string);
        std::iter::once("hec_token").chain(searches.then_some(search::TOKEN)).collect()
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        let (config, token) = (plan.config()?, plan.secret("hec_token")?);
        let search = search::Search::new(
            plan.settings.text(search::URL),
            plan.credentials.get(search::TOKEN),
            plan.settings.text("index").unwrap_or_default(),
        );
        Ok(Box::new(hec::Hec::new(&config, token, plan.connector, plan.settings.compression, plan.redactor, search)))
    }

    fn search(&self, settings: &Settings, event: EventId) -> String {
        let text = |name| settings.text(name).unwrap_or_default();
        format!(
            "index={} sourcetype={} event_id=\"{event}\"",
            crate::advice::bare_or_quoted(text("index")),
            crate::advice::quoted(text("sourcetype"))
        )
    }

    fn open_url(&self, settings: &Settings, events: &[EventId], span: Span) -> Option<String> {
        let (web, index) = (settings.text("web_url")?, settings.text("index").unwrap_or_default());
        Some(search::open_url(web, index, events, span))
    }

    fn prerequisites(&self, config: &Map<String, Value>) -> Vec<Prerequisite> {
        prerequisites::of(config)
    }

    fn advice(&self, settings: &Settings, code: &str, targets: &[Url]) -> Vec<String> {
        let port =
            targets.first().and_then(Url::port_or_known_default).filter(|_| crate::advice::leads_elsewhere(code));
        let mut said = Vec::new();
        if code == "tls_not_spoken" {
            said.push("In Splunk: Settings → Data inputs → HTTP Event Collector → Global Settings → tick Enable SSL.");
        }
        said.extend(match port {
            Some(8000) => Some(
                "The URL names port 8000, which is usually Splunk Web, the pages for people; the HTTP Event Collector is usually on 8088.",
            ),
            Some(8089) => Some(
                "The URL names port 8089, which is usually Splunk's management port; the HTTP Event Collector is usually on 8088.",
            ),
            Some(9997) => Some(
                "The URL names port 9997, which is usually that of Splunk's forwarders; the HTTP Event Collector is usually on 8088.",
            ),
            _ if code == "network_refused" => Some(
                "The HTTP Event Collector is off until it is switched on. In Splunk: Settings → Data inputs → HTTP Event Collector → Global \
                 Settings → All Tokens: Enabled; its port stands there as well.",
            ),
            _ => None,
        });
        if code == "tls_untrusted" && settings.text("tls_ca").is_none() {
            said.push("If Splunk's certificate comes from its own CA, that CA is $SPLUNK_HOME/etc/auth/cacert.pem on the Splunk server.");
        }
        if code == "tls_version_1" || code == "tls_fingerprint_changed" {
            said.push("Splunk's ready-made certificate is $SPLUNK_HOME/etc/auth/server.pem on the Splunk server.");
        }
        said.into_iter().map(str::to_owned).collect()
    }

    fn is_meant(&self, pasted: &Pasted) -> bool {
        pasted::is_meant(pasted)
    }

    fn understand(&self, pasted: &mut Pasted, understood: &mut Understood) {
        self.understood_of(pasted, understood);
    }

    fn facts(&self, config: &Map<String, Value>) -> Vec<Fact> {
        let text = |name| config.get(name).and_then(Value::as_str).unwrap_or_default();
        let ack = if config.get("indexer_ack") == Some(&Value::Bool(true)) {
            "An event counts as delivered once Splunk has indexed it"
        } else {
            "Not awaited: an event counts as delivered once Splunk has taken it"
        };
        let mut facts = vec![
            Fact::code("HEC URL", text("hec_url")),
            Fact::secret("HEC token", "hec_token"),
            Fact::code("Index", text("index")),
            Fact::code("Sourcetype", text("sourcetype")),
            Fact::text("Indexer acknowledgement", ack),
        ];
        facts.extend(facts::of(&self.0.fields, config, &["web_url", search::URL, search::TOKEN]));
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_paths_are_cut_from_pasted_urls() {
        for pasted in [
            "",
            "/",
            "/services/collector",
            "/services/collector/",
            "/services/collector/event",
            "/services/collector/raw/1.0",
        ] {
            assert_eq!(hec_url(&format!("https://s.example:8088{pasted}")).unwrap(), "https://s.example:8088");
            assert_eq!(hec_url(&format!("https://s.example/hec{pasted}")).unwrap(), "https://s.example/hec");
        }
        assert_eq!(hec_url("https://s.example/services/collectors").unwrap(), "https://s.example/services/collectors");
        for page in ["https://s.example:8000/en-US/app/search", "https://s.example/en-GB/account/login"] {
            assert!(hec_url(page).unwrap_err().contains("Splunk Web"), "{page}");
        }
    }
}
