//! Whose turn it is on a connection: ours until the whole request is written, then the receiver's.
//!
//! A receiver that speaks out of turn, or says something before its answer (1xx), may still be understood, but its connection is never used
//! for another request: what comes next on it might belong to the last one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of the turns of one connection. Clones speak of the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Bytes of a request were written that may not have left yet.
    writing: AtomicBool,
    /// The whole request has left. hyper flushes only what is written to its end, and a request of ours has its body in one piece.
    asked: AtomicBool,
    /// Bytes came while it was our turn.
    early: AtomicBool,
    /// Interim answers came.
    interim: AtomicBool,
}

impl Turns {
    /// A request is about to be written.
    pub(super) fn ours(&self) {
        self.0.asked.store(false, Ordering::Release);
    }

    /// An interim answer came.
    pub(super) fn interim(&self) {
        self.0.interim.store(true, Ordering::Release);
    }

    /// The receiver spoke before it had the whole of a request.
    pub(super) fn early(&self) -> bool {
        self.0.early.load(Ordering::Acquire)
    }

    /// Nothing came but an answer to each request, after it.
    pub(super) fn kept(&self) -> bool {
        !self.early() && !self.0.interim.load(Ordering::Acquire)
    }

    fn wrote(&self) {
        self.0.asked.store(false, Ordering::Release);
        self.0.writing.store(true, Ordering::Release);
    }

    fn flushed(&self) {
        if self.0.writing.swap(false, Ordering::AcqRel) {
            self.0.asked.store(true, Ordering::Release);
        }
    }

    fn read(&self) {
        if !self.0.asked.load(Ordering::Acquire) {
            self.0.early.store(true, Ordering::Release);
        }
    }
}

/// A byte stream, not encrypted any more, whose turns are noted.
pub(super) struct Attentive<S> {
    stream: S,
    turns: Turns,
}

impl<S> Attentive<S> {
    /// `stream`, and who speaks on it is noted in `turns`.
    pub(super) fn new(stream: S, turns: Turns) -> Self {
        Self { stream, turns }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Attentive<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.turns.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Attentive<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.turns.wrote();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.turns.wrote();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.turns.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
