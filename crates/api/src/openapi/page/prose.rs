//! The little Markdown that descriptions use, as HTML: paragraphs, lists, `code` and **bold**.

use std::fmt::Write as _;

/// `text` as HTML; what stands in it is shown as it is, never taken for HTML.
pub(super) fn prose(text: &str) -> String {
    let mut html = String::new();
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        if paragraph.starts_with("- ") {
            let items = paragraph.lines().map(|line| format!("<li>{}</li>", inline(line.trim_start_matches("- "))));
            let _ = write!(html, "<ul>{}</ul>", items.collect::<String>());
        } else {
            let _ = write!(html, "<p>{}</p>", inline(paragraph));
        }
    }
    html
}

/// One run of text, without a paragraph around it.
pub(super) fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, piece) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(html, "<code>{}</code>", escaped(piece));
            continue;
        }
        for (index, piece) in piece.split("**").enumerate() {
            let piece = escaped(piece);
            let (open, close) = if index % 2 == 1 { ("<strong>", "</strong>") } else { ("", "") };
            let _ = write!(html, "{open}{piece}{close}");
        }
    }
    html
}

/// `text` without anything that HTML would take for its own.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_elements_and_nothing_else_does() {
        assert_eq!(
            prose("**Keys.** Send `<key>` & wait.\n\n- `a`: b\n- c"),
            "<p><strong>Keys.</strong> Send <code>&lt;key&gt;</code> &amp; wait.</p><ul><li><code>a</code>: b</li><li>c</li></ul>"
        );
        assert_eq!(prose("`**`"), "<p><code>**</code></p>");
        assert_eq!(prose(" "), "");
    }
}
