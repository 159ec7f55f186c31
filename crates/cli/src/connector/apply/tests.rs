//! Connectors as code, without a server: faults by line, differences, and that what is exported needs nothing to be applied.

use std::path::PathBuf;

use insta::assert_snapshot;
use secrecy::SecretString;
use serde_json::{Value, json};
use toktra_siem_config::Environment;
use toktra_siem_platform::Registry;
use toktra_siem_platform::view::SecretView;

use super::described::{self, Described, Fault};
use super::export::yaml;
use super::plan::{self, Compared, Plan, Rules, Step};
use super::{refused, show};
use crate::answer::Connector;

const TOKEN: &str = "0123456789-token-1234";

fn environment() -> Environment {
    Environment::of([("HEC_TOKEN", TOKEN), ("SPLUNK_HEC_TOKEN", TOKEN), ("ES_PASSWORD", "a-long-password-9999")])
}

fn files(text: &str) -> Vec<(PathBuf, String)> {
    vec![("connectors.yaml".into(), text.to_owned())]
}

fn read(
    files: &[(PathBuf, String)],
    environment: &Environment,
    registry: &Registry,
) -> Result<Vec<Described>, Vec<Fault>> {
    described::read(files, environment, registry).map(|files| files.connectors.unwrap_or_default())
}

fn described(text: &str) -> Vec<Described> {
    read(&files(text), &environment(), &Registry::standard()).unwrap()
}

const SPLUNK: &str = "connectors:
  - name: Splunk
    platform: splunk
    config:
      hec_url: https://splunk.company.com:8088/
      hec_token: {env: HEC_TOKEN}
    filter: {severity: [critical, high]}
";

/// The connector of [`SPLUNK`] as the API shows it.
fn splunk() -> Value {
    json!({
        "id": "0197a1b2-0000-7000-8000-000000000001", "name": "Splunk", "platform": "splunk", "revision": 3,
        "config": {
            "hec_url": "https://splunk.company.com:8088", "index": "toktra", "sourcetype": "toktra:security", "indexer_ack": false,
            "compression": "none", "max_in_flight": 16, "hec_token": SecretView::of(&SecretString::from(TOKEN)),
        },
        "filter": {"severity": ["high", "critical"]}, "signing_secret": {"set": true, "hint": "…abcd"},
        "active": true, "managed_by": "api",
    })
}

fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    *value.pointer_mut(pointer).unwrap() = member;
    value
}

/// A connector as the API shows it, of which only this much matters.
fn read_as(shown: &Value) -> Connector {
    let mut whole = json!({
        "id": "0197a1b2-0000-7000-8000-000000000001", "org_id": "0197a1b2-0000-7000-8000-000000000002", "revision": 1, "config": {},
        "filter": {}, "active": true, "managed_by": "api", "signing_secret": {"set": false}, "created_at": "2025-01-15T10:30:00Z",
        "updated_at": "2025-01-15T10:30:00Z",
    });
    whole.as_object_mut().unwrap().extend(shown.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

/// The plan for connectors as the API shows them.
fn plan(described: &[Described], present: &[Value], rules: Rules) -> Result<Plan, Vec<Fault>> {
    compared_plan(described, present, &Compared::new(), rules)
}

/// The same, once the server has compared secrets.
fn compared_plan(
    described: &[Described],
    present: &[Value],
    compared: &Compared,
    rules: Rules,
) -> Result<Plan, Vec<Fault>> {
    plan::plan(described, &present.iter().map(read_as).collect::<Vec<_>>(), compared, rules, &Registry::standard())
}

#[test]
fn what_is_as_described_needs_nothing() {
    let plan = plan(&described(SPLUNK), &[splunk()], Rules::default()).unwrap();
    assert!(plan.steps.is_empty() && plan.unchanged == 1, "{plan:?}");
}

#[test]
fn every_difference_is_shown_and_no_secret_is() {
    let text = SPLUNK.to_owned()
        + "    signing_secret: a-new-signing-secret-7777
  - name: Datadog
    platform: datadog
    config: {api_key: 0123456789abcdef0123456789abcdef, site: datadoghq.eu}
    active: false
";
    let there = with(splunk(), "/config/index", json!("main"));
    let there = with(there, "/config/hec_token", json!({"set": true, "hint": "…9999"}));
    let there = with(there, "/filter", json!({}));
    let there = with(there, "/active", json!(false));
    let other = json!({"name": "Old", "platform": "datadog", "managed_by": "api"});
    let owned = json!({"name": "Datadog (environment)", "platform": "datadog", "managed_by": "environment"});
    let present = [there, other, owned];
    let left = plan(&described(&text), &present, Rules::default()).unwrap();
    assert_eq!(left.others, ["Old"]);
    let mut pruned = plan(&described(&text), &present, Rules { prune: true, ..Rules::default() }).unwrap();
    let Some(Step::Delete { loss, .. }) = pruned.steps.last_mut() else { panic!("{pruned:?}") };
    *loss = "discards 7 events that wait for it".to_owned();
    let told = show(&pruned);
    assert!(!told.contains(TOKEN) && !told.contains("cdef0123") && !told.contains("a-new-signing"), "{told}");
    assert_snapshot!("diff", told);
    let patch = |step: &Step| match step {
        Step::Change { patch, .. } => json!(patch),
        other => panic!("a change was expected: {other:?}"),
    };
    assert_eq!(
        patch(&pruned.steps[0]),
        json!({
            "config": {"index": "toktra", "hec_token": TOKEN}, "filter": {"severity": ["high", "critical"]}, "active": true,
            "signing_secret": "a-new-signing-secret-7777",
        })
    );
}

#[test]
fn a_stored_secret_stays_where_none_is_given_but_goes_to_no_other_host() {
    let without: String =
        SPLUNK.lines().filter(|line| !line.contains("hec_token")).map(|l| l.to_owned() + "\n").collect();
    assert_eq!(plan(&described(&without), &[splunk()], Rules::default()).unwrap().unchanged, 1);
    let moved = without.replace("splunk.company.com", "elsewhere.example");
    let faults = plan(&described(&moved), &[splunk()], Rules::default()).unwrap_err();
    assert_eq!(faults[0].line, 4);
    assert!(faults[0].message.starts_with("`hec_token` is missing"), "{}", faults[0]);
    // One that is made needs it.
    assert!(plan(&described(&without), &[], Rules::default()).unwrap_err()[0].message.contains("hec_token"));
    // A given one goes along, although it ends alike.
    let moved = SPLUNK.replace("splunk.company.com", "elsewhere.example");
    let plan = plan(&described(&moved), &[splunk()], Rules::default()).unwrap();
    let Step::Change { patch, .. } = &plan.steps[0] else { panic!("{plan:?}") };
    assert_eq!(json!(patch)["config"], json!({"hec_url": "https://elsewhere.example:8088", "hec_token": TOKEN}));
}

/// The server has compared what looks alike, and what looks different.
#[test]
fn what_the_server_says_of_secrets_counts_and_not_how_they_end() {
    let text = SPLUNK.to_owned() + "    signing_secret: a-new-signing-secret-abcd\n";
    let one = described(&text);
    let there = splunk();
    let asked = plan::comparable(&one[0], &read_as(&there), &Registry::standard()).unwrap();
    assert_eq!(
        json!(asked),
        json!({ "config": { "hec_token": TOKEN }, "signing_secret": "a-new-signing-secret-abcd" })
    );
    let with_changed = |names: &[&str]| {
        let changed = names.iter().map(|name| (*name).to_owned()).collect();
        compared_plan(
            &one,
            std::slice::from_ref(&there),
            &Compared::from([(read_as(&there).id, changed)]),
            Rules::default(),
        )
        .unwrap()
    };
    assert!(with_changed(&[]).steps.is_empty());
    for (name, patch) in [
        ("hec_token", json!({ "config": { "hec_token": TOKEN } })),
        ("signing_secret", json!({ "signing_secret": "a-new-signing-secret-abcd" })),
    ] {
        let plan = with_changed(&[name]);
        let Step::Change { patch: made, .. } = &plan.steps[0] else { panic!("{plan:?}") };
        assert_eq!(json!(made), patch);
        assert!(show(&plan).contains("(another)") && !show(&plan).contains(TOKEN), "{}", show(&plan));
    }
    let other = with(splunk(), "/config/hec_token", json!({"set": true, "hint": "…9999"}));
    let compared = Compared::from([(read_as(&other).id, std::collections::BTreeSet::new())]);
    assert!(compared_plan(&described(SPLUNK), &[other], &compared, Rules::default()).unwrap().steps.is_empty());
    // Of what is not stored there is nothing to compare.
    let none = with(splunk(), "/config/hec_token", json!({"set": false}));
    assert!(plan::comparable(&described(SPLUNK)[0], &read_as(&none), &Registry::standard()).is_none());
}

#[test]
fn a_search_is_judged_by_its_own_secret() {
    let search = "      search: {url: 'https://splunk.company.com:8089', token: {env: HEC_TOKEN}}\n";
    let lines = |more: &str| {
        SPLUNK.replace("    filter", &format!("{more}    filter")).replace("      hec_token: {env: HEC_TOKEN}\n", "")
    };
    let mut there = splunk();
    there["config"]["search"] =
        json!({ "url": "https://splunk.company.com:8089", "token": SecretView::of(&SecretString::from(TOKEN)) });
    let same = plan(&described(&lines(search)), &[there.clone()], Rules::default()).unwrap();
    assert!(same.steps.is_empty(), "{same:?}");
    // Elsewhere without its secret: named before the server refuses it, by its own name.
    let moved = search.replace(":8089", ":9999").replace(", token: {env: HEC_TOKEN}", "");
    let faults = plan(&described(&lines(&moved)), &[there.clone()], Rules::default()).unwrap_err();
    assert!(faults[0].message.starts_with("`search.token` is missing"), "{}", faults[0]);
    // Gone: its secret goes along, and nobody is asked for the token of deliveries.
    let plan = plan(&described(&lines("")), &[there], Rules::default()).unwrap();
    let Step::Change { patch, .. } = &plan.steps[0] else { panic!("{plan:?}") };
    assert_eq!(json!(patch), json!({ "config": { "search": { "url": null, "token": null } } }));
}

#[test]
fn secrets_that_cannot_be_told_apart_are_written_on_request() {
    let rules = Rules { write_secrets: true, ..Rules::default() };
    let plan = plan(&described(SPLUNK), &[splunk()], rules).unwrap();
    let Step::Change { patch, .. } = &plan.steps[0] else { panic!("{plan:?}") };
    assert_eq!(json!(patch), json!({"config": {"hec_token": TOKEN}}));
}

#[test]
fn elasticsearch_changes_between_its_ways_to_log_in_and_to_be_found() {
    let elastic = |config: &str| format!("connectors: [{{name: E, platform: elasticsearch, config: {config}}}]");
    let there = |config: Value| json!({"name": "E", "platform": "elasticsearch", "config": config, "filter": {}, "active": true, "managed_by": "api"});
    let base = json!({"url": "https://es.company.com:9200", "index_prefix": "toktra-security-events", "manage_template": true,
        "compression": "none", "max_in_flight": 16});
    let mut by_key = base.clone();
    by_key["api_key"] = json!({"set": true, "hint": "…1234"});
    let by_name = elastic("{url: 'https://es.company.com:9200', username: elastic, password: {env: ES_PASSWORD}}");
    let plan_of = |text: &str, present: &Value| plan(&described(text), std::slice::from_ref(present), Rules::default());
    let steps = plan_of(&by_name, &there(by_key)).unwrap().steps;
    let Step::Change { patch, .. } = &steps[0] else { panic!("{steps:?}") };
    assert_eq!(json!(patch)["config"], json!({"username": "elastic", "password": "a-long-password-9999"}));
    // Without any security: another address needs no credential, and says that there is none.
    let open = elastic("{url: 'https://other.company.com:9200'}");
    let steps = plan_of(&open, &there(base)).unwrap().steps;
    let Step::Change { patch, .. } = &steps[0] else { panic!("{steps:?}") };
    assert_eq!(json!(patch)["config"], json!({"url": "https://other.company.com:9200", "api_key": null}));
}

#[test]
fn every_fault_is_named_with_its_line_before_anything_is_done() {
    let text = "connectors:
  - name: Splunk
    platform: splunk
    config:
      hec_url: ftp://splunk
      hec_token: {env: NOT_SET}
      idx: toktra
    filter: {severity: [high, urgent]}
    activ: true
  - platform: kafka
  - name: Splunk
    platform: datadog
    config:
      api_key: {file: no-such-file}
      max_in_flight: many
    active: 'yes'
  - name: Twice
    platform: datadog
  - name: Twice
    platform: datadog
extra: 1
---
- not a map
";
    let faults = read(&files(text), &environment(), &Registry::standard()).unwrap_err();
    assert_snapshot!("faults", refused(&faults).to_string());
    assert!(faults.iter().all(|fault| !fault.to_string().contains(TOKEN)));
}

#[test]
fn a_secret_in_a_file_is_text_and_a_certificate_may_come_in_another_encoding() {
    let folder = std::env::temp_dir().join(format!("toktra-apply-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let pem = include_str!("../../../../../fixtures/certificates/self-signed.pem");
    let wide = |text: &str| [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).unwrap();
    write("ca.pem", wide(pem));
    write("token", wide(TOKEN));
    let config = |token: &str| {
        let config = format!("{{hec_url: 'https://s', hec_token: {token}, tls_ca: {{file: ca.pem}}}}");
        let text = format!("connectors: [{{name: Splunk, platform: splunk, config: {config}}}]");
        read(&[(folder.join("connectors.yaml"), text)], &environment(), &Registry::standard())
    };
    let read = config("{env: HEC_TOKEN}").map(|described| described[0].config["tls_ca"].clone());
    let faults = config("{file: token}").unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(read.unwrap(), json!(pem.trim_end()));
    assert!(faults[0].message.contains("cannot be read"), "{}", faults[0]);
}

#[test]
fn what_the_environment_describes_and_what_is_for_another_platform_is_left_alone() {
    let owned = with(splunk(), "/managed_by", json!("environment"));
    let faults = plan(&described(SPLUNK), &[owned], Rules { prune: true, ..Rules::default() }).unwrap_err();
    assert!(faults[0].message.contains("environment") && faults[0].line == 2, "{}", faults[0]);
    let datadog = with(splunk(), "/platform", json!("datadog"));
    let faults = plan(&described(SPLUNK), &[datadog], Rules::default()).unwrap_err();
    assert!(faults[0].message.contains("datadog") && faults[0].line == 3, "{}", faults[0]);
}

#[test]
fn what_is_exported_can_be_applied_and_changes_nothing() {
    let pem = include_str!("../../../../../fixtures/certificates/self-signed.pem");
    let mut there = with(splunk(), "/config/index", json!("on"));
    there["config"]["tls_ca"] = json!(pem);
    there["name"] = json!("Splunk");
    let owned = json!({"name": "Datadog (environment)", "platform": "datadog", "managed_by": "environment"});
    let text = yaml(&[read_as(&there), read_as(&owned)], &Registry::standard());
    assert_snapshot!("export", text);
    let plan = plan(&described(&text), &[there], Rules { prune: true, ..Rules::default() }).unwrap();
    assert!(plan.steps.is_empty() && plan.unchanged == 1, "{plan:?}");
    assert_eq!(described(&yaml(&[], &Registry::standard())).len(), 0);
}
