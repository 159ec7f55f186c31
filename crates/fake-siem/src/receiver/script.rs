//! How a test makes a receiver misbehave: behaviours for the next requests, gates that the test opens, lasting modes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

use super::reply::Reply;

/// What a receiver does with one request. `F` holds the partial failures that only this platform knows.
///
/// Three independent parts: what is decided (strict rules, strict rules with a fault, a fixed reply, nothing), when
/// (gates before the decision and before the answer), and how the answer travels ([`Delivery`]).
#[derive(Debug, Clone)]
pub struct Behaviour<F> {
    pub(super) decision: Decision<F>,
    pub(super) before: Option<Gate>,
    pub(super) held: Option<Gate>,
    pub(super) delivery: Delivery,
}

#[derive(Debug, Clone)]
pub(super) enum Decision<F> {
    Strict,
    Faulty(F),
    Fixed(Reply),
    Nothing,
    /// Stop reading after this many bytes of the request's body.
    Unread(usize),
}

/// How an answer travels back to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Head and body, as quickly as possible.
    Whole,
    /// The head at once, then one byte of the body after each pause.
    Drip {
        /// The time before each byte.
        pause: Duration,
    },
    /// The head and half of the body, then a TCP reset.
    ResetMidBody,
    /// The head alone (with a `content-length` that promises more), then a TCP reset.
    ResetAfterHead,
    /// The connection is closed in an orderly way without any answer.
    CloseUnanswered,
    /// No answer, and the connection stays open.
    Never,
}

impl<F> Behaviour<F> {
    fn of(decision: Decision<F>) -> Self {
        Self { decision, before: None, held: None, delivery: Delivery::Whole }
    }

    /// The platform's own rules: what a healthy receiver does.
    pub fn strict() -> Self {
        Self::of(Decision::Strict)
    }

    /// The platform's own rules with one of its partial failures laid over them.
    pub fn fault(fault: F) -> Self {
        Self::of(Decision::Faulty(fault))
    }

    /// A fixed reply; nothing is accepted.
    pub fn reply(reply: Reply) -> Self {
        Self::of(Decision::Fixed(reply))
    }

    /// Reads the request, accepts nothing, and closes the connection without an answer.
    pub fn close() -> Self {
        Self::of(Decision::Nothing).delivered(Delivery::CloseUnanswered)
    }

    /// Reads the request, accepts nothing, and never answers.
    pub fn never() -> Self {
        Self::of(Decision::Nothing).delivered(Delivery::Never)
    }

    /// Resets the connection once at least `bytes` of the request's body have arrived; nothing is accepted.
    pub fn reset_while_reading(bytes: usize) -> Self {
        Self::of(Decision::Unread(bytes))
    }

    /// Waits for the gate before anything is decided: what stands in the request is accepted only afterwards.
    #[must_use]
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.before = Some(gate.clone());
        self
    }

    /// Decides at once and holds only the answer back until the gate opens: accepted, but the sender cannot know.
    #[must_use]
    pub fn answer_held(mut self, gate: &Gate) -> Self {
        self.held = Some(gate.clone());
        self
    }

    /// The same decision, with its answer travelling in another way.
    #[must_use]
    pub fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }
}

/// A barrier that requests wait at until the test opens it. Clones are the same gate; once open it stays open.
#[derive(Debug, Clone)]
pub struct Gate {
    state: Arc<watch::Sender<GateState>>,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    arrived: usize,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(GateState::default())) }
    }

    /// Lets through everything that waits and everything that comes later.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Waits until at least `requests` have come to the gate since it was made.
    pub async fn arrived(&self, requests: usize) {
        self.wait(|state| state.arrived >= requests).await;
    }

    pub(super) async fn pass(&self) {
        self.state.send_modify(|state| state.arrived += 1);
        self.wait(|state| state.open).await;
    }

    async fn wait(&self, condition: impl FnMut(&GateState) -> bool) {
        let mut changes = self.state.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = changes.wait_for(condition).await;
    }
}

/// The behaviours that are still to come, by endpoint.
#[derive(Debug)]
pub(super) struct Scripts<E, F> {
    queues: Mutex<HashMap<E, Queue<F>>>,
}

#[derive(Debug)]
struct Queue<F> {
    next: VecDeque<Behaviour<F>>,
    always: Option<Behaviour<F>>,
}

impl<F> Default for Queue<F> {
    fn default() -> Self {
        Self { next: VecDeque::new(), always: None }
    }
}

impl<E: Eq + Hash, F: Clone> Scripts<E, F> {
    pub(super) fn new() -> Self {
        Self { queues: Mutex::new(HashMap::new()) }
    }

    pub(super) fn append(&self, endpoint: E, behaviours: impl IntoIterator<Item = Behaviour<F>>) {
        self.queues.lock().entry(endpoint).or_default().next.extend(behaviours);
    }

    pub(super) fn always(&self, endpoint: E, behaviour: Behaviour<F>) {
        self.queues.lock().entry(endpoint).or_default().always = Some(behaviour);
    }

    pub(super) fn clear(&self) {
        self.queues.lock().clear();
    }

    /// The behaviour for a request that has just arrived: queued ones first, then the lasting one, then the rules.
    pub(super) fn take(&self, endpoint: &E) -> Behaviour<F> {
        let mut queues = self.queues.lock();
        let Some(queue) = queues.get_mut(endpoint) else { return Behaviour::strict() };
        queue.next.pop_front().or_else(|| queue.always.clone()).unwrap_or_else(Behaviour::strict)
    }

    pub(super) fn waiting(&self, endpoint: &E) -> usize {
        self.queues.lock().get(endpoint).map_or(0, |queue| queue.next.len())
    }
}
