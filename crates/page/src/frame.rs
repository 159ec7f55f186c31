//! What stands around every page: the rail, the top bar, and what the last action came to.

use askama::Template;

use toktra_siem_core::ids::PlatformId;
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::Registry;

use super::assets::{self, Asset};
use super::icon::{self, Icon};
use super::model::SessionInfo;
use super::show::{self, Html};

/// The part of the page that somebody is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Outside of the rail.
    None,
    /// Connectors.
    Connectors,
    /// The history over all connectors.
    Deliveries,
    /// Events.
    Events,
    /// Checking a signature.
    Verify,
    /// API keys.
    Keys,
    /// Users.
    Users,
    /// Who is told when something is wrong.
    Notifications,
    /// The audit log.
    Audit,
    /// One's own account.
    Account,
}

/// A line of the rail.
pub struct Entry {
    /// Where it leads.
    pub path: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// Its picture.
    pub icon: Icon,
    /// Whether it is where one is.
    pub current: bool,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Reads a cookie or a form.
    pub fn read(word: Option<&str>) -> Self {
        match word {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    /// The word that is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// Not.
    Failed,
}

/// What the page says above everything else: how the last action ended. What was changed is in the audit log as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How it ended.
    pub outcome: Outcome,
    /// The same in a sentence.
    pub text: String,
}

impl Notice {
    /// Something was done.
    pub fn done(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Done, text: text.into() }
    }

    /// Something was not done.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, text: text.into() }
    }

    /// As a cookie holds it. A notice that would not fit is cut.
    pub fn written(&self) -> String {
        let word = if self.outcome == Outcome::Done { "done" } else { "failed" };
        let text: String = self.text.chars().take(300).collect();
        let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        format!("{word}.{encoded}")
    }

    /// Reads a cookie. Anybody can set one for themselves; it is text and nothing else.
    pub fn read(cookie: &str) -> Option<Self> {
        let (word, text) = cookie.split_once('.')?;
        let (text, _) = url::form_urlencoded::parse(text.as_bytes()).next()?;
        let text = text.into_owned();
        match word {
            "done" => Some(Self::done(text)),
            "failed" => Some(Self::failed(text)),
            _ => None,
        }
    }

    /// Its icon.
    pub fn icon(&self) -> Icon {
        if self.outcome == Outcome::Done { Icon::Check } else { Icon::Cross }
    }

    /// Its class in the style sheet.
    pub fn class(&self) -> &'static str {
        if self.outcome == Outcome::Done { "good" } else { "failed" }
    }
}

/// What every template is given, and what it asks for times and numbers.
pub struct Frame {
    /// The title of the page.
    pub title: String,
    /// Where one is.
    pub section: Section,
    /// Who is logged in.
    pub session: Option<SessionInfo>,
    /// What forms repeat.
    pub csrf: String,
    /// What forms send along, so that one that is sent twice is done once.
    pub once: String,
    /// Light or dark.
    pub theme: Theme,
    /// Whether times are shown in UTC rather than in the reader's zone.
    pub utc: bool,
    /// How the last action ended.
    pub notice: Option<Notice>,
    /// Path and query of this page.
    pub address: String,
    /// The present.
    pub now: Timestamp,
    /// Which platforms there are.
    pub registry: Registry,
}

impl Frame {
    /// What a platform is called.
    pub fn platform(&self, id: &PlatformId) -> String {
        self.registry.label(*id)
    }

    /// Its mark.
    pub fn mark(&self, id: &PlatformId) -> Html {
        Html::trusted(icon::mark(self.registry.descriptor(*id)))
    }

    /// The entries of the rail above its rule: the integrations.
    pub fn places(&self) -> [Entry; 3] {
        let entry = |section, path, name, icon| Entry { path, name, icon, current: self.section == section };
        [
            entry(Section::Connectors, "/integrations/siem", "SIEM", Icon::Plug),
            entry(Section::Deliveries, "/deliveries", "Deliveries", Icon::Send),
            entry(Section::Events, "/events", "Events", Icon::Bolt),
        ]
    }

    /// Those below. All but notifications are for admins.
    pub fn offices(&self) -> Vec<Entry> {
        let entry = |section, path, name, icon| Entry { path, name, icon, current: self.section == section };
        let mut offices = vec![
            entry(Section::Keys, "/api-keys", "API keys", Icon::Key),
            entry(Section::Users, "/users", "Users", Icon::People),
            entry(Section::Notifications, "/notifications", "Notifications", Icon::Bell),
            entry(Section::Audit, "/audit", "Audit log", Icon::List),
        ];
        if !self.is_admin() {
            offices.retain(|office| office.path == "/notifications");
        }
        offices
    }

    /// Whether whoever looks may change things.
    pub fn is_admin(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.user.role == Role::Admin)
    }

    /// The address of an asset, which changes with its content.
    pub fn asset(&self, asset: Asset) -> String {
        assets::path(asset)
    }

    /// A point in time as people say it, the exact time on hover: `4 min ago`.
    pub fn ago(&self, at: &Timestamp) -> Html {
        show::time(*at, &show::ago(*at, self.now), false)
    }

    /// The same where it may be missing.
    pub fn ago_or<'a>(&self, at: impl Into<Option<&'a Timestamp>>, otherwise: &str) -> Html {
        at.into().map_or_else(|| Html::text(otherwise), |at| self.ago(at))
    }

    /// A point in time as a clock shows it: in UTC, until the script writes it in the reader's zone.
    pub fn exact(&self, at: &Timestamp) -> Html {
        show::time(*at, &show::utc(*at), true)
    }
}

/// The notice as the page shows it.
#[derive(Template)]
#[template(path = "dashboard/notice.html")]
pub struct NoticeView {
    /// What it says.
    pub notice: Notice,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_survives_the_cookie_whatever_it_says() {
        for text in ["“Prod; Splunk” was saved.", "a=b&c, d", "<script>"] {
            let notice = Notice::done(text);
            let written = notice.written();
            assert!(written.bytes().all(|b| b.is_ascii_graphic() && !b";,\"\\".contains(&b)), "{written}");
            assert_eq!(Notice::read(&written), Some(notice));
        }
        assert_eq!(Notice::read("done"), None);
        assert_eq!(Notice::read("other.text"), None);
    }
}
