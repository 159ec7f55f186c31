//! Splunk, through its HTTP Event Collector.

use serde_json::{Map, Value};
use toktra_siem_core::connector::Settings;
use toktra_siem_core::ids::{EventId, PlatformId};
use url::Url;

use crate::descriptor::{Checked, Descriptor, Field, Step};
use crate::destination::Destination;
use crate::facts::{self, Fact};
use crate::group;
use crate::paste::{Pasted, Understood};
use crate::prerequisite::Prerequisite;
use crate::read::Reader;
use crate::registry::{BuildError, Plan, Platform};
use crate::search::Span;
use crate::{checks, endpoint};

mod answer;
mod dialect;
mod hec;
mod pasted;
mod prerequisites;
mod search;

use dialect::Dialect;

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
            search_place: Dialect::named("").search_place,
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
        Field::choice(dialect::SETTING, "Receiver", dialect::WORDS)
            .default("splunk")
            .step(Step::Where)
            .help(
                "Which receiver it is: each differs in path, token, index, and what counts as success. For other \
                 receivers that speak HEC, use `splunk`.",
            )
            .hint("What listens at the URL. For any other receiver that speaks HEC, choose Splunk."),
        Field::secret("hec_token", "HEC token").read_secret(pasted::token)
            .required()
            .unless(dialect::SETTING, dialect::WITHOUT_TOKEN)
            .help("The HTTP Event Collector token, from Settings → Data inputs → HTTP Event Collector.")
            .hint(
                "In Splunk: Settings → Data inputs → HTTP Event Collector → New Token, or Token Value of one that is there. Allow it the index \
                 “toktra” (or the one below). LogScale: an ingest token; Next-Gen SIEM: the connector's API key. Cribl, Edge Processor and \
                 the OpenTelemetry Collector may do without.",
            ),
        Field::text("index", "Index")
            .read(index_name)
            .default("toktra")
            .unless(dialect::SETTING, dialect::WITHOUT_INDEX)
            .help(
                "The index to write to; it has to exist. Empty: none is sent, and the token decides. For LogScale that is the default; another \
                 index has to be the token's repository.",
            )
            .hint("It must exist in Splunk, and the token must be allowed to write to it. LogScale decides by its token: none is sent."),
        Field::text("sourcetype", "Sourcetype").default("toktra:security").help("The sourcetype of every event."),
        Field::flag("indexer_ack", "Wait for indexer acknowledgement", false)
            .help("Whether a delivery waits for the indexer's acknowledgement; the token must have it switched on.")
            .hint(
                "An event counts as delivered once it is indexed. Only for a token that has “Enable indexer acknowledgement” ticked in Splunk, \
                 or switched on in Edge Processor.",
            ),
        Field::flag("strict", "Only Splunk's own answer is success", false)
            .help("Whether only `{\"text\":\"Success\",\"code\":0}` counts as delivered, and no other answer with a 2xx status.")
            .hint("Leave it off for receivers that speak HEC and answer in other words, such as “OK”."),
    ];
    own.into_iter().chain(search::fields()).collect()
}

/// An index; empty, none is named.
fn index_name(text: &str) -> Checked {
    if text.trim().is_empty() { Ok(String::new()) } else { checks::label(text) }
}

/// The index that events name, if they name one.
fn index(config: &Map<String, Value>) -> Option<&str> {
    config.get("index")?.as_str().filter(|index| !index.is_empty())
}

const COLLECTOR: &str = "/services/collector";
/// LogScale's other name of it.
const INGEST: &str = "/api/v1/ingest/hec";

/// A base URL. The path of a pasted collector URL (`/services/collector…`) is cut off, because it is appended to every request.
fn hec_url(text: &str) -> Result<String, String> {
    let mut url = endpoint::parse(text)?;
    let path = url.path().to_owned();
    if path.split('/').nth(2) == Some("app") || path.ends_with("/account/login") {
        return Err(
            "is an address of Splunk Web's pages; give that of the HTTP Event Collector, usually port 8088".to_owned()
        );
    }
    for known in [COLLECTOR, INGEST] {
        if let Some(at) = path.find(known)
            && matches!(path.as_bytes().get(at + known.len()), None | Some(b'/'))
        {
            url.set_path(&path[..at]);
        }
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
        let word = reader.read_text(dialect::SETTING).unwrap_or_default().to_owned();
        let dialect = Dialect::named(&word);
        let waits = reader.has_read("indexer_ack") == Some(&Value::Bool(true));
        if let Some(why) = dialect.no_acks.filter(|_| waits) {
            reader.fault("indexer_ack", format!("has to be off with the dialect `{word}`: {why}"));
        }
        for name in ["web_url", search::URL] {
            if !dialect.leads_to_splunk() && reader.read_text(name).is_some() {
                let why = format!(
                    "has to be absent with the dialect `{word}`: it leads to Splunk, where its events do not arrive"
                );
                reader.fault(name, why);
            }
        }
    }

    fn needed(&self, config: &Map<String, Value>) -> Vec<&'static str> {
        let token = self.0.field("hec_token").is_some_and(|field| field.is_required(config));
        let searches = group::member(config, search::URL).is_some_and(Value::is_string);
        [("hec_token", token), (search::TOKEN, searches)]
            .into_iter()
            .filter_map(|(name, is)| is.then_some(name))
            .collect()
    }

    fn receiver(&self, config: &Map<String, Value>) -> &'static str {
        Dialect::of(config).name
    }

    fn search_place(&self, config: &Map<String, Value>) -> &'static str {
        Dialect::of(config).search_place
    }

    fn onward(&self, settings: &Settings) -> Option<&'static str> {
        Dialect::of(&settings.config).onward
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        let config = plan.config()?;
        let token = if self.needed(&plan.settings.config).contains(&"hec_token") {
            Some(plan.secret("hec_token")?)
        } else {
            plan.credentials.get("hec_token")
        };
        let search = search::Search::new(
            plan.settings.text(search::URL),
            plan.credentials.get(search::TOKEN),
            index(&plan.settings.config).unwrap_or("*"),
        );
        Ok(Box::new(hec::Hec::new(&config, token, plan.connector, plan.settings.compression, plan.redactor, search)))
    }

    fn search(&self, settings: &Settings, event: EventId) -> String {
        let told = ["web_url", search::URL].iter().any(|name| settings.text(name).is_some());
        if !Dialect::of(&settings.config).is_splunk() && !told {
            // LogScale's language; what stands behind the others has its own.
            return format!("event_id = \"{event}\"");
        }
        format!(
            "index={} sourcetype={} event_id=\"{event}\"",
            index(&settings.config).map_or("*".to_owned(), crate::advice::bare_or_quoted),
            crate::advice::quoted(settings.text("sourcetype").unwrap_or_default())
        )
    }

    fn open_url(&self, settings: &Settings, events: &[EventId], span: Span) -> Option<String> {
        let (web, index) = (settings.text("web_url")?, index(&settings.config).unwrap_or("*"));
        Some(search::open_url(web, index, events, span))
    }

    fn prerequisites(&self, config: &Map<String, Value>) -> Vec<Prerequisite> {
        prerequisites::of(config)
    }

    fn sent_back(&self, config: &Map<String, Value>) -> Vec<String> {
        prerequisites::sent_back(config)
    }

    fn advice(&self, settings: &Settings, code: &str, targets: &[Url]) -> Vec<String> {
        let dialect = Dialect::of(&settings.config);
        let port = dialect.of_port(code, targets.first().and_then(Url::port_or_known_default));
        // A wrong port is the likelier reason that nobody listens; whoever gave a CA has found it.
        let explained = match code {
            "network_refused" => port.is_some(),
            "tls_untrusted" => settings.text("tls_ca").is_some(),
            _ => false,
        };
        let cause = dialect.of_cause(code).filter(|_| !explained);
        port.into_iter().chain(cause).map(str::to_owned).collect()
    }

    fn is_meant(&self, pasted: &Pasted) -> bool {
        pasted::is_meant(pasted)
    }

    fn understand(&self, pasted: &mut Pasted, understood: &mut Understood) {
        self.understood_of(pasted, understood);
    }

    fn facts(&self, config: &Map<String, Value>) -> Vec<Fact> {
        let text = |name| config.get(name).and_then(Value::as_str).unwrap_or_default();
        let index = match index(config) {
            None => Fact::text("Index", "None is sent: the token decides"),
            Some(index) => Fact::code("Index", index),
        };
        let name = Dialect::of(config).name;
        let ack = if config.get("indexer_ack") == Some(&Value::Bool(true)) {
            format!("An event counts as delivered once {name} has indexed it")
        } else {
            format!("Not awaited: an event counts as delivered once {name} has taken it")
        };
        let mut facts = vec![
            Fact::code("HEC URL", text("hec_url")),
            Fact::text("Receiver", Dialect::of(config).label()),
            Fact::secret("HEC token", "hec_token"),
            index,
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
