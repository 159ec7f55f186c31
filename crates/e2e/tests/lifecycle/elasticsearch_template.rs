//! The index template on real nodes: what its owner added stays, and another's is not touched.

use toktra_siem_testkit::prelude::*;

use crate::nodes::{connected, nodes, started};

#[tokio::test]
async fn what_its_owner_added_outlives_a_restart_and_a_new_version() {
    let (mut world, prefix, nodes) = started(json!({})).await;
    world.post_some(1).await;
    world.all_arrived().await;
    let mut edited = Vec::new();
    for node in &nodes {
        let mut template = node.template(&prefix).await;
        assert_eq!(template["version"], 2, "{}", node.name);
        let members = template.as_object_mut().unwrap();
        members.retain(|name, _| !name.ends_with("_millis"));
        template["template"]["settings"]["index"]["number_of_replicas"] = json!("2");
        template["template"]["aliases"] = json!({ "security": {} });
        template["template"]["mappings"]["properties"]["site"] = json!({ "type": "keyword" });
        node.put(&format!("/_index_template/{prefix}"), &template).await;
        edited.push(node.template(&prefix).await);
    }
    world.restart().await;
    world.post_some(1).await;
    world.all_arrived().await;
    for (node, edited) in nodes.iter().zip(&edited) {
        assert_eq!(node.template(&prefix).await, *edited, "{}: a restart", node.name);
        let applied = world.call(&node.connector.path("/index-template"), &json!({})).await;
        assert_eq!(applied["warning"], Value::Null, "{}: {applied}", node.name);
        assert_eq!(node.template(&prefix).await, *edited, "{}: the button", node.name);
        // As an earlier version left it.
        let mut earlier = edited.clone();
        earlier.as_object_mut().unwrap().retain(|name, _| !name.ends_with("_millis"));
        earlier["version"] = json!(1);
        earlier["template"]["mappings"]["properties"]["details"] = json!({ "type": node.free_object() });
        earlier["template"]["mappings"]["properties"].as_object_mut().unwrap().remove("user_id");
        node.put(&format!("/_index_template/{prefix}"), &earlier).await;
        world.call(&node.connector.path("/index-template"), &json!({})).await;
        let mut updated = node.template(&prefix).await;
        for time in ["created_date_millis", "modified_date_millis"] {
            updated[time] = edited[time].clone();
        }
        let mut expected = edited.clone();
        for time in ["created_date_millis", "modified_date_millis"] {
            expected[time] = edited[time].clone();
        }
        assert_eq!(updated, expected, "{}: brought up to date", node.name);
    }
    world.end().await;
}

#[tokio::test]
async fn another_s_template_of_our_name_is_not_touched_and_events_arrive() {
    let world = World::start().await;
    let prefix = world.unique();
    for (_, _, client) in nodes() {
        let theirs = json!({ "index_patterns": [format!("{prefix}-*")], "priority": 9, "template": { "settings": { "number_of_replicas": 0 } } });
        client.put(&format!("/_index_template/{prefix}"), &theirs).await.expect_status(200);
    }
    let nodes = connected(&world, &prefix, json!({})).await;
    let mut before = Vec::new();
    for node in &nodes {
        before.push(node.template(&prefix).await);
    }
    world.post_some(2).await;
    world.all_arrived().await;
    for (node, before) in nodes.iter().zip(before) {
        node.connector.accounted(&[("delivered", 2)]).await;
        let applied = world.call(&node.connector.path("/index-template"), &json!({})).await;
        assert_eq!(applied["warning"]["code"], "elasticsearch_template_foreign", "{}: {applied}", node.name);
        assert_eq!(node.template(&prefix).await, before, "{}", node.name);
    }
    world.end().await;
}
