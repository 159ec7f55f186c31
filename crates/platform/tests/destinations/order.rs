//! The order of what is sent: small members first, `details` last. Splunk reads 10,000 bytes of an event (`TRUNCATE`) and finds fields in
//! the first 10,240 characters (`maxchars` of `[kv]`): behind a long `details` nothing would be found.

use proptest::prelude::*;
use serde_json::{Value, json};
use toktra_siem_core::event::intake::{Intake, OrgRule, normalise};
use toktra_siem_core::event::spans::members;
use toktra_siem_core::ids::{EventId, StreamKind};

use super::support::{NOW, datadog_settings, encode_all, org, splunk_settings, stored, stream};

/// As it is stored, whatever the order in which it came.
fn taken_in(event: &Value) -> String {
    let raw = event.to_string();
    let intake = Intake { org: OrgRule::Only(org()), now: NOW, fresh_id: &|| EventId(uuid::Uuid::from_u128(7)) };
    String::from_utf8(normalise(raw.as_bytes(), &intake).expect("an event").payload.to_vec()).expect("text")
}

/// A violation with 12 kB of details, which the producer put first.
fn large() -> String {
    let mut event =
        json!({ "details": { "a": "x".repeat(12_000) }, "event_type": "policy_violation", "severity": "high" });
    event["summary"] = json!("s".repeat(8_000));
    event["tags"] = json!({ "team": "ml" });
    taken_in(&event)
}

fn names(object: &[u8]) -> Vec<String> {
    members(object).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

#[test]
fn splunk_and_datadog_get_what_is_small_first_and_details_last() {
    let event = stored(&large());
    let splunk = encode_all(&*stream(&splunk_settings(false), StreamKind::Events), std::slice::from_ref(&event));
    let outer = names(&splunk.body);
    assert_eq!(outer.last().map(String::as_str), Some("event"));
    let datadog = encode_all(&*stream(&datadog_settings("datadoghq.com", None), StreamKind::Logs), &[event]);
    let entry = &datadog.body[1..datadog.body.len() - 1];
    let order = names(entry);
    assert_eq!(order[order.len() - 4..], ["message", "summary", "tags", "details"]);
    for body in [&splunk.body, &datadog.body] {
        let text = String::from_utf8_lossy(body);
        for name in ["event_id", "event_type", "severity", "timestamp", "org_id", "source"] {
            let at = text.find(&format!("\"{name}\":")).expect(name);
            assert!(at < 700, "{name} at byte {at}");
        }
        assert!(text.find("\"details\":").expect("details") > 8_000);
    }
}

/// docs/spec.md, "Members of an event": Splunk would show the word `null`.
#[test]
fn what_is_not_known_is_null_but_in_splunk_where_it_is_left_out() {
    let event = stored(&taken_in(&json!({ "event_type": "lockout", "severity": "low" })));
    let splunk = encode_all(&*stream(&splunk_settings(false), StreamKind::Events), std::slice::from_ref(&event));
    let sent: Value = serde_json::from_slice(&splunk.body).expect("one object");
    let datadog = encode_all(&*stream(&datadog_settings("datadoghq.com", None), StreamKind::Logs), &[event]);
    let entries: Value = serde_json::from_slice(&datadog.body).expect("an array");
    for name in ["user_id", "user_email", "provider", "model"] {
        assert_eq!(sent["event"].get(name), None, "{name}");
        assert_eq!(entries[0].get(name), Some(&Value::Null), "{name}");
    }
    for name in ["details", "tags"] {
        assert_eq!((&sent["event"][name], &entries[0][name]), (&json!({}), &json!({})));
    }
}

/// A value that may look like a member or a null where it is written out.
fn tricky() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        r#"[":nul,{}\[\]\\ a]{0,12}"#.prop_map(Some),
        Just(Some(":null,".to_owned())),
        Just(Some(r#"a":null,"user_id"#.to_owned())),
        Just(Some(r#""source":"toktra""#.to_owned())),
        Just(Some(r#"x":{"y":["#.to_owned())),
    ]
}

proptest! {
    #[test]
    fn whatever_the_values_are_splunk_gets_all_members_but_the_nulls(values in proptest::array::uniform6(tricky())) {
        let names = ["user_id", "user_email", "provider", "model", "policy_id", "summary"];
        let mut event = json!({ "event_type": "anomaly", "severity": "low", "details": { "user_id": null, "b": [null, { "c": null }] } });
        for (name, value) in names.iter().zip(&values) {
            event[name] = json!(value);
        }
        let event = stored(&taken_in(&event));
        let mut expected: Value = serde_json::from_slice(&event.payload).expect("an object");
        expected.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        let splunk = encode_all(&*stream(&splunk_settings(false), StreamKind::Events), std::slice::from_ref(&event));
        let sent: Value = serde_json::from_slice(&splunk.body).expect("one object");
        prop_assert_eq!(&sent["event"], &expected);
    }
}
