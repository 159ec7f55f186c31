//! What may pass as a message of HTTP/1.1. hyper forgives much that RFC 9112 lets a server forgive: line ends without a carriage return, a
//! `Host` that is missing or there twice, a length beside a transfer coding. Each of these makes two programs that read one stream see
//! different requests in it, so here they end the connection with an answer that says why.
//!
//! The gate sees every byte before hyper does, follows where each message ends, and judges each head as a whole. Nothing is copied: heads
//! that come in one piece, which nearly all do, are judged where hyper reads them.

use std::mem::MaybeUninit;
use std::net::Ipv6Addr;

use http::Uri;
use memchr::memchr_iter;

use crate::refusal::Refusal;

/// Bytes of the head of a request, at most.
pub(crate) const HEAD: usize = 32 * 1024;
/// Lines of a head, at most: as many as hyper reads.
pub(crate) const LINES: usize = 100;

/// The longest body that can be announced: hyper keeps the numbers above it for bodies of unknown length.
const LONGEST: u64 = u64::MAX - 2;

/// What comes next in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A head, of which this many bytes are known to hold no end.
    Head { searched: usize },
    /// A body, of which so many bytes are missing.
    Sized(u64),
    /// A body in chunks.
    Chunked(Chunk),
    /// A head was refused: what follows it belongs to nothing.
    Refused,
    /// The coding of a body is broken: what follows cannot be told apart.
    Broken,
}

/// What comes next in a body of chunks (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data(u64),
    DataCr,
    DataLf,
    Trailer { empty: bool },
    TrailerLf { empty: bool },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    at: At,
}

/// What a stretch of the stream came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Bytes that hyper may read. What comes after them is a part of a head, to be given to the gate again with what follows.
    pub(crate) bytes: usize,
    /// Whole heads among them.
    pub(crate) heads: u64,
    /// Why the head after them is refused. Nothing more is to be read for a request.
    pub(crate) refused: Option<Refusal>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { at: At::Head { searched: 0 } }
    }

    /// Whether the stream stands in the middle of a message, or behind one that was refused.
    pub(crate) fn is_within(&self) -> bool {
        !matches!(self.at, At::Head { searched: 0 })
    }

    /// Whether what follows belongs to no request.
    pub(crate) fn is_refused(&self) -> bool {
        self.at == At::Refused
    }

    /// Whether the coding of the body was wrong.
    pub(crate) fn is_broken(&self) -> bool {
        self.at == At::Broken
    }

    /// Refuses what comes next, whatever it is.
    pub(crate) fn refuse(&mut self) {
        self.at = At::Refused;
    }

    /// Follows the stream over `bytes`, which go on where those that passed before ended.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Passed {
        let mut passed = Passed { bytes: 0, heads: 0, refused: None };
        while passed.bytes < bytes.len() {
            let rest = &bytes[passed.bytes..];
            match self.at {
                At::Head { searched } => match head(rest, searched) {
                    Ok(Found::Empty(blank)) => {
                        self.at = At::Head { searched: 0 };
                        passed.bytes += blank;
                    }
                    Ok(Found::Part { searched }) => {
                        self.at = At::Head { searched };
                        return passed;
                    }
                    Ok(Found::Whole { length, body }) => {
                        self.at = body;
                        passed.bytes += length;
                        passed.heads += 1;
                    }
                    Err(refusal) => {
                        self.at = At::Refused;
                        passed.refused = Some(refusal);
                        return passed;
                    }
                },
                At::Sized(missing) => {
                    let here = usize::try_from(missing).unwrap_or(usize::MAX).min(rest.len());
                    passed.bytes += here;
                    self.at = sized(missing - here as u64);
                }
                At::Chunked(chunk) => {
                    let (here, next) = chunk.over(rest);
                    passed.bytes += here;
                    self.at = next;
                }
                At::Refused | At::Broken => return passed,
            }
        }
        passed
    }
}

fn sized(missing: u64) -> At {
    if missing == 0 { At::Head { searched: 0 } } else { At::Sized(missing) }
}

impl Chunk {
    /// Goes over what is there of the part that comes next: how much that is, and what follows it.
    fn over(self, bytes: &[u8]) -> (usize, At) {
        if let Self::Data(missing) = self {
            let here = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
            let left = missing - here as u64;
            return (here, At::Chunked(if left == 0 { Self::DataCr } else { Self::Data(left) }));
        }
        let next = match (self, bytes[0]) {
            (Self::Size { digits, size }, digit) if digit.is_ascii_hexdigit() && digits < 16 => {
                let value = char::from(digit).to_digit(16).unwrap_or_default();
                Self::Size { digits: digits + 1, size: size << 4 | u64::from(value) }
            }
            (Self::Size { digits: 1.., size }, b';' | b' ' | b'\t') => Self::Extension { size },
            (Self::Size { digits: 1.., size } | Self::Extension { size }, b'\r') => Self::SizeEnd { size },
            (Self::Extension { size }, other) if other != b'\n' => Self::Extension { size },
            (Self::SizeEnd { size: 0 } | Self::TrailerLf { empty: false }, b'\n') => Self::Trailer { empty: true },
            (Self::SizeEnd { size }, b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { digits: 0, size: 0 },
            (Self::Trailer { empty }, b'\r') => Self::TrailerLf { empty },
            (Self::Trailer { .. }, other) if other != b'\n' => Self::Trailer { empty: false },
            (Self::TrailerLf { empty: true }, b'\n') => return (1, At::Head { searched: 0 }),
            _ => return (0, At::Broken),
        };
        (1, At::Chunked(next))
    }
}

/// What was found where a head should be.
enum Found {
    /// Line breaks before it, which RFC 9112 has a server ignore.
    Empty(usize),
    /// No end so far. A line begins at `searched`.
    Part { searched: usize },
    /// All of it, and what follows.
    Whole { length: usize, body: At },
}

fn head(bytes: &[u8], searched: usize) -> Result<Found, Refusal> {
    match bytes {
        [b'\r', b'\n', ..] => return Ok(Found::Empty(2)),
        [b'\r'] => return Ok(Found::Part { searched: 0 }),
        // What is no HTTP at all, such as TLS, is told at once rather than when the head does not come to its end.
        [first, ..] if !first.is_ascii_graphic() => return Err(Refusal::Malformed),
        _ => {}
    }
    let mut line = searched;
    for end in memchr_iter(b'\n', &bytes[searched..]).map(|at| searched + at) {
        if end == 0 || bytes[end - 1] != b'\r' {
            return Err(Refusal::BareLineFeed);
        }
        if end > HEAD {
            break;
        }
        if end - 1 == line {
            let length = end + 1;
            return Ok(Found::Whole { length, body: judged(&bytes[..length])? });
        }
        line = end + 1;
    }
    match bytes.len() {
        0..HEAD => Ok(Found::Part { searched: line }),
        _ if line == 0 => Err(Refusal::TargetTooLong),
        _ => Err(Refusal::HeadTooLarge),
    }
}

/// Judges a whole head; what comes behind it.
fn judged(head: &[u8]) -> Result<At, Refusal> {
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut lines) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(Refusal::Version),
        Ok(_) | Err(_) => return Err(Refusal::Malformed),
    }
    if !request.path.is_some_and(|target| is_target(request.method.unwrap_or_default(), target)) {
        return Err(Refusal::Target);
    }
    let is_1_1 = request.version == Some(1);
    let (mut hosts, mut length, mut codings) = (0, None, None);
    for line in request.headers.iter() {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        if is("host") {
            hosts += 1;
            if hosts > 1 || !is_host(line.value) {
                return Err(Refusal::Host);
            }
        } else if is("content-length") {
            if length.is_some() {
                return Err(Refusal::Length);
            }
            length = Some(number(line.value).ok_or(Refusal::Length)?);
        } else if is("transfer-encoding") {
            codings = Some(codings.unwrap_or(Codings::None).and(line.value)?);
        }
    }
    if hosts == 0 && is_1_1 {
        return Err(Refusal::Host);
    }
    match (codings, length) {
        (None, length) => Ok(sized(length.unwrap_or(0))),
        (Some(_), Some(_)) => Err(Refusal::LengthAndCoding),
        (Some(_), None) if !is_1_1 => Err(Refusal::Coding),
        (Some(Codings::Chunked), None) => Ok(At::Chunked(Chunk::Size { digits: 0, size: 0 })),
        (Some(Codings::Unknown), None) => Err(Refusal::UnknownCoding),
        (Some(Codings::None), None) => Err(Refusal::Coding),
    }
}

/// What the codings so far are.
#[derive(Debug, Clone, Copy)]
enum Codings {
    None,
    /// `chunked`, once.
    Chunked,
    /// One that is not known here.
    Unknown,
}

impl Codings {
    /// With those of a line. `chunked` has to be the last.
    fn and(self, line: &[u8]) -> Result<Self, Refusal> {
        let mut all = self;
        for coding in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()) {
            all = match all {
                Self::Chunked => return Err(Refusal::Coding),
                Self::None if coding.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
                Self::None | Self::Unknown => Self::Unknown,
            };
        }
        Ok(all)
    }
}

/// Nearly every target is a path of plain characters; what else there may be (RFC 9112, section 3.2) is asked of the parser that hyper uses
/// as well.
fn is_target(method: &str, target: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%?".contains(&byte);
    if target.starts_with('/') && target.bytes().all(plain) {
        return true;
    }
    let Ok(uri) = target.parse::<Uri>() else { return false };
    let names_host = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().is_empty() && is_host(authority.as_str().as_bytes()));
    target.is_ascii()
        && match (uri.scheme_str(), method) {
            (Some("http" | "https"), _) | (None, "CONNECT") => names_host,
            (None, "OPTIONS") if target == "*" => true,
            (None, _) => target.starts_with('/'),
            (Some(_), _) => false,
        }
}

/// A host and a port, or nothing (RFC 9112, section 3.2).
fn is_host(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    let (is_good, port) = if let Some(literal) = value.strip_prefix('[') {
        let Some((address, port)) = literal.split_once(']') else { return false };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = value.split_at(value.find(':').unwrap_or(value.len()));
        ((port.is_empty() || !name.is_empty()) && name.bytes().all(of_name), port)
    };
    // `u16` would take a sign as well.
    let is_port =
        |port: &str| port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_good && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Digits and nothing else. hyper has no length above [`LONGEST`], and would answer it by itself.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok().filter(|length| *length <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request of these lines, and `body`, comes to in one piece, and byte by byte.
    fn told(request: &str) -> Result<u64, Refusal> {
        let whole = Gate::new().pass(request.as_bytes());
        let (mut gate, mut held, mut heads) = (Gate::new(), Vec::new(), 0);
        for byte in request.bytes() {
            held.push(byte);
            let passed = gate.pass(&held);
            held.drain(..passed.bytes);
            heads += passed.heads;
            if let Some(refusal) = passed.refused {
                assert_eq!(whole.refused, Some(refusal), "one piece and single bytes: {request:?}");
                return Err(refusal);
            }
        }
        assert_eq!((whole.refused, whole.heads), (None, heads), "one piece and single bytes: {request:?}");
        Ok(heads)
    }

    #[test]
    fn requests_follow_each_other_whatever_their_bodies_are() {
        let several = "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nPOST /a HTTP/1.1\r\nhost: [::1]:80\r\nContent-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\n\
                       HOST:\r\ntransfer-encoding:\tChunked \r\n\r\n5;a=b\r\nhello\r\n0A \r\n0123456789\r\n0\r\nx: y\r\n\r\nGET http://x/y?z HTTP/1.0\r\n\r\n";
        assert_eq!(told(several), Ok(4));
        let mut gate = Gate::new();
        gate.pass(several.as_bytes());
        assert!(!gate.is_within());
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        let with = |lines: &str| format!("POST / HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), Refusal::Host),
            (with("Host: x\r\n"), Refusal::Host),
            ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), Refusal::Host),
            ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n".to_owned(), Refusal::Host),
            ("GET / HTTP/1.1\nhost: x\r\n\r\n".to_owned(), Refusal::BareLineFeed),
            ("GET / HTTP/1.1\r\nhost: x\n\r\n".to_owned(), Refusal::BareLineFeed),
            ("GET / HTTP/1.1\r\nhost: x\r\n\n".to_owned(), Refusal::BareLineFeed),
            ("\nGET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), Refusal::Malformed),
            (with("content-length: 1\r\ntransfer-encoding: chunked\r\n"), Refusal::LengthAndCoding),
            (with("transfer-encoding: chunked\r\ncontent-length: 1\r\n"), Refusal::LengthAndCoding),
            (with("transfer-encoding: gzip, chunked\r\n"), Refusal::UnknownCoding),
            (with("transfer-encoding: identity\r\n"), Refusal::UnknownCoding),
            (with("transfer-encoding: xchunked\r\n"), Refusal::UnknownCoding),
            (with("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n"), Refusal::UnknownCoding),
            (with("transfer-encoding: chunked, gzip\r\n"), Refusal::Coding),
            (with("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), Refusal::Coding),
            (with("transfer-encoding:\r\n"), Refusal::Coding),
            ("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), Refusal::Coding),
            (with("content-length: 1\r\ncontent-length: 1\r\n"), Refusal::Length),
            (with("content-length: 1, 1\r\n"), Refusal::Length),
            (with("content-length: +1\r\n"), Refusal::Length),
            (with("content-length: 0x1\r\n"), Refusal::Length),
            (with("content-length:\r\n"), Refusal::Length),
            (with("content-length: 99999999999999999999\r\n"), Refusal::Length),
            (with(&format!("content-length: {}\r\n", u64::MAX)), Refusal::Length),
            (with(&format!("content-length: {}\r\n", u64::MAX - 1)), Refusal::Length),
            (with("content-length : 1\r\n"), Refusal::Malformed),
            (with("x: y\r\n z\r\n"), Refusal::Malformed),
            (with("x: a\rb\r\n"), Refusal::Malformed),
            (with("x: a\0b\r\n"), Refusal::Malformed),
            ("GET / HTTP/2.0\r\n\r\n".to_owned(), Refusal::Version),
            ("GET /\r\n\r\n".to_owned(), Refusal::Malformed),
            ("GET  / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), Refusal::Malformed),
            ("G@T / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), Refusal::Malformed),
            ("GET /\u{e9} HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), Refusal::Target),
            ("\u{16}\u{3}\u{1}".to_owned(), Refusal::Malformed),
            (with(&"x: y\r\n".repeat(LINES)), Refusal::HeadTooLarge),
            (with(&format!("x: {}\r\n", "y".repeat(HEAD))), Refusal::HeadTooLarge),
            (format!("GET /{} HTTP/1.1\r\n", "y".repeat(HEAD)), Refusal::TargetTooLong),
        ];
        for (request, refusal) in cases {
            assert_eq!(told(&request), Err(refusal), "{:?}", &request[..request.len().min(120)]);
        }
    }

    #[test]
    fn a_target_is_a_path_or_the_whole_address_of_something_here() {
        let asked = |line: &str| told(&format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n"));
        for fine in [
            "GET /a{}?b",
            "GET /a:b@c",
            "GET http://x/y",
            "GET HTTPS://x",
            "GET http://[::1]:8080/",
            "OPTIONS *",
            "CONNECT x:443",
        ] {
            assert_eq!(asked(fine), Ok(1), "{fine}");
        }
        for bad in [
            "GET ftp://x/",
            "GET ws://x/",
            "GET file:///etc/passwd",
            "GET x://y",
            "GET http://",
            "GET http:///y",
            "GET http:x",
            "GET http://a@b/",
            "GET http://x:99999/",
            "GET http://x:y/",
            "GET http://[::1/",
            "GET x:80",
            "GET x",
            "GET *",
            "CONNECT *",
            "GET mailto:x@y",
            "GET ?x",
            "GET //\u{e9}",
        ] {
            assert!(matches!(asked(bad), Err(Refusal::Target)), "{bad}: {:?}", asked(bad));
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_that_can_be() {
        let fine = "x x: x:1 a-b.example.com:65535 127.0.0.1:80 [::1] [2001:db8::1]:443 a%20b x_y";
        for fine in fine.split(' ').chain([""]) {
            assert!(is_host(fine.as_bytes()), "{fine}");
        }
        let bad = "a:99999999 a:65536 a:-1 a:+80 a:b a:80:80 :80 ::1 [::1 [::1]80 [::1]:99999 [x] [] ] a[b] a/b a?b a@b \u{e9}";
        for bad in bad.split(' ').chain(["a:80 ", "a b"]) {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_broken_coding_ends_what_can_be_told() {
        let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        for (good, bad) in [
            ("", "x\r\n"),
            ("", "\r\n"),
            ("", ";a\r\n"),
            ("5", "\nhello\r\n"),
            ("5;a", "\nhello\r\n"),
            ("5\r", "hello"),
            ("5\r\nhello", "x\r\n"),
            ("5\r\nhello\r", "x"),
            ("1234567890123456", "7\r\n"),
            ("0\r\nx: y", "\n\r\n"),
            ("0\r\n\r", "x"),
        ] {
            let mut gate = Gate::new();
            let sent = format!("{head}{good}{bad}GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n");
            let passed = gate.pass(sent.as_bytes());
            assert_eq!((passed.bytes, passed.heads), (head.len() + good.len(), 1), "{good:?} {bad:?}");
            assert!(gate.is_broken(), "{good:?} {bad:?}");
        }
    }
}
