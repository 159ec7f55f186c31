//! Requests that are answered before all of their body has come.

use toktra_siem_edge::Limits;

use super::bench::{Bench, CAP, chunked, post};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn who_sends_a_refused_body_to_its_end_reads_the_answer_and_no_reset() {
    let bench = Bench::start(Limits::default());
    let large = vec![b' '; 3 * CAP];
    let sized = format!("content-length: {}\r\n", large.len());
    let coded = chunked(&large, 100_000);
    for (path, lines, body, status) in [
        ("/", format!("key: 1\r\n{sized}"), &large, 413),
        ("/", "key: 1\r\ntransfer-encoding: chunked\r\n".to_owned(), &coded, 413),
        ("/", sized.clone(), &large, 413),
        ("/401", sized.clone(), &large, 401),
        ("/401", "transfer-encoding: chunked\r\n".to_owned(), &coded, 401),
        ("/?%FF", sized.clone(), &large, 400),
        ("/", format!("key: 1\r\ncontent-encoding: br\r\n{sized}"), &large, 400),
        ("/", format!("key: 1\r\ntransfer-encoding: chunked\r\n{sized}"), &coded, 400),
        ("/401", format!("connection: upgrade\r\nupgrade: h2c\r\n{sized}"), &large, 401),
    ] {
        let mut client = bench.connect().await;
        client.send(post(path, &lines)).await;
        for piece in body.chunks(MIB / 3) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {lines}: {answer}");
    }
}

#[tokio::test]
async fn the_answer_comes_before_the_rest_and_says_that_the_connection_ends() {
    let bench = Bench::start(Limits::default());
    let mut client = bench.connect().await;
    client.send(post("/401", &format!("content-length: {MIB}\r\n"))).await;
    client.send(vec![b' '; 10]).await;
    let (status, head, _) = client.answer().await;
    assert!(status == 401 && head.contains("connection: close\r\n"), "{head}");
    client.send(vec![b' '; MIB - 10]).await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_small_rest_is_read_and_the_connection_used_again() {
    let bench = Bench::start(Limits::default());
    let mut client = bench.connect().await;
    for (lines, body) in [
        ("content-length: 100000\r\n", vec![b' '; 100_000]),
        ("transfer-encoding: chunked\r\n", chunked(&vec![b' '; 100_000], 1000)),
    ] {
        client.send(post("/401", lines)).await;
        let (status, head, _) = client.answer().await;
        assert!(status == 401 && !head.contains("connection: close"), "{head}");
        client.send(body).await;
        client.send(post("/", "key: 1\r\n")).await;
        assert_eq!(client.answer().await.0, 200);
    }
}

#[tokio::test]
async fn who_waits_to_be_told_to_send_is_told_no() {
    let bench = Bench::start(Limits::default());
    let answer = bench.exchange(post("/401", "content-length: 10\r\nexpect: 100-continue\r\n")).await;
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
    let mut client = bench.connect().await;
    client.send(post("/", "key: 1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n")).await;
    assert_eq!(client.answer().await.0, 100);
    client.send("hi").await;
    assert_eq!(client.answer().await.0, 200);
}
