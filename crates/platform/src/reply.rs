//! What the replies of the platforms have in common: the statuses that mean the same everywhere. A platform's own folder is left with
//! what is its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::destination::reply::{EXCERPT_BYTES, QUOTE_BYTES};
pub use toktra_siem_core::destination::reply::{Redactor, retry_after};
use toktra_siem_core::destination::{EndpointState, Judgement, Outcome, Reply, Verdict};
use toktra_siem_core::time::Timestamp;

/// The credential part of `Authorization: Basic`.
pub fn basic(username: Option<&str>, password: &SecretString) -> SecretString {
    BASE64.encode(format!("{}:{}", username.unwrap_or_default(), password.expose_secret())).into()
}

/// Whether the body is a page for a browser: no platform's interface answers with one, but web ports, proxies and login pages do.
pub fn is_html(reply: &Reply) -> bool {
    reply.content_type.as_deref().is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
        || reply.body.trim_ascii_start().starts_with(b"<")
}

/// Why, where a refusal comes as a page for a browser: no event intake writes one.
const PAGE_REFUSES: &str = "a web page came back, so this is not its own answer: a proxy, gateway or login page in between probably refuses the \
                            request. Let this service's requests pass there, then test again.";
/// The same beside what the status says.
const PAGE_IN_BETWEEN: &str = "The answer is a web page: a proxy, gateway or login page in between probably gave it.";

/// Whether a web server says that its port speaks TLS only: nginx, Go and Apache do so, each in its own words.
fn wants_tls(reply: &Reply) -> bool {
    const SAID: [&str; 3] = [
        "plain HTTP request was sent to HTTPS port",
        "HTTP request to an HTTPS server",
        "speaking plain HTTP to an SSL-enabled server port",
    ];
    let start = &reply.body[..reply.body.len().min(EXCERPT_BYTES)];
    reply.status == 400 && SAID.iter().any(|said| start.windows(said.len()).any(|part| part == said.as_bytes()))
}

/// What a destination needs to speak of its endpoint: its name for people and for codes, and what to look at when nothing sensible
/// answers there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// For people: `Splunk`.
    pub name: &'static str,
    /// The first word of its causes' codes: `splunk`.
    pub key: &'static str,
    /// The next step where the address seems wrong; a whole sentence.
    pub address: String,
    /// Cleans what it says.
    pub redactor: Redactor,
}

impl Endpoint {
    /// A cause `<key>_<what>` that begins with what the endpoint answered. `why` goes on after the colon and ends with the next step;
    /// the endpoint's own sentence follows.
    pub fn cause(&self, what: &str, reply: &Reply, why: &str) -> Cause {
        let mut cause = self.known_cause(what, reply, why);
        cause.message.push_str(&self.said(reply));
        cause
    }

    /// The same for an answer whose meaning is fully known: its own words would add nothing.
    pub fn known_cause(&self, what: &str, reply: &Reply, why: &str) -> Cause {
        Cause::coded(&format!("{}_{what}", self.key), format!("{} answered {}: {why}", self.name, reply.status))
    }

    /// The sentence of a reply, ready to be appended to a message; empty where it has none for people.
    fn said(&self, reply: &Reply) -> String {
        if is_html(reply) {
            return String::new();
        }
        let text = match serde_json::from_slice::<Value>(&reply.body) {
            Ok(json) => sentence(&json).map(|text| self.redactor.quote(text)),
            Err(_) => Some(self.redactor.clean(&reply.body, QUOTE_BYTES, reply.truncated)),
        };
        match text {
            Some(text) if !text.is_empty() => format!(" It said: “{text}”"),
            _ => String::new(),
        }
    }

    /// All events may be accepted later.
    pub fn retry(reply: &Reply, sent: usize, now: Timestamp, cause: Cause) -> Verdict {
        Verdict {
            judgement: Judgement::all(sent, Outcome::Retry(cause)),
            endpoint: EndpointState::Backoff { after: retry_after(reply, now) },
            confirm: None,
        }
    }

    /// The settings, here or there, keep all events from being accepted.
    pub fn held(sent: usize, cause: Cause) -> Verdict {
        Verdict {
            judgement: Judgement::all(sent, Outcome::Held(cause.clone())),
            endpoint: EndpointState::Misconfigured(cause),
            confirm: None,
        }
    }

    /// One event, or the size, may be the reason: send halves.
    pub fn split(cause: Cause) -> Verdict {
        Verdict { judgement: Judgement::Split(cause), endpoint: EndpointState::Healthy, confirm: None }
    }

    /// What answered in the place of the platform, as far as it tells, and the next step.
    fn answered_by(&self, reply: &Reply) -> String {
        let kind = reply.content_type.as_deref().map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let what = match kind.filter(|kind| !kind.is_empty()) {
            _ if is_html(reply) => PAGE_IN_BETWEEN.to_owned(),
            _ if reply.body.trim_ascii().is_empty() => "The answer is empty.".to_owned(),
            Some(kind) => format!("The answer is of the type “{}”.", self.redactor.quote(kind)),
            None => "The answer does not say of which type it is.".to_owned(),
        };
        let server = header(reply, "server").map(|server| self.redactor.quote(&String::from_utf8_lossy(server)));
        let server = server.filter(|server| !server.is_empty());
        let server = server.map(|server| format!(" The server calls itself “{server}”.")).unwrap_or_default();
        let name = self.name;
        format!(
            "{what}{server} Look whether {name} itself is at this URL, or a proxy answers in its place; then test again."
        )
    }

    /// Where a redirect points; `None` where it does not say.
    fn redirected(&self, reply: &Reply) -> Option<String> {
        let to = self.redactor.quote(&String::from_utf8_lossy(header(reply, "location")?));
        let name = self.name;
        (!to.is_empty()).then(|| {
            format!(
                "it redirects to “{to}”, and redirects are never followed. If {name} takes events there, enter that address as the URL; if it is a \
                 login page, a proxy or a web interface answers in the place of {name}. Then test again."
            )
        })
    }

    /// The meaning of a status by itself, for replies of which the platform's own file knows nothing better (RFC 9110; the
    /// fixtures of each platform hold its own table).
    pub fn by_status(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        if wants_tls(reply) {
            let why = "it expects TLS on this port, and the URL says http. Write the URL with https, then test again.";
            return Self::held(sent, self.known_cause("tls_expected", reply, why));
        }
        let StatusMeaning { class, what, why, check_address } = status_meaning(reply.status);
        let why = match reply.status {
            400..=403 if is_html(reply) => PAGE_REFUSES.to_owned(),
            500..=599 if is_html(reply) => format!("{why} {PAGE_IN_BETWEEN}"),
            200..=299 => format!("{why} {}", self.answered_by(reply)),
            300..=399 => self.redirected(reply).unwrap_or_else(|| format!("{why} {}", self.address)),
            _ if check_address => format!("{why} {}", self.address),
            _ => why.to_owned(),
        };
        let cause = self.cause(&what.map_or_else(|| format!("http_{}", reply.status), str::to_owned), reply, &why);
        match class {
            StatusClass::Held => Self::held(sent, cause),
            StatusClass::Split => Self::split(cause),
            StatusClass::Retry => Self::retry(reply, sent, now, cause),
        }
    }
}

/// The text of the first header of this name.
fn header<'a>(reply: &'a Reply, wanted: &str) -> Option<&'a [u8]> {
    reply.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_ref())
}

enum StatusClass {
    Held,
    Split,
    Retry,
}

struct StatusMeaning {
    class: StatusClass,
    /// The end of the cause's code; `http_<status>` where there is no better word.
    what: Option<&'static str>,
    why: &'static str,
    /// The next step is to look at the address.
    check_address: bool,
}

/// Only 400, 413 and 422 can be the fault of an event. Any other refusal holds the events: none is lost to a proxy's mood.
fn status_meaning(status: u16) -> StatusMeaning {
    use StatusClass::{Held, Retry, Split};
    let (class, what, why, check_address) = match status {
        200..=299 => (
            Held,
            Some("unexpected_success"),
            "this is not the answer of its event intake, so the events cannot be taken as accepted.",
            true,
        ),
        300..=399 => {
            (Held, Some("redirect"), "it redirects to another address, and redirects are never followed.", true)
        }
        400 | 422 => (
            Split,
            None,
            "it could not read the request. One of its events is probably malformed for this platform, or a proxy in between \
             refuses it. Look at the event, and at the proxy's log.",
            false,
        ),
        401 => (
            Held,
            None,
            "it does not accept the credential. It was probably revoked or entered incompletely: enter it again, then test. If a proxy \
             in front of it verifies signatures, compare the signing secret, too.",
            false,
        ),
        403 => (
            Held,
            None,
            "this credential may not do this. It was probably revoked or lacks a permission: check it there, then test again.",
            false,
        ),
        404 | 405 => (Held, Some("wrong_path"), "nothing takes events at this address.", true),
        407 => (
            Held,
            None,
            "a proxy in between wants its own login. Let this service's requests pass, then test again.",
            false,
        ),
        413 => (
            Split,
            Some("too_large"),
            "the request is too large for it. Its limit, or that of a proxy in between, is lower than usual: raise it if single \
             events are refused, too.",
            false,
        ),
        415 => (
            Held,
            None,
            "it does not take a body of this kind. It probably cannot read compressed bodies: set compression to none in the \
             connector, then test again.",
            false,
        ),
        429 => (
            Retry,
            Some("busy"),
            "it takes no more requests for now. Sending goes on by itself; if this lasts, raise its limits.",
            false,
        ),
        408 | 425 | 500..=599 => (
            Retry,
            None,
            "it, or a proxy in front of it, is overloaded, restarting or broken. Sending goes on by itself; if this lasts, look \
             at its own log.",
            false,
        ),
        402..=499 => (
            Held,
            None,
            "its event intake is not known to answer so; a proxy in between is the likeliest source.",
            true,
        ),
        _ => (
            Retry,
            Some("no_http"),
            "this is no HTTP status, so what became of the events is unknown and they are sent again.",
            true,
        ),
    };
    StatusMeaning { class, what, why, check_address }
}

/// The first thing in a JSON error that is meant for people: Splunk's `text`, Elasticsearch's `error`, Datadog's `errors`.
fn sentence(json: &Value) -> Option<&str> {
    [
        "/text",
        "/messages/0/text",
        "/error/reason",
        "/error",
        "/message",
        "/errors/0/detail",
        "/errors/0/title",
        "/errors/0",
    ]
    .iter()
    .find_map(|path| json.pointer(path).and_then(Value::as_str))
}
