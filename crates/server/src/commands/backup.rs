//! `backup`: a copy of the database, while the server runs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::sync::watch;
use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_cli::output::{Output, counted};
use toktra_siem_cli::progress::{Progress, Unit};
use toktra_siem_config::Config;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::backend::Copied;
use toktra_siem_store::{AtRest, StoreError};

use super::{CliError, World};
use crate::service::{at_rest, explained};

/// Where to.
#[derive(Debug, Args)]
pub struct BackupOptions {
    /// The file, which must not exist; `-` is standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(options: BackupOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    let dir = Config::load(file, &world.environment)?.data_dir;
    let stdout = options.to.as_os_str() == "-";
    if stdout && (world.terminal || options.output.json) {
        return Err(CliError::Usage(
            "With `--to -` the copy itself goes to standard output: send it to a file.".to_owned(),
        ));
    }
    // The copy is checked before a byte of it leaves, so it lies beside the database until then.
    let aside = stdout.then(|| tempfile::Builder::new().prefix("backup-").tempdir_in(&dir)).transpose();
    let aside = aside.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_database(&dir),
        _ => CliError::Failed(format!("No backup was made: {}.", explained(&dir, &error))),
    })?;
    let to = aside.as_ref().map_or_else(|| options.to.clone(), |aside| aside.path().join("backup.db"));
    // What is written from here on may be missing in the copy.
    let (data, copy, moment) = (at_rest(&dir), to.clone(), SystemClock.now());
    let from = Arc::clone(&data);
    let work = move |report: &mut dyn FnMut(Copied)| from.backup(&copy, report);
    let made = followed("backup", work, world).await?.map_err(|error| refusal(error, &dir))?;
    let text = format!(
        "{} and {} bytes were written to {}, and checked.\n\
         The encryption key is not part of it: keep a copy of {} (or of TOKTRA_SIEM_ENCRYPTION_KEY) apart from this file.",
        counted(made.events, "event"),
        made.bytes,
        if stdout { "standard output".to_owned() } else { to.display().to_string() },
        dir.join("encryption.key").display()
    );
    if stdout {
        io::copy(&mut File::open(&to).map_err(CliError::failed)?, world.stdout).map_err(CliError::failed)?;
        world.stdout.flush().map_err(CliError::failed)?;
        io::Write::write_all(world.stderr, format!("{text}\n").as_bytes()).map_err(CliError::failed)?;
        return note(&*data, &dir, moment, world);
    }
    note(&*data, &dir, moment, world)?;
    world.answer(&options.output.rendered(&made, || Ok(text))?)
}

/// Lets the server know, whose metrics tell the age of the newest backup. The backup is good without that.
fn note(data: &dyn AtRest, dir: &Path, moment: Timestamp, world: &mut World<'_>) -> Result<(), CliError> {
    let Err(error) = data.note_backup(moment) else { return Ok(()) };
    let text = format!(
        "The backup was made. The server could not be told of it, because {} cannot be written to: {error}. Its metric \
         toktra_siem_last_backup_timestamp_seconds stays as it is.\n",
        dir.display()
    );
    io::Write::write_all(world.stderr, text.as_bytes()).map_err(CliError::failed)
}

fn refusal(error: StoreError, dir: &Path) -> CliError {
    match error {
        StoreError::NotFound => no_database(dir),
        StoreError::Conflict(why) => CliError::Usage(format!("No backup was made: {why}.")),
        other => CliError::Failed(format!("No backup was made: {}.", super::told(&other))),
    }
}

/// What is said of a data directory without a database.
pub(super) fn no_database(dir: &Path) -> CliError {
    CliError::Usage(format!("There is no database in {}. Name the directory with TOKTRA_SIEM_DATA_DIR.", dir.display()))
}

/// Does work that blocks on a thread of its own, and shows how far it is.
pub(super) async fn followed<T: Send + 'static>(
    what: &str,
    work: impl FnOnce(&mut dyn FnMut(Copied)) -> T + Send + 'static,
    world: &mut World<'_>,
) -> Result<T, CliError> {
    let (sender, mut receiver) = watch::channel(Copied::default());
    let work = tokio::task::spawn_blocking(move || {
        work(&mut |copied| {
            sender.send_replace(copied);
        })
    });
    let mut progress = Progress::new(world.stderr_terminal, what, Unit::Bytes, Some(0));
    // The sender goes with the end of the work.
    while receiver.changed().await.is_ok() {
        let Copied { done, total, step } = *receiver.borrow_and_update();
        progress.total(total);
        progress.at(&mut *world.stderr, done, step)?;
    }
    progress.end();
    work.await.map_err(CliError::failed)
}
