//! A way through the operator's proxy: HTTP `CONNECT`, after which every byte goes to the receiver and back as it is. TLS is spoken with
//! the receiver, so that the proxy sees neither events nor credentials.
//!
//! What the proxy says is never an answer of the receiver: a tunnel that it does not open is a fault of the network, with a cause of its
//! own, and nothing was sent.

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::dial::{Resolver, first, look_up};
use super::egress::{Proxy, TargetHost};
use super::failure::{FailureKind, from_io};
use super::message::AGENT;
use toktra_siem_core::delivery::StageName;

/// The most that is read of what a proxy says before the tunnel is open.
const HEAD: usize = 16 * 1024;

/// Why there is no way through the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The proxy cannot be reached: why, as the end of a sentence.
    Unreachable(&'static str),
    /// This machine does not know the address to ask it for.
    Unnamed,
    /// It did not answer in time, or ended the connection instead.
    Silent,
    /// What answers there is no HTTP proxy.
    NotAProxy,
    /// It answered with this status.
    Answered(u16),
}

impl Blocked {
    /// Whether it would be so whatever the proxy was asked for.
    pub(super) fn of_the_proxy_alone(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotAProxy | Self::Answered(401 | 407))
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "proxy_unreachable",
            Self::Unnamed => "proxy_name_unknown",
            Self::Silent => "proxy_silent",
            Self::NotAProxy => "proxy_not_http",
            // Tinyproxy answers 401 to a wrong password, and 407 only to none.
            Self::Answered(401 | 407) => "proxy_credentials",
            Self::Answered(500..) => "proxy_failed",
            Self::Answered(_) => "proxy_refused",
        }
    }

    /// What happened, the likeliest cause, the next step. The proxy is not named: where it stands is for the operator to know.
    pub(super) fn sentence(&self, at: &str) -> String {
        match self {
            Self::Unreachable(why) => format!(
                "The proxy on the way to {at} cannot be reached: {why}. Nothing was sent to the SIEM. Whoever runs this server should \
                 check that the proxy is up, and its address in TOKTRA_SIEM_EGRESS_PROXY."
            ),
            Self::Unnamed => format!(
                "{at}: this machine could not look up the host name, and the proxy is asked for addresses only. There is probably a \
                 typing mistake in the URL, or this machine has no DNS for names of the internet: check the host. Whoever runs this \
                 server can also let the proxy look up names (TOKTRA_SIEM_EGRESS_PROXY_DNS=proxy)."
            ),
            Self::Silent => format!(
                "The proxy on the way to {at} took the connection but did not say in time whether it can connect, or hung up. Nothing \
                 was sent to the SIEM. {at} is probably down, or the proxy overloaded: look into the proxy's log."
            ),
            Self::NotAProxy => format!(
                "What stands on the way to {at} as a proxy does not answer as one. Nothing was sent to the SIEM. Whoever runs this \
                 server should check host and port in TOKTRA_SIEM_EGRESS_PROXY."
            ),
            Self::Answered(status @ (401 | 407)) => format!(
                "The proxy on the way to {at} answered {status}: it wants a user name and password, or other ones than it was given. Nothing \
                 was sent to the SIEM. Whoever runs this server should correct them in TOKTRA_SIEM_EGRESS_PROXY \
                 (http://user:password@host:port)."
            ),
            Self::Answered(status @ 500..) => format!(
                "The proxy on the way to {at} answered {status}: it could not connect. Nothing was sent to the SIEM. {at} is probably \
                 down, or the proxy's own way there is closed: check both, and look into the proxy's log."
            ),
            Self::Answered(status) => format!(
                "The proxy on the way to {at} answered {status}: it does not let this server connect there. Nothing was sent to the SIEM. \
                 Many proxies allow only port 443, or only hosts on a list: ask whoever runs the proxy to allow CONNECT to this host \
                 and port."
            ),
        }
    }
}

impl From<Blocked> for FailureKind {
    fn from(blocked: Blocked) -> Self {
        Self::Blocked(blocked)
    }
}

/// What it means that no connection came about, for a receiver behind a proxy: a machine that needs one often has no DNS either.
pub(super) fn behind(kind: FailureKind) -> FailureKind {
    match kind {
        FailureKind::UnknownHost | FailureKind::Dns | FailureKind::Timeout(StageName::Dns) => Blocked::Unnamed.into(),
        other => other,
    }
}

/// A connection through `proxy` to `authority`, host and port, which nothing was sent on yet.
pub(super) async fn open(
    proxy: &Proxy,
    resolver: &dyn Resolver,
    authority: &str,
    until: Instant,
) -> Result<TcpStream, FailureKind> {
    let reached = timeout_at(until, reach(proxy, resolver, until)).await;
    let mut stream = match reached.unwrap_or(Err(FailureKind::Timeout(StageName::Tcp))) {
        Ok(stream) => stream,
        Err(kind) => return Err(unreachable(kind)),
    };
    match timeout_at(until, ask(proxy, &mut stream, authority)).await {
        Ok(Ok(200..=299)) => Ok(stream),
        Ok(Ok(status)) => Err(Blocked::Answered(status).into()),
        Ok(Err(kind)) => Err(kind),
        Err(_) => Err(Blocked::Silent.into()),
    }
}

/// A connection to the proxy itself. It is the operator's own choice, so that its address is not judged.
async fn reach(proxy: &Proxy, resolver: &dyn Resolver, until: Instant) -> Result<TcpStream, FailureKind> {
    let addresses = match proxy.host() {
        TargetHost::Address(ip) => vec![*ip],
        TargetHost::Name(name) => look_up(resolver, name).await?,
    };
    first(&addresses, proxy.port(), until).await
}

fn unreachable(kind: FailureKind) -> FailureKind {
    let why = match kind {
        FailureKind::Local(_) => return kind,
        FailureKind::UnknownHost => "its host name does not exist",
        FailureKind::Dns | FailureKind::Timeout(StageName::Dns) => "its host name could not be looked up",
        FailureKind::Refused => "nothing listens on its port",
        FailureKind::Timeout(_) => "it did not answer the connection in time",
        _ => "there is no way to its address",
    };
    Blocked::Unreachable(why).into()
}

/// Asks for a tunnel; the status of the answer.
async fn ask(proxy: &Proxy, stream: &mut TcpStream, authority: &str) -> Result<u16, FailureKind> {
    let credentials = proxy.authorization().map(|value| format!("Proxy-Authorization: {}\r\n", value.expose_secret()));
    let request = format!(
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {AGENT}\r\n{}\r\n",
        credentials.unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await.map_err(|e| hung_up(&e))?;
    let mut said = Vec::new();
    loop {
        if let Some(end) = said.windows(4).position(|window| window == b"\r\n\r\n") {
            let status = status(&said).ok_or(Blocked::NotAProxy)?;
            said.drain(..end + 4);
            match status {
                // Not an answer yet.
                100..=199 => continue,
                // The receiver waits to be spoken to: what comes before that is not its own.
                200..=299 if !said.is_empty() => return Err(Blocked::NotAProxy.into()),
                _ => return Ok(status),
            }
        }
        let begins = said.len().min(7);
        if said[..begins] != b"HTTP/1."[..begins] || said.len() >= HEAD {
            return Err(Blocked::NotAProxy.into());
        }
        if stream.read_buf(&mut said).await.map_err(|e| hung_up(&e))? == 0 {
            return Err(Blocked::Silent.into());
        }
    }
}

/// `HTTP/1.x` and three digits.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let rest = std::str::from_utf8(line.get(..12)?).ok()?.strip_prefix("HTTP/1.")?;
    let (minor, status) = rest.split_once(' ')?;
    let ends = matches!(line.get(12), None | Some(b' '));
    status.parse().ok().filter(|status| minor.len() == 1 && ends && (100..=599).contains(status))
}

fn hung_up(error: &std::io::Error) -> FailureKind {
    match from_io(error, StageName::Tcp) {
        local @ FailureKind::Local(_) => local,
        _ => Blocked::Silent.into(),
    }
}
