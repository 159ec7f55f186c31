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
    let body = long.complete(Bytes::from(vec![0; 164 * 1024])).unwrap();
    let part = body.slice(..1);
    drop(body);
    assert_eq!(ledger.total(), 100 * 1024);
    drop(part);
    assert_eq!(ledger.total(), 0);
    assert_eq!(short.complete(Bytes::from_static(b"ok")).unwrap(), "ok");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_gives_way() {
    let ledger = Ledger::with_limit(MIB);
    let (short, old, new) = (ledger.answer(), ledger.answer(), ledger.answer());
    short.grow(1_000);
    old.grow(MIB / 2);
    new.grow(3 * MIB / 4);
    timeout(DEADLINE, old.gives_way()).await.unwrap();
    assert!(ledger.total() <= MIB);
    // It has been given up already: what it still brings is not counted.
    old.grow(MIB);
    assert!(ledger.total() <= MIB);
    assert!(old.complete(Bytes::from(vec![0; MIB])).is_none());
    new.grow(2 * MIB);
    timeout(DEADLINE, new.gives_way()).await.unwrap();
    drop((new, short));
    assert_eq!(ledger.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_complete_costs_no_answer_that_arrives() {
    let ledger = Ledger::with_limit(MIB);
    let complete = || {
        let answer = ledger.answer();
        answer.grow(3 * MIB / 4);
        answer.complete(Bytes::from(vec![0; 3 * MIB / 4]))
    };
    let done = complete().unwrap();
    let (first, second) = (ledger.answer(), ledger.answer());
    first.grow(MIB / 4);
    second.grow(MIB / 2);
    drop(second);
    assert!(complete().is_none(), "there is no room for a second one");
    drop(done);
    assert!(first.complete(Bytes::from_static(b"x")).is_some());
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
