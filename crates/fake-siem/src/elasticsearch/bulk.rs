//! A bulk body: action and source lines alternating. What is malformed here refuses the whole request, before anything
//! is indexed.

use std::str::from_utf8;

use bytes::Bytes;
use serde_json::{Map, Value};

/// One action with its source.
pub(super) struct Action {
    pub(super) verb: &'static str,
    pub(super) index: String,
    pub(super) id: Option<String>,
    pub(super) source: Bytes,
}

/// Why a body was refused as a whole: the error's type and reason, always with status 400.
pub(super) struct Malformed {
    pub(super) kind: &'static str,
    pub(super) reason: String,
}

/// Metadata that an action may carry beside `_index` and `_id`. `_type` went with Elasticsearch 8.
const KNOWN: [&str; 12] = [
    "_index",
    "_id",
    "routing",
    "op_type",
    "version",
    "version_type",
    "pipeline",
    "require_alias",
    "require_data_stream",
    "if_seq_no",
    "if_primary_term",
    "dynamic_templates",
];
/// The longest `_id` in bytes.
const LONGEST_ID: usize = 512;

/// The actions of a body.
pub(super) fn parse(body: &Bytes) -> Result<Vec<Action>, Malformed> {
    if body.is_empty() {
        return Err(Malformed { kind: "parse_exception", reason: "request body is required".to_owned() });
    }
    if body.last() != Some(&b'\n') {
        return Err(illegal("The bulk request must be terminated by a newline [\\n]"));
    }
    let mut lines = body[..body.len() - 1].split(|byte| *byte == b'\n').zip(1..);
    let mut actions = Vec::new();
    while let Some((line, number)) = lines.next() {
        // A blank line between actions is passed over.
        if line.is_empty() {
            continue;
        }
        let (verb, meta) = action_line(line, number)?;
        let Some((source, _)) = lines.next() else {
            return Err(illegal(&format!(
                "Malformed action/metadata line [{number}], expected a source line after it"
            )));
        };
        actions.push(action(verb, &meta, body.slice_ref(source), actions.len() + 1)?);
    }
    if actions.is_empty() {
        return Err(invalid("no requests added"));
    }
    Ok(actions)
}

/// The number of actions, without a look at them: every action has two lines.
#[expect(clippy::naive_bytecount, reason = "this form compiles to vector instructions; a crate for it would not pay")]
pub(super) fn count(body: &[u8]) -> usize {
    body.iter().filter(|byte| **byte == b'\n').count() / 2
}

fn action_line(line: &[u8], number: usize) -> Result<(&'static str, Map<String, Value>), Malformed> {
    let malformed =
        || illegal(&format!("Malformed action/metadata line [{number}], expected START_OBJECT or END_OBJECT"));
    let parsed: Map<String, Value> = serde_json::from_slice(line).map_err(|_| malformed())?;
    let mut members = parsed.into_iter();
    let (Some((verb, Value::Object(meta))), None) = (members.next(), members.next()) else { return Err(malformed()) };
    let verb = match verb.as_str() {
        "create" => "create",
        "index" => "index",
        "update" | "delete" => return Err(illegal("this receiver takes `create` and `index` only")),
        other => {
            let reason = format!(
                "Malformed action/metadata line [{number}], expected field [create], [delete], [index] or [update] \
                 but found [{other}]"
            );
            return Err(illegal(&reason));
        }
    };
    if let Some(unknown) = meta.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(illegal(&format!("Action/metadata line [{number}] contains an unknown parameter [{unknown}]")));
    }
    Ok((verb, meta))
}

fn action(verb: &'static str, meta: &Map<String, Value>, source: Bytes, position: usize) -> Result<Action, Malformed> {
    let text = |name: &str| meta.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(index) = text("_index") else { return Err(invalid(&format!("{position}: index is missing"))) };
    let id = text("_id");
    match &id {
        Some(id) if id.is_empty() => Err(illegal("if _id is specified it must not be empty")),
        Some(id) if id.len() > LONGEST_ID => Err(invalid(&format!(
            "{position}: id [{id}] is too long, must be no longer than {LONGEST_ID} bytes but was: {}",
            id.len()
        ))),
        _ => Ok(Action { verb, index, id, source }),
    }
}

fn illegal(reason: &str) -> Malformed {
    Malformed { kind: "illegal_argument_exception", reason: reason.to_owned() }
}

fn invalid(reason: &str) -> Malformed {
    Malformed { kind: "action_request_validation_exception", reason: format!("Validation Failed: {reason};") }
}

/// Whether a name can be an index's.
pub(super) fn is_index_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_uppercase() || c.is_control() || "\\/*?\"<>| ,#:".contains(c);
    !name.is_empty() && name.len() <= 255 && !name.starts_with(['-', '_', '+', '.']) && !name.contains(forbidden)
}

/// What a node's JSON reader does not take (Jackson's `StreamReadConstraints`; asked of Elasticsearch 9.2 and OpenSearch 3.4): numbers of more
/// than 1,000 characters, and, on OpenSearch, names of more than 50,000. Of JSON, that is.
pub(super) fn beyond_reader(source: &[u8], opensearch: bool) -> Option<String> {
    let mut rest = source;
    while let [first, after @ ..] = rest {
        let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        rest = if *first == b'"' {
            let mut escaped = false;
            let ends = |byte: &u8| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            };
            let length = after.iter().position(ends)?;
            let rest = after[length + 1..].trim_ascii_start();
            if opensearch && length > 50_000 && rest.starts_with(b":") {
                return Some(format!("Name length ({length}) exceeds the maximum allowed (50000)"));
            }
            rest
        } else if first.is_ascii_digit() || *first == b'-' {
            let length = rest.iter().take_while(|byte| is_number(byte)).count();
            if length > 1_000 {
                return Some(format!("Number value length ({length}) exceeds the maximum allowed (1000)"));
            }
            &rest[length..]
        } else {
            after
        };
    }
    None
}

/// The source as an object, where it is one.
pub(super) fn object(source: &[u8]) -> Option<Map<String, Value>> {
    from_utf8(source).ok().and_then(|text| serde_json::from_str(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_reader_of_a_node_gives_up_on_is_refused() {
        let (number, name) = ("1".repeat(1_001), "n".repeat(50_001));
        let of = |text: &str, opensearch| beyond_reader(text.as_bytes(), opensearch).is_some();
        for text in [format!("{{\"a\":{number}}}"), format!("{{\"a\":[\"\\\"\",{{\"b\":-{number}.5e1}}]}}")] {
            assert!(of(&text, false) && of(&text, true), "{text}");
        }
        let named = format!("{{\"a\":{{\"{name}\" : 1}}}}");
        assert!(of(&named, true) && !of(&named, false));
        // The same in the text of a value is only text.
        let fine = format!("{{\"a\":\"{number}\",\"b\":\"\\\\\",\"c\":\"{name}\",\"d\":{}}}", "1".repeat(1_000));
        assert!(!of(&fine, true), "{fine}");
    }
}
