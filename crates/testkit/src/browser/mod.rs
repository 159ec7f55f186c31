//! A real browser for tests of the page: headless Chromium, driven as a person would, and judged as a person could not.
//!
//! A test starts a [`Browser`] and opens a [`Page`] for each person that it plays: pages share no cookies. Whatever a page is asked to do waits
//! until it can be done; where it never can, the test fails with the address, the selector and what the page shows.
//!
//! ```no_run
//! # async fn journey(base: &str) {
//! use toktra_siem_testkit::browser::Browser;
//! let Some(browser) = Browser::start().await else { return };
//! let page = browser.tab().await;
//! page.goto(&format!("{base}/docs")).await;
//! page.wait_for_text("h1", "API").await;
//! page.assert_accessible().await;
//! page.assert_quiet().await;
//! # }
//! ```
//!
//! The protocol is spoken here and not by a crate: it is a dozen requests of JSON over HTTP (docs/adr/0026-browser-tests.md).

mod driver;
mod emulation;
mod judgement;
mod keys;
mod page;
mod session;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::{driver::Driver, session::Session};
pub use self::{
    emulation::Theme,
    judgement::Violation,
    page::{Cookie, Page},
};
use crate::{poll::PATIENCE, real};

/// How many browsers run at once: CI has two cores, and a browser that starves fails for no reason of the page's.
const AT_ONCE: usize = 2;

/// How long a script may take that the page is asked to run. axe-core looks at every element in view of all others: the 15,000 of the API's
/// reference take it five seconds on an idle machine, and a minute on one that is busy with everything else.
const JUDGEMENT: Duration = Duration::from_mins(5);

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// The switches of every Chromium: no window, nothing of its own on the network, and nothing that a container lacks (its sandbox wants
/// privileges, and its shared memory more room than there is). All that it opens are our own pages.
const SWITCHES: [&str; 10] = [
    "--headless=new",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser of one test, which ends with it. Clones are the same browser.
#[derive(Debug, Clone)]
pub struct Browser(Arc<Running>);

#[derive(Debug)]
struct Running {
    chromium: PathBuf,
    axe: PathBuf,
    // Ends before its place is given to the next test.
    driver: Driver,
    _place: SemaphorePermit<'static>,
}

impl Browser {
    /// Starts one, or says what is skipped where a part of it is missing. Waits while other tests use theirs.
    pub async fn start() -> Option<Self> {
        let (chromium, chromedriver, axe) = (real::CHROMIUM.path()?, real::CHROMEDRIVER.path()?, real::AXE.path()?);
        let place = PLACES.acquire().await.unwrap_or_else(|closed| panic!("nobody closes it: {closed}"));
        let driver = Driver::start(&chromedriver).await;
        Some(Self(Arc::new(Running { chromium, axe, driver, _place: place })))
    }

    /// An empty page of a person of its own: a fresh profile, without cookies, 1,280 by 800 pixels, light.
    pub async fn tab(&self) -> Page {
        let session = Session::new(self.0.driver.base(), &self.capabilities()).await;
        Page::new(self.clone(), session).await
    }

    fn capabilities(&self) -> Value {
        let mut switches = SWITCHES.map(str::to_owned).to_vec();
        switches.push(format!("--user-data-dir={}", self.0.driver.fresh_profile().display()));
        let patience = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        json!({
            "browserName": "chrome",
            // What stands in front of a server under test made its certificate itself.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "binary": self.0.chromium, "args": switches },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": patience(PATIENCE), "script": patience(JUDGEMENT) },
        })
    }
}
