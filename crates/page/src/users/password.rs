//! The password of a form about somebody else: made up to be handed over, or typed.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::form::Form;

/// How a form wants a password: made up by the API, which then shows it, or as it was typed.
pub(super) struct Chosen(Option<SecretString>);

impl Chosen {
    pub(super) fn of(form: &Form) -> Self {
        Self((form.text("how") == "typed").then(|| form.secret("password").unwrap_or_default()))
    }

    /// Whether it was typed.
    pub(super) fn typed(&self) -> bool {
        self.0.is_some()
    }

    /// `body` with it.
    pub(super) fn in_body(&self, mut body: Value) -> Value {
        match &self.0 {
            Some(typed) => body["password"] = json!(typed.expose_secret()),
            None => body["make_password"] = json!(true),
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_what_was_typed_or_made_up_by_the_api() {
        let body = |form: &[u8]| Chosen::of(&Form::parse(form)).in_body(json!({ "name": "Jo" }));
        assert_eq!(body(b"how=typed&password=correct+horse"), json!({ "name": "Jo", "password": "correct horse" }));
        for made_up in [&b"how=made-up&password=correct+horse"[..], b""] {
            assert_eq!(body(made_up), json!({ "name": "Jo", "make_password": true }));
        }
    }
}
