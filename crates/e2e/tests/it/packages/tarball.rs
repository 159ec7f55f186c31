//! The tarball, unpacked below /usr/local, where the unit, the manual and the shells look.

use tokio::process::Command;
use toktra_siem_testkit::prelude::*;

use super::{
    Packages,
    root::{Root, Unit},
};

const UNIT: &str = "/usr/local/lib/systemd/system/toktra-siem.service";

#[tokio::test]
async fn it_is_unpacked_and_started() {
    let Some(packages) = Packages::made().await else { return };
    let Some(debian) = Root::debian().await else { return };
    let archive = packages.file(".tar.gz");
    // As a person has it who wants to look first: one directory, called as the file is.
    let mut list = Command::new("tar");
    list.args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&archive);
    let listed = said(list, b"").await.done();
    let name = archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    for line in listed.stdout.lines() {
        assert!(line.contains(" 0/0 ") && line.contains(&format!(" {name}/")), "{line}");
    }

    let local = debian.held("/usr/local/bin");
    let there = debian.take(&archive);
    debian.run(&["tar", "-xzf", &there, "-C", "/usr/local", "--strip-components=1", "--no-same-owner"]).await.done();
    assert_eq!(debian.held("/usr/local/bin"), local, "what was there before is as it was");
    debian.run(&["systemd-sysusers"]).await.done();
    let version = debian.run(&["toktra-siem", "--version"]).await.done();
    let first = version.stdout.lines().next();
    assert_eq!(first, Some(&*format!("toktra-siem {}", env!("CARGO_PKG_VERSION"))));
    assert!(version.stdout.contains("\nlayout "), "{}", version.stdout);
    let manual = debian.run(&["man", "-w", "toktra-siem"]).await.done();
    // Debian has a link beside it.
    let place = debian.run(&["readlink", "-f", manual.stdout.trim()]).await.done();
    assert_eq!(place.stdout.trim(), "/usr/local/share/man/man1/toktra-siem.1");
    for file in [
        "share/bash-completion/completions/toktra-siem",
        "share/zsh/site-functions/_toktra-siem",
        "share/fish/vendor_completions.d/toktra-siem.fish",
        "share/doc/toktra-siem/LICENSE",
        "share/doc/toktra-siem/README.md",
        "share/toktra-siem/prometheus/alerts.yml",
        "share/toktra-siem/grafana/toktra-siem.json",
    ] {
        assert_eq!(debian.held(&format!("/usr/local/{file}")), (0o644, 0, 0), "{file}");
    }

    let unit = Unit::of(&debian, UNIT);
    assert_eq!(unit.value("ExecStart"), "/usr/local/bin/toktra-siem serve");
    let world = World::with(unit.server(&debian)).await;
    world.anonymous().get("/healthz").await.expect_status(200);
    world.post_event(event("anomaly", "high")).await;
    world.end().await;
}
