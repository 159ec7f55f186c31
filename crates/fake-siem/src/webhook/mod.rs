//! A strict webhook receiver, after docs/webhook.md and the Standard Webhooks specification: one URL, one way
//! to log in, one shape of body, and a signature over exactly the bytes that came.

mod rules;

use std::io;
use std::net::SocketAddr;

pub use rules::WebhookRules;

use crate::receiver::{InMemory, Receiver, ReceiverOptions};

/// A running fake webhook receiver.
pub type Webhook = Receiver<WebhookRules>;

/// A receiver's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The URL's path.
    Hook,
    /// Any other path: answered 404.
    Other,
}

/// A receiver's failures that depend on what a request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 400 for every request whose body contains this text: a poison event, found only by splitting.
    Poison(String),
}

/// How a sender logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Not at all: an `Authorization` header is a breach.
    None,
    /// `Authorization: Bearer` with this token.
    Bearer(String),
    /// `Authorization: Basic` with this user name and password.
    Basic(String, String),
}

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One object.
    Event,
    /// An array of objects, none of them missing.
    Array,
    /// One object a line, each line ended.
    Lines,
    /// One object as Standard Webhooks recommends: `type`, `timestamp` and `data`. It has no `event_id`.
    Message,
}

/// How this receiver is set up.
#[derive(Clone)]
pub struct WebhookOptions {
    /// Path and query of its URL.
    pub path: String,
    /// How a sender logs in. By default not at all.
    pub login: Login,
    /// Headers that must be there, by their names in small letters, with their values.
    pub headers: Vec<(String, String)>,
    /// What a body holds. By default one event.
    pub shape: Shape,
    /// The secret of the signatures, which must be there and right then. By default none is looked at.
    pub secret: Option<String>,
    /// The largest body, in bytes. Default 1,000,000.
    pub max_bytes: usize,
    /// What all receivers have in common.
    pub receiver: ReceiverOptions,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            path: "/hook".to_owned(),
            login: Login::None,
            headers: Vec::new(),
            shape: Shape::Event,
            secret: None,
            max_bytes: 1_000_000,
            receiver: ReceiverOptions::default(),
        }
    }
}

#[expect(clippy::unused_async, reason = "listening needs a runtime, which an async function cannot be called without")]
impl Webhook {
    /// One without a socket.
    pub fn in_memory(options: WebhookOptions) -> InMemory<WebhookRules> {
        InMemory::new(WebhookRules::new(options))
    }

    /// Starts to listen. Fails as any listener does, and where certificate or record file cannot be used.
    pub async fn start(options: WebhookOptions) -> io::Result<Self> {
        let receiver = options.receiver.clone();
        Self::launch(WebhookRules::new(options), &receiver)
    }

    /// As [`Webhook::start`], on this address: a receiver that comes back on its old port.
    pub async fn start_on(address: SocketAddr, mut options: WebhookOptions) -> io::Result<Self> {
        options.receiver.listen = address;
        Self::start(options).await
    }

    /// The URL to give to a connector.
    pub fn url(&self) -> String {
        format!("{}{}", self.base_url(), self.rules().path())
    }
}
