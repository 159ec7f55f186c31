//! The fake receivers seen from outside: what a sender gets for each request, and what a test can then read. Nothing
//! here is shared with the product's own client or encoders.

#![expect(clippy::unwrap_used, reason = "helpers of tests too: a panic is the report")]

mod binary;
mod channels;
mod client;
mod datadog;
mod elasticsearch;
mod scripts;
mod splunk;
mod tls;
