//! The receivers that speak the HTTP Event Collector's protocol, and how each differs from Splunk's own, after each one's own
//! documentation (docs/splunk.md, "Other receivers"): one entry for each. Nothing else here asks which one it is.

use serde_json::{Map, Value};
use url::Url;

use crate::advice::leads_elsewhere;

/// The name of the setting.
pub(super) const SETTING: &str = "dialect";

/// A receiver.
pub(super) struct Dialect {
    /// Its word in the setting.
    pub(super) word: &'static str,
    /// What it is called.
    pub(super) name: &'static str,
    /// The path that takes events. Its confirmations are asked for at [`ACKS`].
    pub(super) path: &'static str,
    /// What stands in front of the token.
    pub(super) scheme: &'static str,
    /// Why its acknowledgements prove nothing; `None` if they tell what is indexed.
    pub(super) no_acks: Option<&'static str>,
    /// Whether it has kept every event before the one that it names. If it does not promise that, the number counts for nothing.
    pub(super) counts: bool,
    /// Success is always told in Splunk's words; other words are worth a warning.
    pub(super) hec_words: bool,
    /// What a test that was delivered says about the next hop; `None` if the receiver forwards nothing.
    pub(super) onward: Option<&'static str>,
    /// Where the search is pasted.
    pub(super) search_place: &'static str,
    /// The next step if the address seems wrong.
    address: &'static str,
    /// What its administrator does before events come; `None` for Splunk, which needs more.
    pub(super) prepare: Option<&'static str>,
    /// What is usual behind a port that takes no events.
    ports: &'static [(u16, &'static str)],
    /// What else to look at, by the code of the cause.
    causes: &'static [(&'static str, &'static str)],
    /// Words of the texts of [`super::answer`], by their placeholder.
    words: &'static [(&'static str, &'static str)],
    /// What a status without a code of the HTTP Event Collector means. A status that is not listed means what it means on every platform.
    statuses: &'static [(u16, &'static str)],
}

/// Where confirmations are asked for.
pub(super) const ACKS: &str = "/services/collector/ack";

const EVENT: &str = "/services/collector/event";
const COLLECTOR: &str = "/services/collector";

/// The words of the setting, each with what it is called.
pub(super) const WORDS: &[(&str, &str)] = &[
    ("splunk", "Splunk"),
    ("logscale", "Falcon LogScale or Falcon Next-Gen SIEM"),
    ("cribl", "Cribl Stream"),
    ("edge_processor", "Splunk Edge Processor"),
    ("otel", "OpenTelemetry Collector"),
];
/// Those that take events without a token.
pub(super) const WITHOUT_TOKEN: &[&str] = &["cribl", "edge_processor", "otel"];
/// Those to which no index is sent unless somebody names one: the token decides, and another index is refused.
pub(super) const WITHOUT_INDEX: &[&str] = &["logscale"];

static ALL: [Dialect; 5] = [SPLUNK, LOGSCALE, CRIBL, EDGE_PROCESSOR, OTEL];

const READY_MADE: &str = "Splunk's ready-made certificate is $SPLUNK_HOME/etc/auth/server.pem on the Splunk server.";

const SPLUNK: Dialect = Dialect {
    word: "splunk",
    name: "Splunk",
    path: EVENT,
    scheme: "Splunk",
    no_acks: None,
    counts: true,
    hec_words: true,
    onward: None,
    search_place: "In Splunk: Search & Reporting",
    address: "The HEC URL is probably wrong: it is the base address of the HTTP Event Collector, usually on port 8088. Splunk Web \
              (usually 8000) and the management port (usually 8089) take no events. Correct it, then test again.",
    prepare: None,
    ports: &[
        (
            8000,
            "The URL names port 8000, which is usually Splunk Web, the pages for people; the HTTP Event Collector is usually on 8088.",
        ),
        (
            8089,
            "The URL names port 8089, which is usually Splunk's management port; the HTTP Event Collector is usually on 8088.",
        ),
        (
            9997,
            "The URL names port 9997, which is usually that of Splunk's forwarders; the HTTP Event Collector is usually on 8088.",
        ),
    ],
    causes: &[
        (
            "network_refused",
            "The HTTP Event Collector is off until it is switched on. In Splunk: Settings → Data inputs → HTTP Event Collector → Global \
              Settings → All Tokens: Enabled; its port stands there as well.",
        ),
        (
            "tls_not_spoken",
            "In Splunk: Settings → Data inputs → HTTP Event Collector → Global Settings → tick Enable SSL.",
        ),
        (
            "tls_untrusted",
            "If somebody had Splunk's own CA sign the certificate, that CA is $SPLUNK_HOME/etc/auth/cacert.pem on the Splunk server; the \
             ready-made certificate is trusted by its fingerprint alone.",
        ),
        ("tls_version_1", READY_MADE),
        ("tls_fingerprint_changed", READY_MADE),
    ],
    words: &[
        ("{enable}", "In Splunk: Settings → Data inputs → HTTP Event Collector → enable the token, then test again."),
        (
            "{token}",
            "In Splunk: Settings → Data inputs → HTTP Event Collector → copy the token value into the connector, then test again.",
        ),
        (
            "{index}",
            "In Splunk: Settings → Indexes → New Index, or Settings → Data inputs → HTTP Event Collector → the token → Selected Indexes; \
             then test again.",
        ),
        (
            "{untick}",
            "Switch indexer_ack on in the connector, or in Splunk: Settings → Data inputs → HTTP Event Collector → the token → untick \
             Enable indexer acknowledgement; then test again.",
        ),
        (
            "{tick}",
            "In Splunk: Settings → Data inputs → HTTP Event Collector → the token → tick Enable indexer acknowledgement; or switch \
             indexer_ack off in the connector.",
        ),
        (
            "{page}",
            "this is not the HTTP Event Collector but probably Splunk's web port. Use the HEC address, usually on port 8088, then test \
             again.",
        ),
        ("{behind}", "the indexers"),
        ("{log}", "splunkd.log"),
    ],
    statuses: &[],
};

const LOGSCALE: Dialect = Dialect {
    word: "logscale",
    name: "LogScale",
    // Falcon Next-Gen SIEM has this path alone.
    path: COLLECTOR,
    scheme: "Bearer",
    no_acks: Some("LogScale has no indexer acknowledgement"),
    counts: false,
    hec_words: false,
    onward: None,
    search_place: "In LogScale: Search",
    address: "The HEC URL is probably wrong: it is LogScale's address without a path, such as https://cloud.us.humio.com, or, of Falcon \
              Next-Gen SIEM, the API URL of the data connector. Correct it, then test again.",
    prepare: Some(
        "In LogScale: the repository → Settings → Ingest tokens → Add token, with the parser json. The token decides the repository. In \
         Falcon: Next-Gen SIEM → Data connectors → Add → HEC / HTTP, with a parser; the API key is shown once.",
    ),
    ports: &[],
    causes: &[
        ("network_refused", "LogScale takes events at the address of its web page, usually on port 443 or 8080."),
        (
            "tls_not_spoken",
            "LogScale on a machine of your own speaks TLS if it is set up for it, or a proxy in front of it does.",
        ),
        (
            "splunk_http_400",
            "If the connector names an index, it has to be the repository of the token: take the index out.",
        ),
    ],
    words: &[
        (
            "{enable}",
            "In LogScale: the repository → Settings → Ingest tokens (Next-Gen SIEM: Data connectors → My connectors → the connector); enable \
             it or make another, then test again.",
        ),
        (
            "{token}",
            "In LogScale: the repository → Settings → Ingest tokens → copy the token into the connector (Next-Gen SIEM: Data connectors → \
             My connectors → the connector → Generate API key), then test again.",
        ),
        (
            "{index}",
            "LogScale writes to the repository of the token, and refuses every other: take the index out of the connector, then test again.",
        ),
        ("{behind}", "its digest nodes"),
        ("{log}", "LogScale's own log"),
    ],
    statuses: &[
        (401, "it does not accept the ingest token. It was probably revoked, or entered incompletely. {token}"),
        (
            403,
            "this token may not write events here. It probably belongs to another repository, or to the API. {token}",
        ),
    ],
};

const CRIBL: Dialect = Dialect {
    word: "cribl",
    name: "Cribl",
    path: EVENT,
    scheme: "Splunk",
    no_acks: Some("Cribl acknowledges what it took, so that an acknowledgement says no more than its answer"),
    counts: false,
    hec_words: false,
    onward: Some(
        "Cribl has the event. Check its Routes and Destinations to see whether the SIEM behind it has it, too.",
    ),
    search_place: "In the SIEM behind Cribl",
    address: "The HEC URL is probably wrong: it is the address of the Splunk HEC source, usually on port 8088, without a path; its HEC \
              endpoint has to be /services/collector. In Cribl: Data → Sources → Splunk HEC. Correct it, then test again.",
    prepare: Some(
        "In Cribl: Data → Sources → Splunk HEC → Add Source, usually on port 8088; under Authentication a token, or none; TLS is off until it \
         is switched on under TLS Settings. Then commit and deploy.",
    ),
    ports: &[],
    causes: &[
        (
            "network_refused",
            "In Cribl: Data → Sources → Splunk HEC: the source has to be enabled, and committed and deployed; its port stands there as well.",
        ),
        (
            "tls_not_spoken",
            "Cribl speaks no TLS until it is switched on. In Cribl: Data → Sources → Splunk HEC → the source → TLS Settings (Server Side).",
        ),
    ],
    words: &[
        (
            "{enable}",
            "In Cribl: Data → Sources → Splunk HEC → the source → Authentication → enable the token, commit and deploy, then test again.",
        ),
        (
            "{token}",
            "In Cribl: Data → Sources → Splunk HEC → the source → Authentication → copy the token into the connector, then test again.",
        ),
        (
            "{index}",
            "In Cribl: Data → Sources → Splunk HEC → the source → Authentication → the token → Allowed Indexes; then test again.",
        ),
        ("{behind}", "its destinations"),
        ("{log}", "Cribl's own log"),
    ],
    statuses: &[
        (401, "it does not accept the token, or wants one. {token}"),
        (403, "it does not accept the token. It was probably deleted, or belongs to another source. {token}"),
    ],
};

const EDGE_PROCESSOR: Dialect = Dialect {
    word: "edge_processor",
    name: "Edge Processor",
    // It has no `/event`.
    path: COLLECTOR,
    scheme: "Splunk",
    no_acks: None,
    counts: false,
    hec_words: false,
    onward: Some("Edge Processor has the event. Check its pipeline to see whether its destination has it, too."),
    search_place: "In the destination behind Edge Processor",
    address: "The HEC URL is probably wrong: it is the address of an Edge Processor's machine, usually on port 8088, without a path. \
              Correct it, then test again.",
    prepare: Some(
        "In Edge Processor's shared settings: switch the HTTP Event Collector on as a receiver, usually on port 8088; under Token \
         authentication a token, or none.",
    ),
    ports: &[],
    causes: &[
        (
            "network_refused",
            "In Edge Processor's shared settings, the HTTP Event Collector has to be switched on as a receiver; its port stands there as well.",
        ),
        ("tls_not_spoken", "In Edge Processor: the processor → Edit → TLS settings of the HTTP Event Collector."),
    ],
    words: &[
        (
            "{enable}",
            "In Edge Processor's shared settings: HTTP Event Collector → Token authentication; then test again.",
        ),
        (
            "{token}",
            "In Edge Processor's shared settings: HTTP Event Collector → Token authentication → copy a token into the connector, then test \
             again.",
        ),
        ("{index}", "Look at the pipeline and the destination in Edge Processor, then test again."),
        (
            "{untick}",
            "Switch indexer_ack on in the connector, or acknowledgement off in Edge Processor's shared settings; then test again.",
        ),
        (
            "{tick}",
            "Switch acknowledgement on in Edge Processor's shared settings, or indexer_ack off in the connector; then test again.",
        ),
        ("{behind}", "its destinations"),
        ("{log}", "Edge Processor's own log"),
    ],
    statuses: &[
        (401, "it does not accept the token, or wants one. {token}"),
        (403, "it does not accept the token. It was probably deleted. {token}"),
    ],
};

const OTEL: Dialect = Dialect {
    word: "otel",
    name: "OpenTelemetry Collector",
    path: EVENT,
    scheme: "Splunk",
    no_acks: Some("the collector acknowledges as it answers, so that an acknowledgement says no more than its answer"),
    counts: false,
    hec_words: false,
    onward: Some("The collector has the event. Check its exporters to see whether what they export to has it, too."),
    search_place: "In what the collector exports to",
    address: "The HEC URL is probably wrong: it is the endpoint of the collector's splunk_hec receiver, usually on port 8088, without a \
              path. Correct it, then test again.",
    prepare: Some(
        "In the collector's configuration: receivers → splunk_hec with endpoint: 0.0.0.0:8088, named in service → pipelines → logs. The \
         receiver judges no token by itself: for that, auth → authenticator names a bearertokenauth extension with scheme: Splunk and the \
         token.",
    ),
    ports: &[],
    causes: &[
        (
            "network_refused",
            "In the collector's configuration, receivers → splunk_hec → endpoint has to be reachable from here, such as 0.0.0.0:8088, and \
              service → pipelines → logs has to name the receiver.",
        ),
        ("tls_not_spoken", "In the collector's configuration: receivers → splunk_hec → tls → cert_file and key_file."),
    ],
    words: &[
        (
            "{enable}",
            "Look at what receivers → splunk_hec → auth names in the collector's configuration, then test again.",
        ),
        (
            "{token}",
            "In the collector's configuration, receivers → splunk_hec → auth → authenticator names who judges tokens: a bearertokenauth \
             needs scheme: \"Splunk\" and this token. (access_token_passthrough hands a token on, and judges none.) Then test again.",
        ),
        ("{index}", "Look at the exporter that refuses it in the collector's configuration, then test again."),
        ("{behind}", "its exporters"),
        ("{log}", "the collector's own log"),
    ],
    statuses: &[
        (401, "it does not accept the token, or wants one. {token}"),
        (403, "it does not accept the token. {token}"),
        (
            500,
            "its pipeline took nothing, probably because an exporter's queue or the memory is full. Sending goes on by itself; if this \
             lasts, look into the collector's own log.",
        ),
    ],
};

impl Dialect {
    /// That of this word; Splunk's for none.
    pub(super) fn named(word: &str) -> &'static Self {
        ALL.iter().find(|dialect| dialect.word == word).unwrap_or(&ALL[0])
    }

    /// That of a connector's settings.
    pub(super) fn of(config: &Map<String, Value>) -> &'static Self {
        Self::named(config.get(SETTING).and_then(Value::as_str).unwrap_or_default())
    }

    /// Whether it is Splunk itself.
    pub(super) fn is_splunk(&self) -> bool {
        self.word == ALL[0].word
    }

    /// Whether its events may be searched in Splunk: it is Splunk, or sends them on, where Splunk often stands.
    pub(super) fn leads_to_splunk(&self) -> bool {
        self.is_splunk() || self.onward.is_some()
    }

    /// A text with this receiver's words in the place of their placeholders.
    pub(super) fn fill(&self, text: &str) -> String {
        let named = text.replace("{name}", self.name);
        let mut filled = self.words.iter().fold(named, |text, (placeholder, words)| text.replace(placeholder, words));
        filled = filled.replace("{page}", &format!("nothing takes events here. {}", self.address));
        if let Some(why) = self.no_acks {
            for asked in ["{tick}", "{untick}"] {
                let none = format!("Check the dialect of the connector: {why}. Then test again.");
                filled = filled.replace(asked, &none);
            }
        }
        filled
    }

    /// The next step if the address seems wrong.
    pub(super) fn address(&self) -> &'static str {
        self.address
    }

    /// What a status means that comes without a code.
    pub(super) fn status(&self, status: u16) -> Option<String> {
        self.statuses.iter().find(|(known, _)| *known == status).map(|(_, why)| self.fill(why))
    }

    /// What is usual behind a port, if the cause of this code may come of a wrong one.
    pub(super) fn of_port(&self, code: &str, port: Option<u16>) -> Option<&'static str> {
        let known = self.ports.iter().find(|(known, _)| leads_elsewhere(code) && Some(*known) == port);
        known.map(|(_, said)| *said)
    }

    /// What else to look at if the cause of this code kept the events away.
    pub(super) fn of_cause(&self, code: &str) -> Option<&'static str> {
        self.causes.iter().find(|(known, _)| *known == code).map(|(_, said)| *said)
    }

    /// What it is called in full.
    pub(super) fn label(&self) -> &'static str {
        WORDS.iter().find(|(word, _)| *word == self.word).map_or(self.name, |(_, label)| label)
    }
}

/// Whether a URL that somebody pasted is LogScale's or Falcon Next-Gen SIEM's. A bearer token tells as well.
pub(super) fn is_logscale(url: &Url, bearer: bool) -> bool {
    let falcon = |host: &str| host.contains(".ingest.") && host.ends_with(".crowdstrike.com");
    url.path().contains(super::INGEST)
        || url.path().contains(COLLECTOR) && (bearer || url.host_str().is_some_and(falcon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_receiver_and_every_receiver_its_words() {
        assert_eq!(
            ALL.each_ref().map(|dialect| dialect.word).as_slice(),
            WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>()
        );
        for dialect in &ALL {
            let all = dialect.fill("{name} {enable} {token} {index} {tick} {untick} {page} {behind} {log}");
            assert!(!all.contains('{'), "{all}");
            for (status, _) in dialect.statuses {
                let said = dialect.status(*status).unwrap();
                assert!(!said.contains('{') && !said.contains("In Splunk:"), "{said}");
            }
            assert_eq!(all.contains("In Splunk:"), dialect.is_splunk(), "{all}");
        }
        assert!(Dialect::named("").is_splunk() && Dialect::named("another").is_splunk());
    }
}
