//! A dispatcher in small: takes events off the log as the filter says, and settles deliveries by [`step`], as the real one does.

use bytes::Bytes;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::Window;
use toktra_siem_core::delivery::{Attempt, Delivery, Input, Parked, Policy, Trigger, step};
use toktra_siem_core::destination::reply::Redactor;
use toktra_siem_core::destination::{
    EndpointState, HeaderText, Judgement, Method, OutboundRequest, Outcome, Reply, Run, Tally, Verdict,
};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::exchange::{Headers, SentRequest};
use toktra_siem_core::ids::{DeliveryId, Revision, Seq, StreamId, StreamKind};
use toktra_siem_core::job::{Job, JobKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::signing::{SignedRequest, SigningKeys};
use uuid::Uuid;

use super::World;
use crate::{BacklogRange, JobStep, Lease, Open, Passed, ReadLimit, Result, Settlement, StreamRecord, Taken};

/// A stream, owned.
pub struct Flow<'a> {
    /// Where it is.
    pub world: &'a World,
    /// The stream.
    pub stream: StreamId,
    /// The right to write for it.
    pub lease: Lease,
}

impl<'a> Flow<'a> {
    /// Takes the stream over.
    pub async fn take_over(world: &'a World, stream: StreamId) -> Self {
        let (lease, record) = world.owner.take_over(&*world.store, stream).await.unwrap();
        assert_eq!(record, world.store.stream(stream).await.unwrap());
        Self { world, stream, lease }
    }

    /// The same owner, once it has heard of a save.
    pub async fn renewed(self) -> Self {
        let (lease, _) = self.world.owner.newest(&*self.world.store, self.stream).await.unwrap();
        Self { lease, ..self }
    }

    /// The stream as it stands, checked.
    pub async fn record(&self) -> StreamRecord {
        self.world.checked(self.stream).await
    }

    /// The newest filter revision.
    pub async fn revision(&self) -> Revision {
        self.world.store.timeline(self.stream.connector).await.unwrap().revision().unwrap()
    }

    /// The events after `from` up to `to` that the filter takes, how many it passes by, and how many cannot be read; for a window, the
    /// sequences of all that can.
    pub async fn select(&self, from: Seq, to: Seq) -> (Vec<StoredEvent>, Passed, Members) {
        let record = self.world.store.stream(self.stream).await.unwrap();
        let timeline = self.world.store.timeline(self.stream.connector).await.unwrap();
        let limit = ReadLimit { events: usize::MAX, bytes: usize::MAX };
        let (mut taken, mut passed, mut read) = (Vec::new(), Passed::default(), Vec::new());
        for event in self.world.store.read(record.org, from, limit).await.unwrap() {
            if event.seq > to {
                break;
            }
            read.push(event.seq);
            match timeline.at(event.seq).unwrap().refuses(self.stream.kind, event.event_type, event.severity) {
                Some(_) => passed.filtered += 1,
                None => taken.push(StoredEvent::clone(&event)),
            }
        }
        passed.expired = from.until(to) - read.len() as u64;
        (taken, passed, Members::from_ascending(read))
    }

    /// A live move up to `to` as it should be: one delivery of what the filter takes (for metrics a window that starts now).
    pub async fn prepare(&self, to: Seq) -> Open {
        let from = self.world.store.stream(self.stream).await.unwrap().cursor;
        let (events, passed, read) = self.select(from, to).await;
        let deliveries = self.batch(Trigger::Live, read, &events);
        Open { deliveries, taken: Taken::Live { from, to, passed, revision: self.revision().await }, job: None }
    }

    fn batch(&self, trigger: Trigger, read: Members, events: &[StoredEvent]) -> Vec<Delivery> {
        if events.is_empty() {
            return vec![];
        }
        if self.stream.kind == StreamKind::Metrics {
            let mut tally = Tally::default();
            for event in events {
                tally.add(event.event_type, event.severity);
            }
            let window = Some(Window { start: self.world.now(), tally });
            return vec![Delivery { window, ..self.world.delivery(self.stream, trigger, read) }];
        }
        let members = Members::from_ascending(events.iter().map(|event| event.seq));
        vec![self.world.delivery(self.stream, trigger, members)]
    }

    /// Takes everything up to `to` into one delivery.
    pub async fn open_to(&self, to: u64) -> Option<Delivery> {
        let open = self.prepare(Seq(to)).await;
        self.open(open.clone()).await.unwrap();
        self.record().await;
        open.deliveries.into_iter().next()
    }

    /// Takes everything up to the head into one delivery, which there must be.
    pub async fn open_all(&self) -> Delivery {
        let head = self.world.store.stream(self.stream).await.unwrap().head;
        self.open_to(head.0).await.unwrap()
    }

    /// Takes events out of a backlog range.
    pub async fn open_range(&self, range: &BacklogRange, to: Seq) -> Option<Delivery> {
        let (events, passed, read) = self.select(range.cursor, to).await;
        let deliveries = self.batch(range.trigger, read, &events);
        let delivery = deliveries.first().cloned();
        let taken = Taken::Range { id: range.id, from: range.cursor, to, passed };
        self.open(Open { deliveries, taken, job: None }).await.unwrap();
        self.record().await;
        delivery
    }

    /// Takes parked events into a delivery of their own.
    pub async fn open_parked(&self, members: Members) -> Delivery {
        let delivery = self.world.delivery(self.stream, Trigger::Recovery, members.clone());
        let open = Open { deliveries: vec![delivery.clone()], taken: Taken::Parked(members), job: None };
        self.open(open).await.unwrap();
        self.record().await;
        delivery
    }

    /// Takes the job's next events up to `to` into deliveries: what is parked, and what came to its end before.
    pub async fn work(&self, job: &Job, to: Seq) -> (Vec<Delivery>, Open) {
        let all = Members::from_ascending((job.cursor.0 + 1..=to.0).map(Seq));
        let found = self.world.store.place(self.stream, &all).await.unwrap();
        let meant = if job.kind == JobKind::RedeliverFailed { found.parked.clone() } else { all };
        let living = self.world.store.read_members(self.world.org, &meant).await.unwrap();
        let living: Vec<_> = living
            .iter()
            .filter(|event| job.filter.refuses(event.event_type, event.severity).is_none())
            .map(|event| event.seq)
            .collect();
        let (mut parked, mut beside, mut passed) = (Vec::new(), Vec::new(), 0);
        for seq in living {
            match (found.parked.contains(seq), found.under_way.contains(seq)) {
                (true, _) => parked.push(seq),
                (false, true) => passed += 1,
                (false, false) => beside.push(seq),
            }
        }
        let parked = Members::from_ascending(parked);
        let mut deliveries = Vec::new();
        if !parked.is_empty() {
            let delivery = self.world.delivery(self.stream, Trigger::Redelivery, parked.clone());
            deliveries.push(Delivery { accounted: true, job: Some(job.id), ..delivery });
        }
        if !beside.is_empty() {
            let members = Members::from_ascending(beside);
            let delivery = self.world.delivery(self.stream, job.kind.trigger(), members);
            deliveries.push(Delivery { job: Some(job.id), ..delivery });
        }
        let taken = if parked.is_empty() { Taken::Beside } else { Taken::Parked(parked) };
        let step = JobStep { id: job.id, from: job.cursor, to, passed };
        (deliveries.clone(), Open { deliveries, taken, job: Some(step) })
    }

    /// Opens as given.
    pub async fn open(&self, open: Open) -> Result<()> {
        self.world.store.open(&self.lease, open).await
    }

    /// What settling `delivery` with `outcomes` (in runs) means.
    pub fn judge(&self, delivery: &Delivery, outcomes: Vec<(usize, Outcome)>) -> Settlement {
        let items = outcomes.into_iter().map(|(len, outcome)| Run { len, outcome }).collect();
        self.verdict(delivery, Judgement::Items(items))
    }

    /// What settling `delivery` with this verdict means.
    pub fn verdict(&self, delivery: &Delivery, judgement: Judgement) -> Settlement {
        let now = self.world.now();
        let verdict = Verdict { judgement, endpoint: EndpointState::Healthy, confirm: None };
        let attempt = Attempt {
            number: delivery.attempts + 1,
            at: now,
            duration_ms: 3,
            http_status: Some(200),
            excerpt: Some("{}".into()),
            cause: None,
            request: None,
            response_headers: None,
        };
        let input = Input::Judged { verdict, omitted: vec![] };
        self.settlement(delivery, input, Some(attempt))
    }

    /// The settlement that [`step`] asks for.
    pub fn settlement(&self, delivery: &Delivery, input: Input, attempt: Option<Attempt>) -> Settlement {
        let now = self.world.now();
        let step = step(delivery, input, now, &Policy::default());
        let children = step.children.into_iter().map(|child| {
            let new = self.world.delivery(self.stream, delivery.trigger, child.members);
            let due_at = Some(now.plus(child.pause));
            Delivery { parent: Some(delivery.id), job: delivery.job, accounted: delivery.accounted, due_at, ..new }
        });
        let mut parked = Vec::new();
        for parking in &step.parked {
            let seqs: Vec<Seq> = match delivery.window {
                Some(_) => parking.members.first().into_iter().collect(),
                None => parking.members.iter().collect(),
            };
            let events = if delivery.window.is_some() { delivery.events() } else { 1 };
            parked.extend(seqs.into_iter().map(|seq| Parked {
                seq,
                events,
                kind: parking.kind,
                cause: parking.cause.clone(),
                delivery: delivery.id,
                since: now,
            }));
        }
        Settlement {
            expected_attempts: delivery.attempts,
            attempt,
            children: children.collect(),
            parked,
            arrived: step.arrived,
            counts: step.counts,
            breaker: None,
            held: vec![],
            delivery: step.delivery,
        }
    }

    /// Settles as given.
    pub async fn settle(&self, settlement: Settlement) -> Result<()> {
        self.world.store.settle(&self.lease, settlement).await
    }

    /// Settles `delivery` with these outcomes; the delivery afterwards and its children.
    pub async fn end(&self, delivery: &Delivery, outcomes: Vec<(usize, Outcome)>) -> (Delivery, Vec<Delivery>) {
        let settlement = self.judge(delivery, outcomes);
        self.settle(settlement.clone()).await.unwrap();
        self.record().await;
        (settlement.delivery, settlement.children)
    }

    /// Everything in `delivery` arrives.
    pub async fn deliver(&self, delivery: &Delivery) -> Delivery {
        self.end(delivery, vec![(delivery.items(), delivered())]).await.0
    }

    /// Everything in `delivery` is refused for good.
    pub async fn reject(&self, delivery: &Delivery) -> Delivery {
        self.end(delivery, vec![(delivery.items(), rejected())]).await.0
    }

    /// `delivery` fails after its three attempts; what is left of it is parked.
    pub async fn fail(&self, delivery: &Delivery) -> Delivery {
        let mut delivery = delivery.clone();
        while delivery.settled_at.is_none() {
            let items = delivery.items();
            delivery = self.end(&delivery, vec![(items, retry())]).await.0;
        }
        delivery
    }
}

/// What was sent and answered, around the bodies.
pub fn exchanged(attempt: Attempt) -> Attempt {
    let plain = |text: &'static str| HeaderText::Plain(text.into());
    let request = OutboundRequest {
        method: Method::Post,
        url: "https://siem.example/in".into(),
        secret_url: false,
        headers: vec![("content-type".into(), plain("application/json")), ("x-empty".into(), plain(""))],
        body: Bytes::new(),
    };
    let signed = SignedRequest::seal(request, &SigningKeys::default(), DeliveryId(Uuid::nil()), attempt.at);
    let header = |name: &str, value: &'static str| (name.to_owned(), Bytes::from_static(value.as_bytes()));
    let headers = vec![header("via", "1.1 “proxy”"), header("via", "a"), header("date", "now")];
    let reply = Reply { headers, ..Reply::default() };
    Attempt {
        request: Some(SentRequest::of(&signed)),
        response_headers: Some(Headers::of(&reply, &Redactor::default())),
        ..attempt
    }
}

/// The platform has it.
pub fn delivered() -> Outcome {
    Outcome::Delivered { warning: None }
}

/// The platform will never take it.
pub fn rejected() -> Outcome {
    Outcome::Rejected(Cause::new("poison", "It is poison."))
}

/// The platform may take it later.
pub fn retry() -> Outcome {
    Outcome::Retry(Cause::new("down", "It is down."))
}
