//! Passwords that are made up for somebody: to be read, said and typed once.

use secrecy::SecretString;

use toktra_siem_base::random::Random;

/// What cannot be mistaken for one another, in whichever font.
const LETTERS: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Letters of a group.
const GROUP: usize = 5;
/// Groups: 4 · 5 letters of 31 are 99 bits.
const GROUPS: usize = 4;

/// A new one: `kx7qp-9m2vd-tt4hc-w8rzn`.
pub fn made_up(random: &dyn Random) -> SecretString {
    let mut text = String::with_capacity(GROUPS * (GROUP + 1));
    while text.len() < GROUPS * (GROUP + 1) - 1 {
        if text.len() % (GROUP + 1) == GROUP {
            text.push('-');
        }
        text.push(letter(random));
    }
    text.into()
}

/// Each letter is as likely as any other: what would favour some is thrown away.
fn letter(random: &dyn Random) -> char {
    loop {
        let mut byte = [0];
        random.fill(&mut byte);
        if let Some(letter) = LETTERS.get(usize::from(byte[0] >> 3)) {
            return char::from(*letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret as _;

    use super::*;
    use toktra_siem_base::random::SeededRandom;

    #[test]
    fn it_can_be_read_aloud_and_every_letter_occurs() {
        let random = SeededRandom::new(3);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let password = made_up(&random);
            let text = password.expose_secret();
            let groups: Vec<&str> = text.split('-').collect();
            assert_eq!((groups.len(), text.len()), (GROUPS, 23), "{text}");
            assert!(
                groups.iter().all(|group| group.len() == GROUP && group.bytes().all(|b| LETTERS.contains(&b))),
                "{text}"
            );
            assert!(crate::passwords::check(text, None).is_ok());
            seen.extend(text.bytes());
        }
        assert_eq!(seen.len(), LETTERS.len() + 1);
    }
}
