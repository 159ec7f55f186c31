//! Who may hold how many connections. A place is a file descriptor and some memory, whether anything is asked over it or not, so there are
//! so many of them in all, a share of them for each address, and one for each API key or person.
//!
//! A connection counts for the address that it comes from until somebody has shown a valid key or session over it; from then on it counts
//! for them. Proxies that are trusted speak for many clients and have no share of their own. Where a share is used up, a connection that
//! waits for a request gives way, the one that has waited longest first: a client that keeps one open must expect that at any time.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::counts::Counts;
use crate::refusal::Refusal;

/// How often a full listener looks for a connection that has become idle.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What counts as one address: a host of IPv4, or a network of IPv6, of which a host has 2^64 addresses to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

impl Address {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) => Self(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into()),
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// For whom a connection counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Address(Address),
    Key(Uuid),
    /// A trusted proxy.
    Nobody,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doing {
    /// Its end has begun: what the client still sends is thrown away.
    Leaving,
    /// It waits for a request.
    Waiting,
    /// A part of a head has come.
    Asking,
    /// A request is answered.
    Answering,
}

const DOINGS: [Doing; 4] = [Doing::Leaving, Doing::Waiting, Doing::Asking, Doing::Answering];

/// One connection, as the stream, the requests over it and the listener see it.
#[derive(Debug)]
pub struct Connection {
    number: u64,
    peer: IpAddr,
    born: Instant,
    /// What it does, in the lowest two bits, and since when, in milliseconds of its life.
    doing: AtomicU64,
    /// Heads that hyper has been given.
    requests: AtomicU64,
    /// Which of them is refused, and why.
    refused: AtomicU64,
    refusal: AtomicU8,
    /// The rest of a body will not be read, so the connection has to end.
    cut: AtomicBool,
    /// hyper has been given the whole answer, and may still hold a part of it.
    given: AtomicBool,
    gives_way: AtomicBool,
    told: Notify,
    /// Whether it was asked already for whom it counts.
    known: AtomicBool,
    owner: Mutex<Owner>,
}

impl Connection {
    fn new(number: u64, peer: IpAddr, owner: Owner) -> Self {
        Self {
            number,
            peer,
            born: Instant::now(),
            doing: AtomicU64::new(Doing::Waiting as u64),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refusal: AtomicU8::new(0),
            cut: AtomicBool::new(false),
            given: AtomicBool::new(false),
            gives_way: AtomicBool::new(false),
            told: Notify::new(),
            known: AtomicBool::new(false),
            owner: Mutex::new(owner),
        }
    }

    /// The other end.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// What it does, and since when.
    pub(crate) fn doing(&self) -> (Doing, Instant) {
        let state = self.doing.load(Ordering::Relaxed);
        let doing = DOINGS[usize::try_from(state & 3).unwrap_or_default()];
        (doing, self.born + Duration::from_millis(state >> 2))
    }

    pub(crate) fn does(&self, doing: Doing) {
        let life = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX >> 2);
        self.doing.store(life << 2 | doing as u64, Ordering::Relaxed);
    }

    /// Whether no request has come so far.
    pub(crate) fn is_new(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// hyper has read a head: why it is refused, if it is.
    pub(crate) fn begin(&self) -> Option<Refusal> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.given.store(false, Ordering::Relaxed);
        self.does(Doing::Answering);
        if self.gives_way.load(Ordering::Relaxed) {
            return Some(Refusal::Connections);
        }
        if self.refused.load(Ordering::Relaxed) != number {
            return None;
        }
        Refusal::of(self.refusal.load(Ordering::Relaxed))
    }

    /// Refuses the `number`th head.
    pub(crate) fn refuse(&self, number: u64, refusal: Refusal) {
        self.refusal.store(refusal as u8, Ordering::Relaxed);
        self.refused.store(number, Ordering::Relaxed);
    }

    /// hyper has been given the whole answer. The connection is busy until [`Self::flushed`].
    pub(crate) fn gave_all(&self) {
        self.given.store(true, Ordering::Relaxed);
    }

    /// Everything that hyper had to write is with the kernel. If an answer ends there, the connection waits for the next request: whether
    /// that is so.
    pub(crate) fn flushed(&self) -> bool {
        let ends = self.given.swap(false, Ordering::Relaxed);
        if ends {
            self.does(Doing::Waiting);
        }
        ends
    }

    /// The rest of a request's body will not be read.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Whether its place is needed for another.
    pub(crate) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    /// Completes when its place is needed for another.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }
}

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) all: usize,
    pub(crate) address: usize,
    pub(crate) key: usize,
}

/// Figures for operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Connections that are open.
    pub open: usize,
    /// Connections that may be.
    pub limit: usize,
    /// Connections that were refused because their address had its share.
    pub refused_address: u64,
    /// Connections that could not be accepted, for want of file descriptors in practice.
    pub refused_failed: u64,
    /// New connections that had to wait because every place was taken by one that was in use.
    pub waited: u64,
    /// Waiting connections that were closed to make room.
    pub gave_way: u64,
}

#[derive(Debug, Default)]
struct Inner {
    all: HashMap<u64, Arc<Connection>>,
    addresses: Counts<Address>,
    keys: Counts<Uuid>,
    /// Those whose share is used up, so that the log says it once.
    used_up: HashSet<Address>,
    full: bool,
    next: u64,
    figures: Held,
}

/// The places of a listener.
#[derive(Debug)]
pub(crate) struct Connections {
    bounds: Bounds,
    exempt: Vec<IpNet>,
    inner: Mutex<Inner>,
    freed: Notify,
}

/// A connection's place, until it is dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    pub(crate) connection: Arc<Connection>,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds, exempt: Vec<IpNet>) -> Self {
        Self { bounds, exempt, inner: Mutex::default(), freed: Notify::new() }
    }

    pub(crate) fn held(&self) -> Held {
        let inner = self.inner.lock();
        Held { open: inner.all.len(), limit: self.bounds.all, ..inner.figures }
    }

    /// Waits until there is a place for a new connection, if need be that of one which only waits. What cannot be served is better left
    /// in the kernel's queue than refused.
    pub(crate) async fn room(&self) {
        if self.make_room() {
            return;
        }
        self.inner.lock().figures.waited += 1;
        while !self.make_room() {
            // Nothing tells that a connection has become idle: that would cost every request something.
            let _ = tokio::time::timeout(LOOK_AGAIN, self.freed.notified()).await;
        }
    }

    fn make_room(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.all.len() < self.bounds.all {
            if inner.full && inner.all.len() < eased(self.bounds.all) {
                inner.full = false;
                tracing::info!("there is room for connections again");
            }
            return true;
        }
        if !inner.full {
            inner.full = true;
            let limit = self.bounds.all;
            tracing::warn!(
                limit,
                "every place for a connection is taken: idle ones are closed for new ones, the rest wait"
            );
        }
        inner.close_idle(|_| true)
    }

    /// Connections over which a request is being answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.inner.lock().all.values().filter(|connection| connection.doing().0 == Doing::Answering).count()
    }

    /// A connection could not be accepted.
    pub(crate) fn failed(&self) {
        self.inner.lock().figures.refused_failed += 1;
    }

    /// Takes a place for a connection from `peer`; `Err` holds one all the same, for an answer that refuses it.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Place> {
        let (canonical, address) = (peer.to_canonical(), Address::of(peer));
        let is_exempt = self.exempt.iter().any(|network| network.contains(&canonical));
        let mut inner = self.inner.lock();
        let mut owner = if is_exempt { Owner::Nobody } else { Owner::Address(address) };
        let mut fits = true;
        if owner != Owner::Nobody && inner.addresses.of(address) >= self.bounds.address {
            if inner.used_up.insert(address) {
                let (address, limit) = (address.0, self.bounds.address);
                tracing::warn!(%address, limit, "an address has as many connections as it may have");
            }
            fits = inner.close_idle(|connection| *connection.owner.lock() == Owner::Address(address));
            if !fits {
                inner.figures.refused_address += 1;
                owner = Owner::Nobody;
            }
        }
        inner.next += 1;
        let connection = Arc::new(Connection::new(inner.next, peer, owner));
        inner.count(owner);
        inner.all.insert(connection.number, Arc::clone(&connection));
        let place = Place { connections: Arc::clone(self), connection };
        if fits { Ok(place) } else { Err(place) }
    }

    /// Whoever has this key or session uses the connection: from now on it counts for them, if they have room.
    pub(crate) fn belongs(&self, connection: &Connection, key: Uuid) {
        if connection.known.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut inner = self.inner.lock();
        let owner = *connection.owner.lock();
        let is_there = inner.all.contains_key(&connection.number);
        if is_there && owner != Owner::Nobody && inner.keys.of(key) < self.bounds.key {
            self.uncount(&mut inner, owner);
            inner.count(Owner::Key(key));
            *connection.owner.lock() = Owner::Key(key);
        }
    }

    fn uncount(&self, inner: &mut Inner, owner: Owner) {
        inner.uncount(owner);
        if let Owner::Address(address) = owner
            && inner.addresses.of(address) < eased(self.bounds.address)
            && inner.used_up.remove(&address)
        {
            tracing::info!(address = %address.0, "an address has room for connections again");
        }
    }
}

/// Below this the log says that it is over: not at each connection that goes and comes.
fn eased(bound: usize) -> usize {
    bound - bound / 10
}

impl Inner {
    fn count(&mut self, owner: Owner) {
        match owner {
            Owner::Address(address) => self.addresses.more(address, 1),
            Owner::Key(key) => self.keys.more(key, 1),
            Owner::Nobody => {}
        }
    }

    fn uncount(&mut self, owner: Owner) {
        match owner {
            Owner::Address(address) => self.addresses.less(address, 1),
            Owner::Key(key) => self.keys.less(key, 1),
            Owner::Nobody => {}
        }
    }

    /// Has the connection give way that matters least among those which `may`: one that is leaving, one that waits, one that has sent a
    /// part of a head only; of these the one that has done so longest. It does not count from here on.
    fn close_idle(&mut self, may: impl Fn(&Connection) -> bool) -> bool {
        let idle = self.all.values().filter(|connection| may(connection)).map(|connection| {
            let (doing, since) = connection.doing();
            (doing, since, connection.number)
        });
        let Some((_, _, number)) = idle.filter(|(doing, ..)| *doing != Doing::Answering).min() else { return false };
        let Some(connection) = self.all.remove(&number) else { return false };
        let owner = *connection.owner.lock();
        self.uncount(owner);
        connection.gives_way.store(true, Ordering::Relaxed);
        connection.told.notify_one();
        self.figures.gave_way += 1;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.connections.inner.lock();
        // One that gave way does not count any more.
        if inner.all.remove(&self.connection.number).is_some() {
            let owner = *self.connection.owner.lock();
            self.connections.uncount(&mut inner, owner);
        }
        drop(inner);
        self.connections.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(all: usize, address: usize, key: usize) -> Arc<Connections> {
        let exempt = vec!["10.0.0.0/8".parse().unwrap()];
        Arc::new(Connections::new(Bounds { all, address, key }, exempt))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_of_an_address_gives_way_and_one_that_works_does_not() {
        let connections = connections(100, 2, 1);
        let first = connections.enter(ip("192.0.2.1")).ok().unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = connections.enter(ip("::ffff:192.0.2.1")).ok().unwrap();
        first.connection.begin();
        let third = connections.enter(ip("192.0.2.1")).ok().unwrap();
        assert!(second.connection.gives_way() && !first.connection.gives_way(), "the first one works");
        third.connection.begin();
        let refused = connections.enter(ip("192.0.2.1")).err().unwrap();
        connections.enter(ip("192.0.2.2")).ok().unwrap();
        assert_eq!(second.connection.begin(), Some(Refusal::Connections), "it is too late for a request");
        let held = connections.held();
        assert_eq!((held.open, held.refused_address, held.gave_way), (3, 1, 1));
        drop((first, second, third, refused));
        let inner = connections.inner.lock();
        assert!(inner.all.is_empty() && inner.addresses.is_empty() && inner.used_up.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_gives_way_before_what_asks_and_what_leaves_before_both() {
        let connections = connections(100, 3, 1);
        let places: Vec<Place> = (0..3).map(|_| connections.enter(ip("192.0.2.1")).ok().unwrap()).collect();
        places[0].connection.does(Doing::Asking);
        places[2].connection.does(Doing::Leaving);
        let mut later = Vec::new();
        for gone in [2, 1, 0] {
            let newer = connections.enter(ip("192.0.2.1")).ok().unwrap();
            newer.connection.does(Doing::Answering);
            later.push(newer);
            assert!(places[gone].connection.gives_way(), "{gone}");
        }
        assert!(connections.enter(ip("192.0.2.1")).is_err());
    }

    #[tokio::test]
    async fn networks_of_ipv6_are_one_address_and_trusted_proxies_are_none() {
        let connections = connections(100, 1, 1);
        let busy = |peer: &str| {
            let place = connections.enter(ip(peer)).map_err(drop)?;
            place.connection.begin();
            Ok::<_, ()>(place)
        };
        let _first = busy("2001:db8::1").ok().unwrap();
        assert!(busy("2001:db8::2").is_err());
        let _other = busy("2001:db8:0:1::1").ok().unwrap();
        let _proxied: Vec<_> = (0..5).map(|_| busy("10.1.2.3").ok().unwrap()).collect();
    }

    #[tokio::test]
    async fn what_is_authenticated_counts_for_its_key_as_far_as_that_has_room() {
        let connections = connections(100, 2, 2);
        let key = Uuid::from_u128(7);
        let mut places = Vec::new();
        for _ in 0..4 {
            let place = connections.enter(ip("192.0.2.1")).ok().unwrap();
            place.connection.begin();
            connections.belongs(&place.connection, key);
            places.push(place);
        }
        assert!(connections.enter(ip("192.0.2.1")).is_err(), "two count for the key, two for the address");
        drop(places);
        assert!(connections.inner.lock().keys.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_listener_closes_the_longest_idle_connection_or_waits() {
        let connections = connections(2, 2, 1);
        let first = connections.enter(ip("192.0.2.1")).ok().unwrap();
        let second = connections.enter(ip("192.0.2.2")).ok().unwrap();
        first.connection.begin();
        second.connection.begin();
        let waiting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.room().await }
        });
        tokio::time::advance(LOOK_AGAIN * 3).await;
        assert!(!waiting.is_finished() && connections.held().waited == 1);
        second.connection.does(Doing::Waiting);
        waiting.await.unwrap();
        assert!(second.connection.gives_way() && !first.connection.gives_way());
        assert_eq!(connections.held().open, 1);
    }
}
