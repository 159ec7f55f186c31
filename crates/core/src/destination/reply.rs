//! What all replies have in common: `Retry-After`, and text that is fit to be kept and shown.
//!
//! A reply is foreign text. It may be HTML, cut short, in another encoding, hold terminal escapes, or echo our own credential;
//! whatever of it is kept goes through a [`Redactor`].

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};

use super::Reply;
use crate::time::Timestamp;

/// The most that is kept of a reply's body, in bytes (threats.md, "reading internal answers back").
pub const EXCERPT_BYTES: usize = 4096;
/// The most that a cause quotes of a platform's sentence, in bytes.
pub const QUOTE_BYTES: usize = 400;
/// Shorter secrets are not looked for: they would turn up in ordinary words.
const SHORTEST_SECRET: usize = 4;
/// Longer ones are not looked for: no header that is sent is as long.
const LONGEST_SECRET: usize = 8 * 1024;
/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

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

/// How others write a secret: in JSON as several libraries escape it, in addresses, in HTML; and base64 without its padding. Capitals are
/// passed over where a secret is looked for.
fn spellings(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let of_each = |spell: fn(char) -> Option<String>| -> String {
        secret.chars().map(|c| spell(c).unwrap_or_else(|| c.to_string())).collect()
    };
    let strict: String = secret
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let named = of_each(|c| {
        Some(match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            _ => return None,
        })
    });
    let decimal = of_each(|c| "\"&'<>=+/".contains(c).then(|| format!("&#{};", u32::from(c))));
    let hexadecimal = of_each(|c| "\"&'<>=+/".contains(c).then(|| format!("&#x{:x};", u32::from(c))));
    let unicode = of_each(|c| "\"&'<>=+/".contains(c).then(|| format!("\\u{:04x}", u32::from(c))));
    vec![
        json.replace('/', "\\/"),
        json.replace('=', "\\u003d")
            .replace('&', "\\u0026")
            .replace('\'', "\\u0027")
            .replace('<', "\\u003c")
            .replace('>', "\\u003e"),
        json,
        percent.replace('+', "%20"),
        percent,
        strict,
        named,
        decimal,
        hexadecimal,
        unicode,
        secret.trim_end_matches('=').to_owned(),
    ]
}

/// Removes a connector's own credential from what its endpoint says: some proxies echo the headers that they received.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<SecretString>,
    /// Finds all of them in one pass, whatever became of their capitals.
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Knows the credential by every form in which it travels.
    pub fn new(forms: impl IntoIterator<Item = String>) -> Self {
        // What is longer than any header is no part of a request, such as the key of a client certificate.
        let mut forms: Vec<String> = forms.into_iter().filter(|form| form.len() <= LONGEST_SECRET).collect();
        let spellings: Vec<String> = forms.iter().flat_map(|form| spellings(form)).collect();
        forms.extend(spellings);
        forms.retain(|form| form.len() >= SHORTEST_SECRET);
        // The longest first: one form may hold another.
        forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        forms.dedup();
        let longest = forms.first().map_or(0, String::len);
        let mut builder = AhoCorasick::builder();
        builder.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest);
        let finder =
            builder.kind(Some(AhoCorasickKind::ContiguousNFA)).build(&forms).ok().filter(|_| !forms.is_empty());
        Self { secrets: forms.into_iter().map(SecretString::from).collect(), finder, longest }
    }

    fn is_in(&self, text: impl AsRef<[u8]>) -> bool {
        match &self.finder {
            Some(finder) => finder.is_match(text.as_ref()),
            // Nothing to look for, or nothing to look with: then everything is taken for it.
            None => !self.secrets.is_empty(),
        }
    }

    /// The start of the reply's body for the history, sanitised and redacted; `None` where there is nothing to show.
    pub fn excerpt(&self, reply: &Reply) -> Option<String> {
        let text = self.clean(&reply.body, EXCERPT_BYTES, reply.truncated);
        (!text.is_empty()).then_some(text)
    }

    /// A platform's sentence, to be quoted in a cause.
    pub fn quote(&self, text: &str) -> String {
        self.clean(text.as_bytes(), QUOTE_BYTES, false)
    }

    /// Whether the name of a header, which has lost its capitals on the way, holds a credential.
    pub(crate) fn is_in_name(&self, name: &str) -> bool {
        self.is_in(name)
    }

    /// Foreign text, sanitised and redacted: its first `cap` bytes. `cut_before`: it lost its end already.
    pub fn clean(&self, text: &[u8], cap: usize, cut_before: bool) -> String {
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

    /// The same reply, as if its endpoint had never seen the credential.
    #[must_use]
    pub fn scrub(&self, reply: Reply) -> Reply {
        let bytes = |bytes: Bytes| {
            if self.is_in(&bytes) { self.redact(String::from_utf8_lossy(&bytes).into_owned()).into() } else { bytes }
        };
        let Reply { status, retry_after, content_type, headers, body, truncated } = reply;
        let headers = headers.into_iter().map(|(name, value)| {
            if self.is_in_name(&name) { (REDACTED.to_owned(), REDACTED.into()) } else { (name, bytes(value)) }
        });
        Reply {
            status,
            retry_after: retry_after.map(|text| self.redact(text)),
            content_type: content_type.map(|text| self.redact(text)),
            headers: headers.collect(),
            body: bytes(body),
            truncated,
        }
    }

    /// Takes the credential out.
    pub(crate) fn redact(&self, text: String) -> String {
        match &self.finder {
            Some(finder) if finder.is_match(&text) => finder.replace_all(&text, &vec![REDACTED; self.secrets.len()]),
            None if !self.secrets.is_empty() => REDACTED.to_owned(),
            _ => text,
        }
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
