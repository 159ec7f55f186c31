//! `connector apply`: connectors as code. Reads files, compares them with what is there, shows the difference, and applies it.
//!
//! [`yaml`] reads, [`described`] understands, [`plan`] compares; nothing is changed before all three have found nothing wrong.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use toktra_siem_platform::Registry;
use toktra_siem_wire::{ConnectorRemoved, SecretsCompared};

use super::{all, delete, path};
use crate::answer::{Connector, ConnectorChanged};
use crate::client::{Call, Client};
use crate::{CliError, World};

mod described;
pub(super) mod export;
mod plan;
#[cfg(test)]
mod tests;
mod yaml;

use described::Described;
use plan::{Change, Compared, Plan, Rules, Step};

/// What `--help` says at length.
pub(super) const HELP: &str = "\
Apply connectors from files: connectors as code

Reads YAML, names every fault in it by line before anything is changed, shows what differs, and
applies that. A second run finds nothing to do. Connectors that no file names stay, or go with
--prune; those of the environment are never touched.

  connectors:
    - name: Splunk
      platform: splunk
      config:
        hec_url: https://splunk.company.com:8088
        hec_token: {env: SPLUNK_HEC_TOKEN}     # or {file: PATH}
      filter: {severity: [high, critical]}

The members are the same as in the API. If you leave one out, its default applies; `active` is true; a secret that
is left out stays as it is. A stored secret is never shown: the server compares it with yours, and
the plan says which secrets differ.

Example: toktra-siem connector apply -f connectors.yaml --dry-run";

/// The largest file that is read, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Which files, and how far to go.
#[derive(Debug, Args)]
pub struct ApplyOptions {
    /// A file of connectors, or - for standard input; repeat for several
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete connectors that no file names, with the events that wait for them
    #[arg(long)]
    prune: bool,
    /// Write secrets that are stored already as well
    #[arg(long)]
    write_secrets: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(options: &ApplyOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let files = read(&options.files, world)?;
    let described = described::read(&files, &world.environment, &world.registry).map_err(|faults| refused(&faults))?;
    let Call { server, output } = &options.call;
    let client = server.client(world)?;
    let present = all(&client).await?.read()?;
    let rules = Rules { prune: options.prune, write_secrets: options.write_secrets };
    let compared = compare(&client, &described, &present, &world.registry).await?;
    let plan = plan::plan(&described, &present, &compared, rules, &world.registry);
    let mut plan = plan.map_err(|faults| refused(&faults))?;
    for step in &mut plan.steps {
        if let Step::Delete { connector, loss } = step {
            *loss = delete::loss(&client, connector).await?;
        }
    }
    // The answer begins before anything is done: an output that cannot be written is found out in time.
    let begun = if output.json { "{".to_owned() } else { show(&plan) };
    world.write(&begun).map_err(|error| {
        CliError::Failed(format!("Nothing was done: standard output cannot be written to: {error}."))
    })?;
    let mut done = Vec::new();
    let outcome = if options.dry_run { Ok(()) } else { apply(&client, &plan, &mut done, output.json, world).await };
    if output.json {
        let applied = !options.dry_run && outcome.is_ok();
        let report = output.rendered(&report(&plan, &done, applied), || Ok(String::new()))?;
        world.answer(report.strip_prefix('{').unwrap_or(&report))?;
    }
    outcome?;
    if options.dry_run && !plan.steps.is_empty() {
        return Err(CliError::Differs("There is something to do. Without --dry-run it is done.".to_owned()));
    }
    Ok(())
}

/// Which of the described secrets are others than the stored ones, as the server says. Of a connector that it cannot say it of, the plan goes
/// by how the secrets end.
async fn compare(
    client: &Client,
    described: &[Described],
    present: &[Connector],
    registry: &Registry,
) -> Result<Compared, CliError> {
    let mut compared = Compared::new();
    for one in described {
        let Some(connector) = present.iter().find(|connector| connector.name == one.name) else { continue };
        let Some(secrets) = plan::comparable(one, connector, registry) else { continue };
        if let Some(answer) = client.ask::<SecretsCompared>(&path(connector, "/compare-secrets"), &secrets).await? {
            compared.insert(connector.id, answer.read()?.secrets_changed.into_iter().collect());
        }
    }
    Ok(compared)
}

fn read(files: &[PathBuf], world: &mut World<'_>) -> Result<Vec<(PathBuf, String)>, CliError> {
    let mut found = Vec::new();
    for path in files {
        let mut text = String::new();
        let read = if path == Path::new("-") {
            world.stdin.take(LONGEST).read_to_string(&mut text)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        };
        read.map_err(|error| CliError::Usage(format!("{} cannot be read: {error}.", path.display())))?;
        found.push((path.clone(), text));
    }
    Ok(found)
}

fn refused(faults: &[described::Fault]) -> CliError {
    let mut text = "Nothing was done; this has to be corrected:".to_owned();
    for fault in faults {
        text = text + "\n  - " + &fault.to_string();
    }
    CliError::Usage(text)
}

fn show(plan: &Plan) -> String {
    let mut text = Vec::new();
    let (mut adds, mut changes, mut deletes) = (0, 0, 0);
    for step in &plan.steps {
        let (name, platform) = step.of();
        text.push(match step {
            Step::Add { members, .. } => {
                adds += 1;
                format!("+ {name} ({platform})\n{}", list(members))
            }
            Step::Change { members, .. } => {
                changes += 1;
                format!("~ {name} ({platform})\n{}", list(members))
            }
            Step::Delete { loss, .. } => {
                deletes += 1;
                format!("- {name} ({platform}), {loss}\n")
            }
        });
    }
    let unchanged = plan.unchanged;
    text.push(if plan.steps.is_empty() {
        format!("No changes: {unchanged} as described.\n")
    } else {
        format!("{adds} to add, {changes} to change, {deletes} to delete, {unchanged} unchanged.\n")
    });
    if !plan.others.is_empty() {
        text.push(format!("In no file, and left alone (--prune deletes them): {}.\n", plan.others.join(", ")));
    }
    text.concat()
}

fn list(members: &[Change]) -> String {
    let line = |Change { member, from, to }: &Change| match from {
        Some(from) => format!("    {member}: {from} → {to}\n"),
        None => format!("    {member}: {to}\n"),
    };
    members.iter().map(line).collect()
}

/// Does one step after the other. What is in `done` was done, whatever comes of the rest.
async fn apply(
    client: &Client,
    plan: &Plan,
    done: &mut Vec<Value>,
    json: bool,
    world: &mut World<'_>,
) -> Result<(), CliError> {
    let shows_secret = |step: &Step| matches!(step, Step::Add { body, .. } if body.signing_secret.is_none());
    if plan.steps.iter().any(shows_secret) {
        world.needs_reader()?;
    }
    for step in &plan.steps {
        let (name, _) = step.of();
        let (answer, made) = one(client, step).await.map_err(|error| match error {
            CliError::Failed(text) => CliError::Failed(format!(
                "\"{name}\" could not be brought in line: {text}\n{} of {} steps were done before. Run it again when this is corrected: \
                 what is done stays done.",
                done.len(),
                plan.steps.len()
            )),
            other => other,
        })?;
        match (step, made) {
            _ if json => {}
            (_, Some(made)) => {
                let secret = made.signing_secret.value.as_ref();
                let secret =
                    secret.map(|secret| format!("Its signing secret, shown only now: {}\n", secret.expose_secret()));
                let text = format!("Made: {name}, id {}.\n{}", made.id, secret.unwrap_or_default());
                let undo = async || client.undo(&path(&made, "")).await;
                world.made(&format!("the connector \"{name}\""), &text, undo).await?;
            }
            (Step::Delete { .. }, None) => world.answer(&format!("Deleted: {name}.\n"))?,
            (_, None) => world.answer(&format!("Saved: {name}.\n"))?,
        }
        done.push(answer);
    }
    Ok(())
}

/// Does a step. The answer, and the connector if one was made.
async fn one(client: &Client, step: &Step) -> Result<(Value, Option<Connector>), CliError> {
    Ok(match step {
        Step::Add { body, .. } => {
            let answer = client.post::<Connector>("/v1/siem/connectors", body).await?;
            (json!(answer), Some(answer.read()?))
        }
        Step::Change { connector, patch, .. } => {
            let revision = Some(connector.revision);
            (json!(client.patch::<ConnectorChanged>(&path(connector, ""), patch, revision).await?), None)
        }
        Step::Delete { connector, .. } => {
            let revision = Some(connector.revision);
            (json!(client.delete::<ConnectorRemoved>(&path(connector, ""), revision).await?), None)
        }
    })
}

fn report(plan: &Plan, done: &[Value], applied: bool) -> Value {
    let shown = |members: &[Change]| -> Value {
        members.iter().map(|c| json!({ "member": c.member, "from": c.from, "to": c.to })).collect()
    };
    let steps = plan.steps.iter().enumerate().map(|(at, step)| {
        let (name, platform) = step.of();
        let (action, more, what) = match step {
            Step::Add { members, .. } => ("add", "members", shown(members)),
            Step::Change { members, .. } => ("change", "members", shown(members)),
            Step::Delete { loss, .. } => ("delete", "loss", json!(loss)),
        };
        let mut view = json!({ "action": action, "name": name, "platform": platform, more: what });
        if let Some(answer) = done.get(at) {
            view["done"] = answer.clone();
        }
        view
    });
    json!({ "steps": steps.collect::<Value>(), "unchanged": plan.unchanged, "others": plan.others, "applied": applied })
}
