//! Where the server may connect to. Connector URLs come from tenants, and the server stands inside somebody's network: without this
//! policy a connector would be a way to reach whatever the server can reach (server-side request forgery).
//!
//! Pure. [`EgressPolicy::check_url`] judges what a URL says, [`EgressPolicy::check_address`] an address that is about to be dialled;
//! the dialler applies the latter to every answer of the resolver and connects to the very address that was checked.
//!
//! Three circles: some addresses are for nobody (metadata services, link-local, multicast, unspecified); private and special ones
//! are for the operator's own connectors and for what the operator lists in `TOKTRA_SIEM_EGRESS_ALLOW`; the rest is open to all, with
//! TLS. Plain `http` is for the operator's own connectors and listed addresses only.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

mod proxy;
mod ranges;
#[cfg(test)]
mod tests;

pub use proxy::{Names, Past, Proxy};
use ranges::{Class, METADATA};

/// Names under which clouds answer for their metadata services, whatever address they resolve to.
const METADATA_NAMES: &[&str] = &[
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
];

/// Whose settings a connection is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trust {
    /// The connector comes from the environment or the configuration file, and so from whoever runs the server: private addresses
    /// and plain `http` are theirs to choose (docs/configuration.md).
    pub operator_owned: bool,
}

/// Why a target is refused. The text never tells what a name resolved to: that would map the inside of the network for a tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Not a URL that can be connected to.
    #[error("The URL cannot be used: {0}. Write it as https://host:port.")]
    Url(String),
    /// Neither `https` nor `http`.
    #[error("The URL starts with a scheme other than https. Write it as https://host:port.")]
    Scheme,
    /// `user:password@host`.
    #[error("The URL contains a user name or password. Remove it, and put credentials into their own fields.")]
    Userinfo,
    /// Plain `http` to an address that is not listed.
    #[error(
        "Plain http would send the credential and the events unencrypted. Use https; or, for a receiver in the private network, \
         ask whoever runs this server to list its address in TOKTRA_SIEM_EGRESS_ALLOW."
    )]
    PlainHttp,
    /// An address that nobody may connect to; the text says what it is.
    #[error("The URL leads to {0}. No SIEM is reached there; check the host in the URL.")]
    Never(&'static str),
    /// A private or special address that is not listed; the text says what it is.
    #[error(
        "The URL leads to {0}. Connectors may only reach public addresses; if the receiver really is in the private network, ask \
         whoever runs this server to list its address in TOKTRA_SIEM_EGRESS_ALLOW."
    )]
    Special(&'static str),
    /// A name with permitted and refused addresses at once: how DNS rebinding looks.
    #[error(
        "The host name has addresses that connectors may reach and others that they may not. Correct its DNS records, so that \
         they all lead to the receiver."
    )]
    Mixed,
}

/// A URL that passed [`EgressPolicy::check_url`], taken apart once so that nothing later reads it differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `https` rather than `http`.
    pub tls: bool,
    /// The name (lower-case, punycode, no trailing dot) or address.
    pub host: TargetHost,
    /// The port, never zero.
    pub port: u16,
    /// The path and query, as they go into the request line.
    pub path: String,
}

/// The host of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetHost {
    /// To be resolved.
    Name(String),
    /// Written as an address, in whatever form.
    Address(IpAddr),
}

impl Target {
    /// The `Host` header: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            TargetHost::Name(name) => name.clone(),
            TargetHost::Address(IpAddr::V4(ip)) => ip.to_string(),
            TargetHost::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

/// What the operator permits.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    allow: Vec<IpNet>,
    proxy: Option<Proxy>,
    addresses: Vec<IpNet>,
}

impl EgressPolicy {
    /// A policy that opens `allow` (`TOKTRA_SIEM_EGRESS_ALLOW`) to all connectors, although private, and to plain `http`.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow, proxy: None, addresses: Vec::new() }
    }

    /// The same policy, with a proxy on the way out. What is permitted stays the same.
    #[must_use]
    pub fn through(self, proxy: Option<Proxy>) -> Self {
        Self { proxy, ..self }
    }

    /// The same policy, with the addresses that connections come from as others see them (`TOKTRA_SIEM_EGRESS_ADDRESSES`). They are only told.
    #[must_use]
    pub fn from(self, addresses: Vec<IpNet>) -> Self {
        Self { addresses, ..self }
    }

    /// The addresses and networks that connections come from, as far as the operator named them.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.addresses.iter().map(|network| {
            let single = network.prefix_len() == network.max_prefix_len();
            if single { network.addr().to_string() } else { network.to_string() }
        })
    }

    /// The proxy that a URL is reached through, as far as the URL alone tells; whether it wants a login besides.
    pub fn via(&self, url: &str) -> Option<(&Proxy, bool)> {
        let proxy = self.proxy_for(&parse(url).ok()?.host)?;
        Some((proxy, proxy.authorization().is_some()))
    }

    /// The proxy that `host` is reached through, unless it resolves to an address that is not.
    pub(crate) fn proxy_for(&self, host: &TargetHost) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.serves(host))
    }

    /// Judges an address by itself, for a connection with TLS. Where it carries another address inside (NAT64, 6to4, …), both must
    /// be permitted: a listed `64:ff9b::/96` opens NAT64 to public hosts, not to private ones.
    pub fn check_ip(&self, ip: IpAddr, trust: Trust) -> Result<(), Forbidden> {
        if let IpAddr::V6(outer) = ip {
            for inner in ranges::embedded(outer) {
                self.check_ip(inner.into(), trust)?;
            }
        }
        match ranges::classify(ip) {
            Class::Public => Ok(()),
            Class::Never(what) => Err(Forbidden::Never(what)),
            Class::Special(_) if trust.operator_owned || self.lists(ip) => Ok(()),
            Class::Special(what) => Err(Forbidden::Special(what)),
        }
    }

    /// Judges an address that is about to be dialled, with or without TLS.
    pub fn check_address(&self, ip: IpAddr, tls: bool, trust: Trust) -> Result<(), Forbidden> {
        self.check_ip(ip, trust)?;
        if tls || trust.operator_owned || self.lists(ip) { Ok(()) } else { Err(Forbidden::PlainHttp) }
    }

    /// Judges all that a URL says by itself. A name that passes still has to be judged by the addresses it resolves to.
    pub fn check_url(&self, url: &str, trust: Trust) -> Result<Target, Forbidden> {
        let target = parse(url)?;
        match &target.host {
            TargetHost::Address(ip) => self.check_address(*ip, target.tls, trust)?,
            TargetHost::Name(name) => self.check_name(name, target.tls, trust)?,
        }
        // Which address it has stays unknown, so that no network can be listed for it.
        let unseen = self.proxy.as_ref().is_some_and(|proxy| proxy.looks_up(&target.host));
        if unseen && !target.tls && !trust.operator_owned {
            return Err(Forbidden::PlainHttp);
        }
        Ok(target)
    }

    fn check_name(&self, name: &str, tls: bool, trust: Trust) -> Result<(), Forbidden> {
        if METADATA_NAMES.iter().any(|known| within(name, known)) {
            return Err(Forbidden::Never(METADATA));
        }
        // RFC 6761: these names are loopback by definition, no need to ask.
        if within(name, "localhost") {
            return self.check_address(IpAddr::from([127, 0, 0, 1]), tls, trust);
        }
        if !tls && !trust.operator_owned && self.allow.is_empty() {
            return Err(Forbidden::PlainHttp);
        }
        Ok(())
    }

    fn lists(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(&ip))
    }
}

/// Whether `name` is `parent` or lies below it.
fn within(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The one reading of a URL. The WHATWG parser brings every spelling of an address (decimal, octal, hexadecimal, short, full-width,
/// percent-encoded) into the one form that is judged and dialled.
fn parse(url: &str) -> Result<Target, Forbidden> {
    let url = Url::parse(url).map_err(|e| Forbidden::Url(e.to_string()))?;
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(Forbidden::Scheme),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::Userinfo);
    }
    let host = match url.host() {
        Some(Host::Ipv4(ip)) => TargetHost::Address(ip.into()),
        Some(Host::Ipv6(ip)) => TargetHost::Address(ip.into()),
        Some(Host::Domain(name)) => TargetHost::Name(host_name(name)?),
        None => return Err(Forbidden::Url("it names no host".into())),
    };
    let port = url.port_or_known_default().filter(|port| *port != 0);
    let port = port.ok_or_else(|| Forbidden::Url("port 0 cannot be connected to".into()))?;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Ok(Target { tls, host, port, path })
}

/// A name that DNS and certificates can hold, without the trailing dot of an absolute one.
fn host_name(name: &str) -> Result<String, Forbidden> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label =
        |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(Forbidden::Url("the host name is not valid".into()));
    }
    Ok(name.to_owned())
}
