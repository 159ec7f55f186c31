//! The packages, made of the program under test by the very command that makes a release, and each installed and started where nothing else
//! is: in a bare Debian, or in nothing at all (docs/adr/0042).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

mod contents;
mod deb;
mod image;
mod root;
mod tarball;

/// The packages of this run, made once for all tests.
#[derive(Debug)]
struct Packages {
    /// Where they are.
    directory: PathBuf,
    /// The program that they are made of.
    program: PathBuf,
}

impl Packages {
    /// Those of this run, or `None` after saying what is skipped.
    async fn made() -> Option<&'static Self> {
        static MADE: OnceCell<Packages> = OnceCell::const_new();
        let xtask = real::XTASK.path()?;
        let packages = MADE.get_or_init(async || {
            let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
            fs::create_dir_all(&place).unwrap();
            // Without what only a debugger reads: a tenth of the size, as a release is.
            let stripped = place.join("toktra-siem");
            let mut strip = Command::new("strip");
            strip.args(["--strip-debug", "-o"]).arg(&stripped).arg(program());
            said(strip, b"").await.done();
            let made = Self { directory: place.join("made"), program: stripped };
            made.again(&xtask, &made.directory, &[]).await;
            made
        });
        Some(packages.await)
    }

    /// Makes them of the same program once more.
    async fn again(&self, xtask: &Path, to: &Path, variables: &[(&str, &str)]) {
        let mut make = Command::new(xtask);
        make.args(["package", "--binary"]).arg(&self.program).arg("--to").arg(to);
        make.env_remove("SOURCE_DATE_EPOCH").envs(variables.iter().copied());
        said(make, b"").await.done();
    }

    /// The one whose name ends like this.
    fn file(&self, ending: &str) -> PathBuf {
        let entries = fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<PathBuf> =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().ends_with(ending)).collect();
        assert_eq!(found.len(), 1, "{ending}: {found:?}");
        found.remove(0)
    }
}

/// What `SHA256SUMS` of this directory says, by name.
fn sums(directory: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(directory.join("SHA256SUMS")).unwrap();
    let pairs = text.lines().map(|line| line.split_once("  ").unwrap());
    pairs.map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect()
}

/// A tar file, unpacked with owners and modes, in a directory that is removed with the value.
async fn unpacked(archive: &Path) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--same-owner", "--preserve-permissions", "--numeric-owner", "--file"]).arg(archive);
    tar.arg("--directory").arg(directory.path());
    said(tar, b"").await.done();
    directory
}

#[tokio::test]
async fn every_file_has_its_sum_and_a_second_run_elsewhere_gives_the_same_bytes() {
    let Some(packages) = Packages::made().await else { return };
    let names: Vec<String> = sums(&packages.directory).into_keys().collect();
    let endings = [".tar.gz", ".deb", "-rootfs.tar", "-image.tar", ".cdx.json"];
    let image = real::BUILDAH.path().is_some();
    for ending in endings.into_iter().filter(|ending| image || *ending != "-image.tar") {
        assert!(names.iter().any(|name| name.ends_with(ending)), "{names:?}");
    }
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&packages.directory);
    said(check, b"").await.done();

    let again = tempfile::tempdir().unwrap();
    // The time of day, the umask, the language and the place are others.
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 0077; exec \"$0\" package --binary \"$1\" --to \"$2\""]);
    shell.arg(real::XTASK.path().unwrap()).arg(&packages.program).arg(again.path().join("made"));
    shell.env_remove("SOURCE_DATE_EPOCH").env("TZ", "Asia/Tokyo").env("LC_ALL", "C");
    said(shell, b"").await.done();
    assert_eq!(sums(&again.path().join("made")), sums(&packages.directory));
}
