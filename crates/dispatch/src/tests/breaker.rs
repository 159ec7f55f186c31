//! Failing, holding, probing and recovering.

use toktra_siem_core::breaker::{Breaker, OpenKind, PROBE_DEADLINE};
use toktra_siem_core::delivery::{Status, Trigger};

use super::*;

async fn breaker_of(bench: &Bench) -> Breaker {
    bench.store.stream(StreamId { connector: CONNECTOR, kind: StreamKind::Events }).await.unwrap().breaker
}

#[tokio::test(start_paused = true)]
async fn while_the_endpoint_is_down_events_wait_and_single_probes_go_out() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(50).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.send(500).await;
    bench.pass(Duration::from_mins(5)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.failed, account.waiting), (50, 500), "later events are not burned");
    let probes = &bench.seen()[3..];
    assert!(probes.iter().all(|probe| events_in(probe) == 1));
    // The connections that are kept may all lead to the one backend that is down.
    assert!(probes.iter().all(|probe| probe.anew) && bench.seen()[..3].iter().all(|seen| !seen.anew));
    assert!((15..60).contains(&probes.len()), "{}", probes.len());
    for pair in probes.windows(2) {
        assert!(pair[1].at.checked_sub(pair[0].at).unwrap() <= Duration::from_secs(20));
    }
    let history = bench.history().await;
    assert_eq!(history.len(), 2, "what failed, and its probes");
    let (row, kept) = &history[1];
    assert_eq!((row.trigger, row.attempts as usize), (Trigger::Recovery, probes.len()));
    assert!(row.probe && kept.len() <= 20);
}

#[tokio::test(start_paused = true)]
async fn after_a_day_everything_is_delivered_and_a_fresh_event_does_not_wait_behind_it() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    for _ in 0..24 {
        bench.send(2_000).await;
        bench.pass(Duration::from_hours(1)).await;
    }
    bench.otherwise(|_| success());
    bench.send(1).await;
    let fresh = format!("{}", EventId(Uuid::from_u128(bench.next_event)));
    let before = bench.seen().len();
    bench.pass(Duration::from_secs(30)).await;
    assert!(bench.delivered_ids().contains(&fresh), "within 30 s");
    bench.pass(Duration::from_mins(10)).await;
    assert!(bench.seen().len() > before);
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.pending()), (48_001, 0));
    assert!(breaker_of(&bench).await.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_holds_the_stream_until_it_is_mended() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| invalid_token());
    bench.send(3).await;
    bench.pass(Duration::from_secs(10)).await;
    assert!(matches!(breaker_of(&bench).await, Breaker::Open { kind: OpenKind::Misconfigured, .. }));
    assert_eq!(bench.times()[..3], [0, 1_001, 3_002], "three attempts here as well");
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(5)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_wants_no_more_is_left_alone_until_a_person_acts() {
    let config = json!({"url": "https://hooks.example/in", "format": "array"});
    let mut bench = Bench::new(toktra_siem_platform::webhook::Webhook::ID, config).await;
    bench.otherwise(|_| reply(410, &json!({})));
    bench.send(3).await;
    bench.pass(Duration::from_hours(24)).await;
    let breaker = breaker_of(&bench).await;
    assert!(matches!(breaker, Breaker::Open { kind: OpenKind::Misconfigured, .. }));
    assert_eq!((breaker.next_probe(), bench.seen().len()), (None, 3), "its three attempts, and no probe in a day");
    bench.send(4).await;
    bench.stop().await;
    bench.start(toktra_siem_platform::webhook::Webhook::ID);
    bench.pass(Duration::from_hours(24)).await;
    assert_eq!(bench.seen().len(), 3, "nor after a restart");
    assert_eq!(
        bench.events_account().await.pending() + bench.events_account().await.counts.failed,
        7,
        "nothing is lost"
    );
    bench.otherwise(|_| success());
    bench.save(Resume::Backlog, |_| {}).await;
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 7);
}

#[tokio::test(start_paused = true)]
async fn a_saved_change_closes_the_breaker_at_once() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| invalid_token());
    bench.send(3).await;
    bench.pass(Duration::from_mins(30)).await;
    bench.send(4).await;
    bench.otherwise(|_| success());
    bench.save(Resume::Backlog, |_| {}).await;
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 7);
}

#[tokio::test(start_paused = true)]
async fn a_blanket_refusal_is_held_not_rejected() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| {
        Ok(Reply { status: 400, body: Bytes::from_static(b"<html>Bad Request</html>"), ..Reply::default() })
    });
    bench.send(100).await;
    bench.pass(Duration::from_mins(1)).await;
    let account = bench.events_account().await;
    assert_eq!(account.counts.rejected, 0, "{account:?}");
    assert!(matches!(breaker_of(&bench).await, Breaker::Open { kind: OpenKind::Misconfigured, .. }));
    bench.stop().await;
    bench.start(SPLUNK);
    bench.pass(Duration::from_secs(1)).await;
    assert!(!breaker_of(&bench).await.is_closed(), "the hold survives a restart");
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(6)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 100);
}

#[tokio::test(start_paused = true)]
async fn the_failed_delivery_stays_as_it_was_and_the_events_arrive_in_new_ones() {
    let mut bench = Bench::splunk().await;
    bench.answer([busy(), busy(), busy()]);
    bench.send(3).await;
    bench.pass(Duration::from_mins(1)).await;
    let history = bench.history().await;
    assert_eq!(history[0].0.status, Status::Failed);
    assert!(history[1..].iter().all(|(d, _)| d.trigger == Trigger::Recovery && d.status == Status::Delivered));
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.counts.failed), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_among_the_parked_does_not_keep_the_breaker_open() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(1).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.send(2).await;
    bench.otherwise(|request| {
        if String::from_utf8_lossy(&request.body).contains("event 101") {
            reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 0}))
        } else {
            success()
        }
    });
    bench.pass(Duration::from_mins(3)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.counts.rejected, account.pending()), (2, 1, 0), "{account:?}");
}

/// One request of a producer may hold as many as it likes that the platform refuses.
#[tokio::test(start_paused = true)]
async fn a_batch_of_poison_does_not_keep_what_comes_after_it() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|request| {
        if String::from_utf8_lossy(&request.body).contains("event 1") {
            reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 0}))
        } else {
            success()
        }
    });
    bench.next_event = 100;
    bench.send(60).await;
    bench.pass(Duration::from_secs(30)).await;
    assert!(!breaker_of(&bench).await.is_closed(), "it looks as if everything were refused");
    bench.next_event = 200;
    bench.send(40).await;
    bench.pass(Duration::from_mins(5)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 40);
    // With nothing but poison left, the next event has its turn as well.
    bench.send(1).await;
    bench.pass(Duration::from_mins(11)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 41);
}

/// Answers 503 to every request that carries the event, and takes the others.
fn busy_with(event: &'static str) -> impl Fn(&SignedRequest) -> Answer {
    move |request| if String::from_utf8_lossy(&request.body).contains(event) { busy() } else { success() }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_every_time_does_not_keep_the_others_from_arriving() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(busy_with("event 103"));
    bench.send(10).await;
    bench.pass(Duration::from_secs(30)).await;
    let before = bench.events_account().await.counts.delivered;
    let mut slowest = Duration::ZERO;
    for _ in 0..120 {
        let (at, seen) = (bench.since.elapsed(), bench.seen().len());
        bench.send(1).await;
        let id = EventId(Uuid::from_u128(bench.next_event)).to_string();
        while !bench.seen()[seen..].iter().any(|s| String::from_utf8_lossy(&s.body).contains(&id)) {
            bench.pass(Duration::from_millis(50)).await;
        }
        slowest = slowest.max(bench.since.elapsed().saturating_sub(at));
        bench.pass(Duration::from_secs(1)).await;
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let account = bench.events_account().await;
    assert!(account.counts.delivered >= before + 119, "{account:?}");
    bench.pass(Duration::from_mins(5)).await;
    let account = bench.events_account().await;
    assert_eq!(
        (account.counts.delivered, account.counts.failed, account.pending()),
        (129, 1, 0),
        "its batch mates arrive too"
    );
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(15)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 130);
}

#[tokio::test(start_paused = true)]
async fn a_blanket_refusal_that_names_event_after_event_is_held_too() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 0})));
    bench.send(300).await;
    bench.pass(Duration::from_mins(1)).await;
    let account = bench.events_account().await;
    assert_eq!(account.counts.rejected, 0, "{account:?}");
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(6)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 300);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_does_not_delay_a_fresh_event_to_its_deadline() {
    let mut bench = Bench::splunk().await;
    *bench.endpoint.takes.lock() = Duration::from_secs(30);
    bench.send(1).await;
    bench.pass(Duration::from_secs(1)).await;
    *bench.endpoint.takes.lock() = Duration::from_millis(1);
    bench.send(1).await;
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn switched_off_and_on_between_two_looks_the_stream_goes_on() {
    let mut bench = Bench::splunk().await;
    bench.send(1).await;
    bench.pass(Duration::from_secs(1)).await;
    let mut connector = bench.store.connector(ORG, CONNECTOR).await.unwrap().connector;
    for active in [false, true] {
        connector.active = active;
        let value = ConnectorSave {
            connector: connector.clone(),
            expected: None,
            secrets: None,
            rotation: None,
            resume: Resume::Backlog,
        };
        bench.store.save_connector(ORG, Change { value, audit: audit() }).await.unwrap();
    }
    bench.control.0.send_modify(|saves| *saves += 1);
    bench.send(2).await;
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 3);
}

/// What is shown of a connector that cannot be used for this reason.
async fn held(bench: &Bench, why: &str) -> (OpenKind, String, Timestamp, Timestamp) {
    let stream = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
    crate::run::hold_unusable(&bench.ctx, bench.ctx.node.member().id(), stream, None, why.to_owned()).await.unwrap();
    match breaker_of(bench).await {
        Breaker::Open { kind, cause, since, probe_at, .. } => (kind, cause.message, since, probe_at),
        Breaker::Closed { .. } => panic!("it is held"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_cannot_be_used_tells_why_at_present() {
    let bench = Bench::splunk().await;
    bench.lease(StreamId { connector: CONNECTOR, kind: StreamKind::Events }).await;
    let (kind, message, since, first) = held(&bench, "it is sealed with another key").await;
    assert_eq!(kind, OpenKind::Misconfigured);
    assert_eq!(message, "This connector cannot be used: it is sealed with another key.");
    bench.pass(Duration::from_mins(6)).await;
    let (_, message, still, next) = held(&bench, "its secret is not set").await;
    assert_eq!(message, "This connector cannot be used: its secret is not set.");
    assert_eq!(still, since);
    assert!(first > since && next > first && next > bench.ctx.clock.now());
}

/// An endpoint that needs longer than a probe used to wait comes back after an outage: with few copies, whether it was always slow, has become so
/// meanwhile, or was never heard before, and whether the process goes on or begins anew.
#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_comes_back_after_an_outage() {
    for (before, takes, restart) in
        [(Some(7), 7, false), (Some(7), 7, true), (None, 7, false), (Some(1), 24, false), (None, 29, true)]
    {
        let case = format!("{before:?} {takes} {restart}");
        let mut bench = Bench::splunk().await;
        if let Some(before) = before {
            *bench.endpoint.takes.lock() = Duration::from_secs(before);
            bench.send(1).await;
            bench.pass(Duration::from_secs(before + 2)).await;
        }
        *bench.endpoint.takes.lock() = Duration::from_millis(1);
        bench.otherwise(|_| busy());
        bench.send(3).await;
        bench.pass(Duration::from_secs(6)).await;
        if restart {
            bench.stop().await;
            bench.start(SPLUNK);
        }
        let probes = bench.seen().len();
        *bench.endpoint.takes.lock() = Duration::from_secs(takes);
        bench.otherwise(|_| success());
        bench.pass(Duration::from_mins(4)).await;
        let account = bench.events_account().await;
        let sent = i64::from(before.is_some());
        assert_eq!((account.counts.delivered, account.undelivered()), (3 + sent, 0), "{case}");
        // One request brings the first event back, one the others; and each probe that was not waited for long enough.
        let copies = bench.seen().len() - probes;
        assert!(copies <= 5, "{case}: {copies} requests");
    }
}

/// An endpoint that takes requests and never answers keeps neither a shutdown nor a connector that is switched off waiting for longer than a first
/// probe takes; what the probe carried is sent afterwards.
#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_keeps_no_end_waiting() {
    for drains in [true, false] {
        let mut bench = Bench::splunk().await;
        bench.otherwise(|_| busy());
        bench.send(2).await;
        bench.pass(Duration::from_secs(4)).await;
        *bench.endpoint.takes.lock() = Duration::from_hours(1);
        bench.pass(Duration::from_mins(2)).await;
        // One has just been started, and would wait for half a minute.
        let before = bench.seen().len();
        while bench.seen().len() == before {
            bench.pass(Duration::from_secs(1)).await;
        }
        let (began, probes) = (Instant::now(), bench.seen().len());
        if drains {
            bench.control.2.cancel();
            for worker in bench.workers.drain(..) {
                worker.await.unwrap();
            }
        } else {
            bench.stop().await;
        }
        assert!(began.elapsed() <= PROBE_DEADLINE, "{drains}: {:?}", began.elapsed());
        assert_eq!(bench.seen().len(), probes, "{drains}: no other is started");
        *bench.endpoint.takes.lock() = Duration::from_millis(1);
        bench.otherwise(|_| success());
        bench.start(SPLUNK);
        bench.pass(Duration::from_mins(2)).await;
        let account = bench.events_account().await;
        assert_eq!((account.counts.delivered, account.undelivered()), (2, 0), "{drains}");
    }
}
