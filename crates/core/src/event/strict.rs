//! A strict JSON scanner that copies what it reads without insignificant whitespace, and otherwise byte for byte.
//!
//! A general parser would lose what the stored form has to keep (the spelling of numbers and escapes, the order of members) and would
//! not see what it has to refuse (the same key twice: filter and SIEM would read different values). One pass, no tree. It recurses, but
//! never deeper than [`MAX_DEPTH`], so that no input can exhaust the stack.

use std::borrow::Cow;

use super::MAX_DEPTH;
use super::intake::MAX_FAULTS;
use crate::fault::{FaultCode, FieldFault, Wrong, segment};

/// Why scanning cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Not JSON.
    Syntax {
        /// Byte offset into what is scanned.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// JSON, but nested too deeply.
    TooDeep {
        /// Where, below the value that was being read.
        pointer: String,
    },
}

/// A JSON string as it stands in the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// What is between the quotes, escapes included.
    pub(super) raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// What it means.
    pub(super) fn decode(&self) -> Cow<'a, str> {
        if self.escaped { unescape(self.raw) } else { Cow::Borrowed(self.raw) }
    }
}

/// What `raw`, the inside of a valid JSON string, means.
pub(super) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    // Scanned strings always decode; a caller that passes something else gets it back as it is.
    serde_json::from_str(&format!("\"{raw}\"")).map_or(Cow::Borrowed(raw), Cow::Owned)
}

enum Step {
    /// The index of the member's name in `keys`.
    Member(usize),
    Item(usize),
}

/// Reads `source` from the start.
pub(super) struct Scanner<'a> {
    source: &'a str,
    pos: usize,
    /// From here up to `pos` nothing has been copied yet.
    from: usize,
    /// The names seen so far in each open object, innermost last.
    keys: Vec<Cow<'a, str>>,
    path: Vec<Step>,
    faults: Vec<FieldFault>,
}

type Scan<T> = Result<T, Stop>;

impl<'a> Scanner<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, pos: 0, from: 0, keys: Vec::new(), path: Vec::new(), faults: Vec::new() }
    }

    /// Faults of the values read since the last call that did not stop the scan, with pointers below the value.
    pub(super) fn take_faults(&mut self) -> Vec<FieldFault> {
        std::mem::take(&mut self.faults)
    }

    /// The next byte after whitespace, not consumed.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.byte()
    }

    /// Consumes whitespace and then `wanted`, or stops saying `what`.
    pub(super) fn expect(&mut self, wanted: u8, what: &'static str) -> Scan<()> {
        if self.peek() == Some(wanted) {
            self.pos += 1;
            return Ok(());
        }
        Err(self.syntax(what))
    }

    /// Reads a string after whitespace.
    pub(super) fn text(&mut self, what: &'static str) -> Scan<Text<'a>> {
        self.skip_space();
        self.string(what)
    }

    /// Appends the next value to `out`, without insignificant whitespace. `depth` is the level that it would have as a container.
    pub(super) fn copy_value(&mut self, out: &mut Vec<u8>, depth: usize) -> Scan<()> {
        self.skip_space();
        self.from = self.pos;
        self.keys.clear();
        self.path.clear();
        self.value(out, depth)?;
        out.extend_from_slice(self.pending());
        Ok(())
    }

    /// A syntax fault at the present position.
    pub(super) fn syntax(&self, what: &'static str) -> Stop {
        Stop::Syntax { at: self.pos, what }
    }

    fn bytes(&self) -> &'a [u8] {
        self.source.as_bytes()
    }

    fn byte(&self) -> Option<u8> {
        self.bytes().get(self.pos).copied()
    }

    fn pending(&self) -> &'a [u8] {
        &self.bytes()[self.from..self.pos]
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }

    /// Whitespace inside a value: copies what stands before it and goes on after it.
    fn gap(&mut self, out: &mut Vec<u8>) {
        if matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            out.extend_from_slice(self.pending());
            self.skip_space();
            self.from = self.pos;
        }
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Scan<()> {
        match self.byte() {
            Some(b'"') => self.string("expected a string").map(drop),
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.array(out, depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.syntax("expected a value")),
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Scan<()> {
        self.enter(depth)?;
        let first = self.keys.len();
        self.gap(out);
        if self.byte() == Some(b'}') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            let name = self.string("expected a name in double quotes")?.decode();
            self.path.push(Step::Member(self.keys.len()));
            self.keys.push(name);
            self.gap(out);
            if self.byte() != Some(b':') {
                return Err(self.syntax("expected `:`"));
            }
            self.pos += 1;
            self.gap(out);
            self.value(out, depth + 1)?;
            self.path.pop();
            if self.closes(out, b'}', "expected `,` or `}`")? {
                self.refuse_repeated(first);
                return Ok(());
            }
        }
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Scan<()> {
        self.enter(depth)?;
        self.gap(out);
        if self.byte() == Some(b']') {
            self.pos += 1;
            return Ok(());
        }
        for index in 0.. {
            self.path.push(Step::Item(index));
            self.value(out, depth + 1)?;
            self.path.pop();
            if self.closes(out, b']', "expected `,` or `]`")? {
                break;
            }
        }
        Ok(())
    }

    fn enter(&mut self, depth: usize) -> Scan<()> {
        if depth > MAX_DEPTH {
            return Err(Stop::TooDeep { pointer: self.pointer() });
        }
        self.pos += 1;
        Ok(())
    }

    /// After an element: whether the container ends here; else its next element follows.
    fn closes(&mut self, out: &mut Vec<u8>, end: u8, what: &'static str) -> Scan<bool> {
        self.gap(out);
        match self.byte() {
            Some(b',') => {
                self.pos += 1;
                self.gap(out);
                Ok(false)
            }
            Some(byte) if byte == end => {
                self.pos += 1;
                Ok(true)
            }
            _ => Err(self.syntax(what)),
        }
    }

    /// Reports names that stand more than once in the object that just ended, whose names start at `first`. Large objects are sorted,
    /// because comparing each with each would let one request keep a core busy for minutes.
    fn refuse_repeated(&mut self, first: usize) {
        const FEW: usize = 8;
        let names = &mut self.keys[first..];
        let room = MAX_FAULTS.saturating_sub(self.faults.len());
        let repeated: Vec<String> = if names.len() <= FEW {
            let again = |(at, name): (usize, &Cow<'_, str>)| names[..at].contains(name).then(|| name.to_string());
            names.iter().enumerate().filter_map(again).take(room).collect()
        } else {
            names.sort_unstable();
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_string()).take(room).collect()
        };
        self.keys.truncate(first);
        if !repeated.is_empty() {
            let object = self.pointer();
            self.faults.extend(repeated.into_iter().map(|name| {
                FieldFault::new(
                    object.clone() + &segment(&name),
                    Wrong::new(FaultCode::Repeated, "stands more than once in its object; keep one of them"),
                )
            }));
        }
    }

    fn pointer(&self) -> String {
        let part = |step: &Step| match step {
            Step::Member(key) => segment(&self.keys[*key]),
            Step::Item(index) => format!("/{index}"),
        };
        self.path.iter().map(part).collect()
    }

    fn string(&mut self, what: &'static str) -> Scan<Text<'a>> {
        if self.byte() != Some(b'"') {
            return Err(self.syntax(what));
        }
        let start = self.pos + 1;
        let mut escaped = false;
        self.pos = start;
        loop {
            self.pos = plain_run(self.bytes(), self.pos);
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.syntax("control characters in a string must be escaped")),
                None => return Err(self.syntax("the string does not end")),
            }
        }
        let raw = &self.source[start..self.pos];
        self.pos += 1;
        Ok(Text { raw, escaped })
    }

    fn escape(&mut self) -> Scan<()> {
        match self.bytes().get(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.pos += 2;
                Ok(())
            }
            Some(b'u') => match self.unit(self.pos)? {
                0xD800..=0xDBFF => match self.unit(self.pos + 6) {
                    Ok(0xDC00..=0xDFFF) => {
                        self.pos += 12;
                        Ok(())
                    }
                    _ => Err(self.syntax("half of a surrogate pair is not a character")),
                },
                0xDC00..=0xDFFF => Err(self.syntax("half of a surrogate pair is not a character")),
                _ => {
                    self.pos += 6;
                    Ok(())
                }
            },
            _ => Err(self.syntax("this escape does not exist in JSON")),
        }
    }

    /// The UTF-16 code unit of the `\uXXXX` at `at`.
    fn unit(&self, at: usize) -> Scan<u16> {
        let wrong = || self.syntax("`\\u` needs four hexadecimal digits");
        let digits = self.source.get(at..at + 6).and_then(|text| text.strip_prefix("\\u")).ok_or_else(wrong)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u16::from_str_radix(digits, 16).map_err(|_| wrong())
    }

    fn number(&mut self) -> Scan<()> {
        let start = self.pos;
        if self.byte() == Some(b'-') {
            self.pos += 1;
        }
        if self.byte() == Some(b'0') {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        let exponent = matches!(self.byte(), Some(b'e' | b'E'));
        if exponent {
            self.pos += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits()?;
        }
        // Only these can be too large for the 64-bit floats that readers use; they would see an error or infinity.
        let suspicious = exponent || self.pos - start > 300;
        if suspicious
            && self.faults.len() < MAX_FAULTS
            && !self.source[start..self.pos].parse::<f64>().is_ok_and(f64::is_finite)
        {
            let pointer = self.pointer();
            self.faults.push(FieldFault::new(pointer, "is a number beyond a 64-bit float; send it as a string"));
        }
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        let start = self.pos;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        if self.pos == start { Err(self.syntax("expected a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &'static str) -> Scan<()> {
        if !self.bytes()[self.pos..].starts_with(word.as_bytes()) {
            return Err(self.syntax("expected a value"));
        }
        self.pos += word.len();
        Ok(())
    }
}

/// The position of the first byte from `at` on that ends a plain stretch of a string: a quote, a backslash or a control character. Looks
/// at eight bytes at a time (the classic zero-byte test; only its lowest hit is exact, and only that is used).
pub(super) fn plain_run(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    const QUOTE: u64 = b'"' as u64 * ONES;
    const BACKSLASH: u64 = b'\\' as u64 * ONES;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let control = word.wrapping_sub(0x20 * ONES) & !word;
        let hits = (control | zero(word ^ QUOTE) | zero(word ^ BACKSLASH)) & HIGH;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|b| *b >= 0x20 && *b != b'"' && *b != b'\\') {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The compact form of one value and nothing else, and whether faults were found on the way.
    fn compact(source: &str) -> Result<(String, bool), Stop> {
        let mut scanner = Scanner::new(source);
        let mut out = Vec::new();
        scanner.copy_value(&mut out, 1)?;
        if scanner.peek().is_some() {
            return Err(scanner.syntax("more"));
        }
        Ok((String::from_utf8(out).unwrap(), !scanner.take_faults().is_empty()))
    }

    /// Text that is often JSON and often nearly so.
    fn jsonish() -> impl Strategy<Value = String> {
        let spaced = "{ } [ ] , : \"a\" \"b\" \"\\u0061\" \"\\ud83d\\ude00\" \"\\udc00\" \"\\x\" 1 -0.5e+3 01 1. 1e999 true nul null \
                      \"é\u{2028}😀\" \"unended";
        let piece = proptest::sample::select(spaced.split(' ').chain([" ", "\n", "\"\t\""]).collect::<Vec<_>>());
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn accepts_what_serde_json_accepts(text in prop_oneof![jsonish(), ".{0,40}"]) {
            let reference = serde_json::from_str::<Value>(&text);
            match compact(&text) {
                Ok((out, false)) => {
                    prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), reference.unwrap());
                    prop_assert!(!out.contains('\n'));
                }
                // Repeated names are legal for serde_json; numbers out of range are not. Either is refused here.
                Ok((_, true)) => {}
                Err(_) => prop_assert!(reference.is_err(), "{:?}", text),
            }
        }

        #[test]
        fn plain_runs_end_where_a_simple_search_says(bytes: Vec<u8>, at in 0usize..20) {
            let simple = bytes.iter().enumerate().skip(at).find(|(_, b)| **b < 0x20 || **b == b'"' || **b == b'\\');
            let at = at.min(bytes.len());
            prop_assert_eq!(plain_run(&bytes, at), simple.map_or(bytes.len(), |(found, _)| found));
        }

        #[test]
        fn repeated_names_are_found_at_any_depth_and_in_objects_of_any_size(
            depth in 0usize..20, others in 0usize..40, at in 0usize..40, escaped: bool, in_array: bool,
        ) {
            let mut members: Vec<String> = (0..others).map(|n| format!("\"k{n}\":{n}")).collect();
            members.insert(at.min(others), "\"same\":1".into());
            members.push(if escaped { "\"s\\u0061me\":2" } else { "\"same\":2" }.into());
            let (open, close) = if in_array { ("[0,", "]") } else { ("{\"o\":", "}") };
            let text = format!("{}{{{}}}{}", open.repeat(depth), members.join(","), close.repeat(depth));
            let mut scanner = Scanner::new(&text);
            scanner.copy_value(&mut Vec::new(), 1).unwrap();
            let faults = scanner.take_faults();
            prop_assert_eq!(faults.len(), 1);
            let expected = if in_array { "/1".repeat(depth) } else { "/o".repeat(depth) } + "/same";
            prop_assert_eq!(&faults[0].pointer, &expected);
        }
    }

    #[test]
    fn whitespace_goes_and_everything_else_stays() {
        let text = "{ \"a\" :\t[ 1.0e5 , -0 ,\"\\u0041 \\/ b\" ] ,\r\n \"b\":{ } }";
        assert_eq!(compact(text).unwrap().0, r#"{"a":[1.0e5,-0,"\u0041 \/ b"],"b":{}}"#);
    }

    #[test]
    fn depth_is_capped_before_the_stack_is() {
        let deep = "[".repeat(4 << 20);
        assert!(matches!(compact(&deep), Err(Stop::TooDeep { .. })));
        let just = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert!(compact(&just).is_ok());
        assert!(
            matches!(compact(&format!("[{just}]")), Err(Stop::TooDeep { pointer }) if pointer == "/0".repeat(MAX_DEPTH))
        );
    }
}
