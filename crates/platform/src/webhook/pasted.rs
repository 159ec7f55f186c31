//! What people paste of a webhook: examples of requests with whatever authorises them, and its URL, which may itself be the secret.

use url::Url;

use super::{Webhook, hidden_url, shown_url};
use crate::checks;
use crate::paste::Means::{Setting, Unusable};
use crate::paste::{Means, Pasted, Understood};
use crate::registry::Platform as _;

/// Words in names of settings that are a webhook's.
pub(super) const SIGNS: &[&str] = &["webhook", "xsiam", "sumologic"];

const SIGNING: &str =
    "it is a signing secret of Standard Webhooks (whsec_…), and no token: enter it as the connector's signing secret";

const KNOWN: &[(&str, Means)] = &[
    ("signing_secret", Unusable(SIGNING)),
    ("webhook_secret", Unusable(SIGNING)),
    ("bearer_token", Setting("token")),
    ("access_token", Setting("token")),
    ("auth_token", Setting("token")),
    ("token", Setting("token")),
];

const ADDRESSES: [&str; 6] = ["webhook_url", "webhook url", "endpoint", "url", "uri", "address"];

/// Whether it is plainly meant for a webhook.
pub(super) fn is_meant(pasted: &Pasted) -> bool {
    pasted.has_word(is_signing_secret)
        || pasted.header("x-xdr-auth-id").is_some()
        || pasted.url().is_some_and(is_known_for_secrets)
        || pasted.mentions(SIGNS)
}

fn is_signing_secret(word: &str) -> bool {
    word.starts_with("whsec_")
}

impl Webhook {
    pub(super) fn understood_of(&self, pasted: &mut Pasted, understood: &mut Understood) {
        if pasted.take_word(is_signing_secret).is_some() || pasted.take_value(is_signing_secret) {
            understood.refuse(format!("whsec_…: {SIGNING}"));
        }
        if let Some(token) = pasted.take_authorization("bearer") {
            understood.choose("auth", "token");
            understood.secret("token", token, "the bearer token");
        } else if let Some((name, password)) =
            pasted.take_user().or_else(|| named(pasted)).filter(|(name, _)| !name.is_empty())
        {
            understood.login("auth", name, password);
        }
        let headers = pasted.take_headers();
        if !headers.is_empty() {
            understood.setting("headers", headers, "headers");
        }
        pasted.take_known(KNOWN, self.descriptor(), understood);
        if understood.has("token") {
            understood.choose("auth", "token");
        }
        if let Some(url) = pasted.take_url() {
            address(&url, understood);
        } else if let Some(text) = pasted.take_one(&ADDRESSES) {
            match Url::parse(&text) {
                Ok(url) => address(&url, understood),
                Err(_) => understood.refuse("the URL: it is not valid"),
            }
        }
    }
}

fn named(pasted: &mut Pasted) -> Option<(String, String)> {
    if !(pasted.has(&["username", "user"]) && pasted.has(&["password"])) {
        return None;
    }
    Some((pasted.take_one(&["username", "user"])?, pasted.take_one(&["password"])?))
}

fn address(url: &Url, understood: &mut Understood) {
    if url.query().is_some() || is_known_for_secrets(url) {
        if let Err(why) = hidden_url(url.as_str()) {
            return understood.refuse(format!("the URL: it {why}"));
        }
        understood.choose("address", "secret_url");
        understood.clear("url");
        understood.secret("secret_url", url.as_str(), "the URL, which holds a key");
    } else {
        understood.checked("url", shown_url(url.as_str()), "the URL");
    }
}

/// Whether this service gives out URLs that let in whoever knows them.
fn is_known_for_secrets(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let path = url.path();
    [("hooks.slack.com", "/services/"), (".sumologic.com", "/receiver/"), (".sumologic.net", "/receiver/")]
        .iter()
        .any(|(end, start)| host.ends_with(end) && path.starts_with(start))
}

/// The token as it is sent, also if the header was copied with it.
pub(super) fn token(text: &str) -> crate::descriptor::Checked<secrecy::SecretString> {
    checks::token(checks::bare(text, "authorization", "bearer"))
}
