//! The settings that all platforms have.

use crate::descriptor::{Field, Kind};
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
