//! What is in `ops/`, checked with the tools of those that it is for, and against the program that it speaks of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use toktra_siem_config::settings;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

mod alerts;
mod kubernetes;

fn ops(file: &str) -> PathBuf {
    root().join("ops").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(ops(file)).unwrap_or_else(|error| panic!("ops/{file}: {error}"))
}

/// Every text in `ops/`, by path.
fn texts() -> Vec<(PathBuf, String)> {
    let (mut found, mut open) = (Vec::new(), vec![root().join("ops")]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.clone(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

/// The words of `text` that begin like this.
fn words<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c| !part(c)).filter(move |word| word.starts_with(prefix) && word.len() > prefix.len())
}

/// Runs a tool with this on standard input; what it says, if it does not like what it got.
async fn complaints(program: &Path, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    let said = said(command, input.as_bytes()).await;
    (said.code != Some(0)).then(|| said.stdout + &said.stderr)
}

#[tokio::test]
async fn prometheus_takes_configuration_and_rules_and_every_rule_does_what_its_test_says() {
    let Some(promtool) = real::PROMTOOL.path() else { return };
    for (what, file) in [
        (["check", "config"], "prometheus.yml"),
        (["check", "rules"], "alerts.yml"),
        (["test", "rules"], "alerts.test.yml"),
    ] {
        let path = ops("prometheus").join(file);
        let arguments = [what[0], what[1], path.to_str().unwrap()];
        assert_eq!(complaints(&promtool, &arguments, "").await, None, "{arguments:?}");
    }
    let spoilt = read("prometheus/alerts.yml").replacen("for: 2m", "for: soon", 1);
    assert!(complaints(&promtool, &["check", "rules"], &spoilt).await.is_some(), "a wrong rule is found");
}

#[test]
fn every_alert_is_tested_and_says_what_to_do() {
    let (rules, tests) = (read("prometheus/alerts.yml"), read("prometheus/alerts.test.yml"));
    let runbook = std::fs::read_to_string(root().join("docs/operation.md")).expect("docs/operation.md");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        let anchor = alert.split("runbook: docs/operation.md#").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        assert!(
            runbook.contains(&format!("<a id=\"{anchor}\"></a>")),
            "{name}: docs/operation.md has no anchor {anchor}"
        );
        let played: Vec<&str> = tests.split("alertname: ").filter(|test| test.lines().next() == Some(name)).collect();
        let fires = |test: &&&str| !test.trim_start_matches(name).trim_start().starts_with("exp_alerts: []");
        assert!(played.iter().any(|test| fires(&test)), "{name} is never played to its end");
    }
}

#[tokio::test]
async fn what_rules_and_dashboard_ask_for_is_what_the_program_says_and_prometheus_likes_it() {
    let splunk = splunk().await;
    // No collector has to be there for the figures of traces.
    let world = World::with(setup().env("TOKTRA_SIEM_OTLP_ENDPOINT", "http://127.0.0.1:9")).await;
    world.connect(&splunk).await;
    world.post_event(event("anomaly", "high")).await;
    let key = json!({ "name": "producer", "scopes": ["events:write"], "expires_at": "2099-01-01T00:00:00Z" });
    world.make("/v1/api-keys", &key).await;
    let place = tempfile::tempdir().unwrap();
    world.in_dir(&["backup", "--to", place.path().join("backup.db").to_str().unwrap()]).await.done();
    let page = poll::until("the event is delivered", async || {
        let page = world.anonymous().get("/metrics").await.expect_status(200).text();
        page.contains("toktra_siem_stream_last_success_timestamp_seconds{").then_some(page)
    })
    .await;
    world.end().await;

    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let known: BTreeSet<&str> = samples.map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    let mut asked = BTreeSet::new();
    let (rules, dashboard) = (read("prometheus/alerts.yml"), read("grafana/toktra-siem.json"));
    for text in [&rules, &dashboard] {
        asked.extend(words(text, "toktra_siem_").chain(words(text, "process_")));
    }
    assert!(asked.len() > 30, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "not among what the program says: {unknown:?}");
    let Some(promtool) = real::PROMTOOL.path() else { return };
    assert_eq!(complaints(&promtool, &["check", "metrics"], &page).await, None);
}

#[test]
fn the_dashboard_can_be_read_by_grafana_and_by_people() {
    let dashboard: Value = serde_json::from_str(&read("grafana/toktra-siem.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].number()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(
            panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{title} does not say what it shows"
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            for name in query.split("\"$").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(variables.contains(&name), "{title}: there is no variable {name}");
            }
        }
    }
}

#[test]
fn every_variable_that_is_named_exists() {
    let table = settings::Table::default();
    let known: BTreeSet<&str> = table
        .all()
        .map(|setting| &*setting.variable)
        .chain(settings::CLIENT_VARIABLES.iter().map(|(variable, _)| *variable))
        .collect();
    let mut named = 0;
    for (path, text) in texts() {
        for word in words(&text, "TOKTRA_SIEM_").chain(words(&text, "SIEM_")) {
            named += 1;
            assert!(known.contains(word), "{}: there is no {word}", path.display());
        }
    }
    assert!(named > 15, "{named}");
}

#[tokio::test]
async fn systemd_takes_the_unit_and_finds_it_locked_in() {
    let tool = Path::new("systemd-analyze");
    if Command::new(tool).arg("--version").output().await.is_err() {
        eprintln!("skipped: this test needs systemd-analyze (Debian: package systemd)");
        return;
    }
    let unit = read("systemd/toktra-siem.service");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("toktra-siem.service");
    std::fs::write(&path, unit.replace("/usr/local/bin/toktra-siem", &program())).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(complaints(tool, &["verify", "--man=no", path], "").await, None);
    // Of 100, where a service without any sandbox has 96; before systemd 250 there is no look at a file.
    let too_open = complaints(tool, &["security", "--no-pager", "--offline=true", "--threshold=15", path], "").await;
    let old = too_open.as_ref().is_some_and(|said| said.contains("unrecognized option"));
    assert!(old || too_open.is_none(), "{too_open:?}");
    let grace = settings::Table::default().by_key("shutdown_grace").unwrap().default.unwrap().trim_end_matches('s');
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap().trim_end_matches('s');
    assert!(stop.parse::<u32>().unwrap() > grace.parse().unwrap(), "systemd would kill what is still delivering");
}

/// `Type=notify` needs a server that tells.
#[tokio::test]
async fn systemd_is_told_that_the_server_is_ready_that_it_lives_and_that_it_ends() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let reader = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer).await {
            let _ = sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    // It has to tell within two tenths of a second that it lives.
    let setup = setup().env("NOTIFY_SOCKET", path.as_os_str()).env("WATCHDOG_USEC", "200000");
    let world = World::with(setup).await;
    let first = told.recv().await.unwrap();
    assert_eq!(first, format!("READY=1\nSTATUS=Listening on {}\n", world.base()));
    for _ in 0..3 {
        assert_eq!(told.recv().await.unwrap(), "WATCHDOG=1\n");
    }
    world.end().await;
    while !told.recv().await.unwrap().starts_with("STOPPING=1\n") {}
    reader.abort();

    let unit = read("systemd/toktra-siem.service");
    for line in ["Type=notify", "WatchdogSec=", "MemoryMax=", "#   LoadCredential=TOKTRA_SIEM_API_KEY:"] {
        assert!(unit.lines().any(|present| present.starts_with(line)), "{line} is missing");
    }
}

/// A command by hand finds the settings and the data of the service.
#[test]
fn the_lines_for_systemd_run_a_command_as_the_unit_does() {
    let unit = read("systemd/toktra-siem.service");
    let set = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    let mut shared: Vec<String> =
        ["User=", "WorkingDirectory=", "EnvironmentFile="].map(|name| format!("-p {name}{}", set(name))).into();
    shared.push(format!("-E TOKTRA_SIEM_DATA_DIR={}", set("Environment=TOKTRA_SIEM_DATA_DIR=")));
    let page = std::fs::read_to_string(root().join("docs/operation.md")).unwrap();
    let lines: Vec<&str> = page.lines().filter(|line| line.contains("systemd-run ")).collect();
    for command in ["config check", "first-login", "backup --to", "restore --replace --from"] {
        assert!(lines.iter().any(|line| line.contains(&format!(" toktra-siem {command}"))), "{command}");
    }
    for (line, part) in lines.iter().flat_map(|line| shared.iter().map(move |part| (line, part))) {
        assert!(line.contains(part.as_str()), "{line}: lacks {part}");
    }
}

/// An alert names a connector and no org: the bootstrap key need not know it. Everybody else stays in their own org.
#[tokio::test]
async fn the_connector_of_an_alert_is_found_by_its_id() {
    let splunk = splunk().await;
    let world = World::start().await;
    let other = world.org("Other").await;
    let (connector, third) = (other.connect(&splunk).await, world.org("Third").await);
    for path in ["", "/health", "/accounting", "/deliveries"] {
        let path = format!("/v1/siem/connectors/{}{path}", connector.id);
        world.get(&path).await.expect_status(200);
        third.get(&path).await.expect_status(404);
    }
    let found = world.get(&format!("/v1/siem/connectors/{}", connector.id)).await.expect_status(200).json();
    assert_eq!(found["org_id"], other.id.as_str());
    world.get(&format!("/v1/siem/connectors/{}/health", other.id)).await.expect_status(404);
    // Changes name the org.
    world.patch(&format!("/v1/siem/connectors/{}", connector.id), &json!({ "active": false })).await.expect_status(404);
    world.end().await;
}

#[tokio::test]
async fn a_credential_of_the_service_is_its_api_key() {
    let place = tempfile::tempdir().unwrap();
    let key = "a-key-that-is-in-no-environment-0123456789";
    std::fs::write(place.path().join("TOKTRA_SIEM_API_KEY"), format!("{key}\n")).unwrap();
    let setup = setup().env("TOKTRA_SIEM_API_KEY", "").env("CREDENTIALS_DIRECTORY", place.path().as_os_str());
    let world = World::with(setup).await;
    assert_eq!(world.file("first-api-key"), None, "a key is given, and none is made");
    world.with_key(key).get("/v1/siem/connectors").await.expect_status(200);
    world.end().await;
}

#[tokio::test]
async fn the_compose_file_fits_together() {
    let Some(python) = real::PYTHON.path() else { return };
    let script = r"
import json, sys, yaml
json.dump(yaml.safe_load(sys.stdin), sys.stdout)
";
    let mut command = Command::new(python);
    command.args(["-c", script]);
    let compose = said(command, read("compose.yaml").as_bytes()).await.done().json();
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        let image = service["image"].as_str().unwrap();
        assert!(
            service["build"].is_object() || image.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest"),
            "{image}"
        );
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} listens on more than this machine");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let there =
                if source.starts_with('.') { ops(source).exists() } else { compose["volumes"].get(source).is_some() };
            assert!(there, "{name}: there is no {source}");
        }
        let needs: Vec<String> = match &service["depends_on"] {
            Value::Object(needs) => needs.keys().cloned().collect(),
            Value::Array(needs) => needs.iter().map(|need| need.as_str().unwrap().to_owned()).collect(),
            _ => Vec::new(),
        };
        assert!(needs.iter().all(|need| services.contains_key(need)), "{name}: {needs:?}");
    }
    let own = &services["toktra-siem"];
    let containerfile = root()
        .join("ops")
        .join(own["build"]["context"].as_str().unwrap())
        .join(own["build"]["dockerfile"].as_str().unwrap());
    let containerfile = std::fs::read_to_string(containerfile).unwrap();
    for line in [
        "USER 65532:65532",
        "HEALTHCHECK ",
        "VOLUME /data",
        "STOPSIGNAL SIGTERM",
        r#"ENTRYPOINT ["/usr/local/bin/toktra-siem"]"#,
        "ARG BUILD_IMAGE=",
        "LABEL org.opencontainers.image.title=",
    ] {
        assert!(containerfile.lines().any(|present| present.starts_with(line)), "{line} is missing");
    }
    assert!(own["environment"]["TOKTRA_SIEM_API_KEY"].as_str().unwrap().len() > 32);
}

#[tokio::test]
async fn the_sample_events_are_taken_in() {
    let world = World::start().await;
    let events = read("sample-events.ndjson");
    let answer = world.post_bytes("/v1/events", "application/x-ndjson", events).await.expect_status(202).json();
    assert_eq!(answer["accepted"], 4);
    world.end().await;
}
