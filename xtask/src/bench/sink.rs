//! `cargo xtask sink`: takes requests as the platforms do (see [`super::receivers`]), and counts the events in them.
//!
//! `GET /count` tells what came, so that a benchmark can hold the server's own accounting against what really arrived. `POST /load` posts
//! a load from this process, whose clock then tells when each event was accepted and when it arrived: `GET /lags`. Whatever is sent below
//! `/hang` is never answered.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{
    arrivals::Arrivals,
    generator,
    receivers::{self, Taken, reply},
    wire,
};

/// Where to listen.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The loopback port; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Answer so many milliseconds late, as a SIEM does that is far away.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
}

/// A request may be this large; a sink that is sent more has been misused.
const LARGEST_REQUEST: usize = 64 << 20;

/// What came so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Count {
    /// Requests that were taken.
    pub(super) requests: u64,
    /// Events in them.
    pub(super) events: u64,
    /// See [`super::template::sum`].
    pub(super) sum: u64,
    /// Why a request was refused; the first one that was.
    pub(super) refused: Option<String>,
}

struct State {
    delay: Duration,
    requests: AtomicU64,
    events: AtomicU64,
    sum: AtomicU64,
    refused: Mutex<Option<String>>,
    arrivals: Arc<Arrivals>,
}

/// Listens until it is stopped; the first line of its output tells where.
pub(crate) async fn run(options: &Options) -> Result<()> {
    // Each connector keeps connections, and there may be a thousand.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("{}", json!({"listening": format!("http://{}", listener.local_addr()?)}));
    let state = Arc::new(State {
        delay: Duration::from_millis(options.delay_ms),
        requests: AtomicU64::new(0),
        events: AtomicU64::new(0),
        sum: AtomicU64::new(0),
        refused: Mutex::default(),
        arrivals: Arc::new(Arrivals::new()),
    });
    loop {
        let (peer, _) = listener.accept().await?;
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            if let Err(error) = serve(peer, &state).await {
                eprintln!("sink: {error:#}");
            }
        });
    }
}

async fn serve(mut peer: TcpStream, state: &State) -> Result<()> {
    peer.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(256 * 1024);
    loop {
        if peer.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        while let Some(message) = wire::message(&bytes).map_err(anyhow::Error::msg)? {
            let (head, body) = bytes[..message.total].split_at(message.head);
            let reply = match wire::path(head) {
                b"/count" => told(&state.count())?,
                b"/lags" => told(&state.arrivals.lags())?,
                b"/load" => told(&load(body, state).await?)?,
                path if path.starts_with(b"/hang/") => std::future::pending().await,
                _ => {
                    let reply = state.take(head, body);
                    if !state.delay.is_zero() {
                        sleep(state.delay).await;
                    }
                    reply
                }
            };
            peer.write_all(&reply).await?;
            bytes.drain(..message.total);
        }
        if bytes.len() > LARGEST_REQUEST {
            bail!("a request of more than {LARGEST_REQUEST} bytes");
        }
    }
}

impl State {
    fn take(&self, head: &[u8], body: &[u8]) -> Vec<u8> {
        match receivers::take(head, body, &self.arrivals) {
            Ok(Taken { events, sum, reply }) => {
                self.requests.fetch_add(1, Ordering::Relaxed);
                self.events.fetch_add(events, Ordering::Relaxed);
                self.sum.fetch_add(sum, Ordering::Relaxed);
                reply
            }
            Err(why) => {
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.clone());
                reply(400, &json!({"text": why, "code": 6}).to_string())
            }
        }
    }

    fn count(&self) -> Count {
        Count {
            requests: self.requests.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
            refused: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

async fn load(options: &[u8], state: &State) -> Result<generator::Sent> {
    let options = serde_json::from_slice(options).context("these are no options of a load")?;
    state.arrivals.start();
    generator::load(&options, Some(&state.arrivals)).await
}

fn told(what: &impl Serialize) -> Result<Vec<u8>> {
    Ok(reply(200, &serde_json::to_string(what)?))
}
