//! The tools beside `serve`, as processes: what they answer, and their exit codes.

use toktra_siem_testkit::prelude::*;

mod backup;
mod channels;
mod connectors;
mod import;
mod outputs;

#[tokio::test]
async fn events_are_sent_as_documents_and_as_lines() {
    let world = World::start().await;
    let one = br#"{"event_id":"0197a1b2-0000-7000-8000-000000000001","event_type":"anomaly","severity":"low"}"#;
    let said = world.run(&["event", "send"], one).await;
    assert!(
        said.stdout.starts_with("1 accepted, 0 already there.\n") && said.stdout.ends_with(" accepted\n"),
        "{}",
        said.stdout
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);

    let lines = [one, &b"\n{\"event_type\":\"lockout\",\"severity\":\"high\"}\n"[..]].concat();
    let said = world.run(&["event", "send", "--json"], &lines).await;
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((answer["accepted"].as_u64(), answer["duplicates"].as_u64()), (Some(1), Some(1)));

    let said = world.run(&["event", "send"], br#"[{"event_type":"anomaly"},{"severity":"high"}]"#).await;
    said.ends(1).complains(&["/0/severity", "/1/event_type"]);
    world.end().await;
}

#[tokio::test]
async fn connectors_are_listed_and_a_wrong_key_is_told() {
    let world = World::with(
        setup()
            .env("SIEM_DATADOG_API_KEY", "0123456789abcdef0123456789abcdef")
            .env("SIEM_DATADOG_URL", "http://127.0.0.1:9"),
    )
    .await;
    let said = world.run(&["connector", "list"], "").await;
    said.says(&["\nDatadog (environment)  datadog   on "]);
    let said = world.run(&["connector", "list", "--json"], "").await;
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap()[0]["platform"], "datadog");
    let said = world.run(&["connector", "list", "--api-key", "hunter2"], "").await;
    said.ends(1).complains(&["API key"]);
    assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);
    world.end().await;
}

#[tokio::test]
async fn a_key_is_made_in_the_directory_of_a_stopped_server_or_by_a_running_one() {
    let mut world = World::start().await;
    let directory = world.data_dir();
    let here = [("TOKTRA_SIEM_DATA_DIR", directory.to_str().unwrap())];
    let said = command(&["key", "create", "--scope", "admin"], &here, b"").await;
    said.ends(1).complains(&["in use by a running server"]);

    let arguments = ["key", "create", "--url", world.base(), "--scope", "siem:read", "--name", "dashboard"];
    let reader = world.run(&arguments, "").await;
    let reader_client = world.with_key(reader.stdout.trim());
    reader_client.get("/v1/siem/connectors").await.expect_status(200);
    reader_client.post("/v1/events", &serde_json::json!({})).await.expect_status(403);
    world.stop().await;

    let said = command(&["key", "create", "--platform", "--json"], &here, b"").await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let key = serde_json::from_str::<Value>(&said.stdout).unwrap()["key"].text();
    world.again().await;
    world.with_key(&key).get("/v1/orgs").await.expect_status(200);
    world.end().await;
}

#[tokio::test]
async fn a_key_says_what_it_may_do_and_is_made_by_the_server_that_is_named() {
    let mut world = World::start().await;
    let (directory, base) = (world.data_dir(), world.base().to_owned());
    let named = [
        ("TOKTRA_SIEM_URL", base.as_str()),
        ("TOKTRA_SIEM_API_KEY", API_KEY),
        ("TOKTRA_SIEM_DATA_DIR", directory.to_str().unwrap()),
    ];
    let said = command(&["key", "create"], &named, b"").await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{}", said.stderr);
    said.complains(&["--scope", "events:write"]);
    let keys = async || world.get("/v1/api-keys").await.json()["items"].list();
    assert!(keys().await.is_empty());

    // The variable names the server as well as the option does.
    let said = command(&["key", "create", "--scope", "events:write,siem:read", "--json"], &named, b"").await.done();
    assert_eq!(keys().await[0]["scopes"], serde_json::json!(["events:write", "siem:read"]));
    assert_eq!(keys().await[0]["id"], said.json()["id"]);
    let elsewhere = [("TOKTRA_SIEM_URL", "http://127.0.0.1:9"), named[1], named[2]];
    let said = command(&["key", "create", "--scope", "admin"], &elsewhere, b"").await;
    said.ends(1).complains(&["127.0.0.1:9"]);
    world.stop().await;

    let said = command(&["key", "create", "--scope", "admin"], &elsewhere, b"").await;
    assert_eq!(said.code, Some(1), "a data directory is not taken for the server that is named: {}", said.stderr);
    let said = command(&["key", "create", "--scope", "admin", "--local"], &elsewhere, b"").await.done();
    world.again().await;
    world.with_key(said.stdout.trim()).get("/v1/users").await.expect_status(200);
    world.end().await;
}

#[tokio::test]
async fn verify_answers_by_its_exit_code() {
    let body = br#"{"a":1}"#;
    // printf '{"a":1}' | openssl dgst -sha256 -hmac secret
    let signature = "sha256=aa9e2e3575f5d7098b6caccd790888c36d5fdb63342a73bada2d6a51747a8494";
    let secret = [("SIEM_SIGNING_SECRET", "secret")];
    let said = command(&["verify", "--signature", signature], &secret, body).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = command(&["verify", "--signature", signature], &secret, b"{\"a\":2}").await;
    assert_eq!(said.code, Some(1));
    let said = command(&["verify"], &secret, body).await;
    assert_eq!(said.code, Some(2));
}

#[tokio::test]
async fn a_damaged_database_is_repaired_and_told_of() {
    let mut world = World::start().await;
    let sent = br#"[{"event_id":"0197a1b2-0000-7000-8000-0000000000aa","event_type":"anomaly","severity":"low"},
        {"event_id":"0197a1b2-0000-7000-8000-0000000000bb","event_type":"anomaly","severity":"low"}]"#;
    let said = world.run(&["event", "send"], sent).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let dir = world.data_dir().display().to_string();
    let variables = [("TOKTRA_SIEM_DATA_DIR", dir.as_str())];
    let running = command(&["repair"], &variables, b"").await;
    running.ends(1).complains(&["in use by a running server"]);
    world.stop().await;

    let whole = command(&["repair"], &variables, b"").await;
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    whole.says(&["Nothing is damaged"]);

    let path = world.data_dir().join("toktra.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = b"\"0197a1b2-0000-7000-8000-0000000000bb\"";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let repaired = command(&["repair", "--json"], &variables, b"").await;
    let told: Value = serde_json::from_str(&repaired.stdout).unwrap();
    // No connector waited for it, so that nothing but its payload is gone.
    assert_eq!((repaired.code, told["settled_payloads"].as_u64()), (Some(3), Some(1)), "{told}");
    assert_eq!(told["events"].as_u64(), Some(1));
    world.again().await;
    let answer = world.get("/v1/events/0197a1b2-0000-7000-8000-0000000000aa").await;
    assert_eq!(answer.expect_status(200).json()["event"]["severity"], "low");
    world.end().await;
}
