//! Deliveries and verdicts, as the tests of the state machine write them.

use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, Input, Trigger};
use toktra_siem_core::destination::{EndpointState, Judgement, Outcome, Run, Verdict};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, OrgId, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

pub(crate) const NOW: Timestamp = Timestamp(1_736_937_000_000);

pub(crate) fn cause(code: &'static str) -> Cause {
    Cause::new(code, "why")
}

pub(crate) fn delivery(trigger: Trigger, seqs: impl IntoIterator<Item = u64>) -> Delivery {
    let stream = StreamId { connector: ConnectorId(Uuid::from_u128(2)), kind: StreamKind::Events };
    let members = Members::from_ascending(seqs.into_iter().map(Seq));
    Delivery::new(DeliveryId(Uuid::from_u128(1)), OrgId(Uuid::from_u128(3)), stream, trigger, members, NOW)
}

pub(crate) fn items(runs: Vec<Run>) -> Input {
    verdict(Judgement::Items(runs), EndpointState::Healthy)
}

pub(crate) fn verdict(judgement: Judgement, endpoint: EndpointState) -> Input {
    Input::Judged { verdict: Verdict { judgement, endpoint, confirm: None }, omitted: vec![] }
}

pub(crate) fn all(count: usize, outcome: Outcome) -> Input {
    verdict(Judgement::all(count, outcome), EndpointState::Healthy)
}
