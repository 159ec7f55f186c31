//! How a batch becomes a request, and what a reply means: the seam between what is each platform's own and what is shared.
//!
//! A [`Destination`] is pure: given the same batch it makes the same bytes, given the same reply it reaches the same [`Verdict`].

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use toktra_siem_core::cause::Cause;
pub use toktra_siem_core::destination::*;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;

use crate::search::{Lookup, Sighting};

/// What a batch may hold at most. Sizes are of the encoded body before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events in one request.
    pub events: usize,
    /// Encoded bytes of one request, envelope included.
    pub bytes: usize,
    /// Bytes of the request that are there whatever the batch (brackets, say); counted once beside the events' [`Destination::cost`].
    pub overhead: usize,
}

/// When a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// At once, whatever is there.
    Live,
    /// Once `age` has passed since the acceptance of its first event, or the batch is full: for endpoints to which each request costs.
    Linger {
        /// The longest wait for company.
        age: Duration,
    },
    /// In closed windows of acceptance time, one request in flight, each window until it is `max_age` old.
    Windowed {
        /// The length of a window; windows start at its multiples since the epoch.
        window: Duration,
        /// Counted from the window's start; an older window is `expired`.
        max_age: Duration,
    },
}

/// What one request is to carry.
#[derive(Debug, Clone, Copy)]
pub enum Batch<'a> {
    /// Events, in the order of their sequence. Never empty.
    Events(&'a [Arc<StoredEvent>]),
    /// A closed window of metrics. Not the events themselves: a busy window would not fit into memory.
    Window {
        /// The start of the window, which is the time of its points.
        start: Timestamp,
        /// What happened in it.
        tally: &'a Tally,
    },
}

impl Batch<'_> {
    /// How many events a verdict on this batch speaks of. A window is judged as one.
    pub fn items(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Window { .. } => 1,
        }
    }
}

/// A batch made into a request.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `None` where every event was omitted.
    pub request: Option<OutboundRequest>,
    /// Events that are not in it, by ascending position. The verdict's runs cover the others only.
    pub omitted: Vec<Omitted>,
}

/// Our own failure to make a request: never counted as the receiver's.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The stream was given a kind of batch that it does not take.
    #[error("this stream takes {expected}")]
    WrongBatch {
        /// What it takes.
        expected: &'static str,
    },
    /// Compression failed (out of memory, in practice).
    #[error("the body could not be compressed: {0}")]
    Compression(#[from] std::io::Error),
}

/// The next step of preparing an endpoint.
#[derive(Debug, Clone)]
pub enum SetupStep {
    /// Send this, and ask again with its reply appended.
    Send(OutboundRequest),
    /// Nothing more to do.
    Done {
        /// It could not be prepared, but deliveries may go on.
        warning: Option<Cause>,
        /// What was fetched for the requests to come; they cannot go without it where a destination fetches something.
        grant: Option<Grant>,
    },
    /// Deliveries must wait; try the whole set-up again later.
    Hold(Cause),
}

impl SetupStep {
    /// There is nothing to do.
    pub fn done() -> Self {
        Self::Done { warning: None, grant: None }
    }
}

/// What a destination fetched before its first request: a token, in the form in which it is used.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What was fetched.
    pub secret: SecretString,
    /// From when on it has to be fetched anew; `None` where it does not run out by itself.
    pub until: Option<Timestamp>,
}

impl Grant {
    /// Whether it can be used at `now`.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What is put in place on request.
#[derive(Debug, Clone)]
pub struct OnRequest {
    /// Its name there.
    pub name: String,
    /// The next step towards it.
    pub step: SetupStep,
}

/// A request that is signed, as far as a destination may still add to it.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub url: &'a str,
    /// All headers but those that HTTP itself needs.
    pub headers: &'a mut Vec<Header>,
    /// The bytes that are signed and sent.
    pub body: &'a [u8],
}

/// What a platform says of what it had taken in.
#[derive(Debug, Clone, Default)]
pub struct Confirmed {
    /// These it has for good.
    pub receipts: Vec<Receipt>,
    /// No confirmation will ever come (it was switched off there): what waits counts as accepted, unconfirmed, with this cause.
    pub never: Option<Cause>,
}

/// Pure. How a batch becomes a request, and what a reply means. Signing, sending, retrying, redaction and
/// history are shared.
pub trait Destination: Send + Sync {
    /// What one request may hold.
    fn limits(&self) -> BatchLimits;

    /// The exact number of bytes that `event` adds to a request's body, before compression; used before a batch is pinned. With
    /// [`BatchLimits::overhead`] once, the sum over a batch is the exact length of its body. Zero for an event that
    /// [`Self::encode`] would omit, and for every event of a stream that sends windows.
    fn cost(&self, event: &StoredEvent) -> usize;

    /// Whether batches go at once or in windows.
    fn pacing(&self) -> Pacing {
        Pacing::Live
    }

    /// Makes the request. Event JSON is spliced in as stored, never parsed and printed again.
    fn encode(&self, batch: Batch<'_>, now: Timestamp) -> Result<Encoded, EncodeError>;

    /// What the reply means for the `sent` events that were in the request. Total: any status and any bytes give a verdict.
    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict;

    /// What must be in place before the first delivery, step by step; `seen` are the replies so far. Where it ends with a [`Grant`], that is
    /// handed to [`Self::finish`] until it runs out, and then it is asked again.
    fn setup(&self, _seen: &[Reply], _now: Timestamp) -> SetupStep {
        SetupStep::done()
    }

    /// What a person has put in place by a button, step by step, whatever the settings say of doing it unasked; with its name. `None` where
    /// there is nothing.
    fn setup_on_request(&self, _seen: &[Reply]) -> Option<OnRequest> {
        None
    }

    /// The last hand on a request whose bytes are signed: headers may be added (a token that was fetched, a signature over the headers), the
    /// bytes are what they are.
    fn finish(&self, _sealed: Sealed<'_>, _grant: Option<&Grant>, _now: Timestamp) {}

    /// Whether a reply says that the grant is not good any more. It is fetched anew then and the request made once more; where the new one
    /// is refused as well, the verdict stands.
    fn refuses_grant(&self, _reply: &Reply) -> bool {
        false
    }

    /// The request that asks for confirmation of `receipts`, where the platform has such a thing.
    fn confirm(&self, _receipts: &[Receipt]) -> Option<OutboundRequest> {
        None
    }

    /// What a reply to [`Self::confirm`] says.
    fn confirmed(&self, _reply: &Reply, _receipts: &[Receipt]) -> Confirmed {
        Confirmed::default()
    }

    /// What is said where no confirmation came: in time (`shortly` is false), or while somebody waited for a test (it is true).
    fn unconfirmed(&self, shortly: bool) -> Cause {
        let message = if shortly {
            "The platform accepted the event, but has not confirmed yet that it is kept. Find it with the search given here."
        } else {
            "The platform accepted the events but did not confirm in time that they are kept."
        };
        Cause::new("unconfirmed", message)
    }

    /// How an event is looked for that the platform has taken; only tests do.
    fn look_for(&self, _event: EventId, _event_time: Timestamp) -> Lookup {
        Lookup::Never
    }

    /// What a reply to the request of [`Self::look_for`] says.
    fn seen(&self, _reply: &Reply) -> Sighting {
        Sighting::NotYet
    }

    /// What to look at if an event that was accepted is not found in time; whole sentences.
    fn not_found(&self) -> String {
        String::new()
    }

    /// Why a window older than [`Pacing::Windowed`] allows is given up.
    fn too_late(&self) -> Cause {
        Cause::new("window_too_late", "The platform does not take counts of this age any more; they are dropped.")
    }
}
