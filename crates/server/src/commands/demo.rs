//! `demo`: what it can be asked for. The demo itself is in [`crate::demo`].

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use toktra_siem_config as config;
use toktra_siem_telemetry as telemetry;
use toktra_siem_telemetry::log::LogFormat;

use super::{CliError, World, signals};
use crate::demo::{self, DemoOptions};

/// What the log of a demo shows: its output is what arrives. That the fakes are reached without TLS is no news.
const LOG: &str = "warn,toktra_siem::environment=error";

/// How the demo runs.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Where the server listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Sample events per second
    #[arg(long, value_name = "EVENTS", default_value_t = 2.0, value_parser = rate)]
    rate: f64,
    /// End after this time, such as 30s or 5m [default: go on until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = config::value::lifetime)]
    duration: Option<Duration>,
    /// End once this many events have arrived at every SIEM [default: go on until Ctrl-C]
    #[arg(long, value_name = "COUNT")]
    events: Option<usize>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.01..=1_000.0).contains(rate));
    rate.ok_or_else(|| "give events per second, from 0.01 to 1000".to_owned())
}

pub(super) async fn run(args: &DemoArgs, world: &mut World<'_>) -> Result<(), CliError> {
    telemetry::log::init(LogFormat::Text, LOG);
    let DemoArgs { listen, rate, duration, events } = *args;
    let asked = signals::asked_to_end()?;
    let options = DemoOptions { listen, rate, events, duration };
    demo::run(options, asked, &mut *world.stdout).await.map_err(|error| match error.downcast::<std::io::Error>() {
        // Whoever looked has seen enough.
        Ok(error) if error.kind() == std::io::ErrorKind::BrokenPipe => CliError::Closed,
        Ok(error) => CliError::Failed(format!("The demo cannot be shown on standard output: {error}.")),
        Err(error) => CliError::Failed(format!("{error:#}")),
    })
}
