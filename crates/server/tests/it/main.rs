//! The server from the outside: one binary, so that it is linked once.

#[cfg(test)]
mod api;
