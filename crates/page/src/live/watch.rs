//! Who watches. As long as somebody looks at something of an org, one task asks for what is looked at, every two seconds, and makes each
//! view once for each role. What came of it is kept as the latest state: viewers take that from here, at their own pace.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::people::Role;

use super::looks::Looks;
use super::message::Message;
use super::view::View;
use crate::Dashboard;
use crate::answer::Result;
use crate::connectors::list;
use crate::error::PageError;
use crate::visitor::Visitor;

/// How often what is looked at is made anew.
const EVERY: Duration = Duration::from_secs(2);
/// Views of an org that are kept at the same time: more than one person can ask for, so that nobody keeps the others from looking.
const PER_ORG: usize = 1024;
/// Views that are made at the same moment, of all orgs; the others wait, and their turn comes.
const AT_ONCE: usize = 2;

/// How a view stands.
#[derive(Debug, Default)]
pub struct State {
    /// Which version; 0 before there is one. No two states have the same.
    pub version: u64,
    /// The version that `change` begins with.
    pub since: u64,
    /// What brings that version to this one.
    pub change: Option<Message>,
    /// The whole of it, for everybody else.
    pub whole: Option<Message>,
    /// There is nothing at its address.
    pub gone: bool,
}

impl State {
    /// What somebody who has version `seen` needs to be up to date.
    pub fn news(&self, seen: u64) -> Option<&Message> {
        if self.version == seen {
            return None;
        }
        self.change.as_ref().filter(|_| self.since == seen).or(self.whole.as_ref())
    }
}

/// A view as its viewers find it.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// The latest state.
    pub state: Arc<State>,
    /// It could not be made the last time: how it stands now is not known.
    pub failing: bool,
}

/// A view as people with this role see it.
type Key = (View, Role);

/// What is looked at of an org.
struct Watched {
    views: HashMap<Key, watch::Sender<Shown>>,
    /// Counts each time that all views were tried.
    rounds: watch::Sender<u64>,
    /// Somebody looks at what nobody looked at.
    wake: Arc<Notify>,
}

/// What is looked at.
pub struct Watchers {
    orgs: Mutex<HashMap<OrgId, Watched>>,
    turns: Semaphore,
    version: AtomicU64,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { orgs: Mutex::default(), turns: Semaphore::new(AT_ONCE), version: AtomicU64::new(0) }
    }
}

/// What one viewer looks at, as it comes.
pub struct Sight {
    /// The views, in the order that was asked for.
    pub views: Vec<watch::Receiver<Shown>>,
    /// Changes each time that all views were tried.
    pub rounds: watch::Receiver<u64>,
}

impl Watchers {
    /// Looks at `views`; `None` where the org's people look at too much already.
    pub fn look(&self, dashboard: &Dashboard, org: OrgId, role: Role, views: &[View]) -> Option<Sight> {
        self.look_or(org, role, views, |wake| {
            tokio::spawn(until_closed(Watcher::new(dashboard.clone(), org, wake)));
        })
    }

    /// The same; `begin` begins to watch an org that nobody looks at.
    fn look_or(&self, org: OrgId, role: Role, views: &[View], begin: impl FnOnce(Arc<Notify>)) -> Option<Sight> {
        let mut orgs = self.orgs.lock();
        let watched = orgs.entry(org).or_insert_with(|| {
            let wake = Arc::new(Notify::new());
            begin(Arc::clone(&wake));
            Watched { views: HashMap::new(), rounds: watch::Sender::new(0), wake }
        });
        let fits = |watched: &Watched| {
            let new = views.iter().filter(|view| !watched.views.contains_key(&(**view, role))).count();
            watched.views.len() + new <= PER_ORG
        };
        if !fits(watched) {
            // Those at which nobody looks any more are still there until the next round.
            watched.views.retain(|_, view| view.receiver_count() > 0);
            if !fits(watched) {
                return None;
            }
        }
        let look = |view: &View| watched.views.entry((*view, role)).or_default().subscribe();
        let sight = Sight { views: views.iter().map(look).collect(), rounds: watched.rounds.subscribe() };
        watched.wake.notify_one();
        Some(sight)
    }

    /// What somebody looks at; with `fresh` only what was never made. `None`, and the end, where nobody looks.
    fn wanted(&self, org: OrgId, fresh: bool) -> Option<Vec<Key>> {
        let mut orgs = self.orgs.lock();
        let watched = orgs.get_mut(&org)?;
        watched.views.retain(|_, view| view.receiver_count() > 0);
        if watched.rounds.receiver_count() == 0 {
            orgs.remove(&org);
            return None;
        }
        let wanted = watched.views.iter().filter(|(_, view)| !fresh || view.borrow().state.version == 0);
        Some(wanted.map(|(key, _)| *key).collect())
    }

    /// The version that the next state has: of all views and servers before this one, none had it.
    fn next_version(&self, now: u64) -> u64 {
        let next = |last: u64| Some(now.max(last + 1));
        self.version.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(now, |last| now.max(last + 1))
    }

    fn publish(&self, org: OrgId, key: Key, state: State) {
        if let Some(view) = self.orgs.lock().get(&org).and_then(|watched| watched.views.get(&key)) {
            view.send_replace(Shown { state: Arc::new(state), failing: false });
        }
    }

    fn version_of(&self, org: OrgId, key: Key) -> u64 {
        self.orgs
            .lock()
            .get(&org)
            .and_then(|watched| watched.views.get(&key))
            .map_or(0, |view| view.borrow().state.version)
    }

    /// Whether the view could be made.
    fn tried(&self, org: OrgId, key: Key, failing: bool) {
        if let Some(view) = self.orgs.lock().get(&org).and_then(|watched| watched.views.get(&key)) {
            view.send_if_modified(|shown| std::mem::replace(&mut shown.failing, failing) != failing);
        }
    }

    fn end_round(&self, org: OrgId) {
        if let Some(watched) = self.orgs.lock().get(&org) {
            watched.rounds.send_modify(|round| *round += 1);
        }
    }

    /// Orgs that are watched.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.orgs.lock().len()
    }
}

async fn until_closed(watcher: Watcher) {
    let closing = watcher.dashboard.closing.clone();
    tokio::select! {
        () = closing.cancelled() => {}
        () = watcher.watch() => {}
    }
}

/// The one who asks, for an org. However it ends, its viewers' streams end with it, and the next viewer gets another.
struct Watcher {
    dashboard: Dashboard,
    org: OrgId,
    wake: Arc<Notify>,
    /// What the views looked like.
    looks: HashMap<Key, Looks>,
    kept: list::Kept,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut orgs = self.dashboard.watchers.orgs.lock();
        // Another one may have begun since this one found nobody.
        if orgs.get(&self.org).is_some_and(|watched| Arc::ptr_eq(&watched.wake, &self.wake)) {
            orgs.remove(&self.org);
        }
    }
}

impl Watcher {
    fn new(dashboard: Dashboard, org: OrgId, wake: Arc<Notify>) -> Self {
        Self { dashboard, org, wake, looks: HashMap::new(), kept: list::Kept::default() }
    }

    async fn watch(mut self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = Arc::clone(&self.wake);
        loop {
            let fresh = tokio::select! {
                _ = ticks.tick() => false,
                () = wake.notified() => true,
            };
            let dashboard = self.dashboard.clone();
            let Some(wanted) = dashboard.watchers.wanted(self.org, fresh) else { return };
            self.looks.retain(|key, _| fresh || wanted.contains(key));
            for key in wanted {
                let Ok(_turn) = dashboard.watchers.turns.acquire().await else { return };
                let failing = self.make(key).await.is_err();
                dashboard.watchers.tried(self.org, key, failing);
            }
            dashboard.watchers.end_round(self.org);
        }
    }

    /// Makes a view anew, and publishes what changed.
    async fn make(&mut self, key: Key) -> Result<()> {
        let (view, role) = key;
        let visitor = Visitor::onlooker(&self.dashboard, self.org, role);
        let rendering = match view.ask(&visitor, &mut self.kept).await {
            Ok(rendering) => rendering,
            Err(PageError::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                Box::new(|| Err(PageError::Missing))
            }
            Err(error) => return Err(error),
        };
        let watchers = Arc::clone(&self.dashboard.watchers);
        let now = u64::try_from(visitor.now.0).unwrap_or(0);
        let since = watchers.version_of(self.org, key);
        let mut looks = if since == 0 { Looks::default() } else { self.looks.remove(&key).unwrap_or_default() };
        // Off the threads that serve requests.
        let made = spawn_blocking(move || {
            let html = match rendering() {
                Ok(html) => Some(html),
                Err(PageError::Missing) => None,
                Err(error) => return Err(error),
            };
            let Some(change) = looks.become_that_of(html.as_deref().unwrap_or_default()) else {
                return Ok((looks, None));
            };
            let version = watchers.next_version(now);
            let message = |since: u64, html: Option<&str>| Some(Message::of(view, since, version, html));
            let change = if since == 0 || html.is_none() { None } else { message(since, Some(&change)) };
            let state = State { version, since, change, whole: message(0, html.as_deref()), gone: html.is_none() };
            Ok((looks, Some(state)))
        });
        let (looks, state) = made.await.map_err(|error| PageError::broken(&error))??;
        self.looks.insert(key, looks);
        if let Some(state) = state {
            self.dashboard.watchers.publish(self.org, key, state);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_one_version_behind_gets_the_change_and_everybody_else_the_whole() {
        let message = |html| Some(Message::of(View::Connectors, 0, 0, Some(html)));
        let state = State { version: 9, since: 7, change: message("change"), whole: message("whole"), gone: false };
        let text = |seen| state.news(seen).map(|message| format!("{message:?}").contains("change"));
        assert_eq!(
            [text(9), text(7), text(5), text(0), text(99)],
            [None, Some(true), Some(false), Some(false), Some(false)]
        );
        assert!(State::default().news(0).is_none(), "nothing is sent before there is something");
    }

    #[test]
    fn a_view_that_cannot_be_made_is_failing_for_its_own_viewers_and_the_round_ends_for_all() {
        let (watchers, org) = (Watchers::default(), OrgId(uuid::Uuid::from_u128(1)));
        let job = View::Job(toktra_siem_core::ids::JobId(uuid::Uuid::from_u128(2)));
        let look = |view| watchers.look_or(org, Role::Viewer, &[view], |_| {}).unwrap();
        let (mut list, mut jobs) = (look(View::Connectors), look(job));
        watchers.tried(org, (job, Role::Viewer), true);
        watchers.tried(org, (View::Connectors, Role::Viewer), false);
        watchers.end_round(org);
        assert!(list.rounds.has_changed().unwrap() && jobs.rounds.has_changed().unwrap());
        assert!(!list.views[0].borrow_and_update().failing && jobs.views[0].borrow_and_update().failing);
        let state = State { version: 1, ..State::default() };
        watchers.publish(org, (job, Role::Viewer), state);
        assert!(!jobs.views[0].borrow().failing);
    }

    #[test]
    fn views_that_nobody_looks_at_any_more_keep_nobody_from_looking() {
        let (watchers, org) = (Watchers::default(), OrgId(uuid::Uuid::from_u128(1)));
        let views = |from: usize| -> Vec<View> {
            (from..from + PER_ORG)
                .map(|n| View::Job(toktra_siem_core::ids::JobId(uuid::Uuid::from_u128(n as u128))))
                .collect()
        };
        let look = |from| watchers.look_or(org, Role::Viewer, &views(from), |_| {});
        let first = look(0).unwrap();
        assert!(look(PER_ORG).is_none());
        drop(first);
        assert!(look(PER_ORG).is_some());
    }

    #[test]
    fn no_two_states_have_the_same_version_even_where_the_clock_goes_back() {
        let watchers = Watchers::default();
        let versions = [
            watchers.next_version(100),
            watchers.next_version(100),
            watchers.next_version(50),
            watchers.next_version(200),
        ];
        assert_eq!(versions, [100, 101, 102, 200]);
    }
}
