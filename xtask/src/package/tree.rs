//! A package before it is packed: a directory whose files have the modes that they shall have, whatever the umask is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The directory.
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty one, in the place of what an earlier run left.
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("cannot empty {}", root.display()))?;
        }
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        fs::set_permissions(&root, Permissions::from_mode(0o755))?;
        Ok(Self { root })
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A directory; those above it can be entered by everybody.
    pub(super) fn directory(&self, path: &str, mode: u32) -> Result<PathBuf> {
        let mut directory = self.root.clone();
        for part in Path::new(path) {
            directory.push(part);
            if !directory.exists() {
                fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
                fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
            }
        }
        fs::set_permissions(&directory, Permissions::from_mode(mode))?;
        Ok(directory)
    }

    /// A file with this in it.
    pub(super) fn write(&self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let place = self.above(path)?;
        fs::write(&place, content).with_context(|| format!("cannot write {}", place.display()))?;
        fs::set_permissions(&place, Permissions::from_mode(mode))?;
        Ok(place)
    }

    /// A copy of what stands behind `from`.
    pub(super) fn copy(&self, path: &str, mode: u32, from: &Path) -> Result<PathBuf> {
        let place = self.above(path)?;
        fs::copy(from, &place).with_context(|| format!("cannot copy {}", from.display()))?;
        fs::set_permissions(&place, Permissions::from_mode(mode))?;
        Ok(place)
    }

    /// Every file, relative and sorted.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let (mut files, mut open) = (Vec::new(), vec![self.root.clone()]);
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                } else {
                    files.push(entry.path().strip_prefix(&self.root)?.to_owned());
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn above(&self, path: &str) -> Result<PathBuf> {
        let place = self.root.join(path);
        if let Some(above) = Path::new(path).parent()
            && !self.root.join(above).exists()
        {
            self.directory(&above.to_string_lossy(), 0o755)?;
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_and_the_directories_above_them_have_the_modes_that_were_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let tree = Tree::new(place.path().join("tree")).unwrap();
        let secret = tree.write("etc/toktra-siem/secret", 0o600, "x").unwrap();
        tree.directory("etc/toktra-siem", 0o700).unwrap();
        tree.copy("bin/again", 0o755, &secret).unwrap();
        let names: Vec<String> = tree.files().unwrap().iter().map(|path| path.display().to_string()).collect();
        assert_eq!(names, ["bin/again", "etc/toktra-siem/secret"]);
        let modes =
            ["etc", "etc/toktra-siem", "etc/toktra-siem/secret", "bin/again"].map(|path| mode(&tree.root().join(path)));
        assert_eq!(modes, [0o755, 0o700, 0o600, 0o755]);
        assert!(Tree::new(place.path().join("tree")).unwrap().files().unwrap().is_empty());
    }
}
