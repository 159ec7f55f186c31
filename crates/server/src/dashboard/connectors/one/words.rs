//! The words for deliveries and streams.

use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_core::ids::StreamKind;

use crate::dashboard::show::{Html, Mood, badge};

/// How a delivery stands.
pub(super) fn status(status: Status) -> Html {
    let (mood, word) = match status {
        Status::Pending => (Mood::Waiting, "Pending"),
        Status::Delivered => (Mood::Good, "Delivered"),
        Status::Partial => (Mood::Degraded, "Partly delivered"),
        Status::Split => (Mood::Degraded, "Split"),
        Status::Rejected => (Mood::Failed, "Rejected"),
        Status::Failed => (Mood::Failed, "Failed"),
    };
    badge(mood, word)
}

/// Why a delivery was made.
pub(super) fn trigger_word(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Live => "Live",
        Trigger::Test => "Test",
        Trigger::Redelivery => "Redelivery",
        Trigger::Replay => "Replay",
        Trigger::Recovery => "Recovery",
    }
}

/// A stream's name.
pub(super) fn stream_word(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Events => "Events",
        StreamKind::Logs => "Logs",
        StreamKind::Metrics => "Metrics",
    }
}
