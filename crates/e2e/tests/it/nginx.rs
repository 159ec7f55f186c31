//! Behind a real nginx, with the very block of docs/operation.md: over HTTP/1.1 and HTTP/2 nothing is held back, cut short or
//! taken for somebody else's. Clients are curl, since it speaks both.

mod bench;
mod streams;

use serde_json::{Value, json};
use toktra_siem_testkit::prelude::*;

use self::bench::{Front, VERSIONS};

#[tokio::test]
async fn people_log_in_and_their_forms_are_taken() {
    let Some(front) = Front::up().await else { return };
    for version in VERSIONS {
        let ada = front.curl(version);
        let door = ada.ask("/login", &[]).await;
        assert_eq!((door.status, door.header("content-encoding")), (200, None));
        for name in ["__Host-toktra-session", "__Host-toktra-csrf"] {
            assert_eq!(ada.cookie(name).is_some(), name.ends_with("csrf"), "{name}");
        }
        ada.log_in().await;
        let list = ada.ask("/integrations/siem", &["--compressed"]).await;
        assert_eq!((list.status, list.header("content-encoding")), (200, Some("gzip")), "nginx compresses it");
        assert!(list.text().contains("</html>"), "{}", list.text());
        let head = ada.ask("/integrations/siem", &["--head"]).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        // Another site's form has the cookies as well.
        let foreign = ada.form_from("https://evil.example", "/appearance", &[("theme", "dark")], &[]).await;
        assert_eq!(foreign.status, 403, "{}", foreign.text());
        let out = ada.form("/logout", &[], &[]).await;
        assert_eq!(out.status, 303, "{}", out.text());
        assert!(out.header("location").is_some_and(|to| to.starts_with('/')), "{:?}", out.head);
        assert_eq!(ada.ask("/integrations/siem", &[]).await.status, 303, "nobody is logged in any more");
    }
    front.end().await;
}

#[tokio::test]
async fn bodies_pass_as_far_as_the_api_takes_them_and_it_says_itself_what_is_too_large() {
    const MOST: usize = 4 * 1024 * 1024;
    let Some(front) = Front::up().await else { return };
    let event = event("anomaly", "low").to_string();
    let padded = |length: usize| event.clone() + &" ".repeat(length - event.len());
    for version in VERSIONS {
        let client = front.curl(version).with_key();
        let post = async |body: &str, more: &[&str]| client.send("/v1/events", body, more).await;
        let taken = post(&padded(MOST), &[]).await;
        assert_eq!((taken.status, &taken.json()["accepted"]), (202, &json!(1)));
        let chunked = post(&padded(MOST), &["--header", "transfer-encoding: chunked"]).await;
        assert_eq!(chunked.status, 202, "of a length that nobody told before");
        let refused = post(&padded(MOST + 1), &[]).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (413, &json!("bad_request")));
    }
    front.end().await;
}

#[tokio::test]
async fn what_is_read_comes_whole_and_a_tag_that_nginx_made_weak_still_names_its_revision() {
    let Some(front) = Front::up().await else { return };
    let splunk = splunk().await;
    let connector = front.world.connect(&splunk).await;
    front.world.post_some(40).await;
    connector.accounted(&[("delivered", 40)]).await;
    for version in VERSIONS {
        let client = front.curl(version).with_key();
        let path = connector.path("");
        for (more, weak) in [(&[][..], false), (&["--compressed"], true)] {
            let shown = client.ask(&path, more).await;
            let tag = shown.header("etag").unwrap().to_owned();
            assert_eq!(tag.starts_with("W/"), weak, "{tag}");
            let change = ["--request", "PATCH", "--header", &format!("if-match: {tag}")];
            let name = format!("{version:?} {weak}");
            let changed = client.send(&path, &json!({ "name": name }).to_string(), &change).await;
            assert_eq!((changed.status, &changed.json()["name"]), (200, &json!(name)));
            let stale = client.send(&path, &json!({ "name": "x" }).to_string(), &change).await;
            assert_eq!(stale.status, 412, "{}", stale.text());
        }
        let history = connector.path("/deliveries");
        let lines = front.world.list(&history).await.len();
        for more in [&[][..], &["--compressed"]] {
            let export = client.ask(&history, &[more, &["--header", "accept: application/x-ndjson"]].concat()).await;
            assert_eq!((export.status, export.header("content-type")), (200, Some("application/x-ndjson")));
            let rows: Vec<Value> = export.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(rows.len(), lines);
        }
        let ada = front.curl(version);
        ada.log_in().await;
        let file = format!("/integrations/siem/{}/deliveries/export?format=csv", connector.id);
        let export = ada.ask(&file, &[]).await;
        assert_eq!(export.header("content-disposition"), Some("attachment; filename=\"deliveries.csv\""));
        assert_eq!(export.text().trim_end().lines().count(), lines + 1, "{}", export.text());
    }
    front.end().await;
}

#[tokio::test]
async fn what_needs_no_credentials_is_for_the_own_network_only() {
    let Some(front) = Front::up().await else { return };
    for version in VERSIONS {
        let inside = front.curl(version).from(bench::INSIDE);
        let metrics = inside.ask("/metrics", &[]).await;
        assert_eq!(metrics.status, 200);
        assert!(metrics.text().contains("toktra_siem_connections "), "{}", metrics.text());
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert_eq!(inside.ask(path, &["--head"]).await.status, 200, "{path}");
            assert_eq!(front.curl(version).ask(path, &[]).await.status, 403, "{path}");
        }
    }
    front.end().await;
}

#[tokio::test]
async fn connections_to_the_server_are_kept_and_one_that_has_ended_costs_no_answer() {
    let Some(front) = Front::up().await else { return };
    for version in VERSIONS {
        let client = front.curl(version).with_key();
        let before = front.relay.opened();
        for _ in 0..5 {
            assert_eq!(client.ask("/v1/siem/connectors", &[]).await.status, 200);
        }
        assert!(front.relay.opened() <= before + 1, "{} after {before}", front.relay.opened());
        // What is posted may not be sent twice: nginx has to know beforehand.
        front.relay.cut();
        let before = front.relay.opened();
        let posted = client.send("/v1/events", &event("anomaly", "low").to_string(), &[]).await;
        assert_eq!((posted.status, front.relay.opened()), (202, before + 1), "{}", posted.text());
    }
    front.end().await;
}

#[tokio::test]
async fn who_guesses_passwords_is_the_client_and_not_the_proxy() {
    let Some(front) = Front::up().await else { return };
    let login = |password: &str| json!({ "email": ADMIN, "password": password }).to_string();
    for (version, [guesser, other]) in
        VERSIONS.into_iter().zip([["127.0.1.1", "127.0.1.2"], ["127.0.2.1", "127.0.2.2"]])
    {
        let guesser = front.curl(version).from(guesser);
        let statuses = guesser.send_often("/v1/sessions", &login("not the right password"), bench::GUESSES).await;
        assert_eq!(statuses, vec![401; bench::GUESSES]);
        for more in [&[][..], &["--header", "x-forwarded-for: 127.0.9.9"]] {
            let refused = guesser.send("/v1/sessions", &login(PASSWORD), more).await;
            assert_eq!(refused.status, 429, "whatever it says of itself: {}", refused.text());
        }
        let elsewhere = front.curl(version).from(other).send("/v1/sessions", &login(PASSWORD), &[]).await;
        assert_eq!(elsewhere.status, 201, "{}", elsewhere.text());
    }
    front.end().await;
}
