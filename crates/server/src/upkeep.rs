//! Housekeeping: what has outlived its time is removed, or has to make room under the disk budget; rotations of signing secrets end when
//! their grace period does; what people give up is discarded; sessions that have ended are removed; and the account of every stream is
//! checked. What one node at a time does for all hangs on a role.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_config::Lifetimes;
use toktra_siem_core::accounting::{Accounting, Counts};
use toktra_siem_core::ids::StreamId;
use toktra_siem_core::invariant::Invariant;
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::hub::HubHandle;
use toktra_siem_dispatch::node::Node;
use toktra_siem_identity::sessions;
use toktra_siem_store::{Aging, Retention, Role, Store, StoreError, Told};
use toktra_siem_telemetry::Telemetry;

/// How often retention looks whether something is due.
const RETENTION_EVERY: Duration = Duration::from_mins(10);
/// A clock that is ahead by less is not worth a line: a server that was restarted takes a moment.
const WORTH_TELLING: Duration = Duration::from_hours(1);
/// How often the disk budget is looked at.
const BUDGET_EVERY: Duration = Duration::from_secs(1);
/// And after nothing was found that could make room.
const BUDGET_AFTER_IN_VAIN: Duration = Duration::from_secs(10);
/// How often rotations are looked at: this is how late a secret may be retired.
const ROTATIONS_EVERY: Duration = Duration::from_secs(10);
/// Between two bounded pieces of retention, so that events and deliveries get their turn at the writer.
const BETWEEN_PIECES: Duration = Duration::from_millis(20);

/// How often sessions that have ended are removed. They are refused all the same; this only makes room.
const SESSIONS_EVERY: Duration = Duration::from_hours(1);
/// How often jobs that give something up are looked for, although nothing told of one.
const DISCARDS_EVERY: Duration = Duration::from_secs(30);
/// Parked events that are discarded in one turn of the writer.
const DISCARDED_AT_ONCE: usize = 500;

/// How often the accounts are checked.
const ACCOUNTS_EVERY: Duration = Duration::from_mins(5);

/// The time by which things age, as a clock.
pub struct Aged(pub Arc<Aging>);

impl Clock for Aged {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// Tells of a clock that is ahead, when it begins and when it is over.
fn tell_of_jump(aging: &Aging, told: &mut bool) {
    let ahead = aging.ahead();
    if ahead >= WORTH_TELLING && !*told {
        let (counted, hours) = (aging.now(), ahead.as_secs() / 3600);
        tracing::warn!(
            hours, %counted,
            "the clock is ahead of the time that this server has seen pass: it was set, or nothing ran for so long. Nothing grows older by the \
             difference until the clock has been steady for a day; if it is right, restart with TOKTRA_SIEM_TRUST_CLOCK=true"
        );
    } else if *told && ahead.is_zero() {
        tracing::info!("the clock is believed again: events age by it");
    }
    *told = ahead >= WORTH_TELLING || (*told && !ahead.is_zero());
}

/// Removes what has outlived `lifetimes`, and makes room where the disk budget is nearly used up, until `stop`.
pub async fn retention(
    store: Arc<dyn Store>,
    aging: Arc<Aging>,
    node: Arc<Node>,
    lifetimes: Lifetimes,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (mut said, mut told) = (false, false);
    while stop.run_until_cancelled(node.until_it_has(Role::Retention)).await.is_some() {
        tell_of_jump(&aging, &mut told);
        let evicted = match expire_all(&*store, aging.now(), lifetimes, &stop).await {
            Ok(evicted) => evicted,
            Err(failure) => {
                tracing::error!(error = %failure, "retention failed; it is tried again");
                0
            }
        };
        let crowded = evicted == 0 && is_crowded(&*store).await;
        if crowded && !said {
            tracing::warn!(
                "the disk budget is nearly used up, or the file system nearly full, and nothing delivered is left to remove: once no room is left, events are \
                 refused (507). Bring connectors with a backlog back, or raise TOKTRA_SIEM_MAX_DISK"
            );
        }
        said = crowded;
        let pause = if crowded { BUDGET_AFTER_IN_VAIN } else { BUDGET_EVERY };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = due_or_crowded(&*store, pause) => {}
        }
    }
    Ok(())
}

/// Returns when retention is due, or sooner where the disk budget asks for it.
async fn due_or_crowded(store: &dyn Store, pause: Duration) {
    let due = tokio::time::Instant::now() + RETENTION_EVERY;
    tokio::time::sleep(pause).await;
    while tokio::time::Instant::now() < due && !is_crowded(store).await {
        tokio::time::sleep(BUDGET_EVERY).await;
    }
}

async fn is_crowded(store: &dyn Store) -> bool {
    store.crowded().await.unwrap_or_else(|failure| {
        tracing::error!(error = %failure, "the disk budget could not be looked at; it is tried again");
        false
    })
}

/// How many payloads made room before their time.
async fn expire_all(
    store: &dyn Store,
    now: Timestamp,
    lifetimes: Lifetimes,
    stop: &CancellationToken,
) -> Result<u64, StoreError> {
    let retention = Retention {
        payloads_before: now.minus(lifetimes.payloads),
        history_before: now.minus(lifetimes.history.max(lifetimes.payloads)),
    };
    store.expire_notices(retention.history_before).await?;
    let mut evicted = 0;
    while !stop.is_cancelled() {
        let done = store.expire(retention).await?;
        evicted += done.evicted;
        if done.undelivered > 0 {
            tracing::warn!(
                events = done.undelivered,
                "events outlived their retention undelivered; they are counted and listed as expired"
            );
        }
        if !done.more {
            break;
        }
        tokio::time::sleep(BETWEEN_PIECES).await;
    }
    if evicted > 0 {
        tracing::info!(
            payloads = evicted,
            "delivered payloads were removed before their time, to stay within the disk budget"
        );
    }
    Ok(evicted)
}

/// Ends rotations whose grace period is over, until `stop`.
pub async fn rotations(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    node: Arc<Node>,
    hub: HubHandle,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while stop.run_until_cancelled(node.until_it_has(Role::Rotations)).await.is_some() {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(ROTATIONS_EVERY) => {}
        }
        match store.end_rotations(clock.now()).await {
            Ok(ended) => {
                for (org, connector) in ended {
                    tracing::info!(%connector, "the rotation of the signing secret is over: the new secret signs alone");
                    hub.connector_changed(org, connector);
                }
            }
            Err(failure) => tracing::error!(error = %failure, "rotations could not be looked at; trying again"),
        }
    }
    Ok(())
}

/// Removes sessions that have ended, and what was kept for a while, until `stop`.
pub async fn sessions(store: Arc<dyn Store>, clock: Arc<dyn Clock>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let now = clock.now();
        match store.expire_sessions(now.minus(sessions::LONGEST), now.minus(sessions::IDLE)).await {
            Ok(removed) => tracing::debug!(removed, "sessions that have ended were removed"),
            Err(failure) => tracing::error!(error = %failure, "old sessions could not be removed; it is tried again"),
        }
        match store.expire_kept(now).await {
            Ok(removed) => tracing::debug!(removed, "answers and secrets that were kept for a while were removed"),
            Err(failure) => tracing::error!(error = %failure, "what was kept could not be removed; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(SESSIONS_EVERY) => {}
        }
    }
}

/// Gives up what is parked where somebody asked for it, whether the connector is on or off, until `stop`; at once if told of a job.
pub async fn discards(store: Arc<dyn Store>, node: Arc<Node>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut heard = store.listen();
    while stop.run_until_cancelled(node.until_it_has(Role::Discards)).await.is_some() {
        if let Err(failure) = discard_all(&*store, &stop).await {
            tracing::error!(error = %failure, "parked events could not be discarded; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = job(&mut heard) => {}
            () = tokio::time::sleep(DISCARDS_EVERY) => {}
        }
    }
    Ok(())
}

/// Returns once a job was told of, on whichever node it was made.
async fn job(heard: &mut broadcast::Receiver<Told>) {
    loop {
        match heard.recv().await {
            Ok(Told::Job(_)) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn discard_all(store: &dyn Store, stop: &CancellationToken) -> Result<(), StoreError> {
    for job in store.open_discards().await? {
        while !stop.is_cancelled() && store.discard(job, DISCARDED_AT_ONCE).await? {
            tokio::time::sleep(BETWEEN_PIECES).await;
        }
    }
    Ok(())
}

/// Checks invariant D1 for every stream, until `stop`: a breach is a bug, and an operator should hear of it from the log, not from a
/// missing event.
pub async fn accounts(
    store: Arc<dyn Store>,
    node: Arc<Node>,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while stop.run_until_cancelled(node.until_it_has(Role::Accounts)).await.is_some() {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(ACCOUNTS_EVERY) => {}
        }
        match check_accounts(&*store).await {
            Ok(wrong) => wrong.iter().for_each(|_| telemetry.violated(Invariant::D1)),
            Err(failure) => tracing::error!(error = %failure, "the accounts could not be checked; trying again"),
        }
    }
    Ok(())
}

/// The streams whose numbers do not add up.
async fn check_accounts(store: &dyn Store) -> Result<Vec<StreamId>, StoreError> {
    let mut wrong = Vec::new();
    for record in store.overview().await?.into_iter().map(|stream| stream.record) {
        let (stream, accounting) = (record.id, record.accounting());
        if !accounting.adds_up() {
            let Accounting { accepted, waiting, counts } = accounting;
            let Counts { delivered, rejected, failed, expired, damaged, discarded, skipped, pending, filtered } =
                counts;
            tracing::error!(
                %stream,
                accepted,
                waiting,
                delivered,
                rejected,
                failed,
                expired,
                damaged,
                discarded,
                skipped,
                pending,
                filtered,
                invariant = %Invariant::D1,
                "the account of this stream does not add up"
            );
            wrong.push(stream);
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toktra_siem_core::ids::{OrgId, UserId};
    use toktra_siem_core::people::Role;
    use toktra_siem_store::{
        AuditEntry, Change, ClockTrust, ConfigStore as _, Memory, OrgRecord, PasswordHash, SessionRecord,
        SessionStore as _, UserOutcome, UserRecord, UserStore as _,
    };

    use super::*;
    use toktra_siem_base::clock::ManualClock;

    #[tokio::test(start_paused = true)]
    async fn every_task_ends_when_it_is_told_to() {
        let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::new(|| Timestamp(0))));
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
        let stop = CancellationToken::new();
        let day = Duration::from_hours(24);
        let lifetimes = Lifetimes { payloads: day, history: day };
        let random = Arc::new(toktra_siem_base::random::SeededRandom::new(1));
        let node = Node::join(store.clone(), clock.clone(), random, "test".into()).await.unwrap();
        let sessions = tokio::spawn(super::sessions(store.clone(), clock.clone(), stop.clone()));
        let telemetry = Arc::new(Telemetry::new(clock.clone(), &toktra_siem_platform::Registry::standard()));
        let aging = Aging::new(Arc::new(|| Timestamp(0)), ClockTrust::Always, None);
        let retention = tokio::spawn(retention(store.clone(), Arc::new(aging), node.clone(), lifetimes, stop.clone()));
        let accounts = tokio::spawn(accounts(store.clone(), node.clone(), telemetry, stop.clone()));
        let discards = tokio::spawn(discards(store.clone(), node, stop.clone()));
        tokio::time::sleep(day).await;
        stop.cancel();
        assert!(retention.await.unwrap().is_ok() && accounts.await.unwrap().is_ok());
        assert!(sessions.await.unwrap().is_ok());
        assert!(discards.await.unwrap().is_ok());
        assert!(check_accounts(&*store).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_have_ended_are_removed() {
        let start = Timestamp(1_736_937_000_000);
        let clock = Arc::new(ManualClock::new(start));
        let store = Arc::new(Memory::new(Arc::new(move || start)));
        let random: Arc<dyn toktra_siem_base::random::Random> =
            Arc::new(toktra_siem_base::random::SeededRandom::new(1));
        let org = OrgRecord { id: OrgId(random.uuid_v7(start)), name: "x".into(), is_default: true, created_at: start };
        let audit = || AuditEntry {
            at: start,
            actor: "test".into(),
            action: "t".into(),
            object: "t".into(),
            detail: json!({}),
        };
        store.create_org(Change { value: org.clone(), audit: audit() }).await.unwrap();
        let user = UserRecord {
            id: UserId(random.uuid_v7(start)),
            org: org.id,
            email: "jo@company.com".parse().unwrap(),
            name: "Jo".into(),
            role: Role::Viewer,
            password: PasswordHash("x".into()),
            created_at: start,
            last_login_at: None,
        };
        let added = store.create_user(org.id, Change { value: user.clone(), audit: audit() }).await.unwrap();
        assert_eq!(added, UserOutcome::Done);
        let session = SessionRecord { hash: [1; 32], user: user.id, created_at: start, seen_at: start };
        store.open_session(Change { value: session, audit: audit() }, user.password, None).await.unwrap();

        let stop = CancellationToken::new();
        let task = tokio::spawn(super::sessions(store.clone(), clock.clone(), stop.clone()));
        clock.set(start.plus(sessions::IDLE));
        tokio::time::sleep(SESSIONS_EVERY).await;
        assert!(store.session_by_hash([1; 32]).await.unwrap().is_some());
        clock.set(start.plus(sessions::IDLE + Duration::from_millis(1)));
        tokio::time::sleep(SESSIONS_EVERY * 2).await;
        assert!(store.session_by_hash([1; 32]).await.unwrap().is_none());
        stop.cancel();
        task.await.unwrap().unwrap();
    }
}
