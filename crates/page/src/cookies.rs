//! The cookies of the page. Which names and attributes they have depends on how the page is reached: over HTTPS they have the `__Host-`
//! prefix, which a browser takes only with `Secure`, for the whole host and no other (cross-site requests). On a loopback address without
//! TLS no browser keeps such a cookie reliably; there they are named after the port, since cookies do not tell ports apart.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

/// Which cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The session's token.
    Session,
    /// What tells a browser that somebody logged in with before.
    Device,
    /// What forms have to repeat.
    Csrf,
    /// What the next page says above everything else: a saved change, say.
    Notice,
    /// `light` or `dark`, where it is not the system's.
    Theme,
    /// `utc`, where times are not shown in the reader's zone.
    Zone,
}

impl Cookie {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Device => "device",
            Self::Csrf => "csrf",
            Self::Notice => "notice",
            Self::Theme => "theme",
            Self::Zone => "zone",
        }
    }

    /// How long a browser keeps it, in seconds; `None` until it is closed.
    fn lifetime(self) -> Option<u64> {
        match self {
            // The server ends sessions by itself, earlier than this.
            Self::Session => Some(14 * 24 * 3600),
            Self::Csrf => None,
            Self::Notice => Some(60),
            Self::Device | Self::Theme | Self::Zone => Some(400 * 24 * 3600),
        }
    }
}

/// Names and attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jar {
    /// Over HTTPS. Otherwise a loopback address with this port.
    pub secure: Result<(), u16>,
}

impl Jar {
    /// The whole name of `cookie`.
    pub fn name(self, cookie: Cookie) -> String {
        match self.secure {
            Ok(()) => format!("__Host-toktra-{}", cookie.word()),
            Err(port) => format!("toktra-{}-{port}", cookie.word()),
        }
    }

    /// Its value in a request. Where it is there twice, nobody knows which is ours: neither is believed.
    pub fn read(self, headers: &HeaderMap, cookie: Cookie) -> Option<String> {
        let name = self.name(cookie);
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut found = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        let value = found.next()?;
        found.next().is_none().then(|| value.to_owned())
    }

    /// Sets it. The value must be of characters that a cookie may have; another one is not set.
    pub fn set(self, cookie: Cookie, value: &str) -> Option<HeaderValue> {
        self.line(cookie, value, cookie.lifetime())
    }

    /// Takes it back.
    pub fn clear(self, cookie: Cookie) -> Option<HeaderValue> {
        self.line(cookie, "", Some(0))
    }

    fn line(self, cookie: Cookie, value: &str, lifetime: Option<u64>) -> Option<HeaderValue> {
        let name = self.name(cookie);
        let age = lifetime.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let secure = if self.secure.is_ok() { "; Secure" } else { "" };
        // Lax, not Strict: a link that a colleague sent opens the page instead of asking for a login. Nothing is changed by GET.
        let mut line =
            HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}")).ok()?;
        line.set_sensitive(true);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: Jar = Jar { secure: Ok(()) };
    const LOCAL: Jar = Jar { secure: Err(8080) };

    fn sent(line: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(line))])
    }

    #[test]
    fn over_https_they_belong_to_the_host_alone() {
        let line = HTTPS.set(Cookie::Session, "tss_1").unwrap();
        assert_eq!(line, "__Host-toktra-session=tss_1; Path=/; HttpOnly; SameSite=Lax; Max-Age=1209600; Secure");
        assert_eq!(
            HTTPS.clear(Cookie::Csrf).unwrap(),
            "__Host-toktra-csrf=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure"
        );
        assert!(line.is_sensitive());
    }

    #[test]
    fn on_loopback_two_servers_do_not_log_each_other_out() {
        let headers = sent("toktra-session-8080=a; toktra-session-9090=b; other=c");
        assert_eq!(LOCAL.read(&headers, Cookie::Session).as_deref(), Some("a"));
        assert_eq!(Jar { secure: Err(9090) }.read(&headers, Cookie::Session).as_deref(), Some("b"));
        assert_eq!(HTTPS.read(&headers, Cookie::Session), None, "a name without the prefix is not ours");
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_not_believed() {
        assert_eq!(LOCAL.read(&sent("toktra-csrf-8080=a; toktra-csrf-8080=b"), Cookie::Csrf), None);
    }
}
