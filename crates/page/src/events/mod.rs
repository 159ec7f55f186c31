//! Events: the newest of them, and where one of them is.

pub(super) mod list;
pub(super) mod one;

mod find;
pub(super) mod model;
