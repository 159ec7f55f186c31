//! The commands' side of the API: requests with a key and answers, both of the types of [`wire`], errors as a paragraph.
//!
//! It goes out through the product's own transport: the same verified TLS, and the same explanations where no answer comes.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use toktra_siem_config::settings::Kind;
use toktra_siem_config::slip::slip;
use toktra_siem_core::destination::{Header, HeaderText, Method, Reply};
use toktra_siem_core::ids::{OrgId, Revision};
use toktra_siem_core::signing::SignedRequest;
use toktra_siem_egress::{
    EgressPolicy, Endpoint, EndpointOptions, Failure, FailureKind, Opened, SendOptions, Transport, Trust,
};
use toktra_siem_platform::endpoint;
use toktra_siem_wire::{self as wire, Part, Problem, Refused};
use url::form_urlencoded;

use super::answer::Answer;
use super::output::Output;
use super::{CliError, World};

/// How often a request is repeated that the server has no room for at the moment.
const BUSY_RETRIES: u32 = 5;
/// The longest pause that is believed of `Retry-After`, in seconds.
const LONGEST_PAUSE: u64 = 30;
/// How long an answer may take: a test delivery tries a receiver for up to half a minute.
const DEADLINE: Duration = Duration::from_secs(90);
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Which server, and with which key.
#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    /// The server's URL [default: TOKTRA_SIEM_URL, or http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The API key; better given as TOKTRA_SIEM_API_KEY, which other users of the machine cannot see
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<SecretString>,
}

/// Which server, with which key, and for which org.
#[derive(Debug, Clone, Args)]
pub struct OrgOptions {
    /// The server and the key.
    #[command(flatten)]
    pub server: ServerOptions,
    /// The org, for platform keys [default: the org of the key]
    #[arg(long, value_name = "UUID")]
    pub org: Option<OrgId>,
}

/// Whom to ask, and how to answer: what nearly every command begins with.
#[derive(Debug, Clone, Args)]
pub struct Call<S: Args = OrgOptions> {
    /// Whom to ask.
    #[command(flatten)]
    pub server: S,
    /// How to answer.
    #[command(flatten)]
    pub output: Output,
}

impl ServerOptions {
    /// The client of the server that options and environment name.
    pub fn client(&self, world: &World<'_>) -> Result<Client, CliError> {
        let key = match &self.api_key {
            Some(key) => Some(key.clone()),
            None => variable(world, "TOKTRA_SIEM_API_KEY")?.map(SecretString::from),
        };
        let key = key.ok_or_else(|| {
            CliError::Usage(
                "An API key is needed: set TOKTRA_SIEM_API_KEY, or give --api-key. `toktra-siem key create` makes one."
                    .to_owned(),
            )
        })?;
        Client::new(&self.address(world)?, key)
    }

    /// The client of that server for what needs no key.
    pub fn anonymous(&self, world: &World<'_>) -> Result<Client, CliError> {
        Client::anonymous(&self.address(world)?)
    }

    /// Whether option or environment name a server.
    pub fn names_one(&self, world: &World<'_>) -> Result<bool, CliError> {
        Ok(self.url.is_some() || variable(world, "TOKTRA_SIEM_URL")?.is_some())
    }

    fn address(&self, world: &World<'_>) -> Result<String, CliError> {
        let url = match &self.url {
            Some(url) => Some(url.as_str()),
            None => variable(world, "TOKTRA_SIEM_URL")?,
        };
        Ok(url.unwrap_or("http://127.0.0.1:8080").to_owned())
    }
}

/// A variable that is not taken for absent where it cannot be read.
fn variable<'w>(world: &'w World<'_>, name: &str) -> Result<Option<&'w str>, CliError> {
    if world.environment.is_unreadable(name) {
        return Err(CliError::Usage(format!("{name} is not valid UTF-8. Correct it, or unset it.")));
    }
    let value = world.environment.get(name);
    match value.and_then(|value| slip(Kind::Text, value)) {
        Some(why) => Err(CliError::Usage(format!("{name}: {why}."))),
        None => Ok(value),
    }
}

impl OrgOptions {
    /// As [`ServerOptions::client`]; every request names the org.
    pub fn client(&self, world: &World<'_>) -> Result<Client, CliError> {
        Ok(Client { org: self.org, ..self.server.client(world)? })
    }
}

/// A server, as commands see it.
pub struct Client {
    base: String,
    key: Option<SecretString>,
    org: Option<OrgId>,
    endpoint: Endpoint,
}

/// What the server says is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, as data.
    pub problem: Problem,
}

impl Refusal {
    /// What an answer says that is none of success.
    pub fn of(reply: &Reply) -> Option<Self> {
        let Refused { error: problem } = serde_json::from_slice(&reply.body).ok()?;
        Some(Self { status: reply.status, problem })
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, problem: Problem { message, fields, .. } } = refusal;
        // What a query names there, an option names here.
        let message = message.replace("`?org_id=`", "`--org`");
        let mut text = format!("The server refused ({status}): {message}");
        for field in &fields {
            let line = field.parameters.get("line").map(|line| format!("line {line}: ")).unwrap_or_default();
            if fields.len() > 1 || !line.is_empty() {
                text = format!("{text}\n  - {line}{field}");
            }
        }
        Self::Failed(text)
    }
}

/// A path with these parameters; those without a value are left out.
pub fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    match (query.is_empty(), path.contains('?')) {
        (true, _) => path.to_owned(),
        (false, true) => format!("{path}&{query}"),
        (false, false) => format!("{path}?{query}"),
    }
}

impl Client {
    /// A client of the server at `url` that calls with `key`.
    pub fn new(url: &str, key: SecretString) -> Result<Self, CliError> {
        Ok(Self { key: Some(key), ..Self::anonymous(url)? })
    }

    /// A client of the server at `url` that calls without a key.
    pub fn anonymous(url: &str) -> Result<Self, CliError> {
        let base =
            endpoint::base_url(&with_scheme(url)).map_err(|why| CliError::Usage(format!("The server's URL {why}.")))?;
        // The user's own server: it may be in the private network, and without TLS on this machine.
        let trust = Trust { operator_owned: true };
        let endpoint =
            Transport::new(EgressPolicy::default()).endpoint(EndpointOptions { trust, ..EndpointOptions::default() });
        let endpoint = endpoint.map_err(|failure| CliError::Failed(failure.cause().message))?;
        Ok(Self { base, key: None, org: None, endpoint })
    }

    /// The answer to a `GET` of `path`.
    pub async fn get<T: Part>(&self, path: &str) -> Result<Answer<T>, CliError> {
        self.call(Method::Get, path, Vec::new(), Bytes::new()).await
    }

    /// The answer to a `POST` of a JSON body to `path`.
    pub async fn post<T: Part>(&self, path: &str, body: &impl Serialize) -> Result<Answer<T>, CliError> {
        self.call(Method::Post, path, vec![content(JSON)], json(body)?).await
    }

    /// The same, or `None` if the server does not know the path, does not understand this body, or does not let this key ask.
    pub async fn ask<T: Part>(&self, path: &str, body: &impl Serialize) -> Result<Option<Answer<T>>, CliError> {
        let reply = self.reply(Method::Post, path, vec![content(JSON)], json(body)?).await?;
        if matches!(reply.status, 400 | 403 | 404 | 405 | 422) { Ok(None) } else { read(path, &reply).map(Some) }
    }

    /// The answer to a `POST` of these bytes to `path`.
    pub async fn post_bytes<T: Part>(
        &self,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<Answer<T>, CliError> {
        self.call(Method::Post, path, vec![content(kind)], body).await
    }

    /// The answer to a change of `path`, refused where it is not of this revision any more.
    pub async fn patch<T: Part>(
        &self,
        path: &str,
        body: &impl Serialize,
        revision: Option<Revision>,
    ) -> Result<Answer<T>, CliError> {
        let headers = [content(JSON)].into_iter().chain(revision.map(if_match)).collect();
        self.call(Method::Patch, path, headers, json(body)?).await
    }

    /// The answer to a `DELETE` of `path`.
    pub async fn delete<T: Part>(&self, path: &str, revision: Option<Revision>) -> Result<Answer<T>, CliError> {
        self.call(Method::Delete, path, revision.map(if_match).into_iter().collect(), Bytes::new()).await
    }

    /// Removes again what was just made at `path`.
    pub async fn undo(&self, path: &str) -> Result<(), CliError> {
        self.delete::<()>(path, None).await.map(drop)
    }

    /// The items of a list from its beginning: all of them, or as many as are wanted.
    pub async fn list<T: Part>(&self, path: &str, wanted: Option<usize>) -> Result<Answer<Vec<T>>, CliError> {
        let mut items: Vec<Box<RawValue>> = Vec::new();
        let mut cursor = None;
        loop {
            let left = wanted.map_or(100, |wanted| wanted.saturating_sub(items.len()).min(100));
            if left == 0 {
                return Answer::list(path, &items);
            }
            let page = [("limit", Some(left.to_string())), ("cursor", cursor)];
            let page: Answer<wire::List<T>> = self.get(&with_query(path, &page)).await?;
            let page: wire::List<Box<RawValue>> = page.parts()?;
            items.extend(page.items);
            if page.next_cursor.is_none() {
                return Answer::list(path, &items);
            }
            cursor = page.next_cursor;
        }
    }

    /// An answer of any length, to be read piece by piece, as this media type.
    pub async fn open(&self, path: &str, accept: &'static str) -> Result<Opened, CliError> {
        let mut tries = 0;
        loop {
            let headers = vec![("accept".into(), HeaderText::Plain(accept.into()))];
            let request = self.request(Method::Get, path, headers, Bytes::new());
            let opened = self.endpoint.open(request, DEADLINE).await.map_err(|failure| self.no_answer(&failure))?;
            tries += 1;
            match opened.status {
                200 => return Ok(opened),
                429 if tries <= BUSY_RETRIES => pause(opened.retry_after()).await,
                status => return Err(self.read_refusal(status, opened).await),
            }
        }
    }

    /// The next piece of an answer.
    pub async fn piece(&self, opened: &mut Opened) -> Result<Option<Bytes>, CliError> {
        opened.piece(DEADLINE).await.map_err(|failure| {
            CliError::Failed(format!("The answer broke off before its end. {} Try again.", failure.cause().message))
        })
    }

    async fn read_refusal(&self, status: u16, mut opened: Opened) -> CliError {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = self.piece(&mut opened).await {
            body.extend_from_slice(&piece);
            if body.len() > 64 * 1024 {
                break;
            }
        }
        let reply = Reply { status, body: body.into(), ..Reply::default() };
        Refusal::of(&reply).map_or_else(|| not_ours(status), CliError::from)
    }

    /// Posts lines of events once. The caller judges the answer, and may send the same again: every event has its id.
    pub async fn post_lines(&self, lines: Bytes) -> Result<Reply, Failure> {
        let request = self.request(Method::Post, "/v1/events", vec![content(NDJSON)], lines);
        let options = SendOptions { deadline: DEADLINE, ..SendOptions::default() };
        Ok(self.endpoint.send(request, options).await?.reply)
    }

    async fn call<T: Part>(
        &self,
        method: Method,
        path: &str,
        headers: Vec<Header>,
        body: Bytes,
    ) -> Result<Answer<T>, CliError> {
        read(path, &self.reply(method, path, headers, body).await?)
    }

    /// Repeats a request that the server has no room for at the moment: nothing of it was kept.
    async fn reply(&self, method: Method, path: &str, headers: Vec<Header>, body: Bytes) -> Result<Reply, CliError> {
        let mut tries = 0;
        loop {
            let request = self.request(method, path, headers.clone(), body.clone());
            let options = SendOptions { deadline: DEADLINE, ..SendOptions::default() };
            let sent = self.endpoint.send(request, options).await;
            let reply = sent.map_err(|failure| self.no_answer(&failure))?.reply;
            tries += 1;
            if reply.status != 429 || tries > BUSY_RETRIES {
                return Ok(reply);
            }
            pause(reply.retry_after.as_deref()).await;
        }
    }

    fn request(&self, method: Method, path: &str, mut headers: Vec<Header>, body: Bytes) -> SignedRequest {
        if let Some(key) = &self.key {
            let authorization = SecretString::from(format!("Bearer {}", key.expose_secret()));
            headers.push(("authorization".into(), HeaderText::Secret(authorization)));
        }
        let path = with_query(path, &[("org_id", self.org.map(|org| org.to_string()))]);
        // Nothing is signed: the key says who calls.
        SignedRequest { method, url: format!("{}{path}", self.base), secret_url: false, headers, body }
    }

    /// What is said where there was no answer.
    pub fn no_answer(&self, failure: &Failure) -> CliError {
        let why = match &failure.kind {
            FailureKind::Refused => "connection refused",
            FailureKind::Unreachable => "there is no route to its address",
            FailureKind::UnknownHost => "this host name does not exist",
            FailureKind::Dns => "the host name could not be looked up",
            FailureKind::Timeout(_) => "no response in time",
            // A certificate that is refused, say: the whole of it is worth reading.
            _ => {
                return CliError::Failed(format!(
                    "Cannot reach the server at {}: {}",
                    self.base,
                    failure.cause().message
                ));
            }
        };
        CliError::Failed(format!(
            "Cannot reach the server at {}: {why}. Is it running? Set --url or TOKTRA_SIEM_URL.",
            self.base
        ))
    }
}

/// A server on this machine speaks plain HTTP unless the URL says otherwise.
fn with_scheme(url: &str) -> Cow<'_, str> {
    let local = ["127.", "localhost", "[::1]"].iter().any(|begin| url.trim().starts_with(begin));
    if local && !url.contains("://") { format!("http://{}", url.trim()).into() } else { url.into() }
}

fn content(kind: &'static str) -> Header {
    ("content-type".into(), HeaderText::Plain(kind.into()))
}

fn json(body: &impl Serialize) -> Result<Bytes, CliError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(CliError::failed)
}

fn if_match(Revision(revision): Revision) -> Header {
    ("if-match".into(), HeaderText::Plain(format!("\"{revision}\"").into()))
}

/// How long the server asks to wait.
pub fn asked(retry_after: Option<&str>) -> Duration {
    let asked = retry_after.and_then(|text| text.trim().parse().ok()).unwrap_or(1);
    Duration::from_secs(LONGEST_PAUSE.min(asked))
}

async fn pause(retry_after: Option<&str>) {
    tokio::time::sleep(asked(retry_after)).await;
}

/// The answer, or what the server says is wrong.
fn read<T: Part>(path: &str, reply: &Reply) -> Result<Answer<T>, CliError> {
    let answer = (200..=299).contains(&reply.status).then(|| Answer::of(path, &reply.body));
    let refusal = || Refusal::of(reply).map_or_else(|| not_ours(reply.status), CliError::from);
    answer.flatten().ok_or_else(refusal)
}

/// What is said where the answer is not of this API.
pub fn not_ours(status: u16) -> CliError {
    CliError::Failed(format!(
        "What answered is not a Toktra SIEM server (HTTP {status}). Check the URL, and whether a proxy stands in between."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_this_machine_is_asked_without_tls_unless_the_url_says_so() {
        assert_eq!(with_scheme("127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(with_scheme(" localhost:8080"), "http://localhost:8080");
        assert_eq!(with_scheme("https://127.0.0.1"), "https://127.0.0.1");
        assert_eq!(with_scheme("siem.company.com"), "siem.company.com");
    }

    #[test]
    fn parameters_are_escaped_and_those_without_a_value_left_out() {
        let parameters = [("a", Some("x&y=é".to_owned())), ("b", None)];
        assert_eq!(with_query("/v1/x", &parameters), "/v1/x?a=x%26y%3D%C3%A9");
        assert_eq!(with_query("/v1/x?c=1", &parameters), "/v1/x?c=1&a=x%26y%3D%C3%A9");
        assert_eq!(with_query("/v1/x", &[("b", None)]), "/v1/x");
    }
}
