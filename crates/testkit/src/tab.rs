//! A browser without a screen: it keeps cookies, sends forms, and follows nothing by itself.
#![expect(clippy::unwrap_used, reason = "only tests run this, and what is not there fails them")]

use std::collections::BTreeMap;

use crate::client::{Answer, Client, Lines};
use crate::world::{Here, PASSWORD};
use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;

/// One browser.
pub struct Tab {
    client: Client,
    origin: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Tab {
    /// Nobody is logged in.
    pub fn new(world: &Here) -> Self {
        Self::at(&format!("http://{}", world.address))
    }

    /// Nobody is logged in at the server that listens there.
    pub fn at(origin: &str) -> Self {
        Self { client: Client::new(origin), origin: origin.to_owned(), cookies: Mutex::default() }
    }

    /// An admin of the default org is logged in.
    pub async fn of_admin(world: &Here) -> Self {
        Self::of(world, "ada@company.example", "admin").await
    }

    /// A viewer of the default org is logged in.
    pub async fn of_viewer(world: &Here) -> Self {
        Self::of(world, "vic@company.example", "viewer").await
    }

    /// A new person of the default org is logged in.
    pub async fn of(world: &Here, email: &str, role: &str) -> Self {
        world.person(email, role).await;
        let tab = Self::new(world);
        tab.log_in(email).await;
        tab
    }

    /// Logs in whoever has this address and [`PASSWORD`].
    pub async fn log_in(&self, email: &str) {
        self.log_in_as(email, PASSWORD).await;
    }

    /// Logs in whoever has this address and password.
    pub async fn log_in_as(&self, email: &str, password: &str) {
        self.get("/login").await.expect_status(200);
        let answer = self.post("/login", &[("email", email), ("password", password)]).await.expect_status(303);
        assert_eq!(answer.header("location"), Some("/integrations/siem"));
    }

    /// A whole page.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// A part of a page, as htmx asks for it.
    pub async fn part(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[("hx-request", "true")], Bytes::new()).await
    }

    /// Sends a form of the page.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit(path, fields, &[]).await
    }

    /// Sends a form by htmx.
    pub async fn post_part(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit(path, fields, &[("hx-request", "true")]).await
    }

    async fn submit(&self, path: &str, fields: &[(&str, &str)], more: &[(&str, &str)]) -> Answer {
        let csrf = self.cookie("csrf").expect("a page was loaded before the form");
        let origin = self.origin.clone();
        let mut headers = vec![("content-type", FORM), ("origin", &*origin), ("sec-fetch-site", "same-origin")];
        headers.extend(more);
        let fields = fields.iter().copied().chain([("csrf", &*csrf)]);
        self.send(Method::POST, path, &headers, encoded(fields).into()).await
    }

    /// Any request, with the cookies and what else is said.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let cookies = self.cookies();
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer = self.client.send(method, path, &headers, body).await;
        for line in answer.headers.get_all("set-cookie") {
            self.keep(line.to_str().unwrap());
        }
        answer
    }

    /// Opens a stream.
    pub async fn follow(&self, path: &str, headers: &[(&str, &str)]) -> Lines {
        let cookies = self.cookies();
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", &*cookies)]).collect();
        self.client.follow(Method::GET, path, &headers, Bytes::new()).await
    }

    fn cookies(&self) -> String {
        let cookies: Vec<String> = self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
        cookies.join("; ")
    }

    fn keep(&self, line: &str) {
        let (name, rest) = line.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        let mut cookies = self.cookies.lock();
        if rest.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The value of a cookie, by the word in its name.
    pub fn cookie(&self, word: &str) -> Option<String> {
        let cookies = self.cookies.lock();
        let start = format!("toktra-{word}-");
        cookies.iter().find(|(name, _)| name.starts_with(&start)).map(|(_, value)| value.clone())
    }

    /// Sets a cookie as somebody else might have.
    pub fn set_cookie(&self, word: &str, value: &str) {
        let mut cookies = self.cookies.lock();
        let start = format!("toktra-{word}-");
        let name = cookies.keys().find(|name| name.starts_with(&start)).cloned();
        let port = self.origin.rsplit(':').next().unwrap();
        cookies.insert(name.unwrap_or_else(|| format!("{start}{port}")), value.to_owned());
    }

    /// Where the page is.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// The media type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Fields as a form sends them.
pub fn encoded<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The content of a page for a snapshot: what is inside of `<main>`, or the whole part; what differs from run to run replaced.
pub fn content(answer: &Answer) -> String {
    let text = answer.text();
    let inside = text.split_once("<main").and_then(|(_, rest)| rest.split_once("</main>")).map(|(inside, _)| inside);
    redacted(inside.map_or(text.as_str(), |inside| inside.split_once('>').map_or(inside, |(_, rest)| rest)).trim())
}

/// Icons, random ids and secrets differ from run to run or tell nothing.
pub fn redacted(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(start) = rest.find("<svg class=\"icon\"") {
        out.push_str(&rest[..start]);
        out.push_str("<icon/>");
        rest = rest[start..].split_once("</svg>").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    while let Some(start) = out.find("<input type=\"hidden\" name=\"idempotency_key\"") {
        let end = out[start..].find('>').map_or(out.len(), |end| start + end + 1);
        out.replace_range(start..end, "");
    }
    words(&out)
}

fn words(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars() {
        if is_part(c) || (word.starts_with("whsec_") && "+/=".contains(c)) {
            word.push(c);
            continue;
        }
        out.push_str(shown(&word));
        word.clear();
        out.push(c);
    }
    out.push_str(shown(&word));
    out
}

/// Whether a text is a secret that a server made: of its own, or a signing secret.
pub(crate) fn is_made(text: &str) -> bool {
    let signing = text.starts_with("whsec_") && text.len() == "whsec_".len() + 44;
    signing || (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn shown(word: &str) -> &str {
    let random = word.strip_prefix("tsk_").or_else(|| word.strip_prefix("tss_")).unwrap_or(word);
    if word.parse::<uuid::Uuid>().is_ok_and(|id| id.get_version_num() == 7) {
        "UUID"
    } else if is_made(random) {
        "SECRET"
    } else {
        word
    }
}
