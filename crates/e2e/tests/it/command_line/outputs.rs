//! Answers that cannot be written: standard output full, closed by its reader, or closed from the start; standard error as well. Every command
//! ends in order. What was made is removed again, what was asked for ends quietly where its reader has seen enough.

use std::fs::File;
use std::process::Stdio;

use tokio::process::Command;
use toktra_siem_testkit::prelude::*;

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    /// On a disk without room.
    Full,
    /// A pipe whose reader is gone.
    Unread,
    /// Nothing: the standard library opens /dev/null in its place.
    Closed,
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

struct Ended {
    code: Option<i32>,
    stderr: String,
}

impl Ended {
    /// A command that has ended in order.
    #[track_caller]
    fn checked(self, what: impl std::fmt::Debug) -> Self {
        assert!(self.code.is_some(), "{what:?} was ended by a signal");
        assert!(!self.stderr.contains("panicked") && self.code != Some(101), "{what:?}: {}", self.stderr);
        self
    }
}

async fn ended(arguments: &[&str], variables: &[(&str, &str)], out: Out, stderr: Stdio) -> Ended {
    let binary = program();
    let mut command = if out == Out::Closed {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" >&-", &binary]);
        shell
    } else {
        Command::new(binary)
    };
    command.args(arguments).env_clear().envs(variables.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::null()).stderr(stderr);
    match out {
        Out::Full => command.stdout(full()),
        Out::Unread => command.stdout(unread()),
        Out::Closed => command.stdout(Stdio::null()),
    };
    let child = command.spawn().unwrap();
    // The command holds the pipe itself; this process must not.
    drop(command);
    let output = child.wait_with_output().await.unwrap();
    Ended { code: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

#[tokio::test]
async fn what_is_made_and_cannot_be_shown_is_removed_again() {
    let splunk = splunk().await;
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (token, password) = (file("token", CREDENTIAL), file("password", "canary horse battery"));
    let url = splunk.base_url();
    let described = file(
        "described.yaml",
        &format!(
            "connectors:\n  - name: Described\n    platform: splunk\n    config:\n      hec_url: {url}\n      hec_token: {{env: TOKEN}}\n"
        ),
    );
    let mut world = World::start().await;
    let connector =
        json!({ "name": "Prod", "platform": "splunk", "config": { "hec_url": url, "hec_token": CREDENTIAL } });
    let prod = world.make("/v1/siem/connectors", &connector).await;
    let prod = format!("/v1/siem/connectors/{}", prod["id"].as_str().unwrap());
    let variables = [("TOKTRA_SIEM_URL", world.base()), ("TOKTRA_SIEM_API_KEY", API_KEY), ("TOKEN", CREDENTIAL)];
    let before = world.get(&prod).await.json();
    for arguments in [
        &["key", "create", "--scope", "admin"][..],
        &["key", "create", "--scope", "admin", "--json"],
        &["key", "create", "--platform"],
        &["user", "create", "jo@company.com", "--password-file", &password],
        &["user", "create", "jo@company.com", "--password-file", &password, "--json"],
        &["org", "create", "Acme"],
        &["connector", "add", "splunk", "--hec-url", &url, "--hec-token-file", &token],
        &["connector", "add", "splunk", "--hec-url", &url, "--hec-token-file", &token, "--json"],
        &["connector", "apply", "-f", &described],
        &["connector", "apply", "-f", &described, "--json"],
        &["connector", "rotate-secret", "Prod"],
        &["connector", "rotate-secret", "Prod", "--json"],
    ] {
        for out in [Out::Full, Out::Unread] {
            for stderr in [Stdio::piped(), full(), unread()] {
                let ended = ended(arguments, &variables, out, stderr).await.checked(arguments);
                assert_eq!(ended.code, Some(1), "{arguments:?} to {out:?}: {}", ended.stderr);
            }
            let nothing = [world.list("/v1/api-keys").await, world.list("/v1/users").await];
            assert!(nothing.iter().all(Vec::is_empty), "{arguments:?} to {out:?}: {nothing:?}");
            assert_eq!(world.list("/v1/orgs").await.len(), 1, "{arguments:?}");
            assert_eq!(world.list("/v1/siem/connectors").await.len(), 1, "{arguments:?}");
            assert_eq!(world.get(&prod).await.json(), before, "{arguments:?} to {out:?}");
        }
    }
    let added = ["connector", "add", "splunk", "--name", "Other", "--hec-url", &url, "--hec-token-file", &token];
    for arguments in [
        &["key", "create", "--scope", "admin"][..],
        &["connector", "rotate-secret", "Prod"],
        &added,
        &[&added[..], &["--json", "--test"]].concat(),
        &["connector", "apply", "-f", &described],
        &["connector", "apply", "-f", &described, "--json"],
    ] {
        let ended = ended(arguments, &variables, Out::Closed, Stdio::piped()).await.checked(arguments);
        assert!(ended.code == Some(2) && ended.stderr.contains("would be lost"), "{:?}: {}", ended.code, ended.stderr);
    }
    assert!(world.list("/v1/api-keys").await.is_empty());
    assert_eq!(world.list("/v1/siem/connectors").await.len(), 1);
    // A secret that they bring along themselves is not lost.
    let own = file("signing-secret", "a-signing-secret-of-ours");
    let arguments = [&added[..], &["--signing-secret-file", &own]].concat();
    let made = ended(&arguments, &variables, Out::Closed, Stdio::piped()).await.checked("its own secret");
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    world.stop().await;

    let directory = world.data_dir();
    let here = [("TOKTRA_SIEM_DATA_DIR", directory.to_str().unwrap())];
    for arguments in [&["key", "create", "--scope", "admin"][..], &["key", "create", "--platform"]] {
        for out in [Out::Full, Out::Unread] {
            let ended = ended(arguments, &here, out, Stdio::piped()).await.checked(arguments);
            assert!(ended.code == Some(1) && ended.stderr.contains("removed again"), "{}", ended.stderr);
        }
    }
    world.again().await;
    assert!(world.list("/v1/api-keys").await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn what_is_done_and_stays_done_fails_with_its_answer_on_standard_error() {
    let world = World::start().await;
    let splunk = json!({ "hec_url": "http://127.0.0.1:9", "hec_token": CREDENTIAL });
    let connector = json!({ "name": "Prod", "platform": "splunk", "config": splunk });
    world.make("/v1/siem/connectors", &connector).await;
    let variables = [("TOKTRA_SIEM_URL", world.base()), ("TOKTRA_SIEM_API_KEY", API_KEY)];
    for (arguments, answer) in [
        (&["connector", "update", "Prod", "--name", "Prod 2"][..], "Saved: Prod 2"),
        (&["connector", "disable", "Prod 2"], "Saved: Prod 2"),
        (&["connector", "delete", "Prod 2", "--yes"], "Deleted: Prod 2"),
    ] {
        let ended = ended(arguments, &variables, Out::Full, Stdio::piped()).await.checked(arguments);
        assert!(ended.code == Some(1) && ended.stderr.contains(answer), "{arguments:?}: {}", ended.stderr);
    }
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup.db");
    let directory = world.data_dir();
    let here = [("TOKTRA_SIEM_DATA_DIR", directory.to_str().unwrap())];
    let ended = ended(&["backup", "--to", backup.to_str().unwrap()], &here, Out::Full, Stdio::piped()).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("were written to"), "{}", ended.stderr);
    assert!(backup.exists());
    world.end().await;
}

#[tokio::test]
async fn what_is_asked_for_ends_quietly_with_its_reader_and_keeps_its_verdict() {
    let world = World::start().await;
    let variables = [("TOKTRA_SIEM_URL", world.base()), ("TOKTRA_SIEM_API_KEY", API_KEY)];
    for arguments in [
        &["key", "list"][..],
        &["user", "list", "--json"],
        &["org", "list"],
        &["audit", "list"],
        &["connector", "list"],
        &["connector", "health"],
        &["connector", "export"],
        &["delivery", "list"],
        &["delivery", "export"],
        &["job", "list"],
        &["filter", "preview"],
        &["health"],
        &["config", "check"],
        &["config", "reference"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &["key", "create", "--help"],
    ] {
        for stderr in [Stdio::piped(), full(), unread()] {
            let ended = ended(arguments, &variables, Out::Unread, stderr).await.checked(arguments);
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        }
        let ended = ended(arguments, &variables, Out::Full, Stdio::piped()).await.checked(arguments);
        // An export of nothing writes nothing.
        let empty = arguments == ["delivery", "export"];
        assert_eq!(ended.code, Some(i32::from(!empty)), "{arguments:?}: {}", ended.stderr);
    }
    // Whoever reads only the first line must not take what is wrong for right.
    let wrong = ["verify", "--secret", "x", "--signature", "sha256=00", "--json"];
    assert_eq!(ended(&wrong, &[], Out::Unread, Stdio::piped()).await.checked("verify").code, Some(1));
    let broken = [("TOKTRA_SIEM_LOG_LEVEL", "verbose")];
    let check = ended(&["config", "check"], &broken, Out::Unread, Stdio::piped()).await.checked("config check");
    assert_eq!(check.code, Some(2));
    // Wrong usage with nowhere to complain.
    for stderr in [full(), unread()] {
        assert_eq!(ended(&["nonsense"], &[], Out::Full, stderr).await.checked("nonsense").code, Some(2));
    }
    world.end().await;
}

#[tokio::test]
async fn an_export_that_cannot_be_written_says_so() {
    let (world, splunk) = (World::start().await, splunk().await);
    world.connect_with(&splunk, json!({ "active": false })).await.test(json!({})).await;
    let variables = [("TOKTRA_SIEM_URL", world.base()), ("TOKTRA_SIEM_API_KEY", API_KEY)];
    for format in ["ndjson", "csv"] {
        let export = ["delivery", "export", "--format", format];
        let ended = ended(&export, &variables, Out::Full, Stdio::piped()).await.checked(format);
        let told = "The history could not be written to standard output";
        assert!(ended.code == Some(1) && ended.stderr.contains(told), "{:?}: {}", ended.code, ended.stderr);
    }
    world.end().await;
}

#[tokio::test]
async fn the_demo_ends_with_its_reader_and_without_one() {
    for out in [Out::Unread, Out::Full] {
        for stderr in [Stdio::piped(), full(), unread()] {
            let arguments = ["demo", "--for", "60s"];
            let ended = ended(&arguments, &[("TMPDIR", "/tmp")], out, stderr).await.checked(out);
            assert_eq!(ended.code, Some(i32::from(out == Out::Full)), "{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn a_server_goes_on_without_anybody_who_reads_what_it_says() {
    for out in ["/dev/full", "closed"] {
        let place = tempfile::tempdir().unwrap();
        let listen = free_address();
        let redirect = if out == "closed" { ">&- 2>&-" } else { ">/dev/full 2>/dev/full" };
        let mut server = Command::new("sh")
            .args(["-c", &format!("exec \"$0\" serve {redirect}"), &program()])
            .env_clear()
            .env("TOKTRA_SIEM_DATA_DIR", place.path().join("data"))
            .env("TOKTRA_SIEM_LISTEN", &listen)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let answers = async || tokio::net::TcpStream::connect(&listen).await.ok().map(drop);
        toktra_siem_testkit::poll::until("it listens", answers).await;
        let url = format!("http://{listen}");
        let client = toktra_siem_testkit::client::Client::new(&url);
        for _ in 0..3 {
            // Each leaves a line in the log.
            let body = json!({ "email": "jo@company.com", "password": "a wrong password" });
            client.post("/v1/sessions", &body).await.expect_status(401);
        }
        let key = std::fs::read_to_string(place.path().join("data/first-api-key")).unwrap();
        client.with_key(key.trim()).get("/v1/users").await.expect_status(200);
        server.kill().await.unwrap();
    }
}
