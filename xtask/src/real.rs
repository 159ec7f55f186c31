//! The real third-party parts for tests: fetched once, checked, started for one run, stopped with it.
//!
//! The names of the variables which tell tests where they are belong to `toktra_siem_testkit::real`. A part that cannot be had
//! is an error with `CI=true`; on a person's machine it is said, and the tests that need it say that they are skipped.

mod axe;
mod debian;
mod distribution;
mod go;
mod node;
mod python;

use anyhow::{Result, bail};
use toktra_siem_testkit::real::{self, Part};

use self::{distribution::DISTRIBUTIONS, go::VictoriaLogs, node::Node};
use crate::{process, steps::Note};

/// What is at hand. Dropping it stops the nodes.
#[derive(Default)]
pub(crate) struct Parts {
    variables: Vec<(&'static str, String)>,
    missing: Vec<&'static str>,
    nodes: Vec<Node>,
    victoria_logs: Option<VictoriaLogs>,
}

impl Parts {
    /// Fetches and starts everything; what was started before an error is stopped when the value is dropped.
    pub(crate) async fn provide(&mut self) -> Result<Note> {
        let programs = [
            (real::NODE, "node"),
            (real::PROMTOOL, "promtool"),
            (real::CURL, "curl"),
            (real::JQ, "jq"),
            (real::OPENSSL, "openssl"),
            (real::TINYPROXY, "tinyproxy"),
            (real::NGINX, "nginx"),
            (real::BUILDAH, "buildah"),
        ];
        for (part, program) in programs {
            self.take_program(part, program).await;
        }
        self.take_browser().await;
        self.take(real::PYTHON, python::provide().await.map(|path| path.display().to_string()));
        // All are started before the first is waited for: a JVM needs ten seconds to come up, and they come up together.
        for distribution in DISTRIBUTIONS {
            match Node::start(distribution).await {
                Ok(node) => self.nodes.push(node),
                Err(error) => self.take(distribution.part, Err(error)),
            }
        }
        for mut node in std::mem::take(&mut self.nodes) {
            let ready = node.wait_until_ready().await.map(|()| node.url().to_owned());
            self.take(node.part(), ready);
            self.nodes.push(node);
        }
        let started = VictoriaLogs::start().await;
        let url = started.map(|started| self.victoria_logs.insert(started).url().to_owned());
        self.take(real::VICTORIA_LOGS, url);
        self.take(real::OTEL_HEC, go::otel_hec().await.map(|path| path.display().to_string()));
        self.take(real::DEBIAN, debian::provide().await.map(|path| path.display().to_string()));
        // This very program is what makes the packages that the tests install.
        self.take(real::XTASK, std::env::current_exe().map(|path| path.display().to_string()).map_err(Into::into));
        self.verdict()
    }

    /// Fetches what the browser's tests need, and nothing else: for `cargo xtask screenshots`, which can do without search nodes.
    pub(crate) async fn provide_browser(&mut self) -> Result<Note> {
        self.take_browser().await;
        self.verdict()
    }

    /// The environment of `cargo test`.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }

    async fn take_browser(&mut self) {
        self.take_program(real::CHROMIUM, "chromium").await;
        self.take_program(real::CHROMEDRIVER, "chromedriver").await;
        self.take(real::AXE, axe::provide().await.map(|path| path.display().to_string()));
    }

    async fn take_program(&mut self, part: Part, program: &str) {
        self.take(part, process::which(program).await.map(|path| path.display().to_string()));
    }

    fn take(&mut self, part: Part, found: Result<String>) {
        match found {
            Ok(value) => {
                println!("    {}: {value}", part.name);
                self.variables.push((part.variable, value));
            }
            Err(error) => {
                println!("    {} cannot be had: {error:#}", part.name);
                self.missing.push(part.name);
            }
        }
    }

    fn verdict(&self) -> Result<Note> {
        if self.missing.is_empty() {
            return Ok(None);
        }
        let missing = self.missing.join(", ");
        if real::on_ci() {
            bail!("missing: {missing}; CI=true forbids skipping");
        }
        Ok(Some(format!("without {missing}: the tests that need it are skipped and say so")))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // All are asked first: they stop together, too.
        for node in &mut self.nodes {
            node.terminate();
        }
    }
}

/// `cargo xtask nodes`: for running tests by hand.
pub(crate) async fn keep() -> Result<()> {
    let mut parts = Parts::default();
    if let Some(note) = parts.provide().await? {
        println!("{note}");
    }
    for (name, value) in parts.variables() {
        println!("export {name}={value}");
    }
    println!("Paste these into the shell where the tests run. Ctrl-C here stops the nodes.");
    std::future::pending().await
}
