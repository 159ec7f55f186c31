//! `delivery export`: the whole history, as it comes from the server, never held in memory.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use toktra_siem_egress::Opened;

use super::FilterOptions;
use crate::client::{Client, OrgOptions};
use crate::progress::{Progress, Unit};
use crate::{CliError, World};

/// What is exported, and where to.
#[derive(Debug, Args)]
pub struct ExportOptions {
    #[command(flatten)]
    filter: FilterOptions,
    /// One JSON object a line, or comma-separated values with a head
    #[arg(long, default_value = "ndjson", value_parser = ["ndjson", "csv"])]
    format: String,
    /// The file, which must not exist [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: OrgOptions,
}

pub(super) async fn run(options: &ExportOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let path = options.filter.path(&client).await?;
    let media = if options.format == "csv" { "text/csv" } else { "application/x-ndjson" };
    let mut opened = client.open(&path, media).await?;
    if !opened.content_type().is_some_and(|kind| kind.starts_with(media)) {
        return Err(CliError::Failed("This server exports no histories: it is of an older version.".to_owned()));
    }
    let Some(path) = &options.output else {
        let progress = Progress::new(world.stderr_terminal && !world.terminal, "export", Unit::Bytes, None);
        let place = "standard output";
        copy(&client, &mut opened, &mut *world.stdout, place, progress, &mut *world.stderr).await?;
        return world.stdout.flush().map_err(|error| unwritten(place, &error));
    };
    let unfinished = part(path);
    let mut file = create(path, &unfinished)?;
    let progress = Progress::new(world.stderr_terminal, "export", Unit::Bytes, None);
    let place = path.display().to_string();
    let copied = copy(&client, &mut opened, &mut file, &place, progress, &mut *world.stderr).await;
    // Under its name only once it is whole.
    let finished = copied.and_then(|bytes| {
        let named = file.sync_all().and_then(|()| std::fs::hard_link(&unfinished, path));
        named.map(|()| bytes).map_err(|error| unwritten(&place, &error))
    });
    let removed = std::fs::remove_file(&unfinished);
    let bytes = finished?;
    removed?;
    Ok(writeln!(world.stderr, "{bytes} bytes were written to {}.", path.display())?)
}

/// Where the file grows.
fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn create(path: &Path, unfinished: &Path) -> Result<File, CliError> {
    if path.exists() {
        return Err(CliError::Usage(format!("{} exists already: name another file.", path.display())));
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished);
    made.map_err(|error| CliError::Usage(format!("{} cannot be made: {error}.", unfinished.display())))
}

/// What is said where the history cannot be written to `place`. A reader that has seen enough is no failure.
fn unwritten(place: &str, error: &io::Error) -> CliError {
    match error.kind() {
        ErrorKind::BrokenPipe => CliError::Closed,
        _ => CliError::Failed(format!("The history could not be written to {place}, which is not whole: {error}.")),
    }
}

async fn copy(
    client: &Client,
    from: &mut Opened,
    to: &mut dyn Write,
    place: &str,
    mut progress: Progress,
    stderr: &mut dyn Write,
) -> Result<u64, CliError> {
    let mut bytes = 0;
    while let Some(piece) = client.piece(from).await? {
        to.write_all(&piece).map_err(|error| unwritten(place, &error))?;
        bytes += u64::try_from(piece.len()).unwrap_or(0);
        progress.at(stderr, bytes, "")?;
    }
    progress.end();
    Ok(bytes)
}
