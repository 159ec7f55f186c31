//! A Python with the judges that are written in it: Datadog's official client and OpenTelemetry's own messages, whose models judge what we
//! send, the library of Standard Webhooks, validators of OpenAPI documents, Kubernetes' resources and CycloneDX' lists, Schemathesis,
//! which holds the server to its own, and a mail server.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::process::{self, command, target};

/// What is installed into the environment, pinned.
const REQUIREMENTS: [&str; 9] = [
    "datadog-api-client==2.62.0",
    "opentelemetry-proto==1.45.2",
    "PyYAML==6.0.4",
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "kubernetes-validate==1.37.0",
    "openapi-spec-validator==0.9.0",
    "schemathesis==4.32.5",
    "standardwebhooks==1.1.0",
    "aiosmtpd==1.4.6",
];

/// The interpreter of a virtual environment below `target/`, made unless an earlier run did.
pub(super) async fn provide() -> Result<PathBuf> {
    let directory = target("real/python");
    let interpreter = directory.join("bin/python");
    let stamp = directory.join("installed");
    let wanted = REQUIREMENTS.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(interpreter);
    }
    println!("    installing {wanted} (once)");
    let mut venv = command("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&directory);
    process::output(venv).await.context("no Python with venv (Debian: apt-get install python3 python3-venv)")?;
    let mut pip = command(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:"]).args(REQUIREMENTS);
    let installed = process::with_progress("installing Python packages", process::output(pip)).await;
    installed.context("pip cannot install it; is PyPI reachable?")?;
    fs::write(stamp, wanted)?;
    Ok(interpreter)
}
