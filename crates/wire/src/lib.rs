//! The API as types: what requests, answers and problems look like to whoever speaks with it. No logic. API, page and command line share
//! them, and the OpenAPI document is made of them: the comments here are read by users.

mod accounting;
mod audit;
mod connectors;
mod deliveries;
mod events;
mod health;
mod jobs;
mod keys;
mod list;
mod orgs;
mod platforms;
mod preview;
mod problem;
mod secrets;
mod service;
mod sessions;
mod setup;
mod tests;
mod text;
mod traffic;
mod users;
mod word;

pub use accounting::*;
pub use audit::*;
pub use connectors::*;
pub use deliveries::*;
pub use events::*;
pub use health::*;
pub use jobs::*;
pub use keys::*;
pub use list::*;
pub use orgs::*;
pub use platforms::*;
pub use preview::*;
pub use problem::*;
pub use secrets::*;
pub use service::*;
pub use sessions::*;
pub use setup::*;
pub use tests::*;
pub use text::*;
pub use traffic::*;
pub use users::*;
pub use word::*;
