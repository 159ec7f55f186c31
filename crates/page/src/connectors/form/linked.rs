//! A fingerprint that came with the address of the form: "Trust this certificate" is a link, and anybody can write such a link. So it is
//! put beside what stands there, and the field says where it came from.

use toktra_siem_core::certificate::{fingerprints, printed};

use super::draft::Values;

/// The setting that an address may fill in.
pub const FINGERPRINT: &str = "tls_fingerprint";

/// Puts the fingerprints of a link into the form, if they are some and are not there yet; what the field says of it.
pub(super) fn fill(values: &mut Values, given: &str) -> Option<String> {
    let there = values.of(FINGERPRINT).to_owned();
    let known = fingerprints(&there).unwrap_or_default();
    let mut new = fingerprints(given).ok()?;
    new.retain(|fingerprint| !known.contains(fingerprint));
    let new: Vec<String> = new.iter().map(|fingerprint| printed(fingerprint)).collect();
    let first = new.first()?;
    let what = if new.len() == 1 { first.clone() } else { format!("{} fingerprints", new.len()) };
    let others = if there.is_empty() {
        ""
    } else {
        " The ones that stood here before are still trusted: take away what your SIEM does not show any more."
    };
    let both = if there.is_empty() { new } else { [vec![there], new].concat() };
    values.fill(FINGERPRINT, &both.join(","));
    Some(format!(
        "{what} came with the link to this page, and is not saved. Before you save it, compare it with what your SIEM's own machine \
         prints.{others}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_adds_fingerprints_replaces_none_and_is_named() {
        let fill = |there: &str, given: &str| {
            let mut values = Values::default();
            values.fill(FINGERPRINT, there);
            let said = super::fill(&mut values, given);
            (values.of(FINGERPRINT).to_owned(), said)
        };
        let (old, new) = (printed(&[0xab; 32]), printed(&[0xcd; 32]));
        let (value, said) = fill("", &"cd".repeat(32));
        let said = said.unwrap();
        assert!(value == new && said.contains(&new) && said.contains("came with the link"), "{value}: {said}");
        let (value, said) = fill(&old, &new);
        assert!(value == format!("{old},{new}") && said.unwrap().contains("still trusted"), "{value}");
        let both = format!("{old},{new}");
        for (there, given) in [(&*old, "hello"), ("", "ab"), (&*old, &*old), (&*both, &*new), ("", ""), ("odd", "odd")]
        {
            assert_eq!(fill(there, given), (there.to_owned(), None), "{given}");
        }
        assert_eq!(fill("odd", &new).0, format!("odd,{new}"), "what was typed stays, whatever it is");
    }
}
