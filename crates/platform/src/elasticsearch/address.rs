//! The address of a cluster, as people write it: a URL, with or without the path of an API, or a Cloud ID.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as LENIENT;
use url::Url;

use crate::descriptor::Checked;
use crate::endpoint;

/// The endpoint that an Elastic Cloud id names: `name:base64(host$es_uuid$kibana_uuid)`, where host and es_uuid may each carry a port
/// (Elastic's documentation, "Find your Cloud ID").
pub(super) fn cloud_id_url(text: &str) -> Result<String, String> {
    let wrong = || {
        "is not a Cloud ID; copy it from the deployment's page in Elastic Cloud, it looks like name:ZXUtY2Vud…"
            .to_owned()
    };
    let encoded = text.trim().rsplit_once(':').map_or(text.trim(), |(_, encoded)| encoded);
    let decoded = LENIENT.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let mut parts = decoded.split('$');
    let (host, common_port) = with_port(parts.next().unwrap_or_default()).ok_or_else(wrong)?;
    let (cluster, own_port) = with_port(parts.next().unwrap_or_default()).ok_or_else(wrong)?;
    endpoint::base_url(&format!("https://{cluster}.{host}:{}", own_port.or(common_port).unwrap_or(443)))
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

/// The base URL of a cluster. The path of an API is cut off; an address of the pages for people is refused as such.
pub(super) fn cluster(text: &str) -> Checked {
    const PAGES: [&str; 8] =
        ["dashboards", "dev_tools", "discover", "home", "kibana", "management", "observability", "security"];
    let parsed = Url::parse(text.trim()).ok();
    let page = parsed.as_ref().is_some_and(|url| {
        let leads_to_page = url
            .path()
            .split_once("/app/")
            .is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|page| PAGES.contains(&page)));
        url.fragment().is_some() || leads_to_page
    });
    if page {
        return Err(
            "is an address of Kibana's or Dashboards' pages; give that of Elasticsearch itself, usually port 9200"
                .to_owned(),
        );
    }
    match parsed.as_ref().and_then(|url| Some((url, above_the_api(url.path())?))) {
        Some((url, above)) => {
            let mut base = url.clone();
            base.set_path(above);
            base.set_query(None);
            endpoint::base_url(base.as_str())
        }
        None => endpoint::base_url(text),
    }
}

/// A Cloud ID as it is kept.
pub(super) fn cloud_id(text: &str) -> Checked {
    cloud_id_url(text).map(|_| text.trim().to_owned())
}

/// Whether the text is meant as a Cloud ID: a name, a colon and base64, and no host with its port.
pub(super) fn is_cloud_id(text: &str) -> bool {
    let text = text.trim();
    let base64 = |encoded: &str| {
        encoded.len() > 12 && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b))
    };
    !text.contains("://")
        && match text.rsplit_once(':') {
            Some((_, encoded)) => base64(encoded),
            // Without its name: a host could be written so, but would hold nothing like this.
            None => base64(text) && cloud_id_url(text).is_ok(),
        }
}

/// The path up to an API of Elasticsearch, whose names begin with `_`; without the index, where the API is one of an index.
fn above_the_api(path: &str) -> Option<&str> {
    const OF_INDEX: [&str; 6] = ["_doc", "_create", "_search", "_count", "_mapping", "_update"];
    let at = path.find("/_")?;
    let (above, api) = path.split_at(at);
    let name = api[1..].split('/').next().unwrap_or_default();
    Some(if OF_INDEX.contains(&name) { above.rsplit_once('/').map_or("", |(prefix, _)| prefix) } else { above })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;

    #[test]
    fn cloud_ids_are_told_from_hosts() {
        assert!(is_cloud_id(&format!("deploy:{}", LENIENT.encode("eu-central-1.aws.cloud.es.io$abc$def"))));
        assert!(!is_cloud_id("es.company.com:9200") && !is_cloud_id("https://es.company.com:9200"));
    }

    #[test]
    fn the_path_of_an_api_is_cut_and_pages_for_people_are_refused_as_such() {
        for api in ["", "/", "/_bulk", "/_bulk?pretty", "/my-index/_doc", "/_cat/health?v"] {
            assert_eq!(cluster(&format!("https://es.example:9200/es{api}")).unwrap(), "https://es.example:9200/es");
        }
        for page in [
            "https://es.example:5601/app/dashboards#/view/x",
            "https://es.example/kibana/app/home",
            "https://es.example/#/x",
        ] {
            assert!(cluster(page).unwrap_err().contains("pages"), "{page}");
        }
        let bare = BASE64.encode("eu-central-1.aws.cloud.es.io$abc123$def");
        assert!(is_cloud_id(&bare) && !is_cloud_id("elasticsearchcluster"));
        assert_eq!(cluster("https://company.com/app/es/_bulk").unwrap(), "https://company.com/app/es");
        assert_eq!(cloud_id_url(&bare).unwrap(), "https://abc123.eu-central-1.aws.cloud.es.io");
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
}
