//! The people of an org, as its admins see them.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

/// The content with this run's port left out.
fn shown(world: &Here, answer: &Answer) -> String {
    content(answer).replace(&world.address.to_string(), "ADDRESS")
}

/// The password that a page hands over.
fn handed(answer: &Answer) -> String {
    let text = answer.text();
    let (_, rest) = text.split_once("<dt>Password</dt><dd><span class=\"id\"><code>").expect("a password is shown");
    rest.split_once('<').unwrap().0.to_owned()
}

async fn id_of(world: &Here, email: &str) -> String {
    let people = world.get(&format!("/v1/users?org_id={DEFAULT_ORG}")).await.json();
    let person = people["items"].as_array().unwrap().iter().find(|person| person["email"] == email).unwrap();
    person.id()
}

#[tokio::test]
async fn the_list_knows_who_looks_and_escapes_names() {
    let (world, tab) = World::here_as_admin().await;
    world.pass(Duration::from_mins(1));
    let body = serde_json::json!({ "name": "<img src=x onerror=alert(1)>", "email": "x@company.example", "role": "viewer", "password": PASSWORD });
    world.make(&format!("/v1/users?org_id={DEFAULT_ORG}"), &body).await;
    insta::assert_snapshot!("users", content(&tab.get("/users").await.expect_status(200)));
}

#[tokio::test]
async fn somebody_is_added_with_a_password_that_is_shown_once() {
    let (world, tab) = World::here_as_admin().await;
    insta::assert_snapshot!("user_new", content(&tab.get("/users/new").await.expect_status(200)));
    let form =
        [("name", "Vic"), ("email", "Vic@company.example"), ("role", "viewer"), ("how", "made-up"), ("password", "")];
    let page = tab.post("/users/new", &form).await.expect_status(200);
    let password = handed(&page);
    insta::assert_snapshot!("user_added", shown(&world, &page).replace(&password, "PASSWORD"));
    world.attempt("vic@company.example", &password).await.expect_status(201);
    assert!(!tab.get("/users").await.text().contains(&password));
    assert!(!world.is_on_disk(&password));
}

#[tokio::test]
async fn a_password_that_was_typed_is_not_shown() {
    let (world, tab) = World::here_as_admin().await;
    let form = [
        ("name", "Vic"),
        ("email", "vic@company.example"),
        ("role", "admin"),
        ("how", "typed"),
        ("password", PASSWORD),
    ];
    let page = tab.post_part("/users/new", &form).await.expect_status(200).text();
    assert!(page.contains("The one that you typed") && page.contains("Admin, and may log in"), "{page}");
    assert!(!page.contains(PASSWORD) && !page.contains("<html"), "{page}");
    world.attempt("vic@company.example", PASSWORD).await.expect_status(201);
}

#[tokio::test]
async fn nothing_that_was_typed_is_lost_by_a_fault() {
    let (_world, tab) = World::here_as_admin().await;
    let taken = [("name", "Vic \"the\" Viewer"), ("email", "ada@company.example"), ("role", "admin")];
    let page = tab.post("/users/new", &taken).await.expect_status(409);
    insta::assert_snapshot!("user_taken", content(&page));
    let wrong = [("name", ""), ("email", "vic"), ("role", "viewer"), ("how", "typed"), ("password", "canary")];
    let page = tab.post("/users/new", &wrong).await.expect_status(422).text();
    assert!(page.contains("Nobody was added. Correct what is marked below."), "{page}");
    assert!(
        page.contains("value=\"typed\" checked") && page.contains("value=\"vic\"") && !page.contains("canary"),
        "{page}"
    );
    let odd = [("name", "Vic"), ("email", "vic@company.example"), ("role", "owner")];
    let page = tab.post("/users/new", &odd).await.expect_status(422).text();
    assert!(page.contains("role: must be one of admin, viewer"), "{page}");
}

#[tokio::test]
async fn a_user_is_changed_and_gets_a_new_password() {
    let (world, tab) = World::here_as_admin().await;
    let vic = Tab::of_viewer(&world).await;
    let path = format!("/users/{}", id_of(&world, "vic@company.example").await);
    insta::assert_snapshot!("user", content(&tab.get(&path).await.expect_status(200)));
    let form = [("name", "Victoria"), ("email", "vic@company.example"), ("role", "admin")];
    let answer = tab.post(&path, &form).await.expect_status(303);
    assert_eq!(answer.header("location"), Some("/users"));
    let list = tab.get("/users").await.text();
    assert!(list.contains("Victoria was saved, and is an admin."), "{list}");
    vic.get("/account").await.expect_status(303);

    let page = tab.post(&format!("{path}/password"), &[("how", "made-up")]).await.expect_status(200);
    let password = handed(&page);
    insta::assert_snapshot!("user_password", shown(&world, &page).replace(&password, "PASSWORD"));
    world.attempt("vic@company.example", PASSWORD).await.expect_status(401);
    world.attempt("vic@company.example", &password).await.expect_status(201);
    let page = tab.post(&format!("{path}/password"), &[("how", "typed"), ("password", "short")]).await;
    assert!(page.expect_status(422).text().contains("The password was not changed."));
    let page = tab.post(&path, &[("name", "Victoria"), ("email", "ada@company.example"), ("role", "admin")]).await;
    assert!(page.expect_status(409).text().contains("value=\"ada@company.example\""));
}

#[tokio::test]
async fn one_s_own_password_is_changed_elsewhere() {
    let (world, tab) = World::here_as_admin().await;
    let path = format!("/users/{}", id_of(&world, "ada@company.example").await);
    let page = tab.get(&path).await.expect_status(200).text();
    assert!(page.contains("href=\"/account#change\"") && !page.contains("/password\""), "{page}");
    tab.post(&format!("{path}/password"), &[("how", "made-up")]).await.expect_status(409);
}

#[tokio::test]
async fn deleting_asks_first_and_keeps_the_last_admin() {
    let (world, tab) = World::here_as_admin().await;
    let vic = Tab::of_viewer(&world).await;
    let own = format!("/users/{}/delete", id_of(&world, "ada@company.example").await);
    let other = format!("/users/{}/delete", id_of(&world, "vic@company.example").await);
    insta::assert_snapshot!("user_delete", content(&tab.get(&other).await.expect_status(200)));
    let page = tab.post(&own, &[]).await.expect_status(409).text();
    assert!(page.contains("This is the last admin of the org."), "{page}");
    tab.get("/users").await.expect_status(200);

    assert_eq!(tab.post(&other, &[]).await.expect_status(303).header("location"), Some("/users"));
    let list = tab.get("/users").await.text();
    assert!(
        list.contains("vic@company.example was deleted") || list.contains("was deleted. Their sessions have ended."),
        "{list}"
    );
    vic.get("/account").await.expect_status(303);
    tab.get(&other).await.expect_status(404);
}
