//! Elasticsearch and OpenSearch: bulk items, conflicts, templates of each flavour, credentials and privileges.

use serde_json::{Value, json};
use toktra_siem_fake::elasticsearch::{
    Credentials, Elasticsearch, ElasticsearchOptions, Endpoint, Fault, Flavour, ItemFault, Items, Privileges,
    error_reply,
};
use toktra_siem_fake::{Behaviour, ReceiverOptions, Recording};

use crate::client::{Answer, exchange, gzip};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const JSON: (&str, &str) = ("content-type", "application/json");
const INDEX: &str = "toktra-security-events-2025.01.15";
const TEMPLATE: &str = "/_index_template/toktra-security-events";

async fn node(flavour: Flavour) -> Elasticsearch {
    Elasticsearch::start(ElasticsearchOptions::new(flavour)).await.unwrap()
}

async fn ask(node: &Elasticsearch, method: &str, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
    exchange(node.address(), method, path, &[JSON], body).await.unwrap()
}

fn lines(verb: &str, id: &str, source: &str) -> String {
    format!("{}\n{source}\n", json!({ verb: { "_index": INDEX, "_id": id } }))
}

fn event(id: &str) -> String {
    format!(r#"{{"@timestamp":"2025-01-15T10:30:00Z","event_id":"{id}", "details":{{"n":1.50}}}}"#)
}

fn create(ids: &[&str]) -> String {
    ids.iter().map(|id| lines("create", id, &event(id))).collect()
}

/// The status of each item, in order.
fn statuses(answer: &Answer) -> Vec<u64> {
    let outcome = |item: &Value| item.as_object()?.values().next()?["status"].as_u64();
    answer.json()["items"].as_array().unwrap().iter().filter_map(outcome).collect()
}

#[tokio::test]
async fn documents_are_stored_byte_for_byte_and_only_once() {
    let node = node(Flavour::Elasticsearch).await;
    let first = exchange(node.address(), "POST", "/_bulk", &[NDJSON], create(&["a", "b"])).await.unwrap();
    assert_eq!((first.status, statuses(&first), &first.json()["errors"]), (200, vec![201, 201], &json!(false)));
    assert_eq!(first.headers["x-elastic-product"], "Elasticsearch");
    let again = ask(&node, "POST", "/_bulk", create(&["b", "c"])).await;
    assert_eq!((statuses(&again), &again.json()["errors"]), (vec![409, 201], &json!(true)));
    assert_eq!(again.json()["items"][0]["create"]["error"]["type"], "version_conflict_engine_exception");
    assert_eq!(node.documents()[INDEX]["a"], event("a"));
    assert_eq!(node.held(), json!({ INDEX: 3 }));
    assert_eq!(node.event_ids().into_values().collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(node.events()[0].meta, *json!({ "_index": INDEX, "_id": "a", "action": "create" }).as_object().unwrap());
    assert_eq!(node.violations(), []);
}

#[tokio::test]
async fn index_replaces_and_create_without_id_makes_one() {
    let node = node(Flavour::Elasticsearch).await;
    let body = lines("index", "a", &event("a")) + &lines("index", "a", &event("b"));
    assert_eq!(statuses(&ask(&node, "POST", "/_bulk", body).await), [201, 200]);
    let anonymous = format!("{}\n{}\n", json!({ "create": { "_index": INDEX } }), event("c"));
    assert_eq!(statuses(&ask(&node, "POST", "/_bulk", anonymous.clone() + &anonymous).await), [201, 201]);
    assert_eq!(node.documents()[INDEX].len(), 3);
    assert_eq!(node.documents()[INDEX]["a"], event("b"));
}

#[tokio::test]
async fn malformed_bulks_are_refused_whole() {
    let node = node(Flavour::Elasticsearch).await;
    let good = create(&["a"]);
    let bad: [(String, &str); 8] = [
        (String::new(), "parse_exception"),
        (good.trim_end().to_owned(), "illegal_argument_exception"),
        (good.clone() + "{\"create\":{\"_index\":\"i\"}}\n", "illegal_argument_exception"),
        (good.clone() + "[]\n{}\n", "illegal_argument_exception"),
        (good.clone() + "{\"put\":{\"_index\":\"i\"}}\n{}\n", "illegal_argument_exception"),
        (good.clone() + "{\"create\":{\"_index\":\"i\",\"_type\":\"t\"}}\n{}\n", "illegal_argument_exception"),
        (good.clone() + "{\"create\":{}}\n{}\n", "action_request_validation_exception"),
        (lines("create", &"x".repeat(513), "{}"), "action_request_validation_exception"),
    ];
    for (body, kind) in &bad {
        let answer = ask(&node, "POST", "/_bulk", body.clone()).await;
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &json!(kind)), "{body}");
    }
    let media = exchange(node.address(), "POST", "/_bulk", &[("content-type", "text/plain")], good.clone()).await;
    assert_eq!(media.unwrap().status, 406);
    assert_eq!(ask(&node, "POST", "/_bulk?refesh=true", good.clone()).await.status, 400);
    assert_eq!(ask(&node, "DELETE", "/_bulk", "").await.status, 405);
    assert_eq!(ask(&node, "GET", "/_unknown", "").await.status, 400);
    assert_eq!(ask(&node, "POST", "/_bulk?refresh=wait_for", good).await.status, 200);
    assert_eq!(node.violations().len(), bad.len() + 4);
}

#[tokio::test]
async fn a_document_that_does_not_fit_is_refused_alone() {
    for (flavour, version, kind) in [
        (Flavour::Elasticsearch, "9.1.0", "document_parsing_exception"),
        (Flavour::Elasticsearch, "7.17.29", "mapper_parsing_exception"),
        (Flavour::OpenSearch, "2.19.0", "mapper_parsing_exception"),
    ] {
        let options = ElasticsearchOptions { version: version.to_owned(), ..ElasticsearchOptions::new(flavour) };
        let node = Elasticsearch::start(options).await.unwrap();
        let body = lines("create", "a", r#"{"details":{"x":1}}"#)
            + &lines("create", "b", r#"{"details":"text"}"#)
            + &lines("create", "c", r#"{"details":{"x":{"y":1}}}"#)
            + &lines("create", "d", "not json")
            + &lines("create", "e", r#"{"details":{"x":"2"}}"#);
        let answer = ask(&node, "POST", "/_bulk", body).await;
        assert_eq!(statuses(&answer), [201, 400, 400, 400, 201]);
        assert_eq!(answer.json()["items"][1]["create"]["error"]["type"], kind);
        assert_eq!(node.documents()[INDEX].keys().collect::<Vec<_>>(), ["a", "e"]);
        assert_eq!(node.violations().len(), 3);
    }
}

#[tokio::test]
async fn bad_index_names_fail_their_item() {
    let node = node(Flavour::Elasticsearch).await;
    for name in ["Upper", "_hidden", "a,b", "a*"] {
        let body = format!("{}\n{{}}\n", json!({ "create": { "_index": name } }));
        let answer = ask(&node, "POST", "/_bulk", body).await;
        assert_eq!(answer.json()["items"][0]["create"]["error"]["type"], "invalid_index_name_exception", "{name}");
    }
}

#[tokio::test]
async fn chosen_items_fail_as_scripted() {
    let node = node(Flavour::Elasticsearch).await;
    let fault = |faults: Vec<ItemFault>| Behaviour::fault(Fault::Items(faults));
    node.script(
        Endpoint::Bulk,
        [
            fault(vec![
                ItemFault::new(Items::At(vec![0]), 429),
                ItemFault::new(Items::OfEvents(vec!["c".to_owned()]), 400),
            ]),
            fault(vec![ItemFault::flood_stage(Items::At(vec![0])), ItemFault::new(Items::At(vec![1]), 409)]),
            fault(vec![ItemFault::new(Items::At(vec![0]), 201)]),
            Behaviour::fault(Fault::FewerItems(1)),
        ],
    );
    let first = ask(&node, "POST", "/_bulk", create(&["a", "b", "c"])).await;
    assert_eq!((first.status, statuses(&first)), (200, vec![429, 201, 400]));
    assert_eq!(node.documents()[INDEX].keys().collect::<Vec<_>>(), ["b"]);
    let flood = ask(&node, "POST", "/_bulk", create(&["a", "c"])).await;
    assert_eq!(statuses(&flood), [429, 409]);
    assert_eq!(flood.json()["items"][0]["create"]["error"]["type"], "cluster_block_exception");
    let failure_store = ask(&node, "POST", "/_bulk", create(&["a"])).await;
    assert_eq!(failure_store.json()["items"][0]["create"]["failure_store"], "used");
    assert_eq!(failure_store.json()["errors"], false);
    let fewer = ask(&node, "POST", "/_bulk", create(&["x", "y"])).await;
    assert_eq!((statuses(&fewer), node.documents()[INDEX].len()), (vec![201], 3));
}

#[tokio::test]
async fn whole_requests_fail_as_scripted() {
    let node = node(Flavour::Elasticsearch).await;
    let reply = error_reply(429, "es_rejected_execution_exception", "rejected execution of coordinating operation");
    node.script(Endpoint::Bulk, [Behaviour::reply(reply)]);
    let refused = ask(&node, "POST", "/_bulk", create(&["a"])).await;
    assert_eq!((refused.status, &refused.json()["status"]), (429, &json!(429)));
    assert_eq!(refused.json()["error"]["root_cause"][0]["type"], "es_rejected_execution_exception");
    assert!(node.documents().is_empty());
}

#[tokio::test]
async fn credentials_and_privileges_are_checked() {
    let credentials = Credentials::ApiKey("a2V5".to_owned());
    let options = ElasticsearchOptions { credentials, ..ElasticsearchOptions::new(Flavour::Elasticsearch) };
    let node = Elasticsearch::start(options).await.unwrap();
    let bulk = async |headers: &[(&str, &str)]| {
        exchange(node.address(), "POST", "/_bulk", headers, create(&["a"])).await.unwrap()
    };
    let missing = bulk(&[JSON]).await;
    assert_eq!((missing.status, &missing.json()["error"]["type"]), (401, &json!("security_exception")));
    assert!(missing.headers.contains_key("www-authenticate"));
    assert_eq!(bulk(&[JSON, ("authorization", "ApiKey other")]).await.status, 401);
    let key = ("authorization", "ApiKey a2V5");
    node.set_privileges(Privileges { monitor: false, manage_index_templates: false, create_doc: false, read: false });
    let forbidden = bulk(&[JSON, key]).await;
    assert_eq!((forbidden.status, statuses(&forbidden)), (200, vec![403]));
    for (method, path) in [("GET", "/"), ("PUT", TEMPLATE), ("GET", TEMPLATE)] {
        assert_eq!(exchange(node.address(), method, path, &[JSON, key], "{}").await.unwrap().status, 403, "{path}");
    }
    node.set_privileges(Privileges::default());
    assert_eq!(statuses(&bulk(&[JSON, key]).await), [201]);
    node.set_credentials(&Credentials::Basic("elastic".to_owned(), "secret".to_owned()));
    assert_eq!(statuses(&bulk(&[JSON, ("authorization", "Basic ZWxhc3RpYzpzZWNyZXQ=")]).await), [409]);
    node.set_credentials(&Credentials::Bearer("t".to_owned()));
    assert_eq!(bulk(&[JSON, ("authorization", "Bearer t")]).await.status, 200);
}

#[tokio::test]
async fn each_flavour_tells_itself() {
    let root = async |flavour: Flavour| ask(&node(flavour).await, "GET", "/", "").await;
    assert_eq!(root(Flavour::Elasticsearch).await.json()["version"]["build_flavor"], "default");
    assert_eq!(root(Flavour::Serverless).await.json()["version"]["build_flavor"], "serverless");
    let opensearch = root(Flavour::OpenSearch).await;
    assert_eq!(opensearch.json()["version"]["distribution"], "opensearch");
    assert!(!opensearch.headers.contains_key("x-elastic-product"));
}

fn template(priority: u64, kind: &str) -> Value {
    json!({ "index_patterns": ["toktra-security-events-*"], "priority": priority, "version": 1, "_meta": {},
        "template": { "settings": { "number_of_shards": 1, "number_of_replicas": 1 },
            "mappings": { "properties": { "@timestamp": { "type": "date" }, "details": { "type": kind } } } } })
}

#[tokio::test]
async fn a_template_shapes_new_indices() {
    let node = node(Flavour::Elasticsearch).await;
    assert_eq!(ask(&node, "GET", TEMPLATE, "").await.status, 404);
    assert_eq!(ask(&node, "PUT", TEMPLATE, template(201, "flattened").to_string()).await.json()["acknowledged"], true);
    let stored = ask(&node, "GET", TEMPLATE, "").await.json();
    assert_eq!(stored["index_templates"][0]["index_template"], template(201, "flattened"));
    let body = lines("create", "a", r#"{"details":{"x":1}}"#)
        + &lines("create", "b", r#"{"details":{"x":{"y":"z"}}}"#)
        + &lines("create", "c", r#"{"@timestamp":"yesterday"}"#);
    assert_eq!(statuses(&ask(&node, "POST", "/_bulk", body).await), [201, 201, 400]);
    assert_eq!(node.templates().len(), 1);
}

#[tokio::test]
async fn each_flavour_refuses_what_it_does_not_know() {
    let put = async |flavour: Flavour, version: &str, template: Value| {
        let options = ElasticsearchOptions { version: version.to_owned(), ..ElasticsearchOptions::new(flavour) };
        let node = Elasticsearch::start(options).await.unwrap();
        let answer = ask(&node, "PUT", TEMPLATE, template.to_string()).await;
        (answer.status, answer.json()["error"]["type"].as_str().unwrap_or_default().to_owned())
    };
    let unknown_type = (400, "mapper_parsing_exception".to_owned());
    let fine = (200, String::new());
    assert_eq!(put(Flavour::Elasticsearch, "9.1.0", template(201, "flat_object")).await, unknown_type);
    assert_eq!(put(Flavour::OpenSearch, "3.4.0", template(201, "flattened")).await, unknown_type);
    assert_eq!(put(Flavour::OpenSearch, "2.6.0", template(201, "flat_object")).await, unknown_type);
    assert_eq!(put(Flavour::OpenSearch, "2.7.0", template(201, "flat_object")).await, fine);
    let sized = put(Flavour::Serverless, "9.1.0", template(201, "flattened")).await;
    assert_eq!(sized, (400, "illegal_argument_exception".to_owned()));
    let mut unsized_template = template(201, "flattened");
    unsized_template["template"]["settings"] = json!({});
    assert_eq!(put(Flavour::Serverless, "9.1.0", unsized_template).await, fine);
    let mut extra = template(201, "keyword");
    extra["order"] = json!(1);
    assert_eq!(put(Flavour::Elasticsearch, "9.1.0", extra).await.0, 400);
    assert_eq!(put(Flavour::Elasticsearch, "9.1.0", json!({ "template": {} })).await.0, 400);
    assert_eq!(put(Flavour::Elasticsearch, "9.1.0", json!("text")).await.0, 400);
}

#[tokio::test]
async fn templates_of_equal_priority_must_not_overlap() {
    let node = node(Flavour::Elasticsearch).await;
    let other = json!({ "index_patterns": ["toktra-*"], "priority": 201 }).to_string();
    assert_eq!(ask(&node, "PUT", "/_index_template/other", other).await.status, 200);
    let clash = ask(&node, "PUT", TEMPLATE, template(201, "keyword").to_string()).await;
    assert_eq!((clash.status, clash.json()["error"]["type"].as_str()), (400, Some("illegal_argument_exception")));
    assert_eq!(ask(&node, "PUT", TEMPLATE, template(202, "keyword").to_string()).await.status, 200);
    assert_eq!(ask(&node, "PUT", TEMPLATE, template(202, "keyword").to_string()).await.status, 200);
}

#[tokio::test]
async fn stored_documents_can_be_read_back() {
    let node = node(Flavour::OpenSearch).await;
    ask(&node, "POST", "/_bulk", create(&["a", "b"])).await;
    let found = ask(&node, "GET", &format!("/{INDEX}/_doc/a"), "").await;
    assert_eq!((found.status, &found.json()["_source"]["event_id"]), (200, &json!("a")));
    assert_eq!(ask(&node, "GET", &format!("/{INDEX}/_doc/z"), "").await.status, 404);
    assert_eq!(ask(&node, "GET", "/toktra-*/_count", "").await.json()["count"], 2);
    let query = json!({ "query": { "term": { "event_id": "b" } } }).to_string();
    let hits = ask(&node, "POST", &format!("/{INDEX}/_search"), query).await.json()["hits"].take();
    assert_eq!((&hits["total"]["value"], &hits["hits"][0]["_id"]), (&json!(1), &json!("b")));
    assert_eq!(ask(&node, "GET", "/absent/_count", "").await.status, 404);
    let fuzzy = json!({ "query": { "fuzzy": {} } }).to_string();
    assert_eq!(ask(&node, "POST", "/toktra-*/_search", fuzzy).await.status, 400);
}

#[tokio::test]
async fn size_is_limited_before_and_after_inflating() {
    let options = ElasticsearchOptions { max_bytes: 200, ..ElasticsearchOptions::new(Flavour::Elasticsearch) };
    let node = Elasticsearch::start(options).await.unwrap();
    let large = create(&["a", "b"]);
    assert_eq!(ask(&node, "POST", "/_bulk", large.clone()).await.status, 413);
    let headers = [JSON, ("content-encoding", "gzip")];
    let packed = gzip(large.repeat(9).as_bytes());
    assert!(packed.len() < 200);
    assert_eq!(exchange(node.address(), "POST", "/_bulk", &headers, packed).await.unwrap().status, 413);
    let small = gzip(create(&["a"]).as_bytes());
    assert_eq!(exchange(node.address(), "POST", "/_bulk", &headers, small).await.unwrap().status, 200);
}

#[tokio::test]
async fn counting_answers_one_item_for_each_action() {
    let receiver = ReceiverOptions { recording: Recording::Counts, ..ReceiverOptions::default() };
    let options = ElasticsearchOptions { receiver, ..ElasticsearchOptions::new(Flavour::Elasticsearch) };
    let node = Elasticsearch::start(options).await.unwrap();
    assert_eq!(statuses(&ask(&node, "POST", "/_bulk", create(&["a", "b"])).await), [201, 201]);
    assert_eq!((node.counts().events, node.documents().len()), (2, 0));
}
