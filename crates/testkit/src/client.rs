//! A small HTTP client for tests: JSON in, JSON out, and the raw bytes where a test is about bytes.
//!
//! It is separate from the product's own transport on purpose: a test must not see the server through the code it tests.

use std::{
    io::Write as _,
    sync::{Arc, RwLock},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::{
    json::Json as _,
    poll::{self, PATIENCE},
};

/// Between two questions that a key asks while it waits: it may ask 600 times a minute.
const PACE: Duration = Duration::from_millis(100);

/// Why a request got no answer: the server was gone, or died in the middle. A kill test expects this.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {url}")]
pub struct NoAnswer {
    /// What was asked for.
    pub url: String,
    /// What the connection reported.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A reply as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body's bytes, not inflated.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("status {} with a body that is no JSON ({error}): {}", self.status, self.text())
        })
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The same answer, once its status is the expected one.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often the status is all that a test asks for")]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "the answer was: {}", self.text());
        self
    }
}

/// A request as it was sent.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: Method,
    /// The path, with its query.
    pub path: &'a str,
    /// The headers that the caller gave.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// A client of one server, with or without an API key. Cheap to clone; connections are kept alive.
#[derive(Debug, Clone)]
pub struct Client {
    base: Arc<RwLock<String>>,
    key: Option<SecretString>,
    witness: Option<fn(&Asked<'_>, &Answer)>,
    http: HyperClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of the server at `base` (`http://host:port`), at first without a key.
    pub fn new(base: &str) -> Self {
        let http = HyperClient::builder(TokioExecutor::new()).build_http();
        let base = Arc::new(RwLock::new(base.trim_end_matches('/').to_owned()));
        Self { base, key: None, witness: None, http }
    }

    /// From now on the server is at `base`, for this client and for every one that was made from it.
    pub fn moves_to(&self, base: &str) {
        base.clone_into(&mut self.base.write().expect("nobody panics while it is written"));
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.read().expect("nobody panics while it is written"))
    }

    /// The same client, sending `Authorization: Bearer <key>`.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(SecretString::from(key)), ..self.clone() }
    }

    /// The same client, showing every exchange to `witness`, which panics where something is wrong with it.
    #[must_use]
    pub fn with_witness(&self, witness: fn(&Asked<'_>, &Answer)) -> Self {
        Self { witness: Some(witness), ..self.clone() }
    }

    /// The same client, sending no credentials.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], Bytes::new()).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::POST, path, body).await
    }

    /// `PATCH path` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::PATCH, path, body).await
    }

    /// `PUT path` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::PUT, path, body).await
    }

    /// What `GET path` shows. If the key's requests are used up, it asks again until there are more.
    pub async fn read(&self, path: &str) -> Value {
        self.until(&format!("{path} is shown"), path, |shown| Some(shown.clone())).await
    }

    /// The members of the list that `GET path` shows, as far as one page goes.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        self.read(path).await["items"].list()
    }

    /// The members of the list that `GET path` shows, which has to fit on one page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let page = self.read(path).await;
        assert_eq!(page["has_more"], false, "{path} has more than one page");
        page["items"].list()
    }

    /// Makes something: `POST path`, which answers 201.
    pub async fn make(&self, path: &str, body: &Value) -> Value {
        self.post(path, body).await.expect_status(201).json()
    }

    /// Begins something: `POST path`, which answers 202.
    pub async fn begin(&self, path: &str, body: &Value) -> Value {
        self.post(path, body).await.expect_status(202).json()
    }

    /// Asks for something to be done at once: `POST path`, which answers 200.
    pub async fn call(&self, path: &str, body: &Value) -> Value {
        self.post(path, body).await.expect_status(200).json()
    }

    /// Saves a change: `PATCH path`, which answers 200.
    pub async fn change(&self, path: &str, body: &Value) -> Value {
        self.patch(path, body).await.expect_status(200).json()
    }

    /// Removes something: `DELETE path`, which answers 200.
    pub async fn remove(&self, path: &str) -> Value {
        self.delete(path).await.expect_status(200).json()
    }

    /// Waits until `look` finds something in what `GET path` shows. It asks in the pace that a key may ask, and goes on if its requests are
    /// used up.
    pub async fn until<T>(&self, what: &str, path: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        let found = poll::every(PACE, PATIENCE, async || {
            let answer = self.get(path).await;
            if answer.status == 429 {
                return None;
            }
            last = answer.expect_status(200).json();
            look(&last)
        });
        match found.await {
            Some(found) => found,
            None => panic!("waited {PATIENCE:?} in vain until {what}; {path} showed last: {last}"),
        }
    }

    /// `POST path` with exactly these bytes.
    pub async fn post_bytes(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, path, &[("content-type", content_type)], body.into()).await
    }

    /// `POST path` with these bytes gzipped, and `Content-Encoding: gzip`.
    pub async fn post_gzip(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let headers = [("content-type", content_type), ("content-encoding", "gzip")];
        self.send(Method::POST, path, &headers, gzip(body)).await
    }

    /// Any request, with any headers.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        match self.try_send(method, path, headers, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{error}: {}", error.source),
        }
    }

    /// Any request, where the server may be killed under it. Server-sent events have no end: their first one is the answer.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] where the connection failed before the whole answer came.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        let (asked_method, sent) = (method.clone(), body.clone());
        let (head, body) = self.open(method, path, headers, body).await?.into_parts();
        let lost = |error: hyper::Error| NoAnswer { url: self.url(path), source: error.into() };
        // A live view, which is asked for with GET, has no end; what a POST begins has one.
        let stream = head.headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "text/event-stream");
        let body = if stream && asked_method == Method::GET {
            first_event(body).await.map_err(lost)?
        } else {
            body.collect().await.map_err(lost)?.to_bytes()
        };
        let answer = Answer { status: head.status.as_u16(), headers: head.headers, body };
        if let Some(witness) = self.witness {
            witness(&Asked { method: asked_method, path, headers, body: &sent }, &answer);
        }
        Ok(answer)
    }

    /// `POST path` with a JSON body, whose answer is read line by line while it comes. No witness sees it.
    pub async fn post_for_lines(&self, path: &str, body: &Value) -> Lines {
        let headers = [("content-type", "application/json"), ("accept", "application/x-ndjson")];
        self.follow(Method::POST, path, &headers, body.to_string().into()).await
    }

    /// Any request whose answer is read while it comes. No witness sees it.
    pub async fn follow(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Lines {
        match self.open(method, path, headers, body).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Lines { status: head.status.as_u16(), headers: head.headers, body, read: Vec::new() }
            }
            Err(error) => panic!("{error}: {}", error.source),
        }
    }

    /// Sends a request, and has the head of its answer.
    async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let url = self.url(path);
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose_secret()));
        }
        let request =
            request.body(Full::new(body)).unwrap_or_else(|error| panic!("no valid request to {url}: {error}"));
        self.http.request(request).await.map_err(|error| NoAnswer { url, source: error.into() })
    }

    async fn send_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body.to_string().into()).await
    }
}

/// The first event that says something: one that begins with a comment only keeps the connection alive.
async fn first_event(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let mut read = Vec::new();
    loop {
        while let Some(end) = read.windows(2).position(|two| two == b"\n\n") {
            if !read.starts_with(b":") {
                return Ok(read.into());
            }
            read.drain(..end + 2);
        }
        let Some(frame) = body.frame().await else { return Ok(read.into()) };
        read.extend(frame?.into_data().unwrap_or_default());
    }
}

/// An answer that is read line by line while it comes.
#[derive(Debug)]
pub struct Lines {
    /// The HTTP status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    body: Incoming,
    read: Vec<u8>,
}

impl Lines {
    /// The next line as JSON, as soon as it is there; `None` at the end of the answer.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let shown = String::from_utf8_lossy(&line);
                return Some(serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}")));
            }
            let Some(frame) = self.body.frame().await else {
                assert!(self.read.is_empty(), "the answer ends within a line: {}", String::from_utf8_lossy(&self.read));
                return None;
            };
            let frame = frame.unwrap_or_else(|error| panic!("the answer breaks off: {error}"));
            self.read.extend(frame.into_data().unwrap_or_default());
        }
    }

    /// The next piece as it came over the wire; `None` at the end of the answer, and where it breaks off.
    pub async fn piece(&mut self) -> Option<Bytes> {
        Some(self.body.frame().await?.ok()?.into_data().unwrap_or_default())
    }

    /// Every line that is still to come.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(line) = self.next().await {
            rest.push(line);
        }
        rest
    }
}

/// `bytes` as one gzip member.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let zipped = encoder.write_all(bytes).and_then(|()| encoder.finish());
    zipped.expect("memory takes every write").into()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn gzip_can_be_inflated() {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&gzip(b"hello")[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn a_request_carries_key_type_and_body_and_the_answer_comes_back_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(br#"{"a":1}"#) {
                assert_ne!(peer.read_buf(&mut seen).await.unwrap(), 0, "the request ended early");
            }
            peer.write_all(b"HTTP/1.1 202 Accepted\r\nx-a: b\r\ncontent-length: 11\r\n\r\n{\"ok\":true}")
                .await
                .unwrap();
            String::from_utf8(seen).unwrap()
        });
        let client = Client::new(&format!("http://{address}/")).with_key("k".repeat(32).as_str());
        let answer = client.post("/v1/events", &serde_json::json!({"a": 1})).await.expect_status(202);
        assert_eq!(answer.json()["ok"], true);
        assert_eq!(answer.header("x-a"), Some("b"));
        let seen = seen.await.unwrap();
        assert!(seen.starts_with("POST /v1/events HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("authorization: Bearer {}\r\n", "k".repeat(32))), "{seen}");
        assert!(seen.contains("content-type: application/json\r\n"), "{seen}");
    }

    #[tokio::test]
    async fn a_server_which_is_gone_is_an_error_not_a_panic() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
        drop(listener);
        let error = client.try_send(Method::GET, "/healthz", &[], Bytes::new()).await.unwrap_err();
        assert!(error.to_string().contains("/healthz"), "{error}");
    }
}
