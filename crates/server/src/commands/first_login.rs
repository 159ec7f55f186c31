//! `first-login`: another one-time link to the first account, for whoever has lost the one of the start, or cannot get at it.

use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::json;
use toktra_siem_base::random::{Random as _, SystemRandom};
use toktra_siem_cli::output::Output;
use toktra_siem_config::{Config, value};
use toktra_siem_store::StoreError;

use super::{CliError, World, not_opened};
use crate::service::{FIRST_LOGIN_FILE, at_rest, explained, first_link, remove_private};

/// The address that the link begins with, and the form of the output.
#[derive(Debug, Args)]
pub struct FirstLoginOptions {
    /// Where the page is reached [default: the setting public_url, or the address that the server listens on]
    #[arg(long, value_name = "URL", value_parser = value::page)]
    url: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(options: &FirstLoginOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    let config = Config::load(file, &world.environment)?;
    let dir = &config.data_dir;
    match at_rest(dir).has_people() {
        Ok(false) => {}
        Ok(true) => return Err(CliError::Failed(HAS_PEOPLE.to_owned())),
        Err(StoreError::NotFound) => return Err(super::key::no_server(dir)),
        Err(error) => return Err(not_opened(&error)),
    }
    let page = match &options.url {
        Some(url) => url.clone(),
        None => known(config.public_url.as_deref(), config.listen)?,
    };
    let token = SystemRandom.secret();
    let link = first_link::address(&page, &token);
    let failed = |error: &std::io::Error| CliError::Failed(format!("No link was made: {}.", explained(dir, error)));
    first_link::renew(dir, &token).map_err(|error| failed(&error))?;
    // What it holds is void now.
    remove_private(&dir.join(FIRST_LOGIN_FILE)).map_err(|error| failed(&error))?;
    let link = link.expose_secret();
    let text = format!(
        "Open this link to create the first admin account. It works once, while the server runs; every older link is void.\n\n    {link}\n"
    );
    world.answer(&options.output.rendered(&json!({ "link": link }), || Ok(text))?)
}

const HAS_PEOPLE: &str = "\
Somebody has an account already, and a one-time link only creates the first one. No link was made.
  - An admin can add you, or give you a new password: on the page under Users, or with `toktra-siem user create` and
    `toktra-siem user update … --password-file FILE`.
  - If no admin can log in, use an API key with the scope admin for these commands. If you have none, stop the server, run
    `toktra-siem key create --local --scope admin`, and start it again.";

/// The page's address, if the configuration tells it.
fn known(public_url: Option<&str>, listen: SocketAddr) -> Result<String, CliError> {
    if public_url.is_none() && listen.port() == 0 {
        return Err(CliError::Usage(
            "The server takes whatever port is free, so that this command does not know its address. Give it with --url.".to_owned(),
        ));
    }
    Ok(first_link::page(public_url, listen))
}
