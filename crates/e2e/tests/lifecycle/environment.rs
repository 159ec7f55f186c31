//! Connectors of the environment, all three platforms at once: there from the start, read-only, with ids and cursors that survive
//! restarts and the absence of their variables.

use toktra_siem_fake::{Recorded, verify};
use toktra_siem_testkit::prelude::*;

const SECRET: &str = "a-signing-secret-of-some-length";
const NEXT_SECRET: &str = "the-signing-secret-after-that-one";

/// A setup whose environment describes a connector to each of these.
fn all(siems: &Siems) -> ServerSetup {
    described(setup(), &siems.all())
}

/// The requests that brought events, of every platform.
fn requests(siems: &Siems) -> Vec<Recorded> {
    let brings = |request: &Recorded| ["/services/collector/event", "/api/v2/logs", "/_bulk"].contains(&request.path());
    let all = [siems.splunk.requests(), siems.datadog.requests(), siems.elasticsearch.requests()];
    all.into_iter().flatten().filter(brings).collect()
}

/// Id, platform and whether it is on, of every connector.
async fn shown(org: &Org) -> Vec<(Connector, Value, Value)> {
    let shown = |connector: Connector| {
        let shown = connector.created.clone();
        assert_eq!(shown["managed_by"], "environment", "{shown}");
        (connector, shown["platform"].clone(), shown["active"].clone())
    };
    let mut all: Vec<_> = org.connectors().await.into_iter().map(shown).collect();
    all.sort_by_key(|(_, platform, _)| platform.to_string());
    all
}

/// The same with ids alone.
async fn ids_and_states(org: &Org) -> Vec<(String, Value, Value)> {
    shown(org).await.into_iter().map(|(connector, platform, active)| (connector.id, platform, active)).collect()
}

#[tokio::test]
async fn they_are_there_from_the_start_and_read_only() {
    let siems = Siems::start().await;
    let world =
        World::with(all(&siems).env("SIEM_SIGNING_SECRET", SECRET).without_env("TOKTRA_SIEM_EGRESS_ALLOW")).await;
    let ids = world.post_some(3).await;
    siems.have(&ids).await;
    let shown = shown(&world).await;
    let active: Vec<_> =
        shown.iter().map(|(_, platform, active)| (platform.as_str().unwrap(), active == true)).collect();
    assert_eq!(active, [("datadog", true), ("elasticsearch", true), ("splunk", true)]);
    for (connector, _, _) in &shown {
        let path = connector.path("");
        for refused in [
            world.patch(&path, &json!({ "active": false })).await,
            world.patch(&path, &json!({ "name": "mine" })).await,
            world.delete(&path).await,
            world.post(&format!("{path}/signing-secret/rotate"), &json!({})).await,
        ] {
            let error = refused.expect_status(409).json()["error"].clone();
            assert_eq!(error["code"], "conflict");
            assert!(error["message"].as_str().unwrap().contains("environment"), "{error}");
        }
    }
    for request in requests(&siems) {
        verify::signature(&request, SECRET).unwrap();
        verify::webhook(&request, SECRET, None).unwrap();
        assert!(!request.headers.contains_key(verify::SIGNATURE_NEXT));
    }
    let (log, list) = (world.log(), world.get("/v1/siem/connectors").await.text());
    for secret in [CREDENTIAL, SECRET] {
        assert!(!log.contains(secret) && !list.contains(secret), "a secret was shown");
    }
    world.end().await;
    siems.assert_unharmed();
}

#[tokio::test]
async fn ids_and_cursors_survive_restarts_and_the_absence_of_the_variables() {
    let siems = Siems::start().await;
    let mut world = World::with(all(&siems).env("SIEM_SIGNING_SECRET", SECRET)).await;
    let first = ids_and_states(&world).await;
    let mut ids = world.post_some(2).await;
    siems.have(&ids).await;
    world.restart().await;
    assert_eq!(ids_and_states(&world).await, first);
    ids.extend(world.post_some(2).await);
    siems.have(&ids).await;
    world.undescribe(&siems.all());
    world.restart().await;
    let off = shown(&world).await;
    for ((connector, _, active), (before, ..)) in off.iter().zip(&first) {
        assert_eq!((&connector.id, active), (before, &json!(false)));
    }
    ids.extend(world.post_some(3).await);
    for (connector, platform, _) in &off {
        let streams = connector.accounts().await;
        let kept = streams.iter().all(|stream| stream["pending"].as_i64() >= Some(3) && stream["accepted"] == 7);
        assert!(kept, "{platform}: {streams:?}");
    }
    assert!(world.log().contains("the variables of this connector are gone"));
    world.kill().await;

    world.describe(&siems.all());
    world.again().await;
    assert_eq!(ids_and_states(&world).await, first);
    siems.have(&ids).await;
    world.end().await;
    siems.assert_unharmed();
}

#[tokio::test]
async fn without_a_signing_secret_they_send_unsigned_and_with_the_next_one_both_sign() {
    let siems = Siems::start().await;
    let mut world = World::with(all(&siems)).await;
    let mut ids = world.post_some(1).await;
    siems.have(&ids).await;
    for request in requests(&siems) {
        let signed = ["x-toktra-signature", "x-toktra-signature-next", "webhook-signature"];
        assert!(signed.iter().all(|name| !request.headers.contains_key(*name)), "{:?}", request.headers);
    }
    let told = async || {
        let log = world.log();
        let lines = log.lines().filter(|line| line.contains("sends its requests unsigned"));
        let lines = lines.collect::<Vec<_>>().join("\n");
        let names = ["Splunk", "Datadog", "Elasticsearch"];
        names.iter().all(|name| lines.contains(&format!("{name} (environment)"))).then_some(())
    };
    poll::until("the log says so, and names each of them", told).await;
    for connector in world.connectors().await {
        assert_eq!(connector.created["signing_secret"]["set"], false, "{}", connector.created);
    }
    world.stop().await;
    let unsigned = requests(&siems).len();

    world.set("SIEM_SIGNING_SECRET", SECRET);
    world.set("SIEM_SIGNING_SECRET_NEXT", NEXT_SECRET);
    world.again().await;
    ids.extend(world.post_some(1).await);
    siems.have(&ids).await;
    let requests = requests(&siems);
    let signed: Vec<_> = requests.iter().filter(|request| request.header(verify::SIGNATURE).is_some()).collect();
    assert_eq!(signed.len(), requests.len() - unsigned);
    for request in signed {
        verify::signature(request, SECRET).unwrap();
        verify::signature_next(request, NEXT_SECRET).unwrap();
        verify::webhook(request, SECRET, None).unwrap();
        verify::webhook(request, NEXT_SECRET, None).unwrap();
    }
    world.stop().await;

    // A next secret alone makes no rotation.
    world.unset("SIEM_SIGNING_SECRET");
    let log = world.refused(2).await;
    assert!(log.contains("SIEM_SIGNING_SECRET") && !log.contains(NEXT_SECRET), "{log}");
    siems.assert_unharmed();
}
