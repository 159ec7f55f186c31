//! Whatever an accepted event holds in `details` and `tags`, real nodes take it, and what a security engineer searches is found.

use toktra_siem_testkit::prelude::*;

use crate::nodes::{Node, connected, day, nodes, started};

/// `value` within so many objects.
fn deep(levels: usize, value: Value) -> Value {
    (0..levels).fold(value, |inner, _| json!({ "a": inner }))
}

/// Details that a mapping could stumble over. Posted in this order, so that the first ones would fix types for the later ones.
fn awkward() -> Vec<Value> {
    let arrays = (0..28).fold(json!(1), |inner, _| json!([inner]));
    let mut awkward = vec![
        json!({ "actual": 1 }),
        json!({ "actual": "x" }),
        json!({ "actual": { "b": 1 } }),
        json!({ "actual": [1, "x", { "b": 2 }, null, true] }),
        json!({ "actual.b": 1, "actual": 2 }),
        json!({ "policy_name": { "a": "b" } }),
        json!({ "policy_name": ["a", 1, { "x": true }] }),
        json!({ "policy_name": "n".repeat(33_000) }),
        json!({ "prompt": "p".repeat(33_000) }),
        json!({ "prompt": "€".repeat(60_000) }),
        json!({ "prompt": { "text": "p".repeat(200_000) } }),
        json!({ ("k".repeat(33_000)): "v" }),
        json!({ ("k".repeat(60_000)): "v", "inner": [{ ("k".repeat(60_000)): 1 }] }),
        json!({ "team": "2025-01-15" }),
        json!({ "team": "not a date" }),
        json!({ "team": { "name": "red" } }),
        json!({ "team": [["a"], [["b"]]] }),
        deep(22, json!("leaf")),
        deep(29, json!(1)),
        json!({ "a": arrays }),
        json!({ "a\u{0}b": 1, "x\u{0}": { "\u{0}": "\u{0}" } }),
        json!({ "mixed": [1, "x", { "b": [{ "c": null }] }, [2, [3]], {}] }),
        json!({ "empty": {}, "list": [], "null": null, "text": "" }),
        json!({ "huge": 1e308, "actual": 340_282_366_920_938_463_463_374_607_431_768_211_455.0_f64 }),
        json!({}),
    ];
    for name in ["", " ", "\t", ".", "..", ".a", "a.", "a..b", "a. .b", "a.b", "gen_ai.request.model", "_id", "*"] {
        awkward.push(json!({ (name): 1 }));
        awkward.push(json!({ "inner": { (name): { (name): "x" } } }));
    }
    awkward
}

async fn delivered_everywhere(world: &World, nodes: &[Node], count: u64) {
    world.all_arrived().await;
    for node in nodes {
        node.connector.accounted(&[("delivered", count), ("rejected", 0), ("failed", 0)]).await;
    }
}

#[tokio::test]
async fn whatever_was_accepted_is_delivered() {
    let (world, prefix, nodes) = started(json!({})).await;
    let mut events: Vec<Value> =
        awkward().into_iter().map(|details| violation(json!({ "details": details }))).collect();
    for tags in [
        json!({ "team": "red" }),
        json!({ "team": "t".repeat(33_000), "ok": "yes" }),
        json!({ "a\u{0}b": "x", "": "y", ".": "z", "a..b": "w", "ok": "yes" }),
        json!({ ("k".repeat(33_000)): "v" }),
    ] {
        events.push(violation(json!({ "tags": tags })));
    }
    // One by one at first: in one bulk, none of them would meet what another fixed.
    for event in &events[..4] {
        world.post_events(std::slice::from_ref(event)).await;
        world.all_arrived().await;
    }
    world.post_events(&events[4..]).await;
    let number = format!("1.{}", "0".repeat(2_000));
    let long = violation(json!({ "details": { "actual": 7, "x": { "y": "NUMBER" } } })).to_string();
    world.post_bytes("/v1/events", "application/json", long.replace("\"NUMBER\"", &number)).await.expect_status(202);
    let count = events.len() as u64 + 1;
    delivered_everywhere(&world, &nodes, count).await;
    let all = format!("{prefix}-*");
    for node in &nodes {
        let found = async |query: Value| node.count(&all, &query).await;
        let name = node.name;
        assert_eq!(found(json!({ "match_all": {} })).await, count, "{name}");
        assert_eq!(found(json!({ "term": { "tags.ok": "yes" } })).await, 2, "{name}");
        assert_eq!(found(json!({ "term": { "details_terms": "team.name=red" } })).await, 1, "{name}");
        assert_eq!(found(json!({ "term": { "details_terms": "actual.b=1" } })).await, 2, "{name}");
        assert_eq!(found(json!({ "term": { "details_terms": "gen_ai.request.model=1" } })).await, 1, "{name}");
        assert_eq!(found(json!({ "term": { "unindexed": "/details/prompt" } })).await, 2, "{name}");
        assert_eq!(found(json!({ "term": { "unindexed": "/details/policy_name" } })).await, 1, "{name}");
        assert_eq!(found(json!({ "term": { "unindexed": "/tags/team" } })).await, 1, "{name}");
        // All that was accepted is in the document, also what is not indexed.
        let long = json!({ "query": { "term": { "unindexed": "/details/prompt/text" } } });
        let answer = node.client.post(&format!("/{all}/_search"), &long).await.expect_status(200).json();
        let source = &answer["hits"]["hits"][0]["_source"];
        assert_eq!(source["details"]["prompt"]["text"].as_str().map(str::len), Some(200_000), "{name}");
        let changed = json!({ "query": { "term": { "details_terms": "actual.b=2" } } });
        let answer = node.client.post(&format!("/{all}/_search"), &changed).await.expect_status(200).json();
        let source = &answer["hits"]["hits"][0]["_source"];
        let original: Value = serde_json::from_str(source["details_original"].as_str().unwrap()).unwrap();
        assert_eq!(original, json!({ "actual": [1, "x", { "b": 2 }, null, true] }), "{name}: {source}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_searches_of_a_security_engineer_find_what_they_should() {
    let (world, prefix, nodes) = started(json!({})).await;
    let of = |ago: i64, user: &str, actual: Value| {
        violation(json!({
            "timestamp": format!("{}T12:00:00Z", day(ago).0), "user_id": user, "model": "gpt-4",
            "details": { "policy_name": "max-tokens", "threshold": 100_000, "actual": actual, "team": "red" },
        }))
    };
    // Numbers are compared as numbers: 99,000 is less, although its text is greater.
    world
        .post_events(&[
            of(1, "u-1", json!(150_000)),
            of(1, "u-2", json!(99_000)),
            of(0, "u-1", json!(100_000.5)),
            of(0, "u-3", json!("a lot")),
        ])
        .await;
    delivered_everywhere(&world, &nodes, 4).await;
    let all = format!("{prefix}-*");
    for node in &nodes {
        let count = async |query: Value| node.count(&all, &query).await;
        let name = node.name;
        assert_eq!(count(json!({ "range": { "details.actual": { "gt": 100_000 } } })).await, 2, "{name}");
        assert_eq!(count(json!({ "range": { "details.threshold": { "lte": 100_000 } } })).await, 4, "{name}");
        assert_eq!(count(json!({ "term": { "user_id": "u-1" } })).await, 2, "{name}");
        assert_eq!(count(json!({ "term": { "user_id.keyword": "u-1" } })).await, 2, "{name}");
        assert_eq!(count(json!({ "term": { "details.policy_name": "max-tokens" } })).await, 4, "{name}");
        assert_eq!(count(json!({ "term": { "details_terms": "team=red" } })).await, 4, "{name}");
        assert_eq!(count(json!({ "prefix": { "details_terms": "actual=" } })).await, 1, "{name}");
        let sum = node.aggregate(&all, &json!({ "sum": { "field": "details.actual" } })).await;
        assert_eq!(sum["value"], 349_000.5, "{name}");
        let days = json!({ "date_histogram": { "field": "@timestamp", "fixed_interval": "1d" } });
        let buckets = node.aggregate(&all, &days).await["buckets"].as_array().unwrap().clone();
        let counts: Vec<u64> = buckets.iter().map(|bucket| bucket["doc_count"].number()).collect();
        assert_eq!(counts, [2, 2], "{name}");
        let users = node.aggregate(&all, &json!({ "terms": { "field": "user_id" } })).await;
        assert_eq!(
            (&users["buckets"][0]["key"], &users["buckets"][0]["doc_count"]),
            (&json!("u-1"), &json!(2)),
            "{name}"
        );
    }
    world.end().await;
}

#[tokio::test]
async fn the_first_event_of_a_day_fixes_no_type_and_many_keys_make_no_field() {
    let (world, prefix, nodes) = started(json!({})).await;
    let date = "2025-01-15";
    let first = json!({
        "user_id": date, "provider": date, "model": date, "policy_id": date, "user_email": date, "summary": date,
        "details": { "when": date, "policy_name": date }, "tags": { "since": date },
    });
    world.post_events(&[violation(first)]).await;
    delivered_everywhere(&world, &nodes, 1).await;
    let index = format!("{prefix}-{}", day(0).1);
    let mut before = Vec::new();
    for node in &nodes {
        before.push(node.get(&format!("/{index}/_mapping")).await);
    }
    let ordinary = |n: usize| {
        let (key, inner) = (format!("key-{n}"), format!("inner-{n}"));
        violation(json!({
            "user_id": "u-1", "provider": "openai", "model": "gpt-4",
            "details": { "when": "soon", (key.as_str()): { (inner.as_str()): n } }, "tags": { "since": "ever", (key.as_str()): "x" },
        }))
    };
    let events: Vec<Value> = (0..1_200).map(ordinary).collect();
    world.post_events(&events).await;
    delivered_everywhere(&world, &nodes, 1_201).await;
    for (node, before) in nodes.iter().zip(before) {
        assert_eq!(node.get(&format!("/{index}/_mapping")).await, before, "{}: nothing is guessed", node.name);
        let found = node.count(&index, &json!({ "term": { "details_terms": "key-77.inner-77=77" } })).await;
        assert_eq!(found, 1, "{}", node.name);
    }
    world.end().await;
}

#[tokio::test]
async fn old_events_take_no_index_each_and_keep_theirs_when_they_are_sent_again() {
    let (world, prefix, nodes) = started(json!({})).await;
    let mut events: Vec<Value> =
        (1..=12).map(|month| violation(json!({ "timestamp": format!("2001-{month:02}-03T08:00:00Z") }))).collect();
    events.push(violation(json!({ "timestamp": format!("{}T08:00:00Z", day(1).0) })));
    world.post_events(&events).await;
    delivered_everywhere(&world, &nodes, 13).await;
    let again = json!({ "from": "2001-01-01T00:00:00Z", "dry_run": false });
    for node in &nodes {
        let name = node.name;
        let indices = node.indices(&prefix).await;
        assert_eq!(indices.len(), 2, "{name}: {indices:?}");
        let job = node.connector.job("replay", again.clone()).await;
        world.until_job(job["id"].as_str().unwrap(), "done").await;
        assert_eq!(node.indices(&prefix).await, indices, "{name}");
        assert_eq!(node.count(&format!("{prefix}-*"), &json!({ "match_all": {} })).await, 13, "{name}");
        let old = json!({ "range": { "@timestamp": { "lt": "2002-01-01T00:00:00Z" } } });
        assert_eq!(node.count(&format!("{prefix}-{}", day(0).1), &old).await, 12, "{name}");
    }
    world.end().await;
}

/// The day of an upgrade: the day's index has the mapping of the template that was there before.
#[tokio::test]
async fn an_index_of_the_earlier_template_takes_what_follows() {
    let world = World::start().await;
    let prefix = world.unique();
    let index = format!("{prefix}-{}", day(0).1);
    for (name, _, client) in nodes() {
        let flat = if name.contains("OpenSearch") { "flat_object" } else { "flattened" };
        let properties =
            json!({ "details": { "type": flat }, "tags": { "type": flat }, "summary": { "type": "text" } });
        let template = json!({
            "index_patterns": [format!("{prefix}-*")], "priority": 500, "version": 1,
            "_meta": { "managed_by": "toktra-siem" }, "template": { "mappings": { "properties": properties } },
        });
        client.put(&format!("/_index_template/{prefix}"), &template).await.expect_status(200);
        client.put(&format!("/{index}"), &json!({})).await.expect_status(200);
    }
    let nodes = connected(&world, &prefix, json!({})).await;
    world
        .post_events(&[
            violation(json!({ "details": { "policy_name": "max-tokens", "actual": 150_000, "team": "red" } })),
            violation(json!({ "details": { "policy_name": "max-tokens", "actual": { "b": 1 }, "team": 1 } })),
            violation(json!({ "details": { "": { "": 1 }, "team": { "x": 1 } } })),
        ])
        .await;
    delivered_everywhere(&world, &nodes, 3).await;
    for node in &nodes {
        let found = node.count(&index, &json!({ "term": { "details.policy_name": "max-tokens" } })).await;
        assert_eq!(found, 2, "{}", node.name);
        assert_eq!(node.template(&prefix).await["version"], 2, "{}", node.name);
    }
    world.end().await;
}
