//! `connector apply` against a server.

use serde_json::{Value, json};

use super::answers::splunk;
use super::responder::{Responder, page};

#[tokio::test]
async fn connectors_as_code_are_compared_applied_and_left_alone_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("connectors.yaml");
    let text = "connectors:\n  - name: Splunk\n    platform: splunk\n    config: {hec_url: 'https://splunk.company.com:8088', index: main}\n    \
                filter: {severity: [high, critical]}\n";
    std::fs::write(&file, text).unwrap();
    let mut after = splunk();
    after["config"]["index"] = json!("main");
    let server = Responder::with(vec![
        ("GET /v1/siem/connectors?", page(&json!([splunk()]))),
        ("GET /v1/siem/connectors?", page(&json!([splunk()]))),
        ("GET /v1/siem/connectors?", page(&json!([after]))),
        ("PATCH /v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001", json!({})),
    ])
    .await;
    let apply = ["connector", "apply", "-f", file.to_str().unwrap()];
    let (text, outcome) = server.run(&[&apply[..], &["--dry-run"]].concat(), b"").await;
    assert_eq!(outcome.unwrap_err().code(), 3);
    assert_eq!(
        text,
        "~ Splunk (splunk)\n    config.index: toktra → main\n0 to add, 1 to change, 0 to delete, 0 unchanged.\n"
    );
    let text = server.text(&apply).await;
    assert!(text.ends_with("Saved: Splunk.\n"), "{text}");
    let patch = server.last("PATCH");
    assert_eq!(patch.json(), json!({"config": {"index": "main"}}));
    assert!(patch.head.contains("if-match: \"3\""));
    let text = server.text(&[&apply[..], &["--dry-run", "--json"]].concat()).await;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report, json!({"steps": [], "unchanged": 1, "others": [], "applied": false}));

    std::fs::write(&file, "connectors:\n  - name: X\n    plattform: splunk\n").unwrap();
    let before = server.seen().len();
    let (code, text) = server.fails(&apply).await;
    assert!(code == 2 && text.contains("line 3: `plattform`") && server.seen().len() == before, "{text}");
}
