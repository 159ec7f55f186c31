//! What is said of events.

use toktra_siem_core::filter::FilterRule;
use toktra_siem_core::ids::DeliveryId;
use toktra_siem_wire::{EventOutcome, EventSummary, Outcome};

use crate::show::{self, Html, Mood};
use crate::words;

/// An event, in words.
pub(super) trait Told {
    /// What happened, as a word for people.
    fn what(&self) -> &'static str;
    /// Its number, as people write it.
    fn number(&self) -> Option<String>;
    /// How serious it is, marked by shape as well as colour.
    fn gravity(&self) -> Html;
}

impl Told for EventSummary {
    fn what(&self) -> &'static str {
        words::event_type(self.event_type)
    }

    fn number(&self) -> Option<String> {
        self.sequence.map(|sequence| show::count(sequence.0))
    }

    fn gravity(&self) -> Html {
        words::severity_mark(self.severity)
    }
}

/// An outcome as a badge.
pub(super) fn badge(outcome: Outcome) -> Html {
    let (mood, word) = match outcome {
        Outcome::Before => (Mood::Off, "Before the connector"),
        Outcome::Pending => (Mood::Waiting, "Waiting"),
        Outcome::Delivered => (Mood::Good, "Delivered"),
        Outcome::Rejected => (Mood::Failed, "Rejected"),
        Outcome::Failed => (Mood::Degraded, "Failed, will retry"),
        Outcome::Expired => (Mood::Failed, "Expired"),
        Outcome::Damaged => (Mood::Failed, "Damaged"),
        Outcome::Discarded => (Mood::Off, "Discarded"),
        Outcome::Skipped => (Mood::Off, "Skipped"),
        Outcome::Filtered => (Mood::Off, "Filtered out"),
    };
    show::badge(mood, word)
}

/// What one stream did with it, in words.
pub(super) trait Became {
    /// The state as a badge.
    fn badge(&self) -> Html;
    /// Which rule of the filter, in a word.
    fn rule(&self) -> Option<&'static str>;
    /// Whether it will become something else by itself.
    fn moves(&self) -> bool;
    /// The delivery whose newest attempt says what was sent.
    fn sent_in(&self) -> Option<DeliveryId>;
}

impl Became for EventOutcome {
    fn badge(&self) -> Html {
        badge(self.outcome)
    }

    fn rule(&self) -> Option<&'static str> {
        self.rule.map(|rule| match rule {
            FilterRule::Severity => "Filter: severity",
            FilterRule::EventTypes => "Filter: event type",
            FilterRule::SendMetrics => "Metrics off",
        })
    }

    fn moves(&self) -> bool {
        matches!(self.outcome, Outcome::Pending | Outcome::Failed)
    }

    fn sent_in(&self) -> Option<DeliveryId> {
        let sent = matches!(self.outcome, Outcome::Delivered | Outcome::Rejected | Outcome::Failed);
        self.delivery.filter(|_| sent)
    }
}
