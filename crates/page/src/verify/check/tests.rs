use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const NOW: Timestamp = Timestamp(1_736_937_000_000);

#[derive(Deserialize)]
struct Case {
    name: String,
    body: String,
    secret: String,
    header: String,
    /// What the documented code says (`tests/journeys/signing.rs` asks it).
    valid: bool,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../../../fixtures/verify/cases.json")).unwrap()
}

fn told(verdict: &Verdict) -> String {
    let findings: Vec<&str> = verdict.findings.iter().map(|finding| &*finding.what).collect();
    format!("{:?}: {}", verdict.outcome, findings.join(" "))
}

#[test]
fn every_known_mistake_is_found_and_the_documented_code_agrees() {
    let mut report = String::new();
    for case in cases() {
        let verdict = signature(&body(&case.body), &case.secret.as_str().into(), &case.header);
        // Base64 is how the form takes bytes; the code gets the bytes.
        let harmless = case.name == "compressed, in base64";
        assert_eq!(verdict.outcome == Outcome::Valid, case.valid || harmless, "{}", case.name);
        report.extend([case.name.as_str(), "\n  ", &told(&verdict), "\n"]);
    }
    insta::assert_snapshot!(report);
}

#[test]
fn no_sentence_holds_the_secret() {
    for case in cases().iter().filter(|case| case.secret.len() > 10) {
        let verdict = signature(&case.body, &case.secret.as_str().into(), &case.header);
        assert!(!format!("{verdict:?}").contains(case.secret.trim()), "{}", case.name);
    }
}

#[test]
fn the_signature_of_what_was_typed_is_shown() {
    let expected = signature("{}", &"secret".into(), "").expected.unwrap();
    assert_eq!(signature("{}", &"secret".into(), &expected).outcome, Outcome::Valid);
}

fn signed(id: &str, timestamp: &str, text: &str, secret: &str) -> String {
    expected_webhook(&secret.into(), &format!("{id}.{timestamp}."), text)
}

#[test]
fn standard_webhooks_are_checked_with_their_time() {
    let at = "1736937000";
    let good = Webhook { id: "0195".into(), timestamp: at.into(), signature: signed("0195", at, "{}", "secret") };
    let check = |webhook: &Webhook, text: &str| super::webhook(text, &"secret".into(), webhook, NOW);
    assert_eq!(told(&check(&good, "{}")), "Valid: ");
    let lines = Webhook {
        id: format!("webhook-id: {}", good.id),
        timestamp: format!("< webhook-timestamp: {at}"),
        signature: format!("Webhook-Signature: {} v1,{}", good.signature, BASE64.encode([0; 32])),
    };
    assert_eq!(told(&check(&lines, "{}")), "Valid: ");
    let with = |change: &dyn Fn(&mut Webhook)| {
        let mut webhook = good.clone();
        change(&mut webhook);
        webhook
    };
    let said = [
        told(&check(&good, "{}\n")),
        told(&check(&good, "{\"another\":1}")),
        told(&check(&with(&|w| w.timestamp.push_str("000")), "{}")),
        told(&check(&with(&|w| w.timestamp = "2025-01-15T10:30:00Z".into()), "{}")),
        told(&check(&with(&|w| w.id.clear()), "{}")),
        told(&check(&with(&|w| w.signature.clear()), "{}")),
        told(&check(&with(&|w| w.signature = w.signature.replace("v1,", "")), "{}")),
        told(&check(&with(&|w| w.signature.truncate(30)), "{}")),
        told(&check(&with(&|w| w.signature = signed("", "", "{}", "secret").replace("v1,", "v1=")), "{}")),
        told(&super::webhook("{}", &"secret".into(), &good, NOW.plus(Duration::from_hours(1)))),
    ];
    insta::assert_snapshot!(said.join("\n"));
    let alone = signing::signature(&"secret".into(), b"{}");
    let alone = with(&|w| w.signature = format!("v1,{}", BASE64.encode(hex::decode(&alone[7..]).unwrap())));
    assert_eq!(told(&check(&alone, "{}")), "Explained: This signature is made of the body alone.");
}

#[test]
fn a_secret_of_standard_webhooks_is_decoded_for_their_signature_alone() {
    let secret: SecretString = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into();
    let webhook = Webhook {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
        timestamp: "1614265330".into(),
        signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".into(),
    };
    let at = Timestamp(1_614_265_330_000);
    assert_eq!(told(&super::webhook(r#"{"test": 2432232314}"#, &secret, &webhook, at)), "Valid: ");
    let characters = hex::decode(&signing::signature(&secret, b"i.1614265330.{}")[7..]).unwrap();
    let webhook = Webhook { id: "i".into(), signature: format!("v1,{}", BASE64.encode(characters)), ..webhook };
    assert_eq!(
        told(&super::webhook("{}", &secret, &webhook, at)),
        "Explained: This signature was made with the characters of the secret, not with the bytes that they spell in base64."
    );
}

proptest! {
    #[test]
    fn valid_is_exactly_what_the_documented_code_calls_valid(
        text in any::<String>(), secret in ".{1,40}", pasted in "(sha256=)?[0-9a-fA-F]{60,66}",
    ) {
        let (text, secret) = (body(&text), SecretString::from(secret));
        let right = signing::signature(&secret, text.as_bytes());
        prop_assert_eq!(signature(&text, &secret, &right).outcome, Outcome::Valid);
        prop_assert_ne!(signature(&text, &secret, &pasted).outcome, Outcome::Valid);
    }

    #[test]
    fn whatever_is_typed_gets_an_answer(text in any::<String>(), secret in any::<String>(), parts in any::<[String; 4]>()) {
        let [id, timestamp, code, header] = parts;
        let webhook = Webhook { id, timestamp, signature: code };
        let told = super::webhook(&text, &secret.as_str().into(), &webhook, NOW);
        prop_assert!(told.outcome != Outcome::Valid && !told.findings.is_empty());
        let told = signature(&text, &secret.as_str().into(), &header);
        prop_assert!(told.outcome != Outcome::Valid && !told.findings.is_empty());
    }
}
