//! What may have happened to a body or a secret between the one who signed and the one who looks: each common mistake undone, with what to
//! say if that was it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;

use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::signing;

use super::finding::Finding;
use crate::json_text;

/// The first bytes of everything that gzip made.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Bytes that may be what was signed, or signed with, and what it would mean. The first is always what was typed, and means nothing.
pub(super) struct Variant {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What to say if it was these.
    pub finding: Option<Finding>,
    /// It is no mistake: only the way how they were written into the form.
    pub harmless: bool,
}

struct Variants(Vec<Variant>);

impl Variants {
    fn of(typed: &str) -> Self {
        Self(vec![Variant { bytes: typed.into(), finding: None, harmless: true }])
    }

    fn push(&mut self, bytes: impl Into<Vec<u8>>, what: &'static str, remedy: &'static str) {
        self.add(bytes.into(), Finding::new(what, remedy), false);
    }

    fn add(&mut self, bytes: Vec<u8>, finding: Finding, harmless: bool) {
        if !bytes.is_empty() && !self.0.iter().any(|known| known.bytes == bytes) {
            self.0.push(Variant { bytes, finding: Some(finding), harmless });
        }
    }
}

/// Those of a body. Line ends of `typed` are single line feeds: a browser tells nothing else.
pub(super) fn bodies(typed: &str) -> Vec<Variant> {
    let mut all = Variants::of(typed);
    all.push(
        format!("{typed}\n"),
        "The body that was signed ends with a line break, and this one does not.",
        "Check the bytes as they came, before anything trims them. Elasticsearch's bulk format ends with a line break.",
    );
    all.push(
        typed.trim_end(),
        "This body has white space at its end that was not signed.",
        "Leave it out. Editors, `echo` and copying from a terminal add a line break; `printf '%s'` does not.",
    );
    all.push(
        typed.trim_start_matches('\u{feff}').trim(),
        "This body has white space or a byte order mark around it that was not signed.",
        "Check the bytes as they came, before anything decodes or prints them.",
    );
    if typed.contains('\n') {
        let crlf = typed.replace('\n', "\r\n");
        let what = "The body that was signed has line ends of two bytes (CRLF), not of one (LF).";
        let remedy =
            "Toktra sends LF. Look for what rewrites line ends on the way: text mode of a file, a mail, a form.";
        all.push(format!("{crlf}\r\n"), what, remedy);
        all.push(crlf, what, remedy);
    }
    encoded(typed, &mut all);
    quoted(typed, &mut all);
    reformatted(typed, &mut all);
    all.0
}

/// Bodies that are no text are pasted in base64 or hex.
fn encoded(typed: &str, all: &mut Variants) {
    let dense: String = typed.split_whitespace().collect();
    for (encoding, decoded) in [("hex", hex::decode(&dense).ok()), ("base64", BASE64.decode(&dense).ok())] {
        let Some(bytes) = decoded else { continue };
        let what = if bytes.starts_with(GZIP) { ", compressed with gzip" } else { "" };
        let finding = Finding::new(
            format!("The body was read as {encoding}{what}: these bytes are what was signed."),
            "Nothing to change, as long as your code checks the same bytes: those of the request, before they are decoded or inflated.",
        );
        all.add(bytes, finding, true);
    }
}

/// Bodies that a log or a program put into quotes.
fn quoted(typed: &str, all: &mut Variants) {
    let whole = typed.trim();
    if let Ok(inner) = serde_json::from_str::<String>(whole) {
        all.push(
            inner,
            "This body is a JSON string that holds the body that was signed.",
            "Take the string out of its quotes first. Better: check the bytes of the request rather than what a log made of them.",
        );
    }
    let bare = whole.strip_prefix('b').unwrap_or(whole);
    let inner = ['\'', '"', '`'].into_iter().find_map(|quote| bare.strip_prefix(quote)?.strip_suffix(quote));
    if let Some(inner) = inner {
        all.push(inner, "This body has quotes around it that were not signed.", "Leave the quotes out.");
    }
    if whole.contains('&') {
        let plain = [("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
        all.push(
            plain.iter().fold(whole.to_owned(), |text, (entity, sign)| text.replace(entity, sign)),
            "This body has characters that were escaped for HTML.",
            "Take the body from the request, or from the source of the page that shows it.",
        );
    }
}

/// Bodies that were read as JSON and printed again.
fn reformatted(typed: &str, all: &mut Variants) {
    if !typed.trim_start().starts_with(['{', '[']) {
        return;
    }
    let what = "This body was read as JSON and written again: white space between its members was not signed.";
    let remedy = "Check the raw bytes of the request before your framework parses them: in Flask `request.get_data()`, in Express \
                  `express.raw()`, in Django `request.body`.";
    let escapes = "This body was read as JSON and written again: white space, or how characters are escaped, is not what was signed.";
    let compact = json_text::documents(typed);
    let plain: Vec<String> = compact.iter().map(|document| unescaped(document)).collect();
    let printed: Vec<String> = plain.iter().map(|document| escaped(document)).collect();
    for (documents, what) in [(&compact, what), (&plain, escapes), (&printed, escapes)] {
        for between in ["", "\n"] {
            let joined = documents.join(between);
            all.push(format!("{joined}\n"), what, remedy);
            all.push(joined, what, remedy);
        }
    }
}

/// Characters for their escapes, where JSON does not need them: `é` for `\u00e9`, `/` for `\/`.
fn unescaped(json: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (text, length) = match rest.as_bytes().get(1) {
            Some(b'/') => ("/".to_owned(), 2),
            Some(b'u') => character(rest).map_or_else(|| (r"\u".to_owned(), 2), |(c, length)| (c.to_string(), length)),
            Some(byte) if byte.is_ascii() => (rest[..2].to_owned(), 2),
            _ => ("\\".to_owned(), 1),
        };
        out.push_str(&text);
        rest = &rest[length..];
    }
    out + rest
}

/// The character that `\u…` at the beginning of `text` means, beyond ASCII, and how long it is written.
fn character(text: &str) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let digits = text.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    let (units, length) = match unit(6) {
        Some(second) if (0xd800..0xdc00).contains(&first) => (vec![first, second], 12),
        _ => (vec![first], 6),
    };
    let c = char::decode_utf16(units).next()?.ok()?;
    (!c.is_ascii()).then_some((c, length))
}

/// Escapes for what is not ASCII, as Python's `json.dumps` writes them.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Those of a secret. None of the sentences holds it.
pub(super) fn secrets(typed: &str) -> Vec<Variant> {
    let mut all = Variants::of(typed);
    let trimmed = typed.trim();
    all.push(
        trimmed,
        "The secret has white space around it that does not belong to it.",
        "Leave it out. A line break at the end often comes from reading the secret from a file: trim it.",
    );
    all.push(
        format!("{trimmed}\n"),
        "This signature was made with the secret and a line break behind it.",
        "Whoever signed read the secret from a file with a line break at its end: trim it there.",
    );
    all.push(
        trimmed.trim_matches(['"', '\'', '`']),
        "The secret has quotes around it that do not belong to it.",
        "Leave the quotes out: `.env` files and shells take them for a part of the value.",
    );
    if let Ok(bytes) = hex::decode(trimmed) {
        all.push(
            bytes,
            "This signature was made with the bytes that the secret spells in hex, not with its characters.",
            "The key is the secret as it is written: `secret.encode()` in Python, the string itself in Node.js. Do not decode it.",
        );
    }
    let prefixed = trimmed.strip_prefix("whsec_");
    let decoded = "This signature was made with the bytes that the secret spells in base64, not with its characters.";
    let raw = "For `X-Toktra-Signature` the key is the secret as it is written. Only for `webhook-signature`, what follows `whsec_` is decoded.";
    if let Some(bare) = prefixed {
        all.push(
            bare,
            "The prefix `whsec_` does not belong to the secret that this was signed with.",
            "Leave the prefix out.",
        );
    }
    if let Ok(bytes) = BASE64.decode(prefixed.unwrap_or(trimmed)) {
        all.push(bytes, decoded, raw);
    }
    all.push(
        format!("whsec_{trimmed}"),
        "The secret that this was signed with begins with `whsec_`.",
        "Leave the prefix on: Toktra's key is the secret as it was set, prefix and all.",
    );
    if trimmed.bytes().all(|b| b.is_ascii_hexdigit()) {
        all.push(
            trimmed.to_ascii_lowercase(),
            "The secret that this was signed with is in lower case.",
            "Write it as it was given: a secret in upper case is another one.",
        );
    }
    all.0
}

/// Those of a secret for `webhook-signature`.
pub(super) fn webhook_secrets(typed: &SecretString) -> Vec<Variant> {
    let mut all = Variants(vec![Variant { bytes: signing::webhook_key(typed), finding: None, harmless: true }]);
    all.push(
        typed.expose_secret().as_bytes(),
        "This signature was made with the characters of the secret, not with the bytes that they spell in base64.",
        "Decode what follows `whsec_`, as the libraries for Standard Webhooks do.",
    );
    for variant in secrets(typed.expose_secret()) {
        if !all.0.iter().any(|known| known.bytes == variant.bytes) {
            all.0.push(variant);
        }
    }
    all.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_only_where_json_does_not_need_them() {
        assert_eq!(
            unescaped(r#"{"a":"\u00e9\ud83d\ude00\/\n\\u00e9\"\u0001\ud800 \u12"}"#),
            r#"{"a":"é😀/\n\\u00e9\"\u0001\ud800 \u12"}"#
        );
        assert_eq!(escaped("{\"a\":\"é😀\"}"), r#"{"a":"\u00e9\ud83d\ude00"}"#);
        assert_eq!(unescaped("\\"), "\\");
        assert_eq!(unescaped("\\é"), "\\é");
    }

    #[test]
    fn what_was_typed_comes_first_and_nothing_comes_twice() {
        for all in [bodies("{\"a\": 1}\n"), bodies(""), bodies("text"), secrets("00ff"), secrets(" x ")] {
            assert!(all[0].finding.is_none());
            for (at, variant) in all.iter().enumerate() {
                assert_eq!(all.iter().position(|other| other.bytes == variant.bytes), Some(at));
            }
        }
    }
}
