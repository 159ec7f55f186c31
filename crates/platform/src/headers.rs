//! Headers that a person adds to the requests of a connector: names and values are theirs, and every value is kept as a secret, since many
//! are. Together they are one secret, sealed and shown like any other: one `name: value` a line.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use toktra_siem_core::fault::Wrong;

use crate::checks::MAX_SECRET;
use crate::view::SecretView;

/// As many may be given.
const MOST: usize = 20;
/// All of them together, in bytes.
pub const MAX_BYTES: usize = 8 * 1024;
/// The longest name.
const MAX_NAME: usize = 100;
/// What belongs to HTTP, to the body, or to the signature is not theirs to say.
const OURS: [&str; 21] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-toktra-signature",
    "x-toktra-signature-next",
];

/// Reads headers as a member of `config`: an object of names and values, or the same as text. No fault repeats any of it but a name that
/// is not the person's to give.
pub fn read(value: &Value) -> Result<SecretString, Wrong> {
    match value {
        Value::Object(members) if members.contains_key("set") && members.values().any(|value| !value.is_string()) => {
            Err("is write-only: leave it out to keep the stored headers, or give all of them anew".into())
        }
        Value::Object(members) => of_object(members),
        Value::String(text) => of_text(text),
        _ => Err(Wrong::malformed("an object of names and values, or a text")),
    }
}

fn of_object(members: &Map<String, Value>) -> Result<SecretString, Wrong> {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(value) => Ok((name.clone(), value.clone())),
        _ => Err(Wrong::malformed("an object whose values are strings")),
    };
    checked(&members.iter().map(pair).collect::<Result<Vec<_>, _>>()?)
}

/// `name: value` line by line, or the object as JSON.
fn of_text(text: &str) -> Result<SecretString, Wrong> {
    if text.trim_start().starts_with('{') {
        let members: Result<Map<String, Value>, _> = serde_json::from_str(text);
        return of_object(&members.map_err(|_| "begins with a brace and is not a JSON object of names and values")?);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let pair = |(at, line): (usize, &str)| match line.split_once(':') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Wrong::from(format!("has no colon in line {}; write one header a line, as `name: value`", at + 1))),
    };
    checked(&lines.map(pair).collect::<Result<Vec<_>, _>>()?)
}

fn checked(pairs: &[(String, String)]) -> Result<SecretString, Wrong> {
    if pairs.is_empty() {
        return Err("is empty; write one header a line, as `name: value`".into());
    }
    if pairs.len() > MOST {
        return Err(format!("holds more than {MOST} headers").into());
    }
    let (mut names, mut lines) = (Vec::new(), Vec::new());
    for (at, (name, value)) in pairs.iter().enumerate() {
        let (name, value, number) = (name.trim(), value.trim(), at + 1);
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !first || name.len() > MAX_NAME || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            let rule = "it begins with a letter or a digit and holds only those, `-` and `_`";
            return Err(
                format!("has a name that no header can have (header {number}): {rule}, at most {MAX_NAME}").into()
            );
        }
        let small = name.to_ascii_lowercase();
        if OURS.contains(&small.as_str()) {
            return Err(format!("must not hold `{small}`: the service says that itself").into());
        }
        if names.contains(&small) {
            return Err(format!("has the header {number} twice; names count without capitals").into());
        }
        if value.is_empty() || value.len() > MAX_SECRET || !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            let rule = format!("between 1 and {MAX_SECRET} characters of ASCII, none of them a control character");
            return Err(format!("has a value that no header can have (header {number}): {rule}").into());
        }
        names.push(small);
        lines.push(format!("{name}: {value}"));
    }
    let text = lines.join("\n");
    if text.len() > MAX_BYTES { Err(format!("is longer than {MAX_BYTES} bytes").into()) } else { Ok(text.into()) }
}

/// The headers of a secret that was read here: names as they were given, each with its value.
pub fn pairs(secret: &SecretString) -> impl Iterator<Item = (&str, &str)> {
    secret.expose_secret().lines().filter_map(|line| line.split_once(": "))
}

/// Every form in which they travel: each value, and what stands behind a scheme in it.
pub(crate) fn forms(secret: &SecretString) -> impl Iterator<Item = String> {
    pairs(secret).flat_map(|(_, value)| {
        let behind = value.split_once(' ').map(|(_, rest)| rest.trim().to_owned());
        std::iter::once(value.to_owned()).chain(behind)
    })
}

/// What answers say of them: each name, and how its value ends where that tells little.
pub(crate) fn view(secret: &SecretString) -> SecretView {
    let told = pairs(secret).map(|(name, value)| match SecretView::of(&value.into()).hint {
        Some(hint) => format!("{name} {hint}"),
        None => name.to_owned(),
    });
    SecretView { set: true, hint: Some(told.collect::<Vec<_>>().join(", ")), ..SecretView::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_text_and_json_say_the_same() {
        let expected = "X-Api-Key: hunter2 \"x\"\nx_team: a:b";
        for given in [
            json!({ "X-Api-Key": " hunter2 \"x\"", "x_team": "a:b " }),
            json!("X-Api-Key:hunter2 \"x\"\r\n\r\n x_team : a:b\n"),
            json!(r#" {"X-Api-Key": "hunter2 \"x\"", "x_team": "a:b"}"#),
        ] {
            let secret = read(&given).unwrap();
            assert_eq!(secret.expose_secret(), expected);
            assert_eq!(pairs(&secret).collect::<Vec<_>>(), [("X-Api-Key", "hunter2 \"x\""), ("x_team", "a:b")]);
        }
    }

    #[test]
    fn what_no_header_can_be_is_refused_without_repeating_it() {
        let lines = |many: usize, value: &str| {
            let lines: Vec<String> = (0..many).map(|n| format!("x-{n}: {value}")).collect();
            json!(lines.join("\n"))
        };
        for (given, part) in [
            (json!(""), "is empty"),
            (json!({}), "is empty"),
            (json!("hunter2"), "no colon in line 1"),
            (json!("a: b\nhunter2"), "no colon in line 2"),
            (json!("hunter2 x: y"), "a name that no header"),
            (json!("-hunter2: y"), "a name that no header"),
            (json!({ "hunter2\r\nX": "y" }), "a name that no header"),
            (json!({ "": "hunter2" }), "a name that no header"),
            (json!({ "x": "" }), "a value that no header"),
            (json!({ "x": "hunter2\r\nY: z" }), "a value that no header"),
            (json!({ "x": "hunter2é" }), "a value that no header"),
            (json!({ "x": "hunter2".repeat(200) }), "a value that no header"),
            (json!("X: hunter2\nx: b"), "header 2 twice"),
            (json!("Content-Type: hunter2"), "must not hold `content-type`"),
            (json!("Webhook-Id: hunter2"), "must not hold `webhook-id`"),
            (json!("Host: hunter2"), "must not hold `host`"),
            (json!("{hunter2"), "not a JSON object"),
            (json!({ "x": 1 }), "values are strings"),
            (json!({ "set": true, "hint": "x …nter2" }), "write-only"),
            (json!(["hunter2"]), "an object"),
            (lines(MOST + 1, "v"), "more than 20"),
            (lines(9, &"v".repeat(1000)), "longer than 8192"),
        ] {
            let wrong = format!("{:?}", read(&given).unwrap_err());
            assert!(wrong.contains(part) && !wrong.contains("hunter2"), "{given}: {wrong}");
        }
    }

    #[test]
    fn answers_tell_names_and_long_ends() {
        let secret = read(&json!("X-Goog-Api-Key: 0123456789ab\nX-Env: prod\nAuthorization: Bearer 0123")).unwrap();
        assert_eq!(view(&secret).hint.unwrap(), "X-Goog-Api-Key …89ab, X-Env, Authorization");
        let forms: Vec<String> = forms(&secret).collect();
        assert_eq!(forms, ["0123456789ab", "prod", "Bearer 0123", "0123"]);
    }
}
