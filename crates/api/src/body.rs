//! Reading a request's body: never more than the route takes, never slower than its deadline, gzip inflated only up to the same cap
//! (threats.md, "zip bombs", "slow peers", "large or deep JSON").

use std::io::Read as _;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::error::{ApiError, Result};
use super::state::AppState;

/// Work on bodies up to this size is done where it stands; more of it moves off the threads that serve everybody.
pub(super) const INLINE: usize = 64 * 1024;
/// As [`INLINE`], for what is still compressed.
const INLINE_ZIPPED: usize = 4 * 1024;

/// A whole body. While a large one is held, its share of the memory for bodies is taken.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// Reads a body of at most `cap` bytes, inflated.
pub(super) async fn read(state: &AppState, headers: &HeaderMap, body: Body, cap: usize) -> Result<Whole> {
    let zipped = is_zipped(headers)?;
    let announced = match headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok()) {
        Some(length) if length > cap => return Err(too_large(cap)),
        Some(length) => length,
        None => cap,
    };
    let small = announced <= if zipped { INLINE_ZIPPED } else { INLINE };
    let share = if small { None } else { Some(share(state, if zipped { cap } else { announced })?) };
    let deadline = state.parts.limits.body_deadline;
    let read = tokio::time::timeout(deadline, collect(body, cap)).await;
    let bytes = read.map_err(|_| {
        ApiError::bad_request(format!("The body did not arrive within {} s. Send it again.", deadline.as_secs()))
    })??;
    if !zipped {
        return Ok(Whole { bytes, _share: share });
    }
    let inflated = if small { inflate(&bytes, cap)? } else { off_thread(move || inflate(&bytes, cap)).await?? };
    let share = match share {
        None if inflated.len() > INLINE => Some(self::share(state, inflated.len())?),
        share => share,
    };
    Ok(Whole { bytes: inflated, _share: share })
}

/// Does `work` on a thread where it may take its time.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "work on a request's body ended abnormally");
        ApiError::internal()
    })
}

/// The media type of a request, lower-case and without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::unsupported("The Content-Type cannot be read."))?;
    Ok(Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
}

fn is_zipped(headers: &HeaderMap) -> Result<bool> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(false),
        (Some(value), None) => value.to_str().unwrap_or_default().trim(),
        (Some(_), Some(_)) => "",
    };
    match value {
        value if value.eq_ignore_ascii_case("identity") => Ok(false),
        value if value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip") => Ok(true),
        _ => Err(ApiError::unsupported(
            "The Content-Encoding is not supported. Send the body as it is, or with gzip, once.",
        )),
    }
}

/// Takes part of the memory for large bodies, or says that there is none left at the moment.
fn share(state: &AppState, bytes: usize) -> Result<OwnedSemaphorePermit> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    state.bodies.clone().try_acquire_many_owned(kib).map_err(|_| ApiError::queue_full())
}

async fn collect(mut body: Body, cap: usize) -> Result<Bytes> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a request's body broke off");
            ApiError::bad_request("The body broke off before its end.")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > cap {
            return Err(too_large(cap));
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    // Bodies of several frames are copied together once, at the end.
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

fn inflate(zipped: &[u8], cap: usize) -> Result<Bytes> {
    let mut inflated = Vec::new();
    let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(zipped).take(limit).read_to_end(&mut inflated);
    read.map_err(|_| ApiError::bad_request("The body is not valid gzip, although its Content-Encoding says so."))?;
    if inflated.len() > cap { Err(too_large(cap)) } else { Ok(inflated.into()) }
}

fn too_large(cap: usize) -> ApiError {
    ApiError::too_large(format!("The body is larger than {cap} bytes (after decompression). Send less at a time."))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = zip(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < 60_000, "{}", bomb.len());
        assert!(inflate(&bomb, 1 << 20).is_err());
        assert_eq!(inflate(&zip(&[b' '; 100]), 100).unwrap().len(), 100);
        assert!(inflate(&zip(&[b' '; 101]), 100).is_err());
        assert!(inflate(b"no gzip", 100).is_err());
        let members = [zip(b"a"), zip(b"b")].concat();
        assert_eq!(inflate(&members, 2).unwrap(), "ab");
    }

    #[test]
    fn only_gzip_once_is_understood() {
        let headers = |values: &[&'static str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            map
        };
        assert!(is_zipped(&headers(&["GZip"])).unwrap());
        assert!(!is_zipped(&headers(&["identity"])).unwrap());
        assert!(!is_zipped(&headers(&[])).unwrap());
        for bad in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["deflate"], &[""]] {
            assert!(is_zipped(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
