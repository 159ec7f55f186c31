//! `cargo xtask test`: everything that must be green, in one command that sets up what it needs.
//!
//! All steps run even when one fails, so that one run tells everything. `cargo test` comes last and nothing is printed after it
//! on a green run: its `test result:` lines close the output.

use std::cell::RefCell;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use tokio::time::Instant;

use crate::{counts, deny, process, real};

/// The steps, in the order in which they run; the parts come up beside the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// `cargo fmt --check`
    Fmt,
    /// `cargo clippy`, warnings denied
    Clippy,
    /// `cargo deny`: licences, bans, sources, advisories
    Deny,
    /// `cargo xtask counts`: instructions of the hot code against what is recorded
    Counts,
    /// Fetch and start the real third-party parts
    Parts,
    /// `cargo test`
    Test,
}

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only this step (may be repeated).
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
    /// Leave this step out (may be repeated).
    #[arg(long, value_name = "STEP")]
    skip: Vec<Step>,
    /// Passed on to `cargo test --workspace`.
    #[arg(last = true)]
    cargo_test: Vec<String>,
}

impl Options {
    fn wants(&self, step: Step) -> bool {
        (self.only.is_empty() || self.only.contains(&step)) && !self.skip.contains(&step)
    }
}

/// Runs the steps and tells which failed.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let report = Report::default();
    let checks = async {
        if options.wants(Step::Fmt) {
            report.step("fmt", fmt()).await;
        }
        if options.wants(Step::Clippy) {
            report.step("clippy", clippy()).await;
        }
        if options.wants(Step::Deny) {
            report.step("deny", deny::check()).await;
        }
        if options.wants(Step::Counts) {
            report.step("counts", counts::check()).await;
        }
    };
    let mut parts = real::Parts::default();
    let provided = async {
        if options.wants(Step::Parts) {
            report.step("parts", parts.provide()).await;
        }
    };
    // The parts wait for downloads and for JVMs while the compiler works.
    tokio::join!(checks, provided);
    if options.wants(Step::Test) {
        report.last_step("test", test(&parts, &options.cargo_test)).await;
    }
    drop(parts);
    Ok(report.close())
}

/// What a successful step has to add to its line, if anything.
pub(crate) type Note = Option<String>;

/// Which steps failed, and why.
#[derive(Default)]
struct Report {
    failed: RefCell<Vec<String>>,
}

impl Report {
    async fn step(&self, name: &str, work: impl Future<Output = Result<Note>>) {
        println!("==> {name}");
        let started = Instant::now();
        let outcome = work.await;
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(None) => println!("==> {name}: ok in {seconds:.1} s"),
            Ok(Some(note)) => println!("==> {name}: ok in {seconds:.1} s; {note}"),
            Err(error) => {
                println!("==> {name}: FAILED after {seconds:.1} s: {error:#}");
                self.failed.borrow_mut().push(name.to_owned());
            }
        }
    }

    /// The step whose own output closes a green run: its duration is told only when it failed.
    async fn last_step(&self, name: &str, work: impl Future<Output = Result<()>>) {
        println!("==> {name}");
        let started = Instant::now();
        if let Err(error) = work.await {
            println!("==> {name}: FAILED after {:.1} s: {error:#}", started.elapsed().as_secs_f64());
            self.failed.borrow_mut().push(name.to_owned());
        }
    }

    fn close(&self) -> ExitCode {
        let failed = self.failed.borrow();
        if failed.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("failed: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

async fn fmt() -> Result<Note> {
    let mut cargo = process::cargo();
    cargo.args(["fmt", "--all", "--check"]);
    process::run(cargo).await.context("format it with `cargo fmt --all`").map(|()| None)
}

async fn clippy() -> Result<Note> {
    let mut cargo = process::cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    process::run(cargo).await.map(|()| None)
}

async fn test(parts: &real::Parts, arguments: &[String]) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]).args(arguments).envs(parts.variables());
    let mut failures = Failures::default();
    let ran = process::run_reading(cargo, |line| failures.read(line)).await;
    failures.print();
    ran
}

/// What the tests that failed said. It is repeated at the end, because a log of CI is read from there, and a target that failed
/// early is far above.
#[derive(Default)]
struct Failures {
    inside: bool,
    lines: Vec<String>,
}

impl Failures {
    /// libtest writes the words of each failed test, then their names, between `failures:` and its result line.
    fn read(&mut self, line: &str) {
        self.inside |= line == "failures:";
        if self.inside {
            self.lines.push(line.to_owned());
        }
        self.inside &= !line.starts_with("test result:");
    }

    fn print(&self) {
        if !self.lines.is_empty() {
            println!("==> what failed, once more");
        }
        for line in &self.lines {
            println!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: &[Step], skip: &[Step]) -> Options {
        Options { only: only.to_vec(), skip: skip.to_vec(), cargo_test: Vec::new() }
    }

    #[test]
    fn every_step_is_wanted_unless_told_otherwise() {
        let wanted = |options: &Options| Step::value_variants().iter().filter(|step| options.wants(**step)).count();
        assert_eq!(wanted(&options(&[], &[])), 6);
        assert_eq!(wanted(&options(&[], &[Step::Deny, Step::Clippy])), 4);
        assert_eq!(wanted(&options(&[Step::Fmt], &[])), 1);
        assert_eq!(wanted(&options(&[Step::Fmt, Step::Test], &[Step::Test])), 1);
    }

    #[test]
    fn what_failed_is_kept_and_nothing_else() {
        let mut failures = Failures::default();
        let output = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nwhy\n\nfailures:\n    b\n\n\
                      test result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest c ... ok\n\ntest result: ok. 1 passed";
        output.lines().for_each(|line| failures.read(line));
        let kept: Vec<_> = failures.lines.iter().filter(|line| !line.is_empty()).map(String::as_str).collect();
        let expected =
            ["failures:", "---- b stdout ----", "why", "failures:", "    b", "test result: FAILED. 1 passed; 1 failed"];
        assert_eq!(kept, expected);
    }

    #[tokio::test]
    async fn a_failed_step_fails_the_whole_and_does_not_stop_the_next() {
        let report = Report::default();
        report.step("one", async { anyhow::bail!("no") }).await;
        report.step("two", async { Ok(Some("and a note".to_owned())) }).await;
        assert_eq!(*report.failed.borrow(), ["one"]);
        assert_eq!(report.close(), ExitCode::FAILURE);
    }
}
