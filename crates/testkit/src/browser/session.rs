//! One session of the WebDriver protocol: commands in JSON over HTTP, and refusals by name.
//!
//! Facts are from <https://www.w3.org/TR/webdriver2/>; what starts with `goog/` or `se/` is ChromeDriver's own.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::client::Client;

/// The member under which an element's id travels.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub(super) struct Refusal {
    /// The protocol's name of the error, e.g. `no such element`.
    name: String,
    message: String,
}

impl Refusal {
    /// Whether the page may merely not be there yet, or is just being replaced.
    pub(super) fn may_pass(&self) -> bool {
        const PASSING: [&str; 5] = [
            "no such element",
            "stale element reference",
            "element not interactable",
            "element click intercepted",
            "invalid element state",
        ];
        PASSING.contains(&self.name.as_str())
    }
}

/// A session; it ends with its driver.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    path: String,
}

impl Session {
    /// Starts a browser.
    pub(super) async fn new(driver: &str, capabilities: &Value) -> Self {
        let client = Client::new(driver);
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let made = exchange(&client, Method::POST, "/session", &wanted).await;
        let made = made.unwrap_or_else(|refusal| panic!("Chromium does not start: {refusal}"));
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("a session without an id: {made}"));
        Self { client, path: format!("/session/{id}") }
    }

    /// Reads something, e.g. `url`.
    pub(super) async fn get(&self, below: &str) -> Result<Value, Refusal> {
        exchange(&self.client, Method::GET, &format!("{}/{below}", self.path), &Value::Null).await
    }

    /// Does something.
    pub(super) async fn post(&self, below: &str, body: &Value) -> Result<Value, Refusal> {
        exchange(&self.client, Method::POST, &format!("{}/{below}", self.path), body).await
    }

    /// Does something with the first element that `css` selects.
    pub(super) async fn post_to(&self, css: &str, below: &str, body: &Value) -> Result<Value, Refusal> {
        let found = self.post("element", &json!({ "using": "css selector", "value": css })).await?;
        let id = found[ELEMENT].as_str().unwrap_or_default();
        self.post(&format!("element/{id}/{below}"), body).await
    }

    /// Runs the body of a function in the page, and waits for its promise where it returns one.
    pub(super) async fn run(&self, script: &str, arguments: &[Value]) -> Result<Value, Refusal> {
        self.post("execute/sync", &json!({ "script": script, "args": arguments })).await
    }

    /// A command of the DevTools protocol, <https://chromedevtools.github.io/devtools-protocol/>.
    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Result<Value, Refusal> {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// What the console got since the last call.
    pub(super) async fn console(&self) -> Result<Value, Refusal> {
        self.post("se/log", &json!({ "type": "browser" })).await
    }
}

async fn exchange(client: &Client, method: Method, path: &str, body: &Value) -> Result<Value, Refusal> {
    let body = if method == Method::GET { Bytes::new() } else { Bytes::from(body.to_string()) };
    let answer = client.send(method, path, &[("content-type", "application/json; charset=utf-8")], body).await;
    let value = answer.json()["value"].take();
    if answer.status == 200 {
        return Ok(value);
    }
    let word = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
    Err(Refusal { name: word("error"), message: word("message") })
}
