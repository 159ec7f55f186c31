//! JSON as text: with and without white space, otherwise byte for byte. Nothing is parsed into values and printed again, so that numbers,
//! escapes and the order of members stay the producer's, as everywhere on an event's way.

/// Spaces before a member, for each level.
const INDENT: &str = "  ";

/// A piece of JSON text: a string with its quotes, a mark such as `{`, or a number or word.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(is_space);
        let first = rest.chars().next()?;
        let end = match first {
            '"' => string_end(rest),
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ => rest.find(|c: char| is_space(c) || "{}[],:\"".contains(c)).unwrap_or(rest.len()),
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Where the string at the beginning of `text` ends.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The documents of `text`, each without white space: one, or several behind one another.
pub fn documents(text: &str) -> Vec<String> {
    let (mut all, mut document, mut depth) = (Vec::new(), String::new(), 0_usize);
    for piece in pieces(text) {
        document.push_str(piece);
        match piece {
            "{" | "[" => depth += 1,
            "}" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            all.push(std::mem::take(&mut document));
        }
    }
    if !document.is_empty() {
        all.push(document);
    }
    all
}

/// The same document on several lines, a member on each.
pub fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(INDENT, depth));
    };
    let mut opened = false;
    for piece in pieces(text) {
        let closes = matches!(piece, "}" | "]");
        if closes {
            depth = depth.saturating_sub(1);
        }
        // An empty object or list stays on its line.
        if opened != closes {
            line(&mut out, depth);
        }
        out.push_str(piece);
        opened = matches!(piece, "{" | "[");
        match piece {
            "{" | "[" => depth += 1,
            "," => line(&mut out, depth),
            ":" => out.push(' '),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn white_space_is_all_that_changes(values in prop::collection::vec(any_json(), 1..4)) {
            let compact: Vec<String> = values.iter().map(Value::to_string).collect();
            for value in &values {
                let text = value.to_string();
                prop_assert_eq!(documents(&pretty(&text)), [text.clone()]);
                prop_assert_eq!(documents(&serde_json::to_string_pretty(value).unwrap()), [text]);
            }
            prop_assert_eq!(documents(&compact.join("\r\n")), compact);
        }

        #[test]
        fn whatever_is_pasted_ends(text in any::<String>()) {
            let kept = |text: &str| text.chars().filter(|c| !is_space(*c)).collect::<String>();
            prop_assert_eq!(kept(&documents(&text).concat()), kept(&text));
            prop_assert_eq!(kept(&pretty(&text)), kept(&text));
        }
    }

    #[test]
    fn numbers_and_escapes_stay_as_they_were_written() {
        let text = r#"{"a":1.50e3,"b":"\u00e9 \"{,","c":{},"d":[],"e":[1,{"f":null}]}"#;
        let lines = "{\n  \"a\": 1.50e3,\n  \"b\": \"\\u00e9 \\\"{,\",\n  \"c\": {},\n  \"d\": [],\n  \"e\": [\n    1,\n    {\n      \"f\": null\n    }\n  ]\n}";
        assert_eq!(pretty(text), lines);
        assert_eq!(documents(lines), [text]);
        assert_eq!(documents("{\"a\": 1}\n[2] 3"), [r#"{"a":1}"#, "[2]", "3"]);
    }
}
