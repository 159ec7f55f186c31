//! The edge over real sockets, with a face that does nothing but read bodies.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod refused;
