//! Webhooks: the three bodies and every way to log in, signatures that the official library verifies, a URL that is a secret, a receiver
//! that wants no more, and the reply table.

use toktra_siem_fake::webhook::{Endpoint, Fault, Login, Shape};
use toktra_siem_testkit::prelude::*;

use crate::replies::{Class, Row, walk_all};
use crate::signing::{library_says, webhook_case};

const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn every_body_arrives_signed_and_with_what_the_receiver_asks_for() {
    let world = World::start().await;
    let signed = |shape: Shape, login: Login| {
        move |options: &mut toktra_siem_fake::webhook::WebhookOptions| {
            options.shape = shape;
            options.login = login;
            options.secret = Some(WHSEC.to_owned());
        }
    };
    let single = webhook_with(|options| {
        signed(Shape::Event, Login::Bearer(CREDENTIAL.to_owned()))(options);
        options.headers =
            vec![("x-api-key".to_owned(), "key: 7".to_owned()), ("x_team".to_owned(), "security".to_owned())];
    })
    .await;
    let array = webhook_with(signed(Shape::Array, Login::Basic("toktra".to_owned(), "p:w".to_owned()))).await;
    let lines = webhook_with(|options| {
        signed(Shape::Lines, Login::None)(options);
        options.headers = vec![("authorization".to_owned(), "Key 7".to_owned())];
    })
    .await;
    let org = world.org("Acme").await;
    let secret = json!({ "signing_secret": WHSEC, "active": true });
    let connect =
        async |name: &str, config: Value| org.connector("webhook", config, with(secret.clone(), "name", name)).await;
    let headers = json!({ "X-Api-Key": "key: 7", "x_team": "security" });
    let all = [
        connect("single", json!({ "url": single.url(), "token": CREDENTIAL, "headers": headers })).await,
        connect(
            "array",
            json!({ "url": array.url(), "username": "toktra", "password": "p:w", "format": "array" }),
        )
        .await,
        connect(
            "lines",
            json!({ "url": lines.url(), "format": "lines", "headers": "Authorization: Key 7", "max_events": 3, "compression": "gzip" }),
        )
        .await,
    ];
    let ids = org.post_some(7).await;
    for fake in [&single, &array, &lines] {
        accepted(fake, 7).await;
        assert_each_once(fake, &ids);
        for taken in fake.events() {
            assert_eq!(taken.event, org.stored(taken.event_id.as_deref().unwrap()).await, "as it is stored");
        }
    }
    assert_eq!(single.requests().len(), 7, "one event a request");
    assert!(lines.requests().iter().all(|request| request.body.as_ref().unwrap().split(|b| *b == b'\n').count() <= 4));
    // The library reads the body as one JSON text: it takes no lines.
    let requests: Vec<_> = single.requests().into_iter().chain(array.requests()).collect();
    let cases: Vec<Value> = requests.iter().map(|request| webhook_case(request, &request.wire, WHSEC)).collect();
    library_says(&cases, true).await;
    let account = [("events", Account::delivered(7))];
    world.end_with(&all.each_ref().map(|connector| (connector, &account[..]))).await;
}

#[tokio::test]
async fn a_url_that_is_a_secret_is_shown_nowhere() {
    const CANARY: &str = "ZaVnC4dhaV1canary";
    let world = World::start().await;
    let sumo = webhook_with(|options| {
        options.path = format!("/receiver/v1/http/{CANARY}==?key={CANARY}-key");
        options.login = Login::None;
        options.headers = vec![("x-sumo-category".to_owned(), "header-canary-value".to_owned())];
    })
    .await;
    let org = world.org("Acme").await;
    let config = json!({ "secret_url": sumo.url(), "headers": { "X-Sumo-Category": "header-canary-value" } });
    let connector = org.connector("webhook", config, json!({})).await;
    let ids = org.post_some(2).await;
    accepted(&sumo, 2).await;
    assert_each_once(&sumo, &ids);
    // A receiver that repeats what it was sent, in a refusal and in a header.
    let echo = Reply::json(
        403,
        &json!({ "error": format!("not allowed: /receiver/v1/http/{CANARY}==, header-canary-value") }),
    );
    sumo.always(Endpoint::Hook, Behaviour::reply(echo.with_header("x-echo", &format!("{CANARY}-key"))));
    let tested = connector.test(json!({})).await;
    assert_eq!(tested["delivered"], false);
    sumo.healthy();

    let shown = org.read(&connector.path("")).await;
    let (secret, origin) = (&shown["config"]["secret_url"], sumo.base_url());
    assert_eq!((&secret["set"], &secret["origin"], &secret["hint"]), (&json!(true), &json!(origin), &json!("…-key")));
    assert_eq!(shown["config"]["headers"], json!({ "set": true, "hint": "X-Sumo-Category …alue" }));
    let mut seen = vec![shown.to_string(), tested.to_string(), org.read("/v1/audit").await.to_string()];
    let mut refusals = 0;
    for delivery in connector.deliveries("").await {
        let told = connector.delivery(&delivery["id"].text()).await;
        let attempt = told["attempts"].list()[0].clone();
        // What was sent is kept of what went wrong.
        if attempt["cause"] != Value::Null {
            assert_eq!(attempt["request"]["url"], format!("{origin}/[redacted]"), "{attempt}");
            refusals += 1;
        }
        seen.push(told.to_string());
    }
    assert_eq!(refusals, 1);
    seen.push(org.read("/v1/siem/connectors").await.to_string());
    seen.push(world.log());
    for text in &seen {
        assert!(!text.contains("canary"), "{text}");
    }
    let account = [("events", Account::delivered(2))];
    world.end_with(&[(&connector, &account)]).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_a_person_acts() {
    let (world, hook) = (World::start().await, webhook().await);
    let org = world.org("Acme").await;
    let connector = org.connect(&hook).await;
    hook.always(Endpoint::Hook, Behaviour::reply(Reply::empty(410)));
    org.post_event(event("anomaly", "high")).await;
    connector.until_health("events", "misconfigured").await;
    let health = connector.health("events").await;
    assert_eq!(
        (&health["next_probe_at"], &health["last_error"]["cause"]["code"]),
        (&Value::Null, &json!("webhook_gone"))
    );
    assert!(health["sentence"].text().contains("endpoint closed"), "{health}");
    assert!(health["sentence"].text().contains("not tried again by itself"), "{health}");
    assert_eq!(hook.counts().requests, 3);
    org.post_event(event("anomaly", "high")).await;
    hook.healthy();
    assert_eq!(connector.test(json!({})).await["delivered"], true);
    connector.arrived().await;
    assert_eq!(hook.counts().requests, 6, "three refusals, the test, and the two events");
    let account = [("events", Account::delivered(2))];
    world.end_with(&[(&connector, &account)]).await;
}

#[tokio::test]
async fn one_poison_event_of_a_batch_is_found() {
    let (world, hook) = (World::start().await, webhook_with(|options| options.shape = Shape::Array).await);
    let org = world.org("Acme").await;
    hook.always(Endpoint::Hook, Behaviour::fault(Fault::Poison("poison".to_owned())));
    let connector = org.connect_with(&hook, json!({ "config": { "format": "array" } })).await;
    let events: Vec<Value> = (0..8)
        .map(|n| with(event("anomaly", "high"), "summary", if n == 5 { "poison".to_owned() } else { format!("{n}") }))
        .collect();
    org.post_events(&events).await;
    connector.accounted(&[("delivered", 7), ("rejected", 1)]).await;
    let account = [("events", Account { rejected: 1, ..Account::delivered(7) })];
    world.end_with(&[(&connector, &account)]).await;
}

fn table() -> Vec<Row<Fault>> {
    use Class::{Held, Rejected, Retried};
    vec![
        Row::delivered(Behaviour::strict(), 204),
        Row::reply(Reply::empty(302).with_header("location", "http://127.0.0.1:9/login"), Held, "webhook_redirect"),
        Row::reply(Reply::json(400, &json!({ "error": "no" })), Rejected, "webhook_http_400"),
        Row::reply(Reply::empty(401), Held, "webhook_http_401"),
        Row::reply(Reply::empty(404), Held, "webhook_wrong_path"),
        Row::reply(Reply::empty(413), Rejected, "webhook_too_large"),
        Row::reply(Reply::empty(429).with_header("retry-after", "1"), Retried, "webhook_busy"),
        Row::reply(Reply::empty(503), Retried, "webhook_http_503"),
    ]
}

#[tokio::test]
async fn every_row_of_the_reply_table_does_what_it_says() {
    walk_all(table(), Endpoint::Hook, webhook).await;
}
