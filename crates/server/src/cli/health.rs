//! `health`: whether a server is up, for people and for whatever watches it.

use clap::Args;
use serde_json::json;

use super::client::ServerOptions;
use super::output::Output;
use super::{CliError, World};

/// Which server.
#[derive(Debug, Args)]
pub struct HealthOptions {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(options: &HealthOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.anonymous(world)?;
    client.get("/healthz").await?;
    let ready = client.get("/readyz").await;
    let view = json!({ "alive": true, "ready": ready.is_ok() });
    options.output.show(world, &view, |out| {
        writeln!(out, "{}", if ready.is_ok() { "It is up, and takes events in." } else { "It is up, but not ready." })
    })?;
    ready.map(drop)
}
