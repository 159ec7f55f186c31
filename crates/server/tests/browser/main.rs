//! The pages in a real browser: on a phone and on a desk, light and dark, with a keyboard, without JavaScript, and under the eyes of axe-core.
//! One binary, so that it is linked once.

#[cfg(test)]
mod people;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod support;
