//! The OpenAPI document in the eyes of others: a validator of such documents, and Schemathesis, which generates requests from it, good and
//! bad ones, and holds the server to what it says of itself.

use std::path::Path;
use std::process::{Command, Output};

use toktra_siem_api::openapi::document;
use toktra_siem_platform::Registry;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lifecycle/schemathesis");

fn succeeds(what: &str, mut command: Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}\n{err}", output.status);
    output
}

#[test]
fn the_document_is_valid_openapi() {
    let Some(python) = real::PYTHON.path() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, document(&Registry::standard()).to_string()).unwrap();
    let mut validator = Command::new(python);
    validator.args(["-m", "openapi_spec_validator", "--errors", "all"]).arg(&file);
    succeeds("openapi-spec-validator", validator);
}

/// Whether a network of one's own can be had here: without one, nothing is sent.
fn namespace(python: &Path) -> Option<Command> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user"]).arg(python);
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--map-root-user", "true"]);
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Some(command);
    }
    assert!(!real::on_ci(), "`unshare --net` is not possible here, and CI=true forbids skipping");
    eprintln!(
        "skipped: Schemathesis runs only where `unshare --net` is possible, so that no request leaves the machine"
    );
    None
}

#[test]
fn the_server_keeps_to_the_document() {
    let Some(python) = real::PYTHON.path() else { return };
    let Some(mut run) = namespace(&python) else { return };
    let directory = tempfile::tempdir().unwrap();
    run.arg(format!("{HERE}/run.py")).arg(program()).arg(directory.path());
    run.arg(format!("{HERE}/schemathesis.toml"));
    let output = succeeds("Schemathesis", run);
    // All but the one that it reads the document from.
    let paths = document(&Registry::standard())["paths"].as_object().unwrap().clone();
    let operations = paths.values().map(|path| path.as_object().unwrap().len()).sum::<usize>() - 1;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains(&format!("Tested: {operations}\n")), "not every operation was tried: {told}");
}
