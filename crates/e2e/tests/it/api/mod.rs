//! The HTTP API over a real socket, with the embedded store behind it: a file for each group of routes, and one for the whole table.

mod audit;
mod certificates;
mod channels;
mod connectors;
mod edge;
mod egress;
mod events;
mod examples;
pub(crate) mod history;
mod insight;
mod jobs;
mod keys;
mod limits;
mod metrics;
mod once;
mod orgs;
mod refusals;
mod serving;
mod sessions;
mod signing;
mod stalled;
mod test_delivery;
mod users;
