//! `key`: API keys of a running server; `create` makes one in the data directory of a stopped one as well.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use toktra_siem_base::clock::{Clock, SystemClock};
use toktra_siem_base::random::SystemRandom;
use toktra_siem_cli::client::{Call, Client, ServerOptions, with_query};
use toktra_siem_cli::output::{EXIT_CODES, table};
use toktra_siem_cli::{cells, confirm};
use toktra_siem_config::Config;
use toktra_siem_core::ids::{ApiKeyId, OrgId};
use toktra_siem_identity::api_keys;
use toktra_siem_store::{Actor, ApiKeyRecord, AuditEntry, Change, ClockTrust, Scope, Store, StoreError};
use toktra_siem_wire::{ApiKey, ApiKeyMade, ApiKeyRevoked, Lenient, Name, NewKey};

use super::{CliError, World, not_opened};
use crate::service::{at_rest, open_store};

/// Whom the audit log names for what is done in the data directory.
const ACTOR: &str = "command line";

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an API key and show it, once
    ///
    /// A running server makes it, named by --url or TOKTRA_SIEM_URL, and an API key is needed that may. Where neither names one, or with
    /// --local, it is made in the data directory, for which the server has to be stopped: the way back in when no key is left.
    ///
    /// What the key may do is asked for on a terminal, and has to be given with --scope elsewhere. A key that cannot be shown, because
    /// standard output is closed or full, is revoked at once.
    ///
    /// Example: toktra-siem key create --url http://127.0.0.1:8080 --name dashboard --scope siem:read
    #[command(after_help = EXIT_CODES)]
    Create(CreateOptions),
    /// List the keys of an org, and for platform keys those as well
    ///
    /// Example: toktra-siem key list
    #[command(after_help = EXIT_CODES)]
    List(Call),
    /// Revoke a key: from now on it is refused
    ///
    /// Example: toktra-siem key revoke 0197a1b2-0000-7000-8000-000000000001
    #[command(after_help = EXIT_CODES)]
    Revoke(RevokeOptions),
}

/// Which key.
#[derive(Debug, Args)]
pub struct RevokeOptions {
    /// Its id
    id: ApiKeyId,
    #[command(flatten)]
    call: Call,
}

/// Which key.
#[derive(Debug, Args)]
pub struct CreateOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// What it is for, for people
    #[arg(long, default_value = "command line")]
    name: String,
    /// What it may do: events:write, siem:read, siem:write, admin; repeat for several [default: you are asked]
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// A platform key instead: events of any org, and the orgs themselves
    #[arg(long, conflicts_with_all = ["scopes", "org"])]
    platform: bool,
    /// The org it belongs to [default: the org of the key in use, or in the data directory the default org]
    #[arg(long, value_name = "UUID")]
    org: Option<OrgId>,
    /// Make it in the data directory of this machine, whatever TOKTRA_SIEM_URL says
    #[arg(long, conflicts_with_all = ["url", "api_key"])]
    local: bool,
    /// Answer as JSON: {"id":"…","key":"…"}
    #[arg(long)]
    json: bool,
}

fn scope(text: &str) -> Result<Scope, String> {
    let scope = serde_json::from_value(Value::from(text)).ok().filter(|scope| api_keys::ORG_SCOPES.contains(scope));
    scope.ok_or_else(|| "give events:write, siem:read, siem:write or admin".to_owned())
}

/// What a person is asked. Nobody gets a key that may do everything without saying so.
const QUESTION: &str = "What may the key do?
  events:write  post events
  siem:read     look at connectors, deliveries and events
  siem:write    change connectors, deliver again
  admin         all of that, and keys, users and the audit log
One or more, separated by spaces: ";

impl CreateOptions {
    fn scopes(&self, world: &mut World<'_>) -> Result<Vec<Scope>, CliError> {
        if self.platform {
            return Ok(vec![Scope::Platform]);
        }
        if !self.scopes.is_empty() {
            return Ok(self.scopes.clone());
        }
        if !confirm::can_ask(world) {
            return Err(CliError::Usage(
                "What may the key do? Give --scope once or more: events:write, siem:read, siem:write or admin; or --platform. Nothing was \
                 done."
                    .to_owned(),
            ));
        }
        let answer = confirm::line(QUESTION, world)?;
        let words = answer.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        let named = words.map(|word| scope(word).map_err(|why| (word, why))).collect::<Result<Vec<_>, _>>();
        match named {
            Ok(scopes) if !scopes.is_empty() => Ok(scopes),
            Ok(_) => Err(CliError::Usage("No scope was named. Nothing was done.".to_owned())),
            Err((given, why)) => Err(CliError::Usage(format!("\"{given}\" is no scope; {why}. Nothing was done."))),
        }
    }
}

/// A key that was made, and where.
struct Made {
    id: ApiKeyId,
    key: SecretString,
    /// With which a server revokes it again.
    server: Option<(Client, String)>,
}

pub(super) async fn run(command: KeyCommand, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        KeyCommand::Create(options) => make(options, file, world).await,
        KeyCommand::List(call) => list(&call, world).await,
        KeyCommand::Revoke(RevokeOptions { id, call }) => {
            let answer =
                call.server.client(world)?.delete::<ApiKeyRevoked>(&format!("/v1/api-keys/{id}"), None).await?;
            call.output.done(world, &answer, |_| "Revoked.".to_owned())
        }
    }
}

async fn list(call: &Call, world: &mut World<'_>) -> Result<(), CliError> {
    let keys = call.server.client(world)?.list::<ApiKey<Lenient>>("/v1/api-keys", None).await?;
    call.output.show(world, &keys, |keys| {
        if keys.is_empty() {
            return "There are no keys but the one that the server was started with.".to_owned();
        }
        let rows =
            keys.iter().map(|key| cells![key.name, key.prefix, key.scopes, key.created_at, key.expires_at, key.id]);
        table(["NAME", "BEGINS WITH", "SCOPES", "MADE", "EXPIRES", "ID"], rows)
    })
}

async fn make(options: CreateOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    world.needs_reader()?;
    let on_server = !options.local && options.server.names_one(world)?;
    if !on_server && options.server.api_key.is_some() {
        return Err(CliError::Usage(
            "--api-key goes with --url or TOKTRA_SIEM_URL: without them the key is made in the data directory."
                .to_owned(),
        ));
    }
    // Where it cannot be made at all, nobody is asked first.
    let config = if on_server { None } else { Some(data_dir(Config::load(file, &world.environment)?)?) };
    let scopes = options.scopes(world)?;
    let made = match &config {
        None => by_server(&options, scopes, world).await?,
        Some(config) => in_data_dir(&options, scopes, config).await?,
    };
    let key = made.key.expose_secret();
    let text = if options.json {
        format!("{}\n", json!({ "id": made.id, "key": key }))
    } else if world.terminal {
        format!("The key, shown only now:\n\n    {key}\n\n")
    } else {
        format!("{key}\n")
    };
    let undo = async || match (&made.server, &config) {
        (Some((client, path)), _) => client.undo(path).await,
        (None, Some(config)) => revoke(made.id, config).await,
        (None, None) => Ok(()),
    };
    world.made(&format!("the key {}", made.id), &text, undo).await
}

async fn by_server(options: &CreateOptions, scopes: Vec<Scope>, world: &World<'_>) -> Result<Made, CliError> {
    let client = options.server.client(world)?;
    let org = options.org.map(|org| org.to_string());
    let path = with_query("/v1/api-keys", &[("org_id", org.clone())]);
    let body = NewKey { name: Name(options.name.clone()), scopes, expires_at: None };
    let ApiKeyMade::<Lenient> { record, key } = client.post(&path, &body).await?.read()?;
    let path = with_query(&format!("/v1/api-keys/{}", record.id), &[("org_id", org)]);
    Ok(Made { id: record.id, key: key.0, server: Some((client, path)) })
}

fn data_dir(config: Config) -> Result<Config, CliError> {
    let is_there = at_rest(&config.data_dir).exists().map_err(|error| not_opened(&error))?;
    if is_there { Ok(config) } else { Err(no_server(&config.data_dir)) }
}

/// Does `work` with the store in the data directory.
async fn with_store<T>(
    config: &Config,
    work: impl AsyncFnOnce(&dyn Store, &dyn Clock) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(&config.data_dir, config.max_disk, Arc::clone(&clock), ClockTrust::Steady)
        .map_err(CliError::failed)?;
    let done = work(&*store, &*clock).await;
    store.close().await.map_err(CliError::failed)?;
    done
}

async fn in_data_dir(options: &CreateOptions, scopes: Vec<Scope>, config: &Config) -> Result<Made, CliError> {
    let work =
        async |store: &dyn Store, clock: &dyn Clock| create(options, scopes, store, clock, &config.data_dir).await;
    with_store(config, work).await
}

/// Revokes a key in the data directory, wherever it belongs.
async fn revoke(id: ApiKeyId, config: &Config) -> Result<(), CliError> {
    let work = async |store: &dyn Store, clock: &dyn Clock| {
        let (actor, action, object) = (Actor::from(ACTOR), "api_key.revoke".to_owned(), id.to_string());
        let audit = AuditEntry { at: clock.now(), actor, action, object, detail: json!({}) };
        for org in store.orgs().await.map_err(CliError::failed)? {
            match store.revoke_key(org.id, id, audit.clone()).await {
                Err(StoreError::NotFound) => {}
                revoked => return revoked.map_err(CliError::failed),
            }
        }
        store.revoke_platform_key(id, audit).await.map_err(CliError::failed)
    };
    with_store(config, work).await
}

pub(super) fn no_server(dir: &Path) -> CliError {
    CliError::Usage(format!(
        "There is no server's data in {}. Start the server there once, or name another directory with TOKTRA_SIEM_DATA_DIR.",
        dir.display()
    ))
}

async fn create(
    options: &CreateOptions,
    scopes: Vec<Scope>,
    store: &dyn Store,
    clock: &dyn Clock,
    dir: &Path,
) -> Result<Made, CliError> {
    let orgs = store.orgs().await.map_err(CliError::failed)?;
    let wanted = orgs.iter().find(|org| options.org.map_or(org.is_default, |id| org.id == id)).map(|org| org.id);
    let org = match (options.platform, wanted, options.org) {
        (true, _, _) => None,
        (false, Some(org), _) => Some(org),
        (false, None, Some(_)) => return Err(CliError::Usage("There is no org with this id.".to_owned())),
        (false, None, None) => return Err(no_server(dir)),
    };
    let now = clock.now();
    let (key, record) = api_keys::make(&SystemRandom, now, org, options.name.clone(), scopes);
    let id = record.id;
    let detail = json!({ "after": { "name": record.name, "prefix": record.prefix, "scopes": record.scopes } });
    let actor = Actor::from(ACTOR);
    let record = ApiKeyRecord { created_by: Some(actor.name.clone()), ..record };
    let audit = AuditEntry { at: now, actor, action: "api_key.create".to_owned(), object: id.to_string(), detail };
    let made: Result<(), StoreError> = store.create_key(Change { value: record, audit }).await;
    made.map_err(CliError::failed)?;
    Ok(Made { id, key, server: None })
}
