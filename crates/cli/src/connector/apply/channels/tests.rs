//! Channels as code, without a server.

use toktra_siem_config::Environment;
use toktra_siem_platform::Registry;

use super::super::export::of_channels;
use super::super::{described, plan as whole, refused, show};
use super::*;

const URL: &str = "https://hooks.slack.com/services/T000/B000/canary-1234";
const KEY: &str = "0123456789abcdef0123456789abcdef";

const FILE: &str = "channels:
  - name: SOC on call
    kind: slack
    config:
      url: {env: SLACK_URL}
    events: [recovered, down]
  - name: Duty
    kind: pagerduty
    config: {routing_key: {env: KEY}, url: 'https://events.eu.pagerduty.com/v2/enqueue'}
    active: false
";

fn read(text: &str) -> Result<described::Files, Vec<Fault>> {
    let environment =
        Environment::of([("SLACK_URL", URL), ("KEY", KEY), ("SOC_ON_CALL_URL", URL), ("DUTY_ROUTING_KEY", KEY)]);
    described::read(&[("channels.yaml".into(), text.to_owned())], &environment, &Registry::standard())
}

fn channels(text: &str) -> Vec<Described> {
    read(text).unwrap().channels.unwrap()
}

/// The channels of [`FILE`] as the API shows them.
fn there() -> Vec<Channel> {
    let one = |name: &str, kind: &str, config: Value, events: Value, active: bool| {
        let whole = json!({
            "id": "0197a1b2-0000-7000-8000-000000000001", "name": name, "kind": kind, "config": config, "events": events, "active": active,
            "created_at": "2025-01-15T10:30:00Z", "updated_at": "2025-01-15T10:30:00Z", "last_sent_at": null, "failing": null,
        });
        serde_json::from_value(whole).unwrap()
    };
    let slack = json!({ "url": { "set": true, "hint": "…1234", "origin": "https://hooks.slack.com" } });
    let duty = json!({ "routing_key": { "set": true, "hint": "…cdef" }, "url": "https://events.eu.pagerduty.com" });
    vec![
        one("SOC on call", "slack", slack, json!(["down", "recovered"]), true),
        one("Duty", "pagerduty", duty, json!(Topic::ALL), false),
    ]
}

fn shown_of(plan: Plan) -> String {
    show(&whole::Plan { channels: plan, ..whole::Plan::default() })
}

#[test]
fn what_is_as_described_needs_nothing_and_what_is_exported_is_what_is_there() {
    for text in [FILE.to_owned(), of_channels(&there())] {
        let plan =
            plan(&channels(&text), &there(), &Compared::new(), Rules { prune: true, ..Rules::default() }).unwrap();
        assert!(plan.steps.is_empty() && plan.unchanged == 2, "{text}: {plan:?}");
    }
    insta::assert_snapshot!(of_channels(&there()));
    assert_eq!(of_channels(&[]), "");
}

#[test]
fn differences_are_shown_and_no_secret_is() {
    let new = plan(&channels(FILE), &[], &Compared::new(), Rules::default()).unwrap();
    assert!(new.steps.iter().all(|step| !step.shows_secret()));
    let text = FILE
        .replace("[recovered, down]", "[down]")
        .replace("    active: false\n", "")
        .replace("{env: KEY}", "'fedcba98765432100123456789abcdeX'");
    let text = text + "  - {name: Hook, kind: webhook, config: {url: 'https://hooks.company.com/canary-5678'}}\n";
    let mut old = there();
    old.push(Channel { name: "Old".to_owned(), ..there().remove(0) });
    let changed = plan(&channels(&text), &old, &Compared::new(), Rules::default()).unwrap();
    assert!(changed.steps[2].shows_secret(), "a signing secret is made for it");
    let told = [shown_of(new), shown_of(changed)].join("\n");
    assert!(!told.contains("canary") && !told.contains("01234567"), "{told}");
    insta::assert_snapshot!(told);
    let pruned = plan(&channels(FILE), &old, &Compared::new(), Rules { prune: true, ..Rules::default() }).unwrap();
    assert_eq!(pruned.steps.iter().map(|step| step.of().0).collect::<Vec<_>>(), ["Old"]);
}

#[test]
fn a_stored_secret_stays_where_none_is_given_but_goes_to_no_other_host() {
    let without = FILE.replace("routing_key: {env: KEY}, ", "");
    assert_eq!(plan(&channels(&without), &there(), &Compared::new(), Rules::default()).unwrap().unchanged, 2);
    let moved = without.replace("events.eu.pagerduty.com", "events.pagerduty.com");
    let faults = plan(&channels(&moved), &there(), &Compared::new(), Rules::default()).unwrap_err();
    assert!(faults[0].message.starts_with("`routing_key` is missing: a change of the URL"), "{}", faults[0]);
    let faults = plan(&channels(&without), &[], &Compared::new(), Rules::default()).unwrap_err();
    assert!(faults[0].message.starts_with("`routing_key` is missing: there is no channel"), "{}", faults[0]);
    // A given one goes along, although it ends alike.
    let moved = FILE.replace("events.eu.pagerduty.com", "events.pagerduty.com");
    let plan = plan(&channels(&moved), &there(), &Compared::new(), Rules::default()).unwrap();
    let [Step::Change { patch, .. }] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!(json!(patch), json!({ "config": { "routing_key": KEY, "url": "https://events.pagerduty.com" } }));
}

#[test]
fn what_a_file_says_nothing_of_is_left_alone() {
    let files = read(FILE).unwrap();
    assert!(files.connectors.is_none() && files.channels.is_some());
    let files = read("connectors: []").unwrap();
    assert!(files.connectors.is_some() && files.channels.is_none());
}

#[test]
fn every_fault_is_named_with_its_line() {
    let text = "channels:
  - name: A
    kind: slack
    config: {url: ftp://x, uri: 1}
    events: [down, up]
    activ: true
  - name: A
    kind: pigeon
  - kind: email
    config:
      to: [soc@company.com, nobody]
  - name: B
    kind: webhook
    config: {url: {env: NOT_SET}}
  - name: C
    kind: email
    config: {to: [a@company.com]}
  - name: C
    kind: email
    config: {to: [a@company.com]}
";
    insta::assert_snapshot!(refused(&read(text).unwrap_err()).to_string());
}
