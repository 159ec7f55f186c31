//! One row of a platform's reply table, walked from the outside: attempts, history, outcome, health, and the way back.

use std::rc::Rc;

use tokio::task::{JoinSet, LocalSet};
use toktra_siem_fake::{Receiver, Rules};
use toktra_siem_testkit::prelude::*;

/// What a reply to a single event leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// In, with one attempt.
    Delivered,
    /// Three attempts, then parked; the endpoint counts as down.
    Retried,
    /// Three attempts, then parked; a person has to act.
    Held,
    /// Three attempts, then given up: only a person sends it again.
    Rejected,
}

/// What the platform does, and what has to come of it.
pub(crate) struct Row<F> {
    pub(crate) behaviour: Behaviour<F>,
    /// The status that it answers.
    pub(crate) http: u16,
    pub(crate) class: Class,
    /// The code of the cause; empty where there is none.
    pub(crate) cause: &'static str,
}

impl<F> Row<F> {
    /// A row of which the platform takes nothing in and answers this.
    pub(crate) fn reply(reply: Reply, class: Class, cause: &'static str) -> Self {
        Self { http: reply.status.as_u16(), behaviour: Behaviour::reply(reply), class, cause }
    }

    /// A row of which the platform takes everything in, with this status.
    pub(crate) fn delivered(behaviour: Behaviour<F>, http: u16) -> Self {
        Self { http, behaviour, class: Class::Delivered, cause: "" }
    }

    /// A name for the row, unique enough to find it in a message.
    pub(crate) fn name(&self) -> String {
        format!("{} {} {:?}", self.http, self.cause, self.class)
    }
}

/// Walks every row of the table of a platform with one stream. Rows wait most of the time, so they wait together, each with an org, a connector
/// and a receiver of its own.
pub(crate) async fn walk_all<R: Rules, F: Future<Output = Receiver<R>>>(
    table: Vec<Row<R::Fault>>,
    endpoint: R::Endpoint,
    start: impl Fn() -> F + Copy + 'static,
) where
    Receiver<R>: Siem,
{
    let world = Rc::new(World::start().await);
    let walks = async {
        let mut rows = JoinSet::new();
        for row in table {
            let world = Rc::clone(&world);
            rows.spawn_local(async move {
                let (receiver, org) = (start().await, world.org(&row.name()).await);
                let connector = org.connect(&receiver).await;
                let account = walk(&receiver, endpoint, &org, (&connector, "events"), row).await;
                (connector, [("events", account)])
            });
        }
        rows.join_all().await
    };
    let ended = LocalSet::new().run_until(walks).await;
    let expected: Vec<(&Connector, &[(&str, Account)])> =
        ended.iter().map(|(connector, streams)| (connector, &streams[..])).collect();
    Rc::into_inner(world).unwrap().end_with(&expected).await;
}

/// Posts one event to an org whose connector leads to a fake of its own, and follows it to its end. Answers the account of the stream.
pub(crate) async fn walk<R: Rules>(
    receiver: &Receiver<R>,
    endpoint: R::Endpoint,
    org: &Org,
    (connector, stream): (&Connector, &str),
    row: Row<R::Fault>,
) -> Account {
    let name = row.name();
    let Row { behaviour, http, class, cause } = row;
    receiver.always(endpoint, behaviour);
    let id = org.post_event(event("anomaly", "high")).await;

    let delivery = connector.until_settled(&format!("trigger=live&stream={stream}")).await;
    let attempts = if class == Class::Delivered { 1 } else { 3 };
    assert_attempts(&delivery, attempts, http, cause);
    let (status, outcome, health) = match class {
        Class::Delivered => ("delivered", "delivered", "healthy"),
        Class::Retried => ("failed", "failed", "degraded"),
        Class::Held => ("failed", "failed", "misconfigured"),
        Class::Rejected => ("failed", "rejected", "healthy"),
    };
    assert_eq!(delivery["status"], status, "{name}: {delivery}");
    let fate = connector.until_outcome(stream, &id, outcome).await;
    connector.until_health(stream, health).await;
    match class {
        Class::Delivered => {
            assert_eq!(fate["delivery"], delivery["id"], "{name}");
            Account::delivered(1)
        }
        Class::Rejected => {
            assert_eq!(fate["cause"], delivery["cause"], "{name}");
            let all = connector.deliveries(&format!("stream={stream}")).await;
            assert_eq!(all.len(), 1, "{name}: a rejected event is not sent again: {all:?}");
            Account { rejected: 1, ..Account::default() }
        }
        Class::Retried | Class::Held => {
            assert_eq!(fate["cause"]["code"], cause, "{name}");
            comes_back(receiver, connector, stream, &id).await;
            Account::delivered(1)
        }
    }
}

/// The platform accepts again: a probe finds out by itself, and delivers what was parked.
async fn comes_back<R: Rules>(receiver: &Receiver<R>, connector: &Connector, stream: &str, id: &str) {
    receiver.healthy();
    accepted(receiver, 1).await;
    let fate = connector.until_outcome(stream, id, "delivered").await;
    let probe = connector.delivery(&fate["delivery"].text()).await;
    assert_eq!((&probe["trigger"], &probe["probe"]), (&json!("recovery"), &json!(true)), "{probe}");
    connector.until_health(stream, "healthy").await;
    assert_eq!(receiver.violations(), []);
}

/// Attempts are recorded as they were: number, status, cause; the second after 1 s, the third after 2 s.
fn assert_attempts(delivery: &Value, attempts: u64, http: u16, cause: &str) {
    let shown = delivery["attempts"].as_array().unwrap();
    assert_eq!((shown.len() as u64, &delivery["attempt_count"]), (attempts, &json!(attempts)), "{delivery}");
    for (number, attempt) in (1..).zip(shown) {
        assert_eq!((&attempt["number"], &attempt["http_status"]), (&json!(number), &json!(http)), "{delivery}");
        assert_eq!(attempt["cause"]["code"].as_str().unwrap_or_default(), cause, "{delivery}");
    }
    assert_eq!(delivery["cause"]["code"].as_str().unwrap_or_default(), cause);
    for (n, pause) in [1_000, 2_000].into_iter().enumerate().take(shown.len() - 1) {
        assert_paused(delivery, n, pause);
    }
}

/// When attempt `n` (from 0) started, in ms.
pub(crate) fn started(delivery: &Value, n: usize) -> i64 {
    delivery["attempts"][n]["at"].text().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Between the end of attempt `n` (from 0) and the start of the next one there are at least so many milliseconds.
pub(crate) fn assert_paused(delivery: &Value, n: usize, least: i64) {
    let waited =
        started(delivery, n + 1) - started(delivery, n) - delivery["attempts"][n]["duration_ms"].as_i64().unwrap();
    // Times are shown in whole milliseconds, so that each of the three may be one short.
    assert!(waited >= least - 3, "{waited} ms instead of {least}: {delivery}");
}
