//! What a receiver puts on the wire: a whole reply, or one that arrives slowly, or one that breaks off.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// A reply as the platform would give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// Headers beside those that HTTP itself adds (`content-length`, `date`).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body's exact bytes.
    pub body: Bytes,
}

impl Reply {
    /// A reply with no body.
    ///
    /// # Panics
    /// If `status` is not an HTTP status (100–999).
    pub fn empty(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status between 100 and 999");
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// A JSON reply.
    ///
    /// # Panics
    /// If `status` is not an HTTP status.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::text(status, "application/json; charset=UTF-8", body.to_string())
    }

    /// An HTML page, as front ends and Splunk itself answer where the request never reached the API.
    ///
    /// # Panics
    /// If `status` is not an HTTP status.
    pub fn html(status: u16, title: &str) -> Self {
        let page = format!(
            "<!doctype html><html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>\r\n"
        );
        Self::text(status, "text/html; charset=UTF-8", page)
    }

    /// A reply of any content type.
    ///
    /// # Panics
    /// If `status` is not an HTTP status.
    pub fn text(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(status);
        reply.headers.push((CONTENT_TYPE, HeaderValue::from_static(content_type)));
        reply.body = body.into();
        reply
    }

    /// The same reply with one more header, for example `Retry-After`.
    ///
    /// # Panics
    /// If `value` holds characters that a header cannot.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    pub(super) fn into_response(self, body: impl FnOnce(Bytes) -> AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::new(body(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The connection was broken on purpose; hyper only needs to know that there is nothing more to send.
#[derive(Debug, thiserror::Error)]
#[error("the fake receiver broke the connection as its script asked")]
pub(super) struct BrokenOff;

/// A response body that is sent whole, byte by byte, or not to its end.
pub(super) enum AnswerBody {
    Whole(Bytes),
    Drip { rest: Bytes, pause: Duration, sleep: Option<Pin<Box<Sleep>>> },
    Cut { sent: Bytes, declared: u64, flushed: bool },
}

impl AnswerBody {
    pub(super) fn drip(rest: Bytes, pause: Duration) -> Self {
        Self::Drip { rest, pause, sleep: None }
    }

    /// Sends the first `keep` bytes of a body that is declared as longer than that, then breaks off.
    pub(super) fn cut(mut body: Bytes, keep: usize) -> Self {
        let keep = keep.min(body.len());
        let declared = u64::try_from(body.len().max(keep + 1)).unwrap_or(u64::MAX);
        body.truncate(keep);
        Self::Cut { sent: body, declared, flushed: false }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut *self {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::Drip { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Self::Drip { rest, pause, sleep } => {
                let timer = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(*pause)));
                std::task::ready!(timer.as_mut().poll(cx));
                *sleep = None;
                Poll::Ready(Some(Ok(Frame::data(rest.split_to(1)))))
            }
            Self::Cut { sent, .. } if !sent.is_empty() => Poll::Ready(Some(Ok(Frame::data(std::mem::take(sent))))),
            // Being pending once makes hyper flush the head and what was sent, so that the break is seen after them.
            Self::Cut { flushed, .. } if !*flushed => {
                *flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Cut { .. } => Poll::Ready(Some(Err(BrokenOff))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(rest) | Self::Drip { rest, .. } => rest.is_empty(),
            Self::Cut { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(rest) | Self::Drip { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Self::Cut { declared, .. } => SizeHint::with_exact(*declared),
        }
    }
}
