//! The events of a load: each has a text of its own, so that what is compressed on the way shrinks as real events do.
//!
//! Nothing but the standard library, because `crates/store-sqlite/examples/aged_store.rs` makes its events with this file as well.

use std::fmt::Write as _;

/// What users do, in equal parts; with the severities sixteen combinations, so that filters have something to tell apart.
pub(crate) const TYPES: [&str; 4] = ["policy_violation", "anomaly", "budget_alert", "lockout"];
/// How serious it is, in equal parts.
pub(crate) const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// What texts are made of. Beside them stand numbers that nothing makes smaller.
const WORDS: [&str; 16] = [
    "request",
    "exceeded",
    "the",
    "threshold",
    "of",
    "tokens",
    "department",
    "finance",
    "model",
    "access",
    "by",
    "policy",
    "weekly",
    "user",
    "revoked",
    "spend",
];

/// One event as a producer sends it: JSON of exactly `bytes` bytes. `None` if so few cannot hold it. Events of different seeds have
/// different texts; of 16 seeds in a row each has another type or severity.
pub(crate) fn event(seed: u64, bytes: usize, id: &str, org: Option<&str>) -> Option<String> {
    let number = |divisor: u64, of: u64| usize::try_from(seed / divisor % of).unwrap_or(0);
    let (event_type, severity) = (TYPES[number(1, 4)], SEVERITIES[number(4, 4)]);
    let org = org.map(|org| format!(r#""org_id":"{org}","#)).unwrap_or_default();
    let (user, threshold) = (scatter(seed) % 5_000, 100_000 + scatter(seed ^ 1) % 900_000);
    let before = format!(
        r#"{{"event_id":"{id}",{org}"event_type":"{event_type}","severity":"{severity}","timestamp":"2026-01-15T10:30:00Z","user_email":"user{user:04}@example.com","provider":"openai","model":"gpt-4","summary":"max-tokens exceeded","details":{{"policy_name":"max-tokens","threshold":{threshold},"note":""#
    );
    let after = r#""}}"#;
    let room = bytes.checked_sub(before.len() + after.len())?;
    let mut text = before;
    let end = text.len() + room;
    let mut state = seed;
    while text.len() < end {
        state = scatter(state);
        text.push_str(WORDS[(state & 15) as usize]);
        text.push(' ');
        if state & 0x70 == 0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{state:016x} ");
        }
    }
    text.truncate(end);
    Some(text + after)
}

/// Spreads neighbouring numbers over the whole range.
pub(crate) fn scatter(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ n >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(29)
}
