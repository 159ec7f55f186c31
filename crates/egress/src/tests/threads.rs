//! Receivers, and work, that would keep a thread busy: whoever else there is goes on.

use std::sync::mpsc;

use tokio::sync::mpsc::unbounded_channel;

use super::threads::Threads;
use super::*;

/// More than there are threads.
const HOSTILE: usize = 8;
const PINGS: usize = 200;

fn on_own_threads() -> Endpoint {
    let transport = Transport::on_own_threads(EgressPolicy::default()).unwrap();
    transport.endpoint(EndpointOptions { trust: OPERATOR, ..EndpointOptions::default() }).unwrap()
}

/// What the API does, in small: somebody connects, asks and is answered, on the runtime of the test.
async fn pings() {
    let server = Server::answering(OK).await;
    for _ in 0..PINGS {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = vec![0; OK.len()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, OK);
    }
}

#[tokio::test]
async fn receivers_that_are_under_way_hold_up_nobody() {
    let (begun, mut has_begun) = unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let begun = begun.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(2_000);
            stream.write_all(&interim).await.unwrap();
            begun.send(()).unwrap();
            // One more for each ping and more: the exchange goes on.
            while stream.write_all(b"HTTP/1.1 103\r\n").await.is_ok() && stream.read_u8().await.is_ok() {}
        }
    })
    .await;
    let endpoint = on_own_threads();
    let url = server.url();
    let asking: Vec<_> = (0..HOSTILE)
        .map(|_| {
            let (endpoint, url) = (endpoint.clone(), url.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { endpoint.send(request(url), NEVER).await }))
        })
        .collect();
    for _ in 0..HOSTILE {
        has_begun.recv().await.unwrap();
    }
    pings().await;
    assert!(asking.iter().all(|asking| !asking.is_finished()));
}

/// As a connection would be that never yields: each piece of work blocks its thread until the sender is dropped.
#[tokio::test]
async fn work_that_never_yields_holds_up_nobody() {
    let threads = Arc::new(Threads::own().unwrap());
    let (release, blocked): (Vec<_>, Vec<_>) = (0..HOSTILE).map(|_| mpsc::channel::<()>()).unzip();
    let working: Vec<_> = blocked
        .into_iter()
        .map(|blocked| {
            let threads = Arc::clone(&threads);
            tokio::spawn(async move { threads.run(NEVER.deadline, async move { blocked.recv().is_err() }).await })
        })
        .collect();
    pings().await;
    assert!(working.iter().all(|working| !working.is_finished()));
    drop(release);
    for working in working {
        assert_eq!(working.await.unwrap(), Ok(true));
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_never_yields_is_given_up_by_the_callers_clock() {
    let threads = Threads::own().unwrap();
    let (_release, blocked) = mpsc::channel::<()>();
    let given_up = threads.run(DEADLINE, async move { blocked.recv().is_err() }).await;
    assert_eq!(given_up, Err(FailureKind::Timeout(StageName::Http)));
}

#[tokio::test]
async fn work_that_panics_fails_alone() {
    let threads = Threads::own().unwrap();
    let lost: Result<(), _> = threads.run(DEADLINE, async { panic!("as a bug would") }).await;
    assert!(matches!(lost, Err(FailureKind::Local(_))), "{lost:?}");
    assert_eq!(threads.run(DEADLINE, async { 1 }).await, Ok(1));
}

#[tokio::test]
async fn a_request_that_nobody_awaits_any_more_is_ended() {
    let (told, mut tells) = unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let told = told.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            told.send("asked").unwrap();
            assert!(read_request(&mut stream).await.is_none());
            told.send("closed").unwrap();
        }
    })
    .await;
    let endpoint = on_own_threads();
    let asking = endpoint.send(request(server.url()), NEVER);
    tokio::select! {
        answer = asking => panic!("{answer:?}"),
        told = tells.recv() => assert_eq!(told, Some("asked")),
    }
    assert_eq!(tells.recv().await, Some("closed"));
}

#[tokio::test]
async fn connections_are_kept_and_stages_told_from_there_too() {
    let server = Server::answering(OK).await;
    let endpoint = on_own_threads();
    let (told, mut stages) = unbounded_channel();
    let watch: Watch = Arc::new(move |stage: &Stage| told.send(stage.name).unwrap());
    let watched = endpoint.send_watched(request(server.url()), SendOptions::default(), Some(watch)).await.unwrap();
    assert_eq!(watched.reply.body, "ok");
    assert_eq!(stages.recv().await, Some(StageName::Tcp));
    assert_eq!(stages.recv().await, Some(StageName::Http));
    send(&endpoint, server.url()).await.unwrap();
    assert_eq!(server.connections(), 1);
}
