//! The page over a real socket, as a browser without script would use it, and as htmx would: a file for each part of it, and one for the
//! guard in front of all.

mod account;
mod audit;
mod connector;
mod deliveries;
mod entrance;
mod events;
mod first_run;
mod guard;
mod jobs;
mod keys;
mod list;
mod live;
mod live_script;
mod notifications;
mod once;
mod setup;
mod stray;
mod trust;
mod users;
mod verify;
