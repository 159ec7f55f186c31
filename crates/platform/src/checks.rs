//! What may stand in a connector's settings and secrets, value by value. Every error is a sentence for the person who typed the value;
//! those about secrets never repeat any of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::SecretString;

use crate::descriptor::Checked;

/// The longest token or password, in bytes.
pub(crate) const MAX_SECRET: usize = 1024;
/// The largest `tls_ca`, in bytes.
pub(crate) const MAX_PEM: usize = 64 * 1024;
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

/// A password; it is sent in base64, so that only its length and control characters matter.
pub fn password(text: &str) -> Checked<SecretString> {
    match text.len() {
        0 => Err("is empty".to_owned()),
        n if n > MAX_SECRET => Err(format!("is longer than {MAX_SECRET} bytes")),
        _ if text.contains(char::is_control) => Err("holds a control character".to_owned()),
        _ => Ok(SecretString::from(text)),
    }
}

/// One or more certificates in PEM. Only the shape is checked here; transport reads them.
pub fn certificates(text: &str) -> Checked {
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
    fn tokens_are_header_values_and_errors_never_repeat_them() {
        assert_eq!(token(" abc-123\n").unwrap().expose_secret(), "abc-123");
        for bad in ["", " ", "hunter2 x", "hunter2\r\nX: y", "hunter2é", "hunter2\u{7f}", &"hunter2".repeat(200)] {
            assert!(!token(bad).unwrap_err().contains("hunter2"));
        }
        assert!(password("pass word é").is_ok());
        assert!(password("hunter2\n").is_err());
        assert!(username("a:b").is_err());
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
