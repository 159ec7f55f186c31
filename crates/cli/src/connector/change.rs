//! `connector update`, `enable`, `disable`: a connector saved anew, refused where somebody else saved it meanwhile.

use std::path::PathBuf;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use toktra_siem_core::connector::Resume;
use toktra_siem_platform::group;
use toktra_siem_wire::{ConnectorChange, GivenSecret, SettingsChange};

use super::{FilterOptions, OneOptions, path, said_of};
use crate::answer::ConnectorChanged;
use crate::client::Call;
use crate::given::pair;
use crate::output::counted;
use crate::{CliError, World, secret};

/// A change.
#[derive(Debug, Args)]
pub(super) struct ChangeOptions {
    /// A member of its config, such as index=security; repeat for several
    #[arg(long, value_name = "MEMBER=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A secret of its config from a file or standard input, such as hec_token=token.txt or api_key=-
    #[arg(long, value_name = "MEMBER=FILE", value_parser = pair)]
    set_secret: Vec<(String, String)>,
    /// Bring a member of its config back to its default; repeat for several
    #[arg(long, value_name = "MEMBER")]
    reset: Vec<String>,
    #[command(flatten)]
    filter: FilterOptions,
    /// Forward all events again
    #[arg(long, conflicts_with_all = ["severity", "event_types"])]
    all_events: bool,
    /// Another signing secret, at once, in a file or on standard input (-); `rotate-secret` does it gently
    #[arg(long, value_name = "FILE")]
    signing_secret_file: Option<PathBuf>,
}

/// Which connector, and the change.
#[derive(Debug, Args)]
pub struct UpdateOptions {
    /// The connector: its name or id
    connector: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    change: ChangeOptions,
    #[command(flatten)]
    call: Call,
}

/// Which connector, and what becomes of what waited.
#[derive(Debug, Args)]
pub struct EnableOptions {
    /// The connector: its name or id
    connector: String,
    /// Skip the events that waited while it was off
    #[arg(long)]
    from_now: bool,
    #[command(flatten)]
    call: Call,
}

impl ChangeOptions {
    /// As the API takes it; without members where nothing was given.
    pub(super) fn patch(&self, world: &mut World<'_>) -> Result<ConnectorChange, CliError> {
        let mut config = Map::new();
        for (name, text) in &self.set {
            config.insert(name.clone(), value(text));
        }
        for (name, file) in &self.set_secret {
            config.insert(name.clone(), secret::read(file.as_ref(), world)?.expose_secret().into());
        }
        config.extend(self.reset.iter().map(|name| (name.clone(), Value::Null)));
        let file = self.signing_secret_file.as_ref();
        Ok(ConnectorChange {
            config: (!config.is_empty()).then(|| SettingsChange(group::nested(config))),
            filter: self.filter.given().map(Some).or(self.all_events.then_some(None)),
            signing_secret: file.map(|file| secret::verbatim(file, world)).transpose()?.map(GivenSecret),
            ..ConnectorChange::default()
        })
    }
}

/// `true`, `false` and numbers as such; everything else is text, and so is what stands in quotes.
fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => value,
        _ => text.into(),
    }
}

pub(super) async fn update(options: UpdateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let patch = ConnectorChange { name: options.name, ..options.change.patch(world)? };
    if matches!(patch, ConnectorChange { name: None, config: None, filter: None, signing_secret: None, .. }) {
        return Err(CliError::Usage("There is nothing to change: give --set, --name or another option.".to_owned()));
    }
    save(&options.connector, &patch, &options.call, world).await
}

pub(super) async fn enable(options: &EnableOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let resume = if options.from_now { Resume::Now } else { Resume::Backlog };
    let patch = ConnectorChange { active: Some(true), resume: Some(resume), ..ConnectorChange::default() };
    save(&options.connector, &patch, &options.call, world).await
}

pub(super) async fn disable(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let patch = ConnectorChange { active: Some(false), ..ConnectorChange::default() };
    save(&options.connector, &patch, &options.call, world).await
}

async fn save(name: &str, patch: &ConnectorChange, call: &Call, world: &mut World<'_>) -> Result<(), CliError> {
    let (client, before) = call.connector(name, world).await?;
    let saved = client.patch::<ConnectorChanged>(&path(&before, ""), patch, Some(before.revision)).await?;
    call.output.done(world, &saved, |ConnectorChanged { connector, backlog, skipped }| {
        let same = if before.revision == connector.revision { " Nothing was different." } else { "" };
        let mut text = vec![format!("Saved: {}.{same}\n", said_of(connector))];
        for (events, what) in [(backlog, "that waited will be delivered"), (skipped, "that waited were passed by")] {
            if *events > 0 {
                text.push(format!("{} {what}.\n", counted(*events, "event")));
            }
        }
        text.concat()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_what_they_look_like() {
        assert_eq!((value("true"), value("16"), value("toktra")), (json!(true), json!(16), json!("toktra")));
        assert_eq!((value("\"16\""), value("[1]"), value("null")), (json!("16"), json!("[1]"), json!("null")));
        assert_eq!(pair("url=https://a/?b=c").unwrap(), ("url".to_owned(), "https://a/?b=c".to_owned()));
        assert!(pair("url").is_err());
    }
}
