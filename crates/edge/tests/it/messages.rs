//! What is HTTP/1.1 and what is not (RFC 9112).

use std::time::Duration;

use toktra_siem_edge::Limits;

use super::bench::{Bench, post};

const GOOD: &str = "POST / HTTP/1.1\r\nhost: x\r\nkey: 1\r\ncontent-length: 2\r\n\r\nhi";

/// Requests, and the status of their answer.
fn cases() -> Vec<(String, u16)> {
    let get = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let body = |lines: &str, body: &str| format!("{}{body}", post("/", &format!("key: 1\r\n{lines}")));
    vec![
        (get(""), 400),
        (get("host: x\r\nhost: x\r\n"), 400),
        (get("host: x y\r\n"), 400),
        (get("host: x\r\nbroken\r\n"), 400),
        (get("host : x\r\n"), 400),
        (get("host: x\r\na: b\r\n c\r\n"), 400),
        ("GET / HTTP/1.1\nhost: x\n\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: x\n\r\n".into(), 400),
        (body("content-length: 2\r\ntransfer-encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"), 400),
        (body("transfer-encoding: chunked\r\ncontent-length: 2\r\n", "2\r\nhi\r\n0\r\n\r\n"), 400),
        (body("content-length: 2\r\ncontent-length: 3\r\n", "hi"), 400),
        (body("content-length: 2\r\ncontent-length: 2\r\n", "hi"), 400),
        (body("content-length: -2\r\n", "hi"), 400),
        (body("content-length: 2, 2\r\n", "hi"), 400),
        (body("content-length: 18446744073709551615\r\n", "hi"), 400),
        (body("content-length: 18446744073709551614\r\n", "hi"), 400),
        (body("content-length: 18446744073709551616\r\n", "hi"), 400),
        (get("host: a:99999999\r\n"), 400),
        (get("host: a:b\r\n"), 400),
        ("GET ftp://x/ HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400),
        ("GET x:80 HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400),
        (body("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        (body("transfer-encoding: sparkle\r\n", ""), 501),
        (body("transfer-encoding: chunked, gzip\r\n", ""), 400),
        (body("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
        (body("transfer-encoding: chunked\r\n", "zz\r\nhi\r\n0\r\n\r\n"), 400),
        (body("transfer-encoding: chunked\r\n", "-2\r\nhi\r\n0\r\n\r\n"), 400),
        (body("transfer-encoding: chunked\r\n", "2\nhi\n0\n\n"), 400),
        (body("transfer-encoding: chunked\r\n", "3\r\nhi\r\n0\r\n\r\n"), 400),
        (body("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\nhi"), 400),
        (body("transfer-encoding: chunked\r\n", "\r\nhi\r\n0\r\n\r\n"), 400),
        ("POST / HTTP/1.0\r\nkey: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("GET / HTTP/3.0\r\nhost: x\r\n\r\n".into(), 505),
        ("GET /\r\n\r\n".into(), 400),
        ("hello?\r\n\r\n".into(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}".into(), 400),
        (get(&format!("host: x\r\n{}", "a: b\r\n".repeat(200))), 431),
        (get(&format!("host: x\r\na: {}\r\n", "b".repeat(100_000))), 431),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)), 414),
    ]
}

#[tokio::test]
async fn what_is_no_http_is_answered_and_ends_the_connection() {
    let bench = Bench::start(Limits::default());
    for (request, status) in cases() {
        // What is sent behind it must not be taken for a request.
        let answer = bench.exchange(format!("{request}{GOOD}")).await;
        let shown = &request[..request.len().min(120)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
        assert_eq!(answer.matches("x-request-id: ").count(), 1, "{shown:?}: {answer}");
        assert!(!answer.ends_with("\r\n\r\n"), "{shown:?} is told why");
    }
}

#[tokio::test]
async fn what_came_before_it_is_answered_first() {
    let bench = Bench::start(Limits::default());
    for (request, status) in cases() {
        let answer = bench.exchange(format!("{GOOD}{request}")).await;
        let heads = answer.matches("x-request-id: ").count();
        let first = answer.starts_with("HTTP/1.1 200 ");
        let second = answer.contains(&format!("2 bytesHTTP/1.1 {status} "));
        assert_eq!((heads, first, second), (2, true, true), "{:?}", &request[..request.len().min(120)]);
    }
}

#[tokio::test]
async fn requests_in_pieces_and_one_behind_the_other_are_read() {
    let bench = Bench::start(Limits::default());
    let chunks = "5;x=y\r\nhello\r\n1 \r\n!\r\n0\r\nx: y\r\n\r\n";
    let requests = format!(
        "\r\n{GOOD}{}{chunks}GET http://x/ HTTP/1.1\r\nHOST:\r\nkey: 1\r\n\r\n{GOOD}",
        post("/", "key: 1\r\ntransfer-encoding: Chunked\r\n")
    );
    for piece in [requests.len(), 1, 7, 100] {
        let mut client = bench.connect().await;
        for bytes in requests.as_bytes().chunks(piece) {
            client.send(bytes).await;
            tokio::task::yield_now().await;
        }
        for expected in ["2 bytes", "6 bytes", "0 bytes", "2 bytes"] {
            let (status, head, body) = client.answer().await;
            assert_eq!((status, body.as_str()), (200, expected), "{piece} bytes at a time: {head}");
        }
    }
    let old = bench.exchange("POST / HTTP/1.0\r\nkey: 1\r\ncontent-length: 2\r\n\r\nhi").await;
    assert!(old.starts_with("HTTP/1.0 200 ") && old.ends_with("2 bytes"), "{old}");
}

#[tokio::test]
async fn addresses_that_cannot_be_decoded_are_refused_and_the_connection_goes_on() {
    let bench = Bench::start(Limits::default());
    let mut client = bench.connect().await;
    for path in ["/%FF", "/a/%zz", "/%", "/?a=%C3", "/?%C3=%A9"] {
        client.send(post(path, "content-length: 2\r\n")).await;
        client.send("hi").await;
        assert_eq!(client.answer().await.0, 400, "{path}");
    }
    client.send(GOOD).await;
    assert_eq!(client.answer().await.0, 200);
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let bench = Bench::start(Limits::default());
    let mut client = bench.connect().await;
    client.send(format!("{}{GOOD}", post("/panic", "key: 1\r\n"))).await;
    let (status, _, body) = client.answer().await;
    assert!(status == 500 && !body.contains("canary"), "{body}");
    assert_eq!(client.answer().await.0, 200);
}

#[tokio::test]
async fn a_head_has_its_time_and_so_has_a_connection_that_waits() {
    let limits = Limits { head: Duration::from_millis(50), keep_alive: Duration::from_hours(1), ..Limits::default() };
    let bench = Bench::start(limits);
    let mut kept = bench.connect().await;
    kept.send(GOOD).await;
    assert_eq!(kept.answer().await.0, 200);
    assert_eq!(bench.exchange("").await, "", "nothing was asked");
    for part in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let answer = bench.exchange(part).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    let answer = bench.exchange(format!("{GOOD}GET / HT")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("HTTP/1.1 408 "), "{answer}");
    // By now a connection that waits is much older than a head may become.
    kept.send(GOOD).await;
    assert_eq!(kept.answer().await.0, 200);
    let limits = Limits { keep_alive: Duration::from_millis(50), ..Limits::default() };
    let bench = Bench::start(limits);
    let answer = bench.exchange(GOOD).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("2 bytes"), "{answer}");
}
