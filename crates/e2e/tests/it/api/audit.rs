//! The audit log: who, what, before and after, and no secret. That every change leaves one line is tested in `isolation`.

use toktra_siem_core::ids::OrgId;
use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn what_changed_is_told_without_secrets() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    world.change(&format!("/v1/orgs/{org}"), &json!({ "name": "Tenant" })).await;
    let (admin, key) = world.key(&org, &["admin"]).await;
    let mut body = splunk_body("x");
    body["signing_secret"] = "canary-signing-secret".into();
    body["config"]["hec_token"] = "canary-hec-token".into();
    let made = admin.make("/v1/siem/connectors", &body).await;
    let path = format!("/v1/siem/connectors/{}", made["id"].as_str().unwrap());
    admin.change(&path, &json!({ "config": { "hec_token": "canary-other-token" } })).await;
    let next = json!({ "signing_secret": "canary-next-secret" });
    admin.call(&format!("{path}/signing-secret/rotate"), &next).await;
    admin.call(&format!("{path}/signing-secret/activate"), &json!({})).await;
    admin.remove(&path).await;
    let jo = world.user(&org, "jo@company.com", "viewer").await;
    let change = json!({ "role": "admin", "password": "canary in another mine" });
    admin.change(&format!("/v1/users/{jo}"), &change).await;
    world.remove(&format!("/v1/api-keys/{key}?org_id={org}")).await;

    let org: OrgId = org.parse().unwrap();
    let (log, _) = world.audit(org).await;
    let lines: Vec<_> = log.iter().map(|e| (e.actor.name.as_str(), e.action.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("bootstrap", "org.create"),
            ("bootstrap", "org.rename"),
            ("bootstrap", "api_key.create"),
            ("test key", "connector.create"),
            ("test key", "connector.update"),
            ("test key", "connector.signing_secret.rotate"),
            ("test key", "connector.signing_secret.activate"),
            ("test key", "connector.delete"),
            ("bootstrap", "user.create"),
            ("test key", "user.update"),
            ("bootstrap", "api_key.revoke"),
        ]
    );
    assert!(!format!("{log:?}").contains("canary"), "{log:?}");
    let detail = &log[9].detail;
    let (before, after) = (&detail["before"]["role"], &detail["after"]["role"]);
    assert_eq!((before, after, &detail["password_changed"]), (&json!("viewer"), &json!("admin"), &json!(true)));
}

#[tokio::test]
async fn the_log_is_read_newest_first_in_pages_and_by_filter() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    let (admin, key) = world.key(&org, &["admin"]).await;
    world.pass(std::time::Duration::from_secs(10));
    let jo = world.user(&org, "jo@company.com", "admin").await;
    let person = world.login("jo@company.com").await;
    person.change(&format!("/v1/users/{jo}"), &json!({ "name": "Jo" })).await;

    insta::assert_json_snapshot!("audit_log", shown(&admin.get("/v1/audit").await));
    let actions = async |client: &toktra_siem_testkit::client::Client, query: &str| {
        let answer = client.read(&format!("/v1/audit{query}")).await;
        let items = answer["items"].list();
        items.iter().map(|item| item["action"].text()).collect::<Vec<_>>()
    };
    let all = ["user.update", "session.create", "user.create", "api_key.create", "org.create"];
    assert_eq!(actions(&person, "").await, all);
    for (query, expected) in [
        ("?action=user.", &["user.update", "user.create"][..]),
        ("?actor=jo@company.com", &["user.update", "session.create"]),
        (&*format!("?actor={jo}"), &["user.update", "session.create"]),
        (&*format!("?object={key}"), &["api_key.create"]),
        ("?from=2025-01-15T10:30:10Z&action=s", &["session.create"]),
        ("?to=2025-01-15T10:30:10Z", &["api_key.create", "org.create"]),
        (&*format!("?object={jo}&actor=bootstrap&action=user.create"), &["user.create"]),
        ("?action=nothing", &[]),
    ] {
        assert_eq!(actions(&admin, query).await, expected, "{query}");
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = admin.read(&format!("/v1/audit{query}")).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["action"].text()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, all);
    for wrong in ["?cursor=x", "?actor=", "?from=yesterday", "?who=jo"] {
        admin.get(&format!("/v1/audit{wrong}")).await.expect_status(422);
    }
}

#[tokio::test]
async fn what_concerns_no_org_is_for_platform_keys_that_name_none() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    let (admin, _) = world.key(&org, &["admin"]).await;
    let body = json!({ "name": "backend", "scopes": ["platform"] });
    let made = world.make("/v1/api-keys", &body).await;
    let platform = world.with_key(made["key"].as_str().unwrap());
    let gone = world.tenant("gone").await;
    platform.remove(&format!("/v1/orgs/{gone}")).await;

    let lines = async |client: &toktra_siem_testkit::client::Client, query: &str| {
        let answer = client.read(&format!("/v1/audit{query}")).await;
        let line = |item: &Value| (item["actor"].text(), item["action"].text());
        answer["items"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    let line = |actor: &str, action: &str| (actor.to_owned(), action.to_owned());
    let own = [line("backend", "org.delete"), line("bootstrap", "api_key.create")];
    assert_eq!(lines(&platform, "").await, own);
    let tenants = [line("bootstrap", "api_key.create"), line("bootstrap", "org.create")];
    assert_eq!(lines(&platform, &format!("?org_id={org}")).await, tenants);
    assert_eq!(lines(&admin, "").await, tenants);
    // The bootstrap key means the default org where it names none, and sees what a platform key sees.
    let both = [own.to_vec(), vec![line("test", "test")]].concat();
    assert_eq!(lines(&world, "").await, both);
    assert_eq!(lines(&world, &format!("?org_id={DEFAULT_ORG}")).await, [line("test", "test")]);
    world.get(&format!("/v1/audit?org_id={gone}")).await.expect_status(404);
    let first = world.get("/v1/audit?limit=1").await.json();
    assert_eq!((&first["items"][0]["action"], &first["has_more"]), (&json!("org.delete"), &json!(true)));
}
