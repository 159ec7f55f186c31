//! `serve` as a process: its first line, its first key, its end, and starts that are refused.

use std::os::unix::fs::PermissionsExt as _;

use toktra_siem_testkit::prelude::*;

/// The rights of a file of the data directory.
fn mode(world: &World, name: &str) -> u32 {
    std::fs::metadata(world.data_dir().join(name)).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_gentle_stop_and_a_start() {
    let mut world = World::start().await;
    let id = world.post_event(event("anomaly", "high")).await;
    world.restart().await;
    world.read(&format!("/v1/events/{id}")).await;
    world.end().await;
}

#[tokio::test]
async fn the_first_start_without_a_key_makes_one_for_the_owner_of_the_directory_alone() {
    let mut world = World::with(setup().env("TOKTRA_SIEM_API_KEY", "")).await;
    assert_eq!((mode(&world, "first-api-key"), mode(&world, "")), (0o600, 0o700));
    let key = world.file("first-api-key").unwrap();
    assert!(!world.log().contains(&key), "the key is in the log");
    let client = world.with_key(&key);
    client.begin("/v1/events", &event("anomaly", "high")).await;
    client.get("/v1/api-keys").await.expect_status(200);
    std::fs::remove_file(world.data_dir().join("first-api-key")).unwrap();
    world.restart().await;
    assert_eq!(world.file("first-api-key"), None, "a second start makes no second key");
    client.get("/v1/siem/connectors").await.expect_status(200);
    world.end().await;
}

#[tokio::test]
async fn every_start_without_an_account_makes_another_link_for_the_owner_of_the_directory_alone() {
    let mut world = World::start().await;
    let first = world.first_link().unwrap();
    assert_eq!(mode(&world, "first-login-link"), 0o600);
    assert!(first.starts_with(&format!("{}/setup/", world.base())), "{first}");
    let token = first.rsplit('/').next().unwrap();
    let log = world.log();
    assert!(log.contains("first-login-link") && !log.contains(token), "{log}");
    world.set("TOKTRA_SIEM_PUBLIC_URL", "https://siem.company.com");
    world.restart().await;
    let second = world.first_link().unwrap();
    assert_eq!(mode(&world, "first-login-link"), 0o600);
    assert!(second.starts_with("https://siem.company.com/setup/") && !second.ends_with(token), "{second}");
    assert!(!world.log().contains("no effect"), "{}", world.log());
    world.set("TOKTRA_SIEM_ADMIN_EMAIL", "jo@company.com");
    world.set("TOKTRA_SIEM_ADMIN_PASSWORD", "canary horse battery");
    world.restart().await;
    assert_eq!(world.first_link(), None, "an older link is void, and its file goes");
    world.end().await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_every_fault_and_without_a_secret() {
    let setup = setup().env("TOKTRA_SIEM_RETENTION", "soon").env("SIEM_SPLUNK_HEC_TOKEN", "hunter2hunter2");
    let log = setup.refused(2).await;
    assert!(log.contains("TOKTRA_SIEM_RETENTION") && log.contains("SIEM_SPLUNK_HEC_URL"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("listening"), "{log}");
    assert!(!setup.data_dir().exists(), "nothing was started");
}

#[tokio::test]
async fn a_directory_in_use_and_an_address_in_use_are_refused_in_words() {
    let world = World::start().await;
    let second = world.refused(1).await;
    assert!(second.contains("in use by a running server"), "{second}");
    let taken = world.base().trim_start_matches("http://").to_owned();
    let third = setup().env("TOKTRA_SIEM_LISTEN", taken.as_str()).refused(1).await;
    assert!(third.contains(&format!("cannot listen on {taken}")), "{third}");
    world.end().await;
}

#[tokio::test]
async fn the_log_can_be_json() {
    let world = World::with(setup().env("TOKTRA_SIEM_LOG", "json")).await;
    let log = world.log();
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    assert!(log.lines().count() > 1, "{log}");
    world.end().await;
}

#[tokio::test]
async fn the_encryption_key_can_be_changed_and_the_old_one_is_not_needed_afterwards() {
    let splunk = splunk().await;
    let (old, new) = ("ab".repeat(32), "cd".repeat(32));
    let mut world = World::with(setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", old.as_str())).await;
    world.connect(&splunk).await;
    for (keys, arrived) in [(format!("{new},{old}"), 1), (new.clone(), 2)] {
        world.set("TOKTRA_SIEM_ENCRYPTION_KEY", keys);
        world.restart().await;
        world.post_event(event("anomaly", "high")).await;
        splunk.wait_for_events(arrived).await;
    }
    assert!(!world.data_dir().join("encryption.key").exists(), "a configured key needs no file");
    world.end().await;
}

#[tokio::test]
async fn the_admin_of_the_environment_is_made_once_and_never_changed_again() {
    let (email, first, second) = ("Jo@company.com", "canary horse battery", "canary of another day");
    let mut world =
        World::with(setup().env("TOKTRA_SIEM_ADMIN_EMAIL", email).env("TOKTRA_SIEM_ADMIN_PASSWORD", first)).await;
    let login = |password: &str| json!({ "email": "jo@company.com", "password": password });
    let client = world.anonymous();
    let opened = client.make("/v1/sessions", &login(first)).await;
    assert_eq!(opened["user"]["role"], "admin");
    let person = client.with_key(opened["token"].as_str().unwrap());
    let log = person.read("/v1/audit?action=user.create").await;
    assert_eq!(
        (&log["items"][0]["actor"], &log["items"][0]["actor_kind"]),
        (&json!("environment"), &json!("environment"))
    );
    let lines = world.log();
    assert!(lines.contains("an admin of the default org was made") && !lines.contains("canary"), "{lines}");
    world.set("TOKTRA_SIEM_ADMIN_PASSWORD", second);
    world.restart().await;
    person.get("/v1/sessions/current").await.expect_status(200);
    client.post("/v1/sessions", &login(second)).await.expect_status(401);
    client.make("/v1/sessions", &login(first)).await;
    let lines = world.log();
    assert!(lines.contains("Nothing was changed, the password neither") && !lines.contains("canary"), "{lines}");
    world.end().await;
}
