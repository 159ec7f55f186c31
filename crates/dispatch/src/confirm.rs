//! Indexer acknowledgement: asking, in one request for many deliveries, whether what was accepted is indexed by now.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, Input};
use toktra_siem_platform::destination::{Confirmed, Receipt, Reply};

use super::Context;
use super::link::{SendLimits, Unreached};
use super::settle::Learnt;
use super::worker::{Worker, WorkerError};

/// The first query comes this long after the acceptance; the pauses then double up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// References asked for in one query.
const REFS_PER_QUERY: usize = 1_000;

/// An answered query.
pub(super) struct Answer {
    refs: Vec<Receipt>,
    /// `None` where there is nobody to ask.
    reply: Option<Result<Reply, Unreached>>,
}

/// Deliveries that were accepted and are not confirmed yet.
#[derive(Default)]
pub(super) struct Confirming {
    deliveries: Vec<(Delivery, Instant)>,
    next: Option<Instant>,
    pause: Duration,
    query: Option<JoinHandle<Answer>>,
}

impl Confirming {
    /// Follows `delivery` from now on.
    pub(super) fn add(&mut self, delivery: Delivery, ctx: &Context) {
        let waited = delivery.awaiting.as_ref().map_or(Duration::ZERO, |a| ctx.clock.now().since(a.since));
        let gives_up = Instant::now() + ctx.timing.acknowledgement.saturating_sub(waited);
        self.deliveries.push((delivery, gives_up));
        self.pause = FIRST_PAUSE;
        let soon = Instant::now() + FIRST_PAUSE;
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    /// When the next query is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.query.is_some() { None } else { self.next }
    }

    /// Waits for the query under way; forever where there is none.
    pub(super) async fn answered(&mut self) -> Option<Answer> {
        match &mut self.query {
            Some(query) => {
                let answer = query.await.ok();
                self.query = None;
                answer
            }
            None => std::future::pending().await,
        }
    }

    fn refs(&self) -> Vec<Receipt> {
        self.deliveries
            .iter()
            .filter_map(|(d, _)| d.awaiting.as_ref())
            .take(REFS_PER_QUERY)
            .map(|a| a.reference.clone())
            .collect()
    }

    /// Takes out what `confirmed` names, and what has waited too long; everything where it is in `vain` to go on asking.
    fn take(&mut self, confirmed: &[Receipt], vain: bool, now: Instant) -> Vec<(Delivery, bool)> {
        let (mut out, mut kept) = (Vec::new(), Vec::new());
        for (delivery, gives_up) in self.deliveries.drain(..) {
            let is_confirmed = delivery.awaiting.as_ref().is_some_and(|a| confirmed.contains(&a.reference));
            if is_confirmed || vain || gives_up <= now {
                out.push((delivery, is_confirmed));
            } else {
                kept.push((delivery, gives_up));
            }
        }
        self.deliveries = kept;
        out
    }
}

impl Worker {
    /// Asks where it is time.
    pub(super) fn poll_confirmations(&mut self) {
        let due = self.confirming.next_due().is_some_and(|due| due <= Instant::now());
        let refs = self.confirming.refs();
        if !due || refs.is_empty() {
            return;
        }
        self.confirming.next = None;
        let (ctx, link): (Arc<Context>, _) = (self.ctx.clone(), self.link.clone());
        self.confirming.query = Some(tokio::spawn(async move {
            let limits = SendLimits::within(ctx.timing.request);
            let reply = match link.destination.confirm(&refs) {
                Some(request) => Some(link.ask(&request, &*ctx.clock, &*ctx.random, limits).await),
                None => None,
            };
            Answer { refs, reply }
        }));
    }

    /// Settles what is confirmed, and what never will be.
    pub(super) async fn confirmed(&mut self, answer: Option<Answer>) -> Result<(), WorkerError> {
        let now = Instant::now();
        let (confirmed, never) = match answer {
            Some(Answer { refs, reply: Some(Ok(reply)) }) => {
                let Confirmed { receipts, never } = self.link.destination.confirmed(&reply, &refs);
                (receipts, never)
            }
            Some(Answer { reply: None, .. }) => (Vec::new(), Some(nobody_to_ask())),
            _ => (Vec::new(), None),
        };
        for (delivery, is_confirmed) in self.confirming.take(&confirmed, never.is_some(), now) {
            let cause = || never.clone().unwrap_or_else(|| self.link.destination.unconfirmed(false));
            let input = if is_confirmed { Input::Confirmed } else { Input::Unconfirmed(cause()) };
            let step = self.decide(&delivery, input);
            self.settle(&delivery, step, Learnt::default(), 0, now).await?;
        }
        let jittered = self.confirming.pause.mul_f64(0.5 + 0.5 * self.ctx.random.jitter());
        self.confirming.next = (!self.confirming.deliveries.is_empty()).then(|| now + jittered);
        self.confirming.pause = (self.confirming.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn nobody_to_ask() -> Cause {
    Cause::new(
        "ack_switched_off",
        "The platform accepted the events; whether they are indexed is not asked any more, since acknowledgement was switched off for this \
         connector.",
    )
}
