//! Slack's incoming webhooks: messages of Block Kit, and what their answers mean (Slack, "Sending messages using incoming webhooks" and
//! "Reference: blocks"). Mattermost and Rocket.Chat take the same requests and show `text`.

use serde_json::{Value, json};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::destination::reply::sanitise;
use toktra_siem_core::time::Timestamp;

use crate::reply::{Meaning, Receiver, is_page};
use crate::story::{Part, Story};
use crate::{Delivered, Outcome};

/// The most characters of the text of a header, and of a section.
const HEADER: usize = 150;
const SECTION: usize = 3_000;
/// The most sections: with header, note and foot well under the 50 blocks of a message.
const SECTIONS: usize = 20;
/// The most characters of all sections, and of the text for notifications: together under 40,000.
const ALL: usize = 28_000;
const TEXT: usize = 8_000;

/// The message as JSON.
pub(crate) fn message(mut story: Story) -> Value {
    let (mut room, mut places) = (ALL, SECTIONS);
    let note = story.cut(|part| {
        let length = section(part).chars().count();
        let fits = places > 0 && length <= room;
        (places, room) = (places.saturating_sub(1), room.saturating_sub(length));
        fits
    });
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": escaped(&story.title, HEADER), "emoji": false } }),
    ];
    blocks.extend(story.parts.iter().map(|part| json!({ "type": "section", "text": text(&section(part)) })));
    blocks.extend(note.as_deref().map(|note| json!({ "type": "section", "text": text(&escaped(note, SECTION)) })));
    blocks.push(json!({ "type": "context", "elements": [text(&escaped(&story.foot, SECTION))] }));
    let whole: Vec<&str> =
        std::iter::once(story.title.as_str()).chain(story.parts.iter().map(|part| part.what.as_str())).collect();
    json!({ "text": escaped(&whole.join("\n"), TEXT), "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

/// `verbatim`: nothing in it becomes a link, a channel or a mention by itself.
fn text(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn section(part: &Part) -> String {
    let link = part.link.as_deref().map(|link| format!("\n<{}|Open in Toktra SIEM>", escaped(link, SECTION)));
    let link = link.unwrap_or_default();
    format!("{}{link}", escaped(&part.lines().join("\n"), SECTION - link.chars().count()))
}

/// `text` with Slack's three control characters written as it wants them (Slack, "Escaping text"), at most `most` characters long. A
/// word that would call everybody is broken: some clients look for it even in text.
fn escaped(text: &str, most: usize) -> String {
    let (mut out, mut length) = (String::new(), 0);
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '@' if calls(&text[at + 1..]) => "@\u{200b}",
            _ => &text[at..at + c.len_utf8()],
        };
        let last = characters.peek().is_none();
        length += piece.chars().count();
        if length > most - usize::from(!last) {
            out.push('…');
            break;
        }
        out.push_str(piece);
    }
    out
}

fn calls(rest: &str) -> bool {
    ["channel", "here", "everyone", "group"]
        .iter()
        .any(|word| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

/// What Slack answered.
pub(crate) fn judge(receiver: &Receiver<'_>, reply: &Reply, now: Timestamp) -> Outcome {
    let said = sanitise(&String::from_utf8_lossy(&reply.body), 80);
    match reply.status {
        200..=299 if !is_page(reply) => {
            let said = if said == "ok" { " ok" } else { "" };
            Ok(Delivered { message: format!("{} answered {}{said}.", receiver.name(), reply.status) })
        }
        status => Err(receiver.refused(reply, meaning(status, &said), now)),
    }
}

/// Slack, "Handling errors" of incoming webhooks: the body is one word.
fn meaning(status: u16, said: &str) -> Option<Meaning> {
    Some(match (status, said) {
        (404, "channel_not_found") => (
            "channel_not_found",
            "the channel of the webhook does not exist any more. It was probably deleted. Create a webhook for another channel, and enter its URL.",
        ),
        (
            _,
            "no_service" | "no_active_hooks" | "no_service_id" | "no_team" | "team_disabled" | "invalid_token"
            | "no_token",
        )
        | (404, _) => (
            "no_service",
            "the webhook does not exist any more. It or its app was probably removed, or the URL was entered incompletely. Create a new webhook in \
             Slack, and enter its URL.",
        ),
        (_, "channel_is_archived") | (410, _) => (
            "channel_is_archived",
            "the channel of the webhook is archived. Unarchive it in Slack, or create a webhook for another channel and enter its URL.",
        ),
        (_, "posting_to_general_channel_denied" | "action_prohibited") | (403, _) => (
            "action_prohibited",
            "the workspace does not allow the webhook to post. An admin of the workspace probably restricted the app or the channel. Ask them to \
             allow it, then test again.",
        ),
        (_, "user_not_found") => (
            "user_not_found",
            "the person whom the webhook writes to does not exist any more. Create a webhook for a channel, and enter its URL.",
        ),
        (400, _) => (
            "invalid_payload",
            "it could not read the message. The URL is probably that of a workflow, which expects other messages. Enter the URL of an incoming webhook.",
        ),
        _ => return None,
    })
}
