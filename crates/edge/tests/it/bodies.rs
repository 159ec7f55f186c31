//! Memory for bodies: what others do does not get a brisk upload refused.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use toktra_siem_edge::Limits;

use super::bench::{Bench, CAP, Client, chunked, post};

const KIB: usize = 1024;

/// Uploads a body of `size` bytes in each way there is; the statuses.
async fn uploads(bench: &Bench, key: u32, size: usize) -> Vec<u16> {
    let body = vec![b' '; size];
    let mut zip = GzEncoder::new(Vec::new(), Compression::none());
    zip.write_all(&vec![b' '; size.min(CAP - KIB)]).unwrap();
    let zipped = zip.finish().unwrap();
    let key = format!("key: {key}\r\n");
    let mut statuses = Vec::new();
    for (lines, body) in [
        (format!("{key}content-length: {size}\r\n"), body.clone()),
        (format!("{key}transfer-encoding: chunked\r\n"), chunked(&body, 10_000)),
        (format!("{key}content-encoding: gzip\r\ncontent-length: {}\r\n", zipped.len()), zipped.clone()),
        (format!("{key}content-encoding: gzip\r\ntransfer-encoding: chunked\r\n"), chunked(&zipped, 10_000)),
    ] {
        let mut client = bench.connect().await;
        client.send(post("/", &lines)).await;
        for piece in body.chunks(100 * KIB) {
            // A server that has refused it reads on.
            client.send(piece).await;
        }
        statuses.push(client.answer().await.0);
    }
    statuses
}

async fn begun(bench: &Bench, lines: &str, body: &[u8]) -> Client {
    let mut client = bench.connect().await;
    client.send(post("/", lines)).await;
    client.send(body).await;
    client
}

#[tokio::test]
async fn uploads_that_only_began_take_nothing_from_others() {
    let bench = Bench::start(Limits::default());
    let mut idle = Vec::new();
    for key in 0..200 {
        idle.push(begun(&bench, &format!("key: {}\r\ncontent-length: {CAP}\r\n", key % 3), b"x").await);
        idle.push(begun(&bench, &format!("key: {}\r\ntransfer-encoding: chunked\r\n", key % 3), b"1\r\nx\r\n").await);
        idle.push(begun(&bench, "transfer-encoding: chunked\r\n", b"1\r\nx\r\n").await);
    }
    for size in [700, 64 * KIB, CAP] {
        assert_eq!(uploads(&bench, 7, size).await, [200; 4], "{size}");
    }
}

#[tokio::test]
async fn uploads_that_stopped_half_way_give_way() {
    let bench = Bench::start(Limits::default());
    let most = vec![b'x'; CAP - 1];
    let mut idle = Vec::new();
    // More than there is, by several keys of one address.
    for key in 0..12 {
        idle.push(begun(&bench, &format!("key: {key}\r\ncontent-length: {CAP}\r\n"), &most[..2 * CAP / 3]).await);
    }
    for key in [7, 100] {
        assert_eq!(uploads(&bench, key, CAP).await, [200; 4], "{key}");
    }
    assert!(bench.edge.figures().bodies.gave_way > 0);
    for client in &mut idle {
        client.send(b"x").await;
    }
    // As many are answered as gave way, whenever that is.
    let mut statuses = Vec::new();
    while u64::try_from(statuses.len()).unwrap() < bench.edge.figures().bodies.gave_way {
        let mut open = Vec::new();
        for mut client in idle {
            if tokio::time::timeout(Duration::ZERO, client.0.readable()).await.is_ok() {
                statuses.push(client.answer().await.0);
            } else {
                open.push(client);
            }
        }
        idle = open;
        tokio::task::yield_now().await;
    }
    assert!(statuses.iter().all(|status| *status == 429), "{statuses:?}");
}

#[tokio::test]
async fn a_key_cannot_take_what_all_have() {
    let bench = Bench::start(Limits::default());
    let most = vec![b'x'; CAP - 1];
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(begun(&bench, &format!("key: 1\r\ncontent-length: {CAP}\r\n"), &most).await);
    }
    assert_eq!(uploads(&bench, 2, CAP).await, [200; 4]);
    let figures = bench.edge.figures().bodies;
    assert_eq!(figures.gave_way, 0, "there was room for both: {figures:?}");
}

#[tokio::test]
async fn somebody_unknown_has_a_small_pool_of_their_own() {
    let bench = Bench::start(Limits::default());
    let mut half = Vec::new();
    for _ in 0..130 {
        half.push(begun(&bench, "transfer-encoding: chunked\r\n", b"3e8\r\nx").await);
    }
    assert_eq!(uploads(&bench, 1, 64 * KIB).await, [200; 4]);
    // A body that comes with its head needs no place to wait in; one that does not gets that of somebody slower.
    let whole = post("/", "content-length: 5\r\nconnection: close\r\n") + "hello";
    assert!(bench.exchange(whole).await.starts_with("HTTP/1.1 200 "));
    let mut brisk = begun(&bench, "content-length: 5\r\n", b"hel").await;
    brisk.send("lo").await;
    assert_eq!(brisk.answer().await.0, 200);
    let figures = bench.edge.figures().open;
    assert!(figures.bytes <= figures.limit && figures.limit <= KIB * KIB, "{figures:?}");
    let large = begun(&bench, "content-length: 4097\r\n", &[b' '; 4097]).await.answer().await;
    assert_eq!(large.0, 413);
}

#[tokio::test]
async fn small_chunked_bodies_compete_for_nothing() {
    let default = Limits::default();
    let bodies = toktra_siem_edge::bodies::Bounds { all: 0, key: 0, address: 0, ..default.bodies };
    let bench = Bench::start(Limits { bodies, ..default });
    for _ in 0..20 {
        let answers =
            begun(&bench, "key: 1\r\ntransfer-encoding: chunked\r\n", &chunked(&[b' '; 687], 687)).await.answer().await;
        assert_eq!(answers.0, 200);
    }
    let larger =
        begun(&bench, "key: 1\r\ntransfer-encoding: chunked\r\n", &chunked(&[b' '; 9000], 687)).await.answer().await;
    assert_eq!(larger.0, 429);
}

#[tokio::test]
async fn at_the_end_a_body_that_trickles_is_told_and_takes_its_share_of_the_time_only() {
    let mut bench = Bench::start(Limits { farewell: Duration::from_millis(200), ..Limits::default() });
    let mut slow = begun(&bench, "key: 1\r\ncontent-length: 100\r\n", b"x").await;
    let mut idle = bench.connect().await;
    idle.send(post("/", "key: 1\r\n")).await;
    assert_eq!(idle.answer().await.0, 200, "the server has read what came before");
    bench.shutdown.cancel();
    assert_eq!(idle.rest().await, "");
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("the end"), "{answer}");
    drop(slow);
    (&mut bench.serving).await.unwrap();
}
