//! `restore`: a backup back into the data directory of a stopped server.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_cli::output::{Output, counted};
use toktra_siem_config::Config;
use toktra_siem_store::StoreError;

use super::backup::followed;
use super::{CliError, World};
use crate::service::{at_rest, has_key_file, make_dir};

/// Where from.
#[derive(Debug, Args)]
pub struct RestoreOptions {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Restore although there is a database already; it is kept aside under another name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(options: RestoreOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    let config = Config::load(file, &world.environment)?;
    let dir = config.data_dir;
    make_dir(&dir).map_err(CliError::failed)?;
    let (from, data, replace, now) = (options.from.clone(), at_rest(&dir), options.replace, SystemClock.now());
    let work = move |report: &mut dyn FnMut(_)| data.restore(&from, replace, now, report);
    let restored = followed("restore", work, world).await?.map_err(|error| refusal(error, &options.from))?;
    let key_is_there = !config.encryption_keys.is_empty() || has_key_file(&dir);
    let mut view = json!(restored);
    view["encryption_key"] = key_is_there.into();
    let text = || {
        let mut text =
            vec![format!("{} were brought back into {}.\n", counted(restored.events, "event"), dir.display())];
        if let Some(aside) = &restored.aside {
            text.push(format!("The database that was there is kept as {}.\n", aside.display()));
        }
        text.push("Events that were accepted after the backup was made are gone. Those that were delivered after it are delivered again when \
             the server starts: SIEMs may get them twice. Everybody is logged out; API keys that were revoked and passwords that were changed since are \
             valid again as they were: revoke and change them once more.\n".to_owned());
        if !key_is_there {
            text.push(format!(
                "There is no encryption key here. Put your copy of encryption.key into {} before the server starts, or set \
                 TOKTRA_SIEM_ENCRYPTION_KEY: otherwise a new one is made, and the credentials of connectors have to be entered again.\n",
                dir.display()
            ));
        }
        Ok(text.concat())
    };
    world.answer(&options.output.rendered(&view, text)?)
}

fn refusal(error: StoreError, from: &Path) -> CliError {
    match error {
        StoreError::NotFound => CliError::Usage(format!("There is no file {}.", from.display())),
        StoreError::Conflict(why) => CliError::Failed(format!("Nothing was changed: {why}.")),
        StoreError::Damaged(why) => CliError::Failed(format!(
            "Nothing was changed: {} cannot be used, because {why}. Take another backup.",
            from.display()
        )),
        other => CliError::Failed(format!("Nothing was changed: {}.", super::told(&other))),
    }
}
