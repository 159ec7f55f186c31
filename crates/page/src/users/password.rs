//! The password of a form about somebody else: made up to be handed over, or typed.

use secrecy::SecretString;
use toktra_siem_base::random::Random;
use toktra_siem_identity::passwords::made_up;

use crate::form::Form;

/// How a form wants a password: made up, or as it was typed.
pub(super) struct Chosen {
    pub(super) password: SecretString,
    pub(super) made_up: bool,
}

impl Chosen {
    pub(super) fn of(form: &Form, random: &dyn Random) -> Self {
        if form.text("how") == "typed" {
            return Self { password: form.secret("password").unwrap_or_default(), made_up: false };
        }
        Self { password: made_up(random), made_up: true }
    }

    /// What is to be shown: what was typed is known.
    pub(super) fn into_shown(self) -> Option<SecretString> {
        self.made_up.then_some(self.password)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use toktra_siem_base::random::SeededRandom;

    #[test]
    fn what_was_typed_is_not_shown_again() {
        let chosen = |form: &[u8]| Chosen::of(&Form::parse(form), &SeededRandom::new(1));
        let typed = chosen(b"how=typed&password=correct+horse");
        assert_eq!(typed.password.expose_secret(), "correct horse");
        assert!(typed.into_shown().is_none());
        assert!(chosen(b"how=made-up&password=correct+horse").into_shown().is_some());
        assert!(chosen(b"").into_shown().is_some());
    }
}
