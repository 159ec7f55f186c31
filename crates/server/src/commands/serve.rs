//! `serve`: the server itself, and its first line of output.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use toktra_siem_config::Config;
use toktra_siem_telemetry::log::LogFormat;

use super::{CliError, World, signals};
use crate::service::{Service, remove_private, write_private};
use crate::supervisor::Ended;

/// Where the first key goes where nobody looks at a terminal.
const FIRST_KEY_FILE: &str = "first-api-key";
/// And the link to the first account.
const FIRST_LOGIN_FILE: &str = "first-login-link";

/// Files in the data directory for what is to be handed out, each for the server's user alone.
struct Handed {
    key: PathBuf,
    link: PathBuf,
}

pub(super) async fn run(config: Config, world: &mut World<'_>) -> Result<(), CliError> {
    let format = config.log;
    toktra_siem_telemetry::log::init(format, &config.log_level);
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
    let files = Handed { key: config.data_dir.join(FIRST_KEY_FILE), link: config.data_dir.join(FIRST_LOGIN_FILE) };
    // Before anything is started: a signal that comes early ends the server in order as well.
    let asked = signals::asked_to_end()?;
    let service = Service::start(config).await.map_err(CliError::failed)?;
    greet(&service, &files, world)?;
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

/// Says where the server listens, first of all, and hands out the first key and the link to the first account, where they were made.
fn greet(service: &Service, files: &Handed, world: &mut World<'_>) -> Result<(), CliError> {
    let url = format!("http://{}", service.address());
    let link = service.first_login();
    // An older link is void, wherever this one is shown.
    remove_private(&files.link).map_err(|error| unwritten(&files.link, &error))?;
    if !world.terminal {
        // Files first: whoever waits for the line may read them.
        if let Some(key) = service.first_key() {
            write_private(&files.key, key).map_err(|error| {
                let path = files.key.display();
                CliError::Failed(format!(
                    "The first API key could not be written to {path}: {error}. Make one with `key create`."
                ))
            })?;
            tracing::info!(file = %files.key.display(), "the first API key was made; move it to a safe place and remove the file");
        }
        if let Some(link) = &link {
            hand_link(link, &files.link)?;
        }
        writeln!(world.stdout, "{}", json!({ "listening": url }))?;
        return Ok(world.stdout.flush()?);
    }
    writeln!(
        world.stdout,
        "Toktra SIEM listens on {url}. Ctrl-C ends it; what waits then is delivered at the next start."
    )?;
    match &link {
        Some(link) => writeln!(
            world.stdout,
            "\nNobody has an account yet. Open this link to make the first one; it works once:\n\n    {}",
            link.expose_secret()
        )?,
        None => writeln!(world.stdout, "The page: {}", service.page())?,
    }
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

fn hand_link(link: &SecretString, file: &Path) -> Result<(), CliError> {
    write_private(file, link).map_err(|error| unwritten(file, &error))?;
    tracing::info!(
        file = %file.display(),
        "nobody has an account yet; the file holds the link to make the first one. It works once, and until the next start"
    );
    Ok(())
}

fn unwritten(file: &Path, error: &std::io::Error) -> CliError {
    let file = file.display();
    CliError::Failed(format!(
        "The link to the first account could not be put into {file}: {error}. Check the permissions of the data directory, and start again."
    ))
}
