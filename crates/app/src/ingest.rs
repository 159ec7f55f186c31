//! From the body of `POST /v1/events` to events that the store can append, and from what became of them to the answer. Pure but for the
//! ids it draws: reading, and being told the time, are the caller's.

use std::fmt::Write as _;

use bytes::Bytes;
use toktra_siem_base::random::Random;
use toktra_siem_core::event::NewEvent;
use toktra_siem_core::event::body::{BodyError, BodyFormat, RawEvent, split_body};
use toktra_siem_core::event::intake::{Intake, OrgRule, Room, normalise_in};
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::Appended;

/// Faults that are kept to be shown; more are only counted, so that a request full of mistakes costs no memory.
pub(crate) const FAULTS_KEPT: usize = 100;

/// Why a request is refused as a whole: one invalid event refuses all (`POST /v1/events`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The body cannot be cut into events.
    Body(BodyError),
    /// Events are not valid.
    Events {
        /// The first faults, by event index and field.
        faults: Vec<FieldFault>,
        /// How many there are.
        found: usize,
    },
}

/// Cuts `body` into events and brings every one into its stored form.
pub(crate) fn prepare(
    body: &[u8],
    format: BodyFormat,
    org: OrgRule,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Vec<NewEvent>, Fault> {
    let raw = split_body(body, format).map_err(Fault::Body)?;
    let fresh_id = || EventId(random.uuid_v7(now));
    let intake = Intake { org, now, fresh_id: &fresh_id };
    let mut events = Vec::with_capacity(raw.len());
    let mut room = Room::new(raw.iter().map(|event| event.bytes.len()).sum());
    let (mut faults, mut found) = (Vec::new(), 0);
    for event in &raw {
        match normalise_in(&mut room, event.bytes, &intake) {
            Ok(event) => events.push(event),
            Err(wrong) => {
                found += wrong.len();
                let room = FAULTS_KEPT.saturating_sub(faults.len());
                faults.extend(wrong.into_iter().take(room).map(|fault| placed(event, fault)));
            }
        }
    }
    if found == 0 { Ok(events) } else { Err(Fault::Events { faults, found }) }
}

fn placed(event: &RawEvent<'_>, mut fault: FieldFault) -> FieldFault {
    if let Some(line) = event.line {
        fault.parameters.insert("line".to_owned(), line.into());
    }
    fault.under(&event.pointer())
}

/// The JSON Pointer of the event at `index` of a body that [`prepare`] has read; for faults that are found later.
pub(crate) fn pointer(body: &[u8], format: BodyFormat, index: usize) -> String {
    split_body(body, format).ok().and_then(|raw| raw.get(index).map(RawEvent::pointer)).unwrap_or_default()
}

/// The answer to a request whose events are on disk: `{"accepted":n,"duplicates":m,"events":[…]}`. Written by hand, since every single
/// event is answered with it.
pub(crate) fn answer(ids: &[EventId], appended: &[Appended]) -> Bytes {
    let duplicates = appended.iter().filter(|a| matches!(a, Appended::Duplicate { .. })).count();
    let accepted = appended.len() - duplicates;
    let mut text = String::with_capacity(48 + ids.len() * 80);
    let _ = write!(text, r#"{{"accepted":{accepted},"duplicates":{duplicates},"events":["#);
    let mut buffer = uuid::Uuid::encode_buffer();
    for (index, (id, appended)) in ids.iter().zip(appended).enumerate() {
        text.push_str(if index == 0 { r#"{"event_id":""# } else { r#",{"event_id":""# });
        text.push_str(id.0.as_hyphenated().encode_lower(&mut buffer));
        text.push_str(match appended {
            Appended::Accepted(_) => r#"","status":"accepted"}"#,
            Appended::Duplicate { differs: false, .. } => r#"","status":"duplicate"}"#,
            Appended::Duplicate { differs: true, .. } => r#"","status":"duplicate","differs":true}"#,
        });
    }
    text.push_str("]}");
    text.into()
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::ids::{OrgId, Seq};
    use uuid::Uuid;

    use super::*;
    use toktra_siem_base::random::SeededRandom;

    fn prepared(body: &str) -> Result<Vec<NewEvent>, Fault> {
        let org = OrgRule::Only(OrgId(Uuid::from_u128(1)));
        prepare(body.as_bytes(), BodyFormat::Json, org, Timestamp(1_736_937_000_000), &SeededRandom::new(1))
    }

    #[test]
    fn every_fault_is_placed_and_the_list_is_bounded() {
        let body = r#"[{"event_type":"anomaly","severity":"low"},{"event_type":"x"}]"#;
        let Err(Fault::Events { faults, found }) = prepared(body) else { panic!("refused") };
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!((pointers, found), (vec!["/1/event_type", "/1/severity"], 2));
        let many = format!("[{}]", vec!["{}"; 500].join(","));
        let Err(Fault::Events { faults, found }) = prepared(&many) else { panic!("refused") };
        assert_eq!((faults.len(), found), (FAULTS_KEPT, 1000));
        assert!(matches!(prepared("[]"), Err(Fault::Body(BodyError::NoEvents))));
    }

    #[test]
    fn events_without_an_id_get_one_each() {
        let event = r#"{"event_type":"anomaly","severity":"low"}"#;
        let events = prepared(&format!("[{event},{event}]")).unwrap();
        assert_ne!(events[0].event_id, events[1].event_id);
    }

    #[test]
    fn the_answer_is_valid_json_in_the_order_of_the_request() {
        let ids: Vec<EventId> = (1..=3).map(|n| EventId(Uuid::from_u128(n))).collect();
        let appended = [
            Appended::Accepted(Seq(1)),
            Appended::Duplicate { seq: Seq(1), differs: false },
            Appended::Duplicate { seq: Seq(1), differs: true },
        ];
        let json: serde_json::Value = serde_json::from_slice(&answer(&ids, &appended)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"accepted": 1, "duplicates": 2, "events": [
                {"event_id": ids[0], "status": "accepted"},
                {"event_id": ids[1], "status": "duplicate"},
                {"event_id": ids[2], "status": "duplicate", "differs": true},
            ]})
        );
    }
}
