//! The proxy that the operator has in front of the way out, and what goes past it.
//!
//! Pure: who is reached through it, and what it is told. `tunnel` speaks with it. A proxy changes nothing about what is permitted: names
//! are looked up and judged here, and the proxy is asked for the address that was judged. [`Names::Proxy`] gives that up for names, where
//! there is no other way, and for names only.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use secrecy::SecretString;
use url::{Host, Url};

use super::{TargetHost, host_name, within};

/// Who looks up the names of receivers that are reached through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// This machine, so that every address is judged before the proxy is asked for it.
    #[default]
    Here,
    /// The proxy, which is given the name: what that leads to is for the proxy to judge.
    Proxy,
}

/// A proxy that opens tunnels (HTTP `CONNECT`).
#[derive(Debug, Clone)]
pub struct Proxy {
    host: TargetHost,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<SecretString>,
    /// What is reached without it.
    past: Vec<Past>,
    names: Names,
}

/// What is reached without the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// Addresses, also those that a name resolved to.
    Network(IpNet),
    /// A host, and every host below it.
    Name(String),
}

impl FromStr for Proxy {
    type Err = String;

    /// `http://host:port`, with a user name and password in front of the host if it wants them. The error never repeats the text.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // A word alone is a slip rather than a host: without a scheme, there has to be a port.
        let bare = !text.contains("://");
        let url = if bare { format!("http://{text}") } else { text.to_owned() };
        let url = Url::parse(&url).ok().filter(|url| !bare || url.port().is_some());
        let url = url.ok_or_else(|| "cannot be read".to_owned())?;
        match url.scheme() {
            "http" => {}
            "https" => return Err("names a proxy that is spoken to over TLS, which is not supported".to_owned()),
            _ => return Err("names another kind of proxy than an HTTP proxy".to_owned()),
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(
                "has something after the port, where nothing may stand (in a user name or password, write `/` as \
                        `%2F`, `?` as `%3F` and `#` as `%23`)"
                    .to_owned(),
            );
        }
        let host = match url.host() {
            Some(Host::Ipv4(ip)) => TargetHost::Address(ip.into()),
            Some(Host::Ipv6(ip)) => TargetHost::Address(ip.into()),
            Some(Host::Domain(name)) => {
                TargetHost::Name(host_name(name).map_err(|_| "names a host that cannot be one".to_owned())?)
            }
            None => return Err("names no host".to_owned()),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("has a port that cannot be one")?;
        Ok(Self { host, port, authorization: authorization(&url)?, past: Vec::new(), names: Names::Here })
    }
}

impl Proxy {
    /// The same proxy, with what is reached without it.
    #[must_use]
    pub fn past(self, past: Vec<Past>) -> Self {
        Self { past, ..self }
    }

    /// The same proxy, with who looks up names.
    #[must_use]
    pub fn names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Whether a host is reached through it, as far as the host alone tells: a name may still resolve to an address that is not.
    pub(crate) fn serves(&self, host: &TargetHost) -> bool {
        match host {
            TargetHost::Address(ip) => self.serves_address(*ip),
            TargetHost::Name(name) => !self.past.iter().any(|past| matches!(past, Past::Name(of) if within(name, of))),
        }
    }

    /// Whether an address is reached through it.
    pub(crate) fn serves_address(&self, ip: IpAddr) -> bool {
        !self.past.iter().any(|past| matches!(past, Past::Network(network) if network.contains(&ip)))
    }

    /// Whether it is this proxy that looks up the host.
    pub(crate) fn looks_up(&self, host: &TargetHost) -> bool {
        self.names == Names::Proxy && matches!(host, TargetHost::Name(_)) && self.serves(host)
    }

    /// Its host.
    pub(crate) fn host(&self) -> &TargetHost {
        &self.host
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it is told of who asks.
    pub(crate) fn authorization(&self) -> Option<&SecretString> {
        self.authorization.as_ref()
    }
}

/// Host and port; never the credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            TargetHost::Name(name) => write!(f, "{name}:{}", self.port),
            TargetHost::Address(ip) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
        }
    }
}

impl FromStr for Past {
    type Err = ();

    /// A network, an address, or a host: `company.internal`, also written `.company.internal` or `*.company.internal`.
    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(network) = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            return Ok(Self::Network(network.trunc()));
        }
        let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
        // As the host of a URL is read, so that both are spelled alike. What only digits end (`10.1`) is an address there, and no name.
        let url = Url::parse(&format!("https://{name}/")).map_err(drop)?;
        match url.host() {
            Some(Host::Domain(host)) if url.port().is_none() && url.path() == "/" && url.username().is_empty() => {
                host_name(host).map(Self::Name).map_err(drop)
            }
            _ => Err(()),
        }
    }
}

/// Basic credentials (RFC 7617) of what stands in front of the host.
fn authorization(url: &Url) -> Result<Option<SecretString>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user = decoded(url.username());
    let both = [&user[..], b":", &decoded(url.password().unwrap_or_default())].concat();
    if user.contains(&b':') || both.iter().any(u8::is_ascii_control) {
        return Err(
            "has a user name or password that cannot be sent: a user name holds no colon, and neither holds a \
                    control character"
                .to_owned(),
        );
    }
    Ok(Some(format!("Basic {}", STANDARD.encode(both)).into()))
}

/// Without percent-encoding, which a `%` that begins none of it is not.
fn decoded(text: &str) -> Vec<u8> {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = |offset| char::from(*bytes.get(at + offset)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        if let (b'%', Some(high), Some(low)) = (byte, hex(1), hex(2)) {
            decoded.push(high * 16 + low);
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn told(text: &str) -> Option<String> {
        let value = text.parse::<Proxy>().unwrap().authorization?.expose_secret().to_owned();
        Some(String::from_utf8(STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap()).unwrap())
    }

    #[test]
    fn a_proxy_is_read_as_people_write_it() {
        for (text, place) in [
            ("http://proxy.company.com:3128", "proxy.company.com:3128"),
            ("http://Proxy.Company.com:3128/", "proxy.company.com:3128"),
            ("proxy.company.com:3128", "proxy.company.com:3128"),
            ("user:secret@proxy:8080", "proxy:8080"),
            ("http://10.0.0.1", "10.0.0.1:80"),
            ("http://[fd00::1]:3128", "[fd00::1]:3128"),
        ] {
            assert_eq!(text.parse::<Proxy>().unwrap().to_string(), place, "{text}");
        }
        assert_eq!(told("http://proxy:3128"), None);
        assert_eq!(told("http://user:pass@proxy:3128").as_deref(), Some("user:pass"));
        assert_eq!(told("http://user@proxy:3128").as_deref(), Some("user:"));
        assert_eq!(told("http://user:p%40ss%2F%3A100%@proxy:3128").as_deref(), Some("user:p@ss/:100%"));
        assert_eq!(told("http://us%C3%A9r:p@ss@proxy:3128").as_deref(), Some("usér:p@ss"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_no_secret_is_ever_shown() {
        for text in [
            "",
            "http://",
            "true",
            "user:hunter2@proxy",
            "https://user:hunter2@proxy:3128",
            "socks5://user:hunter2@proxy:1080",
            "http://user:hunter2@proxy:3128/path",
            "http://user:hunter2#1@proxy:3128",
            "http://user:hunter2@proxy:0",
            "http://user:hunter2@proxy:99999",
            "http://user:hunter2@pro..xy:3128",
            "http://us%3Aer:hunter2@proxy:3128",
            "http://user:hunter2%0D%0AX-Y:z@proxy:3128",
        ] {
            let refused = text.parse::<Proxy>().unwrap_err();
            assert!(!refused.contains("hunter2"), "{text}: {refused}");
        }
        let proxy: Proxy = "http://user:hunter2@proxy:3128".parse().unwrap();
        let shown = format!("{proxy:?} {proxy}");
        assert!(!shown.contains("hunter2") && !shown.contains(&STANDARD.encode("user:hunter2")), "{shown}");
    }

    #[test]
    fn what_goes_past_it_is_a_network_or_a_name_with_all_below_it() {
        let past = ["10.0.0.0/8", "fd00::1", "company.internal", ".Sub.Example", "*.star.example", "localhost"];
        let past = past.map(|item| item.parse::<Past>().unwrap());
        let proxy = "http://proxy:3128".parse::<Proxy>().unwrap().past(past.to_vec());
        let serves = |host: &str| match host.parse() {
            Ok(ip) => proxy.serves(&TargetHost::Address(ip)),
            Err(_) => proxy.serves(&TargetHost::Name(host.to_owned())),
        };
        for host in ["10.1.2.3", "fd00::1", "company.internal", "a.b.company.internal", "sub.example", "x.sub.example"]
        {
            assert!(!serves(host), "{host}");
        }
        for host in ["11.0.0.1", "fd00::2", "mycompany.internal", "internal", "example", "company.internal.example"] {
            assert!(serves(host), "{host}");
        }
        for wrong in ["*", ".", "", "a b", "host:8080", "http://x", "x/y", "user@x", "10.0.0.0/33", "10.1", "a..b"] {
            assert!(wrong.parse::<Past>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_proxy_looks_up_names_only_where_it_was_told_to() {
        let proxy: Proxy = "http://proxy:3128".parse().unwrap();
        let name = TargetHost::Name("splunk.company.com".into());
        assert!(!proxy.looks_up(&name));
        let proxy = proxy.names(Names::Proxy).past(vec!["company.internal".parse().unwrap()]);
        assert!(proxy.looks_up(&name));
        assert!(!proxy.looks_up(&TargetHost::Name("es.company.internal".into())));
        assert!(!proxy.looks_up(&TargetHost::Address(IpAddr::from([8, 8, 8, 8]))));
    }
}
