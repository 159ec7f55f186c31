//! The settings that all platforms have.

use secrecy::ExposeSecret as _;

use crate::descriptor::{Field, Kind};
use crate::paste::{Pasted, Understood};
use crate::pem;
use crate::read::Reader;

/// Requests of one stream in flight, where the settings do not say.
pub const DEFAULT_IN_FLIGHT: u16 = 16;
/// The most that settings may say.
pub const MAX_IN_FLIGHT: u16 = 200;

/// The longest text of fingerprints: twenty, with labels.
const MAX_FINGERPRINTS: usize = 4096;

/// The settings that all platforms have, in the order of the form.
pub(crate) fn fields() -> Vec<Field> {
    vec![
        Field::choice("compression", "Compression", &[("none", "None"), ("gzip", "gzip")])
            .default("none")
            .help("Whether request bodies are compressed.")
            .hint("With gzip the signature covers the compressed bytes: whoever verifies it must do so before unpacking."),
        Field::new("tls_ca", "Certificate authority (PEM)", Kind::Pem(pem::certificates))
            .limits(pem::MAX_CERTIFICATES, None)
            .target()
            .help("Certificates that are trusted instead of the public authorities: a CA, or the SIEM's own self-signed one.")
            .hint(
                "For a SIEM whose certificate comes from an authority of your own, or signed itself: then exactly that certificate is \
                 trusted. It counts for this connector alone, instead of the public authorities. Never a private key.",
            ),
        Field::new("tls_fingerprint", "Certificate fingerprint (SHA-256)", Kind::Text(pem::pins))
            .limits(MAX_FINGERPRINTS, Some("[0-9A-Fa-f]{2}"))
            .target()
            .help("SHA-256 fingerprints of the SIEM's certificate: those certificates and no others are trusted, whatever they say.")
            .hint(
                "As `openssl x509 -in cert.pem -noout -fingerprint -sha256` prints it on the SIEM's machine; several are separated by \
                 commas. Then these certificates and no others are trusted, whatever their names, dates and issuers. This is the way for \
                 Splunk's ready-made certificate.",
            ),
        Field::text("tls_server_name", "Server name")
            .read(pem::server_name)
            .limits(253, Some("^[A-Za-z0-9._:-]+$"))
            .target()
            .help("The host that the SIEM's certificate is for, if the URL has another one.")
            .hint("It is asked for in the TLS handshake, and the certificate must be for it. Empty: the host of the URL."),
        Field::new("tls_client_cert", "Client certificate (PEM)", Kind::Pem(pem::certificates))
            .limits(pem::MAX_CERTIFICATES, None)
            .help("The certificate that is shown to a SIEM that asks for one, with its intermediate certificates.")
            .hint("For a SIEM or a proxy that lets only known clients in (mutual TLS). It needs its private key."),
        Field::new("tls_client_key", "Client private key (PEM)", Kind::Secret(pem::private_key))
            .limits(pem::MAX_KEY, None)
            .help("The private key of the client certificate, without a passphrase.")
            .hint("It is sealed like a password, and never sent or shown."),
        Field::number("max_in_flight", "Requests in flight, at most", 1, MAX_IN_FLIGHT.into())
            .default("16")
            .help("How many requests of a stream may be under way at a time.")
            .hint("From 1 to 200. How many are really used follows from how fast the SIEM answers."),
    ]
}

/// What follows from one of them for another: a private key goes with its certificate.
pub(crate) fn together(reader: &mut Reader<'_>) {
    if reader.current_text("tls_client_cert").is_some()
        && reader.resets("tls_client_cert")
        && !reader.names("tls_client_key")
    {
        reader.set_secret("tls_client_key", None);
    }
}

/// What programs call the certificate authority, the client certificate and its key.
const AUTHORITY: [&str; 9] = [
    "tls_ca",
    "certificate_authorities",
    "ssl_certificate_authorities",
    "ca_file",
    "ca_pem",
    "ca_cert",
    "cacert",
    "sslrootcapath",
    "ca_path",
];
const CERTIFICATE: [&str; 8] = [
    "tls_client_cert",
    "ssl.certificate",
    "ssl_certificate",
    "crt_file",
    "cert_file",
    "cert_pem",
    "client_cert",
    "clientcert",
];
const KEY: [&str; 6] = ["tls_client_key", "ssl.key", "ssl_key", "key_file", "key_pem", "client_key"];
/// What they call the name in the server's certificate.
const SERVER_NAME: [&str; 5] =
    ["tls_server_name", "server_name_override", "server_name", "sslcommonnametocheck", "tls.vhost"];
/// What they call the switch of verification, and the word that switches it off.
const VERIFIES: [(&str, &[&str]); 11] = [
    ("verification_mode", &["none"]),
    ("ssl_verification_mode", &["none"]),
    ("verify_certificate", OFF),
    ("verify_hostname", OFF),
    ("tls.verify", OFF),
    ("ssl_verify", OFF),
    ("verify_ssl", OFF),
    ("ssl_certificate_verification", OFF),
    ("sslverifyservercert", OFF),
    ("insecure_skip_verify", ON),
    ("skip_ssl_validation", ON),
];
const OFF: &[&str] = &["false", "off", "no", "0"];
const ON: &[&str] = &["true", "on", "yes", "1"];
/// What they call a proxy.
const PROXY: [&str; 6] = ["proxy_url", "proxy", "http_proxy", "https_proxy", "proxy.https", "proxy.http"];

/// What was pasted of these settings under the names that other programs have for them.
pub(crate) fn understand(pasted: &mut Pasted, understood: &mut Understood) {
    let (authority, certificate, key) =
        (pasted.take_blocks(&AUTHORITY), pasted.take_blocks(&CERTIFICATE), pasted.take_blocks(&KEY));
    if !authority.is_empty() {
        understood.checked("tls_ca", pem::certificates(&authority), "the certificate authority");
    }
    client(&certificate, &key, understood);
    let files = AUTHORITY.iter().chain(&CERTIFICATE).chain(&KEY);
    if files.filter_map(|name| pasted.take_one(&[name])).count() > 0 {
        understood.refuse("the files of certificates: paste what stands in them");
    }
    if let Some(name) = pasted.take_one(&SERVER_NAME) {
        understood.checked("tls_server_name", pem::server_name(&name), "the server name");
    }
    for (name, off) in VERIFIES {
        if pasted.take(&[name]).iter().any(|value| off.contains(&value.to_ascii_lowercase().as_str())) {
            understood.refuse("verification switched off: certificates are always verified");
        }
    }
    if PROXY.iter().filter_map(|name| pasted.take_one(&[name])).count() > 0 {
        understood.refuse("the proxy: the operator of this service sets one for all connectors");
    }
}

/// The same of what no name says, after the platform has taken what is its own.
pub(crate) fn understand_the_rest(pasted: &mut Pasted, understood: &mut Understood) {
    let blocks = pasted.rest_of_blocks();
    let has_key = blocks.to_ascii_uppercase().contains("PRIVATE KEY");
    if has_key && blocks.to_ascii_uppercase().contains("BEGIN CERTIFICATE") {
        client(&without_keys(&blocks), &blocks, understood);
    } else if has_key {
        understood.refuse("the private key: it belongs to a client certificate; paste both together");
    } else if !blocks.is_empty() {
        understood.checked("tls_ca", pem::certificates(&blocks), "the certificate authority");
    }
    let labelled =
        pasted.take(&["tls_fingerprint", "sha256 fingerprint", "sha1 fingerprint", "md5 fingerprint", "fingerprint"]);
    let printed = |word: &str| {
        word.bytes().filter(|b| *b == b':').count() >= 15 && word.bytes().all(|b| b == b':' || b.is_ascii_hexdigit())
    };
    let mut found = labelled;
    while let Some(word) = pasted.take_word(printed) {
        found.push(word);
    }
    if !found.is_empty() {
        understood.checked("tls_fingerprint", pem::pins(&found.join(",")), "the certificate's fingerprint");
    }
    // A certificate in base64 alone.
    if let Some(word) = pasted.take_word(|word| word.starts_with("MII") && word.len() > 200) {
        understood.checked("tls_ca", pem::certificates(&word), "the certificate authority");
    }
}

/// The blocks that are no keys.
fn without_keys(blocks: &str) -> String {
    let spans = pem::spans(blocks).into_iter().map(|span| &blocks[span]);
    spans
        .filter(|block| !block.lines().next().unwrap_or_default().to_ascii_uppercase().contains("KEY-"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn client(certificate: &str, key: &str, understood: &mut Understood) {
    if !certificate.is_empty()
        && understood.checked("tls_client_cert", pem::certificates(certificate), "the client certificate")
        && key.is_empty()
    {
        understood.refuse("the client certificate: its private key belongs to it; paste both together");
    }
    if !key.is_empty() {
        match pem::private_key(key) {
            Ok(key) => understood.setting("tls_client_key", key.expose_secret(), "the client's private key"),
            Err(why) => understood.refuse(format!("the private key: it {why}")),
        }
    }
}
