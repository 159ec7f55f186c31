//! Where a connector dials, from what people paste: the one place where a URL is parsed before it is stored (threats.md, SSRF). What is
//! stored is the parser's own spelling, so that the egress policy and transport judge exactly what was saved.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use url::{Host, Url};

use crate::fault::shown;

/// The longest URL that is read, in bytes.
const MAX_URL: usize = 2048;

/// Datadog's sites (destinations.md, "Datadog").
pub const DATADOG_SITES: [&str; 9] = [
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
];

/// Reads the base URL of an endpoint and gives its canonical spelling: scheme, host (international names in their ASCII form), port where
/// it is not the scheme's own, and path prefix, without a slash at the end. A bare `host:port` means `https`.
///
/// The error is a sentence for the person who typed it. It never repeats the URL, which may hold a password.
pub fn base_url(text: &str) -> Result<String, String> {
    parse(text).map(|url| url.as_str().trim_end_matches('/').to_owned())
}

/// Like [`base_url`], for Splunk: the path of a pasted collector URL (`/services/collector…`) is cut off, because it is appended to every
/// request.
pub fn hec_url(text: &str) -> Result<String, String> {
    const COLLECTOR: &str = "/services/collector";
    let mut url = parse(text)?;
    let path = url.path().to_owned();
    if let Some(at) = path.find(COLLECTOR)
        && matches!(path.as_bytes().get(at + COLLECTOR.len()), None | Some(b'/'))
    {
        url.set_path(&path[..at]);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn parse(text: &str) -> Result<Url, String> {
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
        && let Some(bare) = domain.strip_suffix('.').map(str::to_owned)
    {
        // One host, one spelling; certificates never name the dot.
        url.set_host(Some(&bare)).map_err(|error| format!("has no valid host name ({error})"))?;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Reads a Datadog site. The address of the site's pages, as it stands in the browser, is understood as well.
pub fn datadog_site(text: &str) -> Result<String, String> {
    let lower = text.trim().to_ascii_lowercase();
    let host = lower.strip_prefix("https://").unwrap_or(&lower).split('/').next().unwrap_or_default();
    let site = ["app.", "api.", "http-intake.logs."].iter().find_map(|p| host.strip_prefix(p)).unwrap_or(host);
    if DATADOG_SITES.contains(&site) {
        return Ok(site.to_owned());
    }
    let sites = DATADOG_SITES.join(", ");
    Err(format!("is not a Datadog site; it is one of {sites}. For a proxy, give `url` instead"))
}

/// The endpoint that an Elastic Cloud id names: `name:base64(host$es_uuid$kibana_uuid)`, where host and es_uuid may each carry a port
/// (destinations.md, "Elasticsearch and OpenSearch bulk").
pub fn cloud_id_url(text: &str) -> Result<String, String> {
    let wrong = || {
        "is not a Cloud ID; copy it from the deployment's page in Elastic Cloud, it looks like name:ZXUtY2Vud…"
            .to_owned()
    };
    let (_, encoded) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
    let decoded = BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let mut parts = decoded.split('$');
    let (host, common_port) = with_port(parts.next().unwrap_or_default()).ok_or_else(wrong)?;
    let (cluster, own_port) = with_port(parts.next().unwrap_or_default()).ok_or_else(wrong)?;
    base_url(&format!("https://{cluster}.{host}:{}", own_port.or(common_port).unwrap_or(443)))
}

/// `name[:port]`, where the name holds nothing that could mean something in a URL.
fn with_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match text.split_once(':') {
        Some((name, digits)) => (name, Some(digits.parse().ok()?)),
        None => (text, None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!name.is_empty() && name.bytes().all(plain)).then_some((name, port))
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
            ("https://bücher.example/hec/", "https://xn--bcher-kva.example/hec"),
            ("[::1]:9200", "https://[::1]:9200"),
        ] {
            assert_eq!(base_url(pasted).unwrap(), kept);
        }
    }

    #[test]
    fn collector_paths_are_cut_from_pasted_urls() {
        for pasted in [
            "",
            "/",
            "/services/collector",
            "/services/collector/",
            "/services/collector/event",
            "/services/collector/raw/1.0",
        ] {
            assert_eq!(hec_url(&format!("https://s.example:8088{pasted}")).unwrap(), "https://s.example:8088");
            assert_eq!(hec_url(&format!("https://s.example/hec{pasted}")).unwrap(), "https://s.example/hec");
        }
        assert_eq!(hec_url("https://s.example/services/collectors").unwrap(), "https://s.example/services/collectors");
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
            ("https://[fe80::1%25eth0]", "not a URL"),
        ] {
            let message = base_url(pasted).unwrap_err();
            assert!(message.contains(part), "{pasted}: {message}");
            assert!(!message.contains("hunter2"));
        }
        assert!(base_url(&format!("https://s.example/{}", "a".repeat(3000))).is_err());
    }

    #[test]
    fn datadog_sites_are_those_of_the_table() {
        for (pasted, site) in [
            ("datadoghq.com", "datadoghq.com"),
            (" https://app.datadoghq.eu/logs?x ", "datadoghq.eu"),
            ("us5.datadoghq.com", "us5.datadoghq.com"),
            ("https://us3.datadoghq.com/", "us3.datadoghq.com"),
        ] {
            assert_eq!(datadog_site(pasted).unwrap(), site);
        }
        for wrong in ["", "datadog.com", "evil.example/datadoghq.com", "datadoghq.com.evil.example", "EU1"] {
            assert!(datadog_site(wrong).unwrap_err().contains("datadoghq.eu"), "{wrong}");
        }
    }

    #[test]
    fn cloud_ids_decode_to_their_endpoint() {
        let id = |inside: &str| format!("my:deployment:{}", BASE64.encode(inside));
        for (inside, url) in [
            ("eu-central-1.aws.cloud.es.io$abc123$def", "https://abc123.eu-central-1.aws.cloud.es.io"),
            ("cloud.es.io:9243$abc$def", "https://abc.cloud.es.io:9243"),
            ("cloud.es.io:9243$abc:9244$", "https://abc.cloud.es.io:9244"),
            ("cloud.es.io$abc", "https://abc.cloud.es.io"),
        ] {
            assert_eq!(cloud_id_url(&id(inside)).unwrap(), url);
        }
        for inside in
            ["", "cloud.es.io", "cloud.es.io$", "$abc", "evil.example/x$abc", "a@b$c", "h:x$abc", "h:70000$abc"]
        {
            assert!(cloud_id_url(&id(inside)).is_err(), "{inside}");
        }
        assert!(cloud_id_url("no-colon").is_err());
        assert!(cloud_id_url("name:%%%").is_err());
    }

    proptest! {
        #[test]
        fn never_panics_and_what_is_read_reads_as_itself(any in "\\PC{0,30}", urlish in "(https?://)?[a-zA-Z0-9.:/@?#\\[\\]%_-]{0,30}") {
            for text in [any, urlish] {
                let _ = (cloud_id_url(&text), datadog_site(&text));
                for read in [base_url, hec_url] {
                    if let Ok(url) = read(&text) {
                        prop_assert_eq!(read(&url).unwrap(), url.clone());
                        let parsed = Url::parse(&url).unwrap();
                        prop_assert!(parsed.host().is_some() && parsed.username().is_empty() && parsed.query().is_none());
                    }
                }
            }
        }
    }
}
