//! Jobs: sending again what failed or a range of the past, or giving up what is parked; what that comes to before, and how far it is.

pub(super) mod begin;
pub(super) mod list;
pub mod model;
pub(super) mod page;
