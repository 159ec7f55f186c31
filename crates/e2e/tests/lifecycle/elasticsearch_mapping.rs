//! The fake is at least as strict as real nodes: what one of them refuses in a document, the fake refuses too.

use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_fake::elasticsearch::{Credentials, Flavour};
use toktra_siem_testkit::prelude::*;

use crate::nodes::nodes;

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }))
}

/// A document, and whether one of the nodes of this product refuses it.
type Row = (Value, bool);

/// Mappings of `details` by name, with documents.
fn mappings(flat: &str) -> Vec<(&'static str, Value, Vec<Row>)> {
    let elasticsearch = flat == "flattened";
    let long = || json!({ "prompt": "x".repeat(33_000) });
    let arrays = (0..28).fold(json!(1), |inner, _| json!([inner]));
    let guarded = json!({ "type": "double", "ignore_malformed": true });
    let word = json!({ "type": "keyword", "ignore_above": 8000 });
    let member = |name: &str| json!({ (name): 1 });
    let blank: Vec<Row> = ["", ".", "..", ".a", "a..b", "a. .b"].iter().map(|name| (member(name), true)).collect();
    let mut typed = vec![
        (json!({ "actual": "x" }), false),
        (json!({ "actual": true }), false),
        (json!({ "actual": [1, "x", [2]] }), false),
        (json!({ "actual": { "b": 1 } }), true),
        (json!({ "actual": [{ "b": 1 }] }), true),
        (json!({ "actual.b": 1 }), true),
        (json!({ "word": { "b": 1 } }), true),
        (json!({ "word": "w".repeat(33_000) }), false),
        (json!({ "a.b": 1 }), false),
        (json!({ "x": { "": 1, ".": 2 } }), false),
        (json!({ "a\u{0}b": 1 }), false),
        (json!({ "a": arrays }), !elasticsearch),
        (deep(28), false),
        (long(), false),
    ];
    typed.extend(blank);
    vec![
        (
            "typed",
            json!({ "type": "object", "dynamic": false, "properties": { "actual": guarded, "word": word } }),
            typed,
        ),
        (
            "flat",
            json!({ "type": flat }),
            vec![
                (long(), true),
                (json!({ ("k".repeat(33_000)): 1 }), true),
                (deep(22), elasticsearch),
                (json!({ "a\u{0}b": 1 }), elasticsearch),
                (json!({ "": 1, ".": { "..": 2 }, "a": [1, "x", { "b": [[2]] }] }), false),
            ],
        ),
        (
            "off",
            json!({ "type": "object", "enabled": false }),
            vec![(long(), false), (member(""), false), (deep(28), false)],
        ),
        ("keyword", json!({ "properties": { "prompt": { "type": "keyword" } } }), vec![(long(), true)]),
        (
            "guessed",
            json!({ "type": "object" }),
            vec![(deep(28), true), (json!({ "when": "2025-01-15" }), false), (json!({ "when": "soon" }), true)],
        ),
        ("undated", json!(null), vec![(json!({ "when": "2025-01-15" }), false), (json!({ "when": "soon" }), false)]),
    ]
}

/// Whether a node refuses this document.
async fn refuses(node: &Client, index: &str, details: &Value) -> bool {
    let lines = format!("{}\n{}\n", json!({ "create": { "_index": index } }), json!({ "details": details }));
    let answer = node.post_bytes("/_bulk", "application/x-ndjson", lines).await.expect_status(200).json();
    let status = answer["items"][0]["create"]["status"].number();
    assert!(status == 201 || status == 400, "{answer}");
    status == 400
}

#[tokio::test]
async fn what_a_real_node_refuses_the_fake_refuses() {
    let unique = SystemClock.now().0;
    let open = async |flavour| elasticsearch_with(flavour, |options| options.credentials = Credentials::Open).await;
    let fakes = [open(Flavour::Elasticsearch).await, open(Flavour::OpenSearch).await];
    let real = nodes().into_iter().map(|(name, _, client)| (name, client, name.contains("OpenSearch"), false));
    let ours =
        fakes.iter().zip([false, true]).map(|(fake, open)| ("the fake", Client::new(&fake.base_url()), open, true));
    for (name, client, open, fake) in real.chain(ours) {
        for (kind, mapping, rows) in mappings(if open { "flat_object" } else { "flattened" }) {
            let prefix = format!("mapping-{unique}-{kind}");
            let mappings = match mapping {
                Value::Null => json!({ "date_detection": false }),
                details => json!({ "properties": { "details": details } }),
            };
            let template = json!({ "index_patterns": [format!("{prefix}-*")], "priority": 600, "template": { "mappings": mappings } });
            client.put(&format!("/_index_template/{prefix}"), &template).await.expect_status(200);
            for (details, refused) in rows {
                let found = refuses(&client, &format!("{prefix}-1"), &details).await;
                let shown: String = details.to_string().chars().take(80).collect();
                // A real node may be more lenient than its kin; the fake never is.
                assert!(
                    if fake { found == refused } else { refused || !found },
                    "{name}: {kind}: {shown}: refused {found}"
                );
            }
        }
    }
}
