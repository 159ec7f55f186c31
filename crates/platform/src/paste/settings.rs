//! Settings in text: YAML, INI and its relatives (Splunk's `.conf`, TOML, Fluent Bit), Logstash's blocks, XML, lines of `name: value`. None of
//! them is read to the letter, since people paste a part, often indented wrongly: what counts is which value stands under which name, and the
//! names above it.

/// How many settings are read.
pub(super) const MOST: usize = 500;
/// How deep they may lie.
const DEEPEST: usize = 16;
/// The longest name of one part.
const LONGEST_NAME: usize = 80;

/// A value with its name: the names above it as well, joined by dots, in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

/// Reads line by line; what is above a line is remembered.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) found: Vec<Setting>,
    /// More were there.
    pub(super) more: bool,
    stanza: Option<String>,
    blocks: Vec<String>,
    /// Names that lines further in belong to, with how far in they stand themselves.
    above: Vec<(usize, String)>,
}

impl Reader {
    /// Reads the lines from the first on; answers how many of them it took. None if the first is no setting.
    pub(super) fn read(&mut self, lines: &[&str]) -> usize {
        let Some(line) = lines.first() else { return 0 };
        let indent = indent(line);
        let text = line.trim();
        if text.is_empty() || is_comment(text) || matches!(text, "---" | "..." | "{" | "},") {
            return 1;
        }
        if matches!(text.trim_end_matches([',', ';', ')']), "}" | "]" | "") || text.starts_with("</") {
            self.blocks.pop();
            return 1;
        }
        if let Some(stanza) = stanza(text) {
            self.stanza = Some(stanza);
            self.above.clear();
            return 1;
        }
        if let Some((name, value)) = element(text) {
            match value {
                Some(value) => self.put(&[name], &value),
                None => self.blocks.push(name),
            }
            return 1;
        }
        if let Some(name) = text.strip_suffix('{').map(|name| name.trim_end_matches(['=', '>', ':', ' ']))
            && let Some(name) = name_of(name)
        {
            self.blocks.push(name);
            return 1;
        }
        if text.starts_with('{') && text.ends_with('}') {
            self.value(&[], text);
            return 1;
        }
        self.line(lines, indent, text)
    }

    fn line(&mut self, lines: &[&str], indent: usize, text: &str) -> usize {
        let (mut indent, mut text, mut item) = (indent, text, false);
        while let Some(rest) = text.strip_prefix("- ") {
            let behind = rest.trim_start();
            indent += text.len() - behind.len();
            (text, item) = (behind, true);
        }
        let Some((name, value)) = pair(text).or_else(|| self.spaced(text)) else {
            if !item {
                return 0;
            }
            self.leave(indent.saturating_sub(1));
            if is_block(text) {
                return self.block(&[], lines);
            }
            self.value(&[], text);
            return 1;
        };
        self.leave(indent);
        let value = value.trim();
        if value.is_empty() {
            if self.above.len() < DEEPEST {
                self.above.push((indent, name));
            }
            return 1;
        }
        if is_block(value) {
            return self.block(&[name], lines);
        }
        // A value in brackets may go on for some lines.
        let mut flow = value.to_owned();
        let mut taken = 1;
        if value.starts_with(['[', '{']) || value.starts_with("@{") || value.starts_with("@(") {
            let mut open = scan(value).1;
            while open > 0 && taken < lines.len() {
                let line = lines[taken].trim();
                open += scan(line).1;
                flow.push('\n');
                flow.push_str(line);
                taken += 1;
            }
        }
        self.value(&[name], &flow);
        taken
    }

    /// A text of several lines, each further in than the first one here.
    fn block(&mut self, names: &[String], lines: &[&str]) -> usize {
        let least = indent(lines[0]);
        let further = |line: &&&str| line.trim().is_empty() || indent(line) > least;
        let block: Vec<&str> = lines[1..].iter().take_while(further).map(|line| line.trim()).collect();
        self.put(names, block.join("\n").trim());
        1 + block.len()
    }

    /// Names that stand as far in as this line have nothing below them any more. A list may stand as far in as its name.
    fn leave(&mut self, indent: usize) {
        while self.above.last().is_some_and(|(above, _)| *above >= indent) {
            self.above.pop();
        }
    }

    /// `Name value`, as Fluent Bit and Fluentd write it inside of a section.
    fn spaced(&self, text: &str) -> Option<(String, String)> {
        if self.stanza.is_none() && self.blocks.is_empty() {
            return None;
        }
        let (name, value) = text.split_once(char::is_whitespace)?;
        Some((name_of(name.trim_start_matches('@'))?, value.trim().to_owned()))
    }

    /// A value of any kind: a list, a map, a text.
    fn value(&mut self, names: &[String], text: &str) {
        self.nested(names, text, 0);
    }

    fn nested(&mut self, names: &[String], text: &str, deep: usize) {
        let text = text.trim().trim_end_matches([',', ';']).trim();
        let inner = [("[", "]"), ("@{", "}"), ("{", "}"), ("@(", ")")].into_iter().find_map(|(open, close)| {
            let list = open == "[" || open == "@(";
            Some((text.strip_prefix(open)?.strip_suffix(close)?, list)).filter(|_| !text.starts_with("{{"))
        });
        match inner {
            // A placeholder in brackets is no list.
            Some((inner, true)) if !inner.contains(['"', '\'', ',', ':', '{', '.']) => self.put(names, text),
            Some((inner, list)) if deep < DEEPEST => {
                for part in scan(inner).0 {
                    match pair(part.trim()).filter(|_| !list) {
                        Some((name, value)) => self.nested(&[names, &[name]].concat(), &value, deep + 1),
                        None => self.nested(names, part, deep + 1),
                    }
                }
            }
            _ => self.put(names, unquoted(text)),
        }
    }

    /// Keeps a value under its name.
    pub(super) fn put(&mut self, names: &[String], value: &str) {
        if self.found.len() >= MOST {
            self.more = true;
            return;
        }
        let above = self.stanza.iter().chain(&self.blocks).chain(self.above.iter().map(|(_, name)| name));
        let names: Vec<&str> = above.chain(names).map(String::as_str).take(DEEPEST).collect();
        // In lists of an environment, names stand in the values.
        match value
            .split_once('=')
            .filter(|(name, value)| is_of_environment(name) && !value.trim_matches('=').is_empty())
        {
            Some((name, value)) => self.add(name.to_ascii_lowercase(), unquoted(value)),
            None => self.add(names.join("."), value),
        }
    }

    fn add(&mut self, name: String, value: &str) {
        let value = value.trim().to_owned();
        self.found.push(Setting { name, value });
    }

    /// A JSON text.
    pub(super) fn json(&mut self, value: &serde_json::Value, names: &[String]) {
        match value {
            serde_json::Value::Object(members) if names.len() < DEEPEST => {
                for (name, value) in members {
                    let name: String = name.chars().take(LONGEST_NAME).collect();
                    self.json(value, &[names, &[name.to_ascii_lowercase()]].concat());
                }
            }
            serde_json::Value::Array(items) if names.len() < DEEPEST => {
                for item in items {
                    self.json(item, names);
                }
            }
            serde_json::Value::String(text) => self.put(names, text),
            serde_json::Value::Null => {}
            other => self.put(names, &other.to_string()),
        }
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a text of several lines follows.
fn is_block(value: &str) -> bool {
    matches!(value, "|" | "|-" | "|+" | ">" | ">-" | ">+")
}

fn is_comment(text: &str) -> bool {
    text.starts_with(['#', ';']) || text.starts_with("//") || text.starts_with("<!--") || text.starts_with("<?")
}

/// The name of an environment's variable.
pub(super) fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= LONGEST_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The same in the capitals that they usually have.
fn is_of_environment(name: &str) -> bool {
    is_variable(name) && !name.bytes().any(|b| b.is_ascii_lowercase())
}

/// `[name]`, without what tells one of a kind from another: `[http://main]` is `http`.
fn stanza(text: &str) -> Option<String> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim_start_matches('[').trim_end_matches(']');
    if inner.contains(['"', '\'', ',']) {
        return None;
    }
    name_of(inner.split(':').next().unwrap_or_default())
}

/// `<name>` or `<name …>`, and `<name>value</name>`. The name that an attribute gives counts more.
fn element(text: &str) -> Option<(String, Option<String>)> {
    let (tag, rest) = text.strip_prefix('<')?.split_once('>')?;
    let tag_name = tag.split_whitespace().next()?;
    let given = tag.split_once("name=").and_then(|(_, given)| given.get(1..)?.split(['"', '\'']).next());
    let name = name_of(given.unwrap_or(tag_name.rsplit(':').next().unwrap_or(tag_name)))?;
    match rest.strip_suffix('>').and_then(|rest| rest.rsplit_once("</")) {
        Some((value, end)) if end == tag_name => Some((name, Some(value.trim().to_owned()))),
        None if rest.is_empty() && !tag.ends_with('/') && tag.contains([' ', ':']) => Some((name, None)),
        _ => None,
    }
}

/// A name and its value.
fn pair(text: &str) -> Option<(String, String)> {
    // The first separator counts; only so much of a line is a name.
    let head = text.char_indices().nth(LONGEST_NAME).map_or(text, |(at, _)| &text[..at]);
    let quoted = head.starts_with(['"', '\'']).then(|| head[1..].find(&head[..1]).map(|at| at + 2)).flatten();
    let behind = quoted.unwrap_or(0);
    let at = behind + head[behind..].find([':', '='])?;
    let (name, rest) = text.split_at(at);
    let equals = rest.starts_with('=');
    let value = if equals { rest[1..].trim_start_matches('>') } else { rest[1..].trim_start_matches('=') };
    let name = name_of(name)?;
    let apart = value.is_empty() || value.starts_with(char::is_whitespace) || quoted.is_some();
    let header = name == "authorization" || ["-key", "-token"].iter().any(|end| name.ends_with(end));
    let to_be = if equals { !value.trim_matches('=').is_empty() || head[..at].ends_with(' ') } else { apart || header };
    to_be.then(|| (name, uncommented(value.trim()).to_owned()))
}

/// A name of up to four words, in small letters.
fn name_of(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("$env:").trim_start_matches(['$', '@']).trim_matches(['"', '\'', '*']);
    let first = text.chars().next().is_some_and(char::is_alphanumeric);
    let known = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' ');
    let name = first && text.len() <= LONGEST_NAME && text.chars().all(known) && text.split_whitespace().count() <= 4;
    name.then(|| text.to_lowercase())
}

/// A value without the comment behind it.
fn uncommented(value: &str) -> &str {
    if value.starts_with(['"', '\'']) {
        let quoted = value[1..].find(&value[..1]).map(|at| at + 2);
        return match quoted {
            Some(end) if value[end..].trim_start().starts_with(['#', '/']) => &value[..end],
            _ => value,
        };
    }
    value.find(" #").map_or(value, |at| value[..at].trim_end())
}

/// A value without its quotes.
pub(super) fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// The parts of a list or a map, at its outermost level; and how many brackets stay open, those in quotes aside.
fn scan(text: &str) -> (Vec<&str>, isize) {
    let (mut parts, mut from, mut depth, mut quote) = (Vec::new(), 0, 0_isize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth -= 1,
            (None, ',' | ';' | '\n') if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.retain(|part| !part.trim().is_empty());
    (parts, depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let lines: Vec<&str> = text.lines().collect();
        let (mut reader, mut at) = (Reader::default(), 0);
        while at < lines.len() {
            at += reader.read(&lines[at..]).max(1);
        }
        reader.found.into_iter().map(|setting| format!("{}={}", setting.name, setting.value)).collect()
    }

    #[test]
    fn whatever_the_notation_names_lead_to_values() {
        for text in [
            "a:\n  b:\n    c: \"x y\" # why\n  d: [1, '2']",
            "a.b.c: x y\na.d:\n- 1\n- \"2\"",
            "a:\n  b.c: x y\n  d:\n    - 1\n    - 2\n",
            "[a]\nb.c = x y\nd = [\"1\", \"2\"]",
            "a {\n  b {\n    c => \"x y\"\n  }\n  d => [\"1\",\n    \"2\"]\n}",
            "a: {b: {c: 'x y'}, d: [1, 2]}",
            "[A]\n    b.c  x y\n    d 1\n    D 2",
            "<a x=\"y\">\n<b.c>x y</b.c>\n<d>1</d>\n<s:k name=\"d\">2</s:k>\n</a>",
        ] {
            assert_eq!(read(text), ["a.b.c=x y", "a.d=1", "a.d=2"], "{text}");
        }
    }

    #[test]
    fn what_is_no_setting_is_left() {
        for text in
            ["splunk.company.com:8088", "https://a/?b=c", "hello world", "aWQ6a2V5==", "deploy:ZXUtY2VudA==", "é: 😀"]
        {
            let found = read(text);
            assert!(found.len() <= 1, "{text}: {found:?}");
        }
        assert_eq!(read("env:\n  - DD_KEY=a\n  - DD_SITE: 'b'"), ["env.dd_key=a", "env.dd_site=b"]);
        assert_eq!(read("ca: |\n  one\n  two\nb: c"), ["ca=one\ntwo", "b=c"]);
        assert_eq!(read("$headers = @{\n  \"Authorization\" = \"Splunk x\"\n}"), ["headers.authorization=Splunk x"]);
    }
}
