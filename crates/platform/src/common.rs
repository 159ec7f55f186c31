//! The settings that all platforms have.

use crate::checks;
use crate::descriptor::{Field, Kind};

/// Requests of one stream in flight, where the settings do not say.
pub const DEFAULT_IN_FLIGHT: u16 = 16;
/// The most that settings may say.
pub const MAX_IN_FLIGHT: u16 = 200;

/// The settings that all platforms have, in the order of the form.
pub(crate) fn fields() -> Vec<Field> {
    vec![
        Field::choice("compression", "Compression", &[("none", "None"), ("gzip", "gzip")])
            .default("none")
            .help("Whether request bodies are compressed.")
            .hint("With gzip the signature covers the compressed bytes: whoever verifies it must do so before unpacking."),
        Field::new("tls_ca", "Certificate authority (PEM)", Kind::Pem(checks::certificates))
            .limits(checks::MAX_PEM, None)
            .target()
            .help("A certificate authority that is trusted instead of the public ones.")
            .hint(
                "For a SIEM whose certificate comes from an authority of your own. It is trusted for this connector alone, instead of the \
                 public ones. Never a private key.",
            ),
        Field::number("max_in_flight", "Requests in flight, at most", 1, MAX_IN_FLIGHT.into())
            .default("16")
            .help("How many requests of a stream may be under way at a time.")
            .hint("From 1 to 200. How many are really used follows from how fast the SIEM answers."),
    ]
}
