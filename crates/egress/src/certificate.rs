//! Whose certificate is trusted, and what is said of one that is not.
//!
//! There are three ways to trust, and no way to trust everybody. By the chain: that is webpki's verification, untouched. By being one of the
//! certificates in `tls_ca` itself. By the fingerprint in `tls_fingerprint`: then version, names, dates and issuer do not matter. In each of
//! them the handshake's signature is verified with the key in the certificate, so that whoever only copied a certificate is refused. webpki
//! cannot read certificates of version 1: the key is taken out of those here (see ADR 0034).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, RootCertStore, SignatureScheme,
};
use toktra_siem_core::certificate::{Certificate, Fingerprint, Reading, printed};
use toktra_siem_core::time::Timestamp;

use super::refused::{Refused, Why};

/// RSA keys that ring verifies signatures with, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Whom a connector trusts.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    /// If there are any, these certificates alone.
    pub(super) pins: Vec<Fingerprint>,
    /// Certificates that are trusted as they are.
    pub(super) own: Vec<CertificateDer<'static>>,
    /// Authorities that vouch for others.
    pub(super) roots: Option<Arc<RootCertStore>>,
}

/// Verifies what a server shows, and names the certificate that it refuses.
#[derive(Debug)]
pub(super) struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trusted: Trusted,
    /// `None` if nobody vouches for others.
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl Verifier {
    pub(super) fn new(trusted: Trusted, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let algorithms = provider.signature_verification_algorithms;
        let roots = trusted.roots.clone().filter(|roots| !roots.is_empty());
        let chain = roots.map(|roots| WebPkiServerVerifier::builder_with_provider(roots, provider).build());
        let chain = chain.transpose().map_err(|e| e.to_string())?;
        Ok(Self { algorithms, trusted, chain })
    }

    /// Whether this certificate is trusted for itself, not for its issuer.
    fn is_known(&self, certificate: &CertificateDer<'_>) -> bool {
        self.trusted.is_pinned(certificate) || self.trusted.own.iter().any(|own| own == certificate)
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Why> {
        if !self.trusted.pins.is_empty() {
            let expected = || self.trusted.pins.iter().map(|pin| printed(pin)).collect();
            return if self.trusted.is_pinned(certificate) { Ok(()) } else { Err(Why::Changed(expected())) };
        }
        if self.is_known(certificate) {
            return own_is_good(certificate, name, now);
        }
        let Some(chain) = &self.chain else { return Err(Why::Untrusted) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(error)) => Err(Why::of(&error)),
            Err(error) => Err(Why::Unfit(error.to_string())),
        }
    }

    /// The key of a certificate that is trusted for itself; `None` if webpki reads it.
    fn key<'c>(&self, certificate: &'c CertificateDer<'_>) -> Result<Option<SubjectPublicKeyInfoDer<'c>>, Error> {
        if !self.is_known(certificate) {
            return Ok(None);
        }
        let reading = Reading::of(certificate).ok_or(CertificateError::BadEncoding)?;
        Ok(Some(SubjectPublicKeyInfoDer::from(reading.public_key)))
    }
}

impl Trusted {
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        use sha2::Digest as _;
        !self.pins.is_empty() && self.pins.contains(&sha2::Sha256::digest(certificate).into())
    }
}

/// A certificate of `tls_ca` that is shown as it is. Its dates count. Its names count if it has any: what `openssl req -x509 -subj` makes
/// has none, and is meant all the same.
fn own_is_good(certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Why> {
    let Certificate { names, not_before, not_after, .. } =
        Reading::of(certificate).ok_or(Why::Unfit("it cannot be read".into()))?.says;
    let now = moment(now);
    if not_before.is_some_and(|from| now < from) {
        return Err(Why::NotYetValid);
    }
    if not_after.is_some_and(|until| now > until) {
        return Err(Why::Expired(not_after));
    }
    if names.is_empty() {
        return Ok(());
    }
    let parsed = ParsedCertificate::try_from(certificate);
    match parsed.and_then(|parsed| rustls::client::verify_server_name(&parsed, name)) {
        Ok(()) => Ok(()),
        Err(Error::InvalidCertificate(error)) => Err(Why::of(&error)),
        Err(error) => Err(Why::Unfit(error.to_string())),
    }
}

pub(super) fn moment(time: UnixTime) -> Timestamp {
    Timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
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
        let judged = self.judge(end_entity, intermediates, server_name, ocsp_response, now);
        // With a key that verifies no signature nothing else helps; that it is not the pinned certificate comes first all the same.
        let judged = match (self.unfit(end_entity), judged) {
            (Some(unfit), Ok(()) | Err(Why::Untrusted | Why::Version | Why::CaAsServer | Why::WrongHost)) => Err(unfit),
            (_, judged) => judged,
        };
        judged.map(|()| ServerCertVerified::assertion()).map_err(|why| refused(why, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let checked = match self.key(cert)? {
            Some(key) => self.signed_by(message, &key, dss),
            None => rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms),
        };
        checked.map_err(|error| not_held(error, cert))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let checked = match self.key(cert)? {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms),
            None => rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms),
        };
        checked.map_err(|error| not_held(error, cert))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// The handshake's signature in TLS 1.2, where a scheme does not say which curve it is for: one of its algorithms must verify it.
    /// rustls has this for whole certificates alone.
    fn signed_by(
        &self,
        message: &[u8],
        key: &SubjectPublicKeyInfoDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (_, algorithms) = (self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme))
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let key = webpki::RawPublicKeyEntity::try_from(key).map_err(|_| CertificateError::BadEncoding)?;
        let signed =
            algorithms.iter().any(|algorithm| key.verify_signature(*algorithm, message, dss.signature()).is_ok());
        if signed { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
    }

    /// Why no signature can be verified with the key of this certificate, whoever holds that. To the cryptography library a key that is too short
    /// looks like a wrong signature.
    fn unfit(&self, certificate: &CertificateDer<'_>) -> Option<Why> {
        let reading = Reading::of(certificate)?;
        let why = match (reading.key_algorithm()?, reading.rsa_bits()) {
            (_, Some(bits)) if !RSA_BYTES.contains(&bits.div_ceil(8)) => {
                format!("it is an RSA key of {bits} bits, and 2048 to 8192 are accepted")
            }
            (kind, _) if self.algorithms.all.iter().all(|known| known.public_key_alg_id().as_ref() != kind) => {
                "its kind is not known here; known are RSA, ECDSA with P-256 or P-384, and Ed25519".to_owned()
            }
            _ => return None,
        };
        Some(Why::KeyUnfit(why))
    }
}

/// What it means that the handshake's signature does not verify. Keys that verify none are refused before.
fn not_held(error: Error, certificate: &CertificateDer<'_>) -> Error {
    use CertificateError as Is;
    let why = match error {
        Error::InvalidCertificate(
            // Whoever lacks the key signs with another one, which may be of another kind.
            Is::BadSignature | Is::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => Why::KeyNotHeld,
        Error::InvalidCertificate(_) => Why::KeyUnfit("it cannot be read".into()),
        other => return other,
    };
    refused(why, certificate)
}

fn refused(why: Why, certificate: &CertificateDer<'_>) -> Error {
    let says = Reading::of(certificate).map(|reading| reading.says).unwrap_or_default();
    // Trying another version of the certificate's own format says more than "not trusted".
    let why = match why {
        Why::CaAsServer if says.self_signed => Why::Untrusted,
        why => why,
    };
    CertificateError::Other(OtherError(Arc::new(Refused { why, certificate: says }))).into()
}
