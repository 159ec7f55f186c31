//! What people paste of Datadog: examples of requests, `datadog.yaml`, the environment of an agent, settings of other collectors, answers that
//! hold a key.

use super::{Datadog, OTHER, base, site, site_of};
use crate::checks;
use crate::paste::Means::{Nothing, Setting};
use crate::paste::{Means, Pasted, Understood};
use crate::registry::Platform as _;

/// Words in names of settings that are Datadog's.
pub(super) const SIGNS: &[&str] = &["datadog", "dd"];

/// Names of settings in the agent, in its environment, in Helm's chart, in collectors, and in Datadog's own answers.
const KNOWN: &[(&str, Means)] = &[
    ("dd_app_key", Setting(super::search::KEY)),
    ("app_key", Setting(super::search::KEY)),
    ("application_key", Setting(super::search::KEY)),
    ("datadog.appkey", Setting(super::search::KEY)),
    ("dd_api_key", Setting("api_key")),
    ("datadog_api_key", Setting("api_key")),
    ("datadog.apikey", Setting("api_key")),
    ("default_api_key", Setting("api_key")),
    ("api_key", Setting("api_key")),
    ("apikey", Setting("api_key")),
    ("api.key", Setting("api_key")),
    ("attributes.key", Setting("api_key")),
    ("key", Setting("api_key")),
    ("dd_site", Setting("site")),
    ("datadog_site", Setting("site")),
    ("site", Setting("site")),
    ("dd_service", Setting("service")),
    ("service", Setting("service")),
    ("logs_enabled", Nothing),
    ("dd_logs_enabled", Nothing),
    ("logs_config.use_http", Nothing),
    ("logs_config.force_use_http", Nothing),
];

/// Names of settings that hold an address.
const ADDRESSES: [&str; 9] = [
    "dd_logs_config_logs_dd_url",
    "logs_config.logs_dd_url",
    "logs_dd_url",
    "dd_dd_url",
    "dd_url",
    "datadog_url",
    "endpoint",
    "url",
    "host",
];

/// An API key: 32 hexadecimal digits.
fn is_key(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether it is plainly meant for Datadog.
pub(super) fn is_meant(pasted: &Pasted) -> bool {
    pasted.header("dd-api-key").is_some()
        || pasted.url().is_some_and(|url| site_of(url.as_str()).is_some())
        || pasted.mentions(SIGNS)
        || pasted.any_value(|value| value.contains('.') && site_of(value).is_some())
        || (pasted.url().is_none() && pasted.has_word(is_key))
}

impl Datadog {
    pub(super) fn understood_of(&self, pasted: &mut Pasted, understood: &mut Understood) {
        if let Some(key) = pasted.take_header("dd-application-key") {
            understood.secret(super::search::KEY, key, "the application key");
        }
        if let Some(key) = pasted.take_header("dd-api-key").or_else(|| pasted.take_word(is_key)) {
            understood.secret("api_key", key, "the API key");
        }
        if let Some(url) = pasted.take_url() {
            address(url.as_str(), understood);
        }
        pasted.take_known(KNOWN, self.descriptor(), understood);
        for name in ADDRESSES {
            let Some(text) = pasted.take_one(&[name]) else { continue };
            if understood.has("url") {
                understood.refuse(format!("`{name}`: another URL counts, for logs and for metrics"));
            } else if !(understood.has("site") && site_of(&text).is_some()) {
                address(&text, understood);
            }
        }
        if understood.has("site") && !understood.has("url") {
            understood.clear("url");
        }
    }
}

/// An address: of Datadog's own it is the site, any other takes the place of both hosts.
fn address(text: &str, understood: &mut Understood) {
    if let Ok(site) = site(text) {
        understood.setting("site", site, "the site");
        understood.clear("url");
    } else {
        understood.address("url", text, base, "the URL");
        if understood.has("url") {
            understood.choose("site", OTHER);
        }
    }
}

/// The key as it is sent, also if the header was copied with it.
pub(super) fn key(text: &str) -> crate::descriptor::Checked<secrecy::SecretString> {
    checks::token(checks::bare(text, "dd-api-key", ""))
}
