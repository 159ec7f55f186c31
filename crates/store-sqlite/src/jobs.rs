//! Jobs: their rows, what they are about, and how they move with the transactions of their deliveries.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::delivery::{Delivery, ParkKind};
use toktra_siem_core::ids::{ConnectorId, JobId, Seq, StreamId};
use toktra_siem_core::job::{Job, JobKind, JobState, Scope};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::{AuditEntry, Change};
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::jobs::{JobQuery, JobStep, JobStore, Placed};
use toktra_siem_store::rules;
use toktra_siem_store::rules::count;
use toktra_siem_store::rules::parked::{ParkState, leave};

use super::audit::write as write_audit;
use super::codec::{Word, int, json, len, uint, uuid};
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::read::{self, OrgRef};
use super::rows;
use super::standin;
use super::streams::{self, StreamRow};
use super::{Sqlite, append, connectors, history};

impl Word for JobState {
    const WORDS: &'static [Self] = &[Self::Open, Self::Done, Self::Cancelled];
}

#[async_trait]
impl JobStore for Sqlite {
    async fn next_job(&self, stream: StreamId) -> Result<Option<Job>> {
        self.readers
            .run("reading jobs", move |conn| {
                let open = of_connector(conn, stream.connector)?;
                Ok(open.into_iter().find(|job| job.stream == Some(stream.kind) && job.has_more()))
            })
            .await
    }

    async fn place(&self, stream: StreamId, members: &Members) -> Result<Placed> {
        let members = members.clone();
        self.readers
            .run("looking for events", move |conn| place(conn, &streams::present(conn, stream)?, &members))
            .await
    }

    async fn open_discards(&self) -> Result<Vec<JobId>> {
        self.readers
            .run("reading jobs", |conn| {
                let mut statement =
                    conn.prepare_cached("SELECT id FROM job WHERE state = 0 AND stream IS NULL ORDER BY id")?;
                let ids = statement.query_map([], |row| row.get(0))?;
                Ok(ids.map(|id| id.map(|id| JobId(uuid(id)))).collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn discard(&self, job: JobId, most: usize) -> Result<bool> {
        self.writer.call("discarding parked events", move |engine| discard(engine, job, most)).await
    }
}

/// The job, whatever became of it.
pub(super) fn find(conn: &Connection, id: JobId) -> Outcome<Option<Job>> {
    let record: Option<Option<Job>> = conn
        .prepare_cached("SELECT record FROM job WHERE id = ?1")?
        .query_row([id.0.as_bytes()], |row| Ok(standin::read(row.get_ref(0)?.as_bytes()?)))
        .optional()?;
    Ok(record.flatten())
}

/// The job, where it is the org's.
pub(super) fn of_org(conn: &Connection, org: OrgRef, id: JobId) -> Outcome<Job> {
    find(conn, id)?.filter(|job| job.org == org.id).ok_or(Fault::Refused(StoreError::NotFound))
}

fn store(conn: &Connection, job: &Job) -> Outcome<()> {
    conn.prepare_cached("UPDATE job SET state = ?2, finished_at = ?3, record = ?4 WHERE id = ?1")?.execute(params![
        job.id.0.as_bytes(),
        job.state.number(),
        job.finished_at.map(|at| at.0),
        json(job)?
    ])?;
    Ok(())
}

/// The open jobs of a connector, oldest first.
fn of_connector(conn: &Connection, connector: ConnectorId) -> Outcome<Vec<Job>> {
    let sql = "SELECT record FROM job INDEXED BY job_open WHERE connector = ?1 AND state = 0 ORDER BY id";
    listed(conn, sql, &[connector.0.as_bytes()])
}

fn listed(conn: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Outcome<Vec<Job>> {
    let mut statement = conn.prepare_cached(sql)?;
    let jobs = statement
        .query_and_then(values, |row| Ok(standin::read(row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?)))?;
    // One that cannot be read stands still, and keeps no other one.
    jobs.filter_map(Outcome::transpose).collect()
}

/// A page of the org's jobs, newest first, and one more where there is one.
pub(super) fn page(conn: &Connection, org: OrgRef, query: &JobQuery) -> Outcome<Vec<Job>> {
    let sql = "SELECT record FROM job INDEXED BY job_org WHERE org = ?1 AND id < ?2 AND (?3 IS NULL OR connector = ?3)
                 AND (?4 IS NULL OR state = ?4) ORDER BY id DESC LIMIT ?5";
    let before = query.before.map_or([0xff; 16], |id| id.0.into_bytes());
    let connector = query.connector.map(|id| id.0.into_bytes());
    let state = query.state.map(Word::number);
    listed(conn, sql, &[&org.num, &before, &connector, &state, &len(query.limit.saturating_add(1))])
}

/// Stores a new job, whose scope was found before.
pub(super) fn create(engine: &mut Engine, org: OrgRef, change: &Change<Job>) -> Outcome<Job> {
    let Change { value: job, audit } = change;
    let conn = &engine.conn;
    connectors::record(conn, org.num, job.connector)?;
    rules::jobs::check_new(job.id, find(conn, job.id)?.is_some(), of_connector(conn, job.connector)?.len())?;
    let job = Job { org: org.id, ..job.clone() };
    conn.prepare_cached(
        "INSERT INTO job (id, org, connector, stream, state, finished_at, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        job.id.0.as_bytes(),
        org.num,
        job.connector.0.as_bytes(),
        job.stream.map(Word::number),
        job.state.number(),
        job.finished_at.map(|at| at.0),
        json(&job)?
    ])?;
    write_audit(conn, Some(org.num), audit)?;
    Ok(job)
}

/// Ends a job. One that has ended already stays as it is, and nothing is written.
pub(super) fn cancel(engine: &mut Engine, org: OrgRef, id: JobId, audit: &AuditEntry) -> Outcome<Job> {
    let mut job = of_org(&engine.conn, org, id)?;
    if job.cancel(engine.now()) {
        store(&engine.conn, &job)?;
        write_audit(&engine.conn, Some(org.num), audit)?;
    }
    Ok(job)
}

/// Ends the jobs of a connector that is being removed.
pub(super) fn give_up(conn: &Connection, org: i64, connector: ConnectorId, now: Timestamp) -> Outcome<()> {
    let all = "SELECT record FROM job INDEXED BY job_org WHERE org = ?1 AND connector = ?2";
    for mut job in listed(conn, all, &[&org, connector.0.as_bytes()])? {
        if job.state == JobState::Open || job.pending > 0 {
            job.give_up(now);
            store(conn, &job)?;
        }
    }
    Ok(())
}

/// A delivery of the job cannot be read any more: what was on its way with it has failed.
pub(super) fn lost(conn: &Connection, stream: &StreamRow, id: JobId, now: Timestamp) -> Outcome<()> {
    let Some(mut job) = find(conn, id)? else { return Ok(()) };
    let open = rows::pending(conn, stream)?;
    job.lost(open.iter().filter(|delivery| delivery.job == Some(id)).map(Delivery::events).sum(), now);
    store(conn, &job)
}

/// After a repair: what a job counts as on its way although its delivery is lost has failed; a job without its connector ends.
pub(super) fn restore(conn: &Connection, now: Timestamp) -> Outcome<()> {
    for mut job in listed(conn, "SELECT record FROM job", &[])? {
        let before = job.clone();
        if conn.prepare_cached("SELECT 1 FROM connector WHERE id = ?1")?.exists([job.connector.0.as_bytes()])? {
            let stream = job.stream_id().map(|id| streams::find(conn, id)).transpose()?.flatten();
            let open = stream.map(|stream| rows::pending(conn, &stream)).transpose()?.unwrap_or_default();
            job.lost(open.iter().filter(|d| d.job == Some(job.id)).map(Delivery::events).sum(), now);
        } else {
            job.give_up(now);
        }
        if job != before {
            store(conn, &job)?;
        }
    }
    Ok(())
}

/// Removes a piece of the jobs that ended before; how many.
pub(super) fn sweep(conn: &Connection, before: Timestamp, most: usize) -> Outcome<usize> {
    let sql = "DELETE FROM job WHERE id IN (SELECT id FROM job INDEXED BY job_ended WHERE state <> 0 AND finished_at < ?1 LIMIT ?2)";
    Ok(conn.prepare_cached(sql)?.execute(params![before.0, len(most)])?)
}

/// What the job is about, as things stand.
pub(super) fn scope(conn: &Connection, org: OrgRef, job: &Job) -> Outcome<Scope> {
    connectors::record(conn, org.num, job.connector)?;
    if let Some(id) = job.delivery {
        return scope_of_delivery(conn, org, &history::of_org(conn, org, id)?.1);
    }
    let head = append::head(conn, org.num)?;
    let resolve = |at: Option<Timestamp>| at.map(|at| read::accepted_before(conn, org.num, at, head)).transpose();
    let (after, last) = (resolve(job.from)?.unwrap_or_default(), resolve(job.to)?.unwrap_or(head));
    let total = if last <= after {
        0
    } else if job.kind == JobKind::Replay {
        read::matching(conn, org.num, after.next(), last, &job.filter)?
    } else {
        let all = streams::of_connector(conn, job.connector)?;
        let meant = all.iter().filter(|row| job.stream.is_none_or(|kind| row.id.kind == kind));
        meant.map(|row| parked_between(conn, row, after, last)).sum::<Outcome<u64>>()?
    };
    Ok(Scope { after, last, total })
}

fn scope_of_delivery(conn: &Connection, org: OrgRef, delivery: &Delivery) -> Outcome<Scope> {
    let mut total = 0;
    for (first, events) in delivery.members.runs() {
        total += read::living(conn, org.num, Seq(*first), Seq(first + u64::from(*events) - 1))?;
    }
    let first = delivery.members.first().unwrap_or_default();
    Ok(Scope { after: Seq(first.0.saturating_sub(1)), last: delivery.members.last().unwrap_or_default(), total })
}

fn parked_between(conn: &Connection, stream: &StreamRow, after: Seq, last: Seq) -> Outcome<u64> {
    let mut events = 0;
    for kind in [ParkKind::Failed, ParkKind::Rejected] {
        events += conn
            .prepare_cached(
                "SELECT coalesce(sum(events), 0) FROM parked INDEXED BY parked_waiting
                 WHERE stream = ?1 AND kind = ?2 AND seq > ?3 AND seq <= ?4 AND state = 0",
            )?
            .query_row(params![stream.num, kind.number(), int(after.0), int(last.0)], |row| row.get::<_, i64>(0))
            .map(uint)?;
    }
    Ok(events)
}

/// Whether the step moves an open job of the stream from where it stands, and all new deliveries are its own; the job as it stands.
pub(super) fn check_step(
    conn: &Connection,
    stream: &StreamRow,
    step: Option<&JobStep>,
    deliveries: &[Delivery],
) -> Outcome<Option<Job>> {
    let job = step.map(|step| find(conn, step.id)).transpose()?.flatten();
    Ok(rules::jobs::check_step(stream.id, step, deliveries, job)?)
}

/// Moves a job as a checked step says.
pub(super) fn advance(
    conn: &Connection,
    mut job: Job,
    step: &JobStep,
    deliveries: &[Delivery],
    now: Timestamp,
) -> Outcome<()> {
    job.advance(step.to, step.passed, rules::open::events(deliveries), now);
    store(conn, &job)
}

/// Tells a job what became of one of its deliveries.
pub(super) fn settled(
    conn: &Connection,
    before: &Delivery,
    after: &Delivery,
    children: &[Delivery],
    now: Timestamp,
) -> Outcome<()> {
    let Some(id) = before.job else { return Ok(()) };
    let Some(mut job) = find(conn, id)? else { return Ok(()) };
    job.settled(before, after, rules::open::events(children), now);
    store(conn, &job)
}

fn place(conn: &Connection, stream: &StreamRow, members: &Members) -> Outcome<Placed> {
    let mut parked = Vec::new();
    let mut waiting = conn.prepare_cached(
        "SELECT seq FROM parked WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND state = 0 ORDER BY seq",
    )?;
    for (first, events) in members.runs() {
        let last = first + u64::from(*events) - 1;
        let seqs = waiting.query_map(params![stream.num, int(*first), int(last)], |row| row.get::<_, i64>(0))?;
        for seq in seqs {
            parked.push(Seq(uint(seq?)));
        }
    }
    let (open, ranges) = (rows::pending(conn, stream)?, rows::ranges(conn, stream.num)?);
    Ok(rules::jobs::place(members, Members::from_ascending(parked), stream.cursor, &open, &ranges))
}

fn discard(engine: &mut Engine, id: JobId, most: usize) -> Outcome<bool> {
    let conn = &engine.conn;
    let found = find(conn, id)?.filter(|job| job.kind == JobKind::Discard && job.has_more());
    let Some(mut job) = found else { return Ok(false) };
    let (mut left, mut events) = (most, 0);
    for mut stream in streams::of_connector(conn, job.connector)? {
        for kind in [ParkKind::Failed, ParkKind::Rejected] {
            let waiting = rows::waiting(conn, stream.num, kind, job.cursor, left)?;
            for parked in waiting.into_iter().take_while(|parked| parked.seq <= job.last) {
                leave(&mut stream.counts, &parked);
                stream.counts.discarded += count(parked.events);
                rows::set_parked(conn, stream.num, parked.seq, ParkState::Discarded, None)?;
                events += parked.events;
                left -= 1;
            }
        }
        stream.store(conn)?;
    }
    job.discarded(events, left > 0, engine.now());
    store(conn, &job)?;
    Ok(job.has_more())
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::ids::{OrgId, StreamKind};
    use uuid::Uuid;

    use super::*;
    use crate::migrate::open_writer;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    /// A job that is at its end but for three events on their way.
    fn insert(conn: &Connection, n: u128) -> JobId {
        let (id, connector) = (JobId(Uuid::from_u128(n)), ConnectorId(Uuid::from_u128(n)));
        let mut job = Job::new(id, OrgId(Uuid::nil()), connector, JobKind::Replay, "somebody".into(), NOW);
        job.stream = Some(StreamKind::Events);
        job.begin(Scope { after: Seq(0), last: Seq(5), total: 5 }, NOW);
        job.advance(Seq(5), 2, 3, NOW);
        let sql = "INSERT INTO job (id, org, connector, stream, state, record) VALUES (?1, 1, ?1, 0, 0, ?2)";
        conn.execute(sql, params![id.0.as_bytes(), json(&job).unwrap()]).unwrap();
        id
    }

    #[test]
    fn a_repair_ends_what_lost_its_deliveries_or_its_connector() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open_writer(&dir.path().join("x.db")).unwrap();
        let (kept, stray) = (insert(&conn, 1), insert(&conn, 2));
        let sql = "INSERT INTO connector (id, org, name, record, activated) VALUES (?1, 1, 'a', '{}', 1)";
        conn.execute(sql, [kept.0.as_bytes()]).unwrap();
        restore(&conn, NOW).unwrap();
        for (id, state) in [(kept, JobState::Done), (stray, JobState::Cancelled)] {
            let job = find(&conn, id).unwrap().unwrap();
            assert_eq!((job.state, job.failed, job.pending, job.processed()), (state, 3, 0, 5));
        }
    }
}
