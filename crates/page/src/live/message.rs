//! What is sent, made once for all who look: an event of the stream as it is and compressed, both shared by reference. A compressed stream
//! is put together of pieces that were compressed on their own and end at a byte (RFC 1951, an empty stored block), so that no viewer needs
//! a compressor, which would take 260 KB each.

use std::sync::LazyLock;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use serde::Serialize;

use super::view::View;

/// Something that is sent.
#[derive(Debug)]
pub struct Message {
    plain: Bytes,
    packed: Bytes,
    crc: Crc,
}

/// That the stream is alive, and what it brought is how things stand: a comment for proxies, and an event for the script.
pub(super) static ALIVE: LazyLock<Message> =
    LazyLock::new(|| Message::pack(Bytes::from_static(b": still here\ndata: {}\n\n")));

/// What the script of the page reads.
#[derive(Serialize)]
struct Told<'a> {
    view: String,
    /// The version that the page has to show already; 0 for any.
    since: u64,
    version: u64,
    /// `null` where there is nothing at this address any more.
    html: Option<&'a str>,
}

/// Views of which it is not known how they stand.
#[derive(Serialize)]
struct Failing {
    failing: Vec<String>,
}

impl Message {
    /// That the stream is alive, and what it brought is how things stand but for these views.
    pub(super) fn failing(views: impl Iterator<Item = View>) -> Self {
        let told = serde_json::to_string(&Failing { failing: views.map(|view| view.to_string()).collect() });
        Self::pack(format!(": still here\ndata: {}\n\n", told.unwrap_or_default()).into())
    }

    /// HTML that brings `view` from version `since` to `version`.
    pub fn of(view: View, since: u64, version: u64, html: Option<&str>) -> Self {
        let told = serde_json::to_string(&Told { view: view.to_string(), since, version, html });
        Self::pack(format!("data: {}\n\n", told.unwrap_or_default()).into())
    }

    fn pack(plain: Bytes) -> Self {
        let mut crc = Crc::new();
        crc.update(&plain);
        Self { packed: packed(&plain).into(), plain, crc }
    }
}

/// `plain` as blocks of a deflate stream that look back at nothing before them.
fn packed(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() / 4 + 64);
    let mut compress = Compress::new(Compression::default(), false);
    loop {
        let rest = plain.get(usize::try_from(compress.total_in()).unwrap_or(usize::MAX)..).unwrap_or_default();
        let done = compress.compress_vec(rest, &mut out, FlushCompress::Sync);
        // With room left nothing is held back; compressing into memory does not fail.
        if out.len() < out.capacity() || !matches!(done, Ok(Status::Ok)) {
            return out;
        }
        out.reserve(out.capacity());
    }
}

/// How a stream is sent to one viewer.
#[derive(Debug, Default)]
pub(super) struct Encoding {
    /// The checksum of what was sent; `None` where it is not compressed.
    zipped: Option<Crc>,
}

impl Encoding {
    /// Compressed where the viewer takes that.
    pub(super) fn new(gzip: bool) -> Self {
        Self { zipped: gzip.then(Crc::new) }
    }

    /// What a stream begins with.
    pub(super) fn begin(&self) -> Option<Bytes> {
        // RFC 1952: deflate, no flags, no time, whatever system.
        self.zipped.as_ref().map(|_| Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]))
    }

    /// `message` as this viewer gets it.
    pub(super) fn put(&mut self, message: &Message) -> Bytes {
        let Some(crc) = &mut self.zipped else { return message.plain.clone() };
        crc.combine(&message.crc);
        message.packed.clone()
    }

    /// What a stream ends with.
    pub(super) fn end(&self) -> Option<Bytes> {
        let crc = self.zipped.as_ref()?;
        let last_block = [3, 0];
        Some([&last_block[..], &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat().into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn pieces_that_were_compressed_for_everybody_are_one_whole_stream_for_each() {
        let long: String = (0..40_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
        let messages = [
            Message::of(View::Connectors, 0, 7, Some("<p>\n\"ä\"</p>")),
            Message::of(View::Connectors, 7, 9, Some(&long)),
            Message::of(View::Connectors, 9, 12, None),
        ];
        let mut encoding = Encoding::new(true);
        let mut wire = encoding.begin().unwrap().to_vec();
        let mut text = String::new();
        for message in [&messages[0], &*ALIVE, &messages[1], &messages[2]] {
            wire.extend(encoding.put(message));
            text += std::str::from_utf8(&message.plain).unwrap();
            let mut so_far = vec![0; text.len()];
            GzDecoder::new(&wire[..]).read_exact(&mut so_far).unwrap();
            assert_eq!(so_far, text.as_bytes(), "each piece can be read as soon as it is there");
        }
        wire.extend(encoding.end().unwrap());
        let mut read = String::new();
        GzDecoder::new(&wire[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        assert!(
            text.starts_with("data: {\"view\":\"/integrations/siem/live\",\"since\":0,\"version\":7,\"html\":\"<p>\\n")
        );
        assert!(text.ends_with("\"since\":9,\"version\":12,\"html\":null}\n\n"));
    }

    #[test]
    fn whoever_does_not_take_gzip_gets_text() {
        let mut encoding = Encoding::new(false);
        assert_eq!((encoding.begin(), encoding.end()), (None, None));
        assert_eq!(encoding.put(&ALIVE), ": still here\ndata: {}\n\n");
    }
}
