//! YAML as a tree in which every value knows its line, so that a fault can be pointed at.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

/// A value, and the line on which it begins (from 1).
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) tree: Tree,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; no name is there twice.
    Map(Vec<Member>),
}

/// A member of a map.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) value: Node,
}

/// The place at which a text is not YAML, and why.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) line: u64,
    pub(super) message: String,
}

/// Every document of `text`. Anchors are bounded by the parser, so that a small file cannot become a huge tree.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Syntax> {
    // Without the snippet: the lines around a fault may hold a secret. `no` and `on` are texts, as in YAML 1.2.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let documents: Result<Vec<Spanned<Tree>>, _> = serde_saphyr::from_multiple_with_options(text, options);
    let documents = documents.map_err(|error| Syntax {
        line: error.location().map_or(1, |at| at.line()),
        message: error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned(),
    })?;
    Ok(documents.into_iter().map(Node::from).collect())
}

impl From<Spanned<Tree>> for Node {
    fn from(spanned: Spanned<Tree>) -> Self {
        Self { line: spanned.referenced.line(), tree: spanned.value }
    }
}

impl Node {
    /// The member `name` of a map.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        match &self.tree {
            Tree::Map(members) => members.iter().find(|member| member.name == name),
            _ => None,
        }
    }

    /// The line of what a JSON Pointer points at, or of what should hold it.
    pub(super) fn line_at(&self, pointer: &str) -> u64 {
        let mut line = self.line;
        let mut node = self;
        for segment in pointer.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            let next = match &node.tree {
                Tree::Map(members) => members.iter().find(|m| m.name == name).map(|m| (m.line, &m.value)),
                Tree::List(items) => name.parse::<usize>().ok().and_then(|at| items.get(at)).map(|n| (n.line, n)),
                _ => None,
            };
            let Some((at, inner)) = next else { break };
            (line, node) = (at, inner);
        }
        line
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Flag(flag) => (*flag).into(),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => text.as_str().into(),
            Tree::List(items) => items.iter().map(Self::json).collect(),
            Tree::Map(members) => {
                members.iter().map(|m| (m.name.clone(), m.value.json())).collect::<serde_json::Map<_, _>>().into()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyTree)
    }
}

struct AnyTree;

impl<'de> Visitor<'de> for AnyTree {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Deserialize::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        Number::from_f64(number).map(Tree::Number).ok_or_else(|| E::custom("this number has no place in JSON"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Tree>>()? {
            list.push(item.into());
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = entries.next_entry::<Spanned<String>, Spanned<Tree>>()? {
            members.push(Member { line: name.referenced.line(), name: name.value, value: value.into() });
        }
        Ok(Tree::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_knows_its_line_in_every_document() {
        let text = "a: 1\nb:\n  - x\n  - {c: no, d: ~}\n---\ne: \"é\"\n";
        let documents = read(text).unwrap();
        assert_eq!(documents[0].json(), json!({"a": 1, "b": ["x", {"c": "no", "d": null}]}));
        let at = |pointer| documents[0].line_at(pointer);
        assert_eq!((at("/a"), at("/b"), at("/b/1/c"), at("/b/1/missing"), at("/missing")), (1, 2, 4, 4, 1));
        assert_eq!((documents[1].line_at("/e"), documents[1].json()), (6, json!({"e": "é"})));
    }

    #[test]
    fn what_is_no_yaml_is_named_by_its_line_without_the_text_around_it() {
        for (text, line) in
            [("a: 1\nb: [1\nc: hunter2\n", 3), ("a: 1\nb: 2\na: hunter2\n", 3), ("a: hunter2\n\tb: 1\n", 2)]
        {
            let fault = read(text).unwrap_err();
            assert!(!fault.message.contains("hunter2") && !fault.message.is_empty(), "{}", fault.message);
            assert!(fault.line.abs_diff(line) <= 1, "{} {}", fault.line, fault.message);
        }
    }

    #[test]
    fn a_bomb_of_anchors_is_refused() {
        let level = |n: usize| format!("a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 10].join(", "));
        let levels: Vec<String> = (1..12).map(level).collect();
        let text = format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}\n", levels.join("\n"));
        assert!(read(&text).is_err());
    }
}
