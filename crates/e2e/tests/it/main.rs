//! The server from the outside: one binary, so that it is linked once.
#![cfg(test)]

mod acme;
mod api;
mod command_line;
mod dashboard;
mod environment;
mod first_people;
mod hec_dialects;
mod hints;
mod isolation;
mod nginx;
mod ops;
mod outage;
mod packages;
mod places;
mod reproduce;
mod sent;
mod serve;
mod webhook;
