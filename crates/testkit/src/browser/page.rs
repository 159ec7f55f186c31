//! What a person does with a page, and what it shows.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::{
    Browser, Theme,
    emulation::Media,
    judgement::WATCH_LAYOUT,
    keys,
    session::{Refusal, Session},
};
use crate::poll::{self, PATIENCE};

/// How much of what a page shows a failure prints.
const EXCERPT: usize = 2_000;

/// A page in a browser of its own. Elements are named by CSS selectors, of which the first match counts.
///
/// Every method fails the test where it cannot do what it says: acting, reading and waiting alike try again until [`PATIENCE`] has passed, since a
/// part of the page may just be on its way.
#[derive(Debug)]
pub struct Page {
    pub(super) browser: Browser,
    pub(super) session: Session,
    pub(super) media: Mutex<Media>,
}

/// A cookie that the browser holds for the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The paths that it is sent to.
    pub path: String,
    /// No script can read it.
    pub http_only: bool,
    /// It is sent over TLS only.
    pub secure: bool,
    /// `Strict`, `Lax` or `None`, where the server said.
    pub same_site: Option<String>,
}

impl Page {
    pub(super) async fn new(browser: Browser, session: Session) -> Self {
        let page = Self { browser, session, media: Mutex::new(Media::default()) };
        page.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH_LAYOUT })).await;
        page.size(1280, 800).await;
        page.color_scheme(Theme::Light).await;
        page
    }

    /// Opens an address and waits until it has loaded.
    pub async fn goto(&self, url: &str) {
        let opened = self.session.post("url", &json!({ "url": url })).await;
        self.done(opened, &format!("opening {url}")).await;
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        let loaded = self.session.post("refresh", &json!({})).await;
        self.done(loaded, "reloading").await;
    }

    /// Goes back in the history.
    pub async fn back(&self) {
        let gone = self.session.post("back", &json!({})).await;
        self.done(gone, "going back").await;
    }

    /// The address that the browser shows.
    pub async fn url(&self) -> String {
        let url = self.session.get("url").await;
        text_of(&self.done(url, "reading the address").await)
    }

    /// The document's title.
    pub async fn title(&self) -> String {
        let title = self.session.get("title").await;
        text_of(&self.done(title, "reading the title").await)
    }

    /// Clicks an element, once it can be clicked: it is there, can be seen, and nothing lies over it.
    pub async fn click(&self, css: &str) {
        // A person scrolls until nothing lies over what they click; the driver only until it is within the window, be it below a bar that stays.
        let scroll = "document.querySelector(arguments[0])?.scrollIntoView({ block: 'nearest', behavior: 'instant' });";
        self.act(&format!("clicking `{css}`"), async || {
            self.session.run(scroll, &[json!(css)]).await?;
            self.session.post_to(css, "click", &json!({})).await
        })
        .await;
    }

    /// Replaces what stands in a field by typing.
    pub async fn fill(&self, css: &str, text: &str) {
        self.act(&format!("filling `{css}`"), async || {
            self.session.post_to(css, "clear", &json!({})).await?;
            self.session.post_to(css, "value", &json!({ "text": text })).await
        })
        .await;
    }

    /// Chooses the option with this value.
    pub async fn select(&self, css: &str, value: &str) {
        self.click(&format!("{css} option[value={}]", json!(value))).await;
    }

    /// Types on the keyboard, into whatever has the focus: strokes that are separated by spaces, e.g. `g c`, `/`, `Escape`, `Shift+Tab`.
    pub async fn press(&self, strokes: &str) {
        let pressed = self.session.post("actions", &keys::strokes(strokes)).await;
        self.done(pressed, &format!("pressing {strokes}")).await;
    }

    /// What has the focus, as `button#save "Save connector"`: tag and id, and what it shows or is labelled with; `body` where nothing has.
    pub async fn active_element(&self) -> String {
        let script = "const e = document.activeElement; if (!e) return 'body';
            const name = e === document.body ? '' : (e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.name || '');
            return e.localName + (e.id && '#' + e.id) + (name && ' \"' + name.trim().slice(0, 80) + '\"');";
        text_of(&self.eval(script).await)
    }

    /// The text of an element as it can be seen, once the element is there.
    pub async fn text(&self, css: &str) -> String {
        text_of(&self.read(css, "e.innerText.trim()").await)
    }

    /// The texts of all elements that match now, which may be none.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let script = "return Array.from(document.querySelectorAll(arguments[0]), e => e.innerText.trim());";
        let texts = self.session.run(script, &[json!(css)]).await;
        let texts = self.done(texts, &format!("reading all `{css}`")).await;
        texts.as_array().map(|texts| texts.iter().map(text_of).collect()).unwrap_or_default()
    }

    /// An attribute of an element, once the element is there; `None` where it has no such attribute.
    pub async fn attr(&self, css: &str, name: &str) -> Option<String> {
        let value = self.read(css, &format!("e.getAttribute({})", json!(name))).await;
        (!value.is_null()).then(|| text_of(&value))
    }

    /// What stands in a field, once the field is there.
    pub async fn value(&self, css: &str) -> String {
        text_of(&self.read(css, "e.value").await)
    }

    /// Whether there is such an element now, seen or not.
    pub async fn exists(&self, css: &str) -> bool {
        let found = self.session.run("return !!document.querySelector(arguments[0]);", &[json!(css)]).await;
        self.done(found, &format!("looking for `{css}`")).await == true
    }

    /// Waits until such an element can be seen.
    pub async fn wait_for(&self, css: &str) {
        self.wait(&format!("`{css}` can be seen"), css, "any(() => true)").await;
    }

    /// Waits until an element can be seen that shows this text.
    pub async fn wait_for_text(&self, css: &str, contains: &str) {
        let look = format!("any(e => e.innerText.includes({}))", json!(contains));
        self.wait(&format!("`{css}` shows {contains:?}"), css, &look).await;
    }

    /// Waits until no such element can be seen.
    pub async fn wait_gone(&self, css: &str) {
        self.wait(&format!("`{css}` is gone"), css, "!any(() => true)").await;
    }

    /// Waits until the address contains this.
    pub async fn wait_for_url(&self, contains: &str) {
        let look = format!("location.href.includes({})", json!(contains));
        self.wait(&format!("the address contains {contains:?}"), "html", &look).await;
    }

    /// Runs the body of a function in the page (`return document.title`) and waits for the promise that it returns, if it does.
    pub async fn eval(&self, script: &str) -> Value {
        let value = self.session.run(script, &[]).await;
        self.done(value, &format!("running {script:?}")).await
    }

    /// The cookies that the page's address is sent.
    pub async fn cookies(&self) -> Vec<Cookie> {
        let answer = self.devtools("Network.getCookies", json!({})).await;
        let cookies = answer["cookies"].as_array().cloned().unwrap_or_default();
        let read = |cookie: &Value| Cookie {
            name: text_of(&cookie["name"]),
            value: text_of(&cookie["value"]),
            path: text_of(&cookie["path"]),
            http_only: cookie["httpOnly"] == true,
            secure: cookie["secure"] == true,
            same_site: cookie["sameSite"].as_str().map(str::to_owned),
        };
        cookies.iter().map(read).collect()
    }

    /// A DevTools command.
    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let answer = self.session.devtools(command, parameters).await;
        self.done(answer, command).await
    }

    /// `expression` of the element `e`, once there is one.
    async fn read(&self, css: &str, expression: &str) -> Value {
        let script =
            format!("const e = document.querySelector(arguments[0]); return e ? {{ found: {expression} }} : null;");
        self.look(&format!("there is `{css}`"), &script, css).await["found"].take()
    }

    /// Waits until `look` is true, an expression in which `any` tries a predicate on the elements that can be seen.
    async fn wait(&self, what: &str, css: &str, look: &str) {
        let script = format!(
            "const any = p => Array.from(document.querySelectorAll(arguments[0]))
                .some(e => e.checkVisibility({{ visibilityProperty: true }}) && p(e));
             return ({look}) || null;"
        );
        self.look(what, &script, css).await;
    }

    /// Runs a script until it finds something.
    async fn look(&self, what: &str, script: &str, css: &str) -> Value {
        let mut refused = None;
        let found = poll::within(PATIENCE, async || match self.session.run(script, &[json!(css)]).await {
            Ok(found) => (!found.is_null()).then_some(found),
            // A document that is being replaced; a selector that is none ends in the message.
            Err(refusal) => {
                refused = Some(refusal);
                None
            }
        });
        match found.await {
            Some(found) => found,
            None => self.fail(&format!("waited {PATIENCE:?} in vain until {what}"), refused.as_ref()).await,
        }
    }

    /// Does something to an element until it is done.
    async fn act(&self, what: &str, mut attempt: impl AsyncFnMut() -> Result<Value, Refusal>) {
        let mut refused = None;
        let done = poll::within(PATIENCE, async || match attempt().await {
            Ok(_) => Some(Ok(())),
            Err(refusal) if refusal.may_pass() => {
                refused = Some(refusal);
                None
            }
            Err(refusal) => Some(Err(refusal)),
        });
        match done.await {
            Some(Ok(())) => (),
            Some(Err(refusal)) => self.fail(&format!("{what} was refused"), Some(&refusal)).await,
            None => self.fail(&format!("{what} was not possible within {PATIENCE:?}"), refused.as_ref()).await,
        }
    }

    async fn done(&self, outcome: Result<Value, Refusal>, what: &str) -> Value {
        match outcome {
            Ok(value) => value,
            Err(refusal) => self.fail(&format!("{what} was refused"), Some(&refusal)).await,
        }
    }

    /// Fails the test, and shows what a person would see.
    pub(super) async fn fail(&self, what: &str, refusal: Option<&Refusal>) -> ! {
        let url = self.session.get("url").await.map(|url| text_of(&url)).unwrap_or_default();
        let shown = self.session.run("return document.body ? document.body.innerText : '';", &[]).await;
        let shown: String = shown.map(|shown| text_of(&shown)).unwrap_or_default().chars().take(EXCERPT).collect();
        let because = refusal.map(|refusal| format!(" ({refusal})")).unwrap_or_default();
        panic!("{what}{because}\n--- at {url}, which shows:\n{shown}\n---")
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
