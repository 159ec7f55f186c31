//! How servers prove who they are, and how we do where they ask. Verification is always on; no setting switches it off.
//!
//! A connector without `tls_ca` trusts the public roots (Mozilla's, built in, so that an empty container works) and those of the
//! machine's certificate store (so that a company's own CA, installed by the operator, works). A connector with `tls_ca` trusts that
//! CA alone, and nobody else trusts it. A connector with `tls_fingerprint` trusts those certificates alone; `certificate` verifies.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::EndpointOptions;
use super::certificate::{Trusted, Verifier};
use super::egress::{Target, TargetHost};
use super::failure::{FailureKind, from_io};
use super::meter::Metered;
use super::refused::in_words;
use super::trace::Trace;
use toktra_siem_core::certificate::{Reading, fingerprints};
use toktra_siem_core::delivery::StageName;
use toktra_siem_core::time::Timestamp;

/// Sessions that an endpoint remembers for quick resumption: it talks to one host, or to few.
const SESSIONS: usize = 8;

/// The roots that all connectors trust, but those with a CA of their own.
pub(super) fn common_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let machine = rustls_native_certs::load_native_certs();
    for error in &machine.errors {
        tracing::warn!(%error, "a part of the machine's certificate store could not be read; the built-in public roots still hold");
    }
    roots.add_parsable_certificates(machine.certs);
    Arc::new(roots)
}

/// How an endpoint speaks TLS.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    /// The name that the certificate must be for, if it is not that of the URL.
    name: Option<ServerName<'static>>,
    /// Certificates are trusted by their fingerprints.
    pinned: bool,
    /// When the certificate of the last handshake ends; 0 if it does not say so, or there was none.
    until: Arc<AtomicI64>,
}

impl Tls {
    /// What `options` ask for; `common` are the roots of those that say nothing else. The sessions are the endpoint's own: one resumed
    /// elsewhere would skip the check against other roots.
    pub(super) fn of(options: &EndpointOptions<'_>, common: &Arc<RootCertStore>) -> Result<Self, FailureKind> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusted = trusted(options, common)?;
        let pinned = !trusted.pins.is_empty();
        let verifier = Verifier::new(trusted, Arc::clone(&provider)).map_err(FailureKind::BadCa)?;
        let client = client(options, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| FailureKind::Local(e.to_string()))?;
        // "Dangerous" for what a verifier could leave out: this one leaves out neither the certificate nor the handshake's signature.
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match client {
            Some(client) => builder.with_client_cert_resolver(client),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let name = options.tls_server_name.map(named).transpose()?;
        Ok(Self { config: Arc::new(config), name, pinned, until: Arc::default() })
    }

    /// Makes `stream` a TLS connection to the host of `target`, or fails.
    pub(super) async fn handshake(
        &self,
        target: &Target,
        stream: Metered<TcpStream>,
        trace: &mut Trace,
    ) -> Result<TlsStream<Metered<TcpStream>>, FailureKind> {
        trace.begin(StageName::Tls);
        let name = match (&self.name, &target.host) {
            (Some(name), _) => name.clone(),
            (None, TargetHost::Address(ip)) => ServerName::from(IpAddr::clone(ip)),
            (None, TargetHost::Name(name)) => named(name)?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, stream).await.map_err(|e| from_io(&e, StageName::Tls))?;
        let (_, session) = stream.get_ref();
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS 1.2",
        };
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let until = certificate.and_then(|leaf| Reading::of(leaf)).and_then(|reading| reading.says.not_after);
        self.until.store(until.map_or(0, |until| until.0), Ordering::Relaxed);
        let detail = if self.pinned { format!("{version}, {}", told(until)) } else { version.to_owned() };
        trace.pass(detail);
        Ok(stream)
    }

    /// Until when the receiver's certificate is valid, as its last handshake said.
    pub(super) fn until(&self) -> Option<Timestamp> {
        Some(Timestamp(self.until.load(Ordering::Relaxed))).filter(|until| until.0 != 0)
    }
}

/// What is said of a pinned certificate: nothing else looks at its dates.
fn told(until: Option<Timestamp>) -> String {
    let now = super::certificate::moment(rustls::pki_types::UnixTime::now());
    match until {
        Some(until) if until < now => format!("certificate trusted by its fingerprint; it expired at {until}"),
        _ => "certificate trusted by its fingerprint".to_owned(),
    }
}

fn named(name: impl Into<String>) -> Result<ServerName<'static>, FailureKind> {
    ServerName::try_from(name.into()).map_err(|e| FailureKind::Tls(e.to_string()))
}

/// Whom the options say to trust.
fn trusted(options: &EndpointOptions<'_>, common: &Arc<RootCertStore>) -> Result<Trusted, FailureKind> {
    if let Some(text) = options.tls_fingerprint {
        let pins = fingerprints(text).map_err(|why| FailureKind::BadCa(format!("tls_fingerprint {why}")))?;
        return Ok(Trusted { pins, ..Trusted::default() });
    }
    let Some(pem) = options.tls_ca else {
        return Ok(Trusted { roots: Some(Arc::clone(common)), ..Trusted::default() });
    };
    let (mut roots, mut own) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| FailureKind::BadCa(e.to_string()))?;
        let reading = Reading::of(&certificate)
            .ok_or_else(|| FailureKind::BadCa("it holds something that is no certificate".into()))?;
        if reading.may_issue {
            let whose = &reading.says.subject;
            roots.add(certificate.clone()).map_err(|e| FailureKind::BadCa(unusable(whose, &e)))?;
        }
        own.push(certificate);
    }
    if own.is_empty() {
        return Err(FailureKind::BadCa("it holds no certificate".into()));
    }
    Ok(Trusted { own, roots: Some(Arc::new(roots)), ..Trusted::default() })
}

fn unusable(whose: &str, error: &rustls::Error) -> String {
    let why = match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.downcast_ref::<webpki::Error>().map_or_else(|| other.to_string(), in_words)
        }
        rustls::Error::InvalidCertificate(certificate) => in_words(certificate),
        other => other.to_string(),
    };
    format!("the certificate of “{whose}” cannot be read as that of an authority ({why})")
}

/// What is shown to a server that asks who we are. A certificate of version 1 is fine: the server judges it.
fn client(
    options: &EndpointOptions<'_>,
    provider: &CryptoProvider,
) -> Result<Option<Arc<dyn ResolvesClientCert>>, FailureKind> {
    let bad = |why: &str| FailureKind::BadClient(why.to_owned());
    let (certificates, key) = match (options.tls_client_cert, options.tls_client_key) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(bad("there is no private key for it (tls_client_key)")),
        (None, Some(_)) => return Err(bad("there is a private key and no certificate for it (tls_client_cert)")),
        (Some(certificates), Some(key)) => (certificates, key.expose_secret()),
    };
    let chain = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| bad(&format!("it is not PEM ({e})")))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| bad("its private key (tls_client_key) is not PEM"))?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        bad("its private key (tls_client_key) cannot be read; it has to be an RSA key of 2048 bits or more, or one for ECDSA or Ed25519")
    })?;
    let reading = chain.first().and_then(|leaf| Reading::of(leaf)).ok_or_else(|| bad("it holds no certificate"))?;
    if key.public_key().is_some_and(|public| public.as_ref() != reading.public_key) {
        return Err(bad(
            "its private key (tls_client_key) belongs to another certificate; if there are several certificates, the client's own stands first",
        ));
    }
    Ok(Some(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))))
}
