//! Journeys of the running binary: real and fake Elasticsearch, restarts, kills, connectors of the environment, the egress policy,
//! and the server held to its own OpenAPI document.
//! One binary, so that it is linked once. At the end of every journey the accounts of every connector add up.

#[cfg(test)]
mod egress;
#[cfg(test)]
mod elasticsearch_fake;
#[cfg(test)]
mod elasticsearch_real;
#[cfg(test)]
mod environment;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod insight;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod test_delivery;
#[cfg(test)]
mod traces;
