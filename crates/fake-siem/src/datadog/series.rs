//! Metric series: the rules of Datadog's API reference ("Submit metrics", v2), and what the intake keeps of them —
//! the last value of each metric, tag set and second.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Number, Value};

/// Older than this, in seconds, and a point is dropped.
const OLDEST: i64 = 3600;
/// Further ahead than this, in seconds, and neither is it taken.
const FURTHEST_AHEAD: i64 = 600;
/// Tags that would make one custom metric of every event.
const UNBOUNDED_TAGS: [&str; 3] = ["event_id", "user_id", "user_email"];

/// What tells one series from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// The metric's name.
    pub metric: String,
    /// The tags, sorted, with the host (`host:<name>`) among them.
    pub tags: Vec<String>,
}

/// One accepted point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The series that it belongs to.
    pub series: SeriesKey,
    /// 1 = count, 2 = rate, 3 = gauge.
    pub kind: u8,
    /// The interval that the value covers, in seconds.
    pub interval: Option<u64>,
    /// Epoch seconds.
    pub timestamp: i64,
    /// The value.
    pub value: f64,
}

/// The body, exactly as the API's schema has it (`MetricPayload`): what is unknown is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    series: Vec<Series>,
}

/// One member of `series` (`MetricSeries`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    metric: String,
    #[serde(rename = "type")]
    kind: Number,
    interval: Option<u64>,
    points: Vec<SentPoint>,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(rename = "unit")]
    _unit: Option<String>,
    #[serde(rename = "source_type_name")]
    _source_type_name: Option<String>,
    #[serde(rename = "metadata")]
    _metadata: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentPoint {
    timestamp: i64,
    value: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[serde(rename = "type")]
    kind: String,
    name: String,
}

/// The series of a body; the error says what the schema forbids.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Series>, String> {
    let payload: Payload = serde_json::from_slice(body).map_err(|error| format!("the payload's schema: {error}"))?;
    if payload.series.is_empty() {
        return Err("the payload has no series".to_owned());
    }
    for series in &payload.series {
        check(series).map_err(|why| format!("metric `{}`: {why}", series.metric))?;
    }
    Ok(payload.series)
}

fn check(series: &Series) -> Result<(), String> {
    let name = series.metric.as_bytes();
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if name.len() > 200 || !name.first().is_some_and(u8::is_ascii_alphabetic) || !name.iter().all(legal) {
        return Err("a name is a letter, then letters, digits, `_` and `.`, up to 200 in all".to_owned());
    }
    let kind = kind_of(series).ok_or_else(|| format!("type {} is none of 1, 2, 3", series.kind))?;
    if series.interval == Some(0) || (kind != 3 && series.interval.is_none()) {
        return Err("a count or rate needs an `interval` in whole seconds".to_owned());
    }
    if series.points.is_empty() {
        return Err("no points".to_owned());
    }
    Ok(())
}

fn kind_of(series: &Series) -> Option<u8> {
    series.kind.as_u64().and_then(|kind| u8::try_from(kind).ok()).filter(|kind| (1..=3).contains(kind))
}

/// What the intake holds.
#[derive(Default)]
pub(super) struct SeriesStore {
    points: Vec<Point>,
    last: BTreeMap<SeriesKey, BTreeMap<i64, f64>>,
}

impl SeriesStore {
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    pub(super) fn last_values(&self) -> BTreeMap<SeriesKey, BTreeMap<i64, f64>> {
        self.last.clone()
    }

    /// Takes what has passed [`parse`]. Points outside the accepted time are dropped with a 202, as the intake does;
    /// they and other breaches without an error answer are returned.
    pub(super) fn take(&mut self, sent: &[Series], now: i64) -> Vec<String> {
        let mut violations = Vec::new();
        for series in sent {
            let key = key_of(series);
            if let Some(tag) = key.tags.iter().find(|tag| is_unbounded(tag)) {
                violations.push(format!("metric `{}`: the tag `{tag}` is unbounded", series.metric));
            }
            for point in &series.points {
                if (now - OLDEST..=now + FURTHEST_AHEAD).contains(&point.timestamp) {
                    violations.extend(self.keep(&key, series, point));
                } else {
                    let age = now.saturating_sub(point.timestamp);
                    violations.push(format!("metric `{}`: a point {age} s old was dropped", series.metric));
                }
            }
        }
        violations
    }

    /// Keeps one point. Replacing another value loses that value, which a sender of counts must not do.
    fn keep(&mut self, key: &SeriesKey, series: &Series, point: &SentPoint) -> Option<String> {
        let SentPoint { timestamp, value } = *point;
        let kind = kind_of(series)?;
        self.points.push(Point { series: key.clone(), kind, interval: series.interval, timestamp, value });
        let before = self.last.entry(key.clone()).or_default().insert(timestamp, value)?;
        (before.to_bits() != value.to_bits())
            .then(|| format!("metric `{}` at {timestamp}: {before} was replaced by {value}", key.metric))
    }
}

fn key_of(series: &Series) -> SeriesKey {
    let hosts = series.resources.iter().map(|resource| format!("{}:{}", resource.kind, resource.name));
    let mut tags: Vec<String> = series.tags.iter().cloned().chain(hosts).collect();
    tags.sort();
    tags.dedup();
    SeriesKey { metric: series.metric.clone(), tags }
}

fn is_unbounded(tag: &str) -> bool {
    tag.split_once(':').is_some_and(|(name, _)| UNBOUNDED_TAGS.contains(&name))
}
