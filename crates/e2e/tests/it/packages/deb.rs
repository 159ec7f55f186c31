//! The .deb, by `dpkg` alone, in a Debian that has what it depends on: installed, started, upgraded, removed, purged.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use toktra_siem_testkit::prelude::*;

use super::{
    Packages,
    root::{Root, Unit},
};

const SETTINGS: &str = "/etc/toktra-siem/toktra-siem.env";
const DATA: &str = "/var/lib/toktra-siem";
const UNIT: &str = "/usr/lib/systemd/system/toktra-siem.service";

/// The same package as the next version, with this behind the settings that it brings.
async fn next_version(deb: &Path, directory: &Path) -> PathBuf {
    let (content, next) = (directory.join("content"), directory.join("toktra-siem-next.deb"));
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--raw-extract").arg(deb).arg(&content);
    said(unpack, b"").await.done();
    let control = content.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let version = text.lines().find(|line| line.starts_with("Version: ")).unwrap();
    fs::write(&control, text.replace(version, "Version: 1000.0.0")).unwrap();
    let settings = content.join(SETTINGS.trim_start_matches('/'));
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text + "# A later version explains more.\n").unwrap();
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--build", "--root-owner-group", "-Zgzip", "-z6"]).arg(&content).arg(&next);
    said(pack, b"").await.done();
    next
}

#[tokio::test]
async fn it_is_installed_started_upgraded_removed_and_purged() {
    let Some(packages) = Packages::made().await else { return };
    let Some(debian) = Root::debian().await else { return };
    let deb = packages.file(".deb");
    let there = debian.take(&deb);
    let installed = debian.run(&["dpkg", "--install", &there]).await.done();
    installed.says(&["http://127.0.0.1:8080", SETTINGS, "first-api-key", "first-login-link"]);
    assert_eq!(
        debian.run(&["dpkg", "--verify", "toktra-siem"]).await.done().stdout,
        "",
        "every file is as it was packed"
    );
    let version = debian.run(&["toktra-siem", "--version"]).await.done();
    let first = version.stdout.lines().next();
    assert_eq!(first, Some(&*format!("toktra-siem {}", env!("CARGO_PKG_VERSION"))));
    assert!(version.stdout.contains("\nlayout "), "{}", version.stdout);

    // What is where, and whose.
    assert_eq!(debian.held("/etc/toktra-siem"), (0o700, 0, 0));
    assert_eq!(debian.held(SETTINGS), (0o600, 0, 0));
    assert_eq!(debian.held("/usr/bin/toktra-siem"), (0o755, 0, 0));
    let manual = debian.run(&["man", "-w", "toktra-siem"]).await.done();
    assert_eq!(manual.stdout.trim(), "/usr/share/man/man1/toktra-siem.1.gz");
    let serve = debian.run(&["man", "toktra-siem-serve"]).await.done();
    serve.says(&["toktra-siem serve", "first-api-key"]);
    for file in [
        "bash-completion/completions/toktra-siem",
        "zsh/vendor-completions/_toktra-siem",
        "fish/vendor_completions.d/toktra-siem.fish",
        "toktra-siem/prometheus/alerts.yml",
        "toktra-siem/grafana/toktra-siem.json",
        "doc/toktra-siem/copyright",
        "doc/toktra-siem/changelog.gz",
        "doc/toktra-siem/THIRD-PARTY-LICENSES",
    ] {
        assert_eq!(debian.held(&format!("/usr/share/{file}")), (0o644, 0, 0), "{file}");
    }

    // It starts with the machine.
    let wanted = "/etc/systemd/system/multi-user.target.wants/toktra-siem.service";
    assert_eq!(fs::read_link(debian.path(wanted)).unwrap().file_name().unwrap(), "toktra-siem.service");

    // It runs as the unit says, takes an event, and has it after a restart with another setting.
    let unit = Unit::of(&debian, UNIT);
    let mut world = World::with(unit.server(&debian)).await;
    world.anonymous().get("/healthz").await.expect_status(200);
    let event = world.post_event(event("anomaly", "high")).await;
    world.stop().await;
    let text = debian.read(SETTINGS);
    fs::write(debian.path(SETTINGS), text + "TOKTRA_SIEM_LOG=text\n").unwrap();

    // The next version keeps the settings as they were changed, and the data.
    let place = tempfile::tempdir().unwrap();
    let next = debian.take(&next_version(&deb, place.path()).await);
    debian.run(&["dpkg", "--install", "--force-confold", &next]).await.done();
    assert!(debian.read(SETTINGS).ends_with("TOKTRA_SIEM_LOG=text\n"), "{}", debian.read(SETTINGS));
    assert_eq!(debian.held(SETTINGS), (0o600, 0, 0));
    let mut world = World::with(Unit::of(&debian, UNIT).server(&debian)).await;
    world.get(&format!("/v1/events/{event}")).await.expect_status(200);
    assert!(!world.log().contains("{\"timestamp\""), "the log is text now: {}", world.log());
    world.stop().await;

    // Without the program settings and data stay, and so does whose they are.
    let owner = debian.user("toktra-siem");
    debian.run(&["dpkg", "--remove", "toktra-siem"]).await.done().says(&[DATA, "stay"]);
    assert!(!debian.path("/usr/bin/toktra-siem").exists() && !debian.path(UNIT).exists());
    assert!(debian.read(SETTINGS).ends_with("TOKTRA_SIEM_LOG=text\n"));
    debian.run(&["dpkg", "--install", "--force-confold", &there]).await.done();
    let world = World::with(Unit::of(&debian, UNIT).server(&debian)).await;
    world.get(&format!("/v1/events/{event}")).await.expect_status(200);
    world.end().await;

    // Purged, the settings are gone. What was accepted is not deleted by a package manager.
    debian.run(&["dpkg", "--purge", "toktra-siem"]).await.done().says(&[&format!("rm -rf {DATA}"), "encryption key"]);
    assert!(!debian.path("/etc/toktra-siem").exists() && !debian.path("/usr/share/doc/toktra-siem").exists());
    assert!(fs::read_link(debian.path(wanted)).is_err(), "nothing is left that systemd would look for");
    assert_eq!(debian.held(DATA), (0o700, owner.0, owner.1));
    assert!(debian.path(DATA).join("toktra.db").exists() && debian.path(DATA).join("encryption.key").exists());
    let left = debian.run(&["dpkg-query", "--status", "toktra-siem"]).await;
    assert_ne!(left.code, Some(0), "{}", left.stdout);
}
