//! "Trust this certificate": offered if the certificate may be trusted by its fingerprint, and no way for a link that somebody else wrote to
//! change whom a connector trusts unseen.

use toktra_siem_core::certificate::{Certificate, printed};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_store::{Change, ConnectorSave, Resume};
use toktra_siem_testkit::prelude::*;

use super::setup::{PEM, borrowed, fields, only_connector};

const LIST: &str = "/integrations/siem";
const BUTTON: &str = "Trust this certificate";
const COMPARE: &str = "openssl x509 -in";

fn shown(names: &[&str]) -> Certificate {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Certificate { subject: "CN=siem".into(), names, fingerprint: printed(&[0xab; 32]), ..Certificate::default() }
}

fn path(connector: &Value, rest: &str) -> String {
    format!("{LIST}/{}{rest}", connector["id"].text())
}

#[tokio::test]
async fn it_is_offered_for_what_may_be_trusted_and_for_nothing_else() {
    let (world, tab) = World::here_as_admin().await;
    let connector = world.idle_connector(&world, "Prod").await;
    let form = [
        ("platform", "splunk"),
        ("name", "Other"),
        ("splunk_hec_url", "https://siem.example:8088"),
        ("splunk_hec_token", CREDENTIAL),
    ];
    for (code, names, offered) in [
        ("tls_untrusted", &["siem.example"][..], true),
        ("tls_version_1", &[], true),
        ("tls_fingerprint_changed", &["siem.example"], true),
        ("tls_wrong_host", &[], true),
        ("tls_wrong_host", &["other.example"], false),
        ("tls_key_not_held", &["siem.example"], false),
        ("tls_key_unfit", &["siem.example"], false),
        ("tls_expired", &["siem.example"], false),
        ("tls_not_yet_valid", &["siem.example"], false),
    ] {
        *world.dispatch.refuses.lock() = Some((code, shown(names)));
        let stored = tab.post(&path(&connector, "/test"), &[]).await.expect_status(200).text();
        let typed = tab.post_part(&format!("{LIST}/test"), &form).await.expect_status(200).text();
        for told in [stored, typed] {
            assert!(told.contains("CN=siem") && told.contains("AB:AB"), "it is shown all the same: {told}");
            let says = (told.contains(BUTTON), told.contains(COMPARE));
            assert_eq!(says, (offered, offered), "{code}: {told}");
        }
    }
}

#[tokio::test]
async fn a_connector_of_the_environment_says_which_variable_trusts_it() {
    let (world, tab) = World::here_as_admin().await;
    let made = world.idle_connector(&world, "Prod").await;
    let mut record = world.store.connector(DEFAULT_ORG, made["id"].text().parse().unwrap()).await.unwrap();
    (record.connector.id, record.connector.name) = (DESCRIBED, "Environment".into());
    record.connector.managed_by = ManagedBy::Environment;
    record.secrets.clear();
    world.store.create_connector(DEFAULT_ORG, Change { value: record, audit: audit() }).await.unwrap();
    for (code, offered) in [("tls_untrusted", true), ("tls_key_not_held", false)] {
        *world.dispatch.refuses.lock() = Some((code, shown(&["siem.example"])));
        let told = tab.post(&format!("{LIST}/{DESCRIBED}/test"), &[]).await.expect_status(200).text();
        let variable = format!("SIEM_SPLUNK_TLS_FINGERPRINT={}", printed(&[0xab; 32]));
        assert_eq!(told.contains(&variable), offered, "{code}: {told}");
        assert!(!told.contains(BUTTON) && !told.contains("/edit"), "it cannot be edited: {told}");
    }
}

#[tokio::test]
async fn what_a_link_fills_in_is_a_fingerprint_beside_the_others_and_said_to_come_from_it() {
    let (world, tab) = World::here_as_admin().await;
    let (old, new) = (printed(&[0xab; 32]), printed(&[0xcd; 32]));
    let connector = world.idle_connector(&world, "Prod").await;
    let edit = path(&connector, "/edit");
    let open = async |query: &str| tab.get(&format!("{edit}{query}")).await.expect_status(200).text();
    let field = |value: &str| {
        format!(
            "id=\"tls_fingerprint\" name=\"tls_fingerprint\" type=\"text\" autocomplete=\"off\" autocapitalize=\"off\" spellcheck=\"false\" value=\"{value}\""
        )
    };
    let link = format!("?tls_fingerprint={}", "cd".repeat(32));

    let page = open(&link).await;
    assert!(page.contains(&field(&new)) && page.contains("came with the link to this page"), "{page}");
    for odd in ["?tls_fingerprint=hello", "?tls_fingerprint=abcd", "?tls_fingerprint="] {
        let page = open(odd).await;
        assert!(page.contains(&field("")) && !page.contains("came with the link"), "{odd}: {page}");
    }

    let pinned = json!({ "config": { "tls_fingerprint": old, "hec_token": CREDENTIAL } });
    world.change(&path(&connector, "").replace(LIST, "/v1/siem/connectors"), &pinned).await;
    let page = open(&link).await;
    assert!(page.contains(&field(&format!("{old},{new}"))) && page.contains("still trusted"), "{page}");
    let page = open(&format!("?tls_fingerprint={old}")).await;
    assert!(page.contains(&field(&old)) && !page.contains("came with the link"), "it stands there already: {page}");
}

/// As an older version stored them: in another form than today, or unusable.
#[tokio::test]
async fn a_certificate_of_old_is_left_alone_if_something_else_is_saved() {
    for old in [format!("# our CA\r\n{}", PEM.replace('\n', "\r\n")), "-----BEGIN CERTIFICATE-----\nMIIB\n".to_owned()]
    {
        let (world, tab) = World::here_as_admin().await;
        let made = world.idle_connector(&world, "Prod").await;
        let mut connector =
            world.store.connector(DEFAULT_ORG, made["id"].text().parse().unwrap()).await.unwrap().connector;
        connector.settings.config.insert("tls_ca".to_owned(), old.clone().into());
        let value =
            ConnectorSave { connector, expected: None, secrets: None, rotation: None, resume: Resume::default() };
        world.store.save_connector(DEFAULT_ORG, Change { value, audit: audit() }).await.unwrap();
        let edit = path(&made, "/edit");
        let mut form = fields(&tab.get(&edit).await.expect_status(200));
        // Browsers end the lines of what they send in their own way.
        for (name, value) in &mut form {
            *value = value.replace("\r\n", "\n").replace('\n', "\r\n");
            if name == "name" {
                "Renamed".clone_into(value);
            }
        }
        tab.post(&edit, &borrowed(&form)).await.expect_status(303);
        let saved = only_connector(&world).await;
        assert_eq!((&saved["name"], &saved["config"]["tls_ca"]), (&json!("Renamed"), &json!(old)));
    }
}
