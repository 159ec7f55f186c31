//! Why a file or a directory cannot be used, in words, with the step to take: whose it is, who asks, and what brings them together. Asked
//! before SQLite is, which would only say that it is unable to open a file, or take what it may not read for damage.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{getegid, geteuid};
use toktra_siem_store::error::{Result, StoreError};

use super::DATABASE;

/// What somebody wants to do with the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Look at it.
    Read,
    /// Change it.
    Write,
}

/// The user and the group of this process.
#[derive(Debug, Clone, Copy)]
struct Process {
    user: u32,
    group: u32,
}

/// What is there of a path: itself, or the nearest directory above it that can be looked at.
#[derive(Debug, Clone)]
struct Holder {
    path: PathBuf,
    user: u32,
    mode: u32,
    directory: bool,
}

/// Whether the directory `dir` and the database in it can be used, as far as they are there. Nothing is opened: closing a file would let go
/// of the locks that this process has on it.
pub(super) fn look(dir: &Path, need: Need) -> Result<()> {
    let mut wanted = Access::READ_OK | Access::EXEC_OK;
    let mut of_files = Access::READ_OK;
    if need == Need::Write {
        wanted |= Access::WRITE_OK;
        of_files |= Access::WRITE_OK;
    }
    match fs::metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(dir, &error)),
        Ok(found) if !found.is_dir() => return Err(fault(dir, &ErrorKind::NotADirectory.into())),
        Ok(_) => may(dir, wanted)?,
    }
    for name in [DATABASE.to_owned(), format!("{DATABASE}-wal"), format!("{DATABASE}-shm")] {
        let path = dir.join(name);
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(fault(&path, &error)),
            Ok(found) if found.is_dir() => return Err(fault(&path, &ErrorKind::IsADirectory.into())),
            Ok(_) => may(&path, of_files)?,
        }
    }
    Ok(())
}

/// Whether the file can be read; `NotFound` where there is none.
pub(super) fn readable(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::NotFound),
        Err(error) => Err(fault(path, &error)),
        Ok(found) if found.is_dir() => Err(fault(path, &ErrorKind::IsADirectory.into())),
        Ok(_) => may(path, Access::READ_OK),
    }
}

fn may(path: &Path, access: Access) -> Result<()> {
    accessat(CWD, path, access, AtFlags::EACCESS).map_err(|error| fault(path, &error.into()))
}

/// The failure of whatever was to be done with `path`.
pub(super) fn fault(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable(explained(path, error))
}

/// What stands in the way of using `path`, and the step to take, without a full stop at the end.
pub fn explained(path: &Path, error: &io::Error) -> String {
    let process = Process { user: geteuid().as_raw(), group: getegid().as_raw() };
    format!("{} cannot be used: {}", path.display(), words(path, error, process, holder(path).as_ref()))
}

fn holder(path: &Path) -> Option<Holder> {
    let of = |path: &Path, found: &Metadata| Holder {
        path: path.to_owned(),
        user: found.uid(),
        mode: found.mode() & 0o7777,
        directory: found.is_dir(),
    };
    let places = path.ancestors().map(|place| if place.as_os_str().is_empty() { Path::new(".") } else { place });
    places.into_iter().find_map(|place| fs::metadata(place).ok().map(|found| of(place, &found)))
}

fn words(path: &Path, error: &io::Error, process: Process, holder: Option<&Holder>) -> String {
    const ELSEWHERE: &str = "name another place (TOKTRA_SIEM_DATA_DIR for the data directory)";
    let step = match error.kind() {
        ErrorKind::PermissionDenied => permission(path, process, holder),
        ErrorKind::ReadOnlyFilesystem => format!(
            "Mount its file system so that it can be written, or {ELSEWHERE}; in a container with a read-only root it has to be a volume"
        ),
        ErrorKind::NotADirectory => {
            format!("A part of this path is a file, not a directory. Move that file away, or {ELSEWHERE}")
        }
        ErrorKind::AlreadyExists => format!("A file is there already. Move it away, or {ELSEWHERE}"),
        ErrorKind::IsADirectory => "It is a directory, and a file is expected. Move it away".to_owned(),
        ErrorKind::StorageFull => "No space is left on its file system. Free some, and do it again".to_owned(),
        ErrorKind::QuotaExceeded => {
            "The disk quota of this user is used up. Raise it or free some space, and do it again".to_owned()
        }
        ErrorKind::NotFound => {
            format!("It does not exist, or the directory that it is in does not. Make that, or {ELSEWHERE}")
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            "The disk itself failed. Look at the log of the kernel (`dmesg`), and replace the disk if it says so"
                .to_owned()
        }
        _ => format!("Correct that, or {ELSEWHERE}"),
    };
    format!("{error}. {step}")
}

fn permission(path: &Path, process: Process, holder: Option<&Holder>) -> String {
    let Process { user, group } = process;
    let Some(Holder { path: held, user: owner, mode, directory }) = holder else {
        return format!("This process runs as user {user}. Give that user the right to use it");
    };
    let (shown, whole) = (held.display(), path.display());
    if *owner == user {
        let rights = if *directory { "rwx" } else { "rw" };
        return format!(
            "{shown} belongs to user {user}, who runs this, and has mode {mode:04o}. Give its owner the rights: `chmod u+{rights} {shown}`"
        );
    }
    let belongs = format!("{shown} belongs to user {owner}, and this process runs as user {user}");
    if held != path {
        return format!(
            "{belongs}. Make the directory as root and hand it over: `install -d -o {user} -g {group} -m 700 {whole}`; or run this as user \
             {owner}"
        );
    }
    let directory = if *directory { held.as_path() } else { held.parent().unwrap_or(held) };
    format!(
        "{belongs}. Run this as user {owner}, or hand the directory over as root: `chown -R {user}:{group} {}`",
        directory.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Process = Process { user: 10001, group: 10002 };

    fn held(path: &str, user: u32, mode: u32, directory: bool) -> Holder {
        Holder { path: path.into(), user, mode, directory }
    }

    /// Whatever the system answers, the path's step follows.
    #[test]
    fn each_error_of_the_system_has_its_words_and_its_step() {
        let dir = Path::new("/var/lib/toktra-siem");
        let root = held("/var/lib/toktra-siem", 0, 0o700, true);
        for (errno, words_of_it, step) in [
            (13, "Permission denied (os error 13)", "`chown -R 10001:10002 /var/lib/toktra-siem`"),
            (1, "Operation not permitted (os error 1)", "Run this as user 0"),
            (30, "Read-only file system (os error 30)", "Mount its file system so that it can be written"),
            (20, "Not a directory (os error 20)", "A part of this path is a file"),
            (17, "File exists (os error 17)", "Move it away"),
            (21, "Is a directory (os error 21)", "a file is expected"),
            (28, "No space left on device (os error 28)", "Free some"),
            (122, "quota exceeded (os error 122)", "Raise it or free some space"),
            (2, "No such file or directory (os error 2)", "Make that"),
            (5, "Input/output error (os error 5)", "`dmesg`"),
            (40, "(os error 40)", "TOKTRA_SIEM_DATA_DIR"),
        ] {
            let said = words(dir, &io::Error::from_raw_os_error(errno), US, Some(&root));
            assert!(said.contains(words_of_it) && said.contains(step), "{errno}: {said}");
            assert!(!said.ends_with('.'), "{said}");
        }
    }

    #[test]
    fn who_may_not_is_told_whose_it_is_and_what_to_do() {
        let denied = || io::Error::from_raw_os_error(13);
        let said = |path: &str, holder: Option<Holder>| words(Path::new(path), &denied(), US, holder.as_ref());
        let file = said("/data/toktra.db", Some(held("/data/toktra.db", 0, 0o600, false)));
        assert!(file.contains("/data/toktra.db belongs to user 0, and this process runs as user 10001"), "{file}");
        assert!(file.contains("`chown -R 10001:10002 /data`"), "{file}");
        let own = said("/data", Some(held("/data", 10001, 0o500, true)));
        assert!(own.contains("mode 0500") && own.contains("`chmod u+rwx /data`"), "{own}");
        let parent = said("/var/lib/new", Some(held("/var/lib", 0, 0o755, true)));
        assert!(parent.contains("/var/lib belongs to user 0"), "{parent}");
        assert!(parent.contains("`install -d -o 10001 -g 10002 -m 700 /var/lib/new`"), "{parent}");
        assert!(said("/x", None).contains("runs as user 10001"));
    }

    #[test]
    fn what_is_in_the_place_of_a_directory_or_a_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        look(dir.path(), Need::Write).unwrap();
        look(&dir.path().join("nothing"), Need::Write).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for place in [file.clone(), file.join("below")] {
            let said = look(&place, Need::Read).unwrap_err().to_string();
            assert!(said.contains(&place.display().to_string()) && said.contains("not a directory"), "{said}");
        }
        fs::create_dir(dir.path().join(DATABASE)).unwrap();
        let said = look(dir.path(), Need::Write).unwrap_err().to_string();
        assert!(said.contains(DATABASE) && said.contains("It is a directory"), "{said}");
        assert!(matches!(readable(&dir.path().join("nothing")), Err(StoreError::NotFound)));
        readable(&file).unwrap();
    }
}
