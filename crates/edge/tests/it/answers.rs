//! Clients that take an answer slowly: they keep their place for it, and have to take some.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use toktra_siem_edge::Limits;

use super::bench::{Bench, Client, LARGE, PATIENCE, post};

const FOR_EVER: Duration = Duration::from_hours(1);

/// A client that has read the head of a large answer, and nothing more.
async fn slow(bench: &Bench) -> Client {
    let mut client = bench.connect().await;
    client.send(post("/large", "")).await;
    assert!(client.head().await.starts_with("http/1.1 200 "));
    client
}

async fn take(client: &mut Client, bytes: usize) {
    let mut taken = vec![0; bytes];
    timeout(PATIENCE, client.0.read_exact(&mut taken)).await.expect("more").expect("it was not cut");
}

#[tokio::test]
async fn an_answer_is_not_cut_because_a_connection_may_not_wait_that_long() {
    let limits = Limits { keep_alive: Duration::from_millis(20), stall: FOR_EVER, ..Limits::default() };
    let bench = Bench::start(limits);
    let mut client = slow(&bench).await;
    for _ in 0..3 {
        // The server ends it once it has waited for another request.
        assert!(bench.exchange(post("/", "")).await.starts_with("HTTP/1.1 200 "));
    }
    take(&mut client, LARGE).await;
    assert_eq!(client.rest().await, "", "its time to wait begins where the answer ends");
}

#[tokio::test]
async fn whoever_takes_an_answer_slowly_keeps_the_place_until_it_is_taken() {
    // An address has two of eight.
    let bench = Bench::start(Limits { connections: 8, stall: FOR_EVER, ..Limits::default() });
    let mut clients = [slow(&bench).await, slow(&bench).await];
    let ask = async || bench.exchange(post("/", "connection: close\r\n")).await;
    let refused = ask().await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let held = bench.edge.figures().connections;
    assert_eq!((held.gave_way, held.refused_address), (0, 1));
    take(&mut clients[1], LARGE).await;
    // Until the server has noticed.
    while !ask().await.starts_with("HTTP/1.1 200 ") {}
    assert_eq!(clients[1].rest().await, "", "it only waited");
    take(&mut clients[0], LARGE).await;
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_is_cut() {
    let limits = Limits { stall: Duration::from_millis(50), keep_alive: FOR_EVER, ..Limits::default() };
    let bench = Bench::start(limits);
    let mut client = slow(&bench).await;
    let cut = async {
        while bench.edge.figures().connections.open > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, cut).await.expect("the place is free again");
    let (mut taken, mut piece) = (0, [0; 4096]);
    while let Ok(bytes @ 1..) = timeout(PATIENCE, client.0.read(&mut piece)).await.expect("an end") {
        taken += bytes;
    }
    assert!(taken < LARGE, "{taken}");
}
