//! A whole request to the intake: all of its events in their stored form, or everything that is wrong with it (interface.md,
//! `POST /v1/events`: one invalid event refuses the whole request).

use super::NewEvent;
use super::body::{BodyError, BodyFormat, split_body};
use super::intake::{Intake, normalise};
use crate::fault::FieldFault;

/// The most faults that one answer names. A request of small invalid events would otherwise be answered by one many times its size.
pub const MAX_NAMED: usize = 100;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be cut into events.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Some of its events are invalid.
    #[error("{events} of the events are invalid; none was accepted")]
    Events {
        /// How many events have faults.
        events: usize,
        /// Pointers lead from the request's root; at most [`MAX_NAMED`], the first of them.
        faults: Vec<FieldFault>,
    },
}

/// Reads the events of `body`, in their order.
pub fn read_request(body: &[u8], format: BodyFormat, ctx: &Intake<'_>) -> Result<Vec<NewEvent>, Refusal> {
    let raw = split_body(body, format)?;
    let mut events = Vec::with_capacity(raw.len());
    let (mut invalid, mut named) = (0, Vec::new());
    for one in &raw {
        match normalise(one.bytes, ctx) {
            Ok(event) if invalid == 0 => events.push(event),
            Ok(_) => {}
            Err(faults) => {
                events = Vec::new();
                invalid += 1;
                let pointer = one.pointer();
                let room = MAX_NAMED - named.len();
                named.extend(faults.into_iter().take(room).map(|fault| fault.under(&pointer)));
            }
        }
    }
    if invalid == 0 { Ok(events) } else { Err(Refusal::Events { events: invalid, faults: named }) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::intake::OrgRule;
    use super::*;
    use crate::ids::{EventId, OrgId};
    use crate::time::Timestamp;

    fn read(body: &str) -> Result<Vec<NewEvent>, Refusal> {
        let org = OrgRule::Only(OrgId(Uuid::nil()));
        let ctx = Intake { org, now: Timestamp(1_736_937_000_000), fresh_id: &|| EventId(Uuid::max()) };
        read_request(body.as_bytes(), BodyFormat::Json, &ctx)
    }

    #[test]
    fn one_invalid_event_refuses_all_and_every_fault_names_its_event() {
        let good = r#"{"event_type":"lockout","severity":"low"}"#;
        assert_eq!(read(&format!("[{good},{good}]")).unwrap().len(), 2);
        let Err(Refusal::Events { events, faults }) =
            read(&format!(r#"{{"events":[{good},{{"severity":1}},{good},{{"x" 1}}]}}"#))
        else {
            panic!("accepted")
        };
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!((events, pointers), (2, vec!["/events/1/severity", "/events/1/event_type", "/events/3"]));
        assert!(matches!(read("[{]"), Err(Refusal::Body(_))));
    }

    #[test]
    fn the_answer_to_many_faults_stays_short() {
        let Err(Refusal::Events { events, faults }) = read(&format!("[{}{{}}]", "{},".repeat(50_000))) else {
            panic!("accepted")
        };
        assert_eq!((events, faults.len()), (50_001, MAX_NAMED));
    }
}
