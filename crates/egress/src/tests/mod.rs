//! Transport against real sockets on loopback: servers that misbehave byte by byte, and listeners that nothing may reach.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_core::destination::{Header, HeaderText, Method, OutboundRequest};
use toktra_siem_core::ids::DeliveryId;
use toktra_siem_core::signing::SigningKeys;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use super::*;

mod certificates;
mod egress;
mod exchange;
mod faults;
mod hostile;
mod memory;
mod pinned;
mod threads;
mod tunnel;

const OPERATOR: Trust = Trust { operator_owned: true };
const TENANT: Trust = Trust { operator_owned: false };
/// A deadline for what ends without it, however busy the machine is.
const NEVER: SendOptions = SendOptions { deadline: Duration::from_hours(24), body_cap: BODY_CAP, anew: false };
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server that hands each connection, numbered from zero, to a function.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn start<F, R>(handle: F) -> Self
    where
        F: Fn(usize, TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), handle).await
    }

    async fn at<F, R>(address: SocketAddr, handle: F) -> Self
    where
        F: Fn(usize, TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(handle(counter.fetch_add(1, Ordering::SeqCst), stream));
            }
        });
        Self { address, connections, _task: AbortOnDropHandle::new(task) }
    }

    /// Answers every request of every connection with `answer`.
    async fn answering(answer: &'static [u8]) -> Self {
        Self::answering_at((Ipv4Addr::LOCALHOST, 0).into(), answer).await
    }

    async fn answering_at(address: SocketAddr, answer: &'static [u8]) -> Self {
        Self::at(address, move |_, mut stream| async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(answer).await.unwrap();
            }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A listener that must stay untouched.
struct Canary(std::net::TcpListener);

impl Canary {
    fn at(ip: Ipv4Addr, port: u16) -> Self {
        let listener = std::net::TcpListener::bind((ip, port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let error = self.0.accept().expect_err("a connection reached the canary");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

/// Gives its answers one after the other and fails when there is none left.
#[derive(Default)]
struct Scripted {
    answers: Mutex<Vec<io::Result<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: Vec<io::Result<Vec<IpAddr>>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().rev().collect()), asked: AtomicUsize::new(0) })
    }

    /// Answers `count` times with loopback.
    fn loopback(count: usize) -> Arc<Self> {
        Self::new((0..count).map(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()])).collect())
    }
}

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers.lock().pop().expect("an answer is left")
    }
}

/// Reads one request: its head as text, its body. `None` where the connection ended.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end + 4].to_vec()).unwrap();
            let length =
                head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = bytes.split_off(end + 4);
            let missing = length.unwrap_or(0usize).saturating_sub(body.len());
            let mut rest = vec![0; missing];
            stream.read_exact(&mut rest).await.ok()?;
            body.extend(rest);
            return Some((head, body));
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn request(url: impl Into<String>) -> SignedRequest {
    with_headers(url, vec![])
}

fn with_headers(url: impl Into<String>, headers: Vec<Header>) -> SignedRequest {
    let request = OutboundRequest {
        method: Method::Post,
        url: url.into(),
        secret_url: false,
        headers,
        body: Bytes::from_static(b"{}"),
    };
    let keys = SigningKeys { current: Some(SecretString::from("secret".to_owned())), next: None };
    SignedRequest::seal(request, &keys, DeliveryId(Uuid::nil()), Timestamp(1_736_937_000_000))
}

fn endpoint(trust: Trust) -> Endpoint {
    Transport::new(EgressPolicy::default()).endpoint(EndpointOptions { trust, ..EndpointOptions::default() }).unwrap()
}

async fn send(endpoint: &Endpoint, url: impl Into<String>) -> Result<Exchange, Failure> {
    endpoint.send(request(url), SendOptions::default()).await
}

fn names(stages: &[Stage]) -> Vec<StageName> {
    stages.iter().map(|stage| stage.name).collect()
}
