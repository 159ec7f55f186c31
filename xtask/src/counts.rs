//! `cargo xtask counts`: how many instructions the hot pure code takes for a call, held against what was recorded.
//!
//! A time says nothing on a machine that does other things as well; a count is the same on every run. The program `xtask/counted` runs
//! each case under Valgrind once and then twice as often, so that what a start costs falls out of the difference. Five hundredths more than
//! recorded are an error; less is told, to be recorded. Counts are those of one compiler, which a failure names, and of one kind of
//! processor: on another one nothing is compared.
//!
//! Gungraun (once iai-callgrind) counts as well, but needs a runner of exactly its own version built beside it and keeps what it compares
//! with in `target/`, and the difference of two runs is all that is needed here.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use toktra_siem_testkit::real::on_ci;

use crate::process::{self, cargo, command, output, root, target, works};
use crate::steps::Note;

/// What to do with the counts.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Record them.
    #[arg(long)]
    update: bool,
}

/// The package, and the program that it makes.
const COUNTED: &str = "toktra-siem-counted";
/// Where counts are recorded, below the root.
const RECORD: &str = "xtask/counted/counts.toml";
const HEAD: &str = "# Instructions for each call of the hot pure code; written by `cargo xtask counts --update`. What a case is, stands in src/main.rs.\n";
/// How often a case is called; the second time twice as often.
const TIMES: u64 = 100;
/// How much more is an error, in hundredths.
const TOLERATED: u64 = 5;

/// Counts, and what they are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    /// As `rustc --version` calls it.
    compiler: String,
    /// As Rust calls it.
    processor: String,
    /// Case by case.
    instructions: BTreeMap<String, u64>,
}

/// Counts and compares, or records.
pub(crate) async fn run(options: &Options) -> Result<()> {
    if options.update {
        require().await?;
        let counts = count().await?;
        fs::write(record(), format!("{HEAD}{}", toml::to_string(&counts)?))?;
        println!("written to {RECORD}");
        return Ok(());
    }
    let note = check().await?;
    println!("{}", note.unwrap_or_else(|| "all as recorded".to_owned()));
    Ok(())
}

/// The step of `cargo xtask test`: where Valgrind is missing, an error in CI, and told elsewhere.
pub(crate) async fn check() -> Result<Note> {
    if let Err(missing) = require().await {
        return if on_ci() { Err(missing) } else { Ok(Some(format!("SKIPPED: {missing:#}"))) };
    }
    let text = fs::read_to_string(record()).with_context(|| format!("{RECORD} cannot be read; {HOW}"))?;
    let recorded: Counts = toml::from_str(&text).with_context(|| format!("{RECORD} cannot be read; {HOW}"))?;
    if recorded.processor != std::env::consts::ARCH {
        let Counts { processor, .. } = recorded;
        return Ok(Some(format!("SKIPPED: the recorded counts are those of {processor}")));
    }
    let counts = count().await?;
    compare(&recorded, &counts)
}

const HOW: &str = "`cargo xtask counts --update` records the present counts";

/// An error that says how Valgrind is had, where it is missing.
async fn require() -> Result<()> {
    if works("valgrind", &["--version"]).await {
        return Ok(());
    }
    bail!(
        "Valgrind is missing, which counts the instructions of the hot code: install it (Debian: apt-get install valgrind, or \
         `cargo xtask ci-setup`)"
    )
}

fn record() -> PathBuf {
    root().join(RECORD)
}

async fn count() -> Result<Counts> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "--package", COUNTED]);
    process::with_progress("building what is counted, for release", process::run(build)).await?;
    let names = output(command(program())).await?;
    let mut instructions = BTreeMap::new();
    for name in names.lines() {
        // Side by side: counts do not depend on what else happens.
        let (once, twice) = tokio::try_join!(calls(name, TIMES), calls(name, 2 * TIMES))?;
        instructions.insert(name.to_owned(), twice.saturating_sub(once) / TIMES);
    }
    let mut compiler = command("rustc");
    compiler.arg("--version");
    let compiler = output(compiler).await?.trim().to_owned();
    Ok(Counts { compiler, processor: std::env::consts::ARCH.to_owned(), instructions })
}

fn program() -> PathBuf {
    target("release").join(COUNTED)
}

/// The instructions of a whole run.
async fn calls(name: &str, times: u64) -> Result<u64> {
    let mut valgrind = command("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    valgrind.arg(program()).args([name, &times.to_string()]);
    let told = output(valgrind).await?;
    instructions(&told).with_context(|| format!("Valgrind tells no instructions:\n{told}"))
}

/// Reads `==1== I   refs:      1,234`.
fn instructions(told: &str) -> Option<u64> {
    let line = told.lines().find_map(|line| line.split_once("I ")?.1.trim_start().strip_prefix("refs:"))?;
    line.trim().replace(',', "").parse().ok()
}

/// An error where a count is too high, or is of a case that the other side does not have; a note where one may be recorded anew.
fn compare(recorded: &Counts, counts: &Counts) -> Result<Note> {
    if !recorded.instructions.keys().eq(counts.instructions.keys()) {
        bail!("the cases that are counted are not those that are recorded; {HOW}");
    }
    let (mut wrong, mut fewer) = (Vec::new(), Vec::new());
    for (name, count) in &counts.instructions {
        let before = recorded.instructions[name];
        let told = || format!("{name}: {before} instructions for each call are recorded, now it takes {count}");
        if count * 100 > before * (100 + TOLERATED) {
            wrong.push(told());
        } else if count * (100 + TOLERATED) < before * 100 {
            fewer.push(told());
        }
    }
    if !wrong.is_empty() {
        let compilers = match (&recorded.compiler, &counts.compiler) {
            (recorded, present) if recorded == present => String::new(),
            (recorded, present) => format!(" They were recorded with {recorded}; this is {present}."),
        };
        bail!(
            "hot code takes more instructions than recorded.{compilers} If that is meant, {HOW}.\n    {}",
            wrong.join("\n    ")
        );
    }
    Ok((!fewer.is_empty())
        .then(|| format!("hot code takes fewer instructions than recorded; {HOW}: {}", fewer.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(compiler: &str, of: &[(&str, u64)]) -> Counts {
        let instructions = of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Counts { compiler: compiler.to_owned(), processor: "x86_64".to_owned(), instructions }
    }

    fn compared(before: u64, now: u64) -> Result<Note> {
        compare(&counts("a", &[("one", 7), ("two", before)]), &counts("a", &[("one", 7), ("two", now)]))
    }

    #[test]
    fn six_hundredths_more_are_an_error_and_four_are_not() {
        let error = compared(1_000, 1_060).unwrap_err().to_string();
        assert!(error.contains("two: 1000 instructions") && error.contains("takes 1060"), "{error}");
        assert!(!error.contains("one:") && !error.contains("recorded with"), "{error}");
        assert!(compared(1_000, 1_040).unwrap().is_none());
        assert!(compared(1_000, 1_050).unwrap().is_none());
    }

    #[test]
    fn what_became_faster_is_told_and_no_error() {
        assert!(compared(1_000, 900).unwrap().unwrap().contains("two"));
        assert!(compared(1_000, 990).unwrap().is_none());
    }

    #[test]
    fn another_compiler_is_named_beside_what_is_wrong() {
        let error = compare(&counts("old", &[("one", 1)]), &counts("new", &[("one", 2)])).unwrap_err().to_string();
        assert!(error.contains("recorded with old; this is new"), "{error}");
    }

    #[test]
    fn a_case_that_is_not_recorded_is_an_error_and_so_is_one_that_is_gone() {
        for (recorded, present) in [(&["a"][..], &["a", "b"][..]), (&["a", "b"], &["a"])] {
            let of = |names: &[&str]| counts("a", &names.iter().map(|name| (*name, 1)).collect::<Vec<_>>());
            assert!(compare(&of(recorded), &of(present)).is_err());
        }
    }

    #[test]
    fn the_count_is_read_from_what_valgrind_tells() {
        let told = "==8== Cachegrind, a high-precision tracing profiler\n==8== \n==8== I   refs:      1,234,567\n";
        assert_eq!(instructions(told), Some(1_234_567));
        assert_eq!(instructions("==8== I refs:        89\n"), Some(89));
        assert_eq!(instructions("nothing"), None);
    }

    #[test]
    fn what_is_recorded_can_be_read_and_has_the_programs_cases() {
        let recorded: Counts = toml::from_str(&fs::read_to_string(record()).unwrap()).unwrap();
        let program = fs::read_to_string(root().join("xtask/counted/src/main.rs")).unwrap();
        assert!(recorded.instructions.keys().all(|name| program.contains(&format!("(\"{name}\", "))));
        assert!(recorded.instructions.values().all(|count| *count > 0));
    }
}
