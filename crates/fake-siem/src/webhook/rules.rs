//! The receiver's strict logic: path, method, login, headers, signature, then the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::{Endpoint, Fault, Login, Shape, WebhookOptions};
use crate::json::{self as text, Members};
use crate::receiver::{Accepted, Judgement, Received, Recorded, Reply, Rules};
use crate::verify;

/// How a receiver judges requests.
pub struct WebhookRules {
    options: WebhookOptions,
}

impl Rules for WebhookRules {
    type Endpoint = Endpoint;
    type Fault = Fault;

    fn endpoint(&self, path: &str) -> Endpoint {
        let own = self.options.path.split('?').next().unwrap_or_default();
        if path == own { Endpoint::Hook } else { Endpoint::Other }
    }

    fn judge(&self, request: &Received, fault: Option<&Fault>) -> Judgement {
        let judged = self.readable(request).and_then(|body| match fault {
            Some(Fault::Poison(poison)) if contains(body, poison.as_bytes()) => Err(Judgement::of(error(400, "no"))),
            _ => self.take(body),
        });
        judged.unwrap_or_else(|refusal| refusal)
    }

    fn count(&self, request: &Received) -> Judgement {
        let depth = usize::from(self.options.shape == Shape::Array);
        let counted = self.readable(request).map(|body| text::count_objects(body, depth));
        counted.map_or_else(|refusal| refusal, |events| Judgement::of(Reply::empty(204)).counting(events))
    }

    fn held(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

impl WebhookRules {
    pub(super) fn new(options: WebhookOptions) -> Self {
        Self { options }
    }

    pub(super) fn path(&self) -> &str {
        &self.options.path
    }

    /// The body of a request that came to the right place by the right hands.
    fn readable<'a>(&self, request: &'a Received) -> Result<&'a Bytes, Judgement> {
        let query = request.query().map_or(String::new(), |query| format!("?{query}"));
        let came = format!("{}{query}", request.path());
        if came != self.options.path {
            return Err(refused(404, format!("unknown path {came}")));
        }
        if request.method() != "POST" {
            return Err(refused(405, format!("{} on {came}", request.method())));
        }
        self.logged_in(request)?;
        let missing = self.options.headers.iter().find(|(name, value)| request.header(name) != Some(value));
        if let Some((name, _)) = missing {
            return Err(refused(403, format!("`{name}` is missing, or not as agreed")));
        }
        let kind = if self.options.shape == Shape::Lines { "application/x-ndjson" } else { "application/json" };
        if request.media_type() != kind {
            return Err(refused(415, format!("the content type is not {kind}")));
        }
        self.signed(request)?;
        let body = request.body().map_err(|why| refused(400, why.to_string()))?;
        let largest = body.len().max(request.wire().len());
        if largest > self.options.max_bytes {
            return Err(refused(413, format!("a body of {largest} bytes, {} are allowed", self.options.max_bytes)));
        }
        Ok(body)
    }

    fn logged_in(&self, request: &Received) -> Result<(), Judgement> {
        let expected = match &self.options.login {
            Login::None => None,
            Login::Bearer(token) => Some(format!("Bearer {token}")),
            Login::Basic(name, password) => Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))),
        };
        // One that is agreed upon as a header of its own is looked at there.
        let own = self.options.headers.iter().any(|(name, _)| name == "authorization");
        match (expected, request.header("authorization")) {
            (None, Some(_)) if !own => Err(refused(401, "an `Authorization` that nobody asked for")),
            (Some(expected), given) if given != Some(&expected) => Err(refused(401, "another `Authorization`")),
            _ => Ok(()),
        }
    }

    fn signed(&self, request: &Received) -> Result<(), Judgement> {
        let Some(secret) = &self.options.secret else { return Ok(()) };
        let head = request.head();
        let recorded = Recorded {
            order: 0,
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
            wire: request.wire().clone(),
            body: None,
            status: None,
        };
        verify::webhook(&recorded, secret, None)
            .and_then(|()| verify::signature(&recorded, secret))
            .map_err(|why| refused(401, why.to_string()))
    }

    fn take(&self, body: &Bytes) -> Result<Judgement, Judgement> {
        let unreadable = |why: String| refused(400, why);
        let json = |error: serde_json::Error| unreadable(format!("the body is not as agreed: {error}"));
        let events: Vec<&RawValue> = match self.options.shape {
            Shape::Event | Shape::Message => vec![serde_json::from_slice(body).map_err(json)?],
            Shape::Array => serde_json::from_slice(body).map_err(json)?,
            Shape::Lines => {
                let text = str::from_utf8(body).map_err(|_| unreadable("the body is not UTF-8".to_owned()))?;
                if !text.ends_with('\n') {
                    return Err(unreadable("the last line is not ended".to_owned()));
                }
                text.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(json)?
            }
        };
        if events.is_empty() {
            return Err(unreadable("no events".to_owned()));
        }
        let mut accepted = Vec::with_capacity(events.len());
        for (position, raw) in events.iter().enumerate() {
            let at = |why: &str| unreadable(format!("event {position}: {why}"));
            let members = Members::parse(raw.get()).map_err(|_| at("not an object"))?;
            if members.duplicate().is_some() {
                return Err(at("a member stands twice"));
            }
            let event_id = members.string("event_id");
            match self.options.shape {
                Shape::Message => {
                    let names: Vec<&str> = members.names().collect();
                    let time = members.string("timestamp").and_then(|time| time.parse::<jiff::Timestamp>().ok());
                    let data = members.value("data").is_some_and(|data| data.is_object());
                    if names.len() != 3 || members.string("type").is_none() || time.is_none() || !data {
                        return Err(at("not `type`, `timestamp` and `data`"));
                    }
                }
                _ if event_id.is_none() => return Err(at("no `event_id`")),
                _ => {}
            }
            let event = body.slice_ref(raw.get().as_bytes());
            accepted.push(Accepted { request: 0, position, event_id, event, meta: Map::new() });
        }
        Ok(Judgement::of(Reply::empty(204)).accepting(accepted))
    }
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": message }))
}

fn refused(status: u16, rule: impl Into<String>) -> Judgement {
    let rule = rule.into();
    Judgement::refused(error(status, &rule), rule)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}
