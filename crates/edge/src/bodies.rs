//! Who may hold how much memory with the bodies of requests. A body's share grows with the bytes that have come in, never with what it
//! announces. There are so many bytes in all, and a bound for each API key or person and each address.
//!
//! Where a body needs more than is left, uploads that are slow give way, the slowest first. If none is slow, the body waits: nothing more
//! of it is read, so that its client sends no more. Where everybody waits for everybody else, whoever began last gives way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::connections::Address;
use crate::counts::Counts;

/// An upload is slow if it brought less than its pool demands within this time.
const WINDOW: Duration = Duration::from_secs(1);
/// How often a body that waits looks whether others have become slow: nothing happens when they do.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes in all.
    pub all: usize,
    /// Bytes for each API key or person.
    pub key: usize,
    /// Bytes for each address.
    pub address: usize,
    /// Bytes a second: an upload that brings fewer is slow.
    pub pace: usize,
    /// How long a body waits for room, at most.
    pub patience: Duration,
}

/// For whom a body counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owner {
    /// The API key, or the person.
    pub key: Option<Uuid>,
    /// Where it comes from.
    pub address: Option<IpAddr>,
}

/// Figures for operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes that are held.
    pub bytes: usize,
    /// Bytes that may be.
    pub limit: usize,
    /// Uploads that gave way to others.
    pub gave_way: u64,
    /// Bodies for which there was no room.
    pub refused: u64,
}

#[derive(Debug)]
struct Upload {
    key: Option<Uuid>,
    address: Option<Address>,
    bytes: usize,
    state: State,
    /// When the present window began, what came in it, and what came in the one before.
    window: (Instant, usize, usize),
    told: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Arriving,
    /// It waits for room, so that it brings nothing is not its own doing.
    Waiting,
    /// It is there as a whole and will be done with soon.
    Whole,
}

impl Upload {
    /// What it brought within the last window.
    fn pace(&self, now: Instant) -> usize {
        let (began, here, before) = self.window;
        match now.saturating_duration_since(began) {
            past if past < WINDOW => here.max(before),
            past if past < 2 * WINDOW => here,
            _ => 0,
        }
    }

    fn brought(&mut self, bytes: usize, now: Instant) {
        let (began, here, _) = self.window;
        self.window = match now.saturating_duration_since(began) {
            past if past < WINDOW => (began, here + bytes, self.window.2),
            past if past < 2 * WINDOW => (now, bytes, here),
            _ => (now, bytes, 0),
        };
    }
}

#[derive(Debug, Default)]
struct Inner {
    uploads: HashMap<u64, Upload>,
    keys: Counts<Uuid>,
    addresses: Counts<Address>,
    next: u64,
    held: Held,
}

/// Memory that bodies share.
#[derive(Debug)]
pub(crate) struct Pool {
    bounds: Bounds,
    inner: Mutex<Inner>,
    freed: Notify,
}

/// There is no room for the body, or it had to make room for others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// What a body takes of a pool, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<Pool>,
    number: u64,
    told: Arc<Notify>,
}

enum Grant {
    Given,
    Wait,
    GiveWay,
}

/// A bound that does not hold what is wanted.
#[derive(Debug, Clone, Copy)]
enum Scope {
    All,
    Key(Uuid),
    Address(Address),
}

impl Scope {
    fn holds(self, upload: &Upload) -> bool {
        match self {
            Self::All => true,
            Self::Key(key) => upload.key == Some(key),
            Self::Address(address) => upload.address == Some(address),
        }
    }
}

impl Pool {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, inner: Mutex::default(), freed: Notify::new() })
    }

    pub(crate) fn held(&self) -> Held {
        Held { limit: self.bounds.all, ..self.inner.lock().held }
    }

    /// Begins to count a body, which takes nothing so far.
    pub(crate) fn begin(self: &Arc<Self>, owner: Owner) -> Share {
        let told = Arc::<Notify>::default();
        let upload = Upload {
            key: owner.key,
            address: owner.address.map(Address::of),
            bytes: 0,
            state: State::Arriving,
            // Whoever has just begun is not slow.
            window: (Instant::now(), self.bounds.pace, self.bounds.pace),
            told: Arc::clone(&told),
        };
        let mut inner = self.inner.lock();
        inner.next += 1;
        let number = inner.next;
        inner.uploads.insert(number, upload);
        Share { pool: Arc::clone(self), number, told }
    }

    fn take(&self, number: u64, bytes: usize) -> Grant {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        loop {
            let Some(upload) = inner.uploads.get_mut(&number) else { return Grant::GiveWay };
            let (key, address) = (upload.key, upload.address);
            let Some(scope) = inner.lacks(&self.bounds, key, address, bytes) else {
                inner.give(number, bytes, now, self.bounds.pace);
                return Grant::Given;
            };
            let others =
                || inner.uploads.iter().filter(|(n, other)| **n != number && scope.holds(other) && other.bytes > 0);
            let slow = others()
                .filter(|(_, other)| other.state == State::Arriving)
                .map(|(n, other)| (other.pace(now), *n))
                .filter(|(pace, _)| *pace < self.bounds.pace)
                .min();
            if let Some((_, slowest)) = slow {
                inner.give_way(slowest);
                self.freed.notify_waiters();
                continue;
            }
            if others().any(|(_, other)| other.state != State::Waiting) {
                return Grant::Wait;
            }
            // Nobody else will make room by itself: whoever began last of the key that holds most. A key that holds little never yields to it.
            let weight = |upload: &Upload| upload.key.map_or(upload.bytes, |key| inner.keys.of(key));
            let mine = inner.uploads.get(&number).map(|upload| (weight(upload), number));
            let heaviest = others().map(|(n, other)| (weight(other), *n)).max();
            match heaviest.filter(|heaviest| Some(*heaviest) > mine) {
                Some((_, last)) => {
                    inner.give_way(last);
                    self.freed.notify_waiters();
                }
                None => return Grant::GiveWay,
            }
        }
    }
}

impl Inner {
    /// The first bound that `bytes` more do not fit into.
    fn lacks(&self, bounds: &Bounds, key: Option<Uuid>, address: Option<Address>, bytes: usize) -> Option<Scope> {
        if let Some(key) = key.filter(|key| self.keys.of(*key) + bytes > bounds.key) {
            return Some(Scope::Key(key));
        }
        if let Some(address) = address.filter(|address| self.addresses.of(*address) + bytes > bounds.address) {
            return Some(Scope::Address(address));
        }
        (self.held.bytes + bytes > bounds.all).then_some(Scope::All)
    }

    fn give(&mut self, number: u64, bytes: usize, now: Instant, pace: usize) {
        let Some(upload) = self.uploads.get_mut(&number) else { return };
        upload.bytes += bytes;
        if upload.state == State::Waiting {
            // Nobody read what it sent meanwhile: like one that has just begun, it is not slow.
            upload.window = (now, pace, pace);
        }
        upload.brought(bytes, now);
        upload.state = State::Arriving;
        self.held.bytes += bytes;
        if let Some(key) = upload.key {
            self.keys.more(key, bytes);
        }
        if let Some(address) = upload.address {
            self.addresses.more(address, bytes);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Upload> {
        let upload = self.uploads.remove(&number)?;
        self.held.bytes -= upload.bytes;
        if let Some(key) = upload.key {
            self.keys.less(key, upload.bytes);
        }
        if let Some(address) = upload.address {
            self.addresses.less(address, upload.bytes);
        }
        Some(upload)
    }

    fn give_way(&mut self, number: u64) {
        if let Some(upload) = self.remove(number) {
            upload.told.notify_one();
            self.held.gave_way += 1;
        }
    }
}

impl Share {
    /// Grows by what has come in, if there is room, else once there is.
    pub(crate) async fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        let growing = async {
            loop {
                let freed = self.pool.freed.notified();
                match self.pool.take(self.number, bytes) {
                    Grant::Given => return Ok(()),
                    Grant::GiveWay => return Err(NoRoom),
                    Grant::Wait => self.is(State::Waiting),
                }
                let _ = timeout(LOOK_AGAIN, freed).await;
            }
        };
        let grown = timeout(self.pool.bounds.patience, growing).await.unwrap_or(Err(NoRoom));
        if grown.is_err() {
            let mut inner = self.pool.inner.lock();
            // Otherwise it gave way, and was counted as that.
            if inner.remove(self.number).is_some() {
                inner.held.refused += 1;
            }
        }
        grown
    }

    /// The body is there as a whole.
    pub(crate) fn is_whole(&self) {
        self.is(State::Whole);
    }

    fn is(&self, state: State) {
        if let Some(upload) = self.pool.inner.lock().uploads.get_mut(&self.number) {
            upload.state = state;
        }
    }

    /// Completes when the body has to make room for others.
    pub(crate) async fn gives_way(&self) {
        self.told.notified().await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.inner.lock().remove(self.number);
        self.pool.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn pool(all: usize) -> Arc<Pool> {
        Pool::new(Bounds { all, key: all / 2, address: all, pace: KIB, patience: Duration::from_secs(5) })
    }

    fn owner(key: u128) -> Owner {
        Owner { key: Some(Uuid::from_u128(key)), address: None }
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_upload_gives_way_and_a_brisk_one_does_not() {
        let pool = pool(100 * KIB);
        let uploads: Vec<Share> = (1..=3).map(|key| pool.begin(owner(key))).collect();
        for upload in &uploads {
            upload.grow(30 * KIB).await.unwrap();
        }
        tokio::time::advance(WINDOW * 3).await;
        uploads[0].grow(KIB / 2).await.unwrap();
        uploads[1].grow(2 * KIB).await.unwrap();
        let newer = pool.begin(owner(4));
        newer.grow(30 * KIB).await.unwrap();
        uploads[2].gives_way().await;
        assert_eq!(uploads[2].grow(1).await, Err(NoRoom), "it brought nothing");
        newer.grow(20 * KIB).await.unwrap();
        uploads[0].gives_way().await;
        assert_eq!(pool.held().gave_way, 2);
        uploads[1].grow(KIB).await.unwrap();
        drop((uploads, newer));
        let inner = pool.inner.lock();
        assert!(inner.uploads.is_empty() && inner.keys.is_empty() && inner.held.bytes == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_began_or_announced_much_holds_nothing() {
        let pool = pool(64 * KIB);
        let _idle: Vec<Share> = (0..1000).map(|_| pool.begin(owner(1))).collect();
        pool.begin(owner(2)).grow(32 * KIB).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_has_its_share_makes_room_from_its_own() {
        let pool = pool(100 * KIB);
        let (slow, other) = (pool.begin(owner(1)), pool.begin(owner(2)));
        slow.grow(45 * KIB).await.unwrap();
        other.grow(10 * KIB).await.unwrap();
        tokio::time::advance(WINDOW * 3).await;
        pool.begin(owner(1)).grow(10 * KIB).await.unwrap();
        assert_eq!(slow.grow(1).await, Err(NoRoom));
        other.grow(1).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_brisk_a_body_waits_for_one_that_is_done() {
        let pool = pool(100 * KIB);
        let whole = pool.begin(owner(1));
        whole.grow(50 * KIB).await.unwrap();
        whole.is_whole();
        let (second, third) = (pool.begin(owner(2)), pool.begin(owner(3)));
        second.grow(50 * KIB).await.unwrap();
        second.is_whole();
        let waiting = tokio::spawn(async move { third.grow(10 * KIB).await });
        tokio::time::advance(WINDOW).await;
        assert!(!waiting.is_finished());
        drop(whole);
        waiting.await.unwrap().unwrap();
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_has_an_end() {
        let pool = pool(100 * KIB);
        let whole = pool.begin(owner(1));
        whole.grow(50 * KIB).await.unwrap();
        whole.is_whole();
        assert_eq!(pool.begin(owner(1)).grow(10 * KIB).await, Err(NoRoom));
        assert_eq!(pool.held().refused, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_everybody_waits_for_everybody_whoever_began_last_gives_way() {
        let pool = pool(100 * KIB);
        let uploads: Vec<Share> = (1..=4).map(|key| pool.begin(owner(key))).collect();
        for upload in &uploads {
            upload.grow(25 * KIB).await.unwrap();
        }
        let growing: Vec<_> = uploads
            .into_iter()
            .map(|upload| tokio::spawn(async move { upload.grow(20 * KIB).await.map(|()| upload) }))
            .collect();
        let mut grown = Vec::new();
        for upload in growing {
            grown.push(upload.await.unwrap().is_ok());
        }
        assert_eq!(grown, [true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_holds_little_does_not_yield_to_those_that_hold_much() {
        let pool = pool(100 * KIB);
        let heavy: Vec<Share> = [1, 1, 2, 2].map(|key| pool.begin(owner(key))).into();
        for upload in &heavy {
            upload.grow(24 * KIB).await.unwrap();
        }
        let light = pool.begin(owner(3));
        light.grow(4 * KIB).await.unwrap();
        // Everybody wants more at once, and the light one began last.
        let growing: Vec<_> =
            heavy.into_iter().map(|upload| tokio::spawn(async move { upload.grow(2 * KIB).await })).collect();
        tokio::task::yield_now().await;
        assert_eq!(light.grow(4 * KIB).await, Ok(()));
        let mut refused = 0;
        for upload in growing {
            refused += usize::from(upload.await.unwrap().is_err());
        }
        assert_eq!(refused, 1, "one of the heavy ones made room");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_made_to_wait_is_not_slow_for_it() {
        let pool = pool(100 * KIB);
        let (whole, brisk) = (pool.begin(owner(1)), pool.begin(owner(2)));
        whole.grow(50 * KIB).await.unwrap();
        whole.is_whole();
        brisk.grow(50 * KIB).await.unwrap();
        brisk.is_whole();
        let waited = pool.begin(owner(3));
        let waiting = tokio::spawn(async move { waited.grow(KIB / 2).await.map(|()| waited) });
        tokio::time::sleep(WINDOW * 3).await;
        drop(whole);
        let _waited = waiting.await.unwrap().unwrap();
        let other = pool.begin(owner(4));
        other.grow(40 * KIB).await.unwrap();
        let more = tokio::spawn(async move { other.grow(10 * KIB).await });
        tokio::task::yield_now().await;
        assert_eq!(pool.held().gave_way, 0, "the one that waited has had no time to be slow");
        drop(brisk);
        more.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_larger_than_everything_is_refused_at_once() {
        assert_eq!(pool(100 * KIB).begin(owner(1)).grow(51 * KIB).await, Err(NoRoom));
    }
}
