//! `backup` of a server under load, and `restore` of it.

use serde_json::json;
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::json::Json as _;
use toktra_siem_testkit::poll;

use super::{Said, command, with_server};
use crate::serve::setup;

async fn in_dir(dir: &std::path::Path, arguments: &[&str]) -> Said {
    command(arguments, &[("TOKTRA_SIEM_DATA_DIR", dir.to_str().unwrap())], b"").await
}

/// Posts events in one request; their ids.
async fn post(client: &Client, count: usize) -> Vec<String> {
    let events: Vec<_> = (0..count).map(|_| json!({ "event_type": "anomaly", "severity": "high" })).collect();
    let answer = client.begin("/v1/events", &json!(events)).await;
    answer["events"].as_array().unwrap().iter().map(|e| e["event_id"].text()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_every_event_from_before_and_what_was_on_its_way_arrives_from_it() {
    let splunk = Splunk::start(SplunkOptions::new("a-hec-token")).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let (file, key) = (place.path().join("backup.db"), "ab".repeat(32));
    let first = setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", key.as_str());
    let server = first.start().await;
    let config = json!({ "hec_url": splunk.base_url(), "hec_token": "a-hec-token" });
    let connector = json!({ "name": "Splunk", "platform": "splunk", "config": config, "active": true });
    let made = server.client().make("/v1/siem/connectors", &connector).await;
    let before = post(server.client(), 500).await;

    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (client, stopped) = (server.client().clone(), std::sync::Arc::clone(&stop));
    let load = tokio::spawn(async move {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            post(&client, 20).await;
        }
    });
    let said = in_dir(&first.data_dir(), &["backup", "--to", file.to_str().unwrap(), "--json"]).await.done();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    load.await.unwrap();
    assert!(said.json()["events"].number() >= 500, "{}", said.stdout);
    let again = in_dir(&first.data_dir(), &["backup", "--to", file.to_str().unwrap()]).await;
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "the encryption key is in the backup");

    // Into the directory of a server that runs: refused.
    let said = in_dir(&first.data_dir(), &["restore", "--from", file.to_str().unwrap(), "--replace"]).await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("in use by a running server") && said.stderr.contains("Nothing was changed"),
        "{}",
        said.stderr
    );
    server.stop().await;

    let second = setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", key.as_str());
    let said = in_dir(&second.data_dir(), &["restore", "--from", file.to_str().unwrap()]).await.done();
    assert!(
        said.stdout.contains("delivered again") && said.stdout.contains("no encryption key here"),
        "{}",
        said.stdout
    );
    let server = second.start().await;
    for id in before.iter().step_by(50) {
        server.client().get(&format!("/v1/events/{id}")).await.expect_status(200);
    }
    let path = format!("/v1/siem/connectors/{}/accounting", made["id"].as_str().unwrap());
    poll::until("everything in the backup has come to an end", async || {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let accounting = server.client().read(&path).await;
        assert_eq!(accounting["adds_up"], true, "{accounting}");
        let stream = &accounting["streams"][0];
        (stream["pending"] == 0 && stream["delivered"] == stream["accepted"]).then_some(())
    })
    .await;
    let arrived = splunk.event_ids();
    assert!(before.iter().all(|id| arrived.contains_key(id)), "an event from before the backup has not arrived");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_restored_is_told_and_what_is_there_is_kept() {
    let setup = setup();
    let server = setup.start().await;
    let kept = post(server.client(), 3).await;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.db");
    let path = file.to_str().unwrap();
    in_dir(&setup.data_dir(), &["backup", "--to", path]).await.done();
    let lost = post(server.client(), 1).await;
    server.stop().await;

    let said = in_dir(&setup.data_dir(), &["restore", "--from", path]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("--replace"), "{}", said.stderr);
    let nonsense = place.path().join("nonsense");
    std::fs::write(&nonsense, "no database at all, but long enough to be taken for one by its size").unwrap();
    let said = in_dir(&setup.data_dir(), &["restore", "--from", nonsense.to_str().unwrap(), "--replace"]).await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("it is no database") && said.stderr.contains("Nothing was changed"),
        "{}",
        said.stderr
    );

    let said = in_dir(&setup.data_dir(), &["restore", "--from", path, "--replace", "--json"]).await.done().json();
    assert!(
        said["aside"].as_str().unwrap().contains("toktra.db.replaced-") && said["encryption_key"] == true,
        "{said}"
    );
    let server = setup.start().await;
    for id in &kept {
        server.client().get(&format!("/v1/events/{id}")).await.expect_status(200);
    }
    server.client().get(&format!("/v1/events/{}", lost[0])).await.expect_status(404);
    let said = with_server(&server, &["health"], b"").await.done();
    assert_eq!(said.stdout, "It is up, and takes events in.\n");
    server.stop().await;
}
