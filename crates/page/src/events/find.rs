//! Finding the id of an event in what people paste: the id with whatever clings to it, a link, a search of a SIEM, a whole event.

use toktra_siem_core::ids::EventId;

/// An id is written with this many hex digits.
const DIGITS: usize = 32;
/// The member of an event that has it.
const MEMBER: &str = "event_id";

/// The id in `pasted`: the one behind `event_id`, else the first that there is.
pub(super) fn event_id(pasted: &str) -> Option<EventId> {
    let text = without_escapes(pasted);
    let behind = text.match_indices(MEMBER).filter_map(|(at, _)| close(&text[at + MEMBER.len()..]));
    // What looks like the sign of an address may be the beginning of an id.
    behind.chain(first(&text)).chain(first(pasted)).next()
}

/// Addresses write signs as `%22`: each becomes a space, which parts words as well.
fn without_escapes(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let sign = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| !byte.is_ascii_alphanumeric());
        out.push(' ');
        rest = if sign.is_some() { &after[2..] } else { after };
    }
    out + rest
}

/// The id that stands directly behind a member's name, with nothing but signs between.
fn close(text: &str) -> Option<EventId> {
    at_start(text.trim_start_matches(|c: char| c.is_whitespace() || "\"'\\:=".contains(c)))
}

fn first(text: &str) -> Option<EventId> {
    let mut bounds = text.char_indices().map(|(at, _)| at).filter(|at| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(|c| !c.is_ascii_alphanumeric())
    });
    bounds.find_map(|at| at_start(&text[at..]))
}

/// The id that `text` begins with. Without hyphens it is one as well; a longer row of hex digits is not.
fn at_start(text: &str) -> Option<EventId> {
    let end = text.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(text.len());
    let id = text[..end].trim_end_matches('-');
    let goes_on = text[id.len()..].starts_with(|c: char| c.is_ascii_alphanumeric());
    if goes_on || id.bytes().filter(u8::is_ascii_hexdigit).count() != DIGITS { None } else { id.parse().ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0195a2b4-7c1e-7f00-8a2b-1c2d3e4f5a6b";
    const OTHER: &str = "11111111-2222-7333-8444-555555555555";

    #[test]
    fn the_id_is_found_in_whatever_is_pasted() {
        for pasted in [
            ID.to_owned(),
            format!("  {ID}\n"),
            format!("\"{ID}\","),
            ID.to_uppercase(),
            ID.replace('-', ""),
            format!("event_id={ID}"),
            format!("index=main event_id=\"{ID}\""),
            format!("@event_id:{ID}"),
            format!("https://siem.company.com/events/{ID}?x=1#y"),
            format!("/app/search?q=search%20event_id%3D%22{ID}%22"),
            format!(r#"{{"org_id":"{OTHER}","event_id":"{ID}","severity":"high"}}"#),
            format!("{{\n  \"org_id\": \"{OTHER}\",\n  \"event_id\": \"{ID}\"\n}}"),
            format!(r#"{{\"org_id\":\"{OTHER}\",\"event_id\":\"{ID}\"}}"#),
            format!("event_id is unknown; {ID}-"),
        ] {
            assert_eq!(event_id(&pasted).map(|id| id.to_string()).as_deref(), Some(ID), "{pasted}");
        }
        for pasted in ["", "event_id", "0195a2b4-7c1e", "ä", &format!("{ID}0"), &format!("a{ID}"), &"f".repeat(64)] {
            assert_eq!(event_id(pasted), None, "{pasted}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_found_between_any_words(id in any::<u128>(), before in "[^a-zA-Z0-9]{0,9}", after in "[^a-zA-Z0-9]{0,9}") {
            let id = EventId(uuid::Uuid::from_u128(id));
            prop_assert_eq!(event_id(&format!("{before}{id}{after}")), Some(id));
        }

        #[test]
        fn nothing_that_is_pasted_is_too_much(pasted in any::<String>()) {
            prop_assert_eq!(event_id(&pasted), None);
        }
    }
}
