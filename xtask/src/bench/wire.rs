//! The least of HTTP/1.1 that generator and sink need: one message with a `Content-Length` after another, parsed in place.
//!
//! A full HTTP library would cost more than the work that is measured; both ends are ours, so both keep to this subset.

use memchr::memmem;

/// Where a message's parts lie, once the whole message is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Length of the head, its blank line included: the body begins there.
    pub(crate) head: usize,
    /// Length of the whole message.
    pub(crate) total: usize,
}

/// Finds the first message in `bytes`; `None` while it is incomplete, an error where it is outside of the subset.
pub(crate) fn message(bytes: &[u8]) -> Result<Option<Message>, &'static str> {
    let Some(blank) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (head, mut length) = (blank + 4, 0);
    for line in bytes[..blank].split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).map_err(|_| "Content-Length is no text")?;
            length = text.parse().map_err(|_| "Content-Length is no number")?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err("the message is chunked");
        }
    }
    let total = head + length;
    Ok((bytes.len() >= total).then_some(Message { head, total }))
}

/// The path of a request's first line; empty where there is none.
pub(crate) fn path(head: &[u8]) -> &[u8] {
    head.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
}

/// The value of the header with this name.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (found, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
    })
}

/// The status code of a reply's first line; 0 where there is none.
pub(crate) fn status(reply: &[u8]) -> u16 {
    let digits = reply.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The number after the first `"name":` in `json`, for the flat replies met here.
pub(crate) fn number(json: &[u8], name: &str) -> Option<u64> {
    let key = format!("\"{name}\":");
    let after = &json[memmem::find(json, key.as_bytes())? + key.len()..];
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&after[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_once_it_is_whole_and_the_next_one_is_left_alone() {
        let bytes = b"POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\nabcPOST /";
        assert_eq!(message(&bytes[..30]), Ok(None));
        assert_eq!(message(&bytes[..bytes.len() - 7]), Ok(None));
        let whole = Message { head: bytes.len() - 9, total: bytes.len() - 6 };
        assert_eq!(message(bytes), Ok(Some(whole)));
    }

    #[test]
    fn a_chunked_message_is_refused_rather_than_misread() {
        assert!(message(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").is_err());
    }

    #[test]
    fn path_and_headers_are_read() {
        let head = b"POST /a/b HTTP/1.1\r\nHost: x\r\nContent-Type:  text/plain \r\n\r\n";
        assert_eq!(path(head), b"/a/b");
        assert_eq!(path(b""), b"");
        assert_eq!(header(head, "content-type"), Some(&b"text/plain"[..]));
        assert_eq!(header(head, "content"), None);
    }

    #[test]
    fn status_and_numbers_are_read() {
        assert_eq!(status(b"HTTP/1.1 202 Accepted\r\n"), 202);
        assert_eq!(status(b"HTTP"), 0);
        assert_eq!(number(br#"{"accepted":100,"duplicates":0}"#, "accepted"), Some(100));
        assert_eq!(number(br#"{"text":"Success"}"#, "accepted"), None);
    }
}
