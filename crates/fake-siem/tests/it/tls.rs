//! HTTPS with a certificate of the test's own making.

use std::sync::Arc;

use rcgen::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use toktra_siem_fake::splunk::{Endpoint, Splunk, SplunkOptions};
use toktra_siem_fake::{Behaviour, Delivery, ReceiverOptions, Tls};

use crate::client::{Failure, exchange_over};

fn certificate() -> Tls {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["siem.test".to_owned()]).unwrap();
    Tls { cert_pem: cert.pem(), key_pem: signing_key.serialize_pem() }
}

async fn splunk(tls: Tls) -> Splunk {
    let receiver = ReceiverOptions { tls: Some(tls), ..ReceiverOptions::default() };
    Splunk::start(SplunkOptions { receiver, ..SplunkOptions::new("t") }).await.unwrap()
}

/// Connects as a client that trusts only `trusted`.
async fn connect(
    splunk: &Splunk,
    trusted: &Tls,
    host: &'static str,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.cert_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(splunk.address()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host).unwrap(), tcp).await
}

#[tokio::test]
async fn a_trusted_certificate_serves_and_others_fail_the_handshake() {
    let tls = certificate();
    let splunk = splunk(tls.clone()).await;
    assert!(splunk.base_url().starts_with("https://127.0.0.1:"));
    let headers = [("authorization", "Splunk t")];
    let path = "/services/collector/event";
    let stream = connect(&splunk, &tls, "siem.test").await.unwrap();
    let answer = exchange_over(stream, "POST", path, &headers, r#"{"event":{"a":1}}"#).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(connect(&splunk, &tls, "other.test").await.is_err());
    assert!(connect(&splunk, &certificate(), "siem.test").await.is_err());
    assert_eq!(splunk.counts().requests, 1);
}

#[tokio::test]
async fn scripts_break_tls_connections_too() {
    let tls = certificate();
    let splunk = splunk(tls.clone()).await;
    splunk.script(Endpoint::Event, [Behaviour::strict().delivered(Delivery::ResetAfterHead)]);
    let stream = connect(&splunk, &tls, "siem.test").await.unwrap();
    let headers = [("authorization", "Splunk t")];
    let broken = exchange_over(stream, "POST", "/services/collector/event", &headers, r#"{"event":{"a":1}}"#).await;
    assert!(matches!(broken, Err(Failure::BrokenOff { status: 200, .. })));
}

#[tokio::test]
async fn an_unusable_certificate_is_refused_at_the_start() {
    let tls = Tls { cert_pem: certificate().cert_pem, key_pem: "nothing".to_owned() };
    let receiver = ReceiverOptions { tls: Some(tls), ..ReceiverOptions::default() };
    let error = Splunk::start(SplunkOptions { receiver, ..SplunkOptions::new("t") }).await.err().unwrap();
    assert!(error.to_string().contains("private key"));
}
