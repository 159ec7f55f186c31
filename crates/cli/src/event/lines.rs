//! A stream of lines, cut into shipments: each line with its number and its event_id, never more of them in memory than fit into one
//! request.

use std::io::{self, BufRead};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Bytes of a request at most, well below the API's 4 MiB.
pub(super) const REQUEST_BYTES: usize = 1024 * 1024;
/// The longest line that is looked at: with its event_id it still fits into a request, and an event is far smaller.
const LONGEST: usize = REQUEST_BYTES - 64;

/// Bad lines of one piece at most.
const BAD_LINES: usize = 1000;

/// A line that goes out: its number, from 1, and its text, with an event_id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: Bytes,
}

/// A line that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) number: u64,
    pub(super) reason: String,
    /// As it was read; cut where it is too long to be an event.
    pub(super) text: String,
}

/// What is read at a time.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// Lines for one request.
    pub(super) lines: Vec<Line>,
    /// Lines that were found to be bad on the way.
    pub(super) bad: Vec<Bad>,
    /// The number of the last line that was read, empty ones included.
    pub(super) upto: u64,
    /// Bytes that were read from the beginning on.
    pub(super) bytes: u64,
}

/// Reads lines from a source.
pub(super) struct Lines<R> {
    input: R,
    source: Sha256,
    number: u64,
    bytes: u64,
    /// Read already, and too much for the piece before.
    held: Option<Line>,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `input`, known by the name `source`.
    pub(super) fn new(input: R, source: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"toktra-siem event import\0");
        hash.update(source.as_bytes());
        hash.update(b"\0");
        Self { input, source: hash, number: 0, bytes: 0, held: None, ended: false }
    }

    /// Passes by the first `count` lines.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<()> {
        let mut line = Vec::new();
        while self.number < count && !self.ended {
            self.read(&mut line)?;
        }
        Ok(())
    }

    /// The next piece; `None` at the end.
    pub(super) fn piece(&mut self) -> io::Result<Option<Piece>> {
        let mut piece = Piece::default();
        let mut bytes = 0;
        let mut line = Vec::new();
        while let Some(next) =
            self.held.take().map(|line| Ok(Some(line))).or_else(|| self.line(&mut line, &mut piece.bad))
        {
            let Some(next) = next? else {
                if piece.bad.len() >= BAD_LINES {
                    break;
                }
                continue;
            };
            bytes += next.text.len() + 1;
            if bytes > REQUEST_BYTES && !piece.lines.is_empty() {
                piece.upto = next.number - 1;
                self.held = Some(next);
                break;
            }
            piece.lines.push(next);
        }
        if self.held.is_none() {
            piece.upto = self.number;
        }
        piece.bytes = self.bytes;
        let nothing = piece.lines.is_empty() && piece.bad.is_empty();
        Ok((!nothing).then_some(piece))
    }

    /// The next line; `Some(Ok(None))` for one that is empty or bad, `None` at the end.
    fn line(&mut self, buffer: &mut Vec<u8>, bad: &mut Vec<Bad>) -> Option<io::Result<Option<Line>>> {
        if self.ended {
            return None;
        }
        let whole = match self.read(buffer) {
            Ok(None) => return None,
            Ok(Some(whole)) => whole,
            Err(error) => return Some(Err(error)),
        };
        let mut text = buffer.trim_ascii();
        if self.number == 1 {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        }
        if text.is_empty() {
            return Some(Ok(None));
        }
        let found =
            if whole { self.with_id(text) } else { Err("is longer than any event may be (256 KiB)".to_owned()) };
        match found {
            Ok(text) => Some(Ok(Some(Line { number: self.number, text }))),
            Err(reason) => {
                let text = String::from_utf8_lossy(&text[..text.len().min(1024)]).into_owned();
                bad.push(Bad { number: self.number, reason, text });
                Some(Ok(None))
            }
        }
    }

    /// Reads one line into `buffer`, at most [`LONGEST`] bytes of it; whether that was all. `None` at the end.
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        buffer.clear();
        let mut whole = true;
        let mut any = false;
        loop {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                self.ended = true;
                break;
            }
            any = true;
            let newline = available.iter().position(|b| *b == b'\n');
            let taken = newline.map_or(available.len(), |at| at + 1);
            let content = newline.unwrap_or(taken);
            let room = LONGEST - buffer.len();
            buffer.extend_from_slice(&available[..content.min(room)]);
            whole &= content <= room;
            self.input.consume(taken);
            self.bytes += u64::try_from(taken).unwrap_or(0);
            if newline.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(whole))
    }

    /// The line as it goes out: as it is where it has an event_id, with the one that follows from it where not.
    fn with_id(&self, text: &[u8]) -> Result<Bytes, String> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default, deserialize_with = "there")]
            event_id: bool,
        }
        if !text.starts_with(b"{") {
            return Err("is not a JSON object".to_owned());
        }
        let head: Head = serde_json::from_slice(text).map_err(|error| format!("is not valid JSON: {error}"))?;
        if head.event_id {
            return Ok(Bytes::copy_from_slice(text));
        }
        let rest = text.get(1..).unwrap_or_default();
        let comma = if rest.trim_ascii_start().starts_with(b"}") { "" } else { "," };
        let mut whole = BytesMut::with_capacity(text.len() + 64);
        whole.put_slice(format!("{{\"event_id\":\"{}\"{comma}", self.id(text)).as_bytes());
        whole.put_slice(rest);
        Ok(whole.freeze())
    }

    /// Follows from the source, the line's number and its text: the same in every run (RFC 9562, version 8).
    fn id(&self, text: &[u8]) -> Uuid {
        let mut hash = self.source.clone();
        hash.update(self.number.to_be_bytes());
        hash.update(text);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// Whether the member is there, whatever it is: the server judges it.
fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(input: &[u8], source: &str) -> Vec<Piece> {
        // A buffer that is shorter than any line: what is read in several pieces comes together.
        let mut lines = Lines::new(io::BufReader::with_capacity(7, input), source);
        std::iter::from_fn(|| lines.piece().unwrap()).collect()
    }

    fn texts(input: &str, source: &str) -> Vec<(u64, String)> {
        let pieces = pieces(input.as_bytes(), source);
        let lines = pieces.into_iter().flat_map(|piece| piece.lines);
        lines.map(|line| (line.number, String::from_utf8(line.text.to_vec()).unwrap())).collect()
    }

    #[test]
    fn ids_follow_from_source_number_and_text_and_given_ones_stay() {
        let input = "\u{feff}{\"a\":1}\r\n\n{\"event_id\":\"x\"}\n{\"a\":1}\n{ }";
        let first = texts(input, "f");
        assert_eq!(first.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert_eq!(first[1].1, "{\"event_id\":\"x\"}");
        assert_ne!(first[0].1, first[2].1, "the same text on another line is another event");
        for (_, text) in &first {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(value["event_id"].is_string());
        }
        let id: serde_json::Value = serde_json::from_str(&first[0].1).unwrap();
        let id = Uuid::try_parse(id["event_id"].as_str().unwrap()).unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
        assert_eq!(texts(input, "f"), first);
        assert_ne!(texts(input, "g")[0], first[0]);
        assert_eq!(
            texts(&(input.to_owned() + "\n{\"b\":2}"), "f")[..4],
            first[..],
            "appending changes nothing before it"
        );
    }

    #[test]
    fn bad_lines_are_told_by_number_and_the_rest_goes_on() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2 * REQUEST_BYTES));
        let input = format!("nonsense\n[1]\n{{\"a\":\n{long}\n{{\"a\":1}}\n");
        let mut found = pieces(input.as_bytes(), "f");
        assert_eq!(found.len(), 1);
        let piece = found.remove(0);
        let bad: Vec<_> = piece.bad.iter().map(|bad| (bad.number, bad.reason.as_str())).collect();
        assert_eq!(bad[0], (1, "is not a JSON object"));
        assert_eq!(bad[1], (2, "is not a JSON object"));
        assert!(bad[2].1.starts_with("is not valid JSON") && bad[3].1.contains("longer"), "{bad:?}");
        assert_eq!((piece.lines[0].number, piece.upto, piece.bytes), (5, 5, input.len() as u64));
        assert!(piece.bad[3].text.len() <= 1024);
    }

    #[test]
    fn pieces_are_bounded_and_lose_no_line() {
        let input = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1000)).repeat(3000);
        let found = pieces(input.as_bytes(), "f");
        let size = |piece: &Piece| piece.lines.iter().map(|line| line.text.len() + 1).sum::<usize>();
        assert!(found.len() == 3 || found.len() == 4, "{}", found.len());
        assert!(found.iter().all(|piece| size(piece) <= REQUEST_BYTES));
        let numbers: Vec<u64> = found.iter().flat_map(|piece| piece.lines.iter().map(|line| line.number)).collect();
        assert_eq!(numbers, (1..=3000).collect::<Vec<_>>());
        for pair in found.windows(2) {
            assert_eq!(pair[0].upto + 1, pair[1].lines[0].number);
        }
    }

    #[test]
    fn lines_can_be_skipped_without_changing_the_ids_of_the_rest() {
        let input = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
        let mut lines = Lines::new(input.as_bytes(), "f");
        lines.skip(2).unwrap();
        let piece = lines.piece().unwrap().unwrap();
        assert_eq!(piece.lines.len(), 1);
        assert_eq!(String::from_utf8(piece.lines[0].text.to_vec()).unwrap(), texts(input, "f")[2].1);
        let mut lines = Lines::new(input.as_bytes(), "f");
        lines.skip(9).unwrap();
        assert!(lines.piece().unwrap().is_none());
    }
}
