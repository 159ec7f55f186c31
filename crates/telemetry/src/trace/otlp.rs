//! Spans as an OTLP request (`opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`), in protobuf's wire format.
//!
//! It is written here in a page, because the crates that could do it bring a whole SDK along (docs/adr/0031-libraries-weighed.md). The
//! field numbers are those of opentelemetry-proto 1.x; a test decodes what the running program sent with the project's own Python package.

use super::span::{Ids, Link, Span, Value};

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
            number >>= 7;
        }
        self.0.push(u8::try_from(number).unwrap_or(0));
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn number(&mut self, field: u32, number: u64) {
        self.key(field, 0);
        self.varint(number);
    }

    fn fixed64(&mut self, field: u32, number: u64) {
        self.key(field, 1);
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn ids(&mut self, ids: &Ids) {
        self.bytes(1, &ids.trace);
        self.bytes(2, &ids.span);
    }

    fn attribute(&mut self, field: u32, name: &str, value: &Value) {
        self.message(field, |pair| {
            pair.text(1, name);
            pair.message(2, |any| match value {
                Value::Word(word) => any.text(1, word),
                Value::Text(text) => any.text(1, text),
                Value::Number(number) => any.number(3, number.cast_unsigned()),
            });
        });
    }

    fn span(&mut self, span: &Span) {
        self.ids(&span.ids);
        if let Some(parent) = &span.parent {
            self.bytes(4, parent);
        }
        self.text(5, span.name);
        self.number(6, span.kind as u64);
        self.fixed64(7, span.start);
        self.fixed64(8, span.end);
        for (name, value) in &span.attributes {
            self.attribute(9, name, value);
        }
        for Link(ids) in &span.links {
            self.message(13, |link| link.ids(ids));
        }
        if let Some(error) = &span.error {
            self.message(15, |status| {
                status.text(2, error);
                status.number(3, ERROR);
            });
        }
    }
}

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// The body of a request that exports `spans`.
pub(super) fn request(spans: &[Span]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |of_resource| {
        of_resource.message(1, |resource| {
            resource.attribute(1, "service.name", &Value::Word("toktra-siem"));
            resource.attribute(1, "service.version", &Value::Word(env!("CARGO_PKG_VERSION")));
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.text(1, "toktra-siem");
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for span in spans {
                of_scope.message(2, |message| message.span(span));
            }
        });
    });
    request.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_are_written_as_varints() {
        let mut message = Message::default();
        message.number(1, 300);
        message.text(2, "testing");
        message.fixed64(16, 1);
        // The examples of protobuf's own encoding guide, and a field number that needs two bytes.
        let expected =
            [&[0x08, 0xac, 0x02, 0x12, 0x07][..], b"testing", &[0x81, 0x01, 1, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(message.0, expected);
    }
}
