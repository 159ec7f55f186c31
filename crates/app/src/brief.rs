//! What the audit log keeps of large values: enough to know them by, not the values. A row lives as long as the history, and takes of the disk what
//! events could take.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use toktra_siem_platform::pem;

/// Bytes of a text that are kept as they are.
const TEXT: usize = 2 << 10;
/// Bytes that a row's detail may take.
const ROW: usize = 16 << 10;
/// Bytes of a member that is kept as it is in a row that would take more.
const MEMBER: usize = 256;
/// Certificates of a text that are named.
const NAMED: usize = 4;
/// Bytes of a subject.
const SUBJECT: usize = 128;
/// How every certificate in PEM begins.
const ARMOUR: &str = "-----BEGIN ";

/// The same detail with a digest in the place of each certificate and of each long text. If it would still be larger than 16 KiB, its
/// larger members become digests as well, and in the end the whole.
pub fn brief(mut detail: Value) -> Value {
    shorten(&mut detail);
    // Before and after, then what is in them, then what is in that.
    for depth in [3, 2, 1] {
        if length(&detail) <= ROW {
            return detail;
        }
        digest_below(&mut detail, depth);
    }
    if length(&detail) <= ROW { detail } else { json!({ "digest": of_large(&detail) }) }
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(ARMOUR) || text.len() > TEXT => *text = of_text(text),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}

/// Puts a digest in the place of what is large among the members that lie so deep.
fn digest_below(value: &mut Value, depth: usize) {
    let Value::Object(members) = value else { return };
    for member in members.values_mut() {
        if depth > 1 {
            digest_below(member, depth - 1);
        } else if length(member) > MEMBER {
            *member = of_large(member).into();
        }
    }
}

/// Certificates by fingerprint and subject, any other text by its digest.
fn of_text(text: &str) -> String {
    let said = pem::said(text);
    if said.is_empty() {
        return of_bytes(text.as_bytes());
    }
    let mut brief = String::new();
    for certificate in said.iter().take(NAMED) {
        let separator = if brief.is_empty() { "" } else { ", " };
        let fingerprint = certificate.fingerprint.replace(':', "").to_lowercase();
        let subject: String = certificate.subject.chars().take(SUBJECT).collect();
        let _ = write!(brief, "{separator}sha256:{fingerprint} ({subject})");
    }
    if said.len() > NAMED {
        let _ = write!(brief, " and {} more, {} together", said.len() - NAMED, of_bytes(text.as_bytes()));
    }
    brief
}

fn of_large(value: &Value) -> String {
    of_bytes(value.to_string().as_bytes())
}

fn of_bytes(bytes: &[u8]) -> String {
    format!("sha256:{} ({} bytes)", hex::encode(Sha256::digest(bytes)), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../../../fixtures/certificates/splunk-ca.pem");

    #[test]
    fn a_certificate_is_known_by_fingerprint_and_subject() {
        let kept =
            brief(json!({ "before": { "config": { "tls_ca": null } }, "after": { "config": { "tls_ca": PEM } } }));
        let said = pem::said(PEM);
        let told = kept["after"]["config"]["tls_ca"].as_str().unwrap();
        assert_eq!(kept["before"]["config"]["tls_ca"], Value::Null);
        assert!(told.starts_with("sha256:") && told.contains(&said[0].subject), "{told}");
        assert!(said[0].fingerprint.replace(':', "").eq_ignore_ascii_case(&told[7..71]), "{told}");

        let many = PEM.repeat(9);
        let told = brief(json!({ "ca": many }))["ca"].as_str().unwrap().to_owned();
        assert!(told.len() < 1_500 && told.contains("more, sha256:"), "{told}");
        let broken = brief(json!("-----BEGIN CERTIFICATE-----"));
        assert!(broken.as_str().unwrap().ends_with("(27 bytes)"), "{broken}");
    }

    #[test]
    fn whatever_is_done_a_row_is_small_and_differs_where_the_values_differ() {
        let wide = |n: usize| Value::Object((0..n).map(|at| (format!("m{at}"), "x".repeat(300).into())).collect());
        let long = Value::Array(vec!["word".into(); 5_000]);
        for large in
            [wide(100), wide(2_000), long, json!("y".repeat(1 << 20)), json!({ "a": { "b": { "c": wide(900) } } })]
        {
            let other =
                json!({ "before": { "name": "a", "config": large }, "after": { "name": "b", "config": [large, 1] } });
            let kept = brief(other.clone());
            assert!(length(&kept) <= ROW, "{} of {}", length(&kept), length(&other));
            assert_ne!(kept["before"]["config"], kept["after"]["config"]);
            assert_eq!((&kept["before"]["name"], &kept["after"]["name"]), (&json!("a"), &json!("b")));
        }
        let whole = brief(wide(2_000));
        assert!(length(&whole) < 200 && whole["digest"].as_str().unwrap().starts_with("sha256:"), "{whole}");
        let small = json!({ "before": { "url": "https://siem.example:8088", "filter": ["high"] }, "count": 3 });
        assert_eq!(brief(small.clone()), small);
    }
}
