//! What can be asked for: each use case is one function. It takes the [`App`], the [`Caller`], and what was given as text or JSON
//! ([`Query`], [`Object`]); it checks the right, reads and validates, applies, writes the line of the audit log, tells dispatch, and
//! answers with a type of [`toktra_siem_wire`] or a [`Refusal`]. API and page call the same functions, so the page can show and do nothing
//! that the API would not.

pub mod accounting;
pub mod acknowledge;
pub mod audit;
mod backlog;
pub mod brief;
mod cache;
mod caller;
pub mod channels;
pub mod connectors;
pub mod deliveries;
pub mod events;
mod farewell;
pub mod first_admin;
pub mod health;
pub mod index_template;
mod ingest;
pub mod jobs;
mod json;
pub mod keys;
mod named;
mod object;
pub mod once;
pub mod orgs;
mod outcome;
mod phrase;
pub mod platforms;
pub mod preview;
mod principal;
mod query;
mod refusal;
pub mod secrets;
pub mod sent;
mod sentence;
pub mod sessions;
pub mod setup;
mod state;
#[cfg(test)]
mod tests;
pub mod traffic;
pub mod users;
mod words;

pub use caller::Caller;
pub use named::{Named, named};
pub use object::Object;
pub use principal::{KeyRing, Principal};
pub use query::Query;
pub use refusal::{Code, LISTED, Refusal, Result};
pub use state::{App, Dispatch, Limits, Parts, TemplateFailure, TemplateReport, TestFailure, TestRequest};
