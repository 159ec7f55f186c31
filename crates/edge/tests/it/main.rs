//! The edge over real sockets, with a face that does nothing but read bodies.

mod bench;
mod bodies;
mod connections;
mod messages;
mod refused;
