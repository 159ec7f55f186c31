//! Certificates that are trusted for themselves, and clients that prove who they are: against rustls here, and against OpenSSL with
//! certificates that its own commands made.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest as _, Sha256};
use toktra_siem_core::certificate::printed;

use super::certificates::{ca, issued, params, serve, server_config, why};
use super::*;

const V1: &str = include_str!("../../../../fixtures/certificates/splunk-default-v1.pem");
const SPLUNK_CA: &str = include_str!("../../../../fixtures/certificates/splunk-ca.pem");
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

fn fingerprint(der: &[u8]) -> String {
    printed(Sha256::digest(der).as_slice())
}

fn endpoint(options: EndpointOptions<'_>) -> Result<Endpoint, Failure> {
    let transport = Transport::with_resolver(EgressPolicy::default(), Scripted::loopback(3));
    transport.endpoint(EndpointOptions { trust: OPERATOR, ..options })
}

async fn ask(options: EndpointOptions<'_>, url: &str) -> Result<Exchange, Failure> {
    send(&endpoint(options).unwrap(), url).await
}

fn pinned(fingerprint: &str) -> EndpointOptions<'_> {
    EndpointOptions { tls_fingerprint: Some(fingerprint), ..EndpointOptions::default() }
}

fn trusting(pem: &str) -> EndpointOptions<'_> {
    EndpointOptions { tls_ca: Some(pem), ..EndpointOptions::default() }
}

/// Shows whatever it is given, with whatever key: rustls itself refuses pairs that do not belong together.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A server of one TLS version that shows `certificate` and signs with `key`.
fn shows(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let provider = rustls::crypto::ring::default_provider();
    let key = provider.key_provider.load_private_key(PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(vec![certificate], key)))))
}

/// What `openssl req -x509` makes.
fn self_signed(host: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = params(host);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap(), key)
}

#[tokio::test]
async fn a_fingerprint_trusts_that_certificate_whoever_issued_it() {
    let (certificate, key) = issued(&ca("theirs"), &params("other.test"));
    let said = fingerprint(&certificate);
    for version in VERSIONS {
        let (_server, url) = serve(shows(certificate.clone(), &key, version)).await;
        for spelled in [said.clone(), said.replace(':', "").to_lowercase(), format!("{},{said}", fingerprint(b"x"))] {
            let exchange = ask(pinned(&spelled), &url).await.unwrap();
            assert!(exchange.stages[2].detail.ends_with("trusted by its fingerprint"), "{:?}", exchange.stages);
        }
    }
}

/// The hole that a verifier of fingerprints may have.
#[tokio::test]
async fn who_shows_the_pinned_certificate_and_holds_another_key_is_refused() {
    let thief = KeyPair::generate().unwrap();
    let (issued, _) = issued(&ca("theirs"), &params("siem.test"));
    let v1 = CertificateDer::from_pem_slice(V1.as_bytes()).unwrap();
    let rsa = KeyPair::from_pem(&openssl_key()).unwrap();
    for (certificate, key) in [(issued, &thief), (v1, &rsa)] {
        for version in VERSIONS {
            let (_server, url) = serve(shows(certificate.clone(), key, version)).await;
            let failure = ask(pinned(&fingerprint(&certificate)), &url).await.unwrap_err();
            assert_eq!((why(&failure), failure.misconfigured()), (&Why::KeyNotHeld, true), "{version:?}");
            assert!(failure.cause().message.contains("does not") || failure.cause().message.contains("cannot prove"));
        }
    }
}

/// A thief may sign with another kind of key than the one in the certificate. With a kind that is not known here nobody could prove anything.
#[tokio::test]
async fn a_signature_of_another_kind_of_key_proves_nothing_and_an_unknown_kind_is_named() {
    let rsa = KeyPair::from_pem(&openssl_key()).unwrap();
    let (known, _) = issued(&ca("theirs"), &params("siem.test"));
    let folder = Folder::new("p521");
    let keys = "ec -pkeyopt ec_paramgen_curve:P-521";
    folder.openssl(&format!("req -x509 -newkey {keys} -nodes -keyout a.key -out a.pem -subj /CN=siem.test -days 30"));
    let unknown = CertificateDer::from_pem_slice(folder.read("a.pem").as_bytes()).unwrap();
    for version in VERSIONS {
        for (certificate, code) in [(&known, "tls_key_not_held"), (&unknown, "tls_key_unfit")] {
            let (_server, url) = serve(shows(certificate.clone(), &rsa, version)).await;
            let failure = ask(pinned(&fingerprint(certificate)), &url).await.unwrap_err();
            assert_eq!((&*failure.cause().code, failure.misconfigured()), (code, true), "{version:?}");
        }
    }
}

/// Somebody else may have put something behind the certificate: what is shown is what would be pinned.
#[tokio::test]
async fn the_fingerprint_that_is_shown_is_the_one_that_is_trusted() {
    let (certificate, key) = issued(&ca("theirs"), &params("siem.test"));
    let sent = CertificateDer::from([certificate.as_ref(), b"behind it"].concat());
    for version in VERSIONS {
        let (_server, url) = serve(shows(sent.clone(), &key, version)).await;
        let failure = ask(pinned(&fingerprint(&certificate)), &url).await.unwrap_err();
        let shown = failure.certificate().unwrap().fingerprint.clone();
        assert!(matches!(why(&failure), Why::Changed(_)) && shown == fingerprint(&sent), "{:?}", failure.kind);
        ask(pinned(&shown), &url).await.unwrap();
    }
}

/// The same for a certificate of `tls_ca` that is trusted as it is.
#[tokio::test]
async fn who_shows_the_trusted_self_signed_certificate_and_holds_another_key_is_refused() {
    let (certificate, _) = self_signed("siem.test");
    let thief = KeyPair::generate().unwrap();
    for version in VERSIONS {
        let (_server, url) = serve(shows(certificate.der().clone(), &thief, version)).await;
        assert_eq!(why(&ask(trusting(&certificate.pem()), &url).await.unwrap_err()), &Why::KeyNotHeld);
    }
}

#[tokio::test]
async fn a_changed_certificate_is_refused_and_both_fingerprints_are_named() {
    let ca = ca("ours");
    let (before, after) = (issued(&ca, &params("siem.test")), issued(&ca, &params("siem.test")));
    let (expected, found) = (fingerprint(&before.0), fingerprint(&after.0));
    let (_server, url) = serve(server_config(after)).await;
    let pem = ca.pem();
    // That its authority is trusted does not help: the fingerprint alone decides.
    let options = EndpointOptions { tls_ca: Some(&pem), ..pinned(&expected) };
    let failure = ask(options, &url).await.unwrap_err();
    let cause = failure.cause();
    assert_eq!((&*cause.code, failure.misconfigured()), ("tls_fingerprint_changed", true));
    assert!(cause.message.contains(&expected) && cause.message.contains(&found), "{cause}");
    assert_eq!(failure.certificate().unwrap().fingerprint, found);
}

#[tokio::test]
async fn an_expired_certificate_that_is_pinned_works_and_the_expiry_is_shown() {
    let mut expired = params("siem.test");
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let identity = issued(&ca("ours"), &expired);
    let said = fingerprint(&identity.0);
    let (_server, url) = serve(server_config(identity)).await;
    let exchange = ask(pinned(&said), &url).await.unwrap();
    assert!(exchange.stages[2].detail.ends_with("it expired at 2021-01-01T00:00:00.000Z"), "{:?}", exchange.stages);
}

#[tokio::test]
async fn a_self_signed_certificate_in_tls_ca_is_trusted_and_no_other_of_its_name() {
    let (certificate, key) = self_signed("siem.test");
    let (_server, url) = serve(server_config((certificate.der().clone(), key))).await;
    ask(trusting(&certificate.pem()), &url).await.unwrap();
    let (other, _) = self_signed("siem.test");
    assert_eq!(why(&ask(trusting(&other.pem()), &url).await.unwrap_err()), &Why::Untrusted);
    // Without it the receiver's certificate is shown, with the way to trust it.
    let failure = ask(EndpointOptions::default(), &url).await.unwrap_err();
    let shown = failure.certificate().unwrap();
    assert_eq!((why(&failure), shown.names.as_slice()), (&Why::Untrusted, ["siem.test".to_owned()].as_slice()));
    assert!(failure.cause().message.contains(&fingerprint(certificate.der())), "{}", failure.cause());
}

#[tokio::test]
async fn a_self_signed_certificate_of_another_host_or_date_is_not_good_enough() {
    let (certificate, key) = self_signed("other.test");
    let (_server, url) = serve(server_config((certificate.der().clone(), key))).await;
    let pem = certificate.pem();
    assert_eq!(why(&ask(trusting(&pem), &url).await.unwrap_err()), &Why::WrongHost);
    ask(EndpointOptions { tls_server_name: Some("other.test"), ..trusting(&pem) }, &url).await.unwrap();

    let key = KeyPair::generate().unwrap();
    let mut expired = params("siem.test");
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = expired.self_signed(&key).unwrap();
    let (_server, url) = serve(server_config((certificate.der().clone(), key))).await;
    let failure = ask(trusting(&certificate.pem()), &url).await.unwrap_err();
    assert!(matches!(why(&failure), Why::Expired(Some(_))), "{:?}", failure.kind);
}

/// Whoever holds the key of a server's certificate is no authority by that.
#[tokio::test]
async fn a_leaf_in_tls_ca_vouches_for_nobody_else() {
    let key = KeyPair::generate().unwrap();
    let leaf_params = params("siem.test");
    let leaf = leaf_params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(leaf_params, key);
    let other = KeyPair::generate().unwrap();
    let forged = params("siem.test").signed_by(&other, &issuer).unwrap();
    let (_server, url) = serve(server_config((forged.der().clone(), other))).await;
    assert_eq!(why(&ask(trusting(&leaf.pem()), &url).await.unwrap_err()), &Why::Untrusted);
}

#[tokio::test]
async fn the_server_name_is_asked_for_and_verified() {
    let ca = ca("ours");
    let (_server, url) = serve(server_config(issued(&ca, &params("splunk.internal")))).await;
    let pem = ca.pem();
    assert_eq!(why(&ask(trusting(&pem), &url).await.unwrap_err()), &Why::WrongHost);
    ask(EndpointOptions { tls_server_name: Some("splunk.internal"), ..trusting(&pem) }, &url).await.unwrap();
    let wrong = EndpointOptions { tls_server_name: Some("elsewhere.test"), ..trusting(&pem) };
    assert_eq!(why(&ask(wrong, &url).await.unwrap_err()), &Why::WrongHost);
}

fn with_client_auth(ca: &super::certificates::Ca, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let (certificate, key) = issued(ca, &params("siem.test"));
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap()
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_gets_it() {
    let (ca, stranger) = (ca("ours"), ca("strangers"));
    let authority = ca.pem();
    let key = KeyPair::generate().unwrap();
    let certificate = params("client").signed_by(&key, &ca).unwrap().pem();
    let theirs = params("client").signed_by(&key, &stranger).unwrap().pem();
    let secret = SecretString::from(key.serialize_pem());
    let with = |certificate| EndpointOptions {
        tls_client_cert: Some(certificate),
        tls_client_key: Some(&secret),
        ..trusting(&authority)
    };
    for version in VERSIONS {
        let (_server, url) = serve(with_client_auth(&ca, version)).await;
        ask(with(&certificate), &url).await.unwrap();
        for refused in [trusting(&authority), with(&theirs)] {
            let failure = ask(refused, &url).await.unwrap_err();
            // The alert that the server sends, unless its reset overtakes it.
            let explained = matches!(&failure.kind, FailureKind::ClientCertificate(_)) && failure.misconfigured();
            assert!(explained || matches!(failure.kind, FailureKind::Reset(_)), "{:?}", failure.kind);
        }
    }
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused_before_anything_is_sent() {
    let ca = ca("ours");
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = params("client").signed_by(&key, &ca).unwrap().pem();
    let (right, wrong) = (SecretString::from(key.serialize_pem()), SecretString::from(other.serialize_pem()));
    let broken = SecretString::from("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned());
    let with = |cert, key| EndpointOptions { tls_client_cert: cert, tls_client_key: key, ..EndpointOptions::default() };
    assert!(endpoint(with(Some(&certificate), Some(&right))).is_ok());
    for (options, said) in [
        (with(Some(&certificate), Some(&wrong)), "another certificate"),
        (with(Some(&certificate), Some(&broken)), "cannot be read"),
        (with(Some(&certificate), None), "no private key"),
        (with(None, Some(&right)), "no certificate"),
    ] {
        let Err(failure) = endpoint(options) else { panic!("accepted: {said}") };
        let cause = failure.cause();
        assert!(cause.code == "tls_client_invalid" && cause.message.contains(said), "{cause}");
    }
}

// ---- OpenSSL, which shares no code with rustls.

/// A folder with keys and certificates that the `openssl` command makes.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("toktra-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn openssl(&self, line: &str) -> String {
        openssl(&self.0, line)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn openssl(folder: &Path, line: &str) -> String {
    let done =
        Command::new("openssl").args(line.split(' ')).current_dir(folder).output().expect("openssl is installed");
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn openssl_key() -> String {
    openssl(Path::new("/"), "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048")
}

/// `openssl s_server -www`, which answers every GET with a page.
struct OpenSsl {
    server: Child,
    url: String,
}

impl OpenSsl {
    /// It listens where it says: on a port that was looked for beforehand, somebody else may listen by then, or a connection may meet itself.
    fn start(folder: &Folder, line: &str) -> Self {
        let mut server = Command::new("openssl")
            .args(format!("s_server -accept 127.0.0.1:0 -www {line}").split(' '))
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(server.stdout.take().unwrap());
        let mut lines = said.lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned)).unwrap();
        // What it says further is read, so that it never waits for that.
        std::thread::spawn(move || lines.for_each(drop));
        Self { server, url: format!("https://siem.test:{port}/") }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

async fn get(options: EndpointOptions<'_>, server: &OpenSsl) -> Result<Exchange, Failure> {
    let mut request = request(server.url.clone());
    request.method = Method::Get;
    request.body = Bytes::new();
    endpoint(options)?.send(request, SendOptions::default()).await
}

/// What Splunk ships: a CA of its own, and a server certificate of version 1 without any name of a host.
fn splunk(folder: &Folder) -> String {
    folder.openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /O=Splunk/CN=SplunkCommonCA -days 30",
    );
    folder.openssl("req -new -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=SplunkServerDefaultCert/O=SplunkUser");
    folder.openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 30 -out server.pem");
    folder.openssl("x509 -in server.pem -noout -fingerprint -sha256")
}

#[tokio::test]
async fn splunks_ready_made_certificate_works_by_its_fingerprint_alone() {
    let folder = Folder::new("v1");
    let printed = splunk(&folder);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = OpenSsl::start(&folder, &format!("-cert server.pem -key server.key {version}"));
        // As openssl prints it, with its label and its newline.
        let exchange = get(pinned(&printed), &server).await.unwrap();
        assert_eq!(exchange.reply.status, 200);
        // The documented way of old does not help, and says so.
        for options in [EndpointOptions::default(), trusting(&folder.read("ca.pem"))] {
            let failure = get(options, &server).await.unwrap_err();
            let cause = failure.cause();
            assert_eq!((&*cause.code, failure.misconfigured()), ("tls_version_1", true));
            assert!(cause.message.contains("SplunkServerDefaultCert") && !cause.message.contains("Other("), "{cause}");
            assert!(printed.contains(&failure.certificate().unwrap().fingerprint), "{printed}");
        }
        // Pasted itself, it is trusted as it is.
        get(trusting(&folder.read("server.pem")), &server).await.unwrap();
        let elsewhere =
            pinned("AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB");
        assert_eq!(&*get(elsewhere, &server).await.unwrap_err().cause().code, "tls_fingerprint_changed");
    }
}

/// Nobody is said to have copied a certificate whose key is too short for any signature, nor is it offered to be trusted.
#[tokio::test]
async fn a_short_rsa_key_is_named_as_such_whoever_is_trusted() {
    let folder = Folder::new("short");
    folder.openssl(
        "req -x509 -newkey rsa:1024 -nodes -keyout self.key -out self.pem -subj /CN=siem.test -days 30 -addext subjectAltName=DNS:siem.test",
    );
    let (pem, printed) = (folder.read("self.pem"), folder.openssl("x509 -in self.pem -noout -fingerprint -sha256"));
    for version in ["-tls1_2", "-tls1_3"] {
        let line = format!("-cert self.pem -key self.key -cipher DEFAULT:@SECLEVEL=0 {version}");
        let server = OpenSsl::start(&folder, &line);
        for options in [EndpointOptions::default(), trusting(&pem), pinned(&printed)] {
            let failure = get(options, &server).await.unwrap_err();
            let cause = failure.cause();
            assert_eq!((&*cause.code, failure.misconfigured()), ("tls_key_unfit", true), "{cause}");
            assert!(cause.message.contains("1024 bits") && !cause.message.contains("tls_fingerprint"), "{cause}");
        }
        let elsewhere = fingerprint(b"another");
        assert_eq!(&*get(pinned(&elsewhere), &server).await.unwrap_err().cause().code, "tls_fingerprint_changed");
    }
}

#[tokio::test]
async fn what_openssl_req_makes_is_trusted_when_it_is_pasted() {
    let folder = Folder::new("self");
    for (subject, names) in [("/CN=siem.test", " -addext subjectAltName=DNS:siem.test"), ("/CN=splunk", "")] {
        for keys in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384"] {
            folder.openssl(&format!(
                "req -x509 -newkey {keys} -nodes -keyout self.key -out self.pem -subj {subject} -days 30{names}"
            ));
            for version in ["-tls1_2", "-tls1_3"] {
                let server = OpenSsl::start(&folder, &format!("-cert self.pem -key self.key {version}"));
                get(trusting(&folder.read("self.pem")), &server).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn openssl_gets_the_client_certificate_that_it_asks_for() {
    let folder = Folder::new("client");
    splunk(&folder);
    // Of version 1, as `openssl x509 -req` makes it unless it is told otherwise.
    folder.openssl("req -new -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=toktra");
    folder.openssl("x509 -req -in client.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 30 -out client.pem");
    folder.openssl("x509 -in server.pem -out known.pem");
    let (known, client) = (folder.read("known.pem"), folder.read("client.pem"));
    for key in ["client.key", "client.rsa"] {
        folder.openssl("rsa -in client.key -traditional -out client.rsa");
        let key = SecretString::from(folder.read(key));
        for version in ["-tls1_2", "-tls1_3"] {
            let line = format!(
                "-cert server.pem -key server.key -Verify 2 -verify_return_error -CAfile {} {version}",
                folder.path("ca.pem")
            );
            let server = OpenSsl::start(&folder, &line);
            let options =
                EndpointOptions { tls_client_cert: Some(&client), tls_client_key: Some(&key), ..trusting(&known) };
            assert_eq!(get(options, &server).await.unwrap().reply.status, 200);
            let failure = get(trusting(&known), &server).await.unwrap_err();
            let explained = matches!(failure.kind, FailureKind::ClientCertificate(_) | FailureKind::Tls(_));
            assert!(explained || matches!(failure.kind, FailureKind::Reset(_)), "{:?}", failure.kind);
        }
    }
}

#[test]
fn the_fixtures_are_what_splunk_ships() {
    assert!(endpoint(trusting(SPLUNK_CA)).is_ok() && endpoint(trusting(V1)).is_ok());
}
