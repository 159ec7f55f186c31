//! What the tarball and the .deb have in common: the same files, below another prefix.

use anyhow::{Context as _, Result};

use super::{Release, compress, source, tree::Tree};
use crate::process;

/// Where a package wants what. Paths are relative to its root.
pub(super) struct Places {
    /// What stands before `bin`, `lib` and `share`.
    prefix: String,
    /// Where the program will be, as the unit names it.
    program: &'static str,
    /// Below the prefix: where zsh looks.
    zsh: &'static str,
    /// Whether manual pages are compressed.
    compressed: bool,
}

impl Places {
    /// In a directory of its own, whose content goes to /usr/local.
    pub(super) fn tarball(directory: &str) -> Self {
        let zsh = "share/zsh/site-functions";
        Self { prefix: directory.to_owned(), program: "/usr/local/bin/toktra-siem", zsh, compressed: false }
    }

    /// As Debian's policy has it.
    pub(super) fn debian() -> Self {
        let zsh = "share/zsh/vendor-completions";
        Self { prefix: "usr".to_owned(), program: "/usr/bin/toktra-siem", zsh, compressed: true }
    }
}

/// Puts everything into the tree.
pub(super) async fn fill(release: &Release, tree: &Tree, places: &Places) -> Result<()> {
    let below = |path: &str| format!("{}/{path}", places.prefix);
    tree.copy(&below("bin/toktra-siem"), 0o755, &release.binary)?;
    manual(release, tree, places).await?;
    if !places.compressed {
        // Debian has the text in every installation, and names it in the file `copyright`.
        tree.write(&below("share/doc/toktra-siem/LICENSE"), 0o644, source("LICENSE")?)?;
    }
    for (shell, path) in [
        ("bash", below("share/bash-completion/completions/toktra-siem")),
        ("zsh", format!("{}/{}/_toktra-siem", places.prefix, places.zsh)),
        ("fish", below("share/fish/vendor_completions.d/toktra-siem.fish")),
    ] {
        let mut program = release.program();
        program.args(["completions", shell]);
        tree.write(&path, 0o644, process::output(program).await?)?;
    }
    let unit = source("ops/systemd/toktra-siem.service")?;
    let unit = unit.replace("/usr/local/bin/toktra-siem", places.program);
    tree.write(&below("lib/systemd/system/toktra-siem.service"), 0o644, unit)?;
    for (from, to) in [
        ("ops/systemd/toktra-siem.sysusers.conf", "lib/sysusers.d/toktra-siem.conf"),
        ("ops/prometheus/alerts.yml", "share/toktra-siem/prometheus/alerts.yml"),
        ("ops/grafana/toktra-siem.json", "share/toktra-siem/grafana/toktra-siem.json"),
        ("README.md", "share/doc/toktra-siem/README.md"),
        ("SECURITY.md", "share/doc/toktra-siem/SECURITY.md"),
    ] {
        tree.write(&below(to), 0o644, source(from)?)?;
    }
    tree.write(&below("share/doc/toktra-siem/toktra-siem.cdx.json"), 0o644, &release.sbom)?;
    tree.write(&below("share/doc/toktra-siem/THIRD-PARTY-LICENSES"), 0o644, &release.notices)?;
    Ok(())
}

/// The manual pages, written by the program itself.
async fn manual(release: &Release, tree: &Tree, places: &Places) -> Result<()> {
    let written = release.work.path().join("man");
    std::fs::create_dir_all(&written)?;
    let mut program = release.program();
    program.arg("man-pages").arg(&written);
    process::output(program).await?;
    for entry in std::fs::read_dir(&written)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a manual page has an odd name")?;
        let page = tree.copy(&format!("{}/share/man/man1/{name}", places.prefix), 0o644, &entry.path())?;
        if places.compressed {
            compress(&page, "-9").await?;
        }
    }
    Ok(())
}
