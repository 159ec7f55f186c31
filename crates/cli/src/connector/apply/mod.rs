//! `connector apply`: connectors as code. Reads files, compares them with what is there, shows the difference, and applies it.
//!
//! [`yaml`] reads, [`described`] understands, [`plan`] compares; nothing is changed before all three have found nothing wrong.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{all, delete, path, revision};
use crate::client::{Client, OrgOptions};
use crate::output::{Output, cell};
use crate::{CliError, World};

mod described;
pub(super) mod export;
mod plan;
#[cfg(test)]
mod tests;
mod yaml;

use plan::{Change, Plan, Rules, Step};

/// What `--help` says at length.
pub(super) const HELP: &str = "\
Bring the connectors in line with files: connectors as code

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

Members are those of the API. What is left out has its default; `active` is true; a secret that
is left out stays as it is. A stored secret is never shown, so a secret counts as changed where
its last four characters differ from those stored: what cannot be told apart that way (or is
shorter than 12 characters) is written with --write-secrets.

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
    /// Write secrets that end like the stored ones as well
    #[arg(long)]
    write_secrets: bool,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(options: &ApplyOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let files = read(&options.files, world)?;
    let described = described::read(&files, &world.environment, &world.registry).map_err(|faults| refused(&faults))?;
    let client = options.server.client(world)?;
    let present = all(&client).await?;
    let rules = Rules { prune: options.prune, write_secrets: options.write_secrets };
    let plan = plan::plan(&described, &present, rules, &world.registry).map_err(|faults| refused(&faults))?;
    let losses = losses(&client, &plan).await?;
    let output = options.output;
    // The answer begins before anything is done: an output that cannot be written is found out in time.
    let mut begun = Vec::new();
    if output.json {
        begun.push(b'{');
    } else {
        show(&mut begun, &plan, &losses)?;
    }
    world.write(&String::from_utf8_lossy(&begun)).map_err(|error| {
        CliError::Failed(format!("Nothing was done: standard output cannot be written to: {error}."))
    })?;
    let mut done = Vec::new();
    let outcome = if options.dry_run { Ok(()) } else { apply(&client, &plan, &mut done, output, world).await };
    if output.json {
        let applied = !options.dry_run && outcome.is_ok();
        let report = format!("{:#}\n", report(&plan, &losses, &done, applied));
        world.answer(report.strip_prefix('{').unwrap_or(&report))?;
    }
    outcome?;
    if options.dry_run && !plan.steps.is_empty() {
        return Err(CliError::Differs("There is something to do. Without --dry-run it is done.".to_owned()));
    }
    Ok(())
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

/// What goes with the connectors that are to be deleted, in their order.
async fn losses(client: &Client, plan: &Plan) -> Result<Vec<String>, CliError> {
    let mut losses = Vec::new();
    for step in &plan.steps {
        if let Step::Delete { connector } = step {
            losses.push(delete::loss(client, connector).await?);
        }
    }
    Ok(losses)
}

fn show(out: &mut dyn Write, plan: &Plan, losses: &[String]) -> io::Result<()> {
    let mut losses = losses.iter();
    for step in &plan.steps {
        match step {
            Step::Add { name, platform, members, .. } => {
                writeln!(out, "+ {name} ({platform})")?;
                list(out, members)?;
            }
            Step::Change { connector, members, .. } => {
                writeln!(out, "~ {} ({})", cell(connector, "name"), cell(connector, "platform"))?;
                list(out, members)?;
            }
            Step::Delete { connector } => {
                let loss = losses.next().map_or("", String::as_str);
                writeln!(out, "- {} ({}), {loss}", cell(connector, "name"), cell(connector, "platform"))?;
            }
        }
    }
    let count = |wanted: fn(&Step) -> bool| plan.steps.iter().filter(|step| wanted(step)).count();
    let adds = count(|step| matches!(step, Step::Add { .. }));
    let changes = count(|step| matches!(step, Step::Change { .. }));
    let deletes = count(|step| matches!(step, Step::Delete { .. }));
    if plan.steps.is_empty() {
        writeln!(out, "No changes: {} as described.", plan.unchanged)?;
    } else {
        writeln!(out, "{adds} to add, {changes} to change, {deletes} to delete, {} unchanged.", plan.unchanged)?;
    }
    if !plan.others.is_empty() {
        writeln!(out, "In no file, and left alone (--prune deletes them): {}.", plan.others.join(", "))?;
    }
    Ok(())
}

fn list(out: &mut dyn Write, members: &[Change]) -> io::Result<()> {
    members.iter().try_for_each(|Change { member, from, to }| match from {
        Some(from) => writeln!(out, "    {member}: {from} → {to}"),
        None => writeln!(out, "    {member}: {to}"),
    })
}

/// Does one step after the other. What is in `done` was done, whatever comes of the rest.
async fn apply(
    client: &Client,
    plan: &Plan,
    done: &mut Vec<Value>,
    output: Output,
    world: &mut World<'_>,
) -> Result<(), CliError> {
    let shows_secret = |step: &Step| matches!(step, Step::Add { body, .. } if body.get("signing_secret").is_none());
    if plan.steps.iter().any(shows_secret) {
        world.needs_reader()?;
    }
    for step in &plan.steps {
        let name = name(step);
        let answer = match step {
            Step::Add { body, .. } => client.post("/v1/siem/connectors", body).await,
            Step::Change { connector, patch, .. } => {
                client.patch(&path(connector, ""), patch, revision(connector)).await
            }
            Step::Delete { connector } => client.delete(&path(connector, ""), revision(connector)).await,
        };
        let answer = answer.map_err(|error| match error {
            CliError::Failed(text) => CliError::Failed(format!(
                "\"{name}\" could not be brought in line: {text}\n{} of {} steps were done before. Run it again when this is corrected: \
                 what is done stays done.",
                done.len(),
                plan.steps.len()
            )),
            other => other,
        })?;
        if !output.json {
            let mut text = Vec::new();
            said(&mut text, step, &name, &answer)?;
            let text = String::from_utf8_lossy(&text);
            match step {
                Step::Add { .. } => {
                    let undo = async || client.delete(&path(&answer, ""), None).await.map(drop);
                    world.made(&format!("the connector \"{name}\""), &text, undo).await?;
                }
                Step::Change { .. } | Step::Delete { .. } => world.answer(&text)?,
            }
        }
        done.push(answer);
    }
    Ok(())
}

fn name(step: &Step) -> String {
    match step {
        Step::Add { name, .. } => name.clone(),
        Step::Change { connector, .. } | Step::Delete { connector } => cell(connector, "name"),
    }
}

fn said(out: &mut dyn Write, step: &Step, name: &str, answer: &Value) -> io::Result<()> {
    match step {
        Step::Add { .. } => {
            writeln!(out, "Made: {name}, id {}.", cell(answer, "id"))?;
            match answer["signing_secret"]["value"].as_str() {
                Some(secret) => writeln!(out, "Its signing secret, shown only now: {secret}"),
                None => Ok(()),
            }
        }
        Step::Change { .. } => writeln!(out, "Saved: {name}."),
        Step::Delete { .. } => writeln!(out, "Deleted: {name}."),
    }
}

fn report(plan: &Plan, losses: &[String], done: &[Value], applied: bool) -> Value {
    let mut losses = losses.iter();
    let shown = |members: &[Change]| -> Value {
        members.iter().map(|c| json!({ "member": c.member, "from": c.from, "to": c.to })).collect()
    };
    let steps = plan.steps.iter().enumerate().map(|(at, step)| {
        let mut view = match step {
            Step::Add { name, platform, members, .. } => {
                json!({ "action": "add", "name": name, "platform": platform, "members": shown(members) })
            }
            Step::Change { connector, members, .. } => {
                json!({ "action": "change", "name": connector["name"], "platform": connector["platform"], "members": shown(members) })
            }
            Step::Delete { connector } => {
                let loss = losses.next();
                json!({ "action": "delete", "name": connector["name"], "platform": connector["platform"], "loss": loss })
            }
        };
        if let Some(answer) = done.get(at) {
            view["done"] = answer.clone();
        }
        view
    });
    json!({ "steps": steps.collect::<Value>(), "unchanged": plan.unchanged, "others": plan.others, "applied": applied })
}
