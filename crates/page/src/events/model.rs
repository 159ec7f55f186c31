//! What the API answers about events.

use serde::Deserialize;
use serde_json::value::RawValue;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::FilterRule;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;

use crate::show::{self, Html, Mood};
use crate::words;

/// What is kept of an event after its payload.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Summary {
    /// Its id.
    pub(super) event_id: EventId,
    /// Its number within the org; none where it is that of a test delivery.
    pub(super) sequence: Option<Seq>,
    /// What happened.
    pub(super) event_type: EventType,
    /// How serious it is.
    pub(super) severity: Severity,
    /// The event's own time.
    pub(super) timestamp: Timestamp,
    /// When it was accepted.
    pub(super) accepted_at: Option<Timestamp>,
    /// It is the synthetic event of a test delivery.
    #[serde(default)]
    pub(super) test: bool,
}

impl Summary {
    /// What happened, as a word for people.
    pub(super) fn what(&self) -> &'static str {
        words::event_type(self.event_type)
    }

    /// Its number, as people write it.
    pub(super) fn number(&self) -> Option<String> {
        self.sequence.map(|sequence| show::count(sequence.0))
    }

    /// How serious it is, marked by shape as well as colour.
    pub(crate) fn gravity(&self) -> Html {
        words::severity_mark(self.severity)
    }
}

/// A line of the list.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Recent {
    #[serde(flatten)]
    pub(super) event: Summary,
    /// The sentence that it came with; none once its payload is gone.
    #[serde(default)]
    pub(super) summary: Option<String>,
    /// Whom it is about.
    #[serde(default)]
    pub(super) user_email: Option<String>,
}

/// An event, and what became of it.
#[derive(Debug, Deserialize)]
pub(super) struct Detail {
    // `flatten` would buffer, and could not read `RawValue` then.
    pub(super) event: Option<Box<RawValue>>,
    /// What became of it.
    pub(super) outcomes: Vec<Told>,
}

/// What one stream did with it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Told {
    /// The connector.
    pub(super) connector_id: ConnectorId,
    /// What it is called, as long as it is there.
    pub(super) connector_name: Option<String>,
    /// Which of its streams.
    pub(super) stream: StreamKind,
    /// Where the event is.
    pub(super) outcome: Fate,
    /// Why, in a sentence.
    pub(super) why: String,
    /// The delivery that it is, or was, in.
    pub(super) delivery: Option<DeliveryId>,
    /// When it came to that.
    pub(super) at: Option<Timestamp>,
    /// When it is tried again.
    pub(super) next_attempt_at: Option<Timestamp>,
    /// Why it did not arrive.
    pub(super) cause: Option<Cause>,
    /// By which rule of the filter it was passed by.
    pub(super) rule: Option<FilterRule>,
}

impl Told {
    /// The state as a badge.
    pub(super) fn badge(&self) -> Html {
        let (mood, word) = self.outcome.shown();
        show::badge(mood, word)
    }

    /// Which rule of the filter, in a word.
    pub(super) fn rule(&self) -> Option<&'static str> {
        self.rule.map(|rule| match rule {
            FilterRule::Severity => "Filter: severity",
            FilterRule::EventTypes => "Filter: event type",
            FilterRule::SendMetrics => "Metrics off",
        })
    }
}

/// Where an event can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// The connector was made later.
    Before,
    /// On its way, or waiting.
    Pending,
    /// The platform has it.
    Delivered,
    /// The platform refused it for good.
    Rejected,
    /// Kept, and sent again.
    Failed,
    /// Undelivered when its time was over.
    Expired,
    /// Given up by a person.
    Discarded,
    /// Passed over when the connector was switched on.
    Skipped,
    /// Passed by according to the filter.
    Filtered,
}

impl Fate {
    /// How it looks, and its word.
    fn shown(self) -> (Mood, &'static str) {
        match self {
            Self::Before => (Mood::Off, "Before the connector"),
            Self::Pending => (Mood::Waiting, "Waiting"),
            Self::Delivered => (Mood::Good, "Delivered"),
            Self::Rejected => (Mood::Failed, "Rejected"),
            Self::Failed => (Mood::Degraded, "Failed, kept"),
            Self::Expired => (Mood::Failed, "Expired"),
            Self::Discarded => (Mood::Off, "Discarded"),
            Self::Skipped => (Mood::Off, "Skipped"),
            Self::Filtered => (Mood::Off, "Filtered out"),
        }
    }

    /// Whether it will become something else by itself.
    pub(super) fn moves(self) -> bool {
        matches!(self, Self::Pending | Self::Failed)
    }
}
