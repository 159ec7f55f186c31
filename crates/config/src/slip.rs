//! Stray characters around a value: the line ends of Windows, quotation marks that only a shell takes away, a `~` that only a shell
//! understands. One rule for every setting, applied before the text is used, so that no directory, address or password is created that
//! nobody meant.

use super::settings::Kind;

/// Marks that stand around a value in files of variables and in documents.
const QUOTATION_MARKS: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];

/// What is wrong with the text of a setting of this kind as such, and the step to take. Certificates and keys are understood in whatever they
/// are pasted in. Never repeats the text, which may be a secret.
pub fn slip(kind: Kind, text: &str) -> Option<&'static str> {
    control(kind, text)
        .or_else(|| quoted(text).filter(|_| !matches!(kind, Kind::Pem | Kind::PrivateKey)))
        .or_else(|| path(text).filter(|_| kind == Kind::Path))
}

/// Line breaks and tabs are part of what spans several lines; nothing else may hold a control character.
fn control(kind: Kind, text: &str) -> Option<&'static str> {
    let unwanted = |c: char| c.is_control() && !(kind.spans_lines() && c.is_whitespace());
    let first = text.chars().find(|c| unwanted(*c))?;
    Some(match first {
        '\r' if text.ends_with(['\r', '\n']) => {
            "ends with a carriage return, as the lines of a file from Windows do. Save that file with Unix line ends"
        }
        '\n' if text.ends_with('\n') => "ends with a line break. Give it without: `printf %s` writes none, `echo` does",
        '\r' | '\n' => "holds a line break. Give it in one line",
        '\t' => "holds a tab. Remove it",
        _ => "holds a control character, which cannot be seen. Type the value anew instead of pasting it",
    })
}

fn quoted(text: &str) -> Option<&'static str> {
    let around = |(open, close)| text.strip_prefix(open).is_some_and(|rest: &str| rest.ends_with(close));
    QUOTATION_MARKS.into_iter().any(around).then_some(
        "begins and ends with quotation marks, which count as part of the value. Remove them: a shell takes them away, `docker run \
         --env-file` does not",
    )
}

/// What a shell makes of a path, and nobody else does.
fn path(text: &str) -> Option<&'static str> {
    if text.starts_with('~') {
        Some(
            "begins with `~`, which only a shell understands. Give the whole path (or `./~…`, if the name really begins so)",
        )
    } else if text.starts_with('$') {
        Some("begins with `$`, but variables are not replaced here. Give the whole path")
    } else if text.trim() != text {
        Some("begins or ends with a space. Remove it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_characters_around_a_value_are_named() {
        for (kind, text, said) in [
            (Kind::Path, "./data\r", "carriage return"),
            (Kind::Text, "token\r\n", "carriage return"),
            (Kind::Text, "password\n", "ends with a line break"),
            (Kind::Text, "pass\nword", "in one line"),
            (Kind::Duration, "30d\t", "a tab"),
            (Kind::Text, "a\u{0}b", "control character"),
            (Kind::Networks, "10.0.0.0/8\u{7f}", "control character"),
            (Kind::Path, "\"./data\"", "quotation marks"),
            (Kind::Url, "'https://a.example'", "quotation marks"),
            (Kind::Text, "“token”", "quotation marks"),
            (Kind::Path, "~", "only a shell"),
            (Kind::Path, "~/data", "only a shell"),
            (Kind::Path, "$HOME/data", "not replaced"),
            (Kind::Path, " ./data", "a space"),
        ] {
            let found = slip(kind, text);
            assert!(found.is_some_and(|found| found.contains(said)), "{kind:?} {text:?}: {found:?}");
        }
    }

    #[test]
    fn what_is_meant_passes() {
        for (kind, text) in [
            (Kind::Path, "./data"),
            (Kind::Path, "/var/lib/it's here/~"),
            (Kind::Text, "pass \"word\" of mine"),
            (Kind::Text, "\""),
            (Kind::Text, "~not a path"),
            (Kind::Networks, "10.0.0.0/8,\r\n\tfd00::/8\n"),
            (Kind::Pem, "-----BEGIN CERTIFICATE-----\r\nAA\r\n"),
            (Kind::Headers, "x-a: 1\nx-b: 2\n"),
        ] {
            assert_eq!(slip(kind, text), None, "{kind:?} {text:?}");
        }
    }
}
