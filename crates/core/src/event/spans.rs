//! Where values begin and end, without looking inside them: for cutting a request into events before each is validated, and for reading
//! single fields of the stored form, which was validated already.

use super::strict::plain_run;

/// Whether `byte` is whitespace in JSON.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The position of the first byte from `at` on that is not whitespace.
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).copied().is_some_and(is_space) {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`, or `None` where the bytes end before it does. Brackets are counted, not matched, and scalars
/// are not checked: what this calls a value may still be refused when it is read.
pub(super) fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => container_end(bytes, at),
        _ => {
            let scalar = |b: &u8| is_space(*b) || matches!(b, b',' | b']' | b'}' | b':');
            Some(bytes[at..].iter().position(scalar).map_or(bytes.len(), |len| at + len))
        }
    }
}

/// The position after the string whose opening quote is at `at`.
pub(super) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at = plain_run(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn container_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut open = 0usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open -= 1;
                if open == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// The members of a compact JSON object, such as the stored form of an event, in their order.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The members of `object`, which must be a compact JSON object (the stored form of an event is, and so is every object in it). Anything
/// else ends the iteration early, without a panic.
pub fn members(object: &[u8]) -> Members<'_> {
    Members { bytes: object, at: 1 }
}

/// The value of the member `name` of a compact JSON object.
pub fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object).find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}

impl<'a> Iterator for Members<'a> {
    /// The name as it stands between its quotes, and the value.
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let name_end = string_end(self.bytes, self.at)?;
        let value_at = name_end + 1;
        let end = value_end(self.bytes, value_at)?;
        let item = (&self.bytes[self.at + 1..name_end - 1], &self.bytes[value_at..end]);
        self.at = end + 1;
        Some(item)
    }
}

/// The elements of `array`, which must be a compact JSON array. Anything else ends the iteration early, without a panic.
pub fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 1;
    std::iter::from_fn(move || {
        let end = value_end(array, at).filter(|end| *end > at)?;
        let element = &array[at..end];
        at = end + 1;
        Some(element)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_come_in_order_with_their_exact_bytes() {
        let object = br#"{"a":"x\"}","b":{"c":[1,{"d":2}]},"e":1.0e5,"f":null}"#;
        let seen: Vec<_> =
            members(object).map(|(k, v)| (str::from_utf8(k).unwrap(), str::from_utf8(v).unwrap())).collect();
        assert_eq!(seen, [("a", r#""x\"}""#), ("b", r#"{"c":[1,{"d":2}]}"#), ("e", "1.0e5"), ("f", "null")]);
        assert_eq!(member(object, "e"), Some(&b"1.0e5"[..]));
        assert_eq!(member(b"{}", "e"), None);
        let values: Vec<_> = elements(br#"["a]",[1,{"b":2}],null]"#).collect();
        assert_eq!(values, [&br#""a]""#[..], br#"[1,{"b":2}]"#, b"null"]);
        assert_eq!(elements(b"[]").count(), 0);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, jsonish in "[\\[\\]{}\",:\\\\a1 ]{0,40}") {
            for text in [bytes.as_slice(), jsonish.as_bytes()] {
                prop_assert!(members(text).count() <= text.len());
                prop_assert!(elements(text).count() <= text.len());
                let end = value_end(text, 0);
                prop_assert!(end.is_none_or(|end| end <= text.len()));
            }
        }
    }
}
