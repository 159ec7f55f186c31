//! A SIEM without a network: the strict fake of its platform, in a mood. It counts what it took without the sender hearing of it, since
//! that is all that may arrive twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::destination::{HeaderText, Reply};
use toktra_siem_core::signing::SignedRequest;
use toktra_siem_dispatch::link::{SendLimits, Sender, Sent, Unreached};
use toktra_siem_fake::elasticsearch::{
    Elasticsearch, ElasticsearchOptions, ElasticsearchRules, Fault as BulkFault, Flavour, ItemFault, Items,
};
use toktra_siem_fake::splunk::{self, Splunk, SplunkOptions, SplunkRules};
use toktra_siem_fake::webhook::{Login, Shape, Webhook, WebhookOptions, WebhookRules};
use toktra_siem_fake::{InMemory, Log, Reply as FakeReply};

use super::plan::{Dice, Mood};

/// What it is.
pub(super) enum Kind {
    Splunk(InMemory<SplunkRules>),
    Elasticsearch(InMemory<ElasticsearchRules>),
    Webhook(InMemory<WebhookRules>),
}

/// The credential of all.
pub(super) const TOKEN: &str = "the-token-of-the-simulation";
/// What all requests are signed with.
pub(super) const SECRET: &str = "the-secret-of-the-simulation";

/// One SIEM.
pub(super) struct Siem {
    kind: Kind,
    mood: Mutex<Mood>,
    dice: Dice,
    /// Events that it took in requests whose answer did not come back.
    unheard: AtomicU64,
}

/// Events that were taken and not answered yet: whatever ends the request before its answer, the sender does not know of them.
struct Taken<'s>(&'s Siem, u64);

impl Taken<'_> {
    /// The answer got back.
    fn heard(mut self) {
        self.1 = 0;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.unheard.fetch_add(self.1, Ordering::Relaxed);
    }
}

impl Siem {
    pub(super) fn new(number: usize, seed: u64) -> Self {
        let kind = match number % 3 {
            0 => Kind::Splunk(Splunk::in_memory(SplunkOptions::new(TOKEN))),
            1 => Kind::Elasticsearch(Elasticsearch::in_memory(ElasticsearchOptions::new(Flavour::Elasticsearch))),
            _ => Kind::Webhook(Webhook::in_memory(WebhookOptions {
                login: Login::None,
                shape: Shape::Array,
                secret: Some(SECRET.to_owned()),
                ..WebhookOptions::default()
            })),
        };
        Self { kind, mood: Mutex::new(Mood::Well), dice: Dice::new(seed), unheard: AtomicU64::new(0) }
    }

    pub(super) fn becomes(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Events that may have come twice, since the first time was not heard of.
    pub(super) fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        match &self.kind {
            Kind::Splunk(fake) => fake.read(look),
            Kind::Elasticsearch(fake) => fake.read(look),
            Kind::Webhook(fake) => fake.read(look),
        }
    }

    fn taken(&self) -> u64 {
        self.read(|log| log.counts.events)
    }

    /// By the platform's rules; of a request's events only the first few where `some` says so.
    fn receive(&self, request: &SignedRequest, some: bool) -> Reply {
        let few = self.dice.index(3);
        let events = request.body.split(|byte| *byte == b'\n').count() - 1;
        answer(match &self.kind {
            // Splunk names the event at which it stopped: one that has taken all is not busy.
            Kind::Splunk(_) if some && events <= few => return busy(),
            Kind::Splunk(fake) => fake.receive(plain(request), some.then_some(&splunk::Fault::BusyAfter(few))),
            Kind::Elasticsearch(fake) => {
                let items = ItemFault::new(Items::At((few..few + 50).collect()), 429);
                fake.receive(plain(request), some.then_some(&BulkFault::Items(vec![items])))
            }
            // One request, one answer: a webhook cannot take a part.
            Kind::Webhook(_) if some => return busy(),
            Kind::Webhook(fake) => fake.receive(plain(request), None),
        })
    }

    async fn in_mood(&self, mood: Mood, request: &SignedRequest) -> Result<Reply, Unreached> {
        let pause = 2 + self.dice.below(60);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let before = self.taken();
        let taken = |reply: Reply| (Taken(self, self.taken() - before), reply);
        match mood {
            Mood::Well | Mood::Halves => {
                let (taken, reply) = taken(self.receive(request, mood == Mood::Halves));
                // The way back.
                tokio::time::sleep(Duration::from_millis(pause)).await;
                taken.heard();
                Ok(reply)
            }
            Mood::Slow(ms) => {
                let (taken, reply) = taken(self.receive(request, false));
                tokio::time::sleep(Duration::from_millis(ms)).await;
                taken.heard();
                Ok(reply)
            }
            Mood::Away => Err(unreached("connection_refused")),
            Mood::Busy => Ok(busy()),
            Mood::Limited(after) => Ok(Reply { status: 429, retry_after: Some(after.to_string()), ..Reply::default() }),
            Mood::Forbidden => Ok(answer(match &self.kind {
                Kind::Splunk(_) => splunk::reply(4),
                Kind::Elasticsearch(_) | Kind::Webhook(_) => FakeReply::empty(403),
            })),
            Mood::Silent => std::future::pending().await,
            Mood::Loses => {
                drop(taken(self.receive(request, false)));
                Err(unreached("connection_reset"))
            }
            Mood::Whims => match self.dice.mood() {
                Mood::Whims => Ok(busy()),
                whim => Box::pin(self.in_mood(whim, request)).await,
            },
        }
    }
}

#[async_trait]
impl Sender for Siem {
    async fn send(&self, request: SignedRequest, limits: SendLimits) -> Sent {
        let mood = *self.mood.lock();
        let answer = tokio::time::timeout(limits.deadline, self.in_mood(mood, &request)).await;
        answer.unwrap_or_else(|_| Err(unreached("network_timeout"))).into()
    }
}

fn unreached(code: &'static str) -> Unreached {
    Unreached { cause: Cause::new(code, "The network of the simulation."), misconfigured: false }
}

fn busy() -> Reply {
    Reply { status: 503, ..Reply::default() }
}

/// As it goes over a wire.
fn plain(request: &SignedRequest) -> Request<Bytes> {
    let mut plain = Request::builder().method("POST").uri(&request.url);
    if matches!(request.method, toktra_siem_core::destination::Method::Get) {
        plain = plain.method("GET");
    }
    if matches!(request.method, toktra_siem_core::destination::Method::Put) {
        plain = plain.method("PUT");
    }
    for (name, value) in &request.headers {
        let value = match value {
            HeaderText::Plain(text) => text.as_ref(),
            HeaderText::Secret(secret) => secret.expose_secret(),
        };
        plain = plain.header(name.as_ref(), value);
    }
    plain.body(request.body.clone()).expect("a request that was signed is one of HTTP")
}

fn answer(reply: FakeReply) -> Reply {
    let header =
        |name| reply.headers.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.to_str().ok().map(str::to_owned));
    Reply {
        status: reply.status.as_u16(),
        retry_after: header(&http::header::RETRY_AFTER),
        content_type: header(&http::header::CONTENT_TYPE),
        headers: reply.headers.iter().map(|(n, v)| (n.to_string(), Bytes::copy_from_slice(v.as_bytes()))).collect(),
        body: reply.body,
        ..Reply::default()
    }
}
