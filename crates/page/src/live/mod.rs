//! Live updates: parts of a page that are sent again where they look different.
//!
//! **Made once.** One task for each org that somebody looks at ([`watch`]) asks what there is and makes each view ([`view`]) once for each role,
//! off the threads that serve requests. Views hold nothing of who looks: times are data that the script writes, and the tokens of forms
//! are filled in by it. Only what changed is sent ([`looks`]), in bytes that all viewers share, compressed or not ([`message`]).
//!
//! **What fails is said**: a view that cannot be made is named to those who look at it, so that their page is not taken for how things stand.
//! Nobody else notices.
//!
//! **A viewer** has no queue: when there is room in its stream it takes the latest state, so that a slow one skips what was in between. Its
//! session is looked at every two seconds, and the stream ends with it.
//!
//! **One stream for a browser**: the script (`assets/js/live.js`) asks for the views of all its tabs together, at [`several`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::{HeaderMap, StatusCode};
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use toktra_siem_core::ids::UserId;

use self::message::{ALIVE, Encoding, Message};
use self::view::View;
use self::watch::{Shown, Sight};
use super::answer::Result;
use super::error::PageError;
use super::model::SessionInfo;
use super::visitor::Visitor;

mod looks;
mod message;
pub mod view;
pub mod watch;

/// Something is sent at least this often while all is well, so that proxies, scripts and we notice when the other end is gone.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How often the session of a viewer is looked at.
const SESSION_EVERY: Duration = Duration::from_secs(2);
/// How long the first look at a view may take.
const FIRST: Duration = Duration::from_secs(20);
/// Views in a stream.
const PER_STREAM: usize = 32;

/// What is sent, as it comes.
pub struct Sent(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// An answer of server-sent events, and where to put them.
pub fn stream() -> (Response, mpsc::Sender<Bytes>) {
    let (sender, receiver) = mpsc::channel(1);
    let mut response = Response::new(Body::new(Sent(receiver)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    (response, sender)
}

/// HTML as an event. A line break in it would end the line of the format.
pub fn event(html: &str) -> Bytes {
    let mut text = String::with_capacity(html.len() + 64);
    for line in html.lines() {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.into()
}

/// Streams of one person at a time: a browser has one, or one for each tab in front.
const PER_PERSON: usize = 24;
/// Views in all streams of one person: a part of those that an org may look at.
const VIEWS_PER_PERSON: usize = 128;

/// Who has how many streams, and how many views in them.
#[derive(Default)]
pub struct Watching(Mutex<HashMap<UserId, (usize, usize)>>);

/// One stream of one person; it ends with the value.
struct Seat {
    watching: Arc<Watching>,
    person: UserId,
    views: usize,
}

impl Watching {
    fn sit(self: &Arc<Self>, person: UserId, views: usize) -> Option<Seat> {
        let mut all = self.0.lock();
        let (streams, looked_at) = all.get(&person).copied().unwrap_or_default();
        if streams >= PER_PERSON || looked_at + views > VIEWS_PER_PERSON {
            return None;
        }
        all.insert(person, (streams + 1, looked_at + views));
        Some(Seat { watching: Arc::clone(self), person, views })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.watching.0.lock();
        if let Some((streams, looked_at)) = all.get_mut(&self.person) {
            (*streams, *looked_at) = (*streams - 1, *looked_at - self.views);
            if *streams == 0 {
                all.remove(&self.person);
            }
        }
    }
}

const TOO_MANY: PageError = PageError::Unreadable(
    StatusCode::TOO_MANY_REQUESTS,
    "You have many live views open at the same time. Close some of them; the others go on.",
);

/// `GET /live?view=<address>@<version>&view=…`: the views of all tabs of a browser, each from the version on that it shows. With `once=yes`
/// the answer ends as soon as each is up to date: for browsers behind a proxy that lets no stream through.
pub(super) async fn several(visitor: Visitor, headers: HeaderMap) -> Result {
    let query = visitor.query();
    let read = |named: &str| {
        let (address, version) = named.rsplit_once('@').unwrap_or((named, "0"));
        Some((View::read(address)?, version.parse().unwrap_or(0)))
    };
    let views: Vec<(View, u64)> = query.all("view").filter_map(read).collect();
    if views.len() > PER_STREAM {
        return Err(TOO_MANY);
    }
    let once = query.text("once") == "yes";
    let (seat, sight) = look(&visitor, &views)?;
    Ok(follow(visitor, &headers, seat, sight, views, once))
}

/// `GET` of the address of a view: it alone.
pub(super) async fn one(visitor: Visitor, headers: HeaderMap) -> Result {
    let view = View::read(&visitor.address).ok_or(PageError::Missing)?;
    let views = vec![(view, 0)];
    let (seat, mut sight) = look(&visitor, &views)?;
    // What is not there is said at once, and not by a stream that says nothing.
    for view in &mut sight.views {
        if let Ok(Ok(shown)) = timeout(FIRST, view.wait_for(|shown| shown.state.version > 0 || shown.failing)).await
            && shown.state.gone
        {
            return Err(PageError::Missing);
        }
    }
    Ok(follow(visitor, &headers, seat, sight, views, false))
}

/// Takes a seat first: whoever has none has nothing made.
fn look(visitor: &Visitor, views: &[(View, u64)]) -> Result<(Seat, Sight)> {
    let SessionInfo { user, org, .. } = visitor.session();
    let seat = visitor.dashboard.watching.sit(user.id, views.len()).ok_or(TOO_MANY)?;
    let names: Vec<View> = views.iter().map(|(view, _)| *view).collect();
    let sight = visitor.dashboard.watchers.look(&visitor.dashboard, org.id, user.role, &names).ok_or(TOO_MANY)?;
    Ok((seat, sight))
}

fn follow(
    visitor: Visitor,
    headers: &HeaderMap,
    seat: Seat,
    sight: Sight,
    seen: Vec<(View, u64)>,
    once: bool,
) -> Response {
    let dashboard = visitor.dashboard.clone();
    let (mut response, sender) = stream();
    let gzip = takes_gzip(headers);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let mut encoding = Encoding::new(gzip);
    tokio::spawn(async move {
        let _seat = seat;
        tokio::select! {
            () = dashboard.closing.cancelled() => {}
            () = end_of_session(&visitor) => {}
            _ = tell(sight, seen, once, &sender, &mut encoding) => {}
        }
        if let (Ok(room), Some(end)) = (sender.try_reserve(), encoding.end()) {
            room.send(end);
        }
    });
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Returns once the session has ended, or its person has another role or org.
async fn end_of_session(visitor: &Visitor) {
    let before = visitor.session();
    loop {
        sleep(SESSION_EVERY).await;
        let (keys, now) = (&visitor.app().keys, visitor.dashboard.clock.now());
        match keys.authenticate(visitor.held().unwrap_or_default(), now, false).await {
            Ok(principal)
                if principal.session.as_ref().is_some_and(|session| {
                    session.user.role == before.user.role && session.user.org == before.org.id
                }) => {}
            // The store cannot say at the moment: the watcher hears nothing either.
            Err(refusal) if refusal.status.is_server_error() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Sends the latest state of what the viewer looks at whenever there is room for it, and which of it could not be made. Ends when the viewer
/// or the watcher does.
async fn tell(
    sight: Sight,
    mut seen: Vec<(View, u64)>,
    once: bool,
    sender: &mpsc::Sender<Bytes>,
    encoding: &mut Encoding,
) -> Option<()> {
    let Sight { views, mut rounds } = sight;
    if let Some(begin) = encoding.begin() {
        sender.send(begin).await.ok()?;
    }
    let mut sent_at = None;
    let mut failed = Vec::new();
    loop {
        let room = sender.reserve().await.ok()?;
        let latest: Vec<Shown> = views.iter().map(|view| view.borrow().clone()).collect();
        let news = latest.iter().zip(&mut seen).find(|(shown, (_, seen))| shown.state.news(*seen).is_some());
        if let Some((Shown { state, .. }, (_, seen))) = news {
            let message = state.news(*seen)?;
            *seen = state.version;
            room.send(encoding.put(message));
            sent_at = Some(Instant::now());
            continue;
        }
        let failing: Vec<View> =
            latest.iter().zip(&seen).filter(|(shown, _)| shown.failing).map(|(_, (view, _))| *view).collect();
        let is_over = once && latest.iter().all(|shown| shown.state.version > 0 || shown.failing);
        let is_due = sent_at.is_none_or(|at: Instant| at.elapsed() >= ALIVE_EVERY);
        if is_due || is_over || failing != failed {
            room.send(match failing.as_slice() {
                [] => encoding.put(&ALIVE),
                failing => encoding.put(&Message::failing(failing.iter().copied())),
            });
            sent_at = Some(Instant::now());
            failed = failing;
        } else {
            drop(room);
        }
        if is_over {
            return None;
        }
        tokio::select! {
            round = rounds.changed() => round.ok()?,
            () = sender.closed() => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::ids::JobId;

    use super::watch::State;
    use super::*;

    #[test]
    fn nobody_watches_without_end_and_a_stream_that_ends_makes_room() {
        let watching = Arc::new(Watching::default());
        let (ada, vic) = (UserId(uuid::Uuid::from_u128(1)), UserId(uuid::Uuid::from_u128(2)));
        let mut seats: Vec<_> = (0..PER_PERSON).filter_map(|_| watching.sit(ada, 1)).collect();
        assert_eq!(seats.len(), PER_PERSON);
        assert!(watching.sit(ada, 1).is_none() && watching.sit(vic, 1).is_some(), "each for themselves");
        seats.pop();
        assert!(watching.sit(ada, VIEWS_PER_PERSON - PER_PERSON + 2).is_none(), "views count as well as streams");
        assert!(watching.sit(ada, VIEWS_PER_PERSON - PER_PERSON + 1).is_some());
        seats.clear();
        assert!(watching.0.lock().is_empty(), "nothing is left of who went");
    }

    #[test]
    fn an_event_holds_html_of_many_lines() {
        assert_eq!(event("<p>a\n\nb</p>"), "data: <p>a\ndata: \ndata: b</p>\n\n");
        assert_eq!(
            event("a\r\ndata: b"),
            "data: a\ndata: data: b\n\n",
            "what is shown cannot begin an event of its own"
        );
    }

    #[tokio::test]
    async fn a_slow_viewer_skips_what_was_in_between_and_nothing_is_queued_for_it() {
        let (view, look) = tokio::sync::watch::channel(Shown::default());
        let (rounds, round) = tokio::sync::watch::channel(0);
        let (sender, mut receiver) = mpsc::channel(1);
        let sight = Sight { views: vec![look], rounds: round };
        let telling = tokio::spawn(async move {
            tell(sight, vec![(View::Connectors, 0)], false, &sender, &mut Encoding::new(false)).await;
        });
        let state = |version: u64| {
            let message = |since, html| Some(Message::of(View::Connectors, since, version, Some(html)));
            let (change, whole) = (message(version - 1, "change"), message(0, "whole"));
            let state = Arc::new(State { version, since: version - 1, change, whole, gone: false });
            Shown { state, failing: false }
        };
        let publish = async |version: u64| {
            view.send_replace(state(version));
            rounds.send_modify(|round| *round += 1);
            tokio::task::yield_now().await;
        };
        tokio::task::yield_now().await;
        for version in 1..=50 {
            publish(version).await;
        }
        let mut next = async || String::from_utf8(receiver.recv().await.unwrap().to_vec()).unwrap();
        assert_eq!(next().await, ": still here\ndata: {}\n\n");
        let latest = next().await;
        assert!(latest.contains("\"version\":50,") && latest.contains("whole"), "{latest}");
        publish(51).await;
        let change = next().await;
        assert!(change.contains("\"since\":50,\"version\":51,") && change.contains("change"), "{change}");
        drop(rounds);
        telling.await.unwrap();
    }

    #[tokio::test]
    async fn who_looks_at_what_cannot_be_made_is_told_and_goes_on_with_the_rest() {
        let view = |failing| tokio::sync::watch::channel(Shown { failing, ..Shown::default() });
        let ((broken, first), (whole, second)) = (view(true), view(false));
        let (rounds, round) = tokio::sync::watch::channel(0);
        let seen = vec![(View::Connectors, 0), (View::Job(JobId(uuid::Uuid::nil())), 0)];
        for once in [false, true] {
            let (sender, mut receiver) = mpsc::channel(1);
            let sight = Sight { views: vec![first.clone(), second.clone()], rounds: round.clone() };
            let seen = seen.clone();
            let telling = tokio::spawn(async move {
                tell(sight, seen, once, &sender, &mut Encoding::new(false)).await;
            });
            let mut next = async || String::from_utf8(receiver.recv().await.unwrap().to_vec()).unwrap();
            let failing = ": still here\ndata: {\"failing\":[\"/integrations/siem/live\"]}\n\n";
            assert_eq!(next().await, failing);
            let news = Message::of(View::Job(JobId(uuid::Uuid::nil())), 0, 1, Some("news"));
            whole.send_replace(Shown {
                state: Arc::new(State { version: 1, whole: Some(news), ..State::default() }),
                failing: false,
            });
            rounds.send_modify(|round| *round += 1);
            let told = next().await;
            assert!(told.contains("news"), "{told}");
            if once {
                assert_eq!(next().await, failing, "an answer ends with how things stand");
                telling.await.unwrap();
            } else {
                broken.send_modify(|shown| shown.failing = false);
                rounds.send_modify(|round| *round += 1);
                assert_eq!(next().await, ": still here\ndata: {}\n\n");
                broken.send_modify(|shown| shown.failing = true);
                whole.send_replace(Shown::default());
            }
        }
    }

    #[test]
    fn only_who_takes_gzip_gets_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("deflate,gzip"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("gzip; q=0.0, br") && !takes_gzip(&HeaderMap::new()));
    }
}
