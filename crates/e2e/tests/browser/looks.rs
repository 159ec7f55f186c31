//! What holds for each page, however it is looked at.

use std::collections::BTreeMap;
use std::fs;

use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

/// A phone, a tablet or half a screen, a tablet on its side, and a laptop: width and height in CSS pixels.
const SCREENS: [(u32, u32); 4] = [(360, 740), (820, 1180), (1024, 768), (1280, 800)];

/// What every page promises, on every screen and in both themes, for what it shows right now: nothing for the console to complain of, nothing that
/// axe-core finds, and nothing that makes it scroll sideways. Takes a [`shot`] of each; `name` is theirs.
///
/// axe-core looks three times: the structure depends on the width and the contrast on the theme, and each look takes as long as the page is large.
/// One failure tells everything that was found, each with the places where it was.
pub(crate) async fn looks_right_everywhere(page: &Page, name: &str) {
    look_everywhere(page, name).await.unwrap_or_else(|found| panic!("{found}"));
}

/// As [`looks_right_everywhere`], for who goes on to the next page: what does not look right.
pub(crate) async fn look_everywhere(page: &Page, name: &str) -> Result<(), String> {
    look(page, name, &["360-light", "1280-light", "1280-dark"]).await
}

/// As [`looks_right_everywhere`], for a page that is as large as a book: axe-core sees it on one screen.
pub(crate) async fn long_page_looks_right_everywhere(page: &Page, name: &str) {
    look(page, name, &["1280-light", "1280-dark"]).await.unwrap_or_else(|found| panic!("{found}"));
}

async fn look(page: &Page, name: &str, judged: &[&str]) -> Result<(), String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (width, height) in SCREENS {
        page.size(width, height).await;
        for theme in Theme::ALL {
            page.color_scheme(theme).await;
            let place = format!("{width}-{}", theme.name());
            for finding in findings(page, judged.contains(&&*place)).await {
                found.entry(finding).or_default().push(place.clone());
            }
            shot(page, &format!("{name}-{place}")).await;
        }
    }
    let told: Vec<String> = found.iter().map(|(finding, at)| format!("[{}] {finding}", at.join(", "))).collect();
    if told.is_empty() {
        return Ok(());
    }
    Err(format!("{name} ({}) does not look right:\n{}", page.url().await, told.join("\n")))
}

async fn findings(page: &Page, judged: bool) -> Vec<String> {
    let mut found: Vec<String> =
        page.sticking_out().await.into_iter().map(|what| format!("scrolls sideways: {what}")).collect();
    if judged {
        found.extend(page.axe().await.into_iter().map(|violation| violation.to_string()));
    }
    found.extend(page.complaints().await.into_iter().map(|what| format!("console: {what}")));
    found
}

/// How many pixels of a page, from its top, the documentation shows.
const SHOWN: f64 = 800.0;

/// A picture for the documentation, `<name>-<width>-<theme>.png` as those of [`look_everywhere`], of which it takes the place: the top of the
/// page alone.
pub(crate) async fn picture(page: &Page, name: &str, (width, height): (u32, u32), theme: Theme) {
    let Some(directory) = real::screenshots() else { return };
    page.size(width, height).await;
    page.color_scheme(theme).await;
    // What stays in its place while one scrolls is drawn where it is.
    page.eval("scrollTo({ top: 0, behavior: 'instant' });").await;
    page.picture(&directory.join(format!("{name}-{width}-{}.png", theme.name())), SHOWN).await;
}

/// A picture `<name>.png` for people, where `cargo xtask screenshots` asks for them.
pub(crate) async fn shot(page: &Page, name: &str) {
    let Some(directory) = real::screenshots() else { return };
    fs::create_dir_all(&directory).unwrap();
    page.screenshot(&directory.join(format!("{name}.png"))).await;
}
