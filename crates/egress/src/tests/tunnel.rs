//! The way through the operator's proxy: what it is asked for, what it is not, and what it may answer.

use toktra_siem_core::destination::{EndpointState, Judgement, Outcome};
use toktra_siem_fake::proxy::{Proxy as Fake, Tunnel};

use super::certificates::{ca, issued, params, serve, server_config};
use super::*;

/// A transport that goes through this proxy.
fn through(proxy: Proxy, allow: &[&str], resolver: Arc<dyn Resolver>) -> Transport {
    let allow = allow.iter().map(|net| net.parse().unwrap()).collect();
    Transport::with_resolver(EgressPolicy::new(allow).through(Some(proxy)), resolver)
}

fn proxy(fake: &Fake) -> Proxy {
    format!("http://{}", fake.address()).parse().unwrap()
}

fn past(items: &[&str]) -> Vec<Past> {
    items.iter().map(|item| item.parse().unwrap()).collect()
}

fn endpoint_of(transport: &Transport, trust: Trust) -> Endpoint {
    transport.endpoint(EndpointOptions { trust, ..EndpointOptions::default() }).unwrap()
}

/// A fake, and an operator's endpoint behind it.
async fn behind() -> (Fake, Endpoint) {
    let fake = Fake::start().await.unwrap();
    let transport = through(proxy(&fake), &[], Arc::new(SystemResolver));
    (fake, endpoint_of(&transport, OPERATOR))
}

#[tokio::test]
async fn tls_is_spoken_with_the_receiver_and_the_proxy_is_asked_for_the_address_that_was_judged() {
    let authority = ca("Company Root CA");
    let (server, url) = serve(server_config(issued(&authority, &params("siem.test")))).await;
    let fake = Fake::start().await.unwrap();
    let resolver = Scripted::loopback(1);
    let transport = through(proxy(&fake), &["127.0.0.0/8"], Arc::clone(&resolver) as Arc<dyn Resolver>);
    let (pem, name) = (authority.pem(), url);
    let options = EndpointOptions { tls_ca: Some(&pem), trust: TENANT, ..EndpointOptions::default() };
    let endpoint = transport.endpoint(options).unwrap();
    let exchange = send(&endpoint, &name).await.unwrap();
    assert_eq!(exchange.reply.status, 200);
    assert_eq!(names(&exchange.stages), [StageName::Dns, StageName::Tcp, StageName::Tls, StageName::Http]);
    assert_eq!(exchange.stages[1].detail, format!("{}, through the proxy", server.address));
    // The connection is kept as any other.
    assert_eq!(names(&send(&endpoint, &name).await.unwrap().stages), [StageName::Http]);
    assert_eq!(fake.asked(), [server.address.to_string()]);
    assert_eq!(fake.violations(), [""; 0]);
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    // Who does not trust that authority sees the receiver's own certificate.
    let stranger = through(proxy(&fake), &["127.0.0.0/8"], Scripted::loopback(1));
    let failure = send(&endpoint_of(&stranger, TENANT), &name).await.unwrap_err();
    assert!(failure.certificate().is_some(), "{failure:?}");
}

#[tokio::test]
async fn plain_http_goes_through_a_tunnel_as_well() {
    let server = Server::answering(OK).await;
    let (fake, endpoint) = behind().await;
    assert_eq!(send(&endpoint, server.url()).await.unwrap().reply.status, 200);
    assert_eq!((fake.asked(), fake.violations()), (vec![server.address.to_string()], vec![]));
}

#[tokio::test]
async fn the_proxy_has_its_credentials_and_the_receiver_does_not() {
    let (heads, mut head) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let heads = heads.clone();
        async move {
            while let Some((head, _)) = read_request(&mut stream).await {
                heads.send(head).unwrap();
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let fake = Fake::start().await.unwrap();
    fake.demand("svc", "p@ss:word");
    let with = |credentials: &str| -> Endpoint {
        let proxy = format!("http://{credentials}{}", fake.address()).parse().unwrap();
        endpoint_of(&through(proxy, &[], Arc::new(SystemResolver)), OPERATOR)
    };
    assert_eq!(send(&with("svc:p%40ss%3Aword@"), server.url()).await.unwrap().reply.status, 200);
    let head = head.recv().await.unwrap().to_ascii_lowercase();
    assert!(!head.contains("proxy-") && !head.contains("basic"), "{head}");
    for wrong in ["", "svc:wrong@"] {
        let failure = send(&with(wrong), server.url()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked(Blocked::Answered(407)), "{wrong}");
        assert!(!format!("{failure:?}").contains("wrong"));
    }
    assert_eq!((server.connections(), fake.violations()), (1, vec![]));
}

/// It is the network's fault, as a connection that is refused is: sent again, and never taken for an answer of the SIEM.
#[tokio::test]
async fn a_tunnel_that_is_not_opened_has_a_cause_of_its_own_and_nothing_is_lost() {
    let server = Server::answering(OK).await;
    let (fake, endpoint) = behind().await;
    for (tunnel, code) in [
        (Tunnel::Refused(407), "proxy_credentials"),
        (Tunnel::Refused(400), "proxy_refused"),
        (Tunnel::Refused(401), "proxy_credentials"),
        (Tunnel::Refused(403), "proxy_refused"),
        (Tunnel::Refused(405), "proxy_refused"),
        (Tunnel::Refused(429), "proxy_refused"),
        (Tunnel::Refused(302), "proxy_refused"),
        (Tunnel::Refused(500), "proxy_failed"),
        (Tunnel::Refused(502), "proxy_failed"),
        (Tunnel::Refused(503), "proxy_failed"),
        (Tunnel::Refused(504), "proxy_failed"),
        (Tunnel::Closes, "proxy_silent"),
        (Tunnel::Says(b"HTTP/1.1 200 OK\r\n\r\nhello"), "proxy_not_http"),
        (Tunnel::Says(b"HTTP/2 200\r\n\r\n"), "proxy_not_http"),
        (Tunnel::Says(b"SSH-2.0-OpenSSH_9.2\r\n"), "proxy_not_http"),
        (Tunnel::Says(b"HTTP/1.1 2000 OK\r\n\r\n"), "proxy_not_http"),
        (Tunnel::Says(b"HTTP/1.1 +20 OK\r\n\r\n"), "proxy_not_http"),
        (Tunnel::Says(b"HTTP/1.1 600 OK\r\n\r\n"), "proxy_not_http"),
        (Tunnel::Says(b"HTTP/1.1\r\n\r\n"), "proxy_not_http"),
    ] {
        fake.tunnel(tunnel);
        let failure = send(&endpoint, server.url()).await.unwrap_err();
        let cause = failure.cause();
        assert_eq!(cause.code, code, "{tunnel:?}: {cause}");
        assert!(cause.message.contains(&server.address.to_string()), "{cause}");
        assert!(
            !cause.message.contains(&fake.address().to_string()),
            "where the proxy is concerns the operator: {cause}"
        );
        assert_eq!(failure.stages.last().map(|stage| (stage.name, stage.ok)), Some((StageName::Tcp, false)));
        let verdict = failure.verdict(3);
        // A password that is wrong is for a person to correct, and is not tried again and again.
        let (endpoint, outcome) = if code == "proxy_credentials" {
            (EndpointState::Misconfigured(cause.clone()), Outcome::Held(cause))
        } else {
            (EndpointState::Backoff { after: None }, Outcome::Retry(cause))
        };
        assert_eq!((verdict.endpoint, verdict.judgement), (endpoint, Judgement::all(3, outcome)));
    }
    fake.tunnel(Tunnel::Opens);
    assert_eq!(send(&endpoint, server.url()).await.unwrap().reply.status, 200);
    assert_eq!(fake.violations(), [""; 0]);
}

#[tokio::test]
async fn a_tunnel_is_opened_by_whatever_the_protocol_allows() {
    let server = Server::answering(OK).await;
    for said in [
        b"HTTP/1.0 200 Connection established\r\n\r\n".as_slice(),
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVia: 1.1 proxy\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (fake, endpoint) = behind().await;
        fake.tunnel(Tunnel::Says(said));
        let sent = send(&endpoint, server.url()).await;
        assert_eq!(sent.map(|exchange| exchange.reply.status).ok(), Some(200), "{}", said.escape_ascii());
    }
}

#[tokio::test]
async fn a_proxy_that_says_more_than_a_head_is_given_up() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"X-Padding: abcdefghijklmnopqrstuvwxyz\r\n").await.is_ok() {}
    })
    .await;
    let proxy = format!("http://{}", server.address).parse().unwrap();
    let endpoint = endpoint_of(&through(proxy, &[], Arc::new(SystemResolver)), OPERATOR);
    let failure = endpoint.send(request("http://127.0.0.1:9/"), NEVER).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Blocked(Blocked::NotAProxy));
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_named_as_that() {
    let closed = Canary::at(Ipv4Addr::LOCALHOST, 0).port();
    let to =
        |url: String, resolver: Arc<dyn Resolver>| endpoint_of(&through(url.parse().unwrap(), &[], resolver), OPERATOR);
    let refused = to(format!("http://127.0.0.1:{closed}"), Arc::new(SystemResolver));
    let unknown = Scripted::new(vec![Err(io::Error::other("Name or service not known"))]);
    let unknown = to("http://proxy.test:3128".into(), unknown);
    for (endpoint, why) in [(refused, "nothing listens"), (unknown, "does not exist")] {
        let cause = send(&endpoint, "http://127.0.0.1:9/").await.unwrap_err().cause();
        assert!(cause.code == "proxy_unreachable" && cause.message.contains(why), "{cause}");
    }
}

/// Whoever needs a proxy often has no DNS: what helps then is said.
#[tokio::test]
async fn a_name_that_this_machine_cannot_look_up_is_told_as_such() {
    let fake = Fake::start().await.unwrap();
    for (said, past_it) in
        [("Name or service not known", false), ("Temporary failure", false), ("Temporary failure", true)]
    {
        let proxy = proxy(&fake).past(past(if past_it { &["siem.test"] } else { &[] }));
        let transport = through(proxy, &[], Scripted::new(vec![Err(io::Error::other(said))]));
        let cause = send(&endpoint_of(&transport, OPERATOR), "http://siem.test/").await.unwrap_err().cause();
        assert_eq!(cause.code, if past_it { "network_dns" } else { "proxy_name_unknown" }, "{cause}");
        assert_eq!(cause.message.contains("TOKTRA_SIEM_EGRESS_PROXY_DNS=proxy"), !past_it, "{cause}");
    }
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_given_up_after_the_connect_timeout() {
    let (fake, endpoint) = behind().await;
    fake.tunnel(Tunnel::Hangs);
    let sending = tokio::spawn(async move { send(&endpoint, "http://127.0.0.1:9/").await });
    fake.wait_until_asked(1).await;
    tokio::time::pause();
    let failure = sending.await.unwrap().unwrap_err();
    assert_eq!(failure.cause().code, "proxy_silent");
    assert!(failure.duration < DEADLINE);
}

#[tokio::test]
async fn what_is_forbidden_stays_forbidden_behind_a_proxy() {
    let fake = Fake::start().await.unwrap();
    let (public, private): (IpAddr, IpAddr) = ([8, 8, 8, 8].into(), [10, 0, 0, 1].into());
    for url in
        ["https://127.0.0.1/", "https://10.0.0.1/", "https://localhost/", "https://169.254.169.254/", "http://8.8.8.8/"]
    {
        let transport = through(proxy(&fake), &[], Scripted::new(vec![]));
        let failure = send(&endpoint_of(&transport, TENANT), url).await.unwrap_err();
        assert_eq!(failure.cause().code, "destination_forbidden", "{url}");
        assert!(transport.check(url, TENANT).await.is_err(), "{url}");
    }
    let metadata = [169, 254, 169, 254].into();
    for (answer, trust) in [(vec![private], TENANT), (vec![public, private], TENANT), (vec![metadata], OPERATOR)] {
        let transport = through(proxy(&fake), &[], Scripted::new(vec![Ok(answer.clone()), Ok(answer)]));
        assert!(transport.check("https://siem.test/", trust).await.is_err());
        let failure = send(&endpoint_of(&transport, trust), "https://siem.test/").await.unwrap_err();
        assert_eq!(failure.cause().code, "destination_forbidden");
    }
    assert_eq!(fake.asked(), [""; 0]);
}

/// DNS rebinding: the name is looked up once, and the proxy is asked for what was judged.
#[tokio::test]
async fn a_name_that_changes_after_it_was_judged_leads_nowhere_else() {
    let server = Server::answering(OK).await;
    let fake = Fake::start().await.unwrap();
    let metadata: IpAddr = [169, 254, 169, 254].into();
    let resolver = Scripted::new(vec![Ok(vec![Ipv4Addr::LOCALHOST.into()]), Ok(vec![metadata])]);
    let transport = through(proxy(&fake), &[], resolver);
    let url = format!("http://siem.test:{}/", server.address.port());
    assert_eq!(send(&endpoint_of(&transport, OPERATOR), &url).await.unwrap().reply.status, 200);
    assert_eq!(fake.asked(), [server.address.to_string()]);
}

#[tokio::test]
async fn what_goes_past_the_proxy_is_reached_without_it() {
    let server = Server::answering(OK).await;
    let fake = Fake::start().await.unwrap();
    let port = server.address.port();
    let here = || Scripted::new(vec![Ok(vec![Ipv4Addr::LOCALHOST.into()])]);
    for (item, host) in
        [("127.0.0.0/8", "127.0.0.1"), ("127.0.0.1", "siem.test"), (".test", "siem.test"), ("siem.test", "a.siem.test")]
    {
        let transport = through(proxy(&fake).past(past(&["192.0.2.0/24", item])), &[], here());
        let exchange = send(&endpoint_of(&transport, OPERATOR), format!("http://{host}:{port}/")).await.unwrap();
        let tcp = exchange.stages.iter().find(|stage| stage.name == StageName::Tcp).unwrap();
        assert_eq!(tcp.detail, server.address.to_string(), "{item}");
    }
    assert_eq!(fake.asked(), [""; 0]);
    let transport = through(proxy(&fake).past(past(&["10.0.0.0/8", "other.test"])), &[], here());
    send(&endpoint_of(&transport, OPERATOR), format!("http://siem.test:{port}/")).await.unwrap();
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_looks_up_names_is_given_the_name_and_nothing_is_looked_up_here() {
    let server = Server::answering(OK).await;
    let fake = Fake::start().await.unwrap();
    fake.knows("siem.test:8088", server.address);
    let proxy = proxy(&fake).names(Names::Proxy).past(past(&["direct.test"]));
    let nobody = Scripted::new(vec![]);
    let transport = through(proxy.clone(), &["127.0.0.0/8"], nobody);
    let exchange = send(&endpoint_of(&transport, OPERATOR), "http://siem.test:8088/").await.unwrap();
    assert_eq!(names(&exchange.stages), [StageName::Tcp, StageName::Http]);
    assert_eq!(fake.asked(), ["siem.test:8088"]);
    assert_eq!(transport.check("https://siem.test:8088/", TENANT).await, Ok(()));
    // What can be judged is: addresses, names of metadata services, plain http.
    for url in ["https://10.0.0.1/", "https://metadata.google.internal/", "http://siem.test:8088/"] {
        assert!(transport.check(url, TENANT).await.is_err(), "{url}");
        let failure = send(&endpoint_of(&transport, TENANT), url).await.unwrap_err();
        assert_eq!(failure.cause().code, "destination_forbidden", "{url}");
    }
    // What goes past it is looked up here.
    let transport = through(proxy, &[], Scripted::loopback(1));
    let url = format!("http://direct.test:{}/", server.address.port());
    send(&endpoint_of(&transport, OPERATOR), url).await.unwrap();
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn the_next_address_is_asked_for_where_the_first_cannot_be_had() {
    let server = Server::answering(OK).await;
    let fake = Fake::start().await.unwrap();
    let resolver = Scripted::new(vec![Ok(vec![[127, 0, 0, 9].into(), Ipv4Addr::LOCALHOST.into()])]);
    let transport = through(proxy(&fake), &[], resolver);
    let port = server.address.port();
    send(&endpoint_of(&transport, OPERATOR), format!("http://siem.test:{port}/")).await.unwrap();
    assert_eq!(fake.asked(), [format!("127.0.0.9:{port}"), server.address.to_string()]);
}

#[tokio::test]
async fn what_goes_past_the_proxy_comes_first_and_a_wrong_password_is_given_once() {
    let server = Server::answering(OK).await;
    let fake = Fake::start().await.unwrap();
    fake.tunnel(Tunnel::Refused(407));
    let two = || Scripted::new(vec![Ok(vec![[127, 0, 0, 9].into(), Ipv4Addr::LOCALHOST.into()])]);
    let url = format!("http://siem.test:{}/", server.address.port());
    let transport = through(proxy(&fake).past(past(&["127.0.0.1"])), &[], two());
    assert_eq!(send(&endpoint_of(&transport, OPERATOR), &url).await.unwrap().reply.status, 200);
    assert_eq!(fake.asked().len(), 0);
    let failure = send(&endpoint_of(&through(proxy(&fake), &[], two()), OPERATOR), &url).await.unwrap_err();
    assert_eq!((failure.cause().code.as_ref(), fake.asked().len()), ("proxy_credentials", 1));
}
