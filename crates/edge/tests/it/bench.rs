//! A server in this process, and clients that write bytes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use toktra_siem_edge::bodies::Owner;
use toktra_siem_edge::body::{self, Fault, Purse};
use toktra_siem_edge::{Arrival, Arriving, Edge, Face, Limits, Refusal, serve};
use uuid::Uuid;

/// No test waits longer for anything; none comes near it unless something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// The largest body that the face reads.
pub(crate) const CAP: usize = 4 * 1024 * 1024;
/// The length of the answer at `/large`: far more than the kernel holds of a [`Bench::start`]ed server's answers.
pub(crate) const LARGE: usize = 2 * 1024 * 1024;

/// Reads the body of a `POST`, as that of the key which the header `key` names, or of nobody. Without reading it, `/401` is refused. A header
/// `login` makes the connection that of its key.
struct Reader(Edge);

impl Face for Reader {
    type Body = Full<Bytes>;

    fn answer(
        &self,
        request: Request<Arriving>,
        _: HeaderValue,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<> {
        let edge = self.0.clone();
        async move {
            let (parts, body) = request.into_parts();
            let key = parts.headers.get("key").map(|key| Uuid::from_u128(key.to_str().unwrap().parse().unwrap()));
            let arrival = parts.extensions.get::<Arrival>().unwrap();
            if let Some(key) = key {
                arrival.belongs(key);
            }
            if parts.uri.path() == "/401" {
                return told(StatusCode::UNAUTHORIZED, "who is it?");
            }
            if parts.uri.path() == "/large" {
                return told(StatusCode::OK, &".".repeat(LARGE));
            }
            assert_ne!(parts.uri.path(), "/panic", "a canary");
            let owner = Owner { key, address: Some(arrival.address()) };
            let purse = if key.is_some() { Purse::Known(owner) } else { Purse::Open(owner) };
            let cap = if key.is_some() { CAP } else { 4096 };
            match body::read(&edge, purse, &parts.headers, body, cap).await {
                Ok(whole) => told(StatusCode::OK, &format!("{} bytes", whole.bytes.len())),
                Err(Fault::TooLarge(_)) => told(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
                Err(Fault::NoRoom) => told(StatusCode::TOO_MANY_REQUESTS, "no room"),
                Err(Fault::Ending) => told(StatusCode::SERVICE_UNAVAILABLE, "the end"),
                Err(other) => told(StatusCode::BAD_REQUEST, &other.to_string()),
            }
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Self::Body> {
        told(refusal.status(), refusal.message())
    }
}

fn told(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// A server that is up.
pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) edge: Edge,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Bench {
    pub(crate) fn start(limits: Limits) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Connections have it of their listener.
        socket.set_send_buffer_size(16 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let (edge, shutdown) = (Edge::new(limits, Vec::new()), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, Reader(edge.clone()), edge.clone(), shutdown.clone()));
        Self { address, edge, shutdown, serving }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends `bytes` over a connection of their own; everything that is answered until the server closes it.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.rest().await
    }
}

/// One connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.0.write_all(bytes.as_ref())).await.expect("the server reads").unwrap();
    }

    /// The head of an answer.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.0.read_u8()).await.expect("an answer").unwrap();
            head.push(byte);
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    /// One answer: its status, its head, its body.
    pub(crate) async fn answer(&mut self) -> (u16, String, String) {
        let head = self.head().await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut body)).await.expect("an answer").unwrap();
        (head[9..12].parse().unwrap(), head, String::from_utf8(body).unwrap())
    }

    /// Everything until the server closes. A reset fails the test.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("an end").expect("no reset");
        String::from_utf8(bytes).unwrap()
    }
}

/// The head of a request with a body.
pub(crate) fn post(path: &str, lines: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n")
}

/// `bytes` in chunks of `size`.
pub(crate) fn chunked(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in bytes.chunks(size) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}
