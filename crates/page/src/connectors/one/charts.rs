//! What flowed through a connector: the part of its page with the charts, whose time and stream are in the address.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use toktra_siem_app::{Query, named, traffic};
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::Traffic;

use super::path;
use crate::answer::Result;
use crate::charts::{self, Bucket, Steps};
use crate::deliveries::words;
use crate::form::Form;
use crate::show::Html;
use crate::visitor::{Visitor, with_query};

/// How much of the past is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Range {
    #[default]
    Day,
    Week,
    Month,
}

impl Range {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    fn read(word: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.word() == word).unwrap_or_default()
    }

    fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    /// All of it, and one step: as many as a phone shows.
    fn spans(self) -> (Duration, Duration) {
        match self {
            Self::Day => (Duration::from_hours(24), Duration::from_mins(30)),
            Self::Week => (Duration::from_hours(7 * 24), Duration::from_hours(3)),
            Self::Month => (Duration::from_hours(30 * 24), Duration::from_hours(12)),
        }
    }
}

/// What the address says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    range: Range,
    stream: Option<StreamKind>,
}

impl Wanted {
    /// Reads the query of an address. What it does not know is passed over: a pasted link still opens.
    pub(super) fn read(address: &str) -> Self {
        let query = Form::parse(address.split_once('?').map_or("", |(_, query)| query).as_bytes());
        Self { range: Range::read(query.text("range")), stream: query.text("stream").parse().ok() }
    }
}

/// The part of the page.
#[derive(Template)]
#[template(path = "dashboard/connectors/charts.html")]
pub(super) struct Charts {
    /// The charts of other times.
    ranges: Vec<Choice>,
    /// Those of other streams, where there are several.
    streams: Vec<Choice>,
    /// Whether there is enough to draw: two points are no chart.
    drawn: bool,
    outcomes: Html,
    latency: Html,
    lag: Html,
    table: Html,
}

/// A link to the same charts of something else.
pub(super) struct Choice {
    name: &'static str,
    /// The page with them.
    page: String,
    /// They alone.
    part: String,
    chosen: bool,
}

/// Asks what flowed in `range`: whole steps up to the present one.
pub(super) async fn flowed(visitor: &Visitor, id: ConnectorId, range: Range) -> Result<Traffic> {
    let (span, step) = range.spans();
    let millis = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    let end = Timestamp(visitor.now.0 - visitor.now.0.rem_euclid(millis)).plus(step);
    let asked = [("from", end.minus(span).to_string()), ("to", end.to_string()), ("step", step.as_secs().to_string())];
    let asked = Query::of(asked.iter().map(|(name, value)| (*name, value.as_str())));
    Ok(traffic::of_connector(visitor.app(), visitor.caller(), id, asked).await?)
}

/// The charts that an address asks for.
pub(super) async fn make(visitor: &Visitor, id: &str, wanted: Wanted) -> Result<Charts> {
    let Traffic { step_seconds, streams, .. } = flowed(visitor, named(id)?, wanted.range).await?;
    let kinds: Vec<StreamKind> = streams.iter().map(|traffic| traffic.stream).collect();
    let shown = wanted.stream.filter(|kind| kinds.contains(kind)).or_else(|| kinds.first().copied());
    let choice = |name, range: Range, stream: Option<StreamKind>| {
        let word = stream.filter(|kind| kinds.first() != Some(kind)).map_or("", StreamKind::as_str);
        let range_word = if range == Range::default() { "" } else { range.word() };
        let query = [("range", range_word), ("stream", word)];
        Choice {
            name,
            page: with_query(&path(id, ""), query),
            part: with_query(&path(id, "/charts"), query),
            chosen: range == wanted.range && stream == shown,
        }
    };
    let several = kinds.iter().filter(|_| kinds.len() > 1);
    let of_shown = streams.into_iter().find(|of| Some(of.stream) == shown);
    let buckets = of_shown.map_or_else(Vec::new, |of| of.buckets.into_iter().map(Bucket::from).collect());
    let drawn = buckets.iter().filter(|bucket: &&Bucket| !bucket.is_empty()).count() > 2;
    let steps = Steps { buckets, step: Duration::from_secs(step_seconds.unsigned_abs()) };
    Ok(Charts {
        ranges: Range::ALL.iter().map(|range| choice(range.name(), *range, shown)).collect(),
        streams: several.map(|kind| choice(words::stream(*kind), wanted.range, Some(*kind))).collect(),
        drawn,
        outcomes: charts::outcomes(&steps),
        latency: charts::latency(&steps),
        lag: charts::lag(&steps),
        table: charts::table(&steps),
    })
}

/// `GET /integrations/siem/{id}/charts`.
pub(crate) async fn show(visitor: Visitor, Path(id): Path<String>) -> Result {
    let wanted = Wanted::read(&visitor.address);
    visitor.page(&make(&visitor, &id, wanted).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_understood_shows_the_last_day() {
        let read = |address| {
            let Wanted { range, stream } = Wanted::read(address);
            (range, stream)
        };
        assert_eq!(read("/x?range=7d&stream=metrics"), (Range::Week, Some(StreamKind::Metrics)));
        assert_eq!(read("/x?range=99y&stream=<b>"), (Range::Day, None));
        assert_eq!(read("/x"), (Range::Day, None));
    }
}
