//! The audit log: who changed what, and when, in sentences.

pub(super) mod list;

mod diff;
mod model;
mod sentence;
