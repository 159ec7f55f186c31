//! What Datadog's two intakes share: where they are, how a request is authorised, and what their statuses mean.
//!
//! Facts: Datadog's API reference, "Logs" (v2) and "Metrics" (v2).

use secrecy::SecretString;

use serde::Deserialize;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Compression;
use toktra_siem_core::ids::StreamKind;
use toktra_siem_core::time::Timestamp;

use crate::body;
use crate::destination::{EncodeError, HeaderText, OutboundRequest, Reply, Verdict};
use crate::reply::{Endpoint, Redactor, is_html};

/// What is read of a connector's settings.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    /// The site, such as `datadoghq.com`; not read where `url` is set.
    pub(super) site: String,
    /// A base that replaces both of Datadog's hosts (proxies, tests), normalised.
    pub(super) url: Option<String>,
    /// The `service` of every log entry.
    pub(super) service: String,
    /// The metric is `<metric_prefix>.events`.
    pub(super) metric_prefix: String,
}

/// The host that every entry and every series names: the product, not the machine, so that moving it starts no new series.
pub(super) const HOSTNAME: &str = "toktra";
/// `source` of the product's events, as the product spec has it.
pub(super) const SOURCE: &str = "toktra";
/// The longest tag, in characters.
const TAG_CHARS: usize = 200;

/// One of Datadog's intakes.
pub(super) struct Intake {
    url: String,
    api_key: HeaderText,
    compression: Compression,
    /// Which setting is wrong where a key is refused.
    likeliest: &'static str,
    endpoint: Endpoint,
}

impl Intake {
    /// The intake for logs or for metrics.
    pub(super) fn new(
        config: &Config,
        key: &SecretString,
        kind: StreamKind,
        compression: Compression,
        redactor: Redactor,
    ) -> Self {
        let (host, path) = match kind {
            StreamKind::Metrics => ("api", "/api/v2/series"),
            StreamKind::Logs | StreamKind::Events => ("http-intake.logs", "/api/v2/logs"),
        };
        let (base, address) = match &config.url {
            Some(url) => (
                url.clone(),
                "The connector's URL replaces both of Datadog's hosts and is probably wrong, or the \
                          proxy behind it is. Correct it, then test again."
                    .to_owned(),
            ),
            None => (
                format!("https://{host}.{}", config.site),
                format!(
                    "The site is {}: it probably is not yours, or a proxy answers in Datadog's place. Compare it with the \
                         address bar of your Datadog, correct it, then test again.",
                    config.site
                ),
            ),
        };
        Self {
            url: format!("{base}{path}"),
            api_key: HeaderText::Secret(key.clone()),
            compression,
            likeliest: if config.url.is_some() { "the URL" } else { "the site" },
            endpoint: Endpoint { name: "Datadog", key: "datadog", address, redactor },
        }
    }

    /// What is said of Datadog.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The request that carries `body`.
    pub(super) fn request(&self, body: Vec<u8>) -> Result<OutboundRequest, EncodeError> {
        let headers = vec![("dd-api-key".into(), self.api_key.clone()), ("content-type".into(), body::JSON)];
        body::request(&self.url, headers, body, self.compression)
    }

    /// The reply table. Datadog says 202; a gateway in front of it may say another 2xx, which is taken at its word unless it comes with
    /// a page for a browser (a login page, too, answers 200).
    pub(super) fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        match reply.status {
            202 => Verdict::delivered(sent, None),
            200..=299 if !is_html(reply) => Verdict::delivered(
                sent,
                Some(Cause::new(
                    "datadog_not_202",
                    format!(
                        "Datadog answered {}: it is 202 where the intake itself answers, so something in front of it took the \
                         events. If none arrive, look there.",
                        reply.status
                    ),
                )),
            ),
            401 | 403 => {
                let why = format!(
                    "it does not accept this API key here: a key works only on the site it was made on. The likeliest mistake is {}. {} If that is right, the key was revoked, mistyped, or is an application key. In Datadog: Organization \
                     Settings → API Keys → New Key; enter it here, then test again.",
                    self.likeliest, self.endpoint.address
                );
                Endpoint::held(sent, self.endpoint.cause("api_key_refused", reply, &why))
            }
            _ => self.endpoint.by_status(reply, sent, now),
        }
    }
}

/// A tag's value in the form that Datadog keeps it: lower case, with `_` for what it would replace.
pub(super) fn tag_value(value: &str) -> String {
    let keep = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '.' | '/');
    let clean: String = value
        .trim()
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if keep(c) { c } else { '_' })
        .take(TAG_CHARS)
        .collect();
    clean.trim_end_matches('_').to_owned()
}
