//! Nothing to do, and much that waits: memory, the start, and how fast it drains.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::figures::{Figure, Figures};
use super::harness::{Account, Connector, Options, Sink, Site, asked, cpu, generate, load, memory, per};
use super::histogram::Histogram;

/// A server with one connector and nothing to do, for so many seconds.
pub(super) async fn idle(site: &Site, seconds: u64) -> Result<Figures> {
    let (server, ready) = site.start().await;
    let sink = Sink::start().await?;
    Connector::new("splunk", &0, &sink.url).make(&server).await?;
    // What a start and a new connector set in motion is over by then.
    sleep(Duration::from_secs(5)).await;
    let before = cpu(&server)?;
    sleep(Duration::from_secs(seconds)).await;
    let figures = Figures::default()
        .with(Figure::Idle, per(memory(&server, "VmRSS")?, 1.0))
        .with(Figure::Peak, per(memory(&server, "VmHWM")?, 1.0))
        .with(Figure::IdleCpu, (cpu(&server)? - before) / per(seconds, 1.0))
        .with(Figure::Ready, micros(ready));
    server.stop().await;
    Ok(figures)
}

/// So many events are accepted while the receiver refuses connections; then the server is started again, and the connector gets an address
/// that takes them.
pub(super) async fn backlog(site: &Site, events: u64) -> Result<Figures> {
    let (server, _) = site.start().await;
    let connector = Connector::new("splunk", &0, &format!("http://127.0.0.1:{}", refused_port()?));
    let id = connector.make(&server).await?;
    let mut resident = vec![memory(&server, "VmRSS")?];
    let (mut waiting, parts) = (super::generator::Sent::default(), 4);
    for _ in 0..parts {
        let options = load(server.base(), 8, 100, 600);
        let sent = generate(&Options { events: Some(events / parts), ..options }).await?;
        waiting.add(&sent);
        resident.push(memory(&server, "VmRSS")?);
    }
    Account { pending: waiting.events, ..Account::default() }.recorded(&server, &[]).await?;
    let full = memory(&server, "VmHWM")?;
    server.stop().await;

    let (server, ready) = site.start().await;
    let sink = Sink::start().await?;
    let path = format!("/v1/siem/connectors/{id}");
    let started = Instant::now();
    asked(&server.client().patch(&path, &json!({"config": connector.config(&sink.url)?})).await, 200)?;
    let mut asking = Histogram::new();
    let drained = async {
        sink.wait_for(&waiting, 1).await?;
        Ok::<_, anyhow::Error>(started.elapsed())
    };
    let meanwhile = async {
        loop {
            let before = Instant::now();
            if let Err(error) = asked(&server.client().get(&format!("{path}/health")).await, 200) {
                return error;
            }
            asking.record(u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX));
            sleep(Duration::from_millis(50)).await;
        }
    };
    let drained = tokio::select! {
        drained = drained => drained?,
        error = meanwhile => return Err(error),
    };
    Account { delivered: waiting.events, ..Account::default() }.recorded(&server, &[]).await?;
    let figures = Figures::default()
        .with(Figure::Idle, per(resident[0], 1.0))
        .with(Figure::Quarter, per(resident[1], 1.0))
        .with(Figure::Waiting, per(resident[4], 1.0))
        .with(Figure::Peak, per(full.max(memory(&server, "VmHWM")?), 1.0))
        .with(Figure::Ready, micros(ready))
        .with(Figure::Drained, per(waiting.events, drained.as_secs_f64()))
        .with(Figure::Asked, per(asking.percentile(99), 1.0));
    server.stop().await;
    Ok(figures)
}

/// Microseconds, as a figure.
pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A loopback port on which nobody listens.
fn refused_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
