//! What a worker needs to reach its endpoint: settings, credentials and filter as they were last saved.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::destination::reply::Redactor;
use toktra_siem_core::exchange::SentRequest;
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{DeliveryId, OrgId, StreamId};
use toktra_siem_core::signing::{SignedRequest, SigningKeys};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::{Endpoint, Exchange, Failure, SendOptions, Stage, Watch};
use toktra_siem_platform::destination::{Destination, Grant, OutboundRequest, Reply, Sealed, SetupStep};

/// Why no answer came.
#[derive(Debug, Clone)]
pub struct Unreached {
    /// For the history and for people.
    pub cause: Cause,
    /// Whether a person has to act (an untrusted certificate, a forbidden target), rather than the endpoint being down.
    pub misconfigured: bool,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
pub struct SendLimits {
    /// From dialling to the last byte of the answer.
    pub deadline: Duration,
    /// Whether it goes out on a new connection: to find out whether the endpoint is back.
    pub anew: bool,
}

impl SendLimits {
    /// By the deadline, on whichever connection there is.
    pub fn within(deadline: Duration) -> Self {
        Self { deadline, anew: false }
    }
}

/// What came of a request, and how it went.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The answer, whatever its status, or why there is none.
    pub answer: Result<Reply, Unreached>,
    /// The stages that took place; a test delivery shows them.
    pub stages: Vec<Stage>,
    /// The certificate that was refused, if one was.
    pub certificate: Option<Certificate>,
}

impl From<Result<Exchange, Failure>> for Sent {
    fn from(outcome: Result<Exchange, Failure>) -> Self {
        match outcome {
            Ok(exchange) => Self { answer: Ok(exchange.reply), stages: exchange.stages, certificate: None },
            Err(failure) => {
                let unreached = Unreached { cause: failure.cause(), misconfigured: failure.misconfigured() };
                let certificate = failure.certificate().cloned();
                Self { answer: Err(unreached), stages: failure.stages, certificate }
            }
        }
    }
}

impl From<Result<Reply, Unreached>> for Sent {
    fn from(answer: Result<Reply, Unreached>) -> Self {
        Self { answer, stages: Vec::new(), certificate: None }
    }
}

/// Sends signed requests to one endpoint. The transport implements it with sockets, tests and the simulation without.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends `request` and reads the answer, whatever its status.
    async fn send(&self, request: SignedRequest, limits: SendLimits) -> Sent;

    /// The same, and `watch` hears of each stage: at its end, where the sender knows that, else when all is over.
    async fn send_watched(&self, request: SignedRequest, limits: SendLimits, watch: Watch) -> Sent {
        let sent = self.send(request, limits).await;
        for stage in &sent.stages {
            watch(stage);
        }
        sent
    }

    /// Until when the endpoint's certificate is valid, if it has one and showed it.
    fn certificate_until(&self) -> Option<Timestamp> {
        None
    }
}

#[async_trait]
impl Sender for Endpoint {
    fn certificate_until(&self) -> Option<Timestamp> {
        Endpoint::certificate_until(self)
    }

    async fn send(&self, request: SignedRequest, limits: SendLimits) -> Sent {
        Endpoint::send(self, request, limits.into()).await.into()
    }

    async fn send_watched(&self, request: SignedRequest, limits: SendLimits, watch: Watch) -> Sent {
        Endpoint::send_watched(self, request, limits.into(), Some(watch)).await.into()
    }
}

impl From<SendLimits> for SendOptions {
    fn from(SendLimits { deadline, anew }: SendLimits) -> Self {
        Self { deadline, anew, ..Self::default() }
    }
}

/// Gives workers their link, as the connector was last saved.
#[async_trait]
pub trait Links: Send + Sync {
    /// The newest link of `stream`. An error is a sentence for the log: the connector is gone, or its secrets cannot be opened.
    async fn link(&self, org: OrgId, stream: StreamId) -> Result<Link, LinkError>;
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connector was deleted.
    #[error("the connector does not exist any more")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] toktra_siem_store::StoreError),
    /// Its secrets cannot be opened, or its settings cannot be used.
    #[error("the connector cannot be used: {0}")]
    Unusable(String),
}

/// A stream's way to its endpoint.
pub struct Link {
    /// The connector as saved.
    pub connector: Connector,
    /// Every version of its filter.
    pub timeline: FilterTimeline,
    /// How a batch becomes a request.
    pub destination: Arc<dyn Destination>,
    /// How a request gets there.
    pub sender: Arc<dyn Sender>,
    /// What it is signed with.
    pub keys: SigningKeys,
    /// Takes the credential out of what the endpoint says, before it is kept.
    pub redactor: Redactor,
    /// Set once the endpoint is prepared (the index template is in place, say).
    pub ready: Mutex<Readiness>,
}

/// For so long what an endpoint answered to the first steps of a set-up is believed, if a later step came to nothing.
const BELIEVED: Duration = Duration::from_mins(5);

/// How far an endpoint is prepared, and what was fetched for its requests.
#[derive(Debug, Default)]
pub struct Readiness {
    done: bool,
    grant: Option<Grant>,
    /// The replies so far. An attempt has one deadline for all of its steps, so at a slow endpoint the next one has to go on from here: if each began
    /// anew, none would ever come to its end.
    seen: Vec<Reply>,
    /// When the first of them was asked for.
    since: Option<Instant>,
}

impl Readiness {
    fn holds(&self, now: Timestamp) -> bool {
        self.done && self.grant.as_ref().is_none_or(|grant| grant.is_good(now))
    }
}

/// What came of preparing an endpoint.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// Deliveries may go.
    Ready {
        /// It could not be prepared wholly, but that does not keep events back.
        warning: Option<Cause>,
        /// What was fetched for the requests.
        grant: Option<Grant>,
        /// It was fetched just now.
        fresh: bool,
    },
    /// Deliveries must wait.
    Hold {
        /// Why.
        cause: Cause,
        /// Whether a person has to act.
        misconfigured: bool,
    },
}

/// What came of a request with everything that had to go before it.
#[derive(Debug)]
pub struct Exchanged {
    /// The answer, or why there is none.
    pub answer: Result<Reply, Unreached>,
    /// The endpoint could not be prepared wholly; the request went all the same.
    pub warning: Option<Cause>,
    /// Whether the endpoint was prepared for this request, and not for an earlier one.
    pub prepared: bool,
    /// The request, as the history keeps it; `None` where it was not sent.
    pub asked: Option<SentRequest>,
    /// It was not sent, since what it is part of may be another's by now.
    pub held_back: bool,
}

/// Whether a request may leave.
pub type Holds<'a> = dyn Fn() -> bool + Send + Sync + 'a;

impl Link {
    /// Signs `request` as part of `delivery`, and has the destination add what goes over the signature.
    fn seal(
        &self,
        request: OutboundRequest,
        delivery: DeliveryId,
        grant: Option<&Grant>,
        clock: &dyn Clock,
    ) -> SignedRequest {
        let mut signed = SignedRequest::seal(request, &self.keys, delivery, clock.now());
        let SignedRequest { method, url, headers, body, .. } = &mut signed;
        self.destination.finish(Sealed { method: *method, url, headers, body }, grant, clock.now());
        signed
    }

    /// Prepares the endpoint by `until` unless this link has done so already. Several attempts may ask at once: the first does it.
    pub(super) async fn prepare(&self, clock: &dyn Clock, random: &dyn Random, until: Instant) -> Prepared {
        let Ok(mut ready) = timeout_at(until, self.ready.lock()).await else {
            return Prepared::Hold { cause: still_prepared(), misconfigured: false };
        };
        if ready.holds(clock.now()) {
            return Prepared::Ready { warning: None, grant: ready.grant.clone(), fresh: false };
        }
        if ready.done || ready.since.is_none_or(|since| since.elapsed() > BELIEVED) {
            *ready = Readiness { since: Some(Instant::now()), ..Readiness::default() };
        }
        let next = |seen: &[Reply]| self.destination.setup(seen, clock.now());
        let send = |request| self.send_own(request, None, clock, random, until);
        let outcome = run_setup(&mut ready.seen, next, send).await;
        if let Prepared::Ready { grant, .. } = &outcome {
            *ready = Readiness { done: true, grant: grant.clone(), ..Readiness::default() };
        }
        outcome
    }

    /// Sends `request` as part of `delivery`, with what has to be fetched for it, all within `limits`. What was fetched is in nothing that
    /// comes of it. Where the endpoint does not take that any more, it is fetched anew, once. `holds` is asked right before it is sent.
    pub async fn exchange(
        &self,
        request: &OutboundRequest,
        delivery: DeliveryId,
        clock: &dyn Clock,
        random: &dyn Random,
        limits: SendLimits,
        holds: &Holds<'_>,
    ) -> Exchanged {
        let until = Instant::now() + limits.deadline;
        let (mut warning, mut prepared, mut asked, mut held_back) = (None, false, None, false);
        let answer = loop {
            let (grant, fresh) = match self.prepare(clock, random, until).await {
                Prepared::Ready { warning: told, grant, fresh } => {
                    (warning, prepared) = (told, prepared || fresh);
                    (grant, fresh)
                }
                Prepared::Hold { cause, misconfigured } => break Err(Unreached { cause, misconfigured }),
            };
            if !holds() {
                held_back = true;
                break Err(Unreached { cause: not_held(), misconfigured: false });
            }
            let signed = self.seal(request.clone(), delivery, grant.as_ref(), clock);
            asked = Some(SentRequest::of(&signed).without(&redactor(grant.as_ref())));
            let answer = self.send_by(signed, grant.as_ref(), SendLimits { anew: limits.anew, ..left(until) }).await;
            match (&answer, &grant) {
                // What was fetched earlier may have been withdrawn. What was fetched just now was not: then the verdict stands.
                (Ok(reply), Some(used)) if self.destination.refuses_grant(reply) => {
                    self.forget_grant(used).await;
                    if fresh {
                        break answer;
                    }
                }
                _ => break answer,
            }
        };
        Exchanged { answer, warning, prepared, asked, held_back }
    }

    /// The same for a request that belongs to no delivery, such as a query for acknowledgements.
    pub async fn ask(
        &self,
        request: &OutboundRequest,
        clock: &dyn Clock,
        random: &dyn Random,
        limits: SendLimits,
    ) -> Result<Reply, Unreached> {
        let id = DeliveryId(random.uuid_v7(clock.now()));
        self.exchange(request, id, clock, random, limits, &|| true).await.answer
    }

    /// The endpoint does not take the grant `used` any more: the next request prepares it anew, unless another has done so meanwhile.
    async fn forget_grant(&self, used: &Grant) {
        let mut ready = self.ready.lock().await;
        if ready.grant.as_ref().is_some_and(|grant| grant.secret.expose_secret() == used.secret.expose_secret()) {
            *ready = Readiness::default();
        }
    }

    /// Sends a step of a set-up on request by `until`, signed like every other. What the endpoint has to be asked for first is fetched if
    /// it was fetched before, or if the endpoint refuses the step without it.
    pub async fn set_up(
        &self,
        request: OutboundRequest,
        clock: &dyn Clock,
        random: &dyn Random,
        until: Instant,
    ) -> Result<Reply, Unreached> {
        let prepared = timeout_at(until, self.ready.lock()).await.is_ok_and(|ready| ready.done);
        if !prepared {
            let answer = self.send_own(request.clone(), None, clock, random, until).await;
            if !answer.as_ref().is_ok_and(|reply| self.destination.refuses_grant(reply)) {
                return answer;
            }
        }
        self.ask(&request, clock, random, left(until)).await
    }

    async fn send_own(
        &self,
        request: OutboundRequest,
        grant: Option<&Grant>,
        clock: &dyn Clock,
        random: &dyn Random,
        until: Instant,
    ) -> Result<Reply, Unreached> {
        let id = DeliveryId(random.uuid_v7(clock.now()));
        self.send_by(self.seal(request, id, grant, clock), grant, left(until)).await
    }

    async fn send_by(
        &self,
        request: SignedRequest,
        grant: Option<&Grant>,
        limits: SendLimits,
    ) -> Result<Reply, Unreached> {
        let answer = self.sender.send(request, limits).await.answer;
        answer.map(|reply| redactor(grant).scrub(reply))
    }
}

/// Takes out what was fetched.
fn redactor(grant: Option<&Grant>) -> Redactor {
    Redactor::new(grant.map(|grant| grant.secret.expose_secret().to_owned()))
}

fn left(until: Instant) -> SendLimits {
    SendLimits::within(until.saturating_duration_since(Instant::now()))
}

fn not_held() -> Cause {
    Cause::new("not_held", "Nothing was sent: this node may have been given up.")
}

fn still_prepared() -> Cause {
    Cause::new(
        "endpoint_not_prepared",
        "Nothing was sent: another request was still waiting for what has to be fetched from the endpoint first.",
    )
}

/// Walks through a set-up from where `seen`, the replies so far, ends: asks `next` what to do, does it with `send`, and asks again.
pub async fn run_setup<F>(
    seen: &mut Vec<Reply>,
    next: impl Fn(&[Reply]) -> SetupStep,
    send: impl Fn(OutboundRequest) -> F,
) -> Prepared
where
    F: Future<Output = Result<Reply, Unreached>>,
{
    loop {
        match next(seen) {
            SetupStep::Done { warning, grant } => return Prepared::Ready { warning, grant, fresh: true },
            SetupStep::Hold(cause) => {
                // The endpoint has to be asked again.
                seen.clear();
                return Prepared::Hold { cause, misconfigured: false };
            }
            SetupStep::Send(request) => match send(request).await {
                Ok(reply) => seen.push(reply),
                Err(unreached) => {
                    return Prepared::Hold { cause: unreached.cause, misconfigured: unreached.misconfigured };
                }
            },
        }
    }
}
