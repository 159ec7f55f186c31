//! A message as mail: plain text (RFC 5322), marked as sent by a program (RFC 3834), threaded by what it is about.

use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::message::header::{ContentType, Date, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, MessageBuilder};
use toktra_siem_core::ids::ChannelId;
use toktra_siem_core::notice::Notice;
use toktra_siem_core::time::Timestamp;

use crate::story::{Story, cut};
use crate::{digest, keys};

/// The most parts that a mail tells.
const PARTS: usize = 50;
/// The longest subject, in characters.
const SUBJECT: usize = 200;

/// Which message it is: the same when it is sent again, so that a mail program shows it once.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// What `Message-ID` is made of.
    id: String,
    /// What is named as the message that this one answers, if all of it is about one thing.
    thread: Option<String>,
}

impl Identity {
    /// That of a message of these notices.
    pub(crate) fn of(channel: ChannelId, notices: &[Notice]) -> Self {
        let channel = channel.to_string();
        let channel = || std::iter::once(channel.as_str());
        let first = notices.first().map_or("", |notice| notice.thread.as_str());
        let one = notices.iter().all(|notice| notice.thread == first);
        let thread = one.then(|| format!("thread.{}", short(digest(channel().chain([first])))));
        Self { id: short(digest(channel().chain(keys(notices)))), thread }
    }

    /// That of a test.
    pub(crate) fn test(channel: ChannelId, now: Timestamp) -> Self {
        Self { id: short(digest(["test", &channel.to_string(), &now.to_string()])), thread: None }
    }
}

/// 128 bits are enough to tell messages apart.
fn short(digest: [u8; 32]) -> String {
    hex::encode(&digest[..16])
}

/// The mail.
pub(crate) fn letter(
    from: &Mailbox,
    to: &[lettre::Address],
    story: Story,
    identity: &Identity,
    now: Timestamp,
) -> Result<Message, lettre::error::Error> {
    let id = |local: &str| format!("<{local}@{}>", from.email.domain());
    let auto = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    // Asks mail programs not to answer with a note of absence.
    let quiet = HeaderValue::new(HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All".to_owned());
    let sent = UNIX_EPOCH + Duration::from_secs(u64::try_from(now.as_secs()).unwrap_or(0));
    let mut builder: MessageBuilder = Message::builder()
        .from(from.clone())
        .subject(cut(&story.title, SUBJECT))
        .header(Date::new(sent))
        .message_id(Some(id(&identity.id)))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .raw_header(auto)
        .raw_header(quiet);
    for address in to {
        builder = builder.to(Mailbox::new(None, address.clone()));
    }
    if let Some(thread) = &identity.thread {
        builder = builder.in_reply_to(id(thread)).references(id(thread));
    }
    builder.body(body(story))
}

fn body(mut story: Story) -> String {
    let mut room = PARTS;
    let note = story.cut(|_| {
        let fits = room > 0;
        room = room.saturating_sub(1);
        fits
    });
    let mut blocks: Vec<String> = Vec::new();
    for part in &story.parts {
        let lines = part.lines().into_iter().chain(part.link.as_deref());
        blocks.push(lines.collect::<Vec<_>>().join("\n\n"));
    }
    blocks.extend(note);
    let text = blocks.join("\n\n\n");
    format!("{text}\n\n-- \n{}\n", story.foot)
}
