//! Found: a test delivery ends where its event is found, and links lead there. Against each fake, which is as strict about
//! searching as its original: credentials, privileges, what is indexed when.

use toktra_siem_fake::elasticsearch::{Credentials, Privileges};
use toktra_siem_fake::{datadog, splunk as fake_splunk};
use toktra_siem_testkit::prelude::*;

const EMAIL: &str = "ada@company.example";
const PASSWORD: &str = "correct horse battery";
const SEARCH: &str = "a-credential-that-reads-9876";

/// The outcome, the sentence, and whether there is a last stage and it is good.
fn searched(test: &Value) -> (String, String, Option<bool>) {
    let stage = test["stages"].list().into_iter().find(|stage| stage["stage"] == "searchable");
    (test["searchable"]["outcome"].text(), test["searchable"]["message"].text(), stage.map(|stage| stage["ok"] == true))
}

#[track_caller]
fn assert_found(test: &Value) {
    let (outcome, message, stage) = searched(test);
    assert_eq!((outcome.as_str(), stage), ("found", Some(true)), "{test}");
    assert!(message.starts_with("searchable after ") && message.ends_with(" s"), "{message}");
    assert!(test["searchable"]["searchable_after_ms"].is_u64() && test["delivered"] == true, "{test}");
}

#[tokio::test]
async fn splunk_is_searched_at_its_management_port() {
    let splunk = splunk_with(|options| options.search_token = Some(SEARCH.to_owned())).await;
    let setup = setup().env("TOKTRA_SIEM_ADMIN_EMAIL", EMAIL).env("TOKTRA_SIEM_ADMIN_PASSWORD", PASSWORD);
    let world = World::with(setup).await;
    let connector = world.connect(&splunk).await;
    let without = connector.test(json!({})).await;
    let (outcome, message, stage) = searched(&without);
    assert_eq!((outcome.as_str(), stage, without.get("open_url")), ("not_searched", None, None), "{without}");
    assert!(message.contains("search.url") && splunk.counts().requests == 1, "{message}");

    let search = json!({ "url": splunk.base_url(), "token": SEARCH });
    let patched = connector
        .patch(json!({ "config": { "search": search, "web_url": "https://splunk.example:8000/en-US/app/search" } }))
        .await;
    assert_eq!(patched["config"]["search"]["token"]["hint"], "…9876", "{patched}");
    assert_eq!(patched["config"]["web_url"], "https://splunk.example:8000");
    splunk.hide_from(2);
    let test = connector.test(json!({})).await;
    assert_found(&test);
    let id = test["event_id"].text();
    let searches = splunk.requests().iter().filter(|request| request.path().starts_with("/services/search/")).count();
    assert_eq!((searches, splunk.violations()), (3, Vec::new()));
    let open = test["open_url"].text();
    assert!(
        open.starts_with(&format!(
            "https://splunk.example:8000/en-US/app/search/search?q=search%20index%3Dtoktra%20%22{id}%22&earliest="
        )),
        "{open}"
    );

    // The same link stands at the event and at the delivery, and nowhere if it was not delivered.
    let shown = world.read(&format!("/v1/events/{id}")).await;
    let delivery = connector.delivery(&test["streams"][0]["delivery_id"].text()).await;
    for opened in [&shown["outcomes"][0]["open_url"], &delivery["open_url"]] {
        assert!(opened.text().contains(&format!("%22{id}%22")), "{opened}");
    }
    assert_eq!(shown["outcomes"][0]["search"], test["search"]);
    let tab = Tab::at(world.base());
    tab.log_in_as(EMAIL, PASSWORD).await;
    for path in [format!("/events/{id}"), format!("/deliveries/{}", delivery.id())] {
        let html = content(&tab.get(&path).await.expect_status(200));
        assert!(
            html.contains("Open in Splunk")
                && html.contains("rel=\"noopener noreferrer\"")
                && html.contains("target=\"_blank\""),
            "{path}"
        );
    }
    // Beside the link: what to search for, and the signature that was sent.
    let html = tab.get(&format!("/events/{id}")).await.expect_status(200).text();
    assert!(html.contains("aria-label=\"Search that finds the event\""), "{html}");
    let newest = html.split('"').find(|part| part.ends_with("/attempts/last/request")).unwrap();
    let request = tab.get(newest).await.expect_status(200).text();
    assert!(request.contains("x-toktra-signature: sha256="), "{request}");
    // The page that needs no script.
    let html = content(&tab.post(&format!("/integrations/siem/{}/test", connector.id), &[]).await.expect_status(200));
    assert!(html.contains("searchable after ") && html.contains("Open in Splunk"), "{html}");

    // Nobody may search that index: nothing is found, and that is told without harm. The role may not search at all: what to grant.
    splunk.set_search_rights(false, &[]);
    let refused = connector.test(json!({})).await;
    let (outcome, message, stage) = searched(&refused);
    assert_eq!(
        (outcome.as_str(), stage, &refused["delivered"]),
        ("search_refused", Some(false), &json!(true)),
        "{refused}"
    );
    assert!(message.contains("capability search") && !refused.to_string().contains(SEARCH), "{message}");
    // A port of the collector, which has no search.
    let hec = toktra_siem_testkit::prelude::splunk().await;
    let patch = json!({ "config": { "search": { "url": hec.base_url(), "token": SEARCH } } });
    let (outcome, message, _) = searched(&connector.test(patch).await);
    assert!(outcome == "not_searched" && message.contains("8089"), "{message}");

    splunk.script(fake_splunk::Endpoint::Event, [Behaviour::reply(fake_splunk::reply(4))]);
    let failed = connector.test(json!({})).await;
    assert_eq!(
        (&failed["delivered"], failed.get("open_url"), failed.get("searchable")),
        (&json!(false), None, None),
        "{failed}"
    );
    world.end().await;
}

#[tokio::test]
async fn its_url_is_judged_as_every_other_and_its_token_goes_nowhere_unseen() {
    let (world, org, splunk, _) = World::with_splunk().await;
    let create = async |search: Value| {
        let mut config = splunk.config();
        config["search"] = search;
        org.client.post("/v1/siem/connectors", &json!({ "name": "S", "platform": "splunk", "config": config })).await
    };
    for url in ["https://169.254.169.254", "https://10.1.2.3:8089", "http://93.184.216.34:8089"] {
        let refused = create(json!({ "url": url, "token": SEARCH })).await;
        assert_eq!(refused.json()["error"]["code"], "destination_forbidden", "{url}");
    }
    let made = create(json!({ "url": "https://splunk.example:8089", "token": SEARCH })).await.expect_status(201).json();
    let connector = org.known(&made);
    let moved = json!({ "config": { "search": { "url": "https://evil.example:8089" } } });
    let refused = org.client.patch(&connector.path(""), &moved).await.expect_status(422).json();
    assert_eq!(refused["error"]["fields"][0]["pointer"], "/config/search/token", "{refused}");
    let gone = connector.patch(json!({ "config": { "search": null } })).await;
    assert_eq!(gone["config"].get("search"), None, "{gone}");
    let audit = org.read("/v1/audit").await;
    assert!(!audit.to_string().contains(SEARCH) && audit.to_string().contains("search.token"), "{audit}");
    world.end().await;
}

#[tokio::test]
async fn datadog_is_searched_with_an_application_key() {
    let mut options = datadog::DatadogOptions::new(CREDENTIAL);
    options.application_key = Some(SEARCH.to_owned());
    let datadog = datadog::Datadog::start(options).await.unwrap();
    let world = World::start().await;
    let more =
        json!({ "config": { "search": { "application_key": SEARCH }, "web_url": "https://acme.datadoghq.com" } });
    let connector = world.connect_with(&datadog, more).await;
    datadog.hide_from(1);
    let test = connector.test(json!({})).await;
    assert_found(
        &json!({ "stages": test["streams"][0]["stages"], "searchable": test["searchable"], "delivered": test["delivered"] }),
    );
    assert_eq!(test["streams"][1].get("searchable"), None, "a metric holds no event: {test}");
    let open = format!("https://acme.datadoghq.com/logs?query=%40event_id%3A{}&from_ts=", test["event_id"].text());
    assert!(test["open_url"].text().starts_with(&open), "{test}");
    assert_eq!(datadog.violations(), []);
    datadog.set_may_read(false);
    let (outcome, message, _) = searched(&connector.test(json!({})).await);
    assert!(outcome == "search_refused" && message.contains("logs_read_data"), "{message}");
    world.end().await;
}

#[tokio::test]
async fn elasticsearch_is_searched_with_a_key_of_its_own_or_with_the_login_if_that_may() {
    let elasticsearch = elasticsearch().await;
    let world = World::start().await;
    let more = json!({ "config": { "web_url": "https://kibana.example/s/soc/app/discover#/" } });
    let connector = world.connect_with(&elasticsearch, more).await;
    elasticsearch.hide_from(1);
    let test = connector.test(json!({})).await;
    assert_found(&test);
    let open = test["open_url"].text();
    let id = test["event_id"].text();
    assert!(
        open.starts_with("https://kibana.example/s/soc/app/discover#/?_g=(time:(from:'")
            && open.contains(&format!("query:'event_id%3A%22{id}%22'")),
        "{open}"
    );

    // The role that the documentation recommends cannot read: that is no fault of anybody.
    elasticsearch.set_privileges(Privileges { read: false, ..Privileges::default() });
    let test = connector.test(json!({})).await;
    let (outcome, message, stage) = searched(&test);
    assert_eq!(
        (outcome.as_str(), stage, &test["delivered"], &test["hint"]),
        ("not_searched", None, &json!(true), &Value::Null),
        "{test}"
    );
    assert!(message.contains("may not read toktra-security-events-*"), "{message}");
    let said = world.run(&["connector", "test", "elasticsearch"], "").await.done();
    said.says(&["✓ Delivered", "may not read", "Open it with: https://kibana.example"]);

    // A key that was given for searching, and is another's.
    let key = json!({ "config": { "search": { "api_key": "c29tZTpvdGhlcg==" } } });
    elasticsearch.set_privileges(Privileges::default());
    let (outcome, message, stage) = searched(&connector.test(key).await);
    assert_eq!((outcome.as_str(), stage), ("search_refused", Some(false)), "{message}");
    elasticsearch.set_credentials(&Credentials::ApiKey(CREDENTIAL.to_owned()));
    world.end().await;
}

/// Every face takes the settings of a search as one object, by the same description.
#[tokio::test]
async fn command_line_files_and_environment_know_the_search() {
    let splunk = splunk_with(|options| options.search_token = Some(SEARCH.to_owned())).await;
    let mut world = World::start().await;
    let url = splunk.base_url();
    let secrets = [("SIEM_SPLUNK_HEC_TOKEN", CREDENTIAL), ("SIEM_SPLUNK_SEARCH_TOKEN", SEARCH)];
    let add = [
        "connector",
        "add",
        "splunk",
        "--name",
        "Prod",
        "--hec-url",
        &url,
        "--search-url",
        &url,
        "--web-url",
        "splunk.example:8000",
    ];
    world.run_with(&secrets, &add, "").await.done();
    world.done(&["connector", "test", "Prod"]).await.says(&["searchable", "✓ Found: searchable after "]);

    let exported = world.done(&["connector", "export"]).await.stdout;
    let object = format!("search: {{token: {{env: PROD_SEARCH_TOKEN}}, url: \"{url}\"}}");
    assert!(exported.contains(&object), "{exported}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("connectors.yaml");
    std::fs::write(&file, &exported).unwrap();
    let secrets = [("PROD_HEC_TOKEN", CREDENTIAL), ("PROD_SEARCH_TOKEN", SEARCH)];
    let apply = ["connector", "apply", "-f", file.to_str().unwrap()];
    world.run_with(&secrets, &apply, "").await.done().says(&["No changes: 1 as described."]);
    let other = exported.replace("env: PROD_SEARCH_TOKEN", "env: ANOTHER");
    std::fs::write(&file, other).unwrap();
    let secrets = [("PROD_HEC_TOKEN", CREDENTIAL), ("ANOTHER", "another-credential-1234")];
    world.run_with(&secrets, &apply, "").await.done().says(&["config.search.token", "…1234"]);
    world.done(&["connector", "update", "Prod", "--reset", "search"]).await;
    let shown = world.connectors().await.remove(0);
    assert_eq!(world.read(&shown.path("")).await["config"].get("search"), None);

    world.describe(&[&splunk]);
    world.set("SIEM_SPLUNK_SEARCH_URL", url);
    world.set("SIEM_SPLUNK_SEARCH_TOKEN", SEARCH.to_owned());
    world.restart().await;
    let all = world.all("/v1/siem/connectors").await;
    let described = all.iter().find(|one| one["managed_by"] == "environment").unwrap();
    assert_found(&world.known(described).test(json!({})).await);
    world.end().await;
}

#[tokio::test]
async fn the_search_of_a_connector_that_is_removed_ends() {
    let splunk = splunk_with(|options| options.search_token = Some(SEARCH.to_owned())).await;
    let world = World::start().await;
    let config = json!({ "hec_url": splunk.base_url(), "hec_token": CREDENTIAL, "search": { "url": splunk.base_url(), "token": SEARCH } });
    let connector = world.connector("splunk", config, json!({ "name": "S" })).await;
    splunk.hide_from(u32::MAX);
    let (client, path) = (world.client.clone(), connector.path("/test"));
    let test = tokio::spawn(async move { client.post(&path, &json!({})).await });
    let is_search = |path: &str| path.starts_with("/services/search/");
    splunk.wait_until(|log| log.requests.iter().any(|request| is_search(request.path()))).await;
    world.remove(&connector.path("")).await;
    let test = test.await.unwrap().expect_status(200).json();
    let (outcome, message, _) = searched(&test);
    assert_eq!(outcome, "not_searched", "{test}");
    assert!(message.contains("the connector was removed"), "{message}");
    world.end().await;
}
