//! What may stand in a connector's settings and secrets, value by value. Every error is a sentence for the person who typed the value;
//! those about secrets never repeat any of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::SecretString;

/// The longest token or password, in bytes.
const MAX_SECRET: usize = 1024;
/// The largest `tls_ca`, in bytes.
const MAX_PEM: usize = 64 * 1024;
/// Datadog's longest metric name (destinations.md, "Metrics v2 series").
const MAX_METRIC_NAME: usize = 200;
/// What is appended to the metric prefix.
const METRIC_SUFFIX: &str = ".events";

type Checked<T = String> = Result<T, String>;

/// A name that only ever travels inside JSON: any text without control characters, at most 255 characters.
pub(super) fn label(text: &str) -> Checked {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("is empty".to_owned()),
        256.. => Err("is longer than 255 characters".to_owned()),
        _ if text.contains(char::is_control) => Err("holds a control character".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The start of daily index names. Strict, because the index name is also a pattern and part of a path.
pub(super) fn index_prefix(text: &str) -> Checked {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest && text.len() <= 201 {
        return Ok(text.to_owned());
    }
    Err("must begin with a lower-case letter or a digit and hold only those, `_`, `.` and `-`, at most 201 in all"
        .to_owned())
}

/// The start of metric names: with [`METRIC_SUFFIX`] it must be a name that Datadog accepts.
pub(super) fn metric_prefix(text: &str) -> Checked {
    let parts =
        text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let letter = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if parts && letter && text.len() + METRIC_SUFFIX.len() <= MAX_METRIC_NAME {
        return Ok(text.to_owned());
    }
    Err("must begin with a letter and hold only letters, digits and `_` in parts joined by single dots, at most 193 in all".to_owned())
}

/// The user name of HTTP Basic, which ends at the first colon.
pub(super) fn username(text: &str) -> Checked {
    let text = label(text)?;
    if text.contains(':') { Err("must not hold a colon".to_owned()) } else { Ok(text) }
}

/// A token that is sent as a header value. Whitespace around it is a slip of the clipboard.
pub(super) fn token(text: &str) -> Checked<SecretString> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > MAX_SECRET {
        return Err(format!("is longer than {MAX_SECRET} bytes"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(
            "holds a character that cannot stand in a header; paste the token alone, without spaces or a word such as \
                    `Splunk` or `Bearer` in front"
                .to_owned(),
        );
    }
    Ok(SecretString::from(text))
}

/// Elasticsearch's API key: in its encoded form, or as `id:key`, which is encoded here.
pub(super) fn elasticsearch_key(text: &str) -> Checked<SecretString> {
    let given = token(text)?;
    let text = text.trim();
    match text.split_once(':') {
        None => Ok(given),
        Some((id, key)) if !id.is_empty() && !key.is_empty() && !key.contains(':') => {
            Ok(SecretString::from(BASE64.encode(text)))
        }
        Some(_) => Err("must be the encoded API key, or `id:key` with both parts".to_owned()),
    }
}

/// A password; it is sent in base64, so that only its length and control characters matter.
pub(super) fn password(text: &str) -> Checked<SecretString> {
    match text.len() {
        0 => Err("is empty".to_owned()),
        n if n > MAX_SECRET => Err(format!("is longer than {MAX_SECRET} bytes")),
        _ if text.contains(char::is_control) => Err("holds a control character".to_owned()),
        _ => Ok(SecretString::from(text)),
    }
}

/// One or more certificates in PEM. Only the shape is checked here; transport reads them.
pub(super) fn certificates(text: &str) -> Checked {
    if text.len() > MAX_PEM {
        return Err(format!("is longer than {MAX_PEM} bytes; paste only the authority's own certificates"));
    }
    if text.contains("PRIVATE KEY") {
        return Err("holds a private key; paste certificates only, and consider that key known to others".to_owned());
    }
    let mut found = 0;
    for block in text.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let body = block.split_once("-----END CERTIFICATE-----").map(|(body, _)| body);
        let encoded: Option<String> = body.map(|b| b.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        if !encoded.is_some_and(|e| BASE64.decode(e).is_ok_and(|der| !der.is_empty())) {
            return Err("holds a certificate that is cut short or not base64; paste the PEM file as it is".to_owned());
        }
        found += 1;
    }
    if found == 0 {
        return Err("holds no certificate; paste PEM that begins with -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(format!("{}\n", text.trim()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn prefixes_make_valid_names_only() {
        for good in ["toktra-security-events", "a", "0.x_-", &"a".repeat(201)] {
            assert_eq!(index_prefix(good).unwrap(), *good);
        }
        for bad in ["", ".", "..", "-a", "_a", "A", "a*", "a/b", "a,b", "é", "a b", &"a".repeat(202)] {
            assert!(index_prefix(bad).is_err(), "{bad}");
        }
        for good in ["toktra.security", "a", "a_1.B2", &"a".repeat(193)] {
            assert_eq!(metric_prefix(good).unwrap(), *good);
        }
        for bad in ["", "1a", ".a", "a.", "a..b", "a-b", "é", "_a", &"a".repeat(194)] {
            assert!(metric_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_are_header_values_and_errors_never_repeat_them() {
        assert_eq!(token(" abc-123\n").unwrap().expose_secret(), "abc-123");
        for bad in ["", " ", "hunter2 x", "hunter2\r\nX: y", "hunter2é", "hunter2\u{7f}", &"hunter2".repeat(200)] {
            assert!(!token(bad).unwrap_err().contains("hunter2"));
            assert!(elasticsearch_key(bad).is_err());
        }
        assert!(password("pass word é").is_ok());
        assert!(password("hunter2\n").is_err());
        assert!(username("a:b").is_err());
    }

    #[test]
    fn elasticsearch_keys_are_encoded_once() {
        assert_eq!(elasticsearch_key("id:key").unwrap().expose_secret(), "aWQ6a2V5");
        assert_eq!(elasticsearch_key("aWQ6a2V5").unwrap().expose_secret(), "aWQ6a2V5");
        for bad in [":key", "id:", "a:b:c"] {
            assert!(elasticsearch_key(bad).is_err());
        }
    }

    #[test]
    fn certificates_have_the_shape_of_pem() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAEC\nAwQF\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates(pem).unwrap(), pem);
        assert_eq!(certificates(&format!("# my CA\n{pem}{pem}")).unwrap().matches("BEGIN").count(), 2);
        for bad in ["", "AAEC", &pem[..40], &pem.replace("AAEC", "A*EC"), &format!("{pem}-----BEGIN PRIVATE KEY-----")]
        {
            assert!(certificates(bad).is_err(), "{bad}");
        }
    }
}
