//! Parses the URL that somebody pastes into the address that a connector dials. No other code parses a URL before it is stored. The
//! parser's own spelling is stored, so that the egress policy and the transport judge exactly what was saved.

use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::fault::shown;
use url::{Host, Url};

/// The longest URL that is read, in bytes.
const MAX_URL: usize = 2048;

/// Reads the base URL of an endpoint and gives its canonical spelling: scheme, host (international names in their ASCII form), port where
/// it is not the scheme's own, and path prefix, without a slash at the end. A bare `host:port` means `https`.
///
/// The error is a sentence for the person who typed it. It never repeats the URL, which may hold a password.
pub fn base_url(text: &str) -> Result<String, String> {
    parse(text).map(|url| url.as_str().trim_end_matches('/').to_owned())
}

/// The same, as a URL.
pub fn parse(text: &str) -> Result<Url, String> {
    let mut url = whole(text)?;
    if url.query().is_some() {
        return Err(
            "must not have a query (`?…`): tokens never go into the URL, give them in their own fields".to_owned()
        );
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Reads a URL to which nothing is appended: path and query stay as they are.
pub fn whole(text: &str) -> Result<Url, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty; give the base URL, such as https://siem.company.com:8088".to_owned());
    }
    if text.len() > MAX_URL {
        return Err(format!("is longer than {MAX_URL} bytes"));
    }
    // The parser drops or rewrites these; two programs would then read two addresses.
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("holds a space, a backslash or a control character; give the plain base URL".to_owned());
    }
    let absolute = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&absolute)
        .map_err(|error| format!("is not a URL ({error}); give one such as https://siem.company.com:8088"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "has the scheme `{}`; only https (and http, where the operator allows it) is supported",
            shown(url.scheme())
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password; give credentials in their own fields".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (`#…`)".to_owned());
    }
    if url.port() == Some(0) {
        return Err("has the port 0, which cannot be dialled".to_owned());
    }
    if let Some(Host::Domain(domain)) = url.host()
        && domain.ends_with('.')
    {
        // One host, one spelling; certificates never name the dot.
        let bare = domain.trim_end_matches('.').to_owned();
        url.set_host(Some(&bare)).map_err(|error| format!("has no valid host name ({error})"))?;
    }
    Ok(url)
}

/// What is shown of a URL that is a secret: its scheme, host and port.
pub fn origin(secret: &SecretString) -> Option<String> {
    let url = Url::parse(secret.expose_secret()).ok()?;
    url.host_str().map(|_| url.origin().ascii_serialization())
}

/// Every form in which a URL that is a secret travels: as a whole, and what stands behind its host, which is what a server sees and may
/// echo.
pub fn secret_forms(secret: &SecretString) -> Vec<String> {
    let text = secret.expose_secret();
    let Ok(url) = Url::parse(text) else { return vec![text.to_owned()] };
    let path = url.path();
    let query = url.query().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    let parts = [format!("{path}?{query}"), path.to_owned(), query.to_owned(), last.to_owned()];
    // A short part of a path is no secret by itself, and would turn up in ordinary words.
    let told = parts.into_iter().chain(values).filter(|part| part.len() >= 8);
    std::iter::once(text.to_owned()).chain(told).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_get_one_spelling() {
        for (pasted, kept) in [
            ("https://splunk.company.com:8088", "https://splunk.company.com:8088"),
            (" HTTPS://Splunk.Company.com:443/ ", "https://splunk.company.com"),
            ("splunk.company.com:8088", "https://splunk.company.com:8088"),
            ("splunk", "https://splunk"),
            ("http://10.0.0.1:8088//", "http://10.0.0.1:8088"),
            ("https://0x7f.1/a/../b/", "https://127.0.0.1/b"),
            ("https://siem.example.", "https://siem.example"),
            ("siem.example..:8088", "https://siem.example:8088"),
            ("https://bücher.example/hec/", "https://xn--bcher-kva.example/hec"),
            ("[::1]:9200", "https://[::1]:9200"),
        ] {
            assert_eq!(base_url(pasted).unwrap(), kept);
        }
    }

    #[test]
    fn refuses_what_must_not_be_in_a_url_without_repeating_it() {
        for (pasted, part) in [
            ("", "is empty"),
            ("ftp://s.example", "scheme `ftp`"),
            ("file:///etc/passwd", "scheme `file`"),
            ("https://user:hunter2@s.example", "user name or password"),
            ("https://s.example/?token=hunter2", "tokens never go into the URL"),
            ("https://s.example/#hunter2", "fragment"),
            ("https://s.example:0", "port 0"),
            ("https://s.example:99999", "not a URL"),
            ("https://s exam.ple", "a space"),
            ("https://s.example\\@evil.example", "backslash"),
            ("https://s.exam\nple", "control character"),
            ("https://", "not a URL"),
            ("https://..", "no valid host"),
            ("https://[fe80::1%25eth0]", "not a URL"),
        ] {
            let message = base_url(pasted).unwrap_err();
            assert!(message.contains(part), "{pasted}: {message}");
            assert!(!message.contains("hunter2"));
        }
        assert!(base_url(&format!("https://s.example/{}", "a".repeat(3000))).is_err());
    }

    #[test]
    fn whole_urls_stay_as_they_are() {
        for (pasted, kept) in [
            (" HTTPS://Hooks.example.:443/services/T0/B0/x/ ", "https://hooks.example/services/T0/B0/x/"),
            ("hooks.example/in?key=a%2Fb", "https://hooks.example/in?key=a%2Fb"),
            ("https://hooks.example", "https://hooks.example/"),
        ] {
            assert_eq!(whole(pasted).unwrap().as_str(), kept);
        }
        for bad in ["ftp://hooks.example/hunter2", "https://u:hunter2@hooks.example", "https://hooks.example/#hunter2"]
        {
            assert!(!whole(bad).unwrap_err().contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_what_is_read_reads_as_itself(any in "\\PC{0,30}", urlish in "(https?://)?[a-zA-Z0-9.:/@?#\\[\\]%_-]{0,30}") {
            for text in [any, urlish] {
                if let Ok(url) = base_url(&text) {
                    prop_assert_eq!(base_url(&url).unwrap(), url.clone());
                    let parsed = Url::parse(&url).unwrap();
                    prop_assert!(parsed.host().is_some() && parsed.username().is_empty() && parsed.query().is_none());
                }
            }
        }
    }
}
