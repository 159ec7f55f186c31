//! Whether the address of a request can be decoded. Where it cannot, the parts that read it would each make something else of it: nothing,
//! the text as it is, or `U+FFFD`.

use http::Uri;

/// Whether each `%` of path and query is followed by two hex digits, and each name and value is UTF-8.
pub(crate) fn can_be_decoded(uri: &Uri) -> bool {
    let parts = [uri.path(), uri.query().unwrap_or_default()];
    parts.into_iter().all(|part| !part.contains('%') || part.split(['/', '&', '=']).all(is_text))
}

fn is_text(part: &str) -> bool {
    let mut bytes = Vec::with_capacity(part.len());
    let mut left = part.bytes();
    while let Some(byte) = left.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(left.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else { return false };
        bytes.extend(u8::try_from(high << 4 | low));
    }
    std::str::from_utf8(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_whole_and_make_text() {
        for fine in ["/", "/a%20b/%C3%A9", "/a?b=%E2%82%AC&c", "/%25FF", "*", "http://x/%41?%42=%43"] {
            assert!(can_be_decoded(&fine.parse().unwrap()), "{fine}");
        }
        for bad in ["/%FF", "/a/%C3/%A9", "/%", "/%4", "/%zz", "/?%FF=x", "/?x=%FF", "/?x=%C3&y=%A9", "/?x=%+1"] {
            assert!(!can_be_decoded(&bad.parse().unwrap()), "{bad}");
        }
    }
}
