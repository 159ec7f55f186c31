//! axe-core, the judge of accessibility that the page's tests inject into a browser.
//!
//! npm fetches its package and runs none of its scripts; the SHA-512 here pins what was tried (it is the package's `integrity` in the registry,
//! in hexadecimal), so that neither a mirror nor a re-published package can change what the tests run. Nothing of it is part of the product.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha512};

use crate::process::{self, command, target};

/// A newer version may know further rules and turn a green run red without a change of ours.
const VERSION: &str = "4.14.1";

const SHA512: &str = "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73\
                      4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5";

/// The file `axe.min.js`, from the verified package, which is fetched unless an earlier run did.
pub(super) async fn provide() -> Result<PathBuf> {
    let directory = target("real/download");
    let package = directory.join(format!("axe-core-{VERSION}.tgz"));
    if !package.exists() {
        fs::create_dir_all(&directory)?;
        fetch(&directory).await?;
    }
    let bytes = fs::read(&package).with_context(|| format!("npm left no {}", package.display()))?;
    let found = hex::encode(Sha512::digest(&bytes));
    if found != SHA512 {
        fs::remove_file(&package)?;
        bail!("{} has SHA-512 {found}, not the pinned {SHA512}; it was removed", package.display());
    }
    unpack(&package).await
}

async fn fetch(into: &Path) -> Result<()> {
    println!("    fetching axe-core {VERSION} (700 kB, once)");
    let mut npm = command("npm");
    npm.args(["pack", "--ignore-scripts", "--silent", "--pack-destination"]).arg(into);
    npm.arg(format!("axe-core@{VERSION}"));
    let fetched = process::with_progress("fetching axe-core", process::output(npm)).await;
    fetched.map(drop).context("npm cannot fetch it (Debian: apt-get install npm; or run `cargo xtask ci-setup`)")
}

/// Unpacked every time: it takes a moment, and what an interrupted run left is never mistaken for the whole.
async fn unpack(package: &Path) -> Result<PathBuf> {
    let directory = target(&format!("real/axe-core-{VERSION}"));
    fs::create_dir_all(&directory)?;
    let mut tar = command("tar");
    tar.arg("-xzf").arg(package).arg("-C").arg(&directory).args(["--strip-components=1", "package/axe.min.js"]);
    process::output(tar).await.context("cannot unpack it with `tar`")?;
    Ok(directory.join("axe.min.js"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_pinned() {
        assert_eq!(hex::decode(SHA512).map(|bytes| bytes.len()), Ok(64));
    }
}
