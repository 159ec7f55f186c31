//! `health`: whether a server is up, for people and for whatever watches it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use clap::Args;
use serde_json::json;
use toktra_siem_config::Config;
use toktra_siem_wire::ServiceStatus;

use super::client::{Client, ServerOptions};
use super::output::Output;
use super::{CliError, World};

/// Which server.
#[derive(Debug, Args)]
pub struct HealthOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// Ask the server of this machine, where its configuration says that it listens
    #[arg(long, conflicts_with = "url")]
    local: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(options: &HealthOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    let client = if options.local {
        let listen = Config::load(file, &world.environment)?.listen;
        Client::anonymous(&format!("http://{}", reachable(listen)))?
    } else {
        options.server.anonymous(world)?
    };
    client.get::<ServiceStatus>("/healthz").await?;
    let ready = client.get::<ServiceStatus>("/readyz").await;
    // A server that says something else here is up all the same.
    let said = ready.as_ref().ok().and_then(|ready| ready.read().ok());
    let (shortage, stalled) = said.map_or((None, None), |said| (said.shortage, said.stalled));
    let mut view = json!({ "alive": true, "ready": ready.is_ok() });
    if let Some(shortage) = &shortage {
        view["shortage"] = shortage.as_str().into();
    }
    if let Some(stalled) = &stalled {
        view["stalled"] = stalled.as_str().into();
    }
    let text = match (&ready, shortage.as_deref()) {
        (Err(_), _) => "It is up, but not ready.",
        (Ok(_), None) if stalled.as_deref() == Some("dispatcher") => {
            "It is up, and takes events in, but the part that delivers them hangs: restart it."
        }
        (Ok(_), None) if stalled.is_some() => {
            "It is up, and takes events in, but connectors are stalled: `toktra-siem connector health` says which."
        }
        (Ok(_), None) => "It is up, and takes events in.",
        (Ok(_), Some("budget")) => "It is up and delivers, but refuses new events: the disk budget is used up.",
        (Ok(_), Some(_)) => "It is up and delivers, but refuses new events: the file system of its data is full.",
    };
    world.say(options.output.rendered(&view, || Ok(text.to_owned()))?)?;
    ready.map(drop)
}

/// Where a server that listens there can be reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
