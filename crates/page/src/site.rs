//! Where the page is, as its visitors see it: whether over HTTPS, and which origin its own forms come from.

use http::HeaderMap;
use http::header::{HOST, HeaderName, ORIGIN};
use url::{Host, Url};

use super::cookies::Jar;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The page's own address, for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its cookies.
    pub jar: Jar,
    /// Host and port, as in the address bar.
    authority: Option<String>,
    /// Whether the operator said so; otherwise it is what the request says.
    configured: bool,
}

/// The port of HTTP where none is written.
const HTTP: u16 = 80;

impl Site {
    /// The site that a request means: the configured one, else the `Host` that it names.
    pub fn of(headers: &HeaderMap, public_url: Option<&Url>) -> Self {
        if let Some(url) = public_url {
            let secure = if url.scheme() == "https" { Ok(()) } else { Err(url.port().unwrap_or(HTTP)) };
            return Self { jar: Jar { secure }, authority: Some(authority(url)), configured: true };
        }
        let named = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .and_then(|host| Url::parse(&format!("http://{host}")).ok());
        let local = named.as_ref().filter(|url| is_loopback(url)).map(|url| url.port().unwrap_or(HTTP));
        let authority = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
        // Whoever reaches it by another name comes through a proxy that speaks TLS: without, the browser drops the cookies, and the login
        // page says so.
        Self { jar: Jar { secure: local.map_or(Ok(()), Err) }, authority, configured: false }
    }

    /// What stands before every path, for commands that people copy: `https://siem.company.com`.
    pub fn address(&self) -> String {
        let scheme = if self.jar.secure.is_ok() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority.as_deref().unwrap_or("localhost"))
    }

    /// Whether a request that changes something comes from this site's own pages, as far as the browser says. One that says nothing is no
    /// browser of today; it still needs the token.
    pub fn sent(&self, headers: &HeaderMap) -> Result<(), Stranger> {
        if let Some(site) = headers.get(FETCH_SITE)
            && site != "same-origin"
        {
            return Err(Stranger { configured: self.configured });
        }
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()).map(|url| authority(&url));
        let own = self.authority.as_deref().map(with_port_left_out);
        if origin.is_some() && origin == own { Ok(()) } else { Err(Stranger { configured: self.configured }) }
    }
}

/// A form of another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// Whether the operator said what the own site is.
    pub configured: bool,
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// As `Origin` writes it: the usual port is left out. Which of the two is usual a `Host` header does not say.
fn with_port_left_out(authority: &str) -> String {
    let bare = authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443"));
    bare.unwrap_or(authority).to_owned()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn accepts(public_url: Option<&str>, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = headers(pairs);
        Site::of(&headers, public_url.map(|url| Url::parse(url).unwrap()).as_ref()).sent(&headers).is_ok()
    }

    #[test]
    fn cookies_are_plain_on_loopback_only() {
        let jar = |host| Site::of(&headers(&[("host", host)]), None).jar.secure;
        assert_eq!(jar("127.0.0.1:8080"), Err(8080));
        assert_eq!(jar("localhost"), Err(80));
        assert_eq!(jar("[::1]:9000"), Err(9000));
        assert_eq!(jar("siem.company.com"), Ok(()));
        assert_eq!(jar("10.0.0.7:8080"), Ok(()));
        assert_eq!(jar("127.0.0.1.company.com"), Ok(()));
        let behind = Url::parse("https://siem.company.com").unwrap();
        assert_eq!(Site::of(&headers(&[("host", "127.0.0.1:8080")]), Some(&behind)).jar.secure, Ok(()));
    }

    #[test]
    fn only_forms_of_the_own_origin_count() {
        let host = ("host", "siem.company.com");
        assert!(accepts(None, &[host, ("origin", "https://siem.company.com"), ("sec-fetch-site", "same-origin")]));
        assert!(!accepts(None, &[host, ("origin", "https://evil.example")]));
        assert!(!accepts(None, &[host, ("origin", "https://siem.company.com.evil.example")]));
        assert!(!accepts(None, &[host, ("origin", "https://siem.company.com:8443")]), "another port is another origin");
        assert!(!accepts(None, &[host, ("origin", "null")]));
        assert!(!accepts(None, &[host, ("sec-fetch-site", "same-site")]));
        assert!(!accepts(None, &[host, ("sec-fetch-site", "cross-site")]));
        assert!(accepts(None, &[host]), "no browser says nothing; the token still counts");
        assert!(accepts(None, &[("host", "siem.company.com:443"), ("origin", "https://siem.company.com")]));
    }

    #[test]
    fn behind_a_proxy_the_configured_url_counts() {
        let proxied = [("host", "127.0.0.1:8080"), ("origin", "https://siem.company.com")];
        assert!(!accepts(None, &proxied));
        assert!(accepts(Some("https://siem.company.com"), &proxied));
        assert!(!accepts(Some("https://siem.company.com"), &[proxied[0], ("origin", "http://127.0.0.1:8080")]));
    }
}
