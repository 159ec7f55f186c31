//! Jobs: how many there may be, how one moves, and which of its events another delivery brings anyway.

use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::ids::{JobId, Seq, StreamId};
use toktra_siem_core::job::{Job, JobState};
use toktra_siem_core::members::Members;

use super::{conflict, unaccounted};
use crate::deliveries::BacklogRange;
use crate::error::Result;
use crate::jobs::{JobStep, OPEN_JOBS, Placed};

/// Whether a job can be made: under an id that is not `known`, and beside `open` others of its connector.
pub fn check_new(id: JobId, known: bool, open: usize) -> Result<()> {
    if known {
        return Err(conflict(format!("there is a job {id} already")));
    }
    if open >= OPEN_JOBS {
        return Err(conflict(format!("the connector has {OPEN_JOBS} unfinished jobs already")));
    }
    Ok(())
}

/// Whether the step moves an open job of the stream from where it stands, and all new deliveries are its own; the job as it stands. `job` is
/// what is stored under the step's id.
pub fn check_step(
    stream: StreamId,
    step: Option<&JobStep>,
    deliveries: &[Delivery],
    job: Option<Job>,
) -> Result<Option<Job>> {
    let wanted = step.map(|step| step.id);
    if let Some(stray) = deliveries.iter().find(|delivery| delivery.job != wanted) {
        return Err(unaccounted(format!("delivery {} is not of the job that moves", stray.id)));
    }
    let Some(step) = step else { return Ok(None) };
    let job = job.filter(|job| job.stream_id() == Some(stream) && job.state == JobState::Open);
    let Some(job) = job.filter(|job| job.cursor == step.from) else {
        return Err(conflict(format!("job {} has ended, or its cursor is not at {}", step.id, step.from)));
    };
    let within = |seq: Seq| step.from < seq && seq <= step.to;
    let inside =
        deliveries.iter().all(|d| d.members.first().is_some_and(within) && d.members.last().is_some_and(within));
    if step.to < step.from || step.to > job.last || !inside {
        return Err(unaccounted(format!("job {} does not pass these events", step.id)));
    }
    Ok(Some(job))
}

/// Which of `members` rest as `parked`, and which another delivery brings: they lie behind the cursor, in a backlog range or in an open
/// delivery.
pub fn place(members: &Members, parked: Members, cursor: Seq, open: &[Delivery], ranges: &[BacklogRange]) -> Placed {
    let under_way = members.iter().filter(|seq| {
        !parked.contains(*seq)
            && (*seq > cursor
                || ranges.iter().any(|range| range.cursor < *seq && *seq <= range.to)
                || open.iter().any(|delivery| delivery.members.contains(*seq)))
    });
    let under_way = Members::from_ascending(under_way);
    Placed { parked, under_way }
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::delivery::Trigger;
    use toktra_siem_core::ids::{OrgId, RangeId, StreamKind};
    use toktra_siem_core::job::{JobKind, Scope};
    use uuid::Uuid;

    use super::super::samples::{NOW, delivery, found, kind};
    use super::*;

    const ID: JobId = JobId(Uuid::from_u128(5));

    /// A replay of events 1 to 9 that has come to 4.
    fn job() -> Job {
        let stream = found(0).id;
        let mut job = Job::new(ID, OrgId(Uuid::from_u128(3)), stream.connector, JobKind::Replay, "a".into(), NOW);
        job.stream = Some(stream.kind);
        job.begin(Scope { after: Seq(0), last: Seq(9), total: 9 }, NOW);
        job.advance(Seq(4), 4, 0, NOW);
        job
    }

    #[test]
    fn a_connector_has_so_many_unfinished_jobs() {
        assert_eq!(kind(check_new(ID, false, OPEN_JOBS - 1)), "fine");
        assert_eq!(kind(check_new(ID, false, OPEN_JOBS)), "conflict");
        assert_eq!(kind(check_new(ID, true, 0)), "conflict");
    }

    #[test]
    fn a_step_moves_its_job_from_where_it_stands() {
        let stream = found(0).id;
        let mine = |first, last| Delivery { job: Some(ID), ..delivery(1, first, last) };
        let step = |from, to| JobStep { id: ID, from: Seq(from), to: Seq(to), passed: 0 };
        let check =
            |from, to, deliveries: &[Delivery], job| kind(check_step(stream, Some(&step(from, to)), deliveries, job));
        assert_eq!(check(4, 6, &[mine(5, 6)], Some(job())), "fine");
        assert_eq!(check(4, 9, &[], Some(job())), "fine", "all is passed");
        assert_eq!(check(3, 6, &[mine(5, 6)], Some(job())), "conflict");
        assert_eq!(check(4, 6, &[mine(5, 6)], None), "conflict");
        let ended = Job { state: JobState::Cancelled, ..job() };
        assert_eq!(check(4, 6, &[mine(5, 6)], Some(ended)), "conflict");
        let other = Job { stream: Some(StreamKind::Metrics), ..job() };
        assert_eq!(check(4, 6, &[mine(5, 6)], Some(other)), "conflict");
        assert_eq!(check(4, 6, &[mine(4, 6)], Some(job())), "unaccounted");
        assert_eq!(check(4, 6, &[mine(5, 7)], Some(job())), "unaccounted");
        assert_eq!(check(4, 10, &[mine(5, 6)], Some(job())), "unaccounted");
        assert_eq!(check(4, 3, &[], Some(job())), "unaccounted");
        assert_eq!(check(4, 6, &[delivery(1, 5, 6)], Some(job())), "unaccounted");
        assert_eq!(kind(check_step(stream, None, &[mine(5, 6)], None)), "unaccounted");
        assert_eq!(check_step(stream, None, &[delivery(1, 5, 6)], None).ok(), Some(None));
    }

    #[test]
    fn an_event_is_brought_by_whatever_still_holds_it() {
        let members = Members::from_ascending((1..=8).map(Seq));
        let parked = Members::from_ascending([Seq(1), Seq(8)]);
        let range = BacklogRange {
            id: RangeId(Uuid::from_u128(6)),
            cursor: Seq(3),
            to: Seq(5),
            trigger: Trigger::Recovery,
            since: NOW,
        };
        let placed = place(&members, parked.clone(), Seq(6), &[delivery(1, 2, 2)], &[range]);
        let under_way = Members::from_ascending([2, 4, 5, 7].map(Seq));
        assert_eq!((placed.parked, placed.under_way), (parked, under_way));
    }
}
