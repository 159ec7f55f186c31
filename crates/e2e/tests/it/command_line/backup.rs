//! `backup` of a server under load, and `restore` of it.

use toktra_siem_testkit::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_every_event_from_before_and_what_was_on_its_way_arrives_from_it() {
    let splunk = splunk().await;
    let place = tempfile::tempdir().unwrap();
    let (file, key) = (place.path().join("backup.db"), "ab".repeat(32));
    let mut world = World::with(setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", key.as_str())).await;
    let made = world.connect(&splunk).await;
    let before = world.post_some(500).await;

    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (org, stopped) = (world.default_org().clone(), std::sync::Arc::clone(&stop));
    let load = tokio::spawn(async move {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            org.post_some(20).await;
        }
    });
    let said = world.in_dir(&["backup", "--to", file.to_str().unwrap(), "--json"]).await.done();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    load.await.unwrap();
    assert!(said.json()["events"].number() >= 500, "{}", said.stdout);
    let again = world.in_dir(&["backup", "--to", file.to_str().unwrap()]).await;
    again.ends(2).complains(&["exists already"]);
    for _ in 0..2 {
        let said = world.in_dir(&["backup", "--to", "-"]).await.done();
        assert!(said.stdout.starts_with("SQLite format 3\0"), "{}", said.stderr);
        said.complains(&["standard output, and checked"]);
    }
    world.in_dir(&["backup", "--to", "-", "--json"]).await.ends(2).complains(&["send it to a file"]);
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "the encryption key is in the backup");

    // Into the directory of a server that runs: refused.
    let said = world.in_dir(&["restore", "--from", file.to_str().unwrap(), "--replace"]).await;
    said.ends(1).complains(&["in use by a running server", "Nothing was changed"]);
    world.stop().await;

    world = World::asleep(setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", key.as_str()));
    let said = world.in_dir(&["restore", "--from", file.to_str().unwrap()]).await.done();
    said.says(&["delivered again", "no encryption key here"]);
    world.again().await;
    for id in before.iter().step_by(50) {
        world.get(&format!("/v1/events/{id}")).await.expect_status(200);
    }
    world
        .until("everything in the backup has come to an end", &made.path("/accounting"), |accounting| {
            assert_eq!(accounting["adds_up"], true, "{accounting}");
            let stream = &accounting["streams"][0];
            (stream["pending"] == 0 && stream["delivered"] == stream["accepted"]).then_some(())
        })
        .await;
    let arrived = splunk.event_ids();
    assert!(before.iter().all(|id| arrived.contains_key(id)), "an event from before the backup has not arrived");
    world.end().await;
}

#[tokio::test]
async fn the_server_tells_when_the_last_backup_was_made_and_a_backup_is_good_without_that() {
    let world = World::start().await;
    let place = tempfile::tempdir().unwrap();
    let figure = async || {
        let page = world.anonymous().get("/metrics").await.expect_status(200).text();
        let line = page.lines().find_map(|line| line.strip_prefix("toktra_siem_last_backup_timestamp_seconds "))?;
        line.parse::<u64>().ok()
    };
    assert_eq!(figure().await, None);
    let began = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let make = async |to: &str| world.in_dir(&["backup", "--to", to]).await.done();
    make(place.path().join("first.db").to_str().unwrap()).await;
    let first = poll::until("the first backup is told", figure).await;
    assert!(first >= began, "{first} {began}");
    poll::until("a later one is told", async || {
        make("-").await;
        figure().await.filter(|last| *last > first)
    })
    .await;
    let marker = world.data_dir().join("last-backup");
    std::fs::remove_file(&marker).unwrap();
    std::fs::create_dir(&marker).unwrap();
    let said = make(place.path().join("second.db").to_str().unwrap()).await;
    said.says(&["and checked"]);
    said.complains(&["The backup was made. The server could not be told of it"]);
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_restored_is_told_and_what_is_there_is_kept() {
    let mut world = World::start().await;
    let kept = world.post_some(3).await;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.db");
    let path = file.to_str().unwrap();
    world.in_dir(&["backup", "--to", path]).await.done();
    let lost = world.post_some(1).await;
    world.stop().await;

    let said = world.in_dir(&["restore", "--from", path]).await;
    said.ends(1).complains(&["--replace"]);
    let nonsense = place.path().join("nonsense");
    std::fs::write(&nonsense, "no database at all, but long enough to be taken for one by its size").unwrap();
    let said = world.in_dir(&["restore", "--from", nonsense.to_str().unwrap(), "--replace"]).await;
    said.ends(1).complains(&["it is no database", "Nothing was changed"]);

    let said = world.in_dir(&["restore", "--from", path, "--replace", "--json"]).await.done().json();
    assert!(
        said["aside"].as_str().unwrap().contains("toktra.db.replaced-") && said["encryption_key"] == true,
        "{said}"
    );
    world.again().await;
    for id in &kept {
        world.get(&format!("/v1/events/{id}")).await.expect_status(200);
    }
    world.get(&format!("/v1/events/{}", lost[0])).await.expect_status(404);
    let said = world.done(&["health"]).await;
    assert_eq!(said.stdout, "It is up, and takes events in.\n");
    world.end().await;
}
