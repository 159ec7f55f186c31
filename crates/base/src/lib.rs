//! What everybody needs from outside: the wall clock, random numbers, and the vault that seals secrets. Each is an adapter that tests
//! replace.

pub mod clock;
pub mod random;
pub mod rate;
pub mod vault;
