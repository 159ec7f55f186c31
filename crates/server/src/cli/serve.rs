//! `serve`: the server itself, and its first line of output.

use std::path::Path;

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{CliError, World, signals};
use crate::config::{Config, LogFormat};
use crate::service::{Service, write_private};
use crate::supervisor::Ended;
use crate::telemetry;

/// Where the first key goes where nobody looks at a terminal.
const FIRST_KEY_FILE: &str = "first-api-key";

pub(super) async fn run(config: Config, world: &mut World<'_>) -> Result<(), CliError> {
    let format = config.log;
    telemetry::log::init(format, &config.log_level);
    serve(config, world).await.map_err(|error| match format {
        LogFormat::Text => error,
        // Whoever reads JSON gets nothing else, to the last word.
        LogFormat::Json => {
            tracing::error!("{error}");
            CliError::Logged(error.to_string())
        }
    })
}

async fn serve(config: Config, world: &mut World<'_>) -> Result<(), CliError> {
    let first_key_file = config.data_dir.join(FIRST_KEY_FILE);
    // Before anything is started: a signal that comes early ends the server in order as well.
    let asked = signals::asked_to_end()?;
    let service = Service::start(config).await.map_err(CliError::failed)?;
    greet(&service, &first_key_file, world)?;
    match service.run_until(asked).await.map_err(CliError::failed)? {
        Ended::Clean => Ok(()),
        Ended::CutOff(tasks) => {
            let tasks = tasks.join(", ");
            tracing::warn!(
                tasks,
                "the grace period ended before these tasks did; what they left continues at the next start"
            );
            Ok(())
        }
        Ended::Failed { task, error } => Err(CliError::Failed(format!(
            "The server ended because a part of it failed ({task}): {error}. The log says more."
        ))),
    }
}

/// Says where the server listens, first of all, and hands out the first key where one was made.
fn greet(service: &Service, first_key_file: &Path, world: &mut World<'_>) -> Result<(), CliError> {
    let url = format!("http://{}", service.address());
    if !world.terminal {
        // The key first: whoever waits for the line may read the file.
        if let Some(key) = service.first_key() {
            write_private(first_key_file, key).map_err(|error| {
                let path = first_key_file.display();
                CliError::Failed(format!(
                    "The first API key could not be written to {path}: {error}. Make one with `key create`."
                ))
            })?;
            tracing::info!(file = %first_key_file.display(), "the first API key was made; move it to a safe place and remove the file");
        }
        writeln!(world.stdout, "{}", json!({ "listening": url }))?;
        return Ok(world.stdout.flush()?);
    }
    writeln!(
        world.stdout,
        "Toktra SIEM listens on {url}. Ctrl-C ends it; what waits then is delivered at the next start."
    )?;
    if let Some(key) = service.first_key() {
        writeln!(world.stdout, "\nYour first API key, shown only now:\n\n    {}\n", key.expose_secret())?;
        writeln!(world.stdout, "Send an event with it:\n")?;
        writeln!(
            world.stdout,
            "    curl {url}/v1/events -H 'Authorization: Bearer <key>' \\\n      -H 'Content-Type: application/json' \\"
        )?;
        writeln!(world.stdout, "      -d '{{\"event_type\":\"anomaly\",\"severity\":\"high\"}}'\n")?;
    }
    world.stdout.flush()?;
    Ok(())
}
