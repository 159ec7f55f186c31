//! How much of all answers is in memory at once.

use super::held::Ledger;
use super::*;

const MIB: usize = 1 << 20;

#[test]
fn short_answers_are_not_counted_and_long_ones_give_their_bytes_back() {
    let ledger = Ledger::with_limit(MIB);
    let (short, long) = (ledger.answer(), ledger.answer());
    short.grow(64 * 1024);
    assert_eq!(ledger.total(), 0);
    long.grow(164 * 1024);
    assert_eq!(ledger.total(), 100 * 1024);
    let body = long.complete(Bytes::from(vec![0; 164 * 1024]));
    let part = body.slice(..1);
    drop(body);
    assert_eq!(ledger.total(), 100 * 1024);
    drop(part);
    assert_eq!(ledger.total(), 0);
    assert_eq!(short.complete(Bytes::from_static(b"ok")), "ok");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_gives_way() {
    let ledger = Ledger::with_limit(MIB);
    let (short, old, done, new) = (ledger.answer(), ledger.answer(), ledger.answer(), ledger.answer());
    short.grow(1_000);
    old.grow(MIB / 2);
    done.grow(MIB / 2);
    let done = done.complete(Bytes::from(vec![0; MIB / 2]));
    new.grow(MIB / 2);
    timeout(DEADLINE, old.gives_way()).await.unwrap();
    assert!(ledger.total() <= MIB);
    // It has been given up already: what it still brings is not counted.
    old.grow(MIB);
    assert!(ledger.total() <= MIB);
    drop(old);
    // What is complete gives way to nobody: the one that grows does.
    new.grow(MIB);
    timeout(DEADLINE, new.gives_way()).await.unwrap();
    assert_eq!(ledger.total(), MIB / 2 - 64 * 1024);
    drop((done, new, short));
    assert_eq!(ledger.total(), 0);
}

/// Answers with `says` bytes of the `length` that it announces, and keeps the connection.
async fn long(length: usize, says: usize) -> Server {
    Server::start(move |_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; says]).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_long_answer_that_stalls_gives_way_to_one_that_comes() {
    let transport = Transport::assemble(EgressPolicy::default(), Arc::new(SystemResolver), Threads::Caller);
    let shared = Shared { answers: Ledger::with_limit(2 * MIB), ..Arc::into_inner(transport.shared).unwrap() };
    let transport = Transport { shared: Arc::new(shared) };
    let endpoint = transport.endpoint(EndpointOptions { trust: OPERATOR, ..EndpointOptions::default() }).unwrap();
    let (stalls, comes) = (long(2 * MIB, MIB).await, long(MIB + MIB / 2, MIB + MIB / 2).await);
    let stalling = tokio::spawn({
        let (endpoint, url) = (endpoint.clone(), stalls.url());
        async move { endpoint.send(request(url), NEVER).await }
    });
    while endpoint.shared.answers.total() < MIB - 64 * 1024 {
        tokio::task::yield_now().await;
    }
    let exchange = endpoint.send(request(comes.url()), NEVER).await.unwrap();
    assert_eq!(exchange.reply.body.len(), MIB + MIB / 2);
    let failure = stalling.await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::GaveWay);
    assert_eq!(failure.cause().code, "local_memory");
    assert!(!failure.misconfigured());
    drop(exchange);
    assert_eq!(endpoint.shared.answers.total(), 0);
}
