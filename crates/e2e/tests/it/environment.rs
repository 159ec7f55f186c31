//! Connectors of the environment: they deliver from the start, signed; what waits for one survives its variables being gone.

use toktra_siem_fake::splunk::Splunk;
use toktra_siem_fake::verify;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::world::{self};

const SECRET: &str = "a-signing-secret-of-some-length";

fn described(splunk: &Splunk) -> ServerSetup {
    world::described(setup(), &[splunk]).env("SIEM_SIGNING_SECRET", SECRET)
}

async fn post(world: &World) {
    world.post_event(event("lockout", "critical")).await;
}

async fn connector(world: &World) -> Value {
    world.read("/v1/siem/connectors").await["items"][0].clone()
}

#[tokio::test]
async fn events_arrive_signed_and_no_log_holds_a_secret() {
    let splunk = splunk().await;
    let world = World::with(described(&splunk)).await;
    post(&world).await;
    splunk.wait_for_events(1).await;
    let request = splunk.requests().pop().unwrap();
    verify::signature(&request, SECRET).unwrap();
    verify::webhook(&request, SECRET, None).unwrap();
    let shown = connector(&world).await;
    assert_eq!((&shown["name"], &shown["active"]), (&json!("Splunk (environment)"), &json!(true)));
    let log = world.log();
    assert!(!log.contains(CREDENTIAL) && !log.contains(SECRET), "{log}");
    world.end().await;
    assert!(splunk.violations().is_empty());
}

#[tokio::test]
async fn without_its_variables_it_is_off_and_with_them_again_it_delivers_what_waited() {
    let splunk = splunk().await;
    let mut world = World::with(described(&splunk)).await;
    let first = connector(&world).await;
    post(&world).await;
    splunk.wait_for_events(1).await;
    world.undescribe(&[&splunk]);
    world.restart().await;
    let off = connector(&world).await;
    assert_eq!((&off["id"], &off["active"]), (&first["id"], &json!(false)));
    post(&world).await;
    world.describe(&[&splunk]);
    world.restart().await;
    splunk.wait_for_events(2).await;
    assert_eq!(connector(&world).await["id"], first["id"]);
    world.end().await;
    assert!(splunk.event_ids().values().all(|times| *times == 1));
}

#[tokio::test]
async fn without_its_variables_it_may_be_removed_and_with_them_again_it_begins_anew() {
    let splunk = splunk().await;
    let mut world = World::with(described(&splunk)).await;
    let first = connector(&world).await;
    let path = format!("/v1/siem/connectors/{}", first["id"].as_str().unwrap());
    world.delete(&path).await.expect_status(409);
    world.undescribe(&[&splunk]);
    world.restart().await;
    post(&world).await;
    world.patch(&path, &json!({ "active": true })).await.expect_status(409);
    let removed = world.remove(&path).await;
    assert_eq!(removed, json!({ "discarded": 1 }));
    world.describe(&[&splunk]);
    world.restart().await;
    assert_eq!(connector(&world).await["id"], first["id"]);
    post(&world).await;
    splunk.wait_for_events(1).await;
    world.end().await;
    assert_eq!(splunk.events().len(), 1, "what was given up with the connector stays so");
}

#[tokio::test]
async fn without_a_signing_secret_it_sends_unsigned_and_says_so() {
    let splunk = splunk().await;
    let world = World::with(described(&splunk).without_env("SIEM_SIGNING_SECRET")).await;
    post(&world).await;
    splunk.wait_for_events(1).await;
    assert!(!splunk.requests().pop().unwrap().headers.contains_key("x-toktra-signature"));
    let warned = async || {
        let log = world.log();
        let said = "this connector has no signing secret and sends its requests unsigned";
        log.lines()
            .any(|line| line.contains("WARN") && line.contains(said) && line.contains("Splunk (environment)"))
            .then_some(())
    };
    poll::until("the log says so, once for each connector", warned).await;
    let url = splunk.base_url();
    let variables = [("SIEM_SPLUNK_HEC_URL", url.as_str()), ("SIEM_SPLUNK_HEC_TOKEN", CREDENTIAL)];
    let checked = command(&["config", "check"], &variables, "").await.done();
    assert!(checked.stdout.contains("UNSIGNED"), "{}", checked.stdout);
    assert_eq!(connector(&world).await["signing_secret"]["set"], json!(false));
    world.end().await;
}

#[tokio::test]
async fn a_file_describes_it_as_well() {
    let splunk = splunk().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("siem.toml");
    let file = format!(
        "[splunk]\nhec_url = \"{}\"\nhec_token = \"{CREDENTIAL}\"\n[splunk.filter]\nseverity = [\"critical\"]\n",
        splunk.base_url()
    );
    std::fs::write(&path, file).unwrap();
    let world = World::with(setup().env("TOKTRA_SIEM_CONFIG", path.as_os_str())).await;
    world.post_event(event("lockout", "low")).await;
    post(&world).await;
    splunk.wait_for_events(1).await;
    assert_eq!(connector(&world).await["filter"], json!({ "severity": ["critical"] }));
    world.end().await;
    assert_eq!(splunk.events().len(), 1);
}
