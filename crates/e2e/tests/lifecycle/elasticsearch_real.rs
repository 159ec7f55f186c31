//! Elasticsearch and OpenSearch as they are: real nodes take the template and the documents, and refuse what they refuse.
//!
//! Each journey runs one server with a connector for every node that is at hand, so that the nodes are tried at the same time.

use toktra_siem_testkit::prelude::*;

use crate::nodes::{day, started};
use crate::proxy::Proxy;

#[tokio::test]
async fn the_template_is_in_place_before_the_first_document_and_documents_are_found() {
    let (world, prefix, nodes) = started(json!({})).await;
    let (yesterday, today) = (day(1), day(0));
    let at = |time: String, more: Value| {
        let mut event = violation(more);
        event["timestamp"] = time.into();
        event
    };
    // The second one is of the day before in UTC, whatever its own clock says.
    world
        .post_events(&[
            at(
                format!("{}T00:00:00Z", today.0),
                json!({ "user_email": "ada@example.com", "details": { "actual": 150_000 } }),
            ),
            at(format!("{}T00:30:00+01:00", today.0), json!({ "severity": "critical", "event_type": "lockout" })),
            at(
                format!("{}T23:59:59.999Z", yesterday.0),
                json!({ "tags": { "team": "red" }, "details": { "actual": { "deep": "x" } } }),
            ),
        ])
        .await;
    world.all_arrived().await;
    let (first, second) = (format!("{prefix}-{}", yesterday.1), format!("{prefix}-{}", today.1));
    for node in &nodes {
        let template = node.template(&prefix).await;
        assert_eq!(template["index_patterns"], json!([format!("{prefix}-*")]), "{}", node.name);
        assert!(template["priority"].as_u64() > Some(200) && template["version"].is_u64(), "{template}");
        assert!(template["_meta"].is_object(), "{template}");
        let settings = json!({ "index": { "number_of_shards": "1", "number_of_replicas": "1" } });
        assert_eq!(template["template"]["settings"], settings, "{}", node.name);
        // An index gets its mapping when its first document comes: the template was there by then.
        let mapping = node.get(&format!("/{first}/_mapping")).await;
        let fields = &mapping[&first]["mappings"]["properties"];
        assert_eq!(fields["event_type"]["type"], "keyword", "{}: {fields}", node.name);
        assert_eq!(fields["summary"]["type"], "text", "{}: {fields}", node.name);
        assert_eq!(fields["tags"]["type"], node.free_object(), "{}: {fields}", node.name);
        assert_eq!(fields["details"]["properties"]["actual"]["type"], "double", "{}: {fields}", node.name);

        let term = |field: &str, value: &str| json!({ "term": { (field): value } });
        assert_eq!(node.count(&first, &json!({ "match_all": {} })).await, 2, "{}", node.name);
        assert_eq!(node.count(&second, &json!({ "match_all": {} })).await, 1, "{}", node.name);
        assert_eq!(node.count(&first, &term("event_type", "lockout")).await, 1, "{}", node.name);
        assert_eq!(node.count(&first, &term("severity", "critical")).await, 1, "{}", node.name);
        assert_eq!(node.count(&second, &term("user_email", "ada@example.com")).await, 1, "{}", node.name);
        assert_eq!(node.count(&first, &term("tags.team", "red")).await, 1, "{}", node.name);
        let late = json!({ "range": { "@timestamp": { "gte": format!("{}T23:45:00Z", yesterday.0), "lt": format!("{}T00:00:00Z", today.0) } } });
        assert_eq!(node.count(&format!("{prefix}-*"), &late).await, 1, "{}", node.name);

        let applied = world.call(&node.connector.path("/index-template"), &json!({})).await;
        assert_eq!(applied, json!({ "template": prefix, "applied": true, "warning": null }), "{}", node.name);
    }
    world.end().await;
}

#[tokio::test]
async fn a_test_event_is_found_by_the_search_that_the_answer_shows() {
    let (world, prefix, nodes) = started(json!({})).await;
    for node in &nodes {
        let test = node.connector.test(json!({})).await;
        assert_eq!((&test["delivered"], &test["hint"]), (&json!(true), &Value::Null), "{}: {test}", node.name);
        assert_eq!(test["searchable"]["outcome"], "found", "{}: {test}", node.name);
        let search = test["search"].as_str().unwrap().strip_prefix("GET ").unwrap().replace('"', "%22");
        let found = node.get(&format!("/{search}")).await;
        let hits = found["hits"]["hits"].as_array().unwrap();
        assert_eq!(hits.len(), 1, "{}: {found}", node.name);
        let source = &hits[0]["_source"];
        assert_eq!((&source["event_id"], &source["event_type"]), (&test["event_id"], &json!("test_connection")));
        let mapping = node.get(&format!("/{}/_mapping", hits[0]["_index"].as_str().unwrap())).await;
        assert!(mapping.to_string().contains(node.free_object()), "the template came first: {mapping}");

        let unsaved = json!({
            "name": "unsaved", "platform": "elasticsearch",
            "config": { "url": format!("http://{}/nothing/is/right/here", node.address), "index_prefix": prefix },
        });
        let wrong = world.call("/v1/siem/connectors/test", &unsaved).await;
        assert_eq!(wrong["delivered"], false, "{}: {wrong}", node.name);
        assert!(wrong["hint"].as_str().unwrap().contains("Elasticsearch answered"), "{}: {wrong}", node.name);

        let closed = format!("/{}/_close", hits[0]["_index"].as_str().unwrap());
        node.client.send(http::Method::POST, &closed, &[], bytes::Bytes::new()).await.expect_status(200);
        let test = node.connector.test(json!({})).await;
        assert_eq!(test["streams"][0]["cause"]["code"], "elasticsearch_index_unusable", "{}: {test}", node.name);
        assert!(test["hint"].as_str().unwrap().contains("the index is closed"), "{}: {test}", node.name);
    }
    world.end().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_document() {
    let (world, prefix, nodes) = started(json!({})).await;
    let mut behind = Vec::new();
    for node in &nodes {
        let proxy = Proxy::start(node.address.clone(), 1).await;
        let to_proxy = json!({ "config": { "url": proxy.base(), "username": "nobody", "password": "not-asked-for" } });
        node.connector.patch(to_proxy).await;
        behind.push((node, proxy));
    }
    world
        .post_events(&[
            violation(json!({ "timestamp": format!("{}T12:00:00Z", day(1).0) })),
            violation(json!({ "timestamp": format!("{}T00:00:00Z", day(0).0) })),
        ])
        .await;
    world.all_arrived().await;
    for (node, proxy) in &behind {
        assert_eq!(proxy.lost(), 1, "{}", node.name);
        let deliveries = node.connector.history().await;
        let [delivery] = deliveries.as_slice() else { panic!("{}: {deliveries:?}", node.name) };
        assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("delivered"), &json!(2)), "{delivery}");
        assert_eq!(delivery["attempts"][0]["http_status"], Value::Null, "{delivery}");
        assert!(delivery["attempts"][1]["excerpt"].as_str().unwrap().contains("409"), "{delivery}");
        assert_eq!(node.count(&format!("{prefix}-*"), &json!({ "match_all": {} })).await, 2, "{}", node.name);
    }
    world.end().await;
}

#[tokio::test]
async fn a_mapping_conflict_rejects_that_one_event_with_the_nodes_reason() {
    let (world, prefix, nodes) = started(json!({ "manage_template": false })).await;
    let index = format!("{prefix}-{}", day(1).1);
    let mapping =
        json!({ "mappings": { "properties": { "details": { "properties": { "actual": { "type": "long" } } } } } });
    for node in &nodes {
        node.put(&format!("/{index}"), &mapping).await;
    }
    let of = |actual: Value| {
        violation(json!({ "timestamp": format!("{}T08:00:00Z", day(1).0), "details": { "actual": actual } }))
    };
    let ids = world.post_events(&[of(json!(1)), of(json!("not a number")), of(json!(3))]).await;
    for node in &nodes {
        node.connector.accounted(&[("delivered", 2), ("rejected", 1), ("pending", 0)]).await;
        assert_eq!(node.count(&index, &json!({ "match_all": {} })).await, 2, "{}", node.name);
        assert_eq!(node.client.get(&format!("/_index_template/{prefix}")).await.status, 404, "{}", node.name);
    }
    let shown = world.read(&format!("/v1/events/{}", ids[1])).await;
    let outcomes = shown["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), nodes.len());
    for outcome in outcomes {
        assert_eq!(outcome["outcome"], "rejected", "{outcome}");
        let cause = outcome["cause"]["message"].as_str().unwrap();
        assert!(cause.contains("failed to parse field [details.actual] of type [long]"), "{cause}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_disk_at_its_flood_stage_holds_events_until_the_block_is_lifted_and_the_connector_saved() {
    let (world, prefix, nodes) = started(json!({})).await;
    let event = violation(json!({ "timestamp": format!("{}T08:00:00Z", day(1).0) }));
    let index = format!("{prefix}-{}", day(1).1);
    world.post_events(std::slice::from_ref(&event)).await;
    world.all_arrived().await;
    let block = |value: Value| json!({ "index.blocks.read_only_allow_delete": value });
    for node in &nodes {
        node.put(&format!("/{index}/_settings"), &block(json!(true))).await;
    }
    world.post_events(&[event]).await;
    for node in &nodes {
        let health = node.connector.until_stands("misconfigured").await;
        let error = &health["streams"][0]["last_error"]["cause"];
        assert_eq!(error["code"], "elasticsearch_disk_flood_stage", "{}: {health}", node.name);
        assert!(error["message"].as_str().unwrap().contains("Free disk space"), "{health}");
        node.put(&format!("/{index}/_settings"), &block(Value::Null)).await;
        node.connector.patch(json!({ "config": { "max_in_flight": 8 } })).await;
    }
    world.all_arrived().await;
    for node in &nodes {
        node.connector.until_stands("healthy").await;
        assert_eq!(node.count(&index, &json!({ "match_all": {} })).await, 2, "{}", node.name);
    }
    world.end().await;
}

#[tokio::test]
async fn two_orgs_with_the_same_event_id_get_two_documents() {
    let (world, prefix, nodes) = started(json!({})).await;
    let theirs = world.org("tenant").await;
    for node in &nodes {
        let config = json!({ "url": format!("http://{}", node.address), "index_prefix": prefix });
        theirs.connector("elasticsearch", config, json!({ "name": node.name })).await;
    }
    let id = "0190d3a5-7e8b-4cc3-98c4-dc0c0c07398f";
    let same = violation(json!({ "event_id": id, "timestamp": format!("{}T08:00:00Z", day(1).0) }));
    for org in [world.default_org(), &theirs] {
        assert_eq!(org.post_events(std::slice::from_ref(&same)).await, [id]);
    }
    world.all_arrived().await;
    theirs.all_arrived().await;
    for node in &nodes {
        let index = format!("{prefix}-{}", day(1).1);
        assert_eq!(node.count(&index, &json!({ "term": { "event_id": id } })).await, 2, "{}", node.name);
        assert_eq!(node.count(&index, &json!({ "term": { "org_id": theirs.id } })).await, 1, "{}", node.name);
    }
    world.end().await;
}
