//! What the replies of the platforms have in common: `Retry-After`, text that is fit to be kept and shown, and the statuses that mean
//! the same everywhere. A platform's own file is left with what is its own.
//!
//! A reply is foreign text. It may be HTML, cut short, in another encoding, hold terminal escapes, or echo our own credential;
//! whatever of it is kept goes through a [`Redactor`].

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{EndpointState, Judgement, Outcome, Reply, Verdict};
use crate::cause::Cause;
use crate::connector::{Credentials, PlatformConfig, Settings};
use crate::time::Timestamp;

/// The most that is kept of a reply's body, in bytes (threats.md, "reading internal answers back").
pub const EXCERPT_BYTES: usize = 4096;
/// The most that a cause quotes of a platform's sentence, in bytes.
const QUOTE_BYTES: usize = 400;
/// Shorter secrets are not looked for: they would turn up in ordinary words.
const SHORTEST_SECRET: usize = 4;
/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// The pause that `Retry-After` asks for, counted from `now`: whole seconds or an HTTP date (RFC 9110, section 10.2.3).
///
/// `None` where it is absent or neither. A date that has passed asks for nothing more; a number too large to be meant is the longest
/// pause there is. The delivery caps it.
pub fn retry_after(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let text = reply.retry_after.as_deref()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let ms = i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    Some(Timestamp(ms).since(now))
}

/// Foreign text made fit to be stored and shown: one line, without control, formatting or direction characters, at most `cap` bytes.
pub fn sanitise(text: &str, cap: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(cap));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        let word = word.chars().filter(|c| !is_invisible(*c));
        let mut started = false;
        for c in word {
            let space = usize::from(!started && !clean.is_empty());
            if clean.len() + space + c.len_utf8() > cap {
                return clean;
            }
            if space == 1 {
                clean.push(' ');
            }
            clean.push(c);
            started = true;
        }
    }
    clean
}

/// Characters that change how the text around them is shown: zero-width ones, direction overrides, byte order marks, tags.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Removes a connector's own credential from what its endpoint says: some proxies echo the headers that they received.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<SecretString>,
    longest: usize,
}

impl Redactor {
    /// Knows the credential in every form in which it travels.
    pub fn new(settings: &Settings, credentials: &Credentials) -> Self {
        let mut forms: Vec<String> = Vec::new();
        match credentials {
            Credentials::HecToken(secret) | Credentials::DatadogApiKey(secret) => {
                forms.push(secret.expose_secret().to_owned());
            }
            Credentials::ElasticsearchApiKey(encoded) => {
                let encoded = encoded.expose_secret();
                let decoded = BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                if let Some((_, key)) = decoded.as_deref().and_then(|pair| pair.split_once(':')) {
                    forms.push(key.to_owned());
                }
                forms.push(encoded.to_owned());
            }
            Credentials::ElasticsearchPassword(password) => {
                if let PlatformConfig::Elasticsearch(config) = &settings.platform {
                    forms.push(basic(config.username.as_deref(), password).expose_secret().to_owned());
                }
                forms.push(password.expose_secret().to_owned());
            }
            Credentials::None => {}
        }
        for at in 0..forms.len() {
            let escaped = serde_json::to_string(&forms[at]).unwrap_or_default();
            let escaped = escaped.trim_matches('"');
            if escaped != forms[at] {
                forms.push(escaped.to_owned());
            }
        }
        forms.retain(|form| form.len() >= SHORTEST_SECRET);
        // The longest first: one form may hold another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let longest = forms.first().map_or(0, String::len);
        Self { secrets: forms.into_iter().map(SecretString::from).collect(), longest }
    }

    /// The start of the reply's body for the history, sanitised and redacted; `None` where there is nothing to show.
    pub fn excerpt(&self, reply: &Reply) -> Option<String> {
        let text = self.clean(&reply.body, EXCERPT_BYTES, reply.truncated);
        (!text.is_empty()).then_some(text)
    }

    /// A platform's sentence, to be quoted in a cause.
    pub(super) fn quote(&self, text: &str) -> String {
        self.clean(text.as_bytes(), QUOTE_BYTES, false)
    }

    /// Whether the name of a header, which has lost its capitals on the way, holds a credential.
    pub(crate) fn is_in_name(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.secrets.iter().any(|secret| name.contains(&secret.expose_secret().to_lowercase()))
    }

    /// Foreign text, sanitised and redacted: its first `cap` bytes. `cut_before`: it lost its end already.
    pub(crate) fn clean(&self, text: &[u8], cap: usize, cut_before: bool) -> String {
        // Looks a little further than it keeps, so that a secret across the edge is still recognised.
        let window = cap.saturating_add(self.longest).min(text.len());
        let raw = self.redact(String::from_utf8_lossy(&text[..window]).into_owned());
        // Once more afterwards: characters that nobody sees may have hidden one.
        let mut shown = self.redact(sanitise(&raw, usize::MAX));
        if window < text.len() || cut_before {
            self.drop_cut_secret(&mut shown);
        }
        shown.truncate(shown.floor_char_boundary(cap));
        shown.truncate(shown.trim_end().len());
        shown
    }

    fn redact(&self, mut text: String) -> String {
        for secret in &self.secrets {
            if text.contains(secret.expose_secret()) {
                text = text.replace(secret.expose_secret(), REDACTED);
            }
        }
        text
    }

    /// Where the text was cut, its end may be the start of a secret.
    fn drop_cut_secret(&self, shown: &mut String) {
        let cut = self.secrets.iter().filter_map(|secret| {
            let secret = secret.expose_secret();
            (1..secret.len()).rev().find(|len| secret.is_char_boundary(*len) && shown.ends_with(&secret[..*len]))
        });
        if let Some(len) = cut.max() {
            shown.truncate(shown.len() - len);
        }
    }
}

/// The credential part of `Authorization: Basic`.
pub(super) fn basic(username: Option<&str>, password: &SecretString) -> SecretString {
    BASE64.encode(format!("{}:{}", username.unwrap_or_default(), password.expose_secret())).into()
}

/// Whether the body is a page for a browser: no platform's interface answers with one, but web ports, proxies and login pages do.
pub(super) fn is_html(reply: &Reply) -> bool {
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
pub(super) struct Endpoint {
    /// For people: `Splunk`.
    pub(super) name: &'static str,
    /// The first word of its causes' codes: `splunk`.
    pub(super) key: &'static str,
    /// The next step where the address seems wrong; a whole sentence.
    pub(super) address: String,
    /// Cleans what it says.
    pub(super) redactor: Redactor,
}

impl Endpoint {
    /// A cause `<key>_<what>` that begins with what the endpoint answered. `why` goes on after the colon and ends with the next step;
    /// the endpoint's own sentence follows.
    pub(super) fn cause(&self, what: &str, reply: &Reply, why: &str) -> Cause {
        let mut cause = self.known_cause(what, reply, why);
        cause.message.push_str(&self.said(reply));
        cause
    }

    /// The same for an answer whose meaning is fully known: its own words would add nothing.
    pub(super) fn known_cause(&self, what: &str, reply: &Reply, why: &str) -> Cause {
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
    pub(super) fn retry(reply: &Reply, sent: usize, now: Timestamp, cause: Cause) -> Verdict {
        Verdict {
            judgement: Judgement::all(sent, Outcome::Retry(cause)),
            endpoint: EndpointState::Backoff { after: retry_after(reply, now) },
            confirm: None,
        }
    }

    /// The settings, here or there, keep all events from being accepted.
    pub(super) fn held(sent: usize, cause: Cause) -> Verdict {
        Verdict {
            judgement: Judgement::all(sent, Outcome::Held(cause.clone())),
            endpoint: EndpointState::Misconfigured(cause),
            confirm: None,
        }
    }

    /// One event, or the size, may be the reason: send halves.
    pub(super) fn split(cause: Cause) -> Verdict {
        Verdict { judgement: Judgement::Split(cause), endpoint: EndpointState::Healthy, confirm: None }
    }

    /// The meaning of a status by itself, for replies of which the platform's own file knows nothing better (destinations.md, the
    /// reply tables; faults.md, "413").
    pub(super) fn by_status(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        if wants_tls(reply) {
            let why = "it expects TLS on this port, and the URL says http. Write the URL with https, then test again.";
            return Self::held(sent, self.known_cause("tls_expected", reply, why));
        }
        let StatusMeaning { class, what, why, check_address } = status_meaning(reply.status);
        let why = match reply.status {
            400..=403 if is_html(reply) => PAGE_REFUSES.to_owned(),
            500..=599 if is_html(reply) => format!("{why} {PAGE_IN_BETWEEN}"),
            200..=299 if is_html(reply) => format!("{why} {PAGE_IN_BETWEEN} {}", self.address),
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
            "it does not accept the credential. It was probably revoked or entered incompletely: enter it again, then test.",
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
    ["/text", "/error/reason", "/error", "/message", "/errors/0/detail", "/errors/0/title", "/errors/0"]
        .iter()
        .find_map(|path| json.pointer(path).and_then(Value::as_str))
}
