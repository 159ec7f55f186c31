//! `connector export`: what is there, in the format of `connector apply`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use toktra_siem_core::connector::{Platform, config};

use super::described::with_placeholder;
use super::plan::shown;
use crate::client::OrgOptions;
use crate::connector::all;
use crate::output::{cell, items};
use crate::{CliError, World};

pub(in crate::connector) async fn run(server: &OrgOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let connectors = all(&server.client(world)?).await?;
    world.say(yaml(&connectors))
}

/// The file. Connectors of the environment are described there, and not in a file.
pub(super) fn yaml(connectors: &[Value]) -> String {
    let mut text = String::from(
        "# For `toktra-siem connector apply -f`. Secrets are never shown: set the variables that stand for them, or leave those\n\
         # lines out, and what is stored stays.\n",
    );
    let (own, environment): (Vec<&Value>, Vec<&Value>) =
        connectors.iter().partition(|c| c["managed_by"] != "environment");
    for connector in environment {
        let _ =
            writeln!(text, "# Not here, because the server's environment describes it: {}", scalar(&connector["name"]));
    }
    text.push_str(if own.is_empty() { "connectors: []\n" } else { "connectors:\n" });
    for connector in own {
        one(&mut text, connector);
    }
    text
}

fn one(text: &mut String, connector: &Value) {
    let _ = writeln!(text, "  - name: {}", scalar(&connector["name"]));
    let _ = writeln!(text, "    platform: {}", scalar(&connector["platform"]));
    let defaults = defaults(connector).unwrap_or_default();
    let members = connector["config"].as_object().into_iter().flatten();
    let mut lines = String::new();
    for (name, value) in members {
        if value["set"] == true {
            let _ = writeln!(lines, "      {name}: {{env: {}}}", variable(&cell(connector, "name"), name));
        } else if defaults.get(name) != Some(value) {
            member(&mut lines, name, value);
        }
    }
    if !lines.is_empty() {
        let _ = write!(text, "    config:\n{lines}");
    }
    let lists = [("severity", &connector["filter"]["severity"]), ("event_types", &connector["filter"]["event_types"])];
    let given: Vec<String> = lists
        .iter()
        .filter(|(_, list)| !items(list).is_empty())
        .map(|(name, list)| format!("{name}: [{}]", items(list).iter().map(scalar).collect::<Vec<_>>().join(", ")))
        .collect();
    if !given.is_empty() {
        let _ = writeln!(text, "    filter: {{{}}}", given.join(", "));
    }
    let _ = writeln!(text, "    active: {}", connector["active"] == true);
}

/// A long text over several lines, anything else in one.
fn member(text: &mut String, name: &str, value: &Value) {
    match value.as_str() {
        Some(long) if long.contains('\n') && long.lines().all(|line| line.trim() == line && line.is_ascii()) => {
            let keep = if long.ends_with('\n') { "|" } else { "|-" };
            let _ = writeln!(text, "      {name}: {keep}");
            for line in long.lines() {
                let _ = writeln!(text, "        {line}");
            }
        }
        _ => {
            let _ = writeln!(text, "      {name}: {}", scalar(value));
        }
    }
}

/// What a connector of this platform has where nothing is said.
fn defaults(connector: &Value) -> Option<Map<String, Value>> {
    let platform: Platform = serde_json::from_value(connector["platform"].clone()).ok()?;
    let required = match platform {
        Platform::Splunk => json!({ "hec_url": "https://required.invalid:8088" }),
        Platform::Datadog => json!({}),
        Platform::Elasticsearch => json!({ "url": "https://required.invalid:9200" }),
    };
    let minimal = with_placeholder(platform, required.as_object()?);
    let (settings, _) = config::parse_new(platform, &minimal.into()).ok()?;
    shown(&settings).as_object().cloned()
}

/// The variable that stands for a secret.
fn variable(connector: &str, member: &str) -> String {
    let upper = format!("{connector}_{member}").to_uppercase();
    let mut name: String = upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// A value in one line. Words are plain, every other text stands in quotes: JSON's are YAML's.
fn scalar(value: &Value) -> String {
    const OTHERWISE: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match value.as_str() {
        Some(text)
            if text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
                && !OTHERWISE.contains(&text.to_lowercase().as_str()) =>
        {
            text.to_owned()
        }
        _ => value.to_string(),
    }
}
