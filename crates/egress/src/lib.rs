//! The only way out: signed requests to the receivers that connectors name.
//!
//! [`Transport`] is one per process and holds what all share: the [`EgressPolicy`], the resolver, the public roots. An [`Endpoint`] is
//! one per stream and holds what must not be shared: whom the connector trusts, and its kept connections. [`Endpoint::send`] does one
//! request and never a second one: retries, redirects and what a reply means are for others to decide.
//!
//! From top to bottom: [`egress`] judges the URL and every address, `dial` connects to one that was judged, `tunnel` through the
//! operator's proxy where there is one, `tls` verifies the certificate, `pool` keeps the connection, `message` translates, [`failure`] explains.
//!
//! A receiver is a stranger. Whatever it does costs its own connection at most: `meter` bounds the bytes that it sends, `held` the memory
//! that answers take, `turns` keeps a connection from being used again after anything but an answer, the deadline holds for each stage, and
//! with [`Transport::on_own_threads`] all of it happens beside the rest of the process (`threads`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rustls::RootCertStore;
use secrecy::SecretString;
use tokio::time::{Instant, timeout, timeout_at};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::signing::SignedRequest;
use toktra_siem_core::time::Timestamp;

mod certificate;
mod dial;
pub mod egress;
pub mod failure;
mod held;
mod message;
mod meter;
mod open;
mod pool;
mod refused;
#[cfg(test)]
mod tests;
mod threads;
mod tls;
mod trace;
mod tunnel;
mod turns;

pub use dial::{Resolver, SystemResolver};
pub use egress::{EgressPolicy, Forbidden, Names, Past, Proxy, Trust};
pub use failure::{Failure, FailureKind, OutOfTurn};
pub use open::Opened;
pub use refused::{Refused, Why};
pub use toktra_siem_core::delivery::StageName;
pub use trace::{Stage, Watch};
pub use tunnel::Blocked;

use egress::{Target, TargetHost};
use held::Ledger;
use meter::{Meter, Metered};
use pool::{Connection, Origin, Pool, SendError, Stream};
use threads::Threads;
use tls::Tls;
use trace::Trace;

/// The longest that resolving, connecting and the TLS handshake may take together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The usual total deadline of a request, from looking up the name to the last byte of the answer (ibid.).
pub const DEADLINE: Duration = Duration::from_secs(30);
/// The usual cap of an answer's body. Elasticsearch answers a bulk with a few hundred bytes per event.
pub const BODY_CAP: usize = 4 * 1024 * 1024;

/// What all endpoints of a process share. Clones are the same transport.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    policy: EgressPolicy,
    resolver: Arc<dyn Resolver>,
    roots: Arc<RootCertStore>,
    answers: Ledger,
    threads: Threads,
}

/// What an endpoint's connector says about connecting.
#[derive(Debug, Clone, Copy, Default)]
pub struct EndpointOptions<'a> {
    /// Certificates (PEM) that are trusted instead of the public authorities: authorities vouch for others, each is trusted as it is.
    pub tls_ca: Option<&'a str>,
    /// Fingerprints of the only certificates that are trusted; then `tls_ca` does not count.
    pub tls_fingerprint: Option<&'a str>,
    /// The name that the certificate must be for, if it is not the host of the URL.
    pub tls_server_name: Option<&'a str>,
    /// The certificate (PEM) that is shown to a server that asks for one, with its intermediates.
    pub tls_client_cert: Option<&'a str>,
    /// Its private key (PEM).
    pub tls_client_key: Option<&'a SecretString>,
    /// Whose connector it is.
    pub trust: Trust,
}

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    /// The total time, connecting and the answer's body included.
    pub deadline: Duration,
    /// The most bytes of the answer's body that are read; a longer one ends early and is marked truncated.
    pub body_cap: usize,
    /// Goes out on a new connection, whichever are kept: to find out whether the receiver is back.
    pub anew: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { deadline: DEADLINE, body_cap: BODY_CAP, anew: false }
    }
}

/// A request that was answered, whatever the answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The answer.
    pub reply: Reply,
    /// The stages that took place, each of them ok.
    pub stages: Vec<Stage>,
    /// How long it took in all.
    pub duration: Duration,
}

impl Transport {
    /// A transport that asks the operating system's resolver. Reads the machine's certificate store once. What it sends is sent on the
    /// threads of whoever awaits it: right for a program that does nothing else.
    pub fn new(policy: EgressPolicy) -> Self {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// As [`Transport::new`], with threads of its own, so that no receiver holds up what else the process does.
    pub fn on_own_threads(policy: EgressPolicy) -> io::Result<Self> {
        Ok(Self::assemble(policy, Arc::new(SystemResolver), Threads::own()?))
    }

    /// A transport that asks `resolver`, on the threads of whoever awaits it.
    pub fn with_resolver(policy: EgressPolicy, resolver: Arc<dyn Resolver>) -> Self {
        Self::assemble(policy, resolver, Threads::Caller)
    }

    fn assemble(policy: EgressPolicy, resolver: Arc<dyn Resolver>, threads: Threads) -> Self {
        let (roots, answers) = (tls::common_roots(), Ledger::default());
        Self { shared: Arc::new(Shared { policy, resolver, roots, answers, threads }) }
    }

    /// The policy, for judging URLs without connecting.
    pub fn policy(&self) -> &EgressPolicy {
        &self.shared.policy
    }

    /// Judges a URL and what its host resolves to, as saving a connector does. A name that does not
    /// resolve, or not within [`CONNECT_TIMEOUT`], passes: it is judged again when it is dialled.
    pub async fn check(&self, url: &str, trust: Trust) -> Result<(), Forbidden> {
        let target = self.shared.policy.check_url(url, trust)?;
        if self.shared.policy.proxy_for(&target.host).is_some_and(|proxy| proxy.looks_up(&target.host)) {
            return Ok(());
        }
        let TargetHost::Name(name) = target.host else { return Ok(()) };
        let resolver = Arc::clone(&self.shared.resolver);
        let work = async move { timeout(CONNECT_TIMEOUT, resolver.resolve(&name)).await };
        match self.shared.threads.run(CONNECT_TIMEOUT, work).await {
            Ok(Ok(Ok(answers))) => dial::judge(&self.shared.policy, &answers, target.tls, trust),
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// An endpoint with connections of its own. Fails if what `options` say of certificates and keys cannot be used.
    pub fn endpoint(&self, options: EndpointOptions<'_>) -> Result<Endpoint, Failure> {
        let tls = Tls::of(&options, &self.shared.roots).map_err(Failure::early)?;
        Ok(Endpoint { shared: Arc::clone(&self.shared), tls, trust: options.trust, pool: Arc::default() })
    }
}

/// Sends the requests of one stream, over connections that are kept between them and shared with no other.
///
/// Dropping it closes them. A change of the connector's settings needs a new endpoint.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
    tls: Tls,
    trust: Trust,
    pool: Arc<Pool>,
}

/// The head of an answer, and the connection that its body is still to come from.
struct Answered {
    response: http::Response<hyper::body::Incoming>,
    origin: Origin,
    connection: Connection,
    tls: bool,
}

impl Endpoint {
    /// Until when the certificate of the receiver is valid, as the last handshake said; `None` before the first one, and over plain HTTP.
    pub fn certificate_until(&self) -> Option<Timestamp> {
        self.tls.until()
    }

    /// Sends `request` once and reads the answer.
    ///
    /// Dropping the future, or its deadline, closes the connection that it used; whether the receiver took the request in is then
    /// unknown, as with every [`Failure`] past the `tls` stage. A request that met a kept connection which its server had closed
    /// before a byte was written goes out once more on a new connection; any other is left to the delivery to repeat.
    pub async fn send(&self, request: SignedRequest, options: SendOptions) -> Result<Exchange, Failure> {
        self.send_watched(request, options, None).await
    }

    /// As [`Endpoint::send`], and `watch` hears of each stage at its end.
    pub async fn send_watched(
        &self,
        request: SignedRequest,
        options: SendOptions,
        watch: Option<Watch>,
    ) -> Result<Exchange, Failure> {
        let endpoint = self.clone();
        let work = Box::pin(async move { endpoint.send_here(request, options, watch).await });
        self.shared.threads.run(options.deadline, work).await.unwrap_or_else(|kind| Err(Failure::early(kind)))
    }

    /// [`Endpoint::send_watched`], on the thread that calls.
    async fn send_here(
        &self,
        request: SignedRequest,
        options: SendOptions,
        watch: Option<Watch>,
    ) -> Result<Exchange, Failure> {
        let mut trace = Trace::watched(watch);
        let until = trace.started + options.deadline;
        let outcome = match timeout_at(until, self.exchange(request, options, &mut trace)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FailureKind::Timeout(trace.current().unwrap_or(StageName::Http))),
        };
        let target = trace.target.clone();
        match outcome {
            Ok(reply) => {
                trace.pass(format!("HTTP {}", reply.status));
                let (stages, duration) = trace.finish();
                Ok(Exchange { reply, stages, duration })
            }
            Err(kind) => {
                trace.fail(kind.cause(target.as_deref()).message);
                let (stages, duration) = trace.finish();
                Err(Failure { kind, target, stages, duration })
            }
        }
    }

    /// Leaves the trace in the `http` stage where there is an answer.
    async fn exchange(
        &self,
        signed: SignedRequest,
        options: SendOptions,
        trace: &mut Trace,
    ) -> Result<Reply, FailureKind> {
        let Answered { response, origin, connection, tls } = self.answer(signed, options.anew, trace).await?;
        self.receive(response, options.body_cap, origin, connection, tls).await
    }

    /// Sends the request and awaits the head of its answer.
    async fn answer(&self, signed: SignedRequest, anew: bool, trace: &mut Trace) -> Result<Answered, FailureKind> {
        let target = self.shared.policy.check_url(&signed.url, self.trust)?;
        trace.target = Some(target.authority());
        let mut request = message::request(&target, signed)?;
        let (origin, tls) = (Origin::from(&target), target.tls);

        let kept = if anew { None } else { self.pool.take(&origin).await };
        if let Some(mut kept) = kept {
            trace.begin(StageName::Http);
            match kept.send(request, tls).await {
                Ok(response) => return Ok(Answered { response, origin, connection: kept, tls }),
                Err(SendError::Failed(kind)) => return Err(kind),
                Err(SendError::Unsent(back)) => {
                    trace.undo();
                    request = *back;
                }
            }
        }

        let mut fresh = self.connect(&target, trace).await?;
        trace.begin(StageName::Http);
        match fresh.send(request, tls).await {
            Ok(response) => Ok(Answered { response, origin, connection: fresh, tls }),
            Err(SendError::Failed(kind)) => Err(kind),
            Err(SendError::Unsent(_)) => Err(FailureKind::Reset(StageName::Http)),
        }
    }

    /// Reads the answer, and keeps the connection if it was read to its end and the receiver serves.
    async fn receive(
        &self,
        response: http::Response<hyper::body::Incoming>,
        cap: usize,
        origin: Origin,
        connection: Connection,
        tls: bool,
    ) -> Result<Reply, FailureKind> {
        let serves = !response.status().is_server_error() && response.status() != StatusCode::TOO_MANY_REQUESTS;
        let reply = message::reply(response, cap, tls, &connection, &self.shared.answers).await?;
        if serves && !reply.truncated {
            self.pool.put(origin, connection);
        }
        Ok(reply)
    }

    /// A new connection, within [`CONNECT_TIMEOUT`].
    async fn connect(&self, target: &Target, trace: &mut Trace) -> Result<Connection, FailureKind> {
        let until = Instant::now() + CONNECT_TIMEOUT;
        let meter = Meter::new();
        let stream = timeout_at(until, self.stream(target, until, meter.clone(), trace)).await;
        let stream = stream.unwrap_or_else(|_| Err(FailureKind::Timeout(trace.current().unwrap_or(StageName::Tcp))));
        let proxied = self.shared.policy.proxy_for(&target.host).is_some();
        let stream = stream.map_err(|kind| if proxied { tunnel::behind(kind) } else { kind });
        Connection::new(stream?, meter).await
    }

    async fn stream(
        &self,
        target: &Target,
        until: Instant,
        meter: Meter,
        trace: &mut Trace,
    ) -> Result<Box<dyn Stream>, FailureKind> {
        let Shared { policy, resolver, .. } = &*self.shared;
        let resolver = resolver.as_ref();
        let places = dial::places(policy, resolver, target, self.trust, trace).await?;
        let stream = Metered::new(dial::connect(&places, resolver, until, trace).await?, meter);
        if !target.tls {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(self.tls.handshake(target, stream, trace).await?))
    }
}
