//! What is measured: names, units, and how a figure over several rounds is told.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A figure. The order is that of the tables' columns; in JSON its name is the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Figure {
    /// The generator straight into the sink, events a second.
    Ceiling,
    /// Accepted by the server, events a second while the generator ran.
    Accepted,
    /// From the first request sent until the last event is at the sink, events a second.
    Delivered,
    /// The one by the other, of the same round.
    OfCeiling,
    /// The server's processor time for each event, user and system, until all is recorded: the figure that no disk moves. Microseconds.
    Cpu,
    /// From a request with events to its answer, microseconds.
    AcknowledgedP50,
    /// The same.
    AcknowledgedP99,
    /// From that answer until the event is at a sink, microseconds.
    ArrivedP50,
    /// The same.
    ArrivedP99,
    /// By how much that median is longer in the last quarter of the load than in the first, microseconds.
    Drift,
    /// Resident memory before anything happened, KiB.
    Idle,
    /// The same with a quarter of the events waiting.
    Quarter,
    /// And with all of them waiting.
    Waiting,
    /// The largest resident memory, KiB.
    Peak,
    /// Share of one processor while nothing happens.
    IdleCpu,
    /// From the start of the process until it is ready, microseconds.
    Ready,
    /// Events a second that waited, from switching the sink on until the last one is there.
    Drained,
    /// From a question to the API during that time until its answer, microseconds.
    Asked,
    /// The same for an event by its id.
    FoundP50,
    /// The same.
    FoundP99,
    /// The same for a page of deliveries.
    HistoryP50,
    /// The same.
    HistoryP99,
    /// Bytes in use on disk by bytes of stored events.
    OnDisk,
}

/// How a figure is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    PerSecond,
    Micros,
    Millis,
    Megabytes,
    Share,
    Percent,
}

impl Figure {
    /// The heading of its column.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::OfCeiling => "of the ceiling",
            Self::Cpu => "CPU an event",
            Self::AcknowledgedP50 => "acknowledged p50",
            Self::AcknowledgedP99 => "acknowledged p99",
            Self::ArrivedP50 => "accepted → received p50",
            Self::ArrivedP99 => "accepted → received p99",
            Self::Drift => "longer at the end by",
            Self::Idle => "memory, idle",
            Self::Quarter => "a quarter waiting",
            Self::Waiting => "all waiting",
            Self::Peak => "peak memory",
            Self::IdleCpu => "idle CPU",
            Self::Ready => "ready after",
            Self::Drained => "drained",
            Self::Asked => "API meanwhile, p99",
            Self::FoundP50 => "event by id p50",
            Self::FoundP99 => "event by id p99",
            Self::HistoryP50 => "page of history p50",
            Self::HistoryP99 => "page of history p99",
            Self::OnDisk => "disk by payload",
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Ceiling | Self::Accepted | Self::Delivered | Self::Drained => Unit::PerSecond,
            Self::Cpu => Unit::Micros,
            Self::Idle | Self::Quarter | Self::Waiting | Self::Peak => Unit::Megabytes,
            Self::OfCeiling | Self::OnDisk => Unit::Share,
            Self::IdleCpu => Unit::Percent,
            _ => Unit::Millis,
        }
    }

    /// The median with its unit, and between what it lies if there was more than one round.
    pub(super) fn told(self, spread: Spread) -> String {
        let (by, digits, unit) = match self.unit() {
            Unit::PerSecond => (1e3, 1, "k/s"),
            Unit::Micros => (1.0, 1, " µs"),
            Unit::Millis => (1e3, 1, " ms"),
            Unit::Megabytes => (1024.0, 0, " MB"),
            Unit::Share => (1.0, 2, ""),
            Unit::Percent => (0.01, 1, " %"),
        };
        let Spread { least, median, most } = spread;
        let number = |figure: f64| format!("{:.digits$}", figure / by);
        if number(least) == number(most) {
            return format!("{}{unit}", number(median));
        }
        format!("{}{unit} ({}–{})", number(median), number(least), number(most))
    }
}

/// Figures of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Figures(BTreeMap<Figure, f64>);

impl Figures {
    /// With one more.
    #[must_use]
    pub(super) fn with(mut self, figure: Figure, value: f64) -> Self {
        self.0.insert(figure, value);
        self
    }

    /// The value of a figure, where it was measured.
    pub(super) fn get(&self, figure: Figure) -> Option<f64> {
        self.0.get(&figure).copied()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |(figure, value): (&Figure, &f64)| {
            let spread = Spread { least: *value, median: *value, most: *value };
            format!("{} {}", figure.label(), figure.told(spread))
        };
        f.write_str(&self.0.iter().map(told).collect::<Vec<_>>().join(", "))
    }
}

/// Figures of all rounds, one value a round.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Rounds(BTreeMap<Figure, Vec<f64>>);

impl Rounds {
    /// Adds those of a round.
    pub(super) fn push(&mut self, run: Figures) {
        for (figure, value) in run.0 {
            self.0.entry(figure).or_default().push(value);
        }
    }

    /// Which there are.
    pub(super) fn figures(&self) -> impl Iterator<Item = Figure> + '_ {
        self.0.keys().copied()
    }

    /// A figure over all rounds.
    pub(super) fn spread(&self, figure: Figure) -> Option<Spread> {
        self.0.get(&figure).and_then(|values| Spread::of(values))
    }
}

/// A figure over all rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// The smallest.
    pub(super) least: f64,
    /// The one in the middle.
    pub(super) median: f64,
    /// The largest.
    pub(super) most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        Some(Self { least: *values.first()?, median: *values.get(values.len() / 2)?, most: *values.last()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_told_by_its_median_in_its_unit() {
        let told = |figure: Figure, values: &[f64]| figure.told(Spread::of(values).unwrap());
        assert_eq!(told(Figure::Delivered, &[56_210.0, 40_000.0, 60_000.0]), "56.2k/s (40.0–60.0)");
        assert_eq!(told(Figure::ArrivedP99, &[2_540.0]), "2.5 ms");
        assert_eq!(told(Figure::Peak, &[153_600.0]), "150 MB");
        assert_eq!(told(Figure::IdleCpu, &[0.0012]), "0.1 %");
        assert_eq!(told(Figure::OfCeiling, &[0.456, 0.458]), "0.46");
    }

    #[test]
    fn rounds_keep_each_value_under_its_name() {
        let mut rounds = Rounds::default();
        rounds.push(Figures::default().with(Figure::Cpu, 2.0));
        rounds.push(Figures::default().with(Figure::Cpu, 4.0).with(Figure::Peak, 1.0));
        assert_eq!(serde_json::to_string(&rounds).unwrap(), r#"{"cpu":[2.0,4.0],"peak":[1.0]}"#);
        assert_eq!(rounds.spread(Figure::Cpu), Some(Spread { least: 2.0, median: 4.0, most: 4.0 }));
        assert_eq!(rounds.spread(Figure::Ready), None);
    }
}
