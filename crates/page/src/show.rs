//! Numbers, spans and times as people read them, and the states with their words. Everything that is shown twice is written once, here.

use std::fmt;
use std::time::Duration;

use askama::FastWritable;
use toktra_siem_core::time::Timestamp;

use super::icon::Icon;

/// HTML that this program made, escaped where it holds anything else: templates write it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// Plain text.
    pub fn text(text: &str) -> Self {
        Self(escaped(text))
    }

    /// HTML that is known to be well formed and free of anybody else's text.
    pub fn trusted(html: impl Into<String>) -> Self {
        Self(html.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FastWritable for Html {
    fn write_into(&self, dest: &mut dyn fmt::Write, _values: &dyn askama::Values) -> askama::Result<()> {
        Ok(dest.write_str(&self.0)?)
    }
}

impl askama::filters::HtmlSafe for Html {}

/// Text with everything replaced that means something in HTML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// How something stands: always a word and an icon, never colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It works, it arrived.
    Good,
    /// It is under way.
    Waiting,
    /// It works in part.
    Degraded,
    /// It does not work, it failed.
    Failed,
    /// It is switched off, it does not matter.
    Off,
}

impl Mood {
    /// Its class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting => "waiting",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Off => "off",
        }
    }

    /// Its icon.
    pub fn icon(self) -> Icon {
        match self {
            Self::Good => Icon::Check,
            Self::Waiting => Icon::Clock,
            Self::Degraded => Icon::Warning,
            Self::Failed => Icon::Cross,
            Self::Off => Icon::Pause,
        }
    }
}

/// A state as a badge: icon and word.
pub fn badge(mood: Mood, word: &str) -> Html {
    Html(format!("<span class=\"badge {}\">{}{}</span>", mood.class(), mood.icon().svg(), escaped(word)))
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 event`, `2 events`: a count with its noun.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A rate: as many digits as mean something.
pub fn rate(per_minute: f64) -> String {
    match per_minute {
        r if r <= 0.0 => "0/min".to_owned(),
        r if r < 10.0 => format!("{r:.1}/min").replace(".0/", "/"),
        r => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive, and saturating is right"
            )]
            let whole = r.round() as u64;
            format!("{}/min", count(whole))
        }
    }
}

/// A span of milliseconds: `840 ms`, `1.2 s`, `3 min`.
pub fn millis(ms: u64) -> String {
    match ms {
        0 => "< 1 ms".to_owned(),
        1..1_000 => format!("{ms} ms"),
        1_000..60_000 => {
            let tenths = ms / 100;
            if tenths.is_multiple_of(10) {
                format!("{} s", tenths / 10)
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        _ => span(Duration::from_millis(ms)),
    }
}

/// A span in its largest unit: `12 s`, `4 min`, `3 h`, `2 d`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `just now`, `4 min ago`, `in 2 h`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let (past, future) = (now.since(at), at.since(now));
    if past.as_secs() < 5 && future.as_secs() < 5 {
        "just now".to_owned()
    } else if future.is_zero() {
        format!("{} ago", span(past))
    } else {
        format!("in {}", span(future))
    }
}

/// `2025-01-15 10:30:00 UTC`.
pub fn utc(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock} UTC"),
        _ => text,
    }
}

/// A time that the script may write anew: relative ones as they grow old, exact ones in the reader's zone.
pub fn time(at: Timestamp, shown: &str, exact: bool) -> Html {
    let kind = if exact { "exact" } else { "ago" };
    Html(format!("<time class=\"{kind}\" datetime=\"{at}\" title=\"{}\">{}</time>", utc(at), escaped(shown)))
}

/// A sentence in which what stands between backticks is code.
pub fn prose(text: &str) -> Html {
    let parts: Vec<&str> = text.split('`').collect();
    // A backtick without another is one.
    let whole = parts.len() % 2 == 1;
    let mut out = String::with_capacity(text.len());
    for (at, part) in parts.iter().enumerate() {
        let (before, after) = match at % 2 {
            1 if whole || at + 1 < parts.len() => ("<code>", "</code>"),
            1 => ("`", ""),
            _ => ("", ""),
        };
        out.push_str(before);
        out.push_str(&escaped(part));
        out.push_str(after);
    }
    Html(out)
}

/// A sentence of the API. The times in it are written as everywhere on the page; the rest is plain text.
pub fn sentence(text: &str) -> Html {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((at, end, time_of)) = next_time(rest) {
        out.push_str(&escaped(&rest[..at]));
        out.push_str(time(time_of, &utc(time_of), true).as_str());
        rest = &rest[end..];
    }
    Html(out + &escaped(rest))
}

/// The first `2025-01-15T10:30:00.000Z` in `text`: where it begins and ends, and what it says.
fn next_time(text: &str) -> Option<(usize, usize, Timestamp)> {
    text.match_indices('T').find_map(|(mark, _)| {
        let start = mark.checked_sub(10)?;
        let end = mark + text.get(mark..)?.find('Z')? + 1;
        let at = text.get(start..end).filter(|text| text.len() <= 30)?;
        Some((start, end, serde_json::from_value(at.into()).ok()?))
    })
}

/// An id, in full for the clipboard, with a button that copies it.
pub fn id(id: &impl fmt::Display) -> Html {
    let id = escaped(&id.to_string());
    Html(format!("<span class=\"id\"><code>{id}</code>{}</span>", copy_button(&id)))
}

/// The button beside something worth copying. `text` is escaped already.
fn copy_button(text: &str) -> String {
    let icon = Icon::Copy.svg();
    format!("<button type=\"button\" class=\"copy\" data-copy=\"{text}\" aria-label=\"Copy {text}\">{icon}</button>")
}

/// The link that shows something of ours in another product, in a tab of its own.
pub fn open_in(product: &str, url: &str) -> Html {
    let (product, url, icon) = (escaped(product), escaped(url), Icon::External.svg());
    Html(format!(
        "<a class=\"button\" href=\"{url}\" target=\"_blank\" rel=\"noopener noreferrer\">{icon}Open in {product}</a>"
    ))
}

/// The button beside something worth copying, `what` it is.
pub fn copy(text: &str, what: &str) -> Html {
    let (text, what, icon) = (escaped(text), escaped(what), Icon::Copy.svg());
    Html(format!(
        "<button type=\"button\" class=\"copy\" data-copy=\"{text}\" aria-label=\"Copy {what}\">{icon}</button>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_have_units() {
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "event", "events"), counted(12, "event", "events")], ["1 event", "12 events"]);
        assert_eq!([rate(0.0), rate(0.25), rate(3.0), rate(1_234.4)], ["0/min", "0.2/min", "3/min", "1,234/min"]);
        assert_eq!([millis(840), millis(1_000), millis(1_250), millis(61_000)], ["840 ms", "1 s", "1.2 s", "1 min"]);
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let now = Timestamp(1_736_937_000_000);
        let at = |seconds: i64| ago(Timestamp(now.0 - seconds * 1000), now);
        assert_eq!(
            [at(0), at(59), at(60), at(7_200), at(200_000)],
            ["just now", "59 s ago", "1 min ago", "2 h ago", "2 d ago"]
        );
        assert_eq!(at(-120), "in 2 min");
        assert_eq!(utc(now), "2025-01-15 10:30:00 UTC");
    }

    #[test]
    fn what_stands_between_backticks_is_code() {
        assert_eq!(prose("Use `a < b`, not `c`.").as_str(), "Use <code>a &lt; b</code>, not <code>c</code>.");
        assert_eq!(prose("A ` b").as_str(), "A ` b");
        assert_eq!(prose("`a` ` <b>").as_str(), "<code>a</code> ` &lt;b&gt;");
    }

    #[test]
    fn the_times_of_a_sentence_are_the_pages() {
        let told = sentence("The <T>est failed at 2025-01-15T10:30:00.000Z, Zoe. Next at 2025-01-15T10:30:01Z.");
        let at = |second: u8| {
            format!(
                "<time class=\"exact\" datetime=\"2025-01-15T10:30:0{second}.000Z\" title=\"2025-01-15 10:30:0{second} UTC\">\
                 2025-01-15 10:30:0{second} UTC</time>"
            )
        };
        assert_eq!(told.as_str(), format!("The &lt;T&gt;est failed at {}, Zoe. Next at {}.", at(0), at(1)));
        for plain in ["", "T", "TZ", "2025-01-15T", "2025-01-15Tä Z", "äT10:30:00Z"] {
            assert_eq!(sentence(plain).as_str(), plain);
        }
    }

    #[test]
    fn nobodys_text_becomes_html() {
        assert_eq!(escaped("<b a='1'>&\""), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
        assert!(!badge(Mood::Good, "<i>").as_str().contains("<i>"));
        assert!(!copy("\" onclick=\"x", "<i>").as_str().contains("\" onclick"));
    }
}
