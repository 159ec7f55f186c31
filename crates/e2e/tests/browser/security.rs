//! Hostile text, wherever somebody else's text is shown, and hostile pages: nothing of it runs, nothing of it becomes a part of the page, and
//! nothing is changed by it.

use http::Method;
use toktra_siem_fake::datadog::Endpoint as DatadogEndpoint;
use toktra_siem_fake::elasticsearch::{Endpoint as ElasticsearchEndpoint, Fault, ItemFault, Items};
use toktra_siem_fake::splunk::Endpoint as SplunkEndpoint;
use toktra_siem_page::routes;
use toktra_siem_testkit::prelude::*;

/// Texts that a careless page would make elements, attributes, scripts, requests or values of. Each leaves a trace that [`traces`] looks for.
const HOSTILE: [&str; 8] = [
    r#""><script>window.pwned=1</script>"#,
    r#"'" data-pwned='1' data-pwned="1" x="#,
    r#""><img src=/pwned data-pwned onerror=window.pwned=1>"#,
    "</script></style></textarea></title><svg data-pwned onload=window.pwned=1>",
    "<div data-pwned hx-get=/pwned hx-trigger=load hx-on:click=x>",
    "<b data-pwned data-theme-switch data-open=sheet data-copy=x>",
    "javascript:window.pwned=1",
    "{{7*7}}${7*7}<%=7*7%>",
];

/// Goes through the page for what [`HOSTILE`] would have left.
const TRACES: &str = "
    const found = [];
    if (window.pwned !== undefined) found.push('a script ran');
    for (const e of document.querySelectorAll('[data-pwned], [hx-get=\"/pwned\"], [onerror], [onload], [style]'))
        found.push('an element: ' + e.outerHTML.slice(0, 200));
    for (const e of document.querySelectorAll('[href], [src], [action], [formaction], [hx-get], [hx-post]'))
        for (const a of e.attributes) if (/^\\s*javascript:/i.test(a.value) && a.name !== 'title' && a.name !== 'value' && a.name !== 'data-copy')
            found.push('an address: ' + e.outerHTML.slice(0, 200));
    for (const e of performance.getEntriesByType('resource'))
        if (new URL(e.name).pathname === '/pwned') found.push('a request: ' + e.name);
    return found;";

/// Somebody who is called something hostile.
const MALLORY: &str = "mallory@company.example";
/// What the console may say of a page: that it was answered with an error.
const ANSWERED: [&str; 1] = ["the server responded with a status of"];

/// One text with everything in it, as long as the shortest field of an event takes.
fn everything() -> String {
    let all = [0, 2, 4, 6].map(|place| HOSTILE[place]).concat();
    assert!(all.chars().count() <= 256, "{}", all.len());
    all
}

async fn traces(page: &Page) -> Vec<String> {
    let found = page.eval(TRACES).await;
    found.list().iter().map(Value::text).collect()
}

/// Fails where anything of a hostile text came to life on the page that is open.
async fn assert_harmless(page: &Page) {
    let found = traces(page).await;
    assert!(found.is_empty(), "{}:\n{}", page.url().await, found.join("\n"));
    page.assert_quiet_except(&ANSWERED).await;
}

/// [`everything`], as it stands within a string of JSON: what a SIEM answers is shown as it came.
fn everything_in_json() -> String {
    json!(everything()).to_string().trim_matches('"').to_owned()
}

/// Whether the page shows this text to whoever reads it: as text, in a field, or on hover.
async fn shows(page: &Page, hostile: &str) -> bool {
    let script = format!(
        "const text = {};
         return document.documentElement.textContent.includes(text)
             || Array.from(document.querySelectorAll('input, textarea, [title]'), e => e.value ?? e.title).some(v => v.includes(text))
             || Array.from(document.querySelectorAll('[title]'), e => e.title).some(v => v.includes(text));",
        json!(hostile)
    );
    page.eval(&script).await == true
}

/// An org in which everybody and everything is called something hostile.
struct Hostile {
    world: World,
    /// Each with the fake that it leads to.
    connectors: [Connector; 3],
    event: String,
    user: String,
    key: String,
    _siems: Siems,
}

impl Hostile {
    async fn start() -> Option<(Self, Page)> {
        let (world, page) = World::office().await?;
        let siems = Siems::start().await;
        Self::set_up(&siems);
        let named = |name: &str| json!({ "name": name });
        world.change(&format!("/v1/orgs/{}", world.id), &named(HOSTILE[2])).await;
        let connectors = [
            world.connect_with(&siems.splunk, named(HOSTILE[0])).await,
            world.connect_with(&siems.datadog, named(HOSTILE[1])).await,
            world.connect_with(&siems.elasticsearch, named(HOSTILE[3])).await,
        ];
        let user = json!({ "email": MALLORY, "name": HOSTILE[4], "role": "admin", "password": PASSWORD });
        let user = world.make("/v1/users", &user).await.id();
        for name in &HOSTILE[5..] {
            world.connect_with(&siems.splunk, json!({ "name": name, "active": false })).await;
        }
        let (client, key) = world.key_named(HOSTILE[5], &world.id, &["admin"]).await;
        let event = world.post_event(event()).await;
        for (connector, stream) in connectors.iter().zip(["events", "logs", "events"]) {
            connector.until_outcome(stream, &event, "rejected").await;
        }
        // Whoever asks for it is named beside it.
        let job = client.begin(&connectors[0].path("/redeliver-failed"), &json!({})).await;
        world.until_job(&job.id(), "done").await;
        Some((Self { world, connectors, event, user, key, _siems: siems }, page))
    }

    /// Whatever is sent is refused, in words of each platform's own shape, and in headers.
    fn set_up(siems: &Siems) {
        let Siems { splunk, datadog, elasticsearch } = siems;
        let hostile = everything();
        let with_headers = |reply: Reply| reply.with_header("x-splunk", &hostile).with_header("location", HOSTILE[6]);
        let refusal = with_headers(Reply::json(400, &json!({ "text": hostile, "code": 6 })));
        splunk.always(SplunkEndpoint::Event, Behaviour::reply(refusal));
        let errors = json!({ "errors": [{ "status": "400", "title": hostile, "detail": hostile }] });
        datadog.always(DatadogEndpoint::Logs, Behaviour::reply(with_headers(Reply::json(400, &errors))));
        let page = format!("<!doctype html><title>{hostile}</title>{hostile}");
        let page = with_headers(Reply::text(403, "text/html", page));
        datadog.always(DatadogEndpoint::Series, Behaviour::reply(page));
        let fault = ItemFault {
            items: Items::At(vec![0]),
            status: 400,
            kind: "mapper_parsing_exception".to_owned(),
            reason: hostile.clone(),
        };
        elasticsearch.always(ElasticsearchEndpoint::Bulk, Behaviour::fault(Fault::Items(vec![fault])));
    }

    /// Opens an address and looks for traces.
    async fn visit(&self, page: &Page, address: &str) {
        self.world.open(page, address).await;
        assert_harmless(page).await;
    }

    /// As [`Self::visit`], where these texts are shown.
    async fn visit_and_read(&self, page: &Page, address: &str, hostile: &[&str]) {
        self.visit(page, address).await;
        for hostile in hostile {
            assert!(shows(page, hostile).await, "{address} does not show {hostile}: {}", page.text("main").await);
        }
    }
}

/// An event with hostile text in every field that takes text, names of details and tags among them.
fn event() -> Value {
    let (all, more) = (everything(), HOSTILE[3]);
    json!({
        "event_type": "policy_violation", "severity": "critical", "user_id": all, "user_email": all, "provider": all, "model": more,
        "policy_id": all, "summary": HOSTILE.concat(), "details": { all.as_str(): all, "nested": { more: [all, more, HOSTILE[6]] } },
        "tags": { more: all, HOSTILE[1]: HOSTILE[1] },
    })
}

#[tokio::test]
async fn hostile_text_stays_text_on_every_page() {
    let Some((hostile, page)) = Hostile::start().await else { return };
    hostile.world.log_in_as(&page, MALLORY).await;
    assert_harmless(&page).await;
    let all = everything();
    let Hostile { world, connectors, event, user, key, .. } = &hostile;

    hostile.visit_and_read(&page, "/integrations/siem", &HOSTILE).await;
    hostile.visit_and_read(&page, "/events", &[&HOSTILE.concat(), &all]).await;
    hostile
        .visit_and_read(&page, &format!("/events/{event}"), &[&all, HOSTILE[3], &HOSTILE.concat(), HOSTILE[1]])
        .await;
    hostile.visit_and_read(&page, "/deliveries", &HOSTILE[..2]).await;
    hostile.visit_and_read(&page, "/jobs", &HOSTILE[..1]).await;
    hostile.visit_and_read(&page, "/users", &[HOSTILE[4]]).await;
    hostile.visit_and_read(&page, &format!("/users/{user}"), &[HOSTILE[4]]).await;
    hostile.visit_and_read(&page, &format!("/users/{user}/delete"), &[HOSTILE[4]]).await;
    hostile.visit_and_read(&page, "/api-keys", &[HOSTILE[5]]).await;
    hostile.visit_and_read(&page, &format!("/api-keys/{key}/revoke"), &[HOSTILE[5]]).await;
    hostile.visit_and_read(&page, "/account", &[HOSTILE[4], HOSTILE[2]]).await;
    hostile.visit_and_read(&page, "/audit", &[HOSTILE[0], HOSTILE[5]]).await;
    for (connector, name) in connectors.iter().zip([HOSTILE[0], HOSTILE[1], HOSTILE[3]]) {
        let at = format!("/integrations/siem/{connector}");
        for below in ["", "/edit", "/delete", "/deliveries", "/redeliver-failed", "/replay", "/discard", "/jobs"] {
            hostile.visit_and_read(&page, &format!("{at}{below}"), &[name]).await;
        }
        hostile.visit(&page, &format!("{at}/charts")).await;
        let deliveries = world.read(&format!("/v1/siem/connectors/{connector}/deliveries?limit=20")).await;
        for delivery in deliveries["items"].list() {
            hostile.visit(&page, &format!("/deliveries/{}", delivery.id())).await;
            let told = shows(&page, &all).await || shows(&page, &everything_in_json()).await;
            assert!(told && shows(&page, name).await, "{}", page.text("main").await);
        }
    }
    for job in world.list("/v1/siem/jobs").await {
        hostile.visit_and_read(&page, &format!("/jobs/{}", job.id()), &[HOSTILE[5]]).await;
    }
    hostile.world.end().await;
}

#[tokio::test]
async fn what_a_siem_answers_a_test_stays_text() {
    let Some((hostile, page)) = Hostile::start().await else { return };
    hostile.world.log_in(&page).await;
    for connector in &hostile.connectors {
        hostile.visit(&page, &format!("/integrations/siem/{connector}")).await;
        page.click("form[action$='/test'] button").await;
        page.wait_for_text("#test-run", "does not have the event").await;
        let told = shows(&page, &everything()).await || shows(&page, &everything_in_json()).await;
        assert!(told, "{}", page.text("#test-run").await);
        assert_harmless(&page).await;
    }
    hostile.world.end().await;
}

#[tokio::test]
async fn hostile_addresses_are_answered_with_text() {
    let Some((world, page)) = World::at_work().await else { return };
    let stranger = world.tab().await;
    for hostile in HOSTILE {
        let hostile: String =
            url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect::<String>().replace('+', "%20");
        world.open(&stranger, &format!("/login?next={hostile}")).await;
        assert_harmless(&stranger).await;
        let queries = [
            "/events?type=",
            "/deliveries?event_id=",
            "/deliveries?cursor=",
            "/audit?actor=",
            "/integrations/siem/new?platform=",
        ];
        let paths = ["/", "/events/", "/deliveries/", "/jobs/", "/integrations/siem/", "/users/"];
        for start in queries.iter().chain(&paths) {
            world.open(&page, &format!("{start}{hostile}")).await;
            assert_harmless(&page).await;
        }
    }
    world.end().await;
}

#[tokio::test]
async fn the_policy_stops_what_would_be_injected_all_the_same() {
    let Some((world, page)) = World::at_work().await else { return };
    let inject = "
        const inject = html => document.body.insertAdjacentElement('beforeend', html);
        const script = document.createElement('script'); script.textContent = 'window.pwned = 1'; inject(script);
        const image = document.createElement('img'); image.setAttribute('onerror', 'window.pwned = 1'); image.src = 'data:,'; inject(image);
        const styled = document.createElement('p'); styled.setAttribute('style', 'position: fixed'); inject(styled);
        const link = document.createElement('a'); link.href = 'javascript:window.pwned=1'; inject(link); link.click();
        return new Promise(done => setTimeout(() => done([String(window.pwned), getComputedStyle(styled).position]), 0));";
    assert_eq!(page.eval(inject).await, json!(["undefined", "static"]));
    let complaints = page.complaints().await;
    assert!(complaints.iter().filter(|told| told.contains("Content Security Policy")).count() >= 3, "{complaints:?}");
    world.end().await;
}

#[tokio::test]
async fn a_form_on_another_page_changes_nothing() {
    let Some((world, page)) = World::office().await else { return };
    let evil = splunk().await;
    let connector = world.connect_with(&evil, json!({ "name": "Prod Splunk" })).await;
    world.log_in(&page).await;
    let posts: Vec<&str> =
        routes::routes().iter().filter(|route| route.method == Method::POST).map(|route| route.path).collect();
    assert!(posts.len() > 10, "{posts:?}");
    let action = |path: &str| world.at(&path.replace("{id}", &connector.id).replace("{token}", CREDENTIAL));
    let form = |path: &&str| {
        format!(
            "<form method=post action=\"{}\"><input name=csrf value={}><input name=email value={ADMIN}><input name=password value=\"{PASSWORD}\"><button>Win</button></form>",
            action(path),
            "0".repeat(64)
        )
    };
    let site = format!("<!doctype html><title>Win a car</title>{}", posts.iter().map(form).collect::<String>());
    evil.always(SplunkEndpoint::Other, Behaviour::reply(Reply::text(200, "text/html", site)));

    let before = world.read("/v1/audit").await;
    let lure = format!("{}/win", evil.base_url());
    for (place, path) in posts.iter().enumerate() {
        page.goto(&lure).await;
        // Another port of the same host: as near to the page as another site can come, its cookies are sent along.
        page.click(&format!("form:nth-of-type({}) button", place + 1)).await;
        page.wait_for_url(world.base()).await;
        page.wait_for("h1").await;
        let status = page.eval("return performance.getEntriesByType('navigation')[0].responseStatus;").await;
        assert_eq!(status, 403, "{path}: {}", page.text("body").await);
    }
    assert_eq!(world.read("/v1/audit").await, before, "nothing was done");
    world.open(&page, "/integrations/siem").await;
    page.wait_for_text("main", "Prod Splunk").await;
    world.end().await;
}
