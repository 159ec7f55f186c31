//! Journeys of the running binary: real and fake Elasticsearch, restarts, kills, connectors of the environment, the egress policy,
//! and the server held to its own OpenAPI document.
//! One binary, so that it is linked once. At the end of every journey the accounts of every connector add up.
#![cfg(test)]

mod balancer;
mod damage;
mod egress;
mod egress_proxy;
mod elasticsearch_details;
mod elasticsearch_fake;
mod elasticsearch_mapping;
mod elasticsearch_others;
mod elasticsearch_real;
mod elasticsearch_template;
mod environment;
mod first_run;
mod first_start;
mod full_disk;
mod hec_collector;
mod hec_dialects;
mod insight;
mod jobs;
mod kill;
mod logs;
mod metrics;
mod nodes;
mod notifications;
mod openapi;
mod proxy;
mod restart;
mod secrets;
mod test_delivery;
mod traces;
