//! Places for connections.

use toktra_siem_edge::Limits;

use super::bench::{Bench, Client, post};

async fn busy(bench: &Bench, key: &str) -> Client {
    let mut client = bench.connect().await;
    client.send(post("/", &format!("{key}content-length: 10\r\n\r\nhello"))).await;
    client
}

async fn asks(bench: &Bench) -> u16 {
    let mut client = bench.connect().await;
    client.send(post("/", "key: 99\r\nconnection: close\r\n")).await;
    client.answer().await.0
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let bench = Bench::start(Limits { connections: 8, ..Limits::default() });
    // An address has two of eight.
    let (mut first, mut second) = (bench.connect().await, bench.connect().await);
    for client in [&mut first, &mut second] {
        client.send(post("/", "")).await;
        assert_eq!(client.answer().await.0, 200);
    }
    let mut third = bench.connect().await;
    third.send(post("/", "")).await;
    assert_eq!(third.answer().await.0, 200);
    assert_eq!(first.rest().await, "");
    second.send(post("/", "")).await;
    assert_eq!(second.answer().await.0, 200, "it had waited for less long");
    let held = bench.edge.figures().connections;
    assert_eq!((held.limit, held.open, held.gave_way, held.refused_address), (8, 2, 1, 0));
}

#[tokio::test]
async fn an_address_has_its_share_and_what_shows_a_key_counts_for_that() {
    let bench = Bench::start(Limits { connections: 8, ..Limits::default() });
    let mut known = Vec::new();
    for _ in 0..4 {
        known.push(busy(&bench, "key: 1\r\n").await);
        assert_eq!(asks(&bench).await, 200, "the server has read what came before");
    }
    let _unknown = [busy(&bench, "").await, busy(&bench, "").await];
    let refused = loop {
        // Until the server has read both.
        let mut client = bench.connect().await;
        client.send(post("/401", "connection: close\r\n")).await;
        let answer = client.rest().await;
        if !answer.starts_with("HTTP/1.1 401 ") {
            break answer;
        }
    };
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("from your address"), "{refused}");
    assert_eq!(bench.edge.figures().connections.refused_address, 1);
    for mut client in known {
        client.send("end").await;
        assert_eq!(client.answer().await.0, 200);
    }
}

#[tokio::test]
async fn places_come_back() {
    let bench = Bench::start(Limits { connections: 4, ..Limits::default() });
    for _ in 0..50 {
        assert_eq!(asks(&bench).await, 200);
    }
    let mut half = bench.connect().await;
    half.send("GET / HT").await;
    assert_eq!(asks(&bench).await, 200, "a part of a head gives way");
    assert_eq!(half.rest().await, "");
}
