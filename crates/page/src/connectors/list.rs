//! The list of connectors, live: is it flowing, and what broke? The worst stands first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use http::header::{HeaderName, HeaderValue};
use toktra_siem_app::{Query, connectors, health, traffic};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{Health, HealthState as State, StreamHealth, StreamTraffic, Traffic};

use super::wanted::{LIST, Wanted, state_word};
use crate::answer::{Result, html, in_place};
use crate::charts::{Bar, sparkline};
use crate::error::PageError;
use crate::first_run::{self, Command, FirstRun};
use crate::frame::{Frame, Section};
use crate::live::view::{Rendering, rendering};
use crate::model::{Stands as _, badge_of};
use crate::show::{self, Html, Mood};
use crate::tour::{self, Step, Tour};
use crate::visitor::Visitor;

/// Has htmx show an address in place of the present one.
const REPLACE_URL: HeaderName = HeaderName::from_static("hx-replace-url");

/// Half an hour: 48 bars are a day.
const STEP: &str = "1800";

/// Rows of a page.
const PAGE: usize = 50;
/// So many connectors that fail for one cause are one line.
const GROUP: usize = 3;

#[derive(Template)]
#[template(path = "dashboard/connectors/list.html", blocks = ["part", "rows"])]
struct ListPage {
    frame: Frame,
    wanted: Wanted,
    /// How many there are in each state, the worst first.
    strip: Vec<Count>,
    /// Those that fail for one cause.
    groups: Vec<Group>,
    /// The first run, until it is over.
    first: Option<FirstRun>,
    /// How to post the first event, to whoever looks.
    commands: [Command; 3],
    /// The demo's tour, with its steps.
    tour: Option<(Tour, Vec<Step>)>,
    rows: Vec<Row>,
    /// How many there are, and how many of them are wanted.
    total: usize,
    found: usize,
    /// How many rows of those are on pages before this one.
    before: usize,
}

/// How many connectors are in a state.
struct Count {
    state: State,
    number: usize,
    address: String,
    chosen: bool,
}

/// Connectors that fail for one cause, as one line.
struct Group {
    state: State,
    cause: String,
    number: usize,
    /// Since when the first of them fails.
    since: Option<Timestamp>,
    wanted: Wanted,
}

impl ListPage {
    fn new(visitor: &Visitor, wanted: Wanted, rows: Vec<Row>, first: Option<FirstRun>) -> Self {
        let frame = visitor.frame("SIEM connectors", Section::Connectors);
        let total = rows.len();
        let steps = |tour: &Tour| tour.steps(rows.iter().map(|row| (&row.health, row.fixed)));
        let tour = visitor.tour().filter(|_| wanted.is_empty()).map(|tour| (tour.clone(), steps(tour)));
        let count = |state: State| {
            let chosen = wanted.state == Some(state);
            let other = Wanted { state: (!chosen).then_some(state), ..Wanted::default() };
            let number = rows.iter().filter(|row| row.health.state == state).count();
            Count { state, number, address: other.address(LIST), chosen }
        };
        let strip: Vec<Count> = WORST_FIRST.into_iter().map(count).filter(|count| count.number > 0).collect();
        let (mut groups, mut rows) = (Vec::new(), rows);
        if wanted.is_empty() {
            groups = self::groups(&rows);
            rows.retain(|row| !groups.iter().any(|group| group.wanted.matches(&row.health, "")));
        } else {
            rows.retain(|row| wanted.matches(&row.health, &frame.platform(&row.health.platform)));
        }
        let found = rows.len();
        let before = wanted.page.saturating_mul(PAGE).min(found);
        let rows = rows.into_iter().skip(before).take(PAGE).collect();
        let commands = first_run::commands(&visitor.site.address());
        Self { frame, wanted, strip, groups, first, commands, tour, rows, total, found, before }
    }

    /// Whether the first run came to its end.
    fn is_delivered(&self) -> bool {
        self.first.as_ref().is_some_and(|first| first.delivered)
    }

    /// The state that is wanted, as the API calls it.
    fn state(&self) -> Option<&'static str> {
        self.wanted.state.map(state_word)
    }

    /// How many match, in words.
    fn matching(&self) -> String {
        show::counted(self.found as u64, "connector", "connectors")
    }

    /// Where the page before and after this one are.
    fn turns(&self) -> (Option<String>, Option<String>) {
        let page = |page| Wanted { page, ..self.wanted.clone() }.address(LIST);
        let earlier = self.wanted.page.checked_sub(1).map(page);
        let later = (self.before + self.rows.len() < self.found).then(|| page(self.wanted.page + 1));
        (earlier, later)
    }
}

/// The causes for which several connectors fail, the one of most of them first.
fn groups(rows: &[Row]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let Some(cause) = cause(&row.health) else { continue };
        let since = row.worst().and_then(|stream| stream.since);
        match groups.iter_mut().find(|group| group.cause == cause && group.state == row.health.state) {
            Some(group) => {
                group.number += 1;
                group.since = group.since.into_iter().chain(since).min();
            }
            None => groups.push(Group {
                state: row.health.state,
                cause: cause.to_owned(),
                number: 1,
                since,
                wanted: Wanted { cause: cause.to_owned(), state: Some(row.health.state), ..Wanted::default() },
            }),
        }
    }
    groups.retain(|group| group.number >= GROUP);
    groups.sort_by_key(|group| std::cmp::Reverse(group.number));
    groups
}

/// A connector.
struct Row {
    health: Health,
    /// What flowed in the last day.
    flow: Html,
    /// Whether this visitor may switch it.
    switchable: bool,
    /// It is described by the environment.
    fixed: bool,
    /// It has no signing secret.
    unsigned: bool,
}

impl Row {
    /// How its worst stream is.
    fn badge(&self) -> Html {
        let worst = self.health.streams.iter().rev().max_by_key(|stream| stream.state);
        worst.map_or_else(|| show::badge(self.health.state.mood(), self.health.state.word()), badge_of)
    }

    /// That of its streams which its state is about.
    fn worst(&self) -> Option<&StreamHealth> {
        worst(&self.health)
    }

    /// Events a minute. All streams of a connector carry the same events.
    fn rate(&self) -> String {
        let rates = self.health.streams.iter().map(|stream| stream.rates.last_5_minutes.delivered);
        show::rate(rates.fold(0.0, f64::max))
    }

    /// What waits, and for how long.
    fn lag(&self) -> String {
        match self.health.streams.iter().max_by_key(|stream| stream.lag_events) {
            Some(stream) if stream.lag_events > 0 => {
                let age = Duration::from_secs(stream.lag_seconds);
                format!("{}, {}", show::counted(stream.lag_events, "event", "events"), show::span(age))
            }
            _ => "None".to_owned(),
        }
    }
}

/// That of a connector's streams which its state is about.
fn worst(health: &Health) -> Option<&StreamHealth> {
    health.streams.iter().find(|stream| stream.state == health.state)
}

/// Why a connector does not send, in a sentence; nothing if it does.
pub(super) fn cause(health: &Health) -> Option<&str> {
    let stream = worst(health).filter(|stream| stream.since.is_some())?;
    Some(first_sentence(&stream.last_error.as_ref()?.cause.message))
}

/// What happened; the cause and what to do stand on the connector's page.
fn first_sentence(message: &str) -> &str {
    message.split_once(". ").map_or(message, |(first, _)| first)
}

/// What is asked for anew only now and then while the list is live: the traffic of a day is kept in steps of five minutes, and is by far the
/// largest answer.
pub(crate) struct Slow {
    at: Timestamp,
    /// What flowed in the last day, by connector.
    flows: HashMap<ConnectorId, Html>,
    /// The connectors that the environment describes.
    fixed: HashSet<ConnectorId>,
    /// Those of them that have no signing secret; others always have one.
    unsigned: HashSet<ConnectorId>,
    /// Whether the first run is over once an event was delivered.
    long_ago: bool,
}

/// The same, between two looks at a live list.
pub(crate) type Kept = Option<Arc<Slow>>;

/// How old that may be.
const SLOW: Duration = Duration::from_secs(30);

impl Slow {
    async fn ask(visitor: &Visitor) -> Result<Self> {
        let flowed = traffic::of_all(visitor.app(), visitor.caller(), Query::of([("step", STEP)])).await?;
        let flow = |traffic: Traffic| (traffic.connector_id, sparkline(&bars(&traffic.streams), "the last 24 hours"));
        let flows: HashMap<_, _> = flowed.items.into_iter().map(flow).collect();
        let described = if flows.is_empty() { HashMap::new() } else { of_the_environment(visitor).await? };
        let unsigned = described.iter().filter(|(_, signed)| !**signed).map(|(id, _)| *id).collect();
        let long_ago = first_run::is_long_ago(visitor).await?;
        Ok(Self { at: visitor.now, flows, fixed: described.into_keys().collect(), unsigned, long_ago })
    }

    /// Whether it still tells of all of them.
    fn serves(&self, now: Timestamp, connectors: &[Health]) -> bool {
        now.since(self.at) < SLOW && connectors.iter().all(|health| self.flows.contains_key(&health.connector_id))
    }
}

/// The page, with what may be kept for the next one.
async fn make(visitor: &Visitor, wanted: Wanted, kept: Kept) -> Result<(ListPage, Arc<Slow>)> {
    let health = health::of_all(visitor.app(), visitor.caller()).await?;
    let slow = match kept.filter(|kept| kept.serves(visitor.now, &health.items)) {
        Some(kept) => kept,
        None => Arc::new(Slow::ask(visitor).await?),
    };
    let first = if wanted.is_empty() { FirstRun::of(visitor, &health.items, slow.long_ago).await? } else { None };
    let row = |health: Health| {
        let fixed = slow.fixed.contains(&health.connector_id);
        let flow = slow.flows.get(&health.connector_id).cloned().unwrap_or_default();
        let unsigned = slow.unsigned.contains(&health.connector_id);
        Row { health, flow, switchable: visitor.is_admin() && !fixed, fixed, unsigned }
    };
    let mut rows: Vec<Row> = health.items.into_iter().map(row).collect();
    rows.sort_by_cached_key(|row| (rank(row.health.state), row.health.name.to_lowercase()));
    Ok((ListPage::new(visitor, wanted, rows, first), slow))
}

const WORST_FIRST: [State; 5] = [State::Stalled, State::Misconfigured, State::Degraded, State::Healthy, State::Off];

fn rank(state: State) -> usize {
    WORST_FIRST.iter().position(|of| *of == state).unwrap_or(WORST_FIRST.len())
}

/// One bar for each step. The streams of a connector carry the same events: they arrived once, and each failure is one to see.
fn bars(streams: &[StreamTraffic]) -> Vec<Bar> {
    let steps = streams.iter().map(|stream| stream.buckets.len()).max().unwrap_or(0);
    let bar = |step: usize| {
        let buckets = || streams.iter().filter_map(|stream| stream.buckets.get(step));
        Bar {
            delivered: buckets().map(|bucket| bucket.delivered).max().unwrap_or(0),
            failed: buckets().map(|bucket| bucket.failed.saturating_add(bucket.rejected)).fold(0, u64::saturating_add),
        }
    };
    (0..steps).map(bar).collect()
}

/// Those that nobody can switch here, and whether their requests are signed.
pub(super) async fn of_the_environment(visitor: &Visitor) -> Result<HashMap<ConnectorId, bool>> {
    let mut found = HashMap::new();
    let mut cursor = String::new();
    loop {
        let page = Query::of([("limit", "100"), ("cursor", &*cursor)]);
        let page = connectors::list(visitor.app(), visitor.caller(), page).await?;
        let described = page.items.iter().filter(|owned| owned.managed_by == ManagedBy::Environment);
        found.extend(described.map(|owned| (owned.id, owned.signing_secret.set)));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return Ok(found),
        }
    }
}

/// `GET /integrations/siem?q=…&state=…&cause=…&page=…`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    let wanted = Wanted::read(&visitor.address);
    html(http::StatusCode::OK, &make(&visitor, wanted, None).await?.0)
}

/// `GET /integrations/siem/part`: what is shown of the list, for a page that is there already.
pub(crate) async fn part(visitor: Visitor) -> Result {
    let wanted = Wanted::read(&visitor.address);
    let address = wanted.address(LIST);
    let page = make(&visitor, wanted, None).await?.0;
    let part = page.as_part().render().map_err(|error| PageError::broken(&error))?;
    let mut response = in_place(part, "#connectors", "innerMorph");
    // It comes again and again while somebody looks: there is nothing to go back to.
    if let Ok(address) = HeaderValue::try_from(address) {
        response.headers_mut().insert(REPLACE_URL, address);
    }
    Ok(response)
}

/// `/integrations/siem/live`.
pub(crate) async fn live(visitor: &Visitor, kept: &mut Kept) -> Result<Rendering> {
    let (page, slow) = make(visitor, Wanted::default(), kept.take()).await?;
    *kept = Some(slow);
    Ok(rendering(page, |page| page.as_rows().render()))
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::ids::StreamKind;
    use toktra_siem_wire::TrafficBucket;

    use super::*;

    #[test]
    fn an_event_of_two_streams_arrived_once_and_failed_where_it_failed() {
        let bucket = |(delivered, failed, rejected): &(u64, u64, u64)| TrafficBucket {
            at: Timestamp(0),
            delivered: *delivered,
            failed: *failed,
            rejected: *rejected,
            attempts: 0,
            attempts_failed: 0,
            lag: 0,
            p50_ms: None,
            p99_ms: None,
        };
        let stream = |of: &[(u64, u64, u64)]| StreamTraffic {
            stream: StreamKind::Events,
            buckets: of.iter().map(bucket).collect(),
        };
        let bars = bars(&[stream(&[(5, 0, 1), (2, 0, 0)]), stream(&[(4, 2, 0)])]);
        assert_eq!(bars, [Bar { delivered: 5, failed: 3 }, Bar { delivered: 2, failed: 0 }]);
        assert_eq!(first_sentence("It was refused. Do this."), "It was refused");
    }
}
