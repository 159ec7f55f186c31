//! Each behaviour of a script, and the lasting modes, seen from the sender's side.

use std::sync::Arc;
use std::time::Duration;

use toktra_siem_fake::splunk::{Endpoint, Splunk, SplunkOptions};
use toktra_siem_fake::{Behaviour, Delivery, Gate, ReceiverOptions, Recording, Reply};

use crate::client::{Answer, Failure, exchange, within};

const BODY: &str = r#"{"event":{"event_id":"a"}}"#;

async fn splunk() -> Arc<Splunk> {
    Arc::new(Splunk::start(SplunkOptions::new("t")).await.unwrap())
}

async fn post(splunk: &Splunk) -> Result<Answer, Failure> {
    let headers = [("authorization", "Splunk t")];
    within(exchange(splunk.address(), "POST", "/services/collector/event", &headers, BODY)).await
}

fn ok() -> Behaviour<toktra_siem_fake::splunk::Fault> {
    Behaviour::strict()
}

#[tokio::test]
async fn queued_behaviours_come_first_then_the_lasting_one() {
    let splunk = splunk().await;
    let busy = Reply::empty(503).with_header("retry-after", "7");
    splunk.always(Endpoint::Event, Behaviour::reply(Reply::empty(429)));
    splunk.script(Endpoint::Event, [Behaviour::reply(busy), ok()]);
    assert_eq!(splunk.scripted(Endpoint::Event), 2);
    let first = post(&splunk).await.unwrap();
    assert_eq!((first.status, first.headers["retry-after"].as_bytes()), (503, b"7".as_slice()));
    assert_eq!(post(&splunk).await.unwrap().status, 200);
    assert_eq!(post(&splunk).await.unwrap().status, 429);
    splunk.healthy();
    assert_eq!(post(&splunk).await.unwrap().status, 200);
    assert_eq!(splunk.counts().events, 2);
    let answered: Vec<u16> =
        splunk.requests().iter().map(|request| request.status.map_or(0, |status| status.as_u16())).collect();
    assert_eq!(answered, [503, 200, 429, 200]);
}

#[tokio::test]
async fn a_gate_holds_the_decision_back() {
    let (splunk, gate) = (splunk().await, Gate::new());
    splunk.script(Endpoint::Event, [ok().gated(&gate)]);
    let sender = tokio::spawn({
        let splunk = Arc::clone(&splunk);
        async move { post(&splunk).await }
    });
    within(gate.arrived(1)).await;
    assert_eq!((splunk.counts().requests, splunk.counts().events), (1, 0));
    gate.open();
    assert_eq!(sender.await.unwrap().unwrap().status, 200);
    assert_eq!(splunk.counts().events, 1);
}

#[tokio::test]
async fn a_held_answer_is_accepted_already() {
    let (splunk, gate) = (splunk().await, Gate::new());
    splunk.script(Endpoint::Event, [ok().answer_held(&gate)]);
    let sender = tokio::spawn({
        let splunk = Arc::clone(&splunk);
        async move { post(&splunk).await }
    });
    within(gate.arrived(1)).await;
    assert_eq!(splunk.counts().events, 1);
    assert_eq!(splunk.requests()[0].status, None);
    gate.open();
    assert_eq!(sender.await.unwrap().unwrap().status, 200);
    within(splunk.wait_until(|log| log.counts.answered == 1)).await;
}

#[tokio::test]
async fn closed_and_reset_requests_get_no_answer() {
    let splunk = splunk().await;
    let lost = ok().delivered(Delivery::CloseUnanswered);
    splunk.script(Endpoint::Event, [Behaviour::close(), Behaviour::reset_while_reading(5), lost]);
    for (was_reset, accepted) in [(false, 0), (true, 0), (false, 1)] {
        let Err(Failure::Unanswered { reset }) = post(&splunk).await else { panic!("there should be no answer") };
        assert_eq!((reset, splunk.counts().events), (was_reset, accepted));
    }
    assert!(splunk.requests().iter().all(|request| request.status.is_none()));
}

#[tokio::test]
async fn answers_can_break_off_after_the_head_and_in_the_body() {
    let splunk = splunk().await;
    let fixed = Behaviour::reply(Reply::empty(200)).delivered(Delivery::ResetAfterHead);
    let modes = [ok().delivered(Delivery::ResetAfterHead), ok().delivered(Delivery::ResetMidBody), fixed];
    splunk.script(Endpoint::Event, modes);
    let whole = r#"{"text":"Success","code":0}"#.len();
    for (length, accepted) in [(0, 1), (whole / 2, 2), (0, 2)] {
        let Err(Failure::BrokenOff { status: 200, received, reset: true }) = post(&splunk).await else {
            panic!("the head should arrive and the body break off")
        };
        assert_eq!((received.len(), splunk.counts().events), (length, accepted));
    }
}

#[tokio::test]
async fn a_dripped_answer_arrives_whole() {
    let splunk = splunk().await;
    splunk.script(Endpoint::Event, [ok().delivered(Delivery::Drip { pause: Duration::from_millis(1) })]);
    assert_eq!(post(&splunk).await.unwrap().json()["code"], 0);
}

#[tokio::test]
async fn no_answer_at_all_ends_only_with_the_receiver() {
    let splunk = splunk().await;
    splunk.script(Endpoint::Event, [Behaviour::never()]);
    let sender = tokio::spawn({
        let splunk = Arc::clone(&splunk);
        async move { post(&splunk).await }
    });
    within(splunk.wait_for_requests(1)).await;
    assert!(!sender.is_finished());
    splunk.down().await;
    assert!(matches!(sender.await.unwrap(), Err(Failure::Unanswered { .. })));
    assert_eq!(splunk.counts().answered, 0);
}

#[tokio::test]
async fn down_refuses_and_up_answers_on_the_same_port() {
    let splunk = splunk().await;
    let address = splunk.address();
    for round in 1..=3 {
        splunk.down().await;
        splunk.down().await;
        assert!(matches!(post(&splunk).await, Err(Failure::Refused)));
        splunk.up().unwrap();
        splunk.up().unwrap();
        assert_eq!((post(&splunk).await.unwrap().status, splunk.address()), (200, address));
        assert_eq!(splunk.counts().events, round);
    }
}

#[tokio::test]
async fn another_receiver_can_take_the_port_over() {
    let first = Splunk::start(SplunkOptions::new("t")).await.unwrap();
    let address = first.address();
    first.stop().await;
    let second = Splunk::start_on(address, SplunkOptions::new("t")).await.unwrap();
    assert_eq!((post(&second).await.unwrap().status, second.address()), (200, address));
}

#[tokio::test]
async fn dropping_ends_everything() {
    let splunk = Splunk::start(SplunkOptions::new("t")).await.unwrap();
    let (address, headers) = (splunk.address(), [("authorization", "Splunk t")]);
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [ok().gated(&gate)]);
    let sender =
        tokio::spawn(exchange(address, "POST", "/services/collector/event", &[("authorization", "Splunk t")], BODY));
    within(gate.arrived(1)).await;
    drop(splunk);
    assert!(matches!(within(sender).await.unwrap(), Err(Failure::Unanswered { .. })));
    assert!(matches!(exchange(address, "POST", "/", &headers, BODY).await, Err(Failure::Refused)));
}

#[tokio::test]
async fn waiting_is_woken_by_what_arrives() {
    let splunk = splunk().await;
    let waiting = tokio::spawn({
        let splunk = Arc::clone(&splunk);
        async move { splunk.wait_for_events(2).await }
    });
    post(&splunk).await.unwrap();
    post(&splunk).await.unwrap();
    within(waiting).await.unwrap();
    assert_eq!(splunk.event_ids()["a"], 2);
}

#[tokio::test]
async fn counting_cannot_record_to_a_file() {
    let record_file = Some("never-written".into());
    let receiver = ReceiverOptions { recording: Recording::Counts, record_file, ..ReceiverOptions::default() };
    assert!(Splunk::start(SplunkOptions { receiver, ..SplunkOptions::new("t") }).await.is_err());
}
