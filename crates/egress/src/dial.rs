//! From a judged URL to a connected socket: resolve, judge every answer, connect to an address that was judged.
//!
//! Resolving and connecting are one step on purpose. Were the name resolved again for the connection, its owner could answer with a
//! public address for the check and a private one for the connection (DNS rebinding). The operator's proxy is asked for the very address
//! that was judged. Proxies named by the environment (`HTTPS_PROXY`) are not used: what is sent goes where the configuration says.

use std::io;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::egress::{EgressPolicy, Forbidden, Proxy, Target, TargetHost, Trust};
use super::failure::{FailureKind, from_io};
use super::trace::Trace;
use super::tunnel;
use toktra_siem_core::delivery::StageName;

/// Turns names into addresses. A seam, so that tests can answer as a hostile DNS server would.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of `name`, the preferred one first.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver, `/etc/hosts` and search domains included.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// How to get a connection.
pub(super) enum Place<'p> {
    /// At the address itself.
    Direct(SocketAddr),
    /// At the proxy, which connects to this address or name.
    Through(&'p Proxy, String),
}

/// Where `target` can be reached, each of its addresses permitted; those that no proxy is asked for come first.
pub(super) async fn places<'p>(
    policy: &'p EgressPolicy,
    resolver: &dyn Resolver,
    target: &Target,
    trust: Trust,
    trace: &mut Trace,
) -> Result<Vec<Place<'p>>, FailureKind> {
    let proxy = policy.proxy_for(&target.host);
    if let (Some(proxy), TargetHost::Name(name)) = (proxy, &target.host)
        && proxy.looks_up(&target.host)
    {
        return Ok(vec![Place::Through(proxy, format!("{name}:{}", target.port))]);
    }
    let place = |ip| {
        let address = SocketAddr::new(ip, target.port);
        match proxy.filter(|proxy| proxy.serves_address(ip)) {
            Some(proxy) => Place::Through(proxy, address.to_string()),
            None => Place::Direct(address),
        }
    };
    let mut places: Vec<_> = addresses(policy, resolver, target, trust, trace).await?.into_iter().map(place).collect();
    places.sort_by_key(|place| matches!(place, Place::Through(..)));
    Ok(places)
}

/// The addresses of `target`, each of them permitted.
pub(super) async fn addresses(
    policy: &EgressPolicy,
    resolver: &dyn Resolver,
    target: &Target,
    trust: Trust,
    trace: &mut Trace,
) -> Result<Vec<IpAddr>, FailureKind> {
    let name = match &target.host {
        TargetHost::Address(ip) => {
            policy.check_address(*ip, target.tls, trust)?;
            return Ok(vec![*ip]);
        }
        TargetHost::Name(name) => name,
    };
    trace.begin(StageName::Dns);
    let unique = look_up(resolver, name).await?;
    judge(policy, &unique, target.tls, trust)?;
    match unique.len() {
        1 => trace.pass("1 address"),
        n => trace.pass(format!("{n} addresses")),
    }
    Ok(unique)
}

/// The addresses of a name, each of them once; there is one at least.
pub(super) async fn look_up(resolver: &dyn Resolver, name: &str) -> Result<Vec<IpAddr>, FailureKind> {
    let mut unique = Vec::new();
    for ip in resolver.resolve(name).await.map_err(|e| unresolved(&e))? {
        if !unique.contains(&ip) {
            unique.push(ip);
        }
    }
    if unique.is_empty() { Err(FailureKind::UnknownHost) } else { Ok(unique) }
}

/// Permits all answers or none: an answer that mixes permitted and refused addresses is how rebinding begins.
pub(super) fn judge(policy: &EgressPolicy, answers: &[IpAddr], tls: bool, trust: Trust) -> Result<(), Forbidden> {
    let mut refusals = answers.iter().filter_map(|ip| policy.check_address(*ip, tls, trust).err());
    match refusals.next() {
        None => Ok(()),
        Some(first) if refusals.count() + 1 == answers.len() => Err(first),
        Some(_) => Err(Forbidden::Mixed),
    }
}

/// Connects to the first of `places` that answers.
pub(super) async fn connect(
    places: &[Place<'_>],
    resolver: &dyn Resolver,
    until: Instant,
    trace: &mut Trace,
) -> Result<TcpStream, FailureKind> {
    trace.begin(StageName::Tcp);
    let mut failure = FailureKind::Timeout(StageName::Tcp);
    for (place, until) in places.iter().zip(shares(places.len(), until)) {
        let (connected, told) = match place {
            Place::Direct(address) => (dial(*address, until()).await, address.to_string()),
            Place::Through(proxy, to) => {
                (tunnel::open(proxy, resolver, to, until()).await, format!("{to}, through the proxy"))
            }
        };
        match connected {
            Ok(stream) => {
                trace.pass(told);
                return Ok(stream);
            }
            // It would say so of every address, and count each wrong password.
            Err(FailureKind::Blocked(blocked)) if blocked.of_the_proxy_alone() => return Err(blocked.into()),
            Err(kind) => failure = kind,
        }
    }
    Err(failure)
}

/// Connects to the first of `addresses` that answers.
pub(super) async fn first(addresses: &[IpAddr], port: u16, until: Instant) -> Result<TcpStream, FailureKind> {
    let mut failure = FailureKind::Timeout(StageName::Tcp);
    for (ip, until) in addresses.iter().zip(shares(addresses.len(), until)) {
        match dial(SocketAddr::new(*ip, port), until()).await {
            Ok(stream) => return Ok(stream),
            Err(kind) => failure = kind,
        }
    }
    Err(failure)
}

/// When each of `count` tries has to be over, asked when it begins: each gets its share of the time that is left until `until`, so that
/// one that swallows packets leaves time for the next.
fn shares(count: usize, until: Instant) -> impl Iterator<Item = impl FnOnce() -> Instant> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (1..=count).rev().map(move |left| {
        move || {
            let now = Instant::now();
            now + until.saturating_duration_since(now) / left
        }
    })
}

async fn dial(address: SocketAddr, until: Instant) -> Result<TcpStream, FailureKind> {
    match timeout_at(until, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // Requests are written whole: waiting for more to send only delays them. Failing to say so does no harm.
            stream.set_nodelay(true).ok();
            Ok(stream)
        }
        Ok(Err(e)) => Err(from_io(&e, StageName::Tcp)),
        Err(_) => Err(FailureKind::Timeout(StageName::Tcp)),
    }
}

/// "No such name" and "no answer" come as text only: `getaddrinfo` codes are not part of [`io::Error`].
fn unresolved(error: &io::Error) -> FailureKind {
    const NO_SUCH_NAME: &[&str] =
        &["Name or service not known", "No address associated", "nodename nor servname", "Name does not resolve"];
    let text = error.to_string();
    match from_io(error, StageName::Dns) {
        local @ FailureKind::Local(_) => local,
        _ if NO_SUCH_NAME.iter().any(|known| text.contains(known)) => FailureKind::UnknownHost,
        _ => FailureKind::Dns,
    }
}
