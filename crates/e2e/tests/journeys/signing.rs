//! Signatures as receivers see them: checked by the documented code, unchanged, over captured requests; rotation; `toktra-siem verify`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use toktra_siem_fake::splunk::{Endpoint, Splunk, reply};
use toktra_siem_fake::{Recorded, verify};
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

const SECRET: &str = "a-signing-secret-of-some-length";
const SIGNATURE: &str = "x-toktra-signature";
const SIGNATURE_NEXT: &str = "x-toktra-signature-next";

/// One question to the documented code.
fn case(payload: &[u8], secret: &str, header: &str) -> Value {
    json!({ "kind": "body", "payload": BASE64.encode(payload), "secret": secret, "header": header })
}

/// One question to an implementation of Standard Webhooks.
pub(crate) fn webhook_case(request: &Recorded, payload: &[u8], secret: &str) -> Value {
    let header = |name| request.header(name).unwrap_or_else(|| panic!("no {name}"));
    json!({
        "kind": "webhook",
        "payload": BASE64.encode(payload),
        "secret": secret,
        "id": header("webhook-id"),
        "timestamp": header("webhook-timestamp"),
        "signature": header("webhook-signature"),
    })
}

/// The official library of Standard Webhooks answers `expected` to each of these questions, where it is at hand.
pub(crate) async fn library_says(cases: &[Value], expected: bool) {
    let cases: Vec<Value> = cases.iter().map(|case| with(case.clone(), "kind", "library")).collect();
    if let Some(answers) = python(&cases).await {
        assert_eq!(answers, vec![expected; cases.len()]);
    }
}

/// What the documented Python says; `None` where there is no Python at hand.
async fn python(cases: &[Value]) -> Option<Vec<bool>> {
    let python = real::PYTHON.path()?;
    let runner = root().join("crates/e2e/tests/journeys/verify_runner.py");
    let fixture = root().join("fixtures/verify");
    let arguments = [runner.to_str().unwrap(), fixture.to_str().unwrap()];
    Some(serde_json::from_value(ask(&python, &arguments, &json!(cases)).await).unwrap())
}

/// What the documented JavaScript says; `None` where there is no Node.js at hand.
async fn node(cases: &[Value]) -> Option<Vec<bool>> {
    let node = real::NODE.path()?;
    let script = concat!(include_str!("../../../../fixtures/verify/verify.js"), include_str!("verify_runner.js"));
    Some(serde_json::from_value(ask(&node, &["-e", script], &json!(cases)).await).unwrap())
}

/// Both languages answer `expected` to these questions about a body and its signature.
async fn assert_documented_code_says(cases: &[(Value, bool)]) {
    let (questions, expected): (Vec<Value>, Vec<bool>) = cases.iter().cloned().unzip();
    for answers in [python(&questions).await, node(&questions).await].into_iter().flatten() {
        assert_eq!(answers, expected);
    }
}

async fn signed_splunk(org: &Org, splunk: &Splunk, compression: &str) -> Connector {
    org.connect_with(splunk, json!({ "config": { "compression": compression }, "signing_secret": SECRET })).await
}

#[tokio::test]
async fn the_documented_code_verifies_captured_requests_and_nothing_else() {
    let world = World::start().await;
    let (plain, zipped) = (splunk().await, splunk().await);
    let (first, second) = (world.org("plain").await, world.org("gzip").await);
    let to_plain = signed_splunk(&first, &plain, "none").await;
    let to_zipped = signed_splunk(&second, &zipped, "gzip").await;
    let odd = with(event("anomaly", "high"), "summary", "naïve “quotes”, \u{1F512} and a \\ backslash");
    for org in [&first, &second] {
        org.post_events(&[odd.clone(), event("lockout", "critical")]).await;
    }
    accepted(&plain, 2).await;
    accepted(&zipped, 2).await;

    let mut cases = Vec::new();
    for request in plain.requests().iter().chain(&zipped.requests()) {
        assert_eq!(verify::signature(request, SECRET), Ok(()));
        let header = request.header(SIGNATURE).unwrap();
        assert_eq!(request.header(SIGNATURE_NEXT), None);
        let mut changed = request.wire.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        cases.extend([
            (case(&request.wire, SECRET, header), true),
            (case(&request.wire, "another-signing-secret", header), false),
            (case(&changed, SECRET, header), false),
            (case(&request.wire, SECRET, &header.to_uppercase()), false),
            (case(&request.wire, SECRET, header.trim_start_matches("sha256=")), false),
        ]);
        assert_command_says(&request.wire, SECRET, header, 0).await;
        assert_command_says(&request.wire, "another-signing-secret", header, 1).await;
        assert_command_says(&changed, SECRET, header, 1).await;
        assert_command_says(&request.wire, SECRET, &header.replace("sha256=", "sha1="), 1).await;
    }
    assert_documented_code_says(&cases).await;
    let account = [("events", Account::delivered(2))];
    world.end_with(&[(&to_plain, &account), (&to_zipped, &account)]).await;
}

/// `toktra-siem verify` with this body on standard input ends with this code.
async fn assert_command_says(body: &[u8], secret: &str, signature: &str, code: i32) {
    let arguments = ["verify", "--secret", secret, "--signature", signature];
    let said = command(&arguments, &[], body).await.with_code(code);
    let said = said.stdout + &said.stderr;
    assert!(!said.contains(secret), "{said}");
}

#[tokio::test]
async fn each_attempt_is_signed_anew_under_the_id_of_its_delivery() {
    let (world, splunk) = (World::start().await, splunk().await);
    splunk.script(Endpoint::Event, [Behaviour::reply(reply(9))]);
    let org = world.org("Acme").await;
    let connector = signed_splunk(&org, &splunk, "none").await;
    org.post_event(event("anomaly", "high")).await;
    accepted(&splunk, 1).await;
    let [first, second] = splunk.requests().try_into().unwrap();
    let delivery = connector.until_settled("").await;
    assert_eq!(first.header("webhook-id"), delivery["id"].as_str());
    assert_eq!(second.header("webhook-id"), delivery["id"].as_str());
    for (request, attempt) in [(&first, 0), (&second, 1)] {
        let at: jiff::Timestamp = delivery["attempts"][attempt]["at"].text().parse().unwrap();
        assert_eq!(seconds(request), at.as_second(), "the time of the attempt");
    }
    assert_eq!((verify::webhook(&first, SECRET, None), verify::webhook(&second, SECRET, None)), (Ok(()), Ok(())));
    assert!(seconds(&second) > seconds(&first), "the second attempt comes a second later");
    assert_eq!(first.wire, second.wire);
    assert_eq!(first.header(SIGNATURE), second.header(SIGNATURE));
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));

    let mut redated = webhook_case(&second, &second.wire, SECRET);
    redated["timestamp"] = first.header("webhook-timestamp").into();
    let cases = [
        webhook_case(&first, &first.wire, SECRET),
        webhook_case(&second, &second.wire, SECRET),
        webhook_case(&first, b"{}", SECRET),
        webhook_case(&first, &first.wire, "another-signing-secret"),
        redated,
    ];
    if let Some(answers) = python(&cases).await {
        assert_eq!(answers, [true, true, false, false, false]);
    }
    world.end_with(&[(&connector, &[("events", Account::delivered(1))])]).await;
}

/// One secret, two readings: the official library decodes what follows `whsec_`, the documented code takes the characters.
#[tokio::test]
async fn a_secret_of_standard_webhooks_verifies_with_their_library_and_with_the_documented_code() {
    const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let (world, splunk) = (World::start().await, splunk().await);
    let org = world.org("Acme").await;
    let connector = org.connect_with(&splunk, json!({ "signing_secret": WHSEC })).await;
    org.post_event(event("anomaly", "high")).await;
    accepted(&splunk, 1).await;
    let [request] = splunk.requests().try_into().unwrap();
    assert_eq!((verify::webhook(&request, WHSEC, None), verify::signature(&request, WHSEC)), (Ok(()), Ok(())));
    let with = |payload: &[u8], secret: &str| {
        let mut case = webhook_case(&request, payload, secret);
        case["kind"] = "library".into();
        case
    };
    let bare = WHSEC.trim_start_matches("whsec_");
    let cases = [
        with(&request.wire, WHSEC),
        with(&request.wire, bare),
        with(b"{}", WHSEC),
        with(&request.wire, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"),
    ];
    if let Some(answers) = python(&cases).await {
        assert_eq!(answers, [true, true, false, false]);
    }
    let header = request.header(SIGNATURE).unwrap();
    assert_documented_code_says(&[
        (case(&request.wire, WHSEC, header), true),
        (case(&request.wire, bare, header), false),
    ])
    .await;
    world.end_with(&[(&connector, &[("events", Account::delivered(1))])]).await;
}

fn seconds(request: &Recorded) -> i64 {
    request.header("webhook-timestamp").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_rotation_signs_with_both_secrets_until_the_new_one_is_activated() {
    let (world, splunk) = (World::start().await, splunk().await);
    let org = world.org("Acme").await;
    // Without a secret of its own the connector gets one, shown this one time.
    let connector = org.connect(&splunk).await;
    let old = connector.created["signing_secret"]["value"].text();
    let before = send_one(&org, &splunk).await;
    let rotated = org.call(&connector.path("/signing-secret/rotate"), &json!({})).await;
    let new = rotated["signing_secret_next"]["value"].text();
    let during = send_one(&org, &splunk).await;
    org.call(&connector.path("/signing-secret/activate"), &json!({})).await;
    let after = send_one(&org, &splunk).await;

    assert_eq!((before.header(SIGNATURE_NEXT), after.header(SIGNATURE_NEXT)), (None, None));
    // The fake's own check first: it is at hand everywhere.
    assert_eq!((verify::signature(&before, &old), verify::signature(&after, &new)), (Ok(()), Ok(())));
    assert_eq!((verify::signature(&during, &old), verify::signature_next(&during, &new)), (Ok(()), Ok(())));
    let header = |request: &Recorded, name| request.header(name).unwrap().to_owned();
    let (now, next) = (header(&during, SIGNATURE), header(&during, SIGNATURE_NEXT));
    assert_documented_code_says(&[
        (case(&before.wire, &old, &header(&before, SIGNATURE)), true),
        (case(&during.wire, &old, &now), true),
        (case(&during.wire, &new, &now), false),
        (case(&during.wire, &new, &next), true),
        (case(&during.wire, &old, &next), false),
        (case(&after.wire, &new, &header(&after, SIGNATURE)), true),
        (case(&after.wire, &old, &header(&after, SIGNATURE)), false),
    ])
    .await;
    let webhooks: Vec<Value> =
        [(&before, &old), (&before, &new), (&during, &old), (&during, &new), (&after, &old), (&after, &new)]
            .map(|(request, secret)| webhook_case(request, &request.wire, secret))
            .into();
    if let Some(answers) = python(&webhooks).await {
        assert_eq!(answers, [true, false, true, true, false, true]);
    }
    world.end_with(&[(&connector, &[("events", Account::delivered(3))])]).await;
}

#[tokio::test]
async fn the_default_org_signs_with_the_operators_secrets_unless_a_connector_has_its_own() {
    let setup = setup().env("SIEM_SIGNING_SECRET", SECRET);
    let world = World::with(setup.env("SIEM_SIGNING_SECRET_NEXT", "the-next-signing-secret")).await;
    let (first, second) = (splunk().await, splunk().await);
    let org = world.default_org();
    let shared = org.connect(&first).await;
    assert_eq!(shared.created["signing_secret"], json!({ "set": true, "source": "SIEM_SIGNING_SECRET" }));
    let own = json!({ "name": "with its own", "signing_secret": "a-secret-of-its-own" });
    let own = org.connect_with(&second, own).await;
    org.post_event(event("anomaly", "high")).await;
    accepted(&first, 1).await;
    accepted(&second, 1).await;
    let (to_first, to_second) = (first.requests().remove(0), second.requests().remove(0));
    assert_eq!(to_second.header(SIGNATURE_NEXT), None);
    assert_eq!(
        (verify::signature(&to_first, SECRET), verify::signature(&to_second, "a-secret-of-its-own")),
        (Ok(()), Ok(()))
    );
    assert_documented_code_says(&[
        (case(&to_first.wire, SECRET, to_first.header(SIGNATURE).unwrap()), true),
        (case(&to_first.wire, "the-next-signing-secret", to_first.header(SIGNATURE_NEXT).unwrap()), true),
        (case(&to_second.wire, "a-secret-of-its-own", to_second.header(SIGNATURE).unwrap()), true),
        (case(&to_second.wire, SECRET, to_second.header(SIGNATURE).unwrap()), false),
    ])
    .await;
    let log = world.log();
    for secret in [SECRET, "the-next-signing-secret", "a-secret-of-its-own", CREDENTIAL] {
        assert!(!log.contains(secret), "{log}");
    }
    let account = [("events", Account::delivered(1))];
    world.end_with(&[(&shared, &account), (&own, &account)]).await;
}

#[tokio::test]
async fn the_documented_code_says_of_every_common_mistake_what_the_page_says() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../../fixtures/verify/cases.json")).unwrap();
    let cases: Vec<(Value, bool)> = cases
        .iter()
        .map(|one| {
            let text = |member: &str| one[member].as_str().unwrap();
            (case(text("body").as_bytes(), text("secret"), text("header")), one["valid"].as_bool().unwrap())
        })
        .collect();
    assert!(cases.iter().any(|(_, valid)| *valid) && cases.len() > 20);
    assert_documented_code_says(&cases).await;
}

/// Posts one event and returns the request that brought it.
async fn send_one(org: &Org, splunk: &Splunk) -> Recorded {
    let before = splunk.counts().events;
    org.post_event(event("anomaly", "high")).await;
    accepted(splunk, before + 1).await;
    splunk.requests().pop().unwrap()
}

/// The text between a fence that opens with this line and its end.
fn fenced<'a>(document: &'a str, opening: &str) -> &'a str {
    let start = document.find(opening).unwrap_or_else(|| panic!("no {opening}")) + opening.len() + 1;
    let end = document[start..].find("```").unwrap() + start;
    &document[start..end]
}

#[test]
fn readme_and_product_spec_document_exactly_the_code_that_is_tested() {
    let readme = include_str!("../../../../README.md");
    let python = include_str!("../../../../fixtures/verify/verify.py");
    let node = include_str!("../../../../fixtures/verify/verify.js");
    assert_eq!(fenced(readme, "```python verify"), python);
    assert_eq!(fenced(readme, "```js verify"), node);
    // The product's own words stand beside the repository where it is built, not in it.
    match std::fs::read_to_string(root().join("../shared/product-spec.txt")) {
        Ok(spec) => assert!(spec.contains(python.trim_end()) && spec.contains(node.trim_end())),
        Err(error) => eprintln!("skipped: the product specification is not beside the repository ({error})"),
    }
}
