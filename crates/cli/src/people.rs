//! `org`, `user`, `audit`: tenants, people, and who did what.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use toktra_siem_core::ids::OrgId;
use uuid::Uuid;

use super::client::{Client, OrgOptions, ServerOptions, with_query};
use super::output::{EXIT_CODES, Output, Table, cell, items};
use super::times::{self, Time};
use super::{CliError, World, confirm, secret};

/// What can be done with orgs.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// List the orgs
    ///
    /// Example: toktra-siem org list
    #[command(after_help = EXIT_CODES)]
    List(ListOrgs),
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

/// All orgs.
#[derive(Debug, Args)]
pub struct ListOrgs {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    output: Output,
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
    server: ServerOptions,
    #[command(flatten)]
    output: Output,
}

/// Which org, and its name.
#[derive(Debug, Args)]
pub struct RenameOrg {
    /// Its id
    id: OrgId,
    /// Its new name
    name: String,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    output: Output,
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
    server: ServerOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn orgs(command: OrgCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        OrgCommand::List(options) => {
            let all = Value::Array(options.server.client(world)?.list("/v1/orgs", None).await?);
            options.output.show(world, &all, |out| {
                let mut table = Table::new(&["NAME", "DEFAULT", "MADE", "ID"]);
                for org in items(&all) {
                    let default = if org["is_default"] == true { "default" } else { "" };
                    table.row([cell(org, "name"), default.to_owned(), cell(org, "created_at"), cell(org, "id")]);
                }
                table.write(out)
            })
        }
        OrgCommand::Create(options) => {
            let mut body = json!({ "name": options.name });
            if let Some(id) = options.id {
                body["id"] = json!(id);
            }
            let client = options.server.client(world)?;
            let org = client.post("/v1/orgs", &body).await?;
            let (name, id) = (cell(&org, "name"), cell(&org, "id"));
            let undo = async || client.delete(&format!("/v1/orgs/{id}"), None).await.map(drop);
            let said = |out: &mut dyn Write| writeln!(out, "Made: {name}, id {id}.");
            options.output.made(world, &format!("the org {id}"), &org, said, undo).await
        }
        OrgCommand::Rename(options) => {
            let client = options.server.client(world)?;
            let org = client.patch(&format!("/v1/orgs/{}", options.id), &json!({ "name": options.name }), None).await?;
            options.output.done(world, &org, |out| writeln!(out, "Renamed: {}.", cell(&org, "name")))
        }
        OrgCommand::Delete(options) => {
            let client = options.server.client(world)?;
            let path = format!("/v1/orgs/{}", options.id);
            let name = cell(&client.get(&path).await?, "name");
            let question = format!(
                "This deletes the org \"{name}\" with its connectors, keys, people, events and history; what waits for delivery is lost."
            );
            confirm::ask(&question, options.yes, world)?;
            let answer = client.delete(&path, None).await?;
            options.output.done(world, &answer, |out| writeln!(out, "Deleted: {name}."))
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
    List(ListUsers),
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

/// All people.
#[derive(Debug, Args)]
pub struct ListUsers {
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
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
    #[arg(long, default_value = "viewer", value_parser = ["admin", "viewer"])]
    role: String,
    /// The password, in a file or on standard input (-)
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
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
    #[arg(long, group = "change", value_parser = ["admin", "viewer"])]
    role: Option<String>,
    /// Another password, in a file or on standard input (-)
    #[arg(long, group = "change", value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
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
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn users(command: UserCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        UserCommand::List(options) => {
            let all = Value::Array(options.server.client(world)?.list("/v1/users", None).await?);
            options.output.show(world, &all, |out| {
                if items(&all).is_empty() {
                    return writeln!(out, "There are no people yet. `toktra-siem user create` lets one in.");
                }
                let mut table = Table::new(&["LOGIN", "NAME", "ROLE", "LAST LOGIN", "ID"]);
                for user in items(&all) {
                    table.row(["email", "name", "role", "last_login_at", "id"].map(|name| cell(user, name)));
                }
                table.write(out)
            })
        }
        UserCommand::Create(options) => {
            let password = secret::read(&options.password_file, world)?;
            let name = options.name.unwrap_or_else(|| options.email.split('@').next().unwrap_or_default().to_owned());
            let body = json!({
                "email": options.email, "name": name, "role": options.role, "password": password.expose_secret(),
            });
            let client = options.server.client(world)?;
            let user = client.post("/v1/users", &body).await?;
            let [email, role, id] = ["email", "role", "id"].map(|name| cell(&user, name));
            let undo = async || client.delete(&format!("/v1/users/{id}"), None).await.map(drop);
            let said = |out: &mut dyn Write| writeln!(out, "Made: {email} ({role}), id {id}.");
            options.output.made(world, &format!("the user {id}"), &user, said, undo).await
        }
        UserCommand::Update(options) => {
            let mut body = json!({});
            for (member, text) in [("name", options.name), ("role", options.role)] {
                if let Some(text) = text {
                    body[member] = text.into();
                }
            }
            if let Some(file) = &options.password_file {
                body["password"] = secret::read(file, world)?.expose_secret().into();
            }
            let client = options.server.client(world)?;
            let user = find(&client, &options.user).await?;
            let user = client.patch(&format!("/v1/users/{}", cell(&user, "id")), &body, None).await?;
            options
                .output
                .done(world, &user, |out| writeln!(out, "Saved: {} ({}).", cell(&user, "email"), cell(&user, "role")))
        }
        UserCommand::Delete(options) => {
            let client = options.server.client(world)?;
            let user = find(&client, &options.user).await?;
            let email = cell(&user, "email");
            confirm::ask(&format!("This takes the access of {email} away."), options.yes, world)?;
            let answer = client.delete(&format!("/v1/users/{}", cell(&user, "id")), None).await?;
            options.output.done(world, &answer, |out| writeln!(out, "Deleted: {email}."))
        }
    }
}

/// The person with this login or id.
async fn find(client: &Client, text: &str) -> Result<Value, CliError> {
    if let Ok(id) = Uuid::try_parse(text) {
        return client.get(&format!("/v1/users/{id}")).await;
    }
    let all = client.list("/v1/users", None).await?;
    let same = |user: &Value| user["email"].as_str().is_some_and(|email| email.eq_ignore_ascii_case(text));
    all.into_iter().find(same).ok_or_else(|| {
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
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    from: Option<Time>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    to: Option<Time>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 25)]
    limit: usize,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn audit(command: AuditCommand, world: &mut World<'_>) -> Result<(), CliError> {
    let AuditCommand::List(options) = command;
    let parameters = [
        ("actor", options.actor),
        ("action", options.action),
        ("object", options.object),
        ("from", options.from.map(Time::shown)),
        ("to", options.to.map(Time::shown)),
    ];
    let path = with_query("/v1/audit", &parameters);
    let entries = Value::Array(options.server.client(world)?.list(&path, Some(options.limit)).await?);
    options.output.show(world, &entries, |out| {
        let mut table = Table::new(&["TIME", "WHO", "WHAT", "OBJECT"]);
        for entry in items(&entries) {
            table.row(["at", "actor", "action", "object"].map(|name| cell(entry, name)));
        }
        table.write(out)
    })
}
