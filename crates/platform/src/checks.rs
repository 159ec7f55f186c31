//! What may stand in a connector's settings and secrets, value by value. Every error is a sentence for the person who typed the value;
//! those about secrets never repeat any of it.

use secrecy::SecretString;

use crate::descriptor::Checked;

/// The longest token or password, in bytes.
pub(crate) const MAX_SECRET: usize = 1024;
/// A name that only ever travels inside JSON: any text without control characters, at most 255 characters.
pub fn label(text: &str) -> Checked {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("is empty".to_owned()),
        256.. => Err("is longer than 255 characters".to_owned()),
        _ if text.contains(char::is_control) => Err("holds a control character".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The user name of HTTP Basic, which ends at the first colon.
pub fn username(text: &str) -> Checked {
    let text = label(text)?;
    if text.contains(':') { Err("must not hold a colon".to_owned()) } else { Ok(text) }
}

/// A token that is sent as a header value. Whitespace around it is a slip of the clipboard.
pub fn token(text: &str) -> Checked<SecretString> {
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
                    `Bearer` in front"
                .to_owned(),
        );
    }
    Ok(SecretString::from(text))
}

/// A credential as it was copied from a header: without the header's name and the scheme in front of it.
pub(crate) fn bare<'t>(text: &'t str, header: &str, scheme: &str) -> &'t str {
    let behind = |text: &'t str, start: &str, end: &[char]| {
        let (first, rest) = text.split_at_checked(start.len())?;
        let rest = first.eq_ignore_ascii_case(start).then(|| rest.strip_prefix(end)).flatten()?;
        Some(rest.trim_start())
    };
    let text = text.trim();
    let text = behind(text, header, &[':']).unwrap_or(text);
    if scheme.is_empty() { text } else { behind(text, scheme, &[' ']).unwrap_or(text) }
}

/// A password; it is sent in base64, so that only its length and control characters matter.
pub fn password(text: &str) -> Checked<SecretString> {
    match text.len() {
        0 => Err("is empty".to_owned()),
        n if n > MAX_SECRET => Err(format!("is longer than {MAX_SECRET} bytes")),
        _ if text.contains(char::is_control) => Err("holds a control character".to_owned()),
        _ => Ok(SecretString::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn tokens_are_header_values_and_errors_never_repeat_them() {
        assert_eq!(token(" abc-123\n").unwrap().expose_secret(), "abc-123");
        for bad in ["", " ", "hunter2 x", "hunter2\r\nX: y", "hunter2é", "hunter2\u{7f}", &"hunter2".repeat(200)] {
            assert!(!token(bad).unwrap_err().contains("hunter2"));
        }
        assert!(password("pass word é").is_ok());
        assert!(password("hunter2\n").is_err());
        assert!(username("a:b").is_err());
    }
}
