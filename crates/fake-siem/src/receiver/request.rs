//! A request as it came over the wire, and the little that all platforms ask about it.

use std::io::Read as _;

use bytes::Bytes;
use http::request::Parts;

/// Inflated bodies stop growing here, so that a small request cannot exhaust the memory of the test machine.
const INFLATED_CAP: u64 = 256 * 1024 * 1024;

/// One request, read to its end.
#[derive(Debug)]
pub struct Received {
    head: Parts,
    wire: Bytes,
    body: Result<Bytes, Unreadable>,
}

/// Why a body could not be inflated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A `Content-Encoding` that this receiver cannot undo.
    #[error("unknown content encoding `{0}`")]
    UnknownEncoding(String),
    /// The body is not what its `Content-Encoding` says.
    #[error("the body is not valid {0}")]
    Damaged(&'static str),
    /// The inflated body passes the receiver's own cap of 256 MiB.
    #[error("the inflated body is larger than 256 MiB")]
    TooLarge,
}

impl Received {
    pub(crate) fn new(head: Parts, wire: Bytes) -> Self {
        let encoding = head.headers.get(http::header::CONTENT_ENCODING).map(|value| value.as_bytes().to_vec());
        let body = inflate(encoding.as_deref(), &wire);
        Self { head, wire, body }
    }

    /// The method's name in capitals.
    pub fn method(&self) -> &str {
        self.head.method.as_str()
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    /// The names in the query string, in order.
    pub fn query_names(&self) -> impl Iterator<Item = &str> {
        self.query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
    }

    /// A header's value, where it is present once and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// The media type of `Content-Type`, in lower case, without parameters; empty where there is none.
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The `Content-Encoding`, in lower case; `identity` where there is none.
    pub fn encoding(&self) -> String {
        self.header("content-encoding").unwrap_or("identity").trim().to_ascii_lowercase()
    }

    /// The body's bytes as sent: what a signature covers.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The body with its `Content-Encoding` undone.
    pub fn body(&self) -> Result<&Bytes, &Unreadable> {
        self.body.as_ref()
    }

    pub(crate) fn head(&self) -> &Parts {
        &self.head
    }
}

fn inflate(encoding: Option<&[u8]>, wire: &Bytes) -> Result<Bytes, Unreadable> {
    let name =
        encoding.map_or_else(|| "identity".to_owned(), |name| String::from_utf8_lossy(name).to_ascii_lowercase());
    match name.trim() {
        "" | "identity" => Ok(wire.clone()),
        "gzip" => read_capped("gzip", flate2::read::MultiGzDecoder::new(&wire[..])),
        // HTTP's `deflate` is the zlib format (RFC 9110, 8.4.1.2).
        "deflate" => read_capped("deflate", flate2::read::ZlibDecoder::new(&wire[..])),
        other => Err(Unreadable::UnknownEncoding(other.to_owned())),
    }
}

fn read_capped(name: &'static str, reader: impl std::io::Read) -> Result<Bytes, Unreadable> {
    let mut inflated = Vec::new();
    reader.take(INFLATED_CAP + 1).read_to_end(&mut inflated).map_err(|_| Unreadable::Damaged(name))?;
    if inflated.len() as u64 > INFLATED_CAP {
        return Err(Unreadable::TooLarge);
    }
    Ok(inflated.into())
}
