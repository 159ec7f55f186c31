//! Certificates and keys of a connector: what is understood is stored in one form, what cannot be used is refused when it is saved.

use rcgen::{CertificateParams, KeyPair};
use toktra_siem_testkit::prelude::*;

const CONNECTORS: &str = "/v1/siem/connectors";
/// As everybody makes one.
const PEM: &str = include_str!("../../../../../fixtures/certificates/self-signed.pem");
/// As Splunk ships it.
const V1: &str = include_str!("../../../../../fixtures/certificates/splunk-default-v1.pem");

fn body(config: &Value) -> Value {
    let mut body = splunk_body("Splunk");
    for (name, value) in config.as_object().unwrap() {
        body["config"][name] = value.clone();
    }
    body
}

/// A client certificate and its key.
fn client() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new(vec!["toktra".to_owned()]).unwrap().self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn certificates_are_stored_in_one_form_and_the_key_is_never_shown() {
    let world = World::here().await;
    let (certificate, key) = client();
    let fingerprint = "ab".repeat(32);
    let config = json!({
        "tls_ca": PEM.replace('\n', "\\n"),
        "tls_server_name": "Splunk.Internal.",
        "tls_client_cert": certificate.replace('\n', " "),
        "tls_client_key": key.replace('\n', "\r\n"),
    });
    let made = world.post(CONNECTORS, &body(&config)).await.expect_status(201).json();
    let shown = &made["config"];
    assert_eq!((&shown["tls_ca"], &shown["tls_server_name"]), (&json!(PEM), &json!("splunk.internal")));
    assert_eq!(shown["tls_client_cert"], certificate);
    assert_eq!(shown["tls_client_key"], json!({ "set": true }), "not even how it ends");

    let path = format!("{CONNECTORS}/{}", made["id"].text());
    let pin = json!({ "config": { "tls_fingerprint": fingerprint } });
    let refused = world.patch(&path, &pin).await.expect_status(422).json();
    assert_eq!(refused["error"]["fields"][0]["pointer"], "/config/hec_token", "whom to trust is a part of the target");
    let brought = json!({ "config": {
        "tls_fingerprint": fingerprint, "hec_token": "00000000-1111-2222-3333-444444444444", "tls_client_key": key,
    } });
    let saved = world.patch(&path, &brought).await.expect_status(200).json();
    assert_eq!(saved["config"]["tls_fingerprint"], vec!["AB"; 32].join(":"));
    // All that an answer shows of a key is that it is set, before and after.
    let (another, its_key) = client();
    let renewed = json!({ "config": { "tls_client_cert": another, "tls_client_key": its_key } });
    world.patch(&path, &renewed).await.expect_status(200);
    let newest = world.get("/v1/audit?limit=1").await.json()["items"][0]["detail"].clone();
    assert_eq!((&newest["secrets_changed"], &newest["credential_changed"]), (&json!(["tls_client_key"]), &json!(true)));
    let (lines, _) = world.audit(DEFAULT_ORG).await;
    let told = format!("{lines:?}");
    assert!(told.contains("AB:AB") && !told.contains("PRIVATE KEY"), "the audit log has the fingerprint and no key");

    // A key goes with its certificate.
    let without = world.patch(&path, &json!({ "config": { "tls_client_cert": null } })).await.expect_status(200).json();
    assert_eq!(
        (&without["config"]["tls_client_cert"], &without["config"]["tls_client_key"]),
        (&Value::Null, &Value::Null)
    );
    // What TLS cannot verify by its issuer can be trusted itself.
    world.post(CONNECTORS, &with(body(&json!({ "tls_ca": V1 })), "name", "Ready-made")).await.expect_status(201);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_when_it_is_saved_and_when_it_is_tried() {
    let world = World::here().await;
    let (certificate, key) = client();
    let (_, other) = client();
    for (config, member, said) in [
        (json!({ "tls_ca": "paste here" }), "tls_ca", "holds no certificate"),
        (json!({ "tls_ca": &PEM[..300] }), "tls_ca", "cut short"),
        (json!({ "tls_ca": key }), "tls_ca", "holds a private key"),
        (json!({ "tls_fingerprint": "ab".repeat(20) }), "tls_fingerprint", "SHA-1"),
        (json!({ "tls_server_name": "https://splunk.internal" }), "tls_server_name", "the host name alone"),
        (json!({ "tls_server_name": "10.0.0.256" }), "tls_server_name", "is not a host name"),
        (json!({ "tls_server_name": "a.0x1", "tls_fingerprint": "ab".repeat(32) }), "tls_server_name", "not a host"),
        (json!({ "tls_client_cert": certificate }), "tls_client_key", "no private key"),
        (json!({ "tls_client_key": key }), "tls_client_cert", "no certificate"),
        (json!({ "tls_client_cert": certificate, "tls_client_key": other }), "tls_client_key", "another certificate"),
        (json!({ "tls_client_cert": certificate, "tls_client_key": "hunter2" }), "tls_client_key", "no private key"),
    ] {
        for path in [CONNECTORS.to_owned(), format!("{CONNECTORS}/test")] {
            let refused = world.post(&path, &body(&config)).await.expect_status(422).json();
            let fault = &refused["error"]["fields"][0];
            assert_eq!(fault["pointer"], format!("/config/{member}"), "{refused}");
            assert!(fault["message"].text().contains(said) && !refused.to_string().contains("hunter2"), "{refused}");
        }
    }
    assert_eq!(world.get(CONNECTORS).await.json()["total_count"], 0);
}
