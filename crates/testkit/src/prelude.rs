//! What nearly every test of the running product names: `use toktra_siem_testkit::prelude::*`.

pub use serde_json::{Value, json};
pub use toktra_siem_fake::{Behaviour, Gate, Reply};

pub use crate::browser::{Page, Theme};
pub use crate::client::{Answer, Client};
pub use crate::json::Json;
pub use crate::poll;
pub use crate::server::{API_KEY, ServerSetup};
pub use crate::tab::{Tab, content};
pub use crate::world::*;
