//! Whether a command said what its page shows. Pages show answers as they come, so what differs from run to run is compared by its kind:
//! ids with ids, times with times, durations with numbers. `…` stands for whatever is there.

use serde_json::Value;

const ANYTHING: &str = "…";

/// Whether `said` is what the page shows, line by line. A line of `…` alone stands for any number of lines; elsewhere it stands for any
/// characters of its line.
pub(crate) fn text(shown: &str, said: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    lines_match(&lines(shown), &lines(said))
}

fn lines_match(shown: &[String], said: &[String]) -> bool {
    match shown.split_first() {
        None => said.is_empty(),
        Some((line, rest)) if line.trim() == ANYTHING => (0..=said.len()).any(|skip| lines_match(rest, &said[skip..])),
        Some((line, rest)) => {
            said.split_first().is_some_and(|(first, after)| pieces_match(line, first) && lines_match(rest, after))
        }
    }
}

/// Whether `said` is `shown` with something in the place of each `…`.
fn pieces_match(shown: &str, said: &str) -> bool {
    match shown.split_once(ANYTHING) {
        None => same_kind(shown, said),
        Some((start, rest)) => said.strip_prefix(start).is_some_and(|left| {
            let ends = left.char_indices().map(|(at, _)| at).chain([left.len()]);
            ends.into_iter().any(|at| pieces_match(rest, &left[at..]))
        }),
    }
}

/// Whether `said` is the document that the page shows. A member `"…": "…"` allows for more members, a last element `"…"` for more elements.
pub(crate) fn json(shown: &Value, said: &Value) -> bool {
    member("", shown, said)
}

fn member(name: &str, shown: &Value, said: &Value) -> bool {
    match (shown, said) {
        (Value::String(shown), _) if shown == ANYTHING => true,
        (Value::String(shown), Value::String(said)) => pieces_match(shown, said),
        (Value::Number(_), Value::Number(_)) if varies(name) => true,
        (Value::Array(shown), Value::Array(said)) => {
            let (listed, more) = match shown.split_last() {
                Some((last, listed)) if last == ANYTHING => (listed, true),
                _ => (shown.as_slice(), false),
            };
            (listed.len() == said.len() || more && listed.len() < said.len())
                && listed.iter().zip(said).all(|(shown, said)| member(name, shown, said))
        }
        (Value::Object(shown), Value::Object(said)) => {
            let listed = shown.iter().filter(|(name, _)| *name != ANYTHING);
            let known =
                listed.clone().all(|(name, value)| said.get(name).is_some_and(|said| member(name, value, said)));
            known && (shown.contains_key(ANYTHING) || listed.count() == said.len())
        }
        _ => shown == said,
    }
}

/// Numbers that no two runs have in common.
fn varies(name: &str) -> bool {
    name.ends_with("_ms") || name.ends_with("_seconds")
}

/// Equal, or two ids, or two times.
fn same_kind(shown: &str, said: &str) -> bool {
    let id = |text: &str| text.len() == 36 && text.parse::<uuid::Uuid>().is_ok();
    let time = |text: &str| text.len() >= 20 && text.parse::<jiff::Timestamp>().is_ok();
    shown == said || id(shown) && id(said) || time(shown) && time(said)
}

#[test]
fn text_is_compared_line_by_line() {
    for (shown, said) in [
        ("a\nb\n", "a\nb"),
        ("a …\n", "a b c\n"),
        ("…\nb", "x\ny\nb\n"),
        ("a\n…", "a\n"),
        ("… ms and …", "12 ms and more"),
        ("2025-01-15T10:30:00.000Z", "2026-11-25T14:00:00.123Z"),
    ] {
        assert!(text(shown, said), "{shown:?} {said:?}");
    }
    for (shown, said) in [("a", "a\nb"), ("a …", "b"), ("a\n…\nb", "a\nx"), ("1", "2"), ("", "a")] {
        assert!(!text(shown, said), "{shown:?} {said:?}");
    }
}

#[test]
fn documents_are_compared_by_member() {
    use serde_json::json;
    let id = "0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f";
    let said = json!({ "id": id, "at": "2026-11-25T14:00:00Z", "n": 1, "duration_ms": 17, "more": [1, 2], "word": "delivered" });
    let with = |name: &str, value: Value| {
        let mut shown = said.clone();
        shown[name] = value;
        shown
    };
    for shown in [
        with("id", json!("0190d3a5-0000-7cc3-98c4-000000000000")),
        with("at", json!("2025-01-15T10:30:00.000Z")),
        with("duration_ms", json!(3)),
        with("more", json!([1, "…"])),
        with("word", json!("deliv…")),
        json!({ "n": 1, "…": "…" }),
    ] {
        assert!(json(&shown, &said), "{shown}");
    }
    for shown in [
        with("id", json!("another")),
        with("n", json!(2)),
        with("more", json!([1])),
        with("word", json!("failed")),
        with("missing", json!("…")),
        json!({ "n": 1 }),
    ] {
        assert!(!json(&shown, &said), "{shown}");
    }
}
