//! What the platforms' receivers demand and answer, as far as a sink can tell without becoming what is measured: path, credential, kind
//! of content, a signature, and for each event what the platform's form puts around it.

use std::io::Read as _;

use flate2::read::GzDecoder;
use memchr::memmem;

use super::arrivals::Arrivals;
use super::template::{keys, sum};
use super::wire;

/// A platform's receiver.
pub(super) struct Receiver {
    /// The word that the API has for the platform.
    pub(super) platform: &'static str,
    path: &'static str,
    /// The header that lets in, and what it says.
    credential: (&'static str, &'static str),
    content_type: &'static str,
    /// What stands once around each event, and where it begins and ends.
    around: (&'static str, &'static str, &'static str),
    status: u16,
    /// The answer; where it names each event, with that in the middle.
    answer: (&'static str, Option<&'static str>, &'static str),
    /// `config` of a connector that leads here, where `URL` is the sink's.
    config: &'static str,
}

/// The receivers.
pub(super) const RECEIVERS: &[Receiver] = &[
    Receiver {
        platform: "splunk",
        path: "/services/collector/event",
        credential: ("authorization", "Splunk bench-token"),
        content_type: "application/json",
        around: ("{\"time\":", ",\"event\":{", "}}\n"),
        status: 200,
        answer: (r#"{"text":"Success","code":0}"#, None, ""),
        config: r#"{"hec_url": "URL", "hec_token": "bench-token"}"#,
    },
    Receiver {
        platform: "datadog",
        path: "/api/v2/logs",
        credential: ("dd-api-key", "bench-token-0123456789abcdef0123"),
        content_type: "application/json",
        around: ("[{", "\"ddsource\":\"toktra\"", "}]"),
        status: 202,
        answer: ("{}", None, ""),
        config: r#"{"url": "URL", "api_key": "bench-token-0123456789abcdef0123", "send_metrics": false}"#,
    },
    Receiver {
        platform: "elasticsearch",
        path: "/_bulk",
        credential: ("authorization", "ApiKey YmVuY2g6dG9rZW4="),
        content_type: "application/x-ndjson",
        around: ("{\"create\":{\"_index\":", "{\"create\":{\"_index\":", "}\n"),
        status: 200,
        answer: (
            r#"{"took":5,"errors":false,"items":["#,
            Some(
                r#"{"create":{"_index":"toktra-security-events-2026.01.15","_id":"0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f:0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}}"#,
            ),
            "]}",
        ),
        config: r#"{"url": "URL", "api_key": "YmVuY2g6dG9rZW4=", "manage_template": false}"#,
    },
    Receiver {
        platform: "webhook",
        path: "/webhook",
        credential: ("authorization", "Bearer bench-token"),
        content_type: "application/json",
        around: ("[{", "{\"event_id\":", "}]"),
        status: 204,
        answer: ("", None, ""),
        config: r#"{"url": "URL/webhook", "token": "bench-token", "format": "array"}"#,
    },
];

/// What was taken.
pub(super) struct Taken {
    /// How many events.
    pub(super) events: u64,
    /// See [`sum`].
    pub(super) sum: u64,
    /// The whole answer.
    pub(super) reply: Vec<u8>,
}

/// `config` of a connector of `platform` that leads to `url`.
pub(super) fn config(platform: &str, url: &str) -> Option<String> {
    let receiver = RECEIVERS.iter().find(|receiver| receiver.platform == platform)?;
    Some(receiver.config.replace("URL", url))
}

/// Takes a request, or says what is wrong with it. What a generator posts straight to the sink is no platform's, and only counted.
pub(super) fn take(head: &[u8], body: &[u8], arrivals: &Arrivals) -> Result<Taken, String> {
    let path = wire::path(head);
    if path == b"/v1/events" {
        let (events, sum) = counted(body);
        return Ok(Taken { events, sum, reply: reply(200, r#"{"text":"Success","code":0}"#) });
    }
    let receiver = RECEIVERS.iter().find(|receiver| receiver.path.as_bytes() == path);
    let receiver = receiver.ok_or_else(|| format!("no platform has {}", String::from_utf8_lossy(path)))?;
    receiver.judge_head(head)?;
    let inflated;
    let body = match wire::header(head, "content-encoding") {
        None => body,
        Some(b"gzip") => {
            inflated = inflate(body)?;
            &inflated[..]
        }
        Some(_) => return Err("an encoding that is not gzip".to_owned()),
    };
    arrivals.received(keys(body));
    let (events, sum) = counted(body);
    receiver.judge_body(body, events)?;
    Ok(Taken { events, sum, reply: receiver.reply(events) })
}

fn counted(body: &[u8]) -> (u64, u64) {
    let mut events = 0;
    let sum = sum(keys(body).inspect(|_| events += 1));
    (events, sum)
}

impl Receiver {
    fn judge_head(&self, head: &[u8]) -> Result<(), String> {
        let says = |name, value: &str| wire::header(head, name) == Some(value.as_bytes());
        if !says(self.credential.0, self.credential.1) {
            return Err(format!("{}: no {} that lets in", self.platform, self.credential.0));
        }
        if !says("content-type", self.content_type) {
            return Err(format!("{}: the content is not {}", self.platform, self.content_type));
        }
        let signature = wire::header(head, "x-toktra-signature").and_then(|value| value.strip_prefix(b"sha256="));
        let webhook = wire::header(head, "webhook-signature").and_then(|value| value.strip_prefix(b"v1,"));
        match (signature, webhook) {
            (Some(hex), Some(base64)) if hex.len() == 64 && base64.len() == 44 => Ok(()),
            _ => Err(format!("{}: it is not signed", self.platform)),
        }
    }

    fn judge_body(&self, body: &[u8], events: u64) -> Result<(), String> {
        let (begin, around, end) = self.around;
        let wrong = |what: &str| Err(format!("{}: {what}", self.platform));
        if !body.starts_with(begin.as_bytes()) || !body.ends_with(end.as_bytes()) {
            return wrong("the body does not begin and end as it should");
        }
        if memmem::find_iter(body, around).count() as u64 != events || events == 0 {
            return wrong("an event is not in the platform's form");
        }
        Ok(())
    }

    fn reply(&self, events: u64) -> Vec<u8> {
        let (before, each, after) = self.answer;
        let items = each.map(|each| vec![each; usize::try_from(events).unwrap_or(0)].join(",")).unwrap_or_default();
        reply(self.status, &format!("{before}{items}{after}"))
    }
}

fn inflate(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::with_capacity(body.len() * 4);
    GzDecoder::new(body).read_to_end(&mut inflated).map_err(|error| format!("the body is no gzip: {error}"))?;
    Ok(inflated)
}

/// An answer with its head.
pub(super) fn reply(status: u16, body: &str) -> Vec<u8> {
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{length}\r\n{body}").into()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const SIGNED: &str = "x-toktra-signature: sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
        webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n";
    const EVENT: &str = r#"{"event_id":"0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f","event_type":"lockout"}"#;

    /// Requests as `crates/platform/tests/destinations` has them of each platform.
    fn request(platform: &str) -> (String, String) {
        let (path, extra, body) = match platform {
            "splunk" => (
                "services/collector/event",
                "Authorization: Splunk bench-token\r\ncontent-type: application/json\r\n",
                format!("{{\"time\":1.000,\"host\":\"toktra\",\"event\":{EVENT}}}\n").repeat(2),
            ),
            "datadog" => (
                "api/v2/logs",
                "dd-api-key: bench-token-0123456789abcdef0123\r\ncontent-type: application/json\r\n",
                format!("[{0},{0}]", EVENT.replacen('{', r#"{"ddsource":"toktra","#, 1)),
            ),
            "elasticsearch" => (
                "_bulk",
                "authorization: ApiKey YmVuY2g6dG9rZW4=\r\ncontent-type: application/x-ndjson\r\n",
                format!("{{\"create\":{{\"_index\":\"a\",\"_id\":\"b\"}}}}\n{EVENT}\n").repeat(2),
            ),
            _ => (
                "webhook",
                "authorization: Bearer bench-token\r\ncontent-type: application/json\r\n",
                format!("[{EVENT},{EVENT}]"),
            ),
        };
        (format!("POST /{path} HTTP/1.1\r\n{extra}{SIGNED}\r\n"), body)
    }

    fn taken(head: &str, body: &[u8]) -> Result<Taken, String> {
        take(head.as_bytes(), body, &Arrivals::new())
    }

    #[test]
    fn every_platform_is_answered_as_it_answers_and_its_events_are_counted() {
        for receiver in RECEIVERS {
            let (head, body) = request(receiver.platform);
            let plain = taken(&head, body.as_bytes()).unwrap();
            assert_eq!(plain.events, 2, "{}", receiver.platform);
            assert_eq!(wire::status(&plain.reply), receiver.status);
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(body.as_bytes()).unwrap();
            let head = head.replacen("\r\n", "\r\ncontent-encoding: gzip\r\n", 1);
            let packed = taken(&head, &gzip.finish().unwrap()).unwrap();
            assert_eq!((packed.events, packed.sum), (2, plain.sum));
            let config: serde_json::Value =
                serde_json::from_str(&config(receiver.platform, "http://x").unwrap()).unwrap();
            assert!(config.to_string().contains("http://x"));
        }
    }

    #[test]
    fn an_answer_of_a_bulk_has_an_item_for_each_event() {
        let (head, body) = request("elasticsearch");
        let reply = taken(&head, body.as_bytes()).unwrap().reply;
        let message = wire::message(&reply).unwrap().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&reply[message.head..]).unwrap();
        assert_eq!(answer["items"].as_array().unwrap().len(), 2);
        assert_eq!(answer["items"][1]["create"]["status"], 201);
    }

    #[test]
    fn what_a_platform_would_refuse_is_refused() {
        for receiver in RECEIVERS {
            let (head, body) = request(receiver.platform);
            let refused = |head: &str, body: &str| taken(head, body.as_bytes()).err().unwrap_or_default();
            assert!(refused(&head.replace("ench", "anch").replace("Ym", "Ya"), &body).contains("lets in"));
            assert!(refused(&head.replace(SIGNED, ""), &body).contains("not signed"));
            assert!(refused(&head.replace("application", "text"), &body).contains("content"));
            assert!(refused(&head, &format!(" {body}")).contains("begin and end"));
            assert!(!refused(&head, "").is_empty());
            assert!(refused(&head.replace("POST /", "POST /other/"), &body).contains("no platform"));
        }
        let (head, body) = request("splunk");
        let bare = body.replacen(r#","event":{"#, r#","evil":{"#, 1);
        assert!(taken(&head, bare.as_bytes()).is_err_and(|why| why.contains("form")));
    }
}
