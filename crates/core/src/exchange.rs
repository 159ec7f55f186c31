//! What stood around the bodies of an attempt, as the history keeps it for whoever looks for the reason of a failure.
//!
//! It is made here and nowhere else, so that no credential gets into the history, and nothing of any length: a receiver decides what it
//! answers, and some proxies answer with what they were sent.

use serde::{Deserialize, Serialize};

use crate::destination::reply::{REDACTED, Redactor, sanitise};
use crate::destination::{HeaderText, Method, Reply};
use crate::signing::SignedRequest;

/// The most headers that are kept of a message.
pub const HEADERS: usize = 30;
/// The most bytes that are kept of them, names and values together.
pub const HEADER_BYTES: usize = 8 * 1024;
/// The most that is kept of one header's name.
const NAME_BYTES: usize = 128;
/// The most that is kept of one header's value.
const VALUE_BYTES: usize = 1024;
/// The most that is kept of a URL.
const URL_BYTES: usize = 2048;

/// Parts of the names of headers whose values nobody should read, whoever they come from: cookies, sessions, tokens. What an endpoint
/// demands (`www-authenticate`) is not among them: it tells why it refuses.
const CONFIDENTIAL: &[&str] = &[
    "cookie",
    "session",
    "authorization",
    "authentication-info",
    "token",
    "secret",
    "password",
    "credential",
    "api-key",
    "apikey",
];

/// A request as it was sent, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SentRequest {
    /// Its method.
    pub method: Method,
    /// Where it went.
    pub url: String,
    /// Its headers, credentials redacted. `Host`, `User-Agent` and `Content-Length`, which every request has, are not listed.
    pub headers: Headers,
}

impl SentRequest {
    /// What is kept of `request`.
    pub fn of(request: &SignedRequest) -> Self {
        let SignedRequest { method, url, secret_url, headers, .. } = request;
        let headers = headers.iter().map(|(name, text)| {
            let value = match text {
                HeaderText::Plain(value) => sanitise(value, VALUE_BYTES),
                HeaderText::Secret(_) => REDACTED.to_owned(),
            };
            [sanitise(name, NAME_BYTES), value]
        });
        let url = if *secret_url { origin_of(url) } else { sanitise(url, URL_BYTES) };
        Self { method: *method, url, headers: Headers::kept(headers) }
    }
}

impl SentRequest {
    /// The same, without a credential wherever it stands.
    #[must_use]
    pub fn without(self, credential: &Redactor) -> Self {
        let Self { method, url, headers: Headers(headers) } = self;
        let headers = headers.into_iter().map(|header| header.map(|text| credential.redact(text))).collect();
        Self { method, url: credential.redact(url), headers: Headers(headers) }
    }
}

/// What may be shown of a URL that is a secret.
fn origin_of(url: &str) -> String {
    let origin = url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    format!("{origin}/{REDACTED}")
}

/// Headers in the order in which they stood: pairs of a name, in small letters, and a value. At most the first 30, and 8 KiB of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Headers(Vec<[String; 2]>);

impl Headers {
    /// What is kept of the headers of `reply`.
    pub fn of(reply: &Reply, redactor: &Redactor) -> Self {
        Self::kept(reply.headers.iter().map(|(name, value)| {
            if redactor.is_in_name(name) {
                return [REDACTED.to_owned(), REDACTED.to_owned()];
            }
            let value =
                if is_confidential(name) { REDACTED.to_owned() } else { redactor.clean(value, VALUE_BYTES, false) };
            [sanitise(name, NAME_BYTES), value]
        }))
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|[name, value]| (name.as_str(), value.as_str()))
    }

    fn kept(headers: impl Iterator<Item = [String; 2]>) -> Self {
        let mut room = HEADER_BYTES;
        let fits = headers.take(HEADERS).map_while(|header| {
            room = room.checked_sub(header.iter().map(String::len).sum())?;
            Some(header)
        });
        Self(fits.collect())
    }
}

fn is_confidential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CONFIDENTIAL.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use secrecy::SecretString;
    use uuid::Uuid;

    use super::*;
    use crate::destination::OutboundRequest;
    use crate::ids::DeliveryId;
    use crate::signing::SigningKeys;
    use crate::time::Timestamp;

    const SECRET: &str = "8F2C1B7E-Canary-Secret";

    fn redactor() -> Redactor {
        Redactor::new([SECRET.to_owned()])
    }

    fn reply(headers: impl IntoIterator<Item = (String, Vec<u8>)>) -> Reply {
        let headers = headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect();
        Reply { headers, ..Reply::default() }
    }

    fn kept(name: &str, value: &str) -> (String, String) {
        let kept = Headers::of(&reply([(name.to_owned(), value.into())]), &redactor());
        let (name, value) = kept.iter().next().unwrap();
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_request_is_shown_as_sent_but_for_its_credential() {
        let request = OutboundRequest {
            method: Method::Post,
            url: "https://splunk.example:8088/services/collector/event".into(),
            secret_url: false,
            headers: vec![
                ("authorization".into(), HeaderText::Secret(SecretString::from(format!("Splunk {SECRET}")))),
                ("content-type".into(), HeaderText::Plain("application/json".into())),
            ],
            body: Bytes::from_static(b"{\"summary\":\"of a body\"}"),
        };
        let keys = SigningKeys { current: Some(SecretString::from("signing-canary")), next: None };
        let sent = SentRequest::of(&SignedRequest::seal(
            request,
            &keys,
            DeliveryId(Uuid::nil()),
            Timestamp(1_736_937_000_000),
        ));
        let shown = serde_json::to_value(&sent).unwrap();
        assert_eq!(shown["method"], "POST");
        assert_eq!(shown["url"], "https://splunk.example:8088/services/collector/event");
        let headers: Vec<_> = sent.headers.iter().collect();
        assert_eq!(headers[..2], [("authorization", "[redacted]"), ("content-type", "application/json")]);
        assert_eq!(headers[3], ("webhook-timestamp", "1736937000"));
        assert!(headers[4].0 == "x-toktra-signature" && headers[4].1.starts_with("sha256="), "{headers:?}");
        let text = shown.to_string();
        assert!(!text.to_lowercase().contains("canary") && !text.contains("of a body"), "{text}");
        assert_eq!(serde_json::from_value::<SentRequest>(shown).unwrap(), sent);
    }

    #[test]
    fn a_url_that_is_a_secret_is_shown_up_to_its_origin() {
        let request = OutboundRequest {
            method: Method::Post,
            url: "https://hooks.example:8443/services/canary?key=canary".into(),
            secret_url: true,
            headers: vec![(format!("x-{}", "made-at-run-time").into(), HeaderText::Plain("yes".into()))],
            body: Bytes::new(),
        };
        let sent = SentRequest::of(&SignedRequest::seal(
            request,
            &SigningKeys::default(),
            DeliveryId(Uuid::nil()),
            Timestamp(0),
        ));
        assert_eq!(sent.url, "https://hooks.example:8443/[redacted]");
        assert_eq!(sent.headers.iter().next(), Some(("x-made-at-run-time", "yes")));
    }

    #[test]
    fn an_answer_may_hold_the_credential_wherever_it_likes() {
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(kept("server", "nginx\u{1b}[31m"), text("server", "nginx [31m"));
        assert_eq!(kept("x-echo", &format!("Splunk {SECRET}!")), text("x-echo", "Splunk [redacted]!"));
        assert_eq!(kept(&SECRET.to_lowercase(), "y"), text("[redacted]", "[redacted]"));
        for name in ["set-cookie", "authorization", "proxy-authorization", "x-auth-token", "X-Api-Key", "x-session-id"]
        {
            assert_eq!(kept(name, "abc"), text(name, "[redacted]"));
        }
        assert_eq!(kept("www-authenticate", "Basic realm=\"x\""), text("www-authenticate", "Basic realm=\"x\""));
    }

    proptest! {
        #[test]
        fn whatever_is_answered_little_is_kept_and_nothing_of_the_credential(
            headers in prop::collection::vec(("[a-z-]{1,300}", prop::collection::vec(any::<u8>(), 0..3_000), any::<bool>()), 0..60),
        ) {
            let headers: Vec<_> = headers.into_iter().map(|(name, mut value, echoes)| {
                if echoes {
                    value.extend_from_slice(SECRET.as_bytes());
                }
                (name, value)
            }).collect();
            let before: Vec<_> = headers.iter().map(|(name, _)| name.clone()).collect();
            let kept = Headers::of(&reply(headers), &redactor());
            prop_assert!(kept.iter().count() <= HEADERS);
            prop_assert!(kept.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= HEADER_BYTES);
            for ((name, value), before) in kept.iter().zip(before) {
                prop_assert!(before.starts_with(name) && name.len() <= NAME_BYTES && value.len() <= VALUE_BYTES);
                prop_assert!(!value.contains(&SECRET[..4]), "{value}");
                prop_assert!(!value.chars().any(char::is_control));
            }
        }
    }
}
