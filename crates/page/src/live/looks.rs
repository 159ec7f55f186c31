//! What a view looks like, and what brings an earlier look of it up to date: rows of tables that have an id are compared and sent one by
//! one, everything around them as a whole.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// How a view looked when it was made last, as hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Looks {
    around: u64,
    rows: Vec<(String, u64)>,
}

/// A part of a view.
enum Part<'a> {
    Around(&'a str),
    Row { id: &'a str, html: &'a str },
}

/// Where a row begins. Nobody's text can say it: templates escape `<`.
const ROW: &str = "<tr id=\"";
const ROW_END: &str = "</tr>";

fn parts(html: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest) = (Vec::new(), html);
    while let Some(start) = rest.find(ROW) {
        let row = &rest[start..];
        let (Some(end), Some((id, _))) = (row.find(ROW_END), row[ROW.len()..].split_once('"')) else { break };
        let end = end + ROW_END.len();
        parts.extend([Part::Around(&rest[..start]), Part::Row { id, html: &row[..end] }]);
        rest = &row[end..];
    }
    parts.push(Part::Around(rest));
    parts
}

fn hash(html: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    ageless(html).hash(&mut hasher);
    hasher.finish()
}

/// HTML without the words of its relative times: that they grow old is no change. The script lets them.
fn ageless(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find("<time class=\"ago\"") {
        let words = rest[start..].find('>').map_or(rest.len(), |end| start + end + 1);
        out.push_str(&rest[..words]);
        rest = rest[words..].find("</time>").map_or("", |end| &rest[words + end..]);
    }
    out.push_str(rest);
    out
}

impl Looks {
    /// The look of `html`.
    fn of(parts: &[Part<'_>]) -> Self {
        let (mut around, mut rows) = (DefaultHasher::new(), Vec::new());
        for part in parts {
            match part {
                Part::Around(html) => ageless(html).hash(&mut around),
                Part::Row { id, html } => {
                    id.hash(&mut around);
                    rows.push(((*id).to_owned(), hash(html)));
                }
            }
        }
        Self { around: around.finish(), rows }
    }

    /// Becomes the look of `html`. Gives what brings a page with the earlier look up to date, as htmx takes it: the rows that changed, each
    /// to its place; or, where rows came, went or moved, or something around them changed, all of it, with an empty row marked `data-same`
    /// for each that stays as it is. `None` where nothing changed.
    pub(super) fn become_that_of(&mut self, html: &str) -> Option<String> {
        let parts = parts(html);
        let new = Self::of(&parts);
        if new == *self {
            return None;
        }
        let old = std::mem::replace(self, new);
        let same = |id: &str, html: &str| old.rows.iter().any(|(row, looks)| row == id && *looks == hash(html));
        let alone = old.around == self.around;
        let mut change = String::new();
        for part in parts {
            let _ = match part {
                Part::Around(_) if alone => Ok(()),
                Part::Row { id, html } if alone && same(id, html) => Ok(()),
                Part::Row { id, html } if alone => {
                    write!(change, "<hx-partial hx-target=\"#{id}\" hx-swap=\"outerMorph\">{html}</hx-partial>")
                }
                Part::Row { id, html } if same(id, html) => write!(change, "{ROW}{id}\" data-same>{ROW_END}"),
                Part::Around(html) | Part::Row { html, .. } => change.write_str(html),
            };
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, text: &str) -> String {
        format!("<tr id=\"c-{id}\"><td>{text}</td></tr>")
    }

    fn table(rows: &[String]) -> String {
        format!("<table>{}</table><p>end</p>", rows.concat())
    }

    #[test]
    fn only_the_rows_that_changed_are_sent_while_all_else_stays() {
        let mut looks = Looks::default();
        let first = table(&[row(1, "a"), row(2, "b"), row(3, "c")]);
        assert_eq!(looks.become_that_of(&first).as_deref(), Some(&*first), "of nothing, everything is new");
        assert_eq!(looks.become_that_of(&first), None);
        let changed = looks.become_that_of(&table(&[row(1, "a"), row(2, "B"), row(3, "c")])).unwrap();
        assert_eq!(
            changed,
            format!("<hx-partial hx-target=\"#c-2\" hx-swap=\"outerMorph\">{}</hx-partial>", row(2, "B"))
        );
    }

    #[test]
    fn rows_that_move_come_or_go_bring_the_rest_as_places() {
        let mut looks = Looks::default();
        looks.become_that_of(&table(&[row(1, "a"), row(2, "b"), row(3, "c")]));
        let place = |id: u32| format!("<tr id=\"c-{id}\" data-same></tr>");
        let moved = looks.become_that_of(&table(&[row(3, "c"), row(1, "x"), row(4, "d")])).unwrap();
        assert_eq!(moved, table(&[place(3), row(1, "x"), row(4, "d")]));
        let gone = looks.become_that_of(&table(&[row(3, "c")])).unwrap();
        assert_eq!(gone, table(&[place(3)]));
        let around = looks.become_that_of(&table(&[row(3, "c")]).replace("end", "END")).unwrap();
        assert_eq!(around, table(&[place(3)]).replace("end", "END"));
    }

    #[test]
    fn that_time_passes_is_no_change() {
        let at = |words| format!("<p><time class=\"ago\" title=\"x\">{words}</time> and <b>4</b></p>");
        assert_eq!(ageless(&at("4 s ago")), ageless(&at("6 s ago")));
        assert_ne!(ageless(&at("4 s ago")), ageless(&at("4 s ago").replace('4', "5")));
        let exact = "<time class=\"exact\">10:30</time>";
        assert_eq!(ageless(exact), exact);
        assert_eq!(ageless("<time class=\"ago\""), "<time class=\"ago\"", "whatever it is given");
        let mut looks = Looks::default();
        looks.become_that_of(&table(&[row(1, &at("4 s ago"))]));
        assert_eq!(looks.become_that_of(&table(&[row(1, &at("6 s ago"))])), None);
    }

    #[test]
    fn whatever_it_is_given_it_sends_whole() {
        for odd in ["", "<tr id=\"", "<tr id=\"a", "<tr id=\"a\">", "</tr><tr id=\"a\"></tr>", "text"] {
            let mut looks = Looks { around: 1, rows: Vec::new() };
            assert_eq!(looks.become_that_of(odd).as_deref(), Some(odd));
        }
    }
}
