//! How a connector stands, and the one thing to do about it: the part of its page that is live.

use askama::Template;
use toktra_siem_app::{Query, accounting, connectors, deliveries, health, named};
use toktra_siem_core::ids::StreamKind;
use toktra_siem_wire::{
    Connector, DelayReason as Reason, Delivery, DeliveryLatency, Health, HealthState as State, LastError,
    StreamAccount, StreamHealth,
};

use super::path;
use crate::answer::Result;
use crate::connectors::model::{Owner, owner};
use crate::deliveries::words;
use crate::frame::{Frame, Section};
use crate::icon::Icon;
use crate::model::{Stands as _, badge_of, is_our_fault};
use crate::show::{self, Html};
use crate::visitor::Visitor;

/// Deliveries that are shown.
const LATEST: &str = "5";

/// The part of the page. `latest` stands elsewhere on the page; a live update brings both.
#[derive(Template)]
#[template(path = "dashboard/connectors/health.html", blocks = ["health", "deliveries"])]
pub(super) struct Live {
    frame: Frame,
    path: String,
    health: Health,
    connector: Connector,
    streams: Vec<Stream>,
    latest: Vec<Delivery>,
}

/// A stream with what is said of it.
pub(super) struct Stream {
    health: StreamHealth,
    stats: Vec<(&'static str, String)>,
    advice: Option<String>,
    /// Where its events are: each of them in exactly one place.
    account: Vec<(&'static str, String)>,
}

/// What somebody can do about what stands on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// It works.
    Pause,
    /// It is off, and nothing waits, or what waits was never meant for it.
    Resume,
    /// It is off, and events wait.
    Choose,
}

impl Live {
    /// Asks how it stands.
    pub(super) async fn of(visitor: &Visitor, id: &str) -> Result<Self> {
        let (app, caller, own) = (visitor.app(), visitor.caller(), named(id)?);
        let connector = connectors::get(app, caller, own).await?;
        let health = health::of_connector(app, caller, own).await?;
        let latest = deliveries::list(app, caller, Some(own), Query::of([("limit", LATEST)])).await?;
        let accounts = accounting::of_connector(app, caller, own).await?.streams;
        let receiver = visitor.registry().receiver(connector.settings.platform, &connector.settings.config);
        let unused = never_on(&connector);
        let streams = health.streams.iter().map(|stream| Stream::of(stream, &receiver, &accounts, unused)).collect();
        let frame = visitor.frame(connector.name.clone(), Section::Connectors);
        Ok(Self { frame, path: path(id, ""), health, connector, streams, latest: latest.items })
    }

    /// The connector.
    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Both parts, for the page.
    pub(super) fn parts(&self) -> Result<(Html, Html)> {
        Ok((super::html_of(&self.as_health())?, super::html_of(&self.as_deliveries())?))
    }

    /// Whether whoever looks may change the connector.
    fn changeable(&self) -> bool {
        self.frame.is_admin() && owner(&self.connector) == Owner::People
    }

    /// Whether it does not deliver, as far as people may be told of it.
    fn is_down(&self) -> bool {
        let down =
            |stream: &StreamHealth| matches!(stream.state, State::Degraded | State::Misconfigured | State::Stalled);
        self.health.streams.iter().any(|stream| down(stream) && !is_our_fault(stream))
    }

    fn action(&self) -> Action {
        if self.connector.active {
            Action::Pause
        } else if waiting(&self.health) == 0 || self.never_on() {
            Action::Resume
        } else {
            Action::Choose
        }
    }

    /// It was made switched off and never saved since: what came before it is switched on was never meant for it.
    fn never_on(&self) -> bool {
        never_on(&self.connector)
    }

    fn several(&self) -> bool {
        self.streams.len() > 1
    }
}

/// Events that wait for the connector to be switched on: on the stream that has most of them, since streams take the same events.
pub(crate) fn waiting(health: &Health) -> u64 {
    health.streams.iter().map(|stream| stream.undelivered.waiting + stream.undelivered.pending).max().unwrap_or(0)
}

/// See [`Live::never_on`].
pub(crate) fn never_on(connector: &Connector) -> bool {
    !connector.active && !connector.activated
}

impl Stream {
    fn of(health: &StreamHealth, platform: &str, accounts: &[StreamAccount], never_on: bool) -> Self {
        let account = accounts.iter().find(|account| account.stream == health.stream).map(account);
        Self {
            stats: stats(health),
            advice: advice(health, platform),
            account: account.filter(|_| !never_on).unwrap_or_default(),
            health: health.clone(),
        }
    }

    fn badge(&self) -> Html {
        badge_of(&self.health)
    }

    /// How it stands, without the word that the badge says already.
    fn sentence(&self) -> String {
        self.health.state.said_beside(&self.health.sentence)
    }

    /// Whether what last went wrong still matters.
    fn shows_error(&self) -> bool {
        let told = |error: &LastError| error.cause.is_damage() && error.delivery_id.is_none();
        matches!(self.health.state, State::Degraded | State::Misconfigured | State::Stalled)
            && !self.health.last_error.as_ref().is_some_and(told)
    }

    fn one_damaged(&self) -> bool {
        self.health.damaged.as_ref().is_some_and(|damaged| damaged.total == 1)
    }

    /// What there is to know and to do about damaged events.
    fn damaged(&self) -> Option<String> {
        let damaged = self.health.damaged.as_ref()?;
        let (was, it) = if damaged.total == 1 { ("was", "it") } else { ("were", "them") };
        Some(format!(
            "{} {was} found damaged in this server's database and could not be delivered: the disk, or something else that wrote to the file, \
             has changed {it}. toktra-siem repair cannot bring {it} back; have the producer send {it} again under a new id, and check the disk.",
            show::counted(damaged.total, "event", "events")
        ))
    }

    /// Whether nothing goes on until somebody acts: it is not even tried again.
    fn waits_for_a_person(&self) -> bool {
        self.health.state == State::Misconfigured && self.health.next_probe_at.is_none()
    }

    fn failed(&self) -> String {
        show::counted(self.health.parked.failed, "event", "events")
    }

    fn rejected(&self) -> String {
        show::counted(self.health.parked.rejected, "event", "events")
    }
}

/// The account in words; of what is seldom, only what there is.
fn account(account: &StreamAccount) -> Vec<(&'static str, String)> {
    let StreamAccount {
        accepted,
        delivered,
        rejected,
        failed,
        expired,
        damaged,
        discarded,
        skipped,
        pending,
        filtered,
        ..
    } = *account;
    let shown = |n: i64| show::count(u64::try_from(n).unwrap_or_default());
    let mut all =
        vec![("Accepted", show::count(accepted)), ("Delivered", shown(delivered)), ("Waiting", shown(pending))];
    let seldom = [
        ("Failed, will retry", failed),
        ("Rejected", rejected),
        ("Filtered out", filtered),
        ("Expired", expired),
        ("Damaged", damaged),
        ("Discarded", discarded),
        ("Skipped", skipped),
    ];
    all.extend(seldom.into_iter().filter(|(_, n)| *n != 0).map(|(name, n)| (name, shown(n))));
    all
}

fn stats(health: &StreamHealth) -> Vec<(&'static str, String)> {
    let lag = match (health.lag_events, health.lag_seconds) {
        (0, _) => "None".to_owned(),
        (events, 0) => show::counted(events, "event", "events"),
        (events, seconds) => {
            let oldest = show::span(std::time::Duration::from_secs(seconds));
            format!("{}, {oldest} behind", show::counted(events, "event", "events"))
        }
    };
    let span = |of: fn(&DeliveryLatency) -> u64| {
        health.latency.as_ref().map_or_else(|| "–".to_owned(), |latency| show::millis(of(latency)))
    };
    vec![
        ("Rate, last 5 min", show::rate(health.rates.last_5_minutes.delivered)),
        ("Lag", lag),
        ("p50, last hour", span(|latency| latency.p50_ms)),
        ("p99, last hour", span(|latency| latency.p99_ms)),
    ]
}

/// Whether something is under way that comes to its end by itself.
fn goes_on(health: &StreamHealth) -> bool {
    let reason = health.delay.as_ref().map(|delay| delay.reason);
    matches!(reason, Some(Reason::Sending | Reason::Retrying | Reason::Confirming | Reason::Starting))
}

/// The one thing to do about how a stream stands, where the sentence of what went wrong does not say it already.
fn advice(health: &StreamHealth, name: &str) -> Option<String> {
    match health.state {
        State::Misconfigured => Some("A test delivery that arrives starts the flow at once.".to_owned()),
        State::Degraded if health.next_probe_at.is_some() => {
            Some(format!("Nothing is lost: events wait, and go out by themselves once {name} takes them again."))
        }
        State::Degraded if health.parked.failed > 0 => {
            Some("These events are tried again by themselves, one batch at a time, beside the others.".to_owned())
        }
        // What went wrong here says what to do.
        State::Degraded if is_our_fault(health) => None,
        State::Degraded if goes_on(health) => Some("Nothing has to be done: this goes on by itself.".to_owned()),
        State::Degraded => Some("Nothing has to be done: it takes events, and works off what had piled up.".to_owned()),
        State::Healthy if health.last_success.is_none() && health.rates.last_hour.delivered <= 0.0 => {
            Some("Send a test delivery to see that it works before the first event comes.".to_owned())
        }
        // Of one that is stalled, what is known says what to do.
        State::Healthy | State::Off | State::Stalled => None,
    }
}
