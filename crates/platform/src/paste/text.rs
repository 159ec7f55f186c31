//! What a text looks like before anything is read in it: without what a word processor, a mail, a terminal or a page of documentation put
//! around it; and which values stand for others.

use std::ops::Range;

/// Words that begin a command, so that what stands before them is a prompt and no comment.
const COMMANDS: [&str; 14] = [
    "curl",
    "curl.exe",
    "wget",
    "http",
    "https",
    "xh",
    "export",
    "set",
    "docker",
    "podman",
    "helm",
    "sudo",
    "Invoke-RestMethod",
    "Invoke-WebRequest",
];

/// The text with plain quotes, dashes, blanks and line ends, without fences, prompts, and the marks of quoted mail.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\r' => {
                letters.next_if_eq(&'\n');
                plain.push('\n');
            }
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => plain.push(' '),
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{2032}' => plain.push('\''),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{ab}' | '\u{bb}' => plain.push('"'),
            // A long dash before a word was two, an option's.
            '\u{2013}' | '\u{2014}'
                if plain.ends_with([' ', '\n'])
                    && letters.clone().take(2).filter(char::is_ascii_alphabetic).count() == 2 =>
            {
                plain.push_str("--");
            }
            '\u{2010}'..='\u{2014}' | '\u{2212}' => plain.push('-'),
            // The last ones stand for blocks of PEM later on.
            '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' => {}
            _ => plain.push(c),
        }
    }
    let lines: Vec<&str> = plain.lines().filter(|line| !is_fence(line)).map(without_prompt).collect();
    lines.join("\n")
}

fn is_fence(line: &str) -> bool {
    let line = line.trim().trim_start_matches('>').trim_start();
    ["```", "~~~"].iter().any(|fence| line.starts_with(fence) && !line[3..].contains('`'))
}

/// The line behind a prompt. A `#` is one only before a command; anywhere else it begins a comment.
fn without_prompt(line: &str) -> &str {
    let bare = line.trim_start();
    if let Some(rest) = bare.strip_prefix("PS ").and_then(|rest| rest.split_once("> ")) {
        return rest.1;
    }
    if let Some(rest) = bare.strip_prefix("$ ").or_else(|| bare.strip_prefix("> ")) {
        return rest;
    }
    let command = |rest: &str| COMMANDS.contains(&rest.split_whitespace().next().unwrap_or_default());
    let behind = bare.strip_prefix(['#', '%']).or_else(|| bare.split_once('>').map(|(_, rest)| rest));
    let behind =
        behind.or_else(|| bare.split_once(['#', '$']).filter(|(before, _)| before.contains('@')).map(|(_, rest)| rest));
    behind.map(str::trim_start).filter(|rest| command(rest)).unwrap_or(line)
}

/// The text without these parts, each of which has a sign of the private use area in its place; their order is that of the signs.
pub(super) fn without(text: &str, parts: &[Range<usize>]) -> String {
    let (mut rest, mut from) = (String::with_capacity(text.len()), 0);
    for (number, part) in parts.iter().enumerate() {
        rest.push_str(&text[from..part.start.max(from)]);
        rest.extend(sign(number));
        from = part.end;
    }
    rest.push_str(&text[from..]);
    rest
}

/// The sign of a part that was taken out.
pub(super) fn sign(number: usize) -> Option<char> {
    u32::try_from(number).ok().and_then(|number| char::from_u32(0xe000 + number)).filter(|c| *c <= '\u{f8ff}')
}

/// Which part a sign stands for.
pub(super) fn signified(c: char) -> Option<usize> {
    ('\u{e000}'..='\u{f8ff}').contains(&c).then(|| c as usize - 0xe000)
}

/// Whether `value` stands for what somebody is to put in its place: `$HEC_TOKEN`, `<token>`, `{{token}}`, `%TOKEN%`, `YOUR_API_KEY`, `xxxx-…`.
pub(super) fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    let between = |open: &str, close: &str| {
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some_and(|inner| !inner.is_empty())
    };
    let name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let variable = value.strip_prefix('$').is_some_and(|rest| {
        rest.starts_with('{') || rest.starts_with('(') || rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let lower = value.to_ascii_lowercase();
    let yours = ["your", "my_", "my-", "replace", "insert", "changeme", "<"].iter().any(|word| lower.starts_with(word))
        && ["key", "token", "password", "secret", "here", "me"].iter().any(|word| lower.ends_with(word));
    let blotted = value.len() >= 3 && value.chars().all(|c| matches!(c, 'x' | 'X' | '*' | '.' | '…' | '-' | '•'));
    variable
        || between("<", ">")
        || between("{{", "}}")
        || between("[", "]")
        || yours
        || blotted
        || value.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(name)
}

/// Whether a placeholder stands somewhere in an address.
pub(super) fn has_placeholder(address: &str) -> bool {
    ["$", "<", "{{", "%{", "YOUR", "your-", "your_"].iter().any(|sign| address.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_around_a_text_is_taken_away() {
        for (text, expected) in [
            ("\u{feff}a\r\nb\rc", "a\nb\nc"),
            ("curl\u{a0}\u{201c}x\u{201d} \u{2013}data \u{2018}y\u{2019}", "curl \"x\" --data 'y'"),
            ("a\u{2013}b \u{2014}\u{2014}-BEGIN", "a-b ---BEGIN"),
            ("```bash\ncurl x\n```", "curl x"),
            ("$ curl x \\\n>   -k", "curl x \\\n  -k"),
            ("# curl x\n# a comment", "curl x\n# a comment"),
            ("root@siem:~# curl x", "curl x"),
            ("PS C:\\Users\\me> curl.exe x", "curl.exe x"),
            ("C:\\> curl x", "curl x"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn parts_that_are_taken_out_leave_a_sign() {
        let cut = without("ab--cd--e", &[2..4, 6..8]);
        assert_eq!(cut, "ab\u{e000}cd\u{e001}e");
        assert_eq!(cut.chars().filter_map(signified).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn what_stands_for_something_else_is_told_from_it() {
        for placeholder in [
            "$HEC_TOKEN",
            "${DD_API_KEY}",
            "$(cat token)",
            "<token>",
            "<YOUR_API_KEY>",
            "{{ token }}",
            "%TOKEN%",
            "YOUR_API_KEY",
            "your-token-here",
            "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "********",
            "...",
            "[token]",
            "REPLACE_ME",
        ] {
            assert!(is_placeholder(placeholder), "{placeholder}");
        }
        for real in
            ["11111111-2222-3333-4444-555555555555", "aWQ6a2V5", "p$ss", "$1a!", "%41bc%", "yourself", "x", "key"]
        {
            assert!(!is_placeholder(real), "{real}");
        }
    }
}
