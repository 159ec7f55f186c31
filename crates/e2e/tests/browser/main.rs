//! The pages in a real browser: on a phone and on a desk, light and dark, with a keyboard, without JavaScript, and under the eyes of axe-core.
//! One binary, so that it is linked once.

#[cfg(test)]
mod again;
#[cfg(test)]
mod appearance;
#[cfg(test)]
mod company;
#[cfg(test)]
mod connector;
#[cfg(test)]
mod everywhere;
#[cfg(test)]
mod history;
#[cfg(test)]
mod keyboard;
#[cfg(test)]
mod live;
#[cfg(test)]
mod login;
#[cfg(test)]
mod looks;
#[cfg(test)]
mod misconfigured;
#[cfg(test)]
mod people;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod security;
#[cfg(test)]
mod set_up;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod yesterday;
