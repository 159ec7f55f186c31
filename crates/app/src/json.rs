//! Reads a JSON body as a tree and finds what a plain parser passes over: the same member twice in one object. Which of the two is meant
//! nobody can know, and a proxy before the service may have read the other one.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong, segment, shown};

/// Repeated members that are named.
const NAMED: usize = 10;

/// The value, and a fault for each member that its object has already. Nesting is bounded by the parser (128 levels), the rest by the
/// size of the body.
pub(crate) fn read(bytes: &[u8]) -> Result<(Value, Vec<FieldFault>), serde_json::Error> {
    let faults = RefCell::default();
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = Tree { path: &Path::Root, faults: &faults }.deserialize(&mut parser)?;
    parser.end()?;
    Ok((value, faults.into_inner()))
}

/// Where a value stands; made into text only for a fault.
enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(outer, name) => outer.pointer() + &segment(name),
            Self::Item(outer, index) => format!("{}/{index}", outer.pointer()),
        }
    }
}

/// Reads one value.
struct Tree<'p> {
    path: &'p Path<'p>,
    faults: &'p RefCell<Vec<FieldFault>>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let written = || Number::from_f64(number).map_or(Value::Null, Value::Number);
        Ok(whole(number).map_or_else(written, Value::from))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) =
            items.next_element_seed(Tree { path: &Path::Item(self.path, all.len()), faults: self.faults })?
        {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = Path::Member(self.path, &name);
            let value = members.next_value_seed(Tree { path: &path, faults: self.faults })?;
            if all.contains_key(&name) {
                self.repeated(&path, &name);
            }
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

/// `16.0` is 16: to JSON Schema, and to languages that know one kind of number, they are the same.
fn whole(number: f64) -> Option<i64> {
    // Up to here every whole number is a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and small enough")]
    let cast = |number: f64| number as i64;
    (number.fract() == 0.0 && number.abs() <= EXACT).then(|| cast(number))
}

impl Tree<'_> {
    fn repeated(&self, path: &Path<'_>, name: &str) {
        let mut faults = self.faults.borrow_mut();
        let pointer = path.pointer();
        if faults.len() < NAMED && faults.iter().all(|fault| fault.pointer != pointer) {
            faults.push(FieldFault::new(
                pointer,
                Wrong::new(FaultCode::Repeated, format!("`{}` is given more than once; send it once", shown(name))),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let (value, _) = read(b"[16.0, -1e2, -0.0, 1.5, 1e300]").unwrap();
        assert_eq!(value, serde_json::json!([16, -100, 0, 1.5, 1e300]));
    }

    fn repeated(text: &str) -> Vec<String> {
        read(text.as_bytes()).unwrap().1.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn what_is_read_is_what_a_plain_parser_reads() {
        for text in [
            r#"{"a":[1,-2,3.5,1e300,18446744073709551615,true,null,{}],"b":{"a":"x\u00e9\ud83d\ude00\n"},"":[]}"#,
            " [] ",
            "\"x\"",
            "null",
        ] {
            let (value, faults) = read(text.as_bytes()).unwrap();
            assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
            assert!(faults.is_empty(), "{text}");
        }
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for text in ["", "{", r#"{"a":1}x"#, r#"{"a":01}"#, "{\"a\":\"\u{1}\"}", "1e999", &deep] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"\"\xff\"").is_err());
    }

    #[test]
    fn a_member_given_twice_is_named_at_every_level_and_under_every_spelling() {
        assert_eq!(repeated(r#"{"name":"q","name":"r","name":"s"}"#), ["/name"]);
        assert_eq!(repeated(r#"{"name":"q","n\u0061me":"q"}"#), ["/name"]);
        assert_eq!(repeated(r#"{"c":{"u":1,"u":2},"l":[{},{"a/b":1,"a/b":1}]}"#), ["/c/u", "/l/1/a~1b"]);
        assert_eq!(repeated(r#"{"a":{"x":1},"b":{"x":1},"x":[{"x":1},{"x":1}]}"#), Vec::<String>::new());
        let many: Vec<String> = (0..100).map(|n| format!("\"{n}\":0,\"{n}\":0")).collect();
        assert_eq!(repeated(&format!("{{{}}}", many.join(","))).len(), NAMED);
        let (_, faults) = read(br#"{"hec_token":"hunter2","hec_token":"hunter3"}"#).unwrap();
        assert!(!format!("{faults:?}").contains("hunter"), "{faults:?}");
    }
}
