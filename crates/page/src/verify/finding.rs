//! What is told of a signature.

use std::borrow::Cow;

/// Something that differs from what was signed, or from how a signature is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What it is, in a sentence.
    pub what: Cow<'static, str>,
    /// What to do about it.
    pub remedy: Cow<'static, str>,
}

impl Finding {
    /// `what` differs, `remedy` helps. Neither ever holds a secret.
    pub(super) fn new(what: impl Into<Cow<'static, str>>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The documented code says yes.
    Valid,
    /// It says no, and it is known why.
    Explained,
    /// It says no, and nobody can say why from what was given.
    Invalid,
    /// Something is missing, or cannot be read.
    Unreadable,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What came of it.
    pub outcome: Outcome,
    /// What differs; where it is valid, what is worth knowing nevertheless.
    pub findings: Vec<Finding>,
    /// The signature that body and secret have as they were given.
    pub expected: Option<String>,
}
