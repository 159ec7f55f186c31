//! `event import`: a file of any size, in bounded memory, several requests at a time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use super::lines::{Bad, Lines, Piece};
use super::send::lost;
use super::shipment::{Shipped, ship};
use crate::client::{Client, OrgOptions};
use crate::output::counted;
use crate::progress::{Progress, Unit};
use crate::{CliError, World};

/// Requests under way at a time: enough to keep the server's group commit busy, and 4 MiB at most.
const IN_FLIGHT: usize = 4;
/// What is read from the file at a time.
const BUFFER: usize = 256 * 1024;

/// What is imported, and how.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// The file, or - for standard input
    file: PathBuf,
    /// Keep bad lines in this file, which must not exist, and go on
    #[arg(long, value_name = "FILE")]
    skip_bad: Option<PathBuf>,
    /// Leave out this many lines at the beginning: an earlier run said that they were accepted
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    after_line: u64,
    /// What the event_ids of events without one follow from, beside line and text [default: the file's name]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    server: OrgOptions,
    /// Answer as JSON: {"accepted":1,"duplicates":0,"bad":0}
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: ImportOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = Arc::new(options.server.client(world)?);
    let mut bad = BadLines::new(options.skip_bad.clone())?;
    let (input, name, size): (Box<dyn Read + '_>, _, _) = if options.file == Path::new("-") {
        (Box::new(&mut *world.stdin), "stdin".to_owned(), None)
    } else {
        let unreadable = |error| CliError::Usage(format!("{} cannot be read: {error}.", options.file.display()));
        let file = File::open(&options.file).map_err(unreadable)?;
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        let name = options.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (Box::new(file), name, size)
    };
    let mut progress = Progress::new(world.stderr_terminal, "import", Unit::Bytes, size);
    let mut lines = Lines::new(BufReader::with_capacity(BUFFER, input), options.source.as_deref().unwrap_or(&name));
    lines.skip(options.after_line)?;
    let mut import = Import { client, bad: &mut bad, tally: Tally { whole: options.after_line, ..Tally::default() } };
    let outcome = import.run(&mut lines, &mut progress, &mut *world.stderr).await;
    let Import { tally, .. } = import;
    progress.end();
    drop(lines);
    let told = if options.json {
        let Tally { accepted, duplicates, differing, bad, .. } = tally;
        let mut told = json!({ "accepted": accepted, "duplicates": duplicates, "bad": bad });
        if differing > 0 {
            told["differing"] = differing.into();
        }
        told.to_string()
    } else {
        let bad = if tally.bad > 0 { format!(", {}", counted(tally.bad, "bad line")) } else { String::new() };
        format!("{} accepted, {} already there{bad}.", tally.accepted, tally.duplicates)
    };
    if let Err(error) = outcome {
        if options.json {
            world.say(format!("{told}\n"))?;
        }
        return Err(with_tally(error, &tally));
    }
    world.answer(&format!("{told}\n"))?;
    match options.skip_bad {
        Some(path) if tally.bad > 0 => {
            Err(CliError::Lost(format!("{} kept in {}.", counted(tally.bad, "bad line"), path.display())))
        }
        _ => lost(tally.differing),
    }
}

/// What was taken in before it failed is there to stay.
fn with_tally(error: CliError, tally: &Tally) -> CliError {
    let CliError::Failed(text) = error else { return error };
    CliError::Failed(format!(
        "{text}\nBefore that, {} accepted, and {} there already; everything up to line {} is. Run the same command again: what was \
         accepted is recognised (--after-line {} does not read it again).",
        counted(tally.accepted, "event"),
        tally.duplicates,
        tally.whole,
        tally.whole
    ))
}

/// Where bad lines are kept; without a file the first one ends the import.
struct BadLines {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl BadLines {
    fn new(path: Option<PathBuf>) -> Result<Self, CliError> {
        match &path {
            // Found out before the work, not at the first bad line.
            Some(path) if path.exists() => {
                let path = path.display();
                Err(CliError::Usage(format!(
                    "{path} exists already, and would be lost: name another file for bad lines."
                )))
            }
            _ => Ok(Self { path, file: None }),
        }
    }

    /// Keeps a bad line, or says that it is one.
    fn keep(&mut self, bad: &Bad) -> Result<(), CliError> {
        let Some(path) = &self.path else {
            return Err(CliError::Failed(format!(
                "Line {} is no valid event: {}. Correct it, or collect such lines with --skip-bad FILE.",
                bad.number,
                bad.reason.trim_end_matches('.')
            )));
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?),
        };
        let line = json!({ "line": bad.number, "reason": bad.reason, "text": bad.text });
        Ok(writeln!(file, "{line}")?)
    }
}

#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    duplicates: u64,
    /// Duplicates whose content is another.
    differing: u64,
    bad: u64,
    /// All lines up to this one have come to an end.
    whole: u64,
}

struct Import<'i> {
    client: Arc<Client>,
    bad: &'i mut BadLines,
    tally: Tally,
}

/// What a request comes back with.
struct Arrived {
    order: u64,
    upto: u64,
    shipped: Shipped,
}

impl Import<'_> {
    async fn run<R: BufRead>(
        &mut self,
        lines: &mut Lines<R>,
        progress: &mut Progress,
        stderr: &mut dyn Write,
    ) -> Result<(), CliError> {
        let mut under_way = JoinSet::new();
        let (mut order, mut next, mut read) = (0, 0, 0);
        let mut arrived = BTreeMap::new();
        let mut wrong: Option<CliError> = None;
        let mut ended = false;
        loop {
            while wrong.is_none() && !ended && under_way.len() < IN_FLIGHT {
                match lines.piece() {
                    Ok(Some(piece)) => {
                        read = piece.bytes;
                        wrong = self.start(piece, order, &mut under_way).err();
                        order += 1;
                    }
                    Ok(None) => ended = true,
                    Err(error) => wrong = Some(error.into()),
                }
            }
            // Those under way are waited for even where something is wrong: what they bring is accepted.
            let Some(joined) = under_way.join_next().await else { break };
            let Arrived { order, upto, shipped } = joined.map_err(CliError::failed)?;
            // Of what ended early, only the lines before its bad one are through; what comes after it does not continue it.
            let through = if shipped.failed.is_some() { None } else { shipped.bad.first().map(|bad| bad.number - 1) };
            match (self.count(shipped), through) {
                (Ok(()), _) => drop(arrived.insert(order, (upto, order + 1))),
                (Err(error), through) => {
                    arrived.extend(through.map(|upto| (order, (upto, u64::MAX))));
                    wrong = wrong.or(Some(error));
                }
            }
            while let Some((upto, after)) = arrived.remove(&next) {
                (self.tally.whole, next) = (upto, after);
            }
            progress.at(stderr, read, &format!("{} accepted", self.tally.accepted))?;
        }
        wrong.map_or(Ok(()), Err)
    }

    /// Sends the lines of a piece. A bad line that nobody collects is an error, and nothing behind it is sent.
    fn start(&mut self, piece: Piece, order: u64, under_way: &mut JoinSet<Arrived>) -> Result<(), CliError> {
        let Piece { mut lines, bad, mut upto, .. } = piece;
        let mut outcome = Ok(());
        for bad in bad {
            if let Err(error) = self.bad.keep(&bad) {
                lines.retain(|line| line.number < bad.number);
                upto = bad.number - 1;
                outcome = Err(error);
                break;
            }
            self.tally.bad += 1;
        }
        let (client, skip) = (Arc::clone(&self.client), self.bad.path.is_some());
        under_way.spawn(async move { Arrived { order, upto, shipped: ship(&client, lines, skip).await } });
        outcome
    }

    fn count(&mut self, shipped: Shipped) -> Result<(), CliError> {
        self.tally.accepted += shipped.accepted;
        self.tally.duplicates += shipped.duplicates;
        self.tally.differing += shipped.differing;
        for bad in &shipped.bad {
            self.bad.keep(bad)?;
            self.tally.bad += 1;
        }
        shipped.failed.map_or(Ok(()), Err)
    }
}
