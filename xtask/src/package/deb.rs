//! The .deb, packed by `dpkg-deb`. What its scripts do stands in `ops/debian/`; this file says what Debian wants to know beside that.

use anyhow::{Context as _, Result};

use super::{Release, compress, contents, source, tree::Tree};
use crate::process::{self, command};

/// What `dpkg` must have configured before: what makes the user. The libraries are found in the program.
const DEPENDS: &str = "systemd | systemd-standalone-sysusers | systemd-sysusers";

/// The settings of the service, root's alone.
const SETTINGS: &str = "etc/toktra-siem/toktra-siem.env";

/// Makes it.
pub(super) async fn make(release: &Release) -> Result<()> {
    let architecture = architecture().await?;
    let tree = release.tree("deb")?;
    contents::fill(release, &tree, &contents::Places::debian()).await?;
    tree.write(SETTINGS, 0o600, source("ops/debian/toktra-siem.env")?)?;
    tree.directory("etc/toktra-siem", 0o700)?;
    tree.write("usr/share/doc/toktra-siem/copyright", 0o644, source("ops/debian/copyright")?)?;
    let changes = tree.write("usr/share/doc/toktra-siem/changelog", 0o644, source("CHANGELOG.md")?)?;
    compress(&changes, "-9").await?;

    let size = installed(&tree)?;
    let sums = sums(&tree).await?;
    let libraries = libraries(release).await?;
    tree.write("DEBIAN/md5sums", 0o644, sums)?;
    tree.write("DEBIAN/conffiles", 0o644, format!("/{SETTINGS}\n"))?;
    tree.write("DEBIAN/control", 0o644, control(release.version, &architecture, size, &libraries)?)?;
    for script in ["postinst", "prerm", "postrm"] {
        tree.write(&format!("DEBIAN/{script}"), 0o755, source(&format!("ops/debian/{script}"))?)?;
    }
    let mut pack = command("dpkg-deb");
    // gzip: every dpkg reads it, it is ready in a moment, and its output does not depend on the number of processors.
    pack.args(["--build", "--root-owner-group", "-Zgzip", "-z6"]).arg(tree.root());
    pack.arg(release.to.join(format!("toktra-siem_{}_{architecture}.deb", release.version)));
    pack.env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    process::output(pack).await.map(drop)
}

/// As Debian calls this machine: `amd64`.
async fn architecture() -> Result<String> {
    let mut dpkg = command("dpkg");
    dpkg.arg("--print-architecture");
    let said = process::output(dpkg).await.context("a .deb is made on Debian, or where dpkg is installed")?;
    Ok(said.trim().to_owned())
}

/// The packages whose libraries the program is linked with, and from which version on they have what it calls.
async fn libraries(release: &Release) -> Result<String> {
    let tree = release.tree("shlibdeps")?;
    tree.write("debian/control", 0o644, "Source: toktra-siem\n\nPackage: toktra-siem\nArchitecture: any\n")?;
    let mut find = command("dpkg-shlibdeps");
    find.current_dir(tree.root()).arg("-O").arg(&release.binary);
    let said = process::output(find).await.context("it comes with Debian's package dpkg-dev")?;
    let found = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    found.map(str::to_owned).with_context(|| format!("dpkg-shlibdeps names no library: {said}"))
}

/// In kB, as `Installed-Size` has it.
fn installed(tree: &Tree) -> Result<u64> {
    let mut kilobytes = 0;
    for file in tree.files()? {
        kilobytes += tree.root().join(file).symlink_metadata()?.len().div_ceil(1024);
    }
    Ok(kilobytes)
}

/// For `dpkg --verify`. Configuration is not among it: it may be changed.
async fn sums(tree: &Tree) -> Result<String> {
    let files = tree.files()?.into_iter().filter(|file| !file.starts_with("etc"));
    let mut sum = command("md5sum");
    sum.current_dir(tree.root()).arg("--").args(files);
    process::output(sum).await
}

/// The control file: a template, and what only the build knows.
fn control(version: &str, architecture: &str, size: u64, libraries: &str) -> Result<String> {
    let mut control = source("ops/debian/control")?;
    for (mark, value) in [
        ("@VERSION@", version),
        ("@ARCHITECTURE@", architecture),
        ("@INSTALLED_SIZE@", &size.to_string()),
        ("@DEPENDS@", &format!("{libraries}, {DEPENDS}")),
    ] {
        control = control.replace(mark, value);
    }
    Ok(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_has_nothing_left_to_fill_in() {
        let control = control("1.2.3", "amd64", 7, "libc6 (>= 2.34)").unwrap();
        assert!(!control.contains('@'), "{control}");
        for field in ["Version: 1.2.3\n", "Architecture: amd64\n", "Installed-Size: 7\n", "Depends: libc6 (>= 2.34), "]
        {
            assert!(control.contains(field), "{control}");
        }
    }
}
