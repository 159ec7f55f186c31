//! From what a producer sent to the stored form.

/// Which of the known fields a producer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentFields(pub u32);
