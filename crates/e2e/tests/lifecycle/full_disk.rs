//! A server whose file system others fill while its SIEM is down: when the SIEM is back everything that was accepted arrives, also after a kill
//! and a start without any room, and while producers go on posting.
//!
//! It needs a small file system, and so a process of its own in a namespace where it may mount one.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use toktra_siem_base::random::{Random as _, SystemRandom};
use toktra_siem_testkit::prelude::*;

/// In the child: where the small file system is, which also has the data directory.
const PLACE: &str = "TMPDIR";
const CHILD: &str = "TOKTRA_TEST_SMALL";
const SIZE: u64 = 96 << 20;

/// Runs the test of this name again with temporary files on a small file system. None where that was done, or cannot be done here.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment says to the child that it is one, and whether this is CI"
)]
fn on_a_small_file_system(name: &str) -> Option<PathBuf> {
    if std::env::var_os(CHILD).is_some() {
        return std::env::var_os(PLACE).map(PathBuf::from);
    }
    let dir = tempfile::tempdir().unwrap();
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size={SIZE} tmpfs \"$TMPDIR\" && {script}");
        command.args(["--map-root-user", "--mount", "sh", "-c"]).arg(script).arg("sh");
        command.env(PLACE, dir.path()).env(CHILD, "1");
        command
    };
    if !inside("true").status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no file system can be mounted in a namespace of one's own");
        eprintln!("skipped: no file system can be mounted in a namespace of one's own here");
        return None;
    }
    let test = std::env::current_exe().unwrap();
    let child = inside("exec \"$@\"").arg(test).args(["--exact", name, "--nocapture"]).status().unwrap();
    assert!(child.success(), "the child failed");
    None
}

/// Another program's file, of so many bytes or until nothing more fits.
fn foreign(place: &Path, bytes: u64) {
    let mut file = OpenOptions::new().create(true).append(true).open(place.join("foreign")).unwrap();
    for _ in 0..bytes.div_ceil(4096) {
        if file.write_all(&[7; 4096]).is_err() {
            break;
        }
    }
}

/// Fifty events that do not get smaller; their ids once they are accepted.
async fn post(client: &Client) -> Result<Vec<String>, Answer> {
    let noise = || (0..100).map(|_| SystemRandom.secret().expose_secret().to_owned()).collect::<String>();
    let events: Vec<Value> =
        (0..50).map(|_| with(event("anomaly", "high"), "details", json!({ "noise": noise() }))).collect();
    let answer = client.post("/v1/events", &json!(events)).await;
    match answer.status {
        202 => Ok(answer.json()["events"].list().iter().map(|event| event["event_id"].text()).collect()),
        507 => Err(answer),
        _ => panic!("{answer:?}"),
    }
}

/// What `/readyz` says that there is not enough of.
async fn shortage(world: &World) -> Value {
    world.anonymous().get("/readyz").await.expect_status(200).json()["shortage"].clone()
}

fn lines(log: &str, what: &str) -> usize {
    log.lines().filter(|line| line.contains(what)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_accepted_arrives_although_others_fill_the_disk() {
    let name = "full_disk::everything_accepted_arrives_although_others_fill_the_disk";
    let Some(place) = on_a_small_file_system(name) else { return };
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    splunk.down().await;
    foreign(&place, 40 << 20);
    let mut accepted = BTreeSet::new();
    let refused = loop {
        match post(&world).await {
            Ok(ids) => accepted.extend(ids),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.json()["error"]["code"], "disk_full");
    assert!(accepted.len() > 500 && refused.header("retry-after").is_some(), "{} accepted", accepted.len());
    assert_eq!(shortage(&world).await, "file_system");
    let page = world.anonymous().get("/metrics").await.text();
    assert!(page.contains("toktra_siem_store_refusing{cause=\"file_system\"} 1\n"), "{page}");

    for _ in 0..20 {
        // A checkpoint may have left a little room.
        accepted.extend(post(&world).await.unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = world.log();
    assert_eq!(lines(&log, "new events are refused (507)"), 1, "{log}");
    assert_eq!(lines(&log, "a group of writes failed"), 0, "{log}");
    // Nothing is left for anybody when it starts again.
    world.kill().await;
    foreign(&place, SIZE);
    world.again().await;

    splunk.up().unwrap();
    let producer = tokio::spawn({
        let client = world.client.clone();
        async move {
            let mut refused = 0;
            loop {
                match post(&client).await {
                    Ok(ids) => return (refused, ids),
                    Err(_) => refused += 1,
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    world.all_arrived().await;
    let arrived = splunk.event_ids();
    assert!(accepted.iter().all(|id| arrived.contains_key(id)), "{} of {}", arrived.len(), accepted.len());

    std::fs::remove_file(place.join("foreign")).unwrap();
    let (refused, ids) = producer.await.unwrap();
    accepted.extend(ids);
    println!("{} events, {refused} posts refused", accepted.len());
    poll::until("nothing is refused any more", async || shortage(&world).await.is_null().then_some(())).await;
    world.all_arrived().await;
    connector.accounted(&[("accepted", accepted.len() as u64), ("delivered", accepted.len() as u64)]).await;
    let log = world.log();
    assert!(lines(&log, "events are taken in") <= 1 && lines(&log, "new events are refused (507)") <= 1, "{log}");
    world.end().await;
}
