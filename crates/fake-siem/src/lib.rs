//! Strict fake receivers of Splunk, Datadog, Elasticsearch (with OpenSearch) and webhooks, and of the notification channels Slack, Teams and
//! PagerDuty, written from the vendors' documentation alone.
//!
//! They share no code with `toktra-siem-core`: a fake that used the product's own encoder would agree with whatever
//! that encoder does. Each answers as the real platform would and notes every breach of its rules as a
//! [`Violation`], so that a test can assert that there was none. The demo, the server's tests and the simulation all
//! use them; `fake-siem` runs one as a process of its own.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use toktra_siem_fake::{Behaviour, Reply, splunk::{Endpoint, Splunk, SplunkOptions}};
//!
//! let splunk = Splunk::start(SplunkOptions::new("a-token")).await?;
//! // The next request meets a 503, the one after it strict rules again.
//! splunk.script(Endpoint::Event, [Behaviour::reply(Reply::empty(503))]);
//! assert!(splunk.base_url().starts_with("http://127.0.0.1:"));
//! assert_eq!(splunk.scripted(Endpoint::Event), 1);
//! splunk.stop().await;
//! # Ok(()) }
//! ```

pub mod datadog;
pub mod elasticsearch;
mod json;
pub mod pagerduty;
pub mod proxy;
mod receiver;
mod refresh;
pub mod slack;
pub mod splunk;
pub mod teams;
pub mod verify;
pub mod webhook;

pub use receiver::{
    Accepted, Behaviour, Counts, Delivery, Gate, InMemory, Judgement, Log, Received, Receiver, ReceiverOptions,
    Recorded, Recording, Reply, Rules, Tls, Unreadable, Violation,
};
