//! Certificates that must be refused, those that must not, and ports that speak something else than the URL says.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

pub(super) type Ca = CertifiedIssuer<'static, KeyPair>;

pub(super) fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(super) fn params(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

pub(super) fn issued(ca: &Ca, params: &CertificateParams) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, ca).unwrap().der().clone(), key)
}

/// Why a certificate was refused.
pub(super) fn why(failure: &Failure) -> &Why {
    match &failure.kind {
        FailureKind::Certificate(refused) => &refused.why,
        other => panic!("{other:?}"),
    }
}

/// What a TLS server with this certificate is made of.
pub(super) fn server_config((certificate, key): (CertificateDer<'static>, KeyPair)) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// A TLS server that answers 200, and a URL under which it is `siem.test`.
async fn server(identity: (CertificateDer<'static>, KeyPair)) -> (Server, String) {
    serve(server_config(identity)).await
}

/// The same with a configuration of its own.
pub(super) async fn serve(config: ServerConfig) -> (Server, String) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    })
    .await;
    let url = format!("https://siem.test:{}/", server.address.port());
    (server, url)
}

/// An endpoint for which `siem.test` is on loopback.
pub(super) fn endpoint_with(tls_ca: Option<&str>) -> Endpoint {
    let transport = Transport::with_resolver(EgressPolicy::default(), Scripted::loopback(3));
    transport.endpoint(EndpointOptions { tls_ca, trust: OPERATOR, ..EndpointOptions::default() }).unwrap()
}

async fn refusal(tls_ca: Option<&str>, url: &str) -> Failure {
    let failure = send(&endpoint_with(tls_ca), url).await.unwrap_err();
    assert_eq!(names(&failure.stages), [StageName::Dns, StageName::Tcp, StageName::Tls]);
    assert!(failure.misconfigured(), "{:?}", failure.kind);
    failure
}

#[tokio::test]
async fn a_connectors_own_ca_is_trusted_for_it() {
    let ca = ca("ours");
    let (server, url) = server(issued(&ca, &params("siem.test"))).await;
    let endpoint = endpoint_with(Some(&ca.pem()));
    let exchange = send(&endpoint, &url).await.unwrap();
    assert_eq!(exchange.reply.status, 200);
    assert_eq!(names(&exchange.stages), [StageName::Dns, StageName::Tcp, StageName::Tls, StageName::Http]);
    assert_eq!(exchange.stages[2].detail, "TLS 1.3");
    send(&endpoint, &url).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn one_of_several_cas_is_enough() {
    let (one, two) = (ca("one"), ca("two"));
    let (_server, url) = server(issued(&two, &params("siem.test"))).await;
    send(&endpoint_with(Some(&format!("{}\n{}", one.pem(), two.pem()))), &url).await.unwrap();
}

#[tokio::test]
async fn an_address_is_verified_as_an_address() {
    let ca = ca("ours");
    let (certificate, _) = server(issued(&ca, &params("127.0.0.1"))).await;
    send(&endpoint_with(Some(&ca.pem())), format!("https://{}/", certificate.address)).await.unwrap();
    let (other, _) = server(issued(&ca, &params("siem.test"))).await;
    let failure = send(&endpoint_with(Some(&ca.pem())), format!("https://{}/", other.address)).await.unwrap_err();
    assert_eq!(why(&failure), &Why::WrongHost);
}

#[tokio::test]
async fn an_unknown_ca_is_refused_and_so_is_another_connectors() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let (_server, url) = server(issued(&theirs, &params("siem.test"))).await;
    assert_eq!(why(&refusal(None, &url).await), &Why::Untrusted);
    let failure = refusal(Some(&ours.pem()), &url).await;
    let whose = failure.certificate().unwrap();
    assert_eq!((whose.issuer.contains("CN=theirs"), whose.self_signed), (true, false), "{whose:?}");
    let cause = failure.cause();
    assert_eq!(cause.code, "tls_untrusted");
    assert!(cause.message.contains("by “CN=theirs"), "{cause}");
}

#[tokio::test]
async fn another_ca_of_the_same_name_is_refused() {
    let (ours, theirs) = (ca("Splunk CA"), ca("Splunk CA"));
    let (_server, url) = server(issued(&theirs, &params("siem.test"))).await;
    assert_eq!(why(&refusal(Some(&ours.pem()), &url).await), &Why::Untrusted);
}

#[tokio::test]
async fn self_signed_is_refused() {
    let key = KeyPair::generate().unwrap();
    let certificate = params("siem.test").self_signed(&key).unwrap().der().clone();
    let (_server, url) = server((certificate, key)).await;
    let failure = refusal(None, &url).await;
    assert!(why(&failure) == &Why::Untrusted && failure.certificate().unwrap().self_signed, "{:?}", failure.kind);
    assert!(failure.cause().message.contains("self-signed"), "{}", failure.cause());
}

#[tokio::test]
async fn a_ca_that_poses_as_a_server_is_explained() {
    let ca = ca("ours");
    let mut params = params("siem.test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (_server, url) = server(issued(&ca, &params)).await;
    assert_eq!(why(&refusal(Some(&ca.pem()), &url).await), &Why::CaAsServer);
}

#[tokio::test]
async fn expired_and_not_yet_valid_are_told_apart() {
    let ca = ca("ours");
    let mut expired = params("siem.test");
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let (_server, url) = server(issued(&ca, &expired)).await;
    let failure = refusal(Some(&ca.pem()), &url).await;
    assert_eq!(why(&failure), &Why::Expired(Some(Timestamp(1_609_459_200_000))));
    let cause = failure.cause();
    assert_eq!(cause.code, "tls_expired");
    assert!(cause.message.contains("expired at 2021-01-01"), "{cause}");

    let mut early = params("siem.test");
    early.not_before = date_time_ymd(4000, 1, 1);
    let (_server, url) = server(issued(&ca, &early)).await;
    assert_eq!(why(&refusal(Some(&ca.pem()), &url).await), &Why::NotYetValid);
}

#[tokio::test]
async fn another_host_is_refused_and_named() {
    let ca = ca("ours");
    let (_server, url) = server(issued(&ca, &params("other.test"))).await;
    let failure = refusal(Some(&ca.pem()), &url).await;
    let cause = failure.cause();
    assert_eq!(cause.code, "tls_wrong_host");
    assert!(cause.message.contains("other.test"), "{cause}");
}

#[tokio::test]
async fn a_ca_field_without_a_ca_says_so() {
    let transport = Transport::new(EgressPolicy::default());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "not a certificate", broken, "-----BEGIN CERTIFICATE-----\nnever ends"] {
        let options = EndpointOptions { tls_ca: Some(pem), trust: TENANT, ..EndpointOptions::default() };
        let Err(failure) = transport.endpoint(options) else { panic!("accepted {pem:?}") };
        assert!(matches!(failure.kind, FailureKind::BadCa(_)), "{pem:?}: {:?}", failure.kind);
        assert!(failure.misconfigured());
    }
}

#[tokio::test]
async fn https_to_a_port_that_speaks_http() {
    let server = Server::start(|_, mut stream| async move {
        stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        // The hello is drained so that no reset overtakes the answer.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
    })
    .await;
    let url = format!("https://siem.test:{}/", server.address.port());
    assert_eq!(refusal(None, &url).await.kind, FailureKind::NotTls);
}

#[tokio::test]
async fn http_to_a_port_that_speaks_tls() {
    let ca = ca("ours");
    let (server, _) = server(issued(&ca, &params("siem.test"))).await;
    let failure = send(&endpoint(OPERATOR), server.url()).await.unwrap_err();
    // The alert that the server sends, unless its reset overtakes it.
    assert!(
        matches!(failure.kind, FailureKind::NotHttp { tls: false } | FailureKind::Reset(StageName::Http)),
        "{:?}",
        failure.kind
    );
}
