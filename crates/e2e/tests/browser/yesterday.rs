//! A day of traffic before today, put into the database while the server is away: charts of a server that was started a minute ago show
//! nothing of what they are made for.

use std::time::Duration;

use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_core::ids::{StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{BUCKET, Traffic, bucket};
use toktra_siem_store::{DeliveryStore as _, TrafficRow};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};

use crate::company::Company;

/// Buckets of a day.
const DAY: u32 = 288;
/// When Splunk was away: so many buckets ago, from and to.
const AWAY: std::ops::Range<u32> = 88..97;

impl Company {
    /// A day later.
    pub(crate) async fn a_day_later(&mut self) {
        let now = SystemClock.now();
        let streams = [
            (&self.prod, StreamKind::Events, 40),
            (&self.lake, StreamKind::Events, 40),
            (&self.europe, StreamKind::Logs, 14),
            (&self.europe, StreamKind::Metrics, 14),
        ];
        let rows = streams.into_iter().flat_map(|(connector, kind, most)| {
            let stream = StreamId { connector: connector.id.parse().unwrap(), kind };
            let away = if connector.id == self.prod.id { AWAY } else { 0..0 };
            (1..DAY).map(move |ago| TrafficRow { stream, at: at(now, ago), traffic: traffic(ago, most, &away) })
        });
        let rows: Vec<TrafficRow> = rows.collect();
        let put = async |directory: &std::path::Path| {
            let store = Sqlite::open(directory, SqliteOptions::default()).unwrap();
            store.add_traffic(rows).await.unwrap();
            store.close().await.unwrap();
        };
        self.world.while_away(put).await;
    }
}

fn at(now: Timestamp, ago: u32) -> Timestamp {
    bucket(now.minus(BUCKET * ago))
}

/// What flowed so many buckets ago: most in the middle of the working day, never quite the same; nothing while the SIEM was away, and all
/// of that at once when it was back.
fn traffic(ago: u32, most: u64, away: &std::ops::Range<u32>) -> Traffic {
    let uneven = u64::from(ago.wrapping_mul(2_654_435_761) >> 16) % 9;
    let hour = u64::from(DAY - ago) * 24 / u64::from(DAY);
    let busy =
        [1, 1, 1, 1, 2, 3, 5, 7, 9, 10, 10, 9, 8, 9, 10, 10, 9, 7, 5, 4, 3, 2, 2, 1][usize::try_from(hour).unwrap()];
    let events = most * busy / 10 + uneven;
    let mut traffic = Traffic { attempts: events / 2 + 1, lag: 1 + uneven / 4, ..Traffic::default() };
    if away.contains(&ago) {
        traffic.failed = 3;
        traffic.attempts_failed = traffic.attempts;
        traffic.lag = events * u64::from(away.end - ago);
        return traffic;
    }
    let back = away.start > 0 && ago + 1 == away.start;
    traffic.delivered = if back { events * u64::from(away.end - away.start) } else { events };
    let slow = if back { 40_000 } else { 180 + 40 * uneven };
    traffic.latency.add(Duration::from_millis(32 + 3 * uneven), traffic.delivered * 9 / 10);
    traffic.latency.add(Duration::from_millis(slow), traffic.delivered - traffic.delivered * 9 / 10);
    traffic
}
