//! `serve` as a process: its first line, its first key, its end, and starts that are refused.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::server::ServerSetup;

pub(crate) fn setup() -> ServerSetup {
    ServerSetup::new(env!("CARGO_BIN_EXE_toktra-siem-under-test"))
}

fn event() -> serde_json::Value {
    json!({ "event_type": "anomaly", "severity": "high" })
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_gentle_stop_and_a_start() {
    let setup = setup();
    let server = setup.start().await;
    let answer = server.client().begin("/v1/events", &event()).await;
    let path = format!("/v1/events/{}", answer["events"][0]["event_id"].as_str().unwrap());
    assert_eq!(server.stop().await.code(), Some(0));
    let server = setup.start().await;
    server.client().get(&path).await.expect_status(200);
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test]
async fn the_first_start_without_a_key_makes_one_for_the_owner_of_the_directory_alone() {
    let setup = setup().env("TOKTRA_SIEM_API_KEY", "");
    let server = setup.start().await;
    let file = setup.data_dir().join("first-api-key");
    let mode = |file| std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&setup.data_dir())), (0o600, 0o700));
    let key = std::fs::read_to_string(&file).unwrap();
    assert!(!server.whole_log().contains(key.trim()), "the key is in the log");
    let client = Client::new(server.base()).with_key(key.trim());
    client.begin("/v1/events", &event()).await;
    client.get("/v1/api-keys").await.expect_status(200);
    server.stop().await;

    std::fs::remove_file(&file).unwrap();
    let server = setup.start().await;
    assert!(!file.exists(), "a second start makes no second key");
    Client::new(server.base()).with_key(key.trim()).get("/v1/siem/connectors").await.expect_status(200);
    server.stop().await;
}

/// The link to the first account, where there is one.
fn first_link(setup: &ServerSetup) -> Option<String> {
    let file = setup.data_dir().join("first-login-link");
    let mode = std::fs::metadata(&file).ok()?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    Some(std::fs::read_to_string(file).unwrap().trim().to_owned())
}

#[tokio::test]
async fn every_start_without_an_account_makes_another_link_for_the_owner_of_the_directory_alone() {
    let setup = setup();
    let server = setup.start().await;
    let first = first_link(&setup).unwrap();
    assert!(first.starts_with(&format!("{}/setup/", server.base())), "{first}");
    let token = first.rsplit('/').next().unwrap();
    let log = server.whole_log();
    assert!(log.contains("first-login-link") && !log.contains(token), "{log}");
    server.stop().await;

    let setup = setup.env("TOKTRA_SIEM_PUBLIC_URL", "https://siem.company.com");
    let server = setup.start().await;
    let second = first_link(&setup).unwrap();
    assert!(second.starts_with("https://siem.company.com/setup/") && !second.ends_with(token), "{second}");
    assert!(!server.whole_log().contains("no effect"), "{}", server.whole_log());
    server.stop().await;

    let setup = setup
        .env("TOKTRA_SIEM_ADMIN_EMAIL", "jo@company.com")
        .env("TOKTRA_SIEM_ADMIN_PASSWORD", "canary horse battery");
    let server = setup.start().await;
    assert_eq!(first_link(&setup), None, "an older link is void, and its file goes");
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_every_fault_and_without_a_secret() {
    let setup = setup().env("TOKTRA_SIEM_RETENTION", "soon").env("SIEM_SPLUNK_HEC_TOKEN", "hunter2hunter2");
    let mut process = setup.spawn();
    assert_eq!(process.exited().await.code(), Some(2));
    let log = process.whole_log();
    assert!(log.contains("TOKTRA_SIEM_RETENTION") && log.contains("SIEM_SPLUNK_HEC_URL"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("listening"), "{log}");
    assert!(!setup.data_dir().exists(), "nothing was started");
}

#[tokio::test]
async fn a_directory_in_use_and_an_address_in_use_are_refused_in_words() {
    let setup = setup();
    let server = setup.start().await;
    let mut second = setup.spawn();
    assert_eq!(second.exited().await.code(), Some(1));
    assert!(second.whole_log().contains("in use by a running server"), "{}", second.whole_log());

    let taken = server.base().trim_start_matches("http://").to_owned();
    let other = self::setup().env("TOKTRA_SIEM_LISTEN", taken.as_str());
    let mut third = other.spawn();
    assert_eq!(third.exited().await.code(), Some(1));
    assert!(third.whole_log().contains(&format!("cannot listen on {taken}")), "{}", third.whole_log());
    server.stop().await;
}

#[tokio::test]
async fn the_log_can_be_json() {
    let setup = setup().env("TOKTRA_SIEM_LOG", "json");
    let server = setup.start().await;
    let log = server.whole_log();
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    assert!(log.lines().count() > 1, "{log}");
    server.stop().await;
}

#[tokio::test]
async fn the_encryption_key_can_be_changed_and_the_old_one_is_not_needed_afterwards() {
    let splunk = Splunk::start(SplunkOptions::new("a-hec-token")).await.unwrap();
    let (old, new) = ("ab".repeat(32), "cd".repeat(32));
    let mut setup = setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", old.as_str());
    let server = setup.start().await;
    let config = json!({ "hec_url": splunk.base_url(), "hec_token": "a-hec-token" });
    let connector = json!({ "name": "Splunk", "platform": "splunk", "config": config, "active": true });
    server.client().make("/v1/siem/connectors", &connector).await;
    server.stop().await;

    for (keys, arrived) in [(format!("{new},{old}"), 1), (new.clone(), 2)] {
        setup = setup.env("TOKTRA_SIEM_ENCRYPTION_KEY", keys);
        let server = setup.start().await;
        server.client().begin("/v1/events", &event()).await;
        splunk.wait_for_events(arrived).await;
        server.stop().await;
    }
    assert!(!setup.data_dir().join("encryption.key").exists(), "a configured key needs no file");
}

#[tokio::test]
async fn the_admin_of_the_environment_is_made_once_and_never_changed_again() {
    let (email, first, second) = ("Jo@company.com", "canary horse battery", "canary of another day");
    let setup = setup().env("TOKTRA_SIEM_ADMIN_EMAIL", email).env("TOKTRA_SIEM_ADMIN_PASSWORD", first);
    let server = setup.start().await;
    let login = |password: &str| json!({ "email": "jo@company.com", "password": password });
    let client = Client::new(server.base());
    let opened = client.make("/v1/sessions", &login(first)).await;
    assert_eq!(opened["user"]["role"], "admin");
    let person = client.with_key(opened["token"].as_str().unwrap());
    let log = person.read("/v1/audit?action=user.create").await;
    assert_eq!(
        (&log["items"][0]["actor"], &log["items"][0]["actor_kind"]),
        (&json!("environment"), &json!("environment"))
    );
    let lines = server.whole_log();
    assert!(lines.contains("an admin of the default org was made") && !lines.contains("canary"), "{lines}");
    server.stop().await;

    let setup = setup.env("TOKTRA_SIEM_ADMIN_PASSWORD", second);
    let server = setup.start().await;
    let client = Client::new(server.base());
    client.with_key(opened["token"].as_str().unwrap()).get("/v1/sessions/current").await.expect_status(200);
    client.post("/v1/sessions", &login(second)).await.expect_status(401);
    client.make("/v1/sessions", &login(first)).await;
    let lines = server.whole_log();
    assert!(lines.contains("Nothing was changed, the password neither") && !lines.contains("canary"), "{lines}");
    server.stop().await;
}
