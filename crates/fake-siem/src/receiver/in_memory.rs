//! A receiver without a socket: a simulation carries the requests itself, and decides what becomes of the answers.

use bytes::Bytes;
use http::Request;

use super::recorder::{Log, Recorder};
use super::{Judgement, Received, Recording, Reply, Rules};

/// A platform's rules, and what they took in.
pub struct InMemory<R: Rules> {
    rules: R,
    recorder: Recorder,
}

impl<R: Rules> InMemory<R> {
    pub(crate) fn new(rules: R) -> Self {
        Self { rules, recorder: Recorder::in_memory(Recording::Ids) }
    }

    /// Judges a request. What the platform takes in, it has, whether the sender hears of it or not. `fault` is laid over the rules.
    pub fn receive(&self, request: Request<Bytes>, fault: Option<&R::Fault>) -> Reply {
        let (head, wire) = request.into_parts();
        let received = Received::new(head, wire);
        let order = self.recorder.arrived(&received);
        let Judgement { reply, mut findings } = self.rules.judge(&received, fault);
        for event in &mut findings.accepted {
            event.request = order;
        }
        self.recorder.note(findings, order);
        self.recorder.answered(order, reply.status);
        reply
    }

    /// Looks at the log without copying it.
    pub fn read<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        self.recorder.read(look)
    }
}
