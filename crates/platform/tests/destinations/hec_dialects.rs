//! The receivers that speak HEC besides Splunk: what each is sent, what its answers mean, and what its settings may say.

use serde_json::{Value, json};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::ids::{EventId, StreamKind};
use toktra_siem_platform::destination::Destination;
use toktra_siem_platform::read::Changes;
use toktra_siem_platform::registry::Registry;
use toktra_siem_platform::search::{Lookup, Sighting};
use toktra_siem_platform::splunk::Splunk;
use uuid::Uuid;

use crate::support::{
    NOW, SECRET, causes, encode_all, golden_events, headers, in_full, reply, show, stream, stream_with,
};

const OTHERS: [&str; 4] = ["logscale", "cribl", "edge_processor", "otel"];

fn config(dialect: &str) -> Value {
    json!({ "hec_url": "https://siem.example:8088", "hec_token": SECRET, "dialect": dialect })
}

fn parse(config: &Value) -> Result<(Settings, Credentials), Vec<String>> {
    let parsed = Registry::standard().parse_new(Splunk::ID, config);
    parsed.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn patch(current: &Settings, stored: &[&str], patch: &Value) -> Result<(Settings, Changes), Vec<String>> {
    let parsed = Registry::standard().parse_patch(current, stored, patch);
    parsed.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn settings(dialect: &str) -> Settings {
    parse(&config(dialect)).unwrap_or_else(|faults| panic!("{faults:?}")).0
}

fn destination(dialect: &str) -> Box<dyn Destination> {
    stream(&settings(dialect), StreamKind::Events)
}

#[test]
fn each_is_sent_what_it_takes() {
    for (dialect, path, scheme, index) in [
        ("splunk", "/services/collector/event", "Splunk", true),
        ("logscale", "/services/collector", "Bearer", false),
        ("cribl", "/services/collector/event", "Splunk", true),
        ("edge_processor", "/services/collector", "Splunk", true),
        ("otel", "/services/collector/event", "Splunk", true),
    ] {
        let destination = destination(dialect);
        let request = encode_all(&*destination, &golden_events());
        assert_eq!(request.url, format!("https://siem.example:8088{path}"), "{dialect}");
        assert_eq!(headers(&request)[0], ("authorization", format!("secret: {scheme} {SECRET}")), "{dialect}");
        let first: Value =
            serde_json::from_str(std::str::from_utf8(&request.body).unwrap().lines().next().unwrap()).unwrap();
        assert_eq!(first.get("index").is_some(), index, "{dialect}");
        assert_eq!(first["sourcetype"], "toktra:security", "{dialect}");
        let cost: usize = golden_events().iter().map(|event| destination.cost(event)).sum();
        assert_eq!(cost, request.body.len(), "{dialect}");
    }
}

#[test]
fn an_index_that_somebody_names_is_sent_to_everyone() {
    for dialect in OTHERS {
        let (settings, _) =
            parse(&json!({ "hec_url": "https://s.example", "hec_token": "t", "dialect": dialect, "index": "repo" }))
                .unwrap();
        let request = encode_all(&*stream(&settings, StreamKind::Events), &golden_events());
        assert!(std::str::from_utf8(&request.body).unwrap().contains(r#""index":"repo""#), "{dialect}");
    }
}

#[test]
fn some_do_without_a_token() {
    for (dialect, without) in
        [("splunk", false), ("logscale", false), ("cribl", true), ("edge_processor", true), ("otel", true)]
    {
        let bare = parse(&json!({ "hec_url": "https://s.example", "dialect": dialect }));
        let Ok((settings, credentials)) = bare else {
            assert_eq!(
                (bare.unwrap_err(), without),
                (vec!["/config/hec_token: is missing".to_owned()], false),
                "{dialect}"
            );
            continue;
        };
        assert!(without, "{dialect}");
        let request = encode_all(&*stream_with(&settings, &credentials, StreamKind::Events), &golden_events());
        assert!(headers(&request).iter().all(|(name, _)| *name != "authorization"), "{dialect}");
        // One that it had can be taken away; with a receiver that wants one it has to be brought.
        let (_, changes) = patch(&settings, &["hec_token"], &json!({ "hec_token": null })).unwrap();
        assert!(changes.names("hec_token") && changes.given().is_empty());
        let lacking = patch(&settings, &[], &json!({ "dialect": "splunk" })).unwrap_err();
        assert_eq!(lacking, ["/config/hec_token: is missing"]);
        assert!(patch(&settings, &["hec_token"], &json!({ "dialect": "splunk" })).is_ok());
        assert!(patch(&settings, &[], &json!({ "dialect": "logscale", "hec_token": "new" })).is_ok());
        // Another host takes the token along, if there is one.
        let moved = json!({ "hec_url": "https://other.example" });
        assert!(patch(&settings, &[], &moved).is_ok());
        assert!(patch(&settings, &["hec_token"], &moved).unwrap_err()[0].starts_with("/config/hec_token: is missing"));
    }
    let taken = patch(&settings("logscale"), &["hec_token"], &json!({ "hec_token": null })).unwrap_err();
    assert_eq!(taken, ["/config/hec_token: is required and cannot be null"]);
}

#[test]
fn the_default_index_goes_where_it_does_not_apply_and_comes_back() {
    // Where none is sent, an empty text stands.
    let index = |settings: &Settings| settings.text("index").map(str::to_owned).filter(|index| !index.is_empty());
    let to =
        |current: &Settings, dialect: &str| patch(current, &["hec_token"], &json!({ "dialect": dialect })).unwrap().0;
    let splunk = settings("splunk");
    let logscale = to(&splunk, "logscale");
    assert_eq!((index(&splunk).as_deref(), index(&logscale)), (Some("toktra"), None));
    assert_eq!(index(&patch(&logscale, &["hec_token"], &json!({ "sourcetype": "x" })).unwrap().0), None);
    assert_eq!(index(&to(&logscale, "otel")).as_deref(), Some("toktra"));
    assert_eq!(index(&patch(&logscale, &["hec_token"], &json!({ "index": null })).unwrap().0), None);
    // What somebody named stays, by whatever name.
    let named = patch(&logscale, &["hec_token"], &json!({ "index": "toktra" })).unwrap().0;
    assert_eq!(index(&named).as_deref(), Some("toktra"));
    assert_eq!(
        index(&patch(&named, &["hec_token"], &json!({ "sourcetype": "x" })).unwrap().0).as_deref(),
        Some("toktra")
    );
    let own = patch(&splunk, &["hec_token"], &json!({ "index": "security" })).unwrap().0;
    assert_eq!(index(&to(&own, "logscale")).as_deref(), Some("security"));
}

#[test]
fn another_dialect_is_no_other_target_and_a_record_from_before_is_splunk_s() {
    let registry = Registry::standard();
    let mut old = settings("splunk");
    old.config.remove("dialect");
    let request = encode_all(&*stream(&old, StreamKind::Events), &golden_events());
    assert_eq!(request.url, "https://siem.example:8088/services/collector/event");
    for dialect in OTHERS {
        assert!(!registry.target_changed(&settings("splunk"), &settings(dialect)), "{dialect}");
    }
    assert!(!registry.target_changed(&old, &settings("splunk")));
}

#[test]
fn acknowledgement_is_refused_where_it_says_nothing() {
    for (dialect, tells) in
        [("splunk", true), ("logscale", false), ("cribl", false), ("edge_processor", true), ("otel", false)]
    {
        let mut wish = config(dialect);
        wish["indexer_ack"] = true.into();
        match parse(&wish) {
            Ok(_) => assert!(tells, "{dialect}"),
            Err(faults) => {
                assert!(!tells && faults.len() == 1, "{dialect}: {faults:?}");
                let begin = format!("/config/indexer_ack: has to be off with the dialect `{dialect}`: ");
                assert!(faults[0].starts_with(&begin), "{faults:?}");
            }
        }
    }
    let mut acks = config("splunk");
    acks["indexer_ack"] = true.into();
    let waiting = parse(&acks).unwrap().0;
    assert!(patch(&waiting, &["hec_token"], &json!({ "dialect": "cribl" })).is_err());
    assert!(patch(&waiting, &["hec_token"], &json!({ "dialect": "cribl", "indexer_ack": false })).is_ok());
    let edge =
        parse(&json!({ "hec_url": "https://s.example", "dialect": "edge_processor", "indexer_ack": true })).unwrap();
    let edge = stream_with(&edge.0, &edge.1, StreamKind::Events);
    let accepted = edge.classify(&reply(200, r#"{"text":"Success","code":0,"ackId":3}"#), 1, NOW);
    let query = edge.confirm(&[accepted.confirm.unwrap()]).unwrap();
    assert_eq!(query.url, "https://s.example/services/collector/ack");
}

/// What an answer to four events means, in every dialect but Splunk's own.
#[test]
fn answers_mean_what_they_mean_without_splunk_s_promises() {
    let rows: &[(u16, &str, &str)] = &[
        (200, r#"{"text":"Success","code":0}"#, "4 delivered | healthy"),
        (200, r#"{"text": "Success", "code": 0}"#, "4 delivered | healthy"),
        (200, "", "4 delivered | healthy"),
        (200, "OK", "4 delivered | healthy"),
        (200, "{}", "4 delivered | healthy"),
        (201, r#"{"eventCount":4}"#, "4 delivered | healthy"),
        (204, "", "4 delivered | healthy"),
        (200, "<html>Log in</html>", "held splunk_not_hec"),
        (200, r#"{"text":"Invalid data format","code":6}"#, "held splunk_not_hec"),
        (200, r#"{"error":"no"}"#, "held splunk_not_hec"),
        (401, "", "held splunk_http_401"),
        (403, "no", "held splunk_http_403"),
        (403, r#"{"text":"Invalid token","code":4}"#, "held splunk_4_invalid_token"),
        (404, "", "held splunk_wrong_path"),
        (413, "", "split splunk_too_large | healthy"),
        (429, "", "retry splunk_busy"),
        (500, r#""Internal Server Error""#, "retry splunk_http_500"),
        (503, "", "retry splunk_http_503"),
        (503, r#"{"text":"Server is busy","code":9,"invalid-event-number":2}"#, "retry splunk_9_busy"),
        (400, r#"{"text":"Invalid data format","code":6}"#, "split splunk_6_invalid_data_format | healthy"),
        // The collector tells a number and takes nothing at all: what stood before it must not count as delivered.
        (
            400,
            r#"{"text":"Error in handling indexed fields","code":15,"invalid-event-number":2}"#,
            "split splunk_15_indexed_fields | healthy",
        ),
        (
            400,
            r#"{"text":"Invalid data format","code":6,"invalid-event-number":1}"#,
            "split splunk_6_invalid_data_format | healthy",
        ),
        (400, r#"{"text":"Incorrect index","code":7,"invalid-event-number":3}"#, "held splunk_7_incorrect_index"),
    ];
    for dialect in OTHERS {
        let destination = destination(dialect);
        for (status, body, expected) in rows {
            assert_eq!(
                show(&destination.classify(&reply(*status, body), 4, NOW)),
                in_full(expected, 4),
                "{dialect}: {status} {body}"
            );
        }
    }
}

#[test]
fn hints_name_the_receiver_that_was_chosen() {
    for (dialect, name, console) in [
        ("logscale", "LogScale", "Ingest tokens"),
        ("cribl", "Cribl", "Data → Sources → Splunk HEC"),
        ("edge_processor", "Edge Processor", "Edge Processor's shared settings"),
        ("otel", "OpenTelemetry Collector", "receivers → splunk_hec"),
    ] {
        let destination = destination(dialect);
        for (status, body) in [
            (401, ""),
            (403, ""),
            (403, r#"{"text":"Invalid token","code":4}"#),
            (403, r#"{"text":"Token disabled","code":1}"#),
        ] {
            let said = causes(&destination.classify(&reply(status, body), 1, NOW))[0].message.clone();
            assert!(said.starts_with(&format!("{name} answered {status}: ")), "{said}");
            assert!(said.contains(console) && said.ends_with("test again."), "{said}");
        }
        for code in 0..=27 {
            for status in [200, 400, 403, 429, 503] {
                let body = format!(r#"{{"text":"x","code":{code}}}"#);
                for cause in causes(&destination.classify(&reply(status, &body), 1, NOW)) {
                    let splunks = ["In Splunk:", "another Splunk", "splunkd", "the indexers", "{"];
                    assert!(splunks.iter().all(|word| !cause.message.contains(word)), "{dialect}: {}", cause.message);
                }
            }
        }
        let settings = settings(dialect);
        for code in ["network_refused", "tls_not_spoken"] {
            let said = Registry::standard().advice(&settings, code, None).unwrap();
            assert!(!said.contains("In Splunk:"), "{said}");
        }
    }
}

#[test]
fn searches_and_what_leads_onward_are_the_receiver_s() {
    let registry = Registry::standard();
    let event = EventId(Uuid::from_u128(7));
    let search = r#"event_id = "00000000-0000-0000-0000-000000000007""#;
    for (dialect, place, onward) in [
        ("logscale", "In LogScale: Search", false),
        ("cribl", "In the SIEM behind Cribl", true),
        ("edge_processor", "In the destination behind Edge Processor", true),
        ("otel", "In what the collector exports to", true),
    ] {
        let settings = settings(dialect);
        assert_eq!(registry.search(&settings, event), search, "{dialect}");
        assert_eq!(registry.get(Splunk::ID).unwrap().search_place(&settings.config), place);
        assert_eq!(registry.onward(&settings).is_some(), onward, "{dialect}");
    }
    assert!(registry.search(&settings("splunk"), event).starts_with("index=toktra "));
    assert_eq!(registry.onward(&settings("splunk")), None);
}

#[test]
fn what_is_pasted_tells_the_receiver() {
    let understood = |text: &str| {
        let mut fields = Registry::standard().understand(Splunk::ID, text).fields;
        fields.sort();
        fields
    };
    let logscale = ("dialect", "logscale".to_owned());
    let url = |url: &str| ("hec_url", url.to_owned());
    for (pasted, base) in [
        ("https://cloud.us.humio.com/api/v1/ingest/hec", "https://cloud.us.humio.com"),
        ("https://logs.example/api/v1/ingest/hec/raw?a=b", "https://logs.example"),
        ("https://abc.ingest.us-1.crowdstrike.com/services/collector", "https://abc.ingest.us-1.crowdstrike.com"),
        ("abc.ingest.laggar.gcw.crowdstrike.com/services/collector", "https://abc.ingest.laggar.gcw.crowdstrike.com"),
    ] {
        assert_eq!(understood(pasted), [logscale.clone(), url(base)], "{pasted}");
    }
    let curl =
        "curl https://logs.example:8080/services/collector -H 'Authorization: Bearer 0123-token' -d '{\"event\":1}'";
    assert_eq!(understood(curl), [logscale, ("hec_token", "0123-token".to_owned()), url("https://logs.example:8080")]);
    for other in [
        "https://splunk.example:8088/services/collector",
        "https://crowdstrike.com.example/services/collector",
        "curl https://splunk.example:8088/services/collector -H 'Authorization: Splunk 0123'",
        "curl https://splunk.example:8088/api -H 'Authorization: Bearer 0123'",
    ] {
        assert!(understood(other).iter().all(|(name, _)| *name != "dialect"), "{other}");
    }
}

#[test]
fn an_acknowledgement_that_does_not_come_is_missed_in_any_words() {
    let mut wanted = config("edge_processor");
    wanted["indexer_ack"] = true.into();
    let settings = parse(&wanted).unwrap_or_else(|faults| panic!("{faults:?}")).0;
    for body in ["", "OK", r#"{"text":"Success","code":0}"#] {
        let verdict = stream(&settings, StreamKind::Events).classify(&reply(200, body), 2, NOW);
        assert!(show(&verdict).contains("splunk_no_ack_id"), "{body}: {}", show(&verdict));
    }
}

/// Cribl took the event, and Splunk is asked for it.
#[test]
fn a_search_speaks_of_who_is_searched() {
    let mut wanted = config("cribl");
    wanted["search"] = json!({ "url": "https://splunk.example:8089", "token": SECRET });
    let (settings, credentials) = parse(&wanted).unwrap_or_else(|faults| panic!("{faults:?}"));
    let destination = stream_with(&settings, &credentials, StreamKind::Events);
    assert!(matches!(destination.look_for(EventId(Uuid::nil()), NOW), Lookup::Ask { own: true, .. }));
    let Sighting::Refused(said) = destination.seen(&reply(403, "{}")) else { panic!("refused") };
    assert!(said.starts_with("Splunk answered 403") && !said.contains("Cribl"), "{said}");
    // LogScale is no Splunk, and neither does it lead to one.
    for member in [json!({ "search": wanted["search"] }), json!({ "web_url": "https://splunk.example:8000" })] {
        let mut logscale = config("logscale");
        logscale.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        assert!(parse(&logscale).unwrap_err().concat().contains("has to be absent"), "{logscale}");
    }
}
