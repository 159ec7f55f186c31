//! What goes out and comes back when all is well, and how connections are kept.

use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_raw_socket_sees_exactly_the_documented_headers() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            seen.send(read_request(&mut stream).await.unwrap()).unwrap();
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let token = HeaderText::Secret(SecretString::from("Splunk abc".to_owned()));
    let json = HeaderText::Plain("application/json".into());
    let sent = with_headers(server.url(), vec![("authorization".into(), token), ("content-type".into(), json)]);
    let exchange = endpoint(OPERATOR).send(sent, SendOptions::default()).await.unwrap();
    assert_eq!(exchange.reply.status, 200);
    assert_eq!(exchange.reply.body, "ok");
    let (head, body) = requests.recv().await.unwrap();
    assert_eq!(body, b"{}");
    let expected = format!(
        "POST /in HTTP/1.1\r\n\
         Host: {}\r\n\
         User-Agent: toktra-siem/{}\r\n\
         Authorization: Splunk abc\r\n\
         Content-Type: application/json\r\n\
         Webhook-Id: 00000000-0000-0000-0000-000000000000\r\n\
         Webhook-Timestamp: 1736937000\r\n\
         X-Toktra-Signature: sha256=77325902caca812dc259733aacd046b73817372c777b8d95b402647474516e13\r\n\
         Webhook-Signature: ",
        server.address,
        env!("CARGO_PKG_VERSION"),
    );
    let rest = head.strip_prefix(&expected).unwrap_or_else(|| panic!("{head}"));
    let lines: Vec<&str> = rest.split("\r\n").collect();
    assert!(lines[0].starts_with("v1,"), "{rest}");
    assert_eq!(lines[1..], ["Content-Length: 2", "", ""]);
}

#[tokio::test]
async fn headers_of_the_answer_that_matter_are_kept() {
    let server = Server::answering(
        b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Type: text/html\r\nContent-Length: 4\r\nVia: a\r\nVia: \xe9\r\n\r\nbusy",
    )
    .await;
    let reply = send(&endpoint(OPERATOR), server.url()).await.unwrap().reply;
    assert_eq!((reply.status, reply.retry_after.as_deref()), (429, Some("7")));
    assert_eq!((reply.content_type.as_deref(), reply.body.as_ref()), (Some("text/html"), b"busy".as_slice()));
    let headers: Vec<(&str, &[u8])> =
        reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_ref())).collect();
    let expected: [(&str, &[u8]); 5] = [
        ("retry-after", b"7"),
        ("content-type", b"text/html"),
        ("content-length", b"4"),
        ("via", b"a"),
        ("via", b"\xe9"),
    ];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn an_answer_with_many_headers_is_read_but_few_of_them_are_kept() {
    let many = (0..90).map(|n| format!("X-Many-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    let answer = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 2\r\n\r\nok");
    let server = Server::answering(answer.leak().as_bytes()).await;
    let reply = send(&endpoint(OPERATOR), server.url()).await.unwrap().reply;
    assert_eq!((reply.status, reply.body.as_ref()), (200, b"ok".as_slice()));
    assert_eq!(reply.headers.len(), toktra_siem_core::exchange::HEADERS);
}

#[tokio::test]
async fn a_connection_is_kept_for_its_endpoint_and_for_no_other() {
    let server = Server::answering(OK).await;
    let transport = Transport::with_resolver(EgressPolicy::default(), Scripted::loopback(2));
    let options = EndpointOptions { trust: OPERATOR, ..EndpointOptions::default() };
    let (one, two) = (transport.endpoint(options).unwrap(), transport.endpoint(options).unwrap());
    let url = format!("http://siem.test:{}/", server.address.port());
    let first = send(&one, &url).await.unwrap();
    assert_eq!(names(&first.stages), [StageName::Dns, StageName::Tcp, StageName::Http]);
    assert!(first.stages.iter().all(|stage| stage.ok));
    for _ in 0..5 {
        assert_eq!(names(&send(&one, &url).await.unwrap().stages), [StageName::Http]);
    }
    assert_eq!(server.connections(), 1);
    send(&two, &url).await.unwrap();
    assert_eq!(server.connections(), 2);
}

/// A balancer pins the first connection to a sick backend.
#[tokio::test]
async fn a_connection_whose_receiver_cannot_serve_is_not_used_again() {
    for sick in [
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".as_slice(),
        b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n",
    ] {
        let server = Server::start(move |number, mut stream| async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(if number == 0 { sick } else { OK }).await.unwrap();
            }
        })
        .await;
        let endpoint = endpoint(OPERATOR);
        assert!(send(&endpoint, server.url()).await.unwrap().reply.status >= 429);
        for _ in 0..2 {
            assert_eq!(send(&endpoint, server.url()).await.unwrap().reply.status, 200);
        }
        assert_eq!(server.connections(), 2, "the one that serves is kept");
        let anew = SendOptions { anew: true, ..SendOptions::default() };
        endpoint.send(request(server.url()), anew).await.unwrap();
        assert_eq!(server.connections(), 3, "who asks whether it is back does so on a new one");
    }
}

/// A name that leads elsewhere by now. The connection is in use all the while, so that it is its age alone that ends it.
#[tokio::test]
async fn a_connection_is_used_for_a_minute_and_then_its_name_is_asked_anew() {
    let old = Server::answering(OK).await;
    let new = Server::answering_at((Ipv4Addr::new(127, 0, 0, 2), old.address.port()).into(), OK).await;
    let resolver = Scripted::new(vec![Ok(vec![old.address.ip()]), Ok(vec![new.address.ip()])]);
    let transport = Transport::with_resolver(EgressPolicy::default(), Arc::clone(&resolver) as Arc<dyn Resolver>);
    let endpoint = transport.endpoint(EndpointOptions { trust: OPERATOR, ..EndpointOptions::default() }).unwrap();
    let url = format!("http://siem.test:{}/", old.address.port());
    let mut reached = Vec::new();
    for _ in 0..6 {
        send(&endpoint, &url).await.unwrap();
        reached.push((old.connections(), new.connections()));
        // Time stands still but for this: no socket is waited for meanwhile.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(14)).await;
        tokio::time::resume();
    }
    assert_eq!(reached, [(1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 1)]);
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_unused_connection_closes_itself() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let ended = ended.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
            ended.send(()).unwrap();
        }
    })
    .await;
    let endpoint = endpoint(OPERATOR);
    send(&endpoint, server.url()).await.unwrap();
    assert_eq!(endpoint.pool.open(), 1);
    tokio::time::pause();
    timeout(10 * pool::IDLE, end.recv()).await.expect("it is closed").unwrap();
    assert_eq!(endpoint.pool.open(), 0);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_in_the_meantime_is_replaced() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let endpoint = endpoint(OPERATOR);
    for round in 1..=3 {
        send(&endpoint, server.url()).await.unwrap();
        assert_eq!(server.connections(), round);
        while endpoint.pool.open() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_request_that_a_kept_connection_swallowed_is_not_sent_again() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(OK).await.unwrap();
        read_request(&mut stream).await.unwrap();
    })
    .await;
    let endpoint = endpoint(OPERATOR);
    send(&endpoint, server.url()).await.unwrap();
    let failure = send(&endpoint, server.url()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Reset(StageName::Http));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_long_answer_ends_at_the_cap() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let chunk = [b"400\r\n".as_slice(), &[b'x'; 0x400], b"\r\n"].concat();
        // Endless, until the reader has had enough.
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    let endpoint = endpoint(OPERATOR);
    let options = SendOptions { body_cap: 1_500, ..SendOptions::default() };
    let reply = endpoint.send(request(server.url()), options).await.unwrap().reply;
    assert!(reply.truncated);
    assert_eq!(reply.body.len(), 1_500);
    assert_eq!(endpoint.pool.open(), 0);
}

#[tokio::test]
async fn an_answer_of_exactly_the_cap_is_whole() {
    let server = Server::answering(OK).await;
    let options = SendOptions { body_cap: 2, ..SendOptions::default() };
    let reply = endpoint(OPERATOR).send(request(server.url()), options).await.unwrap().reply;
    assert!(!reply.truncated);
    assert_eq!(reply.body, "ok");
}

#[tokio::test]
async fn the_next_address_is_tried_where_the_first_refuses() {
    let server = Server::answering(OK).await;
    let both = vec![Ipv4Addr::new(127, 0, 0, 9).into(), Ipv4Addr::LOCALHOST.into()];
    let transport = Transport::with_resolver(EgressPolicy::default(), Scripted::new(vec![Ok(both)]));
    let endpoint = transport.endpoint(EndpointOptions { trust: OPERATOR, ..EndpointOptions::default() }).unwrap();
    let exchange = send(&endpoint, format!("http://siem.test:{}/", server.address.port())).await.unwrap();
    assert_eq!(exchange.stages[1].detail, server.address.to_string());
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_counts_and_its_connection_is_not_used_again() {
    let server = Server::start(|_, mut stream| async move {
        stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let endpoint = endpoint(OPERATOR);
    for connections in 1..=2 {
        // More than the sockets' buffers hold, so that writing it cannot come to an end.
        let large = SignedRequest { body: Bytes::from(vec![b'x'; 32 << 20]), ..request(server.url()) };
        assert_eq!(endpoint.send(large, SendOptions::default()).await.unwrap().reply.status, 413);
        assert_eq!(server.connections(), connections);
    }
}
