//! What people paste of Splunk: examples of requests, `outputs.conf` and `inputs.conf`, settings of other collectors and of Docker, answers that
//! hold a token.

use super::{COLLECTOR, INGEST, Splunk, dialect, hec_url};
use crate::checks;
use crate::paste::Means::{Nothing, Setting, Unusable};
use crate::paste::{Means, Pasted, Understood};
use crate::registry::Platform as _;

/// Words in names of settings that are Splunk's.
pub(super) const SIGNS: &[&str] = &["splunk", "splunkhec", "hec", "httpout", "tcpout"];

const FORWARDERS: &str = "it is for the forwarders' own protocol, which this service does not speak; give the URL of the HTTP Event Collector, usually port 8088";

/// Names of settings in forwarders, collectors (Vector, OpenTelemetry, Fluent Bit, Kafka Connect), Docker and Splunk's own answers.
const KNOWN: &[(&str, Means)] = &[
    ("tcpout.server", Unusable(FORWARDERS)),
    ("tcpout.defaultgroup", Nothing),
    ("splunk-capath", Unusable("paste what stands in that file")),
    ("splunk-insecureskipverify", Unusable("certificates are always verified")),
    ("httpout.uri", Setting("hec_url")),
    ("httpout.batchsize", Nothing),
    ("httpout.batchtimeout", Nothing),
    ("splunk.hec.uri", Setting("hec_url")),
    ("splunk_hec_url", Setting("hec_url")),
    ("splunk_hec_endpoint", Setting("hec_url")),
    ("splunk_url", Setting("hec_url")),
    ("hec_url", Setting("hec_url")),
    ("hec_endpoint", Setting("hec_url")),
    ("splunk-url", Setting("hec_url")),
    ("endpoint", Setting("hec_url")),
    ("endpoints", Setting("hec_url")),
    ("url", Setting("hec_url")),
    ("uri", Setting("hec_url")),
    ("httpeventcollectortoken", Setting("hec_token")),
    ("splunk.hec.token", Setting("hec_token")),
    ("splunk_hec_token", Setting("hec_token")),
    ("splunk_token", Setting("hec_token")),
    ("hec_token", Setting("hec_token")),
    ("splunk-token", Setting("hec_token")),
    ("default_token", Setting("hec_token")),
    ("token value", Setting("hec_token")),
    ("hec token", Setting("hec_token")),
    ("token", Setting("hec_token")),
    ("splunk.hec.ack.enabled", Setting("indexer_ack")),
    ("useack", Setting("indexer_ack")),
    ("splunk.indexes", Setting("index")),
    ("splunk_index", Setting("index")),
    ("splunk-index", Setting("index")),
    ("default_index", Setting("index")),
    ("defaultindex", Setting("index")),
    ("event_index", Setting("index")),
    ("index", Setting("index")),
    ("splunk.sourcetypes", Setting("sourcetype")),
    ("splunk-sourcetype", Setting("sourcetype")),
    ("splunk_sourcetype", Setting("sourcetype")),
    ("defaultsourcetype", Setting("sourcetype")),
    ("event_sourcetype", Setting("sourcetype")),
    ("sourcetype", Setting("sourcetype")),
];

/// A token: a GUID.
fn is_token(word: &str) -> bool {
    word.len() == 36 && uuid::Uuid::try_parse(word).is_ok()
}

/// Whether it is plainly meant for Splunk.
pub(super) fn is_meant(pasted: &Pasted) -> bool {
    let address = pasted.url().is_some_and(|url| {
        [COLLECTOR, INGEST].iter().any(|known| url.path().contains(known))
            || url.host_str().is_some_and(|host| host.ends_with(".splunkcloud.com"))
    });
    address
        || pasted.says_scheme("splunk")
        || pasted.mentions(SIGNS)
        || pasted.has(&["http.token"])
        || (pasted.url().is_none() && pasted.has_word(is_token))
}

impl Splunk {
    pub(super) fn understood_of(&self, pasted: &mut Pasted, understood: &mut Understood) {
        let bearer = pasted.says_scheme("bearer");
        if pasted.url().is_some_and(|url| dialect::is_logscale(url, bearer)) {
            understood.setting(dialect::SETTING, "logscale", "the receiver, LogScale");
            if let Some(token) = pasted.take_authorization("bearer") {
                understood.secret("hec_token", token, "the ingest token");
            }
        }
        let elsewhere =
            |path: &str| path.contains("/services/") && !path.contains(COLLECTOR) && !path.contains(super::INGEST);
        if pasted.url().is_some_and(|url| elsewhere(url.path())) {
            // Whoever administers it logs in there.
            pasted.take_url();
            pasted.take_user();
            understood.refuse("the request: it goes to Splunk's management port, which takes no events; give the URL and the token of the HTTP Event Collector");
        }
        let token = pasted.take_authorization("splunk");
        // Splunk reads the password alone, whatever the name.
        let password = pasted.take_user().map(|(_, password)| password).filter(|password| !password.is_empty());
        if let Some(token) = password.or(token).or_else(|| pasted.take_word(is_token)) {
            understood.secret("hec_token", token, "the HEC token");
        }
        if let Some(mut url) = pasted.take_url() {
            if [COLLECTOR, INGEST].iter().any(|known| url.path().contains(known)) {
                url.set_query(None);
            }
            understood.checked("hec_url", hec_url(url.as_str()), "the HEC URL");
        }
        let endpoint = pasted.take_endpoint(
            &["httpout.server", "host", "hostname"],
            &["port"],
            &["tls", "usessl", "use_ssl"],
            SIGNS,
        );
        pasted.take_known(KNOWN, self.descriptor(), understood);
        if let Some(endpoint) = endpoint.filter(|_| !understood.has("hec_url")) {
            understood.address("hec_url", &endpoint, hec_url, "the HEC URL");
        }
    }
}

/// The token as it is sent, also if the header was copied with it.
pub(super) fn token(text: &str) -> crate::descriptor::Checked<secrecy::SecretString> {
    checks::token(checks::bare(checks::bare(text, "authorization", "splunk"), "authorization", "bearer"))
}
