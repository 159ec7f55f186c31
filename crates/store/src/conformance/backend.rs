//! [`Backend`]: what a server asks of its store beside the contents.

use std::sync::Arc;

use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use uuid::Uuid;

use super::world::START;
use crate::{Actor, ActorKind, Appended, AuditEntry, Backend, Change, OrgRecord, ReadLimit, Store};

const ORG: OrgId = OrgId(Uuid::from_u128(1));
const ALL: ReadLimit = ReadLimit { events: 10, bytes: 1 << 20 };

/// A backend that is closed has written what it accepted, is free for the next process, and refuses every call; a second close does nothing.
/// `open` opens the same data each time.
pub async fn closes_in_order(open: impl Fn() -> Arc<dyn Backend>) {
    let first = open();
    let value = OrgRecord { id: ORG, name: "a".to_owned(), is_default: true, created_at: START };
    let actor = Actor { kind: ActorKind::ApiKey, name: "somebody".to_owned(), id: None };
    let (action, object) = ("org.create".to_owned(), ORG.to_string());
    let audit = AuditEntry { at: START, actor, action, object, detail: serde_json::json!({}) };
    first.create_org(Change { value, audit }).await.expect("an org");
    let appended = first.append(vec![event(1)]).await.expect("an event");
    assert_eq!(appended, [Appended::Accepted(Seq(1))]);
    if let Some(watched) = Arc::clone(&first).watched() {
        assert!(!watched.vitals().poisoned);
        watched.disk().await.expect("its size");
        assert_eq!(watched.last_backup().await, None);
    }
    first.close().await.expect("an end");
    assert!(first.append(vec![event(2)]).await.is_err());
    assert!(first.orgs().await.is_err());
    first.close().await.expect("nothing to do");

    let second = open();
    let store: Arc<dyn Store> = second.clone();
    let events = store.read(ORG, Seq(0), ALL).await.expect("the events");
    assert_eq!(events.iter().map(|event| event.event_id).collect::<Vec<_>>(), [event(1).event_id]);
    second.close().await.expect("an end");
}

fn event(id: u128) -> NewEvent {
    NewEvent {
        org: ORG,
        event_id: EventId(Uuid::from_u128(id)),
        made: false,
        event_type: EventType::Anomaly,
        severity: Severity::High,
        event_time: START,
        payload: format!(r#"{{"number":{id}}}"#).into(),
        sent: SentFields(u32::MAX),
    }
}
