//! Whose certificate was refused. rustls says that an issuer is unknown, not which: a person who has to bring the right CA needs both
//! names. Verification itself is webpki's, untouched; what it refuses stays refused.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

/// Characters of a name that are shown.
const NAME_CHARS: usize = 120;

/// The names in a certificate that nobody here trusts.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("issued to {subject} by {issuer}, which is not trusted")]
pub struct Untrusted {
    /// Whose it is: `CN=splunk.company.com, O=Company`. Empty where it names nobody.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// It was issued by itself.
    pub self_signed: bool,
}

/// webpki's verifier, which names the certificate where its issuer is not trusted.
#[derive(Debug)]
pub(super) struct Verifier(Arc<WebPkiServerVerifier>);

impl Verifier {
    /// Trusts `roots`, of which there is at least one.
    pub(super) fn new(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        WebPkiServerVerifier::builder_with_provider(roots, provider).build().map(Self).map_err(|e| e.to_string())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            // A signature that does not match means another CA of the same name.
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                CertificateError::Other(OtherError(Arc::new(untrusted(end_entity)))).into()
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn untrusted(certificate: &[u8]) -> Untrusted {
    let (issuer, subject) = names(certificate).unwrap_or_default();
    Untrusted { subject: shown(subject), issuer: shown(issuer), self_signed: subject == issuer && !subject.is_empty() }
}

/// Issuer and subject as they stand in the certificate (RFC 5280, section 4.1): after the version, the serial number and the algorithm,
/// and around the validity.
fn names(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    let mut next = || {
        let (tag, content, after) = element(rest)?;
        rest = after;
        Some((tag, content))
    };
    if next()?.0 == VERSION {
        next()?;
    }
    next()?;
    let (_, issuer) = next()?;
    next()?;
    let (_, subject) = next()?;
    Some((issuer, subject))
}

/// The first DER element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(len)?;
    Some((*tag, content, after))
}

/// A name for people: common name, organisation and unit. The receiver's text, so short and without control characters.
fn shown(name: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut sets = name;
    while let Some((_, set, after)) = element(sets) {
        sets = after;
        // One attribute in each set, in practice: its type and its value.
        let Some((_, attribute, _)) = element(set) else { continue };
        let Some((_, kind, value)) = element(attribute) else { continue };
        let Some((_, value, _)) = element(value) else { continue };
        let label = match kind {
            [0x55, 0x04, 0x03] => "CN",
            [0x55, 0x04, 0x0a] => "O",
            [0x55, 0x04, 0x0b] => "OU",
            _ => continue,
        };
        let text: String = String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).collect();
        parts.push(format!("{label}={text}"));
    }
    // The common name says most: first, whatever its place.
    parts.sort_by_key(|part| !part.starts_with("CN="));
    parts.join(", ").chars().take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn names_are_read_from_the_certificate() {
        let mut params = CertificateParams::new(vec!["siem.test".into()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "Acme");
        params.distinguished_name.push(DnType::CommonName, "siem\u{7}.test");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let said = untrusted(certificate.der());
        assert!(said.subject.starts_with("CN=siem.test") && said.subject.contains("O=Acme"), "{said:?}");
        assert_eq!((said.subject.clone(), said.self_signed), (said.issuer, true));
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "x");
        let whole = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        for len in 0..whole.len() {
            untrusted(&whole[..len]);
        }
        let said = untrusted(b"\x30\x84\xff\xff\xff\xff");
        assert_eq!((said.subject.as_str(), said.issuer.as_str(), said.self_signed), ("", "", false));
    }
}
