//! From a judged URL to a connected socket: resolve, judge every answer, connect to an address that was judged.
//!
//! Resolving and connecting are one step on purpose. Were the name resolved again for the connection, its owner could answer with a
//! public address for the check and a private one for the connection (DNS rebinding). Proxies named by the environment are not used:
//! they would dial for us what this policy refuses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::egress::{EgressPolicy, Forbidden, Target, TargetHost, Trust};
use super::failure::{FailureKind, from_io};
use super::trace::Trace;
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
    let answers = resolver.resolve(name).await.map_err(|e| unresolved(&e))?;
    let mut unique = Vec::new();
    for ip in answers {
        if !unique.contains(&ip) {
            unique.push(ip);
        }
    }
    judge(policy, &unique, target.tls, trust)?;
    match unique.len() {
        0 => return Err(FailureKind::UnknownHost),
        1 => trace.pass("1 address"),
        n => trace.pass(format!("{n} addresses")),
    }
    Ok(unique)
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

/// Connects to the first of `addresses` that answers. Each gets its share of the time until `until`, so that one that swallows
/// packets leaves time for the next.
pub(super) async fn connect(
    addresses: &[IpAddr],
    port: u16,
    until: Instant,
    trace: &mut Trace,
) -> Result<TcpStream, FailureKind> {
    trace.begin(StageName::Tcp);
    let mut failure = FailureKind::Timeout(StageName::Tcp);
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for ip in addresses {
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        let address = SocketAddr::new(*ip, port);
        failure = match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written whole: waiting for more to send only delays them. Failing to say so does no harm.
                stream.set_nodelay(true).ok();
                trace.pass(address.to_string());
                return Ok(stream);
            }
            Ok(Err(e)) => from_io(&e, StageName::Tcp),
            Err(_) => FailureKind::Timeout(StageName::Tcp),
        };
    }
    Err(failure)
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
