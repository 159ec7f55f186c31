//! Datadog's metrics: closed windows, exact sums, one point for each series and window.

use std::collections::BTreeMap;

use toktra_siem_store::cluster::BEAT;

use super::*;

/// Points by (tags, time); panics where one is written twice with another value.
fn points(bench: &Bench) -> BTreeMap<(String, i64), u64> {
    let mut points = BTreeMap::new();
    for seen in bench.seen().iter().filter(|s| s.url.ends_with("/series")) {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        for series in body["series"].as_array().unwrap() {
            assert_eq!(series["metric"], "toktra.security.events");
            for point in series["points"].as_array().unwrap() {
                let key = (series["tags"].to_string(), point["timestamp"].as_i64().unwrap());
                let value = point["value"].as_u64().unwrap();
                assert!(points.insert(key, value).is_none_or(|before| before == value), "a point never changes");
            }
        }
    }
    points
}

async fn datadog() -> Bench {
    let bench = Bench::new(DATADOG, json!({"api_key": "0123456789abcdef0123456789abcdef"})).await;
    bench.otherwise(|_| Ok(Reply { status: 202, ..Reply::default() }));
    bench
}

#[tokio::test(start_paused = true)]
async fn a_window_goes_once_it_is_closed_and_sums_are_exact() {
    let mut bench = datadog().await;
    for _ in 0..25 {
        bench.send(3).await;
        bench.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(points(&bench).len(), 2, "the open window does not go");
    bench.pass(Duration::from_secs(15)).await;
    let points = points(&bench);
    assert_eq!(points.values().sum::<u64>(), 75);
    assert!(points.keys().all(|(_, at)| at % 10 == 0));
    let account = bench.account(StreamKind::Metrics).await;
    assert_eq!((account.counts.delivered, account.pending()), (75, 0));
    assert_eq!(bench.account(StreamKind::Logs).await.counts.delivered, 75);
}

#[tokio::test(start_paused = true)]
async fn refused_metrics_do_not_touch_accepted_logs() {
    let mut bench = datadog().await;
    bench.otherwise(|request| {
        Ok(Reply { status: if request.url.ends_with("/series") { 503 } else { 202 }, ..Reply::default() })
    });
    bench.send(5).await;
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.account(StreamKind::Logs).await.counts.delivered, 5);
    assert_eq!(bench.account(StreamKind::Metrics).await.counts.failed, 5);
    bench.otherwise(|_| Ok(Reply { status: 202, ..Reply::default() }));
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.account(StreamKind::Metrics).await.counts.delivered, 5);
    assert_eq!(points(&bench).values().sum::<u64>(), 5, "the same window, with the same time");
}

#[tokio::test(start_paused = true)]
async fn windows_older_than_an_hour_are_dropped_visibly() {
    let mut bench = datadog().await;
    bench.otherwise(|request| {
        Ok(Reply { status: if request.url.ends_with("/series") { 503 } else { 202 }, ..Reply::default() })
    });
    for _ in 0..3 {
        bench.send(5).await;
        bench.pass(Duration::from_hours(1)).await;
    }
    bench.otherwise(|_| Ok(Reply { status: 202, ..Reply::default() }));
    bench.send(2).await;
    bench.pass(Duration::from_mins(2)).await;
    let account = bench.account(StreamKind::Metrics).await;
    assert_eq!((account.counts.expired, account.counts.delivered, account.pending()), (15, 2, 0));
    assert_eq!(bench.account(StreamKind::Logs).await.counts.delivered, 17);
}

#[tokio::test(start_paused = true)]
async fn without_send_metrics_events_pass_by_as_filtered() {
    let mut bench = datadog().await;
    bench
        .save(Resume::Backlog, |c| {
            c.settings.config["send_metrics"] = false.into();
        })
        .await;
    bench.send(4).await;
    bench.pass(Duration::from_secs(30)).await;
    assert_eq!(bench.account(StreamKind::Metrics).await.counts.filtered, 4);
    assert_eq!(bench.account(StreamKind::Logs).await.counts.delivered, 4);
    assert!(points(&bench).is_empty());
}

/// Each of what was accepted before, while and after the clock was a day ahead arrives within a minute of the clock being right, whether the wrong
/// windows had gone or not.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_holds_no_window_up() {
    for wrong_for in [0, 45] {
        let mut bench = datadog().await;
        bench.send(2).await;
        bench.pass(Duration::from_secs(30)).await;
        bench.ahead.store(86_400, Ordering::SeqCst);
        bench.send(3).await;
        if wrong_for > 0 {
            // The store counts the silence of nodes by this clock as well: this one joins anew.
            bench.pass(BEAT * 2).await;
            bench.stop().await;
            bench.start(DATADOG);
            bench.pass(Duration::from_secs(wrong_for)).await;
        }
        bench.ahead.store(0, Ordering::SeqCst);
        for _ in 0..3 {
            bench.send(4).await;
            bench.pass(Duration::from_secs(15)).await;
        }
        bench.pass(Duration::from_secs(30)).await;
        let account = bench.account(StreamKind::Metrics).await;
        assert_eq!((account.counts.delivered, account.pending()), (17, 0), "{wrong_for}");
        assert_eq!(points(&bench).values().sum::<u64>(), 17, "{wrong_for}");
        assert_eq!(bench.account(StreamKind::Logs).await.counts.delivered, 17, "{wrong_for}");
    }
}
