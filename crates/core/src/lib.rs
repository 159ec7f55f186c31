//! The pure heart of Toktra SIEM: what an event is, who gets it, and what follows from what became of a request. How a batch becomes a
//! request, and what a reply means, is each platform's (`toktra-siem-platform`).
//!
//! Nothing in this crate reads a clock, draws a random number, touches a socket or a disk: it could not, for want of the
//! dependencies. The server, the simulation and the property tests therefore drive the very same functions, and a failing run
//! can be replayed from its inputs alone.
//!
//! Start with [`event`] (what comes in), then [`destination`] (how it goes out), then [`delivery`] and [`breaker`] (what happens
//! when it does not).

pub mod accounting;
pub mod breaker;
pub mod cause;
pub mod certificate;
pub mod connector;
pub mod delivery;
pub mod destination;
pub mod event;
pub mod exchange;
pub mod fault;
pub mod filter;
pub mod histogram;
pub mod ids;
pub mod invariant;
pub mod job;
pub mod members;
pub mod notice;
pub mod outage;
pub mod people;
pub mod signing;
pub mod time;
pub mod traffic;
