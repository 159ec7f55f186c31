//! Reading the body of a request: never more than the route takes, never longer than its time, never more memory than its share, gzip
//! inflated up to the same bound.

use std::future::{pending, poll_fn};
use std::io::{self, Read as _};
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::bodies::{NoRoom, Owner, Share};
use crate::limits::{OPEN_FORM, UNCOUNTED};
use crate::{BoxError, Edge};

/// Work on bodies up to this size is done where it stands; more of it moves off the threads that serve everybody.
pub const INLINE: usize = 64 * 1024;
/// As [`INLINE`], for what is still compressed.
const INLINE_ZIPPED: usize = 4 * 1024;

/// Whose memory a body takes.
#[derive(Debug, Clone, Copy)]
pub enum Purse {
    /// That of whoever has shown a key or a session.
    Known(Owner),
    /// That of everybody else. The body is to be small.
    Open(Owner),
}

/// A whole body. Its share of the memory is taken until it is dropped.
#[derive(Debug)]
pub struct Whole {
    /// What was sent, inflated.
    pub bytes: Bytes,
    _share: Option<Share>,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is larger than this, inflated.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// It has an encoding other than gzip, or several.
    #[error("the encoding of the body is not supported")]
    Encoding,
    /// It is no gzip although it says so.
    #[error("the body is no gzip")]
    NotGzip,
    /// The connection ended before it did.
    #[error("the body broke off")]
    BrokeOff(#[source] BoxError),
    /// Its chunks are not as HTTP has them.
    #[error("the chunks of the body are malformed")]
    Chunks(#[source] BoxError),
    /// It did not arrive in time.
    #[error("the body took too long")]
    TooSlow,
    /// There was no memory for it, or it gave way to others because it was slow.
    #[error("there is no room for the body")]
    NoRoom,
    /// The service ends.
    #[error("the service ends")]
    Ending,
    /// A defect.
    #[error("the work on the body failed")]
    Failed(#[source] tokio::task::JoinError),
}

impl From<NoRoom> for Fault {
    fn from(_: NoRoom) -> Self {
        Self::NoRoom
    }
}

/// Reads a body of at most `cap` bytes, inflated.
pub async fn read<B>(edge: &Edge, purse: Purse, headers: &HeaderMap, body: B, cap: usize) -> Result<Whole, Fault>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let zipped = is_zipped(headers)?;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > cap) {
        return Err(Fault::TooLarge(cap));
    }
    let mut reading = Reading { edge, purse, share: None, cap, most: announced.unwrap_or(cap) };
    let ended = async {
        edge.ending.cancelled().await;
        Err(Fault::Ending)
    };
    let read = async {
        tokio::select! {
            biased;
            read = reading.collect(body) => read,
            ended = ended => ended,
        }
    };
    let bytes = timeout(edge.limits.body, read).await.unwrap_or(Err(Fault::TooSlow))?;
    if !zipped {
        return Ok(reading.whole(bytes));
    }
    let inflated = reading.inflate(bytes).await?;
    Ok(reading.whole(inflated))
}

/// A body that is being read.
struct Reading<'a> {
    edge: &'a Edge,
    purse: Purse,
    share: Option<Share>,
    cap: usize,
    /// Bytes that it may have at most.
    most: usize,
}

impl Reading<'_> {
    async fn collect<B>(&mut self, mut body: B) -> Result<Bytes, Fault>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        loop {
            let held = first.len() + all.len();
            let Some(frame) = self.next(&mut body, held).await? else { break };
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            let held = held + data.len();
            if held > self.cap {
                return Err(Fault::TooLarge(self.cap));
            }
            if held > UNCOUNTED
                && let Purse::Known(owner) = self.purse
            {
                self.share.get_or_insert_with(|| self.edge.bodies.begin(owner)).grow(data.len()).await?;
            }
            if held == data.len() {
                first = data;
                continue;
            }
            if all.capacity() < held {
                // Twice as much each time, as far as there can be so much.
                all.reserve(held.saturating_mul(2).min(self.most.max(held)) - all.len());
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
        Ok(if first.is_empty() { all.freeze() } else { first })
    }

    /// The next piece. One that is not there yet is waited for as long as the body need not make room for others. Somebody unknown has to
    /// have a place to wait in, once they have sent something.
    async fn next<B>(
        &mut self,
        body: &mut B,
        held: usize,
    ) -> Result<Option<Result<http_body::Frame<Bytes>, B::Error>>, Fault>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let mut frame = pin!(body.frame());
        if let Poll::Ready(frame) = poll_fn(|cx| Poll::Ready(frame.as_mut().poll(cx))).await {
            return Ok(frame);
        }
        if let (Purse::Open(owner), None, 1..) = (self.purse, &self.share, held) {
            let share = self.edge.open.begin(owner);
            tokio::select! {
                biased;
                frame = frame.as_mut() => return Ok(frame),
                seated = share.grow(OPEN_FORM) => seated?,
            }
            self.share = Some(share);
        }
        let gives_way = async {
            match &self.share {
                Some(share) => share.gives_way().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            frame = frame => Ok(frame),
            () = gives_way => Err(Fault::NoRoom),
        }
    }

    /// Inflates a body. Its size stands at its end, as far as it can be believed.
    async fn inflate(&mut self, zipped: Bytes) -> Result<Bytes, Fault> {
        let cap = self.cap;
        let claimed = match zipped.last_chunk::<4>() {
            Some(size) => usize::try_from(u32::from_le_bytes(*size)).unwrap_or(cap).min(cap),
            None => 0,
        };
        self.hold(claimed).await?;
        let inflated = if zipped.len() <= INLINE_ZIPPED {
            inflate(&zipped, cap)?
        } else {
            off_thread(move || inflate(&zipped, cap)).await??
        };
        self.hold(inflated.len().saturating_sub(claimed)).await?;
        Ok(inflated)
    }

    /// Takes memory for what a whole body becomes.
    async fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > UNCOUNTED
            && let Purse::Known(owner) = self.purse
        {
            self.share.get_or_insert_with(|| self.edge.bodies.begin(owner)).grow(bytes).await?;
        }
        Ok(())
    }

    fn whole(self, bytes: Bytes) -> Whole {
        if let Some(share) = &self.share {
            share.is_whole();
        }
        Whole { bytes, _share: self.share }
    }
}

/// Does `work` on a thread where it may take its time.
pub async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(Fault::Failed)
}

/// Whether the end of the connection, or what came over it, is to blame.
fn broken(error: impl Into<BoxError>) -> Fault {
    let error = error.into();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(cause) = source {
        if let Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) =
            cause.downcast_ref::<io::Error>().map(io::Error::kind)
        {
            return Fault::Chunks(error);
        }
        source = cause.source();
    }
    Fault::BrokeOff(error)
}

fn is_zipped(headers: &HeaderMap) -> Result<bool, Fault> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(false),
        (Some(value), None) => value.to_str().unwrap_or_default().trim(),
        (Some(_), Some(_)) => "",
    };
    match value {
        value if value.eq_ignore_ascii_case("identity") => Ok(false),
        value if value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip") => Ok(true),
        _ => Err(Fault::Encoding),
    }
}

fn inflate(zipped: &[u8], cap: usize) -> Result<Bytes, Fault> {
    let mut inflated = Vec::new();
    let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(zipped).take(limit).read_to_end(&mut inflated);
    read.map_err(|_| Fault::NotGzip)?;
    if inflated.len() > cap { Err(Fault::TooLarge(cap)) } else { Ok(inflated.into()) }
}
