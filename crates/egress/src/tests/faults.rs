//! Servers and networks that fail, and what is said about it.

use tokio::sync::oneshot;
use toktra_siem_core::destination::{EndpointState, Judgement, Outcome};

use super::*;

/// A server that says `start` once it has the request, and then nothing until the client goes.
async fn silent_after(start: &'static [u8]) -> (Server, oneshot::Receiver<()>) {
    let (started, has_started) = oneshot::channel();
    let started = Arc::new(Mutex::new(Some(started)));
    let server = Server::start(move |_, mut stream| {
        let started = Arc::clone(&started);
        async move {
            read_request(&mut stream).await;
            stream.write_all(start).await.unwrap();
            if let Some(started) = started.lock().take() {
                started.send(()).ok();
            }
            read_request(&mut stream).await;
        }
    })
    .await;
    (server, has_started)
}

/// Sends, and lets the time run out as soon as the server has `started`.
async fn time_out(url: String, started: oneshot::Receiver<()>) -> Failure {
    let sending = tokio::spawn(async move { send(&endpoint(OPERATOR), url).await });
    started.await.unwrap();
    tokio::time::pause();
    sending.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn refused() {
    let port = Canary::at(Ipv4Addr::LOCALHOST, 0).port();
    let failure = send(&endpoint(OPERATOR), format!("http://127.0.0.1:{port}/")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    let cause = failure.cause();
    assert_eq!(cause.code, "network_refused");
    assert!(cause.message.starts_with(&format!("127.0.0.1:{port} refused the connection")), "{cause}");
    assert!(!failure.misconfigured());
    assert_eq!(names(&failure.stages), [StageName::Tcp]);
    assert!(!failure.stages[0].ok);
    let verdict = failure.verdict(3);
    assert_eq!(verdict.judgement, Judgement::all(3, Outcome::Retry(cause)));
    assert_eq!(verdict.endpoint, EndpointState::Backoff { after: None });
}

#[tokio::test]
async fn closed_before_an_answer() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
    })
    .await;
    let failure = send(&endpoint(OPERATOR), server.url()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Reset(StageName::Http));
    assert_eq!(failure.cause().code, "network_reset");
}

#[tokio::test]
async fn reset_with_the_request_unread() {
    let server = Server::start(|_, mut stream| async move {
        // Closing with unread bytes sends a reset.
        stream.read_u8().await.unwrap();
    })
    .await;
    let failure = send(&endpoint(OPERATOR), server.url()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Reset(StageName::Http));
}

#[tokio::test]
async fn closed_in_the_middle_of_a_successful_answer_is_no_success() {
    let answers: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"text\":\"Success\"",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ];
    for answer in answers {
        let server = Server::start(move |_, mut stream| async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(answer).await.unwrap();
        })
        .await;
        let failure = send(&endpoint(OPERATOR), server.url()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Reset(StageName::Http), "{}", String::from_utf8_lossy(answer));
        let Judgement::Items(runs) = failure.verdict(1).judgement else { panic!("not a split") };
        assert!(matches!(&runs[..], [run] if run.len == 1 && matches!(run.outcome, Outcome::Retry(_))));
    }
}

#[tokio::test]
async fn silence_before_the_head_and_within_the_body() {
    for start in [b"".as_slice(), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"] {
        // Each needs a clock of its own, as time stays paused.
        let failure = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (server, started) = silent_after(start).await;
                time_out(server.url(), started).await
            })
        });
        let failure = failure.join().unwrap();
        assert_eq!(failure.kind, FailureKind::Timeout(StageName::Http));
        assert_eq!(failure.cause().code, "network_timeout");
        assert!(failure.duration >= DEADLINE);
    }
}

#[tokio::test]
async fn a_byte_a_second_does_not_outlast_the_deadline() {
    let (started, has_started) = oneshot::channel();
    let started = Arc::new(Mutex::new(Some(started)));
    let dripped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dripped);
    let server = Server::start(move |_, mut stream| {
        let (started, dripped) = (Arc::clone(&started), Arc::clone(&count));
        async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
            started.lock().take().unwrap().send(()).unwrap();
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            while stream.write_all(b"x").await.is_ok() {
                dripped.fetch_add(1, Ordering::SeqCst);
                tick.tick().await;
            }
        }
    })
    .await;
    let failure = time_out(server.url(), has_started).await;
    assert_eq!(failure.kind, FailureKind::Timeout(StageName::Http));
    assert!(dripped.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up_after_the_connect_timeout() {
    let (started, has_started) = oneshot::channel();
    let started = Arc::new(Mutex::new(Some(started)));
    let server = Server::start(move |_, mut stream| {
        let started = Arc::clone(&started);
        async move {
            stream.read_u8().await.unwrap();
            started.lock().take().unwrap().send(()).unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let failure = time_out(format!("https://{}/", server.address), has_started).await;
    assert_eq!(failure.kind, FailureKind::Timeout(StageName::Tls));
    assert_eq!(failure.cause().code, "network_tls_timeout");
    assert!(failure.duration < DEADLINE);
}

struct Hanging;

#[async_trait]
impl Resolver for Hanging {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs() {
    let transport = Transport::with_resolver(EgressPolicy::default(), Arc::new(Hanging));
    let endpoint = transport.endpoint(EndpointOptions::default()).unwrap();
    let failure = send(&endpoint, "https://siem.test/").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout(StageName::Dns));
    assert_eq!(failure.cause().code, "network_dns_timeout");
    assert_eq!(failure.duration, CONNECT_TIMEOUT);
    // A name that cannot be judged now may be saved.
    assert_eq!(transport.check("https://siem.test/", TENANT).await, Ok(()));
}

#[tokio::test]
async fn names_that_do_not_resolve() {
    let texts = [
        ("failed to lookup address information: Name or service not known", FailureKind::UnknownHost),
        ("failed to lookup address information: Temporary failure in name resolution", FailureKind::Dns),
    ];
    for (text, kind) in texts {
        let resolver = Scripted::new(vec![Err(io::Error::other(text))]);
        let endpoint = Transport::with_resolver(EgressPolicy::default(), resolver).endpoint(EndpointOptions::default());
        let failure = send(&endpoint.unwrap(), "https://siem.test/").await.unwrap_err();
        assert_eq!(failure.kind, kind);
        assert_eq!(names(&failure.stages), [StageName::Dns]);
    }
    let nothing = Transport::with_resolver(EgressPolicy::default(), Scripted::new(vec![Ok(vec![])]));
    let endpoint = nothing.endpoint(EndpointOptions::default()).unwrap();
    assert_eq!(send(&endpoint, "https://siem.test/").await.unwrap_err().kind, FailureKind::UnknownHost);
}

#[tokio::test]
async fn answers_that_are_not_http() {
    for answer in [b"SSH-2.0-OpenSSH_9.6\r\n".as_slice(), b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/9.9 200 OK\r\n\r\n"] {
        let server = Server::answering(answer).await;
        let failure = send(&endpoint(OPERATOR), server.url()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotHttp { tls: false }, "{answer:?}");
        assert_eq!(failure.cause().code, "network_not_http");
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"X-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    })
    .await;
    let failure = send(&endpoint(OPERATOR), server.url()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Excess(StageName::Http));
}

#[tokio::test]
async fn a_credential_with_a_line_break_goes_nowhere_and_is_not_shown() {
    let canary = Canary::at(Ipv4Addr::LOCALHOST, 0);
    for value in ["Splunk s3cret\r\nX-Injected: 1", "Splunk s3cret\n", "s3cret\0", "s3cr\u{e9}t", "s3cret\u{7f}"] {
        let header = ("authorization", HeaderText::Secret(SecretString::from(value.to_owned())));
        let sent = with_headers(format!("http://127.0.0.1:{}/", canary.port()), vec![header]);
        let failure = endpoint(OPERATOR).send(sent, SendOptions::default()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadHeader("authorization"));
        assert!(failure.misconfigured());
        assert!(!format!("{failure:?} {}", failure.cause()).contains("s3cr"));
    }
    canary.assert_untouched();
}
