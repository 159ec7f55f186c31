//! A strict fake of a Microsoft Teams workflow that begins with a webhook request, after Microsoft's "Create incoming webhooks with Workflows"
//! and the schema of Adaptive Cards: a secret URL, one card, 202 before anything is posted.

use std::io;

use serde_json::{Map, Value, json};

use crate::receiver::{Accepted, Judgement, Received, Receiver, ReceiverOptions, Reply, Rules};
use crate::slack::only;

/// A running fake of Teams.
pub type Teams = Receiver<TeamsRules>;

/// Its endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The workflow.
    Workflow,
    /// Any other path: answered 404.
    Other,
}

const PATH: &str = "/workflows/7a1b/triggers/manual/paths/invoke";
const QUERY: &str = "api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=SecretOfTheWorkflow";
/// One peer met 413 from 21 KB on, though 28 KB are documented.
const MOST: usize = 21_000;

/// How Teams judges requests.
pub struct TeamsRules(());

#[expect(clippy::unused_async, reason = "listening needs a runtime, which an async function cannot be called without")]
impl Teams {
    /// Starts to listen. Fails as any listener does, and where the certificate cannot be used.
    pub async fn start(options: ReceiverOptions) -> io::Result<Self> {
        Self::launch(TeamsRules(()), &options)
    }

    /// The URL of the workflow.
    pub fn url(&self) -> String {
        format!("{}{PATH}?{QUERY}", self.base_url())
    }
}

impl Rules for TeamsRules {
    type Endpoint = Endpoint;
    type Fault = ();

    fn endpoint(&self, path: &str) -> Endpoint {
        if path == PATH { Endpoint::Workflow } else { Endpoint::Other }
    }

    fn judge(&self, request: &Received, _fault: Option<&()>) -> Judgement {
        message(request).map_or_else(
            |(status, code, rule)| {
                Judgement::refused(Reply::json(status, &json!({ "error": { "code": code, "message": rule } })), rule)
            },
            |event| {
                let accepted = Accepted { request: 0, position: 0, event_id: None, event, meta: Map::new() };
                Judgement::of(Reply::empty(202)).accepting(vec![accepted])
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

/// Status, code and the rule that was broken.
type Refusal = (u16, &'static str, String);

fn message(request: &Received) -> Result<bytes::Bytes, Refusal> {
    if request.path() != PATH {
        return Err((404, "WorkflowNotFound", "The workflow could not be found.".to_owned()));
    }
    if request.query() != Some(QUERY) {
        return Err((
            401,
            "DirectApiAuthorizationRequired",
            "The request must be authenticated only by Shared Access scheme.".to_owned(),
        ));
    }
    let bad = |rule: String| (400, "TriggerInputSchemaMismatch", rule);
    if request.method() != "POST" || request.media_type() != "application/json" {
        return Err(bad(format!("{} {}", request.method(), request.media_type())));
    }
    let body = request.body().map_err(|why| bad(why.to_string()))?;
    if body.len() > MOST {
        return Err((413, "RequestEntityTooLarge", format!("a message of {} bytes", body.len())));
    }
    let json: Value = serde_json::from_slice(body).map_err(|why| bad(why.to_string()))?;
    let members = json.as_object().ok_or_else(|| bad("not an object".to_owned()))?;
    only(members, &["type", "attachments"]).map_err(bad)?;
    let attachments = members.get("attachments").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (Some("message"), [attachment]) = (members.get("type").and_then(Value::as_str), attachments) else {
        return Err(bad("not a message with one attachment".to_owned()));
    };
    let attachment = attachment.as_object().ok_or_else(|| bad("an attachment is not an object".to_owned()))?;
    only(attachment, &["contentType", "contentUrl", "content"]).map_err(bad)?;
    if attachment.get("contentType").and_then(Value::as_str) != Some("application/vnd.microsoft.card.adaptive") {
        return Err(bad("not an Adaptive Card".to_owned()));
    }
    card(attachment.get("content").unwrap_or(&Value::Null)).map_err(bad)?;
    Ok(body.clone())
}

fn card(card: &Value) -> Result<(), String> {
    let members = card.as_object().ok_or("a card is not an object")?;
    only(members, &["$schema", "type", "version", "msteams", "body", "actions"])?;
    let version = card["version"].as_str().unwrap_or_default();
    if card["type"] != "AdaptiveCard" || !["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"].contains(&version) {
        return Err(format!("a card of the version `{version}`"));
    }
    let body = card["body"].as_array().filter(|body| !body.is_empty()).ok_or("a card has no body")?;
    body.iter().try_for_each(|element| element_of(element, version))?;
    let actions = card.get("actions").map_or(Some(&[][..]), |actions| actions.as_array().map(Vec::as_slice));
    let actions = actions.ok_or("actions are not an array")?;
    if actions.len() > 6 {
        return Err(format!("{} actions", actions.len()));
    }
    actions.iter().try_for_each(|action| {
        only(action.as_object().ok_or("an action is not an object")?, &["type", "title", "url"])?;
        let web = action["url"].as_str().is_some_and(|url| url.starts_with("https://") || url.starts_with("http://"));
        let titled = action["title"].as_str().is_some_and(|title| !title.is_empty());
        if action["type"] == "Action.OpenUrl" && web && titled { Ok(()) } else { Err(format!("the action {action}")) }
    })
}

fn element_of(element: &Value, version: &str) -> Result<(), String> {
    let members = element.as_object().ok_or("an element is not an object")?;
    match element["type"].as_str() {
        // Its text is Markdown.
        Some("TextBlock") => {
            only(members, &["type", "text", "wrap", "weight", "size", "spacing", "isSubtle"])?;
            let text = element["text"].as_str().ok_or("a TextBlock has no text")?;
            if text.contains("](") { Err("a link in a TextBlock".to_owned()) } else { Ok(()) }
        }
        Some("RichTextBlock") if version != "1.0" && version != "1.1" => {
            only(members, &["type", "inlines", "spacing"])?;
            let inlines = element["inlines"].as_array().filter(|runs| !runs.is_empty()).ok_or("no inlines")?;
            inlines.iter().try_for_each(|run| {
                only(
                    run.as_object().ok_or("a run is not an object")?,
                    &["type", "text", "weight", "size", "isSubtle"],
                )?;
                let text = run["text"].as_str().is_some_and(|text| !text.is_empty());
                if run["type"] == "TextRun" && text { Ok(()) } else { Err(format!("the run {run}")) }
            })
        }
        other => Err(format!("an element of the type {other:?} in version {version}")),
    }
}
