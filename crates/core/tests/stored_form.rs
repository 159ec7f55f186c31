//! The stored form holds what the producer sent, whatever its spelling: property tests of `event::body` and `event::intake`.
#![expect(clippy::unwrap_used, reason = "a test whose fixture is wrong can only stop")]

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use toktra_siem_core::event::body::{BodyFormat, split_body};
use toktra_siem_core::event::differs::differs;
use toktra_siem_core::event::intake::{Intake, OrgRule, normalise, normalise_own};
use toktra_siem_core::event::spans::{member, members};
use toktra_siem_core::event::{MAX_DEPTH, MAX_EVENT_BYTES, NewEvent};
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_736_937_000_120);
const ORG: OrgId = OrgId(Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888));
const FRESH: EventId = EventId(Uuid::from_u128(7));

fn intake(raw: &[u8]) -> Result<NewEvent, Vec<FieldFault>> {
    intake_by(raw, OrgRule::Only(ORG))
}

fn intake_by(raw: &[u8], org: OrgRule) -> Result<NewEvent, Vec<FieldFault>> {
    normalise(raw, &Intake { org, now: NOW, fresh_id: &|| FRESH })
}

fn stored(raw: &str) -> String {
    String::from_utf8(intake(raw.as_bytes()).unwrap().payload.to_vec()).unwrap()
}

fn faults(raw: &str) -> Vec<String> {
    intake(raw.as_bytes()).unwrap_err().iter().map(ToString::to_string).collect()
}

/// Prints `value` with whitespace and escapes as `choices` say.
fn print(value: &Value, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
    let mut space =
        |out: &mut String| out.push_str(["", "", " ", "\n", "\t\r "][choices.next().unwrap_or(0) as usize % 5]);
    match value {
        Value::Object(map) => {
            space(out);
            out.push('{');
            for (at, (key, inner)) in map.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                print(&Value::from(key.as_str()), choices, out);
                out.push(':');
                print(inner, choices, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            space(out);
            out.push('[');
            for (at, inner) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                print(inner, choices, out);
            }
            out.push(']');
        }
        Value::String(text) => {
            space(out);
            out.push('"');
            for c in text.chars() {
                let plain = Value::from(c.to_string()).to_string();
                match choices.next().unwrap_or(0) % 8 {
                    0 => c
                        .encode_utf16(&mut [0; 2])
                        .iter()
                        .for_each(|unit| out.extend(["\\u".to_owned(), format!("{unit:04X}")])),
                    1 if c == '/' => out.push_str("\\/"),
                    _ => out.push_str(&plain[1..plain.len() - 1]),
                }
            }
            out.push('"');
        }
        scalar => {
            space(out);
            out.push_str(&scalar.to_string());
        }
    }
    out.push_str(["", "", " ", "\n"][choices.next().unwrap_or(0) as usize % 4]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}|[\"\\\\/\n\u{1}\u{2028}é😀]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-c\"é]{0,3}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-d]{1,3}", any_json(), 0..6)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn any_tags() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-d\n]{1,3}", "\\PC{0,9}", 0..4)
        .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k, Value::from(v))).collect()))
}

fn text() -> impl Strategy<Value = Value> {
    "(?s).{0,20}".prop_map(Value::from)
}

/// Valid events, as the fields in the order in which they are to be sent.
fn any_event() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let types = select(vec!["policy_violation", "anomaly", "budget_alert", "lockout"]);
    let required = (types, select(vec!["low", "medium", "high", "critical"]));
    let time = (946_684_800_000i64..1_737_000_000_000, 0usize..10)
        .prop_map(|(ms, digits)| format!("{:.*}", digits, jiff::Timestamp::from_millisecond(ms).unwrap()));
    let optional = (
        proptest::option::of(any::<u128>().prop_map(|n| json!(Uuid::from_u128(n).to_string()))),
        proptest::option::of(time.prop_map(Value::from)),
        proptest::option::of(Just(json!(ORG.to_string()))),
        proptest::collection::vec(proptest::option::of(text()), 6),
        proptest::option::of(any_object()),
        proptest::option::of(any_tags()),
        proptest::option::of(Just(json!("toktra"))),
    );
    (required, optional).prop_flat_map(|((event_type, severity), (id, time, org, texts, details, tags, source))| {
        let mut fields = vec![("event_type", json!(event_type)), ("severity", json!(severity))];
        let names = ["user_id", "user_email", "provider", "model", "policy_id", "summary"];
        let singles = [
            ("event_id", id),
            ("timestamp", time),
            ("org_id", org),
            ("details", details),
            ("tags", tags),
            ("source", source),
        ];
        fields.extend(singles.into_iter().chain(names.into_iter().zip(texts)).filter_map(|(name, v)| Some((name, v?))));
        Just(fields).prop_shuffle()
    })
}

/// The event as JSON text in some spelling, its fields in their order.
fn spell(fields: &[(&str, Value)], choices: Vec<u8>) -> String {
    let mut choices = choices.into_iter().cycle();
    let mut out = String::from(" {");
    for (at, (name, value)) in fields.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        print(&Value::from(*name), &mut choices, &mut out);
        out.push(':');
        print(value, &mut choices, &mut out);
    }
    out + "\n}\n"
}

/// Small members first; what can be long last.
const ORDER: [&str; 14] = [
    "event_id",
    "event_type",
    "severity",
    "timestamp",
    "org_id",
    "user_id",
    "user_email",
    "provider",
    "model",
    "policy_id",
    "source",
    "summary",
    "tags",
    "details",
];
/// `null` where they are missing.
const NULLABLE: [&str; 4] = ["user_id", "user_email", "provider", "model"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_stored_form_is_what_was_sent_and_what_was_missing(
        fields in any_event(), choices in proptest::collection::vec(any::<u8>(), 1..60),
    ) {
        let raw = spell(&fields, choices);
        let event = intake(raw.as_bytes()).unwrap();
        let payload = str::from_utf8(&event.payload).unwrap();
        prop_assert!(!payload.contains(['\n', '\r']));
        prop_assert_eq!(payload.chars().next_back(), Some('}'));

        let kept: Map<String, Value> = serde_json::from_str(payload).unwrap();
        let sent: Map<String, Value> = serde_json::from_str(&raw).unwrap();
        for (name, value) in &sent {
            prop_assert_eq!(&kept[name], value);
        }
        let names: Vec<_> = members(&event.payload).map(|(name, _)| str::from_utf8(name).unwrap()).collect();
        let expected: Vec<_> = ORDER.into_iter().filter(|name| *name != "policy_id" || sent.contains_key("policy_id")).collect();
        prop_assert_eq!(names, expected);
        for name in NULLABLE.iter().filter(|name| !sent.contains_key(**name)) {
            prop_assert_eq!(&kept[*name], &Value::Null);
        }
        for name in ["tags", "details"].iter().filter(|name| !sent.contains_key(**name)) {
            prop_assert_eq!(&kept[*name], &json!({}));
        }

        prop_assert_eq!(event.event_type.as_str(), kept["event_type"].as_str().unwrap());
        prop_assert_eq!(event.severity.as_str(), kept["severity"].as_str().unwrap());
        prop_assert_eq!(event.event_id.to_string(), kept["event_id"].as_str().unwrap());
        prop_assert_eq!(event.org.to_string(), kept["org_id"].as_str().unwrap());
        let time: jiff::Timestamp = kept["timestamp"].as_str().unwrap().parse().unwrap();
        prop_assert_eq!(event.event_time, Timestamp(time.as_millisecond()));

        let again = intake(&event.payload).unwrap();
        prop_assert_eq!(&again.payload, &event.payload);
        prop_assert!(!differs(&event.payload, &event));
        prop_assert!(!differs(&event.payload, &again));
    }

    #[test]
    fn a_repetition_differs_where_a_field_that_was_sent_does(
        fields in any_event(), choices in proptest::collection::vec(any::<u8>(), 1..60), other in any_event(), pick: prop::sample::Index,
    ) {
        let original = intake(spell(&fields, choices.clone()).as_bytes()).unwrap();
        let mut later = fields.clone();
        later.reverse();
        let later_event = normalise(
            spell(&later, choices).as_bytes(),
            &Intake { org: OrgRule::Only(ORG), now: Timestamp(NOW.0 + 5), fresh_id: &|| original.event_id },
        ).unwrap();
        let respelt = later.iter().any(|(name, _)| {
            member(&original.payload, name) != member(&later_event.payload, name)
        });
        prop_assert_eq!(differs(&original.payload, &later_event), respelt);

        let (name, value) = &other[pick.index(other.len())];
        let changed = intake(spell(&replaced(&fields, name, value), vec![2]).as_bytes()).unwrap();
        let plain = intake(spell(&fields, vec![2]).as_bytes()).unwrap();
        let same = member(&plain.payload, name) == member(&changed.payload, name);
        prop_assert_eq!(differs(&plain.payload, &changed), !same);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, choices in proptest::collection::vec(any::<u8>(), 1..9), fields in any_event(), at: prop::sample::Index, byte: u8) {
        let mut damaged = spell(&fields, choices).into_bytes();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        for raw in [&bytes, &damaged] {
            for event in split_body(raw, BodyFormat::Json).into_iter().flatten() {
                match intake(event.bytes) {
                    Ok(event) => prop_assert!(serde_json::from_slice::<Value>(&event.payload).is_ok()),
                    Err(faults) => prop_assert!(!faults.is_empty()),
                }
            }
        }
    }

    #[test]
    fn a_body_is_accepted_only_where_it_is_json(count in 1usize..4, at: prop::sample::Index, junk in select(vec!["]", "}", "{", "[", "\"", ",", ":", "x", "1 "])) {
        let event = r#"{"event_type":"lockout","severity":"low","details":{"a":[1,"]"]}}"#;
        let mut body = format!("[{}]", vec![event; count].join(","));
        body.insert_str(at.index(body.len() + 1), junk);
        let all = |events: Vec<_>| events.iter().all(|e: &toktra_siem_core::event::body::RawEvent<'_>| intake(e.bytes).is_ok());
        if split_body(body.as_bytes(), BodyFormat::Json).is_ok_and(all) {
            prop_assert!(serde_json::from_str::<Value>(&body).is_ok(), "{}", body);
        }
    }
}

fn replaced<'a>(fields: &[(&'a str, Value)], name: &'a str, value: &Value) -> Vec<(&'a str, Value)> {
    let mut fields: Vec<_> = fields.iter().filter(|(n, _)| *n != name).cloned().collect();
    fields.push((name, value.clone()));
    fields
}

#[test]
fn the_product_example_keeps_its_bytes_small_members_first() {
    let sent = format!(
        r#"{{
  "event_type": "policy_violation", "org_id": "{}", "user_id": "u", "severity": "high", "provider": "openai", "model": "gpt-4",
  "timestamp": "2025-01-15T10:30:00Z",
  "details": {{ "policy_name": "max-tokens", "threshold": 1.0e5, "actual": 150000 }}
}}"#,
        ORG.to_string().to_uppercase()
    );
    assert_eq!(
        stored(&sent),
        format!(
            concat!(
                r#"{{"event_id":"{}","event_type":"policy_violation","severity":"high","timestamp":"2025-01-15T10:30:00Z","org_id":"{}","#,
                r#""user_id":"u","user_email":null,"provider":"openai","model":"gpt-4","source":"toktra","#,
                r#""summary":"Policy max-tokens breached: 150000 against a threshold of 1.0e5 (openai gpt-4)","tags":{{}},"#,
                r#""details":{{"policy_name":"max-tokens","threshold":1.0e5,"actual":150000}}}}"#
            ),
            FRESH, ORG
        )
    );
}

/// What was drawn for this event cannot be known; what a producer sent can, be it the same.
#[test]
fn an_id_is_made_unless_it_was_sent() {
    let plain = r#"{"severity":"low","event_type":"lockout"}"#;
    let made = intake(plain.as_bytes()).unwrap();
    assert_eq!((made.event_id, made.made), (FRESH, true));
    let sent = intake(plain.replace('}', &format!(r#","event_id":"{FRESH}"}}"#)).as_bytes()).unwrap();
    assert_eq!((sent.event_id, sent.made), (FRESH, false));
}

#[test]
fn escaped_names_and_words_are_recognised_and_written_plainly() {
    let form = stored(r#"{"sever\u0069ty":"h\u0069gh","event_type":"lockout","summary":"\u0041 \/"}"#);
    assert!(form.contains(r#","event_type":"lockout","severity":"high","#), "{form}");
    assert!(form.contains(r#","summary":"\u0041 \/","#), "{form}");
}

#[test]
fn null_means_absent() {
    let form = stored(
        r#"{"user_id":null,"event_type":"lockout","timestamp":null,"severity":"low","tags":null,"org_id":null}"#,
    );
    assert_eq!(form, stored(r#"{"event_type":"lockout","severity":"low"}"#));
    assert!(form.contains(r#""user_id":null,"user_email":null,"provider":null,"model":null,"source":"#), "{form}");
    assert!(form.ends_with(r#""tags":{},"details":{}}"#), "{form}");
    assert_eq!(faults(r#"{"event_type":null,"severity":"low"}"#), ["event_type: is missing"]);
}

#[test]
fn all_faults_of_an_event_are_named_at_once() {
    let long = "x".repeat(400);
    let raw = format!(
        r#"{{"severity":"urgent","colour":1,"integrity":{{}},"source":"me","details":[],"tags":{{"a":1}},"user_id":"{long}",
            "event_id":"{{0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f}}","org_id":"{}","timestamp":"yesterday","model":3,"model":"x"}}"#,
        Uuid::nil()
    );
    assert_eq!(
        faults(&raw),
        [
            "severity: `urgent` is not one of low, medium, high, critical",
            "/colour: `colour` is not a field of an event; put it into `details` or `tags`",
            "integrity: is reserved for the service; leave it out",
            "source: `me` is not `toktra`, the source of every event; leave it out",
            "details: must be an object",
            "/tags/a: must be a string",
            "user_id: is longer than 256 characters; shorten it",
            "event_id: `{0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f}` is not a UUID with hyphens, such as \
             0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f",
            "org_id: is not the org of the API key; leave it out, or use that org's key",
            "timestamp: `yesterday` is not a time in RFC 3339, such as 2025-01-15T10:30:00Z",
            "model: must be a string",
            "model: stands more than once in the event; keep one of them",
            "event_type: is missing",
        ]
    );
}

#[test]
fn own_event_types_are_refused_and_faults_are_capped() {
    assert_eq!(
        faults(r#"{"event_type":"heartbeat","severity":"low"}"#),
        ["event_type: heartbeat events are made by the service itself and cannot be posted"]
    );
    let raw = r#"{"event_type":"test_connection","severity":"low"}"#;
    assert_eq!(
        faults(raw),
        ["event_type: test_connection events are made by a test delivery alone and cannot be posted"]
    );
    let intake = Intake { org: OrgRule::Only(ORG), now: NOW, fresh_id: &|| FRESH };
    assert!(normalise_own(raw.as_bytes(), &intake).is_ok());
    let many: Vec<_> = (0..100).map(|n| format!("\"{n}{}\":0", "k".repeat(200))).collect();
    let named = faults(&format!("{{\"event_type\":\"lockout\",\"severity\":\"low\",{}}}", many.join(",")));
    assert_eq!(named.len(), 21);
    assert_eq!(named[20], "and 80 more faults in this event");
    assert!(named.iter().all(|fault| fault.len() < 220));
}

#[test]
fn repeated_names_are_refused_also_when_they_are_equal_only_in_meaning() {
    for (raw, pointer) in [
        (r#"{"event_type":"lockout","event\u005ftype":"lockout","severity":"low"}"#, "/event_type"),
        (r#"{"event_type":"lockout","severity":"low","details":{"a":{"b":1,"\u0062":2}}}"#, "/details/a/b"),
        (r#"{"event_type":"lockout","severity":"low","details":{"a":[0,{"b":1,"b":2}]}}"#, "/details/a/1/b"),
        (r#"{"event_type":"lockout","severity":"low","tags":{"a":"1","a":"1"}}"#, "/tags/a"),
        (r#"{"event_type":"lockout","severity":"low","user_id":null,"user_id":"x"}"#, "/user_id"),
    ] {
        let found = intake(raw.as_bytes()).unwrap_err();
        assert_eq!(found.len(), 1, "{raw}");
        assert_eq!(found[0].pointer, pointer);
        assert!(found[0].message.contains("more than once"));
    }
}

#[test]
fn limits_hold_at_their_boundary() {
    let sized = |bytes: usize| {
        let frame = r#"{"event_type":"lockout","severity":"low","details":{"a":""}}"#;
        frame.replace("\"a\":\"\"", &format!("\"a\":\"{}\"", "x".repeat(bytes - frame.len())))
    };
    assert!(intake(sized(MAX_EVENT_BYTES).as_bytes()).is_ok());
    assert!(faults(&sized(MAX_EVENT_BYTES + 1))[0].contains("at most 262144"));

    let deep = |levels: usize| {
        format!(
            r#"{{"event_type":"lockout","severity":"low","details":{}{}}}"#,
            "{\"a\":".repeat(levels - 1) + "0",
            "}".repeat(levels - 1)
        )
    };
    assert!(intake(deep(MAX_DEPTH).as_bytes()).is_ok());
    let found = intake(deep(MAX_DEPTH + 1).as_bytes()).unwrap_err();
    assert!(found[0].pointer.starts_with("/details/a/a") && found[0].message.contains("32 levels"));

    for (characters, fits) in [(320, true), (321, false)] {
        let raw = format!(r#"{{"event_type":"lockout","severity":"low","user_email":"{}"}}"#, "é".repeat(characters));
        assert_eq!(intake(raw.as_bytes()).is_ok(), fits);
    }
}

#[test]
fn says_where_an_event_is_not_json() {
    for (raw, part) in [
        ("[1]", "an event must be an object (column 1 of the event"),
        ("{\n \"a\" 1}", "expected `:` (line 2, column 6"),
        (r#"{"user_id":"\ud800"}"#, "half of a surrogate pair"),
        ("{\"user_id\":\"\u{1}\"}", "control characters"),
        (r#"{"user_id":"x}"#, "the string does not end"),
        (r#"{"user_id":"x"} {}"#, "as application/x-ndjson"),
        (r#"{"user_id":"x",}"#, "expected a name in double quotes"),
        (r#"{"details":{"a":01}}"#, "expected `,` or `}`"),
    ] {
        let named = faults(raw);
        assert!(named[0].contains(part), "{raw}: {named:?}");
    }
    assert!(intake(b"{\"user_id\":\"\xFF\"}").unwrap_err()[0].message.contains("not valid UTF-8 from byte 12 on"));
    let endless = r#"{"event_type":"lockout","severity":"low","details":{"a":1e999}}"#;
    assert_eq!(faults(endless), ["/details/a: is a number beyond a 64-bit float; send it as a string"]);
}

#[test]
fn platform_keys_name_the_org() {
    let other = OrgId(Uuid::from_u128(9));
    let raw = format!(r#"{{"event_type":"lockout","severity":"low","org_id":"{other}"}}"#);
    let bare = r#"{"event_type":"lockout","severity":"low"}"#;
    assert_eq!(intake_by(raw.as_bytes(), OrgRule::Any { default: Some(ORG) }).unwrap().org, other);
    assert_eq!(intake_by(bare.as_bytes(), OrgRule::Any { default: Some(ORG) }).unwrap().org, ORG);
    let refused = intake_by(bare.as_bytes(), OrgRule::Any { default: None }).unwrap_err();
    assert_eq!(refused[0].pointer, "/org_id");
}
