//! A balancer one of whose backends is sick: whoever keeps to the connection that leads there never gets anywhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_testkit::prelude::*;

/// A balancer that keeps each connection at one backend: the first so many at the sick one, all others at the one that works.
struct Balancer {
    base: String,
    connections: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl Balancer {
    async fn start(sick: SocketAddr, first: usize, well: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let backend = if number < first { sick } else { well };
                open.spawn(async move {
                    let mut backend = TcpStream::connect(backend).await.unwrap();
                    // Whoever closes first ends it.
                    let _ = copy_bidirectional(&mut client, &mut backend).await;
                });
            }
        });
        Self { base, connections, _serving: AbortOnDropHandle::new(serving) }
    }
}

#[tokio::test]
async fn a_backend_that_cannot_serve_is_left_for_another_one() {
    for (status, first) in [(503, 1), (429, 1), (502, 4)] {
        let (sick, well) = (splunk().await, splunk().await);
        sick.always(Endpoint::Event, Behaviour::reply(Reply::empty(status)));
        let balancer = Balancer::start(sick.address(), first, well.address()).await;
        let world = World::start().await;
        let config = json!({ "hec_url": balancer.base, "hec_token": CREDENTIAL, "max_in_flight": 1 });
        let connector = world.connector("splunk", config, json!({})).await;
        world.post_some(1).await;
        connector.accounted(&[("delivered", 1)]).await;
        // Each request that the sick backend got came over a connection of its own, also the probe of a breaker that was open.
        assert_eq!(sick.requests().len(), first, "{status}");
        // The connection to the one that works is kept.
        world.post_some(1).await;
        connector.accounted(&[("delivered", 2)]).await;
        assert_eq!(balancer.connections.load(Ordering::SeqCst), first + 1, "{status}");
        world.end().await;
    }
}

/// Its answer is no 5xx, so that the connection is kept for all three attempts: what asks whether it is back dials anew all the same.
#[tokio::test]
async fn a_probe_does_not_keep_to_the_backend_that_refused() {
    let (sick, well) = (splunk().await, splunk().await);
    sick.always(Endpoint::Event, Behaviour::reply(toktra_siem_fake::splunk::reply(1)));
    let balancer = Balancer::start(sick.address(), 1, well.address()).await;
    let world = World::start().await;
    let config = json!({ "hec_url": balancer.base, "hec_token": CREDENTIAL });
    let connector = world.connector("splunk", config, json!({})).await;
    world.post_some(1).await;
    connector.accounted(&[("delivered", 1)]).await;
    assert_eq!((sick.requests().len(), balancer.connections.load(Ordering::SeqCst)), (3, 2));
    world.end().await;
}
