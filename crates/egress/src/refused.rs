//! A certificate that was refused: why, in words, and what it says of itself, so that a person can compare it and decide.

use rustls::CertificateError;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::time::Timestamp;

use super::certificate::moment;

/// A certificate that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence("the receiver"))]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// What it says of itself.
    pub certificate: Certificate,
}

/// Why a certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nobody who is trusted vouches for it.
    Untrusted,
    /// It is of X.509 version 1, which cannot be verified by its issuer.
    Version,
    /// It is not the certificate that `tls_fingerprint` names; these are the fingerprints there.
    Changed(Vec<String>),
    /// The server shows it, and does not hold its key.
    KeyNotHeld,
    /// No signature can be verified with its key, whoever holds that: why.
    KeyUnfit(String),
    /// It has expired: when, if known.
    Expired(Option<Timestamp>),
    /// It is not valid yet.
    NotYetValid,
    /// It is for other hosts.
    WrongHost,
    /// It is that of an authority, not of a server.
    CaAsServer,
    /// It is unfit in another way.
    Unfit(String),
}

impl Why {
    /// What rustls and webpki mean.
    pub(super) fn of(error: &CertificateError) -> Self {
        use CertificateError as Is;
        match error {
            // A signature that does not match means another CA of the same name.
            Is::UnknownIssuer | Is::BadSignature => Self::Untrusted,
            Is::Expired => Self::Expired(None),
            Is::ExpiredContext { not_after, .. } => Self::Expired(Some(moment(*not_after))),
            Is::NotValidYet | Is::NotValidYetContext { .. } => Self::NotYetValid,
            Is::NotValidForName | Is::NotValidForNameContext { .. } => Self::WrongHost,
            Is::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
                Some(webpki::Error::UnsupportedCertVersion) => Self::Version,
                Some(webpki::Error::CaUsedAsEndEntity) => Self::CaAsServer,
                Some(error) => Self::Unfit(in_words(error)),
                None => Self::Unfit(other.to_string()),
            },
            Is::BadEncoding => Self::Unfit("it cannot be read".into()),
            Is::Revoked => Self::Unfit("it was revoked".into()),
            Is::UnhandledCriticalExtension => Self::Unfit("it has a critical extension that is not known here".into()),
            Is::InvalidPurpose | Is::InvalidPurposeContext { .. } => {
                Self::Unfit("it is not meant for a TLS server".into())
            }
            Is::UnsupportedSignatureAlgorithmContext { .. }
            | Is::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::Unfit("it is signed in a way that is too weak or not known here, such as SHA-1".into())
            }
            other => Self::Unfit(in_words(other)),
        }
    }
}

impl Refused {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self.why {
            Why::Untrusted => "tls_untrusted",
            Why::Version => "tls_version_1",
            Why::Changed(_) => "tls_fingerprint_changed",
            Why::KeyNotHeld => "tls_key_not_held",
            Why::KeyUnfit(_) => "tls_key_unfit",
            Why::Expired(_) => "tls_expired",
            Why::NotYetValid => "tls_not_yet_valid",
            Why::WrongHost => "tls_wrong_host",
            Why::CaAsServer => "tls_ca_as_server",
            Why::Unfit(_) => "tls_certificate",
        }
    }

    /// What happened, the likeliest cause, the next step.
    pub fn sentence(&self, at: &str) -> String {
        let Certificate { subject, issuer, names, fingerprint, self_signed, .. } = &self.certificate;
        let name = |name: &str| if name.is_empty() { "nobody by name".to_owned() } else { format!("“{name}”") };
        let (subject, issuer) = (name(subject), name(issuer));
        let pin = format!(
            "by its SHA-256 fingerprint (tls_fingerprint), once you have compared it on the receiver itself: {fingerprint} is what arrived here"
        );
        match &self.why {
            Why::Untrusted if *self_signed => format!(
                "The certificate of {at} is self-signed, by {subject}, which nobody else vouches for. It is probably the receiver's first, \
                 ready-made one: paste it into the connector's CA field (tls_ca), install one that a trusted CA has signed, or trust it {pin}."
            ),
            Why::Untrusted => format!(
                "The certificate of {at} was issued to {subject} by {issuer}, an authority that is not trusted here. It is probably a company's \
                 own CA, or the receiver's ready-made one: paste that CA's certificate into the connector's CA field (tls_ca), or trust the \
                 certificate {pin}."
            ),
            Why::Version => format!(
                "The certificate of {at} was issued to {subject} by {issuer} in version 1 of X.509, which TLS cannot verify by its issuer, \
                 whichever CA stands in the CA field (tls_ca). It is probably Splunk's ready-made certificate, or made with `openssl x509 -req` \
                 without extensions: install one of version 3, or trust this one {pin}."
            ),
            Why::Changed(expected) => format!(
                "The certificate of {at} has the SHA-256 fingerprint {fingerprint}, and the connector trusts {} alone (tls_fingerprint). It was \
                 probably renewed on the receiver. If nobody did so, somebody may stand in between: compare it there before you enter the new \
                 fingerprint.",
                expected.join(" or ")
            ),
            Why::KeyNotHeld => format!(
                "{at} shows the certificate of {subject} and cannot prove that it holds the key. Either somebody who copied the certificate stands \
                 in between, or certificate and key on the receiver do not belong together: check both there."
            ),
            Why::KeyUnfit(what) => format!(
                "The key in the certificate of {at} cannot be used: {what}. Install a certificate with another key on the receiver."
            ),
            Why::Expired(when) => {
                let when = when
                    .or(self.certificate.not_after)
                    .map_or("has expired".to_owned(), |when| format!("expired at {when}"));
                format!(
                    "The certificate of {at} {when}. Renew it on the receiver; the connection then works again by itself."
                )
            }
            Why::NotYetValid => format!(
                "The certificate of {at} is not valid yet. The clock of one of the two machines is probably wrong: check both."
            ),
            Why::WrongHost if names.is_empty() => format!(
                "The certificate of {at} does not name any host. It is probably the receiver's default certificate: install one with this host \
                 as its subject alternative name, or trust it {pin}."
            ),
            Why::WrongHost => format!(
                "The certificate of {at} is for another host: {}. Use that host in the URL, enter it as the server name (tls_server_name), or \
                 install a certificate for this one.",
                listed(names)
            ),
            Why::CaAsServer => format!(
                "{at} shows a certificate authority as its own certificate. It was probably made with `openssl x509 -req` and the extensions of \
                 an authority: make a server certificate instead (basicConstraints=CA:FALSE, with the host as subject alternative name), or \
                 trust this one {pin}."
            ),
            Why::Unfit(what) => format!(
                "The certificate of {at} cannot be accepted: {what}. Install one that is meant for a TLS server, signed by a CA, or trust this \
                 one {pin}."
            ),
        }
    }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown} and {} more", names.len() - 3) } else { shown }
}

/// The name of an error of a library as words: `UnsupportedNameType { … }` is `unsupported name type`.
pub(super) fn in_words(error: &impl std::fmt::Debug) -> String {
    let name = format!("{error:?}");
    let mut words = String::new();
    let mut small = false;
    for c in name.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && small {
            words.push(' ');
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        words.push(c.to_ascii_lowercase());
    }
    words
}
