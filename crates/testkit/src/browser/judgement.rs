//! What a browser knows of a page and no person would tell: what its console got, what an assistive technology makes of it, what jumped, and how much
//! came over the wire.

use std::{fmt, fs};

use serde_json::{Value, json};

use super::Page;

/// Runs in every new document before anything else: adds up what moved without anybody having touched anything.
pub(super) const WATCH_LAYOUT: &str = "
    window.toktraShift = 0;
    window.toktraCount = list => { for (const e of list) if (!e.hadRecentInput) window.toktraShift += e.value; };
    window.toktraWatch = new PerformanceObserver(list => window.toktraCount(list.getEntries()));
    window.toktraWatch.observe({ type: 'layout-shift', buffered: true });";

/// What axe-core is asked about: WCAG 2.2 up to level AA, which contains 2.0 and 2.1, and what it calls best practice.
const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// How many elements of a violation a message names; what breaks a rule mostly breaks it everywhere.
const TOLD: usize = 5;

/// Something that axe-core found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule, e.g. `color-contrast`.
    pub rule: String,
    /// `minor`, `moderate`, `serious` or `critical`.
    pub impact: String,
    /// What the rule wants.
    pub help: String,
    /// The elements that break it, as CSS selectors, each with what is wrong about it.
    pub elements: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.rule, self.impact, self.help)?;
        self.elements.iter().take(TOLD).try_for_each(|element| write!(f, "\n  {element}"))?;
        match self.elements.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl Page {
    /// What axe-core finds wrong. Its script comes past the page's content security policy, as a person's extension would.
    pub async fn axe(&self) -> Vec<Violation> {
        if self.eval("return typeof axe").await != "object" {
            let file = &self.browser.0.axe;
            let source = fs::read_to_string(file);
            let source = source.unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
            self.devtools("Runtime.evaluate", json!({ "expression": source })).await;
        }
        // What is on its way from one colour to another is judged once it is there; what turns for ever is not waited for.
        let settled = "return Promise.allSettled(document.getAnimations()
            .filter(a => a.effect.getComputedTiming().endTime !== Infinity).map(a => a.finished)).then(() => null);";
        self.eval(settled).await;
        let options = json!({ "runOnly": RULES, "resultTypes": ["violations"] });
        let found = self
            .eval(&format!("return axe.run(document, {options}).then(result => JSON.stringify(result.violations));"))
            .await;
        let found: Value = found.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        match found.as_array() {
            Some(found) => found.iter().map(violation).collect(),
            None => self.fail("axe-core gave no verdict", None).await,
        }
    }

    /// Fails where axe-core finds something.
    pub async fn assert_accessible(&self) {
        let found: Vec<String> = self.axe().await.iter().map(ToString::to_string).collect();
        if !found.is_empty() {
            self.fail(&format!("axe-core found:\n{}", found.join("\n")), None).await;
        }
    }

    /// What the console got since the last call and was a warning or worse: what scripts complained of, what nobody caught, what the content
    /// security policy refused, and what could not be loaded.
    pub async fn complaints(&self) -> Vec<String> {
        // One more round through the page, so that what it said before has arrived.
        self.eval("return new Promise(resolve => setTimeout(resolve, 0))").await;
        let entries = match self.session.console().await {
            Ok(entries) => entries,
            Err(refusal) => self.fail("reading the console was refused", Some(&refusal)).await,
        };
        let bad = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        let told = |entry: &Value| {
            format!("{}: {}", entry["source"].as_str().unwrap_or("?"), entry["message"].as_str().unwrap_or("?"))
        };
        entries.as_array().into_iter().flatten().filter(bad).map(told).collect()
    }

    /// Fails where the console got a complaint since the last look.
    pub async fn assert_quiet(&self) {
        self.assert_quiet_except(&[]).await;
    }

    /// As [`Self::assert_quiet`], but complaints that contain one of these are expected: an answer 422 that htmx shows is also told to the console.
    pub async fn assert_quiet_except(&self, expected: &[&str]) {
        let mut complaints = self.complaints().await;
        complaints.retain(|complaint| !expected.iter().any(|expected| complaint.contains(expected)));
        if !complaints.is_empty() {
            self.fail(&format!("the console got:\n{}", complaints.join("\n")), None).await;
        }
    }

    /// What sticks out where the page is wider than the screen, at most ten elements; nothing where it fits.
    pub async fn sticking_out(&self) -> Vec<String> {
        // What is within something that scrolls or cuts off on its own is not what makes the page wide.
        let script = "const root = document.documentElement, room = root.clientWidth;
            if (root.scrollWidth <= room) return [];
            const held = e => { for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
                if (getComputedStyle(p).overflowX !== 'visible') return true; };
            const name = e => [e.localName + (e.id && '#' + e.id), ...e.classList].join('.');
            const found = Array.from(document.body.querySelectorAll('*'), e => [e, Math.round(e.getBoundingClientRect().right)])
                .filter(([e, end]) => end > room && !held(e)).slice(0, 10)
                .map(([e, end]) => `${name(e)} in ${name(e.parentElement)} ends at ${end} of ${room}: ${e.innerText?.slice(0, 40)}`);
            return found.length ? found : [`something of ${root.scrollWidth} in ${room}`];";
        let found = self.eval(script).await;
        found.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    }

    /// Fails where the page scrolls sideways; names what sticks out.
    pub async fn assert_fits(&self) {
        let found = self.sticking_out().await;
        if !found.is_empty() {
            self.fail(&format!("the page scrolls sideways:\n{}", found.join("\n")), None).await;
        }
    }

    /// How much moved by itself since the document was loaded (Cumulative Layout Shift, without its session windows); 0 is nothing.
    pub async fn layout_shift(&self) -> f64 {
        // Two frames, so that what was just drawn has been counted.
        let script = "return new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(() => {
            window.toktraCount(window.toktraWatch.takeRecords()); resolve(window.toktraShift); })));";
        self.eval(script).await.as_f64().unwrap_or(f64::NAN)
    }

    /// The bytes that the document and everything that it loaded took as bodies on the wire, whether or not they came from the cache.
    pub async fn transferred(&self) -> u64 {
        let script =
            "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .reduce((sum, e) => sum + e.encodedBodySize, 0);";
        self.eval(script).await.as_u64().unwrap_or_default()
    }
}

fn violation(found: &Value) -> Violation {
    let word = |member: &str| found[member].as_str().unwrap_or_default().to_owned();
    let element = |node: &Value| {
        let summary = node["failureSummary"].as_str().unwrap_or_default();
        let summary: Vec<&str> = summary.lines().skip(1).map(str::trim).collect();
        format!("{}: {}", node["target"].to_string().trim_matches(['[', ']']), summary.join(" "))
    };
    Violation {
        rule: word("id"),
        impact: word("impact"),
        help: word("help"),
        elements: found["nodes"].as_array().into_iter().flatten().map(element).collect(),
    }
}
