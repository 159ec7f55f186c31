//! How many bytes a receiver may send before it has something to show for them.
//!
//! A connection has an allowance: so much for the TLS handshake, so much for the head of an answer with every interim answer (1xx) before
//! it, and so much ahead of the body, which each piece that arrives fills up again. Everything else that comes over the wire uses it up: interim answers without
//! end, headers, padding in chunk sizes, chunk extensions, empty TLS records, session tickets. hyper and rustls bound some of these, each
//! in its own way; here all of them are bounded at once, below both. A connection whose allowance is used up fails.
//!
//! Each read is one of the socket's, which yields to the scheduler when the task has used up its turn (tokio's cooperative budget).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TLS handshake, long chains of certificates included.
const HANDSHAKE: usize = 128 * 1024;
/// The head of an answer, together with all interim answers before it.
pub(super) const HEAD: usize = 64 * 1024;
/// What may lie between the head and the first piece of the body, and between two pieces. hyper has read up to three times [`HEAD`] ahead
/// of whoever takes the pieces: one in its buffer, one that waits to be taken, one that was just taken.
const AHEAD: usize = 4 * HEAD;
/// What a byte of the body earns, which pays for what it takes on the wire in chunks and TLS records of a few bytes each.
const FRAMING: usize = 16;
/// What handling a piece of the body costs, in the same currency, so that a body cannot come in pieces of a few bytes without end.
const HANDLING: usize = 128;

/// The allowance was used up.
#[derive(Debug, thiserror::Error)]
#[error("the connection brought far more bytes than an answer takes")]
pub(super) struct Excess;

/// The allowance of a connection. Clones are the same allowance.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// The allowance of a connection that was just made.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(HANDSHAKE)))
    }

    /// A head is awaited, or nothing at all.
    pub(super) fn head(&self) {
        self.0.store(HEAD, Ordering::Relaxed);
    }

    /// The head is there: a body may follow.
    pub(super) fn body(&self) {
        self.0.store(AHEAD, Ordering::Relaxed);
    }

    /// A piece of the body arrived.
    pub(super) fn piece(&self, len: usize) {
        let earned = len.saturating_mul(FRAMING).saturating_sub(HANDLING);
        self.change(|left| left.saturating_add(earned).min(AHEAD));
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn spend(&self, read: usize) {
        // It may have been renewed since it was looked at, to less than what was read.
        self.change(|left| left.saturating_sub(read));
    }

    fn change(&self, to: impl Fn(usize) -> usize) {
        // It fails only where the function gives nothing.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(to(left))).ok();
    }
}

/// A byte stream that ends in [`Excess`] once its meter is used up.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S> Metered<S> {
    /// `stream`, read within the allowance of `meter`.
    pub(super) fn new(stream: S, meter: Meter) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.meter.left();
        if left == 0 {
            return Poll::Ready(Err(io::Error::other(Excess)));
        }
        let read = if left < buf.remaining() {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(left));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
            read
        } else {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            buf.filled().len() - before
        };
        self.meter.spend(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
