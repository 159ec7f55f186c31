//! Connectors: creation, saves with revisions, filters from the next sequence on, deletion.

use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::Status;
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{Revision, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;

use super::World;
use super::flow::Flow;
use super::world::{datadog, keep, only, refused, splunk, stream_of};
use crate::{ConnectorRecord, ConnectorSave, Resume, Rotation, SealedSecret, StoreError};

/// A connector's streams account for the events after its creation, and its first revision is 1, given by the store like the times.
pub async fn a_stream_starts_after_the_head(world: &World) {
    world.append(3).await;
    let draft = world.draft(splunk(), true);
    let created = world.create(draft.clone()).await;
    let (created_at, updated_at) = (world.now(), world.now());
    assert_eq!(created, Connector { revision: Revision(1), activated: true, created_at, updated_at, ..draft });
    world.append(2).await;
    let record = world.checked(stream_of(&created, StreamKind::Events)).await;
    assert_eq!((record.starts_after, record.cursor, record.head), (Seq(3), Seq(3), Seq(5)));
    assert_eq!((record.org, record.last_window, record.last_success), (world.org, None, None));
    assert!(record.breaker.is_closed());
    assert_eq!(world.store.connector_streams(world.org, created.id).await.unwrap(), [record]);
    let again =
        ConnectorRecord { connector: Connector { name: "other".into(), ..created }, secrets: vec![], rotation: None };
    refused!(world.store.create_connector(world.org, world.change(again)).await, StoreError::Conflict(_));
}

/// Whether it was ever active stays known, however it is saved, and whoever asks is told alike.
pub async fn the_first_activation_is_remembered(world: &World) {
    let made = world.create(world.draft(splunk(), false)).await;
    assert!(made.was_never_on());
    let told = async |expected: bool| {
        let store = &world.store;
        let of_org = store.connectors(world.org).await.unwrap().remove(0).connector;
        let standing = store.standings(world.org, None, Timestamp(0)).await.unwrap().remove(0).connector;
        let one = store.connector(world.org, made.id).await.unwrap().connector;
        let all = store.all_connectors().await.unwrap().remove(0).connector;
        for connector in [one, of_org, all, standing] {
            assert_eq!(connector.activated, expected, "{connector:?}");
        }
    };
    let renamed = world.save(Connector { name: "renamed".into(), ..made.clone() }, Resume::Backlog).await.connector;
    assert!(renamed.was_never_on(), "a save alone does not switch it on");
    told(false).await;
    let on = world.save(Connector { active: true, ..renamed.clone() }, Resume::Backlog).await.connector;
    assert!(on.activated);
    told(true).await;
    // What was read before does not undo it.
    let off = world.save(Connector { active: false, activated: false, ..on }, Resume::Backlog).await.connector;
    assert!(off.activated && !off.was_never_on());
    told(true).await;
}

/// Each save is a revision; the expected one is compared; the platform stays.
pub async fn saves_make_revisions(world: &World) {
    let created = world.splunk(Filter::default()).await;
    world.pass(1000);
    let saved = world.save(Connector { name: "renamed".into(), ..created.clone() }, Resume::Backlog).await;
    assert_eq!((saved.connector.revision, saved.backlog, saved.skipped), (Revision(2), 0, 0));
    assert_eq!((saved.connector.created_at, saved.connector.updated_at), (created.created_at, world.now()));
    assert_eq!(world.store.connector(world.org, created.id).await.unwrap().connector, saved.connector);

    let expecting =
        |revision| ConnectorSave { expected: Some(Revision(revision)), ..keep(created.clone(), Resume::Backlog) };
    refused!(world.store.save_connector(world.org, world.change(expecting(1))).await, StoreError::Conflict(_));
    let third = world.store.save_connector(world.org, world.change(expecting(2))).await.unwrap();
    assert_eq!(third.connector.revision, Revision(3));
    let other = Connector { settings: world.draft(datadog(true), true).settings, ..created.clone() };
    refused!(
        world.store.save_connector(world.org, world.change(keep(other, Resume::Backlog))).await,
        StoreError::Conflict(_)
    );
    let unknown = world.draft(splunk(), true);
    refused!(
        world.store.save_connector(world.org, world.change(keep(unknown, Resume::Backlog))).await,
        StoreError::NotFound
    );
    let all = world.store.all_connectors().await.unwrap();
    assert_eq!(all.iter().map(|row| &row.connector).collect::<Vec<_>>(), [&third.connector]);
}

/// A name is taken within its org only, and free again after deletion.
pub async fn names_are_unique_in_an_org(world: &World) {
    let first = world.splunk(Filter::default()).await;
    let second = world.splunk(Filter::default()).await;
    let named = |name: &str| ConnectorRecord {
        connector: Connector { name: name.into(), ..world.draft(splunk(), false) },
        secrets: vec![],
        rotation: None,
    };
    refused!(world.store.create_connector(world.org, world.change(named(&first.name))).await, StoreError::Conflict(_));
    let renamed = keep(Connector { name: first.name.clone(), ..second }, Resume::Backlog);
    refused!(world.store.save_connector(world.org, world.change(renamed)).await, StoreError::Conflict(_));
    let other = world.other_org().await;
    let theirs = world.store.create_connector(other, world.change(named(&first.name))).await.unwrap();
    assert_eq!(theirs.connector.org, other);
    world.store.delete_connector(world.org, first.id, None, world.audit("connector.delete", &first.id)).await.unwrap();
    world.store.create_connector(world.org, world.change(named(&first.name))).await.unwrap();
}

/// Invariant D6: events up to the save are judged by the filter before it, however late they are read.
pub async fn a_filter_holds_from_the_next(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    world.append_severities(&[Low, High]).await;
    let connector = world.save_filter(&connector, only(&[Low])).await;
    world.append_severities(&[Low, High]).await;
    world.save_filter(&connector, Filter::default()).await;
    world.append_severities(&[Low, High]).await;

    let timeline = world.store.timeline(connector.id).await.unwrap();
    let versions: Vec<_> = (1..=6).map(|seq| timeline.at(Seq(seq)).unwrap()).collect();
    assert_eq!(versions.iter().map(|v| v.revision.0).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
    assert_eq!(versions.iter().map(|v| v.effective_from.0).collect::<Vec<_>>(), [1, 1, 3, 3, 5, 5]);
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let delivery = flow.open_all().await;
    assert_eq!(delivery.members.iter().map(|seq| seq.0).collect::<Vec<_>>(), [2, 3, 5, 6]);
    assert_eq!(flow.record().await.counts.filtered, 2);
}

/// Secrets stay unless a save brings new ones; a rotation likewise.
pub async fn secrets_are_kept_or_replaced(world: &World) {
    let secret = |field: &str, byte| SealedSecret {
        field: field.into(),
        key_id: 7,
        nonce: vec![byte; 24],
        ciphertext: vec![byte; 40],
    };
    let value = ConnectorRecord {
        connector: world.draft(splunk(), true),
        secrets: vec![secret("hec_token", 1)],
        rotation: Some(Rotation { until: Timestamp(5) }),
    };
    let created = world.store.create_connector(world.org, world.change(value)).await.unwrap().connector;
    world.save(created.clone(), Resume::Backlog).await;
    let kept = world.store.connector(world.org, created.id).await.unwrap();
    assert_eq!((kept.secrets, kept.rotation), (vec![secret("hec_token", 1)], Some(Rotation { until: Timestamp(5) })));

    let secrets = vec![secret("hec_token", 2), secret("signing_secret", 3)];
    let replacing = ConnectorSave {
        secrets: Some(secrets.clone()),
        rotation: Some(None),
        ..keep(created.clone(), Resume::Backlog)
    };
    world.store.save_connector(world.org, world.change(replacing)).await.unwrap();
    let mut replaced = world.store.connector(world.org, created.id).await.unwrap();
    replaced.secrets.sort_by(|a, b| a.field.cmp(&b.field));
    assert_eq!((replaced.secrets, replaced.rotation), (secrets, None));
}

/// Logs and metrics are taken separately, and `send_metrics` is as positional as the filter.
pub async fn datadog_has_two_streams(world: &World) {
    let connector = world.create(world.draft(datadog(false), true)).await;
    let streams = world.store.connector_streams(world.org, connector.id).await.unwrap();
    assert_eq!(streams.iter().map(|s| s.id.kind).collect::<Vec<_>>(), [StreamKind::Logs, StreamKind::Metrics]);
    world.append(2).await;
    let sending = Connector { settings: world.draft(datadog(true), true).settings, ..connector.clone() };
    world.save(sending, Resume::Backlog).await;
    world.append(3).await;
    let logs = Flow::take_over(world, stream_of(&connector, StreamKind::Logs)).await;
    assert_eq!(logs.open_all().await.events(), 5);
    let metrics = Flow::take_over(world, stream_of(&connector, StreamKind::Metrics)).await;
    assert_eq!(metrics.open_all().await.events(), 3);
    assert_eq!(metrics.record().await.counts.filtered, 2);
}

/// Waiting, pending and failed events are given up; the history stays, and what was pending is settled.
pub async fn deletion_gives_up_what_waits(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append(2).await;
    flow.deliver(&flow.open_all().await).await;
    world.append(3).await;
    flow.fail(&flow.open_all().await).await;
    world.append(4).await;
    let pending = flow.open_all().await;
    world.append(5).await;
    let audit = || world.audit("connector.delete", &connector.id);
    let stale = world.store.delete_connector(world.org, connector.id, Some(Revision(9)), audit()).await;
    refused!(stale, StoreError::Conflict(_));
    let given_up = world.store.delete_connector(world.org, connector.id, Some(Revision(1)), audit()).await.unwrap();
    assert_eq!(given_up, 3 + 4 + 5);

    refused!(world.store.connector(world.org, connector.id).await, StoreError::NotFound);
    refused!(world.store.stream(flow.stream).await, StoreError::NotFound);
    refused!(world.owner.newest(&*world.store, flow.stream).await, StoreError::NotFound);
    refused!(world.store.timeline(connector.id).await, StoreError::NotFound);
    refused!(
        flow.open(crate::Open { deliveries: vec![], taken: crate::Taken::Beside, job: None }).await,
        StoreError::Fenced
    );
    let settlement = flow.judge(&pending, vec![(4, super::flow::delivered())]);
    refused!(flow.settle(settlement).await, StoreError::Conflict(_));
    let kept = world.store.delivery(world.org, pending.id).await.unwrap().delivery;
    assert_eq!((kept.status, kept.settled_at, kept.due_at), (Status::Failed, Some(world.now()), None));
    refused!(world.store.delete_connector(world.org, connector.id, None, audit()).await, StoreError::NotFound);
}

/// Switching off fences the dispatcher, and the cursor stays where it is.
pub async fn switching_off_fences(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append(2).await;
    let open = flow.prepare(Seq(2)).await;
    world.save(Connector { active: false, ..connector }, Resume::Backlog).await;
    refused!(flow.open(open.clone()).await, StoreError::Fenced);
    assert_eq!(flow.record().await.cursor, Seq(0));
    assert!(world.store.ranges(flow.stream).await.unwrap().is_empty());
}
