//! The stream below a connection. It lets only what the [`crate::gate`] passes reach hyper, keeps the time that a client has for a head,
//! between requests and for taking an answer, and closes without cutting off an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::connections::{Connection, Doing};
use crate::gate::Gate;
use crate::limits::{LEAVING, Limits, SILENCE, SILENCE_AFTER, TAKEN};
use crate::refusal::Refusal;

/// What hyper reads in place of a head that is refused: it keeps the order of answers, and ends the connection with this one.
const IN_PLACE: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";

/// See the module.
pub(crate) struct Stream {
    socket: TcpStream,
    connection: Arc<Connection>,
    gate: Gate,
    /// Heads that hyper has been given.
    heads: u64,
    /// What has come and is not given to hyper so far.
    held: Vec<u8>,
    /// How much of that hyper may have; the rest is a part of a head.
    passed: usize,
    keep_alive: Duration,
    head: Duration,
    stall: Duration,
    /// Runs out at the earliest when the client has to have sent something.
    timer: Pin<Box<Sleep>>,
    /// Whether the timer runs, and will have whoever reads look again.
    timed: bool,
    /// Runs while the client takes an answer more slowly than it comes.
    slow: Option<Slow>,
    leaving: Option<Leaving>,
}

/// A write had to wait. Until everything is written, the client has to take [`TAKEN`] in each stretch of [`Limits::stall`].
struct Slow {
    until: Pin<Box<Sleep>>,
    taken: usize,
}

impl Slow {
    fn new(stall: Duration) -> Self {
        Self { until: Box::pin(sleep(stall)), taken: 0 }
    }

    fn takes(&mut self, bytes: usize, stall: Duration) {
        self.taken += bytes;
        if self.taken >= TAKEN {
            self.taken = 0;
            self.until.as_mut().reset(Instant::now() + stall);
        }
    }
}

/// Our side is closed; what the peer still sends is read and thrown away. Closing the socket over unread data would make the kernel
/// reset the connection, and the peer, in the middle of a body that was refused, would never see the answer.
struct Leaving {
    /// The peer was in the middle of a request.
    within: bool,
    quiet: Pin<Box<Sleep>>,
    until: Instant,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, connection: Arc<Connection>, limits: &Limits) -> Self {
        let Limits { keep_alive, head, stall, .. } = *limits;
        let timer = Box::pin(sleep(head));
        let gate = Gate::new();
        Self {
            socket,
            connection,
            gate,
            heads: 0,
            held: Vec::new(),
            passed: 0,
            keep_alive,
            head,
            stall,
            timer,
            timed: false,
            slow: None,
            leaving: None,
        }
    }

    /// Gives hyper what may pass and is held.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let here = self.passed.min(buf.remaining());
        buf.put_slice(&self.held[..here]);
        self.held.drain(..here);
        self.passed -= here;
    }

    /// Puts an answer that refuses in place of whatever comes next.
    fn refuse(&mut self, refusal: Refusal) {
        self.gate.refuse();
        self.heads += 1;
        self.connection.refuse(self.heads, refusal);
        self.held.truncate(self.passed);
        self.held.extend_from_slice(IN_PLACE);
        self.passed = self.held.len();
    }

    /// Reads into hyper's buffer; what the gate does not pass is taken out of it again. `false` if nothing of it may pass.
    fn read_in_place(&mut self, buf: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let came = &buf.filled()[before..];
        if came.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let passed = self.gate.pass(came);
        self.heads += passed.heads;
        if passed.bytes < came.len() {
            self.held.extend_from_slice(&came[passed.bytes..]);
            buf.set_filled(before + passed.bytes);
        }
        if let Some(refusal) = passed.refused {
            self.refuse(refusal);
        }
        Poll::Ready(Ok(passed.bytes > 0))
    }

    /// Reads what follows a part of a head. `false` at the end of the stream.
    fn read_beside(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut scratch = [0; 4096];
        let mut came = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut came))?;
        if came.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.held.extend_from_slice(came.filled());
        let passed = self.gate.pass(&self.held);
        self.heads += passed.heads;
        self.passed = passed.bytes;
        if let Some(refusal) = passed.refused {
            self.refuse(refusal);
        }
        Poll::Ready(Ok(true))
    }

    /// The client has sent nothing. `Ready` when it had to: the connection ends, with an answer where a part of a head has come.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (doing, since) = self.connection.doing();
            let patience = match doing {
                Doing::Waiting if !self.held.is_empty() => {
                    self.connection.does(Doing::Asking);
                    continue;
                }
                Doing::Waiting if !self.connection.is_new() => self.keep_alive,
                Doing::Waiting | Doing::Asking => self.head,
                // Whoever reads the body keeps its time.
                Doing::Answering | Doing::Leaving => {
                    self.timed = false;
                    return Poll::Pending;
                }
            };
            let until = since + patience;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            // Too early is fine: it looks again then. So a request moves no timer.
            if self.timer.is_elapsed() || self.timer.deadline() > until {
                self.timer.as_mut().reset(until);
            }
            self.timed = true;
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    /// Ends the connection if its client takes too little of an answer.
    fn judge(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stall = self.stall;
        let Poll::Ready(written) = written else {
            ready!(self.slow.get_or_insert_with(|| Slow::new(stall)).until.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        if let (Some(slow), Ok(bytes)) = (&mut self.slow, &written) {
            slow.takes(*bytes, stall);
        }
        Poll::Ready(written)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.passed > 0 {
                this.hand_on(buf);
                return Poll::Ready(Ok(()));
            }
            if this.gate.is_broken() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if this.gate.is_refused() {
                // hyper has everything that it will get, and closes the connection after its answer.
                return Poll::Pending;
            }
            if this.held.is_empty() {
                match this.read_in_place(buf, cx)? {
                    Poll::Ready(true) => return Poll::Ready(Ok(())),
                    Poll::Ready(false) => continue,
                    Poll::Pending => {}
                }
            } else {
                match this.read_beside(cx)? {
                    Poll::Ready(true) => continue,
                    Poll::Ready(false) => return Poll::Ready(Ok(())),
                    Poll::Pending => {}
                }
            }
            ready!(this.wait(cx));
            if this.held.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.refuse(Refusal::HeadTooSlow);
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.judge(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.judge(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes when it has written all that it held.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.slow = None;
        // hyper does not read again by itself if there was nothing to read before, so that nobody would keep the time.
        if self.connection.flushed() && !(self.timed && self.timer.deadline() <= Instant::now() + self.keep_alive) {
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, connection, gate, held, leaving, .. } = &mut *self;
        if leaving.is_none() {
            ready!(Pin::new(&mut *socket).poll_shutdown(cx))?;
            connection.does(Doing::Leaving);
        }
        let Leaving { within, quiet, until } = leaving.get_or_insert_with(|| {
            let within = gate.is_within() || !held.is_empty();
            let quiet = Box::pin(sleep(if within { SILENCE } else { SILENCE_AFTER }));
            Leaving { within, quiet, until: Instant::now() + LEAVING }
        });
        let mut scratch = [0; 8192];
        loop {
            if connection.gives_way() || (*within && !gate.is_within()) {
                return Poll::Ready(Ok(()));
            }
            let mut unread = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *socket).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() && Instant::now() < *until => {
                    gate.pass(unread.filled());
                    if *within {
                        quiet.as_mut().reset(Instant::now() + SILENCE);
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(quiet.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const STALL: Duration = Duration::from_secs(30);
    const ALMOST: Duration = Duration::from_secs(29);

    /// Whether a client that takes `bytes` every 29 s is cut.
    async fn is_cut(bytes: usize) -> bool {
        let mut slow = Slow::new(STALL);
        for _ in 0..10 {
            tokio::time::advance(ALMOST).await;
            if poll_fn(|cx| Poll::Ready(slow.until.as_mut().poll(cx).is_ready())).await {
                return true;
            }
            slow.takes(bytes, STALL);
        }
        false
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_to_take_more_than_a_little_to_be_waited_for() {
        assert!(is_cut(0).await && is_cut(1).await && is_cut(TAKEN / 2).await);
        assert!(!is_cut(TAKEN).await && !is_cut(2 * TAKEN).await);
    }
}
