//! The container: its root file system, which is the program, what it is linked with, and CA certificates; and the image, which
//! `ops/container/Containerfile` makes of that directory, here or anywhere else.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Release, source, tree::Tree};
use crate::process::{self, command, root};

/// Who the program runs as: a user that owns nothing but the data directory.
const USER: &str = "65532";

const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\n\
                      nonroot:x:65532:65532:Toktra SIEM:/data:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";

/// The C library looks into /etc/hosts, and then asks the name servers.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// Those of this machine; the program has Mozilla's besides.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Where the Containerfile looks for what its first stage makes, below its context.
const OUT: &str = "image/out";

/// Makes the directory and the tar file.
pub(super) async fn root_file_system(release: &Release) -> Result<()> {
    let out = release.to.join(OUT);
    let tree = Tree::new(out.join("root"))?;
    // Beside the root, since a builder gives everything that it copies one owner.
    let own = Tree::new(out.join("own"))?;
    own.directory("data", 0o700)?;
    tree.copy("usr/local/bin/toktra-siem", 0o755, &release.binary)?;
    for (path, content) in [("etc/passwd", PASSWD), ("etc/group", GROUP), ("etc/nsswitch.conf", NSSWITCH)] {
        tree.write(path, 0o644, content)?;
    }
    tree.directory("tmp", 0o1777)?;
    let certificates = Path::new("/").join(CERTIFICATES);
    tree.copy(CERTIFICATES, 0o644, &certificates).context("Debian's package ca-certificates has them")?;
    tree.write("usr/share/doc/toktra-siem/LICENSE", 0o644, source("LICENSE")?)?;
    tree.write("usr/share/doc/toktra-siem/toktra-siem.cdx.json", 0o644, &release.sbom)?;
    tree.write("usr/share/doc/toktra-siem/THIRD-PARTY-LICENSES", 0o644, &release.notices)?;
    let mut packages = vec!["ca-certificates".to_owned()];
    for library in libraries(&release.binary).await? {
        let path = library.strip_prefix("/")?.to_string_lossy().into_owned();
        tree.copy(&path, 0o755, &library)?;
        packages.push(owner(&library).await?);
    }
    packages.sort_unstable();
    packages.dedup();
    tree.copy("etc/os-release", 0o644, Path::new("/etc/os-release"))?;
    for package in &packages {
        from_debian(&tree, package).await?;
    }
    pack(release, &tree, &own).await
}

/// Owners in a tar file are numbers, whoever runs this: root's everything but the data directory.
async fn pack(release: &Release, tree: &Tree, own: &Tree) -> Result<()> {
    let archive = release.file("-rootfs.tar");
    let mut first = release.tar("--create", &archive, tree.root());
    first.args(["--owner=0", "--group=0", "."]);
    process::output(first).await?;
    let mut second = release.tar("--append", &archive, own.root());
    second.arg(format!("--owner={USER}")).arg(format!("--group={USER}")).arg("./data");
    process::output(second).await.map(drop)
}

/// What the loader finds for the program, itself included.
async fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = command("ldd");
    ldd.arg(binary);
    let said = process::output(ldd).await?;
    let found = found(&said);
    if found.is_empty() || said.contains("not found") {
        bail!("the loader does not find all libraries of {}: {said}", binary.display());
    }
    Ok(found)
}

fn found(said: &str) -> Vec<PathBuf> {
    let words = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}

/// The Debian package that a library is from.
async fn owner(library: &Path) -> Result<String> {
    // With /lib being a link to /usr/lib, dpkg knows it by one of two names.
    for path in [library.to_owned(), Path::new("/usr").join(library.strip_prefix("/")?)] {
        let mut search = command("dpkg-query");
        search.arg("--search").arg(&path);
        if let Ok(said) = process::output(search).await {
            return Ok(said.split([':', ',']).next().unwrap_or_default().to_owned());
        }
    }
    bail!("no Debian package has {}", library.display())
}

/// What a package is and under which licence, where scanners of images look for it.
async fn from_debian(tree: &Tree, package: &str) -> Result<()> {
    let mut status = command("dpkg-query");
    status.args(["--status", package]);
    tree.write(&format!("var/lib/dpkg/status.d/{package}"), 0o644, process::output(status).await?)?;
    let copyright = format!("usr/share/doc/{package}/copyright");
    tree.copy(&copyright, 0o644, &Path::new("/").join(&copyright)).map(drop)
}

/// Has buildah make the image, as a file that every container engine loads. It needs no service and runs nothing in the image. In the format of
/// OCI, which has no place for a health check; that of Docker would have this machine's name in it, and so never be the same twice.
pub(super) async fn build(release: &Release, wanted: bool) -> Result<()> {
    if let Err(error) = process::which("buildah").await {
        if wanted {
            return Err(error.context("an image is made by buildah (Debian: apt-get install buildah)"));
        }
        println!("    without buildah no image is made; ops/container/Containerfile makes it of {OUT} elsewhere");
        return Ok(());
    }
    let (name, archive) = (format!("docker.io/library/toktra-siem:{}", release.version), release.file("-image.tar"));
    let mut make = buildah(release);
    make.args(["build", "--quiet", "--isolation=chroot", "--tag", &name]);
    make.arg(format!("--timestamp={}", release.epoch)).arg("--file").arg(root().join("ops/container/Containerfile"));
    make.arg(format!("--build-context=build={}", release.to.join("image").display()));
    make.arg(format!("--build-arg=VERSION={}", release.version))
        .arg(format!("--build-arg=REVISION={}", revision().await));
    make.arg(format!("--build-arg=CREATED={}", super::date(release.epoch).await?));
    // Nothing of this directory is used: the only stage that copies from it has been replaced.
    make.arg(release.to.join("image"));
    process::output(make).await?;
    let mut save = buildah(release);
    save.args(["push", "--quiet", &name]);
    save.arg(format!("docker-archive:{}:{name}", archive.display()));
    process::output(save).await.map(drop)
}

/// With a store of its own, which goes with the release's work.
fn buildah(release: &Release) -> tokio::process::Command {
    let mut buildah = command("buildah");
    buildah.arg("--storage-driver=vfs").arg("--root").arg(release.work.path().join("images"));
    buildah.arg("--runroot").arg(release.work.path().join("running"));
    buildah
}

async fn revision() -> String {
    let mut git = command("git");
    git.args(["rev-parse", "HEAD"]);
    process::output(git).await.map_or_else(|_no_history| "unknown".to_owned(), |said| said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_words_are_read() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let paths = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found(said), paths.map(PathBuf::from));
    }
}
