//! Each failure can be made again with another program: the command that a failed test delivery shows is run by a shell, with the real curl,
//! against the same receiver. With the right secret in it the event arrives, and without it the receiver refuses as it refused the connector.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::process::Command;
use toktra_siem_fake::webhook::{Login, Shape};
use toktra_siem_fake::{ReceiverOptions, Tls};
use toktra_siem_platform::Registry;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;
use toktra_siem_testkit::world::{Said, said};

use crate::hints::certificates::{Authority, self_signed, server};

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// Runs a command in a directory of its own, with these values for its variables.
async fn run(command: &str, values: &[(&str, &str)]) -> Said {
    let directory = tempfile::tempdir().unwrap();
    let line = |line: &str| {
        let value = values.iter().find(|(name, _)| line.starts_with(&format!("{name}='<")));
        value.map_or_else(|| line.to_owned(), |(name, value)| format!("{name}='{value}'"))
    };
    let script = command.lines().map(line).collect::<Vec<_>>().join("\n");
    let mut shell = Command::new("sh");
    // What a machine says of proxies means nothing to the service.
    shell.arg("-ec").arg(script).current_dir(directory.path()).env("HTTP_PROXY", "http://127.0.0.1:1");
    said(shell, b"").await
}

/// The commands of the streams that failed, by stream.
fn commands(test: &Value) -> BTreeMap<String, String> {
    let of = |stream: &Value| Some((stream["stream"].text(), stream["reproduce"].as_str()?.to_owned()));
    test["streams"].as_array().unwrap().iter().filter_map(of).collect()
}

fn tools() -> bool {
    [real::CURL, real::OPENSSL].iter().all(|part| part.path().as_deref().is_some_and(Path::exists))
}

/// A connector with wrong secrets, and the right ones by their variables.
struct Scene {
    body: Value,
    right: Vec<(&'static str, String)>,
}

fn scene(platform: &str, config: &Value, right: &[(&'static str, &str)]) -> Scene {
    let right = right.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Scene { body: json!({ "name": platform, "platform": platform, "config": config }), right }
}

/// The ids of the events that came.
type Ids = Box<dyn Fn() -> Vec<String>>;

async fn scenes() -> Vec<(Scene, Ids)> {
    let mut scenes: Vec<(Scene, Ids)> = Vec::new();
    let fake = splunk_with(|options| options.token = TOKEN.into()).await;
    let wrong = "00000000-0000-0000-0000-canary000000";
    let config = json!({ "hec_url": fake.base_url(), "hec_token": wrong });
    scenes.push((
        scene("splunk", &config, &[("HEC_TOKEN", TOKEN)]),
        Box::new(move || fake.event_ids().into_keys().collect()),
    ));
    let fake = datadog().await;
    let config = json!({ "url": fake.base_url(), "api_key": "canary6789abcdef0123456789abcdef" });
    scenes.push((
        scene("datadog", &config, &[("API_KEY", TOKEN)]),
        Box::new(move || fake.event_ids().into_keys().collect()),
    ));
    for basic in [false, true] {
        use toktra_siem_fake::elasticsearch::{Credentials, Flavour};
        let fake = elasticsearch_with(Flavour::Elasticsearch, |options| {
            options.credentials = if basic {
                Credentials::Basic("it's \"me\"!".into(), "right".into())
            } else {
                Credentials::ApiKey("cmlnaHQ6a2V5".into())
            };
        })
        .await;
        let (config, right) = if basic {
            let (name, wrong) = ("it's \"me\"!", "canary$HOME`id`");
            (json!({ "url": fake.base_url(), "username": name, "password": wrong }), ("PASSWORD", "right"))
        } else {
            (json!({ "url": fake.base_url(), "api_key": "Y2FuYXJ5OmtleQ==" }), ("API_KEY", "cmlnaHQ6a2V5"))
        };
        let mut scene = scene("elasticsearch", &config, &[right]);
        scene.body["name"] = format!("elasticsearch {basic}").into();
        scenes.push((scene, Box::new(move || fake.event_ids().into_keys().collect())));
    }
    let fake = webhook_with(|options| {
        options.path = "/in/right?k=right".to_owned();
        options.login = Login::None;
        options.headers = vec![("x-api-key".to_owned(), "right".to_owned())];
        options.shape = Shape::Lines;
    })
    .await;
    let url = fake.url();
    let config = json!({
        "secret_url": url.replace("right", "canary"), "format": "lines", "headers": { "X-Api-Key": "canary" },
    });
    scenes.push((
        scene("webhook", &config, &[("SECRET_URL", &url), ("HEADER_X_API_KEY", "right")]),
        Box::new(move || fake.event_ids().into_keys().collect()),
    ));
    scenes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_can_be_made_again_with_curl_and_no_secret_is_in_it() {
    let world = World::whole(Registry::standard(), &[]).await;
    for (scene, ids) in scenes().await {
        let connector = world.post("/v1/siem/connectors", &scene.body).await.expect_status(201).json();
        let path = format!("/v1/siem/connectors/{}", connector["id"].text());
        let test = world.post(&format!("{path}/test"), &json!({})).await.expect_status(200).json();
        assert_eq!(test["delivered"], false, "{test}");
        let commands = commands(&test);
        assert!(!commands.is_empty(), "{test}");
        let delivery = test["streams"][0]["delivery_id"].text();
        let history = world.read(&format!("/v1/siem/deliveries/{delivery}")).await;
        assert!(history["reproduce"].as_str().is_some_and(|command| command.contains("curl ")), "{history}");
        let setup = world.read(&format!("{path}/setup")).await;
        assert_eq!(setup["reproduce"].as_array().unwrap().len(), test["streams"].as_array().unwrap().len(), "{setup}");
        let everything = format!("{test}{history}{setup}");
        assert!(!everything.contains("canary") && !everything.contains("Y2FuYXJ5"), "{everything}");

        let (before, right): (_, Vec<(&str, &str)>) =
            (ids(), scene.right.iter().map(|(name, value)| (*name, value.as_str())).collect());
        for (stream, command) in &commands {
            if !tools() {
                return;
            }
            let had = ids();
            let refused = run(command, &[]).await;
            // A URL that is a secret is a placeholder, to which nothing can be sent.
            let answered = refused.stdout.starts_with("HTTP/1.1 ") || scene.body["config"]["secret_url"] != Value::Null;
            assert!(answered && !refused.stdout.starts_with("HTTP/1.1 2"), "{stream} of {}: {refused:?}", scene.body);
            assert_eq!(ids(), had);
            let arrived = run(command, &right).await;
            assert!(arrived.stdout.starts_with("HTTP/1.1 20"), "{stream} of {}: {arrived:?}\n{command}", scene.body);
        }
        assert_eq!(ids().len(), before.len() + 1, "{}", scene.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_trusted_by_the_command_as_by_the_connector() {
    let world = World::whole(Registry::standard(), &[]).await;
    let acme = Authority::new("Acme");
    let start = async |tls: Tls| {
        splunk_with(|options| {
            options.token = TOKEN.into();
            options.receiver = ReceiverOptions { tls: Some(tls), ..ReceiverOptions::default() };
        })
        .await
    };
    let signed = start(server(&acme, "siem.test")).await;
    let alone = start(self_signed("siem.test")).await;
    let unpinned = json!({
        "name": "x", "platform": "splunk", "config": { "hec_url": alone.base_url(), "hec_token": TOKEN },
    });
    let shown = world.post("/v1/siem/connectors/test", &unpinned).await.json();
    let pin = shown["certificate"]["fingerprint"].text();
    for (number, (fake, config, arrives)) in [
        (&signed, json!({ "tls_ca": acme.pem(), "tls_server_name": "siem.test" }), true),
        (&signed, json!({ "tls_ca": Authority::new("Other").pem(), "tls_server_name": "siem.test" }), false),
        (&signed, json!({ "tls_ca": acme.pem(), "tls_server_name": "other.test" }), false),
        (&alone, json!({ "tls_fingerprint": pin }), true),
        (&alone, json!({ "tls_fingerprint": "ab".repeat(32) }), false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = json!({
            "name": format!("Splunk {number}"), "platform": "splunk",
            "config": { "hec_url": fake.base_url(), "hec_token": "00000000-0000-0000-0000-000000000000" },
        });
        for (name, value) in config.as_object().unwrap() {
            body["config"][name] = value.clone();
        }
        let connector = world.post("/v1/siem/connectors", &body).await.expect_status(201).json();
        let test = world.post(&format!("/v1/siem/connectors/{}/test", connector["id"].text()), &json!({})).await.json();
        let command = &commands(&test)["events"];
        if !tools() {
            return;
        }
        let before = fake.event_ids().len();
        let said = run(command, &[("HEC_TOKEN", TOKEN)]).await;
        assert_eq!(said.stdout.starts_with("HTTP/1.1 200"), arrives, "{config}: {said:?}\n{command}");
        assert_eq!(fake.event_ids().len(), before + usize::from(arrives), "{config}");
    }
}

/// An interactive bash replaces `!` in double quotes by what was typed before, whatever that holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_somebody_typed_is_run_by_an_interactive_shell() {
    if !tools() {
        return;
    }
    let world = World::whole(Registry::standard(), &[]).await;
    let hook = webhook_with(|options| options.login = Login::Basic(";touch PWN;#!# x".into(), "right".into())).await;
    let names = ["x-a", "X_A"];
    let config = json!({
        "url": hook.url(), "username": ";touch PWN;#!# x", "password": "{{PASSWORD}}$(touch PWN)", "headers": { names[0]: "1", names[1]: "2" },
    });
    let body = json!({ "name": "Hook", "platform": "webhook", "config": config });
    let connector = world.post("/v1/siem/connectors", &body).await.expect_status(201).json();
    let setup = world.read(&format!("/v1/siem/connectors/{}/setup", connector["id"].text())).await;
    let command = setup["reproduce"][0]["command"].text();
    assert!(command.contains("HEADER_X_A='<") && command.contains("HEADER_X_A_1='<"), "two headers: {command}");
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]).current_dir(directory.path()).env("HISTFILE", "/dev/null");
    let typed = command.replace("<Password>", "right");
    let said = said(shell, format!("{typed}\nexit\n").as_bytes()).await;
    assert!(said.stdout.contains("HTTP/1.1 20"), "{said:?}\n{command}");
    assert!(!directory.path().join("PWN").exists(), "{said:?}");
    assert_eq!(hook.event_ids().len(), 1);
}
