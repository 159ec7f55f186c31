//! A server that answers what a test tells it to, and remembers what it was asked.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::said;
use crate::commands::CliError;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// `GET /v1/…`.
    pub(super) line: String,
    /// Lower-case.
    pub(super) head: String,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What is answered to a request.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: String,
    pub(super) body: String,
}

/// An answer with a JSON body.
pub(super) fn answer(status: u16, body: &Value) -> Answer {
    Answer { status, headers: "content-type: application/json\r\n".to_owned(), body: body.to_string() }
}

/// A refusal as the API makes it.
pub(super) fn refusal(status: u16, message: &str, fields: &Value) -> Answer {
    answer(status, &json!({"error": {"code": "invalid", "message": message, "fields": fields}}))
}

/// A page that is the only one.
pub(super) fn page(items: &Value) -> Value {
    json!({"items": items, "next_cursor": null, "has_more": false, "total_count": null})
}

/// The server; it ends with the test's runtime.
pub(super) struct Responder {
    base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Responder {
    /// Answers every request by `judge`.
    pub(super) async fn start(judge: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let judge: Arc<dyn Fn(&Seen) -> Answer + Send + Sync> = Arc::new(judge);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                tokio::spawn(serve(peer, Arc::clone(&judge), Arc::clone(&kept)));
            }
        });
        Self { base, seen }
    }

    /// Answers each of these requests (`GET /v1/…`, as far as given) with a 200; where one is there several times, one after the other.
    pub(super) async fn with(answers: Vec<(&'static str, Value)>) -> Self {
        let left = Mutex::new(answers);
        Self::start(move |seen| {
            let mut left = left.lock();
            let Some(at) = left.iter().position(|(line, _)| seen.line.starts_with(line)) else {
                return refusal(404, &format!("nothing is there for {}", seen.line), &json!([]));
            };
            let again = left.iter().filter(|(line, _)| *line == left[at].0).count() > 1;
            let found = if again { left.remove(at).1 } else { left[at].1.clone() };
            answer(200, &found)
        })
        .await
    }

    /// What was asked, in order.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The last request with this beginning.
    pub(super) fn last(&self, line: &str) -> Seen {
        let seen = self.seen();
        seen.iter().rfind(|seen| seen.line.starts_with(line)).unwrap_or_else(|| panic!("{line} in {seen:?}")).clone()
    }

    /// Runs a command against it.
    pub(super) async fn run(&self, arguments: &[&str], input: &[u8]) -> (String, Result<(), CliError>) {
        let variables = [("TOKTRA_SIEM_URL", self.base.as_str()), ("TOKTRA_SIEM_API_KEY", "a-key")];
        said(arguments, &variables, input).await
    }

    /// The same, where the command is to succeed.
    pub(super) async fn text(&self, arguments: &[&str]) -> String {
        let (text, outcome) = self.run(arguments, b"").await;
        outcome.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        text
    }

    /// What a command fails with, and its code.
    pub(super) async fn fails(&self, arguments: &[&str]) -> (u8, String) {
        let (_, outcome) = self.run(arguments, b"").await;
        let error = outcome.unwrap_err();
        (error.code(), error.to_string())
    }
}

async fn serve(mut peer: TcpStream, judge: Arc<dyn Fn(&Seen) -> Answer + Send + Sync>, kept: Arc<Mutex<Vec<Seen>>>) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if peer.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let lower = text.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while bytes.len() < head + length {
        assert_ne!(peer.read_buf(&mut bytes).await.unwrap(), 0);
    }
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let seen = Seen { line, head: lower, body: String::from_utf8_lossy(&bytes[head..]).into_owned() };
    let Answer { status, headers, body } = judge(&seen);
    kept.lock().push(seen);
    let answer =
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    // A command that was ended does not read its answer.
    let _ = peer.write_all(answer.as_bytes()).await;
}
