//! `/v1/sessions`.

use std::sync::Arc;
use std::time::Duration;

use toktra_siem_identity::guesses::{PER_ACCOUNT, PER_ADDRESS, PER_PAIR};
use toktra_siem_identity::passwords::Hashing;
use toktra_siem_identity::sessions::IDLE;
use toktra_siem_store::{ActorKind, PasswordHash};
use toktra_siem_testkit::prelude::*;

async fn world() -> Here {
    let world = World::here().await;
    world.person("jo@company.com", "admin").await;
    world
}

#[tokio::test]
async fn opened_shown_and_ended() {
    let world = world().await;
    let opened = world.attempt("JO@company.com", PASSWORD).await;
    insta::assert_json_snapshot!("opened_session", shown(&opened));
    let token = opened.json()["token"].text();
    assert!(token.starts_with("tss_") && token.len() > 4 + 48, "at least 192 random bits");
    let jo = world.with_key(&token);
    insta::assert_json_snapshot!("current_session", shown(&jo.get("/v1/sessions/current").await));
    insta::assert_json_snapshot!("ended_session", shown(&jo.delete("/v1/sessions/current").await));
    insta::assert_json_snapshot!("session_over", shown(&jo.get("/v1/sessions/current").await));
    let log = format!("{:?}", world.audit(DEFAULT_ORG).await);
    assert!(!log.contains(&token) && !log.contains(PASSWORD));
    assert!(world.is_on_disk("$argon2id$") && world.is_on_disk("jo@company.com"));
    assert!(!world.is_on_disk(&token) && !world.is_on_disk(PASSWORD));
}

#[tokio::test]
async fn a_session_works_like_a_key_and_names_the_person() {
    let world = world().await;
    let jo = world.login("jo@company.com").await;
    let connector = world.idle_connector(&jo, "x").await;
    jo.begin("/v1/events", &json!({ "event_type": "anomaly", "severity": "low" })).await;
    let key = json!({ "name": "ci", "scopes": ["siem:write"] });
    let key = jo.make("/v1/api-keys", &key).await;
    assert_eq!((&key["org_id"], &key["created_by"]), (&json!(DEFAULT_ORG), &json!("jo@company.com")));
    let (log, _) = world.audit(DEFAULT_ORG).await;
    let line = log.iter().find(|line| line.object == connector["id"]).unwrap();
    assert_eq!((line.actor.kind, line.actor.name.as_str()), (ActorKind::User, "jo@company.com"));
    // An admin of the default org is one of that org alone.
    jo.get("/v1/orgs").await.expect_status(403);
    jo.post("/v1/api-keys", &json!({ "name": "x", "scopes": ["platform"] })).await.expect_status(403);
    world.get("/v1/sessions/current").await.expect_status(403);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_alike() {
    let world = world().await;
    let wrong = world.attempt("jo@company.com", "not the right password").await;
    insta::assert_json_snapshot!("wrong_password", shown(&wrong));
    for email in ["nobody@company.com", "no address", ""] {
        let unknown = world.attempt(email, "not the right password").await;
        assert_eq!((unknown.status, unknown.json()), (wrong.status, wrong.json()), "{email}");
    }
    for body in [json!({}), json!({ "email": "jo@company.com" }), json!({ "email": 1, "password": 2 })] {
        world.anonymous().post("/v1/sessions", &body).await.expect_status(422);
    }
}

/// Keeps passwords as they are: for tests that guess hundreds of times.
struct Plain;

impl Hashing for Plain {
    fn hash(&self, password: &str, _: [u8; 16]) -> Option<PasswordHash> {
        Some(PasswordHash(password.to_owned()))
    }

    fn matches(&self, password: &str, hash: &PasswordHash) -> bool {
        hash.0 == password
    }

    fn nobody(&self) -> PasswordHash {
        PasswordHash("nobody's password".to_owned())
    }
}

/// Tries to log in from this address.
async fn from(world: &Here, address: &str, body: &Value) -> Answer {
    // The proxy of the world is trusted; what the client wrote before it is not.
    let forwarded = format!("10.9.8.7, {address}");
    let headers = [("content-type", "application/json"), ("x-forwarded-for", forwarded.as_str())];
    world.anonymous().send(http::Method::POST, "/v1/sessions", &headers, body.to_string().into()).await
}

#[tokio::test]
async fn guessing_is_limited_by_account_also_for_nobody_and_for_the_right_password() {
    let world = World::here_with(Options { hashing: Arc::new(Plain), ..Options::default() }).await;
    world.person("jo@company.com", "admin").await;
    for email in ["jo@company.com", "nobody@company.com"] {
        for _ in 0..PER_ACCOUNT {
            world.attempt(email, "not the right password").await.expect_status(401);
        }
        let refused = world.attempt(email, PASSWORD).await;
        assert_eq!(refused.header("retry-after"), Some("36"), "{}", refused.text());
        insta::assert_json_snapshot!("guesses_limited", shown(&refused));
    }
    let (log, platform) = world.audit(DEFAULT_ORG).await;
    let count = |lines: &[toktra_siem_store::AuditEntry]| lines.iter().filter(|e| e.action == "session.limit").count();
    assert_eq!((count(&log), count(&platform)), (1, 1));
    world.pass(Duration::from_hours(1));
    world.login("jo@company.com").await;
}

#[tokio::test]
async fn wrong_passwords_from_elsewhere_lock_nobody_out_and_are_told_at_the_next_login() {
    let world = world().await;
    let login = json!({ "email": "jo@company.com", "password": PASSWORD });
    let first = from(&world, "192.0.2.1", &login).await.expect_status(201).json();
    assert_eq!((&first["failed_attempts"], &first["previous_login_at"]), (&json!(0), &Value::Null));
    let wrong = json!({ "email": "jo@company.com", "password": "not the right password" });
    for n in 0..PER_PAIR + 5 {
        let status = if n < PER_PAIR { 401 } else { 429 };
        from(&world, "198.51.100.7", &wrong).await.expect_status(status);
    }
    let told = from(&world, "203.0.113.9", &login).await.expect_status(201).json();
    assert_eq!(
        (&told["failed_attempts"], &told["previous_login_at"]),
        (&json!(25), &json!("2025-01-15T10:30:00.000Z"))
    );
    from(&world, "198.51.100.7", &login).await.expect_status(429);
    let mut known = login.clone();
    for (device, status) in [(json!("tsd_made-up"), 429), (first["device"].clone(), 201), (json!(7), 422)] {
        known["device"] = device;
        from(&world, "198.51.100.7", &known).await.expect_status(status);
    }
}

#[tokio::test]
async fn guessing_is_limited_by_address_which_nobody_can_make_up() {
    let world = World::here_with(Options { hashing: Arc::new(Plain), ..Options::default() }).await;
    world.person("jo@company.com", "admin").await;
    let wrong = |n: u32| json!({ "email": format!("user{n}@company.com"), "password": "x" });
    for n in 0..PER_ADDRESS {
        from(&world, "198.51.100.7", &wrong(n)).await.expect_status(401);
    }
    from(&world, "198.51.100.7", &wrong(9_999)).await.expect_status(429);
    world.login("jo@company.com").await;
}

#[tokio::test]
async fn many_wrong_passwords_at_a_time_turn_no_right_one_away() {
    let world = world().await;
    world.person("di@company.com", "viewer").await;
    let wrong = json!({ "email": "jo@company.com", "password": "not the right password" });
    let right = json!({ "email": "di@company.com", "password": PASSWORD });
    let addresses: Vec<String> = (0..90).map(|n| format!("198.51.100.{}", n % 45)).collect();
    let flood = addresses.iter().map(|address| from(&world, address, &wrong));
    let logins = (0..30).map(|_| from(&world, "192.0.2.1", &right));
    let (flood, logins) = tokio::join!(join_all(flood), join_all(logins));
    assert!(flood.iter().all(|answer| answer.status == 401), "{:?}", flood.iter().map(|a| a.status).max());
    assert!(logins.iter().all(|answer| answer.status == 201), "{:?}", logins.iter().map(|a| a.status).max());
}

/// All of them, at a time.
async fn join_all<F: Future<Output = Answer>>(asked: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut asked: Vec<_> = asked.map(|asked| (Box::pin(asked), None)).collect();
    std::future::poll_fn(|context| {
        for (asked, answer) in asked.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let std::task::Poll::Ready(ready) = asked.as_mut().poll(context) {
                *answer = Some(ready);
            }
        }
        if asked.iter().all(|(_, answer)| answer.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    asked.into_iter().filter_map(|(_, answer)| answer).collect()
}

#[tokio::test]
async fn idle_sessions_end_and_used_ones_go_on() {
    let world = world().await;
    let jo = world.login("jo@company.com").await;
    for _ in 0..3 {
        world.pass(IDLE.saturating_sub(Duration::from_secs(1)));
        jo.get("/v1/siem/connectors").await.expect_status(200);
    }
    world.pass(IDLE);
    jo.get("/v1/siem/connectors").await.expect_status(401);
}

#[tokio::test]
async fn a_new_login_and_a_new_password_leave_no_old_token() {
    let world = world().await;
    let (first, second) = (world.login("jo@company.com").await, world.login("jo@company.com").await);
    first.get("/v1/siem/connectors").await.expect_status(200);
    let body = json!({ "email": "jo@company.com", "password": PASSWORD });
    let third = first.make("/v1/sessions", &body).await;
    let third = world.with_key(third["token"].as_str().unwrap());
    first.get("/v1/siem/connectors").await.expect_status(401);
    second.get("/v1/siem/connectors").await.expect_status(200);

    let path = "/v1/sessions/current/password";
    let wrong = third.post(path, &json!({ "current": "not the right one", "new": "an entirely new one" })).await;
    insta::assert_json_snapshot!("current_password_wrong", shown(&wrong));
    for (new, pointer) in [("short", "/new"), (PASSWORD, "/new"), ("Jo@company.com", "/new")] {
        let answer = third.post(path, &json!({ "current": PASSWORD, "new": new })).await.expect_status(422).json();
        assert_eq!(answer["error"]["fields"][0]["pointer"], pointer, "{answer}");
    }
    let changed = third.post(path, &json!({ "current": PASSWORD, "new": "an entirely new one" })).await;
    insta::assert_json_snapshot!("changed_password", shown(&changed));
    for old in [&second, &third] {
        old.get("/v1/siem/connectors").await.expect_status(401);
    }
    let new = world.with_key(changed.json()["token"].as_str().unwrap());
    new.get("/v1/siem/connectors").await.expect_status(200);
    world.attempt("jo@company.com", PASSWORD).await.expect_status(401);
    world.attempt("jo@company.com", "an entirely new one").await.expect_status(201);
}

#[tokio::test]
async fn removing_an_org_ends_its_sessions_at_once() {
    let world = world().await;
    let org = world.tenant("tenant").await;
    world.user(&org, "di@company.com", "viewer").await;
    let di = world.login("di@company.com").await;
    di.get("/v1/siem/connectors").await.expect_status(200);
    world.remove(&format!("/v1/orgs/{org}")).await;
    di.get("/v1/siem/connectors").await.expect_status(401);
    world.attempt("di@company.com", PASSWORD).await.expect_status(401);
}
