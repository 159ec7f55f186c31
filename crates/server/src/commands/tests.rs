//! What the command line says: help texts, verdicts and faults, as a person sees them.

use std::sync::Arc;

use insta::assert_snapshot;
use secrecy::SecretString;
use toktra_siem_base::clock::SystemClock;
use toktra_siem_config::{DiskBudget, Environment};
use toktra_siem_core::signing::signature;
use toktra_siem_platform::Registry;
use toktra_siem_store::ClockTrust;

use super::{Cli, CliError, World, run};
use crate::service::open_store;

mod answers;
mod code;
mod health;
mod import;
mod newer;
mod responder;

/// What a command wrote, and how it ended.
async fn said(arguments: &[&str], variables: &[(&str, &str)], input: &[u8]) -> (String, Result<(), CliError>) {
    let cli = Cli::of([&["toktra-siem"], arguments].concat(), &Registry::standard()).unwrap();
    let (mut stdin, mut stdout, mut stderr) = (input, Vec::new(), Vec::new());
    let mut world = World {
        environment: Environment::of(variables.iter().copied()),
        registry: Registry::standard(),
        stdin: &mut stdin,
        stdin_terminal: false,
        stdout: &mut stdout,
        terminal: false,
        nowhere: false,
        stderr: &mut stderr,
        stderr_terminal: false,
    };
    let outcome = run(cli, &mut world).await;
    (String::from_utf8(stdout).unwrap(), outcome)
}

fn help(path: &[&str]) -> String {
    // Not the width of whatever terminal the tests run in.
    let mut command = Cli::command_with(&Registry::standard()).term_width(100);
    command.build();
    let found = path.iter().fold(&mut command, |command, name| command.find_subcommand_mut(name).unwrap());
    found.render_long_help().to_string()
}

/// The help of a command and of everything below it.
fn whole_help(command: &mut clap::Command, path: &str, text: &mut String) {
    let below: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let help = command.render_long_help().to_string();
    text.extend([format!("=== {path}\n"), help, "\n".to_owned()]);
    for name in below {
        whole_help(command.find_subcommand_mut(&name).unwrap(), &format!("{path} {name}"), text);
    }
}

#[test]
fn help_texts() {
    Cli::command_with(&Registry::standard()).debug_assert();
    assert_snapshot!("help", help(&[]));
    // Not the width of whatever terminal the tests run in.
    let mut cli = Cli::command_with(&Registry::standard()).term_width(100);
    cli.build();
    let names: Vec<String> = cli.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        let mut text = String::new();
        whole_help(cli.find_subcommand_mut(&name).unwrap(), &name, &mut text);
        assert_snapshot!(format!("help_{name}"), text);
    }
}

#[test]
fn every_command_has_an_example_and_says_its_exit_codes() {
    fn leaves<'c>(command: &'c clap::Command, path: &str, found: &mut Vec<(String, &'c clap::Command)>) {
        if command.get_subcommands().next().is_none() {
            found.push((path.to_owned(), command));
        }
        command.get_subcommands().for_each(|below| leaves(below, &format!("{path} {}", below.get_name()), found));
    }
    let cli = Cli::command_with(&Registry::standard());
    let mut found = Vec::new();
    leaves(&cli, "toktra-siem", &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for (path, command) in found {
        let about = command.get_long_about().or(command.get_about()).unwrap().to_string();
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(about.contains("Example: ") && about.contains(&path), "{path} has no example");
        assert!(about.contains("Exit code") || after.contains("Exit code"), "{path} says no exit codes");
    }
}

#[tokio::test]
async fn completions_are_made_for_every_shell() {
    let (bash, outcome) = said(&["completions", "bash"], &[], b"").await;
    assert!(outcome.is_ok());
    assert_snapshot!("completions_bash", bash);
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let (script, outcome) = said(&["completions", shell], &[], b"").await;
        assert!(outcome.is_ok() && script.contains("redeliver-failed") && script.contains("toktra-siem"), "{shell}");
    }
    let parsed = Cli::of(["toktra-siem", "completions", "tcsh"], &Registry::standard());
    assert!(parsed.is_err());
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (text, outcome) = said(&["man-pages", path], &[], b"").await;
    assert!(outcome.is_ok() && text.contains(path), "{text}");
    let page = |name: &str| std::fs::read_to_string(directory.path().join(format!("{name}.1"))).unwrap();
    assert!(page("toktra-siem").contains("toktra\\-siem\\-serve(1)"), "{}", page("toktra-siem"));
    let replay = page("toktra-siem-delivery-replay");
    assert!(replay.contains("\\-\\-dry\\-run") && replay.contains("TOKTRA_SIEM_API_KEY"), "{replay}");
    let (_, nowhere) = said(&["man-pages", &format!("{path}/missing")], &[], b"").await;
    let error = nowhere.unwrap_err();
    assert!(error.code() == 1 && error.to_string().contains("/missing"), "{error}");
}

const BODY: &[u8] = br#"{"event_type":"anomaly"}"#;

#[tokio::test]
async fn verify_says_whether_and_why_not() {
    let signed = signature(&SecretString::from("s3cret"), BODY);
    let (text, outcome) = said(&["verify", "--secret", "s3cret", "--signature", &signed], &[], BODY).await;
    assert!(outcome.is_ok() && text.starts_with("Valid"), "{text}");

    let variables = [("SIEM_SIGNING_SECRET", "old"), ("SIEM_SIGNING_SECRET_NEXT", "s3cret")];
    let (text, outcome) = said(&["verify", "--json", "--signature", &signed], &variables, BODY).await;
    assert!(outcome.is_ok());
    assert_eq!(text, "{\"valid\":true}\n");

    let with_newline = [BODY, b"\n"].concat();
    for (secret, signature, body, reason) in [
        ("other", signed.as_str(), BODY, "the secret is another one"),
        ("s3cret", &signed, &with_newline, "without the newline"),
        ("s3cret", &signed[7..], BODY, "has to be \"sha256=\""),
        ("s3cret", &signed, b"", "the body is empty"),
    ] {
        let (_, outcome) = said(&["verify", "--secret", secret, "--signature", signature], &[], body).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), 1);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn verify_without_a_secret_is_wrong_usage() {
    let (_, outcome) = said(&["verify", "--signature", "sha256=00"], &[], BODY).await;
    assert_eq!(outcome.unwrap_err().code(), 2);
}

#[tokio::test]
async fn config_check_shows_what_holds_and_fails_where_something_is_wrong() {
    let (text, outcome) = said(&["config", "check"], &[("TOKTRA_SIEM_LOG", "json")], b"").await;
    assert!(outcome.is_ok() && text.contains("The configuration can be used."), "{text}");

    let wrong = [("TOKTRA_SIEM_LOG", "xml"), ("SIEM_SIGNING_SECRET", "hunter2hunter2")];
    let (text, outcome) = said(&["config", "check", "--json"], &wrong, b"").await;
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), 2);
    assert!(error.to_string().contains("TOKTRA_SIEM_LOG"), "{error}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(report["faults"][0]["place"], "TOKTRA_SIEM_LOG");
    assert!(!text.contains("hunter2"), "{text}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.toml");
    std::fs::write(&file, "retention = 30\n\n[splunk]\nhec_url = \"ftp://x\"\n").unwrap();
    let (text, _) = said(&["config", "check", "--json", "--config", file.to_str().unwrap()], &[], b"").await;
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let places: Vec<_> =
        report["faults"].as_array().unwrap().iter().map(|f| (f["line"].as_u64(), f["key"].as_str())).collect();
    assert_eq!(
        places,
        [(Some(1), Some("retention")), (Some(4), Some("splunk.hec_url")), (None, Some("splunk.hec_token"))]
    );
    assert_eq!(report["faults"][0]["file"], file.to_str().unwrap());
    assert_eq!(report["faults"][2]["variable"], "SIEM_SPLUNK_HEC_TOKEN");
}

/// PEM that is understood, and cannot be used for all that: it is known before the server starts, and so to `config check`.
#[tokio::test]
async fn a_client_certificate_that_cannot_be_used_stops_the_start_and_names_its_variable() {
    let pem = include_str!("../../../../fixtures/certificates/self-signed.pem");
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let [certificate, key] = [("SIEM_SPLUNK_TLS_CLIENT_CERT", pem), ("SIEM_SPLUNK_TLS_CLIENT_KEY", broken)];
    for (given, variable, why) in [
        (vec![certificate, key], key.0, "cannot be read"),
        (vec![certificate], key.0, "there is no private key"),
        (vec![key], certificate.0, "no certificate for it"),
    ] {
        let splunk =
            [("SIEM_SPLUNK_HEC_URL", "https://splunk.company.com:8088"), ("SIEM_SPLUNK_HEC_TOKEN", "your-token")];
        let variables = [splunk.to_vec(), given].concat();
        let (text, checked) = said(&["config", "check", "--json"], &variables, b"").await;
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&report["valid"], &report["faults"][0]["variable"]), (&false.into(), &variable.into()), "{text}");
        // Nothing is made or opened: there is no data directory of this name.
        let nowhere = [variables, vec![("TOKTRA_SIEM_DATA_DIR", "/proc/none")]].concat();
        for outcome in [checked, said(&["serve"], &nowhere, b"").await.1] {
            let error = outcome.unwrap_err();
            assert_eq!(error.code(), 2);
            let error = error.to_string();
            assert!(error.contains(variable) && error.contains(why) && !error.contains("AAAA"), "{error}");
        }
    }
}

#[tokio::test]
async fn commands_that_need_a_server_say_what_is_missing() {
    let (_, outcome) = said(&["connector", "list"], &[], b"").await;
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), 2);
    assert!(error.to_string().contains("TOKTRA_SIEM_API_KEY"), "{error}");

    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let variables =
        [("TOKTRA_SIEM_URL", format!("http://{free}")), ("TOKTRA_SIEM_API_KEY", "hunter2hunter2".to_owned())];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (_, outcome) = said(&["event", "send"], &variables, b"{\"event_type\":\"anomaly\",\"severity\":\"low\"}").await;
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), 1);
    assert!(
        error
            .to_string()
            .contains(&format!("Cannot reach the server at http://{free}: connection refused. Is it running?"))
            && !error.to_string().contains("hunter2"),
        "{error}"
    );
}

/// The commands go by the same rule as the server.
#[tokio::test]
async fn what_clings_to_a_variable_or_a_secret_of_a_command_is_named_before_anything_is_sent() {
    let url = "http://127.0.0.1:9";
    for (variables, named, why) in [
        (
            [("TOKTRA_SIEM_URL", url), ("TOKTRA_SIEM_API_KEY", "\"hunter2hunter2\"")],
            "TOKTRA_SIEM_API_KEY",
            "quotation marks",
        ),
        (
            [("TOKTRA_SIEM_URL", url), ("TOKTRA_SIEM_API_KEY", "hunter2hunter2\r")],
            "TOKTRA_SIEM_API_KEY",
            "carriage return",
        ),
        (
            [("TOKTRA_SIEM_URL", "'http://127.0.0.1:9'"), ("TOKTRA_SIEM_API_KEY", "hunter2")],
            "TOKTRA_SIEM_URL",
            "quotation marks",
        ),
    ] {
        let error = said(&["connector", "list"], &variables, b"").await.1.unwrap_err();
        assert_eq!(error.code(), 2, "{error}");
        let error = error.to_string();
        assert!(error.contains(named) && error.contains(why) && !error.contains("hunter2"), "{error}");
    }
    let file = "connectors: [{name: S, platform: splunk, config: {hec_url: 'https://s', hec_token: {env: TOKEN}}}]";
    let variables = [("TOKEN", "'hunter2hunter2'"), ("TOKTRA_SIEM_URL", url), ("TOKTRA_SIEM_API_KEY", "hunter2")];
    let (_, outcome) = said(&["connector", "apply", "-f", "-"], &variables, file.as_bytes()).await;
    let error = outcome.unwrap_err().to_string();
    assert!(
        error.contains("the variable TOKEN begins and ends with quotation marks") && !error.contains("hunter2"),
        "{error}"
    );
    let add = ["user", "create", "ada@example.com", "--password-file", "-"];
    let error = said(&add, &variables, b"\"hunter2hunter2\"\n").await.1.unwrap_err().to_string();
    assert!(error.contains("standard input: begins and ends with quotation marks"), "{error}");
}

#[tokio::test]
async fn a_key_is_made_only_where_a_server_has_been() {
    let dir = tempfile::tempdir().unwrap();
    let (there, missing) = (dir.path().to_str().unwrap().to_owned(), dir.path().join("none").display().to_string());
    for path in [there, missing] {
        let (_, outcome) = said(&["key", "create"], &[("TOKTRA_SIEM_DATA_DIR", &path)], b"").await;
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().contains("no server's data"), "{error}");
    }
}

/// Commands that open the data directory, as far as they get without a server.
const LOCAL: [&[&str]; 4] = [
    &["serve"],
    &["repair"],
    &["backup", "--to", "/nowhere/at/all.db"],
    &["key", "create", "--local", "--scope", "admin"],
];

/// What stands in the way is named with its path, in words, and with the step to take.
#[tokio::test]
async fn a_file_in_the_place_of_the_data_directory_is_named_by_every_command() {
    let place = tempfile::tempdir().unwrap();
    let (file, backup) = (place.path().join("data"), place.path().join("backup.db"));
    std::fs::write(&file, "").unwrap();
    std::fs::write(&backup, "").unwrap();
    let restore: &[&str] = &["restore", "--from", backup.to_str().unwrap()];
    for arguments in LOCAL.into_iter().chain([restore]) {
        for dir in [file.clone(), file.join("below")] {
            let dir = dir.to_str().unwrap();
            let variables = [("TOKTRA_SIEM_DATA_DIR", dir), ("TOKTRA_SIEM_LISTEN", "127.0.0.1:0")];
            let error = said(arguments, &variables, b"").await.1.unwrap_err();
            assert_eq!(error.code(), 1, "{arguments:?}: {error}");
            let error = error.to_string();
            assert!(error.contains(dir) && error.contains("TOKTRA_SIEM_DATA_DIR"), "{arguments:?}: {error}");
            assert!(error.contains("Move that file away") || error.contains("Move it away"), "{arguments:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_says_where() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().to_str().unwrap();
    drop(open_store(place.path(), DiskBudget::Bytes(1 << 30), Arc::new(SystemClock), ClockTrust::Steady).unwrap());
    let (_, outcome) = said(&["backup", "--to", "/nowhere/at/all.db"], &[("TOKTRA_SIEM_DATA_DIR", dir)], b"").await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.db") && error.contains("the directory that it is in does not"), "{error}");
}
