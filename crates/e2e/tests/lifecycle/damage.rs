//! Bits that flip in the database file: an event costs itself alone, a page that cannot be read is told of, and health lies about neither.

use std::path::Path;

use toktra_siem_testkit::prelude::*;

/// Flips one bit in the payload of each of these events, in the file of a server that was stopped.
fn flip(dir: &Path, ids: &[&String]) {
    let path = dir.join("toktra.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for id in ids {
        let needle = format!("\"{id}\"").into_bytes();
        let places: Vec<usize> =
            (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(&needle)).collect();
        assert!(!places.is_empty(), "{id} is not in the file");
        for at in places {
            bytes[at + 5] ^= 1;
        }
    }
    std::fs::write(&path, bytes).unwrap();
}

/// Makes every page unreadable that holds the payload of the event.
fn tear(dir: &Path, id: &str) {
    const PAGE: usize = 8192;
    let path = dir.join("toktra.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = format!("\"{id}\"").into_bytes();
    let at = (0..bytes.len() - needle.len()).find(|at| bytes[*at..].starts_with(&needle)).unwrap();
    let page = at / PAGE * PAGE;
    bytes[page..page + 16].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
}

async fn what_became_of(world: &World, id: &str) -> Vec<String> {
    let event = world.read(&format!("/v1/events/{id}")).await;
    let outcomes = event["outcomes"].as_array().unwrap();
    outcomes.iter().map(|told| told["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_flipped_bit_costs_one_event_and_everybody_is_told() {
    let (mut world, splunk, datadog) = (World::start().await, splunk().await, datadog().await);
    let (first, second) = (world.connect(&splunk).await, world.connect(&datadog).await);
    for connector in [&first, &second] {
        connector.patch(json!({ "active": false })).await;
    }
    let mut ids = world.post_some(7).await;
    world.stop().await;
    // Of the batch that waits the first, the last, and one in between.
    flip(&world.data_dir(), &[&ids[0], &ids[3], &ids[6]]);
    world.again().await;
    for connector in [&first, &second] {
        connector.patch(json!({ "active": true })).await;
    }
    ids.extend(world.post_some(2).await);
    first.accounted(&[("accepted", 9), ("delivered", 6), ("damaged", 3)]).await;
    second.until_account("logs", &Account { delivered: 6, damaged: 3, ..Account::default() }).await;
    second.until_account("metrics", &Account { delivered: 6, damaged: 3, ..Account::default() }).await;
    let whole: Vec<String> =
        ids.iter().enumerate().filter(|(at, _)| ![0, 3, 6].contains(at)).map(|(_, id)| id.clone()).collect();
    assert_each_once(&splunk, &whole);

    for at in [0, 3, 6] {
        assert_eq!(what_became_of(&world, &ids[at]).await, ["damaged"; 3]);
        let event = world.read(&format!("/v1/events/{}", ids[at])).await;
        assert!(event["event"].is_null() && event["damaged_at"].is_string(), "{event}");
    }
    assert_eq!(what_became_of(&world, &ids[8]).await[0], "delivered");
    let found = world.read("/v1/events?outcome=damaged").await;
    assert_eq!(found["items"].as_array().unwrap().len(), 3, "{found}");

    let all = world.read("/v1/siem/health").await;
    for health in all["items"].as_array().unwrap() {
        let stream = &health["streams"][0];
        assert_eq!((&health["state"], &stream["damaged"]["total"]), (&json!("degraded"), &json!(3)), "{health}");
        assert_eq!(stream["last_error"]["cause"]["code"], "payload_damaged", "{health}");
        assert_eq!(
            (&stream["damaged"]["last_event_id"], &stream["lag_events"]),
            (&json!(ids[6]), &json!(0)),
            "{health}"
        );
    }
    let told = world.log().matches("does not match its checksum any more, or is gone").count();
    assert_eq!(told, 3, "{}", world.log());
    let metrics = world.get("/metrics").await.text();
    let counted = |line: &&str| line.starts_with("toktra_siem_stream_damaged_events_total{") && line.ends_with(" 3");
    assert_eq!(metrics.lines().filter(counted).count(), 3, "{metrics}");
    world.run(&["connector", "health"], "").await.ends(1).says(&["3 events were found damaged"]);
    world.run(&["event", "get", &ids[0]], "").await.done().says(&["damaged: found on"]);

    // Nobody finds them anew, and nobody forgets them.
    world.restart().await;
    world.post_some(1).await;
    first.accounted(&[("accepted", 10), ("delivered", 7), ("damaged", 3)]).await;
    assert_eq!(first.stands().await["state"], "degraded");
    assert!(!world.log().contains("does not match its checksum any more, or is gone"), "{}", world.log());
    world.stop().await;
}

#[tokio::test]
async fn what_was_parked_or_pinned_is_damaged_too_and_what_had_arrived_is_not() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    let arrived = world.post_some(1).await;
    world.all_arrived().await;
    splunk.down().await;
    let waiting = world.post_some(4).await;
    connector.until_stands("degraded").await;
    // Refused or under way: whatever of it was parked, pinned or behind the cursor when the process ended.
    world.stop().await;
    flip(&world.data_dir(), &[&arrived[0], &waiting[0], &waiting[2]]);
    splunk.up().unwrap();
    world.again().await;
    let fresh = world.post_some(1).await;
    connector.accounted(&[("accepted", 6), ("delivered", 4), ("damaged", 2)]).await;
    for (id, outcome) in
        [(&arrived[0], "delivered"), (&waiting[0], "damaged"), (&waiting[1], "delivered"), (&waiting[2], "damaged")]
    {
        assert_eq!(what_became_of(&world, id).await, [outcome], "{id}");
    }
    let event = world.read(&format!("/v1/events/{}", arrived[0])).await;
    assert!(event["event"].is_null() && event["damaged_at"].is_string(), "{event}");
    assert_each_once(&splunk, &[&arrived[..], &waiting[1..2], &waiting[3..], &fresh[..]].concat());
    world.stop().await;
}

/// A page that cannot be read is no damaged event: the stream stands still, which health says, and goes on after a repair.
#[tokio::test]
async fn a_store_that_cannot_be_read_shows_in_health() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    connector.patch(json!({ "active": false })).await;
    let ids = world.post_some(3).await;
    world.stop().await;
    tear(&world.data_dir(), &ids[1]);
    world.again().await;
    connector.patch(json!({ "active": true })).await;
    let health = connector.until_stands("degraded").await;
    let stream = &health["streams"][0];
    assert_eq!(stream["last_error"]["cause"]["code"], "own_failure", "{health}");
    let said = stream["last_error"]["cause"]["message"].as_str().unwrap();
    assert!(said.contains("toktra-siem repair"), "{said}");
    assert!(stream["sentence"].as_str().unwrap().starts_with("Action needed: this server"), "{health}");
    world.stop().await;

    let dir = world.data_dir().display().to_string();
    command(&["repair"], &[("TOKTRA_SIEM_DATA_DIR", dir.as_str())], b"").await.ends(3);
    world.again().await;
    world.post_some(1).await;
    connector.accounted(&[("accepted", 4), ("delivered", 1), ("damaged", 3)]).await;
    world.stop().await;
}

/// Flips a bit of the settings of the connector with this name, in the file of a server that was stopped.
fn flip_settings(dir: &Path, name: &str) {
    let path = dir.join("toktra.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = format!("\"name\":\"{name}\",\"settings\":").into_bytes();
    let places: Vec<usize> = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(&needle)).collect();
    assert!(!places.is_empty(), "{name} is not in the file");
    for at in places {
        bytes[at + needle.len() - 1] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
}

#[tokio::test]
async fn settings_that_cannot_be_read_hold_their_connector_alone_until_it_is_saved_again() {
    let (mut world, splunk, datadog) = (World::start().await, splunk().await, datadog().await);
    let broken = world.connect_with(&splunk, json!({ "name": "Broken" })).await;
    let doomed = world.connect_with(&splunk, json!({ "name": "Doomed" })).await;
    let whole = world.connect(&datadog).await;
    world.stop().await;
    flip_settings(&world.data_dir(), "Broken");
    flip_settings(&world.data_dir(), "Doomed");
    world.again().await;
    let ids = world.post_some(3).await;
    whole.arrived().await;
    let health = broken.until_stands("misconfigured").await;
    let cause = &health["streams"][0]["last_error"]["cause"];
    assert_eq!(cause["code"], "connector_unusable", "{health}");
    assert!(
        cause["message"].as_str().unwrap().contains("Save it again with all of its settings, or delete it"),
        "{health}"
    );
    let told = world.log().matches("what is stored of this connector cannot be read any more").count();
    assert_eq!(told, 2, "once for each: {}", world.log());
    assert_eq!(world.read("/v1/siem/connectors").await["items"].as_array().unwrap().len(), 3);
    assert!(world.get("/metrics").await.text().contains("toktra_siem_stream"));

    world.person("ada@company.example", "admin").await;
    let tab = Tab::at(world.base());
    tab.log_in("ada@company.example").await;
    let place = format!("/integrations/siem/{}", broken.id);
    assert!(tab.get(&place).await.expect_status(200).text().contains("cannot be read any more"));
    tab.get(&format!("{place}/settings")).await.expect_status(200);
    tab.get(&format!("{place}/edit")).await.expect_status(200);
    broken.patch(json!({ "platform": "splunk", "config": splunk.config() })).await;
    broken.arrived().await;
    assert_each_once(&splunk, &ids);
    assert_eq!(broken.stands().await["state"], "healthy");
    world.delete(&doomed.path("")).await;
    assert_eq!(world.read("/v1/siem/connectors").await["items"].as_array().unwrap().len(), 2);
    world.stop().await;
}
