//! `org`, `user`, `audit`: tenants, people, and who did what.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{GivenPassword, Name, NewOrg, NewUser, Org, OrgChange, OrgRemoved, UserChange, UserDeleted};
use uuid::Uuid;

use super::answer::{AuditEntry, User};
use super::client::{Call, Client, ServerOptions, with_query};
use super::given::{time, word};
use super::output::{EXIT_CODES, table};
use super::{CliError, World, cells, confirm, secret};

/// What can be done with orgs.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// List the orgs
    ///
    /// Example: toktra-siem org list
    #[command(after_help = EXIT_CODES)]
    List(Call<ServerOptions>),
    /// Make an org
    ///
    /// Example: toktra-siem org create "Acme" --id 7d0f6c1e-0000-4000-8000-000000000001
    #[command(after_help = EXIT_CODES)]
    Create(CreateOrg),
    /// Give an org another name
    ///
    /// Example: toktra-siem org rename 7d0f6c1e-0000-4000-8000-000000000001 "Acme Ltd"
    #[command(after_help = EXIT_CODES)]
    Rename(RenameOrg),
    /// Delete an org with everything in it: connectors, keys, people, events, history
    ///
    /// Example: toktra-siem org delete 7d0f6c1e-0000-4000-8000-000000000001 --yes
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteOrg),
}

/// A new org.
#[derive(Debug, Args)]
pub struct CreateOrg {
    /// Its name
    name: String,
    /// Its id, where it is known by one already [default: one is made]
    #[arg(long, value_name = "UUID")]
    id: Option<OrgId>,
    #[command(flatten)]
    call: Call<ServerOptions>,
}

/// Which org, and its name.
#[derive(Debug, Args)]
pub struct RenameOrg {
    /// Its id
    id: OrgId,
    /// Its new name
    name: String,
    #[command(flatten)]
    call: Call<ServerOptions>,
}

/// Which org goes.
#[derive(Debug, Args)]
pub struct DeleteOrg {
    /// Its id
    id: OrgId,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    call: Call<ServerOptions>,
}

pub(super) async fn orgs(command: OrgCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        OrgCommand::List(call) => {
            let all = call.server.client(world)?.list::<Org>("/v1/orgs", None).await?;
            let default = |org: &Org| if org.is_default { "default" } else { "" };
            call.output.show(world, &all, |orgs| {
                let rows = orgs.iter().map(|org| cells![org.name, default(org), org.created_at, org.id]);
                table(["NAME", "DEFAULT", "MADE", "ID"], rows)
            })
        }
        OrgCommand::Create(options) => {
            let client = options.call.server.client(world)?;
            let body = NewOrg { name: Name(options.name), id: options.id };
            let made = client.post::<Org>("/v1/orgs", &body).await?;
            let Org { id, name, .. } = made.read()?;
            let said = options.call.output.rendered(&made, || Ok(format!("Made: {name}, id {id}.")))?;
            world.made(&format!("the org {id}"), &said, async || client.undo(&format!("/v1/orgs/{id}")).await).await
        }
        OrgCommand::Rename(options) => {
            let body = OrgChange { name: Some(options.name) };
            let path = format!("/v1/orgs/{}", options.id);
            let org = options.call.server.client(world)?.patch::<Org>(&path, &body, None).await?;
            options.call.output.done(world, &org, |org| format!("Renamed: {}.", org.name))
        }
        OrgCommand::Delete(options) => {
            let client = options.call.server.client(world)?;
            let path = format!("/v1/orgs/{}", options.id);
            let name = client.get::<Org>(&path).await?.read()?.name;
            let question = format!(
                "This deletes the org \"{name}\" with its connectors, keys, people, events and history; what waits for delivery is lost."
            );
            confirm::ask(&question, options.yes, world)?;
            let answer = client.delete::<OrgRemoved>(&path, None).await?;
            options.call.output.done(world, &answer, |_| format!("Deleted: {name}."))
        }
    }
}

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the people of an org
    ///
    /// Example: toktra-siem user list
    #[command(after_help = EXIT_CODES)]
    List(Call),
    /// Let a person in
    ///
    /// Example: toktra-siem user create ada@company.com --name "Ada" --role admin --password-file password
    #[command(after_help = EXIT_CODES)]
    Create(CreateUser),
    /// Change a person's name, role or password
    ///
    /// Example: toktra-siem user update ada@company.com --role viewer
    #[command(after_help = EXIT_CODES)]
    Update(UpdateUser),
    /// Take a person's access away, at once
    ///
    /// Example: toktra-siem user delete ada@company.com --yes
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteUser),
}

/// A new person.
#[derive(Debug, Args)]
pub struct CreateUser {
    /// The login
    email: String,
    /// How they are called
    #[arg(long)]
    name: Option<String>,
    /// What they may do
    #[arg(long, default_value = "viewer", value_parser = word::<Role>(&["admin", "viewer"]))]
    role: Role,
    /// The password, in a file or on standard input (-)
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    #[command(flatten)]
    call: Call,
}

/// Which person, and what changes.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateUser {
    /// The person: their login or id
    user: String,
    /// Another name
    #[arg(long, group = "change")]
    name: Option<String>,
    /// Another role
    #[arg(long, group = "change", value_parser = word::<Role>(&["admin", "viewer"]))]
    role: Option<Role>,
    /// Another password, in a file or on standard input (-)
    #[arg(long, group = "change", value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    call: Call,
}

/// Which person goes.
#[derive(Debug, Args)]
pub struct DeleteUser {
    /// The person: their login or id
    user: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn users(command: UserCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        UserCommand::List(call) => {
            let all = call.server.client(world)?.list::<User>("/v1/users", None).await?;
            call.output.show(world, &all, |users| {
                if users.is_empty() {
                    return "There are no people yet. `toktra-siem user create` lets one in.".to_owned();
                }
                let rows = users.iter().map(|u| cells![u.email, u.name, u.role, u.last_login_at, u.id]);
                table(["LOGIN", "NAME", "ROLE", "LAST LOGIN", "ID"], rows)
            })
        }
        UserCommand::Create(options) => {
            let password = Some(GivenPassword(secret::read(&options.password_file, world)?));
            let name = options.name.unwrap_or_else(|| options.email.split('@').next().unwrap_or_default().to_owned());
            let CreateUser { email, role, call, .. } = options;
            let client = call.server.client(world)?;
            let body = NewUser { email, name: Name(name), role, password, make_password: false };
            let made = client.post::<User>("/v1/users", &body).await?;
            let User { id, email, role, .. } = made.read()?;
            let said = call.output.rendered(&made, || Ok(format!("Made: {email} ({role}), id {id}.")))?;
            world.made(&format!("the user {id}"), &said, async || client.undo(&format!("/v1/users/{id}")).await).await
        }
        UserCommand::Update(options) => {
            let UpdateUser { user, name, role, password_file, call } = options;
            let password = password_file.map(|file| secret::read(&file, world)).transpose()?.map(GivenPassword);
            let body = UserChange { name, role, password, ..UserChange::default() };
            let client = call.server.client(world)?;
            let user = find(&client, &user).await?;
            let user = client.patch::<User>(&format!("/v1/users/{}", user.id), &body, None).await?;
            call.output.done(world, &user, |user| format!("Saved: {} ({}).", user.email, user.role))
        }
        UserCommand::Delete(options) => {
            let client = options.call.server.client(world)?;
            let User { id, email, .. } = find(&client, &options.user).await?;
            confirm::ask(&format!("This takes the access of {email} away."), options.yes, world)?;
            let answer = client.delete::<UserDeleted>(&format!("/v1/users/{id}"), None).await?;
            options.call.output.done(world, &answer, |_| format!("Deleted: {email}."))
        }
    }
}

/// The person with this login or id.
async fn find(client: &Client, text: &str) -> Result<User, CliError> {
    if let Ok(id) = Uuid::try_parse(text) {
        return client.get(&format!("/v1/users/{id}")).await?.read();
    }
    let all = client.list::<User>("/v1/users", None).await?.read()?;
    all.into_iter().find(|user| user.email.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
        CliError::Usage(format!("There is nobody with the login \"{text}\". `toktra-siem user list` shows all."))
    })
}

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List who did what, and when; the newest first
    ///
    /// Example: toktra-siem audit list --action connector. --from 7d
    #[command(after_help = EXIT_CODES)]
    List(ListAudit),
}

/// What of it, and how much.
#[derive(Debug, Args)]
pub struct ListAudit {
    /// By this actor: a name or an id
    #[arg(long)]
    actor: Option<String>,
    /// What was done, or how that begins, such as `connector.`
    #[arg(long)]
    action: Option<String>,
    /// To the object with this id
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// At or after this time, such as 2025-01-15T10:30:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 25)]
    limit: usize,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn audit(command: AuditCommand, world: &mut World<'_>) -> Result<(), CliError> {
    let AuditCommand::List(options) = command;
    let parameters = [
        ("actor", options.actor),
        ("action", options.action),
        ("object", options.object),
        ("from", options.from.map(|at| at.to_string())),
        ("to", options.to.map(|at| at.to_string())),
    ];
    let path = with_query("/v1/audit", &parameters);
    let entries = options.call.server.client(world)?.list::<AuditEntry>(&path, Some(options.limit)).await?;
    options.call.output.show(world, &entries, |entries| {
        let rows = entries.iter().map(|entry| cells![entry.at, entry.actor, entry.action, entry.object]);
        table(["TIME", "WHO", "WHAT", "OBJECT"], rows)
    })
}
