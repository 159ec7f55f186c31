//! Who somebody is: people and their passwords, sessions, API keys, the first login, and how often it may be tried.

pub mod api_keys;
pub mod devices;
pub mod first_login;
pub mod guesses;
pub mod passwords;
pub mod sessions;
