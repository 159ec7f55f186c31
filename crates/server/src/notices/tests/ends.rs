//! Whatever was told as begun gets its end told, once; and what goes up and down is not told each time.

use toktra_siem_core::ids::Revision;
use toktra_siem_core::notice::Notice;
use toktra_siem_core::notice::Topic::{Down, Misconfigured, Recovered, Silence};
use toktra_siem_store::{DeliveryStore as _, Open, Passed, Taken};

use super::*;

/// What was told last, in a sentence, and what it ends.
async fn last(world: &World) -> (String, Option<Topic>) {
    let notice = world.store.noted(ORG, 0, 999).await.unwrap().pop().unwrap().1;
    (format!("{} {}", notice.subject, notice.what), notice.ends)
}

/// Every thread of the org ended with its last notice, and each end is told once.
async fn all_is_over(world: &World) -> bool {
    let all = world.store.noted(ORG, 0, 999).await.unwrap();
    let last = |notice: &Notice| all.iter().rfind(|(_, other)| other.thread == notice.thread).unwrap().1.topic;
    all.iter().all(|(_, notice)| last(notice) == Topic::Recovered)
}

async fn minutes(world: &mut World, minutes: u64) {
    for _ in 0..minutes {
        world.clock.advance(Duration::from_mins(1));
        world.own.look(QUIET).await.unwrap();
    }
}

/// The stream passes by what waits, so that nothing waits any more.
async fn pass_by(world: &World) {
    let (lease, stream) = world.owner.take_over(&*world.store, stream()).await.unwrap();
    let passed = Passed { filtered: stream.head.0 - stream.cursor.0, ..Passed::default() };
    let taken = Taken::Live { from: stream.cursor, to: stream.head, passed, revision: Revision(99) };
    world.store.open(&lease, Open { deliveries: vec![], taken, job: None }).await.unwrap();
}

#[tokio::test]
async fn an_outage_ends_with_its_connector() {
    let mut world = world().await;
    accept(&world, 1).await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    world.clock.advance(DAY * 29 + Duration::from_hours(1));
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Misconfigured, Topic::Expiring]);
    world.store.delete_connector(ORG, CONNECTOR, None, audit()).await.unwrap();
    world.clock.advance(Duration::from_mins(1));
    look(&mut world).await;
    minutes(&mut world, 3).await;
    assert_eq!(topics(&world).await.len(), 4, "{:?}", noted(&world).await);
    assert!(all_is_over(&world).await, "{:?}", noted(&world).await);
    assert_eq!(last(&world).await.0, "Prod \"Splunk\" was deleted");
}

#[tokio::test]
async fn a_pause_ends_what_was_told_and_what_still_fails_afterwards_is_told_again() {
    let mut world = world().await;
    for _ in 0..2 {
        world.set(world.open(OpenKind::Down)).await;
        minutes(&mut world, 2).await;
        world.switch(false).await;
        minutes(&mut world, 3).await;
        assert_eq!(last(&world).await, ("Prod \"Splunk\" was paused".to_owned(), Some(Topic::Down)));
        world.switch(true).await;
        look(&mut world).await;
    }
    world.set(world.open(OpenKind::Down)).await;
    minutes(&mut world, 2).await;
    assert_eq!(topics(&world).await, [Down, Recovered, Down, Recovered, Down]);
}

#[tokio::test]
async fn what_ended_while_nobody_looked_is_over() {
    let mut world = world().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    look(&mut world).await;
    world.store.delete_channel(ORG, channel().id, audit()).await.unwrap();
    world.clock.advance(Duration::from_mins(5));
    world.set(Breaker::default()).await;
    look(&mut world).await;
    make_channel(&world).await;
    look(&mut world).await;
    assert_eq!(
        last(&world).await,
        (
            format!("Prod \"Splunk\" accepts events again since {}", super::super::minute(world.clock.now())),
            Some(Topic::Misconfigured)
        )
    );
}

#[tokio::test]
async fn a_stream_that_stood_still_and_events_that_would_expire_have_an_end() {
    let mut world = world().await;
    accept(&world, 1).await;
    world.clock.advance(Duration::from_mins(16));
    look(&mut world).await;
    world.clock.advance(DAY * 29);
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Stalled, Topic::Expiring]);
    world.set(world.open(OpenKind::Misconfigured)).await;
    minutes(&mut world, 2).await;
    assert_eq!(topics(&world).await[2..], [Topic::Misconfigured], "it does not get on all the more");
    world.set(Breaker::default()).await;
    pass_by(&world).await;
    minutes(&mut world, 2).await;
    let mut told = noted(&world).await.split_off(3);
    told.sort();
    let told: Vec<String> = told.into_iter().map(|(_, what)| what.replace("Prod \"Splunk\" ", "")).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("accepts events again since"), "{told:?}");
    assert_eq!(told[1], "has no events any more that are about to be deleted undelivered");
    assert_eq!(told[2], "makes progress again");
}

#[tokio::test]
async fn silence_ends_with_an_event_or_with_the_last_connector() {
    for comes in [true, false] {
        let mut world = world().await;
        accept(&world, 1).await;
        pass_by(&world).await;
        world.clock.advance(DAY + Duration::from_mins(1));
        look(&mut world).await;
        assert_eq!(topics(&world).await, [Topic::Silence]);
        if comes {
            accept(&world, 1).await;
        } else {
            world.switch(false).await;
        }
        minutes(&mut world, 3).await;
        let what = if comes { "Acme sends events again" } else { "Acme has no active connector any more" };
        assert_eq!(last(&world).await, (what.to_owned(), Some(Topic::Silence)));
        assert_eq!(topics(&world).await.len(), 2);
    }
}

#[tokio::test]
async fn keys_and_certificates_end_when_they_are_replaced() {
    let mut world = world().await;
    let key = key(DAY);
    world.store.create_key(Change { value: key.clone(), audit: audit() }).await.unwrap();
    world.warnings.certificate(stream(), Some(START.plus(DAY * 2)));
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Key, Topic::Certificate]);
    world.store.revoke_key(ORG, key.id, audit()).await.unwrap();
    world.warnings = std::sync::Arc::default();
    world.restart();
    minutes(&mut world, 2).await;
    assert_eq!(last(&world).await, ("producer does not have to be renewed any more".to_owned(), Some(Topic::Key)));
    assert_eq!(topics(&world).await.len(), 3, "the certificate was not seen since the start");
    world.warnings.certificate(stream(), Some(START.plus(DAY * 300)));
    minutes(&mut world, 2).await;
    let what = "Prod \"Splunk\" is no more affected by a certificate that expires soon";
    assert_eq!(last(&world).await, (what.to_owned(), Some(Topic::Certificate)));
    assert_eq!(topics(&world).await.len(), 4);
}

#[tokio::test]
async fn a_connector_that_goes_up_and_down_ten_times_an_hour_is_told_of_a_few_times() {
    let mut world = world().await;
    for _ in 0..20 {
        world.set(world.open(OpenKind::Down)).await;
        minutes(&mut world, 3).await;
        world.set(Breaker::default()).await;
        minutes(&mut world, 3).await;
    }
    assert_eq!(topics(&world).await, [Down, Recovered, Down], "{:?}", noted(&world).await);
    minutes(&mut world, 15).await;
    assert_eq!(topics(&world).await.len(), 4, "it held for 15 minutes");
    assert_eq!(last(&world).await.1, Some(Down));
    // Long afterwards it is told as ever.
    world.clock.advance(Duration::from_hours(2));
    world.set(world.open(OpenKind::Down)).await;
    minutes(&mut world, 2).await;
    world.set(Breaker::default()).await;
    minutes(&mut world, 1).await;
    assert_eq!(topics(&world).await[4..], [Down, Recovered]);
}

#[tokio::test]
async fn an_outage_that_goes_up_and_down_for_days_is_told_each_day() {
    let mut world = world().await;
    for round in 0..30 {
        world.set(world.open(OpenKind::Misconfigured)).await;
        minutes(&mut world, 1).await;
        if round > 2 {
            world.clock.advance(Duration::from_hours(2));
            minutes(&mut world, 1).await;
        }
        world.set(Breaker::default()).await;
        minutes(&mut world, 2).await;
    }
    assert_eq!(topics(&world).await, [Misconfigured, Recovered, Misconfigured, Misconfigured, Misconfigured]);
}

#[test]
fn of_each_thing_only_the_newest_is_told_and_pagerduty_gets_every_end() {
    let notice = |number: u64, thread: &str, topic, ends| {
        let notice = Notice {
            key: number.to_string(),
            topic,
            thread: thread.to_owned(),
            connector: None,
            subject: String::new(),
            at: START,
            what: String::new(),
            what_of_many: String::new(),
            cause: String::new(),
            advice: String::new(),
            path: String::new(),
            ends,
        };
        (number, notice)
    };
    let noted = [
        notice(1, "a", Down, None),
        notice(2, "b", Down, None),
        notice(3, "a", Recovered, Some(Down)),
        notice(4, "c", Silence, None),
        notice(5, "d", Recovered, Some(Silence)),
    ];
    let wanted = |kind, events: &[Topic]| {
        let channel = Channel { kind, events: events.to_vec(), ..channel() };
        let wanted = super::super::send::wanted(&channel, &noted);
        wanted.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
    };
    let slack = |events| wanted(ChannelKind::Slack, events);
    assert_eq!(slack(Topic::ALL), [2, 3, 4, 5]);
    assert_eq!(slack(&[Down]), [2], "what is over by now is not told");
    assert_eq!(slack(&[Recovered]), [3], "the end of what a channel is never told of is not told");
    assert_eq!(slack(&[Recovered, Misconfigured]), [3]);
    assert_eq!(slack(&[Recovered, Silence]), [3, 4, 5]);
    assert_eq!(wanted(ChannelKind::Pagerduty, &[Misconfigured, Silence]), [3, 4, 5], "its incidents are resolved");
    assert_eq!(wanted(ChannelKind::Pagerduty, &[Down]), [2, 3]);
}
