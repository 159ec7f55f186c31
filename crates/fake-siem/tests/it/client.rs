//! A bare HTTP client: one connection for each request, and every way of failing told apart.

use std::error::Error as _;
use std::future::Future;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Header names and values.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// How an exchange can fail.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection was not accepted.
    Refused,
    /// There was no head of an answer; the connection ended in a reset, or in an orderly way.
    Unanswered { reset: bool },
    /// The head came, the body broke off after these bytes.
    BrokenOff { status: u16, received: Bytes, reset: bool },
}

fn is_reset(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::ConnectionReset)
}

/// No wait of a test lasts longer than this; it bounds failing tests, and nothing measures it.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it should have happened by now")
}

pub(crate) async fn exchange(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: Headers<'_>,
    body: impl Into<Bytes>,
) -> Result<Answer, Failure> {
    let tcp = TcpStream::connect(address).await.map_err(|_| Failure::Refused)?;
    exchange_over(tcp, method, target, headers, body).await
}

pub(crate) async fn exchange_over(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    target: &str,
    headers: Headers<'_>,
    body: impl Into<Bytes>,
) -> Result<Answer, Failure> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header("host", "fake.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| Failure::Unanswered { reset: is_reset(&error) })?;
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    let mut received = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => received.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(error) => {
                let reset = is_reset(&error);
                return Err(Failure::BrokenOff { status, received: received.freeze(), reset });
            }
        }
    }
    driver.abort();
    Ok(Answer { status, headers: head.headers, body: received.freeze() })
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
