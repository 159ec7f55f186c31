//! `/v1/users`.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

fn jo() -> Value {
    json!({ "email": " Jo.Doe@Company.com", "name": "Jo Doe", "role": "admin", "password": PASSWORD })
}

#[tokio::test]
async fn made_shown_changed_listed_and_removed() {
    let world = World::here().await;
    let made = world.post("/v1/users", &jo()).await;
    insta::assert_json_snapshot!("created_user", shown(&made));
    let path = format!("/v1/users/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(world.read(&path).await, made.json());
    world.pass(Duration::from_secs(1));
    world.person("di@company.com", "viewer").await;
    let change = json!({ "name": "Jo", "email": "jo@company.com", "role": "viewer" });
    insta::assert_json_snapshot!("changed_user", shown(&world.patch(&path, &change).await));
    world.login("jo@company.com").await;
    insta::assert_json_snapshot!("listed_users", shown(&world.get("/v1/users").await));
    world.remove(&path).await;
    insta::assert_json_snapshot!("no_such_user", shown(&world.get(&path).await));
    world.patch(&path, &json!({ "name": "x" })).await.expect_status(404);
    world.delete(&path).await.expect_status(404);
}

#[tokio::test]
async fn faults_are_named_and_no_password_echoed() {
    let world = World::here().await;
    let with = |member: &str, value: Value| {
        let mut body = jo();
        body[member] = value;
        body
    };
    for (body, pointer) in [
        (with("email", json!("jo")), "/email"),
        (with("email", Value::Null), "/email"),
        (with("name", json!("")), "/name"),
        (with("role", json!("owner")), "/role"),
        (with("password", json!("canary")), "/password"),
        (with("password", json!("x".repeat(201))), "/password"),
        (with("password", json!("Password1234")), "/password"),
        (with("password", json!("JO.DOE@company.com")), "/password"),
        (with("password", json!(7)), "/password"),
        (with("scopes", json!([])), "/scopes"),
    ] {
        let answer = world.post("/v1/users", &body).await.expect_status(422);
        assert_eq!(answer.json()["error"]["fields"][0]["pointer"], pointer, "{}", answer.text());
        assert!(!answer.text().contains("canary"));
    }
    insta::assert_json_snapshot!("user_missing_members", shown(&world.post("/v1/users", &json!({})).await));
    let id = world.person("jo.doe@company.com", "admin").await;
    let body = json!({ "password": "jo.doe@company.com" });
    let answer = world.patch(&format!("/v1/users/{id}"), &body).await.expect_status(422).json();
    assert_eq!(answer["error"]["fields"][0]["pointer"], "/password");
}

#[tokio::test]
async fn an_address_that_is_taken_anywhere_is_refused_without_saying_where() {
    let world = World::here().await;
    world.make("/v1/users", &jo()).await;
    let other = world.tenant("other").await;
    let (admin, _) = world.key(&other, &["admin"]).await;
    let taken = admin.post("/v1/users", &jo()).await;
    insta::assert_json_snapshot!("email_taken", shown(&taken));
    assert_eq!(taken.json(), world.post("/v1/users", &jo()).await.json());
    let di = world.user(&other, "di@company.com", "viewer").await;
    let answer = admin.patch(&format!("/v1/users/{di}"), &json!({ "email": "JO.doe@company.com" })).await;
    assert_eq!(answer.expect_status(409).json(), taken.json());
}

#[tokio::test]
async fn the_last_admin_stays_unless_a_platform_key_insists() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    let (key, _) = world.key(&org, &["admin"]).await;
    let admin = world.user(&org, "admin@company.com", "admin").await;
    let viewer = world.user(&org, "viewer@company.com", "viewer").await;
    let person = world.login("admin@company.com").await;
    let (admin, viewer) = (format!("/v1/users/{admin}"), format!("/v1/users/{viewer}"));
    for client in [&key, &person] {
        insta::assert_json_snapshot!("last_admin", shown(&client.delete(&admin).await));
        client.patch(&admin, &json!({ "role": "viewer" })).await.expect_status(409);
    }
    person.get("/v1/users").await.expect_status(200);
    person.change(&viewer, &json!({ "role": "admin" })).await;
    person.change(&admin, &json!({ "role": "viewer" })).await;
    person.get("/v1/siem/connectors").await.expect_status(401);
    let platform = format!("{viewer}?org_id={org}");
    world.change(&platform, &json!({ "role": "viewer" })).await;
    world.remove(&platform).await;
}

#[tokio::test]
async fn role_password_and_removal_end_sessions_at_once() {
    let world = World::here().await;
    let org = DEFAULT_ORG.to_string();
    world.user(&org, "admin@company.com", "admin").await;
    let admin = world.login("admin@company.com").await;
    let id = world.user(&org, "jo@company.com", "viewer").await;
    let path = format!("/v1/users/{id}");
    for change in [json!({ "role": "admin" }), json!({ "password": PASSWORD })] {
        let jo = world.login("jo@company.com").await;
        jo.get("/v1/siem/connectors").await.expect_status(200);
        admin.change(&path, &change).await;
        jo.get("/v1/siem/connectors").await.expect_status(401);
    }
    let jo = world.login("jo@company.com").await;
    jo.get("/v1/users").await.expect_status(200);
    admin.change(&path, &json!({ "name": "J" })).await;
    jo.get("/v1/users").await.expect_status(200);
    admin.remove(&path).await;
    jo.get("/v1/users").await.expect_status(401);
    world.attempt("jo@company.com", PASSWORD).await.expect_status(401);
}

#[tokio::test]
async fn ones_own_password_asks_for_the_present_one() {
    let world = World::here().await;
    let id = world.person("jo@company.com", "admin").await;
    let jo = world.login("jo@company.com").await;
    let answer = jo.patch(&format!("/v1/users/{id}"), &json!({ "password": "an entirely new one" })).await;
    insta::assert_json_snapshot!("own_password", shown(&answer));
}
