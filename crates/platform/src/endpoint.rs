//! Where a connector dials, from what people paste: the one place where a URL is parsed before it is stored (threats.md, SSRF). What is
//! stored is the parser's own spelling, so that the egress policy and transport judge exactly what was saved.

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
    if url.query().is_some() {
        return Err(
            "must not have a query (`?…`): tokens never go into the URL, give them in their own fields".to_owned()
        );
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
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
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
