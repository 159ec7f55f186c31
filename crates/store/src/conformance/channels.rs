//! Who is told: channels, what there is to tell, and what somebody knows already.

use std::time::Duration;

use serde_json::Map;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ChannelId, OrgId};
use toktra_siem_core::notice::{Acknowledgement, ChannelKind, Notice, Topic};
use uuid::Uuid;

use super::World;
use super::world::refused;
use crate::channels::{Channel, ChannelRecord, Failing, MAX_CHANNELS, Progress};
use crate::{AuditQuery, SealedSecret, StoreError};

fn channel(world: &World, number: u128) -> ChannelRecord {
    let channel = Channel {
        id: ChannelId(Uuid::from_u128(number)),
        org: world.org,
        name: format!("channel {number}"),
        kind: ChannelKind::Slack,
        config: Map::new(),
        events: Topic::ALL.to_vec(),
        active: true,
        created_at: world.now(),
        updated_at: world.now(),
    };
    let secrets = vec![SealedSecret { field: "url".into(), key_id: 1, nonce: vec![1; 24], ciphertext: vec![2; 40] }];
    ChannelRecord { channel, secrets, told_to: 0, progress: Progress::default() }
}

/// A channel of the default org, made now.
pub async fn made(world: &World, number: u128) -> ChannelRecord {
    let record = channel(world, number);
    world.store.create_channel(world.org, world.change(record.clone())).await.unwrap();
    only(world, record.channel.id).await
}

async fn only(world: &World, id: ChannelId) -> ChannelRecord {
    let all = world.store.channels(world.org).await.unwrap();
    all.into_iter().find(|record| record.channel.id == id).unwrap()
}

fn notice(world: &World, key: &str) -> Notice {
    Notice {
        key: key.into(),
        topic: Topic::Down,
        thread: "thread".into(),
        connector: None,
        subject: "Splunk".into(),
        at: world.now(),
        what: "does not answer".into(),
        what_of_many: "do not answer".into(),
        cause: String::new(),
        advice: String::new(),
        path: "/".into(),
        ends: None,
    }
}

async fn noted(world: &World, keys: &[&str]) -> usize {
    world.store.note(world.org, keys.iter().map(|key| notice(world, key)).collect()).await.unwrap()
}

async fn lines(world: &World) -> usize {
    let query = AuditQuery { limit: 999, ..AuditQuery::default() };
    world.store.audit(world.org, query).await.unwrap().items.len()
}

/// Made, read, changed, removed; each leaves its line.
pub async fn come_and_go_channels(world: &World) {
    let (store, before) = (&world.store, lines(world).await);
    let first = made(world, 1).await;
    world.pass(1000);
    let second = made(world, 2).await;
    assert_eq!(first, channel_at(&first, 1));
    assert_eq!(store.channels(world.org).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.all_channels().await.unwrap(), [first.clone(), second.clone()]);
    refused!(store.create_channel(world.org, world.change(channel(world, 1))).await, StoreError::Conflict(_));
    let named = |record: &ChannelRecord, name: &str| {
        let channel = Channel { name: name.into(), updated_at: world.now(), ..record.channel.clone() };
        ChannelRecord { channel, ..record.clone() }
    };
    let save = async |before: &ChannelRecord, after| {
        store.save_channel(world.org, before.channel.updated_at, world.change(after)).await
    };
    refused!(save(&second, named(&second, "channel 1")).await, StoreError::Conflict(_));
    world.pass(1000);
    let mut after = named(&second, "other");
    after.secrets[0].nonce = vec![9; 24];
    save(&second, after.clone()).await.unwrap();
    assert_eq!(only(world, second.channel.id).await, after);
    refused!(save(&second, named(&second, "late")).await, StoreError::Conflict(_));
    let audit = || world.audit("channel.delete", &"x");
    store.delete_channel(world.org, second.channel.id, audit()).await.unwrap();
    refused!(store.delete_channel(world.org, second.channel.id, audit()).await, StoreError::NotFound);
    refused!(save(&after, named(&after, "gone")).await, StoreError::NotFound);
    refused!(store.told(second.channel.id, world.now(), 1, Progress::default()).await, StoreError::NotFound);
    assert_eq!(lines(world).await - before, 4);
    for number in 3..=MAX_CHANNELS as u128 + 1 {
        made(world, number).await;
    }
    refused!(store.create_channel(world.org, world.change(channel(world, 99))).await, StoreError::Conflict(_));
}

fn channel_at(record: &ChannelRecord, number: u128) -> ChannelRecord {
    let channel = Channel { id: ChannelId(Uuid::from_u128(number)), ..record.channel.clone() };
    ChannelRecord { channel, told_to: 0, progress: Progress::default(), ..record.clone() }
}

/// What has the same key is noted once, and each channel has its own place among what is noted.
pub async fn a_notice_is_noted_once(world: &World) {
    let store = &world.store;
    let early = made(world, 1).await.channel.id;
    assert_eq!(noted(world, &["a", "b"]).await, 2);
    assert_eq!(noted(world, &["b", "c", "c"]).await, 1);
    let keys = ["a", "c", "d"].map(str::to_owned).to_vec();
    let noted_at = Some(world.now());
    assert_eq!(store.known(world.org, keys).await.unwrap(), [noted_at, noted_at, None]);
    let all = store.noted(world.org, 0, 9).await.unwrap();
    assert_eq!(all.iter().map(|(_, notice)| &*notice.key).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(store.noted(world.org, all[0].0, 1).await.unwrap(), all[1..2]);
    let late = made(world, 2).await;
    assert_eq!(late.told_to, all[2].0, "it tells what is noted from now on");

    let cause = Cause::new("slack_404", "It is gone.");
    let (at, next) = (world.now(), world.now().plus(Duration::from_mins(1)));
    let failing = Some(Failing { since: at, at, attempts: 1, next, cause });
    let progress = Progress { last_told: Some(world.now()), failing };
    let as_of = only(world, early).await.channel.updated_at;
    store.told(early, as_of.plus(Duration::from_secs(1)), all[0].0, progress.clone()).await.unwrap();
    let told = only(world, early).await;
    assert_eq!((told.told_to, &told.progress), (all[0].0, &Progress::default()), "it was saved meanwhile");
    store.told(early, as_of, all[1].0, progress.clone()).await.unwrap();
    let told = only(world, early).await;
    assert_eq!((told.told_to, &told.progress), (all[1].0, &progress));
    let off = ChannelRecord { channel: Channel { active: false, ..told.channel.clone() }, ..told.clone() };
    store.save_channel(world.org, told.channel.updated_at, world.change(off.clone())).await.unwrap();
    let saved = only(world, early).await;
    assert_eq!((saved.told_to, saved.progress.failing), (all[1].0, None), "it is tried again at once");
    store.save_channel(world.org, told.channel.updated_at, world.change(told)).await.unwrap();
    assert_eq!(only(world, early).await.told_to, all[2].0, "what was noted while it was off is not told");

    world.pass(1000);
    assert_eq!(store.expire_notices(world.now()).await.unwrap(), 2);
    assert_eq!(noted(world, &["d"]).await, 1);
    let later = store.noted(world.org, all[2].0, 9).await.unwrap();
    assert_eq!(later.len(), 1, "no number is given twice");
    let anew = vec![SealedSecret { key_id: 7, ..off.secrets[0].clone() }];
    store.reseal_channel(early, anew.clone()).await.unwrap();
    assert_eq!(only(world, early).await.secrets, anew);
    refused!(store.reseal_channel(ChannelId(Uuid::nil()), anew).await, StoreError::NotFound);
}

/// What somebody knows of a connector is kept with it.
pub async fn what_is_known_goes_with_its_connector(world: &World) {
    let (store, connector) = (&world.store, world.splunk(Filter::default()).await);
    let until = world.now().plus(Duration::from_hours(1));
    let known = Acknowledgement { note: "CHG-123".into(), until, by: "jo".into(), at: world.now(), outage: None };
    let before = lines(world).await;
    let acknowledge =
        async |known: Option<Acknowledgement>| store.acknowledge(world.org, connector.id, world.change(known)).await;
    acknowledge(None).await.unwrap();
    assert_eq!(lines(world).await, before, "nothing changed");
    acknowledge(Some(known.clone())).await.unwrap();
    let other = Acknowledgement { note: "CHG-124".into(), ..known };
    acknowledge(Some(other.clone())).await.unwrap();
    assert_eq!(store.acknowledgements(world.org).await.unwrap(), [(connector.id, other.clone())]);
    assert_eq!(store.all_acknowledgements().await.unwrap(), [(connector.id, other.clone())]);
    acknowledge(None).await.unwrap();
    assert_eq!(store.acknowledgements(world.org).await.unwrap(), []);
    assert_eq!(lines(world).await, before + 3);
    acknowledge(Some(other)).await.unwrap();
    store.delete_connector(world.org, connector.id, None, world.audit("x", &connector.id)).await.unwrap();
    assert_eq!(store.acknowledgements(world.org).await.unwrap(), []);
    assert_eq!(store.all_acknowledgements().await.unwrap(), []);
    refused!(acknowledge(None).await, StoreError::NotFound);
}

/// Nothing of it is another org's, and nothing stays of one that is removed.
pub async fn channels_belong_to_their_org(world: &World) {
    let (store, ours) = (&world.store, made(world, 1).await);
    let connector = world.splunk(Filter::default()).await;
    noted(world, &["a"]).await;
    let stranger = world.other_org().await;
    let audit = || world.audit("foreign", &"x");
    for org in [stranger, OrgId(Uuid::from_u64_pair(9, 9))] {
        let save = store.save_channel(org, ours.channel.updated_at, world.change(ours.clone())).await;
        refused!(save, StoreError::NotFound);
        refused!(store.delete_channel(org, ours.channel.id, audit()).await, StoreError::NotFound);
        refused!(store.acknowledge(org, connector.id, world.change(None)).await, StoreError::NotFound);
    }
    assert_eq!(store.channels(stranger).await.unwrap(), []);
    assert_eq!(store.acknowledgements(stranger).await.unwrap(), []);
    assert_eq!(store.noted(stranger, 0, 9).await.unwrap(), []);
    assert_eq!(store.known(stranger, vec!["a".into()]).await.unwrap(), [None]);
    let mut theirs = channel(world, 2);
    theirs.channel.name = ours.channel.name.clone();
    store.create_channel(stranger, world.change(theirs)).await.unwrap();
    assert_eq!(store.note(stranger, vec![notice(world, "a")]).await.unwrap(), 1);
    assert_eq!(store.all_channels().await.unwrap().len(), 2);
    store.delete_org(stranger, audit()).await.unwrap();
    assert_eq!(store.all_channels().await.unwrap(), [ours]);
    refused!(store.channels(stranger).await, StoreError::NotFound);
    refused!(store.note(stranger, vec![]).await, StoreError::NotFound);
}
