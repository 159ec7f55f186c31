//! The policy where it counts: at the moment of dialling. Listeners beside the permitted address prove that nothing else is reached.

use super::*;

const PERMITTED: Ipv4Addr = Ipv4Addr::LOCALHOST;
const PRIVATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Only [`PERMITTED`] may be reached; beside it stands a canary on another loopback address and the same port.
async fn beside(resolver: Arc<Scripted>) -> (Server, Canary, Endpoint, String) {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    let canary = Canary::at(PRIVATE, server.address.port());
    let policy = EgressPolicy::new(vec![IpAddr::from(PERMITTED).into()]);
    let endpoint = Transport::with_resolver(policy, resolver).endpoint(EndpointOptions::default()).unwrap();
    let url = format!("http://rebind.test:{}/", server.address.port());
    (server, canary, endpoint, url)
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_dial_is_dialled_where_it_was_checked() {
    let resolver = Scripted::new(vec![Ok(vec![PERMITTED.into()]), Ok(vec![PRIVATE.into()])]);
    let (server, canary, endpoint, url) = beside(Arc::clone(&resolver)).await;
    let exchange = send(&endpoint, &url).await.unwrap();
    assert_eq!(exchange.stages[1].detail, server.address.to_string());
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    canary.assert_untouched();
    // The next connection asks again, and the new answer is judged.
    let failure = send(&endpoint, &url).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Forbidden(Forbidden::Special("a loopback address")));
    assert_eq!(names(&failure.stages), [StageName::Dns]);
    assert!(!failure.cause().message.contains("127.0.0.2"));
    assert!(failure.misconfigured());
    canary.assert_untouched();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_mixed_answer_is_refused_whole() {
    for answer in [vec![PERMITTED.into(), PRIVATE.into()], vec![PRIVATE.into(), PERMITTED.into()]] {
        let (server, canary, endpoint, url) = beside(Scripted::new(vec![Ok(answer)])).await;
        let failure = send(&endpoint, &url).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Forbidden(Forbidden::Mixed));
        assert_eq!(failure.cause().code, "destination_forbidden");
        canary.assert_untouched();
        assert_eq!(server.connections(), 0);
    }
}

#[tokio::test]
async fn no_spelling_of_loopback_reaches_a_listener() {
    let canary = Canary::at(PERMITTED, 0);
    let endpoint = endpoint(TENANT);
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "a.localhost",
        "LOCALHOST.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127。0。0。1",
        "%31%32%37.1",
        "user@127.0.0.1",
        "splunk.example@127.0.0.1",
    ];
    for host in hosts {
        for scheme in ["http", "https"] {
            let failure = send(&endpoint, format!("{scheme}://{host}:{}/", canary.port())).await.unwrap_err();
            assert!(matches!(failure.kind, FailureKind::Forbidden(_)), "{scheme}://{host}: {:?}", failure.kind);
            assert!(failure.stages.is_empty());
        }
    }
    canary.assert_untouched();
}

/// Only up to the judgement, not `send`: were the policy broken, this test would knock at real metadata services.
#[tokio::test]
async fn metadata_is_refused_even_to_the_operator_and_behind_a_name() {
    let policy = EgressPolicy::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
    let target = policy.check_url("http://innocent.test/", OPERATOR).unwrap();
    for ip in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"] {
        let resolver = Scripted::new(vec![Ok(vec![ip.parse().unwrap()])]);
        let judged = dial::addresses(&policy, resolver.as_ref(), &target, OPERATOR, &mut Trace::start()).await;
        assert!(matches!(judged, Err(FailureKind::Forbidden(Forbidden::Never(_)))), "{ip}: {judged:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let canary = Canary::at(PERMITTED, 0);
    for status in [301, 302, 303, 307, 308] {
        let port = canary.port();
        let server = Server::start(move |_, mut stream| async move {
            read_request(&mut stream).await.unwrap();
            let answer =
                format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        assert_eq!(send(&endpoint(OPERATOR), server.url()).await.unwrap().reply.status, status);
        canary.assert_untouched();
    }
}

#[tokio::test]
async fn saving_judges_what_a_name_resolves_to_now() {
    let answers: Vec<io::Result<Vec<IpAddr>>> = vec![
        Ok(vec![Ipv4Addr::new(10, 0, 0, 1).into()]),
        Ok(vec![Ipv4Addr::new(1, 1, 1, 1).into()]),
        Ok(vec![Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(1, 1, 1, 1).into()]),
        Err(io::Error::other("no such name")),
        Ok(vec![Ipv4Addr::new(10, 0, 0, 1).into()]),
    ];
    let transport = Transport::with_resolver(EgressPolicy::default(), Scripted::new(answers));
    let url = "https://siem.test/";
    assert_eq!(transport.check(url, TENANT).await, Err(Forbidden::Special("a private address")));
    assert_eq!(transport.check(url, TENANT).await, Ok(()));
    assert_eq!(transport.check(url, TENANT).await, Err(Forbidden::Mixed));
    assert_eq!(transport.check(url, TENANT).await, Ok(()));
    assert_eq!(transport.check(url, OPERATOR).await, Ok(()));
    assert_eq!(transport.check("http://siem.test/", TENANT).await, Err(Forbidden::PlainHttp));
    assert_eq!(transport.check("https://127.0.0.1/", TENANT).await, Err(Forbidden::Special("a loopback address")));
}
