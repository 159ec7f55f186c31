//! The other receivers that speak the HTTP Event Collector's protocol ("HEC dialects" in the reference of more destinations): what each takes
//! that Splunk does not, and what it refuses.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Endpoint, SplunkOptions, replies};
use crate::receiver::{Accepted, Judgement, Received, Reply};

const PLAIN: &str = "text/plain; charset=utf-8";

/// Which receiver it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Splunk itself.
    #[default]
    Splunk,
    /// Falcon LogScale or Falcon Next-Gen SIEM: `Bearer`, no `/event`, no index but the token's repository, an answer in words of its own.
    LogScale,
    /// Cribl Stream's Splunk HEC source.
    Cribl,
    /// Splunk's Edge Processor: no `/event`, and no event without a sourcetype.
    EdgeProcessor,
    /// The OpenTelemetry Collector's `splunk_hec` receiver: any path, and all of a request or nothing.
    Otel,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Splunk, Self::LogScale, Self::Cribl, Self::EdgeProcessor, Self::Otel];

    /// The word for it in a connector's settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Splunk => "splunk",
            Self::LogScale => "logscale",
            Self::Cribl => "cribl",
            Self::EdgeProcessor => "edge_processor",
            Self::Otel => "otel",
        }
    }

    /// What a path belongs to.
    pub(super) fn endpoint(self, path: &str) -> Endpoint {
        let events: &[&str] = match self {
            Self::Splunk => &["/services/collector/event"],
            Self::LogScale => &["/services/collector", "/api/v1/ingest/hec"],
            Self::Cribl => &["/services/collector", "/services/collector/event"],
            Self::EdgeProcessor => &["/services/collector"],
            Self::Otel => &[path],
        };
        match path {
            "/services/collector/health" => Endpoint::Health,
            // Nobody has set the extension up that the collector needs for it, and LogScale has none.
            "/services/collector/ack" if matches!(self, Self::Splunk | Self::Cribl | Self::EdgeProcessor) => {
                Endpoint::Ack
            }
            "/services/collector/raw" => Endpoint::Other,
            _ if events.contains(&path) => Endpoint::Event,
            _ => Endpoint::Other,
        }
    }

    /// Who sent the request, where that is not done as Splunk does it; `None` leaves it to Splunk's rules.
    pub(super) fn authorize(
        self,
        options: &SplunkOptions,
        token: &str,
        request: &Received,
    ) -> Option<Result<(), Judgement>> {
        let header = request.header("authorization");
        // Without an authenticator the collector does not look at the header at all.
        if options.anonymous && (self == Self::Otel || self != Self::LogScale && header.is_none()) {
            return Some(Ok(()));
        }
        let refuse = |status: u16, text: &'static str| {
            let rule = format!("`Authorization` is not this receiver's: {text}");
            Some(Err(Judgement::refused(Reply::text(status, PLAIN, text), rule)))
        };
        match self {
            Self::Splunk | Self::Cribl | Self::EdgeProcessor => None,
            Self::LogScale => match header.and_then(|header| header.strip_prefix("Bearer ")) {
                Some(given) if given == token => Some(Ok(())),
                Some(_) => refuse(401, "The supplied authentication is invalid"),
                None => refuse(401, "The resource requires authentication, which was not supplied with the request"),
            },
            // As its extension bearertokenauth answers, with the scheme `Splunk`.
            Self::Otel => match header {
                Some(given) if given.strip_prefix("Splunk ") == Some(token) => Some(Ok(())),
                Some(_) => refuse(401, "provided authorization does not match expected scheme or token"),
                None => refuse(401, "missing or empty authorization header: Authorization"),
            },
        }
    }

    /// Why an event is refused that Splunk would take, with the code; `None` where it is not.
    pub(super) fn refuses(self, event: &Accepted) -> Option<(u8, &'static str)> {
        match self {
            Self::EdgeProcessor if !event.meta.contains_key("sourcetype") => Some((6, "`sourcetype` is missing")),
            _ => None,
        }
    }

    /// Its own answer to a request whose `events` it took in; `None` where that is Splunk's.
    pub(super) fn success(self, events: usize) -> Option<Reply> {
        (self == Self::LogScale).then(|| Reply::json(200, &json!({ "eventCount": events })))
    }

    /// Its own answer in the place of Splunk's refusal of a request, and whether what stood before the refused event is in.
    pub(super) fn refusal(self, reply: Reply) -> (Reply, bool) {
        let without_number = |reply: &Reply| {
            let mut answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            if let Some(members) = answer.as_object_mut() {
                members.remove("invalid-event-number");
            }
            answer
        };
        match self {
            Self::Splunk => (reply, true),
            // Nobody promises a number, nor that what stood before it is in.
            Self::LogScale | Self::Cribl | Self::EdgeProcessor => {
                (Reply::json(reply.status.as_u16(), &without_number(&reply)), false)
            }
            Self::Otel => (Reply::json(StatusCode::BAD_REQUEST.as_u16(), &without_number(&reply)), false),
        }
    }
}

/// The collector's own judgement of a body, after the source of its receiver (`receiver.go`, v0.161.0): all events or none.
pub(super) fn collect(body: &bytes::Bytes) -> Result<Vec<Accepted>, Judgement> {
    super::otel::collect(body).map_err(|(code, number)| {
        let reply = number.map_or_else(|| replies::reply(code), |number| replies::at_event(code, number));
        Judgement::refused(Reply::text(400, PLAIN, reply.body), format!("code {code}"))
    })
}
