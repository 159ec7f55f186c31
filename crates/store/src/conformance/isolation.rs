//! Invariant D7: no method of the org-scoped face returns or changes anything of another org.

use toktra_siem_core::connector::Connector;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{OrgId, StreamKind};
use toktra_siem_core::job::JobKind;
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::BUCKET;
use uuid::Uuid;

use super::World;
use super::flow::{Flow, delivered, rejected};
use super::test_deliveries::test_of;
use super::world::{keep, refused, stream_of};
use crate::{
    ApiKeyRecord, AuditQuery, EventQuery, HistoryQuery, JobQuery, Resume, Scope, StoreError, UserOutcome, UserRecord,
};

/// Every method, asked by another org, and by one that does not exist, for what is there.
pub async fn every_method_keeps_to_its_org(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let event = world.append(2).await[0];
    let delivery = flow.open_all().await;
    flow.end(&delivery, vec![(1, delivered()), (1, rejected())]).await;
    let key = ApiKeyRecord {
        id: world.key_id(),
        org: Some(world.org),
        name: "key".into(),
        prefix: "tk_1234".into(),
        hash: [7; 32],
        scopes: vec![Scope::Admin],
        created_at: world.now(),
        expires_at: None,
        created_by: None,
        last_used_at: None,
    };
    world.store.create_key(world.change(key.clone())).await.unwrap();
    let person = super::people::person(world, "jo@company.com", Role::Admin);
    assert_eq!(world.store.create_user(world.org, world.change(person.clone())).await.unwrap(), UserOutcome::Done);

    let ours = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    let tested = test_of(world, &[flow.stream]);
    world.store.open_tests(world.org, world.change(tested.clone())).await.unwrap();
    let of_test = tested.event.event_id;

    let stranger = world.other_org().await;
    let store = &world.store;
    for org in [stranger, OrgId(Uuid::from_u64_pair(9, 9))] {
        let audit = || world.audit("foreign", &connector.id);
        let save = keep(Connector { org, ..connector.clone() }, Resume::Backlog);
        refused!(store.save_connector(org, world.change(save)).await, StoreError::NotFound);
        refused!(store.delete_connector(org, connector.id, None, audit()).await, StoreError::NotFound);
        refused!(store.connector(org, connector.id).await, StoreError::NotFound);
        refused!(store.connector_streams(org, connector.id).await, StoreError::NotFound);
        refused!(store.revoke_key(org, key.id, audit()).await, StoreError::NotFound);
        refused!(store.user(org, person.id).await, StoreError::NotFound);
        let save = super::people::save(&person, UserRecord { name: "x".into(), ..person.clone() });
        refused!(store.save_user(org, world.change(save)).await, StoreError::NotFound);
        refused!(store.delete_user(org, person.id, false, audit()).await, StoreError::NotFound);
        refused!(store.event(org, event).await, StoreError::NotFound);
        refused!(store.fates(org, event).await, StoreError::NotFound);
        refused!(store.test_event(org, tested.event.event_id).await, StoreError::NotFound);
        refused!(store.open_tests(org, world.change(tested.clone())).await, StoreError::NotFound);
        refused!(store.delivery(org, delivery.id).await, StoreError::NotFound);
        refused!(store.delivery_events(org, delivery.id).await, StoreError::NotFound);
        refused!(store.job(org, ours.id).await, StoreError::NotFound);
        refused!(store.cancel_job(org, ours.id, audit()).await, StoreError::NotFound);
        refused!(store.job_scope(org, &ours).await, StoreError::NotFound);
        let another = world.job(JobKind::Replay, flow.stream);
        refused!(store.create_job(org, world.change(another)).await, StoreError::NotFound);
        assert_eq!(store.backlog(org).await.unwrap(), 0);
        refused!(store.standings(org, Some(connector.id), Timestamp(0)).await, StoreError::NotFound);
        refused!(store.whereabouts(org, event).await, StoreError::NotFound);
        refused!(store.traffic(org, connector.id, Timestamp(0), Timestamp(i64::MAX)).await, StoreError::NotFound);
    }
    assert!(store.connectors(stranger).await.unwrap().is_empty());
    assert!(store.keys(stranger).await.unwrap().is_empty());
    let jobs = JobQuery { limit: 9, ..JobQuery::default() };
    assert!(store.jobs(stranger, jobs.clone()).await.unwrap().items.is_empty());
    assert_eq!(store.jobs(world.org, jobs).await.unwrap().items, [ours]);
    assert!(store.users(stranger).await.unwrap().is_empty());
    let all = || AuditQuery { limit: 99, ..AuditQuery::default() };
    assert!(store.standings(stranger, None, Timestamp(0)).await.unwrap().is_empty());
    assert!(store.accounts(stranger).await.unwrap().is_empty());
    let (from, to, step) = (Timestamp(0), Timestamp(i64::MAX), BUCKET);
    assert!(store.traffic_of_all(stranger, from, to, step).await.unwrap().is_empty());
    assert_eq!(store.traffic_of_all(world.org, from, to, step).await.unwrap().len(), 1);
    assert!(store.preview(stranger, Timestamp(0), Filter::default(), 9).await.unwrap().tallied.is_empty());
    let newest = EventQuery { limit: 9, ..EventQuery::default() };
    assert!(store.recent_events(stranger, newest.clone()).await.unwrap().items.is_empty());
    assert_eq!(store.recent_events(world.org, newest).await.unwrap().items.len(), 2);
    for query in [
        HistoryQuery { limit: 9, ..HistoryQuery::default() },
        HistoryQuery { limit: 9, connector: Some(connector.id), ..HistoryQuery::default() },
        HistoryQuery { limit: 9, event_id: Some(event), ..HistoryQuery::default() },
        HistoryQuery { limit: 9, event_id: Some(of_test), ..HistoryQuery::default() },
    ] {
        assert!(store.history(stranger, query).await.unwrap().items.is_empty());
    }
    let theirs = store.audit(stranger, all()).await.unwrap().items;
    assert_eq!(theirs.iter().map(|(_, entry)| entry.action.as_str()).collect::<Vec<_>>(), ["org.create"]);

    let own = store.delivery_events(world.org, delivery.id).await.unwrap();
    assert_eq!(own.iter().map(|event| event.seq).collect::<Vec<_>>(), delivery.members.iter().collect::<Vec<_>>());
    assert_eq!(store.connector(world.org, connector.id).await.unwrap().connector, connector);
    assert_eq!(store.keys(world.org).await.unwrap(), [key]);
    assert_eq!(store.users(world.org).await.unwrap(), [person]);
    let ours = store.audit(world.org, all()).await.unwrap().items;
    assert!(
        ours.iter().all(|(_, entry)| entry.action != "foreign"),
        "a refused change leaves no line in the audit log"
    );
    flow.record().await;
}
