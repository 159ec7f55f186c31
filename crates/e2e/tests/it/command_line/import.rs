//! `event import` into a running server, and into one that is killed meanwhile.

use tokio::process::Command;
use toktra_siem_testkit::prelude::*;

fn lines(count: usize, summary: usize) -> String {
    let line = |n: usize| {
        let event = json!({ "event_type": "anomaly", "severity": "low", "summary": "x".repeat(summary), "details": { "n": n } });
        event.to_string() + "\n"
    };
    (0..count).map(line).collect()
}

#[tokio::test]
async fn a_file_is_imported_once_however_often_it_is_sent_and_bad_lines_are_told() {
    let (world, place) = (World::start().await, tempfile::tempdir().unwrap());
    let file = place.path().join("events.ndjson");
    std::fs::write(&file, lines(3000, 100)).unwrap();
    let path = file.to_str().unwrap();
    let said = world.done(&["event", "import", path]).await;
    assert_eq!(said.stdout, "3000 accepted, 0 already there.\n");
    let said = world.done(&["event", "import", path, "--json"]).await;
    assert_eq!(said.json(), json!({"accepted": 0, "duplicates": 3000, "bad": 0}));
    // The same by standard input, as it is called there: others.
    let said = world.run(&["event", "import", "-"], lines(10, 1).as_bytes()).await.done();
    assert_eq!(said.stdout, "10 accepted, 0 already there.\n");

    let mixed = lines(2, 1)
        + "{\"event_type\":\"anomaly\"}\n{\"event_type\":\"nonsense\",\"severity\":\"low\",\"x\":1}\n"
        + &lines(2, 2);
    std::fs::write(&file, &mixed).unwrap();
    let said = world.run(&["event", "import", path, "--source", "mixed"], "").await;
    said.ends(1).complains(&["Line 3 is no valid event", "severity"]);
    said.complains(&["2 events accepted", "up to line 2"]);
    let bad = place.path().join("bad.ndjson");
    let arguments = ["event", "import", path, "--source", "mixed", "--skip-bad", bad.to_str().unwrap()];
    let said = world.run(&arguments, "").await;
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(3), "2 accepted, 2 already there, 2 bad lines.\n"),
        "{}",
        said.stderr
    );
    let kept = std::fs::read_to_string(&bad).unwrap();
    let numbers: Vec<Value> =
        kept.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].clone()).collect();
    assert_eq!(numbers, [3, 4]);
    assert!(kept.contains("event_type") && kept.contains("nonsense"), "{kept}");
    world.end().await;
}

#[tokio::test]
async fn an_import_outlives_a_server_that_is_killed_and_started_again() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("events.ndjson");
    let count = 20_000;
    std::fs::write(&file, lines(count, 700)).unwrap();
    // The second run has to be where the first one was.
    let mut world = World::with(setup().env("TOKTRA_SIEM_LISTEN", free_address())).await;
    let mut command = Command::new(program());
    command.args(["event", "import", file.to_str().unwrap(), "--json"]).env_clear();
    command.env("TOKTRA_SIEM_URL", world.base()).env("TOKTRA_SIEM_API_KEY", API_KEY);
    let import = tokio::spawn(async move { said(command, b"").await });
    poll::until("something has been accepted", async || {
        let size = std::fs::metadata(world.data_dir().join("toktra.db-wal")).map_or(0, |file| file.len());
        (size > 1024 * 1024).then_some(())
    })
    .await;
    world.kill().await;
    world.again().await;
    let told = import.await.unwrap().done().json();
    let sum = told["accepted"].number() + told["duplicates"].number();
    assert_eq!(sum, count as u64, "{told}");
    // Each line is there once: sent again, all are known.
    let again = world.done(&["event", "import", file.to_str().unwrap(), "--json"]).await.json();
    assert_eq!(again, json!({"accepted": 0, "duplicates": count, "bad": 0}));
    world.end().await;
}
