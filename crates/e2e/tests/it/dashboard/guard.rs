//! Every route of the page against other sites and ended sessions, and what every answer carries. Whose things a page
//! shows, and what is shown to whom, is in `isolation`.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use toktra_siem_page::routes::{Access, Route, routes};

use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::tab::{FORM, encoded};

/// A path that the route matches. Nothing needs to be there: the guard answers before the handler.
fn path(route: &Route) -> String {
    let id = "01890000-0000-7000-8000-000000000000";
    let mut path = route.path.to_owned();
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, id);
    }
    path
}

fn changes() -> impl Iterator<Item = Route> {
    routes().into_iter().filter(|route| route.method == Method::POST)
}

fn refused_as_foreign(answer: &Answer, route: &Route, how: &str) {
    assert_eq!(answer.status, 403, "{how} at {}: {}", route.path, answer.text());
    assert!(answer.text().contains("This form was not accepted"), "{how} at {}", route.path);
}

#[tokio::test]
async fn whoever_is_not_logged_in_is_led_to_the_login() {
    let world = World::here().await;
    let tab = Tab::new(&world);
    tab.get("/login").await.expect_status(200);
    for route in routes().into_iter().filter(|route| route.access != Access::Open) {
        let path = path(&route);
        if route.method == Method::GET {
            let answer = tab.get(&path).await.expect_status(303);
            let next = encoded([("next", &*path)]);
            assert_eq!(answer.header("location"), Some(&*format!("/login?{next}")));
            let part = tab.part(&path).await.expect_status(401);
            assert_eq!(part.header("hx-retarget"), Some("#notices"), "{path}");
        } else {
            let answer = tab.post(&path, &[]).await.expect_status(401);
            assert!(answer.text().contains("Your session has ended"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_viewer_is_kept_from_what_only_admins_may_see() {
    let (_world, tab) = World::here_as_viewer().await;
    for route in routes().into_iter().filter(|route| route.access == Access::Admin) {
        let answer =
            if route.method == Method::GET { tab.get(&path(&route)).await } else { tab.post(&path(&route), &[]).await };
        assert_eq!(answer.status, 403, "{}", route.path);
        assert!(answer.text().contains("for admins of your org"), "{}", route.path);
    }
}

#[tokio::test]
async fn no_other_site_changes_anything() {
    let (_world, tab) = World::here_as_admin().await;
    let csrf = tab.cookie("csrf").unwrap();
    let own = tab.origin().to_owned();
    let good = encoded([("csrf", &*csrf)]);
    let wrong = encoded([("csrf", &*"0".repeat(64))]);
    let mut routes = 0;
    for route in changes() {
        routes += 1;
        let path = path(&route);
        let send = async |headers: &[(&str, &str)], body: &str| {
            tab.send(Method::POST, &path, headers, Bytes::copy_from_slice(body.as_bytes())).await
        };
        let form = ("content-type", FORM);
        refused_as_foreign(&send(&[form, ("origin", &own)], "").await, &route, "no token");
        refused_as_foreign(&send(&[form, ("origin", &own)], &wrong).await, &route, "a wrong token");
        refused_as_foreign(&send(&[form, ("origin", "https://evil.example")], &good).await, &route, "a foreign origin");
        refused_as_foreign(&send(&[form, ("origin", "null")], &good).await, &route, "an opaque origin");
        refused_as_foreign(&send(&[form, ("sec-fetch-site", "cross-site")], &good).await, &route, "another site");
        for media in ["text/plain", "multipart/form-data; boundary=x", "application/json", ""] {
            let answer = send(&[("content-type", media), ("origin", &own)], &good).await;
            assert_eq!(answer.status, 415, "{media} at {}", route.path);
        }
    }
    assert!(routes >= 3, "the table has changes");
    assert_eq!(tab.get("/integrations/siem").await.status, 200, "nothing of this logged anybody out");
}

#[tokio::test]
async fn a_form_without_the_cookie_says_what_the_browser_needs() {
    let world = World::here().await;
    let tab = Tab::new(&world);
    let body = encoded([("csrf", "x"), ("email", "a@b.example"), ("password", "x")]);
    let headers = [("content-type", FORM), ("origin", tab.origin())];
    let answer = tab.send(Method::POST, "/login", &headers, body.into()).await.expect_status(403);
    assert!(answer.text().contains("over HTTPS only"), "{}", answer.text());
}

#[tokio::test]
async fn every_answer_keeps_the_browser_to_what_was_rendered() {
    let (_world, tab) = World::here_as_admin().await;
    for route in routes().into_iter().filter(|route| route.method == Method::GET && !route.path.ends_with("/live")) {
        let answer = tab.get(&path(&route)).await;
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{} has no policy", route.path));
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{}", route.path);
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{}", route.path);
        if route.access != Access::Open {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", route.path);
        }
        let html = answer.text();
        for inline in ["<style", "style=\"", " onclick", " onload", " onerror", "javascript:", "hx-on"] {
            assert!(!html.contains(inline), "{} has {inline}", route.path);
        }
        assert!(!html.replace("<script src=\"/assets/", "").contains("<script"), "{} has an inline script", route.path);
    }
}

#[tokio::test]
async fn a_session_ends_by_itself_and_by_logging_out() {
    let (world, tab) = World::here_as_admin().await;
    let token = tab.cookie("session").unwrap();
    tab.post("/logout", &[]).await.expect_status(303);
    assert_eq!(tab.cookie("session"), None);
    tab.set_cookie("session", &token);
    tab.get("/integrations/siem").await.expect_status(303);

    tab.log_in("ada@company.example").await;
    assert_ne!(tab.cookie("session").unwrap(), token, "a login makes a new session");
    world.pass(Duration::from_hours(13));
    let answer = tab.get("/integrations/siem").await.expect_status(303);
    assert_eq!(answer.header("location"), Some("/login?next=%2Fintegrations%2Fsiem"));
}

#[tokio::test]
async fn behind_a_proxy_cookies_belong_to_the_host_and_forms_to_the_public_url() {
    let options = Options { public_url: Some("https://siem.company.example"), ..Options::default() };
    let world = World::here_with(options).await;
    let tab = Tab::new(&world);
    let answer = tab.get("/login").await.expect_status(200);
    let line = answer.header("set-cookie").unwrap();
    assert!(line.starts_with("__Host-toktra-csrf=") && line.ends_with("; Secure"), "{line}");
    let csrf = line.split(['=', ';']).nth(1).unwrap().to_owned();
    let body = encoded([("csrf", &*csrf), ("email", "a@b.example"), ("password", "wrong password")]);
    let post = async |origin: &str| {
        let headers = [("content-type", FORM), ("origin", origin)];
        tab.send(Method::POST, "/login", &headers, body.clone().into()).await.status
    };
    assert_eq!(post("https://siem.company.example").await, 401, "the form is taken, the password is not");
    assert_eq!(post(tab.origin()).await, 403);
}

#[tokio::test]
async fn assets_may_be_kept_for_ever_and_come_compressed() {
    let world = World::here().await;
    let tab = Tab::new(&world);
    let html = tab.get("/login").await.expect_status(200).text();
    let assets: Vec<&str> = html.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 5, "{assets:?}");
    let mut zipped = 0;
    for asset in assets {
        let plain = tab.get(asset).await.expect_status(200);
        assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let answer =
            tab.send(Method::GET, asset, &[("accept-encoding", "gzip")], Bytes::new()).await.expect_status(200);
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert!(answer.body.len() < plain.body.len(), "{asset}");
        zipped += answer.body.len();
    }
    assert!(zipped < 40 * 1024, "the first page has to stay small: {zipped} bytes of assets");
    tab.get("/assets/page-000000000000.css").await.expect_status(404);
}

#[tokio::test]
async fn an_error_is_a_page_or_where_a_part_was_asked_for_a_notice() {
    let (_world, tab) = World::here_as_viewer().await;
    let missing = tab.get("/assets/missing").await.expect_status(404);
    insta::assert_snapshot!("missing", toktra_siem_testkit::tab::content(&missing));
    let refused = tab.post_part("/login", &[("email", "vic@company.example")]).await.expect_status(401);
    insta::assert_snapshot!("login_refused", toktra_siem_testkit::tab::content(&refused));
}
