//! What all replies have in common: `Retry-After`, and text that is fit to be kept and shown.
//!
//! A reply is foreign text. It may be HTML, cut short, in another encoding, hold terminal escapes, or echo our own credential;
//! whatever of it is kept goes through a [`Redactor`].

use std::time::{Duration, UNIX_EPOCH};

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

/// Removes a connector's own credential from what its endpoint says: some proxies echo the headers that they received.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<SecretString>,
    longest: usize,
}

impl Redactor {
    /// Knows the credential by every form in which it travels.
    pub fn new(forms: impl IntoIterator<Item = String>) -> Self {
        let mut forms: Vec<String> = forms.into_iter().collect();
        // As JSON and addresses spell them. What capitals do to a secret is looked at where it is looked for.
        for at in 0..forms.len() {
            let escaped = serde_json::to_string(&forms[at]).unwrap_or_default();
            let escaped = escaped.trim_matches('"');
            let encoded: String = url::form_urlencoded::byte_serialize(forms[at].as_bytes()).collect();
            let spaced = encoded.replace('+', "%20");
            for other in [escaped, &encoded, &spaced, &encoded.to_lowercase()] {
                if *other != forms[at] && !forms.iter().any(|form| form == other) {
                    forms.push(other.to_owned());
                }
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
    pub fn quote(&self, text: &str) -> String {
        self.clean(text.as_bytes(), QUOTE_BYTES, false)
    }

    /// Whether the name of a header, which has lost its capitals on the way, holds a credential.
    pub(crate) fn is_in_name(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.secrets.iter().any(|secret| name.contains(&secret.expose_secret().to_lowercase()))
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
        let is_in = |secret: &[u8], text: &[u8]| text.windows(secret.len()).any(|part| part == secret);
        let known = |text: &[u8]| self.secrets.iter().any(|secret| is_in(secret.expose_secret().as_bytes(), text));
        let text = |text: String| self.redact(text);
        let bytes = |bytes: Bytes| {
            if known(&bytes) { self.redact(String::from_utf8_lossy(&bytes).into_owned()).into() } else { bytes }
        };
        let header = |value: Bytes| match std::str::from_utf8(&value) {
            Ok(text) => self.redact(text.to_owned()).into(),
            Err(_) => bytes(value),
        };
        let Reply { status, retry_after, content_type, headers, body, truncated } = reply;
        let headers = headers.into_iter().map(|(name, value)| {
            if self.is_in_name(&name) { (REDACTED.to_owned(), REDACTED.into()) } else { (name, header(value)) }
        });
        Reply {
            status,
            retry_after: retry_after.map(text),
            content_type: content_type.map(text),
            headers: headers.collect(),
            body: bytes(body),
            truncated,
        }
    }

    /// Takes the credential out, whatever became of its capitals.
    pub(crate) fn redact(&self, mut text: String) -> String {
        for secret in &self.secrets {
            let small = secret.expose_secret().to_ascii_lowercase();
            let mut from = 0;
            // Small ASCII letters stand where the capitals stood, so that places are the same in both.
            while let Some(at) = text[from..].to_ascii_lowercase().find(&small) {
                let (start, end) = (from + at, from + at + small.len());
                text.replace_range(start..end, REDACTED);
                from = start + REDACTED.len();
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
