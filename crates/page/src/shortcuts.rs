//! The shortcuts of the keyboard, as a page for whoever has no script; with it they are a dialog on every page.

use askama::Template;

use super::answer::Result;
use super::frame::{Frame, Section};
use super::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/shortcuts.html")]
struct ShortcutsPage {
    frame: Frame,
}

/// `GET /shortcuts`.
pub(super) async fn show(visitor: Visitor) -> Result {
    visitor.page(&ShortcutsPage { frame: visitor.frame("Keyboard shortcuts", Section::None) })
}
