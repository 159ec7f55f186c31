//! Asking for jobs, with what they come to before, and following them.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

use crate::api::history::with_history;
use uuid::Uuid;

fn path(connector: &str, wish: &str) -> String {
    format!("/integrations/siem/{connector}/{wish}")
}

/// A world with a history, later, and an admin who looks at it.
async fn later() -> (Here, String, Tab) {
    let (world, id) = with_history().await;
    world.pass(Duration::from_mins(10));
    let tab = Tab::of_admin(&world).await;
    (world, id, tab)
}

#[tokio::test]
async fn a_wish_says_first_what_it_comes_to() {
    let (world, id, tab) = later().await;
    let failed = tab.get(&path(&id, "redeliver-failed")).await.expect_status(200);
    insta::assert_snapshot!("redeliver_failed", content(&failed));
    let replay = tab.get(&path(&id, "replay")).await.expect_status(200).text();
    assert!(replay.contains("value=\"2025-01-14T10:40\"") && replay.contains("Send 3 events again"), "{replay}");
    assert!(replay.contains("Splunk does not deduplicate"), "{replay}");
    let discard = tab.get(&path(&id, "discard")).await.expect_status(200).text();
    assert!(discard.contains("Discard 1 event of x"), "{discard}");
    assert_eq!(world.get("/v1/siem/jobs").await.json()["items"], json!([]), "looking asks for nothing");
}

#[tokio::test]
async fn the_preview_follows_the_range() {
    let (_bench, id, tab) = later().await;
    let part =
        tab.part(&format!("{}?from=2025-01-15T10%3A35&to=", path(&id, "replay"))).await.expect_status(200).text();
    assert!(part.contains("<b>No event</b> of this range is stored") && !part.contains("method=\"post\""), "{part}");
    assert!(!part.contains("<h1"), "a part has no frame");
    let range = "from=2025-01-15T10%3A30&to=2025-01-15T10%3A31";
    let part = tab.part(&format!("{}?{range}", path(&id, "replay"))).await.expect_status(200).text();
    assert!(part.contains("name=\"from\" value=\"2025-01-15T10:30\"><input type=\"hidden\" name=\"to\""), "{part}");
    let mixed_up = tab.get(&format!("{}?from=2025-01-15T10%3A31&to=2025-01-15T10%3A30", path(&id, "discard"))).await;
    insta::assert_snapshot!("range_mixed_up", content(&mixed_up.expect_status(422)));
    tab.get(&path(&Uuid::from_u128(9).to_string(), "replay")).await.expect_status(404);
}

#[tokio::test]
async fn a_wish_becomes_a_job_that_can_be_followed_and_cancelled() {
    let (world, id, tab) = later().await;
    let fields = [("from", "2025-01-15T10:30"), ("to", "")];
    let answer = tab.post(&path(&id, "replay"), &fields).await.expect_status(303);
    let job = answer.header("location").unwrap().to_owned();
    insta::assert_snapshot!("job_open", content(&tab.get(&job).await.expect_status(200)));
    let first = world.get("/v1/siem/jobs").await.json()["items"][0].clone();
    assert_eq!((&first["from"], &first["to"]), (&json!("2025-01-15T10:30:00.000Z"), &json!(null)));

    let viewer = Tab::of_viewer(&world).await;
    let seen = viewer.get(&job).await.expect_status(200).text();
    assert!(seen.contains("data-live=") && !seen.contains("/cancel"), "{seen}");
    viewer.post(&format!("{job}/cancel"), &[]).await.expect_status(403);

    let list = tab.get(&path(&id, "jobs")).await.expect_status(200).text();
    assert!(list.contains(&format!("href=\"{job}\"")) && list.contains("0 of 3 events"), "{list}");
    assert!(tab.get("/jobs").await.expect_status(200).text().contains(&job));

    tab.post(&format!("{job}/cancel"), &[]).await.expect_status(303);
    let ended = tab.get(&job).await.expect_status(200).text();
    assert!(
        ended.contains("The job was cancelled.") && ended.contains("It was cancelled after 0 of 3 events."),
        "{ended}"
    );
    assert!(!ended.contains("hx-sse:connect"), "nothing is followed that has ended");
    tab.post(&format!("{job}/cancel"), &[]).await.expect_status(303);
    let list = tab.get(&path(&id, "jobs")).await.expect_status(200).text();
    assert!(list.contains("Cancelled"), "{list}");
}

#[tokio::test]
async fn what_was_discarded_is_counted() {
    let (world, id, tab) = later().await;
    let answer = tab.post(&path(&id, "discard"), &[("from", ""), ("to", "")]).await.expect_status(303);
    let job = answer.header("location").unwrap().to_owned();
    let open = world.store.open_discards().await.unwrap();
    world.store.discard(open[0], 500).await.unwrap();
    insta::assert_snapshot!("job_discarded", content(&tab.get(&job).await.expect_status(200)));
}

#[tokio::test]
async fn nothing_is_asked_for_that_the_api_refuses() {
    let (world, id, tab) = later().await;
    world.change(&format!("/v1/siem/connectors/{id}"), &json!({ "active": false })).await;
    let off = tab.get(&path(&id, "replay")).await.expect_status(200).text();
    assert!(
        off.contains("x is switched off, so nothing can be sent.") && !off.contains("method=\"post\" action=\"/int"),
        "{off}"
    );
    let refused =
        tab.post(&path(&id, "replay"), &[("from", "2025-01-15T10:00"), ("to", "")]).await.expect_status(409).text();
    assert!(refused.contains("role=\"alert\"") && refused.contains("value=\"2025-01-15T10:00\""), "{refused}");
    let future = tab.post(&path(&id, "discard"), &[("from", "2031-01-01T00:00")]).await.expect_status(422).text();
    assert!(future.contains("Lies in the future") && future.contains("value=\"2031-01-01T00:00\""), "{future}");
    let jobs = world.get("/v1/siem/jobs").await.json();
    assert_eq!(jobs["items"], json!([]));
}

#[tokio::test]
async fn without_jobs_the_list_says_what_they_are_for() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "quiet").await;
    let tab = Tab::of_viewer(&world).await;
    let list = tab.get(&path(connector["id"].as_str().unwrap(), "jobs")).await.expect_status(200).text();
    assert!(
        list.contains("No jobs yet") && list.contains("sent again by itself") && !list.contains("/replay"),
        "{list}"
    );
    tab.get(&format!("/jobs/{}", Uuid::from_u128(9))).await.expect_status(404);
    tab.get(&path("x", "jobs")).await.expect_status(404);
}
