//! The icons: drawn for this page on a grid of 16, one stroke, in the colour of the text beside them. They say nothing that the words beside
//! them do not, so that screen readers skip them.

use std::fmt;

use askama::FastWritable;
use toktra_siem_platform::Descriptor;

/// An icon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Icon {
    Check,
    Cross,
    Warning,
    Clock,
    Pause,
    Play,
    Plug,
    Send,
    Bolt,
    Seal,
    Key,
    Bell,
    People,
    List,
    Copy,
    Plus,
    Sun,
    Moon,
    Menu,
    Search,
    Person,
    Chevron,
    Back,
    Trash,
    Refresh,
    Download,
    Pencil,
    External,
}

impl Icon {
    fn paths(self) -> &'static str {
        match self {
            Self::Check => r#"<circle cx="8" cy="8" r="6.25"/><path d="m5.25 8.25 2 2 3.5-4.25"/>"#,
            Self::Cross => r#"<circle cx="8" cy="8" r="6.25"/><path d="m5.75 5.75 4.5 4.5m0-4.5-4.5 4.5"/>"#,
            Self::Warning => r#"<path d="M8 2 1.75 13.25h12.5z"/><path d="M8 6.5v3M8 11.25v.01"/>"#,
            Self::Clock => r#"<circle cx="8" cy="8" r="6.25"/><path d="M8 4.5V8l2.25 1.5"/>"#,
            Self::Pause => r#"<circle cx="8" cy="8" r="6.25"/><path d="M6.25 5.75v4.5m3.5-4.5v4.5"/>"#,
            Self::Play => r#"<path d="m5 3.25 7.5 4.75L5 12.75z"/>"#,
            Self::Plug => r#"<path d="M5.5 2v3.5m5-3.5v3.5M3.5 5.5h9V8a4.5 4.5 0 0 1-9 0zM8 12.5V15"/>"#,
            Self::Send => r#"<path d="M14 2 7 9m7-7-4.5 12L7 9 2 6.5z"/>"#,
            Self::Bolt => r#"<path d="M9 1.75 3.5 9H7.5l-.75 5.25L12.5 7H8.25z"/>"#,
            Self::Seal => {
                r#"<path d="M8 1.75 13 4v4c0 3-2.1 5.3-5 6.25C5.1 13.3 3 11 3 8V4z"/><path d="m5.75 8 1.75 1.75L10.5 6.5"/>"#
            }
            Self::Key => {
                r#"<circle cx="5.25" cy="10.75" r="3"/><path d="m7.5 8.5 6-6m-2.5 2.5 2 2M9.25 6.75l1.5 1.5"/>"#
            }
            Self::Bell => r#"<path d="M3.5 11.5V7a4.5 4.5 0 0 1 9 0v4.5zM2 11.5h12M6.5 14h3"/>"#,
            Self::People => {
                r#"<circle cx="6" cy="5.25" r="2.5"/><path d="M1.5 13.5c0-2.5 2-4 4.5-4s4.5 1.5 4.5 4M10.5 3a2.5 2.5 0 0 1 0 4.5M12 9.75c1.5.5 2.5 1.75 2.5 3.75"/>"#
            }
            Self::List => r#"<path d="M5.5 4h8.5M5.5 8h8.5M5.5 12h8.5M2.25 4v.01M2.25 8v.01M2.25 12v.01"/>"#,
            Self::Copy => {
                r#"<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5"/>"#
            }
            Self::Plus => r#"<path d="M8 3v10M3 8h10"/>"#,
            Self::Sun => {
                r#"<circle cx="8" cy="8" r="2.75"/><path d="M8 1.5V3m0 10v1.5M1.5 8H3m10 0h1.5M3.4 3.4l1.1 1.1m7 7 1.1 1.1m0-9.2-1.1 1.1m-7 7-1.1 1.1"/>"#
            }
            Self::Moon => r#"<path d="M13.5 9.75A5.75 5.75 0 0 1 6.25 2.5a5.75 5.75 0 1 0 7.25 7.25z"/>"#,
            Self::Menu => r#"<path d="M2.5 4.5h11m-11 3.5h11m-11 3.5h11"/>"#,
            Self::Search => r#"<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>"#,
            Self::Person => {
                r#"<circle cx="8" cy="5.25" r="2.75"/><path d="M2.75 14c0-2.9 2.35-4.5 5.25-4.5s5.25 1.6 5.25 4.5"/>"#
            }
            Self::Chevron => r#"<path d="m6 3.5 4.5 4.5L6 12.5"/>"#,
            Self::Back => r#"<path d="M10 3.5 5.5 8l4.5 4.5"/>"#,
            Self::Trash => r#"<path d="M2.5 4.25h11M6 4V2.5h4V4m1.75.25L11 13.5H5l-.75-9.25"/>"#,
            Self::Refresh => r#"<path d="M13.25 8A5.25 5.25 0 1 1 11.5 4.1M13.5 2v3h-3"/>"#,
            Self::Download => r#"<path d="M8 2v8m-3-3 3 3 3-3M2.5 13.5h11"/>"#,
            Self::Pencil => r#"<path d="m10.5 3 2.5 2.5L6 12.5l-3.25.75L3.5 10z"/>"#,
            Self::External => {
                r#"<path d="M9 2.5h4.5V7M13.5 2.5 7.5 8.5M11.5 9v3.5a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1H7"/>"#
            }
        }
    }

    /// As HTML.
    pub fn svg(self) -> String {
        svg(self.paths())
    }
}

/// The mark of a platform, as HTML: a hint of its own sign, not a copy. One that is not there has a plug.
pub fn mark(platform: Option<&Descriptor>) -> String {
    svg(platform.map_or_else(|| Icon::Plug.paths(), |platform| platform.icon))
}

fn svg(paths: &str) -> String {
    format!(
        "<svg class=\"icon\" viewBox=\"0 0 16 16\" width=\"16\" height=\"16\" aria-hidden=\"true\" focusable=\"false\">{paths}</svg>"
    )
}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.svg())
    }
}

impl FastWritable for Icon {
    fn write_into(&self, dest: &mut dyn fmt::Write, _values: &dyn askama::Values) -> askama::Result<()> {
        Ok(dest.write_str(&self.svg())?)
    }
}

impl askama::filters::HtmlSafe for Icon {}
