//! Indexer acknowledgement.

use toktra_siem_core::delivery::Status;

use super::*;

async fn acknowledging() -> Bench {
    let config = json!({"hec_url": "https://splunk.example:8088", "hec_token": "token", "indexer_ack": true});
    Bench::new(SPLUNK, config).await
}

fn answering(confirmed: bool) -> impl Fn(&SignedRequest) -> Answer {
    move |request| {
        if request.url.ends_with("/ack") {
            reply(200, &json!({"acks": {"7": confirmed}}))
        } else {
            reply(200, &json!({"text": "Success", "code": 0, "ackId": 7}))
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_stays_pending_until_it_is_confirmed() {
    let mut bench = acknowledging().await;
    bench.otherwise(answering(false));
    bench.send(2).await;
    bench.pass(Duration::from_secs(20)).await;
    assert_eq!(bench.history().await[0].0.status, Status::Pending);
    assert_eq!(bench.events_account().await.pending(), 2);
    bench.otherwise(answering(true));
    bench.pass(Duration::from_secs(20)).await;
    let history = bench.history().await;
    assert_eq!((history[0].0.status, history[0].0.cause.is_none()), (Status::Delivered, true));
    assert_eq!(history[0].1.len(), 1, "asking is not an attempt");
}

#[tokio::test(start_paused = true)]
async fn what_is_never_confirmed_is_delivered_with_a_warning_and_not_sent_again() {
    let mut bench = acknowledging().await;
    bench.otherwise(answering(false));
    bench.send(2).await;
    bench.pass(Duration::from_mins(3)).await;
    let history = bench.history().await;
    assert_eq!(history[0].0.status, Status::Delivered);
    assert_eq!(history[0].0.cause.as_ref().unwrap().code, "splunk_ack_timeout");
    assert_eq!(bench.seen().iter().filter(|s| s.url.ends_with("/event")).count(), 1);
}

/// Whatever comes back while nothing can be recorded is recorded afterwards, in its order: the delivery does not stay pending.
#[tokio::test(start_paused = true)]
async fn a_confirmation_does_not_overtake_what_it_confirms() {
    // Room comes at any moment between two tries of either.
    let soon = (5_000..6_000).step_by(50).map(|pause| (true, pause));
    for (confirmed, pause) in soon.chain([(true, 50_000), (false, 200_000)]) {
        let mut bench = acknowledging().await;
        bench.otherwise(answering(confirmed));
        bench.store.fill(true);
        bench.send(2).await;
        bench.pass(Duration::from_millis(pause)).await;
        assert_eq!(bench.events_account().await.pending(), 2);
        bench.store.fill(false);
        bench.pass(Duration::from_mins(3)).await;
        let history = bench.history().await;
        assert_eq!((history.len(), history[0].0.status), (1, Status::Delivered), "{confirmed} {pause}");
        assert_eq!(bench.events_account().await.pending(), 0);
        assert_eq!(bench.seen().iter().filter(|s| s.url.ends_with("/event")).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_asking() {
    let mut bench = acknowledging().await;
    bench.otherwise(answering(false));
    bench.send(2).await;
    bench.pass(Duration::from_secs(5)).await;
    bench.stop().await;
    bench.otherwise(answering(true));
    bench.start(SPLUNK);
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.history().await[0].0.status, Status::Delivered);
    assert_eq!(bench.seen().iter().filter(|s| s.url.ends_with("/event")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_splunk_says_will_never_come() {
    let mut bench = acknowledging().await;
    bench.otherwise(|request: &SignedRequest| {
        if request.url.ends_with("/ack") {
            reply(400, &json!({"text": "ACK is disabled", "code": 14}))
        } else {
            reply(200, &json!({"text": "Success", "code": 0, "ackId": 7}))
        }
    });
    bench.send(2).await;
    bench.pass(Duration::from_secs(5)).await;
    let history = bench.history().await;
    assert_eq!(history[0].0.status, Status::Delivered);
    assert_eq!(history[0].0.cause.as_ref().unwrap().code, "splunk_14_ack_disabled");
    assert_eq!(bench.seen().iter().filter(|s| s.url.ends_with("/ack")).count(), 1, "and it is not asked again");
}
