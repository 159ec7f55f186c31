//! Microsoft Teams: an Adaptive Card, posted to a workflow that begins with a webhook request (Microsoft, "Create incoming webhooks with
//! Workflows"). The workflow answers before it posts, so that what happens to the message later stays unknown.
//!
//! All text is in runs of `RichTextBlock`, which have no Markdown: whatever it holds, it is shown as it is.

use serde_json::{Value, json};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::time::Timestamp;

use crate::reply::{Meaning, Receiver, is_page};
use crate::story::{Part, Story, cut};
use crate::{Delivered, Outcome};

/// What parts may take of a message, in bytes: with title, note, foot and buttons it stays below 20 KB. Teams documents 28 KB of what it makes
/// of a message; requests from 21 KB on were seen to be refused.
const PARTS: usize = 13_500;
/// Teams shows six buttons.
const BUTTONS: usize = 3;

/// The message as JSON.
pub(crate) fn message(mut story: Story) -> Value {
    let mut room = PARTS;
    let note = story.cut(|part| {
        let length: usize = block(part).iter().map(|block| block.to_string().len()).sum();
        let fits = length <= room;
        room = room.saturating_sub(length);
        fits
    });
    let title = json!([{ "type": "TextRun", "text": cut(&story.title, 300), "weight": "Bolder", "size": "Medium" }]);
    let mut body = vec![json!({ "type": "RichTextBlock", "inlines": title })];
    body.extend(story.parts.iter().flat_map(block));
    body.extend(note.map(|note| line(&note, "Large")));
    let foot = json!([{ "type": "TextRun", "text": story.foot, "isSubtle": true, "size": "Small" }]);
    body.push(json!({ "type": "RichTextBlock", "spacing": "Large", "inlines": foot }));
    let mut links: Vec<&str> = story.parts.iter().filter_map(|part| part.link.as_deref()).collect();
    links.dedup();
    let single = links.len() == 1;
    let buttons: Vec<Value> = story
        .parts
        .iter()
        .filter_map(|part| Some((part.link.as_deref()?, part)))
        .take(if single { 1 } else { BUTTONS })
        .map(|(url, part)| {
            let title = if single { "Open in Toktra SIEM".to_owned() } else { cut(&part.what, 40) };
            json!({ "type": "Action.OpenUrl", "title": title, "url": url })
        })
        .collect();
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "msteams": { "width": "Full" },
        "body": body,
    });
    if !buttons.is_empty() {
        card["actions"] = buttons.into();
    }
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }],
    })
}

/// The first line stands apart from what came before it.
fn block(part: &Part) -> Vec<Value> {
    let spacing = |at| if at == 0 { "Large" } else { "Small" };
    part.lines().iter().enumerate().map(|(at, text)| line(text, spacing(at))).collect()
}

fn line(text: &str, spacing: &str) -> Value {
    json!({ "type": "RichTextBlock", "spacing": spacing, "inlines": [{ "type": "TextRun", "text": text }] })
}

/// What Teams answered.
pub(crate) fn judge(receiver: &Receiver<'_>, reply: &Reply, now: Timestamp) -> Outcome {
    // The old connectors answer 200 also to what they could not post, and say so in the body.
    let failed = reply.body.windows(FAILED.len()).any(|part| part.eq_ignore_ascii_case(FAILED));
    match reply.status {
        200..=299 if failed => {
            let mut not_told = receiver.refused(reply, Some(NOT_POSTED), now);
            not_told.needs_a_person = !reply.body.windows(3).any(|part| part == b"429");
            Err(not_told)
        }
        200..=299 if !is_page(reply) => {
            let status = reply.status;
            Ok(Delivered {
                message: format!(
                    "Teams took the message ({status}). Teams posts it afterwards: look into the channel."
                ),
            })
        }
        status => Err(receiver.refused(reply, meaning(status), now)),
    }
}

const FAILED: &[u8] = b"message delivery failed";
const NOT_POSTED: Meaning = (
    "not_posted",
    "it took the request and could not post the message. The connector is probably of the old kind, which Microsoft retires. Create a workflow, \
     and enter its URL.",
);

/// What a workflow of Power Automate answers.
fn meaning(status: u16) -> Option<Meaning> {
    Some(match status {
        400 => (
            "http_400",
            "it could not read the request. The workflow probably does not begin with “When a Teams webhook request is received”. Create one from \
             that template, and enter its URL.",
        ),
        401 | 403 => (
            "http_403",
            "it does not accept the key in the URL. The URL was probably entered incompletely, or the workflow only lets people of the tenant in. \
             Copy the URL again, and allow anyone to trigger the workflow.",
        ),
        404 | 410 => (
            "no_workflow",
            "the workflow does not exist any more. It was probably deleted or switched off, or its owner left. Create a new workflow, and enter its URL.",
        ),
        _ => return None,
    })
}
