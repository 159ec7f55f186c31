//! `serve`: the server itself, and its first line of output.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use toktra_siem_config::Config;
use toktra_siem_telemetry::log::LogFormat;

use super::{CliError, World, notify, signals};
use crate::service::{FIRST_KEY_FILE, FIRST_LOGIN_FILE, Service, remove_private, write_private};
use crate::supervisor::Ended;

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
            tracing::error!(%error, "the server ends");
            CliError::Logged(error.to_string())
        }
    })
}

async fn serve(config: Config, world: &mut World<'_>) -> Result<(), CliError> {
    let files = Handed { key: config.data_dir.join(FIRST_KEY_FILE), link: config.data_dir.join(FIRST_LOGIN_FILE) };
    // Before anything is started: a signal that comes early ends the server in order as well.
    let asked = signals::asked_to_end()?;
    let service = Service::start(config).await.map_err(CliError::failed)?;
    if let Err(error) = greet(&service, &files, world) {
        // Nobody has what was to be handed out: none of it may be left, and the next start makes it anew.
        let given_up = service.give_up().await.map_err(CliError::failed);
        return Err(given_up.err().unwrap_or(error));
    }
    service.first_key_handed_out().await.map_err(CliError::failed)?;
    notify::ready(&format!("http://{}", service.address()));
    let _watched = notify::alive();
    let asked = async {
        asked.await;
        notify::stopping();
    };
    match service.run_until(asked).await.map_err(CliError::failed)? {
        Ended::Clean | Ended::CutOff(_) => Ok(()),
        Ended::Failed { task, error } => Err(CliError::Failed(format!(
            "The server ended because a part of it failed ({task}): {error}. The log says more."
        ))),
    }
}

/// Says where the server listens, first of all, and hands out the first key and the link to the first account, where they were made: on a
/// terminal, and in files where there is none, or where it does not take them.
fn greet(service: &Service, files: &Handed, world: &mut World<'_>) -> Result<(), CliError> {
    let url = format!("http://{}", service.address());
    // An older link is void, wherever this one is shown.
    remove_private(&files.link).map_err(|error| unwritten(&files.link, &error))?;
    if world.terminal && world.write(&introduction(service, &url)).is_ok() {
        return Ok(());
    }
    // Files first: whoever waits for the line may read them.
    if let Some(key) = service.first_key() {
        write_private(&files.key, key).map_err(|error| {
            CliError::Failed(format!(
                "The first API key could not be written to {}: {error}. Nothing was kept of it. Move that file away if it is there, check the \
                 permissions of the data directory, and start again.",
                files.key.display()
            ))
        })?;
        tracing::info!(file = %files.key.display(), "the first API key was made; move it to a safe place and remove the file");
    }
    if let Some(link) = &service.first_login()
        && let Err(error) = hand_link(link, &files.link)
    {
        // The key goes with the start that failed, and so does its file.
        if service.first_key().is_some() {
            remove_private(&files.key)?;
        }
        return Err(error);
    }
    if let Err(error) = world.write(&format!("{}\n", json!({ "listening": url }))) {
        // The log says where it listens, and a server is there for others than whoever started it.
        tracing::warn!(%error, "standard output cannot be written to; the server goes on");
    }
    Ok(())
}

/// What a person at a terminal is told.
fn introduction(service: &Service, url: &str) -> String {
    let page = match service.first_login() {
        Some(link) => format!(
            "\nNobody has an account yet. Open this link to make the first one; it works once:\n\n    {}\n",
            link.expose_secret()
        ),
        None => format!("The page: {}\n", service.page()),
    };
    let key = service.first_key().map(|key| {
        format!(
            "\nYour first API key, shown only now:\n\n    {}\n\nSend an event with it:\n\n    \
             curl {url}/v1/events -H 'Authorization: Bearer <key>' \\\n      -H 'Content-Type: application/json' \\\n      \
             -d '{{\"event_type\":\"anomaly\",\"severity\":\"high\"}}'\n\n",
            key.expose_secret()
        )
    });
    format!(
        "Toktra SIEM listens on {url}. Ctrl-C ends it; what waits then is delivered at the next start.\n{page}{}",
        key.unwrap_or_default()
    )
}

fn hand_link(link: &SecretString, file: &Path) -> Result<(), CliError> {
    write_private(file, link).map_err(|error| unwritten(file, &error))?;
    tracing::info!(
        file = %file.display(),
        "nobody has an account yet; the file holds the link to make the first one. It works once, and until the next start; `toktra-siem \
         first-login` prints another"
    );
    Ok(())
}

fn unwritten(file: &Path, error: &std::io::Error) -> CliError {
    let file = file.display();
    CliError::Failed(format!(
        "The link to the first account could not be put into {file}: {error}. Check the permissions of the data directory, and start again."
    ))
}
