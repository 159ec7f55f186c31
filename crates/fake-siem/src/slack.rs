//! A strict fake of Slack's incoming webhooks, after "Sending messages using incoming webhooks", "Reference: blocks" and "Formatting text":
//! one URL, and messages of Block Kit within their limits. What people would see is kept as it came.

use std::io;

use serde_json::{Map, Value};

use crate::receiver::{Accepted, Judgement, Received, Receiver, ReceiverOptions, Reply, Rules};

/// A running fake of Slack.
pub type Slack = Receiver<SlackRules>;

/// Its endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The webhook.
    Hook,
    /// Any other path: answered 404 `no_service`.
    Other,
}

/// The path of the webhook, which is its secret.
const PATH: &str = "/services/T0SECRET/B0SECRET/SecretOfTheWebhook";

/// How Slack judges requests.
pub struct SlackRules(());

#[expect(clippy::unused_async, reason = "listening needs a runtime, which an async function cannot be called without")]
impl Slack {
    /// Starts to listen. Fails as any listener does, and where the certificate cannot be used.
    pub async fn start(options: ReceiverOptions) -> io::Result<Self> {
        Self::launch(SlackRules(()), &options)
    }

    /// The URL of the webhook.
    pub fn url(&self) -> String {
        format!("{}{PATH}", self.base_url())
    }
}

impl Rules for SlackRules {
    type Endpoint = Endpoint;
    type Fault = ();

    fn endpoint(&self, path: &str) -> Endpoint {
        if path == PATH { Endpoint::Hook } else { Endpoint::Other }
    }

    fn judge(&self, request: &Received, _fault: Option<&()>) -> Judgement {
        let judged = message(request);
        judged.map_or_else(
            |(status, word, rule)| Judgement::refused(Reply::text(status, "text/html", word), rule),
            |event| {
                let accepted = Accepted { request: 0, position: 0, event_id: None, event, meta: Map::new() };
                Judgement::of(Reply::text(200, "text/html", "ok")).accepting(vec![accepted])
            },
        )
    }

    fn count(&self, request: &Received) -> Judgement {
        self.judge(request, None)
    }

    fn held(&self) -> Value {
        Value::Null
    }
}

/// Status, word and the rule that was broken.
type Refusal = (u16, &'static str, String);

fn message(request: &Received) -> Result<bytes::Bytes, Refusal> {
    if request.path() != PATH || request.query().is_some() {
        return Err((404, "no_service", format!("unknown path {}", request.path())));
    }
    let bad = |rule: String| (400, "invalid_payload", rule);
    if request.method() != "POST" || request.media_type() != "application/json" {
        return Err(bad(format!("{} {}", request.method(), request.media_type())));
    }
    let body = request.body().map_err(|why| bad(why.to_string()))?;
    let json: Value = serde_json::from_slice(body).map_err(|why| bad(why.to_string()))?;
    let members = json.as_object().ok_or_else(|| bad("not an object".to_owned()))?;
    only(members, &["text", "blocks", "unfurl_links", "unfurl_media", "mrkdwn"]).map_err(bad)?;
    let text = members.get("text").and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() {
        return Err((400, "no_text", "no text for notifications".to_owned()));
    }
    if text.chars().count() + body.len() / 4 > 40_000 {
        return Err((400, "msg_too_long", format!("{} characters", text.chars().count())));
    }
    markup(text).map_err(bad)?;
    let blocks = members.get("blocks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let invalid = |rule: String| (400, "invalid_blocks", rule);
    if blocks.len() > 50 {
        return Err(invalid(format!("{} blocks", blocks.len())));
    }
    blocks.iter().try_for_each(block).map_err(invalid)?;
    Ok(body.clone())
}

fn block(block: &Value) -> Result<(), String> {
    let members = block.as_object().ok_or("a block is not an object")?;
    match members.get("type").and_then(Value::as_str) {
        Some("header") => {
            only(members, &["type", "text"])?;
            text(members.get("text"), &["plain_text"], 150)
        }
        Some("section") => {
            only(members, &["type", "text"])?;
            text(members.get("text"), &["plain_text", "mrkdwn"], 3_000)
        }
        Some("context") => {
            only(members, &["type", "elements"])?;
            let elements = members.get("elements").and_then(Value::as_array).ok_or("a context has no elements")?;
            if elements.is_empty() || elements.len() > 10 {
                return Err(format!("{} elements", elements.len()));
            }
            elements.iter().try_for_each(|element| text(Some(element), &["plain_text", "mrkdwn"], 3_000))
        }
        Some("divider") => only(members, &["type"]),
        other => Err(format!("a block of the type {other:?}")),
    }
}

fn text(text: Option<&Value>, kinds: &[&str], most: usize) -> Result<(), String> {
    let members = text.and_then(Value::as_object).ok_or("a text is not an object")?;
    let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
    if !kinds.contains(&kind) {
        return Err(format!("a text of the type `{kind}`"));
    }
    only(members, if kind == "mrkdwn" { &["type", "text", "verbatim"] } else { &["type", "text", "emoji"] })?;
    let words = members.get("text").and_then(Value::as_str).unwrap_or_default();
    match words.chars().count() {
        0 => Err("an empty text".to_owned()),
        length if length > most => Err(format!("a text of {length} characters, {most} are allowed")),
        _ if kind == "mrkdwn" => markup(words),
        _ => Ok(()),
    }
}

/// `&`, `<` and `>` are written as entities, but for links to the web: anything else in angle brackets calls somebody.
fn markup(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>']) {
        rest = &rest[at..];
        let entity = ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| rest.starts_with(entity));
        let link = || {
            let inside = rest.strip_prefix('<')?.split_once('>')?.0;
            (inside.starts_with("https://") || inside.starts_with("http://")).then_some(inside.len() + 2)
        };
        let length = entity.map(str::len).or_else(link);
        rest = &rest[length.ok_or_else(|| format!("markup: {}", rest.chars().take(20).collect::<String>()))?..];
    }
    Ok(())
}

/// No member but these.
pub(crate) fn only(members: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("the member `{name}` is not known")),
        None => Ok(()),
    }
}
