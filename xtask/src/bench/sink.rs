//! `cargo xtask sink`: takes requests, counts the events in them, and answers as Splunk's event collector does.
//!
//! `GET /count` tells what came, so that a benchmark can hold the server's own accounting against what really arrived.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Result, bail};
use clap::Args;
use memchr::memmem;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::wire;

/// Where to listen.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The loopback port; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Every event has it once, in Toktra's form and inside of Splunk's envelope.
const ONCE_PER_EVENT: &[u8] = b"\"event_type\":";

/// A request may be this large; a sink that is sent more has been misused.
const LARGEST_REQUEST: usize = 64 << 20;

#[derive(Default)]
struct Count {
    requests: AtomicU64,
    events: AtomicU64,
}

/// Listens until it is stopped; the first line of its output tells where.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("{}", json!({"listening": format!("http://{}", listener.local_addr()?)}));
    let count = Arc::new(Count::default());
    loop {
        let (peer, _) = listener.accept().await?;
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            if let Err(error) = serve(peer, &count).await {
                eprintln!("sink: {error:#}");
            }
        });
    }
}

async fn serve(mut peer: TcpStream, count: &Count) -> Result<()> {
    peer.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(256 * 1024);
    loop {
        if peer.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        while let Some(message) = wire::message(&bytes).map_err(anyhow::Error::msg)? {
            let body = &bytes[message.head..message.total];
            let reply = if bytes.starts_with(b"GET ") { told(count) } else { taken(body, count) };
            peer.write_all(&reply).await?;
            bytes.drain(..message.total);
        }
        if bytes.len() > LARGEST_REQUEST {
            bail!("a request of more than {LARGEST_REQUEST} bytes");
        }
    }
}

fn taken(body: &[u8], count: &Count) -> Vec<u8> {
    count.requests.fetch_add(1, Ordering::Relaxed);
    let events = memmem::find_iter(body, ONCE_PER_EVENT).count();
    count.events.fetch_add(events as u64, Ordering::Relaxed);
    reply(r#"{"text":"Success","code":0}"#)
}

fn told(count: &Count) -> Vec<u8> {
    let (requests, events) = (count.requests.load(Ordering::Relaxed), count.events.load(Ordering::Relaxed));
    reply(&json!({"requests": requests, "events": events}).to_string())
}

fn reply(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_of_a_batch_is_counted_and_told() {
        let count = Count::default();
        let answer = taken(br#"{"event":{"event_type":"lockout"}}{"event":{"event_type":"anomaly"}}"#, &count);
        assert!(answer.ends_with(br#"{"text":"Success","code":0}"#));
        let told = told(&count);
        assert_eq!(wire::number(&told, "events"), Some(2));
        assert_eq!(wire::number(&told, "requests"), Some(1));
    }
}
