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
use crate::answer::{Channel, Connector, ConnectorChanged};
use crate::client::{Call, Client};
use crate::{CliError, World, channel};

mod channels;
mod described;
pub(super) mod export;
mod plan;
#[cfg(test)]
mod tests;
mod yaml;

use described::{Described, Files};
use plan::{Change, Compared, Plan, Rules, Step};

/// What `--help` says at length.
pub(super) const HELP: &str = "\
Apply connectors and notification channels from files: connectors as code

Reads YAML, names every fault in it by line before anything is changed, shows what differs, and
applies that. A second run finds nothing to do. What no file names stays, or goes with --prune:
connectors if a file lists connectors, channels if one lists channels. Connectors of the environment
are never touched.

  connectors:
    - name: Splunk
      platform: splunk
      config:
        hec_url: https://splunk.company.com:8088
        hec_token: {env: SPLUNK_HEC_TOKEN}     # or {file: PATH}
      filter: {severity: [high, critical]}

Notification channels stand beside them:

  channels:
    - name: SOC on call
      kind: slack
      config: {url: {env: SLACK_URL}}
      events: [down, misconfigured, recovered]

The members are the same as in the API. If you leave one out, its default applies, except that
`active` is true, and that a secret stays as it is. A stored secret is never shown: the server
compares it with yours, and the plan says which secrets differ.

Example: toktra-siem connector apply -f connectors.yaml --dry-run";

/// The largest file that is read, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Which files, and how far to go.
#[derive(Debug, Args)]
pub struct ApplyOptions {
    /// A file of connectors and notification channels, or - for standard input; repeat for several
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete what no file names: connectors with the events that wait for them, and channels
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
    let files = described::read(&files, &world.environment, &world.registry).map_err(|faults| refused(&faults))?;
    let Call { server, output } = &options.call;
    let client = server.client(world)?;
    let rules = Rules { prune: options.prune, write_secrets: options.write_secrets };
    let mut plan = planned(&client, &files, rules, &world.registry).await?;
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
    if options.dry_run && !plan.is_done() {
        return Err(CliError::Differs("Changes are needed. Run it without --dry-run to make them.".to_owned()));
    }
    Ok(())
}

/// The plan. What the files say nothing of is not even looked at.
async fn planned(client: &Client, files: &Files, rules: Rules, registry: &Registry) -> Result<Plan, CliError> {
    let mut plan = Plan::default();
    if let Some(described) = &files.connectors {
        let present = all(client).await?.read()?;
        let compared = compare(client, described, &present, registry).await?;
        let found = plan::plan(described, &present, &compared, rules, registry);
        plan = found.map_err(|faults| refused(&faults))?;
    }
    if let Some(described) = &files.channels {
        let present = channel::all(client).await?.read()?;
        let compared = compare_channels(client, described, &present).await?;
        plan.channels = channels::plan(described, &present, &compared, rules).map_err(|faults| refused(&faults))?;
    }
    Ok(plan)
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

/// The same of notification channels.
async fn compare_channels(
    client: &Client,
    described: &[channels::Described],
    present: &[Channel],
) -> Result<channels::Compared, CliError> {
    let mut compared = channels::Compared::new();
    for one in described {
        let Some(channel) = present.iter().find(|channel| channel.name == one.name) else { continue };
        let Some(secrets) = channels::comparable(one, channel) else { continue };
        let path = channel::path(channel.id, "/compare-secrets");
        if let Some(answer) = client.ask::<SecretsCompared>(&path, &secrets).await? {
            compared.insert(channel.id, answer.read()?.secrets_changed.into_iter().collect());
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
    for step in &plan.channels.steps {
        let (name, kind) = step.of();
        text.push(match step {
            channels::Step::Add { members, .. } => {
                adds += 1;
                format!("+ channel {name} ({kind})\n{}", list(members))
            }
            channels::Step::Change { members, .. } => {
                changes += 1;
                format!("~ channel {name} ({kind})\n{}", list(members))
            }
            channels::Step::Delete { .. } => {
                deletes += 1;
                format!("- channel {name} ({kind})\n")
            }
        });
    }
    let unchanged = plan.unchanged + plan.channels.unchanged;
    text.push(if plan.is_done() {
        format!("No changes: {unchanged} as described.\n")
    } else {
        format!("{adds} to add, {changes} to change, {deletes} to delete, {unchanged} unchanged.\n")
    });
    let others: Vec<&str> = plan.others.iter().chain(&plan.channels.others).map(String::as_str).collect();
    if !others.is_empty() {
        text.push(format!("In no file, and left alone (--prune deletes them): {}.\n", others.join(", ")));
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
    if plan.steps.iter().any(shows_secret) || plan.channels.steps.iter().any(channels::Step::shows_secret) {
        world.needs_reader()?;
    }
    let all = plan.steps.len() + plan.channels.steps.len();
    let broke_off = |name: &str, done: usize, error| match error {
        CliError::Failed(text) => CliError::Failed(format!(
            "\"{name}\" could not be brought in line: {text}\n{done} of {all} steps were done before. Run it again when this is corrected: \
             what is done stays done."
        )),
        other => other,
    };
    for step in &plan.steps {
        let (name, _) = step.of();
        let (answer, made) = one(client, step).await.map_err(|error| broke_off(name, done.len(), error))?;
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
    for step in &plan.channels.steps {
        let (name, _) = step.of();
        let applied = channels::apply(client, step).await;
        let (answer, said, made) = applied.map_err(|error| broke_off(name, done.len(), error))?;
        match made {
            _ if json => {}
            Some(made) => {
                let undo = async || client.undo(&channel::path(made.id, "")).await;
                world.made(&format!("the notification channel \"{name}\""), &said, undo).await?;
            }
            None => world.answer(&said)?,
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
    let steps = plan.steps.iter().map(|step| {
        let (name, platform) = step.of();
        let (action, more, what) = match step {
            Step::Add { members, .. } => ("add", "members", shown(members)),
            Step::Change { members, .. } => ("change", "members", shown(members)),
            Step::Delete { loss, .. } => ("delete", "loss", json!(loss)),
        };
        json!({ "action": action, "name": name, "platform": platform, more: what })
    });
    let channels = plan.channels.steps.iter().map(|step| {
        let (name, kind) = step.of();
        let mut view = json!({ "name": name, "channel_kind": kind });
        let (action, members) = match step {
            channels::Step::Add { members, .. } => ("add", members.as_slice()),
            channels::Step::Change { members, .. } => ("change", members.as_slice()),
            channels::Step::Delete { .. } => ("delete", &[][..]),
        };
        view["action"] = action.into();
        view["members"] = shown(members);
        view
    });
    let steps = steps.chain(channels).enumerate().map(|(at, mut view)| {
        if let Some(answer) = done.get(at) {
            view["done"] = answer.clone();
        }
        view
    });
    let unchanged = plan.unchanged + plan.channels.unchanged;
    let others: Vec<&String> = plan.others.iter().chain(&plan.channels.others).collect();
    json!({ "steps": steps.collect::<Value>(), "unchanged": unchanged, "others": others, "applied": applied })
}
