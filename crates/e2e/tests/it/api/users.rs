//! `/v1/users`.

use std::time::Duration;

use serde_json::{Value, json};

use toktra_siem_testkit::world::{Bench, DEFAULT_ORG, PASSWORD, shown};

fn jo() -> Value {
    json!({ "email": " Jo.Doe@Company.com", "name": "Jo Doe", "role": "admin", "password": PASSWORD })
}

#[tokio::test]
async fn made_shown_changed_listed_and_removed() {
    let bench = Bench::start().await;
    let made = bench.client.post("/v1/users", &jo()).await;
    insta::assert_json_snapshot!("created_user", shown(&made));
    let path = format!("/v1/users/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(bench.client.get(&path).await.expect_status(200).json(), made.json());
    bench.pass(Duration::from_secs(1));
    bench.user(&DEFAULT_ORG.to_string(), "di@company.com", "viewer").await;
    let change = json!({ "name": "Jo", "email": "jo@company.com", "role": "viewer" });
    insta::assert_json_snapshot!("changed_user", shown(&bench.client.patch(&path, &change).await));
    bench.login("jo@company.com").await;
    insta::assert_json_snapshot!("listed_users", shown(&bench.client.get("/v1/users").await));
    bench.client.delete(&path).await.expect_status(200);
    insta::assert_json_snapshot!("no_such_user", shown(&bench.client.get(&path).await));
    bench.client.patch(&path, &json!({ "name": "x" })).await.expect_status(404);
    bench.client.delete(&path).await.expect_status(404);
}

#[tokio::test]
async fn faults_are_named_and_no_password_echoed() {
    let bench = Bench::start().await;
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
        let answer = bench.client.post("/v1/users", &body).await.expect_status(422);
        assert_eq!(answer.json()["error"]["fields"][0]["pointer"], pointer, "{}", answer.text());
        assert!(!answer.text().contains("canary"));
    }
    insta::assert_json_snapshot!("user_missing_members", shown(&bench.client.post("/v1/users", &json!({})).await));
    let id = bench.user(&DEFAULT_ORG.to_string(), "jo.doe@company.com", "admin").await;
    let body = json!({ "password": "jo.doe@company.com" });
    let answer = bench.client.patch(&format!("/v1/users/{id}"), &body).await.expect_status(422).json();
    assert_eq!(answer["error"]["fields"][0]["pointer"], "/password");
}

#[tokio::test]
async fn an_address_that_is_taken_anywhere_is_refused_without_saying_where() {
    let bench = Bench::start().await;
    bench.client.post("/v1/users", &jo()).await.expect_status(201);
    let other = bench.org("other").await;
    let (admin, _) = bench.key(&other, &["admin"]).await;
    let taken = admin.post("/v1/users", &jo()).await;
    insta::assert_json_snapshot!("email_taken", shown(&taken));
    assert_eq!(taken.json(), bench.client.post("/v1/users", &jo()).await.json());
    let di = bench.user(&other, "di@company.com", "viewer").await;
    let answer = admin.patch(&format!("/v1/users/{di}"), &json!({ "email": "JO.doe@company.com" })).await;
    assert_eq!(answer.expect_status(409).json(), taken.json());
}

#[tokio::test]
async fn the_last_admin_stays_unless_a_platform_key_insists() {
    let bench = Bench::start().await;
    let org = bench.org("tenant").await;
    let (key, _) = bench.key(&org, &["admin"]).await;
    let admin = bench.user(&org, "admin@company.com", "admin").await;
    let viewer = bench.user(&org, "viewer@company.com", "viewer").await;
    let person = bench.login("admin@company.com").await;
    let (admin, viewer) = (format!("/v1/users/{admin}"), format!("/v1/users/{viewer}"));
    for client in [&key, &person] {
        insta::assert_json_snapshot!("last_admin", shown(&client.delete(&admin).await));
        client.patch(&admin, &json!({ "role": "viewer" })).await.expect_status(409);
    }
    person.get("/v1/users").await.expect_status(200);
    person.patch(&viewer, &json!({ "role": "admin" })).await.expect_status(200);
    person.patch(&admin, &json!({ "role": "viewer" })).await.expect_status(200);
    person.get("/v1/siem/connectors").await.expect_status(401);
    let platform = format!("{viewer}?org_id={org}");
    bench.client.patch(&platform, &json!({ "role": "viewer" })).await.expect_status(200);
    bench.client.delete(&platform).await.expect_status(200);
}

#[tokio::test]
async fn role_password_and_removal_end_sessions_at_once() {
    let bench = Bench::start().await;
    let org = DEFAULT_ORG.to_string();
    bench.user(&org, "admin@company.com", "admin").await;
    let admin = bench.login("admin@company.com").await;
    let id = bench.user(&org, "jo@company.com", "viewer").await;
    let path = format!("/v1/users/{id}");
    for change in [json!({ "role": "admin" }), json!({ "password": PASSWORD })] {
        let jo = bench.login("jo@company.com").await;
        jo.get("/v1/siem/connectors").await.expect_status(200);
        admin.patch(&path, &change).await.expect_status(200);
        jo.get("/v1/siem/connectors").await.expect_status(401);
    }
    let jo = bench.login("jo@company.com").await;
    jo.get("/v1/users").await.expect_status(200);
    admin.patch(&path, &json!({ "name": "J" })).await.expect_status(200);
    jo.get("/v1/users").await.expect_status(200);
    admin.delete(&path).await.expect_status(200);
    jo.get("/v1/users").await.expect_status(401);
    bench.attempt("jo@company.com", PASSWORD).await.expect_status(401);
}

#[tokio::test]
async fn ones_own_password_asks_for_the_present_one() {
    let bench = Bench::start().await;
    let id = bench.user(&DEFAULT_ORG.to_string(), "jo@company.com", "admin").await;
    let jo = bench.login("jo@company.com").await;
    let answer = jo.patch(&format!("/v1/users/{id}"), &json!({ "password": "an entirely new one" })).await;
    insta::assert_json_snapshot!("own_password", shown(&answer));
}
