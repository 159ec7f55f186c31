//! The data directory: the database, and the key that seals credentials. Both are for the server's user alone. Nothing else of the server knows
//! which backend it runs on.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use toktra_siem_app::channels;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_base::vault::{EncryptionKey, Vault, VaultError};
use toktra_siem_config::{Config, DiskBudget, value};
use toktra_siem_store::{AtRest, Backend, ClockTrust, ConnectorRecord, SealedSecret, Store, StoreError};
use toktra_siem_store_sqlite::{Directory, Sqlite, SqliteOptions, in_use};
pub(crate) use toktra_siem_store_sqlite::{explained, newest_layout};
use zeroize::Zeroizing;

use super::StartError;
use super::first_key::FIRST_KEY_FILE;
use super::first_link::FIRST_LOGIN_FILE;

/// Holds the encryption key in the data directory; not part of backups (docs/configuration.md).
const KEY_FILE: &str = "encryption.key";

/// Makes the data directory where it is not there, for the server's user alone.
pub(crate) fn make_dir(path: &Path) -> Result<(), StartError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StartError::DataDir(explained(path, &error)))
}

/// How long a start waits for the process that had these data: one that was killed holds them until the system has taken it down.
const HELD: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until no other process has `dir` open, but not for long: whoever still has it then is said by [`open_store`].
pub(super) async fn until_free(dir: &Path) {
    if !in_use(dir) {
        return;
    }
    tracing::info!(data_dir = %dir.display(), seconds = HELD.as_secs(), "another process still has the data directory open: waiting for it to end");
    let until = Instant::now() + HELD;
    while in_use(dir) && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
}

/// Opens the database in `dir` and locks the directory.
pub fn open_store(
    dir: &Path,
    budget: DiskBudget,
    clock: Arc<dyn Clock>,
    clock_trust: ClockTrust,
) -> Result<Arc<dyn Backend>, StartError> {
    let max_bytes = match budget {
        DiskBudget::Bytes(bytes) => bytes,
        DiskBudget::Share(percent) => {
            let total = fs4::total_space(dir);
            let total = total.map_err(|error| StartError::DataDir(explained(dir, &error)))?;
            total / 100 * u64::from(percent)
        }
    };
    let options = SqliteOptions {
        clock: Arc::new(move || clock.now()),
        clock_trust,
        max_bytes: Some(max_bytes),
        ..SqliteOptions::default()
    };
    Ok(Sqlite::open(dir, options)?)
}

/// The data in `dir` as they lie there, for commands that need no server.
pub(crate) fn at_rest(dir: &Path) -> Arc<dyn AtRest> {
    Arc::new(Directory(dir.to_owned()))
}

/// The vault with the configured keys, or with the one of the key file, which is made on first start.
pub(super) fn vault(config: &Config, random: Arc<dyn Random>) -> Result<Vault, StartError> {
    if let [newest, older @ ..] = config.encryption_keys.as_slice() {
        return Ok(Vault::new(newest, older, random));
    }
    let key = key_file(&config.data_dir.join(KEY_FILE), &*random)?;
    Ok(Vault::new(&key, &[], random))
}

fn key_file(path: &Path, random: &dyn Random) -> Result<EncryptionKey, StartError> {
    let unusable = |reason: String| StartError::KeyFile { path: path.to_owned(), reason };
    let denied = |error: &io::Error| StartError::DataDir(explained(path, error));
    let text = match read_private(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random.secret();
            write_private(path, &key).map_err(|error| denied(&error))?;
            tracing::info!(
                path = %path.display(),
                "a new encryption key was made. Keep a copy of it apart from backups of the data: without it the credentials of \
                 connectors have to be entered again"
            );
            return value::encryption_key(key.expose_secret()).map_err(unusable);
        }
        Err(error) => return Err(denied(&error)),
    };
    value::encryption_key(&text)
        .map_err(|reason| unusable(format!("what it holds {reason}. Bring the file back from your copy")))
}

/// Whether there is an encryption key in the data directory.
pub(crate) fn has_key_file(dir: &Path) -> bool {
    dir.join(KEY_FILE).is_file()
}

/// Reads a file that only the server's user should be able to read.
pub(super) fn read_private(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the key file can be read by other users; set its mode to 0600");
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a secret into a new file that only the server's user may read; durable once this returns. Fails where the file exists. Whenever this
/// is interrupted, there is the whole file or none.
pub fn write_private(path: &Path, secret: &SecretString) -> io::Result<()> {
    let unfinished = unfinished(path);
    remove_private(&unfinished)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let named = writeln!(file, "{}", secret.expose_secret()).and_then(|()| file.sync_all()).and_then(|()| {
        match std::fs::hard_link(&unfinished, path) {
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => Err(taken),
            // Not every file system has links (exFAT, many shares). Nobody else makes files in a directory that this process has locked.
            Err(_) if !path.try_exists()? => std::fs::rename(&unfinished, path),
            linked => linked,
        }
    });
    let removed = remove_private(&unfinished);
    named.and(removed)?;
    File::open(path.parent().map_or(PathBuf::from("."), Path::to_owned))?.sync_all()
}

/// The name of such a file until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Removes what a start that was interrupted left of such files.
pub(super) fn tidy(dir: &Path) -> Result<(), StartError> {
    for name in [KEY_FILE, FIRST_KEY_FILE, FIRST_LOGIN_FILE] {
        let path = unfinished(&dir.join(name));
        remove_private(&path).map_err(|error| StartError::DataDir(explained(&path, &error)))?;
    }
    Ok(())
}

/// Removes such a file, where there is one: what it holds is void.
pub fn remove_private(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Seals anew what an older encryption key sealed, and names every connector and channel whose secrets no configured key opens. If all of it is
/// done, one line says that older keys are needed no more.
pub(super) async fn seal_anew(store: &dyn Store, vault: &Vault) -> Result<(), StoreError> {
    let (mut connectors, mut resealed_channels, mut unopened) = (0_u64, 0_u64, 0_u64);
    for record in store.all_connectors().await? {
        if record.secrets.iter().all(|sealed| vault.is_current(sealed)) {
            continue;
        }
        let id = record.connector.id;
        match sealed_anew(vault, &record) {
            Ok(secrets) => {
                store.reseal(id, secrets).await?;
                connectors += 1;
                tracing::info!(connector = %id, "its secrets were sealed with the newest encryption key");
            }
            Err(error) => {
                unopened += 1;
                tracing::error!(connector = %id, %error, "its secrets cannot be opened: it will not deliver");
            }
        }
    }
    for record in store.all_channels().await? {
        if record.secrets.iter().all(|sealed| vault.is_current(sealed)) {
            continue;
        }
        let id = record.channel.id;
        match channels::seal_anew(vault, &record) {
            Ok(secrets) => {
                store.reseal_channel(id, secrets).await?;
                resealed_channels += 1;
                tracing::info!(channel = %id, "its secrets were sealed with the newest encryption key");
            }
            Err(error) => {
                unopened += 1;
                tracing::error!(channel = %id, %error, "the secrets of this notification channel cannot be opened, so it sends nothing: enter them again");
            }
        }
    }
    if connectors + resealed_channels > 0 && unopened == 0 {
        tracing::info!(
            connectors,
            channels = resealed_channels,
            "all secrets are sealed with the newest encryption key: the server needs no older one any more"
        );
    }
    Ok(())
}

fn sealed_anew(vault: &Vault, record: &ConnectorRecord) -> Result<Vec<SealedSecret>, VaultError> {
    let (org, id) = (record.connector.org, record.connector.id);
    let seal = |sealed: &SealedSecret| Ok(vault.seal(org, id, &sealed.field, &vault.open(org, id, sealed)?));
    record.secrets.iter().map(seal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use toktra_siem_base::random::SeededRandom;

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_for_the_process_before_it_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Sqlite::open(dir.path(), SqliteOptions::default()).unwrap();
        let begun = Instant::now();
        until_free(dir.path()).await;
        let held = open();
        assert!(begun.elapsed().is_zero() && in_use(dir.path()));
        until_free(dir.path()).await;
        assert!(begun.elapsed() >= HELD && in_use(dir.path()), "then the start says why it cannot be");
        let begun = Instant::now();
        let ending = tokio::spawn(async move {
            tokio::time::sleep(LOOK * 3).await;
            held.close().await.unwrap();
        });
        until_free(dir.path()).await;
        ending.await.unwrap();
        assert!(begun.elapsed() < HELD);
        open().close().await.unwrap();
    }

    #[test]
    fn the_key_file_is_made_once_for_its_owner_alone_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let random = SeededRandom::new(1);
        let first = key_file(&path, &random).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(key_file(&path, &random).unwrap().expose_secret(), first.expose_secret());
    }

    #[test]
    fn a_secret_is_never_written_over_another_and_a_void_one_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link");
        write_private(&path, &"first".into()).unwrap();
        assert!(write_private(&path, &"second".into()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\n");
        remove_private(&path).unwrap();
        remove_private(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_key_file_is_refused_rather_than_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        std::fs::write(&path, "hunter2").unwrap();
        let refused = key_file(&path, &SeededRandom::new(1)).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("encryption.key") && !refused.contains("hunter2"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "hunter2");
    }
}
