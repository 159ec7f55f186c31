//! The destinations from outside: golden requests and replies of each platform (`fixtures/`), every row of the reply tables, and what must
//! hold for any batch and any reply.

mod datadog;
mod elasticsearch;
mod excerpts;
mod hec_dialects;
mod order;
mod outcomes;
mod pasted;
mod properties;
mod splunk;
mod support;
mod template;
mod webhook;
