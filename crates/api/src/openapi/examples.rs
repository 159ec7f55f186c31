//! Examples, by the name of the operation: a conversation that a test of the API had with the server and wrote down (`examples.snap`). So
//! they are never behind what the server takes and answers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

/// What was sent, and what was answered.
#[derive(Debug, Deserialize)]
pub(super) struct Example {
    /// The body, where there was one.
    pub(super) request: Option<Value>,
    /// The status of the answer.
    pub(super) status: u16,
    /// The answer.
    pub(super) answer: Value,
}

static ALL: LazyLock<BTreeMap<String, Example>> = LazyLock::new(|| read(include_str!("examples.snap")));

/// The example of an operation.
pub(super) fn of(operation: &str) -> Option<&'static Example> {
    ALL.get(operation)
}

/// The example of an operation's answer with this status: one with several answers has a further one beside its own, such as that of a dry run.
pub(super) fn answered(operation: &str, status: u16) -> Option<&'static Example> {
    let further = || ALL.get(&format!("{operation} {status}"));
    of(operation).filter(|example| example.status == status).or_else(further)
}

/// Below the snapshot's own head. A file that cannot be read (a test says so) is no reason not to serve.
fn read(snapshot: &str) -> BTreeMap<String, Example> {
    let body = snapshot.splitn(3, "---\n").nth(2).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_can_be_read() {
        assert_eq!(of("createOrg").unwrap().status, 201);
        assert_eq!(answered("replay", 200).unwrap().status, 200);
        assert!(answered("createOrg", 200).is_none());
    }
}
