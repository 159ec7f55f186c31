//! Every bound of the outermost ring, in one place.

use std::time::Duration;

use crate::bodies;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of a body that count for nothing: the buffer that each connection has anyway holds them.
pub const UNCOUNTED: usize = 8 * KIB;
/// The longest body of a request by somebody who is not logged in, in the API.
pub const OPEN_BODY: usize = 4 * KIB;
/// The same for a form of the page.
pub const OPEN_FORM: usize = 16 * KIB;
/// Bytes of a refused body that are read so that the connection can be used again. Where more is to come, it is closed.
pub const DISCARDED: u64 = 256 * KIB as u64;
/// How long that may take.
pub const DISCARDING: Duration = Duration::from_secs(5);
/// How long a client that is still sending may be silent before a connection that has ended is closed for good.
pub const SILENCE: Duration = Duration::from_secs(10);
/// The same where the client had sent all of its request.
pub const SILENCE_AFTER: Duration = Duration::from_millis(500);
/// The longest that a connection which has ended is kept, so that the client reads the answer.
pub const LEAVING: Duration = Duration::from_secs(30);
/// What a client that is slow has to take of an answer in each stretch of [`Limits::stall`].
pub const TAKEN: usize = 64 * KIB;
/// Connections at a time that are told why they are refused; more are just closed.
pub const TOLD: usize = 64;
/// How long a connection that is refused may take to send a head.
pub const TELLING: Duration = Duration::from_secs(1);

/// The bounds that can be set.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time (`TOKTRA_SIEM_MAX_CONNECTIONS`).
    pub connections: usize,
    /// How long a connection is kept while it waits for another request (`TOKTRA_SIEM_KEEP_ALIVE`).
    pub keep_alive: Duration,
    /// How long the head of a request may take, from its first byte on, or from the connection's beginning for the first one.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a client that is slow may take for [`TAKEN`] of an answer, or for what is left of it.
    pub stall: Duration,
    /// How long requests under way may take once the service ends.
    pub farewell: Duration,
    /// Memory for the bodies of those who have shown a key or a session.
    pub bodies: bodies::Bounds,
    /// Memory for the bodies of all others. Each takes [`OPEN_FORM`] of it from when a part of it has come until all has.
    pub open: bodies::Bounds,
}

impl Limits {
    /// Connections of one address, at most.
    pub fn of_address(&self) -> usize {
        (self.connections / 4).max(1)
    }

    /// Connections of one API key or person, at most.
    pub fn of_key(&self) -> usize {
        (self.connections / 2).max(1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        let patience = Duration::from_secs(5);
        Self {
            connections: 4096,
            keep_alive: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            farewell: Duration::from_secs(5),
            // Slower than this, the largest body does not arrive in the time that it has.
            bodies: bodies::Bounds { all: 32 * MIB, key: 16 * MIB, address: 24 * MIB, pace: 4 * MIB / 30, patience },
            open: bodies::Bounds { all: 64 * OPEN_FORM, key: 0, address: 16 * OPEN_FORM, pace: OPEN_FORM, patience },
        }
    }
}
