//! What is sent and what is answered, whichever platform it is for: requests before they are signed, replies, and what a reply means. How
//! a batch becomes a request is each platform's own, in the crate `toktra-siem-platform`.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cause::Cause;
use crate::event::{EventType, Severity};

pub mod reply;

/// How many events of each type and severity: all that a window of metrics needs to know of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(Vec<(EventType, Severity, u64)>);

impl Tally {
    /// Counts one more event.
    pub fn add(&mut self, event_type: EventType, severity: Severity) {
        match self.0.binary_search_by_key(&(event_type, severity), |(t, s, _)| (*t, *s)) {
            Ok(at) => self.0[at].2 += 1,
            Err(at) => self.0.insert(at, (event_type, severity, 1)),
        }
    }

    /// The number of events.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, _, n)| n).sum()
    }

    /// Each combination that occurred, ordered, with its count (never zero).
    pub fn iter(&self) -> impl Iterator<Item = (EventType, Severity, u64)> + '_ {
        self.0.iter().copied()
    }
}

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Read.
    Get,
    /// Send.
    Post,
    /// Create or replace.
    Put,
    /// Change in part. Only the product's own API is asked for it.
    Patch,
    /// Remove. Only the product's own API is asked for it.
    Delete,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        })
    }
}

/// A header's value; a secret one is never printed.
#[derive(Debug, Clone)]
pub enum HeaderText {
    /// May appear in the history.
    Plain(Cow<'static, str>),
    /// Shown as redacted wherever it appears.
    Secret(SecretString),
}

/// A header: its name in small letters, which may be made at run time, and its value.
pub type Header = (Cow<'static, str>, HeaderText);

/// A request that is not signed yet. Transport does not accept it: see [`crate::signing::SignedRequest`].
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    /// The HTTP method.
    pub method: Method,
    /// Absolute.
    pub url: String,
    /// The URL lets in whoever knows it (an incoming webhook, say): beyond its origin it is shown nowhere.
    pub secret_url: bool,
    /// Besides `Content-Length`, `Host`, `User-Agent` and the signatures, which are shared.
    pub headers: Vec<Header>,
    /// The exact bytes of the body; compressed already where the connector asks for it.
    pub body: Bytes,
}

/// An event that could not be put into the request at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    /// Its position in the batch.
    pub position: usize,
    /// Why; it is parked as rejected with this cause.
    pub cause: Cause,
}

/// What the endpoint answered, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header, as sent.
    pub retry_after: Option<String>,
    /// The `Content-Type` header, as sent.
    pub content_type: Option<String>,
    /// Its headers as sent, those two among them; as many as the history keeps ([`crate::exchange`]).
    pub headers: Vec<(String, Bytes)>,
    /// The body, up to transport's cap.
    pub body: Bytes,
    /// The body was longer than the cap and ends early.
    pub truncated: bool,
}

/// What became of one event, or of several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The platform has it.
    Delivered {
        /// It has it, but something deserves a person's attention.
        warning: Option<Cause>,
    },
    /// It may be accepted later.
    Retry(Cause),
    /// The platform stopped before it got there: send again at once, nothing was wrong with it.
    Unread,
    /// The request was accepted, and its answer says that this event never will be. Also an event that cannot be sent at all.
    Rejected(Cause),
    /// The request was refused because of this event, or as a whole: it has its attempts, as every request that was not answered with
    /// success (product spec, "Retry behavior").
    Refused(Cause),
    /// The settings keep it from being accepted.
    Held(Cause),
}

/// Consecutive events of the batch with the same outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// How many; never zero.
    pub len: usize,
    /// What became of each of them.
    pub outcome: Outcome,
}

/// What a reply says of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Runs over all events that were sent, in order.
    Items(Vec<Run>),
    /// The platform says how many events it refused, and not which.
    Counted {
        /// How many it took in.
        delivered: usize,
        /// How many it refused for good.
        refused: usize,
        /// Why.
        cause: Cause,
    },
    /// The platform refused the request as a whole and one event, or the size, may be the reason: send it in halves. A single event
    /// (or a window) is refused with the cause.
    Split(Cause),
}

impl Judgement {
    /// The same, where only counts are known, as one run: what is refused of several is told by a warning, since sending them again one by
    /// one would double those that were taken in. Never gives [`Self::Counted`].
    #[must_use]
    pub fn by_item(self) -> Self {
        let Self::Counted { delivered, refused, cause } = self else { return self };
        let outcome = match (delivered, refused) {
            (_, 0) => Outcome::Delivered { warning: None },
            (0, _) => Outcome::Rejected(cause),
            _ => {
                let Cause { code, message } = cause;
                let of = delivered.saturating_add(refused);
                let message =
                    format!("{refused} of {of} events were refused, and the answer does not say which: {message}");
                Outcome::Delivered { warning: Some(Cause { code, message }) }
            }
        };
        Self::all(delivered.saturating_add(refused), outcome)
    }

    /// The same outcome for all `items` events.
    pub fn all(items: usize, outcome: Outcome) -> Self {
        let mut runs = Vec::new();
        push_run(&mut runs, items, outcome);
        Self::Items(runs)
    }
}

/// Appends `len` events with the same outcome; joins them to the last run where that has it too, and never adds an empty one.
pub fn push_run(runs: &mut Vec<Run>, len: usize, outcome: Outcome) {
    match runs.last_mut() {
        _ if len == 0 => {}
        Some(last) if last.outcome == outcome => last.len += len,
        _ => runs.push(Run { len, outcome }),
    }
}

/// What a reply says of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointState {
    /// It works.
    Healthy,
    /// It works, but asks for less.
    SlowDown,
    /// It does not take anything now.
    Backoff {
        /// The pause it asked for, as sent (delivery caps it).
        after: Option<Duration>,
    },
    /// It will not take anything until a person changes the settings, here or there.
    Misconfigured(Cause),
    /// The same, and it says that it wants no more: nothing is sent to it, probes included, until a person acts.
    Gone(Cause),
}

/// What the platform gave for asking later whether it has kept what it took in. What it is made of is the platform's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Receipt(pub Value);

/// The meaning of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What became of the events.
    pub judgement: Judgement,
    /// What it says of the endpoint.
    pub endpoint: EndpointState,
    /// Taken in, but not for good yet: delivered only once this is confirmed.
    pub confirm: Option<Receipt>,
}

impl Verdict {
    /// The platform has all `sent` events.
    pub fn delivered(sent: usize, warning: Option<Cause>) -> Self {
        Self {
            judgement: Judgement::all(sent, Outcome::Delivered { warning }),
            endpoint: EndpointState::Healthy,
            confirm: None,
        }
    }

    /// No answer came at all: what became of the `sent` events is unknown, or they never left. `misconfigured` where a person has to
    /// act before it can be otherwise (a certificate that is not trusted, an address that may not be reached).
    pub fn unreachable(cause: Cause, misconfigured: bool, sent: usize) -> Self {
        let (outcome, endpoint) = if misconfigured {
            (Outcome::Held(cause.clone()), EndpointState::Misconfigured(cause))
        } else {
            (Outcome::Retry(cause), EndpointState::Backoff { after: None })
        };
        Self { judgement: Judgement::all(sent, outcome), endpoint, confirm: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_a_warning_unless_all_are_alike() {
        let cause = Cause::new("x_refused", "too old");
        let counted = |delivered, refused| Judgement::Counted { delivered, refused, cause: cause.clone() }.by_item();
        assert_eq!(counted(3, 0), Judgement::all(3, Outcome::Delivered { warning: None }));
        assert_eq!(counted(0, 3), Judgement::all(3, Outcome::Rejected(cause.clone())));
        let Judgement::Items(runs) = counted(2, 1) else { panic!("runs") };
        let [Run { len: 3, outcome: Outcome::Delivered { warning: Some(warning) } }] = runs.as_slice() else {
            panic!("{runs:?}")
        };
        assert_eq!(warning.code, "x_refused");
        assert_eq!(warning.message, "1 of 3 events were refused, and the answer does not say which: too old");
    }
}
