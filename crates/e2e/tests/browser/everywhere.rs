//! What holds for every page, walked along the table of routes: a page that somebody adds is held to it before they think of it.

use http::Method;
use toktra_siem_page::routes;
use toktra_siem_testkit::prelude::*;

use crate::company::Company;
use crate::looks::{look_everywhere, picture};

/// The most that a first page may weigh, everything that it loads included, in bytes on the wire.
const FIRST_PAGE: u64 = 100_000;
/// The most that may move while a page loads.
const SHIFT: f64 = 0.05;

/// Where a route of the table is looked at.
enum Sample {
    /// At these addresses, each with a name for its pictures.
    At(Vec<(&'static str, String)>),
    /// Not here, and why not.
    Not(&'static str),
}

/// What stands for a route of the page in this company.
fn sample(company: &Company, path: &str) -> Option<Sample> {
    let Company {
        prod,
        lake,
        europe,
        refused,
        off,
        events,
        delivered,
        rejected,
        failed,
        job,
        key,
        viewer,
        channel,
        ..
    } = company;
    let of = |connector: &Connector, below: &str| format!("/integrations/siem/{connector}{below}");
    let one = |name, address: String| Sample::At(vec![(name, address)]);
    Some(match path {
        "/" => Sample::Not("leads to another page"),
        "/assets/{file}" | "/integrations/siem/{id}/deliveries/export" | "/deliveries/export" => Sample::Not("a file"),
        "/login" | "/setup/{token}" | "/welcome/{token}" => {
            Sample::Not("for people who are not logged in: login.rs, first_run.rs")
        }
        "/integrations/siem/filter/preview" | "/integrations/siem/{id}/charts" | "/integrations/siem/part" => {
            Sample::Not("a part of a page")
        }
        _ if path.ends_with("/live") => Sample::Not("a part of its page that comes again and again"),
        "/integrations/siem" => one("connectors", path.to_owned()),
        "/integrations/siem/new" => Sample::At(vec![
            ("connector-new-splunk", format!("{path}?platform=splunk")),
            ("connector-new-datadog", format!("{path}?platform=datadog")),
            ("connector-new-elasticsearch", format!("{path}?platform=elasticsearch")),
        ]),
        "/integrations/siem/{id}" => Sample::At(vec![
            ("connector", of(prod, "")),
            ("connector-rejected", of(lake, "")),
            ("connector-streams", of(europe, "")),
            ("connector-refused", of(refused, "")),
            ("connector-off", of(off, "")),
        ]),
        "/integrations/siem/{id}/edit" => one("connector-edit", of(lake, "/edit")),
        "/integrations/siem/{id}/setup" => one("connector-setup", of(lake, "/setup")),
        "/integrations/siem/{id}/settings" => one("connector-settings", of(lake, "/settings")),
        "/integrations/siem/{id}/signing" => one("connector-signing", of(lake, "/signing")),
        "/integrations/siem/{id}/signing-secret/activate" => Sample::Not("asked during a rotation: connector.rs"),
        "/integrations/siem/bulk" => one("bulk", format!("{path}?active=false")),
        "/integrations/siem/{id}/resume" => one("resume", of(off, "/resume")),
        "/integrations/siem/{id}/delete" => one("delete", of(refused, "/delete")),
        "/integrations/siem/{id}/deliveries" => one("history", of(prod, "/deliveries")),
        "/integrations/siem/{id}/redeliver-failed" => one("redeliver-failed", of(lake, "/redeliver-failed")),
        "/integrations/siem/{id}/replay" => one("replay", of(prod, "/replay")),
        "/integrations/siem/{id}/discard" => one("discard", of(lake, "/discard")),
        "/integrations/siem/{id}/jobs" => one("connector-jobs", of(prod, "/jobs")),
        "/deliveries" => {
            Sample::At(vec![("deliveries", path.to_owned()), ("deliveries-none", format!("{path}?status=partial"))])
        }
        "/deliveries/{id}" => Sample::At(vec![
            ("delivery", format!("/deliveries/{delivered}")),
            ("delivery-rejected", format!("/deliveries/{rejected}")),
            ("delivery-failed", format!("/deliveries/{failed}")),
        ]),
        "/deliveries/{id}/attempts/{number}/request" => {
            one("request", format!("/deliveries/{failed}/attempts/1/request"))
        }
        "/jobs" => one("jobs", path.to_owned()),
        "/jobs/{id}" => one("job", format!("/jobs/{job}")),
        "/events" => one("events", path.to_owned()),
        "/events/{id}" => one("event", format!("/events/{}", events[1])),
        "/verify" => one("verify", path.to_owned()),
        "/shortcuts" => one("shortcuts-page", path.to_owned()),
        "/audit" => one("audit", path.to_owned()),
        "/account" => one("account", path.to_owned()),
        "/api-keys" => one("api-keys", path.to_owned()),
        "/api-keys/new" => one("api-key-new", path.to_owned()),
        "/api-keys/{id}/revoke" => one("api-key-revoke", format!("/api-keys/{key}/revoke")),
        "/notifications" => one("notifications", path.to_owned()),
        "/notifications/new" => one("notification-new", path.to_owned()),
        "/notifications/{id}" => one("notification", format!("/notifications/{channel}")),
        "/notifications/{id}/delete" => one("notification-delete", format!("/notifications/{channel}/delete")),
        "/integrations/siem/{id}/acknowledge" => one("acknowledge", of(refused, "/acknowledge")),
        "/users" => one("users", path.to_owned()),
        "/users/new" => one("user-new", path.to_owned()),
        "/users/{id}" => one("user", format!("/users/{viewer}")),
        "/users/{id}/delete" => one("user-delete", format!("/users/{viewer}/delete")),
        _ => return None,
    })
}

/// The pages of this company, with a name each.
fn pages(company: &Company) -> Vec<(&'static str, String)> {
    let mut pages = Vec::new();
    for route in routes::routes() {
        if route.method != Method::GET {
            continue;
        }
        match sample(company, route.path) {
            Some(Sample::At(some)) => pages.extend(some),
            Some(Sample::Not(why)) => assert!(!why.is_empty()),
            None => {
                panic!("`{}` is a new page: give it a sample, so that it is held to what all pages promise", route.path)
            }
        }
    }
    assert!(pages.len() > 20, "the table of routes has pages: {pages:?}");
    pages
}

/// What a page says when nothing of it is left out: its heading, and how much text there is.
async fn heading_and_text(page: &Page) -> (String, usize) {
    (page.text("h1").await, page.text("main").await.len())
}

#[tokio::test]
async fn every_page_looks_right_everywhere_and_stands_still() {
    let Some((mut company, page)) = Company::build().await else { return };
    company.a_day_later().await;
    company.busy_day().await;
    company.log_in(&page).await;
    let mut wrong = Vec::new();
    for (name, address) in pages(&company) {
        company.open(&page, &address).await;
        let moved = page.layout_shift().await;
        if moved >= SHIFT {
            wrong.push(format!("{address}: a layout shift of {moved}"));
        }
        wrong.extend(look_everywhere(&page, name).await.err());
        match name {
            "connectors" => picture(&page, name, (360, 740), Theme::Dark).await,
            "connector" => picture(&page, name, (1280, 800), Theme::Light).await,
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    company.end().await;
}

#[tokio::test]
async fn every_page_is_read_without_javascript() {
    let Some((company, page)) = Company::at_work().await else { return };
    let bare = company.tab().await;
    bare.without_javascript().await;
    company.log_in(&bare).await;
    let mut wrong = Vec::new();
    for (_, address) in pages(&company) {
        company.open(&bare, &address).await;
        company.open(&page, &address).await;
        let ((heading, length), (bare_heading, bare_length)) =
            (heading_and_text(&page).await, heading_and_text(&bare).await);
        // Times and a button more or less are no matter; a part of the page that only a script would bring is.
        if bare_heading != heading || bare_length * 10 < length * 9 {
            wrong.push(format!(
                "{address}: {bare_heading:?} with {bare_length} bytes of text, but with JavaScript {heading:?} with {length}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    company.end().await;
}

#[tokio::test]
async fn the_first_page_is_light() {
    let Some((company, page)) = Company::at_work().await else { return };
    for address in ["/integrations/siem".to_owned(), format!("/integrations/siem/{}", company.prod)] {
        company.open(&page, &address).await;
        let bytes = page.transferred().await;
        assert!((1..FIRST_PAGE).contains(&bytes), "{address} takes {bytes} bytes");
    }
    company.end().await;
}
