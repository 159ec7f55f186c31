//! What a start makes once, and what becomes of it when it was renamed, revoked or removed: the admin of the environment, the first API key, the
//! link to the first account.

use toktra_siem_testkit::prelude::*;

const EMAIL: &str = "admin@company.com";
const PASSWORD: &str = "canary horse battery";
const ONCE: &str = "happens once for a data directory";

/// From the next start on the environment names this admin.
fn describe(world: &mut World, email: &str, password: &str) {
    world.set("TOKTRA_SIEM_ADMIN_EMAIL", email);
    world.set("TOKTRA_SIEM_ADMIN_PASSWORD", password);
}

/// A server whose environment names the admin, which was not started yet.
fn described() -> World {
    let mut world = World::asleep(setup());
    describe(&mut world, EMAIL, PASSWORD);
    world
}

async fn people(world: &World) -> Vec<Value> {
    world.list("/v1/users").await
}

async fn emails(world: &World) -> Vec<String> {
    people(world).await.iter().map(|user| user["email"].text()).collect()
}

/// The status of an attempt to log in.
async fn login(world: &World, email: &str, password: &str) -> u16 {
    let body = json!({ "email": email, "password": password });
    world.anonymous().post("/v1/sessions", &body).await.status
}

async fn path_of_first(world: &World) -> String {
    format!("/v1/users/{}", people(world).await[0].id())
}

#[tokio::test]
async fn an_admin_who_was_renamed_does_not_come_back_under_the_old_address_whatever_is_set_later() {
    let mut world = described();
    world.again().await;
    assert_eq!(login(&world, EMAIL, PASSWORD).await, 201);
    let path = path_of_first(&world).await;
    world.change(&path, &json!({ "email": "ada@company.com" })).await;
    world.stop().await;

    for (email, password) in
        [(EMAIL, PASSWORD), ("other@company.com", PASSWORD), ("third@company.com", "another canary of mine")]
    {
        describe(&mut world, email, password);
        world.again().await;
        assert_eq!(emails(&world).await, ["ada@company.com"], "{email}");
        assert_eq!(login(&world, email, password).await, 401, "{email}");
        let log = world.log();
        assert!(log.contains(ONCE) && log.contains(email) && !log.contains(password), "{log}");
        world.kill().await;
    }
    describe(&mut world, "ada@company.com", "another canary of mine");
    world.again().await;
    assert_eq!(login(&world, "ada@company.com", PASSWORD).await, 201, "the password stays as it was");
    assert!(world.log().contains("Nothing was changed, the password neither"));
    world.end().await;
}

#[tokio::test]
async fn an_admin_who_was_deleted_does_not_come_back_also_not_with_a_backup_and_a_new_link_is_handed_out() {
    let mut world = described();
    world.again().await;
    let path = path_of_first(&world).await;
    world.remove(&path).await;
    world.restart().await;
    assert!(emails(&world).await.is_empty());
    assert_eq!(login(&world, EMAIL, PASSWORD).await, 401);
    assert!(world.log().contains(ONCE), "{}", world.log());
    assert!(world.first_link().is_some(), "nobody has an account: whoever started it gets the link");

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.db");
    world.in_dir(&["backup", "--to", file.to_str().unwrap()]).await.done();
    world.end().await;
    let mut second = described();
    second.in_dir(&["restore", "--from", file.to_str().unwrap()]).await.done();
    second.again().await;
    assert!(emails(&second).await.is_empty());
    assert_eq!(login(&second, EMAIL, PASSWORD).await, 401);
    second.end().await;
}

#[tokio::test]
async fn somebody_who_has_the_address_already_counts_as_made() {
    let mut world = World::start().await;
    let body = json!({ "email": EMAIL, "name": "Ada", "role": "viewer", "password": "a canary of her own" });
    world.make("/v1/users", &body).await;
    describe(&mut world, EMAIL, PASSWORD);
    world.restart().await;
    assert_eq!(people(&world).await[0]["role"], "viewer");
    let path = path_of_first(&world).await;
    world.change(&path, &json!({ "email": "ada@company.com" })).await;
    world.restart().await;
    assert_eq!(emails(&world).await, ["ada@company.com"]);
    world.end().await;
}

#[tokio::test]
async fn the_last_person_who_goes_leaves_a_link_to_whoever_starts_the_server_and_older_links_stay_void() {
    let mut world = World::start().await;
    let path = |link: &str| link[link.find("/setup/").unwrap()..].to_owned();
    let first = world.first_link().unwrap();
    let body = json!({ "email": EMAIL, "name": "Ada", "role": "admin", "password": PASSWORD });
    world.make("/v1/users", &body).await;
    let anybody = world.anonymous();
    anybody.get(&path(&first)).await.expect_status(404);
    world.remove(&path_of_first(&world).await).await;
    world.restart().await;
    let second = world.first_link().unwrap();
    anybody.get(&path(&first)).await.expect_status(404);
    anybody.get(&path(&second)).await.expect_status(200);
    world.end().await;
}

#[tokio::test]
async fn a_first_key_that_was_revoked_does_not_come_back_and_one_that_nobody_got_is_made_anew() {
    let mut world = World::asleep(setup().env("TOKTRA_SIEM_API_KEY", "").without_account_checks());
    let file = world.data_dir().join("first-api-key");
    // A file of that name, of an earlier life: the key cannot be handed out.
    std::fs::create_dir_all(world.data_dir()).unwrap();
    std::fs::write(&file, "of an earlier life\n").unwrap();
    let log = world.refused(1).await;
    assert!(log.contains("first-api-key"), "{log}");
    std::fs::remove_file(&file).unwrap();

    world.again().await;
    let client = world.with_key(&world.file("first-api-key").unwrap());
    let keys = client.list("/v1/api-keys").await;
    assert_eq!(keys.len(), 1, "the key that nobody got is revoked: {keys:?}");
    client.remove(&format!("/v1/api-keys/{}", keys[0].id())).await;
    std::fs::remove_file(&file).unwrap();
    world.restart().await;
    assert!(!file.exists());
    client.get("/v1/api-keys").await.expect_status(401);
    world.end().await;
}

/// The link of the start may lie where nobody can read it.
#[tokio::test]
async fn first_login_prints_a_new_link_beside_the_running_server_and_before_a_start_until_somebody_has_an_account() {
    let mut world = World::with(setup().env("TOKTRA_SIEM_PUBLIC_URL", "https://siem.company.com")).await;
    let path = |link: &str| link.strip_prefix("https://siem.company.com").unwrap().to_owned();
    let command = async |world: &World, more: &[&str]| {
        let dir = world.data_dir();
        let variables =
            [("TOKTRA_SIEM_DATA_DIR", dir.to_str().unwrap()), ("TOKTRA_SIEM_PUBLIC_URL", "https://siem.company.com")];
        command(&[&["first-login"], more].concat(), &variables, "").await
    };
    let anybody = world.anonymous();
    let first = path(&world.first_link().unwrap());
    anybody.get(&first).await.expect_status(200);
    let second = path(&command(&world, &["--json"]).await.done().json()["link"].text());
    assert_eq!(world.first_link(), None, "the file of a void link is gone");
    anybody.get(&first).await.expect_status(404);
    anybody.get(&second).await.expect_status(200);

    // Made before a start, it holds, and no other one is handed out.
    world.stop().await;
    let said = command(&world, &[]).await.done();
    said.says(&["It works once", "every older link is void"]);
    let third = path(said.stdout.split_whitespace().find(|word| word.contains("/setup/")).unwrap());
    world.again().await;
    let anybody = world.anonymous();
    assert_eq!(world.first_link(), None);
    anybody.get(&second).await.expect_status(404);
    anybody.get(&third).await.expect_status(200);

    let body = json!({ "email": EMAIL, "name": "Ada", "role": "admin", "password": PASSWORD });
    world.make("/v1/users", &body).await;
    anybody.get(&third).await.expect_status(404);
    let said = command(&world, &[]).await;
    said.ends(1).complains(&["Somebody has an account already", "`toktra-siem user create`", "key create --local"]);
    assert_eq!(said.stdout, "");
    // Everybody is gone while it runs: a link is made again.
    world.remove(&path_of_first(&world).await).await;
    let fourth = path(&command(&world, &["--json"]).await.done().json()["link"].text());
    anybody.get(&fourth).await.expect_status(200);
    world.end().await;
}

#[tokio::test]
async fn first_login_without_a_server_or_an_address_says_what_is_missing() {
    let mut world = World::start().await;
    let free = [("TOKTRA_SIEM_DATA_DIR", world.data_dir()), ("TOKTRA_SIEM_LISTEN", "127.0.0.1:0".into())];
    let variables: Vec<(&str, &str)> = free.iter().map(|(name, value)| (*name, value.to_str().unwrap())).collect();
    let said = command(&["first-login"], &variables, "").await;
    said.ends(2).complains(&["Give it with --url"]);
    assert!(world.first_link().is_some(), "nothing was made void");
    world.in_dir(&["first-login"]).await.done().says(&["http://127.0.0.1:8080/setup/"]);
    world.stop().await;
    let nowhere = [("TOKTRA_SIEM_DATA_DIR", "/nowhere/at/all")];
    let said = command(&["first-login"], &nowhere, "").await;
    said.ends(2).complains(&["There is no server's data in /nowhere/at/all"]);
}
