//! Splits a command line as a shell does, as far as examples need it: quotes, continued lines (PowerShell's and Windows's too), variables, and
//! the start of the next command. Nothing is run.

use std::cell::Cell;
use std::collections::BTreeMap;

/// What the values of variables may add to a text in all, in bytes.
const MOST: usize = 16 * 1024;

/// What was assigned, by name, and which of it stands in for something.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, String>,
    /// What they have added so far.
    added: Cell<usize>,
}

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// The text with the values of the variables that are known; the others stay as they are written.
    pub(super) fn applied(&self, text: &str) -> String {
        if self.values.is_empty() || !text.contains(['$', '%']) {
            return text.to_owned();
        }
        let (mut applied, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find(['$', '%']) {
            applied.push_str(&rest[..at]);
            rest = &rest[at..];
            match self.at(rest) {
                Some((value, len)) if self.added.get() + value.len() <= MOST => {
                    self.added.set(self.added.get() + value.len());
                    applied.push_str(value);
                    rest = &rest[len..];
                }
                _ => {
                    applied.push_str(&rest[..1]);
                    rest = &rest[1..];
                }
            }
        }
        applied.push_str(rest);
        applied
    }

    /// The value of the variable that the text begins with, and how long its mention is.
    fn at(&self, text: &str) -> Option<(&str, usize)> {
        if let Some(behind) = text.strip_prefix('%') {
            let name = name_at(behind);
            behind[name.len()..].starts_with('%').then_some(())?;
            return Some((self.values.get(name)?, name.len() + 2));
        }
        let behind = &text[1..];
        let (inner, braces) = match behind.strip_prefix('{') {
            Some(inner) => (inner, true),
            None => (behind, false),
        };
        let scoped =
            ["env:", "Env:", "ENV:"].iter().find(|scope| inner.starts_with(**scope)).map_or(0, |scope| scope.len());
        let name = name_at(&inner[scoped..]);
        let mut len = 1 + usize::from(braces) + scoped + name.len();
        if braces {
            // A default may follow, which does not count; nothing of it is looked at twice.
            len += inner[scoped + name.len()..].bytes().take(200).position(|b| b == b'}')? + 1;
        }
        Some((self.values.get(name)?, len))
    }
}

/// The name of a variable that the text begins with; empty if there is none.
fn name_at(text: &str) -> &str {
    let len = text.bytes().take(100).take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    &text[..len]
}

/// One command.
#[derive(Debug, Default)]
pub(super) struct Command {
    /// Its words, the variables in their places.
    pub(super) words: Vec<String>,
    /// What ends a text that follows it: `cat << EOF`.
    pub(super) here: Option<String>,
    /// The position behind it.
    pub(super) end: usize,
}

/// The command that begins at this position.
pub(super) fn command(text: &str, from: usize, variables: &Variables) -> Command {
    let mut read = Command::default();
    let (mut word, mut open, mut quote) = (String::new(), false, None);
    let mut letters = text[from..].char_indices().peekable();
    read.end = text.len();
    while let Some((at, c)) = letters.next() {
        let rest = &text[from + at + c.len_utf8()..];
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                open = true;
            }
            // A line that goes on; a browser may have made a blank of its end, or nothing.
            (None, '\\' | '^' | '`') if goes_on(rest, c) => {
                let mut ended = false;
                while letters
                    .next_if(|(_, c)| c.is_whitespace() && !std::mem::replace(&mut ended, *c == '\n'))
                    .is_some()
                {}
                read.push(&mut word, &mut open, variables);
            }
            (None, '^') if rest.starts_with(['"', '^', '&', '|', '%']) => {}
            (_, '\\') if rest.starts_with(['"', '\'', '\\', '$', '`', ' ', '&', '?', '!']) => {
                word.extend(letters.next().map(|(_, next)| next));
            }
            (None, '\n') if !rest.trim_start_matches([' ', '\t']).starts_with('-') => {
                read.end = from + at + 1;
                break;
            }
            (None, ';' | '|') if is_apart(&word, rest) => {
                read.end = from + at + 1;
                break;
            }
            (None, '&') if word.is_empty() && rest.starts_with('&') => {
                read.end = from + at + 2;
                break;
            }
            (None, c) if c.is_whitespace() => read.push(&mut word, &mut open, variables),
            (_, c) => word.push(c),
        }
    }
    read.push(&mut word, &mut open, variables);
    read
}

impl Command {
    fn push(&mut self, word: &mut String, open: &mut bool, variables: &Variables) {
        if *open || !word.is_empty() {
            let word = std::mem::take(word);
            match self.words.last().map(String::as_str) {
                Some("<<" | "<<-") => {
                    self.words.pop();
                    self.here = Some(word);
                }
                // Where its output goes, or its input comes from.
                Some(">" | ">>" | "<" | "2>") => {
                    self.words.pop();
                }
                _ => match word.strip_prefix("<<").map(|here| here.trim_start_matches('-')) {
                    Some(here) if !here.is_empty() && !*open => self.here = Some(here.to_owned()),
                    _ => self.words.push(variables.applied(&word)),
                },
            }
        }
        *open = false;
    }
}

/// Whether the line goes on behind this sign.
fn goes_on(rest: &str, sign: char) -> bool {
    match sign {
        '\\' => rest.chars().next().is_none_or(|next| next.is_whitespace() || next == '-'),
        _ => rest.trim_start_matches([' ', '\t']).chars().next().is_none_or(|next| next == '\n'),
    }
}

/// Whether `;` or `|` ends the command: not inside of an address.
fn is_apart(word: &str, rest: &str) -> bool {
    word.is_empty() || rest.chars().next().is_none_or(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        command(text, 0, &Variables::default()).words
    }

    #[test]
    fn lines_go_on_in_every_shell() {
        for text in [
            "curl -a \\\n -b 'c d'",
            "curl -a \\  -b 'c d'",
            "curl -a \\-b 'c d'",
            "curl -a ^\n  -b \"c d\"",
            "curl -a `\n -b \"c d\"",
            "curl -a\n  -b 'c d'",
            "curl -a -b 'c d'\nls",
            "curl -a -b 'c d'; ls",
            "curl -a -b 'c d' && ls",
            "curl -a -b 'c d' | jq .",
            "curl -a -b 'c d' > out",
            "curl -a -b 'c d' <<EOF\n{}\nEOF",
        ] {
            assert_eq!(words(text), ["curl", "-a", "-b", "c d"], "{text}");
        }
        assert_eq!(words("curl https://a/?b=1&c=2 x;y"), ["curl", "https://a/?b=1&c=2", "x;y"]);
        assert_eq!(command("cat << 'EOF' | curl", 0, &Variables::default()).here.as_deref(), Some("EOF"));
    }

    #[test]
    fn known_variables_are_put_in_and_do_not_grow_without_end() {
        let mut variables = Variables::default();
        variables.set("A", "1");
        for (text, expected) in
            [("$A/${A}/${A:-x}/%A%/$env:A", "1/1/1/1/1"), ("$B ${B} %B% $ % ${A 100%", "$B ${B} %B% $ % ${A 100%")]
        {
            assert_eq!(variables.applied(text), expected);
        }
        for _ in 0..64 {
            let grown = variables.applied("$A$A");
            variables.set("A", &grown);
        }
        // Neither in one text nor in many.
        let all: usize = (0..5_000).map(|_| variables.applied("$A$A").len()).sum();
        assert!(all <= MOST + 5_000 * "$A$A".len(), "{all}");
    }
}
