//! One world for every test of the running product: a server, fakes of the SIEMs beside it, orgs, keys, people and connectors that are made
//! through the API, a browser, and what tests do with all of that again and again.
//!
//! The test says where the server runs. [`World::start`] runs the built binary as a child process, which can be stopped, killed and started
//! again; [`World::here`] serves in this process, with a clock that the test moves and with what stands behind the API in reach. Either
//! way the world is also its default org ([`Org`]), seen with the bootstrap key, and an org is also a [`Client`](crate::client::Client):
//!
//! ```no_run
//! # async fn journey() {
//! use toktra_siem_testkit::world::{World, event, splunk};
//! let (world, splunk) = (World::start().await, splunk().await);
//! let connector = world.connect(&splunk).await;
//! world.post_event(event("anomaly", "high")).await;
//! connector.accounted(&[("delivered", 1)]).await;
//! world.end().await;
//! # }
//! ```
//!
//! Nothing here depends on how busy the machine is: whatever has to become true is asked for until it is, in the pace that a key may ask.
#![expect(clippy::unwrap_used, reason = "only tests run this, and what is not there fails them")]

mod command;
mod connector;
mod here;
mod nginx;
mod office;
mod org;
mod process;
mod recorder;
mod siems;
mod whole;

use std::ops::{Deref, DerefMut};

pub use self::{
    command::*, connector::*, here::*, nginx::*, office::*, org::*, process::*, recorder::*, siems::*, whole::*,
};
use crate::browser::Browser;

/// The password of every person.
pub const PASSWORD: &str = "canary horse battery staple";

/// A server, which is a [`Process`] of its own or [`InProcess`], and what tests do with it.
#[derive(Debug)]
pub struct World<S = Process> {
    server: S,
    /// Ends with the world.
    browser: Option<Browser>,
}

impl<S> Deref for World<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.server
    }
}

impl<S> DerefMut for World<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.server
    }
}
