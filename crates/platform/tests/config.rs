//! What users may write into a connector's `config`, as a whole and as a patch: `connector::config` and `connector::target`.

use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::datadog::Datadog;
use toktra_siem_platform::elasticsearch::Elasticsearch;
use toktra_siem_platform::read::Changes;
use toktra_siem_platform::registry::Registry;
use toktra_siem_platform::splunk::Splunk;
use toktra_siem_platform::view::SettingsView;

const PEM: &str = include_str!("../../../fixtures/certificates/self-signed.pem");
const OTHER: &str = include_str!("../../../fixtures/certificates/splunk-ca.pem");
/// host `cloud.example`, cluster `abc`.
const CLOUD_ID: &str = "prod:Y2xvdWQuZXhhbXBsZSRhYmMkZGVm";

const ALL: [PlatformId; 3] = [Splunk::ID, Datadog::ID, Elasticsearch::ID];

fn parse_new(platform: PlatformId, config: &Value) -> Result<(Settings, Credentials), Vec<FieldFault>> {
    Registry::standard().parse_new(platform, config)
}

/// A patch over a connector whose credentials are those that its settings speak of.
fn parse_patch(current: &Settings, patch: &Value) -> Result<(Settings, Changes), Vec<FieldFault>> {
    Registry::standard().parse_patch(current, &[], patch)
}

fn targets(settings: &Settings) -> Vec<url::Url> {
    Registry::standard().targets(settings, &Credentials::none())
}

fn target_changed(old: &Settings, new: &Settings) -> bool {
    Registry::standard().target_changed(old, new)
}

fn new(platform: PlatformId, config: &Value) -> (Settings, Credentials) {
    parse_new(platform, config).unwrap_or_else(|faults| panic!("{config}: {faults:?}"))
}

fn splunk() -> Settings {
    new(Splunk::ID, &json!({"hec_url": "https://s.example:8088", "hec_token": "token-of-splunk"})).0
}

fn elasticsearch(config: &Value) -> Settings {
    new(Elasticsearch::ID, config).0
}

fn texts(faults: &[FieldFault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// The settings as `config` shows them in answers.
fn public_view(settings: &Settings) -> Value {
    serde_json::to_value(SettingsView::of(&Registry::standard(), settings, |_| None)).expect("a view is JSON")["config"]
        .take()
}

fn secret(credentials: &Credentials) -> Vec<(&str, String)> {
    credentials.parts().map(|(name, secret)| (name, secret.expose_secret().to_owned())).collect()
}

#[test]
fn defaults_are_those_of_the_interface() {
    let (settings, credentials) =
        new(Splunk::ID, &json!({"hec_url": "s.example:8088/services/collector/event", "hec_token": "t"}));
    assert_eq!(
        public_view(&settings),
        json!({"hec_url": "https://s.example:8088", "dialect": "splunk", "index": "toktra", "sourcetype": "toktra:security", "indexer_ack": false,
               "strict": false, "compression": "none", "max_in_flight": 16})
    );
    assert_eq!(secret(&credentials), [("hec_token", "t".to_owned())]);
    let (settings, _) = new(Datadog::ID, &json!({"api_key": "k"}));
    assert_eq!(
        public_view(&settings),
        json!({"site": "datadoghq.com", "service": "toktra", "send_metrics": true, "metric_prefix": "toktra.security",
               "compression": "none", "max_in_flight": 16})
    );
    let hosts: Vec<_> = targets(&settings).iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["https://http-intake.logs.datadoghq.com/", "https://api.datadoghq.com/"]);
    let (settings, credentials) = new(Elasticsearch::ID, &json!({"url": "http://localhost:9200"}));
    assert_eq!(
        public_view(&settings),
        json!({"url": "http://localhost:9200", "index_prefix": "toktra-security-events", "manage_template": true,
               "compression": "none", "max_in_flight": 16})
    );
    assert!(credentials.is_empty());
    let plain_http = |settings: &Settings| Registry::standard().plain_http(settings);
    assert!(plain_http(&settings) && !plain_http(&splunk()));
}

#[test]
fn every_fault_is_named_with_its_place_and_no_secret() {
    let faults = parse_new(
        Splunk::ID,
        &json!({"hec_url": "https://u:hunter2@s.example", "hec_token": "hunter2 hunter2", "index": 3, "sourcetype": "a\u{7}",
                "indexer_ack": "yes", "url": "x", "compression": "zstd", "tls_ca": "x", "max_in_flight": 201}),
    )
    .unwrap_err();
    let pointers: Vec<_> = faults.iter().map(|f| f.pointer.as_str()).collect();
    let expected =
        ["url", "hec_url", "index", "sourcetype", "indexer_ack", "hec_token", "compression", "tls_ca", "max_in_flight"];
    assert_eq!(pointers, expected.map(|name| format!("/config/{name}")));
    assert!(
        faults[0].message.contains("known are hec_url, dialect, hec_token, index, sourcetype, indexer_ack, strict, web_url, search.url, search.token, compression")
    );
    assert!(!texts(&faults).concat().contains("hunter2"));
    for platform in ALL {
        assert_eq!(texts(&parse_new(platform, &json!([])).unwrap_err()), ["/config: must be an object"]);
    }
    let bare = |platform| texts(&parse_new(platform, &json!({})).unwrap_err());
    assert_eq!(bare(Splunk::ID), ["/config/hec_url: is missing", "/config/hec_token: is missing"]);
    assert_eq!(bare(Datadog::ID), ["/config/api_key: is missing"]);
    assert_eq!(bare(Elasticsearch::ID), ["/config/url: is missing: give `url` or `cloud_id`"]);
}

#[test]
fn elasticsearch_takes_one_place_and_one_kind_of_credential() {
    let (settings, credentials) = new(Elasticsearch::ID, &json!({"cloud_id": CLOUD_ID, "api_key": "id:key"}));
    assert_eq!(targets(&settings)[0].as_str(), "https://abc.cloud.example/");
    assert_eq!(public_view(&settings)["cloud_id"], CLOUD_ID);
    assert!(public_view(&settings).get("url").is_none());
    assert_eq!(secret(&credentials), [("api_key", "aWQ6a2V5".to_owned())]);
    for (config, pointer) in [
        (json!({"url": "e.example", "cloud_id": CLOUD_ID}), "/config/cloud_id"),
        (json!({"url": null, "cloud_id": null}), "/config/url"),
        (json!({"url": "e.example", "api_key": "k", "password": "p"}), "/config/api_key"),
        (json!({"url": "e.example", "password": "p"}), "/config/username"),
        (json!({"url": "e.example", "username": "u"}), "/config/password"),
        (json!({"url": "e.example", "index_prefix": "Upper"}), "/config/index_prefix"),
        (json!({"cloud_id": "x"}), "/config/cloud_id"),
    ] {
        let faults = parse_new(Elasticsearch::ID, &config).unwrap_err();
        assert_eq!((faults.len(), faults[0].pointer.as_str()), (1, pointer), "{config}");
    }
}

#[test]
fn patches_replace_keep_and_reset() {
    let current =
        parse_patch(&splunk(), &json!({"index": "other", "compression": "gzip", "max_in_flight": 3})).unwrap().0;
    assert_eq!(parse_patch(&current, &json!({})).unwrap().0, current);
    let (reset, credentials) =
        parse_patch(&current, &json!({"index": null, "compression": null, "max_in_flight": null})).unwrap();
    assert_eq!(reset, splunk());
    assert!(credentials.is_empty());
    let rotated = parse_patch(&current, &json!({"hec_token": "another"})).unwrap().1;
    assert_eq!(secret(&rotated.given()), [("hec_token", "another".to_owned())]);
    assert_eq!(
        texts(&parse_patch(&current, &json!({"hec_url": null, "hec_token": null})).unwrap_err()),
        ["/config/hec_url: is required and cannot be null", "/config/hec_token: is required and cannot be null"]
    );
    let shown = parse_patch(&current, &json!({"hec_token": {"set": true}})).unwrap_err();
    assert!(shown[0].message.contains("write-only"));
}

#[test]
fn a_change_of_target_brings_the_credential_along() {
    for (patch, needs) in [
        (json!({"hec_url": "https://s.example:8088/prefix"}), false),
        (json!({"hec_url": "S.example:8088"}), false),
        (json!({"hec_url": "https://evil.example:8088"}), true),
        (json!({"hec_url": "https://s.example:8089"}), true),
        (json!({"hec_url": "http://s.example:8088"}), true),
        (json!({"tls_ca": PEM}), true),
        (json!({"tls_fingerprint": "ab".repeat(32)}), true),
        (json!({"tls_server_name": "splunk.internal"}), true),
        (json!({"tls_client_cert": PEM}), false),
        (json!({"index": "x"}), false),
    ] {
        let bare = parse_patch(&splunk(), &patch);
        assert_eq!(bare.is_err(), needs, "{patch}");
        if let Err(faults) = bare {
            assert_eq!(faults[0].pointer, "/config/hec_token");
        }
        let mut with = patch;
        with["hec_token"] = json!("new-token");
        let (settings, credentials) = parse_patch(&splunk(), &with).unwrap();
        assert_eq!(target_changed(&splunk(), &settings), needs);
        assert!(!credentials.is_empty());
    }
    let datadog = new(Datadog::ID, &json!({"api_key": "k"})).0;
    for patch in [json!({"site": "datadoghq.eu"}), json!({"url": "https://proxy.example"})] {
        assert_eq!(parse_patch(&datadog, &patch).unwrap_err()[0].pointer, "/config/api_key");
    }
    // As it was stored before there was a site to choose.
    let mut old = datadog.clone();
    old.config.remove("site").unwrap();
    assert!(!target_changed(&old, &datadog));
    assert!(parse_patch(&old, &json!({"service": "x"})).is_ok());
    assert_eq!(parse_patch(&old, &json!({"site": "datadoghq.eu"})).unwrap_err()[0].pointer, "/config/api_key");
    // As certificates were stored before they were kept in one form.
    let (mut old, kept) =
        (splunk(), new(Splunk::ID, &json!({"hec_url": "https://s.example:8088", "hec_token": "t", "tls_ca": PEM})).0);
    old.config.insert("tls_ca".to_owned(), format!("# our CA\r\n{}", PEM.replace('\n', "\r\n")).into());
    assert!(!target_changed(&old, &kept) && parse_patch(&old, &json!({"tls_ca": PEM})).is_ok());
    assert_eq!(parse_patch(&old, &json!({"tls_ca": OTHER})).unwrap_err()[0].pointer, "/config/hec_token");
    let basic = elasticsearch(&json!({"url": "https://e.example", "username": "u", "password": "p"}));
    for patch in [json!({"url": "https://f.example"}), json!({"cloud_id": CLOUD_ID}), json!({"username": "root"})] {
        assert_eq!(parse_patch(&basic, &patch).unwrap_err()[0].pointer, "/config/password", "{patch}");
    }
}

#[test]
fn elasticsearch_credentials_change_kind_by_patch() {
    let basic = elasticsearch(&json!({"url": "https://e.example", "username": "u", "password": "p"}));
    let name = |settings: &Settings| settings.text("username").map(str::to_owned);
    for (patch, username, parts) in [
        (json!({"username": "u"}), Some("u"), None),
        (json!({"password": "q"}), Some("u"), Some(vec![("password", "q".to_owned())])),
        (json!({"username": "v", "password": "q"}), Some("v"), Some(vec![("password", "q".to_owned())])),
        (json!({"api_key": "k", "username": null, "password": null}), None, Some(vec![("api_key", "k".to_owned())])),
        (json!({"api_key": "k"}), None, Some(vec![("api_key", "k".to_owned())])),
        (json!({"password": null}), None, Some(vec![])),
        (json!({"api_key": null}), Some("u"), None),
    ] {
        let (settings, credentials) = parse_patch(&basic, &patch).unwrap();
        assert_eq!(name(&settings).as_deref(), username, "{patch}");
        let given = credentials.given();
        assert_eq!((!credentials.is_empty()).then(|| secret(&given)), parts, "{patch}");
    }
    let key = elasticsearch(&json!({"url": "https://e.example", "api_key": "k"}));
    let cleared = parse_patch(&key, &json!({"api_key": null})).unwrap().1;
    assert!(cleared.names("api_key") && cleared.given().is_empty());
    assert!(parse_patch(&key, &json!({"password": "p"})).is_err());
}

/// The place of a field in a body; what is in its way is replaced.
fn place<'c>(config: &'c mut Value, name: &str) -> &'c mut Value {
    match name.split_once('.') {
        None => &mut config[name],
        Some((group, inner)) => &mut config[group][inner],
    }
}

/// Issue 11, point 7: the settings of a search stand in an object.
#[test]
fn an_object_of_settings_is_read_member_by_member_and_its_secret_goes_with_its_url() {
    let search = json!({ "url": "https://s.example:8089/services/search/jobs", "token": "token-that-searches" });
    let config = json!({"hec_url": "https://s.example:8088", "hec_token": "token-of-splunk", "search": search});
    let (settings, credentials) = new(Splunk::ID, &config);
    assert_eq!(
        secret(&credentials),
        [("hec_token", "token-of-splunk".into()), ("search.token", "token-that-searches".into())]
    );
    assert_eq!(public_view(&settings)["search"], json!({ "url": "https://s.example:8089" }));
    assert_eq!(
        targets(&settings).iter().map(url::Url::as_str).collect::<Vec<_>>(),
        ["https://s.example:8088/", "https://s.example:8089/"]
    );
    let redactor = Registry::standard().redactor(&settings, &credentials);
    assert!(!redactor.quote("call with token-that-searches").contains("that-searches"));

    let patch = |patch: Value| Registry::standard().parse_patch(&settings, &["hec_token", "search.token"], &patch);
    let pointers = |given: Value| patch(given).unwrap_err().into_iter().map(|fault| fault.pointer).collect::<Vec<_>>();
    assert_eq!(pointers(json!({"search": {"url": "https://evil.example:8089"}})), ["/config/search/token"]);
    assert_eq!(pointers(json!({"hec_url": "https://evil.example:8088"})), ["/config/hec_token"]);
    assert_eq!(pointers(json!({"tls_ca": PEM})), ["/config/hec_token", "/config/search/token"]);
    assert_eq!(pointers(json!({"search": {"token": null}})), ["/config/search/token"]);
    let (moved, _) = patch(json!({"search": {"url": "https://t.example:8089", "token": "another"}})).unwrap();
    assert!(target_changed(&settings, &moved) && moved.text("hec_url") == settings.text("hec_url"));
    assert!(patch(json!({"search": {}})).unwrap().1.is_empty());
    let (without, changes) = patch(json!({"search": null})).unwrap();
    assert_eq!((public_view(&without).get("search"), changes.names("search.token")), (None, true));
    let (without, changes) = patch(json!({"search": {"url": null}})).unwrap();
    assert_eq!((without.text("search.url"), changes.names("search.token")), (None, true));

    for (platform, given, pointer) in [
        (Splunk::ID, json!({"search": {"token": "t"}}), "/config/search/url"),
        (Splunk::ID, json!({"search": {"url": "https://s.example:8089"}}), "/config/search/token"),
        (Splunk::ID, json!({"search": {"url": "https://u:hunter2@s.example", "token": "t"}}), "/config/search/url"),
        (Splunk::ID, json!({"search": {"api_key": "hunter2"}}), "/config/search/api_key"),
        (Splunk::ID, json!({"search": "hunter2"}), "/config/search"),
        (Splunk::ID, json!({"search.token": "hunter2"}), "/config/search/token"),
        (Splunk::ID, json!({"web_url": "https://u:hunter2@s.example"}), "/config/web_url"),
        (Datadog::ID, json!({"search": {"application_key": "a b hunter2"}}), "/config/search/application_key"),
        (Elasticsearch::ID, json!({"search": {"api_key": 1}}), "/config/search/api_key"),
    ] {
        let mut config = match platform {
            Splunk::ID => json!({"hec_url": "https://s.example:8088", "hec_token": "t"}),
            Datadog::ID => json!({"api_key": "k"}),
            _ => json!({"url": "https://e.example"}),
        };
        config.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let faults = parse_new(platform, &config).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), [pointer], "{config}");
        assert!(!texts(&faults).concat().contains("hunter2"), "{faults:?}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let words = proptest::sample::select(vec![
        "https://a.example",
        "http://10.0.0.1:9/x/",
        "b.example:1",
        CLOUD_ID,
        "datadoghq.eu",
        "gzip",
        PEM,
        "id:key",
        "toktra",
        "",
    ]);
    prop_oneof![
        6 => words.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => (0u16..300).prop_map(Value::from),
        1 => "\\PC{0,9}".prop_map(Value::from),
        1 => Just(json!({"set": true})),
    ]
}

/// Members over a `config` that would do by itself, so that many of them are valid and many nearly so.
fn any_config() -> impl Strategy<Value = (PlatformId, Value)> {
    proptest::sample::select(ALL.to_vec()).prop_flat_map(|platform| {
        let names: Vec<&'static str> = Registry::standard().fields(platform).map(|field| field.name).collect();
        proptest::collection::btree_map(proptest::sample::select(names), any_value(), 0..4).prop_map(move |members| {
            let mut config = match platform.as_str() {
                "splunk" => json!({"hec_url": "https://a.example", "hec_token": "t"}),
                "datadog" => json!({"api_key": "k"}),
                _ if members.contains_key("cloud_id") => json!({}),
                _ => json!({"url": "https://a.example"}),
            };
            for (name, value) in members {
                *place(&mut config, name) = value;
            }
            (platform, config)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_was_parsed_is_shown_stored_and_parsed_again((platform, config) in any_config(), (_, patch) in any_config()) {
        match parse_new(platform, &config) {
            Ok((settings, credentials)) => {
                let mut shown = public_view(&settings);
                for (name, value) in secret(&credentials) {
                    prop_assert!(place(&mut shown, name).is_null());
                    *place(&mut shown, name) = json!(value);
                }
                let (again, same) = new(platform, &shown);
                prop_assert_eq!(&again, &settings);
                prop_assert_eq!(secret(&same), secret(&credentials));
                let stored: Settings = serde_json::from_value(serde_json::to_value(&settings).unwrap()).unwrap();
                prop_assert_eq!(&stored, &settings);
                prop_assert!(!targets(&settings).is_empty());
                prop_assert_eq!(&parse_patch(&settings, &json!({})).unwrap().0, &settings);
                if let Ok((patched, changes)) = parse_patch(&settings, &patch)
                    && changes.is_empty()
                {
                    prop_assert!(!target_changed(&settings, &patched));
                }
            }
            Err(faults) => prop_assert!(!faults.is_empty() && faults.iter().all(|f| f.pointer.starts_with("/config"))),
        }
    }
}
