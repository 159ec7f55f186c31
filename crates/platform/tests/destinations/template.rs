//! The index template: each product gets its variant, and no refusal keeps events from flowing that need not.

use serde_json::{Value, json};
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

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

const TEMPLATE: &str = "https://es.company.com:9200/_index_template/toktra-security-events";

/// There is no template yet.
fn absent() -> Reply {
    reply(
        404,
        r#"{"error":{"type":"resource_not_found_exception","reason":"index template matching [x] not found"},"status":404}"#,
    )
}

/// This template is there.
fn standing(template: &Value) -> Reply {
    let found = json!({ "index_templates": [{ "name": "toktra-security-events", "index_template": template }] });
    reply(200, &found.to_string())
}

/// The templates that are put, one after the other, as long as each is answered with 400; and what is said at the end.
fn puts(root: Reply) -> (Vec<Value>, SetupStep) {
    let mut seen = vec![root, absent()];
    let mut templates = Vec::new();
    loop {
        match elasticsearch(true).setup(&seen, NOW) {
            SetupStep::Send(request) => {
                assert_eq!(request.method, Method::Put);
                assert_eq!(request.url, TEMPLATE);
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
    let look = sent(elasticsearch(true).setup(&[reply(200, "{}")], NOW));
    assert_eq!((look.method, look.url.as_str()), (Method::Get, TEMPLATE));
}

#[test]
fn each_product_gets_its_variant() {
    let [elasticsearch, opensearch, serverless, plain] = [
        fixture!("template-elasticsearch.json"),
        fixture!("template-opensearch.json"),
        fixture!("template-serverless.json"),
        fixture!("template-plain.json"),
    ]
    .map(parsed);
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
    let told = |step: SetupStep| match step {
        SetupStep::Done { warning: None, .. } => "done".to_owned(),
        SetupStep::Done { warning: Some(cause), .. } => format!("done with {}", cause.code),
        SetupStep::Hold(cause) => format!("hold {}", cause.code),
        SetupStep::Send(request) => request.url,
    };
    let outcome = |answer: Reply| told(elasticsearch(true).setup(&[root.clone(), absent(), answer], NOW));
    assert_eq!(outcome(reply(200, ACKNOWLEDGED)), "done");
    for status in [401, 403, 409] {
        assert_eq!(outcome(reply(status, "")), "done with elasticsearch_template_refused", "{status}");
    }
    // VictoriaLogs answers every template call with 200 and `{}`; others know no such call.
    for (status, body) in
        [(200, "{}"), (200, ""), (200, r#"{"ok":true}"#), (404, ""), (405, "{}"), (501, "not implemented")]
    {
        assert_eq!(outcome(reply(status, body)), "done with elasticsearch_template_unsupported", "{status} {body}");
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
        assert_eq!(
            told(elasticsearch(true).setup(&[reply(status, "")], NOW)),
            "hold elasticsearch_unavailable",
            "{status}"
        );
    }
    let looked = |answer: Reply| told(elasticsearch(true).setup(&[root.clone(), answer], NOW));
    for (status, body) in [(500, ""), (503, ""), (429, ""), (200, "<html>")] {
        assert_eq!(looked(reply(status, body)), "hold elasticsearch_template_unconfirmed", "{status} {body}");
    }
    assert_eq!(looked(reply(200, "{}")), "done with elasticsearch_template_unsupported");
    // What may not be read is not written over.
    for status in [400, 401, 403, 405, 501] {
        assert_eq!(looked(reply(status, "")), format!("{TEMPLATE}?create=true"), "{status}");
    }
    let exists =
        reply(400, r#"{"error":{"type":"illegal_argument_exception","reason":"index template [x] already exists"}}"#);
    let hidden = elasticsearch(true).setup(&[root.clone(), reply(403, ""), exists], NOW);
    assert_eq!(told(hidden), "done with elasticsearch_template_hidden");
}

/// The table of hints: each follows from what was seen.
#[test]
fn a_hint_says_what_was_seen() {
    let root = reply(200, fixture!("replies/root-elasticsearch-8.json"));
    for (answer, says, keeps_from) in [
        (reply(200, "{}"), "it has no index templates", "URL is probably wrong"),
        (reply(405, ""), "it has no index templates", "URL is probably wrong"),
        (reply(403, ""), "manage_index_templates", "URL is probably wrong"),
        (reply(400, REFUSED), "Another template for the same indices", "URL is probably wrong"),
        (reply(200, r#"{"acknowledged":false}"#), "did not agree", "URL is probably wrong"),
        (reply(503, ""), "restarting or overloaded", "URL is probably wrong"),
        (reply(200, "<html>"), "A proxy, gateway or login page", "no index templates"),
        (reply(302, ""), "URL is probably wrong", "overloaded"),
    ] {
        let mut seen = vec![root.clone(), absent()];
        seen.extend(vec![answer.clone(); 5]);
        let cause = match elasticsearch(true).setup(&seen[..3], NOW) {
            SetupStep::Done { warning: Some(cause), .. } | SetupStep::Hold(cause) => cause,
            other => panic!("{answer:?}: {other:?}"),
        };
        assert!(cause.message.contains(says) && !cause.message.contains(keeps_from), "{answer:?}: {cause}");
    }
}

#[test]
fn a_path_that_the_cluster_takes_for_an_index_is_named() {
    let root = reply(200, fixture!("replies/root-elasticsearch-8.json"));
    let code = |url: &str, asked: &str| {
        let mut settings = elasticsearch_settings(true);
        settings.config.insert("url".to_owned(), url.into());
        let said =
            format!(r#"{{"error":"no handler found for uri [{asked}/toktra-security-events] and method [GET]"}}"#);
        match stream(&settings, StreamKind::Events).setup(&[root.clone(), reply(400, &said)], NOW) {
            SetupStep::Done { warning: Some(cause), .. } => cause.code.into_owned(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(code("https://es.example:9200/kibana", "/kibana/_index_template"), "elasticsearch_template_path");
    // A proxy takes the path away, and the node is too old: the path is not to blame.
    for url in ["https://es.example:9200/kibana", "https://es.example:9200"] {
        assert_ne!(code(url, "/_index_template"), "elasticsearch_template_path");
    }
}

#[test]
fn what_its_owner_added_stays_and_another_s_template_is_not_touched() {
    let root = reply(200, fixture!("replies/root-elasticsearch-8.json"));
    let current = parsed(fixture!("template-elasticsearch.json"));
    let step = |template: &Value| elasticsearch(true).setup(&[root.clone(), standing(template)], NOW);
    let mut edited = current.clone();
    edited["template"]["settings"] =
        json!({ "index": { "lifecycle": { "name": "90-days" }, "number_of_replicas": "2" } });
    assert!(matches!(step(&edited), SetupStep::Done { warning: None, .. }));
    let mut newer = edited;
    newer["version"] = json!(99);
    assert!(matches!(step(&newer), SetupStep::Done { warning: None, .. }));
    for foreign in
        [json!({ "index_patterns": ["toktra-*"] }), json!({ "_meta": { "managed_by": "somebody" }, "version": 1 })]
    {
        let SetupStep::Done { warning: Some(cause), .. } = step(&foreign) else { panic!("{foreign}") };
        assert_eq!(cause.code, "elasticsearch_template_foreign");
    }
    let mut earlier = parsed(fixture!("earlier/template-1-elasticsearch.json"));
    assert_eq!(serde_json::from_slice::<Value>(&sent(step(&earlier)).body).unwrap(), current, "brought up to date");
    earlier["template"]["settings"] =
        json!({ "index": { "lifecycle": { "name": "90-days" }, "number_of_replicas": "2" } });
    earlier["template"]["aliases"] = json!({ "security": {} });
    earlier["template"]["mappings"]["properties"]["summary"]["fields"] = json!({ "raw": { "type": "keyword" } });
    earlier["template"]["mappings"]["properties"]["site"] = json!({ "type": "keyword" });
    earlier["priority"] = json!(700);
    earlier["created_date_millis"] = json!(1);
    let updated: Value = serde_json::from_slice(&sent(step(&earlier)).body).unwrap();
    let mut expected = current;
    for place in ["/template/settings", "/template/mappings/properties/summary", "/priority"] {
        *expected.pointer_mut(place).unwrap() = earlier.pointer(place).unwrap().clone();
    }
    expected["template"]["aliases"] = earlier["template"]["aliases"].clone();
    expected["template"]["mappings"]["properties"]["site"] = json!({ "type": "keyword" });
    assert_eq!(updated, expected);
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
    let put = sent(step(&[root.clone(), absent()]).unwrap());
    assert_eq!(put.url, "http://127.0.0.1:9200/behind/a%20proxy/_index_template/acme-events");
    let body: Value = serde_json::from_slice(&put.body).unwrap();
    assert_eq!(body["index_patterns"], json!(["acme-events-*"]));
    assert!(matches!(step(&[root, absent(), reply(200, ACKNOWLEDGED)]), Some(SetupStep::Done { warning: None, .. })));
    assert!(stream(&splunk_settings(false), StreamKind::Events).setup_on_request(&[]).is_none());
}

#[test]
fn no_other_platform_needs_preparing() {
    let splunk = stream(&splunk_settings(true), StreamKind::Events);
    assert!(matches!(splunk.setup(&[], NOW), SetupStep::Done { warning: None, .. }));
}
