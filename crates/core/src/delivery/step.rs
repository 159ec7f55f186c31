//! The delivery's state machine: what a verdict makes of a pending delivery. `docs/delivery-guarantees.md`, "What an answer means", has the
//! same as a table, with what deviates from the product spec; a test holds the two together.

use std::time::Duration;

use super::{Awaiting, Delivery, ParkKind, SECOND_ATTEMPT_AFTER, Status, THIRD_ATTEMPT_AFTER, Trigger};
use crate::accounting::Counts;
use crate::breaker::{FOR_GOOD, Signal};
use crate::cause::Cause;
use crate::destination::{EndpointState, Judgement, Omitted, Outcome, Run, Verdict};
use crate::members::Members;
use crate::time::Timestamp;

/// The numbers of the retry behaviour. Those of the product spec are the default; only tests use others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Attempts without progress before a delivery fails (product spec: three).
    pub attempts: u32,
    /// The pauses before attempts 2 and 3, from the end of the one before, not jittered.
    pub pauses: [Duration; 2],
    /// What `Retry-After` is cut to.
    pub retry_after_cap: Duration,
    /// From this many events on, a batch that is rejected as one, for one cause, is held instead.
    pub blanket: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 3,
            pauses: [SECOND_ATTEMPT_AFTER, THIRD_ATTEMPT_AFTER],
            retry_after_cap: Duration::from_mins(1),
            blanket: 10,
        }
    }
}

/// What happened to a pending delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An attempt was made and answered, or failed on the way; `omitted` events were not in the request.
    Judged {
        /// What came back, over the events that were sent.
        verdict: Verdict,
        /// Events that could not be encoded, by ascending position in the batch.
        omitted: Vec<Omitted>,
    },
    /// No attempt was made, since no event could be encoded.
    Unsendable {
        /// All of the batch.
        omitted: Vec<Omitted>,
    },
    /// The platform confirmed what it had accepted.
    Confirmed,
    /// The platform never confirmed: accepted, unconfirmed (Splunk's documentation, "About HTTP Event Collector Indexer Acknowledgment").
    Unconfirmed(Cause),
    /// Its events are too old to be accepted by the platform (metrics after an hour).
    Expired(Cause),
}

/// A delivery that goes on with some of the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its events.
    pub members: Members,
    /// How long its first attempt waits.
    pub pause: Duration,
    /// Its events were refused for their own sake, which says nothing of the endpoint: nothing else waits for it.
    pub refused: bool,
}

/// Events that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// Which.
    pub members: Members,
    /// Why they are kept.
    pub kind: ParkKind,
    /// What was wrong.
    pub cause: Cause,
}

/// What `step` decided. `delivery` is the record as it is to be written; the rest are effects that go with it in one transaction,
/// except `signal`, which goes to the stream's breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The record afterwards.
    pub delivery: Delivery,
    /// While it stays pending: how long until the next attempt.
    pub retry_in: Option<Duration>,
    /// It stays pending because its events were refused for their own sake (see [`Child::refused`]).
    pub refused: bool,
    /// Deliveries that go on with the rest; depth first, so the first of them goes first.
    pub children: Vec<Child>,
    /// Events that are kept.
    pub parked: Vec<Parking>,
    /// Formerly parked events that have arrived.
    pub arrived: Members,
    /// How the stream's counts move (zero where the delivery is not accounted).
    pub counts: Counts,
    /// What the breaker is told.
    pub signal: Signal,
}

/// Applies `input` to the pending `delivery`. Total: a settled delivery stays as it is.
pub fn step(delivery: &Delivery, input: Input, now: Timestamp, policy: &Policy) -> Step {
    let mut next = Step {
        delivery: delivery.clone(),
        retry_in: None,
        refused: false,
        children: Vec::new(),
        parked: Vec::new(),
        arrived: Members::default(),
        counts: Counts::default(),
        signal: Signal::Nothing,
    };
    if delivery.status != Status::Pending {
        return next;
    }
    match input {
        Input::Judged { verdict, omitted } => {
            let gone = matches!(verdict.endpoint, EndpointState::Gone(_));
            judged(&mut next, verdict, omitted, now, policy);
            if let (true, Signal::Failed { asked, .. }) = (gone, &mut next.signal) {
                *asked = FOR_GOOD;
            }
        }
        Input::Unsendable { omitted } => unsendable(&mut next, omitted, now, policy),
        Input::Confirmed => settle_delivered(&mut next, None, now),
        Input::Unconfirmed(cause) => settle_delivered(&mut next, Some(cause), now),
        Input::Expired(cause) => expire(&mut next, cause, now),
    }
    if !delivery.accounted {
        // Tests, replays and redeliveries of what was delivered leave every event's outcome, and so what is parked, alone.
        next.parked.clear();
        next.arrived = Members::default();
    }
    next
}

fn unsendable(next: &mut Step, omitted: Vec<Omitted>, now: Timestamp, policy: &Policy) {
    let items = next.delivery.items();
    let runs = if covers(&[], &omitted, items) {
        merge_omitted(Vec::new(), omitted)
    } else {
        // An encoder that made no request and named no reason: kept for a person rather than lost, or tried forever.
        let cause = Cause::new("not_sendable", "the events could not be put into a request; please report this");
        vec![Run { len: items, outcome: Outcome::Rejected(cause) }]
    };
    settle_items(next, &runs, Duration::ZERO, now, policy);
}

fn judged(next: &mut Step, verdict: Verdict, omitted: Vec<Omitted>, now: Timestamp, policy: &Policy) {
    next.delivery.attempts += 1;
    let asked = match verdict.endpoint {
        EndpointState::Backoff { after: Some(after) } => after.min(policy.retry_after_cap),
        _ => Duration::ZERO,
    };
    next.signal = match &verdict.endpoint {
        EndpointState::SlowDown => Signal::SlowDown,
        EndpointState::Backoff { .. } => Signal::Backoff,
        EndpointState::Healthy | EndpointState::Misconfigured(_) | EndpointState::Gone(_) => Signal::Nothing,
    };
    let runs = match verdict.judgement.by_item() {
        Judgement::Items(runs) if covers(&runs, &omitted, next.delivery.items()) => {
            // What a person sends again was refused before, or delivered: that it is refused now says nothing of the endpoint.
            let judged =
                if next.delivery.trigger == Trigger::Redelivery { runs } else { hold_blanket(runs, policy.blanket) };
            merge_omitted(judged, omitted)
        }
        // A verdict that leaves events out would lose them: what became of the batch is unknown, so it is sent again.
        Judgement::Items(_) | Judgement::Counted { .. } => {
            let cause = Cause::new("verdict_mismatch", "the reply could not be matched to the events that were sent");
            vec![Run { len: next.delivery.items(), outcome: Outcome::Retry(cause) }]
        }
        Judgement::Split(cause) if next.delivery.items() <= 1 || next.delivery.window.is_some() => {
            vec![Run { len: next.delivery.items(), outcome: Outcome::Refused(cause) }]
        }
        Judgement::Split(cause) if omitted.is_empty() => return split(next, cause, now),
        // What could not be encoded is rejected first; the rest goes on in a child, which may then be cut in halves itself.
        Judgement::Split(_) => {
            let sent = next.delivery.items() - omitted.len();
            merge_omitted(vec![Run { len: sent, outcome: Outcome::Unread }], omitted)
        }
    };
    if let Some(reference) = verdict.confirm
        && runs.iter().all(|run| matches!(run.outcome, Outcome::Delivered { .. }))
    {
        next.delivery.awaiting = Some(Awaiting { reference, since: now });
        next.delivery.due_at = None;
        if next.signal != Signal::SlowDown {
            next.signal = Signal::Success;
        }
        return;
    }
    if next.delivery.probe
        && let [Run { outcome: Outcome::Rejected(cause) | Outcome::Refused(cause), .. }] = runs.as_slice()
    {
        return hold_probe(next, cause.clone(), now);
    }
    if let Some(Run { outcome: Outcome::Refused(cause), .. }) = runs.first()
        && runs.iter().all(|run| matches!(run.outcome, Outcome::Refused(_)))
    {
        return refused(next, cause.clone(), asked, now, policy);
    }
    if let Some(stuck) = without_progress(&runs) {
        return retry_or_fail(next, stuck, asked, now, policy);
    }
    settle_items(next, &runs, asked, now, policy);
}

/// Whether runs and omissions speak of each of `items` exactly once.
fn covers(runs: &[Run], omitted: &[Omitted], items: usize) -> bool {
    let sent: usize = runs.iter().map(|run| run.len).sum();
    sent + omitted.len() == items
        && runs.iter().all(|run| run.len > 0)
        && omitted.windows(2).all(|pair| pair[0].position < pair[1].position)
        && omitted.last().is_none_or(|last| last.position < items)
}

/// A batch of `blanket` or more, rejected as one for one cause, is held instead: a proxy's blanket 400 must not burn a backlog.
fn hold_blanket(runs: Vec<Run>, blanket: usize) -> Vec<Run> {
    let total: usize = runs.iter().map(|run| run.len).sum();
    let code = |run: &Run| match &run.outcome {
        Outcome::Rejected(cause) | Outcome::Refused(cause) => Some(cause.clone()),
        _ => None,
    };
    let Some(first) = runs.first().and_then(code) else { return runs };
    let alike = |run: &Run| code(run).is_some_and(|cause| cause.code == first.code);
    if total < blanket || !runs.iter().all(alike) {
        return runs;
    }
    vec![Run { len: total, outcome: Outcome::Held(first) }]
}

/// Whether the reply moved nothing, and why: no event came to its end, and none was named as the reason. That includes a reply by which the platform read nothing, which
/// would otherwise be answered at once, for ever.
fn without_progress(runs: &[Run]) -> Option<Stuck> {
    let mut stuck: Option<Stuck> = None;
    for run in runs {
        let (cause, misconfigured) = match &run.outcome {
            Outcome::Retry(cause) => (cause.clone(), false),
            Outcome::Held(cause) => (cause.clone(), true),
            Outcome::Unread => continue,
            Outcome::Rejected(_) | Outcome::Refused(_) | Outcome::Delivered { .. } => return None,
        };
        if stuck.as_ref().is_none_or(|s| misconfigured && !s.misconfigured) {
            stuck = Some(Stuck { cause, misconfigured });
        }
    }
    let nothing_read = || Cause::new("nothing_read", "the platform answered, but read none of the events");
    Some(stuck.unwrap_or_else(|| Stuck { cause: nothing_read(), misconfigured: false }))
}

struct Stuck {
    cause: Cause,
    misconfigured: bool,
}

/// Whether the delivery has another attempt; then it is due after its pause.
fn has_another(next: &mut Step, asked: Duration, now: Timestamp, policy: &Policy) -> bool {
    let once = next.delivery.probe || next.delivery.trigger == Trigger::Test;
    if next.delivery.attempts >= if once { 1 } else { policy.attempts } {
        return false;
    }
    let pause = policy.pauses[(next.delivery.attempts as usize - 1).min(policy.pauses.len() - 1)].max(asked);
    next.retry_in = Some(pause);
    next.delivery.due_at = Some(now.plus(pause));
    true
}

/// The request was refused for the sake of its events alone: three attempts as ever, then the delivery has failed, and only a person sends
/// the events again. Each refusal of a single event is told to the breaker, so that a proxy that refuses everything is found out early.
fn refused(next: &mut Step, cause: Cause, asked: Duration, now: Timestamp, policy: &Policy) {
    next.delivery.cause = Some(cause.clone());
    next.signal = match next.delivery.members.first() {
        Some(seq) if next.delivery.items() == 1 && next.delivery.accounted => {
            Signal::SingleRejected { seq, cause: cause.clone() }
        }
        _ => Signal::Nothing,
    };
    if has_another(next, asked, now, policy) {
        next.refused = true;
        return;
    }
    let events = next.delivery.events();
    next.delivery.rejected = events;
    finish(next, Status::Failed, now);
    next.parked.push(Parking { members: next.delivery.members.clone(), kind: ParkKind::Rejected, cause });
    count(next, |c, n| c.rejected += n, events);
}

impl Step {
    /// The same while the breaker is open: then everything may be refused, and a refusal says nothing of the event. What would wait for
    /// a person waits for recovery.
    #[must_use]
    pub fn held(mut self) -> Self {
        if self.delivery.status == Status::Failed && self.delivery.accounted && self.delivery.rejected > 0 {
            let events = i64::try_from(std::mem::take(&mut self.delivery.rejected)).unwrap_or(i64::MAX);
            self.counts.rejected -= events;
            self.counts.failed += events;
            self.parked.iter_mut().for_each(|parking| parking.kind = ParkKind::Failed);
        }
        self
    }
}

fn retry_or_fail(next: &mut Step, stuck: Stuck, asked: Duration, now: Timestamp, policy: &Policy) {
    let Stuck { cause, misconfigured } = stuck;
    let test = next.delivery.trigger == Trigger::Test;
    next.delivery.cause = Some(cause.clone());
    if has_another(next, asked, now, policy) {
        next.signal = Signal::Backoff;
        return;
    }
    // A person's single try says something to that person; the flow of events is judged by its own deliveries.
    next.signal = if test { Signal::Nothing } else { Signal::Failed { cause: cause.clone(), misconfigured, asked } };
    park_failed(next, cause, now);
}

/// A probe that is refused for good says more of the endpoint than of its event as long as nothing is delivered: the event stays held, and
/// is judged once the breaker is closed.
fn hold_probe(next: &mut Step, cause: Cause, now: Timestamp) {
    next.delivery.cause = Some(cause.clone());
    next.signal = match next.delivery.members.first() {
        Some(seq) => Signal::SingleRejected { seq, cause: cause.clone() },
        None => Signal::Nothing,
    };
    park_failed(next, cause, now);
}

fn park_failed(next: &mut Step, cause: Cause, now: Timestamp) {
    let events = next.delivery.events();
    finish(next, Status::Failed, now);
    next.parked.push(Parking { members: next.delivery.members.clone(), kind: ParkKind::Failed, cause });
    count(next, |c, n| c.failed += n, events);
}

fn split(next: &mut Step, cause: Cause, now: Timestamp) {
    let (items, half) = (next.delivery.items(), next.delivery.items() / 2);
    next.delivery.cause = Some(cause);
    finish(next, Status::Split, now);
    next.children = [(0, half), (half, items)]
        .map(|(from, to)| Child {
            members: next.delivery.members.slice(from, to),
            pause: Duration::ZERO,
            refused: false,
        })
        .into();
}

/// Records the end of each run; what remains goes on in at most three children: what the platform never read, at once unless it `asked`
/// for a pause; what it refused, alone; and what it wants later. The last two after a pause in any case, so that a partial refusal cannot
/// spin.
fn settle_items(next: &mut Step, runs: &[Run], asked: Duration, now: Timestamp, policy: &Policy) {
    let (mut unread, mut refused, mut later, mut arrived) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // Platforms that name the bad event refuse a blanket one after the other, each in a request of its own with others behind it.
    let (mut single_reject, mut rejected_items) = (None, 0);
    let mut at = 0;
    for run in runs {
        let members = next.delivery.slice(at, at + run.len);
        let weight = if next.delivery.window.is_some() { next.delivery.events() } else { run.len as u64 };
        at += run.len;
        match &run.outcome {
            Outcome::Delivered { warning } => {
                next.delivery.delivered += weight;
                if warning.is_some() {
                    next.delivery.cause.clone_from(warning);
                }
                count(next, |c, n| c.delivered += n, weight);
                arrived.extend(members.iter());
            }
            Outcome::Rejected(cause) => {
                next.delivery.rejected += weight;
                next.delivery.cause = Some(cause.clone());
                count(next, |c, n| c.rejected += n, weight);
                // What was never sent says nothing of the endpoint.
                if !cause.is_of_the_store() {
                    rejected_items += run.len;
                    if let (1, true, Some(seq)) = (run.len, next.delivery.accounted, members.first()) {
                        single_reject = Some((seq, cause.clone()));
                    }
                }
                next.parked.push(Parking { members, kind: ParkKind::Rejected, cause: cause.clone() });
            }
            Outcome::Refused(cause) => {
                rejected_items += run.len;
                next.delivery.cause = Some(cause.clone());
                if let (1, true, Some(seq)) = (run.len, next.delivery.accounted, members.first()) {
                    single_reject = Some((seq, cause.clone()));
                }
                refused.extend(members.iter());
            }
            Outcome::Unread => unread.extend(members.iter()),
            Outcome::Retry(cause) | Outcome::Held(cause) => {
                next.delivery.cause = Some(cause.clone());
                later.extend(members.iter());
            }
        }
    }
    next.arrived = Members::from_ascending(arrived);
    let (delivered, rejected) = (next.delivery.delivered, next.delivery.rejected);
    let whole = unread.is_empty() && refused.is_empty() && later.is_empty();
    let status = match (whole, delivered, rejected) {
        (true, _, 0) => Status::Delivered,
        (true, 0, _) => Status::Rejected,
        _ => Status::Partial,
    };
    let pause = asked.max(policy.pauses[0]);
    for (seqs, pause, refused) in [(unread, asked, false), (refused, pause, true), (later, pause, false)] {
        if !seqs.is_empty() {
            next.children.push(Child { members: Members::from_ascending(seqs), pause, refused });
        }
    }
    finish(next, status, now);
    next.signal = match (delivered, single_reject, &next.signal) {
        (1.., _, Signal::SlowDown | Signal::Backoff) => Signal::SlowDown,
        (1.., _, _) => Signal::Success,
        (0, Some((seq, cause)), _) if rejected_items == 1 => Signal::SingleRejected { seq, cause },
        _ => next.signal.clone(),
    };
}

fn settle_delivered(next: &mut Step, warning: Option<Cause>, now: Timestamp) {
    let events = next.delivery.events();
    next.delivery.delivered = events;
    next.delivery.cause = warning;
    next.arrived = next.delivery.members.clone();
    finish(next, Status::Delivered, now);
    count(next, |c, n| c.delivered += n, events);
    next.signal = Signal::Success;
}

fn expire(next: &mut Step, cause: Cause, now: Timestamp) {
    let events = next.delivery.events();
    next.delivery.cause = Some(cause);
    finish(next, Status::Failed, now);
    count(next, |c, n| c.expired += n, events);
}

fn finish(next: &mut Step, status: Status, now: Timestamp) {
    next.delivery.status = status;
    next.delivery.settled_at = Some(now);
    next.delivery.due_at = None;
    next.delivery.awaiting = None;
}

/// Moves `events` from pending to where `place` puts them. Children keep theirs pending.
fn count(next: &mut Step, place: impl Fn(&mut Counts, i64), events: u64) {
    if next.delivery.accounted {
        let n = i64::try_from(events).unwrap_or(i64::MAX);
        next.counts.pending -= n;
        place(&mut next.counts, n);
    }
}

/// Puts what could not be encoded back among the runs, so that they cover the whole batch again.
fn merge_omitted(runs: Vec<Run>, omitted: Vec<Omitted>) -> Vec<Run> {
    if omitted.is_empty() {
        return runs;
    }
    let mut merged: Vec<Run> = Vec::with_capacity(runs.len() + 2 * omitted.len());
    let mut runs = runs.into_iter();
    let mut current: Option<Run> = runs.next();
    let mut position = 0;
    let mut omitted = omitted.into_iter().peekable();
    loop {
        if let Some(out) = omitted.next_if(|o| o.position == position) {
            merged.push(Run { len: 1, outcome: Outcome::Rejected(out.cause) });
            position += 1;
            continue;
        }
        let Some(run) = current.as_mut() else {
            // Positions past the runs: nothing was sent there, so only omitted events can remain.
            match omitted.next() {
                Some(out) => {
                    merged.push(Run { len: 1, outcome: Outcome::Rejected(out.cause) });
                    position += 1;
                    continue;
                }
                None => return merged,
            }
        };
        let until = omitted.peek().map_or(usize::MAX, |o| o.position);
        let take = run.len.min(until - position);
        merged.push(Run { len: take, outcome: run.outcome.clone() });
        position += take;
        run.len -= take;
        if run.len == 0 {
            current = runs.next();
        }
    }
}
