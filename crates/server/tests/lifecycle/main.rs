//! Journeys of the running binary: real and fake Elasticsearch, restarts, kills, connectors of the environment, and the egress policy.
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
mod insight;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod support;
