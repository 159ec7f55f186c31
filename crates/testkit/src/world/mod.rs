//! A server and what it takes to try it.

mod here;

pub use here::*;
