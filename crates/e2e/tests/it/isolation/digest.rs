//! Everything that the store and the dispatcher know of an org, so that a change which should not have been possible is seen.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::time::Duration;

use toktra_siem_core::delivery::ParkKind;
use toktra_siem_core::ids::Seq;
use toktra_siem_identity::sessions;
use toktra_siem_store::{AuditEntry, AuditQuery, EventQuery, HistoryQuery, JobQuery};
use toktra_siem_testkit::prelude::*;

use super::estate::Estate;

/// By what it is about.
pub(super) type Digest = BTreeMap<&'static str, String>;

/// What is different.
pub(super) fn difference(before: &Digest, after: &Digest) -> Vec<&'static str> {
    before.iter().filter(|(name, text)| after.get(*name) != Some(text)).map(|(name, _)| *name).collect()
}

/// Every line of every audit log, by number.
pub(super) async fn lines(world: &Here) -> BTreeMap<u64, AuditEntry> {
    let all = || AuditQuery { limit: 100_000, ..AuditQuery::default() };
    let mut lines: BTreeMap<u64, AuditEntry> =
        world.store.platform_audit(all()).await.unwrap().items.into_iter().collect();
    for org in world.store.orgs().await.unwrap() {
        lines.extend(world.store.audit(org.id, all()).await.unwrap().items);
    }
    lines
}

/// All that is known of the org of `estate`. That a key or session was used is left out: looking changes that.
pub(super) async fn of(world: &Here, estate: &Estate, tokens: &[String]) -> Digest {
    const ALL: usize = 10_000;
    let (store, org) = (&world.store, estate.org);
    let mut digest = Digest::new();
    let mut add = |name: &'static str, what: &dyn Debug| {
        let line: &mut String = digest.entry(name).or_default();
        writeln!(line, "{what:?}").unwrap();
    };
    add("the org", &store.org(org).await);
    add("how many orgs there are", &store.orgs().await.unwrap().len());
    for mut key in store.keys(org).await.unwrap_or_default() {
        key.last_used_at = None;
        add("keys", &(key.id, key));
    }
    for mut user in store.users(org).await.unwrap_or_default() {
        user.last_login_at = None;
        add("users", &(user.password.0.clone(), user));
    }
    for token in tokens {
        let session = store.session_by_hash(sessions::hash(token)).await.unwrap();
        add("sessions", &session.map(|(session, user)| (session.created_at, user.id)));
    }
    for record in store.connectors(org).await.unwrap_or_default() {
        let id = record.connector.id;
        add("connectors", &record);
        add("filters", &store.timeline(id).await);
        add("traffic", &store.traffic(org, id, START.minus(DAY), START.plus(DAY)).await);
        for stream in store.connector_streams(org, id).await.unwrap() {
            add("ranges", &store.ranges(stream.id).await);
            for kind in [ParkKind::Failed, ParkKind::Rejected] {
                add("parked events", &store.parked(stream.id, kind, Seq(0), ALL).await);
            }
            add("streams", &stream);
        }
    }
    let history = HistoryQuery { limit: ALL, ..HistoryQuery::default() };
    for listed in store.history(org, history).await.map_or_else(|_| Vec::new(), |page| page.items) {
        add("deliveries", &store.delivery(org, listed.delivery.id).await);
    }
    add("jobs", &store.jobs(org, JobQuery { limit: ALL, ..JobQuery::default() }).await);
    add("the audit log", &store.audit(org, AuditQuery { limit: ALL, ..AuditQuery::default() }).await);
    add("the service's audit log", &store.platform_audit(AuditQuery { limit: ALL, ..AuditQuery::default() }).await);
    add("events", &store.recent_events(org, EventQuery { limit: ALL, ..EventQuery::default() }).await);
    let changed = world.dispatch.changed.lock().iter().filter(|(of, _)| *of == org).count();
    let tests = world.dispatch.tests.lock().iter().filter(|test| test.record.connector.org == org).count();
    add("what is dispatched", &(changed, tests));
    digest
}

const DAY: Duration = Duration::from_hours(24);
