//! A root file system of its own, entered by `chroot`: that takes no right but root's, which containers have.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

use super::unpacked;

/// Where Debian has it, whatever the `PATH` of the tests is.
const CHROOT: &str = "/usr/sbin/chroot";

/// Removed when it is dropped.
pub(super) struct Root(TempDir);

impl Root {
    /// A bare Debian, or `None` after saying what is skipped.
    pub(super) async fn debian() -> Option<Self> {
        Some(Self(unpacked(&real::DEBIAN.path()?).await))
    }

    /// What is in this tar file, and nothing else; root alone can enter it.
    pub(super) async fn of(archive: &Path) -> Option<Self> {
        real::DEBIAN.path()?;
        Some(Self(unpacked(archive).await))
    }

    /// A path in it, seen from here.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    /// A file of it.
    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Mode, owner and group of a file of it.
    pub(super) fn held(&self, path: &str) -> (u32, u32, u32) {
        let file = fs::symlink_metadata(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (file.permissions().mode() & 0o7777, file.uid(), file.gid())
    }

    /// Takes a file from here to its `/tmp`; its path there.
    pub(super) fn take(&self, file: &Path) -> String {
        let there = format!("/tmp/{}", file.file_name().unwrap().to_str().unwrap());
        fs::copy(file, self.path(&there)).unwrap();
        there
    }

    /// Runs a program in it, as root, with no variable but where programs are.
    pub(super) async fn run(&self, words: &[&str]) -> Said {
        let mut command = Command::new(CHROOT);
        command.arg(self.0.path()).args(words).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        said(command, b"").await
    }

    /// A server in it, which this program is, run by this user. Its settings are the test's, as far as these do not say otherwise.
    pub(super) fn server(&self, user: &str, program: &str, settings: &[(&str, &str)]) -> ServerSetup {
        let root = self.0.path().to_str().unwrap().to_owned();
        let setup = ServerSetup::new(CHROOT).arguments([
            format!("--userspec={user}"),
            root,
            program.to_owned(),
            "serve".to_owned(),
        ]);
        settings.iter().fold(setup, |setup, (name, value)| setup.env(name, *value))
    }

    /// The user that the service runs as, as numbers.
    pub(super) fn user(&self, name: &str) -> (u32, u32) {
        let passwd = self.read("/etc/passwd");
        let line = passwd.lines().find(|line| line.starts_with(&format!("{name}:")));
        let fields: Vec<&str> = line.unwrap_or_else(|| panic!("there is no user {name}")).split(':').collect();
        (fields[2].parse().unwrap(), fields[3].parse().unwrap())
    }
}

/// A unit that is installed: as much of it as starting its program by hand takes.
pub(super) struct Unit(String);

impl Unit {
    /// The one at this path.
    pub(super) fn of(root: &Root, path: &str) -> Self {
        Self(root.read(path))
    }

    /// What stands behind `name=`.
    pub(super) fn value(&self, name: &str) -> &str {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no {name}"))
    }

    /// A server as systemd would start it: its directory, its variables, its program and its user.
    pub(super) fn server(&self, root: &Root) -> ServerSetup {
        let (uid, gid) = root.user(self.value("User"));
        let state = self.value("WorkingDirectory");
        assert_eq!(state, format!("/var/lib/{}", self.value("StateDirectory")));
        if !root.path(state).exists() {
            fs::create_dir(root.path(state)).unwrap();
            let mode = u32::from_str_radix(self.value("StateDirectoryMode"), 8).unwrap();
            fs::set_permissions(root.path(state), fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(root.path(state), Some(uid), Some(gid)).unwrap();
        }
        // The sign says that there need not be one.
        let file = self.value("EnvironmentFile").strip_prefix('-').unwrap();
        let file = fs::read_to_string(root.path(file)).unwrap_or_default();
        let set = self.0.lines().filter_map(|line| line.strip_prefix("Environment=")).chain(file.lines());
        let set: Vec<(&str, &str)> =
            set.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect();
        let (program, arguments) = self.value("ExecStart").split_once(' ').unwrap();
        assert_eq!(arguments, "serve");
        root.server(self.value("User"), program, &set)
    }
}
