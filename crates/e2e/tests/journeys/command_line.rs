//! The command line as its users go through it: a connector tested and made, a filter tried, events sent, looked at and replayed, the
//! history exported, what cannot be delivered given up, and who did all that.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::poll;
use toktra_siem_testkit::server::{API_KEY, ServerProcess, ServerSetup};

const TOKEN: &str = "a-hec-token-that-is-long-9876";

/// What a command wrote, and its exit code.
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl Said {
    #[track_caller]
    fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

async fn run(server: &ServerProcess, arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toktra-siem-under-test"));
    command.args(arguments).env_clear().kill_on_drop(true);
    command.env("TOKTRA_SIEM_URL", server.base()).env("TOKTRA_SIEM_API_KEY", API_KEY);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

async fn done(server: &ServerProcess, arguments: &[&str]) -> Said {
    run(server, arguments, "").await.with_code(0)
}

/// A server and a Splunk, and the arguments that make a connector to it.
async fn start() -> (ServerSetup, ServerProcess, Splunk) {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let setup = ServerSetup::new(env!("CARGO_BIN_EXE_toktra-siem-under-test"));
    let server = setup.start().await;
    (setup, server, splunk)
}

#[tokio::test]
async fn a_connector_is_tested_before_it_is_made_and_afterwards_with_changes() {
    let (_setup, server, splunk) = start().await;
    let base = splunk.base_url();
    let add = ["connector", "add", "splunk", "--hec-url", &base, "--hec-token-file", "-", "--test", "--active"];
    let refused = run(&server, &add, "another-token-than-that-one").await.with_code(1);
    assert!(refused.stdout.contains("✗ Not delivered") && refused.stdout.contains("Hint: "), "{}", refused.stdout);
    assert!(done(&server, &["connector", "list"]).await.stdout.contains("no connectors"), "none was made");
    let made = run(&server, &add, TOKEN).await.with_code(0);
    assert!(made.stdout.contains("The test event arrived.") && made.stdout.contains("(splunk, on)"), "{}", made.stdout);

    let said = done(&server, &["connector", "test", "Splunk"]).await;
    assert!(
        said.stdout.contains("✓ Delivered") && said.stdout.contains("Find it with: index=toktra"),
        "{}",
        said.stdout
    );
    let json = done(&server, &["connector", "test", "Splunk", "--json"]).await.json();
    let event = json["event_id"].as_str().unwrap();
    assert!(splunk.event_ids().contains_key(event), "{json}");
    let said = run(&server, &["connector", "test", "Splunk", "--set-secret", "hec_token=-"], "another-token").await;
    let said = said.with_code(1);
    assert!(said.stdout.contains("✗  write") && !said.stdout.contains("another-token"), "{}", said.stdout);
    done(&server, &["connector", "test", "Splunk"]).await;
    server.stop().await;
}

#[tokio::test]
async fn events_are_delivered_again_waited_for_and_exported() {
    let (_setup, server, splunk) = start().await;
    let base = splunk.base_url();
    let add =
        ["connector", "add", "splunk", "--hec-url", &base, "--hec-token-file", "-", "--active", "--severity", "high"];
    run(&server, &add, TOKEN).await.with_code(0);
    let severity = |n: usize| if n.is_multiple_of(2) { "high" } else { "low" };
    let event = |n: usize| json!({ "event_type": "anomaly", "severity": severity(n) }).to_string();
    let lines = (0..20).map(event).collect::<Vec<_>>().join("\n");
    run(&server, &["event", "import", "-"], &lines).await.with_code(0);
    splunk.wait_for_events(10).await;
    let preview = done(&server, &["filter", "preview", "--connector", "Splunk", "--json"]).await.json();
    assert_eq!((preview["total"].as_u64(), preview["matching"].as_u64()), (Some(20), Some(10)), "{preview}");
    poll::until("the accounts say so", async || {
        let accounts = done(&server, &["connector", "accounting", "Splunk", "--json"]).await.json();
        (accounts["streams"][0]["delivered"] == 10).then_some(())
    })
    .await;

    let dry = done(&server, &["delivery", "replay", "Splunk", "--dry-run"]).await;
    assert!(dry.stdout.starts_with("10 events in question. Nothing was done"), "{}", dry.stdout);
    let job = done(&server, &["delivery", "replay", "Splunk", "--from", "1h", "--wait", "--json"]).await.json();
    assert_eq!((job["state"].as_str(), job["delivered"].as_u64()), (Some("done"), Some(10)), "{job}");
    splunk.wait_for_events(20).await;
    let listed = done(&server, &["delivery", "list", "--trigger", "replay", "--json"]).await.json();
    let delivery = listed[0]["id"].as_str().unwrap();
    let begun = done(&server, &["delivery", "redeliver", delivery]).await;
    assert!(begun.stdout.contains("toktra-siem job watch "), "{}", begun.stdout);
    let jobs = done(&server, &["job", "list", "--connector", "Splunk", "--json"]).await.json();
    done(&server, &["job", "watch", jobs[0]["id"].as_str().unwrap()]).await;
    splunk.wait_for_events(30).await;
    let text = done(&server, &["job", "list"]).await.stdout;
    assert!(text.contains("replay") && text.contains("redeliver"), "{text}");

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("history.csv");
    done(&server, &["delivery", "export", "--format", "csv", "--output", file.to_str().unwrap()]).await;
    let all = done(&server, &["delivery", "list", "--limit", "1000", "--json"]).await.json();
    let csv = std::fs::read_to_string(&file).unwrap();
    assert_eq!(csv.lines().count(), all.as_array().unwrap().len() + 1, "{csv}");
    let lines = done(&server, &["delivery", "export", "--trigger", "replay"]).await.stdout;
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["trigger"] == "replay"), "{lines}");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_told_and_given_up_on_request() {
    let (_setup, server, splunk) = start().await;
    let base = splunk.base_url();
    let add = ["connector", "add", "splunk", "--hec-url", &base, "--hec-token-file", "-", "--active"];
    run(&server, &add, "another-token-than-that-one").await.with_code(0);
    run(&server, &["event", "send"], "{\"event_type\":\"lockout\",\"severity\":\"high\"}").await.with_code(0);
    poll::until("the connector is not healthy", async || {
        let said = run(&server, &["connector", "health"], "").await;
        (said.code == Some(1) && said.stderr.contains("Not healthy: Splunk")).then_some(())
    })
    .await;
    poll::until("the event is parked", async || {
        let accounts = done(&server, &["connector", "accounting", "Splunk", "--json"]).await.json();
        (accounts["streams"][0]["failed"] == 1).then_some(())
    })
    .await;
    let asked = run(&server, &["delivery", "discard", "Splunk"], "").await.with_code(2);
    assert!(asked.stderr.contains("gives up 1 event") && asked.stderr.contains("--yes"), "{}", asked.stderr);
    // A probe may have the event in hand at this very moment: then there is nothing to give up, and it is asked again.
    poll::until("the event is given up", async || {
        let job = done(&server, &["delivery", "discard", "Splunk", "--yes", "--wait", "--json"]).await.json();
        (job["discarded"] == 1).then_some(())
    })
    .await;
    let accounts = done(&server, &["connector", "accounting", "Splunk"]).await.stdout;
    assert!(accounts.contains("DISCARDED"), "{accounts}");
    server.stop().await;
}
#[tokio::test]
async fn people_come_and_go_and_the_audit_log_says_by_whom() {
    let (_setup, server, _splunk) = start().await;
    let create = ["user", "create", "ada@company.com", "--name", "Ada", "--role", "admin", "--password-file", "-"];
    let weak = run(&server, &create, "short\n").await.with_code(1);
    assert!(weak.stderr.contains("password") && !weak.stderr.contains("short\n"), "{}", weak.stderr);
    run(&server, &create, "four unrelated words here\n").await.with_code(0);
    let text = done(&server, &["user", "list"]).await.stdout;
    assert!(text.contains("ada@company.com  Ada   admin"), "{text}");
    done(&server, &["user", "update", "ada@company.com", "--name", "Ada L."]).await;
    done(&server, &["user", "delete", "ada@company.com", "--yes"]).await;
    assert!(done(&server, &["user", "list"]).await.stdout.contains("There are no people yet"));
    let entries = done(&server, &["audit", "list", "--action", "user.", "--json"]).await.json();
    let actions: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["user.delete", "user.update", "user.create"]);
    assert!(!entries.to_string().contains("unrelated"), "{entries}");
    server.stop().await;
}
