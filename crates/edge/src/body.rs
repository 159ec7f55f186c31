//! Reading the body of a request: never more than the route takes, never longer than its time, never more memory than its share, gzip
//! inflated up to the same bound.

use std::future::{pending, poll_fn};
use std::io::{self, Read as _};
use std::pin::pin;
use std::task::Poll;

use bytes::buf::Reader;
use bytes::{Buf as _, Bytes, BytesMut};
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
/// What is inflated at a time, after the first [`INLINE`] bytes.
const PIECE: usize = 512 * 1024;
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

    /// Inflates a body piece by piece, and takes the memory for each piece before it is there: what a body says of its own size cannot be
    /// believed.
    async fn inflate(&mut self, zipped: Bytes) -> Result<Bytes, Fault> {
        let here = zipped.len() <= INLINE_ZIPPED;
        let mut inflating = Inflating { decoder: MultiGzDecoder::new(zipped.reader()), inflated: Vec::new() };
        loop {
            let (held, first) = (inflating.inflated.len(), inflating.inflated.is_empty());
            let piece = if first { INLINE } else { PIECE }.min(self.cap + 1 - held);
            if held + piece > UNCOUNTED
                && let Purse::Known(owner) = self.purse
            {
                self.share.get_or_insert_with(|| self.edge.bodies.begin(owner)).grow(piece).await?;
            }
            inflating =
                if first && here { inflating.on(piece)? } else { off_thread(move || inflating.on(piece)).await?? };
            match inflating.inflated.len() {
                all if all > self.cap => return Err(Fault::TooLarge(self.cap)),
                all if all < held + piece => return Ok(inflating.inflated.into()),
                _ => {}
            }
        }
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

/// A body that is being inflated.
struct Inflating {
    decoder: MultiGzDecoder<Reader<Bytes>>,
    inflated: Vec<u8>,
}

impl Inflating {
    /// Goes on for `piece` bytes, or to the end.
    fn on(mut self, piece: usize) -> Result<Self, Fault> {
        self.inflated.reserve_exact(piece);
        let limit = u64::try_from(piece).unwrap_or(u64::MAX);
        self.decoder.by_ref().take(limit).read_to_end(&mut self.inflated).map_err(|_| Fault::NotGzip)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write as _;
    use std::pin::Pin;
    use std::task::Context;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;
    use http_body::Frame;
    use uuid::Uuid;

    use super::*;
    use crate::Limits;
    use crate::bodies::Bounds;

    const CAP: usize = 4 << 20;

    /// A body that is there at once.
    struct Ready(Option<Bytes>);

    impl http_body::Body for Ready {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn read_zipped(all: usize, zipped: Vec<u8>) -> Result<Whole, Fault> {
        let bodies = Bounds { all, key: all, address: all, pace: 1024, patience: Duration::from_millis(10) };
        let edge = Edge::new(Limits { bodies, ..Limits::default() }, Vec::new());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let purse = Purse::Known(Owner { key: Some(Uuid::from_u128(1)), address: None });
        read(&edge, purse, &headers, Ready(Some(zipped.into())), CAP).await
    }

    #[tokio::test]
    async fn what_a_body_says_of_its_own_size_is_not_believed() {
        // The end of the whole says nothing of the first member.
        let hidden = [zip(&vec![b' '; 2 << 20]), zip(b"")].concat();
        assert!(hidden.len() < INLINE_ZIPPED && hidden.ends_with(&[0; 4]), "{}", hidden.len());
        let whole = read_zipped(CAP, hidden.clone()).await.unwrap();
        assert_eq!(whole.bytes.len(), 2 << 20);
        assert!(matches!(read_zipped(1 << 20, hidden).await, Err(Fault::NoRoom)), "it is counted whole");
    }

    #[tokio::test]
    async fn a_bomb_stops_at_the_cap_and_pieces_fit_together() {
        let bomb = zip(&vec![b' '; 50_000_000]);
        assert!(matches!(read_zipped(64 << 20, bomb).await, Err(Fault::TooLarge(CAP))));
        for size in [0, 1, INLINE - 1, INLINE, INLINE + 1, INLINE + PIECE, CAP - 1, CAP] {
            let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            assert!(read_zipped(64 << 20, zip(&bytes)).await.unwrap().bytes == bytes, "{size}");
        }
        assert!(matches!(read_zipped(64 << 20, zip(&vec![b' '; CAP + 1])).await, Err(Fault::TooLarge(CAP))));
        assert!(matches!(read_zipped(64 << 20, b"no gzip".to_vec()).await, Err(Fault::NotGzip)));
    }
}
