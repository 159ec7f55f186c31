//! A SIEM whose certificate nobody vouches for: a test shows it, its fingerprint is trusted, and a changed one stops the connector.

use rcgen::{CertificateParams, KeyPair};
use toktra_siem_fake::Tls;
use toktra_siem_testkit::prelude::*;

/// A certificate of a SIEM, as `openssl req -x509` makes it.
fn tls() -> Tls {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    Tls { cert_pem: params.self_signed(&key).unwrap().pem(), key_pem: key.serialize_pem() }
}

#[tokio::test]
async fn a_certificate_is_shown_trusted_by_its_fingerprint_and_missed_when_it_changes() {
    let (world, tls) = (World::start().await, tls());
    let splunk = splunk_with(|options| options.receiver.tls = Some(tls.clone())).await;
    let other = splunk_with(|options| options.receiver.tls = Some(self::tls())).await;
    let org = world.org("Acme").await;
    let body = json!({ "name": "Splunk", "platform": "splunk", "config": splunk.config(), "active": true });
    let refused = org.call("/v1/siem/connectors/test", &body).await;
    assert_eq!(refused["streams"][0]["cause"]["code"], "tls_untrusted", "{refused}");
    let (shown, hint) = (&refused["certificate"], refused["hint"].text());
    let fingerprint = shown["fingerprint"].text();
    assert_eq!((&shown["names"], &shown["self_signed"]), (&json!(["127.0.0.1"]), &json!(true)), "{refused}");
    assert!(
        hint.contains(&fingerprint) && hint.contains("openssl x509 -in <file> -noout -fingerprint -sha256"),
        "{hint}"
    );

    let trusting = with(splunk.config(), "tls_fingerprint", fingerprint.to_lowercase());
    let connector = org.connector("splunk", trusting.clone(), json!({})).await;
    org.post_event(event("lockout", "high")).await;
    connector.arrived().await;

    // Another certificate at the same place, as far as the connector knows.
    let elsewhere = json!({ "config": { "hec_url": other.base_url(), "hec_token": CREDENTIAL } });
    let changed = connector.test(elsewhere).await;
    let cause = &changed["streams"][0]["cause"];
    assert_eq!(cause["code"], "tls_fingerprint_changed", "{changed}");
    let found = changed["certificate"]["fingerprint"].text();
    assert!(cause["message"].text().contains(&fingerprint) && cause["message"].text().contains(&found), "{changed}");
    assert!(found != fingerprint && other.events().is_empty());
    world.end().await;
}
