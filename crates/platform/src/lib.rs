//! The platforms that events go to: what each is ([`descriptor`]) and how it is spoken to ([`destination`]), one folder for each, and the
//! [`Registry`] that knows which there are.
//!
//! Nothing here reads a clock, draws a random number, touches a socket or a disk. Outside this crate nobody asks which platform a connector
//! is of: whoever wants to know something asks its descriptor.
//!
//! To add a platform, write its folder and add a line to [`Registry::standard`].

pub mod advice;
pub mod body;
pub mod checks;
pub mod common;
pub mod datadog;
pub mod descriptor;
pub mod destination;
pub mod elasticsearch;
pub mod endpoint;
pub mod facts;
pub mod group;
pub mod headers;
mod login;
pub mod paste;
pub mod pem;
pub mod prerequisite;
pub mod read;
pub mod registry;
pub mod reply;
pub mod reproduce;
pub mod search;
pub mod splunk;
pub mod view;
pub mod webhook;

pub use descriptor::{Descriptor, Field};
pub use destination::Destination;
pub use registry::{BuildError, Plan, Platform, Registry};
