//! The server from the outside: one binary, so that it is linked once.

#[cfg(test)]
mod acme;
#[cfg(test)]
mod api;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod environment;
#[cfg(test)]
mod first_people;
#[cfg(test)]
mod hints;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod serve;
