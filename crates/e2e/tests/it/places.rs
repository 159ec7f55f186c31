//! A data directory of somebody else: each command says whose it is and what to do, and calls nothing damaged that it may not read.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::process::Command;
use toktra_siem_testkit::prelude::*;

/// Nobody, where the tests run as root.
const NOBODY: &str = "65534";

/// Runs a command as somebody who has no rights in the data directory: as nobody if this is root, who has all rights, and as ourselves
/// otherwise. `None` where that cannot be done.
async fn as_a_stranger(arguments: &[&str], dir: &Path) -> Option<Said> {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--", &program()]);
        command
    } else {
        Command::new(program())
    };
    command.args(arguments).env_clear().env("TOKTRA_SIEM_DATA_DIR", dir).env("TOKTRA_SIEM_LISTEN", "127.0.0.1:0");
    command.env("PATH", "/usr/bin:/bin").current_dir("/");
    let reachable = Command::new("setpriv").arg("--version").output().await.is_ok();
    if rustix::process::geteuid().is_root() && !reachable {
        eprintln!("skipped: as root this test needs setpriv (Debian: package util-linux)");
        return None;
    }
    Some(said(command, b"").await)
}

#[tokio::test]
async fn a_data_directory_of_somebody_else_is_named_with_the_step_to_take() {
    let mut world = World::start().await;
    world.post_some(3).await;
    world.stop().await;
    let place = tempfile::tempdir().unwrap();
    // Whoever it is gets as far as the data directory.
    set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let dir = place.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(world.data_dir().join("toktra.db"), dir.join("toktra.db")).unwrap();
    let backup = place.path().join("backup.db");
    let (backup, away) = (backup.to_str().unwrap(), "/nowhere/backup.db");
    let commands: [&[&str]; 5] = [
        &["serve"],
        &["repair"],
        &["backup", "--to", away],
        &["restore", "--from", backup, "--replace"],
        &["key", "create", "--local", "--scope", "admin"],
    ];
    std::fs::copy(dir.join("toktra.db"), backup).unwrap();
    set_permissions(backup, Permissions::from_mode(0o644)).unwrap();
    // The directory, then the directory for writing, then the file alone.
    for (of_dir, of_file) in [(0o000, 0o600), (0o555, 0o444), (0o777, 0o000)] {
        set_permissions(dir.join("toktra.db"), Permissions::from_mode(of_file)).unwrap();
        set_permissions(&dir, Permissions::from_mode(of_dir)).unwrap();
        for arguments in commands {
            // A backup only reads.
            if arguments[0] == "backup" && of_dir == 0o555 {
                continue;
            }
            let Some(said) = as_a_stranger(arguments, &dir).await else { return };
            said.ends(1).complains(&[dir.to_str().unwrap(), "Permission denied (os error 13)"]);
            let step = said.stderr.contains("`chown -R ") || said.stderr.contains("`chmod u+rw");
            assert!(step, "{arguments:?}, {of_dir:o}: {}", said.stderr);
            assert!(!said.stderr.contains("damaged"), "{arguments:?}, {of_dir:o}: {}", said.stderr);
        }
    }
    set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    world.again().await;
    world.end().await;
}
