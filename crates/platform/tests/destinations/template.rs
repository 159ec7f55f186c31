//! The index template: each product gets its variant, and no refusal keeps events from flowing that need not.

use serde_json::Value;
use toktra_siem_core::connector::Credentials;
use toktra_siem_core::ids::StreamKind;
use toktra_siem_platform::destination::{Destination, Method, OutboundRequest, Reply, SetupStep};

use crate::support::{NOW, SECRET, elasticsearch_settings, headers, reply, splunk_settings, stream, stream_with};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/elasticsearch/", $name))
    };
}

const ACKNOWLEDGED: &str = r#"{"acknowledged":true}"#;
const REFUSED: &str =
    r#"{"error":{"type":"mapper_parsing_exception","reason":"No handler for type [flattened]"},"status":400}"#;

fn elasticsearch(manage_template: bool) -> Box<dyn Destination> {
    stream(&elasticsearch_settings(manage_template), StreamKind::Events)
}

fn sent(step: SetupStep) -> OutboundRequest {
    match step {
        SetupStep::Send(request) => request,
        other => panic!("expected a request, got {other:?}"),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The templates that are put, one after the other, as long as each is answered with 400; and what is said at the end.
fn puts(root: Reply) -> (Vec<Value>, SetupStep) {
    let mut seen = vec![root];
    let mut templates = Vec::new();
    loop {
        match elasticsearch(true).setup(&seen, NOW) {
            SetupStep::Send(request) => {
                assert_eq!(request.method, Method::Put);
                assert_eq!(request.url, "https://es.company.com:9200/_index_template/toktra-security-events");
                templates.push(serde_json::from_slice(&request.body).expect("JSON"));
                seen.push(reply(400, REFUSED));
            }
            end => return (templates, end),
        }
    }
}

#[test]
fn asks_first_what_it_speaks_to() {
    let request = sent(elasticsearch(true).setup(&[], NOW));
    assert_eq!((request.method, request.url.as_str()), (Method::Get, "https://es.company.com:9200/"));
    assert_eq!(headers(&request)[1], ("authorization", format!("secret: ApiKey {SECRET}")));
    assert!(request.body.is_empty());
}

#[test]
fn each_product_gets_its_variant() {
    let [elasticsearch, opensearch, serverless, plain] = [
        fixture!("template-elasticsearch.json"),
        fixture!("template-opensearch.json"),
        fixture!("template-serverless.json"),
        fixture!("template-plain.json"),
    ]
    .map(json);
    let version = |version: &str| reply(200, &format!(r#"{{"version":{version}}}"#));
    let guesses = [&elasticsearch, &opensearch, &serverless, &plain];
    for (root, expected) in [
        (reply(200, fixture!("replies/root-elasticsearch-8.json")), &[&elasticsearch][..]),
        (version(r#"{"number":"7.17.28","build_flavor":"default"}"#), &[&elasticsearch]),
        (version(r#"{"number":"9.0.1","build_flavor":"default"}"#), &[&elasticsearch]),
        (version(r#"{"number":"7.10.2","build_flavor":"oss"}"#), &[&elasticsearch, &plain]),
        (version(r#"{"number":"7.2.0","build_flavor":"default"}"#), &[&plain]),
        (reply(200, fixture!("replies/root-serverless.json")), &[&serverless]),
        (reply(200, fixture!("replies/root-opensearch-2.json")), &[&opensearch]),
        (version(r#"{"distribution":"opensearch","number":"3.4.0"}"#), &[&opensearch]),
        (version(r#"{"distribution":"opensearch","number":"2.7.0"}"#), &[&opensearch]),
        (version(r#"{"distribution":"opensearch","number":"1.3.9"}"#), &[&opensearch, &plain]),
        (version(r#"{"distribution":"opensearch","number":"7.10.2"}"#), &[&opensearch, &plain]),
        // Not allowed to ask, or nothing sensible came back: one after the other.
        (reply(403, ""), &guesses),
        (reply(401, ""), &guesses),
        (reply(404, ""), &guesses),
        (reply(200, "<html>"), &guesses),
        (reply(200, "{}"), &guesses),
    ] {
        let (templates, end) = puts(root.clone());
        assert_eq!(templates.iter().collect::<Vec<_>>(), expected, "{root:?}");
        let SetupStep::Done { warning: Some(warning), .. } = end else { panic!("a refusal warns: {end:?}") };
        assert_eq!(warning.code, "elasticsearch_template_refused");
        assert!(warning.message.contains("No handler for type [flattened]"), "{warning}");
    }
}

#[test]
fn holds_what_may_come_right_and_goes_on_where_it_will_not() {
    let root = reply(200, fixture!("replies/root-elasticsearch-8.json"));
    let outcome = |answer: Reply| match elasticsearch(true).setup(&[root.clone(), answer], NOW) {
        SetupStep::Done { warning: None, .. } => "done".to_owned(),
        SetupStep::Done { warning: Some(cause), .. } => format!("done with {}", cause.code),
        SetupStep::Hold(cause) => format!("hold {}", cause.code),
        SetupStep::Send(request) => format!("send {}", request.url),
    };
    assert_eq!(outcome(reply(200, ACKNOWLEDGED)), "done");
    for status in [401, 403, 404, 405, 409] {
        assert_eq!(outcome(reply(status, "")), "done with elasticsearch_template_refused", "{status}");
    }
    for (status, body) in [
        (500, ""),
        (502, "<html>"),
        (503, ""),
        (504, ""),
        (429, ""),
        (408, ""),
        (0, ""),
        (302, ""),
        (200, "<html>"),
        (200, r#"{"acknowledged":false}"#),
    ] {
        assert_eq!(outcome(reply(status, body)), "hold elasticsearch_template_unconfirmed", "{status} {body}");
    }
    for status in [500, 503, 429, 0] {
        let step = elasticsearch(true).setup(&[reply(status, "")], NOW);
        assert!(
            matches!(&step, SetupStep::Hold(cause) if cause.code == "elasticsearch_unavailable"),
            "{status}: {step:?}"
        );
    }
}

#[test]
fn is_left_alone_where_the_connector_says_so_but_the_button_still_works() {
    assert!(matches!(elasticsearch(false).setup(&[], NOW), SetupStep::Done { warning: None, .. }));
    let mut settings = elasticsearch_settings(false);
    settings.config["url"] = "http://127.0.0.1:9200/behind/a proxy".into();
    settings.config["index_prefix"] = "acme-events".into();
    let destination = stream_with(&settings, &Credentials::of("api_key", SECRET.to_owned()), StreamKind::Events);
    let step = |seen: &[Reply]| destination.setup_on_request(seen).map(|asked| asked.step);
    assert_eq!(sent(step(&[]).unwrap()).url, "http://127.0.0.1:9200/behind/a%20proxy/");
    let root = reply(200, fixture!("replies/root-elasticsearch-8.json"));
    let put = sent(step(std::slice::from_ref(&root)).unwrap());
    assert_eq!(put.url, "http://127.0.0.1:9200/behind/a%20proxy/_index_template/acme-events");
    let body: Value = serde_json::from_slice(&put.body).unwrap();
    assert_eq!(body["index_patterns"], serde_json::json!(["acme-events-*"]));
    assert!(matches!(step(&[root, reply(200, ACKNOWLEDGED)]), Some(SetupStep::Done { warning: None, .. })));
    assert!(stream(&splunk_settings(false), StreamKind::Events).setup_on_request(&[]).is_none());
}

#[test]
fn no_other_platform_needs_preparing() {
    let splunk = stream(&splunk_settings(true), StreamKind::Events);
    assert!(matches!(splunk.setup(&[], NOW), SetupStep::Done { warning: None, .. }));
}
