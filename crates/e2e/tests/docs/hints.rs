//! The troubleshooting sections quote what the service says, word for word: `> \`code\`: text`. Each quote is held against the code that says it,
//! and everything that a person can be told about a SIEM is explained on its page.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::ids::{ConnectorId, OrgId, PlatformId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::{Blocked, Failure, FailureKind, OutOfTurn, Refused, StageName, Why};
use toktra_siem_platform::Registry;
use toktra_siem_platform::datadog::Datadog;
use toktra_siem_platform::destination::{Destination, EndpointState, Judgement, Outcome, Reply, Verdict};
use toktra_siem_platform::elasticsearch::Elasticsearch;
use toktra_siem_platform::splunk::Splunk;
use toktra_siem_platform::webhook::Webhook;
use toktra_siem_testkit::prelude::*;

/// The time of every reply: 2025-01-15T10:30:00Z.
const NOW: Timestamp = Timestamp(1_736_937_000_000);

fn destination(platform: PlatformId, kind: StreamKind, config: &serde_json::Value) -> Box<dyn Destination> {
    let registry = Registry::standard();
    let (settings, credentials) = registry.parse_new(platform, config).expect("settings");
    let nil = uuid::Uuid::nil();
    registry.build(&settings, &credentials, OrgId(nil), ConnectorId(nil), kind).expect("a destination")
}

fn splunk() -> Box<dyn Destination> {
    let config = json!({ "hec_url": "https://splunk.company.com:8088", "hec_token": "your-hec-token" });
    destination(Splunk::ID, StreamKind::Events, &config)
}

fn datadog() -> Box<dyn Destination> {
    destination(Datadog::ID, StreamKind::Logs, &json!({ "site": "datadoghq.eu", "api_key": "your-datadog-api-key" }))
}

fn webhook() -> Box<dyn Destination> {
    destination(Webhook::ID, StreamKind::Events, &json!({ "url": "https://hooks.company.com/security" }))
}

fn elasticsearch() -> Box<dyn Destination> {
    let config = json!({ "url": "https://es.company.com:9200", "api_key": "eW91ci1pZDp5b3VyLWFwaS1rZXk=" });
    destination(Elasticsearch::ID, StreamKind::Events, &config)
}

/// What Elasticsearch says to an API key without the privileges.
const FORBIDDEN: &str = r#"{"error":{"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for API key id [your-id]"},"status":403}"#;

/// What a destination says about a reply to one event.
fn said(destination: &dyn Destination, status: u16, body: &[u8]) -> Cause {
    let reply = Reply { status, body: bytes::Bytes::copy_from_slice(body), ..Reply::default() };
    let Verdict { judgement, endpoint, .. } = destination.classify(&reply, 1, NOW);
    if let EndpointState::Misconfigured(cause) = endpoint {
        return cause;
    }
    match judgement {
        Judgement::Split(cause) | Judgement::Counted { cause, .. } => cause,
        Judgement::Items(runs) => match runs.into_iter().next().map(|run| run.outcome) {
            Some(
                Outcome::Rejected(cause)
                | Outcome::Refused(cause)
                | Outcome::Held(cause)
                | Outcome::Retry(cause)
                | Outcome::Delivered { warning: Some(cause) },
            ) => cause,
            other => panic!("{status} is no refusal: {other:?}"),
        },
    }
}

/// A code, and what is said with it. A code may come with more than one text.
type Quote = (String, String);

fn quote(cause: Cause) -> Quote {
    (cause.code.into_owned(), cause.message)
}

/// What is said about the recorded replies of a platform, and about these answers of proxies and wrong addresses.
fn causes(destination: &dyn Destination, recorded: &str, others: &[(u16, &str)]) -> BTreeSet<Quote> {
    let mut causes = Vec::new();
    for entry in fs::read_dir(root().join("fixtures").join(recorded).join("replies")).expect("the platform's fixtures")
    {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let body = fs::read(&path).expect("a reply");
        if let Some(status) = status_of(&name) {
            causes.push(said(destination, status, &body));
        }
    }
    causes.extend(others.iter().map(|(status, body)| said(destination, *status, body.as_bytes())));
    causes.into_iter().map(quote).collect()
}

/// The status with which a recorded refusal comes; `None` for answers that are none, and those that concern something else.
fn status_of(name: &str) -> Option<u16> {
    let number: u16 = name.split('-').next()?.parse().ok()?;
    Some(match number {
        400.. => number,
        // Splunk's are numbered by its own code (platform/src/splunk/answer.rs).
        1 | 4 => 403,
        2 | 3 => 401,
        5..=7 | 10..=16 | 21 | 22 => 400,
        8 => 500,
        9 | 18..=20 | 23 => 503,
        26 | 27 => 429,
        _ => return None,
    })
}

/// The fingerprint of the certificate in the examples, and that of the one after it.
const PINNED: &str = "5A:3C:0F:91:7D:E2:44:B8:16:C3:9E:70:2B:D5:88:FA:61:0D:47:E9:33:BC:12:95:7F:A4:C8:5E:06:D1:8B:29";
const RENEWED: &str = "B7:19:E0:52:6C:8D:F3:0A:94:2E:71:C5:48:DB:36:AF:80:15:62:F9:CD:3B:57:04:E8:9A:21:7E:D4:60:13:AC";

/// What is said where no answer came.
fn failures() -> BTreeSet<Quote> {
    use FailureKind as Kind;
    let company = "CN=splunk.company.com, O=Company";
    let refused = |why, subject: &str, issuer: &str| {
        let (subject, issuer, self_signed) = (subject.to_owned(), issuer.to_owned(), subject == issuer);
        let fingerprint = if matches!(why, Why::Changed(_)) { RENEWED } else { PINNED }.to_owned();
        let names = vec!["splunk.internal".to_owned()];
        let certificate = Certificate { subject, issuer, self_signed, names, fingerprint, ..Certificate::default() };
        Kind::Certificate(Box::new(Refused { why, certificate }))
    };
    let for_why = |why| refused(why, company, "CN=Company Root CA, O=Company");
    let other_key = "its private key (tls_client_key) belongs to another certificate; if there are several certificates, the client's own stands first";
    let kinds = [
        Kind::UnknownHost,
        Kind::Dns,
        Kind::Refused,
        Kind::Unreachable,
        Kind::Timeout(StageName::Dns),
        Kind::Timeout(StageName::Tcp),
        Kind::Timeout(StageName::Tls),
        Kind::Timeout(StageName::Http),
        Kind::Reset(StageName::Http),
        Kind::Blocked(Blocked::Unreachable("nothing listens on its port")),
        Kind::Blocked(Blocked::Unnamed),
        Kind::Blocked(Blocked::Silent),
        Kind::Blocked(Blocked::NotAProxy),
        Kind::Blocked(Blocked::Answered(407)),
        Kind::Blocked(Blocked::Answered(403)),
        Kind::Blocked(Blocked::Answered(502)),
        for_why(Why::Untrusted),
        refused(Why::Untrusted, company, company),
        refused(Why::Version, "CN=SplunkServerDefaultCert, O=SplunkUser", "CN=SplunkCommonCA, O=Splunk"),
        for_why(Why::Changed(vec![PINNED.to_owned()])),
        for_why(Why::KeyNotHeld),
        for_why(Why::KeyUnfit("it is an RSA key of 1024 bits, and 2048 to 8192 are accepted".to_owned())),
        for_why(Why::Expired(Some(NOW))),
        for_why(Why::NotYetValid),
        for_why(Why::WrongHost),
        for_why(Why::CaAsServer),
        Kind::ClientCertificate("certificate required".to_owned()),
        Kind::BadClient(other_key.to_owned()),
        Kind::NotTls,
        Kind::NotHttp { tls: false },
        Kind::Malformed,
        Kind::Excess(StageName::Http),
        Kind::Excess(StageName::Tls),
        Kind::OutOfTurn(OutOfTurn::Early),
        Kind::OutOfTurn(OutOfTurn::Switched),
        Kind::GaveWay,
        Kind::BadHeader("authorization".into()),
    ];
    let cause = |kind| {
        let target = Some("splunk.company.com:8088".to_owned());
        Failure { kind, target, stages: Vec::new(), duration: Duration::ZERO }.cause()
    };
    kinds.map(cause).into_iter().map(quote).collect()
}

/// Every quote of the page says what the service says, and none is missing.
fn assert_quoted(page: &str, said: &BTreeSet<Quote>) {
    let text = fs::read_to_string(root().join("docs").join(page)).expect("a page");
    let quoted = text.lines().filter_map(|line| line.trim_start().strip_prefix("> `")?.split_once("`: "));
    let quoted: BTreeSet<Quote> = quoted.map(|(code, message)| (code.to_owned(), message.to_owned())).collect();
    let lines = |quotes: BTreeSet<&Quote>| -> String {
        quotes.into_iter().map(|(code, message)| format!("> `{code}`: {message}")).collect::<Vec<_>>().join("\n")
    };
    let (missing, unknown) = (lines(said.difference(&quoted).collect()), lines(quoted.difference(said).collect()));
    assert!(missing.is_empty() && unknown.is_empty(), "{page} has to say:\n{missing}\nand nobody says:\n{unknown}");
}

#[test]
fn splunks_page_quotes_what_is_said() {
    let others = [(200, "<html>"), (200, ""), (301, ""), (400, ""), (400, "<html>"), (404, ""), (415, ""), (502, "")];
    assert_quoted("splunk.md", &causes(&*splunk(), "splunk", &others));
}

#[test]
fn datadogs_page_quotes_what_is_said() {
    let others = [(200, "<html>"), (301, ""), (404, ""), (502, "")];
    assert_quoted("datadog.md", &causes(&*datadog(), "datadog", &others));
}

#[test]
fn the_webhooks_page_quotes_what_is_said() {
    let others = [(200, "<html>"), (301, ""), (403, ""), (404, ""), (415, ""), (502, "")];
    assert_quoted("webhook.md", &causes(&*webhook(), "webhook", &others));
}

#[test]
fn elasticsearchs_page_quotes_what_is_said() {
    let replies = |name: &str| {
        let path = root().join("fixtures/elasticsearch/replies").join(name);
        fs::read_to_string(path).expect("a reply")
    };
    let item = |status: u16, kind: &str, reason: &str| {
        format!(
            r#"{{"errors":true,"items":[{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"{reason}"}}}}}}]}}"#
        )
    };
    let owned = [
        (401, replies("security-exception.json")),
        (403, FORBIDDEN.to_owned()),
        (429, replies("too-many-requests.json")),
        (200, "<html>".to_owned()),
        (200, "{}".to_owned()),
        (301, String::new()),
        (405, String::new()),
        (413, String::new()),
        (502, String::new()),
        (200, item(400, "document_parsing_exception", "[1:52] failed to parse field [policy_id] of type [long]")),
        (200, item(429, "cluster_block_exception", "disk usage exceeded flood-stage watermark")),
        (
            200,
            item(
                403,
                "cluster_block_exception",
                "index [toktra-security-events-2025.01.15] blocked by: [FORBIDDEN/8/index write (api)];",
            ),
        ),
        (
            200,
            item(
                404,
                "index_not_found_exception",
                "no such index [toktra-security-events-2025.01.15] and [action.auto_create_index] is [false]",
            ),
        ),
        (200, item(400, "index_closed_exception", "closed")),
        (200, item(400, "illegal_argument_exception", "pipeline with id [security] does not exist")),
        (200, item(503, "unavailable_shards_exception", "primary shard is not active")),
    ];
    let others: Vec<(u16, &str)> = owned.iter().map(|(status, body)| (*status, body.as_str())).collect();
    let said = others.iter().map(|(status, body)| said(&*elasticsearch(), *status, body.as_bytes()));
    assert_quoted("elasticsearch.md", &said.map(quote).collect());
}

#[test]
fn the_troubleshooting_page_quotes_what_is_said_where_no_answer_came() {
    assert_quoted("troubleshooting.md", &failures());
}
