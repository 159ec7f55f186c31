//! A strict fake of PagerDuty's Events API v2, after "Send an alert event": one integration key, events within their limits, and the set of
//! alerts that are open.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::receiver::{Accepted, Judgement, Received, Receiver, ReceiverOptions, Reply, Rules};
use crate::slack::only;

/// A running fake of PagerDuty.
pub type Pagerduty = Receiver<PagerdutyRules>;

/// Its endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v2/enqueue`.
    Enqueue,
    /// Any other path: answered 404.
    Other,
}

/// The largest event, in bytes.
const MOST: usize = 512 * 1024;

/// How PagerDuty judges requests.
pub struct PagerdutyRules {
    routing_key: String,
    open: Mutex<BTreeMap<String, Value>>,
}

#[expect(clippy::unused_async, reason = "listening needs a runtime, which an async function cannot be called without")]
impl Pagerduty {
    /// Starts to listen, with an integration of this key. Fails as any listener does, and where the certificate cannot be used.
    pub async fn start(routing_key: &str, options: ReceiverOptions) -> io::Result<Self> {
        let rules = PagerdutyRules { routing_key: routing_key.to_owned(), open: Mutex::default() };
        Self::launch(rules, &options)
    }

    /// The alerts that were triggered and not resolved, by their `dedup_key`, each with its `payload`.
    pub fn open(&self) -> BTreeMap<String, Value> {
        self.rules().open.lock().clone()
    }
}

impl Rules for PagerdutyRules {
    type Endpoint = Endpoint;
    type Fault = ();

    fn endpoint(&self, path: &str) -> Endpoint {
        if path == "/v2/enqueue" { Endpoint::Enqueue } else { Endpoint::Other }
    }

    fn judge(&self, request: &Received, _fault: Option<&()>) -> Judgement {
        self.take(request).unwrap_or_else(|(status, rule)| {
            let body = json!({ "status": "invalid event", "message": "Event object is invalid", "errors": [rule] });
            Judgement::refused(Reply::json(status, &body), rule)
        })
    }

    fn count(&self, request: &Received) -> Judgement {
        self.judge(request, None)
    }

    fn held(&self) -> Value {
        json!(*self.open.lock())
    }
}

impl PagerdutyRules {
    fn take(&self, request: &Received) -> Result<Judgement, (u16, String)> {
        let bad = |rule: String| (400, rule);
        if request.path() != "/v2/enqueue" || request.query().is_some() {
            return Err((404, format!("unknown path {}", request.path())));
        }
        if request.method() != "POST" || request.media_type() != "application/json" {
            return Err(bad(format!("{} {}", request.method(), request.media_type())));
        }
        let body = request.body().map_err(|why| bad(why.to_string()))?;
        if body.len() > MOST {
            return Err((413, format!("an event of {} bytes", body.len())));
        }
        let event: Value = serde_json::from_slice(body).map_err(|why| bad(why.to_string()))?;
        let members = event.as_object().ok_or_else(|| bad("not an object".to_owned()))?;
        if event["routing_key"] != self.routing_key.as_str() {
            return Err(bad("Invalid routing key".to_owned()));
        }
        let dedup_key = text(&event, "dedup_key", 255).map_err(bad)?;
        match event["event_action"].as_str() {
            Some("trigger") => {
                let known =
                    ["routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"];
                only(members, &known).map_err(bad)?;
                payload(&event["payload"]).map_err(bad)?;
                let links = event.get("links").map_or(Some(&[][..]), |links| links.as_array().map(Vec::as_slice));
                links
                    .ok_or_else(|| bad("links are not an array".to_owned()))?
                    .iter()
                    .try_for_each(link)
                    .map_err(bad)?;
                self.open.lock().insert(dedup_key.clone(), event["payload"].clone());
            }
            Some("resolve" | "acknowledge") => {
                only(members, &["routing_key", "event_action", "dedup_key"]).map_err(bad)?;
                if event["event_action"] == "resolve" {
                    self.open.lock().remove(&dedup_key);
                }
            }
            other => return Err(bad(format!("the event_action {other:?}"))),
        }
        let accepted = Accepted { request: 0, position: 0, event_id: None, event: body.clone(), meta: Map::new() };
        let answer = json!({ "status": "success", "message": "Event processed", "dedup_key": dedup_key });
        Ok(Judgement::of(Reply::json(202, &answer)).accepting(vec![accepted]))
    }
}

fn payload(payload: &Value) -> Result<(), String> {
    let members = payload.as_object().ok_or("no payload")?;
    let known = ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];
    only(members, &known)?;
    text(payload, "summary", 1_024)?;
    text(payload, "source", 1_024)?;
    for name in ["component", "group", "class"].into_iter().filter(|name| members.contains_key(*name)) {
        text(payload, name, 1_024)?;
    }
    if !["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().unwrap_or_default()) {
        return Err(format!("the severity {}", payload["severity"]));
    }
    let time = payload.get("timestamp").map(|time| time.as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()));
    if time == Some(None) {
        return Err(format!("the timestamp {}", payload["timestamp"]));
    }
    if members.get("custom_details").is_some_and(|details| !details.is_object()) {
        return Err("custom_details are not an object".to_owned());
    }
    Ok(())
}

fn link(link: &Value) -> Result<(), String> {
    only(link.as_object().ok_or("a link is not an object")?, &["href", "text"])?;
    let web = link["href"].as_str().is_some_and(|url| url.starts_with("https://") || url.starts_with("http://"));
    if web { Ok(()) } else { Err(format!("the link {link}")) }
}

/// A text that is there and not too long.
fn text(of: &Value, name: &str, most: usize) -> Result<String, String> {
    let text = of[name].as_str().unwrap_or_default();
    match text.chars().count() {
        0 => Err(format!("{name} is missing or blank")),
        length if length > most => Err(format!("{name} has {length} characters, {most} are allowed")),
        _ => Ok(text.to_owned()),
    }
}
