//! A strict Elasticsearch, Elastic serverless or OpenSearch — bulk indexing, index templates and a little reading —
//! after the references of Elasticsearch and of OpenSearch.

mod bulk;
mod field;
mod mapping;
mod replies;
mod rules;
mod search;
mod store;
mod template;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;

pub use rules::ElasticsearchRules;

use crate::receiver::{InMemory, Receiver, ReceiverOptions, Reply};

/// A running fake Elasticsearch or OpenSearch node.
pub type Elasticsearch = Receiver<ElasticsearchRules>;

/// The node's endpoints, each with a script of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /_bulk`
    Bulk,
    /// `/_index_template/<name>`
    Template,
    /// `GET /`
    Root,
    /// Everything else: reading documents, and unknown paths.
    Other,
}

/// Failures inside a bulk reply with HTTP status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// These items end as said; the others follow the rules.
    Items(Vec<ItemFault>),
    /// Everything is indexed, but the reply names this many items fewer.
    FewerItems(usize),
}

/// How chosen items of a bulk request end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFault {
    /// Which items.
    pub items: Items,
    /// Their status. 201 stores the document in the failure store (`failure_store: "used"`); any other stores nothing.
    pub status: u16,
    /// The error's type.
    pub kind: String,
    /// The error's reason.
    pub reason: String,
}

/// Which items of a bulk request are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Items {
    /// Those at these places, from 0.
    At(Vec<usize>),
    /// Those whose source has one of these `event_id`s.
    OfEvents(Vec<String>),
}

impl ItemFault {
    /// Items that end with this status and the error that a real node gives most often with it.
    pub fn new(items: Items, status: u16) -> Self {
        let (kind, reason) = replies::usual_error(status);
        Self { items, status, kind: kind.to_owned(), reason: reason.to_owned() }
    }

    /// 429 because the disk's flood stage made the index read-only.
    pub fn flood_stage(items: Items) -> Self {
        let reason = "index [toktra-security-events-2025.01.15] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded \
                      flood-stage watermark, index has read-only-allow-delete block];";
        Self { items, status: 429, kind: "cluster_block_exception".to_owned(), reason: reason.to_owned() }
    }
}

/// Whose product answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Elasticsearch, self-managed or hosted.
    Elasticsearch,
    /// Elastic serverless: no shards or replicas in a template.
    Serverless,
    /// OpenSearch: `flat_object` (from 2.7) instead of `flattened`.
    OpenSearch,
}

/// The credentials that the node accepts.
#[derive(Clone)]
pub enum Credentials {
    /// None are asked for.
    Open,
    /// `Authorization: ApiKey <encoded>`.
    ApiKey(String),
    /// `Authorization: Basic …` of user name and password.
    Basic(String, String),
    /// `Authorization: Bearer <token>`.
    Bearer(String),
}

impl Credentials {
    fn header(&self) -> Option<String> {
        match self {
            Self::Open => None,
            Self::ApiKey(encoded) => Some(format!("ApiKey {encoded}")),
            Self::Bearer(token) => Some(format!("Bearer {token}")),
            Self::Basic(user, password) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                Some(format!("Basic {pair}"))
            }
        }
    }
}

/// What the credentials may do (Elasticsearch's reference, "Security privileges").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each privilege is there or not, whatever the others are")]
pub struct Privileges {
    /// Cluster `monitor`: `GET /`.
    pub monitor: bool,
    /// Cluster `manage_index_templates`: reading and writing templates.
    pub manage_index_templates: bool,
    /// Index `create_doc` and `auto_configure`: without it every bulk item ends with 403.
    pub create_doc: bool,
    /// Index `read`: searching and reading documents.
    pub read: bool,
}

impl Default for Privileges {
    fn default() -> Self {
        Self { monitor: true, manage_index_templates: true, create_doc: true, read: true }
    }
}

/// How this node is set up.
#[derive(Clone)]
pub struct ElasticsearchOptions {
    /// Whose product answers. Default Elasticsearch.
    pub flavour: Flavour,
    /// `version.number`. Default `9.1.0`, or `3.4.0` for OpenSearch.
    pub version: String,
    /// The credentials that it accepts. Default none asked for.
    pub credentials: Credentials,
    /// What they may do at the start. Default everything.
    pub privileges: Privileges,
    /// The largest body, on the wire and inflated, in bytes. Default 100 MiB (`http.max_content_length`).
    pub max_bytes: usize,
    /// How many indices it may have (`cluster.max_shards_per_node`). Default no limit.
    pub max_indices: usize,
    /// What all receivers have in common.
    pub receiver: ReceiverOptions,
}

impl ElasticsearchOptions {
    /// A node of this flavour in a current version, open to everyone.
    pub fn new(flavour: Flavour) -> Self {
        let version = if flavour == Flavour::OpenSearch { "3.4.0" } else { "9.1.0" };
        Self {
            flavour,
            version: version.to_owned(),
            credentials: Credentials::Open,
            privileges: Privileges::default(),
            max_bytes: 100 * 1024 * 1024,
            max_indices: usize::MAX,
            receiver: ReceiverOptions::default(),
        }
    }
}

/// An error of the whole request, for scripts: for example 429 with `es_rejected_execution_exception`.
///
/// # Panics
/// If `status` is not an HTTP status.
pub fn error_reply(status: u16, kind: &str, reason: &str) -> Reply {
    replies::error(status, kind, reason)
}

#[expect(clippy::unused_async, reason = "listening needs a runtime, which an async function cannot be called without")]
impl Elasticsearch {
    /// One without a socket.
    pub fn in_memory(options: ElasticsearchOptions) -> InMemory<ElasticsearchRules> {
        InMemory::new(ElasticsearchRules::new(options))
    }

    /// Starts to listen. Fails as any listener does, and where certificate or record file cannot be used.
    pub async fn start(options: ElasticsearchOptions) -> io::Result<Self> {
        let receiver = options.receiver.clone();
        Self::launch(ElasticsearchRules::new(options), &receiver)
    }

    /// As [`Elasticsearch::start`], on this address: a node that comes back on its old port, without its documents.
    pub async fn start_on(address: SocketAddr, mut options: ElasticsearchOptions) -> io::Result<Self> {
        options.receiver.listen = address;
        Self::start(options).await
    }

    /// Replaces the accepted credentials.
    pub fn set_credentials(&self, credentials: &Credentials) {
        self.rules().set_credentials(credentials);
    }

    /// Changes what the credentials may do.
    pub fn set_privileges(&self, privileges: Privileges) {
        self.rules().set_privileges(privileges);
    }

    /// As many searches from now on find nothing: the index was not refreshed yet.
    pub fn hide_from(&self, searches: u32) {
        self.rules().hide_from(searches);
    }

    /// The stored documents: by index, then by `_id`, each source exactly as sent.
    pub fn documents(&self) -> BTreeMap<String, BTreeMap<String, Bytes>> {
        self.rules().documents()
    }

    /// The stored index templates by name.
    pub fn templates(&self) -> BTreeMap<String, Value> {
        self.rules().templates()
    }
}
