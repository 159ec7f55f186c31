//! Each kind of mistake that people make when they connect a SIEM, made in the form: the page says what is to be changed, keeps what was typed,
//! and has the event once it is changed. What each hint says in full is in `it`'s `hints.rs`.

use rcgen::{CertificateParams, KeyPair};
use toktra_siem_fake::datadog::{Endpoint as DatadogEndpoint, error_reply};
use toktra_siem_fake::elasticsearch::{Credentials, Endpoint as ElasticsearchEndpoint, Privileges};
use toktra_siem_fake::splunk::{Endpoint as SplunkEndpoint, Splunk, SplunkOptions, reply};
use toktra_siem_fake::{ReceiverOptions, Tls};
use toktra_siem_testkit::prelude::*;

use crate::set_up::TRY;

/// What stands in the fields of the form now, secrets included, as one text.
const TYPED: &str = "return JSON.stringify(Array.from(document.querySelectorAll('#connector-form :is(input, select, textarea):not([name=tested])'),
    e => [e.name, e.type === 'checkbox' || e.type === 'radio' ? e.checked : e.value]));";

/// The form for a platform, logged in and ready to be filled in.
async fn form(world: &World, page: &Page, platform: &str) {
    world.log_in(page).await;
    world.open(page, &format!("/integrations/siem/new?platform={platform}")).await;
    page.fill("#name", "Prod").await;
    page.click("details.advanced summary").await;
}

/// Waits until the test run says that this is to be changed.
async fn told_to_change(page: &Page, told: &str) {
    let mut run = String::new();
    let found = poll::within(poll::PATIENCE, async || {
        run = page.text("#test-run").await;
        page.texts("#test-run .change").await.iter().any(|change| change.contains(told)).then_some(())
    });
    let found = found.await;
    assert!(found.is_some(), "{told:?} was expected in\n{run}");
}

/// Tries it: the event does not arrive, the page says this of it, and everything that was typed is still there.
async fn refused(page: &Page, told: &str) {
    let typed = page.eval(TYPED).await;
    page.click(TRY).await;
    told_to_change(page, told).await;
    assert!(page.text("#test-run .outcome").await.contains("does not have the event"));
    assert_eq!(page.eval(TYPED).await, typed, "nothing that was typed is lost");
    page.assert_quiet().await;
}

/// Tries it: the event arrives.
async fn accepted(page: &Page) {
    page.click(TRY).await;
    page.wait_for_text("#test-run .outcome", "Delivered to").await;
    page.assert_quiet().await;
}

fn self_signed() -> Tls {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    Tls { cert_pem: params.self_signed(&key).unwrap().pem(), key_pem: key.serialize_pem() }
}

#[tokio::test]
async fn splunk_refuses_and_says_why() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk().await;
    form(&world, &page, "splunk").await;
    page.fill("#splunk_hec_url", &splunk.base_url()).await;

    page.fill("#splunk_hec_token", "00000000-0000-0000-0000-000000000000").await;
    refused(&page, "copy the token value into the connector").await;
    page.fill("#splunk_hec_token", CREDENTIAL).await;
    accepted(&page).await;

    splunk.set_token_enabled(false);
    refused(&page, "enable the token").await;
    splunk.set_token_enabled(true);
    accepted(&page).await;

    page.fill("#splunk_index", "main").await;
    refused(&page, "it refuses the index “main”").await;
    page.fill("#splunk_index", "toktra").await;
    accepted(&page).await;

    let pages = [
        (Reply::html(303, "See Other").with_header("location", "/en-US/account/login"), "redirects are never followed"),
        (Reply::html(200, "Login"), "a page for a browser came back"),
        (Reply::html(403, "Access denied"), "a proxy, gateway or login page in between"),
        (reply(10), "indexer acknowledgement on"),
        (reply(9), "it is busy"),
    ];
    for (answer, told) in pages {
        splunk.always(SplunkEndpoint::Event, Behaviour::reply(answer));
        refused(&page, told).await;
        splunk.healthy();
        accepted(&page).await;
    }
    page.fill("#splunk_hec_url", &format!("{}/hec", splunk.base_url())).await;
    refused(&page, "nothing takes events at this address").await;
    page.fill("#splunk_hec_url", &splunk.base_url()).await;
    accepted(&page).await;
    world.end().await;
}

#[tokio::test]
async fn nobody_is_reached_and_the_page_says_why() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk().await;
    let tls = self_signed();
    let receiver = ReceiverOptions { tls: Some(tls.clone()), ..ReceiverOptions::default() };
    let secured = Splunk::start(SplunkOptions { receiver, ..SplunkOptions::new(CREDENTIAL) }).await.unwrap();
    form(&world, &page, "splunk").await;
    page.fill("#splunk_hec_token", CREDENTIAL).await;
    page.fill("#splunk_hec_url", &splunk.base_url()).await;

    splunk.down().await;
    refused(&page, "nothing listens on this port").await;
    splunk.up().unwrap();
    accepted(&page).await;

    page.fill("#splunk_hec_url", &splunk.base_url().replace("http:", "https:")).await;
    refused(&page, "does not speak TLS on this port").await;
    page.fill("#splunk_hec_url", &splunk.base_url()).await;
    accepted(&page).await;

    page.fill("#splunk_hec_url", &secured.base_url().replace("https:", "http:")).await;
    refused(&page, "https").await;
    page.fill("#splunk_hec_url", &secured.base_url()).await;
    refused(&page, "is self-signed").await;
    page.click("[data-fill=tls_fingerprint]").await;
    assert_eq!(page.value("#tls_fingerprint").await.len(), 95, "the fingerprint was filled in");
    accepted(&page).await;
    // Beside what stands there, and once.
    let (found, other) = (page.value("#tls_fingerprint").await, "cd".repeat(32));
    page.fill("#tls_fingerprint", &other).await;
    refused(&page, &found).await;
    page.click("[data-fill=tls_fingerprint]").await;
    page.click("[data-fill=tls_fingerprint]").await;
    assert_eq!(page.value("#tls_fingerprint").await, format!("{other},{found}"));
    accepted(&page).await;
    page.fill("#tls_fingerprint", "").await;
    refused(&page, "is self-signed").await;
    page.fill("#tls_ca", &tls.cert_pem).await;
    accepted(&page).await;

    // What a name server says of it differs from one machine to the next.
    page.fill("#splunk_hec_url", "https://splnuk.invalid:8088").await;
    refused(&page, "splnuk.invalid:8088").await;
    page.fill("#splunk_hec_url", &secured.base_url()).await;
    accepted(&page).await;
    world.end().await;
}

#[tokio::test]
async fn datadog_refuses_and_says_why() {
    let Some((world, page)) = World::office().await else { return };
    let datadog = datadog().await;
    form(&world, &page, "datadog").await;
    page.select("#datadog_site", "other").await;
    page.fill("#datadog_url", &datadog.base_url()).await;

    page.fill("#datadog_api_key", "0123456789abcdef0123456789abcdef").await;
    refused(&page, "it does not accept this API key here").await;
    page.fill("#datadog_api_key", CREDENTIAL).await;
    accepted(&page).await;

    // The logs arrive and the metrics do not: each stream has stages of its own.
    datadog.always(DatadogEndpoint::Series, Behaviour::reply(error_reply(DatadogEndpoint::Series, 403)));
    page.click(TRY).await;
    page.wait_for_text("#test-run .outcome", "accepted the event in one stream and not in the other").await;
    told_to_change(&page, "it does not accept this API key here").await;
    page.click("#datadog_send_metrics").await;
    accepted(&page).await;
    world.end().await;
}

#[tokio::test]
async fn elasticsearch_refuses_and_says_why() {
    let Some((world, page)) = World::office().await else { return };
    let elasticsearch = elasticsearch().await;
    form(&world, &page, "elasticsearch").await;
    page.fill("#elasticsearch_where", &elasticsearch.base_url()).await;

    page.fill("#elasticsearch_api_key", "eDp5").await;
    refused(&page, "it does not accept the credential").await;
    page.fill("#elasticsearch_api_key", CREDENTIAL).await;
    accepted(&page).await;

    elasticsearch.set_privileges(Privileges { create_doc: false, ..Privileges::default() });
    refused(&page, "create_doc and auto_configure").await;
    elasticsearch.set_privileges(Privileges {
        manage_index_templates: false,
        monitor: false,
        create_doc: true,
        read: false,
    });
    page.click(TRY).await;
    page.wait_for_text("#test-run .outcome", "Delivered to").await;
    told_to_change(&page, "manage_index_templates").await;
    elasticsearch.set_privileges(Privileges::default());

    elasticsearch.always(ElasticsearchEndpoint::Bulk, Behaviour::reply(Reply::html(200, "Sign in")));
    refused(&page, "a proxy, gateway or login page in between").await;
    elasticsearch.healthy();
    accepted(&page).await;

    elasticsearch.set_credentials(&Credentials::Basic("toktra".to_owned(), CREDENTIAL.to_owned()));
    page.click("#auth-password").await;
    page.fill("#elasticsearch_username", "toktra").await;
    page.fill("#elasticsearch_password", "not this one").await;
    refused(&page, "user name or password").await;
    page.fill("#elasticsearch_password", CREDENTIAL).await;
    accepted(&page).await;
    world.end().await;
}
