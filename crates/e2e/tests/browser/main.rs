//! The pages in a real browser: on a phone and on a desk, light and dark, with a keyboard, without JavaScript, and under the eyes of axe-core.
//! One binary, so that it is linked once.
#![cfg(test)]

mod again;
mod answers;
mod appearance;
mod company;
mod connector;
mod everywhere;
mod found;
mod history;
mod keyboard;
mod live;
mod login;
mod looks;
mod misconfigured;
mod notifications;
mod people;
mod reference;
mod security;
mod set_up;
mod setup;
mod tools;
mod yesterday;
