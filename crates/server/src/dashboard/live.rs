//! Live updates: a stream of server-sent events that brings a part of a page again whenever it looks different. htmx puts each into its
//! place, and closes the stream while nobody looks (its tab is in the background).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::answer::Result;
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

/// Answers with `make`'s HTML now and whenever it changes, until the visitor goes, the session ends, or the server does.
pub fn follow<F, Fut>(visitor: Visitor, make: F) -> Response
where
    F: Fn(Visitor) -> Fut + Send + 'static,
    Fut: Future<Output = Result<String>> + Send,
{
    let (response, sender) = stream();
    let closing = visitor.dashboard.closing.clone();
    tokio::spawn(async move {
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
