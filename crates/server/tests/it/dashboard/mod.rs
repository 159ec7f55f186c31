//! The page over a real socket, as a browser without script would use it, and as htmx would: a file for each part of it, and one for the
//! guard in front of all.

mod audit;
mod bench;
mod events;
mod guard;
mod setup;
mod stray;
mod verify;
