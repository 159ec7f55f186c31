//! Live updates: a stream of server-sent events that brings a part of a page again whenever it looks different. htmx puts each into its
//! place, and closes the stream while nobody looks (its tab is in the background).

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use toktra_siem_core::ids::UserId;

use super::answer::Result;
use super::error::PageError;
use super::visitor::Visitor;

/// How often a part is made anew while somebody looks.
const EVERY: Duration = Duration::from_secs(2);
/// Something is sent at least this often, so that proxies and we notice when the other end is gone.
const ALIVE: Duration = Duration::from_secs(15);

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

/// Live views of one person at a time: a browser has six, and closes those of tabs in the background.
const PER_PERSON: u32 = 24;

/// Who watches how many live views. Each asks the API every two seconds, beside the request limit.
#[derive(Default)]
pub struct Watching(Mutex<HashMap<UserId, u32>>);

/// One view of one person; it ends with the value.
struct Seat {
    watching: Arc<Watching>,
    person: UserId,
}

impl Watching {
    fn sit(self: &Arc<Self>, person: UserId) -> Option<Seat> {
        let mut views = self.0.lock();
        let views = views.entry(person).or_default();
        if *views >= PER_PERSON {
            return None;
        }
        *views += 1;
        Some(Seat { watching: Arc::clone(self), person })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut views = self.watching.0.lock();
        if let Some(left) = views.get_mut(&self.person) {
            *left -= 1;
            if *left == 0 {
                views.remove(&self.person);
            }
        }
    }
}

/// Answers with `make`'s HTML now and whenever it changes, until the visitor goes, the session ends, or the server does. Somebody who
/// watches too much already is told so; htmx asks again later.
pub fn follow<F, Fut>(visitor: Visitor, make: F) -> Response
where
    F: Fn(Visitor) -> Fut + Send + 'static,
    Fut: Future<Output = Result<String>> + Send,
{
    let Some(seat) = visitor.dashboard.watching.sit(visitor.session().user.id) else {
        let why = "You have many live views open at the same time. Close some of them; the others go on.";
        return PageError::Unreadable(StatusCode::TOO_MANY_REQUESTS, why).into_response();
    };
    let (response, sender) = stream();
    let closing = visitor.dashboard.closing.clone();
    tokio::spawn(async move {
        let _seat = seat;
        tokio::select! {
            () = closing.cancelled() => {}
            () = send_changes(visitor, make, sender) => {}
        }
    });
    response
}

/// HTML without the words of its relative times: that they grow old is no change. The script lets them.
fn ageless(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find("<time class=\"ago\"") {
        let words = rest[start..].find('>').map_or(rest.len(), |end| start + end + 1);
        out.push_str(&rest[..words]);
        rest = rest[words..].find("</time>").map_or("", |end| &rest[words + end..]);
    }
    out.push_str(rest);
    out
}

async fn send_changes<F, Fut>(visitor: Visitor, make: F, sender: mpsc::Sender<Bytes>)
where
    F: Fn(Visitor) -> Fut,
    Fut: Future<Output = Result<String>>,
{
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut sent_at) = (String::new(), Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sender.closed() => return,
        }
        // An error ends the stream; the browser asks again, and is told what it is.
        let Ok(html) = make(visitor.at_present()).await else { return };
        let looks = ageless(&html);
        let message = if looks == last {
            if sent_at.elapsed() < ALIVE {
                continue;
            }
            Bytes::from_static(b": still here\n\n")
        } else {
            event(&html)
        };
        last = looks;
        sent_at = Instant::now();
        if sender.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_watches_without_end_and_a_view_that_ends_makes_room() {
        let watching = Arc::new(Watching::default());
        let (ada, vic) = (UserId(uuid::Uuid::from_u128(1)), UserId(uuid::Uuid::from_u128(2)));
        let mut seats: Vec<_> = (0..PER_PERSON).filter_map(|_| watching.sit(ada)).collect();
        assert_eq!(seats.len(), PER_PERSON as usize);
        assert!(watching.sit(ada).is_none() && watching.sit(vic).is_some(), "each for themselves");
        seats.pop();
        assert!(watching.sit(ada).is_some());
        seats.clear();
        assert!(watching.0.lock().is_empty(), "nothing is left of who went");
    }

    #[test]
    fn that_time_passes_is_no_change() {
        let at = |words| format!("<p><time class=\"ago\" title=\"x\">{words}</time> and <b>4</b></p>");
        assert_eq!(ageless(&at("4 s ago")), ageless(&at("6 s ago")));
        assert_ne!(ageless(&at("4 s ago")), ageless(&at("4 s ago").replace('4', "5")));
        let exact = "<time class=\"exact\">10:30</time>";
        assert_eq!(ageless(exact), exact);
        assert_eq!(ageless("<time class=\"ago\""), "<time class=\"ago\"", "whatever it is given");
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
}
