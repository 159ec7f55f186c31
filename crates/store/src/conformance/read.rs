//! Reading by cursor, within limits, and by members.

use toktra_siem_core::ids::Seq;
use toktra_siem_core::members::Members;

use super::World;
use crate::ReadLimit;

/// After the cursor, ascending, as many as the limits allow and at least one.
pub async fn by_cursor_and_limits(world: &World) {
    let ids = world.append(10).await;
    let read = async |after, events, bytes| {
        let read = world.store.read(world.org, Seq(after), ReadLimit { events, bytes }).await.unwrap();
        read.iter().map(|event| event.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 100, 1 << 20).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(read(4, 3, 1 << 20).await, [5, 6, 7]);
    assert_eq!(read(10, 3, 1 << 20).await, [0; 0]);
    let size = world.store.event(world.org, ids[0]).await.unwrap().1.unwrap().len();
    assert_eq!(read(0, 100, 2 * size).await, [1, 2]);
    assert_eq!(read(0, 100, 3 * size - 1).await, [1, 2]);
    assert_eq!(read(3, 100, 1).await, [4], "at least one event, however large");
}

/// The events with these sequences, as they were appended.
pub async fn members_in_order(world: &World) {
    let events: Vec<_> = (0..6).map(|_| world.event()).collect();
    world.append_all(events.clone()).await;
    let members = Members::from_ascending([2, 3, 6, 99].map(Seq));
    let read = world.store.read_members(world.org, &members).await.unwrap();
    assert_eq!(read.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [2, 3, 6]);
    for event in read {
        let new = &events[usize::try_from(event.seq.0).unwrap() - 1];
        assert_eq!((event.org, event.event_id, &event.payload), (new.org, new.event_id, &new.payload));
        assert_eq!((event.event_type, event.severity), (new.event_type, new.severity));
        assert_eq!((event.event_time, event.accepted_at), (new.event_time, world.now()));
    }
}
