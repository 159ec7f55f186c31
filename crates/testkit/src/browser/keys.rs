//! What a person types, as the protocol wants it.

use serde_json::{Value, json};

/// The keys that have a name here, and the code points by which the protocol knows them
/// (<https://www.w3.org/TR/webdriver2/#keyboard-actions>).
const NAMED: [(&str, char); 19] = [
    ("Backspace", '\u{e003}'),
    ("Tab", '\u{e004}'),
    ("Enter", '\u{e007}'),
    ("Shift", '\u{e008}'),
    ("Control", '\u{e009}'),
    ("Alt", '\u{e00a}'),
    ("Escape", '\u{e00c}'),
    ("Space", ' '),
    ("PageUp", '\u{e00e}'),
    ("PageDown", '\u{e00f}'),
    ("End", '\u{e010}'),
    ("Home", '\u{e011}'),
    ("ArrowLeft", '\u{e012}'),
    ("ArrowUp", '\u{e013}'),
    ("ArrowRight", '\u{e014}'),
    ("ArrowDown", '\u{e015}'),
    ("Insert", '\u{e016}'),
    ("Delete", '\u{e017}'),
    ("Meta", '\u{e03d}'),
];

/// The actions for strokes that are separated by spaces: `g c`, `/`, `Escape`, `Shift+Tab`.
pub(super) fn strokes(text: &str) -> Value {
    let mut actions = Vec::new();
    for stroke in text.split_whitespace() {
        let keys: Vec<char> = chord(stroke);
        actions.extend(keys.iter().map(|key| json!({ "type": "keyDown", "value": key })));
        actions.extend(keys.iter().rev().map(|key| json!({ "type": "keyUp", "value": key })));
    }
    json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] })
}

/// The keys that are held together, in the order in which they go down.
fn chord(stroke: &str) -> Vec<char> {
    if stroke == "+" {
        return vec!['+'];
    }
    stroke.split('+').map(key).collect()
}

fn key(name: &str) -> char {
    let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, code)| *code);
    let mut characters = name.chars();
    match (named, characters.next(), characters.next()) {
        (Some(code), ..) => code,
        (None, Some(character), None) => character,
        _ => panic!("no key is called {name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strokes_follow_each_other_and_the_keys_of_a_chord_are_held_together() {
        assert_eq!(chord("g"), ['g']);
        assert_eq!(chord("+"), ['+']);
        assert_eq!(chord("Control+Shift+k"), ['\u{e009}', '\u{e008}', 'k']);
        let actions = strokes("g Shift+Tab")["actions"][0]["actions"].clone();
        let order: Vec<_> = actions.as_array().unwrap().iter().map(|action| action["type"].as_str().unwrap()).collect();
        assert_eq!(order, ["keyDown", "keyUp", "keyDown", "keyDown", "keyUp", "keyUp"]);
        assert_eq!(actions[5]["value"], "\u{e008}");
    }

    #[test]
    #[should_panic(expected = "no key is called \"Entr\"")]
    fn a_misspelt_key_is_found_out() {
        strokes("Entr");
    }
}
