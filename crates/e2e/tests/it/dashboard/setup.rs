//! The list, the form for a connector, and the test run: every field of every platform goes to the API and comes back, what is refused loses
//! nothing that was typed, and no secret stands in any page but the one that makes it.

use toktra_siem_app::TestFailure;
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_store::Change;
use toktra_siem_testkit::prelude::*;

const NEW: &str = "/integrations/siem/new";
const LIST: &str = "/integrations/siem";
const TOKEN: &str = "canary-token-00000000";
/// A certificate, as everybody makes one.
pub(super) const PEM: &str = include_str!("../../../../../fixtures/certificates/self-signed.pem");

/// What the form sends for a Splunk connector: the fields that matter.
fn splunk<'a>(name: &'a str, url: &'a str, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("platform", "splunk"), ("name", name), ("splunk_hec_url", url), ("splunk_hec_token", token)]
}

/// A connector as the API tells of it.
pub(super) async fn only_connector(world: &Here) -> Value {
    let list = world.read("/v1/siem/connectors").await;
    assert_eq!(list["total_count"], 1, "{list}");
    list["items"][0].clone()
}

fn place(connector: &Value) -> String {
    format!("{LIST}/{}", connector["id"].as_str().unwrap())
}

/// The fields that a page's form would send, if nothing were changed: a browser without script, in short.
pub(super) fn fields(answer: &Answer) -> Vec<(String, String)> {
    let html = answer.text();
    let form = html.split_once("id=\"connector-form\"").unwrap().1.split_once("</form>").unwrap().0;
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(unescaped(rest.split_once('"')?.0))
    };
    let mut found = Vec::new();
    let mut chosen = String::new();
    for piece in form.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        let (word, name) = (tag.split([' ', '\n']).next().unwrap(), attribute(tag, "name"));
        match (word, name) {
            ("input", Some(name)) => {
                let boxed = tag.contains("type=\"checkbox\"") || tag.contains("type=\"radio\"");
                if !boxed || tag.contains(" checked") {
                    found.push((name, attribute(tag, "value").unwrap_or_default()));
                }
            }
            ("textarea", Some(name)) => found.push((name, unescaped(text))),
            ("select", Some(name)) => chosen = name,
            ("option", _) if tag.contains(" selected") => {
                found.push((chosen.clone(), attribute(tag, "value").unwrap()));
            }
            _ => {}
        }
    }
    found.retain(|(name, _)| name != "csrf");
    found
}

fn unescaped(text: &str) -> String {
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}

fn value<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

pub(super) fn borrowed(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The list, without the commands below it, which have the address of this run.
fn list(page: &Answer) -> String {
    content(page).split_once("<section id=\"first-event\"").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_first_visit_teaches_and_a_viewer_is_offered_nothing_to_press() {
    let (world, tab) = World::here_as_admin().await;
    insta::assert_snapshot!("list_empty", list(&tab.get(LIST).await.expect_status(200)));
    let viewer = Tab::of_viewer(&world).await;
    let page = content(&viewer.get(LIST).await.expect_status(200));
    assert!(
        page.contains("An admin of your organization can add one") && !page.contains("/integrations/siem/new"),
        "{page}"
    );
    world.idle_connector(&world, "Prod").await;
    let page = content(&viewer.get(LIST).await.expect_status(200));
    assert!(
        page.contains("Prod") && !page.contains("<button class=\"switch\"") && !page.contains("Add connector"),
        "{page}"
    );
    viewer.get(NEW).await.expect_status(403);
}

#[tokio::test]
async fn the_list_has_a_row_each_and_no_switch_for_what_the_environment_describes() {
    let (world, tab) = World::here_as_admin().await;
    let connector = world.idle_connector(&world, "b <i>Prod</i>").await;
    let mut record =
        world.store.connector(DEFAULT_ORG, connector["id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    (record.connector.id, record.connector.name, record.connector.active) = (DESCRIBED, "Environment".into(), true);
    record.connector.managed_by = ManagedBy::Environment;
    world.store.create_connector(DEFAULT_ORG, Change { value: record, audit: audit() }).await.unwrap();
    let page = list(&tab.get(LIST).await.expect_status(200));
    insta::assert_snapshot!("list", page.replace(connector["id"].as_str().unwrap(), "UUID"));
    assert_eq!(page.matches("<button class=\"switch\"").count(), 1);
    assert!(!page.contains("<i>Prod</i>"));
    let refused = tab.get(&format!("{LIST}/{DESCRIBED}/edit")).await.expect_status(303);
    assert_eq!(refused.header("location"), Some(&*format!("{LIST}/{DESCRIBED}")));
}

#[tokio::test]
async fn a_connector_without_a_signing_secret_says_so_in_the_list_and_on_its_page() {
    let (world, tab) = World::here_as_admin().await;
    let connector = world.idle_connector(&world, "Prod").await;
    let id = connector["id"].as_str().unwrap();
    for address in [LIST.to_owned(), format!("{LIST}/{id}")] {
        assert!(!tab.get(&address).await.expect_status(200).text().contains("not signed"), "{address}");
    }
    let mut record = world.store.connector(DEFAULT_ORG, id.parse().unwrap()).await.unwrap();
    (record.connector.id, record.connector.name) = (DESCRIBED, "Environment".into());
    record.connector.managed_by = ManagedBy::Environment;
    record.secrets.clear();
    world.store.create_connector(DEFAULT_ORG, Change { value: record, audit: audit() }).await.unwrap();
    let list = tab.get(LIST).await.expect_status(200).text();
    assert_eq!(list.matches("not signed").count(), 1, "{list}");
    let page = tab.get(&format!("{LIST}/{DESCRIBED}")).await.expect_status(200).text();
    assert!(page.contains("Requests of this connector are not signed"), "{page}");
    assert!(page.contains("SIEM_SIGNING_SECRET") && !page.contains("Every request is signed"), "{page}");
}

#[tokio::test]
async fn the_filter_offers_every_type_but_test_events_and_keeps_what_is_stored() {
    let (world, tab) = World::here_as_admin().await;
    let offered = |page: &str, name: &str| page.contains(&format!("name=\"event_types\" value=\"{name}\""));
    let page = tab.get(NEW).await.expect_status(200).text();
    for name in ["policy_violation", "anomaly", "budget_alert", "lockout", "heartbeat", "connector_alert"] {
        assert!(offered(&page, name), "{name}");
    }
    assert!(!offered(&page, "test_connection"));
    let connector = world.idle_connector(&world, "Prod").await;
    let path = format!("/v1/siem/connectors/{}", connector["id"].as_str().unwrap());
    world.patch(&path, &json!({ "filter": { "event_types": ["test_connection"] } })).await.expect_status(200);
    let edit = format!("{LIST}/{}/edit", connector["id"].as_str().unwrap());
    let page = tab.get(&edit).await.expect_status(200).text();
    assert!(
        page.contains("type=\"hidden\" name=\"event_types\" value=\"test_connection\""),
        "or a save would forward everything"
    );
    assert!(!page.contains("Test connection"), "{page}");
}

#[tokio::test]
async fn every_field_of_every_platform_goes_to_the_api_and_comes_back() {
    let common = [
        ("compression", "gzip"),
        ("max_in_flight", "7"),
        ("tls_ca", PEM),
        ("active", "on"),
        ("severity", "high"),
        ("event_types", "anomaly"),
    ];
    let cases: [(&[(&str, &str)], Value); 5] = [
        (
            &[
                ("platform", "splunk"),
                ("splunk_hec_url", "https://siem.example:8088"),
                ("splunk_dialect", "edge_processor"),
                ("splunk_hec_token", TOKEN),
                ("splunk_index", "i"),
                ("splunk_sourcetype", "s"),
                ("splunk_indexer_ack", "on"),
                ("splunk_strict", "on"),
            ],
            json!({ "hec_url": "https://siem.example:8088", "dialect": "edge_processor", "index": "i", "sourcetype": "s", "indexer_ack": true, "strict": true }),
        ),
        (
            &[
                ("platform", "datadog"),
                ("datadog_site", "datadoghq.eu"),
                ("datadog_url", "https://ignored.example"),
                ("datadog_api_key", TOKEN),
                ("datadog_service", "s"),
                ("datadog_metric_prefix", "m.p"),
            ],
            json!({ "site": "datadoghq.eu", "service": "s", "send_metrics": false, "metric_prefix": "m.p" }),
        ),
        (
            &[
                ("platform", "datadog"),
                ("datadog_site", "other"),
                ("datadog_url", "https://siem.example/dd"),
                ("datadog_api_key", TOKEN),
                ("datadog_send_metrics", "on"),
            ],
            json!({ "site": "datadoghq.com", "url": "https://siem.example/dd", "service": "toktra", "send_metrics": true, "metric_prefix": "toktra.security" }),
        ),
        (
            &[
                ("platform", "elasticsearch"),
                ("elasticsearch_where", "https://siem.example:9200"),
                ("elasticsearch_auth", "key"),
                ("elasticsearch_api_key", TOKEN),
                ("elasticsearch_username", "ignored"),
                ("elasticsearch_index_prefix", "p"),
            ],
            json!({ "url": "https://siem.example:9200", "index_prefix": "p", "manage_template": false }),
        ),
        (
            &[
                ("platform", "elasticsearch"),
                ("elasticsearch_where", "d:ZXUuZXhhbXBsZSRhYmMkZGVm"),
                ("elasticsearch_auth", "password"),
                ("elasticsearch_username", "u"),
                ("elasticsearch_password", TOKEN),
                ("elasticsearch_manage_template", "on"),
            ],
            json!({ "cloud_id": "d:ZXUuZXhhbXBsZSRhYmMkZGVm", "username": "u", "index_prefix": "toktra-security-events", "manage_template": true }),
        ),
    ];
    for (own, expected) in cases {
        let world = World::here().await;
        let tab = Tab::of_admin(&world).await;
        let sent: Vec<_> = own
            .iter()
            .chain(&common)
            .copied()
            .chain([("name", "Prod"), ("signing_secret", "canary-signing")])
            .collect();
        let made = tab.post(NEW, &sent).await.expect_status(303);
        let before = only_connector(&world).await;
        assert_eq!(made.header("location"), Some(&*place(&before)));
        let mut config = before["config"].clone();
        config.as_object_mut().unwrap().retain(|_, value| value.get("set").is_none());
        let shared = json!({ "compression": "gzip", "max_in_flight": 7, "tls_ca": PEM });
        let mut expected = expected;
        expected.as_object_mut().unwrap().extend(shared.as_object().unwrap().clone());
        assert_eq!(config, expected);
        assert_eq!(before["filter"], json!({ "severity": ["high"], "event_types": ["anomaly"] }));
        assert_eq!((&before["active"], &before["signing_secret"]["set"]), (&json!(true), &json!(true)));

        // Nothing is changed by saving the form as it comes.
        let edit = format!("{}/edit", place(&before));
        let page = tab.get(&edit).await.expect_status(200);
        assert!(!page.text().contains("canary"), "{}", page.text());
        let unchanged = fields(&page);
        tab.post(&edit, &borrowed(&unchanged)).await.expect_status(303);
        let after = only_connector(&world).await;
        for member in ["name", "config", "filter", "active", "signing_secret"] {
            assert_eq!(after[member], before[member], "{member}");
        }
    }
}

#[tokio::test]
async fn the_form_is_the_same_before_and_after_and_what_is_refused_loses_nothing() {
    let (world, tab) = World::here_as_admin().await;
    let page = tab.get(&format!("{NEW}?platform=datadog")).await.expect_status(200);
    insta::assert_snapshot!("form_new", content(&page));
    assert_eq!(value(&fields(&page), "platform"), "datadog");

    // Without script: with what was typed, but for secrets, and the faults beside their fields.
    let wrong = [
        ("platform", "elasticsearch"),
        ("name", ""),
        ("elasticsearch_where", "ftp://b"),
        ("elasticsearch_auth", "password"),
        ("elasticsearch_username", "\"><script>"),
        ("elasticsearch_password", "canary-password"),
        ("elasticsearch_index_prefix", "NO"),
        ("max_in_flight", "many"),
        ("tls_ca", "no certificate"),
        ("severity", "low"),
        ("signing_secret", "canary"),
        ("active", "on"),
        ("splunk_index", "kept as well"),
    ];
    let refused = tab.post(NEW, &wrong).await.expect_status(422);
    let text = refused.text();
    assert!(!text.contains("canary") && !text.contains("<script>\""), "{text}");
    assert!(text.contains("Secrets are never shown: type them once more."));
    let shown = fields(&refused);
    for (name, typed) in wrong.iter().filter(|(name, _)| !name.contains("password") && *name != "signing_secret") {
        assert_eq!(value(&shown, name), *typed, "{name}");
    }
    for (field, fault) in [
        ("name", "Enter a name (1–100 characters)."),
        ("elasticsearch_where", "Has the scheme `ftp`"),
        ("elasticsearch_index_prefix", "Must begin with"),
        ("max_in_flight", "Enter a whole number from 1 to"),
        ("tls_ca", "Holds no certificate"),
        ("signing_secret", "Must have 8 to 512"),
    ] {
        assert!(text.contains(&format!("id=\"{field}-fault\">{fault}")), "{field}: {text}");
    }
    assert!(text.contains("<details class=\"advanced\" open>"), "what is wrong is seen");

    // By htmx: only what is wrong, and a key for the form as it is sent next, so that the browser keeps the secrets too.
    let part = content(&tab.post_part(NEW, &wrong).await.expect_status(422));
    insta::assert_snapshot!("form_refused_part", part);
    assert!(!part.contains("canary") && !part.contains("<input name"));
    assert_eq!(world.get("/v1/siem/connectors").await.json()["total_count"], 0);
}

#[tokio::test]
async fn each_kind_of_refusal_is_said_where_it_belongs() {
    let (world, tab) = World::here_as_admin().await;
    let forbidden = tab.post_part(NEW, &splunk("A", "https://169.254.169.254", TOKEN)).await.expect_status(403).text();
    assert!(
        forbidden.contains("Not saved. ")
            && forbidden.contains("id=\"splunk_hec_url-fault\" hx-swap-oob=\"true\">This address is not allowed."),
        "{forbidden}"
    );
    world.idle_connector(&world, "Prod").await;
    let taken = tab.post_part(NEW, &splunk("Prod", "https://siem.example:8088", TOKEN)).await.expect_status(409).text();
    assert!(taken.contains("id=\"name-fault\" hx-swap-oob=\"true\">Another connector has this name."), "{taken}");

    let connector = only_connector(&world).await;
    let edit = format!("{}/edit", place(&connector));
    let mut form = fields(&tab.get(&edit).await.expect_status(200));
    form.retain(|(name, _)| name != "splunk_hec_url");
    form.push(("splunk_hec_url".into(), "https://siem.example:9999".into()));
    let elsewhere = tab.post_part(&edit, &borrowed(&form)).await.expect_status(422).text();
    assert!(
        elsewhere.contains("id=\"splunk_hec_token-fault\" hx-swap-oob=\"true\">Is missing: a change of host"),
        "{elsewhere}"
    );
    let tried = tab.post_part(&format!("{}/test", place(&connector)), &borrowed(&form)).await.expect_status(422).text();
    assert!(tried.contains("Nothing was sent yet.") && tried.contains("Is missing: a change of host"), "{tried}");
    form.push(("splunk_hec_token".into(), TOKEN.into()));
    form.retain(|(name, value)| name != "splunk_hec_token" || !value.is_empty());
    tab.post_part(&edit, &borrowed(&form)).await.expect_status(200);
    assert_eq!(only_connector(&world).await["config"]["hec_url"], "https://siem.example:9999");
}

#[tokio::test]
async fn nobody_saves_over_somebody_else_unasked() {
    let (world, tab) = World::here_as_admin().await;
    let connector = world.idle_connector(&world, "Prod").await;
    let edit = format!("{}/edit", place(&connector));
    let page = tab.get(&edit).await.expect_status(200);
    let hint = connector["signing_secret"]["hint"].as_str().unwrap();
    insta::assert_snapshot!("form_edit", content(&page).replace(hint, "…HINT"));
    let mut mine = fields(&page);
    mine.retain(|(name, _)| name != "forward");
    mine.extend([("forward".into(), "only".into()), ("severity".into(), "critical".into())]);
    let path = format!("/v1/siem/connectors/{}", connector["id"].as_str().unwrap());
    world.change(&path, &json!({ "name": "Theirs" })).await;

    let refused = tab.post(&edit, &borrowed(&mine)).await.expect_status(412);
    assert!(refused.text().contains("somebody else saved this connector"), "{}", refused.text());
    assert!(fields(&refused).contains(&("severity".into(), "critical".into())), "what was typed is still there");
    assert_eq!(only_connector(&world).await["name"], "Theirs");
    let part = tab.post_part(&edit, &borrowed(&mine)).await.expect_status(412).text();
    assert!(part.contains("<button name=\"overwrite\" value=\"2\" form=\"connector-form\">"), "{part}");

    mine.push(("overwrite".into(), "2".into()));
    tab.post(&edit, &borrowed(&mine)).await.expect_status(303);
    let saved = only_connector(&world).await;
    assert_eq!((&saved["name"], &saved["filter"]["severity"]), (&json!("Prod"), &json!(["critical"])));
}

#[tokio::test]
async fn what_is_pasted_is_understood_with_script_and_without() {
    let (world, tab) = World::here_as_admin().await;
    let example = "curl -k https://siem.example:8088/services/collector/event \\\n -H 'Authorization: Splunk canary-token-00000000' -d '{}'";
    let fields = [("platform", "splunk"), ("pasted", example)];
    let said = tab.post_part("/integrations/siem/normalise", &fields).await.expect_status(200).json();
    let expected = json!({
        "fields": { "splunk_hec_url": "https://siem.example:8088", "splunk_hec_token": TOKEN },
        "said": "Understood from what you pasted: the HEC token and the HEC URL.",
        "understood": ["the HEC token", "the HEC URL"],
        "not_understood": ["--insecure: certificates are always verified"],
    });
    assert_eq!(said, expected);
    tab.post(NEW, &splunk("Prod", example, "")).await.expect_status(200);
    let connector = only_connector(&world).await;
    assert_eq!(connector["config"]["hec_url"], "https://siem.example:8088");
    assert_eq!(connector["config"]["hec_token"]["hint"], "…0000");
    // What was typed goes first, and the choices that belong to it.
    let typed = splunk("Typed", "https://siem.example:8088", TOKEN);
    let other = "curl -H 'Authorization: Bearer canary-ingest-11' https://other.example/services/collector";
    let fields = [typed, vec![("splunk_dialect", "splunk"), ("pasted", other)]].concat();
    tab.post(NEW, &fields).await.expect_status(200);
    let all = world.get("/v1/siem/connectors").await.json();
    let config = &all["items"].list().into_iter().find(|one| one["name"] == "Typed").unwrap()["config"];
    assert_eq!((&config["hec_url"], &config["dialect"]), (&json!("https://siem.example:8088"), &json!("splunk")));
}

#[tokio::test]
async fn a_signing_secret_that_was_made_is_in_one_answer_and_in_no_address_or_cookie() {
    let (_world, tab) = World::here_as_admin().await;
    let page = tab.post(NEW, &splunk("Prod", "https://siem.example:8088", TOKEN)).await.expect_status(200);
    insta::assert_snapshot!("created", content(&page));
    let html = page.text();
    let secret = html.split("<pre tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let part = tab.post_part(NEW, &splunk("Other", "https://siem.example:8088", TOKEN)).await.expect_status(200);
    let (target, push) = (part.header("hx-retarget"), part.header("hx-push-url").unwrap());
    assert!(target == Some("#page") && push.starts_with("/integrations/siem/0"), "{push}");
    assert!(part.text().starts_with("<title>Other · Toktra SIEM</title>"));
    for (name, value) in &page.headers {
        assert!(!value.to_str().unwrap_or_default().contains(&secret), "{name}");
    }
    assert!(!tab.get(LIST).await.text().contains(&secret));

    // Where the operator's secret signs, none is made, and the connector's page comes next.
    let world = World::here_with(Options { signing_secret: Some("of-the-operator"), ..Options::default() }).await;
    let tab = Tab::of_admin(&world).await;
    let saved = tab.post(NEW, &splunk("Prod", "https://siem.example:8088", TOKEN)).await.expect_status(303);
    assert_eq!(saved.header("location"), Some(&*place(&only_connector(&world).await)));
}

#[tokio::test]
async fn a_test_run_ticks_off_its_stages_and_ends_with_what_to_do() {
    let (world, tab) = World::here_as_admin().await;
    let datadog = [
        ("platform", "datadog"),
        ("name", ""),
        ("datadog_site", "other"),
        ("datadog_url", "https://siem.example"),
        ("datadog_api_key", TOKEN),
    ];
    let live = tab.post_part("/integrations/siem/test", &datadog).await.expect_status(200);
    assert_eq!(live.header("content-type"), Some("text/event-stream"));
    let text = live.text();
    let messages: Vec<&str> = text.split("\n\n").filter(|message| !message.is_empty()).collect();
    // Before anything, the event, three stages of each stream, the end.
    assert_eq!(messages.len(), 9, "{text}");
    assert!(
        messages[0].contains("id=\"datadog_url-fault\" hx-swap-oob=\"true\"></p>"),
        "faults of an earlier try are taken away"
    );
    let counts: Vec<usize> = messages
        .iter()
        .map(|message| message.matches("badge good\"").count() + message.matches("badge failed\"").count())
        .collect();
    assert!(counts.is_sorted(), "stages only ever tick off: {counts:?}");
    let last: Vec<&str> = messages[8].lines().map(|line| line.strip_prefix("data: ").unwrap()).collect();
    insta::assert_snapshot!("test_run_partly", toktra_siem_testkit::tab::redacted(&last.join("\n")));
    assert!(!text.contains("canary"));
    assert_eq!(world.dispatch.tests.lock().len(), 1);

    // Without script it is a page, once all is over.
    let page = tab
        .post("/integrations/siem/test", &splunk("Prod", "https://siem.example:8088", TOKEN))
        .await
        .expect_status(200);
    insta::assert_snapshot!("test_run_page", content(&page));
    assert_eq!(world.get("/v1/siem/connectors").await.json()["total_count"], 0, "nothing is saved");
}

#[tokio::test]
async fn a_saved_connector_is_tried_as_it_stands_or_as_its_form_does() {
    let (world, tab) = World::here_as_admin().await;
    let connector = world.idle_connector(&world, "Prod").await;
    let path = format!("{}/test", place(&connector));
    let text = tab.post_part(&path, &[]).await.expect_status(200).text();
    assert!(
        text.contains("Delivered to Splunk in 23 ms.")
            && text.contains("/deliveries/00000000-0000-0000-0000-00000000de11"),
        "{text}"
    );
    assert!(!text.contains("connector-form"), "it is no test of a form");
    let mut form = fields(&tab.get(&format!("{}/edit", place(&connector))).await);
    form.retain(|(name, _)| name != "splunk_index");
    form.push(("splunk_index".into(), "other".into()));
    let text = tab.post_part(&path, &borrowed(&form)).await.expect_status(200).text();
    assert!(text.contains("name=\"tested\" value=\"on\" form=\"connector-form\""), "{text}");
    assert_eq!(world.dispatch.tests.lock().iter().map(|test| test.saved).collect::<Vec<_>>(), [true, false]);
    assert_eq!(only_connector(&world).await["config"]["index"], "toktra");

    *world.dispatch.test_failure.lock() = Some(TestFailure::Unusable("its secrets do not open".into()));
    let unusable = tab.post_part(&path, &[]).await.expect_status(409).text();
    assert!(
        unusable.contains("Nothing was sent. This connector cannot be used: its secrets do not open."),
        "{unusable}"
    );
    *world.dispatch.test_failure.lock() = Some(TestFailure::Busy);
    let busy = tab.post(&path, &[]).await.expect_status(429).text();
    assert!(busy.contains("Many test deliveries are under way"), "{busy}");
}
