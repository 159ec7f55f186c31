//! The newest events: filters, pages, and what is rare.

use toktra_siem_core::event::EventType::{Anomaly, Lockout};
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, Seq};
use toktra_siem_core::time::Timestamp;

use super::World;
use super::world::refused;
use crate::{EventQuery, Retention, StoreError};

/// All pages, each of which is no longer than it may be.
async fn listed(world: &World, query: EventQuery) -> Vec<EventId> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let query = EventQuery { before, ..query.clone() };
        let limit = query.limit;
        let page = world.store.recent_events(world.org, query).await.unwrap();
        assert!(page.items.len() <= limit);
        assert!(before.is_none_or(|before| page.next.is_none_or(|next| next < before)), "a page goes on");
        all.extend(page.items.into_iter().map(|(record, _)| record.event_id));
        before = page.next;
        if before.is_none() {
            return all;
        }
    }
}

/// Each filter by itself, two together, in pages of every length; with payloads, and without another org's.
pub async fn newest_first_by_filter(world: &World) {
    let event = |event_type, severity| world.event_of(world.org, event_type, severity);
    let mut ids = world.append_all(vec![event(Anomaly, High), event(Lockout, Low)]).await;
    let other = world.other_org().await;
    world.append_all(vec![world.event_of(other, Anomaly, High)]).await;
    world.pass(1000);
    ids.extend(world.append_all(vec![event(Lockout, High), event(Anomaly, Low)]).await);
    world.pass(1000);
    ids.extend(world.append_all(vec![event(Anomaly, High)]).await);
    let [first, second, third, fourth, fifth] = ids[..] else { panic!("{ids:?}") };

    let start = world.now().0 - 2000;
    let at = |ms| Some(Timestamp(start + ms));
    let all = || EventQuery { limit: 50, ..EventQuery::default() };
    let cases = [
        (all(), vec![fifth, fourth, third, second, first]),
        (EventQuery { event_type: Some(Anomaly), ..all() }, vec![fifth, fourth, first]),
        (EventQuery { severity: Some(Low), ..all() }, vec![fourth, second]),
        (EventQuery { event_type: Some(Lockout), severity: Some(High), ..all() }, vec![third]),
        (EventQuery { event_type: Some(Anomaly), severity: Some(Low), ..all() }, vec![fourth]),
        (EventQuery { from: at(1000), ..all() }, vec![fifth, fourth, third]),
        (EventQuery { to: at(1000), ..all() }, vec![second, first]),
        (EventQuery { from: at(1), to: at(1001), severity: Some(High), ..all() }, vec![third]),
        (EventQuery { from: at(2001), ..all() }, vec![]),
        (EventQuery { to: at(0), ..all() }, vec![]),
        (EventQuery { from: at(2000), to: at(1000), ..all() }, vec![]),
        (EventQuery { before: Some(Seq(3)), ..all() }, vec![second, first]),
        (EventQuery { before: Some(Seq(0)), ..all() }, vec![]),
    ];
    // Once more after a preview: a backend may have counted what it holds by then, and look at less.
    for _ in 0..2 {
        for (query, expected) in &cases {
            let page = world.store.recent_events(world.org, query.clone()).await.unwrap();
            assert_eq!(page.next, None, "{query:?}");
            assert_eq!(
                &page.items.iter().map(|(record, _)| record.event_id).collect::<Vec<_>>(),
                expected,
                "{query:?}"
            );
            for (record, payload) in page.items {
                assert_eq!(world.store.event(world.org, record.event_id).await.unwrap(), (record, payload));
            }
            if query.before.is_none() {
                for limit in 1..=expected.len() {
                    assert_eq!(&listed(world, EventQuery { limit, ..query.clone() }).await, expected, "{query:?}");
                }
            }
        }
        world.store.preview(world.org, Timestamp(0), Filter::default(), 1).await.unwrap();
    }
    let absent = toktra_siem_core::ids::OrgId(uuid::Uuid::from_u64_pair(9, 9));
    refused!(world.store.recent_events(absent, all()).await, StoreError::NotFound);
}

/// What is rare is found all the same, however much lies before it.
pub async fn what_is_rare_is_found_page_by_page(world: &World) {
    let rare = world.append_all(vec![world.event_of(world.org, Lockout, Low)]).await;
    let many = (0..20_500).map(|_| world.event()).collect();
    world.append_all(many).await;
    let query = EventQuery { event_type: Some(Lockout), limit: 5, ..EventQuery::default() };
    assert_eq!(listed(world, query).await, rare);
}

/// Events are listed as long as their compact records live, without the payloads that are gone.
pub async fn events_are_listed_without_their_payloads(world: &World) {
    const DAY: i64 = 24 * 3600 * 1000;
    let ids = world.append(1).await;
    world.pass(40 * DAY);
    let young = world.append(1).await;
    let before = |days: i64| Timestamp(world.now().0 - days * DAY);
    let retention = Retention { payloads_before: before(30), history_before: before(400) };
    while world.store.expire(retention).await.unwrap().more {}
    let query = EventQuery { limit: 5, ..EventQuery::default() };
    let page = world.store.recent_events(world.org, query.clone()).await.unwrap();
    let shown: Vec<_> = page.items.iter().map(|(record, payload)| (record.event_id, payload.is_some())).collect();
    assert_eq!(shown, [(young[0], true), (ids[0], false)]);
    let retention = Retention { payloads_before: before(30), history_before: before(35) };
    while world.store.expire(retention).await.unwrap().more {}
    assert_eq!(listed(world, query).await, young);
}
