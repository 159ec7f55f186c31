//! Tells what arrives at the fake SIEMs, as it arrives, each signature verified by the receiver's own code.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use toktra_siem_core::time::Timestamp;
use toktra_siem_fake::datadog::Datadog;
use toktra_siem_fake::{Accepted, Log, Receiver, Recorded, Rules, verify};

/// When each event was posted, by its id.
pub(super) type Posted = Arc<Mutex<HashMap<String, Instant>>>;

/// What is printed about arrivals, beside the receiver's name.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) name: &'static str,
    pub(super) secret: String,
    pub(super) posted: Posted,
    pub(super) lines: mpsc::UnboundedSender<String>,
}

impl Watch {
    /// Follows `receiver` for as long as it is polled. Ends never by itself.
    pub(super) async fn follow<R: Rules>(self, receiver: Arc<Receiver<R>>) {
        let mut seen = 0;
        loop {
            receiver.wait_until(|log| log.events.len() > seen).await;
            let lines = receiver.read(|log| {
                let lines: Vec<String> = log.events[seen..].iter().map(|event| self.line(event, log)).collect();
                seen = log.events.len();
                lines
            });
            for line in lines {
                self.say(line);
            }
        }
    }

    /// Follows Datadog's metric intake: one line for each accepted point.
    pub(super) async fn follow_points(self, datadog: Arc<Datadog>) {
        let mut seen = 0;
        loop {
            datadog.wait_until(|_| datadog.points().len() > seen).await;
            let points = datadog.points();
            for point in &points[seen..] {
                let tag = |name: &str| {
                    let mut tags = point.series.tags.iter();
                    tags.find_map(|tag| tag.strip_prefix(name)).unwrap_or("?").to_owned()
                };
                self.say(format!(
                    "  {:<14} {:<17} {:<9} {} = {} in the {} s from {}",
                    self.name,
                    tag("event_type:"),
                    tag("severity:"),
                    point.series.metric,
                    point.value,
                    point.interval.unwrap_or_default(),
                    Timestamp(point.timestamp * 1_000),
                ));
            }
            seen = points.len();
        }
    }

    fn say(&self, line: String) {
        // Where the demo ends, nobody reads it.
        let _ = self.lines.send(line + "\n");
    }

    fn line(&self, event: &Accepted, log: &Log) -> String {
        let request = log.requests.iter().rev().find(|request| request.order == event.request);
        let id = event.event_id.as_deref().unwrap_or_default();
        let took = self.posted.lock().get(id).map(|at| format!("{:>4} ms", at.elapsed().as_millis()));
        let body: Value = serde_json::from_slice(&event.event).unwrap_or_default();
        let (kind, severity) = (body["event_type"].as_str().unwrap_or("?"), body["severity"].as_str().unwrap_or("?"));
        format!(
            "  {:<14} {kind:<17} {severity:<9} {:<9} {}  {}",
            self.name,
            took.unwrap_or_default(),
            signature(request, &self.secret),
            place(event, &body),
        )
    }
}

/// Where the platform put it, in its own terms.
fn place(event: &Accepted, body: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let meta = |key: &str| event.meta.get(key).map(&text);
    match (meta("index"), meta("_index")) {
        (Some(index), _) => format!("index={index} sourcetype={}", meta("sourcetype").unwrap_or_default()),
        (_, Some(index)) => {
            format!("{index}/_doc/{}…", event.event_id.as_deref().unwrap_or("?").get(..8).unwrap_or("?"))
        }
        _ => format!("service={} status={}", text(&body["service"]), text(&body["status"])),
    }
}

fn signature(request: Option<&Recorded>, secret: &str) -> &'static str {
    match request
        .map(|request| verify::signature(request, secret).is_ok() && verify::webhook(request, secret, None).is_ok())
    {
        Some(true) => "signature verified",
        Some(false) => "SIGNATURE WRONG",
        None => "not recorded",
    }
}
