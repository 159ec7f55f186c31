//! What all replies have in common: `Retry-After`, and text that is fit to be kept and shown.
//!
//! A reply is foreign text. It may be HTML, cut short, in another encoding, hold terminal escapes, or echo our own credential;
//! whatever of it is kept goes through a [`Redactor`].

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use regex::bytes::{Regex, RegexBuilder};
use secrecy::{ExposeSecret as _, SecretString};

use super::Reply;
use crate::time::Timestamp;

/// The most that is kept of a reply's body, in bytes.
pub const EXCERPT_BYTES: usize = 4096;
/// The most that a cause quotes of a platform's sentence, in bytes.
pub const QUOTE_BYTES: usize = 400;
/// Shorter secrets are not looked for: they would turn up in ordinary words.
const SHORTEST_SECRET: usize = 4;
/// Longer ones are not looked for: no header that is sent is as long.
const LONGEST_SECRET: usize = 8 * 1024;
/// What the pattern of all secrets may take in memory.
const PATTERN_BYTES: usize = 32 * 1024 * 1024;
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

/// A pattern for a secret as anybody writes it: every sign that is no letter and no digit may be escaped as JSON, addresses and HTML escape it,
/// in any mixture, and base64 may lack its padding.
fn pattern(secret: &str) -> String {
    let padding = secret.trim_end_matches('=').len();
    let sign = |(at, c): (usize, char)| {
        if c.is_ascii_alphanumeric() {
            return c.to_string();
        }
        let (code, mut buffer) = (u32::from(c), [0; 4]);
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        let each = |before: &str| bytes.iter().map(|byte| format!("{before}{byte:02x}")).collect::<Vec<_>>().concat();
        let named = match c {
            '&' => "|&amp;",
            '<' => "|&lt;",
            '>' => "|&gt;",
            '"' => "|&quot;",
            '\'' => "|&apos;",
            ' ' => r"|\+",
            _ => "",
        };
        let missing = if at >= padding { "?" } else { "" };
        format!(r"(?:\\?{}|{}|\\u{code:04x}|&\#0*{code};|&\#x0*{code:x};{named}){missing}", each(r"\x"), each("%"))
    };
    secret.char_indices().map(sign).collect()
}

/// The most bytes that one byte of a secret takes in [`pattern`], but for zeros in front: `&quot;`.
const LONGEST_SIGN: usize = 8;

/// Removes a connector's own credential from what its endpoint says: some proxies echo the headers that they received.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Each form in which it travels, the longest first.
    secrets: Vec<SecretString>,
    /// Finds all of them in one pass, whatever became of their capitals; `None` if there is nothing to look for.
    finder: Option<Regex>,
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
        let fits = |form: &String| (SHORTEST_SECRET..=LONGEST_SECRET).contains(&form.len());
        let mut forms: Vec<String> = forms.into_iter().filter(fits).collect();
        // The longest first: one form may hold another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        if forms.is_empty() {
            return Self::default();
        }
        let all = forms.iter().map(|form| pattern(form)).collect::<Vec<_>>().join("|");
        // Bytes: what is redacted need not be text.
        let finder = RegexBuilder::new(&format!("(?-u){all}")).case_insensitive(true).size_limit(PATTERN_BYTES).build();
        Self { finder: finder.ok(), secrets: forms.into_iter().map(SecretString::from).collect() }
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
        let longest = self.secrets.first().map_or(0, |secret| secret.expose_secret().len() * LONGEST_SIGN);
        let window = cap.saturating_add(longest).min(text.len());
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

    /// Takes the credential out, and leaves everything else as it is.
    pub fn redact(&self, text: String) -> String {
        match &self.finder {
            _ if !self.is_in(&text) => text,
            Some(finder) => {
                String::from_utf8_lossy(&finder.replace_all(text.as_bytes(), REDACTED.as_bytes())).into_owned()
            }
            None => REDACTED.to_owned(),
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
