//! `healthcheck`: what a container runs to learn whether the server in it is well, where there is neither a shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use toktra_siem_core::destination::Method;
use toktra_siem_core::signing::SignedRequest;

use super::CliError;
use crate::config::Config;
use crate::transport::{EgressPolicy, EndpointOptions, SendOptions, Transport, Trust};

/// A server that is well answers at once; what asks has a deadline of its own, usually 30 seconds.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) async fn run(config: &Config) -> Result<(), CliError> {
    let address = reachable(config.listen);
    let trust = Trust { operator_owned: true };
    let endpoint = Transport::new(EgressPolicy::default()).endpoint(EndpointOptions { tls_ca: None, trust });
    let endpoint = endpoint.map_err(|failure| CliError::Failed(failure.cause().message))?;
    let url = format!("http://{address}/readyz");
    // Nothing is signed: it is asked of nobody but this machine.
    let request = SignedRequest { method: Method::Get, url, headers: Vec::new(), body: Bytes::new() };
    let options = SendOptions { deadline: DEADLINE, ..SendOptions::default() };
    match endpoint.send(request, options).await {
        Ok(exchange) if exchange.reply.status == 200 => Ok(()),
        Ok(exchange) => Err(CliError::Failed(format!(
            "The server at {address} is not ready ({}). Its log says why.",
            exchange.reply.status
        ))),
        Err(failure) => Err(CliError::Failed(format!(
            "The server at {address} gave no answer. {} Is it running, with the same TOKTRA_SIEM_LISTEN?",
            failure.cause().message
        ))),
    }
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
