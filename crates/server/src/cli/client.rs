//! The commands' side of the API: requests with a key, answers as JSON, errors as a paragraph.
//!
//! It goes out through the product's own transport: the same verified TLS, and the same explanations where no answer comes.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use toktra_siem_core::connector::endpoint;
use toktra_siem_core::destination::{HeaderText, Method, Reply};
use toktra_siem_core::signing::SignedRequest;

use super::{CliError, World};
use crate::transport::{EgressPolicy, Endpoint, EndpointOptions, SendOptions, Transport, Trust};

/// How often a request is repeated that the server has no room for at the moment.
const BUSY_RETRIES: u32 = 5;
/// The longest pause that is believed of `Retry-After`.
const LONGEST_PAUSE: u64 = 30;
const JSON: &str = "application/json";

/// Which server, and with which key.
#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    /// The server's URL [default: TOKTRA_SIEM_URL, or http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The API key; better given as TOKTRA_SIEM_API_KEY, which other users of the machine cannot see
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<SecretString>,
}

/// A server, as commands see it.
pub struct Client {
    base: String,
    key: SecretString,
    endpoint: Endpoint,
}

impl ServerOptions {
    /// The client of the server that options and environment name.
    pub(super) fn client(&self, world: &World<'_>) -> Result<Client, CliError> {
        let url = self.url.as_deref().or_else(|| world.environment.get("TOKTRA_SIEM_URL"));
        let key = self.api_key.clone().or_else(|| world.environment.get("TOKTRA_SIEM_API_KEY").map(SecretString::from));
        let key = key.ok_or_else(|| {
            CliError::Usage(
                "An API key is needed: set TOKTRA_SIEM_API_KEY, or give --api-key. `toktra-siem key create` makes one."
                    .to_owned(),
            )
        })?;
        Client::new(url.unwrap_or("http://127.0.0.1:8080"), key)
    }
}

impl Client {
    /// A client of the server at `url` that calls with `key`.
    pub fn new(url: &str, key: SecretString) -> Result<Self, CliError> {
        let base = endpoint::base_url(url).map_err(|why| CliError::Usage(format!("The server's URL {why}.")))?;
        // The user's own server: it may be in the private network, and without TLS on this machine.
        let trust = Trust { operator_owned: true };
        let endpoint = Transport::new(EgressPolicy::default()).endpoint(EndpointOptions { tls_ca: None, trust });
        let endpoint = endpoint.map_err(|failure| CliError::Failed(failure.cause().message))?;
        Ok(Self { base, key, endpoint })
    }

    /// The answer to a `GET` of `path`.
    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::Get, path, JSON, Bytes::new()).await
    }

    /// The answer to a `POST` of a JSON body to `path`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::Post, path, JSON, body.to_string().into()).await
    }

    /// The answer to a `POST` of these bytes to `path`.
    pub async fn post_bytes(&self, path: &str, kind: &'static str, body: Bytes) -> Result<Value, CliError> {
        self.call(Method::Post, path, kind, body).await
    }

    /// Repeats a request that the server has no room for at the moment: nothing of it was kept.
    async fn call(&self, method: Method, path: &str, kind: &'static str, body: Bytes) -> Result<Value, CliError> {
        let mut tries = 0;
        loop {
            let reply = self.send(method, path, kind, body.clone()).await?;
            tries += 1;
            if reply.status != 429 || tries > BUSY_RETRIES {
                return read(&reply);
            }
            let asked = reply.retry_after.as_deref().and_then(|text| text.trim().parse().ok()).unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(LONGEST_PAUSE.min(asked))).await;
        }
    }

    async fn send(&self, method: Method, path: &str, kind: &'static str, body: Bytes) -> Result<Reply, CliError> {
        let authorization = SecretString::from(format!("Bearer {}", self.key.expose_secret()));
        let headers = vec![
            ("authorization", HeaderText::Secret(authorization)),
            ("content-type", HeaderText::Plain(kind.into())),
        ];
        // Nothing is signed: the key says who calls.
        let request = SignedRequest { method, url: format!("{}{path}", self.base), headers, body };
        match self.endpoint.send(request, SendOptions::default()).await {
            Ok(exchange) => Ok(exchange.reply),
            Err(failure) => Err(CliError::Failed(format!(
                "The server at {} gave no answer. {} Is it running? --url or TOKTRA_SIEM_URL names another one.",
                self.base,
                failure.cause().message
            ))),
        }
    }
}

/// The answer, or what the server says is wrong.
fn read(reply: &Reply) -> Result<Value, CliError> {
    let answer: Option<Value> = serde_json::from_slice(&reply.body).ok();
    match (reply.status, answer) {
        (200..=299, Some(answer)) => Ok(answer),
        (status, Some(answer)) if answer["error"]["message"].is_string() => {
            let mut text =
                format!("The server refused ({status}): {}", answer["error"]["message"].as_str().unwrap_or_default());
            let fields = answer["error"]["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            for field in fields.iter().filter(|_| fields.len() > 1) {
                let part = |name: &str| field[name].as_str().unwrap_or_default().to_owned();
                text = text + "\n  - " + &part("pointer") + ": " + &part("message");
            }
            Err(CliError::Failed(text))
        }
        (status, _) => Err(CliError::Failed(format!(
            "What answered is not a Toktra SIEM server (HTTP {status}). Check the URL, and whether a proxy stands in between."
        ))),
    }
}
