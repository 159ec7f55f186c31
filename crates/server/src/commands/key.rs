//! `key`: API keys of a running server; `create` makes one in the data directory of a stopped one as well.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use toktra_siem_base::clock::{Clock, SystemClock};
use toktra_siem_base::random::SystemRandom;
use toktra_siem_cli::client::{OrgOptions, ServerOptions};
use toktra_siem_cli::output::{EXIT_CODES, Output, Table, cell, items};
use toktra_siem_config::Config;
use toktra_siem_core::ids::{ApiKeyId, OrgId};
use toktra_siem_identity::api_keys;
use toktra_siem_store::{Actor, ApiKeyRecord, AuditEntry, Change, ConfigStore as _, Scope, StoreError};
use toktra_siem_store_sqlite::Sqlite;

use super::{CliError, World};
use crate::service::open_store;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an API key and show it, once
    ///
    /// Without --url the key is made in the data directory, for which the server has to be stopped: the way back in when no key is left.
    /// With --url a running server makes it, and an API key is needed that may.
    ///
    /// Example: toktra-siem key create --url http://127.0.0.1:8080 --name dashboard --scope siem:read
    #[command(after_help = EXIT_CODES)]
    Create(CreateOptions),
    /// List the keys of an org, and for platform keys those as well
    ///
    /// Example: toktra-siem key list
    #[command(after_help = EXIT_CODES)]
    List(ListOptions),
    /// Revoke a key: from now on it is refused
    ///
    /// Example: toktra-siem key revoke 0197a1b2-0000-7000-8000-000000000001
    #[command(after_help = EXIT_CODES)]
    Revoke(RevokeOptions),
}

/// All keys.
#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Which key.
#[derive(Debug, Args)]
pub struct RevokeOptions {
    /// Its id
    id: ApiKeyId,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Which key.
#[derive(Debug, Args)]
pub struct CreateOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// What it is for, for people
    #[arg(long, default_value = "command line")]
    name: String,
    /// What it may do; repeat for several [default: all of an org's]
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// A platform key instead: events of any org, and the orgs themselves
    #[arg(long, conflicts_with_all = ["scopes", "org"])]
    platform: bool,
    /// The org it belongs to [default: the default org, or with --url the org of the key in use]
    #[arg(long, value_name = "UUID")]
    org: Option<OrgId>,
    /// Answer as JSON: {"id":"…","key":"…"}
    #[arg(long)]
    json: bool,
}

fn scope(text: &str) -> Result<Scope, String> {
    let scope = serde_json::from_value(Value::from(text)).ok().filter(|scope| api_keys::ORG_SCOPES.contains(scope));
    scope.ok_or_else(|| "give events:write, siem:read, siem:write or admin".to_owned())
}

impl CreateOptions {
    fn scopes(&self) -> Vec<Scope> {
        match (self.platform, self.scopes.as_slice()) {
            (true, _) => vec![Scope::Platform],
            (false, []) => api_keys::ORG_SCOPES.to_vec(),
            (false, given) => given.to_vec(),
        }
    }
}

pub(super) async fn run(command: KeyCommand, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        KeyCommand::Create(options) => make(options, file, world).await,
        KeyCommand::List(options) => list(&options, world).await,
        KeyCommand::Revoke(options) => {
            let client = options.server.client(world)?;
            let answer = client.delete(&format!("/v1/api-keys/{}", options.id), None).await?;
            options.output.show(world, &answer, |out| writeln!(out, "Revoked."))
        }
    }
}

async fn list(options: &ListOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let keys = Value::Array(options.server.client(world)?.list("/v1/api-keys", None).await?);
    options.output.show(world, &keys, |out| {
        if items(&keys).is_empty() {
            return writeln!(out, "There are no keys but the one that the server was started with.");
        }
        let mut table = Table::new(&["NAME", "BEGINS WITH", "SCOPES", "MADE", "EXPIRES", "ID"]);
        for key in items(&keys) {
            table.row(["name", "prefix", "scopes", "created_at", "expires_at", "id"].map(|name| cell(key, name)));
        }
        table.write(out)
    })
}

async fn make(options: CreateOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    let (id, key) = if options.server.url.is_some() {
        by_server(&options, world).await?
    } else {
        if options.server.api_key.is_some() {
            return Err(CliError::Usage(
                "--api-key goes with --url: without it the key is made in the data directory.".to_owned(),
            ));
        }
        in_data_dir(&options, Config::load(file, &world.environment)?).await?
    };
    if options.json {
        writeln!(world.stdout, "{}", json!({ "id": id, "key": key.expose_secret() }))?;
    } else if world.terminal {
        writeln!(world.stdout, "The key, shown only now:\n\n    {}\n", key.expose_secret())?;
    } else {
        writeln!(world.stdout, "{}", key.expose_secret())?;
    }
    Ok(())
}

async fn by_server(options: &CreateOptions, world: &World<'_>) -> Result<(String, SecretString), CliError> {
    let client = options.server.client(world)?;
    let path = options.org.map_or("/v1/api-keys".to_owned(), |org| format!("/v1/api-keys?org_id={org}"));
    let answer = client.post(&path, &json!({ "name": options.name, "scopes": options.scopes() })).await?;
    match (answer["id"].as_str(), answer["key"].as_str()) {
        (Some(id), Some(key)) => Ok((id.to_owned(), key.into())),
        _ => Err(CliError::Failed("The server's answer holds no key. Is it of another version?".to_owned())),
    }
}

async fn in_data_dir(options: &CreateOptions, config: Config) -> Result<(String, SecretString), CliError> {
    if !Sqlite::is_in(&config.data_dir) {
        return Err(no_server(&config.data_dir));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(&config.data_dir, config.max_disk, Arc::clone(&clock)).map_err(CliError::failed)?;
    let made = create(options, &store, &*clock, &config.data_dir).await;
    store.close().await.map_err(CliError::failed)?;
    made
}

fn no_server(dir: &Path) -> CliError {
    CliError::Usage(format!(
        "There is no server's data in {}. Start the server there once, or name another directory with TOKTRA_SIEM_DATA_DIR.",
        dir.display()
    ))
}

async fn create(
    options: &CreateOptions,
    store: &Sqlite,
    clock: &dyn Clock,
    dir: &Path,
) -> Result<(String, SecretString), CliError> {
    let orgs = store.orgs().await.map_err(CliError::failed)?;
    let wanted = orgs.iter().find(|org| options.org.map_or(org.is_default, |id| org.id == id)).map(|org| org.id);
    let org = match (options.platform, wanted, options.org) {
        (true, _, _) => None,
        (false, Some(org), _) => Some(org),
        (false, None, Some(_)) => return Err(CliError::Usage("There is no org with this id.".to_owned())),
        (false, None, None) => return Err(no_server(dir)),
    };
    let now = clock.now();
    let (key, record) = api_keys::make(&SystemRandom, now, org, options.name.clone(), options.scopes());
    let id = record.id.to_string();
    let detail = json!({ "after": { "name": record.name, "prefix": record.prefix, "scopes": record.scopes } });
    let actor = Actor::from("command line");
    let record = ApiKeyRecord { created_by: Some(actor.name.clone()), ..record };
    let audit = AuditEntry { at: now, actor, action: "api_key.create".to_owned(), object: id.clone(), detail };
    let made: Result<(), StoreError> = store.create_key(Change { value: record, audit }).await;
    made.map_err(CliError::failed)?;
    Ok((id, key))
}
