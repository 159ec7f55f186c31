//! How servers prove who they are. Verification of chain, time and host name is always on; no setting reaches it.
//!
//! A connector without `tls_ca` trusts the public roots (Mozilla's, built in, so that an empty container works) and those of the
//! machine's certificate store (so that a company's own CA, installed by the operator, works). A connector with `tls_ca` trusts that
//! CA alone, and nobody else trusts it.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::Verifier;
use super::egress::{Target, TargetHost};
use super::failure::{FailureKind, from_io};
use super::meter::Metered;
use super::trace::Trace;
use toktra_siem_core::delivery::StageName;

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

/// The roots in a connector's `tls_ca`: one or more PEM certificates.
pub(super) fn own_roots(pem: &str) -> Result<Arc<RootCertStore>, FailureKind> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| FailureKind::BadCa(e.to_string()))?;
        roots.add(certificate).map_err(|e| FailureKind::BadCa(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(FailureKind::BadCa("it holds no certificate".into()));
    }
    Ok(Arc::new(roots))
}

/// The configuration of one endpoint. Its sessions are its own: a session resumed elsewhere would skip the check against other roots.
pub(super) fn config(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, FailureKind> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(roots, Arc::clone(&provider)).map_err(FailureKind::BadCa)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| FailureKind::Local(e.to_string()))?;
    // "Dangerous" for what a verifier could leave out: this one leaves nothing out, and only says whose certificate it refused.
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// Makes `stream` a TLS connection to the host of `target`, or fails.
pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    target: &Target,
    stream: Metered<TcpStream>,
    trace: &mut Trace,
) -> Result<TlsStream<Metered<TcpStream>>, FailureKind> {
    trace.begin(StageName::Tls);
    let stream = TlsConnector::from(config)
        .connect(server_name(target)?, stream)
        .await
        .map_err(|e| from_io(&e, StageName::Tls))?;
    trace.pass(match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    });
    Ok(stream)
}

fn server_name(target: &Target) -> Result<ServerName<'static>, FailureKind> {
    match &target.host {
        TargetHost::Address(ip) => Ok(ServerName::from(IpAddr::clone(ip))),
        TargetHost::Name(name) => ServerName::try_from(name.clone()).map_err(|e| FailureKind::Tls(e.to_string())),
    }
}
