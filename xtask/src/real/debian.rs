//! A bare Debian to install packages in: what every installation has, what the .deb asks for, and `man`. As a tar file,
//! which a test unpacks and enters by `chroot`; that takes neither mounts nor namespaces, which a container may forbid.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, command, target};

/// Beside what is essential.
const WITH: &str = "systemd-standalone-sysusers,man-db";

/// Debian's own description of where packages come from; without either, mmdebstrap knows the usual place.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];

/// The tar file, made unless an earlier run did. It is of this machine's release, whose C library the program is linked with.
pub(super) async fn provide() -> Result<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may enter it");
    }
    let release = fs::read_to_string("/etc/os-release").context("this is no Debian")?;
    let release = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let release = release.context("this Debian has no name")?;
    let archive = target(&format!("real/debian-{release}-{}.tar", WITH.replace(',', "-")));
    if archive.exists() {
        return Ok(archive);
    }
    println!("    making a bare Debian (150 MB, once)");
    let unfinished = archive.with_extension("unfinished.tar");
    fs::create_dir_all(target("real"))?;
    let mut make = command("mmdebstrap");
    make.args(["--quiet", "--mode=root", "--variant=essential"]).arg(format!("--include={WITH}"));
    match SOURCES.iter().find(|sources| fs::metadata(sources).is_ok_and(|file| file.len() > 0)) {
        Some(sources) => make.arg("").arg(&unfinished).arg(sources),
        None => make.arg(release).arg(&unfinished),
    };
    let done = process::with_progress("making a bare Debian", process::output(make)).await;
    done.context("mmdebstrap cannot make it (Debian: apt-get install mmdebstrap; or run `cargo xtask ci-setup`)")?;
    fs::rename(&unfinished, &archive)?;
    Ok(archive)
}
