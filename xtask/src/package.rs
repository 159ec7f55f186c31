//! `cargo xtask package`: everything that a release consists of, out of one build of the program (docs/adr/0042).
//!
//! Each package is first a directory ([`tree`]) with the modes that its files shall have, and then an archive, made by the tools that every
//! Debian has. Nothing in them depends on when or by whom they were made: the time is the commit's, owners are numbers, names are sorted.

mod contents;
mod deb;
mod image;
mod notices;
mod sbom;
mod tree;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use sha2::{Digest as _, Sha256};

use crate::process::{self, cargo, command, root, target};

/// What can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Program, manual pages, completions, unit: to be unpacked below /usr/local
    Tarball,
    /// The package for Debian and what descends from it
    Deb,
    /// The root file system of the container, as a directory and as a tar file
    Rootfs,
    /// The container's image, made of that directory by buildah, if it is installed
    Image,
}

/// What to make of what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Make only this (may be repeated)
    #[arg(long, value_name = "KIND")]
    only: Vec<Kind>,
    /// Pack this program instead of building one for release
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The directory for the packages, which is emptied first
    #[arg(long, value_name = "DIRECTORY", default_value_os_t = target("package"))]
    to: PathBuf,
    /// The time of every file, in seconds since 1970 [default: when the commit was made]
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    epoch: Option<u64>,
}

/// One release: the program, and what all packages of it share.
struct Release {
    /// Of the workspace: `0.1.0`.
    version: &'static str,
    /// As Rust calls the machine: `x86_64-unknown-linux-gnu`.
    target: String,
    epoch: u64,
    /// The program, which runs here.
    binary: PathBuf,
    /// Where packages go.
    to: PathBuf,
    /// What is in them, as CycloneDX has it.
    sbom: String,
    /// Licence texts of what is in them.
    notices: String,
    // Removed when everything is made.
    work: tempfile::TempDir,
}

impl Release {
    /// `toktra-siem-<version>-<target>`, with which the name of every file but the .deb begins.
    fn name(&self) -> String {
        format!("toktra-siem-{}-{}", self.version, self.target)
    }

    /// A file in the directory of packages.
    fn file(&self, ending: &str) -> PathBuf {
        self.to.join(format!("{}{ending}", self.name()))
    }

    /// The program, to be asked for something.
    fn program(&self) -> tokio::process::Command {
        let mut program = command(&self.binary);
        program.env_clear();
        program
    }

    /// An empty tree beside the packages, removed in the end.
    fn tree(&self, name: &str) -> Result<tree::Tree> {
        tree::Tree::new(self.work.path().join(name))
    }

    /// `tar`, for what must not depend on this machine. Without compression; the caller says what goes in.
    fn tar(&self, mode: &str, archive: &Path, from: &Path) -> tokio::process::Command {
        let mut tar = command("tar");
        tar.args(["--format=gnu", "--sort=name", "--numeric-owner"]).arg(format!("--mtime=@{}", self.epoch));
        tar.arg(mode).arg("--file").arg(archive).arg("--directory").arg(from);
        tar
    }
}

/// Makes the packages and their sums, and says where they are.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let wants = |kind| options.only.is_empty() || options.only.contains(&kind);
    let release = release(options).await?;
    fs::write(release.file(".cdx.json"), &release.sbom)?;
    if wants(Kind::Tarball) {
        tarball(&release).await?;
    }
    if wants(Kind::Deb) {
        deb::make(&release).await?;
    }
    if wants(Kind::Rootfs) || wants(Kind::Image) {
        image::root_file_system(&release).await?;
    }
    if wants(Kind::Image) {
        image::build(&release, options.only.contains(&Kind::Image)).await?;
    }
    for (name, bytes) in sums(&release.to)? {
        println!("{:>9} kB  {name}", bytes.div_ceil(1000));
    }
    println!("in {}", release.to.display());
    Ok(())
}

async fn release(options: &Options) -> Result<Release> {
    let binary = match &options.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("there is no {}", binary.display()))?,
        None => build().await?,
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut asked = command(&binary);
    asked.arg("--version").env_clear();
    let said = process::output(asked).await?;
    let said = said.lines().next().unwrap_or_default();
    if said != format!("toktra-siem {version}") {
        bail!("{} says that it is `{said}`, and this is toktra-siem {version}", binary.display());
    }
    if options.to.exists() {
        fs::remove_dir_all(&options.to).with_context(|| format!("cannot empty {}", options.to.display()))?;
    }
    fs::create_dir_all(&options.to).with_context(|| format!("cannot make {}", options.to.display()))?;
    let (target, epoch) = (host().await?, epoch(options.epoch).await?);
    let parts = sbom::Parts::of_the_program(&target).await?;
    Ok(Release {
        version,
        epoch,
        sbom: parts.cyclonedx(version, &date(epoch).await?, &binary)?,
        notices: notices::of(&parts)?,
        binary,
        to: options.to.canonicalize()?,
        target,
        work: tempfile::tempdir()?,
    })
}

/// The program as everybody builds it: the same profile and features, so that an earlier build serves.
async fn build() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "toktra-siem"]);
    let mut git = command("git");
    git.args(["rev-parse", "HEAD"]);
    if let Ok(commit) = process::output(git).await {
        build.env("TOKTRA_SIEM_COMMIT", commit.trim());
    }
    process::run(build).await.context("the release build failed")?;
    Ok(target("release/toktra-siem"))
}

async fn host() -> Result<String> {
    let mut rustc = command("rustc");
    rustc.arg("-vV");
    let said = process::output(rustc).await?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say for which machine it builds")
}

/// What was asked for, or when the commit was made. Sources without their history have the first second of all.
async fn epoch(given: Option<u64>) -> Result<u64> {
    if let Some(given) = given {
        return Ok(given);
    }
    let mut git = command("git");
    git.args(["log", "-1", "--format=%ct"]);
    match process::output(git).await {
        Ok(said) => said.trim().parse().with_context(|| format!("git gives no time: {said}")),
        Err(_no_history) => {
            println!("    no history here: files get the time 0; SOURCE_DATE_EPOCH gives another");
            Ok(0)
        }
    }
}

/// As RFC 3339 has it.
async fn date(epoch: u64) -> Result<String> {
    let mut date = command("date");
    date.args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date"]).arg(format!("@{epoch}"));
    process::output(date).await.map(|said| said.trim().to_owned())
}

/// What is unpacked below /usr/local, or anywhere else.
async fn tarball(release: &Release) -> Result<()> {
    let tree = release.tree("tarball")?;
    let name = release.name();
    contents::fill(release, &tree, &contents::Places::tarball(&name)).await?;
    let tar = release.work.path().join("tarball.tar");
    let mut pack = release.tar("--create", &tar, tree.root());
    // No directories: unpacking must not change the modes of those that are there.
    pack.args(["--owner=0", "--group=0", "--no-recursion", "--"]).args(tree.files()?);
    process::output(pack).await?;
    // The highest level takes twice the time for one percent of so large a file.
    compress(&tar, "-6").await?;
    fs::copy(tar.with_extension("tar.gz"), release.file(".tar.gz"))?;
    Ok(())
}

/// Puts `FILE.gz` into the place of `FILE`, without its name and time in it.
async fn compress(file: &Path, level: &str) -> Result<()> {
    let mut gzip = command("gzip");
    gzip.args([level, "--no-name", "--force", "--"]).arg(file);
    process::output(gzip).await.map(drop)
}

/// Writes `SHA256SUMS` over every file of the directory; their names and sizes.
fn sums(directory: &Path) -> Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    files.sort_unstable();
    let (mut lines, mut sizes) = (String::new(), Vec::new());
    for name in files {
        let bytes = fs::read(directory.join(&name))?;
        writeln!(lines, "{}  {name}", hex::encode(Sha256::digest(&bytes)))?;
        sizes.push((name, bytes.len() as u64));
    }
    fs::write(directory.join("SHA256SUMS"), lines)?;
    Ok(sizes)
}

/// A file of the repository.
fn source(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}
