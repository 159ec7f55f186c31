//! What a start makes once, and what becomes of it when it was renamed, revoked or removed: the admin of the environment, the first API key, the
//! link to the first account.

use serde_json::{Value, json};
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::json::Json as _;
use toktra_siem_testkit::server::{ServerProcess, ServerSetup};

use crate::command_line::command;
use crate::serve::setup;

const EMAIL: &str = "admin@company.com";
const PASSWORD: &str = "canary horse battery";
const ONCE: &str = "happens once for a data directory";

fn described(setup: ServerSetup, email: &str, password: &str) -> ServerSetup {
    setup.env("TOKTRA_SIEM_ADMIN_EMAIL", email).env("TOKTRA_SIEM_ADMIN_PASSWORD", password)
}

async fn people(server: &ServerProcess) -> Vec<Value> {
    server.client().list("/v1/users").await
}

async fn emails(server: &ServerProcess) -> Vec<String> {
    people(server).await.iter().map(|user| user["email"].text()).collect()
}

/// The status of an attempt to log in.
async fn login(server: &ServerProcess, email: &str, password: &str) -> u16 {
    let body = json!({ "email": email, "password": password });
    Client::new(server.base()).post("/v1/sessions", &body).await.status
}

async fn path_of_first(server: &ServerProcess) -> String {
    format!("/v1/users/{}", people(server).await[0]["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_admin_who_was_renamed_does_not_come_back_under_the_old_address_whatever_is_set_later() {
    let mut setup = described(setup(), EMAIL, PASSWORD);
    let server = setup.start().await;
    assert_eq!(login(&server, EMAIL, PASSWORD).await, 201);
    let path = path_of_first(&server).await;
    server.client().change(&path, &json!({ "email": "ada@company.com" })).await;
    server.stop().await;

    for (email, password) in
        [(EMAIL, PASSWORD), ("other@company.com", PASSWORD), ("third@company.com", "another canary of mine")]
    {
        setup = described(setup, email, password);
        let server = setup.start().await;
        assert_eq!(emails(&server).await, ["ada@company.com"], "{email}");
        assert_eq!(login(&server, email, password).await, 401, "{email}");
        let log = server.whole_log();
        assert!(log.contains(ONCE) && log.contains(email) && !log.contains(password), "{log}");
        server.kill().await;
    }
    setup = described(setup, "ada@company.com", "another canary of mine");
    let server = setup.start().await;
    assert_eq!(login(&server, "ada@company.com", PASSWORD).await, 201, "the password stays as it was");
    assert!(server.whole_log().contains("Nothing was changed, the password neither"));
    server.stop().await;
}

#[tokio::test]
async fn an_admin_who_was_deleted_does_not_come_back_also_not_with_a_backup_and_a_new_link_is_handed_out() {
    let first = described(setup(), EMAIL, PASSWORD);
    let server = first.start().await;
    let path = path_of_first(&server).await;
    server.client().remove(&path).await;
    server.stop().await;
    let server = first.start().await;
    assert!(emails(&server).await.is_empty());
    assert_eq!(login(&server, EMAIL, PASSWORD).await, 401);
    assert!(server.whole_log().contains(ONCE), "{}", server.whole_log());
    let link = first.data_dir().join("first-login-link");
    assert!(link.exists(), "nobody has an account: whoever started it gets the link");

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.db");
    let dir = |setup: &ServerSetup| setup.data_dir().to_str().unwrap().to_owned();
    let (from, to) = (dir(&first), file.to_str().unwrap());
    command(&["backup", "--to", to], &[("TOKTRA_SIEM_DATA_DIR", &from)], b"").await.done();
    server.stop().await;
    let second = described(setup(), EMAIL, PASSWORD);
    command(&["restore", "--from", to], &[("TOKTRA_SIEM_DATA_DIR", &dir(&second))], b"").await.done();
    let server = second.start().await;
    assert!(emails(&server).await.is_empty());
    assert_eq!(login(&server, EMAIL, PASSWORD).await, 401);
    server.stop().await;
}

#[tokio::test]
async fn somebody_who_has_the_address_already_counts_as_made() {
    let mut setup = setup();
    let server = setup.start().await;
    let body = json!({ "email": EMAIL, "name": "Ada", "role": "viewer", "password": "a canary of her own" });
    server.client().make("/v1/users", &body).await;
    server.stop().await;
    setup = described(setup, EMAIL, PASSWORD);
    let server = setup.start().await;
    assert_eq!(people(&server).await[0]["role"], "viewer");
    let path = path_of_first(&server).await;
    server.client().change(&path, &json!({ "email": "ada@company.com" })).await;
    server.stop().await;
    let server = setup.start().await;
    assert_eq!(emails(&server).await, ["ada@company.com"]);
    server.stop().await;
}

#[tokio::test]
async fn the_last_person_who_goes_leaves_a_link_to_whoever_starts_the_server_and_older_links_stay_void() {
    let setup = setup();
    let read = |setup: &ServerSetup| std::fs::read_to_string(setup.data_dir().join("first-login-link")).unwrap();
    let path = |link: &str| link[link.find("/setup/").unwrap()..].trim().to_owned();
    let server = setup.start().await;
    let first = read(&setup);
    let body = json!({ "email": EMAIL, "name": "Ada", "role": "admin", "password": PASSWORD });
    server.client().make("/v1/users", &body).await;
    Client::new(server.base()).get(&path(&first)).await.expect_status(404);
    server.client().remove(&path_of_first(&server).await).await;
    server.stop().await;
    let server = setup.start().await;
    let second = read(&setup);
    Client::new(server.base()).get(&path(&first)).await.expect_status(404);
    Client::new(server.base()).get(&path(&second)).await.expect_status(200);
    server.stop().await;
}

#[tokio::test]
async fn a_first_key_that_was_revoked_does_not_come_back_and_one_that_nobody_got_is_made_anew() {
    let setup = setup().env("TOKTRA_SIEM_API_KEY", "").without_account_checks();
    let file = setup.data_dir().join("first-api-key");
    // A file of that name, of an earlier life: the key cannot be handed out.
    std::fs::create_dir_all(setup.data_dir()).unwrap();
    std::fs::write(&file, "of an earlier life\n").unwrap();
    let mut refused = setup.spawn();
    assert_eq!(refused.exited().await.code(), Some(1));
    assert!(refused.whole_log().contains("first-api-key"), "{}", refused.whole_log());
    std::fs::remove_file(&file).unwrap();

    let server = setup.start().await;
    let key = std::fs::read_to_string(&file).unwrap();
    let client = Client::new(server.base()).with_key(key.trim());
    let keys = client.read("/v1/api-keys").await;
    assert_eq!(keys["items"].as_array().unwrap().len(), 1, "the key that nobody got is revoked: {keys}");
    let id = keys["items"][0]["id"].as_str().unwrap();
    client.remove(&format!("/v1/api-keys/{id}")).await;
    server.stop().await;
    std::fs::remove_file(&file).unwrap();

    let server = setup.start().await;
    assert!(!file.exists());
    Client::new(server.base()).with_key(key.trim()).get("/v1/api-keys").await.expect_status(401);
    server.stop().await;
}
